"""How strongly a catalogue holds each pattern, and which patterns are alike."""

from functools import cache, partial

import numpy as np
import numpy.typing as npt

from extracted_rules.benches.positions import Array
from extracted_rules.catalogue.records import Catalogue
from extracted_rules.conditions import parse_part
from extracted_rules.othello.geometry import Geometry

#: Which patterns are alike: see :func:`groups`.
BORDER = "length and border"


def strengths(catalogue: Catalogue) -> dict[str, Array]:
    """How strongly a catalogue holds each pattern, float64 [patterns] in the order of
    its board's, by three measures over the neurons whose rule names it; 0 where none
    does.

    "best F1": of the neuron that agrees best. "neurons": how many there are, each weighted with its
    phi. "writes": what they add to the logit of the pattern's own square, weighted so too; below 0
    where they hold the square back.
    """
    geometry = catalogue.geometry
    number = {pattern: i for i, pattern in enumerate(geometry.patterns)}
    found = {name: np.zeros(len(number)) for name in ("best F1", "neurons", "writes")}
    for neuron in catalogue.neurons:
        if neuron.rule not in ("pattern", "line") or neuron.other is None:
            continue
        for part in neuron.parts:
            for pattern in parse_part(neuron.rule, part, geometry).patterns:
                i, phi = number[pattern], neuron.other.phi
                found["best F1"][i] = max(found["best F1"][i], neuron.other.f1)
                found["neurons"][i] += phi
                found["writes"][i] += phi * neuron.logits.get(geometry.labels[pattern.start], 0.0)
    return found


def _kind(square: int, size: int) -> int:
    """0 in a corner, 1 on the rim, 2 inside."""
    row, column = divmod(square, size)
    return 2 - (row in (0, size - 1)) - (column in (0, size - 1))


@cache
def groups(geometry: Geometry) -> dict[str, npt.NDArray[np.int64]]:
    """int64 [patterns] each: patterns that are alike have the same number. In three ways, each
    finer than the one before: any; of one length and border class (whether start and end lie in a
    corner, on the rim or inside, and whether all lies on the rim); mapped to each other by a
    symmetry."""
    keys: dict[str, list[object]] = {"all": [], BORDER: [], "symmetry": []}
    kind = partial(_kind, size=geometry.size)
    for p in geometry.patterns:
        rim = all(kind(square) < 2 for square in p.run)
        keys["all"].append(0)
        keys[BORDER].append((len(p.run), kind(p.start), kind(p.end), rim))
        # Where symmetries[k] is read at a square stands what comes to lie there.
        images = [(row.index(p.start), row.index(p.end)) for row in geometry.symmetries.tolist()]
        keys["symmetry"].append(min(images))
    found = {}
    for name, values in keys.items():
        numbers = {value: i for i, value in enumerate(dict.fromkeys(values))}
        found[name] = np.array([numbers[value] for value in values])
    return found
