"""Properties of the board that is read from a model: is it a legal one, and does it decide?"""

from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor

from comparison.properties.definition import Property, PropertyError, Verdicts, nowhere
from comparison.properties.subjects import Subject, View
from comparison.reading.board_reader import BoardReader, DecodedBoards
from extracted_rules.benches.changed_games import cut_anywhere
from extracted_rules.benches.interventions import Turned, turn
from extracted_rules.drawing.answers import answer
from extracted_rules.othello.geometry import STANDARD
from extracted_rules.othello.svg import Picture

NANDA = "Nanda et al. 2023, arXiv 2309.00941: linear world models, interventions"
LI = "Li et al. 2022, arXiv 2210.13382: the intervention benchmark"


class BeliefProperty(Property):
    """Something about the board that is read from a model."""

    source = NANDA

    def missing(self, subject: Subject) -> str | None:
        return None if subject.reader else "nothing reads this model's board"

    @staticmethod
    def reader(subject: Subject) -> BoardReader:
        if subject.reader is None:
            raise PropertyError("nothing reads this model's board")
        return subject.reader


class HeldBoard(BeliefProperty):
    """What may be said of the decisive layer's board without knowing the truth about every disc."""

    @abstractmethod
    def offending(self, view: View, read: DecodedBoards) -> Tensor:
        """bool [B, T, squares]: squares that break it."""

    @torch.inference_mode()
    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        view = subject.view(cases[:, 0])
        read = subject.board(cases[:, 0])
        applies = view.asked.clone()
        applies[:, 0] = False  # for models by name and by probes alike
        wrong = self.offending(view, read) & applies[..., None]
        square = torch.where(wrong.any(-1), wrong.float().argmax(-1), nowhere(applies))
        return Verdicts(applies, wrong.any(-1), square, strata=view.strata)


class Occupied(HeldBoard):
    name = "belief-occupied"
    sentence = "The squares that are decoded as occupied are those that are, the centre always."

    def offending(self, view: View, read: DecodedBoards) -> Tensor:
        blank = read.blank[0]
        return blank != (view.played.boards[:, 1 : blank.shape[1] + 1] == 0)


class LastFlips(HeldBoard):
    name = "belief-flips"
    sentence = "The discs that the last move turned, and its own, are decoded as the mover's."

    def offending(self, view: View, read: DecodedBoards) -> Tensor:
        decoded = read.signs[0]
        positions = decoded.shape[1]
        boards = view.played.boards
        new = boards[:, 1 : positions + 1] != boards[:, :positions]
        return new & (decoded != view.played.movers[:, :positions, None])


class Responds(BeliefProperty):
    """One disc is turned in the decoded board, at a game's last move. The disc is chosen by
    chance among those that change the legal moves and leave some."""

    name = "belief-responds"
    sentence = (
        "With one disc turned in the decoded board, the predicted set is the legal "
        "set of the board with that disc turned."
    )
    source = f"{LI}; {NANDA}"

    def cases(self, games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
        return cut_anywhere(games, seed)[:, None]

    def answered(
        self, subject: Subject, view: View, games: Tensor, square: Tensor | None = None
    ) -> tuple[Turned, Tensor]:
        """(what is turned, as :func:`turn` has it; float64 [B, moves]: the answers with it, as
        :attr:`View.log_p`)."""
        turned = turn(view.played, games, square)
        at = turned.row, turned.last
        log_p, defined = subject.answers(
            self.reader(subject).edited(games, turned.square, view.played)[at]
        )
        return replace(turned, there=turned.there & view.asked[at] & defined), log_p

    @torch.inference_mode()
    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        view = subject.view(cases[:, 0])
        games = cases[:, 0].to(subject.device)
        return self.verdicts(subject, view, *self.answered(subject, view, games))

    def verdicts(self, subject: Subject, view: View, turned: Turned, edited: Tensor) -> Verdicts:
        """On the answers that :meth:`answered` gives."""
        at, legal = (turned.row, turned.last), turned.legal
        unedited = view.log_p[at]
        applies = torch.zeros_like(view.asked)
        applies[at] = turned.there

        def spread(values: Tensor) -> tuple[Tensor, Tensor]:
            by_position = applies.double()
            by_position[at] *= values.double()
            return by_position, applies

        wrong, null = ((subject.log_odds(log_p) > 0) != legal for log_p in (edited, unedited))
        broken, squares = applies.clone(), nowhere(applies)
        broken[at] = wrong.any(-1)
        squares[at] = turned.square
        also = {
            "set is wrong without the edit (null)": spread(null.any(-1)),
            "wrong moves a case": spread(wrong.sum(-1)),
            "wrong moves a case without the edit (null)": spread(null.sum(-1)),
            "wrong among the likeliest n, n as many as legal": spread(_published(edited, legal)),
            "the same without the edit (null)": spread(_published(unedited, legal)),
        }
        return Verdicts(applies, broken & applies, squares, also, view.strata)

    def answers(self, subject: Subject, case: Tensor, square: int) -> list[Picture]:
        shown = super().answers(subject, case, square)
        view = subject.view(case)
        turned, log_p = self.answered(subject, view, case.to(subject.device))
        board = view.played.boards[0, int(turned.last) + 1].clone()
        board[turned.square] *= -1
        on_board = torch.zeros(len(board), dtype=torch.bool)
        on_board[list(view.played.geometry.playable)] = turned.legal[0].cpu()
        log_odds = subject.log_odds(log_p[0]).cpu()
        return [*shown, answer("with the disc turned", board.cpu(), on_board, log_odds, square)]


def _published(log_p: Tensor, legal: Tensor) -> Tensor:
    """int64 [B]: Li et al.'s count of errors: of the likeliest n moves, n being the number of legal
    ones, those that are illegal, and the legal ones that are not among them."""
    rank = log_p.argsort(-1, descending=True).argsort(-1)
    return ((rank < legal.sum(-1, keepdim=True)) != legal).sum(-1)


BELIEF_PROPERTIES: tuple[Property, ...] = (Occupied(), LastFlips(), Responds())
