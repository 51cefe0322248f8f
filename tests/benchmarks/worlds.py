"""How fast the exact answers are: posteriors of fables, and the table of all scores of three-letter words."""

from collections.abc import Iterator

import torch
from measure import Row, Settings, median_seconds
from tqdm.auto import tqdm

from tinysedd import Absorbing, Fables, Uniform, Words

SIGMA = 0.5
PROCESSES = (Absorbing, Uniform)


def measure(settings: Settings) -> Iterator[dict]:
    """Both processes in turn, for each seed; yields after each."""
    fables, words = Fables(), Words()
    lines, repeats = (32, 1) if settings.quick else (256, 5)
    values = {"lines": lines, "sigma": SIGMA, "posterior": [], "table": [], "oracle": []}
    for seed in tqdm(range(settings.seeds), desc="worlds"):
        for kind in PROCESSES:
            process, generator = kind(len(fables.alphabet)), torch.Generator().manual_seed(seed)
            sigma = -torch.log1p(
                -(torch.arange(lines, dtype=torch.float64) + 0.5) / lines
            )  # every share of hit characters, evenly
            x, oracle = process.perturb(fables.sample(lines, generator), sigma, generator), fables.score(process)
            seconds = median_seconds(lambda: oracle.log_posterior(x, sigma), repeats)  # noqa: B023, called immediately
            _add(values["posterior"], kind, seed, seconds)

            process = kind(len(words.alphabet))
            _add(values["table"], kind, seed, median_seconds(lambda: words.score_table(process, SIGMA), 3 * repeats))  # noqa: B023
            states = torch.arange(process.num_states)
            texts = torch.cartesian_prod(states, states, states)
            sigma, oracle = torch.full((len(texts),), SIGMA), words.score(process)
            _add(values["oracle"], kind, seed, median_seconds(lambda: oracle(texts, sigma), repeats))  # noqa: B023
        yield values


def _add(to: list[dict], kind: type, seed: int, seconds: float) -> None:
    to.append({"process": kind.__name__, "seed": seed, "seconds": seconds})


def rows(values: dict) -> list[Row]:
    result = []
    for kind in PROCESSES:
        name = kind.__name__

        def seconds(what: str, name: str = name) -> list[float]:
            return [measured["seconds"] for measured in values[what] if measured["process"] == name]

        speeds = [values["lines"] / s for s in seconds("posterior")]
        result += [
            Row.over(f"Fables, {name}: exact posteriors", speeds, "lines/s", at_least=1000),
            Row.over(f"Words, {name}: all scores as a table", [1e3 * s for s in seconds("table")], "ms", at_most=50),
            Row.over(f"Words, {name}: the same, text by text", [1e3 * s for s in seconds("oracle")], "ms"),
        ]
    return result
