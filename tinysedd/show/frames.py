"""What each character of a trajectory is at each step: the one place that says so. All pictures are drawn from here.

For every character on show there is one character to see (a mask, a line break, a control character would have none)
and one mark, a letter that says what it is.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.sampling import Trajectory

GIVEN, MASKED, CHANGED, PROVISIONAL, SETTLED = MARKS = "gmcps"
NAMES = dict(zip(MARKS, ["given", "masked", "just changed", "unsettled", "settled"]))
NOISING = NAMES | {PROVISIONAL: "changed", SETTLED: "as it was"}  # where time goes up
MASK, BREAK, TAB, UNKNOWN = "·⏎⇥\ufffd"
ROWS = 8  # texts in a picture, unless told
COLUMNS = 64  # characters a line, before a text is wrapped


@dataclass(frozen=True)
class Frame:
    """Some texts after a step. marks: for each text one letter a character, see NAMES.

    left: the share of characters that are masked or, where the process has no mask, will change again; with time going
    up, the share that is no longer as it was.
    """

    step: int
    steps: int
    time: float
    texts: list[str]
    marks: list[str]
    left: float
    has_mask: bool
    note: str = ""  # a caption of its own
    noising: bool = False  # time goes up

    @property
    def caption(self) -> str:
        if self.note:
            return self.note
        what = "changed" if self.noising else "masked" if self.has_mask else "unsettled"
        return f"step {self.step} / {self.steps}   t = {self.time:.2f}   {100 * self.left:.0f} % {what}"


def frames(trajectory: Trajectory, rows: Iterable[int] | None = None, most: int = 65) -> list[Frame]:
    """At most so many frames of some rows (the first 8 unless told), evenly spaced, always the first and the last.

    "Just changed" is since the frame before. Whether a character is settled is known only in hindsight: it will not
    change again. Where time goes up, from clean text to noise, a character is settled while it is as it was in the
    beginning. The first that is true of given, masked, just changed, settled is the mark. most: at least 2.
    """
    rows = list(range(min(trajectory.states.shape[1], ROWS)) if rows is None else rows)
    trajectory = replace(trajectory, states=trajectory.states[:, rows].cpu())
    states, last = trajectory.states, len(trajectory.states) - 1  # (T+1, rows, L), T
    given = trajectory.given.cpu().expand_as(states)
    masked = torch.zeros_like(given) if trajectory.mask is None else states == trajectory.mask
    noising = bool(trajectory.times[-1] > trajectory.times[0])
    settled = (states == states[-1]).int().flip(0).cummin(0).values.flip(0).bool()
    settled = states == states[0] if noising else settled
    unfinished = ~settled if noising or trajectory.mask is None else masked

    def frame(before: int, now: int) -> Frame:
        facts = torch.stack([given[now], masked[now], states[now] != states[before], ~settled[now]], -1)
        marks = ["".join(map(_mark, row)) for row in facts.tolist()]  # facts: (rows, L, 4)
        texts = ["".join(map(_shown, *text_and_marks)) for text_and_marks in zip(trajectory.texts_at(now), marks)]
        time, left = float(trajectory.times[now]), float(unfinished[now].float().mean())
        return Frame(now, last, time, texts, marks, left, trajectory.mask is not None, noising=noising)

    shown = sorted({round(i * last / (most - 1)) for i in range(most)})
    return [frame(before, now) for before, now in zip(shown[:1] + shown, shown)]


def compared(before: Tensor, now: Tensor, mask: int | None, alphabet: Alphabet, note: str) -> Frame:
    """A frame of texts (B, L) beside what they were before, with no step and no time."""
    nothing = torch.zeros(now.shape[1], dtype=torch.bool)
    pair = Trajectory(torch.stack([before, now]), torch.zeros(2), nothing, calls=0, mask=mask, alphabet=alphabet)
    return replace(frames(pair, range(len(now)))[-1], note=note)


def legend(frames: list[Frame], names: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """The names of the marks that occur, as texts with marks: each name looks like what it names."""
    names = names or (NOISING if frames[0].noising else NAMES)
    found = set("".join("".join(frame.marks) for frame in frames))
    shown = {mark: (names[mark], mark * len(names[mark])) for mark in MARKS}
    shown[MASKED] = (f"{MASK} {names[MASKED]}", MASKED.ljust(2 + len(names[MASKED]), SETTLED))
    return [shown[mark] for mark in MARKS if mark in found]


def visible(c: str) -> str:
    """The character to show for a character, on which no screen chokes."""
    if c.isprintable():
        return c
    return {"\n": BREAK, "\t": TAB}.get(c, " " if unicodedata.category(c) == "Zs" else UNKNOWN)


def final_text(text: str) -> str:
    """A text to read: with its line breaks, without control characters; as long as the text."""
    return "".join(c if c in "\n\t" else visible(c) for c in text)


def paragraphs(texts: list[str]) -> str:
    """Texts below each other, with an empty line between where a text has lines itself."""
    return ("\n\n" if any("\n" in text for text in texts) else "\n").join(texts)


def _mark(facts: list[bool]) -> str:
    given, masked, changed, unsettled = facts
    return GIVEN if given else MASKED if masked else CHANGED if changed else PROVISIONAL if unsettled else SETTLED


def _shown(c: str, mark: str) -> str:
    return MASK if mark == MASKED else visible(c)
