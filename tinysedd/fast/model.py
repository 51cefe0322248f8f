"""A transformer that learns more per second: it sees a character's neighbors before the first attention layer.

In the first minutes of training it matters most how many characters a network has seen, not how large it is. So this
one is smaller than the plain default and gets local context almost for free, from table lookups and from moving
features sideways, neither of which costs a matrix product.
"""

from dataclasses import dataclass
from typing import TypeGuard, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinysedd.corpus import Alphabet
from tinysedd.guard import check_at_least
from tinysedd.model import Block, Config, Transformer
from tinysedd.process import Absorbing, Process, Score


@dataclass(frozen=True)
class FastConfig(Config):
    """A `Config` with local context. The default has 0.8 M parameters for 64 characters; 0.2 M are in matrix products.

    neighbors    how many characters on each side are embedded with a character (if causal, all of them on the left)
    token_shift  the MLP also sees a quarter of each neighbor's features (if causal, the left one's only)
    bigrams      size of the hashed bigram table for each pair of adjacent neighbors; 0 for none
    """

    layers: int = 2
    width: int = 96
    neighbors: int = 2
    token_shift: bool = True
    bigrams: int = 2048

    def __post_init__(self):
        super().__post_init__()
        check_at_least(0, neighbors=self.neighbors, bigrams=self.bigrams)


class FastBlock(Block):
    """A block whose MLP sees the neighbors too."""

    def __init__(self, config: FastConfig, knows_sigma: bool):
        super().__init__(config, knows_sigma)
        self.shift = config.token_shift

    def mlp(self, h: Tensor) -> Tensor:
        return super().mlp(token_shift(h, self.causal) if self.shift else h)


class FastTransformer(Transformer):
    """`Transformer` with neighbor embeddings, hashed bigrams and token shift."""

    block_type = FastBlock
    config: FastConfig

    def __init__(
        self, process: Process, config: FastConfig = FastConfig(), alphabet: Alphabet | None = None, length: int = 64
    ):
        super().__init__(process, config, alphabet, length)

    def make_embedding(self) -> nn.EmbeddingBag:
        """One table for each place in the window, then one for each bigram in it; an embedding is a sum of rows."""
        n, states = self.config.neighbors, self.process.num_tokens + 1
        rows = (2 * n + 1) * states + max(2 * n - 1, 0) * self.config.bigrams
        return nn.EmbeddingBag(rows, self.config.width, mode="sum")

    def embed_characters(self, x: Tensor) -> Tensor:
        """x (B, L) -> (B, L, width)."""
        return self.embed(self.rows(x).flatten(0, 1)).view(*x.shape, -1)

    def rows(self, x: Tensor) -> Tensor:
        """The rows of the table that are added up for each character of x (B, L): (B, L, K).

        If there are more bigrams than rows, some share a row, as if by a hash (Joulin et al., 1607.01759).
        """
        n, bigrams, states = self.config.neighbors, self.config.bigrams, self.process.num_tokens + 1
        padding = (2 * n + 1, -1) if self.config.causal else (n, n)
        # The state after the last character stands for "beyond the end of the text". Under Absorbing it is the mask.
        window = F.pad(x, padding, value=states - 1).unfold(1, 2 * n + 1, 1)  # (B, L, 2 n + 1)
        rows = window + states * torch.arange(2 * n + 1, device=x.device)
        if n and bigrams:
            left, right = window[..., :n], window[..., n + 1 :]
            around = window[..., 1:] if self.config.causal else torch.cat([left, right], -1)  # (B, L, 2 n)
            bigram = (around[..., :-1] * states + around[..., 1:]) % bigrams  # (B, L, 2 n - 1)
            first = states * (2 * n + 1) + bigrams * torch.arange(2 * n - 1, device=x.device)
            rows = torch.cat([rows, first + bigram], -1)
        return rows


def knows_places(score: Score, process: Process) -> TypeGuard[Transformer]:
    """Whether `log_posterior_at` can ask this score function of this process: whether it is a `Transformer` or a
    `FastTransformer`, and no subclass that may change what it says, and a denoiser for masks."""
    return (
        (type(score) is Transformer or type(score) is FastTransformer)
        and not (score.needs_sigma or score.config.free_scores)
        and type(process) is type(score.process) is Absorbing
        and score.process.num_tokens == process.num_tokens
    )


def log_posterior_at(model: Transformer, x: Tensor, where: Tensor) -> Tensor:
    """`model.log_posterior` of x (B, L) at the K places where (B, L) is true only, row by row: (K, N).

    For models that need no sigma. The last block's MLP, most of its work, is computed at these places only. ValueError
    if the texts are longer than the model's length.
    """
    if not model.blocks or x.shape[1] > model.length:
        return model.log_posterior(x)[where]
    h = model.embed_characters(x) + model.place.weight[: x.shape[1]]
    for block in model.blocks[:-1]:
        h = block(h, None)
    last = cast(Block, model.blocks[-1])
    h = h + last.attend(last.norm1(h))
    z = last.norm2(h)
    z = token_shift(z, last.causal) if isinstance(last, FastBlock) and last.shift else z
    h = h[where] + Block.mlp(last, z[where])  # (K, width)
    return model.head(model.norm(h)).float().log_softmax(-1)


def token_shift(h: Tensor, causal: bool = False) -> Tensor:
    """h (B, L, width) with a quarter of its features replaced by the left neighbor's (Peng et al., 2305.13048).

    Unless causal, another quarter is replaced by the right neighbor's. Beyond the ends of the text there are zeros.
    """
    part = h.shape[-1] // 4
    left = F.pad(h[:, :-1, :part], (0, 0, 1, 0))
    right = h[..., part : 2 * part] if causal else F.pad(h[:, 1:, part : 2 * part], (0, 0, 0, 1))
    return torch.cat([left, right, h[..., 2 * part :]], dim=-1)
