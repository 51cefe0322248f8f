"""Noise processes against their definitions: rates, matrix exponentials, Bayes' rule, and sums over all texts.

Most tests run for the closed forms of Absorbing and Uniform and for processes that define a rate matrix only, which
exercises the generic code of Process: two copies of the closed forms, and two that are genuinely different.
"""

import functools
import math
from dataclasses import dataclass

import pytest
import torch
from conftest import Enumerated, count_texts, p_value, seeded
from torch.testing import assert_close

from tinysedd import Corpus, Training, Transformer, fit, sample
from tinysedd.costs import chain_rule
from tinysedd.guard import only_masks
from tinysedd.model import Config
from tinysedd.objective import likelihood_bound
from tinysedd.process import Absorbing, Process, Uniform, sample_categorical


def with_diagonal(jumps: list[list[float]]) -> torch.Tensor:
    """A rate matrix from its off-diagonal entries."""
    Q = torch.tensor(jumps, dtype=torch.float64).fill_diagonal_(0)
    return Q - Q.sum(1).diag()


class GenericUniform(Process):
    def rate_matrix(self):
        return with_diagonal([[1 / self.num_tokens] * self.num_tokens] * self.num_tokens)


@dataclass(frozen=True)
class Masked(Process):
    @property
    def mask(self):
        return self.num_tokens


class GenericAbsorbing(Masked):
    def rate_matrix(self):
        N = self.num_tokens
        return with_diagonal([[0.0] * N + [1.0]] * N + [[0.0] * (N + 1)])


class MaskOrTypo(Masked):
    """Half of the hits mask a character, the other half replace it by any character."""

    def rate_matrix(self):
        N = self.num_tokens
        return with_diagonal([[0.5 / N] * N + [0.5]] * N + [[0.0] * (N + 1)])


class Ring(Process):
    """Characters move to their neighbors on a ring only, forward faster than back, and some faster than others.

    Q is not symmetric, so a confusion of its rows and columns shows. All rates of decay are at most 1.
    """

    def rate_matrix(self):
        N = self.num_tokens
        Q = torch.zeros(N, N, dtype=torch.float64)
        for a in range(N):
            Q[a, (a + 1) % N] += 0.375 * (a + 1) / N
            Q[a, (a - 1) % N] += 0.125
        return with_diagonal(Q.tolist())


def with_processes(*processes):
    return pytest.mark.parametrize("process", processes, ids=lambda p: f"{type(p).__name__}{p.num_tokens}")


GENERIC = [GenericUniform(3), GenericAbsorbing(3), MaskOrTypo(3), Ring(5)]
SMALL = [Absorbing(2), Absorbing(3), Uniform(2), Uniform(3)]
closed_forms = with_processes(*SMALL, Absorbing(26), Uniform(26))
every_process = with_processes(*SMALL, Absorbing(26), Uniform(26), *GENERIC)
small_process = with_processes(*SMALL, *GENERIC)
SIGMAS = torch.tensor([1e-3, 0.1, 0.7, 2.0, 6.9], dtype=torch.float64)
# The matrix exponentials of the enumeration are exact to about 1e-15 of their largest entry, 1. At the smallest sigma
# their smallest entries are about 1e-5 (1e-6 on the ring), so ratios are exact to 1e-9.
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def random_p0(N: int, L: int, seed: int = 0) -> torch.Tensor:
    """A distribution over all texts, without any pattern."""
    noise = torch.rand((N,) * L, dtype=torch.float64, generator=seeded(seed))
    return noise**3 / (noise**3).sum()


@pytest.fixture
def one_letter(process):
    return Enumerated(random_p0(process.num_tokens, 1), process)


@pytest.fixture
def two_letters(process):
    return Enumerated(random_p0(process.num_tokens, 2), process)


def at(sigma: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return sigma.expand(len(x))


def exact_log_posterior(world, process, x, sigma):
    """log p(x0_i = a | x) (B, L, N) by Bayes' rule, summed over every x0."""
    q = world.transition(sigma)
    joint = world.p0.flatten() * q[world.texts[:, None], x].prod(-1).T  # (B, S^L): p0(x0) prod_i q(x_i | x0_i)
    is_a = torch.nn.functional.one_hot(world.texts, world.num_states).double()  # (S^L, L, S)
    posterior = torch.einsum("bw,wla->bla", joint / joint.sum(-1, keepdim=True), is_a)
    return posterior[..., : process.num_tokens].log()


def possible(world, sigma):
    """Every text that the noise can produce."""
    return world.texts[world.noised(sigma[None]).flatten() > 0]


def stationary(process) -> torch.Tensor:
    """The probabilities (S,) that the noise leaves unchanged: pi Q = 0."""
    _, _, V = torch.linalg.svd(process.rate_matrix().T)
    return V[-1] / V[-1].sum()


# A process of your own


def test_a_new_process_needs_only_a_rate_matrix():
    """Noise that moves a character to one of its two neighbors in the alphabet, e to d or a. The texts are parts of
    abcdeabcde...; guessing costs log(5) = 1.6 nats per character, and 1 random text in 625 counts up as they do."""

    class Neighbors(Process):
        def rate_matrix(self):
            N = self.num_tokens
            Q = -torch.eye(N, dtype=torch.float64)  # rows = from, columns = to; each row sums to 0
            for a in range(N):
                Q[a, (a + 1) % N] += 0.5
                Q[a, (a - 1) % N] += 0.5
            return Q

    torch.manual_seed(0)
    corpus = Corpus.from_text("abcde" * 200, length=5)
    process = Neighbors(len(corpus.alphabet))
    model = Transformer(process, Config(layers=1, heads=2, width=32), corpus.alphabet, corpus.length)
    training = Training(steps=60, lr=2e-2, warmup=10, ema_decay=0.9, validate=1)
    curve = fit(model, corpus, training, progress=False)
    assert curve[-1].bound < math.log(5) - 3 * curve[-1].standard_error

    texts = sample(model, process, count=200, steps=32, generator=torch.Generator().manual_seed(0)).texts
    assert sum(text in "abcdeabcde" for text in texts) > 20


def test_a_process_without_a_rate_matrix_says_so():
    class Empty(Process):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must define rate_matrix\(\)"):
        Empty(3).transition(1.0)


def test_a_rate_matrix_is_never_modified():
    """A process may return the same tensor every time."""

    class Cached(Process):
        @functools.cache  # noqa: B019
        def rate_matrix(self):
            return Ring(5).rate_matrix()

    process, x, sigma = Cached(5), torch.arange(5)[:, None], torch.ones(5)
    log_score = process.log_score(process.log_likelihood(x, sigma).log_softmax(-1), x, sigma)
    process.score_entropy(log_score, x, x, sigma)
    process.euler(log_score, x, sigma)
    process.denoise(log_score, x, sigma)
    assert (process.rate_matrix() == Ring(5).rate_matrix()).all()


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize(
    ("generic", "closed"), [(GenericUniform, Uniform), (GenericAbsorbing, Absorbing)], ids=["Uniform", "Absorbing"]
)
def test_the_generic_code_agrees_with_the_closed_forms(generic, closed, sigma):
    """Every method, for noisy texts of 26 characters and random posteriors."""
    generic, closed, generator = generic(26), closed(26), seeded(1)
    sigma = sigma.expand(4)
    x0 = torch.randint(26, (4, 30), generator=generator)
    x = closed.perturb(x0, sigma, generator)
    log_posterior = torch.randn(4, 30, 26, dtype=torch.float64, generator=generator).log_softmax(-1)
    log_score = closed.log_score(log_posterior, x, sigma)
    assert (generic.num_states, generic.mask) == (closed.num_states, closed.mask)

    def results(process):
        return {
            "rate_matrix": process.rate_matrix(),
            "transition": process.transition(sigma),
            "log_likelihood": process.log_likelihood(x, sigma).exp(),
            "log_score": process.log_score(log_posterior, x, sigma),
            "score_entropy": process.score_entropy(log_score, x, x0, sigma),
            "euler": process.euler(log_score, x, sigma / 100),
            "tweedie": process.tweedie(log_score, x, sigma / 2),
            "denoise": process.denoise(log_score, x, sigma),
        }

    for (name, value), expected in zip(results(generic).items(), results(closed).values()):
        assert_close(value, expected, rtol=1e-8, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}")


# Forward


def test_p_value_at_tabulated_points():
    """Counts at the tabulated 5 % points of chi-square, for 1 and for 2 degrees of freedom."""
    k = 50 * math.sqrt(3.841459 / 100)
    assert_close(p_value(torch.tensor([50 - k, 50 + k]), torch.tensor([0.5, 0.5])), 0.05, rtol=1e-5, atol=0)
    k = 100 * math.sqrt(5.991465 / 200)
    assert_close(p_value(torch.tensor([100 - k, 100 + k, 100]), torch.ones(3)), 0.05, rtol=1e-5, atol=0)
    assert p_value(torch.tensor([50, 49, 1]), torch.tensor([0.5, 0.5, 0])) == 0


@closed_forms
def test_rate_matrix_matches_its_definition(process, one_letter):
    """Row = from, column = to: leaving is negative, arriving is positive, rows sum to 0, the mask is never left."""
    Q = process.rate_matrix()
    assert_close(Q, one_letter.Q, rtol=0, atol=1e-15)
    assert_close(Q.sum(1), torch.zeros(process.num_states, dtype=torch.float64), rtol=0, atol=1e-14)
    if isinstance(process, Absorbing):
        assert Q[process.mask].abs().max() == 0 and (Q[: process.mask, process.mask] == 1).all()
    else:
        assert process.mask is None and (Q.diag() < 0).all()


@every_process
@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_transition_is_the_matrix_exponential(process, shape, one_letter):
    sigma = torch.logspace(-6, 1.5, math.prod(shape), dtype=torch.float64).view(shape)
    assert process.transition(sigma).shape == (*shape, process.num_states, process.num_states)
    # matrix_exp squares up to 6 times here, so its error may reach 2^6 rounding errors.
    assert_close(process.transition(sigma), one_letter.transition(sigma), rtol=0, atol=2e-14)


@every_process
def test_transition_is_accurate_at_both_extremes(process):
    """Small sigma: sigma Q + sigma^2 Q^2 / 2 off the diagonal, whose next term is 1e-12 of the first (where there is
    one: on the ring, two steps away, 1e-6 of the second). Large sigma: the stationary distribution."""
    Q, sigma = process.rate_matrix(), 1e-6
    series = sigma * Q + sigma**2 / 2 * Q @ Q
    off_diagonal = ~torch.eye(process.num_states, dtype=torch.bool)
    rtol = 2e-6 if isinstance(process, Ring) else 1e-11
    assert_close(process.transition(sigma)[off_diagonal], series[off_diagonal], rtol=rtol, atol=1e-30)
    end = process.transition(800.0)
    atol = 1e-12 if type(process).transition is Process.transition else 1e-15
    assert_close(end, stationary(process).expand_as(end), rtol=0, atol=atol)


@every_process
@pytest.mark.parametrize("sigma", SIGMAS)
def test_likelihood_is_a_column_of_the_matrix_exponential(process, sigma, one_letter):
    x = torch.arange(process.num_states).expand(2, -1)
    q = one_letter.transition(sigma)[: process.num_tokens].T.expand(2, -1, -1)  # row = noisy, column = clean
    assert_close(process.log_likelihood(x, sigma.expand(2)).exp(), q, rtol=1e-12, atol=1e-15)


@every_process
def test_perturb_draws_from_the_transition(process, one_letter):
    """Chi-square of 100,000 pairs of noisy characters per sigma, two sigmas in one batch; size 1e-4 each.

    Power: if sigma is 5 % off, P(stay) moves by 0.02, and chi-square grows by 100,000 * 2 * 0.02^2 / 0.25 = 300; its
    standard deviation is sqrt(2 * 26^2) = 37. Dependent positions, or one row's sigma used for another, are far worse.
    """
    x0 = torch.tensor([0, process.num_tokens - 1]).repeat(2000, 100)
    sigma = torch.tensor([0.3, 1.5], dtype=torch.float64)
    x = process.perturb(x0, sigma.repeat(1000), seeded(1)).view(2000, 100, 2)
    q = one_letter.transition(sigma)
    for k in range(2):
        counts = count_texts(x[k::2].reshape(-1, 2), process.num_states)
        assert p_value(counts, torch.outer(q[k, 0], q[k, process.num_tokens - 1])) > 1e-4


@every_process
def test_no_noise_changes_nothing_and_much_noise_leaves_the_prior(process):
    """At sigma = 100 the noise is the prior's, the stationary distribution: chi-square of 50,000 characters, size 1e-4.

    Power: one character of 26 that is 10 % too frequent adds 50,000 / 26 * 0.1^2 = 19, 2.7 standard deviations; the
    one plausible mistake, a character that never occurs, adds 1,900.
    """
    generator = seeded(2)
    x0 = torch.randint(process.num_tokens, (100, 500), generator=generator)
    assert (process.perturb(x0, torch.zeros(100), generator) == x0).all()
    noise, prior = process.perturb(x0, torch.full((100,), 100.0), generator), process.prior((100, 500), generator)
    expected = stationary(process).clamp(min=0)
    for x in (noise, prior):
        assert x.shape == (100, 500) and x.dtype == torch.int64
        if process.mask is not None:
            assert (x == process.mask).all()
        else:
            assert p_value(x.flatten().bincount(minlength=process.num_states), expected) > 1e-4


@every_process
def test_same_seed_same_noise(process):
    x0, sigma = torch.zeros(50, 4, dtype=torch.int64), torch.full((50,), 0.7)
    first, again, other = (process.perturb(x0, sigma, seeded(seed)) for seed in (3, 3, 4))
    assert (first == again).all() and (first != other).any()
    if process.mask is None:
        first, again, other = (process.prior((50, 4), seeded(seed)) for seed in (3, 3, 4))
        assert (first == again).all() and (first != other).any()


# The concrete score


@small_process
@pytest.mark.parametrize("sigma", SIGMAS)
def test_score_of_the_exact_posterior_is_the_ratio_of_probabilities(process, sigma, two_letters):
    """p_sigma(y) / p_sigma(x) for all texts of two characters and all neighbors; -inf where y never becomes x_i."""
    x = possible(two_letters, sigma)
    log_score = process.log_score(exact_log_posterior(two_letters, process, x, sigma), x, at(sigma, x))
    assert_close(log_score, two_letters(x, at(sigma, x)), **CLOSE)
    assert (log_score.isneginf() == ~two_letters.reachable.T[x]).all()
    assert (log_score.gather(-1, x[..., None]) == 0).all()


@small_process
def test_score_when_most_texts_are_impossible(process):
    """Half of the texts have probability 0: ratios that are 0 come out as 0, not as nan."""
    p0 = random_p0(process.num_tokens, 2)
    p0.view(-1)[::2] = 0
    world, sigma = Enumerated(p0 / p0.sum(), process), SIGMAS[2]
    x = possible(world, sigma)
    log_score = process.log_score(exact_log_posterior(world, process, x, sigma), x, at(sigma, x))
    assert_close(log_score.exp(), world(x, at(sigma, x)).exp(), **CLOSE)


@pytest.mark.parametrize("N", [2, 26])
def test_uniform_scores_keep_their_digits_under_heavy_noise_in_32_bits(N):
    """At sigma = 20, as networks receive it, log-scores are about 1e-9: exact in float64, and rounded once in float32.

    s_y - 1 = N p_y / (e^sigma - 1) - N p_x / (N + e^sigma - 1), where 1e-3 is a safe difference between p_y and p_x.
    """
    process, x = Uniform(N), torch.arange(N)[:, None]
    log_p = torch.linspace(0, 3, N).log_softmax(-1).expand(N, 1, N)
    p, E = log_p.double().exp(), math.expm1(20.0)
    expected = torch.log1p(N * p / E - N * p.gather(-1, x[..., None]) / (N + E)).scatter(-1, x[..., None], 0.0)
    for sigma in (torch.full((N,), 20.0), torch.full((N,), 20.0, dtype=torch.float64)):
        double, single = process.log_score(log_p.double(), x, sigma), process.log_score(log_p, x, sigma)
        assert double.dtype == torch.float64 and single.dtype == torch.float32
        # 1 - p_x is computed to 1e-16, and a log-score is at least 1e-10.
        assert_close(double, expected, rtol=1e-5, atol=0)
        assert_close(single.double(), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("N", [2, 26])
def test_uniform_scores_keep_their_digits_under_light_noise(N):
    """A visible character that is certain: s_y = 1 - N / (N + e^sigma - 1), which is sigma / N at the 1e-12 where the
    bound may ask for it."""
    process, x, sigma = Uniform(N), torch.arange(N)[:, None], torch.full((N,), 1e-12, dtype=torch.float64)
    log_p = torch.zeros(N, 1, N, dtype=torch.float64).scatter(-1, x[..., None], 1000.0).log_softmax(-1)
    expected = torch.full((N, 1, N), 1e-12 / N, dtype=torch.float64).log().scatter(-1, x[..., None], 0.0)
    assert_close(process.log_score(log_p, x, sigma), expected, rtol=1e-9, atol=0)


# Score entropy


def entropy_by_definition(world, log_score, x, x0, sigma):
    """Sum over y != x of Q(y -> x) (s_y - r_y log s_y + r_y (log r_y - 1)), r_y = q(y|x0) / q(x|x0), for x (B,)."""
    q = world.transition(sigma)
    total = torch.zeros(len(x), dtype=torch.float64)
    for y in range(world.num_states):
        r, log_s = q[x0, y] / q[x0, x], log_score[:, y]
        term = log_s.exp() + torch.where(r > 0, r * (r.log() - 1 - log_s), 0)
        total += torch.where((x != y) & (world.Q[y, x] > 0), world.Q[y, x] * term, 0)
    return total


def every_pair(world, process, sigma):
    """All possible (x, x0), as texts of one character (B, 1)."""
    x0, x = (world.transition(sigma)[: process.num_tokens] > 0).nonzero().unbind(1)
    return x[:, None], x0[:, None]


@every_process
@pytest.mark.parametrize("sigma", SIGMAS)
def test_score_entropy_matches_its_definition(process, sigma, one_letter):
    x, x0 = every_pair(one_letter, process, sigma)
    log_score = torch.randn(len(x), process.num_states, dtype=torch.float64, generator=seeded(5))
    value = process.score_entropy(log_score[:, None], x, x0, at(sigma, x))
    assert_close(value[:, 0], entropy_by_definition(one_letter, log_score, x[:, 0], x0[:, 0], sigma), **CLOSE)


@every_process
@pytest.mark.parametrize("sigma", [1e-3, 0.7, 6.9, 20.0])
def test_score_entropy_of_32_bit_scores_has_32_bit_accuracy(process, sigma):
    """As networks give them: within 1e-6 of the size of the terms, sum of Q(y -> x_i) (s_y + r_y |log s_y| + r_y)."""
    generator = seeded(15)
    sigma = torch.full((4,), sigma, dtype=torch.float64)
    x0 = torch.randint(process.num_tokens, (4, 30), generator=generator)
    x = process.perturb(x0, sigma, generator)
    log_posterior = torch.randn(4, 30, process.num_tokens, generator=generator).log_softmax(-1)
    log_score = process.log_score(log_posterior, x, sigma)
    double = process.score_entropy(log_score.double(), x, x0, sigma)
    single = process.score_entropy(log_score, x, x0, sigma)
    q = Enumerated(random_p0(process.num_tokens, 1), process).transition(sigma)
    row = torch.arange(4)[:, None]
    r = (q[row, x0] / q[row, x0, x][..., None]).clamp(min=0)  # (B, L, S)
    log_s = log_score.double().clamp(min=-1e3)
    terms = log_s.exp() + r * log_s.abs() + torch.xlogy(r, r).abs() + r
    size = (process.rate_matrix().clamp(min=0).T[x] * terms).sum(-1)
    assert single.dtype == torch.float32 and ((single.double() - double).abs() <= 1e-6 * size).all()


@every_process
@pytest.mark.parametrize("sigma", SIGMAS)
def test_score_entropy_is_zero_at_the_ratios_and_positive_elsewhere(process, sigma, one_letter):
    """At log s = log r + h each jump costs rate * r * (e^h - 1 - h), which is at least 0.49 h^2 for |h| <= 0.03."""
    generator = seeded(6)
    x, x0 = every_pair(one_letter, process, sigma)
    q = one_letter.transition(sigma)
    log_r = (q[x0] / q[x0, x][..., None]).log()  # (B, 1, S)
    size = (one_letter.Q.T[x].clamp(min=0) * log_r.exp()).sum(-1)  # terms of this size, times a logarithm, cancel
    assert (process.score_entropy(log_r, x, x0, at(sigma, x)).abs() <= 1e-12 * size).all()
    assert (size > 0).any()
    for h in (0.001, 0.03):
        signs = torch.randint(2, log_r.shape, generator=generator) * 2 - 1
        value = process.score_entropy(log_r + h * signs, x, x0, at(sigma, x))
        assert (value >= 0.49 * h**2 * size - 1e-12 * size).all()


@small_process
@pytest.mark.parametrize("sigma", SIGMAS[[0, 2, 4]])
def test_expected_score_entropy_is_smallest_at_the_true_score(process, sigma, two_letters):
    """Averaged over x0 given x, for every x of two characters: the gradient at the concrete score is 0, and every
    random direction goes up. A step of h costs rate * s * (e^h - 1 - h) per jump, a sum without cancellation."""
    generator = seeded(7)
    clean = two_letters.texts[two_letters.p0.flatten() > 0]
    p0, q = two_letters.p0[clean.unbind(-1)], two_letters.transition(sigma)
    for x in possible(two_letters, sigma):
        weight = p0 * q[clean, x].prod(-1)  # p(x0, x)
        clean_of_x, weight = clean[weight > 0], weight[weight > 0] / weight.sum()
        rows = len(clean_of_x)

        def expected(log_score, rows=rows, x=x, x0=clean_of_x, weight=weight):
            entropy = process.score_entropy(log_score.expand(rows, -1, -1), x.expand(rows, -1), x0, sigma.expand(rows))
            return weight @ entropy.sum(-1)

        true = two_letters(x[None], sigma[None]).requires_grad_()
        smallest = expected(true)
        (slope,) = torch.autograd.grad(smallest, true)
        jumps = two_letters.Q.T[x].clamp(min=0) * true.detach().exp()  # none where no mask is left
        assert slope.abs().max() <= 1e-9 * jumps.sum()
        for h in torch.randn(3, *true.shape, dtype=torch.float64, generator=generator):
            uphill = (jumps * (h.exp() - 1 - h)).sum()
            assert_close(expected(true.detach() + h) - smallest.detach(), uphill, rtol=1e-8, atol=0)


@every_process
@pytest.mark.parametrize("sigma", [1e-6, 0.7, 30.0])
def test_gradients_are_finite_even_where_scores_are_minus_infinity(process, sigma):
    """From logits to the loss, with visible characters (score -inf under Absorbing) and with confident posteriors."""
    generator = seeded(8)
    x0 = torch.randint(process.num_tokens, (8, 20), generator=generator)
    sigma = torch.full((8,), sigma, dtype=torch.float64)
    x = torch.cat([process.perturb(x0[:4], sigma[:4], generator), process.prior((4, 20), generator)])
    for sharpness in (1.0, 1000.0 if isinstance(process, Absorbing | Uniform) else 30.0):
        logits = (sharpness * torch.randn(8, 20, process.num_tokens, generator=generator)).double().requires_grad_()
        log_score = process.log_score(logits.log_softmax(-1), x, sigma)
        log_score.retain_grad()
        loss = process.score_entropy(log_score, x, x0, sigma).sum()
        loss.backward()
        assert loss.isfinite() and logits.grad.isfinite().all() and log_score.grad.isfinite().all()
        assert logits.grad.abs().max() > 0


# Reverse


def random_scores(world, x, generator):
    """Any scores, close enough to 1 that short steps have no negative probability; -inf where y never turns into x."""
    log_score = 0.3 * torch.randn(*x.shape, world.num_states, dtype=torch.float64, generator=generator)
    here = torch.arange(world.num_states) == x[..., None]
    return torch.where(here, 0, torch.where(world.reachable.T[x], log_score, -math.inf))


@every_process
def test_euler_matches_its_definition(process, one_letter):
    """P(y) = [y = x] + h Q(y -> x) s_y, and the rest at y = x: for steps h that leave a rest."""
    x = torch.arange(process.num_states)[:, None]
    log_score = random_scores(one_letter, x, seeded(9))
    for h in torch.tensor([1e-6, 0.01, 0.5 / process.num_tokens], dtype=torch.float64):
        p = process.euler(log_score, x, at(h, x))
        for row, s, now in zip(p[:, 0], log_score[:, 0].exp(), x[:, 0].tolist()):
            expected = h * one_letter.Q[:, now] * s
            expected[now] = 0
            expected[now] = 1 - expected.sum()
            assert expected[now] > 0
            assert_close(row, expected, rtol=1e-13, atol=1e-16)


@every_process
def test_euler_steps_that_are_too_long_are_scaled_and_never_stay(process, one_letter):
    """The probability of staying is then exactly 0, and the jumps keep their proportions."""
    x = torch.tensor([[process.num_states - 1]])  # the mask, if there is one
    log_score = random_scores(one_letter, x, seeded(10))
    p = process.euler(log_score, x, torch.tensor([40.0 * process.num_tokens]))[0, 0]
    jumps = (one_letter.Q[:, x.item()] * log_score[0, 0].exp()).scatter(0, x[0], 0)
    assert p[x.item()] == 0
    assert_close(p, jumps / jumps.sum(), rtol=1e-13, atol=0)


@every_process
@pytest.mark.parametrize("d", [1e-6, 0.01, 0.05])
def test_tweedie_matches_its_definition(process, d, one_letter):
    """P(y) is proportional to (s exp(-dQ))_y exp(dQ)(y -> x), whatever the scores; negative values count as 0."""
    x = torch.arange(process.num_states)[:, None]
    log_score = random_scores(one_letter, x, seeded(11))
    extreme = log_score + torch.where(torch.arange(process.num_states) == x[..., None], 0, 5.0)
    for scores in (log_score, extreme):
        p = process.tweedie(scores, x, torch.full((len(x),), d, dtype=torch.float64))
        for row, s, now in zip(p[:, 0], scores[:, 0].exp(), x[:, 0]):
            expected = (s @ one_letter.transition(-d)).clamp(min=0) * one_letter.transition(d)[:, now]
            assert_close(row, expected / expected.sum(), rtol=1e-9, atol=1e-14)
    if d == 0.05:
        assert (extreme[:, 0].exp() @ one_letter.transition(-d) < 0).any()  # the clamp was exercised


@every_process
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("part", [0.001, 0.5, 1.0])
def test_tweedie_is_exact_for_one_character(process, sigma, part, one_letter):
    """A step is Bayes' rule, p_(sigma - d)(y) exp(dQ)(y -> x) / p_sigma(x), so it turns p_sigma into p_(sigma - d)."""
    x, d = one_letter.texts, part * sigma
    p_now, p_before = one_letter.noised(torch.stack([sigma, sigma - d]))
    x = x[p_now > 0]
    back = process.tweedie(one_letter(x, at(sigma, x)), x, at(d, x))[:, 0]  # (S, S): row = now, column = before
    bayes = ((p_before[:, None] * one_letter.transition(d)).T / p_now[:, None])[p_now > 0]
    # s exp(-dQ) has terms e^d times its own size that cancel: at most e^6.9 = 1000 rounding errors.
    assert_close(back, bayes, rtol=1e-9, atol=1e-12)
    assert_close(p_now[p_now > 0] @ back, p_before, rtol=0, atol=1e-12)
    if part == 1:
        back = process.denoise(one_letter(x, at(sigma, x)), x, at(sigma, x))[:, 0]
        assert_close(p_now[p_now > 0] @ back, one_letter.p0, rtol=0, atol=1e-12)


@every_process
def test_the_error_of_one_euler_step_is_of_second_order(process, one_letter):
    """For one character: half the step, a quarter of the error. With a wrong rate it would be half of the error."""
    sigma = torch.tensor(0.5, dtype=torch.float64)
    x, errors = one_letter.texts, []
    for d in torch.tensor([2e-4, 1e-4], dtype=torch.float64):
        p_now, p_before = one_letter.noised(torch.stack([sigma, sigma - d]))
        back = process.euler(one_letter(x, at(sigma, x)), x, at(d, x))[:, 0]
        errors.append((p_now @ back - p_before).abs().sum())
    assert errors[1] > 1e-11  # far above rounding
    assert 3.99 < errors[0] / errors[1] < 4.01  # the next order adds d = 2e-4 of it


@every_process
def test_denoise_leaves_no_mask_and_absorbing_keeps_visible_characters(process, one_letter):
    generator = seeded(12)
    x = one_letter.texts
    for sigma in SIGMAS:
        for log_score in (one_letter(x, at(sigma, x)), random_scores(one_letter, x, generator)):
            p = process.denoise(log_score, x, at(sigma, x))
            assert (p >= 0).all()
            assert_close(p.sum(-1), torch.ones(len(x), 1, dtype=torch.float64), rtol=0, atol=1e-14)
            if process.mask is not None:
                assert (p[..., process.mask] == 0).all()
            if isinstance(process, Absorbing | GenericAbsorbing):
                assert_close(p[: process.mask, 0].diagonal(), torch.ones_like(p[0, 0, :-1]), rtol=0, atol=1e-15)


@every_process
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [1e-6, 0.1, 6.9, 20.0, 30.0])
def test_extreme_noise_gives_finite_numbers(process, dtype, sigma):
    """No nan from the least noise to the most (Geometric reaches 20, the bound 28); probabilities sum to 1."""
    generator = seeded(13)
    sigma = torch.full((6,), sigma, dtype=torch.float64)
    x0 = torch.randint(process.num_tokens, (6, 50), generator=generator)
    x = torch.cat([process.perturb(x0[:3], sigma[:3], generator), process.prior((3, 50), generator)])
    logits = torch.randn(6, 50, process.num_tokens, generator=generator).to(dtype)
    log_score = process.log_score(logits.log_softmax(-1), x, sigma)
    assert not log_score.isnan().any() and (log_score < math.inf).all()
    entropy = process.score_entropy(log_score, x, x0, sigma)
    assert entropy.isfinite().all()
    steps = {
        "euler": process.euler(log_score, x, sigma / 10),
        "half of the noise": process.tweedie(log_score, x, sigma / 2),
        "nearly all": process.tweedie(log_score, x, sigma * 0.999),
        "all": process.denoise(log_score, x, sigma),
    }
    for name, p in steps.items():
        assert p.isfinite().all() and (p >= 0).all(), name
        assert_close(p.sum(-1).double(), torch.ones(6, 50, dtype=torch.float64), rtol=0, atol=1e-5, msg=name)


@with_processes(*SMALL, Absorbing(26), Uniform(26), GenericAbsorbing(3), GenericUniform(3))
@pytest.mark.parametrize("sigma", [0.1, 6.9, 20.0])
@pytest.mark.parametrize("part", [0.5, 0.999])
def test_a_32_bit_network_takes_the_same_steps_as_a_64_bit_one(process, sigma, part):
    """From a 32-bit posterior, as networks give it: log s, at most 20, is exact to 1e-6, and so is the step."""
    generator = seeded(14)
    sigma = torch.full((6,), sigma, dtype=torch.float64)
    x = process.perturb(torch.randint(process.num_tokens, (6, 50), generator=generator), sigma, generator)
    log_posterior = torch.randn(6, 50, process.num_tokens, generator=generator).log_softmax(-1)
    single = process.tweedie(process.log_score(log_posterior, x, sigma), x, part * sigma)
    double = process.tweedie(process.log_score(log_posterior.double(), x, sigma), x, part * sigma)
    assert_close(single.double(), double, rtol=0, atol=1e-5)


# Drawing categories


def test_sample_categorical_follows_its_probabilities():
    """Chi-square of 100,000 draws from each of three rows, one of them not normalized; size 1e-4.

    Power: 1 % more of a state of 0.2 adds 100,000 * 0.01^2 / 0.2 = 50, when the standard deviation is 3; an impossible
    state fails at once.
    """
    p = torch.tensor([[0.5, 0, 0.3, 0.2, 0], [0, 0, 0, 1, 0], [2, 1, 0, 4, 3]], dtype=torch.float64)
    drawn = sample_categorical(p.expand(100_000, 3, 5), seeded(10))
    assert drawn.shape == (100_000, 3) and drawn.dtype == torch.int64
    for row in range(3):
        assert p_value(drawn[:, row].bincount(minlength=5), p[row] / p[row].sum()) > 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sample_categorical_resolves_rare_states_in_double_precision(dtype, monkeypatch):
    """Random numbers have 64 bits, also for 32-bit probabilities: u = 1 - 2^-40 falls into a last state of 2^-30, and
    u = 0 into the first possible state."""
    p = torch.tensor([0.0, 1.0, 2**-30, 0.0], dtype=dtype)
    for u, state in [(0.0, 1), (1 - 2**-20, 1), (1 - 2**-40, 2)]:
        monkeypatch.setattr(
            torch, "rand", lambda shape, dtype=torch.float32, u=u, **_: torch.full(shape, u, dtype=dtype)
        )
        assert sample_categorical(p.expand(3, 4)).tolist() == [state] * 3


@pytest.mark.parametrize("p", [math.nan, 0.0])
def test_sample_categorical_rejects_nan_and_all_zeros(p):
    with pytest.raises(ValueError, match="nan or all 0"):
        sample_categorical(torch.tensor([[0.5, 0.5], [p, p]]))


def rates(kind: type[Process], Q, N: int = 3) -> Process:
    """A process with this rate matrix."""
    return type("Mine", (kind,), {"rate_matrix": lambda self: Q})(N)


@pytest.mark.parametrize(
    ("Q", "message"),
    [
        (torch.eye(3), r"must be float64 of shape \(3, 3\).*not torch.float32"),
        (torch.zeros(2, 2, dtype=torch.float64), r"must be float64 of shape \(3, 3\).*shape \(2, 2\)"),
        (with_diagonal([[0, -1, 2]] * 3), "not negative outside the diagonal"),
        (torch.full((3, 3), torch.nan, dtype=torch.float64), "must be finite"),
        (Ring(3).rate_matrix().mT, r"each row of the rate matrix of Mine must sum to 0, but row \d sums to"),
        (torch.ones(3, 3, dtype=torch.float64), "row 0 sums to 3"),
    ],
)
def test_what_is_no_rate_matrix_says_so(Q, message):
    with pytest.raises(ValueError, match=message):
        rates(Process, Q)


def test_noise_that_never_forgets_is_refused():
    """Characters 0 and 1 never become 2. And noise that is too slow has not forgotten when the schedule ends."""
    apart = rates(Process, with_diagonal([[0, 1, 0], [1, 0, 0], [0, 0, 0]]))
    with pytest.raises(ValueError, match="Mine does not forget: at sigma = 1e"):
        apart.prior((1, 4))
    slow = rates(Process, Uniform(3).rate_matrix() / 10)
    assert slow.prior((1, 4)).shape == (1, 4)
    corpus = Corpus.from_text("abc" * 200, length=3)
    model = Transformer(slow, Config(layers=1, heads=2, width=8), corpus.alphabet, 3)
    with pytest.raises(ValueError, match=r"Mine does not forget: at sigma = 6\.91, .* by 33%"):
        fit(model, corpus, Training(steps=1), progress=False)
    with pytest.raises(ValueError, match=r"Mine does not forget: at sigma = 28, .* by 16%"):
        likelihood_bound(model, rates(Process, Uniform(3).rate_matrix() / 20), corpus.validation)


def test_samplers_and_orders_for_masks_refuse_noise_that_also_changes_characters():
    process = MaskOrTypo(3)
    model = Transformer(process, Config(layers=1, heads=2, width=8), length=3)
    with pytest.raises(
        ValueError, match="visible characters to be final, and under MaskOrTypo they can change: use 'tw"
    ):
        sample(model, process, length=3, sampler="first_hitting")
    with pytest.raises(ValueError, match="an order needs visible characters to be final"):
        chain_rule(model, process, torch.zeros(1, 3, dtype=torch.int64))
    for masks in (Absorbing(3), GenericAbsorbing(3)):
        assert only_masks(masks)
