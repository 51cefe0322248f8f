"""Text diffusion in one file: noise, a tiny transformer, score entropy, training, sampling.

    python -m tinysedd.minimal [FILE]    learn one-line fables, or your own text, in under two minutes on one core

Forward: each character of a text turns into a mask at a random time, until all are masks. Backward: start from masks
and ask a network how much more probable the text would be with this or that character in place of a mask. These ratios
are the *concrete score*, s_y = p(x with x_i := y) / p(x), and *score entropy* is the loss that learns them (SEDD: Lou,
Meng, Ermon, arXiv 2310.16834). B texts of L characters; an alphabet of N characters, 0 ... N-1; the mask is N.
"""

import sys
import time

import torch
from torch import Generator, Tensor, nn

EPS = 1e-3  # the share of characters that are still visible at t = 1
LENGTH, BATCH, WIDTH, LAYERS, HEADS, LR = 64, 16, 128, 2, 4, 5e-3


def total_noise(t: Tensor) -> Tensor:
    """sigma(t) for t in [0, 1]. A character is still visible with probability e^-sigma = 1 - (1 - EPS) t."""
    return -torch.log1p(-(1 - EPS) * t)


def add_noise(x0: Tensor, sigma: Tensor, mask: int, rng: Generator) -> Tensor:
    """Mask each character of x0 (B, L) with probability 1 - e^-sigma, for sigma (B,)."""
    hit = torch.rand(x0.shape, dtype=torch.float64, generator=rng) < -torch.expm1(-sigma)[:, None]
    return torch.where(hit, mask, x0)


class Network(nn.Module):
    """x (B, L), sigma (B,) -> log s (B, L, N), the log-score at each mask."""

    def __init__(self, num_tokens: int):
        super().__init__()
        self.embed, self.place = nn.Embedding(num_tokens + 1, WIDTH), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.head = nn.Linear(WIDTH, num_tokens)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        log_p = self.head(self.blocks(self.embed(x) + self.place.weight)).log_softmax(-1)  # log p(x0_i = y | x)
        return log_p - torch.log(torch.expm1(sigma))[:, None, None]  # s_y = p(x0_i = y | x) / (e^sigma - 1)


def score_entropy_loss(score, x0: Tensor, mask: int, rng: Generator) -> Tensor:
    """Sum over y of s_y - r_y log s_y + r_y (log r_y - 1) at each mask, in nats: 0 where s = r, positive elsewhere.
    r is the score if we knew x0: 1 / (e^sigma - 1) at y = x0_i, else 0. On average over x0 the best s is the mean of r,
    and that is the true score (SEDD, theorem 3.4)."""
    u = torch.rand((), dtype=torch.float64, generator=rng)
    t = 1 - (u + torch.arange(len(x0), dtype=torch.float64) / len(x0)) % 1  # (B,), evenly spread over (0, 1]
    sigma = total_noise(t)
    x = add_noise(x0, sigma, mask, rng)
    log_s = score(x, sigma.float())[..., :mask]  # (B, L, N)
    r = 1 / torch.expm1(sigma).to(log_s)[:, None]
    entropy = log_s.exp().sum(-1) - r * log_s.gather(-1, x0[..., None]).squeeze(-1) + r * (r.log() - 1)  # (B, L)
    weight = (1 - EPS) / (1 - (1 - EPS) * t) * -torch.expm1(-sigma)  # any positive weight has the same minimum
    return (weight.to(log_s)[:, None] * torch.where(x == mask, entropy, 0.0)).mean()


@torch.no_grad()
def sample(score, count: int, length: int, mask: int, steps: int, rng: Generator) -> Tensor:
    """Texts (B, L) out of masks. A step that lowers the noise from sigma to sigma' turns a mask into y with probability
    s_y (e^(sigma - sigma') - 1), which is exact for a single mask; in the last step, to 0, these sum to 1."""
    x, sigmas = torch.full((count, length), mask), total_noise(torch.linspace(1, 0, steps + 1, dtype=torch.float64))
    for sigma, less in zip(sigmas[:-1], sigmas[1:]):
        p = score(x, sigma.float().expand(count))[..., :mask].double().exp() * torch.expm1(sigma - less)  # (B, L, N)
        stay = (1 - p.sum(-1, keepdim=True)).clamp(min=0) * (less > 0)
        y = torch.cat([p, stay], -1).flatten(0, 1).multinomial(1, generator=rng).view(count, length)
        x = torch.where(x == mask, y, x)
    return x


def main(path: str | None = None, seconds: float = 100.0) -> None:
    """Train on a UTF-8 text file, or on fables, and print samples on the way."""
    if path is None:
        from tinysedd.worlds import Fables  # only for its texts

        alphabet, texts = Fables().alphabet.characters, Fables().sample(20_000, Generator().manual_seed(0))
    else:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if len(text) < 2 * LENGTH:
            raise ValueError(f"it has {len(text)} characters; use a text of at least {2 * LENGTH}, better 10,000")
        alphabet = sorted(set(text))
        texts = torch.tensor([alphabet.index(c) for c in text]).unfold(0, LENGTH, 1)  # blocks from every start
    torch.manual_seed(0)
    rng, mask, network = Generator().manual_seed(0), len(alphabet), Network(len(alphabet))
    optimizer = torch.optim.AdamW(network.parameters(), lr=LR, betas=(0.9, 0.99), weight_decay=0.0)
    start, done, step, shown = time.perf_counter(), 0, 0, 0
    while done < 1:
        loss = score_entropy_loss(network, texts[torch.randint(len(texts), (BATCH,), generator=rng)], mask, rng)
        optimizer.param_groups[0]["lr"] = LR * min((step + 1) / 100, 1) * (1 - done)  # warm-up, then linear decay
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step, done = step + 1, min((time.perf_counter() - start) / seconds, 1)
        if int(8 * done) > shown:
            shown, (written,) = int(8 * done), sample(network, 1, LENGTH, mask, LENGTH, rng).tolist()
            print(f"step {step:5}  loss {loss:.3f}  {''.join(alphabet[i] for i in written)!r}", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else None)
    except (OSError, ValueError, KeyboardInterrupt) as error:
        quiet = isinstance(error, KeyboardInterrupt | BrokenPipeError)
        sys.exit(130 if quiet else f"minimal: cannot learn {sys.argv[1]}: {error}")
