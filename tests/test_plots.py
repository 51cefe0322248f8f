"""Still plots: they draw what the exact tables of a world say, and they are legible."""

import io
import itertools
import math
from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.collections import LineCollection, PolyCollection, QuadMesh
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from PIL import Image

from tinysedd import Absorbing, Fables, Uniform, Words
from tinysedd.corpus import Alphabet
from tinysedd.show import MODEL, TRUTH, bars, curve, describe, heatmap, ladder
from tinysedd.train import Point

WORDS, SIGMA = Words(), 0.5
FORTY = [*WORDS.words[:40], "cat", "cot", "cog", "dog"]


def score_of(process, *states: int):
    """A text of Words, its exact log-scores, and the table p_sigma (S, S, S) they must agree with."""
    x = torch.tensor(states)
    return x, WORDS.score(process)(x[None], torch.tensor([SIGMA]))[0], WORDS.noised(process, SIGMA)


def maps(fig) -> list[np.ma.MaskedArray]:
    """The values drawn in each panel, (columns, S)."""
    return [ax.collections[0].get_array().T for ax in fig.axes[:-1] if isinstance(ax.collections[0], QuadMesh)]


def labels(ticks) -> list[str]:
    return [tick.get_text() for tick in ticks]


# Heat map


UNIFORM, ABSORBING = Uniform(26), Absorbing(26)
TEXTS = [(UNIFORM, "cat"), (UNIFORM, "xqz"), (ABSORBING, "cat"), (ABSORBING, "c_t"), (ABSORBING, "___")]


@pytest.mark.parametrize(("process", "text"), TEXTS)
def test_heatmap_draws_ratios_of_table_entries(process, text):
    x, log_score, p = score_of(process, *["abcdefghijklmnopqrstuvwxyz_".index(c) for c in text])
    (drawn,) = maps(heatmap(log_score, x, WORDS.alphabet))
    for i, y in itertools.product(range(3), range(process.num_states)):
        neighbor = x.clone()
        neighbor[i] = y
        ratio = float(p[tuple(neighbor)] / p[tuple(x)])
        reachable = y == x[i] or process.mask is None or x[i] == process.mask
        if ratio == 0 or not reachable:
            assert drawn.mask[i, y]
        else:
            assert drawn[i, y] == pytest.approx(math.log10(ratio), abs=1e-5)


def test_heatmap_labels_its_rows_and_columns_and_outlines_the_text():
    x, log_score, _ = score_of(Absorbing(26), 2, 26, 19)
    fig = heatmap(log_score, x, WORDS.alphabet, title="mine")
    ax = fig.axes[0]
    assert labels(ax.get_xticklabels()) == ["c", "·", "t"] and ax.get_title(loc="left") == "mine"
    assert labels(ax.get_yticklabels()) == [*"abcdefghijklmnopqrstuvwxyz", "·"]
    assert ax.get_ylim() == (27, 0)  # the first state is at the top
    blank = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert {patch.get_xy() for patch in blank} == {(0, 2), (1, 26), (2, 19)}
    assert {patch.get_facecolor() for patch in blank} == {(1, 1, 1, 1)}
    assert ax.patch.get_hatch() and "−inf" in str(labels(fig.legends[0].get_texts()))
    assert fig.axes[-1].get_ylabel() == "log10 of p(neighbor) / p(text)"


def test_heatmap_compares_two_maps_in_the_same_colors():
    x, log_score, _ = score_of(Uniform(26), 2, 0, 19)
    fig = heatmap(log_score, x, WORDS.alphabet, compare_to=3 * log_score, title=("learned", "exact"))
    first, second = maps(fig)
    assert np.allclose(3 * first, second)
    assert len({ax.collections[0].get_clim() for ax in fig.axes[:2]}) == 1
    assert [ax.get_title(loc="left") for ax in fig.axes[:2]] == ["learned", "exact"]


def test_all_maps_have_the_same_colors_centered_on_ratio_1():
    def color(log10_ratio: float) -> tuple[float, ...]:
        log_score = torch.tensor([[0.0, log10_ratio, -1.0, -math.inf]]) * math.log(10)
        mesh = heatmap(log_score, torch.tensor([0]), Alphabet("abcd")).axes[0].collections[0]
        return tuple(mesh.to_rgba(mesh.get_array()[1, 0]))

    assert min(color(0.0)) > 0.95  # neutral
    assert color(1.0)[0] > color(1.0)[2] and color(-1.0)[0] < color(-1.0)[2]  # red above, blue below
    assert color(3.0) == color(30.0) != color(2.0) and color(-3.0) == color(-30.0) != color(-2.0)


def test_heatmap_wraps_a_long_text_and_numbers_its_positions():
    alphabet = Alphabet("\n $ab")
    x = torch.randint(5, (130,), generator=torch.Generator().manual_seed(0))
    log_score = torch.randn(130, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    fig = heatmap(log_score, x, alphabet)
    assert np.allclose(np.concatenate(maps(fig)), log_score / math.log(10))
    columns = "".join("".join(labels(ax.get_xticklabels())) for ax in fig.axes[:3])
    assert columns == "".join("⏎ $ab"[i] for i in x)
    assert labels(fig.axes[0].get_yticklabels()) == [*"⏎␣$ab"]
    assert labels(fig.axes[1].get_xticklabels(minor=True)) == ["70", "80", "90", "100", "110", "120"]


def test_a_notebook_shows_a_figure_with_its_alt_text_once():
    shell = InteractiveShell.instance()

    def displayed(fig):
        with capture_output() as captured:
            assert shell.display_formatter.format(fig) == ({}, {})
        (output,) = captured.outputs
        image, metadata = Image.open(io.BytesIO(output.data["image/png"])), output.metadata["image/png"]
        assert image.width // 2 == metadata["width"] and plt.get_fignums() == []
        return output.data["text/plain"], metadata

    x, log_score, _ = score_of(Absorbing(26), 2, 26, 19)
    alt, metadata = displayed(heatmap(log_score, x, WORDS.alphabet, title="mine"))
    assert alt == metadata["alt"] and alt.startswith("mine: ") and "c·t" in alt and "c[" in alt
    assert not metadata["unconfined"]
    alt, metadata = displayed(describe(plt.figure(), "wide & empty", wide=True))
    assert metadata["unconfined"] and alt == metadata["alt"] == "wide & empty"
    InteractiveShell.clear_instance()


# Bars


def test_bars_show_the_same_neighbors_as_brute_force():
    x, log_score, p = score_of(Uniform(26), 2, 0, 19)
    ratios = {}
    for i, y in itertools.product(range(3), range(26)):
        if y != x[i]:
            word = [*"cat"]
            word[i] = f"[{chr(97 + y)}]"
            ratios["".join(word)] = float(p[tuple(y if j == i else int(x[j]) for j in range(3))] / p[tuple(x)])
    best = sorted(ratios, key=ratios.get, reverse=True)[:5]
    ax = bars(log_score, x, WORDS.alphabet, top=5).axes[0]
    assert labels(ax.get_yticklabels()) == best and best[0] == "ca[n]"
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([ratios[word] for word in best], rel=1e-4)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the best is at the top
    learned = bars(log_score, x, WORDS.alphabet, color=MODEL).axes[0]
    assert [to_hex(a.patches[0].get_facecolor()) for a in (ax, learned)] == [TRUTH.lower(), MODEL.lower()]
    assert f"{ratios['ca[n]']:.3g}" in labels(ax.texts)


def test_bars_leave_out_neighbors_of_ratio_0():
    x, log_score, _ = score_of(Absorbing(26), 2, 26, 19)
    ax = bars(log_score, x, WORDS.alphabet).axes[0]
    words = [word for word in WORDS.words if word[0] == "c" and word[2] == "t"]
    assert sorted(labels(ax.get_yticklabels())) == sorted(f"c[{word[1]}]t" for word in words)
    x, log_score, _ = score_of(Absorbing(26), 2, 0, 19)  # nothing is masked
    assert labels(bars(log_score, x, WORDS.alphabet).axes[0].get_yticklabels()) == ["no neighbor"]


def test_bars_show_what_is_around_the_change_in_a_long_text():
    text = "the quick brown fox jumps over the lazy dog"
    alphabet = Alphabet.of(text)
    log_score = torch.full((len(text), len(alphabet)), -math.inf)
    log_score[0, 1], log_score[18, 0], log_score[42, 2] = 3.0, 2.0, 1.0
    ax = bars(log_score, alphabet.encode(text), alphabet).axes[0]
    a, b = alphabet.characters[1:3]
    shown = [f"0: [{a}]he quick bro", "18: …ck brown fo[␣] jumps over", f"42: …the lazy do[{b}]"]
    assert [" ".join(label.split()) for label in labels(ax.get_yticklabels())] == shown
    assert len({len(label.split(": ", 1)[1]) for label in labels(ax.get_yticklabels())}) == 1  # aligned


def test_a_text_with_two_dollars_is_not_a_formula():
    alphabet = Alphabet("$_a")
    fig = bars(torch.zeros(4, 3), alphabet.encode("$_$a"), alphabet)
    fig.draw_without_rendering()
    assert "$_$[_]" in labels(fig.axes[0].get_yticklabels())


def test_undefined_ratios_are_left_out_and_explained():
    # On clean data log p(y) - log p(x) is nan or inf if x is not a word.
    x, table = WORDS.alphabet.encode("caq"), WORDS.score_table(Uniform(26), 0.0)
    log_score = table[tuple(x)]
    assert log_score.isnan().any() and (log_score == math.inf).any()
    fig = heatmap(log_score, x, WORDS.alphabet)
    assert maps(fig)[0].mask.all() and ", or p(text) = 0" in fig.legends[0].get_texts()[1].get_text()
    assert labels(bars(log_score, x, WORDS.alphabet).axes[0].get_yticklabels()) == ["no neighbor"]


# Ladder


def test_ladder_connects_exactly_the_words_that_differ_in_one_character():
    fig = ladder(FORTY)
    ax = fig.axes[0]
    at = {tuple(np.round(text.get_position(), 6)): text.get_text() for text in ax.texts}
    (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
    drawn = [frozenset(at[tuple(np.round(end, 6))] for end in segment) for segment in lines.get_segments()]
    pairs = itertools.combinations(dict.fromkeys(FORTY), 2)
    expected = {frozenset(pair) for pair in pairs if sum(a != b for a, b in zip(*pair)) == 1}
    assert set(drawn) == expected and len(drawn) == len(expected) > 20


@pytest.mark.parametrize("words", [FORTY, WORDS.words[:100], ["cat", "bat", "hat", "mat"], ["cat"], ["cat", "dog"]])
def test_words_in_a_ladder_do_not_overlap_and_stay_in_the_figure(words):
    fig = ladder(words)
    fig.draw_without_rendering()
    boxes = [text.get_window_extent() for text in fig.axes[0].texts]
    assert len(boxes) == len(set(words))
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(fig.bbox.containsx(box.x0) and fig.bbox.containsx(box.x1) for box in boxes)
    assert all(fig.bbox.containsy(box.y0) and fig.bbox.containsy(box.y1) for box in boxes)


def test_ladder_numbers_the_steps_of_a_path():
    ax = ladder(["cat", "cot", "dot"], highlight=["cat", "cot", "cat", "dog"]).axes[0]
    words = {text.get_text(): text.get_position() for text in ax.texts if text.get_text().isalpha()}
    steps = {text.get_text(): text.xy for text in ax.texts if not text.get_text().isalpha()}
    assert set(words) == {"cat", "cot", "dot", "dog"}
    assert {number: [word for word in words if tuple(words[word]) == tuple(xy)] for number, xy in steps.items()} == {
        "0,2": ["cat"], "1": ["cot"], "3": ["dog"]
    }  # fmt: skip
    assert [line.get_linestyle() for line in ax.lines] == ["-", "-", ":"]  # cat to dog changes two characters


def test_no_other_word_is_on_a_stroke_of_the_path():
    path = ["cat", "cot", "dot", "dog"]
    near = [word for word in WORDS.words if min(sum(a != b for a, b in zip(word, step)) for step in path) <= 1]
    fig = ladder(near, highlight=path)
    fig.draw_without_rendering()
    for line in fig.axes[0].lines:
        stroke = line.get_path().transformed(line.get_transform())
        boxes = [text.get_window_extent() for text in fig.axes[0].texts if text.get_text().isalpha()]
        assert sum(stroke.intersects_bbox(box, filled=False) for box in boxes) == 2


# Curve


def test_curve_draws_points_with_standard_errors_and_the_exact_value():
    points = [Point(step, 2.0 * step, 9.0, 3.0 / step, 0.01) for step in (1, 10, 100)]
    ax = curve({"mine": points, "pairs": [(1, 2.0), (50, 0.5)]}, exact=0.02).axes[0]
    mine, pairs, exact = ax.lines
    assert mine.get_xdata().tolist() == [2, 20, 200] and mine.get_ydata().tolist() == [3, 0.3, 0.03]
    assert pairs.get_xdata().tolist() == [1, 50] and exact.get_ydata() == [0.02, 0.02]
    (band,) = [c for c in ax.collections if isinstance(c, PolyCollection)]
    assert band.get_paths()[0].vertices[:, 1].max() == pytest.approx(3.01)
    assert labels(ax.get_legend().get_texts()) == ["mine", "pairs", "exact: 0.02"]
    assert mine.get_linestyle() != pairs.get_linestyle() and mine.get_marker() != pairs.get_marker()
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("log", "log", "seconds")


def test_curve_has_linear_axes_if_values_are_close_or_0():
    points = [Point(step, 0.0, 9.0, 2.0 - step / 100, 0.1) for step in (0, 50, 100)]
    ax = curve({"mine": points}, x="step").axes[0]
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("linear", "linear", "step")
    assert ax.lines[0].get_xdata().tolist() == [0, 50, 100]


# All plots


@cache
def a_fable():
    fables = Fables()
    x = fables.sample(1, torch.Generator().manual_seed(0))
    return fables.score(Uniform(len(fables.alphabet)))(x, torch.tensor([SIGMA]))[0], x[0], fables.alphabet


def a_word():
    x, log_score, _ = score_of(Uniform(26), 2, 0, 19)
    return log_score, x, WORDS.alphabet


def many_states():
    log_score = torch.randn(80, 66, generator=torch.Generator().manual_seed(0))
    return log_score, torch.arange(80) % 65, Alphabet("".join(map(chr, range(60, 125))))


FIGURES = {
    "words": lambda: heatmap(*a_word()),
    "words, compared": lambda: heatmap(*a_word(), compare_to=a_word()[0]),
    "fables, compared": lambda: heatmap(*a_fable(), compare_to=a_fable()[0]),
    "66 states": lambda: heatmap(*many_states()),
    "bars": lambda: bars(*a_word()),
    "long bars": lambda: bars(*a_fable()),
    "ladder": lambda: ladder(FORTY, highlight=["cat", "cot", "cog", "dog"]),
    "curve": lambda: curve({"mine": [(1, 2.0), (9, 1.0)]}, exact=0.5),
}


SLOW = {"fables, compared"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in FIGURES])
def test_a_figure_fits_a_notebook_and_is_legible(name):
    fig = FIGURES[name]()
    assert fig.get_figwidth() <= 8.5 and plt.get_fignums() == []  # an open figure would be displayed twice
    fig.draw_without_rendering()
    texts = [text for text in fig.findobj(Text) if text.get_text().strip() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 8
    rows = [[text for text in ax.get_xticklabels() if text.get_text().strip()] for ax in fig.axes]
    for a, b in [pair for row in rows for pair in zip(row, row[1:])]:
        assert a.get_window_extent().x1 <= b.get_window_extent().x0 + 0.5
