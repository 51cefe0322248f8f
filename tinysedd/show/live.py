"""A live page: one HTML file in which a trained model runs, in plain JavaScript, with no server and no network.

The page holds the weights as 16-bit floats in base64, and the world as the edges of its automaton. assets/engine.js
computes what the Python package computes, in a worker; assets/page.js shows it.
"""

import base64
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

import numpy as np
import torch

from tinysedd.checkpoint import to_half
from tinysedd.costs import isotonic
from tinysedd.fast.model import FastTransformer
from tinysedd.model import Transformer
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Uniform
from tinysedd.worlds import World
from tinysedd.worlds.fables import Again, Fables, Slot


def page(model: Transformer, world: World | None = None, *, title: str = "tinysedd") -> str:
    """A self-contained HTML page in which the model writes.

    model  a `Transformer` or `FastTransformer` with an alphabet, trained as a denoiser for Absorbing or Uniform noise
    world  a `Fables`: its exact posterior is shown beside the model's, and each text is checked against its grammar
    title  the name of the model, for the title and the first line of the page
    Weights are stored as in checkpoints: as 16-bit floats, or as 32-bit floats where those are too small. ValueError
    for any other model, or a world with another alphabet or length.
    """
    check_page(model, world)
    about, weights = _about(model)
    edges = b""
    if isinstance(world, Fables):
        about["world"], edges = _world(world)
    assets = files("tinysedd.show") / "assets"
    script = {name: (assets / f"{name}.js").read_text("utf-8") for name in ("engine", "worker", "page")}
    return Template((assets / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        length=str(model.length),
        style=(assets / "page.css").read_text("utf-8"),
        about=_json(about),
        weights=base64.b64encode(weights).decode(),
        edges=base64.b64encode(edges).decode(),
        **script,
    )


def check_page(model: object, world: World | None = None) -> None:
    """ValueError if `page` cannot run this model, or not with this world."""
    if type(model) not in (Transformer, FastTransformer):
        raise ValueError(f"a page can run a Transformer or a FastTransformer; this model is a {type(model).__name__}")
    assert isinstance(model, Transformer)
    noise, schedule = type(model.process), type(model.process.schedule)
    if noise not in (Absorbing, Uniform):
        raise ValueError(
            f"a page can undo Absorbing and Uniform noise only; this model was trained on {noise.__name__}"
        )
    if schedule not in (LogLinear, Geometric):
        raise ValueError(f"a page knows the schedules LogLinear and Geometric only, not {schedule.__name__}")
    for option in ("free_scores", "causal"):
        if getattr(model.config, option):
            raise ValueError(f"a page can run denoisers only; this model was trained with {option}")
    if model.alphabet is None:
        raise ValueError("the model has no alphabet, so the page could not show its texts")
    if world is not None and type(world) is not Fables:
        raise ValueError(f"a page can show the exact posterior of Fables only, not of {type(world).__name__}")
    if world is not None and (world.alphabet, world.length) != (model.alphabet, model.length):
        raise ValueError("the world has another alphabet or length than the model")


def _about(model: Transformer) -> tuple[dict, bytes]:
    """What the page has to know of a model, and its weights, one tensor after the other."""
    assert model.alphabet is not None
    config, schedule, costs = model.config, model.process.schedule, getattr(model, "costs", None)
    weights = {name: to_half(name, weight).numpy() for name, weight in model.state_dict().items()}
    about = {
        "process": type(model.process).__name__,
        "schedule": {"kind": type(schedule).__name__} | vars(schedule),
        "config": {
            "width": config.width,
            "heads": config.heads,
            "layers": config.layers,
            "neighbors": getattr(config, "neighbors", 0),
            "bigrams": getattr(config, "bigrams", 0),
            "shift": getattr(config, "token_shift", False),
        },
        "alphabet": model.alphabet.characters,
        "length": model.length,
        "costs": None if costs is None else isotonic(costs.double()[: model.length]).tolist(),
        "weights": [[name, list(weight.shape), weight.itemsize] for name, weight in weights.items()],
    }
    return about, b"".join(weight.astype(f"<f{weight.itemsize}").tobytes() for weight in weights.values())


def _world(world: Fables) -> tuple[dict, bytes]:
    """What the page has to know of a world, and the edges of its automaton."""
    layers = world.layers
    columns = [torch.cat([getattr(layer, name) for layer in layers]).numpy()
               for name in ("source", "target", "character", "probability")]  # fmt: skip
    if max(columns[0].max(), columns[1].max()) >= 2**16:
        raise ValueError("the automaton of this world has more than 65,536 nodes at one position: too many for a page")
    about = {
        "layers": [
            {"edges": len(layer.source), "sources": layer.num_sources, "targets": layer.num_targets} for layer in layers
        ],
        "lists": world.lists,
        "templates": [_pieces(template) for template in world.templates],
        "prompts": world.prompts,
    }
    edges = zip(columns, ("<u2", "<u2", "<u2", "<f4"))
    return about, b"".join(np.ascontiguousarray(column).astype(kind).tobytes() for column, kind in edges)


def _pieces(template: Sequence) -> list:
    """A parsed template for JSON."""
    described = {Slot: lambda p: {"name": p.name, "list": p.list}, Again: lambda p: {"name": p.name}, str: str}
    return [described[type(piece)](piece) for piece in template]


def _json(value: object) -> str:
    """JSON for a script element: no text in it can end the element."""
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")
