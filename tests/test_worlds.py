"""The two exact worlds against lists of all their texts, written by other means than the code under test."""

import math
import re
import time
from collections import defaultdict
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

import tinysedd.worlds.fables as grammar
from tinysedd.process import Absorbing, Uniform
from tinysedd.worlds import Fables, Words

both_processes = pytest.mark.parametrize("process", [Absorbing, Uniform])

# A grammar in which everything happens that can: agreement, words that begin alike, a word that is listed twice, a line
# that two shapes write, a line that two draws of the same shape write (ab+a = a+ba), padding.
TINY_SHAPES = ["{A:one}{:two}{A}", "{:one}{:two}", "a{B:two}{:one}{B}", "ab {A:two}"]
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
    return Fables(TINY_SHAPES, TINY_LISTS, TINY_LENGTH)


def written_out(shapes, lists, length):
    """Every line of a grammar with its probability: each shape with each choice of words put in, as strings."""
    p = defaultdict(float)
    for shape in shapes:
        slots = re.findall(r"\{(\w*):(\w+)\}", shape)
        choices = [lists[words].split() for _, words in slots]
        for chosen in product(*choices):
            line = shape
            for (name, words), word in zip(slots, chosen):
                line = line.replace(f"{{{name}:{words}}}", word, 1)
                line = line.replace(f"{{{name}}}", word) if name else line
            p[line.ljust(length)] += 1 / len(shapes) / math.prod(map(len, choices))
    return dict(p)


def table(p: dict[str, float], alphabet) -> torch.Tensor:
    """The probabilities of all texts (N, ..., N), one axis a position."""
    entries = torch.zeros((len(alphabet),) * len(next(iter(p))), dtype=torch.float64)
    for line, probability in p.items():
        entries[tuple(alphabet.encode(line).tolist())] = probability
    return entries


# Words


def test_words_are_distinct_and_about_as_many_as_is_said(words):
    assert len(set(words.words)) == len(words.words) and all(re.fullmatch("[a-z]{3}", word) for word in words.words)
    assert 300 <= len(words.words) <= 350


def test_words_sum_to_one_over_all_texts(words):
    everything = torch.cartesian_prod(*[torch.arange(26)] * 3)
    log_p = words.log_prob(everything)
    assert len(log_p) == 17_576 and (log_p > -math.inf).sum() == len(words.words)
    assert_close(log_p.exp().sum().item(), 1.0, rtol=0, atol=1e-14)
    p = log_p.exp()[log_p > -math.inf]
    assert_close(words.entropy(), float((p * (1 / p).log()).sum()), rtol=1e-13, atol=0)


def test_words_follow_the_law_they_name(words):
    """p of the k-th word in proportion to 1 / (k + 2.7), k from 1: by itself, apart from the sum."""
    for k, word in enumerate(words.words, 1):
        ratio = words.log_prob(words.alphabet.encode(word)[None]) - words.log_prob(words.ids[:1])
        assert_close(ratio.item(), math.log(3.7 / (k + 2.7)), rtol=0, atol=1e-13)


def test_words_are_drawn_as_often_as_is_said(words, chance):
    """Chi-square of 200,000 words; size 1e-4. Power: 1 % of the weight moved evenly to other words adds a tenth of a
    word's own probability to the rarest third: 200,000 * 0.01^2 / 0.2 = 100, when the spread is sqrt(2 * 340) = 26."""
    x = words.sample(200_000, torch.Generator().manual_seed(0))
    counts = (x * torch.tensor([676, 26, 1])).sum(-1).bincount(minlength=17_576)
    assert chance(counts, words.log_prob(torch.cartesian_prod(*[torch.arange(26)] * 3)).exp()) > 1e-4


@both_processes
@pytest.mark.parametrize("sigma", [0.01, 1.0, 6.0])
def test_words_score_is_the_ratio_of_noised_probabilities(words, process, sigma, enumerated):
    """Every text that can be, 17,576 or with masks 27^3, and every neighbor. Rounding as in test_process, 1e-9."""
    process, letters = process(26), torch.cartesian_prod(*[torch.arange(26)] * 3)
    world = enumerated(words.log_prob(letters).exp().view(26, 26, 26), process)
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


def test_tiny_grammar_is_what_its_comment_says(tiny):
    """The authority itself: the lines below were written by hand."""
    p = written_out(TINY_SHAPES, TINY_LISTS, TINY_LENGTH)
    assert {len(line) for line in p} == {TINY_LENGTH} and max(len(line.rstrip()) for line in p) == TINY_LENGTH
    assert_close(sum(p.values()), 1.0, rtol=0, atol=1e-14)
    assert_close(p["aba    "], (1 / 3 * 1 / 2 + 1 / 3 * 1 / 4 + 1 / 3 * 1 / 4) / 4, rtol=1e-14, atol=0)
    assert_close(p["ab ba  "], 1 / 4 * 1 / 4, rtol=1e-14, atol=0)
    assert "abab   " in p and "abb    " in p and "b      " not in p and "baa    " not in p


def test_tiny_fables_have_the_probabilities_of_the_list(tiny):
    """All 3^7 strings. The automaton merges nodes by probabilities rounded to 1e-12, at each of 7 positions."""
    p = table(written_out(TINY_SHAPES, TINY_LISTS, TINY_LENGTH), tiny.alphabet)
    everything = torch.cartesian_prod(*[torch.arange(3)] * TINY_LENGTH)
    assert tiny.alphabet.characters == " ab" and len(everything) == 3**7
    assert_close(tiny.log_prob(everything).exp(), p.flatten(), rtol=1e-10, atol=0)
    assert tiny.count() == (p > 0).sum()
    positive = p[p > 0]
    assert_close(tiny.entropy(), float((positive * (1 / positive).log()).sum()), rtol=1e-10, atol=0)
    for x in everything:
        assert (tiny.diagnose(tiny.alphabet.decode(x)) is None) == (p[tuple(x)] > 0)


def test_tiny_fables_are_drawn_as_often_as_is_said(tiny, chance):
    """Chi-square of 100,000 lines; size 1e-4. Power: ignoring that a word is listed twice moves 1/8 of some lines."""
    p = table(written_out(TINY_SHAPES, TINY_LISTS, TINY_LENGTH), tiny.alphabet)
    x = tiny.sample(100_000, torch.Generator().manual_seed(0))
    counts = (x * 3 ** torch.arange(TINY_LENGTH).flip(0)).sum(-1).bincount(minlength=3**TINY_LENGTH)
    assert chance(counts, p) > 1e-4


@both_processes
@pytest.mark.parametrize("sigma", [1e-4, 0.5, 4.0])
def test_tiny_fables_score_is_the_ratio_of_noised_probabilities(tiny, process, sigma, enumerated):
    """Every text that can be, 3^7 or with masks 4^7, and every neighbor.

    matrix_exp is exact to 1e-15, its entries are as small as 1e-4 / 3, and 7 of them multiply: up to 1e-10.
    """
    process = process(3)
    world = enumerated(table(written_out(TINY_SHAPES, TINY_LISTS, TINY_LENGTH), tiny.alphabet), process)
    sigma = torch.tensor([sigma], dtype=torch.float64)
    x = world.texts[world.noised(sigma).flatten() > 0]
    assert len(x) == 3**7 if process.mask is None else len(x) > 1000
    score = tiny.score(process)
    assert_close(score(x, sigma.expand(len(x))), world(x, sigma.expand(len(x))), rtol=1e-8, atol=1e-9)


def test_score_of_a_batch_is_that_of_its_texts(tiny):
    """Each text has its own sigma, and no text sees another."""
    process = Uniform(3)
    score, x = tiny.score(process), tiny.sample(6, torch.Generator().manual_seed(1))
    sigma = torch.linspace(0.1, 3, 6, dtype=torch.float64)
    alone = torch.cat([score(x[b : b + 1], sigma[b : b + 1]) for b in range(6)])
    assert_close(score(x, sigma), alone, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(("world", "start"), [("words", "zz"), ("tiny", "  ")])
def test_a_text_that_cannot_be_has_an_even_posterior(world, start, request):
    """Under Absorbing, where no text begins like this: some numbers are needed, and these are finite."""
    world = request.getfixturevalue(world)
    process = Absorbing(len(world.alphabet))
    x = torch.full((1, world.length), process.mask)
    x[0, :2] = world.alphabet.encode(start)
    log_posterior = world.score(process).log_posterior(x, torch.tensor([0.5]))
    assert_close(log_posterior, torch.full_like(log_posterior, -math.log(len(world.alphabet))), rtol=1e-15, atol=0)


# Fables at full length


def reader(shapes, lists):
    """What Fables is asked for, by regular expressions: line -> its probability. A word has no space and no stop."""
    patterns = []
    for shape in shapes:
        pattern, p = "", 1 / len(shapes)
        for text, name, words in re.findall(r"([^{]+)|\{(\w*):?(\w*)\}", shape):
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


def test_fables_are_64_characters_and_more_than_a_million(fables):
    """No two choices of words write the same line, so the lines of a shape are as many as the choices, and alike."""
    size = {name: len(words.split()) for name, words in grammar.LISTS.items()}
    choices = [math.prod(size[name] for name in re.findall(r":(\w+)\}", shape)) for shape in grammar.TEMPLATES]
    assert fables.length == 64 and fables.count() == sum(choices) >= 10**6
    entropy = sum(math.log(len(choices) * n) / len(choices) for n in choices)
    assert_close(fables.entropy(), entropy, rtol=1e-10, atol=0)


def test_fables_samples_are_fables(fables, probability):
    x = fables.sample(1000, torch.Generator().manual_seed(0))
    assert x.shape == (1000, 64) and x.dtype == torch.int64
    lines, log_p = [fables.alphabet.decode(row) for row in x], fables.log_prob(x)
    assert [fables.diagnose(line) for line in lines] == [None] * 1000
    p = torch.tensor([probability(line) for line in lines], dtype=torch.float64)
    assert_close(log_p.exp(), p, rtol=1e-9, atol=0)  # nodes are merged by probabilities rounded to 1e-12
    assert len(set(lines)) > 990  # of 12 million, 2 may be alike


def test_fables_entropy_is_the_mean_of_minus_log_prob(fables):
    """2,000 samples, within 4 standard errors: size 6e-5. Power: a standard error is 0.05 of 13.5 nats, so what is
    wrong by 3 % is 8 of them off; the exact value is in the test of the count."""
    surprise = -fables.log_prob(fables.sample(2000, torch.Generator().manual_seed(1)))
    error = surprise.std() / math.sqrt(len(surprise))
    assert error < 0.06
    assert abs(surprise.mean() - fables.entropy()) < 4 * error


def test_fables_take_every_shape_and_word_equally_often(fables, chance):
    """Chi-square of the shapes of 20,000 lines, and of the words of each shape's first slot; size 1e-4 each.

    Power: half of 8 shapes a tenth too often, half too rarely, adds 20,000 * 0.1^2 = 200, when the spread is 4.
    """
    lines = [fables.alphabet.decode(row) for row in fables.sample(20_000, torch.Generator().manual_seed(2))]
    counts = []
    for shape in grammar.TEMPLATES:
        start, words = re.match(r"([^{]*)\{\w*:(\w+)\}", shape).groups()
        read, begins = reader([shape], grammar.LISTS), len(start)
        first = [line[begins:] for line in lines if line.startswith(start) and read(line) > 0]
        counts.append(len(first))
        choices = grammar.LISTS[words].split()
        assert (
            chance(torch.tensor([sum(x.startswith(w) for x in first) for w in choices]), torch.ones(len(choices)))
            > 1e-4
        )
    assert sum(counts) == 20_000 and chance(torch.tensor(counts), torch.ones(len(counts))) > 1e-4


@both_processes
def test_fables_score_at_full_length_is_the_ratio_of_sums_over_lines(process):
    """Two shapes, few words, 64 characters, 432 lines: p_sigma is a sum over them, for a text and its neighbors."""
    lists = {"animal": "wolf bear toad", "mood": "vain bold wise", "thing": "harp lamp", "took": "lost wore sold sank"}
    shapes = [
        "the {:mood} {A:animal} had a {T:thing}. a {B:animal} {:took} it, and the {A} wept.",
        "a {A:animal} {:took} the {T:thing} of a {:mood} {B:animal}; the {B} has the {T}.",
    ]
    world, length = Fables(shapes, lists, 64), 64
    p = written_out(shapes, lists, length)
    assert len(p) == world.count() == 2 * 3 * 3 * 2 * 3 * 4
    lines = torch.stack([world.alphabet.encode(line) for line in p])
    weight = torch.tensor(list(p.values()), dtype=torch.float64)
    process, generator = process(len(world.alphabet)), torch.Generator().manual_seed(3)
    for sigma in (0.05, 0.7, 3.0):
        x0, sigma = world.sample(8, generator), torch.full((8,), sigma, dtype=torch.float64)
        x = process.perturb(x0, sigma, generator)
        log_score = world.score(process)(x, sigma)
        q = torch.linalg.matrix_exp(sigma[0] * process.rate_matrix())
        for b in range(8):
            per_place = q[lines, x[b]]  # (W, L): q(x_i | x0_i)
            joint = weight * per_place.prod(-1)
            changed = joint[:, None, None] / per_place[..., None] * q[lines]  # (W, L, S): x_i := y
            if process.mask is not None:  # a line that x rules out at another place than i
                others = torch.stack([per_place[:, torch.arange(length) != i].prod(-1) for i in range(length)], 1)
                changed = weight[:, None, None] * others[..., None] * q[lines]
            log_ratio = (changed.sum(0) / joint.sum()).log()
            if process.mask is not None:
                shows = x[b] != process.mask
                log_ratio[shows] = -math.inf
                log_ratio[shows, x[b, shows]] = 0.0
            # q is exact to 1e-15 of 1; its least entry is 0.05 / 24, and up to 64 of them multiply: 1e-10.
            assert_close(log_score[b], log_ratio, rtol=1e-8, atol=1e-9)


def test_fables_posterior_is_that_of_the_lines_that_fit(fables):
    """The whole grammar: where the beginning of one shape shows, and any other characters, the lines of it that fit."""
    starts = [shape[: shape.index("{")] for shape in grammar.TEMPLATES]
    alone = [k for k, a in enumerate(starts) if not any(a.startswith(b) or b.startswith(a) for b in starts if b != a)]
    size = {name: len(words.split()) for name, words in grammar.LISTS.items()}
    lines_of = [math.prod(size[name] for name in re.findall(r":(\w+)\}", shape)) for shape in grammar.TEMPLATES]
    k = min(alone, key=lambda k: lines_of[k])
    lines = torch.stack([fables.alphabet.encode(line) for line in written_out([grammar.TEMPLATES[k]], grammar.LISTS, 64)])
    assert len(lines) == lines_of[k] > 100
    process, generator = Absorbing(len(fables.alphabet)), torch.Generator().manual_seed(3)
    shows = torch.rand(6, 64, generator=generator) < torch.tensor([0, 0.02, 0.05, 0.1, 0.3, 0.8])[:, None]
    shows[:, : len(starts[k])] = True
    x = torch.where(shows, lines[torch.randint(len(lines), (6,), generator=generator)], process.mask)
    posterior = fables.score(process).log_posterior(x, torch.linspace(0.1, 5, 6)).exp()
    for b in range(6):
        fitting = lines[((x[b] == process.mask) | (lines == x[b])).all(-1)]
        expected = F.one_hot(fitting, len(fables.alphabet)).double().mean(0)
        assert_close(posterior[b], expected, rtol=1e-9, atol=1e-12)


def test_fables_posterior_is_quick_enough_to_sample_with(fables):
    """The aim is 200 lines a second on one core. Asked for is a quarter, in processor time: a busy machine passes."""
    process, generator = Absorbing(len(fables.alphabet)), torch.Generator().manual_seed(4)
    sigma = torch.full((128,), 1.0)
    x, score = process.perturb(fables.sample(128, generator), sigma, generator), fables.score(process)
    seconds = []
    for _ in range(3):
        start = time.process_time()
        score(x, sigma)
        seconds.append(time.process_time() - start)
    assert 128 / sorted(seconds)[1] > 200 / 4


def test_prompts_leave_out_what_is_drawn(fables):
    """One for each shape: its own text is given, and lines of the shape agree with that."""
    assert len(fables.prompts) == len(grammar.TEMPLATES)
    lines = [fables.alphabet.decode(x) for x in fables.sample(1000, torch.Generator().manual_seed(6))]
    for shape, prompt in zip(grammar.TEMPLATES, fables.prompts):
        assert prompt.replace("_", "") == re.sub(r"\{.*?\}", "", shape)
        own = [line.rstrip() for line in lines if reader([shape], grammar.LISTS)(line) > 0]
        assert len(own) > 50
        for line in own:
            assert len(line) == len(prompt) and all(c in ("_", d) for c, d in zip(prompt, line))


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
    (GOOD.replace("bold goat", "bold gota"), 11, "goat"),  # a misspelt animal, as far as g-o
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
def test_diagnose_says_where_and_why(line, position, reason):
    at, why = DETECTIVE.diagnose(line)
    assert (at, reason in why) == (position, True), why
    if len(line) <= 64 and set(line) <= set(DETECTIVE.alphabet.characters):
        assert DETECTIVE.log_prob(DETECTIVE.alphabet.encode(line.ljust(64))[None]) == -math.inf


@pytest.mark.parametrize("line", [GOOD, LEND, SOLD])
def test_good_lines_are_left_alone(line):
    assert DETECTIVE.diagnose(line) is None and DETECTIVE.diagnose(line.ljust(64)) is None
    assert DETECTIVE.log_prob(DETECTIVE.alphabet.encode(line.ljust(64))[None]) > -math.inf


def test_diagnose_log_prob_and_regular_expressions_agree_on_mutations(fables, probability):
    """600 lines with a character or a word changed, dropped, doubled or put elsewhere; some are fables still."""
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
                lambda: " ".join(words[:j] + [pick(vocabulary.split())] + words[j + 1 :]),
                lambda: " ".join(words[:j] + words[j : j + 2][::-1] + words[j + 2 :]),
            ]
        )()

    lines = [fables.alphabet.decode(x).rstrip() for x in fables.sample(600, generator)]
    lines = [line for line in map(mutate, lines) if len(line) <= 64]
    x = torch.stack([fables.alphabet.encode(line.ljust(64)) for line in lines])
    possible = [probability(line) > 0 for line in lines]
    assert (fables.log_prob(x) > -math.inf).tolist() == possible
    assert [fables.diagnose(line) is None for line in lines] == possible
    assert 5 < sum(possible) < len(lines) - 300  # both happen


# What cannot be


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="longer than 5 characters"):
        Fables(["a {:x} b"], {"x": "i ou"}, length=5)
    assert Fables(["a {:x} b"], {"x": "i ou"}, length=6).count() == 2


def test_an_unknown_list_is_named_with_those_there_are():
    with pytest.raises(ValueError, match="'beast'.*'animal', 'mood'"):
        Fables(["the {:mood} {A:beast}"], {"mood": "bold", "animal": "cat"}, length=10)


@pytest.mark.parametrize(
    "shape, message",
    [
        ("the {A} ran", r"repeats \{A\} before"),
        ("the {A} saw {A:animal}", r"repeats \{A\} before"),
        ("the {:animal", "a brace { that"),
        ("the {} ran", "a brace { that"),
        ("the animal}", "a brace } that"),
        ("the {:nobody} ran", r"'nobody'.*\['animal'\]"),
    ],
)
def test_a_shape_that_makes_no_sense_is_explained(shape, message):
    with pytest.raises(ValueError, match=message):
        Fables([shape], {"animal": "cat dog", "nobody": ""}, length=20)


def test_texts_of_another_length_have_no_probability(fables):
    with pytest.raises(ValueError, match="64 characters; these texts have 65"):
        fables.log_prob(torch.zeros(2, 65, dtype=torch.int64))


def test_the_same_seed_gives_the_same_texts(words, fables):
    for world in (words, fables):
        first, again, other = (world.sample(20, torch.Generator().manual_seed(seed)) for seed in (6, 6, 7))
        assert (first == again).all() and (first != other).any()


def test_each_fable_fits_one_of_the_prompts_and_each_prompt_some():
    world = Fables()
    fables = [world.alphabet.decode(x) for x in world.sample(500, torch.Generator().manual_seed(0))]
    patterns = {prompt: re.compile(re.escape(prompt).replace("_", "[a-z]") + " *") for prompt in world.prompts}
    told_by = [[prompt for prompt, pattern in patterns.items() if pattern.fullmatch(fable)] for fable in fables]
    assert all(len(prompts) == 1 for prompts in told_by)
    assert {prompt for (prompt,) in told_by} == set(world.prompts)
