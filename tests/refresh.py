"""Run notebooks from top to bottom and save them with their outputs.

    python tests/refresh.py [notebooks/03*.ipynb ...]

By default it runs every notebook in notebooks/. If a cell fails, its notebook is not written. Widgets are not saved,
because they are blank without a kernel; what an output has besides its widget, such as a picture or HTML, is saved.
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
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def refresh(path: Path) -> float:
    """Run and save one notebook. Returns how many seconds its cells took."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", record_timing=False, store_widget_state=False,
        coalesce_streams=True, resources={"metadata": {"path": str(path.parent)}},
    )  # fmt: skip
    started = time.perf_counter()
    client.execute()
    seconds = time.perf_counter() - started
    notebook.metadata = METADATA
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _drop_widget(output)]
    nbformat.validate(notebook)
    write_atomically(path, (nbformat.writes(notebook).rstrip("\n") + "\n").encode())
    return seconds


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
