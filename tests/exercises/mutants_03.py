"""Notebook 03: solutions that students write, wrong and right."""

import math
import random

import numpy as np
import torch

from exercises import right, wrong


@wrong("rate_matrix", "with `hit.mT` in place of `hit`")
def rates_by_columns(N, absorbing):
    if absorbing:
        Q = torch.zeros(N + 1, N + 1)
        for a in range(N):
            Q[N, a] = 1
            Q[a, a] = -1
        return Q
    return torch.full((N, N), 1 / N) - torch.eye(N)


@wrong("rate_matrix", "Your result is wrong only on the diagonal")
def rates_without_diagonal(N, absorbing):
    S = N + 1 if absorbing else N
    Q = torch.zeros(S, S)
    for a in range(N):
        for b in range(S):
            if a != b:
                Q[a, b] = float(b == N) if absorbing else 1 / N
    return Q


@wrong("rate_matrix", "1/(N - 1)")
def rates_exclude_the_old_character(N, absorbing):
    if absorbing:
        Q = -torch.eye(N + 1)
        Q[:, N] = 1
        Q[N, N] = 0
        return Q
    Q = torch.full((N, N), 1 / (N - 1))
    Q.fill_diagonal_(-1)
    return Q


@wrong("rate_matrix", "your diagonal is -1")
def rates_leave_too_fast(N, absorbing):
    if absorbing:
        Q = -torch.eye(N + 1)
        Q[:, N] += 1
        return Q
    Q = torch.full((N, N), 1 / N)
    for a in range(N):
        Q[a, a] = -1
    return Q


@wrong("rate_matrix", "Your wrong numbers are all -1")
def rates_of_a_mask_that_leaves(N, absorbing):
    if absorbing:
        Q = torch.zeros(N + 1, N + 1)
        Q[:, N] = 1
        Q -= torch.diag(torch.ones(N + 1))
        Q[N, N] = -1
        return Q
    return torch.ones(N, N) / N - torch.eye(N)


@wrong("rate_matrix", "Your wrong numbers are all 1")
def rates_of_a_mask_with_a_full_column(N, absorbing):
    if absorbing:
        Q = torch.zeros(N + 1, N + 1)
        for a in range(N):
            Q[a, a] = -1
        Q[:, N] = 1
        return Q
    return torch.ones(N, N) / N - torch.eye(N)


@wrong("rate_matrix", "with `return hit`")
def rates_that_add_up_to_one(N, absorbing):
    if absorbing:
        Q = torch.zeros(N + 1, N + 1)
        Q[:, N] = 1
        return Q
    return torch.full((N, N), 1 / N)


@wrong("rate_matrix", "swapped the two processes")
def rates_swapped(N, absorbing):
    if not absorbing:
        Q = -torch.eye(N + 1)
        Q[:, N] += 1
        return Q
    return torch.full((N, N), 1 / N) - torch.eye(N)


@wrong("rate_matrix", "It fails exactly in the cases where absorbing is True; all others are right")
def rates_without_a_mask(N, absorbing):
    if absorbing:
        Q = -torch.eye(N)
        return Q
    return torch.full((N, N), 1 / N) - torch.eye(N)


@wrong("rate_matrix")
def rates_as_integers(N, absorbing):
    S = N + 1 if absorbing else N
    Q = torch.zeros(S, S, dtype=torch.int64)
    if absorbing:
        Q[:N, N] = 1
        Q.fill_diagonal_(-1)
        Q[N, N] = 0
    else:
        Q += int(1 / N)
    return Q


@right("rate_matrix")
def rates_in_lists(N, absorbing):
    if absorbing:
        return torch.tensor([[-(a == b) + (b == N) for b in range(N + 1)] for a in range(N)] + [[0] * (N + 1)])
    return torch.tensor([[1 / N - (a == b) for b in range(N)] for a in range(N)])


@right("rate_matrix")
def rates_in_numpy(N, absorbing):
    if absorbing:
        Q = np.zeros((N + 1, N + 1), dtype="float32")
        Q[:N, N] = 1
    else:
        Q = np.full((N, N), 1 / N, dtype="float32")
        np.fill_diagonal(Q, 0)
    return torch.from_numpy(Q - np.diag(Q.sum(1)))


@wrong("transition", "exp() of each entry")
def exp_of_each_number(Q, sigma):
    return torch.exp(sigma * Q)


@wrong("transition", "one single step")
def one_step(Q, sigma):
    return torch.eye(len(Q)) + sigma * Q


@wrong("transition", "too few small steps")
def a_hundred_steps(Q, sigma):
    step = torch.eye(len(Q), dtype=Q.dtype) + sigma / 100 * Q
    T = torch.eye(len(Q), dtype=Q.dtype)
    for _ in range(100):
        T = T @ step
    return T


@wrong("transition", "too few small steps")
def a_thousand_steps(Q, sigma):
    n = 1000
    return torch.matrix_power(torch.eye(len(Q)) + sigma / n * Q, n)


@wrong("transition", "Each row should add up to 1; yours add up to 0.7788, for example")
def powers_of_each_number(Q, sigma):
    n = 2**20
    return (torch.eye(len(Q)) + sigma * Q / n) ** n


@wrong("transition", "Each row should add up to 1; yours add up to 0.7788, for example")
def squares_each_number(Q, sigma):
    T = torch.eye(len(Q)) + sigma * Q / 2**20
    for _ in range(20):
        T = T**2
    return T


@wrong("transition", "with `Q.mT` in place of `Q`")
def exp_by_columns(Q, sigma):
    return torch.matrix_exp(sigma * Q.T)


@wrong("transition", "without `sigma *`")
def forgets_sigma(Q, sigma):
    return torch.matrix_exp(Q)


@wrong("transition", "with `-sigma` in place of `sigma`")
def exp_of_minus(Q, sigma):
    step = torch.eye(len(Q)) - sigma / 2**20 * Q
    for _ in range(20):
        step = step @ step
    return step


@wrong("transition", "Your result is the right one plus -1")
def series_from_one(Q, sigma):
    term, T = torch.eye(len(Q), dtype=Q.dtype), torch.zeros_like(Q)
    for k in range(1, 150):
        term = term @ Q * sigma / k
        T = T + term
    return T


@wrong("transition")
def a_short_series(Q, sigma):
    A = sigma * Q
    return torch.eye(len(Q)) + A + A @ A / 2 + A @ A @ A / 6


@wrong("transition")
def too_few_squarings(Q, sigma):
    T = torch.eye(len(Q)) + sigma / 2**20 * Q
    for _ in range(10):
        T = T @ T
    return T


@right("transition")
def twenty_squarings(Q, sigma):
    T = torch.eye(len(Q)) + sigma / 2**20 * Q
    for _ in range(20):
        T = T @ T
    return T


@right("transition")
def a_long_series(Q, sigma):
    Q, T = Q.numpy(), np.eye(len(Q))
    term = np.eye(len(Q))
    for k in range(1, 200):
        term = term @ Q * sigma / k
        T = T + term
    return torch.from_numpy(T)


@right("transition")
def exp_in_single_precision(Q, sigma):
    return torch.matrix_exp(sigma * Q.float())


@wrong("log_linear", "without the minus in front of `torch.log(1 - (1 - eps) * t)`")
def total_below_zero(t, eps):
    return torch.log(1 - (1 - eps) * t), (1 - eps) / (1 - (1 - eps) * t)


@wrong("log_linear", "with `(eps - 1) / (1 - (1 - eps) * t)` in place of `(1 - eps) / (1 - (1 - eps) * t)`")
def rate_below_zero(t, eps):
    return -torch.log(1 - (1 - eps) * t), -(1 - eps) / (1 - (1 - eps) * t)


@wrong("log_linear", "sign flipped. Result 2: Your")
def both_below_zero(t, eps):
    return torch.log(1 - (1 - eps) * t), -(1 - eps) / (1 - (1 - eps) * t)


@wrong("log_linear", "with `1 / (1 - (1 - eps) * t)` in place of `(1 - eps) / (1 - (1 - eps) * t)`")
def rate_without_inner_derivative(t, eps):
    total = -torch.log(1 - (1 - eps) * t)
    return total, 1 / (1 - (1 - eps) * t)


@wrong("log_linear", "without `- eps`")
def without_eps(t, eps):
    return -torch.log(1 - t), 1 / (1 - t)


@wrong("log_linear", "-log of the fraction not hit")
def total_is_the_fraction_hit(t, eps):
    total = (1 - eps) * t
    return total, (1 - eps) / (1 - (1 - eps) * t)


@wrong("log_linear", "-log of the fraction not hit")
def total_and_rate_of_the_fraction_hit(t, eps):
    return (1 - eps) * t, (1 - eps) * torch.ones_like(t)


@wrong("log_linear", "You return the two results in the wrong order")
def rate_first(t, eps):
    hit = (1 - eps) * t
    return (1 - eps) / (1 - hit), -torch.log1p(-hit)


@wrong("log_linear", "Your rate is total / t, the average up to t")
def average_rate(t, eps):
    total = -torch.log1p(-(1 - eps) * t)
    return total, total / t


@wrong("log_linear", "as in log10")
def base_ten(t, eps):
    return -torch.log10(1 - (1 - eps) * t), (1 - eps) / (1 - (1 - eps) * t)


@wrong("log_linear")
def only_the_total(t, eps):
    return -torch.log(1 - (1 - eps) * t)


@wrong("log_linear")
def rate_times_the_rest(t, eps):
    return -torch.log(1 - (1 - eps) * t), (1 - eps) * (1 - (1 - eps) * t)


@right("log_linear")
def log_linear_in_numpy(t, eps):
    rest = 1 - (1 - eps) * t.numpy()
    return [torch.tensor(-np.log(rest)), torch.tensor((1 - eps) / rest)]


@right("log_linear")
def log_linear_by_autograd(t, eps):
    t = t.clone().requires_grad_()
    total = -torch.log1p(-(1 - eps) * t)
    (rate,) = torch.autograd.grad(total.sum(), t)
    return total, rate


@right("log_linear")
def log_linear_in_single_precision(t, eps):
    total = -torch.log(1 - (1 - eps) * t.float())
    return total, (1 - eps) * total.exp()


@wrong("perturb_absorbing", "sigma as a probability")
def masks_with_sigma(x0, sigma, mask, generator):
    u = torch.rand(x0.shape, generator=generator)
    x = x0.clone()
    x[u < sigma[:, None]] = mask
    return x


@wrong("perturb_absorbing", "with `torch.rand(x0.shape, generator=generator) > 1 - torch.exp(-sigma)[:, None]` in")
def masks_the_unhit(x0, sigma, mask, generator):
    u = torch.rand(x0.shape, generator=generator)
    return torch.where(u < torch.exp(-sigma)[:, None], mask, x0)


@wrong("perturb_absorbing", "hit as a whole")
def masks_whole_texts(x0, sigma, mask, generator):
    x = x0.clone()
    for b in range(len(x0)):
        if torch.rand(1, generator=generator) < 1 - torch.exp(-sigma[b]):
            x[b] = mask
    return x


@wrong("perturb_absorbing", "at the same positions")
def masks_the_same_places(x0, sigma, mask, generator):
    u = torch.rand(x0.shape[1], generator=generator)
    return torch.where(u[None] < 1 - torch.exp(-sigma)[:, None], mask, x0)


@wrong("perturb_absorbing", "sigma[0] in place of")
def masks_with_the_first_sigma(x0, sigma, mask, generator):
    p = 1 - math.exp(-sigma[0].item())
    return torch.where(torch.rand(x0.shape, generator=generator) < p, mask, x0)


@wrong("perturb_absorbing", "with `return x0`")
def masks_nothing(x0, sigma, mask, generator):
    p = torch.expm1(-sigma)[:, None]
    return torch.where(torch.rand(x0.shape, generator=generator) < p, mask, x0)


@wrong("perturb_absorbing", "with `mask - 1` in place of `mask`")
def masks_with_a_letter(x0, sigma, mask, generator):
    N = mask
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    x = x0.clone()
    x[hit] = N - 1
    return x


@wrong("perturb_absorbing")
def masks_with_a_minus_one(x0, sigma, mask, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, -1, x0)


@wrong("perturb_absorbing")
def masks_in_place(x0, sigma, mask, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    x0[hit] = mask
    return x0


@wrong("perturb_absorbing")
def masks_without_generator(x0, sigma, mask, generator):
    hit = torch.rand(x0.shape) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, mask, x0)


@wrong("perturb_absorbing")
def masks_as_floats(x0, sigma, mask, generator):
    keep = (torch.rand(x0.shape, generator=generator) < torch.exp(-sigma)[:, None]).float()
    return x0 * keep + mask * (1 - keep)


@wrong("perturb_absorbing")
def masks_with_a_wrong_shape(x0, sigma, mask, generator):
    return torch.where(torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma), mask, x0)


@right("perturb_absorbing")
def masks_in_numpy(x0, sigma, mask, generator):
    x, u = x0.numpy().copy(), torch.rand(x0.shape, generator=generator).numpy()
    x[u > np.exp(-sigma.numpy())[:, None]] = mask
    return torch.from_numpy(x)


@right("perturb_absorbing")
def masks_by_waiting_times(x0, sigma, mask, generator):
    first_hit = torch.empty(x0.shape, dtype=torch.float64).exponential_(generator=generator)
    return torch.where(first_hit < sigma[:, None], mask, x0)


@right("perturb_absorbing")
def masks_text_by_text(x0, sigma, mask, generator):
    x = []
    for text, s in zip(x0, sigma):
        keep = torch.bernoulli(torch.full(text.shape, math.exp(-s)), generator=generator).bool()
        x.append(torch.where(keep, text, torch.tensor(mask)))
    return torch.stack(x)


@wrong("perturb_uniform", "always change")
def draws_a_different_character(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    new = torch.randint(N - 1, x0.shape, generator=generator)
    new = new + (new >= x0)
    return torch.where(hit, new, x0)


@wrong("perturb_uniform", "sigma as a probability")
def draws_with_sigma(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < sigma[:, None]
    return torch.where(hit, torch.randint(N, x0.shape, generator=generator), x0)


@wrong("perturb_uniform", "with `torch.rand(x0.shape, generator=generator) > 1 - torch.exp(-sigma)[:, None]` in")
def draws_the_unhit(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(N, x0.shape, generator=generator), x0)


@wrong("perturb_uniform", "hit as a whole")
def draws_whole_texts(x0, sigma, N, generator):
    hit = torch.rand(len(x0), 1, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(N, x0.shape, generator=generator), x0)


@wrong("perturb_uniform", "at the same positions")
def draws_at_the_same_places(x0, sigma, N, generator):
    hit = torch.rand(1, x0.shape[1], generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(N, x0.shape, generator=generator), x0)


@wrong("perturb_uniform", "of a text become the same one")
def draws_a_single_character(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    x = x0.clone()
    x[hit] = torch.randint(N, (1,), generator=generator).item()
    return x


@wrong("perturb_uniform", "of a text become the same one")
def draws_one_per_text(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(N, (len(x0), 1), generator=generator), x0)


@wrong("perturb_uniform", "the same in several texts")
def draws_the_same_for_all_texts(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(N, (x0.shape[1],), generator=generator), x0)


@wrong("perturb_uniform", "with `N - 1` in place of `N`")
def never_draws_the_last(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(0, N - 1, x0.shape, generator=generator), x0)


@wrong("perturb_uniform", "count twice")
def hits_too_few(x0, sigma, N, generator):
    p = (1 - torch.exp(-sigma)) * (1 - 1 / N)
    hit = torch.rand(x0.shape, generator=generator) < p[:, None]
    return torch.where(hit, torch.randint(N, x0.shape, generator=generator), x0)


@wrong("perturb_uniform")
def draws_from_the_text(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    shuffled = x0.flatten()[torch.randperm(x0.numel(), generator=generator)].view(x0.shape)
    return torch.where(hit, shuffled, x0)


@wrong("perturb_uniform")
def draws_one_too_many(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(N + 1, x0.shape, generator=generator), x0)


@wrong("perturb_uniform")
def draws_without_generator(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(N, x0.shape), x0)


@wrong("perturb_uniform")
def draws_with_a_wrong_shape(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    x = x0.clone()
    x[hit] = torch.randint(N, x0.shape, generator=generator)
    return x


@right("perturb_uniform")
def draws_where_hit(x0, sigma, N, generator):
    x = x0.clone()
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    x[hit] = torch.randint(N, (int(hit.sum()),), generator=generator)
    return x


@right("perturb_uniform")
def draws_from_rows(x0, sigma, N, generator):
    x = []
    for text, s in zip(x0, sigma):
        T = math.exp(-s) * torch.eye(N) + (1 - math.exp(-s)) / N
        x.append(torch.multinomial(T[text], 1, generator=generator)[:, 0])
    return torch.stack(x)


@right("perturb_uniform")
def draws_many_times(x0, sigma, N, generator):
    x = x0.clone()
    for _ in range(4):  # little by little
        hit = torch.rand(x0.shape, generator=generator) < -torch.expm1(-sigma / 4)[:, None]
        x = torch.where(hit, torch.randint(N, x0.shape, generator=generator), x)
    return x


@wrong("answer_key", "Your result is the right one upside down, 1 / x")
def key_upside_down(T, x0, x):
    r = torch.zeros(len(x), len(T))
    for i in range(len(x)):
        for y in range(len(T)):
            r[i, y] = T[x0[i], x[i]] / T[x0[i], y]
    return r


@wrong("answer_key", "with `x` in place of `x0`")
def key_from_the_noised_row(T, x0, x):
    r = torch.zeros(len(x), len(T))
    for i in range(len(x)):
        for y in range(len(T)):
            r[i, y] = T[x[i], y] / T[x[i], x[i]]
    return r


@wrong("answer_key", "with `x0` in place of `x`")
def key_over_no_change(T, x0, x):
    return T[x0] / T[x0, x0][:, None]


@wrong("answer_key", "without `/ T[x0, x][:, None]`")
def key_of_probabilities(T, x0, x):
    return torch.stack([T[a] for a in x0])


@wrong("answer_key", "with `T.mT` in place of `T`")
def key_from_columns(T, x0, x):
    q = T[:, x0].T
    return q / q.gather(1, x[:, None])


@wrong("answer_key", "logarithm of the right one")
def key_in_logs(T, x0, x):
    log_q = T.log()[x0]
    return log_q - log_q.gather(-1, x[:, None])


@wrong("answer_key", "only at the character that x has there")
def key_zero_at_x(T, x0, x):
    r = T[x0] / T[x0, x][:, None]
    r[range(len(x)), x] = 0
    return r


@wrong("answer_key")
def key_without_an_axis(T, x0, x):
    return T[x0] / T[x0, x]


@wrong("answer_key")
def key_that_adds_up_to_one(T, x0, x):
    r = T[x0] / T[x0, x][:, None]
    return r / r.sum(1, keepdim=True)


@wrong("answer_key")
def key_at_x0_only(T, x0, x):
    r = torch.zeros(len(x), len(T))
    for i in range(len(x)):
        r[i, x0[i]] = T[x0[i], x0[i]] / T[x0[i], x[i]]
    return r


@right("answer_key")
def key_in_lists(T, x0, x):
    T = T.tolist()
    return torch.tensor([[T[a][y] / T[a][b] for y in range(len(T))] for a, b in zip(x0.tolist(), x.tolist())])


@right("answer_key")
def key_in_numpy(T, x0, x):
    T, x0, x = T.numpy().astype("float32"), x0.numpy(), x.numpy()
    return torch.tensor(T[x0] / T[x0, x][:, None])


@wrong("rate_matrix", "Return a tensor")
def rates_in_an_array(N, absorbing):
    return rates_in_numpy(N, absorbing).numpy()


@wrong("transition", "Return a tensor")
def transition_in_an_array(Q, sigma):
    return a_long_series(Q, sigma).numpy()


@wrong("answer_key", "Return a tensor")
def key_in_an_array(T, x0, x):
    return key_in_numpy(T, x0, x).numpy()


@wrong("perturb_absorbing", "Two calls with the same generator hit the same characters")
def masks_with_its_own_seed(x0, sigma, mask, generator):
    own = torch.Generator().manual_seed(42)
    hit = torch.rand(x0.shape, generator=own) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, mask, x0)


@wrong("perturb_absorbing", "The same generator gave two different results")
def masks_with_python(x0, sigma, mask, generator):
    u = torch.tensor([[random.random() for _ in text] for text in x0])
    return torch.where(u < 1 - torch.exp(-sigma)[:, None], mask, x0)


@wrong("perturb_absorbing", "share their random numbers")
def masks_pairs_of_texts(x0, sigma, mask, generator):
    u = torch.rand(len(x0) // 2 + 1, x0.shape[1], generator=generator).repeat_interleave(2, 0)[: len(x0)]
    return torch.where(u < 1 - torch.exp(-sigma)[:, None], mask, x0)


@wrong("perturb_absorbing", "fixed number of characters")
def masks_an_exact_number(x0, sigma, mask, generator):
    x = x0.clone()
    for text, s in zip(x, sigma):
        count = round(x0.shape[1] * (1 - math.exp(-s)))
        text[torch.randperm(x0.shape[1], generator=generator)[:count]] = mask
    return x


@wrong("perturb_absorbing", "fixed number of characters")
def masks_an_exact_number_at_each_position(x0, sigma, mask, generator):
    rank = torch.rand(x0.shape, generator=generator)
    for level in sigma.unique():
        rank[sigma == level] = rank[sigma == level].argsort(0).argsort(0) / (sigma == level).sum()
        rank[sigma == level] += torch.rand(x0.shape[1], generator=generator) / (sigma == level).sum()
    return torch.where(rank < 1 - torch.exp(-sigma)[:, None], mask, x0)


@wrong("perturb_absorbing", "largest character of your texts plus 1")
def masks_with_the_next_character(x0, sigma, mask, generator):
    return torch.where(masks_by_waiting_times(x0, sigma, mask, generator) == mask, x0.max() + 1, x0)


@wrong("perturb_absorbing", "depends on the character before")
def masks_two_at_a_time(x0, sigma, mask, generator):
    u = torch.rand(x0.shape, generator=generator)
    u[:, 1::2] = u[:, : x0.shape[1] - 1 : 2][:, : u[:, 1::2].shape[1]]
    return torch.where(u < 1 - torch.exp(-sigma)[:, None], mask, x0)


@wrong("perturb_uniform", "drew the same new characters")
def draws_characters_with_its_own_seed(x0, sigma, N, generator):
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(N, x0.shape, generator=torch.Generator().manual_seed(7)), x0)


@wrong("perturb_uniform", "share their random numbers")
def draws_pairs_of_texts(x0, sigma, N, generator):
    u = torch.rand(len(x0) // 2 + 1, x0.shape[1], generator=generator).repeat_interleave(2, 0)[: len(x0)]
    hit = u < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, torch.randint(N, x0.shape, generator=generator), x0)


@wrong("perturb_absorbing", "call no manual_seed")
def noise_seeded_anew(x0, sigma, mask, generator):
    generator.manual_seed(0)
    hit = torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, mask, x0)
