"""Training, checkpoints, and the corpora that have a name. The one room that knows files; nothing below it does.

Two kinds of file. A *checkpoint* is small and all that sampling needs: the averaged weights in half precision, with the
process, the shape and the alphabet. A *state* (.train.pt) lets a stopped training go on as if nothing had happened.
Both are read with weights_only=True: opening a stranger's file runs no code of theirs.
"""

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from tqdm.auto import tqdm

from tinysedd.corpus import Alphabet, Corpus
from tinysedd.model import Shape, Transformer
from tinysedd.noise import Geometric, LogLinear
from tinysedd.objective import Bound, autoregressive_loss, likelihood_bound, score_entropy_loss
from tinysedd.process import Absorbing, Uniform
from tinysedd.worlds import Fables, Words

DATA = Path(__file__).parent.parent / "data"
SHIPPED = ("fables", "fables-uniform", "shakespeare")
WORLDS = {"words": Words, "fables": Fables}
PROCESSES = {"absorbing": Absorbing, "uniform": Uniform}
_KINDS = {kind.__name__: kind for kind in (LogLinear, Geometric, Absorbing, Uniform)}


@dataclass(frozen=True)
class Training:
    """How to train. The length is `steps`, or `minutes` on the clock, which then also drives the learning rate.

    rate: the peak learning rate, reached after `warmup` steps and lowered in a straight line to 0 at the end.
    muon: Muon for the matrices of the blocks (AdamW does the rest), instead of AdamW for everything.
    weight, late: see score_entropy_loss. reference: how many texts its reference has, drawn anew for each step.
    average: decay per step of the moving average that is validated and kept.
    validate: how many times, evenly over the training. bfloat16: autocast, always on a GPU.
    """

    steps: int | None = 2000
    minutes: float | None = None
    batch: int = 64
    rate: float = 1.2e-2
    warmup: int = 50
    muon: bool = True
    weight: str = "even"
    late: float = 1.0
    reference: int = 0
    average: float = 0.995
    clip: float = 1.0
    validate: int = 20
    bfloat16: bool = False
    seed: int = 0

    def __post_init__(self):
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("say how long to train: either steps or minutes")
        if min(self.minutes if self.steps is None else self.steps, self.batch, self.validate) <= 0:
            raise ValueError("steps, minutes, batch and validate must be above 0")
        if self.reference < 0:
            raise ValueError(f"reference must be 0 or more, not {self.reference}")


@dataclass(frozen=True)
class Point:
    """A point of the training curve: seconds of training, validations left out; loss and bound (of the averaged
    weights) in nats per character."""

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
    state: Path | None = None,
    notes: dict | None = None,
    resume: dict | None = None,
    progress: bool = True,
    watch: Callable[[Transformer, Point], None] | None = None,
) -> list[Point]:
    """Train a model in place, on the device where it is, and leave the averaged weights in it. The training curve.

    state   where to keep the state, at each validation and when stopped by Ctrl-C (KeyboardInterrupt follows, after
            the step that was under way); without it a stop leaves the average so far in the model
    notes   plain values to keep in the state, for whoever reads it
    resume  a state from `read_state`: the rest then goes as if there had been no stop, bit for bit where steps count
    watch   called with the averaged model and the point, at each validation
    """
    run = _Run(model, training)
    if resume is not None:
        run.restore(resume)

    def keep() -> None:
        if state is not None:
            content = {**run.state(), **describe(model), "training": asdict(training), "notes": notes}
            _write(state, lambda file: torch.save(content, file))

    form = "{percentage:3.0f}% {bar:20} {elapsed} < {remaining}{postfix}"
    bar = tqdm(total=1.0, initial=run.done, disable=not progress, bar_format=form)
    with bar, _stop_after_the_step() as stopped:
        while (before := run.done) < 1 and not stopped:
            run.take_step(corpus)
            if int(run.done * training.validate) > int(before * training.validate):
                point = run.validate(corpus)
                if watch is not None:
                    watch(run.average.module, point)
                keep()
            speed = run.step * training.batch * corpus.length / run.seconds
            bar.set_postfix_str(f"{run}, {speed / 1000:.1f}k characters/s", refresh=False)
            bar.update(run.done - bar.n)
        if stopped:
            keep()
    model.load_state_dict(run.average.module.state_dict())
    if stopped:
        raise KeyboardInterrupt
    return run.curve


class _Run:
    """All that changes while a model is trained."""

    def __init__(self, model: Transformer, training: Training):
        self.model, self.training = model, training
        self.generator = torch.Generator().manual_seed(training.seed)
        matrices = [p for p in model.blocks.parameters() if p.ndim == 2] if training.muon else []
        others = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
        self.optimizers = [torch.optim.AdamW(others, betas=(0.9, 0.99), weight_decay=0.0)]
        if matrices:
            self.optimizers.append(torch.optim.Muon(matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))
        # Over the last tenth of the steps at first, lest the average remember the untrained weights for long.
        self.average = AveragedModel(
            model, avg_fn=lambda old, new, n: torch.lerp(old, new, max(1 - training.average, 10 / (10 + int(n))))
        )
        self.step, self.seconds, self.clock = 0, 0.0, 0.0  # the clock goes on during a validation, seconds do not
        self.losses: list[float] = []  # since the last validation
        self.curve: list[Point] = []

    def __str__(self) -> str:
        recent = self.losses[-100:]
        bound = [f"bound {self.curve[-1].bound:.3f}"] if self.curve else []
        loss = [f"loss {sum(recent) / len(recent):.3f}"] if recent else []
        return ", ".join([f"step {self.step}", *loss, *bound])

    @property
    def done(self) -> float:
        """The share of the training that is behind us, in [0, 1]."""
        steps, minutes = self.training.steps, self.training.minutes
        return min(self.clock / (60 * minutes) if steps is None else self.step / steps, 1.0)

    def take_step(self, corpus: Corpus) -> None:
        started, training, device = time.perf_counter(), self.training, self.model.device
        x0 = corpus.draw(training.batch, self.generator).to(device)
        reference = corpus.draw(training.reference, self.generator).to(device) if training.reference else None
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = training.rate * min((self.step + 1) / training.warmup, 1) * (1 - self.done)
        with torch.autocast(device.type, torch.bfloat16, enabled=training.bfloat16 or device.type == "cuda"):
            loss = training_loss(self.model, x0, self.generator, training.weight, training.late, reference)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.update_parameters(self.model)
        self.losses.append(loss.item())
        self.step += 1
        self._passed(started, training=True)

    @torch.no_grad()
    def validate(self, corpus: Corpus) -> Point:
        """A new point of the curve: always the same texts with the same noise, so that it shows the model, not dice."""
        started, model, every = time.perf_counter(), self.average.module, max(len(corpus.validation) // 128, 1)
        x0 = corpus.validation[::every][:128].to(model.device)
        if model.shape.causal:
            nats = -model.log_posterior(x0).gather(-1, x0[..., None]).sum((1, 2))
            bound = Bound(nats, corpus.length)
        else:
            bound = likelihood_bound(model, model.process, x0, draws=4, generator=torch.Generator().manual_seed(0))
        loss = sum(self.losses) / max(len(self.losses), 1)
        self.curve.append(Point(self.step, self.seconds, loss, bound.nats_per_char, bound.standard_error))
        self.losses.clear()
        self._passed(started, training=False)
        return self.curve[-1]

    def _passed(self, started: float, training: bool) -> None:
        passed = time.perf_counter() - started
        self.clock += passed
        self.seconds += passed if training else 0.0

    def state(self) -> dict:
        return {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "clock": self.clock,
            "losses": self.losses,
            "curve": [asdict(point) for point in self.curve],
        }

    def restore(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.generator.set_state(state["generator"])
        self.step, self.seconds, self.clock = state["step"], state["seconds"], state["clock"]
        self.losses = state["losses"]
        self.curve = [Point(**point) for point in state["curve"]]


def training_loss(
    model: Transformer,
    x0: Tensor,
    generator: torch.Generator,
    weight: str = "even",
    late: float = 1.0,
    reference: Tensor | None = None,
) -> Tensor:
    """What a model is trained with, in nats per character of texts x0 (B, L)."""
    if model.shape.causal:
        return autoregressive_loss(model, x0)
    return score_entropy_loss(model, model.process, x0, generator, weight, late, reference)


def fast_bfloat16() -> bool:
    """Whether this CPU has 16-bit products in hardware. A training then takes about half the time."""
    has = getattr(torch.cpu, "get_capabilities", dict)()  # which older versions of torch cannot say
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def load_corpus(name: str, length: int | None = None, alphabet: Alphabet | None = None) -> Corpus:
    """The corpus of a name ("fables", "words", "shakespeare") or of a UTF-8 text file, in texts of `length` characters.

    Line ends of a file are read as newlines. The length defaults to the world's, or to 128; the alphabet to the text's
    own. ValueError says what is wrong with a file.
    """
    if name in WORLDS:
        world = WORLDS[name]()
        if length not in (None, world.length):
            raise ValueError(f"the texts of {name} have {world.length} characters; leave the length out")
        return Corpus.from_world(world)
    path = DATA / "shakespeare.txt" if name == "shakespeare" else Path(name)
    if name == "shakespeare" and not path.exists():
        raise ValueError("data/shakespeare.txt is not there yet: make it with  python data/prepare.py")
    try:
        return Corpus.from_text(path.read_text(encoding="utf-8-sig"), length or 128, alphabet)
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 text (byte {error.start}): save it as UTF-8 first") from None
    except OSError as error:
        known = ", ".join([*WORLDS, "shakespeare"])
        raise ValueError(f"cannot read {name}: {error.strerror}; a corpus is a text file, or one of {known}") from None


def describe(model: Transformer) -> dict:
    """All that it takes to build a model again, but for its weights, as plain values."""
    process = model.process
    return {
        "process": {"kind": type(process).__name__, "num_tokens": process.num_tokens},
        "schedule": {"kind": type(process.schedule).__name__, **asdict(process.schedule)},
        "shape": asdict(model.shape), "alphabet": model.alphabet.characters, "length": model.length,
    }  # fmt: skip


def build(description: dict) -> Transformer:
    """The model that `describe` described, with fresh weights."""
    process, schedule = dict(description["process"]), dict(description["schedule"])
    schedule = _KINDS[schedule.pop("kind")](**schedule)
    process = _KINDS[process.pop("kind")](**process, schedule=schedule)
    alphabet = Alphabet(description["alphabet"])
    return Transformer(process, Shape(**description["shape"]), alphabet, description["length"])


def save(model: Transformer, path: Path | str, **notes) -> None:
    """Write a checkpoint, and beside it, as .json, the notes: the command that made it, the curve, ..."""
    half = {name: tensor.half().cpu() for name, tensor in model.state_dict().items()}
    _write(Path(path), lambda file: torch.save({"weights": half, **describe(model)}, file))
    _write(Path(path).with_suffix(".json"), lambda file: file.write((json.dumps(notes, indent=1) + "\n").encode()))


def load(name: str | Path, device: str | torch.device = "cpu") -> Transformer:
    """A trained score function with .process .alphabet .length: a shipped one by name ("fables", "fables-uniform",
    "shakespeare"), or one of yours by its file. ValueError where there is none or the file is no checkpoint.
    """
    saved = _read(_checkpoint(name), "weights", f"the checkpoints that come with tinysedd are {', '.join(SHIPPED)}")
    model = build(saved)
    model.load_state_dict({name: tensor.float() for name, tensor in saved["weights"].items()})
    return model.to(device).eval().requires_grad_(False)


def notes(name: str | Path) -> dict:
    """What was written beside a checkpoint when it was saved; empty where nothing is."""
    path = _checkpoint(name).with_suffix(".json")
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def read_state(path: Path | str) -> dict:
    """A training state, for `fit(..., resume=)`. ValueError where there is none or the file is none."""
    return _read(Path(path), "optimizers", "a state is the .train.pt file that training keeps until it ends")


def _checkpoint(name: str | Path) -> Path:
    return DATA / "checkpoints" / f"{name}.pt" if name in SHIPPED else Path(name)


def _read(path: Path, key: str, hint: str) -> dict:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; {hint}") from None
    except Exception:  # whatever torch and pickle say of a file that is something else
        saved = None
    if not isinstance(saved, dict) or key not in saved:
        raise ValueError(f"{path} is not a file of the kind that is asked for; {hint}")
    return saved


def _write(path: Path, write: Callable) -> None:
    """All or nothing: a half-written file never stands where a whole one is looked for."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            write(file)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _stop_after_the_step() -> Iterator[list]:
    """Ctrl-C asks to stop, by filling the list, and does not break off a step half-way; a second one does."""
    asked: list[int] = []

    def ask(number: int, frame) -> None:
        asked.append(number)
        signal.signal(signal.SIGINT, before)

    try:
        before = signal.signal(signal.SIGINT, ask)
    except ValueError:  # not in the main thread, where Ctrl-C does not arrive
        yield asked
        return
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
