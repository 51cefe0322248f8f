"""Forward processes: how characters turn into noise, and everything that follows from the noise alone.

Each character evolves by itself as a continuous-time Markov chain with rate matrix Q (rows = from, columns = to). After
total noise sigma, q(x | x0) = exp(sigma Q)[x0, x]. From q follow the concrete score of any guess of the clean text, the
loss that trains the score, and the steps that run the noise backward. `Process` derives all this from Q with plain
matrices; `Absorbing` and `Uniform` replace some of it by closed forms.
Shapes: B texts of L characters; N characters in the alphabet; S states = N, plus the mask if there is one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from tinysedd.guard import check_at_least, check_forgets, check_probabilities, check_rates, per_text
from tinysedd.noise import LogLinear, Schedule

# A score function: states x (B, L), total noise sigma (B,) -> log p_sigma(x with x_i := y) - log p_sigma(x), (B, L, S);
# 0 at y = x_i, -inf where the noise can never turn y into x_i.
Score = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Process:
    """Base class for N = num_tokens characters, the states 0 ... N-1. Your process needs only a `rate_matrix`."""

    num_tokens: int
    schedule: Schedule = LogLinear()

    def __post_init__(self):
        check_at_least(1, num_tokens=self.num_tokens)
        check_rates(self)

    @property
    def mask(self) -> int | None:
        """The mask's state, or None for a process without a mask. A mask comes after the characters: it is state N."""
        return None

    @property
    def num_states(self) -> int:
        """S: the characters, and the mask if there is one."""
        return self.num_tokens + (self.mask is not None)

    def rate_matrix(self) -> Tensor:
        """Q (S, S), float64: jumps per unit of sigma; each row sums to 0."""
        raise NotImplementedError(f"{type(self).__name__} must define rate_matrix()")

    def transition(self, sigma: Tensor | float) -> Tensor:
        """exp(sigma Q) (*, S, S), float64, for sigma of any shape (*)."""
        sigma = torch.as_tensor(sigma, dtype=torch.float64)
        return torch.linalg.matrix_exp(sigma[..., None, None] * self.rate_matrix().to(sigma.device))

    def prior(self, shape: tuple[int, ...], generator: Generator | None = None) -> Tensor:
        """Texts of pure noise, int64 of the given shape: what is left of any text after a lot of noise."""
        check_forgets(self, 1e3)
        return sample_categorical(self.transition(1e3)[0].expand(*shape, -1), generator)

    def perturb(self, x0: Tensor, sigma: Tensor, generator: Generator | None = None) -> Tensor:
        """x ~ q(x | x0) (B, L): clean texts x0 (B, L) with total noise sigma (B,) added."""
        return sample_categorical(_rows(self.transition(sigma), x0), generator)

    def log_likelihood(self, x: Tensor, sigma: Tensor) -> Tensor:
        """log q(x_i | x0_i = a) (B, L, N), float64, for x (B, L) at sigma (B,)."""
        return _rows(self.transition(sigma).mT, x)[..., : self.num_tokens].clamp(min=0).log()

    def log_score(self, log_posterior: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Log-scores (B, L, S) from log p(x0_i = a | x) (B, L, N), for x (B, L) at sigma (B,) > 0: the posterior mean
        of the ratios that we would know if we knew x0, s_y = sum over a of p(x0_i = a | x) q(y | a) / q(x_i | a)."""
        log_q = self.log_likelihood(x, sigma)
        weight = (log_posterior.double() - log_q.masked_fill(log_q.isneginf(), math.inf)).exp()  # (B, L, N)
        s = weight @ self.transition(sigma)[:, : self.num_tokens] * (self.transition(1.0).to(x.device).mT[x] != 0)
        log_s = torch.where(s > 0, s, 1.0).log().masked_fill(s <= 0, -math.inf)  # so that no gradient is nan
        return log_s.scatter(-1, x[..., None], 0.0).to(log_posterior)

    def score_entropy(self, log_score: Tensor, x: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
        """Denoising score entropy (B, L) >= 0, without the factor d sigma / dt (SEDD, theorem 3.4): sum over y != x_i
        of Q(y -> x_i) (s_y - r_y log s_y + r_y (log r_y - 1)), with r_y = q(y | x0_i) / q(x_i | x0_i)."""
        q = _rows(self.transition(sigma), x0).clamp(min=0)
        r, rates = (q / q.gather(-1, x[..., None])).to(log_score), self.rates_into(x).to(log_score)
        log_s = torch.where(rates > 0, torch.where(r > 0, log_score, log_score.clamp(min=-1e30)), 0.0)  # 0 log 0 = 0
        return (rates * (log_s.exp() + r * (torch.where(r > 0, r, 1.0).log() - log_s - 1))).sum(-1)

    def euler(self, log_score: Tensor, x: Tensor, rate_times_dt: Tensor) -> Tensor:
        """Probabilities (B, L, S) of the next state after a reverse Euler step (SEDD, section 4.1): a jump to y has
        probability rate_times_dt (B,) Q(y -> x_i) s_y, staying has the rest. In a step so long that nothing is left,
        the jumps are scaled to sum to 1 and staying gets exactly 0."""
        jumps = (self.rates_into(x) * per_text(rate_times_dt, x)[:, None, None]).to(log_score) * log_score.exp()
        total = jumps.sum(-1, keepdim=True)
        return (jumps / total.clamp(min=1)).scatter(-1, x[..., None], (1 - total).clamp(min=0))

    def tweedie(self, log_score: Tensor, x: Tensor, delta_sigma: Tensor) -> Tensor:
        """Probabilities (B, L, S) of the state with delta_sigma (B,) less noise (SEDD, section 4.2, theorem 4.2):
        p(y) ~ (s exp(-dQ))_y exp(dQ)[y, x_i], exact when only one character is noisy. An inexact score can make the
        first factor negative, which then counts as 0."""
        d = delta_sigma.double()  # e^d multiplies differences of scores: float32 would lose them
        before = (log_score.double().exp() @ self.transition(-d)).clamp(min=0)
        return _normalize(before * _rows(self.transition(d).mT, x))

    def denoise(self, log_score: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Probabilities (B, L, S) of the clean state: the last step, which removes all noise and every mask."""
        p = self.tweedie(log_score, x, sigma)
        return _normalize(p if self.mask is None else p.index_fill(-1, torch.tensor(self.mask, device=p.device), 0))

    def rates_into(self, x: Tensor) -> Tensor:
        """Q(y -> x_i) (B, L, S), float64, with 0 at y = x_i."""
        return self.rate_matrix().to(x.device).clone().fill_diagonal_(0).mT[x]


@dataclass(frozen=True)
class Absorbing(Process):
    """A hit character turns into a mask and stays one: Q(a -> mask) = 1 (SEDD, section 3.3)."""

    @property
    def mask(self) -> int:
        return self.num_tokens

    def rate_matrix(self) -> Tensor:
        Q = torch.zeros(self.num_states, self.num_states, dtype=torch.float64).fill_diagonal_(-1)
        Q[:, self.mask] += 1
        return Q

    def transition(self, sigma: Tensor | float) -> Tensor:
        return _one_hit(self.rate_matrix(), sigma)

    def prior(self, shape: tuple[int, ...], generator: Generator | None = None) -> Tensor:
        return torch.full(shape, self.mask)

    def perturb(self, x0: Tensor, sigma: Tensor, generator: Generator | None = None) -> Tensor:
        return torch.where(_hit(x0, sigma, generator), self.mask, x0)

    def log_score(self, log_posterior: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """At a mask s_y = p(x0_i = y | x) / (e^sigma - 1) (SEDD; RADD, theorem 1). A visible character is final."""
        log_s = log_posterior - _log_expm1(per_text(sigma, x))[:, None, None].to(log_posterior)
        log_s = torch.cat([log_s, torch.zeros_like(log_s[..., :1])], dim=-1)  # (B, L, S): the mask itself has ratio 1
        visible = torch.full_like(log_s, -math.inf).scatter_(-1, x[..., None], 0.0)
        return torch.where((x == self.mask)[..., None], log_s, visible)

    def score_entropy(self, log_score: Tensor, x: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
        """Only masks count, and r_y = [y = x0_i] / (e^sigma - 1)."""
        masked = x == self.mask
        log_s = torch.where(masked[..., None], log_score[..., :-1], 0.0)  # (B, L, N)
        log_r = -_log_expm1(per_text(sigma, x))[:, None].to(log_s)  # (B, 1)
        entropy = log_s.exp().sum(-1) + log_r.exp() * (log_r - 1 - log_s.gather(-1, x0[..., None]).squeeze(-1))
        return torch.where(masked, entropy, 0.0)


@dataclass(frozen=True)
class Uniform(Process):
    """A hit character is replaced by any of the N at random: Q(a -> b) = 1/N for b != a (SEDD, section 3.3)."""

    def rate_matrix(self) -> Tensor:
        N = self.num_tokens
        return torch.full((N, N), 1 / N, dtype=torch.float64) - torch.eye(N, dtype=torch.float64)

    def transition(self, sigma: Tensor | float) -> Tensor:
        return _one_hit(self.rate_matrix(), sigma)

    def prior(self, shape: tuple[int, ...], generator: Generator | None = None) -> Tensor:
        return torch.randint(self.num_tokens, shape, generator=generator)

    def perturb(self, x0: Tensor, sigma: Tensor, generator: Generator | None = None) -> Tensor:
        return torch.where(_hit(x0, sigma, generator), self.prior(x0.shape, generator).to(x0.device), x0)

    def log_score(self, log_posterior: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """q(y | a) / q(x_i | a) is 1 except for a = y and a = x_i, so the sum over a collapses to two positive terms:
        s_y = p_y N / (e^sigma - 1) + 1 - p_x N / (N + e^sigma - 1), where p_a = p(x0_i = a | x)."""
        odds = _log_expm1(per_text(sigma, x))[:, None, None] - math.log(self.num_tokens)  # log odds of a hit, per state
        log_p = log_posterior.double()  # under heavy noise the ratios differ from 1 by very little: keep the digits
        log_px = log_p.gather(-1, x[..., None])  # (B, L, 1)
        untouched = torch.sigmoid(-odds)  # N / (N + e^sigma - 1): the probability that x0_i = x_i was never hit
        others = -torch.expm1(log_px) * untouched + torch.sigmoid(odds)  # 1 - p_x untouched, as a sum that stays > 0
        return torch.logaddexp(log_p - odds, others.log()).scatter(-1, x[..., None], 0.0).to(log_posterior)


def sample_categorical(p: Tensor, generator: Generator | None = None, u: Tensor | None = None) -> Tensor:
    """Draw one state for each row of (unnormalized) probabilities: (..., S) -> (...), int64. In float64: 32-bit uniform
    numbers are too coarse for rare states and quietly lower the temperature (Zheng et al., 2409.02908, section 4).
    u (...): the random numbers in [0, 1) to draw with, if not new ones. ValueError if p is nan or all 0."""
    cdf = p.double().cumsum(-1)
    check_probabilities(cdf[..., -1])
    u = torch.rand(p.shape[:-1], dtype=torch.float64, generator=generator).to(p.device) if u is None else u
    return torch.searchsorted(cdf, u[..., None] * cdf[..., -1:], right=True).squeeze(-1).clamp(max=p.shape[-1] - 1)


def _one_hit(Q: Tensor, sigma: Tensor | float) -> Tensor:
    """exp(sigma Q) where being hit twice is like being hit once, (Q + I)^2 = Q + I."""
    sigma = torch.as_tensor(sigma, dtype=torch.float64)[..., None, None]
    eye = torch.eye(len(Q), dtype=torch.float64, device=sigma.device)
    return eye * torch.exp(-sigma) - (Q.to(sigma.device) + eye) * torch.expm1(-sigma)


def _rows(matrices: Tensor, x: Tensor) -> Tensor:
    """Row x_i of each text's matrix: (B, S, S), (B, L) -> (B, L, S)."""
    per_text(matrices[..., 0, 0].abs(), x)
    return matrices.gather(1, x[..., None].expand(*x.shape, matrices.shape[-1]))


def _hit(x0: Tensor, sigma: Tensor, generator: Generator | None) -> Tensor:
    """Which characters (B, L) are hit at least once by sigma (B,): each with probability 1 - e^-sigma."""
    u = torch.rand(x0.shape, dtype=torch.float64, generator=generator).to(x0.device)
    return u < -torch.expm1(-per_text(sigma, x0))[:, None]


def _log_expm1(sigma: Tensor) -> Tensor:
    """log(e^sigma - 1) of a float64 sigma, without overflow for large sigma."""
    return sigma + torch.log(-torch.expm1(-sigma))


def _normalize(p: Tensor) -> Tensor:
    return p / p.sum(-1, keepdim=True)
