"""Notebook 02: solutions that students write, wrong and right."""

# Students write like this.
# ruff: noqa: RUF005, SIM110, PERF401

from collections import deque

import numpy as np
import torch

from exercises import right, wrong


@wrong("hamming", "with `c == d` in place of `c != d`")
def counts_agreement(a, b):
    n = 0
    for i in range(len(a)):
        if a[i] == b[i]:
            n += 1
    return n


@wrong("hamming", "with `zip(a[:-1], b[:-1])` in place of `zip(a, b)`")
def misses_the_last(a, b):
    n = 0
    for i in range(len(a) - 1):
        if a[i] != b[i]:
            n += 1
    return n


@wrong("hamming", "with `zip(a[1:], b[1:])` in place of `zip(a, b)`")
def misses_the_first(a, b):
    n = 0
    for i in range(1, len(a)):
        n += a[i] != b[i]
    return n


@wrong("hamming", "divided by the length of a")
def returns_a_fraction(a, b):
    return np.mean([x != y for x, y in zip(a, b)])


@wrong("hamming", "whether the texts differ")
def returns_a_boolean(a, b):
    for x, y in zip(a, b):
        if x != y:
            return True
    return False


@wrong("hamming", "Their positions matter too")
def compares_sets(a, b):
    return len(set(a) - set(b))


@wrong("hamming", "first difference")
def first_difference(a, b):
    i = 0
    while i < len(a) and a[i] == b[i]:
        i += 1
    return i


@wrong("hamming", "edit distance")
def levenshtein(a, b):
    d = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    d[:, 0] = range(len(a) + 1)
    d[0, :] = range(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            swap = d[i - 1, j - 1] + (a[i - 1] != b[j - 1])
            d[i, j] = min(swap, d[i - 1, j] + 1, d[i, j - 1] + 1)
    return d[len(a), len(b)]


@wrong("hamming")
def sums_the_codes(a, b):
    return sum(abs(ord(x) - ord(y)) for x, y in zip(a, b))


@wrong("hamming")
def prints_it(a, b):
    print(sum(x != y for x, y in zip(a, b)))


@right("hamming")
def hamming_in_numpy(a, b):
    return (np.array(list(a)) != np.array(list(b))).sum()


@right("hamming")
def hamming_in_torch(a, b):
    return (torch.tensor([ord(c) for c in a]) != torch.tensor([ord(c) for c in b])).sum()


@right("hamming")
def hamming_by_recursion(a, b):
    return 0 if not a else (a[0] != b[0]) + hamming_by_recursion(a[1:], b[1:])


@wrong("neighbors", "if `c != x[i]` always holds")
def with_itself(x, N):
    found = []
    for i in range(len(x)):
        for c in range(N):
            y = x.clone()
            y[i] = c
            found.append(y)
    return torch.stack(found)


@wrong("neighbors", "contains x itself, which")
def with_itself_once(x, N):
    found = [x]
    for i in range(len(x)):
        for c in range(N):
            y = x.clone()
            y[i] = c
            if not torch.equal(y, x):
                found.append(y)
    return torch.stack(found)


@wrong("neighbors", "Your changes pile up")
def changes_accumulate(x, N):
    found = []
    y = x.tolist()
    for i in range(len(y)):
        for c in range(N):
            if c != x[i]:
                y[i] = c
                found.append(list(y))
    return torch.tensor(found)


@wrong("neighbors", "without the line `y[i] = c`")
def appends_the_same_tensor(x, N):
    found = []
    y = x.clone()
    for i in range(len(x)):
        for c in range(N):
            if c != x[i]:
                y[i] = c
                found.append(y)
        y[i] = x[i]
    return torch.stack(found)


@wrong("neighbors", "with `range(N - 1)` in place of `range(N)`")
def never_the_last_character(x, N):
    found = []
    for i in range(len(x)):
        for c in range(N - 1):
            if c != x[i]:
                y = x.tolist()
                y[i] = c
                found.append(y)
    return torch.tensor(found)


@wrong("neighbors", "with `range(1, N)` in place of `range(N)`")
def never_the_first_character(x, N):
    found = []
    for i in range(len(x)):
        for c in range(1, N):
            if c != x[i]:
                found.append([*x[:i].tolist(), c, *x[i + 1 :].tolist()])
    return torch.tensor(found)


@wrong("neighbors", "with `range(1)` in place of `range(len(x))`")
def returns_in_the_loop(x, N):
    found = []
    for i in range(len(x)):
        for c in range(N):
            if c != x[i]:
                y = x.clone()
                y[i] = c
                found.append(y)
        return torch.stack(found)


@wrong("neighbors", "The shape should be (2, 1); yours is (1, 2, 1)")
def grouped(x, N):
    groups = []
    for i in range(len(x)):
        group = []
        for c in range(N):
            if c != x[i]:
                y = x.clone()
                y[i] = c
                group.append(y)
        groups.append(torch.stack(group))
    return torch.stack(groups)


@wrong("neighbors", "N to the power of L texts")
def everything(x, N):
    texts = [[]]
    for _ in x:
        texts = [[*t, c] for t in texts for c in range(N)]
    return torch.tensor(texts)


@wrong("neighbors")
def each_twice(x, N):
    found = []
    for i in range(len(x)):
        for c in range(N):
            if c != x[i]:
                y = x.clone()
                y[i] = c
                found += [y, y]
    return torch.stack(found)


@wrong("neighbors")
def only_one_up(x, N):
    found = []
    for i in range(len(x)):
        y = x.clone()
        y[i] = (y[i] + 1) % N
        found.append(y)
    return torch.stack(found)


@wrong("neighbors")
def changes_x_itself(x, N):
    found = []
    for i in range(len(x)):
        for c in range(N):
            if c != x[i]:
                x[i] = c
                found.append(x.clone())
    return torch.stack(found)


@right("neighbors")
def neighbors_by_rotation(x, N):
    rows = []
    for k in range(1, N):
        for i in range(len(x)):
            y = x.numpy().copy()
            y[i] = (y[i] + k) % N
            rows.append(y)
    return torch.tensor(np.array(rows))


@right("neighbors")
def neighbors_in_lists(x, N):
    x = x.tolist()
    return torch.tensor([x[:i] + [c] + x[i + 1 :] for c in range(N) for i in range(len(x)) if c != x[i]])


@wrong("best_jump", "skip every entry that is 0")
def jump_without_zeros(log_score, x):
    others = log_score.clone()
    others[others == 0] = -torch.inf
    return divmod(others.argmax().item(), log_score.shape[1])


@wrong("best_jump", "without `.scatter(-1, x[:, None], -torch.inf)`")
def may_stay(log_score, x):
    flat = log_score.argmax()
    return flat // log_score.shape[1], flat % log_score.shape[1]


@wrong("best_jump", "swapped position and character")
def swapped_pair(log_score, x):
    best, place, character = -1e9, None, None
    for i in range(log_score.shape[0]):
        for y in range(log_score.shape[1]):
            if y != x[i] and log_score[i, y] > best:
                best, place, character = log_score[i, y], i, y
    return character, place


@wrong("best_jump", "worst jump")
def worst_jump(log_score, x):
    s = log_score.clone()
    for i in range(len(x)):
        s[i, x[i]] = torch.inf
    k = int(s.argmin())
    return k // s.shape[1], k % s.shape[1]


@wrong("best_jump", "with `log_score.shape[0]` in place of `log_score.shape[1]`")
def divides_by_length(log_score, x):
    s = log_score.clone()
    s[torch.arange(len(x)), x] = -torch.inf
    k = int(s.argmax())
    return k // s.shape[0], k % s.shape[0]


@wrong("best_jump", "You returned None")
def only_uphill(log_score, x):
    best, jump = 0.0, None
    for i in range(log_score.shape[0]):
        for y in range(log_score.shape[1]):
            if log_score[i, y] > best:
                best, jump = log_score[i, y], (i, y)
    return jump


@wrong("best_jump")
def flat_index(log_score, x):
    s = log_score.clone()
    s[torch.arange(len(x)), x] = -torch.inf
    return s.argmax()


@wrong("best_jump")
def forgets_to_copy(log_score, x):
    log_score[torch.arange(len(x)), x] = -torch.inf
    k = int(log_score.argmax())
    return divmod(k, log_score.shape[1])


@wrong("best_jump")
def zero_at_x(log_score, x):
    s = log_score.clone()
    s[torch.arange(len(x)), x] = 0
    return divmod(int(s.argmax()), s.shape[1])


@wrong("best_jump")
def the_new_text(log_score, x):
    s = log_score.clone()
    s[torch.arange(len(x)), x] = -torch.inf
    i, y = divmod(int(s.argmax()), s.shape[1])
    z = x.clone()
    z[i] = y
    return z


@right("best_jump")
def best_jump_in_numpy(log_score, x):
    s = log_score.numpy().copy()
    s[np.arange(len(x)), x.numpy()] = -np.inf
    return np.unravel_index(s.argmax(), s.shape)


@right("best_jump")
def best_jump_in_loops(log_score, x):
    jumps = [(log_score[i, y].item(), i, y) for i in range(len(x)) for y in range(log_score.shape[1]) if y != x[i]]
    return list(max(jumps)[1:])


def differ(a, b):
    return sum(x != y for x, y in zip(a, b))


@wrong("shortest_ladder", "not always a shortest one")
def depth_first(words, start, goal):
    stack, seen = [[start]], {start}
    while stack:
        path = stack.pop()
        if path[-1] == goal:
            return path
        for w in words:
            if w not in seen and differ(w, path[-1]) == 1:
                seen.add(w)
                stack.append(path + [w])
    return None


@wrong("shortest_ladder", "closest to the goal")
def greedy_ladder(words, start, goal):
    path = [start]
    while path[-1] != goal:
        near = [w for w in words if differ(w, path[-1]) == 1 and w not in path]
        if near == []:
            return None
        near.sort(key=lambda w: differ(w, goal))
        path.append(near[0])
    return path


@wrong("shortest_ladder", "from 'cat' to itself is ['cat']")
def without_start(words, start, goal):
    before, queue = {start: None}, deque([start])
    while queue:
        x = queue.popleft()
        for y in words:
            if differ(x, y) == 1 and y not in before:
                before[y] = x
                queue.append(y)
    if goal not in before:
        return None
    path = []
    while goal != start:
        path.append(goal)
        goal = before[goal]
    return path[::-1]


@wrong("shortest_ladder", "The ladder should go from 'cat' to 'cot', both included; yours goes from 'cot' to")
def reversed_ladder(words, start, goal):
    before, queue = {start: None}, deque([start])
    while queue:
        x = queue.popleft()
        for y in words:
            if differ(x, y) == 1 and y not in before:
                before[y] = x
                queue.append(y)
    if goal not in before:
        return None
    path = [goal]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path


@wrong("shortest_ladder", "you returned the number")
def only_the_distance(words, start, goal):
    steps, queue = {start: 0}, deque([start])
    while queue:
        x = queue.popleft()
        for y in words:
            if differ(x, y) == 1 and y not in steps:
                steps[y] = steps[x] + 1
                queue.append(y)
    return steps.get(goal)


@wrong("shortest_ladder", "exactly in the cases where the right result is None")
def assumes_a_ladder(words, start, goal):
    before, queue = {start: None}, deque([start])
    while queue:
        x = queue.popleft()
        for y in words:
            if differ(x, y) == 1 and y not in before:
                before[y] = x
                queue.append(y)
    path = [goal]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]


@wrong("shortest_ladder", "exactly in the cases where the right result is None")
def never_stops_searching(words, start, goal):
    queue, seen = deque([[start]]), {start}
    while True:
        path = queue.popleft()
        if path[-1] == goal:
            return path
        for y in words:
            if differ(path[-1], y) == 1 and y not in seen:
                seen.add(y)
                queue.append(path + [y])


@wrong("shortest_ladder", "return None")
def empty_if_none(words, start, goal):
    queue, seen = deque([[start]]), {start}
    while queue:
        path = queue.popleft()
        if path[-1] == goal:
            return path
        for y in words:
            if differ(path[-1], y) == 1 and y not in seen:
                seen.add(y)
                queue.append(path + [y])
    return []


@wrong("shortest_ladder")
def ignores_the_words(words, start, goal):
    path = [start]
    for i in range(len(start)):
        if start[i] != goal[i]:
            path.append(goal[: i + 1] + start[i + 1 :])
    return path


@wrong("shortest_ladder", seconds=0.5)
def endless_loop(words, start, goal):
    path = [start]
    while path[-1] != goal:
        path = [start]
        for w in words:
            if differ(w, path[-1]) == 1 and differ(w, goal) < differ(path[-1], goal):
                path.append(w)
    return path


@right("shortest_ladder")
def level_by_level(words, start, goal):
    ladders, seen = [[start]], {start}
    while ladders:
        for ladder in ladders:
            if ladder[-1] == goal:
                return tuple(ladder)
        longer = []
        for ladder in ladders:
            for w in words:
                if w not in seen and differ(w, ladder[-1]) == 1:
                    seen.add(w)
                    longer.append(ladder + [w])
        ladders = longer
    return None


@right("shortest_ladder")
def from_the_goal(words, start, goal):
    distance, frontier = {goal: 0}, [goal]
    while frontier:
        frontier = [w for w in words if w not in distance and any(differ(w, v) == 1 for v in frontier)]
        for w in frontier:
            distance[w] = max(distance.values()) + (w == frontier[0])
    if start not in distance:
        return None
    ladder = [start]
    while ladder[-1] != goal:
        ladder.append(
            next(w for w in words if differ(w, ladder[-1]) == 1 and distance.get(w) == distance[ladder[-1]] - 1)
        )
    return ladder


@wrong("hamming", "It fails exactly in the cases where a has upper-case letters; all others are right")
def hamming_in_lower_case(a, b):
    return sum(x.lower() != y.lower() for x, y in zip(a, b))


@wrong("neighbors", "Return a tensor")
def neighbors_in_a_list(x, N):
    return list(neighbors_in_lists(x, N))


@wrong("shortest_ladder", "but there is a ladder")
def at_most_six_words(words, start, goal):
    ladder = level_by_level(words, start, goal)
    return ladder if ladder and len(ladder) <= 7 else None


@wrong("shortest_ladder", "but there is a ladder")
def never_away_from_the_goal(words, start, goal):
    queue, seen = [[start]], {start}
    while queue:
        path = queue.pop(0)
        if path[-1] == goal:
            return path
        for w in words:
            if w not in seen and differ(w, path[-1]) == 1 and differ(w, goal) <= differ(path[-1], goal):
                seen.add(w)
                queue.append(path + [w])
    return None
