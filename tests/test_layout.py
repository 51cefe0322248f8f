"""The structure of the package: what imports what, how long the core is, and that everything public is documented."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import tinysedd
from tinysedd.checks.engine import Exercise

PACKAGE = Path(tinysedd.__file__).parent
# The plain core in the order in which its modules build on each other.
CORE = ["guard", "noise", "corpus", "process", "worlds", "model", "objective", "sampling", "train"]


def files_of(module: str) -> list[Path]:
    path = PACKAGE / module
    return sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def imports_of(path: Path) -> set[str]:
    """All modules that a file imports when it runs, also in functions: "torch.nn", "tinysedd.fast.model", ..."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import, which this test does not follow"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def starts_with(name: str, module: str) -> bool:
    return f"{name}.".startswith(f"{module}.")


@pytest.mark.parametrize("module", [*CORE, "minimal"])
def test_the_plain_core_imports_only_the_core_below_it(module):
    """So it never imports tinysedd.fast, tinysedd.files, tinysedd.show or a picture library, not even in a function."""
    below = [*CORE[: CORE.index(module)], module] if module in CORE else ["worlds"]
    for path in files_of(module):
        for name in imports_of(path):
            if starts_with(name, "tinysedd"):
                assert any(starts_with(name, f"tinysedd.{other}") for other in below), f"{path.name} imports {name}"
            else:
                package = name.split(".")[0]
                assert package in sys.stdlib_module_names | {"torch", "tqdm"}, f"{path.name} imports {name}"


def test_minimal_imports_nothing_from_the_package_at_the_top_level():
    tree = ast.parse((PACKAGE / "minimal.py").read_text(encoding="utf-8"))
    top = ast.Module([node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
    modules = {getattr(node, "module", None) or node.names[0].name for node in top.body}
    assert modules == {"sys", "time", "torch"}


def test_the_core_is_short():
    length = {
        name: len((PACKAGE / f"{name}.py").read_text(encoding="utf-8").splitlines())
        for name in ("noise", "process", "corpus", "model", "objective", "sampling", "minimal")
    }
    assert length.pop("minimal") <= 110
    assert sum(length.values()) <= 800, length


MODULES = ["tinysedd", *(found.name for found in pkgutil.walk_packages([str(PACKAGE)], "tinysedd."))]


def undocumented(owner: str, names: dict, inherited: set[str]):
    for name, thing in names.items():
        thing = inspect.unwrap(getattr(thing, "fget", None) or getattr(thing, "func", None) or thing)
        thing = getattr(thing, "__func__", thing)  # of a classmethod or staticmethod
        if name.startswith("_") or name in inherited or not (inspect.isfunction(thing) or inspect.isclass(thing)):
            continue
        if not thing.__doc__ or thing.__doc__.startswith(f"{name}("):  # a dataclass gets its signature for a docstring
            yield f"{owner}.{name}"
        if inspect.isclass(thing):
            yield from undocumented(f"{owner}.{name}", vars(thing), inherited_by(thing))


def inherited_by(kind: type) -> set[str]:
    """The names that a class overrides, also those of a protocol that it implements without naming it."""
    names = {name for base in kind.__mro__[1:] for name in vars(base)}
    for protocol in PROTOCOLS:
        members = {name for name in vars(protocol) if not name.startswith("_")}
        if kind is not protocol and members <= set(dir(kind)) | set(getattr(kind, "__annotations__", ())):
            names |= members
    return names


PROTOCOLS = [tinysedd.noise.Schedule]


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_has_a_docstring(name):
    """Except overridden methods, and the exercises of tinysedd.checks with their reference solutions."""
    module = importlib.import_module(name)
    own = {
        key: thing for key, thing in vars(module).items()
        if getattr(thing, "__module__", None) == name and not isinstance(thing, Exercise)
    }  # fmt: skip
    assert module.__doc__
    assert list(undocumented(name, own, set())) == []


@pytest.mark.slow
def test_importing_the_package_imports_no_picture_library():
    code = (
        "import sys, tinysedd; print([m for m in ('matplotlib', 'ipywidgets', 'IPython', 'PIL') if m in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert child.stdout.strip() == "[]"
