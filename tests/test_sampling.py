"""Samplers: with an exact score, what they draw is known, step by step for a small world, in the limit for Words."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from tinysedd.corpus import Alphabet
from tinysedd.fast.sampling import SAMPLERS, best_sampler, entropy_bounded, sample
from tinysedd.model import Config, Transformer
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Uniform, sample_categorical
from tinysedd.sampling import Trajectory
from tinysedd.worlds import Fables, Words

both_processes = pytest.mark.parametrize("process", [Absorbing, Uniform])
ON_A_GRID, UNMASKING = ["euler", "tweedie"], ["first_hitting", "entropy_bounded", "spread", "corrected"]
pairs = [(name, process) for name in ON_A_GRID for process in (Absorbing, Uniform)] + [
    (name, Absorbing) for name in UNMASKING
]
every_pair = pytest.mark.parametrize(("sampler", "process"), pairs)
unmasking = pytest.mark.parametrize("sampler", UNMASKING)


@pytest.fixture(scope="module")
def words():
    return Words()


@pytest.fixture(scope="module")
def small_p0():
    """Two characters of three, which like to be alike; every text has some probability, as every text is visited."""
    p0 = torch.tensor([[5, 1, 2], [1, 9, 1], [0.2, 3, 7]], dtype=torch.float64)
    return p0 / p0.sum()


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts_of(states: torch.Tensor, base: int) -> torch.Tensor:
    """How often each text (B, L) comes, (base^L,), in the order of a table."""
    place = base ** torch.arange(states.shape[1]).flip(0)
    return (states * place).sum(-1).bincount(minlength=base ** states.shape[1])


def word_p(words) -> torch.Tensor:
    return words.log_prob(torch.cartesian_prod(*[torch.arange(26)] * 3)).exp()


# What a chain of steps draws, exactly


def chain(world, schedule, start, step, steps):
    """The distribution (S^L,) after each step of a sampler that draws all positions at once, by its definition.

    start: that of the noise; times k / steps; each position from x moves by the true score of p_sigma at x.
    """
    S, p, here = world.num_states, start, torch.eye(world.num_states, dtype=torch.float64)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    after = [p]
    for now, later in pairwise(times):
        sigma = schedule.total(now)
        s = world(world.texts, sigma.expand(len(world.texts))).exp()  # (S^L, L, S)
        into = world.Q.T[world.texts]  # Q(y -> x_i)
        if later == 0 or step == "tweedie":
            d = sigma if later == 0 else sigma - schedule.total(later)
            kernel = (s @ world.transition(-d)).clamp(min=0) * world.transition(d).T[world.texts]
            if later == 0 and S > 3:
                kernel[..., 3] = 0  # no mask remains
        else:
            jump = (now - later) * schedule.rate(now) * into * s * (1 - here[world.texts])
            kernel = jump + here[world.texts] * (1 - jump.sum(-1, keepdim=True)).clamp(min=0)
        kernel = kernel / kernel.sum(-1, keepdim=True)
        joint = torch.einsum("xa,xb->xab", kernel[:, 0], kernel[:, 1]).flatten(1)  # (S^2, S^2), for two positions
        p = p @ joint
        after.append(p)
    return torch.stack(after)


@pytest.mark.parametrize("sampler", ON_A_GRID)
@pytest.mark.parametrize("schedule", [LogLinear(0.01), Geometric(0.02, 5.0)], ids=str)
@both_processes
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_steps_draw_what_their_definition_says(sampler, schedule, process, steps, small_p0, enumerated, chance):
    """Chi-square of 50,000 texts after each step against the exact chain of kernels; size 1e-4 each.

    Power: a last step that leaves the noise of Geometric, 2 %, as it is changes 4 % of the texts: 50,000 * 0.04^2 / 0.3
    = 270, when the spread is 6; a step of 8 for 7, or a time that is off by one step, changes far more.
    """
    process = process(3, schedule)
    world = enumerated(small_p0, process)
    prior = torch.zeros(len(world.texts), dtype=torch.float64)
    prior[-1 if process.mask else slice(None)] = 1  # the last text is all masks
    exact = chain(world, schedule, prior / prior.sum(), sampler, steps)
    drawn = sample(world, process, length=2, count=50_000, steps=steps, sampler=sampler, generator=seeded(0))
    assert drawn.states.shape == (steps + 1, 50_000, 2)
    for states, p in zip(drawn.states, exact):
        assert chance(counts_of(states, process.num_states), p.clamp(min=0).where(p > 1e-12, 0)) > 1e-4
    if process.mask:
        assert (drawn.states[-1] != process.mask).all()


@both_processes
@pytest.mark.parametrize("step", ["euler", "tweedie"])
def test_the_error_of_exact_chains_falls_with_the_steps(process, step, small_p0, enumerated):
    """Twice the steps, about half the distance from p: the only error of these samplers is the time grid's."""
    process = process(3)
    world = enumerated(small_p0, process)
    prior = torch.zeros(len(world.texts), dtype=torch.float64)
    prior[-1 if process.mask else slice(None)] = 1
    distance = [
        (chain(world, process.schedule, prior / prior.sum(), step, steps)[-1] - world.p0.flatten()).abs().sum() / 2
        for steps in (32, 64, 128)
    ]
    for more, less in pairwise(distance):
        assert 1.6 < more / less < 2.4
    assert distance[-1] < 0.01


# Words: the true distribution in the limit


def distance_from(words, states) -> float:
    """Total variation between the texts drawn and p."""
    return float((counts_of(states, 26) / len(states) - word_p(words)).abs().sum() / 2)


@both_processes
@pytest.mark.parametrize("sampler", ON_A_GRID)
def test_more_steps_draw_words_more_truly(words, process, sampler):
    """Total variation from p of 2,000 texts, at 2, 6 and 24 steps: each time smaller by more than sampling can explain.

    As many exact texts are 0.136 away, with a spread of 0.004 between seeds: a fall by 0.05 is 9 times that of two.
    """
    process, distance = process(26), []
    for steps in (2, 6, 24):
        drawn = sample(words.score(process), process, count=2000, steps=steps, sampler=sampler, generator=seeded(1))
        distance.append(distance_from(words, drawn.states[-1]))
    exact = distance_from(words, words.sample(2000, seeded(2)))
    assert 0.12 < exact < 0.15
    assert distance[0] > distance[1] + 0.05 > distance[2] + 0.1
    assert distance[2] < exact + 0.05


def test_under_log_linear_absorbing_noise_euler_and_tweedie_are_one(words):
    """Both unmask with probability (t - s) / t, from t to s, and then draw from the posterior: one seed, one way.

    Not so under Geometric, where the rate changes within a step.
    """
    for schedule, alike in [(LogLinear(), True), (Geometric(), False)]:
        process = Absorbing(26, schedule)
        euler, tweedie = (
            sample(words.score(process), process, count=200, steps=10, sampler=sampler, generator=seeded(17)).states
            for sampler in ("euler", "tweedie")
        )
        assert (euler == tweedie).all() == alike


@pytest.mark.parametrize(
    ("sampler", "mends"),
    [
        ("first_hitting", 0),
        (partial(entropy_bounded, bound=0), 0),
        ("entropy_bounded", 0),
        ("spread", 0),
        ("corrected", 2),
    ],
)
def test_one_by_one_words_are_drawn_exactly(words, sampler, mends, chance):
    """In any order, and a character that is masked and drawn again leaves them so. Chi-square of 20,000 texts over 339;
    size 1e-4. What entropy_bounded draws together is too nearly sure to show here.

    Power: p off by 0.04 in total variation adds at least 20,000 * (2 * 0.04)^2 = 128, five times the spread, which is
    sqrt(2 * 338); and a single text that is no word fails.
    """
    process = Absorbing(26)
    drawn = sample(words.score(process), process, count=20_000, steps=8, sampler=sampler, generator=seeded(3))
    for states in drawn.states[3:]:
        assert chance(counts_of(states, 26), word_p(words)) > 1e-4
    assert drawn.calls == 3 + mends and drawn.states.shape == (4 + mends, 20_000, 3)
    masks = (drawn.states == process.mask).sum(-1)
    one_by_one = torch.tensor([3, 2, 1, 0] + [0] * mends)[:, None]
    singly = sampler in ("first_hitting", "spread", "corrected")
    assert (masks == one_by_one).all() if singly else (masks <= one_by_one).all()


def test_the_surest_are_drawn_together_and_no_more_than_the_bound_allows():
    """Posteriors that do not depend on the text, with known entropies: who goes in which step can be told beforehand.

    Two letters with chances q and 1 - q each: sure, 0.0005, 0.006, 0.006, log 2 and log 2 nats. Within 0.01: the first
    three and one more, which may be the largest; then one by one.
    """
    process = Absorbing(2)
    q = torch.tensor([0.5, 1.0, 1 - 7e-4, 1 - 6e-5, 0.5, 1 - 7e-4], dtype=torch.float64)
    entropy = -(torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q))
    assert_close(entropy[[2, 3]], torch.tensor([0.0058, 0.00064], dtype=torch.float64), rtol=0, atol=1e-4)

    def score(x, sigma):
        return process.log_score(torch.stack([q, 1 - q], -1).log().expand(len(x), 6, 2), x, sigma)

    draw = partial(sample, score, process, length=6, count=3, sampler="entropy_bounded", generator=seeded(18))
    drawn = draw(steps=6)
    assert (drawn.states == 2).sum(-1).tolist() == [[6] * 3, [2] * 3, [1] * 3, [0] * 3] and drawn.calls == 3
    assert drawn.states[1, :, [0, 4]].eq(2).all()
    assert_close(drawn.times, torch.tensor([1, 2, 1, 0]) / torch.tensor([1, 6, 6, 6]), rtol=0, atol=1e-3)
    loose = draw(steps=6, sampler=partial(entropy_bounded, bound=0.7))
    assert (loose.states == 2).sum(-1)[:, 0].tolist() == [6, 1, 0]
    assert (draw(steps=1).states == 2).sum(-1).tolist() == [[6] * 3, [0] * 3]  # what must be, must be


def test_the_first_places_are_drawn_by_lot_lest_all_texts_begin_alike(chance):
    """Five letters, the third nearly sure. Chi-square over 20 ordered pairs of places, 4,000 texts; size 1e-4. Power:
    where the third comes first more often than it should by 0.05, 4,000 * 0.05^2 / 0.16 = 62 is added, when the spread
    is 6.
    """
    process = Absorbing(2)
    q = torch.tensor([0.5, 0.5, 0.999, 0.5, 0.5], dtype=torch.float64)

    def score(x, sigma):
        return process.log_score(torch.stack([q, 1 - q], -1).log().expand(len(x), 5, 2), x, sigma)

    def first(**options):
        sampler = partial(entropy_bounded, bound=0, **options)
        states = sample(score, process, length=5, count=4000, steps=16, sampler=sampler, generator=seeded(21)).states
        return [(states[k] != states[k + 1]).int().argmax(-1) for k in range(2)]  # who is unmasked in steps 1 and 2

    pairs = torch.bincount(5 * (by_lot := first())[0] + by_lot[1], minlength=25).view(5, 5)
    assert chance(pairs, 1 - torch.eye(5)) > 1e-4
    assert (first(random_first=0)[0] == 2).all()


def test_the_last_steps_share_what_the_bound_leaves():
    """Nothing is sure here: one at a time, until 3 steps are left for 14 masks, and 14 // 9, 13 // 4, 10 go."""
    process = Absorbing(2)

    def score(x, sigma):
        return process.log_score(torch.full((*x.shape, 2), -math.log(2)), x, sigma)

    drawn = sample(score, process, length=20, steps=9, sampler="entropy_bounded", generator=seeded(19))
    assert (drawn.states == 2).sum(-1).flatten().tolist() == [20, 19, 18, 17, 16, 15, 14, 13, 10, 0]


def test_bounded_entropy_writes_fables_in_few_steps():
    """With the exact score: nearly every line of 200 is a fable, after fewer than half as many calls as characters.

    The bound allows each of n steps 0.01 nats, and so about 1 % of the lines a step, were it used up each time.
    """
    fables = Fables()
    process = Absorbing(len(fables.alphabet))
    drawn = sample(fables.score(process), process, count=200, sampler="entropy_bounded", generator=seeded(20))
    right = (fables.log_prob(drawn.states[-1]) > -math.inf).double().mean()
    assert drawn.calls < 32 and right > 1 - 0.01 * drawn.calls
    assert len(set(drawn.texts)) > 190


def test_first_hitting_unmasks_any_position_first(words, chance):
    """Chi-square over the 6 orders, 6,000 texts; size 1e-4. Power: never one order adds 1,000, when the spread is 3."""
    process = Absorbing(26)
    drawn = sample(words.score(process), process, count=6000, sampler="first_hitting", generator=seeded(4))
    masked_for = (drawn.states == process.mask).sum(0)  # (B, 3): 1, 2 and 3 in some order
    order = counts_of(masked_for, 4)
    assert chance(order[order > 0], torch.ones(6)) > 1e-4 and (order > 0).sum() == 6


@pytest.mark.parametrize(("prompt", "few"), [("", 2), ("c" * 30, 1)])
def test_corrected_draws_a_few_free_characters_again_in_turn(prompt, few):
    """The last quarter of 40 steps: 2 of 40 characters, or 1 of 10 around a prompt, are masks each time.

    Each free one has its turn before any has it twice, and those first that were drawn first.
    """
    process, asked = Absorbing(3), []

    def score(x, sigma):
        asked.append(x)
        return process.log_score(torch.full((*x.shape, 3), -math.log(3)), x, sigma)

    drawn = sample(
        score, process, prompt=prompt, length=40, count=6, steps=40, sampler="corrected", alphabet=Alphabet("abc")
    )
    free = 40 - len(prompt)
    first = drawn.calls - 10
    assert drawn.calls == len(asked) and first <= min(free, 30) and (drawn.times[first + 1 :] == 0).all()
    again = torch.stack(asked[first:]) == process.mask  # (10, B, L)
    assert (again.sum(-1) == few).all() and (again.sum(0).amax(-1) == few * 10 // free + (few * 10 % free > 0)).all()
    waited = (drawn.states[: first + 1] == process.mask).sum(0).expand(10, 6, 40)[again].view(10, 6, few)
    assert (waited[1:].amin(-1) >= waited[:-1].amax(-1)).all() and (waited[0].amin(-1) == 1).all()
    for x, masks, after in zip(drawn.states[first:], again, drawn.states[first + 1 :]):
        assert (x != process.mask).all() and ((after == x) | masks).all()


@pytest.mark.parametrize("sampler", ["first_hitting", "spread"])
@pytest.mark.parametrize(("steps", "masks"), [(1, [3, 0]), (2, [3, 2, 0]), (3, [3, 2, 1, 0]), (64, [3, 2, 1, 0])])
def test_few_steps_draw_groups(words, sampler, steps, masks):
    """As even as can be, the larger ones last."""
    process = Absorbing(26)
    drawn = sample(words.score(process), process, count=20, steps=steps, sampler=sampler, generator=seeded(5))
    assert ((drawn.states == process.mask).sum(-1) == torch.tensor(masks)[:, None]).all()
    assert drawn.calls == len(masks) - 1


@pytest.mark.parametrize("length", [64, 100, 128])
def test_what_is_drawn_together_stands_far_apart(length):
    """Groups of 4, on the circle: three golden ratios, less two turns, are 0.146 of it, the least gap of four stops.

    Power: four places by lot are so far apart in 7 of 100 texts, (1 - 4 * 0.146)^3; all 200 texts and steps must be.
    """
    process = Absorbing(3)

    def score(x, sigma):
        return process.log_score(torch.full((*x.shape, 3), -math.log(3)), x, sigma)

    states = sample(
        score, process, length=length, count=200, steps=length // 4, sampler="spread", generator=seeded(22)
    ).states
    for before, after in zip(states, states[1:]):
        places = ((before == process.mask) & (after != process.mask)).nonzero()[:, 1].view(200, 4)
        gaps = torch.cat([places.diff(dim=-1), places[:, :1] + length - places[:, 3:]], -1)
        assert gaps.min() >= 0.146 * length - 2  # places are whole numbers
    assert len((states[1] != process.mask).nonzero()[:, 1].unique()) > 0.9 * length  # they begin anywhere


def test_a_group_is_drawn_as_if_independent(small_p0, enumerated, chance):
    """Both characters in one step: the product of their marginals, and not p. Chi-square of 20,000; size 1e-4."""
    process = Absorbing(3)
    world = enumerated(small_p0, process)
    drawn = sample(world, process, length=2, count=20_000, steps=1, sampler="first_hitting", generator=seeded(6))
    counts = counts_of(drawn.states[-1], 3)
    assert chance(counts, torch.outer(small_p0.sum(1), small_p0.sum(0))) > 1e-4
    assert chance(counts, small_p0) < 1e-10  # the power of it


def test_first_hitting_takes_as_long_as_masks_are_hit(small_p0, enumerated):
    """Time t of the first of two hits has P(t < s) = s^2, of the second, given it, P(t < s) = s / t, of sigma's m = t.

    Means 2 / 3 and 1 / 3; 300 batches within 4 standard errors, 0.054. Power: u for u^(1/2) gives 1 / 2.
    """
    process = Absorbing(3, LogLinear(1e-9))
    world = enumerated(small_p0, process)
    times = torch.stack(
        [sample(world, process, length=2, sampler="first_hitting", generator=seeded(seed)).times for seed in range(300)]
    )
    error = 4 * (1 / 18 / 300) ** 0.5
    assert abs(times[:, 1].mean() - 2 / 3) < error and abs(times[:, 2].mean() - 1 / 3) < error
    assert (times.diff() < 0).all() and (times[:, 0] == 1).all()


def test_every_sampled_fable_is_a_fable():
    """The exact score and one character at a time leave no room for mistakes: 64 lines of 64."""
    fables = Fables()
    process = Absorbing(len(fables.alphabet))
    drawn = sample(fables.score(process), process, count=64, steps=64, sampler="first_hitting", generator=seeded(7))
    assert [fables.diagnose(text) for text in drawn.texts] == [None] * 64
    assert len(set(drawn.texts)) > 60 and drawn.states.shape == (65, 64, 64)


# A model that needs no sigma


@every_pair
def test_a_model_is_asked_only_about_texts_that_changed_and_writes_the_same(sampler, process):
    """Against the same model, told that it needs sigma: bit for bit; and what it was asked, counted by hand."""
    process = process(26)
    torch.manual_seed(0)
    model = Transformer(process, Config(1, 2, 16), Words().alphabet, length=12)
    torch.nn.init.normal_(model.head.weight)
    drawn = [
        sample(score, process, length=12, count=20, steps=60, sampler=sampler, generator=seeded(21))
        for score in (model, lambda x, sigma: model(x, sigma))
    ]
    assert (drawn[0].states == drawn[1].states).all() and (drawn[0].times == drawn[1].times).all()
    if process.mask is None:
        assert drawn[0].calls == drawn[1].calls == 60
    elif sampler in ON_A_GRID:
        changes = (drawn[0].states[1:-1] != drawn[0].states[:-2]).any(-1).sum()
        assert drawn[0].calls == math.ceil((20 + changes) / 20) < 14 and drawn[1].calls == 60


# Prompts


@every_pair
@pytest.mark.parametrize("prompt", ["c_t", "_a_", "q"])
def test_what_the_prompt_gives_stays(words, sampler, process, prompt):
    process = process(26)
    drawn = sample(
        words.score(process), process, prompt=prompt, count=50, steps=9, sampler=sampler, generator=seeded(8)
    )
    for i, c in enumerate(prompt.ljust(3, "_")):
        assert drawn.given[i] == (c != "_")
        assert c == "_" or (drawn.states[..., i] == words.alphabet.characters.index(c)).all()
    assert all(len(text) == 3 for text in drawn.texts)
    assert (drawn.states[:, :, ~drawn.given] != drawn.states[0, :, ~drawn.given]).any()


@unmasking
@pytest.mark.parametrize("prompt", ["c_t", "_a_"])
def test_around_a_prompt_the_exact_conditional_is_drawn(words, sampler, prompt, chance):
    """Chi-square of 10,000 texts against p(word | what is given); size 1e-4.

    Power: p without the condition draws other words at once; marginals of each place alone, what is no word.
    """
    process = Absorbing(26)
    drawn = sample(
        words.score(process), process, prompt=prompt, count=10_000, steps=5, sampler=sampler, generator=seeded(9)
    )
    everything = torch.cartesian_prod(*[torch.arange(26)] * 3)
    fits = torch.tensor([all(c in ("_", d) for c, d in zip(prompt, words.alphabet.decode(x))) for x in everything])
    assert chance(counts_of(drawn.states[-1], 26), word_p(words) * fits) > 1e-4
    assert drawn.calls == prompt.count("_") + (sampler == "corrected")


@every_pair
def test_a_prompt_without_gaps_comes_back(words, sampler, process):
    process = process(26)
    assert sample(words.score(process), process, prompt="cat", count=2, steps=3, sampler=sampler).texts == [
        "cat",
        "cat",
    ]


# One draw


def test_draw_follows_its_probabilities(chance):
    """Chi-square of 100,000 draws from each of three rows, one of them not normalized; size 1e-4.

    Power: 1 % more of one state of 0.2 adds 100,000 * 0.01^2 / 0.2 = 50, when the spread is 3; the impossible fails.
    """
    p = torch.tensor([[0.5, 0, 0.3, 0.2, 0], [0, 0, 0, 1, 0], [2, 1, 0, 4, 3]], dtype=torch.float64)
    drawn = sample_categorical(p.expand(100_000, 3, 5), seeded(10))
    assert drawn.shape == (100_000, 3) and drawn.dtype == torch.int64
    for row in range(3):
        assert chance(drawn[:, row].bincount(minlength=5), p[row] / p[row].sum()) > 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draw_resolves_rare_states_in_double_precision(dtype, monkeypatch):
    """Random numbers of 64 bits, also for 32-bit probabilities: u = 1 - 2^-40 lies in a last state of 2^-30.

    And u = 0 in the first state that can be.
    """
    p = torch.tensor([0.0, 1.0, 2**-30, 0.0], dtype=dtype)
    for u, state in [(0.0, 1), (1 - 2**-20, 1), (1 - 2**-40, 2)]:
        monkeypatch.setattr(
            torch, "rand", lambda shape, dtype=torch.float32, u=u, **_: torch.full(shape, u, dtype=dtype)
        )
        assert sample_categorical(p.expand(3, 4)).tolist() == [state] * 3


# A trajectory


@every_pair
def test_a_trajectory_keeps_its_promises(words, sampler, process):
    """Times from 1 down, one score a step at each of them, the first states noise, the last text."""
    process, asked = process(26), []

    def score(x, sigma):
        asked.append((x, sigma))
        return words.score(process)(x, sigma)

    drawn = sample(
        score, process, length=3, count=5, steps=6, sampler=sampler, alphabet=words.alphabet, generator=seeded(11)
    )
    steps = {"first_hitting": 3, "entropy_bounded": 3, "spread": 3, "corrected": 4}.get(sampler, 6)
    assert (
        drawn.calls == len(asked) == steps
        and drawn.states.shape == (steps + 1, 5, 3)
        and drawn.times.shape == (steps + 1,)
    )
    falls = drawn.times.diff() < 0  # but in a corrector step, which comes when no noise is left
    assert drawn.times[0] == 1 and falls[: 3 if sampler == "corrected" else None].all() and drawn.times[-1] >= 0
    for (x, sigma), states, time in zip(asked, drawn.states, drawn.times):
        assert (x == states).all() or sampler == "corrected"  # which masks some of them again
        assert sigma.shape == (5,) and sigma.dtype == torch.float32
        if sampler in ON_A_GRID:  # whose sigma is that of the hit to come
            assert_close(sigma.double(), process.schedule.total(time.double()).expand(5), rtol=1e-5, atol=0)
    assert drawn.states.max() < process.num_states and drawn.states[-1].max() < 26
    assert drawn.mask == process.mask and drawn.alphabet == words.alphabet
    assert drawn.texts == drawn.texts_at(-1) == [words.alphabet.decode(x) for x in drawn.states[-1]]
    if process.mask:
        assert drawn.texts_at(0) == ["___"] * 5
    if sampler in ON_A_GRID:
        assert_close(drawn.times.double(), torch.linspace(1, 0, 7, dtype=torch.float64), rtol=0, atol=1e-6)


@every_pair
def test_the_same_seed_draws_the_same_texts(words, sampler, process):
    process = process(26)
    first, again, other = (
        sample(words.score(process), process, count=20, steps=4, sampler=sampler, generator=seeded(seed)).states
        for seed in (12, 12, 13)
    )
    assert (first == again).all() and (first != other).any()


@both_processes
def test_eulers_too_long_steps_are_counted(words, process):
    """Under Geometric the first of few steps is too long at each place; short ones never are, nor are Tweedie's."""
    process, count = process(26, Geometric(0.01, 20.0)), 30

    def clamped(steps, sampler="euler", process=process):
        return sample(
            words.score(process), process, count=count, steps=steps, sampler=sampler, generator=seeded(15)
        ).clamped

    assert clamped(1) == 0  # the only step is the last, which is no Euler step
    long = process.num_states == 26  # Uniform: rate 20 log 2000 / 2 = 76 times about 25 / 26; Absorbing: times e^-20
    assert clamped(2) == (3 * count if long else 0)
    assert clamped(2, "tweedie") == 0
    gentle = type(process)(26, LogLinear(0.3))
    assert clamped(200, process=gentle) == 0


# Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 3, "sampler": "langevin"}, "no sampler 'langevin'.*euler, tweedie, first_hitting, .*corrected"),
        ({"prompt": "cats"}, "prompt has 4 characters; there is room for 3"),
        ({"prompt": "c?t"}, "'\\?' at position 1"),
        ({"length": 3, "steps": 0}, "at least 1, not 0 and 1"),
        ({"length": 3, "count": 0}, "at least 1, not 64 and 0"),
    ],
)
def test_mistakes_are_explained(words, options, message):
    process = Uniform(26)
    with pytest.raises(ValueError, match=message):
        sample(words.score(process), process, **options)


def test_a_length_or_an_alphabet_that_nobody_knows_is_asked_for():
    process = Absorbing(3)

    def score(x, sigma):
        return process.log_score(torch.full((*x.shape, 3), -math.log(3)), x, sigma)

    with pytest.raises(ValueError, match="length= or prompt="):
        sample(score, process)
    with pytest.raises(ValueError, match="alphabet="):
        sample(score, process, prompt="a_")
    without = sample(score, process, length=2, generator=seeded(16))
    with pytest.raises(ValueError, match="alphabet="):
        _ = without.texts
    with_alphabet = sample(score, process, prompt="a__", alphabet=Alphabet("abc"), count=2, generator=seeded(16))
    assert all(len(text) == 3 and text[0] == "a" for text in with_alphabet.texts)


@unmasking
def test_to_unmask_takes_masks(words, sampler):
    process = Uniform(26)
    with pytest.raises(ValueError, match="needs masks, and Uniform has none.*'tweedie'"):
        sample(words.score(process), process, sampler=sampler)


@both_processes
def test_the_best_sampler_is_one_that_there_is(words, process):
    process = process(26)
    name = best_sampler(process)
    assert name in SAMPLERS and len(sample(words.score(process), process, sampler=name).texts) == 1


def test_a_sampler_of_ones_own(words):
    """A function like those in SAMPLERS is handed noise, what is free, and the steps."""
    process = Absorbing(26)

    def copy(score, process, x, free, steps, generator):
        assert free.tolist() == [False, True, True] and steps == 7 and x.shape == (2, 3)
        return Trajectory(torch.stack([x, x]), torch.tensor([1.0, 0.0]), ~free, calls=0)

    drawn = sample(words.score(process), process, prompt="c", count=2, steps=7, sampler=copy)
    assert drawn.texts == ["c__", "c__"] and set(SAMPLERS) == {*ON_A_GRID, *UNMASKING}


@pytest.mark.parametrize("p", [math.nan, 0.0])
def test_what_is_no_probability_is_not_drawn_from(p):
    with pytest.raises(ValueError, match="nan or all 0"):
        sample_categorical(torch.tensor([[0.5, 0.5], [p, p]]))
