"""Explains a model's answer at one position."""

from math import log

import torch
from torch import Tensor

from comparison.explaining.explanation import Explanation, SquareReasons
from comparison.explaining.partings import DecodedRun, Parting, parting
from comparison.reading.board_reader import BoardReader
from extracted_rules.benches.causes import Cause, cause_of, lines_of
from extracted_rules.catalogue import Catalogue
from extracted_rules.errors import UserError
from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.position import Position
from handbuilt.analysis.contributions import Attribution, Parts, strongest
from handbuilt.analysis.names import part_names
from handbuilt.network.transformer import OthelloGPT

#: Parts that are named for a square, unless more are asked for.
NAMED = 6


class ExplanationError(UserError):
    """A position or square of which there is nothing to explain; the message is one sentence."""


class Explainer:
    """A model, with what takes it apart: made once, asked about many positions.

    reader: what reads its board, if anything does; tau: the probability above which it takes a move
    for legal; catalogue: its rules, by which a trained model's parts are called.
    """

    def __init__(
        self,
        name: str,
        model: OthelloGPT,
        reader: BoardReader | None,
        tau: float,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.name, self.reader, self.tau = name, reader, tau
        self.attribution, self.names = Attribution(model), part_names(model, catalogue)
        self.geometry = model.geometry

    def after(self, transcript: str, square: str | None = None, named: int = NAMED) -> Explanation:
        """The answer after a game such as ``"f5d6c3"``; see :meth:`explain`. Raises NotationError,
        IllegalGameError or ExplanationError."""
        tokens = Position.after(transcript, self.geometry.size).tokens
        asked = None if square is None else self.geometry.square_of(square)
        return self.explain(tokens, len(tokens), asked, named)

    @torch.inference_mode()
    def explain(
        self, game: Tensor, seen: int, square: int | None = None, named: int = NAMED
    ) -> Explanation:
        """The answer to the first ``seen`` moves of a game, integers [T].

        square: the one to ask about; by default the one about which the model is most wrong: the
        likeliest move if it is illegal, else the square whose log odds are farthest on the wrong
        side. named: how many parts to name for every square. Raises IllegalGameError or
        ExplanationError.
        """
        played, playable = self._played(game, seen), self.geometry.playable
        board, legal = played.boards[0, seen].cpu(), played.legal[0, seen].cpu()
        if square is not None and (square not in playable or int(board[square])):
            label = self.geometry.labels[square]
            raise ExplanationError(f"{label} is not empty, so there is nothing to ask")
        cache = self.attribution.run(played.tokens[0, :seen])
        parts = self.attribution.parts(cache, seen - 1)
        logits = parts.logits.cpu()
        log_odds = logits.log_softmax(-1) - log(self.tau)
        worst = most_wrong(self.geometry, board, legal, log_odds)
        asked = worst if square is None else square
        run = self._decoded(cache, played)
        cause, partings = (
            self._why(run, asked, log_odds) if run and asked is not None else (None, ())
        )
        shown = {playable[int(logits.argmax())], *legal.nonzero().flatten().tolist()}
        shown |= set() if asked is None else {asked}
        return Explanation(
            model=self.name,
            geometry=self.geometry,
            moves=tuple(self.geometry.square_of_token[played.tokens[0, :seen].long()].tolist()),
            mover=int(played.movers[0, seen]),
            board=board,
            legal=legal,
            logits=logits,
            log_odds=log_odds,
            decoded=run.boards if run else None,
            decoded_mover=run.mover if run else None,
            decisive=self.reader.decisive if self.reader else None,
            asked=asked,
            squares=tuple(self._reasons(parts, s, named) for s in sorted(shown)),
            cause=cause,
            partings=partings,
        )

    def _played(self, game: Tensor, seen: int) -> Replay:
        """The first ``seen`` moves, on the model's device. Raises as :meth:`explain`."""
        moves = int((game != 0).sum())
        positions = min(self.attribution.model.shape.n_ctx, moves)
        if not moves:
            raise ExplanationError("a model answers after the first move, and this game has none")
        if not 1 <= seen <= positions:
            raise ExplanationError(
                f"after {seen} moves there is nothing to explain: the model answers after 1 to "
                f"{positions} moves of this game"
            )
        tokens = game[None, :seen].to(self.attribution.bias.device)
        played = replay(tokens, board=self.geometry.size)
        if not int(played.movers[0, seen]):
            raise ExplanationError(f"after {seen} moves the game is over, so no move is legal")
        return played

    def _decoded(self, cache: dict[str, Tensor], played: Replay) -> DecodedRun | None:
        """With the boards after the last move; None where nothing reads them."""
        layers, last = self.attribution.model.shape.n_layers, int(played.lengths[0]) - 1
        if self.reader is None:
            return None
        streams = [cache[f"blocks.{layer}.hook_resid_post"] for layer in range(layers)]
        boards = self.reader.decode(torch.stack(streams), played)
        if last < boards.first:
            return None
        mover = int(boards.mover[self.reader.decisive, 0, last])
        return DecodedRun(cache, played, boards.values[:, 0, last].cpu(), mover)

    def _why(
        self, run: DecodedRun, square: int, log_odds: Tensor
    ) -> tuple[Cause | None, tuple[Parting, ...]]:
        """Of a wrong answer about a square; nothing of a right one."""
        seen, move = run.position + 1, int(self.geometry.token_of_square[square]) - 1
        legal = bool(run.played.legal[0, seen, square])
        predicted = move == int(log_odds.argmax()) or bool(log_odds[move] > 0)
        if legal == predicted or not run.mover or self.reader is None:
            return None, ()
        board, mover = run.played.boards[0, seen].cpu(), int(run.played.movers[0, seen])
        decoded = run.boards[self.reader.decisive]
        lines = lines_of(self.geometry, square, board, decoded, mover)
        cause = cause_of(lines, mover, run.mover)
        about = self.attribution, self.reader, self.names, run
        discs = cause.line.wrong if cause.line else ()
        return cause, tuple(parting(*about, disc) for disc in discs)

    def _reasons(self, parts: Parts, square: int, named: int) -> SquareReasons:
        move = int(self.geometry.token_of_square[square]) - 1
        heads, neurons = parts.heads[..., move].cpu(), parts.neurons[..., move].cpu()
        reasons = strongest(heads, neurons, self.names, named)
        logit, constant = float(parts.logits[move]), float(parts.constant[move])
        families = [
            (layer, family, float(by_neuron[members].sum()))
            for layer, by_neuron in enumerate(neurons)
            for family, members in self.names.families(layer, square).items()
        ]
        by_layer = zip(heads.sum(1).tolist(), neurons.sum(1).tolist(), strict=True)
        return SquareReasons(
            square=self.geometry.labels[square],
            logit=logit,
            constant=constant,
            by_layer=tuple(by_layer),
            families=tuple(families),
            reasons=tuple(reasons),
            rest=logit - constant - sum(reason.value for reason in reasons),
        )


def most_wrong(geometry: Geometry, board: Tensor, legal: Tensor, log_odds: Tensor) -> int | None:
    """The likeliest square if it is illegal, else the empty one whose log odds [moves] are farthest
    on the wrong side of 0; None where all are on the right one.

    board: int8 [squares]; legal: bool [squares].
    """
    squares = list(geometry.playable)
    right = legal[squares]
    top = int(log_odds.argmax())
    if not right[top]:
        return squares[top]
    off = torch.where(right, -log_odds, log_odds)
    off[board[squares] != 0] = -torch.inf
    worst = int(off.argmax())
    return squares[worst] if float(off[worst]) > 0 else None
