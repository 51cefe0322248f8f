"""Files: corpora by name or from a text file, and writing a file all or nothing."""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from tinysedd.corpus import Alphabet, Corpus
from tinysedd.worlds import WORLDS

SHAKESPEARE = Path("data/shakespeare.txt")
KNOWN = ", ".join([*WORLDS, SHAKESPEARE.stem])


def load_corpus(
    name: str | Path, length: int | None = None, alphabet: Alphabet | None = None, lines: bool = False
) -> Corpus:
    """The corpus of a name ("fables", "words", "shakespeare") or of a UTF-8 text file, in texts of `length` characters.

    length    defaults to the world's, to 128 for a text file, to the longest line for a file of lines
    alphabet  defaults to the text's own
    lines     the file has one text per line
    A Path is always a file. Any line ending is read as a newline. ValueError says what is wrong with a file.
    """
    if name in WORLDS:
        check_unambiguous(str(name))
        world = WORLDS[str(name)]()
        if length not in (None, world.length):
            raise ValueError(f"the texts of {name} have {world.length} characters: leave the length out")
        if lines:
            raise ValueError(f"{name} is a world, not a file of lines: leave lines out")
        return Corpus.from_world(world)
    text = read_text(name)
    if lines:
        return Corpus.from_lines(text.split("\n"), length, alphabet)
    return Corpus.from_text(text, 128 if length is None else length, alphabet)


def read_text(name: str | Path) -> str:
    """The text of "shakespeare" or of a UTF-8 file, with any line ending read as a newline. ValueError as in
    `load_corpus`."""
    path = file_of(name)
    if name == SHAKESPEARE.stem:
        check_unambiguous(str(name))
        if not path.exists():
            raise ValueError(f"there is no {SHAKESPEARE} yet: make it with  python data/prepare.py")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8 first") from None
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}; a corpus is a text file or one of {KNOWN}") from None
    except ValueError:  # a null character
        raise ValueError(f"{str(name)!r} is no name for a file; a corpus is a text file or one of {KNOWN}") from None


def file_of(name: str | Path) -> Path:
    """Where the text of "shakespeare" or of a file is, whether it exists or not."""
    if name != SHAKESPEARE.stem:
        return Path(name)
    places = [folder / SHAKESPEARE for folder in (Path.cwd(), Path(__file__).parents[1])]
    return next((place for place in places if place.exists()), places[0])


def fingerprint(name: str | Path) -> str | None:
    """The SHA-256 of a corpus's text, in hexadecimal, to tell whether it has changed; None for a world."""
    return None if name in WORLDS else hashlib.sha256(read_text(name).encode()).hexdigest()


def check_unambiguous(name: str) -> None:
    """ValueError if this is the name of a corpus and also of a file here, so that nobody could tell which is meant."""
    if Path(name).is_file():
        raise ValueError(f"{name} is a file here and the name of a corpus: write ./{name} for the file")


def check_output(path: Path, inputs: Iterable[Path | str | None] = (), force: bool = False, ours: bool = False) -> None:
    """ValueError unless a file can be written at this path without losing another one. Ask before a long computation.

    inputs  files that are read, which must not be replaced, not even by force
    force   replace a file that exists
    ours    a file that exists is one that may be replaced without force
    """
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to: create it first")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file, so it cannot be replaced")
    for given in inputs:
        if given is not None and Path(given).exists() and path.exists() and path.samefile(given):
            raise ValueError(f"{path} is also read from: write to another file")
    if path.exists() and not force and not (ours and path.stat().st_mode & 0o222):  # a write-protected one may not
        raise ValueError(f"{path} exists already: give another name, or replace it with --force")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"you may not write to the folder {path.parent}: give another one")


def claim(path: Path, state: bool, force: bool = False) -> None:
    """Create an empty file for a training's state, so that no other training uses it. ValueError if there is one.

    state  whether the file that is there, if any, is a state; anything else is never replaced
    force  replace a state, or the claim of a training that never saved one
    """
    there = os.path.lexists(path)
    if there and not state and (path.is_symlink() or path.stat().st_size):
        raise ValueError(f"{path} is in the way, and it is not the state of a training: give another --out")
    if there and force:
        path.unlink()
    try:
        path.open("x").close()
    except FileExistsError:
        go_on = f"if it was stopped, continue it with --resume {path}; else " if path.stat().st_size else ""
        raise ValueError(
            f"{path} belongs to a training that was stopped or still runs: {go_on}give another --out, or replace it "
            "with --force"
        ) from None


def write_atomically(path: Path | str, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write bytes, or what a function writes to an open file, all or nothing.

    The bytes go to a temporary file beside `path`, whose name is unique to this process, and then replace `path` in one
    step: a reader never sees half a file, and an error leaves what was there. OSError if the file cannot be written, or
    what is there is not a regular file.
    """
    given, path = path, Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a regular file, so it cannot be replaced")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content) if isinstance(content, bytes) else content(file)
        os.replace(partial, path)
    except OSError as error:  # name the file that was asked for, not the temporary one
        raise OSError(error.errno, f"cannot write {given}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
