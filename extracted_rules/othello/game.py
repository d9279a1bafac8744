"""The game of Othello on batches of bitboards, on any torch device and board.

A *bitboard* is an int64 whose bit ``s`` stands for square ``s``. Every function takes tensors of
any shape and has no Python loop over games. Colours: +1 black (moves first), -1 white, 0 empty.
The flood fills are the usual parallel-prefix ones of bitboard Othello programs. ``board`` is
always the squares a side; what comes of games carries its geometry.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b

import torch
from torch import Tensor

from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import STANDARD, Geometry

BLACK, WHITE = 1, -1


def _bits(squares: list[int]) -> int:
    """The bitboard of some squares as a Python int in int64's range."""
    value = sum(1 << square for square in squares)
    return value if value < 1 << 63 else value - (1 << 63) * 2


@cache
def _axes(n: int) -> tuple[Tensor, Tensor]:
    """int64 [4] each, for along, down and across both diagonals: steps, and the squares whose
    discs can be flipped.

    A disc that is flipped along an axis never lies on the two borders that the axis runs into, so
    one mask per axis both stops the wrap-around of shifts and clears the sign bit that an
    arithmetic right shift would smear.
    """
    files = _bits([s for s in range(n * n) if 0 < s % n < n - 1])
    ranks = _bits([s for s in range(n * n) if 0 < s // n < n - 1])
    inner = files & ranks
    return torch.tensor([1, n, n - 1, n + 1]), torch.tensor([files, ranks, inner, inner])


_UP, _DOWN = torch.bitwise_left_shift, torch.bitwise_right_shift


def _by_axis(values: Tensor, like: Tensor) -> Tensor:
    """[4, 1 ...] on the device of ``like`` [...], so that it broadcasts to [4, ...]."""
    return values.to(like.device).view(4, *[1] * like.dim())


def _runs(seed: Tensor, theirs: Tensor, board: int) -> Tensor:
    """The runs of ``theirs`` that start beside ``seed``: int64 [2, 4, ...], up and down each axis.

    A run never holds bit 63, so shifting it right by one step is a logical shift. The four axes
    go together, and in place where it can be: small operations and fresh memory are what costs.
    """
    steps, masks = _axes(board)
    step = _by_axis(steps, seed)
    inner = theirs & _by_axis(masks, seed)
    runs = torch.empty(2, *inner.shape, dtype=torch.int64, device=seed.device)
    scratch = torch.empty_like(inner)
    for run, shift in zip(runs, (_UP, _DOWN), strict=True):
        pairs = shift(inner, step).bitwise_and_(inner)
        shift(seed, step, out=run).bitwise_and_(inner)
        # Six discs, the longest run of the largest board.
        for reach, through in ((step, inner), (2 * step, pairs), (2 * step, pairs)):
            run |= shift(run, reach, out=scratch).bitwise_and_(through)
    return runs


def _any_axis(boards: Tensor) -> Tensor:
    """The union over the first axis, of length 4."""
    return (boards[0] | boards[1]).bitwise_or_(boards[2]).bitwise_or_(boards[3])


def _legal_from_runs(runs: Tensor, mine: Tensor, theirs: Tensor, board: int) -> Tensor:
    step = _by_axis(_axes(board)[0], mine)
    reached = _UP(runs[0], step).bitwise_or_(_DOWN(runs[1], step))
    return _any_axis(reached).bitwise_and_((mine | theirs).bitwise_not_())


def _flips_from_runs(runs: Tensor, move: Tensor, theirs: Tensor, board: int) -> Tensor:
    """A disc turns when it lies on a run from the move and, the other way, on one from mine."""
    both_ways = _runs(move, theirs, board).bitwise_and_(runs.flip(0))
    return _any_axis(both_ways[0].bitwise_or_(both_ways[1]))


def legal_moves(mine: Tensor, theirs: Tensor, board: int = STANDARD) -> Tensor:
    """Bitboards of the squares where ``mine`` may move; int64, same shape as the arguments."""
    return _legal_from_runs(_runs(mine, theirs, board), mine, theirs, board)


def flipped_by(move: Tensor, mine: Tensor, theirs: Tensor, board: int = STANDARD) -> Tensor:
    """Bitboards of the discs that ``move`` (a one-bit bitboard, or 0 for none) turns to mine."""
    return _flips_from_runs(_runs(mine, theirs, board), move, theirs, board)


def unpack(bitboards: Tensor, board: int = STANDARD) -> Tensor:
    """bool [..., n_squares] of int64 bitboards [...]."""
    squares = torch.arange(Geometry(board).n_squares, device=bitboards.device)
    return (bitboards.unsqueeze(-1) >> squares) & 1 == 1


def pack(squares: Tensor) -> Tensor:
    """int64 bitboards [...] of bool [..., n_squares]."""
    return (squares.long() << torch.arange(squares.shape[-1], device=squares.device)).sum(-1)


def start(
    games: int, board: int = STANDARD, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Bitboards int64 [games] of black and white at the start."""
    geometry = Geometry(board)
    black, white = (
        torch.full((games,), _bits(list(squares)), dtype=torch.int64, device=device)
        for squares in (geometry.start_black, geometry.start_white)
    )
    return black, white


# --------------------------------------------------------------------------- replay


class IllegalGameError(UserError):
    """A game that breaks the rules. ``ply`` counts from 1, ``game`` from 0 where there are many."""

    def __init__(self, game: int | None, ply: int, reason: str) -> None:
        where = "" if game is None else f"game {game + 1}, "
        super().__init__(f"{where}ply {ply}: {reason}")
        self.game, self.ply, self.reason = game, ply, reason


@dataclass(frozen=True)
class Replay:
    """Whole games as tensors, with P the most plies and S the squares of their board (60 and 64 on
    the usual one). Axis 1 counts plies; index t of an axis of P + 1 is "before ply t" (0-based), so
    index t + 1 is what a model sees at context position t.

    tokens: uint8 [B, P]; boards: int8 [B, P + 1, S] with +1 black, -1 white;
    flips: bool [B, P, S], discs turned by ply t; movers: int8 [B, P + 1], the colour that moves at
    ply t, 0 when the game is over and beyond the end of its record; legal: bool [B, P + 1, S], that
    colour's legal squares; passes: bool [B, P + 1], True where the side that alternation names had
    to pass before ply t.
    """

    geometry: Geometry
    tokens: Tensor
    boards: Tensor
    flips: Tensor
    movers: Tensor
    legal: Tensor
    passes: Tensor

    @property
    def lengths(self) -> Tensor:
        """int64 [B]: the number of moves of each game."""
        return (self.tokens != 0).sum(-1)


@dataclass
class Turn:
    """A batch of positions, all int64 [games], with unseen passes resolved: ``mine`` is the side
    that really moves, where one can; ``legal`` is 0 where neither side can.
    """

    board: int
    mine: Tensor
    theirs: Tensor
    legal: Tensor
    runs: Tensor
    #: int64: the games whose sides were exchanged because the side to move was stuck.
    exchanged: Tensor

    @classmethod
    def resolve(cls, board: int, mine: Tensor, theirs: Tensor) -> "Turn":
        runs = _runs(mine, theirs, board)
        legal = _legal_from_runs(runs, mine, theirs, board)
        stuck = (legal == 0).nonzero().squeeze(-1)
        if len(stuck):
            other, mine, theirs = mine, mine.clone(), theirs.clone()
            mine[stuck], theirs[stuck] = theirs[stuck], other[stuck]
            exchanged = _runs(mine[stuck], theirs[stuck], board)
            runs[:, :, stuck] = exchanged
            legal[stuck] = _legal_from_runs(exchanged, mine[stuck], theirs[stuck], board)
        return cls(board, mine, theirs, legal, runs, stuck)

    def after(self, move: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(mine, theirs, flips) for the side that alternation names next."""
        flips = _flips_from_runs(self.runs, move, self.theirs, self.board)
        return self.theirs ^ flips, self.mine | flips | move, flips

    def refusal(self, game: int, move: int) -> str:
        """Why a square that is not legal cannot be played in one of the games."""
        if int(self.legal[game]) == 0:
            return "is played after the game is over"
        taken = int(self.mine[game] | self.theirs[game]) >> move & 1
        return "is already occupied" if taken else "flips nothing"


def _padded(tokens: Tensor, geometry: Geometry) -> Tensor:
    """uint8 [B, max_plies]: a copy. Raises ValueError for what are no tokens of this board."""
    plies = geometry.max_plies
    if tokens.dim() != 2 or tokens.shape[1] > plies:
        raise ValueError(f"tokens must be [games, at most {plies}], got {list(tokens.shape)}")
    if tokens.is_floating_point():
        raise ValueError(f"tokens must be integers, got {tokens.dtype}")
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) <= plies:
        raise ValueError(f"tokens must lie in 0..{plies}")
    padded = torch.nn.functional.pad(tokens, (0, plies - tokens.shape[1]))
    return padded.to(torch.uint8).clone()


def replay(
    tokens: Tensor, faults: dict[int, IllegalGameError] | None = None, *, board: int = STANDARD
) -> Replay:
    """Play whole games.

    tokens: any integer type [B, T <= max_plies], 0 behind a game's last move; the result is
    max_plies long. A game may stop early (the rest is padding): that is not an error.
    Raises IllegalGameError for the first game that breaks a rule: naming ply, square and reason.
    With ``faults``, broken games are noted there instead, each cut before its first bad move.
    """
    geometry = Geometry(board)
    padded = _padded(tokens, geometry)
    games, device = len(tokens), tokens.device
    bits = [0, *(_bits([square]) for square in geometry.playable)]
    played = torch.tensor(bits, device=device)[padded.long()]
    mine, theirs = start(games, board, device)
    mover = torch.full((games,), BLACK, dtype=torch.int8, device=device)
    blacks, whites, movers, legals, passes, flips = [], [], [], [], [], []
    found: dict[int, IllegalGameError] = {} if faults is None else faults
    # Behind the longest game's last move nothing changes any more.
    plies = 1 + max((padded != 0).any(0).nonzero().flatten().tolist(), default=-1)
    for ply in range(plies + 1):
        turn = Turn.resolve(board, mine, theirs)
        mover[turn.exchanged] *= -1
        passed = torch.zeros(games, dtype=torch.bool, device=device)
        passed[turn.exchanged] = turn.legal[turn.exchanged] != 0
        blacks.append(torch.where(mover > 0, turn.mine, turn.theirs))
        whites.append(torch.where(mover > 0, turn.theirs, turn.mine))
        movers.append(torch.where(turn.legal != 0, mover, 0))
        legals.append(turn.legal)
        passes.append(passed)
        if ply == plies:
            break
        move = played[:, ply]
        for game, reason in _faults(turn, move, padded, ply, geometry):
            found[game] = IllegalGameError(game, ply + 1, reason)
            padded[game, ply:] = 0
            played[game, ply:] = 0
        mine, theirs, turned = turn.after(move)
        flips.append(turned)
        mover = -mover
    if found and faults is None:
        raise found[min(found)]

    def stack(by_ply: list[Tensor]) -> Tensor:
        return torch.stack(by_ply + by_ply[-1:] * (geometry.max_plies - plies), 1)

    flips += [torch.zeros_like(mine)] * (geometry.max_plies - plies)
    black, white = unpack(stack(blacks), board), unpack(stack(whites), board)
    lengths = (padded != 0).sum(-1, keepdim=True)
    reached = torch.arange(geometry.max_plies + 1, device=device) <= lengths
    return Replay(
        geometry=geometry,
        tokens=padded,
        boards=black.to(torch.int8) - white.to(torch.int8),
        flips=unpack(torch.stack(flips, 1), board),
        movers=stack(movers) * reached,
        legal=unpack(stack(legals), board) & reached.unsqueeze(-1),
        passes=stack(passes) & reached,
    )


def _faults(
    turn: Turn, move: Tensor, tokens: Tensor, ply: int, geometry: Geometry
) -> Iterator[tuple[int, str]]:
    """The games whose move at this ply is illegal or follows a gap, in order, and why."""
    after_gap = (tokens[:, ply - 1] == 0) if ply else torch.zeros_like(move, dtype=torch.bool)
    bad = ((move & ~turn.legal) != 0) | ((move != 0) & after_gap)
    for game in bad.nonzero().squeeze(-1).tolist():
        square = geometry.playable[int(tokens[game, ply]) - 1]
        gap = bool(after_gap[game])
        reason = "follows a gap in the game" if gap else turn.refusal(game, square)
        yield game, f"{geometry.labels[square]} {reason}"


# --------------------------------------------------------------------------- random games

#: Games are made in chunks, each from its own seed, so that the first games of a seed are the same
#: however many are asked for. A large chunk makes the overhead of a tensor operation small, so
#: they double from the first, small one to the largest.
FIRST_CHUNK, LARGEST_CHUNK = 2048, 65536

# The select-the-r-th-set-bit broadword routine needs, for each byte and rank, the bit's place.
_BYTE_SELECT = torch.tensor(
    [[([b for b in range(8) if byte >> b & 1] + [0] * 8)[rank] for rank in range(8)]
     for byte in range(256)]
).flatten()  # fmt: skip
_ONES = 0x0101010101010101
_HIGHS = -0x7F7F7F7F7F7F7F80  # 0x8080808080808080 as int64


def _pick(legal: Tensor, draw: Tensor) -> Tensor:
    """int64 squares: the set bit of each bitboard that a uniform draw from 0..2^31-1 selects.

    Broadword select: count the bits of every byte, find the byte, look the place up in it.
    Any value comes back where the bitboard is 0.
    """
    pairs = legal - ((legal >> 1) & 0x5555555555555555)
    nibbles = (pairs & 0x3333333333333333) + ((pairs >> 2) & 0x3333333333333333)
    counts = (nibbles + (nibbles >> 4)) & 0x0F0F0F0F0F0F0F0F
    # Byte k of ``upto`` counts the set bits in bytes 0..k. Counts stay below 64, so no sign bit.
    upto = counts * _ONES
    rank = (draw * (upto >> 56)) >> 31
    # A byte is passed over exactly when the high bit of (rank | 0x80) - upto survives in it.
    passed_over = (((rank * _ONES) | _HIGHS) - upto) & _HIGHS
    start = (((passed_over >> 7) & _ONES) * _ONES >> 56) << 3
    rank -= ((upto << 8) >> start) & 0xFF
    entry = ((legal >> start) & 0xFF) * 8 + rank
    return start + _BYTE_SELECT.to(legal.device).index_select(0, entry.clamp_(0, 2047))


def stream_seed(purpose: str, seed: int, part: int = 0) -> int:
    """A 63-bit generator seed. Different purposes ("bench", "threshold", "training" ...) never
    share games, whatever seeds a user gives them."""
    digest = blake2b(f"{purpose}:{seed}:{part}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def _random_chunk(games: int, geometry: Geometry, generator: torch.Generator) -> Tensor:
    device, plies = generator.device, geometry.max_plies
    mine, theirs = start(games, geometry.size, device)
    token_of_square = geometry.token_of_square.to(device=device, dtype=torch.uint8)
    tokens = torch.empty(plies, games, dtype=torch.uint8, device=device)
    # One 62-bit draw serves two plies.
    draws = torch.randint(0, 1 << 62, (plies // 2, games), generator=generator, device=device)
    one = torch.ones((), dtype=torch.int64, device=device)
    for ply in range(plies):
        turn = Turn.resolve(geometry.size, mine, theirs)
        draw = draws[ply // 2] >> 31 if ply % 2 else draws[ply // 2] & 0x7FFFFFFF
        square = _pick(turn.legal, draw).clamp_(0, geometry.n_squares)
        move = (one << square) & turn.legal
        tokens[ply] = token_of_square.index_select(0, square) * (move != 0)
        mine, theirs, _ = turn.after(move)
    return tokens.T.contiguous()


def random_games(
    n: int,
    seed: int,
    *,
    board: int = STANDARD,
    purpose: str = "bench",
    device: torch.device | str = "cpu",
    skip: int = 0,
) -> Iterator[Tensor]:
    """Uniformly random legal games: yields uint8 [chunk, max_plies] tokens, ``n`` games in all.

    The same purpose, seed, board and device give the same games; CPU and CUDA differ from each
    other because their random generators do. ``skip`` leaves out the first games of the ``n``, at
    no cost where they fill whole chunks.
    """
    device, geometry = torch.device(device), Geometry(board)
    part, first = 0, 0
    while first < n:
        chunk = min(FIRST_CHUNK << min(part, 10), LARGEST_CHUNK)
        if first + chunk > skip:
            generator = torch.Generator(device).manual_seed(stream_seed(purpose, seed, part))
            games = _random_chunk(chunk, geometry, generator)
            yield games[max(0, skip - first) : n - first]
        first += chunk
        part += 1


def count_sequences(depth: int, board: int = STANDARD) -> int:
    """Perft: the number of legal move sequences of ``depth`` plies from the start.

    A forced pass is not a ply of its own. Exponential in depth; 8 plies take a second.
    """
    mine, theirs = start(1, board)
    for _ in range(depth):
        turn = Turn.resolve(board, mine, theirs)
        game, square = unpack(turn.legal, board).nonzero(as_tuple=True)
        move = torch.ones((), dtype=torch.int64) << square
        turn = Turn.resolve(board, turn.mine[game], turn.theirs[game])
        mine, theirs, _ = turn.after(move)
    return len(mine)
