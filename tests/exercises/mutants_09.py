"""Notebook 09: solutions that students write, wrong and right."""

import itertools
import math

import numpy as np
import torch

from exercises import right, wrong


@wrong("group_errors", "You return the two results in the wrong order")
def group_swapped(f, g, k, n):
    return n * (g[k] - f[k]), n * f[k] - f[k : k + n].sum()


@wrong("group_errors", "starts at f(0)")
def group_from_the_start(f, g, k, n):
    return n * f[k] - f[:n].sum(), n * (g[k] - f[k])


@wrong("group_errors", "with `f[k + 1:k + n]` in place of `f[k:k + n]`")
def group_after_the_first(f, g, k, n):
    return n * f[k] - sum(f[k + j] for j in range(1, n)), n * (g[k] - f[k])


@wrong("group_errors", "one place too late")
def group_with_j_from_one_to_n(f, g, k, n):
    together = sum(f[k + j] for j in range(1, n + 1) if k + j < len(f))
    return n * f[k] - together, n * (g[k] - f[k])


@wrong("group_errors", "with `f[k:k + n + 1]` in place of `f[k:k + n]`")
def group_with_a_term_too_many(f, g, k, n):
    return n * f[k] - f[k : k + n + 1].sum(), n * (g[k] - f[k])


@wrong("group_errors", "with `f[k:]` in place of `f[k:k + n]`")
def group_to_the_end(f, g, k, n):
    return n * f[k] - f[k:].sum(), n * (g[k] - f[k])


@wrong("group_errors", "without `n *`")
def group_of_one(f, g, k, n):
    return f[k] - f[k : k + n].sum(), n * (g[k] - f[k])


@wrong("group_errors", "without `n *`")
def group_learning_of_one(f, g, k, n):
    return n * f[k] - f[k : k + n].sum(), g[k] - f[k]


@wrong("group_errors", "Your factorization error uses g")
def group_blames_the_sampler_with_g(f, g, k, n):
    return n * g[k] - g[k : k + n].sum(), n * (g[k] - f[k])


@wrong("group_errors", "with `n * g[k]` in place of `n * f[k]`")
def group_counts_twice(f, g, k, n):
    return n * g[k] - f[k : k + n].sum(), n * (g[k] - f[k])


@wrong("group_errors", "goes on to g(k + 1)")
def group_learns_along_the_way(f, g, k, n):
    return n * f[k] - f[k : k + n].sum(), (g[k : k + n] - f[k : k + n]).sum()


@wrong("group_errors", "without `- f[k]`")
def group_learning_is_g(f, g, k, n):
    return n * f[k] - f[k : k + n].sum(), n * g[k]


@wrong("group_errors", "2 results were expected, but you returned a tensor of shape ()")
def group_total(f, g, k, n):
    return n * g[k] - f[k : k + n].sum()


@wrong("group_errors", "with `f[k] - g[k]` in place of `g[k] - f[k]`")
def group_negative_learning(f, g, k, n):
    return n * f[k] - f[k : k + n].sum(), n * (f[k] - g[k])


@wrong("group_errors", "with `f[k:k + n].sum() - n * f[k]` in place of `n * f[k] - f[k:k + n].sum()`")
def group_negative_factorization(f, g, k, n):
    return f[k : k + n].sum() - n * f[k], n * (g[k] - f[k])


@wrong("group_errors", "Result 1: Your result is the right one divided by n")
def group_per_character(f, g, k, n):
    return f[k] - f[k : k + n].mean(), n * (g[k] - f[k])


@wrong("group_errors", "with `k - 1` in place of `k`")
def group_with_k_from_one(f, g, k, n):
    return n * f[k - 1] - f[k - 1 : k - 1 + n].sum(), n * (g[k - 1] - f[k - 1])


@right("group_errors")
def group_in_a_loop(f, g, k, n):
    factorization = learning = 0.0
    for j in range(n):
        factorization += float(f[k]) - float(f[k + j])
        learning += float(g[k]) - float(f[k])
    return factorization, learning


@right("group_errors")
def group_in_numpy(f, g, k, n):
    f, g = f.numpy(), g.numpy()
    return np.array([(f[k] - f[k : k + n]).sum(), n * (g[k] - f[k])])


@wrong("cost_of_one", "This is the false bound")
def cost_joint_over_n(joint, x0):
    return -joint[tuple(x0)].log() / len(x0)


@wrong("cost_of_one", "This is the false bound")
def cost_by_the_chain_rule(joint, x0):
    total, left = 0, joint
    for c in x0:  # each character given those before it
        p = left.reshape(len(left), -1).sum(1)
        total, left = total - (p[c] / p.sum()).log(), left[c]
    return total / len(x0)


@wrong("cost_of_one", "the joint cost of all n characters")
def cost_joint(joint, x0):
    return -torch.log(joint[tuple(x0.tolist())])


@wrong("cost_of_one", "with `p.log().sum()` in place of `p.log().mean()`")
def cost_of_all(joint, x0):
    return -sum(joint.select(i, int(c)).sum().log() for i, c in enumerate(x0))


@wrong("cost_of_one", "log of a mean")
def cost_of_the_mean(joint, x0):
    p = [joint.select(i, int(c)).sum() for i, c in enumerate(x0)]
    return -(sum(p) / len(p)).log()


@wrong("cost_of_one", "the first masked character")
def cost_of_the_first(joint, x0):
    return -joint[x0[0]].sum().log()


@wrong("cost_of_one", "with `p.log().max()` in place of `p.log().mean()`")
def cost_of_the_easiest(joint, x0):
    return min(-joint.select(i, int(c)).sum().log() for i, c in enumerate(x0))


@wrong("cost_of_one", "You condition on the other masked characters")
def cost_given_the_others(joint, x0):
    costs = []
    for i, c in enumerate(x0):
        row = joint[tuple(slice(None) if j == i else x0[j] for j in range(len(x0)))]
        costs.append(-(row[c] / row.sum()).log())
    return sum(costs) / len(costs)


@wrong("cost_of_one", "run backward")
def cost_backward(joint, x0):
    n = len(x0)
    return -sum(joint.select(n - 1 - i, int(c)).sum().log() for i, c in enumerate(x0)) / n


@wrong("cost_of_one", "always look at axis 0")
def cost_on_axis_0(joint, x0):
    p = joint.reshape(len(joint), -1).sum(1)
    return -p[x0].log().mean()


@wrong("cost_of_one", "with `joint.select(i, c).max()` in place of `joint.select(i, c).sum()`")
def cost_with_max(joint, x0):
    return -sum(joint.select(i, int(c)).max().log() for i, c in enumerate(x0)) / len(x0)


@wrong("cost_of_one", "You average 1 - p")
def cost_without_log(joint, x0):
    return 1 - sum(joint.select(i, int(c)).sum() for i, c in enumerate(x0)) / len(x0)


@wrong("cost_of_one", "without the minus in front of `p.log().mean()`")
def cost_negated(joint, x0):
    return sum(joint.select(i, int(c)).sum().log() for i, c in enumerate(x0)) / len(x0)


@wrong("cost_of_one", "with `p.log2()` in place of `p.log()`")
def cost_in_bits(joint, x0):
    return -sum(joint.select(i, int(c)).sum().log2() for i, c in enumerate(x0)) / len(x0)


@wrong("cost_of_one")
def cost_as_an_entropy(joint, x0):
    margins = [joint.movedim(i, 0).reshape(len(joint), -1).sum(1) for i in range(joint.ndim)]
    return sum(torch.special.entr(p).sum() for p in margins) / joint.ndim


@right("cost_of_one")
def cost_by_moving_axes(joint, x0):
    total = 0.0
    for i, c in enumerate(x0.tolist()):
        margin = joint.movedim(i, 0).reshape(joint.shape[0], -1).sum(1)
        total -= math.log(margin[c])
    return total / len(x0)


@right("cost_of_one")
def cost_by_enumeration(joint, x0):
    n, target = joint.ndim, x0.tolist()
    p = np.zeros(n)
    for text in itertools.product(range(len(joint)), repeat=n):
        for i in range(n):
            p[i] += float(joint[text]) * (text[i] == target[i])
    return torch.tensor(-np.log(p).mean())


@wrong("audit", "without the minus in front of `bounds`")
def audit_without_minus(bounds, errors):
    claimed = bounds.exp()
    total, error = claimed.sum(), (claimed * errors).norm()
    return total, error, total - 3 * error > 1


@wrong("audit", "You take 2^-B")
def audit_in_bits(bounds, errors):
    claimed = 2**-bounds
    total, error = claimed.sum(), (claimed * errors).norm()
    return total, error, total - 3 * error > 1


@wrong("audit", "with `(-bounds).exp().prod()` in place of `(-bounds).exp().sum()`")
def audit_of_the_sum(bounds, errors):
    total, error = torch.exp(-bounds.sum()), (torch.exp(-bounds) * errors).norm()
    return total, error, total - 3 * error > 1


@wrong("audit", "with `(-bounds).exp().mean()` in place of `(-bounds).exp().sum()`")
def audit_of_the_mean(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.mean(), (claimed * errors).norm()
    return total, error, total - 3 * error > 1


@wrong("audit", "without `(-bounds).exp() *`")
def audit_with_errors_of_bounds(bounds, errors):
    total, error = (-bounds).exp().sum(), errors.norm()
    return total, error, total - 3 * error > 1


@wrong("audit", "You add the ± values")
def audit_with_errors_added(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (claimed * errors).sum()
    return total, error, total - 3 * error > 1


@wrong("audit", "with `((-bounds).exp() * errors).square().mean()` in place of `((-bounds).exp() *")
def audit_with_the_mean_square(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (claimed * errors).square().mean().sqrt()
    return total, error, total - 3 * error > 1


@wrong("audit", "without `.sqrt()`")
def audit_with_a_variance(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (claimed * errors).square().sum()
    return total, error, total - 3 * error > 1


@wrong("audit", "without `- 3 * error`")
def audit_without_mercy(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (claimed * errors).norm()
    return total, error, total > 1


@wrong("audit", "at one standard error")
def audit_at_one_error(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (claimed * errors).norm()
    return total, error, total > 1 + error


@wrong("audit", "at two standard errors")
def audit_at_two_errors(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (claimed * errors).norm()
    return total, error, total > 1 + 2 * error


@wrong("audit", "with `+` in place of `-` in `total - 3 * error`")
def audit_with_the_error_added(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (claimed * errors).norm()
    return total, error, total + 3 * error > 1


@wrong("audit", "with `total - 3 * error < 1` in place of `total - 3 * error > 1`")
def audit_reversed(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (claimed * errors).norm()
    return total, error, not total - 3 * error > 1


@wrong("audit", "You also catch sums below 1")
def audit_on_both_sides(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (claimed * errors).norm()
    return total, error, (total - 1).abs() > 3 * error


@wrong("audit", "3 results were expected")
def audit_without_a_verdict(bounds, errors):
    claimed = (-bounds).exp()
    return claimed.sum(), (claimed * errors).norm()


@wrong("audit")
def audit_of_exp_of_errors(bounds, errors):
    claimed = (-bounds).exp()
    total, error = claimed.sum(), (-errors).exp().norm()
    return total, error, total - 3 * error > 1


@right("audit")
def audit_in_a_loop(bounds, errors):
    total = variance = 0.0
    for bound, error in zip(bounds.tolist(), errors.tolist()):
        total += math.exp(-bound)
        variance += (math.exp(-bound) * error) ** 2
    return total, math.sqrt(variance), (total - 1) > 3 * math.sqrt(variance)


@right("audit")
def audit_in_numpy(bounds, errors):
    claimed = np.exp(-bounds.numpy())
    total, error = claimed.sum(), np.linalg.norm(claimed * errors.numpy())
    return total, error, bool(total > 1 + 3 * error)


@wrong("temperature_law", "This is p^(1/T)")
def law_of_whole_texts(p, T):
    q = p ** (1 / T)
    return q / q.sum()


@wrong("temperature_law", "This is p^(1/T)")
def law_normalized_at_the_end(p, T):
    first = p.sum(1, keepdim=True)
    q = first ** (1 / T) * (p / first) ** (1 / T)
    return q / q.sum()


@wrong("temperature_law", "without `1 /`")
def law_with_t(p, T):
    first = p.sum(1) ** T
    second = (p / p.sum(1, keepdim=True)) ** T
    return first[:, None] / first.sum() * second / second.sum(1, keepdim=True)


@wrong("temperature_law", "without `** (1 / T)`")
def law_of_the_second_only(p, T):
    second = (p / p.sum(1, keepdim=True)) ** (1 / T)
    return p.sum(1, keepdim=True) * second / second.sum(1, keepdim=True)


@wrong("temperature_law", "without `** (1 / T)`")
def law_of_the_first_only(p, T):
    first = p.sum(1) ** (1 / T)
    return (first / first.sum())[:, None] * p / p.sum(1, keepdim=True)


@wrong("temperature_law", "without `/ second.sum(1, keepdim=True)`")
def law_with_loose_rows(p, T):
    first = p.sum(1) ** (1 / T)
    return (first / first.sum())[:, None] * (p / p.sum(1, keepdim=True)) ** (1 / T)


@wrong("temperature_law", "without `/ (p.sum(1) ** (1 / T)).sum()`")
def law_with_a_loose_first(p, T):
    second = p ** (1 / T)
    return p.sum(1, keepdim=True) ** (1 / T) * second / second.sum(1, keepdim=True)


@wrong("temperature_law", "without looking at the first")
def law_of_independent_characters(p, T):
    first, second = p.sum(1) ** (1 / T), p.sum(0) ** (1 / T)
    return torch.outer(first / first.sum(), second / second.sum())


@wrong("temperature_law", "with `((p / p.sum(1, keepdim=True)) ** (1 / T)).sum(0)` in place of `second.sum(1,")
def law_with_columns(p, T):
    first = p.sum(1) ** (1 / T)
    second = (p / p.sum(1, keepdim=True)) ** (1 / T)
    return (first / first.sum())[:, None] * second / second.sum(0)


@wrong("temperature_law", "from right to left")
def law_from_the_right(p, T):
    last = p.sum(0) ** (1 / T)
    first = (p / p.sum(0)) ** (1 / T)
    return last / last.sum() * first / first.sum(0)


@wrong("temperature_law", "over both orders")
def law_of_both_orders(p, T):
    return (law_by_outer(p, T) + law_by_outer(p.T, T).T) / 2


@wrong("temperature_law", "without `(first / first.sum())[:, None] *`")
def law_of_the_second_alone(p, T):
    second = p ** (1 / T)
    return second / second.sum(1, keepdim=True)


@wrong("temperature_law")
def law_with_a_softmax(p, T):
    first = torch.softmax(p.sum(1) / T, 0)
    second = torch.softmax(p / p.sum(1, keepdim=True) / T, 1)
    return first[:, None] * second


@wrong("temperature_law", "transposed")
def law_transposed(p, T):
    return law_by_outer(p, T).T


@right("temperature_law")
def law_by_outer(p, T):
    sharp = p ** (1 / T)  # the factor p(a)^(1/T) cancels in each row
    first = p.sum(dim=1).pow(1 / T)
    return torch.einsum("a,ab->ab", first / first.sum(), sharp / sharp.sum(dim=1, keepdim=True))


@right("temperature_law")
def law_in_loops(p, T):
    N, q = len(p), torch.zeros_like(p)
    first = [float(row.sum()) ** (1 / T) for row in p]
    for a in range(N):
        row = [(float(p[a, b]) / float(p[a].sum())) ** (1 / T) for b in range(N)]
        for b in range(N):
            q[a, b] = first[a] / sum(first) * row[b] / sum(row)
    return q


@right("temperature_law")
def law_by_softmax_of_logs(p, T):
    first = (p.sum(1).log() / T).softmax(0)
    return first[:, None] * (p.log() / T).softmax(1)


@wrong("group_errors")
def errors_never_below_0(f, g, k, n):
    return (n * f[k] - f[k : k + n].sum()).clamp(min=0), (n * (g[k] - f[k])).clamp(min=0)
