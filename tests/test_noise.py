"""Schedules: total noise, its rate and its inverse agree, and the endpoints are those of the paper."""

import math

import pytest
import torch
from torch.testing import assert_close

from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Uniform

SCHEDULES = [LogLinear(), LogLinear(eps=0.3), Geometric(), Geometric(sigma_min=0.01, sigma_max=3.0)]
every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
# Near t = 1 LogLinear subtracts (1 - eps) t from 1, which amplifies a rounding error of 1e-16 by 1 / eps = 1000.
CLOSE = {"rtol": 1e-12, "atol": 0.0}


def test_defaults_are_those_of_the_sedd_config():
    assert LogLinear() == LogLinear(eps=1e-3)
    assert Geometric() == Geometric(sigma_min=1e-4, sigma_max=20.0)
    assert Absorbing(3).schedule == Uniform(3).schedule == LogLinear(eps=1e-3)


@every_schedule
def test_rate_is_the_derivative_of_total(schedule):
    t = torch.linspace(0, 1, 101, dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(schedule.total(t).sum(), t)
    assert_close(schedule.rate(t), derivative, **CLOSE)


@every_schedule
def test_noise_always_increases(schedule):
    t = torch.linspace(0, 1, 101, dtype=torch.float64)
    assert (schedule.total(t).diff() > 0).all() and (schedule.rate(t) > 0).all()


@every_schedule
def test_time_is_the_inverse_of_total(schedule):
    t = torch.linspace(0.01, 1, 100, dtype=torch.float64)
    sigma = torch.linspace(0.02, 1, 50, dtype=torch.float64)
    assert_close(schedule.time(schedule.total(t)), t, **CLOSE)
    assert_close(schedule.total(schedule.time(sigma)), sigma, **CLOSE)


@pytest.mark.parametrize("eps", [1e-3, 0.3])
def test_log_linear_hits_a_share_of_characters_that_grows_linearly(eps):
    schedule, t = LogLinear(eps), torch.linspace(0, 1, 11, dtype=torch.float64)
    assert_close(1 - torch.exp(-schedule.total(t)), (1 - eps) * t, rtol=0, atol=1e-15)
    assert schedule.total(0.0) == 0
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    assert_close(schedule.total(ends)[1].item(), -math.log(eps), **CLOSE)
    assert_close(schedule.rate(ends).tolist(), [1 - eps, (1 - eps) / eps], **CLOSE)


def test_geometric_grows_by_equal_factors():
    schedule, t = Geometric(sigma_min=0.01, sigma_max=4.0), torch.tensor([0, 0.25, 0.5, 1], dtype=torch.float64)
    assert_close(schedule.total(t).tolist(), [0.01, 0.01 * 400**0.25, 0.2, 4.0], **CLOSE)
    assert_close(schedule.rate(t), schedule.total(t) * math.log(400), **CLOSE)


@every_schedule
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_shape_and_dtype_are_kept(schedule, shape):
    for dtype in (torch.float32, torch.float64):
        t = torch.full(shape, 0.5, dtype=dtype)
        for value in (schedule.total(t), schedule.rate(t), schedule.time(t)):
            assert value.shape == shape and value.dtype == dtype
    assert schedule.total(0.5).shape == schedule.rate(0.5).shape == schedule.time(0.5).shape == ()


@pytest.mark.parametrize("eps", [0, 1, -0.1, 1.5, math.nan])
def test_log_linear_rejects_eps_outside_0_to_1(eps):
    with pytest.raises(ValueError, match="eps"):
        LogLinear(eps)


@pytest.mark.parametrize("ends", [(0, 1), (-1, 1), (2, 1), (1, 1), (math.nan, 1), (1, math.nan)])
def test_geometric_rejects_endpoints_that_do_not_increase(ends):
    with pytest.raises(ValueError, match="sigma_min"):
        Geometric(*ends)
