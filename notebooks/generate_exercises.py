"""Make notebooks/exercises/ from notebooks/solutions/: python notebooks/generate_exercises.py [FILE ...]

What stands between ### BEGIN SOLUTION and ### END SOLUTION becomes a NotImplementedError that says what is asked: the
first line of the docstring of the function around it. Outputs are cleared; nbgrader's metadata stays. nbgrader's own
generate_assignment reads the same source.
"""

import ast
import json
import sys
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).parent
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def stub(source: str) -> str:
    """A cell's source with each region of it replaced; ValueError where a region does not end, or asks for nothing."""
    lines, kept, inside = source.split("\n"), [], False
    for number, line in enumerate(lines, 1):
        if line.strip() == BEGIN:
            indent, inside = line[: line.index("#")], True
            kept += [f"{indent}# YOUR CODE HERE", *_raise(indent, _asked(source, number))]
        elif line.strip() == END:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise ValueError(f"{END} is missing:\n{source}")
    return "\n".join(kept)


def _raise(indent: str, asked: str) -> list[str]:
    asked = json.dumps(asked, ensure_ascii=False)
    line = f"{indent}raise NotImplementedError({asked})"
    return [line] if len(line) <= 100 else [f"{indent}raise NotImplementedError(", f"{indent}    {asked}", f"{indent})"]


def _asked(source: str, line: int) -> str:
    """The first line of the docstring of the innermost function or class around a line."""
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.ClassDef))
    around = [node for node in nodes if node.lineno <= line <= node.end_lineno + 1 and ast.get_docstring(node)]
    if not around:
        raise ValueError(f"no docstring says what is asked in\n{source}")
    return ast.get_docstring(max(around, key=lambda node: node.lineno)).split("\n")[0]


def exercises(solutions: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook for students that belongs to a notebook of solutions."""
    notebook = nbformat.from_dict(solutions)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source, cell.outputs, cell.execution_count = stub(cell.source), [], None
            cell.metadata.pop("tags", None)
    return notebook


def text(path: Path) -> str:
    """What the file in exercises/ should hold, for a file in solutions/."""
    return nbformat.writes(exercises(nbformat.read(path, as_version=4))).rstrip("\n") + "\n"


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("solutions/*.ipynb")):
        (NOTEBOOKS / "exercises").mkdir(exist_ok=True)
        (NOTEBOOKS / "exercises" / path.name).write_text(text(path), encoding="utf-8")
        print(f"exercises/{path.name}")
