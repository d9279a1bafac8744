"""Direct logit attribution: what every head and neuron adds to the logits, exactly.

The final LayerNorm is linear once its scale is known, so a logit is a sum over everything that was
ever written into the residual stream. Nothing is approximated: the parts sum to the logit, to
float64's precision. What a part does through *later* parts is not seen this way.

A trained model's logits mean something only against each other, so they are taken relative to the
mean over the 60 moves. A hand-built model's are taken as they are: 0 is a blank square that no rule
says anything about.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from comparison.explaining.names import PartName, PartNames
from extracted_rules.othello.notation import CONTEXT
from handbuilt.network.transformer import OthelloGPT

#: Families of neurons that are linear: they carry what they read on, with a constant that keeps
#: them from falling silent, which the layer's bias takes away again.
LINEAR_FAMILIES = ("forget-", "keep-")


@dataclass(frozen=True)
class Reason:
    """A head or neuron and what it adds to a number."""

    layer: int
    part: PartName
    value: float


def strongest(heads: Tensor, neurons: Tensor, names: PartNames, most: int) -> list[Reason]:
    """The parts that add or take away most, in the order of layers; none that does neither.

    heads: [layers, heads]; neurons: [layers, d_mlp].
    """
    both = torch.cat([heads, neurons], 1)
    width = both.shape[1]
    found = []
    for place in both.abs().flatten().topk(min(most, both.numel())).indices.sort().values.tolist():
        layer, number = divmod(place, width)
        of_heads = heads.shape[1]
        value = float(both[layer, number])
        if value:
            head = number < of_heads
            part = names.head(layer, number) if head else names.neuron(layer, number - of_heads)
            found.append(Reason(layer, part, value))
    return found


@dataclass(frozen=True)
class Parts:
    """What made the logits at one position: float64 by the 60 moves, token - 1, last.

    constant: [60], embeddings, biases, and what linear neurons always add; heads: [layers, heads,
    60]; neurons: [layers, d_mlp, 60]. Their sum is ``logits``.
    """

    constant: Tensor
    heads: Tensor
    neurons: Tensor

    @property
    def logits(self) -> Tensor:
        """float64 [60]"""
        return self.constant + self.heads.sum((0, 1)) + self.neurons.sum((0, 1))


class Attribution:
    """A model, run in float64, whose logits are taken apart. It keeps a copy of the model.

    relative: whether logits are less their mean over the moves.
    """

    def __init__(self, model: OthelloGPT) -> None:
        device = next(model.parameters()).device
        self.names = model.layout if model.is_handbuilt else None
        self.relative = self.names is None
        weights = {name: tensor.double() for name, tensor in model.state_dict().items()}
        self.model = OthelloGPT(model.shape, model.metadata).double().to(device).eval()
        self.model.load_state_dict(weights)
        towards = weights["ln_final.w"][:, None] * weights["unembed.W_U"][:, 1:]
        #: LayerNorm takes the mean over directions off what it reads.
        self.towards = self._centred(towards - towards.mean(0))  # [d_model, 60]
        self.bias = self._centred(
            weights["ln_final.b"] @ weights["unembed.W_U"][:, 1:] + weights["unembed.b_U"][1:]
        )
        self.idle = self._idle()

    def _centred(self, logits: Tensor) -> Tensor:
        return logits - logits.mean(-1, keepdim=True) if self.relative else logits

    def _idle(self) -> Tensor:
        """float64 [layers, d_mlp]: what linear neurons show when they carry nothing."""
        shape = self.model.shape
        idle = self.bias.new_zeros(shape.n_layers, shape.d_mlp)
        for layer, slots in enumerate(self.names.neurons if self.names else []):
            for family in slots.families.values():
                if family.name.startswith(LINEAR_FAMILIES):
                    b_in = self.model.get_parameter(f"blocks.{layer}.mlp.b_in")
                    idle[layer, family.places] = b_in[family.places].detach()
        return idle

    @torch.inference_mode()
    def run(self, game: Tensor) -> dict[str, Tensor]:
        """The activations of one game, uint8 [T], by their names: float64 [1, T, ...]."""
        _, cache = self.model.run_with_cache(game[None, :CONTEXT].long())
        return cache

    @torch.inference_mode()
    def parts(self, cache: dict[str, Tensor], position: int) -> Parts:
        """The logits at one position of a run."""
        weights, shape = self.model.state_dict(), self.model.shape
        scale = cache["ln_final.hook_scale"][0, position]
        towards = self.towards / scale
        written = [cache[name][0, position] for name in ("hook_embed", "hook_pos_embed")]
        heads, neurons = [], []
        for layer in range(shape.n_layers):
            block = f"blocks.{layer}"
            z = cache[f"{block}.attn.hook_z"][0, position]  # [heads, d_head]
            out = weights[f"{block}.attn.W_O"] @ towards  # [heads, d_head, 60]
            heads.append((z[:, None] @ out)[:, 0])
            post = cache[f"{block}.mlp.hook_post"][0, position]
            W_out = weights[f"{block}.mlp.W_out"]
            neurons.append((post - self.idle[layer])[:, None] * (W_out @ towards))
            written += [weights[f"{block}.attn.b_O"], weights[f"{block}.mlp.b_out"]]
            written.append(self.idle[layer] @ W_out)
        constant = torch.stack(written).sum(0) @ towards + self.bias
        return Parts(constant, torch.stack(heads), torch.stack(neurons))
