"""Samplers that write better text in fewer steps, and `sample`, which picks the best one for a process.

tweedie, spread, planned and corrected choose what a step draws before they ask the network. So they ask it only about
the texts in which something is drawn, and its last block computes only those places.
"""

import math

import torch
from torch import Generator, Tensor

from tinysedd import sampling
from tinysedd.costs import best_sizes, sigma_of
from tinysedd.fast.model import knows_places, log_posterior_at
from tinysedd.guard import call, check_between
from tinysedd.process import Absorbing, Process, Score, sample_categorical
from tinysedd.sampling import Sampler, Trajectory, find_masks, smallest


def entropy_bounded(
    score: Score,
    process: Absorbing,
    x: Tensor,
    free: Tensor,
    steps: int,
    generator: Generator | None = None,
    bound: float = 0.01,
    random_first: int = 2,
) -> Trajectory:
    """Absorbing only: draw together what is nearly certain and so nearly independent (Ben-Hamu et al., 2505.24857).

    A step draws the masks of lowest entropy. Drawing them as if independent costs at most the sum of their entropies
    less the largest one (KL divergence from their joint distribution, in nats). Each step draws as many as keep this
    cost within `bound`, at least one, and the last of the `steps` draw more if the bound left too many. With the exact
    score and one character at a time the result is exact. Sampling ends when nothing is masked.

    The first `random_first` characters (at most one per 8 steps) are at random positions. If all texts started at the
    same position, the model's error there would push all of them in the same direction: without this, `fables` wrote
    one of its templates almost never and another three times too often; with two, all about as often as they should.
    """
    masked = find_masks(process, x, free)
    states, times, texts = [x], [1.0], 0
    for left in range(steps, 0, -1):
        if not masked.any():
            break
        count = masked.sum(-1, keepdim=True)  # (B, 1)
        p = _posterior_at(score, process, x, masked, sigma_of(masked))  # (K, N) at the K masks
        entropy = torch.full(x.shape, math.inf, dtype=torch.float64, device=x.device)  # (B, L), in nats
        entropy = entropy.masked_scatter(masked, torch.special.entr(p).sum(-1))
        ordered = entropy.sort(-1).values
        within = (ordered.cumsum(-1) - ordered <= bound) & ordered.isfinite()
        hit = smallest(entropy, masked, torch.maximum(within.sum(-1, keepdim=True), count // min(left, 10_000) ** 2))
        if steps - left < min(random_first, steps // 8):
            order = torch.rand(x.shape, generator=generator).to(x.device)
            hit = smallest(order, masked, masked.any(-1, keepdim=True))
        x = x.masked_scatter(hit, sample_categorical(p[hit[masked]], u=_rand(x, generator)[hit]))
        texts += int(masked.any(-1).sum())
        masked = masked & ~hit
        states.append(x)
        times.append(_time(process, masked))
    calls = math.ceil(texts / len(x))
    return Trajectory(torch.stack(states), torch.tensor(times), ~free, calls=calls, mask=process.mask)


def spread(score: Score, process: Absorbing, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Absorbing only: draw groups of characters that are far apart and so nearly independent.

    This is the idea of the Halton scheduler (Besnier et al., 2503.17076) on a line: starting from a random position,
    each next position is a golden ratio of the text's length further. However many of them form a group, they are
    spread evenly, and so are those that are left. The order ignores the text, so one character at a time with the exact
    score is exact. More steps than masks are not needed and not taken.
    """
    masked = find_masks(process, x, free)
    steps = min(steps, int(masked.sum(-1).max()))
    return _in_groups(score, process, x, free, golden_order(x, generator), steps, generator)


def planned(
    score: Score, process: Absorbing, x: Tensor, free: Tensor, steps: int, generator=None, costs: Tensor | None = None
) -> Trajectory:
    """Absorbing only: `spread`, in groups whose sizes lose least in this many steps, small ones first.

    What a group of n loses when k characters are known follows from what a character costs then (`costs`: g(k) of
    `tinysedd.costs`; default: score.costs, which `tinysedd train` stores with a checkpoint). The best sizes follow by
    dynamic programming. It never takes more steps than there are masks. ValueError if there are no costs.
    """
    masked = find_masks(process, x, free)
    costs = getattr(score, "costs", None) if costs is None else costs
    if costs is None or len(costs) < x.shape[1]:
        raise ValueError(
            "the planned sampler must know what a character costs, which this model does not say: use the sampler "
            "spread, or pass costs=, the g of a tinysedd.costs.information_curve for texts of "
            f"{x.shape[1]} characters"
        )
    known = x.shape[1] - int(masked.sum(-1).max())
    sizes = best_sizes(costs[: x.shape[1]], steps, known) if masked.any() else []
    return _in_groups(score, process, x, free, golden_order(x, generator), sizes, generator)


def _in_groups(
    score: Score, process: Absorbing, x: Tensor, free: Tensor, order: Tensor, sizes: list[int] | int, generator
) -> Trajectory:
    """Draw the masks in this order (B, L), smallest first, in groups of these sizes, or in this many even groups."""
    masked, states, times = find_masks(process, x, free), [x], [1.0]
    steps = sizes if isinstance(sizes, int) else len(sizes)
    for step in range(steps):
        count = masked.sum(-1, keepdim=True)  # (B, 1)
        # An even group leaves a remainder for the last step, when most of the text is known.
        group = count // (steps - step) if isinstance(sizes, int) else torch.full_like(count, sizes[step])
        hit = smallest(order, masked, group) & masked  # a text may have fewer masks than the group
        x = _unmask(score, process, x, hit, sigma_of(masked), _rand(x, generator))
        masked = masked & ~hit
        states.append(x)
        times.append(_time(process, masked))
    return Trajectory(torch.stack(states), torch.tensor(times), ~free, calls=steps, mask=process.mask)


def corrected(score: Score, process: Absorbing, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """Absorbing only: `planned`, or `spread` if score.costs are not known, and then corrector steps, a quarter of all
    (Campbell et al., 2205.14987).

    A corrector step masks a few characters of the finished text (a sixteenth of them, at least one) and draws them
    again given the rest, oldest first; of the same age, those that are far apart. With the exact score and one
    character at a time this is Gibbs sampling, which leaves p(x0) unchanged. It repairs characters that were drawn when
    little was visible, or together with others.
    """
    costs = getattr(score, "costs", None)
    write = spread if costs is None or len(costs) < x.shape[1] else planned
    first = write(score, process, x, free, steps - steps // 4, generator)
    states, x, count = list(first.states), first.states[-1], int(free.sum())
    few = max(count // 16, 1)
    born = (first.states == process.mask).sum(0)  # (B, L): the step that wrote each character
    age = born + golden_order(x, generator) / x.shape[-1]
    order = age.masked_fill(~free, steps + 1).argsort(dim=-1)
    for step in range(steps // 4 if count else 0):
        positions = order[:, [(step * few + i) % count for i in range(few)]]  # (B, few)
        hit = torch.zeros_like(x, dtype=torch.bool).scatter(-1, positions, True)
        x = _unmask(score, process, torch.where(hit, process.mask, x), hit, sigma_of(hit), _rand(x, generator))
        states.append(x)
    calls = len(states) - 1
    times = torch.cat([first.times, torch.zeros(calls - first.calls)])
    return Trajectory(torch.stack(states), times, ~free, calls=calls, mask=process.mask)


def tweedie(score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None) -> Trajectory:
    """`sampling.tweedie`, the same chain. Which masks are drawn depends only on the time, so a network that needs no
    sigma is asked only about these."""
    if not knows_places(score, process):
        return sampling.tweedie(score, process, x, free, steps, generator)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64, device=x.device)
    share = -torch.expm1(-process.schedule.total(times))  # of masks
    share[-1] = 0  # the last step leaves none, whatever the schedule
    states, texts = [x], 0
    for before, after in zip(share[:-1], share[1:]):
        u, jumps = _rand(x, generator), 1 - after / before
        hit = (x == process.mask) & free & (u < jumps)
        x, texts = _unmask(score, process, x, hit, sigma_of(hit), u / jumps), texts + int(hit.any(-1).sum())
        states.append(x)
    calls = math.ceil(texts / len(x))
    return Trajectory(torch.stack(states), times.cpu(), ~free, calls=calls, mask=process.mask)


def trapezoidal(
    score: Score, process: Process, x: Tensor, free: Tensor, steps: int, generator=None, theta: float = 0.5
) -> Trajectory:
    """The theta-trapezoidal method, of second order, with two calls per step (Ren et al., 2502.00234, algorithm 2).

    A step lowers sigma by d. First it moves theta d with the rates of x, as Euler's method does, to y. From y it moves
    the rest, with rates that are extrapolated from those of x and y and cut off at 0. The last step is a single call
    that removes all the noise that is left.
    """
    check_between(0, 1, theta=theta)
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64, device=x.device)
    sigmas = process.schedule.total(times)
    now, earlier = 1 / (2 * theta * (1 - theta)), (theta**2 + (1 - theta) ** 2) / (2 * theta * (1 - theta))
    states = [x]
    for sigma, after in zip(sigmas[:-2], sigmas[1:-1]):
        d = sigma - after
        at_x = _rates(score, process, x, sigma)
        y = torch.where(free, _jump(x, theta * d * at_x, generator), x)
        at_y = _rates(score, process, y, sigma - theta * d)
        x = torch.where(free, _jump(y, (1 - theta) * d * (now * at_y - earlier * at_x).clamp(min=0), generator), y)
        states.append(x)
    sigma = sigmas[-2].expand(len(x))
    p = process.denoise(call(score, process, x, sigma), x, sigma)
    states.append(torch.where(free, sample_categorical(p, generator), x))
    return Trajectory(torch.stack(states), times.cpu(), ~free, calls=2 * steps - 1, mask=process.mask)


SAMPLERS: dict[str, Sampler] = sampling.SAMPLERS | {
    "tweedie": tweedie,
    "trapezoidal": trapezoidal,
    "entropy_bounded": entropy_bounded,
    "spread": spread,
    "planned": planned,
    "corrected": corrected,
}


def best_sampler(process: Process) -> str:
    """The name of the sampler that writes best under a process."""
    return "corrected" if isinstance(process, Absorbing) else "tweedie"


def sample(
    score: Score, process: Process, *, sampler: str | Sampler | None = None, steps: int = 64, count: int = 1, **options
) -> Trajectory:
    """Write texts: `sampling.sample` with all samplers, by name or as a function, and the best one as the default.

    score    any score function (x, sigma) -> log_score; its .alphabet and .length, if it has them, are the defaults
    sampler  a name in SAMPLERS, or a function like them; None takes `best_sampler(process)`
    steps    steps of the sampler
    count    how many texts
    options  prompt=, length=, alphabet=, generator=: see `tinysedd.sampling.sample`
    ValueError for an unknown sampler, and as in `sampling.sample`.
    """
    sampler = best_sampler(process) if sampler is None else sampler
    if isinstance(sampler, str):
        if sampler not in SAMPLERS:
            raise ValueError(f"there is no sampler {sampler!r}: use one of {', '.join(SAMPLERS)}")
        sampler = SAMPLERS[sampler]
    return sampling.sample(score, process, sampler=sampler, steps=steps, count=count, **options)


def golden_order(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For each position of x (B, L), its turn (B, L): turn n is n golden ratios of L further than a random start."""
    B, L = x.shape
    start = torch.rand(B, 1, dtype=torch.float64, generator=generator)
    stops = (start + (5**0.5 - 1) / 2 * torch.arange(L, dtype=torch.float64)) % 1  # all different
    return stops.argsort(-1).to(x.device)  # the turn at the leftmost stop belongs to the first position, and so on


def _posterior_at(score: Score, process: Process, x: Tensor, where: Tensor, sigma: Tensor) -> Tensor:
    """p(x0_i = a | x) (K, S or N), float64, at the K masks of x (B, L) where (B, L) is true."""
    rows = where.any(-1)
    x, where, sigma = x[rows], where[rows], sigma[rows]
    if knows_places(score, process):
        return log_posterior_at(score, x, where).double().exp()
    return process.denoise(call(score, process, x, sigma), x, sigma)[where].double()


def _unmask(score: Score, process: Process, x: Tensor, hit: Tensor, sigma: Tensor, u: Tensor) -> Tensor:
    """x (B, L) with the masks at hit (B, L) drawn from the posterior, by random numbers u (B, L) in [0, 1)."""
    if not hit.any():
        return x
    return x.masked_scatter(hit, sample_categorical(_posterior_at(score, process, x, hit, sigma), u=u[hit]))


def _rand(x: Tensor, generator: Generator | None) -> Tensor:
    """A random number in [0, 1) for each character (B, L), float64."""
    return torch.rand(x.shape, dtype=torch.float64, generator=generator).to(x.device)


def _rates(score: Score, process: Process, x: Tensor, sigma: Tensor) -> Tensor:
    """The reverse rates per unit of sigma, Q(y -> x_i) s_y (B, L, S), float64, with 0 at y = x_i."""
    return process.rates_into(x) * call(score, process, x, sigma.expand(len(x))).double().exp()


def _jump(x: Tensor, rates: Tensor, generator: Generator | None) -> Tensor:
    """x (B, L) after jumps to y at constant rates (B, L, S) during one unit of time, wherever x is meanwhile."""
    total = rates.sum(-1, keepdim=True)
    stay = torch.exp(-total)
    jump = torch.where(total > 0, rates / total.clamp(min=1e-300), 0.0) * -torch.expm1(-total)
    return sample_categorical(jump.scatter_add(-1, x[..., None], stay), generator)


def _time(process: Process, masked: Tensor) -> float:
    """The time at which this share of characters (B, L) is masked on average."""
    return float(process.schedule.time(-torch.log1p(-masked.double().mean())).clamp(0, 1))
