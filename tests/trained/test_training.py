"""A tiny model learns; a run that is killed and resumed ends where an undisturbed one ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from comparison.trained import training
from comparison.trained.settings import Phase, Settings, TrainingError
from comparison.trained.states import Progress
from comparison.trained.training import train
from handbuilt import OthelloGPT, Shape

CPU = torch.device("cpu")
ROOT = str(Path(__file__).parents[2])
TINY = Shape(n_layers=1, d_model=32, n_heads=2, d_head=16, d_mlp=64)
SETTINGS = Settings(
    phases=(Phase(59, 16, 320),), targets="legal", learning_rate=1e-2, warmup_games=64,
    precision="float32", shape=TINY,
)  # fmt: skip

SCRIPT = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
sys.path.insert(0, {root!r})
from tests.trained.test_training import CPU, SETTINGS
from comparison.trained import training
training.VALIDATION_GAMES = 8
torch.set_num_threads(1)
if {distributed}:
    dist.init_process_group("gloo")
training.train(SETTINGS, Path({out!r}), CPU, resume=True, save_every=1)
"""


def script(out: Path, distributed: bool = False) -> str:
    return SCRIPT.format(root=ROOT, out=str(out), distributed=distributed)


def weights(model: OthelloGPT) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _few_validation_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "VALIDATION_GAMES", 8)


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """The same sums in the same order on every machine of a kind, and no waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_one_thread")
@pytest.mark.parametrize("targets", ["legal", "sampled"])
def test_a_tiny_model_learns(tmp_path: Path, targets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniform guessing among 60 squares costs 2.1 nats more than it must; 2,000 games halve that.

    Knowing which squares are empty would leave 1.12.
    """
    shape = Shape(n_layers=1, d_model=256, n_heads=2, d_head=128, d_mlp=64)
    settings = replace(
        SETTINGS, phases=(Phase(59, 8, 2000),), targets=targets, learning_rate=4e-3,
        warmup_games=320, shape=shape,
    )  # fmt: skip
    monkeypatch.setattr(training, "VALIDATION_GAMES", 64)
    train(settings, tmp_path, CPU)
    last = log(tmp_path)[-1]
    assert last["games"] == 2000
    assert last["validated"]["weights"][1] < 1.05
    assert OthelloGPT.load(tmp_path / "model.safetensors").metadata["recipe"] == "trained"


class StopError(Exception):
    pass


def half_a_run(out: Path, settings: Settings) -> None:
    """A run that ends at step 11 of 20, with a checkpoint of step 10."""

    def stop(line: Progress) -> None:
        if line.step == 11:
            raise StopError

    with pytest.raises(StopError):
        train(settings, out, CPU, save_every=5, log_every=1, report=stop)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_resuming_is_exact(tmp_path: Path, dropout: float) -> None:
    """Stopped after half of its steps, then resumed: the same weights, bit for bit."""
    settings = replace(SETTINGS, dropout=dropout)
    undisturbed = train(settings, tmp_path / "one", CPU)
    half_a_run(tmp_path / "two", settings)
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


def test_too_large_a_batch_names_one_that_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out at a step: the sentence says what would fit, and nothing is lost."""
    undisturbed = train(SETTINGS, tmp_path / "one", CPU)
    half_a_run(tmp_path / "two", SETTINGS)
    predictor = training._predictor

    def with_room(games: int, *arguments: Any) -> training.Predict:
        predict = predictor(*arguments)

        def limited(tokens: torch.Tensor) -> torch.Tensor:
            if len(tokens) > games:
                raise torch.OutOfMemoryError
            return predict(tokens)

        return limited

    for games, advice in ((5, "4 would"), (0, "not even a single game would")):
        with monkeypatch.context() as patch:
            patch.setattr(training, "_predictor", partial(with_room, games))
            with pytest.raises(TrainingError, match=f"16 games does not fit .* cpu; {advice}$"):
                train(SETTINGS, tmp_path / "two", CPU, resume=True)
    resumed = train(SETTINGS, tmp_path / "two", CPU, resume=True)
    assert weights(resumed).equal(weights(undisturbed))


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, {root!r})
from tests.trained.test_training import SETTINGS
from comparison.commands import cli
from comparison.commands import training as commands
from comparison.trained import training
training.VALIDATION_GAMES = 8
commands.Settings = lambda **_: SETTINGS
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.argv = ["handbuilt", "train", "--out", {out!r}, "--device", "cpu", "--save-every", "5",
            "--resume"]
cli.main()
"""


def test_a_full_disk_costs_nothing_that_was_saved(tmp_path: Path) -> None:
    undisturbed = train(SETTINGS, tmp_path / "one", CPU)
    out = tmp_path / "two"
    half_a_run(out, SETTINGS)
    state = out / "state.safetensors"
    before = state.read_bytes()
    code = FULL_DISK.format(root=ROOT, out=str(out), limit=len(before) - 1)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"handbuilt: cannot write the checkpoint {state}: ")
    assert "File too large" in last
    assert state.read_bytes() == before
    assert not [path for path in out.iterdir() if "partial" in path.name]
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
        train(replace(SETTINGS, phases=(Phase(59, 16, 8),)), tmp_path / "x", CPU)
    with pytest.raises(TrainingError, match="targets: sampled or legal"):
        train(replace(SETTINGS, targets="best"), tmp_path / "x", CPU)
    train(replace(SETTINGS, phases=(Phase(59, 16, 32),)), tmp_path, CPU)
    with pytest.raises(TrainingError, match="holds a run already"):
        train(replace(SETTINGS, phases=(Phase(59, 16, 32),)), tmp_path, CPU)
    with pytest.raises(TrainingError, match="with phases = 59:16:32, not 59:16:320"):
        train(SETTINGS, tmp_path, CPU, resume=True)
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(TrainingError, match="no checkpoint of a training run"):
        train(SETTINGS, tmp_path, CPU, resume=True)
