"""Making a run's model the project's trained model: rounded, probed, measured, described.

What is measured is the model as it will be shipped, its weights rounded to float16, so the figures
on its card are those that ``handbuilt evaluate reference`` finds.
"""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
from jinja2 import Environment, StrictUndefined

from comparison.reading.boards import BoardAccuracy
from comparison.reading.probes import Probes
from comparison.reporting.figures import training_curve
from comparison.reporting.report import boards_table, models_table, stages_table
from comparison.scoring.bench import THRESHOLD_GAMES, Result
from comparison.training.history import Past, Run, Told, hours
from comparison.training.reference import PROBES, Manifest
from comparison.training.settings import Settings, shown
from comparison.training.states import LOG, finish_folder, write_log
from extracted_rules.drawing.positions import layer_by_ply
from extracted_rules.files import whole_folder
from handbuilt.network.shards import write_shards

#: The card's template.
CARD = Path(__file__).with_name("card.md")
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
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters.update(thousands="{:,}".format, hours=hours)
    return environment.from_string(CARD.read_text(encoding="utf-8")).render(
        manifest=manifest,
        shape=manifest.shape,
        run=run,
        settings=run.settings,
        past=past,
        note=note,
        measured=measured,
        boards=boards,
        parameters=sum(p.numel() for p in run.model.parameters()),
        optimizer=_optimizer_in_words(run.settings),
        commands=_commands(run, past, manifest.probes["seed"]),
        threshold_games=THRESHOLD_GAMES,
        boards_table=boards_table,
        models_table=models_table,
        stages_table=stages_table,
    )


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
