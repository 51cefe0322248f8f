"""Storing a notebook: what it puts out, but no widgets; and nothing at all when a cell fails."""

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


def test_widgets_are_left_out_and_what_stands_in_for_them_is_kept(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "print(1)\n2", WIDGET, EXPLORER)
    refresh.main([str(path)])
    stored = nbformat.read(path, as_version=4)
    printed, widget, explorer = (cell.outputs for cell in stored.cells)
    assert [output.output_type for output in printed] == ["stream", "execute_result"]
    assert widget == []
    assert set(explorer[0].data) == {"image/png", "text/plain"}
    assert [cell.execution_count for cell in stored.cells] == [1, 2, 3]
    assert stored.metadata == refresh.METADATA
    assert list(tmp_path.iterdir()) == [path]


def test_a_cell_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = notebook(tmp_path / "a.ipynb", "print(1)", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(SystemExit, match="ZeroDivisionError"):
        refresh.main([str(path)])
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
