"""The positions of a bench and what each asks, in one compact record.

A million positions take 15 MB. Moves are sets of bits: bit k of an int64 is token k + 1. Positions
go in the order of the games, then of plies.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from extracted_rules.benches.intervals import Ratio, ratio_by_game
from extracted_rules.errors import UserError
from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.geometry import STANDARD, Geometry

#: Have the sides taken turns so far? At a pass the side that it names has to pass right now.
PASS_STATES = ("pass-free", "at a pass", "after a pass")
Mask = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.integer]
Longs = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

#: Games that are replayed and scored at a time: enough to make the engine's overhead small.
BATCH = 256


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


def stages(geometry: Geometry) -> tuple[tuple[int, int], ...]:
    """The thirds of a game, by the first and last ply to predict."""
    plies = geometry.max_plies
    ends = [plies * third // 3 for third in (1, 2, 3)]
    return (2, ends[0]), (ends[0] + 1, ends[1]), (ends[1] + 1, ends[2])


def legal_tokens(replay: Replay, positions: int) -> Tensor:
    """bool [B, positions, moves]: the legal moves after each context position, by token - 1."""
    return replay.legal[:, 1 : positions + 1, list(replay.geometry.playable)]


def passes_so_far(replay: Replay, positions: int) -> Tensor:
    """int64 [B, positions]: one that is due now not counted."""
    passes = replay.passes[:, 1 : positions + 1]
    return passes.cumsum(-1) - passes.long()


def pass_states(replay: Replay, positions: int) -> dict[str, Tensor]:
    """bool [B, positions] by PASS_STATES: where there is a move to predict."""
    passes = replay.passes[:, 1 : positions + 1]
    here = replay.legal[:, 1 : positions + 1].any(-1)
    before = passes_so_far(replay, positions)
    masks = (here & ~passes & (before == 0), here & passes, here & ~passes & (before > 0))
    return dict(zip(PASS_STATES, masks, strict=True))


def strata(replay: Replay, positions: int) -> Iterator[tuple[str, str, Tensor]]:
    """(group, stratum, bool [B, positions]) for every way in which positions are told apart.

    Groups: "all"; "pass" (have the sides taken turns so far?); "passes so far" (one that is due now
    not counted); "stage" (of the game, by plies); "legal moves"; "ply" (of the move to predict,
    counted from 1).
    """
    number = replay.legal[:, 1 : positions + 1].sum(-1)
    here = number > 0
    yield "all", "all", here
    for name, mask in pass_states(replay, positions).items():
        yield "pass", name, mask
    before = passes_so_far(replay, positions)
    yield "passes so far", "0", here & (before == 0)
    yield "passes so far", "1", here & (before == 1)
    yield "passes so far", "2+", here & (before > 1)
    for low, high in ((1, 1), (2, 3), (4, 7), (8, 12)):
        name = str(low) if low == high else f"{low}-{high}"
        yield "legal moves", name, here & (number >= low) & (number <= high)
    yield "legal moves", "13+", here & (number >= 13)
    column = torch.arange(positions, device=here.device)
    for first, last in stages(replay.geometry):
        yield "stage", f"plies {first}-{last}", here & (column >= first - 2) & (column <= last - 2)
    for position in range(positions):
        yield "ply", str(position + 2), here & (column == position)


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
