from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from extracted_rules.othello.notation import (
    CENTRE,
    LABELS,
    PLAYABLE,
    SQUARE_OF_TOKEN,
    TOKEN_OF_SQUARE,
    NotationError,
    format_transcript,
    parse_transcript,
    square_of,
    squares_from_tokens,
    token_of,
    tokens_from_squares,
)

PLAYABLE_SQUARES = st.sampled_from(PLAYABLE)


def test_labels_and_tokens_follow_the_papers_numbering() -> None:
    assert LABELS[0] == "A1"
    assert LABELS[7] == "H1"
    assert LABELS[63] == "H8"
    assert [LABELS[s] for s in CENTRE] == ["D4", "E4", "D5", "E5"]
    assert token_of(square_of("A1")) == 1
    assert token_of(square_of("H8")) == 60
    assert token_of(square_of("C4")) + 1 == token_of(square_of("F4"))


def test_tokens_and_squares_are_inverse() -> None:
    tokens = torch.arange(1, 61)
    assert TOKEN_OF_SQUARE[SQUARE_OF_TOKEN[tokens]].equal(tokens)
    assert TOKEN_OF_SQUARE[list(CENTRE)].eq(0).all()


@given(st.lists(st.integers(0, 63)), st.booleans(), st.booleans())
def test_transcripts_round_trip(squares: list[int], spaces: bool, upper: bool) -> None:
    text = format_transcript(squares)
    if spaces:
        text = " ".join(text[i : i + 2] for i in range(0, len(text), 2))
    assert parse_transcript(text.upper() if upper else text) == squares


@given(st.lists(st.lists(PLAYABLE_SQUARES, max_size=60), max_size=5))
def test_tokens_round_trip(games: list[list[int]]) -> None:
    tokens = tokens_from_squares(games)
    assert [squares_from_tokens(row) for row in tokens] == games


@given(st.text())
def test_parsing_any_text_gives_squares_or_one_sentence(text: str) -> None:
    with suppress(NotationError):
        assert all(0 <= square < 64 for square in parse_transcript(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f5d6c", "ply 3: the transcript ends in the middle of a move"),
        ("f5d9", "ply 2: 'd9' is not a square"),
        ("f5 xx", "ply 2: 'xx' is not a square"),
    ],
)
def test_errors_name_the_ply(text: str, message: str) -> None:
    with pytest.raises(NotationError, match=message):
        parse_transcript(text)


def test_centre_squares_have_no_token() -> None:
    with pytest.raises(NotationError, match="ply 2: D4 is never played"):
        tokens_from_squares([[square_of("F5"), square_of("D4")]])
