"""Models made of the engine: one that knows the game, and some that each have one defect."""

from collections.abc import Callable

import torch
from torch import Tensor

from extracted_rules.benches.positions import legal_tokens
from extracted_rules.othello.game import (
    IllegalGameError,
    flipped_by,
    legal_moves,
    pack,
    replay,
    start,
    unpack,
)
from extracted_rules.othello.geometry import Geometry

BOARD = Geometry()

#: Logit of a move held for illegal; those held for legal have 0.
ILLEGAL = -30.0


def answer(legal: Tensor) -> Tensor:
    """Logits [B, T, 61] that hold these moves, bool [B, T, 60], for legal and equally likely."""
    logits = torch.full((*legal.shape[:-1], 61), ILLEGAL)
    logits[..., 1:] = torch.where(legal, 0.0, ILLEGAL)
    return logits


def known_legal(tokens: Tensor) -> Tensor:
    """bool [B, T, 60]: the legal moves; none behind a move that is illegal."""
    faults: dict[int, IllegalGameError] = {}
    return legal_tokens(replay(tokens, faults), tokens.shape[1])


def oracle(tokens: Tensor) -> Tensor:
    """The engine as a model."""
    return answer(known_legal(tokens))


def forbids_e3(tokens: Tensor) -> Tensor:
    """(a) Holds E3 for illegal, unless it can think of nothing else."""
    logits = oracle(tokens)
    logits[..., BOARD.token_of(BOARD.square_of("E3"))] += ILLEGAL / 3
    return logits


def takes_parity_for_the_mover(tokens: Tensor) -> Tensor:
    """(b) Knows the board, but not that a side may pass; without a move it names blank squares."""
    faults: dict[int, IllegalGameError] = {}
    boards = replay(tokens, faults).boards[:, 1 : tokens.shape[1] + 1]
    white_moves = torch.arange(tokens.shape[1]) % 2 == 0
    mine = boards * torch.where(white_moves, -1, 1)[:, None]
    legal = unpack(legal_moves(pack(mine > 0), pack(mine < 0)))
    held = torch.where(legal.any(-1, keepdim=True), legal, boards == 0)
    return answer(held[..., BOARD.square_of_token[1:]])


def never_flips_north(tokens: Tensor) -> Tensor:
    """(c) Plays along, but what a move turns to the north of it stays as it was."""
    mine, theirs = start(len(tokens))
    bits = pack(torch.eye(BOARD.n_squares, dtype=torch.bool))
    north = torch.stack([bits[square % 8 : square : 8].sum() for square in range(64)])
    held = []
    for move in tokens.T:
        square = BOARD.square_of_token[move].clamp(max=63)
        disc = torch.where(move > 0, bits[square], 0) & ~(mine | theirs)
        flips = flipped_by(disc, mine, theirs) & ~north[square]
        mine, theirs = theirs & ~flips, mine | disc | flips
        legal = legal_moves(mine, theirs)
        stuck = legal == 0
        mine, theirs = torch.where(stuck, theirs, mine), torch.where(stuck, mine, theirs)
        held.append(unpack(torch.where(stuck, legal_moves(mine, theirs), legal)))
    return answer(torch.stack(held, 1)[..., BOARD.square_of_token[1:]])


def heeds_the_order(tokens: Tensor) -> Tensor:
    """(d) Leaves out the last of several legal moves where the last move's token is smaller than
    that of the same side's move before."""
    legal = known_legal(tokens)
    last = legal & (legal.flip(-1).long().cumsum(-1).flip(-1) == 1)
    down = torch.zeros(tokens.shape, dtype=torch.bool)
    down[:, 2:] = tokens[:, 2:] < tokens[:, :-2]
    drop = last & (legal.sum(-1) > 1)[..., None] & down[..., None]
    return answer(legal & ~drop)


def is_no_number_after_50_moves(tokens: Tensor) -> Tensor:
    """(e) NaN at one position."""
    logits = oracle(tokens)
    logits[:, 49:50] = torch.nan
    return logits


def leaks_the_future(tokens: Tensor) -> Tensor:
    """(f) The move that comes next in its input is a little likelier than the other legal ones."""
    logits = oracle(tokens)
    following = tokens[:, 1:, None]
    bonus = torch.where(following > 0, 0.3, 0.0)
    logits[:, :-1] = logits[:, :-1].scatter_add(-1, following, bonus.to(logits))
    return logits


PLANTED: dict[str, Callable[[Tensor], Tensor]] = {
    "forbids E3": forbids_e3,
    "ignores passes": takes_parity_for_the_mover,
    "never flips north": never_flips_north,
    "heeds the order": heeds_the_order,
    "no number after 50 moves": is_no_number_after_50_moves,
    "leaks the future": leaks_the_future,
}
