"""The last two layers: the board after the move, the lines on it, and the logits they make."""

import torch
from torch import Tensor

from extracted_rules.othello.geometry import Geometry
from handbuilt.interpreter.brackets import (
    bracket_lengths,
    bracket_matrices,
    ends_gate,
    line_evidence,
)
from handbuilt.interpreter.facts import Facts, pick
from handbuilt.interpreter.openings import book
from handbuilt.interpreter.plies import late_at
from handbuilt.interpreter.state import Layer
from handbuilt.strengths import LINE_VOICES, Strengths

#: Logit of an occupied square.
OCCUPIED_LOGIT = -1e3


def clip_after(s: Strengths, heard: Layer, facts: Facts) -> Tensor:
    """[B, T, squares]: the board after the move, clipped, with the flips of the layer before."""
    after = s.after_placed * facts.placed
    for weight, values in zip(s.after, heard.sources, strict=True):
        after = after + weight * values
    return after.clamp(-1, 1) * facts.later[:, None]


def count_first(s: Strengths, heard: Layer, facts: Facts, at: Tensor | None) -> Tensor:
    """[B, P, squares]: the first count of lines that end in each square."""
    lengths = bracket_lengths(facts.board)
    sources = [pick(x, at) for x in heard.sources]
    placed, occupied = pick(facts.placed, at), pick(facts.occupied, at)
    new = _new_disc(facts.board, s.line_placed, placed)
    lines = line_evidence(facts.board, s.line_run, s.line_end, sources, new)
    bias = s.line_bias[lengths] + s.line_late * late_at(at, facts.board.context, occupied)
    fires = (lines + bias + ends_gate(facts.board, occupied)).clamp(min=0)
    ends = bracket_matrices(facts.board)[1].to(fires)
    return (fires * facts.open_lines(at) * s.line[lengths]) @ ends


def count_last(
    s: Strengths, heard: Layer, facts: Facts, first: Tensor, at: Tensor | None
) -> Tensor:
    """[B, P, squares]: the last count, with what is kept of the first, [B, P, squares]."""
    lengths = bracket_lengths(facts.board)
    sources = [pick(x, at) for x in heard.sources]
    placed, occupied = pick(facts.placed, at), pick(facts.occupied, at)
    gate, open_lines = ends_gate(facts.board, occupied), facts.open_lines(at)
    total = torch.zeros_like(open_lines)
    for voice in range(len(LINE_VOICES)):
        new = _new_disc(facts.board, s.last_placed[voice], placed)
        lines = line_evidence(facts.board, s.last_run[voice], s.last_end[voice], sources, new)
        bias = s.last_bias[voice][lengths] + s.last_late[voice] * late_at(
            at, facts.board.context, occupied
        )
        fires = (lines + bias + gate).clamp(min=0)
        total = total + fires * s.last_line[voice][lengths]
        if voice == 0:
            # The same for the mover itself, should the other side have to pass.
            again = s.again_bias[lengths] - s.again_scale[lengths] * lines + gate
            total = total + again.clamp(min=0) * s.again_line[lengths]
    surplus = (first - s.surplus_from).clamp(min=0)
    count = (total * open_lines) @ bracket_matrices(facts.board)[1].to(total)
    count = count + s.first_count * first - s.surplus * surplus
    known = book(facts.board).to(s.run)[facts.first][:, None]
    ply = torch.arange(count.shape[1], device=count.device) if at is None else at
    return torch.where((ply == 0)[..., None], known, count)


def logits(s: Strengths, count: Tensor, facts: Facts, at: Tensor | None) -> Tensor:
    """[B, P, tokens] from the last count [B, P, squares]."""
    scaled = s.logit * count + OCCUPIED_LOGIT * pick(facts.occupied, at)
    by_token = count.new_full((*count.shape[:2], facts.board.n_tokens), OCCUPIED_LOGIT)
    by_token[..., 1:] = scaled[..., facts.board.square_of_token[1:]]
    return by_token


def _new_disc(board: Geometry, weights: Tensor, placed: Tensor) -> Tensor:
    """[B, P, brackets]: what the move's own disc says of a line for the next mover: it may be part
    of the run, mine, but is no end, theirs."""
    runs, ends = (matrix.to(weights) for matrix in bracket_matrices(board))
    of_run, of_end = weights.unbind()
    return placed @ (0.5 * (of_run * runs - of_end * ends).T)
