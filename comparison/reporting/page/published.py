"""The section of published findings, asked of these models."""

from functools import partial
from pathlib import Path

from comparison.findings import FINDINGS, Studied, ask_all
from comparison.reporting.findings import draw, notes, table
from comparison.reporting.page.exhibits import Order
from comparison.reporting.sections import Figure, Section
from extracted_rules.drawing.tables import Table


def findings(order: Order, size: int, folder: Path) -> Section:
    """What ``handbuilt findings`` prints; what was found is kept finding by finding."""
    asked = list(FINDINGS.values())
    found = {}
    for number, e in enumerate(order.exhibits):
        studied = partial(Studied, e.model, e.tau, e.probes, size, order.seed)
        answers = folder / f"{number}"
        answers.mkdir(exist_ok=True)
        step = order.bar(f"findings: {e.name}", len(asked))
        found[e.name] = ask_all(asked, studied, answers, step)
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
