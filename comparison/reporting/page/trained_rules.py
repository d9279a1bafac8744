"""Sections of the rules that a catalogue found in a trained model, and what they account for."""

from dataclasses import replace
from pathlib import Path

from comparison.replacing.fitted import FIT_GAMES, fit_replacements
from comparison.replacing.replacement import replacement_test
from comparison.reporting import replacing
from comparison.reporting.page.exhibits import Exhibit, Order
from comparison.reporting.sections import Figure, Section
from extracted_rules.catalogue import RULES, Catalogue, census
from extracted_rules.drawing.tables import Table


def _catalogued(order: Order) -> tuple[Exhibit, Catalogue] | None:
    """The first model whose rules are catalogued."""
    return next(((e, e.catalogue) for e in order.exhibits if e.catalogue), None)


def catalogue(order: Order, size: int, folder: Path) -> Section | None:
    """What rules a catalogue found in a model; it is read, not made anew."""
    found = _catalogued(order)
    if found is None:
        return None
    exhibit, known = found
    layers, counts = census(known.neurons)
    agrees = "the rule and the neuron agree on other games"
    rows = [
        [name, RULES.get(name, agrees), *(f"{n:,}" for n in by_layer), f"{sum(by_layer):,}"]
        for name, by_layer in counts.items()
        if any(by_layer) or name not in RULES
    ]
    heads = [
        [f"layer {at}", ", ".join(h.role for h in known.heads if h.layer == at)] for at in layers
    ]
    found_on, checked = known.header.found_on, known.header.checked_on
    return Section(
        "catalogue",
        f"The rules that were found in {exhibit.name}",
        [
            f"The catalogue says which rule describes each neuron of `{exhibit.name}` best. "
            f"It was found on {found_on.games:,} random games and checked on {checked.games:,} "
            "others; beside each rule stands the best one that the same search finds on boards of "
            "other games, and only what beats that counts.",
        ],
        [
            Table(
                "Neurons by rule and layer", ("rule", "that is"), [*map(str, layers), "all"], rows
            ),
            Table("What the heads look at", ("layer", "its heads"), (), heads, folded=True),
        ],
    )  # fmt: skip


def replacement(order: Order, size: int, folder: Path) -> Section | None:
    """Parts of a model taken out and rules put in: what comes back."""
    catalogued = _catalogued(order)
    if catalogued is None:
        return None
    exhibit, known = catalogued
    fitting = min(FIT_GAMES, 4 * size)
    fit = fit_replacements(
        exhibit.model, known, order.seed, (fitting, fitting),
        order.bar("replace: fit", 2 * fitting),
    )  # fmt: skip
    found = replacement_test(fit, size, order.seed, folder, order.bar("replace", size))
    title = f"{exhibit.name}: what its rules account for"
    replacing.draw_replacement(found, title, folder / "replacement.png")
    whole = next(r for r in reversed(found) if r.family == "both up to")
    tables = [
        replace(
            replacing.replacement_table(
                f"With every part replaced, and with each: {name}", found, measure
            ),
            folded=True,
        )
        for measure, name in replacing.MEASURES.items()
    ]
    back = whole.ce_back["own"]
    return Section(
        "replacement",
        "The replacement test",
        [
            f"Correlation is not use: each part of `{exhibit.name}` is taken out, its rules are "
            "put in its place, and what comes back is measured, between its mean (the floor) and "
            f"the whole model. {size:,} random games of seed {order.seed}, {fitting:,} others for "
            "the fits. The rules read the board decoded from the model there, or the true "
            "one; beside them stand a linear map of the same board and, as a control, rules of "
            "other neurons.",
        ],
        tables,
        [
            Figure(
                "replacement.png",
                "The share of lost cross-entropy that comes back, by layer; below, what the mean "
                "loses.",
                "Five panels of points with intervals by layer, for what stands in; the tables "
                "hold the same numbers.",
            )
        ],
        []
        if back is None
        else [
            (
                f"{100 * back.value:.0f} %",
                f"of the cross-entropy comes back with rules for every part of {exhibit.name}",
            )
        ],
    )  # fmt: skip
