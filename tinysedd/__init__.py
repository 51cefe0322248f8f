"""tinysedd: learn text diffusion by score entropy, at the level of characters."""

from tinysedd.corpus import Alphabet, Corpus
from tinysedd.model import Shape, Transformer
from tinysedd.noise import Geometric, LogLinear
from tinysedd.objective import likelihood_bound, score_entropy_loss
from tinysedd.process import Absorbing, Uniform
from tinysedd.sampling import Trajectory, sample
from tinysedd.train import Training, fit, load, load_corpus, save
from tinysedd.worlds import Fables, Words

__all__ = [
    "Absorbing",
    "Alphabet",
    "Corpus",
    "Fables",
    "Geometric",
    "LogLinear",
    "Shape",
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
    "sample",
    "save",
    "score_entropy_loss",
]


def __getattr__(name: str):
    """`check` is loaded when it is first asked for: only the exercises need it."""
    if name == "check":
        from tinysedd.checks import check

        return check
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
