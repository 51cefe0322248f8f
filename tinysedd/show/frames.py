"""The state of each character of a trajectory at each step. All pictures are drawn from these frames.

A frame has one printable character for each character of a text (a mask, a line break or a control character gets a
stand-in), and one mark: a letter for the character's state.
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.sampling import Trajectory

GIVEN, MASKED, CHANGED, UNSETTLED, SETTLED = MARKS = "gmcps"
NAMES = dict(zip(MARKS, ["given", "masked", "just changed", "unsettled", "settled"]))
FORWARD_NAMES = NAMES | {UNSETTLED: "changed", SETTLED: "unchanged"}  # for forward noising, where time goes up
MASK, BREAK, TAB, UNKNOWN = "·⏎⇥\ufffd"
ROWS = 8  # default number of texts in a picture
COLUMNS = 64  # characters per line; longer texts are wrapped


@dataclass(frozen=True)
class Frame:
    """The state of some texts after one step.

    step      the step, out of `steps`, at which the process is at `time`
    texts     what to display, one printable character per character
    marks     for each text, one letter per character: a key of NAMES
    fraction  the fraction of characters that are masked; without a mask, of those that will change again; in forward
              noising, of those that differ from the clean text
    has_mask  whether the process has a mask
    note      replaces the default caption
    forward   whether this is forward noising, where time goes up
    """

    step: int
    steps: int
    time: float
    texts: list[str]
    marks: list[str]
    fraction: float
    has_mask: bool
    note: str = ""
    forward: bool = False

    @property
    def caption(self) -> str:
        """The note, or the step, the time and the fraction, as in "step 1 / 2   t = 0.50   50% masked".

        With a prompt, the share of its gaps that are filled: the time says how much of a whole text is noise.
        """
        if self.note:
            return self.note
        marks = "".join(self.marks)
        if GIVEN in marks and self.has_mask:
            gaps = len(marks) - marks.count(GIVEN)
            filled = 1 - self.fraction * len(marks) / gaps if gaps else 1
            return f"step {self.step} / {self.steps}   {100 * filled:.0f}% of the gaps filled"
        state = "changed" if self.forward else "masked" if self.has_mask else "unsettled"
        return f"step {self.step} / {self.steps}   t = {self.time:.2f}   {100 * self.fraction:.0f}% {state}"


def frames(trajectory: Trajectory, rows: Iterable[int] | None = None, max_frames: int = 65) -> list[Frame]:
    """Up to `max_frames` (at least 2) evenly spaced frames, always including the first and the last step.

    rows: the indices of the texts to show; by default the first 8. ValueError if the trajectory has no alphabet.

    A character's mark is the first of these that applies: given, masked, just changed, settled; if none does, it is
    unsettled. "Just changed" compares with the previous frame, even where steps between them are left out. "Settled"
    means that the character does not change again, which only the whole trajectory can tell. In forward noising, where
    time goes up, "settled" means equal to the clean text at step 0.
    """
    rows = list(range(min(trajectory.states.shape[1], ROWS)) if rows is None else rows)
    trajectory = replace(trajectory, states=trajectory.states[:, rows].cpu())
    states, last = trajectory.states, len(trajectory.states) - 1  # (T+1, rows, L), T
    given = trajectory.given.cpu().expand_as(states)
    masked = torch.zeros_like(given) if trajectory.mask is None else states == trajectory.mask
    forward = is_forward(trajectory)
    settled = (states == states[-1]).int().flip(0).cummin(0).values.flip(0).bool()  # equal to the end from here on
    settled = states == states[0] if forward else settled
    unfinished = ~settled if forward or trajectory.mask is None else masked

    def frame(previous: int, now: int) -> Frame:
        flags = torch.stack([given[now], masked[now], states[now] != states[previous], ~settled[now]], -1)
        marks = ["".join(map(_mark, row)) for row in flags.tolist()]  # flags: (rows, L, 4)
        texts = ["".join(map(_displayed, *text_and_marks)) for text_and_marks in zip(trajectory.texts_at(now), marks)]
        time, fraction = float(trajectory.times[now]), float(unfinished[now].float().mean())
        return Frame(now, last, time, texts, marks, fraction, trajectory.mask is not None, forward=forward)

    steps = sorted({round(i * last / (max_frames - 1)) for i in range(max_frames)})
    return [frame(previous, now) for previous, now in zip(steps[:1] + steps, steps)]


def is_forward(trajectory: Trajectory) -> bool:
    """Whether this is forward noising, where time goes up."""
    return bool(trajectory.times[-1] > trajectory.times[0])


def comparison(before: Tensor, after: Tensor, mask: int | None, alphabet: Alphabet, note: str) -> Frame:
    """A frame of texts `after` (B, L) that marks what differs from `before` (B, L). The note is its caption."""
    none_given = torch.zeros(after.shape[1], dtype=torch.bool)
    pair = Trajectory(torch.stack([before, after]), torch.zeros(2), none_given, calls=0, mask=mask, alphabet=alphabet)
    return replace(frames(pair, range(len(after)))[-1], note=note)


def legend(frames: list[Frame], names: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """A (name, marks) pair for each kind of mark in these frames, so that each name is styled like what it names.

    names: a name for each mark; by default NAMES, or FORWARD_NAMES in forward noising.
    """
    names = names or (FORWARD_NAMES if frames[0].forward else NAMES)
    found = set("".join("".join(frame.marks) for frame in frames))
    entries = {mark: (names[mark], mark * len(names[mark])) for mark in MARKS}
    entries[MASKED] = (f"{MASK} {names[MASKED]}", MASKED.ljust(2 + len(names[MASKED]), SETTLED))
    return [entries[mark] for mark in MARKS if mark in found]


def printable(c: str) -> str:
    """The character itself, or a printable stand-in for a line break, a tab or a control character."""
    if c.isprintable():
        return c
    return {"\n": BREAK, "\t": TAB}.get(c, " " if unicodedata.category(c) == "Zs" else UNKNOWN)


def readable(text: str) -> str:
    """A text with its line breaks and tabs, and a stand-in for each other control character. Same length."""
    return "".join(c if c in "\n\t" else printable(c) for c in text)


def join_texts(texts: list[str]) -> str:
    """Texts one per line, or separated by empty lines if any text contains a line break."""
    return ("\n\n" if any("\n" in text for text in texts) else "\n").join(texts)


def _mark(flags: list[bool]) -> str:
    given, masked, changed, unsettled = flags
    return GIVEN if given else MASKED if masked else CHANGED if changed else UNSETTLED if unsettled else SETTLED


def _displayed(c: str, mark: str) -> str:
    return MASK if mark == MASKED else printable(c)
