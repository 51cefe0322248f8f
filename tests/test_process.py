"""The two noise processes against their definitions: rates, matrix exponentials, Bayes' rule, sums over all texts."""

import math

import pytest
import torch
from torch.testing import assert_close

from tinysedd.process import Absorbing, Uniform


def each_with(*alphabets):
    processes = [kind(N) for kind in (Absorbing, Uniform) for N in alphabets]
    return pytest.mark.parametrize("process", processes, ids=lambda p: f"{type(p).__name__}{p.num_tokens}")


every_process, small_process = each_with(2, 3, 26), each_with(2, 3)
SIGMAS = torch.tensor([1e-3, 0.1, 0.7, 2.0, 6.9], dtype=torch.float64)
# The matrix exponentials of the enumeration are exact to about 1e-15 of their largest entry, 1. At the least sigma here
# the smallest entries are 1e-3 / 26 = 4e-5, so ratios of them are exact to 1e-10; rounding in sums leaves a factor 10.
CLOSE = {"rtol": 1e-9, "atol": 1e-12}


def random_p0(N: int, L: int, seed: int = 0) -> torch.Tensor:
    """Some distribution over all texts, with no pattern."""
    noise = torch.rand((N,) * L, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return noise**3 / (noise**3).sum()


@pytest.fixture
def one_letter(process, enumerated):
    return enumerated(random_p0(process.num_tokens, 1), process)


@pytest.fixture
def two_letters(process, enumerated):
    return enumerated(random_p0(process.num_tokens, 2), process)


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
    """Every text that the noise can have made."""
    return world.texts[world.noised(sigma[None]).flatten() > 0]


# Forward


def test_the_yardstick_of_the_other_tests(chance):
    """Counts at the tabulated 5 % points of chi-square, for 1 and for 2 degrees of freedom."""
    k = 50 * math.sqrt(3.841459 / 100)
    assert_close(chance(torch.tensor([50 - k, 50 + k]), torch.tensor([0.5, 0.5])), 0.05, rtol=1e-5, atol=0)
    k = 100 * math.sqrt(5.991465 / 200)
    assert_close(chance(torch.tensor([100 - k, 100 + k, 100]), torch.ones(3)), 0.05, rtol=1e-5, atol=0)
    assert chance(torch.tensor([50, 49, 1]), torch.tensor([0.5, 0.5, 0])) == 0


@every_process
def test_rate_matrix_is_the_definition(process, one_letter):
    """Row = from, column = to: leaving is negative, arriving positive, nothing is lost; the mask is never left."""
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
    # matrix_exp squares up to 6 times here, so its error may reach 2^6 roundings.
    assert_close(process.transition(sigma), one_letter.transition(sigma), rtol=0, atol=2e-14)


@every_process
def test_transition_keeps_its_precision_at_the_ends(process):
    """Tiny sigma: 1 + sigma Q + sigma^2 Q^2 / 2, whose next term is 1e-12 of the first. Huge sigma: the prior."""
    Q, sigma = process.rate_matrix(), 1e-6
    series = sigma * Q + sigma**2 / 2 * Q @ Q
    off_diagonal = ~torch.eye(process.num_states, dtype=torch.bool)
    assert_close(process.transition(sigma)[off_diagonal], series[off_diagonal], rtol=1e-11, atol=0)
    end = process.transition(800.0)
    prior = torch.zeros(process.num_states, dtype=torch.float64)
    prior[process.num_tokens if isinstance(process, Absorbing) else slice(None)] = 1
    assert_close(end, (prior / prior.sum()).expand_as(end), rtol=0, atol=1e-15)


@every_process
@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_likelihood_is_a_column_of_the_matrix_exponential(process, sigma, one_letter):
    x = torch.arange(process.num_states).expand(2, -1)
    q = one_letter.transition(sigma)[: process.num_tokens].T.expand(2, -1, -1)  # row = what shows, column = what it was
    assert_close(process.log_likelihood(x, sigma.expand(2)).exp(), q, rtol=1e-12, atol=1e-15)


@every_process
def test_perturb_draws_from_the_transition(process, chance, one_letter):
    """Chi-square of 100,000 noised texts of two characters per sigma, two sigmas in one batch; size 1e-4 each.

    Power: sigma 5 % wrong moves P(stay) by 0.02, so chi-square grows by 100,000 * 2 * 0.02^2 / 0.25 = 300, when its
    spread is sqrt(2 * 26^2) = 37. Dependent positions, or one row's sigma used for another row, are far worse.
    """
    n, generator = 100_000, torch.Generator().manual_seed(1)
    x0 = torch.tensor([0, process.num_tokens - 1])
    sigma = torch.tensor([0.3, 1.5], dtype=torch.float64)
    x = process.perturb(x0.expand(2 * n, 2), sigma.repeat(n), generator)
    q = one_letter.transition(sigma)
    for k in range(2):
        pairs = x[k::2, 0] * process.num_states + x[k::2, 1]
        counts = pairs.bincount(minlength=process.num_states**2)
        assert chance(counts, torch.outer(q[k, x0[0]], q[k, x0[1]])) > 1e-4


@every_process
def test_perturb_does_nothing_without_noise_and_forgets_all_with_much(process, chance):
    """At sigma = 50 the text is the prior's: chi-square of 50,000 characters, size 1e-4.

    Power: a character of 26 that is 10 % too frequent, and the others less, adds 50,000 / 26 * 0.1^2 = 19; the code's
    only plausible mistake, a character that never comes, adds 1,900.
    """
    generator = torch.Generator().manual_seed(2)
    x0 = torch.randint(process.num_tokens, (100, 500), generator=generator)
    assert (process.perturb(x0, torch.zeros(100), generator) == x0).all()
    noise, prior = process.perturb(x0, torch.full((100,), 50.0), generator), process.prior((100, 500), generator)
    if isinstance(process, Absorbing):
        assert (noise == process.mask).all() and (prior == process.mask).all()
    else:
        for x in (noise, prior):
            assert chance(x.flatten().bincount(minlength=process.num_tokens), torch.ones(process.num_tokens)) > 1e-4


@every_process
def test_the_same_seed_gives_the_same_noise(process):
    x0, sigma = torch.zeros(50, 4, dtype=torch.int64), torch.full((50,), 0.7)
    first, again, other = (process.perturb(x0, sigma, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert (first == again).all() and (first != other).any()


# The concrete score


@small_process
@pytest.mark.parametrize("sigma", SIGMAS)
def test_score_of_the_exact_posterior_is_the_ratio_of_probabilities(process, sigma, two_letters):
    """Every text of two characters, every neighbor: p_sigma(y) / p_sigma(x), and -inf just where Q(y -> x_i) = 0."""
    x = possible(two_letters, sigma)
    log_score = process.log_score(exact_log_posterior(two_letters, process, x, sigma), x, at(sigma, x))
    assert_close(log_score, two_letters(x, at(sigma, x)), **CLOSE)
    no_jump = (two_letters.Q.T[x] == 0) & (torch.arange(process.num_states) != x[..., None])
    assert (log_score.isneginf() == no_jump).all()
    assert (log_score.gather(-1, x[..., None]) == 0).all()


@small_process
def test_score_where_most_texts_are_impossible(process, enumerated):
    """Half of the texts have no probability: some ratios are 0, and are given as 0, not nan."""
    p0 = random_p0(process.num_tokens, 2)
    p0.view(-1)[::2] = 0
    world, sigma = enumerated(p0 / p0.sum(), process), SIGMAS[2]
    x = possible(world, sigma)
    log_score = process.log_score(exact_log_posterior(world, process, x, sigma), x, at(sigma, x))
    assert_close(log_score.exp(), world(x, at(sigma, x)).exp(), **CLOSE)


# Score entropy


def entropy_by_definition(world, log_score, x, x0, sigma):
    """Sum over y != x of Q(y -> x) (s_y - r_y log s_y + r_y (log r_y - 1)) for a character, r_y = q(y|x0) / q(x|x0)."""
    q = world.transition(sigma)
    sums = []
    for log_s, now, clean in zip(log_score, x.tolist(), x0.tolist()):
        total = torch.zeros((), dtype=torch.float64)
        for y in range(world.num_states):
            if y != now and world.Q[y, now] > 0:
                r = q[clean, y] / q[clean, now]
                total = total + world.Q[y, now] * (log_s[y].exp() + (r * (r.log() - 1 - log_s[y]) if r > 0 else 0))
        sums.append(total)
    return torch.stack(sums)


def every_pair(world, process, sigma):
    """(x, x0), all that can be, as texts of one character (B, 1)."""
    x0, x = (world.transition(sigma)[: process.num_tokens] > 0).nonzero().unbind(1)
    return x[:, None], x0[:, None]


@every_process
@pytest.mark.parametrize("sigma", SIGMAS)
def test_score_entropy_is_its_definition(process, sigma, one_letter):
    x, x0 = every_pair(one_letter, process, sigma)
    log_score = torch.randn(len(x), process.num_states, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    value = process.score_entropy(log_score[:, None], x, x0, at(sigma, x))
    assert_close(value[:, 0], entropy_by_definition(one_letter, log_score, x[:, 0], x0[:, 0], sigma), **CLOSE)


@every_process
@pytest.mark.parametrize("sigma", SIGMAS)
def test_score_entropy_is_zero_at_the_ratios_and_positive_elsewhere(process, sigma, one_letter):
    """At log s = log r + h each jump costs rate * r * (e^h - 1 - h), which is at least 0.49 h^2 for |h| <= 0.03."""
    generator = torch.Generator().manual_seed(6)
    x, x0 = every_pair(one_letter, process, sigma)
    q = one_letter.transition(sigma)
    log_r = (q[x0] / q[x0, x][..., None]).log()  # (B, 1, S)
    size = (one_letter.Q.T[x].clamp(min=0) * log_r.exp()).sum(-1)  # terms of this size, times a logarithm, cancel
    assert (process.score_entropy(log_r, x, x0, at(sigma, x)).abs() <= 1e-13 * size).all()
    assert (size > 0).any()
    for h in (0.001, 0.03):
        signs = torch.randint(2, log_r.shape, generator=generator) * 2 - 1
        value = process.score_entropy(log_r + h * signs, x, x0, at(sigma, x))
        assert (value >= 0.49 * h**2 * size - 1e-13 * size).all()


@small_process
@pytest.mark.parametrize("sigma", SIGMAS)
def test_expected_score_entropy_is_least_at_the_true_score(process, sigma, two_letters):
    """Over x0 given x, for every x of two characters: no slope at the concrete score, and uphill in random directions.

    A step h away costs the rate times s times (e^h - 1 - h) for each jump, a sum with no canceling in it.
    """
    generator = torch.Generator().manual_seed(7)
    clean = two_letters.texts[two_letters.p0.flatten() > 0]
    for x in possible(two_letters, sigma):
        weight = two_letters.p0[clean.unbind(-1)] * two_letters.transition(sigma)[clean, x].prod(-1)  # p(x0, x)
        clean_of_x, weight = clean[weight > 0], weight[weight > 0] / weight.sum()
        rows = len(clean_of_x)

        def expected(log_score, rows=rows, x=x, x0=clean_of_x, weight=weight):
            entropy = process.score_entropy(log_score.expand(rows, -1, -1), x.expand(rows, -1), x0, sigma.expand(rows))
            return weight @ entropy.sum(-1)

        true = two_letters(x[None], sigma[None]).requires_grad_()
        least = expected(true)
        (slope,) = torch.autograd.grad(least, true)
        jumps = two_letters.Q.T[x].clamp(min=0) * true.detach().exp()  # none where no mask is left
        assert slope.abs().max() <= 1e-9 * jumps.sum()
        for h in torch.randn(5, *true.shape, dtype=torch.float64, generator=generator):
            uphill = (jumps * (h.exp() - 1 - h)).sum()
            assert_close(expected(true.detach() + h) - least.detach(), uphill, rtol=1e-8, atol=0)


@pytest.mark.parametrize("R", [0, 1, 3])
def test_clean_is_an_average_of_independent_draws_of_the_posterior(enumerated, R):
    """Over every x0 and every reference: the mean is p(x0 | x), and the variance that of one draw times E[1 / (1 + n)],
    where each of R texts is among the n that agree with x with the same chance. Shares are in 32 bits."""
    process, sigma = Absorbing(2), SIGMAS[2]
    world = enumerated(random_p0(2, 2), process)
    clean = world.texts[world.p0.flatten() > 0]
    rows = torch.cartesian_prod(*[torch.arange(len(clean))] * (1 + R)).view(-1, 1 + R)  # x0, then the reference
    for x in possible(world, sigma):
        chance = world.p0[clean.unbind(-1)][rows].prod(-1) * world.transition(sigma)[clean[rows[:, 0]], x].prod(-1)
        share = torch.cat([process.clean(x[None], clean[row[:1]], clean[row[1:]]) for row in rows]).double()
        posterior = exact_log_posterior(world, process, x[None], sigma)[0].exp()
        weight = (chance / chance.sum())[:, None, None]
        assert_close((weight * share).sum(0), posterior, rtol=0, atol=1e-6)
        agree = world.p0[clean.unbind(-1)][((x == clean) | (x == process.mask)).all(-1)].sum()
        fewer = (1 - (1 - agree) ** (1 + R)) / ((1 + R) * agree)  # E[1 / (1 + n)] of a binomial n
        variance = (weight * (share - posterior).square()).sum(0)
        assert_close(variance, fewer * posterior * (1 - posterior), rtol=0, atol=1e-6)


def test_score_entropy_of_shares_is_the_average_over_the_texts():
    process, generator = Absorbing(5), torch.Generator().manual_seed(8)
    x0, x = torch.randint(5, (1, 6), generator=generator), torch.full((1, 6), process.mask)
    others = torch.randint(5, (9, 6), generator=generator)
    log_score, sigma = torch.randn(1, 6, 6, dtype=torch.float64, generator=generator), SIGMAS[2:3]
    shares = process.score_entropy(log_score, x, process.clean(x, x0, others).double(), sigma)
    each = [process.score_entropy(log_score, x, text[None], sigma) for text in (*x0, *others)]
    assert_close(shares, torch.stack(each).mean(0), rtol=1e-6, atol=0)


@every_process
@pytest.mark.parametrize("sigma", [1e-6, 0.7, 30.0])
def test_gradients_are_finite_even_where_the_score_is_minus_infinity(process, sigma):
    """From logits to the loss, with characters that show (score -inf under Absorbing) and a posterior that is sure."""
    generator = torch.Generator().manual_seed(8)
    x0 = torch.randint(process.num_tokens, (8, 20), generator=generator)
    sigma = torch.full((8,), sigma, dtype=torch.float64)
    x = torch.cat([process.perturb(x0[:4], sigma[:4], generator), process.prior((4, 20), generator)])
    for sharpness in (1.0, 1000.0):
        logits = (sharpness * torch.randn(8, 20, process.num_tokens, generator=generator)).double().requires_grad_()
        log_score = process.log_score(logits.log_softmax(-1), x, sigma)
        log_score.retain_grad()
        loss = process.score_entropy(log_score, x, x0, sigma).sum()
        loss.backward()
        assert loss.isfinite() and logits.grad.isfinite().all() and log_score.grad.isfinite().all()
        assert logits.grad.abs().max() > 0


# The way back


def random_scores(world, x, generator):
    """Any scores, close enough to 1 that short steps have no negative probability; -inf where no jump is possible."""
    log_score = 0.3 * torch.randn(*x.shape, world.num_states, dtype=torch.float64, generator=generator)
    here = torch.arange(world.num_states) == x[..., None]
    return torch.where(here, 0, torch.where(world.Q.T[x] > 0, log_score, -math.inf))


@every_process
def test_euler_is_its_definition(process, one_letter):
    """P(y) = [y = x] + h Q(y -> x) s_y off the diagonal, what remains on it: for steps h that leave something."""
    generator = torch.Generator().manual_seed(9)
    x = torch.arange(process.num_states)[:, None]
    log_score = random_scores(one_letter, x, generator)
    for h in torch.tensor([1e-6, 0.01, 0.5 / process.num_tokens], dtype=torch.float64):
        p = process.euler(log_score, x, at(h, x))
        for row, s, now in zip(p[:, 0], log_score[:, 0].exp(), x[:, 0].tolist()):
            expected = torch.stack([h * one_letter.Q[y, now] * s[y] for y in range(one_letter.num_states)])
            expected[now] = 0
            expected[now] = 1 - expected.sum()
            assert expected[now] > 0
            assert_close(row, expected, rtol=1e-13, atol=1e-16)


@every_process
def test_euler_steps_that_are_too_long_are_scaled_and_never_stay(process, one_letter):
    """The probability of staying is then exactly 0, and the jumps keep their proportions."""
    x = torch.tensor([[process.num_states - 1]])  # the mask, if there is one
    log_score = random_scores(one_letter, x, torch.Generator().manual_seed(10))
    p = process.euler(log_score, x, torch.tensor([40.0 * process.num_tokens]))[0, 0]
    jumps = (one_letter.Q[:, x.item()] * log_score[0, 0].exp()).scatter(0, x[0], 0)
    assert p[x.item()] == 0
    assert_close(p, jumps / jumps.sum(), rtol=1e-13, atol=0)


@every_process
@pytest.mark.parametrize("d", [1e-6, 0.01, 0.05])
def test_tweedie_is_its_definition(process, d, one_letter):
    """P(y) in proportion to (s exp(-dQ))_y exp(dQ)(y -> x), whatever the scores; negative ones count as 0."""
    generator = torch.Generator().manual_seed(11)
    x = torch.arange(process.num_states)[:, None]
    log_score = random_scores(one_letter, x, generator)
    free = log_score + torch.where(torch.arange(process.num_states) == x[..., None], 0, 5.0)  # far from any real score
    for scores in (log_score, free):
        p = process.tweedie(scores, x, torch.full((len(x),), d, dtype=torch.float64))
        for row, s, now in zip(p[:, 0], scores[:, 0].exp(), x[:, 0]):
            expected = (s @ one_letter.transition(-d)).clamp(min=0) * one_letter.transition(d)[:, now]
            assert_close(row, expected / expected.sum(), rtol=1e-9, atol=1e-14)
    if d == 0.05:
        assert (free[:, 0].exp() @ one_letter.transition(-d) < 0).any()  # the clamp was put to work


@every_process
@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("part", [0.001, 0.5, 1.0])
def test_tweedie_is_exact_for_one_character(process, sigma, part, one_letter):
    """A step is Bayes' rule, p_(sigma - d)(y) exp(dQ)(y -> x) / p_sigma(x), so p_sigma goes to p_(sigma - d)."""
    x, d = one_letter.texts, part * sigma
    p_now, p_before = one_letter.noised(torch.stack([sigma, sigma - d]))
    back = process.tweedie(one_letter(x, at(sigma, x)), x, at(d, x))[:, 0]  # (S, S): row = now, column = before
    bayes = (p_before[:, None] * one_letter.transition(d)).T / p_now[:, None]
    # s exp(-dQ) multiplies by e^d what it then takes away again: e^6.9 = 1000 roundings at most.
    assert_close(back, bayes, rtol=1e-9, atol=1e-12)
    assert_close(p_now @ back, p_before, rtol=0, atol=1e-12)
    if part == 1:
        back = process.denoise(one_letter(x, at(sigma, x)), x, at(sigma, x))[:, 0]
        assert_close(p_now @ back, one_letter.p0, rtol=0, atol=1e-12)


@every_process
def test_one_euler_step_is_wrong_by_the_square_of_its_length(process, one_letter):
    """For one character: half the step, a quarter of the error. A wrong rate anywhere would only halve it."""
    sigma = torch.tensor(0.5, dtype=torch.float64)
    x, errors = one_letter.texts, []
    for d in torch.tensor([2e-4, 1e-4], dtype=torch.float64):
        p_now, p_before = one_letter.noised(torch.stack([sigma, sigma - d]))
        back = process.euler(one_letter(x, at(sigma, x)), x, at(d, x))[:, 0]
        errors.append((p_now @ back - p_before).abs().sum())
    assert errors[1] > 1e-11  # far above rounding
    assert 3.99 < errors[0] / errors[1] < 4.01  # the next order adds d = 2e-4 of it


@every_process
def test_denoise_leaves_no_mask_and_keeps_what_shows(process, one_letter):
    generator = torch.Generator().manual_seed(12)
    x = one_letter.texts
    for sigma in SIGMAS:
        for log_score in (one_letter(x, at(sigma, x)), random_scores(one_letter, x, generator)):
            p = process.denoise(log_score, x, at(sigma, x))
            assert (p >= 0).all()
            assert_close(p.sum(-1), torch.ones(len(x), 1, dtype=torch.float64), rtol=0, atol=1e-14)
            if process.mask is not None:
                assert (p[..., process.mask] == 0).all()
                assert (p[: process.mask, 0].diagonal() == 1).all()


@every_process
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [1e-6, 0.1, 6.9, 20.0, 30.0])
def test_extreme_noise_gives_numbers(process, dtype, sigma):
    """No nan from the least noise to the most (Geometric reaches 20, the bound 28); probabilities add up to 1."""
    generator = torch.Generator().manual_seed(13)
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


@every_process
@pytest.mark.parametrize("sigma", [0.1, 6.9, 20.0])
@pytest.mark.parametrize("part", [0.5, 0.999])
def test_a_network_in_single_precision_steps_as_one_in_double(process, sigma, part):
    """From a 32-bit posterior, as networks give it: log s, of 20 at most, is exact to 1e-6, so is the step."""
    generator = torch.Generator().manual_seed(14)
    sigma = torch.full((6,), sigma, dtype=torch.float64)
    x = process.perturb(torch.randint(process.num_tokens, (6, 50), generator=generator), sigma, generator)
    log_posterior = torch.randn(6, 50, process.num_tokens, generator=generator).log_softmax(-1)
    single = process.tweedie(process.log_score(log_posterior, x, sigma), x, part * sigma)
    double = process.tweedie(process.log_score(log_posterior.double(), x, sigma), x, part * sigma)
    assert_close(single.double(), double, rtol=0, atol=1e-5)
