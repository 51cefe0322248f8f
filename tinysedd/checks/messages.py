"""What a check says: passed or failed, and how values are described and printed. Any value whatever can be printed."""

import contextlib
import math
import textwrap
import types
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import torch
from torch import Tensor

MAX_NUMBERS = 60  # larger tensors are printed as their shape only


class CheckFailed(AssertionError):
    """What a check found wrong. Notebooks show the message without a traceback.

    Args:
        message: the whole message.
        diagnosis: the part that names a known mistake, or None.
        located: whether the message says more than which numbers are wrong, such as the line of an error.
    """

    def __init__(self, message: str, diagnosis: str | None = None, located: bool = True):
        super().__init__(message)
        self.diagnosis, self.located = diagnosis, located

    def _render_traceback_(self) -> list[str]:
        first, *rest = str(self).split("\n")
        return [f"\x1b[1m✗ {first}\x1b[0m", *rest]


@dataclass(frozen=True)
class Passed:
    """The result of a check that passed; displays itself when it is the last line of a cell.

    Attributes:
        text: what is right.
        picture: a figure to show below the text, or None.
    """

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


def table(rows: dict[str, Any], width: int, digits: int = 4) -> list[str]:
    """Lines with a name and a value each; names are padded to `width`, and values may take several lines."""
    values = {name: format_value(value, digits).replace("\n", "\n" + " " * (width + 7)) for name, value in rows.items()}
    return [f"    {name:{width}}   {value}" for name, value in values.items()]


def paragraph(text: str) -> list[str]:
    """Lines of `text`, wrapped to 92 columns; wrapped lines keep the indentation of their first line."""
    return [part for line in text.split("\n") for part in textwrap.wrap(line, 92, subsequent_indent=_indent(line))]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def describe(value: object) -> str:
    """A short noun phrase for any value, such as "a tensor of shape (2, 3)", to complete "you returned ..."."""
    match value:
        case None:
            return "None (did you forget to return?)"
        case str():
            return f"the text {value[:40]!r}"
        case Tensor() | np.ndarray():
            return f"{'a tensor' if isinstance(value, Tensor) else 'an array'} of shape {tuple(value.shape)}"
        case list() | tuple() | dict() | set():
            return f"a {type(value).__name__} of length {len(value)}"
        case types.GeneratorType():
            return "a generator (wrap it in list(...), or use return instead of yield)"
        case bool() | float() | np.generic():
            return f"the number {value}"
        case int():
            return f"the number {value}" if value.bit_length() < 100 else "a number with very many digits"
        case _ if callable(value):
            return "a function (did you forget the parentheses?)"
    return f"something of type {type(value).__name__}"


def format_value(value: Any, digits: int = 4) -> str:
    """Any value as text: numbers to some digits, matrices in rows, and large values by their description only."""
    if isinstance(value, list | tuple) and value and isinstance(value[0], list | Tensor | np.ndarray):
        with contextlib.suppress(TypeError, ValueError, RuntimeError):
            value = torch.as_tensor(value)
    if isinstance(value, Tensor | np.ndarray) and 0 < math.prod(value.shape) <= MAX_NUMBERS:
        return _format_tensor(torch.as_tensor(value).detach(), digits)
    if isinstance(value, list | tuple) and len(value) <= 12:
        inside = ", ".join(format_value(part, digits) for part in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, bool | str | int) or value is None:
        short = not isinstance(value, int) or value.bit_length() < 100
        return repr(value)[:MAX_NUMBERS] if short else f"({describe(value)})"
    if isinstance(value, float | np.number):
        return f"{value:.{digits}g}"
    if isinstance(value, torch.Generator):
        return "(a generator)"
    if isinstance(value, Exception):
        return f"({type(value).__name__})"
    if callable(value) and hasattr(value, "__name__"):
        return f"(a function, {value.__name__})"
    if isinstance(value, Tensor | np.ndarray | list | tuple | dict | set | types.GeneratorType):
        return f"({describe(value)})"
    return repr(value)[: 2 * MAX_NUMBERS]


def _format_tensor(t: Tensor, digits: int) -> str:
    """Nested brackets; the rows of a matrix are aligned."""
    if t.ndim == 0:
        return format_number(t, digits)
    if t.ndim == 1:
        return "[" + ", ".join(format_number(v, digits) for v in t) + "]"
    if t.ndim == 2:
        cells = [[format_number(v, digits) for v in row] for row in t]
        width = max(len(cell) for row in cells for cell in row)
        return "[" + ",\n ".join("[" + ", ".join(cell.rjust(width) for cell in row) + "]" for row in cells) + "]"
    return "[" + ",\n ".join(_format_tensor(part, digits).replace("\n", "\n ") for part in t) + "]"


def format_number(v: Tensor, digits: int = 4) -> str:
    """A tensor with one number as text; floating-point numbers to some digits."""
    return f"{v.item():.{digits}g}" if v.is_floating_point() else str(v.item())


def digits_to_tell(a: Tensor, b: Tensor) -> int:
    """How many digits (4 to 12) two different numbers need so that they do not print alike."""
    return next((d for d in range(4, 12) if format_number(a, d) != format_number(b, d)), 12)
