"""The section of published findings, asked of these models."""

from functools import partial
from pathlib import Path

from comparison.findings import FINDINGS, Found, Studied, ask
from comparison.reporting.findings import draw, notes, table
from comparison.reporting.page.exhibits import Exhibit, Order
from comparison.reporting.sections import Figure, Section
from extracted_rules.drawing.tables import Table
from extracted_rules.files import KeptData


def findings(order: Order, size: int, folder: Path) -> Section:
    """What ``handbuilt findings`` prints; what was found is kept finding by finding."""
    asked = list(FINDINGS.values())
    found = {
        e.name: _found(order, e, number, size, folder) for number, e in enumerate(order.exhibits)
    }
    drawn = [
        Figure(
            f"{finding.name}.png",
            f"`{finding.name}`: {finding.sentence} ({finding.source})",
            f"A panel a model of {finding.name}; the table holds the figures.",
        )
        for finding in asked
        if draw(finding, found, folder / f"{finding.name}.png")
    ]
    sources = Table(
        "What was published, and where",
        ("finding", "sentence", "source"),
        (),
        [[f.name, f.sentence, f.source] for f in asked],
        folded=True,
    )
    said = Table("Notes", ("note",), (), [[note] for note in notes(asked, found)], folded=True)
    return Section(
        "findings",
        "Published findings",
        [
            "What was published about trained Othello-GPTs, asked of these models: the published "
            "figure beside each model's, with 95 % intervals, and in parentheses that of a "
            f"control. {size:,} random games of seed {order.seed}, and as many others to fit on."
        ],
        [table("Findings", asked, found), sources, said],
        drawn,
    )


def _found(
    order: Order, exhibit: Exhibit, number: int, size: int, folder: Path
) -> dict[str, Found]:
    """By the findings' names."""
    studied = Studied(exhibit.model, exhibit.tau, exhibit.probes, size, order.seed)
    step = order.bar(f"findings: {exhibit.name}", len(FINDINGS))
    found = {}
    for name, finding in FINDINGS.items():
        kept = KeptData(folder / f"{number}-{name}.msgpack", {}, Found)
        found[name] = kept.once(partial(ask, finding, studied))
        step(1)
    return found
