"""How names lie, where it is known."""

import torch

from comparison.studies import names
from extracted_rules.discovery.names import Spread
from handbuilt import build
from handbuilt.transcripts.transcribing import collect


def test_directions_that_tell_the_same_agree_and_others_do_not() -> None:
    size, number = 40, 12
    drawn = torch.randn(size, size, generator=torch.Generator().manual_seed(1)).double()
    spread = Spread(drawn @ drawn.T, drawn[:, :number], torch.ones(number), torch.ones(size) > 0)
    fitted = spread.fitted()
    assert torch.allclose(names._agree(spread, fitted, 3 * fitted), torch.ones(number).double())
    others = names._agree(spread, fitted, fitted.roll(1, 1))
    assert float(others.abs().mean()) < 0.5


def test_the_nearest_of_orthogonal_directions_is_far() -> None:
    assert float(names._nearest(torch.eye(6).double()).max()) == 0
    twice = torch.eye(6).double()[:, [0, 0, 3]]
    assert names._nearest(-twice).tolist() == [1, 1, 0]


def test_a_models_names_are_laid_out() -> None:
    model = build("logic", board=4)
    tables = names.lying(model, "logic", collect(model, 64, 1))
    turning, apart = tables["turning"], tables["apart"]
    assert [row[0] for row in turning.rows] == [row[0] for row in apart.rows]
    for _, *cells in turning.rows:
        assert all(-1 <= float(cell) <= 1 for cell in cells)
