"""What a neuron could stand for: every single condition, and the positions in which it holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from scipy.sparse import csr_array
from torch import Tensor

from extracted_rules.conditions import DISC_STATES, Boards
from extracted_rules.othello.geometry import Geometry

Rows = npt.NDArray[np.int32]

#: Families in which few positions meet a condition, and those in which many do. "Played" comes
#: before "closed", which says the same where a line never has a gap.
RARE = ("pattern", "line", "flip", "flip-either", "played", "closed", "closed-either")
COMMON = ("disc", "blank", "occupied", "line-or-full")


@dataclass(frozen=True)
class Family:
    """Conditions of one kind. ``rule`` is the catalogue's; several families may make one rule.

    rows: for each part, the numbers of the positions in which it holds, ascending.
    """

    geometry: Geometry
    rule: str
    parts: tuple[str, ...]
    rows: tuple[Rows, ...]

    @cached_property
    def support(self) -> npt.NDArray[np.int64]:
        """[parts]: in how many positions each holds."""
        return np.array([len(rows) for rows in self.rows], dtype=np.int64)

    @cached_property
    def of_start(self) -> dict[int, list[int]]:
        """The parts that are patterns, by their start square."""
        found: dict[int, list[int]] = {}
        for number, part in enumerate(self.parts):
            if part in self.geometry.pattern_by_name:
                start = self.geometry.pattern_by_name[part].start
                found.setdefault(start, []).append(number)
        return found


@dataclass(frozen=True)
class Candidates:
    """All conditions over some positions."""

    boards: Boards
    families: dict[str, Family]

    @classmethod
    def over(cls, boards: Boards) -> "Candidates":
        families = {name: _family(name, boards) for name in (*RARE, *COMMON)}
        return cls(boards, families)

    @cached_property
    def _rare(self) -> "csr_array[np.float32]":
        """[parts of rare families, N]."""
        rows = [rows for name in RARE for rows in self.families[name].rows]
        starts, columns = np.cumsum([0, *map(len, rows)]), np.concatenate(rows)
        ones = np.ones(len(columns), dtype=np.float32)
        return csr_array((ones, columns, starts), shape=(len(rows), len(self.boards)))

    @cached_property
    def _common(self) -> Tensor:
        """float32 [parts of common families, N]."""
        parts = [rows for name in COMMON for rows in self.families[name].rows]
        dense = torch.zeros(len(parts), len(self.boards))
        for number, rows in enumerate(parts):
            dense[number, torch.from_numpy(rows)] = 1
        return dense

    def sums(self, activations: Tensor) -> dict[str, Tensor]:
        """By family, float32 [parts, neurons]: activations, summed where each holds.

        activations: float32 [N, neurons] on the CPU.
        """
        sums: dict[str, Tensor] = {}
        rare = torch.from_numpy(self._rare @ activations.numpy())
        for names, added in ((RARE, rare), (COMMON, self._common @ activations)):
            sizes = [len(self.families[name].parts) for name in names]
            sums |= dict(zip(names, torch.split(added, sizes), strict=True))
        return sums


def shuffled(boards: Boards, seed: int) -> Boards:
    """The control: every position gets the board of another game at the same ply, by chance.

    At a ply that a single game reached there is no other; its position keeps its board.
    """
    generator = torch.Generator().manual_seed(seed)
    chance = torch.rand(len(boards), generator=generator, dtype=torch.float64)
    # Both orders go through plies one after the other, so they pair positions of the same ply: by
    # chance within it, and each with the next one in that order.
    order = torch.argsort(boards.ply + chance)
    ply = boards.ply[order]
    first = torch.searchsorted(ply, ply)
    last = torch.searchsorted(ply, ply, right=True)
    place = torch.arange(len(order))
    following = torch.where(place + 1 < last, place + 1, first)
    rows = torch.empty_like(order)
    rows[order] = order[following]
    return boards[rows]


def _family(name: str, boards: Boards) -> Family:
    found = dict(_conditions(name, boards))
    rule = name.removesuffix("-either")
    return Family(boards.geometry, rule, tuple(found), tuple(found.values()))


def _rows(mask: Tensor) -> Rows:
    rows: Rows = mask.nonzero().squeeze(-1).int().cpu().numpy()
    return rows


def _conditions(name: str, boards: Boards) -> Iterator[tuple[str, Rows]]:
    """(part, rows) of a family. What holds nowhere is a part, too."""
    geometry = boards.geometry
    if name in ("pattern", "flip", "closed"):
        yield from _patterns(name, boards)
    elif name in ("line", "line-or-full", "flip-either", "closed-either"):
        of_one = name.removesuffix("-either") if name.endswith("-either") else "pattern"
        single = dict(_patterns(of_one, boards))
        for bracket, senses in geometry.senses.items():
            rows = [single[p.name] for p in senses]
            if name == "line-or-full":
                rows.append(_rows(boards.full(bracket)))
            # With one sense it is that pattern, which is a part of another family.
            if len(rows) > 1:
                yield bracket, np.unique(np.concatenate(rows))
    elif name == "disc":
        for state in DISC_STATES:
            for label in geometry.labels:
                part = f"{label} {state}"
                yield part, _rows(boards.holds("disc", (part,)))
    else:
        for label in (geometry.labels[square] for square in geometry.playable):
            yield label, _rows(boards.holds(name, (label,)))


def _patterns(name: str, boards: Boards) -> Iterator[tuple[str, Rows]]:
    """Patterns that make a square legal, or that the move just played turned or closed."""
    for square in boards.geometry.playable:
        mine = [p for p in boards.geometry.patterns if p.start == square]
        open_to_it = boards.now[:, square] == 0 if name == "pattern" else boards.played == square
        where = open_to_it.nonzero().squeeze(-1)
        here = boards[where]
        for pattern in mine:
            rows: Rows = where[here.meets(name, pattern)].int().cpu().numpy()
            yield pattern.name, rows
