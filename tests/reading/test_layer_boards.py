"""What a model holds of the board, layer by layer."""

import torch

from comparison.reading.layer_boards import layer_reader
from comparison.reading.probes import fit_probes, probe_accuracy
from extracted_rules.othello.game import random_games, replay
from handbuilt import build
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT


def test_named_boards_get_better_layer_by_layer() -> None:
    model = build("logic")
    games = next(random_games(12, 5, purpose="test"))
    played = replay(games)
    reader = layer_reader(model)
    assert reader is not None
    boards = reader.read(games)
    truth, wrong = boards.truth(played), boards.wrong(played)
    assert not bool((boards.held != 0)[:, played.boards[:, 1:60] == 0].any())
    assert not bool(truth[:, 0].any())
    rates = [float(layer[truth != 0].float().mean()) for layer in wrong]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.25
    assert rates[7] < 0.06
    # After a few moves nothing is left to guess.
    assert not bool(wrong[7, :, :5].any())
    there = played.movers[:, 2:59] != 0
    named = boards.mover[:, :, 1:58][:, there]
    assert float((named == played.movers[:, 2:59][there]).float().mean()) > 0.98


def test_who_moves_next_where_a_pass_is_due_is_who_made_the_last_move() -> None:
    games = next(random_games(300, 5, purpose="test"))
    games = games[replay(games).passes[:, 2:60].any(-1)][:60]
    played = replay(games)
    reader = layer_reader(build("calibrated"))
    assert reader is not None
    boards = reader.read(games)
    due = played.passes[:, 1:60] & (played.passes[:, :60].cumsum(1)[:, 1:60] == 1)
    assert int(due.sum()) > 20
    right = boards.mover[reader.decisive] == played.movers[:, 1:60]
    assert float(right[due].float().mean()) > 0.8


def test_probed_boards_are_those_that_probe_accuracy_counts() -> None:
    torch.manual_seed(0)
    model = OthelloGPT(Shape(n_layers=2, d_model=32, n_heads=2, d_head=16, d_mlp=32))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    probes = fit_probes(model, games=40, seed=3)
    reader = layer_reader(model, probes)
    assert reader is not None
    games = next(random_games(10, 5, purpose="test"))
    played = replay(games)
    boards = reader.read(games)
    there = (boards.truth(played) != 0) & (played.movers[:, 1:60] != 0)[..., None]
    assert reader.decisive == 1
    wrong = boards.wrong(played)
    counted = probe_accuracy(model, probes, games)
    for layer in range(2):
        # A probe's state is the largest of three numbers, and this only asks mine or theirs.
        right = 1 - float(wrong[layer][there].float().mean())
        assert right >= counted.by_layer()[layer][0] - 1e-6


def test_a_baseline_holds_no_board() -> None:
    assert layer_reader(torch.nn.Identity()) is None
