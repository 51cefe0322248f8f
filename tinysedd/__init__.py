"""tinysedd: learn text diffusion by score entropy, character by character, on a laptop."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from tinysedd.checkpoint import load, register, save
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

if TYPE_CHECKING:
    from tinysedd.checks import check

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

try:
    __version__ = version("tinysedd")
except PackageNotFoundError:  # a checkout that is on the path without being installed
    __version__ = "0+unknown"


def __getattr__(name: str):
    """`check` is imported when it is first used: only the exercises need it."""
    if name == "check":
        from tinysedd.checks import check

        return check
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
