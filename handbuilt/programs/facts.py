"""What depends on tokens alone: embeddings, and layer 0's exact knowledge of occupied squares."""

import numpy as np

from handbuilt.programs.records import Array, Head, Link, Neurons, capped, links
from handbuilt.programs.scores import kernel_scores
from handbuilt.programs.tables import Tables


def tokens(t: Tables) -> Link:
    """Which move."""
    table = np.zeros((t.board.n_tokens, len(t.board.playable)))
    table[1:] = np.eye(len(t.board.playable))
    return Link("played", table)


def position(t: Tables) -> Link:
    """Which position."""
    return Link("position", np.eye(t.board.context))


def see_moves(t: Tables) -> tuple[Head, Array]:
    """Layer 0's head for all squares taken; and [T], what it leaves on the move's own."""
    context = t.board.context
    seen = np.tril(np.repeat(t.taken[:, None], context, 1), -1)
    scores, size = kernel_scores(seen, np.arange(context))
    head = Head(
        0,
        "seen",
        "all moves so far, in equal parts: above zero where a square is taken",
        scores,
        links({"played": np.eye(len(t.board.playable))}),
        links({"seen": size * t.squares}),
        rule="occupied",
    )
    own: Array = size - seen.sum(-1)
    return head, own


def know_the_board(t: Tables) -> tuple[Neurons, ...]:
    """Layer 0: exact occupied squares, and events."""
    every = np.eye(len(t.board.playable))
    # Measured against what a taken square shows: at least 1 there, below 0 where blank.
    scale = 1.5 * t.board.context
    occupied = Neurons(
        0,
        "occupied",
        t.playable_labels,
        "{} has been played",
        links(
            {
                "seen": scale * t.squares.T,
                "position": -scale * np.outer(t.taken, np.ones(len(every))),
            }
        ),
        np.full(len(every), 1.0),
        links({"blank": -every}),
        rule="occupied",
        constants={"blank": 1.0},
    )
    placed = Neurons(
        0,
        "placed",
        t.playable_labels,
        "the move is {}, and this is not position 0",
        links({"played": every, "position": -t.first @ np.ones((1, len(every)))}),
        np.zeros(len(every)),
        links({"placed": every}),
        rule="occupied",
    )
    return *capped(occupied), placed
