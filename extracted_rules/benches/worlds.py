"""Boards on which games are played on, whether or not moves lead there."""

from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.othello.game import flipped_by, legal_moves, pack, unpack
from extracted_rules.othello.geometry import Geometry


@dataclass
class World:
    """Boards on which some games are played on. board: int8 [B, squares], +1 black; mover: int8
    [B], the side that really moves, 0 where none can."""

    geometry: Geometry
    board: Tensor
    mover: Tensor

    def _sides(self, board: Tensor) -> tuple[Tensor, Tensor]:
        """Bitboards int64 [B] of the mover's discs and of the other side's."""
        mover = self.mover[:, None]
        return pack(board == mover), pack(board == -mover)

    def legal(self, board: Tensor | None = None) -> Tensor:
        """bool [B, moves], by token - 1: the mover's legal moves, here or on another board."""
        size = self.geometry.size
        sides = self._sides(self.board if board is None else board)
        legal = unpack(legal_moves(*sides, size), size) & (self.mover != 0)[:, None]
        return legal[:, list(self.geometry.playable)]

    def play(self, move: Tensor, moves: Tensor) -> None:
        """Make the mover's legal moves, int64 [B] by token - 1, where ``moves``, bool [B]; passes
        are made at once."""
        size = self.geometry.size
        square = self.geometry.square_of_token.to(move.device)[move + 1]
        placed = torch.ones_like(square) << square
        turned = unpack(flipped_by(placed, *self._sides(self.board), size) | placed, size)
        board = torch.where(turned & moves[:, None], self.mover[:, None], self.board)
        after = World(self.geometry, board, -self.mover)
        after.mover = torch.where(after.legal().any(-1), after.mover, self.mover)
        after.mover = after.mover.masked_fill(~after.legal().any(-1), 0)
        self.board, self.mover = board, torch.where(moves, after.mover, self.mover)
