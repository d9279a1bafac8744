"""The recipe `pooled`: what a catalogue says of reads, claims and counts, as strengths."""

from dataclasses import replace

import pytest
import torch
from msgspec import structs

from extracted_rules import catalogue
from extracted_rules.catalogue import (
    Catalogue,
    CatalogueError,
    Finding,
    Games,
    Header,
    Kernel,
    Layer,
)
from handbuilt.strengths import load_strengths
from handbuilt.strengths.pooled import from_catalogue

_AXES = load_strengths("logic").axes
CLAIMING, LAGS, LENGTHS = (_AXES[axis] for axis in ("layer", "lag", "length"))

LOGIC = load_strengths("logic")
#: The layers that hear something in the planted catalogue.
HEARING = range(1, 4)


def planted() -> Catalogue:
    """A catalogue of a model that hears in three layers, each fainter than the one before."""
    findings: list[Finding] = []
    for layer in range(CLAIMING + 1):
        loud = 1 / layer if layer in HEARING else 0.0
        for where, factor in (("rim", 0.5), ("inner", 1.0)):
            for event, size in (("placed", 1), ("flipped", 2), ("mine", 0.25), ("theirs", 0.25)):
                fade = [size * factor * loud * 0.8**lag for lag in range(LAGS + 1)]
                lags = tuple(range(LAGS + 1))
                findings.append(Kernel(layer, event, "both", where, lags, tuple(fade)))
        lengths = tuple(1 / (n + 1) for n in range(LENGTHS))
        claims = tuple(0.5 * x if layer < 2 else 0.0 for x in lengths)
        findings.append(Layer(layer, "claims", tables={"by length": claims}))
        findings.append(Layer(layer, "counts of mlp", tables={"by length": lengths}))
    games = Games("tests", 1, 2, 100)
    return Catalogue(Header("planted", "0" * 64, (8, 8, 2048), games, games, {}), tuple(findings))


def test_what_was_planted_is_what_is_built() -> None:
    built = from_catalogue(planted(), LOGIC)
    # Numbers of a catalogue have three digits.
    close = {"rtol": 0.02, "atol": 0.01}
    fade = torch.log(torch.tensor(0.8, dtype=torch.float64)) * torch.arange(LAGS)
    for kernel in (built.flips_kernel, built.board_kernel):
        torch.testing.assert_close(kernel, fade.expand(CLAIMING, -1), **close)
    torch.testing.assert_close(built.board_share, torch.full_like(built.board_share, 0.25), **close)
    lengths = 1 / torch.arange(1, LENGTHS + 1, dtype=torch.float64)
    # Layer 0 has written half of what layers 0 and 1 write together; the others add nothing.
    written = torch.tensor([0.5] + [1.0] * (CLAIMING - 1), dtype=torch.float64)
    torch.testing.assert_close(built.claim[:, 0], written[:, None] * lengths, **close)
    torch.testing.assert_close(built.line, lengths, **close)
    torch.testing.assert_close(built.last_line[0], lengths, **close)
    # All else is as it was.
    kept = {name: getattr(LOGIC, name) for name in vars(LOGIC) if name not in TAKEN_OVER}
    for name, value in kept.items():
        assert torch.equal(getattr(built, name), value), name
    assert torch.equal(built.claim[:, 1:], LOGIC.claim[:, 1:])


TAKEN_OVER = {"flips_kernel", "board_kernel", "board_share", "claim", "line", "last_line"}


def test_layers_that_hear_nothing_hear_as_the_last_one_that_does() -> None:
    found = planted()
    other = tuple(
        structs.replace(f, by_lag=tuple(0.3**lag for lag in f.lags))
        if isinstance(f, Kernel) and f.layer == HEARING[-1]
        else f
        for f in found.findings
    )
    built = from_catalogue(replace(found, findings=other), LOGIC)
    last = built.flips_kernel[HEARING[-1] - 1]
    assert not torch.allclose(last, built.flips_kernel[0])
    for layer in range(HEARING[-1], CLAIMING):
        assert torch.equal(built.flips_kernel[layer], last)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("kernel", "no kernel of 'placed' in layer 1"), ("layer", "no claims of layer 0")],
)
def test_a_catalogue_that_lacks_something_says_what(kind: str, sentence: str) -> None:
    found = planted()
    without = tuple(f for f in found.findings if f.kind != kind)
    with pytest.raises(CatalogueError, match=sentence):
        from_catalogue(replace(found, findings=without), LOGIC)


def test_the_recipe_is_the_catalogue_of_the_project() -> None:
    built = from_catalogue(catalogue.read(catalogue.REFERENCE), LOGIC)
    recipe = load_strengths("pooled")
    assert all(torch.equal(getattr(built, name), getattr(recipe, name)) for name in vars(built))
