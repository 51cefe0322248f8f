"""The race: a hidden world that is exact, a judge that the truth passes and cheats do not, and a table of results."""

import json
import math
import re
import textwrap
from pathlib import Path

import pytest
import torch
from conftest import seeded

from tinysedd import Absorbing, Uniform, race
from tinysedd.__main__ import RACE_EXAMPLES, main
from tinysedd.race import board, judge, race_corpus, race_world, read_results, run_recipe

BOTH = pytest.mark.parametrize("kind", [Absorbing, Uniform])


@pytest.fixture(scope="module")
def world():
    return race_world(3)


@pytest.mark.slow
def test_a_world_is_that_of_its_seed_and_its_entropy_is_that_of_its_texts(world):
    x = world.sample(4000, seeded(0))
    assert torch.equal(x, race_world(3).sample(4000, seeded(0)))
    assert world.alphabet.decode(x[0]) != race_world(4).alphabet.decode(race_world(4).sample(1, seeded(0))[0])
    cost = -world.log_prob(x)
    assert abs(float(cost.mean()) - world.entropy()) < 4 * float(cost.std()) / 4000**0.5 < 0.2
    for seed in range(20):  # every seed gives a world whose templates fit
        assert 5 < race_world(seed).entropy() < 15


def test_a_recipe_gets_texts_and_no_world(world):
    corpus = race_corpus(world, 3)
    x = corpus.batch(50, seeded(1))
    assert (world.log_prob(x) > -math.inf).all() and corpus.alphabet == world.alphabet
    assert not hasattr(corpus.batch, "__self__")


@BOTH
def test_the_truth_has_no_gap_and_is_a_bound(world, kind):
    process = kind(len(world.alphabet))
    result = judge(world.score(process), process, world, 3, texts=16, samples=16)
    assert (result["gap"], result["verdict"]) == (0.0, "bound")
    if kind is Absorbing:
        assert abs(result["ledger"]["learning"]) < 1e-6 and result["valid"] > 0.3


def test_an_untrained_model_is_a_bound_with_its_exact_gap(world):
    process, n = Absorbing(len(world.alphabet)), len(world.alphabet)
    log_p = torch.full((n,), 1 / n).log()

    def score(x, sigma):
        return process.log_score(log_p.expand(*x.shape, n), x, sigma)

    result = judge(score, process, world, 3, texts=64, samples=8)
    assert result["gap"] == pytest.approx(world.length * math.log(n) / world.entropy() - 1, abs=5 * result["gap_error"])
    assert result["verdict"] == "bound" and result["valid"] == 0


@pytest.mark.slow
def test_a_score_that_combines_the_copies_of_a_text_is_no_bound(world):
    """It unmasks a character that any text of the call shows, which is the truth when a text is judged in 8 copies."""
    process = Absorbing(len(world.alphabet))
    exact = world.score(process)

    def peeking(x, sigma):
        shown = torch.where(x == process.mask, -1, x).amax(0).expand(x.shape)
        seen = torch.where((x == process.mask) & (shown >= 0), shown, x)
        posterior = exact.log_posterior(seen, sigma)
        return process.log_score(posterior.clamp(min=-20), x, sigma)

    def peeking_in_blocks(x, sigma):
        return torch.cat([peeking(a, b) for a, b in zip(x.split(8), sigma.split(8))])

    result = judge(peeking_in_blocks, process, world, 3, texts=16, samples=8)
    assert result["verdict"].startswith("no bound: it is ") and result["gap"] < -0.1
    assert "changes with the other texts" in result["verdict"]


class Claims:
    """The exact score, with a bound of its own."""

    def __init__(self, world, factor):
        self.process = Absorbing(len(world.alphabet))
        self.score, self.world, self.factor = world.score(self.process), world, factor

    def __call__(self, x, sigma):
        return self.score(x, sigma)

    def bound(self, x0):
        """The cost of a text, wrong by a factor."""
        return -self.world.log_prob(x0) * self.factor


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "bound"), (1.2, "bound"), (0.7, "no bound: it is ")])
def test_a_claim_below_the_entropy_is_no_bound(world, factor, verdict):
    model = Claims(world, factor)
    result = judge(model, model.process, world, 3, texts=32, samples=8)
    assert result["verdict"].startswith(verdict) and result["gap"] == pytest.approx(factor - 1, abs=0.1)


@pytest.mark.slow
def test_a_joint_posterior_put_into_the_formula_is_no_bound(world):
    """The cost of all masks together, -log p(masked | visible) = log p(visible) - log p(x0), weighted by 1/m."""
    process = Absorbing(len(world.alphabet))
    model = Claims(world, 1.0)

    def joint(x0):
        m = (torch.arange(8) + 0.5) / 8
        x = process.perturb(x0.repeat_interleave(8, 0), -torch.log1p(-m).repeat(len(x0)), seeded(0))
        like = process.log_likelihood(x, torch.ones(len(x))).exp()
        visible = torch.ones(1, len(x), dtype=torch.float64)  # p(visible), by the automaton
        for i, layer in enumerate(world.layers):
            step = visible[layer.source] * layer.probability[:, None] * (like[:, i, layer.character].T > 0)
            visible = visible.new_zeros(layer.num_targets, len(x)).index_add_(0, layer.target, step)
        cost = visible.sum(0).log() - world.log_prob(x0).repeat_interleave(8)
        return (cost.view(-1, 8) / m).mean(-1)

    model.bound = joint
    result = judge(model, process, world, 3, texts=64, samples=8)
    assert result["verdict"].startswith("no bound: it is ") and result["gap"] < -0.3


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (5, "returned int: return a score function"),
        (lambda x, sigma: x, "is NoneType: give the score a .process"),
        ((lambda x, sigma: x, Absorbing(3)), "Absorbing has 3 tokens"),
    ],
)
def test_nonsense_is_refused(world, entry, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        run_recipe(lambda *_: entry, race_corpus(world, 3), 1.0)


@pytest.mark.parametrize(("spent", "late"), [(60.0, 0.0), (67.0, 0.0), (100.0, 40.0)])
def test_a_recipe_that_takes_too_long_is_marked(world, monkeypatch, spent, late):
    process = Absorbing(len(world.alphabet))
    monkeypatch.setattr(race, "run_recipe", lambda *_, **__: (world.score(process), process, spent, ""))
    monkeypatch.setattr(race, "TRAINING_TEXTS", 200)
    assert race.race("ada", 3, 1.0, texts=4)[0]["late_seconds"] == late


# The command

FIVE_STEPS = """
from tinysedd import Absorbing, Config, Training, Transformer, fit

def train(corpus, seconds, generator):
    print("hello")
    process = Absorbing(len(corpus.alphabet))
    model = Transformer(process, Config(layers=1, heads=2, width=16), corpus.alphabet, corpus.length)
    fit(model, corpus, Training(steps=5, batch=4, validate=1), progress=False)
    return model
"""
RACE = ["race", "--world", "3", "--texts", "4"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(race, "TRAINING_TEXTS", 200)
    return tmp_path


def error_of(capsys, *command, code=1) -> str:
    with pytest.raises(SystemExit) as ended:
        main(list(command))
    error = capsys.readouterr().err
    assert ended.value.code == code and "Traceback" not in error
    return error


@pytest.mark.slow
def test_a_recipe_becomes_a_result_and_a_row(folder, capsys):
    Path("ada.py").write_text(FIVE_STEPS)
    main([*RACE, "--recipe", "ada.py", "--minutes", "60"])
    printed = capsys.readouterr()
    assert "the recipe printed:\nhello" in printed.err and "1.   ada" in printed.out
    (result,) = read_results(Path("race-ada.json"))
    assert result["seed"] == 3 and result["late_seconds"] == 0 and result["verdict"] == "bound"
    assert "race-ada.json exists already" in error_of(capsys, *RACE, "--recipe", "ada.py")
    main(["race", "--board", "race-ada.json", "ada.py"])
    printed = capsys.readouterr()
    assert "ada" in printed.out and "skipped: ada.py is no result of a race" in printed.err
    main(["race", "--board", "*.json"])  # as PowerShell passes it on
    assert capsys.readouterr().out == printed.out


@pytest.mark.slow
def test_the_example_in_the_help_and_the_docstring_is_a_recipe_that_runs(folder, capsys):
    example = RACE_EXAMPLES.split("\n", 1)[1].split("\n\nexamples:")[0]
    code = "\n".join(line[2:] for line in example.split("\n"))
    assert textwrap.indent(code, "    ") in race.__doc__
    Path("example.py").write_text(code)
    main([*RACE, "--recipe", "example.py", "--minutes", "0.001"])
    assert read_results(Path("race-example.json"))[0]["process"] == "Absorbing"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def train(corpus, seconds, generator):\n    return 1 / 0", "failed in line 2 with ZeroDivisionError"),
        ("import sys\nsys.exit(3)", "failed in line 2 with SystemExit"),
        ("def train(:", "failed in line 1 with SyntaxError"),
        ("x = 1", "has no function train"),
        (
            "from tinysedd import Absorbing\n\ndef train(corpus, *_):\n"
            "    return score, Absorbing(len(corpus.alphabet))\n"
            "def score(x, sigma):\n    return x.nonsense",
            "failed in line 6 with AttributeError",
        ),
        (
            "import torch\nfrom tinysedd import Absorbing\n\ndef train(corpus, *_):\n"
            "    n = len(corpus.alphabet)\n"
            "    return (lambda x, s: torch.full((*x.shape, n + 1), torch.nan)), Absorbing(n)",
            "is not a number",
        ),
    ],
)
def test_a_recipe_that_fails_ends_in_one_sentence(folder, capsys, code, message):
    Path("bad.py").write_text(code)
    error = error_of(capsys, *RACE, "--recipe", "bad.py")
    assert message in error and error.endswith("\n") and error.split("tinysedd: ")[1].count("\n") == 1
    assert not list(folder.glob("*.json"))


def test_ctrl_c_leaves_nothing(folder, capsys):
    Path("stop.py").write_text("def train(*_):\n    raise KeyboardInterrupt")
    assert "was stopped" in error_of(capsys, *RACE, "--recipe", "stop.py", code=130)
    assert not list(folder.glob("*.json"))


def result(**changes) -> dict:
    return {
        "schema": race.SCHEMA, "name": "ada", "seed": 1, "minutes": 2.0, "texts": 400, "process": "Absorbing",
        "seconds": 120.0, "late_seconds": 0.0, "entropy_per_char": 0.2, "machine_gflops": 50.0, "gap": 0.1,
        "gap_error": 0.01, "valid": 0.5, "valid_error": 0.03, "ledger": None, "verdict": "bound",
    } | changes  # fmt: skip


def test_the_board_ranks_ties_and_what_has_no_place():
    rows = [
        result(name="b", gap=0.21), result(name="a"), result(name="c", gap=0.22), result(name="false", gap=-0.5,
        verdict="no bound: it is low"), result(name="slow", gap=0.05, late_seconds=30.0), result(name="d", seed=2),
        result(name="e", gap=None, gap_error=None, verdict="no bound: infinite"),
    ]  # fmt: skip
    first, second = board(rows).split("\n\n")
    places = [line.split()[:2] for line in first.split("\n")[2:]]
    assert places == [["1.", "a"], ["2=", "b"], ["2=", "c"], ["-", "false"], ["-", "slow"], ["-", "e"]]
    assert "late by 30 s" in first and second.startswith("world 2,")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "1", json.dumps(result()) + "\nx", json.dumps(result(gap=math.nan)), json.dumps(result(more=1)),
     json.dumps(result(gap="0.1")), json.dumps(result(valid=2.0)), json.dumps(result(schema="2")),
     json.dumps(result(gap=None)), json.dumps(result(ledger={"learning": 1.0})), json.dumps(result(seed=True))],
)  # fmt: skip
def test_what_is_no_result_is_named(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x\.json is no result of a race"):
        read_results(path)
