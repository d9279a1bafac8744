"""Legal games to put a model to: hypothesis draws seeds and edits, the engine plays them out.

A *plan* is a few small numbers: where the game comes from, a seed, and edits. Hypothesis draws
plans, never games; :func:`expand` turns any plan into a legal game, hundreds at a time, so no draw
is ever thrown away and a model answers whole batches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed
from hypothesis import strategies as st
from torch import Tensor

from extracted_rules.othello.game import (
    flipped_by,
    legal_moves,
    pack,
    start,
    stream_seed,
    unpack,
)
from extracted_rules.othello.geometry import STANDARD, Geometry

#: Where games come from. ``random``: uniform play, the bench of every other command. ``openings``:
#: every game of four moves. ``near misses``: random games in which this model most nearly erred.
#: ``passes``: both sides see to it that one of them has few moves. ``wipe-outs``: that one of them
#: has few discs, so that games end early. The last three are edited, too.
RANDOM, OPENINGS, NEAR_MISSES, PASSES, WIPE_OUTS = (
    "random",
    "openings",
    "near misses",
    "passes",
    "wipe-outs",
)
HUNTED = (NEAR_MISSES, PASSES, WIPE_OUTS)
#: Games of an opening have this many moves.
OPENING_PLIES = 4
#: Games that a model is asked about at a time.
BATCH = 128
#: Plans in one draw of hypothesis, whose first draw is of the simplest ones.
DRAWN = 8
#: Edits of a plan, at most.
MAX_EDITS = 3

#: By this much of all chance a move is held back for each move or disc that it leaves the victim.
_STEERING = 0.6
_WISHED = 1e3


@dataclass(frozen=True)
class Edit:
    """One change to a game's moves; what it makes illegal the engine plays anew.

    ``kind``: "replace" the move at a ply by a token, "swap" it with the move two plies later (the
    same side's), or "cut" the game before it.
    """

    kind: str
    ply: int
    token: int


@dataclass(frozen=True)
class Plan:
    """A game in a few numbers: see :func:`expand`."""

    source: str
    seed: int
    edits: tuple[Edit, ...] = ()


def _number(bits: int) -> st.SearchStrategy[int]:
    """A number of so many bits, drawn bit by bit: of whole numbers hypothesis likes those best that
    stand somewhere in the modules that happen to be imported, and a seed should give one outcome.
    """
    return st.tuples(*[st.booleans()] * bits).map(
        lambda drawn: sum(bit << place for place, bit in enumerate(drawn))
    )


def plans(board: int = STANDARD) -> st.SearchStrategy[Plan]:
    """A hypothesis strategy of plans, for tests of one's own."""
    moves = Geometry(board).max_plies
    edits = st.builds(
        Edit,
        kind=_number(3).map(lambda n: ("replace", "swap", "cut")[n % 3]),
        ply=_number(6).map(lambda n: n % moves),
        token=_number(6).map(lambda n: 1 + n % moves),
    )
    return st.builds(
        Plan,
        source=_number(3).map(lambda n: HUNTED[n % len(HUNTED)]),
        seed=_number(31),
        edits=st.lists(edits, max_size=MAX_EDITS).map(tuple),
    )


def draw_plans(count: int, seed: int, board: int = STANDARD) -> list[Plan]:
    """``count`` plans as hypothesis draws them for a seed."""
    drawn: list[Plan] = []

    @with_seed(seed)
    @settings(
        max_examples=-(-count // DRAWN),
        phases=(Phase.generate,),
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(plans(board), min_size=DRAWN, max_size=DRAWN))
    def collect(batch: list[Plan]) -> None:
        drawn.extend(batch)

    collect()
    # Hypothesis likes to repeat small numbers; games should differ all the same.
    return [replace(plan, seed=plan.seed + n) for n, plan in enumerate(drawn[:count])]


def expand(planned: Sequence[Plan], pool: Tensor, board: int = STANDARD) -> Tensor:
    """uint8 [plans, max_plies]: the games of some plans, every one of them legal.

    pool: uint8 [games, max_plies], the near misses to start from; a plan's seed chooses one.
    """
    seeds, plies = torch.tensor([plan.seed for plan in planned]), Geometry(board).max_plies
    of = {name: torch.tensor([plan.source == name for plan in planned]) for name in HUNTED}
    wishes = torch.zeros(len(planned), plies, dtype=torch.uint8)
    for name, cost in ((PASSES, partial(_mobility, board=board)), (WIPE_OUTS, _discs)):
        if bool(of[name].any()):
            wishes[of[name]] = play(wishes[of[name]], seeds[of[name]], cost, board)
    if len(pool):
        wishes[of[NEAR_MISSES]] = pool[seeds[of[NEAR_MISSES]] % len(pool)].cpu()
    ends = torch.full((len(planned),), plies)
    for row, plan in enumerate(planned):
        for edit in plan.edits:
            if edit.kind == "cut":
                ends[row] = min(int(ends[row]), edit.ply + 1)
            elif edit.kind == "replace":
                wishes[row, edit.ply] = edit.token
            else:
                pair = [edit.ply, min(edit.ply + 2, plies - 1)]
                wishes[row, pair] = wishes[row, pair[::-1]]
    games = play(wishes, seeds, board=board)
    games[torch.arange(plies) >= ends[:, None]] = 0
    return games


# --------------------------------------------------------------------------- playing


def _count(boards: Tensor) -> Tensor:
    return unpack(boards).sum(-1)


def _mobility(victim: Tensor, other: Tensor, board: int) -> Tensor:
    """How many moves the victim would have."""
    return _count(legal_moves(victim, other, board))


def _discs(victim: Tensor, other: Tensor) -> Tensor:
    """How many discs the victim has."""
    return _count(victim)


def _chance(seeds: Tensor, ply: int, squares: int) -> Tensor:
    """float64 [games, squares] in 0..1: the same for the same seed and ply, whatever the batch."""
    x = seeds[:, None] * 0x9E3779B97F4A7C1 + (ply * squares + torch.arange(squares) + 1)
    for shift, factor in ((30, 0x3F58476D1CE4E5B9), (27, 0x14D049BB133111EB)):
        x = (x ^ (x >> shift)) * factor
    return ((x ^ (x >> 31)) & (2**52 - 1)).double() / 2**52


def _to_move(mine: Tensor, theirs: Tensor, board: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(the side that really moves, the other one, its legal moves; bool, whether sides were
    exchanged because the side to move was stuck)."""
    legal = legal_moves(mine, theirs, board)
    stuck = legal == 0
    mine, theirs = torch.where(stuck, theirs, mine), torch.where(stuck, mine, theirs)
    return mine, theirs, torch.where(stuck, legal_moves(mine, theirs, board), legal), stuck


def play(
    wishes: Tensor,
    seeds: Tensor,
    cost: Callable[[Tensor, Tensor], Tensor] | None = None,
    board: int = STANDARD,
) -> Tensor:
    """uint8 [games, T]: legal games of T plies, or to their end, that follow wishes (uint8 tokens
    [games, T]) where these are legal and play by chance where they are not, or where one is 0.

    seeds: int64 [games]. With a ``cost`` of (the victim's discs, the other side's) after the move,
    both sides lean to moves of low cost; the victim is black in games of even seeds.
    """
    games, plies = wishes.shape
    mine, theirs = start(games, board)
    squares = Geometry(board).n_squares
    bit = pack(torch.eye(squares, dtype=torch.bool))
    token_of = Geometry(board).token_of_square[:squares].to(torch.uint8)
    victim_moves = seeds % 2 == 0
    tokens = torch.zeros(games, plies, dtype=torch.uint8)
    for ply in range(plies):
        mine, theirs, legal, stuck = _to_move(mine, theirs, board)
        victim_moves = victim_moves ^ stuck
        merit = _chance(seeds, ply, squares)
        if cost is not None:
            here, there = (side[:, None].expand(-1, squares) for side in (mine, theirs))
            flips = flipped_by(bit.expand_as(here), here, there, board)
            here, there = here | bit | flips, there & ~flips
            whose = victim_moves[:, None]
            victim, other = torch.where(whose, here, there), torch.where(whose, there, here)
            merit = merit - _STEERING * cost(victim, other)
        merit = merit + _WISHED * (token_of == wishes[:, ply, None])
        square = merit.masked_fill(~unpack(legal, board), -torch.inf).argmax(-1)
        move = torch.where(legal != 0, bit[square], 0)
        tokens[:, ply] = torch.where(legal != 0, token_of[square], 0)
        flips = flipped_by(move, mine, theirs, board)
        mine, theirs = theirs & ~flips, mine | move | flips
        victim_moves = ~victim_moves
    return tokens


def legal_part(tokens: Tensor, board: int = STANDARD) -> Tensor:
    """uint8 [games, T]: games without the moves (uint8 tokens [games, T]) that are illegal where
    they come; the others move up."""
    games, plies = tokens.shape
    mine, theirs = start(games, board)
    bit = torch.ones((), dtype=torch.int64) << Geometry(board).square_of_token
    kept = torch.zeros(games, plies + 1, dtype=torch.uint8)
    count = torch.zeros(games, 1, dtype=torch.int64)
    for wish in tokens.cpu().T:
        mine, theirs, legal, _ = _to_move(mine, theirs, board)
        move = torch.where(wish > 0, bit[wish.long()], 0) & legal
        flips = flipped_by(move, mine, theirs, board)
        played = move != 0
        after = theirs & ~flips, mine | move | flips
        mine, theirs = (torch.where(played, *x) for x in zip(after, (mine, theirs), strict=True))
        kept.scatter_(1, count, (wish * played)[:, None])
        count += played[:, None]
    return kept[:, :plies]


def openings(board: int = STANDARD) -> Tensor:
    """uint8 [games, 4]: every game of OPENING_PLIES moves, in order; 244 on the usual board."""
    games = torch.zeros(1, 0, dtype=torch.uint8)
    every = torch.arange(1, Geometry(board).n_tokens, dtype=torch.uint8)
    for _ in range(OPENING_PLIES):
        longer = games.repeat_interleave(len(every), 0)
        longer = torch.cat([longer, every.repeat(len(games))[:, None]], 1)
        seeds = torch.zeros(len(longer), dtype=torch.int64)
        games = longer[(play(longer, seeds, board=board) == longer).all(-1)]
    return games


def seed_of(purpose: str, seed: int) -> int:
    """A seed for hypothesis or for :func:`play` that shares nothing with the bench's games."""
    return stream_seed(f"properties: {purpose}", seed) % 2**31
