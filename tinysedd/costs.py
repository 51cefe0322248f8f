"""What an order and a group of characters cost, in nats: the chain rule, and a ledger of the two errors of sampling.

All of this is for masks. A sampler that unmasks one character at a time has an exact likelihood, by the chain rule. One
that unmasks several at once draws them as if independent. How much either loses follows from two curves:

    f(k) = the mean entropy of a masked character, given k others at random positions      (the truth)
    g(k) = the mean cross-entropy of the model there                                       (what was learned)
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from tinysedd.guard import call, check_at_least, check_masks, check_no_nan, check_one_of, check_texts, deviation
from tinysedd.objective import Bound
from tinysedd.process import Process, Score
from tinysedd.sampling import find_masks, smallest

ORDERS = ("left to right", "right to left", "random", "easiest first", "easiest in blocks")
BLOCK = 4  # characters of a block of "easiest in blocks"


@torch.no_grad()
def chain_rule(
    score: Score,
    process: Process,
    x0: Tensor,
    order: str | Tensor = "random",
    sizes: list[int] | None = None,
    batch: int = 256,
    generator: Generator | None = None,
) -> Bound:
    """-log p(x0) of texts x0 (M, L) for a sampler that unmasks in this order: exact, not a bound.

    order  one of ORDERS, or the positions in the order in which they are written, (L,) or (M, L). "random" draws an
           order for each text; its mean over orders is the likelihood bound. "easiest first" next writes the character
           whose likeliest value is the most probable, given what is written; ties go to the left. "easiest in blocks"
           does so within blocks of BLOCK characters, block after block from the left (2502.09992, section 2.4).
    sizes  how many characters are written at a time, as if independent; default: one by one
    batch  texts per call of the score
    The cost of characters that are drawn together is what they cost one by one plus what they tell about each other.
    ValueError for a process without masks, and for orders or sizes that do not write each character once.
    """
    check_texts(x0, process, score)
    check_at_least(1, batch=batch)
    M, L = x0.shape
    sizes = [1] * L if sizes is None else sizes
    if sum(sizes) != L or min(sizes, default=0) < 1:
        raise ValueError(f"the sizes must be positive and sum to {L}, the length of a text: {sizes}")
    turn = _turns(x0, order, generator)
    blocks = torch.arange(L, device=x0.device) // (
        BLOCK if isinstance(order, str) and order == "easiest in blocks" else L
    )
    per_text = torch.zeros(M, dtype=torch.float64)
    for rows in torch.arange(M).split(batch):
        clean = x0[rows]
        x = torch.full_like(clean, check_masks(process, "an order"))
        for size in sizes:
            masked = find_masks(process, x, torch.ones(L, dtype=torch.bool, device=x.device))
            p = process.denoise(*_ask(score, process, x, masked))
            # Easiest first: which characters come next depends on what is written.
            key = turn[rows.to(turn.device)] if turn is not None else 2 * blocks - p.double().amax(-1)
            hit = smallest(key, masked, torch.tensor(size, device=x.device))
            log_p = p.gather(-1, clean[..., None]).squeeze(-1).double().log()
            per_text[rows] -= torch.where(hit, log_p, 0.0).sum(-1).cpu()
            x = torch.where(hit, clean, x)
    return Bound(check_no_nan(per_text), L)


def _turns(x0: Tensor, order: str | Tensor, generator: Generator | None) -> Tensor | None:
    """The turn (M, L) at which each position is written; None if that depends on what is written."""
    M, L = x0.shape
    if isinstance(order, str):
        check_one_of(ORDERS, order=order)
        if order.startswith("easiest"):
            return None
        if order == "random":
            return torch.rand(M, L, dtype=torch.float64, generator=generator).argsort(-1).to(x0.device)
        order = torch.arange(L) if order == "left to right" else torch.arange(L).flip(0)
    order = order.to(x0.device)
    if order.shape not in ((L,), (M, L)) or not (order.sort(-1).values == torch.arange(L, device=x0.device)).all():
        raise ValueError(f"an order has each position from 0 to {L - 1} once, for all texts ({L},) or each ({M}, {L})")
    return order.expand(M, L).argsort(-1)


def _ask(score: Score, process: Process, x: Tensor, masked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The arguments of `denoise` for x (B, L), at the noise that its share of masks suggests."""
    sigma = sigma_of(masked)
    return call(score, process, x, sigma), x, sigma


def sigma_of(masked: Tensor) -> Tensor:
    """The total noise (B,) that a share of masks (B, L) suggests. It stays finite if all are masked."""
    return -torch.log1p(-masked.sum(-1).double() / (masked.shape[1] + 1))


@dataclass(frozen=True)
class InformationCurve:
    """What a masked character costs when k = 0 ... L - 1 others are known, in nats, for M texts of L characters.

    f_rows  (M, L): the entropy of the exact posterior, averaged over the masks of a text; None if the truth is unknown
    g_rows  (M, L): the model's cross-entropy there
    """

    g_rows: Tensor
    f_rows: Tensor | None = None

    @property
    def f(self) -> Tensor:
        """The entropy f(k) (L,); where the truth is not known, g(k)."""
        return self.g if self.f_rows is None else self.f_rows.mean(0)

    @property
    def g(self) -> Tensor:
        """The cross-entropy g(k) (L,)."""
        return self.g_rows.mean(0)


@torch.no_grad()
def information_curve(
    score: Score,
    process: Process,
    x0: Tensor,
    exact: Score | None = None,
    batch: int = 256,
    generator: Generator | None = None,
) -> InformationCurve:
    """Both curves from texts x0 (M, L): each is uncovered in one random order, k = 0 ... L - 1 characters of it.

    exact  the exact score of the world that the texts come from, `world.score(process)`. It replaces what the text has
           at a mask by its exact distribution, so that g - f is a KL divergence, with little noise.
    ValueError for a process without masks.
    """
    check_texts(x0, process, score)
    mask = check_masks(process, "an order")
    M, L = x0.shape
    clean = x0.repeat_interleave(L, dim=0)  # (M L, L): row m L + k shows k characters of text m
    turn = torch.rand(M, L, dtype=torch.float64, generator=generator).argsort(-1).argsort(-1).to(x0.device)
    turn = turn.repeat_interleave(L, dim=0)  # one order for a text and all k, so that f(k) - f(k + 1) has little noise
    x = torch.where(turn < torch.arange(L, device=x0.device).repeat(M)[:, None], clean, mask)
    f, g = [], []
    for rows in torch.arange(M * L).split(batch):
        masked = x[rows] == mask
        log_q = process.denoise(*_ask(score, process, x[rows], masked)).double().log()[..., : process.num_tokens]
        if exact is None:
            cost = -log_q.gather(-1, clean[rows][..., None]).squeeze(-1)
        else:
            cpu = x[rows].cpu()
            p = process.denoise(*_ask(exact, process, cpu, masked.cpu())).to(log_q)[..., : process.num_tokens]
            cost = -torch.where(p > 0, p * log_q, 0.0).sum(-1)
            f.append(_mean_at(masked, torch.special.entr(p).sum(-1)))
        g.append(_mean_at(masked, cost))
    g_rows = check_no_nan(torch.cat(g)).view(M, L)
    return InformationCurve(g_rows, torch.cat(f).view(M, L) if exact is not None else None)


def _mean_at(masked: Tensor, value: Tensor) -> Tensor:
    """The mean (B,) of a value (B, L) over the masks."""
    return (torch.where(masked, value, 0.0).sum(-1) / masked.sum(-1)).cpu()


@dataclass(frozen=True)
class Ledger:
    """What a sampler loses that unmasks random characters in groups, per text, in nats: KL(data || samples) <= total.

    learning       for what the model has not learned
    factorization  for characters that are drawn together as if independent
    total          their sum
    *_error        standard errors, over texts and the choice of the known positions; nan for a single text
    """

    learning: float
    factorization: float
    learning_error: float
    factorization_error: float
    total_error: float

    @property
    def total(self) -> float:
        """The bound on the KL divergence."""
        return self.learning + self.factorization


def ledger(curve: InformationCurve, sizes: list[int]) -> Ledger:
    """The cost of writing a text in groups of these sizes, first to last, at random positions (2510.25544, 2511.04647).

    A group of n when k are known costs n f(k) - sum over j < n of f(k + j) for being drawn as if independent, and
    n (g(k) - f(k)) for what was not learned. The sum is the mean over orders of KL(data || what the sampler writes in
    this order), which is at least KL(data || samples). Where the truth is not known, g stands for f and learning is 0.
    ValueError if the sizes do not sum to L.
    """
    g = curve.g_rows.double()
    f = g if curve.f_rows is None else curve.f_rows.double()
    L = g.shape[1]
    known = torch.tensor([0, *sizes]).cumsum(0)
    if min(sizes, default=1) < 1 or known[-1] != L:
        raise ValueError(f"the sizes must be positive and sum to {L}, the length of a text: {sizes}")
    n = torch.tensor(sizes, dtype=torch.float64)
    learning = (g - f)[:, known[:-1]] @ n  # (M,)
    factorization = f[:, known[:-1]] @ n - f.sum(-1)
    error = math.sqrt(len(g))
    return Ledger(
        float(learning.mean()),
        float(factorization.mean()),
        deviation(learning) / error,
        deviation(factorization) / error,
        deviation(learning + factorization) / error,
    )


def best_sizes(g: Tensor, calls: int, known: int = 0) -> list[int]:
    """The group sizes that write what is left of a text in this many calls and lose least, by dynamic programming.

    g      g(k) (L,) of an information curve: a group of n when k are known costs n g(k)
    calls  how many groups; there are never more than characters to write
    known  how many characters are given
    Of sizes that cost the same it takes the most even ones. ValueError if g is not finite or known is not in [0, L].
    """
    check_at_least(1, calls=calls)
    check_at_least(0, known=known)
    L = len(g)
    if known > L or not g.isfinite().all():
        raise ValueError(f"costs must be finite, and at least as many as the {known} known characters; here are {L}")
    g = isotonic(g.double())
    calls = min(calls, L - known)
    k = torch.arange(known, L + 1)
    n = k - k[:, None]  # from row to column
    step = torch.where(n > 0, n * torch.cat([g, g[-1:]])[k][:, None] + 1e-9 * n.square(), math.inf)
    cost, came_from = torch.where(k == known, 0.0, math.inf).double(), []
    for _ in range(calls):
        cost, best = (cost[:, None] + step).min(0)
        came_from.append(best)
    at, sizes = L - known, []
    for best in reversed(came_from):
        sizes.append(at - int(best[at]))
        at = int(best[at])
    return sizes[::-1]


def isotonic(g: Tensor) -> Tensor:
    """The nearest curve (L,) that never rises, by least squares (pool adjacent violators). Knowing more should never
    cost more, so whatever rises is noise, and a minimum over noise prefers what happens to look cheap."""
    pools: list[list[float]] = []  # mean, length
    for value in g.tolist():
        pools.append([value, 1])
        while len(pools) > 1 and pools[-1][0] > pools[-2][0]:
            b, n = pools.pop()
            a, m = pools.pop()
            pools.append([(a * m + b * n) / (m + n), m + n])
    return torch.tensor([mean for mean, length in pools for _ in range(int(length))], dtype=g.dtype)
