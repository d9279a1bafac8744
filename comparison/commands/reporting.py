"""``handbuilt report``: one page that shows what is known of the models, and an explorer."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from comparison.commands.options import Bench, check_writable, folder, make_folder
from comparison.commands.shared import bars, command, notes, typed, wrote
from comparison.reporting.page.exhibits import Exhibit, Order
from comparison.reporting.page.explorer import Shown, explore, given, openings, telling_errors
from comparison.scoring.bench import Bars
from comparison.training import companions, reference
from comparison.training.models import EXTRACTED, REFERENCE
from extracted_rules.errors import UserError
from extracted_rules.files import KeptData
from extracted_rules.othello.geometry import STANDARD
from handbuilt.network.transformer import OthelloGPT
from handbuilt.recipes import RECIPES

#: Games of the comparison; the other sections' are shares of them.
GAMES = 600
#: Shown, the trained one and its transcript where the project has them, unless others are asked
#: for.
MODELS = (REFERENCE, EXTRACTED, "calibrated", "logic")
EXPLORER = "explorer"
#: Games of a file that the explorer takes, at most.
MOST_GIVEN = 8
PAGE = "report.html"


@command("report", games=GAMES)
def report_command(
    out: Annotated[Path, folder(help=f"Folder for {PAGE}, and for what it is made of.")],
    bench: Bench,
    models: Annotated[
        list[str] | None,
        typer.Argument(help=f"Recipes or checkpoint paths; {' '.join(MODELS)} by default."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this section, or `explorer`; may be repeated.")
    ] = None,
) -> None:
    """Write one self-contained page: every comparison, and an explorer of games.

    Killed, it goes on with what it had. The comparison is of random games, and other sections' go
    with it; those of --file are for the explorer.
    """
    from comparison.reporting.page.rendering import render, write_page
    from comparison.reporting.page.sections import SECTIONS, section

    asked = _asked(only, [EXPLORER, *SECTIONS])
    names = models or models_shown(bench.side)
    loaded = bench.gpts(*names, purpose="it has no parts to show")
    shown = _given(bench, loaded[names[0]].geometry.size)
    work = _work_folder(out)
    with bars() as bar:
        exhibits = tuple(_exhibit(n, m, bench.seed, work, bar) for n, m in loaded.items())
        order = Order(exhibits, bench.games, bench.seed, work, bar)
        made = {name: section(order, name) for name in SECTIONS if name in asked}
        explored = None
        if EXPLORER in asked:
            explored = explore(order, [*telling_errors(order), *openings(order.geometry), *shown])
    for name in (name for name, found in made.items() if found is None):
        notes.print(f"left out {name}: none of these models has anything of the kind")
    sections = [found for found in made.values() if found is not None]
    described = [(e.name, e.model.metadata.get("description", "")) for e in exhibits]
    page = render(sections, explored, described, typed())
    write_page(page, out / PAGE)
    size = len(page.encode()) / 1e6
    wrote(f"{out / PAGE}, {size:.1f} MB")


def models_shown(board: int) -> list[str]:
    """The models of a page that none is asked for of; those of any board on another than 8 x 8."""
    if board != STANDARD:
        return ["logic"]
    trained = (REFERENCE, EXTRACTED) if reference.is_there() else ()
    return [name for name in MODELS if name in trained or name in RECIPES]


def _work_folder(out: Path) -> Path:
    """The folder for what a page is made of, where page and folder can be written. Raises
    OSError."""
    work = out / "work"
    make_folder(work)
    check_writable(out / PAGE)
    return work


def _given(bench: Bench, board: int) -> list[Shown]:
    """The first games of the file, if there is one."""
    if bench.file is None:
        return []
    batches, source = replace(bench, device="cpu").recorded(bench.file, board)
    games = torch.cat(batches)
    if len(games) > MOST_GIVEN:
        notes.print(
            f"the explorer takes the first {MOST_GIVEN} of {len(games):,} games of {bench.file}"
        )
    return given(games[:MOST_GIVEN], source)


def _exhibit(name: str, model: OthelloGPT, seed: int, work: Path, bar: Bars) -> Exhibit:
    """A model with all that is needed to show it; what takes time is kept in ``work``."""
    model.requires_grad_(False)
    kept = KeptData(work / f"tau-{model.fingerprint()[:16]}-{seed}.msgpack", {}, float)
    tau = kept.once(lambda: companions.threshold(name, model, seed, model.device, bar))
    return Exhibit(name, model, tau, companions.probes(name, model, bar), companions.rules(model))


def _asked(only: list[str] | None, there: list[str]) -> list[str]:
    """The sections that are asked for. Raises UserError for one that is not there."""
    for name in only or []:
        if name not in there:
            raise UserError(f"no section is called {name!r}; there is {', '.join(there)}")
    return list(only or there)
