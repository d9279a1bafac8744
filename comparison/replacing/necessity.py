"""The converse of the replacement test: take out a rule's neurons and nothing else.

If a neuron is there for its rule, then without it the model gets worse where the rule applies, and
not elsewhere. All neurons whose rule names one pattern are put to their mean at that ply, for one
pattern after the other: those of all layers, those before the last one, which promote a square in
published models, and those of the last one, which hold it back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor

from comparison.reading.streams import READ_GAMES
from comparison.replacing.fitted import Fitted
from comparison.replacing.replacement import finish, streams_of
from comparison.scoring.intervals import Estimate, Ratio
from comparison.scoring.measures import score
from extracted_rules.catalogue import Catalogue
from extracted_rules.conditions import Boards, parse_part, there
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.notation import CONTEXT, TOKEN_OF_SQUARE
from extracted_rules.othello.patterns import Pattern
from handbuilt.network.transformer import OthelloGPT

PURPOSE = "necessity"
#: A neuron counts as there for its rule if it agrees with it this well, on other games.
MIN_F1 = 0.8


@dataclass(frozen=True)
class Necessity:
    """What is lost where a rule applies and elsewhere without its neurons, over all patterns.

    layers: whose neurons. patterns, neurons: how many patterns had some, and how many each on
    average. excess: cross-entropy lost, nats; illegal: likeliest moves that become illegal, less
    those that become legal, a share of positions; each (where it applies, elsewhere). square: by
    how much the log probability of the pattern's own square falls where it applies, nats.
    """

    layers: str
    patterns: int
    neurons: float
    excess: tuple[Estimate, Estimate]
    illegal: tuple[Estimate, Estimate]
    square: Estimate

    @property
    def times(self) -> float:
        """How many times as much cross-entropy is lost where the rule applies; infinitely many
        where none is lost elsewhere."""
        applies, elsewhere = self.excess
        return applies.value / elsewhere.value if elsewhere.value > 0 else inf

    def as_dict(self) -> dict[str, object]:
        """Plain numbers for JSON."""
        return {
            "layers": self.layers,
            "patterns": self.patterns,
            "neurons_a_pattern": self.neurons,
            "excess_lost": {w: vars(e) for w, e in zip(WHERE, self.excess, strict=True)},
            "illegal_more": {w: vars(e) for w, e in zip(WHERE, self.illegal, strict=True)},
            "own_square_falls": vars(self.square),
        }


#: Where things are lost.
WHERE = ("where it applies", "elsewhere")


def neurons_of_patterns(
    catalogue: Catalogue, min_f1: float = MIN_F1
) -> dict[Pattern, list[tuple[int, int]]]:
    """For every pattern that rules of good neurons name, those neurons as (layer, number)."""
    found: dict[Pattern, list[tuple[int, int]]] = {}
    for neuron in catalogue.neurons:
        if neuron.rule not in ("pattern", "line") or neuron.f1 < min_f1:
            continue
        for part in neuron.parts:
            for pattern in parse_part(neuron.rule, part, catalogue.geometry).patterns:
                found.setdefault(pattern, []).append((neuron.layer, neuron.neuron))
    return found


@torch.inference_mode()
def necessity_test(
    model: OthelloGPT,
    fitted: Fitted,
    catalogue: Catalogue,
    games: int,
    seed: int,
    most: int = 48,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Necessity]:
    """Take out the neurons of the patterns that hold most often, at most so many of them.

    On random games of a purpose of their own. Nothing for layers none of whose neurons has such a
    rule. ``progress`` hears of each pattern in each batch of games, times its games.
    """
    device = next(model.parameters()).device
    there_for = neurons_of_patterns(catalogue)
    tokens = torch.cat(list(random_games(games, seed, purpose=PURPOSE, device=device)))
    held = _support(tokens, list(there_for))
    chosen = sorted(there_for, key=lambda p: (-held[p], p.name))[:most]
    last = model.shape.n_layers - 1
    groups = {
        "all layers": range(last + 1),
        "before the last": range(last),
        "the last": range(last, last + 1),
    }
    gone = {
        (name, pattern): [(layer, n) for layer, n in there_for[pattern] if layer in layers]
        for name, layers in groups.items()
        for pattern in chosen
    }
    sums: dict[str, list[Tensor]] = {name: [] for name in groups}
    for batch in torch.split(tokens, READ_GAMES):
        played = replay(batch)
        streams = streams_of(model, batch)
        whole = finish(model, streams[-1])
        of_batch = {name: torch.zeros(2, 4, len(batch), dtype=torch.float64) for name in groups}
        for pattern in chosen:
            for name in groups:
                if neurons := gone[name, pattern]:
                    x, first = _without(model, fitted, neurons, streams)
                    of_batch[name] += _lost(whole, finish(model, x, first), played, pattern)
            progress(len(batch))
        for name, found in of_batch.items():
            sums[name].append(found)
    return [
        _necessity(name, torch.cat(sums[name], -1), [gone[name, p] for p in chosen])
        for name in groups
        if any(gone[name, p] for p in chosen)
    ]


def _necessity(layers: str, sums: Tensor, gone: list[list[tuple[int, int]]]) -> Necessity:
    applies, elsewhere = sums
    taken = [len(neurons) for neurons in gone if neurons]
    return Necessity(
        layers=layers,
        patterns=len(taken),
        neurons=sum(taken) / len(taken),
        excess=(_mean(applies, 0), _mean(elsewhere, 0)),
        illegal=(_mean(applies, 1), _mean(elsewhere, 1)),
        square=_mean(applies, 2),
    )


def _support(tokens: Tensor, patterns: Sequence[Pattern]) -> dict[Pattern, int]:
    boards = Boards.of(replay(tokens), CONTEXT)
    return {pattern: int(boards.legal_by(pattern).sum()) for pattern in patterns}


def _without(
    model: OthelloGPT, fitted: Fitted, neurons: list[tuple[int, int]], streams: list[Tensor]
) -> tuple[Tensor, int]:
    """(the stream behind the last layer that loses neurons, the number of the next layer)."""
    by_layer: dict[int, list[int]] = {}
    for layer, number in neurons:
        by_layer.setdefault(layer, []).append(number)
    x = streams[min(by_layer)]
    for layer in range(min(by_layer), max(by_layer) + 1):
        gone = by_layer.get(layer, [])
        means = fitted.activations[layer].to(x.device)[: x.shape[1], gone]

        def hook(name: str, value: Tensor, gone: list[int] = gone, means: Tensor = means) -> Tensor:
            if name == "mlp.hook_post" and gone:
                value = value.clone()
                value[..., gone] = means
            return value

        x = model.blocks[layer](x, hook)
    return x, max(by_layer) + 1


def _lost(whole: Tensor, without: Tensor, played: Replay, pattern: Pattern) -> Tensor:
    """float64 [2, 4, games]: sums over positions where the pattern holds and where not."""
    rows = there(played, CONTEXT)
    holds = torch.zeros_like(rows)
    holds[rows] = Boards.of(played, CONTEXT).legal_by(pattern)
    before, after = (score(logits, played, 0.5) for logits in (whole, without))
    token = int(TOKEN_OF_SQUARE[pattern.start]) - 1
    falls = (whole - without)[..., 1:].double()[..., token] + (
        without[..., 1:].double().logsumexp(-1) - whole[..., 1:].double().logsumexp(-1)
    )
    values = torch.stack(
        [
            after.excess - before.excess,
            after.wrong.double() - before.wrong.double(),
            falls,
            torch.ones_like(falls),
        ]
    )
    masks = torch.stack([holds & before.valid, ~holds & before.valid])
    return (values[None] * masks[:, None]).sum(-1).cpu()


def _mean(sums: Tensor, which: int) -> Estimate:
    return Ratio.of(sums[which], sums[3]).mean()
