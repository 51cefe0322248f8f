"""The network: what it sees, how it starts, and that it is a score function. In 32 bits 1e-5 is a rounding error."""

import math

import pytest
import torch
import torch.nn.functional as F
from conftest import block_by_definition, noisy_texts, places_changed_by, randomized, seeded
from torch.testing import assert_close

from tinysedd.model import Block, Config, NoiseEmbedding, Transformer, attention, rotate
from tinysedd.objective import score_entropy_loss
from tinysedd.process import Absorbing, Uniform

N, L = 5, 8
VARIANTS = {
    "Absorbing": (Absorbing(N), {}),
    "Uniform": (Uniform(N), {}),
    "Absorbing, free scores": (Absorbing(N), {"free_scores": True}),
    "Uniform, free scores": (Uniform(N), {"free_scores": True}),
    "Absorbing, causal": (Absorbing(N), {"causal": True}),
    "Uniform, causal": (Uniform(N), {"causal": True}),
}
every_variant = pytest.mark.parametrize("variant", VARIANTS)
denoisers = pytest.mark.parametrize("variant", ["Absorbing", "Uniform"])
free_scores = pytest.mark.parametrize("variant", ["Absorbing, free scores", "Uniform, free scores"])
causal = pytest.mark.parametrize("variant", ["Absorbing, causal", "Uniform, causal"])


def untrained(variant: str) -> Transformer:
    torch.manual_seed(0)
    process, options = VARIANTS[variant]
    return Transformer(process, Config(layers=2, heads=2, width=16, **options), length=L)


def trained(variant: str) -> Transformer:
    """With random weights everywhere, which are as good as trained ones here."""
    return randomized(untrained(variant))


# A score function


@every_variant
def test_log_scores_are_minus_infinity_exactly_at_visible_characters_of_absorbing(variant):
    """(B, L, S); 0 at y = x_i, -inf where the noise never turns y into x_i, finite elsewhere."""
    network = trained(variant)
    process = network.process
    x, sigma = noisy_texts(process)
    log_score = network(x, sigma)
    assert log_score.shape == (3, L, process.num_states) and log_score.dtype == torch.float32
    assert (log_score.gather(-1, x[..., None]) == 0).all()
    elsewhere = torch.arange(process.num_states) != x[..., None]
    visible = torch.zeros_like(elsewhere) if process.mask is None else (x != process.mask)[..., None]
    assert (log_score.isneginf() == (visible & elsewhere)).all() and log_score[~(visible & elsewhere)].isfinite().all()
    if process.mask is not None:
        assert 0 < (x == process.mask).sum() < x.numel()


@denoisers
def test_a_denoiser_predicts_a_posterior_that_the_process_turns_into_a_score(variant):
    network = trained(variant)
    x, sigma = noisy_texts(network.process)
    log_posterior = network.log_posterior(x, sigma)
    assert log_posterior.shape == (3, L, N)
    assert_close(log_posterior.exp().sum(-1), torch.ones(3, L), rtol=0, atol=1e-6)
    assert_close(network(x, sigma), network.process.log_score(log_posterior, x, sigma), rtol=0, atol=0)


@free_scores
def test_free_scores_move_independently_of_each_other(variant):
    """All but the one at y = x_i, which stays 0; so they need not belong to any posterior."""
    network = trained(variant)
    x, sigma = noisy_texts(network.process)
    out = network(x, sigma)
    moved = (out - untrained(variant)(x, sigma)).nan_to_num(0)  # -inf minus -inf where there are no scores
    elsewhere = (torch.arange(network.process.num_states) != x[..., None]) & out.isfinite()
    assert (moved[elsewhere] != 0).all() and (moved[~elsewhere] == 0).all()
    assert (moved[elsewhere].std() > 0.1) and moved[elsewhere].unique().numel() > elsewhere.sum() / 2


@pytest.mark.parametrize("process", [Absorbing(3), Uniform(3)], ids=["Absorbing", "Uniform"])
def test_a_causal_network_is_a_distribution_over_texts(process):
    """exp(log_prob) sums to 1 over all 27 texts of three characters, and is the product of the conditionals."""
    torch.manual_seed(1)
    network = randomized(Transformer(process, Config(1, 1, 8, causal=True), length=3), std=0.5)
    texts = torch.cartesian_prod(*[torch.arange(3)] * 3)
    log_prob = network.log_prob(texts).detach()
    assert log_prob.shape == (27,)
    assert_close(log_prob.double().exp().sum().item(), 1.0, rtol=0, atol=1e-5)
    assert log_prob.std() > 0.1  # not because all are equally likely
    log_p = network.log_posterior(texts).detach()
    assert_close(log_prob, torch.stack([log_p[range(27), i, texts[:, i]] for i in range(3)]).sum(0), rtol=0, atol=1e-5)


# At the start of training


@pytest.mark.parametrize("variant", ["Absorbing", "Uniform", "Absorbing, causal", "Uniform, causal"])
def test_the_initial_posterior_is_uniform_whatever_the_text(variant):
    network = untrained(variant)
    x, sigma = noisy_texts(network.process)
    uniform = torch.full((3, L, N), -math.log(N))
    assert_close(network.log_posterior(x, sigma), uniform, rtol=0, atol=1e-6)
    assert_close(network(x, sigma), network.process.log_score(uniform, x, sigma), rtol=0, atol=1e-6)


@free_scores
@pytest.mark.parametrize("factor", [1, 1e-6])
def test_initial_free_scores_are_those_of_equally_likely_texts(variant, factor):
    """The score of p(x0) = 1 / N^L: 1 everywhere under Uniform, however little the noise."""
    network = untrained(variant)
    x, sigma = noisy_texts(network.process)
    expected = torch.zeros(3, L, N)
    if network.process.mask is not None:
        expected = network.process.log_score(torch.full((3, L, N), -math.log(N)), x, sigma * factor)
    assert_close(network(x, sigma * factor), expected, rtol=0, atol=1e-6)


@every_variant
def test_blocks_start_as_the_identity(variant):
    network = untrained(variant)
    h = torch.randn(3, L, 16)
    c = None if network.noise is None else network.noise(torch.tensor([0.1, 1.0, 5.0]))
    for block in network.blocks:
        assert (block(h, c) == h).all()
        assert all(layer.weight.abs().max() > 0 for layer in (block.qkv, block.up))  # or it would stay the identity


def test_initial_weights_have_the_standard_deviations_that_were_tuned():
    """Within 5 %. Of the 4,096 and more weights in each table, the standard deviation is known to 1.1 %."""
    torch.manual_seed(0)
    network = Transformer(Uniform(64))
    tables = {
        network.embed.weight: 0.5,
        network.place.weight: 0.25,
        network.blocks[0].qkv.weight: network.config.width**-0.5,
        network.blocks[-1].up.weight: network.config.width**-0.5,
        network.blocks[-1].modulate.weight: network.config.width**-0.5,
    }
    for weight, std in tables.items():
        assert weight.numel() >= 4096
        assert_close(weight.std().item(), std, rtol=0.05, atol=0)
        assert abs(weight.mean()) < 0.1 * std


@every_variant
def test_the_loss_has_a_gradient_in_every_parameter(variant):
    network, generator = trained(variant), seeded(2)
    x0 = torch.randint(N, (16, L), generator=generator)
    if network.config.causal:
        (-network.log_prob(x0).mean()).backward()
    else:
        score_entropy_loss(network, network.process, x0, generator).backward()
    for name, weight in network.named_parameters():
        assert weight.grad.isfinite().all() and weight.grad.abs().max() > 0, name


# What it sees


@every_variant
def test_the_texts_of_a_batch_do_not_see_each_other(variant):
    network = trained(variant)
    x, sigma = noisy_texts(network.process)
    alone = torch.cat([network(x[b : b + 1], sigma[b : b + 1]) for b in range(3)])
    assert_close(network(x, sigma), alone, rtol=1e-5, atol=1e-5)


@causal
def test_a_causal_network_sees_only_what_is_on_the_left(variant):
    """log p(x0_i | ...) changes with each character before i, and with no other."""
    network = trained(variant)
    x = torch.randint(N, (20, L), generator=seeded(3))
    for place in range(L):
        assert places_changed_by(network.log_posterior, x, place) == list(range(place + 1, L))


@pytest.mark.parametrize("variant", [name for name in VARIANTS if "causal" not in name])
def test_the_other_networks_see_both_sides(variant):
    network = trained(variant)
    x = torch.randint(N, (20, L), generator=seeded(3))
    sigma = torch.full((20,), 0.7)
    if network.process.mask is not None:
        x[:, 3] = network.process.mask  # under Absorbing only masks have scores

    def scores(x):
        return network(x, sigma).clamp(min=-1e9)

    for place in (0, 2, 4, L - 1):
        assert 3 in places_changed_by(scores, x, place)


@pytest.mark.parametrize("is_causal", [False, True])
def test_without_blocks_an_output_depends_on_one_character(is_causal):
    """On its own, or in a causal network on the one before."""
    network = randomized(Transformer(Absorbing(N), Config(layers=0, width=16, causal=is_causal), length=L))
    x = torch.randint(N, (20, L), generator=seeded(3))
    for place in range(L):
        expected = place + is_causal
        assert places_changed_by(network.log_posterior, x, place) == [expected] * (expected < L)


@every_variant
def test_a_network_knows_the_position_of_a_character(variant):
    """A text that repeats one character, even the mask, gives a different output at each position."""
    network = trained(variant)
    x = torch.full((1, L), network.process.num_states - 1)
    out = network(x, torch.ones(1))[0]
    assert all((out[i] - out[j]).abs().max() > 1e-4 for i in range(L) for j in range(i))


def test_only_an_absorbing_denoiser_ignores_sigma():
    x, _ = noisy_texts(Absorbing(N))
    visible, _ = noisy_texts(Uniform(N))
    little, much = torch.full((3,), 0.2), torch.full((3,), 2.0)
    absorbing = trained("Absorbing")
    assert (absorbing.log_posterior(x, little) == absorbing.log_posterior(x, much)).all()
    assert (absorbing.log_posterior(x) == absorbing.log_posterior(x, much)).all()
    uniform = trained("Uniform")
    assert (uniform.log_posterior(visible, little) - uniform.log_posterior(visible, much)).abs().max() > 1e-2
    free = trained("Absorbing, free scores")  # apart from the factor 1 / expm1(sigma), which belongs to the process
    difference = free(x, little) - free(x, much) + math.log(math.expm1(0.2) / math.expm1(2.0))
    assert difference[x == N][:, :N].abs().max() > 1e-2
    assert [trained(variant).needs_sigma for variant in VARIANTS] == [False, True, True, True, False, False]


def test_noise_embeddings_tell_noise_levels_apart():
    """sigma from 1e-3 to 7, the range of LogLinear: neighboring levels differ, and the extremes give finite numbers."""
    torch.manual_seed(0)
    embedding = NoiseEmbedding(16)
    vectors = embedding(torch.logspace(-3, 0.85, 30))
    assert ((vectors[1:] - vectors[:-1]).abs().amax(-1) > 1e-3).all()
    assert embedding(torch.tensor([0.0, 1e-12, 30.0, 1e4])).isfinite().all()


# Its parts


@pytest.mark.parametrize("knows_sigma", [False, True])
@pytest.mark.parametrize("is_causal", [False, True])
def test_a_block_matches_its_definition(knows_sigma, is_causal):
    """h + attention(norm(h) (1 + scale) + shift), then the same with the MLP, written out per position and head."""
    block = randomized(Block(Config(1, 2, 16, causal=is_causal), knows_sigma)).double()
    h = torch.randn(3, L, 16, dtype=torch.float64)
    c = torch.randn(3, 16, dtype=torch.float64) if knows_sigma else None
    # The angles of the rotations are 32-bit: 1e-6 at position 8.
    assert_close(block(h, c), block_by_definition(block, h, c), rtol=1e-5, atol=1e-5)


@every_variant
def test_a_network_is_its_embeddings_its_blocks_and_its_head(variant):
    network = trained(variant)
    x, sigma = noisy_texts(network.process)
    seen = torch.cat([torch.full((3, 1), N), x[:, :-1]], 1) if network.config.causal else x
    h = network.embed.weight[seen] + network.place.weight
    c = network.noise(sigma) if network.needs_sigma else None
    for block in network.blocks:
        h = block_by_definition(block, h, c)
    out = h / (h.square().mean(-1, keepdim=True) + 1e-7).sqrt() * network.norm.weight @ network.head.weight.T
    if network.config.free_scores:
        start = untrained(variant)(x, sigma)
        assert_close(network(x, sigma), start + out.scatter(-1, x[..., None], 0.0), rtol=1e-3, atol=1e-3)
    else:
        assert_close(network.log_posterior(x, sigma), out.log_softmax(-1), rtol=1e-3, atol=1e-3)


def test_attention_matches_its_definition():
    """softmax(q k / sqrt(size)) v, written as sums; if causal, over what is not later. Both branches of the code."""
    q, k, v = torch.randn(3, 2, 2, 6, 4, dtype=torch.float64, generator=seeded(4))
    for is_causal in (False, True):
        out = attention(q, k, v, is_causal)
        for i in range(6):
            seen = i + 1 if is_causal else 6
            weight = torch.stack([(q[..., i, :] * k[..., j, :]).sum(-1) / math.sqrt(4) for j in range(seen)], -1).exp()
            expected = (weight[..., None] * v[..., :seen, :]).sum(-2) / weight.sum(-1, keepdim=True)
            assert_close(out[..., i, :], expected, rtol=1e-12, atol=1e-13)
        assert_close(out, F.scaled_dot_product_attention(q, k, v, is_causal=is_causal), rtol=1e-12, atol=1e-13)


def test_a_rotation_turns_each_feature_pair_by_an_angle_proportional_to_its_position():
    """Feature pair i, as a complex number, is multiplied by exp(place * 10000^(-2i / size) * sqrt(-1))."""
    v, size = torch.randn(2, L, 3, 1, 6, dtype=torch.float64), 6
    turned = rotate(v)
    for place in range(L):
        for i in range(size // 2):
            z = torch.complex(v[:, place, ..., i], v[:, place, ..., i + size // 2])
            z = z * complex(math.cos(place * 10_000 ** (-2 * i / size)), math.sin(place * 10_000 ** (-2 * i / size)))
            assert_close(turned[:, place, ..., i], z.real, rtol=0, atol=1e-5)
            assert_close(turned[:, place, ..., i + size // 2], z.imag, rtol=0, atol=1e-5)


def test_rotated_dot_products_depend_on_the_distance_of_two_characters_only():
    q, k = rotate(torch.randn(2, 8, dtype=torch.float64).view(2, 1, 1, 1, 8).expand(2, 3 * L, 1, 1, 8)).flatten(2)
    dots = q @ k.T  # (3 L, 3 L)
    for distance in range(-L, L + 1):
        # The angles are 32-bit: at position 24 they are exact to 1e-6.
        assert dots.diagonal(distance).std() < 1e-5
    assert torch.stack([dots.diagonal(distance).mean() for distance in range(-L, L + 1)]).diff().abs().min() > 1e-3


# Its size


def test_the_default_has_as_many_parameters_as_its_docstring_says():
    assert "0.8 M parameters" in Config.__doc__
    for config in (Config(), Config(causal=True)):
        count = sum(weight.numel() for weight in Transformer(Absorbing(31), config).parameters())
        assert round(count / 1e6, 1) == 0.8


@pytest.mark.parametrize(("width", "heads"), [(130, 4), (12, 4), (15, 1)])
def test_a_width_that_is_not_a_multiple_of_twice_the_heads_is_rejected(width, heads):
    with pytest.raises(ValueError, match=f"width {width} .* {heads}"):
        Config(width=width, heads=heads)


@every_variant
def test_shorter_texts_are_accepted(variant):
    network = trained(variant)
    x, sigma = noisy_texts(network.process, length=L - 3)
    assert network(x, sigma).shape == (3, L - 3, network.process.num_states)


def test_a_text_that_is_too_long_is_rejected():
    with pytest.raises(ValueError, match=f"{L + 1} characters; this network takes at most {L}"):
        trained("Absorbing")(torch.zeros(1, L + 1, dtype=torch.int64), torch.ones(1))
