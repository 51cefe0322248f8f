"""Files: corpora by name, from a text file or from a world of your own, and writing a file all or nothing."""

import hashlib
import importlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from tinysedd.corpus import Alphabet, Corpus
from tinysedd.guard import excerpt
from tinysedd.worlds import WORLDS, World

SHAKESPEARE = Path("data/shakespeare.txt")
KNOWN = ", ".join([*WORLDS, SHAKESPEARE.stem])
KINDS = f"a text file, module:name, or one of {KNOWN}"
MEMBERS = ("alphabet", "length", "sample", "log_prob", "entropy", "score")  # of a world


def load_corpus(
    name: str | Path, length: int | None = None, alphabet: Alphabet | None = None, lines: bool = False
) -> Corpus:
    """The corpus of a name ("fables", "words", "shakespeare"), of a world of your own ("module:name", as `load_world`
    takes it) or of a UTF-8 text file, in texts of `length` characters.

    length    defaults to the world's, to 128 for a text file, to the longest line for a file of lines
    alphabet  defaults to the text's own
    lines     the file has one text per line
    A Path is always a file. Any line ending is read as a newline. ValueError says what is wrong with a file.
    """
    if is_world(name):
        world = load_world(str(name))
        if length not in (None, world.length):
            raise ValueError(f"the texts of {name} have {world.length} characters: leave the length out")
        if lines:
            raise ValueError(f"{name} is a world, not a file of lines: leave lines out")
        return Corpus.from_world(world)
    text = read_text(name)
    if lines:
        return Corpus.from_lines(text.split("\n"), length, alphabet)
    return Corpus.from_text(text, 128 if length is None else length, alphabet)


def is_world(name: str | Path) -> bool:
    """Whether this names a world: one that comes with tinysedd, or one of the user's own."""
    return name in WORLDS or is_own_world(name)


def is_own_world(name: str | Path) -> bool:
    """Whether this names a world of the user's own, "module:name". Reading one runs code, so no name that comes out of
    a file may be passed on to `load_world`."""
    return isinstance(name, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name) is not None


def load_world(name: str) -> World:
    """The world of a name ("fables", "words"), or one of your own, "module:name".

    The module is a file module.py in the current folder, or any that can be imported; the name in it is a world, or a
    class or function that makes one when called without arguments. ValueError if there is none, its code fails, or it
    lacks a part of `World`.
    """
    check_unambiguous(name)
    if name in WORLDS:
        return WORLDS[name]()
    if not is_own_world(name):
        raise ValueError(f"{name!r} is not a world: the worlds are {', '.join(WORLDS)}, or module:name for your own")
    module, _, member = name.partition(":")
    if os.getcwd() not in sys.path:  # as `python -m` does
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()  # the file may be newer than the last import
    with _running(name):
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module}.".startswith(f"{error.name}."):
                raise  # it is there, but it imports another module that is not
            raise ValueError(f"there is no module {module} for {name}: is there a file {module}.py here?") from None
    if not hasattr(found, member):
        raise ValueError(f"the module {module} has no {member!r} for {name}: its name is misspelled, or not defined")
    world = getattr(found, member)
    if isinstance(world, type) or (_missing(world) and callable(world)):
        with _running(name):
            world = world()
    _check_world(world, name)
    return cast(World, world)


def _missing(world: object) -> list[str]:
    return [member for member in MEMBERS if not hasattr(world, member)]


def _check_world(world: Any, name: str) -> None:
    """ValueError unless this has all parts of a world, and writes texts to which it gives a probability."""
    if missing := _missing(world):
        needs = ", ".join(f".{member}" for member in missing)
        raise ValueError(f"{name} is a {type(world).__name__}, not a world: it has no {needs}")
    if not isinstance(world.alphabet, Alphabet):
        raise ValueError(f"the alphabet of {name} must be a tinysedd.Alphabet, not a {type(world.alphabet).__name__}")
    if type(world.length) is not int or world.length < 1:
        raise ValueError(f"the length of {name} must be an integer of at least 1, not {world.length!r}")
    with _running(name):
        x = world.sample(2, torch.Generator().manual_seed(0))
    if not isinstance(x, Tensor) or x.dtype != torch.int64 or x.shape != (2, world.length):
        got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {type(x).__name__}"
        raise ValueError(f"{name}.sample(2) must return ids, int64 of shape (2, {world.length}), not {got}")
    if not 0 <= int(x.min()) <= int(x.max()) < len(world.alphabet):
        raise ValueError(f"{name}.sample(2) returns ids outside of 0 to {len(world.alphabet) - 1}, its alphabet")
    with _running(name):
        log_p, entropy = world.log_prob(x), world.entropy()
    if not isinstance(log_p, Tensor) or log_p.shape != (2,) or not log_p.isfinite().all() or (log_p > 1e-9).any():
        raise ValueError(f"{name}.log_prob must give each of 2 texts that {name} wrote a log-probability, not {log_p}")
    if not isinstance(entropy, float) or not 0 <= entropy < float("inf"):
        raise ValueError(f"{name}.entropy() must be a float, in nats per text, not {entropy!r}")


def check_fit(world: World, name: str, alphabet: Alphabet | None, length: int) -> None:
    """ValueError unless the world of this name writes texts of this alphabet and length, those of a model."""
    if world.alphabet != alphabet or world.length != length:
        its, own = excerpt(world.alphabet.characters), excerpt(alphabet.characters if alphabet else "")
        raise ValueError(
            f"{name} writes {world.length} characters of {its}, and the model {length} of {own}, which is another "
            "alphabet or length: train a model on this world first"
        )


@contextmanager
def _running(name: str):
    """Turns an error in the code of a world of the user's own into a ValueError that says where it is."""
    try:
        yield
    except (Exception, SystemExit) as error:
        stack = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
        if isinstance(error, ValueError) and not stack:
            raise  # a sentence of ours
        where = f" ({Path(stack[-1].filename).name}, line {stack[-1].lineno})" if stack else ""
        if isinstance(error, SyntaxError):
            where = f" ({Path(error.filename or name).name}, line {error.lineno})"
        what = " ".join(str(getattr(error, "msg", error)).split())
        raise ValueError(f"cannot use {name}: {type(error).__name__}: {what}{where}") from None


def _is_ours(file: str) -> bool:
    """Whether a file in a traceback is none that the user wrote: tinysedd, an installed package, or Python itself."""
    inside = [Path(__file__).parent, Path(torch.__file__).parents[1], Path(os.__file__).parent]
    return file.startswith("<") or any(Path(file).is_relative_to(folder) for folder in inside)


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
        raise ValueError(f"cannot read {name}: {error.strerror}; a corpus is {KINDS}") from None
    except ValueError:  # a null character
        raise ValueError(f"{str(name)!r} is no name for a file; a corpus is {KINDS}") from None


def file_of(name: str | Path) -> Path:
    """Where the text of "shakespeare" or of a file is, whether it exists or not."""
    if name != SHAKESPEARE.stem:
        return Path(name)
    places = [folder / SHAKESPEARE for folder in (Path.cwd(), Path(__file__).parents[1])]
    return next((place for place in places if place.exists()), places[0])


def fingerprint(name: str | Path) -> str | None:
    """The SHA-256 of a corpus's text, in hexadecimal, to tell whether it has changed; of some texts for a world of the
    user's own; None for a world that comes with tinysedd."""
    if name in WORLDS:
        return None
    if is_own_world(name):
        world = load_world(str(name))
        text = "\n".join(map(world.alphabet.decode, world.sample(100, torch.Generator().manual_seed(0))))
    else:
        text = read_text(name)
    return hashlib.sha256(text.encode()).hexdigest()


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
