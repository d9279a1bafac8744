"""The heads of layers 1 to 7: what earlier positions told, the need, and forgetting."""

import numpy as np
from torch import Tensor

from extracted_rules.othello.notation import CONTEXT, N_SQUARES
from handbuilt.compiler.passes import hear_the_stuck
from handbuilt.compiler.plies import AGREES, FIRST
from handbuilt.compiler.state import SQUARES
from handbuilt.interpreter.openings import boards_after_first_move
from handbuilt.interpreter.passes import LOOK_LAYER
from handbuilt.interpreter.plies import lag_kernel
from handbuilt.interpreter.reading import SIDE_SCORE, amplitude
from handbuilt.interpreter.state import LAST
from handbuilt.strengths import TOLD, Strengths
from handbuilt.weights import Array, Maps, Weights, kernel_scores, self_scores


def hear(w: Weights, s: Strengths, layer: int) -> None:
    """All heads of a layer."""
    i, every = layer - 1, np.eye(N_SQUARES)
    _read(w, s, layer, "flips", s.flips_kernel[i], {"message": every})
    told = {"placed": SQUARES, "settled": float(s.board_share[i]) * every}
    _read(w, s, layer, "board", s.board_kernel[i], told)
    w.head(
        layer,
        "renew-belief",
        "replaces the old belief by the board after the first move, faded",
        self_scores(CONTEXT),
        {"belief": -every, "opening": float(s.opening[i]) * boards_after_first_move().numpy()},
        {"belief": every},
    )
    if layer == LAST:
        return
    _need(w, s, layer)
    if layer == LOOK_LAYER + 1:
        hear_the_stuck(w, s)
    w.head(
        layer,
        "forget-need",
        "takes away the old need",
        self_scores(CONTEXT),
        {"need": -np.eye(1)},
        {"need": np.eye(1)},
    )


def _read(w: Weights, s: Strengths, layer: int, name: str, log_kernel: Tensor, told: Maps) -> None:
    """Two heads: what positions of this side told is mine, what the other's told is theirs."""
    # Fainter with more claims than one line, louder with fewer; the need has a weight of either
    # sign.
    claims = float(s.overclaim[layer - 1, TOLD.index(name)])
    need = float(s.needy[layer - 1, TOLD.index(name)])
    loud = {
        "position": claims * (1 - FIRST),
        "claims": np.full((1, 1), -claims),
        "need": np.full((1, 1), need),
    }
    kernel = lag_kernel(log_kernel.exp())
    kernel[:, 0] = 0
    size = amplitude(kernel)
    share: Array = (kernel / size).numpy()
    half = SIDE_SCORE / 2
    for who, sign in (("mine", 1), ("theirs", -1)):
        scores, _ = kernel_scores(share, np.zeros(CONTEXT, dtype=int), size=1.0)
        scores[:, 1:] -= half
        scores[:, 0] = np.log(1 - (share * (sign * AGREES > 0)).sum(-1))
        sides = (
            {"side": np.full((1, 1), sign * half)}, 0.0, {"side": np.ones((1, 1))},
        )  # fmt: skip
        w.head(
            layer,
            f"{name}-{who}",
            f"{name} told by positions of {'this' if sign > 0 else 'the other'} side, older "
            "ones and those that claim too much fainter; what is left of its attention "
            "rests on position 0, which is silent",
            scores,
            told,
            {"belief": sign * size * np.eye(N_SQUARES)},
            [sides, ({}, 1.0, loud)],
        )


def _need(w: Weights, s: Strengths, layer: int) -> None:
    """A sigmoid: attention between the position itself and position 0, which has no value."""
    i, later = layer - 1, 1 - FIRST
    balance = self_scores(CONTEXT)
    balance[:, 0] = 0
    asks = {
        "need": np.full((1, 1), float(s.need_kept[i])),
        "claims": np.full((1, 1), -float(s.need_claims[i])),
    }
    w.head(
        layer,
        "need",
        "rises towards 1 while the claims fall short of one flipping line",
        balance,
        {"position": later},
        {"need": np.ones((1, 1))},
        [(asks, float(s.need_bias[i]), {"position": later})],
    )
