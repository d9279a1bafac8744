"""The trained model's folder: what is adopted is what is loaded, and damage is a sentence."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from comparison import load_model
from comparison.commands import adopting, measuring
from comparison.reading.probes import Probes
from comparison.studies.likeness import likeness
from comparison.training import companions, reference
from comparison.training.models import UnknownModelError, as_gpt, program_of
from comparison.training.reference import Manifest, load_reference
from comparison.training.settings import Manner, Phase, Settings
from comparison.training.training import initialise, train
from extracted_rules.files import whole_folder
from extracted_rules.othello.geometry import BoardError
from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.shards import rounded, write_shards
from handbuilt.network.transformer import OthelloGPT
from tests.command_line import run

TINY = Shape(n_layers=1, d_model=16, n_heads=2, d_head=8, d_mlp=16)
#: So small that the tiny model fills several shards.
SHARD_BYTES = 4000


@pytest.fixture(scope="module")
def model() -> OthelloGPT:
    model = OthelloGPT(TINY)
    initialise(model, 1)
    return model.eval()


@pytest.fixture
def folder(model: OthelloGPT, tmp_path: Path) -> Path:
    manifest = Manifest(
        shape=TINY, description="tiny", tau=0.01, training=Settings(phases=()), hardware="none",
        probes={}, measured=[], shards=write_shards(model, tmp_path, SHARD_BYTES),
    )  # fmt: skip
    manifest.write(tmp_path)
    return tmp_path


def test_a_packed_model_comes_back_as_float16_left_it(model: OthelloGPT, folder: Path) -> None:
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) >= 3
    assert all(path.stat().st_size < SHARD_BYTES + 1000 for path in shards)
    again, expected = load_reference(folder), rounded(model).state_dict()
    assert again.state_dict().keys() == expected.keys()
    for name, tensor in again.state_dict().items():
        assert tensor.dtype == torch.float32
        assert tensor.equal(expected[name])
    assert not again.training
    assert again.metadata["recipe"] == "trained"
    too_large = OthelloGPT(TINY)
    too_large.unembed.b_U.data[0] = 1e5
    with pytest.raises(CheckpointError, match="which float16 cannot hold"):
        rounded(too_large)


def test_damage_is_one_sentence(folder: Path) -> None:
    shard, manifest = folder / "model-2.safetensors", folder / "manifest.json"
    whole, text = shard.read_bytes(), manifest.read_text()
    flipped = bytearray(whole)
    flipped[-1] ^= 1
    data = json.loads(text)
    for damage, message in (
        (lambda: shard.write_bytes(flipped), "model-2.safetensors is damaged"),
        (lambda: shard.write_bytes(whole[:-5]), "has .* bytes instead of"),
        (lambda: shard.unlink(), "model-2.safetensors cannot be read: No such file"),
        (lambda: manifest.write_text("{"), "no manifest of a trained model"),
        (lambda: manifest.write_bytes(b"\xff\x00"), "no manifest of a trained model"),
        (lambda: manifest.write_text("[" * 100_000), "no manifest of a trained model"),
        (lambda: manifest.write_text(json.dumps(data | {"tau": "x"})), "no manifest"),
        (lambda: manifest.write_text(json.dumps(data | {"more": 1})), "no manifest"),
        (lambda: manifest.write_text(json.dumps(data | {"format": 2})), "is of format 2, not 1"),
        (lambda: manifest.write_text(json.dumps(data | {"shards": []})), "is not this model"),
        (
            lambda: manifest.write_text(json.dumps(data | {"shape": {"n_layers": 10**9}})),
            "no Othello-GPT shape",
        ),
        (lambda: manifest.unlink(), "cannot be read"),
    ):
        damage()
        with pytest.raises(CheckpointError, match=message) as raised:
            load_reference(folder)
        assert "\n" not in str(raised.value)
        shard.write_bytes(whole)
        manifest.write_text(text)
    load_reference(folder)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the project's model goes in a test, with little to measure."""
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "reference_model")
    for module in (companions, adopting):
        monkeypatch.setattr(module, "THRESHOLD_GAMES", 20)
    for module in (measuring, adopting):
        monkeypatch.setattr(module, "BOARD_GAMES", 8)
    return tmp_path / "reference_model"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    settings = Settings(
        phases=(Phase(59, 16, 64),), warmup_games=16, precision="float32", shape=TINY
    )
    train(settings, out, torch.device("cpu"), Manner(log_every=1))
    return out


def test_an_adopted_model_has_the_figures_on_its_card(
    home: Path,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    games = tmp_path / "games.txt"
    games.write_text("f5d6c3d3c4f4f6\nf5d6c3d3\n")
    code = run(
        "adopt", str(trained), "--hardware", "an abacus", "--note", "A *note*.",
        "--games", "12", "--seed", "5", "--file", str(games), "--probe-games", "20",
        "--device", "cpu", monkeypatch=monkeypatch,
    )  # fmt: skip
    assert code == 0
    card, manifest = (home / "CARD.md").read_text(), Manifest.read(home)
    for fact in (
        "an abacus",
        "\n\nA *note*.\n\n",
        "64 random games",
        "the move that was played",
        "seed 5",
    ):
        assert fact in card
    again = "handbuilt train --out run --phases 59:16:64 --warmup-games 16 --precision float32"
    assert f"\n```\n{again}\nhandbuilt adopt run --seed 5\n```\n" in card
    assert [m["command"] for m in manifest.measured] == [
        "handbuilt evaluate reference --games 12 --seed 5 --device cpu",
        "handbuilt evaluate reference --file games.txt --device cpu",
    ]
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    for measured in manifest.measured:
        command = measured.pop("command")
        assert f"`{command}`" in card
        figures = tmp_path / "figures.json"
        arguments = [*command.split()[1:], "--json", str(figures)]
        assert run(*arguments, monkeypatch=monkeypatch) == 0
        found = json.loads(figures.read_text())
        assert found.pop("operands") == "float32"
        assert found == json.loads(json.dumps(measured))
        row = next(r for r in capsys.readouterr().out.splitlines() if " all " in r)
        cells = [cell.strip() for cell in row.split("  ") if cell.strip()]
        assert "| " + " | ".join(cells) + " |" in card
    model = load_model("reference")
    assert isinstance(model, OthelloGPT)
    assert Probes.load(home / "probes.safetensors", model).games == 20
    for figure in ("training.png", "boards.png"):
        assert figure in card
        assert (home / figure).stat().st_size > 1000


def test_a_failed_adoption_keeps_the_model_that_was_there(
    home: Path, trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("adopt", str(trained), "--games", "2", "--probe-games", "2", "--device", "cpu")
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    before = {path.name: path.read_bytes() for path in home.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Probes, "save", full)
    capsys.readouterr()
    assert run(*arguments, "--seed", "2", monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err.strip().endswith("reference_model: No space left on device")
    assert {path.name: path.read_bytes() for path in home.iterdir()} == before
    assert [p.name for p in home.parent.iterdir() if "reference_model" in p.name] == [home.name]


def test_a_folder_is_replaced_whole_even_after_a_kill(tmp_path: Path) -> None:
    path, old = tmp_path / "folder", tmp_path / ".folder.old"
    for number in (1, 2):
        with whole_folder(path) as partial:
            (partial / "file").write_text(str(number))
        assert (path / "file").read_text() == str(number)
    path.rename(old)  # as a kill between the two renames leaves it
    (tmp_path / ".folder.partial").mkdir()
    with pytest.raises(ZeroDivisionError), whole_folder(path):
        raise ZeroDivisionError
    assert (path / "file").read_text() == "2"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_only_a_finished_run_is_adopted(
    home: Path,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    unlogged = tmp_path / "unlogged"
    shutil.copytree(trained, unlogged)
    (unlogged / "log.jsonl").unlink()
    unsettled = tmp_path / "unsettled"
    unsettled.mkdir()
    OthelloGPT(TINY).save(unsettled / "model.safetensors")
    short = tmp_path / "short"
    short.mkdir()
    OthelloGPT(replace(TINY, n_ctx=20)).save(short / "model.safetensors")
    for path, message in (
        (tmp_path / "nothing", "holds no training run that wrote"),
        (unlogged, "is no log of a training run"),
        (unsettled, "does not say how it was trained"),
        (short, "a model of Othello games reads 59 of 61"),
    ):
        assert run("adopt", str(path), monkeypatch=monkeypatch) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not home.exists()


def test_compare_reads_the_trained_models_board_through_its_probes(
    home: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("adopt", str(trained), "--games", "2", "--probe-games", "4", "--device", "cpu")
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    out = tmp_path / "out"
    arguments = ("compare", "reference", "bigram", "--games", "6", "--out", str(out))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert (out / "boards-reference.png").stat().st_size > 1000
    report = (out / "report.md").read_text()
    for text in ("boards-reference.png", "linear probes, 6 games", "plies 41-60"):
        assert text in report
    tau = Manifest.read(home).tau
    assert json.loads((out / "results.json").read_text())[0]["tau"] == tau


@pytest.mark.skipif(not reference.is_there(), reason="the project holds no trained model yet")
def test_the_projects_own_model_is_whole() -> None:
    model = load_reference()
    assert model.shape == Shape()
    Probes.load(reference.FOLDER / reference.PROBES, model)
    card = (reference.FOLDER / "CARD.md").read_text()
    assert all(measured["command"] in card for measured in Manifest.read(reference.FOLDER).measured)
    files = list(reference.FOLDER.iterdir())
    assert max(path.stat().st_size for path in files) <= 16 * 2**20
    assert sum(path.stat().st_size for path in files) < 60 * 10**6


def test_a_model_that_is_not_known_is_told_from_those_that_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, known in ((folder, True), (tmp_path / "nowhere", False)):
        monkeypatch.setattr(reference, "FOLDER", place)
        with pytest.raises(UnknownModelError, match="neither a file nor one of logic") as caught:
            load_model("nothing")
        assert str(caught.value).endswith(", reference, extracted") == known


@pytest.mark.skipif(not reference.is_there(), reason="the project holds no trained model")
def test_extracted_is_the_network_of_the_references_transcript() -> None:
    model = as_gpt("extracted", load_model("extracted"), "")
    trained = reference.load_reference()
    assert model.has_names
    assert not model.is_handbuilt
    written = companions.transcript(trained)
    assert written is not None
    assert companions.transcript(model) is None
    assert model.metadata["transcript"] == written.fingerprint()
    assert companions.threshold("extracted", model, 1, torch.device("cpu")) == written.about.tau
    read_by = companions.probes("extracted", model)
    assert read_by is not None
    assert read_by.normalised
    models = {"reference": trained, "extracted": model}
    found = likeness(models, dict.fromkeys(models, 0.04), 16, 1)["extracted"].estimates
    assert found["kl"].value < 0.06
    assert found["illegal"].value < 0.03
    assert program_of("extracted").smooth
    with pytest.raises(BoardError, match="plays on a board of 8 x 8"):
        load_model("extracted", 6)
