"""``handbuilt findings``: what was published about trained models, asked of any."""

import json as json_module
import shutil
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from comparison.commands.shared import (
    Device,
    app,
    check_writable,
    console,
    counter,
    make_folder,
    othello_gpt,
    progress_bars,
    wrote,
)
from comparison.findings import FINDINGS, FindingsError, Found, Studied, ask, named
from comparison.findings.definition import Finding
from comparison.findings.studied import GAMES, check_games
from comparison.reading.probes import fingerprint
from comparison.scoring.bench import resolve_device
from comparison.training.companions import probes, threshold
from handbuilt.network.transformer import OthelloGPT

#: What is kept of a killed run is used again by the same version alone. Raised where a finding is
#: asked otherwise.
VERSION = 2


@app.command("findings")
def findings_command(
    models: Annotated[list[str], typer.Argument(help="Recipes, or Othello-GPTs' checkpoints.")],
    games: Annotated[
        int, typer.Option(help="Random games to report on, and as many others to fit on.")
    ] = GAMES,
    seed: Annotated[int, typer.Option(help="Seed of all games.")] = 1,
    only: Annotated[
        list[str] | None,
        typer.Option(help=f"Only this finding; may be repeated: {', '.join(FINDINGS)}."),
    ] = None,
    device: Device = "auto",
    json: Annotated[Path | None, typer.Option(help="Write all figures as JSON.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the table and a PNG a finding.")] = Path(
        "out/findings"
    ),
) -> None:
    """What was published about trained Othello-GPTs, asked of these. Killed, it goes on."""
    from comparison.reporting import findings_pictures as pictures
    from comparison.reporting import findings_table as table
    from comparison.reporting.report import as_table, markdown, measured_once, write_json
    from extracted_rules.files import whole_file

    asked = named(only or FINDINGS)
    check_games(games)
    if len(set(models)) < len(models):
        raise FindingsError("a model is named twice; every model is asked once")
    if json:
        check_writable(json)
    where = resolve_device(device)
    loaded = {
        name: othello_gpt(name, "it has no parts to look at").requires_grad_(False).to(where)
        for name in models
    }
    prints = {name: fingerprint(model) for name, model in loaded.items()}
    if len(set(prints.values())) < len(models):
        raise FindingsError("two of these are the same model; every model is asked once")
    make_folder(out)
    check_writable(out / "findings.md")
    found: dict[str, dict[str, Found]] = {}
    works = []
    with progress_bars() as progress:
        for name, model in loaded.items():
            # Another model or other games are measured elsewhere.
            settings = json_module.dumps([VERSION, prints[name], games, seed, where.type])
            work = out / f"work-{sha256(settings.encode()).hexdigest()[:16]}"
            works.append(work)
            work.mkdir(exist_ok=True)
            missing = [f for f in asked if not (work / f"{f.name}.json").exists()]
            studied = _studied(name, model, games, seed, progress) if missing else None
            step = counter(progress, name, len(asked))
            found[name] = {}
            for finding in asked:
                data = measured_once(work / f"{finding.name}.json", _asking(finding, studied))
                found[name][finding.name] = Found.of_dict(data)
                step(1)
    title = f"Published findings ({games} random games, seed {seed}; in parentheses the control)"
    words, figures = table.headings(models)
    rows, notes = table.rows(asked, found), table.notes(asked, found)
    console.print(as_table(title, words, rows, figures))
    for note in notes:
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    drawn = [f for f in asked if pictures.draw(f, _of(f, found), out / f"{f.name}.png")]
    sources = [f"- `{f.name}`: {f.sentence} ({f.source})" for f in asked]
    parts = [
        f"# {title}",
        markdown([*words, *figures], rows),
        "\n".join(sources),
        "\n".join(f"- {note}" for note in notes),
        *(f"![{f.sentence}]({f.name}.png)" for f in drawn),
    ]
    with whole_file(out / "findings.md") as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    if json:
        data = {
            "games": games,
            "seed": seed,
            "findings": [
                {
                    "name": f.name,
                    "sentence": f.sentence,
                    "source": f.source,
                    "published": {m.name: m.published for m in f.measures if m.published},
                    "controls": {m.name: m.control for m in f.measures if m.control},
                    "models": {name: of.as_dict() for name, of in _of(f, found).items()},
                }
                for f in asked
            ],
        }
        write_json(data, json)
    for work in works:
        shutil.rmtree(work)
    wrote(out)


def _of(finding: Finding, found: dict[str, dict[str, Found]]) -> dict[str, Found]:
    """What a finding came to, by model."""
    return {model: of[finding.name] for model, of in found.items()}


def _asking(finding: Finding, studied: Studied | None) -> Callable[[], Any]:
    """Asks one finding of a model, for plain data."""

    def measure() -> Any:
        assert studied is not None
        return ask(finding, studied).as_dict()

    return measure


def _studied(name: str, model: OthelloGPT, games: int, seed: int, progress: Progress) -> Studied:
    """A model with its threshold and, where it has no names, its probes."""
    bars = partial(counter, progress)
    where = next(model.parameters()).device
    tau = threshold(name, model, seed, where, bars)
    return Studied(model, tau, probes(name, model, bars), games, seed)
