"""Solutions of "Build it yourself"."""

import torch
import torch.nn.functional as F
from torch import nn

from exercises import right, wrong

EPS = 1e-3
LENGTH, BATCH, WIDTH, LR = 8, 16, 32, 1e-2


def total_noise(t):
    return -torch.log1p(-(1 - EPS) * t)


# blocks -------------------------------------------------------------------------------------------------------------


@right("blocks")
def blocks(text, length, every):
    alphabet = "".join(sorted(set(text)))
    ids = torch.tensor([alphabet.index(c) for c in text])
    return alphabet, ids.unfold(0, length, every)


@right("blocks")
def blocks_in_a_loop(text, length, every):
    alphabet = ""
    for c in sorted(text):
        if c not in alphabet:
            alphabet += c
    number = {c: i for i, c in enumerate(alphabet)}
    starts = range(0, len(text) - length + 1, every)
    return alphabet, torch.tensor([[number[c] for c in text[k : k + length]] for k in starts])


@wrong("blocks", "Result 1 of 2: The text 'ab' was expected, but you returned the text 'ba'")
def blocks_unsorted(text, length, every):
    alphabet = "".join(dict.fromkeys(text))
    return alphabet, torch.tensor([alphabet.index(c) for c in text]).unfold(0, length, every)


@wrong("blocks", "with `text` in place of `set(text)`")
def blocks_with_repeats(text, length, every):
    alphabet = "".join(sorted(text))
    return alphabet, torch.tensor([alphabet.index(c) for c in text]).unfold(0, length, every)


@wrong("blocks", "every `length` characters")
def blocks_side_by_side(text, length, every):
    alphabet = "".join(sorted(set(text)))
    ids = [alphabet.index(c) for c in text]
    K = len(ids) // length
    return alphabet, torch.tensor(ids[: K * length]).view(K, length)


@wrong("blocks", "ord(c)")
def blocks_of_code_points(text, length, every):
    alphabet = "".join(sorted(set(text)))
    return alphabet, torch.tensor([ord(c) for c in text]).unfold(0, length, every)


@wrong("blocks", "''.join(...)")
def blocks_with_a_list(text, length, every):
    alphabet = sorted(set(text))
    return alphabet, torch.tensor([alphabet.index(c) for c in text]).unfold(0, length, every)


@wrong("blocks", "Result 2 of 2: The shape should be (2, 1); yours is (1, 1)")
def blocks_without_the_last(text, length, every):
    alphabet = "".join(sorted(set(text)))
    ids = [alphabet.index(c) for c in text]
    return alphabet, torch.tensor([ids[k : k + length] for k in range(0, len(ids) - length, every)]).view(-1, length)


@wrong("blocks", "A pair (alphabet, blocks) was expected")
def blocks_alone(text, length, every):
    return blocks(text, length, every)[1]


@wrong("blocks", "Return a tensor")
def blocks_as_a_list(text, length, every):
    alphabet, ids = blocks(text, length, every)
    return alphabet, ids.tolist()


# add_noise ----------------------------------------------------------------------------------------------------------


@right("add_noise")
def add_noise(x0, sigma, mask, generator):
    hit = torch.rand(x0.shape, generator=generator) < -torch.expm1(-sigma)[:, None]
    return torch.where(hit, mask, x0)


@right("add_noise")
def add_noise_in_a_loop(x0, sigma, mask, generator):
    x = x0.clone()
    for row, noise in zip(x, sigma):
        row[torch.rand(len(row), generator=generator) > torch.exp(-noise)] = mask
    return x


@wrong("add_noise", "You use sigma as a probability")
def add_noise_sigma(x0, sigma, mask, generator):
    return torch.where(torch.rand(x0.shape, generator=generator) < sigma[:, None], mask, x0)


@wrong("add_noise", "with `torch.rand(x0.shape, generator=generator) > 1 - torch.exp(-sigma)[:, None]` in")
def add_noise_swapped(x0, sigma, mask, generator):
    return torch.where(torch.rand(x0.shape, generator=generator) < torch.exp(-sigma)[:, None], mask, x0)


@wrong("add_noise", "as a whole or not at all")
def add_noise_to_whole_texts(x0, sigma, mask, generator):
    hit = torch.rand(len(x0), 1, generator=generator) < 1 - torch.exp(-sigma)[:, None]
    return torch.where(hit, mask, x0)


@wrong("add_noise", "Two different generators gave the same result")
def add_noise_with_its_own_seed(x0, sigma, mask, generator):
    torch.manual_seed(0)
    call = add_noise_with_its_own_seed.calls = getattr(add_noise_with_its_own_seed, "calls", 0) + 1
    dice = torch.Generator().manual_seed(call % 2)
    return add_noise(x0, sigma, mask, dice)


@wrong("add_noise", "Work on a copy")
def add_noise_in_place(x0, sigma, mask, generator):
    x0[torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None]] = mask
    return x0


@wrong("add_noise", "which is a character")
def add_noise_of_zeros(x0, sigma, mask, generator):
    return torch.where(torch.rand(x0.shape, generator=generator) < 1 - torch.exp(-sigma)[:, None], 0, x0)


# log_score ----------------------------------------------------------------------------------------------------------


@right("log_score")
def log_score(logits, sigma):
    return logits.log_softmax(-1) - torch.log(torch.expm1(sigma))[:, None, None]


@right("log_score")
def log_score_with_logsumexp(logits, sigma):
    scale = torch.log(torch.exp(sigma) - 1).view(-1, 1, 1)
    return logits - torch.logsumexp(logits, dim=-1, keepdim=True) - scale


@wrong("log_score")
def log_score_of_enough_noise(logits, sigma):
    return logits.log_softmax(-1) - torch.log(torch.expm1(sigma.clamp(min=0.01)))[:, None, None]


@wrong("log_score", "Your result is exp() of the right one")
def log_score_without_log(logits, sigma):
    return logits.softmax(-1) / torch.expm1(sigma)[:, None, None]


@wrong("log_score", "Use log_softmax")
def log_score_of_softmax(logits, sigma):
    return (logits.softmax(-1) / torch.expm1(sigma)[:, None, None]).log()


@wrong("log_score", "without `.log_softmax(-1)`")
def log_score_of_logits(logits, sigma):
    return logits - torch.log(torch.expm1(sigma))[:, None, None]


@wrong("log_score", "with `1` in place of `-1`")
def log_score_along_the_wrong_axis(logits, sigma):
    return F.log_softmax(logits, 1) - torch.log(torch.expm1(sigma))[:, None, None]


@wrong("log_score", "with `+` in place of `-`")
def log_score_times(logits, sigma):
    return logits.log_softmax(-1) + torch.log(torch.expm1(sigma))[:, None, None]


@wrong("log_score", "The score also depends on sigma")
def log_score_without_sigma(logits, sigma):
    return logits.log_softmax(-1)


@wrong("log_score", "with `-torch.expm1(-sigma)` in place of `torch.expm1(sigma)`")
def log_score_with_minus(logits, sigma):
    return logits.log_softmax(-1) - torch.log(1 - torch.exp(-sigma))[:, None, None]


@wrong("log_score")
def log_score_that_does_not_broadcast(logits, sigma):
    return logits.log_softmax(-1) - torch.log(torch.expm1(sigma))


@wrong("log_score", "no gradient")
def log_score_detached(logits, sigma):
    return log_score(logits.detach(), sigma)


# Network ------------------------------------------------------------------------------------------------------------


class Base(nn.Module):
    """A right network whose parts the others replace."""

    dropout, batch_first, extra, outputs = 0.0, True, 1, 0

    def __init__(self, num_tokens, length):
        super().__init__()
        self.embed = nn.Embedding(num_tokens + self.extra, WIDTH)
        self.place = nn.Embedding(length, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, self.dropout, batch_first=self.batch_first)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, num_tokens + self.outputs)

    def hidden(self, x):
        return self.layers(self.embed(x) + self.place.weight)

    def forward(self, x, sigma):
        return log_score(self.head(self.hidden(x)), sigma)


right("Network")(Base)


@right("Network")
class NetworkOfConvolutions(nn.Module):
    def __init__(self, num_tokens, length):
        super().__init__()
        self.num_tokens = num_tokens
        self.place = nn.Parameter(torch.randn(length, num_tokens + 1))
        self.mix = nn.Linear(length * (num_tokens + 1), length * num_tokens)
        nn.init.zeros_(self.mix.weight)

    def forward(self, x, sigma):
        h = F.one_hot(x, self.num_tokens + 1) + self.place
        return log_score(self.mix(h.flatten(1)).view(*x.shape, self.num_tokens), sigma)


@wrong("Network", "mask has the id num_tokens")
class NetworkWithoutMask(Base):
    extra = 0


@wrong("Network", "pass batch_first=True")
class NetworkAcrossTexts(Base):
    batch_first = False


@wrong("Network", "network.parameters() does not list all weights")
class NetworkInAList(Base):
    def __init__(self, num_tokens, length):
        super().__init__(num_tokens, length)
        self.hidden_layers = [nn.Linear(WIDTH, WIDTH)]

    def hidden(self, x):
        return self.hidden_layers[0](super().hidden(x))


@wrong("Network", "Is there dropout?")
class NetworkWithDropout(Base):
    dropout = 0.1


@wrong("Network", "one state too many")
class NetworkThatPredictsMasks(Base):
    outputs = 1


@wrong("Network", "cannot tell positions apart")
class NetworkWithoutPlaces(Base):
    def hidden(self, x):
        return self.layers(self.embed(x))


@wrong("Network", "sees only itself")
class NetworkOfSingles(Base):
    def hidden(self, x):
        return self.embed(x) + self.place.weight


@wrong("Network", "sees only one side")
class NetworkLikeGPT(Base):
    def hidden(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        return self.layers(self.embed(x) + self.place.weight, mask=mask)


@wrong("Network", "looks like the last character")
class NetworkThatConfusesMasks(Base):
    def hidden(self, x):
        return super().hidden(x.clamp(max=self.embed.num_embeddings - 2))


@wrong("Network", "end forward with")
class NetworkOfLogits(Base):
    def forward(self, x, sigma):
        return self.head(self.hidden(x))


@wrong("Network", "never used in forward: place.weight")
class NetworkWithUnusedPlaces(Base):
    def hidden(self, x):
        return self.layers(self.embed(x) + torch.arange(x.shape[1])[:, None] / 7)


@wrong("Network", "comes from this line: return self.heads(")
class NetworkWithATypo(Base):
    def forward(self, x, sigma):
        return self.heads(x)


@wrong("Network", "class Network(nn.Module)")
def network_as_a_function(num_tokens, length):
    return lambda x, sigma: x


# score_entropy_loss -------------------------------------------------------------------------------------------------


@right("score_entropy_loss")
def score_entropy_loss(log_s, x, x0, t, mask):
    sigma = total_noise(t)
    r = 1 / torch.expm1(sigma)[:, None]
    at_x0 = log_s.gather(-1, x0[..., None]).squeeze(-1)
    entropy = log_s.exp().sum(-1) - r * at_x0 + r * (r.log() - 1)
    weight = (1 - EPS) * torch.expm1(sigma)
    return (weight[:, None] * torch.where(x == mask, entropy, 0.0)).mean()


@right("score_entropy_loss")
def loss_in_loops(log_s, x, x0, t, mask):
    total = 0.0
    for b in range(len(x)):
        r = (1 - (1 - EPS) * t[b]) / ((1 - EPS) * t[b])
        for i in range(x.shape[1]):
            if x[b, i] == mask:
                cost = log_s[b, i].exp().sum() - r * log_s[b, i, x0[b, i]] + r * torch.log(r) - r
                total = total + cost * (1 - EPS) / r
    return total / x.numel()


@right("score_entropy_loss")
def loss_with_one_hot_keys(log_s, x, x0, t, mask):
    rate = (1 - EPS) / (1 - (1 - EPS) * t)
    sigma = total_noise(t)
    r = F.one_hot(x0, log_s.shape[-1]) / torch.expm1(sigma)[:, None, None]
    cost = (log_s.exp() - r * log_s + torch.xlogy(r, r) - r).sum(-1) * (x == mask)
    return (rate * (1 - torch.exp(-sigma)) * cost.mean(1)).mean()


@wrong("score_entropy_loss", "if `x == mask` always holds")
def loss_of_everything(log_s, x, x0, t, mask):
    sigma = total_noise(t)
    r = 1 / torch.expm1(sigma)[:, None]
    entropy = log_s.exp().sum(-1) - r * log_s.gather(-1, x0[..., None])[..., 0] + r * (r.log() - 1)
    return ((1 - EPS) * torch.expm1(sigma)[:, None] * entropy).mean()


@wrong("score_entropy_loss", "without `weight[:, None] *`")
def loss_without_weight(log_s, x, x0, t, mask):
    sigma = total_noise(t)
    r = 1 / torch.expm1(sigma)[:, None]
    entropy = log_s.exp().sum(-1) - r * log_s.gather(-1, x0[..., None])[..., 0] + r * (r.log() - 1)
    return torch.where(x == mask, entropy, 0.0).mean()


@wrong("score_entropy_loss", "without `1 /`")
def loss_upside_down(log_s, x, x0, t, mask):
    sigma = total_noise(t)
    r = torch.expm1(sigma)[:, None]
    entropy = log_s.exp().sum(-1) - r * log_s.gather(-1, x0[..., None])[..., 0] + r * (r.log() - 1)
    return ((1 - EPS) * torch.expm1(sigma)[:, None] * torch.where(x == mask, entropy, 0.0)).mean()


@wrong("score_entropy_loss", "no guess is ever too large")
def loss_of_cross_entropy(log_s, x, x0, t, mask):
    sigma = total_noise(t)
    r = 1 / torch.expm1(sigma)[:, None]
    entropy = -r * log_s.gather(-1, x0[..., None])[..., 0] + r * (r.log() - 1)
    return ((1 - EPS) * torch.expm1(sigma)[:, None] * torch.where(x == mask, entropy, 0.0)).mean()


@wrong("score_entropy_loss", "with `return (weight[:, None] * torch.where(x == mask, entropy, 0.0)).mean(-1)`")
def loss_per_text(log_s, x, x0, t, mask):
    return torch.stack([score_entropy_loss(*(part[None] for part in row), mask) for row in zip(log_s, x, x0, t)])


@wrong("score_entropy_loss", "divide by the number of masks")
def loss_per_mask(log_s, x, x0, t, mask):
    return score_entropy_loss(log_s, x, x0, t, mask) * x.numel() / (x == mask).sum()


@wrong("score_entropy_loss", "no gradient")
def loss_as_a_number(log_s, x, x0, t, mask):
    return score_entropy_loss(log_s, x, x0, t, mask).item()


# train --------------------------------------------------------------------------------------------------------------


@right("train")
def train(network, texts, mask, steps, generator):
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LR * min((step + 1) / 20, 1) * (1 - step / steps)
        x0 = texts[torch.randint(len(texts), (BATCH,), generator=generator)]
        t = 1 - (torch.rand((), generator=generator) + torch.arange(BATCH) / BATCH) % 1
        x = add_noise(x0, total_noise(t), mask, generator)
        loss = score_entropy_loss(network(x, total_noise(t)), x, x0, t, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def training(
    network,
    texts,
    mask,
    steps,
    generator,
    lr=5e-3,
    zero=True,
    move=True,
    sign=1,
    draw=None,
    time=None,
    kind=torch.optim.AdamW,
    fresh=False,
):
    """A plainer loop with independent times, and what the wrong ones change."""
    optimizer = kind(network.parameters(), lr)
    for _ in range(steps):
        optimizer = kind(network.parameters(), lr) if fresh else optimizer
        x0 = draw() if draw else texts[torch.randint(len(texts), (BATCH,), generator=generator)]
        t = time() if time else 1 - torch.rand(len(x0), generator=generator)
        x = add_noise(x0, total_noise(t), mask, generator)
        loss = score_entropy_loss(network(x, total_noise(t)), x, x0, t, mask)
        if zero:
            optimizer.zero_grad()
        (sign * loss).backward()
        if move:
            optimizer.step()
        yield loss.item()


@right("train")
def train_at_independent_times(network, texts, mask, steps, generator):
    return training(network, texts, mask, steps, generator)


@wrong("train", "After each step, yield loss.item()")
def train_with_a_list(network, texts, mask, steps, generator):
    return [*training(network, texts, mask, steps, generator)]


@wrong("train", "before the first `yield`")
def train_before_yielding(network, texts, mask, steps, generator):
    yield from [*training(network, texts, mask, steps, generator)]


@wrong("train", "Your optimizer is SGD")
def train_with_sgd(network, texts, mask, steps, generator):
    return training(network, texts, mask, steps, generator, kind=torch.optim.SGD)


@wrong("train", "a new optimizer in each step")
def train_with_new_optimizers(network, texts, mask, steps, generator):
    return training(network, texts, mask, steps, generator, fresh=True)


@wrong("train", "Your learning rate is 1e-05")
def train_slowly(network, texts, mask, steps, generator):
    return training(network, texts, mask, steps, generator, lr=1e-5)


@wrong("train", "The times are the same in every step")
def train_at_the_same_times(network, texts, mask, steps, generator):
    t = 1 - torch.rand(BATCH, generator=generator)
    return training(network, texts, mask, steps, generator, time=lambda: t)


@wrong("train", "Gradients add up")
def train_without_zero(network, texts, mask, steps, generator):
    return training(network, texts, mask, steps, generator, zero=False)


@wrong("train", "weights never change")
def train_without_a_step(network, texts, mask, steps, generator):
    return training(network, texts, mask, steps, generator, move=False)


@wrong("train", "The loss rises")
def train_uphill(network, texts, mask, steps, generator):
    return training(network, texts, mask, steps, generator, sign=-1)


@wrong("train", "same few texts")
def train_on_one_batch(network, texts, mask, steps, generator):
    return training(network, texts, mask, steps, generator, draw=lambda: texts[:BATCH])


@wrong("train", "Draw rows")
def train_on_shuffled_characters(network, texts, mask, steps, generator):
    def draw():
        return texts.flatten()[torch.randint(texts.numel(), (BATCH, texts.shape[1]), generator=generator)]

    return training(network, texts, mask, steps, generator, draw=draw)


@wrong("train", "All texts have the same time")
def train_at_one_time(network, texts, mask, steps, generator):
    return training(network, texts, mask, steps, generator, time=lambda: torch.full((BATCH,), 0.5))


@wrong("train", "All texts of a batch have the same time")
def train_with_one_time_per_batch(network, texts, mask, steps, generator):
    return training(
        network, texts, mask, steps, generator, time=lambda: 1 - torch.rand(1, generator=generator).expand(BATCH)
    )


@wrong("train", "is not the noise of x")
def train_with_t_for_sigma(network, texts, mask, steps, generator):
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
    for _ in range(steps):
        x0 = texts[torch.randint(len(texts), (BATCH,), generator=generator)]
        t = 1 - torch.rand(BATCH, generator=generator)
        x = add_noise(x0, total_noise(t), mask, generator)
        loss = score_entropy_loss(network(x, t), x, x0, t, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@wrong("train", "sees clean texts")
def train_without_noise(network, texts, mask, steps, generator):
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR)
    for _ in range(steps):
        x0 = texts[torch.randint(len(texts), (BATCH,), generator=generator)]
        t = 1 - torch.rand(BATCH, generator=generator)
        x = add_noise(x0, total_noise(t), mask, generator)
        loss = score_entropy_loss(network(x0, total_noise(t)), x, x0, t, mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@wrong("train", "yield loss.item(). But your function returned None")
def train_without_yield(network, texts, mask, steps, generator):
    for _ in train(network, texts, mask, steps, generator):
        pass


@wrong("train", "You yield 1.")
def train_one_step(network, texts, mask, steps, generator):
    yield next(train(network, texts, mask, steps, generator))


@wrong("train", "Two different generators gave the same result")
def train_with_its_own_seed(network, texts, mask, steps, generator):
    yield from train(network, texts, mask, steps, torch.Generator().manual_seed(0))


@wrong("train", "of your function: yield loss")
def train_with_an_error(network, texts, mask, steps, generator):
    yield loss  # noqa: F821


# sample -------------------------------------------------------------------------------------------------------------


@right("sample")
@torch.no_grad()
def sample(score, count, length, mask, steps, generator):
    x = torch.full((count, length), mask)
    sigmas = total_noise(torch.linspace(1, 0, steps + 1, dtype=torch.float64))
    for sigma, less in zip(sigmas[:-1], sigmas[1:]):
        p = score(x, sigma.float().expand(count)).double().exp() * torch.expm1(sigma - less)
        stay = (1 - p.sum(-1, keepdim=True)).clamp(min=0) * (less > 0)
        y = torch.cat([p, stay], -1).flatten(0, 1).multinomial(1, generator=generator).view(count, length)
        x = torch.where(x == mask, y, x)
    return x


@right("sample")
def sample_in_two_draws(score, count, length, mask, steps, generator):
    """First which masks fall, then what is below them."""
    x = torch.full((count, length), mask)
    for k in range(steps, 0, -1):
        sigma = total_noise(torch.tensor(k / steps))
        p = score(x, sigma.repeat(count)).softmax(-1)
        y = torch.multinomial(p.reshape(count * length, -1), 1, generator=generator).reshape(count, length)
        falls = torch.rand(count, length, generator=generator) < 1 / k
        x[falls & (x == mask)] = y[falls & (x == mask)]
    return x


def sampling(score, count, length, mask, steps, generator, times=None, factor=None, pick=None, last=True, keep=True):
    """The right sampler, and what the wrong ones change."""
    x = torch.full((count, length), mask)
    sigmas = times if times is not None else total_noise(torch.linspace(1, 0, steps + 1).double())
    for sigma, less in zip(sigmas[:-1], sigmas[1:]):
        p = score(x, sigma.expand(count)).double().exp() * (factor or (lambda a, b: torch.expm1(a - b)))(sigma, less)
        stay = (1 - p.sum(-1, keepdim=True)).clamp(min=0) * float(less > 0 or not last)
        p = torch.cat([p, stay], -1)
        y = pick(p) if pick else p.flatten(0, 1).multinomial(1, generator=generator).view(count, length)
        x = torch.where(x == mask, y, x) if keep else y
    return x


@wrong("sample", "Masks are left at the end")
def sample_that_leaves_masks(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps, generator, last=False)


@wrong("sample", "All your texts are equal")
def sample_by_argmax(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps, generator, pick=lambda p: p.argmax(-1))


@wrong("sample", "A visible character changed")
def sample_that_redraws(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps, generator, keep=False)


@wrong("sample", "The length of the step is missing")
def sample_without_step(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps, generator, factor=lambda a, b: 1.0)


@wrong("sample", "you remove all the noise")
def sample_that_jumps(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps, generator, factor=lambda a, b: torch.expm1(a))


@wrong("sample", "You subtract only the largest p")
def sample_that_stays_too_often(score, count, length, mask, steps, generator):
    x = torch.full((count, length), mask)
    sigmas = total_noise(torch.linspace(1, 0, steps + 1, dtype=torch.float64))
    for sigma, less in zip(sigmas[:-1], sigmas[1:]):
        p = score(x, sigma.float().expand(count)).double().exp() * torch.expm1(sigma - less)
        stay = (1 - p.amax(-1, keepdim=True)).clamp(min=0) * (less > 0)
        y = torch.cat([p, stay], -1).flatten(0, 1).multinomial(1, generator=generator).view(count, length)
        x = torch.where(x == mask, y, x)
    return x


@wrong("sample", "You use 1 - e^-(sigma - sigma')")
def sample_with_the_sign_flipped(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps, generator, factor=lambda a, b: -torch.expm1(b - a))


@wrong("sample", "evenly spaced times")
def sample_at_even_noise(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps, generator, times=torch.linspace(6.9, 0, steps + 1).double())


@wrong("sample", "You asked it at")
def sample_with_a_step_less(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps + 1, generator)


@wrong("sample", "probability tensor")
def sample_with_log_scores(score, count, length, mask, steps, generator):
    return sampling(lambda x, sigma: score(x, sigma).exp().neg().log(), count, length, mask, steps, generator)


@wrong("sample", "Texts were expected")
def sample_one_text(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps, generator)[0]


@wrong("sample", "The same generator gave two different results")
def sample_without_generator(score, count, length, mask, steps, generator):
    return sampling(score, count, length, mask, steps, None)


# main ---------------------------------------------------------------------------------------------------------------


def program(
    text, every, steps, mask=None, learn=True, fresh=False, letters=None, seed=0, prints=8, count=4, stride=LENGTH
):
    """A right program, and what the wrong ones change."""
    alphabet, texts = blocks(text, LENGTH, every)
    if seed is not None:
        torch.manual_seed(seed)
    generator, mask = torch.Generator().manual_seed(0), len(alphabet) if mask is None else mask
    network = Base(len(alphabet), LENGTH)
    losses = train(network, texts, mask, steps, generator)
    last = list(losses)[-1] if learn else 0.0
    for _ in range(prints):
        print(f"loss {last:.3f}")
    writer = Base(len(alphabet), LENGTH) if fresh else network
    x = sample(writer, count, LENGTH, len(alphabet), stride, generator)
    return alphabet, network, ["".join((letters or alphabet)[i] for i in row) for row in x]


@right("main")
def main_in_a_few_lines(text, every, steps):
    return program(text, every, steps)


@right("main")
def main_with_samples_on_the_way(text, every, steps):
    alphabet, texts = blocks_in_a_loop(text, 16, every)
    generator, N = torch.Generator().manual_seed(3), len(alphabet)
    torch.manual_seed(3)
    network = Base(N, 16)
    for step, loss in enumerate(train(network, texts, N, steps, generator), 1):
        if step % (steps // 8) == 0:
            written = ["".join(alphabet[i] for i in row) for row in sample(network, 4, 16, N, 16, generator)]
            print(step, f"{loss:.3f}", written[0])
    return alphabet, network, written


@wrong("main", "runs only while you loop over it")
def main_that_never_trains(text, every, steps):
    return program(text, every, steps, learn=False)


@wrong("main", "Pass `every` on to blocks")
def main_with_blocks_everywhere(text, every, steps):
    return program(text, 1, steps)


@wrong("main", "Pass `every` on to blocks")
def main_with_blocks_side_by_side(text, every, steps):
    return program(text, LENGTH, steps)


@wrong("main")
def main_that_trains_with_the_last_character_as_mask(text, every, steps):
    return program(text, every, steps, mask=1)


@wrong("main", "index out of range")
def main_with_the_last_character_as_mask(text, every, steps):
    alphabet, network, _ = program(text, every, steps, mask=1)
    x = sample(network, 4, LENGTH, 1, LENGTH, torch.Generator())
    return alphabet, network, ["".join(alphabet[i] for i in row) for row in x]


@wrong("main", "Give sample the trained network")
def main_with_a_fresh_network(text, every, steps):
    return program(text, every, steps, fresh=True)


@wrong("main", "not what your network wrote last")
def main_with_training_texts(text, every, steps):
    alphabet, network, _ = program(text, every, steps)
    return alphabet, network, [text[k * every :][:LENGTH] for k in range(4)]


@wrong("main", "A second run gives")
def main_with_other_weights_each_time(text, every, steps):
    return program(text, every, steps, seed=None)


@wrong("main", "You print 0 times")
def main_in_silence(text, every, steps):
    return program(text, every, steps, prints=0)


@wrong("main", "You return 1.")
def main_with_one_text(text, every, steps):
    return program(text, every, steps, count=1)


@wrong("main", "Write in LENGTH steps of sample, here 8, not in 1")
def main_in_one_step(text, every, steps):
    return program(text, every, steps, stride=1)


@wrong("main", "not what your network wrote last")
def main_with_another_alphabet(text, every, steps):
    return program(text, every, steps, letters="ba")


@wrong("main", "main should return")
def main_without_return(text, every, steps):
    program(text, every, steps)


@wrong("main", "Turn ids into characters")
def main_with_ids(text, every, steps):
    alphabet, network, written = program(text, every, steps)
    return alphabet, network, [[alphabet.index(c) for c in w] for w in written]
