"""Error sets: the positions of a bench where a model errs, on disk and against each other.

A position is named by its game on the bench (from 0) and the ply to predict (from 1). Two kinds:
"top-1" (the most likely move is illegal) and "set" (the predicted legal set is wrong).
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from comparison.measures import Estimate, Scores, legal_tokens
from extracted_rules.game import Replay
from extracted_rules.notation import LABELS, PLAYABLE

KINDS = ("top-1", "set")
COLUMNS = ("game", "ply", "kind", "predicted", "legal", "missing", "extra", "stratum")


_BIT = torch.ones((), dtype=torch.int64) << torch.arange(len(PLAYABLE))


def _pack(moves: Tensor) -> Tensor:
    """int64 [...] with bit k for bool [..., k], k = token - 1."""
    return (moves * _BIT.to(moves.device)).sum(-1)


def _labels(packed: int) -> str:
    labels = []
    while packed:
        lowest = packed & -packed
        labels.append(LABELS[PLAYABLE[lowest.bit_length() - 1]])
        packed ^= lowest
    return " ".join(labels)


@dataclass(frozen=True)
class _Batch:
    """Errors of one kind as int64 columns [n]; move sets are packed bits."""

    kind: str
    game: Tensor
    ply: Tensor
    top: Tensor
    legal: Tensor
    predicted: Tensor
    stratum: list[str]

    def rows(self) -> Iterator[list[str | int]]:
        columns = (self.game, self.ply, self.top, self.legal, self.predicted)
        values = zip(*(column.tolist() for column in columns), self.stratum, strict=True)
        for game, ply, top, legal, predicted, stratum in values:
            missing, extra = _labels(legal & ~predicted), _labels(predicted & ~legal)
            yield [game, ply, self.kind, LABELS[top], _labels(legal), missing, extra, stratum]


@dataclass
class ErrorSet:
    """The errors of one model on one bench, in the order of the games."""

    batches: list[_Batch] = field(default_factory=list)
    #: positions that were there to predict, by game
    positions: list[int] = field(default_factory=list)

    def add(self, scores: Scores, played: Replay, pass_state: dict[str, Tensor]) -> None:
        """Add the errors of the bench's next games. pass_state: a mask [B, T] by name."""
        first_game = len(self.positions)
        self.positions += scores.valid.sum(-1).tolist()
        names = list(pass_state)
        state = torch.stack([pass_state[name] for name in names]).int().argmax(0)
        legal, predicted = _pack(legal_tokens(played, state.shape[1])), _pack(scores.predicted)
        for kind, wrong in zip(KINDS, (scores.wrong, scores.set_wrong), strict=True):
            game, position = wrong.nonzero(as_tuple=True)
            self.batches.append(
                _Batch(
                    kind=kind,
                    game=(game + first_game).cpu(),
                    ply=(position + 2).cpu(),
                    top=scores.top[wrong].cpu(),
                    legal=legal[wrong].cpu(),
                    predicted=predicted[wrong].cpu(),
                    stratum=[names[i] for i in state[wrong].tolist()],
                )
            )

    def of_kind(self, kind: str) -> set[tuple[int, int]]:
        """The (game, ply) of every error of a kind."""
        return {
            where
            for batch in self.batches
            if batch.kind == kind
            for where in zip(batch.game.tolist(), batch.ply.tolist(), strict=True)
        }

    def write(self, path: Path) -> None:
        """Write the table as CSV; the file appears whole or not at all. Raises OSError."""
        partial = path.with_name(path.name + ".partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for batch in self.batches:
                writer.writerows(batch.rows())
        partial.replace(path)


def read_errors(path: Path) -> list[dict[str, str]]:
    """The rows of a table that :meth:`ErrorSet.write` wrote. Raises ValueError for another file."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path} is no error set: its columns should be {', '.join(COLUMNS)}")
        return list(rows)


@dataclass(frozen=True)
class Overlap:
    """How two models' errors of one kind on one bench relate.

    ``odds_ratio``: odds that B errs where A does, over the odds where A does not (a half is added
    to each cell); its interval is a bootstrap over games.
    """

    kind: str
    both: int
    only_a: int
    only_b: int
    neither: int
    odds_ratio: Estimate

    @property
    def jaccard(self) -> float:
        union = self.both + self.only_a + self.only_b
        return self.both / union if union else float("nan")


def overlap(a: ErrorSet, b: ErrorSet, kind: str, seed: int = 0, resamples: int = 1000) -> Overlap:
    """Compare two error sets of the same bench."""
    games = len(a.positions)
    cells = torch.zeros(games, 4, dtype=torch.float64)  # both, only a, only b, neither
    in_a, in_b = a.of_kind(kind), b.of_kind(kind)
    for column, members in enumerate((in_a & in_b, in_a - in_b, in_b - in_a)):
        for game, _ in members:
            cells[game, column] += 1
    cells[:, 3] = torch.tensor(a.positions) - cells[:, :3].sum(-1)

    def odds(sums: Tensor) -> Tensor:
        both, only_a, only_b, neither = (sums + 0.5).unbind(-1)
        return both * neither / (only_a * only_b)

    generator = torch.Generator().manual_seed(seed)
    picks = torch.randint(games, (resamples, games), generator=generator)
    weights = torch.zeros(resamples, games, dtype=torch.float64)
    weights.scatter_add_(1, picks, torch.ones_like(picks, dtype=torch.float64))
    low, high = odds(weights @ cells).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    totals = cells.sum(0)
    both, only_a, only_b, neither = (int(n) for n in totals)
    estimate = Estimate(float(odds(totals)), float(low), float(high))
    return Overlap(kind, both, only_a, only_b, neither, estimate)
