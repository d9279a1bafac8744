"""What a run leaves on the disk: the state it continues from, and its log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
from torch import Tensor

from comparison.training.settings import Settings, TrainingError
from extracted_rules.drawing.curves import Curve
from extracted_rules.files import read_metadata, read_tensors, write_tensors, write_text

STATE, LOG, MODEL = "state.safetensors", "log.jsonl", "model.safetensors"
#: How the log calls what is no average.
WEIGHTS = "weights"


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
    metadata = {"settings": msgspec.json.encode(state.settings).decode(), "step": str(state.step)}
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
        settings = msgspec.json.decode(metadata["settings"], type=Settings)
        return State(settings, int(metadata["step"]), tensors)
    except (OSError, KeyError, ValueError, msgspec.MsgspecError) as error:
        raise TrainingError(f"{path} is no checkpoint of a training run: {error}") from None


def metadata(settings: Settings, step: int, exported: str) -> dict[str, str]:
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
        "settings": msgspec.json.encode(settings).decode(),
        "step": str(step),
    }


def finish_folder(seen: int, games: int) -> str:
    """The folder, inside a run's, of a finish that begins after so many games and takes so many."""
    return f"finish-{seen}-{games}"


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


def read_log(path: Path) -> list[Progress]:
    """A log, or that of the run in a folder; a last line that was cut off is left out.

    Raises TrainingError for anything else.
    """
    path = path / LOG if path.is_dir() else path
    no_log = f"{path} is no log of a training run"
    try:
        *lines, _ = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise TrainingError(f"{no_log}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TrainingError(f"{no_log}: it is no text") from None
    log = []
    for number, line in enumerate(lines, start=1):
        try:
            log.append(msgspec.convert(json.loads(line), Progress))
        except (ValueError, msgspec.ValidationError, RecursionError):
            raise TrainingError(f"{no_log}: line {number} is no record of a step") from None
    return log


def curves(log: Sequence[Progress], name: str = "", before: int = 0) -> list[Curve]:
    """A log's validations as lines of a figure, one for the weights, drawn dashed, and for each
    average. ``before``: games that are added to those seen, of a run that this one goes on from."""
    checked = [line for line in log if line.validated]
    found: list[Curve] = []
    for kind in dict.fromkeys(kind for line in checked for kind in line.validated or {}):
        points = [
            (before + line.games, *line.validated[kind])
            for line in checked
            if line.validated and kind in line.validated
        ]
        games, illegal, excess = (list(column) for column in zip(*points, strict=True))
        words = f"{name}: {kind}" if name else kind
        found.append(Curve(words, games, illegal, excess, len(found), dashed=kind == WEIGHTS))
    return found


def _line(line: Progress) -> str:
    # Not msgspec's, which has no NaN: a run may diverge.
    return json.dumps(asdict(line)) + "\n"


def write_log(path: Path, lines: list[Progress]) -> None:
    """Write a whole log. Raises OSError."""
    write_text("".join(map(_line, lines)), path)


def append_to_log(out: Path, line: Progress) -> None:
    """Raises OSError."""
    with (out / LOG).open("a", encoding="utf-8") as file:
        file.write(_line(line))
