"""Error sets: the positions of a bench where a model errs, on disk and against each other.

A position is named by its game on the bench (from 0) and the ply to predict (from 1). Two kinds:
"top-1" (the most likely move is illegal) and "set" (the predicted legal set is wrong).
"""

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import islice
from math import inf, isnan
from pathlib import Path

import torch
from torch import Tensor

from comparison.scoring.intervals import Estimate, Ratio, bootstrap
from comparison.scoring.measures import STAGES, Scores, legal_tokens
from extracted_rules.errors import UserError
from extracted_rules.files import whole_file
from extracted_rules.othello.game import Replay
from extracted_rules.othello.notation import LABELS, PLAYABLE

KINDS = ("top-1", "set")
COLUMNS = ("game", "ply", "kind", "predicted", "legal", "missing", "extra", "stratum")
#: Beside the error sets of one bench: its name and the positions that each game offers.
BENCH_FILE = "bench.json"
#: Errors that a notebook shows.
FIRST_SHOWN = 5
#: A position's number is game * PLIES + ply.
PLIES = 64

_BIT = torch.ones((), dtype=torch.int64) << torch.arange(len(PLAYABLE))


class BenchMismatchError(UserError):
    """Error sets of different benches cannot be compared; the message is one sentence."""


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


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [("th", headings), *(("td", row) for row in rows)]
    cells = (
        "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in line) + "</tr>"
        for tag, line in lines
    )
    return f"<table>{''.join(cells)}</table>"


@dataclass
class ErrorSet:
    """The errors of one model on one bench, in the order of the games.

    bench: what was played. positions: int64 [games], how many positions each offers to predict.
    rows: per kind int64 [errors, 5]: position number, predicted square, legal and predicted moves
    as packed bits, number of the stratum in ``strata``.
    """

    bench: str = ""
    positions: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    rows: dict[str, Tensor] = field(
        default_factory=lambda: {kind: torch.zeros(0, 5, dtype=torch.int64) for kind in KINDS}
    )
    strata: list[str] = field(default_factory=list)

    def add(self, scores: Scores, played: Replay, pass_state: dict[str, Tensor]) -> None:
        """Add the errors of the bench's next games. pass_state: a mask [B, T] by name."""
        first_game = len(self.positions)
        self.positions = torch.cat([self.positions, scores.valid.sum(-1).cpu()])
        self.strata = list(pass_state)
        state = torch.stack(list(pass_state.values())).int().argmax(0)
        legal, predicted = _pack(legal_tokens(played, state.shape[1])), _pack(scores.predicted)
        for kind, wrong in zip(KINDS, (scores.wrong, scores.set_wrong), strict=True):
            game, column = wrong.nonzero(as_tuple=True)
            where = (game + first_game) * PLIES + column + 2
            facts = (scores.top[wrong], legal[wrong], predicted[wrong], state[wrong])
            self.rows[kind] = torch.cat([self.rows[kind], torch.stack([where, *facts], 1).cpu()])

    def of_kind(self, kind: str) -> Tensor:
        """int64 [errors]: the numbers game * PLIES + ply of a kind's errors, ascending."""
        return self.rows[kind][:, 0]

    def _table(self) -> Iterator[list[str | int]]:
        for kind in KINDS:
            for where, top, legal, predicted, stratum in self.rows[kind].tolist():
                missing, extra = _labels(legal & ~predicted), _labels(predicted & ~legal)
                game, ply = divmod(where, PLIES)
                name = self.strata[stratum]
                yield [game, ply, kind, LABELS[top], _labels(legal), missing, extra, name]

    def _repr_html_(self) -> str:
        """For notebooks: how many errors of which kind, by pass state, and the first ones."""
        strata = range(len(self.strata))
        counts = [
            [kind, f"{len(rows):,}", *(f"{int((rows[:, 4] == n).sum()):,}" for n in strata)]
            for kind, rows in self.rows.items()
        ]
        first = [list(map(str, row)) for row in islice(self._table(), FIRST_SHOWN)]
        positions = int(self.positions.sum())
        about = f"{positions:,} positions of {len(self.positions):,} games ({escape(self.bench)})"
        return (
            f"<p>errors at {about}</p>"
            + _html_table(["kind", "errors", *self.strata], counts)
            + _html_table(list(COLUMNS), first)
        )

    def write(self, path: Path) -> None:
        """Write the table as CSV, and BENCH_FILE beside it. Raises OSError."""
        with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            writer.writerows(self._table())
        with whole_file(path.parent / BENCH_FILE) as partial:
            text = json.dumps({"bench": self.bench, "positions": self.positions.tolist()})
            partial.write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "ErrorSet":
        """Read what :meth:`write` wrote. Raises ValueError or OSError for anything else."""
        about = json.loads((path.parent / BENCH_FILE).read_text(encoding="utf-8"))
        errors = cls(about["bench"], torch.tensor(about["positions"], dtype=torch.int64))
        found: dict[str, list[list[int]]] = {kind: [] for kind in KINDS}
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise ValueError(
                    f"{path} is no error set: its columns should be {', '.join(COLUMNS)}"
                )
            for row in table:
                if row["stratum"] not in errors.strata:
                    errors.strata.append(row["stratum"])
                legal, missing, extra = (_unpack(row[c]) for c in ("legal", "missing", "extra"))
                found[row["kind"]].append(
                    [
                        int(row["game"]) * PLIES + int(row["ply"]),
                        LABELS.index(row["predicted"]),
                        legal,
                        legal & ~missing | extra,
                        errors.strata.index(row["stratum"]),
                    ]
                )
        errors.rows = {
            kind: torch.tensor(rows, dtype=torch.int64).view(-1, 5) for kind, rows in found.items()
        }
        return errors


def _unpack(labels: str) -> int:
    return sum(1 << PLAYABLE.index(LABELS.index(label)) for label in labels.split())


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


def _check_same_bench(a: ErrorSet, b: ErrorSet) -> None:
    if a.bench != b.bench or not a.positions.equal(b.positions):
        raise BenchMismatchError(f"these errors are of different benches: {a.bench} and {b.bench}")


def overlap(a: ErrorSet, b: ErrorSet, kind: str, seed: int = 0) -> Overlap:
    """Compare two error sets of the same bench. Raises BenchMismatchError for different ones."""
    _check_same_bench(a, b)
    games = len(a.positions)
    in_a, in_b = a.of_kind(kind), b.of_kind(kind)
    shared = torch.isin(in_a, in_b)
    groups = (in_a[shared], in_a[~shared], in_b[~torch.isin(in_b, in_a)])
    counts = [torch.bincount(group // PLIES, minlength=games) for group in groups]
    # [games, 4]: both, only a, only b, neither
    cells = torch.stack([*counts, a.positions - sum(counts)], 1).double()

    def odds(sums: Tensor) -> Tensor:
        both, only_a, only_b, neither = (sums + 0.5).unbind(-1)
        return both * neither / (only_a * only_b)

    both, only_a, only_b, neither = (int(n) for n in cells.sum(0))
    ratio = bootstrap(odds, cells, seed)
    return Overlap(kind, both, only_a, only_b, neither, ratio)


@dataclass(frozen=True)
class Factor:
    """How many times as often as model A does model B err at some positions of a bench.

    a, b: their errors there. ``times``: the ratio of the two rates, with its 95 % interval.
    """

    stratum: str
    a: int
    b: int
    times: Estimate


#: From so many games with errors on, clustering below 1 is believed, down to LEAST_CLUSTERING: that
#: two models err together makes it small.
ENOUGH_GAMES, LEAST_CLUSTERING = 20, 0.02


def factors(a: ErrorSet, b: ErrorSet, kind: str) -> list[Factor]:
    """By stratum: all positions, by pass state, by stage of the game. Raises BenchMismatchError.

    B's share of both models' errors is a ratio over games, with Wilson's interval at the sample
    size that clustering leaves (:meth:`Ratio.rate`); the factor is share / (1 - share). Where the
    games cannot tell how errors cluster (one model has none, or all lie in one game), a game's
    errors count as one. The factor is NaN where neither errs.
    """
    _check_same_bench(a, b)
    by_stratum = [_by_stratum(errors.rows[kind], errors.strata) for errors in (a, b)]
    names = dict.fromkeys(name for masks in by_stratum for name in masks)
    found = []
    for stratum in names:
        counts = [
            torch.bincount(where[masks[stratum]] // PLIES, minlength=len(a.positions))
            if stratum in masks
            else torch.zeros_like(a.positions)
            for where, masks in zip((a.of_kind(kind), b.of_kind(kind)), by_stratum, strict=True)
        ]
        share = Ratio.of(counts[1], counts[0] + counts[1])
        estimate = share.rate(_clustering(share))
        times = Estimate(*(_odds(p) for p in vars(estimate).values()))
        found.append(Factor(stratum, int(counts[0].sum()), int(counts[1].sum()), times))
    return found


def _clustering(share: Ratio) -> float:
    if not share.y:
        return 1.0
    if isnan(share.clustering):
        return share.yy / share.y  # Kish: as if all errors of a game were one
    return max(LEAST_CLUSTERING if share.games >= ENOUGH_GAMES else 1.0, share.clustering)


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else inf


def _by_stratum(rows: Tensor, states: Sequence[str]) -> dict[str, Tensor]:
    """bool [errors] for every stratum, of an error set's rows."""
    ply = rows[:, 0] % PLIES
    return {
        "all": torch.ones_like(ply, dtype=torch.bool),
        **{name: rows[:, 4] == number for number, name in enumerate(states)},
        **{f"plies {low}-{high}": (ply >= low) & (ply <= high) for low, high in STAGES},
    }


def write_who_errs(errors: Sequence[tuple[str, ErrorSet]], path: Path) -> None:
    """A table of every position where some model errs: game, ply, kind, and a 0/1 column a model.

    "Both", "only A" and "only B" are filters on it. Raises OSError.
    """
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["game", "ply", "kind", *(name for name, _ in errors)])
        for kind in KINDS:
            sets = [found.of_kind(kind) for _, found in errors]
            where = torch.unique(torch.cat(sets))
            members = [torch.isin(where, found).long() for found in sets]
            columns = torch.stack([where // PLIES, where % PLIES, *members], 1)
            writer.writerows([game, ply, kind, *rest] for game, ply, *rest in columns.tolist())
