"""What each model answers at the positions of a bench, in one compact record: 22 bytes a position.

Moves are sets of bits, and positions go in order, as in
:mod:`extracted_rules.benches.positions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from comparison.scoring.measures import Scores, score
from extracted_rules.benches.positions import (
    Bench,
    Longs,
    Mask,
    Positions,
    has,
    legal_tokens,
    packed,
)
from extracted_rules.othello.game import Replay

#: Log-probabilities are no lower than this when margins are taken, as in :func:`score`.
LOWEST = -50.0
#: "Nearly erring" is said of the positions with a model's largest margins, one in so many of the
#: bench: sets of the same size for models that err more and less often.
NEAR_SHARE = 100
#: Two kinds of error, the likeliest move is illegal and the predicted legal set is wrong; and
#: nearly erring.
KINDS = ("top-1", "set")
NEAR = "near"
ALL_KINDS = (*KINDS, NEAR)


@dataclass(frozen=True)
class Choices:
    """What a model chooses at N positions. top: uint8 [N], the likeliest square. predicted: int64
    [N], the set of moves likelier than tau."""

    top: npt.NDArray[np.uint8]
    predicted: Longs

    @classmethod
    def of_scores(cls, scores: Scores) -> "Choices":
        here = scores.valid
        top = scores.top[here].cpu().numpy().astype(np.uint8)
        return Choices(top, packed(scores.predicted[here]))

    def __getitem__(self, rows: Mask | slice) -> Self:
        """At some of the positions."""
        return type(self)(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def errs(self, at: Positions, kind: str) -> Mask:
        """bool [N]: where the model errs, by one of KINDS."""
        if kind == "top-1":
            return ~has(at.legal, self.top, at.geometry)
        wrong: Mask = self.predicted != at.legal
        return wrong


@dataclass(frozen=True)
class Columns(Choices):
    """All that a model answers.

    rank: uint8 [N], that of the likeliest illegal move, from 1. margin: float32 [N], its
    log-probability less that of the likeliest legal move, nats: above 0 where the top move is
    illegal. over_worst: the same, less that of the unlikeliest legal move: above 0 where it ranks
    above some legal move. mass: float32 [N], probability on illegal moves.
    """

    rank: npt.NDArray[np.uint8]
    margin: npt.NDArray[np.float32]
    over_worst: npt.NDArray[np.float32]
    mass: npt.NDArray[np.float32]

    @classmethod
    def of(cls, logits: Tensor, played: Replay, tau: float) -> "Columns":
        """logits: float [B, T, tokens] for the games played."""
        legal = legal_tokens(played, logits.shape[1])
        scores = score(logits, played, tau)
        log_p = logits[..., 1:].double().log_softmax(-1).clamp(min=LOWEST)
        illegal = log_p.masked_fill(legal, -torch.inf).amax(-1)
        best = log_p.masked_fill(~legal, -torch.inf).amax(-1)
        worst = log_p.masked_fill(~legal, torch.inf).amin(-1)
        rank = (log_p > illegal.unsqueeze(-1)).sum(-1) + 1

        def column(values: Tensor) -> npt.NDArray[Any]:
            return values[scores.valid].cpu().numpy()

        return cls(
            **vars(Choices.of_scores(scores)),
            rank=column(rank).astype(np.uint8),
            margin=column(illegal - best).astype(np.float32),
            over_worst=column(illegal - worst).astype(np.float32),
            mass=column(scores.illegal_mass).astype(np.float32),
        )

    def errs(self, at: Positions, kind: str) -> Mask:
        """bool [N]: where the model errs, by one of ALL_KINDS: "near", its margin is among its
        largest."""
        if kind != NEAR:
            return super().errs(at, kind)
        mask = np.zeros(len(at), dtype=np.bool_)
        mask[np.argsort(-self.margin, kind="stable")[: max(1, len(at) // NEAR_SHARE)]] = True
        return mask


@dataclass(frozen=True)
class Answers:
    """A model's answers to a bench. ``trained``: it is neither hand-built nor a baseline."""

    model: str
    tau: float
    trained: bool
    columns: Columns

    def errs(self, at: Positions, kind: str) -> Mask:
        """bool [N]: where the model errs, by one of ALL_KINDS."""
        return self.columns.errs(at, kind)


@dataclass(frozen=True)
class Records:
    """A bench and the answers of several models."""

    bench: Bench
    answers: tuple[Answers, ...]

    @property
    def positions(self) -> Positions:
        return self.bench.positions

    def first_of_pairs(self) -> list[Answers]:
        """The models whose errors others are held against: the trained ones; the first model where
        there is none."""
        return [a for a in self.answers if a.trained] or list(self.answers[:1])
