"""The heads of layers from 1 on: what earlier positions told, the need, and forgetting."""

import numpy as np
from torch import Tensor

from handbuilt.interpreter.openings import boards_after_first_move
from handbuilt.interpreter.plies import lag_kernel
from handbuilt.interpreter.reading import SIDE_SCORE, amplitude
from handbuilt.programs.passes import hear_of_passes
from handbuilt.programs.records import Array, Head, Link, Term, links
from handbuilt.programs.scores import kernel_scores, self_scores
from handbuilt.programs.tables import Tables
from handbuilt.strengths import TOLD, Strengths


def hear(t: Tables, s: Strengths, layer: int) -> tuple[Head, ...]:
    """All heads of a layer."""
    i, every = layer - 1, np.eye(t.board.n_squares)
    flips = _read(t, s, layer, "flips", s.flips_kernel[i], {"message": every})
    told = {"placed": t.squares, "clipped": float(s.board_share[i]) * every}
    board = _read(t, s, layer, "board", s.board_kernel[i], told)
    opening = float(s.opening[i]) * boards_after_first_move(t.board).numpy()
    renew = Head(
        layer,
        "renew-belief",
        "replaces the old belief by the board after the first move, faded",
        self_scores(t.board.context),
        (Link("belief", -every), Link("opening", opening, "opening")),
        links({"belief": every}),
    )
    if layer == s.plan.last:
        return *flips, *board, renew
    passed = (hear_of_passes(t, s, layer),) if layer == s.plan.turn else ()
    forget = Head(
        layer,
        "forget-need",
        "takes away the old need",
        self_scores(t.board.context),
        links({"need": -np.eye(1)}),
        links({"need": np.eye(1)}),
    )
    return *flips, *board, renew, _need(t, s, layer), *passed, forget


def _read(
    t: Tables, s: Strengths, layer: int, name: str, log_kernel: Tensor, told: dict[str, Array]
) -> tuple[Head, ...]:
    """Two heads: what positions of this side told is mine, what the other's told is theirs."""
    # Fainter with more claims than one line, louder with fewer; the need has a weight of either
    # sign.
    claims = float(s.overclaim[layer - 1, TOLD.index(name)])
    need = float(s.needy[layer - 1, TOLD.index(name)])
    loud = (
        Link("position", claims * (1 - t.first), "overclaim"),
        Link("claims", np.full((1, 1), -claims), "overclaim"),
        Link("need", np.full((1, 1), need), "needy"),
    )
    kernel = lag_kernel(log_kernel.exp())
    kernel[:, 0] = 0
    size = amplitude(kernel)
    share: Array = (kernel / size).numpy()
    half, one = SIDE_SCORE / 2, np.ones((1, 1))
    heads = []
    for who, sign in (("mine", 1), ("theirs", -1)):
        scores, _ = kernel_scores(share, np.zeros(len(share), dtype=int), size=1.0)
        scores[:, 1:] -= half
        scores[:, 0] = np.log(1 - (share * (sign * t.agrees > 0)).sum(-1))
        sides = Term(links({"side": sign * half * one}), 0.0, links({"side": one}))
        heads.append(
            Head(
                layer,
                f"{name}-{who}",
                f"{name} told by positions of {'this' if sign > 0 else 'the other'} side, older "
                "ones and those that claim too much fainter; what is left of its attention "
                "rests on position 0, which is silent",
                scores,
                links(told),
                links({"belief": sign * size * np.eye(t.board.n_squares)}),
                rule="read",
                terms=(sides, Term((), 1.0, loud)),
            )
        )
    return tuple(heads)


def _need(t: Tables, s: Strengths, layer: int) -> Head:
    """A sigmoid: attention between the position itself and position 0, which has no value."""
    i, later = layer - 1, 1 - t.first
    balance = self_scores(t.board.context)
    balance[:, 0] = 0
    asks = {
        "need": np.full((1, 1), float(s.need_kept[i])),
        "claims": np.full((1, 1), -float(s.need_claims[i])),
    }
    return Head(
        layer,
        "need",
        "rises towards 1 while the claims fall short of one flipping line",
        balance,
        links({"position": later}),
        links({"need": np.ones((1, 1))}),
        rule="need",
        terms=(Term(links(asks), float(s.need_bias[i]), links({"position": later})),),
    )
