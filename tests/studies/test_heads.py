"""Patterns that are the same in all games, and what heads carry."""

import copy
from pathlib import Path

import pytest
import torch

from comparison.scoring.bench import no_bars
from comparison.studies.heads import carried_table, mean_patterns, patterns_table
from extracted_rules.discovery.heads import patterns_by_lag
from handbuilt import OthelloGPT
from handbuilt.transcripts.program import names_of
from tests.command_line import run


def test_a_kernel_of_lag_is_found_again() -> None:
    torch.manual_seed(1)
    size = 11
    index = torch.arange(size)
    by_lag, first = torch.randn(2, 3, size), torch.randn(2, 3, 1, 1)
    scores = by_lag[..., (index[:, None] - index).clamp(min=0)] + first * (index == 0)
    planted = scores.masked_fill(index[:, None] < index, -torch.inf).softmax(-1)
    torch.testing.assert_close(patterns_by_lag(planted), planted, rtol=0, atol=1e-3)


def test_means_are_right_for_heads_that_look_by_ply_alone(soft: OthelloGPT) -> None:
    by_ply = copy.deepcopy(soft)
    with torch.no_grad():
        for block in by_ply.blocks:
            block.attn.W_Q.zero_()  # scores are then those of a bias: the same for every query
            block.attn.W_K.zero_()
    for model, alike in ((by_ply, True), (soft, False)):
        means = mean_patterns(model, 32, 1, no_bars)
        assert torch.allclose(means.sum(-1), torch.ones(()))
        *_, every = patterns_table(model, {"mean": means}, 32, 1, no_bars).rows
        assert (float(every[1].split(" ")[0]) < 1e-4) == alike


def test_what_stays_with_its_square_is_seen(named: OthelloGPT) -> None:
    names, model = names_of(named), copy.deepcopy(named)
    own = {name: 1 + n for n, name in enumerate(names)}
    labels = [name.split(" ")[1] for name in names if name.startswith("mine ")]
    for shift, wanted in ((0, 100), (1, 0)):
        with torch.no_grad():
            attention = model.blocks[1].attn
            attention.W_V.zero_()
            attention.W_O.zero_()
            for n, label in enumerate(labels[:16]):
                goal = labels[(n + shift) % 16]
                attention.W_V[0, own[f"mine {label}"], n] = 1
                attention.W_O[0, n, own[f"mine {goal}"]] = 1
        row = carried_table(model, 32, 1, no_bars).rows[1]
        assert float(row[1]) == wanted
        assert float(row[2]) < 30
        assert row[3] == "mine to mine 100" or row[3].startswith("mine to mine 100,")


def test_the_study_as_a_person_types_it(
    named: OthelloGPT,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named.save(tmp_path / "named.safetensors")
    asked = ("study", "heads", str(tmp_path / "named.safetensors"), "--games", "8")
    assert run(*asked, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "kernel of lag: KL" in shown
    assert "What heads carry" in shown
    assert run("study", "heads", "bigram", monkeypatch=monkeypatch) == 2
