"""A model that is put to the rules: its answers, its threshold, and what reads its board."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log
from typing import Generic, TypeVar

import torch
from torch import Tensor

from comparison.reading.board_reader import BoardReader, DecodedBoards
from comparison.scoring.bench import FORWARD_GAMES, Model, board_of
from extracted_rules.benches.positions import legal_tokens, strata
from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.geometry import Geometry

#: What was found about this many batches is kept, as several properties ask about the same games.
KEPT = 6
#: What positions of a single game are told apart by.
GROUPS = ("pass", "stage")


@dataclass(frozen=True)
class View:
    """A model's answers to some games. All but ``played`` are [B, T ...], by context position.

    defined: bool, whether the logits give probabilities; log_p: float64 [B, T, moves] by token - 1,
    from logits in which numbers that are none are replaced; legal, predicted: bool [B, T, moves];
    asked: bool, there is a move to predict and an answer that is defined.
    """

    played: Replay
    defined: Tensor
    log_p: Tensor
    legal: Tensor
    predicted: Tensor
    asked: Tensor
    strata: tuple[tuple[str, str, Tensor], ...]

    @property
    def top(self) -> Tensor:
        """int64 [B, T]: the likeliest move, token - 1."""
        return self.log_p.argmax(-1)

    def square_of(self, move: Tensor) -> Tensor:
        """int64 squares of moves that are counted as token - 1."""
        return self.played.geometry.square_of_token.to(move.device)[move + 1]

    @property
    def wrong_set(self) -> Tensor:
        """bool [B, T, moves]: moves that are legal or predicted, and not both."""
        return self.predicted != self.legal


Found = TypeVar("Found")


class _Latest(Generic[Found]):
    """What was found about the latest batches of games."""

    def __init__(self, find: Callable[[Tensor], Found]) -> None:
        self.find = find
        self.kept: dict[tuple[bytes, int], Found] = {}

    def __call__(self, games: Tensor) -> Found:
        key = games.cpu().numpy().tobytes(), games.shape[1]
        found = self.kept.pop(key) if key in self.kept else self.find(games)
        self.kept[key] = found  # behind all others
        while len(self.kept) > KEPT:
            del self.kept[next(iter(self.kept))]
        return found


class Subject:
    """A model under test. tau: the probability above which it predicts a move."""

    def __init__(
        self, model: Model, tau: float, device: torch.device, reader: BoardReader | None = None
    ) -> None:
        self.model, self.tau, self.device, self.reader = model, tau, device, reader
        self.geometry = Geometry(board_of(model))
        self._views, self._boards = _Latest(self._view), _Latest(self._board)

    @torch.inference_mode()
    def logits(self, tokens: Tensor) -> Tensor:
        """float32 [B, T, tokens] of tokens of any integer type [B, T], within the context."""
        moves = tokens[:, : self.geometry.context].long().to(self.device)
        return torch.cat([self.model(part) for part in torch.split(moves, FORWARD_GAMES)])

    def log_odds(self, log_p: Tensor) -> Tensor:
        """How much likelier a move is than the threshold, in nats: above 0 it is predicted."""
        return log_p - log(self.tau)

    def answers(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """(log_p, defined) as in :class:`View`."""
        moves = logits[..., 1:]
        # A logit of minus infinity is an answer: never.
        defined = ~(moves.isnan() | moves.isposinf()).any(-1) & moves.isfinite().any(-1)
        return torch.nan_to_num(moves).double().log_softmax(-1), defined

    def view(self, games: Tensor) -> View:
        """The answers to legal games uint8 [B, T]."""
        return self._views(games)

    def board(self, games: Tensor) -> DecodedBoards:
        """What the model's reader reads behind the decisive layer alone."""
        return self._boards(games)

    @torch.inference_mode()
    def _view(self, games: Tensor) -> View:
        log_p, defined = self.answers(self.logits(games))
        played = replay(games.to(self.device), board=self.geometry.size)
        positions = log_p.shape[1]
        legal = legal_tokens(played, positions)
        return View(
            played=played,
            defined=defined,
            log_p=log_p,
            legal=legal,
            predicted=self.log_odds(log_p) > 0,
            asked=legal.any(-1) & defined,
            strata=tuple(s for s in strata(played, positions) if s[0] in GROUPS),
        )

    @torch.inference_mode()
    def _board(self, games: Tensor) -> DecodedBoards:
        assert self.reader is not None
        return self.reader.read(games.to(self.device), layers=(self.reader.decisive,))
