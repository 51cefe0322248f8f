"""Exercises of notebooks 08 and 09: how good is the model, and which part is to blame?"""

import math

import torch
from torch import Tensor

from tinysedd.checks.compare import loss_and_gradient
from tinysedd.checks.engine import describe, exercise, tensor
from tinysedd.checks.sampling import animals
from tinysedd.worlds import Words

SIZES = [(1, 1, 1), (1, 2, 1), (2, 1, 3), (3, 4, 2), (2, 3, 5), (4, 2, 6)]  # M texts, K levels, L characters


@exercise("you estimated an integral over all noise levels from a few of them.")
def bound_per_text(entropy, share):
    return (entropy.sum(-1) / (1 - share)).mean(-1)


@bound_per_text.cases
def _(rng):
    for M, K, L in SIZES:
        share = (torch.arange(K) + torch.rand(M, K, dtype=torch.float64, generator=rng)) / K
        yield torch.rand(M, K, L, dtype=torch.float64, generator=rng) * (1 - share)[..., None] * 9, share
    yield torch.zeros(1, 2, 3, dtype=torch.float64), torch.tensor([[0.2, 0.999]], dtype=torch.float64)


bound_per_text.mistakes({
    "/ (1 - share) =>": "The factor for the change from sigma to m is missing: d sigma = dm / (1 - m). Without it, "
    "high noise levels count too little.",
    "/ (1 - share) => * (1 - share)": "You multiply by 1 - m. Divide instead: d sigma = dm / (1 - m).",
    "(1 - share) => share": "You divide by m. Since sigma = -log(1 - m), the factor is d sigma / dm = 1 / (1 - m).",
    "/ (1 - share) => * -torch.log(1 - share)": "You weight with sigma. Weight with its derivative, 1 / (1 - m).",
    "(entropy.sum(-1) / (1 - share)).mean(-1) => entropy.sum(-1).mean(-1) / (1 - share).mean(-1)": "You divide the "
    "mean of the entropies by the mean of 1 - m. Divide at each level first, then take the mean.",
    ").mean(-1) => ).mean()": "You average over texts too. The exercise asks for one bound for each text.",
    ".mean(-1) =>": "You return a number for each noise level. The bound of a text is their mean.",
    ".mean(-1) => [:, 0]": "You use the first noise level only. The bound of a text is the mean over all levels.",
    "torch.trapezoid(entropy.sum(-1) / (1 - share), share)": "You use the trapezoidal rule, which leaves out what is "
    "below the first level and above the last. Take the mean.",
})  # fmt: skip


@bound_per_text.picture
def _(function):
    from tinysedd.show import curve

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
    return curve(lines, exact=exact, x="noise levels", y="nats per text", title="More noise levels, less chance")


def _nats(rng: torch.Generator, M: int, scale: float = 3.0) -> Tensor:
    return 2 + scale * torch.rand(M, dtype=torch.float64, generator=rng)


@exercise("you can state one number in three units.")
def bits_and_perplexity(nats, length):
    h = nats.mean() / length
    return h / math.log(2), h.exp()


@bits_and_perplexity.cases
def _(rng):
    yield torch.tensor([3.0], dtype=torch.float64), 1
    yield torch.tensor([2.0, 8.0], dtype=torch.float64), 4
    for M, length in [(3, 2), (5, 7), (10, 3)]:
        yield length * _nats(rng, M, 2.0) / 2, length


EACH = "Average the nats first, then take exp()."
bits_and_perplexity.mistakes({
    "result[::-1]": "You swapped bits and perplexity: return (bits, perplexity).",
    "h / math => h * math": "You multiply by ln 2. A bit is only 0.69 nats, so there are more bits than nats: divide.",
    "log(2) => log(10)": "You divide by ln 10. A bit is a choice between two: divide by ln 2.",
    "/ math.log(2) =>": "These are nats, not bits: divide by ln 2.",
    "h.exp() => 2**h": "Your perplexity is 2 to the power of the nats. Take e^nats, or 2^bits.",
    "h.exp() => (h / math.log(2)).exp()": "Your perplexity is e to the power of the bits. Take e^nats, or 2^bits.",
    "/ length =>": "Both numbers are for a whole text. Divide by the length first, for numbers per character.",
    "h.exp() => nats.mean().exp()": "The bits are right, but your perplexity is that of a whole text. Divide by the "
    "length before you take exp().",
    "h.exp() => (h * length).exp() / length": "You divide the perplexity of a text by its length. Divide the nats, "
    "then take exp().",
    "h.exp() => (nats / length).exp().mean()": f"You average the perplexities, so one hard text dominates. {EACH}",
    "nats.mean() => nats": "You return two numbers for each text. Average over texts first.",
    "nats.mean() => nats.sum()": "You sum over the texts. The exercise asks for the mean over texts.",
})  # fmt: skip


@bits_and_perplexity.picture
def _(function):
    from tinysedd.show import curve

    found = [(N, *function(torch.tensor([10 * math.log(N)]), 10)) for N in range(1, 17)]
    lines = {"perplexity": [(N, float(b)) for N, _, b in found], "bits": [(N, float(a)) for N, a, _ in found]}
    return curve(lines, x="characters", y="per character", title="An even guess among 1 to 16 characters")


@exercise("what both models share cancels, and the ± belongs to the difference.")
def paired_gap(a, b):
    d = a - b
    return d.mean(), d.std() / len(d) ** 0.5


@paired_gap.cases
def _(rng):
    yield torch.tensor([3.0, 5.0], dtype=torch.float64), torch.tensor([2.0, 3.0], dtype=torch.float64)
    yield torch.tensor([4.0, 9.0, 2.0], dtype=torch.float64), torch.tensor([4.0, 9.0, 2.0], dtype=torch.float64)
    for M, lead in [(3, 0.1), (5, 0.2), (8, 0.1), (6, 0.25)]:  # the mean gap may be negative
        easy = _nats(rng, M)  # how hard each text is, the same for both models
        yield easy + 0.3 * torch.rand(M, dtype=torch.float64, generator=rng) - lead, easy


PAIRED = "Both models saw the same texts, and a text that is hard for one is hard for the other: take the ± of a - b."
paired_gap.mistakes({
    "d.std() / len(d) ** 0.5 => ((a.var() + b.var()) / len(d)).sqrt()": f"Your ± is the one for two different sets of "
    f"texts. {PAIRED}",
    "d.std() => (a.std() + b.std())": f"You add the two ± values. {PAIRED}",
    "d.std() => (a.std() - b.std()).abs()": f"You subtract one ± from the other. {PAIRED}",
    "/ len(d) ** 0.5 =>": "Your ± is the standard deviation, the spread of single texts. The mean of M texts is more "
    "precise by a factor of √M: divide by √M.",
    "len(d) ** 0.5 => (len(d) - 1) ** 0.5": "You divide by √(M - 1). The M - 1 is inside std() already: divide by √M.",
    "** 0.5 =>": "You divide the standard deviation by M. The standard error only falls with the square root: √M.",
    "d.std() => d.std(correction=0)": "Your standard deviation divides by M. The mean is estimated from the same "
    "texts, so divide by M - 1, as .std() of a tensor does.",
    "a - b => (a - b).abs()": "You take the absolute value of each difference. Keep its sign.",
    "d.mean() => d.mean().abs()": "You drop the sign of the gap. It is negative where b is larger.",
    "d.mean() => d.median()": "You return the median of the differences. The exercise asks for their mean.",
    "result[::-1]": "You swapped the gap and its ±: return (gap, standard error).",
})  # fmt: skip


@paired_gap.picture
def _(function):
    from tinysedd.show import curve

    hard, *noise = torch.randn(3, 1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = (12 + 3 * hard + gap + z / 2 for gap, z in zip((0.3, 0.0), noise))
    points = [(M, *map(float, function(a[:M], b[:M]))) for M in (10, 20, 50, 100, 200, 500, 1000)]
    return curve({"your gap ± your error": points}, exact=0.3, x="texts", y="nats per text", title="The error shrinks")


class _Causal:
    """log p of the next character at each position, given all up to there (B, L, N); `scale` gets a gradient."""

    __name__ = "predict"

    def __init__(self, N: int, rng: torch.Generator):
        self.N, (self.last, self.earlier) = N, torch.randn(2, N + 1, N, dtype=torch.float64, generator=rng)
        self.scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.is_floating_point() or not ((x >= 0) & (x <= self.N)).all():
            raise ValueError(f"predict(x) takes ids (B, L) from 0 to {self.N}; it was given {describe(x)}")
        before = self.earlier[x].cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None] ** 0.5
        return (self.scale * (self.last[x] + before)).log_softmax(-1)


@exercise(
    "you used the chain rule, and no position sees the character it has to predict.",
    measured="the loss, and its derivative with respect to a parameter",
)
def autoregressive_loss(predict, x0, start):
    seen = torch.cat([torch.full_like(x0[:, :1], start), x0[:, :-1]], 1)
    return -predict(seen).gather(-1, x0[..., None]).mean()


@autoregressive_loss.cases
def _(rng):
    for B, L, N in [(1, 1, 2), (2, 2, 3), (1, 4, 3), (3, 3, 4), (4, 6, 5)]:
        yield _Causal(N, rng), torch.randint(N, (B, L), generator=rng), N


@autoregressive_loss.measure
def _(result, predict, x0, start):
    found = loss_and_gradient(result, predict.scale)
    return torch.stack(found) if isinstance(found, list) else found


SEEN, LOSS = "torch.cat([torch.full_like(x0[:, :1], start), x0[:, :-1]], 1)", "predict(seen).gather(-1, x0[..., None])"
autoregressive_loss.mistakes({
    "predict(seen) => predict(x0)": "Your model cheats: row i of predict(x0) has already seen x0[:, i], the character "
    "it should predict. Shift the text by one position, with `start` in front.",
    f"{LOSS} => predict(x0[:, :-1]).gather(-1, x0[:, 1:, None])": "You leave out the first character. It carries "
    "information too: predict it from `start`, and count all L characters.",
    "[:, :1], start) => [:, :1], 0)": "You predict the first character from character 0. Predict it from `start`.",
    f"{LOSS} => predict(seen)[:, :-1].gather(-1, x0[:, :-1, None])": "You never predict the last character. With "
    "`start` in front, L positions predict all L characters.",
    f"{SEEN} => torch.cat([x0[:, 1:], torch.full_like(x0[:, :1], start)], 1)": "You shift the wrong way: each position "
    "sees the character after the one it should predict. Put `start` in front.",
    ".mean() => .sum()": "You sum over everything. The loss is a mean over texts and characters.",
    ".mean() => .squeeze(-1).mean(-1)": "You return one loss for each text. The optimizer needs one number: the mean.",
    ".mean() => .exp().mean().log()": "You take the logarithm of a mean. Take -log p of each character, then the mean.",
    "result.exp()": "This is the perplexity. The loss is the mean of -log p, without exp().",
    ".gather(-1, x0[..., None]) =>": "You average over the whole alphabet. Only log p of the true character counts.",
    "predict(seen) => predict(seen).exp()": "You average -p. The loss is -log p: take no exp() of what predict gives.",
})  # fmt: skip


@exercise("a text agrees if all its pairs of characters do.")
def agreeing_share(x, first, second):
    p = (x[:, first] == x[:, second]).all(-1).double().mean()
    return p, (p * (1 - p) / len(x)).sqrt()


@agreeing_share.cases
def _(rng):
    yield torch.tensor([[1, 0, 1], [1, 0, 2]]), [0], [2]
    yield torch.tensor([[0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0]]), [0, 1], [2, 3]
    yield torch.tensor([[0, 1, 0, 1]]), [0, 1], [2, 3]
    yield torch.tensor([[0, 1, 1, 0], [1, 0, 0, 1]]), [0, 1], [2, 3]
    for B, L, width in [(6, 8, 2), (20, 9, 3), (50, 12, 2)]:
        x = torch.randint(2, (B, L), generator=rng)
        yield x, list(range(1, 1 + width)), list(range(L - width, L))


ALL = "A text agrees only if all of its pairs do"
agreeing_share.mistakes({
    "len(x) => (len(x) - 1)": "Your ± divides by B - 1, as .std() does. For a fraction, use √(p (1 - p) / B).",
    ".all(-1) =>": f"This is the fraction of characters that agree. {ALL}: use .all() first, then the mean.",
    ".all(-1) => .any(-1)": f"You count a text if any pair of characters agrees. {ALL}: use .all(), not .any().",
    ".all(-1) => [:, 0]": f"You compare only the first pair of characters. {ALL}.",
    "x[:, first] == x[:, second] => x[:, first].sort(-1)[0] == x[:, second].sort(-1)[0]": "You compare which "
    "characters occur. Their order matters too: compare position by position, without sorting.",
    "result[0] * len(x), result[1]": "You return the number of texts that agree. Divide it by the number of texts.",
    "* (1 - p) =>": "Your ± lacks the factor 1 - p: √(p (1 - p) / B).",
    "/ len(x) =>": "Your ± is that of a single text, √(p (1 - p)). A fraction of B texts is more precise: divide by "
    "√B.",
    "result[0], result[1] / len(x) ** 0.5": "Your ± divides by B instead of √B: √(p (1 - p) / B).",
})  # fmt: skip


@agreeing_share.picture
def _(function):
    from tinysedd.show import curve

    world, _, _ = animals()
    x = world.sample(5000, torch.Generator().manual_seed(1))  # such as "ant or bee? ant!"
    found = [(B, *map(float, function(x[:B], [0, 1, 2], [12, 13, 14]))) for B in (20, 50, 100, 200, 500, 1000, 5000)]
    title = "Is the first animal also the last one?"
    return curve({"your share ± your error": found}, exact=9 / 16, x="texts", y="share of texts", title=title)


# 09 ----------------------------------------------------------------------------------------------------------------


@exercise("you split what a group loses into the sampler's part and the model's.")
def group_errors(f, g, k, n):
    factorization = n * f[k] - f[k : k + n].sum()
    learning = n * (g[k] - f[k])
    return factorization, learning


@group_errors.cases
def _(rng):
    yield torch.tensor([3.0, 1.0]), torch.tensor([3.5, 1.25]), 0, 2
    for L, k, n in [(3, 0, 2), (4, 1, 2), (5, 2, 3), (5, 4, 1), (6, 1, 3), (7, 2, 3), (8, 3, 4)]:
        f = 4 * torch.rand(L, dtype=torch.float64, generator=rng).sort(descending=True).values
        yield f, f + 0.2 + torch.rand(L, dtype=torch.float64, generator=rng), k, n


group_errors.mistakes({
    "factorization, learning => learning, factorization": "You swapped the two: return (factorization, learning).",
    "f[k : k + n].sum() => n * f[k : k + n].sum()": "You multiply the sum by n, too. It has n terms already.",
    "f[k : k + n].sum() => f[:n].sum()": "Your sum starts at f(0). k characters are visible: start at f(k).",
    "f[k : k + n].sum() => f[k + 1 : k + n].sum()": "Your sum leaves out j = 0. It has n terms, f(k) to f(k + n - 1).",
    "f[k : k + n].sum() => f[k + 1 : k + n + 1].sum()": "Your sum starts one place too late: its first term is f(k).",
    "f[k : k + n].sum() => f[k : k + n + 1].sum()": "Your sum has one term too many: it ends with f(k + n - 1).",
    "f[k : k + n].sum() => f[k : k + n - 1].sum()": "Your sum has one term too few: it ends with f(k + n - 1).",
    "f[k : k + n] => f[k:]": "Your sum goes to the end of the text. It stops after the n characters of the group.",
    "= n * f[k] - => = f[k] -": "Drawn at once, each of the n characters costs f(k): multiply f(k) by n.",
    "n * (g[k] - f[k]) => g[k] - f[k]": "Your learning error is that of one character. The group has n: multiply by n.",
    "n * f[k] - f[k : k + n].sum() => n * g[k] - g[k : k + n].sum()": "Your factorization error uses g. It is the "
    "sampler's error, and a perfect model has it, too: use f.",
    "n * f[k] - f => n * g[k] - f": "Your factorization error contains g, so the learning error counts twice. Use f.",
    "n * (g[k] - f[k]) => (g - f)[k : k + n].sum()": "Your learning error goes on to g(k + 1). All n are drawn while "
    "k are visible: each costs g(k).",
    "n * (g[k] - f[k]) => n * g[k]": "This is all that the model pays. The learning error is what it pays above f(k).",
    "group_errors._reference(f, g, k - 1, n)": "You use k - 1. f[k] is already the cost after k visible characters.",
    "sum(result)": "You return the sum of the two errors. Return both: (factorization, learning).",
})  # fmt: skip


@group_errors.picture
def _(function):
    from tinysedd.costs import information_curve
    from tinysedd.show import curve

    (world, process, score), rng = animals(), torch.Generator().manual_seed(0)
    f = information_curve(score, process, world.sample(8, rng), score, generator=rng).f.double()  # 16 characters
    lost = [(n, sum(float(function(f, f, k, m)[0]) for k, m in [(0, n), (n, 16 - n)])) for n in range(1, 16)]
    title = "Texts such as 'ant or bee? bee!', written in two groups"
    return curve({"your factorization errors": lost}, x="characters in the first group", y="nats lost", title=title)


@exercise("your cost may stand in a bound: it is that of one character, the next to be written.")
def cost_of_one(joint, x0):
    p = torch.stack([joint.select(i, c).sum() for i, c in enumerate(x0.tolist())])
    return -p.log().mean()


@cost_of_one.cases
def _(rng):
    yield torch.tensor([[0.5, 0.0], [0.0, 0.5]]), torch.tensor([1, 1])
    for N, n in [(3, 1), (3, 2), (2, 3), (4, 3), (3, 4)]:
        joint = torch.rand([N] * n, dtype=torch.float64, generator=rng) ** 3
        yield joint / joint.sum(), torch.arange(1, n + 1) % N


ONE = "joint[tuple(x0)].log()"
cost_of_one.mistakes({
    f"-p.log().mean() => -{ONE} / len(p)": "This is the false bound: the joint cost divided by n. It averages over all "
    "characters still to come, and the later ones are cheap. Sum the table to p(character i) first, for each i.",
    f"-p.log().mean() => -{ONE}": "This is the joint cost of all n characters. You need the cost of one character: "
    "sum the table to p(character i), for each i.",
    ".mean() => .sum()": "You sum over the n characters. The cost of one of them is the mean.",
    "p.log().mean() => p.mean().log()": "You take the log of a mean. Take -log p of each character, then the mean.",
    "-p.log().mean() => 1 - p.mean()": "You average 1 - p. The cost of a character is -log p.",
    "-p.log().mean() => -p[0].log()": "This is the cost of the first masked character. Average over all n.",
    "-p.log().mean() => p.max().log().neg()": "This is the cost of the easiest character. Any of the n may be the next "
    "one: average over them.",
    "joint.select(i, c).sum() => joint[tuple(x0)] / joint[(*x0[:i], slice(None), *x0[i + 1:])].sum()": "You condition "
    "on the other masked characters. The denoiser does not see them: sum over all that they may be.",
    "joint.select(i, c).sum() => joint.select(len(x0) - 1 - i, c).sum()": "Your axes run backward: axis i of the table "
    "belongs to masked character i.",
    "joint.select(i, c).sum() => joint.select(0, c).sum()": "You always look at axis 0. Axis i belongs to masked "
    "character i.",
    "joint.select(i, c).sum() => joint.select(i, c).max()": "You take the likeliest case for the other characters. Sum "
    "over all cases.",
    "joint.select(i, c).sum() => joint.select(i, c).mean()": "You average over what the other characters may be. The "
    "probability of character i is a sum over all cases.",
})  # fmt: skip


@cost_of_one.picture
def _(function):
    from tinysedd.show import curve

    yours = []
    for n in range(1, 8):
        joint = torch.zeros([2] * n, dtype=torch.float64)
        joint[(0,) * n] = joint[(1,) * n] = 0.5
        yours.append((n, float(function(joint, torch.zeros(n, dtype=torch.int64)))))
    lines = {"formula, your cost": yours, "formula, joint cost / n": [(n, math.log(2) / n) for n in range(1, 8)]}
    return curve(lines, exact=math.log(2), x="bits of a text", y="nats per text", title="Bits that are always equal")


@exercise("your audit catches an impossible bound, and it spares a valid one that was lucky.")
def audit(bounds, errors):
    claimed = (-bounds).exp()
    total = claimed.sum()
    error = (claimed * errors).square().sum().sqrt()
    return total, error, total - 3 * error > 1


@audit.cases
def _(rng):
    yield torch.tensor([0.5, 1.5]), torch.tensor([0.05, 0.1])
    for T, total, above in [(2, 1.5, 4), (2, 1.1, 1.6), (3, 1.05, 0.4), (3, 0.9, -2), (4, 1.3, 2.5)]:
        p, errors = 0.2 + torch.rand(2, T, dtype=torch.float64, generator=rng)
        p *= total / p.sum()
        yield -p.log(), errors / (p * errors).norm() * (total - 1) / above  # the sum is `above` errors above 1


audit.mistakes({
    "(-bounds).exp() => bounds.exp()": "You take e^B. A text that costs B nats has probability e^-B.",
    "(-bounds).exp() => 2 ** -bounds": "You take 2^-B, as for bits. These bounds are in nats: e^-B.",
    "claimed.sum() => (-bounds.sum()).exp()": "You add the bounds before exp(). Take e^-B of each text, then the sum.",
    "claimed.sum() => claimed.mean()": "You average over the texts. Probabilities of all texts together: take the sum.",
    "(claimed * errors).square().sum().sqrt() => errors.square().sum().sqrt()": "Your ± is that of the sum of the "
    "bounds. A change of B by a little changes e^-B by e^-B times as much: multiply by e^-B.",
    ".square().sum().sqrt() => .sum()": "You add the ± values. The texts were estimated independently, so they partly "
    "cancel: square, add, and take the root.",
    ".sum().sqrt() => .mean().sqrt()": "You average the squares. The ± of a sum is the root of their sum.",
    ".square().sum().sqrt() => .square().sum()": "Your ± is a variance. Take its square root.",
    "(claimed * errors).square().sum().sqrt() => claimed.std()": "Your ± is the spread of e^-B over the texts. "
    "The spread between texts is no error: use `errors`.",
    "total - 3 * error > 1 => total > 1": "You ignore the ± when you decide. A sum above 1 may be chance: it must be "
    "above by more than 3 standard errors.",
    "3 * error > 1 => error > 1": "You decide at one standard error, which chance exceeds every sixth time. Use 3.",
    "3 * error > 1 => 2 * error > 1": "You decide at two standard errors. Use 3.",
    "- 3 * error > 1 => + 3 * error > 1": "You add the ± when you decide, so a fair bound with a large ± is caught. "
    "Subtract it: the sum has to be above 1 even if it was lucky.",
    "total - 3 * error > 1 => total - 3 * error <= 1": "Your verdict is reversed: True means that it is impossible.",
    "total - 3 * error > 1 => total + 3 * error < 1": "You call a sum below 1 impossible. A valid bound may be loose, "
    "and then its sum is below 1.",
    "total - 3 * error > 1 => abs(total - 1) > 3 * error": "You also catch sums below 1. A valid bound may be loose, "
    "and then its sum is below 1.",
})  # fmt: skip


@audit.picture
def _(function):
    from tinysedd.show import curve

    p = Words().p
    lies = [x / 10 for x in range(-5, 16)]
    found = [(lie, *map(float, function(-p.log() - lie, torch.full_like(p, 0.5))[:2])) for lie in lies]
    title = "The 339 words of Words: what a claim adds up to"
    return curve({"your sum ± your error": found}, exact=1, x="nats below the truth", y="sum of e^-B", title=title)


@exercise("you know exactly what a sampler with a temperature writes, and it is not p^(1/T).")
def temperature_law(p, T):
    first = p.sum(1) ** (1 / T)
    second = (p / p.sum(1, keepdim=True)) ** (1 / T)
    return (first / first.sum())[:, None] * second / second.sum(1, keepdim=True)


@temperature_law.cases
def _(rng):
    yield torch.tensor([[0.5, 0.0], [0.25, 0.25]]), 0.5
    for N, T in [(2, 1.0), (2, 2.0), (3, 0.5), (4, 0.7), (5, 3.0)]:
        p = torch.rand(N, N, dtype=torch.float64, generator=rng) ** 2 + 0.01
        yield p / p.sum(), T


FIRST, SECOND = "p.sum(1) ** (1 / T)", "(p / p.sum(1, keepdim=True)) ** (1 / T)"
temperature_law.mistakes({
    "p ** (1 / T) / (p ** (1 / T)).sum()": "This is p^(1/T), normalized: what you might expect from a temperature, and "
    "not what the sampler does. Sharpen p(a) and p(b | a) separately, each with a sum of its own.",
    (f"{FIRST} => p.sum(1) ** T", f"{SECOND} => (p / p.sum(1, keepdim=True)) ** T"): "Your exponent is T. It is 1 / T: "
    "a low temperature prefers what is probable.",
    f"{FIRST} => p.sum(1)": "You draw the first character without the temperature.",
    f"{SECOND} => p / p.sum(1, keepdim=True)": "You draw the second character without the temperature.",
    "* second / second.sum(1, keepdim=True) => * second": "You do not normalize the second step. After each first "
    "character, the probabilities of the second one add up to 1.",
    "(first / first.sum())[:, None] => first[:, None]": "You do not normalize the first step: its probabilities should "
    "add up to 1.",
    f"{SECOND} => p.sum(0, keepdim=True) ** (1 / T) * p.new_ones(p.shape)": "You draw the second character without "
    "looking at the first. Use p(b | a), row a of the table divided by its sum.",
    "second / second.sum(1, keepdim=True) => second / second.sum(0, keepdim=True)": "You normalize columns. The second "
    "character is drawn given the first: normalize rows.",
    "temperature_law._reference(p.T, T).T": "You write from right to left. The first character comes first.",
    "(result + temperature_law._reference(p.T, T).T) / 2": "You average over both orders. This sampler has one: "
    "left to right.",
    "(first / first.sum())[:, None] * => p.new_ones(p.shape) *": "You return the law of the second character, given "
    "the first. Multiply by that of the first.",
})  # fmt: skip


@temperature_law.picture
def _(function):
    from tinysedd.show import curve

    p, lines = torch.tensor([[0.4, 0.0, 0.0], [0.1, 0.1, 0.1], [0.1, 0.15, 0.05]], dtype=torch.float64), {}
    for name, table in {"left to right": p, "right to left": p.T}.items():
        found = [(T, tensor(function(table, T)), table ** (1 / T)) for T in (0.2, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)]
        lines[name] = [(T, float((q - goal / goal.sum()).abs().sum() / 2)) for T, q, goal in found]
    return curve(lines, exact=0, x="temperature", y="TV", title="How far is your law from p^(1/T), normalized?")
