"""Findings about the board decoded from a model: by layer and ply, and which squares are blank."""

from collections.abc import Iterator

import torch
from torch import Tensor

from comparison.findings.definition import JYLIN, MAAR, Found, Grid, Measure, Value, finding
from comparison.findings.studied import Studied
from comparison.reading.board_reader import BoardReader, DecodedBoards
from comparison.reading.boards import BoardAccuracy
from extracted_rules.benches.intervals import Ratio
from handbuilt.analysis.streams import residuals

#: The control of these findings.
OTHER = "board of another game at the same ply"
UNREAD = "nothing reads this model's board: it has neither names nor probes"
#: Parts of a game that are told apart: its first third, by moves played, and its last one.
EARLY, LATE = "first third of the moves", "last third of the moves"


def decoded(
    studied: Studied, reader: BoardReader
) -> Iterator[tuple[DecodedBoards, Tensor, Tensor]]:
    """(the boards decoded; int8 [B, moves, squares]: the true ones, 0 where the game is over; those
    of other games at the same ply), over the games seen, as they are decoded everywhere."""
    played = studied.seen.played
    truth = played.boards * (played.movers != 0)[..., None]
    truth = truth[:, 1 : studied.model.geometry.context + 1]
    others, done = truth.roll(1, 0), 0
    for streams, played in residuals(studied.model, studied.seen.tokens):
        read = reader.decode(streams, played)
        part = slice(done, done + len(played.tokens))
        done = part.stop
        truth[part, : read.first] = 0
        yield read, truth[part], others[part]


@finding(
    "boards",
    "The decoded board gets better from layer to layer, and worse from ply to ply.",
    MAAR,
    *(
        Measure(name, "", OTHER, True, 1)
        for name in (
            "first layer",
            "middle",
            f"middle, {EARLY}",
            f"middle, {LATE}",
            "last",
        )
    ),
)
def by_layer_and_ply(studied: Studied) -> Found:
    """The share of discs decoded rightly, by layer and by the moves played.

    The control is the board of another game at the same ply. "In the middle" is after layer 4 of
    8. A third of the moves is 20 on the usual board.
    """
    reader = studied.reader
    if reader is None:
        return Found(note=UNREAD)
    layers, moves = studied.layers, studied.model.geometry.context
    accuracy = BoardAccuracy.zeros(reader)
    column = torch.arange(moves, device=studied.device) + 1
    third = studied.model.geometry.max_plies // 3
    spans = {"": column > 0, f", {EARLY}": column <= third, f", {LATE}": column > 2 * third}
    places = {"first layer": 0, "middle": min(layers // 2, layers - 1), "last": layers - 1}
    ratios = {
        f"{place}{span}": (Ratio(), Ratio())
        for place in places
        for span in (spans if place == "middle" else [""])
    }
    first = 0
    for read, *truths in decoded(studied, reader):
        accuracy.add((read.signs != truths[0]) & (truths[0] != 0), truths[0])
        first = read.first
        for place, layer in places.items():
            for span, kept in spans.items():
                for ratio, truth in zip(ratios.get(f"{place}{span}", ()), truths, strict=False):
                    disc = (truth != 0) & kept[:, None]
                    right = (read.signs[layer] == truth) & disc
                    ratio.add(right.sum((1, 2)), disc.sum((1, 2)))
    discs = (accuracy.discs_right / accuracy.discs.clamp(min=1))[:, first:]
    picture = Grid(
        tuple(map(tuple, discs.tolist())), "moves seen", "layer", "discs right", 0.0, 1.0, False,
        first + 1,
    )  # fmt: skip
    values = {name: Value(true.rate(), other.rate()) for name, (true, other) in ratios.items()}
    return Found(values, "", picture)


@finding(
    "blank",
    "Which squares are blank is known exactly, and at once.",
    JYLIN,
    *(
        Measure(f"{what} after layer {layer}", "exact" if layer == 0 else "", OTHER, True, 3)
        for layer in range(2)
        for what in ("squares", "boards")
    ),
)
def blank_squares(studied: Studied) -> Found:
    """Which of the playable squares are blank, decoded after layers 0 and 1, by square and by
    whole board.

    Trained models are read through probes, hand-built ones from the directions called "blank". The
    control is the board of another game at the same ply.
    """
    reader = studied.reader
    if reader is None:
        return Found(note=UNREAD)
    moves, playable = studied.model.geometry.context, list(studied.model.geometry.playable)
    there = studied.seen.there.to(studied.device)
    truth = (studied.seen.played.boards[:, 1 : moves + 1] == 0)[..., playable]
    others, goes_on, done = truth.roll(1, 0), there & there.roll(1, 0), 0
    layers = range(min(2, studied.layers))
    ratios = {
        f"{what} after layer {layer}": (Ratio(), Ratio())
        for layer in layers
        for what in ("squares", "boards")
    }
    for streams, played in residuals(studied.model, studied.seen.tokens, layers=layers):
        part = slice(done, done + len(played.tokens))
        done = part.stop
        for layer, blank in enumerate(reader.decode(streams, played, layers).blank[..., playable]):
            for which, (boards, rows) in enumerate(((truth, there), (others, goes_on))):
                right = (blank == boards[part]) & rows[part][..., None]
                asked = rows[part].sum(-1)
                squares, whole = (ratios[f"{w} after layer {layer}"] for w in ("squares", "boards"))
                squares[which].add(right.sum((1, 2)), asked * len(playable))
                whole[which].add(right.all(-1).sum(-1), asked)
    values = {name: Value(true.rate(), other.rate()) for name, (true, other) in ratios.items()}
    return Found(values, "blank is exact by construction" if studied.layout else "")
