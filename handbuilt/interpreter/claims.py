"""All layers but the last: what brackets claim of a move, what is told of it, what is clipped."""

import torch
from torch import Tensor, nn

from handbuilt.interpreter.brackets import ray_weights
from handbuilt.interpreter.facts import Facts, along, onto
from handbuilt.interpreter.plies import lateness
from handbuilt.interpreter.state import Layer
from handbuilt.strengths import Strengths


def claim(s: Strengths, layer: int, heard: Layer, facts: Facts) -> Layer:
    """Claims, flips, message, and what is clipped."""
    fires = _brackets(s, layer, heard, facts)
    claimed = (fires * s.claim[layer]).sum(-2)
    run = claimed.flip(-1).cumsum(-1).flip(-1)
    flips = onto(nn.functional.pad(run, (0, 1)), facts.rays, facts.board.n_squares)
    held = (fires * s.holds[layer]).sum(-2)
    ends = onto(nn.functional.pad(held, (1, 0)), facts.rays, facts.board.n_squares)
    ends = ends + held.sum((-1, -2))[..., None] * facts.placed
    return Layer(
        belief=heard.belief,
        need=heard.need,
        side=heard.side,
        claims=claimed.sum((-1, -2)),
        flips=flips,
        clipped=_clip(s, layer, heard, facts),
        message=s.flip[layer] * flips + ends,
    )


def _brackets(s: Strengths, layer: int, heard: Layer, facts: Facts) -> Tensor:
    """[B, T, 8, voices, lengths]: how much each neuron fires for a bracket from the move."""
    evidence = torch.zeros(())
    for source, values in enumerate(heard.sources):
        weights = ray_weights(s.run[layer, :, :, source], s.end[layer, :, :, source])
        on_rays = along(values, facts.rays)
        evidence = evidence + torch.einsum("btdk,vnk->btdvn", on_rays, weights)
        # The move's own square is an end too; what is believed of it comes from its brackets.
        own = (values * facts.placed).sum(-1)
        evidence = evidence + own[..., None, None, None] * s.end[layer, :, :, source]
    bar = s.bias[layer] + s.forgive[layer] * heard.need[..., None, None]
    late = lateness(facts.board.context)[: len(facts.later)].to(bar.device)
    bar = bar + (s.late[layer] * late[:, None])[..., None].to(bar)
    return (evidence + bar[:, :, None]).clamp(min=0) * facts.possible[..., None, :]


def _clip(s: Strengths, layer: int, heard: Layer, facts: Facts) -> Tensor:
    """[B, T, squares]: the belief and what was clipped one layer ago, clipped to -1..1."""
    clipped = torch.zeros(())
    for weight, values in zip(s.clip[layer], heard.sources, strict=True):
        clipped = clipped + weight * values
    known = facts.later[:, None]
    if layer == 0:
        known = known * (facts.occupied - facts.placed)
    return clipped.clamp(-1, 1) * known
