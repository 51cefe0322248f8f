"""Exercises of notebooks 01 and 02: ratios, and the neighbors that they compare."""

import torch
from torch import Tensor

from tinysedd.checks.engine import exercise, kind, tensor


def _table(dice: torch.Generator, N: int, L: int) -> Tensor:
    """A pmf over texts of L characters out of N, none with probability 0."""
    p = torch.rand((N,) * L, dtype=torch.float64, generator=dice) + 0.05
    return p / p.sum()


def _text(dice: torch.Generator, N: int, L: int) -> Tensor:
    return torch.randint(N, (L,), generator=dice)


SIZES = [(2, 1), (3, 2), (2, 3), (4, 3), (5, 2)]  # N characters, L positions

# 01 ----------------------------------------------------------------------------------------------------------------


@exercise("your numbers are 0 or more and add up to 1. They are a pmf.")
def normalize(weights):
    return weights / weights.sum()


@normalize.cases
def _(dice):
    yield (torch.tensor([3.0], dtype=torch.float64),)
    yield (torch.tensor([1.0, 0.0, 3.0], dtype=torch.float64),)
    for shape in [(5,), (2, 3), (3, 3, 3)]:
        yield (10 * torch.rand(shape, dtype=torch.float64, generator=dice),)
    yield (torch.tensor([[1e-6, 2e-6], [1e-6, 4e-6]], dtype=torch.float64),)


@normalize.mistake(
    "You divide by the root of the sum of squares: that makes the length of a vector 1. The sum of a pmf is 1: divide "
    "by the sum."
)
def _(weights):
    return weights / weights.square().sum().sqrt()


@normalize.mistake(
    "You divide by the largest weight, so that it becomes 1. Divide by the sum of all weights: that makes the sum 1."
)
def _(weights):
    return weights / weights.max()


@normalize.mistake(
    "You divide each row by its own sum. A pmf over a table has one sum over the whole table: a single Z."
)
def _(weights):
    return weights / weights.sum(-1, keepdim=True)


@normalize.mistake(
    "You divide each column by its own sum. A pmf over a table has one sum over the whole table: a single Z."
)
def _(weights):
    return weights / weights.sum(0, keepdim=True)


@normalize.mistake(
    "This is a softmax, which takes exp() of the weights first. These are no logarithms: divide them as they are."
)
def _(weights):
    return weights.flatten().softmax(0).view_as(weights)


@normalize.mistake("You divide by how many weights there are. Divide by their sum.")
def _(weights):
    return weights / weights.numel()


@normalize.mistake("You give back Z alone, the sum of all weights. It is what each weight must be divided by.")
def _(weights):
    return weights.sum()


@exercise("every ratio p(neighbor) / p(x), in one table: the concrete score.")
def concrete_score(p, x):
    L, N = p.ndim, p.shape[0]
    neighbors = x.repeat(L, N, 1)  # (L, N, L)
    neighbors[range(L), :, range(L)] = torch.arange(N)
    return p[neighbors.unbind(-1)] / p[tuple(x)]


@concrete_score.cases
def _(dice):
    for N, L in SIZES:
        yield _table(dice, N, L), _text(dice, N, L)
    p = _table(dice, 3, 2)
    p[0, 1] = 0  # a neighbor that cannot be
    yield p, torch.tensor([0, 2])


@concrete_score.mistake("You subtract p(x). A ratio is asked for: divide by it.")
def _(p, x):
    return (concrete_score.reference(p, x) - 1) * p[tuple(x)]


@concrete_score.mistake("This is the ratio upside down: p(x) belongs below the line, p(neighbor) above it.")
def _(p, x):
    return 1 / concrete_score.reference(p, x)


@concrete_score.mistake("These are the probabilities of the neighbors. Divide them by p(x): a score is made of ratios.")
def _(p, x):
    return concrete_score.reference(p, x) * p[tuple(x)]


@concrete_score.mistake(
    "Each row adds up to 1: these are conditional probabilities. Divide by p(x), not by the sum of the row."
)
def _(p, x):
    s = concrete_score.reference(p, x)
    return s / s.sum(-1, keepdim=True)


@concrete_score.mistake("These are the logarithms of the right ratios. The exercise asks for the ratios themselves.")
def _(p, x):
    return concrete_score.reference(p, x).log()


@concrete_score.mistake(
    "The table is turned on its side: a row for each position, a column for each character, (L, N)."
)
def _(p, x):
    return concrete_score.reference(p, x).T


@concrete_score.mistake(
    "At the character that x has already you have 0. There the neighbor is x itself: p(x) / p(x) = 1."
)
def _(p, x):
    return concrete_score.reference(p, x).scatter(1, x[:, None], 0.0)


@concrete_score.mistake(
    "The changes pile up: when you change position 1, position 0 is still changed. Begin each time with a copy of x."
)
def _(p, x):
    y, s = x.clone(), torch.zeros(p.ndim, p.shape[0], dtype=torch.float64)
    for i in range(p.ndim):
        for c in range(p.shape[0]):
            y[i] = c
            s[i, c] = p[tuple(y)] / p[tuple(x)]
    return s


class _Ratio:
    """p(y) / p(x) of a table, for texts (tuples) that differ in one place; anything else is an error."""

    __name__ = "ratio"

    def __init__(self, p: Tensor):
        self.p = p

    def __call__(self, y, x) -> float:
        if sum(a != b for a, b in zip(x, y)) != 1:
            raise ValueError(f"ratio(y, x) was asked for y = {tuple(y)} and x = {tuple(x)}, which are no neighbors")
        return float(self.p[tuple(y)] / self.p[tuple(x)])


@exercise("the steps multiply to p(end) / p(start), and Z was never needed.")
def ratio_along_path(ratio, path):
    total = 1.0
    for x, y in zip(path, path[1:]):
        total *= ratio(y, x)
    return total


@ratio_along_path.cases
def _(dice):
    for steps in (0, 1, 2, 3, 5):
        path = [(0, 1, 2)]
        for k in range(steps):
            x = list(path[-1])
            x[k % 3] = (x[k % 3] + 1 + k % 2) % 4
            path.append(tuple(x))
        yield _Ratio(_table(dice, 4, 3)), path


def _steps(ratio, path):
    return [ratio(y, x) for x, y in zip(path, path[1:])]


@ratio_along_path.mistake(
    "You add the ratios. They multiply: twice as probable, then three times, is six times as probable."
)
def _(ratio, path):
    return float(sum(_steps(ratio, path)))


@ratio_along_path.mistake("This is p(start) / p(end), upside down: for a step from x to y ask for ratio(y, x).")
def _(ratio, path):
    return 1 / ratio_along_path.reference(ratio, path)


@ratio_along_path.mistake("The last step is missing: a path of n texts has n - 1 steps.")
def _(ratio, path):
    return ratio_along_path.reference(ratio, path[:-1])


@ratio_along_path.mistake("The first step is missing: begin with the step from path[0] to path[1].")
def _(ratio, path):
    return ratio_along_path.reference(ratio, path[1:])


@ratio_along_path.mistake("You begin the product with 0, and 0 times anything is 0. An empty product is 1.")
def _(ratio, path):
    return 0.0


@ratio_along_path.mistake(
    "Your result is the logarithm of the right one. Add logarithms if you like, and take exp() at the end."
)
def _(ratio, path):
    return torch.tensor(ratio_along_path.reference(ratio, path)).log()


@ratio_along_path.mistake("This is the ratio of the last step alone. Keep the product of all steps so far.")
def _(ratio, path):
    return ratio(path[-1], path[-2]) if len(path) > 1 else 1.0


@ratio_along_path.mistake(
    "You compare each text with path[0]. A ratio is known for neighbors only: go from each text to the next."
)
def _(ratio, path):
    total = 1.0
    for y in path[1:]:
        total *= ratio(y, path[0])
    return total


@ratio_along_path.mistake(
    "You ask for the ratio of the two ends at once. Only neighbors have a known ratio: multiply the steps."
)
def _(ratio, path):
    return ratio(path[-1], path[0])


@exercise("one row of ratios gave you a pmf over characters. Its Z has N terms, not N to the power of L.")
def conditional(log_score, i):
    return log_score[i].softmax(-1)


@conditional.cases
def _(dice):
    for N, L in SIZES:
        yield concrete_score.reference(_table(dice, N, L), _text(dice, N, L)).log(), int(_text(dice, L, 1))
    some = concrete_score.reference(_table(dice, 4, 2), torch.tensor([1, 0])).log()
    some[1, 2:] = -torch.inf  # characters that cannot stand there
    yield some, 1
    yield torch.tensor([[0.0, 3.0, -2.0], [-1.0, 0.0, 700.0], [5.0, 0.0, 1.0]], dtype=torch.float64), 0


@conditional.mistake(
    "You divide by the sum over the whole table. Only row i speaks about position i: its N numbers should add up to 1."
)
def _(log_score, i):
    return (log_score[i] - log_score.logsumexp((0, 1))).exp()


@conditional.mistake("These are the right ratios, but they do not add up to 1. Divide them by their sum.")
def _(log_score, i):
    return log_score[i].exp()


@conditional.mistake(
    "You divide the logarithms by their sum. Take exp() first: the ratios add up, their logarithms do not."
)
def _(log_score, i):
    return log_score[i] / log_score[i].sum()


@conditional.mistake("You left out the character that stands there now, with ratio 1. It is one of the N choices too.")
def _(log_score, i):
    s = log_score[i].exp()
    s = s.where(log_score[i] != 0, 0.0)
    return s / s.sum()


@conditional.mistake("You took a column of the table. Row i belongs to position i: log_score[i].")
def _(log_score, i):
    return log_score[:, i].softmax(-1)


@conditional.mistake("These are log-probabilities. The exercise asks for probabilities.")
def _(log_score, i):
    return log_score[i].log_softmax(-1)


@conditional.mistake("You give the pmfs of all positions. The exercise asks for that of position i alone.")
def _(log_score, i):
    return log_score.softmax(-1)


# 02 ----------------------------------------------------------------------------------------------------------------


@exercise("it compares place by place.")
def hamming(a, b):
    return sum(c != d for c, d in zip(a, b))


@hamming.cases
def _(dice):
    yield "a", "a"
    yield "a", "b"
    yield "abc", "abd"
    yield "abca", "bcab"
    yield "stop", "post"
    yield "the cat sat on the mat.", "a cat sat on the mat.  "
    for L in (5, 12, 40):
        a, b = (_text(dice, 4, L).tolist() for _ in range(2))
        yield "".join("abc "[c] for c in a), "".join("abc "[c] for c in b)


@hamming.mistake("You count the places that agree. The distance counts those that differ.")
def _(a, b):
    return len(a) - hamming.reference(a, b)


@hamming.mistake("The last place is missing: a text of L characters has the places 0 to L - 1.")
def _(a, b):
    return hamming.reference(a[:-1], b[:-1])


@hamming.mistake("The first place is missing: places are counted from 0.")
def _(a, b):
    return hamming.reference(a[1:], b[1:])


@hamming.mistake(
    "You give the share of the places that differ. The distance is their number: do not divide by the length."
)
def _(a, b):
    return hamming.reference(a, b) / len(a)


@hamming.mistake("You tell whether the texts differ. The distance tells in how many places.")
def _(a, b):
    return a != b


@hamming.mistake(
    "You compare which characters occur. The distance also asks where: 'stop' and 'post' differ in all 4 places."
)
def _(a, b):
    return len(set(a) ^ set(b))


@hamming.mistake(
    "You compare which characters occur. The distance also asks where: 'stop' and 'post' differ in all 4 places."
)
def _(a, b):
    return len(set(a) - set(b))


@hamming.mistake("You stop at the first difference and give its place. Go on to the end, and count.")
def _(a, b):
    return next((i for i, (c, d) in enumerate(zip(a, b)) if c != d), len(a))


@hamming.mistake(
    "This is the edit distance, which may shift letters. Hamming's distance compares each place with the same place."
)
def _(a, b):
    row = list(range(len(b) + 1))
    for i, c in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, d in enumerate(b, 1):
            before, row[j] = row[j], min(before + (c != d), row[j] + 1, row[j - 1] + 1)
    return row[-1]


@exercise("all L (N - 1) texts that differ in one place, each of them once.")
def neighbors(x, N):
    L = len(x)
    y = x.repeat(L, N, 1)  # (L, N, L)
    y[range(L), :, range(L)] = torch.arange(N)
    return y[torch.arange(N) != x[:, None]]  # (L (N - 1), L), ordered by position, then character


@neighbors.cases
def _(dice):
    yield torch.tensor([1]), 3
    yield torch.tensor([0, 1]), 2
    yield torch.tensor([0, 0]), 3
    yield torch.tensor([2, 2, 2]), 3
    for N, L in [(4, 3), (3, 5), (6, 4)]:
        yield _text(dice, N, L), N


@neighbors.measure
def _(result, x, N):
    """In the order of the reference, by place and character of the first change: any order is right."""
    y = tensor(result)
    if y.ndim != 2 or y.shape[1] != len(x) or y.is_floating_point():
        return y

    def first_change(row):
        changed = (row != x).nonzero().flatten().tolist()
        return (changed[0], int(row[changed[0]]), len(changed)) if changed else (-1, 0, 0)

    return torch.stack(sorted(y, key=first_change)) if len(y) else y


@neighbors.mistake("x itself is among them. It has distance 0: a neighbor changes a character into another one.")
def _(x, N):
    return torch.cat([x[None], neighbors.reference(x, N)])


@neighbors.mistake(
    "x itself is among them, once for each place. It has distance 0: leave out the character that is there."
)
def _(x, N):
    return torch.cat([x.repeat(len(x), 1), neighbors.reference(x, N)])


@neighbors.mistake(
    "The changes pile up: your texts differ from x in more than one place. Begin each time with a copy of x."
)
def _(x, N):
    y, found = x.clone(), []
    for i in range(len(x)):
        for c in range(N):
            if c != x[i]:
                y[i] = c
                found.append(y.clone())
    return torch.stack(found)


@neighbors.mistake("All your rows are the same tensor, changed again and again. Keep a copy of each text: y.clone().")
def _(x, N):
    y, found = x.clone(), []
    for i in range(len(x)):
        for c in range(N):
            if c != x[i]:
                y[i] = c
                found.append(y)
        y[i] = x[i]
    return torch.stack(found)


@neighbors.mistake("The last character, N - 1, is never tried: range(N) goes from 0 to N - 1.")
def _(x, N):
    y = neighbors.reference(x, N)
    return y[~((y != x) & (y == N - 1)).any(-1)]


@neighbors.mistake("Character 0 is never tried: the characters are 0 to N - 1.")
def _(x, N):
    y = neighbors.reference(x, N)
    return y[~((y != x) & (y == 0)).any(-1)]


@neighbors.mistake("Only the first place is changed. Each of the L places can change.")
def _(x, N):
    return neighbors.reference(x, N)[: N - 1]


@neighbors.mistake("You give the neighbors grouped by place, (L, N - 1, L). Put them in one list: (L (N - 1), L).")
def _(x, N):
    return neighbors.reference(x, N).view(len(x), N - 1, len(x))


@neighbors.mistake("These are all texts there are, N to the power of L. Neighbors differ from x in one place.")
def _(x, N):
    return torch.cartesian_prod(*[torch.arange(N)] * len(x)).view(-1, len(x))


@exercise("where to change the text, and into what: a greedy step.")
def best_jump(log_score, x):
    others = log_score.scatter(-1, x[:, None], -torch.inf)
    return divmod(int(others.argmax()), log_score.shape[1])


@best_jump.cases
def _(dice):
    for N, L in SIZES:
        for shift in (-3.0, 0.0):  # -3: all neighbors are less probable than the text
            x = _text(dice, N, L)
            log_score = 5.6 * torch.rand(L, N, dtype=torch.float64, generator=dice) - 2.8 + shift
            yield log_score.scatter(-1, x[:, None], 0.0), x
    log_score = torch.full((3, 4), -torch.inf, dtype=torch.float64)
    log_score[range(3), [1, 0, 3]], log_score[2, 1] = 0.0, -7.5
    yield log_score, torch.tensor([1, 0, 3])
    yield torch.tensor([[-1.0, 0, -2], [0, -3, -0.5]], dtype=torch.float64), torch.tensor([1, 1])  # one as good as x


@best_jump.measure
def _(result, log_score, x):
    """The place and the character, as whole numbers, from a pair of numbers in any form."""
    pair = tensor(result)
    if pair.shape != (2,):
        raise ValueError(f"A pair (position, character) was expected; {kind(result)} came back.")
    return pair


@best_jump.mistake(
    "You leave out every 0. A neighbor that is as probable as x has the log-score 0 too: leave out the place "
    "(i, x[i]) in each row, whatever stands there."
)
def _(log_score, x):
    others = torch.where(log_score == 0, -torch.inf, log_score)
    return divmod(int(others.argmax()), log_score.shape[1])


@best_jump.mistake(
    "You may stay: the log-scores of x itself, 0 at each place, can be the largest. Leave them out: a jump changes x."
)
def _(log_score, x):
    return divmod(int(log_score.argmax()), log_score.shape[1])


@best_jump.mistake("Position and character have changed places: give (i, y).")
def _(log_score, x):
    return best_jump.reference(log_score, x)[::-1]


@best_jump.mistake("This is the worst jump, the one with the smallest log-score.")
def _(log_score, x):
    return divmod(int(log_score.scatter(-1, x[:, None], torch.inf).argmin()), log_score.shape[1])


@best_jump.mistake(
    "You count the entries along columns, or divide by L. Row after row there are N entries: divide by N."
)
def _(log_score, x):
    return divmod(
        log_score.shape[1] * best_jump.reference(log_score, x)[0] + best_jump.reference(log_score, x)[1], len(x)
    )


@best_jump.mistake("You only accept a log-score above 0. Also when every jump leads down, there is a best one.")
def _(log_score, x):
    others = log_score.scatter(-1, x[:, None], -torch.inf)
    return best_jump.reference(log_score, x) if others.max() > 0 else None


@exercise("no ladder between these words is shorter, and where there is none you say so.")
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
def _(dice):
    few = ["cat", "cot", "dot", "dog", "cog", "bat", "bag", "bog", "ice", "off"]
    yield ["cat"], "cat", "cat"
    yield ["cat", "cot"], "cat", "cot"
    yield ["off", "cat"], "off", "cat"
    yield few, "cat", "dog"
    yield few, "bag", "dot"
    yield few, "cat", "ice"
    # A dead end looks nearer to the goal (abd, acd): the way begins with a step that leads away.
    yield ["aaa", "aab", "abb", "bbb", "baa", "caa", "cab", "cbb"], "aaa", "bbb"
    yield ["sit", "six", "sax", "tax", "tan", "ten", "sat", "fat", "fan", "fin", "tin"], "six", "ten"
    for _ in range(3):
        some = {"".join("abcd"[c] for c in _text(dice, 4, 3)) for _ in range(30)}
        some = sorted(some)
        yield some, some[0], some[-1]
        yield some[::-1], some[3], some[-4]


@shortest_ladder.measure
def _(result, words, start, goal):
    """What kind of ladder it is: only the shortest is right, but there may be several."""
    if result is None:
        return "None"
    if not isinstance(result, list | tuple) or not all(isinstance(word, str) for word in result):
        raise ValueError(f"A list of words was expected, or None; {kind(result)} came back.")
    if not result:
        raise ValueError("An empty list came back. Where there is no ladder, give None.")
    if result[0] != start or result[-1] != goal:
        raise ValueError(f"A ladder goes from {start!r} to {goal!r}; yours goes from {result[0]!r} to {result[-1]!r}.")
    for x, y in zip(result, result[1:]):
        if len(x) != len(y) or hamming.reference(x, y) != 1:
            raise ValueError(f"{x!r} → {y!r} is not a step: one letter must change, and one only.")
        if y not in words:
            raise ValueError(f"{y!r} is not one of the words.")
    return f"a ladder of {len(result)} words"


def _search(words, start, goal, near, last=False):
    """A ladder found by adding words to the ends of ladders, the first (or last) found first."""
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
    "A ladder, but not always the shortest. Look at all words one step away, then at all two steps away: the ladder "
    "that was found first must be lengthened first."
)
def _(words, start, goal):
    return _search(words, start, goal, _one_letter, last=True)


@shortest_ladder.mistake(
    "You always go to the word nearest to the goal. A dead end may look nearer: keep all ladders in mind, not one."
)
def _(words, start, goal):
    ladder = [start]
    while ladder[-1] != goal:
        steps = [y for y in words if y not in ladder and _one_letter(ladder[-1], y)]
        if not steps:
            return None
        ladder.append(min(steps, key=lambda y: hamming.reference(y, goal)))
    return ladder


@shortest_ladder.mistake("The start is missing: a ladder from cat to dog begins with cat.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and ladder[1:]


@shortest_ladder.mistake("The goal is missing: a ladder from cat to dog ends with dog.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and ladder[:-1]


@shortest_ladder.mistake("Your ladder goes from the goal to the start: turn it round.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and ladder[::-1]


@shortest_ladder.mistake("You give the number of steps. The exercise asks for the ladder itself, a list of words.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and len(ladder) - 1


@shortest_ladder.mistake("You give the number of words. The exercise asks for the ladder itself, a list of words.")
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder and len(ladder)


@shortest_ladder.mistake(
    "Right where there is a ladder. Where there is none, give None: look when your search has run out of words."
)
def _(words, start, goal):
    return shortest_ladder.reference(words, start, goal) or [start, goal]


@shortest_ladder.mistake("Right where there is a ladder. Where there is none, give None, not an empty list.")
def _(words, start, goal):
    return shortest_ladder.reference(words, start, goal) or []


@shortest_ladder.mistake(
    "Right where there is a ladder. Where there is none, no word is left to look at: stop then, and give None."
)
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder or [].pop(0)


@shortest_ladder.mistake(
    "Right where there is a ladder. Where there is none, the goal was never reached: look for that, and give None."
)
def _(words, start, goal):
    ladder = shortest_ladder.reference(words, start, goal)
    return ladder or {}[goal]
