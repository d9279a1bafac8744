"""The converse of the replacement test: take out a rule's neurons and nothing else.

If a neuron is there for its rule, then without it the model gets worse where the rule applies, and
not elsewhere. All neurons whose rule names one pattern are put to their mean at that ply, for one
pattern after the other: those of all layers, those before the last one, which promote a square in
published models, and those of the last one, which hold it back.
"""

from collections.abc import Callable
from functools import partial
from math import inf

import msgspec
import torch
from torch import Tensor

from comparison.scoring.measures import score
from extracted_rules.benches.intervals import Estimate, Ratio
from extracted_rules.catalogue import Catalogue
from extracted_rules.conditions import Boards, parse_part, there
from extracted_rules.othello.game import Replay
from extracted_rules.othello.geometry import Pattern
from handbuilt.analysis.streams import finish, random_replays, streams_of, through
from handbuilt.network.transformer import OthelloGPT

PURPOSE = "necessity"
#: A neuron counts as there for its rule if it agrees with it this well, on other games.
MIN_F1 = 0.8
#: Where things are lost.
WHERE = ("where it applies", "elsewhere")

#: A neuron as (layer, number).
Place = tuple[int, int]


class Necessity(
    msgspec.Struct,
    frozen=True,
    rename={
        "neurons": "neurons_a_pattern",
        "excess": "excess_lost",
        "illegal": "illegal_more",
        "square": "own_square_falls",
    },
):
    """What is lost where a rule applies and elsewhere without its neurons, over all patterns.

    layers: whose neurons. patterns, neurons: how many patterns had some, and how many each on
    average. excess: cross-entropy lost, nats; illegal: likeliest moves that become illegal, less
    those that become legal, a share of positions; each by WHERE. square: by how much the log
    probability of the pattern's own square falls where it applies, nats.
    """

    layers: str
    patterns: int
    neurons: float
    excess: dict[str, Estimate]
    illegal: dict[str, Estimate]
    square: Estimate

    @property
    def times(self) -> float:
        """How many times as much cross-entropy is lost where the rule applies; infinitely many
        where none is lost elsewhere."""
        applies, elsewhere = (self.excess[where].value for where in WHERE)
        return applies / elsewhere if elsewhere > 0 else inf


def neurons_of_patterns(catalogue: Catalogue, min_f1: float = MIN_F1) -> dict[Pattern, list[Place]]:
    """For every pattern that rules of good neurons name, those neurons."""
    found: dict[Pattern, list[Place]] = {}
    for neuron in catalogue.neurons:
        if neuron.rule in ("pattern", "line") and neuron.f1 >= min_f1:
            for part in neuron.parts:
                for pattern in parse_part(neuron.rule, part, catalogue.geometry).patterns:
                    found.setdefault(pattern, []).append((neuron.layer, neuron.neuron))
    return found


@torch.inference_mode()
def necessity_test(
    model: OthelloGPT,
    means: Tensor,
    catalogue: Catalogue,
    games: int,
    seed: int,
    most: int = 48,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Necessity]:
    """Take out the neurons of the patterns that hold most often, at most so many of them.

    means: float32 [layers, T, neurons], those of all neurons by ply. On random games of a purpose
    of their own. Nothing for layers none of whose neurons has such a
    rule. ``progress`` hears of each pattern in each batch of games, times its games.
    """
    there_for = neurons_of_patterns(catalogue)
    batches = list(random_replays(model, games, seed, PURPOSE))
    holds = dict.fromkeys(there_for, 0)
    for played in batches:
        boards = Boards.of(played, played.geometry.context)
        for pattern in holds:
            holds[pattern] += int(boards.legal_by(pattern).sum())
    chosen = sorted(there_for, key=lambda p: (-holds[p], p.name))[:most]
    last = model.shape.n_layers - 1
    groups = {
        "all layers": range(last + 1),
        "before the last": range(last),
        "the last": range(last, last + 1),
    }
    gone = {
        name: {p: places for p in chosen if (places := _within(there_for[p], layers))}
        for name, layers in groups.items()
    }
    sums: dict[str, list[Tensor]] = {name: [] for name in groups}
    for played in batches:
        streams = streams_of(model, played)
        whole = finish(model, streams[-1], last + 1)
        shape = len(WHERE), 4, len(played.tokens)
        of_batch = {name: torch.zeros(shape, dtype=torch.float64) for name in groups}
        for pattern in chosen:
            for name, of_group in gone.items():
                if pattern in of_group:
                    without = _without(model, means, of_group[pattern], streams)
                    of_batch[name] += _lost(whole, without, played, pattern)
            progress(len(played.tokens))
        for name, lost in of_batch.items():
            sums[name].append(lost)
    return [
        _necessity(name, torch.cat(sums[name], -1), list(map(len, of_group.values())))
        for name, of_group in gone.items()
        if of_group
    ]


def _within(places: list[Place], layers: range) -> list[Place]:
    return [place for place in places if place[0] in layers]


def _necessity(layers: str, sums: Tensor, neurons: list[int]) -> Necessity:
    def mean(of: Tensor, which: int) -> Estimate:
        return Ratio.of(of[which], of[3]).mean()

    by_where = dict(zip(WHERE, sums, strict=True))
    return Necessity(
        layers=layers,
        patterns=len(neurons),
        neurons=sum(neurons) / len(neurons),
        excess={where: mean(of, 0) for where, of in by_where.items()},
        illegal={where: mean(of, 1) for where, of in by_where.items()},
        square=mean(sums[0], 2),
    )


def _without(
    model: OthelloGPT, means: Tensor, places: list[Place], streams: list[Tensor]
) -> Tensor:
    """Logits with neurons at their means, from the streams before every layer."""
    by_layer: dict[int, list[int]] = {}
    for layer, neuron in places:
        by_layer.setdefault(layer, []).append(neuron)
    x = streams[min(by_layer)]
    for layer in range(min(by_layer), len(streams) - 1):
        gone = by_layer.get(layer, [])
        put = partial(_put, gone=gone, means=means[layer, :, gone].to(x))
        x, _ = through(model, layer, x, changes={"mlp.hook_post": put} if gone else {})
    return finish(model, x, len(streams) - 1)


def _put(activations: Tensor, gone: list[int], means: Tensor) -> Tensor:
    activations = activations.clone()
    activations[..., gone] = means
    return activations


def _lost(whole: Tensor, without: Tensor, played: Replay, pattern: Pattern) -> Tensor:
    """float64 [2, 4, games]: sums over positions where the pattern holds and where not."""
    context = played.geometry.context
    rows = there(played, context)
    holds = torch.zeros_like(rows)
    holds[rows] = Boards.of(played, context).legal_by(pattern)
    before, after = (score(logits, played, 0.5) for logits in (whole, without))
    token = int(played.geometry.token_of_square[pattern.start]) - 1
    falls = [logits[..., 1:].double().log_softmax(-1)[..., token] for logits in (whole, without)]
    values = torch.stack(
        [
            after.excess - before.excess,
            after.wrong.double() - before.wrong.double(),
            falls[0] - falls[1],
            torch.ones_like(before.excess),
        ]
    )
    masks = torch.stack([holds & before.valid, ~holds & before.valid])
    return (values[None] * masks[:, None]).sum(-1).cpu()
