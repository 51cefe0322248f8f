"""What there is to see: a trajectory in a terminal, a notebook, a file; and in a notebook, what a score function says.

    play(trajectory)                the texts settle in place in a terminal
    save(trajectory, "x.gif")       .gif, .png, .html or .txt
    player(trajectory)              in a notebook: step through it with a slider
    animation(trajectory)           in a notebook: an animated picture
    strip(trajectory)               in a notebook: noise, half-way, text, as one still picture

    heatmap(log_score, x, alphabet)     all neighbors' concrete scores as a picture
    bars(log_score, x, alphabet)        the best neighbors
    ladder(words)                       words as a map, an edge for each pair that differs in one character
    curve({name: points})               training curves

    explore_neighbors(score, process, alphabet, text)      type a text, see its neighbors, jump to one
    explore_noise(process, alphabet, texts)                 noise up and down
    explore_denoising(score, process)                       write a text and see what the score says at each step

What state a character is in, frames.py says. The picture libraries are loaded only when there is a picture to draw.
"""

from importlib import import_module

from tinysedd.show.export import save
from tinysedd.show.player import player
from tinysedd.show.terminal import play

_LAZY = {
    "pictures": ["animation", "strip"],
    "plots": ["bars", "curve", "heatmap", "ladder"],
    "explorers": ["explore_denoising", "explore_neighbors", "explore_noise"],
}

__all__ = [
    "animation",
    "bars",
    "curve",
    "explore_denoising",
    "explore_neighbors",
    "explore_noise",
    "heatmap",
    "ladder",
    "play",
    "player",
    "save",
    "strip",
]


def __getattr__(name: str):
    for module, names in _LAZY.items():
        if name in names:
            return getattr(import_module(f"tinysedd.show.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
