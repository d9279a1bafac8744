"""The command line as a person types it: exit codes, one-sentence errors, files."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from comparison.commands import measuring
from comparison.reading.probes import Probes, fit_probes
from comparison.reporting import examples
from comparison.scoring.bench import board_of
from comparison.training import companions, reference
from comparison.training.models import load_models
from extracted_rules import catalogue
from handbuilt import OthelloGPT, Shape, build
from handbuilt.network.checkpoints import FORMATS, export
from handbuilt.strengths import FOLDER
from tests.command_line import run
from tests.discovery.test_catalogue import HEADER

PNG = b"\x89PNG"
TINY = Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8)


@pytest.fixture(autouse=True)
def _small_and_without_a_trained_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "THRESHOLD_GAMES", 40)
    monkeypatch.setattr(reference, "FOLDER", Path("nowhere"))


def test_build_writes_a_model_that_evaluates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, figures = tmp_path / "logic.safetensors", tmp_path / "figures.json"
    """On a smaller board and with more layers, too; the file says which."""
    asked = ("build", "--board", "6", "--layers", "12", "--out", str(model))
    assert run(*asked, monkeypatch=monkeypatch) == 0
    assert (
        run(
            "evaluate",
            str(model),
            "--games",
            "20",
            "--json",
            str(figures),
            monkeypatch=monkeypatch,
        )
        == 0
    )
    measured = json.loads(figures.read_text())
    assert measured["games"] == 20
    assert measured["strata"]["all"]["all"]["positions"] > 500
    assert measured["strata"]["pass"]["pass-free"]["f1"]["value"] > 0.9
    assert "top-1 illegal %" in capsys.readouterr().out
    assert run("describe", str(model), "belief.D3", monkeypatch=monkeypatch) == 0
    assert "D3 before the move" in capsys.readouterr().out
    assert run("describe", str(model), "3.bracket.C4-F4", monkeypatch=monkeypatch) == 0
    assert "the move closes C4-F4" in capsys.readouterr().out


def test_all_games_of_four_squares_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.json"
    arguments = ("evaluate", "uniform-empty", "--board", "4", "--all", "--json", str(out))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "uniform-empty on all games of 4 x 4: 60,060" in shown
    assert "The shortest wrong ones" in shown
    found = json.loads(out.read_text())
    count = found["kinds"]["all"]
    assert (found["games"], count["positions"]) == (60_060, 131_340)
    assert 0 < count["illegal"] <= count["wrong_sets"] <= count["positions"]
    assert found["kinds"]["pass-free"]["positions"] == 79_216


@pytest.mark.parametrize("form", FORMATS)
def test_export_writes_what_other_commands_read(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tmp_path / "model.safetensors", tmp_path / "out.bin"
    OthelloGPT(Shape(n_layers=1, d_model=64, n_heads=1, d_head=64, d_mlp=256)).save(model)
    arguments = ("export", str(model), "--format", form, "--out", str(out))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert f"wrote {out}" in capsys.readouterr().out
    assert run("evaluate", str(out), "--games", "5", monkeypatch=monkeypatch) == 0
    assert "top-1 illegal %" in capsys.readouterr().out
    assert run("describe", str(out), monkeypatch=monkeypatch) == 2
    assert "not hand-built" in capsys.readouterr().err


def test_heads_are_said_where_a_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    wide = Shape(n_layers=1, d_model=64, n_heads=1, d_head=64, d_mlp=256)
    export(OthelloGPT(wide), "mingpt", Path("one.ckpt"))
    arguments = ("export", "one.ckpt", "--format", "mingpt", "--out", "two.ckpt")
    assert run(*arguments, "--heads", "2", monkeypatch=monkeypatch) == 2
    assert "cannot say that n_heads is 2; it would be 1" in capsys.readouterr().err
    assert run(*arguments, monkeypatch=monkeypatch) == 0


def test_a_folder_of_a_hand_built_model_is_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "logic")
    arguments = ("export", "logic", "--board", "4", "--format", "huggingface", "--out", out)
    for _ in range(2):  # an earlier export is replaced
        assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert run("describe", out, "belief.D3", monkeypatch=monkeypatch) == 0
    assert "D3 before the move" in capsys.readouterr().out


def test_a_model_that_guesses_nothing_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "MEMORIES", ())
    assert not examples.draw_first_guess(build("logic", board=4), tmp_path / "guess.png")
    assert not list(tmp_path.iterdir())


def test_compare_draws_a_hand_built_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the smallest board, of whose games some are over early."""
    arguments = ("compare", "logic", "--board", "4", "--games", "4", "--out", str(tmp_path))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    report = (tmp_path / "report.md").read_text()
    for figure in (f"{kind}-logic.png" for kind in ("boards", "worked", "first-guess")):
        assert (tmp_path / figure).read_bytes().startswith(PNG)
        assert figure in report


def test_compare_writes_everything_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    code = run(
        "compare", "bigram", "uniform-beside", "--games", "30", "--out", str(out),
        "--json", str(tmp_path / "same.json"),
        monkeypatch=monkeypatch,
    )  # fmt: skip
    assert code == 0
    report = (out / "report.md").read_text()
    for figure in ("error_by_ply.png", "example.png", "error_overlap.png"):
        assert (out / figure).read_bytes().startswith(PNG)
        assert figure in report
    assert [r["model"] for r in json.loads((out / "results.json").read_text())] == [
        "bigram",
        "uniform-beside",
    ]
    assert (tmp_path / "same.json").read_bytes() == (out / "results.json").read_bytes()
    with (out / "errors-bigram.csv").open() as file:
        assert len(list(csv.reader(file))) > 100
    assert not [path for path in out.iterdir() if "partial" in path.name]


def test_probes_are_written_with_their_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny, out = OthelloGPT(TINY), tmp_path / "probes.safetensors"
    tiny.save(tmp_path / "tiny.safetensors")
    monkeypatch.setattr(measuring, "BOARD_GAMES", 8)
    code = run(
        "probe", str(tmp_path / "tiny.safetensors"), "--games", "10", "--out", str(out),
        monkeypatch=monkeypatch,
    )  # fmt: skip
    assert code == 0
    assert Probes.load(out, tiny).games == 10
    assert out.with_suffix(".png").read_bytes().startswith(PNG)
    assert "whole flips right %" in capsys.readouterr().out


def test_names_that_mean_something_to_a_printer_are_printed_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One game, and two models of one file name full of markup: nothing collides or is lost."""
    monkeypatch.chdir(tmp_path)
    tiny = OthelloGPT(TINY)
    names = ["_a$[b]$.safetensors", "x/_a$[b]$.safetensors"]
    Path("x").mkdir()
    for name in names:
        tiny.save(Path(name))
    Path("games.txt").write_text("f5\n")
    assert run("compare", *names, "--file", "games.txt", monkeypatch=monkeypatch) == 0
    assert names[0] in capsys.readouterr().out
    assert len(list(Path("out").glob("errors-*.csv"))) == 2
    results = json.loads(Path("out/results.json").read_text(), parse_constant=pytest.fail)
    assert [r["model"] for r in results] == names


def test_folders_that_look_like_markup_are_named_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor is a long name broken."""
    monkeypatch.chdir(tmp_path)
    out = Path("out[") / "b]" / ("long" * 50) / "m.safetensors"
    out.parent.mkdir(parents=True)
    assert run("build", "--board", "4", "--out", str(out), monkeypatch=monkeypatch) == 0
    assert f"wrote {out}: " in capsys.readouterr().out
    arguments = ("compare", "bigram", "--games", "2", "--out", str(out.parent))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert f"wrote {out.parent}/: report.md" in capsys.readouterr().out


def test_recorded_games_can_be_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "games.txt"
    path.write_text("f5d6c3d3c4f4f6\nf5d6c3 (c4 e3) d3 # so\nf5f5\n")
    arguments = ("evaluate", "bigram", "--file", str(path))
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    assert "line 3, game 3: ply 2: F5 is already occupied" in capsys.readouterr().err
    assert run(*arguments, "--skip-bad", monkeypatch=monkeypatch) == 0
    captured = capsys.readouterr()
    said = " ".join(captured.err.split())
    assert "left out line 3, game 3: ply 2" in said
    assert "1 bad games left out" in said
    assert "1 variation and 1 comment left out" in said
    assert "2 games (games.txt)" in captured.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "--recipe", "magic", "--out", "x.safetensors"], "no recipe is called 'magic'"),
        (["build", "--recipe", "logic", "--out", "/nowhere/x"], "/nowhere is no folder"),
        (["evaluate", "reference"], "not part of the project yet"),
        (["evaluate", "missing.safetensors"], "neither a file nor one of"),
        (["evaluate", "bigram", "--file", "missing.txt"], "missing.txt: No such file"),
        (["evaluate", "bigram", "--json", "/nowhere/x.json"], "/nowhere is no folder"),
        (["evaluate", "bigram", "--device", "abacus"], "'abacus' is no device"),
        (["evaluate", "logic", "--board", "5"], "has 4, 6 or 8 squares a side, not 5"),
        (["evaluate", "bigram", "--board", "0"], "has 4, 6 or 8 squares a side, not 0"),
        (["ablate", "--board", "10"], "has 4, 6 or 8 squares a side, not 10"),
        (["train", "--out", "x", "--board", "7"], "has 4, 6 or 8 squares a side, not 7"),
        (["build", "--layers", "2", "--out", "x"], "need 4 layers at least"),
        (["build", "--board", "3", "--out", "x"], "squares a side, not 3"),
        (["evaluate", "bigram", "--all"], "on a board of 4 x 4 alone; 8 x 8 has too many"),
        (["evaluate", "logic", "--board", "6", "--all"], "alone; 6 x 6 has too many"),
        (["evaluate", "bigram", "--board", "5", "--all"], "4, 6 or 8 squares a side, not 5"),
        (
            ["evaluate", "bigram", "--board", "4", "--all", "--file", "games.txt"],
            "all games are run through, or those of a file, not both",
        ),
        (["study", "sizes", "--boards", "4,5", "--out", "x"], "squares a side, not 5"),
        (["study", "sizes", "--layers", "3", "--out", "x"], "need 4 layers at least, not 3"),
        (["study", "sizes", "--layers", "", "--out", "x"], "one number of layers are asked for"),
        (["study", "description", "logic", "pooled", "--bits", ""], "at least 2 bits"),
        (["study", "description", "logic", "logic"], "a model is named twice"),
        (["study", "scalars", "--board", "3", "--out", "x"], "squares a side, not 3"),
        (["study", "speed", "--board", "10"], "squares a side, not 10"),
        (["study", "sizes", "--layers", "4,x", "--out", "."], "'4,x' names no numbers of layers"),
        (["explain", "logic", "f5", "--board", "4"], "'f5' is not a square of the 4 x 4 board"),
        (["evaluate", "pyproject.toml"], "no file of weights: it is text"),
        (["compare", "bigram", "--out", "pyproject.toml"], "cannot write pyproject.toml: File"),
        (["check", "bigram", "--out", "pyproject.toml"], "cannot write pyproject.toml: File"),
        (["check", "bigram", "--against", "."], "cannot read .: Is a directory"),
        (["check", "bigram", "--against", "missing"], "cannot read missing: No such file"),
        (["describe", "bigram"], "not hand-built"),
        (["describe", "logic", "belief.Z9"], "nothing is called 'belief.Z9'"),
        (["describe", "logic", "9.0"], "layer 9 does not exist"),
        (["describe", "logic", "512"], "direction 512 does not exist"),
        (["describe", "logic", "²"], "nothing is called '²'"),
        (["compare", "bigram", "bigram"], "a model is named twice"),
        (["evaluate", "bigram", "--json", "/dev/null"], "no ordinary file"),
        (["evaluate", "bigram", "--device", "meta"], "models run on cpu or cuda"),
        (["export", "bigram", "--format", "mingpt", "--out", "x"], "bigram is a baseline"),
        (["export", "logic", "--format", "onnx", "--out", "x"], "no format is called 'onnx'"),
        (["export", "logic", "--format", "mingpt", "--out", "/nowhere/x"], "/nowhere is no folder"),
        (
            ["export", "pyproject.toml", "--format", "mingpt", "--out", "x"],
            "no file of weights: it is text",
        ),
        (["export", ".", "--format", "mingpt", "--out", "x"], "it has none of model.safetensors"),
        (["export", "logic", "--format", "huggingface", "--out", "."], "holds something else"),
        (["export", "logic", "--format", "huggingface", "--out", "pyproject.toml"], "no folder"),
        (["probe", "bigram", "--out", "x.safetensors"], "bigram is a baseline"),
        (["probe", "logic", "--out", "/nowhere/x.safetensors"], "/nowhere is no folder"),
        (["probe", "logic", "--out", "probes.png"], "probes are safetensors"),
        (["adopt", "missing"], "missing holds no training run"),
        (["ablate", "magic"], "no rule or part is called 'magic'"),
        (["ablate", "--recipe", "magic"], "no recipe is called 'magic'"),
        (["calibrate", "--out", "x", "--tied", "colour"], "no axis is called 'colour'"),
        (
            ["calibrate", "--out", "pyproject.toml", "--strengths", "x"],
            "cannot write pyproject.toml: File exists",
        ),
        (["calibrate", "--out", "x", "--strengths", "/nowhere/x"], "/nowhere is no folder"),
        (["calibrate", "--out", "x", "--begin", "missing"], "missing holds no strengths"),
        (
            ["calibrate", "--out", "x", "--begin", str(FOLDER / "calibrated.toml"), "--board", "6"],
            "not for 8 and 6 x 6",
        ),
        (["rules", "."], "cannot read .: Is a directory"),
        (["circuits", "missing"], "cannot read missing: No such file"),
        (["replace", "logic", "."], "cannot read .: Is a directory"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.chdir(tmp_path)
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    captured = capsys.readouterr().err
    assert message in captured
    assert captured.count("\n") == 1
    assert "Traceback" not in captured
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pyproject.toml"]


def test_models_play_on_one_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of the files among them; what is made by its name is made for it."""
    monkeypatch.chdir(tmp_path)
    for board in (4, 8):
        OthelloGPT(TINY.on(board)).save(f"{board}.safetensors")
    loaded = load_models(["bigram", "4.safetensors"])
    assert [(name, board_of(model)) for name, model in loaded.items()] == [
        ("bigram", 4),
        ("4.safetensors", 4),
    ]
    for arguments in (
        ("compare", "8.safetensors", "4.safetensors"),
        ("evaluate", "4.safetensors", "--board", "8"),
        ("evaluate", "4.safetensors", "--board", "8", "--all"),
    ):
        assert run(*arguments, monkeypatch=monkeypatch) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("4.safetensors plays on a board of 4 x 4, not of 8 x 8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["evaluate", "8.safetensors", "--all"], "alone; 8 x 8 has too many"),
        (["evaluate", "4.safetensors", "--file", "8.txt"], "'f5' is not a square of the 4 x 4"),
        (["evaluate", "8.safetensors", "--file", "4.txt"], "D4 is never played on the 8 x 8 board"),
        (["check", "4.safetensors", "--file", "8.txt"], "'f5' is not a square of the 4 x 4 board"),
        (["errors", "bigram", "--file", "4.txt"], "D4 is never played on the 8 x 8 board"),
        (["explain", "4.safetensors", "f5"], "'f5' is not a square of the 4 x 4 board"),
        (["explain", "8.safetensors", "f5", "--probes", "p"], "no probes of a model of this shape"),
        (
            ["explain", "8.safetensors", "f5", "--catalogue", "c", "--probes", "8"],
            "about another model",
        ),
        (["errors", "8.safetensors", "--catalogue", "c"], "rival, which is not compared"),
        (["replace", "8.safetensors", "c"], "about another model, which it calls 'rival'"),
        (["rules", "c", "--square", "H8"], "'H8' is not a square of the 4 x 4 board"),
        (["train", "--board", "4", "--from", "8.safetensors", "--out", "x"], "8 x 8, not of 4 x 4"),
        (["study", "description", "4.safetensors", "8.safetensors"], "8 x 8, not of 4 x 4"),
        (
            ["transcribe", "4.safetensors", "--out", "x", "--beside", "8.safetensors"],
            "8 x 8, not of 4 x 4",
        ),
        (["adopt", "4.safetensors", "--board", "8"], "4 x 4, not of 8 x 8"),
        (
            ["adopt", str(FOLDER / "calibrated.toml"), "--board", "4"],
            "calibrated is kept for a board of 8 x 8, not of 4 x 4",
        ),
    ],
)
def test_what_is_of_another_board_is_one_sentence(
    arguments: list[str],
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Games, probes, catalogues and models to begin from."""
    monkeypatch.chdir(tmp_path)
    for board in (4, 8):
        OthelloGPT(TINY.on(board)).save(f"{board}.safetensors")
    Path("8.txt").write_text("f5d6c3\n")
    Path("4.txt").write_text("b1a1d4\n")
    for board, probes in ((4, "p"), (8, "8")):
        model = OthelloGPT.load(Path(f"{board}.safetensors"))
        fit_probes(model, games=8).save(Path(probes))
    header = replace(HEADER, model="rival", board=4)
    catalogue.write(catalogue.Catalogue(header, ()), Path("c"))
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_the_module_is_the_script() -> None:
    command = [sys.executable, "-m", "comparison", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name in ("build", "evaluate", "compare", "describe", "train", "probe", "adopt", "ablate"):
        assert name in done.stdout
