"""What is known by heart: which first move was played, the board after it, and the replies."""

import numpy as np

from extracted_rules.othello.notation import CONTEXT, PLAYABLE
from handbuilt.compiler.plies import FIRST, PARITY
from handbuilt.compiler.state import FIRST_LABELS, SQUARES
from handbuilt.interpreter.facts import FIRST_MOVES
from handbuilt.interpreter.openings import book
from handbuilt.interpreter.state import LAST
from handbuilt.strengths import Strengths
from handbuilt.weights import GATE, Weights, self_scores


def see_first_move(w: Weights) -> None:
    """A head of layer 0."""
    itself, to_first = np.arange(CONTEXT), self_scores(CONTEXT)
    to_first[:, 0], to_first[itself[1:], itself[1:]] = 0, to_first[0, 1]
    columns = [PLAYABLE.index(square) for square in FIRST_MOVES]
    w.head(
        0,
        "first",
        "looks at position 0: which of the four first moves was played",
        to_first,
        {"played": np.eye(60)[:, columns]},
        {"first": np.eye(4)},
    )


def fade_opening(w: Weights, s: Strengths) -> None:
    """Layer 0: how strongly each position still holds the board after the first move."""
    faded = np.exp(float(s.opening_fade) * (np.arange(CONTEXT) - 1.0))
    faded[0] = 0
    for side, sign in (("even", 1.0), ("odd", -1.0)):
        strength = np.where(sign * PARITY > 0, faded, 0.0)
        w.relu(
            0,
            f"opening-{side}",
            FIRST_LABELS,
            f"the game began with {{}} and this is an {side} position",
            {"first": GATE * np.eye(4), "position": np.outer(strength, np.ones(4))},
            -GATE,
            {"opening": sign * np.eye(4)},
        )


def know_replies(w: Weights) -> None:
    """Layer 7: what position 0 counts as legal."""
    w.relu(
        LAST,
        "book",
        FIRST_LABELS,
        "position 0 knows the replies to {} by heart",
        {"first": np.eye(4), "position": FIRST @ np.ones((1, 4))},
        -1.0,
        {"count": book().numpy() @ SQUARES.T},
    )
