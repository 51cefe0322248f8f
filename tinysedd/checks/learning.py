"""Exercises of notebooks 04 and 05: score entropy, and training with it."""

import torch
from torch import Tensor, nn

from tinysedd.checks.compare import loss_and_gradient
from tinysedd.checks.engine import binomial_tolerance, describe, exercise, tensor
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Uniform

# 04 ----------------------------------------------------------------------------------------------------------------


@exercise("it is 0 when the guess is right, and it forbids negative ratios.")
def score_entropy(s, r):
    return s - torch.xlogy(r, s) + torch.xlogy(r, r) - r


def _guesses(rng: torch.Generator, *shape: int) -> tuple[Tensor, Tensor]:
    """Guesses s and ratios r, from 0.01 to 100; the first guess is exactly right if there are several."""
    s, r = (2 * torch.randn(shape, dtype=torch.float64, generator=rng)).exp().clamp(0.01, 100).unbind(0)
    if s.numel() > 1:
        s.flatten()[0] = r.flatten()[0]
    return s, r


@score_entropy.cases
def _(rng):
    yield torch.tensor([2.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    yield torch.tensor([0.5, 3.0], dtype=torch.float64), torch.tensor([0.0, 2.0], dtype=torch.float64)
    yield torch.tensor(4.0, dtype=torch.float64), torch.tensor(0.25, dtype=torch.float64)
    for shape in [(5,), (2, 3), (2, 2, 4)]:
        yield _guesses(rng, 2, *shape)
    s, r = _guesses(rng, 2, 6)
    yield s, r * (torch.arange(6) < 3)  # half of the ratios are 0


@score_entropy.mistake(
    "You get nan at r = 0, because log 0 is -inf and 0 times -inf is nan. There r log r counts as 0: use "
    "torch.xlogy(r, r)."
)
def _(s, r):
    return s - r * s.log() + r * (r.log() - 1)


@score_entropy.mistake("You swapped guess and truth. The true ratio r multiplies the logarithm of the guess s.")
def _(s, r):
    return r - s * r.log() + torch.xlogy(s, s) - s


@score_entropy.mistake(
    "The minimum is in the right place, but it is not 0: the term r (log r - 1) is missing. It does not depend on s."
)
def _(s, r):
    return s - r * s.log()


@score_entropy.mistake("The minimum is in the right place, but it is not 0: r is missing from the term r (log r - 1).")
def _(s, r):
    return s - r * s.log() + torch.xlogy(r, r)


@score_entropy.mistake("Check the signs: in s - r log s the logarithm is subtracted.")
def _(s, r):
    return s + r * s.log() + torch.xlogy(r, r) - r


@score_entropy.mistake("All signs are flipped, so your cost is largest, not smallest, at s = r.")
def _(s, r):
    return -score_entropy._reference(s, r)


@score_entropy.mistake("This is the squared error. It allows negative ratios, and only large ratios count.")
def _(s, r):
    return (s - r) ** 2


@score_entropy.mistake("This is a cross-entropy, -r log s. Without the term s, no guess is ever too large.")
def _(s, r):
    return -r * s.log()


@score_entropy.mistake("You sum over everything. The exercise asks for the cost of each guess, in the shape of s.")
def _(s, r):
    return score_entropy._reference(s, r).sum()


@score_entropy.mistake("You take the mean. The exercise asks for the cost of each guess, in the shape of s.")
def _(s, r):
    return score_entropy._reference(s, r).mean()


@exercise("guess minus truth. It is this simple because the network outputs log s.")
def score_entropy_gradient(log_s, r):
    return log_s.exp() - r


@score_entropy_gradient.cases
def _(rng):
    yield torch.tensor([1.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    yield torch.tensor(-0.5, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    for shape in [(3,), (2, 3), (2, 2, 4)]:
        s, r = _guesses(rng, 2, *shape)
        yield s.log(), r


@score_entropy_gradient.mistake(
    "This is the derivative with respect to s, 1 - r/s. For log s there is one more factor: ds / d log s = s."
)
def _(log_s, r):
    return 1 - r / log_s.exp()


@score_entropy_gradient.mistake("The sign is flipped: when the guess is too large, s > r, the cost grows with s.")
def _(log_s, r):
    return r - log_s.exp()


@score_entropy_gradient.mistake("You subtract r from log s. The guess itself is s = exp(log s).")
def _(log_s, r):
    return log_s - r


@score_entropy_gradient.mistake("This is the difference of the logarithms. The derivative contains s and r themselves.")
def _(log_s, r):
    return log_s - r.log()


@score_entropy_gradient.mistake("This is the cost itself. The exercise asks for its derivative with respect to log s.")
def _(log_s, r):
    return score_entropy._reference(log_s.exp(), r)


@score_entropy_gradient.mistake(
    "This is the derivative of the squared error with respect to log s, 2 s (s - r). Differentiate the score entropy."
)
def _(log_s, r):
    s = log_s.exp()
    return 2 * s * (s - r)


@score_entropy_gradient.mistake(
    "This is the derivative of the squared error with respect to s, 2 (s - r). Here there is no factor 2."
)
def _(log_s, r):
    return 2 * (log_s.exp() - r)


@score_entropy_gradient.mistake("You divide by the inner derivative. Multiply by it: ds / d log s = s.")
def _(log_s, r):
    s = log_s.exp()
    return (1 - r / s) / s


@score_entropy_gradient.mistake("You sum over everything. The exercise asks for one derivative for each log s.")
def _(log_s, r):
    return (log_s.exp() - r).sum()


def _denoiser(rng: torch.Generator, B: int, L: int, N: int) -> Tensor:
    """A random p(x0_i = a | x) (B, L, N), as a network might predict it."""
    return (2 * torch.randn(B, L, N, dtype=torch.float64, generator=rng)).softmax(-1)


def _noised(rng: torch.Generator, B: int, L: int, N: int, process, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, L), x0 (B, L) and sigma (B,), which runs from the given value to twice that value."""
    sigmas = sigma * torch.linspace(1, 2, B, dtype=torch.float64)
    x0 = torch.randint(N, (B, L), generator=rng)
    return process.perturb(x0, torch.full((B,), 1.0), rng), x0, sigmas


REDRAWN = (
    "Your q contains 1/(N - 1). A hit draws from all N characters, including the old one: q(y|a) = (1 - e^-sigma) / "
    "N, plus e^-sigma at y = a."
)
SIZES = [(1, 1, 2, 0.5), (1, 2, 3, 1.0), (2, 3, 4, 0.01), (3, 2, 5, 3.0), (2, 4, 3, 0.3)]  # B, L, N, sigma


@exercise("a prediction of the clean text gives every ratio, and visible characters are final.")
def absorbing_score(posterior, x, sigma):
    return Absorbing(posterior.shape[-1]).log_score(posterior.log(), x, sigma).exp()


@absorbing_score.cases
def _(rng):
    for B, L, N, sigma in SIZES:
        p = _denoiser(rng, B, L, N)
        x, _, sigmas = _noised(rng, B, L, N, Absorbing(N), sigma)
        yield p, x, sigmas
        yield p, torch.full_like(x, N), sigmas
        yield p, x.clamp(max=N - 1), sigmas
    p = torch.eye(3, dtype=torch.float64)[None]  # certain
    yield p, torch.tensor([[3, 3, 2]]), torch.tensor([0.7], dtype=torch.float64)


def _at_masks(p: Tensor, x: Tensor, s: Tensor, mask: float = 1.0) -> Tensor:
    """Scores (B, L, N + 1): s (B, L, N) and `mask` at masks; visible characters are final."""
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


@absorbing_score.mistake("You divide by e^sigma. The key is e^-sigma / (1 - e^-sigma), so divide by e^sigma - 1.")
def _(p, x, sigma):
    return _at_masks(p, x, p / _wide(sigma).exp())


@absorbing_score.mistake("You multiply by e^sigma - 1. Divide by it: your ratio is upside down.")
def _(p, x, sigma):
    return _at_masks(p, x, p * torch.expm1(_wide(sigma)))


@absorbing_score.mistake(
    "These are the probabilities p(x0 = y | x). The ratio also depends on sigma: divide by e^sigma - 1."
)
def _(p, x, sigma):
    return _at_masks(p, x, p)


@absorbing_score.mistake("You have 0 at y = mask. A mask that stays is the text itself, so its ratio is 1.")
def _(p, x, sigma):
    return _at_masks(p, x, p / torch.expm1(_wide(sigma)), mask=0.0)


@absorbing_score.mistake(
    "The last state is missing. There are N + 1 states, including the mask, and at a mask the ratio of the mask is 1."
)
def _(p, x, sigma):
    return absorbing_score._reference(p, x, sigma)[..., :-1]


@absorbing_score.mistake(
    "You treat every position as a mask. A visible character is final: ratio 1 for itself, 0 for all others."
)
def _(p, x, sigma):
    return _at_masks(p, torch.full_like(x, p.shape[-1]), p / torch.expm1(_wide(sigma)))


@absorbing_score.mistake(
    "At a visible character all your states have ratio 1. Only the character itself has ratio 1; the others are "
    "impossible, so their ratio is 0."
)
def _(p, x, sigma):
    s = absorbing_score._reference(p, x, sigma)
    return torch.where((x == p.shape[-1])[..., None], s, 1.0)


@absorbing_score.mistake("At a visible character all your ratios are 0. The character itself has ratio 1.")
def _(p, x, sigma):
    return absorbing_score._reference(p, x, sigma) * (x == p.shape[-1])[..., None]


@absorbing_score.mistake(
    "Every text gets the sigma of the first one. sigma has one number for each text: reshape it to (B, 1, 1)."
)
def _(p, x, sigma):
    return absorbing_score._reference(p, x, sigma[:1].expand(len(x)))


@absorbing_score.mistake("These are the logarithms of the right ratios. The exercise asks for the ratios themselves.")
def _(p, x, sigma):
    return absorbing_score._reference(p, x, sigma).log()


@exercise("the score is the average of the keys, weighted by the probability of each character.")
def uniform_score(posterior, x, sigma):
    return Uniform(posterior.shape[-1]).log_score(posterior.log(), x, sigma).exp()


@uniform_score.cases
def _(rng):
    for B, L, N, sigma in SIZES:
        x, _, sigmas = _noised(rng, B, L, N, Uniform(N), sigma)
        yield _denoiser(rng, B, L, N), x, sigmas
    p = torch.eye(3, dtype=torch.float64)[None]
    yield p, torch.tensor([[0, 2, 1]]), torch.tensor([0.7], dtype=torch.float64)


def _transition(p: Tensor, sigma: Tensor) -> Tensor:
    """q(y | a) (B, N, N) of uniform noise at each sigma (B,), for a tensor p (..., N)."""
    return Uniform(p.shape[-1]).transition(sigma)


def _likelihood(T: Tensor, x: Tensor) -> Tensor:
    """q(x_i | a) (B, L, N), from q(y | a) (B, N, N)."""
    return T.mT[torch.arange(len(x))[:, None], x]


def _at_x(s: Tensor, x: Tensor) -> Tensor:
    return s.gather(-1, x[..., None])


@uniform_score.mistake(
    "This is a ratio of averages: you average numerator and denominator separately. Average the ratios q(y|a) / q(x|a)."
)
def _(p, x, sigma):
    q = p @ _transition(p, sigma)
    return q / _at_x(q, x)


@uniform_score.mistake(
    "This is p(y) / p(x) of the clean characters. Noise changes them: each a contributes q(y|a) / q(x|a)."
)
def _(p, x, sigma):
    return p / _at_x(p, x)


@uniform_score.mistake("This is the formula for absorbing noise. Under uniform noise the other characters a count too.")
def _(p, x, sigma):
    return (p / torch.expm1(_wide(sigma))).scatter(-1, x[..., None], 1.0)


@uniform_score.mistake("Your ratios are upside down: q(y|a) is the numerator and q(x|a) the denominator.")
def _(p, x, sigma):
    T = _transition(p, sigma)
    return (p * _likelihood(T, x)) @ (1 / T)


@uniform_score.mistake(
    "These are averages of q(y|a). Divide each q(y|a) by q(x|a), the probability of the noised character."
)
def _(p, x, sigma):
    return p @ _transition(p, sigma)


@uniform_score.mistake(
    "You only use the key of the most probable character. Every a counts, weighted by its probability."
)
def _(p, x, sigma):
    best = torch.nn.functional.one_hot(p.argmax(-1), p.shape[-1]).to(p)
    return uniform_score._reference(best, x, sigma)


@uniform_score.mistake(
    "The probabilities p(a | x) are missing: you add up all keys as if every a were equally probable."
)
def _(p, x, sigma):
    T = _transition(p, sigma)
    return (1 / _likelihood(T, x)) @ T


@uniform_score.mistake(
    "You swapped hit and not hit in your q. A character is hit with probability 1 - e^-sigma, and not hit with "
    "probability e^-sigma."
)
def _(p, x, sigma):
    return uniform_score._reference(p, x, -torch.log(-torch.expm1(-sigma)))


@uniform_score.mistake(
    "You divide by q(x|y) after the sum. Each a has its own q(x|a): divide p(a|x) by q(x|a) first, then sum over a."
)
def _(p, x, sigma):
    T = _transition(p, sigma)
    return (p @ T) / _likelihood(T, x)


@uniform_score.mistake(REDRAWN)
def _(p, x, sigma):
    N = p.shape[-1]
    other = -torch.expm1(-_wide(sigma)) / (N - 1)
    T = other + torch.eye(N, dtype=torch.float64) * (torch.exp(-_wide(sigma)) - other)
    return (p / _likelihood(T, x)) @ T


@uniform_score.mistake(
    "Every text gets the sigma of the first one. sigma has one number for each text: reshape it to (B, 1, 1)."
)
def _(p, x, sigma):
    return uniform_score._reference(p, x, sigma[:1].expand(len(x)))


@uniform_score.mistake("These are the logarithms of the right ratios. The exercise asks for the ratios themselves.")
def _(p, x, sigma):
    return uniform_score._reference(p, x, sigma).log()


@exercise("this loss needs no true ratio, only texts and noise.")
def denoising_score_entropy(log_score, x, x0, sigma):
    return Uniform(log_score.shape[-1]).score_entropy(log_score, x, x0, sigma)


@denoising_score_entropy.cases
def _(rng):
    for B, L, N, sigma in SIZES:
        x, x0, sigmas = _noised(rng, B, L, N, Uniform(N), sigma)
        log_score = 2 * torch.randn(B, L, N, dtype=torch.float64, generator=rng)
        yield log_score, x, x0, sigmas
        yield log_score, (x0 + 1) % N, x0, sigmas


def _costs(log_score: Tensor, x: Tensor, x0: Tensor, T: Tensor) -> Tensor:
    """Score entropy (B, L, N) against the key from q(y | a) (B, N, N), including y = x."""
    q = T[torch.arange(len(x))[:, None], x0]
    return score_entropy._reference(log_score.exp(), q / _at_x(q, x))


def _drop(costs: Tensor, at: Tensor) -> Tensor:
    """Set the cost of the character `at` (B, L) to 0."""
    return costs.scatter(-1, at[..., None], 0.0)


@denoising_score_entropy.mistake(
    "You are off by the factor N/(N - 1), because you divide by the N - 1 neighbors. Weight each neighbor with the "
    "rate Q = 1/N."
)
def _(log_score, x, x0, sigma):
    return _drop(_costs(log_score, x, x0, _transition(log_score, sigma)), x).sum(-1) / (log_score.shape[-1] - 1)


@denoising_score_entropy.mistake(
    "Your cost is too large by the factor N: weight each term with the rate Q(y -> x) = 1/N."
)
def _(log_score, x, x0, sigma):
    return _drop(_costs(log_score, x, x0, _transition(log_score, sigma)), x).sum(-1)


@denoising_score_entropy.mistake("You include the term at the current character, y = x. Leave it out of the sum.")
def _(log_score, x, x0, sigma):
    return _costs(log_score, x, x0, _transition(log_score, sigma)).mean(-1)


@denoising_score_entropy.mistake(
    "You leave out the clean character, y = x0. Leave out the current one, y = x, because that is not a jump."
)
def _(log_score, x, x0, sigma):
    return _drop(_costs(log_score, x, x0, _transition(log_score, sigma)), x0).mean(-1)


@denoising_score_entropy.mistake("Your key is upside down: r = q(y | x0) / q(x | x0).")
def _(log_score, x, x0, sigma):
    T = _transition(log_score, sigma)
    q = T[torch.arange(len(x))[:, None], x0]
    return _drop(score_entropy._reference(log_score.exp(), _at_x(q, x) / q), x).mean(-1)


@denoising_score_entropy.mistake(
    "You take the key from the row of the noised character x. q(. | x0) is the row of the clean character x0."
)
def _(log_score, x, x0, sigma):
    return _drop(_costs(log_score, x, x, _transition(log_score, sigma)), x).mean(-1)


@denoising_score_entropy.mistake("You swapped x and x0 in your key, r = q(y | x0) / q(x | x0).")
def _(log_score, x, x0, sigma):
    return _drop(_costs(log_score, x0, x, _transition(log_score, sigma)), x).mean(-1)


@denoising_score_entropy.mistake(REDRAWN)
def _(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    other = -torch.expm1(-_wide(sigma)) / (N - 1)
    T = other + torch.eye(N, dtype=torch.float64) * (torch.exp(-_wide(sigma)) - other)
    return _drop(_costs(log_score, x, x0, T), x).mean(-1)


@denoising_score_entropy.mistake(
    "You only count y = x0. Under uniform noise every y has a nonzero ratio, so sum over all of them."
)
def _(log_score, x, x0, sigma):
    costs = _drop(_costs(log_score, x, x0, _transition(log_score, sigma)), x)
    return costs.gather(-1, x0[..., None]).squeeze(-1) / log_score.shape[-1]


@denoising_score_entropy.mistake(
    "The term r (log r - 1) is missing. Your loss has its minimum in the right place, but it is not 0."
)
def _(log_score, x, x0, sigma):
    q = _transition(log_score, sigma)[torch.arange(len(x))[:, None], x0]
    return _drop(log_score.exp() - q / _at_x(q, x) * log_score, x).mean(-1)


@denoising_score_entropy.mistake("You use log_score as if it were the score. The score is s = exp(log_score).")
def _(log_score, x, x0, sigma):
    q = _transition(log_score, sigma)[torch.arange(len(x))[:, None], x0]
    return _drop(score_entropy._reference(log_score, q / _at_x(q, x)), x).mean(-1)


@denoising_score_entropy.mistake("Every text gets the sigma of the first one. sigma has one number for each text.")
def _(log_score, x, x0, sigma):
    return denoising_score_entropy._reference(log_score, x, x0, sigma[:1].expand(len(x)))


@denoising_score_entropy.mistake("You sum over positions too. The exercise asks for the cost of each position, (B, L).")
def _(log_score, x, x0, sigma):
    return denoising_score_entropy._reference(log_score, x, x0, sigma).sum(-1)


@exercise("with this loss, no score function gets below the entropy of the world.")
def absorbing_score_entropy(log_score, x, x0, sigma):
    return Absorbing(log_score.shape[-1] - 1).score_entropy(log_score, x, x0, sigma)


@absorbing_score_entropy.cases
def _(rng):
    for B, L, N, sigma in SIZES:
        x, x0, sigmas = _noised(rng, B, L, N, Absorbing(N), sigma)
        for seen in (x, torch.full_like(x, N)):
            p = _denoiser(rng, B, L, N)
            yield Absorbing(N).log_score(p.log(), seen, sigmas), seen, x0, sigmas
            p = p.scatter(-1, (x0[..., None] + 1) % N, 0.0)  # like the exact score: some characters are impossible
            yield Absorbing(N).log_score(p.log(), seen, sigmas), seen, x0, sigmas
            yield 2 * torch.randn(B, L, N + 1, dtype=torch.float64, generator=rng), seen, x0, sigmas


def _mask_costs(log_score: Tensor, x: Tensor, x0: Tensor, r: Tensor) -> Tensor:
    """Score entropy (B, L, N) at masks, against the key r (B, 1, 1) at x0; 0 at visible characters."""
    masked = (x == log_score.shape[-1] - 1)[..., None]
    log_s = torch.where(masked, log_score[..., :-1], 0.0)
    r = torch.zeros_like(log_s).scatter(-1, x0[..., None], 1.0) * r
    return torch.where(masked, score_entropy._reference(log_s.exp(), r), 0.0)


def _key(sigma: Tensor) -> Tensor:
    return 1 / torch.expm1(_wide(sigma))


@absorbing_score_entropy.mistake(
    "Still too small by the factor N: a mean over y is a sum with weight 1/N. What is the rate Q(y -> mask) here?"
)
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, _key(sigma)).mean(-1)


@absorbing_score_entropy.mistake(
    "Still too small by the factor N + 1, because you divide by the number of states. What is the rate Q(y -> mask) "
    "here?"
)
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, _key(sigma)).sum(-1) / log_score.shape[-1]


@absorbing_score_entropy.mistake(
    "Still too small by the factor N - 1. What is the weight of each y? What is the rate Q(y -> mask) here?"
)
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, _key(sigma)).sum(-1) / (log_score.shape[-1] - 2)


@absorbing_score_entropy.mistake("Too large by the factor N. The key is right as it is, and so is each single term.")
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, _key(sigma)).sum(-1) * (log_score.shape[-1] - 1)


@absorbing_score_entropy.mistake(
    "You changed the key, which was right: r = 1 / (e^sigma - 1). The bug is somewhere else."
)
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, 1 / -torch.expm1(-_wide(sigma))).sum(-1)


@absorbing_score_entropy.mistake(
    "You changed the key, which was right: r = 1 / (e^sigma - 1). And the bug is still there."
)
def _(log_score, x, x0, sigma):
    return _mask_costs(log_score, x, x0, 1 / -torch.expm1(-_wide(sigma))).mean(-1)


@absorbing_score_entropy.mistake(
    "Visible characters now have a cost. Only masks can jump back, so the cost of all other positions must stay 0."
)
def _(log_score, x, x0, sigma):
    log_s = log_score[..., :-1]
    r = torch.zeros_like(log_s).scatter(-1, x0[..., None], 1.0) * _key(sigma)
    return score_entropy._reference(log_s.exp(), r).sum(-1)


@absorbing_score_entropy.mistake(
    "You get nan where a character is impossible: log s is -inf there, and 0 times -inf is nan. Use torch.xlogy(r, "
    "s), which is 0."
)
def _(log_score, x, x0, sigma):
    masked = (x == log_score.shape[-1] - 1)[..., None]
    log_s = torch.where(masked, log_score[..., :-1], 0.0)
    r = torch.zeros_like(log_s).scatter(-1, x0[..., None], 1.0) * _key(sigma)
    return torch.where(masked, log_s.exp() - r * log_s + torch.xlogy(r, r) - r, 0.0).sum(-1)


@absorbing_score_entropy.mistake("You sum over positions too. The exercise asks for the cost of each position, (B, L).")
def _(log_score, x, x0, sigma):
    return absorbing_score_entropy._reference(log_score, x, x0, sigma).sum(-1)


# 05 ----------------------------------------------------------------------------------------------------------------


@exercise("your times cover (0, 1] evenly, and the random shift reaches every time.")
def spread_times(B, u):
    return 1 - (u + torch.arange(B, dtype=torch.float64) / B) % 1


@spread_times.cases
def _(rng):
    yield 1, 0.25
    yield 2, 0.0
    yield 4, 0.1
    yield 5, 0.99
    for B in (3, 8, 16):
        yield B, torch.rand((), dtype=torch.float64, generator=rng).item()


@spread_times.measure
def _(result, B, u):
    """Sort: any order of the times counts as right."""
    t = tensor(result)
    return t.double().sort().values if t.ndim == 1 else t


@spread_times.mistake(
    "Your times start at 0, where there is no noise and nothing to learn. Return 1 minus them, to get times in (0, 1]."
)
def _(B, u):
    return (u + torch.arange(B, dtype=torch.float64) / B) % 1


@spread_times.mistake(
    "Some of your times are outside (0, 1]. Take them modulo 1, so that a time beyond 1 wraps around to 0."
)
def _(B, u):
    return 1 - (u + torch.arange(B, dtype=torch.float64) / B)


@spread_times.mistake(
    "Some of your times are outside (0, 1]. Take them modulo 1, so that a time beyond 1 wraps around to 0."
)
def _(B, u):
    return u + torch.arange(B, dtype=torch.float64) / B


_DIVIDES_U = (
    "Your times are evenly spaced, but u moves them by u / B only. In the formula only b is divided by B, (u + b / B) "
    "mod 1: u moves the whole comb, and what leaves on one side wraps around to the other."
)


@spread_times.mistake(_DIVIDES_U)
def _(B, u):
    return (u + torch.arange(B, dtype=torch.float64)) / B


@spread_times.mistake(_DIVIDES_U)
def _(B, u):
    return 1 - (u + torch.arange(B, dtype=torch.float64)) / B


@spread_times.mistake("You leave out the shift u, so every batch gets the same B times.")
def _(B, u):
    return 1 - torch.arange(B, dtype=torch.float64) / B


@spread_times.mistake(
    "b runs from 0 to B - 1 and is divided by B, not B - 1: the distance from the last time to 1 is a step like the "
    "others."
)
def _(B, u):
    return 1 - (u + torch.arange(B, dtype=torch.float64) / max(B - 1, 1)) % 1


@spread_times.mistake("You return one time. A batch of B texts needs B times, one for each b = 0 ... B - 1.")
def _(B, u):
    return 1 - u


@spread_times.mistake("All texts get the same time. Each b has its own: add b / B to u.")
def _(B, u):
    return torch.full((B,), 1 - u, dtype=torch.float64)


class _RandomScore:
    """A score function with one parameter, `scale`, so that a loss of it has a gradient."""

    __name__ = "score"

    def __init__(self, process, L: int, rng: torch.Generator):
        self.process = process
        self.table = torch.randn(process.num_states, L, process.num_tokens, dtype=torch.float64, generator=rng)
        self.scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        if x.ndim != 2 or sigma.shape != x.shape[:1]:
            told = f"it was given shapes {tuple(x.shape)} and {tuple(sigma.shape)}"
            raise ValueError(f"score(x, sigma) takes x (B, L) and sigma (B,); {told}")
        table = self.scale * self.table[x, torch.arange(x.shape[1])]  # (B, L, N)
        return self.process.log_score(table.log_softmax(-1), x, sigma)


@exercise(
    "the score entropy is weighted so that each hit character counts equally.",
    measured="the loss, and its derivative with respect to a parameter of the score",
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
def _(rng):
    for B, L, N in [(1, 1, 2), (2, 3, 3), (3, 2, 4), (4, 4, 3), (3, 5, 2)]:
        for kind in (Absorbing, Uniform):
            for schedule in (LogLinear(), Geometric(1e-2, 5.0)):
                process = kind(N, schedule)
                x0 = torch.randint(N, (B, L), generator=rng)
                t = 0.2 + 0.75 * torch.rand(B, dtype=torch.float64, generator=rng)
                x = process.perturb(x0, schedule.total(t).clamp(min=1.0), rng)
                yield _RandomScore(process, L, rng), process, x, x0, t


@weighted_loss.measure
def _(result, score, process, x, x0, t):
    return loss_and_gradient(result, score.scale)


@weighted_loss.mistake(
    "The weight is missing. This is the mean score entropy, which is large where there is little noise: multiply by "
    "w(t)."
)
def _(score, process, x, x0, t):
    return _entropy(score, process, x, x0, t).mean()


@weighted_loss.mistake(
    "You weight with sigma' only. That gives the bound, but the few hits at small t count too much: the factor 1 - "
    "e^-sigma is missing."
)
def _(score, process, x, x0, t):
    return (process.schedule.rate(t) * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("The factor sigma'(t) of the weight is missing: process.schedule.rate(t).")
def _(score, process, x, x0, t):
    return (-torch.expm1(-process.schedule.total(t)) * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake(
    "You weight with e^-sigma, the fraction of characters not hit. The fraction hit is 1 - e^-sigma."
)
def _(score, process, x, x0, t):
    w = process.schedule.rate(t) * torch.exp(-process.schedule.total(t))
    return (w * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("Your weight contains e^sigma, which makes it negative. The fraction hit is 1 - e^-sigma.")
def _(score, process, x, x0, t):
    w = process.schedule.rate(t) * -torch.expm1(process.schedule.total(t))
    return (w * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake(
    "You multiply the mean of the weights by the mean of the score entropies. Multiply each text by its own weight "
    "first, then take the mean. If your shapes are (B,) and (B, 1), their product is a (B, B) table of all pairs."
)
def _(score, process, x, x0, t):
    return _weight(process, t).mean() * _entropy(score, process, x, x0, t).mean()


@weighted_loss.mistake("You sum over the characters of a text. The loss is per character: take their mean.")
def _(score, process, x, x0, t):
    return (_weight(process, t) * _entropy(score, process, x, x0, t).sum(-1)).mean()


@weighted_loss.mistake(
    "You sum over the texts. The loss is a mean over texts, so that it does not grow with the batch."
)
def _(score, process, x, x0, t):
    return (_weight(process, t) * _entropy(score, process, x, x0, t).mean(-1)).sum()


@weighted_loss.mistake("You sum over everything. The loss is a mean over texts and characters.")
def _(score, process, x, x0, t):
    return (_weight(process, t) * _entropy(score, process, x, x0, t).sum(-1)).sum()


@weighted_loss.mistake(
    "You return one loss for each text. The optimizer needs a single number: take the mean over texts."
)
def _(score, process, x, x0, t):
    return _weight(process, t) * _entropy(score, process, x, x0, t).mean(-1)


@weighted_loss.mistake(
    "You divide by the sum of the weights. The loss is the plain mean over texts of weight times score entropy."
)
def _(score, process, x, x0, t):
    w = _weight(process, t)
    return (w * _entropy(score, process, x, x0, t).mean(-1)).sum() / w.sum()


@weighted_loss.mistake(
    "You take exp() of the scores. score(x, sigma) returns log-scores, and process.score_entropy expects log-scores."
)
def _(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    entropy = process.score_entropy(score(x, sigma).exp(), x, x0, sigma)
    return (_weight(process, t) * entropy.mean(-1)).mean()


@weighted_loss.mistake("You pass the time t to the score function. It takes the total noise, sigma(t).")
def _(score, process, x, x0, t):
    entropy = process.score_entropy(score(x, t), x, x0, process.schedule.total(t))
    return (_weight(process, t) * entropy.mean(-1)).mean()


@weighted_loss.mistake("You use the time t as the total noise. sigma is process.schedule.total(t).")
def _(score, process, x, x0, t):
    return (_weight(process, t) * process.score_entropy(score(x, t), x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("You use the time t as the total noise. sigma is process.schedule.total(t).")
def _(score, process, x, x0, t):
    w = process.schedule.rate(t) * -torch.expm1(-t)
    return (w * process.score_entropy(score(x, t), x, x0, t).mean(-1)).mean()


@weighted_loss.mistake(
    "You pass sigma to process.schedule.rate. The rate is a function of time: process.schedule.rate(t)."
)
def _(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(sigma) * -torch.expm1(-sigma)
    return (w * _entropy(score, process, x, x0, t).mean(-1)).mean()


@weighted_loss.mistake("You swapped x and x0: score_entropy takes the noised texts first, then the clean ones.")
def _(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    return (_weight(process, t) * process.score_entropy(score(x, sigma), x0, x, sigma).mean(-1)).mean()


@weighted_loss.mistake(
    "You pass the clean texts x0 to the score function. Pass the noised texts x: when it samples, it sees nothing else."
)
def _(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    return (_weight(process, t) * process.score_entropy(score(x0, sigma), x, x0, sigma).mean(-1)).mean()


@exercise("the average follows the weights without their jumps.")
def moving_average(average, weights, decay):
    return [decay * a + (1 - decay) * w for a, w in zip(average, weights)]


@moving_average.cases
def _(rng):
    yield [torch.tensor([2.0], dtype=torch.float64)], [torch.tensor([4.0], dtype=torch.float64)], 0.9
    for shapes, decay in [([(2,)], 0.5), ([(3,), (2, 2)], 0.98), ([(2, 3), (1,), (4,)], 0.0), ([(2,), (3,)], 1.0)]:
        yield *([torch.randn(s, dtype=torch.float64, generator=rng) for s in shapes] for _ in range(2)), decay


@moving_average.measure
def _(result, average, weights, decay):
    """Tensors of several shapes, concatenated."""
    if not isinstance(result, list | tuple):
        raise ValueError(f"A list of tensors was expected, but you returned {describe(result)}.")
    if [tuple(tensor(r).shape) for r in result] != [tuple(a.shape) for a in average]:
        shapes = ", ".join(str(tuple(a.shape)) for a in average)
        raise ValueError(f"One tensor for each weight was expected, here with the shapes {shapes}.")
    return torch.cat([tensor(r).double().flatten() for r in result])


@moving_average.mistake(
    "You swapped old and new. A decay near 1 keeps almost all of the old average and adds little of the new weights."
)
def _(average, weights, decay):
    return moving_average._reference(weights, average, decay)


@moving_average.mistake("You add the new weights in full, so the average keeps growing. Multiply them by 1 - decay.")
def _(average, weights, decay):
    return [decay * a + w for a, w in zip(average, weights)]


@moving_average.mistake("You keep the old average in full, so the average keeps growing. Multiply it by decay.")
def _(average, weights, decay):
    return [a + (1 - decay) * w for a, w in zip(average, weights)]


@moving_average.mistake("This is the midpoint of old and new. `decay` says how much of the old average to keep.")
def _(average, weights, decay):
    return [(a + w) / 2 for a, w in zip(average, weights)]


@moving_average.mistake("You return the weights as they are, so the old average is forgotten. Keep `decay` of it.")
def _(average, weights, decay):
    return list(weights)


@moving_average.mistake("You return the old average, so nothing new comes in. Add 1 - decay of the weights.")
def _(average, weights, decay):
    return list(average)


@moving_average.mistake(
    "The sign is flipped: the average must move toward the weights, by (1 - decay) of the distance."
)
def _(average, weights, decay):
    return [a - (1 - decay) * (w - a) for a, w in zip(average, weights)]


@moving_average.mistake("Your average only fades. Add 1 - decay of the new weights.")
def _(average, weights, decay):
    return [decay * a for a in average]


class _Network(nn.Module):
    """The layers that `initialize` sets, with the notebook's names; all weights start at 7, which is clearly wrong."""

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
    linear = {name: module for name, module in network.named_modules() if isinstance(module, nn.Linear)}
    names = [f"blocks.{k}.{part}" for k in range(len(linear) // 4) for part in ("out", "down", "qkv", "up")]
    return [linear[name] for name in ("head", *names)]


@exercise(
    "the network starts where its docstring promises, at an even guess.",
    tolerance=lambda size: 0.08 * size,
    in_place=True,
    measured="the size of the weights, root mean square × √inputs: head; then out, down, qkv, up of each block",
)
def initialize(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    for last in [network.head, *(layer for block in network.blocks for layer in (block.out, block.down))]:
        nn.init.zeros_(last.weight)


@initialize.cases
def _(rng):
    yield (_Network(48, 1, 21),)
    yield (_Network(32, 3, 30),)


@initialize.measure
def _(result, network):
    weights = [(m.weight.detach().double(), m.in_features) for m in _matrices(network)]
    return torch.stack([w.square().mean().sqrt() * inputs**0.5 for w, inputs in weights])


@initialize.exact
def _(network):
    return torch.tensor([0.0] + [0.0, 0.0, 1.0, 1.0] * len(network.blocks))


def _initialize(network, zero):
    """Set matrix k of n to 0 if zero(k, n), else to random with std 1 / √inputs; in the order of `_matrices`."""
    for k, module in enumerate(_matrices(network)):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if zero(k, len(_matrices(network))):
            nn.init.zeros_(module.weight)


def _should_be_zero(k, n):
    return k == 0 or k % 4 in (1, 2)


@initialize.mistake(
    "No matrix is 0 at the end. The loop over all Linear layers still comes after the zeros and overwrites them."
)
def _(network):
    _initialize(network, lambda k, n: False)


@initialize.mistake(
    "The head is 0 now, so the first guess is even. But out and down of the blocks are still random: each block "
    "should start as the identity."
)
def _(network):
    _initialize(network, lambda k, n: k == 0)


@initialize.mistake(
    "The blocks start as the identity now. But the head is still random, so the first guess is not even."
)
def _(network):
    _initialize(network, lambda k, n: k != 0 and _should_be_zero(k, n))


@initialize.mistake(
    "Now every matrix is 0, so no signal gets past the first one and no gradient comes back. qkv and up must be random."
)
def _(network):
    _initialize(network, lambda k, n: True)


@initialize.mistake(
    "All matrices have small random weights. Head, out and down must be exactly 0, and qkv and up need std 1 / √inputs."
)
def _(network):
    for module in _matrices(network):
        nn.init.normal_(module.weight, std=0.02)


@initialize.mistake("Only attention's last layer, out, is 0. The MLP's last layer, down, must be 0 too.")
def _(network):
    _initialize(network, lambda k, n: k == 0 or k % 4 == 1)


@initialize.mistake("Only the MLP's last layer, down, is 0. Attention's last layer, out, must be 0 too.")
def _(network):
    _initialize(network, lambda k, n: k == 0 or k % 4 == 2)


@initialize.mistake(
    "Only the last block starts as the identity. All blocks should: set their zeros in a loop over the blocks."
)
def _(network):
    _initialize(network, lambda k, n: k == 0 or (k > n - 5 and _should_be_zero(k, n)))


@initialize.mistake(
    "Only the first block starts as the identity. All blocks should: set their zeros in a loop over the blocks."
)
def _(network):
    _initialize(network, lambda k, n: k < 5 and _should_be_zero(k, n))


@initialize.mistake(
    "The zeros are right. But the weights of qkv and up have std 1, which makes sums over many inputs huge. Use std 1 "
    "/ √inputs."
)
def _(network):
    for k, module in enumerate(_matrices(network)):
        nn.init.normal_(module.weight) if not _should_be_zero(k, 0) else nn.init.zeros_(module.weight)


@initialize.mistake(
    "The zeros are right. But you used the number of outputs, module.out_features. Use std 1 / √inputs."
)
def _(network):
    for k, module in enumerate(_matrices(network)):
        nn.init.normal_(module.weight, std=0.0 if _should_be_zero(k, 0) else module.out_features**-0.5)


@initialize.mistake(
    "The zeros are right. But qkv and up keep their old values: draw them from a normal distribution with std 1 / "
    "√inputs."
)
def _(network):
    for k, module in enumerate(_matrices(network)):
        nn.init.constant_(module.weight, 0.0 if _should_be_zero(k, 0) else 7.0)


class _Block:
    """The parts of a block, each a fixed function; attention mixes positions, the MLP does not."""

    __name__ = "self"

    def __init__(self, L: int, width: int, rng: torch.Generator):
        draw = torch.randn(6, max(L, width), max(L, width), dtype=torch.float64, generator=rng)
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


@exercise("the block calls attention once, then the MLP once, and adds each result to h.")
def block_forward(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.mlp(self.norm2(h))


@block_forward.cases
def _(rng):
    for B, L, width in [(1, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 2)]:
        yield _Block(L, width, rng), torch.randn(B, L, width, dtype=torch.float64, generator=rng)


@block_forward.mistake("This is the original block: attention twice, and no MLP. Read its last line word by word.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.attend(self.norm2(h))


@block_forward.mistake("The MLP is there, but attention is still called twice. Apply the MLP to norm2(h) directly.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.mlp(self.attend(self.norm2(h)))


@block_forward.mistake(
    "You call attention, attention, MLP, which is one call too many. A block has two parts, and calls each one once."
)
def _(self, h):
    h = h + self.attend(self.norm1(h))
    h = h + self.attend(self.norm2(h))
    return h + self.mlp(self.norm2(h))


@block_forward.mistake("Attention is gone, so no position sees any other. Call attention first, then the MLP.")
def _(self, h):
    return h + self.mlp(self.norm2(h))


@block_forward.mistake("Now the MLP is called twice, and attention never. Call attention first, then the MLP.")
def _(self, h):
    h = h + self.mlp(self.norm1(h))
    return h + self.mlp(self.norm2(h))


@block_forward.mistake("You fixed the wrong line. Attention comes first, with norm1; the MLP comes second, with norm2.")
def _(self, h):
    h = h + self.mlp(self.norm1(h))
    return h + self.attend(self.norm2(h))


@block_forward.mistake("The result of the MLP replaces h. Add it to h.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return self.mlp(self.norm2(h))


@block_forward.mistake("The result of attention replaces h. Add it to h.")
def _(self, h):
    h = self.attend(self.norm1(h))
    return h + self.mlp(self.norm2(h))


@block_forward.mistake("You add nothing to h any more. Each part adds its result: h + ...")
def _(self, h):
    return self.mlp(self.norm2(self.attend(self.norm1(h))))


@block_forward.mistake("Both parts see the same h. The MLP should see the h to which attention has been added.")
def _(self, h):
    return h + self.attend(self.norm1(h)) + self.mlp(self.norm2(h))


@block_forward.mistake("The MLP sees h without its norm: apply norm2 first.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.mlp(h)


@block_forward.mistake("You use norm1 twice. The MLP has its own norm: norm2.")
def _(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.mlp(self.norm1(h))


TEXTS = 6000  # per batch, enough to compare frequencies


@exercise(
    "every number of masks is equally frequent, so the network sees all kinds of texts.",
    tolerance=binomial_tolerance(TEXTS // 2 - 500),
    measured="fraction of texts with 0, 1, 2 ... masks; of masks at each position; of masks for t < 1/2 and t > 1/2",
)
def noised(x0, mask, generator):
    t = 1 - torch.rand((len(x0), 1), generator=generator)
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t


@noised.cases
def _(rng):
    for L, N in [(2, 3), (4, 5)]:
        yield torch.randint(N, (TEXTS, L), generator=rng), N, torch.Generator().manual_seed(L)


@noised.measure
def _(result, x0, mask, generator):
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise ValueError(f"A pair (x, t) was expected, but you returned {describe(result)}.")
    (x, t), (B, L) = map(tensor, result), x0.shape
    if x.shape != (B, L) or x.is_floating_point():
        raise ValueError(f"x should be ids of shape {(B, L)}, but you returned {describe(result[0])}.")
    if t.shape == (B, L):
        raise ValueError(
            f"There is still a time for each character: your t has shape {(B, L)}. A text has one time, shared by all "
            "its characters: t has shape (B, 1)."
        )
    if t.shape != (B, 1):
        raise ValueError(f"t should have shape (B, 1), so that it broadcasts with x (B, L); yours is {tuple(t.shape)}.")
    if len(t.unique()) == 1:
        raise ValueError("All texts of the batch have the same time. Draw a time for each text.")
    hit = x == mask
    if ((x != x0) & ~hit).any():
        raise ValueError("Some characters of x are neither a mask nor the character of x0.")
    count = torch.bincount(hit.sum(-1), minlength=L + 1) / B
    early, late = hit[t[:, 0] < 0.5].double().mean(), hit[t[:, 0] >= 0.5].double().mean()
    return [count, hit.double().mean(0), early, late]


@noised.exact
def _(x0, mask, generator):
    L = x0.shape[1]
    return [torch.full((L + 1,), 1 / (L + 1)), torch.full((L,), 0.5), torch.tensor(0.25), torch.tensor(0.75)]


def _hit(x0, mask, generator, hit):
    """x and t, with the characters masked where hit(t (B, 1), u (B, L)) is True."""
    t, u = torch.rand((len(x0), 1), generator=generator), torch.rand(x0.shape, generator=generator)
    return torch.where(hit(t, u), mask, x0), t


_TIME_PER_CHARACTER = (
    "The masks are still drawn with a time for each character, so about half of each text is masked, and rarely all "
    "or none of it. Your t has one number for each text now; use it for the masks too."
)


@noised.mistake(_TIME_PER_CHARACTER)
def _(x0, mask, generator):
    t = torch.rand(x0.shape, generator=generator)
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t.mean(-1, keepdim=True)


@noised.mistake(_TIME_PER_CHARACTER)
def _(x0, mask, generator):
    t = torch.rand(x0.shape, generator=generator)
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t[:, :1]


@noised.mistake("You mask half of each text at any time. At time t, mask a character with probability t.")
def _(x0, mask, generator):
    return _hit(x0, mask, generator, lambda t, u: u < 0.5)


@noised.mistake(
    "You mask a text as a whole or not at all, because you draw one random number for each text. Draw one time for "
    "each text, but one random number for each character."
)
def _(x0, mask, generator):
    return _hit(x0, mask, generator, lambda t, u: (u[:, :1] < t).expand_as(x0))


@noised.mistake("You mask with probability 1 - t. At time t, mask a character with probability t.")
def _(x0, mask, generator):
    return _hit(x0, mask, generator, lambda t, u: u >= t)


@noised.mistake("The masks are right, but you return a different t. Return the times that the masks were drawn with.")
def _(x0, mask, generator):
    x, _ = noised._reference(x0, mask, generator)
    return x, torch.rand((len(x0), 1), generator=generator)


@noised.mistake(
    "The masks are always at the beginning of a text. Choose them at random, independently for each character."
)
def _(x0, mask, generator):
    L = x0.shape[1]
    return _hit(x0, mask, generator, lambda t, u: torch.arange(L) < t * L)


@noised.mistake(
    "Your text at time t always has t L masks, rounded. Choose them at random, independently for each character."
)
def _(x0, mask, generator):
    L = x0.shape[1]
    return _hit(x0, mask, generator, lambda t, u: u.argsort(-1).argsort(-1) < (t * L).round())
