"""Exercises of notebooks 06 and 07: the way back, and prompts."""

import math

import torch
from torch import Tensor

from tinysedd.checks.engine import exercise, kind, shares, tensor
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Process, Uniform
from tinysedd.process import sample_categorical

SIZES = [(2, 1), (3, 2), (2, 3), (4, 2), (3, 3)]  # N characters, L positions


def _table(dice: torch.Generator, N: int, L: int) -> Tensor:
    """A pmf over texts of L characters out of N, none with probability 0."""
    p = torch.rand((N,) * L, dtype=torch.float64, generator=dice) + 0.05
    return p / p.sum()


def _ratios(p: Tensor, x: Tensor) -> Tensor:
    """p(x with x_i := y) / p(x) (L, S) from a table p (S,)*L."""
    rows = [p.movedim(i, -1)[tuple(x[j] for j in range(len(x)) if j != i)] for i in range(len(x))]
    return torch.stack(rows) / p[tuple(x)]


def _noised(p: Tensor, process: Process, sigma: float) -> Tensor:
    """The table of p_sigma (S,)*L that belongs to a table p (N,)*L."""
    for _ in range(p.ndim):
        p = torch.tensordot(p, process.transition(sigma)[: p.shape[0]], dims=([0], [0]))
    return p


class _Exact:
    """A world that is a table p (N,)*L; texts (T, L) are all its texts, letters (T, L N) the same in ones and zeros."""

    def __init__(self, p: Tensor):
        self.N, self.L, self.p = p.shape[0], p.ndim, p.flatten()
        self.texts = torch.cartesian_prod(*[torch.arange(self.N)] * self.L).view(-1, self.L)
        self.letters = torch.nn.functional.one_hot(self.texts, self.N).double().flatten(1)


class _Denoiser(_Exact):
    """p(x0_i = y | the characters that show) (L, N) for a text x (L,) with masks."""

    __name__ = "denoiser"

    def __call__(self, x) -> Tensor:
        x = torch.as_tensor(x)
        if x.shape != (self.L,):
            raise ValueError(f"denoiser(x) takes one text of shape ({self.L},); it was given shape {tuple(x.shape)}")
        fits = self.p * ((x == self.N) | (x == self.texts)).all(-1)
        joint, total = (fits @ self.letters).view(self.L, self.N), fits.sum()
        return joint / total if total > 0 else torch.full_like(joint, 1 / self.N)


class _Score(_Exact):
    """The exact score function (x (B, L), sigma (B,)) -> log_score (B, L, S) under a process."""

    __name__ = "score"

    def __init__(self, p: Tensor, process: Process):
        super().__init__(p)
        self.process = process

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        seen = self.process.log_likelihood(x, sigma).exp()  # (B, L, N)
        fits = self.p * math.prod(seen[:, i, self.texts[:, i]] for i in range(self.L))  # (B, T)
        posterior = (fits @ self.letters).view(-1, self.L, self.N) / fits.sum(-1)[:, None, None]
        return self.process.log_score(posterior.log(), x, sigma)


# 06 ----------------------------------------------------------------------------------------------------------------


@exercise("a forward rate times a ratio. You run noise backwards.")
def reverse_rates(s, x, Q, speed):
    return (speed * Q[:, x].T * s).scatter(-1, x[:, None], 0.0)


@reverse_rates.cases
def _(dice):
    for N, L in SIZES:
        for process in (Absorbing(N), Uniform(N)):
            x = torch.randint(process.num_states, (L,), generator=dice)
            x[0] = process.num_states - 1  # of masks, one at least
            speed = 0.3 + 5 * torch.rand((), generator=dice).item()
            yield _ratios(_noised(_table(dice, N, L), process, 0.8), x), x, process.rate_matrix(), speed
    s = 3 * torch.rand(4, 7, dtype=torch.float64, generator=dice)
    yield s, torch.randint(7, (4,), generator=dice), Absorbing(6).rate_matrix(), 999.0


@reverse_rates.mistake(
    "You take the rate of x → y. A jump back from x to y undoes a jump y → x: its rate is in row y and column x of Q."
)
def _(s, x, Q, speed):
    return (speed * Q[x] * s).scatter(-1, x[:, None], 0.0)


@reverse_rates.mistake(
    "At the character that is there already you have a rate below 0. Staying is no jump: put 0 there."
)
def _(s, x, Q, speed):
    return speed * Q[:, x].T * s


@reverse_rates.mistake(
    "Where x is, you put minus the sum of the row, as in a rate matrix. Here only jumps are asked for: put 0 there."
)
def _(s, x, Q, speed):
    rate = reverse_rates.reference(s, x, Q, speed)
    return rate.scatter(-1, x[:, None], -rate.sum(-1, keepdim=True))


@reverse_rates.mistake("The speed of the clock, sigma', is missing.")
def _(s, x, Q, speed):
    return reverse_rates.reference(s, x, Q, 1.0)


@reverse_rates.mistake("These are the forward rates alone. Each must be multiplied by its ratio, s[i, y].")
def _(s, x, Q, speed):
    return reverse_rates.reference(torch.ones_like(s), x, Q, speed)


@reverse_rates.mistake("You take exp() of s. These are ratios already, no log-scores.")
def _(s, x, Q, speed):
    return reverse_rates.reference(s.exp(), x, Q, speed)


@reverse_rates.mistake("Q is missing: as if every jump y → x had the same forward rate. With masks most have none.")
def _(s, x, Q, speed):
    return (speed * s).scatter(-1, x[:, None], 0.0)


@reverse_rates.mistake(
    "You divide by the ratio. p(y) stands above the line: where y is more probable, the rate is higher."
)
def _(s, x, Q, speed):
    return reverse_rates.reference(1 / s, x, Q, speed)


@reverse_rates.mistake("Each of your rows adds up to 1. Rates are no probabilities: leave them as they are.")
def _(s, x, Q, speed):
    rate = reverse_rates.reference(s, x, Q, speed)
    return rate / rate.sum(-1, keepdim=True).clamp(min=1e-300)


@reverse_rates.mistake("The matrix is turned on its side: a row for each position, a column for each state, (L, S).")
def _(s, x, Q, speed):
    return reverse_rates.reference(s, x, Q, speed).T


@exercise("each row is a pmf, even where the step is too long.")
def euler_step(rate, x, dt):
    p = dt * rate
    total = p.sum(-1, keepdim=True)
    return (p / total.clamp(min=1)).scatter(-1, x[:, None], (1 - total).clamp(min=0))


@euler_step.cases
def _(dice):
    for N, L in SIZES:
        for longest in (0.1, 0.9, 4.0):  # the sum of the largest row of jumps
            x = torch.randint(N, (L,), generator=dice)
            rate = torch.rand(L, N, dtype=torch.float64, generator=dice) + 0.1
            rate = rate.scatter(-1, x[:, None], 0.0)
            dt = 0.01 + torch.rand((), generator=dice).item()
            yield rate / rate.sum(-1).max() * longest / dt, x, dt
    yield torch.tensor([[0.0, 0, 0], [2, 0, 6], [1, 0, 0]], dtype=torch.float64), torch.tensor([1, 1, 2]), 0.25


def _jumps(rate, x, dt, stay):
    """Jumps as they should be in a short step, and a chance of staying, or what is taken for it, (L, 1)."""
    return (dt * rate).scatter(-1, x[:, None], stay)


@euler_step.mistake(
    "Where the step is too long, your chance of staying is below 0. No chance can be: let it be 0; the jumps share 1."
)
def _(rate, x, dt):
    return _jumps(rate, x, dt, 1 - dt * rate.sum(-1, keepdim=True))


@euler_step.mistake(
    "Where the step is too long, your row adds up to more than 1. The chance of staying is 0 there, as you have it; "
    "now scale the jumps to the sum 1."
)
def _(rate, x, dt):
    return _jumps(rate, x, dt, (1 - dt * rate.sum(-1, keepdim=True)).clamp(min=0))


@euler_step.mistake("The chance of staying is missing: the row adds up to dt times the rates, and not to 1.")
def _(rate, x, dt):
    return _jumps(rate, x, dt, torch.zeros_like(rate[:, :1]))


@euler_step.mistake(
    "Your text hardly ever stays as it is: you scale the jumps to the sum 1 in short steps as well. What the jumps "
    "leave of 1 is the chance of staying."
)
def _(rate, x, dt):
    p = dt * rate
    return p / p.sum(-1, keepdim=True)


@euler_step.mistake(
    "This is exp(-dt · rate), exact while the rates stay as they are. Euler's step is a straight line: dt · rate for a "
    "jump, and the rest for staying."
)
def _(rate, x, dt):
    total = rate.sum(-1, keepdim=True)
    gone = -torch.expm1(-dt * total)
    return (gone * rate / total.clamp(min=1e-300)).scatter(-1, x[:, None], 1 - gone)


@euler_step.mistake("The length of the step, dt, is missing: in a time dt there are dt · rate jumps.")
def _(rate, x, dt):
    return euler_step.reference(rate, x, 1.0)


@euler_step.mistake(
    "You sum over the positions. Each position jumps for itself: sum along its row, over the states it can jump to."
)
def _(rate, x, dt):
    return _jumps(rate, x, dt, (1 - dt * rate.sum(0)[x]).clamp(min=0)[:, None])


@euler_step.mistake("You sum over the whole table. Each position jumps for itself: one chance of staying for each row.")
def _(rate, x, dt):
    return _jumps(rate, x, dt, (1 - dt * rate.sum()).clamp(min=0).expand(len(x), 1))


@euler_step.mistake(
    "Each jump is cut off at 1, but their sum is not. The sum of a row is what must not be more than 1."
)
def _(rate, x, dt):
    return (dt * rate).clamp(max=1).scatter(-1, x[:, None], (1 - dt * rate.sum(-1, keepdim=True)).clamp(min=0))


@exercise("Bayes' rule for a step of any length: exact for each place by itself.")
def tweedie_step(s, x, d, Q):
    p = (s @ torch.linalg.matrix_exp(-d * Q)).clamp(min=0) * torch.linalg.matrix_exp(d * Q)[:, x].T
    return p / p.sum(-1, keepdim=True)


@tweedie_step.cases
def _(dice):
    for N, L in SIZES:
        for process in (Absorbing(N), Uniform(N)):
            for sigma, d in [(0.7, 0.6), (1.6, 0.4), (0.9, 1e-3)]:
                x = torch.randint(process.num_states, (L,), generator=dice)
                x[0] = process.num_states - 1
                yield _ratios(_noised(_table(dice, N, L), process, sigma), x), x, d, process.rate_matrix()
    for process in (Absorbing(5), Uniform(6)):  # ratios that a network might give: less noise than none
        x = torch.tensor([5, 0, 5, 2])
        s = torch.rand(4, 6, dtype=torch.float64, generator=dice) ** 3 * 2
        yield s.scatter(-1, x[:, None], 1.0), x, 1.5, process.rate_matrix()


def _product(less, again):
    p = less.clamp(min=0) * again
    return p / p.sum(-1, keepdim=True)


@tweedie_step.mistake("The rows do not add up to 1. The formula has a ∝: divide each row by its sum.")
def _(s, x, d, Q):
    return (s @ torch.linalg.matrix_exp(-d * Q)).clamp(min=0) * torch.linalg.matrix_exp(d * Q)[:, x].T


_SOFTMAX = (
    "softmax takes exp() of its numbers before it divides. Yours are probabilities already, but for a factor: divide "
    "each row by its sum."
)


@tweedie_step.mistake(_SOFTMAX)
def _(s, x, d, Q):
    less = (s @ torch.linalg.matrix_exp(-d * Q)).clamp(min=0)
    return (less * torch.linalg.matrix_exp(d * Q)[:, x].T).softmax(-1)


@tweedie_step.mistake(_SOFTMAX)
def _(s, x, d, Q):
    return (s @ torch.linalg.matrix_exp(-d * Q) * torch.linalg.matrix_exp(d * Q)[:, x].T).softmax(-1)


@tweedie_step.mistake(
    "The step forward again is missing: multiply the ratios with less noise by exp(dQ), from y to the character of x."
)
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(-d * Q), 1.0)


@tweedie_step.mistake(
    "The ratios still have all their noise. Take d of it away first: multiply them from the right by exp(-dQ)."
)
def _(s, x, d, Q):
    return _product(s, torch.linalg.matrix_exp(d * Q)[:, x].T)


@tweedie_step.mistake(
    "The two signs have changed places: exp(-dQ) takes noise away, exp(dQ) is the step forward again."
)
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(d * Q), torch.linalg.matrix_exp(-d * Q)[:, x].T)


@tweedie_step.mistake("You never change the sign: the noise is taken away by exp(-dQ), with a minus.")
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(d * Q), torch.linalg.matrix_exp(d * Q)[:, x].T)


@tweedie_step.mistake("The step forward goes from y to x: y is the row and x the column of exp(dQ). You took row x.")
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(-d * Q), torch.linalg.matrix_exp(d * Q)[x])


@tweedie_step.mistake(
    "exp(-dQ) is the wrong way round: the sum runs over its rows z, so s stands on its left, s @ exp(-dQ)."
)
def _(s, x, d, Q):
    return _product(s @ torch.linalg.matrix_exp(-d * Q).T, torch.linalg.matrix_exp(d * Q)[:, x].T)


@tweedie_step.mistake(
    "You take exp of each entry of Q. The exponential of a matrix is another thing: torch.linalg.matrix_exp."
)
def _(s, x, d, Q):
    return _product(s @ (-d * Q).exp(), (d * Q).exp()[:, x].T)


@tweedie_step.mistake(
    "Right for exact ratios. But a network's ratios fit no distribution quite, and with d less noise some come out "
    "below 0: let these count as 0 before you divide."
)
def _(s, x, d, Q):
    p = (s @ torch.linalg.matrix_exp(-d * Q)) * torch.linalg.matrix_exp(d * Q)[:, x].T
    return p / p.sum(-1, keepdim=True)


TEXTS = 10_000  # that a sampler writes at once


@exercise(
    "no noise is left, whatever the schedule.",
    tolerance=shares(TEXTS),
    seconds=60,
    measured=f"the share of each text among {TEXTS:,}: rows for the first character, columns for the second, in the "
    "order of the states; a mask, where there is one, comes last.",
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
def _(dice):
    one = torch.tensor([0.2, 0.8], dtype=torch.float64)
    apart = torch.tensor([[0.0, 0.0, 0.0], [0.27, 0.03, 0.0], [0.63, 0.07, 0.0]], dtype=torch.float64)
    agree = torch.tensor([[0.5, 0.1], [0.1, 0.3]], dtype=torch.float64)  # here Tweedie is only nearly exact
    much = Geometric(0.7, 20.0)  # at t = 0 half of the characters are still noise
    for process, p, steps in [
        (Absorbing(2), one, 1),
        (Absorbing(3), apart, 4),
        (Uniform(3), apart, 4),
        (Absorbing(2, much), one, 3),
        (Uniform(2, much), one, 5),
        (Uniform(2, LogLinear(0.3)), agree, 96),
    ]:
        score = _Score(p, process)
        x0 = score.texts[torch.multinomial(score.p, TEXTS, replacement=True, generator=dice)]
        x = process.perturb(x0, process.schedule.total(torch.ones(TEXTS)), dice)
        yield score, process, x, steps, torch.Generator().manual_seed(steps)


@mended_sampler.measure
def _(result, score, process, x, steps, generator):
    """The share of each text, in a table (S,)*L."""
    result, S, L = tensor(result), process.num_states, score.L
    if result.shape != x.shape or result.is_floating_point():
        raise ValueError(
            f"All texts were expected back, shape {tuple(x.shape)}, in whole numbers; {kind(result)} came."
        )
    if not 0 <= result.min() <= result.max() < S:
        raise ValueError(f"States are the numbers 0 to {S - 1}.")
    number = (result * S ** torch.arange(L - 1, -1, -1)).sum(-1)
    return torch.bincount(number, minlength=S**L).view((S,) * L) / TEXTS


@mended_sampler.exact
def _(score, process, x, steps, generator):
    more = process.num_states - score.N
    return torch.nn.functional.pad(score.p.view((score.N,) * score.L), (0, more) * score.L)


def _walk(score, process, x, times, generator):
    """Tweedie's steps along a grid of times."""
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        x = sample_categorical(process.tweedie(score(x, sigma), x, sigma - process.schedule.total(later)), generator)
    return x


@mended_sampler.mistake(
    "It still stops before the end: the noise that is there at the last of the times stays in the texts for good."
)
def _(score, process, x, steps, generator):
    return _walk(score, process, x, torch.linspace(1, 0.02, steps + 1, dtype=torch.float64), generator)


@mended_sampler.mistake(
    "Right for the log-linear schedule, where t = 0 has no noise. The geometric one has some even there: the last step "
    "must take all of it."
)
def _(score, process, x, steps, generator):
    return _walk(score, process, x, torch.linspace(1, 0, steps + 1, dtype=torch.float64), generator)


@mended_sampler.mistake(
    "Your last step takes the most probable character. That is no sample: rare characters would become too rare. "
    "Draw from its probabilities."
)
def _(score, process, x, steps, generator):
    x = _walk(score, process, x, torch.linspace(1, 0.02, steps + 1, dtype=torch.float64), generator)
    sigma = process.schedule.total(torch.tensor(0.02, dtype=torch.float64)).expand(len(x))
    return process.denoise(score(x, sigma), x, sigma).argmax(-1)


@mended_sampler.mistake(
    "Your last step acts as if the text were still at t = 1. Give denoise, and the score, the noise that is left at "
    "the time you have come to."
)
def _(score, process, x, steps, generator):
    x = _walk(score, process, x, torch.linspace(1, 0.02, steps + 1, dtype=torch.float64), generator)
    sigma = process.schedule.total(torch.tensor(1.0, dtype=torch.float64)).expand(len(x))
    return sample_categorical(process.denoise(score(x, sigma), x, sigma), generator)


@mended_sampler.mistake(
    "You take all the noise away in every step. From then on the text is clean, and the score is asked about noise "
    "that is not there. Only the last step is process.denoise."
)
def _(score, process, x, steps, generator):
    for now in torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)[:-1]:
        sigma = process.schedule.total(now).expand(len(x))
        x = sample_categorical(process.denoise(score(x, sigma), x, sigma), generator)
    return x


@mended_sampler.mistake("You give the noise back as it came: x must become what each step has drawn.")
def _(score, process, x, steps, generator):
    return x


COUNT = 20_000  # runs in one call of hitting_times


@exercise(
    "you know when each mask falls, without a grid of times.",
    tolerance=shares(COUNT),
    measured="the share of the runs in which the first mask falls at t <= 0.35, and at t <= 0.8; below, the last mask.",
)
def hitting_times(count, n, generator):
    u = torch.rand(count, n, dtype=torch.float64, generator=generator)
    return u.pow(1 / torch.arange(n, 0, -1)).cumprod(1)


@hitting_times.cases
def _(dice):
    for n in (1, 2, 3, 8):
        yield COUNT, n, torch.Generator().manual_seed(n)


_RISING = "Your times rise. Time runs backwards here, from t = 1 down: the first mask to fall falls at the largest t."
_SAME = (
    "All your runs are the same. Each has its own chances: draw `count` numbers u at a time, and not one for all of "
    "them; and take no grid of even times."
)
_MOMENTS = torch.tensor([0.35, 0.8], dtype=torch.float64)


@hitting_times.measure
def _(result, count, n, generator):
    """By which share of the runs the first mask, and the last, has fallen after a moment: t <= the moment."""
    times = tensor(result).double()
    if times.shape != (count, n):
        raise ValueError(f"The shape should be {(count, n)}, a row for each run; yours is {tuple(times.shape)}.")
    if not ((times > 0) & (times <= 1)).all():
        raise ValueError("All times should lie between 0 and 1.")
    if (times == times[0]).all():
        raise ValueError(_SAME)
    if n > 1 and (times.diff(dim=1) >= 0).all():
        raise ValueError(_RISING)
    if not (times.diff(dim=1) <= 0).all():
        raise ValueError("In each row every time should be below the one before it, for time runs backwards.")
    return (times[:, [0, -1][: min(n, 2)], None] <= _MOMENTS).double().mean(0)


@hitting_times.exact
def _(count, n, generator):
    first = _MOMENTS**n  # all n are below the moment
    last = 1 - (1 - _MOMENTS) ** n  # not all are above it
    return torch.stack([first, last][: min(n, 2)])


@hitting_times.mistake(_SAME)
def _(count, n, generator):
    return hitting_times.reference(1, n, generator).expand(count, n)


@hitting_times.mistake(
    "You multiply by u, whatever the number of masks. The more masks are left, the sooner the next one falls: u^(1/n)."
)
def _(count, n, generator):
    return torch.rand(count, n, dtype=torch.float64, generator=generator).cumprod(1)


@hitting_times.mistake(
    "You take the root with the n of the beginning, each time. n is the number of masks left: n, n - 1, ..., 1."
)
def _(count, n, generator):
    return torch.rand(count, n, dtype=torch.float64, generator=generator).pow(1 / n).cumprod(1)


@hitting_times.mistake("This is u^n. The n-th root, u^(1/n), is asked: with many masks t falls only a little.")
def _(count, n, generator):
    u = torch.rand(count, n, dtype=torch.float64, generator=generator)
    return u.pow(torch.arange(n, 0, -1)).cumprod(1)


@hitting_times.mistake(
    "You count the masks upwards, 1, 2, ... n. At the beginning n are left, and before the last one only 1."
)
def _(count, n, generator):
    u = torch.rand(count, n, dtype=torch.float64, generator=generator)
    return u.pow(1 / torch.arange(1, n + 1)).cumprod(1)


@hitting_times.mistake(
    "These are the factors u^(1/n). Each new time is the time before times the factor: the factors pile up."
)
def _(count, n, generator):
    u = torch.rand(count, n, dtype=torch.float64, generator=generator)
    return u.pow(1 / torch.arange(n, 0, -1))


@hitting_times.mistake(_RISING)
def _(count, n, generator):
    return hitting_times.reference(count, n, generator).flip(1)


_LEFT = (
    "You always take the first mask: that writes from left to right, like GPT. The texts come out right, and that is "
    "worth a thought. But any mask may be the next to fall: choose it by lot."
)
WRITTEN = 500  # texts, one a call


@exercise(
    "your sampler writes each text as often as the world does. It is exact.",
    tolerance=shares(WRITTEN),
    repeats=WRITTEN,
    seconds=60,
    measured=f"the share of each text at the end of {WRITTEN} calls: 0, 1 or 00, 01, 10, 11 and so on.",
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
def _(dice):
    for p in [
        [0.06, 0.94],
        [[0.45, 0.0], [0.1, 0.45]],  # drawn apart, the two would clash
        [[[0.1, 0.0], [0.0, 0.3]], [[0.25, 0.0], [0.2, 0.15]]],
    ]:
        p = torch.tensor(p, dtype=torch.float64)
        yield _Denoiser(p), p.ndim, p.shape[0], torch.Generator().manual_seed(p.ndim)


@first_hitting.measure
def _(result, denoiser, L, mask, generator):
    """The share of each text at the end, where all on the way is as it should be."""
    states = tensor(result)
    if states.shape != (WRITTEN, L + 1, L) or states.is_floating_point():
        raise ValueError(
            f"A tensor of whole numbers of shape (L + 1, L) = {(L + 1, L)} was expected: the masks, and the text after "
            f"each step. Yours has shape {tuple(states.shape[1:])}."
        )
    if not (states[:, 0] == mask).all():
        raise ValueError("The first state should be noise: a mask at every place.")
    changed = states[:, 1:] != states[:, :-1]  # (WRITTEN, L, L)
    if not (changed.sum(-1) == 1).all():
        raise ValueError("From each state to the next one character should change, and only one.")
    if ((states[:, :-1] != mask) & changed).any():
        raise ValueError("A character that showed was changed again. Choose among the masks only.")
    if not 0 <= states[:, -1].min() <= states[:, -1].max() < mask:
        raise ValueError(f"In the last state every place should have a character, 0 to {mask - 1}.")
    if L > 1 and (changed == torch.eye(L, dtype=torch.bool)).all():
        raise ValueError(_LEFT)
    by_lot = changed[:, [0, -1]].double().mean(0)  # (2, L): where the first mask falls, and the last
    if not ((by_lot - 1 / L).abs() <= shares(WRITTEN)(torch.tensor(1 / L))).all():
        raise ValueError("Not every mask has the same chance to be the next: choose the place by lot.")
    return torch.bincount(states[:, -1] @ mask ** torch.arange(L - 1, -1, -1), minlength=mask**L) / WRITTEN


@first_hitting.exact
def _(denoiser, L, mask, generator):
    return denoiser.p


def _fill(denoiser, L, mask, generator, place=None, ask=None, choose=sample_categorical, keep=Tensor.clone):
    """First hitting, with one thing wrong: the place, what the denoiser is asked, how a character is chosen."""
    x = torch.full((L,), mask)
    states, asked_once = [keep(x)], denoiser(x)
    for _ in range(L):
        places = (x == mask).nonzero().flatten()
        i = places[torch.randint(len(places), (), generator=generator)] if place is None else place(places)
        x[i] = choose(asked_once[i] if ask == "once" else denoiser(x)[0 if ask == "first" else i], generator)
        states.append(keep(x))
    return torch.stack(states)


@first_hitting.mistake(_LEFT)
def _(*arguments):
    return _fill(*arguments, place=lambda places: places[0])


@first_hitting.mistake(
    "You ask the denoiser once, about pure noise. Then no character knows of the others: ask it again after each step."
)
def _(*arguments):
    return _fill(*arguments, ask="once")


@first_hitting.mistake(
    "You take the most probable character. Then each text comes out as the same one: draw it by lot."
)
def _(*arguments):
    return _fill(*arguments, choose=lambda p, generator: p.argmax())


@first_hitting.mistake("You always draw from the first row. Row i of denoiser(x) belongs to place i.")
def _(*arguments):
    return _fill(*arguments, ask="first")


@first_hitting.mistake("Your character is drawn evenly from all N. Row i of denoiser(x) has its probabilities.")
def _(*arguments):
    return _fill(*arguments, choose=lambda p, generator: torch.randint(len(p), (), generator=generator))


@first_hitting.mistake(
    "All your states are one and the same tensor, which you go on changing. Keep a copy after each step: x.clone()."
)
def _(*arguments):
    return _fill(*arguments, keep=lambda x: x)


@first_hitting.mistake("You give back the text alone. All states are asked, from the noise on, so that we can watch.")
def _(*arguments):
    return _fill(*arguments)[-1]


@first_hitting.mistake("The noise at the beginning is missing: L steps make L + 1 states.")
def _(*arguments):
    return _fill(*arguments)[1:]


@first_hitting.mistake(
    "You fill all masks in one step, and none of them knows of the others. Fill one, then ask again."
)
def _(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    return torch.stack([x, sample_categorical(denoiser(x), generator)])


@first_hitting.picture
def _(function):
    import matplotlib.pyplot as plt

    p = torch.tensor([[0.3, 0.0, 0.1], [0.0, 0.25, 0.0], [0.2, 0.0, 0.15]], dtype=torch.float64)
    denoiser, dice = _Denoiser(p), torch.Generator().manual_seed(0)
    ends = torch.stack([tensor(function(denoiser, 2, 3, dice))[-1] for _ in range(400)])
    counted = torch.bincount(ends @ torch.tensor([3, 1]), minlength=9)
    names = [a + b for a in "abc" for b in "abc"]
    fig, ax = plt.subplots(figsize=(8, 2.4), layout="constrained")
    ax.bar(names, counted.tolist(), color="#0072B2", label="400 texts of your sampler")
    ax.plot(names, (400 * p).flatten().tolist(), "D", mfc="w", mec="#D55E00", mew=2, label="expected: 400 · p(text)")
    ax.set(ylabel="texts", title="A world of two letters out of a, b, c")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    plt.close(fig)
    return fig


# 07 ----------------------------------------------------------------------------------------------------------------


@exercise("what is given and what is free, ready for any sampler.")
def read_prompt(prompt, length, characters):
    if len(prompt) > length:
        raise ValueError(f"the prompt has {len(prompt)} characters; there is room for {length}")
    prompt = prompt.ljust(length, "_")
    x = [len(characters) if c == "_" else characters.index(c) for c in prompt]
    return torch.tensor(x), torch.tensor([c == "_" for c in prompt])


@read_prompt.cases
def _(dice):
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


def _prompt(prompt, length, characters, pad="_", free="_", at_free=None, find=str.index):
    """The reference, with one thing changed."""
    prompt = prompt if pad is None else prompt.ljust(length, pad)
    x = [(len(characters) if at_free is None else at_free) if c == "_" else find(characters, c) for c in prompt]
    return torch.tensor(x, dtype=torch.int64), torch.tensor([c in free for c in prompt], dtype=torch.bool)


def _refuse(prompt, length):
    if len(prompt) > length:
        raise ValueError


@read_prompt.mistake("Your second tensor says what is given. It should be True where a place is free.")
def _(prompt, length, characters):
    x, free = read_prompt.reference(prompt, length, characters)
    return x, ~free


@read_prompt.mistake("The two tensors have changed places: the states first, then what is free.")
def _(prompt, length, characters):
    return read_prompt.reference(prompt, length, characters)[::-1]


@read_prompt.mistake(
    "A prompt that is shorter than the text stays short. What it lacks to the length is free: masks, to the end."
)
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, pad=None)


@read_prompt.mistake(
    "You fill up on the left. A short prompt is the beginning of the text: what it lacks is free at its end."
)
def _(prompt, length, characters):
    return read_prompt.reference(prompt.rjust(length, "_"), length, characters)


@read_prompt.mistake("At free places you put 0, which is a character. The mask comes after the last character: N.")
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, at_free=0)


@read_prompt.mistake("At free places you put -1. The mask has a number of its own, after the last character: N.")
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, at_free=-1)


@read_prompt.mistake("At free places you put N - 1, which is the last character. The mask comes after it: N.")
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, at_free=len(characters) - 1)


@read_prompt.mistake(
    "A character that is not in the alphabet becomes -1, and nobody notices. Raise a ValueError: find() gives -1 "
    "there, index() does raise."
)
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, find=str.find)


@read_prompt.mistake(
    "A character that is not in the alphabet gives a KeyError. Whoever calls you expects a ValueError: look before you "
    "ask."
)
def _(prompt, length, characters):
    _refuse(prompt, length)
    return _prompt(prompt, length, characters, find=lambda characters, c: {a: i for i, a in enumerate(characters)}[c])


@read_prompt.mistake("A prompt that is too long is cut off, and nobody notices. Raise a ValueError.")
def _(prompt, length, characters):
    return read_prompt.reference(prompt[:length], length, characters)


@read_prompt.mistake("A prompt that is too long goes through, and the text with it. Raise a ValueError.")
def _(prompt, length, characters):
    return _prompt(prompt, length, characters)


@exercise("the prompt stays, whatever a step does to it.")
def project(x, prompt, free):
    return torch.where(free, x, prompt)


@project.cases
def _(dice):
    for B, L in [(1, 1), (1, 3), (2, 3), (3, 3), (4, 6)]:
        x, prompt = torch.randint(4, (B, L), generator=dice), torch.randint(4, (L,), generator=dice)
        free = torch.rand(L, generator=dice) < 0.5
        free[0], free[-1] = False, L > 1
        yield x, torch.where(free, 4, prompt), free
    yield torch.tensor([[0, 1], [2, 1]]), torch.tensor([3, 3]), torch.tensor([True, True])
    yield torch.tensor([[0, 1], [2, 1]]), torch.tensor([0, 2]), torch.tensor([False, False])


@project.mistake("The two have changed places: where a place is free, x stays; the prompt stands at the others.")
def _(x, prompt, free):
    return torch.where(free, prompt, x)


@project.mistake("You give x as it came: the prompt is not in it.")
def _(x, prompt, free):
    return x


@project.mistake("You give the prompt alone, in each row. At free places the texts of x should be kept.")
def _(x, prompt, free):
    return prompt.expand_as(x)


@project.mistake("Only the first text has the prompt. All rows of x should.")
def _(x, prompt, free):
    x = x.clone()
    x[0] = torch.where(free, x[0], prompt)
    return x


@project.mistake("You give the first text alone, without the others: the shape should stay (B, L).")
def _(x, prompt, free):
    return torch.where(free, x[0], prompt)


@project.mistake("At free places you put masks. What is there has been drawn: keep it.")
def _(x, prompt, free):
    return torch.where(free, 4, prompt).expand_as(x)


@project.mistake("At free places you put 0. What is there has been drawn: keep it.")
def _(x, prompt, free):
    return torch.where(free, 0, prompt).expand_as(x)


@exercise("a score at one mask is a conditional in disguise: one division, and no sum over texts.")
def exact_conditional(log_score, i):
    return log_score[i, :-1].softmax(-1)


@exact_conditional.cases
def _(dice):
    for N, L, sigma in [(2, 1, 1.0), (3, 2, 0.1), (2, 3, 3.0), (5, 4, 0.01), (4, 2, 12.0)]:
        process = Absorbing(N)
        log_posterior = torch.randn(1, L, N, dtype=torch.float64, generator=dice).mul(2).log_softmax(-1)
        i = int(torch.randint(L, (), generator=dice))
        x = torch.randint(process.num_states, (1, L), generator=dice)
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
    "Your pmf has N + 1 entries. The last state is the mask itself, and no character: leave it out before you divide."
)
def _(log_score, i):
    return log_score[i].softmax(-1)


@exact_conditional.mistake(
    "Your numbers do not add up to 1: the mask, with its ratio 1, is still in the sum. Sum over the N characters alone."
)
def _(log_score, i):
    return log_score[i].softmax(-1)[:-1]


@exact_conditional.mistake(
    "These are the ratios. They are the conditional times a number that depends on sigma: divide them by their sum."
)
def _(log_score, i):
    return log_score[i, :-1].exp()


@exact_conditional.mistake("These are log-probabilities. The exercise asks for probabilities.")
def _(log_score, i):
    return log_score[i, :-1].log_softmax(-1)


@exact_conditional.mistake("You left out the first character. The mask is the last state: all but the last are asked.")
def _(log_score, i):
    return log_score[i, 1:].softmax(-1)


@exact_conditional.mistake("You divide by a sum over the whole table. Only row i speaks about place i.")
def _(log_score, i):
    return (log_score[i, :-1] - log_score[:, :-1].logsumexp((0, 1))).exp()


@exact_conditional.mistake("You give the pmfs of all places. The exercise asks for that of place i alone.")
def _(log_score, i):
    return log_score[:, :-1].softmax(-1)


@exact_conditional.mistake(
    "You divide log-scores by their sum. Take exp() first: ratios add up, their logarithms do not."
)
def _(log_score, i):
    return log_score[i, :-1] / log_score[i, :-1].sum()


@exercise("one hole after the other, and the product is exact, in any order.")
def fill_probability(denoiser, x, goal, mask):
    x, p = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            p *= float(denoiser(x)[i, goal[i]])
            x[i] = goal[i]
    return p


@fill_probability.cases
def _(dice):
    yield _Denoiser(torch.tensor([0.3, 0.7]).double()), torch.tensor([2]), torch.tensor([1]), 2
    yield _Denoiser(torch.tensor([0.3, 0.7]).double()), torch.tensor([0]), torch.tensor([0]), 2
    for N, L in [(2, 2), (3, 2), (2, 3), (3, 4)]:
        denoiser = _Denoiser(_table(dice, N, L) ** 3)
        goal = torch.randint(N, (L,), generator=dice)
        yield denoiser, torch.full((L,), N), goal, N
        x = goal.clone()
        x[:2] = N
        yield denoiser, x, goal, N
        some = goal.clone()  # the goal has a hole too
        some[0] = N
        yield denoiser, torch.full((L,), N), some, N
        x = goal.clone()  # and where the goal has one, x may show a character
        x[-1] = N
        yield denoiser, x, some, N
    agree = _Denoiser(torch.tensor([[0.5, 0.0], [0.0, 0.5]]).double())
    yield agree, torch.tensor([2, 2]), torch.tensor([1, 1]), 2
    yield agree, torch.tensor([2, 2]), torch.tensor([1, 0]), 2  # cannot be


def _factors(denoiser, x, goal, mask, put=None, ask_first=True):
    """What is multiplied; put: what is written into a hole in place of the goal's character."""
    x, found = x.clone(), []
    for i in range(len(x)):
        if x[i] == mask and goal[i] != mask:
            p = denoiser(x)[i]
            x[i] = goal[i] if put is None else put(p)
            found.append(float((p if ask_first else denoiser(x)[i])[goal[i]]))
    return found


@fill_probability.mistake(
    "Every factor is asked of the same x, so that no character knows of the others. Write each one into x before you "
    "ask for the next."
)
def _(denoiser, x, goal, mask):
    p = denoiser(x)
    return math.prod([1.0, *(float(p[i, goal[i]]) for i in range(len(x)) if x[i] == mask and goal[i] != mask)])


@fill_probability.mistake(
    "You write a character first and ask for it afterwards. Then it is certain, and every factor 1: ask, then write."
)
def _(*arguments):
    return float(math.prod(_factors(*arguments, ask_first=False)))


@fill_probability.mistake("You add. That all of it happens has a product of probabilities, each given those before.")
def _(*arguments):
    return float(sum(_factors(*arguments)))


@fill_probability.mistake("This is the logarithm of the right one. The exercise asks for the probability.")
def _(*arguments):
    return float(sum(math.log(p) if p > 0 else -math.inf for p in _factors(*arguments)))


@fill_probability.mistake("You stop after the first hole. Go on, and multiply.")
def _(*arguments):
    return (_factors(*arguments) or [1.0])[0]


@fill_probability.mistake("This is the last factor alone. Keep the product of all of them.")
def _(*arguments):
    return (_factors(*arguments) or [1.0])[-1]


@fill_probability.mistake(
    "You write the most probable character into a hole. What is asked is the chance of the goal: write the goal's."
)
def _(*arguments):
    return float(math.prod(_factors(*arguments, put=lambda p: p.argmax())))


_NOT_ASKED = (
    "Where the goal has a mask, nothing is asked. You look up the mask in row i of the denoiser, which has no such "
    "column: skip these places."
)


@fill_probability.mistake(_NOT_ASKED)
def _(denoiser, x, goal, mask):
    x, p = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] != goal[i]:
            p *= float(denoiser(x)[i, goal[i]])
            x[i] = goal[i]
    return p


@fill_probability.mistake(_NOT_ASKED)
def _(denoiser, x, goal, mask):
    x, p = x.clone(), 1.0
    for i in range(len(x)):
        if x[i] == mask:
            p *= float(denoiser(x)[i, goal[i]])
            x[i] = goal[i]
    return p


@fill_probability.mistake("You begin the product with 0, and 0 times anything is 0. An empty product is 1.")
def _(*arguments):
    return 0.0


@exercise("the end of one window is the beginning of the next.")
def slide(text, keep, length, mask):
    keep = min(keep, len(text))
    x = torch.full((length,), mask)
    x[:keep] = text[len(text) - keep :]
    return x, torch.arange(length) >= keep


@slide.cases
def _(dice):
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
        yield torch.randint(5, (T,), generator=dice), keep, length, 5
    yield torch.zeros(0, dtype=torch.int64), 2, 3, 4  # nothing is written yet
    yield torch.tensor([1, 0, 2]), 3, 3, 3  # nothing is left to write


def _window(kept, length, mask):
    x = torch.full((length,), mask)
    x[: len(kept)] = kept
    return x, torch.arange(length) >= len(kept)


@slide.mistake("You keep the beginning of the text. The next window goes on where the text ends: keep the end.")
def _(text, keep, length, mask):
    return _window(text[:keep], length, mask)


_ENDS = (
    "The last `keep` characters are not always text[-keep:]. With keep = 0 that is the whole text, for -0 is 0; and "
    "where the text is shorter than `keep`, there are fewer. Count from the front, and keep no more than there is."
)


@slide.mistake(_ENDS)
def _(text, keep, length, mask):
    x = torch.full((length,), mask)
    x[:keep] = text[-keep:]
    return x, torch.arange(length) >= keep


@slide.mistake(_ENDS)
def _(text, keep, length, mask):
    return torch.cat([text[-keep:], torch.full((length - keep,), mask)]), torch.arange(length) >= keep


@slide.mistake(_ENDS)
def _(text, keep, length, mask):
    return _window(text[-keep:], length, mask)


@slide.mistake("Your second tensor says what is given. It should be True where a place is free.")
def _(text, keep, length, mask):
    x, free = slide.reference(text, keep, length, mask)
    return x, ~free


@slide.mistake("What was kept stands at the end of your window. It should stand at its beginning: what is new follows.")
def _(text, keep, length, mask):
    x, free = slide.reference(text, keep, length, mask)
    return x.roll(-min(keep, len(text))), free.flip(0)


@slide.mistake("You give what was kept alone. The window has `length` places: the rest are masks, and free.")
def _(text, keep, length, mask):
    keep = min(keep, len(text))
    return text[len(text) - keep :], torch.zeros(keep, dtype=torch.bool)


@slide.mistake(
    "Here `keep` characters are new and the others kept. It is the other way round: `keep` are kept, the others new."
)
def _(text, keep, length, mask):
    return slide.reference(text, length - keep, length, mask)


@slide.mistake("Where the text is shorter than `keep`, you say that masks are given. Only what is there can be given.")
def _(text, keep, length, mask):
    return slide.reference(text, keep, length, mask)[0], torch.arange(length) >= keep


_SHORTER = (
    "Where the text is shorter than `keep`, this goes wrong. Find out first how many characters are really kept, and "
    "go on with this number in every place: `keep` itself is then no longer needed."
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
