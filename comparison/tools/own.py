"""The project's own: linear probes, names of a transcript as directions, rules of a catalogue as
claims about neurons."""

import tempfile
from pathlib import Path
from typing import Any

from comparison.reading.probes import disc_directions, fit_probes
from comparison.replacing import extraction
from comparison.testbed.result import Claim
from comparison.tools.reading import SHOWING, SHOWN_GAMES, read
from extracted_rules.catalogue import YES_OR_NO, Neuron
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcripts import transcribing
from handbuilt.transcripts.transcript import before_attention

#: Names that a neuron of a transcript reads; the directions do not depend on it.
READS = 1


def probe(model: OthelloGPT, layer: int, games: int, seed: int) -> dict[str, Any]:
    """Where to read discs: ridge regression of the board on the stream. The features are the
    probes' answers, of either sense."""
    place = f"blocks.{layer}.hook_resid_post"
    probes = fit_probes(model, games, seed)
    playable = list(model.geometry.playable)
    discs, blank = probes.towards[layer][:, playable], probes.states[layer][:, playable, 2]
    shown = read(model, place, SHOWN_GAMES, seed, SHOWING)
    said = shown.values @ discs[:-1] + discs[-1]
    return {
        "place": place,
        "role": "read",
        "directions": discs[:-1].T.contiguous(),
        "games": shown.tokens,
        "activations": said.repeat(1, 1, 2).mul_(_senses(said.shape[-1])).clamp(min=0),
    } | ({} if blank.numel() else {})


def _senses(number: int) -> Any:
    import torch

    return torch.cat([torch.ones(number), -torch.ones(number)])
