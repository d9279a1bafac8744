"""Tools find what was planted, and not what another key says; those of other libraries where they
are installed (`make test-interop`)."""

import importlib
import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from comparison.testbed.result import Found
from comparison.testbed.scores import Score
from comparison.testbed.scoring import score_found
from comparison.tools import dictionaries, patching, readouts, rules
from handbuilt.testbed.making import Made, write
from handbuilt.transcripts.transcribing import Sums
from tests.command_line import run
from tests.testbed.made import made

PLACE = "blocks.3.hook_resid_mid"
BEHIND = "blocks.3.hook_resid_post"
FEW = dictionaries.Settings(features=128, k=16, steps=200, batch=256, games=100)


@cache
def sums() -> Sums:
    return readouts.sums_of(made().model, 100, 1)


def scores_of(found: Found, bed: Made | None = None) -> dict[str, Score]:
    """With the key of its own bed, or of another one."""
    scores = score_found(found, (bed or made()).key, made().model)
    return {score.name: score for score in scores}


def test_probes_and_transcript_find_directions_of_their_own_bed() -> None:
    shown = readouts.shown_games(made().model, 40, 1)
    read, written = readouts.probes(made().model, sums(), PLACE, shown)
    for found in (read, readouts.transcript(made().model, sums(), PLACE)):
        best = scores_of(found)["mean best cosine of names"]
        assert best.value > best.floor + 0.15
        other = scores_of(found, made(seed=4))["mean best cosine of names"]
        assert other.value < other.floor + 0.05
    assert scores_of(written)["board reconstruction"].value > 0.6


def test_rules_that_are_found_are_those_of_the_key() -> None:
    found = rules.claims(made().model, 100, 1)
    squares = scores_of(found)["squares (Jaccard)"]
    assert squares.value > squares.floor + 0.3
    elsewhere = scores_of(found, made(seed=4))["squares (Jaccard)"]
    assert elsewhere.value < 0.5 * squares.value


def test_without_a_key_there_is_no_ceiling() -> None:
    shown = readouts.shown_games(made().model, 40, 1)
    _, written = readouts.probes(made().model, sums(), PLACE, shown)
    found = {score.name: score for score in score_found(written, None, made().model)}
    assert found.keys() == {"coverage of discs", "board reconstruction"}
    assert all(score.ceiling is None for score in found.values())
    assert found["coverage of discs"].value == scores_of(written)["coverage of discs"].value


def test_what_is_missing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sae_lens", None)
    write(made(), tmp_path / "bed")
    asked = ("testbed", "tools", str(tmp_path / "bed"), "--games", "100", "--seeds", "1")
    assert run(*asked, monkeypatch=monkeypatch) == 2
    assert "autoencoders are trained by SAELens: pip install" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["autoencoder", "transcoder"])
def test_dictionaries_learn(part: str) -> None:
    """Short as it is, training explains some of what a dictionary is to give back."""
    pytest.importorskip("sae_lens", reason="needs the extra: make test-interop")
    shown = readouts.shown_games(made().model, 20, 1)
    seen = dictionaries.activations(made().model, dictionaries.places(3), FEW)
    if part == "autoencoder":
        found = dictionaries.autoencoder(made().model, BEHIND, seen[BEHIND], FEW, shown)
    else:
        found = dictionaries.transcoder(made().model, 3, seen, FEW, shown)
    assert found.explained > 0.3
    assert 0 <= scores_of(found)["MCC"].value <= 1


@pytest.mark.parametrize("tool", [patching.attribution_patching, patching.integrated_gradients])
def test_gradients_find_the_parts_of_a_prediction(tool: Callable[[Any, Any], Found]) -> None:
    pytest.importorskip("transformer_lens", reason="needs the extra: make test-interop")
    lens = patching.hooked(made().model)
    asked = patching.predictions(made().model, 3, 1)
    with torch.inference_mode():
        theirs, ours = lens(asked[0].moves), made().model(asked[0].moves)
    # What float32 rounds beside the ballast moves sharp neurons.
    assert torch.allclose(theirs.softmax(-1), ours.softmax(-1), atol=0.05)
    for question in asked:
        score = scores_of(tool(lens, question))["AUROC"]
        assert score.value > score.floor + 0.1


def test_heads_that_matter_are_found_by_patching() -> None:
    pytest.importorskip("transformer_lens", reason="needs the extra: make test-interop")
    lens = patching.hooked(made().model)
    found = patching.activation_patching(lens, patching.everything(made().model, 6, 1))
    kept = scores_of(found)["faithfulness, 100% kept, mean"]
    assert kept.value > 0.9


def test_edges_that_connect_are_found() -> None:
    """Better than chance; what a tool before it found, it finds after it, too."""
    pytest.importorskip("transformer_lens", reason="needs the extra: make test-interop")
    lens = patching.hooked(made().model)
    asked = patching.everything(made().model, 6, 1)
    before = patching.attribution_patching(lens, asked)
    for tool in (patching.edge_patching, patching.edge_gradients):
        score = scores_of(tool(lens, asked))["AUROC"]
        assert score.value > score.floor + 0.1
    after = patching.attribution_patching(lens, asked)
    assert torch.equal(before.arrays["heads"], after.arrays["heads"])


@pytest.mark.parametrize(
    ("name", "part"),
    [("transformer_lens", "HookedTransformer"), ("sae_lens", "HookedSAETransformer")],
)
def test_the_folder_is_read_by_other_libraries(name: str, part: str, tmp_path: Path) -> None:
    """As its meta.json says, and with the answers of the model that was written."""
    pytest.importorskip(name, reason="needs the extra: make test-interop")
    write(made(), tmp_path / "bed")
    folder = tmp_path / "bed" / "interpbench"
    config = json.loads((folder / "meta.json").read_text())["config"]
    lens = getattr(importlib.import_module(name), part)(
        importlib.import_module("transformer_lens").HookedTransformerConfig(**config)
    )
    lens.load_state_dict(torch.load(folder / "ll_model.pth", weights_only=True))
    moves = readouts.shown_games(made().model, 4, 1)
    with torch.inference_mode():
        theirs, ours = lens(moves), made().model(moves)
    assert torch.allclose(theirs.softmax(-1), ours.softmax(-1), atol=0.05)
