"""What any model must beat: predictors that know next to nothing of the game."""

from functools import cache

import torch
from torch import Tensor, nn

from extracted_rules.othello.game import random_games
from extracted_rules.othello.geometry import STANDARD, Geometry

NEVER = -30.0


@cache
def _beside(geometry: Geometry) -> Tensor:
    """float [tokens, tokens]: 1 where two tokens' squares touch; column 0: where one touches the
    centre."""
    touches = nn.functional.pad(geometry.touching.float(), (0, 1, 0, 1))
    squares = geometry.square_of_token
    table = touches[squares][:, squares]
    table[:, 0] = touches[squares][:, list(geometry.centre)].amax(-1)
    return table


class Baseline(nn.Module):
    """A predictor for one board, of so many squares a side."""

    def __init__(self, board: int = STANDARD) -> None:
        super().__init__()
        self.geometry = Geometry(board)

    def played(self, tokens: Tensor) -> Tensor:
        """bool [B, T, tokens]: those played up to and including each position; 0 counts as
        played."""
        one_hot = nn.functional.one_hot(tokens, self.geometry.n_tokens).bool()
        seen = one_hot.cummax(1).values
        seen[..., 0] = True
        return seen


class UniformEmpty(Baseline):
    """Every empty square is as good as any other.

    Ties for the most likely move are broken by a fixed shuffle, different at every position.
    """

    shuffle: Tensor

    def __init__(self, board: int = STANDARD) -> None:
        super().__init__(board)
        generator = torch.Generator().manual_seed(0)
        shape = (self.geometry.max_plies, self.geometry.n_tokens)
        self.register_buffer("shuffle", 1e-4 * torch.rand(shape, generator=generator))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits float32 [B, T, tokens] of tokens int64 [B, T]."""
        return torch.where(self.possible(tokens), self.shuffle[: tokens.shape[1]], NEVER)

    def possible(self, tokens: Tensor) -> Tensor:
        """bool [B, T, tokens]"""
        return ~self.played(tokens)


class UniformBeside(UniformEmpty):
    """Every empty square beside a disc is as good as any other."""

    def possible(self, tokens: Tensor) -> Tensor:
        """bool [B, T, tokens]"""
        played = self.played(tokens)
        return ~played & (played.float() @ _beside(self.geometry).T.to(tokens.device) > 0)


class Bigram(Baseline):
    """The next move by how often it followed the last one, on empty squares.

    Parity-blind: it does not know whose move it is. Its counts come from 8,192 random games of
    the purpose "ngram", which no bench uses.
    """

    log_counts: Tensor

    def __init__(self, board: int = STANDARD) -> None:
        super().__init__(board)
        n = self.geometry.n_tokens
        games = torch.cat(list(random_games(8192, 0, board=board, purpose="ngram"))).long()
        pairs = games[:, :-1] * n + games[:, 1:]
        counts = torch.bincount(pairs.flatten(), minlength=n**2).view(n, n)
        self.register_buffer("log_counts", (counts + 1.0).log())

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits float32 [B, T, tokens] of tokens int64 [B, T]."""
        return self.log_counts[tokens].masked_fill(self.played(tokens), NEVER)


BASELINES: dict[str, type[Baseline]] = {
    "uniform-empty": UniformEmpty,
    "uniform-beside": UniformBeside,
    "bigram": Bigram,
}
