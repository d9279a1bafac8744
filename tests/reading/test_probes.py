"""Probes find what is there, and only in the model that they were fitted on."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from comparison.reading.board_reader import ProbedReader
from comparison.reading.boards import board_accuracy
from comparison.reading.probes import Probes, fit_probes
from extracted_rules.othello.game import random_games, replay
from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.transformer import Keep, OthelloGPT

SHAPE = Shape(n_layers=2, d_model=300, n_heads=1, d_head=8, d_mlp=8)


class Planted(OthelloGPT):
    """Its residual stream is noise after layer 0; after layer 1 a random linear map of the state
    of the board and of the last flips, far from zero in one direction."""

    def _run(self, tokens: Tensor, hook: Keep) -> Tensor:
        generator = torch.Generator().manual_seed(len(tokens))
        played = replay(tokens)
        seen = slice(1, tokens.shape[1] + 1)
        board = played.boards[:, seen] * played.movers[:, seen, None]
        told = torch.cat([board == 1, board == -1, played.flips[:, : tokens.shape[1]]], -1).float()
        towards = torch.randn(3 * 64, 300, generator=torch.Generator().manual_seed(0))
        noise = torch.randn(*told.shape[:2], 300, generator=generator)
        hook("blocks.0.hook_resid_post", noise)
        planted = told @ towards + 0.1 * noise
        planted[..., 7] = 2.0**20
        hook("blocks.1.hook_resid_post", planted)
        return torch.zeros(*tokens.shape, 61)


@pytest.fixture(scope="module")
def model() -> OthelloGPT:
    return Planted(SHAPE)


@pytest.fixture(scope="module")
def probes(model: OthelloGPT) -> Probes:
    return fit_probes(model, games=100, seed=3)


def test_probes_recover_what_is_planted(model: OthelloGPT, probes: Probes) -> None:
    games = next(random_games(20, 5, purpose="test"))
    accuracy = board_accuracy(ProbedReader(model, probes), games)
    noise, planted = accuracy.by_layer()
    assert planted == pytest.approx((1, 1, 1), abs=0.02)
    assert noise[0] < 0.8
    assert noise[1] < 0.05
    # One board after every move but the last of each game, where nobody moves next.
    assert int(accuracy.boards[1].sum()) == int((replay(games).movers[:, 1:60] != 0).sum())
    assert int(accuracy.discs[1, 0]) == 20 * 5


def test_probes_are_the_same_on_every_run(model: OthelloGPT, probes: Probes) -> None:
    again = fit_probes(model, games=100, seed=3)
    assert again.states.equal(probes.states)
    assert again.flips.equal(probes.flips)
    assert not fit_probes(model, games=100, seed=4).flips.equal(probes.flips)


def test_probes_go_to_disk_and_back(model: OthelloGPT, probes: Probes, tmp_path: Path) -> None:
    path = tmp_path / "probes.safetensors"
    probes.save(path)
    again = Probes.load(path, model)
    assert again.states.equal(probes.states)
    assert again.flips.equal(probes.flips)
    assert (again.model, again.games, again.seed) == (model.fingerprint(), 100, 3)
    other = OthelloGPT(SHAPE)
    other.unembed.b_U.data[3] = 1
    with pytest.raises(CheckpointError, match="probes of another model"):
        Probes.load(path, other)
    with pytest.raises(CheckpointError, match="no probes of a model of this shape"):
        Probes.load(path, OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        Probes.load(path, model)
