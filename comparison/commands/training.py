"""``handbuilt train``: trained models."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer

from comparison.commands.options import Side
from comparison.commands.shared import command, notes, progress_bars
from comparison.scoring.bench import resolve_device
from comparison.training.history import describe_start
from comparison.training.models import as_gpt, load_model
from comparison.training.processes import joined
from comparison.training.settings import (
    Hyperparameters,
    Manner,
    Phase,
    Settings,
    TrainingError,
    parse_averages,
    parse_phases,
)
from comparison.training.states import STATE, Progress, curves, read_log, read_state
from comparison.training.training import begin_finish, check_continues, train
from extracted_rules.othello.geometry import STANDARD
from handbuilt.network.shape import Shape

#: The sizes of a model that is trained.
SHAPE = Shape()


@dataclass(frozen=True)
class Extent:
    """How many games a run sees."""

    games: Annotated[int, typer.Option(help="Games to train on.", min=1)] = 20_000_000
    batch: Annotated[int, typer.Option(help="Games a step, over all processes.", min=1)] = 512
    phases: Annotated[
        str | None,
        typer.Option(
            help="Instead of --games and --batch, the run's parts by commas, each "
            "plies:batch:games. 16:256:30720,59:128:1000000 begins with the first 16 moves of "
            "30,720 games."
        ),
    ] = None

    def parts(self, given: set[str], context: int, saved: Settings | None) -> tuple[Phase, ...]:
        """The parts of a run; one of a single part that is prolonged keeps its batch. given: the
        options that were typed. Raises TrainingError."""
        if self.phases is not None:
            if given & {"games", "batch"}:
                raise TrainingError("--phases says how many games there are and how many a step")
            return parse_phases(self.phases)
        phase = Phase(context, self.batch, self.games)
        if saved and len(saved.phases) == 1:
            kept = vars(saved.phases[0]).items()
            phase = replace(phase, **{name: n for name, n in kept if name not in given})
        return (phase,)


@dataclass(frozen=True)
class Start:
    """What a run begins with."""

    start: Annotated[
        str | None,
        typer.Option("--from", help="Begin with this model's weights: a name or a file."),
    ] = None
    finish: Annotated[
        int | None,
        typer.Option(
            help="Take the rates of the run in --out, which stays as it is, down to nothing over "
            "so many more games, in a folder inside.",
            min=1,
        ),
    ] = None
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on from the folder's checkpoint with its settings. Settings that are given "
            "must agree; at a constant rate more games or phases prolong the run."
        ),
    ] = False

    def saved(self, out: Path, given: set[str]) -> Settings | None:
        """The settings of the run that is gone on with, if there is one. Raises TrainingError."""
        if self.finish and self.resume:
            raise TrainingError(
                "--finish begins a finish; a killed one is resumed in its own folder"
            )
        if self.finish or (self.resume and (out / STATE).exists()):
            return read_state(out, weights=False).settings
        how = {field.name for field in fields(Manner)}
        if self.resume and not given - {"out", "resume"} - how:
            raise TrainingError(f"{out} holds no checkpoint to go on from")
        if self.resume:
            notes.print(f"no checkpoint in {out}: a new run begins")
        return None


@command("train")
def train_command(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the model, the checkpoint and the log.")],
    extent: Extent,
    learning: Hyperparameters,
    begin: Start,
    manner: Manner,
    average: Annotated[
        str,
        typer.Option(
            help="Averages of the weights, by commas: the share that each keeps a step. The best "
            "one on the validation games is the run's model."
        ),
    ] = "",
    board: Side = STANDARD,
) -> None:
    """Train an Othello-GPT on random legal games; --resume continues exactly.

    Several GPUs: torchrun --nproc-per-node 4 -m comparison train ...
    """
    given = {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }
    saved = begin.saved(out, given)
    shape = saved.shape if saved and "board" not in given else SHAPE.on(board)
    began = None
    if begin.start:
        found = load_model(begin.start, shape.geometry.size)
        began = as_gpt(begin.start, found, "a run begins from an Othello-GPT")
    settings = Settings(
        **vars(learning),
        phases=extent.parts(given, shape.n_ctx, saved),
        averages=parse_averages(average),
        start=describe_start(begin.start, began) if begin.start and began else "",
        shape=shape,
    )
    if saved:  # what was not asked for is as the checkpoint has it
        names = {"games": "phases", "batch": "phases", "average": "averages", "board": "shape"}
        asked = {names.get(name, name) for name in given - {"finish"}}
        kept = {name: value for name, value in vars(saved).items() if name not in asked}
        settings = replace(settings, **kept)
        check_continues(settings, saved, out)
    if manner.threads:
        torch.set_num_threads(manner.threads)
    with joined(resolve_device(manner.device)) as where, progress_bars() as progress:
        if begin.finish:
            settings, out = begin_finish(out, begin.finish)
        task = progress.add_task("training", total=settings.steps)
        train(
            settings,
            out,
            where,
            manner,
            start=began,
            resume=begin.resume or begin.finish is not None,
            report=_reporter(out, partial(progress.update, task)),
            say=notes.print,
        )


def _reporter(out: Path, update: Callable[..., None]) -> Callable[[Progress], None]:
    """Tells of a run as it goes on, and draws its curve anew with every validation."""
    from comparison.reporting.figures import training_curve

    validated = ""

    def report(line: Progress) -> None:
        nonlocal validated
        if line.validation:
            illegal, excess = line.validation
            validated = f", illegal {100 * illegal:.2f} %, excess {excess:.3f}"
            training_curve(curves(read_log(out)), out / "training.png")
            notes.print(f"step {line.step}: loss {line.loss:.3f}{validated} ({line.exported})")
        text = f"loss {line.loss:.3f}{validated}, {line.games_per_second:,.0f} games/s"
        update(completed=line.step, description=text)

    return report
