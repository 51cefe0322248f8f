"""What groups of characters cost: the ledger of `fables`, beside the share of its texts that are fables.

A text that is no fable has no probability, so a sampler that writes a share v of fables is at least -log v nats away
from the truth, and the ledger says at most how far.
"""

import math
from collections.abc import Iterator

import torch
from measure import Row, Settings, announce

from tinysedd import Fables, load, sample
from tinysedd.costs import InformationCurve, best_sizes, information_curve, ledger
from tinysedd.evaluate import valid_share

STEPS = (4, 8, 12, 16, 24, 32, 48, 64)
TEXTS = 150


def measure(settings: Settings) -> Iterator[dict]:
    """The two curves, then for each number of steps both ledgers and both samplers; yields after each number."""
    world, model = Fables(), load("fables")
    process, length = model.process, model.length
    rng = torch.Generator().manual_seed(0)
    announce("ledger: the curves f and g")
    x0 = world.sample(4 if settings.quick else TEXTS, rng)
    curve = information_curve(model, process, x0, world.score(process), generator=rng)
    model.costs = curve.g
    values = {"f": curve.f.tolist(), "g": curve.g.tolist(), "texts": len(x0), "steps": []}
    for steps in STEPS[:2] if settings.quick else STEPS:
        announce(f"ledger: {steps} steps")
        entry = {"steps": steps, "valid": {}, "best_sizes": best_sizes(curve.g, steps)}
        for name, sizes in (("spread", even_sizes(length, steps)), ("planned", entry["best_sizes"])):
            entry[name] = describe(curve, sizes)
            shares = []
            for seed in range(settings.seeds):
                generator = torch.Generator().manual_seed(seed)
                drawn = sample(model, process, count=100, steps=steps, sampler=name, generator=generator)
                shares.append(valid_share(world, drawn.states[-1]))
            entry["valid"][name] = shares
        values["steps"].append(entry)
        yield values


def even_sizes(length: int, steps: int) -> list[int]:
    """The group sizes of `spread`: a remainder comes last."""
    sizes, left = [], length
    for step in range(steps, 0, -1):
        sizes.append(left // step)
        left -= sizes[-1]
    return sizes


def describe(curve: InformationCurve, sizes: list[int]) -> dict:
    """A ledger as plain values."""
    entry = ledger(curve, sizes)
    return {"learning": entry.learning, "factorization": entry.factorization, "error": entry.total_error}


def rows(values: dict) -> list[Row]:
    result = []
    for entry in values["steps"]:
        for name in ("spread", "planned"):
            cost = entry[name]
            total = cost["learning"] + cost["factorization"]
            shares = entry["valid"][name]
            valid = sum(shares) / len(shares)
            least = f"; at least {-math.log(valid):.2f}, by the share of fables" if valid else ""  # 0 proves nothing
            result += [
                Row(
                    f"{name}, {entry['steps']} steps: KL(data || samples), at most",
                    total,
                    "nats/text",
                    note=f"+- {cost['error']:.2f}; {cost['learning']:.2f} learning, {cost['factorization']:.2f} "
                    f"factorization{least}",
                ),
                Row.over(f"{name}, {entry['steps']} steps: share of fables", shares),
            ]
    return result
