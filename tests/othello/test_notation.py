from contextlib import suppress

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from extracted_rules import (
    Geometry,
    IllegalGameError,
    NotationError,
    format_transcript,
    parse_transcript,
    squares_from_tokens,
    tokens_from_squares,
)

SIZES = st.sampled_from([4, 6, 8])


def test_labels_and_tokens_follow_the_papers_numbering() -> None:
    g = Geometry()
    assert (g.labels[0], g.labels[7], g.labels[63]) == ("A1", "H1", "H8")
    assert [g.labels[s] for s in g.centre] == ["D4", "E4", "D5", "E5"]
    assert g.token_of(g.square_of("A1")) == 1
    assert g.token_of(g.square_of("H8")) == 60
    assert g.token_of(g.square_of("C4")) + 1 == g.token_of(g.square_of("F4"))


@pytest.mark.parametrize("board", [4, 6, 8])
def test_tokens_and_squares_are_inverse(board: int) -> None:
    g = Geometry(board)
    tokens = torch.arange(1, g.n_tokens)
    assert g.token_of_square[g.square_of_token[tokens]].equal(tokens)
    assert g.token_of_square[list(g.centre)].eq(0).all()


@given(st.data(), SIZES, st.booleans(), st.booleans())
def test_transcripts_round_trip(data: st.DataObject, board: int, spaces: bool, upper: bool) -> None:
    squares = data.draw(st.lists(st.integers(0, board**2 - 1)))
    text = format_transcript(squares, board)
    if spaces:
        text = " ".join(text[i : i + 2] for i in range(0, len(text), 2))
    assert parse_transcript(text.upper() if upper else text, board) == squares


@given(st.data(), SIZES)
def test_tokens_round_trip(data: st.DataObject, board: int) -> None:
    g = Geometry(board)
    squares = st.lists(st.sampled_from(g.playable), max_size=g.max_plies)
    games = data.draw(st.lists(squares, max_size=5))
    tokens = tokens_from_squares(games, board)
    assert tokens.shape == (len(games), g.max_plies)
    assert [squares_from_tokens(row, board) for row in tokens] == games


@given(st.text())
def test_parsing_any_text_gives_squares_or_one_sentence(text: str) -> None:
    with suppress(NotationError):
        assert all(0 <= square < 64 for square in parse_transcript(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f5d6c", "ply 3: 'c' is not a square"),
        ("f5d9", "ply 2: 'd9' is not a square"),
        ("f5 xx", "ply 2: 'xx' is not a square"),
        ("f5 (d6", r"ply 2: '\(' lacks its other half"),
        ("f5 12-52 d3", "these are several games"),
    ],
)
def test_errors_name_the_ply(text: str, message: str) -> None:
    with pytest.raises(NotationError, match=message):
        parse_transcript(text)


def test_passes_may_be_written_where_they_are_due() -> None:
    squares = parse_transcript("a2a3c4a1d4", 4)
    assert parse_transcript("a2 a3 c4 a1 -- d4", 4) == squares
    assert parse_transcript("1. A2 A3 2. C4 A1 3. pass D4", 4) == squares
    with pytest.raises(IllegalGameError, match="ply 3: a pass is written where none is due"):
        parse_transcript("a2a3PSc4", 4)
    with pytest.raises(IllegalGameError, match="ply 5: a pass is written where none is due"):
        parse_transcript("a2a3c4a1 ps ps d4", 4)


def test_centre_squares_have_no_token() -> None:
    with pytest.raises(NotationError, match="ply 2: D4 is never played"):
        tokens_from_squares([parse_transcript("f5d4")])


def test_games_of_another_board_do_not_fit() -> None:
    with pytest.raises(NotationError, match=r"ply 2: 'g6' is not a square of the 6 x 6 board"):
        parse_transcript("d2g6", 6)
    with pytest.raises(NotationError, match="a game has 13 moves; at most 12 fit the 4 x 4 board"):
        tokens_from_squares([[0] * 13], 4)
