"""Why an answer about one square is wrong: because of the side, the board, or the counting.

A square is legal by a line: a run of theirs from it, and a disc of mine behind that. So a wrong
answer has one of three causes, asked for in this order:

- ``side``: an unseen pass is unnoticed, or one is imagined, and the answer is the other side's,
- ``board``: the line is there on the board that the model holds and not on the true one, or the
  other way around; then some of its discs are held to be of the wrong colour,
- ``counting``: the model's own board has it right, and the answer does not follow from it.
"""

from dataclasses import dataclass

from torch import Tensor

from extracted_rules.othello.patterns import PATTERNS, Pattern

SIDE, BOARD, COUNTING = "side", "board", "counting"
#: Every square's patterns.
BY_START: dict[int, tuple[Pattern, ...]] = {
    start: tuple(p for p in PATTERNS if p.start == start) for start in {p.start for p in PATTERNS}
}


@dataclass(frozen=True)
class Line:
    """A pattern on a board as it is held. held: how surely, by its weakest disc, -1..1; above 0 the
    line is there. wrong: its discs that are held to be of the other colour than they are."""

    pattern: Pattern
    held: float
    wrong: tuple[int, ...]

    @property
    def there(self) -> bool:
        return self.held > 0


@dataclass(frozen=True)
class Cause:
    """Why the answer about a square is wrong. line: the one that decides, None where the square has
    none whose squares all hold discs."""

    kind: str
    line: Line | None


def lines_of(square: int, board: Tensor, held: Tensor, mover: int) -> list[Line]:
    """Every pattern of an empty square whose other squares all hold discs, the surest first.

    board: int8 [64], +1 black; held: float [64], the same as a model holds it; mover: +1 or -1.
    """
    truth, belief = (mover * board).tolist(), (mover * held).tolist()
    found = []
    for pattern in BY_START.get(square, ()):
        discs = dict.fromkeys(pattern.run, -1) | {pattern.end: 1}
        if any(truth[s] == 0 for s in discs):
            continue
        sure = min(sign * belief[s] for s, sign in discs.items())
        wrong = tuple(s for s in discs if truth[s] * belief[s] <= 0)
        found.append(Line(pattern, sure, wrong))
    return sorted(found, key=lambda line: -line.held)


def is_true(line: Line, board: Tensor, mover: int) -> bool:
    """Whether the true board has the line."""
    run, end = board[list(line.pattern.run)], int(board[line.pattern.end])
    return bool((run == -mover).all()) and end == mover


def cause_of(square: int, board: Tensor, held: Tensor, mover: int, held_mover: int) -> Cause:
    """Why an empty square is held for legal where it is not, or the other way around.

    board, held as in :func:`lines_of`; mover: +1 or -1, the side that truly moves next;
    held_mover: the one that the model takes for it.
    """
    lines = lines_of(square, board, held, mover)
    true = [line for line in lines if is_true(line, board, mover)]
    # Of a legal square the surest of its true lines decides, of an illegal one the surest of all.
    deciding = next(iter(true or lines), None)
    if held_mover != mover:
        return Cause(SIDE, deciding)
    on_the_held_board = deciding is not None and deciding.there
    return Cause(BOARD if on_the_held_board != bool(true) else COUNTING, deciding)
