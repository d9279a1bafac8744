"""One game in progress, as chess libraries have it: moves are pushed and popped."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from extracted_rules.othello.game import BLACK, WHITE, IllegalGameError, Turn, start, unpack
from extracted_rules.othello.geometry import STANDARD, Geometry, NotationError
from extracted_rules.othello.notation import format_transcript, parse_transcript
from extracted_rules.othello.svg import Picture

#: What is said of a side by its colour; 0 where neither can move any more.
TO_MOVE = {BLACK: "black to move", WHITE: "white to move", 0: "the game is over"}
_SIGNS = {BLACK: "X", WHITE: "O", 0: "."}


@dataclass(frozen=True)
class _State:
    """turn: a batch of the one position; colour: that of the side that it calls mine."""

    turn: Turn
    colour: int


class Position:
    """A position and the moves that led there, from the start of the game.

    A side that cannot move is passed over at once, as a pass is no move. Moves are labels such as
    ``"f5"`` or ``"F5"``, or squares. Raises BoardError for a board that there is not.
    """

    def __init__(self, board: int = STANDARD) -> None:
        self.geometry = Geometry(board)
        self._moves: list[int] = []
        #: After 0, 1, 2 ... moves.
        self._states: list[_State] = []
        self._enter(*start(1, board), BLACK)

    @classmethod
    def after(cls, transcript: str, board: int = STANDARD) -> Self:
        """The position after a game's moves, such as ``"f5d6c3"``.

        Raises NotationError or IllegalGameError.
        """
        position = cls(board)
        for square in parse_transcript(transcript, board):
            position.push(square)
        return position

    def copy(self) -> Self:
        """Another one that goes its own way from here on."""
        other = type(self)(self.geometry.size)
        other._moves, other._states = self._moves.copy(), self._states.copy()
        return other

    # ------------------------------------------------------------------ moves

    def push(self, move: str | int) -> None:
        """Play a move. Raises IllegalGameError, and NotationError for what is no square."""
        square = self._legal(move)
        mine, theirs, _ = self._turn.after(_bit(square))
        self._moves.append(square)
        self._enter(mine, theirs, -self._states[-1].colour)

    def pop(self) -> str:
        """Take the last move back, and return its label. Raises IndexError at the start."""
        square = self._moves.pop()
        self._states.pop()
        return self.geometry.labels[square]

    @property
    def legal_moves(self) -> list[str]:
        """Labels, from A1 on."""
        return self._labels(self._turn.legal)

    def flips(self, move: str | int) -> list[str]:
        """The labels of the discs that a legal move turns. Raises as :meth:`push`."""
        return self._labels(self._turn.after(_bit(self._legal(move)))[2])

    # ------------------------------------------------------------------ what there is to see

    @property
    def board(self) -> Tensor:
        """int8 [n_squares]: +1 black, -1 white."""
        mine, theirs = self._squares(self._turn.mine), self._squares(self._turn.theirs)
        return (mine.to(torch.int8) - theirs.to(torch.int8)) * self._states[-1].colour

    @property
    def turn(self) -> int:
        """The colour that moves next, +1 black or -1 white; 0 when the game is over."""
        return 0 if self.is_over else self._states[-1].colour

    @property
    def passed(self) -> bool:
        """Whether the side that alternation names could not move, so that the same one moves."""
        return not self.is_over and len(self._turn.exchanged) > 0

    @property
    def is_over(self) -> bool:
        return not bool(self._turn.legal)

    @property
    def transcript(self) -> str:
        """The moves so far, such as ``"f5d6c3"``."""
        return format_transcript(self._moves, self.geometry.size)

    @property
    def tokens(self) -> Tensor:
        """int64 [moves]: the moves so far as a model reads them."""
        return self.geometry.token_of_square[self._moves]

    @property
    def picture(self) -> Picture:
        """The board with its legal moves, to be drawn."""
        n = len(self._moves)
        title = f"after {n} move{'' if n == 1 else 's'}: {TO_MOVE[self.turn]}"
        return Picture(self.board, self._squares(self._turn.legal), title)

    def _repr_svg_(self) -> str:
        return self.picture.svg()

    def __repr__(self) -> str:
        return f"Position.after({self.transcript!r}, board={self.geometry.size})"

    def __str__(self) -> str:
        """X black, O white, * a legal move."""
        n, legal = self.geometry.size, self._squares(self._turn.legal).tolist()
        signs = [
            "*" if may else _SIGNS[disc]
            for disc, may in zip(self.board.tolist(), legal, strict=True)
        ]
        rows = [" ".join([str(row + 1), *signs[n * row : n * row + n]]) for row in range(n)]
        columns = " ".join(label[0] for label in self.geometry.labels[:n])
        return "\n".join([f"  {columns}", *rows, TO_MOVE[self.turn]])

    # ------------------------------------------------------------------ within

    @property
    def _turn(self) -> Turn:
        return self._states[-1].turn

    def _enter(self, mine: Tensor, theirs: Tensor, colour: int) -> None:
        """Go on to a position in which alternation names a colour."""
        turn = Turn.resolve(self.geometry.size, mine, theirs)
        self._states.append(_State(turn, -colour if len(turn.exchanged) else colour))

    def _legal(self, move: str | int) -> int:
        square = self.geometry.square_of(move) if isinstance(move, str) else move
        if not 0 <= square < self.geometry.n_squares:
            raise NotationError(f"{square} is no square of the {self.geometry} board")
        if not bool(_bit(square) & self._turn.legal):
            reason = f"{self.geometry.labels[square]} {self._turn.refusal(0, square)}"
            raise IllegalGameError(None, len(self._moves) + 1, reason)
        return square

    def _squares(self, bitboard: Tensor) -> Tensor:
        """bool [n_squares]."""
        return unpack(bitboard, self.geometry.size)[0]

    def _labels(self, bitboard: Tensor) -> list[str]:
        return [self.geometry.labels[s] for s in self._squares(bitboard).nonzero().flatten()]


def _bit(square: int) -> Tensor:
    """The bitboard int64 [1] of a square."""
    return torch.ones(1, dtype=torch.int64) << square
