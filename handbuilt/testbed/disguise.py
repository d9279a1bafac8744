"""A hand-built model in disguise: the same function, with nothing where a reader would look for it.

- The residual stream is turned by a random orthogonal matrix that fixes the all-ones direction, so
  LayerNorm, which takes the mean off and divides by a norm, does not see it. Its gains are one
  number each, and are folded into what reads behind it.
- Neurons change places within a layer, and so do heads. The inner basis of a head's queries and
  keys is turned by an invertible matrix, that of its values by an orthogonal one.
- GELU is not homogeneous, so in general no neuron can be rescaled. A hand-built one is a sharp
  GELU, gelu(k x) / k, within 0.17 / k of a ReLU: its k may be another for every neuron.

Before that the model is *tamed*: in float32 a ballast of 2^20 drowns whatever shares coordinates
with it. With a smaller one, LayerNorm's scale depends on the signal a little; the gains undo its
mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from handbuilt.compiler import BALLAST, SHARPNESS
from handbuilt.network.layout import Layout
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT

#: C of a tamed model's ballast, and the k of its neurons.
TAME_BALLAST, TAME_SHARPNESS = 2.0**9, 2.0**6
#: A disguised neuron's k is this many times smaller or larger at most.
RESCALED = 4.0
#: The singular values of what turns queries and keys lie between 1 / STRETCH and STRETCH.
STRETCH = 2.0


@dataclass(frozen=True)
class Disguise:
    """Where everything is. Old places are the compiled model's, new ones those of the disguised.

    encode: float64 [d_old, d_new], what an old direction is written as. decode: float64 [places,
    d_new, d_old], what reads it, in each reading place (:func:`reading_places`); gains: float64
    [places], what that LayerNorm's output is multiplied by. neurons, heads: int64 [layers, d_mlp]
    and [layers, heads], the old number of each new one. query, value: float64 [layers, heads,
    d_head, d_head], of new heads: queries and values are multiplied by them. sharpness: float64
    [layers, d_mlp], k of each new neuron. ballast: C.
    """

    encode: Tensor
    decode: Tensor
    gains: Tensor
    neurons: Tensor
    heads: Tensor
    query: Tensor
    value: Tensor
    sharpness: Tensor
    ballast: Tensor

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> "Disguise":
        """From its fields by name, of directions that are orthogonal and so decode themselves."""
        given = {f.name: tensors[f.name] for f in fields(cls) if f.name != "decode"}
        return cls(decode=given["encode"].T.expand(len(given["gains"]), -1, -1), **given)


def reading_places(layers: int) -> list[str]:
    """Where LayerNorms read the stream, by its activations' names: before every attention and MLP,
    and at the end."""
    halves = ("hook_resid_pre", "hook_resid_mid")
    inner = [f"blocks.{layer}.{half}" for layer in range(layers) for half in halves]
    return [*inner, f"blocks.{layers - 1}.hook_resid_post"]


def orthogonal(size: int, generator: np.random.Generator) -> Tensor:
    """float64 [size, size], uniformly distributed (Haar)."""
    q, r = np.linalg.qr(generator.normal(size=(size, size)))
    return torch.from_numpy(q * np.sign(np.diag(r)))


def with_ones(size: int) -> Tensor:
    """float64 [size, size]: orthonormal rows, the first along all ones."""
    ones = torch.ones(size, 1, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(ones, mode="complete").Q.T
    return basis


def turn(size: int, generator: np.random.Generator) -> Tensor:
    """float64 [size, size], orthogonal, by chance except that it fixes the all-ones direction."""
    basis = with_ones(size).T
    inner = torch.eye(size, dtype=torch.float64)
    inner[1:, 1:] = orthogonal(size - 1, generator)
    return basis @ inner @ basis.T


def undisguised(shape: Shape, gains: Tensor) -> Disguise:
    """Everything where it is, of a tamed model."""
    layers, heads, width = shape.n_layers, shape.n_heads, shape.d_head
    same = torch.eye(shape.d_model, dtype=torch.float64)
    inner = torch.eye(width, dtype=torch.float64).expand(layers, heads, width, width).clone()
    return Disguise(
        encode=same,
        decode=same.expand(len(gains), -1, -1),
        gains=gains,
        neurons=torch.arange(shape.d_mlp).expand(layers, -1).clone(),
        heads=torch.arange(heads).expand(layers, -1).clone(),
        query=inner,
        value=inner.clone(),
        sharpness=torch.full((layers, shape.d_mlp), TAME_SHARPNESS, dtype=torch.float64),
        ballast=torch.tensor(TAME_BALLAST, dtype=torch.float64),
    )


def drawn(begin: Disguise, seed: int, rescaled: float = RESCALED) -> Disguise:
    """A disguise by chance on top of one whose parts are all in their places."""
    generator = np.random.default_rng([seed, 0x7E57])
    layers, heads, width, _ = begin.query.shape
    neurons = begin.neurons.shape[1]
    turned = turn(begin.encode.shape[1], generator)

    def orders(n: int) -> Tensor:
        return torch.from_numpy(np.stack([generator.permutation(n) for _ in range(layers)]))

    def inner() -> Tensor:
        some = [orthogonal(width, generator) for _ in range(layers * heads)]
        return torch.stack(some).view(layers, heads, width, width)

    def spread(most: float, *sizes: int) -> Tensor:
        return torch.from_numpy(most ** generator.uniform(-1, 1, size=sizes))

    return Disguise(
        encode=begin.encode @ turned,
        decode=turned.T @ begin.decode,
        gains=begin.gains,
        neurons=orders(neurons),
        heads=orders(heads),
        query=inner() * spread(STRETCH, layers, heads, 1, width) @ inner(),
        value=inner(),
        sharpness=begin.sharpness * spread(rescaled, layers, neurons),
        ballast=begin.ballast,
    )


def gains_for(held: Tensor) -> Tensor:
    """float64 [places]: LayerNorm's mean scale in streams [places, positions, width], of which
    ``held`` is all but the ballast."""
    centred = held - held.mean(-1, keepdim=True)
    squares = 2 * TAME_BALLAST**2 + centred.square().sum(-1)
    return (squares / held.shape[-1]).sqrt().mean(1)


def tame(model: OthelloGPT, ballast: Tensor) -> dict[str, Tensor]:
    """A compiled model's weights by name, float64, with another ballast and not yet with the gains
    that it asks for."""
    old = {name: tensor.double().cpu() for name, tensor in model.state_dict().items()}
    for end, sign in (("plus", 1), ("minus", -1)):
        old["pos_embed.W_pos"][:, model.layout.directions[f"ballast.{end}"]] = sign * ballast
    old["unembed.W_U"][model.layout.directions["ballast.plus"]] *= BALLAST / ballast
    return old


def half(old: Mapping[str, Tensor], disguise: Disguise, place: int) -> dict[str, Tensor]:
    """The weights of what reads at a place, in disguise: attention, an MLP, or the unembedding.
    old: what :func:`tame` gives."""
    layer, write = place // 2, disguise.encode

    def read(name: str) -> Tensor:
        return disguise.gains[place] * disguise.decode[place] @ old[name]

    if place == len(disguise.gains) - 1:
        return {"unembed.W_U": read("unembed.W_U"), "unembed.b_U": old["unembed.b_U"]}
    if place % 2:
        mlp, order = f"blocks.{layer}.mlp.", disguise.neurons[layer]
        scale = disguise.sharpness[layer] / SHARPNESS
        return {
            f"{mlp}W_in": read(f"{mlp}W_in")[:, order] * scale,
            f"{mlp}b_in": old[f"{mlp}b_in"][order] * scale,
            f"{mlp}W_out": old[f"{mlp}W_out"][order] @ write / scale[:, None],
            f"{mlp}b_out": old[f"{mlp}b_out"] @ write,
        }
    attn, order = f"blocks.{layer}.attn.", disguise.heads[layer]
    query, value = disguise.query[layer], disguise.value[layer]
    new = {
        f"{attn}W_O": value.transpose(1, 2) @ old[f"{attn}W_O"][order] @ write,
        f"{attn}b_O": old[f"{attn}b_O"] @ write,
    }
    key = torch.linalg.inv(query).transpose(1, 2)
    for letter, basis in zip("QKV", (query, key, value), strict=True):
        new[f"{attn}W_{letter}"] = read(f"{attn}W_{letter}")[order] @ basis
        new[f"{attn}b_{letter}"] = (old[f"{attn}b_{letter}"][order, None] @ basis)[:, 0]
    return new


def disguised_weights(model: OthelloGPT, disguise: Disguise) -> dict[str, Tensor]:
    """A hand-built model's weights, tamed and in disguise, by name and in float64: those of a model
    whose LayerNorms have no gains."""
    old = tame(model, disguise.ballast)
    new = {name: old[name] @ disguise.encode for name in ("embed.W_E", "pos_embed.W_pos")}
    for place in range(len(disguise.gains)):
        new |= half(old, disguise, place)
    return new


def disguised(model: OthelloGPT, disguise: Disguise) -> OthelloGPT:
    """A hand-built model, tamed and in disguise; it carries no names. float32."""
    shape = replace(model.shape, d_model=disguise.encode.shape[1])
    return _of_folded(disguised_weights(model, disguise), shape)


def _of_folded(weights: dict[str, Tensor], shape: Shape) -> OthelloGPT:
    """A model whose LayerNorms have no gains."""
    whole = OthelloGPT(shape).state_dict() | {n: t.float() for n, t in weights.items()}
    return OthelloGPT.of_weights(whole, shape)


def undone(model: OthelloGPT, disguise: Disguise, layout: Layout) -> OthelloGPT:
    """The compiled model, with its names, out of one in disguise whose directions are orthogonal:
    the inverse of :func:`disguised`, to float32's precision."""
    new = {name: tensor.double().cpu() for name, tensor in model.state_dict().items()}
    write, old = disguise.encode.T, {}
    norm = BALLAST * np.sqrt(2.0 / model.shape.d_model)

    def read(place: int, weights: Tensor) -> Tensor:
        return disguise.encode @ weights / disguise.gains[place]

    old["embed.W_E"] = new["embed.W_E"] @ write
    old["pos_embed.W_pos"] = new["pos_embed.W_pos"] @ write
    old["unembed.W_U"] = read(len(disguise.gains) - 1, new["unembed.W_U"])
    old["unembed.b_U"] = new["unembed.b_U"]
    plus, minus = (layout.directions[f"ballast.{end}"] for end in ("plus", "minus"))
    old["pos_embed.W_pos"][:, plus], old["pos_embed.W_pos"][:, minus] = BALLAST, -BALLAST
    old["unembed.W_U"][plus] *= disguise.ballast / BALLAST
    for layer in range(model.shape.n_layers):
        attn, mlp = f"blocks.{layer}.attn.", f"blocks.{layer}.mlp."
        heads, neurons = (order[layer].argsort() for order in (disguise.heads, disguise.neurons))
        query, value = disguise.query[layer], disguise.value[layer]
        back = (torch.linalg.inv(query), query.transpose(1, 2), value.transpose(1, 2))
        for letter, basis in zip("QKV", back, strict=True):
            old[f"{attn}W_{letter}"] = (read(2 * layer, new[f"{attn}W_{letter}"]) @ basis)[heads]
            old[f"{attn}b_{letter}"] = (new[f"{attn}b_{letter}"][:, None] @ basis)[heads, 0]
        old[f"{attn}W_O"] = (value @ new[f"{attn}W_O"] @ write)[heads]
        old[f"{attn}b_O"] = new[f"{attn}b_O"] @ write
        scale = SHARPNESS / disguise.sharpness[layer]
        old[f"{mlp}W_in"] = (read(2 * layer + 1, new[f"{mlp}W_in"]) * scale)[:, neurons]
        old[f"{mlp}b_in"] = (new[f"{mlp}b_in"] * scale)[neurons]
        old[f"{mlp}W_out"] = (new[f"{mlp}W_out"] @ write / scale[:, None])[neurons]
        old[f"{mlp}b_out"] = new[f"{mlp}b_out"] @ write
    found = _of_folded(old, model.shape)
    for name, tensor in found.state_dict().items():
        if name.endswith(".w"):
            tensor.fill_(norm)
    found.metadata["layout"] = layout.to_json()
    return found
