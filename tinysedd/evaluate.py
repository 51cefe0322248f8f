"""How good a model is: its bound, its gap to the truth, what each order costs, and the share of its texts that a world
could have written."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from tinysedd.costs import ORDERS, chain_rule
from tinysedd.guard import check_alphabet, deviation
from tinysedd.model import Transformer
from tinysedd.objective import Bound, likelihood_bound
from tinysedd.process import Process, Score
from tinysedd.worlds import World


@dataclass(frozen=True)
class Gap:
    """A learned bound beside the exact score's bound on the same texts with the same noise.

    With exact scores the bound equals -log p(x0) on average over the noise. The two share most of their random errors,
    so their difference is far more certain than either. entropy: of the world, in nats per text.
    """

    learned: Bound
    exact: Bound
    entropy: float

    @property
    def relative(self) -> float:
        """The mean difference as a share of the entropy."""
        return float(self._per_text.mean())

    @property
    def standard_error(self) -> float:
        """Of `relative`, paired over texts; nan for a single text."""
        return deviation(self._per_text) / math.sqrt(len(self._per_text))

    @property
    def _per_text(self) -> Tensor:
        return (self.learned.per_text - self.exact.per_text) / self.entropy


def measure_bound(score: Score, process: Process, texts: Tensor, seed: int = 1, desc: str | None = None) -> Bound:
    """The likelihood bound on texts (M, L). The noise depends on the seed alone, so it is the same for every score.

    desc: what the progress bar says; None for no bar.
    """
    rng = torch.Generator().manual_seed(seed)
    blocks = tqdm(texts.split(32), desc=desc, disable=desc is None, leave=False)
    parts = [likelihood_bound(score, process, block, generator=rng).per_text for block in blocks]
    return Bound(torch.cat(parts), texts.shape[1])


def measure_gap(model: Transformer, world: World, texts: Tensor, seed: int = 1, progress: bool = False) -> Gap:
    """The bound of a model and that of the exact score, on the same texts (M, L) of the world with the same noise."""
    check_alphabet(world.alphabet, model.process, getattr(model, "alphabet", None))
    learned = measure_bound(model, model.process, texts.to(model.device), seed, "bound" if progress else None)
    exact = measure_bound(world.score(model.process), model.process, texts, seed, "exact" if progress else None)
    return Gap(learned, exact, world.entropy())


def measure_orders(
    score: Score, process: Process, texts: Tensor, seed: int = 1, progress: bool = False
) -> dict[str, Bound]:
    """What texts (M, L) cost, written one character at a time in each of the ORDERS of `costs`: exact, not bounds."""
    names = tqdm(ORDERS, desc="orders", disable=not progress, leave=False)
    return {
        order: chain_rule(score, process, texts, order, generator=torch.Generator().manual_seed(seed))
        for order in names
    }


def valid_share(world: World, x: Tensor) -> float:
    """The share of texts x (B, L) that the world could have written."""
    return float((world.log_prob(x.cpu()) > -math.inf).double().mean())
