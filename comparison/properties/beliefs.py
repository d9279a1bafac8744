"""Properties of the board that is read from a model: is it a legal one, and does it decide?"""

from abc import abstractmethod

import torch
from torch import Tensor

from comparison.drawing.answers import Answer
from comparison.properties.definition import Property, PropertyError, Verdicts, nowhere
from comparison.properties.subjects import Subject, View
from comparison.reading.readers import BoardReader
from extracted_rules.othello.game import legal_moves, stream_seed, unpack
from extracted_rules.othello.notation import N_SQUARES, SQUARE_OF_TOKEN

NANDA = "Nanda et al. 2023, arXiv 2309.00941: linear world models, interventions"
LI = "Li et al. 2022, arXiv 2210.13382: the intervention benchmark"
_BIT = torch.ones((), dtype=torch.int64) << torch.arange(N_SQUARES)


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
    """What may be said of the board without knowing the truth about every disc."""

    @abstractmethod
    def offending(self, view: View, held: Tensor) -> Tensor:
        """bool [B, T, 64]: squares of the board read, int8 [B, T, 64], that break it."""

    @torch.inference_mode()
    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        view = subject.view(cases[:, 0])
        held = subject.board(cases[:, 0])
        applies = view.asked.clone()
        applies[:, 0] = False
        wrong = self.offending(view, held) & applies[..., None]
        square = torch.where(wrong.any(-1), wrong.float().argmax(-1), nowhere(applies))
        return Verdicts(applies, wrong.any(-1), square, strata=view.strata)


class Occupied(HeldBoard):
    name = "belief-occupied"
    sentence = "The squares that are held to be occupied are those that are, the centre always."

    def offending(self, view: View, held: Tensor) -> Tensor:
        return (held != 0) != (view.played.boards[:, 1 : held.shape[1] + 1] != 0)


class LastFlips(HeldBoard):
    name = "belief-flips"
    sentence = "The discs that the last move turned, and its own, are held to be the mover's."

    def offending(self, view: View, held: Tensor) -> Tensor:
        positions = held.shape[1]
        boards = view.played.boards
        new = (boards[:, 1 : positions + 1] != boards[:, :positions]) & (held != 0)
        return new & (held != view.played.movers[:, :positions, None])


class Responds(BeliefProperty):
    """One disc is turned in what the model holds, at a game's last move. The disc is chosen by
    chance among those that change the legal moves and leave some."""

    name = "belief-responds"
    sentence = (
        "With one disc turned in what the model holds of the board, the predicted set is the legal "
        "set of the board with that disc turned."
    )
    source = f"{LI}; {NANDA}"

    def cases(self, games: Tensor, seed: int) -> Tensor:
        lengths = (games != 0).sum(-1)
        generator = torch.Generator().manual_seed(stream_seed("properties: edits", seed))
        chance = torch.rand(len(games), generator=generator).to(games.device)
        kept = 2 + (chance * (lengths - 2).clamp(min=0)).long()
        column = torch.arange(games.shape[1], device=games.device)
        return games.masked_fill(column >= kept[:, None], 0)[:, None]

    @staticmethod
    def choose(view: View, games: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(last position int64 [B]; square int64 [B]; legal moves of the edited board bool [B, 60];
        bool [B], there is such a square)."""
        device = games.device
        last = ((games != 0).sum(-1) - 1).clamp(min=0, max=view.asked.shape[1] - 1)
        row = torch.arange(len(games), device=device)
        board, mover = view.played.boards[row, last + 1], view.played.movers[row, last + 1]
        bits = _BIT.to(device)
        mine = ((board == mover[:, None]) * bits).sum(-1)[:, None]
        theirs = ((board == -mover[:, None]) * bits).sum(-1)[:, None]
        legal = unpack(legal_moves((mine ^ bits), (theirs ^ bits)))  # [B, 64 turned, 64]
        truly = view.played.legal[row, last + 1]
        placed = SQUARE_OF_TOKEN.to(device)[games[row, last].long()]
        fits = (board != 0) & (legal != truly[:, None]).any(-1) & legal.any(-1)
        fits[row, placed.clamp(max=N_SQUARES - 1)] = False
        # The same game always gets the same square, whatever games stand beside it.
        mixed = (games.long() * torch.arange(1, games.shape[1] + 1, device=device)).sum(-1)
        chance = (mixed[:, None] * 7919 + torch.arange(N_SQUARES, device=device) * 104729) % 10007
        square = (chance * fits - (~fits).long()).argmax(-1)
        moves = SQUARE_OF_TOKEN[1:].to(device)
        there = fits.any(-1) & view.asked[row, last] & (last > 0)
        return last, square, legal[row, square][:, moves], there

    @torch.inference_mode()
    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        games = cases[:, 0].to(subject.device)
        view = subject.view(cases[:, 0])
        last, square, legal, there = self.choose(view, games)
        row = torch.arange(len(games), device=games.device)
        answers = self.reader(subject).edited(games, square, view.played)[row, last]
        log_p, defined = subject.answers(answers)
        edited, unedited = log_p, view.log_p[row, last]
        applies = torch.zeros_like(view.asked)
        applies[row, last] = there & defined

        def spread(values: Tensor) -> tuple[Tensor, Tensor]:
            by_position = torch.zeros(applies.shape, dtype=torch.float64, device=games.device)
            by_position[row, last] = values.double()
            return by_position * applies, applies

        wrong = (subject.log_odds(edited) > 0) != legal
        null = (subject.log_odds(unedited) > 0) != legal
        broken, squares = applies.clone(), nowhere(applies)
        broken[row, last] = wrong.any(-1)
        squares[row, last] = square
        also = {
            "set is wrong without the edit (null)": spread(null.any(-1)),
            "wrong moves a case": spread(wrong.sum(-1)),
            "wrong moves a case without the edit (null)": spread(null.sum(-1)),
            "wrong among the likeliest n, n as many as legal": spread(_published(edited, legal)),
            "the same without the edit (null)": spread(_published(unedited, legal)),
        }
        return Verdicts(applies, broken & applies, squares, also, view.strata)

    def answers(self, subject: Subject, case: Tensor, square: int) -> list[Answer]:
        shown = super().answers(subject, case, square)
        games = case.to(subject.device)
        view = subject.view(case)
        last, chosen, legal, _ = self.choose(view, games)
        answers = self.reader(subject).edited(games, chosen, view.played)[0, int(last)]
        board = view.played.boards[0, int(last) + 1].clone()
        board[chosen] *= -1
        on_board = torch.zeros(N_SQUARES, dtype=torch.bool)
        on_board[SQUARE_OF_TOKEN[1:]] = legal[0].cpu()
        log_odds = subject.log_odds(subject.answers(answers)[0])
        edited = Answer("with the disc turned", board.cpu(), on_board, log_odds.cpu(), square)
        return [*shown, edited]


def _published(log_p: Tensor, legal: Tensor) -> Tensor:
    """int64 [B]: Li et al.'s count of errors: of the likeliest n moves, n being the number of legal
    ones, those that are illegal, and the legal ones that are not among them."""
    rank = log_p.argsort(-1, descending=True).argsort(-1)
    return ((rank < legal.sum(-1, keepdim=True)) != legal).sum(-1)


BELIEF_PROPERTIES: tuple[Property, ...] = (Occupied(), LastFlips(), Responds())
