"""What any wrong result may say about itself: how it relates to the right one, and where it is wrong.

A relation is claimed only if it explains every wrong number of every case, and if there are at least LEAST different
ones, so that it is no coincidence.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from tinysedd.checks.compare import Tolerance, tensor, wrong

LEAST = 3
Bad = tuple[tuple, Tensor, Tensor]  # a failing case: its arguments, the wrong result, the right one
ELEMENTWISE: dict[str, Callable[[Tensor], Tensor]] = {  # Your result is ...
    "the right one with the sign flipped": lambda e: -e,
    "the right one upside down, 1 / x": lambda e: 1 / e,
    "the logarithm of the right one": lambda e: e.log(),
    "exp() of the right one": lambda e: e.exp(),
    "1 minus the right one": lambda e: 1 - e,
    "the square of the right one": lambda e: e.square(),
    "the square root of the right one": lambda e: e.sqrt(),
    "minus the logarithm of the right one": lambda e: -e.log(),
    "the right one without its sign": lambda e: e.abs(),
}
WHOLE: dict[str, Callable[[Tensor], Tensor]] = {
    "the right one transposed: rows and columns are exchanged": lambda e: e.mT,
    "the right one in reverse order, along the last axis": lambda e: e.flip(-1),
    "the right one in reverse order, along the first axis": lambda e: e.flip(0),
    "the right one shifted by one place to the right": lambda e: e.roll(1, -1),
    "the right one shifted by one place to the left": lambda e: e.roll(-1, -1),
    "the right one shifted down by one row": lambda e: e.roll(1, 0),
    "the right one shifted up by one row": lambda e: e.roll(-1, 0),
    "the first row of the right one in place of every row": lambda e: e[:1].expand_as(e),
    "the mean of the rows of the right one in place of every row": lambda e: e.mean(0, keepdim=True).expand_as(e),
    "the right one divided by its sum": lambda e: e / e.sum(),
    "the right one with each row divided by its sum": lambda e: e / e.sum(-1, keepdim=True),
    "the right one with each column divided by its sum": lambda e: e / e.sum(0, keepdim=True),
    "the right one summed along the last axis": lambda e: e.sum(-1),
    "the right one summed along the first axis": lambda e: e.sum(0),
    "the right one averaged along the last axis": lambda e: e.mean(-1),
    "the right one averaged along the first axis": lambda e: e.mean(0),
    "the right one summed up along the way (cumsum)": lambda e: e.cumsum(-1),
    "the right one in sorted order": lambda e: e.sort(-1).values,
}
FACTORS = {
    1 / math.log(2): "1 / log(2), as in bits",
    math.log(2): "log(2)",
    1 / math.log(10): "1 / log(10), as in log10",
}


def parts(given: Any, expected: Any) -> list[tuple[Tensor, Tensor]] | None:
    """The tensors that a result is made of, or None if it has no numbers or another number of parts."""
    several = isinstance(expected, list | tuple) and not all(isinstance(e, int | float) for e in expected)
    try:
        rows = zip(given, expected, strict=True) if several else [(given, expected)]
        pairs = [(tensor(g).double(), tensor(e).double()) for g, e in rows]
    except (ValueError, TypeError, RecursionError):
        return None
    return [(g.reshape(e.shape) if g.numel() == e.numel() == 1 else g, e) for g, e in pairs]


def count_wrong(given: Any, expected: Any, tolerance: Tolerance) -> int:
    """How many different wrong numbers a result has; 1 if it is no number."""
    pairs = parts(given, expected)
    if pairs is None or any(g.shape != e.shape for g, e in pairs):
        return 1
    return _distinct(torch.cat([g[wrong(g, e, tolerance)] for g, e in pairs]))


def rewired(reference: Callable, names: list[str], cases: list[tuple]) -> Iterator[tuple[Callable, str]]:
    """Versions of the reference that exchange two arguments of a kind, or use the first or mean part for all parts."""
    kinds = [[_kind(case[k]) for case in cases] for k in range(len(names))]
    for j, k in itertools.combinations(range(len(names)), 2):
        if any(a and a == b for a, b in zip(kinds[j], kinds[k])):
            order = [k if i == j else j if i == k else i for i in range(len(names))]
            swapped = lambda *a, order=order: reference(*(a[i] for i in order))  # noqa: E731
            yield swapped, f"Your result is the right one with {names[j]} and {names[k]} exchanged."
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "You use {0}[0] in place of all of {0}.": lambda t: t[:1],
        "You use the mean of {0} in place of each of its numbers.": lambda t: t.mean(0, keepdim=True),
    }
    for (text, change), k in itertools.product(changes.items(), range(len(names))):
        if any(isinstance(case[k], Tensor) and case[k].ndim > 0 and case[k].is_floating_point() for case in cases):

            def uniform(*a: Any, k: int = k, change: Callable = change) -> Any:
                return reference(*a[:k], change(a[k]).expand_as(a[k]), *a[k + 1 :])

            yield uniform, text.format(names[k])


def explain(
    names: list[str],
    cases: list[tuple],
    given: list[Any],
    expected: list[Any],
    failing: list[bool],
    tolerance: Tolerance,
) -> str:
    """What the wrong results of some cases have in common, in words, or "" if nothing is found.

    Args:
        names: names of the arguments.
        cases: the arguments of each case.
        given: the student's results; an exception where there is none.
        expected: the right results.
        failing: which of them differ.
        tolerance: the tolerance of the exercise.
    """
    chosen = list(itertools.compress(zip(cases, given, expected), failing))
    split = [parts(g, e) for _, g, e in chosen]
    found = []
    if all(split) and len({len(pairs) for pairs in split if pairs}) == 1:
        for number, pairs in enumerate(zip(*(pairs for pairs in split if pairs)), 1):
            bad = [(c, g, e) for (c, *_), (g, e) in zip(chosen, pairs) if g.shape != e.shape or _wrong(g, e, tolerance)]
            what = bad and (
                _relation(names, bad, tolerance) or _place(names, bad, tolerance) or _invariant(bad, tolerance)
            )
            found += [f"Result {number}: {what}" if len(split[0] or []) > 1 else what] if what else []
    return " ".join([*found, *_property(names, cases, expected, failing)])


def _relation(names: list[str], bad: list[Bad], tolerance: Tolerance) -> str:
    """How the numbers of all failing cases relate to the right ones."""
    same = all(g.shape == e.shape for _, g, e in bad)
    at = [wrong(g, e, tolerance) for _, g, e in bad] if same else []
    g, e = (torch.cat([torch.zeros(0), *(case[side][w] for case, w in zip(bad, at))]) for side in (1, 2))
    many = _distinct(e) >= LEAST
    for text, f in ELEMENTWISE.items() if many else ():
        if _agree(g, f(e), tolerance):
            return f"Your result is {text}."
    for text, f in WHOLE.items():
        if callable(tolerance) and "every row" in text:
            continue  # frequencies may be equal by chance
        if _many(e for _, _, e in bad) and all(_agree(g, _apply(f, e), tolerance) for _, g, e in bad):
            return f"Your result is {text}."
        undone = same and "divided" in text and _many(g for _, g, _ in bad)
        if undone and all(_agree(_apply(f, g), e, tolerance) for _, g, e in bad):
            return f"The right result is {text.replace('the right one', 'yours')}."
    for digits in range(5) if not callable(tolerance) else ():
        sure = (many and _distinct(g) >= LEAST) or (digits > 1 and len(g) > 0 and (g != 0).all())
        if sure and _agree(g, e.round(decimals=digits), 1e-6):
            return f"Your result is the right one rounded to {digits} digits. Do not round."
    text = many and not callable(tolerance) and _constant(names, bad, at, g, e, tolerance)
    return f"Your result is the right one {text}." if text else ""


def _constant(names: list[str], bad: list[Bad], at: list[Tensor], g: Tensor, e: Tensor, tolerance: Tolerance) -> str:
    """Whether the wrong numbers g are the right ones e times, divided by or plus a number."""
    for text, number in _numbers(names, bad):
        n = torch.cat([torch.full_like(g[w], number(case)) for (case, g, _), w in zip(bad, at)])
        for sign, x in ("times", e * n), ("divided by", e / n):
            if n.isfinite().all() and _agree(g, x, tolerance):
                return f"{sign} {text}"
    for sign, rest in ("times", g / e), ("plus", g - e):
        c = rest.nanmedian()
        if c.isfinite() and abs(c) > 1e-6 and _agree(g, e * c if sign == "times" else e + c, tolerance):
            return f"{sign} {next((t for f, t in FACTORS.items() if abs(c / f - 1) < 1e-4), f'{c:.6g}')}"
    long = all(g.ndim > 0 and g.shape[-1] >= LEAST for _, g, _ in bad)
    for axis, text in (None, "case"), (-1, "row"):
        levels = [_level(g / e, axis) for _, g, e in bad] if long else []
        real = long and all(((c != 0) & ((c - 1).abs() > 1e-6)).all() for c in levels)  # not right or 0 in some rows
        if real and all(_agree(g, e * c, tolerance) for c, (_, g, e) in zip(levels, bad)):
            return f"times a constant of its own in each {text}; look at what you divide by"
    return ""


def _level(ratio: Tensor, axis: int | None) -> Tensor:
    """The median ratio of a tensor or of each row, without those of 0 / 0."""
    return ratio.nanmedian() if axis is None else ratio.nanmedian(axis, keepdim=True).values


def _numbers(names: list[str], bad: list[Bad]) -> Iterator[tuple[str, Callable[[tuple], float]]]:
    """Sizes and scalar arguments that may be a factor, each with a function from the arguments to it."""
    for k, name in enumerate(names):
        values = [case[k] for case, _, _ in bad]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            yield name, lambda case, k=k: float(case[k]) or math.nan
        if all(isinstance(v, str | list | tuple) for v in values):
            yield f"the length of {name}", lambda case, k=k: len(case[k]) or math.nan
        if all(isinstance(v, Tensor) for v in values):
            for d in range(min(v.ndim for v in values)):
                yield f"the size of {name} along axis {d}", lambda case, k=k, d=d: case[k].shape[d] or math.nan


def _place(names: list[str], bad: list[Bad], tolerance: Tolerance) -> str:
    """Where the numbers of all failing cases are wrong, and what is there if it is always the same number."""
    if any(g.shape != e.shape for _, g, e in bad):
        return ""
    at = [wrong(g, e, tolerance) for _, g, e in bad]
    there = torch.cat([g[w] for (_, g, _), w in zip(bad, at)])
    constant = f" Yours is always {there[0]:.4g} there." if len(there) >= LEAST and _distinct(there) == 1 else ""
    for text in dict.fromkeys(text for case, _, e in bad for text, _ in _places(names, case, e)):
        masks = [dict(_places(names, case, e)).get(text, torch.zeros(e.shape).bool()) for case, _, e in bad]
        if not any((w & ~m).any() for m, w in zip(masks, at)):
            inside, right = sum(int(m.sum()) for m in masks), sum(int((~m).sum()) for m in masks)
            if right >= LEAST and len(there) >= max(LEAST, inside / 2):
                return f"Your result is wrong only {text}.{constant}"
    return constant and f"Your wrong numbers are all {there[0]:.4g}."


def _invariant(bad: list[Bad], tolerance: Tolerance) -> str:
    """What holds for all right results and not for yours: the sum of each row, or the sign."""
    if any(g.shape != e.shape for _, g, e in bad):
        return ""
    row = "Each row" if any(e.ndim > 1 for _, _, e in bad) else "The result"
    for text, f in {row: lambda t: t.sum(-1), "All numbers together": lambda t: t.sum()}.items():
        sums = [(_apply(f, g), f(e)) for _, g, e in bad if e.ndim > 0 and e.shape[-1] > 1]
        for total in (0.0, 1.0) if sums else ():
            off = [g[(g - total).abs() > 1e-3] for g, _ in sums if g is not None]
            if all(((e - total).abs() < 1e-6).all() for _, e in sums) and sum(map(len, off)) >= LEAST:
                return f"{text} should add up to {total:g}; yours add up to {torch.cat(off)[0]:.4g}, for example."
    many = sum(e.numel() for _, _, e in bad) >= 10 and not callable(tolerance)
    for text, f in {"below 0": lambda t: t < 0, "above 1": lambda t: t > 1}.items() if many else ():
        if sum(bool(f(g).any()) for _, g, _ in bad) > 1 and not any(f(e).any() for _, _, e in bad):
            worst = next(g[f(g)][0] for _, g, _ in bad if f(g).any())
            return f"No right number is {text}, but some of yours are: {worst:.4g}, for example."
    return ""


def _places(names: list[str], case: tuple, e: Tensor) -> Iterator[tuple[str, Tensor]]:
    """Parts of a result that have a name, as masks. The more particular ones come first."""
    if e.ndim == 0:
        return
    mask = next((a for n, a in zip(names, case) if n == "mask"), None)
    mask = next((a.mask for a in case if hasattr(a, "mask")), mask)
    for name, a in zip(names, case):
        if isinstance(a, Tensor) and a.dtype == torch.int64 and 0 < a.ndim <= e.ndim and a.shape == e.shape[: a.ndim]:
            if e.ndim == a.ndim + 1 and a.min() >= 0 and a.max() < e.shape[-1]:
                yield f"at the character that {name} has there", torch.nn.functional.one_hot(a, e.shape[-1]).bool()
            if mask is not None:
                masked = (a == mask).reshape(a.shape + (1,) * (e.ndim - a.ndim)).expand_as(e)
                yield f"where {name} is the mask", masked
                yield f"where {name} is not the mask", ~masked
    if e.ndim == 2 and e.shape[0] == e.shape[1]:
        diagonal = torch.eye(len(e), dtype=torch.bool)
        yield "on the diagonal", diagonal
    for value in (0.0, 1.0, math.inf, -math.inf):
        yield f"where the right number is {value:g}", e == value
    for axis, one in ((0, "row" if e.ndim > 1 else "number"), *([(e.ndim - 1, "column")] if e.ndim > 1 else [])):
        index = torch.arange(e.shape[axis]).reshape([-1 if d == axis else 1 for d in range(e.ndim)]).expand_as(e)
        yield f"in the first {one}", index == 0
        yield f"in the last {one}", index == e.shape[axis] - 1
        yield f"after the first {one}", index > 0
        yield f"before the last {one}", index < e.shape[axis] - 1
    if e.ndim == 2 and e.shape[0] == e.shape[1]:
        yield "off the diagonal", ~torch.eye(len(e), dtype=torch.bool)


def _property(names: list[str], cases: list[tuple], expected: list[Any], failing: list[bool]) -> list[str]:
    """A sentence about what exactly the failing cases have in common, if they are not all cases."""
    having = [dict.fromkeys(_properties(names, case, e)) for case, e in zip(cases, expected)]
    for text in dict.fromkeys(itertools.chain(*having)) if not all(failing) else ():
        if [text in found for found in having] == failing:
            return [f"It fails exactly in the cases where {text}; all others are right."]
    return []


def _properties(names: list[str], case: tuple, expected: Any) -> Iterator[str]:
    for name, a in zip(names, case):
        if isinstance(a, bool):
            yield f"{name} is {a}"
    for (name, a), (other, b) in itertools.combinations(zip(names, case), 2):
        if (
            _kind(a) is not None
            and _kind(a) == _kind(b)
            and (torch.equal(a, b) if isinstance(a, Tensor) else repr(a) == repr(b))
        ):
            yield f"{name} and {other} are equal"
    if expected is None:
        yield "the right result is None"
    for name, a in zip(names, case):
        if isinstance(a, Tensor):
            if a.is_floating_point():
                yield from [f"{name} contains infinite numbers"] if a.isinf().any() else []
                yield from [f"{name} contains 0"] if (a == 0).any() else []
                yield from [f"no number in {name} is above 0"] if (a <= 0).all() else []
            for d, n in enumerate(a.shape):
                yield from [f"{name} has size {n} along axis {d}"] if n <= 1 else []
        elif isinstance(a, str | list | tuple):
            yield from [f"the length of {name} is {len(a)}"] if len(a) <= 1 else []
            yield from [f"{name} has upper-case letters"] if isinstance(a, str) and a != a.lower() else []
        elif isinstance(a, int | float) and a in (0, 1):
            yield f"{name} is {a:g}"


def _kind(value: Any) -> tuple | None:
    """What two arguments must share to be exchanged by mistake; None for arguments that cannot be."""
    if isinstance(value, Tensor):
        return Tensor, value.is_floating_point(), value.shape
    return (type(value),) if isinstance(value, str | int | float | list) and not isinstance(value, bool) else None


def _apply(f: Callable[[Tensor], Tensor], e: Tensor) -> Tensor | None:
    try:
        return f(e)
    except (RuntimeError, IndexError):  # too few axes
        return None


def _agree(g: Tensor | None, e: Tensor | None, tolerance: Tolerance) -> bool:
    return (
        g is not None and e is not None and g.shape == e.shape and not e.isnan().any() and not _wrong(g, e, tolerance)
    )


def _wrong(g: Tensor, e: Tensor, tolerance: Tolerance) -> bool:
    return bool(wrong(g, e, tolerance, 2.0 if callable(tolerance) else 1.0).any())


def _many(tensors: Iterator[Tensor]) -> bool:
    return any(_distinct(t) >= LEAST for t in tensors)


def _distinct(t: Tensor) -> int:
    return len({f"{v:.3g}" for v in t.flatten().tolist()})
