"""The section of published findings, asked of these models."""

from pathlib import Path
from typing import Any

from comparison.findings import FINDINGS, Found, Studied, ask
from comparison.reporting.findings_pictures import draw
from comparison.reporting.findings_table import headings, notes, rows
from comparison.reporting.page.exhibits import Exhibit, Order
from comparison.reporting.page.section import Figure, Section, Table, kept


def findings(order: Order, size: int, folder: Path) -> Section:
    """What ``handbuilt findings`` prints; what was found is kept finding by finding."""
    asked = list(FINDINGS.values())
    found = {
        e.name: _found(order, e, number, size, folder) for number, e in enumerate(order.exhibits)
    }
    words, figures = headings([e.name for e in order.exhibits])
    drawn = []
    for finding in asked:
        of_models = {name: of[finding.name] for name, of in found.items()}
        if draw(finding, of_models, folder / f"{finding.name}.png"):
            drawn.append(
                Figure(
                    f"{finding.name}.png",
                    f"`{finding.name}`: {finding.sentence} ({finding.source})",
                    f"A panel a model of {finding.name}; the table holds the figures.",
                )
            )
    sentences = [[f.name, f.sentence, f.source] for f in asked]
    return Section(
        "findings",
        "Published findings",
        [
            "What was published about trained Othello-GPTs, asked of these models: the published "
            "figure beside each model's, with 95 % intervals, and in parentheses that of a "
            f"control. {size:,} random games of seed {order.seed}, and as many others to fit on.",
        ],
        [
            Table("Findings", [*words, *figures], rows(asked, found)),
            Table(
                "What was published, and where",
                ["finding", "sentence", "source"],
                sentences,
                folded=True,
            ),
            Table("Notes", ["note"], [[note] for note in notes(asked, found)], folded=True),
        ],
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

        def measure(finding: Any = finding) -> Any:
            return ask(finding, studied).as_dict()

        found[name] = kept(folder / f"{number}-{name}.json", measure, Found.of_dict)
        step(1)
    return found
