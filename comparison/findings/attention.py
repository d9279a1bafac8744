"""Findings about attention: what heads look at, and how little it depends on the game."""

from functools import partial

import torch
from torch import Tensor

from comparison.findings.definition import MAAR, Found, Grid, Line, Lines, Measure, Value, finding
from comparison.findings.studied import Studied
from extracted_rules.benches.intervals import Estimate, jackknife
from extracted_rules.catalogue import Head
from extracted_rules.discovery.heads import HeadRoles, role_of, spread
from handbuilt.analysis.samples import Sample
from handbuilt.network.transformer import OthelloGPT

#: Roles of heads that look at one side's moves.
SIDES = ("mine", "theirs")


def writing(model: OthelloGPT) -> list[tuple[int, int]]:
    """(layer, head) of all heads that write anything: of a hand-built model, those in use."""
    found = []
    for layer in range(model.shape.n_layers):
        written = model.get_parameter(f"blocks.{layer}.attn.W_O").flatten(1) != 0
        found += [(layer, head) for head in written.any(-1).nonzero().squeeze(-1).tolist()]
    return found


def described(count: Tensor, total: Tensor, squares: Tensor) -> list[list[Head]]:
    """By layer and head, what each looks at, from sums as :attr:`Sample.attention` has them, but
    without groups."""
    by_layer = zip(count, total, squares, strict=True)
    return [HeadRoles.of(*sums).findings(layer) for layer, sums in enumerate(by_layer)]


def one_sided(sample: Sample) -> dict[tuple[int, int], str]:
    """The role of every head that writes and looks at one side's moves."""
    heads = described(*(sums.sum(0) for sums in sample.attention))
    roles = {(layer, head): heads[layer][head].role for layer, head in writing(sample.model)}
    return {place: role for place, role in roles.items() if role in SIDES}


@finding(
    "heads",
    "Most heads look at moves of one side: attention to even lags less odd lags.",
    MAAR,
    Measure("mine, of heads", control="attention spread evenly", percent=True, digits=1),
    Measure("theirs, of heads", control="attention spread evenly", percent=True, digits=1),
    Measure("one or the other, of heads", "most", "attention spread evenly", True, 1),
)
def mine_and_theirs(studied: Studied) -> Found:
    """Attention to even lags less attention to odd lags, a head.

    A head is *mine* or *theirs* as :mod:`extracted_rules.discovery.heads` has it: of its attention
    to moves behind it (a tenth of it all, at least; the first move not counted) half as much again
    goes to one side than to the other. Counted are the heads that write anything. The control is
    the same asked of attention that is spread evenly.
    """
    heads = writing(studied.model)
    sums = studied.seen.attention

    def share(roles: tuple[str, ...], *totals: Tensor) -> float:
        found = described(*totals)
        return sum(found[layer][head].role in roles for layer, head in heads) / len(heads)

    measured = {"mine": ("mine",), "theirs": ("theirs",), "one or the other": SIDES}
    found = described(*(s.sum(0) for s in sums))
    control = role_of(found[0][0].control)
    # A head that writes nothing is no finding.
    drawn = torch.full((studied.layers, studied.model.shape.n_heads), torch.nan)
    for layer, head in heads:
        drawn[layer, head] = found[layer][head].figures["even less odd"]
    picture = Grid(
        tuple(map(tuple, drawn.tolist())), "head", "layer", "even less odd lags", -1.0, 1.0, True
    )
    values = {
        f"{name}, of heads": Value(
            jackknife(partial(share, roles), *sums, within=(0.0, 1.0)),
            Estimate.exact(float(control in roles)),
        )
        for name, roles in measured.items()
    }
    note = f"{len(heads)} of {studied.layers * studied.model.shape.n_heads} heads write anything"
    if studied.layout:
        named = sum(studied.layout.heads[layer].name(head).endswith(SIDES) for layer, head in heads)
        note += f"; {named} are named mine or theirs"
    return Found(values, note, picture)


@finding(
    "attention",
    "Attention hardly depends on the game.",
    MAAR,
    Measure("variance", "0.0007", "the most it could be", digits=5),
    Measure("of the most there could be", percent=True, digits=1),
)
def hardly_depends(studied: Studied) -> Found:
    """The variance of attention across games at every pair of positions, averaged over pairs and
    over the heads that write anything.

    Beside it stands the most that it could be: as if every head looked at one place at a time,
    as often at each as it does on average. Averaged over 1,770 pairs, most of which are far apart,
    that is little, too; so the share of it says more than the variance.
    """
    layer, head = torch.tensor(writing(studied.model)).T

    def variance(which: int, *totals: Tensor) -> float:
        return float(spread(*totals)[which][layer, head].mean())

    def share(*totals: Tensor) -> float:
        is_at, most = (by_head[layer, head].mean() for by_head in spread(*totals))
        return float(is_at / most)

    sums = studied.seen.attention
    by_layer = [
        tuple(float(by_head[n, head[layer == n]].mean()) for n in layer.unique().tolist())
        for by_head in spread(*(s.sum(0) for s in sums))
    ]
    x = tuple(map(float, layer.unique().tolist()))
    lines = (Line("variance", x, by_layer[0]), Line("at most", x, by_layer[1], control=True))
    return Found(
        {
            "variance": Value(
                jackknife(partial(variance, 0), *sums), jackknife(partial(variance, 1), *sums)
            ),
            "of the most there could be": Value(jackknife(share, *sums, within=(0.0, 1.0))),
        },
        "of the heads that a hand-built model uses, most attend by position alone"
        if studied.layout
        else "",
        Lines("layer", "variance of attention", lines, logarithmic=True),
    )
