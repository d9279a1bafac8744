"""All layers in order."""

from dataclasses import replace

import torch
from torch import Tensor

from handbuilt.interpreter import claims, first_guess, legality, openings, passes, reading
from handbuilt.interpreter.facts import Facts
from handbuilt.interpreter.state import Trace
from handbuilt.strengths import Strengths


class Interpreter:
    """Runs the rules on tokens int64 [B, T <= context], in the strengths' dtype, on their device,
    for the board and the layers that the strengths are for."""

    def __init__(self, strengths: Strengths) -> None:
        self.strengths = strengths
        self.plan = strengths.plan

    def sides(self, layer: int, found: Tensor) -> Tensor:
        """[B, T]: the sides by which a layer from 1 on, and those behind it, hear: +1 black, -1
        white, 0 at position 0. Here they are as ``found`` by the layer before; a study may tell
        others.
        """
        return found

    def __call__(self, tokens: Tensor, at: Tensor | None = None) -> Trace:
        """Run all layers. ``at``: int64 [B, P], the positions whose logits are wanted, or all."""
        s, plan = self.strengths, self.plan
        facts = Facts.of(tokens, s.geometry, s.run.dtype)
        opening = openings.faded_opening(s, facts)
        heard, layers = first_guess.guess(s, facts), []
        for layer in range(plan.last):
            now = claims.claim(s, layer, heard, facts)
            if layer == plan.look:
                others = passes.lines_elsewhere(s, heard, facts)
                log_odds = passes.pass_log_odds(s, others, now, facts)
            if layer == plan.turn:
                passed = torch.sigmoid(log_odds.logcumsumexp(-1))
                now.side = passes.turn(now.side, passed)
            if layer == plan.first_count:
                first_count = legality.count_first(s, heard, facts, at)
                now.clipped = legality.clip_after(s, heard, facts)
            layers.append(now)
            told = replace(now, side=self.sides(layer + 1, now.side))
            heard = reading.hear(s, layer + 1, told, facts, opening)
        last_count = legality.count_last(s, heard, facts, first_count, at)
        return Trace(
            facts=facts,
            layers=layers,
            others=others,
            pass_log_odds=log_odds,
            passed=passed,
            last_belief=heard.belief,
            first_count=first_count,
            last_count=last_count,
            logits=legality.logits(s, last_count, facts, at),
        )
