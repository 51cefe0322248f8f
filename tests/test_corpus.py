"""Characters to ids and back, prompts, and corpora that keep training and validation texts apart."""

import pytest
import torch
from conftest import p_value

from tinysedd.corpus import FREE, Alphabet, Corpus
from tinysedd.worlds import Words

ABC = Alphabet("abc ")


# Alphabet


def test_encode_and_decode_are_inverses():
    text = "Ünï\n\ttext – ☃ 'quoted'"
    alphabet = Alphabet.of(text)
    assert list(alphabet.characters) == sorted(set(text)) and len(alphabet) == len(set(text))
    ids = alphabet.encode(text)
    assert ids.dtype == torch.int64 and ids.tolist() == [alphabet.characters.index(c) for c in text]
    assert alphabet.decode(ids) == text
    assert alphabet.encode("").shape == (0,) and alphabet.decode(alphabet.encode("")) == ""


def test_a_mask_is_decoded_as_an_underscore():
    assert ABC.decode(torch.tensor([0, len(ABC), 2])) == "a_c" and FREE == "_"


@pytest.mark.parametrize(
    ("text", "character", "position"), [("abcd", "'d'", 3), ("Zab", "'Z'", 0), ("a\nb?", r"'\\n'", 1)]
)
def test_the_error_names_an_unknown_character_and_its_position(text, character, position):
    with pytest.raises(ValueError, match=f"{character} at position {position} .*'abc '"):
        ABC.encode(text)


def test_the_error_for_a_long_text_quotes_only_the_neighborhood():
    with pytest.raises(ValueError, match="position 5000 of 'aaaaaaaaaa!bbbbbbbbbb' "):
        ABC.encode("a" * 5000 + "!" + "b" * 5000)


def test_an_underscore_in_a_prompt_is_free_and_the_rest_is_given():
    ids, given = ABC.encode_prompt("_ab_c", 5)
    assert given.tolist() == [False, True, True, False, True]
    assert ids[given].tolist() == [0, 1, 2] and ids.dtype == torch.int64 and given.dtype == torch.bool
    assert ids.min() >= 0 and ids.max() < len(ABC)  # free positions hold a valid id too


def test_everything_after_the_prompt_is_free_but_a_trailing_space_is_given():
    ids, given = ABC.encode_prompt("a ", 4)
    assert given.tolist() == [True, True, False, False] and ids[given].tolist() == [0, 3]
    assert ABC.encode_prompt("", 3)[1].tolist() == [False] * 3
    assert ABC.encode_prompt("abca", 4)[1].all()


def test_bad_prompts_are_refused():
    with pytest.raises(ValueError, match="prompt has 5 characters; there is room for 4"):
        ABC.encode_prompt("_____", 4)
    with pytest.raises(ValueError, match="'x' at position 2"):
        ABC.encode_prompt("a_x", 8)
    with pytest.raises(ValueError, match="of 'a__x_____'"):
        ABC.encode_prompt("a__x", 9)


def test_an_underscore_in_a_prompt_is_free_even_if_the_alphabet_has_one():
    ids, given = Alphabet("_a").encode_prompt("a_", 2)
    assert ids[0] == 1 and given.tolist() == [True, False]
    assert Alphabet("_a").encode("_").tolist() == [0]


# Corpus: blocks of a long text


def numbered(count: int) -> str:
    """A text of distinct characters, so that each one tells its own position."""
    return "".join(chr(0x4E00 + i) for i in range(count))


@pytest.mark.parametrize(
    ("count", "length", "share"), [(1000, 10, 0.1), (1009, 7, 0.1), (300, 50, 0.25), (110, 10, 0.5)]
)
def test_training_never_sees_the_validation_text(count, length, share):
    """All characters are distinct, so the first id of a block is its start."""
    corpus = Corpus.from_text(numbered(count), length, validation_share=share)
    boundary = count - int(share * count)
    drawn = corpus.batch(20_000, torch.Generator().manual_seed(0))
    assert corpus.length == length and drawn.shape == (20_000, length) and drawn.dtype == torch.int64
    assert (drawn.diff(dim=1) == 1).all() and (corpus.validation.diff(dim=1) == 1).all()
    assert drawn.max() < boundary <= corpus.validation.min()
    # Every start in the first part occurs: 20,000 draws miss one of at most 1,000 with probability below 1000 e^-20.
    assert set(drawn[:, 0].tolist()) == set(range(boundary - length + 1))
    # Validation consists of as many consecutive blocks as fit.
    starts = torch.arange(boundary, count - length + 1, length)
    assert corpus.validation[:, 0].tolist() == starts.tolist()


def test_all_block_starts_are_equally_likely():
    """Chi-square test of 90,000 draws over 91 starts; size 1e-4.

    Power: leaving out one start adds about 1,000 to a statistic of about 90.
    """
    corpus = Corpus.from_text(numbered(112), 10)
    starts = corpus.batch(90_000, torch.Generator().manual_seed(1))[:, 0]
    assert p_value(starts.bincount(minlength=92), torch.ones(92)) > 1e-4


def test_batches_depend_on_the_seed_only():
    corpus = Corpus.from_text(numbered(200), 5)
    first, again, other = (corpus.batch(50, torch.Generator().manual_seed(seed)) for seed in (2, 2, 3))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize(("length", "share"), [(64, 0.1), (10, 0.3), (64, 0.9)])
def test_a_text_that_is_too_short_is_refused_and_the_suggested_length_is_enough(length, share):
    for count in (0, 5, length, 2 * length - 1):
        with pytest.raises(ValueError, match=f"text of {count} characters is too short") as refused:
            Corpus.from_text(numbered(count), length, validation_share=share)
    least = int(str(refused.value).split("at least ")[1].split(",")[0])
    corpus = Corpus.from_text(numbered(least), length, validation_share=share)
    assert len(corpus.validation) >= 1 and corpus.batch(1, torch.Generator()).shape == (1, length)


def test_from_text_takes_the_alphabet_of_another_text():
    """A trained model meets a file that lacks some of its characters. A character it does not know is an error."""
    corpus = Corpus.from_text("ab" * 50, 5, ABC)
    assert corpus.alphabet == ABC and ABC.decode(corpus.validation[0]) == "ababa"
    with pytest.raises(ValueError, match="'!' at position 100"):
        Corpus.from_text("ab" * 50 + "!" * 20, 5, ABC)


def test_from_world_draws_fresh_texts_and_a_fixed_validation_set():
    world = Words()
    corpus, again = Corpus.from_world(world, 50), Corpus.from_world(world, 50)
    assert corpus.alphabet == world.alphabet and corpus.length == 3
    assert corpus.validation.shape == (50, 3) and (corpus.validation == again.validation).all()
    drawn = corpus.batch(40, torch.Generator().manual_seed(4))
    assert (drawn == world.sample(40, torch.Generator().manual_seed(4))).all()
    assert world.log_prob(drawn).isfinite().all() and world.log_prob(corpus.validation).isfinite().all()


@pytest.mark.parametrize("share", [-0.1, 0, 1, 2])
def test_validation_share_must_lie_between_0_and_1(share):
    with pytest.raises(ValueError, match="validation_share"):
        Corpus.from_text("abc" * 100, 4, validation_share=share)


# Corpus: one text per line


def names(count: int) -> list[str]:
    """Distinct lines of 1 to 4 letters."""
    return [f"{chr(97 + i % 26)}{'xyz'[: i % 4]}{'w' * (i // 26 % 2)}" for i in range(count)]


def test_lines_are_padded_with_spaces_and_empty_lines_are_skipped():
    lines = ["anna", "", "bo  ", "   ", "  cy", "d\r"]
    corpus = Corpus.from_lines(iter(lines))
    assert corpus.length == 4 and corpus.alphabet == Alphabet(" abcdnoy")
    drawn = corpus.batch(200, torch.Generator().manual_seed(0))
    texts = {corpus.alphabet.decode(row) for row in torch.cat([drawn, corpus.validation])}
    assert texts == {"anna", "bo  ", "  cy", "d   "}


def test_a_tenth_of_the_lines_is_held_out_the_same_every_time():
    """1,000 draws miss one of 36 training lines with probability below 36 e^-27."""
    lines = names(40)
    corpus, again = Corpus.from_lines(lines), Corpus.from_lines(lines)
    held_out = {corpus.alphabet.decode(row).rstrip() for row in corpus.validation}
    drawn = {corpus.alphabet.decode(row).rstrip() for row in corpus.batch(1000, torch.Generator().manual_seed(1))}
    assert len(set(lines)) == 40 and len(corpus.validation) == len(held_out) == 4
    assert drawn == set(lines) - held_out
    assert torch.equal(corpus.validation, again.validation)
    assert held_out != set(lines[:4]) and held_out != set(lines[-4:])  # a sorted list is not cut at one end


def test_two_lines_are_enough_and_fewer_are_refused():
    assert len(Corpus.from_lines(["a", "b"]).validation) == 1
    for lines, count in [([], 0), (["", " "], 0), (["a", ""], 1), (["a", "a"], 2)]:
        with pytest.raises(ValueError, match=f"at least 2 lines that differ; here are {count} not empty"):
            Corpus.from_lines(lines)


def test_a_repeated_line_is_either_trained_on_or_held_out():
    """Repeats count in training: of 3,000 draws "a" comes about 5 times as often as any other line."""
    lines = ["a"] * 5 + list("bcdefghijk")
    corpus = Corpus.from_lines(lines)
    held_out, drawn = corpus.validation.flatten(), corpus.batch(3000, torch.Generator().manual_seed(0)).flatten()
    assert len(held_out) == 1 and not torch.isin(drawn, held_out).any()
    counts = drawn.bincount(minlength=len(corpus.alphabet))[corpus.alphabet.encode("abcdefghijk")]
    assert 3.5 < counts[0] / counts[1:].max() < 6.5 or held_out == corpus.alphabet.encode("a")


def test_the_length_of_lines_can_be_larger_than_the_longest_but_not_smaller():
    assert Corpus.from_lines(["abc", "d"], length=5).length == 5
    with pytest.raises(ValueError, match="line 2 has 3 characters, more than 2: 'abc'"):
        Corpus.from_lines(["d", "abc"], length=2)


def test_the_number_of_a_line_that_is_too_long_counts_empty_lines_too():
    with pytest.raises(ValueError, match="line 4 has 3 characters"):
        Corpus.from_lines(["d", "", "", "abc"], length=2)


def test_lines_must_be_written_in_the_alphabet_of_the_model():
    assert Corpus.from_lines(["ab", "c"], alphabet=ABC).alphabet == ABC
    with pytest.raises(ValueError, match="'d' at position 1"):
        Corpus.from_lines(["ab", "cd"], alphabet=ABC)
