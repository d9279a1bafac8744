"""The last two layers: the board after the move, the lines on it, and the unembedding."""

import numpy as np
from torch import Tensor

from extracted_rules.othello.notation import LABELS, N_SQUARES, PLAYABLE, token_of
from extracted_rules.othello.patterns import BRACKETS
from handbuilt.compiler.brackets import (
    BRACKET_NAMES,
    ENDS,
    LENGTH_OF,
    RUNS,
    heard_of_discs,
    one_each,
)
from handbuilt.compiler.plies import FIRST, LATE
from handbuilt.compiler.state import PLAYABLE_LABELS, SQUARES
from handbuilt.interpreter.brackets import ENDS_GATE
from handbuilt.interpreter.legality import OCCUPIED_LOGIT
from handbuilt.interpreter.state import LAST
from handbuilt.strengths import LINE_VOICES, SOURCES, Strengths
from handbuilt.weights import BALLAST, GATE, Array, Weights

#: Added to the count that a linear neuron reads, so that it never falls silent.
COUNT_HEADROOM = 64.0
LEGAL = "{} is a line for the next mover: a blank end, a run of mine, an end of theirs"


def settle_after(w: Weights, s: Strengths) -> None:
    """Layer 6 settles the board after the move, with the flips of layer 5."""
    reads = {
        source: 0.5 * float(weight) * np.eye(N_SQUARES)
        for source, weight in zip(SOURCES, s.after, strict=True)
    }
    reads["placed"] = 0.5 * float(s.after_placed) * SQUARES
    w.capped(
        LAST - 1,
        "settle-after",
        LABELS,
        "how surely {} is mine after the move",
        reads,
        0.5,
        {"settled": 2 * np.eye(N_SQUARES)},
    )
    w.constant(LAST - 1, "settled", -1.0)


def count_first(w: Weights, s: Strengths) -> None:
    """Layer 6 counts the lines that make a square legal."""
    evidence = (s.line_run, s.line_end, s.line_placed)
    late = float(s.line_late)
    _lines(w, LAST - 1, "line", LEGAL, evidence, s.line_bias, s.line, late=late)


def count_last(w: Weights, s: Strengths) -> None:
    """Layer 7 counts once more, keeps a part of layer 6's count and takes back its doubles."""
    for voice, name in enumerate(LINE_VOICES):
        evidence = (s.last_run[voice], s.last_end[voice], s.last_placed[voice])
        sentence = LEGAL if voice == 0 else "takes back what line.{} counts too much"
        bias, late = s.last_bias[voice], float(s.last_late[voice])
        _lines(w, LAST, name, sentence, evidence, bias, s.last_line[voice], late=late)
    _lines(
        w,
        LAST,
        "line-again",
        "{} is a line for the mover itself, should the other side have to pass",
        (s.last_run[0], s.last_end[0], s.last_placed[0]),
        s.again_bias,
        s.again_line,
        -s.again_scale.numpy()[LENGTH_OF],
    )
    w.relu(
        LAST,
        "keep-count",
        PLAYABLE_LABELS,
        "keeps a part of layer 6's count for {}",
        {"count": np.eye(60)},
        COUNT_HEADROOM,
        {"count": (float(s.first_count) - 1) * np.eye(60)},
    )
    w.constant(LAST, "count", (1 - float(s.first_count)) * COUNT_HEADROOM)
    w.relu(
        LAST,
        "second-line",
        PLAYABLE_LABELS,
        "takes back what layer 6 counted for {} beyond one line",
        {"count": np.eye(60)},
        -float(s.surplus_from),
        {"count": -float(s.surplus) * np.eye(60)},
    )


def _lines(
    w: Weights,
    layer: int,
    name: str,
    sentence: str,
    evidence: tuple[Tensor, Tensor, Tensor],
    bias: Tensor,
    line: Tensor,
    scale: Array | float = 1.0,
    late: float = 0.0,
) -> None:
    """A family of lines: a blank end, no blank between, and evidence for the discs."""
    ends, runs = (ENDS @ SQUARES.T).T, (RUNS @ SQUARES.T).T
    run, end, placed = evidence
    of_run, of_end = placed.tolist()
    discs = heard_of_discs(run, end)
    discs["placed"] = 0.5 * SQUARES @ (of_run * RUNS - of_end * ENDS).T
    reads = {subspace: scale * block for subspace, block in discs.items()}
    reads["blank"] = -GATE * runs - ENDS_GATE * ends
    reads["position"] = (late * LATE - GATE * FIRST) @ np.ones((1, len(BRACKETS)))
    bar = bias.numpy()[LENGTH_OF] + ENDS_GATE
    writes = {"count": line.numpy()[LENGTH_OF, None] * ends.T}
    one_each(w, layer, name, BRACKET_NAMES, sentence, reads, bar, writes)


def unembed(w: Weights, s: Strengths) -> None:
    """Logits: a multiple of the count where a square is blank, else OCCUPIED_LOGIT."""
    of_token = np.zeros((len(PLAYABLE), w.shape.d_vocab))
    of_token[range(len(PLAYABLE)), [token_of(square) for square in PLAYABLE]] = 1
    constant = np.full((1, w.shape.d_vocab), OCCUPIED_LOGIT / BALLAST)
    w.unembed(
        {
            "count": float(s.logit) * of_token,
            "blank": -OCCUPIED_LOGIT * of_token,
            "ballast.plus": constant,
        }
    )
