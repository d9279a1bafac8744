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

from extracted_rules.errors import UserError
from extracted_rules.othello.game import replay
from extracted_rules.othello.geometry import Geometry
from handbuilt.analysis.names import PartName, PartNames
from handbuilt.network.transformer import HookPoint, OthelloGPT

#: Neurons that are patched one by one: those that a linear estimate finds to matter most.
NEURONS = 24
HEADS_TOLD, NEURONS_TOLD = 6, 12
#: The stream before a layer, and what its halves write.
PLACES = {"stream": "hook_resid_pre", "attention": "hook_attn_out", "mlp": "hook_mlp_out"}
#: Patched runs of one forward pass.
BATCH = 32

#: An activation by its name, and what of it is patched: all, or one head or neuron.
Job = tuple[str, int | slice]


class PatchingError(UserError):
    """Two games between which nothing can be patched; the message is one sentence."""


@dataclass(frozen=True)
class PatchedNeuron(PartName):
    """share: what comes back with this neuron of a layer."""

    layer: int
    share: float


@dataclass(frozen=True)
class Patched:
    """What comes back, as a share of the difference between two games.

    only_here, only_there: labels of the squares that are legal in one of them alone. here, there:
    the measure in each, in nats. layers: by PLACES' names, float [layers]; heads: [layers, heads];
    neurons: the strongest.
    """

    only_here: tuple[str, ...]
    only_there: tuple[str, ...]
    here: float
    there: float
    layers: dict[str, Tensor]
    heads: Tensor
    neurons: tuple[PatchedNeuron, ...]

    def lines(self) -> list[str]:
        """The same in words."""
        here, there = (" ".join(only) or "nothing" for only in (self.only_here, self.only_there))
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
        return told + [f"  {neuron.share:9.2f}  {neuron}" for neuron in self.neurons[:NEURONS_TOLD]]


def patch(model: OthelloGPT, names: PartNames, game: Tensor, other: Tensor) -> Patched:
    """Patch a model between two legal games, uint8 [T] each, on its device.

    Raises PatchingError for games that differ in more than the last move, or in no legal square.
    """
    moves = _shared_moves(model, game, other)
    both = torch.stack([game[:moves], other[:moves]])
    weights = _weights(both, model.geometry)

    def measure(logits: Tensor) -> Tensor:
        return (logits[:, -1, 1:] * weights).sum(-1)

    tokens, shape, layers = both.long(), model.shape, range(model.shape.n_layers)
    with torch.inference_mode():
        logits, cache = model.run_with_cache(tokens[:1])
        clean = float(measure(logits))
    estimated, dirty = _estimate(model, tokens[1:], cache, measure)
    if abs(clean - dirty) < 1e-6:
        raise PatchingError("the model answers both games alike, so there is nothing to bring back")
    strongest = estimated.abs().flatten().topk(min(NEURONS, estimated.numel())).indices.tolist()
    chosen = [divmod(number, shape.d_mlp) for number in strongest]
    whole = slice(None)
    jobs: list[Job] = [(f"blocks.{n}.{place}", whole) for place in PLACES.values() for n in layers]
    jobs += [(f"blocks.{n}.attn.hook_z", head) for n in layers for head in range(shape.n_heads)]
    jobs += [(f"blocks.{n}.mlp.hook_post", neuron) for n, neuron in chosen]
    measured = torch.cat(
        [
            measure(_patched(model, tokens[1:], cache, jobs[first : first + BATCH]))
            for first in range(0, len(jobs), BATCH)
        ]
    )
    back = (measured.double().cpu() - dirty) / (clean - dirty)
    sizes = [len(PLACES) * len(layers), len(layers) * shape.n_heads, len(chosen)]
    by_place, by_head, by_neuron = torch.split(back, sizes)
    neurons = [
        PatchedNeuron(**vars(names.neuron(*where)), layer=where[0], share=share)
        for where, share in zip(chosen, by_neuron.tolist(), strict=True)
    ]
    labels = [model.geometry.labels[square] for square in model.geometry.playable]
    return Patched(
        only_here=tuple(labels[move] for move in (weights > 0).nonzero().flatten().tolist()),
        only_there=tuple(labels[move] for move in (weights < 0).nonzero().flatten().tolist()),
        here=clean,
        there=dirty,
        layers=dict(zip(PLACES, by_place.view(len(PLACES), -1), strict=True)),
        heads=by_head.view(len(layers), -1),
        neurons=tuple(sorted(neurons, key=lambda found: -abs(found.share))),
    )


def _shared_moves(model: OthelloGPT, game: Tensor, other: Tensor) -> int:
    """How many moves both games have. Raises PatchingError."""
    here, there = (g[g != 0].tolist() for g in (game, other))
    if len(here) != len(there) or here[:-1] != there[:-1] or here == there:
        raise PatchingError("patching needs two games that differ in their last move alone")
    if len(here) > model.shape.n_ctx:
        raise PatchingError(
            f"a model answers after at most {model.shape.n_ctx} moves; cut both games there"
        )
    return len(here)


def _weights(both: Tensor, geometry: Geometry) -> Tensor:
    """float32 [moves]: the weights of squares that are empty in both games and legal in one alone,
    those of the first summing up to 1 and those of the second to -1."""
    played, moves = replay(both, board=geometry.size), both.shape[1]
    for number, name in enumerate(("this game", "the other game")):
        if not int(played.movers[number, moves]):
            raise PatchingError(f"{name} is over after its last move, so no square is legal")
    empty = (played.boards[:, moves] == 0).all(0)
    legal = (played.legal[:, moves] & empty)[:, list(geometry.playable)]
    alone = (legal & ~legal.flip(0)).float()
    if not bool(alone.any()):
        raise PatchingError("the same squares are legal in both games, so nothing can be measured")
    here, there = alone / alone.sum(-1, keepdim=True).clamp(min=1)
    return torch.sub(here, there)


def _estimate(
    model: OthelloGPT,
    tokens: Tensor,
    cache: dict[str, Tensor],
    measure: Callable[[Tensor], Tensor],
) -> tuple[Tensor, float]:
    """(float [layers, d_mlp]: by how much each neuron's patch would move the measure if all behind
    it were linear; the measure of the other game)."""
    with torch.enable_grad():
        logits, kept = model.run_with_cache(tokens, lambda name: name.endswith("mlp.hook_post"))
        value = measure(logits).sum()
        gradients = torch.autograd.grad(value, list(kept.values()))
    by_layer = [
        (cache[name][0, -1] - post[0, -1].detach()) * gradient[0, -1]
        for (name, post), gradient in zip(kept.items(), gradients, strict=True)
    ]
    return torch.stack(by_layer), float(value.detach())


@torch.inference_mode()
def _patched(
    model: OthelloGPT, tokens: Tensor, cache: dict[str, Tensor], jobs: list[Job]
) -> Tensor:
    """The logits of the other game, int64 [1, T], once for each job: with one activation of this
    one."""

    def put(value: Tensor, hook: HookPoint) -> Tensor:
        value = value.clone()
        for row, (name, part) in enumerate(jobs):
            if name == hook.name:
                value[row, -1, part] = cache[name][0, -1, part]
        return value

    names = [name for name, _ in jobs]
    return model.run_with_hooks(tokens.expand(len(jobs), -1), [(names, put)])
