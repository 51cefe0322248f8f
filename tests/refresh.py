"""Run notebooks top to bottom and store them with what they put out: python tests/refresh.py [notebooks/03*.ipynb ...]

Nothing is written when a cell fails. Widgets are not stored, for without a kernel they are blank; what stands in for
them (the same output as a picture or HTML) is.
"""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def refresh(path: Path) -> float:
    """Run and store one notebook; how many seconds its cells took."""
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
            cell.outputs = [output for output in cell.outputs if _without_widget(output)]
    nbformat.validate(notebook)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8")
    os.replace(partial, path)
    return seconds


def _without_widget(output: nbformat.NotebookNode) -> bool:
    """Take the widget out of an output; whether anything is left worth keeping."""
    data = output.get("data", {})
    return data.pop(WIDGET, None) is None or set(data) > {"text/plain"}


def main(names: list[str]) -> None:
    for path in [Path(name) for name in names] or sorted(NOTEBOOKS.glob("*.ipynb")):
        try:
            seconds = refresh(path)
        except CellExecutionError as error:
            sys.exit(f"{path} is left as it was, for a cell failed:\n{error}")
        print(f"{seconds:6.1f} s  {path.stat().st_size / 1024:4.0f} KB  {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
