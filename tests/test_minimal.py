"""The one-file version: the same loss as the package's, samples that follow their exact law, and the script."""

import math
import re
import runpy
import subprocess
import sys
from itertools import count, product
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from conftest import p_value
from torch.testing import assert_close

from tinysedd import Absorbing, Config, LogLinear, Transformer, Words, minimal, score_entropy_loss

ROOT = Path(minimal.__file__).parents[1]
WORDS = Words()
PROCESS = Absorbing(26, LogLinear(eps=minimal.EPS))


def untrained(network):
    """A network with random weights in every layer."""
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return network


def losses(ours, theirs, x0):
    """The loss of minimal.py and that of the package on the same texts with the same noise."""
    return (
        minimal.score_entropy_loss(ours, x0, 26, torch.Generator().manual_seed(1)),
        score_entropy_loss(theirs, PROCESS, x0, torch.Generator().manual_seed(1), weight="even"),
    )


def test_the_noise_is_that_of_absorbing_with_a_log_linear_schedule():
    t, x0 = torch.linspace(0.01, 1, 50, dtype=torch.float64), WORDS.ids[:50]
    sigma = minimal.total_noise(t)
    assert_close(sigma, PROCESS.schedule.total(t))
    a, b = (f(torch.Generator().manual_seed(2)) for f in (
        lambda rng: minimal.add_noise(x0, sigma, 26, rng), lambda rng: PROCESS.perturb(x0, sigma, rng)
    ))  # fmt: skip
    assert torch.equal(a, b) and (a == 26).any() and (a != 26).any()


def test_the_loss_of_the_exact_score_equals_the_package_s():
    oracle = WORDS.score(PROCESS)
    assert_close(
        *losses(oracle, oracle, WORDS.sample(64, torch.Generator().manual_seed(0))), rtol=1e-7, atol=0
    )  # times are float32


def test_the_loss_of_a_random_network_and_its_gradient_equal_the_package_s():
    torch.manual_seed(0)
    network = untrained(Transformer(PROCESS, Config(1, 2, 16), WORDS.alphabet, 3))
    ours, theirs = losses(network, network, WORDS.sample(64, torch.Generator().manual_seed(0)))
    assert_close(ours, theirs)
    weights = list(network.parameters())
    assert_close(*(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]) for loss in (ours, theirs)))


def test_the_loss_of_its_own_network_equals_the_package_s():
    """The package's score functions have one more state than minimal.py's, the mask."""
    torch.manual_seed(0)
    network = untrained(minimal.Network(26))
    x0 = torch.randint(26, (8, minimal.LENGTH), generator=torch.Generator().manual_seed(0))
    assert_close(*losses(network, lambda x, sigma: F.pad(network(x, sigma), (0, 1)), x0))


# Sampling: given the exact score, the law of the texts is known.


@pytest.fixture(scope="module")
def p0():
    """p(x) of Words as a table (26, 26, 26)."""
    return WORDS.log_prob(torch.cartesian_prod(*[torch.arange(26)] * 3)).exp().view(26, 26, 26)


def law(p0: torch.Tensor, steps: int) -> torch.Tensor:
    """p(x) (26, 26, 26) of what `sample` writes in so many steps, given the exact score of p0.

    With even steps each of the 3 positions is unmasked in a uniformly random step, independent of the others. Positions
    that are unmasked in the same step are drawn as if independent, given what earlier steps drew.
    """
    p = torch.zeros_like(p0)
    for order in product(range(3), repeat=3):  # order[i] = n: position i is unmasked in the n-th step that unmasks any
        if set(order) != set(range(len(set(order)))):
            continue
        q = torch.ones_like(p0)
        for i in range(3):
            masked = [j for j in range(3) if order[j] >= order[i]]  # when position i is drawn
            others = [j for j in masked if j != i]
            joint = p0.sum(others, keepdim=True) if others else p0
            # Two positions drawn together may make a text that cannot be, whose exact posterior is taken as uniform.
            q = q * (joint / joint.sum(i, keepdim=True)).nan_to_num(1 / 26)
        p += math.comb(steps, len(set(order))) / steps**3 * q
    return p


def test_the_law_has_the_limits_that_it_must_have(p0):
    first, second, third = p0.sum((1, 2)), p0.sum((0, 2)), p0.sum((0, 1))
    assert_close(law(p0, 1), first[:, None, None] * second[:, None] * third)  # all at once: independent letters
    assert_close(law(p0, 10**6), p0, rtol=0, atol=1e-5)  # nearly always one at a time: exact
    for steps in (1, 2, 4, 32):
        assert_close(law(p0, steps).sum().item(), 1.0, rtol=0, atol=1e-12)


@pytest.fixture(scope="module")
def exact_score():
    """The oracle of Words, from a table of all 27^3 texts: under Absorbing its posterior does not depend on sigma."""
    x = torch.cartesian_prod(*[torch.arange(27)] * 3)
    table = WORDS.score(PROCESS).log_posterior(x, torch.ones(len(x)))
    return lambda x, sigma: PROCESS.log_score(table[x @ torch.tensor([27 * 27, 27, 1])], x, sigma)


@pytest.mark.parametrize("steps", [4, pytest.param(32, marks=pytest.mark.slow)])
def test_samples_given_the_exact_score_follow_their_law(steps, exact_score, p0):
    """Chi-square test of 20,000 texts; size 1e-4.

    Power: at 4 steps, the law of 3 or 5 steps adds 320 or more to a statistic of 495 +- 31; at 32 steps, the law of 16
    or 64 adds 200 or more to a statistic of 341 +- 26.
    """
    x = minimal.sample(exact_score, 20_000, 3, 26, steps, torch.Generator().manual_seed(0))
    counts = (x @ torch.tensor([26 * 26, 26, 1])).bincount(minlength=26**3)
    assert p_value(counts, law(p0, steps)) > 1e-4


def test_no_mask_remains_even_if_the_score_is_wrong(exact_score):
    """Scores that are half as large as they should be leave the masks alone too often, except in the last step."""
    x = minimal.sample(lambda x, sigma: exact_score(x, sigma) - math.log(2), 200, 3, 26, 4, torch.Generator())
    assert x.max() < 26


# The script


def test_training_lowers_the_loss(tmp_path, monkeypatch, capsys):
    """On short blocks of a text that is nearly all one letter, for 24 steps.

    The clock moves by 1/24 of a second whenever it is read, so the number of steps does not depend on the machine.
    """
    path = tmp_path / "text.txt"
    path.write_text("abcdefghijklmnopqrstuvwxyz" + "a" * 1000)
    ticks = count()
    monkeypatch.setattr(minimal, "time", SimpleNamespace(perf_counter=lambda: next(ticks) / 24))
    monkeypatch.setattr(minimal, "LENGTH", 16)
    minimal.main(str(path), seconds=1.0)
    lines = capsys.readouterr().out.splitlines()
    shown = [re.fullmatch(r"step +(\d+)  loss (\d+\.\d{3})  '([a-z]{16})'", line).groups() for line in lines]
    assert [int(step) for step, _, _ in shown] == [3, 6, 9, 12, 15, 18, 21, 24]
    loss = [float(loss) for _, loss, _ in shown]
    assert loss[-1] < loss[0] / 2


def run(path, monkeypatch, as_module: bool) -> str:
    """What `python -m tinysedd.minimal PATH` prints to stderr before it exits with code 1."""
    if as_module:
        child = subprocess.run(
            [sys.executable, "-m", "tinysedd.minimal", path], capture_output=True, text=True, cwd=ROOT
        )
        assert (child.returncode, child.stdout) == (1, "")
        return child.stderr.rstrip("\n")
    monkeypatch.setattr(sys, "argv", ["minimal.py", path])
    monkeypatch.delitem(sys.modules, "tinysedd.minimal")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("tinysedd.minimal", run_name="__main__")
    assert isinstance(ended.value.code, str)  # which Python prints to stderr, with exit code 1
    return ended.value.code


@pytest.mark.parametrize(
    ("content", "message", "as_module"),
    [
        pytest.param(None, "No such file or directory", True, marks=pytest.mark.slow),
        (b"too short", "has 9 characters; use a text of at least 128", False),
        (b"caf\xe9 " * 100, "can't decode byte 0xe9", False),
    ],
)
def test_a_bad_file_ends_in_one_sentence_and_exit_code_1(tmp_path, monkeypatch, content, message, as_module):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    error = run(str(path), monkeypatch, as_module)
    assert error.startswith("minimal: ") and message in error and "\n" not in error


def test_ctrl_c_ends_quietly(monkeypatch):
    def pressed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("tinysedd.worlds.Fables.sample", pressed)
    monkeypatch.setattr(sys, "argv", ["minimal.py"])
    monkeypatch.delitem(sys.modules, "tinysedd.minimal")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("tinysedd.minimal", run_name="__main__")
    assert ended.value.code == 130
