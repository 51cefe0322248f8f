"""The checks of the exercises: check.NAME(your_function), one for each exercise; dir(check) lists them."""

import difflib

from tinysedd.checks import evaluation, learning, noise, sampling, scores
from tinysedd.checks.engine import CheckFailed, Exercise, Passed

__all__ = ["CheckFailed", "Checks", "Passed", "check"]


class Checks:
    """A namespace of all exercises of the given modules, each by the name that it has there."""

    def __init__(self, *modules):
        for module in modules:
            for name, exercise in vars(module).items():
                if isinstance(exercise, Exercise):
                    if name in vars(self):
                        raise ValueError(f"two exercises are called {name!r}; the second is in {module.__name__}")
                    setattr(self, name, exercise)

    def __getattr__(self, name: str):
        near = difflib.get_close_matches(name, vars(self), n=1)
        hint = f"did you mean check.{near[0]}?" if near else f"there are {', '.join(vars(self))}"
        raise AttributeError(f"there is no check.{name}; {hint}")


check = Checks(scores, noise, learning, sampling, evaluation)
