"""What a check says: passed or failed, and values in words and figures. Nothing is too odd to have a name."""

import math
import textwrap
import types
from dataclasses import dataclass
from html import escape

import numpy as np
import torch
from torch import Tensor

SHOWN = 60  # numbers that are still printed one by one


class CheckFailed(AssertionError):
    """What a check found, in words; diagnosis: the mistake that it knew, or None. A notebook shows no traceback."""

    def __init__(self, message: str, diagnosis: str | None = None):
        super().__init__(message)
        self.diagnosis = diagnosis

    def _render_traceback_(self) -> list[str]:
        first, *rest = str(self).split("\n")
        return [f"\x1b[1m✗ {first}\x1b[0m", *rest]


@dataclass(frozen=True)
class Passed:
    """What was achieved, with a picture where there is one; shows itself as the last line of a cell."""

    text: str
    picture: object = None

    def __repr__(self) -> str:
        return f"✓ {self.text}"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        html = f'<div style="border-left: 4px solid #009E73; padding: 0.2em 0.8em"><b>✓</b> {escape(self.text)}</div>'
        display({"text/plain": repr(self), "text/html": html}, raw=True)
        if self.picture is not None:
            display(self.picture)


def table(rows: dict[str, object], width: int) -> list[str]:
    """A line or more for each value, behind its name."""
    return [f"    {n:{width}}   " + show(v).replace("\n", "\n" + " " * (width + 7)) for n, v in rows.items()]


def paragraph(text: str) -> list[str]:
    return [part for line in text.split("\n") for part in textwrap.wrap(line, 92, subsequent_indent=_indent(line))]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def kind(value: object) -> str:
    """What sort of thing it is."""
    match value:
        case None:
            return "None (is a return missing?)"
        case str():
            return f"the text {value[:40]!r}"
        case Tensor() | np.ndarray():
            return f"{'a tensor' if isinstance(value, Tensor) else 'an array'} of shape {tuple(value.shape)}"
        case list() | tuple() | dict() | set():
            return f"a {type(value).__name__} of length {len(value)}"
        case types.GeneratorType():
            return "a generator (put list(...) around it, or return in place of yield)"
        case bool() | float() | np.generic():
            return f"the number {value}"
        case int():
            return f"the number {value}" if value.bit_length() < 100 else "a number of very many digits"
        case _ if callable(value):
            return "a function (are its brackets missing?)"
    return f"something of type {type(value).__name__}"


def show(value: object) -> str:
    """A value for a reader: numbers to four digits, a matrix in rows, what is large by its shape alone."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], list | Tensor | np.ndarray):
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError):
            pass
    if isinstance(value, Tensor | np.ndarray) and 0 < math.prod(value.shape) <= SHOWN:
        return _rows(torch.as_tensor(value).detach())
    if isinstance(value, list | tuple) and len(value) <= 12:
        inside = ", ".join(map(show, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, bool | str | int) or value is None:
        return repr(value)[:SHOWN] if not isinstance(value, int) or value.bit_length() < 100 else f"({kind(value)})"
    if isinstance(value, float | np.number):
        return f"{value:.4g}"
    if isinstance(value, torch.Generator):
        return "(dice)"
    if isinstance(value, Exception):
        return f"({type(value).__name__})"
    if callable(value) and hasattr(value, "__name__"):
        return f"(a function, {value.__name__})"
    if isinstance(value, Tensor | np.ndarray | list | tuple | dict | set | types.GeneratorType):
        return f"({kind(value)})"
    return repr(value)[: 2 * SHOWN]


def _rows(t: Tensor) -> str:
    if t.ndim == 0:
        return number(t)
    if t.ndim == 1:
        return "[" + ", ".join(map(number, t)) + "]"
    if t.ndim == 2:
        cells = [[number(v) for v in row] for row in t]
        width = max(len(cell) for row in cells for cell in row)
        return "[" + ",\n ".join("[" + ", ".join(cell.rjust(width) for cell in row) + "]" for row in cells) + "]"
    return "[" + ",\n ".join(_rows(part).replace("\n", "\n ") for part in t) + "]"


def number(v: Tensor) -> str:
    return f"{v.item():.4g}" if v.is_floating_point() else str(v.item())
