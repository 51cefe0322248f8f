"""Explorers in JupyterLab, by keyboard, mouse and typing: Python recomputes, and the picture follows."""

import re
from collections.abc import Callable

import pytest

from .needs import Locator, Page, expect


class Explorer:
    """The first explorer on a page that has a given button."""

    def __init__(self, page: Page, button: str):
        with_button = page.locator(".widget-vbox").filter(has=page.get_by_role("button", name=button, exact=True))
        self.root = with_button.first
        self.picture = self.root.locator(".widget-html").last
        self.text, self.caption = self.picture.locator(".grid").first, self.picture.locator(".caption").first
        self.alert = self.root.get_by_role("alert")
        expect(self.text).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def slider(self, label: str) -> Locator:
        return self.root.locator(".widget-slider").filter(has_text=label)

    def press(self, label: str, key: str, value: str | None = None):
        """Press a key on a slider, which should then show the value."""
        self.slider(label).locator(".noUi-handle").press(key)
        if value is not None:
            expect(self.slider(label).locator(".widget-readout")).to_have_text(value)

    def click_middle(self, label: str):
        self.slider(label).locator(".noUi-base").click()

    def type(self, label: str, text: str):
        self.root.get_by_label(label, exact=True).fill(text)
        self.root.get_by_label(label, exact=True).press("Enter")

    def changes(self, action: Callable, *arguments):
        """Check that an action changes the text of the picture."""
        before = None
        while before != (before := self.picture.inner_text()):  # earlier actions may still be running
            self.picture.page.wait_for_timeout(500)
        expect(self.picture).to_have_text(before, use_inner_text=True)
        action(*arguments)
        expect(self.picture).not_to_have_text(before, use_inner_text=True)


@pytest.fixture(scope="module")
def neighbors(lab) -> Explorer:
    return Explorer(lab("02_hamming_neighbours"), "Jump at random")


@pytest.fixture(scope="module")
def noise(lab) -> Explorer:
    return Explorer(lab("03_forward_noising"), "New noise")


@pytest.fixture(scope="module")
def denoising(lab) -> Explorer:
    return Explorer(lab("06_reverse_denoising"), "Sample")


def test_neighbors_follow_the_noise_level(neighbors):
    neighbors.changes(neighbors.press, "σ", "End", "10.0")
    neighbors.changes(neighbors.press, "σ", "Home", "0.00100")
    neighbors.press("σ", "ArrowRight", "0.00105")
    neighbors.changes(neighbors.click_middle, "σ")


def test_jumping_to_neighbors(neighbors):
    neighbors.press("σ", "End")  # where every neighbor has a score
    first = neighbors.text.text_content()
    for jump in ("Jump to the best neighbor", "Jump at random"):
        neighbors.button(jump).click()
        expect(neighbors.text).not_to_have_text(first)
        expect(neighbors.root.get_by_label("Text")).to_have_value(neighbors.text.text_content())
        neighbors.button("Back").click()
        expect(neighbors.text).to_have_text(first)
        expect(neighbors.root.get_by_label("Text")).to_have_value(first)


def test_neighbors_of_a_typed_text(neighbors):
    first = neighbors.text.text_content()
    other = first[:-1] + ("b" if first.endswith("a") else "a")
    neighbors.type("Text", other)
    expect(neighbors.text).to_have_text(other)
    neighbors.type("Text", other + "a")
    expect(neighbors.alert).to_contain_text(f"{len(other) + 1} characters")
    expect(neighbors.text).to_have_text(other)
    neighbors.type("Text", first)
    expect(neighbors.text).to_have_text(first)
    expect(neighbors.alert).to_have_count(0)


def test_noise_follows_the_time(noise):
    hit = noise.picture.locator(".grid .c, .grid .m")  # changed or masked characters
    noise.press("Time", "Home", "0.00")
    expect(hit).to_have_count(0)
    noise.press("Time", "ArrowRight", "0.01")
    noise.changes(noise.press, "Time", "End", "1.00")
    expect(hit).not_to_have_count(0)
    noise.changes(noise.click_middle, "Time")
    expect(noise.slider("Time")).to_contain_text("0.50")


def test_new_noise(noise):
    noise.press("Time", "End")
    noise.changes(noise.click_middle, "Time")
    before = noise.text.text_content()
    noise.button("New noise").press("Enter")
    expect(noise.text).not_to_have_text(before)


def test_denoising_step_by_step(denoising):
    for key, step in [("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)]:
        denoising.press("Step", key, str(step))
        expect(denoising.caption).to_have_text(re.compile(f"^step {step} / "))
    noise = denoising.text.text_content()
    denoising.press("Step", "End")
    expect(denoising.caption).to_have_text(re.compile(r"^step (\d+) / \1 "))
    expect(denoising.text).not_to_have_text(noise)
    denoising.changes(denoising.click_middle, "Step")


def test_denoising_keeps_the_prompt(denoising):
    for prompt in "ba":
        denoising.type("Prompt", prompt)
        denoising.button("Sample").click()
        expect(denoising.text).to_have_text(re.compile(f"^{prompt}"))
    denoising.press("Step", "End")
    expect(denoising.caption).to_have_text(re.compile(r"^step (\d+) / \1 "))
    expect(denoising.text).to_have_text(re.compile("^a"))
    denoising.type("Prompt", "ß")
    denoising.button("Sample").click()
    expect(denoising.alert).to_contain_text("ß")


def test_denoising_uses_steps_seed_and_sampler(denoising):
    denoising.type("Prompt", "")
    denoising.type("Steps", "16")
    denoising.button("Sample").press("Space")
    expect(denoising.caption).to_contain_text(" / 16 ")
    denoising.press("Step", "End", "16")
    expect(denoising.caption).to_contain_text("step 16 / 16 ")
    for label, choose in [
        ("Seed", lambda box: box.fill("12345")),
        ("Sampler", lambda box: box.select_option("euler")),
    ]:
        before = denoising.text.text_content()
        choose(denoising.root.get_by_label(label))
        denoising.root.get_by_label(label).blur()
        denoising.button("Sample").press("Space")
        expect(denoising.text).not_to_have_text(before)
