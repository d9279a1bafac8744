"""Why a model answers as it does at one position: what was found, and how it is told."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import torch
from torch import Tensor

from comparison.explaining.causes import BOARD, COUNTING, SIDE, Cause
from comparison.explaining.contributions import Reason
from comparison.explaining.partings import Parting, Told
from extracted_rules.othello.notation import COLUMNS, LABELS, N_SQUARES, PLAYABLE, TOKEN_OF_SQUARE
from extracted_rules.othello.svg import Picture, side_by_side

COLOUR = {1: "black", -1: "white", 0: "nobody"}
#: Kinds of neurons that add less than this to a logit are not told of.
LITTLE = 0.05


@dataclass(frozen=True)
class SquareReasons:
    """What made the logit of one square: ``constant + sum of reasons + rest`` is the logit.

    by_layer: what the heads and the neurons of each layer add, and with ``constant`` all there is.
    families: the neurons' part of that by layer and kind of neuron, (layer, family, sum). rest:
    what all parts add that are not among the reasons.
    """

    square: int
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
    legal: int8 [64] with +1 black, bool [64]. logits, log_odds: float64 [60] by token - 1; log p -
    log tau is above 0 where the model holds a move for legal. held: float32 [layers, 64], the board
    as the model holds it behind each layer, +1 black; None where nothing reads it, as at a
    hand-built model's first position; decisive: the layer of its last word on the board.
    held_mover: who is held to move next; None where ``held`` is. squares: what made the logits of
    the legal squares, of the likeliest and of ``asked``, the square about which the model is most
    wrong. cause, partings: of that; None and empty where it is not wrong.
    """

    model: str
    moves: tuple[int, ...]
    mover: int
    board: Tensor
    legal: Tensor
    logits: Tensor
    log_odds: Tensor
    held: Tensor | None
    held_mover: int | None
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
        return PLAYABLE[int(self.logits.argmax())]

    @property
    def predicted(self) -> Tensor:
        """bool [64]: the squares held for legal."""
        held = torch.zeros(len(LABELS), dtype=torch.bool)
        held[list(PLAYABLE)] = self.log_odds > 0
        return held

    def of(self, square: int) -> tuple[float, float]:
        """(logit, log odds) of a playable square."""
        move = int(TOKEN_OF_SQUARE[square]) - 1
        return float(self.logits[move]), float(self.log_odds[move])

    def lines(self, drawn: bool = True) -> list[str]:
        """The whole explanation in words, with boards of text unless not ``drawn``."""
        return _lines(self, drawn)

    def _repr_html_(self) -> str:
        text = escape("\n".join(self.lines(drawn=False)))
        pictures = side_by_side(*boards(self))
        return f'{pictures}<pre style="white-space:pre-wrap">{text}</pre>'

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; squares by label, discs as -1, 0, 1."""
        by_label = {
            name: {LABELS[s]: float(x) for s, x in zip(PLAYABLE, values.tolist(), strict=True)}
            for name, values in (("logits", self.logits), ("log_odds", self.log_odds))
        }
        line = self.cause.line if self.cause else None
        return {
            "model": self.model,
            "moves": [LABELS[s] for s in self.moves],
            "ply": self.ply,
            "mover": self.mover,
            "board": self.board.tolist(),
            "legal": _labels(self.legal),
            "predicted": _labels(self.predicted),
            "top": LABELS[self.top],
            **by_label,
            "held": None if self.held is None else self.held.tolist(),
            "held_mover": self.held_mover,
            "asked": None if self.asked is None else LABELS[self.asked],
            "squares": [{**asdict(s), "square": LABELS[s.square]} for s in self.squares],
            "cause": self.cause.kind if self.cause else None,
            "line": line.pattern.name if line else None,
            "partings": [{**asdict(p), "square": LABELS[p.square]} for p in self.partings],
        }


def _labels(squares: Tensor) -> list[str]:
    return [LABELS[s] for s in squares.nonzero().squeeze(-1).tolist()]


# --------------------------------------------------------------------------- in words


def _lines(e: Explanation, drawn: bool) -> list[str]:
    told = [f"{e.model}, before move {e.ply}: {COLOUR[e.mover]} to move", *verdict(e), ""]
    told += [*_boards(e), ""] if drawn else []
    told += _logits(e)
    if e.cause is not None:
        told += ["", *why(e)]
    chief = e.top if e.asked is None else e.asked
    told += [""]
    for square in sorted(e.squares, key=lambda s: (s.square != chief, -s.logit)):
        told += [*_reasons(square), ""] if square.square == chief else [_in_short(square)]
    return told


def verdict(e: Explanation) -> list[str]:
    """What the model answers, and whether it is right."""
    legal = "legal" if bool(e.legal[e.top]) else "ILLEGAL"
    said = [f"The likeliest move is {LABELS[e.top]}, which is {legal}."]
    for name, squares in (
        ("Held for legal, and not", e.predicted & ~e.legal),
        ("Legal, and not held so", e.legal & ~e.predicted),
    ):
        if bool(squares.any()):
            said.append(f"{name}: {_list(squares)}.")
    if len(said) == 1:
        said.append("The squares held for legal are the legal ones.")
    return said


def _list(squares: Tensor) -> str:
    return " ".join(LABELS[s] for s in squares.nonzero().squeeze(-1).tolist())


def why(e: Explanation) -> list[str]:
    """Why the model is wrong about the square asked about; empty where it is right."""
    if e.asked is None or e.cause is None:
        return []
    label, legal = LABELS[e.asked], bool(e.legal[e.asked])
    line = e.cause.line
    named = f"{line.pattern.name} ({_in_words(e)})" if line else "no line"
    if e.cause.kind == SIDE:
        return [
            f"{label}: the side. It is {COLOUR[e.mover]}'s move, and the model's board is that of "
            f"{COLOUR[-e.mover]}'s; passes leave no token."
        ]
    if e.cause.kind == COUNTING:
        state = "is legal" if legal else "is not legal"
        return [
            f"{label}: the counting. The board that the model holds has it right that {label} "
            f"{state}; it comes nearest by {named}."
        ]
    assert e.cause.kind == BOARD
    what = "misses" if legal else "imagines"
    return [
        f"{label}: the board. The model {what} {named}.",
        *(text for parting in e.partings for text in _parting(parting, e)),
    ]


def _in_words(e: Explanation) -> str:
    assert e.cause is not None
    assert e.cause.line is not None
    p = e.cause.line.pattern
    run = " ".join(LABELS[s] for s in p.run)
    return f"{run} {COLOUR[-e.mover]}, then {LABELS[p.end]} {COLOUR[e.mover]}"


def _parting(p: Parting, e: Explanation) -> Iterator[str]:
    label = LABELS[p.square]
    layers = " ".join(f"{value:+.2f}" for value in p.held)
    yield (
        f"  {label} is {COLOUR[p.truth]}; behind layers 0 to {len(p.held) - 1} it is held "
        f"{layers} (black +, white -): wrong for good from layer {p.since} on."
    )
    for told in p.told:
        yield from _told(told, label, e)
    for reason in p.parts:
        yield f"    against it {reason.value:.2f}: layer {reason.layer}, {_part(reason)}"


def _told(told: Told, label: str, e: Explanation) -> Iterator[str]:
    move = f"move {told.ply}, {LABELS[e.moves[told.ply - 1]]},"
    if told.turned:
        yield f"    {move} turned {label}, and layer {told.layer} claims only {told.claimed:.2f}:"
    else:
        yield (
            f"    {move} did not turn {label}, and layer {told.layer} claims that it did "
            f"({told.claimed:.2f}):"
        )
    for reason in told.parts:
        yield f"      {reason.value:+.2f}  {_part(reason)}"


def _part(reason: Reason) -> str:
    said = f": {reason.part.sentence}" if reason.part.sentence else ""
    return f"{reason.part.name}{said}"


def _boards(e: Explanation) -> Iterator[str]:
    """The true board beside the one held; discs held wrongly are bracketed, legal moves dotted."""
    beside = e.held is not None and e.decisive is not None
    head = "   " + " ".join(f" {c}" for c in COLUMNS)
    yield f"{head}      held behind layer {e.decisive}, wrong discs in brackets" if beside else head
    for row in range(8):
        true = [_disc(int(e.board[s]), bool(e.legal[s])) for s in range(8 * row, 8 * row + 8)]
        text = f" {row + 1}  " + "  ".join(true)
        if beside:
            assert e.held is not None
            assert e.decisive is not None
            text += f"      {row + 1} " + "".join(
                _held(int(e.board[s]), float(e.held[e.decisive, s]))
                for s in range(8 * row, 8 * row + 8)
            )
        yield text


def _disc(disc: int, legal: bool) -> str:
    return {1: "●", -1: "○", 0: "·" if legal else " "}[disc]


def _held(disc: int, value: float) -> str:
    if not disc:
        return "   "
    shown = "●" if value > 0 else "○" if value < 0 else "?"
    return f"[{shown}]" if value * disc <= 0 else f" {shown} "


def _logits(e: Explanation) -> Iterator[str]:
    """The legal moves and whatever is likelier than one of them, with their logits."""
    yield "square   logit   log odds of being held for legal"
    least = min(e.of(s)[1] for s in e.legal.nonzero().squeeze(-1).tolist())
    shown = [s for s in PLAYABLE if bool(e.legal[s]) or e.of(s)[1] > min(least, 0)]
    for square in sorted(shown, key=lambda s: -e.of(s)[0]):
        logit, odds = e.of(square)
        legal = "" if bool(e.legal[square]) else "  not legal"
        yield f"  {LABELS[square]}   {logit:7.2f}   {odds:+7.2f}{legal}"


def _in_short(square: SquareReasons) -> str:
    """A line: what each layer's heads and neurons add."""
    layers = [
        f"{layer}: {heads + neurons:+.2f}"
        for layer, (heads, neurons) in enumerate(square.by_layer)
        if abs(heads + neurons) > LITTLE
    ]
    return f"  {LABELS[square.square]}  {square.logit:6.2f}, by layer {', '.join(layers)}"


def _reasons(square: SquareReasons) -> Iterator[str]:
    yield f"What makes {LABELS[square.square]}'s logit of {square.logit:.2f}:"
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
        yield f"  {reason.value:+7.2f}  layer {reason.layer}, {_part(reason)}"
    yield f"  {square.rest:+7.2f}  all others"


def boards(e: Explanation) -> list[Picture]:
    """The answer on the true board, and the board that the model holds, if anything reads it."""
    tint = torch.zeros(N_SQUARES, dtype=torch.float64)
    tint[list(PLAYABLE)] = e.log_odds
    frame = -1 if e.asked is None else e.asked
    drawn = [
        Picture(e.board, e.legal, f"{e.model}: the answer", tint, likeliest=e.top, frame=frame)
    ]
    if e.held is not None and e.decisive is not None:
        held = e.held[e.decisive]
        drawn.append(
            Picture(
                held.sign().to(torch.int8),
                title=f"held behind layer {e.decisive}",
                wrong=held.sign() != e.board,
                frame=frame,
            )
        )
    return drawn
