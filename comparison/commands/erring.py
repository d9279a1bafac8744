"""``handbuilt errors``: where models fail, together and apart, on many positions, and why."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from comparison.commands.measuring import file_stems
from comparison.commands.options import Bench, Json, Models, check_writable, folder, make_folder
from comparison.commands.shared import bars, command, say, show, typed, wrote
from comparison.errors.analysis import analyse
from comparison.reading.board_reader import BoardReader, board_reader
from comparison.reading.probes import Probes, kept_probes
from comparison.scoring.bench import Bars, board_of
from comparison.scoring.error_sets import error_sets, write_who_errs
from comparison.scoring.recording import Subject, check_different, random_bench, record
from comparison.scoring.records import Records
from comparison.training import companions
from extracted_rules import catalogue
from extracted_rules.benches import positions
from extracted_rules.benches.positions import ErrorsError
from extracted_rules.catalogue import Catalogue
from extracted_rules.files import KeptData, write_json
from extracted_rules.othello.geometry import Geometry
from handbuilt.network.transformer import OthelloGPT


@command("errors")
def errors_command(
    models: Models,
    asked: Bench,
    rules: Annotated[
        Path | None,
        typer.Option("--catalogue", help="What `extract` wrote of a model, if not of reference."),
    ] = None,
    out: Annotated[
        Path, folder(help="Folder for answers, report, figures and who errs where.")
    ] = Path("out/errors"),
    json: Json = None,
) -> None:
    """Do models err at the same positions, more often than at others that are alike? Why?

    The errors of each trained model (of the first one, if none is trained) are held against those
    of all others. Every answer is kept in --out, so a killed run goes on, and further models or
    games are added to what is there. Nothing else uses its random games.
    """
    from comparison.reporting import error_figures as figures
    from comparison.reporting.error_report import answers_in_words, sections
    from comparison.reporting.sections import write_report

    loaded = asked.load(*models)
    subjects = [
        Subject(name, stem, model)
        for (name, model), stem in zip(loaded.items(), file_stems(models), strict=True)
    ]
    check_different(subjects)
    catalogues = _catalogues(subjects, rules)
    board = board_of(subjects[0].model)
    bench = _bench(asked, board)
    work = out / "answers"
    make_folder(work)
    KeptData(work / "board.msgpack", {"board": str(Geometry(board))}, int).once(lambda: board)
    for path in (work / "any", out / "report.md"):
        check_writable(path)
    with bars() as bar:
        answers = []
        for s in subjects:
            tau = partial(companions.threshold, s.name, s.model, asked.seed, asked.where, bar)
            step = bar(s.name, len(bench.tokens))
            answers.append(record(s, bench, work, asked.seed, tau, step))
        readers = _readers(subjects, work, bar)
        found = analyse(Records(bench, tuple(answers)), readers, catalogues, asked.seed, bar)
    for table in (table for section in sections(found) for table in section.tables):
        show(table)
    said = answers_in_words(found.pairs)
    say(*said)
    figures.draw(found, out)
    about = (
        f"`{typed()}`: {len(found.records.positions):,} positions of {len(bench.tokens):,} games "
        f"({bench.source}). Thresholds tau: {', '.join(f'{a.model} {a.tau:.2g}' for a in answers)}."
    )
    write_report("Error sets", [about, *said], sections(found), out / "report.md")
    write_who_errs(error_sets(found.records), out / "who_errs.csv")
    for path in (out / "errors.json", *([json] if json else [])):
        write_json({"command": typed(), **found.as_dict()}, path)
    wrote(f"{out}/: report.md, errors.json, who_errs.csv, figures and answers")


def _bench(asked: Bench, board: int) -> positions.Bench:
    """The bench, on the CPU: answers of any device are to the same games."""
    if asked.file is None:
        return random_bench(asked.games, asked.seed, board)
    played, source = replace(asked, device="cpu").recorded(asked.file, board)
    return positions.Bench.of(torch.cat(played), source, board)


def _catalogues(subjects: list[Subject], path: Path | None) -> dict[str, Catalogue]:
    """By name of the model that it is about: the given catalogue, or the project's own. Raises
    ErrorsError for a given one that is about none of the models."""
    if path is None:
        trained = [s for s in subjects if s.trained]
        return {s.name: known for s in trained if (known := companions.rules(s.model))}
    known = catalogue.read(path)
    about = {s.name: known for s in subjects if s.identity == known.header.fingerprint}
    if not about:
        raise ErrorsError(f"{path} is a catalogue of {known.header.model}, which is not compared")
    return about


def _readers(subjects: list[Subject], work: Path, bars: Bars) -> dict[str, BoardReader]:
    """What reads boards layer by layer, of the models that have any."""
    readers = {s.name: board_reader(s.model, _probes(s, work, bars)) for s in subjects}
    return {name: reader for name, reader in readers.items() if reader is not None}


def _probes(subject: Subject, work: Path, bars: Bars) -> Probes | None:
    """Those of a trained model, kept in ``work`` as they may have to be fitted first."""
    if not subject.trained:
        return None
    assert isinstance(subject.model, OthelloGPT)
    find = partial(companions.probes, subject.name, subject.model, bars)
    return kept_probes(work, subject.model, find)
