"""From a game that breaks a property to the shortest one that can be found.

Hypothesis shrinks the numbers it drew, and a smaller seed is no smaller game. So games are reduced
here by a notion of short of our own: fewer moves first, then the earlier in the order of tokens,
which among mirrored games is the canonical one. What keeps it honest: a candidate is a plain
sequence of moves, played by the engine and judged by the property itself, from nothing; one that
does not break it is dropped; and the last one is judged once more, alone.
"""

from dataclasses import dataclass

from torch import Tensor

from comparison.properties.definition import Property
from comparison.properties.subjects import Subject
from extracted_rules.benches.changed_games import smaller_cases
from extracted_rules.othello.game import replay

#: Rounds, at most; and failures that are tried for one that stands alone.
ROUNDS, TRIED = 12, 6

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


def reduce(prop: Property, subject: Subject, failures: list[Failure]) -> Failure | None:
    """The smallest failure that can be found from these and stands alone; None if none of them
    stands alone. failures: smallest first."""
    alone = (f for f in failures if verified(prop, subject, f))
    failure = next(alone, None)
    for attempt in range(ROUNDS if failure else 0):
        assert failure is not None
        board = subject.geometry.size
        candidates = smaller_cases(failure.case, attempt, board, legal=prop.legal)
        found = judged(prop, subject, candidates.to(subject.device), TRIED)
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
