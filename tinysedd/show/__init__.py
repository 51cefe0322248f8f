"""A trajectory made visible: in a terminal, in a notebook, as a file.

    play(trajectory)                the texts settle in place in a terminal
    save(trajectory, "x.gif")       .gif, .png, .html or .txt
    player(trajectory)              in a notebook: step through it with a slider
    animation(trajectory)           in a notebook: an animated picture
    strip(trajectory)               in a notebook: noise, half-way, text, as one still picture

All of them draw what frames.py says. The picture libraries are loaded only when there is a picture to draw.
"""

from tinysedd.show.export import save
from tinysedd.show.player import player
from tinysedd.show.terminal import play

__all__ = ["animation", "play", "player", "save", "strip"]


def __getattr__(name: str):
    if name in ("animation", "strip"):
        from tinysedd.show import pictures

        return getattr(pictures, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
