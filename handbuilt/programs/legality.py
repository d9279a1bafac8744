"""The last two layers: the board after the move, the lines on it, and the logits they make."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from handbuilt.interpreter.brackets import ENDS_GATE
from handbuilt.interpreter.legality import OCCUPIED_LOGIT
from handbuilt.programs.records import Array, Link, Neurons, capped, links
from handbuilt.programs.tables import GATE, Tables, speaking
from handbuilt.strengths import LINE_VOICES, SOURCES, Strengths

#: Added to the count that a linear neuron reads, so that it never falls silent.
COUNT_HEADROOM = 2.0**6
LEGAL = "{} is a line for the next mover: a blank end, a run of mine, an end of theirs"


def clip_after(t: Tables, s: Strengths, layer: int) -> tuple[Neurons, ...]:
    """Settles the board after the move, with the flips of the layer before."""
    reads = {
        source: 0.5 * float(weight) * np.eye(t.board.n_squares)
        for source, weight in zip(SOURCES, s.after, strict=True)
    }
    reads["placed"] = 0.5 * float(s.after_placed) * t.squares
    return capped(
        Neurons(
            layer,
            "clip-after",
            t.board.labels,
            "how surely {} is mine after the move",
            links(reads),
            np.full(t.board.n_squares, 0.5),
            links({"clipped": 2 * np.eye(t.board.n_squares)}),
            rule="clip",
            constants={"clipped": -1.0},
        )
    )


@dataclass(frozen=True)
class _Lines:
    """A family of lines: how much each disc says, [lengths, ...] as the strengths hold it, where a
    line starts to count, and what it adds. scale: [brackets], of all that is said of discs."""

    name: str
    sentence: str
    run: Tensor
    end: Tensor
    placed: Tensor
    bias: Tensor
    line: Tensor
    rule: str = "line"
    late: float = 0.0
    scale: Array | float = 1.0

    def neurons(self, t: Tables, layer: int) -> tuple[Neurons, ...]:
        """A blank end, no blank between, and evidence for the discs."""
        ends, runs = (t.ends @ t.squares.T).T, (t.runs @ t.squares.T).T
        of_run, of_end = self.placed.tolist()
        discs = t.heard_of_discs(self.run, self.end)
        discs["placed"] = 0.5 * t.squares @ (of_run * t.runs - of_end * t.ends).T
        reads = {name: self.scale * block for name, block in discs.items()}
        reads["blank"] = -GATE * runs - ENDS_GATE * ends
        position = self.late * t.late - GATE * t.first
        reads["position"] = position @ np.ones((1, len(t.bracket_names)))
        return speaking(
            Neurons(
                layer,
                self.name,
                t.bracket_names,
                self.sentence,
                links(reads),
                self.bias.numpy()[t.length_of] + ENDS_GATE,
                links({"count": self.line.numpy()[t.length_of, None] * ends.T}),
                rule=self.rule,
            )
        )


def count_first(t: Tables, s: Strengths, layer: int) -> tuple[Neurons, ...]:
    """Counts the lines that make a square legal."""
    lines = _Lines(
        "line", LEGAL, s.line_run, s.line_end, s.line_placed, s.line_bias, s.line,
        late=float(s.line_late),
    )  # fmt: skip
    return lines.neurons(t, layer)


def count_last(t: Tables, s: Strengths, layer: int) -> tuple[Neurons, ...]:
    """Counts once more, keeps a part of the first count and takes back its doubles."""
    found: list[Neurons] = []
    for voice, name in enumerate(LINE_VOICES):
        sentence = LEGAL if voice == 0 else "takes back what line.{} counts too much"
        lines = _Lines(
            name, sentence, s.last_run[voice], s.last_end[voice], s.last_placed[voice],
            s.last_bias[voice], s.last_line[voice], late=float(s.last_late[voice]),
        )  # fmt: skip
        found += lines.neurons(t, layer)
    again = _Lines(
        "line-again",
        "{} is a line for the mover itself, should the other side have to pass",
        s.last_run[0], s.last_end[0], s.last_placed[0], s.again_bias, s.again_line,
        rule="line-again", scale=-s.again_scale.numpy()[t.length_of],
    )  # fmt: skip
    found += again.neurons(t, layer)
    return (*found, *_first_count(t, s, layer))


def _first_count(t: Tables, s: Strengths, layer: int) -> tuple[Neurons, ...]:
    """What is kept of the first count, and what of it is taken back."""
    every = np.eye(len(t.board.playable))
    keep = Neurons(
        layer,
        "keep-count",
        t.playable_labels,
        "keeps a part of the first count for {}",
        links({"count": every}),
        np.full(len(every), COUNT_HEADROOM),
        links({"count": (float(s.first_count) - 1) * every}),
        constants={"count": (1 - float(s.first_count)) * COUNT_HEADROOM},
    )
    second = Neurons(
        layer,
        "second-line",
        t.playable_labels,
        "takes back what was first counted for {} beyond one line",
        links({"count": every}),
        np.full(len(every), -float(s.surplus_from)),
        links({"count": -float(s.surplus) * every}),
        rule="second-line",
    )
    return keep, second


def logits(t: Tables, s: Strengths) -> tuple[Link, ...]:
    """A multiple of the count where a square is blank, else OCCUPIED_LOGIT, which is their bias."""
    of_token = np.zeros((len(t.board.playable), t.board.n_tokens))
    of_token[:, 1:] = np.eye(len(t.board.playable))
    return links({"count": float(s.logit) * of_token, "blank": -OCCUPIED_LOGIT * of_token})
