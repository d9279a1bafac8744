"""Agreement, near misses, telling errors, boards by layer: counts by hand, and what was planted."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from comparison.errors.layers import discs_decoded, wrong_discs
from comparison.errors.telling import hardest
from comparison.reading.board_reader import BoardReader, DecodedBoards, ProbedReader
from comparison.scoring.agreement import QUANTILES, agreement, alike, near_misses
from comparison.scoring.records import Answers, Records
from extracted_rules.benches.intervals import resampled_games
from extracted_rules.benches.matched import Matching, weights_of
from extracted_rules.benches.positions import Bench
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from tests.errors.made import answers, positions, records

BOARD = Geometry()


def test_agreement_by_hand() -> None:
    """Legal are A1, B1, C1. One holds A1, B1 for legal, the other B1, C1, D1."""
    at = positions(6, 5, 1)
    never = np.zeros(len(at), dtype=np.bool_)

    def holding(name: str, top: int, moves: int) -> Answers:
        said = answers(name, at, never)
        columns = replace(
            said.columns,
            top=np.full(len(at), top, dtype=np.uint8),
            predicted=np.full(len(at), moves, dtype=np.int64),
        )
        return replace(said, columns=columns)

    one, other = holding("one", 0, 0b0011), holding("other", 1, 0b1110)
    found = agreement(at, one, other)
    assert (found.top.value, found.sets.value) == (0, 0)
    assert found.by_chance.value == pytest.approx(1 / 6)
    assert found.jaccard.value == pytest.approx(1 / 4)
    # Wrong are C1; A1 and D1.
    assert found.wrong.value == 0
    same = agreement(at, one, one)
    assert (same.top.value, same.sets.value, same.jaccard.value, same.wrong.value) == (1, 1, 1, 1)
    assert same.by_chance.value == pytest.approx(1 / 2)
    # Who holds nothing for legal still has a likeliest move.
    assert agreement(at, holding("none", 1, 0), other).by_chance.value == pytest.approx(1 / 3)


def test_near_misses_by_hand() -> None:
    at = positions(10, 10, 1)
    wrong = np.arange(len(at)) % 10 == 0
    found = near_misses(records(at, answers("one", at, wrong)))[0]
    assert found.stratum == "all"
    assert found.positions == 100
    assert found.first.value == pytest.approx(0.1)
    assert found.second.value == 0
    assert found.mass.value == pytest.approx(0.125)
    assert list(found.margins) == [str(q) for q in QUANTILES]
    assert found.margins["0.5"] == -1


def test_margins_that_go_together_are_found_and_permuted_they_are_not() -> None:
    generator = np.random.default_rng(1)
    at = positions(80, 20, 3)
    shared = generator.normal(size=len(at))
    margins = [shared + generator.normal(size=len(at)) for _ in range(2)]
    said = (
        answers(name, at, margin > 3, margin.astype(np.float32))
        for name, margin in zip(("one", "two"), margins, strict=True)
    )
    found = alike(records(at, *said), Matching(at, resampled_games(80, 1, 200)), 1)[0]
    assert 0.3 < found.correlation.low < found.correlation.high < 0.6
    assert found.control.low < 0 < found.control.high


def test_telling_errors() -> None:
    """Each is what it says, none of the same game twice; as many as there are, at most as asked."""
    generator = np.random.default_rng(2)
    at = positions(60, 10, 1)
    margins = {n: generator.normal(-1.5, 1, len(at)) for n in ("trained", "one", "two")}
    said = [answers(n, at, m > 0, m.astype(np.float32)) for n, m in margins.items()]
    bench = records(at, *said)
    found = hardest(bench, 10)
    assert len(found) == 10
    assert len({error.game for error in found}) == 10
    errs = {n: m > 0 for n, m in margins.items()}
    worst = {n: int(np.argmax(m)) for n, m in margins.items()}
    assert found[0].why == "the worst error of trained"
    assert found[0].game == at.game[worst["trained"]]
    for error in found:
        rows = np.flatnonzero(at.game == error.game)
        there = [r for r in rows if tuple(n for n in errs if errs[n][r]) == error.errs]
        assert there
        if error.why.endswith("both err"):
            assert {"trained"} < set(error.errs)
        if error.why.startswith("only"):
            assert error.errs == (error.why.split()[1],)
    assert hardest(bench, 0) == []
    assert {e for t in hardest(bench, 5, ("one",)) for e in t.errs} == {"one"}
    nobody = records(at, answers("one", at, np.zeros(len(at), dtype=np.bool_)))
    assert hardest(nobody) == []


def test_telling_errors_of_all_stages() -> None:
    """The worst lie late; one in three is late, one in three early, while there are such."""
    at = positions(30, 59, 1)
    at = replace(at, ply=np.tile(np.arange(2, 61), 30).astype(np.uint8))
    bench = records(at, answers("one", at, np.full(len(at), True), at.ply.astype(np.float32)))
    assert [error.ply for error in hardest(bench, 4)] == [60, 40, 20, 60]


class Knows(ProbedReader):
    """Two layers: one knows the board; the other does not know one of four squares where the model
    errs, which are the positions of odd ply after move 20."""

    decisive = 1

    def __init__(self, model: OthelloGPT) -> None:
        BoardReader.__init__(self, model)

    def read(self, games: Tensor, layers: Sequence[int] | None = None) -> DecodedBoards:
        truth = replay(games).boards[:, 1 : BOARD.context + 1].float()
        blurred = truth.clone()
        blurred[:, 21::2, ::4] = 0
        values = torch.stack([truth, blurred])
        return DecodedBoards(values, values.sum(-1).sign(), values == 0)


@pytest.fixture(scope="module")
def reader() -> Knows:
    return Knows(OthelloGPT(Shape(1, 8, 1, 8, 8)))


def test_boards_part_where_they_were_made_to(reader: Knows) -> None:
    tokens = torch.cat(list(random_games(40, 4, purpose="test")))
    bench = Bench.of(tokens, "random")
    at = bench.positions
    moves = at.ply.astype(int) - 2
    errs = (moves >= 21) & (moves % 2 == 1)
    # Half of the positions where boards are blurred, so that the others match them.
    errs &= at.game % 2 == 0
    said = answers("trained", at, errs)
    # Legal are other squares than in made-up positions.
    bench = replace(bench, positions=replace(at, legal=np.full(len(at), 0b111, dtype=np.int64)))
    shares = next(
        p.shares for p in wrong_discs(Records(bench, (said,)), {"it": reader}) if p.kind == "top-1"
    )
    for group in ("errs", "matched", "all"):
        assert shares[group][0].value == 0
    assert 0.2 < shares["errs"][1].value < 0.3
    # Matched positions have the ply of the errors, so they are all blurred.
    assert shares["matched"][1].value == pytest.approx(shares["errs"][1].value, abs=0.02)
    assert shares["all"][1].value < 0.15


def test_discs_are_counted(reader: Knows) -> None:
    tokens = torch.cat(list(random_games(5, 4, purpose="test")))
    at = Bench.of(tokens, "random").positions
    wrong, discs = discs_decoded(reader, tokens, at, lambda _: None)
    # The start has four discs, and every move adds one.
    assert np.array_equal(discs, at.ply.astype(int) + 3)
    assert wrong.shape == (2, len(at))


def test_matched_positions_weigh_as_much_as_errors() -> None:
    generator = np.random.default_rng(3)
    at = positions(40, 20, 4)
    errs = generator.random(len(at)) < 0.1 * at.number
    weights = weights_of(at, errs)
    for number in range(1, 5):
        here = at.number == number
        assert weights["matched"][here].sum() == pytest.approx(weights["errs"][here].sum())
    assert not weights["matched"][errs].any()
    everywhere = weights_of(at, np.ones(len(at), dtype=np.bool_))
    assert not everywhere["errs"].any()  # without a match
