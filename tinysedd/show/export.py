"""Save a trajectory to a file: an animated picture, a web page with a player, or plain text."""

import os
from pathlib import Path

from tinysedd.files import write_atomically
from tinysedd.sampling import Trajectory
from tinysedd.show.frames import join_texts
from tinysedd.show.player import page


def save(trajectory: Trajectory, path: str | os.PathLike) -> Path:
    """Save a trajectory and return the path. The file extension selects the format.

    .gif .png   an animation of the first 8 texts; a viewer that cannot animate a .png shows the final texts
    .html       a page with a player for the first 8 texts, and all final texts
    .txt        the final texts, one per line, or separated by empty lines if any text contains a line break
    The file is written completely or not at all. ValueError if the extension is another one, the folder does not exist,
    or the trajectory has no alphabet.
    """
    path = check_path(path)
    write_atomically(path, RENDERERS[path.suffix.lower()](trajectory))
    return path


def check_path(path: str | os.PathLike) -> Path:
    """The path, if `save` can write there. Call this before a long run. ValueError as in `save`."""
    path = Path(path)
    if path.suffix.lower() not in RENDERERS:
        raise ValueError(f"cannot tell a file format from the name {path.name!r}: end it in {', '.join(RENDERERS)}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to save {path.name} in: create it first")
    return path


def _gif(trajectory: Trajectory) -> bytes:
    from tinysedd.show import pictures

    return pictures.gif(trajectory)


def _png(trajectory: Trajectory) -> bytes:
    from tinysedd.show import pictures

    return pictures.png(trajectory)


def _html(trajectory: Trajectory) -> bytes:
    return page(trajectory).encode()


def _txt(trajectory: Trajectory) -> bytes:
    return (join_texts(trajectory.texts) + "\n").encode()


RENDERERS = {".gif": _gif, ".png": _png, ".html": _html, ".txt": _txt}
