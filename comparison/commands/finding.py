"""``handbuilt findings``: what was published about trained models, asked of any."""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.options import Json, Setup, check_writable, folder, make_folder
from comparison.commands.shared import bars, command, say, show, wrote
from comparison.findings import FINDINGS, FindingsError, Found, Studied, ask_all, named
from comparison.findings.definition import Finding
from comparison.findings.interventions import of_cases
from comparison.findings.studied import GAMES, check_games
from comparison.replacing.replacement import digest
from comparison.scoring.bench import Bars
from comparison.training.companions import probes, threshold
from extracted_rules.benches.interventions import read_interventions
from extracted_rules.files import write_json
from handbuilt.network.transformer import OthelloGPT

#: What is kept of a killed run is used again by the same version alone. Raised where a finding is
#: asked otherwise.
VERSION = 2


@command("findings")
def findings_command(
    models: Annotated[list[str], typer.Argument(help="Recipes, or Othello-GPTs' checkpoints.")],
    setup: Setup,
    games: Annotated[
        int, typer.Option(help="Random games to report on, and as many others to fit on.")
    ] = GAMES,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this finding; may be repeated: {', '.join(FINDINGS)}."),
    ] = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            help="Interventions to ask about as well: moves, square and its colour a line."
        ),
    ] = None,
    json: Json = None,
    out: Annotated[Path, folder(help="Folder for the table and a PNG a finding.")] = Path(
        "out/findings"
    ),
) -> None:
    """What was published about trained Othello-GPTs, asked of these. Killed, it goes on."""
    asked = named(only or FINDINGS)
    check_games(games)
    loaded = setup.gpts(*models, purpose="it has no parts to look at")
    prints = {name: model.requires_grad_(False).fingerprint() for name, model in loaded.items()}
    if len(set(prints.values())) < len(prints):
        raise FindingsError("two of these are the same model; every model is asked once")
    # Another model, other games or cases are measured elsewhere.
    shared: list[object] = [games, setup.seed, setup.where.type]
    if cases is not None:
        given = read_interventions(cases, next(iter(loaded.values())).geometry.size)
        asked.append(of_cases(given))
        shared.append(given.fingerprint)
    make_folder(out)
    check_writable(out / "findings.md")
    works = {
        name: out / f"work-{digest(b'', VERSION, fingerprint, *shared)}"
        for name, fingerprint in prints.items()
    }
    found = {}
    with bars() as bar:
        for name, model in loaded.items():
            works[name].mkdir(exist_ok=True)
            studied = partial(_studied, name, model, games, setup.seed, bar)
            found[name] = ask_all(asked, studied, works[name], bar(name, len(asked)))
    title = (
        f"Published findings ({games} random games, seed {setup.seed}; in parentheses the control)"
    )
    _write(title, asked, found, out)
    if json:
        _write_json({"games": games, "seed": setup.seed}, asked, found, json)
    for work in works.values():
        shutil.rmtree(work)
    wrote(out)


def _studied(name: str, model: OthelloGPT, games: int, seed: int, bar: Bars) -> Studied:
    """A model with its threshold and, where it has no names, its probes."""
    tau = threshold(name, model, seed, model.device, bar)
    return Studied(model, tau, probes(name, model, bar), games, seed)


def _write(title: str, asked: list[Finding], found: dict[str, dict[str, Found]], out: Path) -> None:
    """The table, shown and in ``findings.md``, with its notes, sources and pictures."""
    from comparison.reporting import findings as shown
    from comparison.reporting.sections import Figure, Section, write_report

    table, notes = shown.table(title, asked, found), shown.notes(asked, found)
    show(table, "findings")
    say(*notes)
    drawn = [
        Figure(f"{f.name}.png", f.sentence)
        for f in asked
        if shown.draw(f, found, out / f"{f.name}.png")
    ]
    sources = "\n".join(f"- `{f.name}`: {f.sentence} ({f.source})" for f in asked)
    said = "\n".join(f"- {note}" for note in notes)
    section = Section("findings", title, [sources, said], [table], drawn)
    write_report("Findings", [], [section], out / "findings.md")


def _write_json(
    bench: dict[str, int], asked: Sequence[Finding], found: dict[str, dict[str, Found]], path: Path
) -> None:
    findings = [
        {
            "name": f.name,
            "sentence": f.sentence,
            "source": f.source,
            "published": {m.name: m.published for m in f.measures if m.published},
            "controls": {m.name: m.control for m in f.measures if m.control},
            "models": {name: of[f.name] for name, of in found.items()},
        }
        for f in asked
    ]
    write_json({**bench, "findings": findings}, path)
