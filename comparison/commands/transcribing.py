"""``handbuilt transcribe``: a model written down in names, and the network of that."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.options import Gpt, Setup, check_writable, make_folder, writable
from comparison.commands.shared import bars, command, show, wrote
from comparison.studies.likeness import Likeness, likeness
from comparison.training.companions import threshold
from extracted_rules.benches.intervals import interval
from extracted_rules.drawing.tables import Table
from handbuilt import transcribing
from handbuilt.sentences import same_square
from handbuilt.transcript import TranscriptError
from handbuilt.transcript_network import network

#: Games on which thresholds are chosen, where none came with the model.
TAU_GAMES = 300
#: What is measured: heading, scale, digits.
COLUMNS = {
    "illegal": ("illegal %", 100, 2),
    "f1": ("F1", 1, 3),
    "excess": ("excess CE, nats", 1, 3),
    "kl": ("KL to the model, nats", 1, 3),
    "sets": ("sets equal %", 100, 1),
}


@dataclass(frozen=True)
class Asked:
    """How a model is transcribed."""

    reads: Annotated[int, typer.Option(help="Names that a neuron reads.")] = 16
    dense: Annotated[
        str, typer.Option(help="Layers whose neurons read all names, by commas; may be empty.")
    ] = "0"
    games: Annotated[int, typer.Option(help="Random games to find names and reads on.", min=2)] = (
        transcribing.FINDING_GAMES
    )
    measuring: Annotated[int, typer.Option(help="Other random games to measure on.", min=2)] = 200

    @property
    def dense_layers(self) -> list[int]:
        """Raises TranscriptError."""
        try:
            return [int(layer) for layer in self.dense.split(",") if layer.strip()]
        except ValueError:
            raise TranscriptError(f"{self.dense!r} names no layers") from None


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
    how = asked.reads, asked.dense_layers
    transcribing.check(loaded, *how)
    record, work = out.with_suffix(".transcript.safetensors"), out.with_name(f"{out.name}.work")
    check_writable(record)
    make_folder(work)
    seed, where = setup.seed, loaded.device
    with bars() as bar:
        sums, others = (
            transcribing.collect(loaded, games, seed, purpose, work, bar(purpose, games))
            for purpose, games in (
                (transcribing.FINDING, asked.games),
                (transcribing.CHECKING, transcribing.CHECKING_GAMES),
            )
        )
        found = transcribing.transcribe(loaded, model, sums, *how)
        random = transcribing.control(loaded, model, sums, *how)
        names = f"{asked.reads} of {len(found.about.names)} names"
        models = {
            model: loaded,
            names: network(found, loaded),
            f"{asked.reads} random directions": network(random, loaded),
        }
        taus = {n: threshold(n, m, seed, where, bar, TAU_GAMES) for n, m in models.items()}
        alike = likeness(models, taus, asked.measuring, seed, bar("measured", asked.measuring))
    kept = [transcribing.shares_kept(of, loaded, others) for of in (found, random)]
    stays = [same_square(found, loaded, layer) for layer in range(len(found.reads))]
    rows = [
        [str(n), *(f"{100 * x:.1f}" for x in row)]
        for n, row in enumerate(zip(*kept, stays, strict=True))
    ]
    headings = ("names keep %", "random directions keep %", "heads leave on its square %")
    show(Table("Variance of what goes into neurons, on other games", ("layer",), headings, rows))
    show(_table(f"{model}, transcribed ({asked.measuring} random games, seed {seed})", alike))
    models[names].save(out)
    found.write(record)
    shutil.rmtree(work)
    wrote(f"{out} and {record}")


def _table(title: str, alike: dict[str, Likeness]) -> Table:
    rows = [
        [name, *(interval(of.estimates[key], *how) for key, (_, *how) in COLUMNS.items())]
        for name, of in alike.items()
    ]
    return Table(title, ("model",), [heading for heading, *_ in COLUMNS.values()], rows)
