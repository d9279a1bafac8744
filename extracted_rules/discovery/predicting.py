"""What a layer's rules predict of its neurons, its attention, and what a linear map would.

A rule that holds or does not says which squares its neuron reads, and how surely those are held
says how much. A tree divides positions into its leaves, and a neuron that follows it has its mean
in that leaf, a few plies at a time. A neuron without a rule stays at its mean at that ply.
Attention is predicted by lag kernels. Everything is worked out on games of its own, as sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.catalogue import YES_OR_NO, Kernel, Neuron, squares_of
from extracted_rules.conditions import DISC_STATES, Boards, parse_part, tree_column
from extracted_rules.discovery.grading import Graded
from extracted_rules.discovery.heads import EVENTS, WHERE
from extracted_rules.discovery.layers import flipped_patterns, legal_patterns
from extracted_rules.discovery.regression import Regression
from extracted_rules.othello.notation import CONTEXT, N_SQUARES
from extracted_rules.othello.patterns import PATTERNS, Pattern

#: The longest path in a tree, and the leaves that it can lead to.
DEPTH = 5
LEAVES = 2**DEPTH
#: A leaf's mean is taken over this many plies at a time ...
PLIES = 5
#: ... as far as it is frequent: so many positions weigh as much as its mean over all plies,
OFTEN = 10.0
#: and so many in all as much as the neuron's mean.
SELDOM = 1.0

_ROW = {pattern: row for row, pattern in enumerate(PATTERNS)}
_SQUARE_STATES = (*DISC_STATES, "blank", "occupied", "played")
_COLUMNS = 2 * len(PATTERNS) + N_SQUARES * len(_SQUARE_STATES)


def conditions(boards: Boards) -> Tensor:
    """bool [N, columns]: every part that a rule may have; :func:`_columns_of` finds a part's."""
    squares = torch.arange(N_SQUARES, device=boards.now.device)
    states = {
        "mine": boards.now == 1,
        "theirs": boards.now == -1,
        "mine before": boards.before == 1,
        "theirs before": boards.before == -1,
        "blank": boards.now == 0,
        "occupied": boards.now != 0,
        "played": boards.played.unsqueeze(-1) == squares,
    }
    return torch.cat(
        [
            legal_patterns(boards),
            flipped_patterns(boards),
            *(states[state] for state in _SQUARE_STATES),
        ],
        -1,
    )


def _columns_of(rule: str, part: str) -> list[int]:
    parsed = parse_part(rule, part)
    first = len(PATTERNS) if rule == "flip" else 0
    patterns = [p for p in parsed if isinstance(p, Pattern)]
    if patterns:
        return [first + _ROW[pattern] for pattern in patterns]
    square, state = parsed
    return [2 * len(PATTERNS) + N_SQUARES * _SQUARE_STATES.index(str(state)) + int(str(square))]


def has_cases(neuron: Neuron) -> bool:
    """Whether a neuron's rule divides positions by their boards."""
    return neuron.rule in YES_OR_NO or neuron.rule == "tree"


class Rules:
    """The rules of some of a layer's neurons.

    met, trees: int64, the neurons whose rules hold or do not, and those with trees, in the order of
    the columns of :meth:`holds` and :meth:`leaves`.
    """

    def __init__(self, neurons: Sequence[Neuron]) -> None:
        met = [n for n in neurons if n.rule in YES_OR_NO]
        trees = [n for n in neurons if n.rule == "tree"]
        self.met, self.trees = (torch.tensor([n.neuron for n in s]).long() for s in (met, trees))
        self._squares = [sorted(squares_of(n)) for n in met]
        wanted = [sorted({c for p in n.parts for c in _columns_of(n.rule, p)}) for n in met]
        self._asked = torch.tensor(sorted({c for w in wanted for c in w}), dtype=torch.int64)
        place = {int(column): row for row, column in enumerate(self._asked)}
        self._parts = torch.zeros(len(place), len(met))
        for number, columns in enumerate(wanted):
            self._parts[[place[column] for column in columns], number] = 1
        self._questions = torch.zeros(len(trees), LEAVES - 1, dtype=torch.int64)
        # Below a leaf, no question matters: all ends stand for it.
        self._ends = torch.zeros(len(trees), LEAVES, dtype=torch.int64)
        for number, neuron in enumerate(trees):
            self._plant(neuron.tree, number, 0, 0)

    def about(self, squares: Tensor) -> Tensor:
        """bool [F, met]: which numbers are about a square that a rule names, or about none.

        squares: int64 [F], the square that each number is about, or -1.
        """
        named = torch.zeros(N_SQUARES + 1, len(self._squares), dtype=torch.bool)
        named[-1] = True
        for number, of_rule in enumerate(self._squares):
            named[of_rule, number] = True
        return named[squares]

    def _plant(self, tree: object, number: int, node: int, depth: int) -> None:
        if isinstance(tree, int | float):
            below = 2 ** (DEPTH - depth)
            first = (node - (2**depth - 1)) * below
            self._ends[number, first : first + below] = first
            return
        assert isinstance(tree, list | tuple)
        if depth == DEPTH:
            raise ValueError(f"a tree deeper than {DEPTH} questions")
        question, without, having = tree
        self._questions[number, node] = tree_column(question)
        self._plant(without, number, 2 * node + 1, depth + 1)
        self._plant(having, number, 2 * node + 2, depth + 1)

    def holds(self, boards: Boards) -> Tensor:
        """bool [N, met]."""
        asked = conditions(boards)[:, self._asked.to(boards.now.device)].float()
        return asked @ self._parts.to(asked.device) > 0

    def leaves(self, boards: Boards) -> Tensor:
        """int64 [N, trees]: in which leaf of each tree a board ends."""
        features = boards.features()
        node = torch.zeros(len(boards), len(self._ends), dtype=torch.int64, device=features.device)
        tree = torch.arange(len(self._ends), device=features.device)
        questions, ends = self._questions.to(features.device), self._ends.to(features.device)
        for _ in range(DEPTH):
            answers = features.gather(1, questions[tree, node])
            node = 2 * node + 1 + answers
        return ends[tree, node - (LEAVES - 1)]


class LeafMeans:
    """Mean activations of neurons with trees by leaf and ply, as sums."""

    def __init__(self, trees: int) -> None:
        self.count = torch.zeros(CONTEXT * LEAVES, trees)
        self.total = torch.zeros(CONTEXT * LEAVES, trees, dtype=torch.float64)

    def add(self, leaves: Tensor, activations: Tensor, ply: Tensor) -> None:
        """leaves: int64 [N, trees]; activations: float [N, trees]; ply: int64 [N]."""
        place = (ply[:, None] * LEAVES + leaves).cpu()
        self.count.scatter_add_(0, place, torch.ones(place.shape))
        self.total.scatter_add_(0, place, activations.double().cpu())

    def values(self) -> Tensor:
        """float32 [groups of plies, leaves, trees]: the mean in each leaf."""
        count = self.count.double().view(CONTEXT, LEAVES, -1)
        total = self.total.view(CONTEXT, LEAVES, -1)
        mean = total.sum((0, 1)) / count.sum((0, 1)).clamp(min=1)
        overall = (total.sum(0) + SELDOM * mean) / (count.sum(0) + SELDOM)
        group = torch.arange(CONTEXT) // PLIES
        sums = torch.zeros(2, int(group[-1]) + 1, *overall.shape, dtype=torch.float64)
        sums[0].index_add_(0, group, total)
        sums[1].index_add_(0, group, count)
        return ((sums[0] + OFTEN * overall) / (sums[1] + OFTEN)).float()


@dataclass(frozen=True)
class Held:
    """Boards, and numbers that say how surely they are held: float32 [N, F]."""

    boards: Boards
    numbers: Tensor


@dataclass(frozen=True)
class Predicted:
    """What rules say of all of a layer's neurons: means float32 [59, neurons] by ply; reads of the
    rules that hold or do not; leaves as :meth:`LeafMeans.values` gives them."""

    rules: Rules
    means: Tensor
    reads: Graded
    leaves: Tensor

    def __call__(self, held: Held) -> Tensor:
        """float32 [N, neurons]."""
        boards, where = held.boards, held.numbers.device
        activations = self.means.to(where)[boards.ply]
        if len(self.rules.met):
            graded = self.reads(held.numbers, self.rules.holds(boards), boards.ply)
            activations[:, self.rules.met.to(where)] = graded
        if len(self.rules.trees):
            leaves, group = self.rules.leaves(boards), boards.ply[:, None] // PLIES
            tree = torch.arange(leaves.shape[1], device=where)
            in_leaves = self.leaves.to(where)[group, leaves, tree]
            activations[:, self.rules.trees.to(where)] = in_leaves
        return activations


@dataclass(frozen=True)
class Linear:
    """A linear map around the means of each ply: slopes float32 [F, O], x [59, F], y [59, O]."""

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
        n = sums.n.clamp(min=1)[:, None]
        return cls(slopes.float(), (sums.x / n).float(), (sums.y / n).float())

    def __call__(self, x: Tensor, ply: Tensor) -> Tensor:
        """float32 [N, O] of x [N, F] at plies [N]."""
        slopes, x_mean, y_mean = (t.to(x.device) for t in (self.slopes, self.x, self.y))
        return y_mean[ply] + (x - x_mean[ply]) @ slopes


#: The square that each of :func:`board_numbers` is about.
NUMBERED = torch.arange(N_SQUARES).repeat(4)


def board_numbers(
    boards: Boards, colours: Tensor | None = None, turned: Tensor | None = None
) -> Tensor:
    """float32 [N, 256]: of every square mine less theirs, and turned, as the board has it or, where
    they are given, [N, 64], as surely as they are held; then whether it is blank, and the move."""
    squares = torch.arange(N_SQUARES, device=boards.now.device)
    columns = (
        boards.now if colours is None else colours,
        boards.turned if turned is None else turned,
        boards.now == 0,
        boards.played.unsqueeze(-1) == squares,
    )
    return torch.cat([column.float() for column in columns], -1)


def frame_events(boards: Boards) -> Tensor:
    """int8 [N, events, 64] in the order of EVENTS: +1 or -1 where something happened to a square,
    for whose colour it holds, in the frame of the side that moves next, if nobody passes."""
    squares = torch.arange(N_SQUARES, device=boards.now.device)
    placed = boards.played.unsqueeze(-1) == squares
    stands = boards.now * ~(placed | boards.turned)
    return torch.stack(
        [
            -placed.to(torch.int8),
            -boards.turned.to(torch.int8),
            stands == 1,
            -(stands == -1).char(),
        ],
        1,
    )


class KernelReading:
    """What a layer's lag kernels say of squares' "mine less theirs"."""

    def __init__(self, kernels: Sequence[Kernel]) -> None:
        #: float32 [events, where, 59, 59] by reader and source; position 0 is no source.
        self.weights = torch.zeros(len(EVENTS), len(WHERE), CONTEXT, CONTEXT)
        lag = torch.arange(CONTEXT)[:, None] - torch.arange(CONTEXT)
        for kernel in kernels:
            if kernel.event in EVENTS and kernel.where in WHERE:
                by_lag = torch.zeros(CONTEXT)
                by_lag[list(kernel.lags)] = torch.tensor(kernel.by_lag)
                seen = torch.where(lag >= 0, by_lag[lag.clamp(min=0)], 0.0)
                place = EVENTS.index(kernel.event), list(WHERE).index(kernel.where)
                self.weights[place] = seen
        self.weights[..., 0] = 0

    def __call__(self, events: Tensor, reader: Tensor) -> Tensor:
        """float32 [B, 59, 64] of events [B, 59, events, 64] with colours, for readers of a colour
        [B, 59]."""
        read = torch.zeros(len(events), CONTEXT, N_SQUARES, device=events.device)
        for number, squares in enumerate(WHERE.values()):
            told = events[..., squares.to(events.device)].float()
            weights = self.weights[:, number].to(events.device)
            read[..., squares.to(events.device)] = torch.einsum("etu,bues->bts", weights, told)
        return read * reader.unsqueeze(-1)
