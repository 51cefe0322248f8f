"""A player works the same in JupyterLab, in a notebook exported to HTML, and in a page written by the command."""

import re

import pytest

from .needs import Locator, expect

MASK = re.compile("·")


class Player:
    def __init__(self, root: Locator):
        self.root = root
        self.play, self.back, self.forward = (root.get_by_role("button").nth(i) for i in range(3))
        self.slider, self.caption, self.grid = map(root.locator, ("input", ".caption", ".grid"))
        self.last = int(self.slider.get_attribute("max"))

    def is_at(self, step: int):
        expect(self.caption).to_have_text(re.compile(f"^step {step} / {self.last} "))


@pytest.fixture(scope="module", params=["lab", "exported", "saved"])
def untouched(request) -> Player:
    place = request.getfixturevalue(request.param)
    page = place("00_first_look") if request.param == "lab" else place
    return Player(page.locator("[data-trajectory]").first)


@pytest.fixture
def player(untouched) -> Player:
    """A player at its last step."""
    untouched.slider.press("End")
    untouched.is_at(untouched.last)
    return untouched


def test_it_starts_at_the_last_step_and_does_not_play(untouched):
    untouched.is_at(untouched.last)
    expect(untouched.play).to_have_text("Play")
    expect(untouched.root.locator(".legend")).to_contain_text("just changed")
    expect(untouched.root.locator("details")).not_to_have_attribute("open", "")


def test_back_and_forward(player):
    expect(player.grid).not_to_have_text(MASK)
    player.back.click()
    player.is_at(player.last - 1)
    expect(player.grid).to_have_text(MASK)
    player.forward.click()
    player.is_at(player.last)
    expect(player.grid).not_to_have_text(MASK)
    player.forward.click()
    player.is_at(player.last)


def test_slider_by_keyboard(player):
    player.slider.press("Home")
    player.is_at(0)
    expect(player.caption).to_contain_text("100% masked")
    expect(player.grid).to_have_text(re.compile("^·+$"))
    player.slider.press("ArrowRight")
    player.is_at(1)
    expect(player.grid).to_have_text(re.compile(r"^·*[^·]"))
    expect(player.slider).to_have_attribute("aria-valuetext", player.caption.text_content())
    player.slider.press("ArrowLeft")
    player.is_at(0)
    player.slider.press("End")
    player.is_at(player.last)
    expect(player.grid).not_to_have_text(MASK)


def test_slider_by_mouse(player):
    player.slider.click()  # in its middle
    player.is_at(player.last // 2)


def test_buttons_by_keyboard(player):
    player.play.focus()
    for part in (player.back, player.forward, player.slider, player.root.locator("summary")):
        player.root.page.keyboard.press("Tab")
        expect(part).to_be_focused()
    player.back.press("Space")
    player.is_at(player.last - 1)
    player.forward.press("Enter")
    player.is_at(player.last)


def test_play_starts_over_and_can_be_paused(player):
    player.play.press("Enter")
    expect(player.play).to_have_text("Pause")
    expect(player.caption).to_have_text(re.compile(r"^step [1-9]\d? "))
    player.play.click()
    expect(player.play).to_have_text("Play")
    player.forward.click()
    expect(player.play).to_have_text("Play")


def test_play_ends_at_the_last_step(player):
    for _ in range(2):
        player.back.click()
    player.is_at(player.last - 2)
    player.play.click()
    expect(player.play).to_have_text("Play")
    player.is_at(player.last)
