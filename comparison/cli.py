"""The command line: ``handbuilt build | evaluate | compare | describe | train | export | ...``."""

import os
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from comparison import reference
from comparison.bench import (
    THRESHOLD_GAMES,
    MissingDeviceError,
    Result,
    choose_threshold,
    evaluate,
    resolve_device,
)
from comparison.boards import BoardAccuracy, board_accuracy, residuals
from comparison.checkpoints import FORMATS, ExportError, export
from comparison.error_sets import write_who_errs
from comparison.models import REFERENCE, UnknownModelError, load_model
from comparison.precision import Operands, products_of
from comparison.probes import PROBE_GAMES, Probes, fit_probes, probe_accuracy
from comparison.training import Progress as TrainingProgress
from comparison.training import Settings, TrainingError, joined, read_log, train
from extracted_rules.files import whole_file
from extracted_rules.game import IllegalGameError, random_games, replay
from extracted_rules.game_files import BadGame, GameFileError, load_games
from extracted_rules.notation import (
    CONTEXT,
    LABELS,
    NotationError,
    square_of,
    squares_from_tokens,
    token_of,
)
from handbuilt.ablation import KNOCK_OUTS, UnknownRuleError, knock_out
from handbuilt.calibration import CalibrationError, Plan, calibrate, starting_point
from handbuilt.calibration import Progress as CalibrationProgress
from handbuilt.compiler import compile_rules
from handbuilt.recipes import RECIPES, UnknownRecipeError, build
from handbuilt.space import Layout, LayoutError
from handbuilt.strengths import AXES, FOLDER, MEMORIES, StrengthsError, dump, load_strengths
from handbuilt.transformer import CheckpointError, OthelloGPT

#: What a user can do wrong, as opposed to a defect: reported as one sentence.
USER_ERRORS = (
    CalibrationError,
    CheckpointError,
    ExportError,
    GameFileError,
    IllegalGameError,
    LayoutError,
    MissingDeviceError,
    NotationError,
    OSError,
    StrengthsError,
    TrainingError,
    UnknownModelError,
    UnknownRecipeError,
    UnknownRuleError,
)

#: Games on which beliefs are compared with boards.
BOARD_GAMES = 200

app = typer.Typer(
    help="Build an Othello-GPT from rules, measure it, and compare it with other models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Piped output is no terminal and has no width of its own: a table should still be whole there.
console = Console(width=None if sys.stdout.isatty() else 140)
notes = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

Games = Annotated[int, typer.Option(help="Number of random games.", min=1)]
File = Annotated[
    Path | None,
    typer.Option(help="Games to use instead: transcripts one a line, .pgn, or WTHOR .wtb."),
]
Seed = Annotated[int, typer.Option(help="Seed of the random games and of the threshold games.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
SkipBad = Annotated[bool, typer.Option(help="Leave out unreadable and illegal games, and say so.")]


def _check_writable(path: Path) -> None:
    """Fail before the work, not after it: raises OSError for a place that cannot be written."""
    if not path.parent.is_dir():
        raise OSError(f"cannot write {path}: {path.parent} is no folder")
    if path.exists() and not path.is_file():
        raise OSError(f"cannot write {path}: it is no ordinary file")
    if not os.access(path.parent, os.W_OK):
        raise OSError(f"cannot write {path}: its folder is not writable")


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=notes, transient=True) as progress:
        yield progress


def _counter(progress: Progress, name: str, total: int) -> Callable[[int], None]:
    """A new bar that the calls of the result advance."""
    task = progress.add_task(escape(name), total=total)
    return lambda n: progress.advance(task, n)


def _bench_games(
    games: int, file: Path | None, seed: int, skip_bad: bool, device: torch.device
) -> tuple[list[Tensor], str]:
    """The bench's games and how to call them."""
    if file is None:
        return list(random_games(games, seed, device=device)), f"random, seed {seed}"
    bad: list[BadGame] = []
    try:
        loaded = [t.to(device) for t in load_games(file, on_bad=bad.append if skip_bad else None)]
    finally:
        for game in bad[:10]:
            notes.print(f"left out {game.place}: {game.reason}")
        if bad:
            notes.print(f"{len(bad)} bad games left out of {file}")
    return loaded, file.name


def _measure(
    name: str,
    model: nn.Module,
    games: list[Tensor],
    source: str,
    seed: int,
    progress: Progress,
    keep_errors: bool,
) -> Result:
    """Measure a model at its own threshold: the trained model's came with it, any other's is
    chosen now."""
    shipped = reference.Manifest.read(reference.FOLDER).tau if name == REFERENCE else None
    total = sum(len(batch) for batch in games) + (0 if shipped else THRESHOLD_GAMES)
    step = _counter(progress, name, total)
    tau = shipped or choose_threshold(model, seed, games[0].device, THRESHOLD_GAMES, progress=step)
    return evaluate(name, model, games, tau, source, progress=step, keep_errors=keep_errors)


def _boards(name: str, model: nn.Module, games: Tensor) -> BoardAccuracy | None:
    """What a model holds of the board, where there is something to read it with."""
    if not isinstance(model, OthelloGPT):
        return None
    if name == REFERENCE:
        probes = Probes.load(reference.FOLDER / reference.PROBES, model)
        return probe_accuracy(model, probes, games)
    return board_accuracy(model, games) if "layout" in model.metadata else None


@app.command("build")
def build_command(
    recipe: Annotated[str, typer.Option(help=f"One of: {', '.join(RECIPES)}.")],
    out: Annotated[Path, typer.Option(help="Where to write the safetensors file.")],
) -> None:
    """Compile a recipe into weights and save them."""
    _check_writable(out)
    model = build(recipe)
    model.save(out)
    console.print(f"wrote {out}: {model.metadata['description']}", highlight=False)


@app.command("evaluate")
def evaluate_command(
    model: Annotated[str, typer.Argument(help="A recipe, a baseline or a checkpoint's path.")],
    games: Games = 1000,
    file: File = None,
    seed: Seed = 1,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    operands: Annotated[
        Operands, typer.Option(help="How operands of matrix products are rounded.")
    ] = Operands.FLOAT32,
    json: Annotated[Path | None, typer.Option(help="Write the figures here as JSON.")] = None,
) -> None:
    """Measure one model, with 95 % intervals and by stratum."""
    from comparison.report import as_table, group_rows, model_rows, write_json

    if json:
        _check_writable(json)
    where = resolve_device(device)
    bench, source = _bench_games(games, file, seed, skip_bad, where)
    loaded = load_model(model).to(where)
    with _progress() as progress, products_of(operands):
        result = _measure(model, loaded, bench, source, seed, progress, keep_errors=False)
    title = f"{model} on {result.games:,} games ({source}), {operands}, tau {result.tau:.2g}"
    console.print(as_table(title, ("model", "positions"), model_rows([result])))
    console.print(as_table("By the ply to predict", ("positions",), group_rows(result, "stage")))
    console.print(
        as_table("By number of legal moves", ("legal",), group_rows(result, "legal moves"))
    )
    if json:
        write_json({**result.as_dict(), "operands": operands}, json)


@app.command("compare")
def compare_command(
    models: Annotated[list[str], typer.Argument(help="Recipes, baselines or checkpoint paths.")],
    games: Games = 2000,
    file: File = None,
    seed: Seed = 1,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    out: Annotated[Path, typer.Option(help="Folder for results, report and figures.")] = Path(
        "out"
    ),
) -> None:
    """Measure several models on the same games; write a table, a report, figures and error sets."""
    from comparison import figures
    from comparison.report import (
        all_overlaps,
        as_table,
        board_headings,
        board_rows,
        model_rows,
        stage_rows,
        write_json,
        write_markdown,
    )

    if len(set(models)) < len(models):
        raise UnknownModelError("a model is named twice; every model is compared once")
    where = resolve_device(device)
    loaded = {name: load_model(name).to(where) for name in models}
    bench, source = _bench_games(games, file, seed, skip_bad, where)
    out.mkdir(parents=True, exist_ok=True)
    with _progress() as progress:
        results = [
            _measure(n, m, bench, source, seed, progress, keep_errors=True)
            for n, m in loaded.items()
        ]
    title = f"{results[0].games:,} games ({source})"
    console.print(as_table(title, ("model", "positions"), model_rows(results)))
    title = "By the ply to predict"
    console.print(as_table(title, ("model", "positions"), stage_rows(results)))
    overlaps = all_overlaps(results)
    drawn = [("error_by_ply.png", "Top-1 illegal rate by the ply to predict, 95 % intervals")]
    figures.error_by_ply(results, out / drawn[0][0])
    drawn.append(("example.png", "An example: blue squares are held for legal, dots are legal"))
    _draw_example(bench[0][:1], loaded, results, out / drawn[1][0])
    if overlaps:
        drawn.append(("error_overlap.png", "Overlap of the models' error sets"))
        figures.error_overlap([r.model for r in results], overlaps, out / drawn[2][0])
    for result, stem in zip(results, _file_stems(models), strict=True):
        result.boards = _boards(result.model, loaded[result.model], bench[0][:BOARD_GAMES])
        if result.boards:
            title = (
                f"{result.model}: whole boards right, read from {result.boards.source} "
                f"({result.boards.games} games)"
            )
            headings = board_headings(result.boards)
            console.print(as_table(title, (), board_rows(result.boards), headings))
            drawn.append((f"boards-{stem}.png", f"{title}, by layer and moves seen"))
            share = result.boards.whole_boards()
            figures.layer_by_ply(share, drawn[-1][1], "share of boards", out / drawn[-1][0])
        model = loaded[result.model]
        if isinstance(model, OthelloGPT) and "layout" in model.metadata:
            worked = f"worked-{stem}.png"
            if _draw_worked(bench[0], model, out / worked):
                drawn.append((worked, f"{result.model}: one board, layer by layer"))
            guess = f"first-guess-{stem}.png"
            if _draw_first_guess(model, out / guess):
                drawn.append((guess, f"{result.model}: what moves say of the discs around them"))
        result.errors.write(out / f"errors-{stem}.csv")
    write_who_errs([(r.model, r.errors) for r in results], out / "who_errs.csv")
    write_json([result.as_dict() for result in results], out / "results.json")
    command = shlex.join(["handbuilt", *sys.argv[1:]])
    write_markdown(results, overlaps, drawn, command, out / "report.md")
    console.print(f"wrote {out}/: report.md, results.json, figures and error sets", highlight=False)


def _file_stems(names: list[str]) -> list[str]:
    """A different file name for every model, without folders."""
    stems: list[str] = []
    for name in names:
        stem, number = Path(name).stem, 2
        while stem in stems:
            stem, number = f"{Path(name).stem}-{number}", number + 1
        stems.append(stem)
    return stems


@torch.inference_mode()
def _draw_example(
    game: Tensor, models: dict[str, nn.Module], results: Iterable[Result], path: Path
) -> None:
    from comparison import figures

    seen = max(1, min(30, int((game != 0).sum()) - 1))
    played = replay(game)
    log_odds = []
    for result in results:
        logits = models[result.model](game[:, :CONTEXT].long())[0, seen - 1, 1:].double()
        odds = logits.log_softmax(-1) - torch.tensor(result.tau, dtype=torch.float64).log()
        log_odds.append((result.model, odds.cpu()))
    figures.legality_heat_map(
        played.boards[0, seen].cpu(),
        played.legal[0, seen].cpu(),
        log_odds,
        f"{'Black' if int(played.movers[0, seen]) > 0 else 'White'} to move "
        + figures.caption_of(squares_from_tokens(game[0, :seen])),
        path,
    )


@torch.inference_mode()
def _draw_worked(games: Tensor, model: OthelloGPT, path: Path) -> bool:
    """The first long game of the bench, as a hand-built model holds it before move 40; False if
    no game has two moves."""
    from comparison import figures

    lengths = (games != 0).sum(-1)
    game = games[int(lengths.clamp(max=41).argmax())][None]
    seen = min(39, int((game != 0).sum()) - 1)
    if seen < 1:
        return False
    played = replay(game)
    stream, _ = next(residuals(model, game, "hook_resid_mid"))
    where = Layout.of(model).directions["belief"]
    figures.worked_position(
        (played.boards[0, seen] * played.movers[0, seen]).cpu(),
        stream[:-1, 0, seen, where].cpu(),
        played.legal[0, seen + 1].cpu(),
        f"The board before move {seen + 1}, as that move's position holds it; gold: the replies",
        path,
    )
    return True


@torch.inference_mode()
def _draw_first_guess(model: OthelloGPT, path: Path) -> bool:
    """What layer 0's heads write about the discs around a few moves of the mover's side; False if
    no head does."""
    from comparison import figures

    layout, moves = Layout.of(model), [square_of(label) for label in ("A1", "C1", "B2", "D3")]
    # At position 0 every head looks at the move itself.
    w_o = model.state_dict()["blocks.0.attn.W_O"]
    tokens = torch.tensor([[token_of(square)] for square in moves], device=w_o.device)
    _, cache = model.run_with_cache(tokens)
    panels = []
    for name in (f"{memory}-mine" for memory in MEMORIES):
        if name not in layout.heads[0]:
            continue
        head = layout.heads[0].place(name)
        written = cache["blocks.0.attn.hook_z"][:, 0, head] @ w_o[head]
        boards = written[:, layout.directions["settled"]]
        panels.append(
            [(f"{name}: {LABELS[s]}", board) for s, board in zip(moves, boards, strict=True)]
        )
    if not panels:
        return False
    title = "What moves of the mover's side say of the discs around them (layer 0's heads)"
    figures.what_moves_say(panels, title, path)
    return True


@app.command("describe")
def describe_command(
    model: Annotated[str, typer.Argument(help="A recipe or the path of a hand-built checkpoint.")],
    place: Annotated[
        str | None,
        typer.Argument(
            help="A direction (0..511), head (3.0), neuron (3.n17), or a name: belief.D3, 3.mine."
        ),
    ] = None,
) -> None:
    """Say what a direction, head or neuron of a hand-built model is for."""
    layout = Layout.of(load_model(model))
    for line in layout.describe(place):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command("train")
def train_command(
    out: Annotated[Path, typer.Option(help="Folder for the model, the checkpoint and the log.")],
    games: Annotated[int, typer.Option(help="Games to train on.", min=1)] = 20_000_000,
    batch: Annotated[int, typer.Option(help="Games a step, over all processes.", min=1)] = 512,
    targets: Annotated[str, typer.Option(help="sampled (the move played) or legal.")] = "sampled",
    learning_rate: Annotated[float, typer.Option(min=0.0)] = 5e-4,
    warmup_games: Annotated[int, typer.Option(min=0)] = 50_000,
    dropout: Annotated[float, typer.Option(min=0.0, max=0.9)] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of weights and games.")] = 1,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="bfloat16 or float32.")] = "bfloat16",
    save_every: Annotated[int, typer.Option(help="Steps between checkpoints.", min=1)] = 500,
    compiled: Annotated[
        bool | None,
        typer.Option("--compile/--no-compile", help="torch.compile; by default on a GPU only."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the folder's checkpoint.")] = False,
) -> None:
    """Train an Othello-GPT on random legal games; --resume continues exactly.

    Several GPUs: torchrun --nproc-per-node 4 -m comparison train ...
    """
    from comparison.figures import training_curve

    settings = Settings(
        games=games,
        batch=batch,
        targets=targets,
        learning_rate=learning_rate,
        warmup_games=warmup_games,
        dropout=dropout,
        seed=seed,
        precision=precision,
    )
    with joined(resolve_device(device)) as where, _progress() as progress:
        task = progress.add_task("training", total=settings.steps)
        validated = ""

        def report(line: TrainingProgress) -> None:
            nonlocal validated
            if line.validation_illegal is not None:
                validated = (
                    f", illegal {100 * line.validation_illegal:.2f} %, "
                    f"excess {line.validation_excess:.3f}"
                )
                training_curve(read_log(out), out / "training.png")
                notes.print(f"step {line.step}: loss {line.loss:.3f}{validated}")
            text = f"loss {line.loss:.3f}{validated}, {line.games_per_second:,.0f} games/s"
            progress.update(task, completed=line.step, description=text)

        train(
            settings,
            out,
            where,
            resume=resume,
            compiled=where.type == "cuda" if compiled is None else compiled,
            save_every=save_every,
            report=report,
        )


@app.command("export")
def export_command(
    model: Annotated[str, typer.Argument(help="A recipe or a checkpoint's path.")],
    out: Annotated[Path, typer.Option(help="Where to write the file.")],
    form: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")],
) -> None:
    """Write a model for other programs: the same weights; only safetensors keeps recipe and layout.

    transformer-lens: a state dict for HookedTransformer (normalization_type "LN", act_fn "gelu").
    mingpt: a state dict for the GPT class of Li et al. 2022. Every command reads both.
    """
    _check_writable(out)
    loaded = load_model(model)
    if not isinstance(loaded, OthelloGPT):
        raise ExportError(f"{model} is a baseline; only an Othello-GPT can be exported")
    export(loaded, form, out)
    console.print(f"wrote {out}", highlight=False, markup=False, soft_wrap=True)


@app.command("probe")
def probe_command(
    model: Annotated[str, typer.Argument(help="A recipe, a checkpoint's path or reference.")],
    out: Annotated[Path, typer.Option(help="Where to write the probes; a PNG goes beside them.")],
    games: Annotated[
        int, typer.Option(help="Random games to fit on, used for nothing else.", min=1)
    ] = PROBE_GAMES,
    seed: Seed = 1,
    device: Device = "auto",
) -> None:
    """Fit linear probes for the board on every layer; say how much of it they find."""
    from comparison.figures import layer_by_ply
    from comparison.report import as_table, board_headings, board_rows

    picture = out.with_suffix(".png")
    if picture == out:
        raise OSError(f"cannot write {out}: probes are safetensors, a picture goes beside them")
    for path in (out, picture):
        _check_writable(path)
    where = resolve_device(device)
    loaded = load_model(model).to(where)
    if not isinstance(loaded, OthelloGPT):
        raise UnknownModelError(f"{model} is a baseline: it has no layers to probe")
    with _progress() as progress:
        probes = fit_probes(loaded, games, seed, _counter(progress, "probes", games))
    probes.save(out)
    bench = next(random_games(BOARD_GAMES, seed, device=where))
    accuracy = probe_accuracy(loaded, probes, bench)
    title = f"{model}: probes fitted on {games:,} games, measured on {BOARD_GAMES} others"
    console.print(as_table(title, (), board_rows(accuracy), board_headings(accuracy)))
    title = f"{model}: whole boards right, read from linear probes ({BOARD_GAMES} games)"
    layer_by_ply(accuracy.whole_boards(), title, "share of boards", picture)
    console.print(f"wrote {out} and {picture}", highlight=False, markup=False, soft_wrap=True)


@app.command("adopt")
def adopt_command(
    run: Annotated[Path, typer.Argument(help="The folder of a finished `handbuilt train`.")],
    hardware: Annotated[
        str, typer.Option(help="What it was trained on, for its card.")
    ] = "not recorded",
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
    from comparison.adoption import Measured, Run, write_reference

    _check_writable(reference.FOLDER.with_suffix(".partial"))
    where = resolve_device(device)
    trained = Run.read(run)
    model = trained.model.to(where)
    benches = [
        (f"--games {games} --seed {seed}", *_bench_games(games, None, seed, skip_bad, where))
    ]
    if file:
        options = shlex.join(["--file", file.name]) + (" --skip-bad" if skip_bad else "")
        benches.append((options, *_bench_games(games, file, seed, skip_bad, where)))
    with _progress() as progress:
        step = _counter(progress, "threshold", THRESHOLD_GAMES)
        tau = choose_threshold(model, seed, where, THRESHOLD_GAMES, progress=step)
        measured = []
        for options, bench, source in benches:
            step = _counter(progress, source, sum(len(batch) for batch in bench))
            result = evaluate(
                REFERENCE, model, bench, tau, source, progress=step, keep_errors=False
            )
            command = f"handbuilt evaluate {REFERENCE} {options} --device {where.type}"
            measured.append(Measured(command, result))
        step = _counter(progress, "probes", probe_games)
        probes = fit_probes(model, probe_games, seed, step)
        boards = probe_accuracy(model, probes, benches[0][1][0][:BOARD_GAMES])
    write_reference(reference.FOLDER, trained, hardware, measured, probes, boards)
    console.print(
        f"wrote {reference.FOLDER}: evaluate, compare and probe know this model as {REFERENCE}",
        highlight=False, markup=False, soft_wrap=True,
    )  # fmt: skip


@app.command("calibrate")
def calibrate_command(
    out: Annotated[Path, typer.Option(help="Folder for the fit's state and log.")],
    strengths: Annotated[Path, typer.Option(help="Where to write the fitted strengths.")] = FOLDER
    / "calibrated.toml",
    steps: Annotated[int, typer.Option(min=1)] = Plan.steps,
    batch: Annotated[int, typer.Option(help="Games a step.", min=1)] = Plan.batch,
    rate: Annotated[float, typer.Option(help="Learning rate.", min=0.0)] = Plan.rate,
    seed: Annotated[int, typer.Option(help="Seed of the games of the fit.")] = 1,
    tied: Annotated[
        str, typer.Option(help=f"Axes to keep together, by commas; of {', '.join(AXES)}.")
    ] = "",
    resume: Annotated[bool, typer.Option(help="Go on from the folder's state.")] = False,
    device: Device = "auto",
) -> None:
    """Fit the strengths of `calibrated` through the rules' interpreter, on random games."""
    axes = tuple(axis.strip() for axis in tied.split(",") if axis.strip())
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown:
        raise CalibrationError(f"no axis is called {unknown[0]!r}; there is {', '.join(AXES)}")
    plan = Plan(steps=steps, batch=batch, rate=rate, seed=seed, tied=axes)
    _check_writable(strengths)
    where = resolve_device(device)
    with _progress() as progress:
        task = progress.add_task("calibrating", total=steps)

        def report(line: CalibrationProgress) -> None:
            text = f"loss {line.loss:.2f}, excess {line.excess:.3f}"
            progress.update(task, completed=line.step, description=text)

        fitted = calibrate(plan, starting_point(), out, resume=resume, device=where, report=report)
    comment = (
        f"Strengths of the recipe `calibrated`: {plan.free_scalars():,} numbers fitted on "
        f"{steps * batch:,} random games.\n{plan} on {where.type}"
    )
    with whole_file(strengths) as partial:
        partial.write_text(dump(fitted, comment), encoding="utf-8")
    console.print(f"wrote {strengths}", highlight=False, markup=False, soft_wrap=True)


@app.command("ablate")
def ablate_command(
    rules: Annotated[
        list[str] | None, typer.Argument(help="Rules to drop, one at a time; all by default.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="Recipe to drop them from.")] = "calibrated",
    games: Games = 200,
    seed: Seed = 1,
    device: Device = "auto",
    json: Annotated[Path | None, typer.Option(help="Write the figures here as JSON.")] = None,
) -> None:
    """Drop rules one at a time, recompile, measure: what is each worth?"""
    from comparison.report import HEADINGS, as_table, cells, write_json

    if json:
        _check_writable(json)
    where = resolve_device(device)
    if recipe not in RECIPES:
        raise UnknownRecipeError(f"no recipe is called {recipe!r}; there is {', '.join(RECIPES)}")
    intact, asked = load_strengths(recipe), list(dict.fromkeys(rules or KNOCK_OUTS))
    cases = [("none", "the whole recipe", intact)]
    for rule in asked:
        without = knock_out(intact, rule)
        cases.append((rule, KNOCK_OUTS[rule][0], without))
    bench, source = _bench_games(games, None, seed, False, where)
    rows, found = [], []
    with _progress() as progress:
        # One threshold for all, the intact recipe's: what is lost shows as it would in use.
        whole = compile_rules(intact)[0].eval().to(where)
        step = _counter(progress, "threshold", games)
        tau = choose_threshold(whole, seed, where, games, progress=step)
        for rule, says, strengths in cases:
            model = compile_rules(strengths)[0].eval().to(where)
            step = _counter(progress, rule, games)
            result = evaluate(rule, model, bench, tau, source, progress=step, keep_errors=False)
            _, illegal, f1, _, excess = cells(result.overall)
            rows.append([rule, says, illegal, f1, excess])
            found.append({"rule": rule, "says": says, **result.overall.as_dict()})
    title = f"{recipe} without a rule: {games:,} games ({source}), tau {tau:.2g}"
    _, illegal, f1, _, excess = HEADINGS
    console.print(as_table(title, ("dropped", "that is"), rows, (illegal, f1, excess)))
    if json:
        write_json(found, json)


def main() -> None:
    """Entry point: user errors are one sentence on stderr and exit code 2."""
    try:
        app()
    except USER_ERRORS as error:
        print(f"handbuilt: {error}", file=sys.stderr)
        sys.exit(2)
