"""The rules that this project's catalogue gives neurons, as claims."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from comparison.reading.probes import fit_probes
from comparison.replacing.extraction import Settings, extract
from comparison.testbed.result import Claim, Found, about
from handbuilt.network.transformer import OthelloGPT


def claims(model: OthelloGPT, games: int, seed: int) -> Found:
    """Of the neurons whose best rule is a condition on the board; found on some games, checked on
    as many, through probes of others."""
    probes = fit_probes(model, games, seed)
    settings = Settings(games, games, seed)
    with TemporaryDirectory() as work:
        catalogue = extract(model, "model", probes, settings, Path(work))
    found = (Claim(n.layer, n.neuron, n.rule, n.core_parts) for n in catalogue.neurons if n.parts)
    return Found(replace(about(model), claims=tuple(found)), {})
