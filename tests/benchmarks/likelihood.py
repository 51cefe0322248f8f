"""Nats per character after equal training time: a GPT with nanoGPT's recipe, SEDD as published, and ours.

The GPT sets the time T: what its 2,000 steps take, without validation. The GPT and the published SEDD are a plain
`Transformer` with 4 layers, 4 heads and width 128. Ours is the default `FastTransformer`, with about as many
parameters, but most of them in lookup tables that cost no matmuls. All train on blocks of 64 characters and are judged
on the whole validation split.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from measure import Row, Settings, announce, matrix_rate
from torch import Tensor, nn
from tqdm.auto import tqdm

from tinysedd import Absorbing, Config, Corpus, Training, Transformer, fit, likelihood_bound
from tinysedd.__main__ import _has_bfloat16
from tinysedd.fast import RECIPE
from tinysedd.fast.model import FastTransformer
from tinysedd.fast.objective import fast_loss

LENGTH = 64
BFLOAT16 = _has_bfloat16()  # where the CPU has them, bfloat16 matmuls, as on the command line; else they are slow
# The best settings of `run.py tune`: TUNE_LRS x TUNE_BATCHES, then TUNE_EMA_DECAYS, each trained for T.
PUBLISHED = {"lr": 1.5e-3, "batch": 32, "ema_decay": 0.99}
TUNE_LRS, TUNE_BATCHES, TUNE_EMA_DECAYS = (1e-3, 1.5e-3, 2e-3, 3e-3), (32,), (0.99, 0.995)

CONTESTANTS = {
    "ar": "autoregressive, nanoGPT's recipe, T",
    "published": "SEDD as published, T",
    "ours": "ours, T",
    "ours_sixth": "ours, T / 6",
}
ENOUGH = 0.005  # target for the standard error of a bound from its noise, in nats per character


def measure(settings: Settings) -> Iterator[dict]:
    """Trains all contestants in turn for each seed; yields after each seed."""
    corpus, rounds = settings.corpus(LENGTH), []
    for seed in range(settings.seeds):
        results = {"seed": seed}
        for name in CONTESTANTS:
            announce(f"likelihood, seed {seed}: {CONTESTANTS[name]}")
            T = results["ar"]["seconds"] if name != "ar" else None
            results[name] = _train_and_judge(name, corpus, seed, T, settings.quick)
        rounds.append(results)
        yield {"length": LENGTH, "ours": RECIPE | {"bfloat16": BFLOAT16}, "published": PUBLISHED, "rounds": rounds}


def rows(values: dict) -> list[Row]:
    rounds = values["rounds"]

    def each(name: str, key: str) -> list[float]:
        return [results[name][key] for results in rounds]

    def ratio(a: str, b: str) -> list[float]:
        return [x / y for x, y in zip(each(a, "nats"), each(b, "nats"))]

    bounds = [results[name] for results in rounds for name in CONTESTANTS if name != "ar"]
    per_text = max(judged["standard_error"] for judged in bounds)
    least = min(judged["draws"] for judged in bounds)
    return [
        Row.over(f"time T: nanoGPT's {rounds[0]['ar']['steps']:,} steps", each("ar", "seconds"), "s"),
        *(Row.over(label, each(name, "nats"), "nats/char") for name, label in CONTESTANTS.items()),
        Row.over("ours / autoregressive, equal time", ratio("ours", "ar"), at_most=1.05),
        Row.over("ours at T / 6 / published at T", ratio("ours_sixth", "published"), at_most=1.0),
        Row(
            "largest standard error of a bound from its noise",
            max(judged["noise_error"] for judged in bounds),
            "nats/char",
            at_most=ENOUGH,
            note=f"at least {least} draws per text; {per_text:.4f} with the choice of texts",
        ),
        *(Row.over(f"speed: {label}", each(name, "characters_per_second"), "char/s") for name, label in _FULL.items()),
        *(Row.over(f"share of the matrix rate: {label}", each(name, "matrix_share")) for name, label in _FULL.items()),
    ]


_FULL = {name: label for name, label in CONTESTANTS.items() if name != "ours_sixth"}


def tune(settings: Settings) -> Iterator[dict]:
    """The grid search for PUBLISHED: learning rates x batch sizes, then EMA decays at the best of them."""
    corpus, tried = settings.corpus(LENGTH), []
    lrs, batches = (TUNE_LRS[:1], TUNE_BATCHES[:2]) if settings.quick else (TUNE_LRS, TUNE_BATCHES)
    announce("tune: the time T")
    T = _train_and_judge("ar", corpus, 0, None, settings.quick)["seconds"]

    def attempt(**choice) -> dict:
        announce(f"tune: {choice}")
        tried.append(choice | _train_and_judge("published", corpus, 0, T, settings.quick, choice))
        return {"T": T, "tried": tried}

    for lr in lrs:
        for batch in batches:
            yield attempt(lr=lr, batch=batch, ema_decay=PUBLISHED["ema_decay"])
    best = min(tried, key=lambda result: result["nats"])
    for ema_decay in TUNE_EMA_DECAYS:
        if ema_decay != PUBLISHED["ema_decay"]:
            yield attempt(lr=best["lr"], batch=best["batch"], ema_decay=ema_decay)


def tune_rows(values: dict) -> list[Row]:
    return [
        Row(f"published, lr {r['lr']:g}, batch {r['batch']}, EMA decay {r['ema_decay']:g}", r["nats"], "nats/char")
        for r in sorted(values["tried"], key=lambda result: result["nats"])
    ]


def _train_and_judge(
    name: str, corpus: Corpus, seed: int, seconds: float | None, quick: bool, published: dict = PUBLISHED
) -> dict:
    """Trains one contestant for so many seconds (the GPT: for its steps) and judges it. Returns plain values."""
    torch.manual_seed(seed)  # torch draws initial weights from its global generator
    process = Absorbing(len(corpus.alphabet))
    if name in ("ar", "published"):
        config = Config(4, 4, 128, free_scores=name == "published", causal=name == "ar")
        model = Transformer(process, config, corpus.alphabet, corpus.length)
    else:
        model = FastTransformer(process, alphabet=corpus.alphabet, length=corpus.length)
    training = _training(name, seconds, seed, published)
    dtype = torch.bfloat16 if training is not None and training.bfloat16 else torch.float32
    before = matrix_rate(dtype)
    if training is None:
        steps, batch = 20 if quick else 2000, 12
        seconds = train_nanogpt(model, corpus, steps, batch, seed)
    else:
        point = fit(model, corpus, training, loss=fast_loss(corpus) if name.startswith("ours") else None)[-1]
        steps, batch, seconds = point.step, training.batch, point.seconds
    rate = (before + matrix_rate(dtype)) / 2  # before and after training, because the speed of a machine drifts
    parameters, speed = sum(p.numel() for p in model.parameters()), steps * batch * corpus.length / seconds
    in_matmuls = sum(layer.weight.numel() for layer in model.modules() if isinstance(layer, nn.Linear))
    judged = judge(model, corpus.validation, quick)
    return {
        "parameters": parameters,
        "steps": steps,
        "batch": batch,
        "seconds": seconds,
        "nats": judged.nats,
        "standard_error": judged.standard_error,
        "noise_error": judged.noise_error,
        "draws": judged.draws,
        "characters_per_second": speed,
        "model_flops": 6 * in_matmuls * speed,
        "matrix_rate": rate,
        "matrix_share": 6 * in_matmuls * speed / rate,
    }


def _training(name: str, seconds: float | None, seed: int, published: dict) -> Training | None:
    """How a contestant trains; None for the GPT, which has its own loop."""
    if name == "ar":
        return None
    if name == "published":
        minutes = seconds / 60
        return Training(
            steps=None,
            minutes=minutes,
            muon=False,
            weight="bound",
            bfloat16=BFLOAT16,
            validate=1,
            seed=seed,
            **published,
        )
    minutes = seconds / 60 / (6 if name == "ours_sixth" else 1)
    return Training(steps=None, minutes=minutes, validate=1, seed=seed, bfloat16=BFLOAT16, **RECIPE)


def train_nanogpt(model: Transformer, corpus: Corpus, steps: int, batch: int, seed: int) -> float:
    """Train a causal model as nanoGPT's README does on a CPU (train_shakespeare_char.py). Returns the seconds it took.

    AdamW with betas 0.9 and 0.99, weight decay 0.1 on matrices, 100 steps of warm-up to a learning rate of 1e-3, cosine
    decay to 1e-4, gradients clipped to norm 1, no dropout.
    """
    generator = torch.Generator().manual_seed(seed)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.1},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer, warmup, seconds = torch.optim.AdamW(groups, betas=(0.9, 0.99)), 100, 0.0
    for step in (bar := tqdm(range(steps))):
        x0 = corpus.batch(batch, generator)
        started = time.perf_counter()
        done = max(step - warmup, 0) / max(steps - warmup, 1)
        decayed = 1e-4 + 0.5 * (1 + math.cos(math.pi * done)) * (1e-3 - 1e-4)
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * (step + 1) / (warmup + 1) if step < warmup else decayed
        loss = -model.log_prob(x0).mean() / corpus.length
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        bar.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
        seconds += time.perf_counter() - started
    return seconds


@dataclass(frozen=True)
class Judged:
    """-log p or its bound, in nats per character.

    standard_error  over texts and noise
    noise_error     over noise alone
    draws           of noise per text; 0 for an exact value
    """

    nats: float
    standard_error: float
    noise_error: float
    draws: int


@torch.no_grad()
def judge(model: Transformer, texts: Tensor, quick: bool = False) -> Judged:
    """The bound on texts (M, L), or the exact value for a causal model.

    A round has 4 draws per text. There are 2 to 16 rounds, until the noise error is at most ENOUGH. Only this error
    matters here: all contestants get the same texts, so the difficulty of the texts cancels when they are compared.
    """
    texts, most = (texts[::40], 2) if quick else (texts, 16)
    if model.config.causal:
        nats = torch.cat([-model.log_prob(x0).double() for x0 in texts.split(256)]) / texts.shape[1]
        return Judged(float(nats.mean()), float(nats.std()) / math.sqrt(len(nats)), 0.0, 0)
    rounds, noise_error = [], math.inf
    while len(rounds) < 2 or (noise_error > ENOUGH and len(rounds) < most):
        noise = torch.Generator().manual_seed(len(rounds))
        blocks = tqdm(texts.split(64), desc=f"bound, draws {4 * len(rounds) + 1} to {4 * len(rounds) + 4}", leave=False)
        parts = [likelihood_bound(model, model.process, x0, draws=4, generator=noise).per_text for x0 in blocks]
        rounds.append(torch.cat(parts) / texts.shape[1])
        if len(rounds) > 1:
            noise_error = float((torch.stack(rounds).var(0).mean() / len(rounds) / len(texts)).sqrt())
    nats = torch.stack(rounds).mean(0)  # (M,)
    return Judged(float(nats.mean()), float(nats.std()) / math.sqrt(len(nats)), noise_error, 4 * len(rounds))
