"""Exercises of notebook 03: the forward process."""

import torch
from torch import Tensor

from tinysedd.checks.engine import exercise, shares, tensor
from tinysedd.noise import LogLinear
from tinysedd.process import Absorbing, Uniform


def _process(N: int, absorbing: bool) -> Absorbing | Uniform:
    return Absorbing(N) if absorbing else Uniform(N)


# One character ------------------------------------------------------------------------------------------------------


@exercise("both processes, each in one table. All that follows comes from these rates.")
def rate_matrix(N, absorbing):
    return _process(N, absorbing).rate_matrix()


@rate_matrix.cases
def _(dice):
    for N in (2, 3, 4, 26):
        yield N, True
        yield N, False


@rate_matrix.mistake("Rows and columns have changed places: row = from, column = to, so that each row adds up to 0.")
def _(N, absorbing):
    return rate_matrix.reference(N, absorbing).T


@rate_matrix.mistake(
    "The diagonal is missing. A character leaves as fast as it arrives elsewhere: Q_aa is minus the sum of its row."
)
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    return Q - Q.diag().diag()


@rate_matrix.mistake(
    "Under uniform noise your rates are 1/(N - 1). A hit draws from all N characters, also the old one: 1/N."
)
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    return Q if absorbing else Q * N / (N - 1)


@rate_matrix.mistake(
    "Your diagonal is -1 under uniform noise. One hit in N changes nothing: each row must add up to 0, with 1/N - 1."
)
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    return Q if absorbing else Q - torch.eye(N) / N


@rate_matrix.mistake("Your mask does not stay a mask. Nothing leaves it: its row is all 0.")
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    if absorbing:
        Q[N, N] = -1
    return Q


@rate_matrix.mistake("Your mask does not stay a mask. Nothing leaves it: its row is all 0.")
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    if absorbing:
        Q[N, :N], Q[N, N] = 1 / N, -1
    return Q


@rate_matrix.mistake("Your mask does not stay a mask. Nothing leaves it: its row is all 0.")
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    if absorbing:
        Q[N, N] = 1
    return Q


@rate_matrix.mistake(
    "These are probabilities: each row adds up to 1. Rates add up to 0 in each row, with a negative diagonal."
)
def _(N, absorbing):
    Q = rate_matrix.reference(N, absorbing)
    return Q + torch.eye(len(Q))


@rate_matrix.mistake("You have the two processes the wrong way round.")
def _(N, absorbing):
    return rate_matrix.reference(N, not absorbing)


@rate_matrix.mistake("All signs are turned: a rate to another state is 0 or more, the diagonal 0 or less.")
def _(N, absorbing):
    return -rate_matrix.reference(N, absorbing)


@rate_matrix.mistake("The mask has no row and column of its own: absorbing noise has N + 1 states.")
def _(N, absorbing):
    return rate_matrix.reference(N, absorbing)[:N, :N]


@exercise("where a character is after any noise, for these two processes and for any other.")
def transition(Q, sigma):
    return torch.linalg.matrix_exp(sigma * Q)


@transition.cases
def _(dice):
    for N, absorbing, sigma in [(2, True, 1.0), (2, False, 0.5), (2, False, 0.0), (3, True, 0.01), (4, False, 4.0)]:
        yield _process(N, absorbing).rate_matrix(), sigma
    for sigma in (0.3, 2.0, 6.0):
        Q = torch.rand(3, 3, dtype=torch.float64, generator=dice)  # a process of its own, not symmetric
        yield Q - Q.sum(1).diag(), sigma


@transition.mistake(
    "This is exp() of each number by itself. The exponential of a matrix is a limit of matrix products: (I + d Q)^n."
)
def _(Q, sigma):
    return (sigma * Q).exp()


@transition.mistake(
    "This is one single step, I + sigma Q. For a longer way take many small ones: (I + sigma/n Q)^n with a large n."
)
def _(Q, sigma):
    return torch.eye(len(Q)) + sigma * Q


for n in (10, 100, 1000):

    @transition.mistake(
        f"These are {n} small steps: nearly right, but not to four digits. Take n = 2^20; squaring 20 times does it."
    )
    def _(Q, sigma, n=n):
        return torch.linalg.matrix_power(torch.eye(len(Q)) + sigma / n * Q, n)


@transition.mistake(
    "You took every number of I + sigma/n Q to the power n. A power of a matrix is made of matrix products, @."
)
def _(Q, sigma):
    return (torch.eye(len(Q)) + sigma / 2**20 * Q) ** (2**20)


@transition.mistake("Rows and columns have changed places: row = from, column = to.")
def _(Q, sigma):
    return torch.linalg.matrix_exp(sigma * Q).T


@transition.mistake("sigma has no effect in your function: it gives exp(Q), not exp(sigma Q).")
def _(Q, sigma):
    return torch.linalg.matrix_exp(Q)


@transition.mistake("The sign is turned: this is exp(-sigma Q). There are negative probabilities in it.")
def _(Q, sigma):
    return torch.linalg.matrix_exp(-sigma * Q)


@transition.mistake("The identity is missing: small steps are I + sigma/n Q, and the series begins with I.")
def _(Q, sigma):
    return torch.linalg.matrix_exp(sigma * Q) - torch.eye(len(Q))


@exercise("the share of characters hit is (1 - eps) t, a straight line.")
def log_linear(t, eps):
    return LogLinear(eps).total(t), LogLinear(eps).rate(t)


@log_linear.cases
def _(dice):
    yield torch.tensor([0.5], dtype=torch.float64), 0.1
    yield torch.tensor([0.0, 1.0], dtype=torch.float64), 1e-3
    yield torch.tensor(0.9, dtype=torch.float64), 0.5
    yield torch.rand(5, dtype=torch.float64, generator=dice), 1e-3
    yield torch.rand(4, 1, dtype=torch.float64, generator=dice), 0.25


@log_linear.mistake("The sign of the total noise is turned: the logarithm of what is below 1 is negative.")
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return -total, rate


@log_linear.mistake("The sign of the rate is turned. Noise only grows: its rate is above 0.")
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return total, -rate


@log_linear.mistake(
    "Both signs are turned: the logarithm of what is below 1 is negative, and a minus stands before it."
)
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return -total, -rate


@log_linear.mistake("The inner derivative is missing in the rate: (1 - eps) t has the derivative 1 - eps, not 1.")
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return total, rate / (1 - eps)


@log_linear.mistake("eps is missing: at t = 1 your noise is infinite. It is (1 - eps) t that is hit, not t.")
def _(t, eps):
    return -torch.log(1 - t), 1 / (1 - t)


@log_linear.mistake("Your total is the share hit, (1 - eps) t. The noise is -log of what is not hit.")
def _(t, eps):
    return (1 - eps) * t, log_linear.reference(t, eps)[1]


@log_linear.mistake("Your total is the share hit, (1 - eps) t. The noise is -log of what is not hit.")
def _(t, eps):
    return (1 - eps) * t, torch.full_like(t, 1 - eps)


@log_linear.mistake("Total and rate have changed places: give (total, rate).")
def _(t, eps):
    return log_linear.reference(t, eps)[::-1]


@log_linear.mistake("Your rate is total / t, the average until then. The rate is the derivative, the slope at t.")
def _(t, eps):
    total, _ = log_linear.reference(t, eps)
    return total, total / t


@log_linear.mistake("This is the logarithm to base 10. Noise is counted with the natural one, torch.log.")
def _(t, eps):
    total, rate = log_linear.reference(t, eps)
    return total / torch.log(torch.tensor(10.0)), rate


# A whole text -------------------------------------------------------------------------------------------------------

DRAWS = 7200  # of each character at each sigma; the tolerance is for 6000, which makes it 6 standard errors
TABLES = "the shares of what comes out (to the right), for each character that went in (down); a table for each sigma"
WHOLE = "A text is hit as a whole, or not at all: draw a random number for each character, (B, L) of them."
PLACES = "All texts are hit at the same places: draw a random number for each character of each text, (B, L) of them."
ONE_CHARACTER = "All hit characters of a text become the same one: draw a new character for each place, (B, L) of them."
SAME_CHARACTERS = "The new characters are the same in all texts: draw one for each place of each text, (B, L) of them."


def _texts(characters: int, sigma: list[float]) -> tuple[Tensor, Tensor]:
    """Equal texts (B, L) in which so many characters come DRAWS times at each sigma, like beside like; sigma (B,)."""
    row = torch.arange(characters).repeat_interleave(DRAWS // sigma.count(sigma[0]))
    return row.repeat(len(sigma), 1), torch.tensor(sigma, dtype=torch.float64)


def _outcomes(process: Absorbing | Uniform, result: object, x0: Tensor, sigma: Tensor) -> Tensor:
    """How often characters became states, at each sigma (K, N, S); ValueError where chance is not independent."""
    x, S = tensor(result), process.num_states
    if x.shape != x0.shape:
        raise ValueError(f"The result should have the shape of x0, {tuple(x0.shape)}; yours has {tuple(x.shape)}.")
    if x.dtype != torch.int64:
        raise ValueError("States are whole numbers (torch.int64), for they are used to index; yours are not.")
    if x.min() < 0 or x.max() >= S:
        raise ValueError(f"States are 0 to {S - 1}; among yours there is {int(x.min() if x.min() < 0 else x.max())}.")
    if min(x.shape) > 1:
        _ask_for_independence(process, x, x0)
    tables = []
    for level in sigma.unique():
        y, y0 = x[sigma == level], x0[sigma == level]
        tables.append(torch.stack([torch.bincount(y[y0 == a], minlength=S) / (y0 == a).sum() for a in y0.unique()]))
    return torch.stack(tables).double()


def _ask_for_independence(process: Absorbing | Uniform, x: Tensor, x0: Tensor) -> None:
    """For equal texts x0 (B, L) whose noise is neither very small nor very large on average."""
    changed = x != x0
    share = changed.double().mean(1)  # of each text
    highest = 1 - 1 / process.num_tokens if process.mask is None else 1.0  # where every character is hit
    if ((share == 0) | ((share - highest).abs() < 0.1)).all() and share.min() == 0 < share.max():
        raise ValueError(WHOLE)
    if changed.any() and process.mask is None:
        smallest, largest = x.where(changed, process.num_tokens), x.where(changed, -1)
        if (smallest.amin(1) >= largest.amax(1)).all():
            raise ValueError(ONE_CHARACTER)
        if (smallest.amin(0) >= largest.amax(0)).all():
            raise ValueError(SAME_CHARACTERS)
    if (~changed).all(0).double().mean() - (1 - share).prod() > 0.05:  # places that no text was hit at
        raise ValueError(PLACES)


@exercise("each character is masked by itself, with probability 1 - e^-sigma.", tolerance=shares(6000), measured=TABLES)
def perturb_absorbing(x0, sigma, mask, generator):
    return Absorbing(mask).perturb(x0, sigma, generator)


@perturb_absorbing.cases
def _(dice):
    yield torch.tensor([[0], [1]]), torch.tensor([0.0, 50.0], dtype=torch.float64), 2, dice
    yield torch.tensor([[0, 1]]), torch.tensor([0.0], dtype=torch.float64), 2, dice
    yield *_texts(2, [1.0] * 10), 2, torch.Generator().manual_seed(1)
    yield *_texts(3, [0.1, 2.0, 1.0] * 6), 4, torch.Generator().manual_seed(2)


@perturb_absorbing.measure
def _(result, x0, sigma, mask, generator):
    return _outcomes(Absorbing(mask), result, x0, sigma)


@perturb_absorbing.exact
def _(x0, sigma, mask, generator):
    return _expected(Absorbing(mask), x0, sigma)


def _expected(process: Absorbing | Uniform, x0: Tensor, sigma: Tensor) -> Tensor:
    if len(x0) == 2:  # two texts with a sigma and a character each
        return process.transition(sigma)[[0, 1], x0[:, 0]][:, None].round(decimals=12)
    return process.transition(sigma.unique())[:, x0.unique()]


@exercise(
    "each character is drawn anew by itself, from all N, with probability 1 - e^-sigma.",
    tolerance=shares(6000),
    measured=TABLES,
)
def perturb_uniform(x0, sigma, N, generator):
    return Uniform(N).perturb(x0, sigma, generator)


@perturb_uniform.cases
def _(dice):
    yield *_texts(2, [0.0]), 2, torch.Generator().manual_seed(1)
    yield *_texts(3, [0.7] * 10), 3, torch.Generator().manual_seed(2)
    yield *_texts(3, [0.1, 2.0, 1.0] * 6), 4, torch.Generator().manual_seed(3)  # character 3 is only ever drawn
    x0, sigma = _texts(2, [0.0])
    yield x0.T, sigma.expand(x0.shape[1]).clone(), 2, torch.Generator().manual_seed(4)


@perturb_uniform.measure
def _(result, x0, sigma, N, generator):
    return _outcomes(Uniform(N), result, x0, sigma)


@perturb_uniform.exact
def _(x0, sigma, N, generator):
    return _expected(Uniform(N), x0, sigma)


def _rand(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, dtype=torch.float64, generator=generator)


def _hit(sigma: Tensor) -> Tensor:
    """The probability (B, 1) that a character is hit."""
    return 1 - torch.exp(-sigma)[:, None]


HITS = [  # which characters (B, L) are hit, in ways that are wrong under either process
    (
        "You use sigma as a probability. It is the mean number of hits; a character escapes all of them with e^-sigma.",
        lambda x0, sigma, dice: _rand(dice, *x0.shape) < sigma[:, None],
    ),
    (
        "The hit and the spared have changed places: e^-sigma is the probability to be spared, 1 - e^-sigma to be hit.",
        lambda x0, sigma, dice: _rand(dice, *x0.shape) > _hit(sigma),
    ),
    (WHOLE, lambda x0, sigma, dice: (_rand(dice, len(x0), 1) < _hit(sigma)).expand(x0.shape)),
    (PLACES, lambda x0, sigma, dice: _rand(dice, x0.shape[1]) < _hit(sigma)),
    (
        "Every text gets the noise of the first one. sigma has one number for each text: sigma[:, None] is (B, 1).",
        lambda x0, sigma, dice: _rand(dice, *x0.shape) < _hit(sigma[:1]),
    ),
    (
        "Nothing changes, whatever sigma is. Is your probability below 0? It should be 1 - e^-sigma.",
        lambda x0, sigma, dice: torch.zeros_like(x0, dtype=torch.bool),
    ),
]
for diagnosis, hits in HITS:

    @perturb_absorbing.mistake(diagnosis)
    def _(x0, sigma, mask, generator, hits=hits):
        return torch.where(hits(x0, sigma, generator), mask, x0)

    @perturb_uniform.mistake(diagnosis)
    def _(x0, sigma, N, generator, hits=hits):
        hit = hits(x0, sigma, generator)
        return torch.where(hit, torch.randint(N, x0.shape, generator=generator), x0)


@perturb_absorbing.mistake("Every character is masked. It should be so with probability 1 - e^-sigma only.")
def _(x0, sigma, mask, generator):
    return torch.full_like(x0, mask)


@perturb_absorbing.mistake(
    "Hit characters become the last character, N - 1. The mask is a state of its own: the number `mask`."
)
def _(x0, sigma, mask, generator):
    return torch.where(_rand(generator, *x0.shape) < _hit(sigma), mask - 1, x0)


@perturb_uniform.mistake(
    "A hit always changes the character. It draws from all N characters, and may draw the old one again."
)
def _(x0, sigma, N, generator):
    shift = torch.randint(1, N, x0.shape, generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit(sigma), (x0 + shift) % N, x0)


@perturb_uniform.mistake(ONE_CHARACTER)
def _(x0, sigma, N, generator):
    new = torch.randint(N, (len(x0), 1), generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit(sigma), new, x0)


@perturb_uniform.mistake(SAME_CHARACTERS)
def _(x0, sigma, N, generator):
    new = torch.randint(N, x0.shape[1:], generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit(sigma), new, x0)


@perturb_uniform.mistake("The last character, N - 1, is never drawn: torch.randint(N, ...) gives 0 to N - 1.")
def _(x0, sigma, N, generator):
    new = torch.randint(N - 1, x0.shape, generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit(sigma), new, x0)


@perturb_uniform.mistake(
    "Too few are hit: you count twice that a hit may draw the old one. Hit with 1 - e^-sigma, then draw from all N."
)
def _(x0, sigma, N, generator):
    new = torch.randint(N, x0.shape, generator=generator)
    return torch.where(_rand(generator, *x0.shape) < _hit(sigma) * (N - 1) / N, new, x0)


@perturb_uniform.mistake("Every character is drawn anew. It should be so with probability 1 - e^-sigma only.")
def _(x0, sigma, N, generator):
    return torch.randint(N, x0.shape, generator=generator)


# The answer key -----------------------------------------------------------------------------------------------------


@exercise("the right ratios, if the text that you began with were the only one.")
def answer_key(T, x0, x):
    q = T[x0]
    return q / q.gather(-1, x[:, None])


@answer_key.cases
def _(dice):
    for N, L, sigma in [(2, 1, 0.5), (3, 2, 1.0), (4, 3, 0.01), (5, 4, 3.0)]:
        x0 = torch.randint(N, (L,), generator=dice)
        for process in (Absorbing(N), Uniform(N)):
            x = process.perturb(x0[None], torch.ones(1), dice)[0]
            yield process.transition(sigma), x0, x
        yield Uniform(N).transition(sigma), x0, (x0 + 1) % N  # every character hit
        yield Absorbing(N).transition(sigma), x0, torch.full_like(x0, N)
        yield Absorbing(N).transition(sigma), x0, x0
    T = torch.rand(4, 4, dtype=torch.float64, generator=dice) + 0.1  # a process of its own, not symmetric
    yield T / T.sum(1, keepdim=True), torch.tensor([0, 3, 1]), torch.tensor([2, 3, 0])


@answer_key.mistake("This is the ratio upside down: q(y | x0) belongs above the line, q(x | x0) below it.")
def _(T, x0, x):
    return 1 / answer_key.reference(T, x0, x)


@answer_key.mistake("You took the rows of what it is now, T[x]. q(. | x0) is the row of what it was: T[x0].")
def _(T, x0, x):
    return answer_key.reference(T, x, x)


@answer_key.mistake("You took the rows of what it is now and divide by what it was: x0 and x have changed places.")
def _(T, x0, x):
    return answer_key.reference(T, x, x0)


@answer_key.mistake(
    "You divide by q(x0 | x0), the probability of no change. Divide by q(x | x0), of the character that is there now."
)
def _(T, x0, x):
    return answer_key.reference(T, x0, x0)


@answer_key.mistake("These are the probabilities q(y | x0). A ratio divides them by q(x | x0).")
def _(T, x0, x):
    return T[x0]


@answer_key.mistake("You took columns, T[:, x0]. Row = from, column = to: what became of x0 is a row, T[x0].")
def _(T, x0, x):
    return answer_key.reference(T.T, x0, x)


@answer_key.mistake("These are the logarithms of the right ratios. The exercise asks for the ratios themselves.")
def _(T, x0, x):
    return answer_key.reference(T, x0, x).log()


@answer_key.mistake("At the character that is there now you have 0. There y is x itself, with the ratio 1.")
def _(T, x0, x):
    return answer_key.reference(T, x0, x).scatter(-1, x[:, None], 0.0)
