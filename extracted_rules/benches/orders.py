"""Pairs of games that differ in the order of their moves.

They come from swapping a move with the same side's next one and asking the engine what became of
the board: the same board (the moves commute), or the same squares with other colours; or from
recorded games that have met.
"""

import numpy as np
import torch
from torch import Tensor

from extracted_rules.othello.game import IllegalGameError, replay, stream_seed
from extracted_rules.othello.geometry import STANDARD, Geometry

#: Pairs of recorded games with the same board, at most.
COLLECTED = 1500


def _swaps(games: Tensor, board: int) -> tuple[Tensor, Tensor, Tensor]:
    """All games [B, T] with moves i and i + 2 exchanged: (uint8 [B, T - 2, T], cut before what is
    illegal then; bool [B, T - 2] whether move i + 2 is still legal; bool [B, T - 2] whether the
    board behind it is that of the game)."""
    count, plies = games.shape
    first = torch.arange(plies - 2)
    order = torch.arange(plies).repeat(len(first), 1)
    order[first, first], order[first, first + 2] = first + 2, first.clone()
    swapped = games[:, order]
    faults: dict[int, IllegalGameError] = {}
    played = replay(swapped.flatten(0, 1), faults, board=board)
    swapped = played.tokens.view(count, len(first), -1)[..., :plies]
    lengths = played.lengths.view(count, len(first))
    home = games.device
    there = (lengths > first.to(home) + 2) & (games[:, None] != swapped).any(-1)
    behind = played.boards.view(count, len(first), *played.boards.shape[1:])[:, first, first + 3]
    truth = replay(games, board=board).boards[:, first + 3]
    return swapped, there, (behind == truth).all(-1)


def swapped_pairs(games: Tensor, seed: int, board: int, *, same: bool) -> Tensor:
    """uint8 [cases, 2, T]: games with one of their swaps, chosen by chance; no case without any.

    same: whether the swap leads to the same board.
    """
    found = [games.new_zeros(0, 2, games.shape[1])]
    for part in torch.split(games, 32) if games.shape[1] > 2 else ():
        swapped, there, equal = _swaps(part, board)
        fits = there & (equal if same else ~equal)
        generator = torch.Generator().manual_seed(stream_seed("properties: swaps", seed))
        chance = torch.rand(fits.shape, generator=generator).to(fits.device)
        chosen = (chance * fits).argmax(-1)
        rows = fits.any(-1).nonzero().squeeze(-1)
        found.append(torch.stack([part[rows], swapped[rows, chosen[rows]]], 1))
    return torch.cat(found)


def same_boards(games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
    """uint8 [at most COLLECTED, 2, T]: pairs of beginnings of recorded games uint8 [B, T] that
    have just reached the same board, with the same side to move, by other orders; one pair a board.
    """
    factor = torch.Generator().manual_seed(stream_seed("properties: hashes", 0))
    squares, tokens = Geometry(board).n_squares, Geometry(board).n_tokens
    odd = torch.randint(2**62, (tokens * games.shape[1] + squares,), generator=factor)
    of_move, of_square = odd[:-squares].view(games.shape[1], tokens), odd[-squares:]
    boards, orders = [], []
    for part in torch.split(games.cpu(), 256):
        played = replay(part, board=board)
        plies = slice(1, part.shape[1] + 1)
        sides = (played.movers[:, plies, None] * 3 + played.boards[:, plies]).long()
        # Wrapping sums of random odd multiples: chance collisions are one in 2**62 a pair.
        boards.append((sides * of_square).sum(-1).masked_fill(played.movers[:, plies] == 0, 0))
        orders.append(of_move[torch.arange(part.shape[1]), part.long()].cumsum(-1))
    hashed, order = torch.cat(boards).flatten(), torch.cat(orders).flatten()
    there = torch.from_numpy(np.lexsort((order.numpy(), hashed.numpy())))
    before, after = there[:-1], there[1:]
    pairs = (hashed[before] == hashed[after]) & (order[before] != order[after])
    pairs &= hashed[after] != 0
    # Games that have met go on alike; only where they meet do they count.
    met = (before % games.shape[1] > 0) & (hashed[before - 1] == hashed[after - 1])
    found = (pairs & ~met).nonzero().squeeze(-1)
    if len(found):
        first = torch.ones(len(found), dtype=torch.bool)
        first[1:] = hashed[after[found[1:]]] != hashed[after[found[:-1]]]
        found = found[first]
    chosen = torch.Generator().manual_seed(stream_seed("properties: collected", seed))
    found = found[torch.randperm(len(found), generator=chosen)[:COLLECTED]]
    rows, last = (
        torch.stack([x[found] for x in (before, after)], 1) // games.shape[1],
        before[found] % games.shape[1],
    )
    cases = games.cpu()[rows]
    return cases.masked_fill(torch.arange(games.shape[1]) > last[:, None, None], 0)


def parted(cases: Tensor, positions: int) -> Tensor:
    """int64 [cases, positions]: how many moves back the two orders part; 0 where they have not."""
    differ = (cases[:, 0] != cases[:, 1]).long()
    return (differ.cumsum(-1) > 0).long().cumsum(-1)[:, :positions]
