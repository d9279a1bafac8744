"""A tiny model learns; a run that is killed and resumed ends where an undisturbed one ends."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from comparison import training
from comparison.training import Settings, TrainingError, train
from handbuilt import OthelloGPT, Shape

CPU = torch.device("cpu")
TINY = Shape(n_layers=1, d_model=32, n_heads=2, d_head=16, d_mlp=64)
SETTINGS = Settings(
    games=320, batch=16, targets="legal", learning_rate=1e-2, warmup_games=64, precision="float32",
    shape=TINY,
)  # fmt: skip

SCRIPT = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
sys.path.insert(0, {tests!r})
from test_training import CPU, SETTINGS
from comparison import training
training.VALIDATION_GAMES = 8
torch.set_num_threads(1)
if {distributed}:
    dist.init_process_group("gloo")
training.train(SETTINGS, Path({out!r}), CPU, resume=True, save_every=1)
"""


def script(out: Path, distributed: bool = False) -> str:
    return SCRIPT.format(tests=str(Path(__file__).parent), out=str(out), distributed=distributed)


def weights(model: OthelloGPT) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def log(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _few_validation_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "VALIDATION_GAMES", 8)


@pytest.mark.parametrize("targets", ["legal", "sampled"])
def test_a_tiny_model_learns(tmp_path: Path, targets: str) -> None:
    """Uniform guessing among 60 squares costs 2.1 nats more than it must."""
    shape = Shape(n_layers=1, d_model=128, n_heads=4, d_head=32, d_mlp=512)
    settings = replace(
        SETTINGS, games=1600, batch=32, targets=targets, learning_rate=5e-3, shape=shape
    )
    train(settings, tmp_path, CPU)
    (last,) = log(tmp_path)
    assert last["games"] == 1600
    assert last["validation_excess"] < 1.85
    assert OthelloGPT.load(tmp_path / "model.safetensors").metadata["recipe"] == "trained"


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_resuming_is_exact(tmp_path: Path, dropout: float) -> None:
    """Stopped after half of its steps, then resumed: the same weights, bit for bit."""
    settings = replace(SETTINGS, dropout=dropout)
    undisturbed = train(settings, tmp_path / "one", CPU)

    class StopError(Exception):
        pass

    def stop(line: object) -> None:
        if getattr(line, "step") == 11:  # noqa: B009
            raise StopError

    with pytest.raises(StopError):
        train(settings, tmp_path / "two", CPU, save_every=5, log_every=1, report=stop)
    resumed = train(settings, tmp_path / "two", CPU, resume=True, save_every=5, log_every=1)
    assert weights(resumed).equal(weights(undisturbed))
    assert [line["step"] for line in log(tmp_path / "two")] == list(range(1, 21))


def test_a_kill_at_any_moment_leaves_a_readable_checkpoint(tmp_path: Path) -> None:
    undisturbed = train(SETTINGS, tmp_path / "one", CPU)
    out = tmp_path / "two"
    for seconds in (0.05, 0.2, 0.4):
        process = subprocess.Popen([sys.executable, "-c", script(out)])
        deadline = time.time() + 60
        while not (out / "state.safetensors").exists() and time.time() < deadline:
            time.sleep(0.01)
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        with safe_open(out / "state.safetensors", framework="pt") as file:
            assert 1 <= int(file.metadata()["step"]) <= 20
    resumed = train(SETTINGS, out, CPU, resume=True)
    torch.testing.assert_close(weights(resumed), weights(undisturbed), atol=1e-4, rtol=1e-3)


def test_two_processes_train_like_one(tmp_path: Path) -> None:
    alone = train(SETTINGS, tmp_path / "one", CPU)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "--no-python", sys.executable, "-c", script(tmp_path / "two", distributed=True),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, timeout=120)
    together = OthelloGPT.load(tmp_path / "two" / "model.safetensors")
    torch.testing.assert_close(weights(together), weights(alone), atol=1e-4, rtol=1e-3)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="less than one batch"):
        train(replace(SETTINGS, games=8), tmp_path / "x", CPU)
    with pytest.raises(TrainingError, match="targets are sampled or legal"):
        train(replace(SETTINGS, targets="best"), tmp_path / "x", CPU)
    train(replace(SETTINGS, games=32), tmp_path, CPU)
    with pytest.raises(TrainingError, match="holds a run already"):
        train(replace(SETTINGS, games=32), tmp_path, CPU)
    with pytest.raises(TrainingError, match="with games = 32, not 320"):
        train(SETTINGS, tmp_path, CPU, resume=True)
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(TrainingError, match="no checkpoint of a training run"):
        train(SETTINGS, tmp_path, CPU, resume=True)
