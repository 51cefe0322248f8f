"""How the time and memory of one training step grow with the length, the alphabet, the parameters and the batch size.

Each step runs in its own process. Its memory is the peak of that process minus the peak of one that trains a tiny
network: weights, gradients, optimizer moments, EMA and activations. On a GPU it is what torch allocated there.
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

from tinysedd import Absorbing, Alphabet, Corpus, Training, fit
from tinysedd.fast.model import FastConfig, FastTransformer

CHARACTERS_PER_PARAMETER = 20  # compute-optimal, for tokens (Hoffmann et al., 2203.15556)
STEPS, WARM_UP = 4, 2  # steps that are timed, and steps before them


@dataclass(frozen=True)
class Step:
    """The sizes of a training step, of a network with 4 blocks."""

    batch: int = 8
    length: int = 64
    alphabet: int = 64
    width: int = 128


BASE = Step()
TINY = Step(batch=1, length=4, alphabet=4, width=8)
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
    """Measures all steps in turn, for each seed and each way to compute; yields after each seed.

    The ways are "cpu"; "cuda" in bfloat16, if there is a GPU; and with --compile both of them under torch.compile.
    """
    series = QUICK if settings.quick else SERIES
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    ways = [(device, compile) for compile in ([False, True] if settings.compile else [False]) for device in devices]
    steps = list(
        dict.fromkeys(step for points in series.values() for step in points)
    )  # each step once, even if two series share it
    values = {"series": {name: [asdict(step) for step in points] for name, points in series.items()}, "ways": {}}
    for seed in range(settings.seeds):
        work, idle = [(way, step) for step in [TINY, *steps] for way in ways], {}
        for (device, compile), step in tqdm(work, desc=f"growth, seed {seed}"):
            way = device + (", compiled" if compile else "")
            task = asdict(step) | {"device": device, "compile": compile, "seed": seed}
            child = run_python(__file__, json.dumps(task))
            result = json.loads(child.output.splitlines()[-1])
            if step == TINY:
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
                result.append(Row.over(f"{way}: {unit} of a step grows as {name} to the power", exponents))
        a, b, c = law(values, way, "length")["seconds"]["polynomial"]
        note, crossing = f"seconds = {a:.2g} + {b:.2g} L + {c:.2g} L^2", b / c if b and c else None
        result.append(
            Row(f"{way}: length at which the L^2 term costs as much as the L term", crossing, "char", note=note)
        )
        batch = values["series"]["parameters"][0]["batch"]
        note = f"{CHARACTERS_PER_PARAMETER} characters per parameter, batch {batch}, extrapolated from the fit"
        sizes = [largest(values, way, seed) / 1e6 for seed in seeds]
        result.append(Row.over(f"{way}: the largest model to train in an hour", sizes, "M parameters", note=note))
    return result


def points(values: dict, way: str, name: str, seed: int | None = None) -> dict[str, list]:
    """The x values of a series, and the seconds and bytes of a step at each: of one seed, or the median over seeds."""
    result = {"x": [], "seconds": [], "bytes": []}
    for step in values["series"][name]:
        own = [p for p in values["ways"][way] if seed in (None, p["seed"]) and all(p[key] == step[key] for key in step)]
        result["x"].append(own[0]["parameters"] if name == "parameters" else step[name])
        for key in ("seconds", "bytes"):
            result[key].append(statistics.median(point[key] for point in own))
    return result


def law(values: dict, way: str, name: str, seed: int | None = None) -> dict[str, dict]:
    """Least-squares fits to the seconds and the bytes of a series.

    exponent, factor  of a power law, y = factor x^exponent, fitted in log-log space
    polynomial        a, b, c >= 0 of y = a + b x + c x^2, fitted to relative errors
    """
    series, result = points(values, way, name, seed), {}
    x = np.array(series["x"], dtype=float)
    for key in ("seconds", "bytes"):
        y = np.maximum(np.array(series[key], dtype=float), 1e-9)
        exponent, intercept = np.polyfit(np.log(x), np.log(y), 1)
        result[key] = {"exponent": float(exponent), "factor": math.exp(intercept), "polynomial": polynomial(x, y)}
    return result


def polynomial(x: np.ndarray, y: np.ndarray) -> list[float]:
    """a, b, c >= 0 of y = a + b x + c x^2, by trying every subset of nonzero coefficients."""
    terms, best, least = np.stack([np.ones_like(x), x, x**2], 1) / y[:, None], [0.0, 0.0, 0.0], math.inf
    for used in (used for k in (1, 2, 3) for used in combinations(range(3), k)):
        chosen = terms[:, used]
        coefficients = np.linalg.lstsq(chosen, np.ones_like(y), rcond=None)[0]
        error = float(((chosen @ coefficients - 1) ** 2).sum())
        if (coefficients >= 0).all() and error < least * (1 - 1e-9):
            least, best = error, [float(coefficients[used.index(i)]) if i in used else 0.0 for i in range(3)]
    return best


def largest(values: dict, way: str, seed: int | None = None) -> float:
    """The number of parameters P that see CHARACTERS_PER_PARAMETER P characters in an hour, if seconds = f P^e."""
    fitted, step = law(values, way, "parameters", seed)["seconds"], values["series"]["parameters"][0]
    characters = 3600 * step["batch"] * step["length"] / fitted["factor"]  # in an hour, times P^e
    return (characters / CHARACTERS_PER_PARAMETER) ** (1 / (1 + fitted["exponent"]))


def train_steps(batch: int, length: int, alphabet: int, width: int, device: str, compile: bool, seed: int) -> dict:
    """Runs a few steps on random text. Returns the parameters, the median seconds of a step, and its bytes on a GPU."""
    torch.manual_seed(seed)

    def batch_of(count: int, generator: torch.Generator) -> Tensor:
        return torch.randint(alphabet, (count, length), generator=generator)

    characters = Alphabet("".join(chr(256 + i) for i in range(alphabet)))
    # A validation after each step, on two texts, makes `fit` report the time of every step.
    corpus = Corpus(characters, batch_of, torch.zeros(2, length, dtype=torch.int64))
    model = FastTransformer(Absorbing(alphabet), FastConfig(4, 4, width, bigrams=0), characters, length).to(device)
    if compile:
        model.compile()
    steps = STEPS + WARM_UP
    curve = fit(model, corpus, Training(steps=steps, batch=batch, validate=steps, seed=seed), progress=False)
    clock = [0.0, *(point.seconds for point in curve)]
    seconds = [after - before for before, after in zip(clock, clock[1:])][WARM_UP:]
    gpu_bytes = torch.cuda.max_memory_allocated() if device == "cuda" else 0
    parameters = sum(p.numel() for p in model.parameters())
    return {"parameters": parameters, "seconds": statistics.median(seconds), "bytes": gpu_bytes}


if __name__ == "__main__":
    print(json.dumps(train_steps(**json.loads(sys.argv[1]))))
