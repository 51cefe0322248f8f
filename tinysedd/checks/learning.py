"""Exercises of notebooks 04 and 05: score entropy, and training with it."""

# An exercise is a class without instances, so its functions have no self.
# pyright: reportSelfClsParameterName=false

import math
from typing import Any

import torch
from torch import Tensor, nn

from tinysedd import show
from tinysedd.checks.compare import difference
from tinysedd.checks.engine import binomial_tolerance, describe, exercise, refuse, tensor
from tinysedd.checks.noise import AGAIN, EACH, PASS, SHARED
from tinysedd.checks.pictures import bars
from tinysedd.noise import Geometric, LogLinear
from tinysedd.process import Absorbing, Process, Uniform
from tinysedd.worlds import Words

# 04 ----------------------------------------------------------------------------------------------------------------


@exercise("it is 0 when the guess is right, and it forbids negative ratios.")
class score_entropy:
    def reference(s: Any, r):
        return s - r * s.log() + torch.xlogy(r, r) - r

    def cases(rng: Any):
        yield torch.tensor([2.0]), torch.tensor([1.0])
        yield torch.tensor([0.5, 3.0]), torch.tensor([0.0, 2.0])
        yield torch.tensor(4.0), torch.tensor(0.25)
        for shape in [(5,), (2, 3), (2, 2, 4)]:
            yield _guesses(rng, *shape)
        s, r = _guesses(rng, 6)
        yield s, r * (torch.arange(6) < 3)  # half of the ratios are 0
        yield torch.tensor([1e-4, 3e-4, 2e-4]), torch.tensor([1e-4, 1e-4, 5e-4])

    mistakes = {
        ("s.log() => s.log2()", "torch.xlogy(r, r) => torch.xlogy(r, r.log2().exp())"): "You use the logarithm to "
        "base 2. Here log is the natural logarithm: torch.log.",
        "+ torch.xlogy(r, r) - r =>": "The minimum is in the right place, but not 0: r (log r - 1) is missing.",
        "torch.xlogy(r, r / s)": "This is r log(r / s). The terms s - r are missing, so no guess is too large.",
        "(s - r) ** 2": "This is the squared error. It allows negative ratios, and only large ratios count.",
        "-r * s.log()": "This is a cross-entropy, -r log s. Without the term s, no guess is ever too large.",
    }  # fmt: skip

    def picture(function: Any):
        s = torch.linspace(0.2, 4, 39, dtype=torch.float64)
        lines = {
            f"true ratio {r}": [*zip(s.tolist(), function(s, torch.full_like(s, r)).tolist())] for r in (0.0, 1.0, 2.5)
        }
        return show.curve(lines, x="guess s", y="your cost", title="Your cost is 0 where the guess is the true ratio")


def _guesses(rng: torch.Generator, *shape: int) -> tuple[Tensor, Tensor]:
    """Guesses s and ratios r, from 0.01 to 100; the first guess is exactly right if there are several."""
    s, r = (2 * torch.randn((2, *shape), generator=rng)).exp().clamp(0.01, 100).unbind(0)
    if s.numel() > 1:
        s.flatten()[0] = r.flatten()[0]
    return s, r


@exercise("guess minus truth. It is this simple because the network outputs log s.")
class score_entropy_gradient:
    def reference(log_s: Any, r):
        return log_s.exp() - r

    def cases(rng: Any):
        yield torch.tensor([1.0]), torch.tensor([1.0])
        yield torch.tensor(-0.5), torch.tensor(0.0)
        for shape in [(3,), (2, 3), (2, 2, 4)]:
            s, r = _guesses(rng, *shape)
            yield s.log(), r

    mistakes = {
        "1 - r / log_s.exp()": "This is the derivative by s, 1 - r/s. Multiply it by ds / d log s = s.",
        "log_s - r.log()": "This is the difference of the logarithms. The derivative contains s and r themselves.",
        "score_entropy._reference(log_s.exp(), r)": "This is the cost itself. Differentiate it by log s.",
        "2 * log_s.exp() * result": "This is the derivative of the squared error. Differentiate the score entropy.",
        "log_s.exp() * result": "You multiply by s once too often: s (1 - r/s) is s - r.",
        "result / log_s.exp() ** 2": "You divide by the inner derivative. Multiply by it: ds / d log s = s.",
    }  # fmt: skip

    def picture(function: Any):
        r, path = torch.tensor([0.2, 1.0, 3.0]), [torch.zeros(3)]
        for _ in range(40):
            path.append(path[-1] - 0.2 * function(path[-1], r))
        lines = {f"true ratio {r[k]:g}": [(n, log_s[k].exp().item()) for n, log_s in enumerate(path)] for k in range(3)}
        return show.curve(lines, x="steps along your gradient", y="guess s", title="Each guess finds its true ratio")


def _denoiser(rng: torch.Generator, B: int, L: int, N: int) -> Tensor:
    """A random p(x0_i = a | x) (B, L, N), as a network might predict it."""
    return (2 * torch.randn(B, L, N, generator=rng)).softmax(-1)


def _noised(rng: torch.Generator, B: int, L: int, N: int, kind: type[Process], sigma: float) -> tuple[Tensor, ...]:
    """x (B, L), x0 (B, L) and sigma (B,), which runs from the given value to twice that value."""
    x0 = torch.randint(N, (B, L), generator=rng)
    return kind(N).perturb(x0, torch.ones(B), rng), x0, sigma * torch.linspace(1, 2, B)


SIZES = [(1, 1, 2, 0.5), (1, 2, 3, 1.0), (2, 3, 4, 1e-4), (3, 2, 5, 3.0), (2, 4, 3, 0.3)]  # B, L, N, sigma


@exercise("a prediction of the clean text gives every ratio, and visible characters are final.")
class absorbing_score:
    def reference(posterior: Any, x, sigma):
        N = posterior.shape[-1]
        ratio = posterior / torch.expm1(sigma)[:, None, None]
        at_mask = torch.cat([ratio, torch.ones_like(ratio[..., :1])], -1)
        shown = nn.functional.one_hot(x, N + 1).to(ratio)
        return torch.where((x == N)[..., None], at_mask, shown)

    def cases(rng: Any):
        for B, L, N, sigma in SIZES:
            p = _denoiser(rng, B, L, N)
            x, _, sigmas = _noised(rng, B, L, N, Absorbing, sigma)
            yield p, x, sigmas
            yield p, torch.full_like(x, N), sigmas
            yield p, x.clamp(max=N - 1), sigmas
        p = torch.eye(3)[None]  # certain
        yield p, torch.tensor([[3, 3, 2]]), torch.tensor([0.7])

    mistakes = {
        "[ratio, torch.ones_like(ratio[..., :1])] => [torch.ones_like(ratio[..., :1]), ratio]": "Your mask is the "
        "first state. It is the last one, N.",
    }  # fmt: skip

    def picture(function: Any):
        return _map(function, Absorbing(26), "c_t", "Your score of c·t: which letters belong in the gap?")


def _map(function, process: Process, text: str, title: str) -> object:
    """The scores of a text in Words that follow from the exact posterior, by the student's function."""
    words, sigma = Words(), torch.tensor([0.1], dtype=torch.float64)
    x = torch.tensor([[process.num_states - 1 if c == "_" else words.alphabet.characters.index(c) for c in text]])
    ratios = function(words.score(process).log_posterior(x, sigma).double().exp(), x, sigma)
    return show.heatmap(ratios[0].log(), x[0], words.alphabet, title=title)


NOISE = {  # mistakes in q(y | a)
    "torch.exp(-sigma) => 1 - torch.exp(-sigma)": "You swapped hit and not hit in your q. A character is hit with "
    "probability 1 - e^-sigma, and not hit with probability e^-sigma.",
    "(1 - keep) / N => (1 - keep) / (N - 1) * (1 - torch.eye(N))": "Your q contains 1/(N - 1). A hit draws from all N "
    "characters, including the old one: q(y|a) = (1 - e^-sigma) / N, plus e^-sigma at y = a.",
    "(1 - keep) / N => (1 - keep)": "The N is missing from your q. A hit draws each of the N characters with "
    "probability 1/N: q(y|a) = (1 - e^-sigma) / N, plus e^-sigma at y = a.",
    "+ (1 - keep) / N => + (1 - keep) / N * (1 - torch.eye(N))": "Your q(a|a) is too small. A hit may draw the old "
    "character again: q(a|a) = e^-sigma + (1 - e^-sigma) / N.",
}  # fmt: skip


@exercise(
    "the score is the average of the keys, weighted by the probability of each character.",
    gradient="posterior",
    operations=600,
)
class uniform_score:
    def reference(posterior: Any, x, sigma):
        N = posterior.shape[-1]
        keep = torch.exp(-sigma)[:, None, None]
        T = keep * torch.eye(N) + (1 - keep) / N
        seen = T[torch.arange(len(x))[:, None], x]
        return (posterior / seen) @ T

    def cases(rng: Any):
        for B, L, N, sigma in SIZES:
            x, _, sigmas = _noised(rng, B, L, N, Uniform, sigma)
            yield _denoiser(rng, B, L, N), x, sigmas
        p = torch.eye(3)[None]
        yield p, torch.tensor([[0, 2, 1]]), torch.tensor([0.7])
        x, _, sigmas = _noised(rng, 4, 3, 26, Uniform, 0.5)
        yield _denoiser(rng, 4, 3, 26), x, sigmas

    mistakes = NOISE | {
        "(posterior / seen) @ T => (posterior @ T) / (posterior @ T).gather(-1, x[..., None])": "This is a ratio of "
        "averages. Average the ratios q(y|a) / q(x|a).",
        "posterior / posterior.gather(-1, x[..., None])": "This is p(y) / p(x) of the clean characters. Noise changes "
        "them: each a contributes q(y|a) / q(x|a).",
        "(posterior / torch.expm1(sigma)[:, None, None]).scatter(-1, x[..., None], 1.0)": "This is the formula for "
        "absorbing noise. Under uniform noise the other characters a count too.",
        "(posterior / seen) @ T => (posterior * seen) @ (1 / T)": "Your ratios are upside down: q(y|a) / q(x|a).",
        "posterior / seen => nn.functional.one_hot(posterior.argmax(-1), N) / seen": "You only use the key of the "
        "most probable character. Every a counts, weighted by its probability.",
        "posterior / seen => 1 / seen": "The probabilities p(a | x) are missing. Weight the key of each a.",
        "(posterior / seen) @ T => (posterior @ T) / seen": "You divide by q(x|y) after the sum. Each a has its own "
        "q(x|a): divide p(a|x) by q(x|a) first, then sum over a.",
        "(posterior / seen) @ T => seen / seen.gather(-1, x[..., None])": "You use the key of the noised character, "
        "as if it were the clean one. Every a counts, weighted by its probability p(a | x).",
    }  # fmt: skip

    def picture(function: Any):
        return _map(function, Uniform(26), "cxt", "Your score of cxt: which letter is wrong, and what was it?")


@exercise("this loss needs no true ratio, only texts and noise.", gradient="log_score")
class denoising_score_entropy:
    def reference(log_score: Any, x, x0, sigma):
        N = log_score.shape[-1]
        keep = torch.exp(-sigma)[:, None, None]
        T = keep * torch.eye(N) + (1 - keep) / N
        q = T[torch.arange(len(x))[:, None], x0]
        r = q / q.gather(-1, x[..., None])
        cost = log_score.exp() - r * log_score + r * r.log() - r
        return cost.scatter(-1, x[..., None], 0.0).sum(-1) / N

    def cases(rng: Any):
        for B, L, N, sigma in SIZES:
            x, x0, sigmas = _noised(rng, B, L, N, Uniform, sigma)
            log_score = 2 * torch.randn(B, L, N, generator=rng)
            yield log_score, x, x0, sigmas
            yield log_score, (x0 + 1) % N, x0, sigmas
        yield log_score.scatter(-1, x[..., None], 50.0), x, x0, sigmas  # a network may say anything at x_i

    mistakes = NOISE | {
        ("None], x0] => None], x]", "gather(-1, x[ => gather(-1, x0["): "You swapped x and x0 in the key. It is "
        "r = q(y | x0) / q(x | x0).",
        ".sum(-1) / N => .gather(-1, x0[..., None]).squeeze(-1) / N": "You only count y = x0. Under uniform noise "
        "every y has a nonzero ratio, so sum over all of them.",
        "+ r * r.log() - r =>": "The minimum is in the right place, but not 0: the term r (log r - 1) is missing.",
        "log_score.exp() - r * log_score + r * r.log() - r => (log_score.exp() - r) ** 2": "This is the squared error "
        "against the key. Use the score entropy.",
    }  # fmt: skip

    def picture(function: Any):
        return _valley(function, Uniform(26))


def _valley(function, process: Process, noise: float = 1.0) -> object:
    """The mean cost of the exact scores of Words times a factor, by the student's loss. It is lowest at factor 1."""
    words, rng, sigma = Words(), torch.Generator().manual_seed(0), torch.full((60,), noise, dtype=torch.float64)
    x0 = words.sample(60, rng)  # few, because a right solution may have loops
    x = process.perturb(x0, sigma, rng)
    score = words.score(process)(x, sigma).double()
    points = [(f, function(score + math.log(f), x, x0, sigma).sum(-1).mean().item()) for f in (0.5, 0.7, 1, 1.4, 2)]
    return show.curve({"loss": points}, x="exact ratios times", y="mean cost", title="The exact scores cost least")


SUM, KEY = "cost.sum(-1)", "torch.expm1(sigma)"
WEIGHT = "What is the weight of each y? What is the rate Q(y -> mask) here?"


@exercise("with this loss, no score function gets below the entropy of the world.", gradient="log_score", slips=False)
class absorbing_score_entropy:
    def reference(log_score: Any, x, x0, sigma):
        N = log_score.shape[-1] - 1
        masked = x == N
        s = torch.where(masked[..., None], log_score[..., :N].exp(), 1.0)
        r = nn.functional.one_hot(x0, N) / torch.expm1(sigma)[:, None, None]
        cost = s - torch.xlogy(r, s) + torch.xlogy(r, r) - r
        return torch.where(masked, cost.sum(-1), 0.0)

    def cases(rng: Any):
        for B, L, N, sigma in SIZES:
            x, x0, sigmas = _noised(rng, B, L, N, Absorbing, sigma)
            for seen in (x, torch.full_like(x, N)):
                p = _denoiser(rng, B, L, N)
                yield Absorbing(N).log_score(p.log(), seen, sigmas), seen, x0, sigmas
                p = p.scatter(-1, (x0[..., None] + 1) % N, 0.0)  # like the exact score: some characters are impossible
                yield Absorbing(N).log_score(p.log(), seen, sigmas), seen, x0, sigmas
                yield 2 * torch.randn(B, L, N + 1, generator=rng), seen, x0, sigmas

    mistakes = {
        f"{SUM} => cost.mean(-1)": "Still too small by the factor N: a mean over y is a sum with weight 1/N. What is "
        "the rate Q(y -> mask) here?",
        f"{SUM} => cost.sum(-1) / (N + 1)": f"Still too small by the factor N + 1. {WEIGHT}",
        f"{SUM} => cost.sum(-1) / (N - 1)": f"Still too small by the factor N - 1. {WEIGHT}",
        f"{SUM} => cost.sum(-1) * N": "Too large by the factor N. The key is right, and so is each single term.",
        f"{KEY} => -{KEY.replace('sigma', '-sigma')}": "You changed the key, which was right. Look somewhere else.",
        (f"{KEY} => -{KEY.replace('sigma', '-sigma')}", f"{SUM} => cost.mean(-1)"): "You changed the key, which was "
        "right: r = 1 / (e^sigma - 1). And the bug is still there.",
        f"{KEY} => torch.exp(sigma)": "You changed the key, which was right: r = 1 / (e^sigma - 1).",
        f"{SUM} => cost.mean(-1) * (N + 1)": "Too large by the factor (N + 1) / N: the mask is no y.",
        ("log_score[..., :N] => log_score", "one_hot(x0, N) => one_hot(x0, N + 1)"): "The column of the mask has a "
        "cost now. Sum over the N characters only.",
        f"{SUM}, 0.0) => {SUM}, 0.0) / masked.sum(-1, keepdim=True).clamp(min=1)": "You divide by the number of masks "
        "of each text. Each mask has its own cost.",
        f"{SUM} => torch.exp(sigma)[:, None] * {SUM}": "You multiply by e^sigma, which `nats_per_word` does already.",
        f"{SUM} => -log_score[..., :N].log_softmax(-1).gather(-1, x0[..., None]).squeeze(-1)": "This is a "
        "cross-entropy. Sum the costs of the ratios, as the given code does.",
        "x == N => x == x": "Visible characters now have a cost. Only masks can jump back.",
        "torch.xlogy(r, s) => r * s.log()": "You get nan where a character is impossible: log s is -inf there, and 0 "
        "times -inf is nan. Use torch.xlogy(r, s), which is 0.",
        "+ torch.xlogy(r, r) - r =>": "You dropped the term r (log r - 1), which was right. The bug is somewhere else.",
        f"{SUM} => cost.gather(-1, x0[..., None]).squeeze(-1)": "You only count y = x0. The others still cost s.",
    }  # fmt: skip

    def picture(function: Any):
        return _valley(function, Absorbing(26))


# 05 ----------------------------------------------------------------------------------------------------------------


DIVIDES_U = "u moves your times by u / B only. Divide only b by B: u moves the whole comb, which wraps around."
RANDOM = "You draw B random times. The only random number is u: each time follows from u and b."


@exercise("your times cover (0, 1] evenly, and the random shift reaches every time.")
class spread_times:
    def reference(B: Any, u):
        return (1 - (u + torch.arange(B, dtype=torch.float64) / B) % 1).tolist()  # the exercise allows a list, too

    def cases(rng: Any):
        for B, u in [(1, 0.25), (2, 0.0), (4, 0.1), (5, 0.99)]:
            yield B, u
        for B in (3, 8, 16):
            yield B, torch.rand((), generator=rng).item()

    def measure(result: Any, B, u):
        """Sort: any order of the times counts as right."""
        t = tensor(result)
        return t.double().sort().values if t.ndim == 1 else t

    mistakes = {
        "u + torch => u / B + torch": DIVIDES_U,
        "1 - (u + torch => (u / B + torch": DIVIDES_U,
        "/ B => / max(B - 1, 1)": "You divide b by B - 1. Divide by B: the last time is one step from 1, too.",
        "torch.rand(B)": RANDOM,
        "1 - torch.rand(B)": RANDOM,
    }  # fmt: skip

    def picture(function: Any):
        u = torch.rand(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        times = torch.cat([tensor(function(16, shift.item())).double() for shift in u])
        counts = torch.histc(times, 20, 0, 1)
        title = "Your times in 500 batches of 16"
        return bars(range(20), counts, title, 400.0, xlabel="time, in twentieths", ylabel="times")


class _RandomScore:
    """A score function with a random denoiser. It raises ValueError unless sigma has one number for each text."""

    __name__ = "score"

    def __init__(self, process: Process, L: int, rng: torch.Generator):
        self.process = process
        table = torch.randn(process.num_states, L, process.num_tokens, generator=rng)
        self.table = table.log_softmax(-1)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        if x.ndim != 2 or sigma.shape != x.shape[:1]:
            told = f"it was given shapes {tuple(x.shape)} and {tuple(sigma.shape)}"
            raise ValueError(f"score(x, sigma) takes x (B, L) and sigma (B,); {told}")
        return self.process.log_score(self.table[x, torch.arange(x.shape[1])], x, sigma)


MEAN = "(weight * entropy.mean(-1)).mean()"


@exercise("the score entropy is weighted so that each hit character counts equally.", gradient="score")
class weighted_loss:
    def reference(score: Any, process, x, x0, t):
        sigma = process.schedule.total(t)
        entropy = process.score_entropy(score(x, sigma), x, x0, sigma)
        weight = process.schedule.rate(t) * (1 - torch.exp(-sigma))
        return (weight * entropy.mean(-1)).mean()

    def cases(rng: Any):
        for B, L, N in [(1, 1, 2), (2, 3, 3), (3, 2, 4), (4, 4, 3), (3, 5, 2)]:
            for kind in (Absorbing, Uniform):
                for schedule in (LogLinear(), Geometric(1e-2, 5.0)):
                    process = kind(N, schedule)
                    x0 = torch.randint(N, (B, L), generator=rng)
                    t = 0.2 + 0.75 * torch.rand(B, generator=rng)
                    x = process.perturb(x0, schedule.total(t).clamp(min=1.0), rng)
                    yield _RandomScore(process, L, rng), process, x, x0, t

    mistakes = {
        "(1 - torch.exp(-sigma)) => sigma": "You weight with sigma. Weight with the fraction hit, 1 - e^-sigma.",
        "weight * entropy => weight.mean() * entropy": "You multiply the mean weight by the mean entropy. Multiply "
        "each text by its own weight first: a product of shapes (B,) and (B, 1) is a (B, B) table of all pairs.",
        f"{MEAN} => (weight[:, None] * entropy).sum()": "You sum over everything. Take the mean.",
        f"{MEAN} => (weight * entropy.mean(-1)).sum() / weight.sum()": "You divide by the sum of the weights. Take the "
        "plain mean over texts.",
        f"{MEAN} => (weight[:, None] * entropy).sum() / (x != x0).sum()": "You divide by the number of hit characters. "
        "The loss is the mean over all characters.",
        "score(x, sigma), x, x0, sigma => score(x, t), x, x0, t": "You use the time t as the total noise. sigma is "
        "process.schedule.total(t).",
        "rate(t) => rate(sigma)": "You ask for the rate at sigma. It is the rate at the time t.",
        "weight = process.schedule.rate(t) * (1 - torch.exp(-sigma)) => weight = torch.expm1(sigma)": "Your weight is "
        "e^sigma - 1, without the schedule. Use process.schedule.rate(t).",
        f"{MEAN} => (weight * entropy.sum(-1) / (x != x0).sum(-1).clamp(min=1)).mean()": "You divide by the number of "
        "hit characters of each text. The loss is the mean over all characters.",
        "x, x0, sigma => x0, x, sigma": "You swapped x and x0: score_entropy takes the noised texts first.",
    }  # fmt: skip

    def picture(function: Any):
        process, rng, points = Absorbing(20), torch.Generator().manual_seed(0), []
        x0 = torch.zeros((50, 200), dtype=torch.int64)
        even = torch.full((*x0.shape, 20), 1 / 20).log()
        for t in torch.linspace(0.25, 1, 16)[:, None].expand(-1, len(x0)):
            x = process.perturb(x0, process.schedule.total(t), rng)
            loss = function(lambda x, sigma: process.log_score(even, x, sigma), process, x, x0, t)
            points.append((t[0], loss.item()))
        return show.curve({"an even guess": points}, x="time t", y="your loss", title="A masked character costs log 20")


@exercise("the average follows the weights without their jumps.")
class moving_average:
    def reference(average: Any, weights, decay):
        return [decay * a + (1 - decay) * w for a, w in zip(average, weights)]

    def cases(rng: Any):
        yield [torch.tensor([2.0])], [torch.tensor([4.0])], 0.9
        for shapes, decay in [([(2,)], 0.5), ([(3,), (2, 2)], 0.98), ([(2, 3), (1,), (4,)], 0.0), ([(2,), (3,)], 1.0)]:
            yield *([torch.randn(s, generator=rng) for s in shapes] for _ in range(2)), decay

    def measure(result: Any, average, weights, decay):
        fits = isinstance(result, list | tuple) and len(result) == len(average)
        refuse(not fits, f"Return a list with one tensor for each weight. You returned {describe(result)}.")
        return list(result)

    mistakes = {
        "decay * a + (1 - decay) * w => (a + w) / 2": "This is the midpoint. `decay` says how much of the old to keep.",
        "decay * a + (1 - decay) * w => a - (1 - decay) * (w - a)": "The sign is flipped: the average must move "
        "toward the weights, by (1 - decay) of the distance.",
    }  # fmt: skip

    def picture(function: Any):
        lines, average = {"the weight": [], "your average": []}, [torch.zeros(1)]
        for step, noise in enumerate(torch.randn(150, generator=torch.Generator().manual_seed(0))):
            weight = (1 - math.exp(-step / 20) + noise / 5)[None]
            average = function(average, [weight], 0.95)
            for line, value in zip(lines.values(), (weight, average[0])):
                line.append((step, value.item()))
        return show.curve(lines, x="steps", y="value of one weight", title="The average is late, but steady")


class _Network(nn.Module):
    """The layers that `initialize` sets, with the notebook's names, at 7, which is clearly wrong; all others are 1."""

    def __init__(self, width: int, blocks: int, characters: int):
        super().__init__()
        self.embed, self.place = nn.Embedding(characters + 1, width), nn.Embedding(8, width)
        self.blocks = nn.ModuleList(nn.Module() for _ in range(blocks))
        for block in self.blocks:
            block.norm1, block.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
            for name, a, b in [("qkv", 1, 3), ("out", 1, 1), ("up", 1, 4), ("down", 4, 1)]:
                block.add_module(name, nn.Linear(a * width, b * width, bias=False))
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, characters, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.constant_(module.weight, 7.0 if isinstance(module, nn.Linear) else 1.0)

        self.before = [name for name, _ in self.named_parameters()]

    def __repr__(self) -> str:
        return f"(a network of width {self.embed.embedding_dim}; number of blocks: {len(self.blocks)})"


@exercise("the network starts where its docstring promises, at an even guess.", in_place=True, slips=False)
class initialize:
    def reference(network: Any):
        for module in network.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        nn.init.zeros_(network.head.weight)
        for block in network.blocks:
            nn.init.zeros_(block.out.weight)
            nn.init.zeros_(block.down.weight)

    def cases(rng: Any):
        yield (_Network(48, 1, 21),)
        yield (_Network(32, 3, 30),)

    def measure(result: Any, network):
        parts = {"head": network.head}
        for k, block in enumerate(network.blocks):
            parts |= {f"{name} of block {k}": getattr(block, name) for name in ("out", "down", "qkv", "up")}
        weights = [module.weight.detach().double() * module.in_features**0.5 for module in parts.values()]
        sizes = torch.stack([w.square().mean().sqrt() for w in weights])
        drawn = [w.flatten() / size for w, size in zip(weights, sizes) if w.std() > 1e-6]
        odd = any(w.mean().abs() > 0.15 or not 0.02 < (w.abs() > 2).double().mean() < 0.08 for w in drawn)
        refuse(odd, "Some matrices are neither 0 nor drawn from a normal distribution with mean 0.")
        late = ((sizes - 1).abs() < 0.08).all()
        refuse(late, "No matrix is 0 at the end. The loop over all Linear layers overwrites the zeros.")
        for name, size in zip(parts, sizes.tolist()):
            zero = name.split()[0] in ("head", "out", "down")
            wanted = "be exactly 0" if zero else "be random, with standard deviation 1 / √inputs"
            found = f"The size of yours (root mean square × √inputs) is {size:.3g}."
            refuse(size > 0 if zero else abs(size - 1) > 0.08, f"The weights of {name} should {wanted}. {found}")
        frozen = not all(p.requires_grad for p in network.parameters())
        refuse(frozen, "Some weights no longer require a gradient, so training never changes them, not even zeros.")
        replaced = [name for name, _ in network.named_parameters()] != network.before
        refuse(replaced, "The network has other weights now. Set the weights that are there: add no layer and no bias.")
        reshaped = any(w.shape != (m.out_features, m.in_features) for w, m in zip(weights, parts.values()))
        refuse(reshaped, "Some weights have another shape now. Keep the shape of each, (outputs, inputs).")
        others = [m.weight for m in network.modules() if isinstance(m, nn.Embedding | nn.RMSNorm)]
        refuse(any((w != 1).any() for w in others), "You changed embeddings or norms. Set the nn.Linear layers only.")
        constant = len(drawn) < 2 * len(network.blocks)
        refuse(constant, "The size of qkv and up is right, but each is constant. Draw each number: nn.init.normal_.")
        alike = torch.corrcoef(torch.stack([w[:3000] for w in drawn])) - torch.eye(len(drawn))
        refuse(alike.abs().max() > 0.2, "Several matrices got the same random numbers. Do not set the seed for each.")


PARTS = ["norm1", "attend", "norm2", "mlp"]


class _Block(nn.Module):
    """The parts of a block, each a fixed function that notes its calls; attention mixes positions, the MLP does not.

    It is a module, so that each call of the student's function gets a copy, and the measure gets that copy, too.
    """

    __name__ = "self"

    def __init__(self, h: Tensor, rng: torch.Generator):
        super().__init__()
        (_, L, width), self.given, self.calls = h.shape, h.clone(), []
        draw = torch.randn(6, max(L, width), max(L, width), generator=rng)
        self._mix, (self._value, self._up, self._down) = draw[0, :L, :L], draw[1:4, :width, :width]
        self._gains = draw[4:6, 0, :width].exp()

    def norm1(self, h: Tensor) -> Tensor:
        self.calls.append("norm1")
        return nn.functional.rms_norm(h, h.shape[-1:]) * self._gains[0].to(h)

    def norm2(self, h: Tensor) -> Tensor:
        self.calls.append("norm2")
        return nn.functional.rms_norm(h, h.shape[-1:]) * self._gains[1].to(h)

    def attend(self, h: Tensor) -> Tensor:
        self.calls.append("attend")
        return self._mix.to(h) @ h @ self._value.to(h)

    def mlp(self, h: Tensor) -> Tensor:
        self.calls.append("mlp")
        return (h @ self._up.to(h)).relu().square() @ self._down.to(h)

    def __repr__(self) -> str:
        return f"(a block: {', '.join(PARTS)})"


@exercise(
    "the block calls attention once, then the MLP once, and adds each result to h.",
    in_place=True,
    slips=False,
    gradient="h",
)
class block_forward:
    def reference(self: Any, h):
        h = h + self.attend(self.norm1(h))
        return h + self.mlp(self.norm2(h))

    def cases(rng: Any):
        for B, L, width in [(1, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 2)]:
            h = torch.randn(B, L, width, generator=rng)
            yield _Block(h, rng), h

    def measure(result: Any, self, h):
        in_place = not torch.equal(h, self.given)
        refuse(in_place, "You change h in place, which breaks the gradient. Make a new one: h = h + ..., not h += ...")
        found = f"Your block calls {', '.join(self.calls) or 'nothing'}."
        refuse(self.calls != PARTS, f"{found} It should call each of its parts once: {', '.join(PARTS)}.")
        return result

    mistakes = {
        "return h + => return": "The result of the MLP replaces h. Add it to h.",
        "h = h + => h =": "The result of attention replaces h. Add it to h.",
        ("h = h + => h =", "return h + => return"): "You add nothing to h any more. Each part adds its result: h + ...",
        ("h = h + => a =", "return h => return h + a"): "Both parts see the same h. The MLP should see the h to which "
        "attention has been added.",
        ("h = h + => a =", "return h + self.mlp(self.norm2(h)) => return h + a + self.mlp(self.norm2(a))"): "The MLP "
        "sees only the result of attention. It should see h with that added.",
        ("h = h + self.attend(self.norm1(h)) => h = self.norm1(h); h = h + self.attend(h)",
         "return h + self.mlp(self.norm2(h)) => h = self.norm2(h); return h + self.mlp(h)"): "You add to the "
        "normalized h. Add to h itself: only attention and the MLP see it normalized.",
        "return h => self.norm2(h); return h + self.mlp(h)  #": "The MLP does not see what norm2 returns.",
        ("h = h + => a = h +", "self.norm2(h) => self.norm2(a)"): "You add the MLP's result to the old h, so the "
        "result of attention is lost.",
    }  # fmt: skip


TEXTS = 3000  # per batch, in each of 2 calls, enough to compare frequencies


TIME, DRAWN = "(len(x0), 1)", "torch.rand(x0.shape, generator=generator)"
ONE_NUMBER = "Draw one random number for each text, return it, and use it for the masks, too."
ONE_TIME = (
    "The masks are still drawn with a time for each character, so about half of each text is masked. Your t has one "
    "number for each text now; use it for the masks too."
)
CHOOSE = "Choose them at random, independently for each character."
COUNTED = f"Your text at time t always has the same number of masks. {CHOOSE}"


@exercise(
    "every number of masks is equally frequent, so the network sees all kinds of texts.",
    tolerance=binomial_tolerance(TEXTS - 500),
    measured="fraction of texts with 0, 1, 2 ... masks; of masks at each position; of masks for t < 1/2 and t > 1/2",
    repeats=2,
)
class noised:
    def reference(x0: Any, mask, generator):
        t = 1 - torch.rand((len(x0), 1), generator=generator)
        return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t

    def cases(rng: Any):
        for L, N in [(2, 3), (4, 5)]:
            yield torch.randint(N, (TEXTS, L), generator=rng), N, torch.Generator().manual_seed(L)

    def measure(result: Any, x0, mask, generator):
        calls, (B, L) = [], x0.shape
        for pair in result:
            two = isinstance(pair, list | tuple) and len(pair) == 2
            refuse(not two, f"A pair (x, t) was expected, but you returned {describe(pair)}.")
            x, t = map(tensor, pair)
            unfit = x.shape != (B, L) or x.dtype != torch.int64
            refuse(unfit, f"x should be ids (torch.int64) of shape {(B, L)}; you returned {describe(pair[0])}.")
            per_character = "There is still a time for each character: a text has one time, so t has shape (B, 1)."
            refuse(t.shape == (B, L), per_character)
            refuse(t.shape != (B, 1), f"t should have shape (B, 1), to fit beside x (B, L); yours is {(*t.shape,)}.")
            refuse(len(t.unique()) == 1, "All texts of the batch have the same time. Draw a time for each text.")
            refuse(((x != x0) & (x != mask)).any(), "Some characters of x are neither a mask nor the character of x0.")
            calls.append((x == mask, t.double()))
        hit, t = map(torch.cat, zip(*calls))
        off = (t.mean() - 0.5).abs() > 0.03
        refuse(off, f"Draw the times evenly from (0, 1], with torch.rand. The mean of yours is {t.mean():.2f}.")
        middle = ((t > 0.25) & (t < 0.75)).double().mean() > 0.56
        refuse(middle, f"Your times are too often near 1/2. Is t a mean? {ONE_NUMBER}")
        count = torch.bincount(hit.sum(-1), minlength=L + 1) / len(hit)
        early, late = (hit[half[:, 0]].double().mean() for half in (t < 0.5, t >= 0.5))
        found = [count, hit.double().mean(0), early, late]
        if not difference(found, noised._definition.exact(x0, mask, generator), noised.tolerance):
            _check_coins(hit, t, B)
        return found

    def exact(x0: Any, mask, generator):
        L = x0.shape[1]
        return [torch.full((L + 1,), 1 / (L + 1)), torch.full((L,), 0.5), torch.tensor(0.25), torch.tensor(0.75)]

    mistakes = {
        (f"{TIME} => x0.shape", "x0), t => x0), t[:, :1]"): ONE_TIME,
        "< t => < 0.5": "You mask half of each text at any time. At time t, mask a character with probability t.",
        "rand(x0.shape => rand((len(x0), 1)": "You mask a text as a whole or not at all. Draw one time for each text, "
        "but one random number for each character.",
        "rand(x0.shape => rand(x0.shape[1:]": f"All texts share their random numbers. {EACH}",
        "rand(x0.shape => randn(x0.shape": "You use normal random numbers, torch.randn. Use uniform ones, torch.rand.",
        "< t => > t": "You mask with probability 1 - t. At time t, mask a character with probability t.",
        "x0), t => x0), torch.rand((len(x0), 1), generator=generator)": "The masks are right, but you return other "
        "times. Return the times that the masks were drawn with.",
        f"{DRAWN} => torch.arange(x0.shape[1]) / x0.shape[1]": f"The masks are always at the beginning. {CHOOSE}",
        f"{DRAWN} < t => {DRAWN}.argsort(-1).argsort(-1) < (t * x0.shape[1]).round()": COUNTED,
        f"{DRAWN} < t => {DRAWN}.argsort(-1).argsort(-1) < (t * x0.shape[1] + t).floor()": COUNTED,
    }  # fmt: skip

    def picture(function: Any):
        x, _ = function(torch.zeros((20000, 16), dtype=torch.int64), 1, torch.Generator().manual_seed(0))
        share = torch.bincount(tensor(x).sum(-1), minlength=17) / len(x)
        title = "All numbers of masks are equally frequent"
        return bars(range(17), share, title, 1 / 17, xlabel="masks", ylabel="share of texts")


def _check_coins(hit: Tensor, t: Tensor, B: int) -> None:
    """ValueError if the times or the coins of two calls (2 B, L) are not random or not independent."""
    refuse(torch.equal(t[:B], t[B:]), f"Two calls gave the same times. {PASS}")
    refuse(len(t.unique()) < B, "Many texts have the same time. Draw a time for each text, evenly from (0, 1].")
    z = ((hit.double() - t) / (t * (1 - t)).sqrt()).where((t > 0.05) & (t < 0.95), 0.0)  # mean 0, variance 1
    for lag, problem in [(B, AGAIN), *((lag, SHARED) for lag in (1, 2, 3, B // 2, B - 1))]:
        products = z[lag:] * z[:-lag]
        refuse(products.sum().abs() > 7 * products.square().sum().sqrt(), problem)
    products = z[:, 1:] * z[:, :-1]
    far = products.sum().abs() > 7 * products.square().sum().sqrt()
    refuse(far, f"Whether a character is masked depends on the character before it. {EACH}")
