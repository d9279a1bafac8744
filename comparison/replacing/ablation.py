"""What is a rule worth? A recipe without it, compiled anew and measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from comparison.scoring.bench import Bars, Result, choose_threshold, evaluate
from handbuilt.ablation import KNOCK_OUTS, knock_out, named
from handbuilt.compiler import compile_rules
from handbuilt.strengths import load_strengths


@dataclass(frozen=True)
class Ablated:
    """A recipe without a rule; "none" is the whole recipe. says: what was silenced."""

    rule: str
    says: str
    result: Result


def ablated(
    recipe: str,
    rules: Sequence[str],
    bench: Sequence[Tensor],
    source: str,
    seed: int,
    bars: Bars,
    device: torch.device,
) -> list[Ablated]:
    """The recipe whole, then without one rule after the other, on the same games.

    One threshold for all, the whole recipe's, chosen on as many other games: what is lost shows as
    it would in use. Raises UnknownRuleError.
    """
    intact, games = load_strengths(recipe), sum(map(len, bench))
    cases = [("none", "the whole recipe", intact)]
    cases += [(rule, KNOCK_OUTS[rule][0], knock_out(intact, rule)) for rule in named(rules)]
    whole = compile_rules(intact)[0].eval().to(device)
    tau = choose_threshold(whole, seed, device, games, progress=bars("threshold", games))
    found = []
    for rule, says, strengths in cases:
        model = compile_rules(strengths)[0].eval().to(device)
        step = bars(rule, games)
        result = evaluate(rule, model, bench, tau, source, progress=step, keep_errors=False)
        found.append(Ablated(rule, says, result))
    return found
