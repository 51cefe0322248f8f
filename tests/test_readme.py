"""The README's Python example runs, and prints what the text around it promises."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_python_example_runs_and_the_learned_bound_is_above_the_exact_one(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    text, numbers = run.stdout.splitlines()
    assert text.startswith("the ") and text[8:17] == " wolf met"
    learned, exact, gap = re.fullmatch(r"([\d.]+) learned, ([\d.]+) exact: a gap of ([\d.]+)%", numbers).groups()
    assert float(learned) > float(exact) and 0 < float(gap) < 5


def test_every_linked_file_exists():
    links = re.findall(r"\]\(([^)#]+)\)", README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    files = [link for link in links if not link.startswith("http")]
    assert len(files) > 10
    assert [link for link in files if not (ROOT / link).exists()] == []


def test_tests_that_contributing_points_to_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py"))
    names = re.findall(r"`(test_\w+)`", text)
    assert len(names) == 3
    assert [name for name in names if f"def {name}(" not in tests] == []
