"""What whole layers write is explained where it follows the rules, and not otherwise."""

import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from extracted_rules.conditions import Boards
from extracted_rules.discovery.layers import Claims, Counts, aligned
from extracted_rules.discovery.patterns import (
    by_square,
    flipped_patterns,
    legal_patterns,
    pattern_tables,
)
from extracted_rules.discovery.regression import Regression
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.geometry import Geometry

#: What a disc is told that lies in a closed run of each length.
SAYS = torch.tensor([1.0, 0.8, 0.6, 0.4, 0.3, 0.2])


@pytest.fixture(scope="module", params=[6, 8])
def played(request: pytest.FixtureRequest) -> list[Replay]:
    """Games to find slopes in, and others to check them on."""
    board = request.param
    # There are as many positions in more games of a smaller board.
    n = {6: 320, 8: 160}[board]
    games = torch.cat(list(random_games(n, 2, board=board, purpose="discovery-test")))
    return [replay(some, board=board) for some in (games[: 3 * n // 4], games[3 * n // 4 :])]


def board_of(played: list[Replay]) -> Geometry:
    return played[0].geometry


def noise(rows: int, columns: int, size: float) -> Tensor:
    return size * torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))


def test_patterns_are_counted_by_square_and_length(played: list[Replay]) -> None:
    g = board_of(played)
    boards, tables = Boards.of(played[1], g.context), pattern_tables(g)
    legal = legal_patterns(boards)
    starts = torch.nn.functional.one_hot(tables.start, g.n_squares)
    lines = by_square(legal.float(), starts, g)
    assert lines.shape == (len(boards), g.n_squares, g.max_length)
    there = played[1].movers[:, 1 : g.context + 1] != 0
    assert (lines.sum(-1) > 0).equal(played[1].legal[:, 1 : g.context + 1][there])
    assert int(lines.sum()) == int(legal.sum())
    assert int(lines[..., 0].sum()) == int(legal[:, tables.length == 1].sum())


def test_other_games_are_at_the_same_ply(played: list[Replay]) -> None:
    both, boards, others = aligned(played[1])
    assert len(boards) == len(others) == int(both.sum())
    assert boards.ply.equal(others.ply)
    assert not bool((boards.game == others.game).any())


def test_claims_are_found_by_length(played: list[Replay]) -> None:
    g = board_of(played)
    claims, tables = Claims(g), pattern_tables(g)
    for checking, games in enumerate(played):
        _, boards, others = aligned(games)
        runs = tables.runs * SAYS[tables.length - 1][:, None]
        writes = flipped_patterns(boards).float() @ runs
        by_ply = torch.sin(boards.ply.float())[:, None]  # needs no rule
        claims.add(
            bool(checking), boards, others, writes + by_ply + noise(len(boards), g.n_squares, 0.02)
        )
    finding = claims.finding(2)
    assert (finding.layer, finding.what) == (2, "claims")
    assert torch.tensor(finding.tables["by length"])[:4] == pytest.approx(SAYS[:4], abs=0.05)
    assert torch.tensor(finding.tables["by length, control"])[:4].abs().max() < 0.05
    assert finding.figures["r2"] > 0.85
    assert finding.control["r2"] < 0.02
    assert finding.tables["r2 by length"][0] > finding.tables["r2 by length"][2]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_promotion_and_suppression_are_told_apart(played: list[Replay], sign: float) -> None:
    g = board_of(played)
    counts, playable = Counts(g), list(g.playable)
    starts = torch.nn.functional.one_hot(pattern_tables(g).start, g.n_squares)
    for checking, games in enumerate(played):
        _, boards, others = aligned(games)
        writes = sign * (legal_patterns(boards).float() @ starts.float())[:, playable]
        writes = writes + (boards.now == 0)[:, playable]
        counts.add(bool(checking), boards, others, writes + noise(len(boards), g.max_plies, 0.02))
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


def test_a_ridge_regression_is_that_of_scikit_learn() -> None:
    """Rows far from zero and in several batches, with one penalty for all features."""
    generator = torch.Generator().manual_seed(6)
    x = torch.randn(500, 4, generator=generator, dtype=torch.float64) + 1e6
    y = (x - 1e6) @ torch.randn(4, 2, generator=generator, dtype=torch.float64) + 3
    sums = Regression.zeros(1, 4, 2, shift=x[:100].mean(0))
    for rows in torch.split(torch.arange(len(x)), 200):
        sums.add(x[rows], y[rows])
    penalty = sums.mean_square(0.1)
    assert penalty == pytest.approx(0.1 * float((x - x.mean(0)).square().sum()) / 4, rel=1e-6)
    theirs = Ridge(alpha=penalty).fit(x.numpy(), y.numpy())
    slopes = sums.slopes(penalty=penalty)
    assert slopes.numpy() == pytest.approx(theirs.coef_.T, rel=1e-6)
    assert sums.intercepts(slopes)[0].numpy() == pytest.approx(theirs.intercept_, rel=1e-6)
