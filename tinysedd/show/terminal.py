"""Watch a trajectory in a terminal: the texts settle in place.

Left out: curses, and a redraw when the window changes its size while it plays.
"""

import os
import shutil
import sys
import time
import unicodedata
from itertools import groupby
from typing import TextIO

from tinysedd.sampling import Trajectory
from tinysedd.show.frames import (
    BREAK,
    CHANGED,
    COLUMNS,
    GIVEN,
    MASK,
    MASKED,
    PROVISIONAL,
    SETTLED,
    TAB,
    Frame,
    final_text,
    frames,
    paragraphs,
)

BOLD, DIM, ITALIC, UNDERLINE, REVERSE, YELLOW, CYAN = "1", "2", "3", "4", "7", "33", "36"
STYLES = {GIVEN: [UNDERLINE], MASKED: [DIM], CHANGED: [BOLD, REVERSE], PROVISIONAL: [DIM, ITALIC], SETTLED: []}
COLOURS = {GIVEN: [CYAN], CHANGED: [YELLOW]}
FALLBACK = {MASK: "_", BREAK: "/", TAB: ">"}  # where the file's encoding has no such character
HIDE, SHOW, PLAIN, END_OF_LINE, END_OF_SCREEN = "\033[?25l", "\033[?25h", "\033[0m", "\033[K", "\033[J"


def play(
    trajectory: Trajectory,
    row: int | None = None,
    file: TextIO | None = None,
    seconds: float = 4.0,
    plain: bool = False,
) -> None:
    """Play a text, or all of them, in about so many seconds; then the final texts stay.

    Where the file (standard output unless told) is no terminal, or with plain=True, the final texts are printed and
    nothing else: one a line, or with an empty line between where texts have lines. With NO_COLOR set there is no
    color; marks do not need it. Ctrl-C goes on to the caller, after the cursor is back.
    """
    file = sys.stdout if file is None else file
    rows = range(trajectory.states.shape[1]) if row is None else [row]
    *_, last = shown = frames(trajectory, rows)
    texts = [_encodable(final_text(trajectory.texts[row]), file) for row in rows]
    if not plain and file.isatty() and os.environ.get("TERM") != "dumb":
        _animate(shown, file, seconds)
        kept = ["".join(GIVEN if mark == GIVEN else SETTLED for mark in marks) for marks in last.marks]
        texts = list(map(_styled, texts, kept))
    print(paragraphs(texts), file=file, flush=True)


def _animate(shown: list[Frame], file: TextIO, seconds: float) -> None:
    """Draw each frame over the one before; at the end the place is empty again."""
    drawn = 0  # lines on the screen that are ours
    try:
        file.write(HIDE)
        for frame in shown:
            size = shutil.get_terminal_size()
            width = max(size.columns - 1, 1)  # in the last column terminals differ
            texts = [_encodable(text, file) for text in frame.texts]
            wrapped = [_wrap(text, marks, min(width, COLUMNS)) for text, marks in zip(texts, frame.marks)]
            between = [""] if max(map(len, wrapped)) > 1 else []
            lines = [line for text in wrapped for line in text + between]
            room = max(size.lines - 2, 1)  # what has left the screen could not be drawn over
            caption = frame.caption + ("   (more texts at the end)" if len(lines) > room else "")
            lines = lines[:room] + [f"\033[{DIM}m{caption[:width]}{PLAIN}"]
            back = f"\033[{drawn}A" if drawn else ""
            file.write(back + "".join(f"\r{line}{END_OF_LINE}\n" for line in lines) + END_OF_SCREEN)
            file.flush()
            drawn = len(lines)
            time.sleep(seconds / len(shown))
        file.write(f"\033[{drawn}A\r{END_OF_SCREEN}")
    finally:
        file.write(PLAIN + SHOW)
        file.flush()


def _wrap(text: str, marks: str, width: int) -> list[str]:
    """A text in styled lines of at most so many columns."""
    lines, start, used = [], 0, 0
    for place, c in enumerate(text):
        columns = _columns(c)
        if used + columns > width:
            lines.append(_styled(text[start:place], marks[start:place]))
            start, used = place, 0
        used += columns
    return lines + [_styled(text[start:], marks[start:])]


def _styled(text: str, marks: str) -> str:
    colors = {} if os.environ.get("NO_COLOR") else COLOURS
    pieces, place = [], 0
    for mark, run in groupby(marks):
        piece = text[place : place + len(list(run))]
        style = ";".join(STYLES[mark] + colors.get(mark, []))
        pieces.append(f"\033[{style}m{piece}{PLAIN}" if style else piece)
        place += len(piece)
    return "".join(pieces)


def _columns(c: str) -> int:
    """Columns that a terminal gives to a character: none to an accent, two to a Chinese one."""
    if unicodedata.category(c) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _encodable(text: str, file: TextIO) -> str:
    """The text with a stand-in for each character that the file cannot hold."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    return "".join(c if c.encode(encoding, "ignore") else FALLBACK.get(c, "?") for c in text)
