"""Knocking rules out: the same recipe with a rule family, a length or a layer silenced."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor

from extracted_rules.errors import UserError
from handbuilt.strengths import CLAIMING, LENGTHS, NEVER, VOICES, Strengths


class UnknownRuleError(UserError):
    """A rule that no recipe has; the message is one sentence."""


def _zero(*names: str) -> Callable[[Strengths], Strengths]:
    return lambda s: replace(s, **{name: torch.zeros_like(getattr(s, name)) for name in names})


def _without(x: Tensor, axis: int, place: int) -> Tensor:
    """x with one entry of an axis set to zero."""
    return x.index_fill(axis, torch.tensor([place]), 0.0)


def _voice(name: str) -> Callable[[Strengths], Strengths]:
    place = VOICES.index(name)
    return lambda s: replace(
        s,
        claim=_without(s.claim, 1, place),
        holds=_without(s.holds, 1, place),
    )


def _length(n: int) -> Callable[[Strengths], Strengths]:
    def silence(s: Strengths) -> Strengths:
        silent = {name: _without(getattr(s, name), 2, n) for name in ("claim", "holds")}
        names = ("other_line", "line", "last_line", "again_line")
        lines = {name: _without(getattr(s, name), -1, n) for name in names}
        return replace(s, **silent, **lines)

    return silence


def _layer(n: int) -> Callable[[Strengths], Strengths]:
    return lambda s: replace(s, claim=_without(s.claim, 0, n), holds=_without(s.holds, 0, n))


#: rule: (what is silenced, how)
KNOCK_OUTS: dict[str, tuple[str, Callable[[Strengths], Strengths]]] = {
    "need": ("doubts are never forgiven", _zero("forgive")),
    "settle": (
        "settled boards stay empty; nothing else is weighed anew",
        _zero("settle", "after", "after_placed"),
    ),
    "near": ("layer 0 does not ask where a move and a disc lie", _zero("near")),
    "cap": ("claims are not capped", _voice("cap")),
    "run-cap": ("what runs say beyond doubt is not taken back", _voice("run-cap")),
    "end-cap": ("what ends say beyond doubt is not taken back", _voice("end-cap")),
    "holds": ("brackets say nothing about their ends", _zero("holds")),
    "overclaim": ("positions that claim too much are heard like others", _zero("overclaim")),
    "needy": ("positions in need are heard like others", _zero("needy")),
    "pass": ("nobody looks for passes", lambda s: replace(s, stuck=s.stuck * 0 - NEVER)),
    "again": ("the mover's own lines do not count", _zero("again_line")),
    "opening": ("the board after the first move is not known by heart", _zero("opening")),
    "first-count": ("layer 6's count of lines is not used", _zero("first_count", "surplus")),
    "surplus": ("a second line counts like the first", _zero("surplus")),
    **{f"length-{n + 1}": (f"no runs of {n + 1}", _length(n)) for n in range(LENGTHS)},
    **{f"layer-{n}": (f"layer {n} claims nothing", _layer(n)) for n in range(CLAIMING)},
}


def named(rules: Iterable[str]) -> list[str]:
    """Rules by name, each once. Raises UnknownRuleError."""
    wanted = list(dict.fromkeys(rules))
    for rule in wanted:
        if rule not in KNOCK_OUTS:
            raise UnknownRuleError(f"no rule is called {rule!r}; there is {', '.join(KNOCK_OUTS)}")
    return wanted


def knock_out(strengths: Strengths, rule: str) -> Strengths:
    """The strengths without a rule. Raises UnknownRuleError."""
    (known,) = named([rule])
    return KNOCK_OUTS[known][1](strengths)
