"""What several pictures of a success share: a bar chart, and a small world."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from tinysedd import show
from tinysedd.checks.compare import tensor
from tinysedd.process import Absorbing, Process
from tinysedd.worlds import Fables


def bars(names: Iterable, heights: Any, title: str, expected: Any = None, **labels: Any) -> object:
    """A described bar chart.

    Args:
        names: one for each bar.
        heights: numbers in any form.
        title: says what the picture shows.
        expected: the height that all bars should have, or one for each; drawn in black.
        labels: xlabel, ylabel or other arguments of `Axes.set`.
    """
    import matplotlib.pyplot as plt

    names, found = list(map(str, names)), tensor(heights).double()
    fig, ax = plt.subplots(figsize=(6.5, 2.6), layout="constrained")
    ax.bar(names, found.tolist(), color=show.MODEL)
    if expected is not None:
        ax.plot(names, torch.as_tensor(expected).expand(len(names)), "D", mfc="w", color=show.TRUTH, label="expected")
        ax.legend(frameon=False)
    ax.set(title=title, **labels)
    ax.spines[["top", "right"]].set_visible(False)
    told = ", ".join(f"{name} {height:.3g}" for name, height in zip(names, found.tolist()) if height)
    return show.describe(fig, f"{title}: {told}; 0 for all others.")


def animals() -> tuple[Fables, Process, Callable]:
    """A small world, texts such as "ant or bee? bee!"; absorbing noise; the exact score."""
    lines = ["{A:animal} or {B:animal}? {A}!", "{A:animal} or {B:animal}? {B}!"]
    world = Fables(lines, {"animal": "ant bee cow dog elk fox hen owl"}, length=16)
    process = Absorbing(len(world.alphabet))
    return world, process, world.score(process)
