"""Training an Othello-GPT the way the paper did: next-move prediction on random legal games.

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
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from comparison.bench import evaluate
from extracted_rules.files import read_tensors, whole_file, write_tensors
from extracted_rules.game import random_games, replay, stream_seed
from extracted_rules.notation import CONTEXT, SQUARE_OF_TOKEN
from handbuilt.transformer import Attention, OthelloGPT, Shape

TARGETS = ("sampled", "legal")
PRECISIONS = ("bfloat16", "float32")
#: Games that are made and, for legal targets, replayed at a time.
BLOCK = 8192
VALIDATION_GAMES = 256
#: Any fixed threshold: validation reports the illegal rate and the excess cross-entropy, not F1.
VALIDATION_TAU = 0.01


class TrainingError(RuntimeError):
    """A run that cannot start, go on or be resumed; the message is one sentence."""


@dataclass(frozen=True)
class Settings:
    """What decides a run's outcome; a resumed run must have the same.

    games: in all. batch: games a step, over all processes. targets: "sampled" is the move played
    (the paper's), "legal" the uniform distribution over legal moves: the same expected loss with
    less variance. Learning rate: linear warm-up, then a cosine to a tenth.
    """

    games: int
    batch: int = 512
    targets: str = "sampled"
    learning_rate: float = 5e-4
    warmup_games: int = 50_000
    weight_decay: float = 0.1
    clip: float = 1.0
    dropout: float = 0.0
    seed: int = 1
    precision: str = "bfloat16"
    shape: Shape = field(default_factory=Shape)

    @property
    def steps(self) -> int:
        return self.games // self.batch

    def rate(self, step: int) -> float:
        """The learning rate of a step (from 0)."""
        seen = (step + 1) * self.batch
        warm = min(1.0, seen / max(self.warmup_games, 1))
        progress = min(1.0, seen / self.games)
        return self.learning_rate * warm * (0.55 + 0.45 * math.cos(math.pi * progress))


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


def _optimizer(model: OthelloGPT, settings: Settings) -> torch.optim.AdamW:
    """AdamW; matrices decay, biases, gains and embeddings do not."""
    decays = [p for n, p in model.named_parameters() if ".W_" in n and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if not (".W_" in n and "embed" not in n)]
    groups = [
        {"params": decays, "weight_decay": settings.weight_decay},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.95), fused=True)


def _blocks(settings: Settings, first_game: int, device: torch.device) -> Iterator[Tensor]:
    """The run's games from number ``first_game`` on, at most BLOCK at a time."""
    games = random_games(
        settings.games, settings.seed, purpose="training", device=device, skip=first_game
    )
    for chunk in games:
        yield from (chunk[i : i + BLOCK] for i in range(0, len(chunk), BLOCK))


def _batches(
    settings: Settings, first_step: int, device: torch.device, share: slice
) -> Iterator[tuple[Tensor, Tensor]]:
    """(tokens int64 [b, 59], targets) of every step: tokens [b, 59] of moves, or legal [b, 59, 61].

    Blocks do not always divide into batches, so a remainder waits for the next block.
    """
    rest: Tensor | None = None
    for block in _blocks(settings, first_step * settings.batch, device):
        games = block if rest is None else torch.cat([rest, block])
        whole = len(games) // settings.batch * settings.batch
        games, rest = games[:whole], games[whole:]
        if settings.targets == "legal":
            legal = nn.functional.pad(replay(games).legal[:, 1 : CONTEXT + 1], (0, 1))
        for start in range(0, whole, settings.batch):
            here = slice(start, start + settings.batch)
            moves = games[here][share].long()
            if settings.targets == "legal":
                yield moves[:, :CONTEXT], legal[here][share][..., SQUARE_OF_TOKEN.to(device)]
            else:
                yield moves[:, :CONTEXT], moves[:, 1:]


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
    finally:
        dist.destroy_process_group()


def _share() -> tuple[int, int]:
    """(rank, world size) of this process; (0, 1) outside torchrun."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def _sum_gradients(parameters: list[Tensor]) -> None:
    """Add every gradient up over processes; the loss is divided by the total count already."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


# ------------------------------------------------------------------ checkpoints


def _save_state(
    path: Path, model: OthelloGPT, optimizer: torch.optim.AdamW, settings: Settings, step: int
) -> None:
    """Weights, optimizer moments and progress in one safetensors file, whole or not at all."""
    names = {id(p): n for n, p in model.named_parameters()}
    tensors = {f"model.{n}": t.contiguous().cpu() for n, t in model.state_dict().items()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for key, value in optimizer.state[parameter].items():
                tensors[f"{key}.{names[id(parameter)]}"] = torch.as_tensor(value).cpu()
    metadata = {"settings": json.dumps(asdict(settings)), "step": str(step)}
    try:
        write_tensors(path, tensors, metadata)
    except OSError as error:
        raise TrainingError(f"cannot write the checkpoint {path}: {error}") from None


def _load_state(
    path: Path, model: OthelloGPT, optimizer: torch.optim.AdamW, settings: Settings
) -> int:
    """Restore a run; gives back the number of steps done. Raises TrainingError."""
    try:
        tensors, metadata = read_tensors(path)
        saved, step = json.loads(metadata["settings"]), int(metadata["step"])
    except (OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{path} is no checkpoint of a training run: {error}") from None
    asked = asdict(settings)
    for key in asked:
        if saved.get(key) != asked[key]:
            raise TrainingError(
                f"{path} was trained with {key} = {saved.get(key)}, not {asked[key]}; "
                "resume with the same settings"
            )
    model.load_state_dict({n: tensors[f"model.{n}"] for n in model.state_dict()})
    for name, parameter in model.named_parameters():
        optimizer.state[parameter] = {
            "step": tensors[f"step.{name}"].to(parameter.device),
            "exp_avg": tensors[f"exp_avg.{name}"].to(parameter.device),
            "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].to(parameter.device),
        }
    return step


# ------------------------------------------------------------------ the run


@dataclass(frozen=True)
class Progress:
    """A line of the log."""

    step: int
    games: int
    loss: float
    learning_rate: float
    games_per_second: float
    validation_illegal: float | None = None
    validation_excess: float | None = None


def _validate(model: OthelloGPT, device: torch.device) -> tuple[float, float]:
    """(top-1 illegal rate, excess cross-entropy) on the fixed validation games."""
    games = random_games(VALIDATION_GAMES, 0, purpose="validation", device=device)
    model.eval()
    overall = evaluate("training", model, games, VALIDATION_TAU, keep_errors=False).overall
    model.train()
    return overall.illegal.value, overall.excess.value


LOG = "log.jsonl"


def read_log(out: Path) -> list[Progress]:
    """The log of the run in a folder. Raises TrainingError for a folder without one."""
    try:
        lines = (out / LOG).read_text(encoding="utf-8").splitlines()
        return [Progress(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{out / LOG} is no log of a training run: {error}") from None


def _keep_log(out: Path, step: int) -> None:
    """Drop the lines of steps that a resumed run will take again."""
    if not (out / LOG).exists():
        return
    kept = [json.dumps(asdict(line)) + "\n" for line in read_log(out) if line.step <= step]
    with whole_file(out / LOG) as partial:
        partial.write_text("".join(kept), encoding="utf-8")


Predict = Callable[[Tensor], Tensor]


def _predictor(model: OthelloGPT, settings: Settings, compiled: bool) -> Predict:
    """The model as it is trained: with dropout, in the run's precision.

    Dropout is where GPT-2 has it: behind the embedding and behind every layer's two halves.
    """
    places = ("hook_pos_embed", "hook_attn_out", "hook_mlp_out")

    def keep(name: str, value: Tensor) -> Tensor:
        drops = settings.dropout > 0 and name.endswith(places)
        return nn.functional.dropout(value, settings.dropout) if drops else value

    def run(tokens: Tensor) -> Tensor:
        return model.run_with_hook(tokens, keep)

    inner = torch.compile(run) if compiled else run

    def predict(tokens: Tensor) -> Tensor:
        half = settings.precision == "bfloat16"
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=half):
            return inner(tokens)

    return predict


def _step(
    predict: Predict,
    optimizer: torch.optim.AdamW,
    settings: Settings,
    step: int,
    tokens: Tensor,
    targets: Tensor,
) -> Tensor:
    """One update; gives back the mean cross-entropy over all processes' positions."""
    for group in optimizer.param_groups:
        group["lr"] = settings.rate(step)
    # Dropout draws depend on the step alone, so that a resumed run draws the same.
    torch.manual_seed(stream_seed("dropout", settings.seed, step))
    total, count = _loss(predict(tokens), targets)
    several = _share()[1] > 1
    sums = torch.stack([total.detach(), count.to(total.dtype)])
    if several:
        dist.all_reduce(sums)
    optimizer.zero_grad(set_to_none=True)
    (total / sums[1]).backward()  # type: ignore[no-untyped-call]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if several:
        _sum_gradients(parameters)
    nn.utils.clip_grad_norm_(parameters, settings.clip)
    optimizer.step()
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


def _card(settings: Settings) -> dict[str, str]:
    """What a trained model's file says of itself."""
    return {
        "recipe": "trained",
        "description": f"trained on {settings.steps * settings.batch:,} random games, "
        f"{settings.targets} targets",
        "settings": json.dumps(asdict(settings)),
    }


def train(
    settings: Settings,
    out: Path,
    device: torch.device,
    *,
    resume: bool = False,
    compiled: bool = False,
    save_every: int = 500,
    log_every: int = 50,
    report: Callable[[Progress], None] = lambda _: None,
) -> OthelloGPT:
    """Train a model; leaves ``model.safetensors``, ``state.safetensors`` and ``log.jsonl`` in out.

    ``state.safetensors`` is what ``resume`` continues from. ``compiled`` goes through
    torch.compile. Raises TrainingError, and OSError for a log that cannot be written.
    """
    rank, world = _share()
    if settings.batch % world:
        raise TrainingError(
            f"a batch of {settings.batch} games does not divide over {world} processes"
        )
    if settings.precision not in PRECISIONS:
        raise TrainingError(f"precision is {' or '.join(PRECISIONS)}, not {settings.precision!r}")
    if settings.targets not in TARGETS:
        raise TrainingError(f"targets are {' or '.join(TARGETS)}, not {settings.targets!r}")
    if settings.steps < 1:
        raise TrainingError(f"{settings.games} games are less than one batch of {settings.batch}")
    state = out / "state.safetensors"
    if state.exists() and not resume:
        raise TrainingError(f"{out} holds a run already; resume it or choose another folder")
    model = OthelloGPT(settings.shape)
    initialise(model, settings.seed)
    model.to(device).train()
    _fuse_attention(model, True)
    optimizer = _optimizer(model, settings)
    first = _load_state(state, model, optimizer, settings) if resume and state.exists() else 0
    if rank == 0:
        out.mkdir(parents=True, exist_ok=True)
        _keep_log(out, first)
    predict = _predictor(model, settings, compiled)
    share = slice(rank, None, world)
    since, games_since = time.perf_counter(), 0
    for step, (tokens, targets) in enumerate(_batches(settings, first, device, share), start=first):
        try:
            loss = _step(predict, optimizer, settings, step, tokens, targets)
        except torch.OutOfMemoryError:
            fits = world * _that_fits(predict, tokens, targets)
            raise TrainingError(
                f"a batch of {settings.batch} games does not fit in the memory of {device}; "
                + (f"{fits} would" if fits else "not even a single game would")
            ) from None
        games_since += settings.batch
        done = step + 1
        last = done == settings.steps
        if rank == 0 and (done % log_every == 0 or last):
            line = Progress(
                step=done,
                games=done * settings.batch,
                loss=float(loss),
                learning_rate=settings.rate(step),
                games_per_second=games_since / (time.perf_counter() - since),
            )
            if done % save_every == 0 or last:
                illegal, excess = _validate(model, device)
                line = replace(line, validation_illegal=illegal, validation_excess=excess)
            with (out / LOG).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(line)) + "\n")
            report(line)
            since, games_since = time.perf_counter(), 0
        if rank == 0 and (done % save_every == 0 or last):
            _save_state(state, model, optimizer, settings, done)
        if last:
            break
    _fuse_attention(model.eval(), False)
    if rank == 0:
        model.metadata = _card(settings)
        model.save(out / "model.safetensors")
    return model
