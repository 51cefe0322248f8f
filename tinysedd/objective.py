"""The loss that trains a score function, and the likelihood bound that judges it."""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from tinysedd.guard import call, check_at_least, check_forgets, check_no_nan, check_one_of, check_texts, deviation
from tinysedd.process import Process, Score


def score_entropy_loss(
    score: Score, process: Process, x0: Tensor, generator: Generator | None = None, weight: str = "even"
) -> Tensor:
    """Denoising score entropy per character, averaged over texts x0 (B, L) and times: a scalar to minimize, in nats.

    weight  "bound": d sigma / dt. The loss is then a bound on -log p(x0), up to the prior term (SEDD, theorem 3.6).
            "even": that times the share of characters hit, 1 - e^-sigma. Every positive weight has the same minimum;
            this one counts each hit character equally and so has less variance than the bound, which gives a large
            weight to the few hit at small t. For a denoiser under Absorbing it is cross-entropy at the masks.
    """
    check_one_of(("bound", "even"), weight=weight)
    check_texts(x0, process, score)
    t = stratified_times(len(x0), generator)
    sigma, w = process.schedule.total(t).to(x0.device), process.schedule.rate(t).to(x0.device)  # each (B,)
    if weight == "even":
        w = w * -torch.expm1(-sigma)
    x = process.perturb(x0, sigma, generator)
    entropy = process.score_entropy(call(score, process, x, sigma), x, x0, sigma)  # (B, L)
    return (w.to(entropy) * entropy.mean(-1)).mean()


def stratified_times(count: int, generator: Generator | None = None) -> Tensor:
    """Times (B,) in (0, 1], float64: one in each of B equal parts, which makes the loss less noisy (2107.00630)."""
    u = torch.rand((), dtype=torch.float64, generator=generator)
    return 1 - (u + torch.arange(count, dtype=torch.float64) / count) % 1  # never 0: there must be some noise to remove


@dataclass(frozen=True)
class Bound:
    """An upper bound on -log p(x0): per_text (M,) in nats, for texts of `length` characters."""

    per_text: Tensor
    length: int

    @property
    def nats_per_char(self) -> float:
        """The mean over texts, per character."""
        return float(self.per_text.mean()) / self.length

    @property
    def standard_error(self) -> float:
        """Standard error of nats_per_char, over texts and noise; nan for a single text."""
        return deviation(self.per_text) / math.sqrt(len(self.per_text)) / self.length

    @property
    def bits_per_char(self) -> float:
        """nats_per_char in bits."""
        return self.nats_per_char / math.log(2)


@torch.no_grad()
def likelihood_bound(
    score: Score, process: Process, x0: Tensor, draws: int = 8, batch: int = 256, generator: Generator | None = None
) -> Bound:
    """-log p(x0) <= integral of E[score entropy] d sigma (SEDD, theorem 3.6), for each of the texts x0 (M, L).

    The integral runs over all sigma, so no schedule matters and the prior term vanishes. With m = 1 - e^-sigma in
    (0, 1), d sigma = dm / (1 - m); each text gets `draws` values of m, one in each of so many equal parts of (0, 1).
    With the exact score its mean is -log p(x0) for every single text. batch: noisy texts per call of the score.
    """
    check_texts(x0, process, score)
    check_at_least(1, draws=draws, batch=batch)
    check_forgets(process, 28)  # where the integral ends, because m is at most 1 - 1e-12
    per_draw, done = [], 0
    for block in x0.repeat_interleave(draws, dim=0).split(batch):
        part = (done + torch.arange(len(block))) % draws
        m = (part + torch.rand(len(block), dtype=torch.float64, generator=generator)) / draws
        sigma = -torch.log1p(-m.clamp(1e-12, 1 - 1e-12)).to(x0.device)
        x = process.perturb(block, sigma, generator)
        entropy = process.score_entropy(call(score, process, x, sigma), x, block, sigma).double().sum(-1)
        per_draw.append((entropy * torch.exp(sigma)).cpu())
        done += len(block)
    return Bound(check_no_nan(torch.cat(per_draw).view(-1, draws).mean(-1)), x0.shape[1])
