"""Compare results in whatever form a student's function returns them: tensors, arrays, nested lists or numbers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinysedd.checks.messages import describe, digits_to_tell, format_number

Tolerance = float | Callable[[Tensor], Tensor]
"""A relative error, or a function from expected numbers to the allowed absolute error of each."""


class WrongNumbers(str):
    """A difference between numbers and nothing else: the result has the right form.

    Attributes:
        digits: how many digits to print, so that the first wrong number does not look right.
    """

    digits = 4


def binomial_tolerance(draws: int) -> Callable[[Tensor], Tensor]:
    """A tolerance for frequencies in `draws` independent draws: 5.5 standard errors, and 0 where p is 0 or 1.

    A correct function exceeds it about once in 26 million frequencies.
    """
    return lambda p: 5.5 * (p * (1 - p) / draws).clamp(min=0).sqrt()


def tensor(value: Any) -> Tensor:
    """Convert a result to a tensor.

    Args:
        value: a tensor, array, number, or a nested list or tuple of these.

    Returns:
        A tensor of float64, int64 or bool on the CPU, without gradient.

    Raises:
        ValueError: the value is not numeric, or its parts have different shapes.
    """
    numbers = bool | int | float | np.generic
    flat = isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(part, numbers) for part in value)
    if isinstance(value, list | tuple) and not flat:
        parts = [tensor(part) for part in value]
        if len({part.shape for part in parts}) > 1:
            raise ValueError(f"You returned {describe(value)} whose parts have different shapes.")
        decimals = any(part.is_floating_point() for part in parts)
        value = torch.stack([part.double() if decimals else part for part in parts]) if parts else torch.zeros(0)
    elif (flat or isinstance(value, numbers | np.ndarray)) and np.asarray(value).dtype.kind in "biuf":
        value = torch.as_tensor(np.array(value))
    if not isinstance(value, Tensor) or value.is_complex():
        raise ValueError(f"Numbers were expected, but you returned {describe(value)}.")
    value = value.detach().cpu()
    return value.double() if value.is_floating_point() else value if value.dtype == torch.bool else value.long()


def difference(given: Any, expected: Any, tolerance: Tolerance, slack: float = 1.0) -> str | None:
    """How a result differs from the expected one.

    Args:
        given: the student's result, in any form.
        expected: a tensor, array, number, string, None, or a list or tuple of these.
        tolerance: allowed error.
        slack: multiplies the tolerance.

    Returns:
        The difference in words, or None if the two agree.
    """
    if isinstance(expected, str) or expected is None:
        same = type(given) is type(expected) and given == expected
        wanted = "None" if expected is None else f"The text {expected!r}"
        return None if same else f"{wanted} was expected, but you returned {describe(given)}."
    if isinstance(expected, list | tuple):
        several = isinstance(given, list | tuple) or (isinstance(given, Tensor | np.ndarray) and given.ndim > 0)
        if not several or len(given) != len(expected):
            return f"{len(expected)} results were expected, but you returned {describe(given)}."
        for k, (g, e) in enumerate(zip(given, expected), 1):
            if part := difference(g, e, tolerance, slack):
                text = f"Result {k} of {len(expected)}: {part}" if len(expected) > 1 else part
                return _numbers(text, part.digits) if isinstance(part, WrongNumbers) else text
        return None
    try:
        given, expected = tensor(given), tensor(expected)
    except (ValueError, RecursionError) as error:
        return str(error)
    if given.shape != expected.shape and not given.numel() == expected.numel() == 1:
        return f"The shape should be {tuple(expected.shape)}; yours is {tuple(given.shape)}."
    if given.is_floating_point() and not expected.is_floating_point():
        wanted = "booleans (True, False)" if expected.dtype == torch.bool else "integers (torch.int64)"
        return f"These should be {wanted}; yours are floating-point numbers."
    return _wrong_numbers(given.double().reshape(expected.shape), expected.double(), tolerance, slack)


def wrong(given: Tensor, expected: Tensor, tolerance: Tolerance, slack: float = 1.0) -> Tensor:
    """Which numbers differ by more than slack * tolerance. Both tensors are float64 and have the same shape."""
    if callable(tolerance):
        allowed = tolerance(expected)
    else:  # relative to each number, or to a hundredth of the largest
        largest = expected[expected.isfinite()].abs().max() if expected.isfinite().any() else 0.0
        allowed = tolerance * (expected.abs() + 0.01 * largest)
    close = ((given - expected).abs() <= slack * allowed) & expected.isfinite()
    return ~(close | (given == expected) | (given.isnan() & expected.isnan()))


def _numbers(text: str, digits: int) -> WrongNumbers:
    found = WrongNumbers(text)
    found.digits = digits
    return found


def _wrong_numbers(given: Tensor, expected: Tensor, tolerance: Tolerance, slack: float) -> str | None:
    """Which numbers differ by more than slack * tolerance, in words, or None. Both tensors have the same shape."""
    bad = wrong(given, expected, tolerance, slack)
    if not bad.any():
        return None
    if (given.isnan() & ~expected.isnan()).any():
        return "Your result contains nan (not a number). Look for 0 / 0, inf - inf, or the log of a negative number."
    at = bad.nonzero()[0].tolist()
    count = f"{int(bad.sum())} of {bad.numel()} numbers are wrong"
    where = f"{count}, the first at {at}" if bad.numel() > 1 else "The number is wrong"
    e, g = expected[tuple(at)], given[tuple(at)]
    digits = digits_to_tell(e, g)
    return _numbers(f"{where}: {format_number(e, digits)} was expected, yours is {format_number(g, digits)}.", digits)
