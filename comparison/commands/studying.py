"""``handbuilt study ...``: a question each, and the tables that answer it."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from comparison.commands.help import HelpfulGroup
from comparison.commands.options import (
    Bench,
    Finding,
    Gpt,
    Measuring,
    Setup,
    Side,
    folder,
    make_folder,
    picture,
    whole_numbers,
)
from comparison.commands.shared import app, bars, command, show, wrote
from comparison.properties.checking import EXAMPLES
from comparison.studies.likeness import likeness
from comparison.tools.dictionaries import Settings
from comparison.training import reference
from comparison.training.settings import TrainingError
from comparison.training.states import LOG, Progress, curves, read_log
from extracted_rules.discovery.heads import patterns_by_lag
from extracted_rules.drawing.curves import Curve
from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import STANDARD, Geometry
from handbuilt.plan import Plan
from handbuilt.transcripts import transcribing
from handbuilt.transcripts.standing_in import Transcribed
from handbuilt.transcripts.transcript import read

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
    board: Side = STANDARD,
) -> None:
    """How good are the rules with how many fitted numbers? About half an hour."""
    from comparison.studies import scalars

    asked = scalars.Asked(steps, games, seed, Geometry(board).size)
    make_folder(out)
    show(scalars.report(out, asked), "scalars")


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
    sides, depths = (
        whole_numbers(text, f"names no numbers of {what}")
        for text, what in ((boards, "boards"), (layers, "layers"))
    )
    if not (sides and depths):
        raise UserError("at least one board and one number of layers are asked for")
    for side in sides:
        Geometry(side)
    for depth in depths:
        Plan(depth)
    make_folder(out)
    with bars() as bar:
        tables = sizes.report(sides, depths, asked, out, bar)
    for name, table in tables.items():
        show(table, name)
    wrote(out / "depth.png")


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
    single: Annotated[str, typer.Option(help="Reads for MLPs one at a time, by commas.")] = "4,16",
    finding: Finding = transcribing.FINDING_GAMES,
    games: Measuring = transcribing.CHECKING_GAMES,
) -> None:
    """How much comes back through how many reads of names, and of random directions?"""
    from comparison.studies import transcripts

    numbers, singly = (whole_numbers(text, "names no numbers of reads") for text in (reads, single))
    loaded, seed = setup.gpt(model, "it has no neurons to transcribe"), setup.seed
    for number in (*numbers, *singly):
        transcribing.check(loaded, number, transcripts.DENSE)
    make_folder(out)
    with bars() as bar:
        step = bar("sums", finding)
        sums = transcribing.collect(loaded, finding, seed, work=out, progress=step)
        found = transcripts.whole(loaded, model, sums, numbers, games, seed, bar)
        alone = {}
        for number in singly:
            of = {
                f"{number} {kind}": Transcribed.of(read, loaded)
                for kind, _, read in transcripts.transcripts(loaded, model, sums, [number])
            }
            alone[number] = transcripts.alone(loaded, of, games, seed, bar)
    title = f"{model}, transcribed as read ({games} random games, seed {seed})"
    show(transcripts.table(title, found.items()), "reads")
    for number, share in alone.items():
        show(share, f"alone by {number}")
    transcripts.draw(title, found, out / "reads.png")
    wrote(out / "reads.png")


@command("transcoders", study)
def transcoders_command(
    model: Gpt,
    setup: Setup,
    active: Annotated[
        str, typer.Option(help="Features that are active at a position, by commas.")
    ] = "32,128",
    steps: Annotated[int, typer.Option(help="Steps of training each.", min=1)] = 600,
    training: Annotated[int, typer.Option(help="Random games to train on.", min=100)] = 2000,
    games: Annotated[int, typer.Option(help="Random games to measure on.", min=2)] = (
        transcribing.CHECKING_GAMES
    ),
) -> None:
    """How much comes back through transcoders in the place of MLPs, which know no names?"""
    from comparison.studies import transcoders, transcripts

    numbers = whole_numbers(active, "names no numbers of features")
    loaded, seed = setup.gpt(model, "it has no MLPs"), setup.seed
    if not 1 <= min(numbers, default=0) <= max(numbers) <= loaded.shape.d_mlp:
        raise UserError(f"1 to {loaded.shape.d_mlp} features can be active, not {active or 'none'}")
    settings = Settings(features=loaded.shape.d_mlp, steps=steps, games=training, seed=seed)
    with bars() as bar:
        found = transcoders.transcoded(loaded, settings, numbers, bar)
        singly = {f"{k} active": of for k, of in found.items()}
        alone = transcripts.alone(loaded, singly, games, seed, bar)
        models = {"model": loaded, **{str(k): of.network for k, of in found.items()}}
        alike = likeness(models, dict.fromkeys(models, 0.5), games, seed)
    about = f"({games} random games, seed {seed})"
    rows = [((k,), alike[str(k)]) for k in found]
    title = f"{model} with transcoders for MLPs {about}"
    show(transcripts.table(title, rows, ("active features",)), "whole")
    show(alone, "alone")


@command("names", study)
def names_command(
    model: Gpt,
    setup: Setup,
    games: Annotated[
        int, typer.Option(help="Random games to find names on.", min=2)
    ] = transcribing.FINDING_GAMES,
) -> None:
    """How do names turn from layer to layer, and how far are they from orthogonal?"""
    from comparison.studies import names

    loaded = setup.gpt(model, "it has no neurons to transcribe")
    transcribing.check(loaded, 1, ())
    with bars() as bar:
        sums = transcribing.collect(loaded, games, setup.seed, progress=bar("sums", games))
    for name, table in names.lying(loaded, model, sums).items():
        show(table, name)


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


@command("mistakes", study)
def mistakes_command(
    model: Gpt,
    setup: Setup,
    games: Annotated[int, typer.Option(help="Random games.", min=2)] = 400,
) -> None:
    """Wrong facts or wrong rules? Mistakes of a model in names, and the neurons that mend them."""
    from comparison.studies import mistakes

    loaded, seed = setup.gpt(model, "it has no neurons"), setup.seed
    with bars() as bar:
        show(mistakes.corrected(loaded, games, seed, bar), "facts")
        show(mistakes.neurons(mistakes.Last.of(loaded, games, seed, bar), seed), "neurons")


@command("heads", study)
def heads_command(
    model: Gpt,
    setup: Setup,
    games: Annotated[int, typer.Option(help="Random games, as many for means.", min=2)] = 128,
) -> None:
    """Do heads look where the ply tells them to? And, of a model in names, what do they carry?"""
    from comparison.studies import heads

    loaded, seed = setup.gpt(model, "it has no heads"), setup.seed
    with bars() as bar:
        means = heads.mean_patterns(loaded, games, seed, bar)
        given = {"mean pattern": means, "kernel of lag": patterns_by_lag(means)}
        show(heads.patterns_table(loaded, given, games, seed, bar), "patterns")
        if loaded.has_names and not loaded.is_handbuilt:
            show(heads.carried_table(loaded, games, seed, bar), "carried")


@command("description", study)
def description_command(
    model: Gpt,
    network: Annotated[str, typer.Argument(help="The network of its transcript.")],
    setup: Setup,
    out: Annotated[Path, folder(help="Folder for the picture.")] = Path("out/description"),
    bits: Annotated[str, typer.Option(help="Bits a number, by commas.")] = "2,3,4,5,6,8",
    kept: Annotated[str, typer.Option(help="Neurons kept a layer, by commas.")] = (
        "64,128,256,512,1024,2048"
    ),
    games: Annotated[int, typer.Option(help="Random games, as many for means.", min=2)] = 128,
) -> None:
    """With how few bits and neurons does the network of a transcript stay like its model?"""
    from comparison.studies import description

    numbers = whole_numbers(bits, "names no numbers of bits")
    some = whole_numbers(kept, "names no numbers of neurons")
    if min(numbers, default=0) < 2 or min(some, default=0) < 1:
        raise UserError("a number has at least 2 bits, and a layer at least 1 neuron")
    loaded, of = setup.gpts(model, network, purpose="it has no neurons").values()
    make_folder(out)
    with bars() as bar:
        by_bits = description.by_bits(loaded, of, numbers, games, setup.seed, bar)
        by_neurons = description.by_neurons(loaded, of, some, games, setup.seed, bar)
    about = f"({games} random games, seed {setup.seed})"
    show(description.bits_table(f"{network} in few bits {about}", by_bits), "bits")
    show(description.neurons_table(f"{network} with few neurons {about}", by_neurons), "neurons")
    description.draw(by_bits, by_neurons, out / "description.png")
    wrote(out / "description.png")


@command("speed", study)
def speed_command(
    examples: Annotated[int, typer.Option(help="Random games of the check.", min=1)] = EXAMPLES,
    board: Side = STANDARD,
) -> None:
    """How fast are the engine, a forward pass, an evaluation, a build? Needs the extra `test`."""
    from comparison.studies import speed

    show(speed.report(examples, board), "speed")
