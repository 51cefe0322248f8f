"""The exact worlds, compared with lists of all their texts that are made in other ways than by the code under test."""

import math
import re
from collections import defaultdict
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from conftest import Enumerated, p_value
from torch.testing import assert_close

import tinysedd.worlds.fables as grammar
from tinysedd import Absorbing, Alphabet, Config, Corpus, Fables, Training, Transformer, Uniform, Words, fit
from tinysedd.evaluate import measure_gap
from tinysedd.worlds import Oracle

both_processes = pytest.mark.parametrize("process", [Absorbing, Uniform])

# A grammar with every special case: agreement, words with a common prefix, a word that is listed twice, a line that two
# templates write, a line that two draws of the same template write (ab+a = a+ba), padding.
TINY_TEMPLATES = ["{A:one}{:two}{A}", "{:one}{:two}", "a{B:two}{:one}{B}", "ab {A:two}"]
TINY_LISTS = {"one": "a ab b", "two": "b ba a b"}
TINY_LENGTH = 7


@pytest.fixture(scope="module")
def words():
    return Words()


@pytest.fixture(scope="module")
def fables():
    return Fables()


@pytest.fixture(scope="module")
def tiny():
    return Fables(TINY_TEMPLATES, TINY_LISTS, TINY_LENGTH)


def all_lines(templates, lists, length):
    """Every line of a grammar with its probability: each template, filled with each choice of words, as a string."""
    p = defaultdict(float)
    for template in templates:
        slots = re.findall(r"\{(\w*):(\w+)\}", template)
        choices = [lists[words].split() for _, words in slots]
        for chosen in product(*choices):
            line = template
            for (name, words), word in zip(slots, chosen):
                line = line.replace(f"{{{name}:{words}}}", word, 1)
                line = line.replace(f"{{{name}}}", word) if name else line
            p[line.ljust(length)] += 1 / len(templates) / math.prod(map(len, choices))
    return dict(p)


def table(p: dict[str, float], alphabet) -> torch.Tensor:
    """The probabilities of all texts (N, ..., N), one axis per position."""
    entries = torch.zeros((len(alphabet),) * len(next(iter(p))), dtype=torch.float64)
    for line, probability in p.items():
        entries[tuple(alphabet.encode(line).tolist())] = probability
    return entries


# Words


def test_words_are_distinct_and_about_300(words):
    assert len(set(words.words)) == len(words.words) and all(re.fullmatch("[a-z]{3}", word) for word in words.words)
    assert 300 <= len(words.words) <= 350


def test_word_probabilities_sum_to_1_over_all_texts_and_give_the_entropy(words):
    everything = torch.cartesian_prod(*[torch.arange(26)] * 3)
    log_p = words.log_prob(everything)
    assert len(log_p) == 17_576 and (log_p > -math.inf).sum() == len(words.words)
    assert_close(log_p.exp().sum().item(), 1.0, rtol=0, atol=1e-14)
    p = log_p.exp()[log_p > -math.inf]
    assert_close(words.entropy(), float((p * (1 / p).log()).sum()), rtol=1e-13, atol=0)


def test_words_follow_mandelbrots_law(words):
    """The probability of the k-th word, k from 1, is proportional to 1 / (k + 2.7)."""
    for k, word in enumerate(words.words, 1):
        ratio = words.log_prob(words.alphabet.encode(word)[None]) - words.log_prob(words.ids[:1])
        assert_close(ratio.item(), math.log(3.7 / (k + 2.7)), rtol=0, atol=1e-13)


def test_words_are_drawn_with_their_probabilities(words):
    """Chi-square test of 100,000 words; size 1e-4.

    Power: moving 2 % of the probability evenly to other words adds a fifth to the probability of the rarest third, and
    so 100,000 * 0.02^2 / 0.2 = 200 to a statistic of 340 +- 26.
    """
    x = words.sample(100_000, torch.Generator().manual_seed(0))
    counts = (x * torch.tensor([676, 26, 1])).sum(-1).bincount(minlength=17_576)
    assert p_value(counts, words.log_prob(torch.cartesian_prod(*[torch.arange(26)] * 3)).exp()) > 1e-4


@both_processes
@pytest.mark.parametrize("sigma", [0.01, 4.0])
def test_the_exact_score_of_words_is_a_ratio_of_noised_probabilities(words, process, sigma):
    """For every text x with p_sigma(x) > 0 and every neighbor, in the oracle and in the table."""
    process, letters = process(26), torch.cartesian_prod(*[torch.arange(26)] * 3)
    world = Enumerated(words.log_prob(letters).exp().view(26, 26, 26), process)
    sigma = torch.tensor([sigma], dtype=torch.float64)
    x = world.texts[world.noised(sigma).flatten() > 0]
    assert len(x) == 26**3 if process.mask is None else 26**2 < len(x) < 27**3
    exact = world(x, sigma.expand(len(x)))
    assert_close(words.score(process)(x, sigma.expand(len(x))), exact, rtol=1e-9, atol=1e-10)
    assert_close(words.noised(process, float(sigma)), world.noised(sigma)[0], rtol=1e-9, atol=0)
    table = words.score_table(process, float(sigma))
    assert_close(table[x.unbind(1)], exact, rtol=1e-9, atol=1e-10)
    assert (table.isnan().any((-2, -1)) == (words.noised(process, float(sigma)) == 0)).all()


# Fables, a small grammar: everything by enumeration


def test_the_list_of_the_tiny_grammar_agrees_with_lines_written_by_hand(tiny):
    """The other tests rely on all_lines, so it is tested itself."""
    p = all_lines(TINY_TEMPLATES, TINY_LISTS, TINY_LENGTH)
    assert {len(line) for line in p} == {TINY_LENGTH} and max(len(line.rstrip()) for line in p) == TINY_LENGTH
    assert_close(sum(p.values()), 1.0, rtol=0, atol=1e-14)
    assert_close(p["aba    "], (1 / 3 * 1 / 2 + 1 / 3 * 1 / 4 + 1 / 3 * 1 / 4) / 4, rtol=1e-14, atol=0)
    assert_close(p["ab ba  "], 1 / 4 * 1 / 4, rtol=1e-14, atol=0)
    assert "abab   " in p and "abb    " in p and "b      " not in p and "baa    " not in p


def test_probabilities_of_the_tiny_grammar_are_those_of_the_list(tiny):
    """For all 3^7 strings. At each of 7 positions the automaton merges nodes by probabilities rounded to 1e-12."""
    p = table(all_lines(TINY_TEMPLATES, TINY_LISTS, TINY_LENGTH), tiny.alphabet)
    everything = torch.cartesian_prod(*[torch.arange(3)] * TINY_LENGTH)
    assert tiny.alphabet.characters == " ab" and len(everything) == 3**7
    assert_close(tiny.log_prob(everything).exp(), p.flatten(), rtol=1e-10, atol=0)
    assert tiny.count() == (p > 0).sum()
    positive = p[p > 0]
    assert_close(tiny.entropy(), float((positive * (1 / positive).log()).sum()), rtol=1e-10, atol=0)
    for x in everything:
        assert (tiny.diagnose(tiny.alphabet.decode(x)) is None) == (p[tuple(x)] > 0)


def test_lines_of_the_tiny_grammar_are_drawn_with_their_probabilities(tiny):
    """Chi-square test of 5,000 lines; size 1e-4.

    Power: ignoring that a word is listed twice adds 500 to a statistic of 27 +- 7.
    """
    p = table(all_lines(TINY_TEMPLATES, TINY_LISTS, TINY_LENGTH), tiny.alphabet)
    x = tiny.sample(5000, torch.Generator().manual_seed(0))
    counts = (x * 3 ** torch.arange(TINY_LENGTH).flip(0)).sum(-1).bincount(minlength=3**TINY_LENGTH)
    assert p_value(counts, p) > 1e-4


@both_processes
@pytest.mark.parametrize("sigma", [1e-4, 0.5, 4.0])
def test_the_exact_score_of_the_tiny_grammar_is_a_ratio_of_noised_probabilities(tiny, process, sigma):
    """For every text x with p_sigma(x) > 0 and every neighbor.

    matrix_exp has errors of 1e-15, its smallest entries are 1e-4 / 3, and up to 7 of them are multiplied: up to 1e-10.
    """
    process = process(3)
    world = Enumerated(table(all_lines(TINY_TEMPLATES, TINY_LISTS, TINY_LENGTH), tiny.alphabet), process)
    sigma = torch.tensor([sigma], dtype=torch.float64)
    x = world.texts[world.noised(sigma).flatten() > 0]
    assert len(x) == 3**7 if process.mask is None else len(x) > 1000
    score = tiny.score(process)
    assert_close(score(x, sigma.expand(len(x))), world(x, sigma.expand(len(x))), rtol=1e-8, atol=1e-9)


def test_each_text_of_a_batch_has_its_own_sigma_and_sees_no_other_text(tiny):
    process = Uniform(3)
    score, x = tiny.score(process), tiny.sample(6, torch.Generator().manual_seed(1))
    sigma = torch.linspace(0.1, 3, 6, dtype=torch.float64)
    alone = torch.cat([score(x[b : b + 1], sigma[b : b + 1]) for b in range(6)])
    assert_close(score(x, sigma), alone, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("world", "start"), [("words", "zz"), ("tiny", "  ")])
def test_the_posterior_of_an_impossible_text_is_uniform(world, start, request):
    """Under Absorbing no text that begins like this has any probability; the posterior must still be finite."""
    world = request.getfixturevalue(world)
    process = Absorbing(len(world.alphabet))
    x = torch.full((1, world.length), process.mask)
    x[0, :2] = world.alphabet.encode(start)
    log_posterior = world.score(process).log_posterior(x, torch.tensor([0.5]))
    assert_close(log_posterior, torch.full_like(log_posterior, -math.log(len(world.alphabet))), rtol=1e-15, atol=0)


# Fables at full length


def reader(templates, lists):
    """A function line -> its probability, made with regular expressions. A word has no space and no period."""
    patterns = []
    for template in templates:
        pattern, p = "", 1 / len(templates)
        for text, name, words in re.findall(r"([^{]+)|\{(\w*):?(\w*)\}", template):
            if text:
                pattern += re.escape(text)
            elif words:
                choices = lists[words].split()
                pattern += f"(?P<{name}>{'|'.join(choices)})" if name else f"(?:{'|'.join(choices)})"
                p /= len(choices)
            else:
                pattern += f"(?P={name})"
        patterns.append((re.compile(pattern + " *"), p))
    return lambda line: sum(p for pattern, p in patterns if pattern.fullmatch(line))


@pytest.fixture(scope="module")
def probability():
    return reader(grammar.TEMPLATES, grammar.LISTS)


def test_there_are_more_than_a_million_fables_and_their_entropy_is_known(fables):
    """No two choices of words write the same line, so each choice for a template is one of its equally likely lines."""
    size = {name: len(words.split()) for name, words in grammar.LISTS.items()}
    choices = [math.prod(size[name] for name in re.findall(r":(\w+)\}", template)) for template in grammar.TEMPLATES]
    assert fables.length == 64 and fables.count() == sum(choices) >= 10**6
    entropy = sum(math.log(len(choices) * n) / len(choices) for n in choices)
    assert_close(fables.entropy(), entropy, rtol=1e-10, atol=0)


def test_samples_of_fables_are_fables(fables, probability):
    x = fables.sample(500, torch.Generator().manual_seed(0))
    assert x.shape == (500, 64) and x.dtype == torch.int64
    lines, log_p = [fables.alphabet.decode(row) for row in x], fables.log_prob(x)
    assert [fables.diagnose(line) for line in lines] == [None] * 500
    p = torch.tensor([probability(line) for line in lines], dtype=torch.float64)
    assert_close(log_p.exp(), p, rtol=1e-9, atol=0)  # nodes are merged by probabilities rounded to 1e-12
    assert len(set(lines)) > 495  # of 12 million fables, so two equal ones are rare


def test_the_entropy_of_fables_is_the_mean_of_minus_log_prob(fables):
    """Within 4 standard errors, for 500 samples: size 6e-5.

    Power: a standard error is 0.1 of 12 nats, so an error of 7 % is 8 standard errors. The test of the count has the
    exact value.
    """
    surprise = -fables.log_prob(fables.sample(500, torch.Generator().manual_seed(1)))
    error = surprise.std() / math.sqrt(len(surprise))
    assert error < 0.12
    assert abs(surprise.mean() - fables.entropy()) < 4 * error


def test_templates_and_words_of_fables_are_equally_likely(fables):
    """Chi-square tests of the templates of 8,000 lines, and of the words in each template's first slot; size 1e-4 each.

    Power: if half of the 8 templates come a tenth too often and half too rarely, this adds 8,000 * 0.1^2 = 80 to a
    statistic of 7 +- 4.
    """
    lines = [fables.alphabet.decode(row) for row in fables.sample(8000, torch.Generator().manual_seed(2))]
    counts = []
    for template in grammar.TEMPLATES:
        start, words = re.match(r"([^{]*)\{\w*:(\w+)\}", template).groups()
        read, choices = reader([template], grammar.LISTS), grammar.LISTS[words].split()
        first = [line[len(start) :] for line in lines if line.startswith(start) and read(line) > 0]
        counts.append(len(first))
        by_word = torch.tensor([sum(rest.startswith(word) for rest in first) for word in choices])
        assert p_value(by_word, torch.ones(len(choices))) > 1e-4
    assert sum(counts) == 8000 and p_value(torch.tensor(counts), torch.ones(len(counts))) > 1e-4


@both_processes
def test_the_exact_score_of_64_characters_is_a_ratio_of_sums_over_lines(process):
    """Two templates, few words, 432 lines of 64 characters: p_sigma of a text and its neighbors is a sum over them."""
    lists = {"animal": "wolf bear toad", "mood": "vain bold wise", "thing": "harp lamp", "took": "lost wore sold sank"}
    templates = [
        "the {:mood} {A:animal} had a {T:thing}. a {B:animal} {:took} it, and the {A} wept.",
        "a {A:animal} {:took} the {T:thing} of a {:mood} {B:animal}; the {B} has the {T}.",
    ]
    world, length = Fables(templates, lists, 64), 64
    p = all_lines(templates, lists, length)
    assert len(p) == world.count() == 2 * 3 * 3 * 2 * 3 * 4
    lines = torch.stack([world.alphabet.encode(line) for line in p])
    weight = torch.tensor(list(p.values()), dtype=torch.float64)
    process, generator = process(len(world.alphabet)), torch.Generator().manual_seed(3)
    for sigma in (0.05, 0.7, 3.0):
        x0, sigma = world.sample(4, generator), torch.full((4,), sigma, dtype=torch.float64)
        x = process.perturb(x0, sigma, generator)
        log_score = world.score(process)(x, sigma)
        q = torch.linalg.matrix_exp(sigma[0] * process.rate_matrix())
        for b in range(4):
            per_position = q[lines, x[b]]  # (W, L): q(x_i | x0_i)
            joint = weight * per_position.prod(-1)
            changed = joint[:, None, None] / per_position[..., None] * q[lines]  # (W, L, S): x_i := y
            if process.mask is not None:  # a line that x rules out at another position than i
                others = torch.stack([per_position[:, torch.arange(length) != i].prod(-1) for i in range(length)], 1)
                changed = weight[:, None, None] * others[..., None] * q[lines]
            log_ratio = (changed.sum(0) / joint.sum()).log()
            if process.mask is not None:
                visible = x[b] != process.mask
                log_ratio[visible] = -math.inf
                log_ratio[visible, x[b, visible]] = 0.0
            # q has errors of 1e-15, its smallest entry is 0.05 / 24, and up to 64 of them are multiplied: 1e-10.
            assert_close(log_score[b], log_ratio, rtol=1e-8, atol=1e-9)


def test_the_posterior_of_fables_is_an_average_over_the_lines_that_fit(fables):
    """The whole grammar. If the beginning of one template is visible, only lines of that template can fit."""
    starts = [template[: template.index("{")] for template in grammar.TEMPLATES]
    alone = [k for k, a in enumerate(starts) if not any(a.startswith(b) or b.startswith(a) for b in starts if b != a)]
    size = {name: len(words.split()) for name, words in grammar.LISTS.items()}
    lines_of = [math.prod(size[name] for name in re.findall(r":(\w+)\}", template)) for template in grammar.TEMPLATES]
    k = min(alone, key=lambda k: lines_of[k])
    lines = torch.stack([fables.alphabet.encode(line) for line in all_lines([grammar.TEMPLATES[k]], grammar.LISTS, 64)])
    assert len(lines) == lines_of[k] > 100
    process, generator = Absorbing(len(fables.alphabet)), torch.Generator().manual_seed(3)
    visible = torch.rand(6, 64, generator=generator) < torch.tensor([0, 0.02, 0.05, 0.1, 0.3, 0.8])[:, None]
    visible[:, : len(starts[k])] = True
    x = torch.where(visible, lines[torch.randint(len(lines), (6,), generator=generator)], process.mask)
    posterior = fables.score(process).log_posterior(x, torch.linspace(0.1, 5, 6)).exp()
    for b in range(6):
        fitting = lines[((x[b] == process.mask) | (lines == x[b])).all(-1)]
        expected = F.one_hot(fitting, len(fables.alphabet)).double().mean(0)
        assert_close(posterior[b], expected, rtol=1e-9, atol=1e-12)


def test_prompts_are_the_templates_with_their_slots_left_free(fables):
    """Every line fits the prompt of its template and of no other, and every template occurs."""
    assert len(fables.prompts) == len(grammar.TEMPLATES)
    lines = [fables.alphabet.decode(x).rstrip() for x in fables.sample(500, torch.Generator().manual_seed(6))]
    fitting = {line: [] for line in lines}
    for template, prompt in zip(grammar.TEMPLATES, fables.prompts):
        assert prompt.replace("_", "") == re.sub(r"\{.*?\}", "", template)
        pattern, read = re.compile(re.escape(prompt).replace("_", "[a-z]")), reader([template], grammar.LISTS)
        for line in fitting:
            assert bool(pattern.fullmatch(line)) == (read(line) > 0)
            fitting[line] += [prompt] if pattern.fullmatch(line) else []
    assert all(len(prompts) == 1 for prompts in fitting.values())
    assert {prompt for (prompt,) in fitting.values()} == set(fables.prompts)


# What is wrong with a line

DETECTIVE = Fables(
    [
        "the {:mood} {A:animal} met a {:guest} at the {:place}. they {:played}. the {A} {:left}.",
        "never lend a {:thing} to a {A:animal}, said the {:sage}, and the {A} {:lost} it.",
        "a {A:guest} sold the {B:giant} a {:thing}. the {B} {:took} it. the {A} {:left}.",
    ],
    {
        **{"mood": "bold vain", "animal": "goat bear toad", "guest": "bee hen fox", "giant": "zebra panda"},
        **{"place": "dock mill", "thing": "harp cake", "sage": "asp owl", "played": "traded danced"},
        **{"left": "rose fled", "lost": "sank sold", "took": "stole broke"},
    },
)
GOOD = "the bold goat met a bee at the dock. they traded. the goat rose."
LEND = "never lend a harp to a goat, said the asp, and the goat sank it."
SOLD = "a fox sold the zebra a harp. the zebra stole it. the fox fled."

ALTERED = [
    (GOOD.replace("the goat rose", "the bear rose"), 54, "'goat' must be repeated"),
    (GOOD.replace("the goat rose", "the hen rose"), 54, "'goat' must be repeated"),
    (LEND.replace("the goat sank", "the toad sank"), 51, "'goat' must be repeated"),
    (SOLD.replace("the zebra stole", "the panda stole"), 33, "'zebra' must be repeated"),
    (SOLD.replace("the fox fled", "the zebra fled"), 53, "'fox' must be repeated"),
    (GOOD.replace("bold goat", "bold gota"), 11, "goat"),  # a misspelled animal: "go" is right
    (GOOD.replace("a bee", "a bea"), 22, "bee"),
    (GOOD.replace("bold", "bald"), 5, "bold"),
    (GOOD.replace("dock.", "dock,"), 35, "'. they ' belongs here"),
    (GOOD.replace("met a", "meta "), 17, "' met a ' belongs here"),
    (SOLD + " x", 63, "the fable ends here"),
    (SOLD.replace("fled.", "fled.."), 62, "the fable ends here"),
    (GOOD + ".", 64, "64 characters"),
    (GOOD[:-1], 63, "'.' belongs here"),
    (SOLD[:30], 30, "'. the ' belongs here"),
    (" " + SOLD, 0, "belongs here"),
    ("", 0, "belongs here"),
    (GOOD.upper(), 0, "belongs here"),
    (LEND.replace("harp", "cat"), 15, "harp"),
]


@pytest.mark.parametrize(("line", "position", "reason"), ALTERED)
def test_diagnose_tells_where_a_line_goes_wrong_and_why(line, position, reason):
    at, why = DETECTIVE.diagnose(line)
    assert (at, reason in why) == (position, True), why
    if len(line) <= 64 and set(line) <= set(DETECTIVE.alphabet.characters):
        assert DETECTIVE.log_prob(DETECTIVE.alphabet.encode(line.ljust(64))[None]) == -math.inf


@pytest.mark.parametrize("line", [GOOD, LEND, SOLD])
def test_diagnose_finds_nothing_wrong_with_a_good_line(line):
    assert DETECTIVE.diagnose(line) is None and DETECTIVE.diagnose(line.ljust(64)) is None
    assert DETECTIVE.log_prob(DETECTIVE.alphabet.encode(line.ljust(64))[None]) > -math.inf


def test_diagnose_and_log_prob_agree_with_regular_expressions_on_mutated_lines(fables, probability):
    """400 lines with a character changed, dropped or doubled, or a word replaced or moved; some are still fables."""
    generator = torch.Generator().manual_seed(5)

    def pick(options):
        return options[torch.randint(len(options), (), generator=generator)]

    def mutate(line):
        words, i = line.split(), pick(range(len(line)))
        j, vocabulary = pick(range(len(words))), grammar.LISTS[pick(list(grammar.LISTS))]
        return pick(
            [
                lambda: line[:i] + pick(fables.alphabet.characters) + line[i + 1 :],
                lambda: line[:i] + line[i + 1 :],
                lambda: line[:i] + line[i] + line[i:],
                lambda: " ".join([*words[:j], pick(vocabulary.split()), *words[j + 1 :]]),
                lambda: " ".join(words[:j] + words[j : j + 2][::-1] + words[j + 2 :]),
            ]
        )()

    lines = [fables.alphabet.decode(x).rstrip() for x in fables.sample(400, generator)]
    lines = [line for line in map(mutate, lines) if len(line) <= 64]
    x = torch.stack([fables.alphabet.encode(line.ljust(64)) for line in lines])
    possible = [probability(line) > 0 for line in lines]
    assert (fables.log_prob(x) > -math.inf).tolist() == possible
    assert [fables.diagnose(line) is None for line in lines] == possible
    assert 5 < sum(possible) < len(lines) - 200  # both happen


# Bad grammars


def test_a_template_longer_than_the_length_is_refused():
    with pytest.raises(ValueError, match="more than length = 5"):
        Fables(["a {:x} b"], {"x": "i ou"}, length=5)
    assert Fables(["a {:x} b"], {"x": "i ou"}, length=6).count() == 2


def test_the_error_for_an_unknown_list_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'beast'.*'animal', 'mood'"):
        Fables(["the {:mood} {A:beast}"], {"mood": "bold", "animal": "cat"}, length=10)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("the {A} ran", r"repeats \{A\} before"),
        ("the {A} saw {A:animal}", r"repeats \{A\} before"),
        ("the {:animal", "a brace { that"),
        ("the {} ran", "a brace { that"),
        ("the animal}", "a brace } that"),
        ("the {:nobody} ran", r"'nobody'.*\['animal'\]"),
    ],
)
def test_the_error_explains_what_is_wrong_with_a_template(template, message):
    with pytest.raises(ValueError, match=message):
        Fables([template], {"animal": "cat dog", "nobody": ""}, length=20)


def test_log_prob_refuses_texts_of_another_length(fables):
    with pytest.raises(ValueError, match="64 characters; these texts have 65"):
        fables.log_prob(torch.zeros(2, 65, dtype=torch.int64))


def test_the_same_seed_gives_the_same_texts(words, fables):
    for world in (words, fables):
        first, again, other = (world.sample(20, torch.Generator().manual_seed(seed)) for seed in (6, 6, 7))
        assert (first == again).all() and (first != other).any()


# A world of your own


def test_with_no_lists_the_templates_are_the_lines_and_a_repeated_one_is_more_likely():
    world = Fables(["ja", "nein", "ja"], {}, 4)
    assert world.alphabet == Alphabet(" aeijn") and world.count() == 2
    assert_close(world.log_prob(world.alphabet.encode("ja  ")[None]).exp().item(), 2 / 3)


class Coins:
    """Five flips of a biased coin: a world needs an alphabet, a length and these methods."""

    alphabet, length = Alphabet("HT"), 5

    def __init__(self, heads: float = 0.9):
        self.p = torch.tensor([heads, 1 - heads], dtype=torch.float64)

    def sample(self, n, generator=None):
        return torch.multinomial(self.p.expand(n, 2), self.length, replacement=True, generator=generator)

    def log_prob(self, x):
        return self.p.log()[x].sum(-1)

    def entropy(self):
        return float(-self.length * (self.p * self.p.log()).sum())

    def score(self, process):
        return Oracle(self, process)

    def marginals(self, likelihood):  # the oracle asks for p(x0_i = a, x), from q(x_i | x0_i = a)
        return self.p * likelihood  # independent flips: nothing but x_i itself tells anything about x0_i


@both_processes
def test_a_new_world_in_a_few_lines(process):
    """Coins works with the corpus, the training and the exact gap, and its oracle is exact."""
    world = Coins()
    corpus = Corpus.from_world(world, validation_texts=100)
    torch.manual_seed(0)
    model = Transformer(process(2), Config(1, 2, 16), world.alphabet, world.length)
    gap_before = measure_gap(model, world, corpus.validation)
    fit(model, corpus, Training(steps=30, batch=32, warmup=5, ema_decay=0.8, validate=1), progress=False)
    gap = measure_gap(model, world, corpus.validation)
    assert gap.relative < gap_before.relative / 4

    sigma, p0 = torch.tensor([0.7], dtype=torch.float64), torch.ones((), dtype=torch.float64)
    for _ in range(world.length):
        p0 = p0[..., None] * world.p
    truth = Enumerated(p0, process(2))
    x = truth.texts[truth.noised(sigma).flatten() > 0]
    assert_close(
        world.score(process(2))(x, sigma.expand(len(x))), truth(x, sigma.expand(len(x))), rtol=1e-9, atol=1e-10
    )
    everything = torch.cartesian_prod(*[torch.arange(2)] * 5)
    assert_close(world.log_prob(everything).exp(), p0.flatten())
    assert_close(world.entropy(), float(torch.special.entr(p0).sum()))
    drawn = world.sample(10_000, torch.Generator().manual_seed(0))
    assert drawn.shape == (10_000, 5) and abs((drawn == 0).double().mean() - 0.9) < 4 * 0.3 / math.sqrt(50_000)
