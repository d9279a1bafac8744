"""What is a rule worth? A recipe without it, compiled anew and measured."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from comparison.scoring.bench import Bars, Result, choose_threshold, evaluate
from handbuilt.compiler import compile
from handbuilt.programs import Program


@dataclass(frozen=True)
class Ablated:
    """A recipe without a rule; "none" is the whole recipe. says: what is missing."""

    rule: str
    says: str
    result: Result


def cases(whole: Program, rules: Sequence[str]) -> list[tuple[str, str, Program]]:
    """(name, what is missing, program): the whole recipe, then without each rule or part; without
    names, every one of :meth:`Program.ablations`. Raises UnknownRuleError."""
    known = whole.ablations()
    asked = list(dict.fromkeys(rules or known))
    without = [(name, known.get(name, f"no {name}"), whole.without(name)) for name in asked]
    return [("none", "the whole recipe", whole), *without]


def ablate(
    programs: Sequence[tuple[str, str, Program]],
    bench: Sequence[Tensor],
    source: str,
    seed: int,
    bars: Bars,
    device: torch.device,
) -> list[Ablated]:
    """The programs of :func:`cases` on the same games.

    One threshold for all, that of the first, chosen on as many other games: what is lost shows as
    it would in use.
    """
    games = sum(map(len, bench))
    intact = compile(programs[0][2]).to(device)
    tau = choose_threshold(intact, seed, device, games, progress=bars("threshold", games))
    found = []
    for rule, says, rest in programs:
        model, step = compile(rest).to(device), bars(rule, games)
        result = evaluate(rule, model, bench, tau, source, progress=step, keep_errors=False)
        found.append(Ablated(rule, says, result))
    return found
