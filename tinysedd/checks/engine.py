"""How an exercise is judged: by its results on many cases, and where they are wrong, by which wrong version they fit.

An exercise is a right function, decorated. What is known about it hangs on it:

    @exercise("every ratio of neighbors, in one table.")   # said when all is right
    def concrete_score(p, x): ...                           # never shown

    @concrete_score.cases
    def _(dice): yield p, x                                 # arguments; a check is only as good as they are

    @concrete_score.mistake("This is the ratio upside down.")
    def _(p, x): ...                                        # gives the student's results in all cases? Then that is it

    @concrete_score.measure
    def _(result, p, x): ...                                # where many results are right: what of them is compared

    @concrete_score.exact
    def _(p, x): ...                                        # where there is chance: what is measured on average

    @concrete_score.picture
    def _(function): ...                                    # a Figure, drawn with the student's function

Results may be tensors, arrays, nested lists or numbers, in single or double precision.
"""

import contextlib
import copy
import ctypes
import inspect
import linecache
import math
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from tinysedd.checks.compare import difference, shares, tensor
from tinysedd.checks.messages import CheckFailed, Passed, kind, paragraph, table

__all__ = ["CheckFailed", "Exercise", "Passed", "exercise", "kind", "shares", "tensor"]


class Unfit(ValueError):
    """A result that cannot be measured, and why: a diagnosis in itself."""


@dataclass
class Outcome:
    """What a call gave: a result, or an error; changed: the arguments that it changed."""

    result: object = None
    error: Exception | None = None
    changed: list[str] = field(default_factory=list)


def exercise(achieved: str, **options) -> Callable[[Callable], "Exercise"]:
    """Make an exercise of a right function: see the head of this file, and `Exercise` for the options."""
    return lambda reference: Exercise(reference, achieved, **options)


@dataclass(eq=False)
class Exercise:
    """Called with a student's function it gives `Passed`, or raises `CheckFailed`.

    tolerance  how far numbers may be off, relative to themselves (and a hundredth of it relative to the largest);
               or a function: expected numbers -> how far each may be off. `shares(draws)` is one, for random functions.
    seconds    how long one call may take: a loop may never end.
    repeats    where a call draws one thing: how many calls, with one generator, make the result, which is then a list.
    in_place   the function may change its arguments; the measure sees them as the function left them.
    measured   what the numbers of a measure are, in words for the student.
    """

    reference: Callable
    achieved: str
    tolerance: float | Callable[[Tensor], Tensor] = 1e-4
    in_place: bool = False
    seconds: float = 10.0
    repeats: int = 1
    measured: str = ""
    mistakes: list[tuple[Callable, str]] = field(default_factory=list, init=False)
    _parts: dict[str, Callable] = field(default_factory=dict, init=False)

    def cases(self, make: Callable) -> None:
        self._parts["cases"] = make

    def measure(self, measure: Callable) -> None:
        self._parts["measure"] = measure

    def exact(self, expect: Callable) -> None:
        self._parts["exact"] = expect

    def picture(self, draw: Callable) -> None:
        self._parts["picture"] = draw

    def mistake(self, diagnosis: str) -> Callable[[Callable], None]:
        return lambda wrong: self.mistakes.append((wrong, diagnosis))

    @property
    def name(self) -> str:
        return self.reference.__name__

    @property
    def parameters(self) -> list[str]:
        return list(inspect.signature(self.reference).parameters)

    def __call__(self, function: Callable) -> Passed:
        cases = sorted(self._parts["cases"](torch.Generator().manual_seed(0)), key=_size)
        self._can_be_called(function, cases[0])
        given = [self.run(function, case) for case in cases]
        expected = [self._expected(case) for case in cases]
        for case, g, e in zip(cases, given, expected):  # the smallest first
            if found := self.difference(g, e):
                raise self._diagnosed(cases, given, case, g, e) or self._failed(_why(g, function) or found, case, g, e)
        for case, g in zip(cases, given):
            if g.changed:
                raise self._failed(f"{_why(g, function)} The result is right.", case)
            if any(isinstance(a, torch.Generator) for a in case) and self._depends_on_more(function, case):
                raise self._failed("The same dice gave two results: is there chance without `generator=`?", case)
        picture = self._parts.get("picture")
        return Passed(f"{self.name} is right: {self.achieved}", picture and picture(function))

    def run(self, function: Callable, case: tuple, seed: int = 0) -> Outcome:
        """Call a function on copies of the arguments."""
        arguments = _copy(case)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                with _no_longer_than(self.seconds):
                    draws = [function(*arguments) for _ in range(self.repeats)]
                outcome = Outcome(draws if self.repeats > 1 else draws[0])
                if not self.in_place:
                    names = zip(self.parameters, arguments, case)
                    outcome.changed = [name for name, a, b in names if _differ(a, b)]
                if measure := self._parts.get("measure"):
                    try:
                        outcome.result = measure(outcome.result, *(arguments if self.in_place else _copy(case)))
                    except ValueError as error:
                        outcome.error = Unfit(str(error))
                return outcome
            except NotImplementedError as error:
                lines = [f"{self.name} is not written yet.", "", *paragraph(f"What is asked: {error}")]
                raise CheckFailed("\n".join(lines)) from None
            except TimeoutError:
                told = f"It had not finished after {self.seconds:g} seconds. Is there a loop that never ends?"
                raise self._failed(told, case) from None
            except Exception as error:
                return Outcome(error=error)

    def difference(self, given: Outcome, expected: Outcome, slack: float = 1) -> str | None:
        """In words, how two outcomes differ; None where they do not."""
        if given.error or expected.error:
            same = type(given.error) is type(expected.error)
            if isinstance(given.error, Unfit):
                same = str(given.error) == str(expected.error)
            if not given.error:
                return f"The function should raise {type(expected.error).__name__}; {kind(given.result)} came back."
            return None if same else f"{type(given.error).__name__}: {given.error}"
        return difference(given.result, expected.result, self.tolerance, slack)

    def _expected(self, case: tuple) -> Outcome:
        exact = self._parts.get("exact")
        return Outcome(exact(*_copy(case))) if exact else self.run(self.reference, case)

    def _diagnosed(self, cases, given, case, g, e) -> CheckFailed | None:
        for mistake, diagnosis in self.mistakes:
            if all(not self.difference(outcome, self.run(mistake, c), 2) for outcome, c in zip(given, cases)):
                return self._failed(diagnosis, case, g, e, diagnosis)
        return None

    def _can_be_called(self, function: Callable, case: tuple) -> None:
        if not callable(function):
            told = f"Give the check your function itself, without brackets: check.{self.name}({self.name})."
            raise CheckFailed(f"{told}\nIt was given {kind(function)}.")
        try:
            inspect.signature(function).bind(*case)
        except TypeError:
            call = f"{self.name}({', '.join(self.parameters)})"
            raise CheckFailed(f"The check calls {call}; your function takes {inspect.signature(function)}.") from None
        except ValueError:  # some built-in functions have no signature
            pass

    def _depends_on_more(self, function: Callable, case: tuple) -> bool:
        """Whether it draws from other dice than those that it was given."""
        first, second = self.run(function, case, seed=1), self.run(function, case, seed=2)
        return difference(first.result, second.result, 0.0) is not None

    def _failed(self, finding: str, case: tuple, given=None, expected=None, diagnosis=None) -> CheckFailed:
        rows, results = dict(zip(self.parameters, case)), {}
        if expected and isinstance(given.error, Unfit):
            diagnosis, results = diagnosis or finding, {"yours": given.result}
        elif expected and not (given.error and self.measured):  # where nothing came, there is nothing to measure
            results = {"expected": expected.error or expected.result, "yours": given.error or given.result}
        width = max(map(len, rows | results))
        lines = [f"{self.name} is not right yet.", "", *paragraph(finding)]
        chance = any(isinstance(argument, torch.Generator) for argument in case)  # then a case is large, to be judged
        lines += ["", f"{'A' if chance else 'The smallest'} case that shows it:", *table(rows, width)]
        lines += ["", *table(results, width)] if results else []
        if "expected" in results and self.measured:
            lines += ["", *paragraph(f"expected, yours: {self.measured}")]
        return CheckFailed("\n".join(lines), diagnosis)


def _why(given: Outcome, function: Callable) -> str:
    """What an outcome shows by itself: an argument that was changed, or an error and the line that it came from."""
    if given.changed:
        names = " and ".join(given.changed)
        return f"The function changes its argument {names}. Who calls it may still need it: work on a copy (.clone())."
    if given.error is None or isinstance(given.error, Unfit):
        return str(given.error or "")
    said, code, place = f"{type(given.error).__name__}: {given.error}", getattr(function, "__code__", None), None
    trace = given.error.__traceback__
    while code and trace:
        if trace.tb_frame.f_code is code:
            place = trace.tb_lineno
        trace = trace.tb_next
    if place is None:
        return said
    line = linecache.getline(code.co_filename, place).strip()
    return f"{said}. It comes from line {place - code.co_firstlineno + 1} of your function:\n    {line}"


class _Over(BaseException):
    """The time is over. It is no Exception, lest a student's own `except` catch it."""


@contextlib.contextmanager
def _no_longer_than(seconds: float) -> Iterator[None]:
    """TimeoutError when the time is over, in the midst of any Python code; only a call of C must end by itself."""
    raises, thread = ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(threading.get_ident())
    timer = threading.Timer(seconds, raises, [thread, ctypes.py_object(_Over)])
    timer.daemon = True
    timer.start()
    try:
        yield
    except _Over:
        raise TimeoutError from None
    finally:
        timer.cancel()


def _size(value: object) -> int:
    """How much there is to read: cases are judged the smallest first."""
    if isinstance(value, tuple):
        return sum(map(_size, value))
    return math.prod(value.shape) if isinstance(value, Tensor) else len(value) if hasattr(value, "__len__") else 1


def _copy(value: object) -> object:
    if isinstance(value, torch.Generator):
        return value.clone_state()
    if isinstance(value, tuple):
        return tuple(map(_copy, value))
    kinds = Tensor | np.ndarray | list | dict | set | torch.nn.Module
    return copy.deepcopy(value) if isinstance(value, kinds) else value


def _differ(a: object, b: object) -> bool:
    """Whether an argument was changed: only what can be is compared."""
    if isinstance(a, Tensor):
        return a.shape != b.shape or not torch.equal(a.nan_to_num(), b.nan_to_num())
    if isinstance(a, list | tuple):
        return len(a) != len(b) or any(map(_differ, a, b))
    if isinstance(a, dict):
        return a.keys() != b.keys() or any(_differ(a[key], b[key]) for key in a)
    return isinstance(a, set | str | int | float) and a != b
