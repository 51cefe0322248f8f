"""Exercises of notebook 03: the forward process."""

import torch
from torch import Tensor

from tinysedd.checks.engine import binomial_tolerance, exercise, tensor
from tinysedd.noise import LogLinear
from tinysedd.process import Absorbing, Uniform


def _process(N: int, absorbing: bool) -> Absorbing | Uniform:
    return Absorbing(N) if absorbing else Uniform(N)


# One character ------------------------------------------------------------------------------------------------------


@exercise("both processes are defined by these rates. Everything else follows from them.")
def rate_matrix(N, absorbing):
    return _process(N, absorbing).rate_matrix()


@rate_matrix.cases
def _(rng):
    for N in (2, 3, 4, 26):
        yield N, True
        yield N, False


@rate_matrix.mistake("Rows and columns are swapped. Row = from, column = to, so that each row adds up to 0.")
def _(N, absorbing):
    return rate_matrix.reference(N, absorbing).T


@rate_matrix.mistake(
    "The diagonal is missing. Each row must add up to 0: Q_aa is minus the sum of the other entries in its row."
)
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    return Q - Q.diag().diag()


@rate_matrix.mistake(
    "Under uniform noise your rates are 1/(N - 1). A hit draws from all N characters, including the old one, so the "
    "rate is 1/N."
)
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    return Q if absorbing else Q * N / (N - 1)


@rate_matrix.mistake(
    "Under uniform noise your diagonal is -1. One hit in N changes nothing, so the diagonal is 1/N - 1, and each row "
    "adds up to 0."
)
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    return Q if absorbing else Q - torch.eye(N) / N


@rate_matrix.mistake("Your mask can change again. A mask stays a mask: its row is all 0.")
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    if absorbing:
        Q[N, N] = -1
    return Q


@rate_matrix.mistake("Your mask can change again. A mask stays a mask: its row is all 0.")
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    if absorbing:
        Q[N, :N], Q[N, N] = 1 / N, -1
    return Q


@rate_matrix.mistake("Your mask can change again. A mask stays a mask: its row is all 0.")
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    if absorbing:
        Q[N, N] = 1
    return Q


@rate_matrix.mistake(
    "These are probabilities, because each row adds up to 1. In a rate matrix each row adds up to 0, with a negative "
    "diagonal."
)
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    return Q + torch.eye(len(Q))


@rate_matrix.mistake("You swapped the two processes.")
def _(N, absorbing):
    return rate_matrix.reference(N, not absorbing)


@rate_matrix.mistake("All signs are flipped. A rate to another state is 0 or more; the diagonal is 0 or less.")
def _(N, absorbing):
    return -rate_matrix.reference(N, absorbing)


@rate_matrix.mistake("The mask has no row and column of its own. Absorbing noise has N + 1 states.")
def _(N, absorbing):
    return rate_matrix.reference(N, absorbing)[:N, :N]


@exercise("you know where a character is after any amount of noise, for these two processes and for any other.")
def transition(Q, sigma):
    return torch.linalg.matrix_exp(sigma * Q)


@transition.cases
def _(rng):
    for N, absorbing, sigma in [(2, True, 1.0), (2, False, 0.5), (2, False, 0.0), (3, True, 0.01), (4, False, 4.0)]:
        yield _process(N, absorbing).rate_matrix(), sigma
    for sigma in (0.3, 2.0, 6.0):
        Q = torch.rand(3, 3, dtype=torch.float64, generator=rng)  # another process, not symmetric
        yield Q - Q.sum(1).diag(), sigma


@transition.mistake(
    "You take exp() of each entry. The exponential of a matrix is a limit of matrix products, (I + sigma/n Q)^n with "
    "n going to infinity."
)
def _(Q, sigma):
    return (sigma * Q).exp()


@transition.mistake(
    "You take one single step, I + sigma Q. Take many small steps instead: (I + sigma/n Q)^n with a large n."
)
def _(Q, sigma):
    return torch.eye(len(Q)) + sigma * Q


for n in (10, 100, 1000):

    @transition.mistake(
        f"You take {n} small steps. That is close, but not accurate to four digits. Take n = 2^20 steps, by squaring "
        "20 times."
    )
    def _(Q, sigma, n=n):
        return torch.linalg.matrix_power(torch.eye(len(Q)) + sigma / n * Q, n)


@transition.mistake(
    "You raise each entry of I + sigma/n Q to the power n. A matrix power is made of matrix products, @."
)
def _(Q, sigma):
    return (torch.eye(len(Q)) + sigma / 2**20 * Q) ** (2**20)


@transition.mistake("Rows and columns are swapped. Row = from, column = to.")
def _(Q, sigma):
    return torch.linalg.matrix_exp(sigma * Q).T


@transition.mistake("Your function ignores sigma: it returns exp(Q), not exp(sigma Q).")
def _(Q, sigma):
    return torch.linalg.matrix_exp(Q)


@transition.mistake("The sign is flipped: this is exp(-sigma Q), which contains negative probabilities.")
def _(Q, sigma):
    return torch.linalg.matrix_exp(-sigma * Q)


@transition.mistake("The identity is missing. A small step is I + sigma/n Q, and the series starts with I.")
def _(Q, sigma):
    return torch.linalg.matrix_exp(sigma * Q) - torch.eye(len(Q))


@exercise("the fraction of characters hit is (1 - eps) t, a straight line.")
def log_linear(t, eps):
    return LogLinear(eps).total(t), LogLinear(eps).rate(t)


@log_linear.cases
def _(rng):
    yield torch.tensor([0.5], dtype=torch.float64), 0.1
    yield torch.tensor([0.0, 1.0], dtype=torch.float64), 1e-3
    yield torch.tensor(0.9, dtype=torch.float64), 0.5
    yield torch.rand(5, dtype=torch.float64, generator=rng), 1e-3
    yield torch.rand(4, 1, dtype=torch.float64, generator=rng), 0.25


@log_linear.mistake(
    "The sign of the total noise is flipped. The logarithm of a number below 1 is negative, so put a minus in front."
)
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return -total, rate


@log_linear.mistake("The sign of the rate is flipped. Noise only increases, so its rate is positive.")
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return total, -rate


@log_linear.mistake(
    "Both signs are flipped. The logarithm of a number below 1 is negative, so put a minus in front of it."
)
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return -total, -rate


@log_linear.mistake("Your rate lacks the inner derivative: the derivative of (1 - eps) t is 1 - eps, not 1.")
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return total, rate / (1 - eps)


@log_linear.mistake(
    "You leave out eps, so your noise is infinite at t = 1. The fraction of characters hit is (1 - eps) t, not t."
)
def _(t, eps):
    return -torch.log(1 - t), 1 / (1 - t)


@log_linear.mistake(
    "Your total is the fraction of characters hit, (1 - eps) t. The noise is -log of the fraction not hit."
)
def _(t, eps):
    return (1 - eps) * t, log_linear.reference(t, eps)[1]


@log_linear.mistake(
    "Your total is the fraction of characters hit, (1 - eps) t. The noise is -log of the fraction not hit."
)
def _(t, eps):
    return (1 - eps) * t, torch.full_like(t, 1 - eps)


@log_linear.mistake("You swapped total and rate: return (total, rate).")
def _(t, eps):
    return log_linear.reference(t, eps)[::-1]


@log_linear.mistake(
    "Your rate is total / t, the average rate up to time t. The rate is the derivative, the slope at t."
)
def _(t, eps):
    total, _ = log_linear.reference(t, eps)
    return total, total / t


@log_linear.mistake("You use the base-10 logarithm. Noise is measured with the natural logarithm, torch.log.")
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return total / torch.log(torch.tensor(10.0)), rate


# A whole text -------------------------------------------------------------------------------------------------------

DRAWS = 7200  # of each character at each sigma; a tolerance for 6000 draws makes that 6 standard errors
TABLES = "how often each character (row) became each state (column), as a fraction; one table for each sigma"
WHOLE = "Each text is hit as a whole or not at all. Draw a separate random number for each character, (B, L) in all."
PLACES = (
    "All texts are hit at the same positions. Draw a separate random number for each character of each text, (B, L) "
    "in all."
)
ONE_CHARACTER = (
    "All hit characters of a text become the same one. Draw a new character for each position, (B, L) in all."
)
SAME_CHARACTERS = (
    "The new characters are the same in all texts. Draw a new one for each position of each text, (B, L) in all."
)


def _texts(characters: int, sigma: list[float]) -> tuple[Tensor, Tensor]:
    """Equal texts (B, L), sorted, with each character DRAWS times at each sigma; and sigma (B,)."""
    row = torch.arange(characters).repeat_interleave(DRAWS // sigma.count(sigma[0]))
    return row.repeat(len(sigma), 1), torch.tensor(sigma, dtype=torch.float64)


def _outcomes(process: Absorbing | Uniform, result: object, x0: Tensor, sigma: Tensor) -> Tensor:
    """How often each character became each state at each sigma (K, N, S); ValueError if hits are not independent."""
    x, S = tensor(result), process.num_states
    if x.shape != x0.shape:
        raise ValueError(f"The result should have the shape of x0, {tuple(x0.shape)}; yours has {tuple(x.shape)}.")
    if x.dtype != torch.int64:
        raise ValueError("States are integers (torch.int64), because they are used as indices. Yours are not.")
    if x.min() < 0 or x.max() >= S:
        raise ValueError(f"States are 0 to {S - 1}, but yours include {int(x.min() if x.min() < 0 else x.max())}.")
    if min(x.shape) > 1:
        _check_independence(process, x, x0)
    tables = []
    for level in sigma.unique():
        y, y0 = x[sigma == level], x0[sigma == level]
        tables.append(torch.stack([torch.bincount(y[y0 == a], minlength=S) / (y0 == a).sum() for a in y0.unique()]))
    return torch.stack(tables).double()


def _check_independence(process: Absorbing | Uniform, x: Tensor, x0: Tensor) -> None:
    """ValueError if characters were not hit independently. Needs equal texts x0 (B, L) with moderate noise."""
    changed = x != x0
    share = changed.double().mean(1)  # of the characters of each text
    highest = 1 - 1 / process.num_tokens if process.mask is None else 1.0  # where every character is hit
    if ((share == 0) | ((share - highest).abs() < 0.1)).all() and share.min() == 0 < share.max():
        raise ValueError(WHOLE)
    if changed.any() and process.mask is None:
        smallest, largest = x.where(changed, process.num_tokens), x.where(changed, -1)
        if (smallest.amin(1) >= largest.amax(1)).all():
            raise ValueError(ONE_CHARACTER)
        if (smallest.amin(0) >= largest.amax(0)).all():
            raise ValueError(SAME_CHARACTERS)
    if (~changed).all(0).double().mean() - (1 - share).prod() > 0.05:  # positions where no text was hit
        raise ValueError(PLACES)


@exercise(
    "each character is masked independently, with probability 1 - e^-sigma.",
    tolerance=binomial_tolerance(6000),
    measured=TABLES,
)
def perturb_absorbing(x0, sigma, mask, generator):
    return Absorbing(mask).perturb(x0, sigma, generator)


@perturb_absorbing.cases
def _(rng):
    yield torch.tensor([[0], [1]]), torch.tensor([0.0, 50.0], dtype=torch.float64), 2, rng
    yield torch.tensor([[0, 1]]), torch.tensor([0.0], dtype=torch.float64), 2, rng
    yield *_texts(2, [1.0] * 10), 2, torch.Generator().manual_seed(1)
    yield *_texts(3, [0.1, 2.0, 1.0] * 6), 4, torch.Generator().manual_seed(2)


@perturb_absorbing.measure
def _(result, x0, sigma, mask, generator):
    return _outcomes(Absorbing(mask), result, x0, sigma)


@perturb_absorbing.exact
def _(x0, sigma, mask, generator):
    return _expected(Absorbing(mask), x0, sigma)


def _expected(process: Absorbing | Uniform, x0: Tensor, sigma: Tensor) -> Tensor:
    if len(x0) == 2:  # two texts, each with its own sigma and character
        return process.transition(sigma)[[0, 1], x0[:, 0]][:, None].round(decimals=12)
    return process.transition(sigma.unique())[:, x0.unique()]


@exercise(
    "each character is redrawn independently from all N, with probability 1 - e^-sigma.",
    tolerance=binomial_tolerance(6000),
    measured=TABLES,
)
def perturb_uniform(x0, sigma, N, generator):
    return Uniform(N).perturb(x0, sigma, generator)


@perturb_uniform.cases
def _(rng):
    yield *_texts(2, [0.0]), 2, torch.Generator().manual_seed(1)
    yield *_texts(3, [0.7] * 10), 3, torch.Generator().manual_seed(2)
    yield *_texts(3, [0.1, 2.0, 1.0] * 6), 4, torch.Generator().manual_seed(3)  # x0 has no character 3
    x0, sigma = _texts(2, [0.0])
    x0 = x0.T[::24]  # many texts of one character
    yield x0, sigma.expand(len(x0)).clone(), 2, torch.Generator().manual_seed(4)


@perturb_uniform.measure
def _(result, x0, sigma, N, generator):
    return _outcomes(Uniform(N), result, x0, sigma)


@perturb_uniform.exact
def _(x0, sigma, N, generator):
    return _expected(Uniform(N), x0, sigma)


def _rand(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=generator)


def _hit_probability(sigma: Tensor) -> Tensor:
    """The probability (B, 1) that a character is hit."""
    return 1 - torch.exp(-sigma)[:, None]


HITS = [  # wrong ways to choose the characters (B, L) to hit, under either process
    (
        "You use sigma as a probability. It is the mean number of hits; a character escapes all hits with probability "
        "e^-sigma.",
        lambda x0, sigma, rng: _rand(rng, *x0.shape) < sigma[:, None],
    ),
    (
        "You swapped hit and not hit. A character is hit with probability 1 - e^-sigma, and not hit with probability "
        "e^-sigma.",
        lambda x0, sigma, rng: _rand(rng, *x0.shape) > _hit_probability(sigma),
    ),
    (WHOLE, lambda x0, sigma, rng: (_rand(rng, len(x0), 1) < _hit_probability(sigma)).expand(x0.shape)),
    (PLACES, lambda x0, sigma, rng: _rand(rng, x0.shape[1]) < _hit_probability(sigma)),
    (
        "Every text gets the noise of the first one. sigma has one number for each text: use sigma[:, None], of shape "
        "(B, 1).",
        lambda x0, sigma, rng: _rand(rng, *x0.shape) < _hit_probability(sigma[:1]),
    ),
    (
        "Nothing changes, whatever sigma is. Is your probability negative? It should be 1 - e^-sigma.",
        lambda x0, sigma, rng: torch.zeros_like(x0, dtype=torch.bool),
    ),
]
for _diagnosis, _choose in HITS:

    @perturb_absorbing.mistake(_diagnosis)
    def _(x0, sigma, mask, generator, hits=_choose):
        return torch.where(hits(x0, sigma, generator), mask, x0)

    @perturb_uniform.mistake(_diagnosis)
    def _(x0, sigma, N, generator, hits=_choose):
        hit = hits(x0, sigma, generator)
        return torch.where(hit, torch.randint(N, x0.shape, generator=generator), x0)


@perturb_absorbing.mistake("You mask every character. Mask each one with probability 1 - e^-sigma.")
def _(x0, sigma, mask, generator):
    return torch.full_like(x0, mask)


@perturb_absorbing.mistake(
    "Hit characters become the last character, N - 1. The mask is a state of its own: the number `mask`."
)
def _(x0, sigma, mask, generator):
    return torch.where(_rand(generator, *x0.shape) < _hit_probability(sigma), mask - 1, x0)


@perturb_uniform.mistake(
    "Your hits always change the character. A hit draws from all N characters, so it may draw the old one again."
)
def _(x0, sigma, N, generator):
    shift = torch.randint(1, N, x0.shape, generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit_probability(sigma), (x0 + shift) % N, x0)


@perturb_uniform.mistake(ONE_CHARACTER)
def _(x0, sigma, N, generator):
    new = torch.randint(N, (len(x0), 1), generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit_probability(sigma), new, x0)


@perturb_uniform.mistake(SAME_CHARACTERS)
def _(x0, sigma, N, generator):
    new = torch.randint(N, x0.shape[1:], generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit_probability(sigma), new, x0)


@perturb_uniform.mistake("You never draw the last character, N - 1. torch.randint(N, ...) gives 0 to N - 1.")
def _(x0, sigma, N, generator):
    new = torch.randint(N - 1, x0.shape, generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit_probability(sigma), new, x0)


@perturb_uniform.mistake(
    "You hit too few characters, because you count twice that a hit may draw the old one. Hit with probability 1 - "
    "e^-sigma, then draw from all N."
)
def _(x0, sigma, N, generator):
    new = torch.randint(N, x0.shape, generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit_probability(sigma) * (N - 1) / N, new, x0)


@perturb_uniform.mistake("You redraw every character. Redraw each one with probability 1 - e^-sigma.")
def _(x0, sigma, N, generator):
    return torch.randint(N, x0.shape, generator=generator)


# The answer key -----------------------------------------------------------------------------------------------------


@exercise("these would be the ratios if the text you started from were the only one.")
def answer_key(T, x0, x):
    q = T[x0]
    return q / q.gather(-1, x[:, None])


@answer_key.cases
def _(rng):
    for N, L, sigma in [(2, 1, 0.5), (3, 2, 1.0), (4, 3, 0.01), (5, 4, 3.0)]:
        x0 = torch.randint(N, (L,), generator=rng)
        for process in (Absorbing(N), Uniform(N)):
            x = process.perturb(x0[None], torch.ones(1), rng)[0]
            yield process.transition(sigma), x0, x
        yield Uniform(N).transition(sigma), x0, (x0 + 1) % N  # every character changed
        yield Absorbing(N).transition(sigma), x0, torch.full_like(x0, N)
        yield Absorbing(N).transition(sigma), x0, x0
    T = torch.rand(4, 4, dtype=torch.float64, generator=rng) + 0.1  # another process, not symmetric
    yield T / T.sum(1, keepdim=True), torch.tensor([0, 3, 1]), torch.tensor([2, 3, 0])


@answer_key.mistake("Your ratio is upside down: q(y | x0) is the numerator and q(x | x0) the denominator.")
def _(T, x0, x):
    return 1 / answer_key.reference(T, x0, x)


@answer_key.mistake(
    "You use the rows of the noised characters, T[x]. q(. | x0) is the row of the clean character: T[x0]."
)
def _(T, x0, x):
    return answer_key.reference(T, x, x)


@answer_key.mistake(
    "You swapped x0 and x: you take the row of the noised character and divide by the entry of the clean one."
)
def _(T, x0, x):
    return answer_key.reference(T, x, x0)


@answer_key.mistake(
    "You divide by q(x0 | x0), the probability of no change. Divide by q(x | x0), the probability of the noised "
    "character."
)
def _(T, x0, x):
    return answer_key.reference(T, x0, x0)


@answer_key.mistake("These are the probabilities q(y | x0). To get a ratio, divide them by q(x | x0).")
def _(T, x0, x):
    return T[x0]


@answer_key.mistake("You use columns, T[:, x0]. Row = from, column = to, so what became of x0 is a row: T[x0].")
def _(T, x0, x):
    return answer_key.reference(T.T, x0, x)


@answer_key.mistake("These are the logarithms of the right ratios. The exercise asks for the ratios themselves.")
def _(T, x0, x):
    return answer_key.reference(T, x0, x).log()


@answer_key.mistake("You have 0 at the noised character. There y is x itself, so the ratio is 1.")
def _(T, x0, x):
    return answer_key.reference(T, x0, x).scatter(-1, x[:, None], 0.0)
