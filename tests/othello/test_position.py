"""A position that is played on move by move agrees with whole games replayed."""

from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extracted_rules import (
    BoardError,
    Geometry,
    IllegalGameError,
    NotationError,
    Position,
    format_transcript,
    random_games,
    replay,
    squares_from_tokens,
)
from extracted_rules.othello.svg import Picture, side_by_side

SVG = "{http://www.w3.org/2000/svg}"


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([4, 6, 8]))
def test_a_position_agrees_with_the_replay_of_its_game(seed: int, board: int) -> None:
    (tokens,) = next(random_games(1, seed, board=board, purpose="test"))
    played, labels = replay(tokens[None], board=board), Geometry(board).labels
    squares = squares_from_tokens(tokens, board)
    position, shown = Position(board), []
    for ply in range(len(squares) + 1):
        assert position.board.equal(played.boards[0, ply])
        assert position.turn == int(played.movers[0, ply])
        assert position.passed == bool(played.passes[0, ply])
        assert position.legal_moves == [labels[s] for s in played.legal[0, ply].nonzero().flatten()]
        shown.append(str(position))
        if ply < len(squares):
            assert position.flips(squares[ply]) == [
                labels[s] for s in played.flips[0, ply].nonzero().flatten()
            ]
            position.push(squares[ply])
    assert position.is_over
    assert position.tokens.equal(tokens[tokens > 0].long())
    assert position.transcript == format_transcript(squares, board)
    assert str(Position.after(position.transcript, board)) == shown[-1]
    for square, before in zip(squares[::-1], shown[-2::-1], strict=True):
        assert position.pop() == labels[square]
        assert str(position) == before


def test_a_copy_goes_its_own_way() -> None:
    one = Position.after("f5")
    other = one.copy()
    other.push("d6")
    assert (one.transcript, other.transcript) == ("f5", "f5d6")


@pytest.mark.parametrize(
    ("move", "reason"),
    [
        ("a1", "ply 3: A1 flips nothing"),
        ("f5", "ply 3: F5 is already occupied"),
        ("D4", "ply 3: D4 is already occupied"),
    ],
)
def test_an_illegal_move_says_why_and_changes_nothing(move: str, reason: str) -> None:
    position = Position.after("f5d6")
    with pytest.raises(IllegalGameError) as caught:
        position.push(move)
    assert str(caught.value) == reason
    with pytest.raises(IllegalGameError):
        position.flips(move)
    assert position.transcript == "f5d6"


def test_what_is_no_move_is_one_sentence() -> None:
    over = Position.after("".join(_any_game(4)), 4)
    with pytest.raises(IllegalGameError, match="A1 is played after the game is over"):
        over.push("A1")
    with pytest.raises(NotationError, match=r"'f5' is not a square of the 4 x 4 board \(A1..D4\)"):
        Position(4).push("f5")
    with pytest.raises(NotationError, match="64 is no square"):
        Position().push(64)
    with pytest.raises(BoardError, match="4, 6 or 8 squares a side, not 5"):
        Position(5)
    with pytest.raises(IndexError):
        Position().pop()


def _any_game(board: int) -> list[str]:
    """The first legal move, until there is none."""
    position = Position(board)
    while position.legal_moves:
        position.push(position.legal_moves[0])
    return [position.transcript]


def test_a_position_shows_itself_as_text() -> None:
    assert str(Position(4)) == (
        "  A B C D\n1 . * . .\n2 * O X .\n3 . X O *\n4 . . * .\nblack to move"
    )
    assert repr(Position.after("b1", 4)) == "Position.after('b1', board=4)"


@pytest.mark.parametrize("board", [4, 6, 8])
def test_a_position_draws_itself(board: int) -> None:
    position = Position(board)
    position.push(position.legal_moves[0])
    picture = ElementTree.fromstring(position._repr_svg_())
    discs = [c.get("fill") for c in picture.iter(f"{SVG}circle") if c.get("r") == "12.5"]
    assert sorted(discs) == ["#1a1a1a"] * 4 + ["#ffffff"]
    dots = [c for c in picture.iter(f"{SVG}circle") if c.get("fill") == "#ffd700"]
    assert len(dots) == len(position.legal_moves) == 3
    squares = [r for r in picture.iter(f"{SVG}rect") if r.get("stroke") == "#999"]
    assert len(squares) == board**2
    assert position.picture.title == "after 1 move: white to move"
    assert Position.after("f5d6").picture.title == "after 2 moves: black to move"


def test_marks_and_tints() -> None:
    square_of = Geometry().square_of
    tint = torch.zeros(64)
    tint[square_of("A1")], tint[square_of("H8")] = 6.0, -3.0
    wrong = torch.zeros(64, dtype=torch.bool)
    wrong[square_of("E4")] = True
    plain = Position().picture
    marked = Picture(
        plain.discs, plain.legal, "<&>", tint, wrong=wrong, likeliest=square_of("A1"), frame=63
    )
    picture = ElementTree.fromstring(marked.svg())
    fills = [r.get("fill") for r in picture.iter(f"{SVG}rect")]
    assert "#2166ac" in fills  # at the limit
    assert "#d88c95" in fills  # half way to red
    assert "#ffffff" in fills  # zero is white
    assert len(list(picture.iter(f"{SVG}path"))) == 1  # the likeliest move is illegal
    assert "#d55e00" in marked.svg()
    row = ElementTree.fromstring(side_by_side(marked, plain, Picture(plain.discs)))
    assert len(list(row.iter(f"{SVG}svg"))) == 3
