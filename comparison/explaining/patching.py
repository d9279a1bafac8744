"""Activation patching between two games that differ in their last move alone.

The other game is run, and one activation at a time is replaced by what it is in the game asked
about. What differs is at the last position only, as nothing before it has seen the last move. The
measure is the logit of the squares that are legal in this game alone, less that of those that are
legal in the other alone (the mean of each); 1 is what this game gives, 0 what the other one gives.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from comparison.explaining.names import PartName, PartNames
from extracted_rules.errors import UserError
from extracted_rules.othello.game import replay
from extracted_rules.othello.notation import CONTEXT, LABELS, PLAYABLE, squares_from_tokens
from handbuilt.network.transformer import OthelloGPT

#: Neurons that are patched one by one: those that a linear estimate finds to matter most.
NEURONS = 24
HEADS_TOLD, NEURONS_TOLD = 6, 12
#: The stream before a layer, and what its halves write.
PLACES = {"stream": "hook_resid_pre", "attention": "hook_attn_out", "mlp": "hook_mlp_out"}
#: Patched runs of one forward pass.
BATCH = 32


class PatchingError(UserError):
    """Two games between which nothing can be patched; the message is one sentence."""


@dataclass(frozen=True)
class Patched:
    """What comes back, as a share of the difference between two games.

    only_here, only_there: the squares that are legal in one of them alone. here, there: the
    measure in each, in nats. layers: by PLACES' names, float [layers]; heads: [layers, heads];
    neurons: the strongest, (layer, what it is, share).
    """

    only_here: tuple[int, ...]
    only_there: tuple[int, ...]
    here: float
    there: float
    layers: dict[str, Tensor]
    heads: Tensor
    neurons: tuple[tuple[int, PartName, float], ...]

    def as_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {
            "only_here": [LABELS[s] for s in self.only_here],
            "only_there": [LABELS[s] for s in self.only_there],
            "here": self.here,
            "there": self.there,
            "layers": {name: shares.tolist() for name, shares in self.layers.items()},
            "heads": self.heads.tolist(),
            "neurons": [
                {"layer": layer, **vars(part), "share": share}
                for layer, part, share in self.neurons
            ],
        }

    def lines(self) -> list[str]:
        """The same in words."""
        here, there = (
            " ".join(LABELS[s] for s in squares) or "nothing"
            for squares in (self.only_here, self.only_there)
        )
        told = [
            "Patched into the other game. Of the squares that are empty in both, legal here "
            f"alone: {here}; there alone: {there}.",
            f"Their logits' difference is {self.here:.2f} here and {self.there:.2f} there. What of "
            "that comes back with one activation of this game, after the last move:",
        ]
        for name, shares in self.layers.items():
            told.append(f"  {name:>9}  " + " ".join(f"{share:5.2f}" for share in shares.tolist()))
        by_size = self.heads.abs().flatten().topk(min(HEADS_TOLD, self.heads.numel())).indices
        heads = [divmod(n, self.heads.shape[1]) for n in by_size.tolist()]
        told.append(
            "  heads      "
            + ", ".join(f"{layer}.{head} {self.heads[layer, head]:.2f}" for layer, head in heads)
        )
        for _, part, share in self.neurons[:NEURONS_TOLD]:
            said = f": {part.sentence}" if part.sentence else ""
            told.append(f"  {share:9.2f}  {part.name}{said}")
        return told


def patch(model: OthelloGPT, names: PartNames, game: Tensor, other: Tensor) -> Patched:
    """Patch a model between two legal games, uint8 [T] each, on its device.

    Raises PatchingError for games that differ in more than the last move, or in no legal square.
    """
    here, there = (squares_from_tokens(g) for g in (game, other))
    _check(here, there)
    last = len(here) - 1
    squares, signs = _measured(game, other, len(here))
    columns = torch.tensor([PLAYABLE.index(s) + 1 for s in squares], device=game.device)
    weights = torch.tensor(signs, device=game.device)

    def measure(logits: Tensor) -> Tensor:
        return (logits[:, last, columns] * weights).sum(-1)

    with torch.inference_mode():
        logits, cache = model.run_with_cache(game[None, : last + 1].long())
        clean = float(measure(logits))
    estimated, dirty = _estimate(model, other[None, : last + 1].long(), cache, last, measure)
    if abs(clean - dirty) < 1e-6:
        raise PatchingError("the model answers both games alike, so there is nothing to bring back")
    shape = model.shape
    jobs: list[tuple[str, int | None]] = [
        (f"blocks.{layer}.{place}", None)
        for place in PLACES.values()
        for layer in range(shape.n_layers)
    ]
    jobs += [
        (f"blocks.{layer}.attn.hook_z", head)
        for layer in range(shape.n_layers)
        for head in range(shape.n_heads)
    ]
    chosen = estimated.abs().flatten().topk(min(NEURONS, estimated.numel())).indices.tolist()
    jobs += [(f"blocks.{n // shape.d_mlp}.mlp.hook_post", n % shape.d_mlp) for n in chosen]
    back = (_run(model, other[: last + 1].long(), cache, last, jobs, measure) - dirty) / (
        clean - dirty
    )
    streams = shape.n_layers * len(PLACES)
    layers = back[:streams].view(len(PLACES), shape.n_layers)
    heads = back[streams : streams + shape.n_layers * shape.n_heads]
    neurons = [
        (n // shape.d_mlp, names.neuron(n // shape.d_mlp, n % shape.d_mlp), share)
        for n, share in zip(chosen, back[len(back) - len(chosen) :].tolist(), strict=True)
    ]
    return Patched(
        only_here=tuple(s for s, sign in zip(squares, signs, strict=True) if sign > 0),
        only_there=tuple(s for s, sign in zip(squares, signs, strict=True) if sign < 0),
        here=clean,
        there=dirty,
        layers=dict(zip(PLACES, layers, strict=True)),
        heads=heads.view(shape.n_layers, shape.n_heads),
        neurons=tuple(sorted(neurons, key=lambda found: -abs(found[2]))),
    )


def _check(here: list[int], there: list[int]) -> None:
    if len(here) != len(there) or here[:-1] != there[:-1] or here == there or not here:
        raise PatchingError("patching needs two games that differ in their last move alone")
    if len(here) > CONTEXT:
        raise PatchingError(f"a model answers after at most {CONTEXT} moves; cut both games there")


def _measured(game: Tensor, other: Tensor, moves: int) -> tuple[list[int], list[float]]:
    """(squares that are empty in both games and legal in one alone, their weights)."""
    played = replay(torch.stack([game, other]))
    for number, name in enumerate(("this game", "the other game")):
        if not int(played.movers[number, moves]):
            raise PatchingError(f"{name} is over after its last move, so no square is legal")
    empty = (played.boards[:, moves] == 0).all(0)
    legal = played.legal[:, moves] & empty
    groups = [legal[0] & ~legal[1], legal[1] & ~legal[0]]
    if not bool((groups[0] | groups[1]).any()):
        raise PatchingError("the same squares are legal in both games, so nothing can be measured")
    squares: list[int] = []
    weights: list[float] = []
    for group, sign in zip(groups, (1.0, -1.0), strict=True):
        found = group.nonzero().squeeze(-1).tolist()
        squares += found
        weights += [sign / max(1, len(found))] * len(found)
    return squares, weights


def _estimate(
    model: OthelloGPT,
    tokens: Tensor,
    cache: dict[str, Tensor],
    last: int,
    measure: Callable[[Tensor], Tensor],
) -> tuple[Tensor, float]:
    """(float [layers, d_mlp]: by how much each neuron's patch would move the measure if all behind
    it were linear; the measure of the other game)."""
    kept: dict[str, Tensor] = {}

    def keep(name: str, value: Tensor) -> Tensor:
        if name.endswith("mlp.hook_post"):
            value = value.detach().requires_grad_() if not value.requires_grad else value
            value.retain_grad()
            kept[name] = value
        return value

    with torch.enable_grad():
        value = measure(model.run_with_hook(tokens, keep)).sum()
        gradients = torch.autograd.grad(value, list(kept.values()))
    by_layer = [
        (cache[name][0, last] - post[0, last].detach()) * gradient[0, last]
        for (name, post), gradient in zip(kept.items(), gradients, strict=True)
    ]
    return torch.stack(by_layer), float(value.detach())


@torch.inference_mode()
def _run(
    model: OthelloGPT,
    tokens: Tensor,
    cache: dict[str, Tensor],
    last: int,
    jobs: list[tuple[str, int | None]],
    measure: Callable[[Tensor], Tensor],
) -> Tensor:
    """float64 [jobs]: the measure of the other game with one activation of this one, each: all of
    it, or one head's or neuron's."""
    found = []
    for start in range(0, len(jobs), BATCH):
        some = jobs[start : start + BATCH]

        def put(name: str, value: Tensor, some: list[tuple[str, int | None]] = some) -> Tensor:
            rows = [row for row, (place, _) in enumerate(some) if place == name]
            if rows:
                value = value.clone()
                for row in rows:
                    part = some[row][1]
                    where = slice(None) if part is None else part
                    value[row, last, where] = cache[name][0, last, where]
            return value

        found.append(measure(model.run_with_hook(tokens.expand(len(some), -1), put)))
    return torch.cat(found).double().cpu()
