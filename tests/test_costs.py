"""The chain rule, the ledger and the best group sizes, against sums over all texts, orders and group sizes.

The truth is a table of probabilities, and the model a network with random weights: unlike those of a table, its
conditionals contradict each other, so that every order costs something else.
"""

import itertools
import math
from functools import cache

import pytest
import torch
from conftest import Enumerated, posterior_score, randomized, seeded
from torch.testing import assert_close

from tinysedd import Absorbing, Fables, Uniform, Words, likelihood_bound
from tinysedd.costs import (
    ORDERS,
    InformationCurve,
    best_sizes,
    chain_rule,
    information_curve,
    isotonic,
    ledger,
)
from tinysedd.fast.model import FastConfig, FastTransformer

N, L = 3, 4
PROCESS = Absorbing(N)
TEXTS = torch.cartesian_prod(*[torch.arange(N)] * L)  # (81, 4)
GROUPS = [sizes for n in range(1, L + 1) for sizes in itertools.product(range(1, L + 1), repeat=n) if sum(sizes) == L]


TRUTH = torch.rand((N,) * L, dtype=torch.float64, generator=seeded(0)) ** 3
TRUTH /= TRUTH.sum()


@cache
def network() -> FastTransformer:
    torch.manual_seed(0)
    return randomized(FastTransformer(PROCESS, FastConfig(1, 2, 16, bigrams=50), length=L)).requires_grad_(False)


@cache
def true_conditional(i: int, shown: tuple) -> torch.Tensor:
    """p(x_i | the characters that are shown) (N,), by summing over the table. shown: N for a mask."""
    rest = TRUTH[tuple(slice(None) if c == N else c for c in shown)]
    axis = [j for j in range(L) if shown[j] == N].index(i)
    p = rest.movedim(axis, 0).reshape(N, -1).sum(-1)
    return p / p.sum()


@cache
def learned_conditional(i: int, shown: tuple) -> torch.Tensor:
    """The same of the network, asked about one text at a time."""
    return network().log_posterior(torch.tensor([shown]))[0, i].double().softmax(-1)


def show(text: tuple, known: tuple) -> tuple:
    return tuple(c if i in known else N for i, c in enumerate(text))


def log_prob_in_groups(conditional, text: tuple, order: tuple, sizes: tuple) -> float:
    """log p of a text that is written in this order, in groups whose characters are drawn as if independent."""
    at, total = 0, 0.0
    for size in sizes:
        for i in order[at : at + size]:
            total += math.log(conditional(i, show(text, order[:at]))[text[i]])
        at += size
    return total


def enumerated_curve() -> InformationCurve:
    """f(k) and g(k) as sums over texts, sets of k known positions, and the positions that are masked."""
    f, g = torch.zeros(L, dtype=torch.float64), torch.zeros(L, dtype=torch.float64)
    for k in range(L):
        sets = list(itertools.combinations(range(L), k))
        for known, text in itertools.product(sets, TEXTS.tolist()):
            for i in set(range(L)) - set(known):
                p, q = (conditional(i, show(text, known)) for conditional in (true_conditional, learned_conditional))
                weight = TRUTH[tuple(text)] / len(sets) / (L - k)
                f[k] -= weight * (p * p.log()).sum()
                g[k] -= weight * (p * q.log()).sum()
    return InformationCurve(g[None], f[None])


@pytest.fixture(scope="module")
def curve() -> InformationCurve:
    return enumerated_curve()


@pytest.fixture
def model() -> FastTransformer:
    return network()


# The chain rule


@pytest.mark.parametrize("order", ORDERS)
def test_with_the_exact_score_every_order_costs_the_same(order):
    """-log p(x), one character at a time, in both worlds."""
    for world in (Words(), Fables()):
        x0 = world.sample(20, seeded(0))
        process = Absorbing(len(world.alphabet))
        cost = chain_rule(world.score(process), process, x0, order, generator=seeded(1))
        assert_close(cost.per_text, -world.log_prob(x0), rtol=1e-9, atol=0)
        assert cost.length == world.length


@pytest.mark.parametrize("sizes", [None, *GROUPS])
@pytest.mark.parametrize(
    "order", ["left to right", "right to left", "easiest first", "easiest in blocks", torch.tensor([2, 0, 3, 1])]
)
def test_the_probabilities_of_all_texts_sum_to_1_in_every_order(model, order, sizes):
    """So it is the likelihood of a sampler that writes like this, and not a bound; "easiest first" is one too, because
    its order depends on what is written and on nothing else."""
    sizes = None if sizes is None else list(sizes)
    p = torch.exp(-chain_rule(model, PROCESS, TEXTS, order, sizes).per_text)
    assert_close(p.sum(), torch.tensor(1.0, dtype=torch.float64), rtol=1e-5, atol=0)


@pytest.mark.parametrize("sizes", GROUPS)
def test_a_fixed_order_matches_the_product_of_conditionals(model, sizes):
    for order in itertools.permutations(range(L)):
        cost = chain_rule(model, PROCESS, TEXTS, torch.tensor(order), list(sizes)).per_text
        expected = [-log_prob_in_groups(learned_conditional, text, order, sizes) for text in TEXTS.tolist()]
        assert_close(cost, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=0)


def test_an_order_for_each_text_and_the_names_mean_what_they_say(model):
    each = torch.stack([torch.randperm(L, generator=seeded(k)) for k in range(len(TEXTS))])
    cost = chain_rule(model, PROCESS, TEXTS, each, batch=7).per_text
    assert_close(cost, torch.cat([chain_rule(model, PROCESS, x[None], o).per_text for x, o in zip(TEXTS, each)]))
    for name, order in (("left to right", torch.arange(L)), ("right to left", torch.arange(L).flip(0))):
        assert (
            chain_rule(model, PROCESS, TEXTS, name).per_text == chain_rule(model, PROCESS, TEXTS, order).per_text
        ).all()


def test_the_random_order_costs_the_bound_on_average(model):
    """Both for one text: the mean over all 24 orders, and 40,000 draws of the bound, within 4 standard errors."""
    text = TEXTS[[5]]
    orders = torch.tensor(list(itertools.permutations(range(L))))
    mean = chain_rule(model, PROCESS, text.expand(24, L), orders).per_text.mean()
    bound = likelihood_bound(model, PROCESS, text.expand(400, L), draws=100, generator=seeded(2))
    assert abs(bound.nats_per_char * L - mean) < 4 * bound.standard_error * L < 0.15
    drawn = chain_rule(model, PROCESS, text.expand(2000, L), "random", generator=seeded(3))
    assert abs(drawn.nats_per_char * L - mean) < 4 * drawn.standard_error * L < 0.1


def test_easiest_first_writes_next_what_is_most_certain():
    """Characters that are independent of each other, with largest probabilities 0.5, 0.9, 0.7 and 0.9: the order is 1,
    3, 2, 0. Each text is seen after each step."""
    p = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.3, 0.7], [0.1, 0.9]], dtype=torch.float64)
    seen, score = [], posterior_score(Absorbing(2), p)

    def watched(x, sigma):
        seen.append((x[0] == 2).tolist())
        return score(x, sigma)

    chain_rule(watched, Absorbing(2), torch.zeros(1, 4, dtype=torch.int64), "easiest first")
    assert [mask.count(True) for mask in seen] == [4, 3, 2, 1]
    assert seen[1:] == [[True, False, True, True], [True, False, True, False], [True, False, False, False]]


def test_easiest_in_blocks_finishes_one_block_before_the_next():
    """Ten characters, the rarest value of each as probable as its position says: 0 to 3 backward, then 4 to 7, 8, 9."""
    p = torch.arange(10, dtype=torch.float64)[:, None] / 100
    turns, score = [], posterior_score(Absorbing(2), torch.cat([p + 0.5, 0.5 - p], -1))

    def watched(x, sigma):
        turns.append(int((x[0] == 2).sum()) and (x[0] != 2).nonzero().flatten().tolist())
        return score(x, sigma)

    chain_rule(watched, Absorbing(2), torch.zeros(1, 10, dtype=torch.int64), "easiest in blocks")
    written = [*turns[1:], list(range(10))]
    order = [(set(b) - set(a)).pop() for a, b in zip([[], *written], written)]
    assert order == [3, 2, 1, 0, 7, 6, 5, 4, 9, 8]


def test_a_text_that_cannot_be_written_costs_infinity():
    words = Words()
    x0 = words.alphabet.encode("qqq")[None]
    assert chain_rule(words.score(Absorbing(26)), Absorbing(26), x0, "left to right").per_text.tolist() == [math.inf]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "backward"}, "order must be 'left to right' or"),
        ({"order": torch.tensor([0, 1, 1, 2])}, "each position from 0 to 3 once"),
        ({"order": torch.arange(3)}, "each position from 0 to 3 once"),
        ({"sizes": [2, 1]}, "sum to 4, the length of a text: \\[2, 1\\]"),
        ({"sizes": [5, -1]}, "must be positive"),
        ({"batch": 0}, "batch must be an integer of at least 1"),
    ],
)
def test_impossible_orders_and_sizes_are_rejected(model, options, message):
    with pytest.raises(ValueError, match=message):
        chain_rule(model, PROCESS, TEXTS, **options)


@pytest.mark.parametrize("f", [chain_rule, information_curve])
def test_random_characters_have_no_order(f):
    process = Uniform(N)
    with pytest.raises(ValueError, match="needs masks, and Uniform has none"):
        f(Enumerated(TRUTH, process), process, TEXTS)


# The ledger


def test_the_curves_match_enumeration(curve, model):
    """f sums to the entropy, and estimates from 3,000 texts are within 4 standard errors, which are below 0.04 nats."""
    assert_close(curve.f.sum(), -(TRUTH * TRUTH.log()).sum(), rtol=1e-9, atol=0)
    x0 = TEXTS[torch.multinomial(TRUTH.flatten(), 3000, replacement=True, generator=seeded(4))]
    truth = Enumerated(TRUTH, PROCESS)
    for exact in (None, truth):
        drawn = information_curve(model, PROCESS, x0, exact, generator=seeded(5))
        pairs = [(drawn.g_rows, curve.g)] + ([(drawn.f_rows, curve.f)] if exact else [])
        for rows, expected in pairs:
            error = rows.std(0) / math.sqrt(len(rows))
            assert (error < 0.04).all() and ((rows.mean(0) - expected).abs() < 4 * error + 1e-6).all()
    same = information_curve(truth, PROCESS, x0[:200], truth, generator=seeded(5))
    assert_close(same.f_rows, same.g_rows, rtol=0, atol=1e-9)
    assert information_curve(model, PROCESS, x0[:9]).f_rows is None


@pytest.mark.parametrize("sizes", GROUPS)
def test_the_ledger_is_the_divergence_of_what_is_written(curve, sizes):
    """By enumeration: the mean over orders of KL(data || samples in this order) is the total; the factorization error
    is that of the exact score; and the divergence of the samples, whose order is random, is at most the total."""
    entry = ledger(curve, list(sizes))
    orders = list(itertools.permutations(range(L)))
    p = TRUTH.flatten()
    means = []
    for conditional in (learned_conditional, true_conditional):
        log_q = torch.tensor(
            [[log_prob_in_groups(conditional, text, order, sizes) for text in TEXTS.tolist()] for order in orders],
            dtype=torch.float64,
        )  # (24, 81)
        means.append(float(((p.log() - log_q) @ p).mean()))
        mixture = float(p @ (p.log() - log_q.exp().mean(0).log()))
        assert -1e-9 <= mixture <= means[-1] + 1e-9
    assert_close((entry.total, entry.factorization), tuple(means), rtol=0, atol=1e-9)
    assert_close(entry.learning, means[0] - means[1], rtol=0, atol=1e-9)


def test_in_words_too():
    """All groups of three letters, with the exact score: what is written in groups is worse by the ledger, which here
    comes from 2,000 texts, within 4 standard errors; one at a time nothing is lost."""
    words, process = Words(), Absorbing(26)
    score, x0 = words.score(process), words.sample(2000, seeded(6))
    drawn = information_curve(score, process, x0, score, generator=seeded(7))
    for sizes in ([3], [1, 2], [2, 1], [1, 1, 1]):
        entry = ledger(drawn, sizes)
        kl = 0.0
        for order in itertools.permutations(range(3)):
            cost = chain_rule(score, process, words.ids, torch.tensor(order), sizes).per_text
            kl += float(words.p @ (cost + words.p.log())) / 6
        assert (
            abs(entry.learning) < 1e-9 and abs(entry.factorization - kl) <= 4 * entry.factorization_error + 1e-9 < 0.5
        )
    assert kl < 1e-9


def test_a_sampler_writes_at_least_as_many_fables_as_the_ledger_says():
    """Of texts that are all valid, a sampler with KL divergence D from them writes a share of at least e^-D. With the
    exact score in 24 groups, of 400 lines, within 4 standard errors; 24 even groups lose more."""
    from tinysedd.fast.sampling import planned, sample

    fables = Fables()
    process = Absorbing(len(fables.alphabet))
    score = fables.score(process)
    drawn = information_curve(score, process, fables.sample(60, seeded(8)), score, generator=seeded(9))
    best, even = best_sizes(drawn.g, 24), [3] * 16 + [2] * 8
    assert ledger(drawn, best).total < ledger(drawn, even).total
    texts = sample(
        score, process, count=400, steps=24, generator=seeded(10),
        sampler=lambda *a: planned(*a, costs=drawn.g),
    )  # fmt: skip
    valid = float((fables.log_prob(texts.states[-1]) > -math.inf).double().mean())
    assert valid >= math.exp(-ledger(drawn, best).total) - 4 * math.sqrt(valid * (1 - valid) / 400)


def test_without_the_truth_the_model_stands_for_it(curve):
    entry = ledger(InformationCurve(curve.g_rows), [1, 3])
    assert entry.learning == 0 and math.isnan(entry.total_error)
    assert_close(entry.factorization, float(curve.g[0] + 3 * curve.g[1] - curve.g.sum()), rtol=1e-9, atol=0)


def test_errors_are_over_texts():
    rows = torch.rand(50, 4, dtype=torch.float64, generator=seeded(11))
    entry = ledger(InformationCurve(rows + 1, rows), [2, 2])
    each = 2 * rows[:, 0] + 2 * rows[:, 2] - rows.sum(-1)
    assert_close(entry.factorization_error, float(each.std() / 50**0.5), rtol=1e-9, atol=0)
    assert_close(entry.learning, 4.0, rtol=1e-9, atol=0)
    with pytest.raises(ValueError, match=r"sum to 4, the length of a text: \[2, 1\]"):
        ledger(InformationCurve(rows), [2, 1])


# The best sizes


@pytest.mark.parametrize("calls", range(1, 11))
@pytest.mark.parametrize("known", [0, 3])
def test_the_best_sizes_are_the_best_of_all_sizes(calls, known):
    g = torch.rand(8, dtype=torch.float64, generator=seeded(calls)).cumsum(0).flip(0)

    def cost(sizes) -> float:
        return sum(n * float(g[known + sum(sizes[:i])]) for i, n in enumerate(sizes))

    left = 8 - known
    cuts = itertools.combinations(range(1, left), min(calls, left) - 1)
    every = [[b - a for a, b in zip((0, *cut), (*cut, left))] for cut in cuts]
    assert_close(cost(best_sizes(g, calls, known)), min(map(cost, every)), rtol=1e-6, atol=0)
    assert len(best_sizes(g, calls, known)) == min(calls, left)


def test_isotonic_is_the_nearest_curve_that_never_rises():
    """The minimax formula: the least over starts of the greatest over ends of means (Robertson et al., 1988)."""
    g = torch.randn(12, dtype=torch.float64, generator=seeded(12))
    expected = [min(max(float(g[a : b + 1].mean()) for b in range(i, 12)) for a in range(i + 1)) for i in range(12)]
    assert_close(isotonic(g), torch.tensor(expected, dtype=torch.float64))
    assert best_sizes(torch.ones(20), 5) == [4] * 5  # a tie goes to the most even sizes


@pytest.mark.parametrize(
    ("g", "options"),
    [([1.0, math.inf], {}), ([1.0, math.nan], {}), ([2.0, 1.0], {"known": 3}), ([2.0, 1.0], {"known": -1})],
)
def test_costs_that_are_no_costs_are_rejected(g, options):
    with pytest.raises(ValueError, match=r"costs must be finite|known must be an integer of at least 0"):
        best_sizes(torch.tensor(g), 2, **options)
