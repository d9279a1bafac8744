"""The recipe `pooled`: what a catalogue found in a trained model, in the rules' own terms.

Measured in the trained model and taken over, none of it fitted:

- *reads*: in each layer, how faintly a disc that was put down or turned so many plies ago is heard
  (the lag kernels of its attention), and how much of a standing disc beside a new one;
- *claims*: how much of a flip its layers have written so far, by the length of the run;
- *counts*: what a line adds to a square's legality, by its length, up to layer 6 and in layer 7.

Added to make it run, as the trained model has no such thing or a catalogue no figure for it:

- a read is as loud as in `logic` for what happened last: a catalogue's units are the probes';
- layers that hear nothing hear as the last one that does (in the trained model the board is then
  written down for good, here every layer reads anew);
- everything else is `logic`'s: the weights of discs in a bracket, the need, what is clipped, and
  that nobody looks for passes.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from extracted_rules.catalogue import Catalogue, CatalogueError
from handbuilt.strengths.definition import NEVER, Strengths

#: A layer hears something if what it adds to a square for the last move's disc is at least this
#: much of what the layer that hears best adds.
HEARS = 0.02


def from_catalogue(found: Catalogue, rest: Strengths) -> Strengths:
    """The strengths that a catalogue has figures for, and ``rest``, of the same board and layers,
    for all else.

    Raises CatalogueError where kernels, claims or counts of a layer are missing.
    """
    last, lengths = rest.plan.last, rest.axes["length"]
    reads, shares = _reads(found, rest)
    claims = torch.stack([_by_length(found, k, "claims", lengths) for k in range(last)])
    told = claims.clamp(min=0).cumsum(0)
    claim = rest.claim.clone()
    claim[:, 0] *= told / told[-1, 0]
    counts = [_by_length(found, k, "counts of mlp", lengths) for k in range(last + 1)]
    first, final = torch.stack(counts[:last]).sum(0), counts[last]
    last_line = rest.last_line.clone()
    last_line[0] *= final / final[0]
    return replace(
        rest,
        flips_kernel=reads["flipped"],
        board_kernel=reads["placed"],
        board_share=shares,
        claim=claim,
        line=rest.line * first / first[0],
        last_line=last_line,
    )


def _reads(found: Catalogue, rest: Strengths) -> tuple[dict[str, Tensor], Tensor]:
    """(logs of kernels by event, [reading layers, lags], 0 for what happened last; the weight of a
    standing disc beside a new one, [reading layers])."""
    events = ("placed", "flipped", "mine", "theirs")
    heard = {event: _kernels(found, event, rest) for event in events}
    loudest, last = heard["placed"][:, 0], rest.plan.last
    hearing = [layer for layer in range(last) if loudest[layer] >= HEARS * loudest.max()]
    # Who hears nothing hears as the last one before it that does, or as the first of all.
    of = torch.tensor([max([k for k in hearing if k <= i] or hearing[:1]) for i in range(last)])
    reads = {}
    for event in ("placed", "flipped"):
        kernel = heard[event][of]
        reads[event] = (kernel / kernel[:, :1]).clamp(min=0).log().clamp(min=-NEVER)
    standing = (heard["mine"] + heard["theirs"])[of, 0] / 2
    return reads, (standing / loudest[of]).clamp(0, 1)


def _kernels(found: Catalogue, event: str, rest: Strengths) -> Tensor:
    """float64 [reading layers, lags]: of layers from 1 on, by lag from 1 on, over all squares."""
    last, lags, board = rest.plan.last, rest.axes["lag"], rest.geometry
    on_the_rim = 4 * (board.size - 1)
    total = torch.zeros(last, lags, dtype=torch.float64)
    for where, squares in (("rim", on_the_rim), ("inner", board.n_squares - on_the_rim)):
        by_layer = {k.layer: k for k in found.kernels if (k.event, k.where) == (event, where)}
        for layer in range(1, last + 1):
            if layer not in by_layer:
                raise CatalogueError(f"no kernel of {event!r} in layer {layer}, {where} squares")
            kernel = dict(zip(by_layer[layer].lags, by_layer[layer].by_lag, strict=True))
            row = [kernel.get(lag, 0.0) for lag in range(1, lags + 1)]
            total[layer - 1] += squares / board.n_squares * torch.tensor(row, dtype=torch.float64)
    return total


def _by_length(found: Catalogue, layer: int, what: str, lengths: int) -> Tensor:
    """float64 [lengths]: a figure about a whole layer, by the length of the run."""
    tables: Sequence[float] = next(
        (x.tables["by length"] for x in found.layers if (x.layer, x.what) == (layer, what)), ()
    )
    if len(tables) != lengths:
        raise CatalogueError(f"no {what} of layer {layer} by length")
    return torch.tensor(tables, dtype=torch.float64)
