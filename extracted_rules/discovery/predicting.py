"""What a layer's rules predict of its neurons, its attention, and what a linear map would.

A rule about discs says which squares its neuron reads, and how surely those are held says how much.
A rule about what moves tell exactly holds or does not, and its neuron has its mean in either case,
a few plies at a time. A neuron without a rule stays at its mean at that ply. Attention is predicted
by lag kernels. Everything is worked out on games of its own, as sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.catalogue import YES_OR_NO, Kernel, Neuron, squares_of
from extracted_rules.conditions import DISC_STATES, Boards, parse_part, tree_column
from extracted_rules.discovery.grading import Graded
from extracted_rules.discovery.heads import EVENTS, WHERE, squares_where
from extracted_rules.discovery.patterns import closed_patterns, flipped_patterns, legal_patterns
from extracted_rules.discovery.regression import Regression
from extracted_rules.othello.geometry import Geometry

#: The longest path in a tree, and the leaves that it can lead to.
DEPTH = 5
LEAVES = 2**DEPTH
#: Rules about what is known exactly of any position.
EXACT = ("blank", "occupied", "played")
#: The mean in either case is taken over this many plies at a time ...
PLIES = 5
#: ... as far as it is frequent: so many positions weigh as much as its mean over all plies,
OFTEN = 10.0
#: and so many in all as much as the neuron's mean.
SELDOM = 1.0

_SQUARE_STATES = (*DISC_STATES, "blank", "occupied", "played")


def conditions(boards: Boards) -> Tensor:
    """bool [N, columns]: every part that a rule may have; :func:`_columns_of` finds a part's."""
    states = {
        "mine": boards.now == 1,
        "theirs": boards.now == -1,
        "mine before": boards.before == 1,
        "theirs before": boards.before == -1,
        "blank": boards.now == 0,
        "occupied": boards.now != 0,
        "played": boards.here,
    }
    return torch.cat(
        [
            legal_patterns(boards),
            flipped_patterns(boards),
            closed_patterns(boards),
            *(states[state] for state in _SQUARE_STATES),
        ],
        -1,
    )


def _columns_of(rule: str, part: str, geometry: Geometry) -> list[int]:
    parsed, patterns = parse_part(rule, part, geometry), len(geometry.patterns)
    if parsed.patterns:
        first = patterns * {"flip": 1, "closed": 2}.get(rule, 0)
        return [first + geometry.row_of_pattern[pattern.name] for pattern in parsed.patterns]
    state = _SQUARE_STATES.index(parsed.state)
    return [3 * patterns + geometry.n_squares * state + parsed.square]


def about_boards(neuron: Neuron) -> bool:
    """Whether a neuron's rule is about boards."""
    return neuron.rule in YES_OR_NO or neuron.rule == "tree"


class Rules:
    """The rules of some of a layer's neurons, for boards of a geometry.

    exact, graded: int64, the neurons whose rules are about what moves tell exactly, and those whose
    rules are about discs, trees behind the others; in the order of the columns of :meth:`answers`.
    """

    def __init__(self, neurons: Sequence[Neuron], geometry: Geometry) -> None:
        self.geometry = geometry
        exact = [n for n in neurons if n.rule in EXACT]
        discs = [n for n in neurons if n.rule in YES_OR_NO and n.rule not in EXACT]
        trees = [n for n in neurons if n.rule == "tree"]
        self.exact, self.graded = (
            torch.tensor([n.neuron for n in some]).long() for some in (exact, [*discs, *trees])
        )
        self._squares = [sorted(squares_of(n, geometry)) for n in (*discs, *trees)]
        met = [*exact, *discs]
        wanted = [
            sorted({c for p in n.parts for c in _columns_of(n.rule, p, geometry)}) for n in met
        ]
        self._asked = torch.tensor(sorted({c for w in wanted for c in w}), dtype=torch.int64)
        place = {int(column): row for row, column in enumerate(self._asked)}
        self._parts = torch.zeros(len(place), len(met))
        for number, columns in enumerate(wanted):
            self._parts[[place[column] for column in columns], number] = 1
        self._questions = torch.zeros(len(trees), LEAVES - 1, dtype=torch.int64)
        self._leaves = torch.zeros(len(trees), LEAVES)
        for number, neuron in enumerate(trees):
            self._plant(neuron.tree, number, 0, 0)

    @property
    def neurons(self) -> Tensor:
        """int64: all of them, the exact ones first."""
        return torch.cat([self.exact, self.graded])

    def about(self, squares: Tensor) -> Tensor:
        """bool [F, graded]: which numbers are about a square that a rule names, or about none.

        squares: int64 [F], the square that each number is about, or -1.
        """
        named = torch.zeros(self.geometry.n_squares + 1, len(self._squares), dtype=torch.bool)
        named[-1] = True
        for number, of_rule in enumerate(self._squares):
            named[of_rule, number] = True
        return named[squares]

    def _plant(self, tree: object, number: int, node: int, depth: int) -> None:
        if isinstance(tree, int | float):
            # Below a leaf, no question matters: all ends have its value.
            below = 2 ** (DEPTH - depth)
            first = (node - (2**depth - 1)) * below
            self._leaves[number, first : first + below] = tree
            return
        assert isinstance(tree, list | tuple)
        if depth == DEPTH:
            raise ValueError(f"a tree deeper than {DEPTH} questions")
        question, without, having = tree
        self._questions[number, node] = tree_column(question, self.geometry)
        self._plant(without, number, 2 * node + 1, depth + 1)
        self._plant(having, number, 2 * node + 2, depth + 1)

    def answers(self, boards: Boards) -> tuple[Tensor, Tensor]:
        """(where the exact rules hold, bool [N, exact]; what the graded ones say, float32 [N,
        graded]: 1 where a rule holds, else 0; what a tree says)."""
        asked = conditions(boards)[:, self._asked.to(boards.now.device)].float()
        met = asked @ self._parts.to(asked.device) > 0
        features = boards.features()
        node = torch.zeros(len(boards), len(self._leaves), dtype=torch.int64, device=met.device)
        tree = torch.arange(len(self._leaves), device=met.device)
        questions, leaves = self._questions.to(met.device), self._leaves.to(met.device)
        for _ in range(DEPTH):
            node = 2 * node + 1 + features.gather(1, questions[tree, node])
        of_trees = leaves[tree, node - (LEAVES - 1)]
        exact = len(self.exact)
        return met[:, :exact], torch.cat([met[:, exact:].float(), of_trees], -1)


class CaseMeans:
    """Mean activations of neurons with exact rules, where they hold and where not, by ply; sums."""

    def __init__(self, rules: int, plies: int) -> None:
        self.count = torch.zeros(plies, 2, rules, dtype=torch.float64)
        self.total = torch.zeros_like(self.count)

    def add(self, holds: Tensor, activations: Tensor, ply: Tensor) -> None:
        """holds: bool [N, rules]; activations: float [N, rules]; ply: int64 [N]."""
        cases = torch.stack([~holds, holds], 1).double()
        self.count.index_add_(0, ply.cpu(), cases.cpu())
        self.total.index_add_(0, ply.cpu(), (cases * activations[:, None]).cpu())

    def values(self) -> Tensor:
        """float32 [groups of plies, 2, rules]: the mean where a rule does not hold, and where it
        does."""
        mean = self.total.sum((0, 1)) / self.count.sum((0, 1)).clamp(min=1)
        overall = (self.total.sum(0) + SELDOM * mean) / (self.count.sum(0) + SELDOM)
        group = torch.arange(len(self.total)) // PLIES
        sums = torch.zeros(2, int(group[-1]) + 1, *overall.shape, dtype=torch.float64)
        sums[0].index_add_(0, group, self.total)
        sums[1].index_add_(0, group, self.count)
        return ((sums[0] + OFTEN * overall) / (sums[1] + OFTEN)).float()


@dataclass(frozen=True)
class Held:
    """Boards, and numbers that say how surely they are held: float32 [N, F]."""

    boards: Boards
    numbers: Tensor


@dataclass(frozen=True)
class Predicted:
    """What rules say of all of a layer's neurons: means float32 [plies, neurons]; values of the
    exact rules, as :meth:`CaseMeans.values` gives them; reads of the graded ones."""

    rules: Rules
    means: Tensor
    values: Tensor
    reads: Graded

    def __call__(self, held: Held) -> Tensor:
        """float32 [N, neurons]."""
        boards, where = held.boards, held.numbers.device
        activations = self.means.to(where)[boards.ply]
        holds, says = self.rules.answers(boards)
        if len(self.rules.exact):
            case, group = holds.long(), boards.ply[:, None] // PLIES
            rule = torch.arange(case.shape[1], device=where)
            exact = self.values.to(where)[group, case, rule]
            activations[:, self.rules.exact.to(where)] = exact
        if len(self.rules.graded):
            graded = self.reads(held.numbers, says, boards.ply)
            activations[:, self.rules.graded.to(where)] = graded
        return activations


@dataclass(frozen=True)
class Linear:
    """A linear map around the means of each ply: slopes float32 [F, O], x [plies, F] and y [plies,
    O]."""

    slopes: Tensor
    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, sums: Regression, rank: int | None = None) -> "Linear":
        """The best map whose groups are plies; of at most a rank, if one is given."""
        slopes = sums.slopes()
        if rank is not None:
            xx, _, _ = sums.centred()
            _, axes = torch.linalg.eigh(slopes.T @ xx @ slopes)
            largest = axes[:, max(axes.shape[1] - rank, 0) :]
            slopes = slopes @ largest @ largest.T
        return cls(slopes.float(), *(mean.float() for mean in sums.means))

    def __call__(self, x: Tensor, ply: Tensor) -> Tensor:
        """float32 [N, O] of x [N, F] at plies [N]."""
        slopes, x_mean, y_mean = (t.to(x.device) for t in (self.slopes, self.x, self.y))
        return y_mean[ply] + (x - x_mean[ply]) @ slopes


def numbered(geometry: Geometry) -> Tensor:
    """int64 [4 * squares]: the square that each of :func:`board_numbers` is about."""
    return torch.arange(geometry.n_squares).repeat(4)


def board_numbers(
    boards: Boards, colours: Tensor | None = None, turned: Tensor | None = None
) -> Tensor:
    """float32 [N, 4 * squares]: of every square mine less theirs, and turned, as the board has it
    or, where they are given, [N, squares], as surely as they are held; then whether it is blank,
    and the move."""
    columns = (
        boards.now if colours is None else colours,
        boards.turned if turned is None else turned,
        boards.now == 0,
        boards.here,
    )
    return torch.cat([column.float() for column in columns], -1)


def frame_events(held: Held) -> Tensor:
    """float32 [N, events, squares] in the order of EVENTS: how surely something happened to a
    square, with the sign of the disc there, in the frame of the side that moves next, if nobody
    passes."""
    boards, n = held.boards, held.boards.geometry.n_squares
    colours, turned, placed = held.numbers[:, :n], held.numbers[:, n : 2 * n], boards.here
    stood = (boards.now != 0) & ~placed
    turned = turned.clamp(0, 1) * stood
    stands = colours.clamp(-1, 1) * stood * (1 - turned)
    return torch.stack([-placed.float(), -turned, stands.clamp(min=0), stands.clamp(max=0)], 1)


class KernelReading:
    """What a layer's lag kernels say of squares' "mine less theirs"."""

    def __init__(self, kernels: Sequence[Kernel], geometry: Geometry) -> None:
        self.squares, context = squares_where(geometry), geometry.context
        #: float32 [events, where, context, context] by reader and source; position 0 is no source.
        self.weights = torch.zeros(len(EVENTS), len(WHERE), context, context)
        lag = torch.arange(context)[:, None] - torch.arange(context)
        for kernel in kernels:
            if kernel.event in EVENTS and kernel.where in WHERE:
                by_lag = torch.zeros(context)
                by_lag[list(kernel.lags)] = torch.tensor(kernel.by_lag)
                seen = torch.where(lag >= 0, by_lag[lag.clamp(min=0)], 0.0)
                self.weights[EVENTS.index(kernel.event), WHERE.index(kernel.where)] = seen
        self.weights[..., 0] = 0

    def __call__(self, events: Tensor, reader: Tensor) -> Tensor:
        """float32 [B, context, squares] of events [B, context, events, squares] with colours, for
        readers of a colour [B, context]."""
        read = torch.zeros(*events.shape[:2], events.shape[-1], device=events.device)
        for number, where in enumerate(WHERE):
            squares = self.squares[where].to(events.device)
            weights = self.weights[:, number].to(events.device)
            told = events[..., squares].float()
            read[..., squares] = torch.einsum("etu,bues->bts", weights, told)
        return read * reader.unsqueeze(-1)
