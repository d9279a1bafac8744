"""Making a run's model the project's trained model: rounded, probed, measured, described.

What is measured is the model as it will be shipped, its weights rounded to float16, so the figures
on its card are those that ``handbuilt evaluate reference`` finds.
"""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from comparison.reading.boards import BoardAccuracy
from comparison.reading.probes import Probes
from comparison.reporting.figures import layer_by_ply, training_curve
from comparison.reporting.report import boards_table, models_table, stages_table
from comparison.scoring.bench import THRESHOLD_GAMES, Result
from comparison.training.history import Past, Run, Told, hours
from comparison.training.reference import FORMAT, PROBES, Manifest
from comparison.training.settings import Phase, Settings, shown
from comparison.training.states import LOG, finish_folder, write_log
from extracted_rules.drawing.tables import Table
from extracted_rules.files import whole_folder
from handbuilt.network.shards import write_shards

#: Benches' figures, each after the command that finds them again.
Measured = Sequence[tuple[str, Result]]


def write_reference(
    folder: Path,
    run: Run,
    past: Past,
    told: Told,
    measured: Measured,
    probes: Probes,
    boards: BoardAccuracy,
) -> None:
    """Fill a folder with everything; what was there goes when all is written. Raises OSError."""
    manifest = Manifest(
        shape=run.model.shape,
        description=told.words or run.model.metadata["description"],
        tau=measured[0][1].tau,
        training=run.settings,
        hardware=told.hardware,
        probes={"games": probes.games, "seed": probes.seed, "accuracy": boards.as_dict()},
        measured=[{"command": typed, **result.as_dict()} for typed, result in measured],
        earlier=past.runs,
        before=past.before,
    )
    with whole_folder(folder) as partial:
        manifest = msgspec.structs.replace(manifest, shards=write_shards(run.model, partial))
        manifest.write(partial)
        probes.save(partial / PROBES)
        write_log(partial / LOG, run.log)
        for earlier, log in zip(past.runs, past.logs, strict=True):
            write_log(partial / earlier.log, log)
        training_curve(past.curves(run.log), partial / "training.png")
        layer_by_ply(
            boards.whole_boards(),
            "Whole boards right, by layer and moves seen (linear probes)",
            "share of boards",
            partial / "boards.png",
        )
        text = _card(manifest, run, past, told.note, measured, boards)
        (partial / "CARD.md").write_text(text, encoding="utf-8")


def _card(
    manifest: Manifest, run: Run, past: Past, note: str, measured: Measured, boards: BoardAccuracy
) -> str:
    """The card, in Markdown."""
    parts = [
        "# The trained Othello-GPT",
        f"{manifest.description}. Next-move prediction on uniformly random legal games, after "
        "Li et al. 2022. It is here to be compared with the hand-built models: "
        '`comparison.load_model("reference")`, `handbuilt compare logic reference`.',
        *([note] if note else []),
        Table("", ("", ""), (), _facts(manifest, run, past)).markdown(),
        f"The {'runs' if past.runs else 'run'}, up to what another device or number of threads "
        "rounds otherwise:",
        "\n".join(("```", *_commands(run, past, manifest.probes["seed"]), "```")),
        "![Validation by games seen](training.png)",
        "## Figures",
        f"Of the float16 weights computed in float32, with tau {manifest.tau:.4g}, chosen once "
        f"on {THRESHOLD_GAMES:,} separate games of seed {manifest.probes['seed']}. Brackets are "
        "95 % intervals with the game as the unit. Each table's "
        "command finds the same numbers on the same kind of device.",
        *(text for bench in measured for text in _bench(*bench)),
        "## The board inside",
        f"Linear probes after every layer, fitted on {manifest.probes['games']:,} other games; "
        f"accuracy on {boards.games} games of the first bench.",
        boards_table("", boards).markdown(),
        "![Share of whole boards right](boards.png)",
    ]
    return "\n\n".join(parts) + "\n"


def _facts(manifest: Manifest, run: Run, past: Past) -> list[tuple[str, str]]:
    """What is known of the model, and of every run that led to it."""
    settings, shape = run.settings, manifest.shape
    targets = {
        "sampled": "the move that was played",
        "legal": "the uniform distribution over the legal moves",
    }[settings.targets]
    games = f"{settings.games:,} random games, none twice in this run"
    if past.games:
        total = past.games + settings.games
        games = f"{past.games:,} + {settings.games:,} random games, {total:,} in all"
    return [
        ("shape", f"{shape.n_layers} layers, d_model {shape.d_model}, {shape.n_heads} heads of "
                  f"{shape.d_head}, d_mlp {shape.d_mlp}, {shape.n_ctx} positions"),
        ("weights", f"{sum(p.numel() for p in run.model.parameters()):,}, kept as float16"),
        ("model", run.model.metadata["description"]),
        ("games seen", games),
        *_earlier(past),
        ("phases", "; ".join(_phase_in_words(p, shape.n_ctx) for p in settings.phases)),
        ("targets", f"{settings.targets}: {targets}"),
        ("seed", f"{settings.seed} ({'' if settings.start else 'weights, and '}games of the "
                 "purpose \"training\")"),
        ("optimiser", _optimizer_in_words(settings)),
        ("precision", ", ".join(sorted({line.precision for line in run.log}))),
        ("hardware", f"{manifest.hardware}; {hours(run.log):.2f} hours of steps"),
        ("files", f"{len(manifest.shards)} shards, {sum(s.bytes for s in manifest.shards):,} "
                  f"bytes; format {FORMAT}"),
    ]  # fmt: skip


def _earlier(past: Past) -> Iterator[tuple[str, str]]:
    """A row a run before the last one; the rows after these are of that."""
    if past.before:
        yield "before run 1", f"{past.before:,} games, seen by the models it goes back to"
    for number, (run, log) in enumerate(zip(past.runs, past.logs, strict=True), start=1):
        words = f"{run.training.games:,} games, seed {run.training.seed}; {run.hardware}"
        yield f"run {number}", f"{words}; {hours(log):.2f} hours of steps"
    if past.runs:
        yield f"run {len(past.runs) + 1}", "the following lines"


def _bench(command: str, found: Result) -> tuple[str, str, str]:
    says = f"`{command}`: {found.games:,} games ({found.source})."
    return says, models_table("", [found]).markdown(), stages_table([found]).markdown()


def _phase_in_words(phase: Phase, context: int) -> str:
    length = "whole games" if phase.plies == context else f"the first {phase.plies + 1} moves"
    return f"{phase.games:,} games ({length}), {phase.batch} a step"


def _optimizer_in_words(settings: Settings) -> str:
    words = f"AdamW, learning rate {settings.learning_rate:g}"
    if settings.optimizer == "muon":
        words = (
            f"Muon for the blocks' matrices, learning rate {settings.muon_rate:g}; AdamW for the "
            f"rest, {settings.learning_rate:g}"
        )
    words += f"; {settings.warmup_games:,} games of warm-up, then "
    words += {"cosine": "a cosine to a tenth", "constant": "constant"}[settings.schedule]
    if settings.finish:
        words += f", down to nothing over the last {settings.finish:,} games"
    clip = f"at most {settings.clip:g}" if settings.clip else "not limited"
    return (
        f"{words}; weight decay {settings.weight_decay:g}, dropout {settings.dropout:g}, gradient "
        f"norm {clip}"
    )


def _commands(run: Run, past: Past, seed: int) -> list[str]:
    """What makes the model again, with every run that led to it."""
    commands: list[str] = []
    for number, earlier in enumerate(past.runs, start=1):
        commands += _training(earlier.training, f"run-{number}")
    last = f"run-{len(past.runs) + 1}" if past.runs else "run"
    *training, adoption = _training(run.settings, last)
    return [*commands, *training, f"{adoption} --seed {seed}"]


def _training(s: Settings, folder: str) -> list[str]:
    """The commands of a run and its adoption, without settings that would be so anyway."""
    usual, phases = Settings(phases=()), s.phases
    if s.finish:
        phases = (*phases[:-1], replace(phases[-1], games=phases[-1].games - s.finish))
    train = ["handbuilt", "train", "--out", folder, "--phases", shown(phases)]
    if s.start:
        train += ["--from", s.start.split(" (weights ")[0]]
    for name, value in vars(s).items():
        if name not in ("phases", "start", "shape", "finish") and value != vars(usual)[name]:
            option = "average" if name == "averages" else name.replace("_", "-")
            train += [f"--{option}", shown(value)]
    commands = [shlex.join(train)]
    if s.finish:
        commands.append(f"handbuilt train --out {folder} --finish {s.finish}")
        folder = f"{folder}/{finish_folder(s.games - s.finish, s.finish)}"
    return [*commands, f"handbuilt adopt {folder}"]
