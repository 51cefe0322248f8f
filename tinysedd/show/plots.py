"""Still plots: every neighbor of a text, the best of them, word ladders, training curves.

Each function gives back a matplotlib Figure; as the last line of a notebook cell it shows itself.
"""

from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.show.frames import COLUMNS, MASK, visible
from tinysedd.train import Point

COLOURS = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"]  # Okabe and Ito's
LINES, MARKERS = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3))], "osD^vP"
STYLE = {"font.size": 9, "axes.titlesize": 10, "axes.titlelocation": "left", "figure.constrained_layout.use": True,
         "axes.spines.top": False, "axes.spines.right": False}  # fmt: skip
SHORT = 16  # characters; the columns of a short text are wide
DECADES = 6  # that the colors of a heat map cover at most, from the top
AROUND = 12  # characters shown on each side of a change in a long text
WORD_BOX = (0.55, 0.36)  # inches that a word in a ladder takes
SPACE = "␣"


def heatmap(
    log_score: Tensor,
    x: Tensor,
    alphabet: Alphabet,
    *,
    reference: Tensor | None = None,
    title: str | Sequence[str] | None = None,
) -> Figure:
    """The concrete scores of all neighbors of a text x (L,), from its log-scores (L, S) in nats, as powers of ten.

    A column for each position, a row for each state; the squares spell the text. Long texts are wrapped.
    reference: other log-scores (L, S) in the same colors, below (beside, where texts are short); title: then a pair.
    """
    maps = [tens(log_score)] + ([] if reference is None else [tens(reference)])
    titles = [title, None] if title is None or isinstance(title, str) else title
    (L, S), (low, high, cut) = maps[0].shape, limits(*maps)
    starts = range(0, L, COLUMNS)
    down, across = (1, len(maps)) if L <= SHORT else (len(maps) * len(starts), 1)
    width = max(0.5 * across * L + 2.4, 4.5) if L <= SHORT else 8.5
    height = down * (S * (0.16 if S <= 27 else 0.13 if S <= 40 else 0.08) + 0.6) + 0.5  # inches
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(down, across, figsize=(width, height), squeeze=False)
        panels = [(*pair, start) for pair in zip(maps, titles) for start in starts]
        for ax, (m, title, start) in zip(axes.flat, panels):
            part = slice(start, start + COLUMNS)
            mesh = _panel(ax, m[part], x[part].tolist(), alphabet, start, low, high)
            ax.set_title(title if title and start == 0 else "")
        fig.colorbar(mesh, ax=axes, label="log10 of p(neighbor) / p(text)", pad=0.02, aspect=30,
                     extend="min" if cut else "neither", ticks=range(low, high + 1))  # fmt: skip
        square = Patch(facecolor="none", edgecolor="black", label="the text itself: ratio 1")
        undefined = " (or p(text) = 0)" * any((np.isnan(m) | (m == np.inf)).any() for m in maps)
        final = ", or never needed" * bool(S > len(alphabet) and (x < len(alphabet)).any())  # a letter stays what it is
        zero = f"ratio 0{final}: log10 is −inf{undefined}"
        blank = Patch(facecolor="white", edgecolor="#bbb", hatch="/////", label=zero)
        keys = [square, blank] if any((~(m > -np.inf)).any() for m in maps) else [square]
        fig.legend(handles=keys, loc="outside lower left", ncols=2 if width > 5 else 1, fontsize=8)
    return _once(fig)


def _panel(ax, m: np.ndarray, x: list[int], alphabet: Alphabet, start: int, low: int, high: int):
    """One part (columns, S) of a heat map, which begins at a position of the text."""
    columns, S = m.shape
    mesh = ax.pcolormesh(np.ma.array(m, mask=~(m > -np.inf)).T, cmap="cividis", vmin=low, vmax=high)
    ax.patch.set(hatch="/////", edgecolor="#bbb")
    for color, width in [("white", 2.2), ("black", 1.0)]:
        for place, state in enumerate(x):
            ax.add_patch(Rectangle((place, state), 1, 1, fill=False, edgecolor=color, linewidth=width, clip_on=False))
    out = ["", "  " if S > 40 else ""]  # where rows are close, every other label stands further out
    ax.set_yticks(np.arange(S) + 0.5, [c + out[i % 2] for i, c in enumerate(spell(range(S), alphabet, SPACE))])
    ax.set_xticks(np.arange(columns) + 0.5, spell(x, alphabet))
    tenth = [i for i in range(columns) if columns > SHORT and (start + i) % 10 == 0]
    ax.set_xticks(np.array(tenth) + 0.5, [start + i for i in tenth], minor=True, fontsize=8)
    ax.xaxis.remove_overlapping_locs = False
    ax.tick_params(length=0, pad=2)
    ax.tick_params("x", pad=9)
    ax.tick_params("x", which="minor", length=0, pad=11)
    for label in [*ax.get_xticklabels(), *ax.get_yticklabels()]:
        label.set(family="monospace", size=8 if columns > SHORT or S > 27 else 9)
    for label in ax.get_xticklabels():
        label.set_va("baseline")
    ax.set(xlim=(0, columns), ylim=(S, 0), ylabel="becomes")
    return mesh


def tens(log_score: Tensor) -> np.ndarray:
    """Log-scores in nats as powers of ten."""
    return log_score.detach().cpu().double().numpy() / np.log(10)


def limits(*maps: np.ndarray) -> tuple[int, int, bool]:
    """The whole powers of ten that colors go from and to, and whether anything lies below them."""
    finite = np.concatenate([m[np.isfinite(m)] for m in maps])
    high = int(np.ceil(finite.max(initial=0) - 0.05))
    low = int(np.floor(finite.min(initial=-1)))
    return max(low, high - DECADES), high, low < high - DECADES


def spell(states: Iterable[int], alphabet: Alphabet, space: str = " ") -> list[str]:
    """One visible character for each state; the mask is a dot."""
    shown = [space if c == " " else visible(c) for c in alphabet.characters] + [MASK]
    return [shown[state] for state in states]


def bars(log_score: Tensor, x: Tensor, alphabet: Alphabet, *, top: int = 12, title: str | None = None) -> Figure:
    """The neighbors of a text x (L,) with the largest concrete scores, from log-scores (L, S); the best is on top."""
    best = neighbors(log_score, x, alphabet, top)
    labels, ratios = zip(*best) if best else (["no neighbor"], [0.0])
    with plt.rc_context(STYLE):
        fig, ax = plt.subplots(figsize=(8 if len(x) > SHORT else 5.5, 0.25 * len(ratios) + 1))
        ax.axvline(1, color="black", linewidth=1, linestyle="--")
        ax.text(1, 1, " ratio 1", transform=ax.get_xaxis_transform(), fontsize=8, va="bottom")
        drawn = ax.barh(range(len(ratios)), ratios, color=COLOURS[0], height=0.7, zorder=2)
        for label in ax.bar_label(drawn, map(figures, ratios), padding=3, fontsize=8):
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        ax.set_yticks(range(len(ratios)), labels, family="monospace", parse_math=False)
        ax.set(xlim=(0, 1.12 * max(1, *ratios, 1)), ylim=(len(ratios) - 0.4, -0.6))
        ax.set_xlabel("ratio p(neighbor) / p(text)")
        ax.set_title(title or "", pad=16)
    return _once(fig)


def neighbors(log_score: Tensor, x: Tensor, alphabet: Alphabet, top: int) -> list[tuple[str, float]]:
    """The best neighbors, the change in brackets as in c[o]t, and their ratios; none with the ratio 0.

    Of a long text there is only the part around the change, after the number of its position.
    """
    others = log_score.detach().cpu().double().scatter(-1, x.cpu()[:, None], -np.inf)  # a text is not its neighbor
    values, cells = others.exp().nan_to_num(0, posinf=0).flatten().sort(descending=True, stable=True)
    text, found = "".join(spell(x.tolist(), alphabet)), []
    for value, cell in zip(values[:top].tolist(), cells[:top].tolist()):
        place, state = divmod(cell, others.shape[1])
        before, change, after = text[:place], *spell([state], alphabet, SPACE), text[place + 1 :]
        if len(x) > 2 * AROUND:
            before = f"{place}: " + ("…" + before[1 - AROUND :] if place > AROUND else before.rjust(AROUND))
            after = after[:AROUND].ljust(AROUND)
        found += [(f"{before}[{change}]{after}", value)] if value > 0 else []
    return found


def figures(ratio: float) -> str:
    return f"{ratio:,.0f}" if 1000 <= ratio < 1e7 else f"{ratio:.3g}"


def ladder(words: Iterable[str], *, highlight: Sequence[str] = (), title: str | None = None) -> Figure:
    """A map of words of one length: an edge joins two that differ in one character.

    highlight: a way through them, drawn bold, its steps numbered from 0; dotted where more than one character changes.
    """
    words = list(dict.fromkeys([*words, *highlight]))
    letters = np.array([list(word) for word in words])  # (W, L)
    apart = (letters[:, None] != letters).sum(-1)  # (W, W): Hamming distances
    width, height = 8, 3 + min(len(words), 60) / 20
    way, edges = [words.index(word) for word in highlight], np.argwhere(np.triu(apart == 1))
    strokes = np.array([*zip(way, way[1:])], dtype=int).reshape(-1, 2)
    place = _layout(apart == 1, strokes, width - 1, height - 1)
    with plt.rc_context(STYLE):
        fig, ax = plt.subplots(figsize=(width, height))
        ax.add_collection(LineCollection(place[edges], colors="#999999", linewidths=0.8, zorder=1))
        for i, j in strokes:
            ax.plot(*place[[i, j]].T, "-" if apart[i, j] <= 1 else ":", color=COLOURS[1], linewidth=3, zorder=2)
        for i, (word, spot) in enumerate(zip(words, place)):
            color, weight = (COLOURS[1], "bold") if i in way else ("#999999", "normal")
            box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": color}
            ax.text(*spot, word, ha="center", va="center", family="monospace", weight=weight, bbox=box, zorder=3)
            if i in way:
                steps = ",".join(str(step) for step, node in enumerate(way) if node == i)
                disc = {"boxstyle": "circle,pad=0.15", "color": COLOURS[1]}
                ax.annotate(steps, spot, (14, 9), textcoords="offset points", ha="center", va="center", zorder=4,
                            fontsize=8, color="white", bbox=disc)  # fmt: skip
        ax.set_axis_off()
        ax.set(xlim=(-0.5, width - 0.5), ylim=(-0.5, height - 0.5))
        ax.set_title(title or "")
    return _once(fig)


def _layout(edges: np.ndarray, strokes: np.ndarray, width: float, height: float) -> np.ndarray:
    """Places (W, 2) in inches for the nodes of a graph (W, W): as far apart on paper as it is along the edges.

    Stress majorisation (Gansner, Koren, North, 2004) from a fixed start; then words are pushed from where they overlap
    each other or a stroke: (K, 2), the numbers of its ends.
    """
    steps = np.where(edges, 1.0, np.inf)
    np.fill_diagonal(steps, 0)
    for middle in range(len(steps)):  # shortest ways (Floyd and Warshall)
        steps = np.minimum(steps, steps[:, [middle]] + steps[middle])
    steps[np.isinf(steps)] = 1 + len(steps) ** 0.5  # no way at all
    weight = 1 / (steps + np.eye(len(steps))) ** 2 - np.eye(len(steps))
    place = np.random.default_rng(0).normal(size=(len(steps), 2))
    inverse = np.linalg.inv(np.diag(weight.sum(1)) - weight + 1)
    for _ in range(300):
        gap = place[:, None] - place  # (W, W, 2)
        length = np.linalg.norm(gap, axis=-1, keepdims=True) + 1e-9
        place = inverse @ (weight[..., None] * steps[..., None] * gap / length).sum(1)
    place = place @ np.linalg.svd(place, full_matrices=False)[2].T  # the long way across
    for _ in range(100):
        place = (place - place.min(0)) / (np.ptp(place, axis=0) + 1e-9) * [width, height]
        gap = place[:, None] - place
        overlap = (abs(gap) < WORD_BOX).all(-1)
        start, line = place[strokes[:, :1]], place[strokes[:, 1:]] - place[strokes[:, :1]]  # (K, 1, 2)
        along = ((place - start) * line).sum(-1, keepdims=True) / ((line**2).sum(-1, keepdims=True) + 1e-9)
        off = place - start - along.clip(0, 1) * line  # (K, W, 2): from the nearest point of each stroke
        near = (abs(off) < np.array(WORD_BOX) / 2).all(-1)
        place = place + 0.05 * (overlap[..., None] * np.sign(gap)).sum(1) + 0.2 * (near[..., None] * off).sum(0)
    return place


def curve(
    lines: dict[str, Sequence],
    *,
    exact: float | None = None,
    x: str = "seconds",
    y: str = "nats per character",
    title: str | None = None,
) -> Figure:
    """Curves by name, each a list of train.Point or of (x, y); of Points the bound, in a band of one standard error.

    exact: the best that is possible, dashed. x: a field of Point ("seconds", "step"), or any name for the axis.
    """
    with plt.rc_context(STYLE):
        fig, ax = plt.subplots(figsize=(8, 4))
        for i, (name, points) in enumerate(lines.items()):
            points = [(getattr(p, x), p.bound, p.standard_error) if isinstance(p, Point) else p for p in points]
            xs, ys, *errors = np.array(points, dtype=float).T
            style = {"color": COLOURS[i % 6], "linestyle": LINES[i % 6], "marker": MARKERS[i % 6], "markersize": 4}
            ax.plot(xs, ys, label=name, **style)
            for error in errors:
                ax.fill_between(xs, ys - error, ys + error, color=COLOURS[i % 6], alpha=0.2, linewidth=0)
        if exact is not None:
            ax.axhline(exact, color="black", linestyle="--", linewidth=1, label=f"exact: {exact:.3g}")
        ax.set(xlabel=x, ylabel=y)
        for axis, (low, high), far in [(ax.xaxis, ax.dataLim.intervalx, 30), (ax.yaxis, ax.dataLim.intervaly, 5)]:
            if high > far * low > 0:
                getattr(ax, f"set_{axis.axis_name}scale")("log")
                axis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}")
                axis.set_minor_formatter(NullFormatter())
        ax.grid(alpha=0.3)
        ax.set_title(title or "")
        ax.legend()
    return _once(fig)


def _once(fig: Figure) -> Figure:
    """A figure that the notebook shows where it is asked to, and not a second time at the end of the cell."""
    plt.close(fig)
    return fig
