"""A loss that learns more per step; `fast_loss` goes to `fit(..., loss=)`."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from tinysedd.corpus import Corpus
from tinysedd.guard import call, check_at_least, check_between, check_texts
from tinysedd.objective import stratified_times
from tinysedd.process import Absorbing, Process, Score


def score_entropy_loss(
    score: Score,
    process: Process,
    x0: Tensor,
    generator: torch.Generator | None = None,
    late: float = 1.0,
    reference: Tensor | None = None,
) -> Tensor:
    """`tinysedd.objective.score_entropy_loss` with weight "even" and two ways to learn more from each text.

    late       t = u^(1/late) for even u: above 1, times near 1 come more often. This is one more positive weight,
               late t^(late - 1), and it spends the work where a text is nearly all noise.
    reference  more texts (R, L) of the same corpus, under Absorbing only: the target at each mask is averaged over the
               texts of the batch that agree with what is visible. Same expectation, less noise in the gradient.
    ValueError for a reference without masks.
    """
    if reference is not None and not isinstance(process, Absorbing):
        raise ValueError(f"a reference batch works with Absorbing only, not with {type(process).__name__}")
    check_texts(x0, process, score)
    t = stratified_times(len(x0), generator) ** (1 / late)
    sigma, rate = process.schedule.total(t).to(x0.device), process.schedule.rate(t).to(x0.device)  # each (B,)
    x = process.perturb(x0, sigma, generator)
    log_score = call(score, process, x, sigma)
    entropy = process.score_entropy(log_score, x, x0, sigma)  # (B, L)
    if reference is not None and isinstance(process, Absorbing):
        # The target enters as -r log s_y alone, so replacing x0 by an average over texts changes just that term.
        log_s = log_score[..., : process.num_tokens]
        log_s = torch.where((x == process.mask)[..., None], log_s, 0.0)  # no -inf * 0 at visible characters
        shares = target_shares(process, x, x0, reference)
        change = log_s.gather(-1, x0[..., None]).squeeze(-1) - (shares * log_s).sum(-1)  # (B, L)
        entropy = entropy + change / torch.expm1(sigma)[:, None].to(change)
    return ((rate * -torch.expm1(-sigma)).to(entropy) * entropy.mean(-1)).mean()


def target_shares(process: Absorbing, x: Tensor, x0: Tensor, reference: Tensor) -> Tensor:
    """The share (B, L, N) of each character among x0 (B, L) and those texts of the reference (R, L) that fit x (B, L).

    A text fits if it agrees with x wherever x is visible; it is then as likely to have become x as x0 is. If all texts
    come from one corpus, the shares average independent draws of x0 given x. This is the stable target field of Xu et
    al. (2302.00670); with masks all weights are equal, so the average is unbiased.
    """
    with torch.autocast(x.device.type, enabled=False):  # bfloat16 would round the counts
        own, others = (F.one_hot(texts, process.num_tokens).float().flatten(1) for texts in (x0, reference))
        visible = own * (x != process.mask).repeat_interleave(process.num_tokens, dim=1)  # (B, L N)
        fits = (visible @ others.T == visible.sum(-1, keepdim=True)).to(own)  # (B, R)
        shares = (own + fits @ others) / (1 + fits.sum(-1, keepdim=True))
    return shares.view(*x.shape, process.num_tokens)


def fast_loss(corpus: Corpus, late: float = 1.0, reference: int = 0) -> Callable[..., Tensor]:
    """A loss for `fit`: `score_entropy_loss` with `late` times and a fresh reference of this many texts at each step.

    ValueError if late is not above 0 or reference is negative.
    """
    check_between(0, math.inf, late=late)
    check_at_least(0, reference=reference)

    def loss(model, x0: Tensor, generator: torch.Generator) -> Tensor:
        others = corpus.batch(reference, generator).to(x0.device) if reference else None
        return score_entropy_loss(model, model.process, x0, generator, late, others)

    return loss
