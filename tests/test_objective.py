"""The loss and the bound against exact integrals: with the exact score both are known in advance."""

import math

import pytest
import torch
from conftest import Enumerated, Recorder, p_value, randomized, seeded, table_of, uniform_text_score
from torch.testing import assert_close

from tinysedd.model import Config, Transformer
from tinysedd.noise import Geometric, LogLinear
from tinysedd.objective import Bound, likelihood_bound, score_entropy_loss, stratified_times
from tinysedd.process import Absorbing, Uniform
from tinysedd.worlds import Fables, Words

both_processes = pytest.mark.parametrize("process", [Absorbing, Uniform])


@pytest.fixture(scope="module")
def words():
    return Words()


@pytest.fixture(scope="module")
def pairs():
    """A small world of texts of 4 characters, whose first two are often repeated."""
    return Fables(["{A:pair}{A}", "{:pair}{:pair}"], {"pair": "ab ab bc ca"}, length=4)


def information(world, sigma) -> torch.Tensor:
    """I(x0; x_sigma) (K,) in nats, for sigma (K,): the entropy of p_sigma minus that of the noise on a given text.

    Its derivative in sigma is minus the expected score entropy at the true score, so integrals of the loss are
    differences of it: from H(x0) at sigma = 0 to 0 at infinity.
    """
    clean = world.texts[world.p0.flatten() > 0]
    noise = -torch.special.entr(world.transition(sigma)).sum(-1)[:, clean].sum(-1) @ world.p0[clean.unbind(-1)]
    return torch.special.entr(world.noised(sigma)).flatten(1).sum(1) + noise


# The loss


def test_information_falls_from_the_entropy_to_0(words):
    """The ground truth of the next tests: H(x0) without noise, 0 with much noise (17,576 terms rounded to 1e-15)."""
    for process in (Absorbing(26), Uniform(26)):
        world = Enumerated(table_of(words), process)
        left = information(world, torch.tensor([0, 0.1, 40], dtype=torch.float64))
        assert_close(left[0].item(), words.entropy(), rtol=1e-12, atol=0)
        assert (left.diff() < 0).all() and left[-1].abs() < 1e-10


@both_processes
@pytest.mark.parametrize("schedule", [LogLinear(0.05), Geometric(0.1, 3.0)], ids=str)
def test_loss_of_the_exact_score_is_the_information_that_the_noise_destroys(pairs, process, schedule):
    """Per text: the integral of w dI, which is I(start) - I(end) for "bound", where w = 1; "even" has w = 1 - e^-sigma.

    Size 6e-5 (4 standard errors). Power: a standard error is at most 0.8 % here, so a bias of 4 % is 5 of them.
    """
    process, generator = process(4, schedule), seeded(2)
    score, world = pairs.score(process), Enumerated(table_of(pairs), process)
    start, end = schedule.total(torch.tensor([0.0, 1.0], dtype=torch.float64))
    # With m = 1 - e^-sigma, by parts: the integral of m dI is [m I] minus the integral of I dm, here by the midpoint
    # rule, whose 200 steps leave an error of about 1e-5.
    first, last = -torch.expm1(-start), -torch.expm1(-end)
    m = first + (last - first) * (torch.arange(200, dtype=torch.float64) + 0.5) / 200
    inside = information(world, -torch.log1p(-m)).mean() * (last - first)
    at_start, at_end = information(world, torch.stack([start, end]))
    exact = {"bound": at_start - at_end, "even": first * at_start - last * at_end + inside}
    for weight, expected in exact.items():
        texts = pairs.sample(60 * 2000, generator).split(2000)
        losses = torch.stack([4 * score_entropy_loss(score, process, x0, generator, weight) for x0 in texts])
        error = losses.std() / math.sqrt(len(losses))
        assert error < 0.008 * expected
        assert abs(losses.mean() - expected) < 4 * error


@pytest.mark.parametrize("schedule", [LogLinear(0.05), Geometric(0.01, 3.0)], ids=str)
def test_even_loss_of_an_absorbing_denoiser_is_cross_entropy_at_the_masks(schedule):
    """sigma' (1 - e^-sigma) / (e^sigma - 1) = sigma' e^-sigma, which is 1 - eps for LogLinear: equal at all masks."""
    process = Absorbing(5, schedule)
    network = randomized(Transformer(process, Config(1, 2, 16), length=6))
    score = Recorder(network)
    x0 = torch.randint(5, (32, 6), generator=seeded(0))
    loss = score_entropy_loss(score, process, x0, seeded(3))
    (x,), sigma = score.x, score.sigma[0].double()
    cross_entropy = -network.log_posterior(x).gather(-1, x0[..., None]).squeeze(-1) * (x == process.mask)
    weight = schedule.rate(schedule.time(sigma)) * torch.exp(-sigma)
    if isinstance(schedule, LogLinear):
        assert_close(weight, torch.full_like(weight, 0.95), rtol=1e-5, atol=0)
    # The network computes in 32 bits.
    assert_close(loss.double(), (weight * cross_entropy.double().mean(-1)).mean(), rtol=1e-5, atol=0)


@both_processes
def test_the_times_of_a_batch_are_stratified(process):
    """One in each of B equal parts of (0, 1], all shifted alike: sorted, they are 1 / B apart."""
    B, process, generator = 16, process(3), seeded(0)
    score = Recorder(uniform_text_score(process))
    for _ in range(50):
        score_entropy_loss(score, process, torch.zeros(B, 4, dtype=torch.int64), generator)
    times = process.schedule.time(torch.stack(score.sigma).double()).sort(-1).values  # from 32-bit sigma: 1e-6
    assert times.min() > 0 and times.max() <= 1 + 1e-6
    assert_close(times.diff(dim=-1), torch.full((50, B - 1), 1 / B, dtype=torch.float64), rtol=0, atol=1e-5)
    assert times[:, 0].std() > 1 / B / 10  # but the shift differs from batch to batch


def test_every_time_is_equally_likely():
    """Chi-square over 10 parts of (0, 1], 1,000 batches of one; size 1e-4. Power: a part never drawn adds 100 to 9."""
    generator = seeded(1)
    times = torch.cat([stratified_times(1, generator) for _ in range(1000)])
    assert p_value((times * 10).ceil().long().bincount(minlength=11)[1:], torch.ones(10)) > 1e-4


@both_processes
def test_the_score_function_receives_noisy_versions_of_the_texts(process):
    """Almost without noise, it sees x0 itself. sigma has shape (B,) and 32 bits, as networks expect."""
    process = process(7, Geometric(1e-9, 2e-9))
    x0 = torch.randint(7, (12, 5), generator=seeded(4))
    score = Recorder(uniform_text_score(process))
    score_entropy_loss(score, process, x0, seeded(4))
    assert (score.x[0] == x0).all() and score.sigma[0].shape == (12,) and score.sigma[0].dtype == torch.float32


def test_an_unknown_weight_is_rejected():
    process = Absorbing(3)
    with pytest.raises(ValueError, match="'bound' or 'even', not 'odd'"):
        score_entropy_loss(uniform_text_score(process), process, torch.zeros(2, 2, dtype=torch.int64), weight="odd")


# The bound


@both_processes
@pytest.mark.parametrize(("line", "p"), [("bcca", 1 / 2 / 16), ("caca", 1 / 2 / 4 + 1 / 2 / 16)])
def test_bound_of_the_exact_score_is_minus_log_p_for_each_text(pairs, process, line, p):
    """20,000 copies of a text, within 4 standard errors: size 6e-5.

    Power: a standard error is at most 0.64 % here, so a bias of 3 % is 4.7 of them.
    """
    process, x0 = process(4), pairs.alphabet.encode(line).expand(20_000, 4)
    bound = likelihood_bound(pairs.score(process), process, x0, batch=4096, generator=seeded(5))
    exact = -math.log(p) / 4
    assert bound.standard_error < 0.0064 * exact
    assert abs(bound.nats_per_char - exact) < 4 * bound.standard_error


@both_processes
def test_bound_of_the_exact_score_is_the_entropy_of_words(words, process):
    """Averaged over 4,000 words; size 6e-5. Power: a standard error is at most 1.3 %, so a bias of 8 % is 6 of them."""
    process, generator = process(26), seeded(4)
    bound = likelihood_bound(words.score(process), process, words.sample(4000, generator), generator=generator)
    assert bound.standard_error < 0.013 * words.entropy() / 3
    assert abs(bound.nats_per_char - words.entropy() / 3) < 4 * bound.standard_error


@both_processes
def test_bound_of_the_score_of_equally_likely_texts_is_the_log_of_the_alphabet_size(process):
    """The truth of another world, in which all 26^3 texts are equally likely: log 26 per character, for every text.

    Size 6e-5. Power: a standard error is at most 1.6 %, so a world of 20 characters, 8 % less, is 5 of them off.
    """
    process, generator = process(26), seeded(6)
    x0 = torch.randint(26, (10_000, 3), generator=generator)
    bound = likelihood_bound(uniform_text_score(process), process, x0, batch=4096, generator=generator)
    assert bound.standard_error < 0.016 * math.log(26)
    assert abs(bound.nats_per_char - math.log(26)) < 4 * bound.standard_error


@both_processes
def test_a_wrong_score_has_a_larger_bound(words, process):
    """Each log-score off by a fixed amount, with the same noise: larger by more than 4 standard errors, twice."""
    process = process(26)
    exact = words.score(process)
    wrong = torch.randn(27, process.num_states, dtype=torch.float64, generator=seeded(7))  # one row for each state of x
    x0 = words.sample(1000, seeded(7))
    bounds = []
    for size in (0.0, 0.5, 1.0):

        def score(x, sigma, size=size):
            return (exact(x, sigma) + size * wrong[x]).scatter(-1, x[..., None], 0.0)

        bounds.append(likelihood_bound(score, process, x0, generator=seeded(7)))
    for smaller, larger in zip(bounds, bounds[1:]):
        difference = larger.per_text - smaller.per_text
        assert difference.mean() > 4 * difference.std() / math.sqrt(len(difference))


@both_processes
def test_the_standard_error_is_the_spread_of_repeated_bounds(words, process):
    """40 bounds from 100 new texts each: their variance divided by the mean square of the standard errors.

    If they were normal, this would be a chi-square over 39, within 0.4 to 2.2 except for 1 in 1,000. Power: without the
    root of the number of texts, or without the length, it is 100 times or 9 times as large or small.
    """
    process, generator = process(26), seeded(8)
    score = words.score(process)
    bounds = [
        likelihood_bound(score, process, words.sample(100, generator), draws=4, generator=generator) for _ in range(40)
    ]
    variance = torch.tensor([bound.nats_per_char for bound in bounds]).var()
    claimed = torch.tensor([bound.standard_error for bound in bounds]).square().mean()
    assert 0.4 < variance / claimed < 2.2


@pytest.mark.parametrize("batch", [7, 256])
def test_each_text_gets_one_noise_level_in_each_part(batch):
    """Of the share of characters hit, m = 1 - e^-sigma: each text gets one in each of `draws` equal parts."""
    process = Uniform(3)
    score = Recorder(uniform_text_score(process))
    x0 = torch.zeros(10, 4, dtype=torch.int64)
    bound = likelihood_bound(score, process, x0, draws=5, batch=batch, generator=seeded(9))
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


def test_a_bound_does_not_track_gradients():
    process = Absorbing(3)
    weight, exact = torch.zeros((), requires_grad=True), uniform_text_score(process)
    bound = likelihood_bound(lambda x, sigma: exact(x, sigma) + weight, process, torch.zeros(2, 2, dtype=torch.int64))
    assert not bound.per_text.requires_grad
