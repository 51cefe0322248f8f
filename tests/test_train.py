"""Training: it approaches the exact entropy, stops and continues bit for bit, and keeps the averaged weights."""

import copy
import math
import re
from itertools import count
from types import SimpleNamespace

import pytest
import torch

from tinysedd import Absorbing, Config, Corpus, Fables, Training, Transformer, Uniform, Words, fit, train
from tinysedd.checkpoint import read_state, save_state
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.fast.objective import Shares, fast_loss
from tinysedd.train import make_optimizers

SMALL = Config(layers=1, heads=2, width=16)


@pytest.fixture(scope="module")
def corpus():
    return Corpus.from_world(Words(), 200)


def small_model(process=Absorbing, config=SMALL):
    torch.manual_seed(0)
    kind = FastTransformer if isinstance(config, FastConfig) else Transformer
    return kind(process(26), config, Words().alphabet, 3)


def same_weights(a, b) -> bool:
    return all(torch.equal(v, w) for v, w in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


# What it learns


@pytest.fixture(scope="module")
def four_lines():
    """A world of the four lines abab, baba, cdcd, dcdc: its entropy is log(4) / 4 nats per character."""
    world = Fables(["{A:pair}{A}"], {"pair": "ab ba cd dc"}, length=4)
    assert math.isclose(world.entropy() / 4, math.log(4) / 4)
    return Corpus.from_world(world, 200)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("process", "options"),
    [
        (Absorbing, {}),
        (Absorbing, {"free_scores": True}),
        (Absorbing, {"causal": True}),
        (Uniform, {}),
        (Uniform, {"free_scores": True}),
    ],
)
def test_training_comes_close_to_the_exact_entropy(four_lines, process, options):
    """More than half of the way from a uniform guess, and below the truth by no more than noise (5 standard errors)."""
    torch.manual_seed(0)
    model = Transformer(process(5), Config(1, 2, 32, **options), four_lines.alphabet, four_lines.length)
    training = Training(steps=105, batch=64, lr=2e-2, validate=3, warmup=10, ema_decay=0.9)
    curve = fit(model, four_lines, training, progress=False)
    assert [point.step for point in curve] == [35, 70, 105]
    truth, uniform = math.log(4) / 4, math.log(5)
    assert truth - 5 * curve[-1].standard_error < curve[-1].bound < (truth + uniform) / 2


@pytest.mark.slow
def test_a_reference_batch_teaches_more_in_as_many_steps(corpus):
    """Measured at all masks, by the divergence of the learned posterior from the exact one: 0.23 to 0.32 times as large
    in five seeds."""
    words, process, divergence = Words(), Absorbing(26), {}
    x, sigma = process.prior((1, 3)), torch.tensor([1.0])
    truth = words.score(process).log_posterior(x, sigma)
    for reference in (0, 512):
        model = small_model()
        loss = fast_loss(corpus, reference=reference)
        fit(model, corpus, Training(steps=100, batch=8, validate=1), loss=loss, progress=False)
        learned = model.log_posterior(x, sigma).detach().double()
        divergence[reference] = float((truth.exp() * (truth - learned).nan_to_num()).sum())
    assert divergence[512] < divergence[0] / 2


# How it steps


def test_adamw_and_muon_share_the_weights_as_they_should():
    model = small_model(config=FastConfig(2, 2, 16))
    adamw, muon = make_optimizers(model, Training())
    assert isinstance(adamw, torch.optim.AdamW) and isinstance(muon, torch.optim.Muon)
    matrices = {p for p in model.blocks.parameters() if p.ndim == 2}
    assert set(muon.param_groups[0]["params"]) == matrices
    table = model.embed.weight
    assert [set(group["params"]) for group in adamw.param_groups] == [
        set(model.parameters()) - matrices - {table},
        {table},
    ]
    (alone,) = make_optimizers(model, Training(muon=False))
    assert [set(group["params"]) for group in alone.param_groups] == [set(model.parameters()) - {table}, {table}]
    for group in (*adamw.param_groups, *alone.param_groups):
        assert (group["betas"], group["weight_decay"]) == ((0.9, 0.99), 0.0)
    assert muon.param_groups[0]["weight_decay"] == 0.0


def test_the_learning_rate_warms_up_and_decays_linearly_to_0(corpus):
    rates = []
    fit(
        small_model(), corpus, Training(steps=10, batch=2, lr=0.5, embed_lr=3, warmup=4, validate=10), progress=False,
        keep=lambda state: rates.append([group["lr"] for o in state["optimizers"] for group in o["param_groups"]]),
    )  # fmt: skip
    expected = [0.5 * min((step + 1) / 4, 1) * (1 - step / 10) for step in range(10)]
    assert rates == [pytest.approx([lr, 3 * lr, lr], rel=1e-12) for lr in expected]  # AdamW's, the table's, Muon's


def test_gradients_are_clipped(corpus):
    """After one step AdamW's first moment is (1 - beta1) times the clipped gradient."""
    norms = []

    def keep(state):
        moments = [moment["exp_avg"].flatten() for moment in state["optimizers"][0]["state"].values()]
        norms.append(float(torch.cat(moments).norm()) / (1 - 0.9))

    for scale in (1e-9, 1e9):
        loss = lambda model, x0, rng, done, scale=scale: scale * train.training_loss(model, x0, rng)  # noqa: E731
        training = Training(steps=1, batch=4, clip=0.5, muon=False, validate=1)
        fit(small_model(), corpus, training, loss=loss, keep=keep, progress=False)
    assert norms[0] < 1e-6 and norms[1] == pytest.approx(0.5, rel=1e-4)


def test_the_average_forgets_the_untrained_weights_quickly_and_then_decays_as_asked(corpus):
    """Step k counts for 10 / (10 + k) of the average, or for 1 - ema_decay if that is more: here from step 5 on."""
    weights, averages = [], []

    def keep(state):
        weights.append(state["model"]["embed.weight"].clone())
        averages.append(state["ema"]["module.embed.weight"].clone())

    fit(small_model(), corpus, Training(steps=9, batch=2, ema_decay=0.3, validate=9), keep=keep, progress=False)
    average = weights[0]
    for k, (new, got) in enumerate(zip(weights, averages)):
        share = max(0.7, 10 / (10 + k))
        average = (1 - share) * average + share * new
        torch.testing.assert_close(got, average)


def test_the_loss_sees_autocast_if_asked_for(corpus):
    for bfloat16 in (False, True):

        def loss(model, x0, rng, done, bfloat16=bfloat16):
            assert torch.is_autocast_enabled("cpu") == bfloat16
            return train.training_loss(model, x0, rng)

        fit(small_model(), corpus, Training(steps=1, batch=2, bfloat16=bfloat16), loss=loss, progress=False)


def test_the_weight_of_the_loss_is_passed_on_and_a_causal_model_learns_by_cross_entropy(corpus):
    with pytest.raises(ValueError, match="weight must be 'bound' or 'even', not 'odd'"):
        fit(small_model(), corpus, Training(steps=1, weight="odd"), progress=False)
    model, x0 = small_model(config=Config(1, 2, 16, causal=True)), Words().ids[:5]
    torch.nn.init.normal_(model.head.weight)
    posterior = model.log_posterior(x0).detach()
    nats = [-float(posterior[b, i, x0[b, i]]) for b in range(5) for i in range(3)]
    assert train.training_loss(model, x0, torch.Generator()).item() == pytest.approx(sum(nats) / 15, rel=1e-5)


def test_minutes_include_validations_but_seconds_of_training_do_not(corpus, monkeypatch):
    """On a clock that moves by one second whenever it is read, half a minute is 30 steps and validations."""
    seconds = count()
    monkeypatch.setattr(train, "time", SimpleNamespace(perf_counter=lambda: next(seconds)))
    curve = fit(small_model(), corpus, Training(steps=None, minutes=0.5, batch=2, validate=10), progress=False)
    assert curve[-1].step + len(curve[:-1]) == 30  # the last validation comes when the time is up
    assert [point.seconds for point in curve] == [point.step for point in curve]


def test_the_averaged_weights_are_validated_and_kept(corpus):
    """With decay 0 the average is the last weights; the default's differs."""
    results = []
    for decay in (0.0, 0.999):
        model, seen = small_model(), []
        training = Training(steps=20, batch=8, validate=1, ema_decay=decay)
        fit(model, corpus, training, progress=False, watch=lambda m, p, seen=seen: seen.append(m.head.weight.clone()))
        assert torch.equal(seen[-1], model.head.weight)
        results.append(model.head.weight)
    assert not torch.equal(*results)


def test_validation_uses_the_same_texts_and_noise_every_time():
    """A model that does not change has the same bound at each validation, on at most 128 of the held-out texts."""
    corpus = Corpus.from_world(Words(), 300)
    model, sizes = small_model(), []
    model.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    a, b = (train.validate(model, corpus) for _ in range(2))
    assert torch.equal(a.per_text, b.per_text) and len(a.per_text) == 128
    assert sum(sizes) == 2 * 4 * 128


def test_validation_texts_are_spread_over_all_that_are_held_out(corpus):
    """300 distinct texts, told apart by their probability under a causal model, for which validation is exact."""
    model = small_model(config=Config(1, 2, 16, causal=True))
    torch.nn.init.normal_(model.head.weight)
    words = Words().ids[:300]
    used = train.validate(model, Corpus(corpus.alphabet, corpus.batch, words)).per_text
    nats = -model.log_prob(words).detach()
    assert len(nats.unique()) == 300
    places = (nats - used[:, None]).abs().argmin(-1)  # (128,)
    assert len(places) == 128 and (places.diff() > 0).all() and places[0] < 10 and places[-1] > 250


def test_progress_is_shown_only_if_asked_for(corpus, capfd):
    fit(small_model(), corpus, Training(steps=3, batch=2, validate=1), progress=False)
    assert capfd.readouterr() == ("", "")
    fit(small_model(), corpus, Training(steps=3, batch=2, validate=1))
    out, err = capfd.readouterr()
    assert out == "" and "100%" in err and "step 3" in err and "characters/s" in err


# Stopping and continuing


@pytest.mark.parametrize("muon", [False, True])
def test_a_stopped_training_continues_bit_for_bit(tmp_path, corpus, muon):
    """With a reference batch too, which draws from the same generator."""
    training = Training(steps=12, batch=8, validate=3, warmup=5, muon=muon)
    loss = fast_loss(corpus, Shares(even_from=0.5), reference=4) if muon else None
    whole = small_model()
    curve = fit(whole, corpus, training, loss=loss, progress=False)

    stopped, path, kept, asked = small_model(), tmp_path / "words.train.pt", [], count()

    def keep(state):
        kept.append(state["step"])
        save_state(path, stopped, training, state, {})

    begun = fit(
        stopped, corpus, training, loss=loss, keep=keep, stop=lambda: next(asked) == 7, progress=False
    )  # asked before each step: before the eighth, it says yes
    assert kept == [4, 7] and [point.step for point in begun] == [4]
    assert not same_weights(stopped, whole)

    resumed = small_model()
    rest = fit(resumed, corpus, training, loss=loss, resume=read_state(path), progress=False)
    assert same_weights(resumed, whole)
    assert [(p.step, p.loss, p.bound) for p in rest] == [(p.step, p.loss, p.bound) for p in curve]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_the_averaged_weights_in_the_model(corpus, error):
    """The same ones as a training that was stopped after as many steps."""
    training, asked, states = Training(steps=20, batch=4, validate=1), count(), []
    stopped = small_model()
    stop = lambda: next(asked) == 5  # noqa: E731
    fit(stopped, corpus, training, stop=stop, keep=lambda s: states.append(copy.deepcopy(s)), progress=False)
    assert not torch.equal(states[0]["model"]["embed.weight"], states[0]["ema"]["module.embed.weight"])
    assert torch.equal(stopped.embed.weight, states[0]["ema"]["module.embed.weight"])

    failed, begun = small_model(), count()

    def loss(model, x0, rng, done):
        if next(begun) == 5:
            raise error
        return train.training_loss(model, x0, rng)

    with pytest.raises(error):
        fit(failed, corpus, training, loss=loss, progress=False)
    assert same_weights(failed, stopped)


# Bad options


def test_a_training_needs_steps_or_minutes():
    for options in ({"steps": None}, {"steps": 5, "minutes": 1.0}):
        with pytest.raises(ValueError, match="either steps or minutes"):
            Training(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *[({name: wrong}, f"{name} must be an integer of at least 1, not {wrong}")
          for name in ("steps", "batch", "validate", "warmup") for wrong in (0, -3, 2.5)],
        *[({"lr": wrong}, "lr must be a finite number above 0, not") for wrong in (0, -1.0, math.nan, math.inf)],
        *[({"steps": None, "minutes": wrong}, "minutes must be a finite") for wrong in (0, -1.0, math.nan, math.inf)],
        *[({"ema_decay": wrong}, "ema_decay must be at least 0 and below 1") for wrong in (-0.1, 1, 2, math.nan)],
        ({"clip": 0}, "clip must be a finite"),
        ({"weight": "odd"}, "'bound' or 'even', not 'odd'"),
        ({"seed": -1}, "seed must be an integer of at least 0"),
        ({"seed": 10**20}, "seed must be below 2"),
    ],
)  # fmt: skip
def test_a_training_knows_the_range_of_each_option(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Training(**options)


def test_costs_of_the_weights_before_do_not_outlive_a_training(corpus):
    model = small_model()
    model.costs = torch.ones(3)
    fit(model, corpus, Training(steps=1, batch=2), progress=False)
    assert not hasattr(model, "costs")
