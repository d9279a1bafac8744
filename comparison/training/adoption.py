"""Making a run's model the project's trained model: rounded, probed, measured, described.

What is measured is the model as it will be shipped, its weights rounded to float16, so the figures
on its card are those that ``handbuilt evaluate reference`` finds.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from comparison.reading.boards import BoardAccuracy
from comparison.reading.probes import Probes
from comparison.reporting.figures import layer_by_ply, training_curve
from comparison.reporting.report import boards_table, models_table, stages_table
from comparison.scoring.bench import THRESHOLD_GAMES, Result
from comparison.training.models import load_model
from comparison.training.reference import FORMAT, PROBES, Manifest
from comparison.training.settings import Phase, Settings, shown
from comparison.training.states import MODEL, Progress, curves, finish_folder, read_log, write_log
from extracted_rules.drawing.tables import Table
from extracted_rules.files import whole_folder
from handbuilt.network.shape import CheckpointError
from handbuilt.network.shards import rounded, write_shards
from handbuilt.network.transformer import OthelloGPT


@dataclass(frozen=True)
class Run:
    """What a training run left behind when it last exported its model, rounded to float16 here;
    settings and log end there."""

    model: OthelloGPT
    settings: Settings
    log: list[Progress]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Raises CheckpointError or TrainingError for a folder without a finished run."""
        path = folder / MODEL
        if not path.is_file():
            raise CheckpointError(f"{folder} holds no training run that wrote a {MODEL}")
        model = load_model(str(path))
        try:
            if not isinstance(model, OthelloGPT):
                raise TypeError
            settings = msgspec.json.decode(model.metadata["settings"], type=Settings)
            step = int(model.metadata["step"])
        except (KeyError, TypeError, ValueError, msgspec.MsgspecError):
            raise CheckpointError(f"{path} does not say how it was trained") from None
        if settings.finish and step < settings.steps:
            raise CheckpointError(f"the finish in {folder} has not ended; resume it first")
        log = [line for line in read_log(folder) if line.step <= step]
        return cls(rounded(model), settings.until(step), log)

    @property
    def hours(self) -> float:
        """Time spent in steps, from the log's rates."""
        seen = [0, *(line.games for line in self.log)]
        parts = zip(seen, seen[1:], self.log, strict=False)
        return sum((now - before) / line.games_per_second for before, now, line in parts) / 3600


@dataclass(frozen=True)
class Measured:
    """A bench's figures and the command that finds them again."""

    command: str
    result: Result


def write_reference(
    folder: Path,
    run: Run,
    hardware: str,
    note: str,
    measured: Sequence[Measured],
    probes: Probes,
    boards: BoardAccuracy,
) -> None:
    """Fill a folder with everything; what was there goes when all is written. Raises OSError."""
    manifest = Manifest(
        shape=run.model.shape,
        description=run.model.metadata["description"],
        tau=measured[0].result.tau,
        training=msgspec.to_builtins(run.settings) | {"games": run.settings.games},
        hardware=hardware,
        probes={"games": probes.games, "seed": probes.seed, "accuracy": boards.as_dict()},
        measured=[{"command": m.command, **m.result.as_dict()} for m in measured],
    )
    with whole_folder(folder) as partial:
        manifest = msgspec.structs.replace(manifest, shards=write_shards(run.model, partial))
        manifest.write(partial)
        probes.save(partial / PROBES)
        write_log(partial, run.log)
        training_curve(curves(run.log), partial / "training.png")
        layer_by_ply(
            boards.whole_boards(),
            "Whole boards right, by layer and moves seen (linear probes)",
            "share of boards",
            partial / "boards.png",
        )
        text = _card(manifest, run, note, measured, boards)
        (partial / "CARD.md").write_text(text, encoding="utf-8")


def _card(
    manifest: Manifest, run: Run, note: str, measured: Sequence[Measured], boards: BoardAccuracy
) -> str:
    settings, shape = run.settings, manifest.shape
    targets = {
        "sampled": "the move that was played",
        "legal": "the uniform distribution over the legal moves",
    }[settings.targets]
    facts = [
        ("shape", f"{shape.n_layers} layers, d_model {shape.d_model}, {shape.n_heads} heads of "
                  f"{shape.d_head}, d_mlp {shape.d_mlp}, {shape.n_ctx} positions"),
        ("weights", f"{sum(p.numel() for p in run.model.parameters()):,}, kept as float16"),
        ("model", run.model.metadata["description"]),
        ("games seen", f"{run.settings.games:,} random games, none twice in this run"),
        ("phases", "; ".join(_phase_in_words(p, shape.n_ctx) for p in settings.phases)),
        ("targets", f"{settings.targets}: {targets}"),
        ("seed", f"{settings.seed} ({'' if settings.start else 'weights, and '}games of the "
                 "purpose \"training\")"),
        ("optimiser", _optimizer_in_words(settings)),
        ("precision", ", ".join(sorted({line.precision for line in run.log}))),
        ("hardware", f"{manifest.hardware}; {run.hours:.2f} hours of steps"),
        ("files", f"{len(manifest.shards)} shards, {sum(s.bytes for s in manifest.shards):,} "
                  f"bytes; format {FORMAT}"),
    ]  # fmt: skip
    parts = [
        "# The trained Othello-GPT",
        "Next-move prediction on uniformly random legal games, after Li et al. 2022. It is here to "
        "be compared with the hand-built models: "
        '`comparison.load_model("reference")`, `handbuilt compare logic reference`.',
        Table("", ("", ""), (), facts).markdown(),
        "The run, up to what another device or number of threads rounds otherwise:",
        "\n".join(("```", *_commands(run, manifest.probes["seed"]), "```")),
        *([note] if note else []),
        "![Validation by games seen](training.png)",
        "## Figures",
        f"Of the float16 weights computed in float32, with tau {manifest.tau:.4g}, chosen once "
        f"on {THRESHOLD_GAMES:,} separate games of seed {manifest.probes['seed']}. Brackets are "
        "95 % intervals with the game as the unit. Each table's "
        "command finds the same numbers on the same kind of device.",
    ]
    for bench in measured:
        found = [bench.result]
        parts += [
            f"`{bench.command}`: {bench.result.games:,} games ({bench.result.source}).",
            models_table("", found).markdown(),
            stages_table(found).markdown(),
        ]
    parts += [
        "## The board inside",
        f"Linear probes after every layer, fitted on {manifest.probes['games']:,} other games; "
        f"accuracy on {boards.games} games of the first bench.",
        boards_table("", boards).markdown(),
        "![Share of whole boards right](boards.png)",
    ]
    return "\n\n".join(parts) + "\n"


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


def _commands(run: Run, seed: int) -> list[str]:
    """What makes the model again; settings that are as they would be anyway are left out."""
    s, usual, folder = run.settings, Settings(phases=()), "run"
    phases = s.phases
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
    return [*commands, f"handbuilt adopt {folder} --seed {seed}"]
