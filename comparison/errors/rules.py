"""Do the rules that a catalogue lacks or holds weakly account for the model's errors?

A legal square *needs* a pattern if that pattern alone makes it legal. If the model knows moves by
its pattern rules, squares that need a weak rule, or one it lacks, are left out of its legal set
more often. The other way around, an empty square that is not legal *tempts* by a pattern if that
one alone is nearly there: all its squares hold discs, and exactly one of them is of the wrong
colour. A strong rule may be over-eager there.

Patterns differ in more than their rules: long ones are rarer, and harder for any model. So
strengths are compared among patterns of one length and border class, too, and among those that the
board's symmetries map to each other, which differ in nothing but where they lie. The control deals
strengths anew among patterns of the same length and border class.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from comparison.scoring.bench import batches
from comparison.scoring.intervals import Estimate, Ratio, percentiles, ratio_by_game
from comparison.scoring.matched import dealt, within_ranks
from comparison.scoring.records import Answers, Array, Bench, has
from extracted_rules.catalogue import Catalogue
from extracted_rules.conditions import Boards, parse_part
from extracted_rules.othello.game import replay
from extracted_rules.othello.notation import CONTEXT, LABELS, N_SQUARES, PLAYABLE
from extracted_rules.othello.patterns import PATTERNS, SYMMETRIES

#: Patterns that are needed (or tempt) more seldom than this have no rate to speak of.
LEAST_CASES = 30
#: How often strengths are dealt anew.
DEALS = 1000
#: The same where slips are looked at, which takes longer.
EAGER_DEALS = 100
#: Best F1 of a pattern's neurons: the levels under which patterns are counted together.
LEVELS = (0.0, 0.5, 0.7, 0.8, 0.9)

#: The patterns of each playable square, by number.
OF_START = {s: [i for i, p in enumerate(PATTERNS) if p.start == s] for s in PLAYABLE}


def strengths(catalogue: Catalogue) -> dict[str, Array]:
    """How strongly a catalogue holds each pattern, float64 [960] in the order of PATTERNS, by three
    measures over the neurons whose rule names it; 0 where none does.

    "best F1": of the neuron that agrees best. "neurons": how many there are, each weighted with its
    phi. "writes": what they add to the logit of the pattern's own square, weighted so too; below 0
    where they hold the square back.
    """
    number = {pattern: i for i, pattern in enumerate(PATTERNS)}
    found = {name: np.zeros(len(PATTERNS)) for name in ("best F1", "neurons", "writes")}
    for neuron in catalogue.neurons:
        if neuron.rule not in ("pattern", "line") or neuron.other is None:
            continue
        for part in neuron.parts:
            for pattern in parse_part(neuron.rule, part, catalogue.geometry).patterns:
                i, phi = number[pattern], neuron.other.phi
                found["best F1"][i] = max(found["best F1"][i], neuron.other.f1)
                found["neurons"][i] += phi
                found["writes"][i] += phi * neuron.logits.get(LABELS[pattern.start], 0.0)
    return found


def _kind(square: int) -> int:
    """0 in a corner, 1 on the rim, 2 inside."""
    row, column = divmod(square, 8)
    return 2 - (row in (0, 7)) - (column in (0, 7))


@cache
def groups() -> dict[str, npt.NDArray[np.int64]]:
    """int64 [960] each: patterns that are alike have the same number. In three ways, each finer
    than the one before: any; of one length and border class (whether start and end lie in a corner,
    on the rim or inside, and whether all lies on the rim); mapped to each other by a symmetry."""
    keys: dict[str, list[object]] = {"all": [], "length and border": [], "symmetry": []}
    for p in PATTERNS:
        rim = all(_kind(square) < 2 for square in p.run)
        keys["all"].append(0)
        keys["length and border"].append((p.length, _kind(p.start), _kind(p.end), rim))
        # Where SYMMETRIES[k] is read at a square stands what comes to lie there.
        images = [(row.index(p.start), row.index(p.end)) for row in SYMMETRIES.tolist()]
        keys["symmetry"].append(min(images))
    found = {}
    for name, values in keys.items():
        numbers = {value: i for i, value in enumerate(dict.fromkeys(values))}
        found[name] = np.array([numbers[value] for value in values])
    return found


# --------------------------------------------------------------------------- counting


@dataclass(frozen=True)
class Cases:
    """By pattern and game, uint8 [960, games]: squares that need a pattern, and those of them that
    were left out of the predicted legal set; squares that a pattern tempts, and those of them that
    were taken into it."""

    needed: npt.NDArray[np.uint8]
    left_out: npt.NDArray[np.uint8]
    tempting: npt.NDArray[np.uint8]
    taken: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Slips:
    """Positions where the likeliest move is illegal.

    game: int64 [slips]. near: bool [slips, 960], patterns that are nearly there, all their starts
    empty and illegal. open: bool [slips, 64], the empty squares that are illegal. top: int64
    [slips], the square chosen.
    """

    game: npt.NDArray[np.int64]
    near: npt.NDArray[np.bool_]
    open: npt.NDArray[np.bool_]
    top: npt.NDArray[np.int64]


def cases(
    bench: Bench, answers: Answers, progress: Callable[[int], None] = lambda _: None
) -> tuple[Cases, Slips]:
    """Go through a bench once. ``progress`` is told of games."""
    columns, slips = [], []
    row = 0
    for first, batch in _with_first(batches([bench.tokens])):
        boards = Boards.of(replay(batch), CONTEXT, first)
        rows = slice(row, row + len(boards))
        row = rows.stop
        counted, slipped = _cases(
            boards.now.T.contiguous().numpy(),
            boards.game.numpy() - first,
            len(batch),
            answers.columns.predicted[rows],
            answers.columns.top[rows].astype(np.int64),
        )
        columns.append(counted)
        slips.append((slipped.game + first, slipped.near, slipped.open, slipped.top))
        progress(len(batch))
    joined = (np.concatenate(parts, 1) for parts in zip(*columns, strict=True))
    return Cases(*joined), Slips(*(np.concatenate(parts) for parts in zip(*slips, strict=True)))


def _with_first(games: Iterator[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Batches, each with the number of its first game."""
    first = 0
    for batch in games:
        yield first, batch
        first += len(batch)


def _cases(
    now: npt.NDArray[np.int8],
    game: npt.NDArray[np.int64],
    games: int,
    predicted: npt.NDArray[np.int64],
    top: npt.NDArray[np.int64],
) -> tuple[tuple[npt.NDArray[np.uint8], ...], Slips]:
    """The four of :class:`Cases` and the slips of n positions of some games.

    now: [64, n], +1 mine, -1 theirs for the side to move.
    """
    n = now.shape[1]
    counts = np.zeros((4, len(PATTERNS), games), dtype=np.uint8)
    legal = np.zeros((N_SQUARES, n), dtype=np.bool_)
    near_all = np.zeros((len(PATTERNS), n), dtype=np.bool_)
    for square, numbers in OF_START.items():
        rows = np.flatnonzero(now[square] == 0)
        holds, near = _lines(now, rows, numbers)
        legal[square, rows] = holds.any(0)
        near &= ~legal[square, rows]
        near_all[np.array(numbers)[:, None], rows] = near
        held = has(predicted[rows], square)
        for which, (mask, wrong) in enumerate(((holds, ~held), (near, held))):
            alone = mask & (mask.sum(0) == 1)
            for number, cases_of in zip(numbers, alone, strict=True):
                for place, chosen in ((2 * which, cases_of), (2 * which + 1, cases_of & wrong)):
                    counts[place, number] = np.bincount(game[rows[chosen]], minlength=games)
    slip = np.flatnonzero(~legal[top, np.arange(n)])
    near_there = np.ascontiguousarray(near_all[:, slip].T)
    is_open = ((now[:, slip] == 0) & ~legal[:, slip]).T
    return tuple(counts), Slips(game[slip], near_there, is_open, top[slip])


def _lines(
    now: npt.NDArray[np.int8], rows: npt.NDArray[np.int64], numbers: Sequence[int]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """bool [patterns, rows] each: where a pattern of an empty start holds, and where it is nearly
    there."""
    holds, near = (np.zeros((len(numbers), len(rows)), dtype=np.bool_) for _ in range(2))
    for place, number in enumerate(numbers):
        pattern = PATTERNS[number]
        run, end = now[np.array(pattern.run)[:, None], rows], now[pattern.end, rows]
        full = (run != 0).all(0) & (end != 0)
        wrong = (run == 1).sum(0) + (end == -1)
        holds[place], near[place] = full & (wrong == 0), full & (wrong == 1)
    return holds, near


# --------------------------------------------------------------------------- what they say


@dataclass(frozen=True)
class Correlation:
    """Spearman's of a strength with the rate of an error, over patterns.

    error: "left out" or "taken". among: which patterns are compared (:func:`groups`).
    patterns: with LEAST_CASES. value: with a bootstrap over games. control: strengths dealt anew
    among patterns of one length and border class, the mean and what lies between 2.5 and 97.5 %.
    reliability: of the error rates themselves, the correlation of those in even and odd games:
    with less than 1 there is chance in them that no strength accounts for.
    """

    strength: str
    error: str
    among: str
    patterns: int
    value: Estimate
    control: Estimate
    reliability: float

    def as_dict(self) -> dict[str, object]:
        return {**vars(self), "value": vars(self.value), "control": vars(self.control)}


@dataclass(frozen=True)
class Level:
    """Patterns whose best neuron's F1 lies within ``least`` and ``below`` (0 and 0: no neuron names
    them), and the squares that need them.

    needed, left_out: how many. rate: of those that need them, the share left out. times: how many
    times as many are left out as if every pattern had the rate of its length and border class.
    """

    least: float
    below: float
    patterns: int
    needed: int
    left_out: int
    rate: Estimate
    times: Estimate

    def as_dict(self) -> dict[str, object]:
        return {**vars(self), "rate": vars(self.rate), "times": vars(self.times)}


@dataclass(frozen=True)
class Eager:
    """Is an illegal likeliest move tempted by a stronger rule than other squares of the position?

    Over empty, illegal squares where some pattern is nearly there: the chance that the strongest of
    those at the square chosen is stronger than that at another square (0.5 if strength plays no
    part). control: strengths dealt anew, as in :class:`Correlation`.
    """

    strength: str
    slips: int
    chance: Estimate
    control: Estimate

    def as_dict(self) -> dict[str, object]:
        return {**vars(self), "chance": vars(self.chance), "control": vars(self.control)}


@dataclass(frozen=True)
class RuleErrors:
    """What a catalogue's strengths have to do with its model's errors.

    strength: by measure, float64 [960] (:func:`strengths`). counts: int64 [960] each, the totals of
    :class:`Cases` by name. near: how many of the illegal likeliest moves have a pattern nearly
    there; near_elsewhere: of the other empty, illegal squares of these positions.
    """

    model: str
    strength: dict[str, Array]
    counts: dict[str, npt.NDArray[np.int64]]
    correlations: tuple[Correlation, ...]
    levels: tuple[Level, ...]
    eager: tuple[Eager, ...]
    near: Estimate
    near_elsewhere: Estimate

    def as_dict(self) -> dict[str, object]:
        lists = ("correlations", "levels", "eager")
        by_pattern = self.strength | self.counts
        return {
            "model": self.model,
            **{name: [item.as_dict() for item in getattr(self, name)] for name in lists},
            "near": vars(self.near),
            "near_elsewhere": vars(self.near_elsewhere),
            "patterns": [pattern.name for pattern in PATTERNS],
            "by_pattern": {name: values.tolist() for name, values in by_pattern.items()},
        }


def rule_errors(
    bench: Bench,
    answers: Answers,
    known: Catalogue,
    weights: npt.NDArray[np.float32],
    seed: int,
    progress: Callable[[int], None] = lambda _: None,
) -> RuleErrors:
    """known: the catalogue of this model. weights: the games drawn,
    :func:`comparison.scoring.matched.resampled_games`. progress: is told of games."""
    found, slips = cases(bench, answers, progress)
    strength = strengths(known)
    generator = np.random.default_rng(seed)
    kinds = groups()["length and border"]
    deals = {
        name: np.stack([dealt(values, kinds, generator) for _ in range(DEALS)])
        for name, values in strength.items()
    }
    near, elsewhere = _near_rates(slips)
    return RuleErrors(
        answers.model,
        strength,
        {name: counts.sum(1, dtype=np.int64) for name, counts in vars(found).items()},
        tuple(_correlations(strength, deals, found, weights)),
        tuple(_levels(strength["best F1"], found, weights)),
        tuple(_eager(name, strength[name], deals[name], slips) for name in strength),
        near,
        elsewhere,
    )


def _totals(
    counts: npt.NDArray[np.uint8], weights: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """[960, columns]: sums over the games drawn."""
    return counts.astype(np.float32) @ weights


def _rates(cases_of: npt.NDArray[np.float32], wrong: npt.NDArray[np.float32]) -> Array:
    """0 where there is no case."""
    return (wrong / np.maximum(cases_of, 1)).astype(np.float64)


def _ranks_of_columns(values: Array, group: npt.NDArray[np.int64]) -> Array:
    """Ranks within groups [patterns], for each column of [patterns, columns] by itself."""
    columns = values.shape[1]
    cell = (np.arange(columns)[:, None] * (group.max() + 1) + group).ravel()
    return within_ranks(values.T.ravel(), cell).reshape(columns, -1).T


def _pearson(x: Array, y: Array) -> Array:
    """[columns], of [patterns, columns] each with mean 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = (x * y).sum(0) / np.sqrt((x * x).sum(0) * (y * y).sum(0))
    return ratio


def _centred(columns: Array) -> Estimate:
    """The interval of a rank correlation. Games drawn anew add noise to the rates beyond that of
    the games themselves, which draws every correlation towards 0: that shift is taken back."""
    drawn = columns[1:] + (columns[0] - columns[1:].mean())
    return percentiles(np.append(columns[0], drawn))


def _correlations(
    strength: dict[str, Array],
    deals: dict[str, Array],
    found: Cases,
    weights: npt.NDArray[np.float32],
) -> Iterator[Correlation]:
    kinds = {"left out": (found.needed, found.left_out), "taken": (found.tempting, found.taken)}
    halves = np.stack([np.arange(len(weights)) % 2 == half for half in (0, 1)], 1)
    for error, counts in kinds.items():
        rates = _rates(*(_totals(c, weights) for c in counts))
        by_half = _rates(*(_totals(c, halves.astype(np.float32)) for c in counts))
        known = counts[0].sum(1, dtype=np.int64) >= LEAST_CASES
        if not known.any():
            continue
        for among, group in groups().items():
            y = _ranks_of_columns(rates[known], group[known])
            half = _ranks_of_columns(by_half[known], group[known])
            for name, values in strength.items():
                x = _ranks_of_columns(values[known, None], group[known])
                anew = _pearson(_ranks_of_columns(deals[name][:, known].T, group[known]), y[:, :1])
                yield Correlation(
                    name,
                    error,
                    among,
                    int(known.sum()),
                    _centred(_pearson(x, y)),
                    percentiles(np.append(anew.mean(), anew)),
                    float(_pearson(half[:, :1], half[:, 1:])[0]),
                )


def _levels(best: Array, found: Cases, weights: npt.NDArray[np.float32]) -> Iterator[Level]:
    needed, left_out = (_totals(c, weights) for c in (found.needed, found.left_out))
    group = groups()["length and border"]
    of_class = np.zeros((group.max() + 1, weights.shape[1], 2))
    np.add.at(of_class, group, np.stack([needed, left_out], -1))
    expected = needed * _rates(*of_class.transpose(2, 0, 1))[group]
    edges = [(0.0, 0.0), *zip(LEVELS, (*LEVELS[1:], 1.0), strict=True)]
    for least, below in edges:
        members = (best > least) & (best <= below) if below else best == 0
        if not found.needed[members].any():
            continue
        rate = Ratio.of(
            *(
                torch.from_numpy(c[members].sum(0, dtype=np.int64))
                for c in (found.left_out, found.needed)
            )
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            times = left_out[members].sum(0) / expected[members].sum(0)
        yield Level(
            least,
            below,
            int(members.sum()),
            int(rate.y),
            int(rate.x),
            rate.rate(),
            percentiles(times.astype(np.float64)),
        )


def _strongest(near: npt.NDArray[np.bool_], strength: Array) -> Array:
    """float64 [slips, 64]: of the patterns nearly there, by square; -inf where there is none."""
    best = np.full((len(near), N_SQUARES), -np.inf)
    for square, numbers in OF_START.items():
        values = np.where(near[:, numbers], strength[numbers], -np.inf)
        best[:, square] = values.max(1)
    return best


def _tempted(slips: Slips) -> npt.NDArray[np.bool_]:
    """bool [slips, 64]: empty, illegal squares where a pattern is nearly there."""
    return np.isfinite(_strongest(slips.near, np.zeros(len(PATTERNS))))


def _near_rates(slips: Slips) -> tuple[Estimate, Estimate]:
    tempted, rows = _tempted(slips), np.arange(len(slips.game))
    here = slips.open[rows, slips.top]  # a square that holds a disc is tempted by nothing
    others = slips.open & here[:, None]
    others[rows, slips.top] = False

    def rate(x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> Estimate:
        return ratio_by_game(x, y, slips.game).rate()

    at_top = rate(tempted[rows, slips.top] & here, here)
    return at_top, rate((tempted & others).sum(1), others.sum(1))


def _eager(strength_name: str, strength: Array, deals: Array, slips: Slips) -> Eager:
    rows = np.arange(len(slips.game))
    tempted = _tempted(slips)
    others = tempted.copy()
    others[rows, slips.top] = False
    known = tempted[rows, slips.top] & others.any(1)

    def stronger(strength: Array) -> Array:
        """[known slips]: the share of other squares that the top one is stronger than."""
        best = _strongest(slips.near[known], strength)
        top = best[np.arange(len(best)), slips.top[known]][:, None]
        beats = np.where(others[known], (top > best) + 0.5 * (top == best), 0.0)
        share: Array = beats.sum(1) / others[known].sum(1)
        return share

    shares = stronger(strength)
    chance = ratio_by_game(shares, np.ones(len(shares)), slips.game[known]).share()
    anew = np.array([stronger(deal).mean() for deal in deals[:EAGER_DEALS]])
    return Eager(strength_name, int(known.sum()), chance, percentiles(np.append(anew.mean(), anew)))
