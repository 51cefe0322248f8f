"""Exercises of notebook 08: how good is the model?"""

import math

import torch
from torch import Tensor

from tinysedd.checks.compare import loss_and_gradient
from tinysedd.checks.engine import describe, exercise

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


@bound_per_text.mistake(
    "The factor for the change from sigma to m is missing: d sigma = dm / (1 - m). Without it, high noise levels "
    "count too little."
)
def _(entropy, share):
    return entropy.sum(-1).mean(-1)


@bound_per_text.mistake("You multiply by 1 - m. Divide instead: d sigma = dm / (1 - m).")
def _(entropy, share):
    return (entropy.sum(-1) * (1 - share)).mean(-1)


@bound_per_text.mistake("You divide by m. Since sigma = -log(1 - m), the factor is d sigma / dm = 1 / (1 - m).")
def _(entropy, share):
    return (entropy.sum(-1) / share).mean(-1)


@bound_per_text.mistake("You weight with sigma itself. Weight with its derivative, d sigma / dm = 1 / (1 - m).")
def _(entropy, share):
    return (entropy.sum(-1) * -torch.log(1 - share)).mean(-1)


@bound_per_text.mistake("You average over characters. The exercise asks for nats per text: sum over characters.")
def _(entropy, share):
    return (entropy.mean(-1) / (1 - share)).mean(-1)


@bound_per_text.mistake(
    "You sum over the noise levels, so more levels give a larger bound. An integral over (0, 1) is an average: take "
    "the mean."
)
def _(entropy, share):
    return (entropy.sum(-1) / (1 - share)).sum(-1)


@bound_per_text.mistake(
    "You divide the mean of the entropies by the mean of 1 - m. Divide at each level first, then take the mean."
)
def _(entropy, share):
    return entropy.sum(-1).mean(-1) / (1 - share).mean(-1)


@bound_per_text.mistake(
    "You average over texts too. The exercise asks for one bound for each text: keep the first axis."
)
def _(entropy, share):
    return bound_per_text._reference(entropy, share).mean()


@bound_per_text.mistake("You return a number for each noise level. The bound of a text is their mean.")
def _(entropy, share):
    return entropy.sum(-1) / (1 - share)


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


def _h(nats: Tensor, length: int) -> Tensor:
    return nats.mean() / length


@bits_and_perplexity.mistake("You swapped bits and perplexity: return (bits, perplexity).")
def _(nats, length):
    return bits_and_perplexity._reference(nats, length)[::-1]


@bits_and_perplexity.mistake("You multiply by ln 2. A bit is only 0.69 nats, so there are more bits than nats: divide.")
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


@bits_and_perplexity.mistake(
    "Both numbers are for a whole text. The exercise asks for numbers per character: divide by the length first."
)
def _(nats, length):
    return bits_and_perplexity._reference(nats, 1)


@bits_and_perplexity.mistake(
    "The bits are right, but your perplexity is that of a whole text. Divide by the length before you take exp()."
)
def _(nats, length):
    return bits_and_perplexity._reference(nats, length)[0], nats.mean().exp()


@bits_and_perplexity.mistake(
    "The bits are right, but you take exp() for each text and then average, so one hard text dominates. Average the "
    "nats first, then take exp()."
)
def _(nats, length):
    return bits_and_perplexity._reference(nats, length)[0], (nats / length).exp().mean()


@bits_and_perplexity.mistake("You return two numbers for each text. Average over texts first.")
def _(nats, length):
    return nats / length / math.log(2), (nats / length).exp()


@bits_and_perplexity.mistake("You sum over the texts. The exercise asks for the mean over texts.")
def _(nats, length):
    return bits_and_perplexity._reference(nats.sum()[None], length)


@exercise("what both models share cancels, and the ± belongs to the difference.")
def paired_gap(a, b):
    d = a - b
    return d.mean(), d.std() / len(d) ** 0.5


@paired_gap.cases
def _(rng):
    yield torch.tensor([3.0, 5.0], dtype=torch.float64), torch.tensor([2.0, 3.0], dtype=torch.float64)
    yield torch.tensor([4.0, 9.0, 2.0], dtype=torch.float64), torch.tensor([4.0, 9.0, 2.0], dtype=torch.float64)
    for M in (3, 5, 8):
        easy = _nats(rng, M)  # how hard each text is, the same for both models
        yield easy + 0.3 * torch.rand(M, dtype=torch.float64, generator=rng) - 0.1, easy


def _sem(v: Tensor) -> Tensor:
    return v.std() / len(v) ** 0.5


@paired_gap.mistake(
    "The gap is right, but its ± is the one for two different sets of texts. Both models saw the same texts, and a "
    "text that is hard for one is hard for the other. Subtract text by text first, then take the ± of the differences."
)
def _(a, b):
    return (a - b).mean(), (_sem(a) ** 2 + _sem(b) ** 2).sqrt()


@paired_gap.mistake(
    "The gap is right, but you add the two ± values. Both models saw the same texts: take the ± of the differences."
)
def _(a, b):
    return (a - b).mean(), _sem(a) + _sem(b)


@paired_gap.mistake("The gap is right, but you subtract one ± from the other. Take the ± of the differences.")
def _(a, b):
    return (a - b).mean(), (_sem(a) - _sem(b)).abs()


@paired_gap.mistake(
    "Your ± is the standard deviation, the spread of single texts. The mean of M texts is more precise by a factor of "
    "√M: divide by √M."
)
def _(a, b):
    return (a - b).mean(), (a - b).std()


@paired_gap.mistake(
    "You divide the standard deviation by M. The standard error only falls with the square root: divide by √M."
)
def _(a, b):
    return (a - b).mean(), (a - b).std() / len(a)


@paired_gap.mistake("You return the square of the standard error: take the square root.")
def _(a, b):
    return (a - b).mean(), (a - b).var() / len(a)


@paired_gap.mistake(
    "Your standard deviation divides by M. The mean is estimated from the same texts, so divide by M - 1, as .std() "
    "does by default in PyTorch."
)
def _(a, b):
    return (a - b).mean(), (a - b).std(correction=0) / len(a) ** 0.5


@paired_gap.mistake("The sign is flipped: the gap is a - b.")
def _(a, b):
    return (b - a).mean(), _sem(a - b)


@paired_gap.mistake(
    "You take the absolute value of each difference. A difference is negative when b is larger: keep its sign."
)
def _(a, b):
    return (a - b).abs().mean(), _sem((a - b).abs())


@paired_gap.mistake("You swapped the gap and its ±: return (gap, standard error).")
def _(a, b):
    return paired_gap._reference(a, b)[::-1]


@paired_gap.mistake("You return only the gap. Return its standard error too.")
def _(a, b):
    return (a - b).mean()


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
    return loss_and_gradient(result, predict.scale)


def _nll(predict, seen: Tensor, x0: Tensor) -> Tensor:
    return -predict(seen).gather(-1, x0[..., None]).squeeze(-1)


def _shifted(x0: Tensor, first: int) -> Tensor:
    return torch.cat([torch.full_like(x0[:, :1], first), x0[:, :-1]], 1)


@autoregressive_loss.mistake(
    "Your model cheats: row i of predict(x0) has already seen x0[:, i], the character it should predict. Shift the "
    "text by one position, with `start` in front."
)
def _(predict, x0, start):
    return _nll(predict, x0, x0).mean()


@autoregressive_loss.mistake(
    "You leave out the first character. It carries information too: predict it from `start`, and count all L "
    "characters."
)
def _(predict, x0, start):
    return _nll(predict, x0[:, :-1], x0[:, 1:]).mean()


@autoregressive_loss.mistake("You predict the first character from character 0. Predict it from `start`.")
def _(predict, x0, start):
    return _nll(predict, _shifted(x0, 0), x0).mean()


@autoregressive_loss.mistake(
    "You never predict the last character. With `start` in front, L positions predict all L characters."
)
def _(predict, x0, start):
    return _nll(predict, _shifted(x0, start)[:, :-1], x0[:, :-1]).mean()


@autoregressive_loss.mistake(
    "You shift the wrong way: each position sees the character after the one it should predict. Put `start` in front."
)
def _(predict, x0, start):
    return _nll(predict, torch.cat([x0[:, 1:], torch.full_like(x0[:, :1], start)], 1), x0).mean()


@autoregressive_loss.mistake("The sign is flipped: the loss is -log p, which is never negative.")
def _(predict, x0, start):
    return -autoregressive_loss._reference(predict, x0, start)


@autoregressive_loss.mistake(
    "You sum over the characters of a text. The exercise asks for nats per character: take the mean."
)
def _(predict, x0, start):
    return _nll(predict, _shifted(x0, start), x0).sum(-1).mean()


@autoregressive_loss.mistake("You sum over everything. The loss is a mean over texts and characters.")
def _(predict, x0, start):
    return _nll(predict, _shifted(x0, start), x0).sum()


@autoregressive_loss.mistake("You return one loss for each text. The optimizer needs a single number: take the mean.")
def _(predict, x0, start):
    return _nll(predict, _shifted(x0, start), x0).mean(-1)


@autoregressive_loss.mistake(
    "You take the mean of p and then its logarithm. Take -log p at each position first, then the mean."
)
def _(predict, x0, start):
    return -(-_nll(predict, _shifted(x0, start), x0)).exp().mean().log()


@autoregressive_loss.mistake("You average over the whole alphabet. Only the log p of the true character counts.")
def _(predict, x0, start):
    return -predict(_shifted(x0, start)).mean()


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


def _with_error(p: Tensor, B: int) -> tuple[Tensor, Tensor]:
    return p, (p * (1 - p) / B).sqrt()


def _agrees(x: Tensor, first, second) -> Tensor:
    return x[:, first] == x[:, second]


@agreeing_share.mistake(
    "The fraction is right, but your ± divides by B - 1, as .std() does. For a fraction, use √(p (1 - p) / B)."
)
def _(x, first, second):
    p, _ = agreeing_share._reference(x, first, second)
    return p, (p * (1 - p) / (len(x) - 1)).sqrt()


@agreeing_share.mistake(
    "This is the fraction of characters that agree. A text agrees only if all of its pairs do: use .all() first, then "
    "the mean."
)
def _(x, first, second):
    return _with_error(_agrees(x, first, second).double().mean(), len(x))


@agreeing_share.mistake(
    "You count a text if any pair of characters agrees. A text agrees only if all of its pairs do: use .all(), not "
    ".any()."
)
def _(x, first, second):
    return _with_error(_agrees(x, first, second).any(-1).double().mean(), len(x))


@agreeing_share.mistake("You compare only the first pair of characters. A text agrees only if all of its pairs do.")
def _(x, first, second):
    return _with_error(_agrees(x, first, second)[:, 0].double().mean(), len(x))


@agreeing_share.mistake(
    "You compare which characters occur. Their order matters too: compare position by position, without sorting."
)
def _(x, first, second):
    return _with_error((x[:, first].sort(-1).values == x[:, second].sort(-1).values).all(-1).double().mean(), len(x))


@agreeing_share.mistake("This is the fraction of texts that do not agree. Return the fraction that do.")
def _(x, first, second):
    p, error = agreeing_share._reference(x, first, second)
    return 1 - p, error


@agreeing_share.mistake("You return the number of texts that agree. Divide it by the number of texts.")
def _(x, first, second):
    p, error = agreeing_share._reference(x, first, second)
    return p * len(x), error


@agreeing_share.mistake(
    "The fraction is right, but you did not take the square root in its standard error: √(p (1 - p) / B)."
)
def _(x, first, second):
    p, error = agreeing_share._reference(x, first, second)
    return p, error**2


@agreeing_share.mistake(
    "The fraction is right, but your ± is that of a single text, √(p (1 - p)). A fraction of B texts is more precise: "
    "divide by √B."
)
def _(x, first, second):
    p, error = agreeing_share._reference(x, first, second)
    return p, error * len(x) ** 0.5


@agreeing_share.mistake(
    "The fraction is right, but in its standard error you divide by B instead of √B: √(p (1 - p) / B)."
)
def _(x, first, second):
    p, error = agreeing_share._reference(x, first, second)
    return p, error / len(x) ** 0.5


@agreeing_share.mistake("You return only the fraction. Return its standard error too.")
def _(x, first, second):
    return agreeing_share._reference(x, first, second)[0]
