"""Run a model over games and measure it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from comparison.reading.boards import BoardAccuracy
from comparison.scoring.error_sets import ErrorSet
from comparison.scoring.measures import Measures, ThresholdChooser, add_scores, score
from comparison.scoring.records import Choices
from extracted_rules.benches.positions import ErrorsError, Positions, batches, strata
from extracted_rules.errors import UserError
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import STANDARD, Geometry

#: Games of a forward pass on the usual board, as many more on smaller ones as games are shorter;
#: activations of 32 games of Othello-GPT fit a CPU's cache hierarchy.
FORWARD_GAMES = 32
#: tau is chosen on this many games of the purpose "threshold", disjoint from every bench.
THRESHOLD_GAMES = 1000

Progress = Callable[[int], None]
#: Starts a bar of a name and a length, and gives back what advances it.
Bars = Callable[[str, int], Progress]
#: Tokens int64 [B, T] to logits [B, T, tokens]: any module, or plain function.
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
    kept: ErrorSet | None = None
    boards: BoardAccuracy | None = None

    @property
    def errors(self) -> ErrorSet:
        """Raises ErrorsError for a model that was measured without keeping them."""
        if self.kept is None:
            raise ErrorsError(f"no errors of {self.model} were kept")
        return self.kept

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


def board_of(model: Model) -> int:
    """Squares a side of the board that a model plays on; the usual one's for a plain function."""
    geometry: Geometry | None = getattr(model, "geometry", None)
    return geometry.size if geometry else STANDARD


def predict(model: Model, tokens: Tensor) -> Tensor:
    """Logits [B, context, tokens] of games [B, plies], a few at a time."""
    context = Geometry(board_of(model)).context
    moves = tokens[:, :context].long()
    games = FORWARD_GAMES * Geometry(STANDARD).context // context
    return torch.cat([model(moves[first : first + games]) for first in range(0, len(moves), games)])


@torch.inference_mode()
def choose_threshold(
    model: Model,
    seed: int,
    device: torch.device,
    games: int = THRESHOLD_GAMES,
    progress: Progress = lambda _: None,
) -> float:
    """The probability above which a move counts as predicted legal: best F1 on separate games."""
    chooser, board = ThresholdChooser(), board_of(model)
    drawn = random_games(games, seed, board=board, purpose="threshold", device=device)
    for tokens in batches(drawn):
        chooser.add(predict(model, tokens), replay(tokens, board=board))
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
    """Measure a model on games (uint8 [B, plies] batches on the model's device) in one pass.

    Without ``keep_errors`` memory does not grow with the games; the error set takes 25 bytes an
    error.
    """
    result, board = Result(name, tau, source=source), board_of(model)
    kept: list[tuple[Positions, Choices]] = []
    for tokens in batches(games):
        played = replay(tokens, board=board)
        scores = score(predict(model, tokens), played, tau)
        for group, stratum, mask in strata(played, scores.valid.shape[1]):
            measures = result.strata.setdefault(group, {}).setdefault(stratum, Measures())
            add_scores(measures, scores, mask)
        if keep_errors:
            at, said = Positions.of(played), Choices.of_scores(scores)
            errs = said.errs(at, "top-1") | said.errs(at, "set")
            kept.append((at[errs], said[errs]))
        result.games += len(tokens)
        progress(len(tokens))
    if kept:
        positions, choices = zip(*kept, strict=True)
        result.kept = ErrorSet(source, Positions.join(positions), Choices.join(choices))
    return result
