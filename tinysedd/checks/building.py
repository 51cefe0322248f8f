"""Exercises of "Build it yourself": the parts of minimal.py, one by one, and then the whole program."""

# An exercise is a class without instances, so its functions have no self.
# pyright: reportSelfClsParameterName=false

import itertools
import linecache
import traceback
from collections.abc import Callable
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tinysedd import minimal, show
from tinysedd.checks import learning, noise, sampling
from tinysedd.checks.engine import binomial_tolerance, describe, exercise, refuse
from tinysedd.checks.pictures import animals
from tinysedd.minimal import BATCH, EPS, LR, total_noise
from tinysedd.process import Absorbing
from tinysedd.sampling import Trajectory
from tinysedd.worlds import Words


@exercise("the network will read numbers, and you can read what it writes.")
class blocks:
    def reference(text: Any, length, every):
        alphabet = "".join(sorted(set(text)))
        ids = torch.tensor([alphabet.index(c) for c in text])
        return alphabet, ids.unfold(0, length, every)

    def cases(rng: Any):
        yield "ba", 1, 1
        yield "abracadabra", 4, 4  # the last three characters fill no block
        yield "a cat sat.", 3, 1
        yield "Été, ça va?\n", 4, 2
        yield "the fox met the owl. ", 7, 7

    def measure(result: Any, text, length, every):
        pair = isinstance(result, list | tuple) and len(result) == 2
        refuse(not pair, f"A pair (alphabet, blocks) was expected, but you returned {describe(result)}.")
        alphabet, ids = result
        refuse(isinstance(alphabet, list | tuple), "Return the alphabet as a text: ''.join(...) makes one of a list.")
        decimals = isinstance(ids, Tensor) and ids.is_floating_point()
        refuse(decimals, "Ids are integers, because they are used as indices.")
        return [alphabet, ids]

    mistakes = {
        "(0, length, every) => (0, length, length)": "Your blocks start every `length` characters, not every `every`.",
        "(0, length, every) => (0, length, 1)": "A block starts at each character of your text, not every `every`.",
        "alphabet.index(c) => ord(c)": "Your ids are ord(c). An id is the place of a character in the alphabet.",
    }  # fmt: skip


add_noise = noise.perturb_absorbing.renamed("add_noise")


@exercise("from any outputs of a network you get a score: positive ratios with the right sum.", gradient="logits")
class log_score:
    def reference(logits: Any, sigma):
        return logits.log_softmax(-1) - torch.log(torch.expm1(sigma))[:, None, None]

    def cases(rng: Any):
        for B, L, N, sigma in learning.SIZES:
            logits = 2 * torch.randn(B, L, N, generator=rng)
            yield logits, sigma * torch.linspace(1, 2, B)
        yield torch.tensor([[[800.0, 0.0, -3.0]]]), torch.tensor([0.7])
        yield torch.randn(2, 1, 3, generator=rng), torch.tensor([1e-6, 30.0])

    mistakes = {
        "logits.log_softmax(-1) => torch.log(logits.softmax(-1))": "You get -inf where a probability is too small for "
        "a number, and no gradient comes back from there. Use log_softmax, which is softmax and log in one.",
        "torch.log(torch.expm1(sigma)) => sigma": "You divide by e^sigma. Divide by e^sigma - 1.",
        "- torch.log(torch.expm1(sigma))[:, None, None] =>": "The score also depends on sigma: divide by e^sigma - 1.",
    }  # fmt: skip

    def picture(function: Any):
        words, sigma, x = Words(), torch.tensor([0.1], dtype=torch.float64), torch.tensor([[2, 26, 19]])  # c, mask, t
        log_p = words.score(Absorbing(26)).log_posterior(x, sigma).double()
        log_s = function(log_p, sigma).where((x == 26)[..., None], log_p)[0]
        log_s = torch.cat([log_s, log_s[:, :1].where(x[0, :, None] == 26, -torch.inf) * 0], -1)
        return show.heatmap(log_s, x[0], words.alphabet, title="Your score of c·t: which letters belong in the gap?")


@exercise("it sees the whole text, both sides of each gap, and answers with a score.", seconds=30)
class Network:
    def reference(num_tokens: Any, length):
        network = minimal.Network(num_tokens)
        network.place = nn.Embedding(length, minimal.WIDTH)
        return network

    def cases(rng: Any):
        yield 5, 6
        yield 3, 8

    def measure(network: Any, num_tokens, length):
        """The logarithm of the sum of the scores at each position, or ValueError with what the network cannot do."""
        refuse(not isinstance(network, nn.Module), "Network should be a class: class Network(nn.Module).")
        rng = torch.Generator().manual_seed(length)
        with torch.no_grad():  # so that a network whose last layer starts at 0 shows what it sees, too
            for weight in network.parameters():
                weight.add_(torch.randn(weight.shape, generator=rng), alpha=0.2)
        x, sigma = torch.randint(num_tokens, (4, length), generator=rng), torch.linspace(0.3, 3, 4)
        x = x.masked_fill(torch.rand(x.shape, generator=rng) < 0.5, num_tokens)
        x[0], noise = num_tokens, torch.full_like(x, num_tokens)
        log_s, shape = _ask(network, x, sigma), (4, length, num_tokens)
        found = tuple(log_s.shape) if isinstance(log_s, Tensor) else describe(log_s)
        more = found == (*shape[:2], num_tokens + 1)
        refuse(more, "You predict one state too many. The clean text has no masks: the head has num_tokens outputs.")
        refuse(found != shape, f"forward should return log s of shape (B, L, N), here {shape}; yours is {found}.")
        total = log_s.detach().double().logsumexp(-1)
        off = (total + torch.expm1(sigma).log()[:, None]).abs().max() > 1e-3
        refuse(off, "The scores should add up to 1 / (e^sigma - 1): end forward with return log_score(logits, sigma).")

        def changed(y: Tensor, at: tuple) -> bool:
            return bool((_ask(network, y, sigma)[at] - log_s[at]).abs().max() > 1e-6)

        again = "Two calls with the same text gave different scores. Is there dropout? Pass dropout=0.0."
        refuse(changed(x, (slice(None),)), again)
        other, first, last = x.clone(), x.clone(), x.clone()
        other[1:], first[0, 0], last[0, -1] = 0, 0, 0
        mixed = "A text's scores depend on the other texts of the batch. Mix positions only: pass batch_first=True."
        refuse(changed(other, (0,)), mixed)
        right, left = changed(last, (0, 0)), changed(first, (0, -1))
        refuse(not right and not left, "Each position sees only itself. Something must mix the positions: attention.")
        refuse(not right or not left, "A position sees only one side. In diffusion it sees both: use no causal mask.")
        alike = torch.allclose(log_s[0, 0], log_s[0, 1], atol=1e-6)
        refuse(alike, "The network cannot tell positions apart. Add an embedding of the position.")
        same = torch.allclose(_ask(network, noise, sigma), _ask(network, noise - 1, sigma), atol=1e-6)
        refuse(same, "The mask looks like the last character. It is a state of its own: embed num_tokens + 1 states.")
        hidden = {id(leaf) for leaf in _leaves(log_s)} - {id(weight) for weight in network.parameters()}
        listed = "network.parameters() does not list all weights, so some are never trained. Is there a list of layers?"
        refuse(hidden, f"{listed} Use nn.ModuleList, and nn.Parameter for a single tensor.")
        log_s.sum().backward()
        unused = [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None]
        refuse(unused, f"These weights are never used in forward: {', '.join(unused[:3])}.")
        refuse(not any(weight.requires_grad for weight in network.parameters()), "The network has no weights to train.")
        return total

    def picture(function: Any):
        import matplotlib.pyplot as plt

        network, x = function(5, 12), torch.full((13, 12), 5)
        x[range(12), range(12)] = 0  # row j: all masks but for position j; the last row: all masks
        with torch.no_grad():
            log_s = network(x, torch.ones(13))
        fig, ax = plt.subplots(figsize=(3.6, 3.2), layout="constrained")
        ax.imshow((log_s[:12] - log_s[12]).abs().mean(-1).T, cmap="Greens")
        ax.set(xlabel="where a character changes", ylabel="where the scores change", title="Who sees whom")
        ax.set(xticks=range(0, 12, 2), yticks=range(0, 12, 2))
        return show.describe(fig, "How much a new character at one position changes the scores at each position.")


def _leaves(result: Tensor) -> list[Tensor]:
    """All tensors that get a gradient from a result."""
    todo: list[Any] = [result.grad_fn]
    seen, found = set(), []
    while todo:
        node = todo.pop()
        if node and node not in seen:
            seen.add(node)
            found += [node.variable] if hasattr(node, "variable") else []
            todo += [following for following, _ in node.next_functions]
    return found


def _ask(network: nn.Module, x: Tensor, sigma: Tensor) -> Tensor:
    """The network's answer. ValueError with the line that failed, in place of any other error."""
    try:
        return network(x, sigma)
    except NotImplementedError:
        raise
    except Exception as error:
        trace = [f for f in traceback.extract_tb(error.__traceback__)[1:] if "-packages" not in f.filename]
        line = linecache.getline(trace[-1].filename, trace[-1].lineno or 0).strip() if trace else "?"
        mask = "The mask has the id num_tokens, so embed num_tokens + 1 states." if "out of range" in str(error) else ""
        why = f"network(x, sigma) raised {type(error).__name__}: {error}"
        raise ValueError(f"{why}\n{mask}\nIt comes from this line: {line}".replace("\n\n", "\n")) from None


@exercise("this loss needs no true ratio, and it is 0 where the guess is right.", gradient="log_s")
class score_entropy_loss:
    def reference(log_s: Any, x, x0, t, mask):
        sigma = total_noise(t)
        r = 1 / torch.expm1(sigma)[:, None]
        guess = log_s.gather(-1, x0[..., None]).squeeze(-1)
        entropy = log_s.exp().sum(-1) - r * guess + r * (r.log() - 1)
        weight = (1 - EPS) * torch.expm1(sigma)
        return (weight[:, None] * torch.where(x == mask, entropy, 0.0)).mean()

    def cases(rng: Any):
        for B, L, N in [(1, 1, 2), (1, 3, 3), (2, 3, 4), (3, 2, 5), (4, 6, 3)]:
            x0 = torch.randint(N, (B, L), generator=rng)
            t = torch.rand(B, generator=rng) * 0.8 + 0.1
            t[1:2], t[3:4] = 1e-3, 1.0
            x = x0.masked_fill(torch.rand(B, L, generator=rng) < 0.6, N)
            x[0, 0] = N
            yield 2 * torch.randn(B, L, N, generator=rng), x, x0, t, N
            yield log_score._reference(torch.randn(B, L, N, generator=rng), total_noise(t)), x, x0, t, N

    mistakes = {
        ".mean() => .sum() / (x == mask).sum()": "You divide by the number of masks. Take the mean over all "
        "positions, with 0 where a character shows.",
        "log_s.exp().sum(-1) - r => -r": "The sum of s over all y is missing. Without it no guess is ever too large.",
        "log_s.exp().sum(-1) => log_s.sum(-1)": "You add up log s. The first term is the sum of s = exp(log_s).",
        "log_s.exp().sum(-1) => guess.exp()": "You only count y = x0. The other y have r = 0, but they still cost s.",
        "log_s.gather(-1, x0[..., None]).squeeze(-1) => log_s.sum(-1)": "You use r at every y. r is 0 for all y but "
        "x0, so only log s at x0 counts: gather it.",
    }  # fmt: skip

    def picture(function: Any):
        def loss(log_s, x, x0, sigma):
            t = torch.full((len(x),), 0.6, dtype=torch.float64)
            return function(log_s[..., :26], x, x0, t, 26)

        return learning._valley(loss, Absorbing(26), total_noise(torch.tensor(0.6)).item())


class _Table(nn.Module):
    """A network that learns which characters are frequent at each position; it ignores x, and notes what it is given.

    With 10 in front, 150 steps with Adam are enough at any usual learning rate.
    """

    __name__ = "network"

    def __init__(self, length: int, num_tokens: int):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(length, num_tokens))
        self.asked: list[tuple[Tensor, Tensor]] = []
        self.stale = False

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        if x.ndim != 2 or sigma.shape != x.shape[:1]:
            raise TypeError(f"network(x, sigma) takes x (B, L) and sigma (B,), not {(*x.shape,)} and {(*sigma.shape,)}")
        self.asked.append((x.clone(), sigma.detach().double()))
        log_s = (10 * self.table).log_softmax(-1) - sigma.float().expm1().log()[:, None, None]
        if log_s.requires_grad:
            log_s.register_hook(self._before_the_gradient)
        return log_s

    def _before_the_gradient(self, _: Tensor) -> None:
        self.stale |= self.table.grad is not None and bool(self.table.grad.any())

    def __repr__(self) -> str:
        return "(a small network)"


@exercise(
    "the loss falls, and the network learns what is frequent.",
    tolerance=lambda p: torch.full_like(p, 0.15),
    measured="how probable each character (column) is at each position (row), as the network has learned it",
    in_place=True,
    seconds=60,
)
class train:
    def reference(network: Any, texts, mask, steps, generator):
        optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
        for step in range(steps):
            x0 = texts[torch.randint(len(texts), (BATCH,), generator=generator)]
            t = 1 - (torch.rand((), generator=generator) + torch.arange(BATCH) / BATCH) % 1
            sigma = total_noise(t)
            x = add_noise._reference(x0, sigma, mask, generator)
            loss = score_entropy_loss._reference(network(x, sigma), x, x0, t, mask)
            optimizer.param_groups[0]["lr"] = LR * min((step + 1) / 100, 1) * (1 - step / steps)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()

    def cases(rng: Any):
        for L, N, steps in [(6, 3, 200), (10, 2, 150)]:
            p = (1.5 * torch.randn(L, N, generator=rng)).softmax(-1)
            texts = p.multinomial(300, replacement=True, generator=rng).T
            yield _Table(L, N), texts, N, steps, torch.Generator().manual_seed(L)

    def measure(result: Any, network, texts, mask, steps, generator):
        refuse(
            not hasattr(result, "__next__"),
            f"After each step, yield loss.item(). But your function returned {describe(result)}.",
        )
        used: dict[Any, float] = {}  # each optimizer, and its highest learning rate

        def note(optimizer: Any, *_: Any) -> None:
            used[optimizer] = max(float(g["lr"]) for g in [*optimizer.param_groups, {"lr": used.get(optimizer, 0.0)}])

        with register_optimizer_step_pre_hook(note):
            losses = list(itertools.islice(result, 1))
            early = len(network.asked) >= steps
            losses += itertools.islice(result, steps)
        refuse(early, "You take all steps before the first `yield`. Yield each loss right after its step.")
        refuse(not network.asked, "Your function never asks the network.")
        tensors = any(isinstance(loss, Tensor) for loss in losses)
        refuse(tensors, "Yield a number, loss.item(). A tensor keeps the whole computation of its step in memory.")
        counted = f"{'more than ' * (len(losses) > steps)}{min(len(losses), steps)}"
        refuse(len(losses) != steps, f"With steps = {steps}, yield {steps} losses. You yield {counted}.")
        x, sigma = (torch.cat(parts) for parts in zip(*network.asked))
        hit, p = (x == mask).double(), -torch.expm1(-sigma)[:, None].expand(x.shape)
        refuse(not hit.any(), "The network sees clean texts. Give it the noised ones, x.")
        seen = ((x[:, None] == texts) | (x[:, None] == mask)).all(-1)  # (B, T): which texts each x may come from
        refuse(not seen.any(1).all(), "The network sees texts that are not in `texts`. Draw rows: texts[numbers].")
        z = (hit - p).sum() / (p * (1 - p)).clamp(min=1e-9).sum().sqrt()
        refuse(z.abs() > 6, "The network's sigma is not the noise of x. Use sigma = total_noise(t) for both.")
        refuse(p[:, 0].std() < 0.1, "All texts have the same time. Draw t at random for each text, in (0, 1].")
        one_time = all(len(s.unique()) == 1 for _, s in network.asked)
        refuse(one_time, "All texts of a batch have the same time. Draw a time for each text, shape (B,).")
        again = all(torch.equal(s, network.asked[0][1]) for _, s in network.asked)
        refuse(again, "The times are the same in every step. Draw new ones in each step.")
        clear = x[hit.sum(1) == 0]
        few = len(clear) > 60 and len(clear.unique(dim=0)) < len(texts.unique(dim=0)) / 3
        refuse(few, "You train on the same few texts in every step. Draw a new batch in each step.")
        refuse(network.stale, "Gradients add up from step to step. Call optimizer.zero_grad() before loss.backward().")
        refuse(not network.table.any(), "The weights never change. Call loss.backward(), then optimizer.step().")
        refuse(len(used) > 1, "You make a new optimizer in each step, so it forgets its averages. Make one at first.")
        for kind, rate in ((type(optimizer).__name__, rate) for optimizer, rate in used.items()):
            refuse("Adam" not in kind, f"Your optimizer is {kind}. Use torch.optim.AdamW.")
            refuse(not LR / 10 < rate < LR * 10, f"Your learning rate is {rate:g} at most. Use LR, which is {LR:g}.")
        learned = (10 * network.table.detach()).double().softmax(-1)
        truth = train._definition.exact(network, texts, mask, steps, generator)
        cost = -(truth * learned.clamp(min=1e-30).log()).sum(-1).mean()
        refuse(cost > -truth.mean(0).log().max() + 3, "The loss rises. The optimizer should make it smaller: no minus.")
        return learned

    def exact(network: Any, texts, mask, steps, generator):
        return nn.functional.one_hot(texts, mask).double().mean(0)

    def picture(function: Any):
        _, texts, mask, steps, rng = train._cases[0]
        losses = list(function(_Table(6, 3), texts, mask, steps, rng.clone_state()))
        means = [(k + 10, sum(losses[k : k + 10]) / 10) for k in range(0, steps, 10)]
        return show.curve({"your loss": means}, x="steps", y="loss", title="A small table learns with your loop")


TEXTS = 5000


class _Exact(sampling._Score):
    """The exact score of a table of texts, as a network gives it: N numbers at each position, also at visible ones."""

    def __init__(self, p: Tensor, factor: float = 1.0):
        super().__init__(p, Absorbing(len(p)))
        self.factor, self.noise = factor, torch.full((TEXTS, p.ndim), len(p))
        self.masks: dict[float, float] = {}  # the fraction of masks at each noise level, in the last call
        self.last, self.redrawn = self.noise, False

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        if torch.equal(x, self.noise):
            self.last, self.redrawn = x, False
        N, sigma = len(self.p), sigma.double()
        log_s = super().__call__(x, sigma)[..., :N]
        self.redrawn |= x.shape == self.last.shape and bool(((self.last != N) & (x != self.last)).any())
        self.last = x.clone()
        self.masks[float(sigma[0])] = (x == N).double().mean().item()
        even = (-torch.log(torch.expm1(sigma) * N))[:, None, None]
        return torch.where((x == N)[..., None], log_s, even) + torch.tensor(self.factor).log()


STEP = "torch.expm1(sigma - less)"


@exercise(
    "out of nothing but masks, texts appear with the right frequencies.",
    tolerance=binomial_tolerance(8000),
    seconds=60,
    repeats=2,
    measured=f"the fraction of each text among {2 * TEXTS:,}: rows for the first character, columns for the second; "
    "the mask comes last. Result 2: the fraction of masks before each step",
)
class sample:
    def reference(score: Any, count, length, mask, steps, generator):
        x = torch.full((count, length), mask)
        sigmas = total_noise(torch.linspace(1, 0, steps + 1, dtype=torch.float64))
        for sigma, less in zip(sigmas[:-1], sigmas[1:]):
            p = score(x, sigma.float().expand(count)).double().exp() * torch.expm1(sigma - less)
            stay = (1 - p.sum(-1, keepdim=True)).clamp(min=0) * (less > 0)
            y = torch.cat([p, stay], -1).flatten(0, 1).multinomial(1, generator=generator).view(count, length)
            x = torch.where(x == mask, y, x)
        return x

    def cases(rng: Any):
        one, same = torch.tensor([0.2, 0.8]).double(), torch.tensor([[0.3, 0.0], [0.0, 0.7]]).double()
        apart = torch.tensor([[0.0, 0.0, 0.0], [0.27, 0.03, 0.0], [0.63, 0.07, 0.0]])
        for p, factor, steps in [(one, 1, 1), (one, 0.5, 3), (same, 1, 2), (apart, 1, 4), (same, 1, 5)]:
            yield _Exact(p, factor), TEXTS, p.ndim, len(p), steps, torch.Generator().manual_seed(steps)

    def measure(result: Any, score, count, length, mask, steps, generator):
        calls, asked = sampling._drawn(result, (count, length), mask + 1), len(score.levels)
        wanted = f"With steps = {steps}, ask the score in each step, at the noise before it: {steps} levels of noise."
        refuse(asked != steps, f"{wanted} You asked it at {asked}.")
        right = total_noise(torch.linspace(1, 0, steps + 1, dtype=torch.float64))[:-1].tolist()
        levels = sorted(score.levels, reverse=True)
        off = any(abs(a / b - 1) > 1e-3 for a, b in zip(levels, right))
        yours, wanted = (", ".join(f"{s:.3g}" for s in side[:4]) for side in (levels, right))
        refuse(off, f"You ask at noise levels {yours}. Use those of evenly spaced times from 1 down: {wanted}.")
        redrawn = score.redrawn or ((score.last != mask) & (calls[-1] != score.last)).any()
        refuse(redrawn, "A visible character changed. Only masks are replaced: torch.where(x == mask, y, x).")
        left = (calls == mask).any()
        refuse(left, "Masks are left at the end. In the last step, to noise 0, staying a mask has probability 0.")
        table = sampling._shares(calls, mask + 1)
        if score.factor < 1:
            return [table]  # how many masks fall depends on what makes up for the factor
        return [table, torch.tensor([score.masks[s] for s in levels])]

    def exact(score: Any, count, length, mask, steps, generator):
        """Each position is unmasked in a random step. Two in the same step are drawn as if independent."""
        p = score.p
        if length == 2:
            p = (1 - 1 / steps) * p + p.sum(1, keepdim=True) * p.sum(0) / steps
        table = nn.functional.pad(p, (0, 1) * length)
        return [table, torch.arange(steps, 0, -1) / steps] if score.factor == 1 else [table]

    mistakes = {
        "1 - p.sum(-1, keepdim=True) => 1 - p.amax(-1, keepdim=True)": "You subtract only the largest p. Subtract "
        "the sum of all p.",
        f"{STEP} => -torch.expm1(less - sigma)": "You use 1 - e^-(sigma - sigma'). The factor is "
        "e^(sigma - sigma') - 1.",
        f"* {STEP} =>": "The length of the step is missing. The probability of y is s_y (e^(sigma - sigma') - 1).",
        f"{STEP} => torch.expm1(sigma)": "In every step you remove all the noise. A step from sigma to sigma' turns a "
        "mask into y with probability s_y (e^(sigma - sigma') - 1).",
        f"{STEP} => (sigma - less)": "You use sigma - sigma', which is right for a tiny step only. The factor is "
        "e^(sigma - sigma') - 1.",
    }  # fmt: skip

    def picture(function: Any):
        world, process, exact = animals()
        states: list[Tensor] = []

        def score(x: Tensor, sigma: Tensor) -> Tensor:
            states.append(x.clone())
            return exact(x, sigma)[..., : process.mask].where((x == process.mask)[..., None], -9.0)

        states.append(function(score, 5, 16, process.mask, 24, torch.Generator().manual_seed(0)))
        never, times = torch.zeros(16, dtype=torch.bool), torch.linspace(1, 0, len(states))
        film = Trajectory(torch.stack(states), times, never, 24, mask=process.mask, alphabet=world.alphabet)
        return show.animation(film)


class _Run(tuple):
    """What a program returned, and what was noted: the texts its network was asked about, prints, and a second run."""

    asked: list[Tensor]
    prints: int
    again: Callable[[], Any]


def _check_writing(run: Any) -> None:
    """ValueError if a `_Run` does not print, or does not return four new texts, or returns others a second time."""
    alphabet, network, written = run
    refuse(len(written) != 4, f"Return four texts at the end. You return {len(written)}.")
    refuse(run.prints < 8, f"Print step, loss and a text eight times on the way. You print {run.prints} times.")
    masked = [bool((x == len(alphabet)).all()) for x in run.asked]
    refuse(not any(masked), "Your network never writes. Give sample the trained network.")
    first = len(masked) - 1 - masked[::-1].index(True)
    while first > 0 and masked[first - 1] and run.asked[first - 1].shape == run.asked[first].shape:
        first -= 1  # no mask fell in the first step
    length, x, steps = len(written[0]), run.asked[-1].tolist(), len(masked) - first
    seen = ["".join([*alphabet, "_"][i] for i in row) for row in x]  # in the last step
    new = all(b in (a, "_") for w, y in zip(written[-len(x) :], seen) for a, b in zip(w, y))
    problem = "These texts are not what your network wrote last. Call sample after the training, and return its texts"
    refuse(not new, f"{problem} in the letters of the alphabet.")
    refuse(steps != length, f"Write in LENGTH steps of sample, here {length}, not in {steps}.")
    _, other, texts = run.again()
    equal = texts == written and all(map(torch.equal, network.parameters(), other.parameters()))
    problem = (
        "A second run gives another network, or other texts. Call torch.manual_seed(0) before you make the network"
    )
    refuse(not equal, f"{problem}, and give the generator a fixed seed, too.")


@exercise(
    "your program reads, learns and writes.",
    tolerance=lambda p: torch.full_like(p, 0.3),
    seconds=120,
    measured="how probable an a is: in the first four of many masks, or next to many a (first) or b (second)",
)
class main:
    def reference(text: Any, every, steps):
        alphabet, texts = blocks._reference(text, 8, every)
        torch.manual_seed(0)
        generator, mask = torch.Generator().manual_seed(0), len(alphabet)
        network = Network._reference(len(alphabet), 8)
        for _ in train._reference(network, texts, mask, steps, generator):
            pass
        x = sample._reference(network, 4, 8, mask, 8, generator)
        return alphabet, network, ["".join(alphabet[i] for i in row) for row in x.tolist()]

    def cases(rng: Any):
        yield "aaab" * 500, 2, 80  # a at even places
        yield ("a" * 64 + "b" * 64) * 10, 64, 80  # blocks of one character

    def call(function: Any, text, every, steps):
        asked: list[tuple[nn.Module, Tensor]] = []

        def note(module: nn.Module, inputs: tuple) -> None:
            if inputs and isinstance(inputs[0], Tensor) and not inputs[0].is_floating_point():
                asked.append((module, inputs[0].clone()))

        with register_module_forward_pre_hook(note), mock.patch("builtins.print", wraps=print) as printed:
            result = function(text, every, steps)
        if not isinstance(result, list | tuple) or len(result) != 3:
            return result
        run = _Run(result)
        run.asked, run.prints = [x for module, x in asked if module is result[1]], printed.call_count
        run.again = (lambda: function(text, every, steps)) if every == 2 else (lambda: result)
        return run

    def measure(result: Any, text, every, steps):
        three = isinstance(result, list | tuple) and len(result) == 3
        refuse(not three, f"main should return (alphabet, network, written), but you returned {describe(result)}.")
        alphabet, network, written = result
        refuse("".join(alphabet) != "ab", f"Return the alphabet first, here 'ab'; yours is {describe(alphabet)}.")
        refuse(not isinstance(network, nn.Module), f"The second result should be the network, not {describe(network)}.")
        readable = isinstance(written, list) and len(written) > 0 and all(isinstance(w, str) for w in written)
        texts = "The third result should be a list of texts. Turn ids into characters: alphabet[i] for each id i."
        refuse(not readable, texts)
        length = len(written[0])
        x = torch.tensor([[2], [0], [1]]).repeat(1, length)  # masks; all a but for a mask; all b but for a mask
        x[:, -1] = 2
        with torch.no_grad():
            p = network(x, torch.ones(3)).softmax(-1)[..., 0].double()  # of an a
        if every == 64:
            flat, looped = (p[1, -1] - p[2, -1]).abs() < 0.3, "for loss in train(...)"
            refuse(flat, f"The network has hardly learned anything. train runs only while you loop over it: {looped}.")
            _check_writing(result)
            return p[1:, -1]
        p = p[0, :4]
        elsewhere = any((p - torch.tensor(q)).abs().max() < 0.15 for q in ([0.75] * 4, [1.0, 1, 1, 0]))
        refuse(elsewhere, "Your blocks do not start every `every` characters. Pass `every` on to blocks.")
        _check_writing(result)
        return p

    def exact(text: Any, every, steps):
        return torch.tensor([1.0, 0.0] if every == 64 else [1.0, 0.5, 1.0, 0.5]).double()
