"""Named things in a stream of activations: linear readouts, fitted on the truth.

A *name* is a fact about a position, such as "mine C4" or "legal next B3"; its *readout* at a place
is the direction of the activations there that tells it best. Random directions in place of
readouts are the control: whatever they do as well is no matter of names.

Reading through names is two maps: activations [rows, d] to names [rows, names], by
:attr:`Readouts.weights`, and back by :attr:`Readouts.decoder`, as least squares has it.
"""

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


def that_vary(sums: Regression) -> Tensor:
    """int64: the outputs that are not the same in all rows; a corner is never flipped."""
    return (sums.centred()[2] > NEARLY).nonzero().flatten()


def moving(sums: Regression) -> Tensor:
    """bool [F]: features that vary by more than float32 rounds them. What is as large as a
    hand-built model's ballast would drown whatever is read beside it."""
    rounding = ROUNDED * sums.means[0][0].abs()
    return covariance(sums).diagonal() > rounding.square()


def fitted(sums: Regression) -> Tensor:
    """[F, O]: the directions that tell the outputs best."""
    tiny = torch.finfo(torch.float64).tiny
    return sums.slopes(moving(sums), sums.mean_square(PENALTY) + tiny)


def random(sums: Regression, directions: int, seed: int) -> Tensor:
    """float64 [F, directions]: the control of as many names, the same for one seed."""
    generator = torch.Generator().manual_seed(stream_seed("control", seed))
    drawn = torch.randn(len(sums.xx), directions, generator=generator, dtype=torch.float64)
    return drawn * moving(sums)[:, None]


@dataclass(frozen=True)
class Readouts:
    """Directions at one place, each of mean 0 and variance 1 over the rows that they were made of;
    what does not vary there is read as 0. All float64.

    mean: [d], of the activations; weights: [d, names]; covariance: [names, names]; decoder: [names,
    d], so that ``mean + (x - mean) @ weights @ decoder`` is what the names say of activations x.
    """

    mean: Tensor
    weights: Tensor
    covariance: Tensor
    decoder: Tensor

    @classmethod
    def of(cls, sums: Regression, directions: Tensor) -> "Readouts":
        """directions: [d, names], of any length."""
        spread = covariance(sums)
        variance = (directions * (spread @ directions)).sum(0)
        weights = directions * torch.where(variance > 0, variance, torch.inf).rsqrt()
        told = spread @ weights
        among = weights.T @ told
        return cls(sums.means[0][0], weights, among, ridge(among, told.T, NEARLY))


def covariance(sums: Regression) -> Tensor:
    """float64 [F, F]: of the features."""
    return sums.centred()[0] / sums.n.sum()
