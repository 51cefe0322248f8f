"""The exercises: right solutions pass, wrong ones are rejected, mostly with a diagnosis, and the notebooks agree.

python tests/test_exercises.py [03 | build] [-v] prints a table of all attempts, of one notebook only, with every
message.
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
from exercises import ATTEMPTS, Attempt

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
    """The role of a cell in nbgrader: "solution", "grade", or "" for any other."""
    metadata = cell.metadata.get("nbgrader", {})
    return "solution" if metadata.get("solution") else "grade" if metadata.get("grade") else ""


def read(path: Path):
    return nbformat.read(path, as_version=4)


def checked_in(path: Path) -> list[str]:
    """The names of the exercises that a notebook checks."""
    return [name for c in read(path).cells if role(c) == "grade" for name in re.findall(r"check\.(\w+)\(", c.source)]


NUMBER = {name: path.name[:2] for path in SOLUTIONS for name in checked_in(path)}  # exercise -> number of its notebook
every_exercise = pytest.mark.parametrize("name", EXERCISES, ids=[f"{NUMBER.get(n, '??')}_{n}" for n in EXERCISES])


def attempts_at(exercise: str, right: bool) -> list[Attempt]:
    return [a for a in ATTEMPTS if a.exercise == exercise and a.right is right]


def judge(exercise: Exercise, function, seconds: float | None = None) -> CheckFailed | None:
    """The failure, or None if the check passes. Any other exception is a bug in the check, and propagates."""
    limit = exercise.seconds
    exercise.seconds = seconds or limit
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exercise(function)
    except CheckFailed as failure:
        return failure
    finally:
        exercise.seconds = limit
    return None


def every_attempt(right: bool):
    chosen = [a for a in ATTEMPTS if a.right is right]
    ids = [f"{NUMBER.get(a.exercise, '??')}_{a.exercise}-{a.function.__name__}" for a in chosen]
    return pytest.mark.parametrize("attempt", chosen, ids=ids)


@every_attempt(right=False)
def test_wrong_solution_is_rejected_with_its_diagnosis(attempt):
    failure = judge(EXERCISES[attempt.exercise], attempt.function, attempt.seconds)
    assert failure is not None, "it passes"
    if attempt.says:
        assert attempt.says in " ".join(str(failure).split()), f"got another message:\n{failure}"


@every_attempt(right=True)
def test_right_solution_in_another_style_passes(attempt):
    failure = judge(EXERCISES[attempt.exercise], attempt.function)
    assert failure is None, str(failure)


@every_exercise
def test_exercise_has_five_wrong_solutions_three_diagnoses_and_two_right_solutions(name):
    wrong, right = attempts_at(name, False), attempts_at(name, True)
    assert len(wrong) >= 5 and len({a.says for a in wrong if a.says}) >= 3 and len(right) >= 2


@every_exercise
def test_each_mistake_gets_its_own_diagnosis(name):
    """No mistake passes, and none gets the diagnosis of an earlier one."""
    exercise = EXERCISES[name]
    for mistake, diagnosis in exercise._mistakes:
        failure = judge(exercise, mistake)
        assert failure is not None, f"it passes: {diagnosis}"
        assert failure.diagnosis == diagnosis, f"expected: {diagnosis}\ngot: {failure.diagnosis}"


@pytest.mark.slow
def test_no_result_is_too_silly_for_any_exercise():
    """Values that measures treat differently; test_checks.py gives the engine more of them."""
    for name, exercise in EXERCISES.items():
        for silly in [None, "text", object(), [], [[1], [2, 3]], float("nan")]:
            failure = judge(exercise, lambda *arguments, silly=silly: silly)
            assert failure is not None and len(str(failure)) < 5000, f"{name} given {silly!r}"


@every_exercise
def test_error_in_the_function_is_shown_with_its_line(name):
    def hopeful(*arguments):
        return arguments[0].there_is_no_such_thing

    failure = " ".join(str(judge(EXERCISES[name], hopeful)).split())
    assert "no attribute" in failure and "line 2 of your function: return arguments[0].there_is" in failure


@every_exercise
def test_exercise_belongs_to_one_notebook(name):
    assert [name in checked_in(path) for path in SOLUTIONS].count(True) == 1


@every_notebook
def test_exercises_are_generated_from_solutions(path):
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
    """Keep only the cells that grades depend on. test_notebooks.py runs the others, with the solutions."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    notebook.cells = [cell for cell in code if cell is code[0] or role(cell)]
    return notebook


def merged(paths: list[Path]):
    """One notebook with the graded cells of several, which keep their order and get unique ids."""
    notebook = read(paths[0])
    notebook.cells = []
    for path in paths:
        for cell in graded(read(path)).cells:
            cell.id = f"{path.name[:2]}-{cell.id}"
            if "nbgrader" in cell.metadata:
                cell.metadata.nbgrader.grade_id = f"{path.name[:2]}-{cell.metadata.nbgrader.grade_id}"
            notebook.cells.append(cell)
    return notebook


def run_checks(notebook) -> dict[str, CheckFailed | None]:
    """Run the first code cell, the solution cells and the checks. Returns the failure of each check, or None."""
    found, namespace = {}, {}
    for cell in graded(notebook).cells:
        if role(cell) != "grade":
            exec(cell.source, namespace)
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                exec(cell.source, namespace)
                found[cell.metadata.nbgrader.grade_id] = None
            except CheckFailed as failure:
                found[cell.metadata.nbgrader.grade_id] = failure
    return found


@pytest.mark.slow
@every_notebook
def test_all_solutions_pass(path):
    found = run_checks(read(path))
    assert found and not any(found.values()), found


@pytest.mark.slow
@every_notebook
def test_every_stub_fails_with_its_own_task(path):
    found = [str(failure) for failure in run_checks(read(NOTEBOOKS / "exercises" / path.name)).values()]
    assert found and all("is not written yet" in message and "Your task: " in message for message in found), found
    assert len(set(found)) == len(found)


@pytest.mark.slow
def test_nbgrader_gives_full_marks_to_solutions_and_none_to_stubs(tmp_path, monkeypatch):
    in_ci = os.environ.get("CI") == "true"  # nbgrader is optional everywhere else
    apps = importlib.import_module("nbgrader.apps") if in_ci else pytest.importorskip("nbgrader.apps")
    config = importlib.import_module("traitlets.config").Config()
    config.CourseDirectory.root, config.CourseDirectory.course_id = str(tmp_path), "course"
    config.ExecutePreprocessor.timeout = 600
    monkeypatch.setenv("PYTHONPATH", str(TESTS.parent))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")  # nbgrader calls alembic
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for the kernels
    course = apps.NbGraderAPI(config=config)

    def put(notebook, folder: str, name: str):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, tmp_path / folder / name)

    for path in SOLUTIONS:
        put(read(path), "source/all", path.name)
    made = course.generate_assignment("all")
    assert made["success"], made["log"]
    for path in SOLUTIONS:
        released = read(tmp_path / "release" / "all" / path.name)
        assert not any("SOLUTION" in cell.source or cell.get("outputs") for cell in released.cells)

    # Starting a kernel takes longer than most checks, so only one notebook is graded as students hand it in, and the
    # cells that matter in the others are graded as one notebook.
    def handed_in(folder: str):
        yield SOLUTIONS[0].name, read(NOTEBOOKS / folder / SOLUTIONS[0].name)
        yield "others.ipynb", merged([NOTEBOOKS / folder / path.name for path in SOLUTIONS[1:]])

    for target, folder in [("source", "solutions"), ("submitted/solver", "solutions"), ("submitted/stub", "exercises")]:
        for name, notebook in handed_in(folder):
            put(notebook, f"{target}/sheet", name)
    made = course.generate_assignment("sheet")
    assert made["success"], made["log"]
    for student in ("solver", "stub"):
        done = course.autograde("sheet", student)
        assert done["success"], done["log"]
        with course.gradebook as gradebook:
            grades = [g for n in gradebook.find_submission("sheet", student).notebooks for g in n.grades]
            scores = {grade.name: (grade.score, grade.max_score) for grade in grades}
        assert len(scores) == sum(len(checked_in(path)) for path in SOLUTIONS)
        wrong = [name for name, (score, full) in scores.items() if full == 0 or score != full * (student == "solver")]
        assert not wrong, f"{student}: {wrong}"


def test_importing_tinysedd_loads_no_checks():
    code = "import sys, tinysedd; print([m for m in sys.modules if 'checks' in m or 'matplotlib' in m])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=TESTS.parent)
    assert run.stdout.strip() == "[]", run.stderr


def table(number: str, verbose: bool) -> str:
    """Counts of the attempts at each exercise of a notebook ("" for all); verbose: print every message too."""
    rows: list[tuple[str, ...]] = [("nb", "exercise", "wrong", "rejected", "named", "located", "right", "passed")]
    for name in sorted((n for n in EXERCISES if NUMBER.get(n, "").startswith(number)), key=lambda n: NUMBER.get(n, "")):
        wrong = attempts_at(name, False)
        found = {a.function.__name__: judge(EXERCISES[name], a.function, a.seconds) for a in wrong}
        passed = [judge(EXERCISES[name], a.function) is None for a in attempts_at(name, True)]
        if verbose:
            print(*(f"--- {name}, {title}\n{failure}\n" for title, failure in found.items()), sep="\n")
        rejected = [f for f in found.values() if f]
        named = sum(f.diagnosis is not None for f in rejected)
        located = sum(f.diagnosis is None and f.located for f in rejected)
        rows.append((NUMBER.get(name, "??"), name, *map(str, (len(found), len(rejected), named, located))))
        rows[-1] += (str(len(passed)), str(sum(passed)))
    totals = [str(sum(int(row[k]) for row in rows[1:])) for k in range(2, 8)]
    rows.append(("", f"{len(rows) - 1} exercises", *totals))
    return "\n".join(f"{row[0]:3}{row[1]:28}" + "".join(f"{cell:>10}" for cell in row[2:]) for row in rows)


if __name__ == "__main__":
    print(table(next((a[:2] for a in sys.argv[1:] if a != "-v"), ""), "-v" in sys.argv))
