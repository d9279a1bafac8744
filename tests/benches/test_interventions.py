from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from extracted_rules import Geometry, Position
from extracted_rules.benches.interventions import InterventionsError, read_interventions


def test_cases_are_games_and_discs(tmp_path: Path) -> None:
    path = tmp_path / "cases.txt"
    path.write_text("# moves, square, colour\n\nf5d6c3 D5 white\nF5-d6-c3-d3 c3 White\n")
    with pytest.raises(InterventionsError, match="line 4: C3 is black behind these moves, not"):
        read_interventions(path)
    path.write_text(path.read_text().replace("White", "BLACK"))
    cases = read_interventions(path)
    label = Geometry().labels.__getitem__
    assert [label(square) for square in cases.squares] == ["D5", "C3"]
    assert cases.tokens[1, :4].equal(Position.after("f5d6c3d3").tokens.to(torch.uint8))
    assert (cases.tokens != 0).sum(-1).tolist() == [3, 4]
    assert cases.name == "cases.txt"
    path.write_text("c2b2 c2 black\n")
    assert len(read_interventions(path, 6).tokens) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("f5d6 d5 white\nf5d6 d5\n", "line 2: a case is moves, a square and its colour"),
        ("f5d6 d5 red\n", "line 1: a case is moves"),
        ("f5d9 d5 black\n", "line 1: ply 2: 'd9' is not a square"),
        ("f5d6 d9 black\n", "line 1: 'd9' is not a square"),
        ("f5d6 d5 white\nf5f5 d5 black\n", "line 2: ply 2: F5 is already occupied"),
        ("f5d6 a1 black\n", "line 1: A1 is empty behind these moves, not black"),
        ("f5 d5 black\n", "line 1: a disc is turned behind two moves or more"),
        ("f5d4 d5 black\n", "line 1: ply 2: D4 is never played"),
        ("# none\n", "no case in this file"),
        ("", "this is no file of cases; it is empty"),
        ("PK\x03\x04", "this is no file of cases; it is a zip archive"),
    ],
)
def test_bad_cases_are_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cases.txt"
    path.write_text(text)
    with pytest.raises(InterventionsError, match=message) as caught:
        read_interventions(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_and_a_game_that_is_over_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cases.txt"
    with pytest.raises(InterventionsError, match="No such file"):
        read_interventions(path)
    position = Position(4)
    while not position.is_over:
        position.push(position.legal_moves[0])
    moves = position.transcript
    disc = "black" if int(position.board[0]) > 0 else "white"
    assert int(position.board[0]) != 0
    path.write_text(f"{moves} a1 {disc}\n")
    with pytest.raises(InterventionsError, match="line 1: the game is over behind these moves"):
        read_interventions(path, 4)


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_cases_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "cases.txt"
    path.write_bytes(data)
    with pytest.raises(InterventionsError):
        read_interventions(path)
