"""Models answer a bench, part by part; what is finished stays, and a killed run goes on.

A part is a safetensors file of one model's answers to CHUNK games of the bench. What it says of
itself (model, games, tau, seed of tau) has to fit, or it is not used: nothing is quietly mixed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from comparison.scoring.bench import Model, Progress, board_of, predict
from comparison.scoring.records import Answers, Columns
from extracted_rules.benches.positions import Bench, ErrorsError, batches, digest
from extracted_rules.files import KeptTensors
from extracted_rules.othello.game import random_games, replay
from handbuilt.network.transformer import OthelloGPT

FORMAT, VERSION = "othello errors", "1"
#: Games of a part: some ten seconds of a CPU's work are lost at most when a run is killed.
CHUNK = 512
#: The random games of the common bench, which nothing else uses.
PURPOSE = "errors"

_DTYPES = {
    "top": torch.uint8,
    "predicted": torch.int64,
    "rank": torch.uint8,
    "margin": torch.float32,
    "over_worst": torch.float32,
    "mass": torch.float32,
}


@dataclass(frozen=True)
class Subject:
    """A model to be asked. ``stem``: how its files' names begin."""

    name: str
    stem: str
    model: nn.Module

    @property
    def trained(self) -> bool:
        """It is neither hand-built nor a baseline."""
        return isinstance(self.model, OthelloGPT) and not self.model.is_handbuilt

    @cached_property
    def identity(self) -> str:
        """Tells it from others: the fingerprint of its weights, or a baseline's name."""
        if isinstance(self.model, OthelloGPT):
            return self.model.fingerprint()
        return type(self.model).__name__


def check_different(subjects: Sequence[Subject]) -> None:
    """Raises ErrorsError for two that are the same model, whose errors are the same ones."""
    seen: dict[str, str] = {}
    for subject in subjects:
        twin = seen.setdefault(subject.identity, subject.name)
        if twin != subject.name:
            raise ErrorsError(f"{twin} and {subject.name} are the same model")
    if len(seen) < len(subjects):
        raise ErrorsError("a model is named twice; every model is compared once")


def random_bench(games: int, seed: int, board: int) -> Bench:
    """The common bench, on the CPU."""
    tokens = torch.cat(list(random_games(games, seed, board=board, purpose=PURPOSE)))
    return Bench.of(tokens, f"random, seed {seed}", board)


def record(
    subject: Subject,
    bench: Bench,
    folder: Path,
    seed: int,
    choose_tau: Callable[[], float],
    progress: Progress = lambda _: None,
) -> Answers:
    """The answers of a model on its device, those in ``folder`` read, the others worked out.

    choose_tau: called only where no part knows; ``seed`` is what it depends on beside the model.
    Raises KeptError for parts of something else and for damaged ones, ErrorsError for parts that
    do not go together, and OSError.
    """
    about = {"format": FORMAT, "version": VERSION, "model": subject.identity, "seed": str(seed)}
    tau: float | None = None
    parts = []
    for first in range(0, len(bench.tokens), CHUNK):
        tokens = bench.tokens[first : first + CHUNK]
        last = first + len(tokens)
        path = folder / f"{subject.stem}-{first:06d}-{last:06d}.safetensors"
        kept = KeptTensors(path, {**about, "games": digest(tokens)})
        if not path.exists():
            tau = choose_tau() if tau is None else tau
            part = _answer(subject.model, tokens, tau, progress)
            tensors = {f.name: torch.from_numpy(getattr(part, f.name)) for f in fields(part)}
            kept.write((tensors, {"tau": repr(tau)}))
        else:
            game = bench.positions.game
            part, its_tau = _read(kept, int(((game >= first) & (game < last)).sum()))
            if tau not in (None, its_tau):
                raise ErrorsError(f"{path} was made with another tau than the part before it")
            tau = its_tau
            progress(len(tokens))
        parts.append(part)
    assert tau is not None  # a bench has games
    return Answers(subject.name, tau, subject.trained, Columns.join(parts))


def device_of(model: Model) -> torch.device:
    """Where its weights are; the CPU for a plain function."""
    if not isinstance(model, nn.Module):
        return torch.device("cpu")
    first = next(chain(model.parameters(), model.buffers()), None)
    return first.device if first is not None else torch.device("cpu")


@torch.inference_mode()
def _answer(model: nn.Module, tokens: Tensor, tau: float, progress: Progress) -> Columns:
    found = []
    for batch in batches([tokens.to(device_of(model))]):
        played = replay(batch, board=board_of(model))
        found.append(Columns.of(predict(model, batch), played, tau))
        progress(len(batch))
    return Columns.join(found)


def _read(kept: KeptTensors, positions: int) -> tuple[Columns, float]:
    tensors, says = kept.read()
    shapes = {name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}
    if shapes != {name: (dtype, (positions,)) for name, dtype in _DTYPES.items()}:
        raise ErrorsError(f"{kept.path} does not hold the answers that it should")
    try:
        tau = float(says["tau"])
    except (KeyError, ValueError):
        raise ErrorsError(f"{kept.path} does not say with which tau it was made") from None
    return Columns(**{name: tensors[name].numpy() for name in _DTYPES}), tau
