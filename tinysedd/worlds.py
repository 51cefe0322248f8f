"""Two small worlds of text where the truth is known: every probability, and so every concrete score, is exact.

A world has .alphabet .length .sample(n, generator) .log_prob(x) .entropy() and .score(process), a score function. The
score comes from the exact posterior p(x0_i = a | x), by summing over all texts that can have become x: in Words by
listing them, in Fables by forward-backward on the automaton that writes them.
"""

import re
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.process import Process


@dataclass(frozen=True)
class Oracle:
    """The exact score function of a world under a process: (x (B, L), sigma (B,)) -> log_score (B, L, S), float64.

    A text x with probability 0 has no ratios; its posterior is taken as even over the alphabet.
    """

    world: "Words | Fables"
    process: Process

    @property
    def alphabet(self) -> Alphabet:
        return self.world.alphabet

    @property
    def length(self) -> int:
        return self.world.length

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.process.log_score(self.log_posterior(x, sigma), x, sigma)

    def log_posterior(self, x: Tensor, sigma: Tensor) -> Tensor:
        """log p(x0_i = a | x) (B, L, N), float64."""
        joint = self.world.marginals(self.process.log_likelihood(x, sigma).exp())
        total = joint.sum(-1, keepdim=True)
        return torch.where(total > 0, joint / total, 1 / len(self.alphabet)).log()


class Words:
    """Three-letter words over a ... z: 17,576 texts, about 300 of them with a probability above 0.

    The words stand in the order of how common they are, by the author's estimate; the k-th has a probability
    proportional to 1 / (k + 2.7), Mandelbrot's form of Zipf's law.
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
        """log p(x) (B,) in nats, float64; -inf for what is not a word."""
        return torch.log((x[:, None] == self.ids).all(-1).double() @ self.p)

    def entropy(self) -> float:
        """In nats a text."""
        return float(-(self.p * self.p.log()).sum())

    def score(self, process: Process) -> Oracle:
        """The exact score function under a process."""
        return Oracle(self, process)

    def noised(self, process: Process, sigma: float) -> Tensor:
        """p_sigma(x) of every text x, as a table (S, S, S), float64."""
        S = process.num_states
        p = torch.zeros(S, S, S, dtype=torch.float64)
        p[self.ids.unbind(1)] = self.p
        for _ in range(self.length):  # takes the first axis through the noise and makes it the last
            p = torch.tensordot(p, process.transition(sigma), dims=([0], [0]))
        return p

    def score_table(self, process: Process, sigma: float) -> Tensor:
        """The exact log-scores of every text x, as a table (S, S, S, 3, S), float64; nan where p_sigma(x) = 0."""
        log_p, states = self.noised(process, sigma).log(), torch.arange(process.num_states)
        scores = []
        for i in range(self.length):
            score = log_p.movedim(i, -1).unsqueeze(i) - log_p[..., None]  # (S, S, S, S): the i-th character becomes y
            if process.mask is not None:
                x_i = states.view([-1 if axis == i else 1 for axis in range(4)])
                score = torch.where((x_i != process.mask) & (x_i != states), -torch.inf, score)
            scores.append(score)
        return torch.stack(scores, dim=3)

    def marginals(self, seen: Tensor) -> Tensor:
        """p(x0_i = a, x) up to a factor a text (B, 3, 26), from the likelihoods q(x_i | x0_i = a), of that shape."""
        letter = torch.nn.functional.one_hot(self.ids, len(self.alphabet)).to(seen)  # (W, 3, 26)
        first, second, third = (seen[:, i, self.ids[:, i]] for i in range(3))  # each (B, W)
        return ((self.p * first * second * third) @ letter.flatten(1)).view_as(seen)


@dataclass(frozen=True)
class Layer:
    """The edges of an automaton from the nodes at one position to those at the next, E in all.

    source, target: (E,) numbers of nodes within their positions; character (E,); probability (E,) given the source.
    """

    source: Tensor
    target: Tensor
    character: Tensor
    probability: Tensor
    num_sources: int
    num_targets: int


class Fables:
    """One-line fables of 64 characters, padded with spaces, from a small grammar whose parts must agree.

    A shape is text with slots: {name:list} draws a word from a list, evenly, and {name} says it again, so that who came
    in is the one who leaves. The grammar is turned into a deterministic automaton with one layer of edges for each
    position; sums over all lines are then sums over its edges.

    shapes, lists, length: another grammar than the built-in one; ValueError where a shape does not fit.
    """

    def __init__(self, shapes: list[str] | None = None, lists: dict[str, str] | None = None, length: int = 64):
        self.length = length
        self.lists = {name: words.split() for name, words in (lists or _LISTS).items()}
        self.shapes = [_parse(shape, self.lists) for shape in shapes or _SHAPES]
        characters = {c for shape in shapes or _SHAPES for c in re.sub(r"\{.*?\}", "", shape)}
        characters |= {c for words in self.lists.values() for word in words for c in word}
        self.alphabet = Alphabet("".join(sorted(characters | {" "})))
        self.layers = self._automaton()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n texts (n, 64)."""
        node, x = torch.zeros(n, dtype=torch.int64), torch.empty(n, self.length, dtype=torch.int64)
        for i, layer in enumerate(self.layers):
            # The edges stand in the order of their sources: one running sum of probabilities serves all nodes.
            before = torch.searchsorted(layer.source, node)  # first edge of each text's node
            total = torch.cat([torch.zeros(1, dtype=torch.float64), layer.probability.cumsum(0)])
            u = total[before] + torch.rand(n, dtype=torch.float64, generator=generator)
            last = torch.searchsorted(layer.source, node, right=True) - 1
            edge = (torch.searchsorted(total, u, right=True) - 1).clamp(before, last)
            x[:, i], node = layer.character[edge], layer.target[edge]
        return x

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) (B,) in nats, float64; -inf for what is not a fable. ValueError for texts of another length."""
        if x.shape[-1] != self.length:
            raise ValueError(f"a fable has {self.length} characters, these texts have {x.shape[-1]}")
        alpha = torch.ones(1, len(x), dtype=torch.float64)
        for i, layer in enumerate(self.layers):
            step = alpha[layer.source] * layer.probability[:, None] * (layer.character[:, None] == x[:, i])
            alpha = alpha.new_zeros(layer.num_targets, len(x)).index_add_(0, layer.target, step)
        return alpha.sum(0).log()

    def entropy(self) -> float:
        """In nats a text: the automaton is deterministic, so it is the sum of what each edge adds."""
        reach, entropy = torch.ones(1, dtype=torch.float64), 0.0
        for layer in self.layers:
            flow = reach[layer.source] * layer.probability
            entropy -= float((flow * layer.probability.log()).sum())
            reach = reach.new_zeros(layer.num_targets).index_add_(0, layer.target, flow)
        return entropy

    def score(self, process: Process) -> Oracle:
        """The exact score function under a process."""
        return Oracle(self, process)

    def count(self) -> int:
        """How many different fables there are."""
        ways = [1]
        for layer in reversed(self.layers):
            after, ways = ways, [0] * layer.num_sources
            for source, target in zip(layer.source.tolist(), layer.target.tolist()):
                ways[source] += after[target]
        return ways[0]

    def marginals(self, seen: Tensor) -> Tensor:
        """p(x0_i = a, x) up to a factor a position (B, L, N), from the likelihoods q(x_i | x0_i = a), of that shape.

        Forward-backward: alpha and beta are scaled to largest value 1 at each position, against underflow.
        """
        seen = seen.permute(1, 2, 0).contiguous()  # (L, N, B): a node's row is contiguous over the texts
        B = seen.shape[-1]
        alpha = [seen.new_ones(1, B)]
        for layer, q in zip(self.layers, seen):
            step = alpha[-1][layer.source].mul_(q[layer.character]).mul_(layer.probability[:, None])
            alpha.append(_scaled(seen.new_zeros(layer.num_targets, B).index_add_(0, layer.target, step)))
        beta, joint = seen.new_ones(1, B), torch.zeros_like(seen)
        for i in range(self.length - 1, -1, -1):
            layer = self.layers[i]
            step = beta[layer.target].mul_(seen[i][layer.character]).mul_(layer.probability[:, None])
            joint[i].index_add_(0, layer.character, step * alpha[i][layer.source])
            beta = _scaled(seen.new_zeros(layer.num_sources, B).index_add_(0, layer.source, step))
        return joint.permute(2, 0, 1)

    @property
    def prompts(self) -> list[str]:
        """Each shape as a prompt: _ for each character of a word that is drawn (as long as the first of its list)."""
        prompts = []
        for shape in self.shapes:
            blank: dict[str, str] = {}
            pieces = []
            for piece in shape:
                if isinstance(piece, Slot):
                    blank[piece.name] = "_" * len(self.lists[piece.list][0])
                pieces.append(piece if isinstance(piece, str) else blank[piece.name])
            prompts.append("".join(pieces))
        return prompts

    def diagnose(self, line: str) -> tuple[int, str] | None:
        """Why a line is not a fable: the position up to which some fable goes along, and a reason; None for a fable."""
        line = line.ljust(self.length)
        if len(line) > self.length:
            return self.length, f"a fable has {self.length} characters, this line has {len(line)}"
        failures = [failure for shape in self.shapes for failure in _failures(line, 0, shape, self.lists)]
        return None if None in failures else max(failures)

    def _automaton(self) -> list[Layer]:
        """Determinize the grammar: a node is all that can still be written, each way with its probability."""
        nodes = {tuple((shape, 1 / len(self.shapes)) for shape in self.shapes): 0}
        layers = []
        for _ in range(self.length):
            edges, targets = [], {}
            for rests, source in nodes.items():
                ways: dict[str, dict[tuple, float]] = {}
                for rest, p in rests:
                    for c, after, q in _first_characters(rest, self.lists):
                        into = ways.setdefault(c, {})
                        into[after] = into.get(after, 0) + p * q
                for c, into in sorted(ways.items()):
                    total = sum(into.values())
                    key = tuple(sorted(((rest, round(p / total, 12)) for rest, p in into.items()), key=repr))
                    target = targets.setdefault(key, len(targets))
                    edges.append((source, target, self.alphabet.characters.index(c), total))
            source, target, character, probability = zip(*edges)
            ids = (torch.tensor(column, dtype=torch.int64) for column in (source, target, character))
            layers.append(Layer(*ids, torch.tensor(probability, dtype=torch.float64), len(nodes), len(targets)))
            nodes = targets
        if any(rest for rests in nodes for rest, _ in rests):
            raise ValueError(f"a shape of the grammar is longer than {self.length} characters: {nodes}"[:200])
        return layers


def _scaled(rows: Tensor) -> Tensor:
    return rows.div_(rows.amax(0).clamp_(min=1e-300))


# A shape is a tuple of pieces still to be written: a string is literal, Slot(name, list) draws a word, Again(name)
# repeats it; drawing a word puts it in the place of every Again with that name.
@dataclass(frozen=True)
class Slot:
    name: str
    list: str


@dataclass(frozen=True)
class Again:
    name: str
    word: str = field(default="")


def _parse(shape: str, lists: dict[str, list[str]]) -> tuple:
    if rest := re.sub(r"[^{}]|\{\w*:\w+\}|\{\w+\}", "", shape):
        raise ValueError(f"the shape {shape!r} has a brace, {rest[0]}, that is not part of {{name:list}} or {{name}}")
    pieces, drawn = [], set()
    for text, name, words in re.findall(r"([^{]+)|\{(\w*):?(\w*)\}", shape):
        if words and not lists.get(words):
            full = sorted(name for name in lists if lists[name])
            raise ValueError(f"the shape {shape!r} draws from {words!r}, which is not one of the lists {full}")
        if name and not words and name not in drawn:
            raise ValueError(f"the shape {shape!r} repeats {{{name}}} before it draws it, as in {{{name}:list}}")
        drawn.add(name if words else "")
        pieces.append(text or (Slot(name, words) if words else Again(name)))
    return tuple(pieces)


def _bind(pieces: tuple, name: str, word: str) -> tuple:
    return tuple(Again(name, word) if piece == Again(name) else piece for piece in pieces)


def _first_characters(pieces: tuple, lists: dict[str, list[str]]):
    """Each (character, pieces after it, probability) with which the pieces can go on; past the end, spaces."""
    if not pieces:
        yield " ", (), 1.0
        return
    head, rest = pieces[0], pieces[1:]
    if isinstance(head, Slot):
        words = lists[head.list]
        for word in words:
            for c, after, p in _first_characters((word, *_bind(rest, head.name, word)), lists):
                yield c, after, p / len(words)
    else:
        text = head.word if isinstance(head, Again) else head
        yield text[0], ((text[1:], *rest) if text[1:] else rest), 1.0


def _failures(line: str, at: int, pieces: tuple, lists: dict[str, list[str]]):
    """For each way to read the line from a position on: None where it fits, else (position, reason)."""
    if not pieces:
        over = len(line[:at]) + len(line[at:]) - len(line[at:].lstrip(" "))
        yield None if over == len(line) else (over, "the fable is over; only spaces may follow")
        return
    head, rest = pieces[0], pieces[1:]
    if isinstance(head, Slot):
        fitting = [word for word in lists[head.list] if line.startswith(word, at)]
        for word in fitting:
            yield from _failures(line, at + len(word), _bind(rest, head.name, word), lists)
        if not fitting:
            best = max(_agreement(line[at:], word) for word in lists[head.list])
            yield at + best, f"one of these belongs here: {', '.join(lists[head.list])}"
    else:
        text = head.word if isinstance(head, Again) else head
        if line.startswith(text, at):
            yield from _failures(line, at + len(text), rest, lists)
        elif isinstance(head, Again):
            yield at + _agreement(line[at:], text), f"{text!r} must come again here: it came before"
        else:
            yield at + _agreement(line[at:], text), f"{text!r} belongs here"


def _agreement(a: str, b: str) -> int:
    """How many characters two texts have in common from the start."""
    return next((i for i, (c, d) in enumerate(zip(a, b)) if c != d), min(len(a), len(b)))


# In a list the words have one length, and hardly two the same letter at the same place: a letter that shows says much.
_LISTS = {
    "animal3": "gnu kid hen yak cub ram bat doe fox pug",
    "animal4": "lamb kiwi joey newt hare swan duck bear frog puma wolf moth",
    "animal5": "bison skunk gecko zebra raven hyena lemur panda snail whale moose viper",
    "sage": "owl elk emu ant ape asp",
    "mood4": "posh damp bold vain rude meek glum neat smug tiny",
    "mood5": "quiet lanky noble proud jolly merry dizzy grand timid fussy",
    "thing4": "wand tuba drum kite sock bell moon pear hymn cart",
    "thing5": "chair purse scarf jewel cello torch stamp broom wagon piano",
    "food": "peas tofu soup corn milk stew rice figs kale nuts",
    "place": "well shop hill pond moor cave dock fair gate barn",
    "left": "rose quit fled woke swam sang lied wept",
    "played": "hummed rhymed skated winked argued jogged napped bathed prayed kissed",
    "took4": "wore rode bent sold lost sank kept tore",
    "took5": "broke fried stole waxed tuned hated owned moved",
    "greeted": "hugged bribed kissed fooled robbed sacked chased adored",
}

_SHAPES = [
    "the {:mood4} {A:animal4} met a {:animal3} at the {:place}. they {:played}. the {A} {:left}.",
    "never lend a {:thing4} to a {A:animal4}, said the {:sage}, and the {A} {:took4} it.",
    "in came a {A:animal5}, {:mood5} as a {:animal4}. it {:played}. out went the {A}.",
    "a {A:animal3} sold the {B:animal5} a {:thing4}. the {B} {:took5} it. the {A} {:left}.",
    "beware the {:mood5} {A:animal5} of the {:place}. the {A} {:took5} my {:thing4}.",
    "you are {:mood4}, said the {A:animal3} to the {B:animal4}. the {B} {:greeted} the {A}.",
    "once a {A:animal4} {:took5} a {T:thing5} and ran. now the {T} has the {A}.",
    "who ate my {:food}? said the {A:animal4}. i, said the {:animal3}. the {A} {:left}.",
]

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
