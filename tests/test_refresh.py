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
