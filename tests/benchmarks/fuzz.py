"""Thousands of random commands, random calls and damaged files, judged as in tests/test_robustness.py."""

import contextlib
import os
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from measure import Row, Settings
from tqdm.auto import tqdm

sys.path.insert(0, str(Path(__file__).parents[1]))
import test_robustness as robustness

from tinysedd import load

CASES = 10_000


def measure(settings: Settings) -> Iterator[dict]:
    """Runs all cases of each kind once, with the first seed, and yields after each kind."""
    cases, values = 100 if settings.quick else CASES, {}
    with tempfile.TemporaryDirectory() as folder, tqdm(total=3 * cases, desc="fuzz") as bar:
        for name, part in (("commands", _commands), ("calls", _calls), ("damaged files", _damage)):
            with contextlib.chdir(folder):
                robustness.fill_folder()
                values[name] = part(cases, bar)
            yield values


def _commands(cases: int, bar: tqdm) -> dict:
    kept = set(robustness.files())

    def check(words: list[str]) -> str:
        free = {"model.pt", "words.pt"} if "--force" not in words else kept
        return f"exit code {robustness.check_command(words, kept - free)}"

    return _judge(robustness.commands().filter(lambda words: not robustness.large(words)), check, cases, bar)


def _calls(cases: int, bar: tqdm) -> dict:
    def check(arguments: tuple) -> str:
        robustness.check_call(*arguments)
        return "returned or refused"

    names = st.sampled_from(sorted(robustness.CALLS))
    return _judge(st.tuples(names, robustness.THINGS, robustness.THINGS), check, cases, bar)


def _judge(strategy: st.SearchStrategy, check: Callable[..., str], cases: int, bar: tqdm) -> dict:
    """How many cases ended in which way. A failure is recorded, and the next case runs."""
    ends, failures = Counter(), []

    @seed(0)
    @settings(max_examples=cases, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def each(case):
        try:
            ends[check(case)] += 1
        except Exception:
            ends["failed"] += 1
            failures.append(f"{case!r}\n{traceback.format_exc()}")
        bar.update()

    each()
    return {"cases": sum(ends.values()), "ends": dict(ends), "failures": failures[:20]}


def _damage(cases: int, bar: tqdm) -> dict:
    """A checkpoint with a few bytes changed, cut out or put in: refused by a ValueError, or loaded as it was."""
    content, good = Path("model.pt").read_bytes(), load("model.pt").state_dict()
    rng, ends, failures = random.Random(0), Counter(), []
    for _ in range(cases):
        bad = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 20])):
            place = rng.randrange(len(bad))
            how = rng.choice(["flip", "set", "cut", "insert", "end"])
            if how == "flip":
                bad[place] ^= 1 << rng.randrange(8)
            elif how == "set":
                bad[place] = rng.choice([0, 255, rng.randrange(256)])
            elif how == "cut":
                del bad[place : place + rng.randrange(1, 200)]
            elif how == "insert":
                bad[place:place] = rng.randbytes(rng.randrange(1, 200))
            else:
                del bad[place:]
            if not bad:
                break
        Path("bad.pt").write_bytes(bad)
        try:
            loaded = load("bad.pt").state_dict()
            same = loaded.keys() == good.keys() and all(torch.equal(loaded[key], good[key]) for key in good)
            ends["loaded, and nothing was lost" if same else "failed"] += 1
            if not same:
                failures.append(f"other weights: {len(bad)} bytes")
        except ValueError:
            ends["refused"] += 1
        except Exception:
            ends["failed"] += 1
            failures.append(traceback.format_exc())
        bar.update()
    os.unlink("bad.pt")
    return {"cases": cases, "ends": dict(ends), "failures": failures[:20]}


def rows(values: dict) -> list[Row]:
    result = []
    for name, part in values.items():
        ends = ", ".join(f"{end}: {count:,}" for end, count in sorted(part["ends"].items()))
        result.append(
            Row(
                f"{name} that ended badly", part["ends"].get("failed", 0), f"of {part['cases']:,}", at_most=0, note=ends
            )
        )
    return result
