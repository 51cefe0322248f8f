"""Corpora by name and from files, and files that are written all or nothing."""

import os

import pytest
import torch

from tinysedd import Alphabet, load_corpus
from tinysedd.files import SHAKESPEARE, write_atomically

# Corpora


@pytest.mark.parametrize(("name", "length"), [("words", 3), ("fables", 64)])
def test_a_world_is_found_by_its_name(name, length):
    corpus = load_corpus(name)
    assert corpus.length == length and corpus.batch(2, torch.Generator()).shape == (2, length)
    assert load_corpus("words", 3).length == 3
    with pytest.raises(ValueError, match=r"the texts of words have 3 characters: leave the length out"):
        load_corpus("words", 9)


def test_a_text_file_may_have_a_byte_order_mark_and_any_line_endings(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"Roses\r\nand oaks\r" * 40)
    for name in (path, str(path)):
        corpus = load_corpus(name, 8)
        assert corpus.alphabet == Alphabet("\n Radeknos")
        assert corpus.validation.shape[1] == corpus.batch(3, torch.Generator()).shape[1] == 8


def test_a_text_file_is_cut_into_blocks_of_128_and_can_take_the_alphabet_of_a_model(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("abc " * 400)
    assert load_corpus(path).length == 128
    assert load_corpus(path, alphabet=Alphabet(" abcdef")).alphabet == Alphabet(" abcdef")
    with pytest.raises(ValueError, match="'c' at position 2"):
        load_corpus(path, alphabet=Alphabet(" ab"))


def test_a_file_of_lines_has_one_text_per_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_bytes(b"anna\r\nbo\r\n\r\ncy\r\n")
    corpus = load_corpus(path, lines=True)
    assert corpus.length == 4 and corpus.alphabet == Alphabet(" abcnoy")
    drawn = torch.cat([corpus.batch(50, torch.Generator().manual_seed(0)), corpus.validation])
    assert {corpus.alphabet.decode(row) for row in drawn} == {"anna", "bo  ", "cy  "}
    assert load_corpus(path, 6, lines=True).length == 6


def test_shakespeare_is_looked_for_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SHAKESPEARE.parent.mkdir()
    SHAKESPEARE.write_text("What's in a name?\n" * 100)
    assert load_corpus("shakespeare", 16).alphabet == Alphabet.of("What's in a name?\n")


def test_without_shakespeare_the_error_tells_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tinysedd.files.__file__", str(tmp_path / "tinysedd" / "files.py"))  # no checkout to search
    with pytest.raises(ValueError, match=r"no data.shakespeare\.txt yet: make it with  python data/prepare\.py"):
        load_corpus("shakespeare")


@pytest.mark.parametrize(
    ("content", "lines", "message"),
    [
        (None, False, "cannot read .*text.txt: No such file.* a corpus is a text file or one of words, fables, shakes"),
        (b"caf\xe9 " * 500, False, r"text.txt is not UTF-8 text \(byte 3\): save it as UTF-8 first"),
        (b"short", False, "5 characters is too short"),
        (b"", False, "0 characters is too short"),
        (b"\n\n", True, "at least 2 lines that differ; here are 0"),
    ],
)
def test_a_bad_file_is_explained(tmp_path, content, lines, message):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_corpus(path, lines=lines)


def test_a_folder_is_not_a_corpus(tmp_path):
    with pytest.raises(ValueError, match="cannot read"):
        load_corpus(tmp_path)


# Writing all or nothing


@pytest.mark.parametrize("content", [b"new", lambda file: file.write(b"new")])
def test_bytes_or_a_function_replace_what_was_there_and_leave_nothing_else(tmp_path, content):
    path = tmp_path / "file.bin"
    for before in (None, b"old and longer"):
        if before is not None:
            path.write_bytes(before)
        write_atomically(path, content)
        assert path.read_bytes() == b"new" and list(tmp_path.iterdir()) == [path]
    write_atomically(str(path), b"by its name")
    assert path.read_bytes() == b"by its name"


@pytest.mark.parametrize("error", [OSError, ValueError, KeyboardInterrupt])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def fail(file):
        file.write(b"half a fi")
        file.flush()
        assert path.read_bytes() == b"old"  # a reader never sees half of the new file
        raise error

    with pytest.raises(error):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(OSError, match="nowhere"):
        write_atomically(tmp_path / "nowhere" / "file.bin", b"new")
    assert not list(tmp_path.iterdir())


def test_two_processes_write_to_different_temporary_files(tmp_path, monkeypatch):
    """Otherwise, with two writers of one file, the first would move the half-written bytes of the second into place."""
    path, during = tmp_path / "file.bin", []

    def outer(file):
        file.write(b"outer")
        monkeypatch.setattr(os, "getpid", lambda: -1)  # another process writes the same file meanwhile
        write_atomically(path, lambda inner: during.append((file.name, inner.name)))

    write_atomically(path, outer)
    ((first, second),) = during
    assert first != second and path.read_bytes() == b"outer" and list(tmp_path.iterdir()) == [path]
