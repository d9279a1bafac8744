"""From a game that breaks a property to the shortest one that can be found.

Hypothesis shrinks the numbers it drew, and a smaller seed is no smaller game. So games are reduced
here by a notion of short of our own: fewer moves first, then the earlier in the order of tokens,
which among mirrored games is the canonical one. What keeps it honest: a candidate is a plain
sequence of moves, played by the engine and judged by the property itself, from nothing; one that
does not break it is dropped; and the last one is judged once more, alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from comparison.properties.definition import Property
from comparison.properties.subjects import Subject
from extracted_rules.benches.made_games import legal_part, play, seed_of
from extracted_rules.othello.game import replay
from extracted_rules.othello.geometry import Geometry

#: Candidates of a round, at most; rounds; and failures that are tried for one that stands alone.
CANDIDATES, ROUNDS, TRIED = 256, 12, 6
#: Of them, games that begin like the one to reduce and go on by chance.
BY_CHANCE = CANDIDATES // 4

Key = tuple[int, list[int]]


@dataclass(frozen=True)
class Failure:
    """A case uint8 [rows, T], T moves long, that is broken at its last position; ``square`` is the
    offending one, or -1."""

    case: Tensor
    square: int

    @property
    def plies(self) -> int:
        return self.case.shape[-1]

    @property
    def key(self) -> Key:
        """The shorter, the smaller; at equal length by tokens."""
        return self.plies, self.case.flatten().tolist()


def smallest(cases: Tensor, broken: Tensor, square: Tensor, most: int) -> list[Failure]:
    """Of judged cases uint8 [cases, rows, T] the smallest failure of each length, the shortest
    ``most`` of them, best first."""
    failures = []
    for last in broken.any(0).nonzero().squeeze(-1)[:most].tolist():
        rows = broken[:, last].nonzero().squeeze(-1).tolist()
        of_length = [Failure(cases[r, :, : last + 1].cpu(), int(square[r, last])) for r in rows]
        failures.append(min(of_length, key=lambda failure: failure.key))
    return failures


def judged(prop: Property, subject: Subject, cases: Tensor, most: int = 1) -> list[Failure]:
    """The smallest failures among cases, by the property itself."""
    verdicts = prop.judge(subject, cases)
    return smallest(cases, verdicts.broken, verdicts.square, most)


def _without(case: Tensor, *plies: int) -> Tensor:
    """The case without some of row 0's moves; rows of a pair lose the same squares."""
    gone = torch.zeros(256, dtype=torch.bool)
    gone[case[0, list(plies)].long()] = True
    gone[0] = False
    rows = torch.zeros_like(case)
    for row, tokens in zip(rows, case, strict=True):
        kept = tokens[~gone[tokens.long()]]
        row[: len(kept)] = kept
    return rows


def _shorter(case: Tensor, attempt: int, board: int) -> Iterator[Tensor]:
    """Cases with fewer moves than this one, all [rows, T], most drastic first."""
    plies = case.shape[-1]
    if len(case) == 1:
        kept = torch.arange(BY_CHANCE) * plies // BY_CHANCE
        wishes = case * (torch.arange(plies) < kept[:, None])
        seeds = torch.arange(BY_CHANCE) + seed_of("reduction", attempt)
        yield from play(wishes, seeds, board=board)[:, None]
    for step in (16, 8, 4, 1, 2, 3):
        if step < plies:
            for start in range(0, plies - step + 1, max(1, step // 2)):
                yield _without(case, *range(start, start + step))
    for start in range(plies - 2):
        yield _without(case, start, start + 2)


def _candidates(prop: Property, case: Tensor, attempt: int, geometry: Geometry) -> Tensor:
    images = [geometry.transform_tokens(case, k) for k in geometry.start_symmetries[1:]]
    shorter = islice(_shorter(case, attempt, geometry.size), CANDIDATES)
    found = torch.stack([*images, *shorter])
    if not prop.legal:
        return found
    return legal_part(found.flatten(0, 1), geometry.size).view(found.shape)


def reduce(prop: Property, subject: Subject, failures: list[Failure]) -> Failure | None:
    """The smallest failure that can be found from these and stands alone; None if none of them
    stands alone. failures: smallest first."""
    alone = (f for f in failures if verified(prop, subject, f))
    failure = next(alone, None)
    for attempt in range(ROUNDS if failure else 0):
        assert failure is not None
        candidates = _candidates(prop, failure.case, attempt, subject.geometry).to(subject.device)
        found = judged(prop, subject, candidates, TRIED)
        better = (f for f in found if f.key < failure.key and verified(prop, subject, f))
        shorter = next(better, None)
        if shorter is None:
            break
        failure = shorter
    return failure


def verified(prop: Property, subject: Subject, failure: Failure) -> bool:
    """Whether the case, alone and played anew, is broken at its last move and at no earlier one.

    A case so near to a threshold that the rounding of a sum decides is not: rounding differs with
    what stands beside it.
    """
    case = failure.case[None].to(subject.device)
    if prop.legal:
        replay(
            failure.case, board=subject.geometry.size
        )  # raises IllegalGameError: a defect of the reduction
    found = judged(prop, subject, case)
    return bool(found) and found[0].plies == failure.plies
