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
import refresh

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
    last = ast.unparse(statements[-1]) if statements else ""
    prints = any(isinstance(f, ast.Name) and f.id in ("print", "display") for f in calls)
    ends_with_a_value = bool(statements) and isinstance(statements[-1], ast.Expr) and ".update(" not in last
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


# The course: notebooks 00 to 09, not the exercises or their solutions

COURSE = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
every_lesson = pytest.mark.parametrize("path", COURSE, ids=[path.stem for path in COURSE])


@every_lesson
def test_it_begins_with_a_map_and_ends_with_questions_and_the_way_on(path):
    cells = read(path).cells
    _, here, *_, questions, last = (cell.source for cell in cells if cell.cell_type == "markdown")
    others = {p.name for p in COURSE} - {path.name} | {"glossary.md"}
    assert set(re.findall(r"\]\(([^)#]+)", here)) >= others and "**Where we are.**" in here
    assert questions.startswith("## Check yourself") and questions.count("<details>") == 3
    number = COURSE.index(path)
    if number + 1 < len(COURSE):
        assert f"]({COURSE[number + 1].name})" in last
    if (path.parent / "exercises" / path.name).exists():
        assert f"](exercises/{path.name})" in last


@every_lesson
def test_every_link_leads_to_a_file(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert links and [link for link in links if not (path.parent / link).exists()] == []


@every_lesson
def test_the_answer_to_a_question_is_collapsed_and_can_be_unfolded(path):
    cells = read(path).cells
    collapsed = [bool(cell.metadata.get("jupyter", {}).get("outputs_hidden")) for cell in cells]
    assert collapsed == refresh.answers(cells), "run tests/refresh.py"
    for cell in cells:
        if cell.cell_type == "markdown" and refresh.QUESTION in cell.source:
            assert "<summary>Answer</summary>" in cell.source


@every_lesson
def test_every_picture_has_an_alt_text(path):
    pictures = [o for cell in code_cells(path) for o in cell.outputs if "image/png" in o.get("data", {})]
    for picture in pictures:
        assert len(picture.metadata.get("image/png", {}).get("alt", "")) > 20, picture.data.get("text/plain")
    assert pictures


@every_lesson
def test_lines_are_not_longer_than_a_page(path):
    for cell in read(path).cells:
        for line in cell.source.splitlines():
            whole = line.startswith("|") or "$$" in line or line.count("](") > 3  # a table, a formula, or the map
            assert len(line) <= (100 if cell.cell_type == "code" else 120) or whole, line
