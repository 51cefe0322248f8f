"""The network: what it sees, what it starts as, and that it is a score function. It is 32-bit: 1e-5 is rounding."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from tinysedd import model as room
from tinysedd.model import Config, Transformer, attention
from tinysedd.objective import autoregressive_loss, score_entropy_loss
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


def asleep(variant: str) -> Transformer:
    """As constructed."""
    torch.manual_seed(0)
    process, shape = VARIANTS[variant]
    return Transformer(process, Config(layers=2, heads=2, width=16, **shape), length=L)


def awake(variant: str) -> Transformer:
    """With weights at random everywhere, as if trained: nothing is 0 or 1 by luck of the initialization."""
    network = asleep(variant)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.4)
    return network


def noisy_texts(process, B: int = 3, length: int = L):
    """x (B, L) with characters and, if there is one, masks, and sigma (B,)."""
    generator = torch.Generator().manual_seed(1)
    sigma = torch.linspace(0.5, 1.5, B)
    return process.perturb(torch.randint(N, (B, length), generator=generator), sigma, generator), sigma


def changed_by(f, x, place) -> torch.Tensor:
    """Which places (L,) of the output change for some text when the character at a place is changed."""
    other = x.clone()
    other[:, place] = (x[:, place] + 1) % N
    return ((f(x) - f(other)).abs() > 1e-5).any(-1).any(0)


# A score function


@every_variant
def test_log_scores_have_the_shape_and_the_gaps_of_the_process(variant):
    """(B, L, S); 0 at y = x_i, -inf just where the reverse process cannot jump, numbers elsewhere."""
    network = awake(variant)
    process = network.process
    x, sigma = noisy_texts(process)
    log_score = network(x, sigma)
    assert log_score.shape == (3, L, process.num_states) and log_score.dtype == torch.float32
    assert (log_score.gather(-1, x[..., None]) == 0).all()
    elsewhere = torch.arange(process.num_states) != x[..., None]
    shows = torch.zeros_like(elsewhere) if process.mask is None else (x != process.mask)[..., None]
    assert (log_score.isneginf() == (shows & elsewhere)).all() and log_score[~(shows & elsewhere)].isfinite().all()
    if process.mask is not None:
        assert 0 < (x == process.mask).sum() < x.numel()


@denoisers
def test_a_denoiser_is_a_posterior_that_the_process_turns_into_a_score(variant):
    network = awake(variant)
    x, sigma = noisy_texts(network.process)
    log_posterior = network.log_posterior(x, sigma)
    assert log_posterior.shape == (3, L, N)
    assert_close(log_posterior.exp().sum(-1), torch.ones(3, L), rtol=0, atol=1e-6)
    assert_close(network(x, sigma), network.process.log_score(log_posterior, x, sigma), rtol=0, atol=0)


@pytest.mark.parametrize("variant", ["Absorbing", "Uniform", "Absorbing, causal", "Uniform, causal"])
def test_a_posterior_starts_even_whatever_the_text(variant):
    network = asleep(variant)
    x, sigma = noisy_texts(network.process)
    even = torch.full((3, L, N), -math.log(N))
    assert_close(network.log_posterior(x, sigma), even, rtol=0, atol=1e-6)
    assert_close(network(x, sigma), network.process.log_score(even, x, sigma), rtol=0, atol=1e-6)


@free_scores
@pytest.mark.parametrize("less", [1, 1e-6])
def test_free_scores_start_as_if_all_texts_were_alike(variant, less):
    """The score of p(x0) = 1 / N^L: 1 everywhere under Uniform, however little the noise."""
    network = asleep(variant)
    x, sigma = noisy_texts(network.process)
    expected = torch.zeros(3, L, N)
    if network.process.mask is not None:
        expected = network.process.log_score(torch.full((3, L, N), -math.log(N)), x, sigma * less)
    assert_close(network(x, sigma * less), expected, rtol=0, atol=1e-6)


@every_variant
def test_blocks_start_as_the_identity(variant):
    network = asleep(variant)
    h, rotation = torch.randn(3, L, 16), room._rotation(L, 8, torch.device("cpu"))
    c = None if network.noise is None else network.noise(torch.tensor([0.1, 1.0, 5.0]))
    for block in network.blocks:
        assert (block(h, rotation, c) == h).all()
        assert all(layer.weight.abs().max() > 0 for layer in (block.qkv, block.up))  # or it would stay so for ever


@every_variant
def test_every_weight_is_put_to_use(variant):
    """The loss has a slope in each parameter."""
    network, generator = awake(variant), torch.Generator().manual_seed(2)
    x0 = torch.randint(N, (16, L), generator=generator)
    if network.config.causal:
        autoregressive_loss(network, x0).backward()
    else:
        score_entropy_loss(network, network.process, x0, generator).backward()
    for name, weight in network.named_parameters():
        assert weight.grad.isfinite().all() and weight.grad.abs().max() > 0, name


@every_variant
def test_texts_of_a_batch_do_not_see_each_other(variant):
    network = awake(variant)
    x, sigma = noisy_texts(network.process)
    alone = torch.cat([network(x[b : b + 1], sigma[b : b + 1]) for b in range(3)])
    assert_close(network(x, sigma), alone, rtol=1e-5, atol=1e-5)


# What it sees


@causal
def test_a_causal_network_sees_the_left_alone(variant):
    """log p(x0_i | ...) changes with each character before i and with none from i on."""
    network = awake(variant)
    x = torch.randint(N, (20, L), generator=torch.Generator().manual_seed(3))
    for place in range(L):
        assert changed_by(network.log_posterior, x, place).tolist() == [i > place for i in range(L)]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if "causal" not in name])
def test_the_others_see_both_sides(variant):
    network = awake(variant)
    x = torch.randint(N, (20, L), generator=torch.Generator().manual_seed(3))
    sigma = torch.full((20,), 0.7)
    if network.process.mask is not None:
        x[:, 3] = network.process.mask  # what shows is final: under Absorbing only masks have scores

    def scores(x):
        return network(x, sigma).clamp(min=-1e9)

    for place in (0, 2, 4, L - 1):
        assert changed_by(scores, x, place)[3]


@every_variant
def test_a_network_knows_where_a_character_stands(variant):
    """A text of one character that repeats gives another output at each place, and so do masks alone."""
    network = awake(variant)
    x = torch.full((1, L), network.process.num_states - 1)
    out = network(x, torch.ones(1))[0]
    assert all((out[i] - out[j]).abs().max() > 1e-4 for i in range(L) for j in range(i))


@pytest.mark.parametrize("near", [0, 1, 3])
@pytest.mark.parametrize("pairs", [0, 7])
@pytest.mark.parametrize("is_causal", [False, True])
def test_a_character_is_embedded_with_its_neighbors_and_with_no_others(near, pairs, is_causal):
    """Without blocks the output at i depends on the window around i alone; a causal one ends before i."""
    torch.manual_seed(0)
    shape = Config(layers=0, width=16, causal=is_causal, near=near, pairs=pairs)
    network = Transformer(Absorbing(N), shape, length=L)
    torch.nn.init.normal_(network.head.weight)
    x = torch.full((1, L), 2)
    out = network.log_posterior(x)[0]
    for j in range(L):
        other = x.clone()
        other[0, j] = 3
        moved = (network.log_posterior(other)[0] != out).any(-1).nonzero().flatten().tolist()
        reach = range(j + 1, j + 2 * near + 2) if is_causal else range(j - near, j + near + 1)
        assert moved == [i for i in reach if 0 <= i < L]
    assert near == 0 or (out[0] != out[L // 2]).any()  # beyond the end stands nothing


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("near", [1, 2])
def test_a_pair_of_neighbors_says_more_than_the_two_by_themselves(near, is_causal):
    """Exchange the characters at j and k: where single tables alone are summed, what they add is a sum of two terms,
    f(a, b) + f(c, d) = f(a, d) + f(c, b). With a table of pairs that ends just where j and k are a pair."""
    torch.manual_seed(0)
    seen = range(-2 * near, 0) if is_causal else [k for k in range(-near, near + 1) if k]  # from the place that looks
    together = {pair for pair in zip(seen, seen[1:])}

    def interacts(pairs: int, j: int, k: int) -> bool:
        network = Transformer(Absorbing(N), Config(0, 1, 16, causal=is_causal, near=near, pairs=pairs), length=2 * L)
        x = torch.zeros(4, 2 * L, dtype=torch.int64)
        x[:, L + j], x[:, L + k] = torch.tensor([1, 3, 1, 3]), torch.tensor([2, 4, 4, 2])
        h = network.embed(network._rows(x).flatten(0, 1)).view(4, 2 * L, -1)[:, L]
        return bool((h[0] + h[1] - h[2] - h[3]).abs().max() > 1e-4)

    for j in seen:
        for k in [k for k in seen if k > j]:
            assert not interacts(0, j, k) and interacts(100, j, k) == ((j, k) in together)


def test_pairs_share_rows_where_there_are_too_few_and_none_is_out_of_reach():
    """(N + 1)^2 pairs on 7 rows a table: every row is used by some text, and no other."""
    network = Transformer(Absorbing(N), Config(0, 1, 16, near=2, pairs=7), length=L)
    rows = network._rows(torch.randint(N + 1, (500, L), generator=torch.Generator().manual_seed(6)))
    assert rows.unique().tolist() == list(range(network.embed.num_embeddings))
    assert rows.shape == (500, L, 5 + 3)


@pytest.mark.parametrize("is_causal", [False, True])
def test_a_shift_takes_a_quarter_from_each_side_that_may_be_seen(is_causal):
    h = torch.randn(2, L, 16)
    out = room._shift(h, is_causal)
    for i in range(L):
        left = h[:, i - 1, :4] if i else torch.zeros(2, 4)
        right = h[:, i, 4:8] if is_causal else h[:, i + 1, 4:8] if i + 1 < L else torch.zeros(2, 4)
        assert (out[:, i] == torch.cat([left, right, h[:, i, 8:]], -1)).all()


def test_perceptrons_see_their_neighbors_where_there_is_a_shift():
    """With attention silenced a block moves what is at i to i - 1, i, i + 1; without the shift, nowhere else."""
    for shift, reach in [(False, [3]), (True, [2, 3, 4])]:
        torch.manual_seed(0)
        block = room.Block(Config(1, 2, 16, shift=shift), None)
        torch.nn.init.normal_(block.down.weight)
        torch.nn.init.zeros_(block.out.weight)
        h, rotation = torch.randn(1, L, 16), room._rotation(L, 8, torch.device("cpu"))
        other = h.clone()
        other[:, 3] += 1
        moved = (block(h, rotation, None) != block(other, rotation, None)).any(-1)[0]
        assert moved.nonzero().flatten().tolist() == reach


def test_rotations_tell_how_far_apart_characters_stand_and_not_where():
    """Attention is the same 7 places further on, and another one where every distance is doubled."""
    block = awake("Absorbing").blocks[0].double()
    h = torch.randn(2, L, 16, dtype=torch.float64)
    cos, sin = room._rotation(3 * L, 8, torch.device("cpu"))
    here = block.attend(h, (cos[:L], sin[:L]))
    # The angles are 32-bit: at place 24 they are exact to 1e-6.
    assert_close(block.attend(h, (cos[7 : 7 + L], sin[7 : 7 + L])), here, rtol=0, atol=1e-5)
    assert (block.attend(h, (cos[: 2 * L : 2], sin[: 2 * L : 2])) - here).abs().max() > 1e-2


def test_a_rotation_keeps_lengths_and_turns_by_the_angle_of_the_place():
    """Pair i of features, as a complex number, times exp(place * 10000^(-2i / size) * sqrt(-1))."""
    v, size = torch.randn(2, L, 3, 1, 6, dtype=torch.float64), 6
    turned = room._rotate(v, room._rotation(L, size, torch.device("cpu")))
    for place in range(L):
        for i in range(size // 2):
            z = torch.complex(v[:, place, ..., i], v[:, place, ..., i + size // 2])
            z = z * complex(math.cos(place * 10_000 ** (-2 * i / size)), math.sin(place * 10_000 ** (-2 * i / size)))
            assert_close(turned[:, place, ..., i], z.real, rtol=0, atol=1e-5)
            assert_close(turned[:, place, ..., i + size // 2], z.imag, rtol=0, atol=1e-5)


def test_an_absorbing_denoiser_has_no_use_for_sigma_and_the_others_have():
    x, _ = noisy_texts(Absorbing(N))
    shown, _ = noisy_texts(Uniform(N))
    little, much = torch.full((3,), 0.2), torch.full((3,), 2.0)
    absorbing = awake("Absorbing")
    assert (absorbing.log_posterior(x, little) == absorbing.log_posterior(x, much)).all()
    assert (absorbing.log_posterior(x) == absorbing.log_posterior(x, much)).all()
    uniform = awake("Uniform")
    assert (uniform.log_posterior(shown, little) - uniform.log_posterior(shown, much)).abs().max() > 1e-2
    free = awake("Absorbing, free scores")  # apart from the factor 1 / expm1(sigma), which belongs to the process
    difference = free(x, little) - free(x, much) + math.log(math.expm1(0.2) / math.expm1(2.0))
    assert difference[x == N][:, :N].abs().max() > 1e-2


@free_scores
def test_free_scores_need_not_belong_to_any_posterior(variant):
    """Each one moves by itself, but the one at y = x_i, which is 0; so the rates may add up to anything."""
    network = awake(variant)
    x, sigma = noisy_texts(network.process)
    out = network(x, sigma)
    moved = (out - asleep(variant)(x, sigma)).nan_to_num(0)  # -inf less -inf where there are no scores
    elsewhere = (torch.arange(network.process.num_states) != x[..., None]) & out.isfinite()
    assert (moved[elsewhere] != 0).all() and (moved[~elsewhere] == 0).all()


def test_noise_levels_differ_from_the_least_to_the_most():
    """sigma from 1e-3 to 7, the range of LogLinear: neighbors in it are told apart; the extremes give numbers."""
    level = room.NoiseLevel(16)
    vectors = level(torch.logspace(-3, 0.85, 30))
    assert ((vectors[1:] - vectors[:-1]).abs().amax(-1) > 1e-3).all()
    assert level(torch.tensor([0.0, 1e-12, 30.0, 1e4])).isfinite().all()


# Attention


@every_variant
def test_each_block_attends_just_once(variant, monkeypatch):
    calls = []

    def counted(q, k, v, causal):
        calls.append((q.shape, causal))
        return attention(q, k, v, causal)

    monkeypatch.setattr(room, "attention", counted)
    network = awake(variant)
    network(*noisy_texts(network.process))
    assert calls == [((3, 2, L, 8), network.config.causal)] * 2


def test_attention_is_its_definition():
    """softmax(q k / sqrt(size)) v, written as sums; with causal, over what is not later. Both branches of the code."""
    generator = torch.Generator().manual_seed(4)
    q, k, v = torch.randn(3, 2, 2, 6, 4, dtype=torch.float64, generator=generator)
    for is_causal in (False, True):
        out = attention(q, k, v, is_causal)
        for i in range(6):
            seen = i + 1 if is_causal else 6
            weight = torch.stack([(q[..., i, :] * k[..., j, :]).sum(-1) / math.sqrt(4) for j in range(seen)], -1).exp()
            expected = (weight[..., None] * v[..., :seen, :]).sum(-2) / weight.sum(-1, keepdim=True)
            assert_close(out[..., i, :], expected, rtol=1e-12, atol=1e-13)
        assert_close(out, F.scaled_dot_product_attention(q, k, v, is_causal=is_causal), rtol=1e-12, atol=1e-13)


# Its size


def test_it_has_as_many_parameters_as_is_said():
    assert "0.8 M parameters" in Config.__doc__ and "0.2 M cost products" in Config.__doc__
    for shape in (Config(), Config(causal=True)):
        network = Transformer(Absorbing(31), shape)
        products = sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, torch.nn.Linear))
        count = sum(weight.numel() for weight in network.parameters())
        assert (round(count / 1e6, 1), round(products / 1e6, 1)) == (0.8, 0.2)


@pytest.mark.parametrize(("width", "heads"), [(130, 4), (12, 4), (15, 1)])
def test_a_width_that_heads_and_pairs_do_not_divide_is_refused(width, heads):
    with pytest.raises(ValueError, match=f"width {width} .* {heads}"):
        Config(width=width, heads=heads)


@every_variant
def test_shorter_texts_are_welcome(variant):
    network = awake(variant)
    x, sigma = noisy_texts(network.process, length=L - 3)
    assert network(x, sigma).shape == (3, L - 3, network.process.num_states)


@pytest.mark.parametrize("wrong", [{"near": -1}, {"pairs": -1}])
def test_neighbors_and_rows_are_counted_from_0(wrong):
    with pytest.raises(ValueError, match="0 or more, not .*-1"):
        Config(**wrong)


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match=f"{L + 1} characters; this network takes at most {L}"):
        awake("Absorbing")(torch.zeros(1, L + 1, dtype=torch.int64), torch.ones(1))
