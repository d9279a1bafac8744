"""How a trained model came about: a run, and those that it went on from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isclose
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from comparison.training.models import as_gpt, load_model
from comparison.training.reference import MANIFEST, EarlierRun, Manifest, load_reference
from comparison.training.settings import Settings, TrainingError, settings_typed
from comparison.training.states import LOG, MODEL, Progress, curves, metadata, read_log
from comparison.training.training import validate
from extracted_rules.drawing.curves import Curve
from extracted_rules.files import digest_of
from handbuilt.network.shape import CheckpointError
from handbuilt.network.shards import rounded
from handbuilt.network.transformer import OthelloGPT

#: Nats by which float16 may move an excess cross-entropy; it is less than a hundredth of this.
ROUNDING = 5e-4


def digest(model: OthelloGPT) -> str:
    """How runs call the weights that they begin from."""
    return digest_of(model.state_dict().values())[:12]


def describe_start(name: str, model: OthelloGPT) -> str:
    """What a run says of the model that it began from: its name, its weights' digest, its words."""
    words = model.metadata.get("description", "which says nothing of itself")
    return f"{Path(name).name} (weights {digest(model)}): {words}"


@dataclass(frozen=True)
class Told:
    """What a model's card says that nothing else knows; options of ``handbuilt adopt``."""

    hardware: Annotated[str, typer.Option(help="What it was trained on.")] = "not recorded"
    words: Annotated[str, typer.Option(help="What it is, in a sentence.")] = ""
    note: Annotated[str, typer.Option(help="What else its card should say, in Markdown.")] = ""


@dataclass(frozen=True)
class Run:
    """What a training run left behind when it last exported its model, rounded to float16 here;
    settings and log end there."""

    model: OthelloGPT
    settings: Settings
    log: list[Progress]

    @classmethod
    def read(
        cls,
        path: Path,
        board: int | None = None,
        log: Path | None = None,
        trained_by: str | None = None,
    ) -> "Run":
        """A run's folder, or weights from elsewhere with their log, by default the one beside them.
        board: squares a side that its model should have, if not any.

        trained_by: the ``handbuilt train ...`` of weights that do not say how they were trained.
        Raises CheckpointError or TrainingError for no finished run, or a log of another one, and
        BoardError.
        """
        weights = path / MODEL if path.is_dir() else path
        if not weights.is_file():
            raise CheckpointError(f"{path} holds no training run that wrote a {MODEL}")
        model = as_gpt(str(weights), load_model(str(weights), board), "it was not trained")
        settings, step = _trained(model, weights, trained_by)
        if settings.finish and step < settings.steps:
            raise CheckpointError(f"the finish in {path} has not ended; resume it first")
        log = log or weights.parent / LOG
        lines = [line for line in read_log(log) if line.step <= step]
        _check_log(lines, model, settings, step, log)
        if trained_by:
            model.metadata |= metadata(settings, step, lines[-1].exported or "")
        return cls(rounded(model), settings.until(step), lines)


def _trained(model: OthelloGPT, path: Path, trained_by: str | None) -> tuple[Settings, int]:
    """The settings of a model's whole run, and after how many steps it was exported."""
    says = model.metadata.get("settings")
    if trained_by and says:
        raise TrainingError(f"{path} says itself how it was trained; it need not be said again")
    if trained_by:
        settings, name = settings_typed(trained_by, model.shape)
        began = as_gpt(name, load_model(name), "a run begins from an Othello-GPT") if name else None
        if began and digest(began) == digest(model):
            raise TrainingError(f"{path} holds the very weights that {name} names now")
        return replace(settings, start=describe_start(name, began) if began else ""), settings.steps
    try:
        return msgspec.json.decode(says or "", type=Settings), int(model.metadata["step"])
    except (KeyError, ValueError, msgspec.MsgspecError):
        raise CheckpointError(
            f"{path} does not say how it was trained; --trained-by takes the command that did"
        ) from None


def _check_log(
    log: list[Progress], model: OthelloGPT, settings: Settings, step: int, path: Path
) -> None:
    """Raise TrainingError unless a log is that of a run with these settings up to these weights."""
    for line in log:
        seen, rate = settings.seen(line.step), settings.rate(line.step - 1) * settings.learning_rate
        if line.games != seen or not isclose(line.learning_rate, rate):
            raise TrainingError(
                f"{path} is of another run: its step {line.step} is after {line.games:,} games at "
                f"a rate of {line.learning_rate:g}, this run's after {seen:,} at {rate:g}"
            )
    if not log or log[-1].step != step or not log[-1].validation:
        raise TrainingError(f"{path} has no validation after step {step}, where the weights are of")
    _, excess = log[-1].validation
    _, found = validate({"": model.eval()}, log[-1].plies, model.device)[""]
    if not isclose(found, excess, abs_tol=ROUNDING):
        raise TrainingError(
            f"{path} is of another run: its last validation found an excess of {excess:.4f}, these "
            f"weights have {found:.4f}"
        )


def hours(log: Sequence[Progress]) -> float:
    """Time spent in steps, from a log's rates."""
    seen = [0, *(line.games for line in log)]
    parts = zip(seen, seen[1:], log, strict=False)
    return sum((now - before) / line.games_per_second for before, now, line in parts) / 3600


@dataclass(frozen=True)
class Past:
    """Runs that a run went on from, each with its log, and the games seen before the first."""

    runs: tuple[EarlierRun, ...] = ()
    logs: tuple[list[Progress], ...] = ()
    before: int = 0

    @classmethod
    def of(cls, run: Run, folder: Path) -> "Past":
        """What a folder's model knows of the weights that a run began from, be they its own or
        those of a run before it. Raises CheckpointError and TrainingError."""
        if not (folder / MANIFEST).exists():
            return cls()
        there, start = Manifest.read(folder), run.settings.start
        own = EarlierRun(digest(load_reference(folder)), there.training, there.hardware, LOG)
        runs = (*there.earlier, own)
        ends = [n for n, run in enumerate(runs, 1) if f"(weights {run.weights})" in start]
        runs = runs[: max(ends, default=0)]
        logs = tuple(read_log(folder / earlier.log) for earlier in runs)
        places = (f"log-{number}.jsonl" for number in range(1, len(runs) + 1))
        named = map(lambda earlier, log: msgspec.structs.replace(earlier, log=log), runs, places)
        return cls(tuple(named), logs, there.before if runs else 0)

    @property
    def games(self) -> int:
        """Games that were seen before the run."""
        return self.before + sum(run.training.games for run in self.runs)

    def curves(self, log: Sequence[Progress]) -> list[Curve]:
        """Validation by all games seen: of the run with this log in colours, before it in grey."""
        drawn, seen = [], self.before
        for number, (run, earlier) in enumerate(zip(self.runs, self.logs, strict=True), start=1):
            found = curves(earlier, f"run {number}", seen)
            drawn += [replace(curve, colour=None) for curve in found]
            seen += run.training.games
        return drawn + curves(log, before=seen)


def in_place(folder: Path) -> str:
    """The trained model that a folder holds, in words; "" for none. Raises CheckpointError."""
    if not (folder / MANIFEST).exists():
        return ""
    there = Manifest.read(folder)
    games = Past(there.earlier, before=there.before).games + there.training.games
    words = [f"{games:,} games"]
    for bench in there.measured:
        illegal = bench["strata"]["all"]["all"]["illegal_top1"]["value"]
        words.append(f"{100 * illegal:.3f} % illegal on {bench['games']:,} ({bench['source']})")
    return f"the trained model of weights {digest(load_reference(folder))}: {'; '.join(words)}"
