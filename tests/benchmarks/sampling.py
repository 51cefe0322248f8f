"""How fast the shipped checkpoints write text, and how good the text is for the time.

The plain sampler is Tweedie with 256 steps, and calls the network for all texts in every step. Two questions: What does
the same chain cost if the network is asked only about what is drawn, and with bfloat16 matmuls too? And how little time
does a better sampler need for text that is as good? The better samplers ("schemes") use bfloat16 matmuls if the CPU has
them in hardware.
"""

import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from likelihood import BFLOAT16
from measure import ROOT, Row, Settings, announce
from torch import Tensor
from tqdm.auto import tqdm

from tinysedd import Absorbing, Alphabet, Corpus, Fables, Training, Transformer, fit, load, load_corpus, sample, save
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.files import SHAKESPEARE

CHAIN = "tweedie"
PLAIN_STEPS, BATCH, TEXTS = 256, 64, 192
SCHEMES = [
    *(("corrected", steps) for steps in (8, 12, 16, 24, 32, 64)),
    *(("planned", steps) for steps in (6, 9, 12, 16, 24)),
    *(("spread", steps) for steps in (16, 32)),
    *(("entropy_bounded", steps) for steps in (16, 24)),
    *(("first_hitting", steps) for steps in (32, 64)),
]
JUDGE_MINUTES = 5.0

# Text counts as good as the plain sampler's if in none of these it is further from real text. The entropy makes sure
# that better samples are not less diverse. All are in nats, except for the shares fables, known_words, distinct_lines.
KEYS = {
    "fables": ["fables", "trigram_divergence", "trigram_entropy", "distinct_lines"],
    "shakespeare": ["judge", "trigram_divergence", "known_words", "trigram_entropy", "distinct_lines"],
}


def measure(settings: Settings) -> Iterator[dict]:
    """Runs all contestants in turn, batch by batch, for each seed and checkpoint; yields after each batch."""
    plain, batch, schemes = PLAIN_STEPS, BATCH, SCHEMES
    if settings.quick:
        plain, batch, schemes = 12, 4, [("corrected", 4), ("corrected", 8), ("first_hitting", 4), ("first_hitting", 8)]
    batches = 1 if settings.quick else math.ceil(TEXTS / batch / settings.seeds)
    grounds = {"fables": _fables(), "shakespeare": _shakespeare(settings)}
    values = {
        name: {"batch": batch, "length": ground.model.length, "plain_steps": plain}
        | {"real": [], "drawn": [], "bfloat16_divergence": []}
        for name, ground in grounds.items()
    }
    chain = [(role, CHAIN, plain) for role in ("plain", "lazy", *(["bfloat16"] if BFLOAT16 else []))]
    contestants = [*chain, *(("scheme", *scheme) for scheme in schemes)]
    for ground in grounds.values():  # warm-up: the first calls of a process are slow
        sample(ground.model, ground.model.process, count=batch, steps=1)
    for seed in range(settings.seeds):
        generator = torch.Generator().manual_seed(seed)
        for number in range(batches):
            work = [(name, contestant) for name in grounds for contestant in contestants]
            for name, (role, sampler, steps) in (bar := tqdm(work, desc=f"sampling, seed {seed}, batch {number}")):
                bar.set_postfix_str(f"{name}: {sampler}, {steps} steps")
                model = grounds[name].model
                if sampler in ("first_hitting", "spread", "planned") and steps > model.length:
                    continue  # they never take more steps than there are characters
                started = time.perf_counter()
                # A plain function hides that a network can be asked about single places.
                score = model if role != "plain" else lambda x, sigma, model=model: model(x, sigma)
                bfloat16 = role == "bfloat16" or (role == "scheme" and BFLOAT16)
                with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                    drawn = sample(
                        score, model.process, length=model.length, count=batch, steps=steps, sampler=sampler,
                        generator=generator,
                    )  # fmt: skip
                values[name]["drawn"].append(
                    {
                        "seed": seed,
                        "role": role,
                        "sampler": sampler,
                        "steps": steps,
                        "seconds": time.perf_counter() - started,
                        "calls": drawn.calls,
                        "quality": grounds[name].quality(drawn.states[-1]),
                    }
                )
            for name in grounds if BFLOAT16 else ():
                values[name]["bfloat16_divergence"].append(bfloat16_divergence(grounds[name].model, batch, generator))
            for name, ground in grounds.items():  # as many as were drawn: the measures depend on the number
                quality = ground.quality(ground.real(batch, generator))
                values[name]["real"].append({"seed": seed, "quality": quality})
            yield values


@torch.no_grad()
def bfloat16_divergence(model: Transformer, count: int, generator: torch.Generator) -> float:
    """An upper bound on the KL divergence of what the chain writes with bfloat16 instead of float32, in nats per text.

    It is the divergence between the whole trajectories: by the chain rule, the sum over all characters that are drawn.
    Each character is drawn at a uniformly random share of masks, and which characters are masked then does not depend
    on the text.
    """
    process = model.process
    x = sample(model, process, count=count, steps=model.length, sampler="first_hitting", generator=generator).states[-1]
    x = x.repeat(8, 1)  # each at 8 shares of masks
    share = (torch.arange(len(x)) + torch.rand((), dtype=torch.float64, generator=generator)) / len(x)
    masked = torch.rand(x.shape, generator=generator) < share[:, None]
    x = torch.where(masked, process.mask, x)
    p = model.log_posterior(x).double()
    with torch.autocast("cpu", torch.bfloat16):
        q = model.log_posterior(x).double()
    divergence = (p.exp() * (p - q)).sum(-1)  # (B, L)
    return float(((divergence * masked).sum(-1) / share).mean())


def rows(values: dict) -> list[Row]:
    return [row for name in values for row in _rows(name, values[name])]


def _rows(name: str, ground: dict) -> list[Row]:
    schemes, key, steps = compare(name, ground), KEYS[name][0], ground["plain_steps"]
    plain, lazy = (next(s for s in schemes if s["role"] == role) for role in ("plain", "lazy"))
    bfloat16 = next((s for s in schemes if s["role"] == "bfloat16"), None)
    good = [s for s in schemes if s["role"] == "scheme" and s["as_good"]]
    best = min(good, key=lambda s: statistics.fmean(s["time_ratios"]), default=None)
    unit, of = ("nats/char", "autoregressive judge") if key == "judge" else ("", "share of fables")
    at_most = 0.25 if name == "shakespeare" else None
    result = [
        Row.over(f"{name}: {ground['batch']} texts of {ground['length']}, {steps} plain steps", plain["seconds"], "s"),
        Row.over(
            f"{name}: the same chain, asking the network only about what is drawn / plain",
            lazy["time_ratios"],
            at_most=at_most,
        ),
    ]
    if bfloat16 is not None:
        divergence = ground["bfloat16_divergence"]
        result += [
            Row.over(f"{name}: the same with bfloat16 matmuls / plain", bfloat16["time_ratios"], at_most=at_most),
            Row.over(f"{name}: KL divergence that bfloat16 causes, at most", divergence, "nats/text"),
        ]
    what = f"{name}: time for text as good / plain"
    if best is None:
        result.append(Row(what, None, at_most=1 / 40, note="none of the schemes is as good"))
    else:
        result.append(Row.over(what, best["time_ratios"], at_most=1 / 40, note=_label(best)))
    result.append(Row.over(f"{name}: {of}, real text", _by_seed(ground["real"], key), unit))
    result += [
        Row.over(f"{name}: {of}, {_label(s)}", s["quality"][key], unit) for s in schemes if s in (plain, bfloat16, best)
    ]
    return result


def _label(scheme: dict) -> str:
    return f"{scheme['sampler']}, {scheme['steps']} steps" + (", bfloat16" if scheme["role"] == "bfloat16" else "")


def compare(name: str, ground: dict) -> list[dict]:
    """Each contestant with its seconds per batch, their ratio to the plain sampler's, and every quality, per seed.

    as_good: in none of KEYS further from real text than the plain sampler by more than two standard errors.
    """
    drawn, result = ground["drawn"], []
    plain = [d for d in drawn if d["role"] == "plain"]
    for role, sampler, steps in dict.fromkeys((d["role"], d["sampler"], d["steps"]) for d in drawn):
        own = [d for d in drawn if (d["role"], d["sampler"], d["steps"]) == (role, sampler, steps)]
        seconds = _by_seed(own, "seconds")
        result.append(
            {
                "role": role,
                "sampler": sampler,
                "steps": steps,
                "seconds": seconds,
                "time_ratios": [a / b for a, b in zip(seconds, _by_seed(plain, "seconds"))],
                "quality": {key: _by_seed(own, key) for key in own[0]["quality"]},
                "as_good": all(_as_good(key, own, plain, ground["real"]) for key in KEYS[name]),
            }
        )
    return result


def _by_seed(batches: list[dict], key: str) -> list[float]:
    """The mean over the batches of each seed, of the seconds or of a quality."""
    seeds = sorted({batch["seed"] for batch in batches})
    return [statistics.fmean(_value(batch, key) for batch in batches if batch["seed"] == seed) for seed in seeds]


def _value(batch: dict, key: str) -> float:
    return batch[key] if key == "seconds" else batch["quality"][key]


def _as_good(key: str, own: list[dict], plain: list[dict], real: list[dict]) -> bool:
    # A divergence from the corpus is already a distance. (That of real text is not 0: it is a small, different sample.)
    goal = 0.0 if key.endswith("_divergence") else statistics.fmean(_value(batch, key) for batch in real)
    distances, variance = [], 0.0
    for batches in (own, plain):
        values = [_value(batch, key) for batch in batches]
        distances.append(abs(statistics.fmean(values) - goal))
        variance += statistics.variance(values) / len(values) if len(values) > 1 else 0.0
    return distances[0] <= distances[1] + 2 * math.sqrt(variance)


@dataclass(frozen=True)
class Statistics:
    """Counts of unigrams, bigrams and trigrams of characters, of words, and of the lengths of words."""

    unigrams: Counter
    bigrams: Counter
    trigrams: Counter
    words: Counter
    word_lengths: Counter

    @classmethod
    def of(cls, texts: list[str]) -> "Statistics":
        grams = [Counter(text[i : i + n] for text in texts for i in range(len(text) - n + 1)) for n in (1, 2, 3)]
        # A word at either end of a block may be cut off, so it does not count.
        words = Counter(word for text in texts for word in re.findall(r"(?<=[^\w'])[\w']+(?=[^\w'])", text))
        lengths = Counter()
        for word, count in words.items():
            lengths[len(word)] += count
        return cls(*grams, words, lengths)


def entropy(counts: Counter) -> float:
    """Entropy of the relative frequencies, in nats."""
    total = counts.total()
    return -sum(n / total * math.log(n / total) for n in counts.values())


def divergence(a: Counter, b: Counter) -> float:
    """Jensen-Shannon divergence of the relative frequencies, in nats: from 0, if they are equal, to log 2."""
    if not a or not b:
        return math.log(2)
    n, m = a.total(), b.total()
    mixed = {key: (a[key] / n + b[key] / m) / 2 for key in a.keys() | b.keys()}
    return -sum(p * math.log(p) for p in mixed.values()) - (entropy(a) + entropy(b)) / 2


@dataclass(frozen=True)
class Ground:
    """A checkpoint with what judges its texts: the statistics of its corpus, and the world or a causal model."""

    model: Transformer
    corpus: Corpus
    typical: Statistics
    world: Fables | None = None
    judge: Transformer | None = None

    def real(self, count: int, generator: torch.Generator) -> Tensor:
        """Real texts (count, L) from the validation split."""
        return self.corpus.validation[torch.randperm(len(self.corpus.validation), generator=generator)[:count]]

    def quality(self, x: Tensor) -> dict[str, float]:
        """Measures of texts x (B, L): divergences from the corpus and entropies, in nats; shares of words and lines."""
        texts = [self.model.alphabet.decode(row) for row in x]
        own, lines = Statistics.of(texts), [line for text in texts for line in text.split("\n") if line]
        result = {
            "unigram_divergence": divergence(own.unigrams, self.typical.unigrams),
            "bigram_divergence": divergence(own.bigrams, self.typical.bigrams),
            "trigram_divergence": divergence(own.trigrams, self.typical.trigrams),
            "word_length_divergence": divergence(own.word_lengths, self.typical.word_lengths),
            "known_words": sum(n for w, n in own.words.items() if w in self.typical.words) / max(own.words.total(), 1),
            "unigram_entropy": entropy(own.unigrams),
            "trigram_entropy": entropy(own.trigrams),
            "distinct_lines": len(set(lines)) / max(len(lines), 1),
        }
        if self.world is not None:
            result["fables"] = float((self.world.log_prob(x) > -math.inf).double().mean())
        if self.judge is not None:
            result["judge"] = float(-self.judge.log_prob(x).double().mean()) / x.shape[1]
        return result


def _fables() -> Ground:
    model, world = load("fables"), Fables()
    typical = world.sample(20_000, torch.Generator().manual_seed(1))
    return Ground(
        model, Corpus.from_world(world), Statistics.of([world.alphabet.decode(x) for x in typical]), world=world
    )


def _shakespeare(settings: Settings) -> Ground:
    model = load("shakespeare")
    corpus = load_corpus("shakespeare", model.length, model.alphabet)
    path = next(folder / SHAKESPEARE for folder in (Path.cwd(), ROOT) if (folder / SHAKESPEARE).exists())
    text = path.read_text(encoding="utf-8-sig")
    typical = Statistics.of([text[: -len(corpus.validation) * model.length]])
    return Ground(model, corpus, typical, judge=_judge(settings, corpus, model.alphabet))


def _judge(settings: Settings, corpus: Corpus, alphabet: Alphabet) -> Transformer:
    """A causal model of the corpus: the one that an earlier run left in the results folder, or a new one."""
    path = settings.file("judge.pt")
    if path.exists():
        judge = load(path)
        if (judge.alphabet, judge.length, judge.config.causal) == (alphabet, corpus.length, True):
            return judge
    announce(f"sampling: training an autoregressive judge, to be saved as {path.name}")
    torch.manual_seed(0)
    minutes = 0.03 if settings.quick else JUDGE_MINUTES
    judge = FastTransformer(Absorbing(len(alphabet)), FastConfig(causal=True), alphabet, corpus.length)
    curve = fit(judge, corpus, Training(steps=None, minutes=minutes, validate=1))
    save(judge, path, bound=curve[-1].bound, minutes=minutes)
    return load(path)
