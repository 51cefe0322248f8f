"""A class race: who learns a hidden world best in the same time? `python -m tinysedd race --minutes 2 --recipe mine.py`

The world is a grammar made from a seed, so its entropy and exact score are known, and no one has seen its texts before.
A recipe is a Python file with one function. It gets 20,000 texts, never the world:

    from tinysedd import Absorbing, Config, Training, Transformer, fit

    def train(corpus, seconds, generator):
        process = Absorbing(len(corpus.alphabet))
        model = Transformer(process, Config(layers=2, width=64), corpus.alphabet, corpus.length)
        fit(model, corpus, Training(steps=None, minutes=seconds / 60))
        return model

corpus     corpus.batch(n, generator) -> (n, L) ids to train on; corpus.validation (M, L); .alphabet; .length
seconds    the time limit; a recipe that takes longer is judged but marked late
generator  seeded; torch's global generator is seeded too

It returns a score function (x, sigma) -> log-scores with a `.process`, or the pair (score, process); the process is
Absorbing or Uniform. If the score has a method bound(x0 (M, L)) -> (M,), the cost of each text in nats that it claims
for itself is judged in place of the bound that `likelihood_bound` measures.
"""

import contextlib
import io
import json
import math
import random
import runpy
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Generator, Tensor

from tinysedd.corpus import Corpus
from tinysedd.costs import best_sizes, information_curve, ledger
from tinysedd.evaluate import Gap, measure_bound, valid_share
from tinysedd.fast import RECIPE
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.fast.objective import fast_loss
from tinysedd.fast.sampling import planned, sample
from tinysedd.guard import call, check_alphabet, check_at_least, check_between, check_seed, only_masks
from tinysedd.objective import Bound
from tinysedd.process import Absorbing, Process, Score, Uniform
from tinysedd.train import Training, fit
from tinysedd.worlds import Fables

SCHEMA = "tinysedd race 1"
LENGTH, TRAINING_TEXTS, CALLS = 42, 20_000, 16
SIGNIFICANT = 4  # standard errors below the truth at which a bound is none: 1 in 30,000 by chance
# Paired differences are rounding noise when the score is exact; below this share of the entropy they mean nothing.
ROUNDING = 1e-4
Recipe = Callable[[Corpus, float, Generator], Any]


def race_world(seed: int) -> Fables:
    """The hidden world of a seed: five templates of at most 42 characters over random words.

    Each template repeats one word. The words of a list have one length, so every template has one too."""
    check_seed(seed)
    rng = random.Random(seed)

    def word(size: int) -> str:
        start = rng.randrange(2)
        return "".join(rng.choice("aeiou" if (start + i) % 2 else "bdfgklmnprstvz") for i in range(size))

    def words(count: int, size: int) -> list[str]:
        found: dict[str, None] = {}  # a dict keeps the order, a set does not
        while len(found) < count:
            found[word(size)] = None
        return list(found)

    lists = {f"list{k}": " ".join(words(rng.randint(6, 10), rng.randint(3, 5))) for k in range(8)}
    links = words(8, 2)
    templates: dict[str, None] = {}
    while len(templates) < 5:
        a, b, c, d = rng.sample(sorted(lists), 4)
        links_here = rng.sample(links, 4)
        pieces = [f"{{A:{a}}}", f"{{:{b}}}", f"{{:{c}}}", "{A}", f"{{:{d}}}"]
        if rng.random() < 0.5:  # the repeated word comes last
            pieces[3], pieces[4] = pieces[4], pieces[3]
        text = " ".join(part for pair in zip([*links_here, ""], pieces) for part in pair if part)
        templates[f"{text}."] = None
    return Fables(list(templates), lists, LENGTH)


def race_corpus(world: Fables, seed: int) -> Corpus:
    """The texts that a recipe gets: a fixed sample, and no way back to the world."""
    texts = world.sample(TRAINING_TEXTS, Generator().manual_seed(seed))
    return Corpus.from_lines(map(world.alphabet.decode, texts), world.length, world.alphabet)


def default_recipe(corpus: Corpus, seconds: float, generator: Generator) -> FastTransformer:
    """The entrant without --recipe: what `tinysedd train` does. Returns the trained model."""
    process = Absorbing(len(corpus.alphabet))
    model = FastTransformer(process, FastConfig(), corpus.alphabet, corpus.length)
    fit(model, corpus, Training(steps=None, minutes=seconds / 60, validate=4, **RECIPE), loss=fast_loss(corpus))
    return model


def load_recipe(path: Path) -> Recipe:
    """The function train(corpus, seconds, generator) of a file. ValueError if it has none or cannot be run."""
    if not path.is_file():
        raise ValueError(f"there is no recipe {path}: name a Python file with a function train")
    with _recipe_errors(path):
        recipe = runpy.run_path(str(path), run_name="recipe").get("train")
    if not callable(recipe):
        raise ValueError(f"{path} has no function train(corpus, seconds, generator): see `tinysedd race --help`")
    return recipe


@contextlib.contextmanager
def _recipe_errors(path: Path | None):
    """What goes wrong in a recipe becomes a ValueError of one sentence that names the line."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit
        name = path or "the default recipe"
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
        at = f" in line {line}" if line else ""
        said = " ".join(str(error).split())[:300]
        raise ValueError(f"the recipe {name} failed{at} with {type(error).__name__}: {said}") from None


def run_recipe(
    recipe: Recipe, corpus: Corpus, seconds: float, seed: int = 0, path: Path | None = None
) -> tuple[Score, Process, float, str]:
    """Run a recipe. Returns its score, its process, the seconds that it took, and what it printed.

    path: its file, for messages. ValueError if it raises or returns something else than a score with a process.
    """
    torch.manual_seed(seed)
    printed, started = io.StringIO(), time.perf_counter()
    with _recipe_errors(path), contextlib.redirect_stdout(printed):
        entry = recipe(corpus, seconds, Generator().manual_seed(seed))
    spent = time.perf_counter() - started
    score, process = entry if isinstance(entry, tuple) and len(entry) == 2 else (entry, getattr(entry, "process", None))
    if not callable(score):
        raise ValueError(f"the recipe returned {type(score).__name__}: return a score function (x, sigma) -> log_score")
    if not isinstance(process, Absorbing | Uniform) or type(process) not in (Absorbing, Uniform):
        raise ValueError(
            f"the process of the recipe is {type(process).__name__}: give the score a .process, or return "
            "(score, process), where the process is Absorbing or Uniform"
        )
    check_alphabet(corpus.alphabet, process, getattr(score, "alphabet", None))
    if isinstance(score, torch.nn.Module):
        score.eval()
    return cast(Score, score), process, spent, printed.getvalue()


@torch.no_grad()
def judge(
    score: Score, process: Process, world: Fables, seed: int, texts: int = 400, samples: int = 200, progress=False
) -> dict:
    """Judge a score on fresh texts of the world, the same for every entrant.

    Returns gap and gap_error (shares of the entropy; the error is paired over texts), valid and valid_error (share of
    the samples in 16 calls), the ledger for 16 calls in nats per text (None without masks), and the verdict:
    "bound", or "no bound: " and why.
    A true bound is never below the truth on average: its mean difference to the exact score is a KL divergence. So a
    gap that lies 4 standard errors below 0 is no bound. ValueError or FloatingPointError for a nonsensical score.
    """
    check_at_least(2, texts=texts)
    check_at_least(1, samples=samples)
    rng = Generator().manual_seed(2**62 + seed)  # not the seed of the training texts
    x0 = world.sample(texts, rng)
    own = getattr(score, "bound", None)
    desc = "bound" if progress else None
    if own is None:
        learned = measure_bound(score, process, x0, seed, desc)
        exact = measure_bound(world.score(process), process, x0, seed, "exact" if progress else None)
    else:
        learned, exact = Bound(_claim(own, x0), world.length), Bound(-world.log_prob(x0), world.length)
    gap = Gap(learned, exact, world.entropy())
    result: dict[str, Any] = {"gap": gap.relative, "gap_error": gap.standard_error}
    why = _peeks(score, process, x0)
    if gap.relative < -(SIGNIFICANT * gap.standard_error + ROUNDING):
        low = f"it is {-gap.relative:.1%} +- {gap.standard_error:.1%} below the exact entropy"
        why = f"{low}, which no distribution can reach" + (f"; {why}" if why else "")
    result["ledger"], sampler = None, None
    if only_masks(process):
        curve = information_curve(score, process, x0[:32], world.score(process), generator=rng)
        if curve.g.isfinite().all():
            sampler = partial(planned, costs=curve.g)  # the group sizes of the ledger
            entry = ledger(curve, best_sizes(curve.g, CALLS))
            result["ledger"] = {
                "learning": entry.learning, "learning_error": entry.learning_error,
                "factorization": entry.factorization, "factorization_error": entry.factorization_error,
            }  # fmt: skip
    drawn = sample(
        score, process, sampler=sampler, steps=CALLS, count=samples,
        length=world.length, alphabet=world.alphabet, generator=rng,
    )  # fmt: skip
    share = valid_share(world, drawn.states[-1])
    result |= {"valid": share, "valid_error": math.sqrt(share * (1 - share) / samples)}
    if why is None and not math.isfinite(gap.relative):
        why = "it gives a true text the probability 0, so its gap is infinite"
    return result | {"verdict": "bound" if why is None else f"no bound: {why}"}


def _claim(bound: Callable, x0: Tensor) -> Tensor:
    """What a model says its texts cost (M,), float64. ValueError if that is something else."""
    claimed = bound(x0)
    if not isinstance(claimed, Tensor) or claimed.shape != x0.shape[:1]:
        got = tuple(claimed.shape) if isinstance(claimed, Tensor) else type(claimed).__name__
        raise ValueError(f"bound(x0) must return the cost of each text in nats, shape ({len(x0)},), not {got}")
    if claimed.isnan().any():
        raise FloatingPointError("the bound that the recipe claims is not a number")
    return claimed.double().cpu()


def _peeks(score: Score, process: Process, x0: Tensor) -> str | None:
    """What is wrong with a score that depends on more than (x, sigma), if it does. Noisy copies of one text together
    show all of it; so the score of a text must be the same alone as between other copies."""
    clean = x0[:1].expand(16, -1)
    sigma = torch.full((16,), math.log(2))  # half of the characters
    x = process.perturb(clean, sigma, Generator().manual_seed(0))
    together = call(score, process, x, sigma)
    alone = torch.cat([call(score, process, x[[k]], sigma[[k]]) for k in range(len(x))])
    difference = torch.where(together == alone, 0.0, together - alone).abs().max()
    if difference < 0.01:
        return None
    return "the score of a text changes with the other texts of the call, or from call to call"


def machine_speed() -> float:
    """GFLOP/s of 256 x 256 matmuls here, in float32: to tell a fast laptop from a slow one."""
    a = torch.rand(256, 256)
    torch.mm(a, a)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < 0.2:
        torch.mm(a, a)
        count += 1
    return count * 2 * 256**3 / (time.perf_counter() - started) / 1e9


def race(
    name: str, seed: int, minutes: float, recipe: Recipe = default_recipe, path: Path | None = None, texts: int = 400,
    progress: bool = False,
) -> tuple[dict, str]:  # fmt: skip
    """One entrant from start to verdict: the result, as `board` reads it, and what the recipe printed."""
    check_between(0, math.inf, minutes=minutes)
    world = race_world(seed)
    score, process, spent, printed = run_recipe(recipe, race_corpus(world, seed), 60 * minutes, path=path)
    late = max(spent - 60 * minutes, 0.0)
    result = {
        "schema": SCHEMA, "name": name, "seed": seed, "minutes": float(minutes), "texts": texts,
        "process": type(process).__name__, "seconds": spent,
        # Every recipe ends a step or a validation after its limit; the first 10 % and 2 s are no offense.
        "late_seconds": late if late > 6 * minutes + 2 else 0.0,
        "entropy_per_char": world.entropy() / world.length, "machine_gflops": machine_speed(),
    }  # fmt: skip
    with _recipe_errors(path), contextlib.redirect_stdout(io.StringIO()):  # the score is the recipe's code too
        judged = judge(score, process, world, seed, texts, progress=progress)
    if not math.isfinite(judged["gap"]):
        judged |= {"gap": None, "gap_error": None}
    return result | judged, printed


FIELDS = {
    "schema": str, "name": str, "seed": int, "minutes": float, "texts": int, "process": str, "seconds": float,
    "late_seconds": float, "entropy_per_char": float, "machine_gflops": float, "gap": float | None,
    "gap_error": float | None, "valid": float, "valid_error": float, "ledger": dict | None, "verdict": str,
}  # fmt: skip
LEDGER = {"learning", "learning_error", "factorization", "factorization_error"}


def read_results(path: Path) -> list[dict]:
    """The results in a file, one JSON object per line. ValueError says what is wrong with it."""
    try:
        lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
        results = [json.loads(line, parse_constant=_no_constant) for line in lines]
    except (OSError, ValueError, RecursionError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not one JSON object per line"
        raise ValueError(f"{path} is no result of a race: {said}") from None
    for result in results:
        if not isinstance(result, dict) or result.get("schema") != SCHEMA:
            raise ValueError(f"{path} is no result of a race: it does not say {SCHEMA!r}")
        wrong = [key for key, kind in FIELDS.items() if key not in result or not _is_a(result[key], kind)]
        wrong += sorted(map(str, result.keys() - FIELDS.keys()))
        wrong += ["ledger"] if isinstance(result.get("ledger"), dict) and not _is_ledger(result["ledger"]) else []
        if not wrong and ((result["gap"] is None) != (result["gap_error"] is None) or not 0 <= result["valid"] <= 1):
            wrong = ["gap_error" if 0 <= result["valid"] <= 1 else "valid"]
        if not wrong and result["gap"] is None and result["verdict"] == "bound":
            wrong = ["verdict"]
        if wrong:
            raise ValueError(f"{path} is no result of a race: {', '.join(wrong)} is missing or not as it should be")
    if not results:
        raise ValueError(f"{path} is no result of a race: it is empty")
    return results


def _no_constant(name: str):
    raise ValueError(name)


def _is_a(value: object, kind: type) -> bool:
    finite = not isinstance(value, float) or math.isfinite(value)  # 1e999 is read as infinity
    return isinstance(value, kind) and not isinstance(value, bool) and finite


def _is_ledger(entry: dict) -> bool:
    return entry.keys() == LEDGER and all(_is_a(value, float) for value in entry.values())


def board(results: list[dict]) -> str:
    """The table of a class, for each world, time and number of texts one, best gap first.

    Places are shared ("1=") by results that are within two standard errors of the best one among them. What is late, or
    no bound, has no place.
    """
    tables = []
    races = sorted({(r["seed"], r["minutes"], r["texts"]) for r in results})
    for seed, minutes, texts in races:
        rows = [r for r in results if (r["seed"], r["minutes"], r["texts"]) == (seed, minutes, texts)]
        ranked = sorted((r for r in rows if r["verdict"] == "bound" and not r["late_seconds"]), key=_gap)
        others = sorted((r for r in rows if r["verdict"] != "bound" or r["late_seconds"]), key=_gap)
        lines = [
            f"world {seed}, {minutes:g} minutes, judged on {texts} texts",
            f"{'':4} {'name':20} {'gap':>16}  {'valid':>5}  {'learning':>8}  {'factoriz.':>9}  {'GFLOP/s':>7}",
        ]
        at = 0
        while at < len(ranked):
            best = ranked[at]
            tied = (_gap(r) - _gap(best) <= 2 * math.hypot(r["gap_error"], best["gap_error"]) for r in ranked[at:])
            count = next((k for k, tie in enumerate(tied) if not tie), len(ranked) - at)
            place = f"{at + 1}{'=' if count > 1 else '.'}"
            lines += [_row(place, r) for r in ranked[at : at + count]]
            at += count
        lines += [_row("-", r) for r in others]
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _gap(result: dict) -> float:
    return math.inf if result["gap"] is None else result["gap"]


def _row(place: str, result: dict) -> str:
    gap = "infinite" if result["gap"] is None else f"{result['gap']:.1%} +- {result['gap_error']:.1%}"
    terms = result["ledger"] or {}
    learning, factorization = (f"{terms[k]:.2f}" if terms else "-" for k in ("learning", "factorization"))
    notes = [f"late by {result['late_seconds']:.0f} s"] if result["late_seconds"] else []
    notes += [result["verdict"]] if result["verdict"] != "bound" else []
    row = (
        f"{place:4} {result['name'][:20]:20} {gap:>16}  {result['valid']:>5.0%}  {learning:>8}  {factorization:>9}  "
        f"{result['machine_gflops']:>7.0f}"
    )
    return "  ".join([row, "; ".join(notes)]).rstrip()
