"""Exercises of notebook 08: how good is it?"""

import math

import torch
from torch import Tensor

from tinysedd.checks.compare import loss_and_slope
from tinysedd.checks.engine import exercise, kind

SIZES = [(1, 1, 1), (1, 2, 1), (2, 1, 3), (3, 4, 2), (2, 3, 5), (4, 2, 6)]  # M texts, K levels, L characters


@exercise("an integral over all noise, from a few levels of it.")
def bound_per_text(entropy, share):
    return (entropy.sum(-1) / (1 - share)).mean(-1)


@bound_per_text.cases
def _(dice):
    for M, K, L in SIZES:
        share = (torch.arange(K) + torch.rand(M, K, dtype=torch.float64, generator=dice)) / K
        yield torch.rand(M, K, L, dtype=torch.float64, generator=dice) * (1 - share)[..., None] * 9, share
    yield torch.zeros(1, 2, 3, dtype=torch.float64), torch.tensor([[0.2, 0.999]], dtype=torch.float64)


@bound_per_text.mistake(
    "The factor from sigma to m is missing: d sigma = dm / (1 - m). Without it the levels with much noise count too "
    "little."
)
def _(entropy, share):
    return entropy.sum(-1).mean(-1)


@bound_per_text.mistake("You multiply by 1 - m. d sigma = dm / (1 - m): divide.")
def _(entropy, share):
    return (entropy.sum(-1) * (1 - share)).mean(-1)


@bound_per_text.mistake("You divide by m. From sigma = -log(1 - m) it follows that d sigma / dm = 1 / (1 - m).")
def _(entropy, share):
    return (entropy.sum(-1) / share).mean(-1)


@bound_per_text.mistake("You weight with sigma itself. What is needed is its derivative, d sigma / dm = 1 / (1 - m).")
def _(entropy, share):
    return (entropy.sum(-1) * -torch.log(1 - share)).mean(-1)


@bound_per_text.mistake("You take the mean over characters. Nats a text are asked for: add the characters up.")
def _(entropy, share):
    return (entropy.mean(-1) / (1 - share)).mean(-1)


@bound_per_text.mistake(
    "You add the levels up, so that more levels give a larger bound. An integral over (0, 1) is a mean."
)
def _(entropy, share):
    return (entropy.sum(-1) / (1 - share)).sum(-1)


@bound_per_text.mistake(
    "The mean of the entropies divided by the mean of 1 - m: each level must meet its own factor, and then comes "
    "the mean."
)
def _(entropy, share):
    return entropy.sum(-1).mean(-1) / (1 - share).mean(-1)


@bound_per_text.mistake("You take the mean over texts too. One bound for each text is asked for: keep the first axis.")
def _(entropy, share):
    return bound_per_text.reference(entropy, share).mean()


@bound_per_text.mistake("You give a number for each level. The bound of a text is their mean.")
def _(entropy, share):
    return entropy.sum(-1) / (1 - share)


def _nats(dice: torch.Generator, M: int, scale: float = 3.0) -> Tensor:
    return 2 + scale * torch.rand(M, dtype=torch.float64, generator=dice)


@exercise("one number, three units.")
def bits_and_perplexity(nats, length):
    h = nats.mean() / length
    return h / math.log(2), h.exp()


@bits_and_perplexity.cases
def _(dice):
    yield torch.tensor([3.0], dtype=torch.float64), 1
    yield torch.tensor([2.0, 8.0], dtype=torch.float64), 4
    for M, length in [(3, 2), (5, 7), (10, 3)]:
        yield length * _nats(dice, M, 2.0) / 2, length


def _h(nats: Tensor, length: int) -> Tensor:
    return nats.mean() / length


@bits_and_perplexity.mistake("Bits and perplexity have changed places: give (bits, perplexity).")
def _(nats, length):
    return bits_and_perplexity.reference(nats, length)[::-1]


@bits_and_perplexity.mistake(
    "You multiply by ln 2. A bit is less than a nat, 0.69 of one, so that there are more bits than nats: divide."
)
def _(nats, length):
    return _h(nats, length) * math.log(2), _h(nats, length).exp()


@bits_and_perplexity.mistake("You divide by ln 10. A bit is a choice between two: divide by ln 2.")
def _(nats, length):
    return _h(nats, length) / math.log(10), _h(nats, length).exp()


@bits_and_perplexity.mistake("These are nats, not bits: divide by ln 2.")
def _(nats, length):
    return _h(nats, length), _h(nats, length).exp()


@bits_and_perplexity.mistake(
    "Your perplexity is 2 to the power of the nats. It is e to the power of the nats, or 2 to the power of the bits."
)
def _(nats, length):
    return _h(nats, length) / math.log(2), 2 ** _h(nats, length)


@bits_and_perplexity.mistake(
    "Your perplexity is e to the power of the bits. It is e to the power of the nats, or 2 to the power of the bits."
)
def _(nats, length):
    bits = _h(nats, length) / math.log(2)
    return bits, bits.exp()


@bits_and_perplexity.mistake("Both are those of a whole text. Per character is asked for: divide by the length first.")
def _(nats, length):
    return bits_and_perplexity.reference(nats, 1)


@bits_and_perplexity.mistake(
    "The bits are right. But your perplexity is that of a whole text: divide by the length before you take exp()."
)
def _(nats, length):
    return bits_and_perplexity.reference(nats, length)[0], nats.mean().exp()


@bits_and_perplexity.mistake(
    "The bits are right. But you take the exp() of each text, and then the mean: one hard text would rule it. First "
    "the mean of the nats, then exp()."
)
def _(nats, length):
    return bits_and_perplexity.reference(nats, length)[0], (nats / length).exp().mean()


@bits_and_perplexity.mistake("You give two numbers for each text. Take the mean over texts first.")
def _(nats, length):
    return nats / length / math.log(2), (nats / length).exp()


@bits_and_perplexity.mistake("You add the texts up. The mean over texts is asked for.")
def _(nats, length):
    return bits_and_perplexity.reference(nats.sum()[None], length)


@exercise("what both share has canceled, and the ± is that of the difference.")
def paired_gap(a, b):
    d = a - b
    return d.mean(), d.std() / len(d) ** 0.5


@paired_gap.cases
def _(dice):
    yield torch.tensor([3.0, 5.0], dtype=torch.float64), torch.tensor([2.0, 3.0], dtype=torch.float64)
    yield torch.tensor([4.0, 9.0, 2.0], dtype=torch.float64), torch.tensor([4.0, 9.0, 2.0], dtype=torch.float64)
    for M in (3, 5, 8):
        easy = _nats(dice, M)  # how hard the texts are, the same for both
        yield easy + 0.3 * torch.rand(M, dtype=torch.float64, generator=dice) - 0.1, easy


def _sem(v: Tensor) -> Tensor:
    return v.std() / len(v) ** 0.5


@paired_gap.mistake(
    "The gap is right. Its ± is that for two different sets of texts: here both saw the same ones, and what is hard "
    "for one is hard for the other. Take the differences first, text by text, and then their ±."
)
def _(a, b):
    return (a - b).mean(), (_sem(a) ** 2 + _sem(b) ** 2).sqrt()


@paired_gap.mistake(
    "The gap is right. For its ± you add those of both: but both saw the same texts. Take the ± of the differences."
)
def _(a, b):
    return (a - b).mean(), _sem(a) + _sem(b)


@paired_gap.mistake(
    "The gap is right. For its ± you subtract one from the other: the ± of a difference is that of the differences."
)
def _(a, b):
    return (a - b).mean(), (_sem(a) - _sem(b)).abs()


@paired_gap.mistake(
    "This is the standard deviation: how far single texts are apart. The mean of M of them is surer, by the factor √M."
)
def _(a, b):
    return (a - b).mean(), (a - b).std()


@paired_gap.mistake("You divide the standard deviation by M. The error falls with the root of M only: √M.")
def _(a, b):
    return (a - b).mean(), (a - b).std() / len(a)


@paired_gap.mistake("You give the square of the standard error: take the root.")
def _(a, b):
    return (a - b).mean(), (a - b).var() / len(a)


@paired_gap.mistake(
    "Your standard deviation divides by M. The mean comes from the same texts, which uses up one of them: divide by "
    "M - 1, as .std() does by itself."
)
def _(a, b):
    return (a - b).mean(), (a - b).std(correction=0) / len(a) ** 0.5


@paired_gap.mistake("The sign is turned: the gap is a - b.")
def _(a, b):
    return (b - a).mean(), _sem(a - b)


@paired_gap.mistake(
    "You take the size of each difference. Where b is the larger one, the difference counts as negative."
)
def _(a, b):
    return (a - b).abs().mean(), _sem((a - b).abs())


@paired_gap.mistake("Gap and ± have changed places: give (gap, standard error).")
def _(a, b):
    return paired_gap.reference(a, b)[::-1]


@paired_gap.mistake("You give the gap alone. Its standard error is asked for, too.")
def _(a, b):
    return (a - b).mean()


class _Causal:
    """log p of the character after each place, given it and all before it (B, L, N), with a parameter for gradients."""

    __name__ = "predict"

    def __init__(self, N: int, dice: torch.Generator):
        self.N, (self.last, self.earlier) = N, torch.randn(2, N + 1, N, dtype=torch.float64, generator=dice)
        self.heat = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def __call__(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.is_floating_point() or not ((0 <= x) & (x <= self.N)).all():
            raise ValueError(f"predict(x) takes ids (B, L) from 0 to {self.N}; it was given {kind(x)}")
        before = self.earlier[x].cumsum(1) / torch.arange(1, x.shape[1] + 1)[:, None] ** 0.5
        return (self.heat * (self.last[x] + before)).log_softmax(-1)


@exercise(
    "the chain rule, and no place sees what it has to say.", measured="the loss, and its derivative by a parameter"
)
def autoregressive_loss(predict, x0, start):
    seen = torch.cat([torch.full_like(x0[:, :1], start), x0[:, :-1]], 1)
    return -predict(seen).gather(-1, x0[..., None]).mean()


@autoregressive_loss.cases
def _(dice):
    for B, L, N in [(1, 1, 2), (2, 2, 3), (1, 4, 3), (3, 3, 4), (4, 6, 5)]:
        yield _Causal(N, dice), torch.randint(N, (B, L), generator=dice), N


@autoregressive_loss.measure
def _(result, predict, x0, start):
    return loss_and_slope(result, predict.heat)


def _told(predict, seen: Tensor, x0: Tensor) -> Tensor:
    return -predict(seen).gather(-1, x0[..., None]).squeeze(-1)


def _shifted(x0: Tensor, first: int) -> Tensor:
    return torch.cat([torch.full_like(x0[:, :1], first), x0[:, :-1]], 1)


@autoregressive_loss.mistake(
    "It cheats: row i of predict(x0) has seen x0[:, i] already, the character that it shall say. Shift the text by "
    "one, with `start` in front."
)
def _(predict, x0, start):
    return _told(predict, x0, x0).mean()


@autoregressive_loss.mistake(
    "The first character is missing. It tells something too: let it be predicted after `start`, and count all L."
)
def _(predict, x0, start):
    return _told(predict, x0[:, :-1], x0[:, 1:]).mean()


@autoregressive_loss.mistake(
    "The first character is predicted after character 0, as if that stood there. It comes after `start`."
)
def _(predict, x0, start):
    return _told(predict, _shifted(x0, 0), x0).mean()


@autoregressive_loss.mistake(
    "The last character is never asked for: with `start` in front, L places predict L characters."
)
def _(predict, x0, start):
    return _told(predict, _shifted(x0, start)[:, :-1], x0[:, :-1]).mean()


@autoregressive_loss.mistake(
    "You shift to the wrong side: each place sees the character after the one that it shall say. Put `start` in front."
)
def _(predict, x0, start):
    return _told(predict, torch.cat([x0[:, 1:], torch.full_like(x0[:, :1], start)], 1), x0).mean()


@autoregressive_loss.mistake("The sign is turned: a loss is -log p, and not below 0.")
def _(predict, x0, start):
    return -autoregressive_loss.reference(predict, x0, start)


@autoregressive_loss.mistake("You add the characters of a text up. Nats per character are asked for: take their mean.")
def _(predict, x0, start):
    return _told(predict, _shifted(x0, start), x0).sum(-1).mean()


@autoregressive_loss.mistake("You add everything up. The loss is a mean over texts and characters.")
def _(predict, x0, start):
    return _told(predict, _shifted(x0, start), x0).sum()


@autoregressive_loss.mistake("You give one loss for each text. The optimizer wants a single number: the mean.")
def _(predict, x0, start):
    return _told(predict, _shifted(x0, start), x0).mean(-1)


@autoregressive_loss.mistake(
    "You take the mean of p and then its logarithm. First -log p at each place, then the mean."
)
def _(predict, x0, start):
    return -(-_told(predict, _shifted(x0, start), x0)).exp().mean().log()


@autoregressive_loss.mistake(
    "You take the mean over the whole alphabet. Only the log p of the character that comes counts."
)
def _(predict, x0, start):
    return -predict(_shifted(x0, start)).mean()


@exercise("a text agrees with all its characters, or not.")
def agreeing_share(x, first, second):
    p = (x[:, first] == x[:, second]).all(-1).double().mean()
    return p, (p * (1 - p) / len(x)).sqrt()


@agreeing_share.cases
def _(dice):
    yield torch.tensor([[1, 0, 1], [1, 0, 2]]), [0], [2]
    yield torch.tensor([[0, 1, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1], [0, 1, 0, 0]]), [0, 1], [2, 3]
    yield torch.tensor([[0, 1, 0, 1]]), [0, 1], [2, 3]
    yield torch.tensor([[0, 1, 1, 0], [1, 0, 0, 1]]), [0, 1], [2, 3]
    for B, L, width in [(6, 8, 2), (20, 9, 3), (50, 12, 2)]:
        x = torch.randint(2, (B, L), generator=dice)
        yield x, list(range(1, 1 + width)), list(range(L - width, L))


def _share(p: Tensor, B: int) -> tuple[Tensor, Tensor]:
    return p, (p * (1 - p) / B).sqrt()


def _same(x: Tensor, first, second) -> Tensor:
    return x[:, first] == x[:, second]


@agreeing_share.mistake(
    "The share is right. Your ± divides by B - 1, as .std() does. For a share it is √(p (1 - p) / B)."
)
def _(x, first, second):
    p, _ = agreeing_share.reference(x, first, second)
    return p, (p * (1 - p) / (len(x) - 1)).sqrt()


@agreeing_share.mistake(
    "This is the share of characters that agree. A text agrees only if all of its pairs do: first .all(), then the "
    "mean."
)
def _(x, first, second):
    return _share(_same(x, first, second).double().mean(), len(x))


@agreeing_share.mistake(
    "One pair of characters is enough for you. A text agrees only if all of its pairs do: .all(), not .any()."
)
def _(x, first, second):
    return _share(_same(x, first, second).any(-1).double().mean(), len(x))


@agreeing_share.mistake("You look at the first pair of characters only. A text agrees only if all of its pairs do.")
def _(x, first, second):
    return _share(_same(x, first, second)[:, 0].double().mean(), len(x))


@agreeing_share.mistake(
    "You compare which characters occur. They must also stand in the same order: compare place by place, without "
    "sorting."
)
def _(x, first, second):
    return _share((x[:, first].sort(-1).values == x[:, second].sort(-1).values).all(-1).double().mean(), len(x))


@agreeing_share.mistake("This is the share of texts that do not agree.")
def _(x, first, second):
    p, error = agreeing_share.reference(x, first, second)
    return 1 - p, error


@agreeing_share.mistake("You give the number of texts. The share is that divided by how many there are.")
def _(x, first, second):
    p, error = agreeing_share.reference(x, first, second)
    return p * len(x), error


@agreeing_share.mistake(
    "The share is right. Its standard error is the root of p (1 - p) / B; you have not taken the root."
)
def _(x, first, second):
    p, error = agreeing_share.reference(x, first, second)
    return p, error**2


@agreeing_share.mistake(
    "The share is right. Your ± is that of a single text, √(p (1 - p)); the share of B texts is surer: divide by √B."
)
def _(x, first, second):
    p, error = agreeing_share.reference(x, first, second)
    return p, error * len(x) ** 0.5


@agreeing_share.mistake(
    "The share is right. In its standard error the root of B divides, not B itself: √(p (1 - p) / B)."
)
def _(x, first, second):
    p, error = agreeing_share.reference(x, first, second)
    return p, error / len(x) ** 0.5


@agreeing_share.mistake("You give the share alone. Its standard error is asked for, too.")
def _(x, first, second):
    return agreeing_share.reference(x, first, second)[0]
