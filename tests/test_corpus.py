"""Characters to ids and back, prompts, and blocks of text that keep training and validation apart."""

import pytest
import torch

from tinysedd.corpus import FREE, Alphabet, Corpus
from tinysedd.worlds import Words

ABC = Alphabet("abc ")


# Alphabet


def test_text_goes_to_ids_and_back():
    text = "Ünï\n\ttext – ☃ 'quoted'"
    alphabet = Alphabet.of(text)
    assert list(alphabet.characters) == sorted(set(text)) and len(alphabet) == len(set(text))
    ids = alphabet.encode(text)
    assert ids.dtype == torch.int64 and ids.tolist() == [alphabet.characters.index(c) for c in text]
    assert alphabet.decode(ids) == text
    assert alphabet.encode("").shape == (0,) and alphabet.decode(alphabet.encode("")) == ""


def test_a_mask_is_shown_as_the_free_character():
    assert ABC.decode(torch.tensor([0, len(ABC), 2])) == "a_c" and FREE == "_"


@pytest.mark.parametrize(
    ("text", "character", "position"), [("abcd", "'d'", 3), ("Zab", "'Z'", 0), ("a\nb?", r"'\\n'", 1)]
)
def test_an_unknown_character_is_named_with_its_position(text, character, position):
    with pytest.raises(ValueError, match=f"{character} at position {position} .*'abc '"):
        ABC.encode(text)


def test_an_unknown_character_in_a_long_text_is_shown_with_what_is_around_it():
    with pytest.raises(ValueError, match="position 5000 of 'aaaaaaaaaa!bbbbbbbbbb' "):
        ABC.encode("a" * 5000 + "!" + "b" * 5000)


def test_prompts_say_what_is_given_and_what_is_free():
    ids, given = ABC.encode_prompt("_ab_c", 5)
    assert given.tolist() == [False, True, True, False, True]
    assert ids[given].tolist() == [0, 1, 2] and ids.dtype == torch.int64 and given.dtype == torch.bool
    assert 0 <= ids.min() and ids.max() < len(ABC)  # what stands at free places is a character too


def test_a_short_prompt_is_free_to_the_end_and_a_space_is_given():
    ids, given = ABC.encode_prompt("a ", 4)
    assert given.tolist() == [True, True, False, False] and ids[given].tolist() == [0, 3]
    assert ABC.encode_prompt("", 3)[1].tolist() == [False] * 3
    assert ABC.encode_prompt("abca", 4)[1].all()


def test_prompts_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="prompt has 5 characters; there is room for 4"):
        ABC.encode_prompt("_____", 4)
    with pytest.raises(ValueError, match="'x' at position 2"):
        ABC.encode_prompt("a_x", 8)
    with pytest.raises(ValueError, match="of 'a__x_____'"):
        ABC.encode_prompt("a__x", 9)


def test_an_underscore_is_free_in_a_prompt_even_where_the_alphabet_has_it():
    ids, given = Alphabet("_a").encode_prompt("a_", 2)
    assert ids[0] == 1 and given.tolist() == [True, False]
    assert Alphabet("_a").encode("_").tolist() == [0]


# Corpus


def numbered(count: int) -> str:
    """A text of different characters, so that each one tells where it stood."""
    return "".join(chr(0x4E00 + i) for i in range(count))


@pytest.mark.parametrize(
    ("count", "length", "share"), [(1000, 10, 0.1), (1009, 7, 0.1), (300, 50, 0.25), (110, 10, 0.5)]
)
def test_training_never_sees_what_validates(count, length, share):
    """All characters differ, so a block's first id is where it starts."""
    corpus = Corpus.from_text(numbered(count), length, validation_share=share)
    boundary = count - int(share * count)
    drawn = corpus.batch(20_000, torch.Generator().manual_seed(0))
    assert corpus.length == length and drawn.shape == (20_000, length) and drawn.dtype == torch.int64
    assert (drawn.diff(dim=1) == 1).all() and (corpus.validation.diff(dim=1) == 1).all()
    assert drawn.max() < boundary <= corpus.validation.min()
    # Every start in the first part comes: 20,000 draws miss one of at most 1,000 with a probability below 1000 e^-20.
    assert set(drawn[:, 0].tolist()) == set(range(boundary - length + 1))
    # Validation is as many blocks as fit, one after the other.
    starts = torch.arange(boundary, count - length + 1, length)
    assert corpus.validation[:, 0].tolist() == starts.tolist()


def test_starts_are_drawn_evenly(chance):
    """Chi-square of 90,000 draws over 91 starts; size 1e-4. Power: one start left out adds 1,000 to about 90."""
    corpus = Corpus.from_text(numbered(112), 10)
    starts = corpus.batch(90_000, torch.Generator().manual_seed(1))[:, 0]
    assert chance(starts.bincount(minlength=92), torch.ones(92)) > 1e-4


def test_the_same_seed_draws_the_same_blocks():
    corpus = Corpus.from_text(numbered(200), 5)
    first, again, other = (corpus.batch(50, torch.Generator().manual_seed(seed)) for seed in (2, 2, 3))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize(("length", "share"), [(64, 0.1), (10, 0.3), (64, 0.9)])
def test_a_text_that_is_too_short_is_refused_and_the_length_it_names_is_enough(length, share):
    for count in (0, 5, length, 2 * length - 1):
        with pytest.raises(ValueError, match=f"text of {count} characters is too short") as refused:
            Corpus.from_text(numbered(count), length, validation_share=share)
    least = int(str(refused.value).split("at least ")[1].split(",")[0])
    corpus = Corpus.from_text(numbered(least), length, validation_share=share)
    assert len(corpus.validation) >= 1 and corpus.batch(1, torch.Generator()).shape == (1, length)


def test_an_alphabet_of_another_text_can_be_told():
    """As a trained model's is, for a file that lacks some of its characters; what it does not have is named."""
    corpus = Corpus.from_text("ab" * 50, 5, ABC)
    assert corpus.alphabet == ABC and ABC.decode(corpus.validation[0]) == "ababa"
    with pytest.raises(ValueError, match="'!' at position 100"):
        Corpus.from_text("ab" * 50 + "!" * 20, 5, ABC)


def test_a_world_as_a_corpus():
    world = Words()
    corpus, again = Corpus.from_world(world, 50), Corpus.from_world(world, 50)
    assert corpus.alphabet == world.alphabet and corpus.length == 3
    assert corpus.validation.shape == (50, 3) and (corpus.validation == again.validation).all()
    drawn = corpus.batch(40, torch.Generator().manual_seed(4))
    assert (drawn == world.sample(40, torch.Generator().manual_seed(4))).all()
    assert world.log_prob(drawn).isfinite().all() and world.log_prob(corpus.validation).isfinite().all()


@pytest.mark.parametrize("share", [-0.1, 0, 1, 2])
def test_a_share_for_validation_is_a_share(share):
    with pytest.raises(ValueError, match="validation_share"):
        Corpus.from_text("abc" * 100, 4, validation_share=share)
