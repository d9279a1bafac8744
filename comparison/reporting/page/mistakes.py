"""Sections of the mistakes: whether models make the same ones, and ten of them explained."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isnan
from pathlib import Path

import numpy as np
import torch

from comparison.errors.analysis import analyse
from comparison.errors.telling import Telling, hardest
from comparison.explaining.explainer import Explainer
from comparison.explaining.explanation import verdict, why
from comparison.reporting.error_report import answers_in_words, sections
from comparison.reporting.page.exhibits import Exhibit, Order
from comparison.reporting.sections import Figure, Section
from comparison.scoring.matched import Pair
from comparison.scoring.recording import Subject, random_bench, record
from comparison.scoring.records import Records
from extracted_rules.othello.notation import format_transcript, squares_from_tokens

#: The bench of error sets has so many times the games of the comparison: errors are rare.
BENCH = 2


@dataclass(frozen=True)
class Mistake:
    """A telling error, and a model that errs there, whose likeliest ``square`` is illegal."""

    error: Telling
    exhibit: Exhibit
    square: int


def recorded(order: Order) -> Records:
    """All models' answers to the bench of error sets; what was answered before is read. Raises
    ErrorsError or OSError."""
    size = BENCH * order.games
    bench = random_bench(size, order.seed, order.geometry.size)
    folder = order.folder("answers", size)
    folder.mkdir(parents=True, exist_ok=True)
    answers = []
    for number, e in enumerate(order.exhibits):
        subject, step = Subject(e.name, f"{number}", e.model), order.bar(f"errors: {e.name}", size)
        answers.append(record(subject, bench, folder, order.seed, partial(float, e.tau), step))
    return Records(bench, tuple(answers))


def mistakes(order: Order) -> list[Mistake]:
    """The errors that tell most, each with a model that errs there: of several the one of which
    fewest were chosen before."""
    records = recorded(order)
    at = records.positions
    by_name = dict(zip((e.name for e in order.exhibits), range(len(order.exhibits)), strict=True))
    times = dict.fromkeys(by_name, 0)
    chosen = []
    for error in hardest(records):
        name = min(error.errs, key=lambda name: times[name])
        times[name] += 1
        row = int(np.flatnonzero((at.game == error.game) & (at.ply == error.ply))[0])
        square = int(records.answers[by_name[name]].columns.top[row])
        chosen.append(Mistake(error, order.exhibits[by_name[name]], square))
    return chosen


def errors(order: Order, size: int, folder: Path) -> Section:
    """What ``handbuilt errors`` finds on this bench."""
    from comparison.reporting import error_figures

    records = recorded(order)
    readers = {e.name: e.reader for e in order.exhibits}
    known = {e.name: e.catalogue for e in order.exhibits if e.catalogue}
    found = analyse(records, readers, known, order.seed, order.bar)
    error_figures.draw(found, folder)
    parts = list(sections(found))
    tables = [table for part in parts for table in part.tables]
    return Section(
        "errors",
        "Error sets",
        [
            "Two models that are equally accurate may fail for different reasons. Where one errs, "
            "how much likelier does another err than at a *matched* position: the same ply, number "
            f"of legal moves and pass state? {len(records.positions):,} positions of {size:,} "
            f"random games (seed {order.seed}); brackets are 95 % intervals from a bootstrap over "
            "games.",
            *answers_in_words(found.pairs),
        ],
        [replace(table, folded=number > 0) for number, table in enumerate(tables)],
        [figure for part in parts for figure in part.figures],
        _highlights(found.pairs),
    )


def _highlights(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """How many times as often as at matched positions models err together."""
    return [
        (
            f"{times.value:.1f} ×",
            f"as often as at matched positions does {p.b} err where {p.a} does",
        )
        for p in pairs
        if p.kind == "top-1" and not isnan((times := p.strata["all"].times).low)
    ]


def explained(order: Order, size: int, folder: Path) -> Section | None:
    """Ten errors in words and on boards."""
    chosen = mistakes(order)
    if not chosen:
        return None
    explainers = {
        e.name: Explainer(e.name, e.model, e.reader, e.tau, e.catalogue) for e in order.exhibits
    }
    step = order.bar("explain", len(chosen))
    drawn = []
    for number, mistake in enumerate(chosen, start=1):
        drawn.append(_explained(mistake, explainers[mistake.exhibit.name], number, folder))
        step(1)
    return Section(
        "explained",
        f"{len(chosen)} error{'s' * (len(chosen) != 1)}, explained",
        [
            "The errors that tell most on the bench of error sets: of every model its worst, those "
            "that models share, and those that only one makes. Each is explained by the board "
            "decoded from one model and by the parts that made the logit; all are in the explorer."
        ],
        figures=drawn,
    )


def _explained(mistake: Mistake, explainer: Explainer, number: int, folder: Path) -> Figure:
    from comparison.reporting.explanations import draw_explanation

    error = mistake.error
    tokens = torch.tensor(error.tokens, dtype=torch.uint8, device=mistake.exhibit.model.device)
    found = explainer.explain(tokens, error.ply - 1, mistake.square)
    file = f"{number}.png"
    draw_explanation(found, folder / file)
    board = mistake.exhibit.model.geometry.size
    moves = format_transcript(squares_from_tokens(tokens[: error.ply - 1], board), board)
    label = "the board with the answer, the board as it is decoded, and what made the logit"
    return Figure(
        file,
        f"{number}. Chosen as {error.why}; in error: {', '.join(error.errs)}. Here the "
        f"board is decoded from `{explainer.name}`.",
        f"Three panels, {label}; the text beside says what they show.",
        says=[*verdict(found), *(line.strip() for line in why(found))],
        folded="\n".join([f"after {moves}", "", *found.lines()]),
        game=number,
        ply=error.ply,
    )
