"""Step through a trajectory in a web page or a notebook: a self-contained piece of HTML with no external resources.

If scripts are disabled, it shows the final texts. It never plays by itself, and it uses the browser's native controls:
arrow keys, Home and End on the slider, Space on a button. Corpus text is inserted as text, never as HTML.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import groupby
from string import Template

from tinysedd.sampling import Trajectory
from tinysedd.show.frames import COLUMNS, Frame, frames, join_texts, legend, readable

# Text and background colors are inherited from the page, light or dark. Only "just changed" sets both of its colors.
STYLE = """
.tinysedd-player { margin: 0.5em 0; line-height: 1.6; color: inherit; }
.tinysedd-player .grid { font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
  white-space: break-spaces; word-break: break-all; }
.tinysedd-player .grid > div { margin-bottom: 0.4em; }
.tinysedd-player .g { text-decoration: underline 2px; text-underline-offset: 3px; }
.tinysedd-player .m { font-weight: bold; }
.tinysedd-player .c { font-weight: bold; color: #000; background: #e69f00; outline: 1px solid currentColor; }
.tinysedd-player .p { font-style: italic; text-decoration: underline dotted 1px; text-underline-offset: 3px; }
.tinysedd-player .controls { display: flex; flex-wrap: wrap; gap: 0.5em; align-items: center;
  margin: 0.5em 0; }
.tinysedd-player button { font: inherit; min-width: 5em; padding: 0.1em 0.6em; }
.tinysedd-player input { flex: 1 1 12em; max-width: 24em; }
.tinysedd-player .caption { white-space: pre-wrap; font-variant-numeric: tabular-nums; min-width: min(20em, 100%); }
.tinysedd-player .legend > div { display: inline-block; margin-right: 1em; }
.tinysedd-player pre { white-space: pre-wrap; overflow-wrap: anywhere; color: inherit; background: none; }
"""

# The script inserts these, so a page without scripts has no buttons that do nothing.
CONTROLS = """<div class="grid" aria-live="off"></div>
<div class="controls">
<button type="button">Play</button><button type="button">Back</button><button type="button">Forward</button>
<input type="range" min="0" max="$last" value="$last" step="1" aria-label="Step">
<span class="caption"></span>
</div>
<div class="legend"></div>"""

# A page may contain the same player several times, and a notebook may run a cell again: start each one just once.
SCRIPT = (
    """
(() => {
  const data = $data;
  const slow = matchMedia("(prefers-reduced-motion: reduce)");
  const span = (mark, text) => {
    const element = document.createElement("span");
    element.className = mark;
    element.textContent = text;
    return element;
  };
  const line = (text, marks) => {
    const element = document.createElement("div");
    const characters = Array.from(text);
    for (let start = 0, end = 0; start < marks.length; start = end) {
      do end++; while (end < marks.length && marks[end] === marks[start] && end % data.columns);
      element.append(span(marks[start], characters.slice(start, end).join("")));
      if (end % data.columns === 0 && end < marks.length) element.append(document.createElement("br"));
    }
    return element;
  };
  for (const root of document.querySelectorAll('[data-trajectory="$key"]:not([data-ready])')) {
    root.dataset.ready = "";
    const find = (name) => root.querySelector(name);
    find("details").insertAdjacentHTML("beforebegin", `"""
    + CONTROLS
    + """`);
    const [play, back, forward] = root.querySelectorAll("button");
    const slider = find("input");
    const last = data.frames.length - 1;
    let timer = null;
    const show = (index) => {
      const frame = data.frames[Math.min(Math.max(index, 0), last)];
      slider.value = index;
      slider.setAttribute("aria-valuetext", frame.caption);
      find(".caption").textContent = frame.caption;
      find(".grid").replaceChildren(...frame.texts.map((text, row) => line(text, frame.marks[row])));
    };
    const pause = () => {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
    };
    const tick = () => (Number(slider.value) < last && root.isConnected ? show(Number(slider.value) + 1) : pause());
    const move = (by) => { pause(); show(Number(slider.value) + by); };
    play.onclick = () => {
      if (timer !== null) return pause();
      if (Number(slider.value) >= last) show(0);
      play.textContent = "Pause";
      timer = setInterval(tick, slow.matches ? 800 : 90);
    };
    back.onclick = () => move(-1);
    forward.onclick = () => move(1);
    slider.oninput = () => move(0);
    find(".legend").append(...data.legend.map(([text, marks]) => line(text, marks)));
    for (const element of root.querySelectorAll("button, input, summary")) {
      element.dataset.lmSuppressShortcuts = "true"; // else JupyterLab handles the arrow keys
    }
    find("details").open = false;
    show(last);
  }
})();
"""
)

PLAYER = Template(
    """<div class="tinysedd-player" data-trajectory="$key" role="group"
  aria-label="From noise to text, step by step">
<style>"""
    + STYLE
    + """</style>
<details open><summary>Final text</summary><pre>$final</pre></details>
<script>"""
    + SCRIPT
    + """</script>
</div>
"""
)

PAGE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>From noise to text</title>
<style>
:root { color-scheme: light dark; }
body { max-width: 48rem; margin: 2rem auto; padding: 0 1rem; font-family: system-ui, sans-serif; }
</style>
</head>
<body>
$player</body>
</html>
"""
)


@dataclass(frozen=True)
class Player:
    """At the end of a notebook cell it displays the player; printed, it is the final texts."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def player(trajectory: Trajectory, rows: Iterable[int] | None = None) -> Player:
    """A player for a notebook. Below it are all final texts.

    rows: the indices of the texts to play; by default the first 8. ValueError if the trajectory has no alphabet.
    """
    return Player(html(trajectory, rows), _final_texts(trajectory))


def html(trajectory: Trajectory, rows: Iterable[int] | None = None) -> str:
    """`player` as a piece of HTML."""
    shown = frames(trajectory, rows)
    content = {
        "frames": [{"caption": frame.caption, "texts": frame.texts, "marks": frame.marks} for frame in shown],
        "legend": legend(shown),
        "columns": COLUMNS,
    }
    data = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")  # so no text can end the script
    return PLAYER.substitute(
        key=hashlib.sha256(data.encode()).hexdigest()[:16],
        last=len(shown) - 1,
        final=escape(_final_texts(trajectory)),
        data=data,
    )


def still_html(frame: Frame, legend: list[tuple[str, str]]) -> str:
    """A frame as a piece of HTML without a script: the texts in the player's styles, the caption and the legend."""
    texts = "".join(map(_line, frame.texts, frame.marks))
    names = "".join(_line(*name) for name in legend)
    caption = escape(frame.caption)
    return (
        f'<div class="tinysedd-player"><style>{STYLE}</style><div class="grid">{texts}</div>'
        f'<div class="caption">{caption}</div><div class="legend">{names}</div></div>'
    )


def _line(text: str, marks: str) -> str:
    """A text as HTML with one span per run of equal marks, wrapped just as the script's `line` wraps it."""
    lines = []
    for start in range(0, len(text), COLUMNS):
        runs = groupby(zip(text[start : start + COLUMNS], marks[start:]), key=lambda pair: pair[1])
        spans = ((mark, "".join(c for c, _ in run)) for mark, run in runs)
        lines.append("".join(f'<span class="{mark}">{escape(part)}</span>' for mark, part in spans))
    return f"<div>{'<br>'.join(lines)}</div>"


def page(trajectory: Trajectory) -> str:
    """A complete HTML page with a player."""
    return PAGE.substitute(player=html(trajectory))


def _final_texts(trajectory: Trajectory) -> str:
    return join_texts([readable(text) for text in trajectory.texts])
