"""The one-file version: the same loss as the package's, samples that follow their exact law, and a run of the script."""

import re
import runpy
import subprocess
import sys
from collections import Counter
from itertools import count, product
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from tinysedd import Absorbing, Config, LogLinear, Transformer, Words, minimal, score_entropy_loss

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
    assert_close(*losses(oracle, oracle, WORDS.sample(64, torch.Generator().manual_seed(0))), rtol=1e-12, atol=0)


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


def law(steps: int) -> torch.Tensor:
    """p(x) (26, 26, 26) of what `sample` writes in so many steps, given the exact score of Words.

    With even steps each of the 3 positions is unmasked in a step that is uniformly random and independent of the
    others'. Positions unmasked in the same step are drawn as if independent, given what earlier steps drew.
    """
    p0 = WORDS.log_prob(torch.cartesian_prod(*[torch.arange(26)] * 3)).exp().view(26, 26, 26)
    orders = Counter(tuple(sorted(set(when)).index(t) for t in when) for when in product(range(steps), repeat=3))
    p = torch.zeros_like(p0)
    for order, ways in orders.items():
        q = torch.ones_like(p0)
        for i in range(3):
            later = [j for j in range(3) if order[j] >= order[i]]  # masked when position i is drawn
            joint = p0.sum([j for j in later if j != i], keepdim=True) if len(later) > 1 else p0
            # The oracle's posterior is uniform for a text that cannot be, which only two at a time can have written.
            q = q * (joint / joint.sum(i, keepdim=True)).nan_to_num(1 / 26)
        p += ways / steps**3 * q
    return p


def test_the_law_has_the_limits_that_it_must_have():
    p0 = WORDS.log_prob(torch.cartesian_prod(*[torch.arange(26)] * 3)).exp().view(26, 26, 26)
    first, second, third = p0.sum((1, 2)), p0.sum((0, 2)), p0.sum((0, 1))
    assert_close(law(1), first[:, None, None] * second[:, None] * third)  # everything at once: independent letters
    assert_close(law(200), p0, rtol=0, atol=0.02 * float(p0.max()))  # nearly always one at a time: exact
    for steps in (1, 2, 4, 32):
        assert_close(law(steps).sum().item(), 1.0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [4, 32])
def test_samples_given_the_exact_score_follow_their_law(steps, chance):
    """Chi-square test of 20,000 texts; size 1e-4. POWER"""
    x = minimal.sample(WORDS.score(PROCESS), 20_000, 3, 26, steps, torch.Generator().manual_seed(0))
    counts = (x * torch.tensor([676, 26, 1])).sum(-1).bincount(minlength=26**3)
    assert chance(counts, law(steps)) > 1e-4


# The script


def test_training_lowers_the_loss(tmp_path, monkeypatch, capsys):
    """For 60 steps, counted by a clock that moves by a sixtieth of a second whenever it is read."""
    path = tmp_path / "text.txt"
    path.write_text("abcdefgh" * 50)
    ticks = count()
    monkeypatch.setattr(minimal, "time", SimpleNamespace(perf_counter=lambda: next(ticks) / 60))
    minimal.main(str(path), seconds=1.0)
    lines = capsys.readouterr().out.splitlines()
    shown = [re.fullmatch(r"step +(\d+)  loss (\d+\.\d{3})  '([a-h]{64})'", line).groups() for line in lines]
    assert [int(step) for step, _, _ in shown] == [8, 15, 23, 30, 38, 45, 53, 60]
    loss = [float(loss) for _, loss, _ in shown]
    print(loss)
    assert loss[-1] < loss[0] / 2


def run(path, *, as_module: bool) -> str:
    """What `python -m tinysedd.minimal PATH` prints to stderr before it exits with code 1."""
    if as_module:
        child = subprocess.run([sys.executable, "-m", "tinysedd.minimal", path], capture_output=True, text=True)
        assert (child.returncode, child.stdout) == (1, "")
        return child.stderr.rstrip("\n")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(sys, "argv", ["minimal.py", path])
        patch.delitem(sys.modules, "tinysedd.minimal")
        runpy.run_module("tinysedd.minimal", run_name="__main__")
    assert isinstance(ended.value.code, str)  # which Python prints to stderr, with exit code 1
    return ended.value.code


@pytest.mark.parametrize(
    ("content", "message", "as_module"),
    [
        (None, "No such file or directory", True),
        (b"too short", "has 9 characters; use a text of at least 128", False),
        (b"caf\xe9 " * 100, "can't decode byte 0xe9", False),
    ],
)
def test_a_bad_file_ends_in_one_sentence_and_exit_code_1(tmp_path, content, message, as_module):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    error = run(str(path), as_module=as_module)
    assert error.startswith("minimal: ") and message in error and "\n" not in error
