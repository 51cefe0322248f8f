"""Files: corpora by name or from a text file, and writing a file all or nothing."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from tinysedd.corpus import Alphabet, Corpus
from tinysedd.worlds import WORLDS

SHAKESPEARE = Path("data/shakespeare.txt")


def load_corpus(
    name: str | Path, length: int | None = None, alphabet: Alphabet | None = None, lines: bool = False
) -> Corpus:
    """The corpus of a name ("fables", "words", "shakespeare") or of a UTF-8 text file, in texts of `length` characters.

    length    defaults to the world's, to 128 for a text file, to the longest line for a file of lines
    alphabet  defaults to the text's own
    lines     the file has one text per line
    Any line ending is read as a newline. ValueError says what is wrong with a file.
    """
    if name in WORLDS:
        world = WORLDS[str(name)]()
        if length not in (None, world.length):
            raise ValueError(f"the texts of {name} have {world.length} characters: leave the length out")
        return Corpus.from_world(world)
    path = Path(name)
    if name == "shakespeare":
        folders = (Path.cwd(), Path(__file__).parents[1])
        path = next((folder / SHAKESPEARE for folder in folders if (folder / SHAKESPEARE).exists()), None)
        if path is None:
            raise ValueError(f"there is no {SHAKESPEARE} yet: make it with  python data/prepare.py")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8 first") from None
    except OSError as error:
        known = ", ".join([*WORLDS, "shakespeare"])
        raise ValueError(f"cannot read {name}: {error.strerror}; a corpus is a text file or one of {known}") from None
    if lines:
        return Corpus.from_lines(text.split("\n"), length, alphabet)
    return Corpus.from_text(text, length or 128, alphabet)


def write_atomically(path: Path | str, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write bytes, or what a function writes to an open file, all or nothing.

    The bytes go to a temporary file beside `path`, whose name is unique to this process, and then replace `path` in one
    step: a reader never sees half a file, and an error leaves what was there. OSError if the file cannot be written.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content) if isinstance(content, bytes) else content(file)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
