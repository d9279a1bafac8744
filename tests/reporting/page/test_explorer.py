"""What the explorer holds is what the models compute, within the rounding that it promises."""

import gzip
import json
from base64 import b64decode
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison.reading.board_reader import board_reader
from comparison.reading.probes import Probes
from comparison.reporting.page import explorer
from comparison.reporting.page.exhibits import Exhibit, Order
from comparison.reporting.page.explorer import (
    STEP,
    Seer,
    explore,
    openings,
    positions_of,
    rounded_to_sum,
    telling_errors,
)
from comparison.reporting.page.mistakes import BENCH
from comparison.reporting.page.rendering import for_the_explorer
from comparison.scoring.recording import PURPOSE
from extracted_rules.catalogue import Catalogue, Games, Head, Header
from extracted_rules.errors import UserError
from extracted_rules.files import KeptError
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.notation import format_transcript, squares_from_tokens
from handbuilt import OthelloGPT, Shape, build
from handbuilt.analysis.contributions import Attribution
from handbuilt.analysis.names import part_names
from tests.reporting.page.conftest import TAU, SmallPage

BOARD = Geometry()


def unpacked(text: str) -> object:
    return json.loads(gzip.decompress(b64decode(text)))


def test_data_decode_to_what_the_model_computes(page: SmallPage) -> None:
    """Logits against the model itself, run in float64; boards against the engine and the reader."""
    data = for_the_explorer(page.explored)
    (game,), (model,) = (unpacked(g["packed"]) for g in data["games"]), unpacked(data["models"])
    (seen,) = game["models"]
    tokens, played = page.tokens, replay(page.tokens[None])
    exact = OthelloGPT.of_weights(page.exhibit.model.state_dict(), Shape()).double()
    logits = exact(tokens[None, : BOARD.context].long())[0, :, 1:]
    found = STEP * torch.tensor(seen["logits"])
    # A forward pass gives float32, whose steps at 1,000, the logit of a taken square, are 6e-5.
    torch.testing.assert_close(found, logits[: len(found)], atol=STEP / 2 + 1e-3, rtol=0)
    decoded = board_reader(page.exhibit.model).read(tokens[None]).values[:, 0]
    kept = STEP * torch.tensor(seen["decoded"]).transpose(0, 1)
    assert kept.sign().equal(decoded[:, : kept.shape[1]].sign())
    torch.testing.assert_close(kept, decoded[:, : kept.shape[1]], atol=STEP + 1e-3, rtol=0)
    assert game["boards"][-1].count("x") == int((played.boards[0, len(found)] > 0).sum())
    legal = [[s == "+" for s in squares] for squares in game["legal"]]
    assert torch.tensor(legal).equal(played.legal[0, : len(found) + 1])
    assert model["decisive"] == 7


def test_what_made_a_logit_adds_up_to_it_and_is_not_far_off(page: SmallPage) -> None:
    (seen,), model = page.explored["games"][0]["models"], page.explored["models"][0]
    attribution = Attribution(page.exhibit.model)
    cache = attribution.run(page.tokens)
    names, heads = part_names(page.exhibit.model), page.exhibit.model.shape.n_heads
    for position in (0, 17, 40, 55):
        board = page.explored["games"][0]["boards"][position + 1]
        blank = [s for s in BOARD.playable if board[s] == "."]
        parts = attribution.parts(cache, position)
        assert len(seen.why[position]) == len(blank)
        for square, (constant, rest, *listed) in zip(blank, seen.why[position], strict=True):
            move = int(BOARD.token_of_square[square]) - 1
            assert constant + sum(rest) + sum(listed[1::2]) == seen.logits[position][move]
            assert abs(STEP * constant - float(parts.constant[move])) < STEP
            whole = [float(x[:, move].sum()) for x in torch.cat([parts.heads, parts.neurons], 1)]
            for number, share in zip(listed[::2], listed[1::2], strict=True):
                layer, place = divmod(number, model["per_layer"])
                assert share
                assert place >= heads  # a hand-built model's heads write to no logit
                exact = float(parts.neurons[layer, place - heads, move])
                assert abs(STEP * share - exact) < STEP
                whole[layer] -= exact
                named = names.neuron(layer, place - heads)
                assert model["names"][number] == [named.place, named.name, named.sentence]
            assert all(abs(STEP * a - b) < STEP for a, b in zip(rest, whole, strict=True))


@given(
    st.lists(
        st.lists(st.floats(-50, 50, allow_subnormal=False), min_size=7, max_size=7),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_rounding_keeps_the_sum(rows: list[list[float]]) -> None:
    values = torch.tensor(rows, dtype=torch.float64)
    found = rounded_to_sum(values)
    assert found.sum(0).equal((values.sum(0) / STEP).round().long()) or torch.allclose(
        found.sum(0).double(), values.sum(0) / STEP, atol=0.5 + 1e-6
    )
    assert bool(((STEP * found - values).abs() < STEP * (1 + 1e-6)).all())


def test_telling_errors_are_errors_and_the_worst_comes_first(page: SmallPage) -> None:
    """Against answers worked out here, on the bench of error sets."""
    order = Order(page.order.exhibits, 40, 1, page.order.work, page.order.bar)
    shown = telling_errors(order)
    games = next(random_games(BENCH * order.games, 1, purpose=PURPOSE))
    played = replay(games)
    with torch.inference_mode():
        logits = page.exhibit.model(games[:, : BOARD.context].long())[..., 1:]
    legal = played.legal[:, 1 : BOARD.context + 1][..., torch.tensor(BOARD.playable)]
    excess = logits.masked_fill(legal, -torch.inf).amax(-1)
    excess = excess - logits.masked_fill(~legal, -torch.inf).amax(-1)
    excess[~legal.any(-1)] = -torch.inf
    assert 3 < len(shown) <= 10
    for one in shown:
        (game,) = (games == one.tokens).all(-1).nonzero().flatten().tolist()
        assert float(excess[game, one.ply - 2]) > 0
        assert BOARD.playable[int(logits[game, one.ply - 2].argmax())] == one.square
        assert not played.legal[game, one.ply - 1, one.square]
        assert f"game {game} (from 0)" in one.note
    (worst,) = (games == shown[0].tokens).all(-1).nonzero().flatten().tolist()
    assert float(excess[worst, shown[0].ply - 2]) == float(excess.max())


def test_openings_are_legal_and_short() -> None:
    for board, moves in ((4, range(3, 12)), (6, (10,)), (8, (10,))):
        for shown in openings(Geometry(board)):
            played = replay(shown.tokens[None], board=board)
            assert positions_of(played) in moves
            assert shown.note.endswith(".")


def test_a_killed_explorer_goes_on(page: SmallPage, monkeypatch: pytest.MonkeyPatch) -> None:
    again = page.explored
    monkeypatch.setattr(Seer, "see", lambda *_: pytest.fail("it is looked at again"))
    (title,) = [game["title"] for game in again["games"]]
    shown = explorer.Shown("Games", title, "Why it is here.", page.tokens, 30, 2)
    assert explorer.explore(page.order, [shown]) == again


@pytest.mark.parametrize("held", ["", "[]", "{}"])
def test_damaged_data_of_a_game_are_named(page: SmallPage, tmp_path: Path, held: str) -> None:
    order = replace(page.order, work=tmp_path)
    folder = order.folder("explorer", order.games)
    folder.mkdir()
    moves = format_transcript(squares_from_tokens(page.tokens))
    file = folder / f"{moves}-0.msgpack"
    file.write_text(held)
    shown = explorer.Shown("Games", "a title", "Why it is here.", page.tokens, 30, 2)
    with pytest.raises(KeptError, match=f"{file.name} is cut short or no such result"):
        explorer.explore(order, [shown])


def test_what_a_model_is_known_by_has_a_folder_of_its_own(page: SmallPage) -> None:
    """Other probes or another catalogue of the same model: nothing made before is shown."""
    bench = Games("p", 1, 1, 1)
    catalogue = Catalogue(Header("m", "f", (1, 1, 1), bench, bench, {}), ())
    probes = Probes("", 0, 0, torch.zeros(1, 2, 64, 3), torch.zeros(1, 2, 64))
    other = replace(probes, states=probes.states + 1)

    def folder(probes: Probes | None, catalogue: Catalogue | None) -> Path:
        exhibit = replace(page.exhibit, probes=probes, catalogue=catalogue)
        return replace(page.order, exhibits=(exhibit,)).folder("errors", 2)

    known = [
        (None, None), (probes, None), (other, None), (probes, catalogue),
        (probes, replace(catalogue, findings=(Head(0, 0, "mine"),))),
    ]  # fmt: skip
    assert len({folder(*of) for of in known}) == len(known)
    again = replace(probes, states=probes.states.clone()), replace(catalogue)
    assert folder(*again) == folder(probes, catalogue)


def test_a_trained_model_is_read_through_its_probes(tmp_path: Path) -> None:
    """Random weights stand for a trained model: what matters is that its parts add up, too."""
    shape = Shape(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=12)
    generator = torch.Generator().manual_seed(1)
    model = OthelloGPT(shape)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.5)
    states = torch.randn(2, 17, 64, 3, generator=generator)
    probes = Probes("", 0, 0, states, torch.zeros(2, 17, 64))
    (tokens,) = next(random_games(1, 4, purpose="page tests"))
    seen = Seer(Exhibit("random", model.eval(), 0.02, probes)).see(tokens)
    assert {len(layers) for layers in seen.decoded} == {2}
    constant, rest, *listed = seen.why[20][5]
    squares = [m for m in range(60) if m + 1 not in tokens[:21].tolist()]
    assert constant + sum(rest) + sum(listed[1::2]) == seen.logits[20][squares[5]]
    assert len(listed) == 2 * explorer.LISTED
    with pytest.raises(UserError, match="neither names nor probes"):
        Seer(Exhibit("random", model, 0.02))


def test_a_page_shows_models_of_one_board(page: SmallPage) -> None:
    small = OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8, d_vocab=33))
    with pytest.raises(UserError, match="logic plays on 8 x 8 and small on 6 x 6"):
        replace(page.order, exhibits=(page.exhibit, Exhibit("small", small, 0.1)))


def test_a_small_board_has_its_errors_and_openings(page: SmallPage, tmp_path: Path) -> None:
    exhibit = Exhibit("small", build("logic", board=6, layers=4), TAU)
    order = replace(page.order, exhibits=(exhibit,), games=3, work=tmp_path)
    games = [*telling_errors(order), *openings(order.geometry)]
    assert {game.kind for game in games} == {"Errors", "Openings"}
    explored = explore(order, [games[0], games[-1]])
    assert {len(board) for game in explored["games"] for board in game["boards"]} == {36}
