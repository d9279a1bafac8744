"""The board as a shape: squares, tokens, lines and symmetries, for 4, 6 and 8 squares a side.

A *square* is 0..n^2-1, row-major from A1 (``n * row + column``, row 0 is rank 1). A *token* is what
Othello-GPT reads: 0 for "no move" (pass or padding), from 1 on the squares that can be played,
row-major with the four centre squares skipped (Li et al. 2022).

A *pattern* (start, direction, length): from the start square in the direction come exactly
``length`` discs and then one more. With the discs theirs and the last one mine it decides both
what a move at ``start`` flips and whether ``start`` is legal. There are 1036 on the board of eight
and 960 whose start can be played. A *bracket* is a pattern without its sense: two ends with a run
between them; each of the 518 brackets is two patterns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

from extracted_rules.errors import UserError

Table = TypeVar("Table")

#: Squares a side of the boards there are, and of the one that everybody plays on.
SIZES = (4, 6, 8)
STANDARD = 8
NO_MOVE = 0
#: The eight directions, clockwise from north, as (row step, column step).
DIRECTIONS: tuple[tuple[int, int], ...] = (
    (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1),
)  # fmt: skip
DIRECTION_NAMES = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")


class BoardError(UserError):
    """A board that does not exist, or that does not fit; the message is one sentence."""


class NotationError(UserError):
    """A label, square or transcript that cannot be read; the message is one sentence."""


@dataclass(frozen=True)
class Pattern:
    """From ``start`` in ``direction``: the discs of ``run``, nearest first, then ``end``."""

    start: int
    direction: int
    run: tuple[int, ...]
    end: int
    name: str  # such as ``C4.E2``: from C4 eastwards over two discs

    @property
    def length(self) -> int:
        """Discs between start and end."""
        return len(self.run)


@dataclass(frozen=True)
class Bracket:
    """Two end squares and the run between them; ``ends[0] < ends[1]``."""

    ends: tuple[int, int]
    run: tuple[int, ...]
    name: str  # such as ``C4-F4``: both ends, with everything between


def _table(make: Callable[[Any], Table]) -> "cached_property[Table]":
    """A cached_property whose tensors may be trained with, though it be asked for first in
    inference mode."""
    return cached_property(torch.inference_mode(mode=False)(make))


def made_once(make: Callable[..., Table]) -> Callable[..., Table]:
    """The same for a function of a board: what it gives is kept."""
    return cache(torch.inference_mode(mode=False)(make))


@dataclass(frozen=True)
class Geometry:
    """A board of ``size`` squares a side. There is one object a size, with its tables made once.

    Raises BoardError for a size that is not in SIZES.
    """

    size: int = STANDARD

    def __new__(cls, size: int = STANDARD) -> "Geometry":
        known = _KNOWN.get(size) if isinstance(size, int) else None
        return known if known is not None else super().__new__(cls)

    def __post_init__(self) -> None:
        if type(self.size) is not int or self.size not in SIZES:
            sizes = ", ".join(map(str, SIZES[:-1]))
            raise BoardError(f"a board has {sizes} or {SIZES[-1]} squares a side, not {self.size}")
        _KNOWN.setdefault(self.size, self)

    def __reduce__(self) -> tuple[type["Geometry"], tuple[int]]:
        return Geometry, (self.size,)

    @classmethod
    def of_tokens(cls, n_tokens: int) -> "Geometry":
        """The board whose moves are so many tokens, as a model's vocabulary says. Raises
        BoardError."""
        for size in SIZES:
            if cls(size).n_tokens == n_tokens:
                return cls(size)
        known = ", ".join(f"{cls(size).n_tokens} of {size} x {size}" for size in SIZES)
        raise BoardError(f"no board has a vocabulary of {n_tokens} tokens; there are {known}")

    def __str__(self) -> str:
        return f"{self.size} x {self.size}"

    # ------------------------------------------------------------------ counts

    @property
    def n_squares(self) -> int:
        return self.size**2

    @property
    def max_plies(self) -> int:
        """Moves of the longest game: every square but the centre."""
        return self.n_squares - 4

    @property
    def n_tokens(self) -> int:
        return self.max_plies + 1

    @property
    def context(self) -> int:
        """Positions of a game that predict a move: position t has seen moves 0..t."""
        return self.max_plies - 1

    @property
    def max_distance(self) -> int:
        return self.size - 1

    @property
    def max_length(self) -> int:
        """Discs of the longest run between two ends."""
        return self.size - 2

    # ------------------------------------------------------------------ squares and tokens

    @_table
    def labels(self) -> tuple[str, ...]:
        """Of every square: column letter, then row, such as ``F5``."""
        return tuple(
            f"{'ABCDEFGH'[s % self.size]}{s // self.size + 1}" for s in range(self.n_squares)
        )

    @_table
    def centre(self) -> tuple[int, ...]:
        """The four squares that are taken at the start, row-major."""
        low, high = self.size // 2 - 1, self.size // 2
        return tuple(self.size * row + column for row in (low, high) for column in (low, high))

    @_table
    def playable(self) -> tuple[int, ...]:
        """Every other square; that of token k is number k - 1."""
        return tuple(s for s in range(self.n_squares) if s not in self.centre)

    @_table
    def rim(self) -> Tensor:
        """bool [n_squares]: the squares on the border of the board."""
        inside = torch.zeros(self.size - 2, self.size - 2, dtype=torch.bool)
        return torch.nn.functional.pad(inside, (1, 1, 1, 1), value=True).flatten()

    @_table
    def square_of_token(self) -> Tensor:
        """int64 [n_tokens]: the square of each token; token 0 maps to one past the board."""
        return torch.tensor([self.n_squares, *self.playable])

    @_table
    def token_of_square(self) -> Tensor:
        """int64 [n_squares + 1]: the token of each square; 0 for the centre and past the board."""
        tokens = torch.zeros(self.n_squares + 1, dtype=torch.int64)
        tokens[list(self.playable)] = torch.arange(1, self.n_tokens)
        return tokens

    @_table
    def _square_of_label(self) -> dict[str, int]:
        return {label: square for square, label in enumerate(self.labels)}

    @_table
    def _token_of_playable(self) -> dict[int, int]:
        return {square: token for token, square in enumerate(self.playable, start=1)}

    def square_of(self, label: str) -> int:
        """The square of a label such as ``"f5"`` or ``"F5"``; NotationError otherwise."""
        square = self._square_of_label.get(label.upper())
        if square is None:
            raise NotationError(
                f"{label!r} is not a square of the {self} board (A1..{self.labels[-1]})"
            )
        return square

    def token_of(self, square: int) -> int:
        """The token of a playable square; NotationError for the centre or off the board."""
        token = self._token_of_playable.get(square)
        if token is None:
            where = self.labels[square] if 0 <= square < self.n_squares else str(square)
            raise NotationError(f"{where} is never played on the {self} board")
        return token

    # ------------------------------------------------------------------ the start

    @property
    def start_black(self) -> tuple[int, int]:
        """The squares of black, who moves first."""
        return self.centre[1], self.centre[2]

    @property
    def start_white(self) -> tuple[int, int]:
        return self.centre[0], self.centre[3]

    @_table
    def first_moves(self) -> tuple[int, ...]:
        """The four squares where black may begin: across a white disc from one of its own."""
        (up_left, down_right), n = self.start_white, self.size
        return up_left - n, up_left - 1, down_right + 1, down_right + n

    # ------------------------------------------------------------------ lines

    def ray(self, square: int, direction: int) -> list[int]:
        """The squares behind ``square`` in a direction, nearest first, to the board's border."""
        n, (row_step, column_step) = self.size, DIRECTIONS[direction]
        row, column = divmod(square, n)
        squares = []
        while 0 <= (row := row + row_step) < n and 0 <= (column := column + column_step) < n:
            squares.append(n * row + column)
        return squares

    @_table
    def rays(self) -> Tensor:
        """int64 [n_squares, 8, max_distance]: the square k + 1 steps from s, or n_squares off the
        board."""
        off = [self.n_squares] * self.max_distance
        return torch.tensor(
            [
                [(self.ray(s, d) + off)[: self.max_distance] for d in range(8)]
                for s in range(self.n_squares)
            ]
        )

    @_table
    def touching(self) -> Tensor:
        """bool [n_squares, n_squares]: those that touch one another, diagonally too."""
        n = self.n_squares
        near = torch.zeros(n, n + 1, dtype=torch.bool)
        return near.scatter_(1, self.rays[:, :, 0], value=True)[:, :n]

    @_table
    def all_patterns(self) -> tuple[Pattern, ...]:
        """Every pattern, those that start in the centre too, by start, direction and length."""
        return tuple(
            Pattern(
                start,
                direction,
                tuple(ray[:length]),
                ray[length],
                f"{self.labels[start]}.{DIRECTION_NAMES[direction]}{length}",
            )
            for start in range(self.n_squares)
            for direction in range(8)
            for ray in [self.ray(start, direction)]
            for length in range(1, len(ray))
        )

    @_table
    def patterns(self) -> tuple[Pattern, ...]:
        """Those whose start can be played."""
        return tuple(p for p in self.all_patterns if p.start not in self.centre)

    @_table
    def brackets(self) -> tuple[Bracket, ...]:
        return tuple(
            Bracket((p.start, p.end), p.run, f"{self.labels[p.start]}-{self.labels[p.end]}")
            for p in self.all_patterns
            if p.start < p.end
        )

    @_table
    def pattern_by_name(self) -> dict[str, Pattern]:
        """Those whose start can be played."""
        return {pattern.name: pattern for pattern in self.patterns}

    @_table
    def row_of_pattern(self) -> dict[str, int]:
        """The place among ``patterns`` of each, by its name."""
        return {pattern.name: row for row, pattern in enumerate(self.patterns)}

    @_table
    def bracket_by_name(self) -> dict[str, Bracket]:
        return {bracket.name: bracket for bracket in self.brackets}

    @_table
    def senses(self) -> dict[str, tuple[Pattern, ...]]:
        """The one or two patterns that a bracket is, by its name; ends that are never played start
        none."""
        by_ends = {(pattern.start, pattern.end): pattern for pattern in self.patterns}
        return {
            bracket.name: tuple(
                by_ends[ends] for ends in (bracket.ends, bracket.ends[::-1]) if ends in by_ends
            )
            for bracket in self.brackets
        }

    # ------------------------------------------------------------------ symmetries

    @_table
    def symmetries(self) -> Tensor:
        """int64 [8, n_squares]: ``board[..., symmetries[k]]`` is the transformed board: its square
        s holds what square symmetries[k, s] held. Row 0 is the identity."""
        board = torch.arange(self.n_squares).view(self.size, self.size)
        boards = [
            torch.rot90(side, turns).flatten() for side in (board, board.T) for turns in range(4)
        ]
        return torch.stack(boards)

    @_table
    def start_symmetries(self) -> tuple[int, ...]:
        """The symmetries that map the start position to itself (colours included), so legal games
        to legal games: the identity, the half turn and the two diagonal reflections."""
        white = set(self.start_white)
        return tuple(
            k for k in range(8) if set(self.symmetries[k, list(self.start_white)].tolist()) == white
        )

    def transform_tokens(self, tokens: Tensor, symmetry: int) -> Tensor:
        """Tokens of the games as seen on the transformed board; same shape and dtype.

        A move on square symmetries[k, s] becomes a move on s.
        """
        moved_to = self.symmetries[symmetry].argsort()
        table = torch.zeros(self.n_tokens, dtype=tokens.dtype)
        table[1:] = self.token_of_square[moved_to[list(self.playable)]].to(tokens.dtype)
        return table.to(tokens.device)[tokens.long()]

    @_table
    def _pair_classes(self) -> tuple[tuple[tuple[int, int], ...], Tensor]:
        n = self.n_squares
        smallest = (self.symmetries[:, :, None] * n + self.symmetries[:, None]).amin(0)
        near = torch.eye(n, n + 1, dtype=torch.bool)
        near.scatter_(1, self.rays[..., : self.max_length].flatten(1), value=True)
        near = near[:, :n]
        near[list(self.centre)] = False
        found, place = torch.unique(smallest[near], return_inverse=True)
        classes = torch.zeros(n, n, dtype=torch.int64)
        classes[near] = place + 1
        return tuple(divmod(pair, n) for pair in found.tolist()), classes

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The square of a move and that of a disc, the same or on a line with it within the reach
        of a run, up to the board's symmetries: one pair of each class."""
        return self._pair_classes[0]

    @property
    def pair_class(self) -> Tensor:
        """int64 [n_squares, n_squares], by move and disc: the number of the pair's class plus 1, or
        0 for any other pair."""
        return self._pair_classes[1]


_KNOWN: dict[int, Geometry] = {}
