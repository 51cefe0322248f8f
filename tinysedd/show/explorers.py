"""Explorers: pictures with controls for a notebook, where Python recomputes the picture after each change.

If something goes wrong, such as a typo in a text, a message says so and the picture stays as it was. The score maps are
SVG, because matplotlib is too slow for a slider.
"""

import base64
import io
import math
import time
from collections.abc import Callable, Sequence
from functools import cache
from html import escape

import ipywidgets as w
import numpy as np
import torch
from ipywidgets.widgets.widget_description import DescriptionWidget
from matplotlib import colormaps, colors
from PIL import Image
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.fast.sampling import SAMPLERS, best_sampler, sample
from tinysedd.process import Absorbing, Process, Score, sample_categorical
from tinysedd.sampling import Trajectory
from tinysedd.show.frames import BREAK, CHANGED, COLUMNS, FORWARD_NAMES, Frame, comparison, frames, legend
from tinysedd.show.pictures import still_png
from tinysedd.show.player import still_html
from tinysedd.show.plots import (
    DECADES,
    RATIOS,
    SHORT,
    SPACE,
    ZERO,
    bars,
    format_ratio,
    heatmap,
    log10_ratios,
    neighbors,
    state_labels,
)
from tinysedd.worlds import World

Control = w.Button | DescriptionWidget
Action = Callable[[], object]

WIDE, ROW = w.Layout(width="32em"), w.Layout(display="flex", flex_flow="row wrap", align_items="center")
PROMPT = w.Layout(width="100%", max_width="76ch")  # room for a fable, in a fixed-width font
MOST_SHRUNK = 640  # width in pixels up to which a still stays legible if a phone shrinks it; a wider one scrolls
NOISED = FORWARD_NAMES | {CHANGED: "changed"}  # compared with the clean text, not with the previous frame
STYLE = """<style>
.tinysedd-show { line-height: 1.5; }
.tinysedd-show .beside { display: flex; flex-wrap: wrap; gap: 0.5em 2em; }
.tinysedd-show svg { max-width: 100%; }
.tinysedd-show text, .tinysedd-show pre { font: 12px "DejaVu Sans Mono", Menlo, Consolas, monospace; margin: 0; }
.tinysedd-show text { text-anchor: middle; fill: currentColor; }
.tinysedd-show .bars { display: grid; grid-template-columns: auto 12em auto; gap: 0.1em 0.8em; align-items: center; }
.tinysedd-show i { display: block; height: 1em; background: currentColor; }
.tinysedd-prompt input { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace; }
.tinysedd-show .key { display: inline-block; width: 10em; height: 0.8em; }
</style>"""


class Explorer:
    """A picture with controls. A notebook displays it if it is the last line of a cell.

    rows   for each row its controls, each with an action to run before the picture is redrawn, or None
    draw   returns the picture as HTML
    still  returns a PNG that shows several settings at once, for places where no kernel is running
    alt    what the PNG shows, in words
    """

    def __init__(
        self,
        rows: Sequence[Sequence[tuple[Control, Action | None]]],
        draw: Callable[[], str],
        still: Callable[[], bytes],
        alt: str,
    ):
        self.draw, self.still, self.alt, self.busy = draw, still, alt, False
        self.picture, self.message = w.HTML(), w.HTML()
        boxes = [w.Box([control for control, _ in row], layout=ROW) for row in rows]
        self.widget = w.VBox([*boxes, self.message, self.picture])
        for control, action in [item for row in rows for item in row]:
            if isinstance(control, w.Button):
                control.layout.width = "auto"
                control.on_click(lambda _, action=action: self.update(action))
            else:
                control.style.description_width = "initial"
                control.observe(lambda _, action=action: self.update(action), "value")
        self.update()

    def update(self, action: Action | None = None) -> None:
        """Run an action, then redraw the picture. If either fails, show the error and keep the picture."""
        if self.busy:  # the action itself moved a control: redraw only once, at the end
            return
        self.busy = True
        try:
            if action is not None:
                action()
            self.picture.value = f'{STYLE}<div class="tinysedd-show">{self.draw()}</div>'
            self.message.value = ""
        except Exception as error:  # a widget would swallow whatever your own score function raises
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            self.message.value = f'<div role="alert"><b>Cannot update:</b> {escape(f"{kind}{error}")}</div>'
        finally:
            self.busy = False

    def _repr_mimebundle_(self, **kwargs) -> tuple[dict, dict]:
        text = "An interactive explorer: run this cell to use its controls."
        png = self.still()
        still = {"image/png": base64.b64encode(png).decode(), "text/plain": text}
        wide = Image.open(io.BytesIO(png)).width > MOST_SHRUNK
        metadata = {"image/png": {"alt": self.alt, "unconfined": wide}}
        return (self.widget._repr_mimebundle_(**kwargs) or {}) | still, metadata


def explore_neighbors(score: Score, process: Process, alphabet: Alphabet, text: str, *, sigma: float = 0.5) -> Explorer:
    """Edit a text or the total noise sigma, see the concrete scores of all neighbors, and jump to one of them.

    score     a score function (x, sigma) -> log-scores (B, L, S)
    text      the text to start from; every text you type must have its length; _ is a mask, if the process has one
    sigma     the total noise to start from, from 0.001 to 10
    "Jump at random" picks a neighbor with probability proportional to its concrete score, as the reverse process does.
    ValueError if the text has a character that is not in the alphabet.
    """
    length, generator = len(text), torch.Generator().manual_seed(0)
    box = w.Text(text.replace("\n", BREAK), description="Text", continuous_update=False, layout=WIDE)
    level = w.FloatLogSlider(sigma, min=-3, max=1, step=0.02, description="Total noise σ", readout_format=".3g")

    def encode(typed: str) -> Tensor:
        if len(typed) != length:
            raise ValueError(f"the text has {len(typed)} characters; here it must have {length}")
        ids, given = alphabet.encode_prompt(typed.replace(BREAK, "\n"), length)
        if process.mask is None and not given.all():
            raise ValueError(f"_ stands for a mask, and {type(process).__name__} has none: type a character instead")
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
        others = _evaluate(score, x, level.value).scatter(-1, x[:, None], -torch.inf)  # (L, S)
        if not others.exp().any():
            raise ValueError("every neighbor has ratio 0, so there is no jump from here")
        position, state = divmod(int(choose(others.flatten().softmax(0))), others.shape[1])
        go_to(x.index_fill(0, torch.tensor(position), state))

    def back() -> None:
        if box.value == decode(visited[-1]):  # else the box holds a typo, and Back only takes that back
            if len(visited) == 1:
                raise ValueError("this is the first text, so there is nothing to go back to")
            visited.pop()
        go_to(visited[-1])

    def draw() -> str:
        x, before = visited[-1], visited[max(len(visited) - 2, 0)]
        note = f"text {len(visited)}   {_describe_jumps(before, x, alphabet)}" if len(visited) > 1 else "first text"
        frame = comparison(before[None], x[None], process.mask, alphabet, note)
        log_score = _evaluate(score, x, level.value)
        return still_html(frame, []) + score_map(log_score, x, alphabet, _bars_html(log_score, x, alphabet))

    def still() -> bytes:
        x, log_score = visited[-1], _evaluate(score, visited[-1], level.value)
        title = f"all neighbors at total noise σ = {level.value:.3g}"
        return still_png([], [], heatmap(log_score, x, alphabet, title=title), bars(log_score, x, alphabet))

    editing = [(box, lambda: go_to(encode(box.value))), (level, None)]
    jumping = [
        (w.Button(description="Jump to the best neighbor"), lambda: jump(torch.argmax)),
        (w.Button(description="Jump at random"), lambda: jump(lambda p: sample_categorical(p, generator))),
        (w.Button(description="Back"), back),
    ]
    return Explorer([editing, jumping], draw, still, f"Score map and best neighbors of “{text}”")


def explore_noise(
    process: Process, alphabet: Alphabet, texts: list[str], *, other: Process | None = None, seed: int = 0
) -> Explorer:
    """Move the time t from clean text (0) to noise (1) and see the texts under one process, or two side by side.

    texts  clean texts, all of the same length
    other  a second process to show beside the first
    seed   seed of the noise
    Absorbing and Uniform use the same random numbers at all times, so moving t up only ever adds noise, and both
    processes hit the same characters. ValueError if the texts differ in length or have an unknown character.
    """
    if len({len(text) for text in texts}) != 1:
        raise ValueError("all texts must have the same length")
    x0 = torch.stack([alphabet.encode(text) for text in texts])
    t = w.FloatSlider(0.3, min=0, max=1, step=0.01, description="Time t", layout=WIDE)

    def noised(process: Process, t: float) -> Frame:
        # perturb makes the same random draws whatever sigma is, so one seed gives comparable texts at all times.
        sigma = process.schedule.total(torch.tensor(t, dtype=torch.float64))
        x = process.perturb(x0, sigma.expand(len(x0)), torch.Generator().manual_seed(seed))
        hit, changed = -100 * math.expm1(-sigma), 100 * float((x != x0).double().mean())
        note = f"{type(process).__name__}   σ = {sigma:.2f}   hit probability {hit:.0f}%   changed {changed:.0f}%"
        return comparison(x0, x, process.mask, alphabet, note)

    def noised_frames(*times: float) -> list[Frame]:
        return [noised(each, t) for each in (process, other) if each is not None for t in times]

    def draw() -> str:
        return _side_by_side(*(still_html(frame, legend([frame], NOISED)) for frame in noised_frames(t.value)))

    def still() -> bytes:
        film = noised_frames(0, 0.25, 0.5, 0.75, 1)
        return still_png(film, legend(film, NOISED))

    def new_noise() -> None:
        nonlocal seed
        seed += 1

    alt = f"“{texts[0].rstrip()}” at times 0, 0.25, 0.5, 0.75 and 1, with more and more noise"
    return Explorer([[(t, None), (w.Button(description="New noise"), new_noise)]], draw, still, alt)


class Run:
    """One sampled text: its states at each step, and the log-scores there, computed when you first look at them."""

    def __init__(self, score: Score, process: Process, trajectory: Trajectory, seconds: float):
        self.states = trajectory.states[:, 0].cpu()  # (T+1, L)
        self.frames = frames(trajectory, [0], max_frames=len(self.states) + 1)
        self.note = f"sampled in {seconds:.1f} s with {trajectory.calls} calls of the score function"
        sigma = process.schedule.total(trajectory.times.clamp(min=1e-3))  # (T+1,), just above the noise at t = 0
        self.log_score = cache(lambda step: _evaluate(score, self.states[step], float(sigma[step])))


def explore_denoising(
    score: Score,
    process: Process,
    *,
    alphabet: Alphabet | None = None,
    length: int | None = None,
    prompt: str = "",
    world: World | None = None,
    sampler: str | None = None,
    steps: int = 64,
    seed: int = 0,
) -> Explorer:
    """Sample a text and look at each step: the text, the jumps just taken, and the concrete scores for the next ones.

    score     a score function (x, sigma) -> log-scores (B, L, S)
    alphabet  by default the score function's own
    length    characters of the text; by default the score function's own, or the prompt's
    prompt    the text to start from, with _ for each free character
    world     says whether a finished text is possible in it, and how likely
    sampler   a name in `tinysedd.fast.sampling.SAMPLERS`; by default the best one for the process
    steps     steps of the sampler
    seed      seed of the sampler
    ValueError if the sampler does not work with the process, or no alphabet is known.
    """
    letters = alphabet or getattr(score, "alphabet", None)
    if letters is None:
        raise ValueError("the score function has no alphabet: pass alphabet=")
    sampler = sampler or best_sampler(process)
    offered = [name for name in SAMPLERS if isinstance(process, Absorbing) or name in ("euler", "tweedie")]
    if sampler not in offered:
        names = ", ".join(offered)
        raise ValueError(f"the sampler {sampler!r} does not work with {type(process).__name__}: use one of {names}")
    prompt_box = w.Text(
        prompt.replace("\n", BREAK), description="Prompt", placeholder="use _ for free characters", layout=PROMPT
    )
    prompt_box.add_class("tinysedd-prompt")
    sampler_box = w.Dropdown(options=offered, value=sampler, description="Sampler")
    steps_box = w.BoundedIntText(steps, min=1, max=1000, description="Steps", layout={"width": "9em"})
    seed_box = w.BoundedIntText(seed, min=0, max=10**9, description="Seed", layout={"width": "9em"})
    step_slider = w.IntSlider(0, min=0, max=steps, description="Step", layout=WIDE)

    def run() -> Run:
        started, generator = time.perf_counter(), torch.Generator().manual_seed(seed_box.value)
        text = prompt_box.value.replace(BREAK, "\n") or None
        trajectory = sample(score, process, length=length, prompt=text, steps=steps_box.value,
                            sampler=sampler_box.value, alphabet=letters, generator=generator)  # fmt: skip
        step_slider.max = len(trajectory.states) - 1
        return Run(score, process, trajectory, time.perf_counter() - started)

    def run_again() -> None:
        nonlocal current
        current = run()

    def draw() -> str:
        step, x = step_slider.value, current.states[step_slider.value]
        lines = [_describe_jumps(current.states[step - 1], x, letters) if step else "pure noise", current.note]
        if world is not None and process.mask not in x.tolist():
            lines.append(_judge(world, x))
        text = still_html(current.frames[step], legend(current.frames))
        facts = "".join(f"<div>{escape(line)}</div>" for line in lines)
        return text + facts + score_map(current.log_score(step), x, letters)

    def still() -> bytes:
        step, last = step_slider.value, step_slider.max
        plot = heatmap(current.log_score(step), current.states[step], letters, title=f"concrete scores at step {step}")
        film = [current.frames[k] for k in sorted({0, last // 4, step, 3 * last // 4, last})]
        return still_png(film, legend(current.frames), plot)

    current = run()
    step_slider.value = step_slider.max // 2
    button = w.Button(description="Sample"), run_again
    settings = [(sampler_box, None), (steps_box, None), (seed_box, None), button]
    alt = f"A text at several steps, from noise to “{letters.decode(current.states[-1]).rstrip()}”, and a score map"
    return Explorer([[(prompt_box, None)], settings, [(step_slider, None)]], draw, still, alt)


def score_map(log_score: Tensor, x: Tensor, alphabet: Alphabet, *beside: str) -> str:
    """`heatmap` as HTML, which takes a few milliseconds, with other pieces of HTML beside it.

    log_score: (L, S) in nats. x: (L,) the text's states.
    """
    m, best = log10_ratios(log_score), neighbors(log_score, x, alphabet, 1)
    summary = f"best neighbor {best[0][0]}, ratio {format_ratio(best[0][1])}" if best else "no jump is possible"
    starts = range(0, len(x), COLUMNS)
    maps = (_svg(m[i : i + COLUMNS], x[i : i + COLUMNS].tolist(), alphabet, i) for i in starts)
    label = escape(f"Score map of {len(x)} positions by {m.shape[1]} states; {summary}")
    shades = ", ".join(colors.to_hex(colormaps[RATIOS](i / 8)) for i in range(9))
    key = f'<span class="key" style="background: linear-gradient(90deg, {shades})"></span>'
    return (
        _side_by_side(f'<div class="beside" role="img" aria-label="{label}">{"".join(maps)}</div>', *beside)
        + f"<div>ratio 10<sup>−{DECADES}</sup> or less {key} 10<sup>{DECADES}</sup> or more; "
        "hatched: ratio 0; blank: the text itself</div>"
    )


def _svg(m: np.ndarray, x: list[int], alphabet: Alphabet, start: int) -> str:
    """A part (columns, S) of a score map: hatching, then an image with one pixel per cell, then outlines and labels."""
    columns, S = m.shape
    a, b = (11 if columns > SHORT else 32), (14 if S <= 27 else 12 if S <= 40 else 8)  # a cell's width and height
    across, down = columns * a, S * b  # pixels
    shades = colormaps[RATIOS]((m.clip(-DECADES, DECADES) + DECADES) / (2 * DECADES), bytes=True)  # (columns, S, 4)
    shades[~(m > -np.inf)] = 0  # transparent, so the hatching is visible
    png = io.BytesIO()
    Image.fromarray(shades.swapaxes(0, 1)).save(png, "PNG")
    hatching = "".join(f"M{i} 0l-{down} {down}" for i in range(6, across + down, 6))
    squares = "".join(f"M{i * a} {state * b}h{a}v{b}h-{a}z" for i, state in enumerate(x))
    names, indent = state_labels(range(S), alphabet, SPACE), 8 * (b < 12)  # where rows are narrow, labels alternate
    labels = [(-8 - indent * (i % 2), (i + 0.5) * b + 4, c) for i, c in enumerate(names)]
    labels += [((i + 0.5) * a, down + 13, c) for i, c in enumerate(state_labels(x, alphabet))]
    tenth = [i for i in range(columns) if columns > SHORT and (start + i) % 10 == 0]
    labels += [((i + 0.5) * a, down + 26, str(start + i)) for i in tenth]
    return (
        f'<svg width="{across + 26}" viewBox="-24 -2 {across + 26} {down + 32}">'
        f'<svg width="{across}" height="{down}"><path d="M0 0h{across}v{down}h-{across}z" fill="{ZERO}"/>'
        f'<path d="{hatching}" stroke="#aaa"/></svg>'
        f'<image width="{across}" height="{down}" preserveAspectRatio="none" style="image-rendering: pixelated" '
        f'href="data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"/>'
        f'<path d="{squares}" fill="white" stroke="black"/>'
        + "".join(f'<text x="{i:g}" y="{j:g}">{escape(c)}</text>' for i, j, c in labels)
        + "</svg>"
    )


def _bars_html(log_score: Tensor, x: Tensor, alphabet: Alphabet, top: int = 12) -> str:
    """`bars` as HTML, which takes a millisecond."""
    best = neighbors(log_score, x, alphabet, top)
    rows = (
        f'<pre>{escape(label)}</pre><div><i style="width: {100 * ratio / best[0][1]:.1f}%"></i></div>'
        f"<div>{format_ratio(ratio)}</div>"
        for label, ratio in best
    )
    return f'<div>ratio p(neighbor) / p(text)</div><div class="bars">{"".join(rows) or "all ratios are 0"}</div>'


@torch.no_grad()
def _evaluate(score: Score, x: Tensor, sigma: float) -> Tensor:
    """The log-scores (L, S) of one text x (L,), on the CPU."""
    device = getattr(score, "device", x.device)
    return score(x[None].to(device), torch.tensor([sigma], device=device))[0].cpu()


def _describe_jumps(before: Tensor, after: Tensor, alphabet: Alphabet, most: int = 6) -> str:
    """The differences between two texts (L,), at most `most` of them in full."""
    old, new = (state_labels(x.tolist(), alphabet, SPACE) for x in (before, after))
    jumps = [f"position {i}: {old[i]} → {new[i]}" for i in range(len(old)) if before[i] != after[i]]
    more = [f"{len(jumps) - most} more"] if len(jumps) > most else []
    return ", ".join(jumps[:most] + more) or "no jump"


def _judge(world: World, x: Tensor) -> str:
    """Whether a text x (L,) is possible in a world: its probability, or the reason why not if the world knows one."""
    if (log_p := float(world.log_prob(x[None]))) > -math.inf:
        return f"✓ possible in this world: 1 in {math.exp(-log_p):,.0f} texts"
    diagnose = getattr(world, "diagnose", None)
    reason = diagnose(world.alphabet.decode(x)) if diagnose else None
    return "✗ impossible in this world" + (f"; position {reason[0]}: {reason[1]}" if reason else "")


def _side_by_side(*pieces: str) -> str:
    """Pieces of HTML side by side if there is room, else one below the other."""
    return f'<div class="beside">{"".join(f"<div>{piece}</div>" for piece in pieces)}</div>'
