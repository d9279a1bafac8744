"""The engine against an independent one (creversi) and the board's symmetries."""

from pathlib import Path

import creversi
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from extracted_rules.othello.game import (
    BLACK,
    FIRST_CHUNK,
    IllegalGameError,
    random_games,
    replay,
    stream_seed,
)
from extracted_rules.othello.game_files import load_games
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.notation import parse_transcript, tokens_from_squares

SEEDS = st.integers(0, 2**31)
SQUARE_OF_TOKEN = Geometry().square_of_token


def some_games(n: int, seed: int) -> Tensor:
    return torch.cat(list(random_games(n, seed, purpose="test")))


def check_against_creversi(tokens: Tensor) -> None:
    """Replay one game ([60]) move by move in both engines."""
    ours = replay(tokens[None])
    board = creversi.Board()
    length = int((tokens != 0).sum())
    for ply in range(length + 1):
        passed = not list(board.legal_moves) or list(board.legal_moves) == [creversi.PASS]
        if passed and not board.is_game_over():
            board.move_pass()
        assert bool(ours.passes[0, ply]) == (passed and not board.is_game_over())
        black = [board.piece(s) == creversi.BLACK for s in range(64)]
        white = [board.piece(s) == creversi.WHITE for s in range(64)]
        assert [p == 1 for p in ours.boards[0, ply].tolist()] == black
        assert [p == -1 for p in ours.boards[0, ply].tolist()] == white
        if board.is_game_over():
            assert int(ours.movers[0, ply]) == 0
            assert not ours.legal[0, ply].any()
            return
        assert (int(ours.movers[0, ply]) == BLACK) == (board.turn == creversi.BLACK_TURN)
        assert ours.legal[0, ply].nonzero().squeeze(-1).tolist() == sorted(board.legal_moves)
        if ply == length:
            return
        before = ours.boards[0, ply]
        board.move(int(SQUARE_OF_TOKEN[int(tokens[ply])]))
        changed = (ours.boards[0, ply + 1] != before) & (before != 0)
        assert changed.equal(ours.flips[0, ply])


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_random_games_agree_with_an_independent_engine(seed: int) -> None:
    for tokens in some_games(3, seed):
        check_against_creversi(tokens)


def test_games_with_passes_and_early_ends_agree_too() -> None:
    games = some_games(2000, 7)
    played = replay(games)
    odd = (played.lengths < 60) | (played.passes.sum(-1) > 2)
    assert int(odd.sum()) >= 20
    for tokens in games[odd][:40]:
        check_against_creversi(tokens)


def test_tournament_games_agree(tournament_games: Path) -> None:
    games = torch.cat(list(load_games(tournament_games)))
    assert len(games) == 40
    for tokens in games:
        check_against_creversi(tokens)


@pytest.mark.slow
def test_a_whole_collection_agrees_and_is_legal(all_tournament_games: Path) -> None:
    games = torch.cat(list(load_games(all_tournament_games)))
    assert len(games) == 4348
    for tokens in games[::100]:
        check_against_creversi(tokens)


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.integers(0, 3), st.sampled_from([4, 6, 8]))
def test_a_transformed_game_gives_the_transformed_board(seed: int, number: int, board: int) -> None:
    geometry = Geometry(board)
    symmetry = geometry.start_symmetries[number]
    games = next(random_games(8, seed, board=board, purpose="test"))
    ours = replay(games, board=board)
    theirs = replay(geometry.transform_tokens(games, symmetry), board=board)
    squares = geometry.symmetries[symmetry]
    assert theirs.boards.equal(ours.boards[..., squares])
    assert theirs.legal.equal(ours.legal[..., squares])
    assert theirs.flips.equal(ours.flips[..., squares])
    assert theirs.passes.equal(ours.passes)


def test_random_games_depend_on_purpose_and_seed_alone() -> None:
    assert some_games(50, 3).equal(some_games(FIRST_CHUNK + 10, 3)[:50])
    assert not some_games(50, 3).equal(some_games(50, 4))
    assert stream_seed("bench", 1) != stream_seed("threshold", 1)
    chunks = list(random_games(FIRST_CHUNK + 5, 3, purpose="test"))
    assert [len(chunk) for chunk in chunks] == [FIRST_CHUNK, 5]


def test_random_moves_are_uniform_over_the_legal_ones() -> None:
    games = some_games(4000, 1)
    played = replay(games)
    for ply in (0, 1, 20, 45):
        legal = played.legal[:, ply]
        square = SQUARE_OF_TOKEN[games[:, ply].long()].clamp(max=63)
        rank = legal.cumsum(-1).gather(1, square[:, None]) - 1
        number = legal.sum(-1)
        for n in number.unique().tolist():
            ranks = rank[number == n].flatten()
            if len(ranks) < 200:
                continue
            counts = torch.bincount(ranks, minlength=n).double()
            expected = len(ranks) / n
            chi_square = float(((counts - expected) ** 2 / expected).sum())
            assert chi_square < n + 6 * (2 * n) ** 0.5 + 6


@pytest.mark.parametrize(
    ("transcript", "ply", "reason"),
    [
        ("f5f6e6f4a1", 5, "A1 flips nothing"),
        ("f5f5", 2, "F5 is already occupied"),
        ("a8", 1, "A8 flips nothing"),
    ],
)
def test_illegal_games_name_ply_square_and_reason(transcript: str, ply: int, reason: str) -> None:
    with pytest.raises(IllegalGameError) as caught:
        replay(tokens_from_squares([parse_transcript(transcript)]))
    assert (caught.value.ply, caught.value.reason) == (ply, reason)


def test_gaps_are_refused_and_faults_can_be_collected() -> None:
    good = some_games(3, 5)
    broken = good.clone()
    broken[1, 10] = 0
    faults: dict[int, IllegalGameError] = {}
    played = replay(broken, faults)
    assert list(faults) == [1]
    assert faults[1].ply == 12
    assert played.boards[0].equal(replay(good).boards[0])


def test_a_shortened_game_ends_where_its_record_ends() -> None:
    game = some_games(1, 5)
    game[:, 30:] = 0
    played = replay(game)
    assert int(played.movers[0, 30]) != 0
    assert not played.legal[0, 31:].any()


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at most 60"):
        replay(torch.zeros(1, 61, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"0\.\.60"):
        replay(torch.full((1, 5), 61))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_replay_agrees_between_devices() -> None:
    games = next(random_games(500, 3, purpose="test", device="cuda"))
    on_gpu, on_cpu = replay(games), replay(games.cpu())
    assert on_gpu.legal.cpu().equal(on_cpu.legal)
