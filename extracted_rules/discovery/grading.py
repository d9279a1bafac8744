"""What a neuron reads, where a rule names the squares and discs are held more or less surely.

A neuron adds up what it reads and bends the sum. A rule says which squares matter to it. So what it
reads is told as a linear function of what is held of those squares, and of what the rule says; and
as that leaves something unknown, its activation is the mean of the bent sum over what may be.
Everything is worked out on games of its own, as sums.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.discovery.regression import Regression, ridge

#: Every feature's sum of squares is raised by this share of it, and by a trifle for those that
#: never vary: what others tell, or nobody, has no slope of its own.
RIDGE, TRIFLE = 1e-6, 1e-6


def expected_gelu(mean: Tensor, variance: Tensor) -> Tensor:
    """The mean of an exact GELU over normal inputs."""
    wide = (1 + variance).sqrt()
    density = torch.exp(-0.5 * (mean / wide).square()) / (2 * torch.pi) ** 0.5
    expected: Tensor = mean * torch.special.ndtr(mean / wide) + variance / wide * density
    return expected


class Reads:
    """Sums over games for the neurons of some rules.

    about: bool [F, rules], which of the numbers held of a board each rule may use; plies: how many
    there are.
    """

    def __init__(self, about: Tensor, plies: int) -> None:
        self.about = about
        features, rules = about.shape
        self.sums = Regression.zeros(plies, features, rules)
        #: What each rule says: by ply, and times numbers, what its neuron reads, and itself.
        self.said = torch.zeros(plies, rules, dtype=torch.float64)
        self.said_x = torch.zeros(features, rules, dtype=torch.float64)
        self.said_y, self.said_said = torch.zeros(2, rules, dtype=torch.float64)

    def add(self, numbers: Tensor, says: Tensor, reads: Tensor, ply: Tensor) -> None:
        """numbers: float [N, F]; says: float [N, rules]; reads: float [N, rules], before the
        nonlinearity; ply: int64 [N]."""
        # What opens and shuts a neuron may be a thousand times larger than what it weighs then.
        numbers, says, reads = numbers.double(), says.double(), reads.double()
        self.sums.add(numbers, reads, ply)
        self.said.index_add_(0, ply.cpu(), says.cpu())
        self.said_x += (numbers.T @ says).cpu()
        self.said_y += (reads * says).sum(0).cpu()
        self.said_said += says.square().sum(0).cpu()

    def solve(self) -> "Graded":
        """The best slopes around the means of each ply."""
        xx, xy, yy = self.sums.centred()
        x, y = self.sums.means
        said = self.said / self.sums.n.clamp(min=1)[:, None]
        said_x = self.said_x - x.T @ self.said
        said_y = self.said_y - (y * self.said).sum(0)
        said_said = self.said_said - (said * self.said).sum(0)
        slopes, steps = torch.zeros_like(xy), torch.zeros_like(yy)
        left = yy.clone()
        for rule, used in enumerate(self.about.T):
            apart = said_x[used, rule, None]
            itself = said_said[rule].view(1, 1)
            square = torch.cat(
                [torch.cat([xx[used][:, used], apart], 1), torch.cat([apart.T, itself], 1)]
            )
            product = torch.cat([xy[used, rule], said_y[rule].view(1)])
            best = ridge(square, product[:, None], RIDGE * square.diagonal().clamp(min=0) + TRIFLE)
            best = best.squeeze(-1)
            slopes[used, rule], steps[rule] = best[:-1], best[-1]
            left[rule] -= best @ (2 * product - square @ best)
        unknown = (left / self.sums.n.sum().clamp(min=1)).clamp(min=0)
        return Graded(*(t.float() for t in (slopes, steps, x, said, y, unknown)))


@dataclass(frozen=True)
class Graded:
    """What :class:`Reads` found; float32. slopes: [F, rules]; steps: [rules], how much more is read
    where a rule says 1 more; x [plies, F], said [plies, rules], y [plies, rules]: means by ply;
    unknown: [rules], the variance of what is read and not told."""

    slopes: Tensor
    steps: Tensor
    x: Tensor
    said: Tensor
    y: Tensor
    unknown: Tensor

    def __call__(self, numbers: Tensor, says: Tensor, ply: Tensor) -> Tensor:
        """float32 [N, rules]: expected activations; arguments as in :meth:`Reads.add`."""
        where = numbers.device
        slopes, steps, x, said, y, unknown = (t.to(where) for t in vars(self).values())
        reads = y[ply] + (numbers - x[ply]) @ slopes + steps * (says - said[ply])
        return expected_gelu(reads, unknown)
