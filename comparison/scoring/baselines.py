"""What any model must beat: predictors that know next to nothing of the game."""

from functools import cache

import torch
from torch import Tensor, nn

from extracted_rules.othello.game import random_games
from extracted_rules.othello.notation import CENTRE, MAX_PLIES, N_SQUARES, N_TOKENS, SQUARE_OF_TOKEN
from extracted_rules.othello.patterns import RAYS

NEVER = -30.0


def _played(tokens: Tensor) -> Tensor:
    """bool [B, T, 61]: the tokens played up to and including each position; 0 counts as played."""
    one_hot = nn.functional.one_hot(tokens, N_TOKENS).bool()
    seen = one_hot.cummax(1).values
    seen[..., 0] = True
    return seen


@cache
def _beside() -> Tensor:
    """float [61, 61]: 1 where two tokens' squares touch; column 0: where one touches the centre."""
    touches = torch.zeros(N_SQUARES + 1, N_SQUARES + 1)
    for square in range(N_SQUARES):
        touches[square, RAYS[square, :, 0]] = 1
    squares = SQUARE_OF_TOKEN.clone()
    table = touches[squares][:, squares]
    table[:, 0] = touches[squares][:, list(CENTRE)].amax(-1)
    return table


class UniformEmpty(nn.Module):
    """Every empty square is as good as any other.

    Ties for the most likely move are broken by a fixed shuffle, different at every position.
    """

    shuffle: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("shuffle", 1e-4 * torch.rand(MAX_PLIES, N_TOKENS, generator=generator))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits float32 [B, T, 61] of tokens int64 [B, T]."""
        return torch.where(self.possible(tokens), self.shuffle[: tokens.shape[1]], NEVER)

    def possible(self, tokens: Tensor) -> Tensor:
        """bool [B, T, 61]"""
        return ~_played(tokens)


class UniformBeside(UniformEmpty):
    """Every empty square beside a disc is as good as any other."""

    def possible(self, tokens: Tensor) -> Tensor:
        """bool [B, T, 61]"""
        played = _played(tokens)
        return ~played & (played.float() @ _beside().T.to(tokens.device) > 0)


class Bigram(nn.Module):
    """The next move by how often it followed the last one, on empty squares.

    Parity-blind: it does not know whose move it is. Its counts come from 8,192 random games of
    the purpose "ngram", which no bench uses.
    """

    log_counts: Tensor

    def __init__(self) -> None:
        super().__init__()
        games = torch.cat(list(random_games(8192, 0, purpose="ngram"))).long()
        pairs = games[:, :-1] * N_TOKENS + games[:, 1:]
        counts = torch.bincount(pairs.flatten(), minlength=N_TOKENS**2).view(N_TOKENS, N_TOKENS)
        self.register_buffer("log_counts", (counts + 1.0).log())

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits float32 [B, T, 61] of tokens int64 [B, T]."""
        return self.log_counts[tokens].masked_fill(_played(tokens), NEVER)


BASELINES: dict[str, type[nn.Module]] = {
    "uniform-empty": UniformEmpty,
    "uniform-beside": UniformBeside,
    "bigram": Bigram,
}
