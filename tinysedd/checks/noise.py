"""Exercises of notebook 03: the forward process."""

# An exercise is a class without instances, so its functions have no self.
# pyright: reportSelfClsParameterName=false

from typing import Any

import torch
from torch import Tensor

from tinysedd import show
from tinysedd.checks.engine import binomial_tolerance, exercise, refuse, tensor
from tinysedd.corpus import Alphabet
from tinysedd.process import Absorbing, Uniform
from tinysedd.sampling import Trajectory

ALPHABET = Alphabet.of("abcdefghijklmnopqrstuvwxyz .")  # of the texts in the pictures


def _process(N: int, absorbing: bool) -> Absorbing | Uniform:
    return Absorbing(N) if absorbing else Uniform(N)


@exercise("both processes are defined by these rates. Everything else follows from them.")
class rate_matrix:
    def reference(N: Any, absorbing):
        S = N + 1 if absorbing else N
        hit = torch.full((S, S), 1 / N, dtype=torch.float64)
        if absorbing:
            hit = torch.zeros_like(hit)
            hit[:, N] = 1
        return hit - torch.eye(S)

    def cases(rng: Any):
        for N in (2, 3, 4, 26):
            yield N, True
            yield N, False

    mistakes = {
        "result if absorbing else result * N / (N - 1)": "Under uniform noise your rates are 1/(N - 1). A hit draws "
        "from all N characters, including the old one, so the rate is 1/N.",
        "result if absorbing else result - torch.eye(N) / N": "Under uniform noise your diagonal is -1. One hit in N "
        "changes nothing, so the diagonal is 1/N - 1, and each row adds up to 0.",
        "S = N + 1 => absorbing = not absorbing\n    S = N + 1": "You swapped the two processes.",
    }  # fmt: skip

    def picture(function: Any):
        steps = {name: torch.eye(4 + a) + 0.1 * function(4, a) for name, a in (("absorbing", True), ("uniform", False))}
        lines = {
            name: [(k / 10, M.double().matrix_power(k)[0, 0].item()) for k in range(41)] for name, M in steps.items()
        }
        return show.curve(lines, x="noise σ", y="p(still an a)", title="An a, after many small steps, N = 4")


ALL = "torch.linalg.matrix_exp(sigma * Q)"


@exercise("you know where a character is after any amount of noise, for these two processes and for any other.")
class transition:
    def reference(Q: Any, sigma):
        return torch.linalg.matrix_exp(sigma * Q)

    def cases(rng: Any):
        for N, absorbing, sigma in [(2, True, 1.0), (2, False, 0.5), (2, False, 0.0), (3, True, 0.01), (4, False, 4.0)]:
            yield _process(N, absorbing).rate_matrix(), sigma
        for sigma in (0.3, 2.0, 6.0):
            Q = torch.rand(3, 3, generator=rng)  # another process, not symmetric
            yield Q - Q.sum(1).diag(), sigma

    mistakes = {
        f"{ALL} => (sigma * Q).exp()": "You take exp() of each entry. The exponential of a matrix is a limit of "
        "matrix products, (I + sigma/n Q)^n with n going to infinity.",
        f"{ALL} => torch.eye(len(Q)) + sigma * Q": "You take one single step, I + sigma Q. Take many small ones.",
        **{
            f"{ALL} => torch.linalg.matrix_power(torch.eye(len(Q)) + sigma / {n} * Q, {n})": "You take too few small "
            "steps for four digits. Take n = 2^20 steps, by squaring 20 times."
            for n in (10, 20, 100, 1000)
        },
        f"{ALL} => torch.linalg.matrix_power(torch.eye(len(Q)) + sigma / 2**20 * Q, 20)": "You take 20 steps of size "
        "sigma/2^20. Square 20 times (A = A @ A), which takes 2^20 steps.",
    }  # fmt: skip

    def picture(function: Any):
        ring = torch.eye(5, dtype=torch.float64).roll(1, 1) - torch.eye(5, dtype=torch.float64)  # a → b → c → d → e → a
        T = [(sigma, function(ring, sigma)[0]) for sigma in torch.linspace(0, 10, 41).tolist()]
        lines = {c: [(sigma, row[k].item()) for sigma, row in T] for k, c in enumerate("abcde")}
        return show.curve(lines, x="noise σ", y="probability", title="A hit turns a into b, b into c ... and e into a")


RATE = "(1 - eps) / rest"
FRACTION = "Your total is the fraction of characters hit, (1 - eps) t. The noise is -log of the fraction not hit."


@exercise("the fraction of characters hit is (1 - eps) t, a straight line.")
class log_linear:
    def reference(t: Any, eps):
        rest = 1 - (1 - eps) * t
        return -torch.log(rest), (1 - eps) / rest

    def cases(rng: Any):
        yield torch.tensor([0.5]), 0.1
        yield torch.tensor([0.0, 1.0]), 1e-3
        yield torch.tensor(0.9), 0.5
        yield torch.rand(5, generator=rng), 1e-3
        yield torch.rand(4, 1, generator=rng), 0.25

    mistakes = {
        "-torch.log(rest) => 1 - rest": FRACTION,
        ("-torch.log(rest) => 1 - rest", f"{RATE} => torch.full_like(t, 1 - eps)"): FRACTION,
        f"{RATE} => torch.full_like(t, 1 - eps)": "Your rate is that of the fraction hit. Differentiate the noise.",
        "-torch.log(rest) => rest": "Your total is the fraction of characters not hit. The noise is -log of it.",
        "result[0], result[0] / t": "Your rate is total / t, the average up to t. The rate is the slope at t.",
    }  # fmt: skip

    def picture(function: Any):
        t = torch.linspace(0, 1, 41, dtype=torch.float64)
        lines = {f"eps = {eps}": [*zip(t.tolist(), function(t, eps)[0].tolist())] for eps in (0.001, 0.01, 0.1)}
        return show.curve(lines, x="time t", y="your noise σ", title="A smaller eps means more noise at the end")


DRAWS = 3600  # of each character at each sigma, in each of 2 calls; a tolerance for 6000 draws is 6 standard errors
TABLES = "how often each character (row) became each state (column), as a fraction; one table for each sigma"
EACH = "Draw a separate random number for each character of each text, (B, L) in all."
WHOLE = f"Each text is hit as a whole or not at all. {EACH}"
PLACES = f"All texts are hit at the same positions. {EACH}"
SHARED = f"Some texts are hit at the same positions, so they share their random numbers. {EACH}"
ALONG = f"Whether a character is hit depends on the character before it. {EACH}"
COUNTED = "You hit a fixed number of characters in each text or at each position. Hit each character independently."
PASS = "Pass `generator=generator` to every random call, and call no manual_seed."
AGAIN = f"Two calls with the same generator hit the same characters. {PASS}"
ONE_CHARACTER = "All hit characters of a text become the same one. Draw a new character for each position."
SAME_CHARACTERS = "The new characters are the same in several texts. Draw a new one for each position of each text."
CHARACTERS_AGAIN = f"Two calls with the same generator drew the same new characters. {PASS}"


def _texts(characters: int, sigma: list[float]) -> tuple[Tensor, Tensor]:
    """Equal texts (B, L), sorted, with each character DRAWS times at each sigma; and sigma (B,)."""
    row = torch.arange(characters).repeat_interleave(DRAWS // sigma.count(sigma[0]))
    return row.repeat(len(sigma), 1), torch.tensor(sigma)


def _frequencies(process: Absorbing | Uniform, results: list, x0: Tensor, sigma: Tensor) -> Tensor:
    """How often each character became each state at each sigma (K, N, S); ValueError if hits are not independent."""
    calls, S = [tensor(result) for result in results], process.num_states
    for x in calls:
        refuse(x.shape != x0.shape, f"The shape should be that of x0, {(*x0.shape,)}; yours is {(*x.shape,)}.")
        refuse(x.dtype != torch.int64, "States are integers (torch.int64), because they are used as indices.")
        low, high = int(x.min()), int(x.max())
        refuse(low < 0 or high >= S, f"States are 0 to {S - 1}, but yours include {low if low < 0 else high}.")
    if min(x0.shape) > 1:
        _check_independence(process, torch.stack(calls), x0, sigma)
    x, x0, sigma = torch.cat(calls), x0.repeat(len(calls), 1), sigma.repeat(len(calls))
    tables = []
    for level in sigma.unique():
        y, y0 = x[sigma == level], x0[sigma == level]
        tables.append(torch.stack([torch.bincount(y[y0 == a], minlength=S) / (y0 == a).sum() for a in y0.unique()]))
    return torch.stack(tables).double()


def _check_independence(process: Absorbing | Uniform, calls: Tensor, x0: Tensor, sigma: Tensor) -> None:
    """ValueError if the characters of several calls (C, B, L) were not hit independently. All texts x0 are equal."""
    x, row, N = calls.flatten(0, 1), x0[0], process.num_tokens  # (C B, L)
    changed, B = x != row, len(x0)
    share = changed.double().mean(1)  # of the characters of each text
    highest = 1 - 1 / N if process.mask is None else 1.0  # where every character is hit
    refuse(((share == 0) | ((share - highest).abs() < 0.1)).all() and share.min() == 0 < share.max(), WHOLE)
    if process.mask is None and changed.any():
        smallest, largest = x.where(changed, N), x.where(changed, -1)
        refuse((smallest.amin(1) >= largest.amax(1)).all(), ONE_CHARACTER)
    levels = sigma.repeat(len(calls))
    hits = _standardized(changed, torch.ones_like(changed), row, levels)
    pair = process.mask is None and N > 2 and _dependent(_standardized((x - row) % N == 1, changed, row, levels))
    refuse(pair, CHARACTERS_AGAIN if pair and pair[0] < B <= pair[1] else SAME_CHARACTERS)
    refuse(hits.any() and (changed[0] == changed[:B]).all(), PLACES)
    pair = _dependent(hits)
    refuse(pair, AGAIN if pair and pair[0] < B <= pair[1] else SHARED)
    refuse((hits[:, 1:] * hits[:, :-1]).sum().abs() > 7 * hits.square().sum().sqrt(), ALONG)
    p = (-torch.expm1(-levels) * highest)[:, None]
    sums = ((changed.double() - p) / (p * (1 - p)).sqrt()).sum(1) / len(row) ** 0.5  # standard normal if p is right
    positions = hits.sum(0).square().mean() / max(1, int(hits.any(1).sum()))  # 1 on average
    refuse(sums.square().mean() < 0.05 or 0 < positions < 1 - 10 / len(row) ** 0.5, COUNTED)


def _standardized(events: Tensor, valid: Tensor, row: Tensor, levels: Tensor) -> Tensor:
    """Valid events (n, L) with mean 0 and variance 1 for each character and level; else 0."""
    z = torch.zeros(events.shape, dtype=torch.float64)
    for level in levels.unique():
        for a in row.unique():
            block = (levels == level)[:, None] & (row == a) & valid
            p = events[block].double().mean()
            if 0.01 < p < 0.99:
                z[block] = (events[block].double() - p) / (p * (1 - p)).sqrt()
    return z


def _dependent(z: Tensor) -> tuple[int, int] | None:
    """Two rows of independent standardized numbers (or 0) that are correlated beyond chance, or None."""
    there = z.ne(0).double()
    sums, count = (z @ z.T).triu(1), (there @ there.T).clamp(min=1)
    far = (sums.abs() > 7 * count.sqrt()) & (count >= 100)
    return tuple(far.nonzero()[0].tolist()) if far.any() else None


def _expected(process: Absorbing | Uniform, x0: Tensor, sigma: Tensor) -> Tensor:
    if len(x0) == 2:  # two texts, each with its own sigma and character
        return process.transition(sigma)[[0, 1], x0[:, 0]][:, None].round(decimals=12)
    return process.transition(sigma.unique())[:, x0.unique()]


NEW = "torch.randint(N, x0.shape, generator=generator)"
CHANCE = "1 - torch.exp(-sigma)[:, None]"
HITS = {  # wrong ways to choose the characters to hit, under either process
    f"{CHANCE} => sigma[:, None]": "You use sigma as a probability. It is the mean number of hits; a character escapes "
    "all hits with probability e^-sigma.",
    f"{CHANCE} => sigma[:, None] * torch.exp(-sigma)[:, None]": "You use the probability of exactly one hit. A "
    "character changes after one hit or more: 1 - e^-sigma.",
    f"{CHANCE} => sigma[:, None] / (1 + sigma[:, None])": "You use sigma / (1 + sigma), which is right for small noise "
    "only. The probability is 1 - e^-sigma.",
    "torch.rand(x0.shape => torch.randn(x0.shape": "You use normal random numbers, torch.randn. Use torch.rand.",
}  # fmt: skip


@exercise(
    "each character is masked independently, with probability 1 - e^-sigma.",
    tolerance=binomial_tolerance(6000),
    measured=TABLES,
    repeats=2,
)
class perturb_absorbing:
    def reference(x0: Any, sigma, mask, generator):
        hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
        return torch.where(hit, mask, x0)

    def cases(rng: Any):
        yield torch.tensor([[0], [1]]), torch.tensor([0.0, 50.0]), 2, rng
        yield torch.tensor([[0, 1]]), torch.tensor([0.0]), 2, rng
        yield *_texts(2, [1.0] * 10), 2, torch.Generator().manual_seed(1)
        yield *_texts(3, [0.1, 4.0, 1.0] * 6), 4, torch.Generator().manual_seed(2)  # x0 has no character 3

    def measure(result: Any, x0, sigma, mask, generator):
        return _frequencies(Absorbing(mask), result, x0, sigma)

    def exact(x0: Any, sigma, mask, generator):
        return _expected(Absorbing(mask), x0, sigma)

    mistakes = HITS | {
        "hit, mask, x0 => hit, x0.max() + 1, x0": "Hit characters become the largest character of your texts plus 1.",
        "hit, mask, x0 => hit, 0, x0": "Hit characters become 0, which is a character. The mask is the number `mask`.",
    }  # fmt: skip

    def picture(function: Any):
        return _films(function, len(ALPHABET), len(ALPHABET))


@exercise(
    "each character is redrawn independently from all N, with probability 1 - e^-sigma.",
    tolerance=binomial_tolerance(6000),
    measured=TABLES,
    repeats=2,
)
class perturb_uniform:
    def reference(x0: Any, sigma, N, generator):
        hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
        new = torch.randint(N, x0.shape, generator=generator)
        return torch.where(hit, new, x0)

    def cases(rng: Any):
        yield *_texts(2, [0.0]), 2, torch.Generator().manual_seed(1)
        yield *_texts(3, [0.7] * 10), 3, torch.Generator().manual_seed(2)
        yield *_texts(3, [0.1, 4.0, 1.0] * 6), 4, torch.Generator().manual_seed(3)  # x0 has no character 3
        x0, sigma = _texts(2, [0.0])
        x0 = x0.T[::24]  # many texts of one character
        yield x0, sigma.expand(len(x0)).clone(), 2, torch.Generator().manual_seed(4)

    def measure(result: Any, x0, sigma, N, generator):
        return _frequencies(Uniform(N), result, x0, sigma)

    def exact(x0: Any, sigma, N, generator):
        return _expected(Uniform(N), x0, sigma)

    mistakes = HITS | {
        f"{NEW} => (x0 + torch.randint(1, N, x0.shape, generator=generator)) % N": "Your hits always change the "
        "character. A hit draws from all N characters, so it may draw the old one again.",
        f"{NEW} => x0[0][torch.randint(x0.shape[1], x0.shape, generator=generator)]": "You draw the new characters "
        "from the texts themselves. Draw from all N characters: torch.randint(N, ...).",
        "randint(N, => randint(1, N,": "You never draw character 0. torch.randint(N, ...) gives 0 to N - 1.",
        f"{CHANCE} => (1 - torch.exp(-sigma)[:, None]) * (N - 1) / N": "You count twice that a hit may draw the old "
        "character. Hit with probability 1 - e^-sigma, then draw from all N.",
    }  # fmt: skip

    def picture(function: Any):
        return _films(function, len(ALPHABET), None)


def _films(function, number: int, mask: int | None) -> object:
    """A picture of a text at six amounts of noise, each with the same random numbers."""
    x0, levels = ALPHABET.encode("the cat sat on the mat.")[None], torch.tensor([0.0, 0.2, 0.5, 1.0, 2.0, 5.0])
    states = [function(x0, level[None], number, torch.Generator().manual_seed(1)) for level in levels]
    never = torch.zeros(x0.shape[1], dtype=torch.bool)
    film = Trajectory(torch.stack(states), -torch.expm1(-levels), never, 0, mask=mask, alphabet=ALPHABET)
    return show.strip(film, moments=6)


@exercise("these would be the ratios if the text you started from were the only one.")
class answer_key:
    def reference(T: Any, x0, x):
        return T[x0] / T[x0, x][:, None]

    def cases(rng: Any):
        for N, L, sigma in [(2, 1, 0.5), (3, 2, 1.0), (4, 3, 0.01), (5, 4, 3.0)]:
            x0 = torch.randint(N, (L,), generator=rng)
            for process in (Absorbing(N), Uniform(N)):
                x = process.perturb(x0[None], torch.ones(1), rng)[0]
                yield process.transition(sigma), x0, x
            yield Uniform(N).transition(sigma), x0, (x0 + 1) % N  # every character changed
            yield Absorbing(N).transition(sigma), x0, torch.full_like(x0, N)
            yield Absorbing(N).transition(sigma), x0, x0
        T = torch.rand(4, 4, generator=rng) + 0.1  # another process, not symmetric
        yield T / T.sum(1, keepdim=True), torch.tensor([0, 3, 1]), torch.tensor([2, 3, 0])

    def picture(function: Any):
        cat, cut = ALPHABET.encode("cat"), ALPHABET.encode("cut")
        key = function(Uniform(len(ALPHABET)).transition(0.1), cat, cut)
        return show.heatmap(key.log(), cut, ALPHABET, title="It was cat and is cut: your key knows the way back")
