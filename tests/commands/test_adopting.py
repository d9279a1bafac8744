"""What is fitted lies where it was asked for, until `adopt` makes it the project's own."""

from pathlib import Path

import pytest

from comparison.commands import adopting
from comparison.training import companions
from handbuilt import build, load_strengths
from handbuilt.strengths import (
    FOLDER,
    files,
    holds_strengths,
    kept_threshold,
    strengths_of,
    thresholds,
)
from tests.command_line import run

LITTLE = ("--games", "2", "--device", "cpu")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the recipes' folder, and little to choose a threshold on."""
    home = tmp_path / "strengths"
    home.mkdir()
    for path in FOLDER.glob("*.toml"):
        (home / path.name).write_bytes(path.read_bytes())
    for module in (adopting, files):
        monkeypatch.setattr(module, "FOLDER", home)
    for module in (adopting, companions):
        monkeypatch.setattr(module, "THRESHOLD_GAMES", 8)
    monkeypatch.setattr(thresholds, "THRESHOLDS", home / "thresholds.toml")
    monkeypatch.chdir(tmp_path)
    return home


def test_a_fit_is_the_projects_own_once_it_is_adopted(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    fit = ("calibrate", "--out", "fit", "--steps", "1", "--batch", "2", "--device", "cpu")
    assert run(*fit, monkeypatch=monkeypatch) == 0
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    old = build("calibrated").fingerprint()

    capsys.readouterr()
    assert run("adopt", "fit", *LITTLE, monkeypatch=monkeypatch) == 0
    assert (home / "calibrated.toml").read_bytes() == Path("fit/strengths.toml").read_bytes()
    now = build("calibrated").fingerprint()
    assert kept_threshold(now) is not None
    assert kept_threshold(old) is None
    wrote, replaces = capsys.readouterr().out.splitlines()[-2:]
    assert f"wrote strengths of weights {now[:12]}: Strengths of the recipe `calibrated`" in wrote
    assert "2 random games" in wrote
    assert replaces.startswith(f"they replace those of weights {old[:12]}: ")
    assert "172,800 random games" in replaces
    # The file alone would do as well.
    file = Path("fit/strengths.toml")
    assert holds_strengths(file)
    assert build(strengths_of(file, "calibrated")).fingerprint() == now


def test_what_is_no_strengths_of_calibrated_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = load_strengths("logic", board=6)
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    Path("small.toml").write_text(files.dump(small, "for a board of six"))
    Path("half.toml").write_text("owner = [1.0]\n")
    Path("words.txt").write_text("no strengths, but words\n")
    Path("folder").mkdir()
    for path, message in (
        ("small.toml", "small.toml are for 8 layers and a board of 6 x 6, not for 8 and 8 x 8"),
        ("half.toml", "the strengths hold no numbers called"),
        ("words.txt", "words.txt holds no strengths"),
        ("folder", "folder holds no training run"),
        ("nothing", "nothing holds no training run"),
    ):
        assert run("adopt", path, *LITTLE, monkeypatch=monkeypatch) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
