"""What a trained model goes back to is kept when it is adopted; weights from elsewhere, too."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from comparison.commands import adopting
from comparison.training import reference
from comparison.training.history import Past, Run, describe_start, digest, hours
from comparison.training.reference import Manifest, load_reference
from comparison.training.settings import Manner, Phase, Settings
from comparison.training.states import read_log
from comparison.training.training import train
from handbuilt.network.shape import Shape
from handbuilt.network.shards import rounded
from handbuilt.network.transformer import OthelloGPT
from tests.command_line import run

TINY = Shape(n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=16)
FIRST = Settings(phases=(Phase(59, 16, 64),), warmup_games=16, precision="float32", shape=TINY)
LITTLE = ("--games", "2", "--probe-games", "2", "--device", "cpu")
COMMAND = "handbuilt train --out run --phases 59:16:32 --from reference --warmup-games 16"
COMMAND += " --precision float32 --seed 2"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project's folder that holds the model of a first run."""
    place = tmp_path_factory.mktemp("home")
    train(FIRST, place / "first", torch.device("cpu"), Manner(log_every=1))
    with pytest.MonkeyPatch.context() as patch:
        _at(place, patch)
        assert run("adopt", str(place / "first"), *LITTLE, monkeypatch=patch) == 0
    return place


@pytest.fixture(scope="module")
def second(home: Path) -> Path:
    """A run that goes on from it, and its weights without a word of their settings."""
    began = load_reference(home / "reference_model")
    settings = replace(
        FIRST, phases=(Phase(59, 16, 32),), seed=2, start=describe_start("reference", began)
    )
    out = home / "second"
    made = train(settings, out, torch.device("cpu"), Manner(log_every=1), start=began)
    made.metadata = {"recipe": "trained"}
    rounded(made).save(out / "start.safetensors")
    return out


def _at(place: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reference, "FOLDER", place / "reference_model")
    patch.setattr(adopting, "THRESHOLD_GAMES", 20)
    patch.setattr(adopting, "BOARD_GAMES", 2)


def test_a_run_and_the_one_before_it(
    home: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _at(tmp_path, monkeypatch)
    folder = tmp_path / "reference_model"
    folder.mkdir()
    for path in (home / "reference_model").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    before, old_log = digest(load_reference(folder)), (folder / "log.jsonl").read_bytes()
    arguments = ["adopt", str(second / "start.safetensors"), "--trained-by", COMMAND, *LITTLE]
    arguments += ["--hardware", "an abacus", "--words", "Trained on an abacus"]
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    said = capsys.readouterr().out
    assert f"it replaces the trained model of weights {before}: 64 games; " in said
    assert "% illegal on 2 (random, seed 1)" in said

    manifest, card = Manifest.read(folder), (folder / "CARD.md").read_text()
    assert [earlier.weights for earlier in manifest.earlier] == [before]
    assert (folder / "log-1.jsonl").read_bytes() == old_log
    spent = hours(read_log(folder / "log-1.jsonl"))
    for fact in (
        "Trained on an abacus. ",
        "| 64 + 32 random games, 96 in all |",
        f"| run 1 | 64 games, seed 1; not recorded; {spent:.2f} hours of steps |",
        "handbuilt train --out run-1 --phases 59:16:64 --warmup-games 16 --precision float32\n"
        "handbuilt adopt run-1\n"
        "handbuilt train --out run-2 --phases 59:16:32 --from reference --warmup-games 16 --seed 2"
        " --precision float32\nhandbuilt adopt run-2 --seed 1",
    ):
        assert fact in card
    assert load_reference(folder).metadata["description"] == "Trained on an abacus"
    # Now the command's `--from reference` names another model.
    capsys.readouterr()
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    assert "holds the very weights that reference names now" in capsys.readouterr().err
    # A run that says itself what it began from is known again.
    again = Past.of(Run.read(second), folder)
    assert (again.games, again.runs) == (64, manifest.earlier)
    drawn = again.curves(read_log(folder))
    assert {curve.colour is None: curve.games for curve in drawn} == {True: [64], False: [96]}


def test_what_is_of_another_run_is_one_sentence(
    home: Path, second: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _at(home, monkeypatch)
    weights = second / "start.safetensors"
    logs = {
        "of the first run": (home / "first" / "log.jsonl").read_text(),
        "of another rate": (second / "log.jsonl").read_text().replace('_rate": 0', '_rate": 1'),
        "cut off": (second / "log.jsonl").read_text().split("\n")[0] + "\n",
        "of other weights": _with_excess((second / "log.jsonl").read_text(), 0.5),
    }
    for name, text in logs.items():
        (tmp_path / name).write_text(text)
    small = tmp_path / "small.safetensors"
    OthelloGPT(TINY.on(6)).save(small)
    for path, command, log, message in (
        (weights, None, None, "does not say how it was trained; --trained-by takes"),
        (second, COMMAND, None, "says itself how it was trained"),
        (small, COMMAND, None, "a phase has 1 to 31 plies, not 59"),
        (
            weights,
            "handbuilt build",
            None,
            "'handbuilt build' is no `handbuilt train --phases ...`",
        ),
        (
            weights,
            "handbuilt train --outt x",
            None,
            "is no `handbuilt train --phases ...` with options",
        ),
        (weights, f"{COMMAND} --resume", None, "is no `handbuilt train --phases ...`"),
        (weights, COMMAND, tmp_path / "none", "is no log of a training run: No such file"),
        (weights, COMMAND, "of the first run", "is of another run: its step "),
        (weights, COMMAND, "of another rate", "is after 16 games at a rate of 1.000"),
        (weights, COMMAND, "cut off", "has no validation after step 2"),
        (weights, COMMAND, "of other weights", "last validation found an excess of 0.5000, these"),
    ):
        arguments = ["adopt", str(path), *LITTLE]
        arguments += ["--trained-by", command] if command else []
        arguments += ["--log", str(tmp_path / log)] if log else []
        assert run(*arguments, monkeypatch=monkeypatch) == 2, message
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1


def _with_excess(log: str, excess: float) -> str:
    lines = [json.loads(line) for line in log.splitlines()]
    last = lines[-1]["validated"]
    lines[-1]["validated"] = {name: [illegal, excess] for name, (illegal, _) in last.items()}
    return "".join(json.dumps(line) + "\n" for line in lines)


def test_weights_that_nobody_knows_have_no_past(home: Path, second: Path, tmp_path: Path) -> None:
    known = Run.read(second)
    assert Past.of(known, tmp_path) == Past()
    elsewhere = replace(known.settings, start="x (weights 0123456789ab): from elsewhere")
    stranger = replace(known, settings=elsewhere)
    assert Past.of(stranger, home / "reference_model") == Past()
    assert Past.of(known, home / "reference_model").games == 64
