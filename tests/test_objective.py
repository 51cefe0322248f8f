"""The loss and the bound against exact integrals: with the exact score both are known in advance."""

import math

import pytest
import torch
from torch.testing import assert_close

from tinysedd.model import Config, Transformer
from tinysedd.noise import Geometric, LogLinear
from tinysedd.objective import Bound, autoregressive_loss, likelihood_bound, score_entropy_loss
from tinysedd.process import Absorbing, Uniform
from tinysedd.worlds import Fables, Words

both_processes = pytest.mark.parametrize("process", [Absorbing, Uniform])


@pytest.fixture(scope="module")
def words():
    return Words()


class Listening:
    """A score function that writes down what it is asked."""

    def __init__(self, score):
        self.score, self.x, self.sigma = score, [], []

    def __call__(self, x, sigma):
        self.x.append(x)
        self.sigma.append(sigma)
        return self.score(x, sigma)


def even(process):
    """The exact score of the world where all texts are alike: ratios of 1, and at a mask 1 / N to e^sigma - 1."""

    def score(x, sigma):
        log_score = torch.zeros(*x.shape, process.num_states, dtype=torch.float64)
        if process.mask is not None:
            log_score[..., : process.mask] = -torch.log(process.num_tokens * torch.expm1(sigma.double()))[:, None, None]
            elsewhere = torch.arange(process.num_states) != x[..., None]
            log_score[(x != process.mask)[..., None] & elsewhere] = -math.inf
        return log_score

    return score


def information(world, sigma) -> torch.Tensor:
    """I(x0; x_sigma) (K,) in nats, for sigma (K,): the entropy of p_sigma less that of the noise on given texts.

    Its slope in sigma is minus the expected score entropy at the true score, so that integrals of the loss are
    differences of it: from H(x0) at sigma = 0 to 0 at infinity.
    """
    clean = world.texts[world.p0.flatten() > 0]
    noise = -torch.special.entr(world.transition(sigma)).sum(-1)[:, clean].sum(-1) @ world.p0[clean.unbind(-1)]
    return torch.special.entr(world.noised(sigma)).flatten(1).sum(1) + noise


@pytest.fixture(scope="module")
def pairs():
    """A small world of 4 characters of 4, where the first two often come again."""
    return Fables(["{A:pair}{A}", "{:pair}{:pair}"], {"pair": "ab ab bc ca"}, length=4)


def table(world) -> torch.Tensor:
    N, L = len(world.alphabet), world.length
    return world.log_prob(torch.cartesian_prod(*[torch.arange(N)] * L)).exp().view((N,) * L)


# The loss


@both_processes
@pytest.mark.parametrize("late", [1.0, 3.0])
def test_times_are_spread_evenly_over_each_batch(process, late):
    """One time, to the power `late`, in each of B equal parts of (0, 1], all shifted alike: sorted, 1 / B apart."""
    B, process, generator = 16, process(3), torch.Generator().manual_seed(0)
    score = Listening(even(process))
    for _ in range(50):
        score_entropy_loss(score, process, torch.zeros(B, 4, dtype=torch.int64), generator, late=late)
    times = process.schedule.time(torch.stack(score.sigma).double()).sort(-1).values ** late  # from 32-bit sigma: 1e-6
    assert times.min() > 0 and times.max() <= 1 + 1e-6
    assert_close(times.diff(dim=-1), torch.full((50, B - 1), 1 / B, dtype=torch.float64), rtol=0, atol=1e-5)
    assert times[:, 0].std() > 1 / B / 10  # but the shift is another one each time


@both_processes
def test_each_time_is_as_likely_as_any_other(process, chance):
    """Chi-square over 10 parts of (0, 1], 1,000 batches of one; size 1e-4. Power: a tenth never drawn adds 100 to 9."""
    process, generator = process(3), torch.Generator().manual_seed(1)
    score = Listening(even(process))
    for _ in range(1000):
        score_entropy_loss(score, process, torch.zeros(1, 1, dtype=torch.int64), generator)
    times = process.schedule.time(torch.cat(score.sigma).double())
    assert chance((times * 10).ceil().long().clamp(1, 10).bincount(minlength=11)[1:], torch.ones(10)) > 1e-4


@both_processes
@pytest.mark.parametrize("schedule", [LogLinear(0.05), Geometric(0.1, 3.0)], ids=str)
def test_loss_with_the_exact_score_is_the_information_that_the_noise_takes(pairs, process, schedule, enumerated):
    """Times the length: integral of w dI, in the bound with w = 1, I(start) - I(end); 'even' has w = 1 - e^-sigma.

    Size 6e-5 (4 standard errors). Power: a standard error is at most 0.6 % here, so what is 3 % wrong is 5 off.
    """
    process, generator = process(4, schedule), torch.Generator().manual_seed(2)
    score, world = pairs.score(process), enumerated(table(pairs), process)
    start, end = schedule.total(torch.tensor([0.0, 1.0], dtype=torch.float64))
    # With m = 1 - e^-sigma, by parts: the integral of m dI is [m I] less the integral of I dm, here by the midpoint
    # rule, whose 200 steps leave an error of about 1e-5.
    first, last = -torch.expm1(-start), -torch.expm1(-end)
    m = first + (last - first) * (torch.arange(200, dtype=torch.float64) + 0.5) / 200
    inside = information(world, -torch.log1p(-m)).mean() * (last - first)
    at_start, at_end = information(world, torch.stack([start, end]))
    exact = {"bound": at_start - at_end, "even": first * at_start - last * at_end + inside}
    for weight, expected in exact.items():
        texts = pairs.sample(100 * 2000, generator).split(2000)
        losses = torch.stack([4 * score_entropy_loss(score, process, x0, generator, weight) for x0 in texts])
        error = losses.std() / math.sqrt(len(losses))
        assert error < 0.006 * expected
        assert abs(losses.mean() - expected) < 4 * error


def test_information_is_what_its_name_says(words, enumerated):
    """The authority above: H(x0) at no noise, 0 at much (of 17,576 terms with roundings of 1e-15), always falling."""
    for process in (Absorbing(26), Uniform(26)):
        left = information(enumerated(table(words), process), torch.tensor([0, 1e-3, 0.1, 1, 40], dtype=torch.float64))
        assert_close(left[0].item(), words.entropy(), rtol=1e-12, atol=0)
        assert (left.diff() < 0).all() and left[-1].abs() < 1e-10


@pytest.mark.parametrize("late", [1.0, 2.5])
@pytest.mark.parametrize("schedule", [LogLinear(0.05), Geometric(0.01, 3.0)], ids=str)
def test_even_loss_of_an_absorbing_denoiser_is_cross_entropy_at_the_masks(schedule, late):
    """sigma' (1 - e^-sigma) / (e^sigma - 1) = sigma' e^-sigma = 1 - eps for LogLinear: the same for each mask."""
    process = Absorbing(5, schedule)
    torch.manual_seed(0)
    network = Transformer(process, Config(1, 2, 16), length=6)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    score = Listening(network)
    x0 = torch.randint(5, (32, 6))
    loss = score_entropy_loss(score, process, x0, torch.Generator().manual_seed(3), late=late)
    (x,), sigma = score.x, score.sigma[0].double()
    cross_entropy = -network.log_posterior(x).gather(-1, x0[..., None]).squeeze(-1) * (x == process.mask)
    share = schedule.rate(schedule.time(sigma)) * torch.exp(-sigma)
    if isinstance(schedule, LogLinear):
        assert_close(share, torch.full_like(share, 0.95), rtol=1e-5, atol=0)
    # The network computes in 32 bits.
    assert_close(loss.double(), (share * cross_entropy.double().mean(-1)).mean(), rtol=1e-5, atol=0)


@both_processes
def test_what_is_noised_is_the_text(process):
    """Nearly without noise, the score function sees x0; and sigma comes as (B,), 32-bit, as networks want it."""
    process = process(7, Geometric(1e-9, 2e-9))
    x0 = torch.randint(7, (12, 5), generator=torch.Generator().manual_seed(4))
    score = Listening(even(process))
    score_entropy_loss(score, process, x0, torch.Generator().manual_seed(4))
    assert (score.x[0] == x0).all() and score.sigma[0].shape == (12,) and score.sigma[0].dtype == torch.float32


def test_a_reference_teaches_what_its_texts_would_have_taught():
    """All texts are one text here, so that a reference of it adds nothing. Nor does a text that could not have become
    the noisy ones; one that could counts as much as the first, as it does where all is masked."""
    generator = torch.Generator().manual_seed(0)
    first, other = torch.randint(5, (2, 6), generator=generator)
    log_posterior = torch.rand(6, 5, dtype=torch.float64, generator=generator).log_softmax(-1)

    def loss(schedule, x0, *reference):
        process = Absorbing(5, schedule)

        def score(x, sigma):
            return process.log_score(log_posterior.expand(8, 6, 5), x, sigma)

        more = torch.stack(reference) if reference else None
        return score_entropy_loss(score, process, x0.expand(8, 6), torch.Generator().manual_seed(5), reference=more)

    little, much = Geometric(0.01, 0.1), Geometric(30.0, 40.0)
    assert_close(loss(little, first, first, first), loss(little, first), rtol=1e-6, atol=0)
    assert_close(loss(little, first, (first + 1) % 5), loss(little, first), rtol=1e-6, atol=0)
    assert_close(loss(much, first, other), (loss(much, first) + loss(much, other)) / 2, rtol=1e-6, atol=0)
    assert abs(loss(much, first) / loss(much, other) - 1) > 1e-3  # or else the lines above could not fail


def test_an_unknown_weight_is_refused():
    process = Absorbing(3)
    with pytest.raises(ValueError, match="'bound' or 'even', not 'odd'"):
        score_entropy_loss(even(process), process, torch.zeros(2, 2, dtype=torch.int64), weight="odd")


def test_a_reference_without_masks_is_refused():
    texts = torch.zeros(2, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match="reference goes with masks"):
        score_entropy_loss(even(Uniform(3)), Uniform(3), texts, reference=texts)


# The bound


@both_processes
@pytest.mark.parametrize(("line", "p"), [("bcca", 1 / 2 / 16), ("caca", 1 / 2 / 4 + 1 / 2 / 16)])
def test_bound_with_the_exact_score_is_minus_log_p_for_each_text(pairs, process, line, p):
    """40,000 times the same text, within 4 standard errors: size 6e-5.

    Power: a standard error is at most 0.45 % here, so a bias of 2 % is 4.4 off, and is found for 2 texts in 3.
    """
    process, x0 = process(4), pairs.alphabet.encode(line).expand(40_000, 4)
    bound = likelihood_bound(pairs.score(process), process, x0, batch=4096, generator=torch.Generator().manual_seed(5))
    exact = -math.log(p) / 4
    assert bound.standard_error < 0.0045 * exact
    assert abs(bound.nats_per_char - exact) < 4 * bound.standard_error


@both_processes
def test_bound_with_the_exact_score_is_the_entropy_of_words(words, process):
    """As a mean over 4,000 words; size 6e-5. Power: a standard error is at most 1.3 %, so 8 % wrong is 6 off."""
    process, generator = process(26), torch.Generator().manual_seed(4)
    bound = likelihood_bound(words.score(process), process, words.sample(4000, generator), generator=generator)
    assert bound.standard_error < 0.013 * words.entropy() / 3
    assert abs(bound.nats_per_char - words.entropy() / 3) < 4 * bound.standard_error


@both_processes
def test_bound_with_an_even_score_is_that_of_even_texts(process):
    """The truth of another world, where all 26^3 texts are alike: log 26 a character, whatever the text.

    Size 6e-5. Power: a standard error is at most 0.9 %, so a world of 20 characters, 8 % less, is 9 off.
    """
    process, generator = process(26), torch.Generator().manual_seed(6)
    x0 = torch.randint(26, (30_000, 3), generator=generator)
    bound = likelihood_bound(even(process), process, x0, batch=4096, generator=generator)
    assert bound.standard_error < 0.009 * math.log(26)
    assert abs(bound.nats_per_char - math.log(26)) < 4 * bound.standard_error


@both_processes
def test_a_wrong_score_has_a_larger_bound(words, process):
    """Each log-score off by a fixed amount, under the same noise: larger by more than 4 standard errors, twice."""
    process = process(26)
    exact, generator = words.score(process), torch.Generator().manual_seed(7)
    wrong = torch.randn(27, process.num_states, dtype=torch.float64, generator=generator)  # by the state that x shows
    x0 = words.sample(2000, torch.Generator().manual_seed(7))
    bounds = []
    for size in (0.0, 0.5, 1.0):

        def score(x, sigma, size=size):
            return (exact(x, sigma) + size * wrong[x]).scatter(-1, x[..., None], 0.0)

        bounds.append(likelihood_bound(score, process, x0, generator=torch.Generator().manual_seed(7)))
    for less, more in zip(bounds, bounds[1:]):
        difference = more.per_text - less.per_text
        assert difference.mean() > 4 * difference.std() / math.sqrt(len(difference))


@both_processes
def test_the_standard_error_is_the_spread_of_repeats(words, process):
    """40 bounds from 100 new texts each: their variance over the mean square of the standard errors.

    Were they normal, it would be a chi-square over 39, within 0.4 ... 2.2 but for 1 in 1,000. Power: without the root
    of the number of texts, or without the length, it is 100 times or 9 times as large or small.
    """
    process, generator = process(26), torch.Generator().manual_seed(8)
    score = words.score(process)
    bounds = [
        likelihood_bound(score, process, words.sample(100, generator), draws=4, generator=generator) for _ in range(40)
    ]
    spread = torch.tensor([bound.nats_per_char for bound in bounds]).var()
    said = torch.tensor([bound.standard_error for bound in bounds]).square().mean()
    assert 0.4 < spread / said < 2.2


@pytest.mark.parametrize("batch", [7, 256])
def test_each_text_gets_one_noise_level_in_each_part(batch):
    """Of the share of characters hit, m = 1 - e^-sigma: for each text one in each of `draws` equal parts."""
    process = Uniform(3)
    score = Listening(even(process))
    x0 = torch.zeros(10, 4, dtype=torch.int64)
    bound = likelihood_bound(score, process, x0, draws=5, batch=batch, generator=torch.Generator().manual_seed(9))
    m = -torch.expm1(-torch.cat(score.sigma).double())
    assert bound.per_text.shape == (10,) and bound.length == 4
    assert ((m * 5).floor().view(10, 5) == torch.arange(5)).all()
    assert (m.view(10, 5) * 5 % 1).std() > 0.2  # and anywhere in it
    assert max(map(len, score.sigma)) <= batch


def test_figures_of_a_bound():
    bound = Bound(torch.tensor([2.0, 4.0, 9.0], dtype=torch.float64), length=10)
    assert_close(bound.nats_per_char, 0.5, rtol=1e-15, atol=0)
    assert_close(bound.bits_per_char, 0.5 / math.log(2), rtol=1e-15, atol=0)
    variance = ((2 - 5) ** 2 + (4 - 5) ** 2 + (9 - 5) ** 2) / 2
    assert_close(bound.standard_error, math.sqrt(variance / 3) / 10, rtol=1e-14, atol=0)


def test_a_bound_asks_for_no_gradient():
    process = Absorbing(3)
    weight = torch.zeros((), requires_grad=True)
    x0 = torch.zeros(2, 2, dtype=torch.int64)
    assert not likelihood_bound(lambda x, s: even(process)(x, s) + weight, process, x0).per_text.requires_grad


# From left to right


@pytest.mark.parametrize("process", [Absorbing(3), Uniform(3)], ids=["Absorbing", "Uniform"])
def test_a_causal_network_is_a_distribution_over_texts(process):
    """exp(-loss) over all 27 texts of three characters of three is 1 in sum; the loss of a batch is the mean."""
    torch.manual_seed(1)
    network = Transformer(process, Config(1, 1, 8, causal=True), length=3)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    texts = torch.cartesian_prod(*[torch.arange(3)] * 3)
    with torch.no_grad():
        losses = torch.stack([autoregressive_loss(network, text[None]) for text in texts]).double()
        assert_close(torch.exp(-3 * losses).sum().item(), 1.0, rtol=0, atol=1e-5)  # 32-bit logarithms
        assert losses.std() > 0.1  # not because all are alike
        assert_close(autoregressive_loss(network, texts).double(), losses.mean(), rtol=1e-5, atol=0)
