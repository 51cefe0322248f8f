"""How the time and memory of one training step grow with the length, the alphabet, the parameters and the batch.

Each step is measured in a process of its own, whose peak memory, less that of one that trains next to nothing, is the
step's: weights, gradients, moments, averages, activations. On a GPU it is what torch allocated there.
"""

import json
import math
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import combinations

import numpy as np
import torch
from measure import Row, Settings, run_python
from torch import Tensor
from tqdm.auto import tqdm

from tinysedd import Absorbing, Alphabet, Corpus, Config, Training, Transformer, fit

CHARACTERS_PER_PARAMETER = 20  # what a model of its size should see (Hoffmann et al., 2203.15556, there of tokens)
STEPS, WARM = 4, 2  # steps of a training; of these so many at its beginning are not counted


@dataclass(frozen=True)
class Step:
    """A training step: of so many texts, of so many characters, out of an alphabet; 4 blocks of a width."""

    batch: int = 8
    length: int = 64
    alphabet: int = 64
    width: int = 128


BASE = Step()
NEXT_TO_NOTHING = Step(batch=1, length=4, alphabet=4, width=8)
SERIES = {
    "length": [replace(BASE, length=n) for n in (64, 128, 256, 512, 1024)],
    "alphabet": [replace(BASE, alphabet=n) for n in (16, 64, 256, 1024)],
    "parameters": [replace(BASE, batch=32, width=n) for n in (64, 128, 256, 384, 640)],  # 0.2 to 20 million
    "batch": [replace(BASE, batch=n) for n in (4, 8, 16, 64, 256)],
}
QUICK = {
    "length": [replace(BASE, width=64, length=n) for n in (64, 256)],
    "parameters": [replace(BASE, width=n) for n in (64, 128)],
}


def measure(settings: Settings) -> Iterator[dict]:
    """All steps in turn, for each seed and each way to compute; yields after each seed.

    ways: "cpu"; "cuda" where there is one, in bfloat16; with --compile also both under torch.compile.
    """
    series = QUICK if settings.quick else SERIES
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    ways = [(device, compile) for compile in ([False, True] if settings.compile else [False]) for device in devices]
    steps = list(dict.fromkeys(step for points in series.values() for step in points))  # what series share is done once
    values = {"series": {name: [asdict(step) for step in points] for name, points in series.items()}, "ways": {}}
    for seed in range(settings.seeds):
        work, idle = [(way, step) for step in [NEXT_TO_NOTHING, *steps] for way in ways], {}
        for (device, compile), step in tqdm(work, desc=f"growth, seed {seed}"):
            way = device + (", compiled" if compile else "")
            task = asdict(step) | {"device": device, "compile": compile, "seed": seed}
            child = run_python(__file__, json.dumps(task))
            result = json.loads(child.output.splitlines()[-1])
            if step == NEXT_TO_NOTHING:
                idle[way] = child.peak_bytes
                continue
            result["bytes"] = result["bytes"] or max(child.peak_bytes - idle[way], 0)
            values["ways"].setdefault(way, []).append(asdict(step) | {"seed": seed} | result)
        yield values


def rows(values: dict) -> list[Row]:
    result = []
    for way in values["ways"]:
        seeds = sorted({point["seed"] for point in values["ways"][way]})
        for name in values["series"]:
            for key, unit in (("seconds", "time"), ("bytes", "memory")):
                exponents = [law(values, way, name, seed)[key]["exponent"] for seed in seeds]
                result.append(Row.over(f"{way}: {unit} of a step grows with {name} to the power", exponents))
        a, b, c = law(values, way, "length")["seconds"]["polynomial"]
        note, crossing = f"seconds = {a:.2g} + {b:.2g} L + {c:.2g} L^2", b / c if b and c else None
        result.append(Row(f"{way}: length where L^2 costs as much as L", crossing, "char", note=note))
        batch = values["series"]["parameters"][0]["batch"]
        hour = f"{CHARACTERS_PER_PARAMETER} characters a parameter, batch {batch}, by the law"
        sizes = [largest(values, way, seed) / 1e6 for seed in seeds]
        result.append(Row.over(f"{way}: the largest model in an hour", sizes, "M parameters", note=hour))
    return result


def points(values: dict, way: str, name: str, seed: int | None = None) -> dict[str, list]:
    """Of a series: x, and for each x the seconds and bytes of a step, of a seed or the median over all."""
    result = {"x": [], "seconds": [], "bytes": []}
    for step in values["series"][name]:
        own = [p for p in values["ways"][way] if seed in (None, p["seed"]) and all(p[key] == step[key] for key in step)]
        result["x"].append(own[0]["parameters"] if name == "parameters" else step[name])
        for key in ("seconds", "bytes"):
            result[key].append(statistics.median(point[key] for point in own))
    return result


def law(values: dict, way: str, name: str, seed: int | None = None) -> dict[str, dict]:
    """Least squares through a series, of its seconds and of its bytes: y = factor x^exponent, straight in logarithms;
    polynomial: y = a + b x + c x^2 with no coefficient below 0, by relative errors."""
    series, result = points(values, way, name, seed), {}
    x = np.array(series["x"], dtype=float)
    for key in ("seconds", "bytes"):
        y = np.maximum(np.array(series[key], dtype=float), 1e-9)
        exponent, intercept = np.polyfit(np.log(x), np.log(y), 1)
        result[key] = {"exponent": float(exponent), "factor": math.exp(intercept), "polynomial": polynomial(x, y)}
    return result


def polynomial(x: np.ndarray, y: np.ndarray) -> list[float]:
    """a, b, c >= 0 of y = a + b x + c x^2. With three of them the best subset is soon found by trying all."""
    terms, best, least = np.stack([np.ones_like(x), x, x**2], 1) / y[:, None], [0.0, 0.0, 0.0], math.inf
    for used in (used for k in (1, 2, 3) for used in combinations(range(3), k)):
        chosen = terms[:, used]
        coefficients = np.linalg.lstsq(chosen, np.ones_like(y), rcond=None)[0]
        error = float(((chosen @ coefficients - 1) ** 2).sum())
        if (coefficients >= 0).all() and error < least * (1 - 1e-9):
            least, best = error, [float(coefficients[used.index(i)]) if i in used else 0.0 for i in range(3)]
    return best


def largest(values: dict, way: str, seed: int | None = None) -> float:
    """How many parameters P see CHARACTERS_PER_PARAMETER P characters in an hour, by the law seconds = f P^e."""
    fitted, step = law(values, way, "parameters", seed)["seconds"], values["series"]["parameters"][0]
    characters = 3600 * step["batch"] * step["length"] / fitted["factor"]  # in an hour, times P^e
    return (characters / CHARACTERS_PER_PARAMETER) ** (1 / (1 + fitted["exponent"]))


def train_steps(batch: int, length: int, alphabet: int, width: int, device: str, compile: bool, seed: int) -> dict:
    """A few steps on random text: parameters, the median seconds of a step, and on a GPU the bytes it took there."""
    torch.manual_seed(seed)

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(alphabet, (count, length), generator=generator)

    characters = Alphabet("".join(chr(256 + i) for i in range(alphabet)))
    # A validation after each step, of two texts, is what makes `fit` tell the time of every step.
    corpus = Corpus(characters, draw, torch.zeros(2, length, dtype=torch.int64))
    model = Transformer(Absorbing(alphabet), Config(4, 4, width, pairs=0), characters, length).to(device)
    if compile:
        model.compile()
    steps = STEPS + WARM
    curve = fit(model, corpus, Training(steps=steps, batch=batch, validate=steps, seed=seed), progress=False)
    clock = [0.0, *(point.seconds for point in curve)]
    seconds = [after - before for before, after in zip(clock, clock[1:])][WARM:]
    bytes_there = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "seconds": statistics.median(seconds), "bytes": bytes_there}


if __name__ == "__main__":
    print(json.dumps(train_steps(**json.loads(sys.argv[1]))))
