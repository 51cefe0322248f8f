"""The engine of the checks, tested on small exercises: double, flip coins, count up in place, take a square root."""

import math
import random
import types

import numpy as np
import pytest
import torch

from tinysedd.checks import CheckFailed, Checks
from tinysedd.checks.engine import binomial_tolerance, exercise, tensor
from tinysedd.checks.messages import format_value


@exercise("you doubled every number.")
class double:
    def reference(x):
        return 2 * x

    def cases(rng):
        yield (torch.rand(3, 2, generator=rng),)
        yield (torch.tensor([1.0, -torch.inf]),)

    def _triple(x):
        return 3 * x

    mistakes = {_triple: "You triple."}


@exercise(
    "heads come up as often as they should.", tolerance=binomial_tolerance(100_000), measured="the fraction of heads"
)
class coins:
    def reference(p, count, generator):
        return torch.rand(count, generator=generator) < p

    def cases(rng):
        yield 0.3, 100_000, torch.Generator().manual_seed(1)
        yield 0.0, 100_000, torch.Generator().manual_seed(2)

    def measure(result, p, count, generator):
        heads = tensor(result).double()
        if heads.shape != (count,):
            raise ValueError(f"Flip {count} coins.")
        return heads.mean()

    def exact(p, count, generator):
        return p


@exercise("every number is one larger.", in_place=True)
class count_up:
    def reference(numbers):
        for i in range(len(numbers)):
            numbers[i] += 1

    def cases(rng):
        yield ([1, 2, 3],)

    def measure(result, numbers):
        return torch.tensor(numbers)


@exercise("negative numbers have no square root.")
class root:
    def reference(x):
        if x < 0:
            raise ValueError(f"{x} has no root")
        return x**0.5

    def cases(rng):
        yield (4.0,)
        yield (-1.0,)


@exercise("it is a pair in any order.", repeats=3)
class pair:
    def reference(x):
        return x, x + 1

    def cases(rng):
        yield (1,)

    def measure(result, x):
        return tensor(result).sort(-1).values


def made(reference, *cases, mistakes=None, **options):
    """A small exercise with these cases."""
    parts = {"reference": reference, "cases": lambda rng: iter(cases), "mistakes": mistakes or {}}
    return exercise("it is.", **options)(type("made", (), parts))


def failure(exercise, function) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        exercise(function)
    return caught.value


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + x,
        lambda x: x.float() * 2,
        lambda x: (x * 2).requires_grad_(),
        lambda *arguments: 2 * arguments[0],
    ],
)
def test_right_result_passes_in_any_precision(function):
    assert repr(double(function)) == "✓ double is right: you doubled every number."


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.numpy() * 2,
        lambda x: np.float32(x.numpy() * 2).tolist(),
        lambda x: [row * 2 for row in x],
        lambda x: tuple(row.numpy() * 2 for row in x),
    ],
)
def test_right_numbers_must_be_in_a_tensor(function):
    found = failure(double, function)
    assert "The numbers are right, but you returned" in str(found) and "Return a tensor" in str(found) and found.located


def test_single_number_need_not_be_a_tensor():
    total = made(lambda x: x.sum(), (torch.ones(3),))
    assert total(lambda x: float(x.sum())) and total(lambda x: x.numpy().sum())


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


def test_bare_stub_fails_with_the_task_in_its_docstring():
    def double_it(x):
        """Double all numbers."""
        raise NotImplementedError()

    assert str(failure(double, double_it)) == "double is not written yet.\n\nYour task: Double all numbers."
    double_it.__doc__ = None
    assert "Your task: Write double(x)." in str(failure(double, double_it))


def test_exit_is_caught():
    found = failure(double, lambda x: exit())
    assert "calls exit()" in str(found) and "The smallest case" in str(found)


def test_reference_is_not_one_tab_away():
    assert dir(double) == ["name", "parameters"] and not hasattr(double, "reference")
    assert repr(double) == "check.double(double) checks your function double(x)"


def test_numbers_that_print_alike_are_shown_with_more_digits():
    found = " ".join(str(failure(double, lambda x: 2.0004 * x)).split())
    assert "2 was expected, yours is 2.0004." in found and "yours [2.0004, -inf]" in found


def test_endless_loop_is_stopped(monkeypatch):
    def waits(x):
        while True:
            pass

    monkeypatch.setattr(double, "seconds", 0.2)
    assert "did not finish within 0.2 seconds" in str(failure(double, waits))


def test_random_function_is_judged_by_frequencies_and_must_use_its_generator():
    assert coins(lambda p, count, generator: (torch.rand(count, generator=generator) > 1 - p).int())
    biased = failure(coins, lambda p, n, generator: torch.rand(n, generator=generator) < 0.31)
    assert "the fraction of heads" in str(biased)
    assert "Pass `generator=generator`" in str(failure(coins, lambda p, n, generator: torch.rand(n) < p))
    assert failure(coins, lambda p, n, generator: torch.rand(9) < p).diagnosis == "Flip 100000 coins."


def test_global_generator_is_restored():
    before = torch.get_rng_state()
    state, numpy = random.getstate(), np.random.get_state()[1].copy()
    coins(coins._reference)
    assert torch.equal(torch.get_rng_state(), before)
    assert random.getstate() == state and (np.random.get_state()[1] == numpy).all()


@pytest.mark.parametrize(
    ("u", "says"),
    [
        (lambda n: torch.rand(n, generator=torch.Generator().manual_seed(5)), "Two different generators"),
        (lambda n: torch.rand(n), "The same generator gave two different results"),
        (lambda n: torch.tensor([random.random() for _ in range(n)]), "The same generator gave two different results"),
        (lambda n: torch.tensor(np.random.rand(n)), "The same generator gave two different results"),
        (lambda n: torch.tensor(np.random.default_rng().random(n)), "The same generator gave two different results"),
        (lambda n: torch.tensor(np.random.default_rng(1).random(n)), "Two different generators"),
    ],
)
def test_other_randomness_is_found(u, says):
    assert says in str(failure(coins, lambda p, n, generator: u(n) < p))


def test_in_place_exercise_may_change_its_arguments():
    assert count_up(count_up._reference)
    assert "wrong" in str(failure(count_up, lambda numbers: numbers.append(1) or numbers.pop()))


@exercise("it is the product of the entropies.", gradient="score")
class loss:
    def reference(score, x):
        s = score(x)
        return (s.exp() * s).mean()

    def cases(rng):
        yield (lambda x: x.square()), torch.rand(2, 3, generator=rng)


@exercise("each number has its own gradient.", gradient="x")
class squares:
    def reference(x):
        return x.square()

    def cases(rng):
        yield (torch.tensor([1.0, 2.0, 3.0]),)


def test_gradient_must_arrive_and_agree():
    assert loss(lambda score, x: sum((s * s.exp()).mean() for s in score(x)) / 2)
    assert squares(lambda x: x * x.double())
    assert "have no gradient" in str(failure(loss, lambda score, x: loss._reference(score, x).item()))
    assert "have no gradient" in str(failure(squares, lambda x: x.detach().square()))
    cut = failure(loss, lambda score, x: (score(x).exp().detach() * score(x)).mean())
    assert "not their gradient with respect to score" in str(cut).replace("\n", " ")
    assert "not their gradient with respect to x" in str(failure(squares, lambda x: x * x.detach())).replace("\n", " ")
    assert "have no gradient" in str(failure(squares, lambda x: torch.from_numpy(x.numpy() ** 2)))


def test_mistakes_are_edits_or_expressions_or_functions():
    def line(x, slope):
        y = slope * x
        return y + 1

    cases, cube = [(torch.arange(5.0), 2.0), (torch.arange(4.0), 3.0)], lambda x, slope: x**3
    known = {"+ 1 => - 1": "minus", ("slope * => slope +", "+ 1 =>"): "two edits", "result.cos() * slope": "cos"}
    wrong = [lambda x, a: a * x - 1, lambda x, a: a + x, lambda x, a: (a * x + 1).cos() * a, lambda x, a: x**3]
    named = made(line, *cases, mistakes={**known, cube: "whole"})
    assert [failure(named, f).diagnosis for f in wrong] == ["minus", "two edits", "cos", "whole"]
    for bad, says in [("z => w", "occurs 0 times"), ("y => x", "occurs 2 times")]:
        with pytest.raises(ValueError, match=says):
            failure(made(line, *cases, mistakes={bad: ""}), lambda x, a: x)


def weighted(p, x, sigma):
    total = 1.0
    for k in range(len(x)):
        total *= p[x[k]]
    rest = 1 - torch.exp(-sigma)
    return total, (rest[:, None] * p).sum(-1) - p[x[0]]


RNG = torch.Generator().manual_seed(0)
WEIGHTED = [
    (torch.rand(5, generator=RNG), torch.randint(5, (L,), generator=RNG), torch.rand(L, generator=RNG))
    for L in (2, 3, 4, 5)
]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("total *= => total +=", "with `total += p[x[k]]` in place of `total *= p[x[k]]`"),
        ("total = 1.0 => total = 0.0", "with `total = 0.0` in place of `total = 1.0`"),
        ("range(len(x)) => range(1, len(x))", "with `range(1, len(x))` in place of `range(len(x))`"),
        ("1 - torch.exp => torch.exp", "without `1 -`"),
        ("torch.exp( => torch.expm1(", "with `torch.expm1(-sigma)` in place of `torch.exp(-sigma)`"),
        ("-sigma => sigma", "without the minus in front of `sigma`"),
        (
            "rest[:, None] * p => rest[:, None] / p",
            "with `/` in place of `*` in `(1 - torch.exp(-sigma))[:, None] * p`",
        ),
        ("- p[x[0]] =>", "without `- p[x[0]]`"),
        ("x[0] => x[1]", "with `x[1]` in place of `x[0]`"),
        ("x[k] => k", "with `k` in place of `x[k]`"),
        ("result[::-1]", "You return the two results in the wrong order."),
    ],
)
def test_slip_is_found_in_the_reference(wrong, says):
    """The smallest expression that occurs once is quoted."""
    exercise = made(weighted, *WEIGHTED, mistakes={wrong: ""})
    ((mistake, _),) = exercise._mistakes
    found = failure(made(weighted, *WEIGHTED), mistake)
    assert says in " ".join(str(found).split()) and found.located and found.diagnosis is None
    assert says not in " ".join(str(failure(made(weighted, *WEIGHTED, slips=False), mistake)).split())


def test_mistake_is_named_only_if_a_wrong_number_agrees():
    """Equal errors, and agreement where the mistake is right, prove nothing."""
    known = {"6 // x if x < 3 else [][0]": "You index an empty list.", "result + (x > 1)": "One more."}
    parts = made(lambda x: 6 // x, (1,), (2,), (3,), mistakes=known)
    assert failure(parts, lambda x: 6 // x if x < 3 else [][1]).diagnosis is None
    assert failure(parts, lambda x: 6 // x + (x > 1)).diagnosis == "One more."


X = torch.tensor([[0.113, 0.727, 0.331], [0.309, 0.253, 0.417]], dtype=torch.float64)


def identity(x):
    return x + 0


def changed(x, index, value):
    y = x.clone()
    y[index] = value
    return y


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: -x, "the right one with the sign flipped"),
        (lambda x: 1 / x, "the right one upside down"),
        (lambda x: x.log(), "the logarithm of the right one"),
        (lambda x: x.exp(), "exp() of the right one"),
        (lambda x: 1 - x, "1 minus the right one"),
        (lambda x: x.T, "the right one transposed"),
        (lambda x: x[:1].expand(2, -1), "the first row of the right one in place of every row"),
        (lambda x: x.mean(0).expand(2, -1), "the mean of the rows"),
        (lambda x: x.sum(-1), "summed along the last axis"),
        (lambda x: x / x.sum(), "divided by its sum"),
        (lambda x: x * 3, "times the size of x along axis 1"),
        (lambda x: x / 2, "divided by the size of x along axis 0"),
        (lambda x: x / math.log(10), "as in log10"),
        (lambda x: x * 1.7, "times 1.7"),
        (lambda x: x + 0.25, "plus 0.25"),
        (lambda x: x * torch.tensor([[2.5], [0.3]]), "times a constant of its own in each row"),
        (lambda x: x.round(decimals=1), "rounded to 1 digits"),
        (lambda x: changed(x, 1, 0.0), "wrong only in the last row. Yours is always 0 there"),
        (lambda x: changed(x, (slice(None), 2), torch.tensor([0.9, 0.7])), "wrong only in the last column"),
    ],
)
def test_relation_is_named(function, says):
    right = lambda x: x.cumsum(0)  # noqa: E731
    found = failure(made(right, (X,), (X.roll(1, 1),)), lambda x: function(right(x)))
    assert says in " ".join(str(found).split()) and found.diagnosis is None and found.located


@pytest.mark.parametrize(
    ("function", "cases"),
    [
        (lambda x: x + 0.1 * x.sin().round(decimals=2), [(3 * X,)]),  # no relation at all
        (lambda x: changed(x, (0, 0), -3 * x[0, 0]), [(3 * X,)]),  # a factor, of one number
        (lambda x: -x, [(torch.tensor([2.0, 5.0]),)]),  # the sign, of two numbers
        (
            lambda x: x.square() if x[0, 0] > 0.25 else x + 0.1 * x.sin(),
            [(3 * X,), (2 * X,)],
        ),  # a relation in one case only
        (lambda x: x * 1.7 if x[0, 0] > 0.25 else x.exp() + x.sin(), [(3 * X,), (2 * X,)]),
        (lambda x: changed(x, (1, 2), 0.5), [(3 * X,)]),  # a single wrong number may be anywhere
    ],
)
def test_spurious_relation_is_not_shown(function, cases):
    found = failure(made(identity, *cases), function)
    assert not found.located and "numbers are wrong" in str(found).split("\n")[2], str(found)


def test_relations_know_the_arguments():
    rows = torch.arange(4.0)[:, None].expand(4, 3) + X[:1]
    power = made(lambda a, b: a ** (b + 1), (rows, X[:1] + rows.flip(0)), (X, 2 * X))
    assert "the right one with a and b exchanged" in str(failure(power, lambda a, b: b ** (a + 1)))
    assert "You use a[0] in place of all of a" in str(failure(power, lambda a, b: a[:1] ** (b + 1)))
    assert "the mean of a in place of" in str(failure(power, lambda a, b: a.mean(0) ** (b + 1)))

    ids = torch.tensor([1, 0, 4, 2])
    rates = torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    at = made(lambda x, r, mask: r + 1, (ids, rates, 4), (ids.flip(0), rates, 4), (ids[:2], rates[:2], 4))
    assert "only where x is the mask" in str(failure(at, lambda x, r, mask: r + 1 + (x == mask)[:, None] * r.sin()))
    own = failure(at, lambda x, r, mask: (r + 1).scatter(1, x[:, None], 0.0))
    assert "only at the character that x has there. Yours is always 0 there" in " ".join(str(own).split())
    some = failure(at, lambda x, r, mask: r + 1 + (len(x) == 2) * r.sin())
    assert "fails exactly" not in str(some)  # no property of the arguments is known to be special
    double_if = made(lambda x, twice: x * (1 + twice), (X, True), (X, False), (2 * X, True))
    told = failure(double_if, lambda x, twice: x + 0)
    assert "It fails exactly in the cases where twice is True; all others are right." in " ".join(str(told).split())
    code = made(lambda text: sum(map(ord, text)), ("ab",), ("abc ",), ("abcdef",), ("abcdefg",))
    assert "divided by the length of text" in str(failure(code, lambda text: sum(map(ord, text)) / len(text)))
    pmf = made(lambda x: x.softmax(-1), (X,), (X.exp(),), (X.mT,))
    assert "The right result is yours with each row divided by its sum" in str(failure(pmf, lambda x: x.exp()))
    assert "Each row should add up to 1; yours add up to" in str(failure(pmf, lambda x: (1 + x + x**2 / 2) / 4))
    assert "No right number is below 0" in str(failure(pmf, lambda x: x.softmax(-1) + 2 * (x - x.roll(1, -1))))


def test_reference_and_mistakes_run_once_per_case():
    calls = []

    def count(text, step):
        return lambda x: calls.append(text) or x + step

    increment = made(count("reference", 1), (1,), (2,), mistakes={count("mistake", 2): "You add 2."})
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


def test_a_right_answer_passes_even_if_its_picture_fails_or_takes_too_long():
    for broken in (lambda function: 1 / 0, lambda function: [None for _ in iter(int, 1)]):
        parts = {"picture": broken, "reference": lambda x: 2 * x, "cases": lambda rng: iter([(torch.ones(3),)])}
        assert "right" in str(exercise("right.", seconds=0.2)(type("double", (), parts))(lambda x: x + x))
