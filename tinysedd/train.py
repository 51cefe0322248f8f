"""Training: one loop, read from top to bottom. It knows no files; `keep` hands its state to the caller."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import cast

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from tinysedd.corpus import Corpus
from tinysedd.guard import check_alphabet, check_at_least, check_between, check_forgets, check_one_of, check_seed
from tinysedd.model import Transformer
from tinysedd.objective import Bound, likelihood_bound, score_entropy_loss


@dataclass(frozen=True)
class Training:
    """How to train. The length is `steps`, or `minutes` on the clock, which then also drives the learning rate.

    batch      texts per step
    lr         peak learning rate, reached after `warmup` steps, then decayed linearly to 0
    embed_lr   learning rate of the character embeddings, as a multiple of lr
    muon       Muon for the weight matrices of the blocks and AdamW for the rest; False: AdamW for everything
    ns_steps   Newton-Schulz steps of Muon
    weight     of the loss, see `score_entropy_loss`
    ema_decay  decay per step of the moving average of the weights (EMA), which is validated and kept
    clip       largest norm of the gradient
    validate   how many validations, evenly spread over the training
    bfloat16   autocast; always on on a GPU
    ValueError unless exactly one of steps and minutes is given, counts are at least 1 (ns_steps: to 99), and lr,
    embed_lr and clip above 0.
    """

    steps: int | None = 2000
    minutes: float | None = None
    batch: int = 64
    lr: float = 1.2e-2
    embed_lr: float = 1.0
    warmup: int = 50
    muon: bool = True
    ns_steps: int = 5
    weight: str = "even"
    ema_decay: float = 0.995
    clip: float = 1.0
    validate: int = 20
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self):
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("say how long to train: either steps or minutes")
        check_at_least(1, steps=1 if self.steps is None else self.steps, batch=self.batch, validate=self.validate)
        check_at_least(1, warmup=self.warmup, ns_steps=self.ns_steps)
        check_between(0, math.inf, minutes=1 if self.minutes is None else self.minutes, lr=self.lr, clip=self.clip)
        check_between(0, math.inf, embed_lr=self.embed_lr)
        check_between(0, 100, ns_steps=self.ns_steps)
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must be at least 0 and below 1, not {self.ema_decay}")
        check_one_of(("bound", "even"), weight=self.weight)
        check_seed(self.seed)

    def done(self, step: int, seconds: float) -> float:
        """The share of the training that is over after so many steps and seconds, in [0, 1]."""
        return min(step / self.steps if self.steps is not None else seconds / (60 * (self.minutes or 1)), 1.0)


@dataclass(frozen=True)
class Point:
    """A point of the training curve: seconds of training without validations; the mean loss since the last point; the
    bound of the averaged weights and its standard error; all in nats per character."""

    step: int
    seconds: float
    loss: float
    bound: float
    standard_error: float


def fit(
    model: Transformer,
    corpus: Corpus,
    training: Training = Training(),
    *,
    loss: Callable[[Transformer, Tensor, torch.Generator, float], Tensor] | None = None,
    watch: Callable[[Transformer, Point], object] | None = None,
    keep: Callable[[dict], object] | None = None,
    stop: Callable[[], object] | None = None,
    resume: dict | None = None,
    progress: bool = True,
) -> list[Point]:
    """Train a model in place, on its device, and leave the averaged weights (EMA) in it. Returns the training curve.

    loss    loss(model, x0 (B, L), rng, done) -> scalar, where done in [0, 1) is the fraction that is over;
            default: score entropy, or cross-entropy for a causal model
    watch   called with the averaged model and the point at each validation
    keep    called with the state at each validation, and when `stop` ended the training early; it must store or copy
            the state at once, because training goes on in the same tensors
    stop    asked before each step; true ends the training
    resume  a state that `keep` was given: training continues bit for bit as if it had not stopped, if steps count
    ValueError if the corpus has another alphabet than the model or longer texts. FloatingPointError as soon as a loss,
    a gradient or a bound is nan or infinite: the last state that `keep` was given is then the last good one.
    """
    check_alphabet(corpus.alphabet, model.process, model.alphabet)
    check_forgets(model.process)
    loss = loss or (lambda model, x0, rng, done: training_loss(model, x0, rng, training.weight))
    vars(model).pop("costs", None)  # those of the weights before (see tinysedd.costs)
    rng = torch.Generator().manual_seed(training.seed)
    optimizers = make_optimizers(model, training)
    # EMA warm-up: at first the average covers the last tenth of the steps, so it forgets the untrained weights quickly.
    ema = AveragedModel(
        model, avg_fn=lambda old, new, n: torch.lerp(old, new, max(1 - training.ema_decay, 10 / (10 + int(n))))
    )
    averaged = cast(Transformer, ema.module)
    step, seconds, clock = 0, 0.0, 0.0  # `clock` includes validations, `seconds` does not
    losses: list[float] = []  # since the last validation
    curve: list[Point] = []
    if resume is not None:
        model.load_state_dict(resume["model"])
        ema.load_state_dict(resume["ema"])
        for optimizer, saved in zip(optimizers, resume["optimizers"]):
            optimizer.load_state_dict(saved)
        rng.set_state(resume["rng"])
        step, seconds, clock, losses = resume["step"], resume["seconds"], resume["clock"], list(resume["losses"])
        curve = [Point(**point) for point in resume["curve"]]

    def state() -> dict:
        return {
            "model": model.state_dict(), "ema": ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers], "rng": rng.get_state(),
            "step": step, "seconds": seconds, "clock": clock, "losses": losses, "curve": [asdict(p) for p in curve],
        }  # fmt: skip

    done = training.done(step, clock)
    form = "{percentage:3.0f}% {bar:20} {elapsed} < {remaining}{postfix}"
    bar = tqdm(total=1.0, initial=done, disable=not progress, bar_format=form)
    try:
        while done < 1:
            if stop is not None and stop():
                if keep is not None:
                    keep(state())
                break
            started = time.perf_counter()
            x0 = corpus.batch(training.batch, rng).to(model.device)
            lr = training.lr * min((step + 1) / training.warmup, 1) * (1 - done)
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = lr * group["scale"]
            on_gpu = model.device.type == "cuda"
            with torch.autocast(model.device.type, torch.bfloat16, enabled=training.bfloat16 or on_gpu):
                value = loss(model, x0, rng, done)
            value.backward()
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip)
            check_finite(step, "loss", value.item())
            check_finite(step, "gradient", norm.item())
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            ema.update_parameters(model)
            losses.append(value.item())
            step += 1
            spent = time.perf_counter() - started
            seconds, clock = seconds + spent, clock + spent

            before, done = done, training.done(step, clock)
            if int(done * training.validate) > int(before * training.validate):
                started = time.perf_counter()
                bound = validate(averaged, corpus)
                check_finite(step, "bound", bound.nats_per_char)
                mean_loss = sum(losses) / len(losses)
                curve.append(Point(step, seconds, mean_loss, bound.nats_per_char, bound.standard_error))
                losses.clear()
                clock += time.perf_counter() - started
                if watch is not None:
                    watch(averaged, curve[-1])
                if keep is not None:
                    keep(state())
            done = training.done(step, clock)
            bar.set_postfix_str(describe_progress(step, losses, curve, training, corpus, seconds), refresh=False)
            bar.update(done - bar.n)
    finally:
        bar.close()
        model.load_state_dict(averaged.state_dict())
    return curve


def training_loss(model: Transformer, x0: Tensor, rng: torch.Generator, weight: str = "even") -> Tensor:
    """The default loss, in nats per character of texts x0 (B, L): cross-entropy for a causal model."""
    if model.config.causal:
        return -model.log_prob(x0).mean() / x0.shape[1]
    return score_entropy_loss(model, model.process, x0, rng, weight)


def check_finite(step: int, name: str, value: float) -> None:
    """FloatingPointError if a value is nan or infinite: no further step can repair the weights."""
    if not math.isfinite(value):
        raise FloatingPointError(f"training diverged at step {step}: the {name} is {value}; use a lower learning rate")


def make_optimizers(model: Transformer, training: Training) -> list[torch.optim.Optimizer]:
    """AdamW, and Muon for the matrices of the blocks. `scale` of a group multiplies the learning rate."""
    table = model.embed.weight
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2] if training.muon else []
    others = [p for p in model.parameters() if all(p is not other for other in [table, *matrices])]
    groups = [{"params": others, "scale": 1.0}, {"params": [table], "scale": training.embed_lr}]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=0.0)]
    if matrices:
        groups = [{"params": matrices, "scale": 1.0}]
        optimizers.append(
            torch.optim.Muon(groups, weight_decay=0.0, ns_steps=training.ns_steps, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers


@torch.no_grad()
def validate(model: Transformer, corpus: Corpus) -> Bound:
    """The bound on at most 128 held-out texts: always the same texts with the same noise, so only the model changes."""
    x0 = corpus.validation[:: max(len(corpus.validation) // 128, 1)][:128].to(model.device)
    if model.config.causal:
        return Bound(-model.log_prob(x0), corpus.length)
    return likelihood_bound(model, model.process, x0, draws=4, generator=torch.Generator().manual_seed(0))


def describe_progress(step, losses, curve, training: Training, corpus: Corpus, seconds: float) -> str:
    """One line for the progress bar."""
    recent = losses[-100:]
    loss = f", loss {sum(recent) / len(recent):.3f}" if recent else ""
    bound = f", bound {curve[-1].bound:.3f}" if curve else ""
    speed = step * training.batch * corpus.length / seconds / 1000
    return f"step {step}{loss}{bound}, {speed:.1f}k characters/s"
