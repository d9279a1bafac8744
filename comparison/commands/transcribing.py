"""``handbuilt transcribe``: a model written down in names, and the network of that."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from comparison.commands.options import (
    Finding,
    Gpt,
    Setup,
    check_writable,
    make_folder,
    whole_numbers,
    writable,
)
from comparison.commands.shared import bars, command, show, wrote
from comparison.scoring.bench import Bars
from comparison.studies import meanings
from comparison.studies.likeness import Likeness, likeness
from comparison.training.companions import threshold
from extracted_rules.benches.intervals import interval
from extracted_rules.drawing.tables import Table
from handbuilt.network.precision import choose_precision
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcripts import distilling, transcribing
from handbuilt.transcripts.program import TAU, network
from handbuilt.transcripts.transcript import Transcript, read

#: Games on which thresholds are chosen, where none came with the model, or as many as are measured
#: on.
TAU_GAMES = 300
#: What is measured: heading, scale, digits.
COLUMNS = {
    "illegal": ("illegal %", 100, 2),
    "f1": ("F1", 1, 3),
    "excess": ("excess CE, nats", 1, 3),
    "kl": ("KL to the model, nats", 1, 4),
    "sets": ("sets equal %", 100, 1),
    "ranks": ("rank agreement of legal moves", 1, 3),
    "permuted": ("permuted", 1, 3),
}
AS_READ, BEGUN, DISTILLED = "as read", "begun with", "distilled"


@dataclass(frozen=True)
class Asked:
    """How a model is transcribed."""

    reads: Annotated[int, typer.Option(help="Names that a neuron reads.")] = 16
    dense: Annotated[
        str, typer.Option(help="Layers whose neurons read all names, by commas; may be empty.")
    ] = "0"
    kind: Annotated[
        str, typer.Option(help="In names, or as a control in random or principal directions.")
    ] = "names"
    games: Finding = transcribing.FINDING_GAMES
    distil: Annotated[
        int, typer.Option(help="Steps of distilling; none leaves the transcript as read.", min=0)
    ] = 0
    begin: Annotated[Path | None, typer.Option(help="A transcript of the model to go on from.")] = (
        None
    )
    hold: Annotated[
        float, typer.Option(help="Weight of what names tell, beside the divergence.", min=0)
    ] = distilling.Settings.hold
    alone: Annotated[
        float,
        typer.Option(help="Weight of each MLP alone in the model, beside the divergence.", min=0),
    ] = distilling.Settings.alone
    measuring: Annotated[int, typer.Option(help="Other random games to measure on.", min=2)] = 200
    beside: Annotated[
        str, typer.Option(help="Other models whose likeness is measured, too, by commas.")
    ] = ""

    @property
    def tau_games(self) -> int:
        return min(TAU_GAMES, self.measuring)

    @property
    def dense_layers(self) -> list[int]:
        """Raises UserError."""
        return whole_numbers(self.dense, "names no layers")


@command("transcribe")
def transcribe_command(
    model: Gpt,
    out: Annotated[
        Path, writable(help="Where to write the network; its transcript goes beside it.")
    ],
    asked: Asked,
    setup: Setup,
) -> None:
    """Write a model down in names: what each neuron reads. Killed, it goes on where it was."""
    loaded = setup.gpt(model, "it has no neurons to transcribe")
    transcribing.check(loaded, asked.reads, asked.dense_layers, asked.kind)
    if begun := read(asked.begin) if asked.begin else None:
        begun.check(loaded)
    beside = [name for name in asked.beside.split(",") if name]
    of_its_board = replace(setup, board=loaded.geometry.size)
    others = of_its_board.gpts(*beside, purpose="it is not of this kind")
    record, work = out.with_suffix(".transcript.safetensors"), out.with_name(f"{out.name}.work")
    check_writable(record)
    make_folder(work)
    with bars() as bar:
        made = _made(loaded, model, begun, asked, setup.seed, work, bar)
        tables = _measured(loaded, model, made, others, asked, setup.seed, bar)
    for name, table in tables.items():
        show(table, name)
    last = list(made.transcripts)[-1]
    made.networks[last].save(out)
    made.transcripts[last].write(record)
    shutil.rmtree(work)
    wrote(f"{out} and {record}")


@dataclass(frozen=True)
class Made:
    """What became of a model, as read and perhaps distilled: transcripts and networks, and sums of
    the model over the games of both purposes."""

    transcripts: dict[str, Transcript]
    networks: dict[str, OthelloGPT]
    found: transcribing.Sums
    checked: transcribing.Sums


def _made(
    loaded: OthelloGPT,
    model: str,
    begun: Transcript | None,
    asked: Asked,
    seed: int,
    work: Path,
    bar: Bars,
) -> Made:
    sums, others = (
        transcribing.collect(loaded, games, seed, purpose, work, bar(purpose, games))
        for purpose, games in (
            (transcribing.FINDING, asked.games),
            (transcribing.CHECKING, transcribing.CHECKING_GAMES),
        )
    )
    how = asked.reads, asked.dense_layers, asked.kind
    made = {AS_READ: transcribing.transcribe(loaded, model, sums, *how)}
    if begun:
        made[BEGUN] = begun
    if asked.distil:
        settings = distilling.Settings(
            steps=asked.distil, hold=asked.hold, alone=asked.alone, seed=seed
        )
        half = choose_precision(loaded.device)[0] == "bfloat16"
        step = _counting(bar(DISTILLED, asked.distil))
        state = work / "fit.safetensors"
        made[DISTILLED] = distilling.distil(
            begun or made[AS_READ], loaded, settings, state, half=half, report=step
        )
    made = {name: of.rounded() for name, of in made.items()}
    networks = {name: network(of, loaded) for name, of in made.items()}
    for name, of in made.items():
        tau = threshold(name, networks[name], seed, loaded.device, bar, asked.tau_games)
        made[name] = replace(of, about=msgspec.structs.replace(of.about, tau=tau))
        networks[name].metadata[TAU] = repr(tau)
    return Made(made, networks, sums, others)


def _counting(step: Callable[[int], None]) -> Callable[[distilling.Step], None]:
    """From where a fit goes on, whatever was done before is passed over at once."""
    done = 0

    def report(now: distilling.Step) -> None:
        nonlocal done
        step(now.step - done)
        done = now.step

    return report


def _measured(
    loaded: OthelloGPT,
    model: str,
    made: Made,
    others: dict[str, OthelloGPT],
    asked: Asked,
    seed: int,
    bar: Bars,
) -> dict[str, Table]:
    """What neurons' inputs are made of, how alike answers are, and what names mean."""
    how = asked.reads, asked.dense_layers
    controls = {
        kind: transcribing.transcribe(loaded, model, made.found, *how, kind)
        for kind in transcribing.KINDS
        if kind != asked.kind
    }
    as_read = made.transcripts[AS_READ]
    every = {asked.kind: as_read, **controls}
    models = {model: loaded, **made.networks}
    models |= {f"{kind}, {AS_READ}": network(of, loaded) for kind, of in controls.items()}
    models |= others
    taus = {
        n: threshold(n, m, seed, loaded.device, bar, asked.tau_games) for n, m in models.items()
    }
    alike = likeness(models, taus, asked.measuring, seed, bar("measured", asked.measuring))
    tables = {
        "variance": _variance(loaded, every, made.checked),
        "alike": _alike(
            f"{model}, transcribed ({asked.measuring} random games, seed {seed})", alike
        ),
    }
    if asked.kind == "names":
        told = {
            "readout of its own place": meanings.own(as_read, made.found, made.checked),
            "one direction throughout": meanings.throughout(as_read, made.checked),
        }
        for name, of in made.transcripts.items():
            games, purpose = transcribing.CHECKING_GAMES, transcribing.CHECKING
            step = bar(f"{name}: meanings", games)
            checked = transcribing.collect(made.networks[name], games, seed, purpose, progress=step)
            told[name] = meanings.in_network(of, made.networks[name], checked)
        title = "Correlation of names with their truths, before MLPs, on other games"
        tables["meanings"] = meanings.table(title, as_read.about.names, told)
    return tables


def _variance(
    loaded: OthelloGPT, every: dict[str, Transcript], checked: transcribing.Sums
) -> Table:
    kept = [transcribing.shares_kept(of, loaded, checked) for of in every.values()]
    rows = [
        [str(n), *(f"{100 * x:.1f}" for x in row)] for n, row in enumerate(zip(*kept, strict=True))
    ]
    headings = tuple(f"{kind} keep %" for kind in every)
    return Table("Variance of what goes into neurons, on other games", ("layer",), headings, rows)


def _alike(title: str, alike: dict[str, Likeness]) -> Table:
    rows = [
        [name, *(interval(of.estimates[key], *how) for key, (_, *how) in COLUMNS.items())]
        for name, of in alike.items()
    ]
    return Table(title, ("model",), [heading for heading, *_ in COLUMNS.values()], rows)
