"""Do names keep their meaning? What each tells of its truth, before each MLP."""

from collections.abc import Mapping

import torch
from torch import Tensor

from extracted_rules.discovery.names import Spread, all_names, kind_of
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.geometry import Geometry
from handbuilt.compiler import ZERO
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcripts.transcribing import Sums
from handbuilt.transcripts.transcript import Transcript, before_mlp


def own(transcript: Transcript, found: Sums, checked: Sums) -> list[Tensor]:
    """By layer, float64 [names]: correlations of a readout that is fitted at that very place, on
    other games than those that it is checked on. Both sums are of the transcribed model."""
    columns = _columns(transcript, found)
    return [
        Spread.of(checked.at[place])
        .only(columns)
        .correlation(Spread.of(found.at[place]).only(columns).fitted())
        for place in _places(found)
    ]


def throughout(transcript: Transcript, checked: Sums) -> list[Tensor]:
    """The same of the transcript's directions, one for all places, in the transcribed model."""
    return _along(transcript, transcript.readouts, checked)


def in_network(transcript: Transcript, network: OthelloGPT, checked: Sums) -> list[Tensor]:
    """The same of the network's own coordinates; ``checked``: of the network."""
    zero, first = network.layout.directions[ZERO.name].start, len(ZERO.members)
    names = len(transcript.about.names)
    directions = torch.zeros(network.shape.d_model, names, dtype=torch.float64)
    directions[first : first + names] = torch.eye(names, dtype=torch.float64)
    directions[zero] -= 1
    return _along(transcript, directions, checked)


def _places(sums: Sums) -> list[int]:
    return [before_mlp(layer) for layer in range((len(sums.at) - 1) // 2)]


def _columns(transcript: Transcript, sums: Sums) -> Tensor:
    """int64: where the transcript's names are among all."""
    every = all_names(Geometry(sums.board))
    return torch.tensor([every.index(name) for name in transcript.about.names])


def _along(transcript: Transcript, directions: Tensor, checked: Sums) -> list[Tensor]:
    columns = _columns(transcript, checked)
    return [
        Spread.of(checked.at[place]).only(columns).correlation(directions)
        for place in _places(checked)
    ]


def table(title: str, names: tuple[str, ...], told: Mapping[str, list[Tensor]]) -> Table:
    """Means over the names of a kind; a column for each of ``told``."""
    kinds = list(dict.fromkeys(kind_of(name) for name in names))
    of_kind = {kind: [n for n, name in enumerate(names) if kind_of(name) == kind] for kind in kinds}
    layers = range(len(next(iter(told.values()))))
    rows = [
        [kind, str(layer), *(f"{float(of[layer][some].mean()):.3f}" for of in told.values())]
        for kind, some in of_kind.items()
        for layer in layers
    ]
    return Table(title, ("names", "layer"), tuple(told), rows)
