"""How alike models answer."""

import pytest
import torch
from scipy.stats import spearmanr

from comparison.studies.likeness import _spearman, likeness
from handbuilt import build


def test_ranks_are_those_that_scipy_knows() -> None:
    drawn = torch.Generator().manual_seed(1)
    ours, theirs = torch.rand(2, 3, 5, 12, generator=drawn)
    among = torch.rand(3, 5, 12, generator=drawn) < 0.6
    found = _spearman(ours, theirs, among)
    for place in among.sum(-1).ge(3).nonzero().tolist():
        game, ply = place
        some = among[game, ply]
        wanted = spearmanr(ours[game, ply][some], theirs[game, ply][some]).statistic
        assert float(found[game, ply]) == pytest.approx(wanted)


def test_a_model_is_like_itself_and_no_order_is_like_chance() -> None:
    models = {"one": build("logic", board=6), "same": build("logic", board=6)}
    found = likeness(models, dict.fromkeys(models, 0.05), 64, 1)["same"].estimates
    assert found["kl"].value == pytest.approx(0, abs=1e-12)
    assert found["sets"].value == found["ranks"].value == 1
    assert found["permuted"].low < 0.02
    assert found["permuted"].high > -0.02
