"""One compact record of the positions of a bench: what each asks, and what each model answers.

A million positions take 15 MB, and 22 MB more for each model. Moves are sets of bits: bit k of an
int64 is token k + 1. Positions go in the order of the games, then of plies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cache
from hashlib import sha256
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from comparison.scoring.intervals import Ratio, ratio_by_game
from comparison.scoring.measures import (
    PASS_STATES,
    Scores,
    legal_tokens,
    pass_states,
    score,
    stages,
)
from extracted_rules.errors import UserError
from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.geometry import STANDARD, Geometry

Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer]
Longs = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

#: Games that are replayed and scored at a time: enough to make the engine's overhead small.
BATCH = 256
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


class ErrorsError(UserError):
    """Error sets that cannot be made, or files that hold none; the message is one sentence."""


def batches(games: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same games, at most BATCH at a time."""
    for chunk in games:
        for start in range(0, len(chunk), BATCH):
            yield chunk[start : start + BATCH]


def digest(tokens: Tensor) -> str:
    """Tells games from other games."""
    return sha256(tokens.contiguous().numpy().tobytes()).hexdigest()


# --------------------------------------------------------------------------- sets of moves


def packed(moves: Tensor) -> Longs:
    """int64 [...] of bool [..., moves], by token - 1."""
    places = torch.arange(moves.shape[-1], device=moves.device)
    sets: Longs = (moves.long() << places).sum(-1).cpu().numpy()
    return sets


@cache
def bits(geometry: Geometry) -> Longs:
    """int64 [squares]: the set of one square's move alone; 0 for those that are never played."""
    token = geometry.token_of_square[: geometry.n_squares].numpy()
    return np.where(token > 0, np.int64(1) << np.maximum(token - 1, 0), 0)


def has(moves: Longs, square: Ints | int, geometry: Geometry) -> Mask:
    """bool: whether sets of moves hold a playable square."""
    there: Mask = moves & bits(geometry)[square] != 0
    return there


def how_many(moves: Longs) -> npt.NDArray[np.uint8]:
    """How many moves sets of moves hold."""
    return np.bitwise_count(moves)


# --------------------------------------------------------------------------- what is asked


@dataclass(frozen=True)
class Positions:
    """Positions of a bench, all of them or some; N positions.

    offered: int64 [games], how many each game of the bench has. game: int32 [N], from 0. ply: uint8
    [N], of the move to predict, from 1. legal: int64 [N], a set of moves. number: uint8 [N], of
    legal moves. state: uint8 [N], which of PASS_STATES.
    """

    geometry: Geometry
    offered: Longs
    game: npt.NDArray[np.int32]
    ply: npt.NDArray[np.uint8]
    legal: Longs
    number: npt.NDArray[np.uint8]
    state: npt.NDArray[np.uint8]

    _COLUMNS: ClassVar = ("game", "ply", "legal", "number", "state")

    def __len__(self) -> int:
        return len(self.game)

    @property
    def games(self) -> int:
        return len(self.offered)

    def __getitem__(self, rows: Mask | slice) -> "Positions":
        """Some of them."""
        columns = (getattr(self, name)[rows] for name in self._COLUMNS)
        return Positions(self.geometry, self.offered, *columns)

    @classmethod
    def of(cls, played: Replay) -> "Positions":
        """All of some games."""
        context = played.geometry.context
        legal = legal_tokens(played, context).cpu()
        here = legal.any(-1)
        game, column = (place.numpy() for place in here.nonzero(as_tuple=True))
        state = torch.stack(list(pass_states(played, context).values())).cpu()
        return cls(
            played.geometry,
            here.sum(-1).numpy(),
            game.astype(np.int32),
            (column + 2).astype(np.uint8),
            packed(legal[here]),
            legal[here].sum(-1).numpy().astype(np.uint8),
            state.int().argmax(0)[here].numpy().astype(np.uint8),
        )

    @classmethod
    def join(cls, parts: Sequence["Positions"]) -> "Positions":
        """Of benches one after the other: games are numbered on."""
        first = np.cumsum([0, *(part.games for part in parts)])[:-1].astype(np.int32)
        game = [part.game + before for part, before in zip(parts, first, strict=True)]
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("offered", *cls._COLUMNS)
        }
        return cls(parts[0].geometry, **{**columns, "game": np.concatenate(game)})

    def first(self, games: int) -> "Positions":
        """Those of the first games."""
        some = self[: int(np.searchsorted(self.game, games))]
        return Positions(
            self.geometry,
            self.offered[:games],
            *(getattr(some, name) for name in self._COLUMNS),
        )

    @property
    def key(self) -> Longs:
        """int64 [N], ascending: tells positions of a bench from each other."""
        keys: Longs = self.game.astype(np.int64) * self.geometry.n_tokens + self.ply
        return keys

    def strata(self) -> Iterator[tuple[str, Mask]]:
        """(name, bool [N]): all, by pass state, by stage of the game."""
        yield "all", np.ones(len(self), dtype=np.bool_)
        for number, name in enumerate(PASS_STATES):
            yield name, self.state == number
        for low, high in stages(self.geometry):
            yield f"plies {low}-{high}", (self.ply >= low) & (self.ply <= high)

    def by_game(self, values: npt.NDArray[np.generic]) -> Array:
        """float64 [games]: sums of values [N] over each game."""
        weights = values.astype(np.float64)
        return np.bincount(self.game, weights, self.games).astype(np.float64)

    def ratio(self, x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> Ratio:
        """sum(x) / sum(y) of values [N], with the game as the unit."""
        return ratio_by_game(x, y, self.game)


@dataclass(frozen=True)
class Bench:
    """Games uint8 [games, plies] on the CPU, how to call them, and their positions."""

    source: str
    tokens: Tensor
    positions: Positions

    @classmethod
    def of(cls, tokens: Tensor, source: str, board: int = STANDARD) -> "Bench":
        """Raises ErrorsError where there is nothing to predict."""
        if not len(tokens):
            raise ErrorsError(f"there is no game in {source}")
        parts = [Positions.of(replay(batch, board=board)) for batch in batches([tokens])]
        bench = cls(source, tokens, Positions.join(parts))
        if not len(bench.positions):
            raise ErrorsError(f"no game of {source} has a move to predict")
        return bench


# --------------------------------------------------------------------------- what is answered


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
