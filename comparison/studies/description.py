"""How long is the description of a network in names? Its numbers rounded to few bits, and all but
few neurons at their means, measured by how like the transcribed model it stays.
"""

import copy
from collections.abc import Sequence
from math import comb, log2
from pathlib import Path

import torch
from torch import Tensor

from comparison.scoring.bench import Bars
from comparison.studies.likeness import Likeness, likeness
from extracted_rules.benches.intervals import interval
from extracted_rules.drawing.pictures import MODEL_COLOURS, panels, save
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.game import stream_seed
from handbuilt.analysis.streams import moves_of, random_replays
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcripts.program import names_of

#: Random games for means of neurons.
MEANS = "description-means"
#: Bits of what says how large a row's numbers are.
SCALE = 16
#: What is rounded: heading, whether reads alone.
PARTS = {"what neurons read": True, "all numbers": False}


def rounded(network: OthelloGPT, bits: int, reads_alone: bool) -> tuple[OthelloGPT, int]:
    """(the network with numbers of so many bits, one of them for the sign, and a scale for every
    neuron or row; how many bits these are). reads_alone: only what neurons of few reads read, with
    which names they are. Raises CheckpointError for a network without names."""
    made, names, total = copy.deepcopy(network), len(names_of(network)), 0
    for name, parameter in made.named_parameters():
        sparse, weights = _few_reads(name, parameter, names), parameter.detach()
        if reads_alone and not sparse:
            continue
        weights = weights.T if name.endswith("W_in") else weights
        largest = weights.abs().amax(-1, keepdim=True) if weights.dim() > 1 else weights.abs().max()
        step = (largest / (2 ** (bits - 1) - 1)).clamp(min=torch.finfo(weights.dtype).tiny)
        values = (weights / step).round() * step
        if sparse:  # the row that takes off the mean follows from the others
            values[:, 0] = -values[:, 1:].sum(1)
            total += _bits_of_reads(values[:, 1:], bits, names)
        else:
            total += values.numel() * bits + largest.numel() * SCALE
        with torch.no_grad():
            parameter.copy_(values.T if name.endswith("W_in") else values)
    return made, total


def _few_reads(name: str, parameter: Tensor, names: int) -> bool:
    """Whether each neuron reads less than half of the names."""
    if not name.endswith("mlp.W_in"):
        return False
    return int((parameter[1 : 1 + names] != 0).sum(0).max()) < names / 2


def _bits_of_reads(reads: Tensor, bits: int, names: int) -> int:
    """Of [neurons, d_model - 1]: which names, and how strongly."""
    numbers: list[int] = (reads != 0).sum(1).tolist()
    which = round(sum(log2(comb(names, number)) for number in numbers))
    return which + sum(numbers) * bits + len(numbers) * SCALE


@torch.inference_mode()
def _means(network: OthelloGPT, games: int, seed: int) -> tuple[Tensor, Tensor]:
    """(float32 [layers, d_mlp], means of neurons; [layers, d_mlp], how much each writes: its
    standard deviation times the length of what it writes)."""
    layers = range(network.shape.n_layers)
    names = [f"blocks.{layer}.mlp.hook_post" for layer in layers]
    sums, number = torch.zeros(2, 1), 0
    for played in random_replays(network, games, seed, MEANS):
        _, kept = network.run_with_cache(moves_of(played), names)
        post = torch.stack([kept[name].flatten(0, 1) for name in names]).double()
        sums = sums.to(post) if number else torch.zeros(2, *post[:, 0].shape).to(post)
        sums += torch.stack([post.sum(1), post.square().sum(1)])
        number += post.shape[1]
    mean, square = sums / number
    writes = torch.stack(
        [network.get_parameter(f"blocks.{n}.mlp.W_out").norm(dim=1) for n in layers]
    )
    return mean.float(), (square - mean.square()).clamp(min=0).sqrt().float() * writes


@torch.no_grad()
def only(network: OthelloGPT, kept: Tensor, means: Tensor) -> OthelloGPT:
    """The network with only these neurons, bool [layers, d_mlp], and all others at their means."""
    made = copy.deepcopy(network)
    for layer, (some, mean) in enumerate(zip(kept, means, strict=True)):
        out, bias = (made.get_parameter(f"blocks.{layer}.mlp.{n}") for n in ("W_out", "b_out"))
        bias.add_((mean * ~some) @ out)
        out[~some] = 0
    return made


def by_bits(
    model: OthelloGPT, network: OthelloGPT, bits: Sequence[int], games: int, seed: int, bar: Bars
) -> dict[tuple[str, int], tuple[int, Likeness]]:
    """By what is rounded and to how many bits: (bits in all, how like the model)."""
    step, found = bar("bits", len(PARTS) * len(bits)), {}
    for part, reads_alone in PARTS.items():
        for number in bits:
            made, total = rounded(network, number, reads_alone)
            found[part, number] = total, _alike(model, made, games, seed)
            step(1)
    return found


def by_neurons(
    model: OthelloGPT, network: OthelloGPT, kept: Sequence[int], games: int, seed: int, bar: Bars
) -> dict[tuple[str, int], Likeness]:
    """By which neurons are kept and how many a layer."""
    means, size = _means(network, games, seed)
    drawn = torch.Generator().manual_seed(stream_seed("neurons", seed))
    chance = torch.rand(size.shape, generator=drawn).to(size.device)
    step, found = bar("neurons", 2 * len(kept)), {}
    for name, order in (("those that write most", size), ("random ones", chance)):
        ranks = order.argsort(1, descending=True).argsort(1)
        for number in kept:
            found[name, number] = _alike(model, only(network, ranks < number, means), games, seed)
            step(1)
    return found


def _alike(model: OthelloGPT, network: OthelloGPT, games: int, seed: int) -> Likeness:
    models = {"model": model, "network": network}
    return likeness(models, dict.fromkeys(models, 0.05), games, seed)["network"]


def bits_table(title: str, found: dict[tuple[str, int], tuple[int, Likeness]]) -> Table:
    """One row a part and a number of bits."""
    rows = [
        [part, str(bits), f"{total / 1e6:.1f}", *_cells(alike)]
        for (part, bits), (total, alike) in found.items()
    ]
    headings = ("Mbit", "KL to the model, nats", "illegal %")
    return Table(title, ("rounded", "bits a number"), headings, rows)


def neurons_table(title: str, found: dict[tuple[str, int], Likeness]) -> Table:
    """One row a choice and a number of neurons."""
    rows = [[name, str(number), *_cells(alike)] for (name, number), alike in found.items()]
    headings = ("KL to the model, nats", "illegal %")
    return Table(title, ("neurons kept", "a layer"), headings, rows)


def _cells(alike: Likeness) -> list[str]:
    of = alike.estimates
    return [interval(of["kl"], 1, 3), interval(of["illegal"], 100, 2)]


def draw(
    bits: dict[tuple[str, int], tuple[int, Likeness]],
    kept: dict[tuple[str, int], Likeness],
    path: Path,
) -> None:
    """The divergence against bits, and against neurons."""
    curves: list[tuple[str, dict[str, list[tuple[float, float]]]]] = [
        ("Mbit", {}),
        ("neurons a layer", {}),
    ]
    for (part, _), (total, alike) in bits.items():
        point = total / 1e6, alike.estimates["kl"].value
        curves[0][1].setdefault(part, []).append(point)
    for (name, number), alike in kept.items():
        curves[1][1].setdefault(name, []).append((number, alike.estimates["kl"].value))
    figure, drawn = panels(1, 2, (8, 3.4))
    for axes, (label, lines) in zip(drawn[0], curves, strict=True):
        for (name, points), colour in zip(lines.items(), MODEL_COLOURS, strict=False):
            axes.plot(*zip(*points, strict=True), "o-", ms=4, lw=1.2, color=colour, label=name)
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="KL to the model, nats")
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
    save(figure, path)
