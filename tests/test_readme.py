"""What the README says runs: its Python, its commands, its links, and the table of the course."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tinysedd.__main__ import main

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEACHERS = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
MEASUREMENTS = (ROOT / "tests" / "benchmarks" / "README.md").read_text(encoding="utf-8")


def lines_of_shell(text: str) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [line.split(" #")[0].strip() for line in "".join(blocks).splitlines() if line.strip()]


@pytest.mark.slow
def test_the_python_example_runs_and_the_learned_bound_is_above_the_exact_one(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    text, numbers = run.stdout.splitlines()
    assert text.startswith("the ") and text[8:17] == " wolf met"
    learned, exact, gap = re.fullmatch(r"([\d.]+) learned, ([\d.]+) exact: a gap of ([\d.]+)%", numbers).groups()
    assert float(learned) > float(exact) and 0 < float(gap) < 5


@pytest.mark.slow
def test_the_commands_run(tmp_path, monkeypatch, capsys):
    """As they stand, but the training takes two steps of a small model. CI runs the others: pip, pytest, jupyter."""
    monkeypatch.chdir(tmp_path)
    Path("poems.txt").write_text("Once I saw a little bird come hop, hop, hop.\n" * 250)
    small = "--steps 2 --layers 1 --heads 2 --width 16 --batch 4"
    commands = [line for line in lines_of_shell(README) if line.startswith("tinysedd ")]
    for line in commands:
        main(shlex.split(line.replace("--minutes 2", small))[1:])
    assert len(commands) > 5 and {"scene.gif", "poems.pt", "poems.html"} < set(os.listdir())
    assert "wolf met a" in capsys.readouterr().out


def test_every_line_of_shell_is_run_by_a_test_or_by_ci():
    known = r"tinysedd |python3 -m venv .*(pytest|jupyter lab) |source .venv|python -m tinysedd\.minimal"
    assert [line for line in lines_of_shell(README) if not re.match(known, line)] == []


def test_the_course_has_the_minutes_and_points_that_teachers_read():
    rows = re.findall(r"^\| \[(\d\d [\w ]+)\]\(notebooks/(\S+)\) \| [^|]+ \| (.+) \|$", README, re.MULTILINE)
    assert len(rows) == 10
    assert [title for title, path, numbers in rows if f"| [{title}]({path}) | {numbers} |" not in TEACHERS] == []


def test_every_linked_file_exists():
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for folder, text in [(ROOT, README + contributing), (ROOT / "tests" / "benchmarks", MEASUREMENTS)]:
        links = re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'(?:src|srcset)="([^"]+)"', text)
        files = [link for link in links if not link.startswith("http")]
        assert files and [link for link in files if not (folder / link).exists()] == []


def test_the_front_page_is_short():
    assert len(README.splitlines()) < 200


def test_tests_that_contributing_points_to_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", text)
    assert len(names) == 3
    assert [name for name in names if f"def {name}(" not in tests] == []
