"""Still plots: the neighbors of a text, word ladders and training curves.

Each function returns a matplotlib Figure with alt text. A notebook displays it if it is the last line of a cell.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter
from PIL import Image
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.show.fonts import drawable, families
from tinysedd.show.frames import COLUMNS, MASK, printable
from tinysedd.train import Point

COLORS = ["#0072B2", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00"]  # Okabe and Ito's
TRUTH, MODEL, RIVAL = "#1a1a1a", COLORS[0], COLORS[5]  # in every figure of the course
RATIOS = "RdBu_r"  # color map of score maps: blue below ratio 1, nearly white at 1, red above
ZERO = "#dddddd"  # behind the hatching of cells with ratio 0, so that cells near ratio 1 stand out
DECADES = 3  # a score map has its full colors from a ratio of 10^-3 down and of 10^3 up
LINES, MARKERS = ["-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3))], "osD^vP"
STYLE: dict = {"font.size": 9, "axes.titlesize": 10, "axes.titlelocation": "left", "axes.spines.top": False,
               "axes.spines.right": False, "figure.constrained_layout.use": True}  # fmt: skip
CSS_DPI = 96  # pixels of a web page per inch
SHORT = 16  # up to this length, a text gets wide columns
MOST_ROWS = 120  # of a heat map
AROUND = 12  # characters shown on each side of a change in a long text
WORD_BOX = (0.55, 0.36)  # width and height of a word in a ladder, in inches
SPACE = "␣"


def heatmap(
    log_score: Tensor,
    x: Tensor,
    alphabet: Alphabet,
    *,
    compare_to: Tensor | None = None,
    title: str | Sequence[str] | None = None,
    decades: int = DECADES,
) -> Figure:
    """The concrete scores of all neighbors of a text, in colors on a log10 scale that is the same in every picture.

    log_score   (L, S) in nats: entry (i, y) belongs to the text with x_i replaced by y
    x           (L,) the text's states
    compare_to  other log-scores (L, S), drawn with the same colors beside the first (below, if the text is long)
    title       a title, or a pair of titles with `compare_to`
    decades     the colors range from a ratio of 10^-decades to one of 10^decades; keep it in pictures to be compared
    Each column is a position and each row a state; the blank cells spell the text. Ratio 1 is nearly white, larger
    ratios are red and smaller ones blue. Long texts are wrapped. Hatched cells have ratio 0, or no defined ratio
    because p(text) = 0. Of more than 120 states, only those of the text and the 60 with the largest ratios are shown.
    """
    maps = [log10_ratios(scores) for scores in (log_score, compare_to) if scores is not None]
    titles = [title, None] if title is None or isinstance(title, str) else title
    rows = list(range(maps[0].shape[1]))
    if len(rows) > MOST_ROWS:
        best = np.nan_to_num(np.maximum.reduce(maps), nan=-np.inf, posinf=-np.inf).max(0).argsort()[-MOST_ROWS // 2 :]
        rows = sorted({*best.tolist(), *x.tolist()})
    L, S = len(x), len(rows)
    starts = range(0, L, COLUMNS)
    down, across = (1, len(maps)) if L <= SHORT else (len(maps) * len(starts), 1)
    width = max(0.5 * across * L + 2.4, 4.5) if L <= SHORT else 8.5
    height = down * (S * (0.16 if S <= 27 else 0.13 if S <= 40 else 0.08) + 0.6) + 0.5  # inches
    with plt.rc_context(STYLE):
        fig, axes = plt.subplots(down, across, figsize=(width, height), squeeze=False)
        panels = [(*pair, start) for pair in zip(maps, titles) for start in starts]
        meshes = []
        for ax, (m, title, start) in zip(axes.flat, panels):
            part = slice(start, start + COLUMNS)
            meshes.append(_panel(ax, m[part][:, rows], x[part].tolist(), alphabet, rows, start, decades))
            ax.set_title(title if title and start == 0 else "")
        fig.colorbar(meshes[0], ax=axes, label="log10 of p(neighbor) / p(text)", pad=0.02, aspect=30,
                     extend="both", ticks=range(-decades, decades + 1))  # fmt: skip
        outlined = Patch(facecolor="white", edgecolor="black", label="the text itself")
        has_mask, visible = len(alphabet) < maps[0].shape[1], x < len(alphabet)
        frozen = bool(has_mask and visible.any())  # visible characters, which never change
        undefined = any((np.isnan(m) | (m == np.inf)).any() for m in maps)
        zero = f"ratio 0 (log10 is −inf){', or a jump that never happens' * frozen}{', or p(text) = 0' * undefined}"
        hatched = Patch(facecolor=ZERO, edgecolor="#aaa", hatch="/////", label=zero)
        handles = [outlined, hatched] if any((~(m > -np.inf)).any() for m in maps) else [outlined]
        fig.legend(handles=handles, loc="outside lower left", ncols=2 if width > 5 else 1, fontsize=8)
    shown = " and ".join(filter(None, titles)) or "Score map"
    text, best = "".join(state_labels(x.tolist(), alphabet)), neighbors(log_score, x, alphabet, 1)
    found = f"best neighbor {best[0][0]}, ratio {format_ratio(best[0][1])}" if best else "no jump is possible"
    return describe(fig, f"{shown}: ratios of all neighbors of “{text}”; {found}", wide=L > SHORT)


def _panel(
    ax: Axes, m: np.ndarray, x: list[int], alphabet: Alphabet, states: list[int], start: int, decades: int
) -> QuadMesh:
    """Draw a part (columns, S) of a heat map. states: what its S rows are. start: the position of its first column."""
    columns, S = m.shape
    mesh = ax.pcolormesh(np.ma.array(m, mask=~(m > -np.inf)).T, cmap=RATIOS, vmin=-decades, vmax=decades)
    ax.patch.set(facecolor=ZERO, hatch="/////", edgecolor="#aaa")
    for i, row in enumerate(map(states.index, x)):  # its ratio is 1, whatever the score
        ax.add_patch(Rectangle((i, row), 1, 1, facecolor="white", edgecolor="black", linewidth=1, clip_on=False))
    indent = ["", "  " if S > 40 else ""]  # where rows are narrow, every other label is further out
    rows = state_labels(states, alphabet, SPACE)
    ax.set_yticks(np.arange(S) + 0.5, [c + indent[i % 2] for i, c in enumerate(rows)])
    ax.set_xticks(np.arange(columns) + 0.5, state_labels(x, alphabet))
    tenth = [i for i in range(columns) if columns > SHORT and (start + i) % 10 == 0]
    ax.set_xticks(np.array(tenth) + 0.5, [str(start + i) for i in tenth], minor=True, fontsize=8)
    ax.xaxis.remove_overlapping_locs = False
    ax.tick_params(length=0, pad=2)
    ax.tick_params("x", pad=9)
    ax.tick_params("x", which="minor", length=0, pad=11)
    for label in [*ax.get_xticklabels(), *ax.get_yticklabels()]:
        label.set(family="monospace", size=8 if columns > SHORT or S > 27 else 9)
    for label in ax.get_xticklabels():
        label.set_verticalalignment("baseline")
    some = f" ({S} of {len(alphabet)})" if max(states) >= S else ""
    ax.set(xlim=(0, columns), ylim=(S, 0), ylabel=f"new character{some}")
    return mesh


def log10_ratios(log_score: Tensor) -> np.ndarray:
    """Log-scores in nats, converted to log10, float64."""
    return log_score.detach().cpu().double().numpy() / np.log(10)


def state_labels(states: Iterable[int], alphabet: Alphabet, space: str = " ") -> list[str]:
    """One printable character per state; the mask is a dot. space: how to show a space."""
    shown = alphabet.characters + MASK
    return list(drawable("".join(space if shown[state] == " " else printable(shown[state]) for state in states)))


def bars(
    log_score: Tensor, x: Tensor, alphabet: Alphabet, *, top: int = 12, title: str | None = None, color: str = TRUTH
) -> Figure:
    """The `top` neighbors of a text with the largest concrete scores, best first.

    log_score: (L, S) in nats. x: (L,) the text's states. Neighbors with ratio 0 are left out. color: MODEL, if a model
    gave the scores.
    """
    best = neighbors(log_score, x, alphabet, top)
    labels, ratios = zip(*best) if best else (["no neighbor"], [0.0])
    with plt.rc_context(STYLE):
        fig, ax = plt.subplots(figsize=(8 if len(x) > SHORT else 5.5, 0.25 * len(ratios) + 1))
        ax.axvline(1, color="black", linewidth=1, linestyle="--")
        ax.text(1, 1, " ratio 1", transform=ax.get_xaxis_transform(), fontsize=8, va="bottom")
        container = ax.barh(range(len(ratios)), ratios, color=color, height=0.7, zorder=2)
        for label in ax.bar_label(container, [format_ratio(ratio) for ratio in ratios], padding=3, fontsize=8):
            label.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})
        ax.set_yticks(range(len(ratios)), labels, family="monospace", parse_math=False)
        ax.set(xlim=(0, 1.12 * max(1, *ratios, 1)), ylim=(len(ratios) - 0.4, -0.6))
        ax.set_xlabel("ratio p(neighbor) / p(text)")
        ax.set_title(title or "", pad=16)
    listed = ", ".join(f"{label.strip()} {format_ratio(ratio)}" for label, ratio in best) or "none"
    return describe(fig, f"{title or 'Best neighbors'}: {listed}")


def neighbors(log_score: Tensor, x: Tensor, alphabet: Alphabet, top: int) -> list[tuple[str, float]]:
    """A (label, ratio) pair for each of the `top` neighbors with the largest ratios; none with ratio 0.

    A label has the changed character in brackets, as in c[o]t. For a long text it is the position of the change and the
    characters around it.
    """
    others = log_score.detach().cpu().double().scatter(-1, x.cpu()[:, None], -np.inf)  # a text is not its own neighbor
    values, cells = others.exp().nan_to_num(0, posinf=0).flatten().sort(descending=True, stable=True)
    text, found = "".join(state_labels(x.tolist(), alphabet)), []
    for value, cell in zip(values[:top].tolist(), cells[:top].tolist()):
        position, state = divmod(cell, others.shape[1])
        before, change, after = text[:position], *state_labels([state], alphabet, SPACE), text[position + 1 :]
        if len(x) > 2 * AROUND:
            cut = position > AROUND
            before = f"{position}: " + ("…" + before[1 - AROUND :] if cut else before.rjust(AROUND))
            after = after[:AROUND].ljust(AROUND)
        found += [(f"{before}[{change}]{after}", value)] if value > 0 else []
    return found


def format_ratio(ratio: float) -> str:
    """A ratio with 3 significant digits, or in full from 1,000 up to ten million."""
    return f"{ratio:,.0f}" if 1000 <= ratio < 1e7 else f"{ratio:.3g}"


def ladder(words: Iterable[str], *, highlight: Sequence[str] = (), title: str | None = None) -> Figure:
    """A map of words of equal length, with an edge between any two words that differ in one character.

    highlight: a path of words, drawn in bold with its steps numbered from 0. A step that changes more than one
    character is dotted.
    """
    words = list(dict.fromkeys([*words, *highlight]))
    letters = np.array([list(word) for word in words])  # (W, L)
    distance = (letters[:, None] != letters).sum(-1)  # (W, W): Hamming distances
    width, height = 8, 3 + min(len(words), 60) / 20
    path, edges = [words.index(word) for word in highlight], np.argwhere(np.triu(distance == 1))
    strokes = np.array([*zip(path, path[1:])], dtype=int).reshape(-1, 2)
    position = _layout(distance == 1, strokes, width - 1, height - 1)
    with plt.rc_context(STYLE):
        fig, ax = plt.subplots(figsize=(width, height))
        ax.add_collection(LineCollection(list(position[edges]), colors="#999999", linewidths=0.8, zorder=1))
        for i, j in strokes:
            line = "-" if distance[i, j] <= 1 else ":"
            ax.plot(*position[[i, j]].T, line, color=COLORS[1], linewidth=3, zorder=2)
        for i, (word, (x, y)) in enumerate(zip(words, position)):
            color, weight = (COLORS[1], "bold") if i in path else ("#999999", "normal")
            box = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": color}
            style = {"ha": "center", "va": "center", "family": "monospace", "weight": weight, "zorder": 3}
            ax.text(x, y, drawable(word), bbox=box, **style)
            if i in path:
                steps = ",".join(str(step) for step, node in enumerate(path) if node == i)
                disc = {"boxstyle": "circle,pad=0.15", "color": COLORS[1]}
                ax.annotate(steps, (x, y), (14, 9), textcoords="offset points", ha="center", va="center", zorder=4,
                            fontsize=8, color="white", bbox=disc)  # fmt: skip
        ax.set_axis_off()
        ax.set(xlim=(-0.5, width - 0.5), ylim=(-0.5, height - 0.5))
        ax.set_title(title or "")
    along = f"; the path {' → '.join(highlight)}" if highlight else ""
    return describe(
        fig, f"{title or 'Word ladder'}: {len(words)} words, {len(edges)} pairs one letter apart{along}", wide=True
    )


def _layout(edges: np.ndarray, strokes: np.ndarray, width: float, height: float) -> np.ndarray:
    """Positions (W, 2) in inches for the nodes of a graph with adjacency matrix `edges` (W, W), bool.

    Stress majorization (Gansner, Koren, North, 2004): distances on paper approximate the lengths of shortest paths.
    Then words that overlap each other, or a stroke of the highlighted path, are pushed apart. strokes: (K, 2), the
    nodes at both ends of each stroke. The start is fixed, so equal graphs get equal layouts.
    """
    steps = np.where(edges, 1.0, np.inf)
    np.fill_diagonal(steps, 0)
    for middle in range(len(steps)):  # shortest paths (Floyd and Warshall)
        steps = np.minimum(steps, steps[:, [middle]] + steps[middle])
    steps[np.isinf(steps)] = 1 + len(steps) ** 0.5  # not connected
    weight = 1 / (steps + np.eye(len(steps))) ** 2 - np.eye(len(steps))
    position = np.random.default_rng(0).normal(size=(len(steps), 2))
    inverse = np.linalg.inv(np.diag(weight.sum(1)) - weight + 1)
    for _ in range(300):
        gap = position[:, None] - position  # (W, W, 2)
        length = np.linalg.norm(gap, axis=-1, keepdims=True) + 1e-9
        position = inverse @ (weight[..., None] * steps[..., None] * gap / length).sum(1)
    position = position @ np.linalg.svd(position, full_matrices=False)[2].T  # turn the long axis to the horizontal
    for _ in range(100):
        position = (position - position.min(0)) / (np.ptp(position, axis=0) + 1e-9) * [width, height]
        gap = position[:, None] - position
        overlap = (abs(gap) < WORD_BOX).all(-1)
        start, end = position[strokes[:, :1]], position[strokes[:, 1:]]  # each (K, 1, 2)
        line = end - start
        along = ((position - start) * line).sum(-1, keepdims=True) / ((line**2).sum(-1, keepdims=True) + 1e-9)
        offset = position - start - along.clip(0, 1) * line  # (K, W, 2): from the nearest point of each stroke
        near = (abs(offset) < np.array(WORD_BOX) / 2).all(-1)
        position = position + 0.05 * (overlap[..., None] * np.sign(gap)).sum(1)
        position = position + 0.2 * (near[..., None] * offset).sum(0)
    return position


def curve(
    lines: Mapping[str, Sequence],
    *,
    exact: float | None = None,
    x: str = "seconds",
    y: str = "nats per character",
    title: str | None = None,
) -> Figure:
    """Curves by name. Each is a list of `train.Point`, or of (x, y) or (x, y, standard error) tuples.

    exact  the best possible value, drawn as a dashed line
    x      with Points, the field to plot against ("seconds" or "step"); also the label of the x axis
    y      the label of the y axis
    A Point is plotted by its bound. Standard errors are drawn as a band of one standard error on each side. An axis is
    logarithmic if its values are positive and spread over a wide range.
    """
    with plt.rc_context(STYLE):
        fig, ax = plt.subplots(figsize=(8, 4))
        for i, (name, points) in enumerate(lines.items()):
            points = [(getattr(p, x), p.bound, p.standard_error) if isinstance(p, Point) else p for p in points]
            xs, ys, *errors = np.array(points, dtype=float).T
            style = {"color": COLORS[i % 6], "linestyle": LINES[i % 6], "marker": MARKERS[i % 6], "markersize": 4}
            ax.plot(xs, ys, label=name, **style)
            for error in errors:
                ax.fill_between(xs, ys - error, ys + error, color=COLORS[i % 6], alpha=0.2, linewidth=0)
        if exact is not None:
            ax.axhline(exact, color="black", linestyle="--", linewidth=1, label=f"exact: {exact:.3g}")
        ax.set(xlabel=x, ylabel=y)
        for axis, (low, high), factor in [(ax.xaxis, ax.dataLim.intervalx, 30), (ax.yaxis, ax.dataLim.intervaly, 5)]:
            if high > factor * low > 0:
                getattr(ax, f"set_{axis.axis_name}scale")("log")
                axis.set(major_locator=LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}")
                axis.set_minor_formatter(NullFormatter())
        ax.grid(alpha=0.3)
        ax.set_title(title or "")
        ax.legend()
    ends = [f"{line.get_label()} ends at {np.asarray(line.get_ydata())[-1]:.3g}" for line in ax.lines]
    return describe(fig, f"{title or y}: {', '.join(ends)}")


def describe(fig: Figure, alt: str, *, wide: bool = False) -> Figure:
    """The same figure, which a notebook now displays with an alt text. Make it the last line of a cell.

    alt   what someone learns who cannot see the picture: what is drawn, and what it shows
    wide  on a narrow screen, scroll the picture instead of shrinking it
    The picture has double resolution, and a white background on dark pages too. A text with characters that its font
    lacks gets the fonts that have them.
    """
    for text in fig.findobj(Text):
        if not text.get_text().isascii():
            text.set_fontfamily([*text.get_fontfamily(), *families(text.get_text())])
    plt.close(fig)  # or the notebook would display it a second time, without its alt text
    vars(fig)["_ipython_display_"] = partial(_display, fig, alt, wide)  # comes before IPython's own way to show it
    return fig


def _display(fig: Figure, alt: str, wide: bool) -> None:
    from IPython.display import display

    fig.savefig(file := io.BytesIO(), format="png", dpi=2 * CSS_DPI, bbox_inches="tight", facecolor="white")
    image = Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE)  # a third of the size
    image.save(file := io.BytesIO(), "PNG", optimize=True)
    metadata = {"alt": alt, "width": image.width // 2, "unconfined": wide}
    data = {"image/png": file.getvalue(), "text/plain": alt}
    display(data, metadata={"image/png": metadata}, raw=True)
