"""The network, in this one file: a small transformer that is a score function, (x, sigma) -> log_score.

One class, two parametrizations. The *denoiser* ends in log p(x0_i = a | x), which the process turns into the score;
under Absorbing it needs no sigma (RADD, theorem 1). The *published* one (SEDD, section 5.1) ends in free log-scores and
is told sigma by adaptive layer norm. With causal=True it is a GPT: the same log p(x0_i = a | ...), from the left only.

Left out on purpose: dropout (the corpora here are larger than the networks), biases, weight tying, a cache for causal.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysedd.corpus import Alphabet
from tinysedd.process import Absorbing, Process


@dataclass(frozen=True)
class Shape:
    """The size of a network. As it stands, and for 64 characters: 0.8 M parameters, of which only 0.2 M cost products.

    free_scores: the published parametrization instead of the denoiser. causal: from left to right, to compare with.
    near: how many neighbors on each side a character is embedded with (all of them on the left, where causal).
    shift: perceptrons see a part of their neighbors' features too, the right one's only where not causal.
    pairs: rows of a table for each two of those neighbors that follow each other; 0 for none.
    """

    layers: int = 2
    heads: int = 4
    width: int = 96
    free_scores: bool = False
    causal: bool = False
    near: int = 2
    shift: bool = True
    pairs: int = 2048

    def __post_init__(self):
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of twice the number of heads, {self.heads}")
        if min(self.near, self.pairs) < 0:
            raise ValueError(f"near and pairs must be 0 or more, not {self.near} and {self.pairs}")


class Transformer(nn.Module):
    """A pre-norm transformer with rotary positions, over the states of a process.

    A posterior starts as even over the alphabet, free scores as those of a world where all texts are alike. It takes
    texts of at most `length` characters: rotations tell it how far apart two characters stand, and a learned vector for
    each place where in the text they are, which under Absorbing is at first all that there is to go by.
    """

    def __init__(self, process: Process, shape: Shape = Shape(), alphabet: Alphabet | None = None, length: int = 64):
        super().__init__()
        self.process, self.shape, self.alphabet, self.length = process, shape, alphabet, length
        width = shape.width
        # A table for each place in the window, then one for each pair: a sum of rows, that takes no product.
        rows = (2 * shape.near + 1) * (process.num_tokens + 1) + max(2 * shape.near - 1, 0) * shape.pairs
        self.embed = nn.EmbeddingBag(rows, width, mode="sum")
        knows_sigma = not shape.causal and (shape.free_scores or not isinstance(process, Absorbing))
        self.place = nn.Embedding(length, width)
        self.noise = NoiseLevel(width) if knows_sigma else None
        self.blocks = nn.ModuleList(Block(shape, width if knows_sigma else None) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, process.num_states if shape.free_scores else process.num_tokens, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=width**-0.5)
        # After the loop above, which would undo it: blocks start as the identity, the head at 0.
        for last in [self.head, *(layer for block in self.blocks for layer in (block.out, block.down))]:
            nn.init.zeros_(last.weight)
        nn.init.normal_(self.embed.weight, std=0.5)
        nn.init.normal_(self.place.weight, std=0.25)

    @property
    def device(self) -> torch.device:
        return self.embed.weight.device

    @property
    def needs_sigma(self) -> bool:
        """False for a denoiser under Absorbing: its posterior depends on the text alone."""
        return self.noise is not None

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Log-scores (B, L, S) for x (B, L) at total noise sigma (B,)."""
        if not self.shape.free_scores:
            return self.process.log_score(self.log_posterior(x, sigma), x, sigma)
        even = self.process.log_likelihood(x, sigma).log_softmax(-1)
        free = self.head(self._trunk(x, sigma)).float().scatter(-1, x[..., None], 0.0)
        return self.process.log_score(even, x, sigma).float() + free

    def log_posterior(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """log p(x0_i = a | x) (B, L, N), for x (B, L); with causal=True given x[:, :i] alone. Not for free scores.

        Under Absorbing, where it needs no sigma, it has a meaning at the masks only.
        """
        return self.head(self._trunk(x, sigma)).float().log_softmax(-1)

    def _trunk(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        if x.shape[1] > self.length:
            raise ValueError(f"a text has {x.shape[1]} characters; this network takes at most {self.length}")
        h = self.embed(self._rows(x).flatten(0, 1)).view(*x.shape, -1) + self.place.weight[: x.shape[1]]
        c = self.noise(sigma) if self.noise is not None else None
        rotation = _rotation(x.shape[1], self.shape.width // self.shape.heads, x.device)
        for block in self.blocks:
            h = block(h, rotation, c)
        return self.norm(h)

    def _rows(self, x: Tensor) -> Tensor:
        """Which rows of the table are added up for each character of x (B, L): those of its window, those of the pairs
        in it. Pairs may be more than rows: then some share one, as if by a hash (Joulin et al., 1607.01759)."""
        near, pairs, states = self.shape.near, self.shape.pairs, self.process.num_tokens + 1
        ends = (2 * near + 1, -1) if self.shape.causal else (near, near)
        # Beyond the ends of a text stands a state more than it has characters.
        window = F.pad(x, ends, value=states - 1).unfold(1, 2 * near + 1, 1)  # (B, L, 2 near + 1)
        rows = window + states * torch.arange(2 * near + 1, device=x.device)
        if near and pairs:
            left, right = window[..., :near], window[..., near + 1 :]
            around = window[..., 1:] if self.shape.causal else torch.cat([left, right], -1)  # (B, L, 2 near)
            pair = (around[..., :-1] * states + around[..., 1:]) % pairs  # (B, L, 2 near - 1)
            first = states * (2 * near + 1) + pairs * torch.arange(2 * near - 1, device=x.device)
            rows = torch.cat([rows, first + pair], -1)
        return rows


class Block(nn.Module):
    """Attention, then a perceptron with squared ReLU (So et al., 2109.08668), each normalized before, added after."""

    def __init__(self, shape: Shape, condition: int | None):
        super().__init__()
        width = shape.width
        self.heads, self.causal, self.shift = shape.heads, shape.causal, shape.shift
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.modulate = nn.Linear(condition, 4 * width, bias=False) if condition else None

    def forward(self, h: Tensor, rotation: tuple[Tensor, Tensor], c: Tensor | None) -> Tensor:
        first = second = ()
        if self.modulate is not None:
            modulation = self.modulate(c)[:, None].chunk(4, dim=-1)  # each (B, 1, width)
            first, second = modulation[:2], modulation[2:]
        h = h + self.attend(_adapt(self.norm1(h), *first), rotation)
        x = _adapt(self.norm2(h), *second)
        up = self.up(_shift(x, self.causal) if self.shift else x)  # (B, L, 4 width)
        return h + self.down(F.relu(up) * up)  # relu(up)^2, whose slope as a power costs a CPU twice the time

    def attend(self, h: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        B, L, width = h.shape
        qkv = self.qkv(h).view(B, L, 3, self.heads, -1)  # (B, L, 3, heads, width / heads)
        q, k = _rotate(qkv[:, :, :2], rotation).transpose(1, 3).unbind(2)  # each (B, heads, L, width / heads)
        v = qkv[:, :, 2].transpose(1, 2)
        h = attention(q, k, v, self.causal)
        return self.out(h.transpose(1, 2).reshape(B, L, width))


def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Scaled dot-product attention of q, k, v (B, heads, L, size)."""
    if causal or q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    # At these lengths a CPU is faster without the fused kernel: its backward pass in bfloat16 takes 6 times as long.
    return (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1) @ v


def _shift(h: Tensor, causal: bool) -> Tensor:
    """Token shift (Peng et al., 2305.13048): a quarter of h (B, L, width) comes from the place on the left and, unless
    causal, another from the one on the right; zeros from beyond the ends. It moves numbers and multiplies none."""
    part = h.shape[-1] // 4
    left = F.pad(h[:, :-1, :part], (0, 0, 1, 0))
    right = h[..., part : 2 * part] if causal else F.pad(h[:, 1:, part : 2 * part], (0, 0, 0, 1))
    return torch.cat([left, right, h[..., 2 * part :]], dim=-1)


def _adapt(h: Tensor, scale: Tensor | None = None, shift: Tensor | None = None) -> Tensor:
    """Adaptive layer norm: what a normalized input is scaled and shifted by depends on the noise level."""
    return h if scale is None else h * (1 + scale) + shift


class NoiseLevel(nn.Module):
    """sigma (B,) as a vector (B, width): waves over the logit of the share hit, log(e^sigma - 1), kept within +-8."""

    def __init__(self, width: int):
        super().__init__()
        self.inner = nn.Linear(width, width, bias=False)

    def forward(self, sigma: Tensor) -> Tensor:
        half = self.inner.in_features // 2
        logit = torch.log(torch.expm1(sigma.double().clamp(1e-9, 50))).clamp(-8, 8).float()
        frequency = torch.logspace(-1.5, 0.5, half, device=sigma.device)
        waves = torch.cat([torch.cos(logit[:, None] * frequency), torch.sin(logit[:, None] * frequency)], -1)
        return F.silu(self.inner(waves.to(self.inner.weight.dtype)))


def _rotation(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine (L, 1, 1, size / 2) of each pair of features' angle at each position (Su et al., 2104.09864)."""
    frequency = 10_000.0 ** (-torch.arange(0, size, 2, device=device) / size)
    angle = torch.arange(length, device=device)[:, None, None, None] * frequency
    return angle.cos(), angle.sin()


def _rotate(v: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of features of v (B, L, ..., ..., size) by the angle of its position."""
    cos, sin = (part.to(v.dtype) for part in rotation)
    a, b = v.chunk(2, dim=-1)  # feature i and feature i + size / 2 are a pair
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
