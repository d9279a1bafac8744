"""Made-up benches and answers, in which who errs where is planted."""

import numpy as np
import numpy.typing as npt
import torch

from comparison.scoring.records import Answers, Columns, Records
from extracted_rules.benches.positions import Bench, Mask, Positions
from extracted_rules.othello.geometry import Geometry


def positions(games: int, plies: int, kinds: int, seed: int = 0) -> Positions:
    """So many positions of each game, each of one of so many kinds that are not alike."""
    generator = np.random.default_rng(seed)
    n = games * plies
    return Positions(
        Geometry(),
        np.full(games, plies),
        game=np.repeat(np.arange(games), plies).astype(np.int32),
        ply=np.full(n, 30, dtype=np.uint8),
        legal=np.full(n, 0b111, dtype=np.int64),
        number=generator.integers(1, kinds + 1, size=n).astype(np.uint8),
        state=np.zeros(n, dtype=np.uint8),
    )


def answers(
    name: str, at: Positions, wrong: Mask, margin: npt.NDArray[np.float32] | None = None
) -> Answers:
    """The likeliest move is illegal where it is wrong, and then the predicted set, too. Moves are
    A1, B1, C1, which are legal, and D1."""
    if margin is None:
        margin = np.where(wrong, 1.0, -1.0).astype(np.float32)
    columns = Columns(
        top=np.where(wrong, 3, 0).astype(np.uint8),
        predicted=np.where(wrong, 0b1111, 0b111).astype(np.int64),
        rank=np.where(wrong, 1, 4).astype(np.uint8),
        margin=margin,
        over_worst=margin + 1,
        mass=np.full(len(at), 0.125, dtype=np.float32),
    )
    return Answers(name, 0.01, name.startswith("trained"), columns)


def records(at: Positions, *said: Answers) -> Records:
    tokens = torch.ones(at.games, 60, dtype=torch.uint8)
    return Records(Bench("made up", tokens, at), said)
