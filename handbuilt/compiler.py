"""From a program to the weights of a plain GPT: how exact arithmetic is written into them.

- **LayerNorm** becomes the identity: a constant pair +C, -C in the residual (the *ballast*) drowns
  the signal's share of the variance, and the gain undoes the known scale. What is left is a
  relative error of |signal|^2 / 4C^2. The mean that LayerNorm subtracts is the same in every
  direction, so reading an always-empty direction (*zero*) with the opposite total weight cancels
  it exactly.
- **GELU** becomes ReLU: gelu(K x) / K differs from relu(x) by at most 0.17 / K.
- **Attention** becomes a fixed kernel: with one-hot positions a head's scores are any matrix over
  positions (``handbuilt.programs.scores``).

A smooth program, such as a transcript's, wants neither of the first two: it gets LayerNorm and GELU
as they are, and no ballast.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from extracted_rules.errors import UserError
from handbuilt.network.layout import Layout
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs.records import Array, Directions, Head, Link, Neurons, Program

#: C of the ballast. Signals stay below a norm of a few hundred: a relative error below 1e-7.
BALLAST = 2.0**20
#: K of the neurons.
SHARPNESS = 2.0**18
#: Directions of the compiler's own.
ZERO = Directions("zero", ("",), "always empty: LayerNorm's mean, read")
PLUMBING = (
    Directions("ballast.plus", ("",), "a constant that tames LayerNorm"),
    Directions("ballast.minus", ("",), "the other half of the ballast"),
    ZERO,
)


class TooSmallError(UserError):
    """A shape that a program does not fit; the message is one sentence."""


def needed(program: Program) -> Shape:
    """The smallest shape that the program fits."""
    heads, neurons = [0] * program.layers, [0] * program.layers
    for head in program.heads:
        heads[head.layer] += 1
    for some in program.neurons:
        neurons[some.layer] += len(some.members)
    columns = [len(h.scores) + sum(term.columns for term in h.terms) for h in program.heads]
    channels = [len(link.weights) for head in program.heads for link in head.writes]
    owned = [d for d in (*_plumbing(program), *program.directions) if not d.over]
    return Shape(
        n_layers=program.layers,
        d_model=sum(len(directions.members) for directions in owned),
        n_heads=max(heads),
        d_head=max(columns + channels, default=1),
        d_mlp=max(neurons),
    ).on(program.geometry.size)


def _plumbing(program: Program) -> tuple[Directions, ...]:
    return (ZERO,) if program.smooth else PLUMBING


def compile(program: Program, shape: Shape | None = None) -> OthelloGPT:
    """The weights that do what the program says; its names are the model's layout.

    shape: the paper's for the program's board and layers, unless another one is asked for. Raises
    TooSmallError for one that the program does not fit.
    """
    board = program.geometry
    shape = shape or replace(Shape(n_layers=program.layers), **_vocabulary(board.size))
    _check(needed(program), shape)
    weights = _Weights(OthelloGPT(shape), (*_plumbing(program), *program.directions))
    if program.smooth:
        weights.norm(program.norms)
    else:
        weights.ballast()
    weights.embed(program.tokens, program.positions)
    for head in program.heads:
        weights.head(head)
    for neurons in program.neurons:
        weights.neurons(neurons)
    weights.logits(program.logits, program.logit_bias)
    return weights.store()


def _vocabulary(board: int) -> dict[str, int]:
    sizes = Shape().on(board)
    return {"n_ctx": sizes.n_ctx, "d_vocab": sizes.d_vocab}


def _check(least: Shape, shape: Shape) -> None:
    """Raises TooSmallError, naming everything that is too small."""
    if (least.n_layers, least.d_vocab, least.n_ctx) != (shape.n_layers, shape.d_vocab, shape.n_ctx):
        raise TooSmallError(
            f"the program is for {least.n_layers} layers and a board of {least.geometry}, not for "
            f"{shape.n_layers} layers, {shape.d_vocab} tokens and {shape.n_ctx} positions"
        )
    short = [
        f"{name} {getattr(least, name)} (not {getattr(shape, name)})"
        for name in ("d_model", "n_heads", "d_head", "d_mlp")
        if getattr(least, name) > getattr(shape, name)
    ]
    if short:
        raise TooSmallError(
            f"{least.n_layers} layers of these rules on a board of {least.geometry} need "
            f"{', '.join(short)}"
        )


@dataclass
class _Weights:
    """Writes records, by name, into the weights of an all-zero model.

    sharpness: what neurons multiply what they read by, and divide what they write by.
    """

    model: OthelloGPT
    directions: Sequence[Directions]
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        self.layout, self.shape = Layout(self.model.shape), self.model.shape
        self._arrays = {
            name: np.zeros(tuple(tensor.shape)) for name, tensor in self.model.state_dict().items()
        }
        for d in self.directions:
            self.layout.directions.add(d.name, d.members, d.sentence, over=d.over)

    def ballast(self) -> None:
        """Make LayerNorm the identity, and GELU ReLU."""
        self.sharpness = SHARPNESS
        self["pos_embed.W_pos"][:, self.layout.directions["ballast.plus"]] = BALLAST
        self["pos_embed.W_pos"][:, self.layout.directions["ballast.minus"]] = -BALLAST
        gain = BALLAST * np.sqrt(2.0 / self.shape.d_model)
        self.norm([gain] * (2 * self.shape.n_layers + 1))

    def norm(self, gains: Sequence[float]) -> None:
        """Before each attention and MLP, and at the end."""
        inner = [f"blocks.{n}.{ln}.w" for n in range(self.shape.n_layers) for ln in ("ln1", "ln2")]
        for name, gain in zip([*inner, "ln_final.w"], gains, strict=True):
            self[name][:] = gain

    def __getitem__(self, name: str) -> Array:
        """A parameter by its name in the state dict, to write into."""
        return self._arrays[name]

    def store(self) -> OthelloGPT:
        """Everything as float32 in the model, with its names."""
        self.model.load_state_dict(
            {name: torch.from_numpy(array).float() for name, array in self._arrays.items()}
        )
        self.model.metadata["layout"] = self.layout.to_json()
        return self.model.eval()

    def read(self, reads: Sequence[Link], n: int) -> Array:
        """[d_model, n] that reads named directions through a LayerNorm."""
        matrix = np.zeros((self.shape.d_model, n))
        for link in reads:
            matrix[self.layout.directions[link.name]] += link.weights
        matrix[self.layout.directions["zero"]] -= matrix.sum(0)
        return matrix

    def _write(self, writes: Sequence[Link], n: int) -> Array:
        matrix = np.zeros((n, self.shape.d_model))
        for link in writes:
            matrix[:, self.layout.directions[link.name]] += link.weights
        return matrix

    def embed(self, tokens: Sequence[Link], positions: Sequence[Link]) -> None:
        """Each family is written by one link."""
        for name, found in (("embed.W_E", tokens), ("pos_embed.W_pos", positions)):
            for link in found:
                self[name][:, self.layout.directions[link.name]] = link.weights

    def logits(self, reads: Sequence[Link], above: float | Array) -> None:
        """Where there is ballast, it carries the bias: LayerNorm's own error is then its, too."""
        if "ballast.plus" in self.layout.directions.families:
            constant = np.full((1, self.shape.d_vocab), above / BALLAST)
            reads = (*reads, Link("ballast.plus", constant))
        else:
            self["unembed.b_U"][:] = above
        self["unembed.W_U"][:] = self.read(reads, self.shape.d_vocab)

    def neurons(self, some: Neurons) -> None:
        n, prefix = len(some.members), f"blocks.{some.layer}.mlp."
        places = self.layout.neurons[some.layer].add(
            some.name,
            some.members,
            some.sentence,
            rule=some.rule,
            constants={k: v for k, v in some.constants.items() if isinstance(v, float)},
            rules=some.rules,
            sentences=some.sentences,
        )
        self[prefix + "W_in"][:, places] = self.sharpness * self.read(some.reads, n)
        self[prefix + "b_in"][places] = self.sharpness * some.bias
        self[prefix + "W_out"][places] = self._write(some.writes, n) / self.sharpness
        self._add(prefix + "b_out", some.constants)

    def _add(self, name: str, constants: Mapping[str, float | Array]) -> None:
        for family, value in constants.items():
            self[name][self.layout.directions[family]] += value

    def head(self, head: Head) -> None:
        """One-hot positions in the first columns of queries and keys, then one for each term."""
        slots = self.layout.heads[head.layer]
        number = slots.add(head.name, sentence=head.sentence, rule=head.rule).start
        prefix, root = f"blocks.{head.layer}.attn.", np.sqrt(self.shape.d_head)
        positions, channels = len(head.scores), len(head.writes[0].weights)
        query = np.zeros((self.shape.d_model, self.shape.d_head))
        key = query.copy()
        if positions:
            # What causality hides anyway is set to 0: smaller weights round less.
            visible = np.tril(head.scores) * root
            query[:, :positions] = self.read([Link("position", visible)], positions)
            key[:, :positions] = self.read([Link("position", np.eye(positions))], positions)
        start = positions
        for term in head.terms:
            n = term.columns
            places = slice(start, start + n)
            query[:, places] = self.read(term.asks, n) * root
            self[prefix + "b_Q"][number, places] = np.multiply(term.bias, root)
            key[:, places] = self.read(term.tells, n)
            start += n
        self[prefix + "W_Q"][number] = query
        self[prefix + "W_K"][number] = key
        self[prefix + "W_V"][number][:, :channels] = self.read(head.reads, channels)
        self[prefix + "W_O"][number][:channels] = self._write(head.writes, channels)
        self._add(prefix + "b_O", head.constants)
