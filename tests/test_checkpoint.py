"""Checkpoints give back the score function that was saved, of this version and of older ones, and are safe to open."""

import json
import math
import os
import re
from dataclasses import asdict, dataclass, replace

import pytest
import torch
from torch.testing import assert_close

from tinysedd import (
    Absorbing,
    Alphabet,
    Config,
    Corpus,
    Fables,
    Geometric,
    Training,
    Transformer,
    Uniform,
    Words,
    checkpoint,
    fit,
    likelihood_bound,
    load,
    register,
    save,
)
from tinysedd.checkpoint import FOLDER, SHIPPED, build, notes, read_state, save_state
from tinysedd.costs import information_curve
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.process import Process

LETTERS = Alphabet("abcdefghijklmnopqrstuvwxyz")
SMALL = Config(layers=1, heads=2, width=16)


@pytest.fixture(autouse=True)
def fresh_registry(monkeypatch):
    """What a test registers is forgotten after it."""
    monkeypatch.setattr(checkpoint, "_KINDS", dict(checkpoint._KINDS))


def trained(process=Absorbing(26), config=SMALL, alphabet=LETTERS, length=5, kind=None):
    """A model with random weights in every layer, as after training. Rounded to what a checkpoint keeps of them."""
    torch.manual_seed(0)
    kind = kind or (FastTransformer if isinstance(config, FastConfig) else Transformer)
    model = kind(process, config, alphabet, length)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return model.half().float().requires_grad_(False)


def assert_same(model, again):
    """Same parts, and bit for bit the same scores."""
    assert type(again) is type(model)
    for part in ("process", "config", "alphabet", "length"):
        assert getattr(again, part) == getattr(model, part)
    sigma = torch.linspace(0.1, 3, 8)
    x0 = torch.randint(model.process.num_tokens, (8, model.length), generator=torch.Generator().manual_seed(1))
    x = model.process.perturb(x0, sigma, torch.Generator().manual_seed(2))
    assert torch.equal(again(x, sigma), model(x, sigma))


# Save and load


@pytest.mark.parametrize("process", [Absorbing(26), Uniform(26, Geometric(1e-3, 5.0))])
@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, free_scores=True), FastConfig(1, 2, 16, neighbors=1, token_shift=False, bigrams=7)]
)
def test_load_gives_back_the_score_function(tmp_path, process, config):
    model = trained(process, config)
    save(model, tmp_path / "model.pt", command="by hand", curve=[{"step": 1}])
    again = load(tmp_path / "model.pt")
    assert_same(model, again)
    assert not again.training and not any(p.requires_grad for p in again.parameters())
    assert notes(tmp_path / "model.pt") == {"command": "by hand", "curve": [{"step": 1}]}
    assert os.listdir(tmp_path) == ["model.pt"]


def test_a_causal_model_gives_back_the_same_probabilities(tmp_path):
    model = trained(config=replace(SMALL, causal=True))
    save(model, tmp_path / "model.pt")
    x = LETTERS.encode("hello")[None]
    assert torch.equal(load(tmp_path / "model.pt").log_prob(x), model.log_prob(x))


def test_what_a_character_costs_is_kept_with_the_weights(tmp_path):
    model, path = trained(), tmp_path / "model.pt"
    save(model, path)
    assert not hasattr(load(path), "costs")
    model.costs = torch.arange(model.length, dtype=torch.float64) + 0.23456789
    save(model, path)
    assert load(path).costs.tolist() == [round(cost, 5) for cost in model.costs.tolist()]
    saved = torch.load(path, weights_only=True)
    for wrong in (saved["costs"][1:], [math.nan] * model.length, "abc", 3.0):
        torch.save(saved | {"costs": wrong}, tmp_path / "damaged.pt")
        with pytest.raises(ValueError, match=f"damaged: there must be {model.length} finite numbers"):
            load(tmp_path / "damaged.pt")
    for wrong in (model.costs[1:], model.costs * math.nan):
        model.costs = wrong
        with pytest.raises(ValueError, match=f"must be {model.length} finite numbers"):
            save(model, tmp_path / "new.pt")
    assert not (tmp_path / "new.pt").exists()


def test_a_model_without_an_alphabet_is_saved_and_loaded(tmp_path):
    model = trained(alphabet=None)
    save(model, tmp_path / "model.pt")
    assert_same(model, load(str(tmp_path / "model.pt")))
    assert notes(tmp_path / "model.pt") == {}


def test_weights_are_kept_in_half_precision(tmp_path):
    model = trained(config=Config(2, 4, 64), length=64)
    save(model, tmp_path / "model.pt")
    parameters = sum(p.numel() for p in model.parameters())
    assert (tmp_path / "model.pt").stat().st_size < 2 * parameters + 16_000


# Checkpoints of version 0.1


def save_as_version_0_1(model, path, **shape):
    """A checkpoint as that version wrote it: other names, a schedule beside the process, notes in a separate file."""
    content = {
        "weights": {name: tensor.half() for name, tensor in model.state_dict().items()},
        "process": {"kind": type(model.process).__name__, "num_tokens": model.process.num_tokens},
        "schedule": {"kind": type(model.process.schedule).__name__, **asdict(model.process.schedule)},
        "shape": {"layers": 1, "heads": 2, "width": 16, "free_scores": False, "causal": False} | shape,
        "alphabet": model.alphabet.characters, "length": model.length,
    }  # fmt: skip
    torch.save(content, path)
    path.with_suffix(".json").write_text(json.dumps({"command": "train", "curve": []}), encoding="utf-8")


@pytest.mark.parametrize("process", [Absorbing(26), Uniform(26, Geometric(1e-3, 5.0))])
@pytest.mark.parametrize(
    ("shape", "config"),
    [
        ({"near": 0, "shift": False, "pairs": 0}, SMALL),
        ({"near": 0, "shift": False, "pairs": 2048, "free_scores": True}, replace(SMALL, free_scores=True)),
        ({"near": 2, "shift": True, "pairs": 9}, FastConfig(1, 2, 16, neighbors=2, token_shift=True, bigrams=9)),
        ({"near": 1, "shift": False, "pairs": 0}, FastConfig(1, 2, 16, neighbors=1, token_shift=False, bigrams=0)),
        ({"near": 0, "shift": True, "pairs": 5}, FastConfig(1, 2, 16, neighbors=0, token_shift=True, bigrams=5)),
    ],
)
def test_a_checkpoint_of_version_0_1_loads_to_the_same_scores(tmp_path, process, shape, config):
    model = trained(process, config)
    save_as_version_0_1(model, tmp_path / "old.pt", **shape)
    assert_same(model, load(tmp_path / "old.pt"))
    assert notes(tmp_path / "old.pt") == {"command": "train", "curve": []}


# Classes of one's own


@dataclass(frozen=True)
class Typo(Process):
    """Characters slip to the next one, with a rate of their own."""

    slip: float = 0.1

    def rate_matrix(self):
        eye = torch.eye(self.num_tokens, dtype=torch.float64)
        return self.slip * (eye.roll(1, 1) - eye)


@dataclass(frozen=True)
class Square:
    """sigma(t) = (a t)^2"""

    a: float = 2.0

    def total(self, t):
        return (self.a * torch.as_tensor(t)) ** 2

    def rate(self, t):
        return 2 * self.a**2 * torch.as_tensor(t)

    def time(self, sigma):
        return torch.as_tensor(sigma) ** 0.5 / self.a


@dataclass(frozen=True)
class WideConfig(Config):
    """A config with one more field."""

    temperature: float = 1.0


class Cooled(Transformer):
    """A network whose posterior is sharpened."""

    def trunk(self, x, sigma):
        return super().trunk(x, sigma) / self.config.temperature


OWN = {
    "process": trained(Typo(26, slip=0.3)),
    "schedule": trained(Absorbing(26, Square(3.0))),
    "config": trained(config=WideConfig(1, 2, 16, temperature=0.5)),
    "model": trained(config=WideConfig(1, 2, 16, temperature=0.5), kind=Cooled),
}


@pytest.mark.parametrize("part", OWN)
def test_registered_classes_are_saved_with_all_their_fields(tmp_path, part):
    for kind in (Typo, Square, WideConfig, Cooled):
        assert register(kind) is kind  # so it can be a decorator
        register(kind)  # running a notebook cell twice does no harm
    save(OWN[part], tmp_path / "own.pt")
    again = load(tmp_path / "own.pt")
    assert_same(OWN[part], again)
    if part == "process":
        assert again.process == Typo(26, slip=0.3) and again.process != Typo(26)


@pytest.mark.parametrize(("part", "name"), [*zip(OWN, ["Typo", "Square", "WideConfig", "Cooled|WideConfig"])])
def test_saving_an_unregistered_class_fails_at_once_and_writes_nothing(tmp_path, part, name):
    path = tmp_path / "own.pt"
    path.write_bytes(b"an older file")
    with pytest.raises(ValueError, match=rf"({name}) is not registered: call tinysedd\.register\(\1\) before saving"):
        save(OWN[part], path)
    with pytest.raises(ValueError, match="not registered"):
        save_state(path, OWN[part], Training(), {}, {})
    assert path.read_bytes() == b"an older file" and os.listdir(tmp_path) == ["own.pt"]


@pytest.mark.parametrize(("part", "name"), [*zip(OWN, ["Typo", "Square", "WideConfig", "Cooled"])])
def test_loading_names_a_class_that_is_not_registered(tmp_path, monkeypatch, part, name):
    registered = dict(checkpoint._KINDS)
    for kind in (Typo, Square, WideConfig, Cooled):
        register(kind)
    save(OWN[part], tmp_path / "own.pt")
    monkeypatch.setattr(checkpoint, "_KINDS", registered)  # as in a new session
    with pytest.raises(
        ValueError, match=rf"needs the class '{name}': call tinysedd\.register\({name}\) before loading"
    ):
        load(tmp_path / "own.pt")


def test_a_second_class_of_the_same_name_is_refused():
    other = dataclass(frozen=True)(type("Typo", (Process,), {"__module__": "elsewhere"}))
    register(Typo)
    with pytest.raises(ValueError, match="another class is registered as 'Typo': rename yours"):
        register(other)
    other = dataclass(frozen=True)(type("Absorbing", (Process,), {}))
    with pytest.raises(ValueError, match="another class is registered as 'Absorbing'"):
        register(other)


def test_only_dataclasses_and_transformers_can_be_registered():
    class Plain:
        pass

    for kind in (Plain, torch.nn.Linear):
        with pytest.raises(ValueError, match=f"{kind.__name__} must be a dataclass, .*, or a kind of Transformer"):
            register(kind)


def test_a_process_may_hold_a_tuple_of_schedules(tmp_path):
    @register
    @dataclass(frozen=True)
    class Switching(Absorbing):
        schedules: tuple = ()

    save(trained(Switching(26, schedules=(Geometric(), Geometric(1e-2, 2.0)))), tmp_path / "own.pt")
    assert load(tmp_path / "own.pt").process.schedules == (Geometric(), Geometric(1e-2, 2.0))


# Bad content and bad files


def test_notes_that_could_not_be_read_back_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a checkpoint cannot hold .*<object object"):
        save(trained(), tmp_path / "model.pt", what=object())
    assert not os.listdir(tmp_path)


def test_numpy_numbers_in_notes_do_not_make_a_checkpoint_unreadable(tmp_path):
    numpy = pytest.importorskip("numpy")
    save(trained(), tmp_path / "model.pt", bound=numpy.float64(0.5))
    assert notes(tmp_path / "model.pt") == {"bound": 0.5}


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save(trained(), tmp_path / "model.pt")
    before = (tmp_path / "model.pt").read_bytes()

    def full_disk(content, file):
        file.write(b"half a fi")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        save(trained(), tmp_path / "model.pt")
    assert (tmp_path / "model.pt").read_bytes() == before and os.listdir(tmp_path) == ["model.pt"]


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    for key, read in (("weights", load), ("weights", notes), ("optimizers", read_state)):
        torch.save({key: Trap(), "ema": Trap()}, tmp_path / "trap.pt")
        with pytest.raises(ValueError, match="not the kind of file"):
            read(tmp_path / "trap.pt")
    assert os.listdir(tmp_path) == ["trap.pt"]


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_bad_checkpoint_is_named_and_the_shipped_ones_are_listed(tmp_path, content):
    path = tmp_path / "bad.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.pt.* fables, fables-uniform, shakespeare"):
        load(path)


# Training states


def test_a_state_holds_all_that_it_takes_to_continue(tmp_path):
    """`fit` continues from it bit for bit: see test_train.py."""
    model, training, states = trained(length=3).train().requires_grad_(), Training(steps=2, batch=4, validate=2), []
    corpus = Corpus.from_world(Words(), 20)

    def keep(state):
        save_state(tmp_path / "model.train.pt", model, training, state, {"corpus": "words"})
        states.append({name: tensor.clone() for name, tensor in state["model"].items()})

    fit(model, corpus, training, keep=keep, progress=False)
    state = read_state(tmp_path / "model.train.pt")
    assert Training(**state["training"]) == training and state["notes"] == {"corpus": "words"} and state["step"] == 2
    assert all(torch.equal(state["model"][name], tensor) for name, tensor in states[-1].items())  # float32, not half
    again = build(state)
    assert (again.process, again.config, again.alphabet, again.length) == (Absorbing(26), SMALL, LETTERS, 3)


def test_what_is_not_a_state_is_refused(tmp_path):
    save(trained(), tmp_path / "model.pt")
    torch.save({"optimizers": []}, tmp_path / "old.train.pt")
    with pytest.raises(ValueError, match=r"model\.pt is not the kind of file.* a state is the \.train file"):
        read_state(tmp_path / "model.pt")
    with pytest.raises(ValueError, match=r"cannot read .*nowhere"):
        read_state(tmp_path / "nowhere.train.pt")
    with pytest.raises(ValueError, match=r"old\.train\.pt was written by another version .* has no clock, curve, ema"):
        read_state(tmp_path / "old.train.pt")


# The shipped checkpoints

PLAIN_ENGLISH = """It was a cold morning in the village, and the baker had not slept.
He lit the oven, looked at the flour, and said to his cat:
'We have no salt.' The cat, who had heard worse, went back to sleep.

By noon there was bread on every table, and nobody missed the salt.
The mayor sent for the baker; the baker sent the cat.
What did the cat say? Nothing, as cats do, but she took the butter.
Then all of them laughed, even the mayor, and the day was saved.
"""


@pytest.fixture(scope="module")
def texts():
    fables = Fables().sample(16, torch.Generator().manual_seed(0))
    ids = load("shakespeare").alphabet.encode(PLAIN_ENGLISH)
    return {"fables": fables, "fables-uniform": fables, "shakespeare": ids.unfold(0, 128, 128)}


@pytest.mark.parametrize(
    ("name", "nats_per_char"), [("fables", 0.17507), ("fables-uniform", 0.20343), ("shakespeare", 1.77263)]
)
def test_shipped_checkpoints_are_as_good_as_in_version_0_1(name, nats_per_char, texts):
    """Computed by that version on these texts with this noise. Nothing but rounding may change the bound."""
    model = load(name)
    bound = likelihood_bound(model, model.process, texts[name], generator=torch.Generator().manual_seed(0))
    assert_close(bound.nats_per_char, nats_per_char, rtol=0, atol=5e-4)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_checkpoints_are_small_and_say_how_they_were_made(name):
    assert (FOLDER / f"{name}.pt").stat().st_size <= 6e6
    story = notes(name)
    assert re.search(f"tinysedd train --corpus {name.removesuffix('-uniform')}", story["command"])
    assert all(earlier["step"] < later["step"] for earlier, later in zip(story["curve"], story["curve"][1:]))
    assert load(name).length == (128 if name == "shakespeare" else 64)


@pytest.mark.parametrize("name", ["fables", "shakespeare"])
def test_shipped_costs_fit_the_shipped_weights(name, texts):
    """From the first character to the last they fall. For fables, what a whole text costs, one character at a time,
    is within 4 standard errors of a fresh estimate from 16 texts."""
    model = load(name)
    assert len(model.costs) == model.length and model.costs[0] > 2 > 1 > model.costs[-1]
    if name == "fables":
        fresh = information_curve(model, model.process, texts[name], generator=torch.Generator().manual_seed(0)).g_rows
        error = float(fresh.sum(-1).std()) / math.sqrt(len(fresh))
        assert abs(model.costs.sum() - fresh.sum(-1).mean()) < 4 * error < 0.4 * model.costs.sum()
