"""Every game there is, on the board that is small enough for it."""

import torch
from torch import Tensor

from extracted_rules.othello.game import Turn, start, unpack
from extracted_rules.othello.geometry import BoardError, Geometry

#: The board all of whose games can be run through: 60,060 of them. On 6 x 6 nobody has counted
#: them.
SMALL = 4


def all_games(board: int = SMALL) -> Tensor:
    """uint8 [games, max_plies]: every game, once, in the order of its tokens.

    Raises BoardError for a board that has too many.
    """
    geometry = Geometry(board)
    if board != SMALL:
        raise BoardError(
            f"all games can be run through on a board of {Geometry(SMALL)} alone; {geometry} has "
            "too many"
        )
    mine, theirs = start(1, board)
    tokens = torch.zeros(1, geometry.max_plies, dtype=torch.uint8)
    ended = []
    for ply in range(geometry.max_plies):
        turn = Turn.resolve(board, mine, theirs)
        ended.append(tokens[turn.legal == 0])
        game, square = unpack(turn.legal, board).nonzero(as_tuple=True)
        turn = Turn.resolve(board, turn.mine[game], turn.theirs[game])
        mine, theirs, _ = turn.after(torch.ones((), dtype=torch.int64) << square)
        tokens = tokens[game]
        tokens[:, ply] = geometry.token_of_square[square].to(torch.uint8)
    return torch.unique(torch.cat([*ended, tokens]), dim=0)  # type: ignore[no-any-return]


def seen_first(games: Tensor) -> Tensor:
    """bool [games, plies]: where no game before it, in the order of :func:`all_games`, has begun
    with the same moves up to and with this one. Behind a game's last move it is False."""
    first = torch.ones_like(games, dtype=torch.bool)
    first[1:] = (games[1:] != games[:-1]).cumsum(1) > 0
    return first & (games != 0)
