"""What decides the outcome of a training run, and is recorded with it."""

import shlex
from dataclasses import dataclass, field, fields, replace
from math import cos, isfinite, pi
from typing import Annotated

import msgspec
import typer

from extracted_rules.errors import UserError
from handbuilt.network.shape import Shape

TARGETS = ("sampled", "legal")
OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("cosine", "constant")
PRECISIONS = ("auto", "bfloat16", "float32")


class TrainingError(UserError):
    """A run that cannot start, go on or be resumed; the message is one sentence."""


@dataclass(frozen=True)
class Phase:
    """A part of a run: games cut to so many plies, so many games a step, so many games in all."""

    plies: int
    batch: int
    games: int

    @property
    def steps(self) -> int:
        return self.games // self.batch

    def __str__(self) -> str:
        return f"{self.plies}:{self.batch}:{self.games}"


def parse_phases(text: str) -> tuple[Phase, ...]:
    """``"16:256:30720,59:128:1000000"``: plies, games a step and games of every phase.

    Raises TrainingError.
    """
    phases = []
    for part in text.split(","):
        try:
            numbers = [int(number) for number in part.split(":")]
            if min(numbers) < 1:
                raise ValueError
            phases.append(Phase(*numbers))
        except (TypeError, ValueError):
            raise TrainingError(
                f"{part!r} is no phase: plies, games a step and games in all, as in 16:256:30720"
            ) from None
    return tuple(phases)


def parse_averages(text: str) -> tuple[float, ...]:
    """``".99,.997"``, or nothing. Raises TrainingError."""
    try:
        return tuple(float(part) for part in text.split(",") if text.strip())
    except ValueError:
        raise TrainingError(f"{text!r} are no shares, as in .99,.997") from None


def shown(value: object) -> str:
    """A setting as the command line takes it."""
    if isinstance(value, tuple):
        return ",".join(shown(part) for part in value)
    return str(value)


@dataclass(frozen=True)
class Hyperparameters:
    """What a run learns from and how; options of ``handbuilt train`` as they stand here.

    "legal" targets, the uniform distribution over legal moves, have the same expected loss as the
    paper's "sampled" ones with less variance. With precision "auto" a run may move between
    machines.
    """

    targets: Annotated[
        str, typer.Option(help="sampled (the move played) or legal (all legal moves).")
    ] = "sampled"
    optimizer: Annotated[
        str, typer.Option(help="adamw, or muon: Muon for the blocks' matrices, AdamW for others.")
    ] = "adamw"
    learning_rate: Annotated[float, typer.Option(help="AdamW's.", min=0.0)] = 5e-4
    muon_rate: Annotated[float, typer.Option(help="Muon's.", min=0.0)] = 4.4e-3
    schedule: Annotated[
        str, typer.Option(help="Of the rates: cosine (down to a tenth) or constant.")
    ] = "cosine"
    warmup_games: Annotated[int, typer.Option(help="Games until the rates are reached.", min=0)] = (
        50_000
    )
    weight_decay: Annotated[float, typer.Option(help="Of the blocks' matrices.", min=0.0)] = 0.1
    clip: Annotated[
        float, typer.Option(help="Largest norm of the gradient; 0 for any.", min=0.0)
    ] = 1.0
    dropout: Annotated[
        float, typer.Option(help="Share of activations that are dropped.", min=0.0, max=0.9)
    ] = 0.0
    seed: Annotated[
        int, typer.Option(help="Seed of weights and games; another one for what is begun --from.")
    ] = 1
    precision: Annotated[
        str, typer.Option(help="bfloat16, float32, or auto: what multiplies faster here.")
    ] = "auto"


@dataclass(frozen=True, kw_only=True)
class Settings(Hyperparameters):
    """What decides a run's outcome; a resumed run must have the same.

    phases: the run's parts, in order; ``batch`` is over all processes. finish: over so many games
    at the end the rate falls to nothing. averages: how much of each average of the weights a step
    keeps. start: the model that the run began from, in words; "" for random weights.
    """

    phases: tuple[Phase, ...]
    finish: int = 0
    averages: tuple[float, ...] = ()
    start: str = ""
    shape: Shape = field(default_factory=Shape)

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    @property
    def games(self) -> int:
        """Games that the whole run sees."""
        return self.seen(self.steps)

    def seen(self, step: int) -> int:
        """Games that the first ``step`` steps see."""
        games = 0
        for phase in self.phases:
            steps = min(step, phase.steps)
            games += steps * phase.batch
            step -= steps
        return games

    def rate(self, step: int) -> float:
        """What the learning rates are multiplied with in a step (from 0)."""
        seen = self.seen(step + 1)
        rate = min(1.0, seen / max(self.warmup_games, 1))
        if self.schedule == "cosine":
            rate *= 0.55 + 0.45 * cos(pi * seen / self.games)
        if self.finish:
            rate *= min(1.0, (self.games - self.seen(step)) / self.finish)
        return rate

    def check(self, world: int) -> None:
        """Raises TrainingError for settings that ``world`` processes cannot train with."""
        for name, value, known in (
            ("targets", self.targets, TARGETS),
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
            ("precision", self.precision, PRECISIONS),
        ):
            if value not in known:
                raise TrainingError(f"{name}: {' or '.join(known)}, not {value!r}")
        for phase in self.phases:
            if not 1 <= phase.plies <= self.shape.n_ctx:
                raise TrainingError(f"a phase has 1 to {self.shape.n_ctx} plies, not {phase.plies}")
            if phase.steps < 1:
                raise TrainingError(f"{phase.games} games are less than one batch of {phase.batch}")
            if phase.batch % world:
                raise TrainingError(
                    f"a batch of {phase.batch} games does not divide over {world} processes"
                )
        for average in self.averages:
            if not 0 < average < 1:
                raise TrainingError(f"an average keeps a share between 0 and 1, not {average:g}")
        if len({f"{average:g}" for average in self.averages}) < len(self.averages):
            raise TrainingError("an average is named twice")
        for name, value in vars(self).items():
            if isinstance(value, float) and not isfinite(value):
                raise TrainingError(f"{name} should be a number, not {value}")
        if not 0 <= self.seed < 2**63:
            raise TrainingError(f"a seed is a number from 0 to 2^63 - 1, not {self.seed}")

    def until(self, step: int) -> "Settings":
        """These settings for a run that ends after so many steps, at least one."""
        phases = []
        for phase in self.phases:
            steps = min(step, phase.steps)
            phases.append(replace(phase, games=steps * phase.batch))
            step -= steps
            if not step:
                break
        return replace(self, phases=tuple(phases))

    def continues(self, saved: "Settings") -> str | None:
        """The name of a setting that a run with ``saved`` cannot go on with; None if there is none.

        At a constant rate the number of games decides nothing that has happened, so the last phase
        may be prolonged and phases may follow it.
        """
        asked = self
        if self.schedule == saved.schedule == "constant" and not (self.finish or saved.finish):
            last = len(saved.phases) - 1
            if len(self.phases) > last:
                here, there = self.phases[last], saved.phases[last]
                if here.steps >= there.steps:
                    there = replace(there, games=here.games)
                saved = replace(saved, phases=(*saved.phases[:last], there))
                asked = replace(self, phases=self.phases[: last + 1])
        for name, value in vars(asked).items():
            if value != vars(saved)[name]:
                return name
        return None

    def finishing(self, step: int, games: int) -> "Settings":
        """These settings for a run that leaves the constant rate after ``step`` steps and takes it
        down to nothing over ``games`` more, or as many as whole steps take. Raises
        TrainingError."""
        if self.finish or self.schedule != "constant":
            raise TrainingError(
                "only a run at a constant rate can be finished, and this one's falls already"
            )
        *phases, last = self.until(step).phases
        games -= games % last.batch
        if not games:
            raise TrainingError(f"a finish takes at least one step, of {last.batch} games")
        last = replace(last, games=last.games + games)
        return replace(self, phases=(*phases, last), finish=games)


def settings_typed(line: str, shape: Shape) -> tuple[Settings, str]:
    """What ``handbuilt train ...``, written as on a card, says of a run that began with a model of
    this shape: its settings, and what it began ``--from``. Raises TrainingError."""
    try:
        _, command, *words = shlex.split(line)
        options = (word.removeprefix("--").replace("-", "_") for word in words[::2])
        given = dict(zip(options, words[1::2], strict=True))
        names = {field.name for field in fields(Hyperparameters)}
        if command != "train" or not given.keys() - names <= {"out", "phases", "average", "from"}:
            raise ValueError
        learning = msgspec.convert(given, Hyperparameters, strict=False)
        phases, averages = parse_phases(given["phases"]), parse_averages(given.get("average", ""))
    except (KeyError, ValueError):
        wanted = "no `handbuilt train --phases ...` with options of a run's settings"
        raise TrainingError(f"{line!r} is {wanted}") from None
    settings = Settings(**vars(learning), phases=phases, averages=averages, shape=shape)
    settings.check(1)
    return settings, given.get("from", "")


@dataclass(frozen=True)
class Manner:
    """How a run is run, which decides nothing about its outcome; options of ``handbuilt train``."""

    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu or cuda.")] = "auto"
    threads: Annotated[
        int | None, typer.Option(help="Threads of the CPU; by default all.", min=1, max=1024)
    ] = None
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.", min=1)] = 500
    validate_every: Annotated[
        int | None, typer.Option(help="Steps between validations; by default --save-every.", min=1)
    ] = None
    log_every: Annotated[int, typer.Option(help="Steps between lines of the log.", min=1)] = 50
    compiled: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="torch.compile; by default on a GPU only."),
    ] = None
