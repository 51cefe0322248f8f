"""The interactive notebooks in JupyterLab: "Run All Cells" runs them from top to bottom."""

import pytest

from .conftest import ERROR, run_all
from .needs import expect

NOTEBOOKS = ["00_first_look", "02_hamming_neighbours", "03_forward_noising", "06_reverse_denoising"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_all_cells_run_without_an_error(lab, name):
    page = lab(name)
    errors = page.locator(ERROR).all_inner_texts()
    assert not errors, errors[0]
    numbers = [f"[{i + 1}]:" for i in range(page.locator(".jp-CodeCell").count())]
    expect(page.locator(".jp-CodeCell .jp-InputPrompt")).to_have_text(numbers)


def test_an_answer_is_collapsed_until_its_cell_has_run(opened):
    page = opened("01_concrete_scores")
    collapsed = page.locator(".jp-OutputPlaceholder")
    expect(collapsed.first).to_be_visible()  # the others are drawn when the reader gets there
    run_all(page)
    expect(collapsed).to_have_count(0)
