"""Explanations: exact sums, causes on boards made by hand, a defect that is planted and named."""

import json
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from comparison.explaining.explainer import Explainer, ExplanationError, most_wrong
from comparison.explaining.explanation import boards, why
from comparison.reading.board_reader import board_reader
from comparison.reading.probes import fit_probes
from comparison.reporting.explanations import draw_explanation, draw_patched
from extracted_rules import catalogue
from extracted_rules.benches import causes
from extracted_rules.benches.causes import cause_of, lines_of
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.position import Position
from handbuilt import build
from handbuilt.analysis.names import FoundNames
from handbuilt.analysis.patching import PatchingError, patch
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT

TAU = 0.01
#: What can be shown on any board is shown on a small one.
BOARD, USUAL = Geometry(6), Geometry()
SMALL = Shape(d_model=288, d_head=36, d_mlp=704)


@cache
def logic() -> OthelloGPT:
    return build("logic", board=BOARD.size, shape=SMALL)


@cache
def trained() -> OthelloGPT:
    """A model of no skill whose parts all matter."""
    torch.manual_seed(0)
    model = OthelloGPT(Shape(n_layers=3, d_model=32, n_heads=2, d_head=16, d_mlp=48).on(BOARD.size))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


@cache
def explainers() -> dict[str, Explainer]:
    found = {}
    for name, model in (("logic", logic()), ("trained", trained())):
        probes = None if name == "logic" else fit_probes(model, games=30, seed=3)
        reader = board_reader(model, probes)
        found[name] = Explainer(name, model, reader, TAU)
    return found


@cache
def games() -> Tensor:
    return next(random_games(60, 7, board=BOARD.size, purpose="test"))


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["logic", "trained"]), st.integers(0, 59), st.integers(0, 30))
def test_contributions_sum_to_the_logits(name: str, game: int, position: int) -> None:
    asks = explainers()[name]
    tokens = games()[game]
    position = min(position, int((tokens != 0).sum()) - 1)
    parts = asks.attribution.parts(asks.attribution.run(tokens[: position + 1]), position)
    with torch.inference_mode():
        model = logic() if name == "logic" else trained()
        logits = model(tokens[None, : position + 1].long())[0, -1, 1:].double()
    if name == "trained":
        logits = logits - logits.mean()
    torch.testing.assert_close(parts.logits, logits, atol=2e-2 if name == "logic" else 1e-4, rtol=0)
    # In float64, which is what is taken apart, they agree to the last digits.
    cache = asks.attribution.run(tokens[: position + 1])
    last = asks.attribution.model.shape.n_layers - 1
    stream = cache[f"blocks.{last}.hook_resid_post"][0, position]
    exact = stream @ asks.attribution.towards / cache["ln_final.hook_scale"][0, position]
    torch.testing.assert_close(parts.logits, exact + asks.attribution.bias, atol=1e-8, rtol=0)


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(["logic", "trained"]), st.integers(0, 59), st.integers(1, 31))
def test_what_is_told_of_a_square_sums_to_its_logit(name: str, game: int, seen: int) -> None:
    tokens = games()[game]
    played = replay(tokens[None], board=BOARD.size)
    seen = min(seen, int((tokens != 0).sum()) - 1)
    if not int(played.movers[0, seen]):
        return
    found = explainers()[name].explain(tokens, seen, named=4)
    assert found.ply == seen + 1
    for square in found.squares:
        told = square.constant + sum(r.value for r in square.reasons) + square.rest
        by_layer = square.constant + sum(sum(both) for both in square.by_layer)
        assert told == pytest.approx(square.logit, abs=1e-9)
        assert by_layer == pytest.approx(square.logit, abs=1e-8)
        if name == "logic":
            neurons = sum(neurons for _, neurons in square.by_layer)
            assert sum(v for _, _, v in square.families) == pytest.approx(neurons, abs=1e-8)
    assert set(found.labels(found.legal)) <= {s.square for s in found.squares}
    json.dumps(found.as_dict())
    assert found.lines()
    for board in boards(found):
        assert len(ElementTree.fromstring(board.svg())) > BOARD.n_squares


def board_of(text: str) -> Tensor:
    """int8 [64] of eight rows of x (black), o (white) and dots."""
    return torch.tensor([{"x": 1, "o": -1, ".": 0}[c] for c in "".join(text.split())]).to(
        torch.int8
    )


ROWS = """
........
........
..xo....
...ox...
...xo...
.....x..
........
........
"""


@pytest.mark.parametrize(
    ("square", "turned", "decoded_mover", "kind", "wrong"),
    [
        # Black may play E3 over D3; a model that takes C3 for white misses it.
        ("E3", "C3", 1, causes.BOARD, ("C3",)),
        # White may not play G3; nor does the decoded board say so.
        ("C6", "", 1, causes.COUNTING, ()),
        # C6 is empty, D5 black, E4 black: white's line if it were white's turn, ending at F3.
        ("E3", "", -1, causes.SIDE, ()),
    ],
)
def test_causes(
    square: str,
    turned: str,
    decoded_mover: int,
    kind: str,
    wrong: tuple[str, ...],
) -> None:
    board = board_of(ROWS)
    decoded = board.float()
    if turned:
        decoded[USUAL.square_of(turned)] *= -1
    lines = lines_of(USUAL, USUAL.square_of(square), board, decoded, 1)
    cause = cause_of(lines, 1, decoded_mover)
    assert cause.kind == kind
    if wrong:
        assert cause.line is not None
        assert tuple(USUAL.labels[s] for s in cause.line.wrong) == wrong


def test_an_unnoticed_pass_is_the_side() -> None:
    """``logic`` takes parity for the mover, so where it errs behind a pass, this is why."""
    context, size = BOARD.context, BOARD.size
    many = next(random_games(200, 7, board=size, purpose="test"))
    many = many[replay(many, board=size).passes[:, 1:context].any(-1)][:40]
    played = replay(many, board=size)
    with torch.inference_mode():
        logits = logic()(many[:, :context].long())
    passes, now = played.passes, slice(1, context + 1)
    behind = (passes.cumsum(1)[:, :context] == 1) & ~passes[:, now] & (played.movers[:, now] != 0)
    top = BOARD.square_of_token[1:][logits[..., 1:].argmax(-1)]
    wrong = ~played.legal[:, now].gather(-1, top[..., None])[..., 0]
    found = []
    for game, position in (behind & wrong).nonzero().tolist()[:12]:
        explanation = explainers()["logic"].explain(many[game], position + 1)
        assert explanation.cause is not None
        assert explanation.decoded_mover == -explanation.mover
        found.append(explanation.cause.kind)
    assert len(found) > 5
    assert set(found) == {causes.SIDE}


def test_a_planted_defect_is_named() -> None:
    """Brackets that no longer claim: discs that they should turn are decoded wrong, and it is said
    which move turned them."""
    model = build("logic", board=BOARD.size, shape=SMALL)
    layout, name = model.layout, "B3-D3"
    with torch.no_grad():
        for layer, slots in enumerate(layout.neurons):
            for voice in ("bracket", "bracket-cap"):
                if voice in slots.families and f"{voice}.{name}" in slots:
                    model.blocks[layer].mlp.W_out[slots.place(f"{voice}.{name}")] = 0
    asks = Explainer("lame", model, board_reader(model), TAU)
    # Black opens with E4; white C5; black B3 turns C3 by the bracket B3-D3 alone.
    tokens = Position.after("e4c5b3", BOARD.size).tokens
    found = asks.explain(tokens, 3)
    assert found.decoded is not None
    assert BOARD.labels[int((found.decoded[7].sign() != found.board).nonzero()[0])] == "C3"
    assert found.cause is not None
    assert found.cause.kind == causes.BOARD
    (parting,) = found.partings
    assert parting.square == "C3"
    assert parting.since == 0
    assert [(told.ply, told.turned) for told in parting.told] == [(3, True)]
    assert parting.told[0].claimed < 0.5
    text = "\n".join(why(found))
    assert "move 3, B3, turned C3" in text
    # The whole model makes no such mistake.
    assert explainers()["logic"].explain(tokens, 3).cause is None


def test_most_wrong() -> None:
    board = board_of(ROWS)
    legal = torch.zeros(64, dtype=torch.bool)
    legal[[USUAL.square_of("E3"), USUAL.square_of("C6")]] = True
    odds = torch.full((60,), -5.0)
    place = {USUAL.labels[s]: i for i, s in enumerate(USUAL.playable)}
    odds[[place["E3"], place["C6"]]] = 2.0
    assert most_wrong(USUAL, board, legal, odds) is None
    odds[place["C6"]] = -1.0
    assert USUAL.labels[most_wrong(USUAL, board, legal, odds) or 0] == "C6"
    odds[place["A8"]] = 9.0
    assert USUAL.labels[most_wrong(USUAL, board, legal, odds) or 0] == "A8"


def two_games(seen: int = 20) -> tuple[Tensor, Tensor]:
    """A game and another that differs in its last move and in what is legal behind it."""
    game = games()[0].clone()
    game[seen:] = 0
    legal = replay(game[None], board=BOARD.size).legal[0, seen - 1].nonzero().squeeze(-1).tolist()
    others = game.repeat(len(legal), 1)
    others[:, seen - 1] = BOARD.token_of_square[legal].to(torch.uint8)
    replies = replay(torch.cat([game[None], others]), board=BOARD.size).legal[:, seen]
    differs = (replies[1:] != replies[0]).sum(-1) > 2
    return game, others[int(differs.nonzero()[0])]


@pytest.mark.parametrize("name", ["logic", "trained"])
def test_the_whole_stream_brings_everything_back(name: str) -> None:
    asks = explainers()[name]
    game, other = two_games()
    found = patch(asks.attribution.model, asks.names, game, other)
    torch.testing.assert_close(
        found.layers["stream"], torch.ones_like(found.layers["stream"]), atol=1e-5, rtol=0
    )
    # Patched the other way, the same squares are measured with the other sign.
    back = patch(asks.attribution.model, asks.names, other, game)
    assert (back.only_here, back.only_there) == (found.only_there, found.only_here)
    assert back.here == pytest.approx(-found.there, abs=1e-5)
    assert found.lines()
    json.dumps(msgspec.to_builtins(found, enc_hook=Tensor.tolist))


def test_neurons_that_carry_the_difference_are_found() -> None:
    """In the last layer what neurons bring back is what they write to the logits: exact."""
    asks = explainers()["logic"]
    game, other = two_games()
    found = patch(asks.attribution.model, asks.names, game, other)
    runs = [asks.attribution.run(g[:20]) for g in (game, other)]
    post = [run["blocks.7.mlp.hook_post"][0, 19] for run in runs]
    writes = asks.attribution.model.state_dict()["blocks.7.mlp.W_out"]
    towards = asks.attribution.towards / runs[1]["ln_final.hook_scale"][0, 19]
    weights = torch.zeros(BOARD.max_plies, dtype=torch.float64)
    for group, sign in ((found.only_here, 1), (found.only_there, -1)):
        for square in group:
            weights[BOARD.token_of(BOARD.square_of(square)) - 1] = sign / len(group)
    share = (post[0] - post[1]) * (writes @ towards @ weights) / (found.here - found.there)
    layout = logic().layout.neurons[7]
    last = [neuron for neuron in found.neurons if neuron.layer == 7]
    assert last
    for neuron in last:
        assert neuron.share == pytest.approx(float(share[layout.place(neuron.name)]), abs=1e-4)


def test_bad_questions_get_a_sentence(tmp_path: Path) -> None:
    asks = explainers()["logic"]
    game, other = two_games()
    for seen, square in ((0, None), (21, None), (20, BOARD.square_of("D4"))):
        with pytest.raises(ExplanationError):
            asks.explain(game, seen, square)
    for wrong in (game, games()[1], torch.zeros_like(game)):
        with pytest.raises(PatchingError):
            patch(asks.attribution.model, asks.names, game, wrong)
    model = build("logic")
    usual = Explainer("logic", model, board_reader(model), TAU)
    draw_explanation(usual.after("f5d6c3"), tmp_path / "explained.png")
    draw_patched(patch(asks.attribution.model, asks.names, game, other), "logic",
                 tmp_path / "patched.png")  # fmt: skip
    assert (tmp_path / "explained.png").stat().st_size > 10_000
    assert (tmp_path / "patched.png").stat().st_size > 10_000


@pytest.mark.skipif(not catalogue.REFERENCE.exists(), reason="no catalogue in the project")
def test_a_catalogue_names_every_neuron_once() -> None:
    known = catalogue.read(catalogue.REFERENCE)
    names = FoundNames(USUAL, known)
    families = names.families(5, USUAL.square_of("C4"))
    members = sorted(n for group in families.values() for n in group)
    assert members == sorted({n.neuron for n in known.neurons if n.layer == 5})
    pattern = next(n for n in known.neurons if n.rule == "pattern" and n.layer == 5)
    assert "active where" in names.neuron(5, pattern.neuron).sentence
    assert FoundNames(USUAL, None).neuron(0, 3).name == "0.n3"
