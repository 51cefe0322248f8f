"""From noise to text: the plain samplers, functions over any score function.

A sampler takes (score, process, x, free, steps, generator): noise x (B, L) to start from, and which characters may
change, free (L,); the others are the prompt and stay (SEDD, section 5.3). It returns a Trajectory. Left out on purpose:
temperature and top-k, which sample from another distribution than the one learned. Better samplers: fast/sampling.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from tinysedd.corpus import Alphabet
from tinysedd.guard import call, check_alphabet, check_at_least, check_masks, find_length
from tinysedd.process import Absorbing, Process, Score, sample_categorical


@dataclass(frozen=True)
class Trajectory:
    """B texts on their way from noise (step 0) to clean text (step T)."""

    states: Tensor  # (T+1, B, L)
    times: Tensor  # (T+1,), from 1 down
    given: Tensor  # (L,) bool: the prompt
    calls: int  # of the score function, per text
    clamped: int = 0  # Euler steps so long that they left no probability of staying (see Process.euler)
    mask: int | None = None  # the mask's state
    alphabet: Alphabet | None = None

    @property
    def texts(self) -> list[str]:
        """The B final texts."""
        return self.texts_at(-1)

    def texts_at(self, step: int) -> list[str]:
        """The B texts after a step; a mask is shown as _. ValueError if there is no alphabet."""
        if self.alphabet is None:
            raise ValueError("the states cannot be read without an alphabet: pass alphabet= to sample")
        return [self.alphabet.decode(row) for row in self.states[step]]


Sampler = Callable[..., Trajectory]


def on_a_grid(
    step, amount, score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator
) -> Trajectory:
    """The reverse process on an even grid of times from 1 to 0: a step from t to s removes the noise amount(t, s), and
    step(log_score, x, amount) gives the probabilities of the next states. The last step removes all that is left."""
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64, device=x.device)
    states, clamped = [x], 0
    for t, s in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(t).expand(len(x))
        log_score = call(score, process, x, sigma)
        if s > 0:
            p = step(log_score, x, amount(t, s).expand(len(x)))  # (B, L, S)
            clamped += int(((p.gather(-1, x[..., None]).squeeze(-1) == 0) & free).sum())
        else:
            p = process.denoise(log_score, x, sigma)
        x = torch.where(free, sample_categorical(p, generator), x)
        states.append(x)
    return Trajectory(torch.stack(states), times.cpu(), ~free, calls=steps, clamped=clamped, mask=process.mask)


def euler(score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Euler's method, or tau-leaping: the reverse rates are frozen during each step (SEDD, section 4.1)."""
    rate = process.schedule.rate
    return on_a_grid(process.euler, lambda t, s: rate(t) * (t - s), score, process, x, free, steps, generator)


def tweedie(score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Tweedie tau-leaping: each character's step is exact by itself (SEDD, algorithm 2)."""
    total = process.schedule.total
    return on_a_grid(process.tweedie, lambda t, s: total(t) - total(s), score, process, x, free, steps, generator)


def first_hitting(score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Absorbing only: jump from one unmasking to the next, without the error of a time grid (Zheng et al., 2409.02908).
    With n masks left, the share of masks falls by a factor u^(1/n) until the next one, chosen at random, is unmasked.
    Fewer steps than masks unmask groups as if independent; more are not taken. The texts of a batch share their times.
    """
    masked = find_masks(process, x, free)
    steps, states, times = min(steps, int(masked.sum(-1).max())), [x], [1.0]
    share = -torch.expm1(-process.schedule.total(torch.tensor(1.0, dtype=torch.float64)))  # share of masks
    for left in range(steps, 0, -1):
        count = masked.sum(-1, keepdim=True)  # (B, 1)
        group = count // left  # a remainder comes last, when most of the text is known
        for n in range(int(count.max()), int(count.max() - group.max()), -1):
            share = share * torch.rand((), dtype=torch.float64, generator=generator) ** (1 / n)
        sigma = -torch.log1p(-share).to(x.device)
        hit = smallest(torch.rand(x.shape, generator=generator).to(x.device), masked, group)
        x = unmask(score, process, x, hit, sigma, generator)
        masked = masked & ~hit
        states.append(x)
        times.append(float(process.schedule.time(sigma).clamp(0, 1)))
    return Trajectory(torch.stack(states), torch.tensor(times), ~free, calls=steps, mask=process.mask)


SAMPLERS: dict[str, Sampler] = {"euler": euler, "tweedie": tweedie, "first_hitting": first_hitting}


@torch.no_grad()
def sample(
    score: Score,
    process: Process,
    *,
    length: int | None = None,
    prompt: str | None = None,
    count: int = 1,
    steps: int = 64,
    sampler: Sampler | None = None,
    alphabet: Alphabet | None = None,
    generator: Generator | None = None,
) -> Trajectory:
    """Write `count` texts from noise, or around a prompt. `tinysedd.sample` also takes a sampler by its name.

    score    any score function; its .alphabet and .length, if it has them, are the defaults
    prompt   text with _ for each free character; after its end everything is free. (Under Uniform a score takes the
             prompt for noise like the rest, so the result is slightly off: notebook 07.)
    sampler  defaults to the best one in this file for the process: first_hitting for Absorbing, else tweedie
    ValueError says what is missing, too long, or not in the alphabet.
    """
    check_alphabet(alphabet, process, getattr(score, "alphabet", None))
    alphabet = alphabet or getattr(score, "alphabet", None)
    length = find_length(length, getattr(score, "length", None), prompt)
    check_at_least(1, steps=steps, count=count, length=length)
    x, given = process.prior((count, length), generator), torch.zeros(length, dtype=torch.bool)
    if prompt is not None:
        if alphabet is None:
            raise ValueError("a prompt needs an alphabet: pass alphabet=")
        ids, given = alphabet.encode_prompt(prompt, length)
        x = torch.where(given, ids, x)
    sampler = sampler or (first_hitting if isinstance(process, Absorbing) else tweedie)
    device = getattr(score, "device", x.device)
    trajectory = sampler(score, process, x.to(device), ~given.to(device), steps, generator)
    return replace(trajectory, alphabet=alphabet)


def find_masks(process: Process, x: Tensor, free: Tensor) -> Tensor:
    """Which characters (B, L) are to be unmasked. ValueError for a process that does more than mask."""
    return (x == check_masks(process, "this sampler", ": use 'tweedie' or 'euler'")) & free


def unmask(score: Score, process: Process, x: Tensor, hit: Tensor, sigma: Tensor, generator) -> Tensor:
    """x (B, L) with the masks at hit (B, L) drawn from the posterior, at total noise sigma ()."""
    sigma = sigma.expand(len(x))
    return torch.where(hit, sample_categorical(process.denoise(call(score, process, x, sigma), x, sigma), generator), x)


def smallest(key: Tensor, among: Tensor, count: Tensor) -> Tensor:
    """The `count` (B, 1) positions with the smallest keys (B, L) among those allowed (B, L), as a mask (B, L)."""
    return key.double().masked_fill(~among, torch.inf).argsort(dim=-1, stable=True).argsort(-1) < count
