"""Rules that a tool claims neurons to follow, against those that they were built to follow."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from comparison.testbed.result import Claim, Found
from comparison.testbed.scores import Figures, Score, beside
from extracted_rules.conditions import Boards, parse_part
from extracted_rules.othello.game import random_games, replay
from handbuilt.network.transformer import OthelloGPT
from handbuilt.testbed.key import Key

#: Fresh random games, of a purpose of their own.
GAMES = 100
Claims = Sequence[Claim]


def score_neurons(found: Found, key: Key, model: OthelloGPT, seed: int) -> list[Score]:
    """Kind, squares and F1 of claimed rules; chance permutes the key's rules among the neurons that
    have one."""
    true = true_claims(key)
    order = torch.randperm(len(true), generator=torch.Generator().manual_seed(seed)).tolist()
    chance = [
        replace(claim, kind=true[other].kind, parts=true[other].parts)
        for claim, other in zip(true, order, strict=True)
    ]
    bench = Bench(key, model, seed)
    return beside("neurons", bench.figures, found.said.claims, true, chance)


def true_claims(key: Key) -> list[Claim]:
    """The rules of the key, of all neurons that ask for a condition on the board."""
    return [Claim(n.layer, n.neuron, n.kind, n.parts) for n in key.truth.neurons if n.kind]


class Bench:
    """Fresh games, what holds there and how active neurons are."""

    def __init__(self, key: Key, model: OthelloGPT, seed: int) -> None:
        self.key, board = key, key.geometry
        drawn = random_games(GAMES, seed, board=board.size, purpose="testbed-neurons")
        games = torch.cat(list(drawn))
        played, self.model = replay(games, board=board.size), model
        self.boards = Boards.of(played, board.context)
        self.there = played.movers[:, 1 : board.context + 1] != 0
        self.moves = games[:, : board.context].long()
        self.true = {(c.layer, c.neuron): c for c in true_claims(key)}
        self._held: dict[tuple[str, tuple[str, ...]], Tensor] = {}
        self.active = self._active()

    @torch.inference_mode()
    def _active(self) -> Mapping[int, Tensor]:
        """bool [positions, d_mlp] by layer: above the middle between 0 and a neuron's largest."""
        wanted = {f"blocks.{layer}.mlp.hook_post" for layer in {c[0] for c in self.true}}
        _, cache = self.model.run_with_cache(self.moves, wanted.__contains__)
        found = {}
        for name, post in cache.items():
            post = post[self.there]
            found[int(name.split(".")[1])] = post > 0.5 * post.amax(0).clamp(min=1e-6)
        return found

    def holds(self, claim: Claim) -> Tensor:
        """bool [positions]: where a claimed rule holds."""
        rule = claim.kind, claim.parts
        if rule not in self._held:
            self._held[rule] = self.boards.holds(*rule)
        return self._held[rule]

    def figures(self, claims: Claims) -> Figures:
        """Means over the neurons that have a rule; one of which nothing is claimed counts 0.

        invented: the share of claims about neurons that have no rule."""
        by_place = {(c.layer, c.neuron): c for c in claims}
        rows = []
        for place, true in self.true.items():
            claim = by_place.get(place)
            if claim is None or not claim.parts:
                rows.append([0.0] * 4)
                continue
            active = self.active[place[0]][:, place[1]]
            holds = self.holds(claim)
            rows.append(
                [
                    float(claim.kind == true.kind),
                    self._squares(claim, true),
                    f1(holds, self.holds(true)),
                    f1(holds, active),
                ]
            )
        names = ("kind", "squares (Jaccard)", "F1 with the rule", "F1 with the activity")
        means = torch.tensor(rows).mean(0).tolist()
        stray = sum(place not in self.true for place in by_place) / max(len(by_place), 1)
        return {**dict(zip(names, means, strict=True)), "invented": stray}

    def _squares(self, *claims: Claim) -> float:
        """The Jaccard index of the squares that two rules name."""
        one, other = (
            {s for part in c.parts for s in parse_part(c.kind, part, self.key.geometry).squares}
            for c in claims
        )
        return len(one & other) / len(one | other)


def f1(said: Tensor, holds: Tensor) -> float:
    """Of two bool [n]; 1 where neither ever holds."""
    both, either = int((said & holds).sum()), int(said.sum()) + int(holds.sum())
    return 2 * both / either if either else 1.0
