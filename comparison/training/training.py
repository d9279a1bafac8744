"""Training an Othello-GPT: next-move prediction on random legal games.

Games are made on the training device as it goes and never seen twice; the purpose "training" keeps
them apart from every bench. A run can be killed anywhere: ``resume`` continues from the last
checkpoint to the same weights that an uninterrupted run on the same device reaches. Under
``torchrun`` every process takes its share of each batch, so the total batch stays the same:
``torchrun --nproc-per-node 4 -m comparison train ...``.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from comparison.scoring.bench import evaluate
from comparison.training.optimizers import Optimizers, choose_precision
from comparison.training.settings import Settings, TrainingError, shown
from comparison.training.states import (
    LOG,
    MODEL,
    STATE,
    WEIGHTS,
    Progress,
    State,
    append_to_log,
    finish_folder,
    read_log,
    read_state,
    with_prefix,
    write_log,
    write_state,
)
from extracted_rules.othello.game import random_games, replay, stream_seed
from extracted_rules.othello.notation import NO_MOVE, SQUARE_OF_TOKEN
from handbuilt.network.transformer import Attention, OthelloGPT

#: Games that are made and, for legal targets, replayed at a time.
BLOCK = 8192
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


def describe_start(name: str, model: OthelloGPT) -> str:
    """What a run says of the model that it began from: its name, its weights' digest, its words."""
    digest = sha256()
    for tensor in model.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    words = model.metadata.get("description", "which says nothing of itself")
    return f"{Path(name).name} (weights {digest.hexdigest()[:12]}): {words}"


# ------------------------------------------------------------------ games


def _batches(
    settings: Settings, first_step: int, device: torch.device, share: slice
) -> Iterator[tuple[Tensor, Tensor]]:
    """(tokens int64 [b, T], targets) of every step: tokens [b, T] of moves, or legal [b, T, 61].

    T is the plies of the step's phase, b this process's share of its batch.
    """
    games = random_games(
        settings.games,
        settings.seed,
        purpose="training",
        device=device,
        skip=settings.seen(first_step),
    )
    blocks = (chunk[i : i + BLOCK] for chunk in games for i in range(0, len(chunk), BLOCK))
    waiting = torch.empty(0, 60, dtype=torch.uint8, device=device)
    legal = torch.empty(0, 60, 61, dtype=torch.bool, device=device)
    done = 0
    for phase in settings.phases:
        for _ in range(phase.steps):
            done += 1
            if done <= first_step:
                continue
            while len(waiting) < phase.batch:
                block = next(blocks)
                waiting = torch.cat([waiting, block])
                if settings.targets == "legal":
                    found = nn.functional.pad(replay(block).legal[:, 1:], (0, 1))
                    legal = torch.cat([legal, found[..., SQUARE_OF_TOKEN.to(device)]])
            moves = waiting[: phase.batch][share].long()
            tokens, targets = moves[:, : phase.plies], moves[:, 1 : phase.plies + 1]
            if settings.targets == "legal":
                targets = legal[: phase.batch][share][:, : phase.plies]
                legal = legal[phase.batch :]
            waiting = waiting[phase.batch :]
            yield tokens, targets


def _loss(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(sum of cross-entropies, number of positions) over positions with something to predict.

    targets: int64 [b, T] moves, 0 for none, or bool [b, T, 61] legal moves.
    """
    log_p = logits.float().log_softmax(-1)
    if targets.dim() == 2:
        there = targets != 0
        picked = log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        return -(picked * there).sum(), there.sum()
    number = targets.sum(-1)
    mean = (log_p * targets).sum(-1) / number.clamp(min=1)
    return -mean.sum(), (number > 0).sum()


# ------------------------------------------------------------------ processes


def _fuse_attention(model: OthelloGPT, fused: bool) -> None:
    for module in model.modules():
        if isinstance(module, Attention):
            module.fused = fused


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Under ``torchrun``, join the other processes; gives the device that is this one's."""
    if "LOCAL_RANK" not in os.environ:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
        # Who leaves while another still talks to it may be aborted.
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _share() -> tuple[int, int]:
    """(rank, world size) of this process; (0, 1) outside torchrun."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def _precision(asked: str, device: torch.device, say: Callable[[str], None]) -> str:
    """What is computed in: for "auto" what the first process finds faster."""
    rank, world = _share()
    if asked != "auto":
        return asked
    chosen = [""]
    if rank == 0:
        chosen[0], words = choose_precision(device)
        say(words)
    if world > 1:
        dist.broadcast_object_list(chosen)
    return chosen[0]


def _sum_gradients(parameters: list[nn.Parameter]) -> None:
    """Add every gradient up over processes; the loss is divided by the total count already."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


# ------------------------------------------------------------------ a step

Predict = Callable[[Tensor], Tensor]


def _predictor(model: OthelloGPT, dropout: float, precision: str, compiled: bool) -> Predict:
    """The model as it is trained: with dropout, in the run's precision.

    Dropout is where GPT-2 has it: behind the embedding and behind every layer's two halves.
    """
    places = ("hook_pos_embed", "hook_attn_out", "hook_mlp_out")

    def keep(name: str, value: Tensor) -> Tensor:
        drops = dropout > 0 and name.endswith(places)
        return nn.functional.dropout(value, dropout) if drops else value

    def run(tokens: Tensor) -> Tensor:
        return model.run_with_hook(tokens, keep)

    # Not dynamic: a resumed run, which begins with a later phase, is to have the same kernels.
    inner = torch.compile(run, dynamic=False) if compiled else run

    def predict(tokens: Tensor) -> Tensor:
        half = precision == "bfloat16"
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=half):
            return inner(tokens)

    return predict


def _step(
    predict: Predict,
    optimizers: Optimizers,
    seed: int,
    step: int,
    tokens: Tensor,
    targets: Tensor,
) -> Tensor:
    """One update; gives back the mean cross-entropy over all processes' positions."""
    # Dropout draws depend on the step alone, so that a resumed run draws the same.
    torch.manual_seed(stream_seed("dropout", seed, step))
    total, count = _loss(predict(tokens), targets)
    several = _share()[1] > 1
    sums = torch.stack([total.detach(), count.to(total.dtype)])
    if several:
        dist.all_reduce(sums)
    (total / sums[1]).backward()  # type: ignore[no-untyped-call]
    if several:
        _sum_gradients(optimizers.parameters)
    optimizers.step(step)
    return sums[0] / sums[1]


def _that_fits(predict: Predict, tokens: Tensor, targets: Tensor) -> int:
    """How many games of a batch that was too large the device can take in one step; 0 if none."""
    games = len(tokens)
    while games > 1:
        games //= 2
        try:
            loss, _ = _loss(predict(tokens[:games]), targets[:games])
            loss.backward()  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError:
            continue
        return games
    return 0


@torch.no_grad()
def _average(averages: dict[str, OthelloGPT], shares: tuple[float, ...], model: OthelloGPT,
             step: int) -> None:  # fmt: skip
    """Let every average follow the weights that a step (from 0) has led to."""
    for average, share in zip(averages.values(), shares, strict=True):
        kept = min(share, (1 + step) / (AVERAGE_LAG + step))
        for theirs, ours in zip(average.parameters(), model.parameters(), strict=True):
            theirs.lerp_(ours, 1 - kept)


# ------------------------------------------------------------------ the run


def _validate(
    models: dict[str, OthelloGPT], plies: int, device: torch.device
) -> dict[str, tuple[float, float]]:
    """(top-1 illegal rate, excess cross-entropy) of each model at the first ``plies`` positions of
    the fixed validation games: those that are in training."""
    games = list(random_games(VALIDATION_GAMES, 0, purpose="validation", device=device))
    for tokens in games:
        tokens[:, plies:] = NO_MOVE
    found = {}
    for name, model in models.items():
        overall = evaluate("training", model, games, VALIDATION_TAU, keep_errors=False).overall
        found[name] = (overall.illegal.value, overall.excess.value)
    return found


def _metadata(settings: Settings, step: int, exported: str) -> dict[str, str]:
    """What a model's file says of itself after so many steps."""
    words = f"trained on {settings.seen(step):,} random games, {settings.targets} targets"
    if settings.finish and step == settings.steps:
        words += f", the rate taken down to nothing over the last {settings.finish:,}"
    if exported != WEIGHTS:
        words += f"; the {exported} of its weights"
    if settings.start:
        words += f"; begun from {settings.start}"
    return {
        "recipe": "trained",
        "description": words,
        "settings": json.dumps(asdict(settings)),
        "step": str(step),
    }


def train(
    settings: Settings,
    out: Path,
    device: torch.device,
    *,
    start: OthelloGPT | None = None,
    resume: bool = False,
    compiled: bool = False,
    save_every: int = 500,
    validate_every: int | None = None,
    log_every: int = 50,
    report: Callable[[Progress], None] = lambda _: None,
    say: Callable[[str], None] = lambda _: None,
) -> OthelloGPT:
    """Train a model; leaves ``model.safetensors``, ``state.safetensors`` and ``log.jsonl`` in out.

    ``state.safetensors`` is what ``resume`` continues from. The model is, of the weights and their
    averages, the one with the least excess cross-entropy on the validation games; it is written
    anew with every validation, every ``validate_every`` steps (``save_every`` where not given) and
    at the end. ``start``: weights to begin from, where nothing is resumed. ``compiled`` goes
    through torch.compile. ``say`` hears what was decided on the way. Raises TrainingError, and
    OSError for a log that cannot be written.
    """
    rank, world = _share()
    settings.check(world)
    saved = read_state(out) if resume and (out / STATE).exists() else None
    if saved:
        check_continues(settings, saved.settings, out)
    elif (out / STATE).exists():
        raise TrainingError(f"{out} holds a run already; resume it or choose another folder")
    elif (out / MODEL).exists():
        raise TrainingError(f"{out} holds a model already; choose another folder")
    model = OthelloGPT(settings.shape)
    initialise(model, settings.seed)
    if start and start.shape != settings.shape:
        raise TrainingError(f"a model of another shape cannot be begun from: {start.shape}")
    if start:
        model.load_state_dict(start.state_dict())
    precision = _precision(settings.precision, device, say)
    model.to(device)
    averages = {f"average {share:g}": OthelloGPT(settings.shape).to(device).eval()
                for share in settings.averages}  # fmt: skip
    optimizers = Optimizers(model, settings, precision)
    first = saved.step if saved else 0
    try:
        if saved:
            model.load_state_dict(saved.part("model"))
            optimizers.load_state(saved.part("optimizer"))
        for name, average in averages.items():
            average.load_state_dict(saved.part(name) if saved else model.state_dict())
    except (KeyError, RuntimeError, ValueError) as error:
        why = str(error).split("\n", 1)[0]
        raise TrainingError(f"{out / STATE} is no checkpoint of a training run: {why}") from None
    del saved
    if rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        if (out / LOG).exists():  # a resumed run takes some steps again
            write_log(out, [line for line in read_log(out) if line.step <= first])
    candidates = {WEIGHTS: model} | averages
    model.train()
    # Over 59 positions a CPU takes thrice as long to go back through the fused form.
    _fuse_attention(model, device.type == "cuda")
    predict = _predictor(model, settings.dropout, precision, compiled)
    share = slice(rank, None, world)
    since, games_since = time.perf_counter(), 0
    for step, (tokens, targets) in enumerate(_batches(settings, first, device, share), start=first):
        try:
            loss = _step(predict, optimizers, settings.seed, step, tokens, targets)
        except torch.OutOfMemoryError:
            fits = world * _that_fits(predict, tokens, targets)
            raise TrainingError(
                f"a batch of {world * len(tokens)} games does not fit in the memory of {device}; "
                + (f"{fits} would" if fits else "not even a single game would")
            ) from None
        _average(averages, settings.averages, model, step)
        games_since += world * len(tokens)
        done = step + 1
        last = done == settings.steps
        saves, validates = (
            last or done % n == 0 for n in (save_every, validate_every or save_every)
        )
        line = None
        if rank == 0 and (last or done % log_every == 0 or validates):
            line = Progress(
                step=done,
                games=settings.seen(done),
                plies=tokens.shape[1],
                loss=float(loss),
                learning_rate=settings.rate(step) * settings.learning_rate,
                games_per_second=games_since / (time.perf_counter() - since),
                precision=precision,
                threads=torch.get_num_threads(),
            )
            if validates:
                model.eval()
                found = _validate(candidates, line.plies, device)
                model.train()
                best = min(found, key=lambda name: found[name][1])
                line = replace(line, validated=found, exported=best)
        if rank == 0 and saves:
            tensors = with_prefix("model", model.state_dict())
            tensors |= with_prefix("optimizer", optimizers.state())
            for name, average in averages.items():
                tensors |= with_prefix(name, average.state_dict())
            write_state(out, State(settings, done, tensors))
        if line:  # what it tells comes last: whatever happens there, the state is safe
            if line.exported:
                exported = candidates[line.exported]
                exported.metadata = _metadata(settings, done, line.exported)
                exported.save(out / MODEL)
            append_to_log(out, line)
            report(line)
            since, games_since = time.perf_counter(), 0
    _fuse_attention(model.eval(), False)
    return model


def check_continues(settings: Settings, saved: Settings, out: Path) -> None:
    """Raise TrainingError if the run in a folder, with the settings ``saved``, has others."""
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
    rank, world = _share()
    state = read_state(out, weights=rank == 0)
    settings = state.settings.finishing(state.step, games)
    folder = out / finish_folder(settings.games - settings.finish, settings.finish)
    if rank == 0:
        log = [line for line in read_log(out) if line.step <= state.step]
        if (folder / STATE).exists():
            raise TrainingError(f"{folder} holds this finish already; resume it there")
        folder.mkdir(exist_ok=True)
        write_log(folder, log)
        write_state(folder, replace(state, settings=settings))
    if world > 1:
        dist.barrier()
    return settings, folder
