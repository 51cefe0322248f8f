"""The engine of the checks, tested on small exercises: double, flip coins, count up in place, take a square root."""

import types

import numpy as np
import pytest
import torch

from tinysedd.checks import CheckFailed, Checks
from tinysedd.checks.engine import binomial_tolerance, exercise, tensor
from tinysedd.checks.messages import format_value


@exercise("you doubled every number.")
def double(x):
    return 2 * x


@double.cases
def _(rng):
    yield (torch.rand(3, 2, dtype=torch.float64, generator=rng),)
    yield (torch.tensor([1.0, -torch.inf], dtype=torch.float64),)


@double.mistake("You triple.")
def _(x):
    return 3 * x


@exercise(
    "heads come up as often as they should.", tolerance=binomial_tolerance(100_000), measured="the fraction of heads"
)
def coins(p, count, generator):
    return torch.rand(count, generator=generator) < p


@coins.cases
def _(rng):
    yield 0.3, 100_000, torch.Generator().manual_seed(1)
    yield 0.0, 100_000, torch.Generator().manual_seed(2)


@coins.measure
def _(result, p, count, generator):
    heads = tensor(result).double()
    if heads.shape != (count,):
        raise ValueError(f"Flip {count} coins.")
    return heads.mean()


@coins.exact
def _(p, count, generator):
    return p


@exercise("every number is one larger.", in_place=True)
def count_up(numbers):
    for i in range(len(numbers)):
        numbers[i] += 1


@count_up.cases
def _(rng):
    yield ([1, 2, 3],)


@count_up.measure
def _(result, numbers):
    return torch.tensor(numbers)


@exercise("negative numbers have no square root.")
def root(x):
    if x < 0:
        raise ValueError(f"{x} has no root")
    return x**0.5


@root.cases
def _(rng):
    yield (4.0,)
    yield (-1.0,)


@exercise("it is a pair in any order.", repeats=3)
def pair(x):
    return x, x + 1


@pair.cases
def _(rng):
    yield (1,)


@pair.measure
def _(result, x):
    return tensor(result).sort(-1).values


def failure(exercise, function) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        exercise(function)
    return caught.value


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + x,
        lambda x: x.float() * 2,
        lambda x: x.numpy() * 2,
        lambda x: np.float32(x.numpy() * 2).tolist(),
        lambda x: [row * 2 for row in x],
        lambda x: tuple(row.numpy() * 2 for row in x),
        lambda x: (x * 2).requires_grad_(),
        lambda *arguments: 2 * arguments[0],
    ],
)
def test_right_result_passes_in_any_form(function):
    assert repr(double(function)) == "✓ double is right: you doubled every number."


def test_known_mistake_gets_its_diagnosis_and_the_smallest_failing_case():
    found = failure(double, lambda x: x * 3)
    assert found.diagnosis == "You triple."
    lines = ["You triple.", "", "The smallest case that fails:", "    x          [1, -inf]", ""]
    assert str(found).split("\n")[2:] == [*lines, "    expected   [2, -inf]", "    yours      [3, -inf]"]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: 2 * x + 1, "1 of 2 numbers are wrong, the first at [0]: 2 was expected, yours is 3."),
        (lambda x: 2 * x.sum(-1), "The shape should be (2,); yours is ()."),
        (lambda x: 2 * x - x + x, "nan"),
        (lambda x: None, "did you forget to return?"),
        (lambda x: "2x", "you returned the text '2x'"),
        (lambda x: (2 * v for v in x), "a generator"),
        (lambda x: [[1], [2, 3]], "parts have different shapes"),
        (lambda x: x.mul_(2), "changes its argument x, which the caller may still need. Work on a copy"),
        (lambda x: x / [], "TypeError"),
        (lambda: 1, "The check calls double(x), but your function takes ()."),
        (torch.tensor(3.0), "without parentheses: check.double(double)"),
    ],
)
def test_failure_says_what_is_wrong(function, says):
    found = failure(double, function)
    assert says in str(found).replace("\n", " ") and found.diagnosis is None


SILLY = [
    None,
    "text",
    [[1], [2, 3]],
    [],
    {},
    {1, 2},
    object(),
    float("nan"),
    10**400,
    1j,
    iter([1]),
    [None],
    len,
    [["a"]],
]


@pytest.mark.parametrize("exercise", [double, coins, root, pair], ids=lambda exercise: exercise.name)
@pytest.mark.parametrize("silly", SILLY, ids=lambda value: type(value).__name__)
def test_no_result_is_too_silly(exercise, silly):
    assert len(str(failure(exercise, lambda *arguments: silly))) < 5000


def test_error_is_shown_with_its_line():
    def doubled(x):
        y = x + x
        return y.nonsense

    assert "from line 3 of your function: return y.nonsense" in " ".join(str(failure(double, doubled)).split())


def test_missing_error_is_a_failure():
    found = str(failure(root, lambda x: max(x, 0.0) ** 0.5))
    assert "should raise ValueError, but it returned the number 0.0" in found


def test_changed_argument_is_noticed_inside_containers():
    from tinysedd.checks.engine import _copy, _differ

    held = {"weights": [torch.zeros(2), torch.ones(2)], "step": 1}
    assert not _differ(held, _copy(held))
    changed = _copy(held)
    changed["weights"][1] += 1
    assert _differ(held, changed) and _differ(held, held | {"step": 2}) and _differ(held, {"step": 1})


def test_stub_fails_with_its_task():
    def double_it(x):
        raise NotImplementedError("Double all numbers.")

    assert str(failure(double, double_it)) == "double is not written yet.\n\nYour task: Double all numbers."


def test_endless_loop_is_stopped(monkeypatch):
    def waits(x):
        while True:
            pass

    monkeypatch.setattr(double, "seconds", 0.2)
    assert "did not finish within 0.2 seconds" in str(failure(double, waits))


def test_random_function_is_judged_by_frequencies_and_must_use_its_generator():
    assert coins(lambda p, count, generator: (torch.rand(count, generator=generator) > 1 - p).numpy())
    biased = failure(coins, lambda p, n, generator: torch.rand(n, generator=generator) < 0.31)
    assert "the fraction of heads" in str(biased)
    assert "Pass `generator=generator`" in str(failure(coins, lambda p, n, generator: torch.rand(n) < p))
    assert failure(coins, lambda p, n, generator: torch.rand(9) < p).diagnosis == "Flip 100000 coins."


def test_global_generator_is_restored():
    before = torch.get_rng_state()
    coins(coins._reference)
    assert torch.equal(torch.get_rng_state(), before)


def test_in_place_exercise_may_change_its_arguments():
    assert count_up(count_up._reference)
    assert "wrong" in str(failure(count_up, lambda numbers: numbers.append(1) or numbers.pop()))


def test_reference_and_mistakes_run_once_per_case():
    calls = []

    @exercise("it works.")
    def increment(x):
        calls.append("reference")
        return x + 1

    @increment.cases
    def _(rng):
        yield (1,)
        yield (2,)

    @increment.mistake("You add 2.")
    def _(x):
        calls.append("mistake")
        return x + 2

    for _repeat in range(3):
        assert increment(lambda x: x + 1)
        assert failure(increment, lambda x: x + 2).diagnosis == "You add 2."
        assert failure(increment, lambda x: x).diagnosis is None
    assert sorted(calls) == ["mistake"] * 2 + ["reference"] * 2


def test_notebook_shows_the_message_without_a_traceback():
    found = failure(double, lambda x: x * 3)
    first, *rest = found._render_traceback_()
    assert first == "\x1b[1m✗ double is not right yet.\x1b[0m" and rest == str(found).split("\n")[1:]


def test_unknown_check_suggests_a_known_one():
    check = Checks(types.SimpleNamespace(__name__="some", double=double, coins=coins))
    assert check.double is double and "coins" in dir(check)
    with pytest.raises(AttributeError, match=r"did you mean check\.double"):
        _ = check.dubble
    with pytest.raises(ValueError, match="two exercises"):
        Checks(types.SimpleNamespace(__name__="a", double=double), types.SimpleNamespace(__name__="b", double=double))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.tensor([[1.0, 0.25], [1e-9, 3.0]]), "[[    1,  0.25],\n [1e-09,     3]]"),
        (torch.zeros(100, 3), "(a tensor of shape (100, 3))"),
        ([0.123456, "a"], "[0.1235, 'a']"),
        ((1, None), "(1, None)"),
        (10**400, "(a number with very many digits)"),
        (torch.Generator(), "(a generator)"),
        (len, "(a function, len)"),
    ],
)
def test_values_are_printed_for_a_reader(value, text):
    assert format_value(value) == text
