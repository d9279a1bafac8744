"""All findings, in the order in which they are shown."""

from collections.abc import Iterable

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

_ALL = (
    *attention.FINDINGS,
    *boards.FINDINGS,
    *circuits.FINDINGS,
    *patterns.FINDINGS,
    *neurons.FINDINGS,
    *logits.FINDINGS,
    *interventions.FINDINGS,
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
