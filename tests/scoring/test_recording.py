"""Records against slow counts and against `compare`; parts that are resumed, mixed up, damaged."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from comparison.scoring import recording
from comparison.scoring.baselines import UniformBeside, UniformEmpty
from comparison.scoring.bench import evaluate
from comparison.scoring.error_sets import error_sets
from comparison.scoring.measures import score
from comparison.scoring.recording import Subject, check_different, record
from comparison.scoring.records import KINDS, NEAR_SHARE, Answers, Columns, Records
from extracted_rules.benches.positions import (
    PASS_STATES,
    Bench,
    ErrorsError,
    Positions,
    has,
    how_many,
    packed,
)
from extracted_rules.errors import UserError
from extracted_rules.files import KeptError, read_tensors, write_tensors
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry

TAU = 0.05
BOARD = Geometry()


class Noisy(nn.Module):
    """The engine with noise that depends on the moves alone; counts the games it was asked for, and
    is killed when it has answered so many."""

    def __init__(self, noise: float = 6.0, killed_at: int = 10**9) -> None:
        super().__init__()
        self.noise, self.killed_at, self.asked = noise, killed_at, 0

    def forward(self, tokens: Tensor) -> Tensor:
        if self.asked >= self.killed_at:
            raise KeyboardInterrupt
        self.asked += len(tokens)
        legal = replay(tokens).legal[:, 1 : tokens.shape[1] + 1, BOARD.square_of_token[1:]]
        chance = torch.sin((tokens.cumsum(-1) * 7.3)[..., None] + torch.arange(60) * 1.7)
        logits = torch.where(legal, 0.0, -8.0) + self.noise * chance
        return nn.functional.pad(logits, (1, 0))


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench.of(torch.cat(list(random_games(44, 3, purpose="test"))), "random, seed 3")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "CHUNK", 16)


def recorded(bench: Bench, folder: Path, model: nn.Module, seed: int = 1) -> Answers:
    return record(Subject("noisy", "noisy", model), bench, folder, seed, lambda: TAU)


def same(a: Answers, b: Answers) -> bool:
    columns = ((getattr(x.columns, f.name) for f in fields(Columns)) for x in (a, b))
    return a.tau == b.tau and all(np.array_equal(x, y) for x, y in zip(*columns, strict=True))


@given(st.sets(st.sampled_from(BOARD.playable)))
def test_sets_of_moves(squares: set[int]) -> None:
    moves = torch.zeros(BOARD.max_plies, dtype=torch.bool)
    moves[[int(BOARD.token_of_square[s]) - 1 for s in squares]] = True
    kept = packed(moves)
    assert {s for s in BOARD.playable if has(kept, s, BOARD)} == squares
    assert how_many(kept) == len(squares)
    assert int(kept) == sum(1 << (int(BOARD.token_of_square[s]) - 1) for s in squares)


def test_records_agree_with_a_slow_count(bench: Bench, tmp_path: Path) -> None:
    at, said = bench.positions, recorded(bench, tmp_path, Noisy()).columns
    played, logits = replay(bench.tokens), Noisy()(bench.tokens[:, :59].long())
    assert len(at) == int(score(logits, played, TAU).valid.sum())
    for row in range(0, len(at), 97):
        game, ply = int(at.game[row]), int(at.ply[row])
        legal = set(played.legal[game, ply - 1].nonzero().squeeze(-1).tolist())
        p = logits[game, ply - 2, 1:].double().softmax(-1).tolist()
        by_square = {int(BOARD.square_of_token[i + 1]): value for i, value in enumerate(p)}
        ranked = sorted(by_square, key=lambda s: -by_square[s])
        illegal = next(s for s in ranked if s not in legal)
        best, worst = (next(s for s in order if s in legal) for order in (ranked, ranked[::-1]))
        assert {s for s in BOARD.playable if has(at.legal[row], s, BOARD)} == legal
        assert at.number[row] == len(legal)
        assert said.top[row] == ranked[0]
        assert {s for s in BOARD.playable if has(said.predicted[row], s, BOARD)} == {
            s for s in ranked if by_square[s] > TAU
        }
        assert said.rank[row] == ranked.index(illegal) + 1
        for margin, against in ((said.margin, best), (said.over_worst, worst)):
            expected = np.log(by_square[illegal]) - np.log(by_square[against])
            assert margin[row] == pytest.approx(expected, abs=1e-5)
        mass = sum(value for s, value in by_square.items() if s not in legal)
        assert said.mass[row] == pytest.approx(mass, abs=1e-6)
        passes = played.passes[game, 1:ply].tolist()
        state = "at a pass" if passes[-1] else "after a pass" if any(passes) else "pass-free"
        assert PASS_STATES[at.state[row]] == state


def test_error_sets_are_those_of_compare(bench: Bench, tmp_path: Path) -> None:
    (mine,) = error_sets(Records(bench, (recorded(bench, tmp_path, Noisy()),))).values()
    known = evaluate("noisy", Noisy(), [bench.tokens], TAU, bench.source).errors
    assert len(known.at) < len(mine.at)
    for kind in KINDS:
        assert len(known.of_kind(kind))
    for found, name in ((mine, "mine"), (known, "known")):
        (tmp_path / name).mkdir()
        found.write(tmp_path / name / "errors.csv")
    for file in ("errors.csv", "bench.json"):
        assert (tmp_path / "mine" / file).read_text() == (tmp_path / "known" / file).read_text()


def test_margins_are_above_0_where_the_model_errs(bench: Bench, tmp_path: Path) -> None:
    answers = recorded(bench, tmp_path, Noisy())
    at = bench.positions
    wrong = answers.errs(at, "top-1")
    assert 0 < wrong.sum() < len(at)
    assert np.array_equal(wrong, answers.columns.margin > 0)
    near = answers.errs(at, "near")
    assert near.sum() == len(at) // NEAR_SHARE
    assert answers.columns.margin[near].min() >= answers.columns.margin[~near].max()


def test_the_first_games_are_a_bench_of_their_own(bench: Bench) -> None:
    few, known = bench.positions.first(10), Positions.of(replay(bench.tokens[:10]))
    assert np.array_equal(few.offered, known.offered)
    for name in ("game", "ply", "legal", "number", "state"):
        assert np.array_equal(getattr(few, name), getattr(known, name))


def test_a_killed_run_goes_on_to_the_same_end(bench: Bench, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    expected = recorded(bench, whole, Noisy())
    with pytest.raises(KeyboardInterrupt):
        recorded(bench, killed, Noisy(killed_at=32))
    assert len(list(killed.iterdir())) == 2
    model, seen = Noisy(), []
    subject = Subject("noisy", "noisy", model)
    # Its tau is known, so nobody is asked to choose one.
    assert same(record(subject, bench, killed, 1, pytest.fail, seen.append), expected)
    assert model.asked == 44 - 32
    assert sum(seen) == 44
    assert same(recorded(bench, killed, Noisy(killed_at=0)), expected)  # nothing is left to ask


def test_more_games_go_on_from_fewer(bench: Bench, tmp_path: Path) -> None:
    few = Bench.of(bench.tokens[:20], bench.source)
    recorded(few, tmp_path, Noisy())
    model = Noisy()
    found = recorded(bench, tmp_path, model)
    assert model.asked == 44 - 16
    (tmp_path / "other").mkdir()
    assert same(found, recorded(bench, tmp_path / "other", Noisy()))


class Other(Noisy):
    pass


def test_parts_of_something_else_are_refused(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(bench, tmp_path, Noisy())
    with pytest.raises(KeptError, match="differs in its model;"):
        recorded(bench, tmp_path, Other())
    with pytest.raises(KeptError, match="differs in its seed;"):
        recorded(bench, tmp_path, Noisy(), seed=2)
    others = Bench.of(bench.tokens.flip(0), "others")
    with pytest.raises(KeptError, match="differs in its games;"):
        recorded(others, tmp_path, Noisy())
    monkeypatch.setattr(recording, "VERSION", "2")
    with pytest.raises(KeptError, match="differs in its version;"):
        recorded(bench, tmp_path, Noisy())


@pytest.mark.parametrize("damage", ["cut short", "empty", "another file"])
def test_damaged_parts_are_one_sentence(bench: Bench, tmp_path: Path, damage: str) -> None:
    recorded(bench, tmp_path, Noisy())
    part = max(tmp_path.iterdir())
    data = part.read_bytes()
    damaged = {"cut short": data[: len(data) // 2], "empty": b"", "another file": b"game\n" * 99}
    part.write_bytes(damaged[damage])
    with pytest.raises(KeptError) as caught:
        recorded(bench, tmp_path, Noisy())
    assert str(part) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_parts_that_do_not_hold_what_they_should_are_refused(bench: Bench, tmp_path: Path) -> None:
    recorded(bench, tmp_path, Noisy())
    part = max(tmp_path.iterdir())
    tensors, about = read_tensors(part)
    shorter = {name: tensor[:-1] for name, tensor in tensors.items()}
    for held, says, sentence in (
        (shorter, about, "does not hold the answers"),
        (tensors, {**about, "tau": "0.5"}, "another tau"),
        (tensors, {**about, "tau": "none"}, "does not say with which tau"),
        (tensors, {}, "differs in its format, version"),
    ):
        write_tensors(part, held, says)
        with pytest.raises(UserError, match=sentence):
            recorded(bench, tmp_path, Noisy())


def test_the_same_model_twice_is_refused() -> None:
    one, two = (Subject(name, name, UniformEmpty()) for name in ("one", "two"))
    with pytest.raises(ErrorsError, match="one and two are the same model"):
        check_different([one, two])
    with pytest.raises(ErrorsError, match="named twice"):
        check_different([one, one])
    check_different([one, Subject("beside", "beside", UniformBeside())])


def test_a_bench_has_something_to_predict() -> None:
    with pytest.raises(ErrorsError, match="no game in empty"):
        Bench.of(torch.zeros(0, 60, dtype=torch.uint8), "empty")
    with pytest.raises(ErrorsError, match="has a move to predict"):
        Bench.of(torch.zeros(2, 60, dtype=torch.uint8), "nothing")
