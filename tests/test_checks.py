"""The engine of the checks, on four exercises of its own: double, flip coins, count up in place, take a root."""

import types

import numpy as np
import pytest
import torch

from tinysedd.checks import CheckFailed, Checks
from tinysedd.checks.engine import exercise, shares, tensor
from tinysedd.checks.messages import show


@exercise("all are doubled.")
def double(x):
    return 2 * x


@double.cases
def _(dice):
    yield (torch.rand(3, 2, dtype=torch.float64, generator=dice),)
    yield (torch.tensor([1.0, -torch.inf], dtype=torch.float64),)


@double.mistake("You triple.")
def _(x):
    return 3 * x


@exercise("heads as often as they should be.", tolerance=shares(100_000), measured="the share of heads")
def coins(p, count, generator):
    return torch.rand(count, generator=generator) < p


@coins.cases
def _(dice):
    yield 0.3, 100_000, torch.Generator().manual_seed(1)
    yield 0.0, 100_000, torch.Generator().manual_seed(2)


@coins.measure
def _(result, p, count, generator):
    heads = tensor(result).double()
    if heads.shape != (count,):
        raise ValueError(f"{count} coins were asked for.")
    return heads.mean()


@coins.exact
def _(p, count, generator):
    return p


@exercise("one more of each.", in_place=True)
def count_up(numbers):
    for i in range(len(numbers)):
        numbers[i] += 1


@count_up.cases
def _(dice):
    yield ([1, 2, 3],)


@count_up.measure
def _(result, numbers):
    return torch.tensor(numbers)


@exercise("there is no root of what is below 0.")
def root(x):
    if x < 0:
        raise ValueError(f"{x} has no root")
    return x**0.5


@root.cases
def _(dice):
    yield (4.0,)
    yield (-1.0,)


def finding(exercise, function) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        exercise(function)
    return caught.value


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + x,
        lambda x: x.float() * 2,
        lambda x: x.numpy() * 2,
        lambda x: (x.numpy() * 2).astype("float32").tolist(),
        lambda x: [row * 2 for row in x],
        lambda x: tuple(np.array(row) * 2 for row in x),
        lambda x: (x * 2).requires_grad_(),
        lambda *arguments: 2 * arguments[0],
    ],
)
def test_a_right_result_passes_in_any_form(function):
    assert repr(double(function)) == "✓ double is right: all are doubled."


def test_a_known_mistake_is_diagnosed_with_the_smallest_case_that_shows_it():
    found = finding(double, lambda x: x * 3)
    assert found.diagnosis == "You triple."
    lines = ["You triple.", "", "The smallest case that shows it:", "    x          [1, -inf]", ""]
    assert str(found).split("\n")[2:] == [*lines, "    expected   [2, -inf]", "    yours      [3, -inf]"]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: 2 * x + 1, "1 of 2 numbers are off, the first at [0]: 2 was expected, yours is 3."),
        (lambda x: 2 * x.sum(-1), "The shape should be (2,); yours is ()."),
        (lambda x: 2 * x - x + x, "nan"),
        (lambda x: None, "is a return missing?"),
        (lambda x: "2x", "the text '2x' came back"),
        (lambda x: (2 * v for v in x), "a generator"),
        (lambda x: [[1], [2, 3]], "do not have one shape"),
        (lambda x: x.mul_(2), "changes its argument x. Who calls it may still need it: work on a copy"),
        (lambda x: x / [], "TypeError"),
        (lambda: 1, "The check calls double(x); your function takes ()."),
        (torch.tensor(3.0), "without brackets: check.double(double)"),
    ],
)
def test_what_is_wrong_is_named(function, says):
    found = finding(double, function)
    assert says in str(found).replace("\n", " ") and found.diagnosis is None


def test_the_line_of_an_error_is_shown():
    def doubled(x):
        y = x + x
        return y.nonsense

    assert "from line 3 of your function: return y.nonsense" in " ".join(str(finding(double, doubled)).split())


def test_where_an_error_is_asked_for_nothing_else_passes():
    assert "should raise ValueError; the number 0.0 came back" in str(finding(root, lambda x: max(x, 0.0) ** 0.5))


def test_a_changed_argument_is_noticed_in_whatever_it_is_held():
    from tinysedd.checks.engine import _copy, _differ

    held = {"weights": [torch.zeros(2), torch.ones(2)], "step": 1}
    assert not _differ(held, _copy(held))
    changed = _copy(held)
    changed["weights"][1] += 1
    assert _differ(held, changed) and _differ(held, held | {"step": 2}) and _differ(held, {"step": 1})


def test_a_stub_says_what_is_asked():
    def double_it(x):
        raise NotImplementedError("Double all numbers.")

    assert str(finding(double, double_it)) == "double is not written yet.\n\nWhat is asked: Double all numbers."


def test_a_loop_that_never_ends_is_ended(monkeypatch):
    def waits(x):
        while True:
            pass

    monkeypatch.setattr(double, "seconds", 0.2)
    assert "had not finished after 0.2 seconds" in str(finding(double, waits))


def test_chance_is_judged_by_shares_and_comes_from_the_dice_that_are_given():
    assert coins(lambda p, count, generator: (torch.rand(count, generator=generator) > 1 - p).numpy())
    assert "the share of heads" in str(
        finding(coins, lambda p, n, generator: torch.rand(n, generator=generator) < 0.31)
    )
    assert "without `generator=`" in str(finding(coins, lambda p, n, generator: torch.rand(n) < p))
    assert finding(coins, lambda p, n, generator: torch.rand(9) < p).diagnosis == "100000 coins were asked for."


def test_the_dice_of_the_notebook_stay_where_they_are():
    before = torch.get_rng_state()
    coins(coins.reference)
    assert torch.equal(torch.get_rng_state(), before)


def test_an_argument_may_be_changed_where_that_is_asked():
    assert count_up(count_up.reference)
    assert "off" in str(finding(count_up, lambda numbers: numbers.append(1) or numbers.pop()))


def test_a_notebook_shows_the_message_alone():
    found = finding(double, lambda x: x * 3)
    first, *rest = found._render_traceback_()
    assert first == "\x1b[1m✗ double is not right yet.\x1b[0m" and rest == str(found).split("\n")[1:]


def test_a_name_that_is_no_check_is_answered_with_one_that_is():
    check = Checks(types.SimpleNamespace(__name__="some", double=double, coins=coins))
    assert check.double is double and "coins" in dir(check)
    with pytest.raises(AttributeError, match="did you mean check.double"):
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
        (10**400, "(a number of very many digits)"),
        (torch.Generator(), "(dice)"),
        (len, "(a function, len)"),
    ],
)
def test_values_are_shown_for_a_reader(value, text):
    assert show(value) == text
