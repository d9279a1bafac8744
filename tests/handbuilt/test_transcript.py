"""Transcripts of a hand-built model, whose reads are known; their files, programs and networks; how
they are distilled; bad input."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from comparison.reading.board_reader import board_reader
from comparison.reading.probes import named_probes
from comparison.studies import meanings, neurons
from comparison.studies.likeness import likeness
from extracted_rules.discovery.names import kind_of, square_of
from extracted_rules.discovery.sparse import ReadsError
from extracted_rules.files import KeptError, read_tensors, write_tensors
from extracted_rules.othello.game import random_games, replay
from handbuilt import OthelloGPT, Shape, build, program
from handbuilt.analysis.names import part_names
from handbuilt.compiler import compile, needed
from handbuilt.network.layout import LayoutError
from handbuilt.network.shape import CheckpointError
from handbuilt.programs.read_back import read_back
from handbuilt.transcripts.distilling import Settings, Step, distil
from handbuilt.transcripts.program import Told, network
from handbuilt.transcripts.program import program as program_of
from handbuilt.transcripts.standing_in import Transcribed
from handbuilt.transcripts.transcribing import (
    CHECKING,
    Sums,
    check,
    collect,
    shares_kept,
    transcribe,
)
from handbuilt.transcripts.transcript import Transcript, TranscriptError, read, with_others_names
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


@pytest.fixture(scope="module")
def of_soft(soft: OthelloGPT) -> Transcript:
    return transcribe(soft, "soft", collect(soft, GAMES, 1), reads=6)


def squares_read(model: OthelloGPT, found: Transcript, layer: int) -> tuple[float, float]:
    """(precision, recall) of the squares that bracket neurons of a layer are found to read, against
    those of their brackets."""
    geometry, hits, read_of, own = model.geometry, 0, 0, 0
    family = model.layout.neurons[layer].families["bracket"]
    for neuron, member in enumerate(family.members, start=family.start):
        bracket = geometry.bracket_by_name[member]
        squares = {geometry.labels[square] for square in (*bracket.ends, *bracket.run)}
        names = found.neurons[layer].names[neuron].tolist()
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
    random = transcribe(model, "logic", sums, 4, (), "random")
    for layer, (own, chance) in enumerate(
        zip(shares_kept(four, model, others), shares_kept(random, model, others), strict=True)
    ):
        assert own > 0.7
        if layer:  # what is there at first, squares and plies, any direction tells a part of
            assert own > chance + 0.2, layer


def test_all_names_as_reads_are_a_dense_transcript(model: OthelloGPT, sums: Sums) -> None:
    names = len(transcribe(model, "logic", sums, 1, ()).about.names)
    layers = range(model.shape.n_layers)
    one = network(transcribe(model, "logic", sums, names, dense=()), model)
    other = network(transcribe(model, "logic", sums, 1, dense=layers), model)
    assert one.fingerprint() == other.fingerprint()


def test_a_file_holds_it_all(model: OthelloGPT, four: Transcript, tmp_path: Path) -> None:
    path = tmp_path / "transcript.safetensors"
    four.write(path)
    again = read(path)
    assert again.about == four.about
    for ours, theirs in zip(again.neurons, four.neurons, strict=True):
        assert ours.names.tolist() == theirs.names.tolist()
        torch.testing.assert_close(ours.strengths, theirs.strengths, rtol=1e-6, atol=1e-30)
    assert read_tensors(path)[0]["neurons.3.names"].dtype == torch.int16
    path = tmp_path / "network.safetensors"
    made = network(four, model)
    made.save(path)
    loaded = OthelloGPT.load(path)
    assert loaded.fingerprint() == made.fingerprint()
    assert loaded.layout.describe("3.n17") == made.layout.describe("3.n17")


def test_the_network_has_names(model: OthelloGPT, four: Transcript) -> None:
    made = network(four, model)
    assert made.has_names
    assert not made.is_handbuilt
    family = model.layout.neurons[3].families["bracket"]
    named, sentence = made.layout.describe(f"3.n{family.start}")
    assert named.endswith(f"neuron.{family.start}")
    reads, writes = sentence.strip().split("; ")
    assert reads.startswith("reads ")
    assert writes.startswith("writes ")
    for name in reads.removeprefix("reads ").split(", "):
        assert name.removeprefix("not ") in four.about.names
    assert "carries" in made.layout.describe("0.0")[1]
    assert made.layout.describe("mine.B2")[0].startswith("direction ")
    families = part_names(made).families(3, 0)
    assert sum(map(len, families.values())) == model.shape.d_mlp
    assert set(families) <= {"mine", "theirs", "flipped", "legal next", "played", "ply", "nothing"}
    with pytest.raises(LayoutError, match="nothing is called"):
        made.layout.describe("belief.B2")
    del made.metadata["told"]
    with pytest.raises(CheckpointError, match="what its names mean"):
        Told.of(made)


def test_the_network_is_its_program(model: OthelloGPT, four: Transcript) -> None:
    """Read back from its weights, the program is the one that was compiled."""
    made, written = network(four, model), program_of(four, model)
    found = read_back(made)
    assert found.norms == pytest.approx(written.norms)
    for ours, theirs in zip(found.neurons, written.neurons, strict=True):
        assert ours.bias == pytest.approx(theirs.bias, rel=1e-4, abs=1e-4)
        reads = {link.name: link.weights for link in ours.reads}
        for link in theirs.reads:
            if link.weights.any():
                size = abs(link.weights).max()
                assert reads[link.name] / size == pytest.approx(link.weights / size, abs=1e-5)


def test_boards_are_read_by_names(soft: OthelloGPT, of_soft: Transcript) -> None:
    made = network(of_soft, soft)
    probes = named_probes(made)
    reader = board_reader(made, probes)
    assert reader is not None
    games = next(random_games(40, 3, board=4))
    played = replay(games, board=4)
    decoded = reader.read(games, layers=[0])
    discs = played.boards[:, 1 : decoded.values.shape[2] + 1] != 0
    assert float(decoded.wrong(played)[0][discs].float().mean()) < 0.35
    told, names, square = Told.of(made), of_soft.about.names, 5
    stream = torch.randn(3, soft.shape.d_model)
    felt = (stream - stream.mean(-1, keepdim=True)) / stream.std(-1, correction=0, keepdim=True)
    says = []
    for kind in ("mine", "theirs"):
        place = made.layout.directions.place(f"{kind}.{soft.geometry.labels[square]}")
        name = names.index(f"{kind} {soft.geometry.labels[square]}")
        value = (felt[:, place] - felt[:, 0]) * float(of_soft.norms[2]) / told.unit
        says.append((value - told.false[2][name]) / told.more[2][name])
    expected = says[0] - says[1]
    torch.testing.assert_close(probes.discs(0, stream)[:, square], expected, rtol=1e-3, atol=1e-3)


def test_names_tell_as_much_in_the_network_as_in_the_model(
    model: OthelloGPT, sums: Sums, four: Transcript
) -> None:
    checked = collect(model, 64, 1, CHECKING)
    made = network(four, model)
    own, one, there = (
        torch.stack(told)
        for told in (
            meanings.own(four, sums, checked),
            meanings.throughout(four, checked),
            meanings.in_network(four, made, collect(made, 64, 1, CHECKING)),
        )
    )
    assert float(own.mean()) > float(one.mean()) > 0.4
    torch.testing.assert_close(one[0], there[0], rtol=0, atol=0.02)
    shown = meanings.table("t", four.about.names, {"own": list(own), "one": list(one)})
    assert len(shown.rows) == 6 * model.shape.n_layers


def test_distilling_brings_answers_nearer_and_goes_on_where_it_was(
    soft: OthelloGPT, of_soft: Transcript, tmp_path: Path
) -> None:
    settings = Settings(steps=60, batch=8, rank=2)
    heard: list[Step] = []

    class KilledError(Exception):
        pass

    def kill(step: Step) -> None:
        heard.append(step)
        if step.step == 55:
            raise KilledError

    with pytest.raises(KilledError):
        distil(of_soft, soft, settings, tmp_path / "state.safetensors", report=kill)
    again: list[Step] = []
    found = distil(of_soft, soft, settings, tmp_path / "state.safetensors", report=again.append)
    assert [step.step for step in again] == list(range(51, 61))
    assert heard[50].kl == pytest.approx(again[0].kl, rel=1e-4)
    assert found.about.distilled is not None
    assert found.about.distilled.numbers > of_soft.neurons[1].strengths.numel()
    for one, other in zip(found.neurons, of_soft.neurons, strict=True):
        assert one.names.tolist() == other.names.tolist()
    models = {"soft": soft, "read": network(of_soft, soft), "distilled": network(found, soft)}
    alike = likeness(models, dict.fromkeys(models, 0.05), 64, 1)
    assert alike["distilled"].estimates["kl"].value < alike["read"].estimates["kl"].value
    with pytest.raises(KeptError, match="rank"):
        distil(of_soft, soft, replace(settings, rank=3), tmp_path / "state.safetensors")
    with pytest.raises(TranscriptError, match="diverged"):
        distil(of_soft, soft, replace(settings, rate=1e30))


def test_each_mlp_can_count_alone(soft: OthelloGPT, of_soft: Transcript) -> None:
    """Then the model with one of the transcript's MLPs is nearer to the model than after a fit that
    asks for the whole alone."""
    settings, after = Settings(steps=60, batch=16, rank=2), []
    for weight in (0.0, 4.0):
        found = distil(of_soft, soft, replace(settings, alone=weight))
        heard: list[Step] = []
        measured = replace(settings, steps=6 * soft.shape.n_layers, rate=0.0, alone=1.0)
        distil(found, soft, measured, report=heard.append)
        after.append(sum(step.alone for step in heard) / len(heard))
    assert after[1] < 0.9 * after[0]


def test_a_control_is_distilled_as_names_are(soft: OthelloGPT) -> None:
    """Random directions have no truths to be held to."""
    control = transcribe(soft, "soft", collect(soft, 64, 1), 6, (0,), "random")
    heard: list[Step] = []
    found = distil(control, soft, Settings(steps=2, batch=8, rank=2), report=heard.append)
    assert [step.held for step in heard] == [0, 0]
    assert found.fingerprint() != control.fingerprint()
    assert replace(found, updates={}).fingerprint() != found.fingerprint()


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
        check(model, 4, [8], "names")
    with pytest.raises(TranscriptError, match="not in 'words'"):
        check(model, 4, [0], "words")
    empty = OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=6).on(4))
    with pytest.raises(TranscriptError, match="names need more than"):
        transcribe(empty, "empty", collect(empty, 64, 1), 4)
    empty = OthelloGPT(Shape(n_layers=1, d_model=128, n_heads=1, d_head=8, d_mlp=6).on(4))
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
    write_tensors(path, {k: v for k, v in tensors.items() if k != "neurons.2.names"}, metadata)
    with pytest.raises(TranscriptError, match="missing"):
        read(path)
    names = four.about.names[:-1]
    replace(four, about=type(four.about)("x", "y", names, (), 1, 1)).write(path)
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
    few = ("--games", "64", "--measuring", "32", "--reads", "4", "--distil", "2")
    few += ("--beside", str(path))
    asked = ("transcribe", str(path), "--out", str(out))
    assert run(*asked, *few, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "random, as read" in shown
    assert "KL to the model" in shown
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model.safetensors",
        "out.safetensors",
        "out.transcript.safetensors",
    ]
    first = tmp_path / "out.transcript.safetensors"
    assert read(first).about.games == 64
    further = ("--begin", str(first), "--out", str(tmp_path / "further.safetensors"))
    assert run(*asked, *few, *further, monkeypatch=monkeypatch) == 0
    assert "begun with" in capsys.readouterr().out
    made = read(tmp_path / "further.transcript.safetensors").about.distilled
    assert made is not None
    assert made.steps == 4
    assert run("describe", str(out), "3.n17", monkeypatch=monkeypatch) == 0
    assert "reads " in capsys.readouterr().out
    for wrong, says in (
        (("--reads", "0"), "at least 1 name"),
        (("--reads", "999"), "there are"),
        (("--dense", "x"), "names no layers"),
        (("--dense", "9"), "does not exist"),
        (("--kind", "words"), "not in 'words'"),
    ):
        assert run(*asked, *wrong, monkeypatch=monkeypatch) == 2
        assert says in capsys.readouterr().err
    assert run("transcribe", "bigram", "--out", str(out), monkeypatch=monkeypatch) == 2
    build("logic", board=6).save(path)
    assert run(*asked, "--begin", str(first), monkeypatch=monkeypatch) == 2
    assert "of another model" in capsys.readouterr().err


def test_a_distilled_transcript_is_distilled_further(soft: OthelloGPT, of_soft: Transcript) -> None:
    """From where it was, on games of its own."""
    settings = Settings(steps=20, batch=8, rank=2, drawn=10)
    first = distil(of_soft, soft, settings)
    heard: list[Step] = []
    still = distil(first, soft, replace(settings, rate=0.0), report=heard.append)
    assert still.about.distilled is not None
    assert still.about.distilled.steps == 40
    assert still._numbers().keys() == first._numbers().keys()
    for name, numbers in first._numbers().items():
        torch.testing.assert_close(still._numbers()[name], numbers, rtol=1e-6, atol=1e-7)
    models = {"soft": soft, "first": network(first, soft)}
    alike = likeness(models, dict.fromkeys(models, 0.05), 64, 1)["first"].estimates["kl"].value
    assert sum(step.kl for step in heard) / 20 == pytest.approx(alike, rel=0.3)


def test_names_of_other_squares_are_a_control(soft: OthelloGPT, of_soft: Transcript) -> None:
    dealt = with_others_names(of_soft, 1)
    kinds = [kind_of(name) for name in of_soft.about.names]
    size = len(kinds)
    same = (dealt.basis[:, :size, None] == of_soft.basis[:, None, :size]).all(0)
    assert [kinds[int(row.nonzero()[0])] for row in same] == kinds
    assert float(same.diagonal().double().mean()) < 0.5
    assert torch.equal(dealt.basis[:, size:], of_soft.basis[:, size:])
    models = {"soft": soft, "own": network(of_soft, soft), "dealt": network(dealt, soft)}
    alike = likeness(models, dict.fromkeys(models, 0.05), 64, 1)
    assert alike["own"].estimates["kl"].value < alike["dealt"].estimates["kl"].value


def test_kinds_of_reads_can_be_left_out(soft: OthelloGPT, of_soft: Transcript) -> None:
    whole = program_of(of_soft, soft)
    rules = whole.ablations()
    assert rules["read-legal-next"] == "without: neurons read legal next"
    assert {"attend-mine", "carry-theirs"} <= set(rules)
    rest = compile(whole.without("read-mine"), soft.shape)
    mine = rest.layout.directions["mine"]
    assert not rest.state_dict()["blocks.1.mlp.W_in"][mine].any()
    assert rest.state_dict()["blocks.1.attn.W_V"][:, mine].any()
    gone = compile(whole.without("1.neuron"), soft.shape)
    assert not gone.state_dict()["blocks.1.mlp.W_in"].any()


def test_a_transcript_stands_in_for_parts(soft: OthelloGPT) -> None:
    """With all names read and none missing, MLPs do what the model's do on what names say."""
    names = collect(soft, GAMES, 1)
    size = len(transcribe(soft, "soft", names, 1).about.names)
    dense = Transcribed.of(transcribe(soft, "soft", names, size), soft)
    few = Transcribed.of(transcribe(soft, "soft", names, 1, ()), soft)
    moves = next(random_games(20, 5, board=4))[:, : soft.geometry.context].long()
    with torch.inference_mode():
        _, cache = soft.run_with_cache(moves, ["blocks.0.hook_resid_mid", "blocks.0.hook_mlp_out"])
        middle, own = cache["blocks.0.hook_resid_mid"], cache["blocks.0.hook_mlp_out"]
        own = own - own.mean(-1, keepdim=True)
        missed = [
            float((of.output("mlp", 0, middle) - own).square().mean() / own.var())
            for of in (dense, few)
        ]
    assert missed[0] < 0.5 * missed[1]


def test_the_study_counts_reads(
    soft: OthelloGPT,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = tmp_path / "soft.safetensors", tmp_path / "out"
    soft.save(path)
    asked = ("study", "transcript", str(path), "--out", str(out))
    few = ("--finding", "64", "--games", "8", "--reads", "1,4", "--single", "2")
    assert run(*asked, *few, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "2 principal, %" in shown
    assert shown.count("random") >= 3
    assert (out / "reads.png").stat().st_size > 1000
    assert run(*asked, "--reads", "x", monkeypatch=monkeypatch) == 2
    assert "names no numbers" in capsys.readouterr().err


def test_neurons_of_rules_for_all_squares_are_mirror_images(four: Transcript) -> None:
    """Rules of a hand-built model are the same everywhere; permuted squares know no mirror."""
    reading = neurons.Reading(four, 1)
    mirrors, kinds = neurons.mirrors_table(reading), neurons.kinds_table(reading)
    assert len(mirrors.rows) == len(kinds.rows) == 8
    for row in mirrors.rows[2:6]:
        kept, _, others, _, permuted, _ = map(float, row[1:])
        assert kept > 0.9
        assert others > 0.8
        assert permuted < kept - 0.05
    for row in kinds.rows:
        assert sum(map(float, row[1:7])) == pytest.approx(100, abs=0.5)
