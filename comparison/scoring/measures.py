"""The project's measures as streaming sums: memory does not grow with the number of games.

Every measure here is a ratio of two sums over games (errors over positions, say). Positions of one
game are not independent, so intervals treat the game as the unit: the usual linearised variance of
a ratio estimator, from six running sums.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf, isnan, nan, sqrt

import torch
from torch import Tensor

from extracted_rules.othello.game import Replay
from extracted_rules.othello.notation import SQUARE_OF_TOKEN

Z95 = 1.959964
#: The thirds of a game, by the ply to predict.
STAGES = ((2, 20), (21, 40), (41, 60))


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass
class Ratio:
    """Running sums of sum(x) / sum(y), with x and y given per game."""

    games: int = 0
    x: float = 0
    y: float = 0
    xx: float = 0
    xy: float = 0
    yy: float = 0

    def add(self, x: Tensor, y: Tensor) -> None:
        """x, y: [games]; integer tensors stay integers in the sums."""
        exact = torch.int64 if not x.is_floating_point() else torch.float64
        x, y = x.to(exact), y.to(exact)
        self.games += int((y != 0).sum())
        self.x += x.sum().item()
        self.y += y.sum().item()
        self.xx += (x * x).sum().item()
        self.xy += (x * y).sum().item()
        self.yy += (y * y).sum().item()

    @property
    def value(self) -> float:
        return self.x / self.y if self.y else nan

    @property
    def variance(self) -> float:
        """Of the value, over games."""
        if self.games < 2:
            return nan
        r = self.value
        squares = self.xx - 2 * r * self.xy + r * r * self.yy
        return max(squares, 0.0) * self.games / (self.games - 1) / self.y**2

    def mean(self, within: tuple[float, float] = (-inf, inf)) -> Estimate:
        """The ratio with its normal interval, cut to the values that are possible."""
        half = Z95 * sqrt(self.variance) if self.games > 1 else nan
        low, high = self.value - half, self.value + half
        return Estimate(self.value, max(low, within[0]), min(high, within[1]))

    def share(self) -> Estimate:
        """As :meth:`mean`, for a quantity between 0 and 1."""
        return self.mean((0.0, 1.0))

    @property
    def clustering(self) -> float:
        """How many times the variance of independent positions; NaN where there is no telling."""
        independent = self.value * (1 - self.value) / self.y if self.y else 0.0
        return self.variance / independent if independent else nan

    def rate(self, clustering: float | None = None, z: float = Z95) -> Estimate:
        """For a share of positions: Wilson's interval of z standard errors, at the sample size that
        the clustering of errors within games leaves, by default what it is found to be, but at
        least 1. It stays honest at 0 errors."""
        n, p = self.y, self.value
        if not n:
            return Estimate(p, p, p)
        if clustering is None:
            clustering = 1.0 if isnan(self.clustering) else max(1.0, self.clustering)
        n /= clustering
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        low, high = max(0.0, centre - half), min(1.0, centre + half)
        return Estimate(p, low if p > 0 else 0.0, high if p < 1 else 1.0)


@dataclass
class Measures:
    """The measures of one stratum of one model on one bench."""

    illegal: Ratio = field(default_factory=Ratio)
    f1: Ratio = field(default_factory=Ratio)
    illegal_mass: Ratio = field(default_factory=Ratio)
    excess: Ratio = field(default_factory=Ratio)

    @property
    def positions(self) -> int:
        return int(self.illegal.y)

    def as_dict(self) -> dict[str, float | int | dict[str, float]]:
        """Plain numbers for JSON: rates as shares, cross-entropy in nats."""
        return {
            "positions": self.positions,
            "illegal_top1": vars(self.illegal.rate()),
            "f1": vars(self.f1.share()),
            "illegal_mass": vars(self.illegal_mass.share()),
            "excess_cross_entropy": vars(self.excess.mean()),
        }


@dataclass(frozen=True)
class Scores:
    """What a model's logits are worth at every position of some games; all [B, T].

    ``valid``: there is a move to predict. ``top``: predicted square. ``wrong``: it is illegal.
    ``set_wrong``: the predicted legal set is not the legal set. ``hits``, ``extra``, ``missing``:
    squares of the predicted set that are legal, that are not, legal squares left out.
    ``illegal_mass``: probability on illegal moves; ``excess``: cross-entropy against the uniform
    distribution over legal moves minus its floor, nats.
    """

    valid: Tensor
    top: Tensor
    wrong: Tensor
    set_wrong: Tensor
    hits: Tensor
    extra: Tensor
    missing: Tensor
    predicted: Tensor
    illegal_mass: Tensor
    excess: Tensor


def legal_tokens(replay: Replay, positions: int) -> Tensor:
    """bool [B, positions, 60]: the legal moves after each context position, by token - 1."""
    return replay.legal[:, 1 : positions + 1, SQUARE_OF_TOKEN[1:].to(replay.legal.device)]


def score(logits: Tensor, replay: Replay, tau: float) -> Scores:
    """logits: float [B, T, 61] for the games of ``replay``; token 0 is no possible answer."""
    legal = legal_tokens(replay, logits.shape[1])
    number = legal.sum(-1)
    valid = number > 0
    log_p = logits[..., 1:].double().log_softmax(-1)
    p = log_p.exp()
    top = log_p.argmax(-1)
    predicted = p > tau
    hits = (predicted & legal).sum(-1)
    # A zero probability on a legal move costs at most 50 nats, so that one cannot drown the rest.
    cross_entropy = -(log_p.clamp(min=-50) * legal).sum(-1) / number.clamp(min=1)
    return Scores(
        valid=valid,
        top=SQUARE_OF_TOKEN.to(top.device)[top + 1],
        wrong=~legal.gather(-1, top.unsqueeze(-1)).squeeze(-1) & valid,
        set_wrong=(predicted != legal).any(-1) & valid,
        hits=hits,
        extra=predicted.sum(-1) - hits,
        missing=number - hits,
        predicted=predicted,
        illegal_mass=(p * ~legal).sum(-1),
        excess=cross_entropy - number.clamp(min=1).log(),
    )


def strata(replay: Replay, positions: int) -> Iterator[tuple[str, str, Tensor]]:
    """(group, stratum, bool [B, positions]) for every way in which positions are told apart.

    Groups: "all"; "pass" (has alternation held so far?); "passes so far" (one that is due now not
    counted); "stage" (of the game, by plies); "legal moves"; "ply" (of the move to predict, counted
    from 1).
    """
    passes = replay.passes[:, 1 : positions + 1]
    number = replay.legal[:, 1 : positions + 1].sum(-1)
    here = number > 0
    yield "all", "all", here
    before = passes.cumsum(-1) - passes.long()
    yield "pass", "pass-free", here & ~passes & (before == 0)
    yield "pass", "at a pass", here & passes
    yield "pass", "after a pass", here & ~passes & (before > 0)
    yield "passes so far", "0", here & (before == 0)
    yield "passes so far", "1", here & (before == 1)
    yield "passes so far", "2+", here & (before > 1)
    for low, high in ((1, 1), (2, 3), (4, 7), (8, 12), (13, 60)):
        name = str(low) if low == high else f"{low}-{high}" if high < 60 else f"{low}+"
        yield "legal moves", name, here & (number >= low) & (number <= high)
    column = torch.arange(positions, device=here.device)
    for first, last in STAGES:
        yield "stage", f"plies {first}-{last}", here & (column >= first - 2) & (column <= last - 2)
    for position in range(positions):
        yield "ply", str(position + 2), here & (column == position)


def add_scores(measures: Measures, scores: Scores, mask: Tensor) -> None:
    """Add the masked positions ([B, T] bool) of some games to a stratum's sums."""
    m = mask & scores.valid
    if not bool(m.any()):
        return
    positions = m.sum(-1)
    measures.illegal.add((scores.wrong & m).sum(-1), positions)
    both = ((2 * scores.hits + scores.extra + scores.missing) * m).sum(-1)
    measures.f1.add((2 * scores.hits * m).sum(-1), both)
    measures.illegal_mass.add((scores.illegal_mass * m).sum(-1), positions)
    measures.excess.add((scores.excess * m).sum(-1), positions)


class ThresholdChooser:
    """Finds the tau of best F1 from histograms of log-probability: one pass, constant memory."""

    BINS = 400
    LOWEST = -20.0  # nats

    def __init__(self) -> None:
        self.counts = torch.zeros(2, self.BINS, dtype=torch.int64)  # illegal, legal

    def add(self, logits: Tensor, replay: Replay) -> None:
        legal = legal_tokens(replay, logits.shape[1])
        valid = legal.any(-1)
        log_p = logits[..., 1:].double().log_softmax(-1)[valid]
        bins = (log_p / self.LOWEST * self.BINS).long().clamp(0, self.BINS - 1)
        index = (legal[valid].long() * self.BINS + bins).flatten().cpu()
        self.counts += torch.bincount(index, minlength=2 * self.BINS).view(2, self.BINS)

    def best(self) -> float:
        """The threshold on probability; the middle one where several are equally good."""
        illegal, legal = self.counts.cumsum(-1).double()  # predicted if tau is below bin b
        f1 = 2 * legal / (legal + illegal + legal[-1]).clamp(min=1)
        best = (f1 >= f1.max() - 1e-9).nonzero().squeeze(-1)
        edge = float(best[len(best) // 2] + 1) / self.BINS * self.LOWEST
        return float(torch.tensor(edge, dtype=torch.float64).exp())
