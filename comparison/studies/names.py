"""How names lie in a model's stream: how each turns from layer to layer, and how far all are from
orthogonal."""

import torch
from torch import Tensor

from extracted_rules.discovery.names import Spread, all_names, kind_of
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.geometry import Geometry
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcripts.transcribing import Sums, transcribe
from handbuilt.transcripts.transcript import before_mlp


def lying(model: OthelloGPT, name: str, sums: Sums) -> dict[str, Table]:
    """By kind of name: what the direction that holds throughout and the one fitted before an MLP
    tell, correlated; and cosines between directions, beside as many random ones."""
    found = transcribe(model, name, sums, 1)
    names, every = found.about.names, all_names(Geometry(sums.board))
    columns = torch.tensor([every.index(n) for n in names])
    random = Spread.of(sums.at[-1]).random(len(names), sums.seed)
    layers = range(model.shape.n_layers)
    turned = []
    for layer in layers:
        spread = Spread.of(sums.at[before_mlp(layer)]).only(columns)
        turned.append(_agree(spread, spread.fitted(), found.readouts))
    nearest = {"to a name": _nearest(found.readouts), "among random ones": _nearest(random)}
    kinds = list(dict.fromkeys(map(kind_of, names)))
    of_kind = {k: [n for n, called in enumerate(names) if kind_of(called) == k] for k in kinds}
    turning, apart = [], []
    for kind, some in of_kind.items():
        turning.append([kind, *(f"{float(of[some].mean()):.2f}" for of in turned)])
        apart.append([kind, *(f"{float(of[some].median()):.2f}" for of in nearest.values())])
    title = f"{name}: one direction throughout and one before each MLP, correlated"
    return {
        "turning": Table(title, ("names",), tuple(f"layer {n}" for n in layers), turning),
        "apart": Table(
            f"{name}: cosine with the nearest other direction, medians",
            ("names",),
            tuple(nearest),
            apart,
        ),
    }


def _agree(spread: Spread, ours: Tensor, theirs: Tensor) -> Tensor:
    """float64 [names]: correlations of what two directions of each name, [d, names], tell."""
    variances = [(x * (spread.activations @ x)).sum(0) for x in (ours, theirs)]
    together = (ours * (spread.activations @ theirs)).sum(0)
    return together / (variances[0] * variances[1]).sqrt().clamp(min=torch.finfo(ours.dtype).tiny)


def _nearest(directions: Tensor) -> Tensor:
    """float64 [n]: of each of directions [d, n], the largest cosine, its sign left aside."""
    unit = directions / directions.norm(dim=0).clamp(min=1e-30)
    cosines = (unit.T @ unit).abs()
    found: Tensor = cosines.fill_diagonal_(0).amax(1)
    return found
