"""Which unseen passes the rules notice; and the same rules, told the true sides."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.othello.game import replay
from extracted_rules.othello.geometry import Geometry
from handbuilt.interpreter.layers import Interpreter
from handbuilt.interpreter.state import Trace
from handbuilt.strengths import Strengths

#: First passes are counted by the number of moves before them: parts of a game end here.
PARTS = (7 / 30, 2 / 5, 13 / 15)


def spans(geometry: Geometry) -> list[tuple[int, int]]:
    """Numbers of moves before a first pass, from .. to. A pass before the very last move is seen by
    no position."""
    ends = [*(round(part * geometry.max_plies) for part in PARTS), geometry.context - 1]
    return [(start + 1, end) for start, end in zip([0, *ends], ends, strict=False)]


class TrueSides(Interpreter):
    """The same rules, but from a layer's reading on every position is told its true side.

    The board after the first move, which all know by heart, is still read by parity.
    """

    def __init__(self, strengths: Strengths, layer: int) -> None:
        super().__init__(strengths)
        self.layer = layer
        self.movers = torch.empty(0)

    def __call__(self, tokens: Tensor, at: Tensor | None = None) -> Trace:
        movers = replay(tokens, board=self.strengths.geometry.size).movers
        self.movers = movers[:, : tokens.shape[1]].to(self.strengths.run.dtype)
        self.movers[:, 0] = 0  # nobody hears by its side
        return super().__call__(tokens, at)

    def sides(self, layer: int, found: Tensor) -> Tensor:
        return self.movers if layer >= self.layer else found


@dataclass
class Noticed:
    """First passes after ``first`` to ``last`` moves, in games without a false positive before.

    How many; noticed by the very next move; by a later one. ``positions``: before any pass or
    false positive; ``false_positives``: of those, where somebody is believed to have passed.
    """

    first: int
    last: int
    passes: int = 0
    at_once: int = 0
    later: int = 0
    positions: int = 0
    false_positives: int = 0


@torch.inference_mode()
def notice(rules: Interpreter, games: Iterable[Tensor]) -> list[Noticed]:
    """How well rules notice first passes, by :func:`spans` of moves before; games: uint8
    [n, plies] each."""
    found_in = [Noticed(*span) for span in spans(rules.strengths.geometry)]
    for tokens in games:
        played = replay(tokens, board=Geometry.of_tokens(tokens.shape[1] + 1).size)
        context = played.geometry.context
        place, there = torch.arange(context), tokens[:, :context] != 0
        behind = (played.passes[:, :context].cumsum(-1) > 0) & there
        believed = (rules(tokens[:, :context].long()).passed > 0.5) & there
        # Position t has t moves before its own.
        passed, found = (torch.where(x, place, context).amin(-1) for x in (behind, believed))
        open_ = there & (place < passed[:, None]) & (place <= found[:, None])
        for span in found_in:
            here = (passed >= span.first) & (passed <= span.last) & (found >= passed)
            span.passes += int(here.sum())
            span.at_once += int((here & (found == passed)).sum())
            span.later += int((here & (found > passed) & (found < context)).sum())
            among = (place >= span.first) & (place <= span.last)
            span.positions += int((open_ & among).sum())
            span.false_positives += int((open_ & among & believed).sum())
    return found_in
