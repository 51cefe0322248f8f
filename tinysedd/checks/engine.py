"""How a check works: it compares results on many cases, and a wrong result with those of known wrong versions.

An exercise is a correct function, decorated. Everything else about it is attached to that function:

    @exercise("you computed every ratio in one table.")    # said when everything is right
    def concrete_score(p, x): ...                           # the reference, never shown

    @concrete_score.cases
    def _(rng): yield p, x                                  # arguments; a check is only as good as its cases

    @concrete_score.mistake("Your ratio is upside down.")   # the diagnosis if the student's results
    def _(p, x): ...                                        # agree with this wrong version in every case

    @concrete_score.measure
    def _(result, p, x): ...                                # if many results are right: what to compare instead

    @concrete_score.exact
    def _(p, x): ...                                        # for random functions: the expected value of the measure

    @concrete_score.picture
    def _(function): ...                                    # a Figure made with the student's function

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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinysedd.checks.compare import Tolerance, binomial_tolerance, difference, tensor
from tinysedd.checks.messages import CheckFailed, Passed, describe, paragraph, table

__all__ = ["CheckFailed", "Exercise", "Passed", "binomial_tolerance", "describe", "exercise", "tensor"]


class InvalidResult(ValueError):
    """Why a result cannot be measured. The reason is a diagnosis in itself."""


@dataclass
class Outcome:
    """What one call produced.

    Attributes:
        result: what the function returned, or its measure.
        error: the exception it raised, or None.
        changed: names of the arguments it changed.
    """

    result: Any = None
    error: Exception | None = None
    changed: list[str] = field(default_factory=list)


def exercise(success: str, **options: Any) -> Callable[[Callable], "Exercise"]:
    """Turn a correct function into an exercise.

    Args:
        success: said after "NAME is right: " when the check passes.
        options: fields of `Exercise`, such as tolerance or seconds.

    Returns:
        A decorator that replaces the function with an `Exercise`.
    """
    return lambda reference: Exercise(reference, success, **options)


@dataclass(eq=False)
class Exercise:
    """A check: call it with the student's function. It returns `Passed` or raises `CheckFailed`.

    Attributes:
        reference: the correct function.
        success: said when the check passes.
        tolerance: allowed relative error (numbers near 0 are compared with a hundredth of the largest number), or a
            function from expected numbers to their allowed absolute errors, such as `binomial_tolerance(draws)`.
        in_place: whether the function may change its arguments; the measure then sees the changed arguments.
        seconds: time limit for one call, so that an endless loop does not block the notebook.
        repeats: how many calls, with the same generator, make up the result; if more than 1, it is a list.
        measured: what the numbers of the measure are, in words for the student.
        mistakes: known wrong versions, each with its diagnosis.
    """

    reference: Callable
    success: str
    tolerance: Tolerance = 1e-4
    in_place: bool = False
    seconds: float = 10.0
    repeats: int = 1
    measured: str = ""
    mistakes: list[tuple[Callable, str]] = field(default_factory=list, init=False)
    _parts: dict[str, Callable] = field(default_factory=dict, init=False)
    _known: dict[tuple[Callable, int], Outcome] = field(default_factory=dict, init=False)

    def cases(self, make: Callable[[torch.Generator], Iterator[tuple]]) -> None:
        """Decorator: `make(rng)` yields the arguments of each case as a tuple. It must be deterministic given rng."""
        self._parts["cases"] = make

    def measure(self, measure: Callable) -> None:
        """Decorator: `measure(result, *arguments)` is compared instead of the result.

        It may raise ValueError when the result cannot be measured; the message becomes the diagnosis.
        """
        self._parts["measure"] = measure

    def exact(self, expected: Callable) -> None:
        """Decorator: `expected(*arguments)` replaces the reference's result, for functions that draw at random."""
        self._parts["exact"] = expected

    def picture(self, draw: Callable) -> None:
        """Decorator: `draw(function)` returns a figure made with the student's function, shown if the check passes."""
        self._parts["picture"] = draw

    def mistake(self, diagnosis: str) -> Callable[[Callable], None]:
        """Decorator: a wrong version. If the student's results agree with it in every case, the diagnosis is shown."""
        return lambda wrong: self.mistakes.append((wrong, diagnosis))

    @property
    def name(self) -> str:
        """The name of the reference function, and of the check."""
        return self.reference.__name__

    @property
    def parameters(self) -> list[str]:
        """The parameter names of the reference function."""
        return list(inspect.signature(self.reference).parameters)

    def __call__(self, function: Callable) -> Passed:
        """Check a student's function.

        Args:
            function: the student's version of the reference.

        Returns:
            `Passed`, with a picture if the exercise has one.

        Raises:
            CheckFailed: the function is wrong. The message shows the smallest failing case, and a diagnosis if known.
        """
        with _single_thread():
            return self._check(function)

    def _check(self, function: Callable) -> Passed:
        cases = sorted(self._parts["cases"](torch.Generator().manual_seed(0)), key=_size)
        self._check_call(function, cases[0])
        given = [self._outcome(function, case, k) for k, case in enumerate(cases)]
        expected = [self._expected(case, k) for k, case in enumerate(cases)]
        for case, g, e in zip(cases, given, expected):  # smallest case first
            if found := self.difference(g, e):
                raise self._diagnose(cases, given, case, g, e) or self._failed(_why(g, function) or found, case, g, e)
        for case, g in zip(cases, given):
            if g.changed:
                raise self._failed(f"{_why(g, function)} The result is right.", case)
            if any(isinstance(a, torch.Generator) for a in case) and self._ignores_generator(function, case, g):
                problem = "The same generator gave two different results."
                raise self._failed(f"{problem} Pass `generator=generator` to every random call.", case)
        picture = self._parts.get("picture")
        return Passed(f"{self.name} is right: {self.success}", picture and picture(function))

    def run(self, function: Callable, case: tuple, seed: int = 0) -> Outcome:
        """Call a function on copies of a case's arguments, and measure the result if the exercise has a measure.

        Args:
            function: what to call.
            case: its arguments.
            seed: seeds PyTorch's global generator during the call; its state is restored afterward.

        Returns:
            The outcome. An exception in the function becomes `Outcome.error`.

        Raises:
            CheckFailed: the function raises NotImplementedError or exceeds the time limit.
        """
        arguments = _copy(case)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also queue a call for CUDA, slowly
            try:
                with _time_limit(self.seconds):
                    results = [function(*arguments) for _ in range(self.repeats)]
                outcome = Outcome(results if self.repeats > 1 else results[0])
                if not self.in_place:
                    names = zip(self.parameters, arguments, case)
                    outcome.changed = [name for name, a, b in names if _differ(a, b)]
                if measure := self._parts.get("measure"):
                    try:
                        outcome.result = measure(outcome.result, *(arguments if self.in_place else _copy(case)))
                    except ValueError as error:
                        outcome.error = InvalidResult(str(error))
                return outcome
            except NotImplementedError as error:
                lines = [f"{self.name} is not written yet.", "", *paragraph(f"Your task: {error}")]
                raise CheckFailed("\n".join(lines)) from None
            except TimeoutError:
                problem = f"Your function did not finish within {self.seconds:g} seconds. Is there an endless loop?"
                raise self._failed(problem, case) from None
            except Exception as error:
                return Outcome(error=error)

    def difference(self, given: Outcome, expected: Outcome, slack: float = 1) -> str | None:
        """How two outcomes differ, in words, or None if they agree. `slack` multiplies the tolerance."""
        if given.error or expected.error:
            same = type(given.error) is type(expected.error)
            if isinstance(given.error, InvalidResult):
                same = str(given.error) == str(expected.error)
            if not given.error:
                wanted = type(expected.error).__name__
                return f"Your function should raise {wanted}, but it returned {describe(given.result)}."
            return None if same else f"{type(given.error).__name__}: {given.error}"
        return difference(given.result, expected.result, self.tolerance, slack)

    def _expected(self, case: tuple, k: int) -> Outcome:
        exact = self._parts.get("exact")
        return Outcome(exact(*_copy(case))) if exact else self._outcome(self.reference, case, k)

    def _outcome(self, function: Callable, case: tuple, k: int) -> Outcome:
        """Run case number k. The outcomes of the reference and the mistakes are kept: the cases are always the same."""
        if function is not self.reference and all(function is not wrong for wrong, _ in self.mistakes):
            return self.run(function, case)
        if (function, k) not in self._known:
            outcome = self.run(function, case)
            if outcome.error:
                outcome.error.__traceback__ = None  # it would keep the frames of the call alive
            self._known[function, k] = outcome
        return self._known[function, k]

    def _diagnose(
        self, cases: list[tuple], given: list[Outcome], case: tuple, g: Outcome, e: Outcome
    ) -> CheckFailed | None:
        """The failure with the diagnosis of the first mistake that agrees with `given` in every case, or None."""
        for mistake, diagnosis in self.mistakes:
            outcomes = (self._outcome(mistake, c, k) for k, c in enumerate(cases))
            if all(not self.difference(outcome, wrong, 2) for outcome, wrong in zip(given, outcomes)):
                return self._failed(diagnosis, case, g, e, diagnosis)
        return None

    def _check_call(self, function: object, case: tuple) -> None:
        """Raise CheckFailed unless the function is callable with this number of arguments."""
        if not callable(function):
            problem = f"Pass your function itself, without parentheses: check.{self.name}({self.name})."
            raise CheckFailed(f"{problem}\nYou passed {describe(function)}.")
        try:
            inspect.signature(function).bind(*case)
        except TypeError:
            call = f"{self.name}({', '.join(self.parameters)})"
            problem = f"The check calls {call}, but your function takes {inspect.signature(function)}."
            raise CheckFailed(problem) from None
        except ValueError:  # some built-in functions have no signature
            pass

    def _ignores_generator(self, function: Callable, case: tuple, given: Outcome) -> bool:
        """Whether the result changes with the seed of PyTorch's global generator, which the function should not use."""
        return difference(self.run(function, case, seed=1).result, given.result, 0.0) is not None

    def _failed(
        self,
        problem: str,
        case: tuple,
        given: Outcome | None = None,
        expected: Outcome | None = None,
        diagnosis: str | None = None,
    ) -> CheckFailed:
        """The message of a failed check: the problem, a case that shows it, and the two results."""
        rows, results = dict(zip(self.parameters, case)), {}
        if given and expected:
            if isinstance(given.error, InvalidResult):
                diagnosis, results = diagnosis or problem, {"yours": given.result}
            elif not (given.error and self.measured):  # without a result there is nothing to measure
                results = {"expected": expected.error or expected.result, "yours": given.error or given.result}
        width = max(map(len, rows | results))
        lines = [f"{self.name} is not right yet.", "", *paragraph(problem)]
        random = any(isinstance(argument, torch.Generator) for argument in case)  # such cases are all large
        lines += ["", f"{'A' if random else 'The smallest'} case that fails:", *table(rows, width)]
        lines += ["", *table(results, width)] if results else []
        if "expected" in results and self.measured:
            lines += ["", *paragraph(f"expected, yours: {self.measured}")]
        return CheckFailed("\n".join(lines), diagnosis)


def _why(given: Outcome, function: Callable) -> str:
    """What an outcome shows by itself: an argument that was changed, or an error and the line that raised it."""
    if given.changed:
        names = " and ".join(given.changed)
        return (
            f"Your function changes its argument {names}, which the caller may still need. Work on a copy (.clone())."
        )
    if given.error is None or isinstance(given.error, InvalidResult):
        return str(given.error or "")
    message, code = f"{type(given.error).__name__}: {given.error}", getattr(function, "__code__", None)
    if code is None:
        return message
    number, trace = None, given.error.__traceback__
    while trace:
        if trace.tb_frame.f_code is code:
            number = trace.tb_lineno
        trace = trace.tb_next
    if number is None:
        return message
    line = linecache.getline(code.co_filename, number).strip()
    return f"{message}. It comes from line {number - code.co_firstlineno + 1} of your function:\n    {line}"


@contextlib.contextmanager
def _single_thread() -> Iterator[None]:
    """Use one PyTorch thread: the tensors of a check are small, and on a busy machine more threads are far slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _TimeUp(BaseException):
    """The time limit was reached. Not an Exception, so that an `except Exception` in the function does not catch it."""


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError after some seconds, inside any Python code; a call into C has to return first."""
    raise_in, thread = ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(threading.get_ident())
    timer = threading.Timer(seconds, raise_in, [thread, ctypes.py_object(_TimeUp)])
    timer.daemon = True
    timer.start()
    try:
        yield
    except _TimeUp:
        raise TimeoutError from None
    finally:
        timer.cancel()


def _size(value: Any) -> int:
    """How much there is to read in a case; the smallest case is shown."""
    if isinstance(value, tuple):
        return sum(map(_size, value))
    return math.prod(value.shape) if isinstance(value, Tensor) else len(value) if hasattr(value, "__len__") else 1


def _copy(value: Any) -> Any:
    """A copy of an argument, or of a tuple of arguments; functions and numbers are passed as they are."""
    if isinstance(value, torch.Generator):
        return value.clone_state()
    if isinstance(value, tuple):
        return tuple(map(_copy, value))
    if isinstance(value, Tensor):
        return value.clone()
    kinds = np.ndarray | list | dict | set | torch.nn.Module
    return copy.deepcopy(value) if isinstance(value, kinds) else value


def _differ(a: Any, b: Any) -> bool:
    """Whether an argument was changed. Types that cannot be compared count as unchanged."""
    if isinstance(a, Tensor):
        return not torch.equal(a, b) and (a.shape != b.shape or not torch.equal(a.nan_to_num(), b.nan_to_num()))
    if isinstance(a, list | tuple):
        return len(a) != len(b) or any(map(_differ, a, b))
    if isinstance(a, dict):
        return a.keys() != b.keys() or any(_differ(a[key], b[key]) for key in a)
    return isinstance(a, set | str | int | float) and a != b
