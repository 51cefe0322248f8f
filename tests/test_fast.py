"""The fast wing: a network with local context, losses with less noise, and better samplers.

Model and loss are held against written-out definitions; the samplers against the exact distribution of small worlds.
"""

import math
from functools import cache, partial

import pytest
import torch
from conftest import (
    Enumerated,
    Recorder,
    block_by_definition,
    check_contract,
    check_group_sizes,
    check_one_by_one,
    count_texts,
    noisy_texts,
    p_value,
    places_changed_by,
    posterior_score,
    randomized,
    seeded,
    uniform_text_score,
)
from torch.testing import assert_close

import tinysedd
from tinysedd import Alphabet, Corpus, Fables, Words, sampling
from tinysedd.costs import best_sizes
from tinysedd.fast.model import FastBlock, FastConfig, FastTransformer, knows_places, log_posterior_at, token_shift
from tinysedd.fast.objective import Shares, fast_loss, score_entropy_loss, target_shares
from tinysedd.fast.sampling import SAMPLERS, best_sampler, corrected, entropy_bounded, planned, sample, trapezoidal
from tinysedd.model import Config, Transformer
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Uniform

N, L = 5, 8
VARIANTS = {
    "Absorbing": (Absorbing(N), {}),
    "Uniform": (Uniform(N), {}),
    "Absorbing, free scores": (Absorbing(N), {"free_scores": True}),
    "Absorbing, causal": (Absorbing(N), {"causal": True}),
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)
both_ways = pytest.mark.parametrize("is_causal", [False, True])
unmasking = pytest.mark.parametrize("sampler", ["entropy_bounded", "spread", "corrected"])


@pytest.fixture(scope="module")
def words():
    return Words()


def untrained(variant: str) -> FastTransformer:
    torch.manual_seed(0)
    process, options = VARIANTS[variant]
    return FastTransformer(process, FastConfig(layers=2, heads=2, width=16, bigrams=50, **options), length=L)


def without_blocks(**options) -> FastTransformer:
    """Embeddings and head only, with random weights."""
    return randomized(FastTransformer(Absorbing(N), FastConfig(0, 1, 16, **options), length=2 * L))


# The model


@every_variant
def test_it_is_a_score_function_that_starts_uniform(variant):
    network = untrained(variant)
    x, sigma = noisy_texts(network.process)
    uniform = torch.full((3, L, N), -math.log(N))
    assert_close(network(x, sigma), network.process.log_score(uniform, x, sigma), rtol=0, atol=1e-5)
    log_score = randomized(network)(x, sigma)
    assert log_score.shape == (3, L, network.process.num_states)
    assert (log_score.gather(-1, x[..., None]) == 0).all() and not log_score.isnan().any()
    assert network.needs_sigma == (variant in ("Uniform", "Absorbing, free scores"))


@both_ways
@pytest.mark.parametrize("layers", [0, 1, 3])
@pytest.mark.parametrize(
    ("kind", "config"), [(FastTransformer, partial(FastConfig, bigrams=50)), (Transformer, Config)]
)
def test_a_posterior_at_some_places_is_the_posterior_there(is_causal, layers, kind, config):
    network = kind(Absorbing(N), config(layers, 2, 16, causal=is_causal), length=L)
    x, where = torch.randint(N + 1, (6, L), generator=seeded(32)), torch.rand(6, L, generator=seeded(33)) < 0.4
    where[2] = False  # a text that nothing is asked about
    network = randomized(network)
    assert_close(log_posterior_at(network, x, where), network.log_posterior(x)[where], rtol=1e-5, atol=1e-5)


def test_only_denoisers_for_masks_are_asked_about_single_places():
    asked = {name: knows_places(untrained(name), VARIANTS[name][0]) for name in VARIANTS}
    assert [name for name in asked if asked[name]] == ["Absorbing", "Absorbing, causal"]
    network = untrained("Absorbing")
    assert knows_places(network, Absorbing(N, Geometric(0.1, 5.0))) and not knows_places(network, Absorbing(N + 1))
    assert not knows_places(network, Uniform(N)) and not knows_places(lambda x, sigma: x, Absorbing(N))


@every_variant
def test_the_loss_has_a_gradient_in_every_parameter(variant):
    network, generator = randomized(untrained(variant)), seeded(2)
    x0 = torch.randint(N, (16, L), generator=generator)
    if network.config.causal:
        (-network.log_prob(x0).mean()).backward()
    else:
        score_entropy_loss(network, network.process, x0, generator).backward()
    for name, weight in network.named_parameters():
        assert weight.grad.isfinite().all() and weight.grad.abs().max() > 0, name


def test_a_causal_network_sees_only_what_is_on_the_left():
    """Neither the neighbor embeddings nor the token shift leak characters from the right."""
    network = randomized(untrained("Absorbing, causal"))
    x = torch.randint(N, (20, L), generator=seeded(3))
    for place in range(L):
        assert places_changed_by(network.log_posterior, x, place) == list(range(place + 1, L))


@pytest.mark.parametrize("neighbors", [0, 1, 3])
@pytest.mark.parametrize("bigrams", [0, 7])
@both_ways
def test_a_character_is_embedded_with_its_neighbors_and_with_no_others(neighbors, bigrams, is_causal):
    """Without blocks the output at i depends on the window around i only; in a causal network it ends before i."""
    network = without_blocks(causal=is_causal, neighbors=neighbors, bigrams=bigrams)
    x = torch.full((1, L), 2)
    for j in range(L):
        window = range(j + 1, j + 2 * neighbors + 2) if is_causal else range(j - neighbors, j + neighbors + 1)
        assert places_changed_by(network.log_posterior, x, j) == [i for i in window if 0 <= i < L]
    h = network.embed_characters(x)[0]
    assert neighbors == 0 or (h[0] != h[L // 2]).any()  # the end of the text is visible


@both_ways
@pytest.mark.parametrize("neighbors", [1, 2])
def test_bigrams_make_adjacent_neighbors_interact(neighbors, is_causal):
    """Exchange the characters at j and k. A sum of single embeddings satisfies f(a, b) + f(c, d) = f(a, d) + f(c, b); a
    bigram table breaks this exactly when j and k are adjacent neighbors (the character itself does not count)."""
    seen = range(-2 * neighbors, 0) if is_causal else [k for k in range(-neighbors, neighbors + 1) if k]
    adjacent = set(zip(seen, seen[1:]))

    def interact(bigrams: int, j: int, k: int) -> bool:
        network = without_blocks(causal=is_causal, neighbors=neighbors, bigrams=bigrams)
        x = torch.zeros(4, 2 * L, dtype=torch.int64)
        x[:, L + j], x[:, L + k] = torch.tensor([1, 3, 1, 3]), torch.tensor([2, 4, 4, 2])
        h = network.embed_characters(x)[:, L]
        return bool((h[0] + h[1] - h[2] - h[3]).abs().max() > 1e-4)

    for j in seen:
        for k in [k for k in seen if k > j]:
            assert not interact(0, j, k) and interact(100, j, k) == ((j, k) in adjacent)


def test_each_ordered_bigram_has_its_own_row_if_there_are_enough():
    pairs = torch.cartesian_prod(torch.arange(N + 1), torch.arange(N + 1))
    x = torch.stack([pairs[:, 0], torch.zeros(len(pairs), dtype=torch.int64), pairs[:, 1]], 1)
    rows = without_blocks(neighbors=1, bigrams=(N + 1) ** 2).rows(x)[:, 1]  # at the character in between
    assert rows[:, -1].unique().numel() == (N + 1) ** 2


def test_bigrams_share_rows_when_there_are_too_few():
    """(N + 1)^2 bigrams on 7 rows per table: texts use every row of the table, and no row outside it."""
    network = without_blocks(neighbors=2, bigrams=7)
    rows = network.rows(torch.randint(N + 1, (500, L), generator=seeded(6)))
    assert rows.unique().tolist() == list(range(network.embed.num_embeddings))
    assert rows.shape == (500, L, 5 + 3)


@both_ways
def test_token_shift_takes_a_quarter_of_the_features_from_each_visible_side(is_causal):
    h = torch.randn(2, L, 16)
    out = token_shift(h, is_causal)
    for i in range(L):
        left = h[:, i - 1, :4] if i else torch.zeros(2, 4)
        right = h[:, i, 4:8] if is_causal else h[:, i + 1, 4:8] if i + 1 < L else torch.zeros(2, 4)
        assert (out[:, i] == torch.cat([left, right, h[:, i, 8:]], -1)).all()


@both_ways
@pytest.mark.parametrize("knows_sigma", [False, True])
@pytest.mark.parametrize("shift", [False, True])
def test_a_fast_block_is_a_block_whose_mlp_sees_shifted_features(is_causal, knows_sigma, shift):
    torch.manual_seed(0)
    block = FastBlock(FastConfig(1, 2, 16, causal=is_causal, token_shift=shift), knows_sigma)
    block = randomized(block).double()
    h = torch.randn(3, L, 16, dtype=torch.float64)
    c = torch.randn(3, 16, dtype=torch.float64) if knows_sigma else None
    expected = block_by_definition(block, h, c, mlp_input=lambda h: token_shift(h, is_causal) if shift else h)
    assert_close(block(h, c), expected, rtol=1e-5, atol=1e-5)  # the angles of the rotations are 32-bit


def test_initial_weights_have_the_standard_deviations_that_were_tuned():
    """Within 5 %. Of the 6,144 and more weights in each table, the standard deviation is known to 0.9 %."""
    torch.manual_seed(0)
    network = FastTransformer(Uniform(64))
    for weight, std in [(network.embed.weight, 0.5), (network.place.weight, 0.25)]:
        assert weight.numel() >= 6144
        assert_close(weight.std().item(), std, rtol=0.05, atol=0)
    assert all(block.out.weight.abs().max() == block.down.weight.abs().max() == 0 for block in network.blocks)


def test_the_default_has_as_many_parameters_as_its_docstring_says():
    assert "0.8 M parameters" in FastConfig.__doc__ and "0.2 M are in matrix products" in FastConfig.__doc__
    for config in (FastConfig(), FastConfig(causal=True)):
        network = FastTransformer(Absorbing(31), config)
        products = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, torch.nn.Linear))
        count = sum(weight.numel() for weight in network.parameters())
        assert (round(count / 1e6, 1), round(products / 1e6, 1)) == (0.8, 0.2)
    assert FastTransformer(Absorbing(31)).config == FastConfig(2, 4, 96, False, False, 2, True, 2048)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"neighbors": -1}, "neighbors must be an integer of at least 0, not -1"),
        ({"bigrams": -1}, "bigrams must be an integer of at least 0, not -1"),
        ({"width": 130}, "width 130 must be a multiple"),
    ],
)
def test_impossible_sizes_are_rejected(wrong, message):
    with pytest.raises(ValueError, match=message):
        FastConfig(**wrong)


# The loss


def truncated_normal_cdf(m, center: float, width: float):
    """From torch.distributions; Shares computes its quantiles with torch.special.ndtri."""
    normal = torch.distributions.Normal(torch.tensor(center, dtype=torch.float64), width)
    low, high = normal.cdf(torch.tensor([0.0, 1.0], dtype=torch.float64))
    return (normal.cdf(m) - low) / (high - low)


@pytest.mark.parametrize(("center", "width"), [(0.45, 0.2), (0.93, 0.07), (0.01, 0.5), (0.5, 9.0)])
@pytest.mark.parametrize("done", [0.0, 0.69, 0.7])
def test_shares_are_stratified_draws_of_a_truncated_normal_and_then_even(center, width, done):
    """Their quantiles are one number in each of B equal parts of (0, 1], all shifted alike: sorted, 1 / B apart."""
    B, generator = 16, seeded(0)
    m = torch.stack([Shares(center, width, 0.7).draw(B, done, generator) for _ in range(50)])
    assert m.min() > 0 and m.max() <= 1
    u = (m if done >= 0.7 else truncated_normal_cdf(m, center, width)).sort(-1).values
    assert_close(u.diff(dim=-1), torch.full((50, B - 1), 1 / B, dtype=torch.float64), rtol=0, atol=1e-5)
    assert u[:, 0].std() > 1 / B / 10  # but the shift differs from batch to batch


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_center": 0}, "noise_center must be between 0 and 1, not 0"),
        ({"noise_center": math.nan}, "noise_center must be between 0 and 1, not nan"),
        ({"noise_width": 0}, "noise_width must be between 0 and 10, not 0"),
        ({"even_from": 1.1}, "even_from must be between 0 and 1, not 1.1"),
    ],
)
def test_impossible_shares_are_rejected(options, message):
    with pytest.raises(ValueError, match=message):
        Shares(**options)


@pytest.mark.parametrize("process", [Absorbing, Uniform])
def test_by_default_it_is_the_plain_loss(process):
    """With a log-linear schedule, whose shares of hit characters end at 1 - epsilon: here 1 - 1e-9."""
    process = process(5, LogLinear(1e-9))
    network = randomized(untrained("Absorbing" if process.mask else "Uniform"))
    x0 = torch.randint(N, (16, L), generator=seeded(0))
    fast = score_entropy_loss(network, process, x0, seeded(1))
    assert_close(fast, tinysedd.score_entropy_loss(network, process, x0, seeded(1)), rtol=1e-5, atol=0)


LOSS_VARIANTS = {
    "a fast network": (Absorbing(3, LogLinear(0.05)), {}),
    "free scores": (Absorbing(3, Geometric(0.01, 3.0)), {"free_scores": True}),
    "random characters": (Uniform(3), {}),
}


@pytest.mark.parametrize("R", [0, 40])
@pytest.mark.parametrize("variant", LOSS_VARIANTS)
def test_loss_matches_its_definition(variant, R):
    """The mean over characters of e^sigma - 1 times the score entropy, which is averaged over x0 and the texts of the
    reference batch, each weighted by the probability q(x | text) of becoming x, multiplied out character by character.
    Only what depends on the score is averaged, so the entropy of a score of 1 is taken off. In 32 bits. The schedule
    does not matter."""
    process, options = LOSS_VARIANTS[variant]
    generator = seeded(5)
    network = randomized(FastTransformer(process, FastConfig(1, 2, 16, bigrams=50, **options), length=4))
    x0 = torch.randint(2, (32, 4), generator=generator)  # other characters than in the reference batch
    m = torch.rand(32, generator=generator, dtype=torch.float64)
    reference = torch.randint(3, (R, 4), generator=generator) if R else None
    sigma = -torch.log1p(-m)
    x = process.perturb(x0, sigma, seeded(3))
    loss = score_entropy_loss(network, process, x0, seeded(3), m, reference)
    log_score, q = network(x, sigma), process.transition(sigma)
    entropy = []
    for b in range(32):
        texts = [x0[b], *(reference if R else [])]
        weights = torch.tensor([math.prod(float(q[b, y[i], x[b, i]]) for i in range(4)) for y in texts])
        row = slice(b, b + 1)
        one, each = torch.zeros_like(log_score[row]), []
        for y in texts:
            a, b = (process.score_entropy(s, x[row], y[None], sigma[row]) for s in (log_score[row], one))
            each.append(a - b)
        fits = [(w, e) for w, e in zip(weights / weights.sum(), each) if w > 0]  # no 0 * inf
        entropy.append(sum(w * e for w, e in fits) + process.score_entropy(one, x[row], x0[row], sigma[row]))
    assert_close(loss.double(), (sigma.expm1() * torch.cat(entropy).double().mean(-1)).mean(), rtol=1e-4, atol=0)
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    if R:  # the reference does change something
        assert abs(loss - score_entropy_loss(network, process, x0, seeded(3), m)) > 1e-3


@pytest.mark.parametrize("R", [0, 1, 2])
def test_target_shares_are_unbiased_with_random_characters_too(R):
    """Over every x0 and every reference batch, weighted by p(x0 | x) and p(reference): their mean is p(x0_i | x)."""
    process, sigma = Uniform(2), torch.tensor([0.8], dtype=torch.float64)
    p0 = torch.tensor([[0.1, 0.4], [0.2, 0.3]], dtype=torch.float64)
    clean = torch.cartesian_prod(torch.arange(2), torch.arange(2))  # (4, 2)
    q = Enumerated(p0, process).transition(0.8)
    rows = torch.cartesian_prod(*[torch.arange(4)] * (1 + R)).view(-1, 1 + R)  # x0, then the reference batch
    for x in clean:
        likelihood = q[clean[:, 0], x[0]] * q[clean[:, 1], x[1]]
        posterior = p0.flatten() * likelihood / (p0.flatten() * likelihood).sum()
        weight = p0.flatten()[rows].prod(-1) * likelihood[rows[:, 0]]
        share = [target_shares(process, x[None], clean[k[:1]], sigma, clean[k[1:]]).flatten() for k in rows]
        mean = (weight / weight.sum()) @ torch.stack(share).double()
        assert_close(mean, posterior @ torch.nn.functional.one_hot(clean, 2).double().flatten(1), rtol=0, atol=1e-6)


@pytest.mark.parametrize("R", [0, 1, 3])
def test_target_shares_average_independent_draws_of_the_posterior(R):
    """Over every x0 and every reference batch: their mean is p(x0 | x), and their variance that of one draw times
    E[1 / (1 + n)], where n of the R texts agree with x, each with the same probability. Shares are 32-bit."""
    process = Absorbing(2)
    p0 = torch.tensor([[0.1, 0.4], [0.2, 0.3]], dtype=torch.float64)
    world = Enumerated(p0, process)
    clean = torch.cartesian_prod(torch.arange(2), torch.arange(2))  # (4, 2)
    q = world.transition(torch.tensor(0.7))
    rows = torch.cartesian_prod(*[torch.arange(4)] * (1 + R)).view(-1, 1 + R)  # x0, then the reference batch
    for x in torch.cartesian_prod(torch.arange(3), torch.arange(3)):
        fits = ((x == clean) | (x == process.mask)).all(-1)  # (4,)
        p = p0.flatten() * fits / (p0.flatten() * fits).sum()
        posterior = p @ torch.nn.functional.one_hot(clean, 2).double().flatten(1)  # (L N)
        weight = p0.flatten()[rows].prod(-1) * q[clean[rows[:, 0]], x].prod(-1)
        weight = (weight / weight.sum())[:, None]
        with_x0, share = weight[:, 0] > 0, torch.zeros(len(rows), 4, dtype=torch.float64)
        for k in with_x0.nonzero().flatten():
            share[k] = target_shares(
                process, x[None], clean[rows[k, :1]], torch.tensor([0.7]), clean[rows[k, 1:]]
            ).flatten()
        assert_close((weight * share).sum(0), posterior, rtol=0, atol=1e-6)
        agree = p0.flatten()[fits].sum()
        fewer = (1 - (1 - agree) ** (1 + R)) / ((1 + R) * agree)  # E[1 / (1 + n)] of a binomial n
        variance = (weight * (share - posterior).square()).sum(0)
        assert_close(variance, fewer * posterior * (1 - posterior), rtol=0, atol=1e-6)


def test_fast_loss_draws_a_new_reference_batch_at_each_step(words):
    """From the corpus and the generator of the training, after the shares and before the noise."""
    corpus = Corpus.from_world(words, 10)
    network = randomized(FastTransformer(Absorbing(26), FastConfig(1, 2, 16), length=3))
    x0, generator, again = words.sample(8, seeded(0)), seeded(1), seeded(1)
    loss = fast_loss(corpus, Shares(even_from=0.5), reference=100)
    for done in (0.0, 0.4, 0.6):
        m = Shares(even_from=0.5).draw(8, done, again)
        expected = score_entropy_loss(network, network.process, x0, again, m, corpus.batch(100, again))
        assert loss(network, x0, generator, done) == expected
    even = score_entropy_loss(network, network.process, x0, seeded(2))
    assert fast_loss(corpus)(network, x0, seeded(2), 0.9) == even != fast_loss(corpus)(network, x0, seeded(2), 0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": -1}, "reference must be an integer of at least 0, not -1"),
    ],
)
def test_fast_loss_rejects_impossible_options(words, options, message):
    with pytest.raises(ValueError, match=message):
        fast_loss(Corpus.from_world(words, 10), **options)


# The samplers


@pytest.mark.parametrize(
    ("sampler", "corrections"),
    [
        ("entropy_bounded", 0),
        (partial(entropy_bounded, bound=0), 0),
        ("spread", 0),
        ("corrected", 2),
        (partial(planned, costs=torch.tensor([2.0, 1.0, 0.5])), 0),
    ],
    ids=["entropy_bounded", "bound 0", "spread", "corrected", "planned"],
)
def test_one_by_one_they_are_exact(sampler, corrections):
    check_one_by_one(sample, sampler, corrections)


@pytest.mark.parametrize(
    ("sampler", "calls"), [("entropy_bounded", 3), ("spread", 3), ("planned", 3), ("corrected", 4)]
)
def test_a_sampler_keeps_its_promises(words, sampler, calls):
    if sampler == "planned":
        sampler = partial(planned, costs=torch.tensor([2.0, 1.0, 0.5]))
    check_contract(sample, words, sampler, Absorbing(26), calls, corrections=int(sampler == "corrected"))


@unmasking
def test_they_need_masks(words, sampler):
    process = Uniform(26)
    with pytest.raises(ValueError, match=r"needs masks, and Uniform has none.*'tweedie'"):
        sample(words.score(process), process, sampler=sampler)


def test_entropy_bounded_draws_the_most_certain_characters_together():
    """Posteriors that do not depend on the text, with known entropies, so each step is known in advance.

    Two letters with probabilities q and 1 - q each: 0, 0.0005, 0.006, 0.006, log 2 and log 2 nats. Within 0.01 are the
    first three and one more, because the largest is free; then one at a time.
    """
    process = Absorbing(2)
    q = torch.tensor([0.5, 1.0, 1 - 7e-4, 1 - 6e-5, 0.5, 1 - 7e-4], dtype=torch.float64)
    entropy = -(torch.xlogy(q, q) + torch.xlogy(1 - q, 1 - q))
    assert_close(entropy[[2, 3]], torch.tensor([0.0058, 0.00064], dtype=torch.float64), rtol=0, atol=1e-4)
    score = posterior_score(process, torch.stack([q, 1 - q], -1))
    draw = partial(sample, score, process, length=6, count=3, sampler="entropy_bounded", generator=seeded(18))
    drawn = draw(steps=6)
    assert (drawn.states == 2).sum(-1).tolist() == [[6] * 3, [2] * 3, [1] * 3, [0] * 3] and drawn.calls == 3
    assert drawn.states[1, :, [0, 4]].eq(2).all()
    assert_close(drawn.times, torch.tensor([1, 2, 1, 0]) / torch.tensor([1, 6, 6, 6]), rtol=0, atol=1e-3)
    loose = draw(steps=6, sampler=partial(entropy_bounded, bound=0.7))
    assert (loose.states == 2).sum(-1)[:, 0].tolist() == [6, 1, 0]
    assert (draw(steps=1).states == 2).sum(-1).tolist() == [[6] * 3, [0] * 3]  # the last step draws everything


def test_entropy_bounded_starts_at_random_positions():
    """Five letters, the third almost certain. Chi-square over 20 ordered pairs of positions, 4,000 texts; size 1e-4.

    Power: if the third comes first more often than it should by 0.05, 4,000 * 0.05^2 / 0.16 = 62 is added, when the
    standard deviation is 6.
    """
    process = Absorbing(2)
    q = torch.tensor([0.5, 0.5, 0.999, 0.5, 0.5], dtype=torch.float64)
    score = posterior_score(process, torch.stack([q, 1 - q], -1))

    def first_two(**options):
        sampler = partial(entropy_bounded, bound=0, **options)
        states = sample(score, process, length=5, count=4000, steps=16, sampler=sampler, generator=seeded(21)).states
        return [(states[k] != states[k + 1]).int().argmax(-1) for k in range(2)]  # unmasked in steps 1 and 2

    first, second = first_two()
    assert p_value(torch.bincount(5 * first + second, minlength=25).view(5, 5), 1 - torch.eye(5)) > 1e-4
    assert (first_two(random_first=0)[0] == 2).all()


def test_the_last_steps_of_entropy_bounded_draw_what_the_bound_left():
    """Nothing is certain here: one at a time, until 3 steps are left for 14 masks; then 14 // 9, 13 // 4, and 10."""
    process = Absorbing(2)
    drawn = sample(
        uniform_text_score(process), process, length=20, steps=9, sampler="entropy_bounded", generator=seeded(19)
    )
    assert (drawn.states == 2).sum(-1).flatten().tolist() == [20, 19, 18, 17, 16, 15, 14, 13, 10, 0]


def test_entropy_bounded_writes_fables_in_few_steps():
    """With the exact score almost every line of 100 is a fable, after less than half as many calls as characters.

    The bound allows each step 0.01 nats, so about 1 % of the lines per step if every step used all of it.
    """
    fables = Fables()
    process = Absorbing(len(fables.alphabet))
    drawn = sample(fables.score(process), process, count=100, sampler="entropy_bounded", generator=seeded(20))
    right = (fables.log_prob(drawn.states[-1]) > -math.inf).double().mean()
    assert drawn.calls < 32 and right > 1 - 0.01 * drawn.calls
    assert len(set(drawn.texts)) > 95


def test_spread_takes_no_more_steps_than_masks():
    check_group_sizes(sample, "spread")


@pytest.mark.parametrize("length", [64, 100, 128])
def test_spread_draws_characters_together_that_are_far_apart(length):
    """Groups of 4 on a circle: three golden ratios, minus two turns, are 0.146 of it, the smallest gap of four stops.

    Power: four random positions are that far apart in 7 of 100 texts, (1 - 4 * 0.146)^3; all 200 texts must be, in
    every step.
    """
    process = Absorbing(3)
    states = sample(
        uniform_text_score(process), process, length=length, count=200, steps=length // 4, sampler="spread",
        generator=seeded(22),
    ).states  # fmt: skip
    for before, after in zip(states, states[1:]):
        places = ((before == process.mask) & (after != process.mask)).nonzero()[:, 1].view(200, 4)
        gaps = torch.cat([places.diff(dim=-1), places[:, :1] + length - places[:, 3:]], -1)
        assert gaps.min() >= 0.146 * length - 2  # positions are whole numbers
    assert len((states[1] != process.mask).nonzero()[:, 1].unique()) > 0.9 * length  # the first group may be anywhere


@pytest.mark.parametrize(("prompt", "known"), [("", 0), ("ab_c", 3)])
@pytest.mark.parametrize("steps", [1, 3, 5, 20])
def test_planned_draws_groups_of_the_best_sizes(steps, prompt, known):
    """Also around a prompt, from the number of characters that it gives on; the costs may come from the score."""
    process = Absorbing(3)

    class Score:
        costs = torch.tensor([9.0, 8, 8, 5, 4, 4, 3, 1, 1, 0.5])

        def __call__(self, x, sigma):
            return uniform_text_score(process)(x, sigma)

    sizes = best_sizes(Score.costs, steps, known)
    for score, sampler in ((Score(), "planned"), (uniform_text_score(process), partial(planned, costs=Score.costs))):
        drawn = sample(
            score, process, prompt=prompt, length=10, count=7, steps=steps, sampler=sampler, alphabet=Alphabet("abc"),
            generator=seeded(31),
        )  # fmt: skip
        left = torch.tensor([10 - known - sum(sizes[:k]) for k in range(len(sizes) + 1)])
        assert ((drawn.states == process.mask).sum(-1) == left[:, None]).all() and drawn.calls == len(sizes)
    assert 1 <= sizes[0] <= sizes[-1] and (steps != 3 or sizes != [3, 3, 4])


@pytest.mark.parametrize("costs", [None, torch.ones(9)])
def test_planned_asks_for_the_costs_that_it_needs(costs):
    with pytest.raises(ValueError, match=r"use the sampler spread, or pass costs=.* for texts of 10 characters"):
        sample(uniform_text_score(Absorbing(3)), Absorbing(3), length=10, sampler=partial(planned, costs=costs))


@pytest.mark.parametrize("steps", [1, 3, 4, 7, 32, 40])
def test_corrected_takes_exactly_as_many_steps_as_asked(steps):
    """If there are enough characters: three quarters unmask, a quarter (rounded down) corrects, one call each."""
    process = Absorbing(3)
    score = Recorder(uniform_text_score(process))
    drawn = sample(score, process, length=40, count=2, steps=steps, sampler="corrected", generator=seeded(23))
    assert drawn.calls == len(score.x) == len(drawn.states) - 1 == steps
    masked = (drawn.states == process.mask).any(-1).any(-1)
    assert masked.tolist() == [True] * (steps - steps // 4) + [False] * (steps // 4 + 1)


@pytest.mark.parametrize(("prompt", "few"), [("", 2), ("c" * 30, 1)])
def test_corrected_redraws_a_few_free_characters_in_turn(prompt, few):
    """The last quarter of 40 steps: 2 of 40 characters, or 1 of 10 around a prompt, are masked each time.

    Each free character has its turn before any has a second one, and those that were drawn first come first.
    """
    process = Absorbing(3)
    score = Recorder(uniform_text_score(process))
    drawn = sample(
        score, process, prompt=prompt, length=40, count=6, steps=40, sampler="corrected", alphabet=Alphabet("abc"),
        generator=seeded(24),
    )  # fmt: skip
    free = 40 - len(prompt)
    first = min(free, 30)
    assert drawn.calls == len(score.x) == first + 10 and (drawn.times[first + 1 :] == 0).all()
    again = torch.stack(score.x[first:]) == process.mask  # (10, B, L)
    assert (again.sum(-1) == few).all() and (again.sum(0).amax(-1) == few * 10 // free + (few * 10 % free > 0)).all()
    waited = (drawn.states[: first + 1] == process.mask).sum(0).expand(10, 6, 40)[again].view(10, 6, few)
    assert (waited[1:].amin(-1) >= waited[:-1].amax(-1)).all() and (waited[0].amin(-1) == 1).all()
    for x, masks, after in zip(drawn.states[first:], again, drawn.states[first + 1 :]):
        assert (x != process.mask).all() and ((after == x) | masks).all()


def test_corrected_redraws_characters_of_the_same_age_far_apart():
    """Without gaps all characters are equally old. Four neighbors drawn together would break every word."""
    process = Absorbing(3)
    score, x = Recorder(uniform_text_score(process)), torch.zeros(8, 64, dtype=torch.int64)
    corrected(score, process, x, torch.ones(64, dtype=torch.bool), 64, seeded(25))
    masked = torch.stack(score.x) == process.mask  # (16, 8, 64)
    assert (masked.sum(0) == 1).all() and (masked.sum(-1) == 4).all()
    positions = masked.nonzero()[:, -1].view(16, 8, 4)
    assert positions.diff(dim=-1).min() >= 8


# The trapezoidal method, exactly: how the law of the texts changes, step by step


def few_words() -> tuple[torch.Tensor, torch.Tensor]:
    """The six words of Words that can be spelled with a, e, t and s: p(x) (4, 4, 4), and all 64 texts."""
    words, letters = Words(), "aets"
    p = torch.zeros(4, 4, 4, dtype=torch.float64)
    for word, probability in zip(words.words, words.p):
        if set(word) <= set(letters):
            p[tuple(letters.index(c) for c in word)] = probability
    assert (p > 0).sum() == 6
    return p / p.sum(), torch.cartesian_prod(*[torch.arange(4)] * 3)


def law_after(method: str, steps: int, last: float, cut: bool = True) -> tuple[torch.Tensor, torch.Tensor]:
    """The law (64,) of texts after so many even steps from t = 1 to `last`, and the law that it should be.

    Characters jump independently given the text, so one stage is a product of three matrices of jump probabilities.
    """
    p0, texts = few_words()
    process = Uniform(4)
    world, Q = Enumerated(p0, process), process.rate_matrix().fill_diagonal_(0)

    def rates(sigma: float) -> torch.Tensor:
        return Q.mT[texts] * world(texts, torch.full((64,), sigma, dtype=torch.float64)).exp()

    def moves(rate: torch.Tensor) -> torch.Tensor:  # (64, 3, 4): by the matrix exponential of "set it to y"
        Q = rate[:, :, None, :].expand(64, 3, 4, 4)
        Q = Q - torch.diag_embed(Q.sum(-1))
        return torch.linalg.matrix_exp(Q).gather(2, texts[:, :, None, None].expand(64, 3, 1, 4)).squeeze(2)

    def kernel(p: torch.Tensor) -> torch.Tensor:
        return (p[:, 0, :, None, None] * p[:, 1, None, :, None] * p[:, 2, None, None, :]).reshape(64, 64)

    sigmas = process.schedule.total(torch.linspace(1, last, steps + 1, dtype=torch.float64)).tolist()
    law = world.noised(torch.tensor(sigmas[:1], dtype=torch.float64)).flatten()
    for sigma, after in zip(sigmas, sigmas[1:]):
        d = sigma - after
        if method == "tweedie":
            log_score = world(texts, torch.full((64,), sigma, dtype=torch.float64))
            law = law @ kernel(process.tweedie(log_score, texts, torch.full((64,), d, dtype=torch.float64)))
            continue
        at_x, at_y = rates(sigma), rates(sigma - d / 2)
        first, new = kernel(moves(at_x * d / 2)), torch.zeros_like(law)
        for i in range(64):  # theta = 1/2: twice the rates of y, less once those of x
            rate = (2 * at_y - at_x[i]) * d / 2
            new += law[i] * first[i] @ kernel(moves(rate.clamp(min=0) if cut else rate))
        law = new
    return law, world.noised(torch.tensor(sigmas[-1:], dtype=torch.float64)).flatten()


def test_the_trapezoidal_method_is_of_second_order():
    """Total variation between the law and the truth, from 4 to 8 and to 16 steps. Tweedie: order 1. Trapezoidal: order
    2, if the extrapolated rates may be negative. A sampler must cut them off at 0, which costs half an order here."""

    def distances(*method) -> list[float]:
        return [float((law - truth).abs().sum() / 2) for law, truth in (law_after(*method) for method in method)]

    errors = {
        name: distances(*[(kind, steps, 0.3, cut) for steps in (4, 8, 16)])
        for name, kind, cut in (
            ("tweedie", "tweedie", True), ("negative", "trapezoidal", False), ("cut", "trapezoidal", True)
        )
    }  # fmt: skip
    order = {name: [math.log2(a / b) for a, b in zip(e, e[1:])] for name, e in errors.items()}
    assert order["tweedie"] == pytest.approx([1, 1], abs=0.1)
    assert order["negative"] == pytest.approx([2, 2], abs=0.1)
    assert min(order["cut"]) > 1.4
    assert all(a < b for a, b in zip(errors["cut"], errors["tweedie"]))


def test_a_rate_matrix_is_not_modified_here_either():
    """A process may return the same tensor every time."""

    class Cached(Uniform):
        @cache  # noqa: B019
        def rate_matrix(self):
            return Uniform(3).rate_matrix()

    process, score = Cached(3), uniform_text_score(Uniform(3))
    sample(lambda x, sigma: score(x, sigma), process, length=4, steps=3, sampler="trapezoidal")
    texts = torch.zeros(2, 4, dtype=torch.int64)
    score_entropy_loss(score, process, texts, reference=texts)
    assert (process.rate_matrix() == Uniform(3).rate_matrix()).all()


@pytest.mark.parametrize("process", [Absorbing(26), Uniform(26)], ids=str)
def test_trapezoidal_keeps_a_prompt_and_repeats_for_a_seed(words, process):
    options = {"prompt": "c_t", "count": 5, "steps": 6, "sampler": "trapezoidal", "alphabet": words.alphabet}
    states = [sample(words.score(process), process, generator=seeded(k), **options).states for k in (1, 1, 2)]
    assert (states[0] == states[1]).all() and (states[0] != states[2]).any()
    assert (states[0][..., 0] == 2).all() and (states[0][..., 2] == 19).all() and (states[0][-1] < 26).all()


def test_trapezoidal_draws_from_that_law():
    """Chi-square of 20,000 texts over 64 cells, after 3 of 4 steps. Size 1e-4; a law that is off by 2 % in total
    variation, as that of one step more or fewer is by far, adds 20,000 * 4 * 0.02^2 = 32 to a mean of 63 with a
    standard deviation of 11, so errors of 5 % are found for certain."""
    p0, _ = few_words()
    process = Uniform(4)
    drawn = sample(
        Enumerated(p0, process), process, length=3, count=20_000, steps=4, sampler="trapezoidal", generator=seeded(30)
    )
    law, _ = law_after("trapezoidal", 3, 0.25)
    assert p_value(count_texts(drawn.states[3], 4), law) > 1e-4
    assert drawn.calls == 7 and drawn.states.shape == (5, 20_000, 3)
    with pytest.raises(ValueError, match="theta must be between 0 and 1, not 1"):
        sample(Enumerated(p0, process), process, length=3, sampler=partial(trapezoidal, theta=1), generator=seeded(0))


# sample


@pytest.mark.parametrize(
    ("sampler", "process"), [*[(name, Absorbing) for name in SAMPLERS], ("euler", Uniform), ("tweedie", Uniform)]
)
def test_a_network_asked_only_about_what_is_drawn_writes_the_same(sampler, process):
    """Against the same network, disguised as any score function: bit for bit, and with calls counted by hand."""
    process = process(26)
    model = FastTransformer(process, FastConfig(1, 2, 16), Words().alphabet, length=12)
    torch.nn.init.normal_(model.head.weight)
    if sampler == "planned":
        sampler = partial(planned, costs=torch.linspace(3, 1, 12))
    drawn = [
        sample(score, process, length=12, count=20, steps=60, sampler=sampler, generator=seeded(21))
        for score in (model, lambda x, sigma: model(x, sigma))
    ]
    assert (drawn[0].states == drawn[1].states).all() and (drawn[0].times == drawn[1].times).all()
    assert drawn[0].alphabet == model.alphabet and drawn[1].alphabet is None
    if sampler == "tweedie" and process.mask is not None:
        changes = (drawn[0].states[1:] != drawn[0].states[:-1]).any(-1).sum()
        assert drawn[0].calls == math.ceil(changes / 20) <= 12 and drawn[1].calls == 60
    else:
        assert drawn[0].calls == drawn[1].calls


@pytest.mark.parametrize("prompt", ["", "c_t"])
@pytest.mark.parametrize("sampler", ["tweedie", "spread", "planned", "corrected"])
def test_they_ask_only_about_the_places_that_they_draw(sampler, prompt, monkeypatch):
    """Each question is about the characters that are masks before a step and drawn in it, and about no other text."""
    model = FastTransformer(Absorbing(26), FastConfig(1, 2, 16), Words().alphabet, length=12)
    model.costs = torch.linspace(3, 1, 12)
    asked = []

    def watched(model, x, where):
        assert where.any(-1).all() and (x[where] == 26).all()
        asked.append(int(where.sum()))
        return log_posterior_at(model, x, where)

    monkeypatch.setattr(tinysedd.fast.sampling, "log_posterior_at", watched)
    monkeypatch.setattr(model, "trunk", lambda *args: pytest.fail("asked about everything"))
    drawn = sample(model, model.process, prompt=prompt, count=20, steps=8, sampler=sampler, generator=seeded(34))
    free = 12 - prompt.replace("_", "").__len__()
    again = 2 * 20 if sampler == "corrected" else 0  # two corrector steps, one character each
    assert sum(asked) == 20 * free + again and len(asked) <= 8
    assert (drawn.states[-1] != 26).all()


@pytest.mark.parametrize("sampler", ["spread", "planned"])
def test_a_text_with_fewer_masks_than_others_keeps_what_is_given(sampler):
    process, x = Absorbing(3), torch.full((2, 10), 3)
    x[0, :7], free = 1, torch.ones(10, dtype=torch.bool)
    free[:3] = False
    x[1, :3] = 2
    drawn = SAMPLERS[sampler](Recorder(uniform_text_score(process)), process, x, free, 3, seeded(35), **(
        {"costs": torch.linspace(3, 1, 10)} if sampler == "planned" else {}
    ))  # fmt: skip
    assert (drawn.states[:, 0, :7] == 1).all() and (drawn.states[:, 1, :3] == 2).all()
    assert (drawn.states[-1] != 3).all()


def test_a_subclass_is_asked_in_its_own_way():
    """It may change what the network says, or its blocks."""

    class Certain(FastTransformer):
        def log_posterior(self, x, sigma=None):
            return torch.full((*x.shape, 26), -torch.inf).index_fill(-1, torch.tensor(3), 0.0)

    model = Certain(Absorbing(26), FastConfig(1, 2, 16), Words().alphabet, length=12)
    for sampler in ("tweedie", "spread", "entropy_bounded"):
        assert sample(model, model.process, sampler=sampler, steps=4).texts == ["d" * 12]
    assert not knows_places(model, model.process)


def test_samplers_go_by_name_or_as_functions(words):
    process = Absorbing(26)
    score = words.score(process)
    assert list(SAMPLERS) == [
        "euler",
        "tweedie",
        "first_hitting",
        "trapezoidal",
        "entropy_bounded",
        "spread",
        "planned",
        "corrected",
    ]
    for name, function in SAMPLERS.items():
        if name == "planned":
            function = name = partial(planned, costs=torch.ones(3))
        a, b = (
            sample(score, process, count=4, steps=4, sampler=sampler, generator=seeded(25))
            for sampler in (name, function)
        )
        assert (a.states == b.states).all()
    assert sampling.SAMPLERS.keys() <= SAMPLERS.keys()
    assert tinysedd.sample is sample
    with pytest.raises(ValueError, match=r"no sampler 'langevin'.*euler, tweedie, first_hitting, .*corrected"):
        sample(score, process, sampler="langevin")


@pytest.mark.parametrize(("process", "best"), [(Absorbing, "corrected"), (Uniform, "tweedie")])
def test_the_default_is_the_best_sampler_for_the_process(words, process, best):
    process = process(26)
    assert best_sampler(process) == best
    a, b = (
        sample(words.score(process), process, count=4, steps=8, sampler=sampler, generator=seeded(26))
        for sampler in (None, best)
    )
    assert (a.states == b.states).all()
