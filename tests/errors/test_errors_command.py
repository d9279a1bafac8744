"""`handbuilt errors` from end to end, on few games; wrong input in one sentence."""

import csv
import json
from pathlib import Path

import pytest

from comparison.commands import erring
from comparison.commands.shared import app
from comparison.errors import causes
from comparison.scoring.baselines import UniformEmpty
from comparison.training import companions
from comparison.training.models import UnknownModelError
from extracted_rules import catalogue
from extracted_rules.benches.positions import ErrorsError
from extracted_rules.catalogue import failures as rules
from extracted_rules.files import KeptError
from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.transformer import OthelloGPT
from tests.command_line import run

FEW = ("--games", "16", "--device", "cpu")


@pytest.fixture(autouse=True)
def _few_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "threshold", lambda *_: 0.05)
    # Rules of a trained model; it need not be the one that the project holds now.
    monkeypatch.setattr(companions, "rules", lambda _: catalogue.read(catalogue.REFERENCE))
    monkeypatch.setattr(causes, "ASKED", 30)
    monkeypatch.setattr(rules, "PERMUTATIONS", 50)
    monkeypatch.setattr(rules, "EAGER_PERMUTATIONS", 20)


def test_everything_that_is_named_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    command = ("errors", "reference", "logic", *FEW, "--out", str(out))
    assert run(*command, "--json", str(figures), monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert "Do they err together?" in said
    data = json.loads(figures.read_text())
    assert data == json.loads((out / "errors.json").read_text())
    assert data["games"] == 16
    assert {pair["b"] for pair in data["pairs"]} == {"logic"}
    assert {pair["a"] for pair in data["pairs"]} == {"reference"}
    assert {wrong["reader"] for wrong in data["wrong_discs"]} == {"reference", "logic"}
    assert [rules["model"] for rules in data["rules"]] == ["reference"]
    assert len(data["rules"][0]["patterns"]) == 960
    report = (out / "report.md").read_text()
    for picture in ("together.png", "margins.png", "boards.png", "rules-1.png"):
        assert f"({picture})" in report
        assert (out / picture).read_bytes()[:4] == b"\x89PNG"
    with (out / "who_errs.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_kind = {pair["kind"]: pair["strata"]["all"] for pair in data["pairs"]}
    for kind in ("top-1", "set"):
        both = [r for r in rows if r["kind"] == kind and r["reference"] == r["logic"] == "1"]
        assert len(both) == by_kind[kind]["both"]


def test_once_more_nothing_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the figures are the same to the last digit."""
    command = ("errors", "uniform-beside", "uniform-empty", *FEW, "--out", str(tmp_path))
    assert run(*command, monkeypatch=monkeypatch) == 0
    first = (tmp_path / "errors.json").read_text()
    assert json.loads(first)["pairs"][0]["strata"]["all"]["both"] > 0
    monkeypatch.setattr(UniformEmpty, "forward", pytest.fail)
    assert run(*command, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "errors.json").read_text() == first


def test_one_model_alone_on_recorded_games(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    games = tmp_path / "games.txt"
    games.write_text("f5d6c3d3c4f4f6\nf5f6e6f4\na1\n")
    command = ("errors", "uniform-empty", "--file", str(games), "--out", str(tmp_path / "out"))
    assert run(*command, monkeypatch=monkeypatch) == 2
    assert run(*command, "--skip-bad", monkeypatch=monkeypatch) == 0
    data = json.loads((tmp_path / "out" / "errors.json").read_text())
    assert (data["games"], data["positions"], data["pairs"]) == (2, 11, [])


def wrong(*arguments: str | Path) -> None:
    """Run the command's function as the command line would."""
    app(["errors", *map(str, arguments)], standalone_mode=False)


def test_mistakes_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = ("--out", tmp_path / "out")
    with pytest.raises(UnknownModelError, match="named twice"):
        wrong("uniform-empty", "uniform-empty", *FEW, *out)
    with pytest.raises(UnknownModelError, match="neither a file"):
        wrong("nothing", *FEW, *out)
    with pytest.raises(ErrorsError, match="a catalogue of reference, which is not compared"):
        wrong("uniform-empty", *FEW, *out, "--catalogue", erring.catalogue.REFERENCE)
    small = OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8, n_ctx=20))
    small.save(tmp_path / "small.safetensors")
    with pytest.raises(CheckpointError, match="reads 20 moves"):
        wrong(tmp_path / "small.safetensors", *FEW, *out)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        wrong("uniform-empty", *FEW, "--out", tmp_path / "file")
    with pytest.raises(OSError, match="is no folder"):
        wrong("uniform-empty", *FEW, *out, "--json", tmp_path / "nowhere" / "figures.json")
    # Parts of a run on other games: here, of recorded ones.
    wrong("uniform-empty", *FEW, *out)
    (tmp_path / "games.txt").write_text("f5d6c3\n" * 16)
    with pytest.raises(KeptError, match="differs in its games"):
        wrong("uniform-empty", "--file", tmp_path / "games.txt", "--device", "cpu", *out)
    with pytest.raises(KeptError, match="differs in its board"):
        wrong("uniform-empty", "--board", "4", "--games", "9", *out)
    part = next((tmp_path / "out" / "answers").glob("*.safetensors"))
    part.write_bytes(part.read_bytes()[:500])
    with pytest.raises(KeptError, match="cut short"):
        wrong("uniform-empty", *FEW, *out)
