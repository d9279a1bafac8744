"""What is known of games without any rule about colours: all that depends on tokens alone."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from extracted_rules.othello.notation import CENTRE, N_SQUARES, SQUARE_OF_TOKEN, token_of
from extracted_rules.othello.patterns import RAYS
from handbuilt.interpreter.brackets import bracket_matrices

#: The four first moves, by square.
FIRST_MOVES: tuple[int, ...] = (19, 26, 37, 44)


@dataclass
class Facts:
    """Tensors over games, in the dtype of the strengths but for indices, which are int64.

    placed, occupied: [B, T, 64], the move's disc; what is on the board once it lies there. first:
    int64 [B], which of FIRST_MOVES the game began with. rays: int64 [B, T, 8, 7] squares from the
    move. possible: [B, T, 8, 6], 1 where a line of that length has no blank. later: [T], 0 at
    position 0, which is known by heart and tells nobody anything, else 1.
    """

    placed: Tensor
    occupied: Tensor
    first: Tensor
    rays: Tensor
    possible: Tensor
    later: Tensor

    @classmethod
    def of(cls, tokens: Tensor, dtype: torch.dtype) -> "Facts":
        """The facts of games int64 [B, T]."""
        games, positions = tokens.shape
        home = tokens.device
        squares = SQUARE_OF_TOKEN.to(home)[tokens]
        placed = torch.zeros(games, positions, N_SQUARES + 1, dtype=dtype, device=home)
        placed = placed.scatter_(2, squares[..., None], 1.0)[..., :N_SQUARES]
        occupied = placed.cumsum(1)
        occupied[..., list(CENTRE)] = 1
        firsts = torch.tensor([token_of(square) for square in FIRST_MOVES], device=home)
        first = (tokens[:, :1] == firsts).long().argmax(-1)
        rays = RAYS.to(home)[squares.clamp(max=N_SQUARES - 1)]
        discs = along(occupied, rays).cumprod(-1)
        possible = discs[..., 1:] * (squares < N_SQUARES)[..., None, None]
        possible[:, 0] = 0
        later = (torch.arange(positions, device=home) > 0).to(dtype)
        return cls(placed, occupied, first, rays, possible, later)

    def open_lines(self, at: Tensor | None) -> Tensor:
        """[B, P, 518]: 1 for brackets with no blank inside, at the positions ``at`` [B, P]."""
        runs = bracket_matrices()[0].to(self.placed)
        unbroken = ((1 - pick(self.occupied, at)) @ runs.T < 0.5).to(self.placed.dtype)
        ply = torch.arange(unbroken.shape[1], device=unbroken.device) if at is None else at
        first = ply == 0
        return unbroken * ~first[..., None]


def pick(x: Tensor, at: Tensor | None) -> Tensor:
    """x [B, T, n] at positions [B, P]; all of them without ``at``."""
    return x if at is None else x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))


def along(x: Tensor, rays: Tensor) -> Tensor:
    """[B, T, 8, 7]: x [B, T, 64] on the rays; 0 off the board."""
    padded = nn.functional.pad(x, (0, 1))
    return padded.gather(2, rays.flatten(2)).view(rays.shape)


def onto(values: Tensor, rays: Tensor) -> Tensor:
    """[B, T, 64]: values [B, T, 8, 7] on the rays, summed by square."""
    board = values.new_zeros(*values.shape[:2], N_SQUARES + 1)
    return board.scatter_add(2, rays.flatten(2), values.flatten(2))[..., :N_SQUARES]
