"""The live page as a file: that the committed one is fresh, what it may hold, and which models it refuses.

What the page computes is tested in a browser: tests/browser/test_page.py.
"""

import base64
from pathlib import Path

import numpy as np
import pytest

from tinysedd import Absorbing, Alphabet, Config, Fables, LogLinear, Transformer, Words, load
from tinysedd.__main__ import main
from tinysedd.show import page

FABLES = Path(__file__).parents[1] / "data" / "fables.html"
PAIRS = Fables(["{A:letter}{A}"], {"letter": "a b"}, 2)


@pytest.mark.slow
def test_the_committed_page_is_what_the_command_writes(tmp_path):
    main(["page", "--out", str(tmp_path / "fables.html")])
    fresh = (tmp_path / "fables.html").read_bytes() == FABLES.read_bytes()
    assert fresh, "data/fables.html is out of date: python -m tinysedd page --out data/fables.html --force"


def test_the_committed_page_is_small_and_asks_for_nothing():
    html = FABLES.read_text("utf-8")
    assert FABLES.stat().st_size <= 2_500_000
    assert html.count("https://") == html.count('href="https://') == 1  # a link to the paper
    assert "default-src 'none'" in html and " src=" not in html and "<link" not in html


def test_the_edges_are_those_of_the_automaton():
    data = base64.b64decode(page(model(), PAIRS).split('id="edges">')[1].split("<")[0])
    source, target, character = np.frombuffer(data[:24], "<u2").reshape(3, 4).tolist()
    probability = np.frombuffer(data[24:], "<f4").tolist()
    edges = [(0, 0, 1, 0.5), (0, 1, 2, 0.5), (0, 0, 1, 1), (1, 0, 2, 1)]  # aa or bb; the space is character 0
    assert list(zip(source, target, character, probability)) == edges


def model(process: Absorbing | None = None, world=PAIRS, **options) -> Transformer:
    alphabet = world.alphabet
    config = Config(layers=1, heads=1, width=8, **options)
    return Transformer(process or Absorbing(len(alphabet)), config, alphabet, world.length)


class OtherModel(Transformer):
    """May compute something that the page does not know; so may the next two."""


class OtherNoise(Absorbing):
    pass


class OtherSchedule(LogLinear):
    pass


REFUSED = [
    (lambda: page(lambda x, sigma: x), "this model is a function"),  # pyright: ignore[reportArgumentType]
    (lambda: page(OtherModel(Absorbing(2), Config(), Alphabet("ab"))), "this model is a OtherModel"),
    (lambda: page(model(OtherNoise(3))), "trained on OtherNoise"),
    (lambda: page(model(Absorbing(3, OtherSchedule()))), "not OtherSchedule"),
    (lambda: page(Transformer(Absorbing(2), Config())), "no alphabet"),
    (lambda: page(model(free_scores=True)), "denoisers only; this model was trained with free_scores"),
    (lambda: page(model(causal=True)), "denoisers only; this model was trained with causal"),
    (lambda: page(load("fables"), PAIRS), "another alphabet or length"),
    (lambda: page(model(world=Words()), Words()), "exact posterior of Fables only, not of Words"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_a_page_cannot_run_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
