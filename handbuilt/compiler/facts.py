"""What depends on tokens alone: embeddings, and layer 0's exact knowledge of occupied squares."""

import numpy as np

from extracted_rules.othello.notation import CONTEXT, PLAYABLE, token_of
from handbuilt.compiler.plies import FIRST
from handbuilt.compiler.state import PLAYABLE_LABELS, SQUARES
from handbuilt.weights import Array, Weights, kernel_scores

#: [59]: what the "seen" head shows of a taken square: a mean.
TAKEN: Array = 1 / np.arange(1.0, 1 + CONTEXT)


def embed(w: Weights) -> None:
    """Which move, which position."""
    here = w.layout.directions
    for column, square in enumerate(PLAYABLE):
        w["embed.W_E"][token_of(square), here["played"].start + column] = 1
    w["pos_embed.W_pos"][:, here["position"]] = np.eye(CONTEXT)


def see_moves(w: Weights) -> Array:
    """Layer 0's head for all squares taken. Gives back [59]: what it leaves on the move's own."""
    seen = np.tril(np.repeat(TAKEN[:, None], CONTEXT, 1), -1)
    scores, size = kernel_scores(seen, np.arange(CONTEXT))
    w.head(
        0,
        "seen",
        "all moves so far, in equal parts: above zero where a square is taken",
        scores,
        {"played": np.eye(60)},
        {"message": size * SQUARES},
    )
    own: Array = size - seen.sum(-1)
    return own


def know_the_board(w: Weights) -> None:
    """Layer 0: exact occupied squares, and events."""
    # Measured against what a taken square shows: at least 1 there, below 0 where blank.
    scale = 1.5 * CONTEXT
    w.capped(
        0,
        "occupied",
        PLAYABLE_LABELS,
        "{} has been played",
        {
            "message": scale * SQUARES.T,
            "position": -scale * np.outer(TAKEN, np.ones(60)),
        },
        1.0,
        {"blank": -np.eye(60)},
    )
    w.constant(0, "blank", 1.0)
    w.relu(
        0,
        "placed",
        PLAYABLE_LABELS,
        "the move is {}, and this is not position 0",
        {"played": np.eye(60), "position": -FIRST @ np.ones((1, 60))},
        0.0,
        {"placed": np.eye(60)},
    )
