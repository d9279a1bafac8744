"""`handbuilt train` as a person types it: defaults, resuming, finishing, mistakes."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch

from comparison.commands import training as commands
from comparison.training import training
from comparison.training.states import read_log, read_state
from handbuilt import OthelloGPT, Shape
from tests.command_line import run as handbuilt

TINY = Shape(n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=16)
RECIPE = (
    "--optimizer", "muon", "--schedule", "constant", "--average", ".9,.5", "--clip", "0",
    "--warmup-games", "8", "--targets", "legal", "--precision", "float32", "--device", "cpu",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(commands, "SHAPE", TINY)
    monkeypatch.setattr(training, "VALIDATION_GAMES", 4)
    monkeypatch.chdir(tmp_path)


def train(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    return handbuilt("train", "--out", "run", *arguments, monkeypatch=monkeypatch)


def test_a_run_is_begun_resumed_prolonged_and_finished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not said again is as the checkpoint has it."""
    threads = torch.get_num_threads()
    run = partial(train, monkeypatch=monkeypatch)
    assert run("--phases", "6:8:16,59:4:16", "--threads", "1", *RECIPE) == 0
    assert torch.get_num_threads() == 1
    torch.set_num_threads(threads)
    state = read_state(Path("run"), weights=False)
    assert (state.step, state.settings.averages, state.settings.seed) == (6, (0.9, 0.5), 1)
    assert run("--resume") == 0
    assert run("--resume", "--phases", "6:8:16,59:4:24") == 0
    assert [line.games for line in read_log(Path("run"))] == [32, 40]
    capsys.readouterr()
    assert run("--resume", "--seed", "2") == 2
    assert "was trained with seed = 1, not 2; resume with the same" in capsys.readouterr().err
    assert run("--finish", "8", "--seed", "2") == 2
    assert "was trained with seed = 1, not 2; resume with the same" in capsys.readouterr().err
    assert run("--finish", "3") == 2
    assert "a finish takes at least one step, of 4 games" in capsys.readouterr().err
    assert run("--finish", "8") == 0
    finished = OthelloGPT.load(Path("run/finish-40-8/model.safetensors"))
    assert "trained on 48 random games" in finished.metadata["description"]
    assert "over the last 8" in finished.metadata["description"]
    assert read_state(Path("run"), weights=False).step == 8
    capsys.readouterr()
    assert run("--finish", "8", "--resume") == 2
    assert "a killed one is resumed in its own folder" in capsys.readouterr().err
    assert (
        handbuilt("train", "--out", "run/finish-40-8", "--finish", "8", monkeypatch=monkeypatch)
        == 2
    )
    assert "only a run at a constant rate can be finished" in capsys.readouterr().err


def test_a_run_of_one_phase_is_prolonged_by_games(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = partial(train, monkeypatch=monkeypatch)
    assert run("--resume") == 2
    assert "run holds no checkpoint to go on from" in capsys.readouterr().err
    assert run("--resume", "--games", "8", "--batch", "4", *RECIPE) == 0
    assert "no checkpoint in run: a new run begins" in capsys.readouterr().err
    assert run("--resume", "--games", "16") == 0
    assert read_state(Path("run"), weights=False).step == 4
    assert run("--resume", "--batch", "8") == 2
    assert "with phases = 59:4:16, not 59:8:16" in capsys.readouterr().err


def test_a_run_from_a_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    OthelloGPT(TINY, {"description": "all zeros"}).save(Path("zeros.safetensors"))
    run = partial(train, "--games", "8", "--batch", "4", *RECIPE, monkeypatch=monkeypatch)
    assert run("--from", "zeros.safetensors") == 0
    model = OthelloGPT.load(Path("run/model.safetensors"))
    assert "begun from zeros.safetensors (weights " in model.metadata["description"]
    assert json.loads(model.metadata["settings"])["start"].endswith("): all zeros")
    assert run("--resume", "--from", "zeros.safetensors") == 0
    OthelloGPT(Shape(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=16)).save(Path("x.st"))
    capsys.readouterr()
    for arguments, message in (
        (("--from", "x.st"), "holds a run already"),
        (("--from", "x.st", "--resume"), "was trained with start = zeros.safetensors"),
        (("--from", "bigram"), "bigram is a baseline"),
        (("--from", "nothing"), "'nothing' is neither a file nor"),
    ):
        assert run(*arguments) == 2
        assert message in capsys.readouterr().err
    assert handbuilt("train", "--out", "new", "--from", "x.st", monkeypatch=monkeypatch) == 2
    assert "a model of another shape cannot be begun from" in capsys.readouterr().err
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--phases", "16:8"), "'16:8' is no phase"),
        (("--phases", "61:8:8"), "a phase has 1 to 59 plies, not 61"),
        (("--phases", "59:8:8", "--games", "8"), "--phases says how many games there are"),
        (("--phases", "59:0:8"), "'59:0:8' is no phase"),
        (("--learning-rate", "inf"), "learning_rate should be a number, not inf"),
        (("--seed", "99999999999999999999"), "a seed is a number from 0 to 2^63 - 1"),
        (("--average", ".99999991,.99999992"), "an average is named twice"),
        (("--average", "much"), "'much' are no shares"),
        (("--average", "1.5"), "an average keeps a share between 0 and 1, not 1.5"),
        (("--optimizer", "sgd"), "optimizer: adamw or muon, not 'sgd'"),
        (("--precision", "int8"), "precision: auto or bfloat16 or float32, not 'int8'"),
        (("--finish", "8"), "is no checkpoint of a training run"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert train(*arguments, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().count("\n") == 0
    assert not Path("run").exists()
