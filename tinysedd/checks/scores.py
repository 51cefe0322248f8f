"""Exercises of notebooks 01 and 02: probability ratios, and the neighbors they compare."""

import torch
from torch import Tensor

from tinysedd.checks.engine import describe, exercise, tensor
from tinysedd.process import Uniform
from tinysedd.sampling import Trajectory
from tinysedd.worlds import Words


def _table(rng: torch.Generator, N: int, L: int, spread: float = 0.0) -> Tensor:
    """A random pmf over texts of L characters from an alphabet of N; the spread makes some texts very improbable."""
    u = torch.rand((N,) * L, dtype=torch.float64, generator=rng)
    p = (u + 0.05) * (-spread * u).exp()
    return p / p.sum()


def _text(rng: torch.Generator, N: int, L: int) -> Tensor:
    return torch.randint(N, (L,), generator=rng)


def _bars(names: list[str], heights: object, title: str) -> object:
    """A described bar chart of exact numbers."""
    import matplotlib.pyplot as plt

    from tinysedd.show import TRUTH, describe

    fig, ax = plt.subplots(figsize=(6.5, 2), layout="constrained")
    ax.bar(names, tensor(heights).tolist(), color=TRUTH)
    ax.set_title(title)
    ax.spines[["top", "right"]].set_visible(False)
    return describe(fig, title)


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
    yield (torch.tensor([1e-4, 3.0, 8e-4], dtype=torch.float64),)


ONE_Z = "A pmf over a table has a single Z: divide by the sum of the whole table."
normalize.mistakes({
    "weights.sum() => weights.norm()": "You divide by the square root of the sum of squares, which gives a vector "
    "length 1. A pmf must sum to 1, so divide by the sum.",
    "weights.sum() => weights.max()": "You divide by the largest weight, so that weight becomes 1. Divide by the sum "
    "of all weights, so that the total becomes 1.",
    "weights.sum() => weights.sum(-1, keepdim=True)": f"You divide each row by its own sum. {ONE_Z}",
    "weights.sum() => weights.sum(0)": f"You divide each column by its own sum. {ONE_Z}",
    "weights / weights.sum() => weights.flatten().softmax(0).view_as(weights)": "This is a softmax, which applies "
    "exp() to the weights first. The weights are not logarithms, so divide them as they are.",
    "weights.sum() => weights.numel()": "You divide by the number of weights. Divide by their sum.",
    "weights / weights.sum() => weights.sum()": "You return Z itself, the sum of all weights. Divide each weight by Z.",
})  # fmt: skip


@normalize.picture
def _(function):
    ways = torch.tensor([1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1], dtype=torch.float64)
    return _bars([str(k) for k in range(2, 13)], function(ways), "Your pmf of the sum of two dice")


@exercise("you computed every ratio p(neighbor) / p(x) in one table, the concrete score.")
def concrete_score(p, x):
    s = torch.empty(p.ndim, p.shape[0], dtype=p.dtype)
    for i in range(p.ndim):
        for c in range(p.shape[0]):
            y = x.clone()
            y[i] = c
            s[i, c] = p[tuple(y)] / p[tuple(x)]
    return s


@concrete_score.cases
def _(rng):
    for N, L in SIZES:
        yield _table(rng, N, L), _text(rng, N, L)
    p = _table(rng, 3, 2)
    p[0, 1] = 0  # an impossible neighbor
    yield p, torch.tensor([0, 2])
    p = _table(rng, 5, 2, spread=12)  # ratios down to 1e-5
    yield p, torch.tensor(divmod(int(p.argmax()), 5))


concrete_score.mistakes({
    "/ p[tuple(x)] => - p[tuple(x)]": "You subtract p(x). The exercise asks for a ratio, so divide by p(x).",
    "/ p[tuple(x)] =>": "These are the probabilities of the neighbors. A score is a ratio: divide them by p(x).",
    "result / result.sum(-1, keepdim=True)": "Each row adds up to 1, so these are conditional probabilities. Divide "
    "by p(x), not by the sum of the row.",
    "y = x.clone() => y = x.clone() if i == c == 0 else y": "Your changes accumulate: when you change position 1, "
    "position 0 is still changed. Start each neighbor from a fresh copy of x.",
    "y[i] = c => y[i] = (y[i] + c) % len(p)": "You shift the character by c. Column c stands for the character c "
    "itself.",
    "p[tuple(x)] => p.max()": "You divide by the largest probability. Divide by p(x), the probability of the text.",
})  # fmt: skip


@concrete_score.picture
def _(function):
    from tinysedd.show import heatmap

    words = Words()
    x = words.alphabet.encode("cat")
    s = function(words.noised(Uniform(26), sigma=0.0), x)
    return heatmap(s.log(), x, words.alphabet, title="Your score of cat without noise: few neighbors are words")


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
    p = _table(rng, 4, 3, spread=12)
    best = tuple(int(c) for c in (p == p.max()).nonzero()[0])
    yield _Ratio(p), [best, (*best[:2], 3 - best[2]), (best[0], 3 - best[1], 3 - best[2])]
    a, b, c = (0, 1, 2), (0, 3, 2), (1, 1, 2)
    yield _Ratio(p), [a, b, a, c, a, b]  # texts that come again


NEXT = "Multiply one ratio for each step from a text to the next."
ratio_along_path.mistakes({
    ("total = 1.0 => total = 0.0", "total *= => total +="): "You add the ratios. Ratios multiply: twice as probable, "
    "then three times as probable, makes six times as probable.",
    "total *= => total +=": "You add the ratios, starting at 1. Ratios multiply.",
    "zip(path, path[1:]) => zip(path[:-1], path[1:-1])": "You leave out the last step. A path of n texts has n - 1 "
    "steps.",
    "zip(path, path[1:]) => zip(path[1:], path[2:])": "You leave out the first step. Start with the step from path[0] "
    "to path[1].",
    "total = 1.0 => total = 0.0": "You start the product at 0, and 0 times anything is 0. Start at 1, the value of an "
    "empty product.",
    "total *= => total =": "You return the ratio of the last step only. Keep a running product over all steps.",
    "return total => return float(torch.tensor(total).log()) if len(path) > 1 else 1.0": "You return the logarithm of "
    "the right result. Adding logarithms is fine, but take exp() at the end.",
    "zip(path, path[1:]) => dict(zip(path, path[1:])).items()": f"You count a step once if its text comes again. "
    f"{NEXT}",
    "zip(path, path[1:]) => {*zip(path, path[1:])}": f"You count a step once if it comes again. {NEXT}",
    "return total => return total ** (1 / max(1, len(path) - 1))": "You take the mean of the steps. The ratios of the "
    "steps simply multiply.",
})  # fmt: skip


@ratio_along_path.picture
def _(function):
    from tinysedd.show import curve

    ratio, loop = _Ratio(_table(torch.Generator().manual_seed(1), 3, 3)), [(0, 0, 0), (1, 0, 0), (1, 2, 0)]
    loops = {"there and back": [*loop, *loop[-2::-1]], "around": [*loop, (1, 2, 1), (0, 2, 1), (0, 0, 1), loop[0]]}
    lines = {name: [(k, function(ratio, path[: k + 1])) for k in range(len(path))] for name, path in loops.items()}
    return curve(lines, exact=1.0, x="steps", y="your product", title="Two loops: your product returns to 1")


@exercise("one row of ratios gave you a pmf over characters. Its Z has N terms, not N to the power of L.")
def conditional(log_score, i):
    return log_score[i].softmax(-1)


@conditional.cases
def _(rng):
    for N, L in SIZES:
        yield concrete_score._reference(_table(rng, N, L), _text(rng, N, L)).log(), int(_text(rng, L, 1))
    some = concrete_score._reference(_table(rng, 4, 2), torch.tensor([1, 0])).log()
    some[1, 2:] = -torch.inf  # impossible characters
    yield some, 1
    yield torch.tensor([[0.0, 3.0, -2.0], [-1.0, 0.0, 700.0], [5.0, 0.0, 1.0]], dtype=torch.float64), 0
    yield torch.tensor([[0.0, -9.0, -8.0, 0.5], [0.0, 1.0, 2.0, 3.0]], dtype=torch.float64), 0


conditional.mistakes({
    "log_score[i].softmax(-1) => (log_score[i] - log_score.logsumexp((0, 1))).exp()": "You divide by the sum over the "
    "whole table. Only row i describes position i, and its N numbers should add up to 1.",
    "log_score[i].softmax(-1) => log_score[i] / log_score[i].sum()": "You divide the log-scores by their sum. Take "
    "exp() first: you need the sum of the ratios, not of their logarithms.",
    "result.where(log_score[i] != 0, 0) / result.where(log_score[i] != 0, 0).sum()": "You leave out the current "
    "character, whose ratio is 1. It is one of the N choices too.",
    "log_score[i] => log_score[:, i]": "You took a column of the table. Position i is row i: log_score[i].",
    "log_score[i] => log_score[i - 1]": "You took the row before. Position i is row i: log_score[i].",
    "log_score[i] => log_score[0]": "You always take the first row. Position i is row i: log_score[i].",
    "log_score[i].softmax(-1) => log_score.softmax(-1)": "You return the pmfs of all positions. The exercise asks for "
    "position i only.",
    "log_score[i].softmax(-1) => log_score.softmax(0)[i]": "You divide by the sums of the columns. The N numbers of "
    "row i should add up to 1.",
    "log_score[i] => log_score[i].exp()": "You take exp() twice: softmax does it already.",
})  # fmt: skip


@conditional.picture
def _(function):
    words = Words()
    log_score = words.score(Uniform(26))(words.alphabet.encode("cat")[None], torch.tensor([0.02]))[0]
    p = function(log_score.double(), 1)
    return _bars([*words.alphabet.characters], p, "Your pmf of the middle letter of c_t")


# 02 ----------------------------------------------------------------------------------------------------------------


@exercise("it compares the texts position by position.")
def hamming(a, b):
    return sum(c != d for c, d in zip(a, b))


@hamming.cases
def _(rng):
    yield "a", "a"
    yield "a", "b"
    yield "abc", "abd"
    yield "Cat", "cAt"
    yield "abca", "bcab"
    yield "stop", "post"
    yield "the cat sat on the mat.", "a cat sat on the mat.  "
    for L in (5, 12, 40):
        a, b = (_text(rng, 4, L).tolist() for _ in range(2))
        yield "".join("abc "[c] for c in a), "".join("abc "[c] for c in b)


PLACES = "Their positions matter too: 'stop' and 'post' differ in all 4 positions."
hamming.mistakes({
    "c != d => c == d": "You count the positions that agree. The Hamming distance counts those that differ.",
    "zip(a, b) => zip(a[:-1], b[:-1])": "You leave out the last position. A text of L characters has positions 0 to "
    "L - 1.",
    "zip(a, b) => zip(a[1:], b[1:])": "You leave out the first position. Positions start at 0.",
    "sum(c != d for c, d in zip(a, b)) => a != b": "You return whether the texts differ. The Hamming distance is the "
    "number of positions where they differ.",
    "sum(c != d for c, d in zip(a, b)) => len(set(a) ^ set(b))": f"You compare which characters occur. {PLACES}",
    "sum(c != d for c, d in zip(a, b)) => len(set(a) - set(b))": f"You compare which characters occur. {PLACES}",
    "zip(a, b) => zip(sorted(a), sorted(b))": f"You sort the characters first. {PLACES}",
    "sum(c != d for c, d in zip(a, b)) => next((i for i, c in enumerate(a) if c != b[i]), len(a))": "You return the "
    "position of the first difference. Keep going to the end, and count all differences.",
    "c != d => c.lower() != d.lower()": "You ignore upper and lower case. 'C' and 'c' are different characters.",
    "c != d => c != d and c + d == (c + d).strip()": "You skip spaces. A space is a character like any other.",
    "c != d => abs(ord(c) - ord(d))": "You add up how far apart the characters are. Count the positions where they "
    "differ, each as 1.",
})  # fmt: skip


@hamming.mistake(
    "This is the edit distance, which can shift letters. The Hamming distance compares each position with the same one."
)
def _(a, b):
    row = list(range(len(b) + 1))
    for i, c in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, d in enumerate(b, 1):
            before, row[j] = row[j], min(before + (c != d), row[j] + 1, row[j - 1] + 1)
    return row[-1]


@hamming.picture
def _(function):
    words = ["stop", "step", "shop", "ship", "spot", "them", "post"]
    return _bars(words, [int(function("stop", word)) for word in words], "Your distance of each word from stop")


@exercise("you found all L (N - 1) texts that differ in one position, each exactly once.")
def neighbors(x, N):
    found = []
    for i in range(len(x)):
        for c in range(N):
            if c != x[i]:
                y = x.clone()
                y[i] = c
                found.append(y)
    return torch.stack(found)


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


neighbors.mistakes({
    "found = [] => found = [x]": "Your list contains x itself, which is at distance 0. A neighbor replaces one "
    "character with a different one.",
    "c != x[i] => True": "Your list contains x itself, once for each position. It is at distance 0, so skip the "
    "character that is already there.",
    "y = x.clone() => y = (found or [x])[-1].clone()": "Your changes accumulate: some of your texts differ from x in "
    "more than one position. Start each one from a fresh copy of x.",
    "result * 0 + x": "All your rows are the same tensor, changed again and again. Store a copy of each text: "
    "y.clone().",
    "result[-1:] + 0 * result": "All your rows are the same tensor, changed again and again. Store a copy of each "
    "text: y.clone().",
    "y = x.clone() => y = found[-1] if found else x.clone()": "All your rows are the same tensor, changed again and "
    "again. Start each neighbor from a fresh copy: y = x.clone().",
    "range(N) => range(N - 1)": "You never try the last character, N - 1. range(N) goes from 0 to N - 1.",
    "range(N) => range(1, N)": "You never try character 0. The characters are 0 to N - 1.",
    "range(N) => range(N + 1)": "You try one character too many: N. The characters are 0 to N - 1.",
    "range(N) => sorted({*x.tolist()})": "You only try characters that x has already. Try all N of them.",
    "range(len(x)) => range(1)": "You change only the first position. Change each of the L positions in turn.",
    "range(len(x)) => range(len(x) - 1, len(x))": "You change only the last position. Change each of the L in turn.",
    "range(N) => [(int(x[i]) + 1) % N]": "You replace each character by the next one only. Try all N - 1 others.",
    "found.append(y) => found += [y, y]": "You list every neighbor twice. Each one should come once.",
    "result.view(len(x), N - 1, len(x))": "Your neighbors are grouped by position, (L, N - 1, L). Flatten the groups "
    "into one list, (L (N - 1), L).",
    "torch.cartesian_prod(*[torch.arange(N)] * len(x)).view(-1, len(x))": "These are all N to the power of L texts. "
    "Neighbors differ from x in exactly one position.",
})  # fmt: skip


@neighbors.picture
def _(function):
    from tinysedd.show import ladder

    texts = ["".join("aemnt"[c] for c in y) for y in function(torch.tensor([2, 0, 4]), 5)]
    return ladder(texts, highlight=["mat"], title="Your neighbors of mat, from the letters a e m n t")


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
    if result is None:
        raise ValueError(
            "You returned None. Even when every jump makes the text less probable, one of them is the best."
        )
    pair = tensor(result)
    if pair.shape != (2,):
        raise ValueError(f"A pair (position, character) was expected, but you returned {describe(result)}.")
    return pair


best_jump.mistakes({
    "log_score.scatter(-1, x[:, None], -torch.inf) => torch.where(log_score == 0, -torch.inf, log_score)": "You skip "
    "every entry that is 0. A neighbor as probable as x has log-score 0 too, so skip entry (i, x[i]) in each row, "
    "whatever its value.",
    "others.argmax() => log_score.argmax()": "Your best jump may be no jump: the entries of x itself are 0 in each row "
    "and can be the largest. Skip them, because a jump must change x.",
    "result[::-1]": "You swapped position and character: return (i, y).",
    ("-torch.inf => torch.inf", "argmax => argmin"): "This is the worst jump, with the smallest log-score. Return the "
    "jump with the largest.",
    "others.argmax() => others.where(others.isfinite(), 0).abs().argmax()": "You look for the largest number without "
    "its sign. A log-score below 0 makes the text less probable.",
    "log_score.shape[1] => len(x)": "You convert the flat index with the wrong number. The table is stored row by row, "
    "with N entries in each row: divide by N.",
    "result[0], int(x[result[0]])": "You return the character that is there now. Return the new one.",
    "int(log_score.scatter(-1, x[:, None], -torch.inf).sum(1).argmax()), result[1]": "You choose the position by the "
    "sum of its row. The best jump is the largest single entry.",
})  # fmt: skip


@best_jump.picture
def _(function):
    from tinysedd.show import animation

    words, states = Words(), [torch.tensor([[23, 16, 25]])]  # xqz
    for _ in range(3):
        jump = tensor(function(words.score(Uniform(26))(states[-1], torch.tensor([0.1]))[0], states[-1][0])).tolist()
        states.append(states[-1].clone())
        states[-1][0, int(jump[0])] = int(jump[1])
    never = torch.zeros(3, dtype=torch.bool)
    return animation(Trajectory(torch.stack(states), torch.linspace(1, 0, 4), never, 3, alphabet=words.alphabet))


@exercise(
    "no ladder between these words is shorter, and you return None when there is no ladder.",
    measured="the number of words in the ladder",
)
def shortest_ladder(words, start, goal):
    queue, seen = [[start]], {start}
    while queue:
        path = queue.pop(0)
        if path[-1] == goal:
            return path
        for word in words:
            if word not in seen and hamming._reference(word, path[-1]) == 1:
                seen.add(word)
                queue.append([*path, word])
    return None


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
    yield ["bba", "aaa", "abc", "aac", "bbc"], "aaa", "bba"  # the first step leads away from the goal
    long = ["aaa", "baa", "bba", "bbb", "cbb", "ccb", "ccc", "dcc", "ddc", "ddd"]
    yield [*long[::2], *long[1::2]], "aaa", "ddd"
    yield [*few, "Dog", "doG"], "cat", "doG"
    for _ in range(3):
        some = {"".join("abcd"[c] for c in _text(rng, 4, 3)) for _ in range(30)}
        some = sorted(some)
        yield some, some[0], some[-1]
        yield some[::-1], some[3], some[-4]


@shortest_ladder.measure
def _(result, words, start, goal):
    """The length of the ladder, because there may be several shortest ladders; None if there is none."""
    best = shortest_ladder._reference(words, start, goal)
    if result is None and best:
        raise ValueError(f"You returned None, but there is a ladder: {' → '.join(best)}.")
    if result is None:
        return None
    if not isinstance(result, list | tuple) or not all(isinstance(word, str) for word in result):
        raise ValueError(f"A list of words or None was expected, but you returned {describe(result)}.")
    if not result and start == goal:
        raise ValueError(f"You returned an empty list. The ladder from {start!r} to itself is [{start!r}].")
    if not result:
        raise ValueError("You returned an empty list. When there is no ladder, return None.")
    if (result[0], result[-1]) == (goal, start) != (start, goal):
        raise ValueError(f"Your ladder goes from the goal to the start: reverse it, so that it begins with {start!r}.")
    if result[0] != start or result[-1] != goal:
        raise ValueError(
            f"The ladder should go from {start!r} to {goal!r}, both included; yours goes from {result[0]!r} to "
            f"{result[-1]!r}."
        )
    for x, y in zip(result, result[1:]):
        if len(x) != len(y) or hamming._reference(x, y) != 1:
            raise ValueError(f"{x!r} → {y!r} is not a step: exactly one letter must change.")
        if y not in words:
            raise ValueError(f"{y!r} is not one of the words.")
    return len(result)


shortest_ladder.mistakes({
    "pop(0) => pop()": "This is a ladder, but not always a shortest one. Visit all words one step away, then all words "
    "two steps away: extend the ladder that you found first.",
    (
        "queue.pop(0) => min(queue, key=lambda path: hamming._reference(path[-1], goal)); queue.clear()",
        "word not in seen => word not in path",
    ): "You always move to the word closest to the goal. That word may be a dead end or lead the long way around: keep "
    "all ladders in a queue, not just one.",
    "queue.pop(0) => queue.pop(min(range(len(queue)), key=lambda k: hamming._reference(queue[k][-1], goal)))": "You "
    "extend the ladder that is closest to the goal first, and that may be a longer one. Extend the one that you found "
    "first.",
})  # fmt: skip


@shortest_ladder.picture
def _(function):
    from tinysedd.show import ladder

    few = ["cat", "cot", "dot", "dog", "cog", "bat", "bag", "bog", "bit", "big", "dig", "pit", "pot"]
    return ladder(few, highlight=function(few, "pit", "dog"), title="Your shortest ladder from pit to dog")
