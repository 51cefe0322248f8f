"""Exercises of notebooks 01 and 02: probability ratios, and the neighbors they compare."""

# An exercise is a class without instances, so its functions have no self.
# pyright: reportSelfClsParameterName=false

from typing import Any

import torch
from torch import Tensor

from tinysedd import show
from tinysedd.checks.engine import describe, exercise, refuse, tensor
from tinysedd.checks.pictures import bars
from tinysedd.process import Uniform
from tinysedd.sampling import Trajectory
from tinysedd.worlds import Words


def _table(rng: torch.Generator, N: int, L: int, spread: float = 0.0) -> Tensor:
    """A random pmf over texts of L characters from an alphabet of N; the spread makes some texts very improbable."""
    u = torch.rand((N,) * L, generator=rng)
    p = (u + 0.05) * (-spread * u).exp()
    return p / p.sum()


def _text(rng: torch.Generator, N: int, L: int) -> Tensor:
    return torch.randint(N, (L,), generator=rng)


SIZES = [(2, 1), (3, 2), (2, 3), (4, 3), (5, 2)]  # N characters, L positions


# 01 ----------------------------------------------------------------------------------------------------------------


@exercise("your numbers are 0 or more and add up to 1, so they are a pmf.")
class normalize:
    def reference(weights: Any):
        return weights / weights.sum()

    def cases(rng: Any):
        yield (torch.tensor([3.0]),)
        yield (torch.tensor([1.0, 0.0, 3.0]),)
        for shape in [(5,), (2, 3), (3, 3, 3)]:
            yield (10 * torch.rand(shape, generator=rng),)
        yield (torch.tensor([[1e-6, 2e-6], [1e-6, 4e-6]]),)
        yield (torch.tensor([1e-4, 3.0, 8e-4]),)

    def picture(function: Any):
        ways = torch.tensor([1, 2, 3, 4, 5, 6, 5, 4, 3, 2, 1], dtype=torch.float64)
        return bars(range(2, 13), function(ways), "Your pmf of the sum of two dice")


@exercise("you computed every ratio p(neighbor) / p(x) in one table, the concrete score.")
class concrete_score:
    def reference(p: Any, x):
        s = torch.empty(p.ndim, p.shape[0], dtype=p.dtype)
        for i in range(p.ndim):
            for c in range(p.shape[0]):
                y = x.clone()
                y[i] = c
                s[i, c] = p[tuple(y)] / p[tuple(x)]
        return s

    def cases(rng: Any):
        for N, L in SIZES:
            yield _table(rng, N, L), _text(rng, N, L)
        p = _table(rng, 3, 2)
        p[0, 1] = 0  # an impossible neighbor
        yield p, torch.tensor([0, 2])
        p = _table(rng, 5, 2, spread=12)  # ratios down to 1e-5
        yield p, torch.tensor(divmod(int(p.argmax()), 5))

    mistakes = {
        "y = x.clone() => y = x.clone() if i == c == 0 else y": "Your changes pile up. Change a fresh copy of x.",
        "y[i] = c => y[i] = (y[i] + c) % len(p)": "You shift the character by c. Column c stands for c itself.",
        "p[tuple(x)] => p.max()": "You divide by the largest probability. Divide by p(x), the probability of the text.",
    }  # fmt: skip

    def picture(function: Any):
        words = Words()
        x = words.alphabet.encode("cat")
        s = function(words.noised(Uniform(26), sigma=0.0), x)
        return show.heatmap(s.log(), x, words.alphabet, title="Your score of cat: few neighbors are words")


class _Ratio:
    """p(y) / p(x) from a table, for texts (tuples) that differ in exactly one position; ValueError otherwise."""

    __name__ = "ratio"

    def __init__(self, p: Tensor):
        self.p = p

    def __call__(self, y, x) -> float:
        apart = sum(a != b for a, b in zip(x, y))
        refuse(apart != 1, f"ratio(y, x) takes neighbors, not y = {tuple(y)} and x = {tuple(x)}")
        return float(self.p[tuple(y)] / self.p[tuple(x)])


AGAIN = "You count a step once if it comes again. Multiply one ratio for each step from a text to the next."


@exercise("the ratios of the steps multiply to p(end) / p(start), and you never needed Z.")
class ratio_along_path:
    def reference(ratio: Any, path):
        total = 1.0
        for x, y in zip(path, path[1:]):
            total *= ratio(y, x)
        return total

    def cases(rng: Any):
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

    mistakes = {
        ("total = 1.0 => total = 0.0", "total *= => total +="): "You add the ratios. Ratios multiply: twice as "
        "probable, then three times as probable, makes six times as probable.",
        "zip(path, path[1:]) => dict(zip(path, path[1:])).items()": AGAIN,
        "zip(path, path[1:]) => {*zip(path, path[1:])}": AGAIN,
        "return total => return total ** (1 / max(1, len(path) - 1))": "You take the mean of the steps. Multiply them.",
    }  # fmt: skip

    def picture(function: Any):
        ratio, loop = _Ratio(_table(torch.Generator().manual_seed(1), 3, 3)), [(0, 0, 0), (1, 0, 0), (1, 2, 0)]
        loops = {"there and back": [*loop, *loop[-2::-1]], "around": [*loop, (1, 2, 1), (0, 2, 1), (0, 0, 1), loop[0]]}
        lines = {name: [(k, function(ratio, path[: k + 1])) for k in range(len(path))] for name, path in loops.items()}
        return show.curve(lines, exact=1.0, x="steps", y="your product", title="Two loops: your product returns to 1")


@exercise("one row of ratios gave you a pmf over characters. Its Z has N terms, not N to the power of L.")
class conditional:
    def reference(log_score: Any, i):
        return log_score[i].softmax(-1)

    def cases(rng: Any):
        for N, L in SIZES:
            yield concrete_score._reference(_table(rng, N, L), _text(rng, N, L)).log(), int(_text(rng, L, 1))
        some = concrete_score._reference(_table(rng, 4, 2), torch.tensor([1, 0])).log()
        some[1, 2:] = -torch.inf  # impossible characters
        yield some, 1
        yield torch.tensor([[0.0, 3.0, -2.0], [-1.0, 0.0, 700.0], [5.0, 0.0, 1.0]]), 0
        yield torch.tensor([[0.0, -9.0, -8.0, 0.5], [0.0, 1.0, 2.0, 3.0]]), 0

    mistakes = {
        ".softmax(-1) => / log_score[i].sum()": "You divide log-scores by their sum. Take exp() first.",
        "result.where(log_score[i] != 0, 0) / result.where(log_score[i] != 0, 0).sum()": "You leave out the current "
        "character, whose ratio is 1. It is one of the N choices too.",
    }  # fmt: skip

    def picture(function: Any):
        words = Words()
        log_score = words.score(Uniform(26))(words.alphabet.encode("cat")[None], torch.tensor([0.02]))[0]
        p = function(log_score.double(), 1)
        return bars(words.alphabet.characters, p, "Your pmf of the middle letter of c_t")


# 02 ----------------------------------------------------------------------------------------------------------------


def _edit_distance(a, b):
    row = list(range(len(b) + 1))
    for i, c in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, d in enumerate(b, 1):
            before, row[j] = row[j], min(before + (c != d), row[j] + 1, row[j - 1] + 1)
    return row[-1]


COUNT = "sum(c != d for c, d in zip(a, b))"
PLACES = "You compare which characters occur. Their positions matter too: 'stop' and 'post' differ in all 4 positions."


@exercise("it compares the texts position by position.")
class hamming:
    def reference(a: Any, b):
        return sum(c != d for c, d in zip(a, b))

    def cases(rng: Any):
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

    mistakes = {
        f"{COUNT} => a != b": "You return whether the texts differ. Count the positions where they differ.",
        f"{COUNT} => len(set(a) ^ set(b))": PLACES,
        f"{COUNT} => len(set(a) - set(b))": PLACES,
        "zip(a, b) => zip(sorted(a), sorted(b))": PLACES,
        f"{COUNT} => next((i for i, c in enumerate(a) if c != b[i]), len(a))": "You return the position of the first "
        "difference. Count all differences.",
        "c != d => c != d and c + d == (c + d).strip()": "You skip spaces. A space is a character like any other.",
        "c != d => abs(ord(c) - ord(d))": "You add up how far apart the characters are. Count each difference as 1.",
        _edit_distance: "This is the edit distance, which can shift letters. Compare each position with the same one.",
    }  # fmt: skip

    def picture(function: Any):
        words = ["stop", "step", "shop", "ship", "spot", "them", "post"]
        return bars(words, [int(function("stop", word)) for word in words], "Your distance of each word from stop")


SAME = "All your rows are the same tensor, changed again and again. Store a copy of each text: y.clone()."


@exercise("you found all L (N - 1) texts that differ in one position, each exactly once.")
class neighbors:
    def reference(x: Any, N):
        found = []
        for i in range(len(x)):
            for c in range(N):
                if c != x[i]:
                    y = x.clone()
                    y[i] = c
                    found.append(y)
        return torch.stack(found)

    def cases(rng: Any):
        yield torch.tensor([1]), 3
        yield torch.tensor([0, 1]), 2
        yield torch.tensor([0, 0]), 3
        yield torch.tensor([2, 2, 2]), 3
        for N, L in [(4, 3), (3, 5), (6, 4)]:
            yield _text(rng, N, L), N

    def measure(result: Any, x, N):
        """Sort by position and character of the first change, like the reference: any order counts as right."""
        y = tensor(result)
        if y.ndim != 2 or y.shape[1] != len(x) or y.is_floating_point():
            return y

        def first_change(row):
            changed = (row != x).nonzero().flatten().tolist()
            return (changed[0], int(row[changed[0]]), len(changed)) if changed else (-1, 0, 0)

        return torch.stack(sorted(y, key=first_change)) if len(y) else y

    mistakes = {
        "found = [] => found = [x]": "Your list contains x itself, which is at distance 0.",
        "y = x.clone() => y = (found or [x])[-1].clone()": "Your changes pile up. Change a fresh copy of x each time.",
        "result[-1:] + 0 * result": SAME,
        "y = x.clone() => y = found[-1] if found else x.clone()": SAME,
        "torch.cartesian_prod(*[torch.arange(N)] * len(x)).view(-1, len(x))": "These are all N to the power of L "
        "texts. Neighbors differ from x in exactly one position.",
    }  # fmt: skip

    def picture(function: Any):
        texts = ["".join("aemnt"[c] for c in y) for y in function(torch.tensor([2, 0, 4]), 5)]
        return show.ladder(texts, highlight=["mat"], title="Your neighbors of mat, from the letters a e m n t")


@exercise("you know which position to change, and into what. That is one greedy step.")
class best_jump:
    def reference(log_score: Any, x):
        others = log_score.scatter(-1, x[:, None], -torch.inf)
        return divmod(int(others.argmax()), log_score.shape[1])

    def cases(rng: Any):
        for N, L in SIZES:
            for shift in (-3.0, 0.0):  # -3: all neighbors are less probable than the text
                x = _text(rng, N, L)
                log_score = 5.6 * torch.rand(L, N, generator=rng) - 2.8 + shift
                yield log_score.scatter(-1, x[:, None], 0.0), x
        log_score = torch.full((3, 4), -torch.inf)
        log_score[range(3), [1, 0, 3]], log_score[2, 1] = 0.0, -7.5
        yield log_score, torch.tensor([1, 0, 3])
        log_score = torch.tensor([[-1.0, 0, -2], [0, -3, -0.5]])  # a neighbor as probable as x
        yield log_score, torch.tensor([1, 1])

    def measure(result: Any, log_score, x):
        """The position and the character as integers, from a pair of numbers in any form."""
        refuse(result is None, "You returned None. One jump is the best, even if all make the text less probable.")
        pair = tensor(result)
        refuse(pair.shape != (2,), f"A pair (position, character) was expected, but you returned {describe(result)}.")
        return pair

    mistakes = {
        "log_score.scatter(-1, x[:, None], -torch.inf) => torch.where(log_score == 0, -torch.inf, log_score)":
        "You skip every entry that is 0. A neighbor as probable as x has log-score 0 too: skip entry (i, x[i]) only.",
        "result[::-1]": "You swapped position and character: return (i, y).",
        ("-torch.inf => torch.inf", "argmax => argmin"): "This is the worst jump. Return the best one.",
        "others.argmax() => others.where(others.isfinite(), 0).abs().argmax()": "You ignore the signs. A log-score "
        "below 0 makes the text less probable.",
    }  # fmt: skip

    def picture(function: Any):
        words, states = Words(), [torch.tensor([[23, 16, 25]])]  # xqz
        for _ in range(3):
            log_score = words.score(Uniform(26))(states[-1], torch.tensor([0.1]))[0]
            i, y = map(int, tensor(function(log_score, states[-1][0])))
            states.append(states[-1].clone())
            states[-1][0, i] = y
        never = torch.zeros(3, dtype=torch.bool)
        film = Trajectory(torch.stack(states), torch.linspace(1, 0, 4), never, 3, alphabet=words.alphabet)
        return show.animation(film)


LEFT = "hamming._reference(path[-1], goal)"


@exercise(
    "no ladder between these words is shorter, and you return None when there is no ladder.",
    measured="the number of words in the ladder",
)
class shortest_ladder:
    def reference(words: Any, start, goal):
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

    def cases(rng: Any):
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

    def measure(result: Any, words, start, goal):
        """The length of the ladder, because there may be several shortest ladders; None if there is none."""
        best = shortest_ladder._reference(words, start, goal)
        refuse(result is None and best, f"You returned None, but there is a ladder: {' → '.join(best or [])}.")
        if result is None:
            return None
        words_only = isinstance(result, list | tuple) and all(isinstance(word, str) for word in result)
        refuse(not words_only, f"A list of words or None was expected, but you returned {describe(result)}.")
        refuse(not result and start == goal, f"The ladder from {start!r} to itself is [{start!r}], not an empty list.")
        refuse(not result, "You returned an empty list. When there is no ladder, return None.")
        ends = f"The ladder should go from {start!r} to {goal!r}, both included; yours goes"
        refuse((result[0], result[-1]) != (start, goal), f"{ends} from {result[0]!r} to {result[-1]!r}.")
        for x, y in zip(result, result[1:]):
            far = len(x) != len(y) or hamming._reference(x, y) != 1
            refuse(far, f"{x!r} → {y!r} is not a step: exactly one letter must change.")
            refuse(y not in words, f"{y!r} is not one of the words.")
        return len(result)

    mistakes = {
        "pop(0) => pop()": "This is a ladder, but not always a shortest one. Visit all words one step away, then all "
        "words two steps away: extend the ladder that you found first.",
        (f"queue.pop(0) => min(queue, key=lambda path: {LEFT}); queue.clear()", "not in seen => not in path"):
        "You always move to the word closest to the goal, which may lead the long way around. Keep all ladders in a "
        "queue, not just one.",
        f"queue.pop(0) => queue.pop(min(range(len(queue)), key=lambda k: {LEFT.replace('path', 'queue[k]')}))":
        "You extend the ladder that is closest to the goal first. Extend the one that you found first.",
    }  # fmt: skip

    def picture(function: Any):
        few = ["cat", "cot", "dot", "dog", "cog", "bat", "bag", "bog", "bit", "big", "dig", "pit", "pot"]
        return show.ladder(few, highlight=function(few, "pit", "dog"), title="Your shortest ladder from pit to dog")
