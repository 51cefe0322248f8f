"""The commands: what they print, what they write, and that bad input ends in one sentence and no traceback."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tinysedd import Absorbing, Alphabet, Fables, Config, Transformer, load, save
from tinysedd.__main__ import main

TRAIN = ["train", "--corpus", "words", "--layers", "1", "--heads", "2", "--width", "16", "--batch", "8"]


@pytest.fixture
def checkpoint(tmp_path):
    """An untrained model of fables, which knows what it should have learned."""
    alphabet = Fables().alphabet
    model = Transformer(Absorbing(len(alphabet)), Config(1, 2, 16), alphabet, 64)
    save(model, tmp_path / "model.pt", corpus="fables")
    return str(tmp_path / "model.pt")


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
    main(["sample", "--checkpoint", checkpoint, "--steps", "8", "--seed", "1", "--save", str(path)])
    assert path.stat().st_size > 0
    if ending == "txt":
        assert path.read_text() == capsys.readouterr().out


def test_evaluate_prints_the_same_as_text_and_as_json(checkpoint, capsys):
    command = ["evaluate", "--checkpoint", checkpoint, "--texts", "16", "--samples", "4"]
    main([*command, "--json"])
    result = json.loads(capsys.readouterr().out)
    main(command)
    printed = capsys.readouterr().out
    # An untrained model's posterior is even, so that its bound is log 30 for every text.
    assert result["nats_per_char"] == pytest.approx(torch.tensor(30.0).log().item(), abs=5 * result["standard_error"])
    assert result["gap"] == pytest.approx(result["nats_per_char"] / result["entropy_per_char"] - 1, abs=0.5)
    assert set(result["share_of_texts_in_the_world"]) == {"8", "16", "32", "64"}
    assert f"{result['nats_per_char']:.4f}" in printed and f"{result['gap']:.2%}" in printed


def test_evaluate_takes_a_text_file(checkpoint, capsys, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("the vain wolf left. " * 100)
    main(["evaluate", "--checkpoint", checkpoint, "--corpus", str(path), "--json"])
    result = json.loads(capsys.readouterr().out)
    assert result["texts"] == 3 and "gap" not in result


def complaints(checkpoint, folder):
    (folder / "digits.txt").write_text("0123456789" * 200)
    return [
        (["sample", "--checkpoint", "nowhere.pt"], "nowhere.pt"),
        (["sample", "--checkpoint", checkpoint, "--prompt", "the wölf"], "'ö' at position 5"),
        (["sample", "--checkpoint", checkpoint, "--prompt", "a" * 65], "65 characters; there is room for 64"),
        (["sample", "--checkpoint", checkpoint, "--steps", "-1"], "at least 1"),
        (["sample", "--checkpoint", checkpoint, "--save", "text.doc"], ".gif, .png, .html, .txt"),
        (["sample", "--checkpoint", checkpoint, "--save", "nowhere/x.gif"], "no folder"),
        (["evaluate", "--checkpoint", checkpoint, "--corpus", "words"], "another alphabet"),
        (["evaluate", "--checkpoint", checkpoint, "--corpus", str(folder / "digits.txt")], "'0' at position 0"),
        (["train", "--corpus", "nowhere.txt"], "cannot read nowhere.txt"),
        (["train", "--steps", "5", "--minutes", "1"], "not both"),
        (["train", "--steps", "0"], "above 0"),
        (["train", "--heads", "5"], "multiple"),
        (["train", "--corpus", "words", "--length", "9"], "leave the length out"),
        (["train", "--corpus", "words", "--out", "nowhere/x.pt"], "no folder"),
        (["train", "--resume", checkpoint], ".train.pt"),
        (["train", "--corpus", "words", "--start", checkpoint], "another alphabet"),
    ]


@pytest.mark.parametrize("number", range(16))
def test_bad_input_ends_in_one_sentence(checkpoint, tmp_path, monkeypatch, number):
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    command, message = complaints(checkpoint, tmp_path)[number]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert str(ended.value).startswith("tinysedd: ") and message in str(ended.value)
    assert "\n" not in str(ended.value)
    assert set(os.listdir(tmp_path)) - set(before) <= {"digits.txt"}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said_so(checkpoint):
    with pytest.raises(SystemExit, match="no GPU"):
        main(["sample", "--checkpoint", checkpoint, "--device", "cuda"])


def test_training_stopped_by_ctrl_c_and_resumed_ends_as_if_uninterrupted(tmp_path):
    main([*TRAIN, "--steps", "200", "--out", str(tmp_path / "whole.pt")])

    arguments = [*TRAIN, "--steps", "200", "--out", str(tmp_path / "model.pt")]
    process = subprocess.Popen([sys.executable, "-m", "tinysedd", *arguments], stderr=subprocess.DEVNULL)
    state = tmp_path / "model.train.pt"
    while not state.exists() and process.poll() is None:  # it is there from the first validation, at step 10
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert load(tmp_path / "model.pt").length == 3  # the weights so far

    main(["train", "--resume", str(state)])
    assert (tmp_path / "whole.pt").read_bytes() == (tmp_path / "model.pt").read_bytes()
    assert not state.exists()
    whole, resumed = (json.loads((tmp_path / name).read_text()) for name in ("whole.json", "model.json"))
    assert [(p["step"], p["bound"]) for p in whole["curve"]] == [(p["step"], p["bound"]) for p in resumed["curve"]]
    assert resumed["command"].endswith("model.pt")


def test_training_can_start_from_a_checkpoint(checkpoint, tmp_path):
    out = str(tmp_path / "further.pt")
    options = "--steps 2 --batch 4 --late 2 --reference 9".split()
    main(["train", "--start", checkpoint, *options, "--out", out])
    story = json.loads((tmp_path / "further.json").read_text())
    assert story["start"] == {"corpus": "fables"}
    assert story["training"]["late"] == 2 and story["training"]["reference"] == 9
    assert load(out).shape == load(checkpoint).shape
    with pytest.raises(SystemExit, match="another alphabet|not in the alphabet"):
        (tmp_path / "digits.txt").write_text("0123456789" * 200)
        main(["train", "--corpus", str(tmp_path / "digits.txt"), "--start", checkpoint, "--steps", "2"])


def test_a_readers_own_text(tmp_path, capsys):
    path = tmp_path / "poem.txt"
    path.write_text("Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.\n" * 60, encoding="utf-8")
    options = ["--layers", "1", "--heads", "2", "--width", "16", "--length", "32", "--steps", "20"]
    main(["train", "--corpus", str(path), *options, "--out", str(tmp_path / "poem.pt")])
    assert f"sample --checkpoint {tmp_path / 'poem.pt'}" in capsys.readouterr().out
    main(["sample", "--checkpoint", str(tmp_path / "poem.pt"), "--prompt", "Zwölf", "--plain"])
    assert capsys.readouterr().out.startswith("Zwölf")
    assert load(tmp_path / "poem.pt").alphabet == Alphabet.of(path.read_text(encoding="utf-8"))
