"""Planted truth: what was compiled into hand-built models is found in them."""

from pathlib import Path

import pytest

from comparison.explaining import extraction
from extracted_rules.discovery import neuron_rules
from handbuilt.recipes import build
from tests.discovery.planted import agreement, catalogue_of

#: Layer 0 does not know the board yet: its brackets hear of the move and of little else, and rules
#: about the true board do not describe what they do.
KNOWING = range(1, 8)


@pytest.fixture(autouse=True)
def _neurons_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "LAYER_COLLECTORS", ())
    monkeypatch.setattr(neuron_rules, "TREE_POSITIONS", 1000)


def test_a_layer_of_logic_holds_what_was_compiled(tmp_path: Path) -> None:
    model = build("logic")
    found = catalogue_of(model, tmp_path, 300, 100, range(4, 5))
    families = agreement(model, found.neurons)
    assert families["settle"].share == 1
    # Long brackets close too seldom in so few games.
    assert families["bracket"].share > 0.9
    assert families["unused"].share == 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["logic", "calibrated"])
def test_named_neurons_are_found(recipe: str, tmp_path: Path) -> None:
    model = build(recipe)
    found = catalogue_of(model, tmp_path, 1000, 600, KNOWING)
    families = agreement(model, found.neurons)
    assert set(families) == {"bracket", "line", "settle", "settle-after", "unused"}
    for family, counted in families.items():
        assert counted.share >= 0.95, (family, counted.wrong)
