"""Kept thresholds belong to the weights that they were chosen for."""

from pathlib import Path

import pytest
import torch

from comparison.scoring import bench
from comparison.training import companions
from handbuilt import RECIPES, build
from handbuilt.strengths import keep_threshold, kept_threshold, read_thresholds, thresholds
from tests.handbuilt.test_weights import HASHES

CPU = torch.device("cpu")


def test_every_recipe_has_one_for_its_weights() -> None:
    """``HASHES`` are the recipes' fingerprints, which another test builds."""
    assert {name: kept["weights"] for name, kept in read_thresholds().items()} == HASHES
    assert HASHES.keys() == RECIPES.keys()


def test_it_holds_for_any_seed_and_for_no_other_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "choose_threshold", lambda *_, progress: 0.25)
    model, tau = build("logic"), read_thresholds()["logic"]["tau"]
    assert companions.threshold("a.safetensors", model, 2, CPU) == tau
    assert companions.threshold("logic", build("logic", board=6), 2, CPU) == 0.25
    model.unembed.b_U.data[0] += 1
    assert companions.threshold("logic", model, 1, CPU) == 0.25


def test_one_takes_the_place_of_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "thresholds.toml"
    place.write_bytes(thresholds.THRESHOLDS.read_bytes())
    monkeypatch.setattr(thresholds, "THRESHOLDS", place)
    before = read_thresholds()
    keep_threshold("calibrated", "0" * 64, 0.125)
    assert kept_threshold("0" * 64) == 0.125
    assert kept_threshold(HASHES["calibrated"]) is None
    assert {**read_thresholds(), "calibrated": before["calibrated"]} == before
    keep_threshold("calibrated", HASHES["calibrated"], float(before["calibrated"]["tau"]))
    assert place.read_bytes() == (Path(thresholds.__file__).parent / place.name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_they_are_what_choosing_gives(recipe: str) -> None:
    chosen = bench.choose_threshold(build(recipe), 1, CPU)
    assert read_thresholds()[recipe]["tau"] == pytest.approx(chosen)
