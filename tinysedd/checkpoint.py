"""Checkpoints and training states: the only module that writes weights.

A *checkpoint* is small and holds all that sampling needs: the averaged weights in half precision, the process, the
config, the alphabet, and notes. A *state* (.train) lets a stopped training continue as if it had not stopped. Both are
read with weights_only=True, so opening a stranger's file runs no code, and nothing is built before its weights were
found to have the sizes it declares.
"""

import io
import json
import math
import zipfile
from dataclasses import asdict, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from tinysedd import __version__
from tinysedd.corpus import Alphabet
from tinysedd.fast.model import FastConfig, FastTransformer
from tinysedd.files import write_atomically
from tinysedd.model import Config, Transformer
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Uniform
from tinysedd.train import Point, Training, make_optimizers

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
    if is_dataclass(cls) and any(field.name == "kind" for field in fields(cls)):
        raise ValueError(
            f"a field of {name} is called kind, the name under which checkpoints keep its class: rename it"
        )
    known = _KINDS.get(name)  # the same class again is fine: a notebook cell may run twice
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise ValueError(f"another class is registered as {name!r}: rename yours")
    _KINDS[name] = cls
    return kind


def save(model: Transformer, path: Path | str, **notes) -> None:
    """Write a checkpoint, with notes (plain values: the command that made it, its curve, ...).

    ValueError, before anything is written, if the model has a part that is not registered, or weights that are nan or
    infinite. A weight that does not fit into half precision stays in single precision. `model.costs`, what a character
    costs when k others are known (`tinysedd.costs`), is kept if the model has it.
    """
    weights = {name: to_half(name, tensor) for name, tensor in model.state_dict().items()}
    costs = getattr(model, "costs", None)
    if costs is not None:
        costs = [round(float(cost), 5) for cost in costs]
        if len(costs) != model.length or not all(map(math.isfinite, costs)):
            raise ValueError(f"the model's costs must be {model.length} finite numbers, one for each position")
    _write(path, {"weights": weights, "notes": _plain(notes), "costs": costs, **describe(model)})


def load(name: str | Path, device: str | torch.device = "cpu") -> Transformer:
    """A trained score function with .process .alphabet .length: a shipped one by name ("fables", "fables-uniform",
    "shakespeare"), or one of yours by its file; a Path is always a file. ValueError if there is none, or the file is
    damaged, is something else, or needs another version of tinysedd.
    """
    saved = _read_checkpoint(name)
    model = _build(saved, "weights", _path(name))
    weights = {
        name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in saved["weights"].items()
    }
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:  # a class of yours that has changed since
        raise ValueError(f"cannot load {_path(name)}: {_readable(error)}") from None
    costs = saved.get("costs")
    if costs is not None:
        known = isinstance(costs, list) and all(isinstance(cost, float) and math.isfinite(cost) for cost in costs)
        if not known or len(costs) != model.length:
            raise ValueError(f"the costs in {_path(name)} are damaged: there must be {model.length} finite numbers")
        model.costs = torch.tensor(costs, dtype=torch.float64)
    return model.to(device).eval().requires_grad_(False)


def notes(name: str | Path) -> dict:
    """The notes of a checkpoint: what `save` was given. Empty if there are none."""
    saved, beside = _read_checkpoint(name), _path(name).with_suffix(".json")
    found = saved.get("notes", {})
    if "notes" not in saved and beside.exists():  # older versions wrote them to a file beside the checkpoint
        try:
            found = json.loads(beside.read_text(encoding="utf-8"))
        except ValueError:
            found = None
    if not isinstance(found, dict):
        raise ValueError(f"the notes of {name} are damaged")
    return found


def save_state(path: Path | str, model: Transformer, training: Training, state: dict, notes: dict) -> None:
    """Write the state that `fit(..., keep=)` hands out, with all that it takes to continue. `notes`: plain values."""
    _write(path, {**state, **describe(model), "training": asdict(training), "notes": _plain(notes)})


def read_state(path: Path | str) -> dict:
    """A training state, for `fit(..., resume=)`; `build` makes its model. ValueError if the file is damaged, is not a
    state, or needs another version of tinysedd."""
    path = Path(path)
    state = _read(path, "optimizers", "a state is the .train file that training keeps until it ends")
    missing = {"model", "ema", "rng", "step", "seconds", "clock", "losses", "curve", "training", "notes"} - state.keys()
    if missing:
        raise ValueError(
            f"{path} was written by another version of tinysedd, which this one cannot continue: it has no "
            f"{', '.join(sorted(missing))}"
        )
    model = _build(state, "model", path)
    try:
        _try_to_continue(model, state)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        raise ValueError(f"cannot continue {path}: {_readable(error)}") from None
    if not isinstance(state["notes"], dict):
        raise ValueError(f"the notes of {path} are damaged")
    return state


def _try_to_continue(model: Transformer, state: dict) -> None:
    """Read all of a state as `fit` does, into things that are thrown away. Raises whatever goes wrong."""
    optimizers = make_optimizers(model, Training(**state["training"]))
    if [len(o.param_groups) for o in optimizers] != [len(saved["param_groups"]) for saved in state["optimizers"]]:
        raise ValueError("it was written by another version of tinysedd")
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
        for weight, own in optimizer.state.items():
            if any(isinstance(part, Tensor) and part.ndim and part.shape != weight.shape for part in own.values()):
                raise ValueError("what an optimizer remembers has other sizes than the weights")
    AveragedModel(model).load_state_dict(state["ema"])
    torch.Generator().set_state(state["rng"])
    for point in state["curve"]:
        Point(**point)
    if not all(isinstance(n, int | float) for n in (*state["losses"], state["step"], state["seconds"], state["clock"])):
        raise ValueError("its times and losses are not all numbers")


def is_checkpoint(path: Path | str) -> bool:
    """Whether a file is a checkpoint of tinysedd."""
    return _is(path, "weights", {"process", "alphabet", "length"})


def is_state(path: Path | str) -> bool:
    """Whether a file is a training state of tinysedd."""
    return _is(path, "optimizers", {"model", "process", "alphabet", "length"})


def _is(path: Path | str, key: str, others: set[str]) -> bool:
    try:
        return others <= _read(Path(path), key, "").keys()
    except ValueError:
        return False


def describe(model: Transformer) -> dict:
    """Everything but the weights that `build` needs, as plain values. ValueError for a part that is not registered."""
    return {
        "model_kind": _name(type(model)), "process": _plain(model.process), "config": _plain(model.config),
        "alphabet": model.alphabet and model.alphabet.characters, "length": model.length, "version": __version__,
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
        content = {field.name: _plain(getattr(value, field.name)) for field in fields(value) if field.init}
        return {"kind": _name(type(value)), **content}
    if isinstance(value, dict):
        return {_plain(key): _plain(v) for key, v in value.items()}
    if isinstance(value, Enum):
        return _plain(value.value)
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


def _build(saved: dict, key: str, path: Path) -> Transformer:
    """The model that a file describes, if saved[key] holds the weights of such a model. ValueError if not."""
    weights = saved[key]
    try:
        if not all(isinstance(tensor, Tensor) and tensor.isfinite().all() for tensor in weights.values()):
            raise ValueError("its weights are not all finite numbers")
        if sum(tensor.numel() * tensor.element_size() for tensor in weights.values()) > path.stat().st_size:
            raise ValueError("its weights claim to be larger than the file")
        description = _from_older_version(saved) if "shape" in saved else saved
        if _kind(description["model_kind"]) in (Transformer, FastTransformer):  # a class of yours is yours to trust
            layers = {name.split(".")[1] for name in weights if name.startswith("blocks.")}
            if description["config"]["layers"] != len(layers):
                raise ValueError(f"it declares {description['config']['layers']} layers and has {len(layers)}")
            with torch.device("meta"):  # takes no memory, whatever the file declares
                declared = {name: tensor.shape for name, tensor in build(description).state_dict().items()}
            if declared != {name: tensor.shape for name, tensor in weights.items()}:
                raise ValueError("its weights have other names or sizes than it declares")
        return build(description)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RuntimeError) as error:
        theirs = saved.get("version", "0.1")
        other = f" (it was written by version {theirs}, and this is {__version__})" if theirs != __version__ else ""
        raise ValueError(f"cannot load {path}: {_readable(error)}{other}") from None


def _readable(error: Exception) -> str:
    """What an error says, in one line."""
    return f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())


def to_half(name: str, tensor: Tensor) -> Tensor:
    """A tensor in half precision if all its values fit, else in single precision. ValueError for nan and infinity."""
    if not tensor.isfinite().all():
        raise ValueError(f"the weights in {name} are not all finite numbers: nothing was saved")
    if not tensor.is_floating_point():
        return tensor.cpu()
    half = tensor.half()
    return (half if half.isfinite().all() else tensor.float()).cpu()


def _write(path: Path | str, content: dict) -> None:
    # Through memory: on a full disk, torch's own writer fails with an error that names neither the disk nor the file.
    torch.save(content, file := io.BytesIO())
    write_atomically(path, file.getvalue())


def _path(name: str | Path) -> Path:
    if name in SHIPPED and Path(name).is_file():
        raise ValueError(f"{name} is a file here and a model that comes with tinysedd: write ./{name} for the file")
    return FOLDER / f"{name}.pt" if name in SHIPPED else Path(name)


def _read_checkpoint(name: str | Path) -> dict:
    return _read(_path(name), "weights", f"the checkpoints that come with tinysedd are {', '.join(SHIPPED)}")


def _read(path: Path, key: str, hint: str) -> dict:
    """The dictionary in a file, which must have this key."""
    saved, damaged = None, None
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not compare the checksums
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist())  # never by torch
            damaged = None if packed else archive.testzip()
        if not packed and damaged is None:
            saved = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}; {hint}") from None
    except Exception:  # zipfile, torch and pickle raise many kinds of error for a file that is something else
        saved = None
    if damaged is not None:
        raise ValueError(f"{path} is damaged (a checksum is wrong): copy or download it again")
    if not isinstance(saved, dict) or not isinstance(saved.get(key), dict | list):
        raise ValueError(f"{path} is not the kind of file that is needed here; {hint}")
    return saved
