"""What the explorer shows: which games, and all that each model makes of them, as plain data.

Logits are float64's, and what is kept of them are whole hundredths of a nat. The parts that made a
logit are rounded so that they still add up to it: no part is off by a hundredth. What is
decoded of a disc is kept in hundredths away from 0, so that its sign, the colour, is never lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import log
from typing import Any

import torch
from torch import Tensor

from comparison.reporting.page.exhibits import Exhibit, Order
from comparison.reporting.page.mistakes import BENCH, mistakes
from extracted_rules.files import KeptData
from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.geometry import STANDARD, Geometry
from extracted_rules.othello.notation import (
    format_transcript,
    parse_transcript,
    squares_from_tokens,
    tokens_from_squares,
)
from handbuilt.analysis.contributions import Attribution, Parts
from handbuilt.analysis.names import part_names

#: Parts that are named of what made a logit, the largest.
LISTED = 8
#: Nats, and for what is decoded of discs 1 stands for certainty.
STEP = 0.01
OPENINGS = {
    "The perpendicular opening": "f5d6c3d3c4f4f6f3e6e7",
    "The diagonal opening": "f5f6e6f4e3c5c4e7c6d3",
}


@dataclass(frozen=True)
class Seen:
    """What a model makes of a game, by position (moves seen less one).

    logits: whole numbers of STEP, by token - 1; decoded: by layer and square, whole numbers of
    STEP, above 0 black; why: for every blank playable square, in the order of tokens, ``[constant,
    [rest of layer 0, 1, ...], part, its share, part, its share, ...]``, which add up to the logit.
    """

    logits: list[list[int]]
    decoded: list[list[list[int]]]
    why: list[list[list[Any]]]


@dataclass(frozen=True)
class Shown:
    """A game to be shown. kind: a heading in the list of games; note: why it is there; ply: the one
    to predict at which it opens; square: the one pointed at, or -1."""

    kind: str
    title: str
    note: str
    tokens: Tensor  # uint8 [plies]
    ply: int
    square: int = -1


# --------------------------------------------------------------------------- which games


def telling_errors(order: Order) -> list[Shown]:
    """The games of the errors that tell most, in the order in which they are explained."""
    bench, labels = BENCH * order.games, order.geometry.labels
    shown = []
    for mistake in mistakes(order):
        error, square = mistake.error, mistake.square
        note = (
            f"Chosen as {error.why}, on {bench:,} random games (seed {order.seed}): game "
            f"{error.game} (from 0). {labels[square]} is the likeliest move of "
            f"{mistake.exhibit.name}, and it is illegal; in error: {', '.join(error.errs)}."
        )
        title = f"{error.why}: ply {error.ply}, {labels[square]}"
        tokens = torch.tensor(error.tokens, dtype=torch.uint8)
        shown.append(Shown("Errors", title[0].upper() + title[1:], note, tokens, error.ply, square))
    return shown


def openings(geometry: Geometry) -> list[Shown]:
    """Two ways to begin; on a smaller board as far as they have room there."""
    usual, inwards = Geometry(STANDARD), (STANDARD - geometry.size) // 2
    shown = []
    for title, moves in OPENINGS.items():
        squares = []
        for square in parse_transcript(moves):
            row, column = (place - inwards for place in divmod(square, usual.size))
            if not (0 <= row < geometry.size and 0 <= column < geometry.size):
                break
            squares.append(geometry.size * row + column)
        (tokens,) = tokens_from_squares([squares], geometry.size)
        note = f"{title}: {format_transcript(squares, geometry.size)}."
        shown.append(Shown("Openings", title, note, tokens, ply=3))
    return shown


def given(games: Tensor, source: str) -> list[Shown]:
    """Games uint8 [n, plies] of the user's own."""
    return [
        Shown(source, f"{source}: game {n}", f"Game {n} of {source}.", tokens.cpu(), ply=2)
        for n, tokens in enumerate(games, start=1)
    ]


# --------------------------------------------------------------------------- what is known of them


def explore(order: Order, games: Sequence[Shown]) -> dict[str, Any]:
    """All that the explorer shows, as data: ``"step"``, ``"size"`` of the board, ``"models"`` and
    ``"games"``.

    What is known of each game is kept on disk, and a process that was killed goes on. Raises
    KeptError or OSError.
    """
    folder = order.folder("explorer", order.games)
    folder.mkdir(parents=True, exist_ok=True)
    step, board = order.bar("explorer", len(order.exhibits) * len(games)), order.geometry.size
    known = [_common(game, board) for game in games]
    models = []
    for number, exhibit in enumerate(order.exhibits):
        seer = Seer(exhibit)
        seen = []
        for game, about in zip(games, known, strict=True):
            name = format_transcript(squares_from_tokens(game.tokens, board), board)
            kept = KeptData(folder / f"{name}-{number}.msgpack", {}, Seen)
            seen.append(kept.once(partial(seer.see, game.tokens)))
            about["models"].append(seen[-1])
            step(1)
        models.append(_about(exhibit, seen))
    return {"step": STEP, "size": board, "models": models, "games": known}


def _common(game: Shown, board: int) -> dict[str, Any]:
    """What is true of a game, whoever looks at it: boards and legal moves after 0, 1, ... moves, a
    sign a square each, with ``x`` for black, ``o`` for white, ``+`` for a legal move."""
    played = replay(game.tokens[None], board=board)
    seen = positions_of(played)
    return {
        "kind": game.kind,
        "title": game.title,
        "note": game.note,
        "ply": min(game.ply, seen + 1),
        "square": game.square,
        "moves": squares_from_tokens(game.tokens, board)[:seen],
        "boards": [_drawn(board) for board in played.boards[0, : seen + 1]],
        "legal": ["".join(".+"[int(s)] for s in legal) for legal in played.legal[0, : seen + 1]],
        "movers": played.movers[0, : seen + 1].tolist(),
        "passes": played.passes[0, : seen + 1].nonzero().squeeze(-1).tolist(),
        "models": [],
    }


def positions_of(played: Replay) -> int:
    """The positions of a single game at which there is a move to predict, within the context."""
    return int((played.movers[0, 1 : played.geometry.context + 1] != 0).sum())


def _drawn(board: Tensor) -> str:
    return "".join(".xo"[int(disc)] for disc in board)


class Seer:
    """What one model makes of a game."""

    def __init__(self, exhibit: Exhibit) -> None:
        self.device, self.reader = exhibit.model.device, exhibit.reader
        self.attribution = Attribution(exhibit.model)

    @torch.inference_mode()
    def see(self, tokens: Tensor) -> Seen:
        """Of a game uint8 [plies]."""
        model = self.attribution.model
        geometry = model.geometry
        played = replay(tokens[None].to(self.device), board=geometry.size)
        positions = positions_of(played)
        cache = self.attribution.run(played.tokens[0, :positions])
        layers = range(model.shape.n_layers)
        streams = torch.stack([cache[f"blocks.{layer}.hook_resid_post"] for layer in layers])
        # [layers, T, squares]
        decoded = self.reader.decode(streams, played).values[:, 0].double().cpu()
        away_from_zero = (decoded.sign() * (decoded.abs() / STEP).ceil()).to(torch.int64)
        logits, why = [], []
        for position in range(positions):
            parts = self.attribution.parts(cache, position)
            logits.append((parts.logits.cpu() / STEP).round().to(torch.int64).tolist())
            blank = played.boards[0, position + 1, list(geometry.playable)] == 0
            why.append(list(why_logits(parts, blank)))
        return Seen(logits, away_from_zero.transpose(0, 1).tolist(), why)


def why_logits(parts: Parts, blank: Tensor) -> Iterator[list[Any]]:
    """What made the logits of some moves, bool [tokens - 1], as :class:`Seen` has it."""
    by_layer = torch.cat([parts.heads, parts.neurons], 1)[..., blank].cpu()  # [layers, parts, n]
    flat = by_layer.flatten(0, 1)
    largest = flat.abs().topk(min(LISTED, len(flat)), 0).indices
    listed = flat.gather(0, largest)
    rest = by_layer.sum(1)
    layer = largest // by_layer.shape[1]
    rest = rest.scatter_add(0, layer, -listed)
    constant = parts.constant[blank].cpu()[None]
    whole = rounded_to_sum(torch.cat([constant, rest, listed]))
    layers = len(rest)
    for column, numbers in zip(whole.T.tolist(), largest.T.tolist(), strict=True):
        named = zip(numbers, column[1 + layers :], strict=True)
        kept = sorted((number, share) for number, share in named if share)
        yield [column[0], column[1 : 1 + layers], *(x for pair in kept for x in pair)]


def rounded_to_sum(values: Tensor) -> Tensor:
    """int64 like ``values`` float [n, columns]: whole numbers of STEP that add up to each column's
    rounded sum, none off by a whole step. The largest remainders are rounded up."""
    scaled = values / STEP
    down = scaled.floor()
    left = scaled.sum(0).round() - down.sum(0)
    order = (scaled - down).argsort(dim=0, descending=True, stable=True)
    return (down + (order.argsort(dim=0) < left).to(down)).long()


def _about(exhibit: Exhibit, seen: Sequence[Seen]) -> dict[str, Any]:
    """What is said of a model. names: place, name and sentence by the number of a part, which is
    layer * per_layer + head, or + heads + neuron; of all parts that are listed."""
    shape = exhibit.model.shape
    names, per_layer = part_names(exhibit.model, exhibit.catalogue), shape.n_heads + shape.d_mlp
    used = {n for game in seen for squares in game.why for why in squares for n in why[2::2]}
    said = {}
    for number in sorted(used):
        layer, place = divmod(number, per_layer)
        head = place < shape.n_heads
        part = names.head(layer, place) if head else names.neuron(layer, place - shape.n_heads)
        said[number] = [part.place, part.name, part.sentence]
    reader = exhibit.reader
    return {
        "name": exhibit.name,
        "log_tau": log(exhibit.tau),
        "layers": shape.n_layers,
        "decisive": reader.decisive,
        "read": "named directions" if exhibit.model.is_handbuilt else "linear probes",
        "relative": not exhibit.model.is_handbuilt,
        "per_layer": per_layer,
        "names": said,
    }
