"""A student works on an exercise in JupyterLab: a wrong answer, its diagnosis, the right answer, and its use."""

import re
from base64 import b64decode

import pytest

from .conftest import ERROR
from .needs import Locator, Page, expect

# Typed line by line; the editor indents. The animation in exercise 4 needs the schedule from exercise 3.
SCHEDULE = """def log_linear(t, eps):
u = 1 - (1 - eps) * t
return -torch.log(u), (1 - eps) / u"""
MASKS = """def perturb_absorbing(x0, sigma, mask, generator):
p = {p}
hit = torch.rand(x0.shape, generator=generator) < p
return torch.where(hit, mask, x0)"""
WRONG, RIGHT = MASKS.format(p="sigma[:, None]"), MASKS.format(p="1 - torch.exp(-sigma[:, None])")


class Exercises:
    """A notebook of exercises whose cells run one by one."""

    def __init__(self, page: Page):
        self.page, self.runs = page, 0

    def cell(self, source: str) -> Locator:
        """The code cell that contains this source."""
        return self.page.locator(".jp-CodeCell").filter(has=self.page.locator(".cm-content", has_text=source))

    def type(self, source: str):
        """Replace the cell that contains the first line of this source."""
        first, _ = source.split("\n", 1)
        self.cell(first).locator(".cm-content").click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.type(source)

    def run(self, source: str) -> Locator:
        """Press Shift+Enter in the cell that contains this source. Returns its output when it has run."""
        self.cell(source).locator(".cm-content").press("Shift+Enter")
        self.runs += 1
        expect(self.cell(source).locator(".jp-InputPrompt")).to_have_text(f"[{self.runs}]:")
        return self.cell(source).locator(".jp-OutputArea-output")


@pytest.fixture(scope="module")
def exercises(opened) -> Exercises:
    """The exercises of notebook 03 with the imports and exercise 3 already done."""
    exercises = Exercises(opened("exercises/03_forward_noising"))
    exercises.run("import torch")
    exercises.type(SCHEDULE)
    exercises.run("def log_linear")
    expect(exercises.run("check.log_linear(").first).to_contain_text("✓ log_linear is right")
    return exercises


def test_a_wrong_answer_is_diagnosed_and_the_right_one_is_used(exercises):
    exercises.run("def perturb_absorbing")
    check = exercises.run("check.perturb_absorbing(")
    expect(check).to_contain_text("✗ perturb_absorbing is not written yet. Your task: Mask each character")

    exercises.type(WRONG)
    exercises.run("def perturb_absorbing")
    check = exercises.run("check.perturb_absorbing(")
    expect(check).to_contain_text("✗ perturb_absorbing is not right yet. You use sigma as a probability.")
    expect(check).not_to_contain_text(re.compile("Traceback|Error|File"))

    exercises.type(RIGHT)
    exercises.run("def perturb_absorbing")
    check = exercises.run("check.perturb_absorbing(")
    expect(check.first).to_contain_text("✓ perturb_absorbing is right")
    check.locator("img").evaluate("async (picture) => await picture.decode()")  # drawn by the student's function
    film = exercises.run("animation(film(perturb_absorbing").locator("img")
    film.evaluate("async (film) => await film.decode()")  # raises an error if it is not a picture
    assert b"acTL" in b64decode(film.get_attribute("src").split(",")[1])  # the chunk that makes a PNG animated
    expect(exercises.page.locator(ERROR)).to_have_count(0)
