"""Superposition: named directions packed into fewer dimensions, where they are not orthogonal.

Every name is written as one vector, in all layers. Each LayerNorm's readers get decoders of their
own, by least squares on random games: what they want of the names, as a linear function of the
packed stream. The vectors are those that lose least of what is read at all (reduced-rank
regression), so what is squeezed out first is what varies little or repeats something else.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from extracted_rules.errors import UserError
from extracted_rules.othello.game import random_games
from handbuilt.network.transformer import OthelloGPT
from handbuilt.testbed.disguise import (
    Disguise,
    disguised,
    gains_for,
    half,
    reading_places,
    tame,
    undisguised,
    with_ones,
)

#: Random games on which decoders are fitted and LayerNorm's scale is measured.
FITTING_GAMES = 100
#: Beside the names: the all-ones direction, which LayerNorm hides, and one of the ballast.
RESERVED = 2
#: A packed model's names are never quite what they are in the compiled one: decoders are fitted as
#: if each had an independent error of this size, beside which they may not amplify anything.
ERROR = 0.01
#: The same as a variance, when decoders are fitted to a packed model's own stream, which has them.
ERROR_REFIT = 1e-5
#: Eigenvalues below this share of the largest are taken for it.
SMALLEST = 1e-9


class PackingError(UserError):
    """A width into which nothing can be packed; the message is one sentence."""


def fitting_games(model: OthelloGPT, seed: int) -> Tensor:
    """int64 [FITTING_GAMES, context]: random ones of the purpose "testbed"."""
    board = model.geometry
    drawn = random_games(FITTING_GAMES, seed, board=board.size, purpose="testbed")
    return torch.cat(list(drawn))[:, : board.context].long()


@torch.inference_mode()
def signals(model: OthelloGPT, seed: int) -> Tensor:
    """float64 [places, positions, d_model]: what a compiled model's stream holds in its reading
    places over random games of the purpose "testbed", without the ballast."""
    places = reading_places(model.shape.n_layers)
    _, cache = model.run_with_cache(fitting_games(model, seed), places)
    held = torch.stack([cache[place].flatten(0, 1) for place in places]).double()
    for end in ("plus", "minus"):
        held[..., model.layout.directions[f"ballast.{end}"]] = 0
    return held


def tamed(model: OthelloGPT, held: Tensor) -> Disguise:
    """Everything in its place, and gains as the signals need them."""
    return undisguised(model.shape, gains_for(held))


def packed(model: OthelloGPT, held: Tensor, width: int, seed: int) -> Disguise:
    """As :func:`tamed`, with all names in ``width`` dimensions. Raises PackingError."""
    room, slots = width - RESERVED, model.layout.directions
    names = torch.arange(slots["zero"].stop, slots.used)
    if not 0 < room <= len(names):
        raise PackingError(
            f"{len(names)} names pack into {1 + RESERVED} to {len(names) + RESERVED} dimensions, "
            f"not into {width}"
        )
    means = held[..., names].mean(1)
    spreads = [_spread(values - mean) for values, mean in zip(held[..., names], means, strict=True)]
    wanted = _readers(model)[names][:, names]
    vectors = _vectors(torch.stack(spreads).mean(0) + _spread(means - means.mean(0)), wanted, room)
    basis = with_ones(width)
    encode = torch.zeros(model.shape.d_model, width, dtype=torch.float64)
    encode[names] = vectors @ basis[RESERVED:]
    ballast = basis[1] / 2**0.5
    encode[slots["ballast.plus"]], encode[slots["ballast.minus"]] = ballast, -ballast
    plain = tamed(model, held)
    decode = torch.zeros(len(held), width, model.shape.d_model, dtype=torch.float64)
    decode[:, :, slots["ballast.plus"]] = ballast[:, None]
    decode[:, :, slots["ballast.minus"]] = -ballast[:, None]
    constant = basis[1] / (2**0.5 * float(plain.ballast))
    for place, (spread, mean) in enumerate(zip(spreads, means, strict=True)):
        among = vectors.T @ spread @ vectors
        linear = torch.linalg.solve(among, vectors.T @ spread)  # [room, names]
        offset = mean - mean @ vectors @ linear
        decode[place][:, names] = basis[RESERVED:].T @ linear + constant[:, None] * offset
    gains = gains_for(held @ encode)
    disguise = replace(plain, encode=encode, decode=decode, gains=gains)
    _refit(model, disguise, held, names, seed)
    return disguise


@torch.inference_mode()
def _refit(model: OthelloGPT, disguise: Disguise, held: Tensor, names: Tensor, seed: int) -> None:
    """Fit decoders once more, one after the other, to the stream that the packed model really has
    there: later ones then correct what earlier ones got wrong. In place."""
    old, games = tame(model, disguise.ballast), fitting_games(model, seed)
    packed_model = disguised(model, disguise)
    stream = packed_model.embed(games) + packed_model.pos_embed(games)
    for place, wanted in enumerate(held[..., names]):
        centred = (stream - stream.mean(-1, keepdim=True)).flatten(0, 1).double()
        scale = centred.square().mean(-1, keepdim=True).sqrt()
        disguise.gains[place] = scale.mean()
        given = centred * (scale.mean() / scale)
        off = wanted - given @ disguise.decode[place][:, names]
        among = given.T @ given / len(given)
        among.diagonal().add_(ERROR_REFIT)
        disguise.decode[place][:, names] += torch.linalg.solve(among, given.T @ off / len(given))
        packed_model.load_state_dict(
            {name: weights.float() for name, weights in half(old, disguise, place).items()},
            strict=False,
        )
        if place < len(held) - 1:
            block: Any = packed_model.blocks[place // 2]
            norm, part = (block.ln2, block.mlp) if place % 2 else (block.ln1, block.attn)
            stream = stream + part(norm(stream, _as_is), _as_is)


def _as_is(_: str, value: Tensor) -> Tensor:
    return value


def _spread(rows: Tensor) -> Tensor:
    """float64 [names, names]: the covariance of centred rows [n, names], and what errors add."""
    same = torch.eye(rows.shape[1], dtype=torch.float64)
    return rows.T @ rows / len(rows) + ERROR**2 * same


def _readers(model: OthelloGPT) -> Tensor:
    """float64 [d_model, d_model]: W W^T of all readers, every reading place counting alike."""
    weights = {name: tensor.double() for name, tensor in model.state_dict().items()}
    found = []
    for layer in range(model.shape.n_layers):
        heads = [weights[f"blocks.{layer}.attn.W_{letter}"].transpose(0, 1).flatten(1)
                 for letter in "QKV"]  # fmt: skip
        found += [torch.cat(heads, 1), weights[f"blocks.{layer}.mlp.W_in"]]
    read = torch.stack([w @ w.T for w in (*found, weights["unembed.W_U"])])
    return (read / read.diagonal(dim1=1, dim2=2).sum(-1)[:, None, None]).mean(0)


def _vectors(spread: Tensor, wanted: Tensor, room: int) -> Tensor:
    """float64 [names, room], orthonormal columns: the packing that loses least of what is read.

    spread: [names, names], the covariance of the names; wanted: the same size, W W^T of readers.
    """
    root, back = _root(spread)
    left, _, _ = torch.linalg.svd(root @ _root(wanted)[0])
    vectors: Tensor = torch.linalg.qr(back @ left[:, :room]).Q
    return vectors


def _root(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """The square root of a positive matrix, and its inverse."""
    values, vectors = torch.linalg.eigh(matrix)
    roots = values.clamp(min=float(values.max()) * SMALLEST).sqrt()
    return vectors * roots @ vectors.T, vectors / roots @ vectors.T
