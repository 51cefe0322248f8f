"""Checkpoints and training states: the only module that writes weights.

A *checkpoint* is small and holds all that sampling needs: the averaged weights in half precision, the process, the
config, the alphabet, and notes. A *state* (.train.pt) lets a stopped training continue as if it had not stopped. Both
are read with weights_only=True, so opening a stranger's file runs no code.
"""

import json
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.files import write_atomically
from tinysedd.model import Config, Transformer
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Uniform
from tinysedd.train import Training

FOLDER = Path(__file__).parent / "checkpoints"
SHIPPED = ("fables", "fables-uniform", "shakespeare")

_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (Absorbing, Uniform, LogLinear, Geometric, Config, FastConfig, Transformer, FastTransformer)
}
Kind = TypeVar("Kind", bound=type)


def register(kind: Kind) -> Kind:
    """Let checkpoints hold a process, schedule, config or model class of your own; also works as a class decorator.

    A process, schedule or config must be a dataclass: all its fields are saved. A model must be a subclass of
    `Transformer` that is built like it. Register the class again before `load`. ValueError if it is neither, or if
    another class of that name is registered.
    """
    cls: type = kind
    name = cls.__name__
    if not is_dataclass(cls) and not issubclass(cls, Transformer):
        raise ValueError(f"{name} must be a dataclass, whose fields can be saved, or a kind of Transformer")
    known = _KINDS.get(name)  # the same class again is fine: a notebook cell may run twice
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"another class is registered as {name!r}: rename yours")
    _KINDS[name] = cls
    return kind


def save(model: Transformer, path: Path | str, **notes) -> None:
    """Write a checkpoint, with notes (plain values: the command that made it, its curve, ...).

    ValueError, before anything is written, if the model has a part that is not registered.
    """
    weights = {name: tensor.half().cpu() for name, tensor in model.state_dict().items()}
    content = {"weights": weights, "notes": _plain(notes), **describe(model)}
    write_atomically(path, lambda file: torch.save(content, file))


def load(name: str | Path, device: str | torch.device = "cpu") -> Transformer:
    """A trained score function with .process .alphabet .length: a shipped one by name ("fables", "fables-uniform",
    "shakespeare"), or one of yours by its file. ValueError if there is none or the file is not a checkpoint.
    """
    saved = _read_checkpoint(name)
    model = build(saved)
    model.load_state_dict({name: tensor.float() for name, tensor in saved["weights"].items()})
    return model.to(device).eval().requires_grad_(False)


def notes(name: str | Path) -> dict:
    """The notes of a checkpoint: what `save` was given. Empty if there are none."""
    saved, beside = _read_checkpoint(name), _path(name).with_suffix(".json")
    if "notes" not in saved and beside.exists():  # older versions wrote them to a file beside the checkpoint
        return json.loads(beside.read_text(encoding="utf-8"))
    return saved.get("notes", {})


def save_state(path: Path | str, model: Transformer, training: Training, state: dict, notes: dict) -> None:
    """Write the state that `fit(..., keep=)` hands out, with all that it takes to continue. `notes`: plain values."""
    content = {**state, **describe(model), "training": asdict(training), "notes": _plain(notes)}
    write_atomically(path, lambda file: torch.save(content, file))


def read_state(path: Path | str) -> dict:
    """A training state, for `fit(..., resume=)`; `build` makes its model. ValueError if the file is not a state."""
    state = _read(Path(path), "optimizers", "a state is the .train.pt file that training keeps until it ends")
    if "ema" not in state:
        raise ValueError(f"{path} was written by an older version of tinysedd, which this one cannot continue")
    return state


def describe(model: Transformer) -> dict:
    """Everything but the weights that `build` needs, as plain values. ValueError for a part that is not registered."""
    return {
        "model_kind": _name(type(model)), "process": _plain(model.process), "config": _plain(model.config),
        "alphabet": model.alphabet and model.alphabet.characters, "length": model.length,
    }  # fmt: skip


def build(description: dict) -> Transformer:
    """The model of a description, with fresh weights. ValueError if it needs a class that is not registered."""
    if "shape" in description:
        description = _from_older_version(description)
    alphabet = None if description["alphabet"] is None else Alphabet(description["alphabet"])
    kind = _kind(description["model_kind"])
    return kind(_restore(description["process"]), _restore(description["config"]), alphabet, description["length"])


def _plain(value: Any) -> Any:
    """A value made of what torch.load reads back without running code."""
    if is_dataclass(value) and not isinstance(value, type):
        content = {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
        return {"kind": _name(type(value)), **content}
    if isinstance(value, dict):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value] if isinstance(value, list) else tuple(_plain(v) for v in value)
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str | Tensor):
        return value
    raise ValueError(
        f"a checkpoint cannot hold {value!r}, only numbers, text, tensors, lists and registered dataclasses"
    )


def _restore(value: Any) -> Any:
    if isinstance(value, dict):
        content = {key: _restore(v) for key, v in value.items() if key != "kind"}
        return _kind(value["kind"])(**content) if "kind" in value else content
    if isinstance(value, list | tuple):
        return type(value)(map(_restore, value))
    return value


def _name(kind: type) -> str:
    if _KINDS.get(kind.__name__) is not kind:
        raise ValueError(f"{kind.__name__} is not registered: call tinysedd.register({kind.__name__}) before saving")
    return kind.__name__


def _kind(name: str) -> type:
    if name not in _KINDS:
        raise ValueError(f"this checkpoint needs the class {name!r}: call tinysedd.register({name}) before loading")
    return _KINDS[name]


def _from_older_version(saved: dict) -> dict:
    """The description in a checkpoint of version 0.1, in today's terms."""
    shape = dict(saved["shape"])
    neighbors, token_shift, bigrams = shape.pop("near"), shape.pop("shift"), shape.pop("pairs")
    local = {"neighbors": neighbors, "token_shift": token_shift, "bigrams": bigrams} if neighbors or token_shift else {}
    return saved | {
        "model_kind": "FastTransformer" if local else "Transformer",
        "process": {**saved["process"], "schedule": saved["schedule"]},
        "config": {"kind": "FastConfig" if local else "Config", **shape, **local},
    }


def _path(name: str | Path) -> Path:
    return FOLDER / f"{name}.pt" if name in SHIPPED else Path(name)


def _read_checkpoint(name: str | Path) -> dict:
    return _read(_path(name), "weights", f"the checkpoints that come with tinysedd are {', '.join(SHIPPED)}")


def _read(path: Path, key: str, hint: str) -> dict:
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; {hint}") from None
    except Exception:  # torch and pickle raise many kinds of error for a file that is something else
        saved = None
    if not isinstance(saved, dict) or key not in saved:
        raise ValueError(f"{path} is not the kind of file that is needed here; {hint}")
    return saved
