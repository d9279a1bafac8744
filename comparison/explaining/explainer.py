"""Explains a model's answer at one position."""

from math import log

import torch
from torch import Tensor

from comparison.explaining.causes import Cause, cause_of
from comparison.explaining.contributions import Attribution, Parts, strongest
from comparison.explaining.explanation import Explanation, SquareReasons
from comparison.explaining.names import PartNames
from comparison.explaining.partings import Parting, parting
from comparison.reading.layer_boards import LayerReader
from extracted_rules.errors import UserError
from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.notation import (
    LABELS,
    PLAYABLE,
    TOKEN_OF_SQUARE,
    parse_transcript,
    square_of,
    squares_from_tokens,
    tokens_from_squares,
)

#: Parts that are named for a square, unless more are asked for.
NAMED = 6


class ExplanationError(UserError):
    """A position or square of which there is nothing to explain; the message is one sentence."""


class Explainer:
    """A model, with what takes it apart: made once, asked about many positions.

    reader: what reads its board, if anything does; tau: the probability above which it holds a move
    for legal; names: what its parts are called.
    """

    def __init__(
        self,
        name: str,
        attribution: Attribution,
        names: PartNames,
        reader: LayerReader | None,
        tau: float,
    ) -> None:
        self.name, self.attribution, self.names = name, attribution, names
        self.reader, self.tau = reader, tau

    def after(self, transcript: str, square: str | None = None, named: int = NAMED) -> Explanation:
        """The answer after a game such as ``"f5d6c3"``; see :meth:`explain`. Raises NotationError,
        IllegalGameError or ExplanationError."""
        squares = parse_transcript(transcript)
        tokens = tokens_from_squares([squares])
        replay(tokens)
        asked = None if square is None else square_of(square)
        return self.explain(tokens[0], len(squares), asked, named)

    @torch.inference_mode()
    def explain(
        self, game: Tensor, seen: int, square: int | None = None, named: int = NAMED
    ) -> Explanation:
        """The answer to the first ``seen`` moves of a legal game, uint8 [T].

        square: the one to ask about; by default the one about which the model is most wrong: the
        likeliest move if it is illegal, else the square whose log odds are farthest on the wrong
        side. named: how many parts to name for every square. Raises ExplanationError.
        """
        moves = squares_from_tokens(game)
        positions = min(self.attribution.model.shape.n_ctx, len(moves))
        if not moves:
            raise ExplanationError("a model answers after the first move, and this game has none")
        if not 1 <= seen <= positions:
            raise ExplanationError(
                f"after {seen} moves there is nothing to explain: the model answers after 1 to "
                f"{positions} moves of this game"
            )
        device = self.attribution.bias.device
        played = replay(game[None, :seen].to(device))
        mover = int(played.movers[0, seen])
        if not mover:
            raise ExplanationError(f"after {seen} moves the game is over, so no move is legal")
        board, legal = played.boards[0, seen].cpu(), played.legal[0, seen].cpu()
        if square is not None and (square not in PLAYABLE or int(board[square])):
            raise ExplanationError(f"{LABELS[square]} is not empty, so there is nothing to ask")
        cache = self.attribution.run(game[:seen].to(device))
        parts = self.attribution.parts(cache, seen - 1)
        logits = parts.logits.cpu()
        log_odds = logits.log_softmax(-1) - log(self.tau)
        held, held_mover = self._held(cache, played, seen)
        asked = square if square is not None else most_wrong(board, legal, log_odds)
        cause: Cause | None = None
        partings: tuple[Parting, ...] = ()
        wrong = asked is not None and self._is_wrong(asked, legal, log_odds)
        if asked is not None and wrong and held is not None and self.reader and held_mover:
            cause = cause_of(asked, board, held[self.reader.decisive], mover, held_mover)
            wrong_discs = cause.line.wrong if cause.line else ()
            about = self.attribution, self.reader, self.names, cache, played, held, held_mover
            partings = tuple(parting(*about, seen - 1, disc) for disc in wrong_discs)
        shown = set(legal.nonzero().squeeze(-1).tolist())
        shown |= {PLAYABLE[int(logits.argmax())]} | ({asked} if asked is not None else set())
        return Explanation(
            model=self.name,
            moves=tuple(moves[:seen]),
            mover=mover,
            board=board,
            legal=legal,
            logits=logits,
            log_odds=log_odds,
            held=held,
            held_mover=held_mover,
            decisive=self.reader.decisive if self.reader else None,
            asked=asked,
            squares=tuple(self._reasons(parts, s, named) for s in sorted(shown)),
            cause=cause,
            partings=partings,
        )

    @staticmethod
    def _is_wrong(square: int, legal: Tensor, log_odds: Tensor) -> bool:
        """Held for legal and is not, or the other way around; or the likeliest move and illegal."""
        move = int(TOKEN_OF_SQUARE[square]) - 1
        likeliest = move == int(log_odds.argmax())
        return bool(legal[square]) != (likeliest or bool(log_odds[move] > 0))

    def _held(
        self, cache: dict[str, Tensor], played: Replay, seen: int
    ) -> tuple[Tensor | None, int | None]:
        """(boards [layers, 64], who is held to move next), as the model holds them in the end."""
        layers = self.attribution.model.shape.n_layers
        if self.reader is None:
            return None, None
        streams = [cache[f"blocks.{layer}.hook_resid_post"] for layer in range(layers)]
        boards = self.reader.of_streams(torch.stack(streams), played)
        if seen - 1 < boards.first:
            return None, None
        mover = int(boards.mover[self.reader.decisive, 0, seen - 1])
        return boards.held[:, 0, seen - 1].cpu(), mover

    def _reasons(self, parts: Parts, square: int, named: int) -> SquareReasons:
        move = int(TOKEN_OF_SQUARE[square]) - 1
        heads, neurons = parts.heads[..., move].cpu(), parts.neurons[..., move].cpu()
        reasons = strongest(heads, neurons, self.names, named)
        logit, constant = float(parts.logits[move]), float(parts.constant[move])
        families = [
            (layer, family, float(by_neuron[members].sum()))
            for layer, by_neuron in enumerate(neurons)
            for family, members in self.names.families(layer, square).items()
        ]
        by_layer = zip(heads.sum(1).tolist(), neurons.sum(1).tolist(), strict=True)
        rest = logit - constant - sum(reason.value for reason in reasons)
        return SquareReasons(
            square, logit, constant, tuple(by_layer), tuple(families), tuple(reasons), rest
        )


def most_wrong(board: Tensor, legal: Tensor, log_odds: Tensor) -> int | None:
    """The likeliest square if it is illegal, else the empty one whose log odds [60] are farthest on
    the wrong side of 0; None where all are on the right one.

    board: int8 [64]; legal: bool [64].
    """
    squares = list(PLAYABLE)
    right = legal[squares]
    top = int(log_odds.argmax())
    if not right[top]:
        return squares[top]
    off = torch.where(right, -log_odds, log_odds)
    off[board[squares] != 0] = -torch.inf
    worst = int(off.argmax())
    return squares[worst] if float(off[worst]) > 0 else None
