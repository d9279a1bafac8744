"""The named subspaces of the residual stream, one for every quantity that is held."""

import numpy as np

from extracted_rules.othello.notation import CONTEXT, LABELS, N_SQUARES, PLAYABLE
from handbuilt.interpreter.facts import FIRST_MOVES
from handbuilt.network.layout import Slots
from handbuilt.weights import Array

PLAYABLE_LABELS = [LABELS[square] for square in PLAYABLE]
FIRST_LABELS = [LABELS[square] for square in FIRST_MOVES]
#: [60, 64]: from the playable squares, over which moves and blanks are held, to all, over which
#: boards are.
SQUARES: Array = np.eye(N_SQUARES)[list(PLAYABLE)]


def lay_out(directions: Slots) -> None:
    """Give every quantity its directions."""
    add = directions.add
    steps = [str(t) for t in range(CONTEXT)]
    add("played", PLAYABLE_LABELS, "the move of this position is {}")
    add("position", steps, "this is position {}")
    add("blank", PLAYABLE_LABELS, "{} holds no disc once the move is made")
    add("placed", PLAYABLE_LABELS, "as played.{}, but empty at position 0: an event to be read")
    add("belief", LABELS, "{} before the move: 1 mine, -1 theirs")
    add("message", LABELS, "what others are told about {}: its flip, and ends of brackets")
    add(
        "settled",
        LABELS,
        "the belief about {}, sharpened and clipped to -1..1; in the midst of layer 0, what "
        "moves near it have likely turned",
    )
    add("first", FIRST_LABELS, "the game began with {}")
    add(
        "opening",
        FIRST_LABELS,
        "the board after {} was played first, in this position's frame, faded by age",
    )
    add("count", PLAYABLE_LABELS, "how many lines make {} legal for the next mover")
    add("need", sentence="how much doubt is forgiven because too little is claimed")
    add("claims", sentence="the sum of all bracket claims")
    add("others", sentence="how many lines the side named by parity had for other moves")
    add("passed", sentence="how surely somebody passed, up to this move")
    add("side", sentence="1 if black moves here, -1 if white does; 0 at position 0")
