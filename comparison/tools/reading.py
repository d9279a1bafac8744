"""Games that a tool learns from, and a model's activations on them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.othello.game import random_games, replay
from handbuilt.analysis.streams import READ_GAMES
from handbuilt.network.transformer import OthelloGPT

#: Random games of purposes of their own: to learn from, and to show features on.
LEARNING, SHOWING = "testbed-tools", "testbed-tools-shown"
SHOWN_GAMES = 100


@dataclass(frozen=True)
class Read:
    """tokens: int64 [games, plies]; there: bool [games, plies], where the game goes on; values:
    float32 [games, plies, d], one activation."""

    tokens: Tensor
    there: Tensor
    values: Tensor


@torch.inference_mode()
def read(model: OthelloGPT, place: str, games: int, seed: int, purpose: str = LEARNING) -> Read:
    """An activation on random games."""
    board = model.geometry
    drawn = torch.cat(list(random_games(games, seed, board=board.size, purpose=purpose)))
    moves = drawn[:, : board.context].long()
    values = []
    for some in torch.split(moves, READ_GAMES):
        values.append(model.run_with_cache(some, place)[1][place])
    there = replay(drawn, board=board.size).movers[:, 1 : board.context + 1] != 0
    return Read(moves, there, torch.cat(values))
