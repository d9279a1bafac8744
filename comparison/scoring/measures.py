"""The project's measures as streaming sums: memory does not grow with the number of games.

Every measure here is a ratio of two sums over games (errors over positions, say), with its interval
(:class:`extracted_rules.benches.intervals.Ratio`).
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from extracted_rules.benches.intervals import Ratio
from extracted_rules.benches.positions import legal_tokens
from extracted_rules.othello.game import Replay


@dataclass
class Measures:
    """The measures of one stratum of one model on one bench."""

    illegal: Ratio = field(default_factory=Ratio)
    f1: Ratio = field(default_factory=Ratio)
    illegal_mass: Ratio = field(default_factory=Ratio)
    excess: Ratio = field(default_factory=Ratio)

    @property
    def positions(self) -> int:
        return int(self.illegal.y)

    def as_dict(self) -> dict[str, float | int | dict[str, float]]:
        """Plain numbers for JSON: rates as shares, cross-entropy in nats."""
        return {
            "positions": self.positions,
            "illegal_top1": vars(self.illegal.rate()),
            "f1": vars(self.f1.share()),
            "illegal_mass": vars(self.illegal_mass.share()),
            "excess_cross_entropy": vars(self.excess.mean()),
        }


@dataclass(frozen=True)
class Scores:
    """What a model's logits are worth at every position of some games; all [B, T].

    ``valid``: there is a move to predict. ``top``: predicted square. ``wrong``: it is illegal.
    ``set_wrong``: the predicted legal set is not the legal set. ``true_positives``,
    ``false_positives``, ``false_negatives``: squares of the predicted set that are legal, that are
    not, and legal squares left out.
    ``illegal_mass``: probability on illegal moves; ``excess``: cross-entropy against the uniform
    distribution over legal moves minus its floor, nats.
    """

    valid: Tensor
    top: Tensor
    wrong: Tensor
    set_wrong: Tensor
    true_positives: Tensor
    false_positives: Tensor
    false_negatives: Tensor
    predicted: Tensor
    illegal_mass: Tensor
    excess: Tensor


def score(logits: Tensor, replay: Replay, tau: float) -> Scores:
    """logits: float [B, T, tokens] for the games of ``replay``; token 0 is no possible answer."""
    legal = legal_tokens(replay, logits.shape[1])
    number = legal.sum(-1)
    valid = number > 0
    log_p = logits[..., 1:].double().log_softmax(-1)
    p = log_p.exp()
    top = log_p.argmax(-1)
    predicted = p > tau
    right = (predicted & legal).sum(-1)
    # A zero probability on a legal move costs at most 50 nats, so that one cannot drown the rest.
    cross_entropy = -(log_p.clamp(min=-50) * legal).sum(-1) / number.clamp(min=1)
    return Scores(
        valid=valid,
        top=replay.geometry.square_of_token.to(top.device)[top + 1],
        wrong=~legal.gather(-1, top.unsqueeze(-1)).squeeze(-1) & valid,
        set_wrong=(predicted != legal).any(-1) & valid,
        true_positives=right,
        false_positives=predicted.sum(-1) - right,
        false_negatives=number - right,
        predicted=predicted,
        illegal_mass=(p * ~legal).sum(-1),
        excess=cross_entropy - number.clamp(min=1).log(),
    )


def add_scores(measures: Measures, scores: Scores, mask: Tensor) -> None:
    """Add the masked positions ([B, T] bool) of some games to a stratum's sums."""
    m = mask & scores.valid
    if not bool(m.any()):
        return
    positions = m.sum(-1)
    measures.illegal.add((scores.wrong & m).sum(-1), positions)
    right = 2 * scores.true_positives
    both = right + scores.false_positives + scores.false_negatives
    measures.f1.add((right * m).sum(-1), (both * m).sum(-1))
    measures.illegal_mass.add((scores.illegal_mass * m).sum(-1), positions)
    measures.excess.add((scores.excess * m).sum(-1), positions)


class ThresholdChooser:
    """Finds the tau of best F1 from histograms of log-probability: one pass, constant memory."""

    BINS = 400
    LOWEST = -20.0  # nats

    def __init__(self) -> None:
        self.counts = torch.zeros(2, self.BINS, dtype=torch.int64)  # illegal, legal

    def add(self, logits: Tensor, replay: Replay) -> None:
        legal = legal_tokens(replay, logits.shape[1])
        valid = legal.any(-1)
        log_p = logits[..., 1:].double().log_softmax(-1)[valid]
        bins = (log_p / self.LOWEST * self.BINS).long().clamp(0, self.BINS - 1)
        index = (legal[valid].long() * self.BINS + bins).flatten().cpu()
        self.counts += torch.bincount(index, minlength=2 * self.BINS).view(2, self.BINS)

    def best(self) -> float:
        """The threshold on probability; the middle one where several are equally good."""
        illegal, legal = self.counts.cumsum(-1).double()  # predicted if tau is below bin b
        f1 = 2 * legal / (legal + illegal + legal[-1]).clamp(min=1)
        best = (f1 >= f1.max() - 1e-9).nonzero().squeeze(-1)
        edge = float(best[len(best) // 2] + 1) / self.BINS * self.LOWEST
        return float(torch.tensor(edge, dtype=torch.float64).exp())
