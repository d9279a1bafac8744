"""Why an answer about one square is wrong: because of the side, the board, or the counting.

A square is legal by a line: a run of theirs from it, and a disc of mine behind that. So a wrong
answer has one of three causes, asked for in this order:

- ``side``: an unseen pass is unnoticed, or one is imagined, and the answer is the other side's,
- ``board``: the line is there on the board decoded from the model and not on the true one, or the
  other way around; then some of its discs are decoded as the wrong colour,
- ``counting``: the model's own board has it right, and the answer does not follow from it.
"""

from dataclasses import dataclass

from torch import Tensor

from extracted_rules.othello.geometry import Geometry, Pattern

SIDE, BOARD, COUNTING = "side", "board", "counting"


@dataclass(frozen=True)
class Line:
    """A pattern on a decoded board. evidence: that it is there, its weakest disc's, -1..1, the line
    being there above 0; wrong: its discs that are decoded as the other colour than they are; true:
    whether the true board has it."""

    pattern: Pattern
    evidence: float
    wrong: tuple[int, ...]
    true: bool


@dataclass(frozen=True)
class Cause:
    """Why the answer about a square is wrong. line: the one that decides, None where the square has
    none whose squares all hold discs."""

    kind: str
    line: Line | None


def lines_of(
    geometry: Geometry, square: int, board: Tensor, decoded: Tensor, mover: int
) -> list[Line]:
    """Every pattern of an empty square whose other squares all hold discs, by falling evidence.

    board: int8 [squares], +1 black; decoded: float [squares], the same as read from a model; mover:
    +1 or -1.
    """
    truth, belief = (mover * board).tolist(), (mover * decoded).tolist()
    found = []
    for pattern in (p for p in geometry.patterns if p.start == square):
        discs = dict.fromkeys(pattern.run, -1) | {pattern.end: 1}
        if all(truth[s] for s in discs):
            evidence = min(sign * belief[s] for s, sign in discs.items())
            wrong = tuple(s for s in discs if truth[s] * belief[s] <= 0)
            true = all(truth[s] == sign for s, sign in discs.items())
            found.append(Line(pattern, evidence, wrong, true))
    return sorted(found, key=lambda line: -line.evidence)


def cause_of(lines: list[Line], mover: int, decoded_mover: int) -> Cause:
    """Why a model takes an empty square of these lines, the surest first, for legal where it is
    not, or the other way around.

    mover: +1 or -1, the side that truly moves next; decoded_mover: the one the model takes for it.
    """
    legal = [line for line in lines if line.true]
    # Of a legal square the surest of its true lines decides, of an illegal one the surest of all.
    deciding = next(iter(legal or lines), None)
    if decoded_mover != mover:
        return Cause(SIDE, deciding)
    on_the_decoded_board = deciding is not None and deciding.evidence > 0
    return Cause(BOARD if on_the_decoded_board != bool(legal) else COUNTING, deciding)
