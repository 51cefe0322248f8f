"""The page for teachers: its table follows from the notebooks, its links lead somewhere, and its code blocks run."""

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest

from tinysedd.__main__ import main

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PAGE = (NOTEBOOKS / "README.md").read_text(encoding="utf-8")
COURSE = sorted(NOTEBOOKS.glob("0*.ipynb"))
FACTS = re.compile(r"^\*[★☆]{3} · (\d+) minutes? · (\d+) points?\*$", re.MULTILINE)


def markdown(path: Path) -> str:
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")


def row(path: Path) -> str:
    """The first four cells of a unit's row: link, minutes to read (100 words a minute, which leaves time for the
    predictions and the outputs; rounded up to 5), minutes of exercises, points."""
    title = markdown(path).split("\n")[0].removeprefix("# ").replace(" · ", " ")
    reading = -(-len(markdown(path).split()) // 500) * 5
    exercises = NOTEBOOKS / "exercises" / path.name
    facts = FACTS.findall(markdown(exercises)) if exercises.exists() else []
    minutes, points = (sum(map(int, numbers)) for numbers in zip(*facts)) if facts else ("–", "–")
    return f"| [{title}]({path.name}) | {reading} | {minutes} | {points} |"


def block(language: str, containing: str) -> str:
    """The one code block of a language that contains this text."""
    (code,) = [code for code in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if containing in code]
    return code


@pytest.mark.parametrize("path", COURSE, ids=[path.stem for path in COURSE])
def test_the_table_has_the_minutes_and_points_of_a_unit(path):
    assert row(path) in PAGE


def test_the_points_of_the_checks_are_those_in_the_headings():
    for path in sorted((NOTEBOOKS / "exercises").glob("0*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        graded = [c.metadata.nbgrader.points for c in cells if c.metadata.get("nbgrader", {}).get("grade")]
        assert graded == [int(points) for _, points in FACTS.findall(markdown(path))], path.name


def test_every_link_leads_to_a_file():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", PAGE) if "://" not in link]
    assert len(links) > 10 and [link for link in links if not (NOTEBOOKS / link).exists()] == []


@pytest.mark.slow
def test_a_world_in_ten_lines_goes_all_the_way(tmp_path, monkeypatch, capsys):
    """The commands as they stand, but for fewer steps of a smaller model, and fewer texts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "animals", raising=False)
    world = block("python", "Fables(")
    assert len(world.replace("\n\n", "\n").strip().split("\n")) == 10
    Path("animals.py").write_text(world)
    fewer = {
        "train": "--steps 2 --layers 1 --heads 2 --width 16 --batch 4",
        "evaluate": "--texts 4 --samples 2 --orders 1",
    }
    done = []
    for line in block("sh", "animals:world").strip().split("\n"):
        name, command, *options = shlex.split(line.replace(" --minutes 1 ", " "))
        assert name == "tinysedd"
        main([command, *options, *fewer.get(command, "").split()])
        done.append(command)
    assert done == ["train", "sample", "evaluate", "page"] and "entropy" in capsys.readouterr().out
    code = block("python", "heatmap(")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert Path("animals.png").stat().st_size > 1000


def test_the_first_cell_of_a_hosted_notebook_does_nothing_on_a_laptop(monkeypatch):
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("it installs something"))
    exec(block("python", "find_spec"), {})


@pytest.mark.parametrize("wheel", [None, "tinysedd-0.2.0-py3-none-any.whl"])
def test_the_first_cell_of_a_hosted_notebook_keeps_the_torch_that_is_there(tmp_path, monkeypatch, wheel):
    monkeypatch.chdir(tmp_path)
    if wheel:
        Path(wheel).write_bytes(b"")
    commands = []
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    exec(block("python", "find_spec"), {})
    ((python, *words),) = commands
    assert python == sys.executable and words[:3] == ["-m", "pip", "install"] and words[-1] == (wheel or "..")
    kept = Path(words[words.index("-c") + 1])
    assert kept.read_text() == f"torch=={version('torch')}\n" and os.listdir() == sorted(filter(None, [wheel]))
