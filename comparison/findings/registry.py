"""All findings, in the order in which they are shown."""

from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path

import torch

from comparison.findings import (
    attention,
    boards,
    circuits,
    interventions,
    logits,
    neurons,
    patterns,
)
from comparison.findings.definition import Finding, Found
from comparison.findings.studied import FindingsError, Studied
from extracted_rules.files import KeptData

_ALL = (
    attention.mine_and_theirs,
    attention.hardly_depends,
    boards.by_layer_and_ply,
    boards.blank_squares,
    circuits.previous_colour,
    patterns.pattern_neurons,
    neurons.flip_rules,
    neurons.clock_neurons,
    neurons.tree_neurons,
    logits.suppress_and_promote,
    logits.accessible_squares,
    logits.last_mlp,
    interventions.benchmark,
    interventions.goes_on,
)
FINDINGS: dict[str, Finding] = {finding.name: finding for finding in _ALL}


def named(names: Iterable[str]) -> list[Finding]:
    """Findings by name, each once. Raises FindingsError."""
    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in FINDINGS:
            raise FindingsError(f"no finding is called {name!r}; there are {', '.join(FINDINGS)}")
    return [FINDINGS[name] for name in wanted]


@torch.inference_mode()
def ask(finding: Finding, studied: Studied) -> Found:
    """What a finding comes to in a model."""
    return finding.find(studied)


def ask_all(
    findings: Iterable[Finding],
    prepare: Callable[[], Studied],
    folder: Path,
    progress: Callable[[int], None],
) -> dict[str, Found]:
    """What findings come to in a model, by name; those that the folder holds were asked before.
    prepare: called once, where any was not. Raises KeptError and OSError."""
    studied, found = cache(prepare), {}
    for finding in findings:
        kept = KeptData(folder / f"{finding.name}.msgpack", {}, Found)
        found[finding.name] = kept.once(partial(_ask_prepared, finding, studied))
        progress(1)
    return found


def _ask_prepared(finding: Finding, prepare: Callable[[], Studied]) -> Found:
    return ask(finding, prepare())
