"""What is known by heart: which first move was played, the board after it, and the replies."""

import numpy as np

from handbuilt.interpreter.openings import book
from handbuilt.programs.records import Head, Neurons, links
from handbuilt.programs.scores import self_scores
from handbuilt.programs.tables import GATE, Tables
from handbuilt.strengths import Strengths


def see_first_move(t: Tables) -> Head:
    """A head of layer 0."""
    context, board = t.board.context, t.board
    itself, to_first = np.arange(context), self_scores(context)
    to_first[:, 0], to_first[itself[1:], itself[1:]] = 0, to_first[0, 1]
    columns = [board.playable.index(square) for square in board.first_moves]
    return Head(
        0,
        "first",
        "looks at position 0: which of the four first moves was played",
        to_first,
        links({"played": np.eye(len(board.playable))[:, columns]}),
        links({"first": np.eye(4)}),
        rule="opening",
    )


def fade_opening(t: Tables, s: Strengths) -> tuple[Neurons, ...]:
    """Layer 0: how strongly each position still holds the board after the first move."""
    faded = np.exp(float(s.opening_fade) * (np.arange(t.board.context) - 1.0))
    faded[0] = 0
    found = []
    for side, sign in (("even", 1.0), ("odd", -1.0)):
        strength = np.where(sign * t.parity > 0, faded, 0.0)
        reads = {"first": GATE * np.eye(4), "position": np.outer(strength, np.ones(4))}
        found.append(
            Neurons(
                0,
                f"opening-{side}",
                t.first_labels,
                f"the game began with {{}} and this is an {side} position",
                links(reads),
                np.full(4, -GATE),
                links({"opening": sign * np.eye(4)}),
                rule="opening",
            )
        )
    return tuple(found)


def know_replies(t: Tables, layer: int) -> Neurons:
    """The last layer: what position 0 counts as legal."""
    return Neurons(
        layer,
        "book",
        t.first_labels,
        "position 0 knows the replies to {} by heart",
        links({"first": np.eye(4), "position": t.first @ np.ones((1, 4))}),
        np.full(4, -1.0),
        links({"count": book(t.board).numpy() @ t.squares.T}),
        rule="opening",
    )
