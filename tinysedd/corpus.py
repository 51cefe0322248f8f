"""Text as tensors: characters to ids and back, and texts of one length to train and validate on."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from tinysedd.guard import check_lines, check_long_enough, excerpt

FREE = "_"  # in a prompt: a character for the model to choose, even if the alphabet has a _; in a noisy text: a mask


@dataclass(frozen=True)
class Alphabet:
    """The characters of a corpus. A character's id is its index in `characters`; the mask's id is len(alphabet)."""

    characters: str

    def __len__(self) -> int:
        return len(self.characters)

    @classmethod
    def of(cls, text: str) -> "Alphabet":
        """The alphabet of a text, in code point order."""
        return cls("".join(sorted(set(text))))

    def encode(self, text: str, free: bool = False) -> Tensor:
        """Ids (L,) of a text; if free, _ gets id 0. ValueError names a character that is not in the alphabet."""
        ids = {c: i for i, c in enumerate(self.characters)} | ({FREE: 0} if free else {})
        for i, c in enumerate(text):
            if c not in ids:
                near = text[max(i - 10, 0) : i + 11]
                raise ValueError(f"{c!r} at position {i} of {near!r} is not in the alphabet {excerpt(self.characters)}")
        return torch.tensor([ids[c] for c in text], dtype=torch.int64)

    def decode(self, ids: Tensor) -> str:
        """The text of ids (L,); a mask is shown as _."""
        return "".join((self.characters + FREE)[i] for i in ids.tolist())

    def encode_prompt(self, prompt: str, length: int) -> tuple[Tensor, Tensor]:
        """Ids (L,) of a prompt, and which characters it gives (L,), bool. _ is a free character, and everything after
        the end of the prompt is free. ValueError if it is too long or has a character that is not in the alphabet."""
        if len(prompt) > length:
            raise ValueError(f"the prompt has {len(prompt)} characters; there is room for {length}")
        prompt = prompt.ljust(length, FREE)
        return self.encode(prompt, free=True), torch.tensor([c != FREE for c in prompt])


@dataclass(frozen=True)
class Corpus:
    """Texts of one length. batch(n, generator) draws training texts (n, L); validation (M, L) is fixed and held out."""

    alphabet: Alphabet
    batch: Callable[[int, Generator], Tensor]
    validation: Tensor

    @property
    def length(self) -> int:
        """Characters per text."""
        return self.validation.shape[1]

    @classmethod
    def from_text(
        cls, text: str, length: int, alphabet: Alphabet | None = None, validation_share: float = 0.1
    ) -> "Corpus":
        """Blocks of a long text: training blocks start anywhere in its first part; its last part is held out.

        The alphabet defaults to the text's own. ValueError if the text is too short for a block in each part.
        """
        check_long_enough(len(text), length, validation_share)
        alphabet = alphabet or Alphabet.of(text)
        ids = alphabet.encode(text)
        train, held_out = ids.split([len(ids) - int(validation_share * len(ids)), int(validation_share * len(ids))])
        blocks = train.unfold(0, length, 1)  # (every start, L), a view
        return cls(alphabet, _batches_of(blocks), held_out[: len(held_out) // length * length].view(-1, length))

    @classmethod
    def from_lines(cls, lines: Iterable[str], length: int | None = None, alphabet: Alphabet | None = None) -> "Corpus":
        """One text per line (names, words, formulas), padded with spaces to the longest; empty lines are skipped. A
        tenth of the different lines, the same every time, is held out. ValueError if fewer than two lines differ or
        one is longer than `length`."""
        numbered = [(number, line.rstrip()) for number, line in enumerate(lines, 1) if line.strip()]
        length = max((len(line) for _, line in numbered), default=1) if length is None else length
        check_lines(numbered, length)
        alphabet = alphabet or Alphabet.of(" ".join(line for _, line in numbered))
        ids = torch.stack([alphabet.encode(line.ljust(length)) for _, line in numbered])
        distinct, which = ids.unique(dim=0, return_inverse=True)
        held_out = torch.randperm(len(distinct), generator=Generator().manual_seed(0)) < max(len(distinct) // 10, 1)
        return cls(alphabet, _batches_of(ids[~held_out[which]]), distinct[held_out])

    @classmethod
    def from_world(cls, world, validation_texts: int = 2000) -> "Corpus":
        """Texts of a world: every batch is fresh, and a training text repeats only by chance."""
        validation = world.sample(validation_texts, Generator().manual_seed(0))
        return cls(world.alphabet, world.sample, validation)


def _batches_of(texts: Tensor) -> Callable[[int, Generator], Tensor]:
    """Random rows of texts (M, L), with replacement."""
    return lambda n, generator: texts[torch.randint(len(texts), (n,), generator=generator)]
