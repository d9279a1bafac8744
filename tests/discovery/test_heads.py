"""Roles of heads and lag kernels: what was compiled is found, and nothing in other games."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from extracted_rules.discovery.heads import (
    EVENTS,
    HeadRoles,
    LagKernels,
    board_events,
    squares_where,
)
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.geometry import Geometry
from handbuilt import build
from handbuilt.interpreter import Interpreter, Layer
from handbuilt.interpreter.reading import heard, loudnesses
from handbuilt.network.layout import Layout
from handbuilt.network.transformer import OthelloGPT
from handbuilt.strengths import TOLD, Strengths, load_strengths

G = Geometry()
CONTEXT = G.context
#: A kernel is compared at these lags: later ones are heard too faintly, and too seldom.
LAGS = slice(1, 30)


@pytest.fixture(scope="module")
def games() -> Tensor:
    """Games without a pass that a position sees: the rules' idea of sides is right in them."""
    games = torch.cat(list(random_games(80, 1, purpose="discovery-test")))
    return games[~replay(games).passes[:, :60].any(-1)][:32]


def planted(recipe: str, loud: bool = True) -> tuple[OthelloGPT, Layout, Strengths]:
    """A hand-built model; if not loud, one that hears all positions equally loudly, so that its
    attention is its kernel and nothing else."""
    s = load_strengths(recipe)
    if not loud:
        s = replace(s, overclaim=torch.zeros_like(s.overclaim), needy=torch.zeros_like(s.needy))
    model = build(s)
    return model.requires_grad_(False), model.layout, s


def told_by_names(layout: Layout, s: Strengths, layer: int, stream: Tensor) -> Tensor:
    """[B, T, 2, 64]: what the flips heads read, and what the board heads read."""
    here = layout.directions
    board = float(s.board_share[layer - 1]) * stream[..., here["clipped"]]
    board[..., list(G.playable)] += stream[..., here["placed"]]
    return torch.stack([stream[..., here["message"]], board], 2)


def told_by_rules(s: Strengths, layer: int, last: Layer, placed: Tensor) -> Tensor:
    """[B, T, 2, 64]: the same as the rules have it."""
    later = torch.arange(placed.shape[1])[:, None] > 0
    return torch.stack([last.message, s.board_share[layer - 1] * last.clipped + placed * later], 2)


def as_loud_as_compiled(s: Strengths, layer: int, last: Layer, told: Tensor) -> Tensor:
    """[lags, 2]: the compiled kernels, times how loudly those positions are heard that tell
    something. told: [B, T, 2, squares]."""
    loudness = loudnesses(s, layer, last)
    kernels = zip(TOLD, (s.flips_kernel[layer - 1], s.board_kernel[layer - 1]), strict=True)
    added = [heard(kernel, last.side, loudness[name]).abs() for name, kernel in kernels]
    much = told.square().sum(-1)
    by_lag = []
    for lag in range(1, LAGS.stop):
        source = much[:, 1:-lag]
        weights = torch.stack([a.diagonal(-lag, 1, 2)[:, 1:] for a in added], -1)
        by_lag.append((weights * source).sum((0, 1)) / source.sum((0, 1)))
    return torch.stack(by_lag)


def kernels_found(
    model: OthelloGPT, layout: Layout, s: Strengths, games: Tensor
) -> Iterator[tuple[int, LagKernels]]:
    """Every layer that hears, and its kernels of what its heads are told, by their names."""
    reader = replay(games).movers[:, :CONTEXT]
    _, cache = model.run_with_cache(games[:, :CONTEXT].long())
    for layer in range(1, 8):
        kernels = LagKernels(8, G, TOLD)
        attention = model.blocks[layer].attn
        values = attention.W_O[..., layout.directions["belief"]]
        told = torch.einsum("bthd,hds->bths", cache[f"blocks.{layer}.attn.hook_v"], values)
        events = told_by_names(layout, s, layer, cache[f"blocks.{layer}.hook_resid_pre"])
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"]
        kernels.add(pattern, told, events * reader[..., None, None], reader)
        yield layer, kernels


def off(found: Tensor, compiled: Tensor) -> float:
    """By what share a kernel is off at most, where it can be heard."""
    audible = compiled > 0.01 * compiled.amax(0)
    return float(((found - compiled).abs() / compiled)[audible].max())


@pytest.mark.parametrize("recipe", ["logic", "calibrated"])
def test_lag_kernels_are_those_that_were_compiled(recipe: str, games: Tensor) -> None:
    model, layout, s = planted(recipe, loud=False)
    for layer, kernels in kernels_found(model, layout, s, games):
        compiled = torch.stack([s.flips_kernel[layer - 1], s.board_kernel[layer - 1]], 1)
        for where, squares in squares_where(G).items():
            found = kernels.by_head(squares).sum(-1)[LAGS]
            assert off(found, compiled.exp()[: LAGS.stop - 1]) < 0.05, (layer, where)


def test_lag_kernels_are_as_loud_as_compiled(games: Tensor) -> None:
    """With loudness as shipped. Who is heard loudly may tell other things, too: so each pair of
    heads is asked about what it is told."""
    model, layout, s = planted("calibrated")
    trace = Interpreter(s)(games[:, :CONTEXT].long())
    for layer, kernels in kernels_found(model, layout, s, games):
        heads, last = layout.heads[layer], trace.layers[layer - 1]
        pairs = [[heads.place(f"{name}-{who}") for who in ("mine", "theirs")] for name in TOLD]
        told = told_by_rules(s, layer, last, trace.facts.placed)
        for where, squares in squares_where(G).items():
            by_head = kernels.by_head(squares)[LAGS]
            found = torch.stack([by_head[:, e, own].sum(-1) for e, own in enumerate(pairs)], -1)
            compiled = as_loud_as_compiled(s, layer, last, told[..., squares])
            assert off(found, compiled) < 0.05, (layer, where)


def test_roles_of_named_heads_are_found(games: Tensor) -> None:
    model, layout, _ = planted("logic", loud=False)
    there = replay(games).movers[:, :CONTEXT] != 0
    _, cache = model.run_with_cache(games[:, :CONTEXT].long())
    expected = {"-mine": "mine", "-theirs": "theirs", "renew-belief": "last", "forget-need": "last"}
    for layer in range(8):
        roles = HeadRoles(8, CONTEXT)
        roles.add(cache[f"blocks.{layer}.attn.hook_pattern"], there)
        found = roles.findings(layer)
        for place in range(layout.heads[layer].used):
            name = layout.heads[layer].name(place)
            for end, role in expected.items():
                # The first guess of layer 0 hears the move itself loudest.
                if name.endswith(end) and layer:
                    assert found[place].role == role, (layer, name)
        if layer == 0:
            first = layout.heads[0].place("first")
            assert found[first].role == "first"
            assert found[first].figures["variance across games"] < 1e-6


@pytest.fixture(params=[4, 6, 8])
def played(request: pytest.FixtureRequest) -> Replay:
    """Games without a pass on a board of each size; many of small ones, as they are short."""
    board = request.param
    games = next(random_games(1200 // board, 1, board=board, purpose="discovery-test"))
    whole = replay(games, board=board)
    return replay(games[~whole.passes.any(-1)], board=board)


def test_events_have_the_colours_of_the_board(played: Replay) -> None:
    g = played.geometry
    events = board_events(played)
    assert events.shape == (len(played.tokens), g.context, len(EVENTS), g.n_squares)
    # Every disc is exactly one event of its square: put down, turned, or standing for somebody.
    lasts = played.movers[:, 1 : g.context + 1, None] != 0
    assert (events.sum(2) * lasts).equal(played.boards[:, 1 : g.context + 1] * lasts)
    assert int(events.abs().sum(2).max()) == 1
    mover = played.movers[:, : g.context, None]
    assert bool((events[:, :, 0] * mover >= 0).all())
    assert bool((events[:, :, 1].abs() == played.flips[:, : g.context]).all())


def test_a_kernel_is_found_and_none_in_other_games(played: Replay) -> None:
    """One head hears discs turned, twice as loudly on the rim; and noise."""
    g, games = played.geometry, len(played.tokens)
    generator = torch.Generator().manual_seed(0)
    events = board_events(played)
    lag = torch.arange(g.context)[:, None] - torch.arange(g.context)
    kernel = torch.where(lag > 0, 0.9 ** lag.clamp(min=0), 0.0)
    pattern = torch.stack([kernel, torch.eye(g.context)]).expand(games, -1, -1, -1)
    loud = torch.where(g.rim, 2.0, 1.0)
    noise = 0.1 * torch.randn(games, g.context, g.n_squares, generator=generator)
    told = torch.stack([events[:, :, 1] * loud + noise, noise], 2)
    kernels = LagKernels(2, g)
    kernels.add(pattern, told, events, torch.ones(games, g.context))  # all read as black
    # Later lags are seen too seldom.
    lags = torch.arange(1, g.context // 3 + 1)
    for finding in kernels.findings(3):
        expected = 0.9**lags * (2 if finding.where == "rim" else 1)
        found, control = (torch.tensor(x)[lags] for x in (finding.by_lag, finding.control))
        if finding.event == "flipped":
            assert float((found - expected).abs().max()) < 0.05
        else:
            assert float(found.abs().max()) < 0.05
        assert finding.figures["r2"] > 0.5
        if g.size > 4:  # the games of the smallest board are much alike
            assert float(control.abs().max()) < 0.15
            assert finding.figures["r2 control"] < 0.1
