"""Planted truth: what was compiled into hand-built models is found in them."""

from pathlib import Path

import pytest

from comparison.replacing import extraction
from extracted_rules.discovery import neuron_rules
from handbuilt.network.shape import Shape
from handbuilt.recipes import build
from tests.discovery.planted import agreement, catalogue_of


@pytest.fixture(autouse=True)
def _neurons_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "LAYER_COLLECTORS", ())
    monkeypatch.setattr(neuron_rules, "TREE_POSITIONS", 1000)


def test_a_layer_of_logic_holds_what_was_compiled(tmp_path: Path) -> None:
    model = build("logic", board=6, shape=Shape(d_mlp=700))
    found = catalogue_of(model, tmp_path, 300, 100, range(4, 5))
    assert found.geometry.size == 6
    families = agreement(model, found.neurons)
    assert families["clip"].share == 1
    # Long brackets close too seldom in so few games.
    assert families["bracket"].share > 0.9
    assert families["unused"].share == 1


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["logic", "calibrated"])
def test_named_neurons_are_found(recipe: str, tmp_path: Path) -> None:
    model = build(recipe)
    neurons = catalogue_of(model, tmp_path, 1000, 600).neurons
    families = agreement(model, neurons)
    named = {"bracket", "line", "clip", "clip-mine", "clip-theirs", "clip-after"}
    assert set(families) == {*named, "unused"}
    assert families["unused"].share == 1
    right = sum(families[name].neurons * families[name].share for name in named)
    assert right >= 0.95 * sum(families[name].neurons for name in named)
    # Layer 0 knows of no board; there, brackets of long lines hardly ever fire.
    for family, counted in agreement(model, [n for n in neurons if n.layer]).items():
        assert counted.share >= 0.95, (family, counted.wrong)
