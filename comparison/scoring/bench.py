"""Run a model over games and measure it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from comparison.reading.boards import BoardAccuracy
from comparison.scoring.error_sets import ErrorSet
from comparison.scoring.measures import (
    Measures,
    Scores,
    ThresholdChooser,
    add_scores,
    score,
    strata,
)
from extracted_rules.errors import UserError
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.notation import CONTEXT

#: Games of a forward pass; activations of 32 games of Othello-GPT fit a CPU's cache hierarchy.
FORWARD_GAMES = 32
#: Games that are replayed and scored at a time: enough to make the engine's overhead small.
BATCH = 256
#: tau is chosen on this many games of the purpose "threshold", disjoint from every bench.
THRESHOLD_GAMES = 1000

Progress = Callable[[int], None]
#: Starts a bar of a name and a length, and gives back what advances it.
Bars = Callable[[str, int], Progress]
#: Tokens int64 [B, T] to logits [B, T, 61]: any module, or plain function.
Model = Callable[[Tensor], Tensor]


def no_bars(name: str, total: int) -> Progress:
    """For whoever shows no progress."""
    return lambda done: None


class MissingDeviceError(UserError):
    """The device asked for is not on this machine; the message is one sentence."""


def resolve_device(name: str) -> torch.device:
    """``"auto"`` is CUDA where there is one, else the CPU. Raises MissingDeviceError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise MissingDeviceError(f"{name!r} is no device; try auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise MissingDeviceError(f"models run on cpu or cuda, not on {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MissingDeviceError(f"{name!r} was asked for, but this machine offers no such device")
    return device


@dataclass
class Result:
    """A model's figures on one bench. ``strata[group][name]`` are its measures."""

    model: str
    tau: float
    games: int = 0
    source: str = "random"
    strata: dict[str, dict[str, Measures]] = field(default_factory=dict)
    errors: ErrorSet = field(default_factory=ErrorSet)
    boards: BoardAccuracy | None = None

    @property
    def overall(self) -> Measures:
        return self.strata["all"]["all"]

    def as_dict(self) -> dict[str, object]:
        return {
            "model": self.model,
            "tau": self.tau,
            "games": self.games,
            "source": self.source,
            "boards": self.boards.as_dict() if self.boards else None,
            "strata": {
                group: {name: measures.as_dict() for name, measures in members.items()}
                for group, members in self.strata.items()
            },
        }


def batches(games: Iterable[Tensor]) -> Iterator[Tensor]:
    """The same games, at most BATCH at a time."""
    for chunk in games:
        for start in range(0, len(chunk), BATCH):
            yield chunk[start : start + BATCH]


def _predict(model: Model, tokens: Tensor) -> Tensor:
    moves = tokens[:, :CONTEXT].long()
    parts = [
        model(moves[start : start + FORWARD_GAMES]) for start in range(0, len(moves), FORWARD_GAMES)
    ]
    return torch.cat(parts)


@torch.inference_mode()
def choose_threshold(
    model: Model,
    seed: int,
    device: torch.device,
    games: int = THRESHOLD_GAMES,
    progress: Progress = lambda _: None,
) -> float:
    """The probability above which a move counts as predicted legal: best F1 on separate games."""
    chooser = ThresholdChooser()
    for tokens in batches(random_games(games, seed, purpose="threshold", device=device)):
        chooser.add(_predict(model, tokens), replay(tokens))
        progress(len(tokens))
    return chooser.best()


@torch.inference_mode()
def evaluate(
    name: str,
    model: Model,
    games: Iterable[Tensor],
    tau: float,
    source: str = "random",
    progress: Progress = lambda _: None,
    *,
    keep_errors: bool = True,
) -> Result:
    """Measure a model on games (uint8 [B, 60] batches on the model's device) in one pass.

    Without ``keep_errors`` memory does not grow with the games; the error set takes 40 bytes an
    error.
    """
    result = Result(name, tau, source=source, errors=ErrorSet(source))
    for tokens in batches(games):
        played = replay(tokens)
        scores = score(_predict(model, tokens), played, tau)
        _add(result, scores, played, keep_errors)
        result.games += len(tokens)
        progress(len(tokens))
    return result


def _add(result: Result, scores: Scores, played: Replay, keep_errors: bool) -> None:
    pass_state = {}
    for group, name, mask in strata(played, scores.valid.shape[1]):
        measures = result.strata.setdefault(group, {}).setdefault(name, Measures())
        add_scores(measures, scores, mask)
        if group == "pass":
            pass_state[name] = mask
    if keep_errors:
        result.errors.add(scores, played, pass_state)
