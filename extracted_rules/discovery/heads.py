"""What attention heads look at, and what that adds to the board: roles and lag kernels.

A head is *mine* where it looks at moves of the side that made this position's own move (even lags),
*theirs* where it looks at the other side's (odd lags). What it finds there moves a square's "mine
less theirs"; a *lag kernel* says by how much, by how many plies ago something happened to the
square. A disc that was put down or turned has a colour, and so has one that merely stands; all are
counted as mine or theirs from the reader's side, so that a kernel is positive where attention
carries the colour on as it was told.

Everything is a sum over games, so memory does not grow with them.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from extracted_rules.catalogue import Finding, Head, Kernel
from extracted_rules.discovery.collecting import Batch, Surroundings
from extracted_rules.discovery.regression import ridge, share
from extracted_rules.othello.game import Replay
from extracted_rules.othello.geometry import Geometry

#: A head looks at one side if of its attention to moves behind it this much more goes there than
#: to the other side ...
ONE_SIDED = 0.5
#: ... and at least this much of its attention goes to moves behind it at all.
LOOKS_BACK = 0.1
#: A head looks at one place if this much of its attention rests there.
RESTS = 0.5

#: Rounds of fitting patterns by lag.
ROUNDS = 100

#: Squares on the border of the board, and all others.
WHERE = ("rim", "inner")

#: What may have happened to a square at a ply: a disc was put down there, turned, or it stands
#: there for the side that moves next or for the other one, neither put down nor turned just now.
EVENTS = ("placed", "flipped", "mine", "theirs")


def squares_where(geometry: Geometry) -> dict[str, Tensor]:
    """bool [squares] of each of WHERE."""
    return {"rim": geometry.rim, "inner": ~geometry.rim}


def settled_from(context: int) -> int:
    """Attention is described from this position on: before it, there are few lags to choose from.
    It is 10 of the usual board's 59."""
    return round(context / 6)


def evenly(context: int) -> Tensor:
    """float64 [query, key]: attention that is spread evenly."""
    pattern = torch.ones(context, context, dtype=torch.float64).tril()
    return pattern / pattern.sum(-1, keepdim=True)


def mean_and_variance(count: Tensor, total: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """float64 [..., heads, query, key] each, across games, from sums as :class:`HeadRoles` keeps
    them."""
    n = count.clamp(min=1)[..., None, :, None]
    mean = total / n
    # What the rounding of sums leaves below zero is no variance.
    return mean, (squares / n - mean.square()).clamp(min=0)


def spread(count: Tensor, total: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
    """(float64 [layers, heads]: the variance of attention across games, averaged over all pairs of
    a position and one that it may look at; the same if a head looked at a single place at a time,
    as often at each as on average), from sums of several layers."""
    seen = torch.ones(total.shape[-2:], dtype=torch.bool).tril() & (count > 0).all(0)[:, None]
    mean, variance = mean_and_variance(count, total, squares)
    return variance[..., seen].mean(-1), (mean * (1 - mean))[..., seen].mean(-1)


class HeadRoles:
    """Attention patterns of one layer's heads, summed over games."""

    def __init__(self, heads: int, context: int) -> None:
        self.count = torch.zeros(context, dtype=torch.float64)
        self.total = torch.zeros(heads, context, context, dtype=torch.float64)
        self.squares = torch.zeros_like(self.total)

    def add(self, pattern: Tensor, there: Tensor) -> None:
        """pattern: float [B, heads, query, key]; there: bool [B, query], positions that count."""
        kept = pattern * there[:, None, :, None]
        queries = kept.shape[2]
        self.count[:queries] += there.sum(0).cpu()
        self.total[:, :queries, :queries] += kept.sum(0).cpu()
        self.squares[:, :queries, :queries] += kept.square().sum(0).cpu()

    @classmethod
    def of(cls, count: Tensor, total: Tensor, squares: Tensor) -> "HeadRoles":
        """From such sums."""
        roles = cls(*total.shape[:2])
        roles.count, roles.total, roles.squares = count, total, squares
        return roles

    def mean(self) -> Tensor:
        """float64 [heads, query, key]: the mean pattern."""
        return mean_and_variance(self.count, self.total, self.squares)[0]

    def findings(self, layer: int) -> list[Head]:
        """What each head looks at; beside it the same of attention spread evenly."""
        mean, variance = mean_and_variance(self.count, self.total, self.squares)
        control = _shares(evenly(len(self.count)))
        seen = torch.ones_like(mean[0], dtype=torch.bool).tril() & (self.count > 0)[:, None]
        found = []
        for head, pattern in enumerate(mean):
            shares = _shares(pattern)
            shares["variance across games"] = float(variance[head][seen].mean())
            by_lag = tuple(_by_lag(pattern).tolist())
            role = role_of(shares)
            found.append(Head(layer, head, role, shares, control, {"by lag": by_lag}))
        return found


def _shares(pattern: Tensor) -> dict[str, float]:
    """Where attention [query, key] goes, as shares, on average over settled positions."""
    places, settled = torch.arange(len(pattern)), settled_from(len(pattern))
    query, key = torch.meshgrid(places, places, indexing="ij")
    lag, back = query - key, (key > 0) & (query > key)
    parts = {
        "even": back & (lag % 2 == 0),
        "odd": back & (lag % 2 == 1),
        "itself": lag == 0,
        "first": key == 0,
    }
    shares = {
        name: float((pattern * part)[settled:].sum(-1).mean()) for name, part in parts.items()
    }
    return {**shares, "even less odd": shares["even"] - shares["odd"]}


def role_of(shares: dict[str, float]) -> str:
    """What a head is held for whose attention goes there."""
    back = shares["even"] + shares["odd"]
    if back >= LOOKS_BACK and abs(shares["even less odd"]) >= ONE_SIDED * back:
        return "mine" if shares["even less odd"] > 0 else "theirs"
    if shares["first"] >= RESTS:
        return "first"
    return "last" if shares["itself"] >= RESTS else "other"


def _by_lag(pattern: Tensor) -> Tensor:
    """[context - 1]: mean attention to the position so many plies ago, but for the first one."""
    return torch.stack([pattern.diagonal(-lag)[1:].mean() for lag in range(len(pattern) - 1)])


def patterns_by_lag(patterns: Tensor) -> Tensor:
    """The same [layers, heads, T, T] where a query looks at a key by its lag, and by whether it is
    the first move, whatever the ply: the softmax of one number a lag and one more for the first
    move, by maximum likelihood."""
    size = patterns.shape[-1]
    index = torch.arange(size, device=patterns.device)
    lag, causal = (index[:, None] - index).clamp(min=0), index[:, None] >= index
    numbers = patterns.new_zeros(*patterns.shape[:2], size + 1).requires_grad_()

    def fitted() -> Tensor:
        scores = numbers[..., lag] + numbers[..., [-1]][..., None] * (index == 0)
        return scores.masked_fill(~causal, -torch.inf).log_softmax(-1)

    def loss() -> Tensor:
        optimizer.zero_grad()
        lost = -(patterns * fitted().masked_fill(~causal, 0)).sum()
        lost.backward()  # type: ignore[no-untyped-call]
        return lost

    optimizer = torch.optim.LBFGS([numbers], max_iter=ROUNDS, line_search_fn="strong_wolfe")
    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return fitted().exp().detach()


def board_events(played: Replay) -> Tensor:
    """int8 [B, context, events, squares]: what happened to each square at each ply, as EVENTS names
    it, with the colour of its disc: +1 black, -1 white, 0 where it did not happen."""
    context, n = played.geometry.context, played.geometry.n_squares
    after = played.boards[:, 1 : context + 1]
    squares = played.geometry.square_of_token.to(after.device)[played.tokens[:, :context].long()]
    placed = torch.nn.functional.one_hot(squares, n + 1)[..., :n].bool()
    flipped = played.flips[:, :context]
    stands = ~placed & ~flipped
    next_mover = played.movers[:, 1 : context + 1, None]
    mine, theirs = after == next_mover, after == -next_mover
    holds = torch.stack([placed, flipped, stands & mine, stands & theirs], 2)
    return after.unsqueeze(2) * holds


class Sums:
    """Sums of one regression for every lag and square; y has one column a head."""

    def __init__(self, lags: int, squares: int, features: int, heads: int) -> None:
        sizes = ((), (features,), (heads,), (features, features), (features, heads), ())
        self.n, self.x, self.y, self.xx, self.xy, self.yy = (
            torch.zeros(lags, squares, *size, dtype=torch.float64) for size in sizes
        )

    def add(self, lag: int, x: Tensor, y: Tensor, rows: int) -> None:
        """x: float [squares, features, rows]; y: float [squares, heads, rows]; rows: how many
        count, as the others are 0."""
        self.n[lag] += rows
        self.x[lag] += x.sum(-1).cpu()
        self.y[lag] += y.sum(-1).cpu()
        self.xx[lag] += (x @ x.transpose(1, 2)).cpu()
        self.xy[lag] += (x @ y.transpose(1, 2)).cpu()
        self.yy[lag] += y.sum(1).square().sum(-1).cpu()

    def solve(self, squares: Tensor, features: slice) -> tuple[Tensor, Tensor]:
        """(slopes [lags, features, heads] shared by some squares, bool [squares], around each
        square's own mean; sums of squares [lags, 2] of the sum over heads: explained, in all)."""
        n = self.n[:, squares, None].clamp(min=1)
        x, y = self.x[:, squares, features], self.y[:, squares]
        xx, xy = self.xx[:, squares, features, features], self.xy[:, squares, features]
        xx = (xx - x.unsqueeze(-1) * x.unsqueeze(-2) / n[..., None]).sum(1)
        xy = (xy - x.unsqueeze(-1) * y.unsqueeze(-2) / n[..., None]).sum(1)
        yy = (self.yy[:, squares] - y.sum(-1).square() / n[..., 0]).sum(1)
        # What never happened at a lag has no slope; a little ridge makes that 0.
        slopes = ridge(xx, xy, 1e-9 * xx.diagonal(dim1=-2, dim2=-1).amax(-1, keepdim=True) + 1e-12)
        explained = (slopes.sum(-1) * xy.sum(-1)).sum(-1)
        return slopes, torch.stack([explained, yy.clamp(min=0)], -1)


class LagKernels:
    """How much events so many plies ago add to squares' "mine less theirs", in one layer.

    A regression for every lag: of what attention to the position so many plies ago carries (times
    the values there, along each square's direction) on what happened there. Position 0 is no
    source: heads rest on it. The *control* is the same with events of other games.
    """

    def __init__(self, heads: int, geometry: Geometry, events: Sequence[str] = EVENTS) -> None:
        self.geometry, self.events = geometry, tuple(events)
        # Events first, then those of other games.
        self.sums = Sums(geometry.context, geometry.n_squares, 2 * len(events), heads)
        self._true, self._control = slice(len(events)), slice(len(events), None)

    def add(self, pattern: Tensor, told: Tensor, events: Tensor, reader: Tensor) -> None:
        """Add some games, of T positions.

        pattern: float [B, heads, T, T]. told: float [B, T, heads, squares], each head's value at
        a position, through its output weights, along the squares' directions. events: [B, T,
        events, squares], with colours: +1 black, -1 white. reader: [B, T], the colour in whose
        frame a position reads the board, or 0 to leave it out.
        """
        both = torch.cat([events, events.roll(1, 0)], 2).to(told)
        # Squares first, positions last: what is multiplied lies side by side.
        happened, values = (t.permute(3, 2, 0, 1).contiguous() for t in (both, told))
        for lag in range(min(pattern.shape[-1], len(self.sums.n)) - 1):
            reads = reader[:, lag + 1 :].to(told)
            source = slice(1, told.shape[1] - lag)
            weights = pattern.diagonal(-lag, 2, 3)[..., 1:].transpose(0, 1) * (reads != 0)
            x = (happened[..., source] * reads).flatten(2)
            y = (values[..., source] * weights).flatten(2)
            self.sums.add(lag, x, y, int((reads != 0).sum()))

    def by_head(self, where: Tensor) -> Tensor:
        """float64 [lags, events, heads] over some squares, bool [squares]."""
        return self.sums.solve(where, self._true)[0]

    def findings(self, layer: int) -> list[Kernel]:
        """The kernels of each event, heads added up, for squares on the rim and for inner ones."""
        found = []
        for where, squares in squares_where(self.geometry).items():
            slopes, explained = self.sums.solve(squares, self._true)
            chance, by_chance = self.sums.solve(squares, self._control)
            # Lags at which anything was seen at all.
            lags = [lag for lag, n in enumerate(self.sums.n) if bool(n.any())]
            r2 = {
                "r2": share(*explained[lags].unbind(-1)),
                "r2 control": share(*by_chance[lags].unbind(-1)),
            }
            for number, event in enumerate(self.events):
                kernel, control = (
                    tuple(s[lags, number].sum(-1).tolist()) for s in (slopes, chance)
                )
                found.append(Kernel(layer, event, "both", where, tuple(lags), kernel, control, r2))
        return found


class HeadCollector:
    """Roles and lag kernels of one layer's heads, found on the games to find rules in."""

    needs = frozenset({"attn.hook_pattern", "attn.hook_v"})

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.roles: HeadRoles | None = None
        self.kernels: LagKernels | None = None

    def add(self, batch: Batch) -> None:
        """See some games, two at least: each is the control of another."""
        if batch.checking:
            return
        pattern, v = batch.activations["attn.hook_pattern"], batch.activations["attn.hook_v"]
        heads = pattern.shape[1]
        geometry = batch.played.geometry
        self.roles = self.roles or HeadRoles(heads, geometry.context)
        self.kernels = self.kernels or LagKernels(heads, geometry)
        # Probes tell mine from theirs for the side that moves next.
        reader = batch.played.movers[:, 1 : geometry.context + 1]
        self.roles.add(pattern, reader != 0)
        towards = self.around.weights["attn.W_O"].to(v) @ self.around.squares.to(v)
        told = torch.einsum("bthd,hds->bths", v, towards)
        self.kernels.add(pattern, told, board_events(batch.played), reader)

    def findings(self, progress: Callable[[int], None]) -> list[Finding]:
        """Roles, then kernels. Raises ValueError if no games were added."""
        if self.roles is None or self.kernels is None:
            raise ValueError("no games were added")
        found: list[Finding] = [
            *self.roles.findings(self.around.layer),
            *self.kernels.findings(self.around.layer),
        ]
        progress(100)
        return found
