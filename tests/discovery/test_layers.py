"""What whole layers write is explained where it follows the rules, and not otherwise."""

import pytest
import torch
from torch import Tensor

from extracted_rules.conditions import Boards
from extracted_rules.discovery.layers import (
    LENGTHS,
    PATTERN_LENGTHS,
    Claims,
    Counts,
    aligned,
    by_square,
    flipped_patterns,
    legal_patterns,
)
from extracted_rules.discovery.regression import Regression
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.notation import CONTEXT, N_SQUARES, PLAYABLE
from extracted_rules.othello.patterns import PATTERNS

#: What a disc is told that lies in a closed run of each length.
SAYS = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.3, 0.2])


@pytest.fixture(scope="module")
def played() -> list[Replay]:
    """Games to find slopes in, and others to check them on."""
    games = torch.cat(list(random_games(160, 2, purpose="discovery-test")))
    return [replay(games[:120]), replay(games[120:])]


def noise(rows: int, columns: int, size: float) -> Tensor:
    return size * torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))


def test_patterns_are_those_of_the_game(played: list[Replay]) -> None:
    boards = Boards.of(played[1], CONTEXT)
    legal, flipped = legal_patterns(boards), flipped_patterns(boards)
    for row in range(0, len(PATTERNS), 37):
        assert legal[:, row].equal(boards.legal_by(PATTERNS[row]))
        assert flipped[:, row].equal(boards.flipped(PATTERNS[row]))
    starts = torch.nn.functional.one_hot(torch.tensor([p.start for p in PATTERNS]), N_SQUARES)
    lines = by_square(legal.float(), starts)
    assert lines.shape == (len(boards), N_SQUARES, LENGTHS)
    there = played[1].movers[:, 1 : CONTEXT + 1] != 0
    assert (lines.sum(-1) > 0).equal(played[1].legal[:, 1 : CONTEXT + 1][there])
    assert int(lines.sum()) == int(legal.sum())
    assert int(lines[..., 0].sum()) == int(legal[:, PATTERN_LENGTHS == 1].sum())


def test_other_games_are_at_the_same_ply(played: list[Replay]) -> None:
    both, boards, others = aligned(played[1])
    assert len(boards) == len(others) == int(both.sum())
    assert boards.ply.equal(others.ply)
    assert not bool((boards.game == others.game).any())


def test_claims_are_found_by_length(played: list[Replay]) -> None:
    claims = Claims()
    for checking, games in enumerate(played):
        _, boards, others = aligned(games)
        runs = torch.zeros(len(PATTERNS), N_SQUARES)
        for row, pattern in enumerate(PATTERNS):
            runs[row, pattern.run] = SAYS[pattern.length - 1]
        writes = flipped_patterns(boards).float() @ runs
        by_ply = torch.sin(boards.ply.float())[:, None]  # needs no rule
        claims.add(bool(checking), boards, others, writes + by_ply + noise(len(boards), 64, 0.02))
    finding = claims.finding(2)
    assert (finding.layer, finding.what) == (2, "claims")
    assert torch.tensor(finding.tables["by length"])[:4] == pytest.approx(SAYS[:4], abs=0.05)
    assert torch.tensor(finding.tables["by length, control"])[:4].abs().max() < 0.05
    assert finding.figures["r2"] > 0.85
    assert finding.control["r2"] < 0.02
    assert finding.tables["r2 by length"][0] > finding.tables["r2 by length"][2]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_promotion_and_suppression_are_told_apart(played: list[Replay], sign: float) -> None:
    counts = Counts()
    starts = torch.nn.functional.one_hot(torch.tensor([p.start for p in PATTERNS]), N_SQUARES)
    for checking, games in enumerate(played):
        _, boards, others = aligned(games)
        writes = sign * (legal_patterns(boards).float() @ starts.float())[:, list(PLAYABLE)]
        writes = writes + 3 * (boards.now == 0)[:, list(PLAYABLE)]
        counts.add(bool(checking), boards, others, writes + noise(len(boards), 60, 0.02))
    finding = counts.finding(5, "mlp")
    assert finding.what == "counts of mlp"
    assert (finding.figures["promoted"] > 0.9) == (sign > 0)
    assert (finding.figures["mean slope"] > 0.1) == (sign > 0)
    assert torch.tensor(finding.tables["by length"])[:4] == pytest.approx(sign, abs=0.05)
    assert finding.figures["r2"] > finding.control["r2"] + 0.1


def test_a_regression_is_around_the_mean_of_each_group() -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(4000, 3, generator=generator)
    group = torch.arange(4000) % 4
    truth = torch.tensor([[1.0], [-2.0], [0.0]])
    y = x @ truth + group[:, None].float() * 10
    x = x + group[:, None]  # the groups' means are confounded with the features'
    sums = Regression.zeros(4, 3, 1)
    sums.add(x[:2000], y[:2000], group[:2000])
    sums.add(x[2000:], y[2000:], group[2000:])
    slopes = sums.slopes()
    assert slopes.float() == pytest.approx(truth, abs=0.01)
    explained, total = sums.explained(slopes)
    assert float(explained / total) > 0.99
    some = sums.slopes(torch.tensor([True, False, False]))
    assert some[1:].abs().max() == 0
