"""How two predictors' errors go together, against positions that are alike.

Two err together if only because some positions are hard: late ones, those with few legal moves,
those behind an unseen pass. So positions are compared only with *matched* ones, of the same
ply, number of legal moves and pass state; such a group is a *matching stratum*. Over all of them,

- the matched odds ratio is that of Mantel and Haenszel: sum of both * neither / n over the sum of
  only A * only B / n;
- "how many times as likely" is the number of positions where both err, over the number where B
  would err if it erred where A does as often as at matched positions where A does not.

Intervals come from a bootstrap: games are drawn anew with repetition, as positions of one game are
not independent. The control is a *permutation null*: the same with B's errors permuted within each
matching stratum, which leaves everything but what the two have in common.
"""

from dataclasses import dataclass
from functools import cached_property
from math import nan

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from extracted_rules.benches.intervals import Estimate, percentiles
from extracted_rules.benches.positions import Array, Longs, Mask, Positions
from extracted_rules.benches.ranks import permuted

#: From fewer positions where both err an interval would be made up.
FEWEST = 5
#: Positions with an error; matched ones without, weighted as errors are; all.
GROUPS = ("errs", "matched", "all")


def matching_strata(at: Positions) -> tuple[Longs, Longs]:
    """(int64 [N], the number of each position's matching stratum; int64 [strata], one position of
    each)."""
    most = at.geometry.n_tokens
    key = (at.ply.astype(np.int64) * most + at.number) * most + at.state
    _, first, stratum = np.unique(key, return_index=True, return_inverse=True)
    return stratum, first


def weights_of(at: Positions, errs: Mask) -> dict[str, Array]:
    """By GROUPS, float64 [N]: how much each position counts. A matched one counts as many times as
    there are errors to each position of its matching stratum; errors without a match do not."""
    stratum, first = matching_strata(at)
    wrong, right = (np.bincount(stratum[mask], minlength=len(first)) for mask in (errs, ~errs))
    return {
        "errs": (errs & (right[stratum] > 0)).astype(np.float64),
        "matched": np.where(errs, 0.0, wrong[stratum] / np.maximum(right[stratum], 1)),
        "all": np.ones(len(at)),
    }


class Matching:
    """Positions in their matching strata.

    stratum: int64 [N], from 0. weights: see :func:`resampled_games`.
    """

    def __init__(self, positions: Positions, weights: npt.NDArray[np.float32]) -> None:
        self.positions, self.weights = positions, weights
        self.stratum, self._first = matching_strata(positions)

    def __len__(self) -> int:
        return len(self._first)

    @cached_property
    def unions(self) -> dict[str, Mask]:
        """By name, bool [strata]: those of :meth:`Positions.strata`, of whole matching strata all
        of them."""
        return {name: mask[self._first] for name, mask in self.positions.strata()}

    def counts(self, mask: Mask) -> Array:
        """float64 [strata, 1 + resamples]: masked positions, in every resample of the games."""
        rows, columns = self.stratum[mask], self.positions.game[mask]
        shape = (len(self), self.positions.games)
        ones = np.ones(len(rows), dtype=np.float32)
        # Single precision holds such counts exactly.
        sums: Array = (csr_array((ones, (rows, columns)), shape=shape) @ self.weights).astype(float)
        return sums

    @cached_property
    def all(self) -> Array:
        """float64 [strata, 1 + resamples]: positions."""
        return self.counts(np.ones(len(self.positions), dtype=np.bool_))


@dataclass(frozen=True)
class Table:
    """How errors of one kind go together in some positions.

    a, b, both: where each errs, and where both do; jaccard: both, of where either does;
    comparable: those of both that have matched positions where A does not err; expected: how many
    there would be if B erred as it does at those. ``raw``: the odds ratio without matching (with a
    half added to each number of the table); ``matched``, ``times``: see above; ``control``: the
    matched odds ratio under the permutation null.
    """

    positions: int
    a: int
    b: int
    both: int
    jaccard: float
    comparable: int
    expected: float
    raw: Estimate
    matched: Estimate
    times: Estimate
    control: Estimate


def odds_ratio(n: Array, a: Array, b: Array, both: Array) -> Array:
    """Mantel and Haenszel's, [columns], of counts [strata, columns]."""
    with np.errstate(divide="ignore", invalid="ignore"):
        for_it = np.where(n > 0, both * (n - a - b + both) / n, 0).sum(0)
        against = np.where(n > 0, (a - both) * (b - both) / n, 0).sum(0)
        ratio: Array = for_it / against
    return ratio


def observed_and_expected(n: Array, a: Array, b: Array, both: Array) -> tuple[Array, Array]:
    """[columns] each, of counts [strata, columns]: where both err, and where they would if B erred
    as often as where A does not. Strata where A always errs say nothing and are left out."""
    known = n > a
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.where(known, a * (b - both) / (n - a), 0).sum(0)
    return np.where(known, both, 0).sum(0), expected


def raw_odds_ratio(n: Array, a: Array, b: Array, both: Array) -> Array:
    """[columns], of counts [strata, columns]: as if they were one stratum."""
    table = [counts.sum(0) + 0.5 for counts in (both, n - a - b + both, a - both, b - both)]
    ratio: Array = table[0] * table[1] / (table[2] * table[3])
    return ratio


class Errors:
    """Errors of one kind, counted; counts are made once for all pairs that they are in."""

    def __init__(self, matching: Matching, errs: Mask, generator: np.random.Generator) -> None:
        self.matching, self.errs = matching, errs
        self.counts = matching.counts(errs)
        self.permuted: Mask = permuted(errs, matching.stratum, generator)
        # As many in every stratum, but not in every game: resamples count others.
        self.permuted_counts = matching.counts(self.permuted)


def tables(a: Errors, b: Errors) -> dict[str, Table]:
    """By stratum."""
    matching = a.matching
    both = matching.counts(a.errs & b.errs)
    null = matching.counts(a.errs & b.permuted)
    found = {}
    for name, mask in matching.unions.items():
        n, in_a, in_b, shared = (x[mask] for x in (matching.all, a.counts, b.counts, both))
        control = odds_ratio(n, in_a, b.permuted_counts[mask], null[mask])
        found[name] = _table(n, in_a, in_b, shared, control, float(null[mask, 0].sum()))
    return found


def _table(n: Array, a: Array, b: Array, both: Array, control: Array, null: float) -> Table:
    observed, expected = observed_and_expected(n, a, b, both)
    with np.errstate(divide="ignore", invalid="ignore"):
        times = observed / expected
    in_a, in_b, together = (int(counts[:, 0].sum()) for counts in (a, b, both))

    def estimate(columns: Array, number: float = together) -> Estimate:
        """Where hardly any position has both, its interval would be made up."""
        return percentiles(columns) if number >= FEWEST else Estimate(float(columns[0]), nan, nan)

    return Table(
        positions=int(n[:, 0].sum()),
        a=in_a,
        b=in_b,
        both=together,
        jaccard=together / union if (union := in_a + in_b - together) else nan,
        comparable=int(observed[0]),
        expected=float(expected[0]),
        raw=estimate(raw_odds_ratio(n, a, b, both)),
        matched=estimate(odds_ratio(n, a, b, both)),
        times=estimate(times, float(observed[0])),
        control=estimate(control, null),
    )


# --------------------------------------------------------------------------- ranks


def rank_correlation(a: Array, b: Array, matching: Matching) -> Estimate:
    """Spearman's within matching strata, from ranks as :func:`within_ranks` gives them: the
    correlation of what is left of ranks when the strata's means are taken off. The ranks are those
    of the whole bench, in every resample."""
    sums = np.stack([matching.positions.by_game(x) for x in (a * b, a * a, b * b)])
    ab, aa, bb = sums @ matching.weights
    with np.errstate(divide="ignore", invalid="ignore"):
        return percentiles(ab / np.sqrt(aa * bb))
