"""Solutions that students write: one file per notebook, with wrong solutions and right ones in different styles.

Two decorators register them, and test_exercises.py runs them all.

    @wrong("concrete_score", "upside down")     # must be rejected, with these words in the diagnosis
    def score_upside_down(p, x): ...

    @wrong("concrete_score")                    # must be rejected; no particular diagnosis
    @right("concrete_score")                    # must pass

They are written the way a student would write them, and use nothing from tinysedd.checks.
"""

from collections.abc import Callable
from typing import NamedTuple


class Attempt(NamedTuple):
    """One solution of an exercise."""

    exercise: str
    function: Callable
    right: bool
    says: str = ""  # words in the diagnosis, or nothing
    seconds: float | None = None  # a shorter time limit for the check


ATTEMPTS: list[Attempt] = []


def wrong(exercise: str, says: str = "", seconds: float | None = None) -> Callable[[Callable], Callable]:
    """Register a wrong solution of an exercise.

    Args:
        exercise: name of the exercise.
        says: words that the diagnosis must contain.
        seconds: a shorter time limit, for a function that never ends.
    """
    return lambda function: ATTEMPTS.append(Attempt(exercise, function, False, says, seconds)) or function


def right(exercise: str) -> Callable[[Callable], Callable]:
    """Register a right solution of an exercise."""
    return lambda function: ATTEMPTS.append(Attempt(exercise, function, True)) or function
