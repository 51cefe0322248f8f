"""What a score function is trained with, and what it is judged by."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tinysedd.process import Process

Score = Callable[[Tensor, Tensor], Tensor]


def score_entropy_loss(
    score: Score,
    process: Process,
    x0: Tensor,
    generator: torch.Generator | None = None,
    weight: str = "even",
    late: float = 1.0,
    reference: Tensor | None = None,
) -> Tensor:
    """Denoising score entropy per character, averaged over texts x0 (B, L) and times: a scalar to minimize.

    The times are spread evenly over (0, 1], with one random shift a batch: t_b = (u + b / B) mod 1.

    weight  "bound": d sigma / dt. The loss is then a bound on -log p(x0) (SEDD, theorem 3.6, but for the prior).
            "even": that times the share of characters hit, 1 - e^-sigma. Any positive weight has the same minimum;
            this one counts each hit character alike, where the bound counts the few at small t for much, and so with
            much noise. For a denoiser under Absorbing it is the plain cross-entropy at the masks.
    late    above 1, times near 1 come more often: t = u^(1/late) for u even over (0, 1]. One more positive weight,
            late t^(late - 1), that spends the work where a text is nearly all noise. The loss is then no bound.
    reference
            more texts (R, L) of the same corpus, under Absorbing. A noisy text is then taught all of them that it may
            come from, not x0 alone: the same loss on average, with less noise in its gradient.
    """
    if weight not in ("bound", "even"):
        raise ValueError(f"weight is 'bound' or 'even', not {weight!r}")
    if reference is not None and process.mask is None:
        raise ValueError("a reference goes with masks: leave it out under Uniform")
    B, L = x0.shape
    u = torch.rand((), dtype=torch.float64, generator=generator)
    t = (1 - (u + torch.arange(B) / B) % 1) ** (1 / late)  # (B,), above 0: there must be noise to take away
    sigma = process.schedule.total(t).to(x0.device)
    w = process.schedule.rate(t).to(x0.device)
    if weight == "even":
        w = w * -torch.expm1(-sigma)
    x = process.perturb(x0, sigma, generator)
    target = x0 if reference is None else process.clean(x, x0, reference)
    entropy = process.score_entropy(score(x, sigma.float()), x, target, sigma)  # (B, L)
    return (w.to(entropy) * entropy.mean(-1)).mean()


@dataclass(frozen=True)
class Bound:
    """A bound on -log p(x0): per_text (M,) in nats, for texts of `length` characters."""

    per_text: Tensor
    length: int

    @property
    def nats_per_char(self) -> float:
        return float(self.per_text.mean()) / self.length

    @property
    def standard_error(self) -> float:
        """Of nats_per_char, over texts and noise; nan for a single text."""
        return float(self.per_text.std()) / math.sqrt(len(self.per_text)) / self.length

    @property
    def bits_per_char(self) -> float:
        return self.nats_per_char / math.log(2)


@torch.no_grad()
def likelihood_bound(
    score: Score,
    process: Process,
    x0: Tensor,
    draws: int = 8,
    batch: int = 256,
    generator: torch.Generator | None = None,
) -> Bound:
    """The bound of SEDD, theorem 3.6: -log p(x0) <= integral of E[score entropy] d sigma, for texts x0 (M, L).

    It depends on no schedule: over the share hit, m = 1 - e^-sigma in (0, 1), d sigma = dm / (1 - m). Each text gets
    `draws` values of m, one in each of so many equal parts. As sigma goes all the way to infinity the prior term
    KL(p_sigma(.|x0) || prior) is 0, for both processes, and nothing is cut off. With the exact score the bound is
    -log p(x0), for every single text.
    """
    per_text = []
    for block in x0.repeat_interleave(draws, dim=0).split(batch):
        part = torch.arange(sum(map(len, per_text)), sum(map(len, per_text)) + len(block)) % draws
        m = (part + torch.rand(len(block), dtype=torch.float64, generator=generator)) / draws
        sigma = -torch.log1p(-m.clamp(1e-12, 1 - 1e-12)).to(x0.device)
        x = process.perturb(block, sigma, generator)
        entropy = process.score_entropy(score(x, sigma.float()), x, block, sigma).double().sum(-1)
        per_text.append((entropy * torch.exp(sigma)).cpu())
    return Bound(torch.cat(per_text).view(-1, draws).mean(-1), x0.shape[1])


def autoregressive_loss(model, x0: Tensor) -> Tensor:
    """-log p(x0_i | x0 before i) per character, averaged over texts x0 (B, L): for a Transformer with causal=True."""
    return -model.log_posterior(x0).gather(-1, x0[..., None]).mean()
