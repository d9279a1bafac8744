"""What do neurons read, by a transcript? Which kinds of names; whether squares on one line; and
whether a neuron is the mirror image of another one.
"""

import torch
from torch import Tensor

from extracted_rules.discovery.names import KINDS, PLY, kind_of, square_of
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.game import stream_seed
from extracted_rules.othello.geometry import Geometry
from handbuilt.transcripts.transcript import Transcript

#: The squares that carry this share of what a neuron reads are what it is about.
MOST = 0.5
#: Fewer squares lie on a line by chance.
FEWEST = 3
#: A neuron whose reads have this cosine with another's mirrored ones is its mirror image.
ALIKE = 0.7


class Reading:
    """A transcript's reads: by layer, float64 [neurons, names], of length 1; only of layers whose
    neurons read few names, and of neurons that read any. control: permuted squares, the same for
    one seed."""

    def __init__(self, transcript: Transcript, seed: int) -> None:
        self.names, self.geometry = transcript.about.names, _geometry(transcript)
        self.layers = {
            layer: _unit(neurons.weights(len(self.names)).T[neurons.strengths.any(1)])
            for layer, neurons in enumerate(transcript.neurons)
            if layer not in transcript.about.dense
        }
        drawn = torch.Generator().manual_seed(stream_seed("squares", seed))
        playable = torch.tensor(list(self.geometry.playable))
        self.control = torch.arange(self.geometry.n_squares)
        self.control[playable] = playable[torch.randperm(len(playable), generator=drawn)]

    def moved(self, reads: Tensor, squares: Tensor) -> Tensor:
        """The same reads where each square stands for another, int64 [squares]."""
        place = {name: n for n, name in enumerate(self.names)}
        labels, found = self.geometry.labels, torch.zeros_like(reads)
        for name, n in place.items():
            if kind_of(name) == PLY:
                found[:, n] = reads[:, n]
                continue
            other = labels[int(squares[labels.index(square_of(name))])]
            goal = place.get(f"{kind_of(name)} {other}")
            if goal is not None:
                found[:, goal] = reads[:, n]
        return found

    def by_square(self, reads: Tensor) -> Tensor:
        """float64 [neurons, squares]: shares of the sum of squares."""
        found = torch.zeros(len(reads), self.geometry.n_squares, dtype=reads.dtype)
        for n, name in enumerate(self.names):
            if label := square_of(name):
                found[:, self.geometry.labels.index(label)] += reads[:, n].square()
        return found


def _geometry(transcript: Transcript) -> Geometry:
    squares = {square_of(name) for name in transcript.about.names} - {""}
    return Geometry(round(len(squares) ** 0.5))


def _unit(reads: Tensor) -> Tensor:
    unit: Tensor = torch.nn.functional.normalize(reads, dim=1)
    return unit


def kinds_table(reading: Reading) -> Table:
    """One row a layer: the shares of what is read by kinds of names, and of neurons about squares
    on one line, beside the same with permuted squares."""
    rows = []
    for layer, reads in reading.layers.items():
        whole = reads.square()
        of_kind = [
            whole[:, [kind_of(name) == kind for name in reading.names]].sum(1).mean()
            for kind in (*KINDS, PLY)
        ]
        lines = [
            _on_one_line(reading, reading.moved(reads, squares)).double().mean()
            for squares in (torch.arange(reading.geometry.n_squares), reading.control)
        ]
        rows.append([str(layer), *(f"{100 * float(share):.1f}" for share in (*of_kind, *lines))])
    headings = (*(f"{kind} %" for kind in (*KINDS, PLY)), "one line %", "permuted squares %")
    return Table("What neurons read", ("layer",), headings, rows)


def _on_one_line(reading: Reading, reads: Tensor) -> Tensor:
    """bool [neurons]: whether the squares that carry most of what is read lie on one line."""
    size = reading.geometry.size
    shares = reading.by_square(reads)
    order = shares.argsort(1, descending=True)
    before = shares.gather(1, order).cumsum(1) - shares.gather(1, order)
    about = before < MOST * shares.sum(1, keepdim=True)
    row, column = order // size, order % size
    found = torch.zeros(len(reads), dtype=torch.bool)
    for line in (row, column, row - column, row + column):
        found |= ((line == line[:, :1]) | ~about).all(1)
    return found & (about.sum(1) >= FEWEST)


def mirrors_table(reading: Reading) -> Table:
    """One row a layer: how near another neuron's reads come to a neuron's mirrored ones, the median
    cosine and the share of mirror images: over the board's symmetries that keep the start position,
    over those that do not, and where squares are permuted."""
    board = reading.geometry
    kept = [k for k in board.start_symmetries if k]
    others = [k for k in range(len(board.symmetries)) if k not in board.start_symmetries]
    moves = {
        "start kept": board.symmetries[kept],
        "other symmetries": board.symmetries[others],
        "permuted squares": reading.control[None],
    }
    rows = []
    for layer, reads in reading.layers.items():
        cells = []
        for some in moves.values():
            nearest = torch.cat([_nearest(reads, reading.moved(reads, m)) for m in some])
            cells += [f"{float(nearest.median()):.2f}"]
            cells += [f"{100 * float((nearest > ALIKE).double().mean()):.1f}"]
        rows.append([str(layer), *cells])
    headings = tuple(f"{name}: {what}" for name in moves for what in ("cosine", "images %"))
    return Table("Neurons as mirror images of others", ("layer",), headings, rows)


def _nearest(reads: Tensor, moved: Tensor) -> Tensor:
    """[neurons]: the largest cosine of a neuron's moved reads with another's."""
    cosines = moved @ reads.T
    cosines.fill_diagonal_(-1)
    return cosines.amax(1)
