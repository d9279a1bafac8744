"""The sections of the page, in their order: at which size each is made, and by which function."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from comparison.findings.studied import FEWEST_GAMES
from comparison.reporting.page.exhibits import Order
from comparison.reporting.page.measured import ablations, compare, properties
from comparison.reporting.page.mistakes import BENCH, errors, explained
from comparison.reporting.page.published import findings
from comparison.reporting.page.trained_rules import catalogue, replacement
from comparison.reporting.sections import Section
from extracted_rules.files import KeptData


@dataclass(frozen=True)
class Maker:
    """How a section is made. size: its games, of the ``games`` that a page is ordered with; make:
    gives the section, or None where these models have nothing of the kind."""

    size: Callable[[int], int]
    make: Callable[[Order, int, Path], Section | None]


def _share(part: float, least: int) -> Callable[[int], int]:
    return lambda games: max(least, round(part * games))


SECTIONS: dict[str, Maker] = {
    "comparison": Maker(_share(1, 2), compare),
    "errors": Maker(_share(BENCH, 2), errors),
    "explained": Maker(_share(BENCH, 2), explained),
    "properties": Maker(_share(1 / 12, 2), properties),
    "findings": Maker(_share(1 / 10, FEWEST_GAMES), findings),
    "catalogue": Maker(_share(1, 1), catalogue),
    "replacement": Maker(_share(1 / 12, 16), replacement),
    "ablations": Maker(_share(1 / 6, 2), ablations),
}


def section(order: Order, name: str) -> tuple[Section, Path] | None:
    """A section and the folder of its pictures, as it was made before or made now; None where
    these models have nothing of the kind. Raises KeptError or OSError."""
    maker = SECTIONS[name]
    size = maker.size(order.games)
    folder = order.folder(name, size)
    folder.mkdir(parents=True, exist_ok=True)
    # A process that is killed leaves no section behind, and pictures that are drawn again.
    kept = KeptData(folder / "section.msgpack", {}, list[Section])
    made = kept.once(lambda: [found] if (found := maker.make(order, size, folder)) else [])
    return (made[0], folder) if made else None
