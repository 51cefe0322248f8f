"""Notebook 04: solutions that students write, wrong and right."""

# Students write like this.
# ruff: noqa: RUF059

import math

import numpy as np
import torch

from exercises import right, wrong


@wrong("score_entropy", "Your wrong numbers are all nan")
def entropy_with_nan(s, r):
    return s - r * torch.log(s) + r * (torch.log(r) - 1)


@wrong("score_entropy", "s and r exchanged")
def entropy_swapped(s, r):
    return r - s * torch.log(r) + s * (torch.log(s) - 1)


@wrong("score_entropy", "r (log r - 1) is missing")
def entropy_without_the_constant(s, r):
    return s - r * s.log()


@wrong("score_entropy", "without `- r`")
def entropy_with_half_the_constant(s, r):
    constant = torch.where(r > 0, r * r.clamp(min=1e-30).log(), 0)
    return s - r * s.log() + constant


@wrong("score_entropy", "with `+` in place of `-` in `s - r * s.log()`")
def entropy_with_a_plus(s, r):
    return s + r * s.log() + torch.xlogy(r, r) - r


@wrong("score_entropy", "Your result is the right one with the sign flipped")
def entropy_negated(s, r):
    return r * s.log() - s - torch.xlogy(r, r) + r


@wrong("score_entropy", "squared error")
def entropy_as_squares(s, r):
    return (r - s).square()


@wrong("score_entropy", "cross-entropy")
def entropy_as_cross_entropy(s, r):
    return -(r * s.log())


@wrong("score_entropy", "The shape should be (2,); yours is ()")
def entropy_added_up(s, r):
    total = 0.0
    for a, b in zip(s.flatten().tolist(), r.flatten().tolist()):
        total += a - b * math.log(a) + (b * (math.log(b) - 1) if b > 0 else 0)
    return total


@wrong("score_entropy")
def entropy_to_base_two(s, r):
    return s - r * s.log2() + torch.where(r > 0, r * (r.log2() - 1), 0.0)


@wrong("score_entropy")
def entropy_with_an_epsilon(s, r):
    return s - r * (s + 1e-2).log() + r * ((r + 1e-2).log() - 1)


@right("score_entropy")
def entropy_in_numpy(s, r):
    s, r = s.numpy(), r.numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        constant = np.where(r > 0, r * (np.log(r) - 1), 0)
    return torch.tensor(s - r * np.log(s) + constant)


@right("score_entropy")
def entropy_with_a_small_epsilon(s, r):
    s, r = s.float(), r.float()
    return s - r * torch.log(s) + r * (torch.log(r + 1e-30) - 1)


@right("score_entropy")
def entropy_number_by_number(s, r):
    if s.ndim > 0:
        return torch.stack([entropy_number_by_number(a, b) for a, b in zip(s, r)])
    a, b = s.item(), r.item()
    return torch.tensor(a if b == 0 else a - b * math.log(a / b) - b)


@wrong("score_entropy_gradient", "This is the derivative by s, 1 - r/s")
def gradient_by_s(log_s, r):
    return 1 - r / torch.exp(log_s)


@wrong("score_entropy_gradient", "Your result is the right one with the sign flipped")
def gradient_negated(log_s, r):
    return r - torch.exp(log_s)


@wrong("score_entropy_gradient", "without `.exp()`")
def gradient_without_exp(log_s, r):
    s = log_s
    return s - r


@wrong("score_entropy_gradient", "difference of the logarithms")
def gradient_of_logs(log_s, r):
    return log_s - torch.log(r)


@wrong("score_entropy_gradient", "the cost itself")
def gradient_is_the_cost(log_s, r):
    s = log_s.exp()
    return s - r * log_s + torch.where(r > 0, r * (r.log() - 1), 0)


@wrong("score_entropy_gradient", "This is the derivative of the squared error")
def gradient_of_squares(log_s, r):
    log_s = log_s.clone().requires_grad_()
    ((log_s.exp() - r) ** 2).sum().backward()
    return log_s.grad


@wrong("score_entropy_gradient", "divide by the inner derivative")
def gradient_over_s(log_s, r):
    s = log_s.exp()
    return (1 - r / s) / s


@wrong("score_entropy_gradient", "The shape should be (3,); yours is ()")
def gradient_added_up(log_s, r):
    return torch.sum(log_s.exp() - r)


@wrong("score_entropy_gradient")
def gradient_of_the_mean(log_s, r):
    log_s = log_s.clone().requires_grad_()
    (log_s.exp() - r * log_s).mean().backward()
    return log_s.grad


@wrong("score_entropy_gradient")
def gradient_in_place(log_s, r):
    log_s.exp_()
    log_s -= r
    return log_s


@right("score_entropy_gradient")
def gradient_by_autograd(log_s, r):
    log_s = log_s.clone().requires_grad_()
    cost = log_s.exp() - r * log_s
    (gradient,) = torch.autograd.grad(cost.sum(), log_s)
    return gradient


@right("score_entropy_gradient")
def gradient_in_numpy(log_s, r):
    return torch.tensor(np.exp(log_s.numpy().astype("float32")) - r.numpy())


@right("score_entropy_gradient")
def gradient_by_small_differences(log_s, r):
    d = 1e-5
    up, down = (torch.exp(log_s + h) - r * (log_s + h) for h in (d, -d))
    return (up - down) / (2 * d)


@wrong("absorbing_score", "Your result is wrong only where the right number is 0")
def masks_one_at_visible(posterior, x, sigma):
    ratio = posterior / torch.expm1(sigma)[:, None, None]
    at_mask = torch.cat([ratio, torch.ones_like(ratio[..., :1])], dim=-1)
    return torch.where((x == posterior.shape[-1])[..., None], at_mask, torch.ones_like(at_mask))


@wrong("absorbing_score", "with `-torch.expm1(-sigma)` in place of `torch.expm1(sigma)`")
def masks_over_hit_probability(posterior, x, sigma):
    B, L, N = posterior.shape
    s = torch.zeros(B, L, N + 1)
    for b in range(B):
        for i in range(L):
            if x[b, i] == N:
                s[b, i, :N] = posterior[b, i] / (1 - torch.exp(-sigma[b]))
            s[b, i, x[b, i]] = 1
    return s


@wrong("absorbing_score", "with `torch.exp(sigma)` in place of `torch.expm1(sigma)`")
def masks_over_exp(posterior, x, sigma):
    B, L, N = posterior.shape
    s = torch.zeros(B, L, N + 1)
    s[..., :N] = (x == N)[..., None] * posterior / torch.exp(sigma)[:, None, None]
    return s.scatter(-1, x[..., None], 1.0)


@wrong("absorbing_score", "with `*` in place of `/` in `posterior / torch.expm1(sigma)[:, None, None]`")
def masks_multiplied(posterior, x, sigma):
    N = posterior.shape[-1]
    ratio = posterior * (torch.exp(sigma) - 1)[:, None, None]
    ratio = torch.cat([ratio, torch.ones_like(ratio[..., :1])], -1)
    return torch.where((x == N)[..., None], ratio, torch.nn.functional.one_hot(x, N + 1).double())


@wrong("absorbing_score", "without `/ torch.expm1(sigma)[:, None, None]`")
def masks_without_sigma(posterior, x, sigma):
    N = posterior.shape[-1]
    ratio = torch.cat([posterior, torch.ones_like(posterior[..., :1])], -1)
    return torch.where((x == N)[..., None], ratio, torch.nn.functional.one_hot(x, N + 1).double())


@wrong("absorbing_score", "with `torch.zeros_like(ratio[..., :1])` in place of `torch.ones_like(ratio[..., :1])`")
def masks_without_the_mask(posterior, x, sigma):
    B, L, N = posterior.shape
    s = torch.zeros(B, L, N + 1)
    for b in range(B):
        for i in range(L):
            if x[b, i] == N:
                s[b, i, :N] = posterior[b, i] / (math.exp(sigma[b]) - 1)
            else:
                s[b, i, x[b, i]] = 1
    return s


@wrong("absorbing_score", "The shape should be (1, 1, 3); yours is (1, 1, 2)")
def masks_of_n_states(posterior, x, sigma):
    N = posterior.shape[-1]
    ratio = posterior / torch.expm1(sigma)[:, None, None]
    return torch.where((x == N)[..., None], ratio, torch.nn.functional.one_hot(x, N + 1)[..., :N].double())


@wrong("absorbing_score", "with `return at_mask`")
def masks_everywhere(posterior, x, sigma):
    ratio = posterior / (sigma.exp() - 1)[:, None, None]
    return torch.cat([ratio, torch.ones(*x.shape, 1)], dim=-1)


@wrong("absorbing_score", "Your result is wrong only at the character that x has there")
def masks_zero_at_visible(posterior, x, sigma):
    N = posterior.shape[-1]
    s = torch.cat([posterior / torch.expm1(sigma)[:, None, None], torch.ones(*x.shape, 1)], dim=-1)
    s[x != N] = 0
    return s


@wrong("absorbing_score", "the logarithm of the right one")
def masks_in_logs(posterior, x, sigma):
    N = posterior.shape[-1]
    log_s = posterior.log() - torch.expm1(sigma).log()[:, None, None]
    log_s = torch.cat([log_s, torch.zeros(*x.shape, 1)], dim=-1)
    shows = torch.full_like(log_s, -torch.inf).scatter(-1, x[..., None], 0.0)
    return torch.where((x == N)[..., None], log_s, shows)


@wrong("absorbing_score")
def masks_without_axes(posterior, x, sigma):
    N = posterior.shape[-1]
    s = torch.zeros(*x.shape, N + 1, dtype=posterior.dtype)
    s[..., :N] = posterior / torch.expm1(sigma)
    return s


@right("absorbing_score")
def masks_in_numpy(posterior, x, sigma):
    p, x, sigma = posterior.numpy(), x.numpy(), sigma.numpy()
    N = p.shape[-1]
    s = np.zeros((*x.shape, N + 1), dtype="float32")
    s[..., :N] = (x == N)[..., None] * p / np.expm1(sigma)[:, None, None]
    np.put_along_axis(s, x[..., None], 1, -1)
    return torch.from_numpy(s)


@right("absorbing_score")
def masks_in_lists(posterior, x, sigma):
    N, s = posterior.shape[-1], []
    for p, text, noise in zip(posterior.tolist(), x.tolist(), sigma.tolist()):
        rows = []
        for q, c in zip(p, text):
            if c == N:
                rows.append([a * math.exp(-noise) / (1 - math.exp(-noise)) for a in q] + [1.0])
            else:
                rows.append([float(y == c) for y in range(N + 1)])
        s.append(rows)
    return torch.tensor(s)


@wrong("uniform_score", "swapped hit and not hit")
def letters_swapped_hit(posterior, x, sigma):
    B, L, N = posterior.shape
    hit = 1 - torch.exp(-sigma)[:, None, None]
    T = (hit * torch.eye(N) + (1 - hit) / N).to(posterior)
    return (posterior / T[torch.arange(B)[:, None], x]) @ T


@wrong("uniform_score", "after the sum")
def letters_divided_too_late(posterior, x, sigma):
    B, L, N = posterior.shape
    keep = torch.exp(-sigma)[:, None, None]
    T = (keep * torch.eye(N) + (1 - keep) / N).to(posterior)
    return (posterior @ T) / T[torch.arange(B)[:, None], x]


@wrong("uniform_score", "ratio of averages")
def letters_ratio_of_averages(posterior, x, sigma):
    N = posterior.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    q = keep * posterior + (1 - keep) / N  # q(y | x)
    return q / q.gather(-1, x[..., None])


@wrong("uniform_score", "of the clean characters")
def letters_without_noise(posterior, x, sigma):
    return posterior / posterior.gather(-1, x[..., None])


@wrong("uniform_score", "absorbing noise")
def letters_with_absorbing_formula(posterior, x, sigma):
    s = posterior / (torch.exp(sigma) - 1)[:, None, None]
    return s.scatter(-1, x[..., None], 1.0)


@wrong("uniform_score", "upside down")
def letters_upside_down(posterior, x, sigma):
    B, L, N = posterior.shape
    s = torch.zeros(B, L, N)
    for b in range(B):
        T = torch.exp(-sigma[b]) * torch.eye(N) + (1 - torch.exp(-sigma[b])) / N
        for i in range(L):
            for y in range(N):
                for a in range(N):
                    s[b, i, y] += posterior[b, i, a] * T[a, x[b, i]] / T[a, y]
    return s


@wrong("uniform_score", "without `/ T[torch.arange(len(x))[:, None], x]`")
def letters_without_a_ratio(posterior, x, sigma):
    N = posterior.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    return keep * posterior + (1 - keep) / N


@wrong("uniform_score", "most probable character")
def letters_of_the_best(posterior, x, sigma):
    B, L, N = posterior.shape
    s = torch.zeros(B, L, N)
    for b in range(B):
        T = torch.exp(-sigma[b]) * torch.eye(N) + (1 - torch.exp(-sigma[b])) / N
        for i in range(L):
            a = posterior[b, i].argmax()
            s[b, i] = T[a] / T[a, x[b, i]]
    return s


@wrong("uniform_score", "p(a | x) are missing")
def letters_equally_weighted(posterior, x, sigma):
    B, L, N = posterior.shape
    s = torch.zeros(B, L, N)
    for b in range(B):
        T = torch.exp(-sigma[b]) * torch.eye(N) + (1 - torch.exp(-sigma[b])) / N
        for i in range(L):
            for a in range(N):
                s[b, i] += T[a] / T[a, x[b, i]]
    return s


@wrong("uniform_score", "1/(N - 1)")
def letters_exclude_the_old(posterior, x, sigma):
    B, L, N = posterior.shape
    s = torch.zeros(B, L, N)
    for b in range(B):
        p = 1 - torch.exp(-sigma[b])
        T = torch.full((N, N), (p / (N - 1)).item()).fill_diagonal_((1 - p).item())
        for i in range(L):
            s[b, i] = sum(posterior[b, i, a] * T[a] / T[a, x[b, i]] for a in range(N))
    return s


@wrong("uniform_score", "have no gradient")
def letters_detached(posterior, x, sigma):
    return letters_one_by_one(posterior.detach(), x, sigma)


@wrong("uniform_score", "not their gradient with respect to posterior")
def letters_half_detached(posterior, x, sigma):
    p = torch.where(posterior > 0.5, posterior.detach(), posterior)
    return letters_one_by_one(p, x, sigma)


@right("uniform_score")
def letters_in_logs(posterior, x, sigma):
    N, keep = posterior.shape[-1], torch.exp(-sigma)[:, None, None]
    T = keep * torch.eye(N) + (1 - keep) / N
    seen = T[torch.arange(len(x))[:, None], x]
    log_terms = (posterior.log() - seen.log()).unsqueeze(-1) + T.log()[:, None]
    return log_terms.logsumexp(-2).exp()


@wrong("uniform_score", "key of the noised character")
def letters_of_the_noised(posterior, x, sigma):
    B, L, N = posterior.shape
    s = torch.zeros(B, L, N)
    for b in range(B):
        T = torch.exp(-sigma[b]) * torch.eye(N) + (1 - torch.exp(-sigma[b])) / N
        for i in range(L):
            s[b, i] = T[x[b, i]] / T[x[b, i], x[b, i]]
    return s


@wrong("uniform_score")
def letters_that_add_up_to_one(posterior, x, sigma):
    s = letters_one_by_one(posterior, x, sigma)
    return s / s.sum(-1, keepdim=True)


@wrong("uniform_score", "Loops over characters are too slow")
def letters_one_by_one(posterior, x, sigma):
    B, L, N = posterior.shape
    s = torch.zeros(B, L, N)
    for b in range(B):
        T = torch.exp(-sigma[b]) * torch.eye(N) + (1 - torch.exp(-sigma[b])) / N
        for i in range(L):
            for a in range(N):
                s[b, i] += posterior[b, i, a] * T[a] / T[a, x[b, i]]
    return s


@right("uniform_score")
def letters_in_closed_form(posterior, x, sigma):
    N, e = posterior.shape[-1], torch.expm1(sigma)[:, None, None]
    px = posterior.gather(-1, x[..., None])
    s = posterior * N / e + 1 - px * N / (N + e)
    return s.scatter(-1, x[..., None], 1.0)


@right("uniform_score")
def letters_with_noise_in_numpy(posterior, x, sigma):
    x, sigma = x.numpy(), sigma.numpy()
    N, keep = posterior.shape[-1], np.exp(-sigma)[:, None, None]
    T = keep * np.eye(N) + (1 - keep) / N  # (B, N, N)
    seen = np.stack([t[:, row].T for t, row in zip(T, x)])  # (B, L, N)
    return (posterior / torch.tensor(seen)) @ torch.tensor(T)


@wrong("denoising_score_entropy", "with `cost.scatter(-1, x0[..., None], 0.0)` in place of `cost.scatter(-1, x[...,")
def denoising_without_the_clean(log_score, x, x0, sigma):
    B, L, N = log_score.shape
    keep = torch.exp(-sigma)[:, None, None]
    T = (keep * torch.eye(N) + (1 - keep) / N).to(log_score)
    q = T[torch.arange(B)[:, None], x0]
    r = q / q.gather(-1, x[..., None])
    cost = log_score.exp() - r * log_score + r * (r.log() - 1)
    return cost.scatter(-1, x0[..., None], 0.0).sum(-1) / N


@wrong("denoising_score_entropy", "with `cost.scatter(-1, x[..., None], 0.0).sum(-1) / (N - 1)` in place of")
def mean_over_neighbors(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    q = keep * torch.nn.functional.one_hot(x0, N) + (1 - keep) / N
    r = q / q.gather(-1, x[..., None])
    cost = log_score.exp() - r * log_score + r * (r.log() - 1)
    other = torch.arange(N) != x[..., None]
    return (cost * other).sum(-1) / other.sum(-1)


@wrong("denoising_score_entropy", "without `/ N`")
def sum_over_neighbors(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    q = keep * torch.nn.functional.one_hot(x0, N) + (1 - keep) / N
    r = q / q.gather(-1, x[..., None])
    cost = log_score.exp() - r * log_score + r * (r.log() - 1)
    return cost.scatter(-1, x[..., None], 0.0).sum(-1)


@wrong("denoising_score_entropy", "without `.scatter(-1, x[..., None], 0.0)`")
def mean_over_all(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    q = keep * torch.nn.functional.one_hot(x0, N) + (1 - keep) / N
    r = q / q.gather(-1, x[..., None])
    return (log_score.exp() - r * log_score + r * (r.log() - 1)).mean(-1)


@wrong("denoising_score_entropy", "with `q.gather(-1, x[..., None]) / q` in place of `q / q.gather(-1, x[..., None])`")
def sum_with_the_key_upside_down(log_score, x, x0, sigma):
    B, L, N = log_score.shape
    total = torch.zeros(B, L)
    for b in range(B):
        T = torch.exp(-sigma[b]) * torch.eye(N) + (1 - torch.exp(-sigma[b])) / N
        for i in range(L):
            for y in range(N):
                if y != x[b, i]:
                    r, log_s = T[x0[b, i], x[b, i]] / T[x0[b, i], y], log_score[b, i, y]
                    total[b, i] += (log_s.exp() - r * log_s + r * (r.log() - 1)) / N
    return total


@wrong("denoising_score_entropy", "with `x` in place of `x0`")
def sum_with_the_noised_row(log_score, x, x0, sigma):
    B, L, N = log_score.shape
    total = torch.zeros(B, L)
    for b in range(B):
        T = torch.exp(-sigma[b]) * torch.eye(N) + (1 - torch.exp(-sigma[b])) / N
        for i in range(L):
            for y in range(N):
                if y != x[b, i]:
                    r, log_s = T[x[b, i], y] / T[x[b, i], x[b, i]], log_score[b, i, y]
                    total[b, i] += (log_s.exp() - r * log_s + r * (r.log() - 1)) / N
    return total


@wrong("denoising_score_entropy", "only count y = x0")
def only_at_x0(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None]
    r = (keep + (1 - keep) / N) / ((1 - keep) / N)
    log_s = log_score.gather(-1, x0[..., None])[..., 0]
    cost = log_s.exp() - r * log_s + r * (r.log() - 1)
    return torch.where(x == x0, 0.0, cost) / N


@wrong("denoising_score_entropy", "r (log r - 1) is missing")
def sum_without_the_constant(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    q = keep * torch.nn.functional.one_hot(x0, N) + (1 - keep) / N
    r = q / q.gather(-1, x[..., None])
    cost = log_score.exp() - r * log_score
    cost[torch.nn.functional.one_hot(x, N).bool()] = 0
    return cost.sum(-1) / N


@wrong("denoising_score_entropy", "1/(N - 1)")
def sum_excludes_the_old(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    q = torch.where(torch.nn.functional.one_hot(x0, N) == 1, keep, (1 - keep) / (N - 1))
    r = q / q.gather(-1, x[..., None])
    cost = log_score.exp() - r * log_score + r * (r.log() - 1)
    return cost.scatter(-1, x[..., None], 0.0).sum(-1) / N


@wrong("denoising_score_entropy", "summed along the last axis")
def sum_over_positions(log_score, x, x0, sigma):
    return a_loop_over_neighbors(log_score, x, x0, sigma).sum(-1)


@wrong("denoising_score_entropy", "with `log_score.log()` in place of `log_score`")
def sum_of_logs(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    q = keep * torch.nn.functional.one_hot(x0, N) + (1 - keep) / N
    r, s = q / q.gather(-1, x[..., None]), log_score
    cost = s - r * s.log() + r * (r.log() - 1)
    return cost.scatter(-1, x[..., None], 0.0).sum(-1) / N


@wrong("denoising_score_entropy")
def squares_against_the_key(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    q = keep * torch.nn.functional.one_hot(x0, N) + (1 - keep) / N
    cost = (log_score.exp() - q / q.gather(-1, x[..., None])) ** 2
    return cost.scatter(-1, x[..., None], 0.0).sum(-1) / N


@right("denoising_score_entropy")
def a_loop_over_neighbors(log_score, x, x0, sigma):
    B, L, N = log_score.shape
    total = torch.zeros(B, L)
    for b in range(B):
        T = torch.exp(-sigma[b]) * torch.eye(N) + (1 - torch.exp(-sigma[b])) / N
        for i in range(L):
            for y in range(N):
                if y != x[b, i]:
                    r, log_s = T[x0[b, i], y] / T[x0[b, i], x[b, i]], log_score[b, i, y]
                    total[b, i] += (log_s.exp() - r * log_s + r * (r.log() - 1)) / N
    return total


@right("denoising_score_entropy")
def a_mean_with_zeros(log_score, x, x0, sigma):
    log_s, x, x0 = log_score.scatter(-1, x[..., None], 0.0), x.numpy(), x0.numpy()
    N, keep = log_s.shape[-1], np.exp(-sigma.numpy())[:, None, None]
    q = keep * (np.arange(N) == x0[..., None]) + (1 - keep) / N
    r = torch.tensor(q / np.take_along_axis(q, x[..., None], -1), dtype=torch.float32)
    return (log_s.exp() - r * log_s + r * r.log() - r).mean(-1)


@right("denoising_score_entropy")
def a_sum_with_zeros_at_x(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    p = 1 - torch.exp(-sigma)[:, None, None]
    q = torch.where(torch.arange(N) == x0.unsqueeze(-1), 1 - p + p / N, p / N)
    r = q / torch.take_along_dim(q, x.unsqueeze(-1), dim=-1)
    cost = score_entropy_of(log_score.exp(), r)
    return (cost * (torch.arange(N) != x.unsqueeze(-1))).sum(-1) / N


def score_entropy_of(s, r):
    return s - r * torch.log(s) + r * (torch.log(r) - 1)


@wrong("denoising_score_entropy", "Return a tensor")
def sum_in_numpy(log_score, x, x0, sigma):
    return a_sum_with_zeros_at_x(log_score, x, x0, sigma).numpy()


@wrong("denoising_score_entropy", "have no gradient")
def sum_from_numpy(log_score, x, x0, sigma):
    return torch.tensor(a_sum_with_zeros_at_x(log_score, x, x0, sigma).detach().numpy())


@wrong("denoising_score_entropy", "not their gradient with respect to log_score")
def sum_half_detached(log_score, x, x0, sigma):
    return a_sum_with_zeros_at_x(log_score, x, x0, sigma) * 0 + 1 * a_mean_with_zeros(
        torch.where(log_score > 0, log_score.detach(), log_score), x, x0, sigma
    )


@wrong("denoising_score_entropy")
def sum_minus_the_term_at_x(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    q = keep * torch.nn.functional.one_hot(x0, N) + (1 - keep) / N
    cost = score_entropy_of(log_score.exp(), q / q.gather(-1, x[..., None]))
    return (cost.sum(-1) - cost.gather(-1, x[..., None])[..., 0]) / N


@wrong("denoising_score_entropy", "without `/ q.gather(-1, x[..., None])`")
def sum_against_probabilities(log_score, x, x0, sigma):
    N = log_score.shape[-1]
    keep = torch.exp(-sigma)[:, None, None]
    r = keep * torch.nn.functional.one_hot(x0, N) + (1 - keep) / N
    return score_entropy_of(log_score.exp(), r).scatter(-1, x[..., None], 0.0).sum(-1) / N


def fixed_loss(reduce, key=lambda sigma: 1 / torch.expm1(sigma)[:, None, None], only_masks=True):
    def loss(log_score, x, x0, sigma):
        N = log_score.shape[-1] - 1
        masked = x == N
        s = torch.where(masked[..., None], log_score[..., :N].exp(), 1.0)
        r = torch.nn.functional.one_hot(x0, N) * key(sigma)
        cost = reduce(s - torch.xlogy(r, s) + torch.xlogy(r, r) - r, N)
        return torch.where(masked, cost, 0.0) if only_masks else cost

    return loss


@wrong("absorbing_score_entropy", "Still too small by the factor N:")
def still_a_mean(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: cost.mean(-1))(log_score, x, x0, sigma)


@wrong("absorbing_score_entropy", "N + 1")
def over_all_states(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: cost.sum(-1) / (N + 1))(log_score, x, x0, sigma)


@wrong("absorbing_score_entropy", "N - 1")
def over_the_neighbors(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: cost.sum(-1) / (N - 1))(log_score, x, x0, sigma)


@wrong("absorbing_score_entropy", "Too large")
def times_n(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: cost.sum(-1) * N)(log_score, x, x0, sigma)


@wrong("absorbing_score_entropy", "somewhere else")
def a_sum_and_another_key(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: cost.sum(-1), lambda sigma: 1 / (1 - torch.exp(-sigma))[:, None, None])(
        log_score, x, x0, sigma
    )


@wrong("absorbing_score_entropy", "still there")
def only_another_key(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: cost.mean(-1), lambda sigma: 1 / (1 - torch.exp(-sigma))[:, None, None])(
        log_score, x, x0, sigma
    )


@wrong("absorbing_score_entropy", "summed along the last axis")
def a_sum_over_everything(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: cost.sum(-1))(log_score, x, x0, sigma).sum(-1)


@wrong("absorbing_score_entropy", "nan where a character is impossible")
def a_sum_with_nan(log_score, x, x0, sigma):
    N = log_score.shape[-1] - 1
    masked = x == N
    log_s = torch.where(masked[..., None], log_score[..., :N], 0.0)
    r = torch.nn.functional.one_hot(x0, N) / torch.expm1(sigma)[:, None, None]
    cost = log_s.exp() - r * log_s + torch.xlogy(r, r) - r
    return torch.where(masked, cost.sum(-1), 0.0)


@wrong("absorbing_score_entropy")
def cost_at_every_position(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: cost.sum(-1), only_masks=False)(log_score, x, x0, sigma)


@wrong("absorbing_score_entropy")
def the_key_over_n(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: cost.sum(-1), lambda sigma: 1 / torch.expm1(sigma)[:, None, None] / 3)(
        log_score, x, x0, sigma
    )


@wrong("absorbing_score_entropy", "have no gradient")
def a_sum_in_numpy(log_score, x, x0, sigma):
    return torch.tensor(mask_by_mask(log_score, x, x0, sigma).detach().numpy())


@right("absorbing_score_entropy")
def a_mean_times_n(log_score, x, x0, sigma):
    return fixed_loss(lambda cost, N: N * cost.mean(-1))(log_score, x, x0, sigma)


@right("absorbing_score_entropy")
def mask_by_mask(log_score, x, x0, sigma):
    B, L, N = log_score.shape[0], log_score.shape[1], log_score.shape[2] - 1
    total = torch.zeros(B, L)
    for b in range(B):
        r = 1 / (math.exp(sigma[b]) - 1)
        for i in range(L):
            if x[b, i] == N:
                log_s = log_score[b, i]
                total[b, i] = log_s[:N].exp().sum() - r * log_s[x0[b, i]] + r * (math.log(r) - 1)
    return total
