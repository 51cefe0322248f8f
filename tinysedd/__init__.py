"""tinysedd: learn text diffusion by score entropy, character by character, on a laptop.

Names are imported when they are first used, so `tinysedd --help` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    __version__: str
    from tinysedd.checkpoint import load, register, save
    from tinysedd.checks import check
    from tinysedd.corpus import Alphabet, Corpus
    from tinysedd.fast.sampling import sample
    from tinysedd.files import load_corpus
    from tinysedd.model import Config, Transformer
    from tinysedd.noise import Geometric, LogLinear
    from tinysedd.objective import likelihood_bound, score_entropy_loss
    from tinysedd.process import Absorbing, Process, Uniform
    from tinysedd.sampling import Trajectory
    from tinysedd.train import Training, fit
    from tinysedd.worlds import Fables, Words

__all__ = [
    "Absorbing",
    "Alphabet",
    "Config",
    "Corpus",
    "Fables",
    "Geometric",
    "LogLinear",
    "Process",
    "Training",
    "Trajectory",
    "Transformer",
    "Uniform",
    "Words",
    "check",
    "fit",
    "likelihood_bound",
    "load",
    "load_corpus",
    "register",
    "sample",
    "save",
    "score_entropy_loss",
]

_HOME = {
    "checkpoint": ["load", "register", "save"],
    "checks": ["check"],
    "corpus": ["Alphabet", "Corpus"],
    "fast.sampling": ["sample"],
    "files": ["load_corpus"],
    "model": ["Config", "Transformer"],
    "noise": ["Geometric", "LogLinear"],
    "objective": ["likelihood_bound", "score_entropy_loss"],
    "process": ["Absorbing", "Process", "Uniform"],
    "sampling": ["Trajectory"],
    "train": ["Training", "fit"],
    "worlds": ["Fables", "Words"],
}


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("tinysedd")
    except PackageNotFoundError:  # a checkout that is on the path without being installed
        return "0+unknown"


def __getattr__(name: str):
    if name == "__version__":
        return _version()
    for module, names in _HOME.items():
        if name in names:
            globals()[name] = value = getattr(import_module(f"tinysedd.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
