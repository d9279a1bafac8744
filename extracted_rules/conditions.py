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
from extracted_rules.othello.geometry import Geometry, Pattern

DISC_STATES = ("mine", "theirs", "mine before", "theirs before")
TREE_STATES = ("mine", "theirs", "empty", "played", "turned")


@cache
def tree_questions(geometry: Geometry) -> dict[str, int]:
    """Every question of a tree, and its column in :meth:`Boards.features`."""
    questions = (f"{label} {state}" for state in TREE_STATES for label in geometry.labels)
    return {question: column for column, question in enumerate(questions)}


class ConditionError(UserError):
    """A part of a rule that says nothing about a board; the message is one sentence."""


@dataclass(frozen=True)
class Part:
    """What a part of a rule is about: patterns, of which any will do, or a square and its state."""

    patterns: tuple[Pattern, ...] = ()
    square: int = -1
    state: str = ""

    @property
    def squares(self) -> set[int]:
        """All that it names."""
        if not self.patterns:
            return {self.square}
        return {square for p in self.patterns for square in (p.start, *p.run, p.end)}


@cache
def parse_part(rule: str, part: str, geometry: Geometry) -> Part:
    """Raises ConditionError."""
    if rule in ("pattern", "flip", "closed") and part in geometry.pattern_by_name:
        return Part((geometry.pattern_by_name[part],))
    if rule in ("line", "line-or-full", "flip", "closed") and geometry.senses.get(part):
        return Part(geometry.senses[part])
    label, _, state = part.partition(" ")
    if label in geometry.labels and (
        (rule == "disc" and state in DISC_STATES)
        or (rule in ("blank", "occupied", "played") and not state)
    ):
        return Part(square=geometry.square_of(label), state=state or rule)
    raise ConditionError(f"{part!r} is no part of a rule {rule!r} on the {geometry} board")


def tree_column(question: str, geometry: Geometry) -> int:
    """The column of a tree's question. Raises ConditionError."""
    column = tree_questions(geometry).get(question)
    if column is None:
        raise ConditionError(f"{question!r} is no question of a tree on the {geometry} board")
    return column


def tree_features(tree: Any, geometry: Geometry) -> list[str]:
    """The questions of a nested tree, from the root on. Raises ConditionError if it is none."""
    if isinstance(tree, int | float) and not isinstance(tree, bool):
        return []
    if not isinstance(tree, list | tuple) or len(tree) != 3 or not isinstance(tree[0], str):
        raise ConditionError("a tree is a number or [question, where it is not, where it is]")
    tree_column(tree[0], geometry)
    return [tree[0], *tree_features(tree[1], geometry), *tree_features(tree[2], geometry)]


@dataclass(frozen=True)
class Boards:
    """Positions as conditions see them; N positions, all on one device.

    now, before: int8 [N, squares], the board after the move just played and before it, +1 mine, -1
    theirs for the side that moves next. played: int64 [N], the move's square. turned: bool [N,
    squares]. ply: int64 [N], moves played, less 1. game: int64 [N].
    """

    geometry: Geometry
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
            geometry=played.geometry,
            now=(played.boards[:, 1 : positions + 1] * frame)[where],
            before=(played.boards[:, :positions] * frame)[where],
            played=played.geometry.square_of_token.to(tokens.device)[tokens][where],
            turned=played.flips[:, :positions][where],
            ply=ply,
            game=game + first_game,
        )

    @property
    def _tensors(self) -> tuple[Tensor, ...]:
        """All fields behind the geometry."""
        return self.now, self.before, self.played, self.turned, self.ply, self.game

    @classmethod
    def join(cls, parts: list["Boards"]) -> "Boards":
        columns = zip(*(part._tensors for part in parts), strict=True)
        return cls(parts[0].geometry, *map(torch.cat, columns))

    def cpu(self) -> "Boards":
        """The same on the CPU."""
        return Boards(self.geometry, *(tensor.cpu() for tensor in self._tensors))

    def __getitem__(self, rows: Tensor) -> "Boards":
        """Some of the positions, by number or mask."""
        return Boards(self.geometry, *(tensor[rows] for tensor in self._tensors))

    @property
    def here(self) -> Tensor:
        """bool [N, squares]: which square was just played."""
        squares = torch.arange(self.geometry.n_squares, device=self.now.device)
        return self.played.unsqueeze(-1) == squares

    def features(self) -> Tensor:
        """bool [N, questions]: the answers to :func:`tree_questions`."""
        states = (self.now == 1, self.now == -1, self.now == 0, self.here, self.turned)
        return torch.cat(states, -1)

    def holds(self, rule: str, parts: tuple[str, ...]) -> Tensor:
        """bool [N]: where any of the parts holds. Raises ConditionError."""
        met = torch.zeros(len(self), dtype=torch.bool, device=self.now.device)
        for part in parts:
            met |= self._holds(rule, part)
        return met

    def _holds(self, rule: str, part: str) -> Tensor:
        parsed = parse_part(rule, part, self.geometry)
        if parsed.patterns:
            met = torch.stack([self.meets(rule, p) for p in parsed.patterns]).any(0)
            return met | self.full(part) if rule == "line-or-full" else met
        square, state = parsed.square, parsed.state
        if state == "played":
            return self.played == square
        board = self.before if state.endswith("before") else self.now
        if state in ("blank", "occupied"):
            empty = board[:, square] == 0
            return empty if state == "blank" else ~empty
        return board[:, square] == (1 if state.startswith("mine") else -1)

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
        named = self.geometry.bracket_by_name[bracket]
        squares = [*named.ends, *named.run]
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


def there(played: Replay, positions: int) -> Tensor:
    """bool [B, positions]: after the move of this position a side can move."""
    return played.movers[:, 1 : positions + 1] != 0


def in_words(rule: str, parts: tuple[str, ...], geometry: Geometry) -> str:
    """A rule as a sentence without its end. Raises ConditionError."""
    return " or ".join(_part_in_words(rule, part, geometry) for part in parts)


def _part_in_words(rule: str, part: str, geometry: Geometry) -> str:
    parsed = parse_part(rule, part, geometry)
    if not parsed.patterns:
        label, state = geometry.labels[parsed.square], parsed.state
        return {
            "played": f"{label} was just played",
            "blank": f"{label} is empty",
            "occupied": f"{label} holds a disc",
        }.get(state) or f"{label} is {state}".replace(" before", " before the last move")
    if part in geometry.pattern_by_name:
        pattern = geometry.pattern_by_name[part]
        start, end = geometry.labels[pattern.start], geometry.labels[pattern.end]
        run = " and ".join(geometry.labels[s] for s in pattern.run)
        return {
            "pattern": f"{start} is empty, {run} theirs and {end} mine",
            "closed": f"{start} was just played, and {run} and {end} hold discs",
            "flip": f"{start} was just played and turned {run}, up to {end}",
        }[rule]
    bracket = geometry.bracket_by_name[part]
    run = " and ".join(geometry.labels[s] for s in bracket.run)
    ends = " and ".join(geometry.labels[s] for s in bracket.ends)
    line = f"of {ends} one is empty and the other mine, with {run} between them theirs"
    return {
        "line": line,
        "line-or-full": f"{line}, or none of these squares is empty",
        "closed": f"one of {ends} was just played, and the other and {run} hold discs",
        "flip": f"one of {ends} was just played and turned {run} between them",
    }[rule]


def target_squares(rule: str, parts: tuple[str, ...], geometry: Geometry) -> list[int]:
    """The squares whose move a rule is about; none where it is about discs or time."""
    if rule not in ("pattern", "line", "line-or-full"):
        return []
    return sorted({p.start for part in parts for p in parse_part(rule, part, geometry).patterns})
