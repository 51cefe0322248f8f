"""What a world is, and its exact score function."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.process import Process, Score


class World(Protocol):
    """Texts of one length with known probabilities. Any class with these members works wherever a world is asked for.

    If it also has `marginals(likelihood)`, as `Oracle` describes, its score can be `Oracle(self, process)`.
    """

    alphabet: Alphabet
    length: int

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n texts (n, L)."""
        ...

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) (B,) in nats, float64, of texts x (B, L); -inf for texts that the world never writes."""
        ...

    def entropy(self) -> float:
        """Entropy of a text, in nats."""
        ...

    def score(self, process: Process) -> Score:
        """The exact score function under a process."""
        ...


class HasMarginals(Protocol):
    """What `Oracle` needs from a world."""

    alphabet: Alphabet
    length: int

    def marginals(self, likelihood: Tensor) -> Tensor:
        """p(x0_i = a, x) (B, L, N), up to a factor for each position, from q(x_i | x0_i = a) (B, L, N)."""
        ...


@dataclass(frozen=True)
class Oracle:
    """The exact score function of a world under a process: x (B, L), sigma (B,) -> log-scores (B, L, S), float64.

    It comes from the exact posterior p(x0_i = a | x), a sum over all texts x0 that can have become x. A text x of
    probability 0 has no ratios; its posterior is taken as uniform over the alphabet.
    """

    world: HasMarginals
    process: Process

    @property
    def alphabet(self) -> Alphabet:
        """The world's alphabet."""
        return self.world.alphabet

    @property
    def length(self) -> int:
        """Characters per text."""
        return self.world.length

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.process.log_score(self.log_posterior(x, sigma), x, sigma)

    def log_posterior(self, x: Tensor, sigma: Tensor) -> Tensor:
        """log p(x0_i = a | x) (B, L, N), float64."""
        joint = self.world.marginals(self.process.log_likelihood(x, sigma).exp())
        total = joint.sum(-1, keepdim=True)
        return torch.where(total > 0, joint / total, 1 / len(self.alphabet)).log()
