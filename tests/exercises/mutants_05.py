"""Notebook 05: solutions that students write, wrong and right."""

# Students write like this.
# ruff: noqa: PERF401

import numpy as np
import torch
from torch import nn

from exercises import right, wrong


@wrong("spread_times", "without `1 -`")
def times_from_zero(B, u):
    return [(u + b / B) % 1 for b in range(B)]


@wrong("spread_times", "without `% 1`")
def times_outside(B, u):
    return torch.tensor([1 - u - b / B for b in range(B)])


@wrong("spread_times", "without `u +`")
def times_without_shift(B, u):
    return torch.arange(1, B + 1) / B


@wrong("spread_times", "u moves your times by u / B only")
def times_divide_u(B, u):
    return 1 - (torch.arange(B) + u) / B


@wrong("spread_times", "u moves your times by u / B only")
def times_divide_u_in_a_list(B, u):
    return [(b + u) / B for b in range(B)]


@wrong("spread_times", "You divide b by B - 1")
def times_by_linspace(B, u):
    return 1 - (u + torch.linspace(0, 1, B).double()) % 1


@wrong("spread_times", "without `/ B`")
def times_all_equal(B, u):
    return (1 - u) * torch.ones(B)


@wrong("spread_times", "The shape should be (2,); yours is ()")
def times_returned_early(B, u):
    for b in range(B):
        return 1 - (u + b / B) % 1


@wrong("spread_times")
def times_from_one(B, u):
    return 1 - (u + torch.arange(1, B) / B) % 1


@wrong("spread_times", "You draw B random times")
def times_at_random(B, u):
    return 1 - torch.rand(B)


@wrong("spread_times")
def times_as_whole_numbers(B, u):
    return 1 - (u + torch.arange(B) // B) % 1


@right("spread_times")
def times_in_a_loop(B, u):
    t, now = [], u
    for _ in range(B):
        t.append(1 - now)
        now = now + 1 / B
        if now >= 1:
            now = now - 1
    return t


@right("spread_times")
def times_in_numpy(B, u):
    return 1 - np.fmod(u + np.arange(B, dtype="float32") / B, 1)


@right("spread_times")
def times_upwards(B, u):
    return torch.sort(1 - torch.remainder(torch.arange(B) / B + u, 1.0)).values


@wrong("weighted_loss", "without `weight *`")
def loss_without_weight(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    return process.score_entropy(score(x, sigma), x, x0, sigma).mean()


@wrong("weighted_loss", "without `* (1 - torch.exp(-sigma))`")
def loss_with_the_rate(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    se = process.score_entropy(score(x, sigma), x, x0, sigma)
    return (process.schedule.rate(t)[:, None] * se).mean()


@wrong("weighted_loss", "without `process.schedule.rate(t) *`")
def loss_with_the_share(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    se = process.score_entropy(score(x, sigma), x, x0, sigma)
    return ((1 - torch.exp(-sigma))[:, None] * se).mean()


@wrong("weighted_loss", "without `1 -`")
def loss_with_fraction_not_hit(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    se = process.score_entropy(score(x, sigma), x, x0, sigma)
    return (process.schedule.rate(t) * torch.exp(-sigma) * se.mean(1)).mean()


@wrong("weighted_loss", "without the minus in front of `sigma`")
def loss_with_a_weight_below_0(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(sigma))
    return (w * process.score_entropy(score(x, sigma), x, x0, sigma).mean(1)).mean()


@wrong("weighted_loss", "(B, B)")
def loss_of_all_pairs(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    se = process.score_entropy(score(x, sigma), x, x0, sigma).mean(1, keepdim=True)
    return (w * se).mean()


@wrong("weighted_loss", "with `entropy.sum(-1)` in place of `entropy.mean(-1)`")
def loss_per_text(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    se = process.score_entropy(score(x, sigma), x, x0, sigma)
    return (w * se.sum(dim=1)).mean()


@wrong("weighted_loss", "sum over everything")
def loss_summed(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    se = process.score_entropy(score(x, sigma), x, x0, sigma)
    return (w.unsqueeze(1) * se).sum()


@wrong("weighted_loss", "without `.mean()`")
def loss_for_each(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    return w * process.score_entropy(score(x, sigma), x, x0, sigma).mean(1)


@wrong("weighted_loss", "with `score(x, t)` in place of `score(x, process.schedule.total(t))`")
def loss_with_time_in_the_score(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    return (w * process.score_entropy(score(x, t), x, x0, sigma).mean(1)).mean()


@wrong("weighted_loss", "with `score(x, process.schedule.total(t)).exp()` in place of `score(x,")
def loss_of_ratios(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    ratio = score(x, sigma).exp()
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    return (w * process.score_entropy(ratio, x, x0, sigma).mean(1)).mean()


@wrong("weighted_loss", "use the time t as the total noise")
def loss_with_time_for_noise(score, process, x, x0, t):
    w = process.schedule.rate(t) * (1 - torch.exp(-process.schedule.total(t)))
    return (w * process.score_entropy(score(x, t), x, x0, t).mean(1)).mean()


@wrong("weighted_loss", "with `score(x0, process.schedule.total(t))` in place of `score(x,")
def loss_of_clean_texts(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    return (w * process.score_entropy(score(x0, sigma), x, x0, sigma).mean(1)).mean()


@wrong("weighted_loss", "have no gradient")
def loss_as_a_number(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    return (w * process.score_entropy(score(x, sigma), x, x0, sigma).mean(1)).mean().item()


@wrong("weighted_loss", "have no gradient")
def loss_without_grad(score, process, x, x0, t):
    with torch.no_grad():
        sigma = process.schedule.total(t)
        w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
        return (w * process.score_entropy(score(x, sigma), x, x0, sigma).mean(1)).mean()


@wrong("weighted_loss", "have no gradient")
def loss_of_a_new_tensor(score, process, x, x0, t):
    return torch.tensor(loss_in_single_precision(score, process, x, x0, t).item(), requires_grad=True)


@wrong("weighted_loss", "swapped x and x0")
def loss_with_swapped_texts(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    return (w * process.score_entropy(score(x, sigma), x0, x, sigma).mean(1)).mean()


@wrong("weighted_loss", "number of hit characters")
def loss_per_mask(score, process, x, x0, t):
    sigma = process.schedule.total(t)
    w = process.schedule.rate(t) * (1 - torch.exp(-sigma))
    se = process.score_entropy(score(x, sigma), x, x0, sigma)
    return (w[:, None] * se).sum() / (x != x0).sum()


@right("weighted_loss")
def loss_in_a_loop(score, process, x, x0, t):
    total = 0
    for b in range(len(x)):
        sigma = process.schedule.total(t[b : b + 1])
        costs = process.score_entropy(score(x[b : b + 1], sigma), x[b : b + 1], x0[b : b + 1], sigma)
        weight = process.schedule.rate(t[b]) * (1 - torch.exp(-sigma[0]))
        total = total + weight * costs.sum() / x.shape[1]
    return total / len(x)


@right("weighted_loss")
def loss_in_single_precision(score, process, x, x0, t):
    noise = process.schedule.total(t).float()
    w = process.schedule.rate(t).float() * -torch.expm1(-noise)
    costs = process.score_entropy(score(x, noise), x, x0, noise).float()
    return torch.einsum("b,bl->", w, costs) / x.numel()


@wrong("moving_average", "Your result is the right one with average and weights exchanged")
def average_forgets(average, weights, decay):
    return [(1 - decay) * a + decay * w for a, w in zip(average, weights)]


@wrong("moving_average", "without `(1 - decay) *`")
def average_grows(average, weights, decay):
    return [decay * a + w for a, w in zip(average, weights)]


@wrong("moving_average", "without `decay *`")
def average_keeps_all(average, weights, decay):
    return [a + (1 - decay) * w for a, w in zip(average, weights)]


@wrong("moving_average", "This is the midpoint")
def average_of_two(average, weights, decay):
    return [torch.stack([a, w]).mean(0) for a, w in zip(average, weights)]


@wrong("moving_average", "sign is flipped")
def average_runs_away(average, weights, decay):
    return [a + (1 - decay) * (a - w) for a, w in zip(average, weights)]


@wrong("moving_average", "without `+ (1 - decay) * w`")
def average_fades(average, weights, decay):
    return [decay * a + (1 - decay) * a * 0 for a, w in zip(average, weights)]


@wrong("moving_average", "one tensor for each weight")
def average_of_the_last(average, weights, decay):
    for a, w in zip(average, weights):
        new = [decay * a + (1 - decay) * w]
    return new


@wrong("moving_average", "one tensor for each weight. You returned a generator")
def average_yields(average, weights, decay):
    for a, w in zip(average, weights):
        yield decay * a + (1 - decay) * w


@wrong("moving_average", "Return a tensor")
def average_of_arrays(average, weights, decay):
    return [decay * a.numpy() + (1 - decay) * w.numpy() for a, w in zip(average, weights)]


@wrong("moving_average")
def average_in_place(average, weights, decay):
    for a, w in zip(average, weights):
        a.mul_(decay).add_((1 - decay) * w)
    return average


@wrong("moving_average")
def average_of_lists(average, weights, decay):
    return decay * average + (1 - decay) * weights


@right("moving_average")
def average_by_lerp(average, weights, decay):
    return [torch.lerp(a, w, 1 - decay) for a, w in zip(average, weights)]


@right("moving_average")
def average_in_numpy(average, weights, decay):
    new = []
    for k in range(len(average)):
        new.append(torch.from_numpy(average[k].numpy() + (1 - decay) * (weights[k].numpy() - average[k].numpy())))
    return tuple(new)


@right("moving_average")
def average_of_copies(average, weights, decay):
    new = [a.clone().float() for a in average]
    for a, w in zip(new, weights):
        a *= decay
        a += (1 - decay) * w.float()
    return new


@wrong("initialize", "The weights of qkv of block 0 should be random, with standard deviation 1 / √inputs")
def init_by_outputs(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.out_features**-0.5)
    nn.init.zeros_(network.head.weight)
    for block in network.blocks:
        nn.init.zeros_(block.out.weight)
        nn.init.zeros_(block.down.weight)


@wrong("initialize", "No matrix is 0 at the end")
def init_original(network):
    nn.init.zeros_(network.head.weight)
    for block in network.blocks:
        nn.init.zeros_(block.out.weight)
        nn.init.zeros_(block.down.weight)
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)


@wrong("initialize", "The weights of out of block 0 should be exactly 0")
def init_of_the_head(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    nn.init.zeros_(network.head.weight)


@wrong("initialize", "The weights of head should be exactly 0")
def init_of_the_blocks(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.weight.data = torch.randn(module.weight.shape) / module.in_features**0.5
    for block in network.blocks:
        block.out.weight.data[:] = 0
        block.down.weight.data[:] = 0


@wrong("initialize", "The weights of qkv of block 0 should be random, with standard deviation 1 / √inputs")
def init_all_zero(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.weight)


@wrong("initialize", "The weights of down of block 0 should be exactly 0")
def init_without_down(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    nn.init.zeros_(network.head.weight)
    for block in network.blocks:
        nn.init.zeros_(block.out.weight)


@wrong("initialize", "The weights of out of block 0 should be exactly 0")
def init_of_the_last_block(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    block = network.blocks[-1]
    for last in [network.head, block.out, block.down]:
        nn.init.zeros_(last.weight)


@wrong("initialize", "The weights of qkv of block 0 should be random, with standard deviation 1 / √inputs")
def init_too_large(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight)
    for last in [network.head] + [b.out for b in network.blocks] + [b.down for b in network.blocks]:
        nn.init.zeros_(last.weight)


@wrong("initialize", "The weights of qkv of block 0 should be random, with standard deviation 1 / √inputs")
def init_without_the_loop(network):
    nn.init.zeros_(network.head.weight)
    for block in network.blocks:
        nn.init.zeros_(block.out.weight)
        nn.init.zeros_(block.down.weight)


@wrong("initialize", "The weights of head should be exactly 0")
def init_small_is_not_zero(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)


@wrong("initialize")
def init_with_a_wrong_name(network):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
    for block in network.block:
        nn.init.zeros_(block.out.weight)


def init_with(network, fill):
    for module in network.modules():
        if isinstance(module, nn.Linear):
            fill(module.weight.data, module.in_features**-0.5)
    for last in [network.head] + [b.out for b in network.blocks] + [b.down for b in network.blocks]:
        last.weight.data.zero_()


@wrong("initialize", "each is constant")
def init_with_one_constant(network):
    init_with(network, lambda w, std: w.fill_(std))


@wrong("initialize", "from a normal distribution")
def init_with_a_uniform_distribution(network):
    init_with(network, lambda w, std: w.uniform_(-std * 3**0.5, std * 3**0.5))


@wrong("initialize", "Several matrices got the same random numbers")
def init_reseeded(network):
    def fill(w, std):
        torch.manual_seed(0)
        w.normal_(std=std)

    init_with(network, fill)


@wrong("initialize", "embeddings or norms")
def init_with_zero_embeddings(network):
    init_with(network, lambda w, std: w.normal_(std=std))
    nn.init.zeros_(network.embed.weight)


@wrong("initialize", "embeddings or norms")
def init_with_new_embeddings(network):
    for weight in network.parameters():
        nn.init.normal_(weight, std=weight.shape[-1] ** -0.5)
    for last in [network.head] + [b.out for b in network.blocks] + [b.down for b in network.blocks]:
        nn.init.zeros_(last.weight)


@wrong("initialize", "no longer require a gradient")
def init_frozen(network):
    init_with(network, lambda w, std: w.normal_(std=std))
    for block in network.blocks:
        block.out.weight.requires_grad = block.down.weight.requires_grad = False


@wrong("initialize", "The weights of qkv of block 0 should be random, with standard deviation 1 / √inputs")
def init_too_small(network):
    init_with(network, lambda w, std: w.normal_(std=std**2))


@right("initialize")
def init_by_name(network):
    with torch.no_grad():
        for name, weight in network.named_parameters():
            part = name.split(".")[-2]
            if part in ("head", "out", "down"):
                weight.zero_()
            elif part in ("qkv", "up"):
                weight.normal_(std=weight.shape[1] ** -0.5)


@right("initialize")
def init_with_a_list_of_exceptions(network):
    zero = [network.head]
    for block in network.blocks:
        zero += [block.out, block.down]
    for module in network.modules():
        if not isinstance(module, nn.Linear):
            continue
        if any(module is z for z in zero):
            module.weight.data.fill_(0.0)
        else:
            module.weight.data = torch.randn_like(module.weight) * module.in_features**-0.5


@wrong("block_forward", "Your block calls norm1, attend, norm2, attend")
def block_original(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.attend(self.norm2(h))


@wrong("block_forward", "Your block calls norm1, attend, norm2, attend, mlp")
def block_half_fixed(self, h):
    h = h + self.attend(self.norm1(h))
    a = self.attend(self.norm2(h))
    return h + self.mlp(a)


@wrong("block_forward", "Your block calls norm1, attend, norm2, attend, norm2, mlp")
def block_of_three(self, h):
    h = h + self.attend(self.norm1(h))
    h = h + self.attend(self.norm2(h))
    return h + self.mlp(self.norm2(h))


@wrong("block_forward", "Your block calls norm2, mlp")
def block_of_one(self, h):
    return h + self.mlp(self.norm2(h))


@wrong("block_forward", "Your block calls norm1, mlp, norm2, mlp")
def block_with_both_replaced(self, h):
    h = h + self.mlp(self.norm1(h))
    return h + self.mlp(self.norm2(h))


@wrong("block_forward", "Your block calls norm1, mlp, norm2, attend")
def block_swapped(self, h):
    h = h + self.mlp(self.norm1(h))
    return h + self.attend(self.norm2(h))


@wrong("block_forward", "The result of the MLP replaces h")
def block_that_replaces(self, h):
    h = h + self.attend(self.norm1(h))
    return self.mlp(self.norm2(h))


@wrong("block_forward", "Both parts see the same h")
def block_side_by_side(self, h):
    a = self.attend(self.norm1(h))
    m = self.mlp(self.norm2(h))
    return h + a + m


@wrong("block_forward", "Your block calls norm1, attend, mlp")
def block_without_norm(self, h):
    h = h + self.attend(self.norm1(h))
    return h + self.mlp(h)


@wrong("block_forward", "Your block calls norm1, attend, norm1, mlp")
def block_with_one_norm(self, h):
    for part in (self.attend, self.mlp):
        h = h + part(self.norm1(h))
    return h


@wrong("block_forward", "You change h in place")
def block_in_place(self, h):
    h += self.attend(self.norm1(h))
    h += self.mlp(self.norm2(h))
    return h


@wrong("block_forward", "Your block calls attend, norm1, mlp, norm2")
def block_with_norms_after(self, h):
    h = self.norm1(h + self.attend(h))
    return self.norm2(h + self.mlp(h))


@wrong("block_forward")
def block_with_another_name(self, h):
    h = h + self.attention(self.norm1(h))
    return h + self.mlp(self.norm2(h))


@wrong("block_forward", "Your block calls norm1, attend, norm2, attend, norm2, mlp")
def block_with_a_call_for_nothing(self, h):
    a = self.attend(self.norm1(h))
    self.attend(self.norm2(h + a))
    return h + a + self.mlp(self.norm2(h + a))


@wrong("block_forward", "not their gradient with respect to h")
def block_detached(self, h):
    h = h.detach() + self.attend(self.norm1(h))
    return h + self.mlp(self.norm2(h))


@right("block_forward")
def block_in_pairs(self, h):
    for norm, part in [(self.norm1, self.attend), (self.norm2, self.mlp)]:
        h = h + part(norm(h))
    return h


@right("block_forward")
def block_in_single_precision(self, h):
    h = h.float()
    a = self.attend(self.norm1(h))
    m = self.mlp(self.norm2(h + a))
    return h + a + m


@wrong("noised", "There is still a time for each character")
def noise_original(x0, mask, generator):
    t = 1 - torch.rand(x0.shape, generator=generator)
    x = torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0)
    return x, t


@wrong("noised", "too often near 1/2")
def noise_fixed_too_late(x0, mask, generator):
    t = 1 - torch.rand(x0.shape, generator=generator)
    x = torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0)
    return x, t.mean(dim=1, keepdim=True)


@wrong("noised", "All texts of the batch have the same time")
def noise_with_one_time(x0, mask, generator):
    t = torch.rand(1, generator=generator).expand(len(x0), 1)
    x = torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0)
    return x, t


@wrong("noised", "mask a text as a whole")
def noise_of_whole_texts(x0, mask, generator):
    t = torch.rand(len(x0), 1, generator=generator)
    x = torch.where(torch.rand(len(x0), 1, generator=generator) < t, mask, x0)
    return x, t


@wrong("noised", "probability 1 - t")
def noise_reversed(x0, mask, generator):
    t = torch.rand(len(x0), 1, generator=generator)
    x = x0.clone()
    x[torch.rand(x0.shape, generator=generator) > t] = mask
    return x, t


@wrong("noised", "should have shape (B, 1)")
def noise_with_a_flat_time(x0, mask, generator):
    t = torch.rand(len(x0), generator=generator)
    x = torch.where(torch.rand(x0.shape, generator=generator) < t[:, None], mask, x0)
    return x, t


@wrong("noised", "The masks are right, but you return other times")
def noise_with_another_time(x0, mask, generator):
    t = torch.rand(len(x0), 1, generator=generator)
    x = torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0)
    return x, torch.rand(len(x0), 1, generator=generator)


@wrong("noised", "always at the beginning")
def noise_from_the_left(x0, mask, generator):
    t = torch.rand(len(x0), 1, generator=generator)
    x = torch.where(torch.arange(x0.shape[1]) / x0.shape[1] < t, mask, x0)
    return x, t


@wrong("noised", "A pair (x, t) was expected")
def noise_without_time(x0, mask, generator):
    t = torch.rand(len(x0), 1, generator=generator)
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0)


@wrong("noised")
def noise_for_each_position(x0, mask, generator):
    t = torch.rand(x0.shape[1], generator=generator)
    x = torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0)
    return x, t


@wrong("noised")
def noise_without_generator(x0, mask, generator):
    t = torch.rand(len(x0), 1)
    x = torch.where(torch.rand(x0.shape) < t, mask, x0)
    return x, t


@wrong("noised")
def noise_in_place(x0, mask, generator):
    t = torch.rand(len(x0), 1, generator=generator)
    x0[torch.rand(x0.shape, generator=generator) < t] = mask
    return x0, t


@wrong("noised", "Draw the times evenly")
def noise_squared(x0, mask, generator):
    t = torch.rand(len(x0), 1, generator=generator) ** 0.5
    x = torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0)
    return x, t


@wrong("noised", "Two calls gave the same times")
def noise_with_its_own_dice(x0, mask, generator):
    dice = torch.Generator().manual_seed(x0.shape[1])
    t = 1 - torch.rand(len(x0), 1, generator=dice)
    return torch.where(torch.rand(x0.shape, generator=dice) < t, mask, x0), t


@wrong("noised", "Two calls gave the same times")
def noise_at_fixed_times(x0, mask, generator):
    t = torch.arange(1, len(x0) + 1)[:, None] / len(x0)
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t


@wrong("noised", "Some texts are hit at the same positions")
def noise_in_pairs(x0, mask, generator):
    t = 1 - torch.rand(len(x0), 1, generator=generator)
    u = torch.rand(len(x0) // 2, x0.shape[1], generator=generator).repeat(2, 1)
    return torch.where(u < t, mask, x0), t


@wrong("noised", "Many texts have the same time")
def noise_at_a_hundred_times(x0, mask, generator):
    t = (torch.randint(100, (len(x0), 1), generator=generator) + 0.5) / 100
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t


@wrong("noised", "the same number of masks")
def noise_by_count(x0, mask, generator):
    t = 1 - torch.rand(len(x0), 1, generator=generator)
    count = (t * (x0.shape[1] + 1)).floor()
    order = torch.rand(x0.shape, generator=generator).argsort(-1).argsort(-1)
    return torch.where(order < count, mask, x0), t


@wrong("noised", "hit the same characters")
def noise_with_its_own_coins(x0, mask, generator):
    t = 1 - torch.rand(len(x0), 1, generator=generator)
    return torch.where(torch.rand(x0.shape, generator=torch.Generator().manual_seed(1)) < t, mask, x0), t


@right("noised")
def noise_with_spread_times(x0, mask, generator):
    B = len(x0)
    u = torch.rand((), generator=generator).item()
    t = torch.tensor([[1 - (u + b / B) % 1] for b in range(B)])
    x = x0.clone()
    x[torch.rand(x0.shape, dtype=torch.float64, generator=generator) < t] = mask
    return x, t


@right("noised")
def noise_by_bernoulli(x0, mask, generator):
    t = 1 - torch.rand(len(x0), generator=generator)
    hit = torch.bernoulli(t[:, None].repeat(1, x0.shape[1]), generator=generator)
    return (x0 * (1 - hit) + mask * hit).long(), t.view(-1, 1)


@wrong("initialize", "add no layer and no bias")
def initialize_with_a_new_head(network):
    initialized = [m for m in network.modules() if isinstance(m, torch.nn.Linear)]
    for module in initialized:
        torch.nn.init.normal_(module.weight, std=module.in_features**-0.5)
    for block in network.blocks:
        torch.nn.init.zeros_(block.out.weight)
        torch.nn.init.zeros_(block.down.weight)
    network.head = torch.nn.Linear(network.head.in_features, network.head.out_features)
    torch.nn.init.zeros_(network.head.weight)


@wrong("initialize", "The weights of out of block 0 should be exactly 0")
def initialize_up_for_out(network):
    for module in network.modules():
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=module.in_features**-0.5)
    for part in (network.head, *(p for block in network.blocks for p in (block.up, block.down))):
        torch.nn.init.zeros_(part.weight)


@wrong("noised", "too often near 1/2")
def noise_at_mean_times(x0, mask, generator):
    t = (1 - torch.rand(x0.shape, generator=generator)).mean(-1, keepdim=True)
    return torch.where(torch.rand(x0.shape, generator=generator) < t, mask, x0), t
