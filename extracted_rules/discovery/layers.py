"""How much of what a whole layer writes the game's patterns account for.

*Claims*: an MLP's write along squares' "mine less theirs", explained by which brackets the move
just played has closed; its slope by length is the trained counterpart of a hand-built model's
strength ``claim``. *Counts*: what attention and MLP write to the logits, explained by which of the
960 patterns make a square legal; a positive slope promotes, a negative one suppresses.

Slopes are found on some games and checked on others. The control has the boards of other games at
the same ply. All is taken around the mean at that ply, which needs no rule.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from extracted_rules.catalogue import Finding, Layer
from extracted_rules.conditions import Boards, there
from extracted_rules.discovery.collecting import Batch, Surroundings
from extracted_rules.discovery.regression import Regression, share
from extracted_rules.othello.game import Replay
from extracted_rules.othello.notation import CONTEXT, N_SQUARES, PLAYABLE
from extracted_rules.othello.patterns import BRACKETS, PATTERNS

LENGTHS = 6
#: A pattern's slope counts as found if it held in this many positions.
SUPPORT = 20
#: What writes into the residual stream, and the activations that say what.
PARTS = {"attention": "hook_attn_out", "mlp": "hook_mlp_out"}

_STARTS = torch.tensor([p.start for p in PATTERNS])
_ENDS = torch.tensor([p.end for p in PATTERNS])
#: int64 [960].
PATTERN_LENGTHS = torch.tensor([p.length for p in PATTERNS])
#: float32 [960, 64]: 1 on the squares of a pattern's run.
RUNS = torch.zeros(len(PATTERNS), N_SQUARES)
for _row, _pattern in enumerate(PATTERNS):
    RUNS[_row, _pattern.run] = 1
_BRACKET = {bracket.ends: row for row, bracket in enumerate(BRACKETS)}
#: float32 [960, 518]: the bracket of each pattern.
TO_BRACKET = torch.zeros(len(PATTERNS), len(BRACKETS))
TO_BRACKET[
    range(len(PATTERNS)), [_BRACKET[min(p.start, p.end), max(p.start, p.end)] for p in PATTERNS]
] = 1
BRACKET_LENGTHS = torch.tensor([len(bracket.run) for bracket in BRACKETS])


def legal_patterns(boards: Boards) -> Tensor:
    """bool [N, 960]: which patterns make their start legal for the side that moves next."""
    theirs = (boards.now == -1).float() @ RUNS.T.to(boards.now.device)
    return (
        (theirs == PATTERN_LENGTHS.to(theirs))
        & (boards.now[:, _STARTS] == 0)
        & (boards.now[:, _ENDS] == 1)
    )


def flipped_patterns(boards: Boards) -> Tensor:
    """bool [N, 960]: along which patterns the move just played turned discs."""
    turned = boards.turned.float() @ RUNS.T.to(boards.turned.device)
    return (
        (turned == PATTERN_LENGTHS.to(turned))
        & (boards.played.unsqueeze(-1) == _STARTS.to(boards.played.device))
        & ~boards.turned[:, _ENDS]
    )


def closed_patterns(boards: Boards) -> Tensor:
    """bool [N, 960]: which patterns have the move just played for a start, and discs elsewhere."""
    empty = (boards.now == 0).float()
    gaps = empty @ RUNS.T.to(empty) + empty[:, _ENDS]
    return (gaps == 0) & (boards.played.unsqueeze(-1) == _STARTS.to(boards.played.device))


def by_square(values: Tensor, squares: Tensor) -> Tensor:
    """float [N, 64, 6]: how many of some patterns there are for a square, by length.

    values: float [N, 960]; squares: float [960, 64], the squares that each is for.
    """
    lengths = torch.nn.functional.one_hot(PATTERN_LENGTHS - 1, LENGTHS).to(values)
    spread = torch.einsum("ps,pl->psl", squares.to(values), lengths).flatten(1)
    return (values @ spread).view(len(values), N_SQUARES, LENGTHS)


def _at(boards: Boards) -> Tensor:
    """int64 [N * 64]: a group for every ply and square."""
    squares = torch.arange(N_SQUARES, device=boards.ply.device)
    return (boards.ply[:, None] * N_SQUARES + squares).flatten()


class _Explained:
    """A regression found on some games and checked on others."""

    def __init__(self, features: int, outputs: int) -> None:
        self.found, self.checked = (Regression.zeros(CONTEXT, features, outputs) for _ in range(2))

    def add(self, checking: bool, x: Tensor, y: Tensor, ply: Tensor) -> None:
        (self.checked if checking else self.found).add(x, y, ply)

    def r2(self, features: Tensor | None = None) -> float:
        """The share of all outputs' variance on the checking games."""
        return share(*self.checked.explained(self.found.slopes(features)))


class Claims:
    """Which brackets explain an MLP's write along squares' "mine less theirs"."""

    def __init__(self) -> None:
        self.whole, self.control = (_Explained(len(BRACKETS), N_SQUARES) for _ in range(2))
        # One slope a length, shared by all squares.
        self.pooled, self.pooled_control = (
            Regression.zeros(CONTEXT * N_SQUARES, LENGTHS, 1) for _ in range(2)
        )

    def add(self, checking: bool, boards: Boards, others: Boards, writes: Tensor) -> None:
        """Add positions.

        others: positions of other games at the same plies. writes: float [N, 64], positive towards
        the side that made the last move.
        """
        for whole, pooled, seen in (
            (self.whole, self.pooled, boards),
            (self.control, self.pooled_control, others),
        ):
            closed = flipped_patterns(seen).float()
            whole.add(checking, closed @ TO_BRACKET.to(closed), writes, boards.ply)
            if not checking:
                runs = by_square(closed, RUNS).flatten(0, 1)
                pooled.add(runs, writes.flatten()[:, None], _at(boards))

    def finding(self, layer: int) -> Layer:
        r2_by_length = [self.whole.r2(BRACKET_LENGTHS.eq(n + 1)) for n in range(LENGTHS)]
        return Layer(
            layer,
            "claims",
            {"r2": self.whole.r2()},
            {"r2": self.control.r2()},
            {
                "by length": tuple(self.pooled.slopes()[:, 0].tolist()),
                "by length, control": tuple(self.pooled_control.slopes()[:, 0].tolist()),
                "r2 by length": tuple(r2_by_length),
            },
        )


class Counts:
    """Which patterns explain what a part of a layer writes to the logits."""

    def __init__(self) -> None:
        self.whole, self.control = (_Explained(len(PATTERNS), len(PLAYABLE)) for _ in range(2))
        # One slope a length, shared by all squares; that a square is blank has its own.
        self.pooled, self.pooled_control = (
            Regression.zeros(CONTEXT * N_SQUARES, LENGTHS + 1, 1) for _ in range(2)
        )
        self.held = torch.zeros(len(PATTERNS), dtype=torch.float64)

    def add(self, checking: bool, boards: Boards, others: Boards, writes: Tensor) -> None:
        """Add positions; as for claims, but writes: float [N, 60], each around its mean."""
        playable, starts = list(PLAYABLE), torch.nn.functional.one_hot(_STARTS, N_SQUARES)
        at = _at(boards).view(-1, N_SQUARES)[:, playable].flatten()
        for whole, pooled, seen in (
            (self.whole, self.pooled, boards),
            (self.control, self.pooled_control, others),
        ):
            legal = legal_patterns(seen).float()
            whole.add(checking, legal, writes, boards.ply)
            if not checking:
                blank = (seen.now == 0).to(legal)[..., None]
                x = torch.cat([by_square(legal, starts), blank], -1)[:, playable].flatten(0, 1)
                pooled.add(x, writes.flatten()[:, None], at)
                if seen is boards:
                    self.held += legal.sum(0).double().cpu()

    def finding(self, layer: int, part: str) -> Layer:
        column = torch.tensor([PLAYABLE.index(p.start) for p in PATTERNS])
        own = self.whole.found.slopes().gather(1, column[:, None])[self.held >= SUPPORT]
        figures = {"r2": self.whole.r2(), "patterns": float(len(own))}
        if len(own):
            figures["promoted"] = float((own > 0).double().mean())
            figures["mean slope"] = float(own.mean())
        return Layer(
            layer,
            f"counts of {part}",
            figures,
            {"r2": self.control.r2()},
            {
                "by length": tuple(self.pooled.slopes()[:LENGTHS, 0].tolist()),
                "by length, control": tuple(self.pooled_control.slopes()[:LENGTHS, 0].tolist()),
            },
        )


def aligned(played: Replay) -> tuple[Tensor, Boards, Boards]:
    """(bool [B, 59], positions at which a game and the one before it both go on; the boards there;
    the other games' boards there)."""
    goes_on = there(played, CONTEXT)
    both = goes_on & goes_on.roll(1, 0)
    place = goes_on.flatten().cumsum(0).view_as(goes_on) - 1
    boards = Boards.of(played, CONTEXT)
    return both, boards[place[both]], boards[place.roll(1, 0)[both]]


class LayerCollector:
    """Claims and counts of one layer."""

    needs = frozenset(PARTS.values())

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.claims = Claims()
        self.counts = {part: Counts() for part in PARTS}

    def add(self, batch: Batch) -> None:
        """See some games, two at least: each is the control of another."""
        both, boards, others = aligned(batch.played)
        outs = {part: batch.activations[name][both] for part, name in PARTS.items()}
        # Probes tell mine from theirs for the side that moves next.
        next_mover = batch.played.movers[:, 1 : CONTEXT + 1]
        side = (next_mover * batch.played.movers[:, :CONTEXT])[both].unsqueeze(-1)
        towards = outs["mlp"] @ self.around.squares.to(outs["mlp"]) * side
        self.claims.add(batch.checking, boards, others, towards)
        for part, out in outs.items():
            logits = out @ self.around.logits.to(out)
            logits = logits - logits.mean(-1, keepdim=True)
            self.counts[part].add(batch.checking, boards, others, logits)

    def findings(self, progress: Callable[[int], None]) -> list[Finding]:
        found: list[Finding] = [self.claims.finding(self.around.layer)]
        found += [counts.finding(self.around.layer, part) for part, counts in self.counts.items()]
        progress(100)
        return found
