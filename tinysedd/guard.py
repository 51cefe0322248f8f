"""What is checked about the input of the core. Skip this file when you read it: it only turns mistakes into sentences.

Without these checks a score of the wrong shape, or texts of another alphabet, would broadcast or index their way to a
number that looks right. They take microseconds, so they are always on.
"""

import math
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tinysedd.corpus import Alphabet
    from tinysedd.process import Process, Score


def call(score: "Score", process: "Process", x: Tensor, sigma: Tensor) -> Tensor:
    """score(x, sigma), the log-scores (B, L, S) of texts x (B, L) at total noise sigma (B,).

    ValueError if the score belongs to another process, or does not return floating-point numbers of that shape.
    """
    own = getattr(score, "process", None)
    if own is not None and own is not process and replace(own, schedule=process.schedule) != process:
        raise ValueError(f"this score is for {own}, not for {process}: pass its own process")
    log_score = score(x, sigma.float())
    if not isinstance(log_score, Tensor) or not log_score.is_floating_point():
        got = log_score.dtype if isinstance(log_score, Tensor) else type(log_score).__name__
        raise ValueError(f"a score returns a tensor of floating-point log-scores, but this one returned {got}")
    if log_score.shape != (*x.shape, process.num_states):
        raise ValueError(
            f"the score must return log-scores of shape (B, L, S) = {(*x.shape, process.num_states)}, one for each of "
            f"the {process.num_states} states of {type(process).__name__}; it returned {tuple(log_score.shape)}"
        )
    return log_score


def check_rates(process: "Process") -> None:
    """ValueError unless the rate matrix of a process of one's own is one."""
    if _has_our_rates(process):
        return
    with torch.device("cpu"):  # a checkpoint is loaded on "meta", where numbers have no values
        Q = process.rate_matrix()
    S, name = process.num_states, f"the rate matrix of {type(process).__name__}"
    if not isinstance(Q, Tensor) or Q.dtype != torch.float64 or Q.shape != (S, S):
        got = f"{Q.dtype} of shape {tuple(Q.shape)}" if isinstance(Q, Tensor) else type(Q).__name__
        raise ValueError(f"{name} must be float64 of shape {(S, S)}, a row and a column for each state, not {got}")
    if not Q.isfinite().all() or (Q - Q.diag().diag() < 0).any():
        raise ValueError(f"{name} must be finite, and not negative outside the diagonal: these are rates of jumps")
    row, worst = Q.sum(-1).abs().argmax(), float(Q.sum(-1).abs().max())
    if worst > 1e-6 * max(1.0, float(Q.abs().max())):
        raise ValueError(
            f"each row of {name} must sum to 0, but row {row} sums to {Q[row].sum():g}: rows are from, columns are to, "
            "and on the diagonal is minus the sum of the other rates in the row"
        )


def check_forgets(process: "Process", sigma: float | None = None) -> None:
    """ValueError if a text with noise sigma (default: the end of the schedule) still shows what it was. Samples would
    start from texts that the noise does not lead to, and the likelihood bound would be too low."""
    if _has_our_rates(process):
        return
    end = float(process.schedule.total(torch.ones((), dtype=torch.float64))) if sigma is None else sigma
    rows = process.transition(end)[: process.num_tokens]
    left = float((rows - rows.mean(0)).abs().sum(-1).max() / 2)  # total variation
    if left > 0.1:
        raise ValueError(
            f"{type(process).__name__} does not forget: at sigma = {end:.3g}, what becomes of a character depends "
            f"on what it was, by {left:.0%}. Every character must be able to become every other, at a rate of about 1: "
            "schedules end near sigma = 7"
        )


def only_masks(process: "Process") -> bool:
    """Whether the noise only masks: a visible character is then what it was."""
    if process.mask is None or _has_our_rates(process):
        return process.mask is not None
    among = process.rate_matrix()[: process.mask, : process.mask]  # jumps from character to character
    return not (among - among.diag().diag()).any()


def check_masks(process: "Process", what: str, instead: str = "") -> int:
    """The mask of a process. ValueError if it has none, or if characters that are visible may still change."""
    name = type(process).__name__
    if process.mask is None:
        raise ValueError(f"{what} needs masks, and {name} has none{instead}")
    if not only_masks(process):
        raise ValueError(f"{what} needs visible characters to be final, and under {name} they can change{instead}")
    return process.mask


def _has_our_rates(process: "Process") -> bool:
    """Whether this is Absorbing or Uniform, whose rates are right. They are never asked for, since for a large alphabet
    the matrix is huge."""
    return type(process).rate_matrix.__module__ == "tinysedd.process"


def check_texts(x0: Tensor, process: "Process", score: "Score") -> None:
    """ValueError unless x0 (B, L) holds ids of characters, at least one, in texts as long as the score was made for."""
    if not isinstance(x0, Tensor) or x0.dtype != torch.int64 or x0.ndim != 2 or not x0.numel():
        got = f"{x0.dtype} of shape {tuple(x0.shape)}" if isinstance(x0, Tensor) else type(x0).__name__
        raise ValueError(f"texts are a tensor of ids, int64 of shape (B, L) with B and L above 0, not {got}")
    low, high = (int(bound) for bound in x0.aminmax())
    if low < 0 or high >= process.num_tokens:
        raise ValueError(
            f"clean texts have the ids 0 to {process.num_tokens - 1} under this process, but here are ids from {low} "
            f"to {high}: are they of another alphabet, or noisy?"
        )
    length = getattr(score, "length", None)
    if length not in (None, x0.shape[1]):
        raise ValueError(f"these texts have {x0.shape[1]} characters, but the score was made for texts of {length}")


def check_alphabet(alphabet: "Alphabet | None", process: "Process", other: "Alphabet | None" = None) -> None:
    """ValueError unless the alphabet has a character for each token of the process and is the same as the other one."""
    if alphabet is None:
        return
    if len(set(alphabet.characters)) < len(alphabet):
        raise ValueError(f"the characters of an alphabet must all be different: {excerpt(alphabet.characters)}")
    if len(alphabet) != process.num_tokens:
        name = type(process).__name__
        raise ValueError(f"the alphabet has {len(alphabet)} characters, but {name} has {process.num_tokens} tokens")
    if other is not None and other != alphabet:
        mine, theirs = excerpt(alphabet.characters), excerpt(other.characters)
        raise ValueError(f"two alphabets that should be the same differ: {mine} and {theirs}")


def check_at_least(least: int, **numbers: int) -> None:
    """ValueError names a number that is not an integer of at least this size."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, Integral) or number < least:
            raise ValueError(f"{name} must be an integer of at least {least}, not {number!r}")


def check_between(low: float, high: float, **numbers: float) -> None:
    """ValueError names a number that is not strictly between these two; nan is not."""
    allowed = f"a finite number above {low}" if high == math.inf else f"between {low} and {high}"
    for name, number in numbers.items():
        if not isinstance(number, Real) or not low < number < high:
            raise ValueError(f"{name} must be {allowed}, not {number!r}")


def check_no_nan(bound: Tensor) -> Tensor:
    """The bound of each text, if all are numbers. FloatingPointError if not."""
    if bound.isnan().any():
        raise FloatingPointError(
            "the bound or cost is not a number: the score returned nan, or infinity where it should be finite"
        )
    return bound


def check_probabilities(total: Tensor) -> None:
    """ValueError unless all sums of unnormalized probabilities are above 0."""
    if not (total > 0).all():
        raise ValueError("probabilities are nan or all 0: are all scores numbers, and was the model trained?")


def deviation(values: Tensor) -> float:
    """The standard deviation of values (M,); nan, and no warning, for a single one."""
    return float(values.std()) if len(values) > 1 else math.nan


def check_seed(seed: int) -> None:
    """ValueError unless a torch.Generator takes this seed."""
    check_at_least(0, seed=seed)
    if seed >= 2**63:
        raise ValueError(f"seed must be below 2^63, not {seed}")


def check_one_of(choices: tuple[str, ...], **values: str) -> None:
    """ValueError names a value that is none of the choices."""
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"{name} must be {' or '.join(map(repr, choices))}, not {value!r}")


def check_long_enough(characters: int, length: int, validation_share: float) -> None:
    """ValueError unless both parts of a text have a block of this length; it says how long the text must be."""
    check_between(0, 1, validation_share=validation_share)
    check_at_least(1, length=length)
    held_out = int(validation_share * characters)
    if min(characters - held_out, held_out) < length:
        least = int(length / min(validation_share, 1 - validation_share)) + 1
        raise ValueError(
            f"a text of {characters} characters is too short for blocks of {length} to train on and, from its "
            f"last {validation_share:.0%}, to validate on: use a text of at least {least}, or shorter blocks"
        )


def check_lines(numbered: list[tuple[int, str]], length: int) -> None:
    """ValueError unless at least two (number, line) pairs have different lines, none longer than this."""
    check_at_least(1, length=length)
    if len({line for _, line in numbered}) < 2:
        raise ValueError(f"a corpus needs at least 2 lines that differ; here are {len(numbered)} not empty")
    for number, line in numbered:
        if len(line) > length:
            raise ValueError(f"line {number} has {len(line)} characters, more than {length}: {line[:40]!r}")


def find_length(length: int | None, own: int | None, prompt: str | None) -> int:
    """The length of a text to write: the one asked for, the score's own, or the prompt's. ValueError if none is known,
    or the score cannot write that many characters."""
    if own is not None and length is not None and length > own:
        raise ValueError(f"this score writes at most {own} characters, not {length}")
    for known in (length, own, len(prompt or "") or None):
        if known is not None:
            return known
    raise ValueError("say how long the text should be: pass length= or prompt=")


def per_text(sigma: Tensor, x: Tensor) -> Tensor:
    """sigma (B,) in float64. ValueError for another shape, as (B, 1) would quietly give (B, B, L), or nan."""
    if sigma.shape != x.shape[:1]:
        raise ValueError(f"sigma has one value per text, shape ({len(x)},), not {tuple(sigma.shape)}")
    if not (sigma >= 0).all():
        raise ValueError("sigma must be at least 0, and a number")
    return sigma.double()


def excerpt(characters: str) -> str:
    """Characters in quotes, short enough for a message: of more than 80, the first 60 and how many there are."""
    rest = f" ... ({len(characters)} characters)" if len(characters) > 80 else ""
    return repr(characters[:60] if rest else characters) + rest
