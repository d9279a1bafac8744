"""Layer 0's guess: heads for who put discs down, and for what moves near a disc say of it."""

import numpy as np
import torch

from handbuilt.interpreter.first_guess import neighbours
from handbuilt.interpreter.openings import start_board
from handbuilt.interpreter.plies import lag_kernel, parity
from handbuilt.programs.records import Array, Head, Link, links
from handbuilt.programs.scores import kernel_scores
from handbuilt.programs.tables import Tables
from handbuilt.strengths import MEMORIES, Strengths


def positions(t: Tables, s: Strengths) -> tuple[Link, ...]:
    """What positions hold before anything was heard: the start board, their side, their need."""
    later = 1 - t.first
    faded = t.parity * np.exp(float(s.start) * np.arange(t.board.context))
    return (
        Link("need", float(s.need_start) * later, "need"),
        Link("side", t.parity[:, None] * later),
        Link("belief", later * faded[:, None] * start_board(t.board).numpy(), "owner"),
    )


def ask_who_put_discs_down(t: Tables, s: Strengths) -> tuple[tuple[Head, ...], Array]:
    """Two heads; and [T], what they leave on the move's own square."""
    # The surplus of attention rests on the position itself. What it leaves on the move's own
    # square depends on the position alone, so that claims and clipped boards can discount it.
    context = t.board.context
    own = np.zeros(context)
    owner: Array = lag_kernel(s.owner.exp()).numpy()
    heads = []
    for name, sign in (("mine", 1), ("theirs", -1)):
        kernel = owner * (sign * t.agrees > 0)
        scores, size = kernel_scores(kernel, np.arange(context))
        own += sign * (size - kernel.sum(-1))
        heads.append(
            Head(
                0,
                name,
                f"discs {'this' if sign > 0 else 'the other'} side put down, older ones fainter",
                scores,
                links({"played": np.eye(len(t.board.playable))}),
                links({"belief": sign * size * t.squares}),
                rule="owner",
            )
        )
    return tuple(heads), own


def ask_moves_nearby(t: Tables, s: Strengths) -> tuple[Head, ...]:
    """What moves nearby have likely turned."""
    heads = []
    for memory, name in enumerate(MEMORIES):
        spread = t.squares @ neighbours(t.board, s.near[memory]).numpy()
        if not spread.any():
            continue
        near: Array = lag_kernel(s.near_kernel[memory].exp()).numpy()
        kernels = {who: near * (sign * t.agrees > 0) for who, sign in (("mine", 1), ("theirs", -1))}
        itself = np.arange(t.board.context)
        # But for what this very move says, their sizes are the same, so that what is left of
        # their attention nearly cancels.
        most = max(kernel_scores(kernel, itself)[1] for kernel in kernels.values())
        now = float(s.near_now[memory])
        for who, kernel in kernels.items():
            sign = 1 if who == "mine" else -1
            scores, size = kernel_scores(kernel, itself, most + max(sign * now, 0.0))
            heads.append(
                Head(
                    0,
                    f"{name}-{who}",
                    f"what moves of {'this' if sign > 0 else 'the other'} side say of the discs "
                    "around them, and of their own",
                    scores,
                    links({"played": np.eye(len(t.board.playable))}),
                    links({"nearby": sign * size * spread}),
                    rule="near",
                )
            )
    return tuple(heads)


def most_near(s: Strengths) -> float:
    """A bound on what layer 0's near heads say about a square.

    Moves of one side speak for it where ``near`` is positive, those of the other where it is
    negative; no square is played twice. What two heads leave of their attention rests on the move
    itself.
    """
    most = 0.0
    for kernel, now, near in zip(s.near_kernel, s.near_now, s.near, strict=True):
        by_lag, spread = kernel.exp(), neighbours(s.geometry, near)
        by_side = by_lag.view(-1, 2).sort(0, descending=True).values
        signed = torch.stack([spread.clamp(min=0), -spread.clamp(max=0)], 1)
        loudest = signed.sort(0, descending=True).values[: len(by_side)]
        speaks = max(
            float(torch.einsum("ks,ksq->q", order, loudest).max())
            for order in (by_side, by_side.flip(1))
        )
        left = now + torch.cat([now.new_zeros(1), by_lag * parity(len(by_lag))]).cumsum(0)
        most += speaks + float(left.abs().max() * near.abs().max())
    return most
