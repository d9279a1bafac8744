"""What is known of games without any rule about colours: all that depends on tokens alone."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from extracted_rules.othello.geometry import Geometry
from handbuilt.interpreter.brackets import bracket_matrices


@dataclass
class Facts:
    """Tensors over games, in the dtype of the strengths but for indices, which are int64.

    placed, occupied: [B, T, squares], the move's disc; what is on the board once it lies there.
    first: int64 [B], which of the board's first moves the game began with. rays: int64 [B, T, 8,
    distances] squares from the move. possible: [B, T, 8, lengths], 1 where a line of that length
    has no blank. later: [T], 0 at position 0, which is known by heart and tells nobody anything,
    else 1.
    """

    board: Geometry
    placed: Tensor
    occupied: Tensor
    first: Tensor
    rays: Tensor
    possible: Tensor
    later: Tensor

    @classmethod
    def of(cls, tokens: Tensor, board: Geometry, dtype: torch.dtype) -> "Facts":
        """The facts of games int64 [B, T]."""
        games, positions = tokens.shape
        home, n = tokens.device, board.n_squares
        squares = board.square_of_token.to(home)[tokens]
        placed = torch.zeros(games, positions, n + 1, dtype=dtype, device=home)
        placed = placed.scatter_(2, squares[..., None], 1.0)[..., :n]
        occupied = placed.cumsum(1)
        occupied[..., list(board.centre)] = 1
        firsts = torch.tensor([board.token_of(square) for square in board.first_moves], device=home)
        first = (tokens[:, :1] == firsts).long().argmax(-1)
        rays = board.rays.to(home)[squares.clamp(max=n - 1)]
        discs = along(occupied, rays).cumprod(-1)
        possible = discs[..., 1:] * (squares < n)[..., None, None]
        possible[:, 0] = 0
        later = (torch.arange(positions, device=home) > 0).to(dtype)
        return cls(board, placed, occupied, first, rays, possible, later)

    def open_lines(self, at: Tensor | None) -> Tensor:
        """[B, P, brackets]: 1 for those with no blank inside, at the positions ``at`` [B, P]."""
        runs = bracket_matrices(self.board)[0].to(self.placed)
        unbroken = ((1 - pick(self.occupied, at)) @ runs.T < 0.5).to(self.placed.dtype)
        ply = torch.arange(unbroken.shape[1], device=unbroken.device) if at is None else at
        first = ply == 0
        return unbroken * ~first[..., None]


def pick(x: Tensor, at: Tensor | None) -> Tensor:
    """x [B, T, n] at positions [B, P]; all of them without ``at``."""
    return x if at is None else x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))


def along(x: Tensor, rays: Tensor) -> Tensor:
    """[B, T, 8, distances]: x [B, T, squares] on the rays; 0 off the board."""
    padded = nn.functional.pad(x, (0, 1))
    return padded.gather(2, rays.flatten(2)).view(rays.shape)


def onto(values: Tensor, rays: Tensor, n_squares: int) -> Tensor:
    """[B, T, squares]: values [B, T, 8, distances] on the rays, summed by square."""
    squares = values.new_zeros(*values.shape[:2], n_squares + 1)
    return squares.scatter_add(2, rays.flatten(2), values.flatten(2))[..., :n_squares]
