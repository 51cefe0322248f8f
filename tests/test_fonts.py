"""Characters that DejaVu Sans Mono lacks: drawn with another font, or replaced and named once.

The fonts used here come with matplotlib: DejaVu Sans has Hebrew. No font that is used has private characters.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.text import Text
from PIL import Image, ImageDraw
from test_show import by_hand

from tinysedd.corpus import Alphabet
from tinysedd.show import bars, fonts, heatmap, save
from tinysedd.show.frames import SETTLED
from tinysedd.show.pictures import PAPER, Pen

HEBREW, NOWHERE = "שלום", "\U000eff00\U000eff01"  # the last two are private: no font has a picture of them


@pytest.fixture(autouse=True)
def nothing_was_warned_of(monkeypatch):
    monkeypatch.setattr(fonts, "_warned", set())


def drawn(c: str) -> np.ndarray:
    """What the pen writes into the cell of a character."""
    pen = Pen(28)
    image = Image.new("RGB", (3 * pen.width, pen.height), PAPER)
    pen.write(ImageDraw.Draw(image), pen.width, 0, c, SETTLED)
    return np.asarray(image.convert("L"))


def test_hebrew_is_drawn_with_a_font_that_has_it():
    assert all(fonts.find(c)[1] == "DejaVu Sans" for c in HEBREW)
    assert fonts.find("a")[1] == fonts.find("é")[1] == "DejaVu Sans Mono"
    assert fonts.families(["abc", HEBREW]) == ["DejaVu Sans Mono", "DejaVu Sans"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures = [drawn(c) for c in HEBREW]
    width = Pen(28).width
    for picture in pictures:
        assert (picture < 128).sum() > 20  # ink
        assert (picture[:, :width] > 200).all() and (picture[:, 2 * width :] > 200).all()  # all of it inside the cell
    assert len({picture.tobytes() for picture in pictures}) == 4  # four letters, not four boxes


def test_a_character_that_no_font_has_is_named_once_and_replaced():
    with pytest.warns(UserWarning, match=r"no installed font has '\\U000eff00' \(no name\), .* shows \ufffd in place"):
        assert fonts.drawable(f"a{NOWHERE}b") == "a\ufffd\ufffdb"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fonts.drawable(NOWHERE) == "\ufffd\ufffd"


@pytest.mark.parametrize("ending", ["png", "gif"])
def test_one_warning_for_a_whole_picture(tmp_path, monkeypatch, ending):
    find = fonts.find
    monkeypatch.setattr(fonts, "find", lambda c: None if c in "жю" else find(c))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        save(by_hand(["####"], ["#ж#b"], ["aжюb"]), tmp_path / f"x.{ending}")
    (warning,) = found
    assert "CYRILLIC SMALL LETTER ZHE" in str(warning.message) and "CYRILLIC SMALL LETTER YU" in str(warning.message)


def test_heat_maps_and_bars_use_the_fonts_that_are_needed():
    alphabet = Alphabet(HEBREW + "abc")
    x, log_score = torch.arange(4), torch.zeros(4, 8)
    for fig in (heatmap(log_score, x, alphabet), bars(log_score, x, alphabet)):
        for text in fig.findobj(Text):
            if set(text.get_text()) & set(HEBREW):
                assert "DejaVu Sans" in text.get_family()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # matplotlib warns of a missing character
            fig.canvas.draw()
        plt.close(fig)


def test_a_heat_map_of_3000_characters_shows_the_best_and_those_of_the_text():
    """The 60 largest ratios are put where we know them. Characters without a font get one stand-in and one warning."""
    alphabet = Alphabet("".join(map(chr, range(0x100, 0x100 + 3000))))
    x, log_score = torch.tensor([5, 2999, 7]), torch.full((3, 3001), -5.0)
    log_score[1, 1000:1060] = 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fig = heatmap(log_score, x, alphabet)
    assert max(fig.get_size_inches()) < 12
    (axes,) = [axes for axes in fig.axes if axes.get_ylabel().startswith("new")]
    assert axes.get_ylabel() == "new character (63 of 3000)"
    shown = [label.get_text().strip() for label in axes.get_yticklabels()]
    expected = [alphabet.characters[i] for i in (5, 7, *range(1000, 1060), 2999)]
    assert [a for a, b in zip(shown, expected) if a != "\ufffd"] == [
        b for a, b in zip(shown, expected) if a != "\ufffd"
    ]
    assert len(shown) == 63 and shown[0] == expected[0]
