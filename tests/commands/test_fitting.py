"""What is fitted lies where it was asked for, and nowhere in the package."""

from pathlib import Path

import pytest
import torch

from extracted_rules import Geometry
from handbuilt.plan import Plan
from handbuilt.strengths import FOLDER, Axes, load_strengths, read_strengths, strengths_of
from tests.command_line import run


def test_a_fit_writes_into_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in FOLDER.glob("*.toml")}
    fit = ("calibrate", "--out", str(tmp_path), "--steps", "1", "--batch", "2", "--device", "cpu")
    assert run(*fit, monkeypatch=monkeypatch) == 0
    assert "numbers fitted on 2 random games" in (tmp_path / "strengths.toml").read_text()
    assert {path: path.read_bytes() for path in FOLDER.glob("*.toml")} == before


def test_a_fit_begins_where_another_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on with what it began with, not with the start of another."""
    fit = ("calibrate", "--out", str(tmp_path), "--steps", "1", "--batch", "2", "--device", "cpu")
    begun = (*fit, "--begin", str(FOLDER / "calibrated.toml"), "--rate", "1e-6")
    assert run(*begun, monkeypatch=monkeypatch) == 0
    ended, shipped = strengths_of(tmp_path, "calibrated"), load_strengths("calibrated")
    torch.testing.assert_close(ended.run, shipped.run, atol=1e-4, rtol=1e-4)
    assert run(*fit, "--resume", "--rate", "1e-6", monkeypatch=monkeypatch) == 2
    assert run(*begun, "--resume", monkeypatch=monkeypatch) == 0


def test_any_size_can_be_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = ("--board", "4", "--layers", "6", "--device", "cpu")
    fit = ("calibrate", "--out", str(tmp_path), "--steps", "1", "--batch", "2", *size)
    assert run(*fit, monkeypatch=monkeypatch) == 0
    asked = Axes(Geometry(4), Plan(6))
    assert read_strengths(tmp_path / "strengths.toml", asked).axes == asked
