"""The look for sides that had no move, the head that hears of them, and the turn of sides."""

import numpy as np

from extracted_rules.othello.notation import CONTEXT, N_SQUARES
from extracted_rules.othello.patterns import BRACKETS, PATTERNS
from handbuilt.compiler.brackets import ENDS, LENGTH_OF, RUNS, heard_of_discs, one_each
from handbuilt.compiler.plies import FIRST, LATE, PARITY
from handbuilt.compiler.state import SQUARES
from handbuilt.interpreter.passes import LOOK_LAYER, STEP
from handbuilt.strengths import Strengths
from handbuilt.weights import GATE, Weights

#: Closes what turns the other colour's positions.
TURN_GATE = 2 * STEP
#: A bracket's row by its ends.
BRACKET_OF = {bracket.ends: row for row, bracket in enumerate(BRACKETS)}


def look(w: Weights, s: Strengths) -> None:
    """Layer 3: patterns that would have let the side named by parity move elsewhere."""
    rows = [BRACKET_OF[min(p.start, p.end), max(p.start, p.end)] for p in PATTERNS]
    starts = np.eye(N_SQUARES)[:, [p.start for p in PATTERNS]]
    within = SQUARES @ ((RUNS + ENDS)[rows].T - starts)
    discs = heard_of_discs(s.other_run, s.other_end)
    reads = {source: discs[source][:, rows] for source in ("belief", "settled")}
    # The start is blank, even now; all else was taken before.
    reads["blank"] = GATE * (SQUARES @ starts - within)
    reads["played"] = -GATE * within
    reads["position"] = -GATE * FIRST @ np.ones((1, len(PATTERNS)))
    lengths = LENGTH_OF[rows]
    one_each(
        w,
        LOOK_LAYER,
        "other",
        [p.name for p in PATTERNS],
        "{} was there for the side named by parity: a blank start, a run of theirs, an end of mine",
        reads,
        s.other_bias.numpy()[lengths] - GATE,
        {"others": s.other_line.numpy()[lengths, None]},
    )


def hear_the_stuck(w: Weights, s: Strengths) -> None:
    """Layer 4: a sigmoid between position 0 and positions where parity names a stuck side."""
    odds = float(s.stuck) - float(s.stuck_early) * (1 - LATE[:, 0])
    scores = np.tile(odds, (CONTEXT, 1))
    scores[:, 0] = 0
    lowers = {"others": s.stuck_others, "claims": s.stuck_claims, "need": -s.stuck_need}
    slopes = {name: np.full((1, 1), -float(slope)) for name, slope in lowers.items()}
    w.head(
        LOOK_LAYER + 1,
        "passed",
        "looks for a position where the side named by parity had no move: it had passed",
        scores,
        {"position": 1 - FIRST},
        {"passed": np.eye(1)},
        [({}, 1.0, slopes)],
    )


def turn(w: Weights) -> None:
    """Layer 4: a pass turns the side that parity names."""
    for who, sign in (("black", 1.0), ("white", -1.0)):
        here = (sign * PARITY > 0)[:, None] * (1 - FIRST)
        w.capped(
            LOOK_LAYER + 1,
            f"turn-{who}",
            [""],
            f"parity names {who}, but somebody passed, so it is the other side's move",
            {"passed": np.full((1, 1), STEP), "position": TURN_GATE * here},
            0.5 - STEP / 2 - TURN_GATE,
            {"side": np.full((1, 1), -2 * sign)},
        )
