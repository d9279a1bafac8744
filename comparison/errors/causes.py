"""Why likeliest moves are illegal: because of the side, the board, or the counting of lines.

See :mod:`extracted_rules.benches.causes`. Beside the errors that have matched positions stand
those, drawn by weight, where the model does not err, asked about the likeliest *illegal* square
there: what may be wrong without an error. If neither side nor board is, nothing is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from comparison.reading.board_reader import BoardReader
from comparison.scoring.records import Answers, Records
from extracted_rules.benches.causes import BOARD, COUNTING, SIDE, cause_of, lines_of
from extracted_rules.benches.intervals import Estimate
from extracted_rules.benches.matched import weights_of
from extracted_rules.benches.positions import Array
from extracted_rules.othello.game import replay
from handbuilt.analysis.streams import READ_GAMES

#: Errors, and matched positions, that are asked about, at most.
ASKED = 400
CAUSES = (SIDE, BOARD, COUNTING)

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CauseShares:
    """The causes of a model's illegal likeliest moves. errors, matched: positions asked about;
    shares, elsewhere: by CAUSES, at errors and at matched positions, with the game as the unit;
    discs: of the errors because of the board, the mean number of wrong discs of the line."""

    model: str
    errors: int
    matched: int
    shares: dict[str, Estimate]
    elsewhere: dict[str, Estimate]
    discs: float


@torch.inference_mode()
def cause_shares(
    records: Records,
    readers: Mapping[str, BoardReader],
    seed: int,
    progress: Callable[[int], None] = lambda _: None,
) -> list[CauseShares]:
    """Of every model that can be read. ``progress`` is told of positions."""
    generator = np.random.default_rng(seed)
    found = []
    for answers in records.answers:
        if answers.model in readers:
            reader = readers[answers.model]
            found.append(_of_model(records, answers, reader, generator, progress))
    return found


def _of_model(
    records: Records,
    answers: Answers,
    reader: BoardReader,
    generator: np.random.Generator,
    progress: Callable[[int], None],
) -> CauseShares:
    at = records.positions
    errs = answers.errs(at, "top-1") & (at.ply > 2)  # position 0 holds no board in all models
    weights = weights_of(at, errs)
    wrong = _drawn(weights["errs"], generator, again=False)
    matched = _drawn(weights["matched"] * (at.ply > 2), generator, again=True)
    shares, discs = _shares(records, reader, wrong, progress)
    elsewhere, _ = _shares(records, reader, matched, progress)
    return CauseShares(answers.model, len(wrong), len(matched), shares, elsewhere, discs)


def _drawn(weights: Array, generator: np.random.Generator, again: bool) -> Rows:
    """ASKED positions by weight, in their order; at most as many as there are if none is to come
    ``again``. (Drawn once each, positions of great weight would be too few.)"""
    there = int((weights > 0).sum())
    size = ASKED if again and there else min(ASKED, there)
    if not size:
        return np.zeros(0, dtype=np.int64)
    return np.sort(generator.choice(len(weights), size, replace=again, p=weights / weights.sum()))


def _shares(
    records: Records, reader: BoardReader, rows: Rows, progress: Callable[[int], None]
) -> tuple[dict[str, Estimate], float]:
    """(by cause, its share of the positions with these numbers; wrong discs of a line)."""
    at = records.positions
    kinds = np.zeros((len(CAUSES), len(at)), dtype=np.int64)
    discs = []
    different, times = np.unique(rows, return_counts=True)
    games = np.unique(at.game[different])
    for first in range(0, len(games), READ_GAMES):
        some = np.isin(at.game[different], games[first : first + READ_GAMES])
        asked = _asked(records, reader, different[some])
        for row, drawn, (kind, wrong) in zip(different[some], times[some], asked, strict=True):
            kinds[CAUSES.index(kind), row] = drawn
            if kind == BOARD:
                discs.append(wrong)
        progress(int(times[some].sum()))
    shares = {c: at.ratio(kinds[n], kinds.sum(0)).rate() for n, c in enumerate(CAUSES)}
    return shares, float(np.mean(discs)) if discs else float("nan")


def _asked(records: Records, reader: BoardReader, rows: Rows) -> list[tuple[str, int]]:
    """(cause, wrong discs of the line) about the likeliest illegal square of each position."""
    at, model, geometry = records.positions, reader.model, records.positions.geometry
    games, number = np.unique(at.game[rows], return_inverse=True)
    tokens = records.bench.tokens[games.tolist()].to(model.device)
    played = replay(tokens, board=geometry.size)
    boards = reader.read(tokens, [reader.decisive])
    logits = model(tokens[:, : geometry.context].long())
    playable = list(geometry.playable)
    found = []
    for game, ply in zip(number.tolist(), at.ply[rows].tolist(), strict=True):
        position = ply - 2
        board, mover = played.boards[game, ply - 1], int(played.movers[game, ply - 1])
        possible = ~played.legal[game, ply - 1] & (board == 0)
        illegal: Tensor = logits[game, position, 1:].masked_fill(~possible[playable], -torch.inf)
        square = playable[int(illegal.argmax())]
        decoded = boards.values[0, game, position].cpu()
        cause = cause_of(
            lines_of(geometry, square, board.cpu(), decoded, mover),
            mover,
            int(boards.mover[0, game, position]),
        )
        found.append((cause.kind, len(cause.line.wrong) if cause.line else 0))
    return found
