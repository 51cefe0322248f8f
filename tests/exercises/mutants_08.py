"""Notebook 08: solutions that students write, wrong and right."""

import math
import statistics

import numpy as np
import torch

from exercises import right, wrong


@wrong("bound_per_text", "without `/ (1 - share)`")
def bound_without_factor(entropy, share):
    return entropy.sum(dim=2).mean(dim=1)


@wrong("bound_per_text", "with `*` in place of `/`")
def bound_multiplies(entropy, share):
    return ((1 - share) * entropy.sum(2)).mean(1)


@wrong("bound_per_text", "without `1 -`")
def bound_by_the_share(entropy, share):
    return (entropy.sum(2) / share).mean(1)


@wrong("bound_per_text", "weight with sigma")
def bound_with_sigma(entropy, share):
    sigma = -torch.log1p(-share)
    return (sigma * entropy.sum(2)).mean(1)


@wrong("bound_per_text", "with `entropy.mean(-1)` in place of `entropy.sum(-1)`")
def bound_per_character(entropy, share):
    return (entropy / (1 - share)[:, :, None]).mean((1, 2))


@wrong("bound_per_text", "Your result is the right one times the size of entropy along axis 1")
def bound_grows(entropy, share):
    return (entropy / (1 - share)[:, :, None]).sum((1, 2))


@wrong("bound_per_text", "Divide at each level first")
def bound_of_means(entropy, share):
    return entropy.sum(2).mean(1) / (1 - share).mean(1)


@wrong("bound_per_text", "Your result is the right one averaged along the last axis")
def bound_of_all(entropy, share):
    return (entropy.sum(2) / (1 - share)).mean()


@wrong("bound_per_text", "without `.mean(-1)`")
def bound_per_level(entropy, share):
    return entropy.sum(2) / (1 - share)


@wrong("bound_per_text", "You use the first noise level only")
def bound_of_the_first(entropy, share):
    return entropy[:, 0].sum(1) / (1 - share[:, 0])


@wrong("bound_per_text", "trapezoidal rule")
def bound_by_the_trapezoid(entropy, share):
    return torch.trapezoid(entropy.sum(2) / (1 - share), share, dim=1)


@right("bound_per_text")
def bound_in_loops(entropy, share):
    bounds = []
    for text, levels in zip(entropy.tolist(), share.tolist()):
        bounds.append(sum(sum(costs) / (1 - m) for costs, m in zip(text, levels)) / len(levels))
    return torch.tensor(bounds)


@right("bound_per_text")
def bound_with_exp_sigma(entropy, share):
    sigma = -np.log1p(-share.numpy())
    return torch.from_numpy(np.einsum("mkl,mk->m", entropy.numpy(), np.exp(sigma)) / share.shape[1])


@wrong("bits_and_perplexity", "You return the two results in the wrong order")
def units_swapped(nats, length):
    h = nats.mean() / length
    return math.exp(h), h / math.log(2)


@wrong("bits_and_perplexity", "with `*` in place of `/` in `nats.mean() / length / math.log(2)`")
def units_multiplied(nats, length):
    h = nats.mean() / length
    return h * math.log(2), torch.exp(h)


@wrong("bits_and_perplexity", "Result 1: Your result is the right one times 0.30103")
def units_of_ten(nats, length):
    h = nats.mean() / length
    return h / math.log(10), torch.exp(h)


@wrong("bits_and_perplexity", "2 to the power of the nats")
def units_of_two(nats, length):
    h = nats.mean() / length
    return h / math.log(2), 2**h


@wrong("bits_and_perplexity", "e to the power of the bits")
def units_mixed(nats, length):
    bits = (nats.mean() / length / math.log(2)).item()
    return bits, math.exp(bits)


@wrong("bits_and_perplexity", "without `/ length`")
def units_per_text(nats, length):
    h = nats.mean()
    return h / math.log(2), h.exp()


@wrong("bits_and_perplexity", "that of a whole text")
def perplexity_per_text(nats, length):
    return nats.mean() / math.log(2) / length, nats.mean().exp()


@wrong("bits_and_perplexity", "one hard text dominates")
def units_of_exp_first(nats, length):
    h = nats / length
    return h.mean() / math.log(2), h.exp().mean()


@wrong("bits_and_perplexity", "without `.mean()`")
def units_of_each(nats, length):
    h = nats / length
    return h / math.log(2), h.exp()


@wrong("bits_and_perplexity", "perplexity of a text by its length")
def units_with_length_after(nats, length):
    return nats.mean() / math.log(2) / length, nats.mean().exp() / length


@wrong("bits_and_perplexity")
def units_without_bits(nats, length):
    return math.exp(nats.mean() / length)


@right("bits_and_perplexity")
def units_by_log2(nats, length):
    bits = nats.mean().item() * math.log2(math.e) / length
    return bits, 2**bits


@right("bits_and_perplexity")
def units_in_lists(nats, length):
    values = nats.tolist()
    h = sum(values) / (len(values) * length)
    return [h / np.log(2), np.exp(h)]


@wrong("paired_gap", "Your ± combines those of a and b")
def gap_unpaired(a, b):
    M = len(a)
    return a.mean() - b.mean(), (a.var() / M + b.var() / M).sqrt()


@wrong("paired_gap", "Your ± combines those of a and b")
def gap_added(a, b):
    return a.mean() - b.mean(), (a.std() + b.std()) / math.sqrt(len(a))


@wrong("paired_gap", "without `/ len(a - b) ** 0.5`")
def gap_of_single_texts(a, b):
    return (a - b).mean(), (a - b).std()


@wrong("paired_gap", "without `** 0.5`")
def gap_divided_by_m(a, b):
    return (a - b).mean(), (a - b).std() / len(a)


@wrong("paired_gap", "Result 2: Your result is the square of the right one")
def gap_of_variances(a, b):
    return (a - b).mean(), (a - b).var() / len(a)


@wrong("paired_gap", "with `(a - b).std(correction=0)` in place of `(a - b).std()`")
def gap_in_plain_numpy(a, b):
    d = a.numpy() - b.numpy()
    return d.mean(), d.std() / np.sqrt(len(d))


@wrong("paired_gap", "a and b exchanged")
def gap_backwards(a, b):
    d = b - a
    return d.mean(), d.std() / math.sqrt(len(d))


@wrong("paired_gap", "with `d.abs()` in place of `d`")
def gap_without_sign(a, b):
    d = (a - b).abs()
    return d.mean(), d.std() / math.sqrt(len(d))


@wrong("paired_gap", "You return the two results in the wrong order")
def gap_swapped(a, b):
    d = a - b
    return d.std() / math.sqrt(len(d)), d.mean()


@wrong("paired_gap", "2 results were expected")
def gap_without_error(a, b):
    return (a - b).mean()


@wrong("paired_gap", "median")
def gap_of_medians(a, b):
    d = a - b
    return d.median(), d.std() / math.sqrt(len(d))


@wrong("paired_gap")
def gap_in_place(a, b):
    a -= b
    return a.mean(), a.std() / math.sqrt(len(a))


@right("paired_gap")
def gap_in_lists(a, b):
    d = [u - v for u, v in zip(a.tolist(), b.tolist())]
    return statistics.mean(d), statistics.stdev(d) / len(d) ** 0.5


@right("paired_gap")
def gap_by_hand(a, b):
    d = (a - b).float()
    mean = d.sum() / len(d)
    return torch.stack([mean, (((d - mean) ** 2).sum() / (len(d) - 1) / len(d)) ** 0.5])


@wrong("autoregressive_loss", "cheats")
def gpt_that_peeks(predict, x0, start):
    log_p = predict(x0)
    return -log_p.gather(-1, x0[..., None]).mean()


@wrong("autoregressive_loss", "leave out the first character")
def gpt_without_start(predict, x0, start):
    log_p = predict(x0[:, :-1])
    return -log_p.gather(-1, x0[:, 1:, None]).mean()


@wrong("autoregressive_loss", "first character from character 0")
def gpt_from_zero(predict, x0, start):
    seen = torch.zeros_like(x0)
    seen[:, 1:] = x0[:, :-1]
    return -predict(seen).gather(-1, x0[..., None]).mean()


@wrong("autoregressive_loss", "shift the wrong way")
def gpt_rolled_the_wrong_way(predict, x0, start):
    seen = torch.roll(x0, -1, dims=1)
    seen[:, -1] = start
    return -predict(seen).gather(-1, x0[..., None]).mean()


@wrong("autoregressive_loss", "without the minus in front of `predict(seen).gather(-1, x0[..., None]).mean()`")
def gpt_negated(predict, x0, start):
    seen = torch.cat([torch.full((len(x0), 1), start), x0[:, :-1]], dim=1)
    return predict(seen).gather(-1, x0[..., None]).mean()


@wrong("autoregressive_loss", "times the size of x0 along axis 1")
def gpt_per_text(predict, x0, start):
    seen = torch.cat([torch.full((len(x0), 1), start), x0[:, :-1]], dim=1)
    return -predict(seen).gather(-1, x0[..., None]).sum() / len(x0)


@wrong("autoregressive_loss", "with `predict(seen).gather(-1, x0[..., None]).sum()` in place of")
def gpt_summed(predict, x0, start):
    seen = torch.cat([torch.full((len(x0), 1), start), x0[:, :-1]], dim=1)
    return -predict(seen).gather(-1, x0[..., None]).sum()


@wrong("autoregressive_loss", "one loss for each text")
def gpt_for_each(predict, x0, start):
    seen = torch.cat([torch.full((len(x0), 1), start), x0[:, :-1]], dim=1)
    return -predict(seen).gather(-1, x0[..., None]).squeeze(-1).mean(1)


@wrong("autoregressive_loss", "The numbers are right, but they have no gradient, so nothing can be learned from them")
def gpt_as_a_number(predict, x0, start):
    seen = torch.cat([torch.full((len(x0), 1), start), x0[:, :-1]], dim=1)
    return -float(predict(seen).gather(-1, x0[..., None]).mean())


@wrong("autoregressive_loss", "without `.gather(-1, x0[..., None])`")
def gpt_of_all_letters(predict, x0, start):
    seen = torch.cat([torch.full((len(x0), 1), start), x0[:, :-1]], dim=1)
    return -predict(seen).mean()


@wrong("autoregressive_loss", "The loss is -log p")
def gpt_with_softmax_forgotten(predict, x0, start):
    seen = torch.cat([torch.full((len(x0), 1), start), x0[:, :-1]], dim=1)
    return -predict(seen).exp().gather(-1, x0[..., None]).mean()


@right("autoregressive_loss")
def gpt_by_cross_entropy(predict, x0, start):
    seen = torch.roll(x0, 1, dims=1)
    seen[:, 0] = start
    return torch.nn.functional.cross_entropy(predict(seen).flatten(0, 1), x0.flatten())


@right("autoregressive_loss")
def gpt_character_by_character(predict, x0, start):
    seen = torch.full((len(x0), 1), start)
    total = 0.0
    for i in range(x0.shape[1]):
        log_p = predict(seen)[:, -1]
        total = total - log_p[range(len(x0)), x0[:, i]].sum()
        seen = torch.cat([seen, x0[:, i : i + 1]], dim=1)
    return total / x0.numel()


@right("autoregressive_loss")
def gpt_with_one_more_prediction(predict, x0, start):
    seen = torch.cat([torch.full((len(x0), 1), start), x0], dim=1)
    return -predict(seen).gather(-1, x0[..., None]).mean()


@wrong("agreeing_share", "with `len(x) - 1` in place of `len(x)`")
def agree_with_std(x, first, second):
    agrees = (x[:, first] == x[:, second]).all(-1).double()
    return agrees.mean(), agrees.std() / len(x) ** 0.5


@wrong("agreeing_share", "without `.all(-1)`")
def share_of_characters(x, first, second):
    p = (x[:, first] == x[:, second]).double().mean()
    return p, (p * (1 - p) / len(x)).sqrt()


@wrong("agreeing_share", "with `(x[:, first] == x[:, second]).any(-1)` in place of `(x[:, first] == x[:,")
def share_of_any(x, first, second):
    p = (x[:, first] == x[:, second]).any(1).double().mean()
    return p, (p * (1 - p) / len(x)).sqrt()


@wrong("agreeing_share", "with `(x[:, first] == x[:, second])[:, 0]` in place of `(x[:, first] == x[:,")
def share_of_first_letters(x, first, second):
    p = (x[:, first[0]] == x[:, second[0]]).double().mean()
    return p, (p * (1 - p) / len(x)).sqrt()


@wrong("agreeing_share", "without sorting")
def share_of_letters(x, first, second):
    rows = x.tolist()
    same = [sorted(row[i] for i in first) == sorted(row[i] for i in second) for row in rows]
    p = sum(same) / len(rows)
    return p, math.sqrt(p * (1 - p) / len(rows))


@wrong("agreeing_share", "with `1 - (x[:, first] == x[:, second]).all(-1).double().mean()` in place of `(x[:,")
def share_that_differs(x, first, second):
    p = (x[:, first] != x[:, second]).any(1).double().mean()
    return p, (p * (1 - p) / len(x)).sqrt()


@wrong("agreeing_share", "Result 1: Your result is the right one times the size of x along axis 0")
def share_is_a_count(x, first, second):
    same = (x[:, first] == x[:, second]).all(1).double()
    p = same.mean()
    return same.sum(), (p * (1 - p) / len(x)).sqrt()


@wrong("agreeing_share", "without `.sqrt()`")
def share_with_variance(x, first, second):
    p = (x[:, first] == x[:, second]).all(1).double().mean()
    return p, p * (1 - p) / len(x)


@wrong("agreeing_share", "without `/ len(x)`")
def share_of_single_texts(x, first, second):
    p = (x[:, first] == x[:, second]).all(1).double().mean()
    return p, (p * (1 - p)).sqrt()


@wrong("agreeing_share", "B instead of √B")
def share_divided_by_b(x, first, second):
    p = (x[:, first] == x[:, second]).all(1).double().mean()
    return p, (p * (1 - p)).sqrt() / len(x)


@wrong("agreeing_share", "2 results were expected")
def share_without_error(x, first, second):
    return (x[:, first] == x[:, second]).all(1).double().mean()


@wrong("agreeing_share")
def share_of_rows(x, first, second):
    p = (x[first] == x[second]).all(1).double().mean()
    return p, (p * (1 - p) / len(x)).sqrt()


@wrong("agreeing_share", "with `len(x) - 1` in place of `len(x)`")
def share_by_the_sample(x, first, second):
    same = (x[:, first] == x[:, second]).all(1).double()
    return same.mean(), same.std() / math.sqrt(len(same))


@right("agreeing_share")
def share_in_loops(x, first, second):
    count = 0
    for row in x:
        if all(row[i] == row[j] for i, j in zip(first, second)):
            count += 1
    p = count / len(x)
    return p, math.sqrt(p * (1 - p) / len(x))


@right("agreeing_share")
def share_in_numpy(x, first, second):
    same = np.all(x.numpy()[:, first] == x.numpy()[:, second], axis=1)
    return np.array([same.mean(), same.std() / np.sqrt(len(same))])


# Answers of other kinds ---------------------------------------------------------------------------------------------


@wrong("paired_gap", "drop the sign")
def gap_of_the_mean_without_sign(a, b):
    d = a - b
    return d.mean().abs(), d.std() / math.sqrt(len(d))


@wrong("bound_per_text", "Return a tensor")
def bound_as_a_list(entropy, share):
    return bound_in_loops(entropy, share).tolist()


@wrong("autoregressive_loss", "The numbers are right, but not their gradient with respect to predict")
def gpt_that_learns_only_the_start(predict, x0, start):
    seen = torch.cat([torch.full((len(x0), 1), start), x0[:, :-1]], dim=1)
    log_p = predict(seen)
    log_p = torch.cat([log_p[:, :1], log_p[:, 1:].detach()], dim=1)
    return -log_p.gather(-1, x0[..., None]).mean()


@wrong("bits_and_perplexity", "with `nats.sum()` in place of `nats.mean()`")
def units_of_a_sum(nats, length):
    h = nats.sum() / length
    return h / math.log(2), h.exp()


@wrong("agreeing_share")
def share_of_sets(x, first, second):
    same = torch.tensor([set(row[first].tolist()) == set(row[second].tolist()) for row in x]).double()
    p = same.mean()
    return p, (p * (1 - p) / len(x)).sqrt()


@wrong("agreeing_share")
def share_with_slices(x, first, second):
    a, b = (x[:, k[0] : k[-1] + 1] for k in (first, second))
    p = (a == b).all(-1).double().mean() if a.shape == b.shape else torch.tensor(0.0).double()
    return p, (p * (1 - p) / len(x)).sqrt()


@wrong("agreeing_share")
def share_of_all_texts(x, first, second):
    p = (x[:, first] == x[:, second]).all(0).double().mean()
    return p, (p * (1 - p) / len(x)).sqrt()


@wrong("autoregressive_loss")
def loss_rolled(predict, x0, start):
    return -predict(x0.roll(1, dims=1)).gather(-1, x0[..., None]).mean()
