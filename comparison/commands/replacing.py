"""``handbuilt replace``: take parts of a model out, put a catalogue's rules in."""

from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.options import CataloguePath, Gpt, Measuring, Setup, folder, make_folder
from comparison.commands.shared import bars, command, show, wrote
from comparison.replacing import fitted, necessity, replacement
from comparison.training import companions
from extracted_rules import catalogue
from extracted_rules.files import write_json
from handbuilt.transcripts.transcript import read

#: Games on which replaced models are measured.
GAMES = 96
#: Patterns whose rules' neurons are taken out.
NECESSITY_PATTERNS = 48


@command("replace")
def replace_command(
    model: Gpt,
    path: CataloguePath,
    setup: Setup,
    games: Measuring = GAMES,
    fitting: Annotated[
        int, typer.Option(help="Random games for means, maps, and for probes.", min=32)
    ] = fitted.FIT_GAMES,
    transcript: Annotated[
        Path | None,
        typer.Option(
            help="The model's transcript, to stand in, too. By default the one that came with the "
            "project, for its trained model."
        ),
    ] = None,
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
    if written := read(transcript) if transcript else companions.transcript(loaded):
        written.check(loaded)
    # Another model, catalogue, transcript or seed is measured elsewhere.
    of = written.fingerprint() if written else ""
    depends_on = replacement.digest(path.read_bytes(), known.header.fingerprint, of, fitting, seed)
    work = out / f"work-{depends_on}"
    make_folder(work)
    with bars() as bar:
        step = bar("fit", 2 * fitting)
        fit = fitted.fit_replacements(loaded, known, seed, (fitting, fitting), step)
        if written:
            fit = fit.with_transcript(written, seed)
        step = bar("replace", games)
        found = replacement.replacement_test(fit, games, seed, work, step)
        fewer = 2 * games // 3  # each pattern's neurons are taken out of all of these
        step = bar("take out", fewer * NECESSITY_PATTERNS)
        lost = necessity.necessity_test(
            loaded, fit.activations, known, fewer, seed, NECESSITY_PATTERNS, step
        )
    title = f"{model}: parts replaced by rules ({games} random games, seed {seed})"
    tables = replacing.tables(found, lost)
    for table in tables:
        show(table)
    section = Section("replacement", "What comes back", tables=tables)
    write_report(title, [], [section], out / "replacement.md")
    about = {"model": model, "games": games, "seed": seed, "neurons with a rule": fit.ruled}
    write_json({**about, "parts": found, "necessity": lost}, out / "replacement.json")
    what = f"{model}: what its rules account for"
    replacing.draw_replacement(found, what, out / "replacement.png")
    wrote(out)
