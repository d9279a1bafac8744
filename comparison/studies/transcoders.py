"""What sparsity reaches without names: transcoders in the place of a model's MLPs."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from comparison.scoring.bench import Bars
from comparison.tools.dictionaries import (
    Settings,
    Transcoder,
    activations,
    places,
    train_transcoder,
)
from handbuilt.network.transformer import Block, Keep, OthelloGPT


class Replaced(nn.Module):
    """An MLP's place, with a transcoder in it."""

    def __init__(self, transcoder: Transcoder) -> None:
        super().__init__()
        self.transcoder = transcoder

    def forward(self, x: Tensor, keep: Keep) -> Tensor:
        return self.transcoder(x)


@dataclass(frozen=True)
class Transcoded:
    """A copy of a model with transcoders for MLPs."""

    network: OthelloGPT

    @classmethod
    def of(cls, model: OthelloGPT, transcoders: Mapping[int, Transcoder]) -> "Transcoded":
        network = deepcopy(model)
        for layer, transcoder in transcoders.items():
            block = _block(network, layer)
            with torch.no_grad():  # a transcoder reads what is normalised, without gain and bias
                block.ln2.w.fill_(1)
                block.ln2.b.zero_()
            block.add_module("mlp", Replaced(transcoder))
        return cls(network)

    def output(self, part: str, layer: int, stream: Tensor) -> Tensor:
        """float32 [B, T, d_model]: what an MLP's transcoder adds to the stream before it."""
        assert part == "mlp"
        block = _block(self.network, layer)
        found: Tensor = block.mlp(block.ln2(stream, _as_is), _as_is)
        return found


def _block(network: OthelloGPT, layer: int) -> Block:
    block = network.get_submodule(f"blocks.{layer}")
    assert isinstance(block, Block)
    return block


def _as_is(_: str, value: Tensor) -> Tensor:
    return value


def transcoded(
    model: OthelloGPT, settings: Settings, active: Sequence[int], bar: Bars
) -> dict[int, Transcoded]:
    """By the number of features that are active at a position, a copy of a model. Raises
    MissingLibraryError."""
    layers = range(model.shape.n_layers)
    wanted = [place for layer in layers for place in places(layer)[:2]]
    seen = activations(model, wanted, settings, bar("activations", settings.games))
    step = bar("transcoders", len(active) * len(layers))
    found = {}
    for k in active:
        trained = {}
        for layer in layers:
            read, written, _ = places(layer)
            trained[layer] = train_transcoder(seen[read], seen[written], replace(settings, k=k))
            step(1)
        found[k] = Transcoded.of(model, trained)
    return found
