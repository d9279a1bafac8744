"""The look for sides that had no move, the head that hears of them, and the turn of sides."""

import numpy as np

from handbuilt.interpreter.passes import STEP
from handbuilt.programs.records import Head, Neurons, Term, capped, links
from handbuilt.programs.tables import GATE, Tables, speaking
from handbuilt.strengths import Strengths

#: Closes what turns the other colour's positions.
TURN_GATE = 2 * STEP


def look(t: Tables, s: Strengths, layer: int) -> tuple[Neurons, ...]:
    """Patterns that would have let the side named by parity move elsewhere."""
    row_of = {bracket.ends: row for row, bracket in enumerate(t.board.brackets)}
    patterns = t.board.patterns
    rows = [row_of[min(p.start, p.end), max(p.start, p.end)] for p in patterns]
    starts = np.eye(t.board.n_squares)[:, [p.start for p in patterns]]
    within = t.squares @ ((t.runs + t.ends)[rows].T - starts)
    discs = t.heard_of_discs(s.other_run, s.other_end)
    reads = {source: discs[source][:, rows] for source in ("belief", "clipped")}
    # The start is blank, even now; all else was taken before.
    reads["blank"] = GATE * (t.squares @ starts - within)
    reads["played"] = -GATE * within
    reads["position"] = -GATE * t.first @ np.ones((1, len(patterns)))
    lengths = t.length_of[rows]
    return speaking(
        Neurons(
            layer,
            "other",
            tuple(p.name for p in patterns),
            "{} was there for the side named by parity: a blank start, a run of theirs, an end of "
            "mine",
            links(reads),
            s.other_bias.numpy()[lengths] - GATE,
            links({"others": s.other_line.numpy()[lengths, None]}),
            rule="other",
        )
    )


def hear_of_passes(t: Tables, s: Strengths, layer: int) -> Head:
    """A sigmoid between position 0 and positions where parity names a side without a move."""
    odds = float(s.pass_base) - float(s.pass_early) * (1 - t.late[:, 0])
    scores = np.tile(odds, (t.board.context, 1))
    scores[:, 0] = 0
    lowers = {"others": s.pass_others, "claims": s.pass_claims, "need": -s.pass_need}
    slopes = {name: np.full((1, 1), -float(slope)) for name, slope in lowers.items()}
    return Head(
        layer,
        "passed",
        "looks for a position where the side named by parity had no move: it had passed",
        scores,
        links({"position": 1 - t.first}),
        links({"passed": np.eye(1)}),
        rule="other",
        terms=(Term((), 1.0, links(slopes)),),
    )


def turn(t: Tables, layer: int) -> tuple[Neurons, ...]:
    """A pass turns the side that parity names."""
    found: list[Neurons] = []
    for who, sign in (("black", 1.0), ("white", -1.0)):
        here = (sign * t.parity > 0)[:, None] * (1 - t.first)
        family = Neurons(
            layer,
            f"turn-{who}",
            ("",),
            f"parity names {who}, but somebody passed, so it is the other side's move",
            links({"passed": np.full((1, 1), STEP), "position": TURN_GATE * here}),
            np.full(1, 0.5 - STEP / 2 - TURN_GATE),
            links({"side": np.full((1, 1), -2 * sign)}),
            rule="other",
        )
        found += capped(family)
    return tuple(found)
