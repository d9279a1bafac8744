"""What a property is: a rule of the game, asked of a model case by case."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from comparison.properties.subjects import Subject
from extracted_rules.drawing.answers import answer
from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import STANDARD
from extracted_rules.othello.notation import format_transcript, squares_from_tokens
from extracted_rules.othello.svg import Picture

#: A group of strata, the stratum, and which positions it holds: bool [cases, T].
Stratum = tuple[str, str, Tensor]


class PropertyError(UserError):
    """A property that is not there or a model that cannot be asked; the message is one sentence."""


@dataclass(frozen=True)
class Verdicts:
    """What came of some cases, by position: index t is about the answer to moves 0..t.

    applies, broken: bool [cases, T]; a case counts at a position where it applies, and ``broken``
    lies within. square: int64 [cases, T], the offending square, or -1. also: measures beside
    the verdict by name, each (sums, counts), float or bool [cases, T], the measure being their
    ratio. strata: how positions are told apart, as in
    :func:`extracted_rules.benches.positions.strata`.
    """

    applies: Tensor
    broken: Tensor
    square: Tensor
    also: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    strata: Sequence[Stratum] = ()

    def at_the_end_of(self, cases: Tensor) -> "Verdicts":
        """The same, counted only at the last move of cases uint8 [cases, rows, T]: collected ones
        share their beginnings."""
        column = torch.arange(self.applies.shape[1], device=self.applies.device)
        last = column == (cases != 0).sum(-1).amax(-1).to(column)[:, None] - 1
        also = {name: (sums * last, counts * last) for name, (sums, counts) in self.also.items()}
        return replace(self, applies=self.applies & last, broken=self.broken & last, also=also)


class Property(ABC):
    """A rule that a model keeps or breaks.

    name: what users type. sentence: what should hold. source: where it comes from. rows: how many
    games make a case, one or a pair. legal: whether these must be legal games.
    """

    name: str
    sentence: str
    source: str
    rows = 1
    legal = True

    def missing(self, subject: Subject) -> str | None:
        """Why the property cannot be asked of this model; None where it can."""
        return None

    def cases(self, games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
        """uint8 [cases, rows, T] from legal games uint8 [B, T]; some games may make no case."""
        return games[:, None]

    def collected(self, games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
        """More cases, uint8 [cases, rows, T], that lie in recorded games uint8 [B, T] as they are;
        most properties know of none."""
        return games.new_zeros(0, self.rows, games.shape[1])

    @abstractmethod
    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        """The verdict on cases uint8 [cases, rows, T], each for itself, whatever stands beside it:
        the whole meaning of the property, for measuring and for making a counterexample smaller."""

    def words(self, case: Tensor, board: int = STANDARD) -> str:
        """A case uint8 [rows, T] for a table: its game, and what the other one is."""
        return transcript(case[0], board)

    def answers(self, subject: Subject, case: Tensor, square: int) -> list[Picture]:
        """What to draw of a case uint8 [rows, T] that is broken at its last move."""
        return [last_answer(subject, case[0], "the answer", square)]


def transcript(game: Tensor, board: int = STANDARD) -> str:
    """Of uint8 [T] tokens, as ``"f5d6c3"``."""
    return format_transcript(squares_from_tokens(game, board), board)


def last_answer(subject: Subject, game: Tensor, title: str, square: int = -1) -> Picture:
    """The board after a game's last move, and what the model answers there."""
    moves = int((game != 0).sum())
    view = subject.view(game[None, : max(1, moves)])
    return answer(
        title,
        view.played.boards[0, moves].cpu(),
        view.played.legal[0, moves].cpu(),
        subject.log_odds(view.log_p[0, -1]),
        square,
    )


def nowhere(like: Tensor) -> Tensor:
    """int64 of the shape of ``like``: no offending square anywhere."""
    return torch.full(like.shape, -1, dtype=torch.int64, device=like.device)
