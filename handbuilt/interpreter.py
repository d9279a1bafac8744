"""The rules of a hand-built Othello-GPT at rule level: the specification that weights must meet.

Plain tensor code over games, no transformer, differentiable in the strengths. A position has seen
moves 0..t; its *move* is move t, its frame is the mover's: +1 mine, -1 theirs. For each of eight
layers it computes

- a **belief** about every square before the move: a *leaky read* of what earlier positions told,
  discs of the same side counted as mine, of the other side as theirs; who claims too much is heard
  more faintly. Layer 0, which nobody told anything, guesses by who put discs down and by the moves
  near them;
- the **claims**: for each bracket (two discs of mine around a run of theirs, one end being the
  move), how surely it flips; the **flips** are the sum over brackets;
- what it **settles**: belief and the settled board of one layer before, clipped;
- the **message** to later positions: the flips, and what brackets say about their ends;
- the **need**: a legal move flips something, so while too little is claimed, doubts are forgiven.

Once, in layer 3, every position asks whether the side that parity names had a line at all: by this
move or elsewhere. If none, that side had to **pass**, and from layer 4 on the **side** of this and
all later positions is the opposite.

The last two layers turn the board after the move into legal moves.
"""

from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor, nn

from extracted_rules.othello.game import START_BLACK, replay, unpack
from extracted_rules.othello.notation import CENTRE, CONTEXT, N_SQUARES, SQUARE_OF_TOKEN, token_of
from extracted_rules.othello.patterns import BRACKETS, MAX_DISTANCE, PAIR_CLASS, RAYS
from handbuilt.strengths import LENGTHS, LINE_VOICES, TOLD, Strengths

N_LAYERS = 8
#: A line between two blanks is no line: this much is taken from it, and given to lines between two
#: discs, which speak about occupied squares only and are never read.
ENDS_GATE = 2.0
#: Logit of an occupied square.
OCCUPIED_LOGIT = -1e3
#: The four first moves, by square.
FIRST_MOVES: tuple[int, ...] = (19, 26, 37, 44)
#: Attention to positions of the other side falls by e to this power.
SIDE_SCORE = 30.0
#: A reading head's attention to others adds up to 1 in this many at most, as long as no position is
#: heard louder than usual and sides alternate.
ROOM = 2.0
#: The layer that looks for passes; the next one decides on sides.
LOOK_LAYER = 3
#: Slope of the step by which a pass turns sides.
STEP = 8.0
#: Log-odds against what no evidence is to make likely.
NEVER = 30.0


def _depth(distance: int, length: int) -> int:
    """A run's disc by its distance to the nearer end."""
    return min(distance, length - 1 - distance)


@cache
def bracket_matrices() -> tuple[Tensor, Tensor]:
    """float64 [518, 64] twice: 1 where a square lies on the run, 1 where it is an end."""
    runs, ends = torch.zeros(2, len(BRACKETS), N_SQUARES, dtype=torch.float64).unbind()
    for row, bracket in enumerate(BRACKETS):
        runs[row, list(bracket.run)] = 1
        ends[row, list(bracket.ends)] = 1
    return runs, ends


@cache
def bracket_lengths() -> Tensor:
    """int64 [518]: length of each bracket's run, minus 1."""
    return torch.tensor([len(bracket.run) - 1 for bracket in BRACKETS])


@cache
def _bracket_places() -> Tensor:
    """int64 [518, 64]: where ``bracket_weights`` finds the weight of each square."""
    table = torch.zeros(len(BRACKETS), N_SQUARES, dtype=torch.int64)
    for row, bracket in enumerate(BRACKETS):
        length = len(bracket.run)
        for distance, square in enumerate(bracket.run):
            table[row, square] = 1 + 4 * (length - 1) + _depth(distance, length)
        for square in bracket.ends:
            table[row, square] = 1 + 4 * (length - 1) + 3
    return table


def neighbours(near: Tensor) -> Tensor:
    """[64, 64] from near [pairs]: what a move on one square says about the disc on another."""
    return torch.cat([near.new_zeros(1), near])[PAIR_CLASS]


def bracket_weights(run: Tensor, end: Tensor) -> Tensor:
    """[518, 64] weights of squares for every bracket from run [6, 3] and end [6]."""
    flat = torch.cat([run.new_zeros(1), torch.cat([run, end[:, None]], 1).flatten()])
    return flat[_bracket_places()]


@cache
def _ray_places() -> Tensor:
    """int64 [6, 7]: where ``_ray_weights`` finds the weight at each distance, by length."""
    table = torch.zeros(LENGTHS, MAX_DISTANCE, dtype=torch.int64)
    for length in range(1, LENGTHS + 1):
        for distance in range(length):
            table[length - 1, distance] = 1 + 4 * (length - 1) + _depth(distance, length)
        table[length - 1, length] = 1 + 4 * (length - 1) + 3
    return table


def _ray_weights(run: Tensor, end: Tensor) -> Tensor:
    """[..., 6, 7] weights by distance from the move, from run [..., 6, 3] and end [..., 6]."""
    joined = torch.cat([run, end[..., None]], -1).flatten(-2)
    return torch.cat([torch.zeros_like(joined[..., :1]), joined], -1)[..., _ray_places()]


@cache
def start_board() -> Tensor:
    """float64 [64]: the start position in black's frame."""
    black = unpack(torch.tensor(START_BLACK)).to(torch.float64)
    centre = torch.zeros(N_SQUARES, dtype=torch.float64)
    centre[list(CENTRE)] = 1
    return 2 * black - centre


@cache
def boards_after_first_move() -> Tensor:
    """float64 [4, 64]: the board after each of FIRST_MOVES, in black's frame."""
    tokens = torch.tensor([[token_of(square)] for square in FIRST_MOVES])
    return replay(tokens).boards[:, 1].to(torch.float64)


@cache
def book() -> Tensor:
    """float64 [4, 64]: 1 on the legal replies to each of FIRST_MOVES."""
    tokens = torch.tensor([[token_of(square)] for square in FIRST_MOVES])
    return replay(tokens).legal[:, 1].to(torch.float64)


def parity(positions: int) -> Tensor:
    """float64 [T]: +1 at even positions, where black moves unless somebody passed, else -1."""
    return 1.0 - 2.0 * (torch.arange(positions, dtype=torch.float64) % 2)


def lateness(positions: int) -> Tensor:
    """float64 [T]: 0 at the first move, 1 at the last."""
    return torch.arange(positions, dtype=torch.float64) / (CONTEXT - 1)


def lag_kernel(weights: Tensor) -> Tensor:
    """[T, T] weights by lag t - tau > 0 from weights [lags]; 0 elsewhere."""
    positions = len(weights) + 1
    lag = torch.arange(positions)[:, None] - torch.arange(positions)[None]
    return torch.cat([weights.new_zeros(1), weights])[lag.clamp(min=0)]


def amplitude(kernel: Tensor) -> float:
    """What a head's output is scaled by, so that its attention adds up to less than one."""
    return ROOM * max(float(kernel.sum(-1).max()), 1.0)


def step(x: Tensor) -> Tensor:
    """0 below, 1 above, steep between."""
    return (STEP * x + 0.5).clamp(0, 1)


@dataclass
class Facts:
    """What is known of games without any rule about colours: all that depends on tokens alone.

    placed, occupied: [B, T, 64], the move's disc; what is on the board once it lies there. first:
    int64 [B], which of FIRST_MOVES the game began with. rays: int64 [B, T, 8, 7] squares from the
    move. possible: [B, T, 8, 6], 1 where a line of that length has no blank.
    """

    placed: Tensor
    occupied: Tensor
    first: Tensor
    rays: Tensor
    possible: Tensor

    @classmethod
    def of(cls, tokens: Tensor, dtype: torch.dtype) -> "Facts":
        games, positions = tokens.shape
        home = tokens.device
        squares = SQUARE_OF_TOKEN.to(home)[tokens]
        placed = torch.zeros(games, positions, N_SQUARES + 1, dtype=dtype, device=home)
        placed = placed.scatter_(2, squares[..., None], 1.0)[..., :N_SQUARES]
        occupied = placed.cumsum(1)
        occupied[..., list(CENTRE)] = 1
        firsts = torch.tensor([token_of(square) for square in FIRST_MOVES], device=home)
        first = (tokens[:, :1] == firsts).long().argmax(-1)
        rays = RAYS.to(home)[squares.clamp(max=N_SQUARES - 1)]
        discs = _along(occupied, rays).cumprod(-1)
        possible = discs[..., 1:] * (squares < N_SQUARES)[..., None, None]
        possible[:, 0] = 0
        return cls(placed, occupied, first, rays, possible)

    def open_lines(self, at: Tensor | None) -> Tensor:
        """[B, P, 518]: 1 for brackets with no blank inside, at the positions ``at`` [B, P]."""
        runs = bracket_matrices()[0].to(self.placed)
        unbroken = ((1 - _pick(self.occupied, at)) @ runs.T < 0.5).to(self.placed.dtype)
        ply = torch.arange(unbroken.shape[1], device=unbroken.device) if at is None else at
        first = ply == 0
        return unbroken * ~first[..., None]


def _pick(x: Tensor, at: Tensor | None) -> Tensor:
    """x [B, T, n] at positions [B, P]; all of them without ``at``."""
    return x if at is None else x.gather(1, at[..., None].expand(-1, -1, x.shape[-1]))


def _along(x: Tensor, rays: Tensor) -> Tensor:
    """[B, T, 8, 7]: x [B, T, 64] on the rays; 0 off the board."""
    padded = nn.functional.pad(x, (0, 1))
    return padded.gather(2, rays.flatten(2)).view(rays.shape)


def _onto(values: Tensor, rays: Tensor) -> Tensor:
    """[B, T, 64]: values [B, T, 8, 7] on the rays, summed by square."""
    board = values.new_zeros(*values.shape[:2], N_SQUARES + 1)
    return board.scatter_add(2, rays.flatten(2), values.flatten(2))[..., :N_SQUARES]


@dataclass
class Layer:
    """What one layer computes: scalars of a position [B, T], everything else [B, T, 64]."""

    belief: Tensor
    need: Tensor
    side: Tensor
    claims: Tensor
    flips: Tensor
    settled: Tensor
    message: Tensor


@dataclass
class Trace:
    """Every quantity of a run.

    layers: 0..6. [B, T]: others, how many lines the side named by parity had elsewhere; stuck, the
    log-odds that it had none at all; passed, how surely that was so here or earlier. [B, P, 64]:
    the last read, and the legality counts of layers 6 and 7. logits [B, P, 61].
    """

    facts: Facts
    layers: list[Layer] = field(default_factory=list)
    others: Tensor = field(default_factory=lambda: torch.empty(0))
    stuck: Tensor = field(default_factory=lambda: torch.empty(0))
    passed: Tensor = field(default_factory=lambda: torch.empty(0))
    last_belief: Tensor = field(default_factory=lambda: torch.empty(0))
    first_count: Tensor = field(default_factory=lambda: torch.empty(0))
    last_count: Tensor = field(default_factory=lambda: torch.empty(0))
    logits: Tensor = field(default_factory=lambda: torch.empty(0))


class Interpreter:
    """Runs the rules on tokens int64 [B, T <= 59], in the strengths' dtype, on their device."""

    def __init__(self, strengths: Strengths) -> None:
        self.s = strengths
        self.dtype = strengths.run.dtype

    def __call__(self, tokens: Tensor, at: Tensor | None = None) -> Trace:
        """Run all layers. ``at``: int64 [B, P], the positions whose logits are wanted, or all."""
        s, positions = self.s, tokens.shape[1]
        facts = Facts.of(tokens, self.dtype)
        trace = Trace(facts)
        sides = parity(positions).to(s.run)
        age = torch.arange(positions).to(s.run)
        opening = boards_after_first_move().to(s.run)[facts.first][:, None]
        opening = (sides * torch.exp(s.opening_fade * (age - 1)))[:, None] * opening
        later = (age > 0).to(self.dtype)

        # Layer 0 believes that every disc still belongs to whoever put it there.
        kernel = lag_kernel(s.owner.exp())[:positions, :positions] * sides[:, None] * sides
        fade = sides * torch.exp(s.start * age)
        belief = kernel @ facts.placed + fade[:, None] * start_board().to(s.run)
        # Moves near a disc have likely turned it. What is left of these heads' attention rests on
        # the move itself, and something may be added to that.
        turned = torch.zeros_like(belief)
        for log_weights, itself, table in zip(s.near_kernel, s.near_now, s.near, strict=True):
            by_lag = lag_kernel(log_weights.exp())[:positions, :positions]
            by_lag = by_lag * sides[:, None] * sides
            by_lag = by_lag + torch.diag(itself - by_lag.sum(-1))
            turned = turned + by_lag @ (facts.placed @ neighbours(table))
        zero = s.run.new_zeros(len(tokens), positions)
        now = Layer(
            belief=belief * later[:, None],
            need=(zero + s.need_start) * later,
            side=zero + sides * later,
            claims=zero,
            flips=facts.placed * 0,
            settled=turned * later[:, None],
            message=facts.placed * 0,
        )
        for layer in range(N_LAYERS):
            if layer > 0:
                now = self._attend(layer, now, facts, opening, later)
            if layer == N_LAYERS - 1:
                break
            before = now
            now = self._think(layer, before, facts, later)
            if layer == LOOK_LAYER:
                trace.others = self._lines_elsewhere(before, facts)
                trace.stuck = self._stuck(trace.others, now, later)
            if layer == LOOK_LAYER + 1:
                trace.passed = torch.sigmoid(trace.stuck.logcumsumexp(-1))
                now.side = now.side * (1 - 2 * step(trace.passed - 0.5))
            if layer == N_LAYERS - 2:
                trace.first_count = self._count_first(before, facts, at)
                trace.layers.append(now)
                now.settled = self._settle_after(before, facts, later)
            else:
                trace.layers.append(now)
        trace.last_belief = now.belief
        self._count_last(now, facts, trace, at)
        return trace

    # ------------------------------------------------------------------ attention

    def _attend(
        self, layer: int, last: Layer, facts: Facts, opening: Tensor, later: Tensor
    ) -> Layer:
        """Belief and need anew; the rest as the layer before left it."""
        s, i = self.s, layer - 1
        claims, need = last.claims[..., None], last.need[..., None]
        loud = (s.overclaim[i] * (1 - claims) + s.needy[i] * need).exp().unbind(-1)
        loudness = dict(zip(TOLD, loud, strict=True))
        flips = self._read(s.flips_kernel[i], last.side, last.message, loudness["flips"])
        told = s.board_share[i] * last.settled + facts.placed * later[:, None]
        board = self._read(s.board_kernel[i], last.side, told, loudness["board"])
        belief = (flips + board + s.opening[i] * opening) * later[:, None]
        need = torch.sigmoid(
            s.need_kept[i] * last.need - s.need_claims[i] * last.claims + s.need_bias[i]
        )
        return Layer(**{**vars(last), "belief": belief, "need": need * later})

    def _read(self, log_kernel: Tensor, side: Tensor, told: Tensor, loudness: Tensor) -> Tensor:
        """[B, T, 64]: what was told, by lag; as mine from this side, as theirs from the other.

        Two heads of a softmax each; what is left of its mass rests on position 0, which tells
        nothing. ``loudness`` [B, T] makes some positions heard more than others.
        """
        positions = side.shape[1]
        kernel = lag_kernel(log_kernel.exp()).clone()
        kernel[:, 0] = 0
        size = amplitude(kernel.detach())
        share = kernel[:positions, :positions] / size
        same_parity = (parity(positions)[:, None] * parity(positions) > 0).to(share)
        read = torch.zeros_like(told)
        for sign in (1.0, -1.0):
            agree = sign * side[:, :, None] * side[:, None]
            weight = share * torch.exp(SIDE_SCORE / 2 * (agree - 1))
            weight = weight * loudness[:, None]
            expected = same_parity if sign > 0 else 1 - same_parity
            rest = 1 - (share * expected).sum(-1)
            total = rest[:, None] + weight.sum(-1, keepdim=True)
            read = read + sign * size * ((weight / total) @ told)
        return read

    # ------------------------------------------------------------------ neurons

    def _think(self, layer: int, now: Layer, facts: Facts, later: Tensor) -> Layer:
        """Claims, flips, message, and what is settled."""
        s = self.s
        evidence = torch.zeros(())
        for source, values in enumerate((now.belief, now.settled, now.message)):
            weights = _ray_weights(s.run[layer, :, :, source], s.end[layer, :, :, source])
            along = _along(values, facts.rays)
            evidence = evidence + torch.einsum("btdk,vnk->btdvn", along, weights)
            # The move's own square is an end too; what is believed of it comes from its brackets.
            own = (values * facts.placed).sum(-1)
            evidence = evidence + own[..., None, None, None] * s.end[layer, :, :, source]
        bar = s.bias[layer] + s.forgive[layer] * now.need[..., None, None]
        late = lateness(len(later)).to(bar.device)
        bar = bar + (s.late[layer] * late[:, None])[..., None].to(bar)
        fires = (evidence + bar[:, :, None]).clamp(min=0) * facts.possible[..., None, :]
        claimed = (fires * s.claim[layer]).sum(-2)
        run = claimed.flip(-1).cumsum(-1).flip(-1)
        flips = _onto(nn.functional.pad(run, (0, 1)), facts.rays)
        held = (fires * s.holds[layer]).sum(-2)
        ends = _onto(nn.functional.pad(held, (1, 0)), facts.rays)
        ends = ends + held.sum((-1, -2))[..., None] * facts.placed
        settled = torch.zeros(())
        for weight, values in zip(
            s.settle[layer], (now.belief, now.settled, now.message), strict=True
        ):
            settled = settled + weight * values
        known = later[:, None]
        if layer == 0:
            known = known * (facts.occupied - facts.placed)
        return Layer(
            belief=now.belief,
            need=now.need,
            side=now.side,
            claims=claimed.sum((-1, -2)),
            flips=flips,
            settled=settled.clamp(-1, 1) * known,
            message=s.flip[layer] * flips + ends,
        )

    # ------------------------------------------------------------------ passes

    def _lines_elsewhere(self, now: Layer, facts: Facts) -> Tensor:
        """[B, T]: lines that the side named by parity had elsewhere, before the move: from a square
        that is still blank over a run of theirs to a disc of mine."""
        s, lengths = self.s, bracket_lengths()
        runs, ends = (matrix.to(s.run) for matrix in bracket_matrices())
        lines = self._lines(s.other_run, s.other_end, (now.belief, now.settled))
        fires = (lines + s.other_bias[lengths]).clamp(min=0) * s.other_line[lengths]
        elsewhere = (_ends_gate(facts.occupied) == 0) & (facts.placed @ (runs + ends).T == 0)
        return (fires * facts.open_lines(None) * elsewhere).sum(-1)

    def _stuck(self, others: Tensor, now: Layer, later: Tensor) -> Tensor:
        """[B, T]: log-odds that the side which parity names had no move, so that it passed."""
        s = self.s
        early = 1 - lateness(len(later)).to(others)
        odds = s.stuck - s.stuck_early * early - s.stuck_others * others
        odds = odds - s.stuck_claims * now.claims + s.stuck_need * now.need
        return odds.masked_fill(later == 0, -NEVER)

    # ------------------------------------------------------------------ the last stage

    def _settle_after(self, now: Layer, facts: Facts, later: Tensor) -> Tensor:
        """Layer 6 settles the board after the move, with the flips of layer 5."""
        sources = zip(self.s.after, (now.belief, now.settled, now.message), strict=True)
        after = self.s.after_placed * facts.placed
        for weight, values in sources:
            after = after + weight * values
        return after.clamp(-1, 1) * later[:, None]

    def _lines(
        self, run: Tensor, end: Tensor, sources: tuple[Tensor, ...], new: Tensor | float = 0.0
    ) -> Tensor:
        """[B, P, 518]: evidence for a line; ``new`` is what the move's own disc says."""
        total = torch.as_tensor(new)
        for source, values in enumerate(sources):
            total = total + values @ bracket_weights(run[:, source], end[:, source]).T
        return total

    def _count_first(self, now: Layer, facts: Facts, at: Tensor | None) -> Tensor:
        """[B, P, 64]: layer 6's count of lines that end in each square."""
        s, lengths = self.s, bracket_lengths()
        sources = tuple(_pick(x, at) for x in (now.belief, now.settled, now.message))
        placed, occupied = _pick(facts.placed, at), _pick(facts.occupied, at)
        new = _new_disc(s.line_placed, placed)
        lines = self._lines(s.line_run, s.line_end, sources, new)
        bias = s.line_bias[lengths] + s.line_late * _late_at(at, occupied)
        fires = (lines + bias + _ends_gate(occupied)).clamp(min=0)
        ends = bracket_matrices()[1].to(fires)
        return (fires * facts.open_lines(at) * s.line[lengths]) @ ends

    def _count_last(self, now: Layer, facts: Facts, trace: Trace, at: Tensor | None) -> None:
        s, lengths = self.s, bracket_lengths()
        sources = tuple(_pick(x, at) for x in (now.belief, now.settled, now.message))
        placed, occupied = _pick(facts.placed, at), _pick(facts.occupied, at)
        gate, open_lines = _ends_gate(occupied), facts.open_lines(at)
        total = torch.zeros_like(open_lines)
        for voice in range(len(LINE_VOICES)):
            new = _new_disc(s.last_placed[voice], placed)
            lines = self._lines(s.last_run[voice], s.last_end[voice], sources, new)
            bias = s.last_bias[voice][lengths] + s.last_late[voice] * _late_at(at, occupied)
            fires = (lines + bias + gate).clamp(min=0)
            total = total + fires * s.last_line[voice][lengths]
            if voice == 0:
                # The same for the mover itself, should the other side have to pass.
                again = s.again_bias[lengths] - s.again_scale[lengths] * lines + gate
                total = total + again.clamp(min=0) * s.again_line[lengths]
        first = trace.first_count
        surplus = (first - s.surplus_from).clamp(min=0)
        count = (total * open_lines) @ bracket_matrices()[1].to(total)
        count = count + s.first_count * first - s.surplus * surplus
        known = book().to(s.run)[facts.first][:, None]
        ply = torch.arange(count.shape[1], device=count.device) if at is None else at
        trace.last_count = torch.where((ply == 0)[..., None], known, count)
        trace.logits = count.new_full((*count.shape[:2], 61), OCCUPIED_LOGIT)
        squares = SQUARE_OF_TOKEN[1:]
        scaled = s.logit * trace.last_count + OCCUPIED_LOGIT * occupied
        trace.logits[..., 1:] = scaled[..., squares]


def _new_disc(weights: Tensor, placed: Tensor) -> Tensor:
    """[B, P, 518]: what the move's own disc says of a line for the next mover: it may be part of
    the run, mine, but is no end, theirs."""
    runs, ends = (matrix.to(weights) for matrix in bracket_matrices())
    of_run, of_end = weights.unbind()
    return placed @ (0.5 * (of_run * runs - of_end * ends).T)


def _late_at(at: Tensor | None, like: Tensor) -> Tensor:
    """[B or 1, P, 1]: lateness of the positions ``at``, or of all."""
    late = lateness(CONTEXT).to(like)
    return late[None, : like.shape[1], None] if at is None else late[at][..., None]


def _ends_gate(occupied: Tensor) -> Tensor:
    """[B, P, 518]: 0 for a bracket with one blank end, ENDS_GATE less for each further one."""
    return -ENDS_GATE * (1 - occupied @ bracket_matrices()[1].to(occupied).T)
