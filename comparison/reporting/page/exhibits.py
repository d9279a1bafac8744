"""The models that a page shows, and what all of its sections are made from."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from comparison.reading.board_reader import BoardReader, board_reader
from comparison.reading.probes import Probes
from comparison.replacing.replacement import digest
from comparison.scoring.bench import Bars
from extracted_rules.catalogue import Catalogue
from extracted_rules.errors import UserError
from extracted_rules.files import digest_of
from extracted_rules.othello.game import random_games
from extracted_rules.othello.geometry import Geometry
from handbuilt.network.transformer import OthelloGPT

#: Raised when sections or the explorer show something else, so that none of before is shown.
VERSION = 3


@dataclass(frozen=True)
class Exhibit:
    """A model on the page. tau: the probability above which a move counts as predicted.
    probes: of a trained model, which has no names to read its board by; catalogue: of its rules,
    where there is one."""

    name: str
    model: OthelloGPT
    tau: float
    probes: Probes | None = None
    catalogue: Catalogue | None = None

    @cached_property
    def fingerprint(self) -> str:
        return self.model.fingerprint()

    @cached_property
    def beside(self) -> str:
        """A digest of what is known beside the weights, which may change while they do not: the
        catalogue and the probes."""
        read = (self.probes.states, self.probes.flips) if self.probes else ()
        return digest_of(read, repr(self.catalogue).encode())

    @property
    def reader(self) -> BoardReader:
        """What reads its board in every layer. Raises UserError."""
        reader = board_reader(self.model, self.probes)
        if reader is None:
            raise UserError(f"{self.name} has neither names nor probes to read its board by")
        return reader


@dataclass(frozen=True)
class Order:
    """What a page is made from: the models, the size and seed of the games, and where what was made
    is kept. ``bar`` shows progress."""

    exhibits: tuple[Exhibit, ...]
    games: int
    seed: int
    work: Path
    bar: Bars

    def __post_init__(self) -> None:
        """Raises UserError for models of different boards."""
        first, *others = self.exhibits
        for other in others:
            if other.model.geometry is not first.model.geometry:
                raise UserError(
                    f"{first.name} plays on {first.model.geometry} and {other.name} on "
                    f"{other.model.geometry}: a page shows models of one board"
                )

    @property
    def geometry(self) -> Geometry:
        return self.exhibits[0].model.geometry

    @property
    def device(self) -> torch.device:
        return self.exhibits[0].model.device

    def bench(self, count: int) -> list[Tensor]:
        """Random games uint8 [n, plies] of the models' board, in batches on their device."""
        board = self.geometry.size
        return list(random_games(count, self.seed, board=board, device=self.device))

    def folder(self, what: str, size: int) -> Path:
        """Where something is kept that these models make at this size and seed, as far as they are
        known now."""
        models = [(e.name, e.fingerprint, e.tau, e.beside) for e in self.exhibits]
        return self.work / f"{what}-{digest(b'', VERSION, what, size, self.seed, models)}"
