"""``handbuilt findings``, as it is typed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from comparison.findings import FINDINGS, Found
from comparison.training import companions, reference
from tests.command_line import run


@pytest.fixture(autouse=True)
def _small_and_without_a_trained_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "THRESHOLD_GAMES", 40)
    monkeypatch.setattr(reference, "FOLDER", Path("nowhere"))


def test_a_killed_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    asked = ["findings", "logic", "--games", "40", "--only", "heads", "--only", "accessible"]
    arguments = [*asked, "--out", str(out), "--json", str(figures)]

    def killed(_: object) -> Found:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setitem(FINDINGS, "accessible", replace(FINDINGS["accessible"], find=killed))
        assert run(*arguments, monkeypatch=patched) != 0
    assert list(out.glob("work-*/heads.msgpack"))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert not list(out.glob("work-*"))
    text = (out / "findings.md").read_text()
    assert "accessible above occupied" in text
    assert (out / "heads.png").exists()
    data = json.loads(figures.read_text())
    assert [finding["name"] for finding in data["findings"]] == ["heads", "accessible"]


def test_cases_of_a_file_stand_beside_random_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, model, out = tmp_path / "cases.txt", tmp_path / "model.safetensors", tmp_path / "out"
    assert run("build", "--board", "4", "--out", str(model), monkeypatch=monkeypatch) == 0
    path.write_text("a2a3c4 b2 black\na2a3c4a1 b3 black\n")
    asked = ["findings", str(model), "--games", "40", "--only", "interventions"]
    arguments = [*asked, "--cases", str(path), "--out", str(out)]
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert "interventions, cases.txt" in (out / "findings.md").read_text()
    assert "2 cases" in capsys.readouterr().out
    path.write_text("a2a3c4 b2 white\n")
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    assert "cases.txt, line 1: B2 is black behind" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["magic"], "'magic'"),
        (["bigram"], "it has no parts to look at"),
        (["logic", "--games", "39"], "39 games are too few"),
        (["logic", "--only", "magic"], "no finding is called 'magic'"),
        (["logic", "logic"], "a model is named twice"),
        (["logic", "--json", "/nowhere/x.json"], "/nowhere is no folder"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("findings", *arguments, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())
