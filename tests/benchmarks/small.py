"""Small means: importing costs little more than torch, a sample appears at once, training fits in a gigabyte."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from measure import Row, Settings, median_seconds, run_python
from tqdm.auto import tqdm

from tinysedd import load, sample

COMMANDS = {
    "torch": ("-c", "import torch"),
    "tinysedd": ("-c", "from tinysedd import load, sample"),
    "cold_start": ("-m", "tinysedd", "sample", "--seed", "1", "--plain"),
}


def measure(settings: Settings) -> Iterator[dict]:
    """Times the commands in turn, at least five times; then measures the peak memory of one training per seed."""
    repeats = 1 if settings.quick else max(5, settings.seeds)
    values = {name: [] for name in [*COMMANDS, "sampling", "peak_bytes"]}
    model = load("fables")

    def write() -> None:  # what the cold start does after its imports
        sample(model, model.process, steps=model.length, generator=torch.Generator().manual_seed(1))

    if not settings.quick:
        for command in COMMANDS.values():
            run_python(*command)  # warm-up: the first run reads its files from the disk, later ones from memory
    for _ in tqdm(range(repeats), desc="small: imports, cold start"):
        for name, command in COMMANDS.items():
            values[name].append(run_python(*command).seconds)
        values["sampling"].append(median_seconds(write, 1))
    yield values
    values["steps"] = 2 if settings.quick else 30
    for _ in tqdm(range(1 if settings.quick else settings.seeds), desc="small: training"):
        with tempfile.TemporaryDirectory() as folder:
            out = str(Path(folder) / "model.pt")
            child = run_python("-m", "tinysedd", "train", "--steps", str(values["steps"]), "--out", out)
        values["peak_bytes"].append(child.peak_bytes)
        yield values


def rows(values: dict) -> list[Row]:
    torch_, tinysedd, cold, sampling = (values[name] for name in (*COMMANDS, "sampling"))
    allowed = [2 * a + b for a, b in zip(torch_, sampling)]
    result = [
        _median("import torch", torch_, "s"),
        _median("from tinysedd import load, sample", tinysedd, "s"),
        _ratio("from tinysedd import load, sample / import torch", tinysedd, torch_, 1.3),
        _median("python -m tinysedd sample, cold", cold, "s"),
        _median("the same sampling, warm", sampling, "s"),
        _ratio("cold / (2 import torch + warm)", cold, allowed, 1.0),
    ]
    if values["peak_bytes"]:
        peaks = [peak / 1e9 for peak in values["peak_bytes"]]
        result.append(Row.over(f"peak memory of train --steps {values['steps']}", peaks, "GB", at_most=1.0))
    return result


def _median(what: str, seconds: list[float], unit: str) -> Row:
    return Row(what, statistics.median(seconds), unit, seconds, note="median")


def _ratio(what: str, a: list[float], b: list[float], at_most: float) -> Row:
    pairs = [x / y for x, y in zip(a, b)]
    ratio = statistics.median(a) / statistics.median(b)
    return Row(what, ratio, "", pairs, at_most=at_most, note="of medians")
