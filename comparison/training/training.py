"""Training an Othello-GPT: next-move prediction on random legal games.

Games are made on the training device as it goes and never seen twice; the purpose "training" keeps
them apart from every bench. A run can be killed anywhere: ``resume`` continues from the last
checkpoint to the same weights that an uninterrupted run on the same device reaches. Under
``torchrun`` every process takes its share of each batch, so the total batch stays the same:
``torchrun --nproc-per-node 4 -m comparison train ...``.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from comparison.scoring.bench import evaluate
from comparison.training.batches import batches, loss_sum
from comparison.training.optimizers import Optimizers
from comparison.training.processes import agreed_precision, share, sum_gradients
from comparison.training.settings import Manner, Settings, TrainingError, shown
from comparison.training.states import (
    LOG,
    MODEL,
    STATE,
    WEIGHTS,
    Progress,
    State,
    append_to_log,
    finish_folder,
    metadata,
    read_log,
    read_state,
    with_prefix,
    write_log,
    write_state,
)
from extracted_rules.othello.game import random_games, stream_seed
from extracted_rules.othello.geometry import NO_MOVE
from handbuilt.network.transformer import Attention, OthelloGPT

#: Where nothing is said of how a run is to be run.
USUAL = Manner()
VALIDATION_GAMES = 256
#: Any fixed threshold: validation reports the illegal rate and the excess cross-entropy, not F1.
VALIDATION_TAU = 0.01
#: An average that keeps d of itself a step reaches back 1 / (1 - d) steps. While the run is short
#: against that, it keeps (1 + step) / (AVERAGE_LAG + step), which reaches back a third of the run.
AVERAGE_LAG = 4


def initialise(model: OthelloGPT, seed: int) -> None:
    """GPT-2's initialisation: deviation 0.02, smaller where layers add up; zero biases."""
    generator = torch.Generator().manual_seed(seed)
    shrink = 1 / math.sqrt(2 * model.shape.n_layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            kind = name.rsplit(".", 1)[-1]
            if kind.startswith("W_"):
                deviation = 0.02 * (shrink if kind in ("W_O", "W_out") else 1.0)
                parameter.copy_(deviation * torch.randn(parameter.shape, generator=generator))


# ------------------------------------------------------------------ a step

Predict = Callable[[Tensor], Tensor]


def _fuse_attention(model: OthelloGPT, fused: bool) -> None:
    for module in model.modules():
        if isinstance(module, Attention):
            module.fused = fused


def _predictor(model: OthelloGPT, dropout: float, precision: str, compiled: bool) -> Predict:
    """The model as it is trained: with dropout, in the run's precision.

    Dropout is where GPT-2 has it: behind the embedding and behind every layer's two halves.
    """
    places = ("hook_pos_embed", "hook_attn_out", "hook_mlp_out")

    def drop(value: Tensor, hook: object) -> Tensor:
        return nn.functional.dropout(value, dropout)

    def run(tokens: Tensor) -> Tensor:
        hooks = [(lambda name: name.endswith(places), drop)] if dropout > 0 else []
        return model.run_with_hooks(tokens, hooks)

    # Not dynamic: a resumed run, which begins with a later phase, is to have the same kernels.
    inner = torch.compile(run, dynamic=False) if compiled else run

    def predict(tokens: Tensor) -> Tensor:
        half = precision == "bfloat16"
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=half):
            return inner(tokens)

    return predict


def _step(
    predict: Predict, optimizers: Optimizers, seed: int, step: int, tokens: Tensor, targets: Tensor
) -> Tensor:
    """One update; gives back the mean cross-entropy over all processes' positions."""
    # Dropout draws depend on the step alone, so that a resumed run draws the same.
    torch.manual_seed(stream_seed("dropout", seed, step))
    total, count = loss_sum(predict(tokens), targets)
    several = share()[1] > 1
    sums = torch.stack([total.detach(), count.to(total.dtype)])
    if several:
        dist.all_reduce(sums)
    (total / sums[1]).backward()  # type: ignore[no-untyped-call]
    if several:
        sum_gradients(optimizers.parameters)
    optimizers.step(step)
    return sums[0] / sums[1]


def _that_fits(predict: Predict, tokens: Tensor, targets: Tensor) -> int:
    """How many games of a batch that was too large the device can take in one step; 0 if none."""
    games = len(tokens)
    while games > 1:
        games //= 2
        try:
            loss, _ = loss_sum(predict(tokens[:games]), targets[:games])
            loss.backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError:
            continue
        return games
    return 0


@torch.no_grad()
def _average(averages: dict[str, OthelloGPT], shares: tuple[float, ...], model: OthelloGPT,
             step: int) -> None:  # fmt: skip
    """Let every average follow the weights that a step (from 0) has led to."""
    for average, most in zip(averages.values(), shares, strict=True):
        kept = min(most, (1 + step) / (AVERAGE_LAG + step))
        for theirs, ours in zip(average.parameters(), model.parameters(), strict=True):
            theirs.lerp_(ours, 1 - kept)


# ------------------------------------------------------------------ the run


def validate(
    models: dict[str, OthelloGPT], plies: int, device: torch.device
) -> dict[str, tuple[float, float]]:
    """(top-1 illegal rate, excess cross-entropy) of each model at the first ``plies`` positions of
    the fixed validation games: those that are in training."""
    board = next(iter(models.values())).geometry.size
    games = list(
        random_games(VALIDATION_GAMES, 0, purpose="validation", board=board, device=device)
    )
    for tokens in games:
        tokens[:, plies:] = NO_MOVE
    found = {}
    for name, model in models.items():
        overall = evaluate("training", model, games, VALIDATION_TAU, keep_errors=False).overall
        found[name] = (overall.illegal.value, overall.excess.value)
    return found


class _Learner:
    """What a step changes: the model, averages of its weights, and the optimizers' moments."""

    def __init__(
        self, settings: Settings, device: torch.device, precision: str, start: OthelloGPT | None
    ) -> None:
        """Raises TrainingError for a start of another shape, or a torch without the optimizer."""
        self.settings, self.precision, self.device = settings, precision, device
        self.model = OthelloGPT(settings.shape)
        initialise(self.model, settings.seed)
        if start and start.shape != settings.shape:
            raise TrainingError(f"a model of another shape cannot be begun from: {start.shape}")
        if start:
            self.model.load_state_dict(start.state_dict())
        self.model.to(device)
        self.averages = {
            f"average {kept:g}": OthelloGPT(settings.shape).to(device).eval()
            for kept in settings.averages
        }
        self.optimizers = Optimizers(self.model, settings, precision)
        for average in self.averages.values():
            average.load_state_dict(self.model.state_dict())

    def restore(self, saved: State, out: Path) -> None:
        """As it was when the state was saved. Raises TrainingError for the state of another run."""
        try:
            self.model.load_state_dict(saved.part("model"))
            self.optimizers.load_state(saved.part("optimizer"))
            for name, average in self.averages.items():
                average.load_state_dict(saved.part(name))
        except (KeyError, RuntimeError, ValueError) as error:
            why = str(error).split("\n", 1)[0]
            raise TrainingError(
                f"{out / STATE} is no checkpoint of a training run: {why}"
            ) from None

    def state(self, step: int) -> State:
        """What :meth:`restore` takes, after so many steps."""
        tensors = with_prefix("model", self.model.state_dict())
        tensors |= with_prefix("optimizer", self.optimizers.state())
        for name, average in self.averages.items():
            tensors |= with_prefix(name, average.state_dict())
        return State(self.settings, step, tensors)

    def learn(self, predict: Predict, step: int, tokens: Tensor, targets: Tensor) -> Tensor:
        """Take a step (from 0); gives back the loss. Raises TrainingError where memory is full."""
        world = share()[1]
        try:
            loss = _step(predict, self.optimizers, self.settings.seed, step, tokens, targets)
        except torch.OutOfMemoryError:
            fits = world * _that_fits(predict, tokens, targets)
            raise TrainingError(
                f"a batch of {world * len(tokens)} games does not fit in the memory of "
                f"{self.device}; " + (f"{fits} would" if fits else "not even a single game would")
            ) from None
        _average(self.averages, self.settings.averages, self.model, step)
        return loss

    def progress(self, done: int, plies: int, loss: Tensor, games_per_second: float) -> Progress:
        """What the log says after so many steps."""
        return Progress(
            step=done,
            games=self.settings.seen(done),
            plies=plies,
            loss=float(loss),
            learning_rate=self.settings.rate(done - 1) * self.settings.learning_rate,
            games_per_second=games_per_second,
            precision=self.precision,
            threads=torch.get_num_threads(),
        )

    def validated(self, line: Progress) -> Progress:
        """The line with what validation finds; the best of the weights and averages is exported."""
        self.model.eval()
        found = validate({WEIGHTS: self.model} | self.averages, line.plies, self.device)
        self.model.train()
        return replace(line, validated=found, exported=min(found, key=lambda name: found[name][1]))

    def export(self, line: Progress, out: Path) -> None:
        """Write the folder's model, where the line says which it is. Raises OSError."""
        if line.exported:
            exported = ({WEIGHTS: self.model} | self.averages)[line.exported]
            exported.metadata = metadata(self.settings, line.step, line.exported)
            exported.save(out / MODEL)


Report = Callable[[Progress], None]


def train(
    settings: Settings,
    out: Path,
    device: torch.device,
    manner: Manner = USUAL,
    *,
    start: OthelloGPT | None = None,
    resume: bool = False,
    report: Report = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> OthelloGPT:
    """Train a model; leaves ``model.safetensors``, ``state.safetensors`` and ``log.jsonl`` in out.

    ``state.safetensors`` is what ``resume`` continues from. The model is, of the weights and their
    averages, the one with the least excess cross-entropy on the validation games; it is written
    anew with every validation and at the end. ``start``: weights to begin from, where nothing is
    resumed. ``say`` hears what was decided on the way. Raises TrainingError, and OSError for a log
    that cannot be written.
    """
    rank, world = share()
    settings.check(world)
    saved = _saved(settings, out, resume)
    precision = agreed_precision(settings.precision, device, say)
    learner = _Learner(settings, device, precision, start)
    first = saved.step if saved else 0
    if saved:
        learner.restore(saved, out)
    del saved
    if rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        if (out / LOG).exists():  # a resumed run takes some steps again
            write_log(out / LOG, [line for line in read_log(out) if line.step <= first])
    model = learner.model.train()
    # Over a whole game a CPU takes thrice as long to go back through the fused form.
    _fuse_attention(model, device.type == "cuda")
    compiled = device.type == "cuda" if manner.compiled is None else manner.compiled
    predict = _predictor(model, settings.dropout, precision, compiled)
    steps = enumerate(batches(settings, first, device, slice(rank, None, world)), start=first + 1)
    _run(learner, predict, steps, out, manner, report)
    _fuse_attention(model.eval(), False)
    return model


def _saved(settings: Settings, out: Path, resume: bool) -> State | None:
    """What is gone on from, if anything is. Raises TrainingError for a folder that is in use."""
    if (out / STATE).exists():
        if not resume:
            raise TrainingError(f"{out} holds a run already; resume it or choose another folder")
        saved = read_state(out)
        check_continues(settings, saved.settings, out)
        return saved
    if (out / MODEL).exists():
        raise TrainingError(f"{out} holds a model already; choose another folder")
    return None


def _run(
    learner: _Learner,
    predict: Predict,
    steps: Iterable[tuple[int, tuple[Tensor, Tensor]]],
    out: Path,
    manner: Manner,
    report: Report,
) -> None:
    """Learn from the batches; the first process saves, validates and tells of it."""
    rank, world = share()
    since, games_since = time.perf_counter(), 0
    for done, (tokens, targets) in steps:
        loss = learner.learn(predict, done - 1, tokens, targets)
        games_since += world * len(tokens)
        if rank:
            continue
        last = done == learner.settings.steps
        saves, validates, logs = (
            last or done % every == 0
            for every in (
                manner.save_every, manner.validate_every or manner.save_every, manner.log_every
            )
        )  # fmt: skip
        line = None
        if validates or logs:
            rate = games_since / (time.perf_counter() - since)
            line = learner.progress(done, tokens.shape[1], loss, rate)
            line = learner.validated(line) if validates else line
        if saves:
            write_state(out, learner.state(done))
        if line:  # what it tells comes last: whatever happens there, the state is safe
            learner.export(line, out)
            append_to_log(out, line)
            report(line)
            since, games_since = time.perf_counter(), 0


def check_continues(settings: Settings, saved: Settings, out: Path) -> None:
    """Raise TrainingError if the run in a folder, with the settings ``saved``, has others."""
    if settings.shape.d_vocab != saved.shape.d_vocab:
        raise TrainingError(
            f"{out / STATE} is of a run on a board of {saved.shape.geometry}, not of "
            f"{settings.shape.geometry}"
        )
    if name := settings.continues(saved):
        raise TrainingError(
            f"{out / STATE} was trained with {name} = {shown(vars(saved)[name])}, not "
            f"{shown(vars(settings)[name])}; resume with the same settings"
        )


def begin_finish(out: Path, games: int) -> tuple[Settings, Path]:
    """Prepare a finish of a run at a constant rate: over ``games`` more, its rate falls to nothing.

    Gives the finish's settings and its folder, inside the run's, whose state and log it begins
    with; ``train`` resumes it. The run stays as it was and may go on. Under torchrun, all processes
    call this. Raises TrainingError, and OSError for a folder that cannot be made.
    """
    rank, world = share()
    state = read_state(out, weights=rank == 0)
    settings = state.settings.finishing(state.step, games)
    folder = out / finish_folder(settings.games - settings.finish, settings.finish)
    if rank == 0:
        log = [line for line in read_log(out) if line.step <= state.step]
        if (folder / STATE).exists():
            raise TrainingError(f"{folder} holds this finish already; resume it there")
        folder.mkdir(exist_ok=True)
        write_log(folder / LOG, log)
        write_state(folder, replace(state, settings=settings))
    if world > 1:
        dist.barrier()
    return settings, folder
