"""A model's residual stream over games, and what it is read against."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from extracted_rules.othello.game import Replay, replay
from handbuilt.network.transformer import OthelloGPT

#: Games of a pass that keeps activations: the residual stream of a game takes about 1 MiB.
READ_GAMES = 32
#: Where the residual stream is read unless another place is named.
BEHIND = "hook_resid_post"


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
