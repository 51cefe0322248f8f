"""Exercises of notebooks 01 and 02: probability ratios, and the neighbors they compare."""

import torch
from torch import Tensor

from tinysedd.checks.engine import describe, exercise, tensor


def _table(rng: torch.Generator, N: int, L: int) -> Tensor:
    """A random pmf over texts of L characters from an alphabet of N, with no probability equal to 0."""
    p = torch.rand((N,) * L, dtype=torch.float64, generator=rng) + 0.05
    return p / p.sum()


def _text(rng: torch.Generator, N: int, L: int) -> Tensor:
    return torch.randint(N, (L,), generator=rng)


SIZES = [(2, 1), (3, 2), (2, 3), (4, 3), (5, 2)]  # N characters, L positions

# 01 ----------------------------------------------------------------------------------------------------------------


@exercise("your numbers are 0 or more and add up to 1, so they are a pmf.")
def normalize(weights):
    return weights / weights.sum()


@normalize.cases
def _(rng):
    yield (torch.tensor([3.0], dtype=torch.float64),)
    yield (torch.tensor([1.0, 0.0, 3.0], dtype=torch.float64),)
    for shape in [(5,), (2, 3), (3, 3, 3)]:
        yield (10 * torch.rand(shape, dtype=torch.float64, generator=rng),)
    yield (torch.tensor([[1e-6, 2e-6], [1e-6, 4e-6]], dtype=torch.float64),)


@normalize.mistake(
    "You divide by the square root of the sum of squares, which gives a vector length 1. A pmf must sum to 1, so "
    "divide by the sum."
)
def _(weights):
    return weights / weights.square().sum().sqrt()


@normalize.mistake(
    "You divide by the largest weight, so that weight becomes 1. Divide by the sum of all weights, so that the total "
    "becomes 1."
)
def _(weights):
    return weights / weights.max()


@normalize.mistake(
    "You divide each row by its own sum. A pmf over a table has a single Z: divide by the sum of the whole table."
)
def _(weights):
    return weights / weights.sum(-1, keepdim=True)


@normalize.mistake(
    "You divide each column by its own sum. A pmf over a table has a single Z: divide by the sum of the whole table."
)
def _(weights):
    return weights / weights.sum(0, keepdim=True)


@normalize.mistake(
    "This is a softmax, which applies exp() to the weights first. The weights are not logarithms, so divide them as "
    "they are."
)
def _(weights):
    return weights.flatten().softmax(0).view_as(weights)


@normalize.mistake("You divide by the number of weights. Divide by their sum.")
def _(weights):
    return weights / weights.numel()


@normalize.mistake("You return Z itself, the sum of all weights. Divide each weight by Z.")
def _(weights):
    return weights.sum()


@exercise("you computed every ratio p(neighbor) / p(x) in one table, the concrete score.")
def concrete_score(p, x):
    L, N = p.ndim, p.shape[0]
    neighbors = x.repeat(L, N, 1)  # (L, N, L)
    neighbors[range(L), :, range(L)] = torch.arange(N)
    return p[neighbors.unbind(-1)] / p[tuple(x)]


@concrete_score.cases
def _(rng):
    for N, L in SIZES:
        yield _table(rng, N, L), _text(rng, N, L)
    p = _table(rng, 3, 2)
    p[0, 1] = 0  # an impossible neighbor
    yield p, torch.tensor([0, 2])


@concrete_score.mistake("You subtract p(x). The exercise asks for a ratio, so divide by p(x).")
def _(p, x):
    return (concrete_score.reference(p, x) - 1) * p[tuple(x)]


@concrete_score.mistake("Your ratio is upside down: p(neighbor) is the numerator and p(x) the denominator.")
def _(p, x):
    return 1 / concrete_score.reference(p, x)


@concrete_score.mistake("These are the probabilities of the neighbors. A score is a ratio: divide them by p(x).")
def _(p, x):
    return concrete_score.reference(p, x) * p[tuple(x)]


@concrete_score.mistake(
    "Each row adds up to 1, so these are conditional probabilities. Divide by p(x), not by the sum of the row."
)
def _(p, x):
    s = concrete_score.reference(p, x)
    return s / s.sum(-1, keepdim=True)


@concrete_score.mistake("These are the logarithms of the right ratios. The exercise asks for the ratios themselves.")
def _(p, x):
    return concrete_score.reference(p, x).log()


@concrete_score.mistake(
    "Your table is transposed. It should be (L, N): a row for each position, a column for each character."
)
def _(p, x):
    return concrete_score.reference(p, x).T


@concrete_score.mistake(
    "You have 0 at the character that x already has. There the neighbor is x itself, so the ratio is p(x) / p(x) = 1."
)
def _(p, x):
    return concrete_score.reference(p, x).scatter(1, x[:, None], 0.0)


@concrete_score.mistake(
    "Your changes accumulate: when you change position 1, position 0 is still changed. Start each neighbor from a "
    "fresh copy of x."
)
def _(p, x):
    y, s = x.clone(), torch.zeros(p.ndim, p.shape[0], dtype=torch.float64)
    for i in range(p.ndim):
        for c in range(p.shape[0]):
            y[i] = c
            s[i, c] = p[tuple(y)] / p[tuple(x)]
    return s


class _Ratio:
    """p(y) / p(x) from a table, for texts (tuples) that differ in exactly one position; ValueError otherwise."""

    __name__ = "ratio"

    def __init__(self, p: Tensor):
        self.p = p

    def __call__(self, y, x) -> float:
        if sum(a != b for a, b in zip(x, y)) != 1:
            raise ValueError(f"ratio(y, x) was called with y = {tuple(y)} and x = {tuple(x)}, which are not neighbors")
        return float(self.p[tuple(y)] / self.p[tuple(x)])


@exercise("the ratios of the steps multiply to p(end) / p(start), and you never needed Z.")
def ratio_along_path(ratio, path):
    total = 1.0
    for x, y in zip(path, path[1:]):
        total *= ratio(y, x)
    return total


@ratio_along_path.cases
def _(rng):
    for steps in (0, 1, 2, 3, 5):
        path: list[tuple[int, ...]] = [(0, 1, 2)]
        for k in range(steps):
            x = list(path[-1])
            x[k % 3] = (x[k % 3] + 1 + k % 2) % 4
            path.append(tuple(x))
        yield _Ratio(_table(rng, 4, 3)), path


def _steps(ratio, path):
    return [ratio(y, x) for x, y in zip(path, path[1:])]


@ratio_along_path.mistake(
    "You add the ratios. Ratios multiply: twice as probable, then three times as probable, makes six times as probable."
)
def _(ratio, path):
    return float(sum(_steps(ratio, path)))


@ratio_along_path.mistake("This is p(start) / p(end), upside down. For a step from x to y, call ratio(y, x).")
def _(ratio, path):
    return 1 / ratio_along_path.reference(ratio, path)


@ratio_along_path.mistake("You leave out the last step. A path of n texts has n - 1 steps.")
def _(ratio, path):
    return ratio_along_path.reference(ratio, path[:-1])


@ratio_along_path.mistake("You leave out the first step. Start with the step from path[0] to path[1].")
def _(ratio, path):
    return ratio_along_path.reference(ratio, path[1:])


@ratio_along_path.mistake(
    "You start the product at 0, and 0 times anything is 0. Start at 1, the value of an empty product."
)
def _(ratio, path):
    return 0.0


@ratio_along_path.mistake(
    "You return the logarithm of the right result. Adding logarithms is fine, but take exp() at the end."
)
def _(ratio, path):
    return torch.tensor(ratio_along_path.reference(ratio, path)).log()


@ratio_along_path.mistake("You return the ratio of the last step only. Keep a running product over all steps.")
def _(ratio, path):
    return ratio(path[-1], path[-2]) if len(path) > 1 else 1.0


@ratio_along_path.mistake(
    "You compare each text with path[0], but ratio() only knows neighbors. Go from each text to the next one in the "
    "path."
)
def _(ratio, path):
    total = 1.0
    for y in path[1:]:
        total *= ratio(y, path[0])
    return total


@ratio_along_path.mistake(
    "You ask for the ratio of the two ends directly, but ratio() only knows neighbors. Multiply the ratios of the "
    "steps."
)
def _(ratio, path):
    return ratio(path[-1], path[0])


@exercise("one row of ratios gave you a pmf over characters. Its Z has N terms, not N to the power of L.")
def conditional(log_score, i):
    return log_score[i].softmax(-1)


@conditional.cases
def _(rng):
    for N, L in SIZES:
        yield concrete_score.reference(_table(rng, N, L), _text(rng, N, L)).log(), int(_text(rng, L, 1))
    some = concrete_score.reference(_table(rng, 4, 2), torch.tensor([1, 0])).log()
    some[1, 2:] = -torch.inf  # impossible characters
    yield some, 1
    yield torch.tensor([[0.0, 3.0, -2.0], [-1.0, 0.0, 700.0], [5.0, 0.0, 1.0]], dtype=torch.float64), 0


@conditional.mistake(
    "You divide by the sum over the whole table. Only row i describes position i, and its N numbers should add up to 1."
)
def _(log_score, i):
    return (log_score[i] - log_score.logsumexp((0, 1))).exp()


@conditional.mistake("These are the right ratios, but they do not add up to 1. Divide them by their sum.")
def _(log_score, i):
    return log_score[i].exp()


@conditional.mistake(
    "You divide the log-scores by their sum. Take exp() first: you need the sum of the ratios, not of their logarithms."
)
def _(log_score, i):
    return log_score[i] / log_score[i].sum()


@conditional.mistake("You leave out the current character, whose ratio is 1. It is one of the N choices too.")
def _(log_score, i):
    s = log_score[i].exp()
    s = s.where(log_score[i] != 0, 0.0)
    return s / s.sum()


@conditional.mistake("You took a column of the table. Position i is row i: log_score[i].")
def _(log_score, i):
    return log_score[:, i].softmax(-1)


@conditional.mistake("These are log-probabilities. The exercise asks for probabilities.")
def _(log_score, i):
    return log_score[i].log_softmax(-1)


@conditional.mistake("You return the pmfs of all positions. The exercise asks for position i only.")
def _(log_score, i):
    return log_score.softmax(-1)


# 02 ----------------------------------------------------------------------------------------------------------------


@exercise("it compares the texts position by position.")
def hamming(a, b):
    return sum(c != d for c, d in zip(a, b))


@hamming.cases
def _(rng):
    yield "a", "a"
    yield "a", "b"
    yield "abc", "abd"
    yield "abca", "bcab"
    yield "stop", "post"
    yield "the cat sat on the mat.", "a cat sat on the mat.  "
    for L in (5, 12, 40):
        a, b = (_text(rng, 4, L).tolist() for _ in range(2))
        yield "".join("abc "[c] for c in a), "".join("abc "[c] for c in b)


@hamming.mistake("You count the positions that agree. The Hamming distance counts those that differ.")
def _(a, b):
    return len(a) - hamming.reference(a, b)


@hamming.mistake("You leave out the last position. A text of L characters has positions 0 to L - 1.")
def _(a, b):
    return hamming.reference(a[:-1], b[:-1])


@hamming.mistake("You leave out the first position. Positions start at 0.")
def _(a, b):
    return hamming.reference(a[1:], b[1:])


@hamming.mistake(
    "You return the fraction of positions that differ. The Hamming distance is their number: do not divide by the "
    "length."
)
def _(a, b):
    return hamming.reference(a, b) / len(a)


@hamming.mistake(
    "You return whether the texts differ. The Hamming distance is the number of positions where they differ."
)
def _(a, b):
    return a != b


@hamming.mistake(
    "You compare which characters occur. Their positions matter too: 'stop' and 'post' differ in all 4 positions."
)
def _(a, b):
    return len(set(a) ^ set(b))


@hamming.mistake(
    "You compare which characters occur. Their positions matter too: 'stop' and 'post' differ in all 4 positions."
)
def _(a, b):
    return len(set(a) - set(b))


@hamming.mistake("You return the position of the first difference. Keep going to the end, and count all differences.")
def _(a, b):
    return next((i for i, (c, d) in enumerate(zip(a, b)) if c != d), len(a))


@hamming.mistake(
    "This is the edit distance, which can shift letters. The Hamming distance compares each position with the same "
    "position."
)
def _(a, b):
    row = list(range(len(b) + 1))
    for i, c in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, d in enumerate(b, 1):
            before, row[j] = row[j], min(before + (c != d), row[j] + 1, row[j - 1] + 1)
    return row[-1]


@exercise("you found all L (N - 1) texts that differ in one position, each exactly once.")
def neighbors(x, N):
    L = len(x)
    y = x.repeat(L, N, 1)  # (L, N, L)
    y[range(L), :, range(L)] = torch.arange(N)
    return y[torch.arange(N) != x[:, None]]  # (L (N - 1), L), ordered by position, then character


@neighbors.cases
def _(rng):
    yield torch.tensor([1]), 3
    yield torch.tensor([0, 1]), 2
    yield torch.tensor([0, 0]), 3
    yield torch.tensor([2, 2, 2]), 3
    for N, L in [(4, 3), (3, 5), (6, 4)]:
        yield _text(rng, N, L), N


@neighbors.measure
def _(result, x, N):
    """Sort by position and character of the first change, like the reference: any order counts as right."""
    y = tensor(result)
    if y.ndim != 2 or y.shape[1] != len(x) or y.is_floating_point():
        return y

    def first_change(row):
        changed = (row != x).nonzero().flatten().tolist()
        return (changed[0], int(row[changed[0]]), len(changed)) if changed else (-1, 0, 0)

    return torch.stack(sorted(y, key=first_change)) if len(y) else y


@neighbors.mistake(
    "Your list contains x itself, which is at distance 0. A neighbor replaces one character with a different one."
)
def _(x, N):
    return torch.cat([x[None], neighbors.reference(x, N)])


@neighbors.mistake(
    "Your list contains x itself, once for each position. It is at distance 0, so skip the character that is already "
    "there."
)
def _(x, N):
    return torch.cat([x.repeat(len(x), 1), neighbors.reference(x, N)])


@neighbors.mistake(
    "Your changes accumulate: some of your texts differ from x in more than one position. Start each one from a fresh "
    "copy of x."
)
def _(x, N):
    y, found = x.clone(), []
    for i in range(len(x)):
        for c in range(N):
            if c != x[i]:
                y[i] = c
                found.append(y.clone())
    return torch.stack(found)


@neighbors.mistake("All your rows are the same tensor, changed again and again. Store a copy of each text: y.clone().")
def _(x, N):
    y, found = x.clone(), []
    for i in range(len(x)):
        for c in range(N):
            if c != x[i]:
                y[i] = c
                found.append(y)
        y[i] = x[i]
    return torch.stack(found)


@neighbors.mistake("You never try the last character, N - 1. range(N) goes from 0 to N - 1.")
def _(x, N):
    y = neighbors.reference(x, N)
    return y[~((y != x) & (y == N - 1)).any(-1)]


@neighbors.mistake("You never try character 0. The characters are 0 to N - 1.")
def _(x, N):
    y = neighbors.reference(x, N)
    return y[~((y != x) & (y == 0)).any(-1)]


@neighbors.mistake("You change only the first position. Change each of the L positions in turn.")
def _(x, N):
    return neighbors.reference(x, N)[: N - 1]


@neighbors.mistake(
    "Your neighbors are grouped by position, (L, N - 1, L). Flatten the groups into one list, (L (N - 1), L)."
)
def _(x, N):
    return neighbors.reference(x, N).view(len(x), N - 1, len(x))


@neighbors.mistake("These are all N to the power of L texts. Neighbors differ from x in exactly one position.")
def _(x, N):
    return torch.cartesian_prod(*[torch.arange(N)] * len(x)).view(-1, len(x))


@exercise("you know which position to change, and into what. That is one greedy step.")
def best_jump(log_score, x):
    others = log_score.scatter(-1, x[:, None], -torch.inf)
    return divmod(int(others.argmax()), log_score.shape[1])


@best_jump.cases
def _(rng):
    for N, L in SIZES:
        for shift in (-3.0, 0.0):  # -3: all neighbors are less probable than the text
            x = _text(rng, N, L)
            log_score = 5.6 * torch.rand(L, N, dtype=torch.float64, generator=rng) - 2.8 + shift
            yield log_score.scatter(-1, x[:, None], 0.0), x
    log_score = torch.full((3, 4), -torch.inf, dtype=torch.float64)
    log_score[range(3), [1, 0, 3]], log_score[2, 1] = 0.0, -7.5
    yield log_score, torch.tensor([1, 0, 3])
    log_score = torch.tensor([[-1.0, 0, -2], [0, -3, -0.5]], dtype=torch.float64)  # a neighbor as probable as x
    yield log_score, torch.tensor([1, 1])


@best_jump.measure
def _(result, log_score, x):
    """The position and the character as integers, from a pair of numbers in any form."""
    pair = tensor(result)
    if pair.shape != (2,):
        raise ValueError(f"A pair (position, character) was expected, but you returned {describe(result)}.")
    return pair


@best_jump.mistake(
    "You skip every entry that is 0. A neighbor as probable as x has log-score 0 too, so skip entry (i, x[i]) in each "
    "row, whatever its value."
)
def _(log_score, x):
    others = torch.where(log_score == 0, -torch.inf, log_score)
    return divmod(int(others.argmax()), log_score.shape[1])


@best_jump.mistake(
    "Your best jump may be no jump: the entries of x itself are 0 in each row and can be the largest. Skip them, "
    "because a jump must change x."
)
def _(log_score, x):
    return divmod(int(log_score.argmax()), log_score.shape[1])


@best_jump.mistake("You swapped position and character: return (i, y).")
def _(log_score, x):
    return best_jump.reference(log_score, x)[::-1]


@best_jump.mistake("This is the worst jump, with the smallest log-score. Return the jump with the largest.")
def _(log_score, x):
    return divmod(int(log_score.scatter(-1, x[:, None], torch.inf).argmin()), log_score.shape[1])


@best_jump.mistake(
    "You convert the flat index with the wrong number. The table is stored row by row, with N entries in each row: "
    "divide by N."
)
def _(log_score, x):
    return divmod(
        log_score.shape[1] * best_jump.reference(log_score, x)[0] + best_jump.reference(log_score, x)[1], len(x)
    )


@best_jump.mistake(
    "You only accept a log-score above 0. Even when every jump makes the text less probable, one of them is the best."
)
def _(log_score, x):
    others = log_score.scatter(-1, x[:, None], -torch.inf)
    return best_jump.reference(log_score, x) if others.max() > 0 else None


@exercise("no ladder between these words is shorter, and you return None when there is no ladder.")
def shortest_ladder(words, start, goal):
    before, queue = {start: None}, [start]
    for x in queue:
        for y in words:
            if y not in before and hamming.reference(x, y) == 1:
                before[y] = x
                queue.append(y)
    path = [goal]
    while path[-1] in before and before[path[-1]]:
        path.append(before[path[-1]])
    return path[::-1] if goal in before else None


@shortest_ladder.cases
def _(rng):
    few = ["cat", "cot", "dot", "dog", "cog", "bat", "bag", "bog", "ice", "off"]
    yield ["cat"], "cat", "cat"
    yield ["cat", "cot"], "cat", "cot"
    yield ["off", "cat"], "off", "cat"
    yield few, "cat", "dog"
    yield few, "bag", "dot"
    yield few, "cat", "ice"
    # A longer ladder (caa, cab, cbb) leads to the goal too, and a depth-first search finds that one.
    yield ["aaa", "aab", "abb", "bbb", "baa", "caa", "cab", "cbb"], "aaa", "bbb"
    yield ["sit", "six", "sax", "tax", "tan", "ten", "sat", "fat", "fan", "fin", "tin"], "six", "ten"
    for _ in range(3):
        some = {"".join("abcd"[c] for c in _text(rng, 4, 3)) for _ in range(30)}
        some = sorted(some)
        yield some, some[0], some[-1]
        yield some[::-1], some[3], some[-4]


@shortest_ladder.measure
def _(result, words, start, goal):
    """A description of the ladder by its length alone, because there may be several shortest ladders."""
    if result is None:
        return "None"
    if not isinstance(result, list | tuple) or not all(isinstance(word, str) for word in result):
        raise ValueError(f"A list of words or None was expected, but you returned {describe(result)}.")
    if not result:
        raise ValueError("You returned an empty list. When there is no ladder, return None.")
    if result[0] != start or result[-1] != goal:
        raise ValueError(
            f"The ladder should go from {start!r} to {goal!r}; yours goes from {result[0]!r} to {result[-1]!r}."
        )
    for x, y in zip(result, result[1:]):
        if len(x) != len(y) or hamming.reference(x, y) != 1:
            raise ValueError(f"{x!r} → {y!r} is not a step: exactly one letter must change.")
        if y not in words:
            raise ValueError(f"{y!r} is not one of the words.")
    return f"a ladder of {len(result)} words"


def _search(words, start, goal, near, last=False):
    """A ladder, found by extending the ladder that was found first (or last)."""
    ladders = [[start]]
    seen = {start}
    while ladders:
        ladder = ladders.pop(-1 if last else 0)
        if ladder[-1] == goal:
            return ladder
        for y in words:
            if y not in seen and near(ladder[-1], y):
                seen.add(y)
                ladders.append([*ladder, y])
    return None


def _one_letter(x, y):
    return hamming.reference(x, y) == 1


@shortest_ladder.mistake(
    "This is a ladder, but not always a shortest one. Visit all words one step away, then all words two steps away: "
    "extend the ladder that you found first."
)
def _(words, start, goal):
    return _search(words, start, goal, _one_letter, last=True)


@shortest_ladder.mistake(
    "You always move to the word closest to the goal. That word may be a dead end: keep all ladders in a queue, not "
    "just one."
)
def _(words, start, goal):
    ladder = [start]
    while ladder[-1] != goal:
        steps = [y for y in words if y not in ladder and _one_letter(ladder[-1], y)]
        if not steps:
            return None
        ladder.append(min(steps, key=lambda y: hamming.reference(y, goal)))
    return ladder


@shortest_ladder.mistake("You leave out the start. A ladder from cat to dog begins with cat.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and ladder[1:]


@shortest_ladder.mistake("You leave out the goal. A ladder from cat to dog ends with dog.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and ladder[:-1]


@shortest_ladder.mistake("Your ladder goes from the goal to the start: reverse it.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and ladder[::-1]


@shortest_ladder.mistake("You return the number of steps. The exercise asks for the ladder itself, a list of words.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and len(ladder) - 1


@shortest_ladder.mistake("You return the number of words. The exercise asks for the ladder itself, a list of words.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and len(ladder)


@shortest_ladder.mistake(
    "Right when there is a ladder. When there is none, return None: check whether your search has run out of words."
)
def _(words, start, goal):
    return shortest_ladder.reference(words, start, goal) or [start, goal]


@shortest_ladder.mistake("Right when there is a ladder. When there is none, return None, not an empty list.")
def _(words, start, goal):
    return shortest_ladder.reference(words, start, goal) or []


@shortest_ladder.mistake(
    "Right when there is a ladder. When there is none, your queue runs empty: stop then, and return None."
)
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder or [].pop(0)


@shortest_ladder.mistake(
    "Right when there is a ladder. When there is none, you never reach the goal: check for that, and return None."
)
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder or {}[goal]
