"""The commands: what they print, what they write, and that bad input ends in one sentence and no traceback."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import tinysedd
from tinysedd import Absorbing, Alphabet, Fables, Words, load, save
from tinysedd.__main__ import main
from tinysedd.checkpoint import notes, read_state
from tinysedd.fast.model import FastConfig, FastTransformer

SMALL = ["--layers", "1", "--heads", "2", "--width", "16"]
TRAIN = ["train", "--corpus", "words", *SMALL, "--batch", "8"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained model of fables whose notes say what it should have learned."""
    alphabet, path = Fables().alphabet, tmp_path_factory.mktemp("untrained") / "model.pt"
    model = FastTransformer(Absorbing(len(alphabet)), FastConfig(1, 2, 16), alphabet, 64)
    save(model, path, corpus="fables")
    return str(path)


def error_of(*command: str, code: int = 1) -> str:
    """The one sentence on stderr with which a command ends in this exit code."""
    with pytest.raises(SystemExit) as ended, contextlib.redirect_stderr(io.StringIO()) as stderr:
        main(list(command))
    error = stderr.getvalue()
    assert ended.value.code == code, error
    if "usage: " in error:  # by argparse
        error = error[error.index("error: ") :]
    assert error.count("\n") == 1 and "Traceback" not in error
    return error


# The program


def test_version_is_that_of_the_package(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"tinysedd {tinysedd.__version__}\n"


def test_help_tells_all_defaults(capsys):
    for command in ("train", "sample", "evaluate", "page", "race"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        text = capsys.readouterr().out.replace("steps=None", "")  # in the recipe of race
        assert "None" not in text and text.count("default: ") >= {"evaluate": 4, "page": 3}.get(command, 6)


def test_an_unknown_option_ends_in_exit_code_2(capsys):
    with pytest.raises(SystemExit) as ended:
        main([*TRAIN, "--rate", "0.1"])
    assert ended.value.code == 2 and "--rate" in capsys.readouterr().err


@pytest.mark.slow
def test_it_runs_as_a_module(checkpoint):
    command = [sys.executable, "-m", "tinysedd", "sample", "--checkpoint", checkpoint, "--prompt", "x" * 65]
    child = subprocess.run(command, capture_output=True, text=True, cwd=Path(tinysedd.__file__).parents[1])
    assert (child.returncode, child.stdout) == (1, "") and child.stderr.startswith("tinysedd: ")


# tinysedd sample


def test_sample_keeps_the_prompt_and_repeats_with_the_seed(checkpoint, capsys):
    texts = []
    for seed in ("1", "1", "2"):
        main(["sample", "--checkpoint", checkpoint, "--prompt", "the ____ wolf", "--count", "3", "--seed", seed])
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] != texts[2]
    lines = texts[0].splitlines()
    assert len(lines) == 3 and all(line.startswith("the ") and line[8:13] == " wolf" for line in lines)


@pytest.mark.parametrize("ending", ["gif", "png", "html", "txt"])
def test_sample_saves_what_it_shows(checkpoint, capsys, tmp_path, ending):
    path = tmp_path / f"texts.{ending}"
    main(["sample", "--checkpoint", checkpoint, "--steps", "2", "--seed", "1", "--save", str(path)])
    assert path.stat().st_size > 0
    if ending == "txt":
        assert path.read_text() == capsys.readouterr().out


# tinysedd evaluate


def test_evaluate_prints_the_same_as_text_and_as_json(checkpoint, capsys):
    command = ["evaluate", "--checkpoint", checkpoint, "--texts", "8", "--samples", "1"]
    main([*command, "--json"])
    result = json.loads(capsys.readouterr().out)
    main(command)
    printed = capsys.readouterr().out
    # The posterior of an untrained model is uniform, so its bound is log 30 for every text, up to noise.
    log_30 = torch.tensor(30.0).log().item()
    assert result["nats_per_char"] == pytest.approx(log_30, abs=5 * result["standard_error"])
    gap = log_30 / result["entropy_per_char"] - 1
    assert result["gap"] == pytest.approx(gap, abs=5 * result["gap_standard_error"])
    assert set(result["share_of_valid_texts"]) == {"8", "16", "32", "64"} and result["sampler"] == "corrected"
    assert f"{result['nats_per_char']:.4f}" in printed and f"{result['gap']:.2%}" in printed
    assert list(result["orders"]) == [
        "left to right",
        "right to left",
        "random",
        "easiest first",
        "easiest in blocks",
        "truth",
    ]
    for order, cost in result["orders"].items():
        if order != "truth":  # one character at a time a uniform posterior costs log 30, whatever the order
            assert cost["nats_per_char"] == pytest.approx(log_30, abs=1e-5)
        assert f"{order:17} {cost['nats_per_char']:.4f}" in printed
    assert result["texts_for_orders"] == 8 and "uniform" not in printed


def test_evaluate_takes_as_many_texts_for_the_orders_as_asked(checkpoint, capsys):
    main(["evaluate", "--checkpoint", checkpoint, "--texts", "4", "--samples", "1", "--orders", "1", "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["texts_for_orders"] == 1 and result["orders"]["random"]["standard_error"] is None


def test_evaluate_takes_a_text_file(checkpoint, capsys, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the vain wolf left. " * 100)
    main(["evaluate", "--checkpoint", checkpoint, "--corpus", str(path), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["texts"] == 3 and "gap" not in result  # blocks of 64 in the last tenth of 2,000 characters


# tinysedd page


def test_a_page_knows_the_truth_of_fables_and_no_other_without_being_told(checkpoint, tmp_path, capsys):
    out = tmp_path / "page.html"
    main(["page", "--checkpoint", checkpoint, "--out", str(out)])
    told = capsys.readouterr().out
    assert str(out) in told and "MB" in told
    assert '"templates":' in out.read_text("utf-8")
    save(load(checkpoint), tmp_path / "other.pt", corpus="shakespeare")
    main(["page", "--checkpoint", str(tmp_path / "other.pt"), "--out", str(out), "--force"])
    assert '"templates":' not in out.read_text("utf-8")
    main(["page", "--checkpoint", str(tmp_path / "other.pt"), "--corpus", "fables", "--out", str(out), "--force"])
    assert '"templates":' in out.read_text("utf-8")


# A world of the user's own

ANIMALS = """
from pathlib import Path
from tinysedd import Fables
Path("ran").touch()
world = Fables(["a {:animal}", "the {:animal}"], {"animal": "cat dog"}, 8)
"""


@pytest.fixture
def animals(tmp_path, monkeypatch):
    """The current folder has a world animals:world, which leaves a file when its code runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.delitem(sys.modules, "animals", raising=False)
    Path("animals.py").write_text(ANIMALS)
    yield "animals:world"
    sys.modules.pop("animals", None)


def forget(module="animals"):
    """As in a new process, in which the module has not been imported."""
    sys.modules.pop(module, None)
    Path("ran").unlink(missing_ok=True)


def test_a_world_is_trained_on_and_measured_by_its_name_and_a_checkpoint_alone_runs_no_code(animals, capsys):
    main(["train", "--corpus", animals, *SMALL, "--batch", "8", "--steps", "2"])
    assert notes("model.pt")["corpus"] == animals and Path("ran").exists()
    forget()
    main(["sample", "--checkpoint", "model.pt", "--plain"])
    assert "--corpus animals:world" in error_of("evaluate", "--checkpoint", "model.pt")
    assert not Path("ran").exists()
    capsys.readouterr()
    few = ["--texts", "8", "--samples", "2", "--json"]
    main(["evaluate", "--checkpoint", "model.pt", "--corpus", animals, *few])
    result = json.loads(capsys.readouterr().out)
    entropy = torch.tensor(4.0).log().item() / 8  # four texts, equally likely
    assert result["entropy_per_char"] == pytest.approx(entropy) and result["gap"] > 0
    error = error_of("evaluate", "--checkpoint", "fables", "--corpus", animals)
    assert "animals:world writes 8 characters" in error and "the model 64" in error


def test_a_page_of_a_world_of_ones_own_has_its_truth_only_when_the_world_is_named(animals, capsys):
    main(["train", "--corpus", animals, *SMALL, "--batch", "8", "--steps", "2"])
    forget()
    capsys.readouterr()
    main(["page", "--checkpoint", "model.pt"])
    assert "with --corpus animals:world" in capsys.readouterr().err and not Path("ran").exists()
    assert '"templates":' not in Path("page.html").read_text("utf-8")
    main(["page", "--checkpoint", "model.pt", "--corpus", animals, "--force"])
    assert capsys.readouterr().err == "" and '"lists":{"animal":["cat","dog"]}' in Path("page.html").read_text("utf-8")


def test_a_stopped_training_on_a_world_goes_on_only_when_the_world_is_named(animals, monkeypatch, capsys):
    options = ["--corpus", animals, *SMALL, "--batch", "8", "--steps", "6"]
    main(["train", *options, "--out", "whole.pt"])
    draw = Fables.sample
    press_ctrl_c_in_draw(monkeypatch, 6, world=Fables)
    with pytest.raises(SystemExit):
        main(["train", *options])
    monkeypatch.setattr(Fables, "sample", draw)
    assert "--resume model.pt.train --corpus animals:world" in capsys.readouterr().out
    forget()
    assert "name it, if you trust it" in error_of("train", "--resume", "model.pt.train")
    assert not Path("ran").exists()
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # or Python may not see that a file has changed at once
    Path("animals.py").write_text(ANIMALS.replace("cat dog", "cat dog dog"))
    assert "not the text that this training began with" in error_of(
        "train", "--resume", "model.pt.train", "--corpus", animals
    )
    forget()
    Path("animals.py").write_text(ANIMALS)
    main(["train", "--resume", "model.pt.train", "--corpus", animals])
    for a, b in zip(load("model.pt").parameters(), load("whole.pt").parameters()):
        assert (a == b).all()


# tinysedd train


def test_training_stopped_by_ctrl_c_and_resumed_ends_as_if_uninterrupted(tmp_path, monkeypatch, capsys):
    options = [*TRAIN, "--steps", "20", "--reference", "4"]
    main([*options, "--out", str(tmp_path / "whole.pt")])

    press_ctrl_c_in_draw(monkeypatch, 19)  # a step draws twice, so this is in the tenth step
    with pytest.raises(SystemExit) as ended:
        main([*options, "--out", str(tmp_path / "model.pt")])
    state = tmp_path / "model.pt.train"
    assert ended.value.code == 130 and f"tinysedd train --resume {state}" in capsys.readouterr().out
    assert read_state(state)["step"] == 10  # the step was finished
    assert load(tmp_path / "model.pt").length == 3  # the weights so far
    assert "curve" not in notes(tmp_path / "model.pt")

    main(["train", "--resume", str(state)])
    assert not state.exists()
    whole, resumed = (load(tmp_path / name).state_dict() for name in ("whole.pt", "model.pt"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    whole, resumed = (notes(tmp_path / name) for name in ("whole.pt", "model.pt"))
    assert [(p["step"], p["bound"]) for p in whole["curve"]] == [(p["step"], p["bound"]) for p in resumed["curve"]]
    assert resumed["command"].endswith("model.pt") and resumed["training"] == whole["training"]


@pytest.fixture(autouse=True)
def ctrl_c_raises():
    """Python's usual handler: a shell that starts a job in the background makes the job ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press_ctrl_c_in_draw(monkeypatch, number: int, presses: int = 1, world: type = Words) -> None:
    """Send the signal of Ctrl-C to this process while a world draws for the so many-th time. Words draws once before
    the training, for the validation texts."""
    sample, draws = world.sample, iter(range(10_000))

    def interrupted(self, n, generator=None):
        if next(draws) == number:
            for _ in range(presses):
                os.kill(os.getpid(), signal.SIGINT)
        return sample(self, n, generator)

    monkeypatch.setattr(world, "sample", interrupted)


@pytest.mark.parametrize("step", [1, 15])
def test_a_second_ctrl_c_interrupts_at_once_and_still_saves_the_weights(tmp_path, monkeypatch, capsys, step):
    """In the first step, when there is no state yet to continue from, or later."""
    press_ctrl_c_in_draw(monkeypatch, step, presses=2)
    with pytest.raises(SystemExit) as ended:
        main([*TRAIN, "--steps", "200", "--out", str(tmp_path / "model.pt")])
    assert ended.value.code == 130 and load(tmp_path / "model.pt").length == 3
    assert ("--resume" in capsys.readouterr().out) == (tmp_path / "model.pt.train").exists() == (step > 10)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_training_can_start_from_a_checkpoint(checkpoint, tmp_path):
    out = str(tmp_path / "further.pt")
    options = ["--steps", "2", "--batch", "4", "--noise-center", ".9", "--reference", "9", "--lr", ".001"]
    main(["train", "--start", checkpoint, *options, "--ema-decay", ".9", "--out", out])
    story = notes(out)
    assert story["start"] == {"corpus": "fables"} and story["noise_center"] == 0.9 and story["reference"] == 9
    assert story["training"]["lr"] == 0.001 and story["training"]["ema_decay"] == 0.9
    assert load(out).config == load(checkpoint).config
    (tmp_path / "digits.txt").write_text("0123456789" * 200)
    error = error_of("train", "--corpus", str(tmp_path / "digits.txt"), "--start", checkpoint, "--steps", "2")
    assert "not in the alphabet" in error


def test_options_of_the_network_arrive(tmp_path):
    options = ["--process", "uniform", "--neighbors", "1", "--bigrams", "7", "--no-token-shift", "--free-scores"]
    main([*TRAIN, *options, "--steps", "1", "--out", str(tmp_path / "model.pt")])
    config = FastConfig(1, 2, 16, free_scores=True, neighbors=1, bigrams=7, token_shift=False)
    model = load(tmp_path / "model.pt")
    assert model.config == config and model.process == tinysedd.Uniform(26)


def test_a_text_of_ones_own(tmp_path, capsys):
    path = tmp_path / "poem.txt"
    path.write_text("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.\n" * 60, encoding="utf-8")
    main(["train", "--corpus", str(path), *SMALL, "--length", "32", "--steps", "5", "--out", str(tmp_path / "poem.pt")])
    assert f"sample --checkpoint {tmp_path / 'poem.pt'}" in capsys.readouterr().out
    main(["sample", "--checkpoint", str(tmp_path / "poem.pt"), "--prompt", "Zwölf", "--plain"])
    assert capsys.readouterr().out.startswith("Zwölf")
    assert load(tmp_path / "poem.pt").alphabet == Alphabet.of(path.read_text(encoding="utf-8"))


def test_a_list_of_names(tmp_path, capsys):
    """Trained with --lines; `evaluate` knows from the notes that the file has one text per line."""
    path, out = tmp_path / "names.txt", str(tmp_path / "names.pt")
    names = [f"{a}{b}{c}" for a in ("an", "be", "cor") for b in ("n", "l", "r", "d") for c in ("a", "ie", "o", "y")]
    path.write_text("\n".join(names) + "\n\n")
    main(["train", "--corpus", str(path), "--lines", *SMALL, "--steps", "3", "--out", out])
    assert "texts of 6 characters, 12 different ones" in capsys.readouterr().out
    main(["sample", "--checkpoint", out, "--count", "2", "--prompt", "be", "--plain"])
    assert [line[:2] for line in capsys.readouterr().out.splitlines()] == ["be", "be"]
    assert notes(out)["lines"] is True
    main(["evaluate", "--checkpoint", out, "--json"])
    assert json.loads(capsys.readouterr().out)["texts"] == 4  # a tenth of 48 lines
    main(["evaluate", "--checkpoint", out, "--corpus", str(path), "--lines", "--texts", "2", "--json"])
    assert json.loads(capsys.readouterr().out)["texts"] == 2


# Bad input: see test_robustness.py


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_missing_gpu_is_reported(checkpoint):
    assert "no GPU" in error_of("sample", "--checkpoint", checkpoint, "--device", "cuda", code=2)
