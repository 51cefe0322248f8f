"""Small worlds of text in which the truth is known: every probability, and so every concrete score, is exact."""

from tinysedd.worlds.fables import Fables
from tinysedd.worlds.oracle import Oracle, World
from tinysedd.worlds.words import Words

WORLDS: dict[str, type[World]] = {"words": Words, "fables": Fables}

__all__ = ["WORLDS", "Fables", "Oracle", "Words", "World"]
