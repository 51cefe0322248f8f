"""Ways to look at a trajectory (in a terminal, a notebook or a file) and at a score function (in a notebook).

A trajectory, as returned by `sample`:

    play(trajectory)                the texts settle in place in a terminal
    save(trajectory, "x.gif")       a file: .gif, .png, .html or .txt
    player(trajectory)              notebook: step through it with a slider
    animation(trajectory)           notebook: an animated picture
    strip(trajectory)               notebook: noise, halfway and final text in one still picture

A trained model:

    page(model, world)              a web page in which the model runs, as a text; `tinysedd page` writes it to a file

A score function, and training:

    heatmap(log_score, x, alphabet)     the concrete scores of all neighbors
    bars(log_score, x, alphabet)        the best neighbors
    ladder(words)                       a map of words with an edge between any two that differ in one character
    curve({name: points})               training curves
    describe(fig, alt)                  a matplotlib figure of your own, displayed with an alt text

TRUTH, MODEL and RIVAL are the colors of the exact answer, the diffusion model and an autoregressive model in every
figure of the course.

Explorers, which recompute their picture when you move a control:

    explore_neighbors(score, process, alphabet, text)      edit a text, see its neighbors, jump to one of them
    explore_noise(process, alphabet, texts)                add and remove noise
    explore_denoising(score, process)                      sample a text and see the scores at each step

frames.py decides what state each character is in; every other module draws from its frames. matplotlib, Pillow and
ipywidgets are imported only when a function needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from tinysedd.show.export import save
from tinysedd.show.player import player
from tinysedd.show.terminal import play

if TYPE_CHECKING:  # for editors and type checkers; at run time __getattr__ imports these
    from tinysedd.show.explorers import explore_denoising, explore_neighbors, explore_noise
    from tinysedd.show.live import page
    from tinysedd.show.pictures import animation, strip
    from tinysedd.show.plots import MODEL, RIVAL, TRUTH, bars, curve, describe, heatmap, ladder

_LAZY = {
    "pictures": ["animation", "strip"],
    "plots": ["MODEL", "RIVAL", "TRUTH", "bars", "curve", "describe", "heatmap", "ladder"],
    "explorers": ["explore_denoising", "explore_neighbors", "explore_noise"],
    "live": ["page"],
}

__all__ = [
    "MODEL",
    "RIVAL",
    "TRUTH",
    "animation",
    "bars",
    "curve",
    "describe",
    "explore_denoising",
    "explore_neighbors",
    "explore_noise",
    "heatmap",
    "ladder",
    "page",
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
