"""Noise schedules: how much noise a text has taken by time t.

Time t runs from 0 (clean) to 1 (noise). A schedule says the total noise sigma(t) and its rate d sigma / dt; sigma = 1
means that each character has been hit once on average, so that a share e^-1 of them was never hit at all.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogLinear:
    """sigma(t) = -log(1 - (1 - eps) t): the share of characters hit grows linearly in time (SEDD, section 3.3).

    eps: the share that is still untouched at t = 1; in (0, 1).
    """

    eps: float = 1e-3

    def __post_init__(self):
        if not 0 < self.eps < 1:
            raise ValueError(f"eps must lie between 0 and 1, not {self.eps}")

    def total(self, t: Tensor | float) -> Tensor:
        """Total noise sigma(t), of t's shape."""
        return -torch.log1p(-(1 - self.eps) * torch.as_tensor(t))

    def rate(self, t: Tensor | float) -> Tensor:
        """Noise per unit of time d sigma / dt, of t's shape."""
        return (1 - self.eps) / (1 - (1 - self.eps) * torch.as_tensor(t))

    def time(self, sigma: Tensor | float) -> Tensor:
        """The time at which the total noise is sigma: the inverse of `total`."""
        return -torch.expm1(-torch.as_tensor(sigma)) / (1 - self.eps)


@dataclass(frozen=True)
class Geometric:
    """sigma(t) = sigma_min^(1-t) sigma_max^t: the noise grows by the same factor in equal times (SEDD, section 3.3).

    At t = 0 a little noise, sigma_min, is already there.
    """

    sigma_min: float = 1e-4
    sigma_max: float = 20.0

    def __post_init__(self):
        if not 0 < self.sigma_min < self.sigma_max:
            raise ValueError(f"need 0 < sigma_min < sigma_max, not {self.sigma_min} and {self.sigma_max}")

    def total(self, t: Tensor | float) -> Tensor:
        """Total noise sigma(t), of t's shape."""
        return self.sigma_min * torch.exp(torch.as_tensor(t) * math.log(self.sigma_max / self.sigma_min))

    def rate(self, t: Tensor | float) -> Tensor:
        """Noise per unit of time d sigma / dt, of t's shape."""
        return self.total(t) * math.log(self.sigma_max / self.sigma_min)

    def time(self, sigma: Tensor | float) -> Tensor:
        """The time at which the total noise is sigma: the inverse of `total`."""
        return torch.log(torch.as_tensor(sigma) / self.sigma_min) / math.log(self.sigma_max / self.sigma_min)
