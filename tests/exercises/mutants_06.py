"""Notebook 06: solutions that students write, wrong and right."""

import numpy as np
import torch

from exercises import right, wrong

# reverse_rates -----------------------------------------------------------------------------------------------------


@wrong("reverse_rates", "with `s.exp()` in place of `s`")
def rates_of_exp(s, x, Q, speed):
    rate = speed * Q[:, x].T * s.exp()
    rate[range(len(x)), x] = 0
    return rate


@wrong("reverse_rates", "with `Q.mT` in place of `Q`")
def rates_forward(s, x, Q, speed):
    rate = torch.zeros_like(s)
    for i in range(len(x)):
        for y in range(s.shape[1]):
            if y != x[i]:
                rate[i, y] = speed * Q[x[i], y] * s[i, y]
    return rate


@wrong("reverse_rates", "without the line `rate[range(len(x)), x] = 0`")
def rates_with_a_diagonal(s, x, Q, speed):
    rate = torch.zeros_like(s)
    for i in range(len(x)):
        rate[i] = speed * Q[:, x[i]] * s[i]
    return rate


@wrong("reverse_rates", "wrong only at the character that x has")
def rates_add_up_to_0(s, x, Q, speed):
    rate = (speed * Q.T[x] * s).clone()
    for i in range(len(x)):
        rate[i, x[i]] = 0
        rate[i, x[i]] = -rate[i].sum()
    return rate


@wrong("reverse_rates", "without `speed *`")
def rates_without_speed(s, x, Q, speed):
    rate = Q.T[x] * s
    rate[range(len(x)), x] = 0
    return rate


@wrong("reverse_rates", "without `* s`")
def rates_without_ratios(s, x, Q, speed):
    rate = speed * Q.T[x]
    rate[range(len(x)), x] = 0
    return rate


@wrong("reverse_rates", "without `* Q[:, x].T`")
def rates_without_q(s, x, Q, speed):
    rate = speed * s
    rate[range(len(x)), x] = 0
    return rate


@wrong("reverse_rates", "with `/` in place of `*` in `speed * Q[:, x].T * s`")
def rates_divided(s, x, Q, speed):
    rate = speed * Q.T[x] / s
    rate[range(len(x)), x] = 0
    return rate


@wrong("reverse_rates", "transposed")
def rates_transposed(s, x, Q, speed):
    rate = speed * Q[:, x] * s.T
    rate[x, range(len(x))] = 0
    return rate


@wrong("reverse_rates")
def rates_of_the_first_position(s, x, Q, speed):
    rate = speed * Q[:, x[0]] * s
    rate[range(len(x)), x] = 0
    return rate


@wrong("reverse_rates", "with `s.log()` in place of `s`")
def rates_of_logs(s, x, Q, speed):
    rate = speed * Q.T[x] * s.log()
    rate[range(len(x)), x] = 0
    return rate


@wrong("reverse_rates")
def rates_in_place(s, x, Q, speed):
    s *= speed * Q.T[x]
    s[range(len(x)), x] = 0
    return s


@right("reverse_rates")
def rates_in_numpy(s, x, Q, speed):
    s, x, Q = s.numpy().astype("float32"), x.numpy(), Q.numpy()
    rate = speed * Q[:, x].T * s
    rate[np.arange(len(x)), x] = 0
    return torch.from_numpy(rate)


@right("reverse_rates")
def rates_in_lists(s, x, Q, speed):
    S = s.shape[1]
    return torch.tensor(
        [[0.0 if y == a else speed * float(Q[y, a] * row[y]) for y in range(S)] for row, a in zip(s, x)]
    )


# euler_step --------------------------------------------------------------------------------------------------------


@wrong("euler_step", "probability of staying is negative")
def euler_unclamped(rate, x, dt):
    p = dt * rate
    for i in range(len(x)):
        p[i, x[i]] = 1 - p[i].sum()
    return p


@wrong("euler_step", "without `/ total.clamp(min=1)`")
def euler_clamped_only(rate, x, dt):
    p = dt * rate
    for i in range(len(x)):
        p[i, x[i]] = max(0, 1 - p[i].sum())
    return p


@wrong("euler_step", "with `return p`")
def euler_never_stays(rate, x, dt):
    return rate * dt


@wrong("euler_step", "You scale the jumps in short steps, too")
def euler_always_jumps(rate, x, dt):
    p = rate * dt
    return p / p.sum(1, keepdim=True)


@wrong("euler_step", "Euler's step is linear")
def euler_exponential(rate, x, dt):
    stay = (-dt * rate.sum(1)).exp()
    p = (1 - stay)[:, None] * rate / rate.sum(1, keepdim=True).clamp(min=1e-30)
    p[range(len(x)), x] = stay
    return p


@wrong("euler_step", "without `dt *`")
def euler_without_dt(rate, x, dt):
    total = rate.sum(1, keepdim=True)
    p = rate / total.clamp(min=1)
    p[range(len(x)), x] = (1 - total[:, 0]).clamp(min=0)
    return p


@wrong("euler_step", "clip each jump at 1")
def euler_cuts_each(rate, x, dt):
    p = dt * rate
    stay = torch.clamp(1 - p.sum(1), min=0)
    p = torch.minimum(p, torch.ones_like(p))
    p[range(len(x)), x] = stay
    return p


@wrong("euler_step", "Each row should add up to 1; yours add up to 4, for example")
def euler_one_sum(rate, x, dt):
    p = dt * rate
    stay = max(0.0, 1 - p.sum().item())
    for i in range(len(x)):
        p[i, x[i]] = stay
    return p


@wrong("euler_step", "softmax")
def euler_softmax(rate, x, dt):
    return torch.softmax(dt * rate, dim=1)


@wrong("euler_step")
def euler_stays_at_the_wrong_place(rate, x, dt):
    p = dt * rate
    total = p.sum(1)
    p = p / total.clamp(min=1)[:, None]
    p[:, 0] = (1 - total).clamp(min=0)
    return p


@wrong("euler_step")
def euler_in_place(rate, x, dt):
    rate *= dt
    total = rate.sum(1, keepdim=True)
    rate /= total.clamp(min=1)
    rate[range(len(x)), x] = (1 - total[:, 0]).clamp(min=0)
    return rate


@right("euler_step")
def euler_in_numpy(rate, x, dt):
    p = dt * rate.numpy()
    total = p.sum(1)
    p = p / np.maximum(total, 1)[:, None]
    p[np.arange(len(x)), x.numpy()] = np.maximum(1 - total, 0)
    return torch.tensor(p.astype("float32"))


@right("euler_step")
def euler_normalized_at_the_end(rate, x, dt):
    p = dt * rate
    stay = (1 - p.sum(1, keepdim=True)).relu()
    p = torch.scatter(p, 1, x[:, None], stay)
    return p / p.sum(1, keepdim=True)


# tweedie_step ------------------------------------------------------------------------------------------------------


@wrong("tweedie_step", "with `return p`")
def tweedie_unnormalized(s, x, d, Q):
    less = torch.linalg.matrix_exp(-d * Q)
    again = torch.linalg.matrix_exp(d * Q)
    return (s @ less).clamp(min=0) * again[:, x].T


@wrong("tweedie_step", "with `return p.softmax(-1)`")
def tweedie_softmax(s, x, d, Q):
    less, again = torch.linalg.matrix_exp(-d * Q), torch.linalg.matrix_exp(d * Q)
    return torch.softmax((s @ less).clamp(min=0) * again[:, x].T, dim=1)


@wrong("tweedie_step", "without `* again`")
def tweedie_half(s, x, d, Q):
    p = (s @ torch.linalg.matrix_exp(-d * Q)).clamp(min=0)
    return p / p.sum(1, keepdim=True)


@wrong("tweedie_step", "without `@ torch.linalg.matrix_exp(-d * Q)`")
def tweedie_other_half(s, x, d, Q):
    p = s * torch.linalg.matrix_exp(d * Q).T[x]
    return p / p.sum(1, keepdim=True)


@wrong("tweedie_step", "with `-Q` in place of `Q`")
def tweedie_signs(s, x, d, Q):
    p = (s @ torch.linalg.matrix_exp(d * Q)).clamp(min=0) * torch.linalg.matrix_exp(-d * Q).T[x]
    return p / p.sum(1, keepdim=True)


@wrong("tweedie_step", "without the minus in front of `d`")
def tweedie_no_sign(s, x, d, Q):
    forward = torch.linalg.matrix_exp(d * Q)
    p = torch.relu(s @ forward) * forward[:, x].T
    return p / p.sum(1, keepdim=True)


@wrong("tweedie_step", "with `d * Q.mT` in place of `d * Q`")
def tweedie_row(s, x, d, Q):
    p = torch.relu(s @ torch.linalg.matrix_exp(-d * Q)) * torch.linalg.matrix_exp(d * Q)[x]
    return p / p.sum(1, keepdim=True)


@wrong("tweedie_step", "with `-d * Q.mT` in place of `-d * Q`")
def tweedie_transposed(s, x, d, Q):
    less = (torch.linalg.matrix_exp(-d * Q) @ s.T).T
    p = torch.relu(less) * torch.linalg.matrix_exp(d * Q).T[x]
    return p / p.sum(1, keepdim=True)


@wrong("tweedie_step", "exp() of each entry")
def tweedie_entrywise(s, x, d, Q):
    p = torch.relu(s @ torch.exp(-d * Q)) * torch.exp(d * Q)[:, x].T
    return p / p.sum(1, keepdim=True)


@wrong("tweedie_step", "without `.clamp(min=0)`")
def tweedie_negative(s, x, d, Q):
    p = s @ torch.linalg.matrix_exp(-d * Q) * torch.linalg.matrix_exp(d * Q)[:, x].T
    return p / p.sum(1, keepdim=True)


@wrong("tweedie_step", "with `p.sum()` in place of `p.sum(-1, keepdim=True)`")
def tweedie_normalized_over_all(s, x, d, Q):
    p = torch.relu(s @ torch.linalg.matrix_exp(-d * Q)) * torch.linalg.matrix_exp(d * Q)[:, x].T
    return p / p.sum()


@wrong("tweedie_step", "absolute values")
def tweedie_absolute(s, x, d, Q):
    p = (s @ torch.linalg.matrix_exp(-d * Q)).abs() * torch.linalg.matrix_exp(d * Q)[:, x].T
    return p / p.sum(1, keepdim=True)


@right("tweedie_step")
def tweedie_in_loops(s, x, d, Q):
    less, again = torch.linalg.matrix_exp(-d * Q), torch.linalg.matrix_exp(d * Q)
    rows = []
    for i in range(len(x)):
        p = [max(0.0, sum(s[i] * less[:, y]).item()) * again[y, x[i]].item() for y in range(len(Q))]
        rows.append([v / sum(p) for v in p])
    return torch.tensor(rows)


@right("tweedie_step")
def tweedie_solved(s, x, d, Q):
    forward = torch.linalg.matrix_exp(d * Q)
    less = torch.linalg.solve(forward, s, left=False)
    p = torch.maximum(less, torch.zeros(())) * forward.T[x]
    return torch.nn.functional.normalize(p, p=1, dim=-1).float()


# mended_sampler ----------------------------------------------------------------------------------------------------


def pick(p, generator):
    B, L, S = p.shape
    return torch.multinomial(p.reshape(B * L, S), 1, generator=generator).view(B, L)


@wrong("mended_sampler", "still stops early")
def sampler_original(score, process, x, steps, generator):
    times = torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        less = sigma - process.schedule.total(later)
        x = pick(process.tweedie(score(x, sigma), x, less), generator)
    return x


@wrong("mended_sampler", "geometric schedule still has some")
def sampler_to_time_0(score, process, x, steps, generator):
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    for k in range(steps):
        sigma = process.schedule.total(times[k]).expand(len(x))
        less = sigma - process.schedule.total(times[k + 1])
        x = pick(process.tweedie(score(x, sigma), x, less), generator)
    return x


@wrong("mended_sampler", "most probable character")
def sampler_argmax(score, process, x, steps, generator):
    times = torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        x = pick(process.tweedie(score(x, sigma), x, sigma - process.schedule.total(later)), generator)
    sigma = process.schedule.total(later).expand(len(x))
    return process.denoise(score(x, sigma), x, sigma).argmax(-1)


@wrong("mended_sampler", "still at t = 1")
def sampler_old_sigma(score, process, x, steps, generator):
    times = torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)
    start = process.schedule.total(times[0]).expand(len(x))
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        x = pick(process.tweedie(score(x, sigma), x, sigma - process.schedule.total(later)), generator)
    return pick(process.denoise(score(x, start), x, start), generator)


@wrong("mended_sampler", "all the noise in every step")
def sampler_denoises_always(score, process, x, steps, generator):
    times = torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)
    for now in times[:-1]:
        sigma = process.schedule.total(now).expand(len(x))
        x = pick(process.denoise(score(x, sigma), x, sigma), generator)
    return x


@wrong("mended_sampler")
def sampler_one_text(score, process, x, steps, generator):
    times = torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        x = pick(process.tweedie(score(x, sigma), x, sigma - process.schedule.total(later)), generator)
    sigma = process.schedule.total(later).expand(len(x))
    return pick(process.denoise(score(x, sigma), x, sigma), generator)[0]


@wrong("mended_sampler")
def sampler_without_generator(score, process, x, steps, generator):
    times = torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        x = pick(process.tweedie(score(x, sigma), x, sigma - process.schedule.total(later)), None)
    sigma = process.schedule.total(later).expand(len(x))
    return pick(process.denoise(score(x, sigma), x, sigma), None)


@wrong("mended_sampler", "replace the masks")
def sampler_replaces_masks(score, process, x, steps, generator):
    times = torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        x = pick(process.tweedie(score(x, sigma), x, sigma - process.schedule.total(later)), generator)
    return torch.where(x == process.mask, 0, x) if process.mask is not None else x


@wrong("mended_sampler", "levels of noise")
def sampler_sees_only_the_noise(score, process, x, steps, generator):
    sigma = process.schedule.total(torch.ones(len(x), dtype=torch.float64))
    p = process.denoise(score(x, sigma), x, sigma)
    for _ in range(steps):
        x = pick(p, generator)
    return x


@right("mended_sampler")
def sampler_with_the_last_step_inside(score, process, x, steps, generator):
    times = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    for k in range(steps):
        sigma = torch.full((len(x),), float(process.schedule.total(times[k])), dtype=torch.float64)
        if k < steps - 1:
            p = process.tweedie(score(x, sigma), x, sigma - process.schedule.total(times[k + 1]))
        else:
            p = process.denoise(score(x, sigma), x, sigma)
        x = pick(p, generator)
    return x


@right("mended_sampler")
def sampler_nearly_to_the_end(score, process, x, steps, generator):
    times = torch.linspace(1, 1e-3, steps + 1)
    total = process.schedule.total(times).double()
    for now, later in zip(total, total[1:]):
        sigma = now.repeat(len(x))
        x = pick(process.tweedie(score(x, sigma), x, sigma - later), generator)
    sigma = total[-1].repeat(len(x))
    return pick(process.denoise(score(x, sigma), x, sigma), generator)


# hitting_times -----------------------------------------------------------------------------------------------------


@wrong("hitting_times", "your runs are the same")
def times_on_a_grid(count, n, generator):
    return torch.stack([torch.arange(n, 0, -1) / n] * count)


@wrong("hitting_times", "You multiply by u")
def times_without_a_root(count, n, generator):
    t, times = torch.ones(count), []
    for _ in range(n):
        t = t * torch.rand(count, generator=generator)
        times.append(t)
    return torch.stack(times, 1)


@wrong("hitting_times", "with the initial n")
def times_always_n(count, n, generator):
    t, times = torch.ones(count), []
    for _ in range(n):
        t = t * torch.rand(count, generator=generator) ** (1 / n)
        times.append(t)
    return torch.stack(times, 1)


@wrong("hitting_times", "This is u^n")
def times_power(count, n, generator):
    t, times = torch.ones(count, dtype=torch.float64), []
    for left in range(n, 0, -1):
        t = t * torch.rand(count, dtype=torch.float64, generator=generator) ** left
        times.append(t)
    return torch.stack(times, 1)


@wrong("hitting_times", "count the masks upward")
def times_upwards(count, n, generator):
    t, times = torch.ones(count), []
    for k in range(n):
        t = t * torch.rand(count, generator=generator) ** (1 / (k + 1))
        times.append(t)
    return torch.stack(times, 1)


@wrong("hitting_times", "time runs backward")
def times_not_multiplied(count, n, generator):
    return torch.stack([torch.rand(count, generator=generator) ** (1 / left) for left in range(n, 0, -1)], 1)


@wrong("hitting_times", "Your times increase")
def times_sorted_upwards(count, n, generator):
    return torch.rand(count, n, generator=generator).sort(dim=1).values


@wrong("hitting_times", "your runs are the same")
def times_of_one_run(count, n, generator):
    t, row = 1.0, []
    for left in range(n, 0, -1):
        t = t * torch.rand(1, generator=generator).item() ** (1 / left)
        row.append(t)
    return torch.tensor(row).repeat(count, 1)


@wrong("hitting_times")
def times_transposed(count, n, generator):
    return torch.rand(count, n, generator=generator).sort(dim=1, descending=True).values.T


@wrong("hitting_times")
def times_without_generator(count, n, generator):
    return torch.rand(count, n).sort(dim=1, descending=True).values


@wrong("hitting_times")
def times_with_1(count, n, generator):
    t = torch.rand(count, n, generator=generator).sort(dim=1, descending=True).values
    return torch.cat([torch.ones(count, 1), t], 1)


@right("hitting_times")
def times_sorted(count, n, generator):
    return torch.rand(count, n, generator=generator).sort(dim=1, descending=True).values


@right("hitting_times")
def times_in_numpy_and_logs(count, n, generator):
    u = torch.rand((count, n), dtype=torch.float64, generator=generator).numpy()
    return torch.from_numpy(np.exp(np.cumsum(np.log(u) / np.arange(n, 0, -1), axis=1)))


# first_hitting -----------------------------------------------------------------------------------------------------


@wrong("first_hitting", "from left to right")
def hits_from_left_to_right(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for i in range(L):
        x[i] = torch.multinomial(denoiser(x)[i], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting", "call the denoiser once")
def hits_with_one_call(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    p = denoiser(x)
    states = [x.clone()]
    for i in torch.randperm(L, generator=generator):
        x[i] = torch.multinomial(p[i], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting", "most probable character")
def hits_argmax(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for i in torch.randperm(L, generator=generator):
        x[i] = denoiser(x)[i].argmax()
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting", "from the first row")
def hits_the_first_row(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for i in torch.randperm(L, generator=generator):
        x[i] = torch.multinomial(denoiser(x)[0], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting", "the same tensor")
def hits_one_tensor(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x]
    for i in torch.randperm(L, generator=generator):
        x[i] = torch.multinomial(denoiser(x)[i], 1, generator=generator)
        states.append(x)
    return torch.stack(states)


@wrong("first_hitting", "the initial noise, and L steps")
def hits_without_noise(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = []
    for i in torch.randperm(L, generator=generator):
        x[i] = torch.multinomial(denoiser(x)[i], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting", "only the final text")
def hits_the_text_only(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    while (x == mask).any():
        places = [i for i in range(L) if x[i] == mask]
        i = places[torch.randint(len(places), (1,), generator=generator).item()]
        x[i] = torch.multinomial(denoiser(x)[i], 1, generator=generator)
    return x


@wrong("first_hitting", "Exactly one character should change")
def hits_any_position(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for _ in range(L):
        i = torch.randint(L, (), generator=generator)
        x[i] = torch.multinomial(denoiser(x)[i], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting", "choose the position at random")
def hits_from_right_to_left(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for i in reversed(range(L)):
        x[i] = torch.multinomial(denoiser(x)[i], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting")
def hits_without_generator(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for i in torch.randperm(L):
        x[i] = torch.multinomial(denoiser(x)[i], 1)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting")
def hits_with_flattened_probabilities(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for i in torch.randperm(L, generator=generator):
        p = denoiser(x)[i] ** 0.5
        x[i] = torch.multinomial(p, 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@right("first_hitting")
def hits_in_a_random_order(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for i in torch.randperm(L, generator=generator):
        x[i] = torch.multinomial(denoiser(x)[i], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@right("first_hitting")
def hits_in_lists(denoiser, L, mask, generator):
    x = [mask] * L
    states = [list(x)]
    while mask in x:
        places = [i for i in range(L) if x[i] == mask]
        i = places[int(torch.rand(1, generator=generator) * len(places))]
        u, y = torch.rand(1, generator=generator).item(), 0
        p = denoiser(torch.tensor(x))[i].tolist()
        while u > p[y]:
            u -= p[y]
            y += 1
        x[i] = y
        states.append(list(x))
    return torch.tensor(states)


# Answers of other kinds ---------------------------------------------------------------------------------------------


@wrong("mended_sampler", "levels of noise")
def sampler_always_10_steps(score, process, x, steps, generator):
    return sampler_nearly_to_the_end(score, process, x, 10, generator)


@wrong("mended_sampler", "call no manual_seed")
def sampler_seeded_at_the_end(score, process, x, steps, generator):
    times = torch.linspace(1, 0.02, steps + 1, dtype=torch.float64)
    for now, later in zip(times[:-1], times[1:]):
        sigma = process.schedule.total(now).expand(len(x))
        x = pick(process.tweedie(score(x, sigma), x, sigma - process.schedule.total(later)), generator)
    sigma = process.schedule.total(later).expand(len(x))
    return pick(process.denoise(score(x, sigma), x, sigma), torch.Generator().manual_seed(7))


@wrong("hitting_times", "Two different generators")
def times_of_own_dice(count, n, generator):
    return times_sorted(count, n, torch.Generator().manual_seed(2))


@wrong("hitting_times", "time runs backward")
def times_unsorted(count, n, generator):
    return torch.rand(count, n, generator=generator)


@wrong("hitting_times", "first time is 1")
def times_from_1(count, n, generator):
    return torch.cat([torch.ones(count, 1), times_sorted(count, n, generator)[:, : n - 1]], 1)


@wrong("hitting_times", "your runs are the same")
def times_for_pairs(count, n, generator):
    return times_sorted(count // 2, n, generator).repeat(2, 1)


@wrong("first_hitting", "choose the position at random")
def hits_the_surest_first(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for _ in range(L):
        p = denoiser(x)
        i = p.amax(-1).where(x == mask, 0).argmax()
        x[i] = torch.multinomial(p[i], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting", "choose the position at random")
def hits_around_in_a_circle(denoiser, L, mask, generator):
    x, start = torch.full((L,), mask), int(torch.randint(L, (), generator=generator))
    states = [x.clone()]
    for k in range(L):
        i = (start + k) % L
        x[i] = torch.multinomial(denoiser(x)[i], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting", "from row i - 1")
def hits_row_above(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for i in torch.randperm(L, generator=generator):
        x[i] = torch.multinomial(denoiser(x)[i - 1], 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("first_hitting", "pure noise")
def hits_in_reverse(denoiser, L, mask, generator):
    return hits_in_a_random_order(denoiser, L, mask, generator).flip(0)


@wrong("first_hitting", "call no manual_seed")
def hits_of_own_dice(denoiser, L, mask, generator):
    return hits_in_a_random_order(denoiser, L, mask, torch.Generator().manual_seed(0))


@wrong("first_hitting", "Return a tensor")
def hits_in_a_list(denoiser, L, mask, generator):
    return hits_in_a_random_order(denoiser, L, mask, generator).tolist()


@wrong("reverse_rates", "Return a tensor")
def rates_in_a_list(s, x, Q, speed):
    return rates_in_lists(s, x, Q, speed).tolist()


@wrong("euler_step", "Return a tensor")
def euler_in_an_array(rate, x, dt):
    return euler_in_numpy(rate, x, dt).numpy()


@wrong("first_hitting", "numbers are wrong")
def hitting_by_softmax(denoiser, L, mask, generator):
    x = torch.full((L,), mask)
    states = [x.clone()]
    for i in torch.randperm(L, generator=generator):
        x[i] = torch.multinomial(denoiser(x)[i].softmax(-1), 1, generator=generator)
        states.append(x.clone())
    return torch.stack(states)


@wrong("hitting_times", "in each row, it is u^(1/n) times the one before it")
def times_sorted_along_the_runs(count, n, generator):
    return torch.rand(count, n, generator=generator).sort(dim=0, descending=True).values
