"""``handbuilt study`` as a person types it: a curve, and what is no log or no folder."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from comparison.training.states import Progress
from tests.command_line import run

LINE = Progress(1, 8, 472, 4.1, 1e-3, 10.0, "float32", 1)
CHECKED = Progress(2, 16, 944, 4.0, 1e-3, 10.0, "float32", 1, {"weights": (0.5, 2.0)}, "weights")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_log(path: Path, *lines: Progress) -> None:
    path.write_text("".join(json.dumps(asdict(line)) + "\n" for line in lines))


def test_a_curve_is_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(Path("before.jsonl"), LINE, CHECKED)
    write_log(Path("after.jsonl"), CHECKED)
    arguments = ("after.jsonl", "--before", "before.jsonl", "--out", "[/b].png")
    Path("[").mkdir()
    assert run("study", "curve", *arguments, monkeypatch=monkeypatch) == 0
    assert "wrote [/b].png" in capsys.readouterr().out
    assert Path("[/b].png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("log", "says"),
    [
        (b"{}\n", "given is no log of a training run: line 1 is no record of a step"),
        (b"[\n", "given is no log of a training run: line 1 is no record of a step"),
        (b"\xff", "given is no log of a training run: it is no text"),
        (None, "given is no log of a training run: No such file"),
        (b"", "given holds no validation of a training run to draw"),
        (b"{}", "given holds no validation of a training run to draw"),
    ],
)
@pytest.mark.parametrize("before", [False, True])
def test_what_is_no_log_is_not_drawn(
    log: bytes | None,
    says: str,
    before: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if log is not None:
        Path("given").write_bytes(log)
    write_log(Path("log.jsonl"), CHECKED)
    arguments = ("log.jsonl", "--before", "given") if before else ("given",)
    assert run("study", "curve", *arguments, monkeypatch=monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not Path("curve.png").exists()


def test_the_line_of_a_log_that_is_broken_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = asdict(CHECKED)
    odd = ({"weights": 5}, {"weights": ["a", "b"]}, 5)
    for broken in ({"step": 3}, whole | {"games": "x"}, *(whole | {"validated": o} for o in odd)):
        write_log(Path("log.jsonl"), CHECKED, CHECKED)
        with Path("log.jsonl").open("a") as file:
            file.write(json.dumps(broken) + "\n")
        assert run("study", "curve", "log.jsonl", monkeypatch=monkeypatch) == 2
        assert "line 3 is no record of a step" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("passes", "--games", "4", "--out", "x"),
        ("scalars", "--games", "8", "--steps", "1", "--out", "x"),
        pytest.param(("speed", "--examples", "1"), marks=pytest.mark.slow),
    ],
)
def test_studies_of_the_recipes_take_a_board(
    arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("study", *arguments, "--board", "4", monkeypatch=monkeypatch) == 0
    if arguments[0] == "scalars":  # what was measured is of one board
        assert run("study", *arguments, "--board", "6", monkeypatch=monkeypatch) == 2
        assert "it differs in its board" in capsys.readouterr().err


@pytest.mark.parametrize("study", ["passes", "scalars"])
def test_a_file_is_no_folder_for_tables(
    study: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("afile").touch()
    arguments = ("study", study, "--games", "1", "--out", "afile")
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == "handbuilt: cannot write afile: File exists\n"
