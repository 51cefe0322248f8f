"""A trajectory as a file: an animated picture, a page to step through, or only the texts."""

import os
from pathlib import Path

from tinysedd.sampling import Trajectory
from tinysedd.show.frames import paragraphs
from tinysedd.show.player import page


def save(trajectory: Trajectory, path: str | os.PathLike) -> Path:
    """Write a trajectory; the path's ending says as what. A file is there whole or not at all.

    .gif .png   animated; a viewer that cannot animate a .png shows the final texts. The first 8 texts
    .html       a page with a player of the first 8 texts, and all final texts
    .txt        the final texts: one a line, or with an empty line between where texts have lines
    ValueError where the ending is another, or the folder does not exist.
    """
    path = checked(path)
    content = RENDER[path.suffix.lower()](trajectory)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def checked(path: str | os.PathLike) -> Path:
    """The path, if save can write there (see there); to ask before a long run and not after it."""
    path = Path(path)
    if path.suffix.lower() not in RENDER:
        raise ValueError(f"{path.name!r} does not say what to save as: let it end in {', '.join(RENDER)}")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {str(path.parent)!r} to save {path.name!r} in")
    return path


def _gif(trajectory: Trajectory) -> bytes:
    from tinysedd.show import pictures

    return pictures.gif(trajectory)


def _png(trajectory: Trajectory) -> bytes:
    from tinysedd.show import pictures

    return pictures.png(trajectory)


def _txt(trajectory: Trajectory) -> bytes:
    return (paragraphs(trajectory.texts) + "\n").encode()


RENDER = {".gif": _gif, ".png": _png, ".html": lambda trajectory: page(trajectory).encode(), ".txt": _txt}
