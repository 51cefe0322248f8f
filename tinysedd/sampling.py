"""From noise to text: six samplers, plain functions over any score function.

A sampler takes (score, process, x, free, steps, generator): the noise x (B, L) to begin with, and which characters are
free to change (L,); the others are the prompt and stay (SEDD, section 5.3). It gives back a Trajectory.
Left out on purpose: temperature and top-k, which sample from another distribution than the one learned.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.process import Process

Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Trajectory:
    """The way of B texts from noise (step 0) to clean text (step T).

    states: (T+1, B, L)      times: (T+1,), from 1 down        given: (L,) bool, the characters of the prompt
    calls: network evaluations, a text            clamped: jumps that an Euler step was too long for (see Uniform.euler)
    mask: the mask's id, or None                  alphabet: to read the states with, or None
    """

    states: Tensor
    times: Tensor
    given: Tensor
    calls: int
    clamped: int = 0
    mask: int | None = None
    alphabet: Alphabet | None = None

    @property
    def texts(self) -> list[str]:
        """The B texts at the end."""
        return self.texts_at(-1)

    def texts_at(self, step: int) -> list[str]:
        """The B texts after a step; a mask is shown as _."""
        if self.alphabet is None:
            raise ValueError("without an alphabet the states cannot be read: pass alphabet= to sample")
        return [self.alphabet.decode(row) for row in self.states[step]]


def euler(score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Euler's method (tau-leaping) on an even grid of times: the reverse rates act as if frozen (SEDD, section 4.1)."""

    def step(log_score: Tensor, x: Tensor, now: Tensor, later: Tensor) -> Tensor:
        return process.euler(log_score, x, (process.schedule.rate(now) * (now - later)).expand(len(x)))

    return _reverse(step, score, process, x, free, steps, generator)


def tweedie(score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Tweedie tau-leaping on an even grid of times: each character's step is exact by itself (SEDD, algorithm 2)."""

    def step(log_score: Tensor, x: Tensor, now: Tensor, later: Tensor) -> Tensor:
        less = process.schedule.total(now) - process.schedule.total(later)
        return process.tweedie(log_score, x, less.expand(len(x)))

    return _reverse(step, score, process, x, free, steps, generator)


def first_hitting(score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Absorbing only: jump from one unmasking to the next, with no error from a time grid (Zheng et al., 2409.02908).

    With n masks left the share of masks falls by u^(1/n) until one of them, any, is drawn. As many steps as masks draw
    them one by one; fewer steps draw them in groups, as if independent; more are not needed and not taken.
    The texts of a batch share the times.
    """
    masked = _masked(process, x, free)
    steps, states, times = min(steps, int(masked.sum(-1).max())), [x], [1.0]
    share = -torch.expm1(-process.schedule.total(torch.tensor(1.0, dtype=torch.float64)))  # of masks
    for left in range(steps, 0, -1):
        count = masked.sum(-1, keepdim=True)  # (B, 1)
        group = count // left  # what is left over comes last, when most is settled
        for n in range(int(count.max()), int(count.max() - group.max()), -1):
            share = share * torch.rand((), dtype=torch.float64, generator=generator) ** (1 / n)
        sigma = -torch.log1p(-share).to(x.device)
        hit = _least(torch.rand(x.shape, generator=generator).to(x.device), masked, group)
        x = _redraw(score, process, x, hit, sigma, generator)
        masked = masked & ~hit
        states.append(x)
        times.append(float(process.schedule.time(sigma).clamp(0, 1)))
    return Trajectory(torch.stack(states), torch.tensor(times), ~free, calls=steps, mask=process.mask)


def entropy_bounded(
    score: Score,
    process: Process,
    x: Tensor,
    free: Tensor,
    steps: int,
    generator=None,
    bound: float = 0.01,
    lot: int = 2,
) -> Trajectory:
    """Absorbing only: draw together what is nearly sure, and so nearly independent (Ben-Hamu et al., 2505.24857).

    A step draws the masks of least entropy. What it loses by drawing them as if independent is at most the sum of their
    entropies less the largest (in KL divergence from their joint distribution): as many are drawn as keep that within
    `bound` nats, one at least. The order depends on the text alone, so that one by one, with the exact score, it is
    exact. It ends as soon as all is drawn; the last of the `steps` draw more, where the bound leaves too much to them.

    The first `lot` characters (at most one for each 8 steps) are at places drawn by lot: if all texts began at the same
    place, a model's error there would lean all of them in one direction. Without, `fables` wrote one of its shapes
    hardly ever and another three times too often; with two, all about as often as they should come.
    """
    masked = _masked(process, x, free)
    states, times = [x], [1.0]
    for left in range(steps, 0, -1):
        if not masked.any():
            break
        count = masked.sum(-1, keepdim=True)  # (B, 1)
        sigma = -torch.log1p(-count.clamp(min=1).squeeze(-1).double() / (x.shape[1] + 1))  # any would do
        p = process.denoise(score(x, sigma.float()), x, sigma)
        entropy = torch.special.entr(p).sum(-1)  # (B, L), in nats
        ordered = entropy.masked_fill(~masked, torch.inf).sort(-1).values
        within = (ordered.cumsum(-1) - ordered <= bound) & ordered.isfinite()
        hit = _least(entropy, masked, torch.maximum(within.sum(-1, keepdim=True), count // left**2))
        if steps - left < min(lot, steps // 8):
            hit = _least(torch.rand(x.shape, generator=generator).to(x.device), masked, masked.any(-1, keepdim=True))
        x = torch.where(hit, draw(p, generator), x)
        masked = masked & ~hit
        states.append(x)
        share = masked.double().mean()
        times.append(float(process.schedule.time(-torch.log1p(-share)).clamp(0, 1)))
    return Trajectory(torch.stack(states), torch.tensor(times), ~free, calls=len(states) - 1, mask=process.mask)


def spread(score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Absorbing only: draw groups of characters that stand far apart, and so nearly independent (the idea of the Halton
    scheduler, Besnier et al., 2503.17076, on a line).

    From place to place it goes on by the golden ratio of the text's length, from a start by lot: however many places
    make a group, they are spread evenly, and so are those that are left. The order depends on no character, so that one
    by one, with the exact score, it is exact. More steps than masks are not needed and not taken.
    """
    masked = _masked(process, x, free)
    steps, states, times = min(steps, int(masked.sum(-1).max())), [x], [1.0]
    order = _golden_order(x, generator)
    for left in range(steps, 0, -1):
        count = masked.sum(-1, keepdim=True)  # (B, 1)
        hit = _least(order, masked, count // left)  # what is left over comes last, when most is settled
        x = _redraw(score, process, x, hit, -torch.log1p(-count.squeeze(-1).double() / (x.shape[1] + 1)), generator)
        masked = masked & ~hit
        states.append(x)
        times.append(float(process.schedule.time(-torch.log1p(-masked.double().mean())).clamp(0, 1)))
    return Trajectory(torch.stack(states), torch.tensor(times), ~free, calls=steps, mask=process.mask)


def corrected(score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Absorbing only: spread, then corrector steps, a quarter of all (Campbell et al., 2205.14987).

    Each takes a few characters of a finished text, a sixteenth or one, and draws them again given the rest: first those
    that were drawn first. With the exact score, one by one, that is Gibbs sampling, which leaves p(x0) as it is. What
    was drawn when little could be seen, or together with others, is mended now that the rest is there.
    """
    first = spread(score, process, x, free, steps - steps // 4, generator)
    states, x, count = list(first.states), first.states[-1], int(free.sum())
    few = max(count // 16, 1)
    sigma = -torch.log1p(torch.tensor(-few / (count + 1), dtype=torch.float64, device=x.device))
    masked_for = (first.states == process.mask).sum(0)  # (B, L), in steps
    order = masked_for.masked_fill(~free, steps + 1).argsort(dim=-1, stable=True)
    for step in range(steps // 4 if count else 0):
        places = order[:, [(step * few + i) % count for i in range(few)]]  # (B, few)
        hit = torch.zeros_like(x, dtype=torch.bool).scatter(-1, places, True)
        x = _redraw(score, process, torch.where(hit, process.mask, x), hit, sigma, generator)
        states.append(x)
    calls = len(states) - 1
    times = torch.cat([first.times, torch.zeros(calls - first.calls)])
    return Trajectory(torch.stack(states), times, ~free, calls=calls, mask=process.mask)


SAMPLERS = {
    sampler.__name__: sampler for sampler in (euler, tweedie, first_hitting, entropy_bounded, spread, corrected)
}


def best_sampler(process: Process) -> str:
    """The name of the sampler that writes best under a process."""
    return "tweedie" if process.mask is None else "corrected"


@torch.no_grad()
def sample(
    score: Score,
    process: Process,
    *,
    length: int | None = None,
    prompt: str | None = None,
    count: int = 1,
    steps: int = 64,
    sampler: str | Callable[..., Trajectory] = "tweedie",
    alphabet: Alphabet | None = None,
    generator: torch.Generator | None = None,
) -> Trajectory:
    """Draw texts: from noise alone, or around a prompt.

    score     any score function (x, sigma) -> log_score; where it has .alphabet and .length, these are the defaults
    length    characters a text
    prompt    text with _ for each free character; free to the end where it is shorter than length
              (under Uniform the score still takes it for noise, and the rest comes out a little wrong: notebook 07)
    steps     steps of the sampler; the last one always takes all the noise that is left
    sampler   a name in SAMPLERS, or a function like those
    ValueError says what is missing, too long, or not in the alphabet.
    """
    alphabet = alphabet or getattr(score, "alphabet", None)
    length = length or getattr(score, "length", None) or len(prompt or "")
    if not length:
        raise ValueError("say how long the text shall be: pass length= or prompt=")
    if steps < 1 or count < 1:
        raise ValueError(f"steps and count must be at least 1, not {steps} and {count}")
    if isinstance(sampler, str) and sampler not in SAMPLERS:
        raise ValueError(f"there is no sampler {sampler!r}: take one of {', '.join(SAMPLERS)}")
    x, given = process.prior((count, length), generator), torch.zeros(length, dtype=torch.bool)
    if prompt is not None:
        if alphabet is None:
            raise ValueError("a prompt needs an alphabet: pass alphabet=")
        ids, given = alphabet.encode_prompt(prompt, length)
        x = torch.where(given, ids, x)
    device = getattr(score, "device", x.device)
    run = SAMPLERS[sampler] if isinstance(sampler, str) else sampler
    remembers = None if getattr(score, "needs_sigma", True) else _Remembering(score)
    trajectory = run(remembers or score, process, x.to(device), ~given.to(device), steps, generator)
    calls = math.ceil(remembers.texts / count) if remembers else trajectory.calls
    return dataclasses.replace(trajectory, alphabet=alphabet, calls=calls)


class _Remembering:
    """A model that needs no sigma, asked again only about the texts that changed since (Ou et al., 2406.03736, E-NFE).

    texts: how many it was asked about in all.
    """

    def __init__(self, model):
        self.model, self.x, self.log_posterior, self.texts = model, None, None, 0

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        changed = torch.ones_like(x[:, 0], dtype=torch.bool) if self.x is None else (x != self.x).any(-1)
        fresh = self.model.log_posterior(x[changed]) if changed.any() else None
        if self.x is None:
            self.log_posterior = fresh
        elif fresh is not None:
            self.log_posterior[changed] = fresh
        self.x, self.texts = x, self.texts + int(changed.sum())
        return self.model.process.log_score(self.log_posterior, x, sigma)


def draw(p: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """One state for each row of probabilities: (..., S) -> (...).

    In float64: 32-bit uniform numbers are too coarse for rare states and would quietly lower the temperature
    (Zheng et al., 2409.02908, section 4). ValueError where probabilities are nan or all 0.
    """
    cdf = p.double().cumsum(-1)
    if not (cdf[..., -1] > 0).all():
        raise ValueError("probabilities are nan or all 0: are all scores numbers, and was the model trained?")
    u = torch.rand(p.shape[:-1], dtype=torch.float64, generator=generator).to(p.device)[..., None] * cdf[..., -1:]
    return torch.searchsorted(cdf, u, right=True).squeeze(-1).clamp(max=p.shape[-1] - 1)


def _redraw(score: Score, process: Process, x: Tensor, hit: Tensor, sigma: Tensor, generator) -> Tensor:
    """x (B, L) with the masks that are hit (B, L) drawn from the denoiser at total noise sigma ()."""
    sigma = sigma.expand(len(x))
    return torch.where(hit, draw(process.denoise(score(x, sigma.float()), x, sigma), generator), x)


def _masked(process: Process, x: Tensor, free: Tensor) -> Tensor:
    """Which characters (B, L) are to be unmasked."""
    if process.mask is None:
        raise ValueError("there are no masks under Uniform: take the sampler 'tweedie' or 'euler'")
    return (x == process.mask) & free


def _golden_order(x: Tensor, generator) -> Tensor:
    """When each place of x (B, L) has its turn (B, L), from 0 on: the n-th is n golden ratios of L from the first."""
    B, L = x.shape
    start = torch.rand(B, 1, dtype=torch.float64, generator=generator)
    stops = (start + (5**0.5 - 1) / 2 * torch.arange(L, dtype=torch.float64)) % 1  # all different
    return stops.argsort(-1).to(x.device)  # sorted, the first stop is the first place's


def _least(key: Tensor, among: Tensor, count: Tensor) -> Tensor:
    """The `count` (B, 1) places with the least keys (B, L) among those chosen (B, L), as a mask (B, L)."""
    return key.double().masked_fill(~among, torch.inf).argsort(-1).argsort(-1) < count


def _reverse(step, score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator) -> Trajectory:
    """Steps on an even grid of times from 1 to 0; the last goes to zero noise, whatever the schedule has at t = 0."""
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64, device=x.device)
    states, clamped = [x], 0
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        log_score = score(x, sigma.float())
        p = step(log_score, x, now, later) if later > 0 else process.denoise(log_score, x, sigma)
        clamped += int(((p.gather(-1, x[..., None]).squeeze(-1) == 0) & free).sum()) if later > 0 else 0
        x = torch.where(free, draw(p, generator), x)
        states.append(x)
    return Trajectory(torch.stack(states), times.cpu(), ~free, calls=steps, clamped=clamped, mask=process.mask)
