"""Watch a trajectory in a terminal: the texts settle in place.

Left out: curses, and redrawing when the window is resized during playback.
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
    SETTLED,
    TAB,
    UNSETTLED,
    Frame,
    frames,
    join_texts,
    readable,
)

BOLD, DIM, ITALIC, UNDERLINE, REVERSE, YELLOW, CYAN = "1", "2", "3", "4", "7", "33", "36"
STYLES = {GIVEN: [UNDERLINE], MASKED: [DIM], CHANGED: [BOLD, REVERSE], UNSETTLED: [DIM, ITALIC], SETTLED: []}
COLORS = {GIVEN: [CYAN], CHANGED: [YELLOW]}
FALLBACK = {MASK: "_", BREAK: "/", TAB: ">"}  # if the encoding lacks the character
HIDE_CURSOR, SHOW_CURSOR, RESET, CLEAR_LINE, CLEAR_SCREEN = "\033[?25l", "\033[?25h", "\033[0m", "\033[K", "\033[J"


def play(
    trajectory: Trajectory,
    row: int | None = None,
    file: TextIO | None = None,
    seconds: float = 4.0,
    plain: bool = False,
) -> None:
    """Play a trajectory in a terminal, then leave the final texts on the screen.

    row      the index of the text to play; by default all of them
    file     standard output by default
    seconds  how long the animation takes, roughly
    plain    print only the final texts, as if the file were not a terminal
    The final texts are one per line, or separated by empty lines if any text contains a line break. If the environment
    variable NO_COLOR is set, marks are shown without color. Ctrl-C restores the cursor, then raises KeyboardInterrupt.
    ValueError if the trajectory has no alphabet.
    """
    stream = sys.stdout if file is None else file
    texts = trajectory.texts
    rows = range(len(texts)) if row is None else [row]
    texts = [_encodable(readable(texts[row]), stream) for row in rows]
    if not plain and stream.isatty() and os.environ.get("TERM") != "dumb":
        *_, last = shown = frames(trajectory, rows)
        _animate(shown, stream, seconds)
        final_marks = ["".join(GIVEN if mark == GIVEN else SETTLED for mark in marks) for marks in last.marks]
        texts = list(map(_styled, texts, final_marks))
    print(join_texts(texts), file=stream, flush=True)


def _animate(shown: list[Frame], file: TextIO, seconds: float) -> None:
    """Draw each frame over the previous one, then erase the last one."""
    drawn = 0  # lines of the previous frame
    try:
        file.write(HIDE_CURSOR)
        for frame in shown:
            size = shutil.get_terminal_size()
            width = max(size.columns - 1, 1)  # terminals differ in how they treat the last column
            texts = [_encodable(text, file) for text in frame.texts]
            wrapped = [_wrap(text, marks, min(width, COLUMNS)) for text, marks in zip(texts, frame.marks)]
            blank = [""] if max(map(len, wrapped)) > 1 else []
            lines = [line for text in wrapped for line in text + blank]
            room = max(size.lines - 2, 1)  # lines that scroll off the screen cannot be overwritten
            caption = frame.caption + ("   (more texts at the end)" if len(lines) > room else "")
            lines = [*lines[:room], f"\033[{DIM}m{caption[:width]}{RESET}"]
            back = f"\033[{drawn}A" if drawn else ""
            file.write(back + "".join(f"\r{line}{CLEAR_LINE}\n" for line in lines) + CLEAR_SCREEN)
            file.flush()
            drawn = len(lines)
            time.sleep(seconds / len(shown))
        file.write(f"\033[{drawn}A\r{CLEAR_SCREEN}")
    finally:
        file.write(RESET + SHOW_CURSOR)
        file.flush()


def _wrap(text: str, marks: str, width: int) -> list[str]:
    """A text as styled lines of at most `width` columns."""
    lines, start, used = [], 0, 0
    for i, c in enumerate(text):
        columns = _columns(c)
        if used + columns > width:
            lines.append(_styled(text[start:i], marks[start:i]))
            start, used = i, 0
        used += columns
    return [*lines, _styled(text[start:], marks[start:])]


def _styled(text: str, marks: str) -> str:
    """A text with the escape codes of its marks."""
    colors = {} if os.environ.get("NO_COLOR") else COLORS
    pieces, start = [], 0
    for mark, run in groupby(marks):
        piece = text[start : start + len(list(run))]
        style = ";".join(STYLES[mark] + colors.get(mark, []))
        pieces.append(f"\033[{style}m{piece}{RESET}" if style else piece)
        start += len(piece)
    return "".join(pieces)


def _columns(c: str) -> int:
    """How many columns a character takes in a terminal: 0 for a combining accent, 2 for a Chinese character."""
    if unicodedata.category(c) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def _encodable(text: str, file: TextIO) -> str:
    """The text with a stand-in for each character that the file's encoding lacks."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    return "".join(c if c.encode(encoding, "ignore") else FALLBACK.get(c, "?") for c in text)
