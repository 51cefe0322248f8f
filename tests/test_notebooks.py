"""Each notebook runs offline from top to bottom, and its stored outputs are what a run gives.

The run compares the outputs of cells with the tag "nbval-check-output": seeded numbers and texts. Those of a world are
exact on every machine. One short cell compares a model's output too, to notice a notebook that is older than its
checkpoint. The last digits of a network differ between CPUs, so that cell uses a seed whose texts stay the same when
each log-score is changed by 2e-4, about the largest difference seen between instruction sets.
"""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
OFFLINE = {"PYTHONPATH": str(ROOT / "tests" / "offline")}
EXCLUDED = {".ipynb_checkpoints", "exercises"}  # exercises raise on purpose: see test_exercises.py
NOTEBOOKS = sorted(p for p in (ROOT / "notebooks").rglob("*.ipynb") if not EXCLUDED & set(p.parts))
NAMES = [str(path.relative_to(ROOT / "notebooks")) for path in NOTEBOOKS]
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=NAMES)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


def has_output(source: str) -> bool:
    """Whether a cell should have an output: it ends with a value, or it prints outside a function."""
    statements = [s for s in ast.parse(source).body if not isinstance(s, ast.FunctionDef | ast.ClassDef)]
    calls = [node.func for s in statements for node in ast.walk(s) if isinstance(node, ast.Call)]
    prints = any(isinstance(f, ast.Name) and f.id in ("print", "display") for f in calls)
    ends_with_a_value = bool(statements) and isinstance(statements[-1], ast.Expr)
    return prints or (ends_with_a_value and not source.rstrip().endswith(";"))


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize(
    "call",
    ["create_connection(('198.51.100.1', 80), 1)", "getaddrinfo('example.org', 80)", "gethostbyname('example.org')"],
)
def test_offline_means_offline(call):
    command = [sys.executable, "-c", f"import socket; socket.{call}"]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | OFFLINE)
    assert run.returncode == 1 and "OSError: offline: no " in run.stderr


@pytest.mark.slow
@every_notebook
def test_it_runs_and_its_checked_outputs_are_fresh(path):
    """With all sockets closed but those to this machine. A slow or busy machine must not fail, so the timeout is only
    for a cell that hangs."""
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=600", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *options, str(path)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=os.environ | OFFLINE)
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-1000:]


@every_notebook
def test_some_outputs_are_checked(path):
    assert any("nbval-check-output" in cell.metadata.get("tags", []) for cell in code_cells(path))


@every_notebook
def test_it_was_run_from_top_to_bottom_and_no_output_is_missing(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), (
        "run it again, from top to bottom"
    )
    for cell in cells:
        assert cell.outputs or not has_output(cell.source), f"the output is missing:\n{cell.source}"
        for output in cell.outputs:
            assert output.output_type != "error", f"an error is stored:\n{cell.source}"
            assert output.get("name") != "stderr", f"a warning is stored:\n{output.text}"


@every_notebook
def test_the_file_is_small_and_clean(path):
    notebook = read(path)
    nbformat.validate(notebook)
    assert path.stat().st_size <= 1_000_000
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata, "widget state is stored: clear it before saving"
    text = json.dumps(notebook)
    assert str(ROOT) not in text and f"{Path.home()}/" not in text, "a path of this machine is stored"


@every_notebook
def test_the_first_cell_asks_the_question_and_states_the_running_time(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert "?" in first.source
    seconds = re.search(r"Run time: about (\d+) seconds", first.source)
    assert seconds and int(seconds[1]) <= 90
