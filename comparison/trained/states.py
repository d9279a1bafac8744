"""What a run leaves on the disk: the state it continues from, and its log."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from comparison.trained.settings import Settings, TrainingError
from extracted_rules.othello.files import read_metadata, read_tensors, whole_file, write_tensors

STATE, LOG, MODEL = "state.safetensors", "log.jsonl", "model.safetensors"


@dataclass(frozen=True)
class State:
    """A run after ``step`` steps. tensors: weights, optimizers and averages, each with a prefix."""

    settings: Settings
    step: int
    tensors: dict[str, Tensor]

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors of a prefix, by the names behind it."""
        start = f"{prefix}/"
        return {
            name.removeprefix(start): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(start)
        }


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def write_state(out: Path, state: State) -> None:
    """Write the folder's state, whole or not at all. Raises TrainingError."""
    metadata = {"settings": json.dumps(asdict(state.settings)), "step": str(state.step)}
    path = out / STATE
    try:
        write_tensors(path, state.tensors, metadata)
    except OSError as error:
        raise TrainingError(f"cannot write the checkpoint {path}: {error}") from None


def read_state(out: Path, *, weights: bool = True) -> State:
    """The folder's state, or without ``weights`` all but its tensors. Raises TrainingError."""
    path = out / STATE
    try:
        tensors, metadata = read_tensors(path) if weights else ({}, read_metadata(path))
        settings = Settings.read(json.loads(metadata["settings"]))
        return State(settings, int(metadata["step"]), tensors)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"{path} is no checkpoint of a training run: {error}") from None


@dataclass(frozen=True)
class Progress:
    """A line of the log.

    loss: of the step's batch. validated: (top-1 illegal rate, excess cross-entropy) on the
    validation games, of "weights" and of every average, as "average 0.99"; exported: which of them
    the folder's model is.
    """

    step: int
    games: int
    plies: int
    loss: float
    learning_rate: float
    games_per_second: float
    precision: str
    threads: int
    validated: dict[str, tuple[float, float]] | None = None
    exported: str | None = None

    @property
    def validation(self) -> tuple[float, float] | None:
        """(top-1 illegal rate, excess cross-entropy) of the exported model."""
        return self.validated[self.exported] if self.validated and self.exported else None


def read_log(out: Path) -> list[Progress]:
    """The log of the run in a folder. Raises TrainingError for a folder without one."""
    try:
        lines = (out / LOG).read_text(encoding="utf-8").splitlines()
        return [Progress(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise TrainingError(f"{out / LOG} is no log of a training run: {error}") from None


def write_log(out: Path, lines: list[Progress]) -> None:
    """Write a whole log. Raises OSError."""
    with whole_file(out / LOG) as partial:
        text = "".join(json.dumps(asdict(line)) + "\n" for line in lines)
        partial.write_text(text, encoding="utf-8")


def append_to_log(out: Path, line: Progress) -> None:
    """Raises OSError."""
    with (out / LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(line)) + "\n")
