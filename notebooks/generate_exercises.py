"""Make notebooks/exercises/ from notebooks/solutions/: python notebooks/generate_exercises.py [FILE ...]

Code between ### BEGIN SOLUTION and ### END SOLUTION becomes a NotImplementedError that states the task: the first line
of the docstring of the function around it. Outputs are cleared; nbgrader's metadata stays. nbgrader's own
generate_assignment reads the same source.
"""

import ast
import copy
import json
import sys
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parent
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def stub(source: str) -> str:
    """Replace each solution region in the source of a cell.

    Raises:
        ValueError: a region has no end, or no docstring around it.
    """
    lines, kept, inside = source.split("\n"), [], False
    for number, line in enumerate(lines, 1):
        if line.strip() == BEGIN:
            indent, inside = line[: line.index("#")], True
            kept += [f"{indent}# YOUR CODE HERE", *_raise(indent, _task(source, number))]
        elif line.strip() == END:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise ValueError(f"{END} is missing:\n{source}")
    return "\n".join(kept)


def _raise(indent: str, task: str) -> list[str]:
    """Lines that raise NotImplementedError with the task, on one line if it has at most 100 characters."""
    message = json.dumps(task, ensure_ascii=False)
    line = f"{indent}raise NotImplementedError({message})"
    if len(line) <= 100:
        return [line]
    return [f"{indent}raise NotImplementedError(", f"{indent}    {message}", f"{indent})"]


def _task(source: str, line: int) -> str:
    """The first line of the docstring of the innermost function or class around a line."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    around = [(node.lineno, ast.get_docstring(node)) for node in nodes if node.lineno <= line <= _last_line(node) + 1]
    tasks = [(start, docstring) for start, docstring in around if docstring]
    if not tasks:
        raise ValueError(f"no docstring states the task in\n{source}")
    return max(tasks)[1].split("\n")[0]


def _last_line(node: ast.FunctionDef | ast.ClassDef) -> int:
    return node.end_lineno or node.lineno


def exercises(solutions: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Turn a notebook of solutions into the one for students."""
    notebook = copy.deepcopy(solutions)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source, cell.outputs, cell.execution_count = stub(cell.source), [], None
            cell.metadata.pop("tags", None)
    return notebook


def text(path: Path) -> str:
    """The text of the file in exercises/ that belongs to a file in solutions/."""
    return nbformat.writes(exercises(nbformat.read(path, as_version=4))).rstrip("\n") + "\n"


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("solutions/*.ipynb")):
        (NOTEBOOKS / "exercises").mkdir(exist_ok=True)
        (NOTEBOOKS / "exercises" / path.name).write_text(text(path), encoding="utf-8")
        print(f"exercises/{path.name}")
