"""A model's answer at one position, as data to be drawn."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Answer:
    """board: int8 [64], +1 black; legal: bool [64]; log_odds: float [60], log p - log tau by
    token - 1, above zero where the model holds a move for legal; square: one to point at, or -1."""

    title: str
    board: Tensor
    legal: Tensor
    log_odds: Tensor
    square: int = -1
