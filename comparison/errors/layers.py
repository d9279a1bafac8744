"""Where boards part, layer by layer: how many discs are decoded wrongly where one of them errs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from comparison.reading.board_reader import BoardReader
from comparison.scoring.records import KINDS, Records
from extracted_rules.benches.intervals import Estimate
from extracted_rules.benches.matched import weights_of
from extracted_rules.benches.positions import Positions
from extracted_rules.othello.game import replay
from handbuilt.analysis.streams import READ_GAMES

#: The first games of the bench are those on which boards are read, layer by layer.
LAYER_GAMES = 500


@dataclass(frozen=True)
class WrongDiscs:
    """The share of discs decoded wrongly from ``reader``, where ``errs`` errs and elsewhere.

    errors: those that have matched positions; the others are left out. shares: by
    :data:`extracted_rules.benches.matched.GROUPS`, by layer.
    """

    reader: str
    errs: str
    kind: str
    errors: int
    shares: dict[str, tuple[Estimate, ...]]


def wrong_discs(
    records: Records,
    readers: Mapping[str, BoardReader],
    games: int = LAYER_GAMES,
    progress: Callable[[int], None] = lambda _: None,
) -> list[WrongDiscs]:
    """Every model that can be read, at the errors of each trained model (or of the first one).

    ``progress`` is told of games read.
    """
    at = records.positions.first(games)
    weights = {
        (first.model, kind): weights_of(at, first.errs(records.positions, kind)[: len(at)])
        for first in records.first_of_pairs()
        for kind in KINDS
    }
    found = []
    for name, reader in readers.items():
        wrong, discs = discs_decoded(reader, records.bench.tokens[: at.games], at, progress)
        for (errs, kind), by_group in weights.items():
            shares = {
                group: tuple(at.ratio(w * x, w * discs).share() for x in wrong)
                for group, w in by_group.items()
            }
            errors = int(by_group["errs"].sum())
            found.append(WrongDiscs(name, errs, kind, errors, shares))
    return found


def discs_decoded(
    reader: BoardReader, tokens: Tensor, at: Positions, progress: Callable[[int], None]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(int64 [layers, N], discs decoded wrongly; int64 [N], discs) at the positions of games uint8
    [games, plies]."""
    device = reader.model.device
    wrong, discs = [], []
    for batch in torch.split(tokens.to(device), READ_GAMES):
        boards, played = reader.read(batch), replay(batch, board=at.geometry.size)
        wrong.append(boards.wrong(played).sum(-1).cpu())
        discs.append((boards.truth(played) != 0).sum(-1).cpu())
        progress(len(batch))
    game = torch.from_numpy(at.game.astype(np.int64))
    position = torch.from_numpy(at.ply.astype(np.int64)) - 2
    decoded = torch.cat(wrong, 1)[:, game, position]
    return decoded.numpy(), torch.cat(discs)[game, position].numpy()
