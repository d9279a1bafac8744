"""The rules of a hand-built Othello-GPT at rule level: the specification that weights must meet.

Plain tensor code over games, no transformer. A position has seen moves 0..t; its *move* is move t,
its frame is the mover's: +1 mine, -1 theirs. Parity stands for the mover, so an unseen pass is not
noticed. For each of eight layers it computes

- a **belief** about every square before the move: half a *leaky read* of what earlier positions
  passed on, half what this position had settled on one layer before;
- the **claims**: for each bracket (two discs of mine around a run of theirs, one end being the
  move), how surely it flips; the **flips** are the sum over brackets;
- the **message** to later positions: the flips, and a share of the settled board;
- the **need**: a legal move flips something, so while too little is claimed, doubts are forgiven.

The last two layers turn the board after the move into legal moves.
"""

from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from extracted_rules.game import START_BLACK, replay, unpack
from extracted_rules.notation import CENTRE, N_SQUARES, SQUARE_OF_TOKEN, token_of
from extracted_rules.patterns import BRACKETS
from handbuilt.strengths import Strengths

N_LAYERS = 8
#: A specification should not round: everything here is float64.
REAL = torch.float64
#: A line between two blanks is no line: this much is taken from it, and given to lines between two
#: discs, which speak about occupied squares only and are never read.
ENDS_GATE = 2.0
#: Logit of an occupied square.
OCCUPIED_LOGIT = -1e3
#: The four first moves, by square.
FIRST_MOVES: tuple[int, ...] = (19, 26, 37, 44)


@cache
def bracket_matrices() -> tuple[Tensor, Tensor]:
    """float64 [518, 64] twice: 1 where a square lies on the run, 1 where it is an end."""
    runs, ends = torch.zeros(2, len(BRACKETS), N_SQUARES, dtype=REAL).unbind()
    for row, bracket in enumerate(BRACKETS):
        runs[row, list(bracket.run)] = 1
        ends[row, list(bracket.ends)] = 1
    return runs, ends


@cache
def start_board() -> Tensor:
    """float64 [64]: the start position in black's frame."""
    black = unpack(torch.tensor(START_BLACK)).to(REAL)
    centre = torch.zeros(N_SQUARES, dtype=REAL)
    centre[list(CENTRE)] = 1
    return 2 * black - centre


@cache
def boards_after_first_move() -> Tensor:
    """float64 [4, 64]: the board after each of FIRST_MOVES, in black's frame."""
    tokens = torch.tensor([[token_of(square)] for square in FIRST_MOVES])
    return replay(tokens).boards[:, 1].to(REAL)


def leaky_kernel(leak: float, positions: int) -> Tensor:
    """float64 [t, tau]: leak^(lag - 1) for lag = t - tau > 0, negative for odd lags, else 0.

    An odd lag means that the other side moved: its discs are theirs.
    """
    lag = torch.arange(positions)[:, None] - torch.arange(positions)[None]
    sign = 1.0 - 2.0 * (lag % 2)
    return torch.where(lag > 0, sign * leak ** (lag - 1).clamp(min=0).to(REAL), 0.0)


@dataclass
class Layer:
    """What one layer computes: need and claims [B, T], everything else [B, T, 64]."""

    belief: Tensor
    need: Tensor
    claims: Tensor
    flips: Tensor
    settled: Tensor
    message: Tensor


@dataclass
class Trace:
    """Every quantity of a run: layers 0..6 in ``layers``; then the last read and the legality
    counts of layers 6 and 7, [B, T, 64]; logits [B, T, 61]."""

    occupied: Tensor
    layers: list[Layer] = field(default_factory=list)
    settled_after: Tensor = field(default_factory=lambda: torch.empty(0))
    last_belief: Tensor = field(default_factory=lambda: torch.empty(0))
    first_count: Tensor = field(default_factory=lambda: torch.empty(0))
    last_count: Tensor = field(default_factory=lambda: torch.empty(0))
    logits: Tensor = field(default_factory=lambda: torch.empty(0))


class Interpreter:
    """Runs the rules with given strengths on tokens int64 [B, T <= 59]."""

    def __init__(self, strengths: Strengths) -> None:
        self.strengths = strengths

    def __call__(self, tokens: Tensor) -> Trace:
        s = self.strengths
        games, positions = tokens.shape
        # [B, T, 64]: my disc that this move puts down; what is on the board once it lies there
        placed = torch.zeros(games, positions, N_SQUARES + 1, dtype=REAL).scatter_(
            2, SQUARE_OF_TOKEN[tokens][..., None], 1.0
        )[..., :N_SQUARES]
        occupied = placed.cumsum(1)
        occupied[..., list(CENTRE)] = 1
        trace = Trace(occupied)
        possible = self._possible(placed, occupied)
        kernel = leaky_kernel(s.leak, positions)
        parity = (1.0 - 2.0 * (torch.arange(positions, dtype=REAL) % 2))[:, None]
        age = torch.arange(positions, dtype=REAL)[:, None]

        # Layer 0 believes that every disc still belongs to whoever put it there.
        belief = kernel @ placed + parity * s.leak**age * start_board()
        need = torch.full((games, positions), s.need_start, dtype=REAL)
        # The first move is known by heart: its board stands in for what position 0 passes on.
        opening = boards_after_first_move()[self._first_move(tokens)][:, None]
        opening = parity * s.leak ** (age - 1.0) * opening

        for layer in range(N_LAYERS - 1):
            belief[:, 0] = 0
            claims = self._claims(belief, placed, need) * possible
            flips = claims @ bracket_matrices()[0]
            settled = (s.gain * belief).clamp(-1, 1)
            message = 2 * flips + (1 - s.leak) * settled
            total = claims.sum(-1)
            trace.layers.append(Layer(belief, need, total, flips, settled, message))
            need = torch.sigmoid(
                s.need_slope * (need + s.need_rate * (1 - total) - s.need_threshold)
            )
            need[:, 0] = 0
            if layer == N_LAYERS - 2:
                break
            read = self._read(kernel, message, placed) + opening
            belief = (1 - s.mix) * read + s.mix * settled

        # Layer 6 also looks at the board after the move, with the flips it had from layer 5.
        after = s.leak * belief + trace.layers[-2].message + placed
        trace.first_count = self._lines(after, occupied)
        trace.settled_after = after.clamp(-1, 1)
        # Layer 7 reads once more; its board is half fresh and half settled, like every belief.
        read = self._read(kernel, trace.layers[-1].message, placed) + opening
        trace.last_belief = (1 - s.mix) * s.leak * read + s.mix * trace.settled_after
        trace.last_belief[:, 0] = s.mix * trace.settled_after[:, 0]
        after = trace.last_belief + (1 - s.mix) * (trace.layers[-1].message + placed)
        again = (trace.first_count - 1).clamp(min=0)
        trace.last_count = self._lines(after, occupied) - s.second_line * again
        trace.last_count[:, 0] = self.book()[self._first_move(tokens)]
        trace.logits = torch.full((games, positions, 61), OCCUPIED_LOGIT, dtype=REAL)
        squares = SQUARE_OF_TOKEN[1:]
        trace.logits[..., 1:] = (s.logit * trace.last_count + OCCUPIED_LOGIT * occupied)[
            ..., squares
        ]
        return trace

    @staticmethod
    def _first_move(tokens: Tensor) -> Tensor:
        """int64 [B]: which of FIRST_MOVES each game opens with."""
        firsts = torch.tensor([token_of(square) for square in FIRST_MOVES])
        return (tokens[:, :1] == firsts).long().argmax(-1)

    @staticmethod
    def _possible(placed: Tensor, occupied: Tensor) -> Tensor:
        """float64 [B, T, 518]: 1 where the move is an end of a bracket without blanks.

        Position 0 claims nothing: its board is known by heart, and it is the place where later
        reads park the attention that they do not need.
        """
        runs, ends = bracket_matrices()
        moved = placed @ ends.T
        blanks = (1 - occupied) @ (runs + ends).T
        possible = ((moved > 0.5) & (blanks < 0.5)).to(REAL)
        possible[:, 0] = 0
        return possible

    @staticmethod
    def _claims(belief: Tensor, placed: Tensor, need: Tensor) -> Tensor:
        """float64 [B, T, 518]: 1 + need - doubts, clipped to 0..1; the new disc is certain."""
        runs, ends = bracket_matrices()
        doubts = (1 + belief) / 2 @ runs.T + (1 - belief - placed) / 2 @ ends.T
        return (1 + need[..., None] - doubts).clamp(0, 1)

    @staticmethod
    def _read(kernel: Tensor, message: Tensor, placed: Tensor) -> Tensor:
        passed_on = message + placed
        passed_on[:, 0] = 0
        return kernel @ passed_on

    @staticmethod
    def _lines(after: Tensor, occupied: Tensor) -> Tensor:
        """float64 [B, T, 64]: for the next mover, how many lines end in each square.

        A line is a bracket with one blank end: a run of mine (theirs, for the next mover) and a
        disc of theirs behind it. A blank end's belief is 0, half a doubt, which is given back.
        """
        runs, ends = bracket_matrices()
        doubts = (1 - after) / 2 @ runs.T + (1 + after) / 2 @ ends.T - 0.5
        evidence = 1 - doubts - ENDS_GATE * (1 - occupied @ ends.T)
        unbroken = ((1 - occupied) @ runs.T < 0.5).to(REAL)
        unbroken[:, 0] = 0
        return (evidence.clamp(min=0) * unbroken) @ ends

    @staticmethod
    def book() -> Tensor:
        """float64 [4, 64]: 1 on the legal replies to each of FIRST_MOVES."""
        tokens = torch.tensor([[token_of(square)] for square in FIRST_MOVES])
        return replay(tokens).legal[:, 1].to(REAL)
