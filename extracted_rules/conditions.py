"""Conditions on a board, as catalogues write them: what the parts of a rule mean.

A rule has a kind and parts, and holds where any part does. Everything is said in the frame of the
side that really moves next, about the board after the move just played:

- ``pattern`` ``C4.E2``: C4 is empty, the two discs east of it are theirs and the next one is mine,
- ``line`` ``C4-F4``: the same for one of the two senses of a bracket,
- ``line-or-full`` ``C4-F4``: a line, or no square of the bracket is empty: whoever writes to both
  ends need not know the one from the other, as no move is legal on a disc,
- ``flip`` ``C4.E2``: C4 was just played and turned exactly the two discs east of it; ``C4-F4``: one
  end of the bracket was just played and turned exactly the discs between both,
- ``closed`` ``C4.E2``, ``C4-F4``: the same move, and all of these squares hold discs, whoever owns
  them: what is known of a flip by who cannot tell mine from theirs,
- ``disc`` ``D3 mine``, ``D3 theirs``; ``D3 mine before``: so before the move just played,
- ``blank``, ``occupied``, ``played`` ``D3``.

A decision tree asks for ``D3 mine``, ``D3 theirs``, ``D3 empty``, ``D3 played`` and ``D3 turned``.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from extracted_rules.errors import UserError
from extracted_rules.othello.game import Replay
from extracted_rules.othello.notation import LABELS, N_SQUARES, PLAYABLE, SQUARE_OF_TOKEN
from extracted_rules.othello.patterns import BRACKETS, PATTERNS, Pattern

PATTERN_BY_NAME = {pattern.name: pattern for pattern in PATTERNS}
BRACKET_BY_NAME = {bracket.name: bracket for bracket in BRACKETS}
#: The one or two patterns that a bracket is, by its name; ends that are never played start none.
_BY_ENDS = {(pattern.start, pattern.end): pattern for pattern in PATTERNS}
SENSES: dict[str, tuple[Pattern, ...]] = {
    bracket.name: tuple(
        _BY_ENDS[ends] for ends in (bracket.ends, bracket.ends[::-1]) if ends in _BY_ENDS
    )
    for bracket in BRACKETS
}
DISC_STATES = ("mine", "theirs", "mine before", "theirs before")
TREE_STATES = ("mine", "theirs", "empty", "played", "turned")
#: Every question of a tree, in the order of :meth:`Boards.features`' columns.
TREE_FEATURES: tuple[str, ...] = tuple(
    f"{label} {state}" for state in TREE_STATES for label in LABELS
)
_TREE_COLUMN = {feature: column for column, feature in enumerate(TREE_FEATURES)}


class ConditionError(UserError):
    """A part of a rule that says nothing about a board; the message is one sentence."""


@cache
def parse_part(rule: str, part: str) -> tuple[Pattern, ...] | tuple[int, str]:
    """The patterns of a part, or its square and state. Raises ConditionError."""
    if rule in ("pattern", "flip", "closed") and part in PATTERN_BY_NAME:
        return (PATTERN_BY_NAME[part],)
    if rule in ("line", "line-or-full", "flip", "closed") and SENSES.get(part):
        return SENSES[part]
    label, _, state = part.partition(" ")
    if label in LABELS and (
        (rule == "disc" and state in DISC_STATES)
        or (rule in ("blank", "occupied", "played") and not state)
    ):
        return LABELS.index(label), state or rule
    raise ConditionError(f"{part!r} is no part of a rule {rule!r}")


def tree_column(feature: str) -> int:
    """The column of a tree's question. Raises ConditionError."""
    if feature not in _TREE_COLUMN:
        raise ConditionError(f"{feature!r} is no question of a tree")
    return _TREE_COLUMN[feature]


def tree_features(tree: Any) -> list[str]:
    """The questions of a nested tree, from the root on. Raises ConditionError if it is none."""
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        return []
    if not isinstance(tree, list | tuple) or len(tree) != 3 or not isinstance(tree[0], str):
        raise ConditionError("a tree is a number or [question, where it is not, where it is]")
    tree_column(tree[0])
    return [tree[0], *tree_features(tree[1]), *tree_features(tree[2])]


@dataclass(frozen=True)
class Boards:
    """Positions as conditions see them; N positions, all on one device.

    now, before: int8 [N, 64], the board after the move just played and before it, +1 mine, -1
    theirs for the side that moves next. played: int64 [N], the move's square. turned: bool [N, 64].
    ply: int64 [N], moves played, less 1. game: int64 [N].
    """

    now: Tensor
    before: Tensor
    played: Tensor
    turned: Tensor
    ply: Tensor
    game: Tensor

    def __len__(self) -> int:
        return len(self.ply)

    @classmethod
    def of(cls, played: Replay, positions: int, first_game: int = 0) -> "Boards":
        """All positions 0..positions - 1 of some games after which a side can move, in the order of
        games, then plies: those that :func:`there` selects."""
        where = there(played, positions)
        game, ply = where.nonzero(as_tuple=True)
        frame = played.movers[:, 1 : positions + 1].unsqueeze(-1)
        tokens = played.tokens[:, :positions].long()
        return cls(
            now=(played.boards[:, 1 : positions + 1] * frame)[where],
            before=(played.boards[:, :positions] * frame)[where],
            played=SQUARE_OF_TOKEN.to(tokens.device)[tokens][where],
            turned=played.flips[:, :positions][where],
            ply=ply,
            game=game + first_game,
        )

    @classmethod
    def join(cls, parts: list["Boards"]) -> "Boards":
        return cls(*(torch.cat([getattr(p, name) for p in parts]) for name in vars(parts[0])))

    def cpu(self) -> "Boards":
        """The same on the CPU."""
        return Boards(*(getattr(self, name).cpu() for name in vars(self)))

    def __getitem__(self, rows: Tensor) -> "Boards":
        """Some of the positions, by number or mask."""
        return Boards(*(getattr(self, name)[rows] for name in vars(self)))

    def features(self) -> Tensor:
        """bool [N, 320]: TREE_FEATURES."""
        squares = torch.arange(N_SQUARES, device=self.now.device)
        here = self.played.unsqueeze(-1) == squares
        return torch.cat([self.now == 1, self.now == -1, self.now == 0, here, self.turned], -1)

    def holds(self, rule: str, parts: tuple[str, ...]) -> Tensor:
        """bool [N]: where any of the parts holds. Raises ConditionError."""
        met = torch.zeros(len(self), dtype=torch.bool, device=self.now.device)
        for part in parts:
            met |= self._holds(rule, part)
        return met

    def _holds(self, rule: str, part: str) -> Tensor:
        parsed = parse_part(rule, part)
        if isinstance(parsed[0], Pattern):
            met = torch.zeros(len(self), dtype=torch.bool, device=self.now.device)
            for pattern in parsed:
                assert isinstance(pattern, Pattern)
                met |= self.meets(rule, pattern)
            return met | self.full(part) if rule == "line-or-full" else met
        square, state = parsed
        if state == "played":
            return self.played == square
        board = self.before if str(state).endswith("before") else self.now
        if state in ("blank", "occupied"):
            return (board[:, square] == 0) == (state == "blank")
        return board[:, square] == (1 if str(state).startswith("mine") else -1)

    def meets(self, rule: str, pattern: Pattern) -> Tensor:
        """bool [N]: where a rule about patterns holds for one of them."""
        if rule == "flip":
            return self.flipped(pattern)
        return self.closed(pattern) if rule == "closed" else self.legal_by(pattern)

    def legal_by(self, pattern: Pattern) -> Tensor:
        """bool [N]: the start is empty, the run theirs and the end mine."""
        return (
            (self.now[:, pattern.start] == 0)
            & (self.now[:, pattern.run] == -1).all(-1)
            & (self.now[:, pattern.end] == 1)
        )

    def full(self, bracket: str) -> Tensor:
        """bool [N]: no square of a bracket, by its name, is empty."""
        squares = [*BRACKET_BY_NAME[bracket].ends, *BRACKET_BY_NAME[bracket].run]
        return (self.now[:, squares] != 0).all(-1)

    def flipped(self, pattern: Pattern) -> Tensor:
        """bool [N]: the start was just played and turned exactly the run."""
        return (
            (self.played == pattern.start)
            & self.turned[:, pattern.run].all(-1)
            & ~self.turned[:, pattern.end]
        )

    def closed(self, pattern: Pattern) -> Tensor:
        """bool [N]: the start was just played, and run and end hold discs."""
        squares = [*pattern.run, pattern.end]
        return (self.played == pattern.start) & (self.now[:, squares] != 0).all(-1)

    def tree_values(self, tree: Any) -> Tensor:
        """float32 [N]: what a nested tree says. Raises ConditionError."""
        tree_features(tree)
        return _descend(tree, self.features())


def _descend(tree: Any, features: Tensor) -> Tensor:
    if isinstance(tree, int | float):
        return torch.full((len(features),), float(tree), device=features.device)
    feature, without, having = tree
    where = features[:, tree_column(feature)]
    return torch.where(where, _descend(having, features), _descend(without, features))


def there(played: Replay, positions: int) -> Tensor:
    """bool [B, positions]: after the move of this position a side can move."""
    return played.movers[:, 1 : positions + 1] != 0


def in_words(rule: str, parts: tuple[str, ...]) -> str:
    """A rule as a sentence without its end. Raises ConditionError."""
    return " or ".join(_part_in_words(rule, part) for part in parts)


def _part_in_words(rule: str, part: str) -> str:
    parsed = parse_part(rule, part)
    if not isinstance(parsed[0], Pattern):
        square, state = parsed
        label = LABELS[int(square)]
        return {
            "played": f"{label} was just played",
            "blank": f"{label} is empty",
            "occupied": f"{label} holds a disc",
        }.get(str(state)) or f"{label} is {state}".replace(" before", " before the last move")
    if part in PATTERN_BY_NAME:
        pattern = PATTERN_BY_NAME[part]
        start, end = LABELS[pattern.start], LABELS[pattern.end]
        run = " and ".join(LABELS[s] for s in pattern.run)
        return {
            "pattern": f"{start} is empty, {run} theirs and {end} mine",
            "closed": f"{start} was just played, and {run} and {end} hold discs",
            "flip": f"{start} was just played and turned {run}, up to {end}",
        }[rule]
    bracket = BRACKET_BY_NAME[part]
    run = " and ".join(LABELS[s] for s in bracket.run)
    ends = " and ".join(LABELS[s] for s in bracket.ends)
    line = f"of {ends} one is empty and the other mine, with {run} between them theirs"
    return {
        "line": line,
        "line-or-full": f"{line}, or none of these squares is empty",
        "closed": f"one of {ends} was just played, and the other and {run} hold discs",
        "flip": f"one of {ends} was just played and turned {run} between them",
    }[rule]


def target_squares(rule: str, parts: tuple[str, ...]) -> list[int]:
    """The squares whose move a rule is about; none where it is about discs or time."""
    squares: list[int] = []
    for part in parts:
        parsed = parse_part(rule, part)
        if rule in ("pattern", "line", "line-or-full"):
            squares += [p.start for p in parsed if isinstance(p, Pattern)]
    return sorted({s for s in squares if s in PLAYABLE})
