"""Samplers that write better text in fewer steps, and `sample`, which picks the best one for a process."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from tinysedd import sampling
from tinysedd.guard import call
from tinysedd.process import Absorbing, Process, Score, sample_categorical
from tinysedd.sampling import Sampler, Trajectory, find_masks, smallest, unmask


def entropy_bounded(
    score: Score,
    process: Absorbing,
    x: Tensor,
    free: Tensor,
    steps: int,
    generator: torch.Generator | None = None,
    bound: float = 0.01,
    random_first: int = 2,
) -> Trajectory:
    """Absorbing only: draw together what is nearly certain and so nearly independent (Ben-Hamu et al., 2505.24857).

    A step draws the masks of lowest entropy. Drawing them as if independent costs at most the sum of their entropies
    less the largest one (KL divergence from their joint distribution, in nats). Each step draws as many as keep this
    cost within `bound`, at least one, and the last of the `steps` draw more if the bound left too many. With the exact
    score and one character at a time the result is exact. Sampling ends when nothing is masked.

    The first `random_first` characters (at most one per 8 steps) are at random positions. If all texts started at the
    same position, the model's error there would push all of them in the same direction: without this, `fables` wrote
    one of its templates almost never and another three times too often; with two, all about as often as they should.
    """
    masked = find_masks(process, x, free)
    states, times = [x], [1.0]
    for left in range(steps, 0, -1):
        if not masked.any():
            break
        count = masked.sum(-1, keepdim=True)  # (B, 1)
        sigma = -torch.log1p(-count.clamp(min=1).squeeze(-1).double() / (x.shape[1] + 1))  # (B,)
        p = process.denoise(call(score, process, x, sigma), x, sigma)
        entropy = torch.special.entr(p).sum(-1)  # (B, L), in nats
        ordered = entropy.masked_fill(~masked, torch.inf).sort(-1).values
        within = (ordered.cumsum(-1) - ordered <= bound) & ordered.isfinite()
        hit = smallest(entropy, masked, torch.maximum(within.sum(-1, keepdim=True), count // min(left, 10_000) ** 2))
        if steps - left < min(random_first, steps // 8):
            order = torch.rand(x.shape, generator=generator).to(x.device)
            hit = smallest(order, masked, masked.any(-1, keepdim=True))
        x = torch.where(hit, sample_categorical(p, generator), x)
        masked = masked & ~hit
        states.append(x)
        times.append(_time(process, masked))
    return Trajectory(torch.stack(states), torch.tensor(times), ~free, calls=len(states) - 1, mask=process.mask)


def spread(score: Score, process: Absorbing, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Absorbing only: draw groups of characters that are far apart and so nearly independent.

    This is the idea of the Halton scheduler (Besnier et al., 2503.17076) on a line: starting from a random position,
    each next position is a golden ratio of the text's length further. However many of them form a group, they are
    spread evenly, and so are those that are left. The order ignores the text, so one character at a time with the exact
    score is exact. More steps than masks are not needed and not taken.
    """
    masked = find_masks(process, x, free)
    steps, states, times = min(steps, int(masked.sum(-1).max())), [x], [1.0]
    order = golden_order(x, generator)
    for left in range(steps, 0, -1):
        count = masked.sum(-1, keepdim=True)  # (B, 1)
        hit = smallest(order, masked, count // left)  # a remainder comes last, when most of the text is known
        x = unmask(score, process, x, hit, -torch.log1p(-count.squeeze(-1).double() / (x.shape[1] + 1)), generator)
        masked = masked & ~hit
        states.append(x)
        times.append(_time(process, masked))
    return Trajectory(torch.stack(states), torch.tensor(times), ~free, calls=steps, mask=process.mask)


def corrected(score: Score, process: Absorbing, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Absorbing only: `spread`, then corrector steps, a quarter of all steps (Campbell et al., 2205.14987).

    A corrector step masks a few characters of the finished text (a sixteenth of them, at least one) and draws them
    again given the rest, oldest first. With the exact score and one character at a time this is Gibbs sampling, which
    leaves p(x0) unchanged. It repairs characters that were drawn when little was visible, or together with others.
    """
    first = spread(score, process, x, free, steps - steps // 4, generator)
    states, x, count = list(first.states), first.states[-1], int(free.sum())
    few = max(count // 16, 1)
    sigma = -torch.log1p(torch.tensor(-few / (count + 1), dtype=torch.float64, device=x.device))
    steps_masked = (first.states == process.mask).sum(0)  # (B, L): how long each character stayed masked
    order = steps_masked.masked_fill(~free, steps + 1).argsort(dim=-1, stable=True)
    for step in range(steps // 4 if count else 0):
        positions = order[:, [(step * few + i) % count for i in range(few)]]  # (B, few)
        hit = torch.zeros_like(x, dtype=torch.bool).scatter(-1, positions, True)
        x = unmask(score, process, torch.where(hit, process.mask, x), hit, sigma, generator)
        states.append(x)
    calls = len(states) - 1
    times = torch.cat([first.times, torch.zeros(calls - first.calls)])
    return Trajectory(torch.stack(states), times, ~free, calls=calls, mask=process.mask)


SAMPLERS: dict[str, Sampler] = sampling.SAMPLERS | {
    "entropy_bounded": entropy_bounded,
    "spread": spread,
    "corrected": corrected,
}


def best_sampler(process: Process) -> str:
    """The name of the sampler that writes best under a process."""
    return "corrected" if isinstance(process, Absorbing) else "tweedie"


def sample(
    score: Score, process: Process, *, sampler: str | Sampler | None = None, steps: int = 64, count: int = 1, **options
) -> Trajectory:
    """Write texts: `sampling.sample` with all samplers, by name or as a function, and the best one as the default.

    score    any score function (x, sigma) -> log_score; its .alphabet and .length, if it has them, are the defaults
    sampler  a name in SAMPLERS, or a function like them; None takes `best_sampler(process)`
    steps    steps of the sampler
    count    how many texts
    options  prompt=, length=, alphabet=, generator=: see `tinysedd.sampling.sample`
    A model that needs no sigma is called again only for texts that have changed. ValueError for an unknown sampler, and
    as in `sampling.sample`.
    """
    sampler = best_sampler(process) if sampler is None else sampler
    if isinstance(sampler, str):
        if sampler not in SAMPLERS:
            raise ValueError(f"there is no sampler {sampler!r}: use one of {', '.join(SAMPLERS)}")
        sampler = SAMPLERS[sampler]
    if getattr(score, "needs_sigma", True):
        return sampling.sample(score, process, sampler=sampler, steps=steps, count=count, **options)
    cache = ScoreCache(score)
    trajectory = sampling.sample(cache, process, sampler=sampler, steps=steps, count=count, **options)
    return replace(trajectory, calls=math.ceil(cache.texts / count))


class ScoreCache:
    """A model that needs no sigma, called again only for the texts that changed since (Ou et al., 2406.03736, E-NFE).

    texts: how many texts it was called for in all.
    """

    def __init__(self, model):
        self.model, self.process, self.alphabet = model, model.process, model.alphabet
        self.length, self.device = model.length, model.device
        self.x: Tensor | None = None
        self.log_posterior: Tensor | None = None
        self.texts = 0

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        if self.x is None or self.log_posterior is None:
            changed = torch.ones_like(x[:, 0], dtype=torch.bool)
            self.log_posterior = self.model.log_posterior(x)
        else:
            changed = (x != self.x).any(-1)
            if changed.any():
                self.log_posterior[changed] = self.model.log_posterior(x[changed])
        self.x, self.texts = x.clone(), self.texts + int(changed.sum())
        return self.process.log_score(self.log_posterior, x, sigma)


def golden_order(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For each position of x (B, L), its turn (B, L): turn n is n golden ratios of L further than a random start."""
    B, L = x.shape
    start = torch.rand(B, 1, dtype=torch.float64, generator=generator)
    stops = (start + (5**0.5 - 1) / 2 * torch.arange(L, dtype=torch.float64)) % 1  # all different
    return stops.argsort(-1).to(x.device)  # the turn at the leftmost stop belongs to the first position, and so on


def _time(process: Process, masked: Tensor) -> float:
    """The time at which this share of characters (B, L) is masked on average."""
    return float(process.schedule.time(-torch.log1p(-masked.double().mean())).clamp(0, 1))
