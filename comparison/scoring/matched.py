"""How models' errors go together, two by two: see :mod:`extracted_rules.benches.matched`."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from comparison.scoring.records import ALL_KINDS, Records
from extracted_rules.benches.matched import Errors, Matching, Table, tables


@dataclass(frozen=True)
class Pair:
    """Two models' errors of one kind; a table for all positions, by pass state and by stage."""

    a: str
    b: str
    kind: str
    strata: dict[str, Table]


def pairs(
    records: Records, matching: Matching, seed: int, kinds: Sequence[str] = ALL_KINDS
) -> Iterator[Pair]:
    """Every trained model's errors (or the first model's) against every other model's."""
    generator = np.random.default_rng(seed)
    for kind in kinds:
        errors = {
            answers.model: Errors(matching, answers.errs(records.positions, kind), generator)
            for answers in records.answers
        }
        for first, other in product(records.first_of_pairs(), records.answers):
            if first is not other:
                found = tables(errors[first.model], errors[other.model])
                yield Pair(first.model, other.model, kind, found)
