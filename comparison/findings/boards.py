"""Findings about the board that a model holds: by layer and ply, and which squares are blank."""

from collections.abc import Iterator

import torch
from torch import Tensor

from comparison.findings.definition import (
    JYLIN,
    MAAR,
    Finding,
    Found,
    Grid,
    Measure,
    Value,
)
from comparison.findings.studied import Studied
from comparison.reading.boards import BoardAccuracy, mover_frame, residuals
from comparison.scoring.intervals import Ratio
from extracted_rules.othello.notation import CONTEXT, PLAYABLE

UNREAD = "nothing reads this model's board: it has neither names nor probes"
#: Where a board counts as early or late: up to so many moves played, more than so many.
EARLY, LATE = 20, 40


def held(studied: Studied) -> Iterator[tuple[list[Tensor], Tensor, Tensor]]:
    """(by layer int8 [B, moves, 64]: the boards that a model holds, +1 mine, -1 theirs, 0 unknown
    or, by probes, empty; the true ones; those of other games at the same ply), over the games seen.

    As in :mod:`comparison.reading`: probes read the board after the move, of all layers; the
    belief directions of a hand-built model hold the board before it, in all layers but the last.
    """
    truth = mover_frame(studied.seen.played)
    truth = truth[:, 1:CONTEXT] if studied.layout else truth[:, 1 : CONTEXT + 1]
    others, done = truth.roll(1, 0), 0
    place = "hook_resid_mid" if studied.layout else "hook_resid_post"
    for streams, played in residuals(studied.model, studied.seen.tokens, place):
        part = slice(done, done + len(played.tokens))
        done = part.stop
        if studied.layout:
            where = studied.layout.directions["belief"]
            boards = [stream[:, 1:, where].sign().to(torch.int8) for stream in streams[:-1]]
        else:
            assert studied.probes is not None
            boards = [studied.probes.read(n, stream)[0] for n, stream in enumerate(streams)]
        yield boards, truth[part], others[part]


def by_layer_and_ply(studied: Studied) -> Found:
    """The share of discs held on the right side, by layer and by the moves played.

    Trained models are read through linear probes, hand-built ones from their belief directions
    (:func:`held`). The control is the board of another game at the same ply. "In the middle" is
    behind layer 4 of 8.
    """
    if studied.layout is None and studied.probes is None:
        return Found(note=UNREAD)
    layers = studied.layers - (studied.layout is not None)
    moves = CONTEXT - (studied.layout is not None)
    accuracy = BoardAccuracy.zeros("", layers, moves, flips=False)
    column = torch.arange(moves) + 1
    spans = {"": column > 0, f", up to {EARLY} moves": column <= EARLY}
    spans[f", more than {LATE} moves"] = column > LATE
    places = {"first layer": 0, "middle": min(studied.layers // 2, layers - 1), "last": layers - 1}
    ratios = {
        f"{place}{span}": (Ratio(), Ratio())
        for place in places
        for span in (spans if place == "middle" else [""])
    }
    for boards, *truths in held(studied):
        for layer, board in enumerate(boards):
            accuracy.add(layer, board, truths[0])
        for place, layer in places.items():
            for span, kept in spans.items():
                for ratio, truth in zip(ratios.get(f"{place}{span}", ()), truths, strict=False):
                    disc = (truth != 0) & kept.to(truth.device)[:, None]
                    right = (boards[layer] == truth) & disc
                    ratio.add(right.sum((1, 2)), disc.sum((1, 2)))
    discs = accuracy.discs_right / accuracy.discs.clamp(min=1)
    first = 2 if studied.layout else 1
    picture = Grid(
        tuple(map(tuple, discs.tolist())), "moves seen", "layer", "discs right", 0, 1, False, first
    )
    values = {name: Value(true.rate(), other.rate()) for name, (true, other) in ratios.items()}
    note = "beliefs before the move, last: of the last layer but one" if studied.layout else ""
    return Found(values, note, picture)


def blank_squares(studied: Studied) -> Found:
    """Which of the 60 playable squares are blank, read behind layers 0 and 1, by square and by
    whole board.

    Trained models are read through probes, hand-built ones from the directions called "blank". The
    control is the board of another game at the same ply.
    """
    if studied.layout is None and studied.probes is None:
        return Found(note=UNREAD)
    there = studied.seen.there.to(studied.device)
    truth = (mover_frame(studied.seen.played)[:, 1 : CONTEXT + 1] == 0)[..., list(PLAYABLE)]
    others, goes_on, done = truth.roll(1, 0), there & there.roll(1, 0), 0
    ratios = {
        f"{what} behind layer {layer}": (Ratio(), Ratio())
        for layer in range(min(2, studied.layers))
        for what in ("squares", "boards")
    }
    for streams, played in residuals(studied.model, studied.seen.tokens):
        part = slice(done, done + len(played.tokens))
        done = part.stop
        for layer, stream in enumerate(streams[:2]):
            if studied.layout:
                blank = stream[..., studied.layout.directions["blank"]] > 0.5
            else:
                assert studied.probes is not None
                blank = (studied.probes.read(layer, stream)[0] == 0)[..., list(PLAYABLE)]
            for which, (boards, rows) in enumerate(((truth, there), (others, goes_on))):
                right = (blank == boards[part]) & rows[part][..., None]
                asked = rows[part].sum(-1)
                squares, whole = (
                    ratios[f"{w} behind layer {layer}"] for w in ("squares", "boards")
                )
                squares[which].add(right.sum((1, 2)), asked * len(PLAYABLE))
                whole[which].add(right.all(-1).sum(-1), asked)
    values = {name: Value(true.rate(), other.rate()) for name, (true, other) in ratios.items()}
    return Found(values, "blank is exact by construction" if studied.layout else "")


OTHER = "board of another game at the same ply"
FINDINGS = (
    Finding(
        "boards",
        "The board that is held gets better from layer to layer, and worse from ply to ply.",
        MAAR,
        tuple(
            Measure(name, "", OTHER, True, 1)
            for name in (
                "first layer",
                "middle",
                f"middle, up to {EARLY} moves",
                f"middle, more than {LATE} moves",
                "last",
            )
        ),
        by_layer_and_ply,
    ),
    Finding(
        "blank",
        "Which squares are blank is known exactly, and at once.",
        JYLIN,
        tuple(
            Measure(f"{what} behind layer {layer}", "exact" if layer == 0 else "", OTHER, True, 3)
            for layer in range(2)
            for what in ("squares", "boards")
        ),
        blank_squares,
    ),
)
