"""A board's squares, lines and plies as the matrices that records are made of."""

from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from torch import Tensor

from extracted_rules.othello.geometry import Geometry
from handbuilt.interpreter.brackets import bracket_lengths, bracket_matrices, bracket_weights
from handbuilt.interpreter.plies import lateness, parity
from handbuilt.programs.records import Array, Neurons
from handbuilt.strengths import SOURCES

#: What closes a gate: more than the evidence that it has to silence (a test looks).
GATE = 16.0


@dataclass(frozen=True)
class Tables:
    """Matrices of one board: P playable squares, S squares, N brackets, T positions."""

    board: Geometry

    @cached_property
    def playable_labels(self) -> tuple[str, ...]:
        return tuple(self.board.labels[square] for square in self.board.playable)

    @cached_property
    def first_labels(self) -> tuple[str, ...]:
        return tuple(self.board.labels[square] for square in self.board.first_moves)

    @cached_property
    def squares(self) -> Array:
        """[P, S]: from the playable squares, over which moves and blanks are held, to all, over
        which boards are."""
        return np.eye(self.board.n_squares)[list(self.board.playable)]

    # ------------------------------------------------------------------ brackets

    @cached_property
    def bracket_names(self) -> tuple[str, ...]:
        return tuple(bracket.name for bracket in self.board.brackets)

    @cached_property
    def runs(self) -> Array:
        """[N, S]: 1 where a square lies on the run."""
        matrix: Array = bracket_matrices(self.board)[0].numpy()
        return matrix

    @cached_property
    def ends(self) -> Array:
        """[N, S]: 1 where a square is an end."""
        matrix: Array = bracket_matrices(self.board)[1].numpy()
        return matrix

    @cached_property
    def length_of(self) -> npt.NDArray[np.int64]:
        """[N]: length of each bracket's run, minus 1."""
        lengths: npt.NDArray[np.int64] = bracket_lengths(self.board).numpy()
        return lengths

    def heard_of_discs(self, run: Tensor, end: Tensor) -> dict[str, Array]:
        """[S, N] by source: what each bracket's neuron reads of every square.

        run, end: [lengths, sources, depths] and [lengths, sources], as the strengths hold them.
        """
        return {
            source: bracket_weights(self.board, run[:, i], end[:, i]).numpy().T
            for i, source in enumerate(SOURCES)
        }

    # ------------------------------------------------------------------ plies

    @cached_property
    def parity(self) -> Array:
        """[T]: +1 where parity names black, else -1."""
        sides: Array = parity(self.board.context).numpy()
        return sides

    @cached_property
    def agrees(self) -> Array:
        """[T, T]: +1 where parity names the same side, else -1."""
        return np.outer(self.parity, self.parity)

    @cached_property
    def first(self) -> Array:
        """[T, 1]: 1 at the first position, whose board is known by heart."""
        return np.eye(self.board.context)[:, :1]

    @cached_property
    def late(self) -> Array:
        """[T, 1]: 0 at the first position, 1 at the last."""
        late: Array = lateness(self.board.context).numpy()[:, None]
        return late

    @cached_property
    def taken(self) -> Array:
        """[T]: what the "seen" head shows of a taken square: a mean."""
        return 1 / np.arange(1.0, 1 + self.board.context)


@cache
def tables(board: Geometry) -> Tables:
    """Those of a board, made once."""
    return Tables(board)


def speaking(neurons: Neurons) -> tuple[Neurons, ...]:
    """Those that write anything; none where no neuron does."""
    speaks = np.any([link.weights.any(1) for link in neurons.writes], 0).nonzero()[0]
    return (neurons.only(speaks),) if len(speaks) else ()
