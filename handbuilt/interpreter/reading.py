"""Layers from 1 on hear what earlier positions told; all but the last renew their need."""

from dataclasses import replace

import torch
from torch import Tensor

from handbuilt.interpreter.facts import Facts
from handbuilt.interpreter.plies import lag_kernel, parity
from handbuilt.interpreter.state import Layer
from handbuilt.strengths import TOLD, Strengths

#: Attention to positions of the other side falls by e to this power.
SIDE_SCORE = 30.0
#: A reading head's attention to others adds up to 1 in this many at most, as long as no position is
#: heard louder than usual and sides alternate.
ROOM = 2.0


def amplitude(kernel: Tensor) -> float:
    """What a head's output is scaled by, so that its attention adds up to less than one."""
    return ROOM * max(float(kernel.sum(-1).max()), 1.0)


def hear(s: Strengths, layer: int, last: Layer, facts: Facts, opening: Tensor) -> Layer:
    """Belief and need anew; the rest as the layer before left it.

    opening: [B, T, squares], the board after the first move, which all know by heart.
    """
    i, later = layer - 1, facts.later
    loudness = loudnesses(s, layer, last)
    flips = heard(s.flips_kernel[i], last.side, loudness["flips"]) @ last.message
    told = s.board_share[i] * last.clipped + facts.placed * later[:, None]
    board = heard(s.board_kernel[i], last.side, loudness["board"]) @ told
    belief = (flips + board + s.opening[i] * opening) * later[:, None]
    renewed = torch.sigmoid(
        s.need_kept[i] * last.need - s.need_claims[i] * last.claims + s.need_bias[i]
    )
    return replace(last, belief=belief, need=renewed * later)


def loudnesses(s: Strengths, layer: int, last: Layer) -> dict[str, Tensor]:
    """[B, T] by what is told: how loudly a layer hears each position, 1 as usual."""
    i, claims, need = layer - 1, last.claims[..., None], last.need[..., None]
    loud = (s.overclaim[i] * (1 - claims) + s.needy[i] * need).exp().unbind(-1)
    return dict(zip(TOLD, loud, strict=True))


def heard(log_kernel: Tensor, side: Tensor, loudness: Tensor) -> Tensor:
    """[B, T, T]: how much of what a position told one adds to its belief: positive where both are
    of one side, negative where they are not.

    Two heads of a softmax, one for each; what is left of its mass rests on position 0, which tells
    nothing. ``loudness`` [B, T] makes some positions heard more than others.
    """
    positions = side.shape[1]
    kernel = lag_kernel(log_kernel.exp()).clone()
    kernel[:, 0] = 0
    size = amplitude(kernel.detach())
    share = kernel[:positions, :positions] / size
    same_parity = (parity(positions)[:, None] * parity(positions) > 0).to(share)
    added = torch.zeros(())
    for sign in (1.0, -1.0):
        agree = sign * side[:, :, None] * side[:, None]
        weight = share * torch.exp(SIDE_SCORE / 2 * (agree - 1))
        weight = weight * loudness[:, None]
        expected = same_parity if sign > 0 else 1 - same_parity
        rest = 1 - (share * expected).sum(-1)
        total = rest[:, None] + weight.sum(-1, keepdim=True)
        added = added + sign * size * (weight / total)
    return added
