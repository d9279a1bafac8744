"""``handbuilt extract`` and ``rules`` as a person types them."""

from pathlib import Path

import pytest
import torch
from msgspec.structs import replace
from torch import Tensor

from comparison.commands import discovering
from comparison.reading.probes import Probes, fit_probes
from comparison.replacing import extraction
from extracted_rules import catalogue
from extracted_rules.catalogue import Catalogue
from extracted_rules.discovery.collecting import Surroundings
from extracted_rules.discovery.neuron_rules import Labels
from handbuilt import OthelloGPT, Shape
from tests.command_line import run
from tests.discovery.test_catalogue import HEADER, neuron

PNG = b"\x89PNG"
TINY = Shape(n_layers=2, d_model=8, n_heads=1, d_head=8, d_mlp=6).on(4)
FEW = ("--games", "100", "--checking", "100")


@pytest.fixture(autouse=True)
def _few_games_for_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    def quick(model: OthelloGPT, progress: object) -> object:
        return fit_probes(model, games=32)

    monkeypatch.setattr(discovering, "fit_probes", quick)


def random_model(seed: int) -> OthelloGPT:
    model = OthelloGPT(TINY)
    generator = torch.Generator().manual_seed(seed)
    weights = {
        name: 0.5 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in model.state_dict().items()
    }
    return OthelloGPT.of_weights(weights, TINY)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    random_model(1).save(path)
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.jsonl"
    found = (
        neuron(17),
        replace(neuron(18), layer=5, rule="disc", parts=("A1 mine",)),
        catalogue.Neuron(5, 19, "tree", r2=0.5, tree=("H8 played", 0.0, ("H7 mine", 1.0, 2.0))),
        catalogue.Neuron(5, 20, "none"),
    )
    catalogue.write(Catalogue(HEADER, found), path)
    return path


def test_extract_writes_what_rules_reads(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "found.jsonl"
    assert run("extract", str(model), "--out", str(out), *FEW, monkeypatch=monkeypatch) == 0
    assert "neurons in layer" in capsys.readouterr().out
    found = catalogue.read(out)
    assert [(n.layer, n.neuron) for n in found.neurons] == [
        (layer, n) for layer in (0, 1) for n in range(6)
    ]
    assert len(found.heads) == 2
    assert found.header.sizes == (2, 1, 6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.jsonl", "tiny.safetensors"]
    assert run("rules", str(out), monkeypatch=monkeypatch) == 0
    assert "12 neurons, the best 12" in capsys.readouterr().out


def test_extract_goes_on_where_it_was_killed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "LAYER_COLLECTORS", ())
    whole, again = tmp_path / "whole.jsonl", tmp_path / "again.jsonl"
    assert run("extract", str(model), "--out", str(whole), *FEW, monkeypatch=monkeypatch) == 0
    surroundings = extraction.surroundings

    def killed_in_layer_1(
        model: OthelloGPT, probes: Probes, layer: int, to: Tensor
    ) -> Surroundings:
        if layer == 1:
            raise OSError("killed")
        return surroundings(model, probes, layer, to)

    with monkeypatch.context() as killed:
        killed.setattr(extraction, "surroundings", killed_in_layer_1)
        assert run("extract", str(model), "--out", str(again), *FEW, monkeypatch=killed) == 2
    work = tmp_path / "again.jsonl.work"
    assert (work / "layer-0.msgpack").exists()
    looked = []

    class Watched(extraction.NeuronRules):
        def __init__(self, where: Surroundings, labels: Labels) -> None:
            looked.append(where.layer)
            super().__init__(where, labels)

    monkeypatch.setattr(extraction, "NeuronRules", Watched)
    assert run("extract", str(model), "--out", str(again), *FEW, monkeypatch=monkeypatch) == 0
    assert looked == [1]
    assert again.read_text() == whole.read_text()


def test_one_layer_is_enough(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "LAYER_COLLECTORS", ())
    out = tmp_path / "layer.jsonl"
    arguments = ("extract", str(model), "--out", str(out), "--layer", "1", "--control", *FEW)
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    found = catalogue.read(out)
    assert {f.layer for f in found.findings} == {1}
    assert found.header.model == "tiny, weights in random order"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--games", "20"), "20 games to find rules in are too few: 100 are needed"),
        (("--checking", "20"), "20 games to check them on are too few"),
        (("--layer", "2"), "layer 2 does not exist; there are 2"),
        (("--probes", "tiny.safetensors"), "holds no probes of a model of this shape"),
        (("--probes", "nowhere.safetensors"), "nowhere.safetensors"),
        (("--out", "nowhere/found.jsonl"), "is no folder"),
    ],
)
def test_extract_says_what_is_wrong(
    arguments: tuple[str, ...],
    says: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("extract", model.name, "--out", "found.jsonl", *FEW, *arguments)
    assert run(*command, monkeypatch=monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_probes_of_another_model_are_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    probes = tmp_path / "probes.safetensors"
    fit_probes(random_model(2), games=8).save(probes)
    out = tmp_path / "found.jsonl"
    command = ("extract", str(model), "--out", str(out), "--probes", str(probes), *FEW)
    assert run(*command, monkeypatch=monkeypatch) == 2
    assert "holds probes of another model" in capsys.readouterr().err


def test_a_baseline_has_no_neurons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("extract", "bigram", "--out", str(tmp_path / "found.jsonl"))
    assert run(*command, monkeypatch=monkeypatch) == 2
    assert "bigram is a baseline: it has no neurons to look at" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "shown", "hidden"),
    [
        (("--layer", "3"), "3.n17", "5.n18"),
        (("--square", "a1"), "5.n18", "3.n17"),
        (("--kind", "tree"), "5.n19", "3.n17"),
        (("--min-f1", "0.8"), "3.n17", "5.n20"),
        (("--most", "1"), "4 neurons, the best 1", "5.n20"),
        (("3.n17",), "one of C4 and F4 was just played and turned D4 and E4", "5.n18"),
        (("5.n19",), "if H7 is mine:", "3.n17"),
    ],
)
def test_rules_are_listed_filtered_and_explained(
    arguments: tuple[str, ...],
    shown: str,
    hidden: str,
    rules: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("rules", str(rules), *arguments, monkeypatch=monkeypatch) == 0
    out = capsys.readouterr().out
    assert shown in out
    assert hidden not in out


def test_a_model_that_looks_like_markup_is_named_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rules.jsonl"
    catalogue.write(Catalogue(replace(HEADER, model="a[/b]"), (neuron(17),)), path)
    for command in ("rules", "circuits"):
        assert run(command, str(path), monkeypatch=monkeypatch) == 0
        assert "a[/b]" in capsys.readouterr().out


def test_rules_are_drawn(rules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "rules.png"
    assert run("rules", str(rules), "--out", str(out), monkeypatch=monkeypatch) == 0
    assert out.read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("9.n1",), "the catalogue says nothing of a neuron '9.n1'"),
        (("--kind", "wish"), "there is no rule 'wish'; there are pattern, "),
        (("--square", "j9"), "'j9' is not a square"),
        (("--layer", "99"), "layer 99 does not exist; there are 8"),
        (("--out", "rules.jpg"), "the picture is a .png"),
    ],
)
def test_rules_says_what_is_wrong(
    arguments: tuple[str, ...],
    says: str,
    rules: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("rules", str(rules), *arguments, monkeypatch=monkeypatch) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_what_is_no_catalogue_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("rules", str(model), monkeypatch=monkeypatch) == 2
    assert "is no catalogue of rules" in capsys.readouterr().err
