"""Direct logit attribution: what every head and neuron adds to the logits, exactly.

The final LayerNorm is linear once its scale is known, so a logit is a sum over everything that was
ever written into the residual stream. Nothing is approximated: the parts sum to the logit, to
float64's precision. What a part does through *later* parts is not seen this way.

A trained model's logits mean something only against each other, so they are taken relative to the
mean over the moves. A hand-built model's are taken as they are: 0 is a blank square that no rule
says anything about.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from handbuilt.analysis.names import PartName, PartNames
from handbuilt.compiler import SHARPNESS
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs.tables import GATE

#: From this bias on nothing that a neuron reads silences it, so it is linear: it carries on what it
#: reads. The layer's bias takes the constant away again. No trained neuron comes near.
LINEAR = GATE * SHARPNESS


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
    both, of_heads = torch.cat([heads, neurons], 1), heads.shape[1]
    found = []
    for place in both.abs().flatten().topk(min(most, both.numel())).indices.sort().values.tolist():
        layer, number = divmod(place, both.shape[1])
        if value := float(both[layer, number]):
            head = number < of_heads
            part = names.head(layer, number) if head else names.neuron(layer, number - of_heads)
            found.append(Reason(layer, part, value))
    return found


def logit_directions(model: OthelloGPT, games: Tensor) -> Tensor:
    """float32 [d_model, moves]: how a write into the stream moves logits, if the last LayerNorm's
    scale stays what it usually is, on games uint8 [B, plies]."""
    name = "ln_final.hook_scale"
    _, cache = model.run_with_cache(games[:, : model.geometry.context].long(), name)
    gained = model.ln_final.w[:, None] * model.unembed.W_U[:, 1:]
    return ((gained - gained.mean(0)) / cache[name].mean()).detach().cpu()


@dataclass(frozen=True)
class Parts:
    """What made the logits at one position: float64 by the moves, token - 1, last.

    constant: [moves], embeddings, biases, and what linear neurons always add; heads: [layers,
    heads, moves]; neurons: [layers, d_mlp, moves]. Their sum is ``logits``.
    """

    constant: Tensor
    heads: Tensor
    neurons: Tensor

    @property
    def logits(self) -> Tensor:
        """float64 [moves]"""
        return self.constant + self.heads.sum((0, 1)) + self.neurons.sum((0, 1))


class Attribution:
    """A model, run in float64, whose logits are taken apart. It keeps a copy of the model.

    relative: whether logits are less their mean over the moves, by default those of a model
    that is not known to be hand-built. idle: float64 [layers, d_mlp], what
    linear neurons show when they carry nothing: their bias, so large that they never fall silent.
    """

    def __init__(self, model: OthelloGPT, *, relative: bool | None = None) -> None:
        self.relative = not model.is_handbuilt if relative is None else relative
        self.model = OthelloGPT(model.shape, model.metadata).double().to(model.device).eval()
        self.model.load_state_dict(model.state_dict())
        self.weights = weights = self.model.state_dict()
        towards = weights["ln_final.w"][:, None] * weights["unembed.W_U"][:, 1:]
        #: LayerNorm takes the mean over directions off what it reads.
        self.towards = self._centred(towards - towards.mean(0))  # [d_model, moves]
        self.bias = self._centred(
            weights["ln_final.b"] @ weights["unembed.W_U"][:, 1:] + weights["unembed.b_U"][1:]
        )
        layers = range(model.shape.n_layers)
        biases = torch.stack([weights[f"blocks.{layer}.mlp.b_in"] for layer in layers])
        self.idle = biases * (biases >= LINEAR)

    def _centred(self, logits: Tensor) -> Tensor:
        return logits - logits.mean(-1, keepdim=True) if self.relative else logits

    @torch.inference_mode()
    def run(self, game: Tensor) -> dict[str, Tensor]:
        """The activations of one game, uint8 [T], by their names: float64 [1, T, ...]."""
        _, cache = self.model.run_with_cache(game[None, : self.model.shape.n_ctx].long())
        return cache

    @torch.inference_mode()
    def written(
        self, cache: dict[str, Tensor], position: int, towards: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What every part of a run writes at a position along some directions of the stream,
        float64 [d_model, K]: by heads [layers, heads, K] and neurons [layers, d_mlp, K], what
        linear ones carry alone."""
        heads, neurons = [], []
        for layer, idle in enumerate(self.idle):
            block = f"blocks.{layer}"
            z = cache[f"{block}.attn.hook_z"][0, position]  # [heads, d_head]
            heads.append((z[:, None] @ (self.weights[f"{block}.attn.W_O"] @ towards))[:, 0])
            post = cache[f"{block}.mlp.hook_post"][0, position] - idle
            neurons.append(post[:, None] * (self.weights[f"{block}.mlp.W_out"] @ towards))
        return torch.stack(heads), torch.stack(neurons)

    @torch.inference_mode()
    def parts(self, cache: dict[str, Tensor], position: int) -> Parts:
        """The logits at one position of a run."""
        towards = self.towards / cache["ln_final.hook_scale"][0, position]
        constant = cache["hook_embed"][0, position] + cache["hook_pos_embed"][0, position]
        for layer, idle in enumerate(self.idle):
            b_O, b_out, W_out = (
                self.weights[f"blocks.{layer}.{name}"]
                for name in ("attn.b_O", "mlp.b_out", "mlp.W_out")
            )
            constant = constant + b_O + b_out + idle @ W_out
        heads, neurons = self.written(cache, position, towards)
        return Parts(constant @ towards + self.bias, heads, neurons)
