"""Which yes-or-no rule describes when a neuron is active?

For every neuron the most correlated conditions of each family are tried one by one, and patterns
of one start as unions; each at every level of activation. What agrees best with the neuron being
active, by their correlation phi, is its rule. A union has all patterns of a start that excite the
neuron at least half as much as its best one. Nothing of the games on which a rule is then scored is
used to find it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from extracted_rules.catalogue import Score
from extracted_rules.discovery.candidates import Candidates, Family, Rows

Counts = npt.NDArray[np.int64]
Array = npt.NDArray[np.float32]

#: Shares of the positions in which a neuron may count as active: what the levels are made of.
SHARES = tuple(float(share) for share in np.geomspace(1e-4, 0.9, 40))
#: Positions from which levels are taken, but for those that fewer than the tail are above.
SAMPLE, TAIL = 16384, 1e-3
#: How many parts of a family are tried for a neuron, and how many starts of unions.
TRIED = {
    "pattern": 6,
    "line": 4,
    "line-or-full": 4,
    "flip": 6,
    "flip-either": 4,
    "closed": 4,
    "closed-either": 4,
    "played": 2,
    "disc": 3,
    "blank": 2,
    "occupied": 2,
}
UNIONS, STARTS = ("pattern", "flip"), 2
#: Families of one sense of a bracket, and of either.
SINGLE_AND_BOTH = (("pattern", "line"), ("flip", "flip-either"), ("closed", "closed-either"))
#: A part belongs to a union if it excites the neuron this much as much as the union's best one.
HALF = 0.5
#: A rule with fewer parts is better if it explains this much of what the best one explains.
NEARLY = 0.9
#: Parts that hold in fewer positions are not tried.
FEWEST = 4
#: Some parts of a union are its core if on other games, too, they excite the neuron more than the
#: rest, by so many standard errors; with so many games for either, at least.
CLEARLY, FEWEST_GAMES_OF_A_GROUP = 3.0, 8


@dataclass(frozen=True)
class Levels:
    """A layer's activations, float32 [neurons, N], and by level. thresholds: float32 [neurons, L],
    ascending; codes: uint8 [neurons, N], how many thresholds an activation is above; above: int64
    [neurons, L]. totals, squares: float64 [neurons], sums of the activation and of its squared
    distance from the mean."""

    activations: Array
    thresholds: Tensor
    codes: npt.NDArray[np.uint8]
    above: Counts
    totals: npt.NDArray[np.float64]
    squares: npt.NDArray[np.float64]

    @classmethod
    def of(cls, activations: Tensor) -> "Levels":
        """activations: float32 [neurons, N]."""
        n = activations.shape[1]
        # Every so many positions, in the order of games and plies.
        some = activations[:, :: max(1, n // SAMPLE)].sort(1, descending=True).values
        few = max(1, round(TAIL * n))
        tail = activations.topk(min(few, n), 1).values
        columns = []
        for share in reversed(SHARES):
            source, size = (tail, n) if share < TAIL else (some, some.shape[1])
            columns.append(source[:, min(round(share * size), source.shape[1] - 1)])
        thresholds = torch.stack(columns, 1).contiguous()
        codes = torch.searchsorted(thresholds, activations, out_int32=True).to(torch.uint8).numpy()
        levels = len(SHARES)
        above = np.stack([_above(np.bincount(row, minlength=levels + 1)) for row in codes])
        totals = activations.sum(1, dtype=torch.float64)
        squares = activations.var(1, correction=0).double() * n
        return cls(activations.numpy(), thresholds, codes, above, totals.numpy(), squares.numpy())

    def r2(self, neuron: int, rows: Rows) -> float:
        """How much of a neuron's variance the means inside and outside of some rows explain."""
        n, k, spread = self.codes.shape[1], len(rows), self.squares[neuron]
        if not 0 < k < n or spread <= 0:
            return 0.0
        inside = float(self.activations[neuron, rows].sum(dtype=np.float64))
        difference = inside / k - (self.totals[neuron] - inside) / (n - k)
        return float(difference**2 * k * (n - k) / n / spread)


def _above(histogram: Counts) -> Counts:
    """[..., L] from counts by code [..., L + 1]: how many are above each threshold."""
    total: Counts = histogram[..., ::-1].cumsum(-1)[..., ::-1][..., 1:]
    return total


@dataclass(frozen=True)
class Found:
    """A rule for a neuron: active above ``threshold``, it holds where any of the parts does.
    ``r2``: how much of the activation's variance two means explain, where it holds and where not.
    """

    neuron: int
    family: str
    parts: tuple[int, ...]
    threshold: float
    score: Score
    r2: float


def _phi(
    hits: Counts, active: Counts, holds: Counts | int, positions: int
) -> npt.NDArray[np.float64]:
    """The correlation of being active and holding, from counts; 0 where either never varies."""
    a, h, n = (np.asarray(x, dtype=np.float64) for x in (active, holds, positions))
    spread = np.sqrt(a * (n - a) * h * (n - h))
    phi: npt.NDArray[np.float64] = (n * hits - a * h) / np.where(spread > 0, spread, np.inf)
    return phi


def score_of(hits: int, active: int, holds: int, positions: int) -> Score:
    """Agreement of a neuron that is active so often with a condition that holds so often."""
    return Score(
        hits / max(active, 1),
        hits / max(holds, 1),
        2 * hits / max(active + holds, 1),
        float(_phi(np.array(hits), np.array(active), holds, positions)),
    )


class Search:
    """Finds the best rule of every family for each neuron of a layer."""

    def __init__(self, candidates: Candidates) -> None:
        self.candidates = candidates

    def best(
        self, activations: Tensor, levels: Levels, progress: Callable[[int], None] = lambda _: None
    ) -> tuple[list[list[Found]], dict[str, Array]]:
        """(for each neuron the best rule of each family, best first, none for one that never
        varies; by family, float32 [parts, neurons], how much each part excites each neuron).
        activations: float32 [N, neurons]."""
        excited = self._excited(activations)
        likely = {name: self._likely(name, len(activations), excited[name]) for name in excited}
        found = []
        for neuron in range(activations.shape[1]):
            of_neuron = []
            for name, mean in excited.items():
                tried = likely[name][neuron]
                options = list(self._options(name, neuron, tried, mean[:, neuron], levels))
                if options:
                    of_neuron.append(max(options, key=lambda f: f.score.phi))
            of_neuron = [f for f in of_neuron if f.score.phi > 0]
            of_neuron.sort(key=lambda f: -f.r2)
            of_neuron = _simplest_first(self._either(of_neuron, excited))
            found.append([self._sharpened(f, levels) for f in of_neuron[:1]] + of_neuron[1:])
            progress(1)
        return found, excited

    def _excited(self, activations: Tensor) -> dict[str, Array]:
        """By family, float32 [parts, neurons]: mean activation where a part holds, less elsewhere;
        0 where it holds too seldom to tell."""
        n, total = len(activations), activations.sum(0)
        excited = {}
        for name, sums in self.candidates.sums(activations).items():
            support = torch.from_numpy(self.candidates.families[name].support).unsqueeze(-1)
            held, rest = support.clamp(min=1), (n - support).clamp(min=1)
            difference = sums / held - (total - sums) / rest
            excited[name] = difference.masked_fill(support < FEWEST, 0.0).numpy()
        return excited

    def _likely(self, name: str, n: int, excited: Array) -> npt.NDArray[np.int64]:
        """int64 [neurons, k]: a family's parts most correlated with a neuron, best first."""
        share = self.candidates.families[name].support[:, None] / n
        # The neuron's own deviation is the same for all parts.
        correlation = torch.from_numpy(excited * np.sqrt(share * (1 - share)))
        best = correlation.topk(min(TRIED[name], len(correlation)), 0)
        chosen: npt.NDArray[np.int64] = best.indices.T.contiguous().numpy()
        return chosen

    def _options(
        self, name: str, neuron: int, tried: npt.NDArray[np.int64], excited: Array, levels: Levels
    ) -> Iterator[Found]:
        family = self.candidates.families[name]
        tried = tried[excited[tried] > 0]
        for part in tried.tolist():
            yield self._found(name, neuron, (part,), family.rows[part], levels)
        if name not in UNIONS:
            return
        patterns = family.geometry.pattern_by_name
        starts = dict.fromkeys(patterns[family.parts[part]].start for part in tried.tolist())
        for start in list(starts)[:STARTS]:
            chosen = self._union(neuron, family, family.of_start[start], excited, levels)
            if len(chosen) > 1:
                yield self._found(name, neuron, chosen, rows_of(family, chosen), levels)

    def _union(
        self, neuron: int, family: Family, parts: list[int], excited: Array, levels: Levels
    ) -> tuple[int, ...]:
        """The parts that excite a neuron, each also where none of those before it holds."""
        order = sorted(parts, key=lambda part: -excited[part])
        enough = HALF * excited[order[0]]
        base = levels.totals[neuron] / levels.codes.shape[1]
        met = np.zeros(levels.codes.shape[1], dtype=np.bool_)
        chosen = []
        for part in order:
            if excited[part] < enough:
                break
            rows = family.rows[part]
            alone = rows[~met[rows]]
            if len(alone) and levels.activations[neuron, alone].mean() - base >= enough:
                met[rows] = True
                chosen.append(part)
        return tuple(chosen)

    def _found(
        self, name: str, neuron: int, parts: tuple[int, ...], rows: Rows, levels: Levels
    ) -> Found:
        """The rule at its best level."""
        codes, above = levels.codes[neuron], levels.above[neuron]
        hits = _above(np.bincount(codes[rows], minlength=len(SHARES) + 1))
        level = int(_phi(hits, above, len(rows), len(codes)).argmax())
        score = score_of(int(hits[level]), int(above[level]), len(rows), len(codes))
        threshold = float(levels.thresholds[neuron, level])
        return Found(neuron, name, parts, threshold, score, levels.r2(neuron, rows))

    def _sharpened(self, rule: Found, levels: Levels) -> Found:
        """The rule at the best threshold of all between the levels beside its own."""
        activation = levels.activations[rule.neuron]
        thresholds, n = levels.thresholds[rule.neuron].numpy(), len(activation)
        place = int(np.searchsorted(thresholds, np.float32(rule.threshold)))
        low = thresholds[place - 1] if place > 0 else -np.inf
        high = thresholds[place + 1] if place + 1 < len(thresholds) else np.inf
        rows = rows_of(self.candidates.families[rule.family], rule.parts)
        holds = np.zeros(n, dtype=np.bool_)
        holds[rows] = True
        within = ((activation > low) & (activation <= high)).nonzero()[0]
        within = within[np.argsort(-activation[within], kind="stable")]
        values, above = activation[within], activation > high
        # Active are all above a value and itself, but values that are the same go together.
        last = np.append(values[1:] < values[:-1], True)[: len(values)]
        hits = int(holds[above].sum()) + np.cumsum(holds[within])
        active = int(above.sum()) + np.arange(1, len(within) + 1)
        phi = np.where(last, _phi(hits, active, len(rows), n), -1.0)
        if not len(phi) or phi.max() <= rule.score.phi:
            return rule
        best = int(phi.argmax())
        below = values[best + 1] if best + 1 < len(values) else low
        if below == -np.inf:
            below = np.nextafter(values[best], np.float32(-np.inf))
        middle = (values[best] + below) / 2
        threshold = float(middle if middle < values[best] else below)
        score = score_of(int(hits[best]), int(active[best]), len(rows), n)
        return replace(rule, threshold=threshold, score=score)

    def _either(self, found: list[Found], excited: dict[str, Array]) -> list[Found]:
        """The rules of a neuron, with a bracket's before one of its senses if the other sense
        excites the neuron half as much: which of the two came first is chance then."""
        places = {f.family: f for f in found}
        for single, both in SINGLE_AND_BOTH:
            one, either = places.get(single), places.get(both)
            if one is None or either is None or len(one.parts) > 1:
                continue
            families = self.candidates.families
            name = families[single].parts[one.parts[0]]
            senses = families[both].geometry.senses[families[both].parts[either.parts[0]]]
            if name not in [p.name for p in senses] or either.r2 > one.r2:
                continue
            (other,) = (p.name for p in senses if p.name != name)
            rows = [families[single].parts.index(part) for part in (name, other)]
            mine, partner = excited[single][rows, one.neuron]
            if partner >= HALF * mine:
                found = [f for f in found if f is not one and f is not either]
                found.append(either)
                found.sort(key=lambda f: -f.r2)
        return found


def _simplest_first(found: list[Found]) -> list[Found]:
    """Rules, best first, with the one of fewest parts among those that are nearly as good as the
    best before all others."""
    nearly = [f for f in found if f.r2 >= NEARLY * found[0].r2]
    simplest = min(nearly, key=lambda f: len(f.parts), default=None)
    return [f for f in found if f is simplest] + [f for f in found if f is not simplest]


def rows_of(family: Family, parts: tuple[int, ...]) -> Rows:
    """Where any of some parts holds."""
    if len(parts) == 1:
        return family.rows[parts[0]]
    return np.unique(np.concatenate([family.rows[part] for part in parts]))


@dataclass(frozen=True)
class Checked:
    """A rule on games that it was not found on. ``r2``: variance explained by the two means that
    the activation had on the games it was found on. ``support``: positions where it holds."""

    score: Score
    r2: float
    support: int


def means(found: Found, levels: Levels, family: Family) -> tuple[float, float]:
    """Mean activation where a rule does not hold, and where it does."""
    rows, n = rows_of(family, found.parts), levels.codes.shape[1]
    inside = float(levels.activations[found.neuron, rows].sum(dtype=np.float64))
    outside = float(levels.totals[found.neuron]) - inside
    return outside / max(n - len(rows), 1), inside / max(len(rows), 1)


def check(found: Found, off: float, on: float, family: Family, activation: Array) -> Checked:
    """Score a rule on other positions. activation: float32 [N], of its neuron; off, on: the means
    to predict it by."""
    rows, n = rows_of(family, found.parts), len(activation)
    active = activation > np.float32(found.threshold)
    score = score_of(int(active[rows].sum()), int(active.sum()), len(rows), n)
    error = np.square(activation - off, dtype=np.float64)
    error[rows] = np.square(activation[rows] - on, dtype=np.float64)
    return Checked(score, explained(float(error.sum()), activation), len(rows))


def core_of(union: Found, family: Family, activation: Array) -> int:
    """After how many of a union's parts, the most exciting first, the activation falls off: the two
    groups whose means explain most of its variance. activation: float32 [N], of its neuron."""

    def fall(core: int) -> float:
        first, rest = (activation[rows] for rows in _groups(union, core, family))
        if not len(first) or not len(rest):
            return 0.0
        less = float(first.mean(dtype=np.float64) - rest.mean(dtype=np.float64))
        return less * abs(less) * len(first) * len(rest) / (len(first) + len(rest))

    return max(range(1, len(union.parts)), key=fall)


def is_core(union: Found, core: int, family: Family, activation: Array, games: Counts) -> bool:
    """Whether a union's first parts excite a neuron more than the rest of them by CLEARLY standard
    errors, where positions of one game are not independent. games: int64 [N], each one's."""
    deviation, means = np.zeros(int(games.max()) + 1), []
    for sign, rows in zip((1, -1), _groups(union, core, family), strict=True):
        if len(np.unique(games[rows])) < FEWEST_GAMES_OF_A_GROUP:
            return False
        values = activation[rows].astype(np.float64)
        means.append(float(values.mean()))
        np.add.at(deviation, games[rows], sign * (values - means[-1]) / len(values))
    return means[0] - means[1] > CLEARLY * float(np.sqrt(np.square(deviation).sum()))


def _groups(union: Found, core: int, family: Family) -> tuple[Rows, Rows]:
    """Where one of the first parts holds, and where only others do."""
    first, either = (rows_of(family, parts) for parts in (union.parts[:core], union.parts))
    return first, np.setdiff1d(either, first)


def explained(error: float, activation: Array) -> float:
    """The share of the variance that a squared error leaves explained; 0 where nothing varies."""
    spread = float(activation.var(dtype=np.float64)) * len(activation)
    return 1 - error / spread if spread > 0 else 0.0
