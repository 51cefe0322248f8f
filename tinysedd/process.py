"""The two forward processes, and everything that follows from their rates alone.

Every character evolves by itself as a continuous-time Markov chain with rate matrix Q (row = from, column = to). With
total noise sigma the chance of x from x0 is q(x|x0) = exp(sigma Q)[x0, x]. From q follow the concrete score that
belongs to a guess of the clean text, the loss that teaches it, and the steps that run the noise backwards.

Shapes: B texts of L characters; S states = N characters, and for Absorbing the mask after them.
What a process does not have does not exist here: Absorbing has a mask, Uniform has none.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tinysedd.noise import Geometric, LogLinear

Schedule = LogLinear | Geometric


@dataclass(frozen=True)
class Absorbing:
    """A hit character turns into a mask and stays one: Q(a -> mask) = 1 (SEDD, section 3.3).

    num_tokens: number N of characters; they are the states 0 ... N-1, the mask is state N.
    """

    num_tokens: int
    schedule: Schedule = LogLinear()

    @property
    def num_states(self) -> int:
        return self.num_tokens + 1

    @property
    def mask(self) -> int:
        return self.num_tokens

    def prior(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Texts of pure noise, of the given shape: all masks."""
        return torch.full(shape, self.mask)

    def perturb(self, x0: Tensor, sigma: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise clean texts x0 (B, L) by sigma (B,): each character is masked with probability 1 - e^-sigma."""
        hit = _uniform(x0.shape, generator, x0.device) < -torch.expm1(-sigma.double())[:, None]
        return torch.where(hit, self.mask, x0)

    def rate_matrix(self) -> Tensor:
        """Q (S, S), float64."""
        Q = torch.zeros(self.num_states, self.num_states, dtype=torch.float64).fill_diagonal_(-1)
        Q[:, self.mask] += 1
        return Q

    def transition(self, sigma: Tensor | float) -> Tensor:
        """exp(sigma Q) (*, S, S), float64, for sigma of any shape (*)."""
        sigma = torch.as_tensor(sigma, dtype=torch.float64)[..., None, None]
        stay = torch.eye(self.num_states, dtype=torch.float64, device=sigma.device)
        to_mask = torch.zeros_like(stay)
        to_mask[:, self.mask] = 1
        return stay * torch.exp(-sigma) - to_mask * torch.expm1(-sigma)

    def log_likelihood(self, x: Tensor, sigma: Tensor) -> Tensor:
        """log q(x_i | x0_i = a) (B, L, N), float64: what each character x (B, L) at sigma (B,) says of what it was."""
        sigma = sigma.double()[:, None, None]
        shows = torch.full((*x.shape, self.num_states), -math.inf, dtype=torch.float64, device=x.device)
        shows = shows.scatter_(-1, x[..., None], 0.0)[..., :-1] - sigma
        return torch.where((x == self.mask)[..., None], torch.log(-torch.expm1(-sigma)), shows)

    def log_score(self, log_posterior: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Concrete log-score (B, L, S) from log p(x0_i = a | x) (B, L, N), for x (B, L) at sigma (B,) > 0.

        At a mask s_y = p(x0_i = y | x) / expm1(sigma) (SEDD; RADD, theorem 1). A character that shows is final: -inf.
        """
        log_s = log_posterior - _log_expm1(sigma)[:, None, None].to(log_posterior)
        log_s = torch.cat([log_s, torch.zeros_like(log_s[..., :1])], dim=-1)  # (B, L, S): the mask itself, ratio 1
        shows = torch.full_like(log_s, -math.inf).scatter_(-1, x[..., None], 0.0)
        return torch.where((x == self.mask)[..., None], log_s, shows)

    def score_entropy(self, log_score: Tensor, x: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
        """Denoising score entropy (B, L) >= 0, without the factor d sigma / dt (SEDD, theorem 3.4).

        Sum over y of s_y - r_y log s_y + r_y (log r_y - 1) at each mask, where r_y = [y = x0_i] / expm1(sigma).
        With shares (B, L, N) of clean texts for x0, the average over these.
        """
        masked = x == self.mask
        log_s = torch.where(masked[..., None], log_score[..., :-1], 0.0)  # (B, L, N), no -inf for the gradient to meet
        log_r = -_log_expm1(sigma)[:, None].to(log_s)  # (B, 1)
        log_s0 = log_s.gather(-1, x0[..., None]).squeeze(-1) if x0.ndim == 2 else (x0 * log_s).sum(-1)  # (B, L)
        entropy = log_s.exp().sum(-1) + log_r.exp() * (log_r - 1 - log_s0)
        return torch.where(masked, entropy, 0.0)

    def clean(self, x: Tensor, x0: Tensor, reference: Tensor) -> Tensor:
        """Shares (B, L, N) of each character among x0 (B, L) and the texts of reference (R, L) that x may come from.

        Those that agree with x wherever it shows are as likely to have become x as x0 is: if all are texts of one
        corpus, the shares are an average of independent draws of x0 given x (Xu et al., 2302.00670).
        """
        with torch.autocast(x.device.type, enabled=False):  # it would round the counts
            own, others = (F.one_hot(texts, self.num_tokens).float().flatten(1) for texts in (x0, reference))
            shows = own * (x != self.mask).repeat_interleave(self.num_tokens, dim=1)  # (B, L N)
            agrees = (shows @ others.T == shows.sum(-1, keepdim=True)).to(own)  # (B, R)
            shares = (own + agrees @ others) / (1 + agrees.sum(-1, keepdim=True))
        return shares.view(*x.shape, self.num_tokens)

    def euler(self, log_score: Tensor, x: Tensor, rate_times_dt: Tensor) -> Tensor:
        """Probabilities (B, L, S) of the next state after an Euler step of rate_times_dt (B,): see `Uniform.euler`."""
        into_mask = (x == self.mask)[..., None].to(log_score)
        return _euler(log_score, x, into_mask * rate_times_dt[:, None, None].to(log_score))

    def tweedie(self, log_score: Tensor, x: Tensor, delta_sigma: Tensor) -> Tensor:
        """Probabilities (B, L, S) of the state with delta_sigma (B,) less noise (SEDD, section 4.2, theorem 4.2).

        Exact when one character is left to denoise. What free scores make negative counts as zero.
        """
        d = delta_sigma[:, None, None].double()  # e^d times differences of scores: single precision would drown in it
        s = log_score.double().exp()
        remains = (s[..., -1:] * d.exp() - torch.expm1(d) * s.sum(-1, keepdim=True)).clamp(min=0)
        steps = torch.cat([s[..., :-1] * torch.expm1(d), remains], dim=-1)  # e^d s_y (1 - e^-d): y -> mask
        return _normalize(torch.where((x == self.mask)[..., None], steps, s))

    def denoise(self, log_score: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Probabilities (B, L, S) of the clean state: the last step, which leaves no mask."""
        p = self.tweedie(log_score, x, sigma)
        p[..., self.mask] = 0
        return _normalize(p)


@dataclass(frozen=True)
class Uniform:
    """A hit character is drawn anew from all N characters: Q(a -> b) = 1/N for b != a (SEDD, section 3.3)."""

    num_tokens: int
    schedule: Schedule = LogLinear()
    mask = None

    @property
    def num_states(self) -> int:
        return self.num_tokens

    def prior(self, shape: tuple[int, ...], generator: torch.Generator | None = None) -> Tensor:
        """Texts of pure noise, of the given shape: every character equally likely."""
        return torch.randint(self.num_tokens, shape, generator=generator)

    def perturb(self, x0: Tensor, sigma: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Noise clean texts x0 (B, L) by sigma (B,): each is drawn anew with probability 1 - e^-sigma."""
        hit = _uniform(x0.shape, generator, x0.device) < -torch.expm1(-sigma.double())[:, None]
        return torch.where(hit, self.prior(x0.shape, generator).to(x0.device), x0)

    def rate_matrix(self) -> Tensor:
        """Q (S, S), float64."""
        N = self.num_tokens
        return torch.full((N, N), 1 / N, dtype=torch.float64) - torch.eye(N, dtype=torch.float64)

    def transition(self, sigma: Tensor | float) -> Tensor:
        """exp(sigma Q) (*, S, S), float64, for sigma of any shape (*)."""
        sigma = torch.as_tensor(sigma, dtype=torch.float64)[..., None, None]
        stay = torch.eye(self.num_states, dtype=torch.float64, device=sigma.device)
        return stay * torch.exp(-sigma) - torch.expm1(-sigma) / self.num_tokens

    def log_likelihood(self, x: Tensor, sigma: Tensor) -> Tensor:
        """log q(x_i | x0_i = a) (B, L, N), float64: what each character x (B, L) at sigma (B,) says of what it was."""
        sigma = sigma.double()[:, None, None]
        hit = torch.log(-torch.expm1(-sigma)) - math.log(self.num_tokens)  # (B, 1, 1)
        q = hit.expand(*x.shape, self.num_tokens)
        return q.scatter(-1, x[..., None], torch.logaddexp(hit, -sigma).expand(*x.shape, 1))

    def log_score(self, log_posterior: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Concrete log-score (B, L, S) from log p(x0_i = a | x) (B, L, N), for x (B, L) at sigma (B,) > 0.

        s_y = sum over a of p(x0_i = a | x) q(y|a) / q(x_i|a). The ratio q/q is 1 but for a = y and a = x_i, so that
        s_y = p_y N / expm1(sigma) + 1 - p_x N / (N + expm1(sigma)), a sum of two positive terms.
        """
        odds = _log_expm1(sigma)[:, None, None] - math.log(self.num_tokens)  # hit to not, per state
        log_p = log_posterior.double()  # with much noise all ratios are 1 but for a trace: all that there is to know
        log_px = log_p.gather(-1, x[..., None])  # (B, L, 1)
        survived = torch.sigmoid(-odds)  # that x_i showing a is a's own doing and no accident: N / (N + expm1(sigma))
        others = -torch.expm1(log_px) * survived + torch.sigmoid(odds)  # 1 - p_x survived, kept above 0
        return torch.logaddexp(log_p - odds, others.log()).scatter(-1, x[..., None], 0.0).to(log_posterior)

    def score_entropy(self, log_score: Tensor, x: Tensor, x0: Tensor, sigma: Tensor) -> Tensor:
        """Denoising score entropy (B, L) >= 0, without the factor d sigma / dt (SEDD, theorem 3.4).

        1/N sum over y != x_i of s_y - r_y log s_y + r_y (log r_y - 1), where r_y = q(y|x0_i) / q(x_i|x0_i).
        """
        odds = _log_expm1(sigma)[:, None, None].to(log_score) - math.log(self.num_tokens)
        from_x0 = torch.zeros_like(log_score).scatter_(-1, x0[..., None], 1.0)  # (B, L, S): log q up to a constant is
        log_q = from_x0 * torch.logaddexp(odds, torch.zeros_like(odds)) + (1 - from_x0) * odds
        log_r = log_q - log_q.gather(-1, x[..., None])
        entropy = log_score.exp() + log_r.exp() * (log_r - log_score - 1)
        return entropy.scatter(-1, x[..., None], 0.0).sum(-1) / self.num_tokens

    def euler(self, log_score: Tensor, x: Tensor, rate_times_dt: Tensor) -> Tensor:
        """Probabilities (B, L, S) of the next state after an Euler step of rate_times_dt (B,) (SEDD, section 4.1).

        A jump to y has probability rate_times_dt Q(y -> x_i) s_y, staying has the rest. Too long a step leaves no rest:
        the jumps are then scaled to 1, and the probability of staying is exactly 0, by which such steps are counted.
        """
        return _euler(log_score, x, rate_times_dt[:, None, None].to(log_score) / self.num_tokens)

    def tweedie(self, log_score: Tensor, x: Tensor, delta_sigma: Tensor) -> Tensor:
        """Probabilities (B, L, S) of the state with delta_sigma (B,) less noise (SEDD, section 4.2, theorem 4.2).

        Exact when one character is left to denoise. What free scores make negative counts as zero.
        """
        d = delta_sigma[:, None, None].double()  # e^d times differences of scores: single precision would drown in it
        s = log_score.double().exp()
        before = (d.exp() * s - torch.expm1(d) * s.mean(-1, keepdim=True)).clamp(min=0)  # s exp(-dQ)
        jump = -torch.expm1(-d) / self.num_tokens  # (B, 1, 1): exp(dQ)(y -> x_i), and e^-d more at y = x_i
        stay = torch.zeros_like(s).scatter_(-1, x[..., None], 1.0)
        return _normalize(before * (jump + stay * torch.exp(-d)))

    def denoise(self, log_score: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """Probabilities (B, L, S) of the clean state: the last step, which takes all the noise away."""
        return self.tweedie(log_score, x, sigma)


Process = Absorbing | Uniform


def _log_expm1(sigma: Tensor) -> Tensor:
    """log(e^sigma - 1), float64, without overflow for large sigma."""
    sigma = sigma.double()
    return sigma + torch.log(-torch.expm1(-sigma))


def _uniform(shape: torch.Size, generator: torch.Generator | None, device: torch.device) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=generator).to(device)


def _normalize(p: Tensor) -> Tensor:
    return p / p.sum(-1, keepdim=True)


def _euler(log_score: Tensor, x: Tensor, rates_into_x: Tensor) -> Tensor:
    jumps = (rates_into_x * log_score.exp()).scatter(-1, x[..., None], 0.0)  # (B, L, S)
    total = jumps.sum(-1, keepdim=True)
    return (jumps / total.clamp(min=1)).scatter(-1, x[..., None], (1 - total).clamp(min=0))
