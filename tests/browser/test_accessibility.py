"""Every control and picture has an accessible name, and nothing moves by itself."""

import pytest

from .test_lab import NOTEBOOKS

# Left out: PNG outputs of cells, because JupyterLab and nbconvert drop their alt text.
NAMELESS = """() => {
  const find = (selector) => [...document.querySelectorAll(selector)]
    .filter((element) => element.closest(".jp-OutputArea-output, .tinysedd-player") && element.checkVisibility());
  const named = (element) => element.ariaLabel || element.title || element.labels?.length;
  return [
    ...find("button").filter((element) => !element.textContent.trim() && !named(element)),
    ...find("input, select, textarea, [role=img]").filter((element) => !named(element)),
    ...find("img:not(.jp-RenderedImage img)").filter((element) => !element.alt),
  ].map((element) => element.outerHTML.slice(0, 200));
}"""
MOVING = """() => document.getAnimations().map((animation) => animation.effect.target)
    .concat(...document.querySelectorAll("[autoplay], marquee"))
    .filter((element) => element.closest(".jp-OutputArea-output, .tinysedd-player"))
    .map((element) => element.outerHTML.slice(0, 200))"""


@pytest.mark.parametrize("place", [*NOTEBOOKS, "exported", "saved"])
def test_everything_has_an_accessible_name_and_nothing_moves(place, request):
    page = request.getfixturevalue("lab")(place) if place in NOTEBOOKS else request.getfixturevalue(place)
    assert page.locator("button:visible").count() > 0
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate(MOVING) == []
