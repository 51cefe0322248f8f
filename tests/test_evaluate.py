"""Bounds with common noise, gaps to the truth with paired error bars, and shares of valid texts."""

import math
import statistics

import pytest
import torch

from tinysedd import Absorbing, Uniform, Words
from tinysedd.evaluate import Gap, measure_bound, measure_gap, valid_share
from tinysedd.objective import Bound

both_processes = pytest.mark.parametrize("process", [Absorbing(26), Uniform(26)], ids=["absorbing", "uniform"])


@pytest.fixture(scope="module")
def words():
    return Words()


class Model:
    """A score function in the place of a trained model: the exact posterior mixed with a uniform one."""

    device = torch.device("cpu")

    def __init__(self, words, process, uniform: float):
        self.exact, self.process, self.uniform = words.score(process), process, uniform
        self.asked = []

    def __call__(self, x, sigma):
        self.asked.append((x, sigma))
        posterior = torch.lerp(self.exact.log_posterior(x, sigma).exp(), torch.tensor(1 / 26).double(), self.uniform)
        return self.process.log_score(posterior.log(), x, sigma)


@both_processes
def test_every_score_meets_the_same_noise(words, process):
    """More than one block of texts, and scores that differ: the noise depends on the seed alone."""
    texts = words.sample(40, torch.Generator().manual_seed(0))
    asked = {}
    for name, uniform, seed in (("good", 0.1, 1), ("bad", 0.9, 1), ("other noise", 0.1, 2)):
        model = Model(words, process, uniform)
        measure_bound(model, process, texts, seed)
        asked[name] = [torch.cat(tensors) for tensors in zip(*model.asked)]
    assert len(asked["good"][0]) > 40
    assert all(torch.equal(a, b) for a, b in zip(asked["good"], asked["bad"]))
    assert not any(torch.equal(a, b) for a, b in zip(asked["good"], asked["other noise"]))


def test_a_bound_has_one_value_per_text_in_order(words):
    """Under Absorbing the bound of a uniform posterior is L log N for every text, up to the noise of its draws."""
    process = Absorbing(26)
    texts = words.sample(70, torch.Generator().manual_seed(0))
    bound = measure_bound(Model(words, process, 1.0), process, texts)
    assert bound.per_text.shape == (70,) and bound.length == 3
    assert abs(bound.nats_per_char - math.log(26)) < 5 * bound.standard_error
    first = measure_bound(Model(words, process, 1.0), process, texts[:32])  # a block of texts is 32
    assert torch.equal(bound.per_text[:32], first.per_text)


@both_processes
def test_the_gap_of_the_exact_score_is_exactly_0(words, process):
    gap = measure_gap(Model(words, process, 0.0), words, words.sample(40, torch.Generator().manual_seed(0)))
    assert (gap.relative, gap.standard_error) == (0.0, 0.0)
    assert torch.equal(gap.learned.per_text, gap.exact.per_text) and gap.entropy == words.entropy()


def test_the_standard_error_of_a_gap_is_that_of_the_paired_differences():
    """From its definition, on numbers whose spread is far larger than that of their differences."""
    exact, learned, entropy = [1.0, 5.0, 9.0, 13.0, 2.5], [1.5, 5.25, 9.75, 13.0, 3.5], 4.0
    gap = Gap(*(Bound(torch.tensor(nats, dtype=torch.float64), 3) for nats in (learned, exact)), entropy)
    differences = [(a - b) / entropy for a, b in zip(learned, exact)]
    assert gap.relative == pytest.approx(statistics.mean(differences), rel=1e-12)
    assert gap.standard_error == pytest.approx(statistics.stdev(differences) / math.sqrt(5), rel=1e-12)


@both_processes
def test_gaps_scatter_as_much_as_their_standard_error_says(words, process):
    """60 gaps, each with texts and noise of its own. (n - 1) s^2 / sigma^2 is about chi-square with 59 degrees of
    freedom, whose standard deviation is 11, so the ratio of variances lies within 0.3 and 2 with probability > 0.999.
    The variance of the model's bound alone is 300 times as large or more, so unpaired errors would be far off.
    """
    gaps = []
    for seed in range(60):
        texts = words.sample(32, torch.Generator().manual_seed(seed))
        gaps.append(measure_gap(Model(words, process, 0.001), words, texts, seed))
    variance = statistics.fmean(gap.standard_error**2 for gap in gaps)
    assert 0.3 < statistics.variance(gap.relative for gap in gaps) / variance < 2
    unpaired = statistics.fmean((gap.learned.standard_error * 3 / gap.entropy) ** 2 for gap in gaps)
    assert unpaired > 100 * variance
    assert statistics.fmean(gap.relative for gap in gaps) > 3 * math.sqrt(variance / 60)  # a wrong score is worse


def test_valid_share_counts_the_texts_that_the_world_could_have_written(words):
    texts = torch.stack([words.alphabet.encode(text) for text in ("the", "qqq", "cat", "tac")])
    assert valid_share(words, texts) == 0.5
    texts[2, 0] = 26  # a text with a mask is not valid
    assert valid_share(words, texts) == 0.25
    assert valid_share(words, words.sample(50, torch.Generator().manual_seed(0))) == 1.0
