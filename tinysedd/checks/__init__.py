"""Checks for the exercises: check.NAME(your_function), one for each exercise; dir(check) lists them."""

import difflib
from types import ModuleType, SimpleNamespace
from typing import Any

from tinysedd.checks import building, evaluation, learning, noise, sampling, scores
from tinysedd.checks.engine import CheckFailed, Exercise, Passed

__all__ = ["CheckFailed", "Checks", "Passed", "check"]


class Checks:
    """All exercises of some modules, as attributes.

    Args:
        modules: modules whose exercises to collect, each under its own name.

    Raises:
        ValueError: two exercises have the same name.
    """

    def __init__(self, *modules: ModuleType | SimpleNamespace):
        for module in modules:
            for name, exercise in vars(module).items():
                if isinstance(exercise, Exercise):
                    if name in vars(self):
                        raise ValueError(f"two exercises are named {name!r}; the second is in {module.__name__}")
                    setattr(self, name, exercise)

    def __getattr__(self, name: str) -> Any:
        """Raise AttributeError with the closest name, because `name` is not an exercise."""
        near = difflib.get_close_matches(name, vars(self), n=1)
        hint = f"did you mean check.{near[0]}?" if near else f"the checks are {', '.join(vars(self))}"
        raise AttributeError(f"there is no check.{name}; {hint}")


check = Checks(scores, noise, learning, sampling, evaluation, building)
