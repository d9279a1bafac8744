"""The neurons of layers 0 to 6: brackets, what is settled, and forgetting."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from extracted_rules.othello.notation import CONTEXT, LABELS, N_SQUARES
from extracted_rules.othello.patterns import BRACKETS
from handbuilt.compiler.brackets import (
    BRACKET_NAMES,
    ENDS,
    LENGTH_OF,
    RUNS,
    heard_of_discs,
    one_each,
)
from handbuilt.compiler.facts import TAKEN
from handbuilt.compiler.first_guess import most_near
from handbuilt.compiler.plies import FIRST, LATE
from handbuilt.compiler.state import SQUARES
from handbuilt.strengths import SOURCES, VOICES, Strengths
from handbuilt.weights import GATE, Array, Weights

#: Added to what a linear neuron reads, so that it never falls silent; no larger than need be, as
#: large numbers round.
HEADROOM = {"message": 16.0, "settled": 16.0, "claims": 32.0}


@dataclass(frozen=True)
class Surplus:
    """What layer 0's heads leave on the move's own square, [59] each: it depends on the position
    alone, so neurons can discount it."""

    belief: Array
    seen: Array


def claim(w: Weights, s: Strengths, layer: int, surplus: Surplus) -> None:
    """Brackets: open if the move is an end and no blank inside."""
    n = len(BRACKETS)
    own_end = (ENDS @ SQUARES.T).T  # [60, n]
    within = ((RUNS + ENDS) @ SQUARES.T).T
    sentences = (
        "the move closes {}: both ends mine, all between theirs, so all between flips",
        "takes back what bracket.{} claims too much",
        "takes back what bracket.{} claims because its run is beyond doubt",
        "takes back what bracket.{} claims because its end is beyond doubt",
    )
    for voice, (name, sentence) in enumerate(zip(VOICES, sentences, strict=True)):
        heard = heard_of_discs(s.run[layer, voice], s.end[layer, voice])
        reads: dict[str, Array] = {
            "belief": heard["belief"],
            "settled": heard["settled"],
            "played": GATE * own_end,
            "need": s.forgive[layer, voice].numpy()[None, LENGTH_OF],
            "position": (float(s.late[layer, voice]) * LATE - GATE * FIRST) @ np.ones((1, n)),
        }
        if layer == 0:
            # A taken square shows TAKEN; the move's own square, one of the ends, shows the
            # surplus of three kernels.
            scale = _first_gate(s) * CONTEXT
            end = s.end[layer, voice, :, SOURCES.index("belief")].numpy()
            reads["message"] = scale * (SQUARES.T @ within)
            reads["position"] = (
                reads["position"]
                - scale * np.outer(TAKEN, within.sum(0))
                - scale * (surplus.seen - TAKEN)[:, None]
                - np.outer(surplus.belief, end[LENGTH_OF])
            )
        else:
            reads |= {"message": heard["message"], "blank": -GATE * within}
        claimed = s.claim[layer, voice].numpy()[LENGTH_OF, None]
        holds = s.holds[layer, voice].numpy()[LENGTH_OF, None]
        told = float(s.flip[layer]) * claimed * RUNS + holds * ENDS
        writes = {"message": told, "claims": claimed}
        bias = s.bias[layer, voice].numpy()[LENGTH_OF] - GATE
        family = "bracket" if name == "claim" else f"bracket-{name}"
        one_each(w, layer, family, BRACKET_NAMES, sentence, reads, bias, writes)


def _first_gate(s: Strengths) -> float:
    """What closes layer 0's brackets: as small as their evidence allows, as it rounds less.

    There a square is at most what its one event or the start says, and what moves near it say.
    """
    largest = max(float(s.owner.max()), 0.0, (CONTEXT - 1) * float(s.start))
    bar = s.bias[0] + s.forgive[0] * s.need_start + s.late[0, :, None].clamp(min=0)
    for source, most in enumerate((np.exp(largest), most_near(s))):
        bar = bar + most * _most_evidence(s.run[0, :, :, source], s.end[0, :, :, source])
    return float(bar.max())


def _most_evidence(run: Tensor, end: Tensor) -> Tensor:
    """[..., 6]: how much a bracket's discs can add at most, if none is larger than 1."""
    depths = torch.tensor([[1, 0, 0], [2, 0, 0], [2, 1, 0], [2, 2, 0], [2, 2, 1], [2, 2, 2]])
    return (run.abs() * depths).sum(-1) + end.abs()


def settle_first(w: Weights, s: Strengths, surplus: Surplus) -> None:
    """Layer 0: the first guess, clipped to -1..1.

    Split by sign, so that gates on blank squares and the move's own leave 0 behind. The move's own
    square shows a surplus, as if it were taken many times.
    """
    by_owner, by_moves_nearby = s.settle[0, :2].tolist()
    scale, taken = GATE * CONTEXT, SQUARES.T @ SQUARES
    shut = GATE + scale * float(surplus.seen.max())
    for name, sign in (("mine", 1), ("theirs", -1)):
        w.capped(
            0,
            f"settle-{name}",
            LABELS,
            f"{{}} was taken before, likely {name}, by who put it there and moves nearby",
            {
                "belief": sign * by_owner * np.eye(N_SQUARES),
                "settled": sign * by_moves_nearby * np.eye(N_SQUARES),
                "played": -shut * SQUARES,
                "message": scale * taken,
                "position": -scale * np.outer(TAKEN, taken.sum(0)) - shut * FIRST,
            },
            0.0,
            {"settled": sign * np.eye(N_SQUARES)},
        )


def settle(w: Weights, s: Strengths, layer: int) -> None:
    """Layers 1 to 5: the belief and what was settled one layer ago, clipped to -1..1."""
    weights = s.settle[layer].tolist()
    w.constant(layer, "settled", -1.0)
    w.capped(
        layer,
        "settle",
        LABELS,
        "how surely {} is mine, sharpened and clipped",
        {
            name: 0.5 * weight * np.eye(N_SQUARES)
            for name, weight in zip(SOURCES, weights, strict=True)
        },
        0.5,
        {"settled": 2 * np.eye(N_SQUARES)},
    )


def forget(w: Weights, s: Strengths, layer: int) -> None:
    """Linear neurons that take the old values away (in layer 0: what its heads left there)."""
    names = ("message", "settled", "claims")
    for name in names[:2] if layer == 0 else names:
        members = [""] if name == "claims" else LABELS
        size, room = np.eye(len(members)), HEADROOM[name]
        if (layer, name) == (0, "settled"):
            room = max(room, most_near(s))
        w.relu(
            layer,
            f"forget-{name}",
            members,
            f"takes away the old {name} about {{}}" if members == LABELS else f"the old {name}",
            {name: size},
            room,
            {name: -size},
        )
        w.constant(layer, name, room)
