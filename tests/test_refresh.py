"""Saving a notebook with its outputs but without widgets, and leaving it unchanged if a cell fails."""

from pathlib import Path

import nbformat
import pytest
import refresh

WIDGET = "from ipywidgets import IntSlider\nIntSlider()"
EXPLORER = """
class Explorer(IntSlider):
    def _repr_mimebundle_(self, **kwargs):
        return super()._repr_mimebundle_(**kwargs) | {"image/png": "iVBORw0KGgo="}

Explorer()
"""


def notebook(path: Path, *cells: str) -> Path:
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells]), path)
    return path


@pytest.mark.slow  # starts a kernel
def test_widgets_are_dropped_and_their_still_pictures_are_kept(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "print(1)\n2", WIDGET, EXPLORER)
    refresh.main([str(path)])
    saved = nbformat.read(path, as_version=4)
    printed, widget, explorer = (cell.outputs for cell in saved.cells)
    assert [output.output_type for output in printed] == ["stream", "execute_result"]
    assert widget == []
    assert set(explorer[0].data) == {"image/png", "text/plain"}
    assert [cell.execution_count for cell in saved.cells] == [1, 2, 3]
    assert saved.metadata == refresh.METADATA
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow  # starts a kernel
def test_a_failing_cell_leaves_the_file_unchanged(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "print(1)", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        refresh.main([str(path)])
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.slow  # starts a kernel
def test_only_the_answer_to_a_question_is_collapsed(tmp_path):
    ask, explain = (nbformat.v4.new_markdown_cell(text) for text in [f"{refresh.QUESTION} Which?", "Because."])
    first, answer, after = (nbformat.v4.new_code_cell(f"print({i})") for i in range(3))
    answer.metadata["jupyter"] = {"source_hidden": True}
    after.metadata |= {"collapsed": True, "jupyter": {"outputs_hidden": True}}  # from when it was an answer
    path = tmp_path / "a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[first, ask, explain, answer, after]), path)
    refresh.main([str(path)])
    first, _, _, answer, after = nbformat.read(path, as_version=4).cells
    assert answer.metadata == {"collapsed": True, "jupyter": {"source_hidden": True, "outputs_hidden": True}}
    assert first.metadata == after.metadata == {}
