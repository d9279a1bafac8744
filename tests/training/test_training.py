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

from comparison.scoring import bench
from comparison.training import training
from comparison.training.history import describe_start
from comparison.training.optimizers import Optimizers
from comparison.training.settings import Manner, Phase, Settings, TrainingError, parse_phases
from comparison.training.states import Progress
from comparison.training.training import begin_finish, train
from extracted_rules.files import read_metadata, read_tensors
from extracted_rules.othello.game import random_games
from handbuilt import OthelloGPT, Shape

CPU = torch.device("cpu")
ROOT = str(Path(__file__).parents[2])
#: Of games on the smallest board, which have 12 moves at most: what is asked here is no board's.
TINY = Shape(n_layers=1, d_model=32, n_heads=2, d_head=16, d_mlp=64).on(4)
SETTINGS = Settings(
    phases=(Phase(11, 16, 320),), targets="legal", learning_rate=1e-2, warmup_games=64,
    precision="float32", shape=TINY,
)  # fmt: skip

SCRIPT = """
import sys
from pathlib import Path
import torch
sys.path.insert(0, {root!r})
from tests.training.test_training import CPU, MUON, SETTINGS
from comparison.training import training
from comparison.training.processes import joined
from comparison.training.settings import Manner
training.VALIDATION_GAMES = 8
torch.set_num_threads(1)
with joined(CPU):
    for name, settings in {settings}.items():
        training.train(settings, Path({out!r}) / name, CPU, Manner(save_every=1), resume=True)
"""


def script(out: Path, settings: str) -> str:
    return SCRIPT.format(root=ROOT, out=str(out), settings=settings)


def weights(model: OthelloGPT) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def _few_validation_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "VALIDATION_GAMES", 8)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The same sums in the same order on every machine of a kind, and no waiting for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("targets", ["legal", "sampled"])
def test_a_tiny_model_learns(tmp_path: Path, targets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uniform guessing among 12 squares costs 1.7 nats more than it must; 1,200 games more than
    halve that.

    Knowing which squares are empty would leave 0.80.
    """
    shape = Shape(n_layers=1, d_model=256, n_heads=2, d_head=128, d_mlp=64).on(4)
    settings = replace(
        SETTINGS, phases=(Phase(11, 8, 1200),), targets=targets, learning_rate=4e-3,
        warmup_games=320, shape=shape,
    )  # fmt: skip
    monkeypatch.setattr(training, "VALIDATION_GAMES", 64)
    train(settings, tmp_path, CPU)
    last = log(tmp_path)[-1]
    assert last["games"] == 1200
    assert last["validated"]["weights"][1] < 0.75
    assert OthelloGPT.load(tmp_path / "model.safetensors").metadata["recipe"] == "trained"


class StopError(Exception):
    pass


def half_a_run(out: Path, settings: Settings) -> None:
    """A run that ends at step 11 of 20, with a checkpoint of step 10."""

    def stop(line: Progress) -> None:
        if line.step == 11:
            raise StopError

    with pytest.raises(StopError):
        train(settings, out, CPU, Manner(save_every=5, log_every=1), report=stop)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_resuming_is_exact(tmp_path: Path, dropout: float) -> None:
    """Stopped after half of its steps, then resumed: the same weights, bit for bit."""
    settings = replace(SETTINGS, dropout=dropout)
    undisturbed = train(settings, tmp_path / "one", CPU)
    half_a_run(tmp_path / "two", settings)
    resumed = train(settings, tmp_path / "two", CPU, Manner(save_every=5, log_every=1), resume=True)
    assert weights(resumed).equal(weights(undisturbed))
    assert [line["step"] for line in log(tmp_path / "two")] == list(range(1, 21))


def test_a_kill_at_any_moment_leaves_a_readable_checkpoint(tmp_path: Path) -> None:
    undisturbed = train(SETTINGS, tmp_path / "one", CPU)
    out = tmp_path / "two"
    for seconds in (0.05, 0.2, 0.4):
        process = subprocess.Popen([sys.executable, "-c", script(tmp_path, "{'two': SETTINGS}")])
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
from tests.training.test_training import SETTINGS
from comparison.commands import cli
from comparison.commands import training as commands
from comparison.training import training
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
    runs = {"adamw": SETTINGS, "muon": MUON}
    for name, settings in runs.items():
        train(settings, tmp_path / "one" / name, CPU)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "--no-python", sys.executable, "-c",
        script(tmp_path / "two", "{'adamw': SETTINGS, 'muon': MUON}"),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, env=environment, timeout=120)
    for name in runs:
        alone, together = (
            OthelloGPT.load(tmp_path / out / name / "model.safetensors") for out in ("one", "two")
        )
        one, two = weights(alone), weights(together)
        # Adam moves a weight whose gradient is nothing but rounding by a whole step, either way.
        apart = ~torch.isclose(two, one, atol=1e-4, rtol=1e-3)
        assert float(apart.double().mean()) < 1e-3
        assert float((two - one).norm()) < 1e-4 * float(one.norm())


MUON = replace(
    SETTINGS, optimizer="muon", learning_rate=4e-3, muon_rate=1e-2, weight_decay=0.05, clip=0.0,
    schedule="constant", averages=(0.9, 0.5), phases=(Phase(6, 32, 128), Phase(11, 16, 256)),
)  # fmt: skip


def test_muon_learns_more_in_the_same_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Than AdamW, from the same weights on the same games; another game's answers teach little."""
    monkeypatch.setattr(training, "VALIDATION_GAMES", 64)
    shape = Shape(n_layers=1, d_model=128, n_heads=2, d_head=64, d_mlp=64)
    phases = (Phase(59, 8, 1200),)
    settings = replace(MUON, shape=shape, phases=phases, averages=(), warmup_games=160)
    excess = {}
    for optimizer in ("muon", "adamw"):
        out = tmp_path / optimizer
        train(replace(settings, optimizer=optimizer), out, CPU)
        excess[optimizer] = log(out)[-1]["validated"]["weights"][1]
    assert excess["muon"] < excess["adamw"] - 0.2
    batches = training.batches

    def shuffled(*arguments: Any) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for tokens, targets in batches(*arguments):
            yield tokens, targets.roll(1, 0)

    monkeypatch.setattr(training, "batches", shuffled)
    train(settings, tmp_path / "shuffled", CPU)
    assert log(tmp_path / "shuffled")[-1]["validated"]["weights"][1] > excess["adamw"] + 0.2


def test_muon_sees_attention_as_one_matrix() -> None:
    """All heads at once, [d_model, heads * d_head]: what it changes is what the model computes
    with, and every weight belongs to exactly one optimiser."""
    model = OthelloGPT(TINY)
    training.initialise(model, 1)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizers = Optimizers(model, MUON, "float32")
    muon, adamw = optimizers._all
    assert {tuple(p.shape) for p in muon.param_groups[0]["params"]} == {
        (32, 32),
        (32, 64),
        (64, 32),
    }
    sizes = [p.numel() for o in (adamw, muon) for g in o.param_groups for p in g["params"]]
    assert sum(sizes) == sum(p.numel() for p in model.parameters())
    for name, parameter in model.named_parameters():
        assert parameter.equal(before[name])
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    gradient = model.blocks[0].attn.W_Q.grad.clone()
    optimizers.step(MUON.steps)
    for name, parameter in model.named_parameters():
        assert not parameter.equal(before[name]), name
        assert parameter.grad is None
    # The step is the gradient with all singular values near one, times the rate; then the decay.
    rate, decay = MUON.muon_rate, MUON.weight_decay
    step = before["blocks.0.attn.W_Q"] * (1 - rate * decay) - model.blocks[0].attn.W_Q.detach()
    matrix = step.transpose(0, 1).flatten(1) / (rate * 0.2 * 32**0.5)
    left, _, right = torch.linalg.svd(gradient.transpose(0, 1).flatten(1))
    turned = left.T @ matrix @ right.T
    assert 0.5 < turned.diagonal().min() < turned.diagonal().max() < 1.5
    assert (turned - turned.diagonal().diag()).abs().max() < 0.1


def test_muon_computes_in_the_runs_precision() -> None:
    """Against Newton and Schulz's steps in float64: bfloat16 shows, float32 does not."""
    changes = {}
    for precision in ("float32", "bfloat16"):
        model = OthelloGPT(TINY)
        weight = model.blocks[0].mlp.W_in
        for parameter in model.parameters():
            parameter.grad = torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(3)
            )
        gradient = weight.grad.double()
        Optimizers(model, MUON, precision).step(MUON.steps)
        changes[precision] = -weight.detach().double() / (MUON.muon_rate * 0.2 * 64**0.5)
    x = gradient / gradient.norm()
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    assert (changes["float32"] - x).abs().max() < 1e-5
    assert 1e-4 < (changes["bfloat16"] - x).abs().max() < 0.1


def test_phases_switch_where_they_should() -> None:
    """Prefixes first, then whole games: the same games in order, none left out, none twice."""
    steps = list(training.batches(MUON, 0, CPU, slice(None)))
    assert [tuple(tokens.shape) for tokens, _ in steps] == [(32, 6)] * 4 + [(16, 11)] * 16
    games = torch.cat(list(random_games(384, MUON.seed, board=4, purpose="training"))).long()
    assert torch.cat([tokens[:, :6] for tokens, _ in steps]).equal(games[:, :6])
    assert torch.cat([targets.sum(-1) > 0 for _, targets in steps[4:]])[:, :5].all()
    for first in (3, 4, 7):
        for ours, theirs in zip(
            training.batches(MUON, first, CPU, slice(None)), steps[first:], strict=True
        ):
            assert ours[0].equal(theirs[0])
            assert ours[1].equal(theirs[1])
    assert [MUON.seen(step) for step in (0, 1, 4, 5, 20)] == [0, 32, 128, 144, 384]


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return read_tensors(path)[0]


@pytest.mark.parametrize("stop", [3, 4, 9])
def test_resuming_is_exact_across_a_switch_of_phases(tmp_path: Path, stop: int) -> None:
    """Weights, moments, averages and the exported model, bit for bit; and a prolonged run equals
    an uninterrupted one."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(MUON, whole, CPU, Manner(save_every=100, validate_every=5))
    short = replace(MUON, phases=MUON.phases[:1])
    if stop > 4:
        short = replace(MUON, phases=(MUON.phases[0], Phase(11, 16, (stop - 4) * 16)))

    def interrupt(line: Progress) -> None:
        if line.step == stop + 1:
            raise StopError

    if stop < 4:
        with pytest.raises(StopError):
            train(MUON, parts, CPU, Manner(save_every=stop, log_every=1), report=interrupt)
    else:
        train(short, parts, CPU, Manner(save_every=100))
    train(MUON, parts, CPU, Manner(save_every=100, validate_every=5), resume=True)
    expected, found = (tensors(out / "state.safetensors") for out in (whole, parts))
    assert expected.keys() == found.keys()
    assert {name.split("/")[0] for name in expected} == {
        "model", "optimizer", "average 0.9", "average 0.5",
    }  # fmt: skip
    for name, tensor in expected.items():
        assert tensor.equal(found[name]), name
    for out in (whole, parts):
        last = log(out)[-1]
        best = min(last["validated"], key=lambda name: last["validated"][name][1])
        assert last["exported"] == best
        exported = tensors(out / "model.safetensors")
        prefix = "model" if best == "weights" else best
        assert all(t.equal(expected[f"{prefix}/{name}"]) for name, t in exported.items())


def test_an_average_is_what_it_says(tmp_path: Path) -> None:
    """Against a slow sum over the weights after every step."""
    seen: list[torch.Tensor] = []
    step = training._average

    def remember(averages: Any, shares: Any, model: OthelloGPT, number: int) -> None:
        step(averages, shares, model, number)
        seen.append(weights(model).clone())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_average", remember)
        train(MUON, tmp_path, CPU)
    start = OthelloGPT(TINY)
    training.initialise(start, MUON.seed)
    state = tensors(tmp_path / "state.safetensors")
    for share in MUON.averages:
        expected = weights(start)
        for number, now in enumerate(seen):
            kept = min(share, (1 + number) / (4 + number))
            expected = kept * expected + (1 - kept) * now
        names = [name for name, _ in start.named_parameters()]
        found = torch.cat([state[f"average {share:g}/{name}"].flatten() for name in names])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_a_finish_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    """Its rate falls to nothing, its games are those that come next, and the run goes on as if
    nobody had looked."""
    run, other = tmp_path / "run", tmp_path / "other"
    half = replace(MUON, phases=(MUON.phases[0], Phase(11, 16, 96)))
    train(half, run, CPU)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    settings, folder = begin_finish(run, 64)
    assert folder == run / "finish-224-64"
    train(settings, folder, CPU, Manner(log_every=1), resume=True)
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    lines = [line for line in log(folder) if line["games"] > 224]
    rates = [line["learning_rate"] / MUON.learning_rate for line in lines]
    assert rates == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert [line["games"] for line in lines] == [240, 256, 272, 288]
    assert (
        "taken down to nothing over the last 64"
        in read_metadata(folder / "model.safetensors")["description"]
    )
    train(MUON, run, CPU, resume=True)
    train(MUON, other, CPU)
    ours, theirs = (tensors(out / "state.safetensors") for out in (run, other))
    assert all(tensor.equal(theirs[name]) for name, tensor in ours.items())
    settings, again = begin_finish(run, 70)  # as many as whole steps take
    assert settings.finish == 64
    assert again == run / "finish-384-64"
    with pytest.raises(TrainingError, match="holds this finish already"):
        begin_finish(run, 64)
    with pytest.raises(TrainingError, match="only a run at a constant rate can be finished"):
        begin_finish(folder, 64)


def test_a_start_gives_the_models_logits_at_step_0(tmp_path: Path) -> None:
    """The record names the model and its weights."""
    began = OthelloGPT(TINY, {"description": "a model of old"})
    training.initialise(began, 5)
    began.save(tmp_path / "old.safetensors")
    start = OthelloGPT.load(tmp_path / "old.safetensors")
    words = describe_start(str(tmp_path / "old.safetensors"), start)
    assert words.startswith("old.safetensors (weights ")
    assert words.endswith("): a model of old")
    settings = replace(MUON, start=words, learning_rate=0.0, muon_rate=0.0)
    tokens = next(random_games(4, 1, board=4, purpose="test"))[:, :11].long()
    trained = train(settings, tmp_path / "run", CPU, start=start)
    assert trained.eval()(tokens).equal(began.eval()(tokens))
    record = read_metadata(tmp_path / "run" / "model.safetensors")
    assert words in record["description"]
    assert json.loads(record["settings"])["start"] == words
    other = OthelloGPT(replace(TINY, d_mlp=32))
    with pytest.raises(TrainingError, match="of another shape"):
        train(settings, tmp_path / "other", CPU, start=other)
    assert not (tmp_path / "other").exists()
    with pytest.raises(TrainingError, match=r"was trained with start = old\.safetensors"):
        train(replace(settings, start=""), tmp_path / "run", CPU, resume=True)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ("16:256", "'16:256' is no phase: plies, games a step and games in all"),
        ("16:256:many", "'16:256:many' is no phase"),
        ("", "'' is no phase"),
        ("12:16:32", "a phase has 1 to 11 plies, not 12"),
        ("11:0:32", "'11:0:32' is no phase"),
        ("0:16:32", "'0:16:32' is no phase"),
        ("11:16:-32", "'11:16:-32' is no phase"),
        ("11:64:32", "32 games are less than one batch of 64"),
    ],
)
def test_phases_that_make_no_sense_are_one_sentence(
    phases: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=message):
        train(replace(SETTINGS, phases=parse_phases(phases)), tmp_path / "x", CPU)
    assert not (tmp_path / "x").exists()


def test_only_plies_in_training_are_validated(tmp_path: Path) -> None:
    """Eight games, seven plies of each: the first move is seen, not predicted."""
    models = {"model": OthelloGPT(TINY).eval()}
    seen: list[int] = []

    def count(*arguments: Any, **options: Any) -> Any:
        result = bench.evaluate(*arguments, **options)
        seen.append(result.overall.positions)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "evaluate", count)
        for plies in (7, 11):
            training.validate(models, plies, CPU)
    assert seen[0] == 8 * 7
    assert seen[1] > 8 * 9


def test_a_cut_off_line_of_the_log_and_a_lost_state(tmp_path: Path) -> None:
    """A half-written line does not stand in the way; a model is not overwritten for want of a
    state."""
    train(MUON, tmp_path, CPU)
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 21, "ga')
    longer = replace(MUON, phases=(MUON.phases[0], Phase(11, 16, 272)))
    train(longer, tmp_path, CPU, resume=True)
    assert [line["step"] for line in log(tmp_path)] == [20, 21]
    (tmp_path / "state.safetensors").unlink()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    for resume in (False, True):
        with pytest.raises(TrainingError, match="holds a model already"):
            train(MUON, tmp_path, CPU, resume=resume)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_settings_cannot_be_resumed(tmp_path: Path) -> None:
    train(MUON, tmp_path, CPU)
    before = (tmp_path / "state.safetensors").read_bytes()
    for change, message in (
        ({"optimizer": "adamw"}, "with optimizer = muon, not adamw"),
        ({"averages": (0.9,)}, "with averages = 0.9,0.5, not 0.9"),
        ({"muon_rate": 1.0}, r"with muon_rate = 0\.01, not 1\.0"),
        ({"phases": MUON.phases[:1]}, "with phases = 6:32:128,11:16:256, not 6:32:128"),
        ({"phases": (Phase(6, 32, 128), Phase(11, 16, 128))}, "with phases = "),
        ({"phases": (Phase(6, 32, 160), Phase(11, 16, 256))}, "with phases = "),
        ({"schedule": "cosine"}, "with schedule = constant, not cosine"),
    ):
        with pytest.raises(TrainingError, match=message):
            train(replace(MUON, **change), tmp_path, CPU, resume=True)
    assert (tmp_path / "state.safetensors").read_bytes() == before
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(torch.optim, "Muon")
        with pytest.raises(TrainingError, match="has no Muon"):
            train(MUON, tmp_path / "x", CPU)
    assert not (tmp_path / "x").exists()


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="less than one batch"):
        train(replace(SETTINGS, phases=(Phase(11, 16, 8),)), tmp_path / "x", CPU)
    with pytest.raises(TrainingError, match="targets: sampled or legal"):
        train(replace(SETTINGS, targets="best"), tmp_path / "x", CPU)
    train(replace(SETTINGS, phases=(Phase(11, 16, 32),)), tmp_path, CPU)
    with pytest.raises(TrainingError, match="holds a run already"):
        train(replace(SETTINGS, phases=(Phase(11, 16, 32),)), tmp_path, CPU)
    with pytest.raises(TrainingError, match="with phases = 11:16:32, not 11:16:320"):
        train(SETTINGS, tmp_path, CPU, resume=True)
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(TrainingError, match="no checkpoint of a training run"):
        train(SETTINGS, tmp_path, CPU, resume=True)
