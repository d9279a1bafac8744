"""What bracket neurons of hand-built models read, found again through the names of directions.

Through readouts that are fitted on the truth, as of a trained model, see ``test_transcript.py``.
"""

import pytest
import torch

from extracted_rules.discovery.names import Spread
from extracted_rules.discovery.regression import ridge
from handbuilt import build, program
from handbuilt.compiler import needed
from handbuilt.transcripts.transcribing import collect
from handbuilt.transcripts.transcript import before_mlp, folded, places, weights_of

#: Of a neuron's strongest read, in standard deviations: less is none.
LEAST = 0.1


@pytest.mark.parametrize(
    ("recipe", "board", "games"),
    [
        ("logic", 4, 200),
        pytest.param("logic", 8, 64, marks=pytest.mark.slow),
        pytest.param("calibrated", 8, 64, marks=pytest.mark.slow),
    ],
)
def test_named_reads_are_found(recipe: str, board: int, games: int) -> None:
    """(Neuron, square, sign) of every read of a square. Layer 0 is left out: what is named there,
    plies and moves, is not linearly independent."""
    rules = program(recipe, board=board)
    model = build(recipe, board=board, shape=needed(rules) if board < 8 else None)
    sums, weights, geometry = collect(model, games, 1), weights_of(model), model.geometry
    for layer in range(1, 7):
        (record,) = (n for n in rules.neurons if n.layer == layer and n.name == "bracket")
        rows, squares, planted = [], [], []
        for link in record.reads:
            family = model.layout.directions.families[link.name]
            rows += list(range(family.start, family.start + len(family.members)))
            squares += [member in geometry.labels for member in family.members]
            planted.append(torch.as_tensor(link.weights).double())
        number, part = before_mlp(layer), f"blocks.{layer}.mlp"
        own = weights[f"{part}.W_in"], weights[f"{part}.b_in"]
        wanted, _ = folded(weights, places(model.shape.n_layers)[number], *own)
        of = model.layout.neurons[layer].families["bracket"]
        spread = Spread.of(sums.at[number])
        named = spread.scaled(torch.eye(model.shape.d_model, dtype=torch.float64)[:, rows])
        shared = named.T @ spread.activations @ wanted[:, of.start : of.start + len(of.members)]
        size = spread.activations.diagonal()[rows].clamp(min=0).sqrt()[:, None]
        found = _strong(ridge(spread.among(named), shared, 1e-9)[squares])
        wanted_reads = _strong((torch.cat(planted) * size)[squares])
        hits = ((found == wanted_reads) & (found != 0)).sum()
        assert hits / (found != 0).sum() > 0.95, layer
        assert hits / (wanted_reads != 0).sum() > 0.95, layer


def _strong(reads: torch.Tensor) -> torch.Tensor:
    """[reads, neurons]: signs of what a neuron reads; 0 for what it hardly does."""
    return reads.sign() * (reads.abs() > LEAST * reads.abs().amax(0))
