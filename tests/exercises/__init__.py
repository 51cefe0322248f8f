"""What students write: one file a notebook, with wrong solutions and right ones in another style.

A file says them with two decorators; test_exercises.py runs them all.

    @wrong("concrete_score", "upside down")     # must be rejected, with these words in the diagnosis
    def score_upside_down(p, x): ...

    @wrong("concrete_score")                    # must be rejected; no diagnosis of its own
    @right("concrete_score")                    # must pass

They are written out as a student would, and use nothing of tinysedd.checks.
"""

from collections.abc import Callable
from typing import NamedTuple


class Attempt(NamedTuple):
    exercise: str
    function: Callable
    right: bool
    says: str  # words of the diagnosis, or nothing


ATTEMPTS: list[Attempt] = []


def wrong(exercise: str, says: str = "") -> Callable[[Callable], Callable]:
    return lambda function: ATTEMPTS.append(Attempt(exercise, function, False, says)) or function


def right(exercise: str) -> Callable[[Callable], Callable]:
    return lambda function: ATTEMPTS.append(Attempt(exercise, function, True, "")) or function
