"""Corpora by name and from files, and files that are written all or nothing."""

import os
import sys

import pytest
import torch

from tinysedd import Alphabet, Fables, Words, load_corpus
from tinysedd.files import SHAKESPEARE, fingerprint, load_world, write_atomically

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
        (
            None,
            False,
            "No such file.* a corpus is a text file, module:name, or one of words, fables, shakes",
        ),
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


# A world of one's own

WORLD = """
from tinysedd import Fables, Words
world = Fables(["a {:x}", "b"], {"x": "c d"}, 5)
def make():
    return world
class Kind(Words):
    pass
class Other(Words):
    def sample(self, n, generator=None):
        return SAMPLE
class Wrong(Words):
    def __init__(self):
        super().__init__()
        self.CHANGE
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A function that writes mine.py into the current folder; nothing that is imported stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield (tmp_path / "mine.py").write_text
    sys.modules.pop("mine", None)


def test_a_world_is_an_instance_or_what_a_class_or_function_makes(module):
    module(WORLD)
    world = load_world("mine:world")
    assert isinstance(world, Fables) and world is load_world("mine:make") and isinstance(load_world("mine:Kind"), Words)
    corpus = load_corpus("mine:world")
    assert corpus.length == 5 and corpus.alphabet == Alphabet(" abcd")
    assert isinstance(load_world("words"), Words) and fingerprint("words") is None
    with pytest.raises(ValueError, match="leave lines out"):
        load_corpus("mine:world", lines=True)


def test_the_fingerprint_of_a_world_tells_whether_its_texts_have_changed(module, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # or Python may not see that a file has changed at once
    prints = []
    for source in (WORLD, WORLD + "# a comment", WORLD.replace("c d", "c d d")):
        sys.modules.pop("mine", None)
        module(source)
        prints.append(fingerprint("mine:world"))
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("", "yours:world", r"there is no module yours for yours:world: is there a file yours\.py here"),
        ("", "yours.deep:world", r"there is no module yours\.deep"),
        ("", "mine:world", "the module mine has no 'world'"),
        ("", "mine", "'mine' is not a world: the worlds are words, fables, or module:name"),
        ("import nowhere", "mine:world", r"ModuleNotFoundError: No module named 'nowhere' \(mine\.py, line 1\)"),
        ("\nworld = 1 / 0", "mine:world", r"ZeroDivisionError: division by zero \(mine\.py, line 2\)"),
        ("world = (", "mine:world", r"SyntaxError: .* \(mine\.py, line 1\)"),
        ("raise SystemExit(3)", "mine:world", r"SystemExit: 3 \(mine\.py, line 1\)"),
        ("def world(n): pass", "mine:world", "TypeError: .* missing 1 required positional argument: 'n'"),
        ("from tinysedd import Fables\nworld = Fables(['{x}'])", "mine:world", "before drawing it"),
        ("world = [1]", "mine:world", r"is a list, not a world: it has no \.alphabet, \.length, \.sample, \.log_prob"),
        (WORLD.replace("SAMPLE", "[1]"), "mine:Other", r"must return ids, int64 of shape \(2, 3\), not a list"),
        (WORLD.replace("SAMPLE", "super().sample(n)[0]"), "mine:Other", r"not torch\.int64 of shape \(3,\)"),
        (WORLD.replace("SAMPLE", "super().sample(n) + 99"), "mine:Other", "ids outside of 0 to 25"),
        (WORLD.replace("SAMPLE", "super().sample(n) * 0"), "mine:Other", "must give each of 2 texts .* -inf"),
        (WORLD.replace("SAMPLE", "n.x"), "mine:Other", r"AttributeError: .* \(mine\.py, line 10\)"),
        (WORLD.replace("CHANGE", "alphabet = 'abc'"), "mine:Wrong", r"must be a tinysedd\.Alphabet, not a str"),
        (WORLD.replace("CHANGE", "length = 0"), "mine:Wrong", "must be an integer of at least 1, not 0"),
        (
            WORLD.replace("CHANGE", "entropy = lambda: None"),
            "mine:Wrong",
            "must be a float, in nats per text, not None",
        ),
    ],
)
def test_what_is_wrong_with_a_world_is_explained(module, source, name, message):
    module(source)
    with pytest.raises(ValueError, match=message):
        load_world(name)


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
