"""A plot for each part, 800 pixels wide. Series differ in marker or line as well as in color (Okabe-Ito)."""

import contextlib
import statistics
from collections.abc import Iterator
from pathlib import Path

import growth as growth_part
import matplotlib
import numpy as np
import quality as quality_part
import sampling as sampling_part
from measure import format_number

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLACK, ORANGE, GREEN, BLUE, RED, PINK = (
    "#000000", "#E69F00", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
)  # fmt: skip
STYLES = [(BLUE, "o", "-"), (RED, "s", "--"), (GREEN, "^", "-."), (BLACK, "D", ":"), (PINK, "v", (0, (5, 1, 1, 1)))]


@contextlib.contextmanager
def _page(path: Path, title: str, quick: bool, rows: int = 1, columns: int = 1, height: float = 4.5) -> Iterator:
    """Yields the axes (rows, columns) of a figure that is saved at the end."""
    look = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True}
    with plt.rc_context(look | {"grid.color": "#dddddd", "axes.axisbelow": True, "legend.frameon": False}):
        figure, axes = plt.subplots(rows, columns, figsize=(8, height), dpi=100, squeeze=False, layout="constrained")
        figure.suptitle(title + (" (QUICK: means nothing)" if quick else ""), fontsize=12)
        yield axes
        figure.savefig(path)
        plt.close(figure)


def likelihood(values: dict, path: Path, quick: bool) -> None:
    """Nats per character of each contestant: a marker per seed, a bar at the mean."""
    labels = {
        "ar": "autoregressive\n(nanoGPT's recipe)",
        "published": "SEDD\nas published",
        "ours": "ours",
        "ours_sixth": "ours,\na sixth of the time",
    }
    with _page(path, "The last tenth of the text, after equal training time", quick) as axes:
        each = {name: [r[name]["nats"] for r in values["rounds"]] for name in labels}
        T = statistics.fmean(r["ar"]["seconds"] for r in values["rounds"])
        _marks(axes[0, 0], list(labels.values()), list(each.values()), digits=4)
        axes[0, 0].set_ylabel("nats per character (bound; autoregressive: exact)")
        axes[0, 0].set_xlabel(f"trained for T = {T:.0f} s each, the last for T / 6")


def tune(values: dict, path: Path, quick: bool) -> None:
    """The bound of the published recipe against its learning rate, one line per batch size and EMA decay."""
    with _page(path, f"SEDD as published, tuned; each for {values['T']:.0f} s", quick) as axes:
        tried = values["tried"]
        for (batch, ema_decay), (color, mark, line) in zip(
            dict.fromkeys((r["batch"], r["ema_decay"]) for r in tried), STYLES * 3
        ):
            own = sorted((r["lr"], r["nats"]) for r in tried if (r["batch"], r["ema_decay"]) == (batch, ema_decay))
            label = f"batch {batch}, EMA decay {ema_decay:g}"
            axes[0, 0].plot(*zip(*own), color=color, marker=mark, linestyle=line, label=label)
        axes[0, 0].set(xscale="log", xlabel="peak learning rate", ylabel="bound, nats per character")
        _ticks(axes[0, 0].xaxis, sorted({r["lr"] for r in tried}))
        axes[0, 0].legend()


def sampling(values: dict, path: Path, quick: bool) -> None:
    """Quality against time relative to the plain sampler: one row per checkpoint, one column per quality."""
    names = {
        "fables": "share of valid fables",
        "judge": "autoregressive judge, nats/char",
        "trigram_divergence": "trigram divergence, nats",
    }
    rows = {"fables": ["fables", "trigram_divergence"], "shakespeare": ["judge", "trigram_divergence"]}
    with _page(path, "Quality of the text against time", quick, 2, 2, 6.4) as axes:
        for (ground, keys), row in zip(rows.items(), axes):
            schemes = sampling_part.compare(ground, values[ground])
            for key, axis in zip(keys, row):
                _qualities(axis, schemes, key)
                real = statistics.fmean(r["quality"][key] for r in values[ground]["real"])
                axis.axhline(real, color=BLACK, linestyle="--", linewidth=1, label="real text")
                axis.axvline(1 / 40, color="#777777", linestyle=":", label="1/40 of the time")
                axis.set(xscale="log", ylabel=names[key], title=ground)
                _ticks(
                    axis.xaxis,
                    [1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1],
                    ["1/64", "1/32", "1/16", "1/8", "1/4", "1/2", "1"],
                )
        for axis in axes[-1]:
            axis.set_xlabel("time / plain sampler's (filled: as good)")
        handles, labels = axes[-1, -1].get_legend_handles_labels()
        axes[0, 0].figure.legend(handles, labels, loc="outside lower center", ncols=3)


def _qualities(axis, schemes: list[dict], key: str) -> None:
    groups = [
        ("plain", f"plain ({sampling_part.CHAIN})", (BLACK, "*", "none")),
        ("lazy", "the same chain, asking about what is drawn", (ORANGE, "D", "none")),
        ("bfloat16", "the same with bfloat16 matmuls", (ORANGE, "s", "none")),
        ("corrected", "corrected", STYLES[0]),
        ("first_hitting", "first_hitting", STYLES[1]),
        ("entropy_bounded", "entropy_bounded", STYLES[2]),
        ("spread", "spread", STYLES[3]),
        ("planned", "planned", STYLES[4]),
    ]
    for group, label, (color, mark, line) in groups:
        own = [s for s in schemes if group in (s["role"], s["sampler"] if s["role"] == "scheme" else "")]
        x = [statistics.fmean(s["time_ratios"]) for s in own]
        y = [statistics.fmean(s["quality"][key]) for s in own]
        size = 11 if mark == "*" else 6
        axis.plot(x, y, color=color, marker=mark, linestyle=line, markersize=size, markerfacecolor="none", label=label)
        # a filled marker: as good as the plain sampler
        good = [(a, b) for a, b, s in zip(x, y, own) if s["as_good"] and s["role"] == "scheme"]
        axis.plot(*(zip(*good) if good else ([], [])), color=color, marker=mark, linestyle="none", markersize=size)


def ledger(values: dict, path: Path, quick: bool) -> None:
    """Both curves; then, by steps, what even and best groups lose, and the least that the share of fables allows."""
    with _page(path, "What groups of characters cost (fables)", quick, 1, 2, 4.2) as axes:
        left, right = axes[0]
        left.plot(values["g"], color=BLUE, label="g: cross-entropy of the model")
        left.plot(values["f"], color=BLACK, linestyle="--", label="f: exact entropy")
        left.set(xlabel="characters known, of 64", ylabel="nats per masked character")
        steps = [entry["steps"] for entry in values["steps"]]
        for name, (color, mark, line) in (("spread", STYLES[3]), ("planned", STYLES[4])):
            total = [entry[name]["learning"] + entry[name]["factorization"] for entry in values["steps"]]
            valid = [statistics.fmean(entry["valid"][name]) for entry in values["steps"]]
            least = [-np.log(share) if share else np.nan for share in valid]  # no valid text proves nothing
            right.plot(steps, total, color=color, marker=mark, linestyle=line, label=f"{name}, at most")
            right.plot(steps, least, color=color, marker=mark, linestyle="none", fillstyle="none", label="at least")
        learning = [entry["planned"]["learning"] for entry in values["steps"]]
        right.plot(steps, learning, color=GREEN, linestyle="-.", label="of planned: learning error")
        right.set(xscale="log", yscale="log", xlabel="steps", ylabel="KL(data || samples), nats per text")
        _plain_ticks(right.yaxis)
        right.set_xticks(steps, steps)
        right.minorticks_off()
        right.set_ylim(bottom=0.002)  # room for the legend
        left.legend()
        right.legend(loc="lower left")


def worlds(values: dict, path: Path, quick: bool) -> None:
    """Lines per second and milliseconds per table, with their targets."""
    with _page(path, "How fast the exact answers are", quick, 1, 2, 3.8) as axes:
        names = ["Absorbing", "Uniform"]

        def each(what: str) -> list[list[float]]:
            return [[m["seconds"] for m in values[what] if m["process"] == name] for name in names]

        speeds = [[values["lines"] / s for s in own] for own in each("posterior")]
        tables = [[1e3 * s for s in own] for what in ("table", "oracle") for own in each(what)]
        _marks(axes[0, 0], names, speeds)
        axes[0, 0].axhline(1000, color=BLACK, linestyle="--", label="target: 1,000 or more")
        axes[0, 0].set(title="Fables: exact posteriors", ylabel="lines per second")
        _marks(
            axes[0, 1],
            ["Absorbing,\ntable", "Uniform,\ntable", "Absorbing,\ntext by text", "Uniform,\ntext by text"],
            tables,
        )
        axes[0, 1].axhline(50, color=BLACK, linestyle="--")
        axes[0, 1].text(3.6, 53, "target for the table: 50 or less", ha="right", va="bottom")
        axes[0, 1].set(title="Words: all scores at one sigma", ylabel="milliseconds", yscale="log")
        axes[0, 0].legend(loc="lower left")
        axes[0, 1].tick_params(axis="x", labelsize=8.5)
        _plain_ticks(axes[0, 1].yaxis)
        axes[0, 0].set_ylim(0)


def small(values: dict, path: Path, quick: bool) -> None:
    """Seconds of the imports and of the cold start, one marker per repeat, and the peak memory of training."""
    memory = values["peak_bytes"]
    with _page(path, "Small", quick, 1, 2, 3.8) as axes:
        names = {
            "torch": "import\ntorch",
            "tinysedd": "import\ntinysedd",
            "cold_start": "sample,\ncold",
            "sampling": "sample,\nwarm",
        }
        _marks(axes[0, 0], list(names.values()), [values[name] for name in names], statistics.median)
        torch_, sampling_ = statistics.median(values["torch"]), statistics.median(values["sampling"])
        _limit(axes[0, 0], 1, 1.3 * torch_)
        _limit(axes[0, 0], 2, 2 * torch_ + sampling_)
        _marks(axes[0, 1], [f"train --steps {values.get('steps', '')}"], [[b / 1e9 for b in memory]])
        _limit(axes[0, 1], 0, 1.0)
        axes[0, 1].set(ylabel="GB", title="peak memory", ylim=(0, 1.15), xlim=(-1, 1))
        axes[0, 0].set(ylabel="seconds", title="start", ylim=(0, None))
        axes[0, 0].legend(loc="lower center")


def fuzz(values: dict, path: Path, quick: bool) -> None:
    """How the cases of each kind ended, on a logarithmic scale."""
    ends = [(f"{name}: {end}", count) for name, part in values.items() for end, count in sorted(part["ends"].items())]
    with _page(path, "Random commands, calls and damaged files", quick, height=1 + 0.4 * len(ends)) as axes:
        labels, counts = zip(*reversed(ends))
        colors = ["#D55E00" if label.endswith("failed") else "#0072B2" for label in labels]
        axes[0, 0].bar_label(axes[0, 0].barh(labels, counts, color=colors), padding=3)
        axes[0, 0].set(xscale="log", xlabel="cases")


def growth(values: dict, path: Path, quick: bool) -> None:
    """Log-log plots of the time and memory of a step against each size, with their fits."""
    count = len(values["series"])
    with _page(path, "What a training step costs", quick, count, 2, 2.75 * count) as axes:
        for row, name in zip(axes, values["series"]):
            for way, (color, mark, line) in zip(values["ways"], STYLES):
                series, fitted = growth_part.points(values, way, name), growth_part.law(values, way, name)
                x = np.geomspace(min(series["x"]), max(series["x"]), 50)
                for axis, key, unit in zip(row, ("seconds", "bytes"), (1, 1e6)):
                    power, factor = fitted[key]["exponent"], fitted[key]["factor"]
                    axis.plot(series["x"], [y / unit for y in series[key]], color=color, marker=mark, linestyle="none")
                    label = f"{way}: power {power:.2f}"
                    axis.plot(x, factor * x**power / unit, color=color, linestyle=line, label=label)
                    if name == "length" and key == "seconds":
                        a, b, c = fitted[key]["polynomial"]
                        label = None if axis.get_lines()[2:] else "$a + bL + cL^2$"
                        axis.plot(x, a + b * x + c * x**2, color=color, linewidth=3, alpha=0.35, label=label)
            for axis, what in zip(row, ("seconds per step", "MB per step")):
                axis.set(xscale="log", yscale="log", xlabel=name, ylabel=what)
                _decade_and_headroom(axis)
                _plain_ticks(axis.yaxis)
                if name == "parameters":
                    _ticks(axis.xaxis, series["x"], [f"{x / 1e6:.2g} M" for x in series["x"]])
                else:
                    _ticks(axis.xaxis, series["x"])
                axis.legend(loc="upper left", fontsize=8)


def quality(values: dict, path: Path, quick: bool) -> None:
    """The bound against seconds of training, one line per contestant and seed."""
    with _page(path, "The bound during training", quick) as axes:
        axis, labeled = axes[0, 0], set()
        styles = dict(zip(quality_part.CONTESTANTS, STYLES))
        for curve in values["curves"]:
            name = curve["contestant"]
            color, mark, line = styles[name]
            style = {"color": color, "marker": mark, "linestyle": line, "markersize": 5, "linewidth": 1.2}
            x = [point["seconds"] for point in curve["curve"]]
            y = [point["bound"] for point in curve["curve"]]
            label = None if name in labeled else quality_part.CONTESTANTS[name][0]
            labeled.add(name)
            axis.plot(x, y, label=label, markevery=max(len(x) // 12, 1), **style)
        # Above a uniform guess there is only noise: with random characters, the estimated bound of an untrained model
        # depends on a few extreme draws.
        axis.axhline(values["uniform_guess"], color=BLACK, linewidth=1, linestyle=":", label="a uniform guess")
        axis.set(xscale="log", xlabel="seconds of training", ylabel="nats per character (128 texts)")
        low = min(point["bound"] for curve in values["curves"] for point in curve["curve"])
        axis.set_ylim(min(0.95 * low, 0.9 * values["uniform_guess"]), 1.02 * values["uniform_guess"])
        _plain_ticks(axis.xaxis)
        axis.legend()


def _marks(axis, labels: list[str], each: list[list[float]], middle=statistics.fmean, digits: int = 3) -> None:
    """A column of markers for each label, with a bar and a number at their middle."""
    for place, own in enumerate(each):
        color, mark, _ = STYLES[place % len(STYLES)]
        if not own:
            continue
        around = [place + 0.08 * (i - (len(own) - 1) / 2) for i in range(len(own))]
        axis.plot(around, own, color=color, marker=mark, linestyle="none", markersize=7, alpha=0.8)
        axis.plot([place - 0.25, place + 0.25], [middle(own)] * 2, color=BLACK, linewidth=1.5)
        axis.annotate(format_number(middle(own), digits), (place + 0.28, middle(own)), va="center")
    axis.set_xticks(range(len(labels)), labels)
    axis.set_xlim(-0.6, len(labels) - 0.3)
    axis.grid(axis="x", visible=False)


def _limit(axis, place: int, value: float) -> None:
    label = None if axis.get_legend_handles_labels()[1] else "at most"
    axis.plot([place - 0.4, place + 0.4], [value] * 2, color=BLACK, linestyle="--", label=label)


def _decade_and_headroom(axis) -> None:
    """A logarithmic y axis of at least a decade, so noise does not look like growth, with room for a legend on top."""
    low, high = axis.get_ylim()
    low, high = min(low, (low * high / 10) ** 0.5), max(high, (low * high * 10) ** 0.5)
    axis.set_ylim(low, high * (high / low) ** 0.4)


def _ticks(axis, values: list[float], labels: list[str] | None = None) -> None:
    """Ticks at these values only, on a logarithmic axis, with plain numbers."""
    axis.set_major_locator(matplotlib.ticker.FixedLocator(values))
    axis.set_major_formatter(matplotlib.ticker.FixedFormatter(labels or [f"{value:g}" for value in values]))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())


def _plain_ticks(axis) -> None:
    """Ticks at 1, 2, 5, 10, ... on a logarithmic axis, with plain numbers."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(matplotlib.ticker.NullLocator())
