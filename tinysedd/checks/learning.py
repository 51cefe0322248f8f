"""Exercises of notebooks 04 and 05: score entropy, and training with it."""

import torch
from torch import Tensor, nn

from tinysedd.checks.compare import loss_and_slope
from tinysedd.checks.engine import exercise, kind, shares, tensor
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Uniform

# 04 ----------------------------------------------------------------------------------------------------------------


@exercise("0 where the guess is right, and a wall at 0: no ratio is negative.")
def score_entropy(s, r):
    return s - torch.xlogy(r, s) + torch.xlogy(r, r) - r


def _guesses(dice: torch.Generator, *shape: int) -> tuple[Tensor, Tensor]:
    """Guesses and ratios, from 0.01 to 100; the first guess is right where there are several."""
    s, r = (2 * torch.randn(shape, dtype=torch.float64, generator=dice)).exp().clamp(0.01, 100).unbind(0)
    if s.numel() > 1:
        s.flatten()[0] = r.flatten()[0]
    return s, r


@score_entropy.cases
def _(dice):
    yield torch.tensor([2.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    yield torch.tensor([0.5, 3.0], dtype=torch.float64), torch.tensor([0.0, 2.0], dtype=torch.float64)
    yield torch.tensor(4.0, dtype=torch.float64), torch.tensor(0.25, dtype=torch.float64)
    for shape in [(5,), (2, 3), (2, 2, 4)]:
        yield _guesses(dice, 2, *shape)
    s, r = _guesses(dice, 2, 6)
    yield s, r * (torch.arange(6) < 3)  # half of the ratios are 0


@score_entropy.mistake(
    "You have nan where r = 0: log 0 is -inf, and 0 times that is nan. There r log r counts as 0: torch.xlogy(r, r)."
)
def _(s, r):
    return s - r * s.log() + r * (r.log() - 1)


@score_entropy.mistake(
    "Guess and truth have changed places: the logarithm of the guess s is what the truth r multiplies."
)
def _(s, r):
    return r - s * r.log() + torch.xlogy(s, s) - s


@score_entropy.mistake(
    "The minimum is right, but it is not 0: the term r (log r - 1) is missing, which does not depend on s."
)
def _(s, r):
    return s - r * s.log()


@score_entropy.mistake("The minimum is right, but it is not 0: r is missing, from the term r (log r - 1).")
def _(s, r):
    return s - r * s.log() + torch.xlogy(r, r)


@score_entropy.mistake("Look at the signs: s - r log s, where the logarithm is subtracted.")
def _(s, r):
    return s + r * s.log() + torch.xlogy(r, r) - r


@score_entropy.mistake("All signs are turned: this is largest, not smallest, where s = r.")
def _(s, r):
    return -score_entropy.reference(s, r)


@score_entropy.mistake("This is the squared error. It allows negative ratios, and sees only the large ones.")
def _(s, r):
    return (s - r) ** 2


@score_entropy.mistake("This is a cross-entropy, -r log s. Without the term s a guess can never be too large.")
def _(s, r):
    return -r * s.log()


@score_entropy.mistake("You add everything up. The exercise asks for the cost of each guess, in the shape of s.")
def _(s, r):
    return score_entropy.reference(s, r).sum()


@score_entropy.mistake("You take the mean. The exercise asks for the cost of each guess, in the shape of s.")
def _(s, r):
    return score_entropy.reference(s, r).mean()


@exercise("guess less truth. It is this simple because the network gives log s.")
def score_entropy_gradient(log_s, r):
    return log_s.exp() - r


@score_entropy_gradient.cases
def _(dice):
    yield torch.tensor([1.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    yield torch.tensor(-0.5, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    for shape in [(3,), (2, 3), (2, 2, 4)]:
        s, r = _guesses(dice, 2, *shape)
        yield s.log(), r


@score_entropy_gradient.mistake(
    "This is the derivative by s, 1 - r/s. By log s there is one more factor: ds / d log s = s."
)
def _(log_s, r):
    return 1 - r / log_s.exp()


@score_entropy_gradient.mistake("The sign is turned: the cost grows with s where the guess is too large, s > r.")
def _(log_s, r):
    return r - log_s.exp()


@score_entropy_gradient.mistake("You subtract r from log s. The guess itself is s = exp(log s).")
def _(log_s, r):
    return log_s - r


@score_entropy_gradient.mistake("This is the difference of the logarithms. The derivative holds s and r themselves.")
def _(log_s, r):
    return log_s - r.log()


@score_entropy_gradient.mistake("This is the cost itself. The exercise asks for its derivative by log s.")
def _(log_s, r):
    return score_entropy.reference(log_s.exp(), r)


@score_entropy_gradient.mistake("This is the derivative of the squared error by log s, 2 s (s - r).")
def _(log_s, r):
    s = log_s.exp()
    return 2 * s * (s - r)


@score_entropy_gradient.mistake("This is the derivative of the squared error by s, 2 (s - r). Here there is no 2.")
def _(log_s, r):
    return 2 * (log_s.exp() - r)


@score_entropy_gradient.mistake("The inner derivative divides in your result. ds / d log s = s, so that it multiplies.")
def _(log_s, r):
    s = log_s.exp()
    return (1 - r / s) / s


@score_entropy_gradient.mistake("You add everything up. The exercise asks for one derivative for each log s.")
def _(log_s, r):
    return (log_s.exp() - r).sum()


def _denoiser(dice: torch.Generator, B: int, L: int, N: int) -> Tensor:
    """p(x0_i = a | x) as a network may guess it (B, L, N)."""
    return (2 * torch.randn(B, L, N, dtype=torch.float64, generator=dice)).softmax(-1)


def _noised(dice: torch.Generator, B: int, L: int, N: int, process, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, L), x0 (B, L), sigma (B,), the first as given and the others spread around it."""
    sigma = sigma * torch.linspace(1, 2, B, dtype=torch.float64)
    x0 = torch.randint(N, (B, L), generator=dice)
    return process.perturb(x0, torch.full((B,), 1.0), dice), x0, sigma


REDRAWN = (
    "Your q has 1/(N - 1) in it. A hit draws from all N characters, also the old one: q(y|a) = (1 - e^-sigma) / N, "
    "and at y = a e^-sigma more."
)
SIZES = [(1, 1, 2, 0.5), (1, 2, 3, 1.0), (2, 3, 4, 0.01), (3, 2, 5, 3.0), (2, 4, 3, 0.3)]  # B, L, N, sigma


@exercise("a guess of the clean text gives every ratio, and what shows is final.")
def absorbing_score(posterior, x, sigma):
    return Absorbing(posterior.shape[-1]).log_score(posterior.log(), x, sigma).exp()


@absorbing_score.cases
def _(dice):
    for B, L, N, sigma in SIZES:
        p = _denoiser(dice, B, L, N)
        x, _, sigmas = _noised(dice, B, L, N, Absorbing(N), sigma)
        yield p, x, sigmas
        yield p, torch.full_like(x, N), sigmas
        yield p, x.clamp(max=N - 1), sigmas
    p = torch.eye(3, dtype=torch.float64)[None]  # sure of everything
    yield p, torch.tensor([[3, 3, 2]]), torch.tensor([0.7], dtype=torch.float64)


def _at_masks(p: Tensor, x: Tensor, s: Tensor, mask: float = 1.0) -> Tensor:
    """Scores (B, L, N + 1) from those s (B, L, N) at masks; elsewhere what shows is final."""
    s = torch.cat([s, torch.full_like(s[..., :1], mask)], -1)
    shows = torch.zeros_like(s).scatter(-1, x[..., None], 1.0)
    return torch.where((x == p.shape[-1])[..., None], s, shows)


def _wide(sigma: Tensor) -> Tensor:
    return sigma[:, None, None]


@absorbing_score.mistake(
    "You divide by 1 - e^-sigma, the probability of a mask. The key is e^-sigma / (1 - e^-sigma) = 1 / (e^sigma - 1)."
)
def _(p, x, sigma):
    return _at_masks(p, x, p / -torch.expm1(-_wide(sigma)))


@absorbing_score.mistake(
    "You divide by e^sigma. The probability of a mask is 1 - e^-sigma, which makes it e^sigma - 1."
)
def _(p, x, sigma):
    return _at_masks(p, x, p / _wide(sigma).exp())


@absorbing_score.mistake("You multiply by e^sigma - 1, in place of dividing: this is the ratio upside down.")
def _(p, x, sigma):
    return _at_masks(p, x, p * torch.expm1(_wide(sigma)))


@absorbing_score.mistake(
    "These are the probabilities p(x0 = y | x). The ratio also depends on sigma: divide by e^sigma - 1."
)
def _(p, x, sigma):
    return _at_masks(p, x, p)


@absorbing_score.mistake("Under y = mask you have 0. A mask that stays is the text itself, with the ratio 1.")
def _(p, x, sigma):
    return _at_masks(p, x, p / torch.expm1(_wide(sigma)), mask=0.0)


@absorbing_score.mistake(
    "The last state is missing: there are N + 1 of them, with the mask, and its ratio at a mask is 1."
)
def _(p, x, sigma):
    return absorbing_score.reference(p, x, sigma)[..., :-1]


@absorbing_score.mistake(
    "You treat each place as a mask. A character that shows is final: ratio 1 for itself, 0 for all others."
)
def _(p, x, sigma):
    return _at_masks(p, torch.full_like(x, p.shape[-1]), p / torch.expm1(_wide(sigma)))


@absorbing_score.mistake(
    "At a character that shows every state has the ratio 1. Only the character itself has it; no other can come about."
)
def _(p, x, sigma):
    s = absorbing_score.reference(p, x, sigma)
    return torch.where((x == p.shape[-1])[..., None], s, 1.0)


@absorbing_score.mistake("At a character that shows you have only 0. The text itself has the ratio 1.")
def _(p, x, sigma):
    return absorbing_score.reference(p, x, sigma) * (x == p.shape[-1])[..., None]


@absorbing_score.mistake("Every text gets the sigma of the first one. sigma has one number for each text: (B, 1, 1).")
def _(p, x, sigma):
    return absorbing_score.reference(p, x, sigma[:1].expand(len(x)))


@absorbing_score.mistake("These are the logarithms of the right ratios. The exercise asks for the ratios themselves.")
def _(p, x, sigma):
    return absorbing_score.reference(p, x, sigma).log()


@exercise("the average of the keys, each weighted by how probable its character is.")
def uniform_score(posterior, x, sigma):
    return Uniform(posterior.shape[-1]).log_score(posterior.log(), x, sigma).exp()


@uniform_score.cases
def _(dice):
    for B, L, N, sigma in SIZES:
        x, _, sigmas = _noised(dice, B, L, N, Uniform(N), sigma)
        yield _denoiser(dice, B, L, N), x, sigmas
    p = torch.eye(3, dtype=torch.float64)[None]
    yield p, torch.tensor([[0, 2, 1]]), torch.tensor([0.7], dtype=torch.float64)


def _rows(p: Tensor, sigma: Tensor) -> Tensor:
    """q(y | a) at each sigma (B, N, N)."""
    return Uniform(p.shape[-1]).transition(sigma)


def _into(T: Tensor, x: Tensor) -> Tensor:
    """q(x_i | a) (B, L, N), from q(y | a) (B, N, N)."""
    return T.mT[torch.arange(len(x))[:, None], x]


def _at_x(s: Tensor, x: Tensor) -> Tensor:
    return s.gather(-1, x[..., None])


@uniform_score.mistake(
    "This is a ratio of averages: you average above and below the line apart. Average the ratios q(y|a) / q(x|a)."
)
def _(p, x, sigma):
    q = p @ _rows(p, sigma)
    return q / _at_x(q, x)


@uniform_score.mistake(
    "This is p(y) / p(x) of the clean characters. There is noise on them: each a gives q(y|a) / q(x|a)."
)
def _(p, x, sigma):
    return p / _at_x(p, x)


@uniform_score.mistake("This is the formula of absorbing noise. Here the other characters a also count.")
def _(p, x, sigma):
    return (p / torch.expm1(_wide(sigma))).scatter(-1, x[..., None], 1.0)


@uniform_score.mistake("The ratios are upside down: q(y|a) belongs above the line, q(x|a) below it.")
def _(p, x, sigma):
    T = _rows(p, sigma)
    return (p * _into(T, x)) @ (1 / T)


@uniform_score.mistake(
    "These are the averages of q(y|a). Each q(y|a) must be divided by q(x|a), what the text shows now."
)
def _(p, x, sigma):
    return p @ _rows(p, sigma)


@uniform_score.mistake("You take the key of the most probable character alone. All a count, each with its probability.")
def _(p, x, sigma):
    best = torch.nn.functional.one_hot(p.argmax(-1), p.shape[-1]).to(p)
    return uniform_score.reference(best, x, sigma)


@uniform_score.mistake(
    "The probabilities p(a | x) are missing: you add up all keys as if each a were equally probable."
)
def _(p, x, sigma):
    T = _rows(p, sigma)
    return (1 / _into(T, x)) @ T


@uniform_score.mistake(
    "The hit and the spared have changed places in your q: a character is spared with e^-sigma, hit with 1 - e^-sigma."
)
def _(p, x, sigma):
    return uniform_score.reference(p, x, -torch.log(-torch.expm1(-sigma)))


@uniform_score.mistake(
    "You divide by q(x|y), after the sum. Each a has a q(x|a) of its own: divide p(a|x) by it first, then sum over a."
)
def _(p, x, sigma):
    T = _rows(p, sigma)
    return (p @ T) / _into(T, x)


@uniform_score.mistake(REDRAWN)
def _(p, x, sigma):
    N = p.shape[-1]
    other = -torch.expm1(-_wide(sigma)) / (N - 1)
    T = other + torch.eye(N, dtype=torch.float64) * (torch.exp(-_wide(sigma)) - other)
    return (p / _into(T, x)) @ T


@uniform_score.mistake("Every text gets the sigma of the first one. sigma has one number for each text: (B, 1, 1).")
def _(p, x, sigma):
    return uniform_score.reference(p, x, sigma[:1].expand(len(x)))


@uniform_score.mistake("These are the logarithms of the right ratios. The exercise asks for the ratios themselves.")
def _(p, x, sigma):
    return uniform_score.reference(p, x, sigma).log()


@exercise("the loss that needs no true ratio, only texts and noise.")
def denoising_score_entropy(log_score, x, x0, sigma):
    return Uniform(log_score.shape[-1]).score_entropy(log_score, x, x0, sigma)


@denoising_score_entropy.cases
def _(dice):
    for B, L, N, sigma in SIZES:
        x, x0, sigmas = _noised(dice, B, L, N, Uniform(N), sigma)
        log_score = 2 * torch.randn(B, L, N, dtype=torch.float64, generator=dice)
        yield log_score, x, x0, sigmas
        yield log_score, (x0 + 1) % N, x0, sigmas


def _costs(log_score: Tensor, x: Tensor, x0: Tensor, T: Tensor) -> Tensor:
    """Score entropy (B, L, N) against the key from q(y | a) (B, N, N), also at y = x."""
    q = T[torch.arange(len(x))[:, None], x0]
    return score_entropy.reference(log_score.exp(), q / _at_x(q, x))


def _others(costs: Tensor, x: Tensor) -> Tensor:
    return costs.scatter(-1, x[..., None], 0.0)


def _q(log_score: Tensor, sigma: Tensor) -> Tensor:
    return Uniform(log_score.shape[-1]).transition(sigma)


@denoising_score_entropy.mistake(
    "Off by the factor N/(N - 1): you divide by the N - 1 neighbors. It is the rate Q = 1/N that weighs each of them."
)
def _(log_score, x, x0, sigma):
    return _others(_costs(log_score, x, x0, _q(log_score, sigma)), x).sum(-1) / (log_score.shape[-1] - 1)


@denoising_score_entropy.mistake("Too large by the factor N: each term is weighted with the rate Q(y -> x) = 1/N.")
def _(log_score, x, x0, sigma):
    return _others(_costs(log_score, x, x0, _q(log_score, sigma)), x).sum(-1)


@denoising_score_entropy.mistake("The term at the current character, y = x, should be left out of the sum.")
def _(log_score, x, x0, sigma):
    return _costs(log_score, x, x0, _q(log_score, sigma)).mean(-1)


@denoising_score_entropy.mistake(
    "You leave out the clean character, y = x0. It is the current one, y = x, that is no jump and must not count."
)
def _(log_score, x, x0, sigma):
    return _others(_costs(log_score, x, x0, _q(log_score, sigma)), x0).mean(-1)


@denoising_score_entropy.mistake("Your key is upside down: r = q(y | x0) / q(x | x0).")
def _(log_score, x, x0, sigma):
    T = _q(log_score, sigma)
    q = T[torch.arange(len(x))[:, None], x0]
    return _others(score_entropy.reference(log_score.exp(), _at_x(q, x) / q), x).mean(-1)


@denoising_score_entropy.mistake(
    "Your key is made from the row of what it is now, x. q(. | x0) is the row of what it was."
)
def _(log_score, x, x0, sigma):
    return _others(_costs(log_score, x, x, _q(log_score, sigma)), x).mean(-1)


@denoising_score_entropy.mistake("x and x0 have changed places in your key, r = q(y | x0) / q(x | x0).")
def _(log_score, x, x0, sigma):
    return _others(_costs(log_score, x0, x, _q(log_score, sigma)), x).mean(-1)


@denoising_score_entropy.mistake(REDRAWN)
def _(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    other = -torch.expm1(-_wide(sigma)) / (N - 1)
    T = other + torch.eye(N, dtype=torch.float64) * (torch.exp(-_wide(sigma)) - other)
    return _others(_costs(log_score, x, x0, T), x).mean(-1)


@denoising_score_entropy.mistake(
    "Only y = x0 counts in your sum. Under uniform noise every y has a ratio, and all count."
)
def _(log_score, x, x0, sigma):
    costs = _others(_costs(log_score, x, x0, _q(log_score, sigma)), x)
    return costs.gather(-1, x0[..., None]).squeeze(-1) / log_score.shape[-1]


@denoising_score_entropy.mistake(
    "The term r (log r - 1) is missing: your loss has its minimum at the right place, but it is not 0."
)
def _(log_score, x, x0, sigma):
    q = _q(log_score, sigma)[torch.arange(len(x))[:, None], x0]
    return _others(log_score.exp() - q / _at_x(q, x) * log_score, x).mean(-1)


@denoising_score_entropy.mistake("You take log_score for the score itself: s = exp(log_score).")
def _(log_score, x, x0, sigma):
    q = _q(log_score, sigma)[torch.arange(len(x))[:, None], x0]
    return _others(score_entropy.reference(log_score, q / _at_x(q, x)), x).mean(-1)


@denoising_score_entropy.mistake("Every text gets the sigma of the first one. sigma has one number for each text.")
def _(log_score, x, x0, sigma):
    return denoising_score_entropy.reference(log_score, x, x0, sigma[:1].expand(len(x)))


@denoising_score_entropy.mistake("You add up all positions too. The exercise asks for the cost of each, (B, L).")
def _(log_score, x, x0, sigma):
    return denoising_score_entropy.reference(log_score, x, x0, sigma).sum(-1)


@exercise("with it, no score function gets below the entropy of the world.")
def absorbing_score_entropy(log_score, x, x0, sigma):
    return Absorbing(log_score.shape[-1] - 1).score_entropy(log_score, x, x0, sigma)


@absorbing_score_entropy.cases
def _(dice):
    for B, L, N, sigma in SIZES:
        x, x0, sigmas = _noised(dice, B, L, N, Absorbing(N), sigma)
        for seen in (x, torch.full_like(x, N)):
            p = _denoiser(dice, B, L, N)
            yield Absorbing(N).log_score(p.log(), seen, sigmas), seen, x0, sigmas
            p = p.scatter(-1, (x0[..., None] + 1) % N, 0.0)  # like the exact score: some letters cannot be
            yield Absorbing(N).log_score(p.log(), seen, sigmas), seen, x0, sigmas
            yield 2 * torch.randn(B, L, N + 1, dtype=torch.float64, generator=dice), seen, x0, sigmas


def _mask_costs(log_score: Tensor, x: Tensor, x0: Tensor, r: Tensor) -> Tensor:
    """Score entropy (B, L, N) at masks, against the key r (B, 1, 1) at x0; 0 where a character shows."""
    masked = (x == log_score.shape[-1] - 1)[..., None]
    log_s = torch.where(masked, log_score[..., :-1], 0.0)
    r = torch.zeros_like(log_s).scatter(-1, x0[..., None], 1.0) * r
    return torch.where(masked, score_entropy.reference(log_s.exp(), r), 0.0)


def _key(sigma: Tensor) -> Tensor:
    return 1 / torch.expm1(_wide(sigma))


@absorbing_score_entropy.mistake(
    "Still too small by the factor N: a mean over y is a sum with the weight 1/N. What is the rate Q(y -> mask) here?"
)
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, _key(sigma)).mean(-1)


@absorbing_score_entropy.mistake(
    "Still too small, by the factor N + 1: you divide by the number of states. What is the rate Q(y -> mask) here?"
)
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, _key(sigma)).sum(-1) / log_score.shape[-1]


@absorbing_score_entropy.mistake(
    "Still too small, by the factor N - 1: which weight has each y? What is the rate Q(y -> mask) here?"
)
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, _key(sigma)).sum(-1) / (log_score.shape[-1] - 2)


@absorbing_score_entropy.mistake("Too large, by the factor N. The key is right as it is, and so is each single term.")
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, _key(sigma)).sum(-1) * (log_score.shape[-1] - 1)


@absorbing_score_entropy.mistake("You changed the key, which was right: r = 1 / (e^sigma - 1). The fault is elsewhere.")
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, 1 / -torch.expm1(-_wide(sigma))).sum(-1)


@absorbing_score_entropy.mistake(
    "You changed the key, which was right: r = 1 / (e^sigma - 1). And the fault is still there."
)
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, 1 / -torch.expm1(-_wide(sigma))).mean(-1)


@absorbing_score_entropy.mistake(
    "Places where a character shows cost something now. Only masks can jump back: the rest must stay 0."
)
def _(log_score, x, x0, sigma):
    log_s = log_score[..., :-1]
    r = torch.zeros_like(log_s).scatter(-1, x0[..., None], 1.0) * _key(sigma)
    return score_entropy.reference(log_s.exp(), r).sum(-1)


@absorbing_score_entropy.mistake(
    "You have nan where a letter cannot be: log s is -inf there, and 0 times that is nan. torch.xlogy(r, s) is 0."
)
def _(log_score, x, x0, sigma):
    masked = (x == log_score.shape[-1] - 1)[..., None]
    log_s = torch.where(masked, log_score[..., :-1], 0.0)
    r = torch.zeros_like(log_s).scatter(-1, x0[..., None], 1.0) * _key(sigma)
    return torch.where(masked, log_s.exp() - r * log_s + torch.xlogy(r, r) - r, 0.0).sum(-1)


@absorbing_score_entropy.mistake("You add up all positions too. The exercise asks for the cost of each, (B, L).")
def _(log_score, x, x0, sigma):
    return absorbing_score_entropy.reference(log_score, x, x0, sigma).sum(-1)


# 05 ----------------------------------------------------------------------------------------------------------------


@exercise("each part of (0, 1] gets its share of the times, and one random shift reaches every time.")
def spread_times(B, u):
    return 1 - (u + torch.arange(B, dtype=torch.float64) / B) % 1


@spread_times.cases
def _(dice):
    yield 1, 0.25
    yield 2, 0.0
    yield 4, 0.1
    yield 5, 0.99
    for B in (3, 8, 16):
        yield B, torch.rand((), dtype=torch.float64, generator=dice).item()


@spread_times.measure
def _(result, B, u):
    """In order: any order of the times is right."""
    t = tensor(result)
    return t.double().sort().values if t.ndim == 1 else t


@spread_times.mistake(
    "Your times begin at 0, where there is no noise and nothing to learn. Take 1 minus them: from (0, 1]."
)
def _(B, u):
    return (u + torch.arange(B, dtype=torch.float64) / B) % 1


@spread_times.mistake("Some of your times lie outside of (0, 1]: what goes beyond 1 must come in again at 0 (mod 1).")
def _(B, u):
    return 1 - (u + torch.arange(B, dtype=torch.float64) / B)


@spread_times.mistake("Some of your times lie outside of (0, 1]: what goes beyond 1 must come in again at 0 (mod 1).")
def _(B, u):
    return u + torch.arange(B, dtype=torch.float64) / B


_IN_PARTS = (
    "Your times are spread too, but u moves them by u / B only. In the formula only b is divided by B, (u + b / B) mod "
    "1: u moves the whole comb, and what goes out on one side comes in on the other."
)


@spread_times.mistake(_IN_PARTS)
def _(B, u):
    return (u + torch.arange(B, dtype=torch.float64)) / B


@spread_times.mistake(_IN_PARTS)
def _(B, u):
    return 1 - (u + torch.arange(B, dtype=torch.float64)) / B


@spread_times.mistake("The shift u is missing: without it the same B times come again in every batch.")
def _(B, u):
    return 1 - torch.arange(B, dtype=torch.float64) / B


@spread_times.mistake(
    "b runs from 0 to B - 1, and is divided by B: the last step, from b = B - 1 to 1, is as long as all."
)
def _(B, u):
    return 1 - (u + torch.arange(B, dtype=torch.float64) / max(B - 1, 1)) % 1


@spread_times.mistake("You give one time. A batch of B texts needs B of them, b = 0 ... B - 1.")
def _(B, u):
    return 1 - u


@spread_times.mistake("All texts get the same time. Each b gives its own: add b / B to u.")
def _(B, u):
    return torch.full((B,), 1 - u, dtype=torch.float64)


class _Guess:
    """A score function with one parameter, `heat`, so that a loss of it has a gradient."""

    __name__ = "score"

    def __init__(self, process, L: int, dice: torch.Generator):
        self.process = process
        self.table = torch.randn(process.num_states, L, process.num_tokens, dtype=torch.float64, generator=dice)
        self.heat = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        if x.ndim != 2 or sigma.shape != x.shape[:1]:
            told = f"it was given shapes {tuple(x.shape)} and {tuple(sigma.shape)}"
            raise ValueError(f"score(x, sigma) takes x (B, L) and sigma (B,); {told}")
        table = self.heat * self.table[x, torch.arange(x.shape[1])]  # (B, L, N)
        return self.process.log_score(table.log_softmax(-1), x, sigma)


@exercise(
    "score entropy, weighted so that each hit character counts alike.",
    measured="the loss, and its derivative by a parameter of the score",
)
def weighted_loss(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    entropy = process.score_entropy(score(x, sigma), x, x0, sigma)
    return (_weight(process, t) * entropy.mean(-1)).mean()


def _weight(process, t: Tensor) -> Tensor:
    return process.schedule.rate(t) * -torch.expm1(-process.schedule.total(t))


def _entropy(score, process, x, x0, t) -> Tensor:
    sigma = process.schedule.total(t)
    return process.score_entropy(score(x, sigma), x, x0, sigma)


@weighted_loss.cases
def _(dice):
    for B, L, N in [(1, 1, 2), (2, 3, 3), (3, 2, 4), (4, 4, 3), (3, 5, 2)]:
        for kind_of_noise in (Absorbing, Uniform):
            for schedule in (LogLinear(), Geometric(1e-2, 5.0)):
                process = kind_of_noise(N, schedule)
                x0 = torch.randint(N, (B, L), generator=dice)
                t = 0.2 + 0.75 * torch.rand(B, dtype=torch.float64, generator=dice)
                x = process.perturb(x0, schedule.total(t).clamp(min=1.0), dice)
                yield _Guess(process, L, dice), process, x, x0, t


@weighted_loss.measure
def _(result, score, process, x, x0, t):
    return loss_and_slope(result, score.heat)


@weighted_loss.mistake(
    "The weight is missing: this is the mean score entropy. It is large where there is little noise; multiply by w(t)."
)
def _(score, process, x, x0, t):
    return _entropy(score, process, x, x0, t).mean()


@weighted_loss.mistake(
    "You weight with sigma' alone. That makes a bound of it, but the few hits at small t count for much. The factor "
    "1 - e^-sigma is missing."
)
def _(score, process, x, x0, t):
    return (process.schedule.rate(t) * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("The factor sigma'(t) of the weight is missing, process.schedule.rate(t).")
def _(score, process, x, x0, t):
    return (-torch.expm1(-process.schedule.total(t)) * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("You weight with e^-sigma, the share that was not hit. The share hit is 1 - e^-sigma.")
def _(score, process, x, x0, t):
    w = process.schedule.rate(t) * torch.exp(-process.schedule.total(t))
    return (w * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("You have e^sigma in the weight, so that it is below 0. The share hit is 1 - e^-sigma.")
def _(score, process, x, x0, t):
    w = process.schedule.rate(t) * -torch.expm1(process.schedule.total(t))
    return (w * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake(
    "The mean of the weights times the mean of the score entropies: each text must meet its own weight before the mean "
    "is taken. Two tensors of shapes (B,) and (B, 1) make a (B, B) of all pairs."
)
def _(score, process, x, x0, t):
    return _weight(process, t).mean() * _entropy(score, process, x, x0, t).mean()


@weighted_loss.mistake("You add up the characters of a text. The loss is per character: take their mean.")
def _(score, process, x, x0, t):
    return (_weight(process, t) * _entropy(score, process, x, x0, t).sum(-1)).mean()


@weighted_loss.mistake("You add up the texts. The loss is a mean over texts: else it grows with the batch.")
def _(score, process, x, x0, t):
    return (_weight(process, t) * _entropy(score, process, x, x0, t).mean(-1)).sum()


@weighted_loss.mistake("You add everything up. The loss is a mean over texts and characters.")
def _(score, process, x, x0, t):
    return (_weight(process, t) * _entropy(score, process, x, x0, t).sum(-1)).sum()


@weighted_loss.mistake("You give one loss for each text. The optimizer wants a single number: the mean over texts.")
def _(score, process, x, x0, t):
    return _weight(process, t) * _entropy(score, process, x, x0, t).mean(-1)


@weighted_loss.mistake("You divide by the sum of the weights. The loss is a plain mean over texts, with weights.")
def _(score, process, x, x0, t):
    w = _weight(process, t)
    return (w * _entropy(score, process, x, x0, t).mean(-1)).sum() / w.sum()


@weighted_loss.mistake(
    "You take exp() of what the score says. process.score_entropy wants log-scores, and that is what score(x, sigma) "
    "gives."
)
def _(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    entropy = process.score_entropy(score(x, sigma).exp(), x, x0, sigma)
    return (_weight(process, t) * entropy.mean(-1)).mean()


@weighted_loss.mistake("You hand the time t to the score function. It takes the total noise, sigma(t).")
def _(score, process, x, x0, t):
    entropy = process.score_entropy(score(x, t), x, x0, process.schedule.total(t))
    return (_weight(process, t) * entropy.mean(-1)).mean()


@weighted_loss.mistake("You take the time t for the total noise. sigma is process.schedule.total(t).")
def _(score, process, x, x0, t):
    return (_weight(process, t) * process.score_entropy(score(x, t), x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("You take the time t for the total noise. sigma is process.schedule.total(t).")
def _(score, process, x, x0, t):
    w = process.schedule.rate(t) * -torch.expm1(-t)
    return (w * process.score_entropy(score(x, t), x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("The rate belongs to the time: process.schedule.rate(t), not of sigma.")
def _(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(sigma) * -torch.expm1(-sigma)
    return (w * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("x and x0 have changed places: score_entropy wants the noised texts before the clean ones.")
def _(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    return (_weight(process, t) * process.score_entropy(score(x, sigma), x0, x, sigma).mean(-1)).mean()


@weighted_loss.mistake(
    "You ask the score about the clean texts x0. It must answer about what noise has left, x: that is all it will see."
)
def _(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    return (_weight(process, t) * process.score_entropy(score(x0, sigma), x, x0, sigma).mean(-1)).mean()


@exercise("it follows the weights and forgets their jumps.")
def moving_average(average, weights, decay):
    return [decay * a + (1 - decay) * w for a, w in zip(average, weights)]


@moving_average.cases
def _(dice):
    yield [torch.tensor([2.0], dtype=torch.float64)], [torch.tensor([4.0], dtype=torch.float64)], 0.9
    for shapes, decay in [([(2,)], 0.5), ([(3,), (2, 2)], 0.98), ([(2, 3), (1,), (4,)], 0.0), ([(2,), (3,)], 1.0)]:
        yield *([torch.randn(s, dtype=torch.float64, generator=dice) for s in shapes] for _ in range(2)), decay


@moving_average.measure
def _(result, average, weights, decay):
    """Tensors of several shapes as one."""
    if not isinstance(result, list | tuple):
        raise ValueError(f"A list of tensors was expected; {kind(result)} came back.")
    if [tuple(tensor(r).shape) for r in result] != [tuple(a.shape) for a in average]:
        shapes = ", ".join(str(tuple(a.shape)) for a in average)
        raise ValueError(f"One tensor for each weight was expected, here of the shapes {shapes}.")
    return torch.cat([tensor(r).double().flatten() for r in result])


@moving_average.mistake(
    "Old and new have changed places: a decay near 1 keeps nearly all of the average, and takes little that is new."
)
def _(average, weights, decay):
    return moving_average.reference(weights, average, decay)


@moving_average.mistake(
    "The new weights come in whole, so that the average grows and grows: multiply them by 1 - decay."
)
def _(average, weights, decay):
    return [decay * a + w for a, w in zip(average, weights)]


@moving_average.mistake("The old average is kept whole, so that it grows and grows: multiply it by decay.")
def _(average, weights, decay):
    return [a + (1 - decay) * w for a, w in zip(average, weights)]


@moving_average.mistake("This is the middle of old and new. How much is kept is what `decay` says.")
def _(average, weights, decay):
    return [(a + w) / 2 for a, w in zip(average, weights)]


@moving_average.mistake("You give back the weights as they are: the old average is forgotten.")
def _(average, weights, decay):
    return list(weights)


@moving_average.mistake("You give back the old average: nothing new comes in.")
def _(average, weights, decay):
    return list(average)


@moving_average.mistake("The sign is turned: the average must move toward the weights, by (1 - decay) of the way.")
def _(average, weights, decay):
    return [a - (1 - decay) * (w - a) for a, w in zip(average, weights)]


@moving_average.mistake("The old average only fades: what is added in 1 - decay parts are the new weights.")
def _(average, weights, decay):
    return [decay * a for a in average]


class _Network(nn.Module):
    """What of a network the first weights are for, in the names of the notebook, and at first in great disorder."""

    def __init__(self, width: int, blocks: int, characters: int):
        super().__init__()
        self.embed, self.place = nn.Embedding(characters + 1, width), nn.Embedding(8, width)
        self.blocks = nn.ModuleList(nn.Module() for _ in range(blocks))
        for block in self.blocks:
            block.norm1, block.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
            for name, a, b in [("qkv", 1, 3), ("out", 1, 1), ("up", 1, 4), ("down", 4, 1)]:
                block.add_module(name, nn.Linear(a * width, b * width, bias=False))
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, characters, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.constant_(module.weight, 7.0)

    def __repr__(self) -> str:
        return f"(a network of width {self.embed.embedding_dim}; number of blocks: {len(self.blocks)})"


def _matrices(network: nn.Module) -> list[nn.Linear]:
    """Head first, then out, down, qkv and up of each block."""
    return [network.head, *(m for b in network.blocks for m in (b.out, b.down, b.qkv, b.up))]


@exercise(
    "the network begins where it was promised to begin, at the even guess.",
    tolerance=lambda size: 0.08 * size,
    in_place=True,
    measured="how large the weights are, as root mean square × √inputs: head; then out, down, qkv, up of each block",
)
def initialize(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    for last in [network.head, *(layer for block in network.blocks for layer in (block.out, block.down))]:
        nn.init.zeros_(last.weight)


@initialize.cases
def _(dice):
    yield (_Network(48, 1, 21),)
    yield (_Network(32, 3, 30),)


@initialize.measure
def _(result, network):
    weights = [(m.weight.detach().double(), m.in_features) for m in _matrices(network)]
    return torch.stack([w.square().mean().sqrt() * inputs**0.5 for w, inputs in weights])


@initialize.exact
def _(network):
    return torch.tensor([0.0] + [0.0, 0.0, 1.0, 1.0] * len(network.blocks))


def _first_weights(network, zero, size=1.0):
    """All matrices random with size / √inputs, but those to be zero; in the order of `_matrices`."""
    for k, module in enumerate(_matrices(network)):
        nn.init.normal_(module.weight, std=size * module.in_features**-0.5)
        if zero(k, len(_matrices(network))):
            nn.init.zeros_(module.weight)


def _asked_zero(k, n):
    return k == 0 or k % 4 in (1, 2)


@initialize.mistake(
    "No matrix is 0 at the end. What is written last counts: the loop over all Linear layers still comes after the "
    "zeros."
)
def _(network):
    _first_weights(network, lambda k, n: False)


@initialize.mistake(
    "The head is 0 now, and the first guess is even. But out and down of the blocks are still random: a block shall "
    "begin as the identity."
)
def _(network):
    _first_weights(network, lambda k, n: k == 0)


@initialize.mistake(
    "The blocks begin as the identity now. But the head is still random, and so the first guess is not even."
)
def _(network):
    _first_weights(network, lambda k, n: k != 0 and _asked_zero(k, n))


@initialize.mistake(
    "Now every matrix is 0. Then the signal ends at the first of them and no gradient comes back: qkv and up must "
    "be random."
)
def _(network):
    _first_weights(network, lambda k, n: True)


@initialize.mistake("All matrices have small random weights. Small is not 0, and qkv and up want std 1 / √inputs.")
def _(network):
    for module in _matrices(network):
        nn.init.normal_(module.weight, std=0.02)


@initialize.mistake("Only attention's last layer, out, is 0. The MLP has one too: down.")
def _(network):
    _first_weights(network, lambda k, n: k == 0 or k % 4 == 1)


@initialize.mistake("Only the MLP's last layer, down, is 0. Attention has one too: out.")
def _(network):
    _first_weights(network, lambda k, n: k == 0 or k % 4 == 2)


@initialize.mistake("Only the last block begins as the identity. There is one loop too few: all blocks shall.")
def _(network):
    _first_weights(network, lambda k, n: k == 0 or (k > n - 5 and _asked_zero(k, n)))


@initialize.mistake("Only the first block begins as the identity. There is one loop too few: all blocks shall.")
def _(network):
    _first_weights(network, lambda k, n: k < 5 and _asked_zero(k, n))


@initialize.mistake(
    "The zeros are right. But qkv and up are as large as 1: with that many inputs their sums are huge. std is 1 / "
    "√inputs."
)
def _(network):
    for k, module in enumerate(_matrices(network)):
        nn.init.normal_(module.weight) if not _asked_zero(k, 0) else nn.init.zeros_(module.weight)


@initialize.mistake("The zeros are right. But std is 1 / √inputs: you took the outputs, module.out_features.")
def _(network):
    for k, module in enumerate(_matrices(network)):
        nn.init.normal_(module.weight, std=0.0 if _asked_zero(k, 0) else module.out_features**-0.5)


@initialize.mistake(
    "The zeros are right. But qkv and up keep what they were before: draw them from a normal distribution, std 1 / "
    "√inputs."
)
def _(network):
    for k, module in enumerate(_matrices(network)):
        nn.init.constant_(module.weight, 0.0 if _asked_zero(k, 0) else 7.0)


class _Block:
    """The parts of a block, each a fixed function; attention mixes places, the MLP does not."""

    __name__ = "self"

    def __init__(self, L: int, width: int, dice: torch.Generator):
        draw = torch.randn(6, max(L, width), max(L, width), dtype=torch.float64, generator=dice)
        self._mix, (self._value, self._up, self._down) = draw[0, :L, :L], draw[1:4, :width, :width]
        self._gain1, self._gain2 = draw[4:6, 0, :width].exp()

    def norm1(self, h: Tensor) -> Tensor:
        return nn.functional.rms_norm(h, h.shape[-1:]) * self._gain1.to(h)

    def norm2(self, h: Tensor) -> Tensor:
        return nn.functional.rms_norm(h, h.shape[-1:]) * self._gain2.to(h)

    def attend(self, h: Tensor) -> Tensor:
        return self._mix.to(h) @ h @ self._value.to(h)

    def mlp(self, h: Tensor) -> Tensor:
        return (h @ self._up.to(h)).relu().square() @ self._down.to(h)

    def __repr__(self) -> str:
        return "(a block: norm1, attend, norm2, mlp)"


@exercise("attention once, and then the MLP, each of them added to what was there.")
def block_forward(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.mlp(self.norm2(h))


@block_forward.cases
def _(dice):
    for B, L, width in [(1, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 2)]:
        yield _Block(L, width, dice), torch.randn(B, L, width, dtype=torch.float64, generator=dice)


@block_forward.mistake("This is the block as it was: attention twice, and no MLP. Look at the last line, word by word.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.attend(self.norm2(h))


@block_forward.mistake("The MLP is there, but attention is still called twice: the MLP works on norm2(h) itself.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.mlp(self.attend(self.norm2(h)))


@block_forward.mistake("Attention, attention, MLP: one too many. A block has two parts, and each is called once.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    h = h + self.attend(self.norm2(h))
    return h + self.mlp(self.norm2(h))


@block_forward.mistake(
    "Attention is gone altogether: then no place learns of any other. Attention first, then the MLP."
)
def _(self, h):
    return h + self.mlp(self.norm2(h))


@block_forward.mistake("Now the MLP is called twice, and attention never. Attention first, then the MLP.")
def _(self, h):
    h = h + self.mlp(self.norm1(h))
    return h + self.mlp(self.norm2(h))


@block_forward.mistake(
    "You mended the wrong line: attention belongs first, with norm1, and the MLP second, with norm2."
)
def _(self, h):
    h = h + self.mlp(self.norm1(h))
    return h + self.attend(self.norm2(h))


@block_forward.mistake("The result of the MLP replaces h. It must be added to it.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return self.mlp(self.norm2(h))


@block_forward.mistake("The result of attention replaces h. It must be added to it.")
def _(self, h):
    h = self.attend(self.norm1(h))
    return h + self.mlp(self.norm2(h))


@block_forward.mistake("Nothing is added any more. Each part adds to what is there: h + ...")
def _(self, h):
    return self.mlp(self.norm2(self.attend(self.norm1(h))))


@block_forward.mistake("Both parts see the same h. The MLP should see what attention has just added.")
def _(self, h):
    return h + self.attend(self.norm1(h)) + self.mlp(self.norm2(h))


@block_forward.mistake("The MLP sees h without its norm: norm2 comes first.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.mlp(h)


@block_forward.mistake("norm1 is used twice. The MLP has a norm of its own: norm2.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.mlp(self.norm1(h))


TEXTS = 6000  # in a batch, so that shares can be judged


@exercise(
    "every number of masks is equally frequent, and the network sees texts of all kinds.",
    tolerance=shares(TEXTS // 2 - 500),
    measured="shares of texts with 0, 1, 2 ... masks; of masks at each place; of masks where t < 1/2, and t > 1/2",
)
def noised(x0, mask, generator):
    t = 1 - torch.rand((len(x0), 1), generator=generator)
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t


@noised.cases
def _(dice):
    for L, N in [(2, 3), (4, 5)]:
        yield torch.randint(N, (TEXTS, L), generator=dice), N, torch.Generator().manual_seed(L)


@noised.measure
def _(result, x0, mask, generator):
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise ValueError(f"A pair (x, t) was expected; {kind(result)} came back.")
    (x, t), (B, L) = map(tensor, result), x0.shape
    if x.shape != (B, L) or x.is_floating_point():
        raise ValueError(f"x should be ids of shape {(B, L)}; {kind(result[0])} came back.")
    if t.shape == (B, L):
        raise ValueError(
            f"There is still a time for each character: your t has the shape {(B, L)}. A text has one time, t of shape "
            "(B, 1), and all its characters share it."
        )
    if t.shape != (B, 1):
        raise ValueError(f"t should have the shape (B, 1), so that it fits beside x (B, L); yours is {tuple(t.shape)}.")
    if len(t.unique()) == 1:
        raise ValueError("All texts of the batch have the same time. Each text draws its own.")
    hit = x == mask
    if ((x != x0) & ~hit).any():
        raise ValueError("Some characters of x are neither a mask nor what stood in x0.")
    count = torch.bincount(hit.sum(-1), minlength=L + 1) / B
    early, late = hit[t[:, 0] < 0.5].double().mean(), hit[t[:, 0] >= 0.5].double().mean()
    return [count, hit.double().mean(0), early, late]


@noised.exact
def _(x0, mask, generator):
    L = x0.shape[1]
    return [torch.full((L + 1,), 1 / (L + 1)), torch.full((L,), 0.5), torch.tensor(0.25), torch.tensor(0.75)]


def _hit(x0, mask, generator, hit):
    """x and t, where hit(t (B, 1), u (B, L)) says which characters are masked."""
    t, u = torch.rand((len(x0), 1), generator=generator), torch.rand(x0.shape, generator=generator)
    return torch.where(hit(t, u), mask, x0), t


_STILL = (
    "The masks are still drawn with a time for each character: about half of each text is masked, and rarely all or "
    "none. t has one number for each text now, but it must also rule its masks."
)


@noised.mistake(_STILL)
def _(x0, mask, generator):
    t = torch.rand(x0.shape, generator=generator)
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t.mean(-1, keepdim=True)


@noised.mistake(_STILL)
def _(x0, mask, generator):
    t = torch.rand(x0.shape, generator=generator)
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t[:, :1]


@noised.mistake("Half of each text is masked, at any time. At time t a character is masked with probability t.")
def _(x0, mask, generator):
    return _hit(x0, mask, generator, lambda t, u: u < 0.5)


@noised.mistake(
    "A text is masked as a whole, or not at all: the coin, too, is drawn once for each text. One time for a text, "
    "but a coin for each character."
)
def _(x0, mask, generator):
    return _hit(x0, mask, generator, lambda t, u: (u[:, :1] < t).expand_as(x0))


@noised.mistake("You mask with probability 1 - t. At time t a character is masked with probability t.")
def _(x0, mask, generator):
    return _hit(x0, mask, generator, lambda t, u: u >= t)


@noised.mistake(
    "The masks are right, but the t that you give is another: give the times that the masks were drawn with."
)
def _(x0, mask, generator):
    x, _ = noised.reference(x0, mask, generator)
    return x, torch.rand((len(x0), 1), generator=generator)


@noised.mistake(
    "The masks of a text always stand at its beginning. They are drawn by lot: each character has a coin of its own."
)
def _(x0, mask, generator):
    L = x0.shape[1]
    return _hit(x0, mask, generator, lambda t, u: torch.arange(L) < t * L)


@noised.mistake(
    "A text at time t has exactly t L masks with you, rounded. They are drawn by lot: each character has a coin of "
    "its own."
)
def _(x0, mask, generator):
    L = x0.shape[1]
    return _hit(x0, mask, generator, lambda t, u: u.argsort(-1).argsort(-1) < (t * L).round())
