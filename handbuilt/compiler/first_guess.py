"""Layer 0's guess: heads for who put discs down, and for what moves near a disc say of it."""

import numpy as np
import torch

from extracted_rules.othello.notation import CONTEXT
from handbuilt.compiler.plies import AGREES, FIRST, PARITY
from handbuilt.compiler.state import SQUARES
from handbuilt.interpreter.first_guess import neighbours
from handbuilt.interpreter.openings import start_board
from handbuilt.interpreter.plies import lag_kernel, parity
from handbuilt.strengths import MEMORIES, Strengths
from handbuilt.weights import Array, Weights, kernel_scores


def embed(w: Weights, s: Strengths) -> None:
    """What positions hold before anything was heard: the start board, their side, their need."""
    here, position = w.layout.directions, w["pos_embed.W_pos"]
    later = 1 - FIRST
    position[:, here["need"]] = float(s.need_start) * later
    position[:, here["side"]] = PARITY[:, None] * later
    faded = PARITY * np.exp(float(s.start) * np.arange(CONTEXT))
    position[:, here["belief"]] = later * faded[:, None] * start_board().numpy()


def ask_who_put_discs_down(w: Weights, s: Strengths) -> Array:
    """Two heads. Gives back [59]: what they leave on the move's own square."""
    # The surplus of attention rests on the position itself. What it leaves on the move's own
    # square depends on the position alone, so that claims and settled boards can discount it.
    own = np.zeros(CONTEXT)
    owner: Array = lag_kernel(s.owner.exp()).numpy()
    for name, sign in (("mine", 1), ("theirs", -1)):
        kernel = owner * (sign * AGREES > 0)
        scores, size = kernel_scores(kernel, np.arange(CONTEXT))
        own += sign * (size - kernel.sum(-1))
        w.head(
            0,
            name,
            f"discs {'this' if sign > 0 else 'the other'} side put down, older ones fainter",
            scores,
            {"played": np.eye(60)},
            {"belief": sign * size * SQUARES},
        )
    return own


def ask_moves_nearby(w: Weights, s: Strengths) -> None:
    """What moves nearby have likely turned, into "settled", which is still free there."""
    itself = np.arange(CONTEXT)
    for memory, name in enumerate(MEMORIES):
        spread = SQUARES @ neighbours(s.near[memory]).numpy()
        if not spread.any():
            continue
        near: Array = lag_kernel(s.near_kernel[memory].exp()).numpy()
        kernels = [near * (sign * AGREES > 0) for sign in (1, -1)]
        # But for what this very move says, their sizes are the same, so that what is left of
        # their attention nearly cancels.
        most = max(kernel_scores(kernel, itself)[1] for kernel in kernels)
        now = float(s.near_now[memory])
        for who, sign, kernel in zip(("mine", "theirs"), (1, -1), kernels, strict=True):
            scores, size = kernel_scores(kernel, itself, most + max(sign * now, 0.0))
            w.head(
                0,
                f"{name}-{who}",
                f"what moves of {'this' if sign > 0 else 'the other'} side say of the discs "
                "around them, and of their own",
                scores,
                {"played": np.eye(60)},
                {"settled": sign * size * spread},
            )


def most_near(s: Strengths) -> float:
    """A bound on what layer 0's near heads say about a square.

    Moves of one side speak for it where ``near`` is positive, those of the other where it is
    negative; no square is played twice. What two heads leave of their attention rests on the move
    itself.
    """
    most = 0.0
    for kernel, now, near in zip(s.near_kernel, s.near_now, s.near, strict=True):
        by_lag, spread = kernel.exp(), neighbours(near)
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
