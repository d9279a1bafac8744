"""What heads do, in short: do they look where the ply alone tells them to, and what do they carry
from name to name?
"""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor

from comparison.scoring.bench import Bars
from comparison.scoring.measures import score
from comparison.studies.likeness import divergence
from extracted_rules.benches.intervals import Ratio, interval
from extracted_rules.conditions import there
from extracted_rules.discovery.names import PLY, Spread, kind_of, square_of
from extracted_rules.discovery.regression import Regression
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.game import stream_seed
from handbuilt.analysis.streams import mean_activations, moves_of, random_replays
from handbuilt.network.transformer import Hook, HookPoint, OthelloGPT
from handbuilt.transcripts.program import names_of

#: Random games for means, and those on which models are measured.
MEANS, PURPOSE = "pattern-means", "patterns"
#: A variance is never quite 0.
LEAST = 1e-12


def mean_patterns(model: OthelloGPT, games: int, seed: int, bar: Bars) -> Tensor:
    """float32 [layers, heads, T, T], over games."""
    names = [f"blocks.{layer}.attn.hook_pattern" for layer in range(model.shape.n_layers)]
    return mean_activations(model, names, games, seed, MEANS, bar("means", games))


@torch.inference_mode()
def patterns_table(
    model: OthelloGPT, stand_ins: dict[str, Tensor], games: int, seed: int, bar: Bars
) -> Table:
    """One row a layer and one for all of them, whose patterns are given, [layers, heads, T, T]:
    the divergence from the model's own answers, and what their cross-entropy is."""
    every = range(model.shape.n_layers)
    cases = {**{str(layer): (layer,) for layer in every}, "all": tuple(every)}
    sums = {(row, name): (Ratio(), Ratio()) for row in cases for name in stand_ins}
    own, step = Ratio(), bar("measured", games)
    for played in random_replays(model, games, seed, PURPOSE):
        moves = moves_of(played)
        logits = model(moves)
        scores = score(logits, played, 0.5)
        own.add((scores.excess * scores.valid).sum(-1), scores.valid.sum(-1))
        for (row, name), (kl, excess) in sums.items():
            now = model.run_with_hooks(moves, _given(cases[row], stand_ins[name]))
            scores = score(now, played, 0.5)
            number = scores.valid.sum(-1)
            kl.add((divergence(logits, now) * scores.valid).sum(-1), number)
            excess.add((scores.excess * scores.valid).sum(-1), number)
        step(len(played.tokens))
    rows = [
        [
            row,
            *(interval(sums[row, name][0].mean(), 1, 4) for name in stand_ins),
            *(interval(sums[row, name][1].mean(), 1, 3) for name in stand_ins),
        ]
        for row in cases
    ]
    headings = [f"{name}: {what}" for what in ("KL, nats", "excess CE, nats") for name in stand_ins]
    title = (
        f"Patterns of attention, the same in all games ({games} random games, seed {seed}; "
        f"with its own: {interval(own.mean(), 1, 3)} nats of excess)"
    )
    return Table(title, ("layer",), tuple(headings), rows)


def _given(layers: tuple[int, ...], patterns: Tensor) -> list[tuple[str, Hook]]:
    def put(pattern: Tensor, hook: HookPoint) -> Tensor:
        return patterns[int(hook.name.split(".")[1])].expand_as(pattern)

    return [(f"blocks.{layer}.attn.hook_pattern", put) for layer in layers]


# ------------------------------------------------------------------ what is carried


@torch.inference_mode()
def carried_table(model: OthelloGPT, games: int, seed: int, bar: Bars) -> Table:
    """One row a layer of the network of a transcript. Each name that a head writes goes most with
    one name that it reads: the shares, by the variance of what is written, where the two are about
    the same square, beside what permuted squares would give; and the pairs of kinds that come most.
    Raises CheckpointError."""
    names = names_of(model)
    squares = torch.tensor([_square(model, name) for name in names])
    drawn = torch.Generator().manual_seed(stream_seed("squares", seed))
    order = torch.randperm(model.geometry.n_squares, generator=drawn)
    permuted = torch.where(squares < 0, squares, order[squares])
    rows = []
    for layer, (variance, source) in enumerate(_carried(model, len(names), games, seed, bar)):
        share, squared = variance / variance.sum(), squares.expand(len(source), -1)
        same = [
            float(share[(other[source] == squared) & (squared >= 0)].sum())
            for other in (squares, permuted)
        ]
        between: Counter[str] = Counter()
        for shares, sources in zip(share.tolist(), source.tolist(), strict=True):
            for to, (value, own) in enumerate(zip(shares, sources, strict=True)):
                between[f"{kind_of(names[own])} to {kind_of(names[to])}"] += value
        most = ", ".join(f"{pair} {100 * value:.0f}" for pair, value in between.most_common(4))
        rows.append([str(layer), *(f"{100 * x:.1f}" for x in same), most])
    headings = ("same square %", "permuted squares %", "most, %")
    title = f"What heads carry from names to names ({games} random games, seed {seed})"
    return Table(title, ("layer",), headings, rows)


def _carried(
    model: OthelloGPT, names: int, games: int, seed: int, bar: Bars
) -> Iterator[tuple[Tensor, Tensor]]:
    """By layer: float64 [heads, names], the variance of what is written to names, before patterns;
    int64 [heads, names], the names that are read which go most with it."""
    layers, at = range(model.shape.n_layers), slice(1, 1 + names)
    places, step = [f"blocks.{layer}.ln1.hook_normalized" for layer in layers], bar("names", games)
    sums = [Regression.zeros(1, names, 0) for _ in layers]
    for played in random_replays(model, games, seed, PURPOSE):
        _, kept = model.run_with_cache(moves_of(played), places)
        where = there(played, played.geometry.context)
        for of, place in zip(sums, places, strict=True):
            felt = kept[place][where].double()
            of.add(felt[:, at] - felt[:, :1], felt[:, :0])
        step(len(played.tokens))
    for layer, of in zip(layers, sums, strict=True):
        read, written = (
            model.get_parameter(f"blocks.{layer}.attn.{name}").detach().double()
            for name in ("W_V", "W_O")
        )
        maps = read[:, at] @ written[:, :, at]
        spread = Spread.of(of).activations
        together = spread @ maps
        variance = (maps * together).sum(1)
        size = (spread.diagonal()[:, None] * variance[:, None]).clamp(min=LEAST).sqrt()
        yield variance, (together / size).abs().argmax(1)


def _square(model: OthelloGPT, name: str) -> int:
    """-1 for a ply."""
    return -1 if kind_of(name) == PLY else model.geometry.labels.index(square_of(name))
