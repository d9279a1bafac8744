"""The command: a page as asked, one sentence for what cannot be."""

import json
from pathlib import Path

import pytest

from comparison.commands import reporting
from comparison.training import companions, reference
from handbuilt import OthelloGPT, Shape
from tests.command_line import run
from tests.reporting.page.conftest import TAU
from tests.reporting.page.elements import Elements


@pytest.fixture(autouse=True)
def _small_and_without_a_trained_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "choose_threshold", lambda *_, progress: TAU)
    monkeypatch.setattr(reference, "FOLDER", Path("nowhere"))


def test_a_page_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    games = tmp_path / "games.txt"
    games.write_text("f5d6c3\nf5f5\n" + "f5f6e6\n" * 9)
    out = tmp_path / "out"
    command = ["report", "logic", "--out", str(out), "--games", "2", "--file", str(games)]
    command += ["--skip-bad", "--only", "explorer", "--only", "comparison", "--only", "catalogue"]
    assert run(*command, monkeypatch=monkeypatch) == 0
    first = (out / "report.html").read_bytes()
    said = capsys.readouterr()
    assert f"wrote {out / 'report.html'}" in said.out
    assert "left out line 2, game 2: ply 2: F5 is already occupied" in said.err
    assert "the explorer takes the first 8 of 10 games" in said.err
    assert "left out catalogue: none of these models" in said.err
    found = Elements(first.decode())
    titles = [text for _, text in found.of("h2")]
    assert titles == ["Contents", "Explorer", "The comparison", "About this page"]
    (data,) = [text for a, text in found.of("script") if a.get("type") == "application/json"]
    kinds = [game["kind"] for game in json.loads(data)["games"]]
    assert kinds[-10:] == 2 * ["Openings"] + 8 * ["games.txt"]
    assert "handbuilt report logic --out" in first.decode()
    # A second time nothing is measured anew, and the page is the same to the byte.
    monkeypatch.setattr(companions, "choose_threshold", None)
    assert run(*command, monkeypatch=monkeypatch) == 0
    assert (out / "report.html").read_bytes() == first


def test_models_are_those_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    assert reporting.models_shown(8) == ["calibrated", "logic"]
    monkeypatch.setattr(reference, "is_there", lambda: True)
    assert reporting.models_shown(8) == ["reference", "extracted", "calibrated", "logic"]
    assert reporting.models_shown(6) == ["logic"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["logic", "--only", "nothing"], "no section is called 'nothing'; there is explorer, "),
        (["logic", "logic"], "a model is named twice"),
        (["nobody"], "'nobody' is neither a file nor one of"),
        (["bigram"], "bigram is a baseline: it has no parts to show"),
        (["reference"], "'reference' is not part of the project"),
        (["logic", "--file", "{}/bad.txt"], "bad.txt, line 1, game 1: ply 3: A1 flips nothing"),
        (["logic", "--file", "{}/none.txt"], "none.txt: No such file"),
    ],
)
def test_bad_input_gets_one_sentence(
    asked: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "bad.txt").write_text("f5d6a1\n")
    asked = [word.format(tmp_path) for word in asked]
    out = str(tmp_path / "out")
    assert run("report", *asked, "--out", out, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err.strip()
    assert said.startswith("handbuilt: ")
    assert sentence in said
    assert "\n" not in said


def test_a_page_that_cannot_be_written_is_said_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "tiny.safetensors"
    OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8)).save(model)
    (tmp_path / "file").write_text("")
    for out in ("file", "file/below"):
        asked = ("report", str(model), "--out", str(tmp_path / out))
        assert run(*asked, monkeypatch=monkeypatch) == 2
    (tmp_path / "out" / "report.html").mkdir(parents=True)
    assert run("report", str(model), "--out", str(tmp_path / "out"), monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 3
    assert all(f"cannot write {tmp_path}" in line for line in said)
