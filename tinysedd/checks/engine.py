"""How a check works: it compares results on many cases, and a wrong result with those of known wrong versions.

An exercise is a class, decorated: a correct function and what belongs to it. `Exercise` says what each part is:

    @exercise("you computed every ratio in one table.")     # said when everything is right
    class concrete_score:
        def reference(p, x): ...
        def cases(rng): yield p, x                           # a check is only as good as its cases
        mistakes = {"/ p[x] => - p[x]": "You subtract p(x)."}

A mistake is named if its results agree with the student's in every case, and are wrong numbers in at least one. Most
slips need no line in an exercise: edits.py makes wrong versions of any reference, and relations.py finds what a wrong
result has to do with the right one.

Results may be in single or double precision. Where the reference returns a tensor, the student's function must, too.
"""

import contextlib
import copy
import ctypes
import functools
import inspect
import linecache
import math
import random
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinysedd.checks import edits, relations
from tinysedd.checks.compare import Tolerance, WrongNumbers, binomial_tolerance, difference, tensor
from tinysedd.checks.messages import CheckFailed, Passed, describe, paragraph, table

__all__ = ["CheckFailed", "Exercise", "Passed", "binomial_tolerance", "describe", "exercise", "refuse", "tensor"]


SEARCH = 60.0  # seconds at most, to find out what is wrong


class InvalidResult(ValueError):
    """Why a result cannot be measured. The reason is a diagnosis in itself."""


def refuse(unfit: object, why: str) -> None:
    """Raise ValueError, with the reason, if a result cannot be measured."""
    if unfit:
        raise ValueError(why)


@dataclass
class Outcome:
    """What one call produced.

    Attributes:
        result: what the function returned, or its measure.
        error: the exception it raised, or None.
        changed: names of the arguments it changed.
        raw: what the function returned, before it was measured.
    """

    result: Any = None
    error: Exception | None = None
    changed: list[str] = field(default_factory=list)
    raw: Any = None


def exercise(success: str, **options: Any) -> Callable[[type], "Exercise"]:
    """Turn a class, which holds a correct function and what belongs to it, into an exercise.

    Args:
        success: said after "NAME is right: " when the check passes.
        options: fields of `Exercise`, such as tolerance or seconds.

    Returns:
        A decorator that replaces the class with an `Exercise`.
    """
    return lambda definition: Exercise(definition, success, **options)


@dataclass(eq=False, repr=False)
class Exercise:
    """A check: call it with the student's function. It returns `Passed` or raises `CheckFailed`.

    The class that defines it is only a namespace, and is never instantiated. It holds:

        reference(*arguments)          the correct function, never shown
        cases(rng)                     yields the arguments of each case as a tuple; deterministic given rng. New
                                       tensors are double, so that only a mistake can make a result inexact
        measure(result, *arguments)    optional: what to compare instead of the result. It may raise ValueError if
                                       the result cannot be measured; the message becomes the diagnosis
        exact(*arguments)              optional: the expected result or measure, for functions that draw at random
        mistakes                       optional: a dict from wrong versions to diagnoses. A wrong version is an edit
                                       "old => new" of the reference, or two in a tuple; an expression of its `result`
                                       and arguments; or a function
        call(function, *arguments)     optional: calls the function, if more is to be noted than what it returns
        picture(function)              optional: a figure made with the student's function, shown if the check passes

    Attributes:
        success: said when the check passes.
        tolerance: allowed relative error (numbers near 0 are compared with a hundredth of the largest number), or a
            function from expected numbers to their allowed absolute errors, such as `binomial_tolerance(draws)`.
        in_place: whether the function may change its arguments; the measure then sees the changed arguments.
        seconds: time limit for one call, so that an endless loop does not block the notebook.
        repeats: how many calls, with the same generator, make up the result; if more than 1, it is a list.
        measured: what the numbers of the measure are, in words for the student.
        gradient: name of the argument whose gradient must arrive and agree: a tensor, or a function that returns one.
            The gradient of a function is that with respect to its `weight`, or else to a shift of its results.
        operations: how many PyTorch operations the largest case may take, if loops over characters would be too slow.
        slips: whether a message may quote the part of the reference where a slip is; not if finding it is the exercise.
    """

    _definition: Any
    success: str
    tolerance: Tolerance = 1e-4
    in_place: bool = False
    seconds: float = 10.0
    repeats: int = 1
    measured: str = ""
    gradient: str = ""
    slips: bool = True
    operations: int = 0
    _known: dict[tuple[Callable, int], Outcome] = field(default_factory=dict, init=False)

    def __dir__(self) -> list[str]:
        return ["name", "parameters"]  # what Tab shows to a student

    def __repr__(self) -> str:
        return f"check.{self.name}({self.name}) checks your function {self.name}({', '.join(self.parameters)})"

    @property
    def _reference(self) -> Callable:
        return self._definition.reference

    def renamed(self, name: str) -> "Exercise":
        """The same exercise for a function of another name."""
        return replace(self, _definition=type(name, (self._definition,), {}))

    @functools.cached_property
    def _mistakes(self) -> list[tuple[Callable, str]]:
        """The known wrong versions, made when they are first needed.

        Raises:
            ValueError: an edit does not apply exactly once.
        """
        known = getattr(self._definition, "mistakes", {}).items()
        return [(c if callable(c) else _changed(self._reference, c), diagnosis) for c, diagnosis in known]

    @functools.cached_property
    def _slips(self) -> list[tuple[Callable, Callable[[], str]]]:
        """Versions of the reference that get other arguments, or have a slip in them; and what to say about each."""
        rewired = relations.rewired(self._reference, self.parameters, self._cases)
        endless = "while" in edits.source_of(self._reference)  # an edit may turn it into an endless loop
        usable = self.slips and self.seconds <= 10 and not endless
        found = [(version, functools.partial(str, text)) for version, text in rewired]
        return [*found, *(edits.variants(self._reference) if usable else [])]

    @functools.cached_property
    def _cases(self) -> list[tuple]:
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            return sorted(self._definition.cases(torch.Generator().manual_seed(0)), key=_size)
        finally:
            torch.set_default_dtype(usual)

    @property
    def name(self) -> str:
        """The name of the function to write, and of the check."""
        return self._definition.__name__

    @property
    def parameters(self) -> list[str]:
        """The parameter names of the reference function."""
        return list(inspect.signature(self._reference).parameters)

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
        cases = self._cases
        self._check_call(function, cases[0])
        given = [self.run(function, case) for case in cases]
        expected = [self._expected(case, k) for k, case in enumerate(cases)]
        found = [self.difference(g, e) for g, e in zip(given, expected)]
        if any(found):
            raise self._explain(function, given, expected, found)
        for case, g in zip(cases, given):
            if g.changed:
                raise self._failed(f"{_why(g, function)} The result is right.", case)
        if other := _no_tensor(given[0].raw, self._outcome(self._reference, 0).raw):
            raise self._failed(
                f"The numbers are right, but you returned {other}. Return a tensor, because the next cells compute "
                "with it: torch.stack(...) of a list of tensors, torch.tensor(...) of numbers.",
                cases[0],
            )
        self._check_generator(function, given)
        if self.gradient:
            self._check_gradient(function)
        if self.operations:
            self._check_speed(function)
        return Passed(f"{self.name} is right: {self.success}", self._picture(function))

    def _picture(self, function: Callable) -> Any:
        """What is shown after a success. The answer is right even if drawing it fails or takes too long."""
        try:
            with _time_limit(self.seconds):
                return self._definition.picture(function) if hasattr(self._definition, "picture") else None
        except Exception:
            return None

    def run(self, function: Callable, case: tuple, seed: int = 0, limited: bool = True) -> Outcome:
        """Call a function on copies of a case's arguments, and measure the result if the exercise has a measure.

        Args:
            function: what to call.
            case: its arguments.
            seed: seeds the global generators during the call; their states are restored afterward.
            limited: whether to stop after the time limit, which costs more time than most calls.

        Returns:
            The outcome. An exception in the function becomes `Outcome.error`.

        Raises:
            CheckFailed: the function raises NotImplementedError or exceeds the time limit.
        """
        arguments, call = _copy(case), getattr(self._definition, "call", lambda f, *a: f(*a))
        with _seeded(seed):
            try:
                with _time_limit(self.seconds) if limited else contextlib.nullcontext():
                    results = [call(function, *arguments) for _ in range(self.repeats)]
                outcome = Outcome(raw=results if self.repeats > 1 else results[0])
                outcome.result = outcome.raw
                if not self.in_place:
                    names = zip(self.parameters, arguments, case)
                    outcome.changed = [name for name, a, b in names if _differ(a, b)]
                if measure := getattr(self._definition, "measure", None):
                    try:
                        outcome.result = measure(outcome.result, *(arguments if self.in_place else _copy(case)))
                    except ValueError as error:
                        outcome.error = InvalidResult(str(error))
                return outcome
            except NotImplementedError as error:
                if not limited:  # PyTorch raises it, too
                    return Outcome(error=error)
                task = str(error) or inspect.getdoc(function) or f"Write {self.name}({', '.join(self.parameters)})."
                lines = [f"{self.name} is not written yet.", "", *paragraph(f"Your task: {task}")]
                raise CheckFailed("\n".join(lines)) from None
            except TimeoutError:
                problem = f"Your function did not finish within {self.seconds:g} seconds. Is there an endless loop?"
                raise self._failed(problem, case) from None
            except SystemExit:
                problem = "Your function calls exit(), which would end the notebook. Use return to leave a function."
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
        exact = getattr(self._definition, "exact", None)
        return Outcome(exact(*_copy(case))) if exact else self._outcome(self._reference, k)

    def _outcome(self, function: Callable, k: int) -> Outcome:
        """The outcome of the reference or a wrong version in case number k, which is kept: the cases stay the same."""
        if (function, k) not in self._known:
            with warnings.catch_warnings(action="ignore"):
                outcome = self.run(function, self._cases[k], limited=False)
            if outcome.error:
                outcome.error.__traceback__ = None  # it would keep the frames of the call alive
            self._known[function, k] = outcome
        return self._known[function, k]

    def _explain(
        self, function: Callable, given: list[Outcome], expected: list[Outcome], found: list[str | None]
    ) -> CheckFailed:
        """The failure of a function with wrong results: the diagnosis, or else as much as can be said."""
        k = next(k for k, text in enumerate(found) if text)  # the smallest case that fails
        case, g, e = self._cases[k], given[k], expected[k]
        with contextlib.suppress(TimeoutError), _time_limit(SEARCH):
            for mistake, diagnosis in self._mistakes:
                if self._agrees(mistake, given, expected, found, 1):
                    return self._failed(diagnosis, case, g, e, diagnosis)
            for version, text in [] if _why(g, function) else self._slips:
                if self._agrees(version, given, expected, found, relations.LEAST):
                    return self._failed(f"{text()} {found[k]}", case, g, e, found=found[k])
        why = _why(g, function)
        yours, right = ([o.error or o.result for o in side] for side in (given, expected))
        failing = [bool(text) for text in found]
        told = relations.explain(self.parameters, self._cases, yours, right, failing, self.tolerance)
        located = bool(why or told) or not isinstance(found[k], WrongNumbers)
        text = f"{why}\n{told}" if why else f"{told} {found[k]}"
        unfit = why if isinstance(g.error, InvalidResult) else None  # a measure's reason is a diagnosis in itself
        return self._failed(text.strip(), case, g, e, unfit, found[k], located)

    def _agrees(
        self, version: Callable, given: list[Outcome], expected: list[Outcome], found: list[str | None], least: int
    ) -> bool:
        """Whether a wrong version agrees in every case, and explains at least some wrong numbers, or a wrong text."""
        explained, slack = 0, 1.5 if callable(self.tolerance) else 2.0
        for k in sorted(range(len(found)), key=lambda k: not found[k]):  # failing cases first
            g, e = given[k], expected[k]
            wrong = self._outcome(version, k)
            if self.difference(g, wrong, slack):
                return False
            if found[k] and not g.error and not wrong.error and self.difference(wrong, e):
                explained += relations.count_wrong(g.result, e.result, self.tolerance)
        return explained >= least

    def _check_generator(self, function: Callable, given: list[Outcome]) -> None:
        """Raise CheckFailed unless the result depends on the generator, and on no other source of randomness."""
        blind: Any = None  # a case in which the generator makes no difference; False if it makes one somewhere
        for case, g in zip(self._cases, given):
            if not any(isinstance(a, torch.Generator) for a in case):
                continue
            if difference(self.run(function, case, seed=1).result, g.result, 0.0):
                problem = "The same generator gave two different results."
                raise self._failed(f"{problem} Pass `generator=generator` to every random call.", case)
            if blind is not False and self._varies(self._reference, case):
                blind = False if self._varies(function, case) else case
        if blind:
            problem = "Two different generators gave the same result. Call no manual_seed, and"
            raise self._failed(f"{problem} pass `generator=generator` to every random call.", blind)

    def _varies(self, function: Callable, case: tuple) -> bool:
        """Whether the result depends on the seed of the generator among the arguments."""
        seeds = [torch.Generator().manual_seed(seed) for seed in (101, 202, 303)]
        other = [tuple(s if isinstance(a, torch.Generator) else a for a in case) for s in seeds]
        first, *rest = (self.run(function, arguments) for arguments in other)
        return any(o.error or difference(o.result, first.result, 0.0) for o in rest)

    def _check_speed(self, function: Callable) -> None:
        """Raise CheckFailed if the largest case takes too many operations; time would depend on the machine."""
        with _Operations() as operations:
            self.run(function, self._cases[-1])
        if operations.count > self.operations:
            problem = f"The numbers are right, but this takes {operations.count:,} PyTorch operations. Loops over"
            raise self._failed(f"{problem} characters are too slow here: compute with whole tensors.", self._cases[-1])

    def _check_gradient(self, function: Callable) -> None:
        """Raise CheckFailed unless the gradient arrives at the argument `gradient`, and agrees with the reference's."""
        for case in self._cases:
            given, expected = (self._derivative(f, case) for f in (function, self._reference))
            problem = (
                "The numbers are right, but they have no gradient, so nothing can be learned from them. Keep tensors "
                f"from beginning to end: no .item(), float(), .detach(), torch.tensor() or numpy. {given}"
            )
            if not isinstance(given, str):
                found = difference(given, expected, 1e-3)
                problem = found and (
                    f"The numbers are right, but not their gradient with respect to {self.gradient}. Is a part of the "
                    f"computation cut off, by .detach() or no_grad, for example? {found}"
                )
            if problem:
                raise self._failed(problem.strip(), case)

    def _derivative(self, function: Callable, case: tuple) -> Tensor | str:
        """The gradient of a weighted sum of the results, or what prevents it (perhaps "")."""
        arguments, k = list(_copy(case)), self.parameters.index(self.gradient)
        original = arguments[k]
        if isinstance(original, Tensor):
            weight = arguments[k] = original.requires_grad_()
            if (original >= 0).all() and ((original.sum(-1) - 1).abs() < 1e-6).all():  # only their logits are free
                weight = (0.9 * original + 0.1 * original.mean(-1, keepdim=True)).detach().log().requires_grad_()
                arguments[k] = weight.softmax(-1)
        elif (weight := getattr(original, "weight", None)) is None:
            weight = torch.zeros((), dtype=torch.float64, requires_grad=True)

            def shifted(*a: Any, **kw: Any) -> Tensor:
                y = original(*a, **kw)
                return y + weight.to(y.dtype) * torch.linspace(1, 2, y.shape[-1], dtype=y.dtype)

            arguments[k] = shifted
        try:
            with _seeded(0), _time_limit(self.seconds):
                result = function(*arguments)
        except Exception as error:
            return str(error)
        total = torch.zeros((), dtype=torch.float64)
        for part in result if isinstance(result, list | tuple) else [result]:
            if isinstance(part, Tensor) and part.requires_grad:
                finite = part.double().where(part.isfinite(), 0.0).flatten()
                total = total + (finite * torch.linspace(1, 2, len(finite), dtype=torch.float64)).sum()
        if not total.requires_grad:
            return ""
        (gradient,) = torch.autograd.grad(total, weight, allow_unused=True)
        return "" if gradient is None else gradient.where(weight.isfinite(), 0.0)

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

    def _failed(
        self,
        problem: str,
        case: tuple,
        given: Outcome | None = None,
        expected: Outcome | None = None,
        diagnosis: str | None = None,
        found: str | None = None,
        located: bool = True,
    ) -> CheckFailed:
        """The message of a failed check: the problem, a case that shows it, and the two results."""
        rows, results = dict(zip(self.parameters, case)), {}
        if given and expected:
            if isinstance(given.error, InvalidResult):
                results = {"yours": given.raw[0] if self.repeats > 1 else given.raw}
            elif not (given.error and self.measured):  # without a result there is nothing to measure
                results = {"expected": expected.error or expected.result, "yours": given.error or given.result}
        width = max(map(len, rows | results))
        lines = [f"{self.name} is not right yet.", "", *paragraph(problem)]
        random = any(isinstance(argument, torch.Generator) for argument in case)  # such cases are all large
        lines += ["", f"{'A' if random else 'The smallest'} case that fails:", *table(rows, width)]
        lines += ["", *table(results, width, getattr(found, "digits", 4))] if results else []
        if "expected" in results and self.measured:
            lines += ["", *paragraph(f"expected, yours: {self.measured}")]
        return CheckFailed("\n".join(lines), diagnosis, located)


def _changed(reference: Callable, change: str | tuple[str, ...]) -> Callable:
    """The reference with edits "old => new" of its source, or followed by an expression of `result` and its arguments.

    Raises:
        ValueError: an old text does not occur exactly once.
    """
    changes, parameters = (change,) if isinstance(change, str) else change, inspect.signature(reference).parameters
    if "=>" not in changes[0]:
        then = eval(f"lambda result, {', '.join(parameters)}: ({changes[0]})", reference.__globals__)
        return lambda *arguments: then(reference(*arguments), *arguments)
    source = edits.source_of(reference)
    for each in changes:
        old, new = (part.strip() for part in each.split("=>"))
        if source.count(old) != 1:
            raise ValueError(f"{old!r} occurs {source.count(old)} times in {reference.__name__}, not once")
        source = source.replace(old, new)
    return edits.compiled(source, reference)


def _no_tensor(given: Any, wanted: Any) -> str:
    """What was returned in place of a tensor, in words, or "". A single number need not be a tensor."""
    if isinstance(wanted, Tensor):
        return "" if isinstance(given, Tensor) or wanted.ndim == 0 else describe(given)
    if isinstance(wanted, list | tuple) and isinstance(given, list | tuple | np.ndarray):
        return next((text for g, w in zip(given, wanted) if (text := _no_tensor(g, w))), "")
    return ""


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
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of PyTorch, Python and NumPy, and restore their states afterward."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed would also queue a call for CUDA, slowly
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextlib.contextmanager
def _single_thread() -> Iterator[None]:
    """Use one PyTorch thread: the tensors of a check are small, and on a busy machine more threads are far slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Operations(torch.overrides.TorchFunctionMode):
    """Counts PyTorch operations."""

    count = 0

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


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
