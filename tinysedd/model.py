"""The network: a tiny transformer that is a score function, (x, sigma) -> log_score.

It predicts log p(x0_i = a | x), and the process turns this posterior into the score (a *denoiser*; under Absorbing it
needs no sigma: RADD, theorem 1). With free_scores it outputs the log-scores themselves, as published (SEDD, section
5.1). With causal it is a GPT, to compare with: the same posterior, from the characters on the left only.
Left out on purpose: dropout (the corpora here are larger than the networks), biases, weight tying, a key-value cache.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysedd.corpus import Alphabet
from tinysedd.guard import check_alphabet, check_at_least
from tinysedd.process import Absorbing, Process


@dataclass(frozen=True)
class Config:
    """The size and kind of a network. The default has 0.8 M parameters. ValueError if heads do not fit the width."""

    layers: int = 4
    heads: int = 4
    width: int = 128
    free_scores: bool = False
    causal: bool = False

    def __post_init__(self):
        check_at_least(0, layers=self.layers)
        check_at_least(1, heads=self.heads, width=self.width)
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of twice the number of heads, {self.heads}")


class NoiseEmbedding(nn.Module):
    """sigma (B,) -> (B, width), from waves over the log odds of hit to not hit, log(e^sigma - 1), kept within +-8."""

    def __init__(self, width: int):
        super().__init__()
        self.inner = nn.Linear(width, width, bias=False)

    def forward(self, sigma: Tensor) -> Tensor:
        log_odds = torch.log(torch.expm1(sigma.double().clamp(1e-9, 50))).clamp(-8, 8).float()
        angle = log_odds[:, None] * torch.logspace(-1.5, 0.5, self.inner.in_features // 2, device=sigma.device)
        return F.silu(self.inner(torch.cat([angle.cos(), angle.sin()], -1).to(self.inner.weight.dtype)))


class Block(nn.Module):
    """Attention, then an MLP with squared ReLU (So et al., 2109.08668), both pre-norm with a residual connection.

    If the network knows sigma, it scales and shifts each normalized input (adaptive layer norm).
    """

    def __init__(self, config: Config, knows_sigma: bool):
        super().__init__()
        width = config.width
        self.heads, self.causal = config.heads, config.causal
        self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.modulate = nn.Linear(width, 4 * width, bias=False) if knows_sigma else None

    def forward(self, h: Tensor, c: Tensor | None) -> Tensor:
        """h (B, L, width) and the embedded noise c (B, width), if the network knows sigma -> (B, L, width)."""
        if self.modulate is None or c is None:
            h = h + self.attend(self.norm1(h))
            return h + self.mlp(self.norm2(h))
        scale1, shift1, scale2, shift2 = self.modulate(c)[:, None].chunk(4, dim=-1)  # each (B, 1, width)
        h = h + self.attend(self.norm1(h) * (1 + scale1) + shift1)
        return h + self.mlp(self.norm2(h) * (1 + scale2) + shift2)

    def mlp(self, h: Tensor) -> Tensor:
        """h (B, L, width) -> (B, L, width)."""
        up = self.up(h)  # (B, L, 4 width)
        return self.down(F.relu(up) * up)  # relu(up)^2; on a CPU the gradient of pow takes twice as long

    def attend(self, h: Tensor) -> Tensor:
        """h (B, L, width) -> (B, L, width)."""
        B, L, width = h.shape
        qkv = self.qkv(h).view(B, L, 3, self.heads, -1)  # (B, L, 3, heads, width / heads)
        q, k = rotate(qkv[:, :, :2]).transpose(1, 3).unbind(2)  # each (B, heads, L, width / heads)
        v = qkv[:, :, 2].transpose(1, 2)
        h = attention(q, k, v, self.causal)
        return self.out(h.transpose(1, 2).reshape(B, L, width))


class Transformer(nn.Module):
    """A pre-norm transformer over the states of a process, for texts of at most `length` characters.

    Rotary positions tell it how far apart two characters are; a learned embedding tells it where each one is, which is
    all it has to go by when every character is a mask. Before training its posterior is uniform, whatever the text.
    """

    block_type: type[Block] = Block

    def __init__(self, process: Process, config: Config = Config(), alphabet: Alphabet | None = None, length: int = 64):
        super().__init__()
        check_alphabet(alphabet, process)
        self.process, self.config, self.alphabet, self.length = process, config, alphabet, length
        width, knows_sigma = config.width, config.free_scores or not isinstance(process, Absorbing)
        self.needs_sigma = knows_sigma and not config.causal
        self.embed = self.make_embedding()
        self.place = nn.Embedding(length, width)
        self.noise = NoiseEmbedding(width) if self.needs_sigma else None
        self.blocks = nn.ModuleList(self.block_type(config, self.needs_sigma) for _ in range(config.layers))
        self.norm = nn.RMSNorm(width)
        self.head = nn.Linear(width, process.num_states if config.free_scores else process.num_tokens, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=width**-0.5)
        for last in [self.head, *(layer for block in self.blocks for layer in (block.out, block.down))]:
            nn.init.zeros_(last.weight)  # each block starts as the identity, and the posterior as uniform
        nn.init.normal_(self.embed.weight, std=0.5)
        nn.init.normal_(self.place.weight, std=0.25)

    def make_embedding(self) -> nn.Embedding | nn.EmbeddingBag:
        """A table with a row for each state."""
        return nn.Embedding(self.process.num_tokens + 1, self.config.width)

    def embed_characters(self, x: Tensor) -> Tensor:
        """x (B, L) -> (B, L, width). Position i of a causal network gets character i - 1: it must not see its own."""
        return self.embed(F.pad(x, (1, -1), value=self.process.num_tokens) if self.config.causal else x)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Log-scores (B, L, S) for x (B, L) at total noise sigma (B,)."""
        if not self.config.free_scores:
            return self.process.log_score(self.log_posterior(x, sigma), x, sigma)
        # Added to the scores of a uniform posterior, so that training starts from sensible ratios.
        start = self.process.log_score(self.process.log_likelihood(x, sigma).log_softmax(-1), x, sigma).float()
        return start + self.trunk(x, sigma).scatter(-1, x[..., None], 0.0)

    def log_posterior(self, x: Tensor, sigma: Tensor | None = None) -> Tensor:
        """log p(x0_i = a | x) (B, L, N) for x (B, L); if causal, given x[:, :i] alone. Not with free_scores.

        Under Absorbing it needs no sigma and means something at the masks only.
        """
        return self.trunk(x, sigma).log_softmax(-1)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) (B,) in nats of texts x (B, L), exact. For a causal network only."""
        return self.log_posterior(x).gather(-1, x[..., None]).squeeze(-1).sum(-1)

    def trunk(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """What the head outputs, (B, L, N or S). ValueError if the texts are longer than `length`."""
        if x.shape[1] > self.length:
            raise ValueError(f"a text has {x.shape[1]} characters; this network takes at most {self.length}")
        h = self.embed_characters(x) + self.place.weight[: x.shape[1]]  # (B, L, width)
        c = self.noise(sigma) if self.noise is not None else None
        for block in self.blocks:
            h = block(h, c)
        return self.head(self.norm(h)).float()


def attention(q: Tensor, k: Tensor, v: Tensor, causal: bool) -> Tensor:
    """Scaled dot-product attention of q, k, v (B, heads, L, size)."""
    if causal or q.is_cuda:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    # On a CPU, at these lengths, the fused kernel is slower: its bfloat16 backward pass takes 6 times as long.
    return (q * q.shape[-1] ** -0.5 @ k.mT).softmax(-1) @ v


def rotate(v: Tensor) -> Tensor:
    """Rotary positions (2104.09864): turn each feature pair of v (B, L, *, *, size) by an angle for its position."""
    length, size = v.shape[1], v.shape[-1]
    frequency = 10_000.0 ** (-torch.arange(0, size, 2, device=v.device) / size)
    angle = torch.arange(length, device=v.device)[:, None, None, None] * frequency  # (L, 1, 1, size / 2)
    cos, sin = angle.cos().to(v.dtype), angle.sin().to(v.dtype)
    a, b = v.chunk(2, dim=-1)  # feature i pairs with feature i + size / 2
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
