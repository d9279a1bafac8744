"""Parts of a transcript's network in the place of its model's, on the model's own stream."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from handbuilt.compiler import ZERO
from handbuilt.network.transformer import Block, OthelloGPT
from handbuilt.transcripts.program import network
from handbuilt.transcripts.transcript import Transcript


@dataclass(frozen=True)
class Transcribed:
    """The network of a transcript in the place of its model's parts. basis: float32 [d_model,
    directions], the network's directions in the model's stream."""

    network: OthelloGPT
    basis: Tensor

    @classmethod
    def of(cls, transcript: Transcript, model: OthelloGPT) -> "Transcribed":
        """Raises TranscriptError for a transcript of another model."""
        return cls(network(transcript, model), transcript.basis.float().to(model.device))

    @cached_property
    def _back(self) -> Tensor:
        back: Tensor = torch.linalg.pinv(self.basis)
        return back

    def output(self, part: str, layer: int, stream: Tensor) -> Tensor:
        """float32 [B, T, d_model]: what a part adds to the model's stream before it."""
        block = self.network.get_submodule(f"blocks.{layer}")
        assert isinstance(block, Block)
        own = torch.nn.functional.pad(stream @ self.basis, (len(ZERO.members), 0))
        if part == "attention":
            out = block.attn(block.ln1(own, _as_is), _as_is)
        else:
            out = block.mlp(block.ln2(own, _as_is), _as_is)
        found: Tensor = out[..., len(ZERO.members) :] @ self._back
        return found


def _as_is(_: str, value: Tensor) -> Tensor:
    return value
