"""How exact arithmetic is written into the weights of a plain GPT.

- **LayerNorm** becomes the identity: a constant pair +C, -C in the residual (the *ballast*) drowns
  the signal's share of the variance, and the gain undoes the known scale. What is left is a
  relative error of |signal|^2 / 4C^2. The mean that LayerNorm subtracts is the same in every
  direction, so reading an always-empty direction (*zero*) with the opposite total weight cancels
  it exactly.
- **GELU** becomes ReLU: gelu(K x) / K differs from relu(x) by at most 0.17 / K.
- **Attention** becomes a fixed kernel: with one-hot positions a head's scores are any 59 x 59
  matrix; what a row of the kernel leaves of the softmax's mass goes to a *sink* without value.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from handbuilt.network.layout import Layout
from handbuilt.network.transformer import OthelloGPT

Array = npt.NDArray[np.float64]
#: Matrices by subspace: for a read [width of the subspace, n], for a write [n, width].
Maps = Mapping[str, Array]

#: What adds (query . x_t + bias) * (key . x_tau) to a head's scores: query, bias, key.
Term = tuple[Maps, float, Maps]

#: C of the ballast. Signals stay below a norm of a few hundred: a relative error below 1e-7.
BALLAST = 2.0**20
#: K of the neurons.
SHARPNESS = 2.0**18
#: What closes a gate: more than the evidence that it has to silence (a test looks).
GATE = 16.0
#: The score of what a head must not see: e^-30 of its attention.
UNSEEN = -30.0


class Weights:
    """Writes heads and neurons, by name, into the weights of an all-zero model."""

    def __init__(self, model: OthelloGPT, layout: Layout) -> None:
        self.model, self.layout, self.shape = model, layout, model.shape
        self._arrays = {
            name: np.zeros(tuple(tensor.shape)) for name, tensor in model.state_dict().items()
        }
        plus = layout.directions.add("ballast.plus", sentence="a constant that tames LayerNorm")
        minus = layout.directions.add("ballast.minus", sentence="the other half of the ballast")
        self._zero = layout.directions.add("zero", sentence="always empty: LayerNorm's mean, read")
        self["pos_embed.W_pos"][:, plus] = BALLAST
        self["pos_embed.W_pos"][:, minus] = -BALLAST
        gain = BALLAST * np.sqrt(2.0 / self.shape.d_model)
        for name, array in self._arrays.items():
            if name.endswith(("ln1.w", "ln2.w", "ln_final.w")):
                array[:] = gain

    def __getitem__(self, name: str) -> Array:
        """A parameter by its name in the state dict, to write into."""
        return self._arrays[name]

    def store(self) -> None:
        """Copy everything into the model, as float32."""
        self.model.load_state_dict(
            {name: torch.from_numpy(array).float() for name, array in self._arrays.items()}
        )

    def _read(self, reads: Maps, n: int) -> Array:
        """[d_model, n] that reads named subspaces through a LayerNorm."""
        matrix = np.zeros((self.shape.d_model, n))
        for name, block in reads.items():
            matrix[self.layout.directions[name]] += block
        matrix[self._zero] -= matrix.sum(0)
        return matrix

    def _write(self, writes: Maps, n: int) -> Array:
        matrix = np.zeros((n, self.shape.d_model))
        for name, block in writes.items():
            matrix[:, self.layout.directions[name]] += block
        return matrix

    def unembed(self, reads: Maps) -> None:
        """Logits from named subspaces: [width, vocabulary] each."""
        self["unembed.W_U"][:] = self._read(reads, self.shape.d_vocab)

    # ------------------------------------------------------------------ neurons

    def relu(
        self,
        layer: int,
        name: str,
        members: Sequence[str],
        sentence: str,
        reads: Maps,
        bias: Array | float,
        writes: Maps,
    ) -> None:
        """A family of neurons: writes += relu(reads + bias), one neuron a member."""
        n = len(members)
        places = self.layout.neurons[layer].add(name, members, sentence)
        self[f"blocks.{layer}.mlp.W_in"][:, places] = SHARPNESS * self._read(reads, n)
        self[f"blocks.{layer}.mlp.b_in"][places] = SHARPNESS * np.broadcast_to(bias, n)
        self[f"blocks.{layer}.mlp.W_out"][places] = self._write(writes, n) / SHARPNESS

    def capped(
        self,
        layer: int,
        name: str,
        members: Sequence[str],
        sentence: str,
        reads: Maps,
        bias: Array | float,
        writes: Maps,
    ) -> None:
        """Two families: writes += clip(reads + bias, 0, 1). The second takes back the excess."""
        self.relu(layer, name, members, sentence, reads, bias, writes)
        back = {subspace: -block for subspace, block in writes.items()}
        more = f"caps {name}.{{}} at 1"
        self.relu(layer, f"{name}-cap", members, more, reads, np.asarray(bias) - 1.0, back)

    def constant(self, layer: int, subspace: str, value: Array | float) -> None:
        """Add a constant to a subspace behind a layer's MLP."""
        self[f"blocks.{layer}.mlp.b_out"][self.layout.directions[subspace]] += value

    # ------------------------------------------------------------------ heads

    def head(
        self,
        layer: int,
        name: str,
        sentence: str,
        scores: Array,
        reads: Maps,
        writes: Maps,
        terms: Sequence[Term] = (),
    ) -> None:
        """A head whose attention scores are ``scores`` [59, 59] whatever is played.

        reads: [width, channels], at most 64 channels; writes: [channels, width].
        terms: what the scores depend on besides positions.
        """
        number = self.layout.heads[layer].add(name, sentence=sentence).start
        prefix, root = f"blocks.{layer}.attn.", np.sqrt(self.shape.d_head)
        positions, channels = scores.shape[0], next(iter(writes.values())).shape[0]
        query = np.zeros((self.shape.d_model, self.shape.d_head))
        key = query.copy()
        # What causality hides anyway is set to 0: smaller weights round less.
        visible = np.tril(scores) * root
        query[:, :positions] = self._read({"position": visible}, positions)
        key[:, :positions] = self._read({"position": np.eye(positions)}, positions)
        for place, (asks, bias, tells) in enumerate(terms, start=positions):
            query[:, place] = self._read(asks, 1)[:, 0] * root
            self[prefix + "b_Q"][number, place] = bias * root
            key[:, place] = self._read(tells, 1)[:, 0]
        self[prefix + "W_Q"][number] = query
        self[prefix + "W_K"][number] = key
        self[prefix + "W_V"][number][:, :channels] = self._read(reads, channels)
        self[prefix + "W_O"][number][:channels] = self._write(writes, channels)


def kernel_scores(
    kernel: Array, sink: npt.NDArray[np.int_], size: float | None = None
) -> tuple[Array, float]:
    """Scores [59, 59] and amplitude a with a * softmax(scores) = kernel, wherever kernel > 0.

    kernel: non-negative [query, key]. sink: int [query], the key that takes the rest of each row's
    mass; the kernel must be 0 there and the value there must be 0. ``size`` sets the amplitude.
    """
    rows = np.arange(len(kernel))
    amplitude = size or max(1.05 * float(kernel.sum(-1).max()), 1.0)
    share = kernel / amplitude
    share[rows, sink] = 1 - share.sum(-1)
    scores = np.full(kernel.shape, UNSEEN)
    np.log(share, out=scores, where=share > np.exp(UNSEEN))
    return scores, amplitude


def self_scores(positions: int) -> Array:
    """Scores with which every position sees itself alone."""
    return np.where(np.eye(positions) > 0, 0.0, UNSEEN)
