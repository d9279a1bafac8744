"""Transcripts of a hand-built model, whose reads are known; their files and networks; bad input."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from comparison.commands import transcribing
from comparison.studies.likeness import likeness
from extracted_rules.discovery.names import moving, square_of, that_vary
from extracted_rules.discovery.sparse import ReadsError
from extracted_rules.files import KeptError, read_tensors, write_tensors
from handbuilt import OthelloGPT, Shape, build, program
from handbuilt.compiler import needed
from handbuilt.network.layout import LayoutError
from handbuilt.network.shape import CheckpointError
from handbuilt.sentences import KEY, carried, describe, same_square
from handbuilt.transcribing import (
    CHECKING,
    Sums,
    check,
    collect,
    control,
    in_directions,
    shares_kept,
    transcribe,
)
from handbuilt.transcript import Transcript, TranscriptError, read
from handbuilt.transcript_network import network
from tests.command_line import run

GAMES = 200


@pytest.fixture(scope="module")
def model() -> OthelloGPT:
    """`logic` of 4 x 4, as small as it can be."""
    rules = program("logic", board=4)
    return build("logic", board=4, shape=needed(rules))


@pytest.fixture(scope="module")
def sums(model: OthelloGPT) -> Sums:
    return collect(model, GAMES, 1)


@pytest.fixture(scope="module")
def four(model: OthelloGPT, sums: Sums) -> Transcript:
    return transcribe(model, "logic", sums, reads=4, dense=())


def squares_read(model: OthelloGPT, found: Transcript, layer: int) -> tuple[float, float]:
    """(precision, recall) of the squares that bracket neurons of a layer are found to read, against
    those of their brackets."""
    geometry, hits, read_of, own = model.geometry, 0, 0, 0
    family = model.layout.neurons[layer].families["bracket"]
    for neuron, member in enumerate(family.members, start=family.start):
        bracket = geometry.bracket_by_name[member]
        squares = {geometry.labels[square] for square in (*bracket.ends, *bracket.run)}
        names = found.reads[layer].names[neuron].tolist()
        reads = {square_of(found.about.names[name]) for name in names} - {""}
        hits, read_of, own = hits + len(reads & squares), read_of + len(reads), own + len(squares)
    return hits / read_of, hits / own


def test_brackets_are_found_to_read_their_own_squares(
    model: OthelloGPT, sums: Sums, four: Transcript
) -> None:
    """Four reads are no square too many; eight are nearly all there are."""
    eight = transcribe(model, "logic", sums, reads=8, dense=())
    for layer in range(1, 7):
        assert squares_read(model, four, layer)[0] > 0.95
        if layer > 1:
            precision, recall = squares_read(model, eight, layer)
            assert precision > 0.9
            assert recall > 0.8


def test_names_keep_more_than_random_directions(
    model: OthelloGPT, sums: Sums, four: Transcript
) -> None:
    others = collect(model, 64, 1, CHECKING)
    random = control(model, "logic", sums, reads=4, dense=())
    for layer, (own, chance) in enumerate(
        zip(shares_kept(four, model, others), shares_kept(random, model, others), strict=True)
    ):
        assert own > 0.75
        assert own > chance + 0.2, layer


def test_through_all_directions_it_is_the_model(model: OthelloGPT, sums: Sums) -> None:
    size = model.shape.d_model
    every = [torch.eye(size, dtype=torch.float64) * moving(at) for at in sums.at]
    names = tuple(f"direction {n}" for n in range(size))
    exact = network(in_directions(model, "logic", sums, names, every, size, ()), model)
    found = likeness({"model": model, "exact": exact}, {"model": 0.01, "exact": 0.01}, 32, 1)
    assert found["exact"].estimates["kl"].value < 0.01
    assert found["exact"].estimates["sets"].value > 0.99
    assert found["model"].estimates["kl"].value == 0


def test_all_names_as_reads_are_a_dense_transcript(model: OthelloGPT, sums: Sums) -> None:
    names = len(that_vary(sums.at[0]))
    layers = range(model.shape.n_layers)
    one = network(transcribe(model, "logic", sums, names, dense=()), model)
    other = network(transcribe(model, "logic", sums, 1, dense=layers), model)
    assert one.fingerprint() == other.fingerprint()


def test_a_file_holds_it_all(model: OthelloGPT, four: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "transcript.safetensors"
    four.write(path)
    again = read(path)
    assert again.about == four.about
    for layer, reads in zip(again.reads, four.reads, strict=True):
        assert layer.names.tolist() == reads.names.tolist()
        torch.testing.assert_close(layer.strengths, reads.strengths, rtol=1e-6, atol=1e-30)
    assert read_tensors(path)[0]["reads.3.names"].dtype == torch.int16
    path = tmp_path / "network.safetensors"
    made = network(four, model)
    made.save(path)
    loaded = OthelloGPT.load(path)
    assert loaded.fingerprint() == made.fingerprint()
    assert describe(loaded, "3.n17") == describe(made, "3.n17")


def test_sentences_say_what_is_read_and_written(model: OthelloGPT, four: Transcript) -> None:
    made = network(four, model)
    assert not made.is_handbuilt
    family = model.layout.neurons[3].families["bracket"]
    (sentence,) = describe(made, f"3.n{family.start}")
    reads, writes = sentence.removeprefix(f"3.n{family.start}: ").split("; ")
    assert reads.startswith("reads ")
    assert writes.startswith("writes ")
    for name in reads.removeprefix("reads ").split(", "):
        assert name.removeprefix("not ") in four.about.names
    assert "carries" in describe(made, "0.0")[0]
    assert len(describe(made)) == model.shape.n_layers * model.shape.n_heads
    assert describe(model, "3.n17") == model.layout.describe("3.n17")
    moved = carried(four, model, 0)
    assert moved.shape == (model.shape.n_heads, *[len(four.about.names)] * 2)
    assert 0 <= same_square(four, model, 0) <= 1
    for place in ("9.n0", "3.n9999", "3.99", "belief"):
        with pytest.raises(LayoutError, match="nothing is called"):
            describe(made, place)
    made.metadata[KEY] = "{"
    with pytest.raises(CheckpointError, match="damaged"):
        describe(made)


def test_a_killed_run_goes_on(model: OthelloGPT, sums: Sums, tmp_path: Path) -> None:
    class KilledError(Exception):
        pass

    done = 0

    def step(games: int) -> None:
        nonlocal done
        if (done := done + games) > 150:
            raise KilledError

    with pytest.raises(KilledError):
        collect(model, GAMES, 1, work=tmp_path, progress=step)
    heard: list[int] = []
    again = collect(model, GAMES, 1, work=tmp_path, progress=heard.append)
    assert sum(heard) == GAMES
    assert heard[0] == 128
    torch.testing.assert_close(again.at[3].xx, sums.at[3].xx, rtol=1e-9, atol=0)
    with pytest.raises(KeptError, match="seed"):
        collect(model, GAMES, 2, work=tmp_path)


def test_what_does_not_fit_is_refused(
    model: OthelloGPT, sums: Sums, four: Transcript, tmp_path: Path
) -> None:
    other = build("logic", board=4)
    with pytest.raises(TranscriptError, match="of another model, which it calls 'logic'"):
        network(four, other)
    with pytest.raises(TranscriptError, match="another model"):
        transcribe(other, "other", sums, 4)
    for reads, says in ((0, "at least 1"), (500, "there are")):
        with pytest.raises(ReadsError, match=says):
            transcribe(model, "logic", sums, reads)
    with pytest.raises(TranscriptError, match="layer 8 does not exist"):
        check(model, 4, [8])
    empty = OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=6).on(4))
    with pytest.raises(TranscriptError, match="tell nothing"):
        transcribe(empty, "empty", collect(empty, 64, 1), 4)
    path = tmp_path / "bad.safetensors"
    path.write_bytes(b"nothing")
    with pytest.raises(TranscriptError, match="not a readable"):
        read(path)
    four.write(path)
    tensors, metadata = read_tensors(path)
    write_tensors(path, tensors, {**metadata, "version": "0"})
    with pytest.raises(TranscriptError, match="no transcript of version"):
        read(path)
    write_tensors(path, {k: v for k, v in tensors.items() if k != "reads.2.names"}, metadata)
    with pytest.raises(TranscriptError, match="missing"):
        read(path)
    names = four.about.names[:-1]
    replace(four, about=type(four.about)("x", "y", names, 1, 1)).write(path)
    with pytest.raises(TranscriptError, match="do not go together"):
        read(path)


def test_the_command_writes_a_network_and_its_transcript(
    model: OthelloGPT,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = tmp_path / "model.safetensors", tmp_path / "out.safetensors"
    model.save(path)
    monkeypatch.setattr(transcribing, "TAU_GAMES", 32)
    few = ("--games", "64", "--measuring", "32", "--reads", "4")
    asked = ("transcribe", str(path), "--out", str(out))
    assert run(*asked, *few, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "4 random directions" in shown
    assert "KL to the model" in shown
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model.safetensors",
        "out.safetensors",
        "out.transcript.safetensors",
    ]
    assert read(tmp_path / "out.transcript.safetensors").about.games == 64
    assert run("describe", str(out), "3.n17", monkeypatch=monkeypatch) == 0
    assert "3.n17: reads " in capsys.readouterr().out
    for wrong, says in (
        (("--reads", "0"), "at least 1 name"),
        (("--reads", "999"), "there are"),
        (("--dense", "x"), "names no layers"),
        (("--dense", "9"), "does not exist"),
    ):
        assert run(*asked, *wrong, monkeypatch=monkeypatch) == 2
        assert says in capsys.readouterr().err
    assert run("transcribe", "bigram", "--out", str(out), monkeypatch=monkeypatch) == 2
