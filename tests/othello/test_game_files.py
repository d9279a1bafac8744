import io
import struct
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extracted_rules.othello.game import random_games
from extracted_rules.othello.game_files import (
    BadGame,
    GameFileError,
    RecordedGame,
    load_games,
    read_games,
    write_transcripts,
)
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.notation import parse_transcript, squares_from_tokens

GAME = "f5d6c3d3c4f4f6b4f3e6"


def wthor_bytes(games: list[list[int]], board: int = 8) -> bytes:
    """A WTHOR file of some games of squares."""
    header = struct.pack("<4BIHH4B", 20, 9, 1, 1, len(games), 0, 2009, board, 0, 0, 0)
    moves = [[10 * (s // board + 1) + s % board + 1 for s in game] for game in games]
    return header + b"".join(bytes(8) + bytes(m) + bytes(60 - len(m)) for m in moves)


@pytest.mark.parametrize("board", [4, 6, 8])
def test_the_three_formats_agree(tmp_path: Path, board: int) -> None:
    games = next(random_games(5, 2, board=board, purpose="test"))
    squares = [squares_from_tokens(row, board) for row in games]
    text, pgn, wtb = tmp_path / "g.txt", tmp_path / "g.pgn", tmp_path / "g.WTB"
    with text.open("w") as file:
        file.write("# five games\n\n")
        write_transcripts(games, file, board)
    lines = []
    for game in squares:
        labels = [Geometry(board).labels[s] for s in game]
        pairs = [
            f"{i + 1}. {' '.join(labels[2 * i : 2 * i + 2])}" for i in range((len(labels) + 1) // 2)
        ]
        lines.append('[Event "Test - 2009"]\n[Result "34-30"]\n\n' + "\n".join(pairs) + "\n34-30\n")
    pgn.write_text("\n".join(lines))
    wtb.write_bytes(wthor_bytes(squares, board))
    for path in (text, pgn, wtb):
        assert torch.cat(list(load_games(path, board))).equal(games), path


def test_pgn_comments_passes_and_one_line_movetext_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "g.pgn"
    path.write_text(
        '[Event "x"]\n1. F5 {well} D6 $2 2. C3 (2. C5 F4) D3 -- 3. C4 *\n'
        '[Event "y"]\n1. f5 d6 2. pass c3\n'
    )
    found = list(read_games(path))
    assert [g.squares for g in found] == [  # type: ignore[union-attr]
        parse_transcript("f5d6c3d3c4"),
        parse_transcript("f5d6c3"),
    ]


def test_transcripts_are_written_as_they_are_read() -> None:
    games = next(random_games(3, 2, purpose="test"))
    out = io.StringIO()
    write_transcripts(games, out)
    lines = out.getvalue().splitlines()
    assert [parse_transcript(line) for line in lines] == [squares_from_tokens(row) for row in games]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no legal game"),
        ("# only a comment\n", "no legal game"),
        (f"{GAME}\nf5d6c\n", "line 2: ply 3: the transcript ends in the middle of a move"),
        (f"{GAME}\n\nf5d6h1\n", "line 3: ply 3: H1 flips nothing"),
        ("f5d4\n", "line 1: ply 2: D4 is never played"),
        ("f5" * 61, "a game has 61 moves"),
    ],
)
def test_bad_files_stop_with_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "games.txt"
    path.write_text(text)
    with pytest.raises(GameFileError, match=message) as caught:
        list(load_games(path))
    assert str(path) in str(caught.value)


def test_games_of_another_board_are_one_sentence(tmp_path: Path) -> None:
    text, wtb = tmp_path / "g.txt", tmp_path / "g.wtb"
    text.write_text(GAME + "\n")
    wtb.write_bytes(wthor_bytes([parse_transcript(GAME)]))
    with pytest.raises(GameFileError, match=r"line 1: ply 3: C3 is never played on the 6 x 6"):
        list(load_games(text, 6))
    with pytest.raises(GameFileError, match=r"line 1: ply 1: 'f5' is not a square of the 4 x 4"):
        list(load_games(text, 4))
    with pytest.raises(GameFileError, match=r"its header says 8 x 8 squares; asked for was 6 x 6"):
        list(load_games(wtb, 6))


def test_bad_games_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "games.txt"
    path.write_text(f"{GAME}\nzz\n{GAME}\nf5f5\n")
    bad: list[BadGame] = []
    assert sum(len(batch) for batch in load_games(path, on_bad=bad.append)) == 2
    assert [b.place for b in bad] == ["line 2", "line 4"]


def test_the_first_bad_game_of_a_file_is_named_whatever_its_fault(tmp_path: Path) -> None:
    path = tmp_path / "games.txt"
    for text, place in (("f5f5\nf5d\n", "line 1"), ("f5d6f5\nf5f5\n", "line 1")):
        path.write_text(text)
        with pytest.raises(GameFileError, match=place):
            list(load_games(path))


def test_a_byte_order_mark_is_no_move(tmp_path: Path) -> None:
    path = tmp_path / "games.txt"
    path.write_bytes(b"\xef\xbb\xbf" + GAME.encode())
    assert sum(len(batch) for batch in load_games(path)) == 1


def test_missing_files_and_folders_are_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(GameFileError, match=str(path)):
            list(load_games(path))


def test_truncated_wthor_files_say_where(tmp_path: Path) -> None:
    path = tmp_path / "g.wtb"
    whole = wthor_bytes([parse_transcript(GAME)] * 3)
    path.write_bytes(whole[:-10])
    bad: list[BadGame] = []
    assert sum(len(batch) for batch in load_games(path, on_bad=bad.append)) == 2
    assert bad[0].place == "game 3"
    path.write_bytes(whole[:9])
    with pytest.raises(GameFileError, match="16 bytes"):
        list(load_games(path))


@pytest.mark.parametrize("suffix", [".txt", ".pgn", ".wtb"])
@settings(deadline=None)
@given(data=st.binary(max_size=400))
def test_readers_never_crash(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / f"games{suffix}"
    path.write_bytes(data)
    with suppress(GameFileError):
        assert all(isinstance(g, RecordedGame | BadGame) for g in read_games(path))


@given(data=st.binary(max_size=300))
def test_wthor_records_of_any_bytes_are_games_or_bad_games(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "games.wtb"
    path.write_bytes(struct.pack("<4BIHH4B", 20, 9, 1, 1, 4, 0, 2009, 0, 0, 0, 0) + data)
    with suppress(GameFileError):
        assert all(len(games) for games in load_games(path, on_bad=lambda _: None))
