"""What neurons read by their rules' squares: found where it was planted, and nowhere else."""

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor
from torch.nn.functional import gelu

from extracted_rules.catalogue import Neuron, Score
from extracted_rules.conditions import Boards
from extracted_rules.discovery.grading import Reads, expected_gelu
from extracted_rules.discovery.predicting import Rules, board_numbers, numbered
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry

G = Geometry()
GOOD = Score(1.0, 1.0, 1.0, 1.0)
#: A line on three squares, and one on others.
PARTS = ("C4.E1", "A6.S1")
LINE = [G.square_of(label) for label in ("C4", "D4", "E4")]
BOARDS = Boards.of(replay(next(random_games(48, 6, purpose="discovery-test"))), G.context)


@pytest.mark.parametrize("mean", [-3.0, -0.2, 0.0, 1.5])
@pytest.mark.parametrize("variance", [0.0, 0.01, 1.0, 9.0])
def test_the_mean_of_a_bent_sum(mean: float, variance: float) -> None:
    def weighted(x: float) -> float:
        return float(x * norm.cdf(x) * norm.pdf(x, mean, variance**0.5))

    if variance:
        spread = 9 * variance**0.5
        expected = quad(weighted, mean - spread, mean + spread, points=[mean])[0]
    else:
        expected = mean * norm.cdf(mean)
    found = expected_gelu(torch.tensor(mean).double(), torch.tensor(variance).double())
    assert float(found) == pytest.approx(expected, abs=1e-6)


def sure(seed: int) -> Tensor:
    """float32 [N, 256]: the board's numbers, its colours held more or less surely."""
    generator = torch.Generator().manual_seed(seed)
    colours = BOARDS.now + 0.5 * torch.randn(BOARDS.now.shape, generator=generator)
    return board_numbers(BOARDS, colours)


def test_what_a_rule_names_is_found_and_nothing_else() -> None:
    """Two neurons add up the discs of a line and bend the sum; one's rule names another line."""
    rules = Rules(
        [Neuron(0, n, "pattern", (p,), threshold=0.0, other=GOOD) for n, p in enumerate(PARTS)], G
    )
    numbers, (_, says), ply = sure(1), rules.answers(BOARDS), BOARDS.ply
    line = torch.tensor([1.0, -1.0, 1.0]) * numbers[:, LINE]
    reads = (line.sum(-1) - 0.5 + says[:, 0])[:, None].expand(-1, 2)
    sums = Reads(rules.about(numbered(G)), G.context)
    for rows in torch.split(torch.arange(len(BOARDS)), 500):
        sums.add(numbers[rows], says[rows], reads[rows], ply[rows])
    graded = sums.solve()
    assert graded.slopes[LINE, 0] == pytest.approx(torch.tensor([1.0, -1.0, 1.0]), abs=1e-3)
    assert float(graded.steps[0]) == pytest.approx(1, abs=1e-3)
    assert graded.unknown[0] < 1e-4 < 1.0 < graded.unknown[1]
    predicted, truth = graded(numbers, says, ply), gelu(reads)
    assert (predicted[:, 0] - truth[:, 0]).abs().max() < 1e-2
    error = np.square((predicted - truth)[:, 1].numpy()).mean()
    assert error > 0.9 * float(truth[:, 1].var())
