"""How the bound falls with training time, for SEDD with masks, SEDD with random characters, and a GPT.

All three are a `FastTransformer` of the default size, trained by the same `fit` with the same optimizer.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict

import torch
from likelihood import BFLOAT16, LENGTH, judge
from measure import Row, Settings, announce

from tinysedd import Absorbing, Training, Uniform, fit
from tinysedd.fast import RECIPE
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.fast.objective import fast_loss

CONTESTANTS = {
    "absorbing": ("SEDD, masks", Absorbing, FastConfig()),
    "uniform": ("SEDD, random characters", Uniform, FastConfig()),
    "ar": ("autoregressive", Absorbing, FastConfig(causal=True)),
}


def measure(settings: Settings) -> Iterator[dict]:
    """Trains the contestants in turn for each seed; yields after each one. Bounds are in nats per character."""
    corpus, curves = settings.corpus(LENGTH), []
    minutes, validate = (0.03, 3) if settings.quick else (settings.minutes, 60)
    for seed in range(settings.seeds):
        for name, (label, kind, config) in CONTESTANTS.items():
            announce(f"quality, seed {seed}: {label}, {minutes:g} minutes")
            torch.manual_seed(seed)
            model = FastTransformer(kind(len(corpus.alphabet)), config, corpus.alphabet, corpus.length)
            training = Training(
                steps=None, minutes=minutes, validate=validate, seed=seed, bfloat16=BFLOAT16, **RECIPE
            )  # fmt: skip
            points = fit(model, corpus, training, loss=None if config.causal else fast_loss(corpus))
            judged = judge(model, corpus.validation, settings.quick)
            parameters = sum(p.numel() for p in model.parameters())
            result = {"contestant": name, "seed": seed, "parameters": parameters, "judged": asdict(judged)}
            curves.append(result | {"curve": [asdict(point) for point in points]})
            yield {"minutes": minutes, "uniform_guess": math.log(len(corpus.alphabet)), "curves": curves}


def rows(values: dict) -> list[Row]:
    nats = {
        name: {c["seed"]: c["judged"]["nats"] for c in values["curves"] if c["contestant"] == name}
        for name in CONTESTANTS
    }
    after = f"{values['minutes']:g} minutes"
    result = [
        Row.over(f"{CONTESTANTS[name][0]}, {after}", list(own.values()), "nats/char")
        for name, own in nats.items()
        if own
    ]
    for name in ("absorbing", "uniform"):
        ratios = [bound / nats["ar"][seed] for seed, bound in nats[name].items() if seed in nats["ar"]]
        if ratios:
            result.append(Row.over(f"{CONTESTANTS[name][0]} / autoregressive, {after}", ratios))
    return result
