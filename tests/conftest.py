"""Ground truth for the tests: definitions written out and enumerated in float64. No formula here comes from tinysedd.

Test files import the helpers (`from conftest import Enumerated`) or ask for the fixtures at the end.
"""

import os

import pytest

# One thread, also for the processes that a test starts: tensors are so small here that a second thread costs more than
# it brings, several times more when the cores are busy.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from tinysedd.corpus import Alphabet
from tinysedd.process import Absorbing, Uniform


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Enumerated:
    """A world so small that its table p0 (N, ..., N), one axis per position, lists all of it; under a process.

    It is a score function: called with (x, sigma) it returns the log of ratios of entries of p_sigma, and -inf where
    the noise never turns y into x_i. Q is written out here for Absorbing and Uniform; any other process is defined by
    its rate matrix.
    """

    def __init__(self, p0: torch.Tensor, process):
        N, L, S = p0.shape[0], p0.ndim, process.num_states
        self.p0 = torch.zeros((S,) * L, dtype=torch.float64)
        self.p0[(slice(N),) * L] = p0
        self.texts = torch.cartesian_prod(*[torch.arange(S)] * L).view(-1, L)  # (S^L, L), in the order of p0.flatten()
        self.length, self.num_states = L, S
        if isinstance(process, Absorbing | Uniform):
            self.Q = torch.zeros(S, S, dtype=torch.float64)
            for a in range(N):
                for b in range(S):
                    if b != a:
                        self.Q[a, b] = float(b == N) if isinstance(process, Absorbing) else 1 / N
                self.Q[a, a] = -self.Q[a].sum()
        else:
            self.Q = process.rate_matrix().clone()
        self.reachable = self.transition(1.0) > 0  # (S, S): from, to

    def transition(self, sigma) -> torch.Tensor:
        """(*, S, S) for sigma of any shape (*)."""
        A = torch.as_tensor(sigma, dtype=torch.float64)[..., None, None] * self.Q
        return torch.linalg.matrix_exp(torch.stack([A, A]))[0]  # torch 2.13 gives one matrix alone only 1e-10 accuracy

    def noised(self, sigma: torch.Tensor) -> torch.Tensor:
        """The tables of p_sigma (K, S, ..., S) for sigma (K,): each axis is multiplied by the transition matrix."""
        P, p = self.transition(sigma), self.p0.expand(len(sigma), *self.p0.shape)
        for axis in range(1, self.length + 1):
            p = p.movedim(axis, -1)
            p = (p.reshape(len(sigma), -1, self.num_states) @ P).view(p.shape).movedim(-1, axis)
        return p

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        sigma, table = sigma.unique(return_inverse=True)
        p, rows = self.noised(sigma.double()), torch.arange(self.length)
        neighbors = x[:, None, None].repeat(1, self.length, self.num_states, 1)  # (B, L, S, L)
        neighbors[:, rows, :, rows] = torch.arange(self.num_states)
        ratio = p[table[:, None, None], *neighbors.unbind(-1)] / p[table, *x.unbind(-1)][:, None, None]
        return torch.where(self.reachable.T[x], ratio, 0).log()


def p_value(counts: torch.Tensor, p: torch.Tensor) -> float:
    """Pearson's chi-square test of counts against probabilities p. 0 if something impossible was drawn.

    Cells with fewer than 5 expected counts are pooled, as the chi-square approximation requires.
    """
    counts, p = counts.flatten().double(), p.flatten().double()
    if counts[p == 0].sum() > 0:
        return 0.0
    expected = p / p.sum() * counts.sum()
    rare = expected < 5
    counts = torch.cat([counts[~rare], counts[rare].sum()[None]])
    expected = torch.cat([expected[~rare], expected[rare].sum()[None]])
    counts, expected = counts[expected > 0], expected[expected > 0]
    if len(counts) == 1:
        return 1.0  # a single cell always gets all the counts
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(torch.special.gammaincc(torch.tensor((len(counts) - 1) / 2, dtype=torch.float64), statistic / 2))


def count_texts(states: torch.Tensor, base: int) -> torch.Tensor:
    """How often each text occurs among (B, L) states: (base^L,), in the order of a flattened table."""
    place = base ** torch.arange(states.shape[1]).flip(0)
    return (states * place).sum(-1).bincount(minlength=base ** states.shape[1])


def table_of(world) -> torch.Tensor:
    """p(x) of every text of a small world, (N, ..., N)."""
    N, L = len(world.alphabet), world.length
    return world.log_prob(torch.cartesian_prod(*[torch.arange(N)] * L)).exp().view((N,) * L)


class Recorder:
    """A score function that records its inputs."""

    def __init__(self, score):
        self.score, self.x, self.sigma = score, [], []

    def __call__(self, x, sigma):
        self.x.append(x)
        self.sigma.append(sigma)
        return self.score(x, sigma)


def posterior_score(process, posterior: torch.Tensor):
    """The score function of a posterior (N,) or (L, N) that does not depend on the text."""
    log_p = posterior.log()
    return lambda x, sigma: process.log_score(log_p.expand(*x.shape, process.num_tokens), x, sigma)


def uniform_text_score(process):
    """The exact score if all texts are equally likely: ratio 1, and 1 / (N (e^sigma - 1)) of a character to a mask."""

    def score(x, sigma):
        log_score = torch.zeros(*x.shape, process.num_states, dtype=torch.float64)
        if process.mask is not None:
            log_score[..., : process.mask] = -torch.log(process.num_tokens * torch.expm1(sigma.double()))[:, None, None]
            elsewhere = torch.arange(process.num_states) != x[..., None]
            log_score[(x != process.mask)[..., None] & elsewhere] = -torch.inf
        return log_score

    return score


# Networks


def randomized(network, std: float = 0.4):
    """The network with all weights random, as if it were trained: none has its initial 0 or 1."""
    torch.manual_seed(1)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=std)
    return network


def noisy_texts(process, B: int = 3, length: int = 8):
    """x (B, L), with characters and, if the process has one, masks; and sigma (B,)."""
    generator = seeded(1)
    sigma = torch.linspace(0.5, 1.5, B)
    return process.perturb(torch.randint(process.num_tokens, (B, length), generator=generator), sigma, generator), sigma


def places_changed_by(f, x, place: int) -> list[int]:
    """At which positions the output f(x) (B, L, *) changes, for some text, when the character at a place changes."""
    other = x.clone()
    other[:, place] = (x[:, place] + 1) % 5
    return ((f(x) - f(other)).abs() > 1e-5).any(-1).any(0).nonzero().flatten().tolist()


def block_by_definition(block, h, c=None, mlp_input=lambda h: h):
    """A transformer block (B, L, width) -> (B, L, width), one position and one head at a time.

    c (B, width) is the embedded noise, or None; mlp_input is applied to what the MLP receives.
    """
    B, L, width = h.shape
    size = width // block.heads

    def norm(h, weight):
        return h / (h.square().mean(-1, keepdim=True) + torch.finfo(h.dtype).eps).sqrt() * weight

    def rotated(v, place):  # a vector of `size` features as size / 2 complex numbers
        z = torch.complex(v[..., : size // 2], v[..., size // 2 :])
        angle = place * 10_000.0 ** (-torch.arange(0, size, 2) / size)
        z = z * torch.polar(torch.ones_like(angle), angle).to(z.dtype)
        return torch.cat([z.real, z.imag], -1)

    scale1 = shift1 = scale2 = shift2 = torch.zeros(B, width).to(h)
    if c is not None:
        scale1, shift1, scale2, shift2 = (c @ block.modulate.weight.T).split(width, dim=-1)
    a = norm(h, block.norm1.weight) * (1 + scale1[:, None]) + shift1[:, None]
    q, k, v = (a @ block.qkv.weight.T).split(width, dim=-1)
    heads = []
    for head in range(block.heads):
        part = slice(head * size, (head + 1) * size)
        rows = []
        for i in range(L):
            seen = range(i + 1) if block.causal else range(L)
            dots = [(rotated(q[:, i, part], i) * rotated(k[:, j, part], j)).sum(-1) for j in seen]
            weight = (torch.stack(dots, -1) / size**0.5).softmax(-1)  # (B, seen)
            rows.append(sum(weight[:, j, None] * v[:, j, part] for j in seen))
        heads.append(torch.stack(rows, 1))
    h = h + torch.cat(heads, -1) @ block.out.weight.T
    up = mlp_input(norm(h, block.norm2.weight) * (1 + scale2[:, None]) + shift2[:, None]) @ block.up.weight.T
    return h + up.clamp(min=0).square() @ block.down.weight.T


# Samplers


def triples() -> torch.Tensor:
    """p(x) (3, 3, 3) of three correlated characters. The third repeats the first or the second: 12 texts have p = 0."""
    p = torch.tensor([[5, 1, 2], [1, 9, 1], [0.5, 3, 7]], dtype=torch.float64)
    table = torch.zeros(3, 3, 3, dtype=torch.float64)
    for a in range(3):
        for b in range(3):
            table[a, b, a] += 0.3 * p[a, b]
            table[a, b, b] += 0.7 * p[a, b]
    return table / table.sum()


def check_one_by_one(sample, sampler, corrections: int = 0, singly: bool = True):
    """Drawn one character at a time, and after each correction, texts follow p: chi-square of 20,000 texts, size 1e-4.

    Power: p off by 0.02 in total variation adds at least 20,000 * (2 * 0.02)^2 = 32 over 15 texts, six times the spread
    sqrt(2 * 14) = 5.3; a single impossible text fails. Also around prompts, against p given the prompt.
    """
    p0, process = triples(), Absorbing(3)
    score = Enumerated(p0, process)
    for prompt in ("___", "_b_", "a__"):
        given = torch.tensor([c != "_" for c in prompt])
        free = int((~given).sum())
        fits = torch.ones(3, 3, 3)
        for axis, c in enumerate(prompt):
            if c != "_":
                fits *= (torch.arange(3) == "abc".index(c)).view([-1 if axis == k else 1 for k in range(3)])
        drawn = sample(
            score, process, prompt=prompt, count=20_000, steps=8, sampler=sampler, alphabet=Alphabet("abc"),
            generator=seeded(3),
        )  # fmt: skip
        masks = (drawn.states == process.mask).sum(-1)
        expected = torch.tensor([*range(free, -1, -1), *[0] * corrections])[:, None]
        assert (masks == expected).all() if singly else (masks <= expected).all()
        assert drawn.calls == free + corrections and (drawn.given == given).all()
        for states in drawn.states[free:]:
            assert p_value(count_texts(states, 3), p0 * fits) > 1e-4


def check_contract(sample, words, sampler, process, calls: int, corrections: int = 0):
    """What every sampler promises, for 6 steps with the exact score of Words: the shape of its trajectory, noise first
    and text last, times that fall, one call of the score per step, a prompt that stays, the same texts for a seed."""
    score, options = Recorder(words.score(process)), {"count": 5, "steps": 6, "sampler": sampler}
    drawn = sample(score, process, length=3, alphabet=words.alphabet, generator=seeded(11), **options)
    assert drawn.states.shape == (calls + 1, 5, 3) and drawn.times.shape == (calls + 1,)
    assert drawn.calls == len(score.x) == calls
    falling = drawn.times.diff() < 0
    assert drawn.times[0] == 1 and falling[: calls - corrections].all() and drawn.times[-1] >= 0
    for step, (x, sigma) in enumerate(zip(score.x, score.sigma)):
        assert (x == drawn.states[step]).all() or step >= calls - corrections  # a corrector step masks some again
        assert sigma.shape == (5,) and sigma.dtype == torch.float32
    assert drawn.states.max() < process.num_states and drawn.states[-1].max() < 26
    assert drawn.mask == process.mask and drawn.alphabet == words.alphabet and not drawn.given.any()
    assert drawn.texts == drawn.texts_at(-1) == [words.alphabet.decode(x) for x in drawn.states[-1]]
    if process.mask is not None:
        assert drawn.texts_at(0) == ["___"] * 5

    states = [sample(score, process, length=3, generator=seeded(seed), **options).states for seed in (12, 12, 13)]
    assert (states[0] == states[1]).all() and (states[0] != states[2]).any()

    for prompt in ("c_t", "_a_", "q"):
        drawn = sample(score, process, length=3, prompt=prompt, alphabet=words.alphabet, generator=seeded(8), **options)
        for i, c in enumerate(prompt.ljust(3, "_")):
            assert drawn.given[i] == (c != "_")
            assert c == "_" or (drawn.states[..., i] == words.alphabet.characters.index(c)).all()
        assert (drawn.states[:, :, ~drawn.given] != drawn.states[0, :, ~drawn.given]).any()
    assert sample(score, process, prompt="cat", alphabet=words.alphabet, **options).texts == ["cat"] * 5
    return drawn, score


def check_group_sizes(sample, sampler):
    """With fewer steps than masks: groups as even as can be, the larger ones last. More steps are not taken."""
    process = Absorbing(3)
    for steps, masks in [(1, [5, 0]), (2, [5, 3, 0]), (3, [5, 4, 2, 0]), (64, [5, 4, 3, 2, 1, 0])]:
        drawn = sample(
            uniform_text_score(process), process, length=5, count=20, steps=steps, sampler=sampler, generator=seeded(5)
        )
        assert ((drawn.states == process.mask).sum(-1) == torch.tensor(masks)[:, None]).all()
        assert drawn.calls == len(masks) - 1


@pytest.hookimpl(tryfirst=True)  # before -m deselects
def pytest_collection_modifyitems(items):
    """Every test that is not marked slow is quick."""
    for item in items:
        if item.get_closest_marker("slow") is None:
            item.add_marker("quick")


# Fixtures


@pytest.fixture
def enumerated():
    return Enumerated


@pytest.fixture
def chance():
    return p_value
