"""A model's answer at one position, as a board to be drawn."""

from math import isqrt

import torch
from torch import Tensor

from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.svg import Picture


def answer(title: str, discs: Tensor, legal: Tensor, log_odds: Tensor, frame: int = -1) -> Picture:
    """discs: int8 [squares], +1 black; legal: bool [squares]; log_odds: float [most plies],
    log p - log tau by token - 1, above zero (blue) where the model predicts a move; frame: a
    square to point at, or -1."""
    playable = Geometry(isqrt(len(discs))).playable
    tint = torch.zeros(len(discs), dtype=torch.float64)
    tint[list(playable)] = log_odds.double().cpu()
    return Picture(
        discs, legal, title, tint, likeliest=playable[int(log_odds.argmax())], frame=frame
    )
