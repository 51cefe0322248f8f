"""What a class of forty would type, and what happens to their files: a clear sentence, the right exit code, and nothing
lost. The same with random commands, damaged files, full disks, signals and kills.
"""

import contextlib
import copy
import enum
import hashlib
import io
import json
import math
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import tinysedd
from tinysedd import (
    Absorbing,
    Alphabet,
    Config,
    Corpus,
    Fables,
    LogLinear,
    Training,
    Trajectory,
    Transformer,
    Uniform,
    Words,
    checkpoint,
    fit,
    likelihood_bound,
    load,
    load_corpus,
    register,
    sample,
    save,
    score_entropy_loss,
    train,
)
from tinysedd.__main__ import main
from tinysedd.checkpoint import is_checkpoint, notes, read_state
from tinysedd.costs import chain_rule, information_curve
from tinysedd.evaluate import measure_gap
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.fast.objective import fast_loss
from tinysedd.sampling import euler, tweedie

ROOT = Path(tinysedd.__file__).parents[1]
SMALL = "--layers 1 --heads 2 --width 16 --batch 4"
TEXT = "0123456789\n" * 200


def untrained(length: int = 64, process=None, world=None) -> FastTransformer:
    alphabet = (world or Fables()).alphabet
    return FastTransformer(process or Absorbing(len(alphabet)), FastConfig(1, 2, 16), alphabet, length)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a text, a model and things that are neither."""
    monkeypatch.chdir(tmp_path)
    fill_folder()
    return tmp_path


@cache
def checkpoints() -> dict[str, bytes]:
    """Untrained models of fables and of words."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as place:
        save(untrained(), f"{place}/model.pt", corpus="fables")
        save(untrained(3, world=Words()), f"{place}/words.pt", corpus="words")
        save(untrained(), f"{place}/model.html", corpus="fables")  # whatever its name says
        save(Transformer(Absorbing(3), Config(1, 2, 16, free_scores=True), Alphabet("abc")), f"{place}/free.pt")
        save(Transformer(Absorbing(3), Config(1, 2, 16)), f"{place}/other.pt")
        return {path.name: path.read_bytes() for path in Path(place).iterdir()}


def fill_folder() -> None:
    Path("mine.txt").write_text(TEXT)
    Path("short.txt").write_text("too short")
    Path("empty.txt").write_text("")
    Path("latin.txt").write_bytes("größer".encode("latin-1") * 500)
    Path("one.txt").write_text("one line\n")
    Path("poem.gif").write_text("not ours")
    Path("old.html").write_text("not ours")
    Path("folder").mkdir(exist_ok=True)
    for name, content in checkpoints().items():
        Path(name).write_bytes(content)


def files() -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in Path().rglob("*") if path.is_file()}


def run(command: str) -> tuple[int, str, str]:
    """The exit code and what a command prints to stdout and stderr, in this process."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main(shlex.split(command))
            code = 0
        except SystemExit as ended:
            code = ended.code
    return code, out.getvalue(), err.getvalue()


def program(command: str, **options) -> subprocess.CompletedProcess:
    """A command as a program of its own."""
    path = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    options["env"] = os.environ | path | options.get("env", {})
    words = [sys.executable, "-m", "tinysedd", *shlex.split(command)]
    return subprocess.run(words, capture_output=True, timeout=100, **options)


# One sentence, the right exit code, and all files as they were: 2 if the command itself is wrong, else 1.

BAD_COMMANDS = [
    # numbers out of range
    *[(f"sample --steps {wrong}", 2, "at least 1") for wrong in ("0", "-1", "1.5", "nan", "9e9", "''")],
    *[(f"sample --count {wrong}", 2, "at least 1") for wrong in ("0", "-1", "x")],
    *[(f"sample --seed {wrong}", 2, "at least 0") for wrong in ("-1", "1e20", f"{10**30}")],
    *[(f"evaluate --texts {wrong}", 2, "at least 1") for wrong in ("0", "-5")],
    *[(f"evaluate --samples {wrong}", 2, "at least 1") for wrong in ("0", "-5")],
    *[(f"train --{name} 0", 2, f"{name} must be an integer of at least 1")
      for name in ("steps", "batch", "heads", "width", "length")],
    *[(f"train --{name} -1", 2, f"{name} must be an integer of at least 0")
      for name in ("layers", "bigrams", "neighbors", "reference", "seed")],
    *[(f"train --{name} {wrong}", 2, f"{name} must be a finite number above 0")
      for name in ("lr", "minutes") for wrong in ("0", "-1", "nan", "inf")],
    *[(f"train --{option} {wrong}", 2, f"{name} must be ")
      for option, name in (("embed-lr", "embed_lr"), ("noise-center", "noise_center"), ("noise-width", "noise_width"))
      for wrong in ("0", "-1", "nan", "inf")],
    *[(f"train --even-from {wrong}", 2, "even_from must be between 0 and 1") for wrong in ("-1", "2", "nan")],
    *[(f"train --ema-decay {wrong}", 2, "ema_decay must be at least 0 and below") for wrong in ("1", "2", "-1", "nan")],
    ("train --seed 100000000000000000000", 2, "seed must be below"),
    ("train --heads 5", 2, "multiple"),
    *[(f"sample --{name}=--", 2, "--") for name in ("device", "steps", "sampler", "seed")],
    ("train --process=--", 2, "--"),
    # options that would have no effect
    ("train --steps 5 --minutes 1", 2, "not both"),
    ("train --resume x.train --width 8 --even-from 0", 2, "--even-from, --width cannot be used with --resume"),
    ("evaluate --checkpoint fables-uniform --orders 3", 2, "--orders has no effect"),
    ("train --even-from 0 --noise-center .3", 2, "have no effect with --even-from 0"),
    ("train --resume x.train --seed 1", 2, "--seed cannot"),
    ("train --start model.pt --process uniform", 2, "--process cannot be used with --start"),
    ("train --start model.pt --layers 2 --length 9", 2, "--layers, --length cannot"),
    ("train --resume x.train --start model.pt", 2, "--start cannot"),
    ("evaluate --checkpoint model.pt --lines", 2, "--lines has no effect"),
    ("evaluate --checkpoint model.pt --corpus mine.txt --samples 9", 2, "--samples has no effect"),
    ("train --corpus words --lines", 1, "leave lines out"),
    ("train --corpus words --length 9", 1, "leave the length out"),
    # devices
    ("sample --device mps", 2, "Apple's GPU cannot be used"),
    ("train --device foo", 2, "cpu or cuda, not 'foo'"),
    ("evaluate --device 0", 2, "cpu or cuda, not '0'"),
    ("sample --device cuda:77", 2, "GPU"),
    # files that are missing, or something else
    ("sample --checkpoint nowhere.pt", 1, "cannot read nowhere.pt"),
    ("sample --checkpoint mine.txt", 1, "not the kind of file"),
    ("sample --checkpoint empty.txt", 1, "not the kind of file"),
    ("sample --checkpoint folder", 1, "cannot read folder"),
    ("sample --checkpoint ''", 1, "cannot read"),
    ("train --corpus nowhere.txt", 1, "cannot read nowhere.txt"),
    ("train --corpus folder", 1, "cannot read folder"),
    ("train --corpus latin.txt", 1, "not UTF-8"),
    ("train --corpus model.pt", 1, "not UTF-8"),
    ("train --corpus empty.txt", 1, "0 characters is too short"),
    ("train --corpus short.txt", 1, "too short"),
    ("train --corpus empty.txt --lines", 1, "at least 2 lines"),
    ("train --corpus one.txt --lines", 1, "at least 2 lines"),
    ("train --resume model.pt --out x.pt", 1, ".train file"),
    ("train --resume model.pt", 2, "--out"),
    ("train --resume nowhere.train", 1, "cannot read nowhere.train"),
    ("train --start nowhere.pt", 1, "cannot read nowhere.pt"),
    # texts that do not belong to the model
    ("sample --checkpoint model.pt --prompt 'the wölf'", 1, "'ö' at position 5"),
    (f"sample --checkpoint model.pt --prompt {'a' * 65}", 1, "65 characters; there is room for 64"),
    ("evaluate --checkpoint model.pt --corpus words", 1, "another alphabet"),
    ("evaluate --checkpoint model.pt --corpus mine.txt", 1, "'0' at position 0"),
    ("train --corpus words --start model.pt", 1, "another alphabet"),
    ("train --corpus mine.txt --start model.pt", 1, "not in the alphabet"),
    ("sample --checkpoint fables-uniform --sampler spread", 1, "needs masks"),
    # where to write
    ("sample --save text.doc", 1, ".gif, .png, .html, .txt"),
    ("sample --save nowhere/x.gif", 1, "no folder nowhere"),
    ("sample --save poem.gif", 1, "poem.gif exists already"),
    ("sample --save mine.txt", 1, "mine.txt exists already"),
    ("sample --save folder", 1, ".gif"),
    ("train --corpus words --out nowhere/x.pt", 1, "no folder nowhere"),
    ("train --corpus words --out folder", 1, "is a folder"),
    ("train --corpus words --out ''", 1, "is a folder"),
    ("train --corpus words --out /dev/null", 1, "not a regular file"),
    ("train --corpus words --out /dev/null --force", 1, "not a regular file"),
    ("train --corpus words --out fables", 2, "like fables.pt"),
    ("train --corpus words --out words", 2, "like words.pt"),
    ("train --neighbors 0 --bigrams 77", 2, "--bigrams has no effect"),
    ("sample --force", 2, "--force has no effect"),
    ("evaluate --checkpoint words.pt --corpus ''", 1, "cannot read"),
    ("train --corpus mine.txt --out mine.txt", 1, "mine.txt is also read from"),
    ("train --corpus mine.txt --out mine.txt --force", 1, "mine.txt is also read from"),
    ("train --corpus mine.txt --out folder/../mine.txt --force", 1, "is also read from"),
    ("train --corpus words --start words.pt --out words.pt", 1, "is also read from"),
    ("train --corpus words --out poem.gif", 1, "poem.gif exists already"),
    (f"train --corpus words --steps 2 {SMALL} --out {'x' * 254}", 1, "name too long"),
    # a page
    ("page --checkpoint nowhere.pt", 1, "cannot read nowhere.pt"),
    ("page --checkpoint mine.txt", 1, "not the kind of file"),
    ("page --checkpoint model.pt --out page", 1, "end the name in .html"),
    ("page --checkpoint model.pt --out ''", 1, "end the name in .html"),
    ("page --checkpoint model.pt --out nowhere/page.html", 1, "no folder nowhere"),
    ("page --checkpoint model.pt --out old.html", 1, "old.html exists already"),
    ("page --checkpoint model.html --out model.html --force", 1, "model.html is also read from"),
    ("page --checkpoint model.pt --corpus mine.txt", 2, "--corpus has no effect with mine.txt"),
    ("page --checkpoint model.pt --corpus nowhere:world", 1, "no module nowhere"),
    ("page --checkpoint model.pt --corpus words", 1, "another alphabet or length"),
    ("page --checkpoint words.pt --corpus words", 1, "exact posterior of Fables only, not of Words"),
    ("page --checkpoint free.pt", 1, "trained with free_scores"),
    ("page --checkpoint other.pt", 1, "no alphabet"),
    (f"page --checkpoint model.pt --out {'x' * 250}.html", 1, "name too long"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "code", "message"), BAD_COMMANDS)
def test_a_bad_command_ends_in_one_sentence_and_loses_nothing(folder, command, code, message):
    before = files()
    ended, out, err = run(command)
    assert (ended, out) == (code, "")
    error = err[err.index("error: ") :] if "usage: " in err else err
    assert message.lower() in error.lower() and error.count("\n") == 1 and error.endswith("\n")
    assert "traceback" not in err.lower() and len(error) < 500
    assert files() == before


# What may be replaced


def test_a_training_replaces_a_checkpoint_but_nothing_else(folder):
    for force in ("", "--force"):
        assert run(f"train --corpus words {SMALL} --steps 2 --out words.pt {force}")[0] == 0
    Path("foreign.pt").write_text("somebody's")
    assert run(f"train --corpus words {SMALL} --steps 2 --out foreign.pt")[0] == 1
    assert Path("foreign.pt").read_text() == "somebody's"
    assert run(f"train --corpus words {SMALL} --steps 2 --out foreign.pt --force")[0] == 0
    assert is_checkpoint("foreign.pt") and not Path("foreign.pt.train").exists()
    assert run("sample --checkpoint words.pt --save mine.txt --force --plain")[0] == 0
    assert len(Path("mine.txt").read_text()) == 4


def test_names_are_appended_so_that_two_models_share_no_file(folder):
    before = files()
    for rate in ("0.01", "0.02"):
        assert run(f"train --corpus words {SMALL} --steps 2 --lr {rate} --out rate{rate}")[0] == 0
    assert files().keys() - before.keys() == {"rate0.01", "rate0.02"}
    assert [notes(f"rate{rate}")["training"]["lr"] for rate in ("0.01", "0.02")] == [0.01, 0.02]


def test_the_notes_file_of_an_older_checkpoint_is_not_touched(folder):
    Path("poems.json").write_text("a poem")
    assert run(f"train --corpus words {SMALL} --steps 2 --out poems.pt")[0] == 0
    assert Path("poems.json").read_text() == "a poem"


def test_the_state_of_another_training_is_not_touched(folder):
    """Stopped, or still running: its state is there from the start."""
    stopped_training("other.pt")
    for content in (b"", Path("other.pt.train").read_bytes()):
        Path("new.pt.train").write_bytes(content)
        code, _, error = run(f"train --corpus words {SMALL} --steps 2 --out new.pt")
        assert code == 1 and "new.pt.train belongs to a training" in error and ("--resume" in error) == bool(content)
        assert Path("new.pt.train").read_bytes() == content and not Path("new.pt").exists()
    assert run(f"train --corpus words {SMALL} --steps 2 --out new.pt --force")[0] == 0
    assert not Path("new.pt.train").exists()


@pytest.mark.parametrize("force", ["", "--force"])
def test_what_only_has_the_name_of_a_state_is_never_touched(folder, force):
    """A list of names, a model, and a link to a poem."""
    Path("a.train").write_text("anna")
    Path("b.train").write_bytes(Path("words.pt").read_bytes())
    Path("c.train").symlink_to("mine.txt")
    before = files()
    for out in "abc":
        code, _, error = run(f"train --corpus words {SMALL} --steps 2 --out {out} {force}")
        assert code == 1 and "is in the way" in error and files() == before


def test_a_foreign_checkpoint_and_a_write_protected_one_are_not_replaced(folder):
    torch.save({"weights": {"a": torch.zeros(3)}, "epoch": 3}, "foreign.pt")
    Path("words.pt").chmod(0o400)
    before = files()
    for out in ("foreign.pt", "words.pt"):
        code, _, error = run(f"train --corpus words {SMALL} --steps 2 --out {out}")
        assert code == 1 and "exists already" in error and files() == before


def test_a_link_keeps_pointing_to_the_file_that_is_replaced(folder):
    Path("link.pt").symlink_to("words.pt")
    before = files()["words.pt"]
    assert run(f"train --corpus words {SMALL} --steps 2 --out link.pt")[0] == 0
    assert Path("link.pt").is_symlink() and files()["words.pt"] != before and "curve" in notes("words.pt")


def test_damaged_notes_are_replaced_too(folder):
    changed(notes="a poem").rename("words.pt")
    assert run(f"train --corpus words {SMALL} --steps 2 --out words.pt")[0] == 0
    save(untrained(), "odd.pt", unfinished=torch.zeros(3), corpus=["a.txt"])
    code, _, error = run("evaluate --checkpoint odd.pt")
    assert code == 1 and "does not say what it was trained on" in error
    assert run(f"train --corpus words {SMALL} --steps 2 --out odd.pt")[0] == 0


def test_the_plays_are_a_corpus_too(folder):
    Path("data").mkdir()
    Path("data/shakespeare.txt").write_text(TEXT)
    code, _, error = run("train --corpus shakespeare --out data/shakespeare.txt --force")
    assert code == 1 and "also read from" in error and Path("data/shakespeare.txt").read_text() == TEXT


def test_a_corpus_is_never_taken_for_a_state(folder):
    Path("m.pt.train").write_text(TEXT)
    code, _, error = run(f"train --corpus m.pt.train {SMALL} --steps 2 --length 8 --out m.pt --force")
    assert code == 1 and "also read from" in error and Path("m.pt.train").read_text() == TEXT


@pytest.mark.parametrize("name", ["fables", "words", "shakespeare"])
def test_a_file_with_the_name_of_a_corpus_or_model_is_not_shadowed(folder, name):
    Path(name).write_text(TEXT)
    for ask in (lambda: load_corpus(name), *([lambda: load(name)] if name != "words" else [])):
        with pytest.raises(ValueError, match=rf"{name} is a file here and .* write \./{name} for the file"):
            ask()
    assert load_corpus(f"./{name}").alphabet == load_corpus(Path(name)).alphabet == Alphabet("\n0123456789")
    save(untrained(), Path(name))
    assert load(f"./{name}").length == load(Path(name)).length == 64


# Wrong numbers: what belongs to another model is refused by everything that calls a score.

PROCESS = Absorbing(5)
GENERATOR = torch.Generator()
X0 = torch.randint(5, (4, 6), generator=GENERATOR.manual_seed(0))


def score_of_shape(*shape, dtype=torch.float32):
    return lambda x, sigma: torch.zeros(
        *[len(x) if n == "B" else x.shape[1] if n == "L" else n for n in shape], dtype=dtype
    )


@pytest.mark.parametrize(
    ("score", "message"),
    [
        (score_of_shape("B", "L", 5), r"\(4, 6, 6\).* returned \(4, 6, 5\)"),  # no column for the mask
        (score_of_shape("B", "L", 7), r"returned \(4, 6, 7\)"),
        (score_of_shape("L", 6), r"returned \(6, 6\)"),  # would broadcast
        (score_of_shape("B", 1, 6), r"returned \(4, 1, 6\)"),
        (score_of_shape("B", "L", 6, dtype=torch.int64), "floating-point .*int64"),
        (lambda x, sigma: [0.0], "floating-point .* list"),
        (lambda x, sigma: None, "NoneType"),
    ],
)  # fmt: skip
def test_a_score_of_the_wrong_shape_is_refused_wherever_it_is_called(score, message):
    calls = [
        lambda: score_entropy_loss(score, PROCESS, X0),
        lambda: fast_loss(None)(with_process(score), X0, torch.Generator(), 0.0),
        lambda: likelihood_bound(score, PROCESS, X0, draws=1),
        *[lambda name=name: sample(score, PROCESS, length=6, count=4, sampler=name, steps=4)
          for name in ("euler", "tweedie", "first_hitting", "trapezoidal", "entropy_bounded", "spread", "corrected")],
        lambda: chain_rule(score, PROCESS, X0),
        lambda: information_curve(score, PROCESS, X0, batch=4),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call()


def with_process(score):
    class Model:
        process = PROCESS

        def __call__(self, x, sigma):
            return score(x, sigma)

    return Model()


def test_a_score_for_another_process_is_refused_but_another_schedule_is_fine():
    model = load("fables")
    with pytest.raises(
        ValueError, match=r"this score is for Absorbing\(num_tokens=30.*, not for Uniform\(num_tokens=30"
    ):
        sample(model, Uniform(30))
    with pytest.raises(ValueError, match=r"not for Absorbing\(num_tokens=29"):
        sample(model, Absorbing(29))
    texts = Fables().sample(1, torch.Generator().manual_seed(0))
    for process in (Uniform(30), Absorbing(29)):
        with pytest.raises(ValueError, match=r"this score is for|ids 0 to 28"):
            likelihood_bound(model, process, texts)
    other = replace(model.process, schedule=LogLinear(1e-2))
    assert sample(model, other, steps=2).states.shape == (3, 1, 64)


@pytest.mark.parametrize(
    ("x0", "message"),
    [
        (torch.full((2, 64), 30), "ids 0 to 29 .* here are ids from 30 to 30"),
        (torch.full((2, 64), -1), "ids from -1 to -1"),
        (torch.zeros(64, dtype=torch.int64), r"int64 of shape \(B, L\)"),
        (torch.zeros(0, 64, dtype=torch.int64), "above 0"),
        (torch.zeros(2, 64), "float32"),
        (torch.zeros(2, 64, dtype=torch.int32), "int32"),
        ([[0] * 64], "list"),
        (Words().ids[:4], "these texts have 3 characters, but the score was made for texts of 64"),
    ],
)
def test_texts_of_another_kind_are_refused(x0, message):
    model = load("fables")
    for call in (
        lambda: likelihood_bound(model, model.process, x0),
        lambda: score_entropy_loss(model, model.process, x0),
        lambda: chain_rule(model, model.process, x0),
        lambda: information_curve(model, model.process, x0),
        lambda: fast_loss(None)(model, x0, torch.Generator(), 0.0),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_alphabets_must_fit():
    with pytest.raises(ValueError, match="2 characters, but Absorbing has 5 tokens"):
        Transformer(PROCESS, Config(1, 2, 16), Alphabet("ab"))
    with pytest.raises(ValueError, match="must all be different: 'abcda'"):
        Transformer(PROCESS, Config(1, 2, 16), Alphabet("abcda"))
    model = Transformer(PROCESS, Config(1, 2, 16), Alphabet("abcde"), 6)
    with pytest.raises(ValueError, match="should be the same differ: 'edcba' and 'abcde'"):
        sample(model, PROCESS, alphabet=Alphabet("edcba"))
    fables, words = load("fables"), Words()
    with pytest.raises(ValueError, match="26 characters, but Absorbing has 30 tokens"):
        measure_gap(fables, words, words.sample(2))
    corpus = Corpus.from_text("vwxyz" * 100, 6)
    with pytest.raises(ValueError, match="should be the same differ: 'vwxyz' and 'abcde'"):
        fit(model, corpus, Training(steps=1), progress=False)


@pytest.mark.parametrize("process", [Absorbing(5), Uniform(5)])
def test_sigma_of_another_shape_is_refused_instead_of_broadcast(process):
    score, posterior = torch.zeros(4, 6, process.num_states), torch.zeros(4, 6, 5).log_softmax(-1)
    with pytest.raises(ValueError, match="at least 0, and a number"):
        process.perturb(X0, torch.tensor([1.0, math.nan, 1.0, 1.0]))
    for wrong in (torch.ones(4, 1), torch.ones(()), torch.ones(1), torch.ones(6)):
        for call in (
            lambda s: process.perturb(X0, s),
            lambda s: process.log_likelihood(X0, s),
            lambda s: process.log_score(posterior, X0, s),
            lambda s: process.score_entropy(score, X0, X0, s),
            lambda s: process.euler(score, X0, s),
        ):
            with pytest.raises(ValueError, match=r"sigma has one value per text, shape \(4,\)"):
                call(wrong)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample(load("fables"), Absorbing(30), length=65), "at most 64 characters, not 65"),
        (lambda: sample(load("fables"), Absorbing(30), length=0), "length must be an integer of at least 1"),
        (lambda: sample(load("fables"), Absorbing(30), count=2.0), "count must be an integer"),
        (lambda: sample(load("fables"), Absorbing(30), steps=True), "steps must be an integer"),
        (lambda: likelihood_bound(load("fables"), Absorbing(30), torch.zeros(1, 64).long(), draws=0), "draws must be"),
        (lambda: Corpus.from_text(TEXT, 0), "length must be"),
        (lambda: Corpus.from_text(TEXT, 8, validation_share=math.nan), "validation_share must be between 0 and 1"),
        (lambda: Corpus.from_lines(["a", "b"], 0), "length must be"),
        (lambda: Absorbing(0), "num_tokens must be an integer of at least 1"),
        (lambda: Uniform(2.5), "num_tokens must be an integer"),
        (lambda: LogLinear(math.nan), "eps must be between 0 and 1"),
        (lambda: Config(layers=-1), "layers must be an integer of at least 0"),
        (lambda: FastConfig(bigrams=-1), "bigrams must be"),
        (lambda: Alphabet("".join(map(chr, range(0x4E00, 0x4E00 + 3000)))).encode("x"), r"\.\.\. \(3000 characters\)"),
        (lambda: load_corpus("a\0b"), r"'a\\x00b' is no name for a file"),
    ],
)
def test_bad_calls_of_the_library_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message) as error:
        call()
    assert len(str(error.value)) < 500


# Not-a-number is never a success.


def test_training_stops_at_the_first_loss_that_is_not_finite(folder):
    """A learning rate of 1e30 makes the weights overflow at once, so there is nothing to keep. The good model that was
    there before stays, byte for byte."""
    before = files()
    code, _, error = run(f"train --corpus words {SMALL} --steps 400 --lr 1e30 --out words.pt")
    assert code == 1 and "training diverged at step" in error and "lower learning rate" in error
    assert files() == before


def test_a_training_that_diverges_late_keeps_its_last_good_state(folder, monkeypatch):
    draws, real = iter(range(10_000)), torch.nn.utils.clip_grad_norm_

    def clip(parameters, limit):
        return real(parameters, limit) * (math.nan if next(draws) == 14 else 1)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    code, _, error = run(f"train --corpus words {SMALL} --steps 20 --out new.pt")
    assert (
        code == 1 and "diverged at step 14: the gradient is nan" in error and "--resume it with a lower --lr" in error
    )
    assert read_state("new.pt.train")["step"] == 14 and not Path("new.pt").exists()
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", real)
    assert run("train --resume new.pt.train --lr 0.001")[0] == 0
    assert notes("new.pt")["training"]["lr"] == 0.001 and notes("new.pt")["curve"][-1]["step"] == 20


def test_weights_that_are_not_numbers_are_not_saved(tmp_path):
    model = untrained()
    for bad in (math.nan, math.inf):
        with torch.no_grad():
            model.head.weight[0, 0] = bad
        with pytest.raises(ValueError, match=r"weights in head\.weight are not all finite"):
            save(model, tmp_path / "model.pt")
        assert not os.listdir(tmp_path)


def test_weights_beyond_half_precision_come_back(tmp_path):
    model = untrained()
    with torch.no_grad():
        model.head.weight[0, 0] = 1e6
    save(model, tmp_path / "model.pt")
    assert load(tmp_path / "model.pt").head.weight[0, 0] == 1e6


def test_a_bound_that_is_not_a_number_is_an_error():
    with pytest.raises(FloatingPointError, match="is not a number: the score returned"):
        likelihood_bound(lambda x, sigma: torch.full((*x.shape, 6), math.nan), PROCESS, X0)
    bound = likelihood_bound(lambda x, sigma: torch.full((*x.shape, 6), -math.inf), PROCESS, X0)
    assert bound.nats_per_char == math.inf  # a score that calls the truth impossible has an infinite bound


def test_json_is_valid_json_for_a_single_text_too(folder):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    code, out, _ = run("evaluate --checkpoint words.pt --texts 1 --samples 1 --json")
    result = json.loads(out, parse_constant=refuse)
    assert code == 0 and result["standard_error"] is None and result["gap_standard_error"] is None
    code, out, _ = run("evaluate --checkpoint words.pt --texts 1 --samples 1")
    assert code == 0 and "nan" not in out and "nats per character" in out


@pytest.mark.slow
@pytest.mark.parametrize("process", [Absorbing(26), Uniform(26)])
@pytest.mark.parametrize("free_scores", [False, True])
@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_training_stays_finite(process, free_scores, bfloat16, seed):
    """`fit` checks each loss, gradient and bound, and would raise."""
    torch.manual_seed(seed)
    model = Transformer(process, Config(1, 2, 16, free_scores=free_scores), Words().alphabet, 3)
    curve = fit(
        model, Corpus.from_world(Words(), 50), Training(steps=60, batch=8, seed=seed, bfloat16=bfloat16, validate=2),
        progress=False,
    )  # fmt: skip
    assert len(curve) == 2 and all(p.isfinite().all() for p in model.parameters())


# Damaged and hostile files


def test_a_flipped_bit_is_noticed(folder):
    """Every single bit of the stored weights counts; a bit that changes nothing that is loaded may go unnoticed."""
    content, good = Path("model.pt").read_bytes(), load("model.pt").state_dict()
    rng, noticed = torch.Generator().manual_seed(0), 0
    for place in torch.randint(8 * len(content), (300,), generator=rng).tolist():
        bad = bytearray(content)
        bad[place // 8] ^= 1 << place % 8
        Path("bad.pt").write_bytes(bad)
        try:
            loaded = load("bad.pt").state_dict()
            assert all(torch.equal(loaded[name], good[name]) for name in good)
        except ValueError:
            noticed += 1
    assert noticed > 250  # most bits are weights


@pytest.mark.parametrize("read", [load, notes, read_state])
def test_a_truncated_file_is_noticed(folder, read):
    content = Path("model.pt").read_bytes()
    for length in range(0, len(content), len(content) // 40 + 1):
        Path("bad.pt").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"bad\.pt"):
            read("bad.pt")


def changed(**parts) -> Path:
    content = torch.load("model.pt", weights_only=True) | parts
    torch.save({key: value for key, value in content.items() if value is not ...}, "bad.pt")
    return Path("bad.pt")


def test_a_checkpoint_that_declares_other_sizes_than_it_has_is_refused_before_anything_is_built(folder):
    saved = torch.load("model.pt", weights_only=True)
    config, weights = saved["config"], saved["weights"]
    few = {name: tensor for name, tensor in weights.items() if name != "place.weight"}
    huge = dict(weights, **{"place.weight": torch.zeros(1).expand(100_000, 100_000)})
    for parts in (
        {"config": config | {"width": 10_000}},
        {"config": config | {"layers": 10**9}},
        {"config": config | {"bigrams": 10**12}},
        {"length": 10**12},
        {"length": "64"},
        {"length": None},
        {"alphabet": saved["alphabet"] + "!"},
        {"alphabet": 5},
        {"process": dict(saved["process"], num_tokens=10**9)},
        {"process": 3},
        {"process": dict(saved["process"], temperature=2)},  # of a newer version
        {"config": config | {"experts": 8}},
        {"config": {name: value for name, value in config.items() if name != "width"}},
        {"config": None},
        {"model_kind": "Mamba"},
        {"model_kind": ...},
        {"config": ..., "shape": {}},
        {"weights": few},
        {"weights": huge},
        {"weights": weights | {"new.weight": torch.zeros(3)}},
        {"weights": weights | {"head.weight": 3}},
        {"weights": weights | {"head.weight": weights["head.weight"] * math.nan}},
        {"weights": []},
        {"weights": {}},
    ):
        started = time.process_time()
        with pytest.raises(ValueError, match=r"cannot load bad\.pt: |bad\.pt is not the kind"):
            load(changed(**parts))
        assert time.process_time() - started < 2  # nothing large was built
    with pytest.raises(ValueError, match=rf"\(it was written by version 99, and this is {tinysedd.__version__}\)"):
        load(changed(config=config | {"experts": 8}, version="99"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4e6  # kilobytes
    for parts in ({"notes": "a poem"}, {"notes": None}):
        with pytest.raises(ValueError, match=r"notes of .* are damaged"):
            notes(changed(**parts))


def test_notes_beside_an_older_checkpoint_may_be_anything(folder):
    changed(notes=...)
    for content in ("[1]", "not json", "", "null"):
        Path("bad.json").write_text(content)
        with pytest.raises(ValueError, match=r"notes of .* are damaged"):
            notes("bad.pt")


def test_a_compressed_file_is_refused_because_it_could_be_a_bomb(folder):
    with zipfile.ZipFile("model.pt") as source, zipfile.ZipFile("bomb.pt", "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(ValueError, match="not the kind of file"):
        load("bomb.pt")


def stopped_training(out: str = "new.pt", corpus: str = "words", more: str = "") -> dict:
    """The state of a training of 20 steps that was stopped after 10, at `out`.train."""
    model_file = Path(out)
    asked = iter(range(100))
    import tinysedd.__main__ as command_line

    before = command_line._signals

    @contextlib.contextmanager
    def stop_after_ten_steps():
        class Received(list):
            def __bool__(self):
                return next(asked) >= 10

        yield Received([signal.SIGINT])

    command_line._signals = stop_after_ten_steps
    try:
        code, out_text, err = run(f"train --corpus {corpus} {SMALL} --steps 20 --out {out} {more}")
    finally:
        command_line._signals = before
    assert code == 130 and "--resume" in out_text, err
    assert model_file.exists()
    return read_state(f"{out}.train")


def test_a_hostile_or_foreign_state_is_refused(folder):
    state = stopped_training()
    Path("bad.train").write_bytes(Path("new.pt.train").read_bytes())
    raw = torch.load("bad.train", weights_only=True)
    other_sizes = copy.deepcopy(raw["optimizers"])
    other_sizes[0]["state"][0]["exp_avg"] = torch.zeros(3, 3)
    for parts, message in (
        ({"ema": ...}, "no ema"),
        ({"training": raw["training"] | {"lr": -1.0}}, "lr must be"),
        ({"training": raw["training"] | {"new": 1}}, "unexpected keyword"),
        ({"notes": "a poem"}, "notes of bad.train are damaged"),
        ({"notes": {}}, "not by `tinysedd train`"),
        ({"notes": raw["notes"] | {"corpus": 5, "folder": None}}, "does not say its corpus, folder"),
        ({"optimizers": raw["optimizers"][:1]}, "cannot continue bad.train"),
        ({"optimizers": [{}, {}]}, "cannot continue bad.train"),
        ({"optimizers": other_sizes}, "what an optimizer remembers has other sizes"),
        ({"ema": {}}, "cannot continue bad.train"),
        ({"rng": torch.zeros(3)}, "cannot continue bad.train"),
        ({"curve": [{"nonsense": 1}]}, "cannot continue bad.train"),
        ({"step": "ten"}, "cannot continue bad.train"),
        ({"losses": None}, "cannot continue bad.train"),
        ({"model": {}}, "cannot load"),
        ({"config": raw["config"] | {"width": 10**6}}, "cannot load"),
    ):
        torch.save({key: value for key, value in (raw | parts).items() if value is not ...}, "bad.train")
        before = files()
        code, out, error = run("train --resume bad.train --out other.pt")
        assert code == 1 and message in error and out == "", error
        assert files() == before
    assert state["step"] == 10


def test_a_state_cannot_name_where_its_checkpoint_is_written(folder):
    """The checkpoint is written beside the state, whatever a stranger's state says."""
    stopped_training()
    raw = torch.load("new.pt.train", weights_only=True)
    torch.save(raw | {"notes": raw["notes"] | {"out": str(folder / "mine.txt")}}, "new.pt.train")
    assert run("train --resume new.pt.train")[0] == 0
    assert Path("mine.txt").read_text() == TEXT and "curve" in notes("new.pt")


# Stopping and going on


def test_resuming_for_longer_and_to_another_place(folder):
    stopped_training()
    code, _, error = run("train --resume new.pt.train --steps 10")
    assert code == 2 and "already had 10 steps" in error
    assert run("train --resume new.pt.train --steps 30 --out longer.pt")[0] == 0
    assert notes("longer.pt")["curve"][-1]["step"] == 30 and notes("longer.pt")["training"]["steps"] == 30
    assert Path("new.pt.train").exists()  # it was continued elsewhere, so it is still there
    assert not Path("longer.pt.train").exists()


def test_resuming_from_another_folder_and_with_a_text_that_moved(folder, monkeypatch):
    stopped_training("new.pt", "mine.txt", "--length 8")
    monkeypatch.chdir(folder / "folder")
    Path("../new.pt.train").rename("moved.pt.train")
    (folder / "mine.txt").rename(folder / "renamed.txt")
    code, _, error = run("train --resume moved.pt.train")
    assert code == 1 and "is not there any more: say where it is now with --corpus" in error
    assert run("train --resume moved.pt.train --corpus ../renamed.txt")[0] == 0
    assert notes("moved.pt")["curve"][-1]["step"] == 20 and "folder" not in notes("moved.pt")
    assert run("evaluate --checkpoint moved.pt --json")[::2] == (0, "")  # it knows the new name


def test_a_text_that_changed_is_noticed(folder):
    stopped_training("new.pt", "mine.txt", "--length 8")
    Path("mine.txt").write_text(TEXT + "0")
    before = files()
    code, _, error = run("train --resume new.pt.train")
    assert code == 1 and "mine.txt is not the text that this training began with" in error and files() == before
    assert run("train --resume new.pt.train --force")[0] == 0
    assert run("evaluate --checkpoint new.pt --json")[::2] == (0, "")
    Path("mine.txt").write_text(TEXT + "1")
    code, _, error = run("evaluate --checkpoint new.pt --json")
    assert code == 0 and "note: mine.txt has changed" in error


def test_a_state_that_is_done_becomes_its_checkpoint(folder, monkeypatch):
    """The last write failed, or the process was killed just before it."""

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tinysedd, "save", full)
        assert run(f"train --corpus words {SMALL} --steps 5 --out new.pt")[0] == 1
    assert read_state("new.pt.train")["step"] == 5 and not Path("new.pt").exists()
    code, _, error = run("train --resume new.pt.train")
    assert code == 0 and "curve" in notes("new.pt") and not Path("new.pt.train").exists(), error


def test_ctrl_c_in_the_last_validation_comes_too_late(folder, monkeypatch):
    really, calls = train.validate, []

    def validate(*args):
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return really(*args)

    monkeypatch.setattr(train, "validate", validate)
    assert run(f"train --corpus words {SMALL} --steps 5 --out new.pt")[0] == 0
    assert "curve" in notes("new.pt") and not Path("new.pt.train").exists()


def test_a_sampler_of_ones_own_may_change_texts_in_place():
    """The states that it returns are those that it copied."""

    def one_by_one(score, process, x, free, steps, generator=None, copy=False):
        states = [x.clone()]
        for i in range(x.shape[1]):
            x = x.clone() if copy else x
            p = process.denoise(score(x, torch.ones(len(x))), x, torch.ones(len(x)))
            x[:, i] = p[:, i].argmax(-1)
            states.append(x.clone())
        return Trajectory(torch.stack(states), torch.linspace(1, 0, len(states)), ~free, len(states) - 1)

    def copied(*args):
        return one_by_one(*args, copy=True)

    model = load("fables")
    first, second = (sample(model, model.process, sampler=sampler) for sampler in (one_by_one, copied))
    assert first.texts == second.texts and first.calls == second.calls == 64


def test_buffers_of_whole_numbers_and_enums_come_back(tmp_path, monkeypatch):
    class Kind(enum.IntEnum):
        SOFT = 3

    class WithTable(Transformer):
        def __init__(self, *args):
            super().__init__(*args)
            self.register_buffer("table", torch.arange(5000))

    monkeypatch.setattr(checkpoint, "_KINDS", dict(checkpoint._KINDS))
    register(WithTable)
    model = WithTable(Absorbing(5), Config(1, 2, 16), None, 6)
    save(model, tmp_path / "model.pt", kind_of_run=Kind.SOFT, counts={Kind.SOFT: 1.0})
    assert torch.equal(load(tmp_path / "model.pt").table, torch.arange(5000))
    assert notes(tmp_path / "model.pt") == {"kind_of_run": 3, "counts": {3: 1.0}}


def test_a_stopped_training_does_not_replace_a_finished_one(folder):
    assert run(f"train --corpus words {SMALL} --steps 2 --out new.pt")[0] == 0
    before = Path("new.pt").read_bytes()
    stopped_training()
    assert Path("new.pt").read_bytes() == before
    assert run("train --resume new.pt.train")[0] == 0  # but one that ends does
    assert notes("new.pt")["curve"][-1]["step"] == 20


# A program among others: signals, pipes, full disks, encodings

COMMAND = [sys.executable, "-m", "tinysedd"]
FOREVER = f"train --corpus words {SMALL} --minutes 60 --out new.pt"


def started(command: str, **options) -> subprocess.Popen:
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*COMMAND, *shlex.split(command)], env=environment, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_request_to_end_is_treated_like_ctrl_c(folder, name):
    number = getattr(signal, name)
    child = started(FOREVER)
    child.stdout.readline()  # "... parameters; ...": the next thing is the training
    time.sleep(1)
    child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 128 + number and "Continue with:  tinysedd train --resume new.pt.train" in out
    assert "Traceback" not in err and load("new.pt").length == 3 and read_state("new.pt.train")["step"] >= 0


@pytest.mark.slow
@pytest.mark.parametrize("module", ["torch", "torch.nn", "tinysedd.checkpoint", "tinysedd.show"])
def test_ctrl_c_while_importing_ends_quietly(folder, module):
    code = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tinysedd.__main__ import main\n"
        "main(['sample', '--checkpoint', 'words.pt'])\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert (child.returncode, child.stdout, child.stderr) == (130, "", "")


class KillingFile(io.FileIO):
    """A file opened for writing, in a process that kills itself at a given event of all its writes: when the file was
    opened, half written, or written. Writing all or nothing renames it, so before and after that are events too."""

    left = 0  # events until the end

    @classmethod
    def event(cls) -> None:
        cls.left -= 1
        if cls.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def write(self, content) -> int:
        half = len(content) // 2
        super().write(content[:half])
        self.event()
        super().write(content[half:])
        self.event()
        return len(content)


def killed_at(moment: int, command: str) -> bool:
    """Run a command in a process that is killed at the so many-th event; whether it lived so long."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            KillingFile.left = moment
            really_open, really_replace = Path.open, os.replace

            def open_file(path, mode="r", *args, **options):
                KillingFile.event()
                return KillingFile(path, mode) if mode == "wb" else really_open(path, mode, *args, **options)

            def replace_file(old, new):
                KillingFile.event()
                really_replace(old, new)
                KillingFile.event()

            Path.open, os.replace = open_file, replace_file
            run(command)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.slow
def test_killed_at_fifty_moments_it_leaves_only_whole_files(folder):
    """SIGKILL cannot be caught. Whatever is there afterwards is a whole checkpoint, a whole state, or the empty file
    with which a training claims the name of its state; the text is as it was; and a state can be resumed."""
    before, resumed = files(), 0
    command = f"train --corpus mine.txt --length 8 {SMALL} --steps 20 --out new.pt"
    for moment in range(1, 51):
        assert killed_at(moment, command), moment
        state = Path("new.pt.train")
        assert not Path("new.pt").exists() or load("new.pt").length == 8
        if state.exists() and state.stat().st_size:
            assert read_state(state)["step"] in range(1, 21)
            if moment % 10 == 0:
                code, _, error = run("train --resume new.pt.train --steps 21")
                resumed += 1
                assert code == 0 and load("new.pt").length == 8, error
        for name in files().keys() - before.keys():
            Path(name).unlink()
        assert files() == before
    assert resumed >= 4


def test_ctrl_c_or_a_kill_leaves_the_old_page_or_a_whole_new_one(folder, monkeypatch):
    command, path, before = "page --checkpoint words.pt --out old.html --force", Path("old.html"), files()

    def press_ctrl_c(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", press_ctrl_c)
        assert run(command)[0] == 130 and files() == before
    moment = 1
    while killed_at(moment, command):
        content = path.read_text("utf-8")
        assert content == "not ours" or content.endswith("</html>\n"), moment
        path.write_text("not ours")
        moment += 1
    assert moment > 3 and path.read_text("utf-8").endswith("</html>\n")


@pytest.mark.slow
def test_a_pipe_that_is_closed_early_ends_quietly(folder):
    """`| head -1`: the reader is gone before the texts are written."""
    reader, writer = os.pipe()
    child = started("sample --checkpoint words.pt --count 3 --plain", stdout=writer)
    os.close(writer), os.close(reader)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (141, "")


@pytest.mark.slow
def test_closed_and_full_outputs(folder):
    command = f"exec {shlex.join(COMMAND)} sample --checkpoint words.pt --seed 1 --save saved.txt --plain"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def shell(end: str) -> subprocess.CompletedProcess:
        return subprocess.run(["sh", "-c", command + end], capture_output=True, text=True, env=environment)

    child = shell(" >&-")
    assert (child.returncode, child.stderr) == (0, "") and len(Path("saved.txt").read_text()) == 4
    child = shell(" --force 2>&-")
    assert child.returncode == 0 and len(child.stdout) == 4
    child = subprocess.run(
        ["sh", "-c", f"{command} --force >/dev/full"], capture_output=True, text=True, env=environment
    )
    assert (child.returncode, child.stderr) == (1, "tinysedd: No space left on device\n")


def test_a_full_disk_costs_neither_the_old_file_nor_the_text(folder, capsys):
    """Writing fails after so many bytes, as on a full disk."""
    Path("new.pt").write_bytes(Path("words.pt").read_bytes())
    before = files()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        code, out, error = run("sample --checkpoint words.pt --seed 1 --save saved.gif --plain")
        paged, _, paged_error = run("page --checkpoint words.pt --out old.html --force")
        trained, _, trained_error = run(f"train --corpus words {SMALL} --steps 2 --out new.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert code == 1 and "cannot write saved.gif: File too large" in error and len(out) == 4
    assert paged == 1 and "cannot write old.html: File too large" in paged_error
    assert trained == 1 and "cannot write new.pt.train: File too large" in trained_error
    assert files() == before


@pytest.mark.slow
def test_an_encoding_that_lacks_a_character_costs_nothing(folder):
    Path("greek.txt").write_text("αβγδ\n" * 300, encoding="utf-8")
    assert run(f"train --corpus greek.txt --length 8 {SMALL} --steps 2 --out greek.pt")[0] == 0
    child = program("sample --checkpoint greek.pt --seed 1 --save greek.txt --force", env={"PYTHONIOENCODING": "ascii"})
    assert (
        child.returncode == 0 and child.stdout.isascii() and set(Path("greek.txt").read_text("utf-8")) <= set("αβγδ\n")
    )
    child = program("sample --checkpoint greek.pt --prompt Ω", env={"PYTHONIOENCODING": "ascii"})
    assert child.returncode == 1 and child.stderr.isascii() and b"not in the alphabet" in child.stderr


def test_escape_codes_from_a_file_never_reach_the_terminal(folder):
    """In the text, in the name of a file, in a line that is too long, in the notes and in class names."""
    evil = "\x1b]0;owned\x07\x9b31m\u202e"
    Path("evil.txt").write_text((evil + "abc ") * 200, encoding="utf-8")
    Path(f"{evil}.txt").write_text("x", encoding="utf-8")
    Path(f"{evil}.pt").write_text("x", encoding="utf-8")
    changed(model_kind=evil).rename("evil.pt")
    changed(notes={"corpus": evil})
    outputs = [
        run(f"train --corpus evil.txt --length 8 {SMALL} --steps 2 --out new.pt"),
        run("sample --checkpoint new.pt --count 20 --plain"),
        run("sample --checkpoint new.pt --prompt XXX"),
        run(f"train --corpus '{evil}.txt'"),
        run(f"train --corpus '{evil}' --lines"),
        run(f"sample --checkpoint '{evil}.pt'"),
        run("sample --checkpoint evil.pt"),
        run("evaluate --checkpoint bad.pt"),
    ]
    assert [code for code, _, _ in outputs] == [0, 0, 1, 1, 1, 1, 1, 1]
    for _, out, err in outputs:
        shown = re.sub(r"\r[^\n]*it/s[^\n]*|\r *\r|\x1b\[A", "", out + err)  # progress bars
        assert all(c.isprintable() or c in "\n\r█▏▎▍▌▋▊▉" for c in shown), shown


def test_a_bug_says_that_it_is_one(folder, monkeypatch):
    def broken(*args, **options):
        raise KeyError("a mistake of ours")

    monkeypatch.setattr(tinysedd, "sample", broken)
    code, _, error = run("sample --checkpoint words.pt")
    assert code == 1 and "Traceback" in error and "this is a bug. Please report it" in error

    def greedy(*args, **options):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(tinysedd, "sample", greedy)
    code, _, error = run("sample --checkpoint words.pt")
    assert code == 1 and "Traceback" not in error and "not enough memory" in error


def test_on_apple_hardware_it_says_why_the_cpu_is_used(folder, monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    code, _, error = run("sample --checkpoint words.pt")
    assert code == 0 and "note: this runs on the CPU. Apple's GPU" in error and "64-bit" in error


@pytest.mark.slow
def test_help_does_not_wait_for_torch():
    code = "import sys, tinysedd.__main__ as m; m.parser(); print('torch' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert child.stdout == "False\n"


# Random commands and random calls. The benchmark `tests/benchmarks/run.py fuzz` runs 10,000 of each.

WORDS = st.one_of(
    st.sampled_from(["0", "-1", "1", "2", "nan", "inf", "1e9", "3.5", "", " ", "words", "fables", "model.pt", "None",
                     "words.pt", "mine.txt", "folder", "nowhere", "-", "--", "a\0b", "🙂", "\x1b[31m", "../x",
                     "x" * 300]),
    st.text(max_size=8),
    st.integers().map(str),
    st.floats().map(str),
)  # fmt: skip
OPTIONS = {
    "sample": ["--prompt", "--count", "--steps", "--sampler", "--seed", "--save", "--device"],
    "evaluate": ["--corpus", "--lines", "--texts", "--samples", "--orders", "--seed", "--json", "--device"],
    "page": ["--corpus", "--out", "--force"],
    "train": ["--corpus", "--lines", "--process", "--minutes", "--out", "--resume", "--start", "--length", "--layers",
              "--width", "--heads", "--neighbors", "--bigrams", "--no-token-shift", "--free-scores", "--lr",
              "--embed-lr", "--noise-center", "--noise-width", "--even-from", "--reference", "--ema-decay", "--seed",
              "--device", "--force"],
}  # fmt: skip
# Small and quick unless the random options say otherwise, which come first.
BASE = {
    "sample": ["--checkpoint=words.pt", "--plain"],
    "evaluate": ["--checkpoint=words.pt", "--texts=2", "--samples=2"],
    "page": ["--checkpoint=words.pt"],
    "train": ["--steps=1", "--batch=2"],
}


@st.composite
def commands(draw):
    command = draw(st.sampled_from(sorted(OPTIONS)))
    words = [command]
    for option in draw(st.lists(st.sampled_from(OPTIONS[command]), max_size=4)):
        plain = option in ("--lines", "--json", "--no-token-shift", "--free-scores", "--force")
        words += [option] if plain else [f"{option}={draw(WORDS)}"]
    return [*words, *BASE[command]]


def large(words: list[str]) -> bool:
    """Whether a command asks for more than a test should compute."""
    numbers = [word.split("=", 1) for word in words if "=" in word]
    for option, value in numbers:
        with contextlib.suppress(ValueError):
            if option not in ("--seed", "--prompt", "--corpus", "--out", "--save") and abs(float(value)) > 64:
                return True
    return "--start=fables" in words


def check_command(words: list[str], kept: set[str]) -> int:
    """Run a random command: no traceback, a known exit code, the kept files as they were, and no leftovers."""
    before = files()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main(words)
            code = 0
        except SystemExit as ended:
            code = ended.code
    assert code in (0, 1, 2), (words, code)
    assert "Traceback" not in err.getvalue(), (words, err.getvalue())
    after = files()
    assert all(after.get(name) == before[name] for name in kept), words
    assert not [name for name in after if name.endswith((".partial", ".train"))], words
    for name in after.keys() - before.keys():
        Path(name).unlink()
    return code


@pytest.mark.slow
def test_random_commands_end_well(folder):
    kept = set(files())

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(commands().filter(lambda words: not large(words)))
    def check(words):
        check_command(words, kept - ({"model.pt", "words.pt"} if "--force" not in words else kept))

    check()


TENSORS = st.builds(
    lambda shape, dtype, value: torch.full(shape, value).to(dtype),
    st.lists(st.integers(0, 4), max_size=3).map(tuple),
    st.sampled_from([torch.int64, torch.float32, torch.float64, torch.bool, torch.int32]),
    st.sampled_from([0.0, 1.0, -1.0, 4.0, 5.0, 6.0, math.nan, math.inf, 1e30]),
)
THINGS = st.one_of(TENSORS, st.none(), st.integers(-2, 9), st.floats(), st.text(max_size=3), st.just(Absorbing(5)))
CALLS = {
    "likelihood_bound": lambda a, b: likelihood_bound(score_of_shape("B", "L", 6), PROCESS, a, draws=b),
    "score_entropy_loss": lambda a, b: score_entropy_loss(score_of_shape("B", "L", 6), PROCESS, a, weight=b),
    "sample": lambda a, b: sample(score_of_shape("B", "L", 6), PROCESS, length=a, count=b, steps=2),
    "from_lines": lambda a, b: Corpus.from_lines(["ab", "cd", "e"], a),
    "from_text": lambda a, b: Corpus.from_text(TEXT, a, validation_share=b),
    "Config": lambda a, b: Config(a, 2, b),
    "Training": lambda a, b: Training(steps=a, lr=b),
    "LogLinear": lambda a, b: LogLinear(a),
    "Absorbing": lambda a, b: Absorbing(a),
}


def check_call(name: str, a, b) -> None:
    """Call a function with random things: it returns, or raises a ValueError or a TypeError."""
    with contextlib.suppress(ValueError, TypeError):
        CALLS[name](a, b)


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(st.sampled_from(sorted(CALLS)), THINGS, THINGS)
def test_random_calls_end_well(name, a, b):
    check_call(name, a, b)


# The mathematics, for any numbers: properties that hold exactly

PROBABILITIES = st.lists(st.floats(0.01, 1), min_size=2, max_size=5)
SIGMAS = st.floats(1e-3, 12)
examples = settings(max_examples=60, deadline=None, database=None, derandomize=True)


def posterior_of(weights: list[float]) -> torch.Tensor:
    p = torch.tensor(weights, dtype=torch.float64)
    return (p / p.sum()).log()


@examples
@given(PROBABILITIES, SIGMAS, st.floats(-2, 2), st.integers(0, 10**6), st.sampled_from([Absorbing, Uniform]))
def test_score_entropy_is_zero_at_the_true_ratios_and_positive_elsewhere(weights, sigma, off, seed, kind):
    """The true ratios for a known x0 are those of a posterior that is certain of it."""
    N, rng = len(weights), torch.Generator().manual_seed(seed)
    process, s = kind(N), torch.tensor([sigma], dtype=torch.float64)
    x0 = torch.randint(N, (1, 1), generator=rng)
    x = process.perturb(x0, s, rng)
    certain = torch.full((1, 1, N), -1e4, dtype=torch.float64).scatter(-1, x0[..., None], 0.0)
    truth = process.log_score(certain, x, s)
    at_truth = float(process.score_entropy(truth.clamp(min=-700), x, x0, s))
    scale = float(truth.exp().sum())
    assert abs(at_truth) <= 1e-12 * (1 + scale) * (1 + sigma)
    moved = torch.where(truth > -700, truth + off, truth)
    elsewhere = float(process.score_entropy(moved.clamp(min=-700), x, x0, s))
    assert elsewhere >= -1e-12 * (1 + scale) * (1 + sigma)
    counts = process.mask is None or bool(x == process.mask)  # a visible character adds nothing under Absorbing
    assert not counts or abs(off) < 1e-3 or elsewhere > at_truth


@examples
@given(PROBABILITIES, SIGMAS, st.integers(0, 10**6), st.sampled_from([Absorbing, Uniform]))
def test_posterior_to_score_and_back(weights, sigma, seed, kind):
    """The last step of sampling, from the score of a posterior, gives that posterior back."""
    N, rng = len(weights), torch.Generator().manual_seed(seed)
    process, s = kind(N), torch.tensor([sigma], dtype=torch.float64)
    x = process.perturb(torch.randint(N, (1, 1), generator=rng), s, rng)
    prior = posterior_of(weights)  # of x0; given x, weighted by the likelihood
    posterior = (prior + process.log_likelihood(x, s)).log_softmax(-1)
    p = process.denoise(process.log_score(posterior, x, s), x, s)[..., :N]
    # Under heavy noise the scores of Uniform differ from 1 by e^-sigma, and the difference loses that many digits.
    assert torch.allclose(p, posterior.exp(), rtol=0, atol=1e-14 * math.exp(sigma) + 1e-12)


@examples
@given(PROBABILITIES, SIGMAS, st.integers(0, 10**6), st.sampled_from([Absorbing, Uniform]))
def test_permuting_the_alphabet_permutes_the_scores(weights, sigma, seed, kind):
    N, rng = len(weights), torch.Generator().manual_seed(seed)
    process, s = kind(N), torch.tensor([sigma], dtype=torch.float64)
    x = process.perturb(torch.randint(N, (1, 1), generator=rng), s, rng)
    order = torch.randperm(N, generator=rng)
    states = torch.cat([order, torch.arange(N, process.num_states)])  # the mask stays
    log_p = posterior_of(weights).expand(1, 1, N)
    scores = process.log_score(log_p, x, s)
    permuted = process.log_score(log_p[..., order], states.argsort()[x], s)
    assert torch.allclose(permuted, scores[..., states], rtol=1e-12, atol=1e-12)


@examples
@given(st.integers(1, 6), SIGMAS, SIGMAS, st.sampled_from([Absorbing, Uniform]))
def test_noise_in_two_steps_is_noise_in_one(N, first, second, kind):
    process = kind(N)
    twice = process.transition(first) @ process.transition(second)
    assert torch.allclose(twice, process.transition(first + second), rtol=0, atol=1e-12)


@examples
@given(PROBABILITIES, SIGMAS, st.floats(0.01, 1), st.integers(0, 10**6), st.sampled_from([Absorbing, Uniform]))
def test_reverse_probabilities_sum_to_one(weights, sigma, share, seed, kind):
    N, rng = len(weights), torch.Generator().manual_seed(seed)
    process, s = kind(N), torch.tensor([sigma], dtype=torch.float64)
    x = process.perturb(torch.randint(N, (1, 1), generator=rng), s, rng)
    score = process.log_score((posterior_of(weights) + process.log_likelihood(x, s)).log_softmax(-1), x, s)
    for p in (process.euler(score, x, share * s), process.tweedie(score, x, share * s), process.denoise(score, x, s)):
        assert (p >= 0).all() and abs(float(p.sum()) - 1) <= 1e-12


def test_the_plain_samplers_end_in_clean_text_for_any_score():
    """Also for scores that are far off: no mask is left, and the prompt stays."""
    generator = torch.Generator().manual_seed(0)
    for scale in (0.0, 1.0, 20.0):  # e^(20 * 4) is near the largest number of single precision

        def score(x, sigma, scale=scale):
            return (scale * torch.randn(*x.shape, 6, generator=generator)).scatter(-1, x[..., None], 0.0)

        for sampler in (euler, tweedie, "first_hitting", "spread", "corrected", "entropy_bounded"):
            final = sample(score, PROCESS, length=6, count=3, steps=5, sampler=sampler, generator=generator).states[-1]
            assert ((final >= 0) & (final < 5)).all()
