"""Exercises of notebook 08: how good is the model?"""

import math

import torch
from torch import Tensor

from tinysedd.checks.compare import loss_and_gradient
from tinysedd.checks.engine import describe, exercise
from tinysedd.checks.sampling import animals

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
