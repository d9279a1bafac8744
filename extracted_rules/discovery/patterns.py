"""Which of a board's patterns hold, all at once: as matrices of patterns and squares."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from extracted_rules.conditions import Boards
from extracted_rules.othello.geometry import Geometry


@dataclass(frozen=True)
class PatternTables:
    """The patterns of a board, in its order, as matrices.

    start, end, length: int64 [patterns]; runs: float32 [patterns, squares], 1 on the squares of a
    pattern's run; to_bracket: float32 [patterns, brackets], 1 at the bracket of each.
    """

    start: Tensor
    end: Tensor
    length: Tensor
    runs: Tensor
    to_bracket: Tensor

    def on(self, device: torch.device) -> "PatternTables":
        """The same on a device."""
        return PatternTables(*(table.to(device) for table in vars(self).values()))


@cache
def pattern_tables(geometry: Geometry) -> PatternTables:
    patterns = geometry.patterns
    runs = torch.zeros(len(patterns), geometry.n_squares)
    to_bracket = torch.zeros(len(patterns), len(geometry.brackets))
    row_of = {bracket.ends: row for row, bracket in enumerate(geometry.brackets)}
    for row, pattern in enumerate(patterns):
        runs[row, list(pattern.run)] = 1
        ends = min(pattern.start, pattern.end), max(pattern.start, pattern.end)
        to_bracket[row, row_of[ends]] = 1
    start, end, length = torch.tensor([(p.start, p.end, p.length) for p in patterns]).T
    return PatternTables(start, end, length, runs, to_bracket)


def legal_patterns(boards: Boards) -> Tensor:
    """bool [N, patterns]: which make their start legal for the side that moves next."""
    t = pattern_tables(boards.geometry).on(boards.now.device)
    theirs = (boards.now == -1).float() @ t.runs.T
    return (theirs == t.length) & (boards.now[:, t.start] == 0) & (boards.now[:, t.end] == 1)


def flipped_patterns(boards: Boards) -> Tensor:
    """bool [N, patterns]: along which the move just played turned discs."""
    t = pattern_tables(boards.geometry).on(boards.now.device)
    turned = boards.turned.float() @ t.runs.T
    played = boards.played.unsqueeze(-1) == t.start
    return (turned == t.length) & played & ~boards.turned[:, t.end]


def closed_patterns(boards: Boards) -> Tensor:
    """bool [N, patterns]: which have the move just played for a start, and discs elsewhere."""
    t = pattern_tables(boards.geometry).on(boards.now.device)
    empty = (boards.now == 0).float()
    gaps = empty @ t.runs.T + empty[:, t.end]
    return (gaps == 0) & (boards.played.unsqueeze(-1) == t.start)


def kinds_of_squares(boards: Boards) -> dict[str, Tensor]:
    """bool [rows, moves] each: playable squares by what makes them legal or not."""
    board = boards.geometry
    start_of = torch.nn.functional.one_hot(pattern_tables(board).start, board.n_squares).float()
    legal = (legal_patterns(boards).float() @ start_of) > 0
    blank = boards.now == 0
    touched = ((boards.now != 0).float() @ board.touching.float()) > 0
    kinds = {
        "legal": legal,
        "accessible": blank & ~legal & touched,
        "apart": blank & ~legal & ~touched,
        "occupied": ~blank,
    }
    return {name: squares[:, list(board.playable)] for name, squares in kinds.items()}


def by_square(values: Tensor, squares: Tensor, geometry: Geometry) -> Tensor:
    """float [N, squares, lengths]: how many of some patterns there are for a square, by length.

    values: float [N, patterns]; squares: float [patterns, squares], those that each is for.
    """
    length = pattern_tables(geometry).length
    lengths = torch.nn.functional.one_hot(length - 1, geometry.max_length).to(values)
    spread = torch.einsum("ps,pl->psl", squares.to(values), lengths).flatten(1)
    return (values @ spread).view(len(values), geometry.n_squares, geometry.max_length)
