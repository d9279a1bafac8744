"""A model's residual stream over games: kept, or walked through layer by layer.

Whoever looks into layers or replaces what is in them starts with the stream before the first one,
takes it through layer after layer, and lets the rest of the model finish.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from extracted_rules.othello.game import Replay, random_games, replay
from handbuilt.network.transformer import OthelloGPT

#: Games of a pass that keeps activations: the residual stream of a game takes about 1 MiB.
READ_GAMES = 32
#: Where the residual stream is read unless another place is named.
BEHIND = "hook_resid_post"
#: Gives back what a layer goes on with; None for the value as it was.
Change = Callable[[Tensor], Tensor | None]


def mover_frame(played: Replay) -> Tensor:
    """int8 [B, P + 1, squares]: the boards for the side that really moves next (after an unseen
    pass, not the one that alternation names): +1 mine, -1 theirs, 0 empty; all 0 once the game is
    over."""
    return played.boards * played.movers.unsqueeze(-1)


def residuals(
    model: OthelloGPT,
    games: Tensor,
    places: Sequence[str] = (BEHIND,),
    layers: Sequence[int] | None = None,
) -> Iterator[tuple[Tensor, Replay]]:
    """(the residual stream, float [layers, b, T, d_model], of several places one after the other in
    every layer; the games played), over legal games uint8 [B, P] on the model's device, READ_GAMES
    at a time. T is P, or the context if that is shorter; layers: all by default.
    """
    geometry = model.geometry
    layers = range(model.shape.n_layers) if layers is None else layers
    names = [f"blocks.{layer}.{place}" for layer in layers for place in places]
    for tokens in torch.split(games, READ_GAMES):
        with torch.inference_mode():
            _, kept = model.run_with_cache(tokens[:, : geometry.context].long(), names)
        yield torch.stack([kept[name] for name in names]), replay(tokens, board=geometry.size)


def games_for(model: OthelloGPT, games: int, seed: int, purpose: str) -> Iterator[Tensor]:
    """Random games uint8 [b, max_plies] on the model's board and device, in batches."""
    board, device = model.geometry.size, model.device
    return random_games(games, seed, board=board, purpose=purpose, device=device)


def random_replays(model: OthelloGPT, games: int, seed: int, purpose: str) -> Iterator[Replay]:
    """The same, replayed, READ_GAMES at a time."""
    for chunk in games_for(model, games, seed, purpose):
        for tokens in torch.split(chunk, READ_GAMES):
            yield replay(tokens, board=model.geometry.size)


def moves_of(played: Replay) -> Tensor:
    """int64 [B, context]: what a model reads of games."""
    return played.tokens[:, : played.geometry.context].long()


def start(model: OthelloGPT, played: Replay) -> Tensor:
    """float32 [B, context, d_model]: the residual stream before the first layer."""
    tokens = moves_of(played)
    stream: Tensor = model.embed(tokens) + model.pos_embed(tokens)
    return stream


def through(
    model: OthelloGPT,
    layer: int,
    stream: Tensor,
    names: Collection[str] = (),
    changes: Mapping[str, Change] | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """(the stream behind a layer, from that before it; activations that are asked for). Names are
    those within the layer, such as "mlp.hook_post"; ``changes`` come before what is kept."""
    kept: dict[str, Tensor] = {}
    changes = changes or {}

    def keep(name: str, value: Tensor) -> Tensor:
        if name in changes and (changed := changes[name](value)) is not None:
            value = changed
        if name in names:
            kept[name] = value
        return value

    return model.blocks[layer](stream, keep), kept


def streams_of(model: OthelloGPT, played: Replay) -> list[Tensor]:
    """The stream before every layer and behind the last."""
    streams = [start(model, played)]
    for layer in range(model.shape.n_layers):
        streams.append(through(model, layer, streams[-1])[0])
    return streams


def finish(model: OthelloGPT, stream: Tensor, first: int) -> Tensor:
    """float32 [B, context, tokens]: logits from the stream before a layer, or behind the last."""
    for layer in range(first, model.shape.n_layers):
        stream, _ = through(model, layer, stream)
    logits: Tensor = model.unembed(model.ln_final(stream, lambda _, value: value))
    return logits


@torch.no_grad()
def mean_activations(
    model: OthelloGPT,
    names: Sequence[str],
    games: int,
    seed: int,
    purpose: str,
    progress: Callable[[int], None] = lambda _: None,
) -> Tensor:
    """float32 [names, ...]: activations of the same size, their means over random games."""
    total, number = torch.zeros(()), 0
    for played in random_replays(model, games, seed, purpose):
        _, kept = model.run_with_cache(moves_of(played), names)
        total = total + torch.stack([kept[name].sum(0) for name in names])
        number += len(played.tokens)
        progress(len(played.tokens))
    return total / number
