"""The exercises: solutions pass, what students get wrong is rejected and mostly named, and nothing is out of step.

python tests/test_exercises.py [03] [-v] prints a table of what was tried, of one notebook, with every message.
"""

import contextlib
import importlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from exercises import ATTEMPTS

from tinysedd import check
from tinysedd.checks import CheckFailed
from tinysedd.checks.engine import Exercise

TESTS = Path(__file__).parent
NOTEBOOKS = TESTS.parent / "notebooks"
sys.path.insert(0, str(NOTEBOOKS))
generate_exercises = importlib.import_module("generate_exercises")

for file in sorted((TESTS / "exercises").glob("mutants_*.py")):
    importlib.import_module(f"exercises.{file.stem}")

EXERCISES: dict[str, Exercise] = {name: e for name, e in vars(check).items() if isinstance(e, Exercise)}
SOLUTIONS = sorted((NOTEBOOKS / "solutions").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", SOLUTIONS, ids=[path.stem for path in SOLUTIONS])


def role(cell) -> str:
    """What nbgrader takes a cell for: "solution", "grade", or "" for any other."""
    told = cell.metadata.get("nbgrader", {})
    return "solution" if told.get("solution") else "grade" if told.get("grade") else ""


def read(path: Path):
    return nbformat.read(path, as_version=4)


def checked_in(path: Path) -> list[str]:
    """The names of the exercises that a notebook checks."""
    return [name for c in read(path).cells if role(c) == "grade" for name in re.findall(r"check\.(\w+)\(", c.source)]


NUMBER = {name: path.name[:2] for path in SOLUTIONS for name in checked_in(path)}  # exercise -> its notebook
every_exercise = pytest.mark.parametrize("name", EXERCISES, ids=[f"{NUMBER.get(n, '??')}_{n}" for n in EXERCISES])


def tried(exercise: str, right: bool):
    return [a for a in ATTEMPTS if a.exercise == exercise and a.right is right]


def judge(exercise: Exercise, function) -> CheckFailed | None:
    """Any error but CheckFailed is a fault of the check, and comes through."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exercise(function)
        except CheckFailed as finding:
            return finding
    return None


def attempts(right: bool):
    chosen = [a for a in ATTEMPTS if a.right is right]
    ids = [f"{NUMBER.get(a.exercise, '??')}_{a.exercise}-{a.function.__name__}" for a in chosen]
    return pytest.mark.parametrize("attempt", chosen, ids=ids)


@attempts(right=False)
def test_a_wrong_solution_is_rejected_with_its_diagnosis(attempt):
    finding = judge(EXERCISES[attempt.exercise], attempt.function)
    assert finding is not None, "it passes"
    if attempt.says:
        assert attempt.says in (finding.diagnosis or ""), f"another message came:\n{finding}"


@attempts(right=True)
def test_a_right_solution_in_another_style_passes(attempt):
    finding = judge(EXERCISES[attempt.exercise], attempt.function)
    assert finding is None, str(finding)


@every_exercise
def test_there_are_five_wrong_solutions_three_diagnosed_and_two_right_ones(name):
    wrong, right = tried(name, False), tried(name, True)
    assert len(wrong) >= 5 and len({a.says for a in wrong if a.says}) >= 3 and len(right) >= 2


@every_exercise
def test_a_mistake_is_one_and_not_two(name):
    """Each known wrong version fails, with its own diagnosis: no earlier one takes it for itself."""
    exercise = EXERCISES[name]
    for mistake, diagnosis in exercise.mistakes:
        finding = judge(exercise, mistake)
        assert finding is not None, f"this counts as right: {diagnosis}"
        assert finding.diagnosis == diagnosis, f"expected: {diagnosis}\ngot: {finding.diagnosis}"


@every_exercise
@pytest.mark.parametrize(
    "silly",
    [None, "text", [[1], [2, 3]], [], {}, {1, 2}, object(), float("nan"), 10**400, 1j, iter([1]), [None], len, [["a"]]],
    ids=lambda value: type(value).__name__,
)
def test_no_result_is_too_silly_for_a_check(name, silly):
    finding = judge(EXERCISES[name], lambda *arguments: silly)
    assert finding is not None and len(str(finding)) < 5000


@every_exercise
def test_an_error_in_the_function_is_shown_with_its_line(name):
    def hopeful(*arguments):
        return arguments[0].there_is_no_such_thing

    finding = " ".join(str(judge(EXERCISES[name], hopeful)).split())
    assert "no attribute" in finding and "line 2 of your function: return arguments[0].there_is" in finding


@every_exercise
def test_an_exercise_belongs_to_one_notebook(name):
    assert [name in checked_in(path) for path in SOLUTIONS].count(True) == 1


@every_notebook
def test_exercises_are_in_step_with_solutions(path):
    stored = NOTEBOOKS / "exercises" / path.name
    assert stored.exists() and stored.read_text(encoding="utf-8") == generate_exercises.text(path), (
        "run python notebooks/generate_exercises.py"
    )


@every_notebook
def test_cells_are_marked_for_nbgrader(path):
    ids = [cell.metadata.nbgrader.grade_id for cell in read(path).cells if "nbgrader" in cell.metadata]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"[\w-]+", i) for i in ids)
    for cell in read(path).cells:
        region = "### BEGIN SOLUTION" in cell.source
        assert region == (role(cell) == "solution"), cell.source
        assert ("check." in cell.source and cell.cell_type == "code") == (role(cell) == "grade"), cell.source
        if "nbgrader" in cell.metadata:
            wanted = {"schema_version", "grade_id", "solution", "grade", "locked", "task"}
            wanted |= {"points"} if role(cell) == "grade" else set()
            assert set(cell.metadata.nbgrader) == wanted and cell.metadata.nbgrader.schema_version == 3


def graded(notebook):
    """A notebook without the cells that no mark depends on: test_notebooks.py runs those, with the solutions."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [cell for cell in code if cell is code[0] or role(cell)]
    return notebook


def run_checks(notebook, space: dict) -> dict[str, CheckFailed | None]:
    """Run the first code cell, the cells to solve and the checks; what each check found."""
    found = {}
    for cell in graded(notebook).cells:
        if role(cell) != "grade":
            exec(cell.source, space)
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                exec(cell.source, space)
                found[cell.metadata.nbgrader.grade_id] = None
            except CheckFailed as finding:
                found[cell.metadata.nbgrader.grade_id] = finding
    return found


@every_notebook
def test_all_solutions_pass(path):
    found = run_checks(read(path), {})
    assert found and not any(found.values()), found


@every_notebook
def test_every_stub_fails_with_its_own_message(path):
    found = [str(finding) for finding in run_checks(read(NOTEBOOKS / "exercises" / path.name), {}).values()]
    assert found and all("is not written yet" in message and "What is asked: " in message for message in found), found
    assert len(set(found)) == len(found)


@every_notebook
def test_nbgrader_gives_solutions_full_marks_and_stubs_none(path, tmp_path, monkeypatch):
    in_ci = os.environ.get("CI") == "true"  # where it has to be there
    apps = importlib.import_module("nbgrader.apps") if in_ci else pytest.importorskip("nbgrader.apps")
    config = importlib.import_module("traitlets.config").Config()
    config.CourseDirectory.root, config.CourseDirectory.course_id = str(tmp_path), "course"
    config.ExecutePreprocessor.timeout = 300
    monkeypatch.setenv("PYTHONPATH", str(TESTS.parent))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # nbgrader calls alembic
    course = apps.NbGraderAPI(config=config)

    def put(notebook, folder: str):
        (tmp_path / folder).mkdir(parents=True)
        nbformat.write(notebook, tmp_path / folder / path.name)

    put(read(path), "source/sheet")
    assert course.generate_assignment("sheet")["success"]
    released = read(tmp_path / "release" / "sheet" / path.name)
    assert not any("SOLUTION" in cell.source or cell.get("outputs") for cell in released.cells)
    whole = path == SOLUTIONS[0]  # as students hand it in; one is enough
    for student, folder in [("solves", "solutions"), ("leaves", "exercises")]:
        handed_in = read(NOTEBOOKS / folder / path.name)
        put(handed_in if whole else graded(handed_in), f"submitted/{student}/sheet")
        assert course.autograde("sheet", student)["success"]
        told = course.get_submission("sheet", student)
        assert told["score"] == (told["max_score"] if student == "solves" else 0) and told["max_score"] > 0


def test_importing_tinysedd_loads_no_checks():
    code = "import sys, tinysedd; print([m for m in sys.modules if 'checks' in m or 'matplotlib' in m])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=TESTS.parent)
    assert run.stdout.strip() == "[]", run.stderr


def table(number: str, speak: bool) -> str:
    """What was tried on the exercises of a notebook ("" for all) and what became of it; speak: with every message."""
    rows = [("nb", "exercise", "wrong", "rejected", "diagnosed", "right", "passed")]
    for name in sorted((n for n in EXERCISES if NUMBER.get(n, "").startswith(number)), key=lambda n: NUMBER.get(n, "")):
        found = {a.function.__name__: judge(EXERCISES[name], a.function) for a in tried(name, False)}
        passed = [judge(EXERCISES[name], a.function) is None for a in tried(name, True)]
        if speak:
            print(*(f"--- {name}, {title}\n{finding}\n" for title, finding in found.items()), sep="\n")
        diagnosed = [f for f in found.values() if f and f.diagnosis]
        counts = (len(found), len(found) - list(found.values()).count(None), len(diagnosed), len(passed), sum(passed))
        rows.append((NUMBER.get(name, "??"), name, *map(str, counts)))
    totals = [str(sum(int(row[k]) for row in rows[1:])) for k in range(2, 7)]
    rows.append(("", f"{len(rows) - 1} exercises", *totals))
    return "\n".join(f"{a:3}{b:28}{c:>7}{d:>10}{e:>11}{f:>7}{g:>8}" for a, b, c, d, e, f, g in rows)


if __name__ == "__main__":
    print(table("".join(filter(str.isdigit, "".join(sys.argv[1:]))), "-v" in sys.argv))
