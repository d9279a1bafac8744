"""Features as functions of the input: activations on games, against boards, true names and rules.

Coverage and board reconstruction are those of Karvonen et al. 2024 (arXiv 2408.00113). A feature
says something at a threshold, a share of its largest activation.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from comparison.testbed.neurons import true_claims
from comparison.testbed.result import Found
from comparison.testbed.scores import Figures, Score, beside
from extracted_rules.conditions import Boards
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.game import replay
from handbuilt.analysis.streams import mover_frame
from handbuilt.network.transformer import OthelloGPT
from handbuilt.testbed.key import Key

THRESHOLDS = [n / 10 for n in range(10)]
#: A feature reconstructs a square if it is right so often, and on so many positions.
PRECISE, OFTEN = 0.95, 10
#: A name is said to be there above this share of its largest value.
HELD = 0.5
#: From this F1 on, a feature follows a rule; features that are shown.
FOLLOWS, SHOWN = 0.9, 20


@dataclass(frozen=True)
class Followed:
    """What a feature says best: a name, or a condition on the board that neurons ask for; found on
    the first half of the games, F1 on the other half."""

    feature: int
    rule: str
    f1: float


def score_features(found: Found, key: Key | None, model: OthelloGPT, seed: int) -> list[Score]:
    """Chance is as many random directions of the stream, less their mean, above 0."""
    truths, generator = Truths(found, key, model), torch.Generator().manual_seed(seed)
    sizes = truths.stream.shape[1], truths.given.shape[1]
    by_chance = truths.stream @ torch.randn(*sizes, generator=generator)
    chance = (by_chance - by_chance.mean(0)).clamp(min=0)
    true = truths.values if key else None
    return beside("features", truths.figures, truths.given, true, chance)


def rules_of_features(found: Found, key: Key, model: OthelloGPT) -> list[Followed]:
    """Of every feature that is ever active, by number."""
    truths = Truths(found, key, model)
    which, f1 = truths.followed(truths.given)
    return [
        Followed(n, truths.rules[int(which[n])], round(float(f1[n]), 4))
        for n in (truths.given > 0).any(0).nonzero().flatten().tolist()
    ]


def table_of_rules(followed: list[Followed]) -> Table:
    """The clearest."""
    clearest = sorted(followed, key=lambda f: -f.f1)[:SHOWN]
    rows = [(str(f.feature), f.rule, f"{f.f1:.3f}") for f in clearest]
    return Table(
        f"rules that features follow, the clearest {len(rows)} of {len(followed)}",
        ("feature", "rule"), ("F1",), rows,
    )  # fmt: skip


class Truths:
    """What there is to be found at positions of a result's games: discs that are mine or theirs;
    and, where there is a key, names of either sign and the conditions on the board that neurons ask
    for.

    Of the N positions at which games go on: given, float [N, features], what was found; stream,
    float [N, d_model]; values, float [N, 2 * names], what names hold above 0 and below.
    """

    def __init__(self, found: Found, key: Key | None, model: OthelloGPT) -> None:
        games, self.place, self.key = found.arrays["games"], found.said.place, key
        self.played = replay(games.to(torch.uint8), board=model.geometry.size)
        self.plies = games.shape[1]
        going = self.played.movers[:, 1 : self.plies + 1] != 0
        self.given = found.arrays["activations"][going]
        with torch.inference_mode():
            self.stream = model.run_with_cache(games, self.place)[1][self.place][going].float()
        boards = mover_frame(self.played)[:, 1 : self.plies + 1][going]
        discs = torch.cat([boards == 1, boards == -1], 1)
        self.discs = discs[:, _varies(discs)].float()
        values = (
            key.values(self.stream, self.place)[:, key.names_at(self.place)]
            if key
            else boards[:, :0]
        )
        self.values = torch.cat([values, -values], 1).clamp(min=0).float()
        held = self.values > HELD * self.values.amax(0)
        self.kept = _varies(held)
        self.names = held[:, self.kept].float()
        #: The first half of the games tells which features are precise, the other half is read.
        self.first = (torch.arange(len(going)) < len(going) // 2)[:, None].expand_as(going)[going]

    @cached_property
    def conditions(self) -> dict[str, Tensor]:
        """By its words, where a condition holds, bool [N]: those that hold often enough, and not
        always."""
        assert self.key is not None
        boards = Boards.of(self.played, self.plies)
        asked = {(c.kind, c.parts) for c in true_claims(self.key)}
        held = {
            " ".join((kind, *parts)): boards.holds(kind, parts) for kind, parts in sorted(asked)
        }
        return {words: holds for words, holds in held.items() if bool(_varies(holds[:, None]))}

    @cached_property
    def rules(self) -> list[str]:
        """What a feature may follow, in the order of :meth:`followed`."""
        assert self.key is not None
        names = [self.key.truth.names[n] for n in self.key.names_at(self.place)]
        signed = [f"{n.name}: {n.sentence}" for n in names] + [f"not {n.name}" for n in names]
        kept = [words for words, keep in zip(signed, self.kept.tolist(), strict=True) if keep]
        return kept + list(self.conditions)

    def followed(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(int64 [features], the rule that each says best; float32 [features], its F1) of
        activations [N, features]; rule and threshold are chosen on the first half of the games."""
        held = [holds[:, None].float() for holds in self.conditions.values()]
        truth, top = torch.cat([self.names, *held], 1), features.amax(0).clamp(min=1e-9)
        best, which = torch.full((features.shape[1],), -1.0), torch.zeros(features.shape[1]).long()
        least = torch.zeros(features.shape[1])
        for threshold in THRESHOLDS:
            f1 = _f1((features[self.first] > threshold * top).float(), truth[self.first]).max(1)
            better = f1.values > best
            best, which = best.maximum(f1.values), torch.where(better, f1.indices, which)
            least = least.masked_fill(better, threshold)
        active = (features[~self.first] > least * top).float()
        truth = truth[~self.first][:, which]
        both = (active * truth).sum(0)
        return which, 2 * both / (active.sum(0) + truth.sum(0)).clamp(min=1)

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
        if self.key is None:
            return of_boards
        _, followed = self.followed(features)
        alive = (features > 0).sum(0) >= OFTEN
        clear = float((followed[alive] >= FOLLOWS).float().mean()) if bool(alive.any()) else 0.0
        of_names = {"F1 with names": float(names.mean()), "features that follow a rule": clear}
        return of_boards | of_names


def _varies(there: Tensor) -> Tensor:
    """bool [columns]: those that hold often enough, and not always."""
    often = there.sum(0)
    return (often >= OFTEN) & (often <= len(there) - OFTEN)


def _f1(active: Tensor, truth: Tensor) -> Tensor:
    """[features, truths]: of active [N, features] with truth [N, truths]."""
    either = active.sum(0)[:, None] + truth.sum(0)
    f1: Tensor = 2 * (active.T @ truth) / either.clamp(min=1)
    return f1


def _best_f1(active: Tensor, truth: Tensor) -> Tensor:
    """[truths]: of the best of active [N, features] with each of truth [N, truths]."""
    return _f1(active, truth).amax(0)
