"""``handbuilt study ...``: a question each, and the tables that answer it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from comparison.commands.help import HelpfulGroup
from comparison.commands.options import Bench, Gpt, Setup, folder, make_folder, picture
from comparison.commands.shared import app, bars, command, show, wrote
from comparison.properties.checking import EXAMPLES
from comparison.training import reference
from comparison.training.settings import TrainingError
from comparison.training.states import LOG, Progress, curves, read_log
from extracted_rules.drawing.curves import Curve
from extracted_rules.errors import UserError
from handbuilt.transcripts import transcribing
from handbuilt.transcripts.transcript import read


class NumbersError(UserError):
    """What should be numbers and is none; the message is one sentence."""


study = typer.Typer(
    cls=HelpfulGroup,
    help="Longer studies; killed, they go on from what was measured.",
    no_args_is_help=True,
)
app.add_typer(study, name="study")


@command("passes", study, games=5000)
def passes_command(
    bench: Bench,
    out: Annotated[Path, folder(help="Folder for the tables.")] = Path("out/passes"),
) -> None:
    """Which unseen passes does `calibrated` notice, and what would true sides be worth?"""
    from comparison.studies import passes

    games, _ = bench.played(bench.side)
    make_folder(out)
    source = bench.file.stem if bench.file else f"random-{bench.games}-{bench.seed}"
    for name, table in passes.report(torch.cat(games).cpu(), source, out).items():
        show(table, name)


@command("scalars", study)
def scalars_command(
    out: Annotated[Path, folder(help="Folder for fits, table and plot.")] = Path("out/scalars"),
    steps: Annotated[int, typer.Option(help="Steps of each fit.", min=1)] = 300,
    games: Annotated[int, typer.Option(help="Random games to measure on.", min=1)] = 500,
    seed: Annotated[int, typer.Option(help="Seed of those games.")] = 1,
) -> None:
    """How good are the rules with how many fitted numbers? About half an hour."""
    from comparison.studies import scalars

    make_folder(out)
    show(scalars.report(out, steps, games, seed), "scalars")


@command("sizes", study)
def sizes_command(
    out: Annotated[Path, folder(help="Folder for the picture and what was measured.")] = Path(
        "out/sizes"
    ),
    boards: Annotated[str, typer.Option(help="Squares a side, by commas.")] = "4,6,8",
    layers: Annotated[str, typer.Option(help="Numbers of layers, by commas.")] = "4,6,8,12,16",
    games: Annotated[int, typer.Option(help="Random games a board to measure on.", min=2)] = 1000,
    part: Annotated[
        int, typer.Option(help="Of all games of 4 x 4, run through one in so many.", min=1)
    ] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the random games.")] = 1,
) -> None:
    """How does the error of the rules fall with layers, on every board?"""
    from comparison.studies import sizes

    asked = sizes.Asked(games, seed, part)
    sides, depths = _numbers(boards, "boards"), _numbers(layers, "layers")
    make_folder(out)
    with bars() as bar:
        tables = sizes.report(sides, depths, asked, out, bar)
    for name, table in tables.items():
        show(table, name)
    wrote(out / "depth.png")


def _numbers(given: str, what: str) -> list[int]:
    """Raises NumbersError."""
    try:
        return [int(number) for number in given.split(",")]
    except ValueError:
        raise NumbersError(f"{given!r} names no numbers of {what}") from None


@command("curve", study)
def curve_command(
    logs: Annotated[
        list[Path], typer.Argument(help="Logs of training runs (log.jsonl), or the runs' folders.")
    ],
    out: Annotated[Path, picture(help="Where to write the picture.")] = Path("curve.png"),
    before: Annotated[
        list[Path] | None,
        typer.Option(
            help="Log of a run that the first one went on from; several if repeated, in order. "
            "They are drawn before it."
        ),
    ] = None,
) -> None:
    """How do training runs come along? What validation found by games seen, in one picture."""
    from comparison.reporting.figures import training_curve

    drawn: list[Curve] = []
    earlier = 0
    for path in before or ():
        log = read_log(path)
        drawn += [replace(c, colour=None) for c in _validations(log, path, path.stem, earlier)]
        earlier += log[-1].games
    for number, path in enumerate(logs):
        folder = path.resolve() if path.is_dir() else path.resolve().parent
        name = folder.name if path.is_dir() or path.name == LOG else path.stem
        found = _validations(read_log(path), path, name, earlier if number == 0 else 0)
        drawn += [replace(c, colour=len(drawn) + i) for i, c in enumerate(found)]
    training_curve(drawn, out)
    wrote(out)


def _validations(log: list[Progress], path: Path, name: str, before: int = 0) -> list[Curve]:
    """A log's lines of the figure. Raises TrainingError where there are none to draw."""
    found = curves(log, name, before)
    if not found:
        raise TrainingError(f"{path} holds no validation of a training run to draw")
    return found


@command("transcript", study)
def transcript_command(
    model: Gpt,
    setup: Setup,
    out: Annotated[Path, folder(help="Folder for the picture and for sums.")] = Path(
        "out/transcript"
    ),
    reads: Annotated[str, typer.Option(help="Reads a neuron, by commas.")] = "1,2,4,8,16,32",
    single: Annotated[int, typer.Option(help="Reads for MLPs one at a time.")] = 4,
    finding: Annotated[
        int, typer.Option(help="Random games to find names and reads on.", min=2)
    ] = transcribing.FINDING_GAMES,
    games: Annotated[int, typer.Option(help="Random games to measure on.", min=2)] = (
        transcribing.CHECKING_GAMES
    ),
) -> None:
    """How much comes back through how many reads of names, and of random directions?"""
    from comparison.studies import transcripts

    numbers = _numbers(reads, "reads")
    loaded, seed = setup.gpt(model, "it has no neurons to transcribe"), setup.seed
    for number in (*numbers, single):
        transcribing.check(loaded, number, transcripts.DENSE)
    make_folder(out)
    with bars() as bar:
        step = bar("sums", finding)
        sums = transcribing.collect(loaded, finding, seed, work=out, progress=step)
        found = transcripts.whole(loaded, model, sums, numbers, games, seed, bar)
        of = {
            f"{number} {kind}": read
            for kind, number, read in transcripts.transcripts(loaded, model, sums, [single])
        }
        alone = transcripts.alone(loaded, of, games, seed, bar)
    title = f"{model}, transcribed as read ({games} random games, seed {seed})"
    show(transcripts.table(title, found), "reads")
    show(alone, "alone")
    transcripts.draw(title, found, out / "reads.png")
    wrote(out / "reads.png")


@command("neurons", study)
def neurons_command(
    transcript: Annotated[
        Path | None,
        typer.Argument(help="A transcript; by default that of the project's trained model."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the control.")] = 1,
) -> None:
    """What do neurons read: which kinds of names, lines, mirror images of each other?"""
    from comparison.studies import neurons

    found = read(transcript or reference.FOLDER / reference.TRANSCRIPT)
    reading = neurons.Reading(found, seed)
    show(neurons.kinds_table(reading), "kinds")
    show(neurons.mirrors_table(reading), "mirrors")


@command("speed", study)
def speed_command(
    examples: Annotated[int, typer.Option(help="Random games of the check.", min=1)] = EXAMPLES,
) -> None:
    """How fast are the engine, a forward pass, an evaluation, a build? Needs the extra `test`."""
    from comparison.studies import speed

    show(speed.report(examples), "speed")
