"""Training learns, stops and goes on bit for bit, and its files are whole, small and safe to open."""

import json
import math
import os
import signal

import pytest
import torch

from tinysedd import Absorbing, Alphabet, Corpus, Fables, Config, Training, Transformer, Uniform, Words, fit, load, save
from tinysedd.train import SHIPPED, load_corpus, notes, read_state

SMALL = Config(layers=1, heads=2, width=16)


def words_and_model(process=Absorbing, shape=SMALL):
    torch.manual_seed(0)
    corpus = Corpus.from_world(Words())
    return corpus, Transformer(process(26), shape, corpus.alphabet, corpus.length)


def four_lines(process, **shape):
    """The end of a short training on a world of four lines, abab, baba, cdcd, dcdc: the truth is log(4) / 4."""
    world = Fables(["{A:pair}{A}"], {"pair": "ab ba cd dc"}, length=4)
    assert math.isclose(world.entropy() / 4, math.log(4) / 4)
    corpus = Corpus.from_world(world)
    torch.manual_seed(0)
    model = Transformer(process(5), Config(1, 2, 32, **shape), corpus.alphabet, corpus.length)
    training = Training(steps=180, batch=64, rate=1e-2, validate=3, warmup=10, average=0.95)
    curve = fit(model, corpus, training, progress=False)
    assert [point.step for point in curve] == [60, 120, 180]
    return curve[-1]


@pytest.mark.parametrize("process", [Absorbing, Uniform])
@pytest.mark.parametrize("free_scores", [False, True])
def test_training_comes_near_the_exact_entropy(process, free_scores):
    """More than half of the way from an even guess, and not below the truth by more than noise (5 standard errors)."""
    end = four_lines(process, free_scores=free_scores)
    truth, even = math.log(4) / 4, math.log(5)
    assert truth - 5 * end.standard_error < end.bound < (truth + even) / 2


def test_a_causal_model_learns_the_same_corpus():
    assert math.log(4) / 4 - 0.05 < four_lines(Absorbing, causal=True).bound < 0.4


def test_a_reference_teaches_more_in_as_many_steps():
    """What may stand under masks alone: its divergence from the truth. 0.22 to 0.28 times as large, in four seeds."""
    words, process, divergence = Words(), Absorbing(26), {}
    x, sigma = process.prior((1, 3)), torch.tensor([1.0])
    truth = words.score(process).log_posterior(x, sigma)
    for reference in (0, 512):
        corpus, model = words_and_model()
        fit(model, corpus, Training(steps=150, batch=8, validate=1, reference=reference), progress=False)
        learned = model.log_posterior(x, sigma).detach().double()
        divergence[reference] = (truth.exp() * (truth - learned).nan_to_num()).sum()
    assert divergence[512] < divergence[0] / 2


@pytest.mark.parametrize("muon", [False, True])
def test_a_stopped_training_goes_on_bit_for_bit(tmp_path, muon):
    training = Training(steps=12, batch=8, validate=3, warmup=5, muon=muon, reference=4 * muon)
    corpus, whole = words_and_model()
    curve = fit(whole, corpus, training, progress=False)

    corpus, stopped = words_and_model()
    state = tmp_path / "words.train.pt"
    press = {"left": 6 * (1 + muon)}  # a step draws twice where it has a reference

    def draw(count, generator):  # a learner who presses Ctrl-C in the middle of the seventh step
        if press["left"] == 0:
            os.kill(os.getpid(), signal.SIGINT)
        press["left"] -= 1
        return Words().sample(count, generator)

    with pytest.raises(KeyboardInterrupt):
        fit(stopped, Corpus(corpus.alphabet, draw, corpus.validation), training, state=state, progress=False)
    saved = read_state(state)
    assert saved["step"] == 7  # the step was finished

    _, resumed = words_and_model()
    rest = fit(resumed, corpus, training, resume=saved, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values()))
    assert [(p.step, p.loss, p.bound) for p in rest] == [(p.step, p.loss, p.bound) for p in curve]


def test_minutes_count_validations_and_seconds_of_training_do_not(monkeypatch):
    """On a clock that moves on by one second at each look, half a minute is 30 steps and validations."""
    seconds = iter(range(1000))
    monkeypatch.setattr("tinysedd.train.time.perf_counter", lambda: next(seconds))
    corpus, model = words_and_model()
    curve = fit(model, corpus, Training(steps=None, minutes=0.5, batch=2, validate=10), progress=False)
    assert curve[-1].step + len(curve[:-1]) == 30  # the last validation comes when the time is up
    assert [point.seconds for point in curve] == [point.step for point in curve]


def test_the_average_is_what_is_kept():
    """With decay 0 the average is the last weights; the default's differs."""
    results = []
    for decay in (0.0, 0.999):
        corpus, model = words_and_model()
        seen = []
        training = Training(steps=20, batch=8, validate=1, average=decay)
        fit(model, corpus, training, progress=False, watch=lambda m, p, seen=seen: seen.append(m.head.weight.clone()))
        assert torch.equal(seen[-1], model.head.weight)
        results.append(model.head.weight)
    assert not torch.equal(*results)


@pytest.mark.parametrize("process", [Absorbing, Uniform])
def test_a_checkpoint_gives_back_the_score_function(tmp_path, process):
    _, model = words_and_model(process)
    torch.nn.init.normal_(model.head.weight)
    save(model, tmp_path / "words.pt", command="by hand")
    again = load(tmp_path / "words.pt")
    x, sigma = process(26).perturb(Words().ids[:8], torch.ones(8)), torch.ones(8)
    torch.testing.assert_close(again(x, sigma), model.half().float()(x, sigma))  # half precision is what was kept
    assert (again.process, again.alphabet, again.length) == (model.process, model.alphabet, 3)
    assert notes(tmp_path / "words.pt") == {"command": "by hand"}


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    _, model = words_and_model()
    save(model, tmp_path / "words.pt")
    before = (tmp_path / "words.pt").read_bytes()

    def full_disk(value, file):
        file.write(b"half a fi")
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space"):
        save(model, tmp_path / "words.pt")
    assert (tmp_path / "words.pt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["words.json", "words.pt"]


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    torch.save({"weights": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match="not a file of the kind"):
        load(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_bad_checkpoint_is_named_and_the_shipped_ones_are_listed(tmp_path, content):
    path = tmp_path / "bad.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.pt.*fables-uniform"):
        load(path)


def test_a_text_file_is_read_with_any_line_ends(tmp_path):
    path = tmp_path / "poem.txt"
    path.write_bytes(b"\xef\xbb\xbf" + b"Roses\r\nand oaks\r" * 40)
    corpus = load_corpus(str(path), 8)
    assert corpus.alphabet == Alphabet("\n Radeknos")
    assert corpus.validation.shape[1] == corpus.batch(3, torch.Generator()).shape[1] == 8


@pytest.mark.parametrize(
    "content, message",
    [(None, "cannot read"), (b"caf\xe9 " * 500, "not UTF-8"), (b"short", "too short"), (b"", "short")],
)
def test_a_bad_text_file_is_explained(tmp_path, content, message):
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_corpus(str(path))


def test_training_says_what_it_lacks():
    with pytest.raises(ValueError, match="either steps or minutes"):
        Training(steps=None)
    with pytest.raises(ValueError, match="above 0"):
        Training(steps=0)
    with pytest.raises(ValueError, match="reference must be 0 or more, not -1"):
        Training(reference=-1)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_checkpoints_are_small_and_say_how_they_were_made(name):
    from tinysedd.train import DATA

    path = DATA / "checkpoints" / f"{name}.pt"
    assert path.stat().st_size <= 6e6
    story = json.loads(path.with_suffix(".json").read_text())
    assert story["command"].startswith("python -m tinysedd train --corpus")
    assert all(earlier["step"] < later["step"] for earlier, later in zip(story["curve"], story["curve"][1:]))
    model = load(name)
    assert model.length >= (128 if name == "shakespeare" else 64)
