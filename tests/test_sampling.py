"""The plain samplers: with an exact score the distribution that they draw from is known, after every step."""

from itertools import pairwise

import pytest
import torch
from conftest import (
    Enumerated,
    check_contract,
    check_group_sizes,
    check_one_by_one,
    count_texts,
    p_value,
    seeded,
    table_of,
    uniform_text_score,
)
from torch.testing import assert_close

from tinysedd.corpus import Alphabet
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Process, Uniform, sample_categorical
from tinysedd.sampling import SAMPLERS, Trajectory, euler, first_hitting, sample, tweedie
from tinysedd.worlds import Fables, Words

both_processes = pytest.mark.parametrize("process", [Absorbing, Uniform])
on_a_grid = pytest.mark.parametrize("sampler", [euler, tweedie])


@pytest.fixture(scope="module")
def words():
    return Words()


@pytest.fixture(scope="module")
def small_p0():
    """Two characters of three, which tend to be equal; every text has some probability."""
    p0 = torch.tensor([[5, 1, 2], [1, 9, 1], [0.2, 3, 7]], dtype=torch.float64)
    return p0 / p0.sum()


# A sampler of your own


def test_a_new_sampler_is_a_function(words):
    """Left to right: unmask one character per step. With the exact score this is exact.

    Chi-square of 5,000 words, size 1e-4. Power: p off by 0.08 in total variation adds 5,000 * (2 * 0.08)^2 = 128, when
    the standard deviation is 20; a single text that is no word fails.
    """

    def left_to_right(score, process, x, free, steps, generator=None):
        """x (B, L) is noise around a prompt; free (L,) says which characters may change."""
        states = [x]
        for i in free.nonzero().flatten():
            sigma = torch.ones(len(x))  # any noise will do: at a mask the posterior does not depend on it
            p = process.denoise(score(x, sigma), x, sigma)  # (B, L, S)
            x = x.clone()
            x[:, i] = sample_categorical(p[:, i], generator)
            states.append(x)
        times = torch.linspace(1, 0, len(states))
        return Trajectory(torch.stack(states), times, ~free, calls=len(states) - 1, mask=process.mask)

    process = Absorbing(26)
    drawn = sample(
        words.score(process), process, length=3, count=5000, sampler=left_to_right, generator=torch.manual_seed(0)
    )
    assert drawn.calls == 3
    assert p_value(count_texts(drawn.states[-1], 26), table_of(words)) > 1e-4

    drawn = sample(words.score(process), process, prompt="c_t", sampler=left_to_right, generator=torch.manual_seed(0))
    assert drawn.texts[0] in ("cat", "cot", "cut")


# What a chain of steps draws, exactly


class Ring(Process):
    """Characters move to the next one on a ring, or more rarely to the one before."""

    def rate_matrix(self):
        N = self.num_tokens
        Q = -torch.eye(N, dtype=torch.float64)
        for a in range(N):
            Q[a, (a + 1) % N] += 0.7
            Q[a, (a - 1) % N] += 0.3
        return Q


def chain(world, process, step, steps):
    """The distribution (steps + 1, S^2) over texts of two characters after each step of a sampler that draws all
    positions at once, by its definition: at times k / steps each position moves by the true score of p_sigma at x."""
    S, schedule, here = world.num_states, process.schedule, torch.eye(world.num_states, dtype=torch.float64)
    prior = world.transition(1e3)[0]
    p = torch.outer(prior, prior).flatten()
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    after = [p]
    for now, later in pairwise(times):
        sigma = schedule.total(now)
        s = world(world.texts, sigma.expand(len(world.texts))).exp()  # (S^L, L, S)
        into = world.Q.T[world.texts]  # Q(y -> x_i)
        if later == 0 or step == "tweedie":
            d = sigma if later == 0 else sigma - schedule.total(later)
            kernel = (s @ world.transition(-d)).clamp(min=0) * world.transition(d).T[world.texts]
            if later == 0 and process.mask is not None:
                kernel[..., process.mask] = 0  # no mask remains
        else:
            jump = (now - later) * schedule.rate(now) * into * s * (1 - here[world.texts])
            kernel = jump + here[world.texts] * (1 - jump.sum(-1, keepdim=True)).clamp(min=0)
        kernel = kernel / kernel.sum(-1, keepdim=True)
        p = p @ torch.einsum("xa,xb->xab", kernel[:, 0], kernel[:, 1]).view(S**2, S**2)
        after.append(p)
    return torch.stack(after)


@on_a_grid
@pytest.mark.parametrize(
    "process",
    [
        Absorbing(3, LogLinear(0.01)),
        Absorbing(3, Geometric(0.02, 5.0)),
        Uniform(3, LogLinear(0.01)),
        Uniform(3, Geometric(0.02, 5.0)),
        Ring(3, LogLinear(0.01)),
    ],
    ids=str,
)
@pytest.mark.parametrize("steps", [1, 7])
def test_steps_draw_from_the_distribution_of_their_definition(sampler, process, steps, small_p0):
    """Chi-square of 50,000 texts after each step against the exact chain of kernels; size 1e-4 each.

    Power: a last step that leaves the noise of Geometric, 2 %, changes 4 % of the texts, which adds
    50,000 * 0.04^2 / 0.3 = 270, when the standard deviation is 6. Eight steps for seven, or a time that is off by one
    step, changes far more.
    """
    world = Enumerated(small_p0, process)
    exact = chain(world, process, sampler.__name__, steps)
    drawn = sample(world, process, length=2, count=50_000, steps=steps, sampler=sampler, generator=seeded(0))
    assert drawn.states.shape == (steps + 1, 50_000, 2)
    for states, p in zip(drawn.states, exact):
        assert p_value(count_texts(states, process.num_states), p.clamp(min=0).where(p > 1e-12, 0)) > 1e-4
    if process.mask is not None:
        assert (drawn.states[-1] != process.mask).all()


@both_processes
@on_a_grid
def test_the_error_of_exact_chains_is_inversely_proportional_to_the_steps(process, sampler, small_p0):
    """Twice the steps, about half the distance from p: the only error of these samplers is that of the time grid."""
    process = process(3)
    world = Enumerated(small_p0, process)
    distance = [
        (chain(world, process, sampler.__name__, steps)[-1] - world.p0.flatten()).abs().sum() / 2
        for steps in (32, 64, 128)
    ]
    for more, less in pairwise(distance):
        assert 1.6 < more / less < 2.4
    assert distance[-1] < 0.01


@both_processes
@on_a_grid
def test_words_are_closer_to_the_truth_with_more_steps(words, process, sampler):
    """Total variation from p of 1,000 texts, at 2 and 12 steps: smaller by more than sampling can explain.

    For 1,000 exact texts it is 0.19, with a standard deviation of 0.006 between seeds: 0.1 is 12 of the difference.
    """

    p, process = table_of(words).flatten(), process(26)

    def distance_of(texts):
        return float((count_texts(texts, 26) / len(texts) - p).abs().sum() / 2)

    few, many = (
        sample(words.score(process), process, count=1000, steps=steps, sampler=sampler, generator=seeded(1)).states[-1]
        for steps in (2, 12)
    )
    few, many, exact = distance_of(few), distance_of(many), distance_of(words.sample(1000, seeded(2)))
    assert 0.17 < exact < 0.21
    assert few > many + 0.1 and many < exact + 0.1


def test_euler_and_tweedie_agree_under_log_linear_absorbing_noise(words):
    """Both unmask with probability (t - s) / t, from t to s, and then draw from the posterior: same seed, same texts.

    Not so under Geometric, whose rate changes within a step.
    """
    for schedule, alike in [(LogLinear(), True), (Geometric(), False)]:
        process = Absorbing(26, schedule)
        a, b = (
            sample(words.score(process), process, count=200, steps=10, sampler=sampler, generator=seeded(17)).states
            for sampler in (euler, tweedie)
        )
        assert (a == b).all() == alike


@both_processes
def test_euler_steps_that_are_too_long_are_counted(words, process):
    """Under Geometric the first of few steps is too long at each position; short ones never are, nor are Tweedie's."""
    process, count = process(26, Geometric(0.01, 20.0)), 30

    def clamped(steps, sampler=euler, process=process):
        return sample(
            words.score(process), process, count=count, steps=steps, sampler=sampler, generator=seeded(15)
        ).clamped

    assert clamped(1) == 0  # the only step is the last, which is no Euler step
    long = process.num_states == 26  # Uniform: rate 20 log 2000 / 2 = 76 times about 25 / 26; Absorbing: times e^-20
    assert clamped(2) == (3 * count if long else 0)
    assert clamped(2, tweedie) == 0
    gentle = type(process)(26, LogLinear(0.3))
    assert clamped(200, process=gentle) == 0


# First hitting


def test_first_hitting_one_by_one_is_exact():
    check_one_by_one(sample, first_hitting)


def test_first_hitting_takes_no_more_steps_than_masks():
    check_group_sizes(sample, first_hitting)


def test_first_hitting_draws_a_group_independently(small_p0):
    """Both characters in one step: the product of their marginals, and not p. Chi-square of 20,000; size 1e-4."""
    process = Absorbing(3)
    world = Enumerated(small_p0, process)
    drawn = sample(world, process, length=2, count=20_000, steps=1, sampler=first_hitting, generator=seeded(6))
    counts = count_texts(drawn.states[-1], 3)
    assert p_value(counts, torch.outer(small_p0.sum(1), small_p0.sum(0))) > 1e-4
    assert p_value(counts, small_p0) < 1e-10  # its power


def test_first_hitting_times_are_those_of_the_absorbing_process():
    """Time t of the first of two hits has P(t < s) = s^2; of the second, given t, P(t' < s) = s / t.

    Means 2 / 3 and 1 / 3; 300 batches within 4 standard errors, 0.054. Power: u instead of u^(1/2) gives 1 / 2.
    """
    process = Absorbing(3, LogLinear(1e-9))
    score = uniform_text_score(process)
    times = torch.stack(
        [sample(score, process, length=2, sampler=first_hitting, generator=seeded(seed)).times for seed in range(300)]
    )
    error = 4 * (1 / 18 / 300) ** 0.5
    assert abs(times[:, 1].mean() - 2 / 3) < error and abs(times[:, 2].mean() - 1 / 3) < error
    assert (times.diff() < 0).all() and (times[:, 0] == 1).all()


def test_first_hitting_unmasks_in_any_order():
    """Chi-square over the 6 orders of three characters, 6,000 texts; size 1e-4. Power: an order that never occurs adds
    1,000, when the standard deviation is 3."""
    process = Absorbing(3)
    drawn = sample(
        uniform_text_score(process), process, length=3, count=6000, sampler=first_hitting, generator=seeded(4)
    )
    steps_masked = (drawn.states == process.mask).sum(0)  # (B, 3): 1, 2 and 3 in some order
    order = count_texts(steps_masked, 4)
    assert p_value(order[order > 0], torch.ones(6)) > 1e-4 and (order > 0).sum() == 6


def test_every_sampled_fable_is_a_fable():
    """The exact score and one character at a time leave no room for mistakes: 16 lines of 16."""
    fables = Fables()
    process = Absorbing(len(fables.alphabet))
    drawn = sample(fables.score(process), process, count=16, steps=64, sampler=first_hitting, generator=seeded(7))
    assert [fables.diagnose(text) for text in drawn.texts] == [None] * 16
    assert len(set(drawn.texts)) == 16 and drawn.states.shape == (65, 16, 64)


# What all samplers promise


@pytest.mark.parametrize(
    ("sampler", "process", "calls"),
    [
        (euler, Absorbing, 6),
        (euler, Uniform, 6),
        (tweedie, Absorbing, 6),
        (tweedie, Uniform, 6),
        (first_hitting, Absorbing, 3),
    ],
)
def test_a_sampler_keeps_its_promises(words, sampler, process, calls):
    process = process(26)
    drawn, score = check_contract(sample, words, sampler, process, calls)
    if sampler is not first_hitting:  # whose times are random
        for sigma, time in zip(score.sigma[:6], drawn.times):
            assert_close(sigma.double(), process.schedule.total(time.double()).expand(5), rtol=1e-5, atol=0)
        assert_close(drawn.times.double(), torch.linspace(1, 0, 7, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("process", "best"), [(Absorbing, first_hitting), (Uniform, tweedie), (Ring, tweedie)])
def test_the_default_sampler_is_the_best_plain_one(process, best):
    process = process(3)
    score = Enumerated(torch.ones(3, 3, dtype=torch.float64) / 9, process)
    a, b = (
        sample(score, process, length=2, count=20, steps=5, sampler=sampler, generator=seeded(16))
        for sampler in (None, best)
    )
    assert (a.states == b.states).all() and (a.times == b.times).all()
    assert list(SAMPLERS.values()) == [euler, tweedie, first_hitting]
    assert list(SAMPLERS) == ["euler", "tweedie", "first_hitting"]


def test_a_sampler_receives_noise_what_is_free_and_the_number_of_steps(words):
    process = Absorbing(26)

    def copy(score, process, x, free, steps, generator):
        assert free.tolist() == [False, True, True] and steps == 7 and x.shape == (2, 3)
        return Trajectory(torch.stack([x, x]), torch.tensor([1.0, 0.0]), ~free, calls=0)

    assert sample(words.score(process), process, prompt="c", count=2, steps=7, sampler=copy).texts == ["c__", "c__"]


# Errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": "cats"}, "prompt has 4 characters; there is room for 3"),
        ({"prompt": "c?t"}, "'\\?' at position 1"),
        ({"length": 3, "steps": 0}, "steps must be an integer of at least 1, not 0"),
        ({"length": 3, "count": 0}, "count must be an integer of at least 1, not 0"),
    ],
)
def test_mistakes_are_explained(words, options, message):
    process = Uniform(26)
    with pytest.raises(ValueError, match=message):
        sample(words.score(process), process, **options)


def test_a_missing_length_or_alphabet_is_asked_for():
    process = Absorbing(3)
    score = uniform_text_score(process)
    with pytest.raises(ValueError, match="length= or prompt="):
        sample(score, process)
    with pytest.raises(ValueError, match="alphabet="):
        sample(score, process, prompt="a_")
    without = sample(score, process, length=2, generator=seeded(16))
    with pytest.raises(ValueError, match="alphabet="):
        _ = without.texts
    with_alphabet = sample(score, process, prompt="a__", alphabet=Alphabet("abc"), count=2, generator=seeded(16))
    assert all(len(text) == 3 and text[0] == "a" for text in with_alphabet.texts)


def test_first_hitting_needs_masks(words):
    process = Uniform(26)
    with pytest.raises(ValueError, match=r"needs masks, and Uniform has none.*'tweedie'"):
        sample(words.score(process), process, sampler=first_hitting)
