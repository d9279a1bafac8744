"""``handbuilt replace``: take parts of a model out, put a catalogue's rules in."""

from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.options import CataloguePath, Gpt, Setup, folder, make_folder
from comparison.commands.shared import bars, command, show, wrote
from comparison.replacing import fitted, necessity, replacement
from extracted_rules import catalogue
from extracted_rules.files import write_json

#: Games on which replaced models are measured.
GAMES = 96
#: Patterns whose rules' neurons are taken out.
NECESSITY_PATTERNS = 48


@command("replace")
def replace_command(
    model: Gpt,
    path: CataloguePath,
    setup: Setup,
    games: Annotated[int, typer.Option(help="Random games to measure on.", min=2)] = GAMES,
    fitting: Annotated[
        int, typer.Option(help="Random games for means, maps, and for probes.", min=32)
    ] = fitted.FIT_GAMES,
    out: Annotated[Path, folder(help="Folder for table, picture and figures.")] = Path(
        "out/replace"
    ),
) -> None:
    """What share of each part of a model do its rules account for? Killed, it goes on."""
    from comparison.reporting import replacing
    from comparison.reporting.sections import Section, write_report

    seed, known = setup.seed, catalogue.read(path)
    loaded = setup.gpt(model, "it has no parts to replace")
    replacement.check_fits(known, loaded.fingerprint())
    # Another model, catalogue or seed is measured elsewhere.
    depends_on = replacement.digest(path.read_bytes(), known.header.fingerprint, fitting, seed)
    work = out / f"work-{depends_on}"
    make_folder(work)
    with bars() as bar:
        step = bar("fit", 2 * fitting)
        fit = fitted.fit_replacements(loaded, known, seed, (fitting, fitting), step)
        step = bar("replace", games)
        found = replacement.replacement_test(fit, games, seed, work, step)
        fewer = 2 * games // 3  # each pattern's neurons are taken out of all of these
        step = bar("take out", fewer * NECESSITY_PATTERNS)
        about = loaded, fit.activations, known
        lost = necessity.necessity_test(*about, fewer, seed, NECESSITY_PATTERNS, step)
    title = f"{model}: parts replaced by rules ({games} random games, seed {seed})"
    tables = [
        replacing.replacement_table(name, found, measure)
        for measure, name in replacing.MEASURES.items()
    ]
    tables += [replacing.necessity_table(lost)] if lost else []
    for table in tables:
        show(table)
    section = Section("replacement", "What comes back", tables=tables)
    write_report(title, [], [section], out / "replacement.md")
    figures = {
        "model": model,
        "games": games,
        "seed": seed,
        "neurons with a rule": fit.ruled,
        "parts": found,
        "necessity": lost,
    }
    write_json(figures, out / "replacement.json")
    replacing.draw_replacement(
        found, f"{model}: what its rules account for", out / "replacement.png"
    )
    wrote(out)
