"""Results compared, in whatever form a student's function gives them: tensors, arrays, nested lists, numbers."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tinysedd.checks.messages import kind, number


def shares(draws: int) -> Callable[[Tensor], Tensor]:
    """A tolerance for shares counted in `draws` independent draws: 5.5 standard errors, none where a share is 0 or 1.

    A right function is off by more once in 26 million counts.
    """
    return lambda p: 5.5 * (p * (1 - p) / draws).clamp(min=0).sqrt()


def tensor(value: object) -> Tensor:
    """A result as a tensor of float64, int64 or bool, in whatever form it came; ValueError names what is no numbers."""
    if isinstance(value, list | tuple):
        parts = [tensor(part) for part in value]
        if len({part.shape for part in parts}) > 1:
            raise ValueError(f"{kind(value).capitalize()} came back, whose parts do not have one shape.")
        decimals = any(part.is_floating_point() for part in parts)
        value = torch.stack([part.double() if decimals else part for part in parts]) if parts else torch.zeros(0)
    elif isinstance(value, bool | int | float | np.generic | np.ndarray) and np.asarray(value).dtype.kind in "biuf":
        value = torch.as_tensor(np.array(value))
    if not isinstance(value, Tensor) or value.is_complex():
        raise ValueError(f"Numbers were expected; {kind(value)} came back.")
    value = value.detach().cpu()
    return value.double() if value.is_floating_point() else value if value.dtype == torch.bool else value.long()


def loss_and_slope(result: object, weights: Tensor) -> Tensor | list[Tensor]:
    """A student's loss with its gradient by the weights, so that both are compared; ValueError where it has none."""
    loss = tensor(result)
    if loss.numel() != 1:
        return loss
    if not isinstance(result, Tensor) or not result.requires_grad:
        raise ValueError(
            "Your loss has no gradient, so that nothing can be learned from it. It must stay a tensor from "
            "beginning to end: no .item(), float(), .detach() or numpy on the way."
        )
    (slope,) = torch.autograd.grad(result.sum(), weights)
    return [loss.reshape(()), slope]


def difference(given: object, expected: object, tolerance: float | Callable[[Tensor], Tensor], slack=1.0) -> str | None:
    """In words, how a result differs from what is expected; None where it does not. slack multiplies the tolerance."""
    if isinstance(expected, str) or expected is None:
        same = type(given) is type(expected) and given == expected
        what = "None" if expected is None else f"The text {expected!r}"
        return None if same else f"{what} was expected; {kind(given)} came back."
    if isinstance(expected, list | tuple):
        several = isinstance(given, list | tuple) or (isinstance(given, Tensor | np.ndarray) and given.ndim > 0)
        if not several or len(given) != len(expected):
            return f"{len(expected)} results were expected; {kind(given)} came back."
        parts = (difference(g, e, tolerance, slack) for g, e in zip(given, expected))
        return next((f"Result {k} of {len(expected)}: {part}" for k, part in enumerate(parts, 1) if part), None)
    try:
        given, expected = tensor(given), tensor(expected)
    except (ValueError, RecursionError) as error:
        return str(error)
    if given.shape != expected.shape and not given.numel() == expected.numel() == 1:
        return f"The shape should be {tuple(expected.shape)}; yours is {tuple(given.shape)}."
    if given.is_floating_point() and not expected.is_floating_point():
        what = "truth values (True, False)" if expected.dtype == torch.bool else "whole numbers (torch.int64)"
        return f"These should be {what}; yours are decimals."
    return _off(given.double().reshape(expected.shape), expected.double(), tolerance, slack)


def _off(given: Tensor, expected: Tensor, tolerance: float | Callable[[Tensor], Tensor], slack: float) -> str | None:
    if callable(tolerance):
        allowed = tolerance(expected)
    else:  # relative to each number, and a hundredth of it to the largest
        largest = expected[expected.isfinite()].abs().max() if expected.isfinite().any() else 0.0
        allowed = tolerance * (expected.abs() + 0.01 * largest)
    same = ((given - expected).abs() <= slack * allowed) & expected.isfinite()
    off = ~(same | (given == expected) | (given.isnan() & expected.isnan()))
    if not off.any():
        return None
    if (given.isnan() & ~expected.isnan()).any():
        return "There are nan (not a number) in your result: is there a 0 / 0, inf - inf, or a log of what is below 0?"
    at = off.nonzero()[0].tolist()
    where = f"{int(off.sum())} of {off.numel()} numbers are off, the first at {at}" if at else "The number is off"
    return f"{where}: {number(expected[tuple(at)])} was expected, yours is {number(given[tuple(at)])}."
