"""Error sets: the positions of a bench where a model errs, on disk and against each other.

A position is named by its game on the bench (from 0) and the ply to predict (from 1). Two kinds:
"top-1" (the most likely move is illegal) and "set" (the predicted legal set is wrong).
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from math import inf, isnan
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from comparison.scoring.records import KINDS, Choices, Records
from extracted_rules.benches.intervals import Estimate, Ratio, bootstrap
from extracted_rules.benches.positions import PASS_STATES, ErrorsError, Longs, Positions, bits
from extracted_rules.errors import UserError
from extracted_rules.files import whole_file, write_rows
from extracted_rules.othello.geometry import STANDARD, Geometry

COLUMNS = ("game", "ply", "kind", "predicted", "legal", "missing", "extra", "stratum")
#: Beside the error sets of one bench: its name and the positions that each game offers.
BENCH_FILE = "bench.json"
#: Errors that a notebook shows.
FIRST_SHOWN = 5


class BenchMismatchError(UserError):
    """Error sets of different benches cannot be compared; the message is one sentence."""


@dataclass(frozen=True)
class _About:
    """What BENCH_FILE says."""

    bench: str
    positions: list[int]
    board: int = STANDARD


def _labels(moves: int, geometry: Geometry) -> str:
    playable = enumerate(geometry.playable)
    return " ".join(geometry.labels[square] for bit, square in playable if moves >> bit & 1)


def _unpack(labels: str, geometry: Geometry) -> int:
    return sum(int(bits(geometry)[geometry.square_of(label)]) for label in labels.split())


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [("th", headings), *(("td", row) for row in rows)]
    cells = (
        "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in line) + "</tr>"
        for tag, line in lines
    )
    return f"<table>{''.join(cells)}</table>"


@dataclass(frozen=True)
class ErrorSet:
    """The errors of one model on one bench. at, said: positions of the bench, those where the model
    errs among them, and what it chooses there."""

    bench: str
    at: Positions
    said: Choices

    def of_kind(self, kind: str) -> Positions:
        """The positions of a kind's errors, in their order."""
        return self.at[self.said.errs(self.at, kind)]

    def _table(self) -> Iterator[list[str | int]]:
        geometry = self.at.geometry
        for kind in KINDS:
            errs = self.said.errs(self.at, kind)
            at, said = self.at[errs], self.said[errs]
            columns = (at.game, at.ply, said.top, at.legal, said.predicted, at.state)
            for game, ply, top, legal, predicted, state in zip(
                *(column.tolist() for column in columns), strict=True
            ):
                sets = (legal, legal & ~predicted, predicted & ~legal)
                words = [_labels(moves, geometry) for moves in sets]
                yield [game, ply, kind, geometry.labels[top], *words, PASS_STATES[state]]

    def _repr_html_(self) -> str:
        """For notebooks: how many errors of which kind, by pass state, and the first ones."""
        counts = []
        for kind in KINDS:
            state = self.of_kind(kind).state
            by_state = np.bincount(state, minlength=len(PASS_STATES)).tolist()
            counts.append([kind, *(f"{n:,}" for n in (len(state), *by_state))])
        first = [list(map(str, row)) for row in islice(self._table(), FIRST_SHOWN)]
        positions = int(self.at.offered.sum())
        about = f"{positions:,} positions of {self.at.games:,} games ({escape(self.bench)})"
        return (
            f"<p>errors at {about}</p>"
            + _html_table(["kind", "errors", *PASS_STATES], counts)
            + _html_table(list(COLUMNS), first)
        )

    def write(self, path: Path) -> None:
        """Write the table as CSV, and BENCH_FILE beside it. Raises OSError."""
        write_rows([COLUMNS, *self._table()], path)
        about = _About(self.bench, self.at.offered.tolist(), self.at.geometry.size)
        with whole_file(path.parent / BENCH_FILE) as partial:
            partial.write_bytes(msgspec.json.encode(about))

    @classmethod
    def read(cls, path: Path) -> "ErrorSet":
        """Read what :meth:`write` wrote. Raises ErrorsError for anything else, and OSError."""
        try:
            about = msgspec.json.decode((path.parent / BENCH_FILE).read_bytes(), type=_About)
            geometry = Geometry(about.board)
            with path.open(newline="", encoding="utf-8") as file:
                table = csv.DictReader(file)
                if tuple(table.fieldnames or ()) != COLUMNS:
                    raise ValueError(f"its columns should be {', '.join(COLUMNS)}")
                # A position is a row a kind.
                rows = {(int(row["game"]), int(row["ply"])): row for row in table}
            found = [_facts(rows[where], geometry) for where in sorted(rows)]
        except (msgspec.DecodeError, ValueError) as error:
            raise ErrorsError(f"{path} with its {BENCH_FILE} is no error set: {error}") from None
        table_of = np.array(found, dtype=np.int64).reshape(-1, 6)
        game, ply, top, legal, predicted, state = table_of.T
        at = Positions(
            geometry,
            np.array(about.positions, dtype=np.int64),
            game.astype(np.int32),
            ply.astype(np.uint8),
            legal,
            np.bitwise_count(legal),
            state.astype(np.uint8),
        )
        return cls(about.bench, at, Choices(top.astype(np.uint8), predicted))


def _facts(row: dict[str, str], geometry: Geometry) -> tuple[int, ...]:
    """game, ply, top, legal, predicted and pass state of a line of the table. Raises
    ValueError."""
    legal, missing, extra = (_unpack(row[c], geometry) for c in ("legal", "missing", "extra"))
    return (
        int(row["game"]),
        int(row["ply"]),
        geometry.square_of(row["predicted"]),
        legal,
        legal & ~missing | extra,
        PASS_STATES.index(row["stratum"]),
    )


def error_sets(records: Records) -> dict[str, ErrorSet]:
    """Every model's, by its name."""
    return {
        answers.model: ErrorSet(records.bench.source, records.positions, answers.columns)
        for answers in records.answers
    }


def _by_game(at: Positions) -> Tensor:
    """int64 [games]: how many of some positions lie in each game."""
    return torch.from_numpy(np.bincount(at.game, minlength=at.games))


@dataclass(frozen=True)
class Overlap:
    """How two models' errors of one kind on one bench relate.

    ``odds_ratio``: odds that B errs where A does, over the odds where A does not (a half is added
    to each number); its interval is a bootstrap over games.
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
    if (a.bench, a.at.geometry) != (b.bench, b.at.geometry) or not np.array_equal(
        a.at.offered, b.at.offered
    ):
        one, other = (
            f"{of.bench} ({of.at.geometry.size} x {of.at.geometry.size})" for of in (a, b)
        )
        raise BenchMismatchError(f"these errors are of different benches: {one} and {other}")


def overlap(a: ErrorSet, b: ErrorSet, kind: str, seed: int = 0) -> Overlap:
    """Compare two error sets of the same bench. Raises BenchMismatchError for different ones."""
    _check_same_bench(a, b)
    in_a, in_b = a.of_kind(kind), b.of_kind(kind)
    shared = np.isin(in_a.key, in_b.key)
    groups = (in_a[shared], in_a[~shared], in_b[~np.isin(in_b.key, in_a.key)])
    counts = [_by_game(group) for group in groups]
    # [games, 4]: both, only a, only b, neither
    neither = torch.from_numpy(a.at.offered) - sum(counts)
    table = torch.stack([*counts, neither], 1).double()

    def odds(sums: Tensor) -> Tensor:
        both, only_a, only_b, neither = (sums + 0.5).unbind(-1)
        return both * neither / (only_a * only_b)

    both, only_a, only_b, alone = (int(n) for n in table.sum(0))
    return Overlap(kind, both, only_a, only_b, alone, bootstrap(odds, table, seed))


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
    in_a, in_b = a.of_kind(kind), b.of_kind(kind)
    found = []
    for (stratum, of_a), (_, of_b) in zip(in_a.strata(), in_b.strata(), strict=True):
        counts = _by_game(in_a[of_a]), _by_game(in_b[of_b])
        share = Ratio.of(counts[1], counts[0] + counts[1])
        estimate = share.rate(_clustering(share))
        times = Estimate(*(_odds(p) for p in vars(estimate).values()))
        found.append(Factor(stratum, int(of_a.sum()), int(of_b.sum()), times))
    return found


def _clustering(share: Ratio) -> float:
    if not share.y:
        return 1.0
    if isnan(share.clustering):
        return share.yy / share.y  # Kish: as if all errors of a game were one
    return max(LEAST_CLUSTERING if share.games >= ENOUGH_GAMES else 1.0, share.clustering)


def _odds(share: float) -> float:
    return share / (1 - share) if share < 1 else inf


def write_who_errs(errors: dict[str, ErrorSet], path: Path) -> None:
    """A table of every position where some model errs: game, ply, kind, and a 0/1 column a model.

    "Both", "only A" and "only B" are filters on it. Raises OSError.
    """
    rows: list[list[object]] = [["game", "ply", "kind", *errors]]
    stride = next(iter(errors.values())).at.geometry.n_tokens
    for kind in KINDS:
        keys: list[Longs] = [found.of_kind(kind).key for found in errors.values()]
        where = np.unique(np.concatenate(keys))
        members = [np.isin(where, found).astype(np.int64) for found in keys]
        for at, *rest in np.stack([where, *members], 1).tolist():
            rows.append([*divmod(at, stride), kind, *rest])
    write_rows(rows, path)
