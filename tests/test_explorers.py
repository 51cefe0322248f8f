"""Explorers: their controls follow the score function, and no input breaks them or loses the picture."""

import base64
import io
import math
import re
import statistics
import time
from collections import Counter
from html import unescape
from html.parser import HTMLParser

import ipywidgets
import numpy as np
import pytest
import torch
from matplotlib import colormaps
from PIL import Image

from tinysedd import Absorbing, Alphabet, Fables, LogLinear, Uniform, Words
from tinysedd.fast.sampling import SAMPLERS, best_sampler, sample
from tinysedd.show import explore_denoising, explore_neighbors, explore_noise

WORDS, FABLES = Words(), Fables()
LETTERS = WORDS.alphabet
UNIFORM, ABSORBING = Uniform(26), Absorbing(26)
LINES = [FABLES.alphabet.decode(x) for x in FABLES.sample(2, torch.Generator().manual_seed(0))]


def controls(explorer) -> dict:
    """All controls by their description."""
    return {control.description: control for row in explorer.widget.children[:-2] for control in row.children}


class Picture(HTMLParser):
    """What a reader sees of an explorer: the texts with their marks, the bars, and the score map."""

    def __init__(self, explorer):
        super().__init__()
        self.tags, self.lines, self.words, self.maps, self.label, self.open = set(), [], [], [], "", []
        self.feed(explorer.picture.value)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.add(tag)
        if tag == "image":
            self.maps.append(Image.open(io.BytesIO(base64.b64decode(attributes["href"].split(",")[1]))))
        if tag not in ("br", "image", "path"):
            self.open.append((tag, attributes.get("class")))
        if ("div", "grid") in self.open[:-1] and tag == "div":
            self.lines.append(["", ""])
        self.label = attributes.get("aria-label", self.label)

    def handle_endtag(self, tag):
        if tag not in ("image", "path"):
            assert self.open.pop()[0] == tag

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)

    def handle_data(self, data):
        if self.open and ("div", "grid") in self.open and self.open[-1][0] == "span":
            self.lines[-1][0] += data
            self.lines[-1][1] += self.open[-1][1] * len(data)
        elif self.open and self.open[-1][0] != "style":
            self.words.append(data)

    @property
    def pixels(self) -> torch.Tensor:
        """The colors (L, S, 4) of the whole map."""
        return torch.cat([torch.tensor(np.asarray(image)) for image in self.maps], 1).transpose(0, 1).int()


def message(explorer) -> str:
    return unescape(re.sub("<.*?>", "", explorer.message.value))


def exact(process, text: str, sigma: float) -> dict[str, float]:
    """The ratio of each neighbor of a text of Words, from the table p_sigma."""
    p, x = WORDS.noised(process, sigma), ["abcdefghijklmnopqrstuvwxyz_".index(c) for c in text]
    ratios = {}
    for i in range(3):
        for y in range(process.num_states):
            if y != x[i] and process.mask in (None, x[i]):
                ratios[text[:i] + (LETTERS.characters + "_")[y] + text[i + 1 :]] = float(
                    p[tuple(y if j == i else x[j] for j in range(3))] / p[tuple(x)]
                )
    return ratios


def neighbors(text="cat", process=UNIFORM, sigma=0.5):
    return explore_neighbors(WORDS.score(process), process, LETTERS, text, sigma=sigma)


# Neighbors


@pytest.mark.parametrize(
    ("text", "process"), [("cat", UNIFORM), ("xqz", UNIFORM), ("c__", ABSORBING), ("___", ABSORBING)]
)
def test_best_jump_goes_to_the_best_neighbor_in_the_table(text, process):
    explorer = neighbors(text, process)
    for sigma in (0.5, 0.05, 3.0):
        controls(explorer)["Total noise σ"].value = sigma
        ratios = exact(process, text, controls(explorer)["Total noise σ"].value)
        controls(explorer)["Jump to the best neighbor"].click()
        text, before = controls(explorer)["Text"].value, text
        assert ratios[text] == pytest.approx(max(ratios.values()), rel=1e-5) and not explorer.message.value
        [[shown, marks]] = Picture(explorer).lines
        assert shown == text.replace("_", "·")
        assert [mark == "c" for mark in marks] == [a != b for a, b in zip(text, before)]
        if process.mask and "_" not in text:
            break


def test_random_jump_takes_neighbors_in_proportion_to_their_ratios(chance):
    explorer, ratios = neighbors("cat"), exact(UNIFORM, "cat", 0.5)
    explorer.draw = lambda: ""  # 400 pictures that this test does not look at
    use, seen = controls(explorer), Counter()
    for _ in range(200):
        use["Jump at random"].click()
        seen[use["Text"].value] += 1
        use["Back"].click()
        assert use["Text"].value == "cat"
    assert set(seen) <= set(ratios)
    counts, weights = torch.tensor([seen[word] for word in ratios]), torch.tensor(list(ratios.values()))
    assert chance(counts, weights) > 1e-4


def test_picture_shows_the_ratios_and_colors_only_possible_jumps():
    picture, ratios = Picture(neighbors("c_t", ABSORBING)), exact(ABSORBING, "c_t", 0.5)
    words = [word for word, ratio in ratios.items() if ratio > 0]
    colored = (picture.pixels[..., 3] > 0).nonzero().tolist()
    text = [[0, 2], [1, 26], [2, 19]]
    assert sorted(colored) == sorted(text + [[1, ord(word[1]) - 97] for word in words])
    best = max(ratios, key=ratios.get)
    assert picture.label.endswith(f"best neighbor c[{best[1]}]t, ratio {ratios[best]:.3g}")
    brightness = picture.pixels[1, :26, :3].sum(-1)
    assert brightness.argmax() == ord(best[1]) - 97
    for word in words:
        assert picture.words[picture.words.index(f"c[{word[1]}]t") + 1] == f"{ratios[word]:.3g}"


def test_back_goes_through_all_texts_and_stops_at_the_first():
    explorer = neighbors("cat")
    use = controls(explorer)
    use["Text"].value = "dog"
    use["Jump to the best neighbor"].click()
    use["Text"].value = "way"
    texts = []
    for _ in range(4):
        use["Back"].click()
        texts.append(use["Text"].value)
    assert texts[1:] == ["dog", "cat", "cat"] and len(texts[0]) == 3 and texts[0] != "dog"
    assert "first text" in message(explorer)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("ca", "2 characters; here it must have 3"), ("c4t", "'4' at position 1"), ("c_t", "mask"), ("", "0 characters")],
)
def test_a_typo_is_reported_and_the_picture_stays(typed, expected):
    explorer = neighbors("cat")
    use, before = controls(explorer), explorer.picture.value
    use["Text"].value = typed
    assert expected in message(explorer) and explorer.picture.value == before
    use["Back"].click()
    assert use["Text"].value == "cat" and not explorer.message.value
    use["Text"].value = typed
    use["Text"].value = "dog"
    assert not explorer.message.value and Picture(explorer).lines[0][0] == "dog"


def test_a_jump_without_possible_neighbors_is_reported():
    explorer = neighbors("cat", ABSORBING)  # nothing is masked
    for name in ("Jump to the best neighbor", "Jump at random"):
        controls(explorer)[name].click()
        assert "no jump from here" in message(explorer) and controls(explorer)["Text"].value == "cat"
    assert Picture(explorer).label.endswith("no jump is possible")


def test_an_error_in_a_score_function_is_reported():
    def score(x, sigma):
        if sigma > 1:
            raise RuntimeError("shapes <3> do not match")
        return WORDS.score(UNIFORM)(x, sigma)

    explorer = explore_neighbors(score, UNIFORM, LETTERS, "cat")
    controls(explorer)["Total noise σ"].value = 2.0
    assert "RuntimeError: shapes &lt;3&gt; do not match" in explorer.message.value
    assert Picture(explorer).lines[0][0] == "cat"


def test_text_cannot_become_html():
    alphabet, text = Alphabet("<>&\"'b\n /"), "<b>&\"'\n</b>"
    process = Uniform(len(alphabet))

    def score(x, sigma):
        return torch.zeros(*x.shape, len(alphabet), dtype=torch.float64).scatter(-1, x[..., None], 0.0)

    explorer = explore_neighbors(score, process, alphabet, text)
    picture = Picture(explorer)
    assert picture.lines == [[text.replace("\n", "⏎"), "s" * len(text)]]
    assert "b" not in picture.tags and "[>]b>&\"'⏎</b>" in picture.label and "[>]b>&\"'⏎</b>" in picture.words
    controls(explorer)["Text"].value = "<script>"
    assert "<script>" not in explorer.message.value
    assert Picture(explore_noise(process, alphabet, [text])).tags <= picture.tags


def test_a_text_with_line_breaks_can_be_typed():
    alphabet = Alphabet("\nab")
    explorer = explore_neighbors(lambda x, sigma: torch.zeros(*x.shape, 3), Uniform(3), alphabet, "a\nb")
    assert controls(explorer)["Text"].value == "a⏎b"
    controls(explorer)["Text"].value = "⏎⏎b"
    assert not explorer.message.value and Picture(explorer).lines[0][0] == "⏎⏎b"


# Noise


def noised(explorer, t: float) -> list[list[str]]:
    controls(explorer)["Time t"].value = t
    return Picture(explorer).lines


@pytest.mark.parametrize("process", [Absorbing, Uniform])
def test_more_time_only_adds_noise(process):
    explorer = explore_noise(process(len(FABLES.alphabet)), FABLES.alphabet, LINES)
    hit, shown = set(), {}
    for t in [0.0, 0.1, 0.11, 0.3, 0.5, 0.8, 1.0]:
        lines = noised(explorer, t)
        now = {(row, i) for row, (_, marks) in enumerate(lines) for i, mark in enumerate(marks) if mark != "s"}
        assert hit <= now and all(lines[row][0][i] == c for (row, i), c in shown.items())
        hit, shown = now, {(row, i): lines[row][0][i] for row, i in now}
        assert abs(len(hit) / 128 - t) < 0.16  # four standard errors
        assert all(
            text[i] == LINES[row][i] for row, (text, _) in enumerate(lines) for i in range(64) if (row, i) not in hit
        )
    assert len(hit) > 120


def test_both_processes_hit_the_same_characters_and_show_how_many():
    absorbing, uniform = Absorbing(len(FABLES.alphabet)), Uniform(len(FABLES.alphabet))
    explorer = explore_noise(absorbing, FABLES.alphabet, LINES, other=uniform)
    lines = Picture(explorer).lines
    masked, changed = ("".join(marks for _, marks in half) for half in (lines[:2], lines[2:]))
    assert all(a == "m" for a, b in zip(masked, changed) if b == "c")
    assert changed.count("c") > 0.8 * masked.count("m") > 20
    sigma = float(LogLinear().total(0.3))
    percentage = f"{100 * masked.count('m') / 128:.0f}%"
    assert f"Absorbing   σ = {sigma:.2f}   hit probability 30%   changed {percentage}" in Picture(explorer).words


def test_new_noise_differs_and_a_seed_repeats_it():
    first, second = (explore_noise(ABSORBING, LETTERS, ["cat" * 20]) for _ in range(2))
    before = noised(first, 0.5)
    assert before == noised(second, 0.5)
    controls(first)["New noise"].click()
    assert Picture(first).lines != before
    assert Picture(first).lines == noised(explore_noise(ABSORBING, LETTERS, ["cat" * 20], seed=1), 0.5)


def test_texts_of_different_lengths_are_rejected():
    with pytest.raises(ValueError, match="same length"):
        explore_noise(UNIFORM, LETTERS, ["cat", "ant", "lion"])


# Denoising


@pytest.mark.parametrize("process", [ABSORBING, UNIFORM], ids=["absorbing", "uniform"])
def test_each_step_shows_the_text_the_jumps_and_the_scores_at_that_time(process):
    score = WORDS.score(process)
    explorer = explore_denoising(score, process, steps=6, seed=3)
    written = sample(score, process, length=3, steps=6, generator=torch.Generator().manual_seed(3))
    assert controls(explorer)["Step"].max == len(written.states) - 1
    for step in range(len(written.states)):
        controls(explorer)["Step"].value = step
        picture, words = Picture(explorer), " ".join(Picture(explorer).words)
        assert picture.lines[0][0] == written.texts_at(step)[0].replace("_", "·")
        x, t = written.states[step], written.times[step]
        log_score = score(x, process.schedule.total(t.clamp(min=1e-3))[None].float())[0]
        drawn = picture.pixels[..., 3] > 0
        assert (drawn == (log_score > -torch.inf)).all()
        colors = torch.tensor(colormaps["RdBu_r"]((log_score / math.log(10) + 3).clamp(0, 6).numpy() / 6, bytes=True))
        assert ((picture.pixels - colors.int())[drawn].abs() <= 2).all()
        for i in range(3) if step else []:
            old, new = (written.texts_at(k)[0][i].replace("_", "·") for k in (step - 1, step))
            assert (f"position {i}: {old} → {new}" in words) == (old != new)
    assert "pure noise" not in words


def test_sample_uses_the_settings():
    process = Absorbing(len(FABLES.alphabet))
    explorer = explore_denoising(FABLES.score(process), process, steps=8, world=FABLES)
    use, prompt = controls(explorer), "in came a _____, proud as a duck. it jogged. out went the _____."
    use["Prompt"].value, use["Seed"].value, use["Sampler"].value, use["Steps"].value = prompt, 7, "first_hitting", 10
    use["Sample"].click()
    assert use["Step"].max == 10 and not explorer.message.value
    use["Step"].value = 10
    text, marks = Picture(explorer).lines[0]
    assert marks.count("g") == len(prompt.replace("_", "")) and FABLES.diagnose(text) is None
    expected = sample(FABLES.score(process), process, prompt=prompt, steps=10, sampler="first_hitting",
                      generator=torch.Generator().manual_seed(7))  # fmt: skip
    assert text == expected.texts[0]
    p = FABLES.log_prob(FABLES.alphabet.encode(text)[None]).exp().item()
    assert f"✓ possible in this world: 1 in {1 / p:,.0f} texts" in Picture(explorer).words


def test_sampling_with_fewer_steps_than_the_slider_shows():
    explorer = explore_denoising(WORDS.score(ABSORBING), ABSORBING, steps=20)
    use = controls(explorer)
    use["Step"].value, use["Steps"].value = 20, 2
    use["Sample"].click()
    assert use["Step"].value == use["Step"].max == 2 and not explorer.message.value
    assert "step 2 / 2" in explorer.picture.value


def test_the_world_explains_why_a_text_is_impossible():
    process = Uniform(len(FABLES.alphabet))
    explorer = explore_denoising(FABLES.score(process), process, world=FABLES, steps=2, prompt="zzzz")
    controls(explorer)["Step"].value = 2
    position, reason = FABLES.diagnose(Picture(explorer).lines[0][0])
    assert f"✗ impossible in this world; position {position}: {reason}" in Picture(explorer).words


def test_a_bad_prompt_is_reported_and_the_text_stays():
    explorer = explore_denoising(WORDS.score(ABSORBING), ABSORBING, steps=4)
    use, before = controls(explorer), Picture(explorer).lines
    for prompt, expected in [("cats", "4 characters; there is room for 3"), ("c4_", "'4' at position 1")]:
        use["Prompt"].value = prompt
        use["Sample"].click()
        assert expected in message(explorer) and Picture(explorer).lines == before
    use["Step"].value = 0
    assert Picture(explorer).lines[0][0] == "···" and not explorer.message.value


def test_only_samplers_that_work_with_the_process_are_offered():
    uniform = controls(explore_denoising(WORDS.score(UNIFORM), UNIFORM, steps=4))["Sampler"]
    assert uniform.options == ("euler", "tweedie") and uniform.value == best_sampler(UNIFORM)
    absorbing = controls(explore_denoising(WORDS.score(ABSORBING), ABSORBING, steps=4))["Sampler"]
    assert absorbing.options == tuple(SAMPLERS) and absorbing.value == best_sampler(ABSORBING)
    with pytest.raises(ValueError, match="'first_hitting' does not work with Uniform: use one of euler, tweedie"):
        explore_denoising(WORDS.score(UNIFORM), UNIFORM, sampler="first_hitting")


def test_a_missing_alphabet_is_reported():
    with pytest.raises(ValueError, match="pass alphabet="):
        explore_denoising(lambda x, sigma: WORDS.score(ABSORBING)(x, sigma), ABSORBING, length=3)


def test_the_score_function_is_called_once_per_step_looked_at():
    calls = []

    def score(x, sigma):
        calls.append(float(sigma[0]))
        return WORDS.score(ABSORBING)(x, sigma)

    explorer = explore_denoising(score, ABSORBING, alphabet=LETTERS, length=3, sampler="tweedie", steps=10)
    step = controls(explorer)["Step"]
    step.value = 2
    calls.clear()
    for value in (3, 2, 3, 2, 3):
        step.value = value
    assert calls == pytest.approx([float(LogLinear().total(0.7))])


# All explorers


FABLES_UNIFORM = Uniform(len(FABLES.alphabet))
EXPLORERS = {
    "neighbors": lambda: neighbors("cat"),
    "masked neighbors": lambda: neighbors("c_t", ABSORBING),
    "fables": lambda: explore_neighbors(FABLES.score(FABLES_UNIFORM), FABLES_UNIFORM, FABLES.alphabet, LINES[0]),
    "noise": lambda: explore_noise(Absorbing(len(FABLES.alphabet)), FABLES.alphabet, LINES, other=FABLES_UNIFORM),
    "denoising": lambda: explore_denoising(FABLES.score(FABLES_UNIFORM), FABLES_UNIFORM, world=FABLES, steps=8),
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n == "fables")) for n in EXPLORERS])
def test_an_explorer_has_a_picture_even_without_a_kernel(name):
    bundle, metadata = EXPLORERS[name]()._repr_mimebundle_()
    assert metadata["image/png"]["alt"]
    assert set(bundle) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).convert("L")
    assert metadata["image/png"]["unconfined"] == (name in ("fables", "denoising"))  # 64 columns: scrolled on a phone
    assert 300 < image.width <= 900 and image.getextrema()[0] < 100 and image.getextrema()[1] == 255
    assert len(bundle["image/png"]) < 120_000


@pytest.mark.parametrize("name", EXPLORERS)
def test_controls_are_named_and_never_replaced_so_they_keep_the_focus(name):
    explorer = EXPLORERS[name]()
    before = controls(explorer)
    assert "" not in before and len(before) == sum(len(row.children) for row in explorer.widget.children[:-2])
    for control in before.values():
        if isinstance(control, ipywidgets.Button):
            control.click()
    assert list(controls(explorer).values()) == list(before.values())
    assert Picture(explorer).lines


@pytest.mark.parametrize(("name", "control"), [("neighbors", "Total noise σ"), ("fables", "Total noise σ"),
                                           ("noise", "Time t"), ("denoising", "Step")])  # fmt: skip
def test_a_slider_step_feels_immediate(name, control):
    explorer = EXPLORERS[name]()
    slider, seconds = controls(explorer)[control], []
    for i in range(1, 8):
        before, started = explorer.picture.value, time.process_time()
        slider.value = i if control == "Step" else i / 10
        seconds.append(time.process_time() - started)
        assert explorer.picture.value != before and not explorer.message.value
    assert statistics.median(seconds) < 0.1 and len(explorer.picture.value) < 100_000


def test_noise_levels_are_total_noise():
    assert math.isclose(controls(neighbors(sigma=0.2))["Total noise σ"].value, 0.2, rel_tol=0.03)
