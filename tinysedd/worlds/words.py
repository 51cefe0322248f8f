"""Words: so few texts that sums over all of them are sums over a list."""

import torch
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.process import Process
from tinysedd.worlds.oracle import Oracle


class Words:
    """Three-letter words over a ... z: 17,576 texts, about 300 of them with a probability above 0.

    The words are listed from common to rare, by the author's estimate; the k-th has a probability proportional to
    1 / (k + 2.7), Mandelbrot's form of Zipf's law.
    """

    def __init__(self):
        self.alphabet = Alphabet("abcdefghijklmnopqrstuvwxyz")
        self.words = _WORDS.split()
        self.length = 3
        self.ids = torch.stack([self.alphabet.encode(w) for w in self.words])  # (W, 3)
        weight = 1 / (torch.arange(len(self.words), dtype=torch.float64) + 3.7)
        self.p = weight / weight.sum()  # (W,)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n texts (n, 3)."""
        return self.ids[torch.multinomial(self.p, n, replacement=True, generator=generator)]

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) (B,) in nats, float64; -inf if x is not a word."""
        return torch.log((x[:, None] == self.ids).all(-1).double() @ self.p)

    def entropy(self) -> float:
        """Entropy of a text, in nats."""
        return float(-(self.p * self.p.log()).sum())

    def score(self, process: Process) -> Oracle:
        """The exact score function under a process."""
        return Oracle(self, process)

    def noised(self, process: Process, sigma: float) -> Tensor:
        """p_sigma(x) of every text x, as a table (S, S, S), float64."""
        S = process.num_states
        p = torch.zeros(S, S, S, dtype=torch.float64)
        p[self.ids.unbind(1)] = self.p
        for _ in range(self.length):  # adds noise to the first axis and moves it to the end
            p = torch.einsum("abc,ad->bcd", p, process.transition(sigma))
        return p

    def score_table(self, process: Process, sigma: float) -> Tensor:
        """The exact log-scores of every text x, as a table (S, S, S, 3, S), float64; nan where p_sigma(x) = 0."""
        log_p, states = self.noised(process, sigma).log(), torch.arange(process.num_states)
        scores = []
        for i in range(self.length):
            score = log_p.movedim(i, -1).unsqueeze(i) - log_p[..., None]  # (S, S, S, S): character i becomes y
            x_i = states.view([-1 if axis == i else 1 for axis in range(4)])
            never = process.transition(1.0).mT[x_i, states] == 0  # (.., S, .., S): the noise never turns y into x_i
            scores.append(score.masked_fill(never, -torch.inf))
        return torch.stack(scores, dim=3)

    def marginals(self, likelihood: Tensor) -> Tensor:
        """p(x0_i = a, x) (B, 3, 26) from q(x_i | x0_i = a) (B, 3, 26)."""
        letter = torch.nn.functional.one_hot(self.ids, len(self.alphabet)).to(likelihood)  # (W, 3, 26)
        first, second, third = (likelihood[:, i, self.ids[:, i]] for i in range(3))  # each (B, W)
        return ((self.p * first * second * third) @ letter.flatten(1)).view_as(likelihood)


_WORDS = """
the and for you are was not but his had her all she one has him can out who our did how new now two may any its say see
get man day way own old too use men off let put set end why few got far ask yes big boy car war law job six ten run age
pay try cut air art act low lot eye top bad red hot led per sat win sit ago god add son arm buy met bed hit yet dog leg
oil sea sun fun box fit map nor eat key lay die bar gas sky ice cup tax mix mad raw fat ran due dad mom guy kid bus tea
cat dry bit egg fly sad ill won bag row ear tie aid tip van pop pan hat sum bet lie wet fix pot mud arc dig bay cow fan
gun cry hen jam lip log net odd owe pen pet pig pin pit ray rid sin sir ski toe ton toy via web wit zoo ant ape ash bat
bee beg bow bud bug bun cab cap cop cot cue cub dam den dim dip dot dug dye elf elk elm fed fig fin fir fog fox fur gap
gem gum gut ham hid hip hop hug hum hut ink inn ivy jar jaw jet jog joy jug lap lid lit mat mob mop mug nap nod nun nut
oak oar oat orb owl pad pal paw pea peg pie pod pub pup rag ram rat rib rim rip rob rod rot rub rug rum sap saw sew shy
sip sly sob sow soy spy tag tan tap tar tin tow tub tug urn vat vet vow wag wax wig yak yam yap zip cog cod con coy dew
doe ewe fad fen hay hem hog hue jab keg kin kit lad lag lob mow nag nib pat pun rap rye sag sod tab tot wed woe wry yen
bog gag gig lug rut sup tic wok yew
"""
