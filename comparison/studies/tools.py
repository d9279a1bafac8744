"""What tools of interpretability find in a model, each by the scores of the test bed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from statistics import mean

from comparison.scoring.bench import Bars
from comparison.testbed.result import Found
from comparison.testbed.scores import Score
from comparison.testbed.scoring import score_found
from comparison.tools import dictionaries, patching, readouts, rules
from extracted_rules.drawing.tables import Table
from handbuilt.network.transformer import OthelloGPT
from handbuilt.testbed.key import Key

#: What a row is of: tool, where it looked, what was scored and how.
Row = tuple[str, str, str, str]
PATCHING: Mapping[str, Callable[..., Found]] = {
    "attribution patching": patching.attribution_patching,
    "integrated gradients": patching.integrated_gradients,
    "activation patching of heads": patching.activation_patching,
}


@dataclass(frozen=True)
class Sizes:
    """games: that probes and transcripts are fitted on, and that rules are found in;
    shown: those on which features are scored; predictions: that are traced."""

    dictionary: dictionaries.Settings
    games: int = 200
    shown: int = 100
    predictions: int = 12


def found_by_tools(
    model: OthelloGPT, layers: tuple[int, ...], sizes: Sizes, seed: int, *, claims: bool
) -> Iterator[tuple[str, str, Found]]:
    """(tool, where it looked, what it found), each when it is asked for. claims: whether rules of
    neurons are found, too, which no score is for without a key."""
    shown = readouts.shown_games(model, sizes.shown, seed)
    sums = readouts.sums_of(model, sizes.games, seed)
    settings = replace(sizes.dictionary, seed=seed)
    wanted = [place for layer in layers for place in dictionaries.places(layer)]
    seen = dictionaries.activations(model, wanted, settings)
    for layer in layers:
        where, before = f"layer {layer}", f"blocks.{layer}.hook_resid_mid"
        for found in readouts.probes(model, sums, before, shown):
            yield f"linear probes, {found.said.role}", where, found
        yield "transcript, read", where, readouts.transcript(model, sums, before)
        _, _, behind = dictionaries.places(layer)
        yield (
            "autoencoder",
            where,
            dictionaries.autoencoder(model, behind, seen[behind], settings, shown),
        )
        yield "transcoder", where, dictionaries.transcoder(model, layer, seen, settings, shown)
    lens = patching.hooked(model)
    whole = patching.everything(model, sizes.predictions, seed)
    questions = patching.predictions(model, sizes.predictions, seed)
    for name, tool in PATCHING.items():
        yield name, "whole games", tool(lens, whole)
        for asked in questions:
            yield name, "one prediction", tool(lens, asked)
    if claims:
        yield "catalogue", "all layers", rules.claims(model, sizes.games, seed)


def measured(
    model: OthelloGPT,
    key: Key | None,
    layers: tuple[int, ...],
    sizes: Sizes,
    seeds: range,
    bar: Bars,
) -> dict[Row, list[Score]]:
    """By what a row is of, its score with every seed, or for every prediction with every seed."""
    step = bar("tools", len(seeds))
    rows: dict[Row, list[Score]] = {}
    for seed in seeds:
        for tool, where, found in found_by_tools(
            model, layers, sizes, seed, claims=key is not None
        ):
            scores = score_found(found, key, model, seed)
            if isinstance(found, dictionaries.Dictionary):
                scores.append(Score("itself", "variance explained", found.explained, None, 0.0))
            for score in scores:
                rows.setdefault((tool, where, score.group, score.name), []).append(score)
        step(1)
    return rows


def table(title: str, rows: Mapping[Row, list[Score]]) -> Table:
    """Means, and the least and the largest."""
    cells = []
    for row, scores in rows.items():
        figures = [s.value for s in scores]
        ceilings = [s.ceiling for s in scores if s.ceiling is not None]
        found = f"{mean(figures):.2f} [{min(figures):.2f}, {max(figures):.2f}]"
        key = f"{mean(ceilings):.2f}" if ceilings else ""
        cells.append([*row, found, key, f"{mean(s.floor for s in scores):.2f}"])
    return Table(
        title, ("tool", "where", "what", "measure"), ("found", "the key", "chance"), cells,
        says="brackets: the least and the largest of all seeds and predictions",
    )  # fmt: skip
