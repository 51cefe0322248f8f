"""Exercises of notebooks 08 and 09: how good is the model, and which part is to blame?"""

# An exercise is a class without instances, so its functions have no self.
# pyright: reportSelfClsParameterName=false

import math
from typing import Any

import torch
from torch import Tensor

from tinysedd import show
from tinysedd.checks.engine import describe, exercise, refuse, tensor
from tinysedd.checks.pictures import animals
from tinysedd.worlds import Words

SIZES = [(1, 1, 1), (1, 2, 1), (2, 1, 3), (3, 4, 2), (2, 3, 5), (4, 2, 6)]  # M texts, K levels, L characters


BOUND = "(entropy.sum(-1) / (1 - share)).mean(-1)"


@exercise("you estimated an integral over all noise levels from a few of them.")
class bound_per_text:
    def reference(entropy: Any, share):
        return (entropy.sum(-1) / (1 - share)).mean(-1)

    def cases(rng: Any):
        for M, K, L in SIZES:
            share = (torch.arange(K) + torch.rand(M, K, generator=rng)) / K
            yield torch.rand(M, K, L, generator=rng) * (1 - share)[..., None] * 9, share
        yield torch.zeros(1, 2, 3), torch.tensor([[0.2, 0.999]])

    mistakes = {
        "/ (1 - share) => * -torch.log(1 - share)": "You weight with sigma. Weight with its derivative, 1 / (1 - m).",
        f"{BOUND} => entropy.sum(-1).mean(-1) / (1 - share).mean(-1)": "You divide the mean of the entropies by the "
        "mean of 1 - m. Divide at each level first, then take the mean.",
        ".mean(-1) => [:, 0]": "You use the first noise level only. Take the mean over all levels.",
        "torch.trapezoid(entropy.sum(-1) / (1 - share), share)": "You use the trapezoidal rule, which leaves out what "
        "is below the first level and above the last. Take the mean.",
    }  # fmt: skip

    def picture(function: Any):
        (world, process, score), rng, points = animals(), torch.Generator().manual_seed(0), []
        x0 = world.sample(60, rng)
        for K in (1, 2, 4, 8, 16, 32):
            share = (torch.arange(K) + torch.rand(60, K, dtype=torch.float64, generator=rng)) / K
            sigma, clean = -torch.log1p(-share).flatten(), x0.repeat_interleave(K, 0)
            x = process.perturb(clean, sigma, rng)
            bounds = function(process.score_entropy(score(x, sigma), x, clean, sigma).double().view(60, K, 16), share)
            points.append((K, bounds.mean().item(), bounds.std().item() / math.sqrt(60)))
        exact = -world.log_prob(x0).mean().item()
        lines = {"your bound of the truth, mean of 60 texts": points}
        return show.curve(lines, exact=exact, x="noise levels", y="nats per text", title="More levels, less chance")


def _nats(rng: torch.Generator, M: int, scale: float = 3.0) -> Tensor:
    return 2 + scale * torch.rand(M, generator=rng)


@exercise("you can state one number in three units.")
class bits_and_perplexity:
    def reference(nats: Any, length):
        h = nats.mean() / length
        return h / math.log(2), h.exp()

    def cases(rng: Any):
        yield torch.tensor([3.0]), 1
        yield torch.tensor([2.0, 8.0]), 4
        for M, length in [(3, 2), (5, 7), (10, 3)]:
            yield length * _nats(rng, M, 2.0) / 2, length

    mistakes = {
        "h.exp() => 2**h": "Your perplexity is 2 to the power of the nats. Take e^nats, or 2^bits.",
        "h.exp() => (h / math.log(2)).exp()": "Your perplexity is e to the power of the bits. Take e^nats, or 2^bits.",
        "h.exp() => nats.mean().exp()": "Your perplexity is that of a whole text. Divide by the length before exp().",
        "h.exp() => (h * length).exp() / length": "You divide the perplexity of a text by its length. Divide the nats.",
        "h.exp() => (nats / length).exp().mean()": "You average the perplexities, so one hard text dominates. Average "
        "the nats first, then take exp().",
    }  # fmt: skip

    def picture(function: Any):
        found = [(N, *function(torch.tensor([10 * math.log(N)]), 10)) for N in range(1, 17)]
        lines = {"perplexity": [(N, float(b)) for N, _, b in found], "bits": [(N, float(a)) for N, a, _ in found]}
        return show.curve(lines, x="characters", y="per character", title="An even guess among 1 to 16 characters")


PAIRED = (
    "Your ± combines those of a and b. Both models saw the same texts, and a text that is hard for one is hard for the "
    "other: take the ± of the differences a - b."
)


@exercise("what both models share cancels, and the ± belongs to the difference.")
class paired_gap:
    def reference(a: Any, b):
        d = a - b
        return d.mean(), d.std() / len(d) ** 0.5

    def cases(rng: Any):
        yield torch.tensor([3.0, 5.0]), torch.tensor([2.0, 3.0])
        yield torch.tensor([4.0, 9.0, 2.0]), torch.tensor([4.0, 9.0, 2.0])
        for M, lead in [(3, 0.1), (5, 0.2), (8, 0.1), (6, 0.25)]:  # the mean gap may be negative
            easy = _nats(rng, M)  # how hard each text is, the same for both models
            yield easy + 0.3 * torch.rand(M, generator=rng) - lead, easy

    mistakes = {
        "d.std() / len(d) ** 0.5 => ((a.var() + b.var()) / len(d)).sqrt()": PAIRED,
        "d.std() => (a.std() + b.std())": PAIRED,
        "d.std() => (a.std() - b.std()).abs()": PAIRED,
        "d.mean() => d.mean().abs()": "You drop the sign of the gap. It is negative where b is larger.",
    }  # fmt: skip

    def picture(function: Any):
        hard, *noise = torch.randn(3, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        a, b = (12 + 3 * hard + gap + z / 2 for gap, z in zip((0.3, 0.0), noise))
        points = [(M, *map(float, function(a[:M], b[:M]))) for M in (10, 20, 50, 100, 200, 500, 1000)]
        return show.curve({"your gap ± error": points}, exact=0.3, x="texts", y="nats", title="The error shrinks")


class _Causal:
    """log p of the next character at each position, given all up to there (B, L, N); `weight` gets the gradient."""

    __name__ = "predict"

    def __init__(self, N: int, rng: torch.Generator):
        self.N, (self.last, self.earlier) = N, torch.randn(2, N + 1, N, generator=rng)
        self.weight = torch.tensor(1.0, requires_grad=True)

    def __call__(self, x: Tensor) -> Tensor:
        ids = x.ndim == 2 and not x.is_floating_point() and ((x >= 0) & (x <= self.N)).all()
        refuse(not ids, f"predict(x) takes ids (B, L) from 0 to {self.N}; it was given {describe(x)}")
        before = self.earlier[x].cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None] ** 0.5
        return (self.weight * (self.last[x] + before)).log_softmax(-1)


SEEN, LOSS = "torch.cat([torch.full_like(x0[:, :1], start), x0[:, :-1]], 1)", "predict(seen).gather(-1, x0[..., None])"


@exercise("you used the chain rule, and no position sees the character it has to predict.", gradient="predict")
class autoregressive_loss:
    def reference(predict: Any, x0, start):
        seen = torch.cat([torch.full_like(x0[:, :1], start), x0[:, :-1]], 1)
        return -predict(seen).gather(-1, x0[..., None]).mean()

    def cases(rng: Any):
        for B, L, N in [(1, 1, 2), (2, 2, 3), (1, 4, 3), (3, 3, 4), (4, 6, 5)]:
            yield _Causal(N, rng), torch.randint(N, (B, L), generator=rng), N

    mistakes = {
        "predict(seen) => predict(x0)": "Your model cheats: row i of predict(x0) has already seen x0[:, i], the "
        "character it should predict. Shift the text by one position, with `start` in front.",
        f"{LOSS} => predict(x0[:, :-1]).gather(-1, x0[:, 1:, None])": "You leave out the first character. It carries "
        "information too: predict it from `start`, and count all L characters.",
        "[:, :1], start) => [:, :1], 0)": "You predict the first character from character 0. Predict it from `start`.",
        f"{LOSS} => predict(seen)[:, :-1].gather(-1, x0[:, :-1, None])": "You never predict the last character. With "
        "`start` in front, L positions predict all L characters.",
        f"{SEEN} => torch.cat([x0[:, 1:], torch.full_like(x0[:, :1], start)], 1)": "You shift the wrong way: each "
        "position sees the character after the one it should predict. Put `start` in front.",
        ".mean() => .squeeze(-1).mean(-1)": "You return one loss for each text. The optimizer needs one number.",
        ".mean() => .exp().mean().log()": "You take the logarithm of a mean. Take the mean of the logarithms.",
        "result.exp()": "This is the perplexity. The loss is the mean of -log p, without exp().",
        "predict(seen) => predict(seen).exp()": "You average -p. The loss is -log p: take no exp().",
    }  # fmt: skip


@exercise("a text agrees if all its pairs of characters do.")
class agreeing_share:
    def reference(x: Any, first, second):
        p = (x[:, first] == x[:, second]).all(-1).double().mean()
        return p, (p * (1 - p) / len(x)).sqrt()

    def cases(rng: Any):
        yield torch.tensor([[1, 0, 1], [1, 0, 2]]), [0], [2]
        yield torch.tensor([[0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0]]), [0, 1], [2, 3]
        yield torch.tensor([[0, 1, 0, 1]]), [0, 1], [2, 3]
        yield torch.tensor([[0, 1, 0, 1], [1, 0, 1, 1], [1, 1, 1, 1]]), [0, 1], [2, 3]  # the first pair always agrees
        yield torch.tensor([[0, 1, 1, 0], [1, 0, 0, 1]]), [0, 1], [2, 3]
        for B, L, width in [(6, 8, 2), (20, 9, 3), (50, 12, 2)]:
            x = torch.randint(2, (B, L), generator=rng)
            yield x, list(range(1, 1 + width)), list(range(L - width, L))
            yield x, [0, 3], [L - 1, 4]  # with a gap, and not in order

    mistakes = {
        "x[:, first] == x[:, second] => x[:, first].sort(-1)[0] == x[:, second].sort(-1)[0]": "You compare which "
        "characters occur. Their order matters too: compare position by position, without sorting.",
        "result[0], result[1] / len(x) ** 0.5": "Your ± divides by B instead of √B: √(p (1 - p) / B).",
    }  # fmt: skip

    def picture(function: Any):
        world, _, _ = animals()
        x = world.sample(5000, torch.Generator().manual_seed(1))  # such as "ant or bee? ant!"
        sizes, ends = (20, 50, 100, 200, 500, 1000, 5000), ([0, 1, 2], [12, 13, 14])
        found = [(B, *map(float, function(x[:B], *ends))) for B in sizes]
        title = "Is the first animal also the last one?"
        return show.curve({"your share ± your error": found}, exact=9 / 16, x="texts", y="share of texts", title=title)


# 09 ----------------------------------------------------------------------------------------------------------------


@exercise("you split what a group loses into the sampler's part and the model's.")
class group_errors:
    def reference(f: Any, g, k, n):
        factorization = n * f[k] - f[k : k + n].sum()
        learning = n * (g[k] - f[k])
        return factorization, learning

    def cases(rng: Any):
        yield torch.tensor([3.0, 1.0]), torch.tensor([3.5, 1.25]), 0, 2
        for L, k, n in [(3, 0, 2), (4, 1, 2), (5, 2, 3), (5, 4, 1), (6, 1, 3), (7, 2, 3), (8, 3, 4)]:
            f = 4 * torch.rand(L, generator=rng).sort(descending=True).values
            yield f, f + 0.2 + torch.rand(L, generator=rng), k, n
            yield f.flip(0), f - torch.rand(L, generator=rng), k, n  # not like a good model, but the ledger holds

    mistakes = {
        "f[k : k + n].sum() => n * f[k : k + n].sum()": "You multiply the sum by n, too. It has n terms already.",
        "f[k : k + n].sum() => f[:n].sum()": "Your sum starts at f(0). k characters are visible: start at f(k).",
        "f[k : k + n].sum() => f[k + 1 : k + n + 1].sum()": "Your sum starts one place too late, at f(k + 1).",
        "n * f[k] - f[k : k + n].sum() => n * g[k] - g[k : k + n].sum()": "Your factorization error uses g. It is the "
        "sampler's error, and a perfect model has it, too: use f.",
        "n * (g[k] - f[k]) => (g - f)[k : k + n].sum()": "Your learning error goes on to g(k + 1). All n are drawn "
        "while k are visible: each costs g(k).",
    }  # fmt: skip

    def picture(function: Any):
        from tinysedd.costs import information_curve

        (world, process, score), rng = animals(), torch.Generator().manual_seed(0)
        f = information_curve(score, process, world.sample(8, rng), score, generator=rng).f.double()  # 16 characters
        lost = [(n, sum(float(function(f, f, k, m)[0]) for k, m in [(0, n), (n, 16 - n)])) for n in range(1, 16)]
        title = "Texts such as 'ant or bee? bee!', written in two groups"
        return show.curve({"your errors": lost}, x="characters in the first group", y="nats lost", title=title)


COST, JOINT, SELECT = "-p.log().mean()", "joint[tuple(x0)].log()", "joint.select(i, c)"


@exercise("your cost may stand in a bound: it is that of one character, the next to be written.")
class cost_of_one:
    def reference(joint: Any, x0):
        p = torch.stack([joint.select(i, c).sum() for i, c in enumerate(x0.tolist())])
        return -p.log().mean()

    def cases(rng: Any):
        yield torch.tensor([[0.5, 0.0], [0.0, 0.5]]), torch.tensor([1, 1])
        for N, n in [(3, 1), (3, 2), (2, 3), (4, 3), (3, 4)]:
            joint = torch.rand([N] * n, generator=rng) ** 3
            yield joint / joint.sum(), torch.arange(1, n + 1) % N

    mistakes = {
        f"{COST} => -{JOINT} / len(p)": "This is the false bound: the joint cost divided by n. It averages over all "
        "characters still to come, and the later ones are cheap. Sum the table to p(character i) first, for each i.",
        f"{COST} => -{JOINT}": "This is the joint cost of all n characters. Sum the table to p(character i) first.",
        "p.log().mean() => p.mean().log()": "You take the log of a mean. Take -log p of each character, then the mean.",
        f"{COST} => 1 - p.mean()": "You average 1 - p. The cost of a character is -log p.",
        f"{COST} => -p[0].log()": "This is the cost of the first masked character. Average over all n.",
        f"{SELECT}.sum() => joint[tuple(x0)] / joint[(*x0[:i], slice(None), *x0[i + 1:])].sum()": "You condition on "
        "the other masked characters. The denoiser does not see them: sum over all that they may be.",
        f"{SELECT} => joint.select(len(x0) - 1 - i, c)": "Your axes run backward: axis i belongs to character i.",
        f"{SELECT} => joint.select(0, c)": "You always look at axis 0. Axis i belongs to masked character i.",
    }  # fmt: skip

    def picture(function: Any):
        yours = []
        for n in range(1, 8):
            joint = torch.zeros([2] * n, dtype=torch.float64)
            joint[(0,) * n] = joint[(1,) * n] = 0.5
            yours.append((n, float(function(joint, torch.zeros(n, dtype=torch.int64)))))
        lines = {"formula, your cost": yours, "formula, joint cost / n": [(n, math.log(2) / n) for n in range(1, 8)]}
        return show.curve(lines, exact=math.log(2), x="bits of a text", y="nats", title="Bits that are always equal")


VERDICT = "total - 3 * error > 1"


@exercise("your audit catches an impossible bound, and it spares a valid one that was lucky.")
class audit:
    def reference(bounds: Any, errors):
        claimed = (-bounds).exp()
        total = claimed.sum()
        error = (claimed * errors).square().sum().sqrt()
        return total, error, total - 3 * error > 1

    def cases(rng: Any):
        yield torch.tensor([0.5, 1.5]), torch.tensor([0.05, 0.1])
        for T, total, above in [(2, 1.5, 4), (2, 1.1, 1.6), (3, 1.05, 0.4), (3, 0.9, -2), (4, 1.3, 2.5)]:
            p, errors = 0.2 + torch.rand(2, T, generator=rng)
            p *= total / p.sum()
            yield -p.log(), errors / (p * errors).norm() * (total - 1) / above  # the sum is `above` errors above 1

    mistakes = {
        "(-bounds).exp() => 2 ** -bounds": "You take 2^-B, as for bits. These bounds are in nats: e^-B.",
        ".square().sum().sqrt() => .sum()": "You add the ± values. The texts were estimated independently, so they "
        "partly cancel: square, add, and take the root.",
        "(claimed * errors).square().sum().sqrt() => claimed.std()": "Your ± is the spread of e^-B over the texts. "
        "The spread between texts is no error: use `errors`.",
        "3 * error > 1 => error > 1": "You decide at one standard error, which chance exceeds every sixth time. Use 3.",
        "3 * error > 1 => 2 * error > 1": "You decide at two standard errors. Use 3.",
        f"{VERDICT} => total + 3 * error < 1": "You call a sum below 1 impossible. A valid bound may be loose.",
        f"{VERDICT} => abs(total - 1) > 3 * error": "You also catch sums below 1. A valid bound may be loose.",
    }  # fmt: skip

    def picture(function: Any):
        p = Words().p
        lies = [x / 10 for x in range(-5, 16)]
        found = [(lie, *map(float, function(-p.log() - lie, torch.full_like(p, 0.5))[:2])) for lie in lies]
        title = "The 339 words of Words: what a claim adds up to"
        return show.curve({"your sum ± error": found}, exact=1, x="nats below the truth", y="sum of e^-B", title=title)


@exercise("you know exactly what a sampler with a temperature writes, and it is not p^(1/T).")
class temperature_law:
    def reference(p: Any, T):
        first = p.sum(1) ** (1 / T)
        second = (p / p.sum(1, keepdim=True)) ** (1 / T)
        return (first / first.sum())[:, None] * second / second.sum(1, keepdim=True)

    def cases(rng: Any):
        yield torch.tensor([[0.5, 0.0], [0.25, 0.25]]), 0.5
        for N, T in [(2, 1.0), (2, 2.0), (3, 0.5), (4, 0.7), (5, 3.0)]:
            p = torch.rand(N, N, generator=rng) ** 2 + 0.01
            yield p / p.sum(), T

    mistakes = {
        "p ** (1 / T) / (p ** (1 / T)).sum()": "This is p^(1/T), normalized: what you might expect, but not what the "
        "sampler does. Sharpen p(a) and p(b | a) separately, each with a sum of its own.",
        "(p / p.sum(1, keepdim=True)) ** (1 / T) => p.sum(0, keepdim=True) ** (1 / T) * p.new_ones(p.shape)": "You "
        "draw the second character without looking at the first. Use p(b | a), row a of the table divided by its sum.",
        "temperature_law._reference(p.T, T).T": "You write from right to left. The first character comes first.",
        "(result + temperature_law._reference(p.T, T).T) / 2": "You average over both orders. This sampler has one.",
    }  # fmt: skip

    def picture(function: Any):
        p, lines = torch.tensor([[0.4, 0.0, 0.0], [0.1, 0.1, 0.1], [0.1, 0.15, 0.05]], dtype=torch.float64), {}
        for name, table in {"left to right": p, "right to left": p.T}.items():
            temperatures = (0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)
            found = [(T, tensor(function(table, T)), table ** (1 / T)) for T in temperatures]
            lines[name] = [(T, float((q - goal / goal.sum()).abs().sum() / 2)) for T, q, goal in found]
        return show.curve(lines, exact=0, x="temperature", y="TV", title="Your law's distance from p^(1/T), normalized")
