"""Which errors to look at: a handful that tell most, out of many thousands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from comparison.scoring.records import Records
from extracted_rules.benches.positions import Array, Mask, stages

#: How many are asked for unless somebody says otherwise.
TELLING = 10


@dataclass(frozen=True)
class Telling:
    """An illegal likeliest move.

    game: its number on the bench, from 0. ply: of the move to predict, from 1, so ply - 1 moves
    were seen. tokens: the whole game's. errs: the models whose likeliest move is illegal there.
    why: it was chosen.
    """

    game: int
    ply: int
    tokens: tuple[int, ...]
    errs: tuple[str, ...]
    why: str


def hardest(
    records: Records, count: int = TELLING, models: Sequence[str] | None = None
) -> list[Telling]:
    """At most so many errors, each of another game: of every model the one with its worst margin;
    of the first trained model and every other one that where both err worst; those where only one
    of all errs, by the lead of its margin. Then the next ones of each, in turn. As the worst errors
    of all lie in the last moves, late, middle and early ones take turns as far as there are some.

    models: whose errors; all of them if None.
    """
    at = records.positions
    chosen = [a for a in records.answers if models is None or a.model in models]
    errs = {a.model: a.errs(at, "top-1") for a in chosen}
    margins = {a.model: a.columns.margin.astype(np.float64) for a in chosen}
    first = next((a.model for a in records.first_of_pairs() if a in chosen), None)
    thirds = [last for _, last in stages(at.geometry)]
    stage = np.searchsorted(thirds, at.ply)
    queues = [
        (why, np.flatnonzero(mask)[np.argsort(-worst[mask], kind="stable")])
        for why, worst, mask in _wishes(errs, margins, first)
    ]
    found: list[Telling] = []
    unseen = np.ones(len(records.bench.tokens), dtype=np.bool_)
    while queues and len(found) < count:
        for why, queue in list(queues):
            left = queue[unseen[at.game[queue]]]
            if not len(left):
                queues.remove((why, queue))
                continue
            wanted = left[stage[left] == len(thirds) - 1 - len(found) % len(thirds)]
            row = int((wanted if len(wanted) else left)[0])
            game = int(at.game[row])
            unseen[game] = False
            found.append(
                Telling(
                    game,
                    int(at.ply[row]),
                    tuple(records.bench.tokens[game].tolist()),
                    tuple(model for model, mask in errs.items() if mask[row]),
                    why,
                )
            )
    return found[:count]


def _wishes(
    errs: dict[str, Mask], margins: dict[str, Array], first: str | None
) -> Iterator[tuple[str, Array, Mask]]:
    """(why, how telling each position is, positions to choose from)."""
    for model, mask in errs.items():
        yield f"the worst error of {model}", margins[model], mask
    for model, mask in errs.items():
        if first is not None and model != first:
            both = np.minimum(margins[first], margins[model])
            yield f"{first} and {model} both err", both, mask & errs[first]
    if len(errs) < 2:
        return
    for model, mask in errs.items():
        others = [m for m in errs if m != model]
        alone = mask & ~np.logical_or.reduce([errs[m] for m in others])
        lead = margins[model] - np.maximum.reduce([margins[m] for m in others])
        yield f"only {model} errs", lead, alone
