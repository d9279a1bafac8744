"""How much of the board can be decoded, by layer and by the number of moves seen."""

from dataclasses import dataclass
from math import isnan

import torch
from torch import Tensor

from comparison.reading.board_reader import BoardReader
from handbuilt.analysis.streams import residuals

#: Games on which boards that are read are compared with the true ones.
BOARD_GAMES = 200


@dataclass
class BoardAccuracy:
    """How often a model's boards are right, counted by layer and by the moves played on them.

    discs, discs_right, boards, boards_right: int64 [layers, moves], column m for boards after
    m + 1 moves; a board counts as right if all its discs are. squares, squares_right: int64
    [layers, squares], discs seen on a square and those read right. flips_right: int64 [layers,
    moves], boards whose last move's flips are read without an error; None where nobody reads them.
    """

    source: str
    games: int
    discs: Tensor
    discs_right: Tensor
    boards: Tensor
    boards_right: Tensor
    squares: Tensor
    squares_right: Tensor
    flips_right: Tensor | None

    @classmethod
    def zeros(cls, reader: BoardReader) -> "BoardAccuracy":
        """Nothing counted yet of what a reader reads."""
        layers, board = reader.model.shape.n_layers, reader.model.geometry
        by_moves = torch.zeros(5, layers, board.context, dtype=torch.int64)
        by_square = torch.zeros(2, layers, board.n_squares, dtype=torch.int64)
        discs, discs_right, boards, boards_right, flips_right = by_moves
        return cls(
            reader.source,
            games=0,
            discs=discs,
            discs_right=discs_right,
            boards=boards,
            boards_right=boards_right,
            squares=by_square[0],
            squares_right=by_square[1],
            flips_right=flips_right if reader.reads_flips else None,
        )

    def add(self, wrong: Tensor, truth: Tensor) -> None:
        """Count some games' boards: bool [layers, B, moves, squares], discs read wrong, and int8
        [B, moves, squares], the true boards, all 0 where none is asked about."""
        disc = truth != 0
        there = disc.any(-1)
        right, whole = disc & ~wrong, there & ~wrong.any(-1)
        self.discs += disc.sum((0, 2)).cpu()
        self.discs_right += right.sum((1, 3)).cpu()
        self.boards += there.sum(0).cpu()
        self.boards_right += whole.sum(1).cpu()
        self.squares += disc.sum((0, 1)).cpu()
        self.squares_right += right.sum((1, 2)).cpu()
        self.games += len(truth)

    def by_layer(self) -> list[tuple[float, ...]]:
        """(share of discs, share of whole boards, share of whole flips if read) of each layer."""
        boards = self.boards.sum(-1)
        shares = [self.discs_right.sum(-1) / self.discs.sum(-1), self.boards_right.sum(-1) / boards]
        if self.flips_right is not None:
            shares.append(self.flips_right.sum(-1) / boards)
        return list(zip(*(share.tolist() for share in shares), strict=True))

    def as_dict(self) -> dict[str, object]:
        """Plain numbers for JSON, by layer: shares of discs and boards; boards by ply; squares."""
        columns = list(zip(*self.by_layer(), strict=True))
        return {
            "source": self.source,
            "games": self.games,
            "discs": columns[0],
            "whole_boards": columns[1],
            "whole_flips": columns[2] if self.flips_right is not None else None,
            "whole_boards_by_moves_seen": [
                [None if isnan(share) else share for share in layer]
                for layer in self.whole_boards().tolist()
            ],
            "discs_by_square": (self.squares_right / self.squares).tolist(),
        }

    def whole_boards(self) -> Tensor:
        """float [layers, moves]: share of boards without an error; nan where none is read."""
        return self.boards_right / self.boards


@torch.inference_mode()
def board_accuracy(reader: BoardReader, games: Tensor) -> BoardAccuracy:
    """Compare what is read with the truth, as long as the game goes on. games: uint8 [B, P] on the
    model's device."""
    accuracy = BoardAccuracy.zeros(reader)
    for streams, played in residuals(reader.model, games):
        read = reader.decode(streams, played)
        moves = streams.shape[2]
        goes_on = played.movers[:, 1 : moves + 1] != 0
        accuracy.add(
            read.wrong(played) & goes_on[..., None], read.truth(played) * goes_on[..., None]
        )
        if accuracy.flips_right is not None and read.flips is not None:
            right = (read.flips == played.flips[:, :moves]).all(-1) & goes_on
            accuracy.flips_right += right.sum(1).cpu()
    return accuracy
