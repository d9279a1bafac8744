"""What is fitted lies where it was asked for, and nowhere in the package."""

from pathlib import Path

import pytest

from handbuilt.strengths import FOLDER
from tests.command_line import run


def test_a_fit_writes_into_its_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path: path.read_bytes() for path in FOLDER.glob("*.toml")}
    fit = ("calibrate", "--out", str(tmp_path), "--steps", "1", "--batch", "2", "--device", "cpu")
    assert run(*fit, monkeypatch=monkeypatch) == 0
    assert "numbers fitted on 2 random games" in (tmp_path / "strengths.toml").read_text()
    assert {path: path.read_bytes() for path in FOLDER.glob("*.toml")} == before
