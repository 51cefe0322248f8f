"""What the core is held against: definitions written out, by enumeration, in float64; no formula of the package's."""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # two tests at a time: a core for each, also for what they start
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from tinysedd.process import Absorbing


class Enumerated:
    """A world so small that its table p0 (N, ..., N), one axis a position, is all there is to know; under a process.

    Calling it is a score function: log of the ratio of two entries of p_sigma, and -inf where Q(y -> x_i) = 0.
    """

    def __init__(self, p0: torch.Tensor, process):
        N, L, S = p0.shape[0], p0.ndim, process.num_states
        self.p0 = torch.zeros((S,) * L, dtype=torch.float64)
        self.p0[(slice(N),) * L] = p0
        self.texts = torch.cartesian_prod(*[torch.arange(S)] * L).view(-1, L)  # (S^L, L), in the order of p0.flatten()
        self.length, self.num_states = L, S
        self.Q = torch.zeros(S, S, dtype=torch.float64)
        for a in range(N):
            for b in range(S):
                if b != a:
                    self.Q[a, b] = float(b == N) if isinstance(process, Absorbing) else 1 / N
            self.Q[a, a] = -self.Q[a].sum()

    def transition(self, sigma) -> torch.Tensor:
        """(*, S, S) for sigma of any shape (*)."""
        return torch.linalg.matrix_exp(torch.as_tensor(sigma, dtype=torch.float64)[..., None, None] * self.Q)

    def noised(self, sigma: torch.Tensor) -> torch.Tensor:
        """The tables of p_sigma (K, S, ..., S) for sigma (K,): each axis goes through the transition matrix."""
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
        reachable = (self.Q > 0) | torch.eye(self.num_states, dtype=torch.bool)
        return torch.where(reachable.T[x], ratio, 0).log()


def chance_of(counts: torch.Tensor, p: torch.Tensor) -> float:
    """Pearson's test: how likely counts drawn from p lie at least so far from it. 0 if what cannot be was drawn.

    What is expected less than 5 times is counted together, as the chi-square distribution needs.
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
        return 1.0  # nothing was left to chance
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(torch.special.gammaincc(torch.tensor((len(counts) - 1) / 2, dtype=torch.float64), statistic / 2))


@pytest.fixture
def enumerated():
    return Enumerated


@pytest.fixture
def chance():
    return chance_of
