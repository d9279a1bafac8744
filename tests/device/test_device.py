"""What computes on a device keeps to it: tried on one that only pretends to be there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from comparison.reading.board_reader import board_reader
from comparison.reading.boards import board_accuracy
from comparison.reading.probes import fit_probes
from comparison.scoring.baselines import BASELINES
from comparison.scoring.bench import choose_threshold, evaluate
from comparison.scoring.recording import Subject, record
from comparison.training import training
from comparison.training.settings import Manner, Phase, Settings
from comparison.training.training import initialise, train
from extracted_rules.benches.positions import Bench
from extracted_rules.othello.game import random_games, replay
from handbuilt import OthelloGPT, Shape, build
from tests.device.pretend import Generator, MixedDevicesError, Pretend, device, tensor

CPU, PRETEND = torch.device("cpu"), device()
TINY = Shape(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=16).on(4)


@pytest.fixture(autouse=True)
def _made_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch, "tensor", tensor)


@pytest.fixture
def games() -> Tensor:
    return next(random_games(8, 1, board=4, purpose="test"))


@pytest.fixture
def model() -> OthelloGPT:
    model = OthelloGPT(TINY)
    initialise(model, 1)
    return model.eval()


def test_the_device_refuses_to_mix(games: Tensor) -> None:
    there = games.to(PRETEND)
    assert isinstance(there, Pretend)
    assert there.device == PRETEND
    assert (there + 1).cpu().equal(games + 1)
    assert there[torch.tensor([1])].cpu().equal(games[[1]])
    for mix in (lambda: there + games, lambda: torch.where(there > 1, there, games)):
        with pytest.raises(MixedDevicesError):
            mix()
    with pytest.raises(MixedDevicesError, match="generator"):
        torch.rand(2, device=PRETEND, generator=torch.Generator())
    with pytest.raises(RuntimeError, match="numpy"):
        there.numpy()


def test_games_are_made_and_replayed() -> None:
    ours = next(random_games(8, 1, board=4, purpose="test", device=PRETEND))
    assert ours.device == PRETEND
    played, expected = replay(ours, board=4), replay(ours.cpu(), board=4)
    for name in ("boards", "legal", "flips", "passes", "movers", "lengths"):
        found = getattr(played, name)
        assert found.device == PRETEND
        assert found.cpu().equal(getattr(expected, name)), name


def test_a_model_runs(games: Tensor) -> None:
    built = build("logic", board=4)
    tokens = next(random_games(2, 1, board=4, purpose="test"))[:, : built.shape.n_ctx].long()
    with torch.inference_mode():
        expected, cache = built.run_with_cache(tokens, "blocks.3.mlp.hook_post")
        logits, there = built.to(PRETEND).run_with_cache(tokens.to(PRETEND), list(cache))
        for found, known in ((logits, expected), (there.popitem()[1], cache.popitem()[1])):
            assert found.device == PRETEND
            torch.testing.assert_close(found.cpu(), known)


@pytest.mark.parametrize("name", ["model", *BASELINES])
def test_models_are_measured(name: str, model: OthelloGPT, games: Tensor) -> None:
    asked = model if name == "model" else BASELINES[name](4)
    found = []
    for where in (CPU, PRETEND):
        asked = asked.to(where)
        tau = choose_threshold(asked, 1, where, 16)
        result = evaluate(name, asked, [games.to(where)], tau)
        found.append((tau, result.overall.illegal.value, result.overall.excess.value))
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_probes_are_fitted_and_read(model: OthelloGPT, games: Tensor) -> None:
    model = model.to(PRETEND)
    reader = board_reader(model, fit_probes(model, 16))
    assert reader
    accuracy = board_accuracy(reader, games.to(PRETEND))
    assert int(accuracy.discs_right.sum()) > 0.3 * int(accuracy.discs.sum())


def test_errors_are_recorded(model: OthelloGPT, games: Tensor, tmp_path: Path) -> None:
    bench = Bench.of(games, "random", 4)
    here, there = (
        record(Subject("tiny", "tiny", model.to(where)), bench, folder, 1, lambda: 0.05)
        for where, folder in ((CPU, tmp_path / "here"), (PRETEND, tmp_path / "there"))
        if folder.mkdir() is None
    )
    for name, column in vars(here.columns).items():
        np.testing.assert_allclose(getattr(there.columns, name), column, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_is_learned(optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "VALIDATION_GAMES", 8)
    settings = Settings(
        phases=(Phase(TINY.n_ctx, 8, 16),), optimizer=optimizer, targets="legal", shape=TINY,
        precision="float32", averages=(0.5,), dropout=0.1, warmup_games=0,
    )  # fmt: skip
    trained = train(settings, tmp_path, PRETEND, Manner(compiled=False))
    assert trained.device == PRETEND
    before = OthelloGPT(TINY)
    initialise(before, settings.seed)
    assert not trained.unembed.W_U.cpu().equal(before.unembed.W_U)
    assert (tmp_path / "state.safetensors").exists()
