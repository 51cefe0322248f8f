"""Exercises of notebooks 06 and 07: the reverse process, and prompts."""

# An exercise is a class without instances, so its functions have no self.
# pyright: reportSelfClsParameterName=false

import dataclasses
import itertools
import math
import string
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tinysedd import show
from tinysedd.checks import scores
from tinysedd.checks.engine import binomial_tolerance, describe, exercise, refuse, tensor
from tinysedd.checks.noise import PASS
from tinysedd.checks.pictures import animals, bars
from tinysedd.corpus import Alphabet
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Process, Uniform, sample_categorical
from tinysedd.sampling import Trajectory, on_a_grid
from tinysedd.sampling import first_hitting as sample_film
from tinysedd.worlds import Oracle, Words


def _ratios(p: Tensor, process: Process, sigma: float, x: Tensor) -> Tensor:
    """p_sigma(x with x_i := y) / p_sigma(x) (L, S), for a table p (N,)*L of texts without noise."""
    for _ in range(p.ndim):
        p = p.movedim(0, -1) @ process.transition(sigma)[: p.shape[0]]  # replaces the first axis, puts it last
    return scores.concrete_score._reference(p, x)


class _World:
    """A world given as a table p (N,)*L of all its texts (T, L), for an `Oracle`."""

    def __init__(self, p: Tensor):
        self.p, self.length, self.alphabet = p, p.ndim, Alphabet(string.ascii_letters[: len(p)])
        self.texts = torch.cartesian_prod(*[torch.arange(p.shape[0])] * p.ndim).view(-1, p.ndim)

    def marginals(self, likelihood: Tensor) -> Tensor:
        fits = self.p.flatten() * math.prod(likelihood[:, i, self.texts[:, i]] for i in range(self.length))
        return (fits @ torch.nn.functional.one_hot(self.texts).double().flatten(1)).view_as(likelihood)


class _Denoiser:
    """p(x0_i = y | the visible characters) (L, N) for a text x (L,) with masks; where a character shows, p_visible."""

    __name__ = "denoiser"

    def __init__(self, p: Tensor, p_visible: float = 1.0):
        self.p, self.p_visible, self._oracle = p.flatten(), p_visible, Oracle(_World(p), Absorbing(len(p)))
        self._known: dict[tuple[int, ...], Tensor] = {}  # an exercise asks for the same few texts again and again

    def __call__(self, x) -> Tensor:
        x, world = torch.as_tensor(x), self._oracle.world
        refuse(x.shape != (world.length,), f"denoiser(x) takes one text of shape ({world.length},), not {(*x.shape,)}")
        key = tuple(x.tolist())
        if key not in self._known:
            p = self._oracle.log_posterior(x[None], torch.ones(1))[0].exp()
            self._known[key] = p.where((x == len(world.alphabet))[:, None], self.p_visible * p)
        return self._known[key].clone()


class _Score:
    """The exact score function (x (B, L), sigma (B,)) -> log_score (B, L, S) under a process."""

    __name__ = "score"

    def __init__(self, p: Tensor, process: Process):
        self.p, self.process, self.world = p, process, _World(p)
        self.noise, self.levels = torch.zeros(0), set()  # what a sampler starts with; the noise levels it asks about
        self.states = torch.cartesian_prod(*[torch.arange(process.num_states)] * p.ndim).view(-1, p.ndim)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        unfit = x.ndim != 2 or sigma.shape != x.shape[:1]
        refuse(unfit, f"score(x, sigma) takes x (B, L) and sigma (B,), not {(*x.shape,)} and {(*sigma.shape,)}")
        if torch.equal(x, self.noise):
            self.levels.clear()
        self.levels.add(float(sigma[0]))
        # Thousands of texts, but few different ones: compute the score of each state at each sigma once.
        levels, level = sigma.unique(return_inverse=True)
        states, levels = self.states.repeat(len(levels), 1), levels.repeat_interleave(len(self.states))
        number = (x * self.process.num_states ** torch.arange(x.shape[1] - 1, -1, -1)).sum(-1)  # of each text's state
        return Oracle(self.world, self.process)(states, levels)[level * len(self.states) + number]


# 06 ----------------------------------------------------------------------------------------------------------------


@exercise("a reverse rate is a forward rate times a ratio. Your rates run the noise backward.")
class reverse_rates:
    def reference(s: Any, x, Q, speed):
        rate = speed * Q[:, x].T * s
        rate[range(len(x)), x] = 0
        return rate

    def cases(rng: Any):
        for N, L in scores.SIZES:
            for process in (Absorbing(N), Uniform(N)):
                x = torch.randint(process.num_states, (L,), generator=rng)
                x[0] = process.num_states - 1  # at least one mask
                speed = 0.3 + 5 * torch.rand((), generator=rng).item()
                yield _ratios(scores._table(rng, N, L), process, 0.8, x), x, process.rate_matrix(), speed
        s = 3 * torch.rand(4, 7, generator=rng)
        yield s, torch.randint(7, (4,), generator=rng), Absorbing(6).rate_matrix(), 999.0

    mistakes = {
        "result / result.sum(-1, keepdim=True)": "Your rows add up to 1. Rates are no probabilities: do not normalize.",
    }  # fmt: skip

    def picture(function: Any):
        world, process, t = Words(), Uniform(26), torch.tensor([0.5])
        x, sigma = world.alphabet.encode("cqt"), process.schedule.total(t)
        s = world.score(process)(x[None], sigma)[0].exp()
        best = tensor(function(s, x, process.rate_matrix().to(s), process.schedule.rate(t).item())).flatten().topk(10)
        ys = [world.alphabet.decode(x.scatter(0, k // 26, k % 26)) for k in best.indices[:, None]]
        return bars(ys, best.values, "The ten most likely jumps back from cqt at t = 0.5", ylabel="your rate")


def _film(step: Callable, amount: Callable) -> object:
    """Six words, sampled in 30 steps with the exact score. step(s, x, amount): probabilities (L, S) for a text."""
    world, process, rng = Words(), Uniform(26), torch.Generator().manual_seed(1)

    def steps(log_score: Tensor, x: Tensor, amounts: Tensor) -> Tensor:
        return torch.stack([tensor(step(s.exp(), text, a.item())) for s, text, a in zip(log_score, x, amounts)])

    x, free = process.prior((6, 3), rng), torch.ones(3, dtype=torch.bool)
    film = on_a_grid(steps, amount, world.score(process), process, x, free, 30, rng)
    return show.animation(dataclasses.replace(film, alphabet=world.alphabet))


END = "(p / total.clamp(min=1)).scatter(-1, x[:, None], stay)"


@exercise("each row is a pmf, even when the step is too long.")
class euler_step:
    def reference(rate: Any, x, dt):
        p = dt * rate
        total = p.sum(-1, keepdim=True)
        stay = (1 - total).clamp(min=0)
        return (p / total.clamp(min=1)).scatter(-1, x[:, None], stay)

    def cases(rng: Any):
        for N, L in scores.SIZES:
            for longest in (0.1, 0.9, 4.0):  # dt times the largest sum of rates in a row
                x = torch.randint(N, (L,), generator=rng)
                rate = torch.rand(L, N, generator=rng) + 0.1
                rate = rate.scatter(-1, x[:, None], 0.0)
                dt = 0.01 + torch.rand((), generator=rng).item()
                yield rate / rate.sum(-1).max() * longest / dt, x, dt
        yield torch.tensor([[0.0, 0, 0], [2, 0, 6], [1, 0, 0]]), torch.tensor([1, 1, 2]), 0.25

    mistakes = {
        ("/ total.clamp(min=1) =>", ".clamp(min=0) =>"): "When the step is too long, your probability of staying is "
        "negative. Set it to 0 there, and scale the jumps to sum to 1.",
        f"{END} => p / total": "You scale the jumps in short steps, too. There, staying gets the rest.",
        f"{END} => (-torch.expm1(-total) * p / total.clamp(min=1e-9)).scatter(-1, x[:, None], (-total).exp())": "This "
        "is exp(-dt · rate), exact for constant rates. Euler's step is linear: dt · rate for a jump.",
        f"{END} => (p / total.clamp(min=1e-12)).scatter(-1, x[:, None], (total == 0).to(p))": "Your characters never "
        "stay. If the jumps of a row sum to less than 1, staying gets the rest.",
        f"{END} => (p / total.max().clamp(min=1)).scatter(-1, x[:, None], 1 - total / total.max().clamp(min=1))": "You "
        "divide all rows by the largest total. Divide each row by its own.",
        f"{END} => p.where(total <= 1, 0).scatter(-1, x[:, None], (total > 1) + stay)": "When the step is too long, "
        "your characters stay. Then they surely jump: divide the jumps by their sum.",
        f"{END} => p / total.clamp(min=1) + stay * torch.eye(len(p), p.shape[1])": "You stay in column i of row i. The "
        "character that stays is x[i].",
        "p / total.clamp(min=1) => p.clamp(max=1)": "You clip each jump at 1, but their sum must not exceed 1.",
        "(dt * rate).softmax(-1)": "You apply softmax, which takes exp(). dt · rate is a probability already.",
    }  # fmt: skip

    def picture(function: Any):
        Q, rate = Uniform(26).rate_matrix(), Uniform(26).schedule.rate  # the speed is in the amount
        rates = lambda s, x: reverse_rates._reference(s, x, Q, 1.0)  # noqa: E731
        return _film(lambda s, x, amount: function(rates(s, x), x, amount), lambda t, s: rate(t) * (t - s))


LESS, MORE = "torch.linalg.matrix_exp(-d * Q)", "torch.linalg.matrix_exp(d * Q)"
EXP = "Use the matrix exponential, torch.linalg.matrix_exp."


@exercise("Bayes' rule works for a step of any length, and is exact for each position on its own.")
class tweedie_step:
    def reference(s: Any, x, d, Q):
        less = (s @ torch.linalg.matrix_exp(-d * Q)).clamp(min=0)
        again = torch.linalg.matrix_exp(d * Q)[:, x].T
        p = less * again
        return p / p.sum(-1, keepdim=True)

    def cases(rng: Any):
        for N, L in scores.SIZES:
            for process in (Absorbing(N), Uniform(N)):
                for sigma, d in [(0.7, 0.6), (1.6, 0.4), (0.9, 1e-3)]:
                    x = torch.randint(process.num_states, (L,), generator=rng)
                    x[0] = process.num_states - 1
                    yield _ratios(scores._table(rng, N, L), process, sigma, x), x, d, process.rate_matrix()
        for process in (Absorbing(5), Uniform(6)):  # inexact ratios: some become negative with d less noise
            x = torch.tensor([5, 0, 5, 2])
            s = torch.rand(4, 6, generator=rng) ** 3 * 2
            yield s.scatter(-1, x[:, None], 1.0), x, 1.5, process.rate_matrix()

    mistakes = {
        (".clamp(min=0) =>", "p / p.sum(-1, keepdim=True) => p.softmax(-1)"): "softmax takes exp() first. These are "
        "already probabilities up to a factor: divide each row by its sum.",
        (f"{LESS} => torch.exp(-d * Q)", f"{MORE} => torch.exp(d * Q)"): f"You take exp() of each entry of Q. {EXP}",
        (f"{LESS} => (torch.eye(len(Q)) - d * Q)", f"{MORE} => (torch.eye(len(Q)) + d * Q)"): "You use I + dQ, which "
        f"is right for a tiny d only. {EXP}",
        ".clamp(min=0) => .abs()": "You take absolute values where a number is negative. Clamp it to 0 instead.",
    }  # fmt: skip

    def picture(function: Any):
        Q, total = Uniform(26).rate_matrix(), Uniform(26).schedule.total
        return _film(lambda s, x, d: function(s, x, d, Q.to(s)), lambda t, s: total(t) - total(s))


def _drawn(results: Any, shape: tuple[int, ...], S: int) -> Tensor:
    """The texts of several calls (C, B, L); ValueError if they do not all have this shape, and states 0 to S - 1."""
    calls = [tensor(texts) for texts in results]
    for x in calls:
        unfit = x.shape != shape or x.is_floating_point()
        refuse(unfit, f"Texts were expected, integers of shape {(*shape,)}; you returned {describe(results[0])}.")
        refuse(((x < 0) | (x >= S)).any(), f"States are the numbers 0 to {S - 1}.")
    calls = torch.stack(calls)
    refuse(
        (calls == calls[:, :1]).all(),
        "All your texts are equal. Draw each character of each text, and not the most probable.",
    )
    return calls


def _shares(x: Tensor, S: int) -> Tensor:
    """The fraction of each text among texts (..., L), as a table (S,)*L."""
    L = x.shape[-1]
    numbers = (x @ S ** torch.arange(L - 1, -1, -1)).flatten()
    return (torch.bincount(numbers, minlength=S**L) / numbers.numel()).view((S,) * L)


TEXTS = 5000  # texts that a sampler writes in each of two calls; a tolerance for 8000 texts is 6 standard errors


LAST = "sample_categorical(process.denoise(score(x, sigma), x, sigma), generator)"


@exercise(
    "no noise is left, for any schedule.",
    tolerance=binomial_tolerance(8000),
    seconds=60,
    repeats=2,
    measured=f"the fraction of each text among {2 * TEXTS:,}: rows for the first character, columns for the second, in "
    "the order of the states; the mask, if there is one, comes last.",
)
class mended_sampler:
    def reference(score: Any, process, x, steps, generator):
        times = torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)
        for now, later in zip(times[:-1], times[1:]):
            sigma = process.schedule.total(now).expand(len(x))
            less = sigma - process.schedule.total(later)
            x = sample_categorical(process.tweedie(score(x, sigma), x, less), generator)
        sigma = process.schedule.total(times[-1]).expand(len(x))
        return sample_categorical(process.denoise(score(x, sigma), x, sigma), generator)

    def cases(rng: Any):
        one = torch.tensor([0.2, 0.8])
        apart = torch.tensor([[0.0, 0.0, 0.0], [0.27, 0.03, 0.0], [0.63, 0.07, 0.0]])
        agree = torch.tensor([[0.42, 0.18], [0.18, 0.22]])  # Tweedie is off by 0.7 standard errors
        noisy = Geometric(0.7, 20.0)  # half of the characters are still noise at t = 0
        for process, p, steps in [
            (Absorbing(2), one, 1),
            (Absorbing(3), apart, 4),
            (Uniform(3), apart, 4),
            (Absorbing(2, noisy), one, 3),
            (Uniform(2, noisy), one, 5),
            (Uniform(2, LogLinear(0.3)), agree, 24),
        ]:
            score = _Score(p, process)
            x0 = score.world.texts[torch.multinomial(score.p.flatten(), TEXTS, replacement=True, generator=rng)]
            score.noise = process.perturb(x0, process.schedule.total(torch.ones(TEXTS)), rng)
            yield score, process, score.noise, steps, torch.Generator().manual_seed(steps)

    def measure(result: Any, score, process, x, steps, generator):
        """The fraction of each text, as a table (S,)*L; ValueError if two calls agree too often."""
        calls, asked = _drawn(result, x.shape, process.num_states), len(score.levels)
        levels = f"With steps = {steps}, ask the score at {steps} or {steps + 1} levels of noise, not at {asked}."
        refuse(not torch.equal(calls[0], x) and not steps <= asked <= steps + 2, levels)
        p = _shares(calls, process.num_states)
        by_chance, agree = p.square().sum(), (calls[0] == calls[1]).all(-1).double().mean()
        again = process.mask is not None and agree - by_chance > 7 * (by_chance / TEXTS).sqrt()
        refuse(again, f"Two calls with the same generator drew the same characters. {PASS}")
        return p

    def exact(score: Any, process, x, steps, generator):
        return torch.nn.functional.pad(score.p, (0, process.num_states - len(score.p)) * score.p.ndim)

    mistakes = {
        f"{LAST} => x": "Your sampler still stops early: the noise at the last time in `times` stays in the texts.",
        ("0.02 => 0", f"{LAST} => x"): "Right for the log-linear schedule, which has no noise at t = 0. The geometric "
        "schedule still has some there: the last step must remove all of it.",
        f"{LAST} => process.denoise(score(x, sigma), x, sigma).argmax(-1)": "Your last step takes the most probable "
        "character, so rare ones come out too rarely. Draw from the probabilities instead.",
        ("0.02 => 0.001", f"{LAST} => x"): "A smaller last time leaves less noise, but still some. Remove all of it.",
        "times[-1] => now": "Your last step uses the noise, or the score, from before the loop's last step. Ask for "
        "the score of the new x, at the last time.",
        "score(x, sigma), x, less => score(x, sigma - less), x, less": "You ask for the score at the later noise. The "
        "texts still have the noise sigma.",
        "times[-1] => times[0]": "Your last step treats the text as if it were still at t = 1. Use the last time.",
        (f"{LAST} => x", "process.tweedie(score(x, sigma), x, less) => process.denoise(score(x, sigma), x, sigma)"):
        "You remove all the noise in every step. Use denoise in the last step only.",
        f"{LAST} => x if process.mask is None else x.where(x != process.mask, 0)": "You replace the masks that are "
        "left by a fixed character. Draw from what process.denoise gives for them.",
        "x": "You return the noise unchanged. Replace x with what each step draws.",
    }  # fmt: skip

    def picture(function: Any):
        world, process, points = Words(), Uniform(26), []
        for steps in (1, 2, 4, 8, 16):
            rng = torch.Generator().manual_seed(steps)
            x = function(world.score(process), process, process.prior((300, 3), rng), steps, rng)
            points.append((steps, (world.log_prob(x) > -torch.inf).double().mean().item()))
        title = "With more steps, more words"
        return show.curve({"your sampler": points}, exact=1.0, x="steps", y="share of words", title=title)


COUNT = 20_000  # runs in one call of hitting_times


@exercise(
    "you know when each mask falls, without a grid of times.",
    tolerance=binomial_tolerance(COUNT),
    slips=False,
    measured="the fraction of runs in which the first mask falls at t <= 0.35, and at t <= 0.8; below, the last mask.",
)
class hitting_times:
    def reference(count: Any, n, generator):
        left = torch.arange(n, 0, -1)
        u = torch.rand(count, n, dtype=torch.float64, generator=generator)
        return (u ** (1 / left)).cumprod(1)

    def cases(rng: Any):
        for n in (2, 3, 8, 1):  # with n = 1 several mistakes coincide
            yield COUNT, n, torch.Generator().manual_seed(n)

    def measure(result: Any, count, n, generator):
        """The fraction of runs in which the first mask, and the last, falls at t <= each of MOMENTS."""
        times = tensor(result).double()
        shape = f"The shape should be {(count, n)}, a row for each run; yours is {tuple(times.shape)}."
        refuse(times.shape != (count, n), shape)
        refuse(((times < 0) | (times > 1)).any(), "All times should be between 0 and 1.")
        refuse(len(times.unique(dim=0)) < 0.9 * count and n > 1, SAME_RUNS)
        refuse((times[:, 0] == 1).all(), "Your first time is 1. Begin with the time when the first mask falls.")
        step = times.diff(dim=1)
        refuse(n > 1 and (step >= 0).all(), "Your times increase. Time runs backward here, from t = 1 down.")
        refuse((step > 0).any(), RISES)
        return (times[:, [0, -1][: min(n, 2)], None] <= MOMENTS).double().mean(0)

    def exact(count: Any, n, generator):
        first = MOMENTS**n  # all n times are below t
        last = 1 - (1 - MOMENTS) ** n  # at least one time is below t
        return torch.stack([first, last][: min(n, 2)])

    mistakes = {
        "u ** (1 / left) => u": "You multiply by u. The more masks are left, the sooner the next one falls: u^(1/n).",
        "1 / left => 1 / n": "You always take the root with the initial n. Use the number of masks left.",
        "(1 / left) => left": "This is u^n. Take the n-th root, u^(1/n): with many masks t decreases only a little.",
        "rand(count, n, => rand(count, 1,": "You use one u for all masks of a run. Draw a new u for each of them.",
        "torch.arange(n, 0, -1) => torch.arange(1, n + 1)": "You count the masks upward. At first n masks are left.",
    }  # fmt: skip

    def picture(function: Any):
        runs = tensor(function(4, 30, torch.Generator().manual_seed(0)))
        left = [*range(30, -1, -1), 0]
        lines = {f"run {k + 1}": list(zip([1, *run.tolist(), 0], left)) for k, run in enumerate(runs)}
        return show.curve(lines, x="time t", y="masks left", title="Each run ends at t = 0 without masks")


MOMENTS = torch.tensor([0.35, 0.8], dtype=torch.float64)
SAME_RUNS = "Several of your runs are the same. Draw a number u for each run and mask, (count, n), and do not round."
RISES = "A time is above the one before, but time runs backward: in each row, it is u^(1/n) times the one before it."
WRITTEN = 500  # texts, one per call
LEFT_TO_RIGHT = (
    "You always take the first mask, so you write from left to right, like a GPT. The texts come out right, and it is "
    "worth asking why. But here any mask may be next: choose it at random."
)


ASK = "sample_categorical(denoiser(x)[i], generator)"


@exercise(
    "your sampler writes each text as often as the world does. It is exact.",
    tolerance=binomial_tolerance(WRITTEN),
    repeats=WRITTEN,
    seconds=60,
    measured=f"the fraction of each final text in {WRITTEN} calls: 0, 1, or 000, 001, 010 and so on.",
)
class first_hitting:
    def reference(denoiser: Any, L, mask, generator):
        x = torch.full((L,), mask)
        states = [x]
        for _ in range(L):
            places = (x == mask).nonzero().flatten()
            i = places[torch.randint(len(places), (), generator=generator)]
            x = x.clone()
            x[i] = sample_categorical(denoiser(x)[i], generator)
            states.append(x)
        return torch.stack(states)

    def cases(rng: Any):
        three = [[[0.0, 0.1], [0.05, 0.0]], [[0.45, 0.0], [0.35, 0.05]]]
        for p in (torch.tensor(three), torch.tensor([0.06, 0.94])):  # with 1 or 2 characters several mistakes coincide
            yield _Denoiser(p.double()), p.ndim, p.shape[0], torch.Generator().manual_seed(p.ndim)

    def measure(result: Any, denoiser, L, mask, generator):
        """The fraction of each final text; ValueError if a state on the way is not as it should be."""
        states = tensor(result)
        shape = f"The shape should be (L + 1, L) = {(L + 1, L)}: the initial noise, and L steps."
        refuse(states.shape == (WRITTEN, L), f"You return only the final text. {shape}")
        refuse(states.shape != (WRITTEN, L + 1, L), f"{shape} Yours is {tuple(states.shape[1:])}.")
        changed = states[:, 1:] != states[:, :-1]  # (WRITTEN, L, L)
        refuse(not changed.any(), "All your states are the same tensor. Store a copy after each step: x.clone().")
        refuse(L > 1 and (states == states[0]).all(), f"All calls gave the same text, in the same order. {PASS}")
        refuse((states[:, 0] != mask).any(), "The first state should be pure noise: a mask at every position.")
        refuse((changed.sum(-1) != 1).any(), "Exactly one character should change from each state to the next.")
        visible = (states[:, :-1] != mask) & changed
        refuse(visible.any(), "You changed a character that was already visible. Choose among the masks only.")
        found = f"Each position should have a character at the end, 0 to {mask - 1}, in integers."
        refuse(states.is_floating_point() or not 0 <= states[:, -1].min() <= states[:, -1].max() < mask, found)
        refuse(L > 1 and (changed == torch.eye(L, dtype=torch.bool)).all(), LEFT_TO_RIGHT)
        orders, count = changed.long().argmax(-1).unique(dim=0, return_counts=True)
        share = torch.tensor(1 / math.factorial(L))
        allowed = binomial_tolerance(WRITTEN)(share)
        even = len(orders) * share > 0.99 and ((count / WRITTEN - share).abs() <= allowed).all()
        refuse(not even, "Not every mask is equally likely to be next: choose the position at random.")
        return _shares(states[:, -1], mask).flatten()

    def exact(denoiser: Any, L, mask, generator):
        return denoiser.p

    mistakes = {
        "denoiser(x)[i] => denoiser(states[0])[i]": "You call the denoiser once, on pure noise, so no character "
        "depends on the others. Call it again after each step.",
        f"{ASK} => denoiser(x)[i].argmax()": "You take the most probable character. Draw it from its probabilities.",
        "(x)[i] => (x)[0]": "You always draw from the first row. Position i has row i of denoiser(x).",
        "(x)[i] => (x)[i - 1]": "You draw from row i - 1. Position i has row i of denoiser(x).",
        f"{ASK} => torch.randint(mask, (), generator=generator)": "You draw the character uniformly from all N. Draw "
        "it from its probabilities, row i of denoiser(x).",
    }  # fmt: skip

    def picture(function: Any):
        p = torch.tensor([[0.3, 0.0, 0.1], [0.0, 0.25, 0.0], [0.2, 0.0, 0.15]], dtype=torch.float64)
        denoiser, rng = _Denoiser(p), torch.Generator().manual_seed(0)
        ends = torch.stack([tensor(function(denoiser, 2, 3, rng))[-1] for _ in range(400)])
        count, names = torch.bincount(ends @ torch.tensor([3, 1]), minlength=9), [a + b for a in "abc" for b in "abc"]
        return bars(names, count, "400 texts from your sampler, and 400 · p(text)", 400 * p.flatten(), ylabel="texts")


# 07 ----------------------------------------------------------------------------------------------------------------


def _booleans(result, *arguments):
    """ValueError if the second tensor, `free`, is not boolean."""
    x, free = result if isinstance(result, list | tuple) and len(result) == 2 else (result, None)
    integers = isinstance(free, Tensor) and len(free) > 0 and free.dtype != torch.bool and tensor(x).dtype != torch.bool
    refuse(integers, "`free` should hold booleans, True and False, because later cells compute ~free.")
    return result


MASK = "You put another state at free positions. The mask comes after the last character: N, len(characters)."


@exercise("any sampler can now start from your prompt.")
class read_prompt:
    def reference(prompt: Any, length, characters):
        if len(prompt) > length:
            raise ValueError(f"the prompt has {len(prompt)} characters; there is room for {length}")
        prompt = prompt.ljust(length, "_")
        x = [len(characters) if c == "_" else characters.index(c) for c in prompt]
        return torch.tensor(x), torch.tensor([c == "_" for c in prompt])

    def cases(rng: Any):
        yield "b", 1, "ab"
        yield "_", 1, "ab"
        yield "c_a", 3, "abc"
        yield "ab", 4, "abc"
        yield " a_B ", 6, "ba BA"  # not sorted; spaces at both ends
        yield "", 2, "ab"
        yield "ba_", 2, "ab"  # too long
        yield "ad_", 4, "abc"  # not in the alphabet
        yield "d", 1, "abc"
        yield "the ____ wolf", 20, " .abcdefghijklmnopqrstuvwxyz"

    measure = _booleans

    mistakes = {
        "len(characters) if => 0 if": MASK,
        "len(characters) if => -1 if": MASK,
        "len(characters) if => len(characters) - 1 if": MASK,
        "prompt.ljust => prompt.strip().ljust": "You remove spaces at the ends of the prompt. They are characters too.",
        "characters.index => ''.join(sorted(characters)).index": "You sort the alphabet. Use its own order.",
    }  # fmt: skip

    def picture(function: Any):
        world, process, score = animals()
        x, free = function("___ or ___? owl!", 16, world.alphabet.characters)
        film = sample_film(score, process, x.repeat(5, 1), free, 9, torch.Generator().manual_seed(0))
        return show.animation(dataclasses.replace(film, alphabet=world.alphabet))


@exercise("the prompt stays, whatever a step does to it.")
class project:
    def reference(x: Any, prompt, free):
        return torch.where(free, x, prompt)

    def cases(rng: Any):
        for B, L in [(1, 1), (1, 3), (2, 3), (3, 3), (4, 6)]:
            x, prompt = torch.randint(4, (B, L), generator=rng), torch.randint(4, (L,), generator=rng)
            free = torch.rand(L, generator=rng) < 0.5
            free[0], free[-1] = False, L > 1
            yield x, torch.where(free, 4, prompt), free
        yield torch.tensor([[0, 1, 2]]), torch.tensor([4, 3, 4]), torch.tensor([True, False, True])
        yield torch.tensor([[0, 1], [2, 1]]), torch.tensor([3, 3]), torch.tensor([True, True])
        yield torch.tensor([[0, 1], [2, 1]]), torch.tensor([0, 2]), torch.tensor([False, False])

    mistakes = {
        "free, x, prompt => free, prompt, x": "You swapped the two. Keep x where a position is free.",
        "prompt.expand_as(x)": "You return the prompt alone, in each row. Keep the texts of x at free positions.",
        "torch.cat([result[:1], x[1:]])": "You put the prompt into the first text only. Put it into every row of x.",
        "x + prompt * ~free": "You add the prompt to x. Replace x with the prompt where a position is not free.",
    }  # fmt: skip

    def picture(function: Any):
        world, process, _ = animals()
        process = Uniform(process.num_tokens)
        score, rng = world.score(process), torch.Generator().manual_seed(1)
        prompt, free = read_prompt._reference("___ or ___? owl!", 16, world.alphabet.characters)
        states, times = [process.prior((5, 16), rng)], torch.linspace(1, 0, 25, dtype=torch.float64)
        for now, later in itertools.pairwise(times):
            x, sigma = function(states[-1], prompt, free), process.schedule.total(now).expand(5)
            p = process.tweedie if later > 0 else process.denoise
            noise = sigma - process.schedule.total(later) if later > 0 else sigma
            states.append(sample_categorical(p(score(x, sigma), x, noise), rng))
        states.append(function(states.pop(), prompt, free))
        return show.animation(Trajectory(torch.stack(states), times, ~free, 24, alphabet=world.alphabet))


@exercise("the score at a mask is a conditional up to a factor. You need one division, and no sum over texts.")
class exact_conditional:
    def reference(log_score: Any, i):
        return log_score[i, :-1].softmax(-1)

    def cases(rng: Any):
        for N, L, sigma in [(2, 1, 1.0), (3, 2, 0.1), (2, 3, 3.0), (5, 4, 0.01), (4, 2, 12.0)]:
            process = Absorbing(N)
            log_posterior = torch.randn(1, L, N, generator=rng).mul(2).log_softmax(-1)
            i = int(torch.randint(L, (), generator=rng))
            x = torch.randint(process.num_states, (1, L), generator=rng)
            x[0, i] = N
            yield process.log_score(log_posterior, x, torch.tensor([sigma]))[0], i
        inf = torch.inf
        for rows in [[-inf, 0, -inf, -inf], [-3, -inf, 2, 0], [0, 0, 1, 0]], [[0.5, 0.1, -0.3, 0], [60, 62, -inf, 0]]:
            yield torch.tensor(rows), 1

    mistakes = {
        ".softmax(-1) => / log_score[i, :-1].sum()": "You divide log-scores by their sum. Take exp() first.",
        "i, :-1 => i, 1:": "You leave out the first character. The mask is the last state: leave out that one.",
    }  # fmt: skip

    def picture(function: Any):
        world, _, score = animals()
        x, _ = read_prompt._reference("_o_ or ___? ___!", 16, world.alphabet.characters)
        p = function(score(x[None], torch.ones(1))[0], 0)
        names = world.alphabet.characters.replace(" ", "␣")
        return bars(names, p, "Your probabilities of the first gap in _o_ or …")


FILL = "x[i] = goal[i]"


@exercise("you fill one gap after another, and the product is exact in any order.")
class fill_probability:
    def reference(denoiser: Any, x, goal, mask):
        x, p = x.clone(), 1.0
        for i in range(len(x)):
            if x[i] == mask and goal[i] != mask:
                p *= float(denoiser(x)[i, goal[i]])
                x[i] = goal[i]
        return p

    def cases(rng: Any):
        for character in (2, 0):
            yield _Denoiser(torch.tensor([0.3, 0.7]).double(), 0.9), torch.tensor([character]), torch.tensor([0]), 2
        for N, L in [(2, 2), (3, 2), (2, 3), (3, 4)]:
            denoiser = _Denoiser(scores._table(rng, N, L) ** 3, 0.9)
            goal, noise = torch.randint(N, (L,), generator=rng), torch.full((L,), N)
            first, last = torch.arange(L) == 0, torch.arange(L) == L - 1
            yield denoiser, noise, goal, N
            yield denoiser, torch.where(torch.arange(L) < 2, noise, goal), goal, N
            yield denoiser, noise, torch.where(first, noise, goal), N  # the goal has a gap too
            yield denoiser, torch.where(last, noise, goal), torch.where(first, noise, goal), N  # even where x has none
            yield denoiser, torch.where(first, noise, goal), torch.where(last, (goal + 1) % N, goal), N  # x stays
        agree = _Denoiser(torch.tensor([[0.5, 0.0], [0.0, 0.5]]).double(), 0.9)
        yield agree, torch.tensor([2, 2]), torch.tensor([1, 1]), 2
        yield agree, torch.tensor([2, 2]), torch.tensor([1, 0]), 2  # impossible

    mistakes = {
        "x.clone() => torch.where((x == mask) | (goal == mask), x, goal)": "You write the goal over visible characters "
        "of x. They stay as they are, even where the goal is another one.",
        f"p *= => {FILL}\n            p *=": "You write a character before you ask for its probability. Ask first.",
        f"{FILL} => break": "You stop after the first gap. Go on to the next ones, and multiply.",
        f"{FILL} => x[i] = denoiser(x)[i].argmax()": "You fill in the most probable character, not the goal's.",
    }  # fmt: skip

    def picture(function: Any):
        world, process, score = animals()
        x, _ = read_prompt._reference("___ or owl? ___!", 16, world.alphabet.characters)
        names = world.lists["animal"]
        goals = [world.alphabet.encode(f"{name} or owl? owl!") for name in names]

        def denoiser(x):
            return score.log_posterior(tensor(x)[None], torch.ones(1))[0].exp()

        heights = [float(function(denoiser, x, goal, process.mask)) for goal in goals]
        return bars(names, heights, "Your probability of: … or owl? owl!")


TAIL = "text[len(text) - kept :]"
MINUS = (
    "The last `keep` characters are not always text[-keep:]. With keep = 0 that is the whole text, because -0 is 0; "
    "and a text shorter than `keep` has fewer. Count from the front, and keep no more characters than there are."
)


@exercise("the end of one window is the beginning of the next.")
class slide:
    def reference(text: Any, keep, length, mask):
        kept = min(keep, len(text))
        x = torch.full((length,), mask)
        x[:kept] = text[len(text) - kept :]
        return x, torch.arange(length) >= kept

    def cases(rng: Any):
        sizes = [(1, 1, 1), (2, 1, 2), (4, 1, 4), (4, 3, 4), (6, 2, 4), (9, 3, 5), (2, 0, 3), (4, 0, 3), (1, 3, 5)]
        for T, keep, length in sizes:
            yield torch.randint(5, (T,), generator=rng), keep, length, 5
        yield torch.tensor([2, 0]), 3, 5, 4
        yield torch.zeros(0, dtype=torch.int64), 2, 3, 4  # no text yet
        yield torch.tensor([1, 0, 2]), 3, 3, 3  # no room for new characters

    measure = _booleans

    mistakes = {
        f"{TAIL} => text[:kept]": "You keep the beginning of the text. Keep its end.",
        (f"x[:kept] = {TAIL} => x[:keep] = text[-keep:]", ">= kept => >= keep"): MINUS,
        (f"x[:kept] = {TAIL} => x = torch.cat([text[-keep:], x[keep:]])", ">= kept => >= keep"): MINUS,
        (f"x[:kept] = {TAIL} => x[: len(text[-keep:])] = text[-keep:]", ">= kept => >= len(text[-keep:])"): MINUS,
        "result[0].roll(-min(keep, len(text))), result[1].flip(0)": "You put the kept characters at the end of the "
        "window. Put them at its beginning; the new ones follow.",
        "min(keep, => min(length - keep,": "You keep `length` - `keep` characters. Keep `keep` of them.",
        f"{TAIL} => text[len(text) - keep :]": "This fails when the text is shorter than `keep`. Compute how many "
        "characters you can really keep, and use that number everywhere.",
        f"{TAIL} => text.flip(0)[:kept]": "Your kept characters are in reverse order. Keep the order of the text.",
    }  # fmt: skip
