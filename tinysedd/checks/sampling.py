"""Exercises of notebooks 06 and 07: the reverse process, and prompts."""

import math

import torch
from torch import Tensor

from tinysedd.checks.engine import binomial_tolerance, describe, exercise, tensor
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Process, Uniform, sample_categorical

SIZES = [(2, 1), (3, 2), (2, 3), (4, 2), (3, 3)]  # N characters, L positions


def _table(rng: torch.Generator, N: int, L: int) -> Tensor:
    """A random pmf over texts of L characters from an alphabet of N, with no probability equal to 0."""
    p = torch.rand((N,) * L, dtype=torch.float64, generator=rng) + 0.05
    return p / p.sum()


def _ratios(p: Tensor, x: Tensor) -> Tensor:
    """p(x with x_i := y) / p(x) (L, S) from a table p (S,)*L."""
    rows = [p.movedim(i, -1)[tuple(x[j] for j in range(len(x)) if j != i)] for i in range(len(x))]
    return torch.stack(rows) / p[tuple(x)]


def _noised(p: Tensor, process: Process, sigma: float) -> Tensor:
    """The table of p_sigma (S,)*L for a table p (N,)*L."""
    for _ in range(p.ndim):
        p = p.movedim(0, -1) @ process.transition(sigma)[: p.shape[0]]  # replaces the first axis, puts it last
    return p


class _Exact:
    """A world given as a table p (N,)*L: texts (T, L) are all its texts, letters (T, L N) the same in one-hot form."""

    def __init__(self, p: Tensor):
        self.N, self.L, self.p = p.shape[0], p.ndim, p.flatten()
        self.texts = torch.cartesian_prod(*[torch.arange(self.N)] * self.L).view(-1, self.L)
        self.letters = torch.nn.functional.one_hot(self.texts, self.N).double().flatten(1)


class _Denoiser(_Exact):
    """p(x0_i = y | the visible characters) (L, N) for a text x (L,) with masks."""

    __name__ = "denoiser"

    def __init__(self, p: Tensor):
        super().__init__(p)
        self._known: dict[tuple[int, ...], Tensor] = {}  # an exercise asks for the same few texts again and again

    def __call__(self, x) -> Tensor:
        x = torch.as_tensor(x)
        if x.shape != (self.L,):
            raise ValueError(f"denoiser(x) takes one text of shape ({self.L},); it was given shape {tuple(x.shape)}")
        key = tuple(x.tolist())
        if key not in self._known:
            fits = self.p * ((x == self.N) | (x == self.texts)).all(-1)
            joint, total = (fits @ self.letters).view(self.L, self.N), fits.sum()
            self._known[key] = joint / total if total > 0 else torch.full_like(joint, 1 / self.N)
        return self._known[key].clone()


class _Score(_Exact):
    """The exact score function (x (B, L), sigma (B,)) -> log_score (B, L, S) under a process."""

    __name__ = "score"

    def __init__(self, p: Tensor, process: Process):
        super().__init__(p)
        self.process = process
        self.states = torch.cartesian_prod(*[torch.arange(process.num_states)] * self.L).view(-1, self.L)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        if x.ndim != 2 or sigma.shape != x.shape[:1]:
            shapes = f"{tuple(x.shape)} and {tuple(sigma.shape)}"
            raise ValueError(f"score(x, sigma) takes x (B, L) and sigma (B,); it was given shapes {shapes}")
        # Thousands of texts, but few different ones: compute the score of each state at each sigma once.
        levels, level = sigma.unique(return_inverse=True)
        states, levels = self.states.repeat(len(levels), 1), levels.repeat_interleave(len(self.states))
        seen = self.process.log_likelihood(states, levels).exp()  # (K, L, N)
        fits = self.p * math.prod(seen[:, i, self.texts[:, i]] for i in range(self.L))  # (K, T)
        posterior = (fits @ self.letters).view(-1, self.L, self.N) / fits.sum(-1)[:, None, None]
        log_score = self.process.log_score(posterior.log(), states, levels)  # (K, L, S)
        number = (x * self.process.num_states ** torch.arange(self.L - 1, -1, -1)).sum(-1)  # of the state of each text
        return log_score[level * len(self.states) + number]


# 06 ----------------------------------------------------------------------------------------------------------------


@exercise("a reverse rate is a forward rate times a ratio. Your rates run the noise backward.")
def reverse_rates(s, x, Q, speed):
    return (speed * Q[:, x].T * s).scatter(-1, x[:, None], 0.0)


@reverse_rates.cases
def _(rng):
    for N, L in SIZES:
        for process in (Absorbing(N), Uniform(N)):
            x = torch.randint(process.num_states, (L,), generator=rng)
            x[0] = process.num_states - 1  # at least one mask
            speed = 0.3 + 5 * torch.rand((), generator=rng).item()
            yield _ratios(_noised(_table(rng, N, L), process, 0.8), x), x, process.rate_matrix(), speed
    s = 3 * torch.rand(4, 7, dtype=torch.float64, generator=rng)
    yield s, torch.randint(7, (4,), generator=rng), Absorbing(6).rate_matrix(), 999.0


@reverse_rates.mistake(
    "You use the rate of x → y. A reverse jump from x to y undoes a forward jump y → x, whose rate is in row y and "
    "column x of Q."
)
def _(s, x, Q, speed):
    return (speed * Q[x] * s).scatter(-1, x[:, None], 0.0)


@reverse_rates.mistake("You have a negative rate at the current character. Staying is not a jump: put 0 there.")
def _(s, x, Q, speed):
    return speed * Q[:, x].T * s


@reverse_rates.mistake(
    "At the current character you put minus the sum of the row, as in a rate matrix. Here only jumps count: put 0 "
    "there."
)
def _(s, x, Q, speed):
    rate = reverse_rates._reference(s, x, Q, speed)
    return rate.scatter(-1, x[:, None], -rate.sum(-1, keepdim=True))


@reverse_rates.mistake("The speed of the clock, sigma', is missing: multiply by `speed`.")
def _(s, x, Q, speed):
    return reverse_rates._reference(s, x, Q, 1.0)


@reverse_rates.mistake("These are the forward rates only. Multiply each one by its ratio, s[i, y].")
def _(s, x, Q, speed):
    return reverse_rates._reference(torch.ones_like(s), x, Q, speed)


@reverse_rates.mistake("You take exp() of s. These are already ratios, not log-scores.")
def _(s, x, Q, speed):
    return reverse_rates._reference(s.exp(), x, Q, speed)


@reverse_rates.mistake(
    "You leave out Q, as if every jump y → x had the same forward rate. With masks most of these rates are 0."
)
def _(s, x, Q, speed):
    return (speed * s).scatter(-1, x[:, None], 0.0)


@reverse_rates.mistake("You divide by the ratio. Multiply by it: the rate is higher where y is more probable.")
def _(s, x, Q, speed):
    return reverse_rates._reference(1 / s, x, Q, speed)


@reverse_rates.mistake("Each of your rows adds up to 1. Rates are not probabilities: do not normalize them.")
def _(s, x, Q, speed):
    rate = reverse_rates._reference(s, x, Q, speed)
    return rate / rate.sum(-1, keepdim=True).clamp(min=1e-300)


@reverse_rates.mistake(
    "Your matrix is transposed. It should be (L, S): a row for each position, a column for each state."
)
def _(s, x, Q, speed):
    return reverse_rates._reference(s, x, Q, speed).T


@exercise("each row is a pmf, even when the step is too long.")
def euler_step(rate, x, dt):
    p = dt * rate
    total = p.sum(-1, keepdim=True)
    return (p / total.clamp(min=1)).scatter(-1, x[:, None], (1 - total).clamp(min=0))


@euler_step.cases
def _(rng):
    for N, L in SIZES:
        for longest in (0.1, 0.9, 4.0):  # dt times the largest sum of rates in a row
            x = torch.randint(N, (L,), generator=rng)
            rate = torch.rand(L, N, dtype=torch.float64, generator=rng) + 0.1
            rate = rate.scatter(-1, x[:, None], 0.0)
            dt = 0.01 + torch.rand((), generator=rng).item()
            yield rate / rate.sum(-1).max() * longest / dt, x, dt
    yield torch.tensor([[0.0, 0, 0], [2, 0, 6], [1, 0, 0]], dtype=torch.float64), torch.tensor([1, 1, 2]), 0.25


def _short_step(rate, x, dt, stay):
    """The jump probabilities of a short step, with `stay` (L, 1) as the probability of staying."""
    return (dt * rate).scatter(-1, x[:, None], stay)


@euler_step.mistake(
    "When the step is too long, your probability of staying is negative. Set it to 0 there, and scale the jumps to "
    "sum to 1."
)
def _(rate, x, dt):
    return _short_step(rate, x, dt, 1 - dt * rate.sum(-1, keepdim=True))


@euler_step.mistake(
    "When the step is too long, your row adds up to more than 1. You set the probability of staying to 0, which is "
    "right; now scale the jumps to sum to 1."
)
def _(rate, x, dt):
    return _short_step(rate, x, dt, (1 - dt * rate.sum(-1, keepdim=True)).clamp(min=0))


@euler_step.mistake("The probability of staying is missing, so your row adds up to dt times the rates instead of 1.")
def _(rate, x, dt):
    return _short_step(rate, x, dt, torch.zeros_like(rate[:, :1]))


@euler_step.mistake(
    "Your text almost never stays as it is, because you scale the jumps to sum to 1 in short steps too. In a short "
    "step, staying gets the rest: 1 minus the sum of the jumps."
)
def _(rate, x, dt):
    p = dt * rate
    return p / p.sum(-1, keepdim=True)


@euler_step.mistake(
    "This is exp(-dt · rate), which is exact for constant rates. Euler's step is linear: dt · rate for a jump, and "
    "the rest for staying."
)
def _(rate, x, dt):
    total = rate.sum(-1, keepdim=True)
    gone = -torch.expm1(-dt * total)
    return (gone * rate / total.clamp(min=1e-300)).scatter(-1, x[:, None], 1 - gone)


@euler_step.mistake("You leave out the length of the step, dt. The probability of a jump is dt · rate.")
def _(rate, x, dt):
    return euler_step._reference(rate, x, 1.0)


@euler_step.mistake(
    "You sum over the positions. Each position jumps independently: sum along its row, over the states it can jump to."
)
def _(rate, x, dt):
    return _short_step(rate, x, dt, (1 - dt * rate.sum(0)[x]).clamp(min=0)[:, None])


@euler_step.mistake(
    "You sum over the whole table. Each position jumps independently: each row has its own probability of staying."
)
def _(rate, x, dt):
    return _short_step(rate, x, dt, (1 - dt * rate.sum()).clamp(min=0).expand(len(x), 1))


@euler_step.mistake("You clip each jump at 1, but not their sum. The sum of a row must not exceed 1.")
def _(rate, x, dt):
    return (dt * rate).clamp(max=1).scatter(-1, x[:, None], (1 - dt * rate.sum(-1, keepdim=True)).clamp(min=0))


@exercise("Bayes' rule works for a step of any length, and is exact for each position on its own.")
def tweedie_step(s, x, d, Q):
    p = (s @ torch.linalg.matrix_exp(-d * Q)).clamp(min=0) * torch.linalg.matrix_exp(d * Q)[:, x].T
    return p / p.sum(-1, keepdim=True)


@tweedie_step.cases
def _(rng):
    for N, L in SIZES:
        for process in (Absorbing(N), Uniform(N)):
            for sigma, d in [(0.7, 0.6), (1.6, 0.4), (0.9, 1e-3)]:
                x = torch.randint(process.num_states, (L,), generator=rng)
                x[0] = process.num_states - 1
                yield _ratios(_noised(_table(rng, N, L), process, sigma), x), x, d, process.rate_matrix()
    for process in (Absorbing(5), Uniform(6)):  # inexact ratios: some become negative with d less noise
        x = torch.tensor([5, 0, 5, 2])
        s = torch.rand(4, 6, dtype=torch.float64, generator=rng) ** 3 * 2
        yield s.scatter(-1, x[:, None], 1.0), x, 1.5, process.rate_matrix()


def _product(less, again):
    p = less.clamp(min=0) * again
    return p / p.sum(-1, keepdim=True)


@tweedie_step.mistake("Your rows do not add up to 1. The formula says ∝: divide each row by its sum.")
def _(s, x, d, Q):
    return (s @ torch.linalg.matrix_exp(-d * Q)).clamp(min=0) * torch.linalg.matrix_exp(d * Q)[:, x].T


_SOFTMAX = (
    "softmax takes exp() of its input before it divides. Your numbers are already probabilities up to a factor: "
    "divide each row by its sum."
)


@tweedie_step.mistake(_SOFTMAX)
def _(s, x, d, Q):
    less = (s @ torch.linalg.matrix_exp(-d * Q)).clamp(min=0)
    return (less * torch.linalg.matrix_exp(d * Q)[:, x].T).softmax(-1)


@tweedie_step.mistake(_SOFTMAX)
def _(s, x, d, Q):
    return (s @ torch.linalg.matrix_exp(-d * Q) * torch.linalg.matrix_exp(d * Q)[:, x].T).softmax(-1)


@tweedie_step.mistake(
    "The forward step is missing. Multiply the ratios with less noise by exp(dQ), from y to the current character of x."
)
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(-d * Q), 1.0)


@tweedie_step.mistake(
    "The ratios still have all their noise. Remove d of it first: multiply them from the right by exp(-dQ)."
)
def _(s, x, d, Q):
    return _product(s, torch.linalg.matrix_exp(d * Q)[:, x].T)


@tweedie_step.mistake("You swapped the two signs: exp(-dQ) removes noise, exp(dQ) is the forward step.")
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(d * Q), torch.linalg.matrix_exp(-d * Q)[:, x].T)


@tweedie_step.mistake("You never change the sign. exp(-dQ), with a minus, removes the noise.")
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(d * Q), torch.linalg.matrix_exp(d * Q)[:, x].T)


@tweedie_step.mistake("The forward step goes from y to x, so y is the row and x the column of exp(dQ). You used row x.")
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(-d * Q), torch.linalg.matrix_exp(d * Q)[x])


@tweedie_step.mistake("Your exp(-dQ) is transposed. The sum runs over its rows z, so s goes on the left: s @ exp(-dQ).")
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(-d * Q).T, torch.linalg.matrix_exp(d * Q)[:, x].T)


@tweedie_step.mistake("You take exp() of each entry of Q. Use the matrix exponential, torch.linalg.matrix_exp.")
def _(s, x, d, Q):
    return _product(s @ (-d * Q).exp(), (d * Q).exp()[:, x].T)


@tweedie_step.mistake(
    "Right for exact ratios. But a network's ratios do not fit any distribution exactly, so with d less noise some "
    "become negative: clamp those to 0 before you divide."
)
def _(s, x, d, Q):
    p = (s @ torch.linalg.matrix_exp(-d * Q)) * torch.linalg.matrix_exp(d * Q)[:, x].T
    return p / p.sum(-1, keepdim=True)


TEXTS = 10_000  # texts that a sampler writes in one call


@exercise(
    "no noise is left, for any schedule.",
    tolerance=binomial_tolerance(TEXTS),
    seconds=60,
    measured=f"the fraction of each text among {TEXTS:,}: rows for the first character, columns for the second, in the "
    "order of the states; the mask, if there is one, comes last.",
)
def mended_sampler(score, process, x, steps, generator):
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        log_score = score(x, sigma)
        if later > 0:
            p = process.tweedie(log_score, x, sigma - process.schedule.total(later))
        else:
            p = process.denoise(log_score, x, sigma)
        x = sample_categorical(p, generator)
    return x


@mended_sampler.cases
def _(rng):
    one = torch.tensor([0.2, 0.8], dtype=torch.float64)
    apart = torch.tensor([[0.0, 0.0, 0.0], [0.27, 0.03, 0.0], [0.63, 0.07, 0.0]], dtype=torch.float64)
    agree = torch.tensor([[0.42, 0.18], [0.18, 0.22]], dtype=torch.float64)  # Tweedie is off by 0.7 standard errors
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
        x0 = score.texts[torch.multinomial(score.p, TEXTS, replacement=True, generator=rng)]
        x = process.perturb(x0, process.schedule.total(torch.ones(TEXTS)), rng)
        yield score, process, x, steps, torch.Generator().manual_seed(steps)


@mended_sampler.measure
def _(result, score, process, x, steps, generator):
    """The fraction of each text, as a table (S,)*L."""
    result, S, L = tensor(result), process.num_states, score.L
    if result.shape != x.shape or result.is_floating_point():
        raise ValueError(
            f"All texts were expected, in integers of shape {tuple(x.shape)}, but you returned {describe(result)}."
        )
    if not 0 <= result.min() <= result.max() < S:
        raise ValueError(f"States are the numbers 0 to {S - 1}.")
    number = (result * S ** torch.arange(L - 1, -1, -1)).sum(-1)
    return torch.bincount(number, minlength=S**L).view((S,) * L) / TEXTS


@mended_sampler.exact
def _(score, process, x, steps, generator):
    more = process.num_states - score.N
    return torch.nn.functional.pad(score.p.view((score.N,) * score.L), (0, more) * score.L)


def _tweedie_steps(score, process, x, times, generator):
    """Tweedie's steps along a grid of times."""
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        x = sample_categorical(process.tweedie(score(x, sigma), x, sigma - process.schedule.total(later)), generator)
    return x


@mended_sampler.mistake(
    "Your sampler still stops early: the noise at the last time in `times` stays in the texts. Remove it with one "
    "more step."
)
def _(score, process, x, steps, generator):
    return _tweedie_steps(score, process, x, torch.linspace(1, 0.02, steps + 1, dtype=torch.float64), generator)


@mended_sampler.mistake(
    "Right for the log-linear schedule, which has no noise at t = 0. The geometric schedule still has some there: the "
    "last step must remove all of it."
)
def _(score, process, x, steps, generator):
    return _tweedie_steps(score, process, x, torch.linspace(1, 0, steps + 1, dtype=torch.float64), generator)


@mended_sampler.mistake(
    "Your last step takes the most probable character, so rare characters come out too rarely. Draw from the "
    "probabilities instead."
)
def _(score, process, x, steps, generator):
    x = _tweedie_steps(score, process, x, torch.linspace(1, 0.02, steps + 1, dtype=torch.float64), generator)
    sigma = process.schedule.total(torch.tensor(0.02, dtype=torch.float64)).expand(len(x))
    return process.denoise(score(x, sigma), x, sigma).argmax(-1)


@mended_sampler.mistake(
    "Your last step treats the text as if it were still at t = 1. Give denoise and the score the noise at the last "
    "time you reached."
)
def _(score, process, x, steps, generator):
    x = _tweedie_steps(score, process, x, torch.linspace(1, 0.02, steps + 1, dtype=torch.float64), generator)
    sigma = process.schedule.total(torch.tensor(1.0, dtype=torch.float64)).expand(len(x))
    return sample_categorical(process.denoise(score(x, sigma), x, sigma), generator)


@mended_sampler.mistake(
    "You remove all the noise in every step. After the first step the text is clean, and you ask the score about "
    "noise that is not there. Use process.denoise for the last step only."
)
def _(score, process, x, steps, generator):
    for now in torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)[:-1]:
        sigma = process.schedule.total(now).expand(len(x))
        x = sample_categorical(process.denoise(score(x, sigma), x, sigma), generator)
    return x


@mended_sampler.mistake("You return the noise unchanged. Replace x with what each step draws.")
def _(score, process, x, steps, generator):
    return x


COUNT = 20_000  # runs in one call of hitting_times


@exercise(
    "you know when each mask falls, without a grid of times.",
    tolerance=binomial_tolerance(COUNT),
    measured="the fraction of runs in which the first mask falls at t <= 0.35, and at t <= 0.8; below, the last mask.",
)
def hitting_times(count, n, generator):
    u = torch.rand(count, n, dtype=torch.float64, generator=generator)
    return u.pow(1 / torch.arange(n, 0, -1)).cumprod(1)


@hitting_times.cases
def _(rng):
    for n in (1, 2, 3, 8):
        yield COUNT, n, torch.Generator().manual_seed(n)


_INCREASING = "Your times increase. Time runs backward here, from t = 1 down, so the first mask falls at the largest t."
_SAME_RUNS = (
    "All your runs are the same. Each run is random: draw `count` numbers u at a time, not one number for all runs, "
    "and do not use an even grid of times."
)
_MOMENTS = torch.tensor([0.35, 0.8], dtype=torch.float64)


@hitting_times.measure
def _(result, count, n, generator):
    """The fraction of runs in which the first mask, and the last, falls at t <= each of `_MOMENTS`."""
    times = tensor(result).double()
    if times.shape != (count, n):
        raise ValueError(f"The shape should be {(count, n)}, a row for each run; yours is {tuple(times.shape)}.")
    if not ((times > 0) & (times <= 1)).all():
        raise ValueError("All times should be between 0 and 1.")
    if (times == times[0]).all():
        raise ValueError(_SAME_RUNS)
    if n > 1 and (times.diff(dim=1) >= 0).all():
        raise ValueError(_INCREASING)
    if not (times.diff(dim=1) <= 0).all():
        raise ValueError("Each time in a row should be below the one before it, because time runs backward.")
    return (times[:, [0, -1][: min(n, 2)], None] <= _MOMENTS).double().mean(0)


@hitting_times.exact
def _(count, n, generator):
    first = _MOMENTS**n  # all n times are below t
    last = 1 - (1 - _MOMENTS) ** n  # at least one time is below t
    return torch.stack([first, last][: min(n, 2)])


@hitting_times.mistake(_SAME_RUNS)
def _(count, n, generator):
    return hitting_times._reference(1, n, generator).expand(count, n)


@hitting_times.mistake(
    "You multiply by u, regardless of the number of masks. The more masks are left, the sooner the next one falls: "
    "use u^(1/n)."
)
def _(count, n, generator):
    return torch.rand(count, n, dtype=torch.float64, generator=generator).cumprod(1)


@hitting_times.mistake("You always take the root with the initial n. n is the number of masks left: n, n - 1, ..., 1.")
def _(count, n, generator):
    return torch.rand(count, n, dtype=torch.float64, generator=generator).pow(1 / n).cumprod(1)


@hitting_times.mistake("This is u^n. Take the n-th root, u^(1/n): with many masks t decreases only a little.")
def _(count, n, generator):
    u = torch.rand(count, n, dtype=torch.float64, generator=generator)
    return u.pow(torch.arange(n, 0, -1)).cumprod(1)


@hitting_times.mistake(
    "You count the masks upward, 1, 2, ..., n. At first n masks are left, and before the last step only 1."
)
def _(count, n, generator):
    u = torch.rand(count, n, dtype=torch.float64, generator=generator)
    return u.pow(1 / torch.arange(1, n + 1)).cumprod(1)


@hitting_times.mistake(
    "These are the factors u^(1/n). Each new time is the previous time multiplied by its factor: multiply the factors "
    "up."
)
def _(count, n, generator):
    u = torch.rand(count, n, dtype=torch.float64, generator=generator)
    return u.pow(1 / torch.arange(n, 0, -1))


@hitting_times.mistake(_INCREASING)
def _(count, n, generator):
    return hitting_times._reference(count, n, generator).flip(1)


_LEFT_TO_RIGHT = (
    "You always take the first mask, so you write from left to right, like a GPT. The texts come out right, and it is "
    "worth asking why. But in first hitting any mask may be next: choose it at random."
)
WRITTEN = 500  # texts, one per call


@exercise(
    "your sampler writes each text as often as the world does. It is exact.",
    tolerance=binomial_tolerance(WRITTEN),
    repeats=WRITTEN,
    seconds=60,
    measured=f"the fraction of each final text in {WRITTEN} calls: 0, 1 or 00, 01, 10, 11 and so on.",
)
def first_hitting(denoiser, L, mask, generator):
    states = [torch.full((L,), mask)]
    for _ in range(L):
        x = states[-1].clone()
        places = (x == mask).nonzero().flatten()
        i = places[torch.randint(len(places), (), generator=generator)]
        x[i] = sample_categorical(denoiser(x)[i], generator)
        states.append(x)
    return torch.stack(states)


@first_hitting.cases
def _(rng):
    for p in [
        [0.06, 0.94],
        [[0.45, 0.0], [0.1, 0.45]],  # two characters drawn independently would often clash
        [[[0.1, 0.0], [0.0, 0.3]], [[0.25, 0.0], [0.2, 0.15]]],
    ]:
        p = torch.tensor(p, dtype=torch.float64)
        yield _Denoiser(p), p.ndim, p.shape[0], torch.Generator().manual_seed(p.ndim)


@first_hitting.measure
def _(result, denoiser, L, mask, generator):
    """The fraction of each final text; ValueError if a state on the way is not as it should be."""
    states = tensor(result)
    if states.shape != (WRITTEN, L + 1, L) or states.is_floating_point():
        raise ValueError(
            f"An integer tensor of shape (L + 1, L) = {(L + 1, L)} was expected: the masks, and the text after each "
            f"step. Yours has shape {tuple(states.shape[1:])}."
        )
    if not (states[:, 0] == mask).all():
        raise ValueError("The first state should be pure noise: a mask at every position.")
    changed = states[:, 1:] != states[:, :-1]  # (WRITTEN, L, L)
    if not (changed.sum(-1) == 1).all():
        raise ValueError("Exactly one character should change from each state to the next.")
    if ((states[:, :-1] != mask) & changed).any():
        raise ValueError("You changed a character that was already visible. Choose among the masks only.")
    if not 0 <= states[:, -1].min() <= states[:, -1].max() < mask:
        raise ValueError(f"In the last state every position should have a character, 0 to {mask - 1}.")
    if L > 1 and (changed == torch.eye(L, dtype=torch.bool)).all():
        raise ValueError(_LEFT_TO_RIGHT)
    frequency = changed[:, [0, -1]].double().mean(0)  # (2, L): positions of the first and the last mask to fall
    if not ((frequency - 1 / L).abs() <= binomial_tolerance(WRITTEN)(torch.tensor(1 / L))).all():
        raise ValueError("Not every mask is equally likely to be next: choose the position at random.")
    return torch.bincount(states[:, -1] @ mask ** torch.arange(L - 1, -1, -1), minlength=mask**L) / WRITTEN


@first_hitting.exact
def _(denoiser, L, mask, generator):
    return denoiser.p


def _fill(denoiser, L, mask, generator, place=None, ask=None, choose=sample_categorical, keep=Tensor.clone):
    """First hitting with one thing wrong: the position, the row of the denoiser, or how a character is chosen."""
    x = torch.full((L,), mask)
    states, p_at_start = [keep(x)], denoiser(x)
    for _ in range(L):
        places = (x == mask).nonzero().flatten()
        i = places[torch.randint(len(places), (), generator=generator)] if place is None else place(places)
        x[i] = choose(p_at_start[i] if ask == "once" else denoiser(x)[0 if ask == "first" else i], generator)
        states.append(keep(x))
    return torch.stack(states)


@first_hitting.mistake(_LEFT_TO_RIGHT)
def _(*arguments):
    return _fill(*arguments, place=lambda places: places[0])


@first_hitting.mistake(
    "You call the denoiser once, on pure noise, so no character depends on the others. Call it again after each step."
)
def _(*arguments):
    return _fill(*arguments, ask="once")


@first_hitting.mistake(
    "You take the most probable character, so every text comes out the same. Draw it at random from its probabilities."
)
def _(*arguments):
    return _fill(*arguments, choose=lambda p, generator: p.argmax())


@first_hitting.mistake("You always draw from the first row. Position i has row i of denoiser(x).")
def _(*arguments):
    return _fill(*arguments, ask="first")


@first_hitting.mistake(
    "You draw the character uniformly from all N. Draw it from its probabilities, row i of denoiser(x)."
)
def _(*arguments):
    return _fill(*arguments, choose=lambda p, generator: torch.randint(len(p), (), generator=generator))


@first_hitting.mistake(
    "All your states are the same tensor, which you keep changing. Store a copy after each step: x.clone()."
)
def _(*arguments):
    return _fill(*arguments, keep=lambda x: x)


@first_hitting.mistake(
    "You return only the final text. Return all states, starting with the noise, so that we can watch."
)
def _(*arguments):
    return _fill(*arguments)[-1]


@first_hitting.mistake("You leave out the initial noise. L steps give L + 1 states.")
def _(*arguments):
    return _fill(*arguments)[1:]


@first_hitting.mistake(
    "You fill all masks in one step, so no character depends on the others. Fill one mask, then call the denoiser "
    "again."
)
def _(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    return torch.stack([x, sample_categorical(denoiser(x), generator)])


@first_hitting.picture
def _(function):
    import matplotlib.pyplot as plt

    p = torch.tensor([[0.3, 0.0, 0.1], [0.0, 0.25, 0.0], [0.2, 0.0, 0.15]], dtype=torch.float64)
    denoiser, rng = _Denoiser(p), torch.Generator().manual_seed(0)
    ends = torch.stack([tensor(function(denoiser, 2, 3, rng))[-1] for _ in range(400)])
    counted = torch.bincount(ends @ torch.tensor([3, 1]), minlength=9)
    names = [a + b for a in "abc" for b in "abc"]
    fig, ax = plt.subplots(figsize=(8, 2.4), layout="constrained")
    ax.bar(names, counted.tolist(), color="#0072B2", label="400 texts from your sampler")
    ax.plot(names, (400 * p).flatten().tolist(), "D", mfc="w", mec="#D55E00", mew=2, label="expected: 400 · p(text)")
    ax.set(ylabel="texts", title="A world of two-letter texts over a, b, c")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    plt.close(fig)
    return fig


# 07 ----------------------------------------------------------------------------------------------------------------


@exercise("any sampler can now start from your prompt.")
def read_prompt(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError(f"the prompt has {len(prompt)} characters; there is room for {length}")
    prompt = prompt.ljust(length, "_")
    x = [len(characters) if c == "_" else characters.index(c) for c in prompt]
    return torch.tensor(x), torch.tensor([c == "_" for c in prompt])


@read_prompt.cases
def _(rng):
    yield "b", 1, "ab"
    yield "_", 1, "ab"
    yield "c_a", 3, "abc"
    yield "ab", 4, "abc"
    yield "_a b_", 8, " abc"
    yield "", 2, "ab"
    yield "ba_", 2, "ab"  # too long
    yield "ad_", 4, "abc"  # not in the alphabet
    yield "d", 1, "abc"
    yield "the ____ wolf", 20, " .abcdefghijklmnopqrstuvwxyz"


def _prompt(prompt, length, characters, pad: str | None = "_", free="_", at_free=None, find=str.index):
    """The reference, with one thing changed."""
    prompt = prompt if pad is None else prompt.ljust(length, pad)
    x = [(len(characters) if at_free is None else at_free) if c == "_" else find(characters, c) for c in prompt]
    return torch.tensor(x, dtype=torch.int64), torch.tensor([c in free for c in prompt], dtype=torch.bool)


def _refuse(prompt, length):
    if len(prompt) > length:
        raise ValueError


@read_prompt.mistake("Your second tensor marks what is given. It should be True where a position is free.")
def _(prompt, length, characters):
    x, free = read_prompt._reference(prompt, length, characters)
    return x, ~free


@read_prompt.mistake("You swapped the two tensors: return the states first, then `free`.")
def _(prompt, length, characters):
    return read_prompt._reference(prompt, length, characters)[::-1]


@read_prompt.mistake(
    "A prompt shorter than the text stays short. Fill it up with masks at the end, and mark those positions as free."
)
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, pad=None)


@read_prompt.mistake("You pad on the left. A short prompt is the beginning of the text: pad it on the right.")
def _(prompt, length, characters):
    return read_prompt._reference(prompt.rjust(length, "_"), length, characters)


@read_prompt.mistake("You put 0 at free positions, which is a character. The mask comes after the last character: N.")
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, at_free=0)


@read_prompt.mistake("You put -1 at free positions. The mask has its own number, after the last character: N.")
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, at_free=-1)


@read_prompt.mistake("You put N - 1 at free positions, which is the last character. The mask comes after it: N.")
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, at_free=len(characters) - 1)


@read_prompt.mistake(
    "A character outside the alphabet silently becomes -1. Raise a ValueError: find() returns -1 for it, index() "
    "raises."
)
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, find=str.find)


@read_prompt.mistake(
    "A character outside the alphabet raises a KeyError. The exercise asks for a ValueError: check whether the "
    "character is there first."
)
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, find=lambda characters, c: {a: i for i, a in enumerate(characters)}[c])


@read_prompt.mistake("You silently cut off a prompt that is too long. Raise a ValueError.")
def _(prompt, length, characters):
    return read_prompt._reference(prompt[:length], length, characters)


@read_prompt.mistake("You accept a prompt that is too long. Raise a ValueError.")
def _(prompt, length, characters):
    return _prompt(prompt, length, characters)


@exercise("the prompt stays, whatever a step does to it.")
def project(x, prompt, free):
    return torch.where(free, x, prompt)


@project.cases
def _(rng):
    for B, L in [(1, 1), (1, 3), (2, 3), (3, 3), (4, 6)]:
        x, prompt = torch.randint(4, (B, L), generator=rng), torch.randint(4, (L,), generator=rng)
        free = torch.rand(L, generator=rng) < 0.5
        free[0], free[-1] = False, L > 1
        yield x, torch.where(free, 4, prompt), free
    yield torch.tensor([[0, 1], [2, 1]]), torch.tensor([3, 3]), torch.tensor([True, True])
    yield torch.tensor([[0, 1], [2, 1]]), torch.tensor([0, 2]), torch.tensor([False, False])


@project.mistake("You swapped the two. Where a position is free, keep x; everywhere else, put the prompt.")
def _(x, prompt, free):
    return torch.where(free, prompt, x)


@project.mistake("You return x unchanged: the prompt is not in it.")
def _(x, prompt, free):
    return x


@project.mistake("You return the prompt alone, in each row. Keep the texts of x at free positions.")
def _(x, prompt, free):
    return prompt.expand_as(x)


@project.mistake("You put the prompt into the first text only. Put it into every row of x.")
def _(x, prompt, free):
    x = x.clone()
    x[0] = torch.where(free, x[0], prompt)
    return x


@project.mistake("You return the first text only. Return all texts: the shape stays (B, L).")
def _(x, prompt, free):
    return torch.where(free, x[0], prompt)


@project.mistake("You put masks at free positions. Keep the characters that x already has there.")
def _(x, prompt, free):
    return torch.where(free, 4, prompt).expand_as(x)


@project.mistake("You put 0 at free positions. Keep the characters that x already has there.")
def _(x, prompt, free):
    return torch.where(free, 0, prompt).expand_as(x)


@exercise("the score at a mask is a conditional up to a factor. You need one division, and no sum over texts.")
def exact_conditional(log_score, i):
    return log_score[i, :-1].softmax(-1)


@exact_conditional.cases
def _(rng):
    for N, L, sigma in [(2, 1, 1.0), (3, 2, 0.1), (2, 3, 3.0), (5, 4, 0.01), (4, 2, 12.0)]:
        process = Absorbing(N)
        log_posterior = torch.randn(1, L, N, dtype=torch.float64, generator=rng).mul(2).log_softmax(-1)
        i = int(torch.randint(L, (), generator=rng))
        x = torch.randint(process.num_states, (1, L), generator=rng)
        x[0, i] = N
        yield process.log_score(log_posterior, x, torch.tensor([sigma]))[0], i
    log_score = torch.full((3, 4), -torch.inf, dtype=torch.float64)
    log_score[0, 1], log_score[1], log_score[2] = (
        0.0,
        torch.tensor([-3.0, -torch.inf, 2, 0]),
        torch.tensor([0.0, 0, 1, 0]),
    )
    yield log_score, 1
    yield torch.tensor([[0.5, 0.1, -0.3, 0], [60, 62, -torch.inf, 0], [2, 1, 1, 0]], dtype=torch.float64), 1


@exact_conditional.mistake(
    "Your pmf has N + 1 entries. The last state is the mask, not a character: leave it out before you normalize."
)
def _(log_score, i):
    return log_score[i].softmax(-1)


@exact_conditional.mistake(
    "Your numbers do not add up to 1, because the sum still includes the mask, with ratio 1. Sum over the N "
    "characters only."
)
def _(log_score, i):
    return log_score[i].softmax(-1)[:-1]


@exact_conditional.mistake(
    "These are the ratios. They are the conditional times a factor that depends on sigma: divide them by their sum."
)
def _(log_score, i):
    return log_score[i, :-1].exp()


@exact_conditional.mistake("These are log-probabilities. The exercise asks for probabilities.")
def _(log_score, i):
    return log_score[i, :-1].log_softmax(-1)


@exact_conditional.mistake("You leave out the first character. The mask is the last state: leave out that one.")
def _(log_score, i):
    return log_score[i, 1:].softmax(-1)


@exact_conditional.mistake("You divide by a sum over the whole table. Only row i describes position i.")
def _(log_score, i):
    return (log_score[i, :-1] - log_score[:, :-1].logsumexp((0, 1))).exp()


@exact_conditional.mistake("You return the pmfs of all positions. The exercise asks for position i only.")
def _(log_score, i):
    return log_score[:, :-1].softmax(-1)


@exact_conditional.mistake(
    "You divide log-scores by their sum. Take exp() first: you need the sum of the ratios, not of their logarithms."
)
def _(log_score, i):
    return log_score[i, :-1] / log_score[i, :-1].sum()


@exercise("you fill one gap after another, and the product is exact in any order.")
def fill_probability(denoiser, x, goal, mask):
    x, p = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            p *= float(denoiser(x)[i, goal[i]])
            x[i] = goal[i]
    return p


@fill_probability.cases
def _(rng):
    yield _Denoiser(torch.tensor([0.3, 0.7]).double()), torch.tensor([2]), torch.tensor([1]), 2
    yield _Denoiser(torch.tensor([0.3, 0.7]).double()), torch.tensor([0]), torch.tensor([0]), 2
    for N, L in [(2, 2), (3, 2), (2, 3), (3, 4)]:
        denoiser = _Denoiser(_table(rng, N, L) ** 3)
        goal = torch.randint(N, (L,), generator=rng)
        yield denoiser, torch.full((L,), N), goal, N
        x = goal.clone()
        x[:2] = N
        yield denoiser, x, goal, N
        some = goal.clone()  # the goal has a gap too
        some[0] = N
        yield denoiser, torch.full((L,), N), some, N
        x = goal.clone()  # x may have a character where the goal has a gap
        x[-1] = N
        yield denoiser, x, some, N
    agree = _Denoiser(torch.tensor([[0.5, 0.0], [0.0, 0.5]]).double())
    yield agree, torch.tensor([2, 2]), torch.tensor([1, 1]), 2
    yield agree, torch.tensor([2, 2]), torch.tensor([1, 0]), 2  # impossible


def _factors(denoiser, x, goal, mask, put=None, ask_first=True):
    """The factors of the product; put: what to write into a gap instead of the goal's character."""
    x, found = x.clone(), []
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            p = denoiser(x)[i]
            x[i] = goal[i] if put is None else put(p)
            found.append(float((p if ask_first else denoiser(x)[i])[goal[i]]))
    return found


@fill_probability.mistake(
    "You compute every factor from the same x, so no character depends on the others. Write each character into x "
    "before you compute the next factor."
)
def _(denoiser, x, goal, mask):
    p = denoiser(x)
    return math.prod([1.0, *(float(p[i, goal[i]]) for i in range(len(x)) if x[i] == mask and goal[i] != mask)])


@fill_probability.mistake(
    "You write a character before you ask for its probability, so every factor is 1. Ask first, then write."
)
def _(*arguments):
    return float(math.prod(_factors(*arguments, ask_first=False)))


@fill_probability.mistake(
    "You add. The probability that all of it happens is a product of probabilities, each given the characters before."
)
def _(*arguments):
    return float(sum(_factors(*arguments)))


@fill_probability.mistake("You return the logarithm of the right result. The exercise asks for the probability.")
def _(*arguments):
    return float(sum(math.log(p) if p > 0 else -math.inf for p in _factors(*arguments)))


@fill_probability.mistake("You stop after the first gap. Go on to the next ones, and multiply.")
def _(*arguments):
    return (_factors(*arguments) or [1.0])[0]


@fill_probability.mistake("You return the last factor only. Keep the product of all factors.")
def _(*arguments):
    return (_factors(*arguments) or [1.0])[-1]


@fill_probability.mistake(
    "You write the most probable character into a gap. The exercise asks for the probability of the goal: write the "
    "goal's character."
)
def _(*arguments):
    return float(math.prod(_factors(*arguments, put=lambda p: p.argmax())))


_GOAL_HAS_MASK = (
    "Where the goal has a mask, there is no factor. You look up the mask in row i of the denoiser, which has no such "
    "column: skip these positions."
)


@fill_probability.mistake(_GOAL_HAS_MASK)
def _(denoiser, x, goal, mask):
    x, p = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] != goal[i]:
            p *= float(denoiser(x)[i, goal[i]])
            x[i] = goal[i]
    return p


@fill_probability.mistake(_GOAL_HAS_MASK)
def _(denoiser, x, goal, mask):
    x, p = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] == mask:
            p *= float(denoiser(x)[i, goal[i]])
            x[i] = goal[i]
    return p


@fill_probability.mistake(
    "You start the product at 0, and 0 times anything is 0. Start at 1, the value of an empty product."
)
def _(*arguments):
    return 0.0


@exercise("the end of one window is the beginning of the next.")
def slide(text, keep, length, mask):
    keep = min(keep, len(text))
    x = torch.full((length,), mask)
    x[:keep] = text[len(text) - keep :]
    return x, torch.arange(length) >= keep


@slide.cases
def _(rng):
    for T, keep, length in [
        (1, 1, 1),
        (2, 1, 2),
        (4, 1, 4),
        (4, 3, 4),
        (6, 2, 4),
        (9, 3, 5),
        (2, 0, 3),
        (4, 0, 3),
        (2, 3, 5),
    ]:
        yield torch.randint(5, (T,), generator=rng), keep, length, 5
    yield torch.zeros(0, dtype=torch.int64), 2, 3, 4  # no text yet
    yield torch.tensor([1, 0, 2]), 3, 3, 3  # no room for new characters


def _window(kept, length, mask):
    x = torch.full((length,), mask)
    x[: len(kept)] = kept
    return x, torch.arange(length) >= len(kept)


@slide.mistake("You keep the beginning of the text. The next window continues where the text ends: keep the end.")
def _(text, keep, length, mask):
    return _window(text[:keep], length, mask)


_NEGATIVE_INDEX = (
    "The last `keep` characters are not always text[-keep:]. With keep = 0 that is the whole text, because -0 is 0; "
    "and if the text is shorter than `keep`, there are fewer. Count from the front, and keep no more characters than "
    "there are."
)


@slide.mistake(_NEGATIVE_INDEX)
def _(text, keep, length, mask):
    x = torch.full((length,), mask)
    x[:keep] = text[-keep:]
    return x, torch.arange(length) >= keep


@slide.mistake(_NEGATIVE_INDEX)
def _(text, keep, length, mask):
    return torch.cat([text[-keep:], torch.full((length - keep,), mask)]), torch.arange(length) >= keep


@slide.mistake(_NEGATIVE_INDEX)
def _(text, keep, length, mask):
    return _window(text[-keep:], length, mask)


@slide.mistake("Your second tensor marks what is given. It should be True where a position is free.")
def _(text, keep, length, mask):
    x, free = slide._reference(text, keep, length, mask)
    return x, ~free


@slide.mistake("You put the kept characters at the end of the window. Put them at its beginning; the new ones follow.")
def _(text, keep, length, mask):
    x, free = slide._reference(text, keep, length, mask)
    return x.roll(-min(keep, len(text))), free.flip(0)


@slide.mistake("You return only the kept characters. The window has `length` positions: the rest are masks, and free.")
def _(text, keep, length, mask):
    keep = min(keep, len(text))
    return text[len(text) - keep :], torch.zeros(keep, dtype=torch.bool)


@slide.mistake(
    "You have `keep` new characters and keep the others. Do it the other way around: keep `keep` characters."
)
def _(text, keep, length, mask):
    return slide._reference(text, length - keep, length, mask)


@slide.mistake(
    "When the text is shorter than `keep`, you mark masks as given. Only characters that exist can be given."
)
def _(text, keep, length, mask):
    return slide._reference(text, keep, length, mask)[0], torch.arange(length) >= keep


_SHORTER = (
    "This fails when the text is shorter than `keep`. First compute how many characters you can really keep, then use "
    "that number everywhere instead of `keep`."
)


@slide.mistake(_SHORTER)
def _(text, keep, length, mask):
    x = torch.full((length,), mask)
    x[:keep] = text[len(text) - keep :]
    return x, torch.arange(length) >= keep


@slide.mistake(_SHORTER)
def _(text, keep, length, mask):
    x = torch.full((length,), mask)
    x[:keep] = text[len(text) - min(keep, len(text)) :]
    return x, torch.arange(length) >= keep


@slide.mistake(_SHORTER)
def _(text, keep, length, mask):
    x, kept = torch.full((length,), mask), min(keep, len(text))
    x[:kept] = text[len(text) - keep :]
    return x, torch.arange(length) >= kept
