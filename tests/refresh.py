"""Run notebooks from top to bottom and save them with their outputs.

    python tests/refresh.py [notebooks/03*.ipynb ...]

By default it runs every notebook in notebooks/. If a cell fails, its notebook is not written. Widgets are not saved,
because they are blank without a kernel; what an output has besides its widget, such as a picture or HTML, is saved.
The output that answers a "Predict before you run" is saved collapsed, so that nobody reads it before the question.
JupyterLab shows it when the cell is run.
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tinysedd.files import write_atomically

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
QUESTION = "**Predict before you run.**"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def refresh(path: Path) -> float:
    """Run and save one notebook. Returns how many seconds its cells took."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=1800, kernel_name="python3", record_timing=False, store_widget_state=False,
        coalesce_streams=True, resources={"metadata": {"path": str(path.parent)}},
    )  # fmt: skip
    started = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - started
    notebook.metadata = METADATA
    for cell, is_answer in zip(notebook.cells, answers(notebook.cells)):
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _drop_widget(output)]
            _collapse(cell.metadata, is_answer)
    nbformat.validate(notebook)
    write_atomically(path, (nbformat.writes(notebook).rstrip("\n") + "\n").encode())
    return seconds


def answers(cells: list[nbformat.NotebookNode]) -> list[bool]:
    """For each cell, whether it answers a question: the first code cell after a "Predict before you run"."""
    flags, open_question = [], False
    for cell in cells:
        open_question = open_question or (cell.cell_type == "markdown" and QUESTION in cell.source)
        flags.append(open_question and cell.cell_type == "code")
        open_question = open_question and not flags[-1]
    return flags


def _collapse(metadata: nbformat.NotebookNode, yes: bool) -> None:
    """Set or remove what JupyterLab writes for a collapsed output. Whether the source is collapsed stays as it is."""
    jupyter = {key: value for key, value in metadata.get("jupyter", {}).items() if key == "source_hidden"}
    jupyter |= {"outputs_hidden": True} if yes else {}
    for key, value in [("jupyter", jupyter), ("collapsed", yes)]:
        metadata.pop(key, None)
        metadata |= {key: value} if value else {}


def _drop_widget(output: nbformat.NotebookNode) -> bool:
    """Remove the widget from an output. Returns whether the rest is worth saving."""
    data = output.get("data", {})
    return data.pop(WIDGET, None) is None or set(data) > {"text/plain"}


def main(names: list[str]) -> None:
    for path in [Path(name) for name in names] or sorted(NOTEBOOKS.glob("*.ipynb")):
        try:
            seconds = refresh(path)
        except CellExecutionError as error:
            sys.exit(
                f"a cell of {path} failed, so the file is left unchanged; fix the cell and run this again:\n{error}"
            )
        print(f"{seconds:6.1f} s  {path.stat().st_size / 1024:4.0f} KB  {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
