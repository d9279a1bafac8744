"""The neurons of every layer but the last: brackets, what is clipped, and forgetting."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from handbuilt.programs.first_guess import most_near
from handbuilt.programs.records import Array, Link, Neurons, capped, links
from handbuilt.programs.tables import GATE, Tables, speaking
from handbuilt.strengths import SOURCES, VOICES, Strengths

#: Added to what a linear neuron reads, so that it never falls silent; no larger than need be, as
#: large numbers round.
HEADROOM = {"message": 16.0, "clipped": 16.0, "claims": 32.0}
#: What is forgotten at each layer's end: in layer 0, what its heads left there.
OLD = {"seen": "message", "nearby": "clipped"}
SENTENCES = (
    "the move closes {}: both ends mine, all between theirs, so all between flips",
    "takes back what bracket.{} claims too much",
    "takes back what bracket.{} claims because its run is beyond doubt",
    "takes back what bracket.{} claims because its end is beyond doubt",
)


@dataclass(frozen=True)
class Surplus:
    """What layer 0's heads leave on the move's own square, [T] each: it depends on the position
    alone, so neurons can discount it."""

    belief: Array
    seen: Array


def claim(t: Tables, s: Strengths, layer: int, surplus: Surplus) -> tuple[Neurons, ...]:
    """Brackets: open if the move is an end and no blank inside."""
    found: list[Neurons] = []
    for voice, (name, sentence) in enumerate(zip(VOICES, SENTENCES, strict=True)):
        claimed = s.claim[layer, voice].numpy()[t.length_of, None]
        holds = s.holds[layer, voice].numpy()[t.length_of, None]
        family = Neurons(
            layer,
            "bracket" if name == "claim" else f"bracket-{name}",
            t.bracket_names,
            sentence,
            _evidence(t, s, layer, voice, surplus),
            s.bias[layer, voice].numpy()[t.length_of] - GATE,
            (
                Link("message", float(s.flip[layer]) * claimed * t.runs),
                Link("message", holds * t.ends, "ends"),
                Link("claims", claimed),
            ),
            rule="bracket" if name == "claim" else "beyond-doubt",
        )
        found += speaking(family)
    return tuple(found)


def _evidence(
    t: Tables, s: Strengths, layer: int, voice: int, surplus: Surplus
) -> tuple[Link, ...]:
    """What a voice of every bracket reads: discs, blanks, the move, the need, and the position."""
    own_end = (t.ends @ t.squares.T).T  # [P, N]
    within = ((t.runs + t.ends) @ t.squares.T).T
    discs = t.heard_of_discs(s.run[layer, voice], s.end[layer, voice])
    late = float(s.late[layer, voice]) * t.late
    position = (late - GATE * t.first) @ np.ones((1, len(t.bracket_names)))
    need = Link("need", s.forgive[layer, voice].numpy()[None, t.length_of], "need")
    reads = {"belief": discs["belief"], "played": GATE * own_end}
    if layer:
        reads |= {"clipped": discs["clipped"], "message": discs["message"]}
        return (*links({**reads, "position": position, "blank": -GATE * within}), need)
    # A taken square shows ``taken``; the move's own square, one of the ends, shows the surplus of
    # three kernels.
    scale = _first_gate(s) * t.board.context
    end = s.end[layer, voice, :, SOURCES.index("belief")].numpy()
    position = (
        position
        - scale * np.outer(t.taken, within.sum(0))
        - scale * (surplus.seen - t.taken)[:, None]
        - np.outer(surplus.belief, end[t.length_of])
    )
    reads |= {"nearby": discs["clipped"], "seen": scale * (t.squares.T @ within)}
    return (*links({**reads, "position": position}), need)


def _first_gate(s: Strengths) -> float:
    """What closes layer 0's brackets: as small as their evidence allows, as it rounds less.

    There a square is at most what its one event or the start says, and what moves near it say.
    """
    largest = max(float(s.owner.max()), 0.0, (s.geometry.context - 1) * float(s.start))
    bar = s.bias[0] + s.forgive[0] * s.need_start + s.late[0, :, None].clamp(min=0)
    for source, most in enumerate((np.exp(largest), most_near(s))):
        bar = bar + most * _most_evidence(s.run[0, :, :, source], s.end[0, :, :, source])
    return float(bar.max())


def _most_evidence(run: Tensor, end: Tensor) -> Tensor:
    """[..., lengths]: how much a bracket's discs can add at most, if none is larger than 1."""
    lengths, depths = run.shape[-2:]
    at_depth = torch.zeros(lengths, depths, dtype=torch.int64)
    for length in range(1, lengths + 1):
        for distance in range(length):
            at_depth[length - 1, min(distance, length - 1 - distance)] += 1
    return (run.abs() * at_depth).sum(-1) + end.abs()


def clip_first(t: Tables, s: Strengths, surplus: Surplus) -> tuple[Neurons, ...]:
    """Layer 0: the first guess, clipped to -1..1.

    Split by sign, so that gates on blank squares and the move's own leave 0 behind. The move's own
    square shows a surplus, as if it were taken many times.
    """
    by_owner, by_moves_nearby = s.clip[0, :2].tolist()
    every = np.eye(t.board.n_squares)
    scale, taken = GATE * t.board.context, t.squares.T @ t.squares
    shut = GATE + scale * float(surplus.seen.max())
    found: list[Neurons] = []
    for name, sign in (("mine", 1), ("theirs", -1)):
        reads = {
            "belief": sign * by_owner * every,
            "nearby": sign * by_moves_nearby * every,
            "played": -shut * t.squares,
            "seen": scale * taken,
            "position": -scale * np.outer(t.taken, taken.sum(0)) - shut * t.first,
        }
        family = Neurons(
            0,
            f"clip-{name}",
            t.board.labels,
            f"{{}} was taken before, likely {name}, by who put it there and moves nearby",
            links(reads),
            np.zeros(len(every)),
            links({"clipped": sign * every}),
            rule="clip",
        )
        found += capped(family)
    return tuple(found)


def clip(t: Tables, s: Strengths, layer: int) -> tuple[Neurons, ...]:
    """Layers between: the belief and what was clipped one layer ago, clipped to -1..1."""
    weights, every = s.clip[layer].tolist(), np.eye(t.board.n_squares)
    by_source = zip(SOURCES, weights, strict=True)
    return capped(
        Neurons(
            layer,
            "clip",
            t.board.labels,
            "how surely {} is mine, sharpened and clipped",
            links({name: 0.5 * weight * every for name, weight in by_source}),
            np.full(len(every), 0.5),
            links({"clipped": 2 * every}),
            rule="clip",
            constants={"clipped": -1.0},
        )
    )


def forget(t: Tables, s: Strengths, layer: int) -> tuple[Neurons, ...]:
    """Linear neurons that take the old values away."""
    found = []
    for name in OLD if layer == 0 else HEADROOM:
        members = ("",) if name == "claims" else t.board.labels
        size, room = np.eye(len(members)), HEADROOM[OLD.get(name, name)]
        if name == "nearby":
            room = max(room, most_near(s))
        found.append(
            Neurons(
                layer,
                f"forget-{name}",
                members,
                f"the old {name}" if members == ("",) else f"takes away the old {name} about {{}}",
                links({name: size}),
                np.full(len(members), room),
                links({name: -size}),
                constants={name: room},
            )
        )
    return tuple(found)
