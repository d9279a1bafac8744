import gzip
import io
import struct
from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extracted_rules.othello.game import random_games
from extracted_rules.othello.game_files import (
    GameFileError,
    load_games,
    read_games,
    write_transcripts,
)
from extracted_rules.othello.notation import parse_transcript, squares_from_tokens
from extracted_rules.othello.transcripts import BadGame, RecordedGame
from tests.othello.dresses import wthor_bytes

GAME = "f5d6c3d3c4f4f6b4f3e6"


PLAYED = parse_transcript(GAME)


def loaded(path: Path, board: int = 8) -> list[list[int]]:
    """The squares of a file's games."""
    return [squares_from_tokens(row, board) for batch in load_games(path, board) for row in batch]


@pytest.mark.parametrize(
    "text",
    [
        "f5, d6, c3, d3, c4, f4, f6, b4, f3, e6\n",
        "f5-d6-c3-d3-c4-f4-f6-b4-f3-e6",
        "1. F5 d6 2. C3 d3 3. C4 f4 4. F6 b4 5. F3 e6 12-52",
        "f5D6c3D3c4F4f6B4f3E6 # lost on time",
        '[Event "Club (1)"]\n[Result "12-52"]\n\n1. f5 {[%clk 0:05:00]} 1... d6 {[%clk 0:04:58]\n'
        "[%eval +2]} 2. c3! d3?? $1 3. c4 (3. e3 (3. zz) f4) f4 ; not f6\n% escaped\n"
        "4. f6 b4 5. f3 e6 12-52\n",
        '[White "the "Club""]\nf5 d6 c3 d3\nc4 f4 f6 b4 f3 e6 1/2-1/2\n',
        "(;GM[Othello]PB[a]PW[b]RE[-40]TY[8]BO[8 ---------------------------O*------*O"
        "--------------------------- *]B[F5//1.25]W[D6]B[C3]W[D3]B[C4]W[F4]B[F6]W[B4]B[F3]W[E6];)",
        "a server wrote this\n1 (;FF[4]GM[2]SZ[8]AB[e4][d5]AW[d4][e5];B[f5];W[d6]\n;B[c3];W[d3]"
        "C[a comment)];B[c4](;W[f4];B[f6];W[b4];B[f3];W[e6])(;W[f6](;B[f4])(;B[e6])))",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_a_game_is_read_in_whatever_dress(tmp_path: Path, text: str, encoding: str) -> None:
    for name, data in (("plain.wtb", text.encode(encoding)), ("packed", text.encode(encoding))):
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name == "packed" else data)
        assert loaded(path) == [PLAYED]


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "g"
    for text, comments, variations in (
        (f"{GAME} # one\n", 1, 0),
        ('[Event "x"]\n1. f5 (1. c4 e3 (1... c3)) d6 {well} (2. c5) ; so\n', 2, 3),
        ("(;B[f5]C[well](;W[d6])(;W[f4])(;W[f6]))", 1, 2),
    ):
        path.write_text(text)
        left_out = Counter[str]()
        list(load_games(path, left_out=left_out))
        assert (left_out["comment"], left_out["variation"]) == (comments, variations)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(;GM[1]SZ[19];B[dd])", r"line 1, game 1: it is a game of another kind, GM\[1\]"),
        ("(;GM[2]SZ[10];B[f5])", "it is of 10 x 10 squares; asked for was 8 x 8"),
        ("(;GM[2]AB[d4][e5]AW[e4][d5];B[f4])", "it starts from another position"),
        ("(;GM[2]PL[W];W[f4])", "it starts from another position"),
        ("(;GM[2];W[f4])", "ply 1: a pass is written where none is due"),
        ("(;GM[2];B[f5];W[d6];B[e4])", "ply 3: E4 is never played"),
        ("(;GM[2];B[f5]", "line 1, game 1: its brackets do not close"),
        ("(;GM[Othello]BO[8 " + "-" * 62 + "O* *]B[F5])", "it starts from another position"),
        ('[FEN "8/8 w"]\n\n1. f5\n', "line 3, game 1: it starts from another position"),
        ('[Event "x"]\n1. f5 *\n[Event "y"]\n1. f5 {so\n', r"line 4, game 2: ply 2: '{' lacks"),
        ('[Event "x"]\n1. f5 ) d6\n', r"line 2, game 1: ply 2: '\)' lacks"),
        ('[Event "x"]\n\n12-52\n', "line 3, game 1: it has no moves"),
    ],
)
def test_games_that_cannot_be_read_are_located(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "g"
    path.write_text(text)
    with pytest.raises(GameFileError, match=message):
        loaded(path)
    bad: list[BadGame] = []
    none_left = pytest.raises(GameFileError, match="no legal game in this file")
    with nullcontext() if '[Event "y' in text else none_left:
        list(load_games(path, on_bad=bad.append))
    assert len(bad) == 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><title>Sign in</title>", "it is a web page"),
        (b"\x80\x04\x95\x00\x00", "it is a pickled object"),
        (b"PK\x03\x04\x14\x00", "it is a zip archive"),
        (b"\x89PNG\r\n\x1a\n", "it is an image"),
        (bytes(range(256)), "it is binary, of no known kind"),
        (gzip.compress(b"PK\x03\x04\x14\x00", mtime=0), "it is a zip archive"),
        (
            gzip.compress(GAME.encode(), mtime=0)[:-12],
            "what is compressed in it is damaged or cut short",
        ),
        (b"\x1f\x8b" + bytes(30), "what is compressed in it is damaged or cut short"),
    ],
)
def test_other_files_are_said_to_be_what_they_are(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "games.txt"
    path.write_bytes(data)
    with pytest.raises(GameFileError, match=message):
        list(load_games(path, on_bad=lambda _: None))


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
        ("\n", "no legal game"),
        ("# only a comment\n", "no legal game"),
        (f"{GAME}\nf5d6c\n", "line 2, game 2: ply 3: 'c' is not a square"),
        (f"{GAME}\n\nf5d6h1\n", "line 3, game 2: ply 3: H1 flips nothing"),
        ("f5d4\n", "line 1, game 1: ply 2: D4 is never played"),
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
    with pytest.raises(GameFileError, match="line 1, game 1: ply 3: C3 is never played on"):
        list(load_games(text, 6))
    with pytest.raises(GameFileError, match="line 1, game 1: ply 1: 'f5' is not a square"):
        list(load_games(text, 4))
    with pytest.raises(GameFileError, match=r"its header says 8 x 8 squares; asked for was 6 x 6"):
        list(load_games(wtb, 6))


def test_bad_games_can_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "games.txt"
    path.write_text(f"{GAME}\nzz\n{GAME}\nf5f5\n")
    bad: list[BadGame] = []
    assert sum(len(batch) for batch in load_games(path, on_bad=bad.append)) == 2
    assert [b.place for b in bad] == ["line 2, game 2", "line 4, game 4"]


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
