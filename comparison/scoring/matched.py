"""How two models' errors go together, against positions that are alike.

Two models err together if only because some positions are hard: late ones, those with few legal
moves, those behind an unseen pass. So positions are compared only with *matched* ones, of the same
ply, number of legal moves and pass state; such a group is a *cell*. Over all cells,

- the matched odds ratio is that of Mantel and Haenszel: sum of both * neither / n over the sum of
  only A * only B / n;
- "how many times as likely" is the number of positions where both err, over the number where B
  would err if it erred where A does as often as at matched positions where A does not.

Intervals come from a bootstrap: games are drawn anew with repetition, as positions of one game are
not independent. The control is the same with B's errors dealt anew within each cell, which leaves
everything but what the two have in common.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.stats import rankdata

from comparison.scoring.intervals import Estimate, percentiles
from comparison.scoring.records import ALL_KINDS, Array, Mask, Positions, Records

#: From fewer positions where both err an interval would be made up.
FEWEST = 5


def cells_of(at: Positions) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(int64 [N], the number of each position's cell; int64 [cells], one position of each)."""
    key = (at.ply.astype(np.int64) * 64 + at.number) * 64 + at.state
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    return cell, first


def dealt(
    values: npt.NDArray[Any], cell: npt.NDArray[np.int64], generator: np.random.Generator
) -> npt.NDArray[Any]:
    """The control: values [N] dealt anew, by chance, among the members of each cell."""
    anew = np.empty_like(values)
    by_chance = np.lexsort((generator.random(len(cell)), cell))
    anew[np.argsort(cell, kind="stable")] = values[by_chance]
    return anew


class Cells:
    """Positions grouped by ply, number of legal moves and pass state.

    cell: int64 [N], from 0. weights: see :func:`resampled_games`.
    """

    def __init__(self, positions: Positions, weights: npt.NDArray[np.float32]) -> None:
        self.positions, self.weights = positions, weights
        self.cell, self._first = cells_of(positions)

    def __len__(self) -> int:
        return len(self._first)

    @cached_property
    def strata(self) -> dict[str, Mask]:
        """By name, bool [cells]: those of :meth:`Positions.strata`, unions of cells all of them."""
        return {name: mask[self._first] for name, mask in self.positions.strata()}

    def counts(self, mask: Mask) -> Array:
        """float64 [cells, 1 + resamples]: masked positions, in every resample of the games."""
        rows, columns = self.cell[mask], self.positions.game[mask]
        shape = (len(self), self.positions.games)
        ones = np.ones(len(rows), dtype=np.float32)
        # Single precision holds such counts exactly.
        sums: Array = (csr_array((ones, (rows, columns)), shape=shape) @ self.weights).astype(float)
        return sums

    @cached_property
    def all(self) -> Array:
        """float64 [cells, 1 + resamples]: positions."""
        return self.counts(np.ones(len(self.positions), dtype=np.bool_))


@dataclass(frozen=True)
class Table:
    """How errors of one kind go together in some positions.

    a, b, both: where each errs, and where both do; comparable: those of both that have matched
    positions where A does not err; expected: how many there would be if B erred as it does at
    those. ``raw``: the odds ratio without matching (with a half added
    to each cell of the table); ``matched``, ``times``: see above; ``control``: the matched odds
    ratio with B's errors dealt anew.
    """

    positions: int
    a: int
    b: int
    both: int
    comparable: int
    expected: float
    raw: Estimate
    matched: Estimate
    times: Estimate
    control: Estimate

    @property
    def jaccard(self) -> float:
        union = self.a + self.b - self.both
        return self.both / union if union else nan

    def as_dict(self) -> dict[str, object]:
        estimates = {
            name: vars(getattr(self, name)) for name in ("raw", "matched", "times", "control")
        }
        return {**vars(self), "jaccard": self.jaccard, **estimates}


@dataclass(frozen=True)
class Pair:
    """Two models' errors of one kind, by stratum."""

    a: str
    b: str
    kind: str
    tables: dict[str, Table]

    def as_dict(self) -> dict[str, object]:
        tables = {name: table.as_dict() for name, table in self.tables.items()}
        return {"a": self.a, "b": self.b, "kind": self.kind, "strata": tables}


def odds_ratio(n: Array, a: Array, b: Array, both: Array) -> Array:
    """Mantel and Haenszel's, [columns], of counts [cells, columns]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        for_it = np.where(n > 0, both * (n - a - b + both) / n, 0).sum(0)
        against = np.where(n > 0, (a - both) * (b - both) / n, 0).sum(0)
        ratio: Array = for_it / against
    return ratio


def observed_and_expected(n: Array, a: Array, b: Array, both: Array) -> tuple[Array, Array]:
    """[columns] each, of counts [cells, columns]: where both err, and where they would if B erred
    as often as where A does not. Cells where A always errs say nothing and are left out."""
    known = n > a
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(known, a * (b - both) / (n - a), 0).sum(0)
    return np.where(known, both, 0).sum(0), expected


def raw_odds_ratio(n: Array, a: Array, b: Array, both: Array) -> Array:
    """[columns], of counts [cells, columns]: as if they were one cell."""
    cells = [counts.sum(0) + 0.5 for counts in (both, n - a - b + both, a - both, b - both)]
    ratio: Array = cells[0] * cells[1] / (cells[2] * cells[3])
    return ratio


class Errors:
    """A model's errors of one kind, counted; counts are made once for all its pairs."""

    def __init__(self, cells: Cells, errs: Mask, generator: np.random.Generator) -> None:
        self.cells, self.errs = cells, errs
        self.counts = cells.counts(errs)
        self.dealt: Mask = dealt(errs, cells.cell, generator)
        # As many in every cell, but not in every game: resamples count others.
        self.dealt_counts = cells.counts(self.dealt)


def tables(a: Errors, b: Errors) -> dict[str, Table]:
    """By stratum."""
    cells = a.cells
    both = cells.counts(a.errs & b.errs)
    both_dealt = cells.counts(a.errs & b.dealt)
    found = {}
    for name, mask in cells.strata.items():
        n, in_a, in_b, shared = (x[mask] for x in (cells.all, a.counts, b.counts, both))
        control = odds_ratio(n, in_a, b.dealt_counts[mask], both_dealt[mask])
        found[name] = _table(n, in_a, in_b, shared, control, float(both_dealt[mask, 0].sum()))
    return found


def _table(n: Array, a: Array, b: Array, both: Array, control: Array, dealt: float) -> Table:
    observed, expected = observed_and_expected(n, a, b, both)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = observed / expected
    together = int(both[:, 0].sum())

    def estimate(columns: Array, number: float = together) -> Estimate:
        """Where hardly any position has both, its interval would be made up."""
        return percentiles(columns) if number >= FEWEST else Estimate(float(columns[0]), nan, nan)

    return Table(
        positions=int(n[:, 0].sum()),
        a=int(a[:, 0].sum()),
        b=int(b[:, 0].sum()),
        both=together,
        comparable=int(observed[0]),
        expected=float(expected[0]),
        raw=estimate(raw_odds_ratio(n, a, b, both)),
        matched=estimate(odds_ratio(n, a, b, both)),
        times=estimate(times, float(observed[0])),
        control=estimate(control, dealt),
    )


def pairs(
    records: Records, cells: Cells, seed: int, kinds: Sequence[str] = ALL_KINDS
) -> Iterator[Pair]:
    """Every trained model's errors (or the first model's) against every other model's."""
    generator = np.random.default_rng(seed)
    for kind in kinds:
        errors = {
            answers.model: Errors(cells, answers.errs(records.positions, kind), generator)
            for answers in records.answers
        }
        for first, other in product(records.first_of_pairs(), records.answers):
            if first is not other:
                found = tables(errors[first.model], errors[other.model])
                yield Pair(first.model, other.model, kind, found)


# --------------------------------------------------------------------------- ranks


def within_ranks(values: npt.NDArray[np.floating], cell: npt.NDArray[np.int64]) -> Array:
    """float64 [N]: ranks within each cell, -0.5 to 0.5 and their mean 0; the mean rank for equal
    values."""
    _, place = np.unique(values, return_inverse=True)
    rank = rankdata(cell * (place.max(initial=0) + 1) + place)  # cell after cell
    size = np.bincount(cell)
    before = np.cumsum(size) - size
    ranks: Array = (rank - before[cell] - 0.5) / size[cell] - 0.5
    return ranks


def rank_correlation(a: Array, b: Array, cells: Cells) -> Estimate:
    """Spearman's within cells, from ranks as :func:`within_ranks` gives them: the correlation of
    what is left of ranks when the cells' means are taken off. The ranks are those of the whole
    bench, in every resample."""
    sums = np.stack([cells.positions.by_game(x) for x in (a * b, a * a, b * b)])
    ab, aa, bb = sums @ cells.weights
    with np.errstate(divide="ignore", invalid="ignore"):
        return percentiles(ab / np.sqrt(aa * bb))
