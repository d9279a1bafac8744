"""Features as functions of the input: activations on games, against boards and true names.

Coverage and board reconstruction are those of Karvonen et al. 2024 (arXiv 2408.00113). A feature
says something at a threshold, a share of its largest activation.
"""

import torch
from torch import Tensor

from comparison.testbed.result import Found
from comparison.testbed.scores import Figures, Score, beside
from extracted_rules.othello.game import Replay, replay
from handbuilt.analysis.streams import mover_frame
from handbuilt.network.transformer import OthelloGPT
from handbuilt.testbed.key import Key

THRESHOLDS = [n / 10 for n in range(10)]
#: A feature reconstructs a square if it is right so often, and on so many positions.
PRECISE, OFTEN = 0.95, 10
#: A name is said to be there above this share of its largest value, on so many positions at least.
HELD = 0.5


def score_features(found: Found, key: Key | None, model: OthelloGPT, seed: int) -> list[Score]:
    """Chance is as many random directions of the stream, less their mean, above 0."""
    games, given, place = found.arrays["games"], found.arrays["activations"], found.said.place
    played = replay(games.to(torch.uint8), board=model.geometry.size)
    going = played.movers[:, 1 : games.shape[1] + 1] != 0
    with torch.inference_mode():
        stream = model.run_with_cache(games, place)[1][place][going].float()
    values = key.values(stream, place)[:, key.names_at(place)] if key else stream[:, :0]
    true = torch.cat([values, -values], 1).clamp(min=0)
    generator = torch.Generator().manual_seed(seed)
    by_chance = stream @ torch.randn(stream.shape[1], given.shape[2], generator=generator)
    chance = (by_chance - by_chance.mean(0)).clamp(min=0)
    truths = Truths(played, going, true)
    return beside("features", truths.figures, given[going], true if key else None, chance)


class Truths:
    """What there is to be found at positions of games: discs that are mine or theirs, and names.

    going: bool [G, P], positions at which the game goes on, N of them; names:
    float [N, names], of either sign; none where there is no key.
    """

    def __init__(self, played: Replay, going: Tensor, names: Tensor) -> None:
        boards = mover_frame(played)[:, 1 : going.shape[1] + 1][going]
        discs = torch.cat([boards == 1, boards == -1], 1)
        self.discs = discs[:, _varies(discs)].float()
        held = names > HELD * names.clamp(min=0).amax(0)
        self.names = held[:, _varies(held)].float()
        #: The first half of the games tells which features are precise, the other half is read.
        self.first = (torch.arange(len(going)) < len(going) // 2)[:, None].expand_as(going)[going]

    def figures(self, features: Tensor) -> Figures:
        """Of activations [N, features]."""
        top = features.amax(0).clamp(min=1e-9)
        coverage = torch.zeros(self.discs.shape[1])
        names = torch.zeros(self.names.shape[1])
        read = torch.zeros(int((~self.first).sum()), self.discs.shape[1], dtype=torch.bool)
        for threshold in THRESHOLDS:
            active = (features > threshold * top).float()
            coverage = torch.maximum(coverage, _best_f1(active, self.discs))
            names = torch.maximum(names, _best_f1(active, self.names))
            learned, truth = active[self.first], self.discs[self.first]
            often = learned.sum(0)[:, None]
            precise = (learned.T @ truth >= PRECISE * often) & (often >= OFTEN)
            read |= active[~self.first] @ precise.float() > 0
        truth = self.discs[~self.first]
        right = (read * truth).sum(1)
        f1 = 2 * right / (read.sum(1) + truth.sum(1)).clamp(min=1)
        of_boards = {
            "coverage of discs": float(coverage.mean()),
            "board reconstruction": float(f1.mean()),
        }
        return of_boards | ({"F1 with names": float(names.mean())} if len(names) else {})


def _varies(there: Tensor) -> Tensor:
    """bool [columns]: those that hold often enough, and not always."""
    often = there.sum(0)
    return (often >= OFTEN) & (often <= len(there) - OFTEN)


def _best_f1(active: Tensor, truth: Tensor) -> Tensor:
    """[truths]: the F1 of the best of active [N, features] with each of truth [N, truths]."""
    both = active.T @ truth
    either = active.sum(0)[:, None] + truth.sum(0)
    best: Tensor = (2 * both / either.clamp(min=1)).amax(0)
    return best
