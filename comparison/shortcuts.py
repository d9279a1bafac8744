"""What a notebook needs in one call."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from comparison.explaining.explainer import Explainer
from comparison.reading.board_reader import board_reader
from comparison.reading.probes import Probes
from comparison.replacing.replacement import check_fits
from comparison.scoring.bench import Bars, board_of, evaluate, no_bars, resolve_device
from comparison.scoring.error_sets import ErrorSet
from comparison.training import companions
from comparison.training.models import as_gpt, load_model, load_models
from extracted_rules import catalogue
from extracted_rules.othello.game import random_games
from handbuilt.network.transformer import OthelloGPT

#: Random games of error sets, unless more are asked for.
ERROR_GAMES = 200
#: Games by which an explainer chooses the threshold of a model that came without one: fewer than
#: for figures, as it draws a line and measures nothing.
TAU_GAMES = 200


def explainer(
    name_or_path: str,
    *,
    device: torch.device | str = "cpu",
    seed: int = 1,
    rules: Path | None = None,
    probes: Path | None = None,
    board: int | None = None,
    bars: Bars = no_bars,
) -> Explainer:
    """A model by name or path, ready to be asked why it answers as it does.

    rules: a catalogue of a trained model, which names its parts; probes: what reads its board; both
    are the project's own where they are of this model, and probes are fitted where there are none.
    seed: of the games for the threshold. board: squares a side of what is built by name, 8 unless
    said. Raises UnknownModelError for a baseline or a name that is no model, CheckpointError,
    BoardError or CatalogueError for files that are not of this model, MissingDeviceError for a
    device that is not there.
    """
    model = as_gpt(
        name_or_path, load_model(name_or_path, board), "it has no parts to explain it by"
    )
    model = model.to(resolve_device(str(device)))
    return explainer_of(name_or_path, model, seed, rules=rules, probes=probes, bars=bars)


def explainer_of(
    name: str,
    model: OthelloGPT,
    seed: int,
    *,
    rules: Path | None = None,
    probes: Path | None = None,
    bars: Bars = no_bars,
) -> Explainer:
    """As :func:`explainer`, of a model that is loaded."""
    known = catalogue.read(rules) if rules else companions.rules(model)
    if rules and known:
        check_fits(known, model.fingerprint())
    read_by = Probes.load(probes, model) if probes else companions.probes(name, model, bars)
    tau = companions.threshold(name, model, seed, model.device, bars, TAU_GAMES)
    return Explainer(name, model, board_reader(model, read_by), tau, known)


@torch.inference_mode()
def error_sets(
    names: Sequence[str],
    games: int = ERROR_GAMES,
    seed: int = 1,
    device: torch.device | str = "cpu",
    board: int | None = None,
) -> dict[str, ErrorSet]:
    """Where models err on the same random games, the bench of `evaluate` and `compare`.

    :func:`comparison.scoring.error_sets.overlap` compares two of them. board: squares a side, by
    default that of the files among the models, or 8. Raises UnknownModelError, CheckpointError,
    BoardError or MissingDeviceError.
    """
    where, models = resolve_device(str(device)), load_models(names, board)
    found: dict[str, ErrorSet] = {}
    bench: list[Tensor] = []
    for name, model in models.items():
        model = model.to(where)
        bench = bench or list(random_games(games, seed, board=board_of(model), device=where))
        tau = companions.threshold(name, model, seed, where, games=TAU_GAMES)
        found[name] = evaluate(name, model, bench, tau, f"random, seed {seed}").errors
    return found
