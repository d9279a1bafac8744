"""Interventions: does a found direction turn the answer as the one that it stands for does?"""

import torch
from torch import Tensor

from comparison.testbed.directions import true_directions
from comparison.testbed.result import Found
from comparison.testbed.scores import Figures, Score, beside
from extracted_rules.othello.game import random_games
from handbuilt.network.transformer import HookPoint, OthelloGPT
from handbuilt.testbed.key import Key

#: Games, and the names tried in them: by chance among those that vary at the place.
GAMES, NAMES = 8, 12
#: A name is turned by so many times what it varies by. Answers that move less than this, in nats,
#: are left out.
TURNS, LEAST = 2.0, 1e-3


def score_interventions(found: Found, key: Key, model: OthelloGPT, seed: int) -> list[Score]:
    """The cosine between what a true direction does to all logits and what its best match does,
    where that is added with the same length. Names are chosen by chance; chance is as many random
    directions as were found."""
    given = found.arrays["directions"]
    generator = torch.Generator().manual_seed(seed)
    turner = Turner(found.said.place, key, model, seed, generator)
    chance = torch.randn(given.shape, generator=generator)
    return beside("interventions", turner.figures, given, turner.true, chance)


class Turner:
    """Some names at a place, and what turning each does to the logits of some games."""

    def __init__(
        self, place: str, key: Key, model: OthelloGPT, seed: int, generator: torch.Generator
    ) -> None:
        # In float64, as rounding moves logits by more than some names do.
        self.place, self.model = place, OthelloGPT(model.shape).double()
        self.model.load_state_dict(model.state_dict())
        board = key.geometry
        drawn = random_games(GAMES, seed, board=board.size, purpose="testbed-interventions")
        self.moves = torch.cat(list(drawn))[:, : board.context].long()
        self.true = true_directions(key, place)
        with torch.inference_mode():
            self.logits, cache = self.model.run_with_cache(self.moves, place)
        varies = (
            key.values(cache[place], place)[..., key.names_at(place)].flatten(0, 1).std(0).float()
        )
        self.steps: dict[int, Tensor] = {}
        self.effects: dict[int, Tensor] = {}
        for name in torch.randperm(len(self.true), generator=generator).tolist():
            step = TURNS * varies[name] * self.true[name]
            effect = self._effect(step)
            if float(effect.abs().max()) > LEAST:
                self.steps[name], self.effects[name] = step, effect
            if len(self.steps) == NAMES:
                break

    @torch.inference_mode()
    def _effect(self, step: Tensor) -> Tensor:
        """What adding a vector [d_model] at the place, everywhere, does to all logits of moves."""

        def add(value: Tensor, hook: HookPoint) -> Tensor:
            return value + step

        changed = self.model.run_with_hooks(self.moves, [(self.place, add)])
        return (changed - self.logits)[..., 1:].flatten()

    def figures(self, given: Tensor) -> Figures:
        """Of directions [n, d_model]."""
        units = given / given.norm(dim=1, keepdim=True).clamp(min=1e-12)
        cosines = []
        for name, step in self.steps.items():
            along = units @ step
            best = int(along.abs().argmax())
            effect = self._effect(units[best] * along[best].sign() * step.norm())
            cosines.append(torch.cosine_similarity(effect, self.effects[name], dim=0))
        mean = float(torch.stack(cosines).mean()) if cosines else 0.0
        return {"cosine of what is turned": mean}
