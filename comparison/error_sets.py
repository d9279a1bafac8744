"""Error sets: the positions of a bench where a model errs, on disk and against each other.

A position is named by its game on the bench (from 0) and the ply to predict (from 1). Two kinds:
"top-1" (the most likely move is illegal) and "set" (the predicted legal set is wrong).
"""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from comparison.measures import Estimate, Scores, legal_tokens
from extracted_rules.game import Replay
from extracted_rules.notation import LABELS, PLAYABLE

KINDS = ("top-1", "set")
COLUMNS = ("game", "ply", "kind", "predicted", "legal", "missing", "extra", "stratum")


@dataclass(frozen=True)
class ModelError:
    """One error; the fields are the columns of the table on disk."""

    game: int
    ply: int
    kind: str
    predicted: str
    legal: str
    missing: str
    extra: str
    stratum: str


def _labels(mask: Tensor) -> str:
    return " ".join(LABELS[PLAYABLE[i]] for i in mask.nonzero().squeeze(-1).tolist())


@dataclass
class ErrorSet:
    """The errors of one model on one bench, in the order of the games."""

    errors: list[ModelError] = field(default_factory=list)
    #: positions that were there to predict, by game
    positions: dict[int, int] = field(default_factory=dict)

    def add(
        self, scores: Scores, played: Replay, first_game: int, pass_state: dict[str, Tensor]
    ) -> None:
        """Add the errors of a batch whose first game is number ``first_game`` of the bench."""
        legal = legal_tokens(played, scores.valid.shape[1]).cpu()
        predicted, top = scores.predicted.cpu(), scores.top.cpu()
        state = {name: mask.cpu() for name, mask in pass_state.items()}
        for row, count in enumerate(scores.valid.sum(-1).tolist()):
            self.positions[first_game + row] = count
        for kind, wrong in zip(KINDS, (scores.wrong, scores.set_wrong), strict=True):
            for row, position in wrong.nonzero().tolist():
                is_legal, is_predicted = legal[row, position], predicted[row, position]
                self.errors.append(
                    ModelError(
                        game=first_game + row,
                        ply=position + 2,
                        kind=kind,
                        predicted=LABELS[int(top[row, position])],
                        legal=_labels(is_legal),
                        missing=_labels(is_legal & ~is_predicted),
                        extra=_labels(is_predicted & ~is_legal),
                        stratum=next(name for name, m in state.items() if bool(m[row, position])),
                    )
                )

    def of_kind(self, kind: str) -> set[tuple[int, int]]:
        """The (game, ply) of every error of a kind."""
        return {(e.game, e.ply) for e in self.errors if e.kind == kind}

    def write(self, path: Path) -> None:
        """Write the table as CSV; the file appears whole or not at all. Raises OSError."""
        partial = path.with_name(path.name + ".partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows([getattr(error, column) for column in COLUMNS] for error in self.errors)
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> "ErrorSet":
        """Read what :meth:`write` wrote (without the position counts). Raises ValueError."""
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            if tuple(rows.fieldnames or ()) != COLUMNS:
                raise ValueError(f"{path} is no error set: its columns should be {', '.join(COLUMNS)}")
            return cls(
                [ModelError(**{**row, "game": int(row["game"]), "ply": int(row["ply"])}) for row in rows]
            )


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
    games = sorted(a.positions)
    row = {game: index for index, game in enumerate(games)}
    cells = torch.zeros(len(games), 4, dtype=torch.float64)  # both, only a, only b, neither
    in_a, in_b = a.of_kind(kind), b.of_kind(kind)
    for column, members in enumerate((in_a & in_b, in_a - in_b, in_b - in_a)):
        for game, _ in members:
            cells[row[game], column] += 1
    cells[:, 3] = torch.tensor([a.positions[g] for g in games]) - cells[:, :3].sum(-1)

    def odds(sums: Tensor) -> Tensor:
        both, only_a, only_b, neither = (sums + 0.5).unbind(-1)
        return both * neither / (only_a * only_b)

    generator = torch.Generator().manual_seed(seed)
    picks = torch.randint(len(games), (resamples, len(games)), generator=generator)
    weights = torch.zeros(resamples, len(games), dtype=torch.float64)
    weights.scatter_add_(1, picks, torch.ones_like(picks, dtype=torch.float64))
    low, high = odds(weights @ cells).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64))
    totals = cells.sum(0)
    both, only_a, only_b, neither = (int(n) for n in totals)
    estimate = Estimate(float(odds(totals)), float(low), float(high))
    return Overlap(kind, both, only_a, only_b, neither, estimate)
