"""Notebook 01: solutions that students write, wrong and right."""

# Students write like this.
# ruff: noqa: RUF005

import math

import numpy as np
import torch

from exercises import right, wrong


@wrong("normalize", "with `weights.norm()` in place of `weights.sum()`")
def normalize_a_vector(weights):
    return weights / weights.norm()


@wrong("normalize", "with `weights.max()` in place of `weights.sum()`")
def largest_becomes_one(weights):
    return weights / max(weights.flatten())


@wrong("normalize", "Your result is the right one with each row divided by its sum")
def normalizes_rows(weights):
    return weights / weights.sum(dim=-1, keepdim=True)


@wrong("normalize", "with `weights.sum(0)` in place of `weights.sum()`")
def normalizes_columns(weights):
    Z = weights.sum(dim=0)
    return weights / Z


@wrong("normalize", "with `weights.exp()` in place of `weights`")
def softmax_of_weights(weights):
    e = torch.exp(weights)
    return e / e.sum()


@wrong("normalize", "with `weights.numel()` in place of `weights.sum()`")
def divides_by_the_count(weights):
    return weights / len(weights.flatten())


@wrong("normalize", "without `weights /`")
def returns_z(weights):
    Z = 0
    for w in weights.flatten():
        Z += w
    return Z


@wrong("normalize")
def in_place(weights):
    weights /= weights.sum()
    return weights


@wrong("normalize")
def flat(weights):
    return weights.flatten() / weights.sum()


@wrong("normalize")
def forgets_return(weights):
    weights / weights.sum()


@wrong("normalize")
def rounds_to_integers(weights):
    return (weights / weights.sum()).round().long()


@right("normalize")
def normalize_in_numpy(weights):
    w = weights.numpy()
    return torch.from_numpy(w / np.sum(w))


@right("normalize")
def normalize_in_logs(weights):
    return (weights.log() - weights.sum().log()).exp().float()


@wrong("concrete_score", "with `-` in place of `/` in `p[tuple(y)] / p[tuple(x)]`")
def score_of_differences(p, x):
    L, N = len(x), len(p)
    s = torch.zeros(L, N, dtype=p.dtype)
    for i in range(L):
        for c in range(N):
            y = x.clone()
            y[i] = c
            s[i, c] = p[tuple(y)] - p[tuple(x)]
    return s


@wrong("concrete_score", "with `p[tuple(x)] / p[tuple(y)]` in place of `p[tuple(y)] / p[tuple(x)]`")
def score_upside_down(p, x):
    s = torch.zeros(len(x), len(p))
    for i in range(len(x)):
        for c in range(len(p)):
            y = x.clone()
            y[i] = c
            s[i, c] = p[tuple(x)] / p[tuple(y)]
    return s


@wrong("concrete_score", "without `/ p[tuple(x)]`")
def score_of_probabilities(p, x):
    s = torch.zeros(len(x), len(p))
    for i in range(len(x)):
        for c in range(len(p)):
            y = x.clone()
            y[i] = c
            s[i, c] = p[tuple(y)]
    return s


@wrong("concrete_score", "Your result is the right one with each row divided by its sum")
def score_is_conditional(p, x):
    rows = []
    for i in range(len(x)):
        index = [int(c) for c in x]
        index[i] = slice(None)
        rows.append(p[tuple(index)] / p[tuple(index)].sum())
    return torch.stack(rows)


@wrong("concrete_score", "Your changes pile up")
def score_accumulates_changes(p, x):
    y = x.clone()
    s = []
    for i in range(len(x)):
        row = []
        for c in range(len(p)):
            y[i] = c
            row.append((p[tuple(y)] / p[tuple(x)]).item())
        s.append(row)
    return s


@wrong("concrete_score", "logarithm of the right one")
def score_in_logs(p, x):
    rows = []
    for i in range(len(x)):
        row = p.movedim(i, 0)[(slice(None), *[x[j] for j in range(len(x)) if j != i])]
        rows.append(row.log() - p[tuple(x)].log())
    return torch.stack(rows)


@wrong("concrete_score", "only at the character that x has there")
def score_zero_at_x(p, x):
    s = torch.zeros(len(x), len(p))
    for i in range(len(x)):
        for c in range(len(p)):
            if c != x[i]:
                y = x.clone()
                y[i] = c
                s[i, c] = p[tuple(y)] / p[tuple(x)]
    return s


@wrong("concrete_score", "transposed")
def score_transposed(p, x):
    rows = []
    for c in range(len(p)):
        row = []
        for i in range(len(x)):
            y = x.tolist()
            y[i] = c
            row.append(p[tuple(y)] / p[tuple(x)])
        rows.append(torch.stack(row))
    return torch.stack(rows)


@wrong("concrete_score")
def score_changes_x(p, x):
    s = torch.zeros(len(x), len(p), dtype=p.dtype)
    px = p[tuple(x)].item()
    for i in range(len(x)):
        old = x[i].item()
        for c in range(len(p)):
            x[i] = c
            s[i, c] = p[tuple(x)] / px
        x[i] = 0 * old
    return s


@wrong("concrete_score")
def score_indexes_with_a_tensor(p, x):
    s = torch.zeros(len(x), len(p))
    for i in range(len(x)):
        for c in range(len(p)):
            y = x.clone()
            y[i] = c
            s[i, c] = p[y] / p[x]
    return s


@right("concrete_score")
def score_in_lists(p, x):
    table, x = p.tolist(), x.tolist()

    def at(text):
        value = table
        for c in text:
            value = value[c]
        return value

    return torch.tensor([[at(x[:i] + [c] + x[i + 1 :]) / at(x) for c in range(len(table))] for i in range(len(x))])


@right("concrete_score")
def score_in_numpy(p, x):
    p, x = p.numpy().astype("float32"), x.numpy()
    rows = []
    for i in range(len(x)):
        index = [*x]
        index[i] = slice(None)
        rows.append(p[tuple(index)])
    return torch.from_numpy(np.stack(rows) / p[tuple(x)])


@wrong("ratio_along_path", "Ratios multiply")
def path_adds(ratio, path):
    total = 0
    for i in range(len(path) - 1):
        total += ratio(path[i + 1], path[i])
    return total


@wrong("ratio_along_path", "with `zip(path[1:], path)` in place of `zip(path, path[1:])`")
def path_backwards(ratio, path):
    total = 1
    for i in range(len(path) - 1):
        total *= ratio(path[i], path[i + 1])
    return total


@wrong("ratio_along_path", "with `zip(path[:-1], path[1:][:-1])` in place of `zip(path, path[1:])`")
def path_stops_early(ratio, path):
    total = 1
    for i in range(len(path) - 2):
        total *= ratio(path[i + 1], path[i])
    return total


@wrong("ratio_along_path", "with `zip(path[1:], path[1:][1:])` in place of `zip(path, path[1:])`")
def path_starts_late(ratio, path):
    total = 1
    for i in range(2, len(path)):
        total *= ratio(path[i], path[i - 1])
    return total


@wrong("ratio_along_path", "with `total = 0.0` in place of `total = 1.0`")
def path_from_zero(ratio, path):
    total = 0
    for x, y in zip(path, path[1:]):
        total = total * ratio(y, x)
    return total


@wrong("ratio_along_path", "logarithm of the right one")
def path_in_logs(ratio, path):
    return sum(math.log(ratio(y, x)) for x, y in zip(path[:-1], path[1:]))


@wrong("ratio_along_path", "ValueError: ratio(y, x) takes neighbors, not y = (0, 1, 2) and x = (0, 1, 2)")
def path_ends_only(ratio, path):
    return ratio(path[-1], path[0])


@wrong("ratio_along_path", "ValueError: ratio(y, x) takes neighbors, not y = (1, 3, 2) and x = (0, 1, 2)")
def path_from_the_start(ratio, path):
    total = 1
    for y in path[1:]:
        total *= ratio(y, path[0])
    return total


@wrong("ratio_along_path", "with `total = ratio(y, x)` in place of `total *= ratio(y, x)`")
def path_last_step_only(ratio, path):
    total = 1
    for x, y in zip(path, path[1:]):
        total = ratio(y, x)
    return total


@wrong("ratio_along_path")
def path_one_too_far(ratio, path):
    total = 1
    for i in range(len(path)):
        total *= ratio(path[i + 1], path[i])
    return total


@right("ratio_along_path")
def path_with_logs(ratio, path):
    return torch.tensor([math.log(ratio(path[i + 1], path[i])) for i in range(len(path) - 1)]).sum().exp()


@right("ratio_along_path")
def path_by_recursion(ratio, path):
    return 1 if len(path) == 1 else ratio(path[1], path[0]) * path_by_recursion(ratio, path[1:])


@wrong("conditional", "The right result is yours divided by its sum")
def conditional_of_the_table(log_score, i):
    s = log_score.exp()
    return s[i] / s.sum()


@wrong("conditional", "yours divided by its sum")
def conditional_without_z(log_score, i):
    return log_score[i].exp()


@wrong("conditional", "You divide log-scores by their sum")
def conditional_of_logs(log_score, i):
    return log_score[i] / sum(log_score[i])


@wrong("conditional", "leave out the current character")
def conditional_without_current(log_score, i):
    s = log_score[i].exp()
    s[log_score[i] == 0] = 0
    return s / s.sum()


@wrong("conditional", "with `log_score[:, i]` in place of `log_score[i]`")
def conditional_of_a_column(log_score, i):
    s = log_score[:, i].exp()
    return s / s.sum()


@wrong("conditional", "Your result is the logarithm of the right one")
def conditional_in_logs(log_score, i):
    return torch.log_softmax(log_score[i], dim=0)


@wrong("conditional", "with all of `log_score` in place of `log_score[i]`")
def conditional_of_all_positions(log_score, i):
    s = log_score.exp()
    return s / s.sum(1, keepdim=True)


@wrong("conditional")
def conditional_of_the_previous_row(log_score, i):
    return torch.softmax(log_score[i - 1], dim=0)


@right("conditional")
def conditional_in_numpy(log_score, i):
    s = np.exp(log_score.numpy()[i] - log_score.numpy()[i].max())
    return torch.tensor(s / s.sum())


@right("conditional")
def conditional_in_lists(log_score, i):
    s = [math.exp(v) for v in log_score[i].tolist()]
    return torch.tensor([v / sum(s) for v in s])


@wrong("normalize", "rounded to 2 digits")
def normalize_rounds(weights):
    return torch.round(weights / weights.sum(), decimals=2)


@wrong("normalize", "Return a tensor")
def normalize_to_an_array(weights):
    return weights.numpy() / weights.numpy().sum()


@wrong("concrete_score", "Return a tensor")
def score_in_an_array(p, x):
    return score_in_numpy(p, x).numpy()


@wrong("concrete_score", "Return a tensor")
def score_in_a_list(p, x):
    return score_in_numpy(p, x).tolist()


@wrong("concrete_score")
def score_without_small_ratios(p, x):
    return score_in_numpy(p, x).clamp(min=1e-3)


@wrong("concrete_score", "rounded to 3 digits")
def score_rounds(p, x):
    return score_in_numpy(p, x).double().round(decimals=3)


@wrong("ratio_along_path", "You count a step once if it comes again")
def path_in_a_dictionary(ratio, path):
    total = 1
    for x, y in {x: y for x, y in zip(path, path[1:])}.items():
        total *= ratio(y, x)
    return total


@wrong("ratio_along_path", "rounded to 4 digits")
def path_rounds(ratio, path):
    return round(path_by_recursion(ratio, path), 4)


@wrong("conditional", "Return a tensor")
def conditional_in_a_list(log_score, i):
    return conditional_in_numpy(log_score, i).tolist()


@wrong("conditional", "calls exit()")
def conditional_exits(log_score, i):
    exit()
