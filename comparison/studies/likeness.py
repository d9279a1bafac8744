"""How much models answer as another one does, and how well, on the same games."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from comparison.scoring.measures import Measures, add_scores, score
from extracted_rules.benches.intervals import Estimate, Ratio
from extracted_rules.benches.positions import legal_tokens
from extracted_rules.othello.game import stream_seed
from handbuilt.analysis.streams import moves_of, random_replays
from handbuilt.network.transformer import OthelloGPT

#: Random games that nothing else uses.
PURPOSE = "likeness"
#: A probability below this counts as this much, lest a single move outweigh all others.
FLOOR = 1e-9
#: Fewer moves have no order worth comparing.
LEAST_RANKED = 3


@dataclass
class Likeness:
    """own: how good the answers are. kl: nats from the model's distribution to this one's; sets:
    positions where both predict the same moves, each by its own threshold. ranks: Spearman's
    correlation of the probabilities of legal moves, where there are three or more; permuted: the
    same, one side's legal moves in random order."""

    own: Measures = field(default_factory=Measures)
    kl: Ratio = field(default_factory=Ratio)
    sets: Ratio = field(default_factory=Ratio)
    ranks: Ratio = field(default_factory=Ratio)
    permuted: Ratio = field(default_factory=Ratio)

    @property
    def estimates(self) -> dict[str, Estimate]:
        """All of it with 95 % intervals; shares as shares."""
        return {
            "illegal": self.own.illegal.rate(),
            "f1": self.own.f1.share(),
            "excess": self.own.excess.mean(),
            "kl": self.kl.mean(),
            "sets": self.sets.rate(),
            "ranks": self.ranks.mean(),
            "permuted": self.permuted.mean(),
        }


@torch.inference_mode()
def likeness(
    models: Mapping[str, OthelloGPT],
    taus: Mapping[str, float],
    games: int,
    seed: int,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Likeness]:
    """Of all models to the first one, by name. taus: above which probability each predicts a
    move."""
    first = next(iter(models))
    found = {name: Likeness() for name in models}
    drawn = torch.Generator().manual_seed(stream_seed(PURPOSE, seed))
    for played in random_replays(models[first], games, seed, PURPOSE):
        said = {name: model(moves_of(played)) for name, model in models.items()}
        scores = {name: score(logits, played, taus[name]) for name, logits in said.items()}
        for name, alike in found.items():
            valid = scores[name].valid
            add_scores(alike.own, scores[name], valid)
            equal = (scores[name].predicted == scores[first].predicted).all(-1)
            alike.sets.add((equal & valid).sum(-1), valid.sum(-1))
            alike.kl.add((divergence(said[first], said[name]) * valid).sum(-1), valid.sum(-1))
            legal = legal_tokens(played, said[name].shape[1])
            many = legal.sum(-1) >= LEAST_RANKED
            noise = torch.rand(legal.shape, generator=drawn).to(legal.device)
            for sums, other in ((alike.ranks, said[name][..., 1:]), (alike.permuted, noise)):
                agree = _spearman(said[first][..., 1:], other, legal) * many
                sums.add(agree.sum(-1), many.sum(-1))
        progress(len(played.tokens))
    return found


def _spearman(ours: Tensor, theirs: Tensor, among: Tensor) -> Tensor:
    """float64 [B, T], of what is selected of the last axis; ties do not occur."""
    ranks = [
        x.masked_fill(~among, torch.inf).argsort(-1).argsort(-1).double() for x in (ours, theirs)
    ]
    number = among.sum(-1).double()
    apart = ((ranks[0] - ranks[1]).square() * among).sum(-1)
    return 1 - 6 * apart / (number * (number.square() - 1)).clamp(min=1)


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """float64 [B, T]: KL, in nats, of logits [B, T, tokens], of which token 0 is no move."""
    ours, theirs = (x[..., 1:].double().softmax(-1).clamp(min=FLOOR) for x in (logits, others))
    return (ours * (ours / theirs).log()).sum(-1)
