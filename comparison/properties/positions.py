"""Properties of one answer: what the likeliest move and the predicted set may be."""

from abc import abstractmethod

import torch
from torch import Tensor

from comparison.properties.definition import Property, Verdicts, nowhere
from comparison.properties.subjects import Subject, View

RULES = "the rules of Othello"
LI = "Li et al. 2022, arXiv 2210.13382: illegal likeliest moves"
MAAR = "Maar, legal sets by a threshold on probability"


class AnswerProperty(Property):
    """What a single answer may be, at every position of a game with a move to predict."""

    @abstractmethod
    def offence(self, view: View) -> tuple[Tensor, Tensor]:
        """(bool [B, T] where it is broken, int64 [B, T] the square that shows it)."""

    def applies(self, view: View) -> Tensor:
        """bool [B, T]: which answers are asked about."""
        return view.asked

    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        view = subject.view(cases[:, 0])
        applies = self.applies(view)
        broken, square = self.offence(view)
        broken = broken & applies
        return Verdicts(
            applies, broken, torch.where(broken, square, nowhere(square)), strata=view.strata
        )


class TopMove(AnswerProperty):
    """The likeliest move; each kind of illegal move is a property of its own."""

    @staticmethod
    def faults(view: View) -> dict[str, Tensor]:
        """bool [B, T] each, in the order in which a move is looked at: the first that fits."""
        top = view.square_of(view.top)
        discs = view.played.boards[:, 1 : top.shape[1] + 1] != 0
        touched = (discs.float() @ view.played.geometry.touching.to(discs.device).float()) > 0
        occupied, touches = (x.gather(-1, top[..., None]).squeeze(-1) for x in (discs, touched))
        illegal = ~view.legal.gather(-1, view.top[..., None]).squeeze(-1)
        return {
            "occupied": occupied,
            "untouching": ~occupied & ~touches,
            "flips nothing": ~occupied & touches & illegal,
            "illegal": illegal,
        }

    def __init__(self, name: str, sentence: str, fault: str, source: str = RULES) -> None:
        self.name, self.sentence, self.fault, self.source = name, sentence, fault, source

    def offence(self, view: View) -> tuple[Tensor, Tensor]:
        return self.faults(view)[self.fault], view.square_of(view.top)


class TopMoveAtPass(TopMove):
    """A legal likeliest move where alternation does not hold: at an unseen pass, or after one."""

    def __init__(self, name: str, sentence: str, stratum: str) -> None:
        super().__init__(name, sentence, "illegal")
        self.stratum = stratum

    def applies(self, view: View) -> Tensor:
        masks = {name: mask for group, name, mask in view.strata if group == "pass"}
        return view.asked & masks[self.stratum]


class LegalSet(AnswerProperty):
    name = "set"
    sentence = "The predicted moves (likelier than tau) are the legal ones."
    source = MAAR

    def offence(self, view: View) -> tuple[Tensor, Tensor]:
        # The surest of the wrong squares, whichever way it is wrong.
        sureness = torch.where(view.predicted, view.log_p, -view.log_p) * view.wrong_set
        worst = sureness.masked_fill(~view.wrong_set, -torch.inf).argmax(-1)
        return view.wrong_set.any(-1), view.square_of(worst)


class Ranking(AnswerProperty):
    name = "ranking"
    sentence = "Every legal move is likelier than every illegal one."
    source = "no threshold: what any choice of tau could reach at best"

    def offence(self, view: View) -> tuple[Tensor, Tensor]:
        best_illegal, where = view.log_p.masked_fill(view.legal, -torch.inf).max(-1)
        worst_legal = view.log_p.masked_fill(~view.legal, torch.inf).amin(-1)
        return best_illegal >= worst_legal, view.square_of(where)


def margin(view: View) -> Tensor:
    """float64 [B, T]: the log-probability of the likeliest illegal move less that of the likeliest
    legal one; minus infinity where nothing is asked."""
    legal, illegal = (
        view.log_p.masked_fill(~which, -torch.inf).amax(-1) for which in (view.legal, ~view.legal)
    )
    return torch.where(view.asked, illegal - legal, -torch.inf)


POSITION_PROPERTIES: tuple[Property, ...] = (
    TopMove("occupied", "The likeliest move is never an occupied square.", "occupied"),
    TopMove("untouching", "The likeliest move never lies apart from all discs.", "untouching"),
    TopMove(
        "flips-nothing",
        "The likeliest move, on a blank square beside a disc, never flips nothing.",
        "flips nothing",
    ),
    TopMove("legal", "The likeliest move is legal.", "illegal", LI),
    LegalSet(),
    Ranking(),
    TopMoveAtPass(
        "at-a-pass",
        "Where the next side must pass, the likeliest move is one of the side that moves again.",
        "at a pass",
    ),
    TopMoveAtPass(
        "after-a-pass",
        "Behind an unseen pass the likeliest move is one of the side that really moves.",
        "after a pass",
    ),
)
