"""One compact record of every position of a bench: what it asks, and what each model answers.

A million positions take 15 MB, and 22 MB more for each model. Moves are sets of bits: bit k of an
int64 is token k + 1. Positions go in the order of the games, then of plies.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from comparison.scoring.bench import batches
from comparison.scoring.error_sets import KINDS, PLIES, ErrorSet
from comparison.scoring.intervals import Ratio, ratio_by_game
from comparison.scoring.measures import STAGES, legal_tokens, score, strata
from extracted_rules.errors import UserError
from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.notation import CONTEXT, TOKEN_OF_SQUARE

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer]
Array = npt.NDArray[np.float64]

#: Log-probabilities are no lower than this when margins are taken, as in :func:`score`.
LOWEST = -50.0
#: "Nearly erring" is said of the positions with a model's largest margins, one in so many of the
#: bench: sets of the same size for models that err more and less often.
NEAR_SHARE = 100
#: Two kinds of error, and nearly erring.
NEAR = "near"
ALL_KINDS = (*KINDS, NEAR)


class ErrorsError(UserError):
    """Error sets that cannot be made, or files that hold none; the message is one sentence."""


def packed(moves: Tensor) -> npt.NDArray[np.int64]:
    """int64 [...] of bool [..., 60], by token - 1."""
    padded = np.pad(moves.cpu().numpy(), [(0, 0)] * (moves.dim() - 1) + [(0, 4)])
    return np.packbits(padded, axis=-1, bitorder="little").view("<i8")[..., 0]


def has(moves: npt.NDArray[np.int64], square: Ints | int) -> Mask:
    """bool: whether sets of moves hold a playable square."""
    bit = TOKEN_OF_SQUARE.numpy()[square] - 1
    there: Mask = (moves >> bit & 1).astype(np.bool_)
    return there


def how_many(moves: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """How many moves sets of moves hold."""
    return np.bitwise_count(moves)


@dataclass(frozen=True)
class Positions:
    """What a bench of ``games`` games asks; N positions.

    game: int32 [N], from 0. ply: uint8 [N], of the move to predict, from 1. legal: int64 [N].
    number: uint8 [N], legal moves. state: uint8 [N], which of ``states`` (pass-free, at a pass,
    after a pass: :func:`comparison.scoring.measures.strata`).
    """

    games: int
    game: npt.NDArray[np.int32]
    ply: npt.NDArray[np.uint8]
    legal: npt.NDArray[np.int64]
    number: npt.NDArray[np.uint8]
    state: npt.NDArray[np.uint8]
    states: tuple[str, ...]

    _COLUMNS: ClassVar = ("game", "ply", "legal", "number", "state")

    def __len__(self) -> int:
        return len(self.game)

    @classmethod
    def of(cls, tokens: Tensor) -> "Positions":
        """tokens: uint8 [games, 60], at least one game."""
        parts = []
        first = 0
        for batch in batches([tokens]):
            parts.append(_of_batch(batch, first))
            first += len(batch)
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in cls._COLUMNS
        }
        return cls(first, states=parts[0].states, **columns)

    def first(self, games: int) -> "Positions":
        """Those of the first games."""
        n = int(np.searchsorted(self.game, games))
        columns: dict[str, Any] = {name: getattr(self, name)[:n] for name in self._COLUMNS}
        return Positions(min(games, self.games), states=self.states, **columns)

    def strata(self) -> Iterator[tuple[str, Mask]]:
        """(name, bool [N]): all, by pass state, by stage of the game."""
        yield "all", np.ones(len(self), dtype=np.bool_)
        for number, name in enumerate(self.states):
            yield name, self.state == number
        for low, high in STAGES:
            yield f"plies {low}-{high}", (self.ply >= low) & (self.ply <= high)

    def by_game(self, values: npt.NDArray[np.generic]) -> Array:
        """float64 [games]: sums of values [N] over each game."""
        weights = values.astype(np.float64)
        return np.bincount(self.game, weights, self.games).astype(np.float64)

    def ratio(self, x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> Ratio:
        """sum(x) / sum(y) of values [N], with the game as the unit."""
        return ratio_by_game(x, y, self.game)


def _of_batch(tokens: Tensor, first: int) -> Positions:
    played = replay(tokens)
    states = {name: mask for group, name, mask in strata(played, CONTEXT) if group == "pass"}
    legal = legal_tokens(played, CONTEXT)
    here = legal.any(-1)
    game, column = here.nonzero(as_tuple=True)
    return Positions(
        len(tokens),
        game=(game + first).numpy().astype(np.int32),
        ply=(column + 2).numpy().astype(np.uint8),
        legal=packed(legal[here]),
        number=legal[here].sum(-1).numpy().astype(np.uint8),
        state=torch.stack(list(states.values())).int().argmax(0)[here].numpy().astype(np.uint8),
        states=tuple(states),
    )


@dataclass(frozen=True)
class Bench:
    """Games uint8 [games, 60] on the CPU, how to call them, and their positions."""

    source: str
    tokens: Tensor
    positions: Positions

    @classmethod
    def of(cls, tokens: Tensor, source: str) -> "Bench":
        """Raises ErrorsError where there is nothing to predict."""
        if not len(tokens):
            raise ErrorsError(f"there is no game in {source}")
        bench = cls(source, tokens, Positions.of(tokens))
        if not len(bench.positions):
            raise ErrorsError(f"no game of {source} has a move to predict")
        return bench


def digest(tokens: Tensor) -> str:
    """Tells games from other games."""
    return sha256(tokens.contiguous().numpy().tobytes()).hexdigest()


@dataclass(frozen=True)
class Columns:
    """What a model answers; N positions.

    top: uint8 [N], the likeliest square. predicted: int64 [N], moves likelier than tau. rank: uint8
    [N], that of the likeliest illegal move, from 1. margin: float32 [N], its log-probability less
    that of the likeliest legal move, nats: above 0 where the top move is illegal. over_worst: the
    same, less that of the unlikeliest legal move: above 0 where it ranks above some legal move.
    mass: float32 [N], probability on illegal moves.
    """

    top: npt.NDArray[np.uint8]
    predicted: npt.NDArray[np.int64]
    rank: npt.NDArray[np.uint8]
    margin: npt.NDArray[np.float32]
    over_worst: npt.NDArray[np.float32]
    mass: npt.NDArray[np.float32]

    @classmethod
    def of(cls, logits: Tensor, played: Replay, tau: float) -> "Columns":
        """logits: float [B, T, 61] for the games played."""
        legal = legal_tokens(played, logits.shape[1])
        scores = score(logits, played, tau)
        log_p = logits[..., 1:].double().log_softmax(-1).clamp(min=LOWEST)
        illegal = log_p.masked_fill(legal, -torch.inf).amax(-1)
        best = log_p.masked_fill(~legal, -torch.inf).amax(-1)
        worst = log_p.masked_fill(~legal, torch.inf).amin(-1)
        rank = (log_p > illegal.unsqueeze(-1)).sum(-1) + 1
        here = scores.valid

        def column(values: Tensor) -> npt.NDArray[Any]:
            return values[here].cpu().numpy()

        return cls(
            top=column(scores.top).astype(np.uint8),
            predicted=packed(scores.predicted[here]),
            rank=column(rank).astype(np.uint8),
            margin=column(illegal - best).astype(np.float32),
            over_worst=column(illegal - worst).astype(np.float32),
            mass=column(scores.illegal_mass).astype(np.float32),
        )

    @classmethod
    def join(cls, parts: Sequence["Columns"]) -> "Columns":
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


@dataclass(frozen=True)
class Answers:
    """A model's answers to a bench. ``trained``: it is neither hand-built nor a baseline."""

    model: str
    tau: float
    trained: bool
    columns: Columns

    def errs(self, positions: Positions, kind: str) -> Mask:
        """bool [N]: where the model errs, by kind: "top-1", its likeliest move is illegal; "set",
        its predicted legal set is wrong; "near", its margin is among its largest."""
        if kind == "top-1":
            return ~has(positions.legal, self.columns.top)
        if kind == "set":
            wrong: Mask = self.columns.predicted != positions.legal
            return wrong
        largest = max(1, len(positions) // NEAR_SHARE)
        mask = np.zeros(len(positions), dtype=np.bool_)
        mask[np.argsort(-self.columns.margin, kind="stable")[:largest]] = True
        return mask


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

    def error_set(self, answers: Answers) -> ErrorSet:
        """The same as `compare` keeps it."""
        at, said = self.positions, answers.columns
        rows = {}
        for kind in KINDS:
            errs = answers.errs(at, kind)
            where = at.game[errs].astype(np.int64) * PLIES + at.ply[errs]
            facts = (said.top, at.legal, said.predicted, at.state)
            rows[kind] = torch.from_numpy(
                np.stack([where, *(column[errs].astype(np.int64) for column in facts)], 1)
            )
        there = torch.from_numpy(np.bincount(at.game, minlength=at.games))
        return ErrorSet(self.bench.source, there, rows, list(at.states))
