"""How much comes back through how many reads of what: of a model's MLPs one at a time, and of the
whole model. Names beside as many random and as many principal directions; nothing is distilled.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from matplotlib.ticker import LogLocator
from torch import Tensor

from comparison.scoring.bench import Bars
from comparison.scoring.measures import score
from comparison.studies.likeness import Likeness, likeness
from extracted_rules.benches.intervals import Estimate, Ratio, interval
from extracted_rules.drawing.pictures import MODEL_COLOURS, legend_below, panels, save
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.game import Replay
from handbuilt.analysis.streams import (
    finish,
    mean_activations,
    random_replays,
    streams_of,
    through,
)
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcripts.program import network
from handbuilt.transcripts.transcribing import KINDS, Sums, transcribe
from handbuilt.transcripts.transcript import Transcript

#: Random games for the means that MLPs are replaced by, and those on which they are measured.
MEANS, PURPOSE = "transcript-means", "transcript-alone"
#: Layers whose neurons read everything.
DENSE = (0,)
#: What is drawn of the whole model: heading, label.
DRAWN = {"kl": "KL to the model, nats", "illegal": "illegal %"}


def transcripts(
    model: OthelloGPT, name: str, sums: Sums, reads: Sequence[int]
) -> Iterator[tuple[str, int, Transcript]]:
    """(kind, reads, transcript as read), every one when it is asked for."""
    for kind in KINDS:
        for number in reads:
            yield kind, number, transcribe(model, name, sums, number, DENSE, kind)


class StandsIn(Protocol):
    """In the place of a model's parts."""

    def output(self, part: str, layer: int, stream: Tensor) -> Tensor:
        """float32 [B, T, d_model]: what a part adds to the stream before it."""


@torch.inference_mode()
def alone(
    model: OthelloGPT, stand_ins: Mapping[str, StandsIn], games: int, seed: int, bar: Bars
) -> Table:
    """One row an MLP: the share of the cross-entropy that is lost with its mean by ply which comes
    back when something stands in its place, such as a transcript's neurons, and reads the model's
    own stream. A dense layer is read in the directions' way, too."""
    layers, step = range(model.shape.n_layers), bar("one at a time", games)
    means = mean_activations(
        model, [f"blocks.{layer}.hook_mlp_out" for layer in layers], games, seed, MEANS
    )
    sums: list[list[Tensor]] = []
    for played in random_replays(model, games, seed, PURPOSE):
        streams = streams_of(model, played)
        whole = _excess(finish(model, streams[-1], len(layers)), played)
        rows = []
        for layer in layers:
            _, kept = through(model, layer, streams[layer], ("hook_resid_mid",))
            middle = kept["hook_resid_mid"]
            outs = [means[layer].expand_as(middle)]
            outs += [found.output("mlp", layer, middle) for found in stand_ins.values()]
            rows += [_excess(finish(model, middle + out, layer + 1), played) for out in outs]
        sums.append([whole, *rows])
        step(len(played.tokens))
    totals = [torch.cat(parts) for parts in zip(*sums, strict=True)]
    by_layer = torch.stack(totals[1:]).view(len(layers), 1 + len(stand_ins), -1)
    table = []
    for layer, (mean, *found) in enumerate(by_layer):
        lost = mean - totals[0]
        backs = [Ratio.of(mean - row, lost).mean() for row in found]
        table.append([str(layer), *(interval(back, 100, 0) for back in backs)])
    title = f"MLPs one at a time: share of the cross-entropy that comes back ({games} random games)"
    return Table(title, ("layer",), tuple(f"{name}, %" for name in stand_ins), table)


def _excess(logits: Tensor, played: Replay) -> Tensor:
    """float64 [games]: summed over positions."""
    scores = score(logits, played, 0.5)
    return (scores.excess * scores.valid).sum(-1).cpu()


def whole(
    model: OthelloGPT, name: str, sums: Sums, reads: Sequence[int], games: int, seed: int, bar: Bars
) -> dict[tuple[str, int], Likeness]:
    """By kind and number of reads, how a network that reads so answers."""
    step = bar("the whole model", len(KINDS) * len(reads))
    found = {}
    for kind, number, of in transcripts(model, name, sums, reads):
        models = {"model": model, "transcript": network(of, model)}
        taus = dict.fromkeys(models, 0.5)
        found[kind, number] = likeness(models, taus, games, seed)["transcript"]
        step(1)
    return found


def table(
    title: str,
    found: Iterable[tuple[tuple[object, ...], Likeness]],
    rows_by: tuple[str, ...] = ("directions", "reads"),
) -> Table:
    """One row for what each was made with, such as a kind and a number of reads."""
    rows = []
    for made_with, alike in found:
        of = alike.estimates
        cells = (
            interval(of["kl"], 1, 3),
            interval(of["excess"], 1, 3),
            interval(of["illegal"], 100, 2),
        )
        rows.append([*map(str, made_with), *cells])
    headings = ("KL to the model, nats", "excess CE, nats", "illegal %")
    return Table(title, rows_by, headings, rows)


def draw(title: str, found: dict[tuple[str, int], Likeness], path: Path) -> None:
    """Against reads a neuron, on logarithmic axes."""
    figure, drawn = panels(1, len(DRAWN), (8, 3.4))
    for axes, (key, label) in zip(drawn[0], DRAWN.items(), strict=True):
        for kind, colour in zip(KINDS, MODEL_COLOURS, strict=False):
            points = [
                (reads, of.estimates[key]) for (own, reads), of in found.items() if own == kind
            ]
            scale = 100 if key == "illegal" else 1
            axes.errorbar(
                [reads for reads, _ in points],
                [scale * e.value for _, e in points],
                yerr=_spread([e for _, e in points], scale),
                fmt="o-", ms=4, lw=1.2, color=colour, label=kind,
            )  # fmt: skip
        ticks = sorted({reads for _, reads in found})
        axes.set(xscale="log", yscale="log", xlabel="reads a neuron", ylabel=label)
        axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    legend_below(figure, drawn[0, :1])
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def _spread(estimates: Sequence[Estimate], scale: float) -> list[list[float]]:
    return [
        [scale * (e.value - e.low) for e in estimates],
        [scale * (e.high - e.value) for e in estimates],
    ]
