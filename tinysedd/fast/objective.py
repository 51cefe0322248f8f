"""A loss that learns more per step; `fast_loss` goes to `fit(..., loss=)`."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from tinysedd.corpus import Corpus
from tinysedd.fast.model import knows_places, log_posterior_at
from tinysedd.guard import call, check_at_least, check_between, check_texts
from tinysedd.objective import stratified_times
from tinysedd.process import Process, Score

MOST = 0.999  # as in LogLinear, the default schedule


@dataclass(frozen=True)
class Shares:
    """How noisy the texts are that a network trains on: the share of its characters that the noise hits.

    noise_center, noise_width  center and width of a normal distribution of this share, cut off at 0 and 1
    even_from                  from this fraction of the training on, all shares are equally likely, as in the bound
    Texts that are nearly clean or nearly all noise teach little in the first minutes: there is little to predict in the
    former and little to predict it from in the latter. ValueError for a noise_center outside (0, 1), a
    noise_width outside (0, 10) or an even_from outside [0, 1].
    """

    noise_center: float = 0.45
    noise_width: float = 0.2
    even_from: float = 0.7

    def __post_init__(self):
        check_between(0, 1, noise_center=self.noise_center)
        check_between(0, 10, noise_width=self.noise_width)
        if not 0 <= self.even_from <= 1:
            raise ValueError(f"even_from must be between 0 and 1, not {self.even_from}")

    def draw(self, count: int, done: float, generator: Generator | None = None) -> Tensor:
        """Shares (count,) in (0, 1], float64, one from each of this many equally likely parts of the distribution.

        done: the fraction of the training that is over.
        """
        u = stratified_times(count, generator)
        if done >= self.even_from:
            return u
        low, high = (_normal_cdf((edge - self.noise_center) / self.noise_width) for edge in (0.0, 1.0))
        quantile = torch.special.ndtri(low + (high - low) * u) * self.noise_width + self.noise_center
        return quantile.clamp(1e-6, 1)


def score_entropy_loss(
    score: Score,
    process: Process,
    x0: Tensor,
    generator: Generator | None = None,
    shares: Tensor | None = None,
    reference: Tensor | None = None,
) -> Tensor:
    """`tinysedd.objective.score_entropy_loss` with weight "even", and two ways to learn more from each text x0 (B, L).

    shares     the share of its characters that is hit, for each text (B,); default: evenly spread over (0, 1]. Any
               distribution of them has the same minimum. The schedule plays no part. Shares above MOST count as MOST,
               because the scores, and with them the variance of the loss, grow without bound towards 1.
    reference  more texts (R, L) of the same corpus. What is learned at each character is then averaged over x0 and
               these, each weighted by how likely it is to have become x: same expectation, less noise in the gradient.
    """
    check_texts(x0, process, score)
    m = (stratified_times(len(x0), generator) if shares is None else shares).clamp(max=MOST).to(x0.device)
    sigma = -torch.log1p(-m)  # (B,)
    x = process.perturb(x0, sigma, generator)
    if knows_places(score, process):
        # The same loss, computed only where it is not 0: cross-entropy at the masks.
        masked = x == process.mask  # (B, L)
        log_p = log_posterior_at(score, x, masked)  # (K, N)
        if reference is None:
            return F.nll_loss(log_p, x0[masked], reduction="sum") / x0.numel()
        return -(target_shares(process, x, x0, sigma, reference)[masked] * log_p).sum() / x0.numel()
    log_score = call(score, process, x, sigma)
    entropy = process.score_entropy(log_score, x, x0, sigma)  # (B, L)
    if reference is not None:
        # The ratios r of the target enter as -r log s alone, so an average over texts changes just that term.
        own = process.log_score(F.one_hot(x0, process.num_tokens).double().log(), x, sigma).exp()
        mean = process.log_score(target_shares(process, x, x0, sigma, reference).log(), x, sigma).exp()
        rates = process.rates_into(x)  # (B, L, S)
        change = torch.where(rates > 0, rates * (own - mean) * log_score.clamp(min=-1e30), 0.0)
        entropy = entropy + change.sum(-1).to(entropy)
    return (torch.expm1(sigma).to(entropy) * entropy.mean(-1)).mean()


def target_shares(process: Process, x: Tensor, x0: Tensor, sigma: Tensor, reference: Tensor) -> Tensor:
    """The share (B, L, N) of each character among x0 (B, L) and the texts of the reference (R, L), weighted by how
    likely each of these texts is to become x (B, L) at sigma (B,).

    This is the stable target field of Xu et al. (2302.00670). If all texts come from one corpus it is unbiased: x comes
    from one of R + 1 texts, and given all of these and x, the weights are the probabilities that it was this one.
    """
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 would round the weights
        own, others = (F.one_hot(texts, process.num_tokens).float().flatten(1) for texts in (x0, reference))
        log_q = process.log_likelihood(x, sigma).float().clamp(min=-1e4).flatten(1)  # (B, L N); no -inf * 0
        log_w = torch.cat([(log_q * own).sum(-1, keepdim=True), log_q @ others.T], -1)  # (B, 1 + R)
        w = log_w.softmax(-1)
        shares = w[:, :1] * own + w[:, 1:] @ others
    return shares.view(*x.shape, process.num_tokens)


def fast_loss(corpus: Corpus, shares: Shares = Shares(), reference: int = 0) -> Callable[..., Tensor]:
    """A loss for `fit`: `score_entropy_loss` with these shares and a fresh reference of this many texts at each step.

    ValueError if reference is negative.
    """
    check_at_least(0, reference=reference)

    def loss(model, x0: Tensor, generator: Generator, done: float) -> Tensor:
        m = shares.draw(len(x0), done, generator)
        others = corpus.batch(reference, generator).to(x0.device) if reference else None
        return score_entropy_loss(model, model.process, x0, generator, m, others)

    return loss


def _normal_cdf(z: float) -> float:
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))
