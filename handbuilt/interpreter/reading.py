"""Layers 1 to 7 hear what earlier positions told; all but the last renew their need."""

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

    opening: [B, T, 64], the board after the first move, which all know by heart.
    """
    i, later = layer - 1, facts.later
    claims, need = last.claims[..., None], last.need[..., None]
    loud = (s.overclaim[i] * (1 - claims) + s.needy[i] * need).exp().unbind(-1)
    loudness = dict(zip(TOLD, loud, strict=True))
    flips = _read(s.flips_kernel[i], last.side, last.message, loudness["flips"])
    told = s.board_share[i] * last.settled + facts.placed * later[:, None]
    board = _read(s.board_kernel[i], last.side, told, loudness["board"])
    belief = (flips + board + s.opening[i] * opening) * later[:, None]
    renewed = torch.sigmoid(
        s.need_kept[i] * last.need - s.need_claims[i] * last.claims + s.need_bias[i]
    )
    return replace(last, belief=belief, need=renewed * later)


def _read(log_kernel: Tensor, side: Tensor, told: Tensor, loudness: Tensor) -> Tensor:
    """[B, T, 64]: what was told, by lag; as mine from this side, as theirs from the other.

    Two heads of a softmax each; what is left of its mass rests on position 0, which tells
    nothing. ``loudness`` [B, T] makes some positions heard more than others.
    """
    positions = side.shape[1]
    kernel = lag_kernel(log_kernel.exp()).clone()
    kernel[:, 0] = 0
    size = amplitude(kernel.detach())
    share = kernel[:positions, :positions] / size
    same_parity = (parity(positions)[:, None] * parity(positions) > 0).to(share)
    read = torch.zeros_like(told)
    for sign in (1.0, -1.0):
        agree = sign * side[:, :, None] * side[:, None]
        weight = share * torch.exp(SIDE_SCORE / 2 * (agree - 1))
        weight = weight * loudness[:, None]
        expected = same_parity if sign > 0 else 1 - same_parity
        rest = 1 - (share * expected).sum(-1)
        total = rest[:, None] + weight.sum(-1, keepdim=True)
        read = read + sign * size * ((weight / total) @ told)
    return read
