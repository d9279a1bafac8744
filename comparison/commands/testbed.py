"""``handbuilt testbed make | score``: models with known truth, and what a tool found in them."""

from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.help import HelpfulGroup
from comparison.commands.options import (
    Board,
    Json,
    Seed,
    check_layer,
    folder,
    whole_numbers,
    writable,
)
from comparison.commands.shared import app, bars, command, show, wrote
from comparison.studies.tools import Sizes, measured
from comparison.studies.tools import table as table_of_tools
from comparison.testbed import scoring
from comparison.testbed.features import rules_of_features, table_of_rules
from comparison.testbed.result import read_result
from comparison.testbed.scores import table
from comparison.tools.dictionaries import Settings
from comparison.training.models import as_gpt, load_model
from extracted_rules.errors import UserError
from extracted_rules.files import write_json
from extracted_rules.othello.geometry import STANDARD
from handbuilt.recipes import RECIPES
from handbuilt.testbed.key import Key
from handbuilt.testbed.making import DIFFICULTIES, Asked, make, write

group = typer.Typer(
    cls=HelpfulGroup, help="Models with known truth, and scores of what a tool finds in them."
)
app.add_typer(group, name="testbed")


@command("make", group)
def make_command(
    out: Annotated[Path, folder(help="The folder to write.")],
    recipe: Annotated[str, typer.Option(help=f"One of: {', '.join(RECIPES)}.")] = "calibrated",
    difficulty: Annotated[
        str, typer.Option(help=f"One of: {', '.join(DIFFICULTIES)}.")
    ] = "disguised",
    board: Board = None,
    layers: Annotated[int | None, typer.Option(help="Layers of the model; 8 by default.")] = None,
    width: Annotated[
        int | None, typer.Option(help="d_model of a superposed model; 7 for 8 names by default.")
    ] = None,
    seed: Seed = 0,
    sealed: Annotated[
        bool, typer.Option(help="Put the key beside the folder, and leave only its hash there.")
    ] = False,
) -> None:
    """Write a hand-built model in disguise, and the key that says what is where.

    The folder holds it as safetensors, as a Hugging Face folder, and in InterpBench's layout, whose
    ll_model.pth is a TransformerLens state dict.
    """
    asked = Asked(recipe, STANDARD if board is None else board, layers, difficulty, seed, width)
    with bars() as bar:
        step = bar("made and written", 2)
        made = make(asked)
        step(1)
        write(made, out, sealed=sealed)
        step(1)
    wrote(f"{out}{' and its key beside it' if sealed else ''}")


@command("tools", group)
def tools_command(
    bed: Annotated[str, typer.Argument(help="A test bed's folder with its key, or any model.")],
    layers: Annotated[str, typer.Option(help="Layers to look at, by commas.")] = "3,5",
    games: Annotated[
        int, typer.Option(help="Games for probes, transcript and rules.", min=100)
    ] = Sizes.games,
    steps: Annotated[
        int, typer.Option(help="Steps of training a dictionary.", min=1)
    ] = Settings.steps,
    seeds: Annotated[
        int, typer.Option(help="How often all is done, with another seed.", min=1)
    ] = 2,
) -> None:
    """Run probes, dictionaries, patching and this project's own tools on a model; score them."""
    asked, place = whole_numbers(layers, "names no layers"), Path(bed)
    key: Key | None = None
    if place.is_dir():
        key, model = scoring.load(place)
    else:
        model = as_gpt(bed, load_model(bed), "it has nothing to look into")
    for layer in asked:
        check_layer(layer, model.shape.n_layers)
    sizes = Sizes(Settings(steps=steps, games=10 * games), games)
    with bars() as bar:
        rows = measured(model, key, tuple(asked), sizes, range(1, 1 + seeds), bar)
    show(table_of_tools(f"{place.name}: what tools find ({seeds} seeds)", rows), "tools")


@command("score", group)
def score_command(
    key: Annotated[Path, typer.Argument(help="A test bed's folder, or that of a sealed key.")],
    result: Annotated[Path, typer.Argument(help="What a tool found: safetensors or JSON.")],
    model: Annotated[
        Path | None, typer.Option(help="The model's file, where the key lies elsewhere.")
    ] = None,
    seed: Seed = 1,
    json: Json = None,
    rules: Annotated[
        Path | None, writable(help="Where to write the rule that each feature follows, as JSON.")
    ] = None,
) -> None:
    """Score what a tool found against the key, beside the key's own score and that of chance."""
    truth, network = scoring.load(key, model)
    found = read_result(result, truth, network.shape)
    scores = scoring.score_found(found, truth, network, seed)
    show(table(scores))
    if "activations" in found.arrays:
        followed = rules_of_features(found, truth, network)
        show(table_of_rules(followed), "rules")
        if rules is not None:
            write_json(followed, rules)
            wrote(rules)
    elif rules is not None:
        raise UserError(f"{result} has no activations, of which rules could be told")
    if json is not None:
        write_json(scores, json)
        wrote(json)
