"""``handbuilt train | adopt``: trained models."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from comparison.commands.shared import (
    Device,
    Games,
    Seed,
    SkipBad,
    app,
    bench_games,
    check_writable,
    counter,
    notes,
    othello_gpt,
    progress_bars,
    wrote,
)
from comparison.reading.boards import BOARD_GAMES
from comparison.reading.probes import PROBE_GAMES, fit_probes, probe_accuracy
from comparison.scoring.bench import (
    THRESHOLD_GAMES,
    choose_threshold,
    evaluate,
    resolve_device,
)
from comparison.training import reference
from comparison.training.models import REFERENCE
from comparison.training.settings import (
    Phase,
    Settings,
    TrainingError,
    parse_averages,
    parse_phases,
)
from comparison.training.states import STATE, Progress, curves, read_log, read_state
from comparison.training.training import (
    begin_finish,
    check_continues,
    describe_start,
    joined,
    train,
)
from extracted_rules.othello.notation import CONTEXT

#: Options of `train` that say how it is run, and decide nothing about its outcome.
HOW = ("device", "threads", "save_every", "validate_every", "compiled")


@app.command("train")
def train_command(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the model, the checkpoint and the log.")],
    games: Annotated[int, typer.Option(help="Games to train on.", min=1)] = 20_000_000,
    batch: Annotated[int, typer.Option(help="Games a step, over all processes.", min=1)] = 512,
    phases: Annotated[
        str | None,
        typer.Option(
            help="Instead of --games and --batch, the run's parts by commas, each "
            "plies:batch:games. 16:256:30720,59:128:1000000 begins with the first 16 moves of "
            "30,720 games."
        ),
    ] = None,
    targets: Annotated[
        str, typer.Option(help="sampled (the move played) or legal (all legal moves).")
    ] = Settings.targets,
    optimizer: Annotated[
        str, typer.Option(help="adamw, or muon: Muon for the blocks' matrices, AdamW for others.")
    ] = Settings.optimizer,
    learning_rate: Annotated[
        float, typer.Option(help="AdamW's.", min=0.0)
    ] = Settings.learning_rate,
    muon_rate: Annotated[float, typer.Option(help="Muon's.", min=0.0)] = Settings.muon_rate,
    schedule: Annotated[
        str, typer.Option(help="Of the rates: cosine (down to a tenth) or constant.")
    ] = Settings.schedule,
    warmup_games: Annotated[
        int, typer.Option(help="Games until the rates are reached.", min=0)
    ] = Settings.warmup_games,
    weight_decay: Annotated[
        float, typer.Option(help="Of the blocks' matrices.", min=0.0)
    ] = Settings.weight_decay,
    clip: Annotated[
        float, typer.Option(help="Largest norm of the gradient; 0 for any.", min=0.0)
    ] = Settings.clip,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9)] = Settings.dropout,
    average: Annotated[
        str,
        typer.Option(
            help="Averages of the weights, by commas: the share that each keeps a step. The best "
            "one on the validation games is the run's model."
        ),
    ] = "",
    seed: Annotated[
        int, typer.Option(help="Seed of weights and games; another one for what is begun --from.")
    ] = Settings.seed,
    precision: Annotated[
        str, typer.Option(help="bfloat16, float32, or auto: what multiplies faster here.")
    ] = Settings.precision,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Begin with this model's weights: a name or a file."),
    ] = None,
    finish: Annotated[
        int | None,
        typer.Option(
            help="Take the rates of the run in --out, which stays as it is, down to nothing over "
            "so many more games, in a folder inside.",
            min=1,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            help="Go on from the folder's checkpoint with its settings. Settings that are given "
            "must agree; at a constant rate more games or phases prolong the run."
        ),
    ] = False,
    device: Device = "auto",
    threads: Annotated[
        int | None, typer.Option(help="Threads of the CPU; by default all.", min=1, max=1024)
    ] = None,
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.", min=1)] = 500,
    validate_every: Annotated[
        int | None, typer.Option(help="Steps between validations; by default --save-every.", min=1)
    ] = None,
    compiled: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="torch.compile; by default on a GPU only."),
    ] = None,
) -> None:
    """Train an Othello-GPT on random legal games; --resume continues exactly.

    Several GPUs: torchrun --nproc-per-node 4 -m comparison train ...
    """
    from comparison.reporting.figures import training_curve

    given = {
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    }
    if finish and resume:
        raise TrainingError("--finish begins a finish; a killed one is resumed in its own folder")
    saved = None
    if finish or (resume and (out / STATE).exists()):
        saved = read_state(out, weights=False).settings
    elif resume and not given - {"out", "resume", *HOW}:
        raise TrainingError(f"{out} holds no checkpoint to go on from")
    elif resume:
        notes.print(f"no checkpoint in {out}: a new run begins")
    began = othello_gpt(start, "a run begins from an Othello-GPT") if start else None
    settings = Settings(
        phases=_phases(phases, games, batch, given, saved),
        targets=targets,
        optimizer=optimizer,
        learning_rate=learning_rate,
        muon_rate=muon_rate,
        schedule=schedule,
        warmup_games=warmup_games,
        weight_decay=weight_decay,
        clip=clip,
        dropout=dropout,
        averages=parse_averages(average),
        seed=seed,
        precision=precision,
        start=describe_start(start, began) if start and began else "",
    )
    if saved:  # what was not asked for is as the checkpoint has it
        names = {"games": "phases", "batch": "phases", "average": "averages"}
        asked = {names.get(name, name) for name in given - {"finish"}}
        kept = {name: value for name, value in vars(saved).items() if name not in asked}
        settings = replace(settings, **kept)
        check_continues(settings, saved, out)
    if threads:
        torch.set_num_threads(threads)
    with joined(resolve_device(device)) as where, progress_bars() as progress:
        if finish:
            settings, out = begin_finish(out, finish)
        task = progress.add_task("training", total=settings.steps)
        validated = ""

        def report(line: Progress) -> None:
            nonlocal validated
            if line.validation:
                illegal, excess = line.validation
                validated = f", illegal {100 * illegal:.2f} %, excess {excess:.3f}"
                training_curve(curves(read_log(out)), out / "training.png")
                notes.print(f"step {line.step}: loss {line.loss:.3f}{validated} ({line.exported})")
            text = f"loss {line.loss:.3f}{validated}, {line.games_per_second:,.0f} games/s"
            progress.update(task, completed=line.step, description=text)

        train(
            settings,
            out,
            where,
            start=began,
            resume=resume or finish is not None,
            compiled=where.type == "cuda" if compiled is None else compiled,
            save_every=save_every,
            validate_every=validate_every,
            report=report,
            say=notes.print,
        )


def _phases(
    phases: str | None, games: int, batch: int, given: set[str], saved: Settings | None
) -> tuple[Phase, ...]:
    """The parts of a run; a run of one part that is prolonged keeps its batch. Raises
    TrainingError."""
    if phases is None:
        plies = CONTEXT
        if saved and len(saved.phases) == 1:
            plies = saved.phases[0].plies
            batch = batch if "batch" in given else saved.phases[0].batch
            games = games if "games" in given else saved.phases[0].games
        return (Phase(plies, batch, games),)
    if given & {"games", "batch"}:
        raise TrainingError("--phases says how many games there are and how many a step")
    return parse_phases(phases)


@app.command("adopt")
def adopt_command(
    run: Annotated[Path, typer.Argument(help="The folder of a finished `handbuilt train`.")],
    hardware: Annotated[
        str, typer.Option(help="What it was trained on, for its card.")
    ] = "not recorded",
    note: Annotated[str, typer.Option(help="What else its card should say, in Markdown.")] = "",
    games: Games = 2000,
    seed: Seed = 1,
    file: Annotated[
        Path | None, typer.Option(help="Games to measure it on as well, as in evaluate --file.")
    ] = None,
    probe_games: Annotated[int, typer.Option(help="Games to fit probes on.", min=1)] = PROBE_GAMES,
    device: Device = "auto",
    skip_bad: SkipBad = False,
) -> None:
    """Make a trained model the project's own, `reference`: measure, probe and describe it."""
    from comparison.training.adoption import Measured, Run, write_reference

    check_writable(reference.FOLDER.with_suffix(".partial"))
    where = resolve_device(device)
    trained = Run.read(run)
    model = trained.model.to(where)
    benches = [(f"--games {games} --seed {seed}", *bench_games(games, None, seed, skip_bad, where))]
    if file:
        options = shlex.join(["--file", file.name]) + (" --skip-bad" if skip_bad else "")
        benches.append((options, *bench_games(games, file, seed, skip_bad, where)))
    with progress_bars() as progress:
        step = counter(progress, "threshold", THRESHOLD_GAMES)
        tau = choose_threshold(model, seed, where, THRESHOLD_GAMES, progress=step)
        measured = []
        for options, bench, source in benches:
            step = counter(progress, source, sum(len(batch) for batch in bench))
            result = evaluate(
                REFERENCE, model, bench, tau, source, progress=step, keep_errors=False
            )
            command = f"handbuilt evaluate {REFERENCE} {options} --device {where.type}"
            measured.append(Measured(command, result))
        step = counter(progress, "probes", probe_games)
        probes = fit_probes(model, probe_games, seed, step)
        boards = probe_accuracy(model, probes, benches[0][1][0][:BOARD_GAMES])
    write_reference(reference.FOLDER, trained, hardware, note, measured, probes, boards)
    wrote(f"{reference.FOLDER}: evaluate, compare and probe know this model as {REFERENCE}")
