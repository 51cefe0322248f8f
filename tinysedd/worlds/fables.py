"""Fables: a small grammar whose exact posterior takes a pass over an automaton, not a sum over a million texts."""

import re
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tinysedd.corpus import Alphabet
from tinysedd.process import Process
from tinysedd.worlds.oracle import Oracle


@dataclass(frozen=True)
class Layer:
    """The E edges of the automaton from the nodes at one position to the nodes at the next.

    source, target  (E,) indices of nodes within their positions, sorted by source
    character       (E,) id of the character that the edge writes
    probability     (E,) of the edge, given its source
    """

    source: Tensor
    target: Tensor
    character: Tensor
    probability: Tensor
    num_sources: int
    num_targets: int


class Fables:
    """One-line fables of 64 characters, padded with spaces, from a small grammar whose parts must agree.

    A template is text with slots: {name:list} draws a word from a list, each with the same probability, and {name}
    repeats it, so the animal that comes in also leaves. The grammar becomes a deterministic automaton with one layer
    of edges per position; a sum over all fables is then a sum over its edges.

    templates, lists, length: a grammar of your own; with lists={} the templates are simply its lines. What is listed
    twice is twice as likely. ValueError if a template does not fit the lists or the length.
    """

    def __init__(self, templates: list[str] | None = None, lists: dict[str, str] | None = None, length: int = 64):
        self.length = length
        self.lists = {name: words.split() for name, words in (LISTS if lists is None else lists).items()}
        self.templates = [_parse(template, self.lists) for template in templates or TEMPLATES]
        characters = {c for template in templates or TEMPLATES for c in re.sub(r"\{.*?\}", "", template)}
        characters |= {c for words in self.lists.values() for word in words for c in word}
        self.alphabet = Alphabet("".join(sorted(characters | {" "})))
        self.layers = self._automaton()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n texts (n, L)."""
        node, x = torch.zeros(n, dtype=torch.int64), torch.empty(n, self.length, dtype=torch.int64)
        for i, layer in enumerate(self.layers):
            # The edges are sorted by source, so one cumulative sum of probabilities serves all nodes.
            before = torch.searchsorted(layer.source, node)  # first edge of each text's node
            total = torch.cat([torch.zeros(1, dtype=torch.float64), layer.probability.cumsum(0)])
            u = total[before] + torch.rand(n, dtype=torch.float64, generator=generator)
            last = torch.searchsorted(layer.source, node, right=True) - 1
            edge = (torch.searchsorted(total, u, right=True) - 1).clamp(before, last)
            x[:, i], node = layer.character[edge], layer.target[edge]
        return x

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) (B,) in nats, float64; -inf if x is not a fable. ValueError for texts of another length."""
        if x.shape[-1] != self.length:
            raise ValueError(f"a fable has {self.length} characters; these texts have {x.shape[-1]}")
        alpha = torch.ones(1, len(x), dtype=torch.float64)
        for i, layer in enumerate(self.layers):
            step = alpha[layer.source] * layer.probability[:, None] * (layer.character[:, None] == x[:, i])
            alpha = alpha.new_zeros(layer.num_targets, len(x)).index_add_(0, layer.target, step)
        return alpha.sum(0).log()

    def entropy(self) -> float:
        """Entropy of a text, in nats. Since the automaton is deterministic, it is a sum over edges."""
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
        """The number of different fables."""
        ways = [1]
        for layer in reversed(self.layers):
            after, ways = ways, [0] * layer.num_sources
            for source, target in zip(layer.source.tolist(), layer.target.tolist()):
                ways[source] += after[target]
        return ways[0]

    def marginals(self, likelihood: Tensor) -> Tensor:
        """p(x0_i = a, x) (B, L, N), up to a factor for each position, from q(x_i | x0_i = a) (B, L, N).

        Forward-backward; alpha and beta are scaled to a largest value of 1 at each position, against underflow.
        """
        seen = likelihood.permute(1, 2, 0).contiguous()  # (L, N, B): a node's row is contiguous over the texts
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
        """Each template as a prompt: _ for each character of a slot (as many as the first word of its list has)."""
        prompts = []
        for template in self.templates:
            blank: dict[str, str] = {}
            pieces = []
            for piece in template:
                if isinstance(piece, Slot):
                    blank[piece.name] = "_" * len(self.lists[piece.list][0])
                pieces.append(piece if isinstance(piece, str) else blank[piece.name])
            prompts.append("".join(pieces))
        return prompts

    def diagnose(self, line: str) -> tuple[int, str] | None:
        """Why a line is not a fable: the first position where no fable fits, and a reason. None for a fable."""
        line = line.ljust(self.length)
        if len(line) > self.length:
            return self.length, f"a fable has {self.length} characters, this line has {len(line)}"
        failures = [failure for template in self.templates for failure in _failures(line, 0, template, self.lists)]
        return None if None in failures else max(failure for failure in failures if failure is not None)

    def _automaton(self) -> list[Layer]:
        """Determinize the grammar: a node is the set of all possible continuations, with their probabilities."""
        nodes = {tuple((template, 1 / len(self.templates)) for template in self.templates): 0}
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
            a, b, c = torch.tensor([source, target, character])  # each (E,)
            p = torch.tensor(probability, dtype=torch.float64)
            layers.append(Layer(a, b, c, p, num_sources=len(nodes), num_targets=len(targets)))
            nodes = targets
        if any(rest for rests in nodes for rest, _ in rests):
            text = max((_longest(template, self.lists) for template in self.templates), key=len)
            raise ValueError(
                f"the grammar has a text of {len(text)} characters, more than length = {self.length}. Pass a larger "
                f"length, or shorten the template of {text!r}"
            )
        return layers


def _longest(template: tuple, lists: dict[str, list[str]]) -> str:
    """The longest text of a template."""
    words, text = {}, ""
    for piece in template:
        if isinstance(piece, Slot):
            words[piece.name] = max(lists[piece.list], key=len)
        text += piece if isinstance(piece, str) else words[piece.name]
    return text


def _scaled(rows: Tensor) -> Tensor:
    return rows.div_(rows.amax(0).clamp_(min=1e-300))


# A parsed template is a tuple of pieces: a string is literal, Slot(name, list) draws a word, and Again(name) repeats
# it. Drawing a word fills it into every Again of that name.
@dataclass(frozen=True)
class Slot:
    """Draws a word from a list and gives it a name."""

    name: str
    list: str


@dataclass(frozen=True)
class Again:
    """Repeats the word of that name."""

    name: str
    word: str = field(default="")


def _parse(template: str, lists: dict[str, list[str]]) -> tuple:
    if rest := re.sub(r"[^{}]|\{\w*:\w+\}|\{\w+\}", "", template):
        raise ValueError(
            f"the template {template!r} has a brace {rest[0]} that is not part of {{name:list}} or {{name}}"
        )
    pieces, drawn = [], set()
    for text, name, words in re.findall(r"([^{]+)|\{(\w*):?(\w*)\}", template):
        if words and not lists.get(words):
            full = sorted(name for name in lists if lists[name])
            raise ValueError(f"the template {template!r} draws from {words!r}, which is not one of the lists {full}")
        if name and not words and name not in drawn:
            raise ValueError(f"the template {template!r} repeats {{{name}}} before drawing it, as in {{{name}:list}}")
        drawn.add(name if words else "")
        pieces.append(text or (Slot(name, words) if words else Again(name)))
    return tuple(pieces)


def _bind(pieces: tuple, name: str, word: str) -> tuple:
    return tuple(Again(name, word) if piece == Again(name) else piece for piece in pieces)


def _first_characters(pieces: tuple, lists: dict[str, list[str]]):
    """Each possible next character, as (character, pieces after it, probability). Past the end there are spaces."""
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
    """For each way to read the line from a position: None if it fits, else (position, reason)."""
    if not pieces:
        over = len(line[:at]) + len(line[at:]) - len(line[at:].lstrip(" "))
        yield None if over == len(line) else (over, "the fable ends here; only spaces may follow")
        return
    head, rest = pieces[0], pieces[1:]
    if isinstance(head, Slot):
        fitting = [word for word in lists[head.list] if line.startswith(word, at)]
        for word in fitting:
            yield from _failures(line, at + len(word), _bind(rest, head.name, word), lists)
        if not fitting:
            best = max(_agreement(line[at:], word) for word in lists[head.list])
            yield at + best, f"one of these words belongs here: {', '.join(lists[head.list])}"
    else:
        text = head.word if isinstance(head, Again) else head
        if line.startswith(text, at):
            yield from _failures(line, at + len(text), rest, lists)
        elif isinstance(head, Again):
            yield at + _agreement(line[at:], text), f"{text!r} must be repeated here"
        else:
            yield at + _agreement(line[at:], text), f"{text!r} belongs here"


def _agreement(a: str, b: str) -> int:
    """The length of the common prefix of two texts."""
    return next((i for i, (c, d) in enumerate(zip(a, b)) if c != d), min(len(a), len(b)))


# The words of a list have one length, and few of them share a letter at the same position, so a single visible letter
# tells a lot.
LISTS = {
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

TEMPLATES = [
    "the {:mood4} {A:animal4} met a {:animal3} at the {:place}. they {:played}. the {A} {:left}.",
    "never lend a {:thing4} to a {A:animal4}, said the {:sage}, and the {A} {:took4} it.",
    "in came a {A:animal5}, {:mood5} as a {:animal4}. it {:played}. out went the {A}.",
    "a {A:animal3} sold the {B:animal5} a {:thing4}. the {B} {:took5} it. the {A} {:left}.",
    "beware the {:mood5} {A:animal5} of the {:place}. the {A} {:took5} my {:thing4}.",
    "you are {:mood4}, said the {A:animal3} to the {B:animal4}. the {B} {:greeted} the {A}.",
    "once a {A:animal4} {:took5} a {T:thing5} and ran. now the {T} has the {A}.",
    "who ate my {:food}? said the {A:animal4}. i, said the {:animal3}. the {A} {:left}.",
]
