"""How much of what a whole layer writes the game's patterns account for.

*Claims*: an MLP's write along squares' "mine less theirs", explained by which brackets the move
just played has closed; its slope by length is the trained counterpart of a hand-built model's
strength ``claim``. *Counts*: what attention and MLP write to the logits, explained by which of the
patterns make a square legal; a positive slope promotes, a negative one suppresses.

Slopes are found on some games and checked on others. The control has the boards of other games at
the same ply. All is taken around the mean at that ply, which needs no rule.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from extracted_rules.catalogue import Finding, Layer
from extracted_rules.conditions import Boards, there
from extracted_rules.discovery.collecting import Batch, Surroundings
from extracted_rules.discovery.patterns import (
    by_square,
    flipped_patterns,
    legal_patterns,
    pattern_tables,
)
from extracted_rules.discovery.regression import Regression, share
from extracted_rules.othello.game import Replay
from extracted_rules.othello.geometry import Geometry

#: A pattern's slope counts as found if it held in this many positions.
SUPPORT = 20
#: What writes into the residual stream, and the activations that say what.
PARTS = {"attention": "hook_attn_out", "mlp": "hook_mlp_out"}


def _at(boards: Boards) -> Tensor:
    """int64 [N, squares]: a group for every ply and square."""
    n = boards.geometry.n_squares
    return boards.ply[:, None] * n + torch.arange(n, device=boards.ply.device)


class _Explained:
    """A regression found on some games and checked on others."""

    def __init__(self, plies: int, features: int, outputs: int) -> None:
        self.found, self.checked = (Regression.zeros(plies, features, outputs) for _ in range(2))

    def add(self, checking: bool, x: Tensor, y: Tensor, ply: Tensor) -> None:
        (self.checked if checking else self.found).add(x, y, ply)

    def r2(self, features: Tensor | None = None) -> float:
        """The share of all outputs' variance on the checking games."""
        return share(*self.checked.explained(self.found.slopes(features)))


class Claims:
    """Which brackets explain an MLP's write along squares' "mine less theirs"."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, plies, squares = geometry, geometry.context, geometry.n_squares
        self.whole, self.control = (
            _Explained(plies, len(geometry.brackets), squares) for _ in range(2)
        )
        # One slope a length, shared by all squares.
        self.pooled, self.pooled_control = (
            Regression.zeros(plies * squares, geometry.max_length, 1) for _ in range(2)
        )

    def add(self, checking: bool, boards: Boards, others: Boards, writes: Tensor) -> None:
        """Add positions.

        others: positions of other games at the same plies. writes: float [N, squares], positive
        towards the side that made the last move.
        """
        tables = pattern_tables(self.geometry).on(writes.device)
        for whole, pooled, seen in (
            (self.whole, self.pooled, boards),
            (self.control, self.pooled_control, others),
        ):
            closed = flipped_patterns(seen).float()
            whole.add(checking, closed @ tables.to_bracket, writes, boards.ply)
            if not checking:
                runs = by_square(closed, tables.runs, self.geometry).flatten(0, 1)
                pooled.add(runs, writes.flatten()[:, None], _at(boards).flatten())

    def finding(self, layer: int) -> Layer:
        lengths = torch.tensor([len(bracket.run) for bracket in self.geometry.brackets])
        r2_by_length = [self.whole.r2(lengths == n + 1) for n in range(self.geometry.max_length)]
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

    def __init__(self, geometry: Geometry) -> None:
        self.geometry, plies = geometry, geometry.context
        patterns, squares = len(geometry.patterns), geometry.n_squares
        self.whole, self.control = (
            _Explained(plies, patterns, len(geometry.playable)) for _ in range(2)
        )
        # One slope a length, shared by all squares; that a square is blank has its own.
        self.pooled, self.pooled_control = (
            Regression.zeros(plies * squares, geometry.max_length + 1, 1) for _ in range(2)
        )
        self.held = torch.zeros(patterns, dtype=torch.float64)

    def add(self, checking: bool, boards: Boards, others: Boards, writes: Tensor) -> None:
        """Add positions; as for claims, but writes: float [N, playable squares], each around its
        mean."""
        playable, start = list(self.geometry.playable), pattern_tables(self.geometry).start
        starts = torch.nn.functional.one_hot(start, self.geometry.n_squares)
        at = _at(boards)[:, playable].flatten()
        for whole, pooled, seen in (
            (self.whole, self.pooled, boards),
            (self.control, self.pooled_control, others),
        ):
            legal = legal_patterns(seen).float()
            whole.add(checking, legal, writes, boards.ply)
            if not checking:
                blank = (seen.now == 0).to(legal)[..., None]
                lengths = by_square(legal, starts, self.geometry)
                x = torch.cat([lengths, blank], -1)[:, playable].flatten(0, 1)
                pooled.add(x, writes.flatten()[:, None], at)
                if seen is boards:
                    self.held += legal.sum(0).double().cpu()

    def finding(self, layer: int, part: str) -> Layer:
        geometry, lengths = self.geometry, slice(self.geometry.max_length)
        column = geometry.token_of_square[pattern_tables(geometry).start] - 1
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
                "by length": tuple(self.pooled.slopes()[lengths, 0].tolist()),
                "by length, control": tuple(self.pooled_control.slopes()[lengths, 0].tolist()),
            },
        )


def aligned(played: Replay) -> tuple[Tensor, Boards, Boards]:
    """(bool [B, context], positions at which a game and the one before it both go on; the boards
    there; the other games' boards there)."""
    context = played.geometry.context
    goes_on = there(played, context)
    both = goes_on & goes_on.roll(1, 0)
    place = goes_on.flatten().cumsum(0).view_as(goes_on) - 1
    boards = Boards.of(played, context)
    return both, boards[place[both]], boards[place.roll(1, 0)[both]]


class LayerCollector:
    """Claims and counts of one layer."""

    needs = frozenset(PARTS.values())

    def __init__(self, around: Surroundings) -> None:
        self.around = around
        self.claims = Claims(around.geometry)
        self.counts = {part: Counts(around.geometry) for part in PARTS}

    def add(self, batch: Batch) -> None:
        """See some games, two at least: each is the control of another."""
        both, boards, others = aligned(batch.played)
        outs = {part: batch.activations[name][both] for part, name in PARTS.items()}
        # Probes tell mine from theirs for the side that moves next.
        movers, context = batch.played.movers, self.around.geometry.context
        side = (movers[:, 1 : context + 1] * movers[:, :context])[both].unsqueeze(-1)
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
