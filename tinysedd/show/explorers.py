"""Explorers: pictures with controls, for a notebook, where Python computes what each change shows.

What a reader types may be wrong: that is said, and the picture stays. The maps are SVG, since matplotlib would take
longer than a slider can wait.
"""

import base64
import io
import math
import time
from collections.abc import Callable
from functools import cache
from html import escape

import ipywidgets as w
import numpy as np
import torch
from matplotlib import colormaps, colors
from PIL import Image
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.process import Process
from tinysedd.sampling import SAMPLERS, Score, draw, sample
from tinysedd.show.frames import BREAK, CHANGED, COLUMNS, NOISING, compared, frames, legend
from tinysedd.show.pictures import still_png
from tinysedd.show.player import still_html
from tinysedd.show.plots import SHORT, SPACE, bars, figures, heatmap, limits, neighbors, spell, tens

WIDE, ROW = w.Layout(width="32em"), w.Layout(display="flex", flex_flow="row wrap", align_items="center")
NOISED = NOISING | {CHANGED: "changed"}  # since the text was clean
STYLE = """<style>
.tinysedd-show { line-height: 1.5; }
.tinysedd-show .beside { display: flex; flex-wrap: wrap; gap: 0.5em 2em; }
.tinysedd-show svg { max-width: 100%; }
.tinysedd-show text, .tinysedd-show pre { font: 12px "DejaVu Sans Mono", Menlo, Consolas, monospace; margin: 0; }
.tinysedd-show text { text-anchor: middle; fill: currentColor; }
.tinysedd-show .bars { display: grid; grid-template-columns: auto 12em auto; gap: 0.1em 0.8em; align-items: center; }
.tinysedd-show i { display: block; height: 1em; background: #0072b2; }
.tinysedd-show .key { display: inline-block; width: 10em; height: 0.8em; }
</style>"""


class Explorer:
    """A picture with controls; as the last line of a cell it shows itself, and a still picture where no kernel runs.

    rows     the controls, each with what it does before the picture is drawn anew (None: nothing)
    show     draws the picture, as HTML
    still    a PNG of the first state
    """

    def __init__(self, rows: list[dict[w.Widget, Callable | None]], show: Callable[[], str], still: bytes):
        self.show, self.still, self.acting = show, still, False
        self.picture, self.message = w.HTML(), w.HTML()
        self.widget = w.VBox([*(w.Box(list(row), layout=ROW) for row in rows), self.message, self.picture])
        for control, action in [item for row in rows for item in row.items()]:
            control.style.description_width = "initial"
            if isinstance(control, w.Button):
                control.layout.width = "auto"
                control.on_click(lambda _, action=action: self.do(action))
            else:
                control.observe(lambda _, action=action: self.do(action), "value")
        self.do()

    def do(self, action: Callable | None = None) -> None:
        """Act, then draw the picture anew. What goes wrong is said, and the picture stays."""
        if self.acting:  # and has moved another control: the picture is drawn once, at the end
            return
        self.acting = True
        try:
            if action is not None:
                action()
            self.picture.value = f'{STYLE}<div class="tinysedd-show">{self.show()}</div>'
            self.message.value = ""
        except Exception as error:  # whatever a reader's own score function raises would get lost in a widget
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            self.message.value = f'<div role="alert"><b>Not possible:</b> {escape(f"{kind}{error}")}</div>'
        finally:
            self.acting = False

    def _repr_mimebundle_(self, **kwargs) -> dict:
        text = "An explorer: run this cell to use its controls."
        still = {"image/png": base64.b64encode(self.still).decode(), "text/plain": text}
        return (self.widget._repr_mimebundle_(**kwargs) or {}) | still


def explore_neighbors(score: Score, process: Process, alphabet: Alphabet, text: str, *, sigma: float = 0.5) -> Explorer:
    """Type a text, set the total noise sigma, see the concrete scores of all neighbors, and jump to one of them.

    Texts have the length of the first; under Absorbing, _ is a mask. A random jump takes a neighbor in proportion to
    its concrete score, as the reverse process does.
    """
    length, generator = len(text), torch.Generator().manual_seed(0)
    box = w.Text(text.replace("\n", BREAK), description="Text", continuous_update=False, layout=WIDE)
    level = w.FloatLogSlider(sigma, min=-3, max=1, step=0.02, description="Total noise σ", readout_format=".3g")

    def encode(typed: str) -> Tensor:
        if len(typed) != length:
            raise ValueError(f"the text has {len(typed)} characters; here it must have {length}")
        ids, given = alphabet.encode_prompt(typed.replace(BREAK, "\n"), length)
        if process.mask is None and not given.all():
            raise ValueError("_ is a mask, and this process has none")
        return torch.where(given, ids, process.mask or 0)

    def decode(x: Tensor) -> str:
        return alphabet.decode(x).replace("\n", BREAK)

    visited = [encode(text)]

    def go_to(x: Tensor) -> None:
        if not x.equal(visited[-1]):
            visited.append(x)
        box.value = decode(x)

    def jump(choose: Callable[[Tensor], Tensor]) -> None:
        x = visited[-1]
        others = _ask(score, x, level.value).scatter(-1, x[:, None], -torch.inf)  # (L, S)
        if not others.exp().any():
            raise ValueError("every neighbor has the ratio 0: there is no jump from here")
        place, state = divmod(int(choose(others.flatten().softmax(0))), others.shape[1])
        go_to(x.index_fill(0, torch.tensor(place), state))

    def back() -> None:
        if box.value == decode(visited[-1]):  # and not what was mistyped
            if len(visited) == 1:
                raise ValueError("this is the first text")
            visited.pop()
        go_to(visited[-1])

    def show() -> str:
        x, before = visited[-1], visited[max(len(visited) - 2, 0)]
        came = f"text {len(visited)}   {_jumps(before, x, alphabet)}" if len(visited) > 1 else "the first text"
        frame = compared(before[None], x[None], process.mask, alphabet, came)
        log_score = _ask(score, x, level.value)
        return still_html(frame, []) + score_map(log_score, x, alphabet, _best(log_score, x, alphabet))

    log_score, title = _ask(score, visited[0], sigma), f"all neighbors, at total noise σ = {sigma:.3g}"
    plots = heatmap(log_score, visited[0], alphabet, title=title), bars(log_score, visited[0], alphabet)
    buttons = {
        w.Button(description="Jump to the best neighbor"): lambda: jump(torch.argmax),
        w.Button(description="Jump at random"): lambda: jump(lambda p: draw(p, generator)),
        w.Button(description="Back"): back,
    }
    return Explorer([{box: lambda: go_to(encode(box.value)), level: None}, buttons], show, still_png([], [], *plots))


def explore_noise(
    process: Process, alphabet: Alphabet, texts: list[str], *, other: Process | None = None, seed: int = 0
) -> Explorer:
    """Move the time t between clean (0) and noise (1), and see the texts under a process, beside them under another.

    The same random numbers serve all times and both processes, so that moving t up only adds noise.
    """
    if len({len(text) for text in texts}) != 1:
        raise ValueError("the texts must all have one length")
    x0, seeds = torch.stack([alphabet.encode(text) for text in texts]), [seed]
    t = w.FloatSlider(0.3, min=0, max=1, step=0.01, description="Time t", layout=WIDE)

    def noised(process: Process):
        """perturb draws who is hit first, and what becomes of them, with no look at sigma: one seed, one such draw."""
        sigma = process.schedule.total(torch.tensor(t.value, dtype=torch.float64))
        x = process.perturb(x0, sigma.expand(len(x0)), torch.Generator().manual_seed(seeds[-1]))
        hit, changed = -100 * math.expm1(-sigma), 100 * (x != x0).double().mean()
        note = f"{type(process).__name__}   σ = {sigma:.2f}   chance to be hit {hit:.0f} %   changed {changed:.0f} %"
        return compared(x0, x, process.mask, alphabet, note)

    def shown() -> list:
        return [noised(each) for each in (process, other) if each is not None]

    def show() -> str:
        return _beside(*(still_html(frame, legend([frame], NOISED)) for frame in shown()))

    new = w.Button(description="New noise")
    still = still_png(shown(), legend(shown(), NOISED))
    return Explorer([{t: None, new: lambda: seeds.append(seeds[-1] + 1)}], show, still)


def explore_denoising(
    score: Score,
    process: Process,
    *,
    alphabet: Alphabet | None = None,
    length: int | None = None,
    prompt: str = "",
    world=None,
    sampler: str = "tweedie",
    steps: int = 64,
    seed: int = 0,
) -> Explorer:
    """Write a text, then look at each step: the text, the jumps just taken, and the concrete scores of the next ones.

    alphabet, length: the score's own, unless told. prompt: _ for each free character. world: judges the text.
    """
    alphabet = alphabet or getattr(score, "alphabet", None)
    fitting = [name for name in SAMPLERS if process.mask is not None or name in ("euler", "tweedie")]
    if sampler not in fitting:
        raise ValueError(f"{sampler!r} is no sampler for {type(process).__name__}: take one of {', '.join(fitting)}")
    box = w.Text(prompt.replace("\n", BREAK), description="Prompt", placeholder="_ is free", layout=WIDE)
    number = w.BoundedIntText(seed, min=0, max=10**9, description="Seed", layout={"width": "9em"})
    method = w.Dropdown(options=fitting, value=sampler, description="Sampler")
    count = w.BoundedIntText(steps, min=1, max=1000, description="Steps", layout={"width": "9em"})
    place = w.IntSlider(0, min=0, max=steps, description="Step", layout=WIDE)
    written = {}

    def write() -> None:
        started, generator = time.perf_counter(), torch.Generator().manual_seed(number.value)
        text = box.value.replace(BREAK, "\n") or None
        trajectory = sample(score, process, length=length, prompt=text, steps=count.value, sampler=method.value,
                            alphabet=alphabet, generator=generator)  # fmt: skip
        states, sigma = trajectory.states[:, 0].cpu(), process.schedule.total(trajectory.times.clamp(min=1e-3))
        took = f"written in {time.perf_counter() - started:.1f} s, with {trajectory.calls} calls of the score"
        shown = frames(trajectory, [0], most=len(states) + 1)
        look = cache(lambda step: _ask(score, states[step], float(sigma[step])))  # at t = 0: just before it
        written.update(states=states, frames=shown, look=look, took=took)
        place.max = len(states) - 1

    def show() -> str:
        step, states, shown = place.value, written["states"], written["frames"]
        lines = [_jumps(states[step - 1], states[step], alphabet) if step else "pure noise", written["took"]]
        if world is not None and process.mask not in states[step].tolist():
            lines.append(_verdict(world, states[step]))
        text = still_html(shown[step], legend(shown)) + "".join(f"<div>{escape(line)}</div>" for line in lines)
        return text + score_map(written["look"](step), states[step], alphabet)

    write()
    place.value = half = place.max // 2
    plot = heatmap(written["look"](half), written["states"][half], alphabet, title="what may come next")
    still = still_png([written["frames"][half]], legend(written["frames"]), plot)
    button = w.Button(description="Write")
    return Explorer([{box: None}, {method: None, count: None, number: None, button: write}, {place: None}], show, still)


def score_map(log_score: Tensor, x: Tensor, alphabet: Alphabet, *beside: str) -> str:
    """A text's log-scores (L, S) in colors, as HTML: `heatmap` in a few milliseconds, with other HTML beside it."""
    m, best = tens(log_score), neighbors(log_score, x, alphabet, 1)
    low, high, cut = limits(m)
    says = [f"best neighbor {label}, ratio {figures(ratio)}" for label, ratio in best] or ["no neighbor is possible"]
    starts = range(0, len(x), COLUMNS)
    maps = (_svg(m[i : i + COLUMNS], x[i : i + COLUMNS].tolist(), alphabet, i, low, high) for i in starts)
    label = escape(f"Score map of {len(x)} positions by {m.shape[1]} states; {says[0]}")
    shades = ", ".join(colors.to_hex(colormaps["cividis"](i / 8)) for i in range(9))
    key = f'<span class="key" style="background: linear-gradient(90deg, {shades})"></span>'
    return (
        _beside(f'<div class="beside" role="img" aria-label="{label}">{"".join(maps)}</div>', *beside)
        + f"<div>ratio 10<sup>{low}</sup>{' or less' * cut} {key} 10<sup>{high}</sup>; "
        "hatched: ratio 0; squares: the text itself, ratio 1</div>"
    )


def _svg(m: np.ndarray, x: list[int], alphabet: Alphabet, start: int, low: int, high: int) -> str:
    """A part of a score map: a picture with a pixel for each cell, over hatching; squares and labels over it."""
    columns, S = m.shape
    a, b = (11 if columns > SHORT else 32), (14 if S <= 27 else 12 if S <= 40 else 8)  # a cell's width and height
    across, down = columns * a, S * b
    shades = colormaps["cividis"]((m.clip(low, high) - low) / (high - low), bytes=True)  # (columns, S, 4)
    shades[~(m > -np.inf)] = 0  # transparent
    png = io.BytesIO()
    Image.fromarray(shades.swapaxes(0, 1)).save(png, "PNG")
    hatching = "".join(f"M{i} 0l-{down} {down}" for i in range(6, across + down, 6))
    squares = "".join(f"M{i * a} {state * b}h{a}v{b}h-{a}z" for i, state in enumerate(x))
    names, out = spell(range(S), alphabet, SPACE), 8 * (b < 12)  # where rows are close, labels stand in two columns
    labels = [(-8 - out * (i % 2), (i + 0.5) * b + 4, c) for i, c in enumerate(names)]
    labels += [((i + 0.5) * a, down + 13, c) for i, c in enumerate(spell(x, alphabet))]
    tenth = [i for i in range(columns) if columns > SHORT and (start + i) % 10 == 0]
    labels += [((i + 0.5) * a, down + 26, str(start + i)) for i in tenth]
    return (
        f'<svg width="{across + 26}" viewBox="-24 -2 {across + 26} {down + 32}">'
        f'<svg width="{across}" height="{down}"><path d="{hatching}" stroke="#bbb"/></svg>'
        f'<image width="{across}" height="{down}" preserveAspectRatio="none" style="image-rendering: pixelated" '
        f'href="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"/><g fill="none">'
        f'<path d="{squares}" stroke="white" stroke-width="3"/><path d="{squares}" stroke="black"/></g>'
        + "".join(f'<text x="{i:g}" y="{j:g}">{escape(c)}</text>' for i, j, c in labels)
        + "</svg>"
    )


def _best(log_score: Tensor, x: Tensor, alphabet: Alphabet, top: int = 12) -> str:
    """The best neighbors as HTML, with bars: `bars` in a millisecond."""
    best = neighbors(log_score, x, alphabet, top)
    rows = (
        f'<pre>{escape(label)}</pre><div><i style="width: {100 * ratio / best[0][1]:.1f}%"></i></div>'
        f"<div>{figures(ratio)}</div>"
        for label, ratio in best
    )
    return f'<div>ratio p(neighbor) / p(text)</div><div class="bars">{"".join(rows) or "all are 0"}</div>'


@torch.no_grad()
def _ask(score: Score, x: Tensor, sigma: float) -> Tensor:
    """The log-scores (L, S) of a text (L,)."""
    device = getattr(score, "device", x.device)
    return score(x[None].to(device), torch.tensor([sigma], device=device))[0].cpu()


def _jumps(before: Tensor, now: Tensor, alphabet: Alphabet, most: int = 6) -> str:
    """What became of which characters, from one text (L,) to the next."""
    old, new = (spell(x.tolist(), alphabet, SPACE) for x in (before, now))
    jumps = [f"position {i}: {old[i]} → {new[i]}" for i in range(len(old)) if before[i] != now[i]]
    more = [f"{len(jumps) - most} more"] if len(jumps) > most else []
    return ", ".join(jumps[:most] + more) or "no jump"


def _verdict(world, x: Tensor) -> str:
    """What a world says of a text (L,)."""
    if (log_p := float(world.log_prob(x[None]))) > -math.inf:
        return f"✓ in this world, once in {math.exp(-log_p):,.0f} texts"
    reason = world.diagnose(world.alphabet.decode(x)) if hasattr(world, "diagnose") else None
    return "✗ never in this world" + (f"; position {reason[0]}: {reason[1]}" if reason else "")


def _beside(*pieces: str) -> str:
    """Pieces of HTML side by side, where there is room."""
    return f'<div class="beside">{"".join(f"<div>{piece}</div>" for piece in pieces)}</div>'
