"""Text as tensors: characters to ids and back, and blocks to train and to validate on."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# In a prompt: a character for the model to choose, even where the alphabet has this one; in a text on its way out of
# the noise: a mask.
FREE = "_"


@dataclass(frozen=True)
class Alphabet:
    """The characters of a corpus; a character's id is its place among them, and the mask's id is their number."""

    characters: str

    def __len__(self) -> int:
        return len(self.characters)

    @classmethod
    def of(cls, text: str) -> "Alphabet":
        """The alphabet of a text, in code point order."""
        return cls("".join(sorted(set(text))))

    def encode(self, text: str) -> Tensor:
        """Ids (L,) of a text. ValueError names the first character that is not in the alphabet, and where it stands."""
        return self._encode(text, {})

    def _encode(self, text: str, stand_in: dict[str, int]) -> Tensor:
        ids = {c: i for i, c in enumerate(self.characters)} | stand_in
        for place, c in enumerate(text):
            if c not in ids:
                raise ValueError(
                    f"the character {c!r} at position {place} of {_around(text, place)!r} is not in the alphabet "
                    f"{self.characters!r}"
                )
        return torch.tensor([ids[c] for c in text], dtype=torch.int64)

    def decode(self, ids: Tensor) -> str:
        """The text of ids (L,); a mask is shown as _."""
        return "".join((self.characters + FREE)[i] for i in ids.tolist())

    def encode_prompt(self, prompt: str, length: int) -> tuple[Tensor, Tensor]:
        """Ids (L,) and which of them are given (L,), for a prompt with _ for each free character.

        What the prompt lacks to the length is free. ValueError where it is longer, or has an unknown character.
        """
        if len(prompt) > length:
            raise ValueError(f"the prompt has {len(prompt)} characters; there is room for {length}")
        prompt = prompt.ljust(length, FREE)
        given = torch.tensor([c != FREE for c in prompt])
        return self._encode(prompt, {FREE: 0}), given  # what stands at a free place is never looked at


@dataclass(frozen=True)
class Corpus:
    """Texts of one length: draw(count, generator) gives fresh training texts (count, L), validation (M, L) is fixed."""

    alphabet: Alphabet
    draw: Callable[[int, torch.Generator], Tensor]
    validation: Tensor

    @property
    def length(self) -> int:
        return self.validation.shape[1]

    @classmethod
    def from_text(
        cls, text: str, length: int, alphabet: Alphabet | None = None, validation_share: float = 0.1
    ) -> "Corpus":
        """Blocks of a long text: training blocks start anywhere in its first part, the last part is for validation.

        alphabet: the text's own, unless told. ValueError where the text is too short for one block of each.
        """
        if not 0 < validation_share < 1:
            raise ValueError(f"validation_share must be between 0 and 1, not {validation_share}")
        alphabet = alphabet or Alphabet.of(text)
        ids = alphabet.encode(text)
        train, rest = ids.split([len(ids) - int(validation_share * len(ids)), int(validation_share * len(ids))])
        if min(len(train), len(rest)) < length:
            least = int(length / min(validation_share, 1 - validation_share)) + 1
            raise ValueError(
                f"a text of {len(text)} characters is too short: its last {validation_share:.0%} must hold a block of "
                f"{length} characters, and so must the rest; take a text of at least {least}, or shorter blocks"
            )
        blocks = train.unfold(0, length, 1)  # (all starts, L), a view

        def draw(count: int, generator: torch.Generator) -> Tensor:
            return blocks[torch.randint(len(blocks), (count,), generator=generator)]

        return cls(alphabet, draw, rest[: len(rest) // length * length].view(-1, length))

    @classmethod
    def from_world(cls, world, validation_texts: int = 2000) -> "Corpus":
        """A world's texts: training never sees a text twice but by chance."""
        validation = world.sample(validation_texts, torch.Generator().manual_seed(0))
        return cls(world.alphabet, world.sample, validation)


def _around(text: str, place: int) -> str:
    return text[max(place - 10, 0) : place + 11]
