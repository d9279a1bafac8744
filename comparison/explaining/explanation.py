"""Why a model answers as it does at one position: what was found, and how it is told."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import msgspec
import torch
from torch import Tensor

from comparison.explaining.partings import Parting, Told
from extracted_rules.benches.causes import BOARD, COUNTING, SIDE, Cause
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.svg import Picture, side_by_side
from handbuilt.analysis.contributions import Reason

COLOUR = {1: "black", -1: "white", 0: "nobody"}
#: Kinds of neurons that add less than this to a logit are not told of.
LITTLE = 0.05


@dataclass(frozen=True)
class SquareReasons:
    """What made the logit of one square: ``constant + sum of reasons + rest`` is the logit.

    square: its label. by_layer: what the heads and the neurons of each layer add, and with
    ``constant`` all there is. families: the neurons' part of that by layer and kind of neuron,
    (layer, family, sum). rest: what all parts add that are not among the reasons.
    """

    square: str
    logit: float
    constant: float
    by_layer: tuple[tuple[float, float], ...]
    families: tuple[tuple[int, str, float], ...]
    reasons: tuple[Reason, ...]
    rest: float


@dataclass(frozen=True)
class Explanation:
    """A model's answer after some moves, and what made it.

    model: its name; moves: squares played so far; mover: +1 or -1, who truly moves next. board,
    legal: int8 [squares] with +1 black, bool [squares]. logits, log_odds: float64 [moves] by token
    less 1; log p - log tau is above 0 where the model takes a move for legal. decoded: float32
    [layers, squares], the board as decoded after each layer, +1 black; None where nothing reads it,
    as at a hand-built model's first position; decisive: the layer of its last word on the board.
    decoded_mover: who is taken to move next; None where ``decoded`` is. squares: what made the
    logits of the legal squares, of the likeliest and of ``asked``, the square about which the model
    is most wrong. cause, partings: of that; None and empty where it is not wrong.
    """

    model: str
    geometry: Geometry
    moves: tuple[int, ...]
    mover: int
    board: Tensor
    legal: Tensor
    logits: Tensor
    log_odds: Tensor
    decoded: Tensor | None
    decoded_mover: int | None
    decisive: int | None
    asked: int | None
    squares: tuple[SquareReasons, ...]
    cause: Cause | None
    partings: tuple[Parting, ...]

    @property
    def ply(self) -> int:
        """The ply to predict, from 1."""
        return len(self.moves) + 1

    @property
    def top(self) -> int:
        """The square of the likeliest move."""
        return self.geometry.playable[int(self.logits.argmax())]

    @property
    def chief(self) -> SquareReasons:
        """What made the logit of the square asked about, of the likeliest where none is."""
        label = self.geometry.labels[self.top if self.asked is None else self.asked]
        return next(square for square in self.squares if square.square == label)

    @property
    def predicted(self) -> Tensor:
        """bool [squares]: those predicted."""
        return self.by_square(self.log_odds) > 0

    @property
    def final(self) -> Tensor | None:
        """float32 [squares]: the board as decoded after the decisive layer."""
        decoded, decisive = self.decoded, self.decisive
        return None if decoded is None or decisive is None else decoded[decisive]

    def by_square(self, values: Tensor) -> Tensor:
        """float64 [squares] of [moves]; 0 for the centre."""
        found = torch.zeros(self.geometry.n_squares, dtype=torch.float64)
        found[list(self.geometry.playable)] = values
        return found

    def labels(self, squares: Tensor) -> list[str]:
        """Of bool [squares]."""
        return [self.geometry.labels[s] for s in squares.nonzero().flatten().tolist()]

    def lines(self, drawn: bool = True) -> list[str]:
        """The whole explanation in words, with boards of text unless not ``drawn``."""
        return _lines(self, drawn)

    def _repr_html_(self) -> str:
        text = escape("\n".join(self.lines(drawn=False)))
        pictures = side_by_side(*boards(self))
        return f'{pictures}<pre style="white-space:pre-wrap">{text}</pre>'

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; squares by label, discs as -1, 0, 1."""
        labels, playable = self.geometry.labels, self.geometry.playable
        by_label = {
            name: dict(zip((labels[s] for s in playable), values.tolist(), strict=True))
            for name, values in (("logits", self.logits), ("log_odds", self.log_odds))
        }
        return {
            "model": self.model,
            "moves": [labels[s] for s in self.moves],
            "ply": self.ply,
            "mover": self.mover,
            "board": self.board.tolist(),
            "legal": self.labels(self.legal),
            "predicted": self.labels(self.predicted),
            "top": labels[self.top],
            **by_label,
            "decoded": None if self.decoded is None else self.decoded.tolist(),
            "decoded_mover": self.decoded_mover,
            "asked": None if self.asked is None else labels[self.asked],
            "squares": msgspec.to_builtins(self.squares),
            "cause": self.cause.kind if self.cause else None,
            "line": self.cause.line.pattern.name if self.cause and self.cause.line else None,
            "partings": msgspec.to_builtins(self.partings),
        }


# --------------------------------------------------------------------------- in words


def _lines(e: Explanation, drawn: bool) -> list[str]:
    told = [f"{e.model}, before move {e.ply}: {COLOUR[e.mover]} to move", *verdict(e), ""]
    told += [*_boards(e), ""] if drawn else []
    told += _logits(e)
    if e.cause is not None:
        told += ["", *why(e)]
    told += ["", *_reasons(e.chief), ""]
    others = (square for square in e.squares if square is not e.chief)
    return told + [_in_short(square) for square in sorted(others, key=lambda s: -s.logit)]


def verdict(e: Explanation) -> list[str]:
    """What the model answers, and whether it is right."""
    legal = "legal" if bool(e.legal[e.top]) else "ILLEGAL"
    said = [f"The likeliest move is {e.geometry.labels[e.top]}, which is {legal}."]
    for name, squares in (
        ("False positives, predicted and not legal", e.predicted & ~e.legal),
        ("False negatives, legal and not predicted", e.legal & ~e.predicted),
    ):
        if bool(squares.any()):
            said.append(f"{name}: {' '.join(e.labels(squares))}.")
    if len(said) == 1:
        said.append("The predicted squares are the legal ones.")
    return said


def why(e: Explanation) -> list[str]:
    """Why the model is wrong about the square asked about; empty where it is right."""
    if e.asked is None or e.cause is None:
        return []
    label, legal = e.geometry.labels[e.asked], bool(e.legal[e.asked])
    if e.cause.kind == SIDE:
        return [
            f"{label}: the side. It is {COLOUR[e.mover]}'s move, and the decoded board is one on "
            f"which {COLOUR[-e.mover]} moves; passes leave no token."
        ]
    if e.cause.kind == COUNTING:
        state = "is legal" if legal else "is not legal"
        return [
            f"{label}: the counting. The board decoded from the model has it right that {label} "
            f"{state}; it comes nearest by {_line(e)}."
        ]
    assert e.cause.kind == BOARD
    what = "misses" if legal else "imagines"
    return [
        f"{label}: the board. The model {what} {_line(e)}.",
        *(text for parting in e.partings for text in _parting(parting, e)),
    ]


def _line(e: Explanation) -> str:
    if e.cause is None or e.cause.line is None:
        return "no line"
    p, labels = e.cause.line.pattern, e.geometry.labels
    run = " ".join(labels[s] for s in p.run)
    return f"{p.name} ({run} {COLOUR[-e.mover]}, then {labels[p.end]} {COLOUR[e.mover]})"


def _parting(p: Parting, e: Explanation) -> Iterator[str]:
    layers = " ".join(f"{value:+.2f}" for value in p.decoded)
    yield (
        f"  {p.square} is {COLOUR[p.truth]}; after layers 0 to {len(p.decoded) - 1} it is decoded "
        f"as {layers} (black +, white -): wrong for good from layer {p.since} on."
    )
    for told in p.told:
        yield from _told(told, p.square, e)
    for reason in p.parts:
        yield f"    against it {reason.value:.2f}: layer {reason.layer}, {reason.part}"


def _told(told: Told, label: str, e: Explanation) -> Iterator[str]:
    move = f"move {told.ply}, {e.geometry.labels[e.moves[told.ply - 1]]},"
    if told.turned:
        yield f"    {move} turned {label}, and layer {told.layer} claims only {told.claimed:.2f}:"
    else:
        yield (
            f"    {move} did not turn {label}, and layer {told.layer} claims that it did "
            f"({told.claimed:.2f}):"
        )
    for reason in told.parts:
        yield f"      {reason.value:+.2f}  {reason.part}"


def _boards(e: Explanation) -> Iterator[str]:
    """The true board beside the decoded one; discs decoded wrongly are bracketed, legal moves
    dotted."""
    n = e.geometry.size
    head = "   " + " ".join(f" {label[0]}" for label in e.geometry.labels[:n])
    beside = f"      decoded after layer {e.decisive}, wrong discs in brackets"
    yield head if e.final is None else head + beside
    for row in range(n):
        squares = range(n * row, n * row + n)
        text = f" {row + 1}  " + "  ".join(
            _disc(int(e.board[s]), bool(e.legal[s])) for s in squares
        )
        if e.final is not None:
            decoded = (_decoded(int(e.board[s]), float(e.final[s])) for s in squares)
            text += f"      {row + 1} " + "".join(decoded)
        yield text


def _disc(disc: int, legal: bool) -> str:
    return {1: "●", -1: "○", 0: "·" if legal else " "}[disc]


def _decoded(disc: int, value: float) -> str:
    if not disc:
        return "   "
    shown = "●" if value > 0 else "○" if value < 0 else "?"
    return f"[{shown}]" if value * disc <= 0 else f" {shown} "


def _logits(e: Explanation) -> Iterator[str]:
    """The legal moves and whatever is likelier than one of them, with their logits."""
    yield "square   logit   log p - log tau"
    legal = e.legal[list(e.geometry.playable)]
    shown = legal | (e.log_odds > e.log_odds[legal].min().clamp(max=0))
    for move in e.logits.masked_fill(~shown, -torch.inf).argsort(descending=True, stable=True):
        if shown[move]:
            label = e.geometry.labels[e.geometry.playable[move]]
            illegal = "" if legal[move] else "  not legal"
            yield f"  {label}   {e.logits[move]:7.2f}   {e.log_odds[move]:+7.2f}{illegal}"


def _in_short(square: SquareReasons) -> str:
    """A line: what each layer's heads and neurons add."""
    layers = [
        f"{layer}: {heads + neurons:+.2f}"
        for layer, (heads, neurons) in enumerate(square.by_layer)
        if abs(heads + neurons) > LITTLE
    ]
    return f"  {square.square}  {square.logit:6.2f}, by layer {', '.join(layers)}"


def _reasons(square: SquareReasons) -> Iterator[str]:
    yield f"What makes {square.square}'s logit of {square.logit:.2f}:"
    if abs(square.constant) > LITTLE:
        yield f"  {square.constant:+7.2f}  embeddings and constants"
    for layer, (heads, neurons) in enumerate(square.by_layer):
        kinds = [(f, v) for at, f, v in square.families if at == layer and abs(v) > LITTLE]
        if abs(heads) > LITTLE or kinds:
            said = [f"heads {heads:+.2f}"] if abs(heads) > LITTLE else []
            said += [f"{f} {v:+.2f}" for f, v in sorted(kinds, key=lambda k: -abs(k[1]))]
            yield f"  {heads + neurons:+7.2f}  layer {layer}: {', '.join(said)}"
    yield "The strongest of them:"
    for reason in square.reasons:
        yield f"  {reason.value:+7.2f}  layer {reason.layer}, {reason.part}"
    yield f"  {square.rest:+7.2f}  all others"


def boards(e: Explanation) -> list[Picture]:
    """The answer on the true board, and the board decoded from the model, if anything reads it."""
    frame = -1 if e.asked is None else e.asked
    tint = e.by_square(e.log_odds)
    drawn = [
        Picture(e.board, e.legal, f"{e.model}: the answer", tint, likeliest=e.top, frame=frame)
    ]
    if e.final is not None:
        signs = e.final.sign().to(torch.int8)
        wrong = signs != e.board
        count = int(wrong.sum())
        discs = f"{count} disc{'s' * (count != 1)} wrong"
        title = f"decoded after layer {e.decisive}: {discs}"
        drawn.append(Picture(signs, title=title, wrong=wrong, frame=frame))
    return drawn
