"""Named things in a stream of activations: linear readouts, fitted on the truth.

A *name* is a fact about a position, such as "mine C4" or "legal next B3"; its *readout* is the
direction of the activations that tells it best. Random directions in place of readouts are the
control, and principal ones: whatever they do as well is no matter of names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.conditions import Boards, there
from extracted_rules.discovery.regression import Regression, ridge
from extracted_rules.othello.game import Replay, stream_seed
from extracted_rules.othello.geometry import Geometry

#: Facts about each square: whose its disc is for the side that moves next, whether the last move
#: flipped it, whether it can be played next, and whether it was just played.
KINDS = ("mine", "theirs", "flipped", "legal next", "played")
PLY = "ply"
#: The penalty of readouts, as a share of the mean square of an activation.
PENALTY = 1e-4
#: Names are told less by each other than their covariance says: decoding stays finite by this.
NEARLY = 1e-6
#: Several times the share by which float32 rounds a number.
ROUNDED = 4 * torch.finfo(torch.float32).eps


def all_names(geometry: Geometry) -> tuple[str, ...]:
    """Every name, in the order of :func:`truth`'s columns; plies count from 1."""
    squares = tuple(f"{kind} {label}" for kind in KINDS for label in geometry.labels)
    return squares + tuple(f"{PLY} {ply + 1}" for ply in range(geometry.context))


def kind_of(name: str) -> str:
    """What a name says of its square, or PLY."""
    return name.rpartition(" ")[0]


def square_of(name: str) -> str:
    """The label of the square that a name is about; "" for a ply."""
    kind, _, label = name.rpartition(" ")
    return "" if kind == PLY else label


def truth(played: Replay) -> tuple[Tensor, Tensor]:
    """(float64 [N, names] of 0 and 1; the positions bool [B, context] after which a side can move,
    N in all)."""
    geometry = played.geometry
    where, boards = there(played, geometry.context), Boards.of(played, geometry.context)
    legal = played.legal[:, 1 : geometry.context + 1][where]
    plies = boards.ply[:, None] == torch.arange(geometry.context, device=legal.device)
    facts = (boards.now == 1, boards.now == -1, boards.turned, legal, boards.here, plies)
    return torch.cat(facts, -1).double(), where


@dataclass(frozen=True)
class Spread:
    """How activations [rows, d] and the truth [rows, names] vary and go together, around their
    means. All float64.

    activations: [d, d]; shared: [d, names]; truth: [names], variances; moves: bool [d], features
    that vary by more than float32 rounds them. What is as large as a hand-built model's ballast
    would drown whatever is read beside it.
    """

    activations: Tensor
    shared: Tensor
    truth: Tensor
    moves: Tensor

    @classmethod
    def of(cls, sums: Regression) -> "Spread":
        xx, xy, yy = (part / sums.n.sum() for part in sums.centred())
        rounding = ROUNDED * sums.means[0][0].abs()
        return cls(xx, xy, yy, xx.diagonal() > rounding.square())

    @classmethod
    def pooled(cls, places: Sequence[Regression]) -> "Spread":
        """Several places of one model, each as much as any other and around its own mean."""
        all_of = [cls.of(sums) for sums in places]
        activations, shared, truth = (
            torch.stack([getattr(of, part) for of in all_of]).mean(0) for part in PARTS
        )
        return cls(activations, shared, truth, torch.stack([of.moves for of in all_of]).any(0))

    @property
    def varies(self) -> Tensor:
        """int64: the names that are not true or false throughout; a corner is never flipped."""
        return (self.truth > NEARLY).nonzero().flatten()

    def only(self, names: Tensor) -> "Spread":
        """Of some of the names, int64."""
        return Spread(self.activations, self.shared[:, names], self.truth[names], self.moves)

    def fitted(self) -> Tensor:
        """[d, names]: the directions that tell each name best."""
        penalty = PENALTY * float(self.activations.diagonal().mean())
        moves, found = self.moves, torch.zeros_like(self.shared)
        inner = self.activations[moves][:, moves]
        found[moves] = ridge(inner, self.shared[moves], penalty + torch.finfo(found.dtype).tiny)
        return self.scaled(found)

    def random(self, number: int, seed: int) -> Tensor:
        """[d, number]: a control, the same for one seed."""
        generator = torch.Generator().manual_seed(stream_seed("control", seed))
        drawn = torch.randn(len(self.moves), number, generator=generator, dtype=torch.float64)
        return self.scaled(drawn * self.moves[:, None])

    def principal(self, number: int) -> Tensor:
        """[d, number]: another control, the directions in which activations vary most."""
        both = self.moves[:, None] & self.moves
        found: Tensor = torch.linalg.eigh(self.activations * both).eigenvectors
        return self.scaled(found[:, -number:].flip(1) * self.moves[:, None])

    def scaled(self, directions: Tensor) -> Tensor:
        """The same [d, number], blind to what all activations have in common, as a LayerNorm takes
        it off, and of variance 1; 0 where nothing varies."""
        blind = directions - directions.mean(0)
        variance = (blind * (self.activations @ blind)).sum(0)
        return blind * torch.where(variance > 0, variance, torch.inf).rsqrt()

    def among(self, directions: Tensor) -> Tensor:
        """[number, number]: their covariance."""
        return directions.T @ self.activations @ directions

    def decoder(self, directions: Tensor) -> Tensor:
        """[number, d]: back to activations, as least squares has it: around the mean, what
        directions say of activations x is ``x @ directions @ decoder``."""
        return ridge(self.among(directions), directions.T @ self.activations, NEARLY)

    def correlation(self, directions: Tensor) -> Tensor:
        """[names]: of each name's direction, [d, names], with its truth; 0 where one of the two
        does not vary."""
        variance = (directions * (self.activations @ directions)).sum(0) * self.truth
        together = (directions * self.shared).sum(0)
        return together * torch.where(variance > 0, variance, torch.inf).rsqrt()


#: What is averaged over places.
PARTS = ("activations", "shared", "truth")
