"""Making a run's model the project's trained model: rounded, probed, measured, described.

What is measured is the model as it will be shipped, its weights rounded to float16, so the figures
on its card are those that ``handbuilt evaluate reference`` finds.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from comparison.bench import THRESHOLD_GAMES, Result
from comparison.boards import BoardAccuracy
from comparison.figures import layer_by_ply, training_curve
from comparison.models import load_model
from comparison.probes import Probes
from comparison.reference import FORMAT, PROBES, Manifest, rounded, write_shards
from comparison.report import (
    HEADINGS,
    board_headings,
    board_rows,
    markdown,
    model_rows,
    stage_rows,
    without_nan,
)
from comparison.training import Progress, Settings, read_log
from extracted_rules.files import whole_folder
from handbuilt.transformer import CheckpointError, OthelloGPT, Shape


@dataclass(frozen=True)
class Run:
    """What a training run left behind; the model is rounded to float16."""

    model: OthelloGPT
    settings: Settings
    log: list[Progress]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Raises CheckpointError or TrainingError for a folder without a finished run."""
        path = folder / "model.safetensors"
        if not path.is_file():
            raise CheckpointError(f"{folder} holds no finished training run: no {path.name}")
        model = load_model(str(path))
        try:
            if not isinstance(model, OthelloGPT):
                raise TypeError
            data = json.loads(model.metadata["settings"])
            settings = Settings(**{**data, "shape": Shape(**data["shape"])})
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(f"{path} does not say how it was trained") from None
        return cls(rounded(model), settings, read_log(folder))

    @property
    def games(self) -> int:
        return self.settings.steps * self.settings.batch

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
    measured: Sequence[Measured],
    probes: Probes,
    boards: BoardAccuracy,
) -> None:
    """Fill a folder with everything; what was there goes when all is written. Raises OSError."""
    manifest = Manifest(
        shape=run.model.shape,
        description=run.model.metadata["description"],
        tau=measured[0].result.tau,
        training=asdict(run.settings) | {"games": run.games},
        hardware=hardware,
        probes=without_nan(
            {"games": probes.games, "seed": probes.seed, "accuracy": boards.as_dict()}
        ),
        measured=[without_nan({"command": m.command, **m.result.as_dict()}) for m in measured],
    )
    with whole_folder(folder) as partial:
        manifest = replace(manifest, shards=write_shards(run.model, partial))
        manifest.write(partial)
        probes.save(partial / PROBES)
        training_curve(run.log, partial / "training.png")
        layer_by_ply(
            boards.whole_boards(),
            "Whole boards right, by layer and moves seen (linear probes)",
            "share of boards",
            partial / "boards.png",
        )
        text = _card(manifest, run, measured, boards)
        (partial / "CARD.md").write_text(text, encoding="utf-8")


def _card(manifest: Manifest, run: Run, measured: Sequence[Measured], boards: BoardAccuracy) -> str:
    settings, shape = run.settings, manifest.shape
    targets = {
        "sampled": "the move that was played",
        "legal": "the uniform distribution over the legal moves",
    }[settings.targets]
    facts = [
        ("shape", f"{shape.n_layers} layers, d_model {shape.d_model}, {shape.n_heads} heads of "
                  f"{shape.d_head}, d_mlp {shape.d_mlp}, {shape.n_ctx} positions"),
        ("weights", f"{sum(p.numel() for p in run.model.parameters()):,}, kept as float16"),
        ("games seen", f"{run.games:,} random games, none twice"),
        ("targets", f"{settings.targets}: {targets}"),
        ("seed", f"{settings.seed} (weights, and games of the purpose \"training\")"),
        ("optimiser", f"AdamW, batches of {settings.batch} games, learning rate "
                      f"{settings.learning_rate:g} after {settings.warmup_games:,} games of "
                      f"warm-up, cosine to a tenth, weight decay {settings.weight_decay:g}, "
                      f"dropout {settings.dropout:g}, gradient norm at most {settings.clip:g}"),
        ("precision", settings.precision),
        ("hardware", f"{manifest.hardware}; {run.hours:.2f} hours of steps"),
        ("files", f"{len(manifest.shards)} shards, {sum(s.bytes for s in manifest.shards):,} "
                  f"bytes; format {FORMAT}"),
    ]  # fmt: skip
    parts = [
        "# The trained Othello-GPT",
        "Next-move prediction on uniformly random legal games, after Li et al. 2022. It is here to "
        "be compared with the hand-built models: "
        '`comparison.load_model("reference")`, `handbuilt compare logic reference`.',
        markdown(("", ""), facts),
        "The run, up to what another device or number of threads rounds otherwise:\n\n"
        f"```\n{_train_command(run)}\nhandbuilt adopt run --seed {manifest.probes['seed']}\n```",
        "![Loss and validation by games seen](training.png)",
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
            markdown(("model", "positions", *HEADINGS), [*model_rows(found), *stage_rows(found)]),
        ]
    parts += [
        "## The board inside",
        f"Linear probes after every layer, fitted on {manifest.probes['games']:,} other games; "
        f"accuracy on {boards.games} games of the first bench.",
        markdown(board_headings(boards), board_rows(boards)),
        "![Share of whole boards right](boards.png)",
    ]
    return "\n\n".join(parts) + "\n"


def _train_command(run: Run) -> str:
    s = run.settings
    return (
        f"handbuilt train --out run --games {s.games} --batch {s.batch} --targets {s.targets} "
        f"--learning-rate {s.learning_rate:g} --warmup-games {s.warmup_games} "
        f"--dropout {s.dropout:g} --seed {s.seed} --precision {s.precision}"
    )
