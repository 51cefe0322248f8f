"""Noise schedules: how much noise a text has received by time t, which runs from 0 (clean) to 1 (noise).

At total noise sigma = 1 each character has been hit once on average; a share e^-1 of them has never been hit.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from tinysedd.guard import check_between


class Schedule(Protocol):
    """What a process needs from a schedule. Any frozen dataclass with these methods works; see `register`."""

    def total(self, t: Tensor | float) -> Tensor:
        """Total noise sigma(t), same shape as t. It must increase with t."""
        ...

    def rate(self, t: Tensor | float) -> Tensor:
        """Noise rate d sigma / dt at time t, same shape as t."""
        ...

    def time(self, sigma: Tensor | float) -> Tensor:
        """The time at which the total noise is sigma: the inverse of `total`."""
        ...


@dataclass(frozen=True)
class LogLinear:
    """sigma(t) = -log(1 - (1 - eps) t): the share of characters hit grows linearly with time (SEDD, section 3.3).
    eps: the share of characters still untouched at t = 1. ValueError unless 0 < eps < 1."""

    eps: float = 1e-3

    def __post_init__(self):
        check_between(0, 1, eps=self.eps)

    def total(self, t: Tensor | float) -> Tensor:
        return -torch.log1p(-(1 - self.eps) * torch.as_tensor(t))

    def rate(self, t: Tensor | float) -> Tensor:
        return (1 - self.eps) / (1 - (1 - self.eps) * torch.as_tensor(t))

    def time(self, sigma: Tensor | float) -> Tensor:
        return -torch.expm1(-torch.as_tensor(sigma)) / (1 - self.eps)


@dataclass(frozen=True)
class Geometric:
    """sigma(t) = sigma_min^(1-t) sigma_max^t: equal times multiply the noise by equal factors (SEDD, section 3.3). A
    little noise, sigma_min, is already there at t = 0. ValueError unless 0 < sigma_min < sigma_max."""

    sigma_min: float = 1e-4
    sigma_max: float = 20.0

    def __post_init__(self):
        check_between(0, self.sigma_max, sigma_min=self.sigma_min)
        check_between(0, math.inf, sigma_max=self.sigma_max)

    def total(self, t: Tensor | float) -> Tensor:
        return self.sigma_min * torch.exp(torch.as_tensor(t) * math.log(self.sigma_max / self.sigma_min))

    def rate(self, t: Tensor | float) -> Tensor:
        return self.total(t) * math.log(self.sigma_max / self.sigma_min)

    def time(self, sigma: Tensor | float) -> Tensor:
        return torch.log(torch.as_tensor(sigma) / self.sigma_min) / math.log(self.sigma_max / self.sigma_min)
