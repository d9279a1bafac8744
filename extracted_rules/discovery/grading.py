"""What a neuron reads, where a rule names the squares and discs are held more or less surely.

A neuron adds up what it reads and bends the sum. A rule says which squares matter to it. So what it
reads is told as a linear function of what is held of those squares, and of whether the rule holds;
and as that leaves something unknown, its activation is the mean of the bent sum over what may be.
Everything is worked out on games of its own, as sums.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.discovery.regression import Regression
from extracted_rules.othello.notation import CONTEXT

#: Every feature's sum of squares is raised by this share of it, and by a trifle for those that
#: never vary: what others tell, or nobody, has no slope of its own.
RIDGE, TRIFLE = 1e-6, 1e-9


def expected_gelu(mean: Tensor, variance: Tensor) -> Tensor:
    """The mean of an exact GELU over normal inputs."""
    wide = (1 + variance).sqrt()
    density = torch.exp(-0.5 * (mean / wide).square()) / (2 * torch.pi) ** 0.5
    expected: Tensor = mean * torch.special.ndtr(mean / wide) + variance / wide * density
    return expected


class Reads:
    """Sums over games for the neurons of some rules that hold or do not.

    about: bool [F, ruled], which of the numbers held of a board each rule may use.
    """

    def __init__(self, about: Tensor) -> None:
        self.about = about
        features, ruled = about.shape
        self.sums = Regression.zeros(CONTEXT, features, ruled)
        #: Where each rule holds: positions by ply, numbers, and what its neuron reads.
        self.n = torch.zeros(CONTEXT, ruled, dtype=torch.float64)
        self.x = torch.zeros(features, ruled, dtype=torch.float64)
        self.y = torch.zeros(ruled, dtype=torch.float64)

    def add(self, numbers: Tensor, holds: Tensor, reads: Tensor, ply: Tensor) -> None:
        """numbers: float [N, F]; holds: bool [N, ruled]; reads: float [N, ruled], before the
        nonlinearity; ply: int64 [N]."""
        # What opens and shuts a neuron may be a thousand times larger than what it weighs then.
        numbers, reads = numbers.double(), reads.double()
        self.sums.add(numbers, reads, ply)
        held = holds.double()
        self.n.index_add_(0, ply.cpu(), held.cpu())
        self.x += (numbers.T @ held).cpu()
        self.y += (reads * held).sum(0).cpu()

    def solve(self) -> "Graded":
        """The best slopes around the means of each ply."""
        xx, xy, yy = self.sums.centred()
        n = self.sums.n.clamp(min=1)[:, None]
        holds, x, y = self.n / n, self.sums.x / n, self.sums.y / n
        held_x = self.x - x.T @ self.n
        held_y = self.y - (y * self.n).sum(0)
        held_n = (self.n * (1 - holds)).sum(0)
        slopes, steps = torch.zeros_like(xy), torch.zeros_like(yy)
        left = yy.clone()
        for rule, used in enumerate(self.about.T):
            apart = held_x[used, rule, None]
            square = torch.cat(
                [
                    torch.cat([xx[used][:, used], apart], 1),
                    torch.cat([apart, held_n[rule].view(1, 1)]).T,
                ]
            )
            product = torch.cat([xy[used, rule], held_y[rule].view(1)])
            ridge = torch.diag(RIDGE * square.diagonal() + TRIFLE)
            best = torch.linalg.solve(square + ridge, product)
            slopes[used, rule], steps[rule] = best[:-1], best[-1]
            left[rule] -= best @ (2 * product - square @ best)
        unknown = (left / self.sums.n.sum().clamp(min=1)).clamp(min=0)
        return Graded(*(t.float() for t in (slopes, steps, x, holds, y, unknown)))


@dataclass(frozen=True)
class Graded:
    """What :class:`Reads` found; float32. slopes: [F, ruled]; steps: [ruled], how much more is read
    where the rule holds; x [59, F], holds [59, ruled], y [59, ruled]: means by ply; unknown:
    [ruled], the variance of what is read and not told."""

    slopes: Tensor
    steps: Tensor
    x: Tensor
    holds: Tensor
    y: Tensor
    unknown: Tensor

    def __call__(self, numbers: Tensor, holds: Tensor, ply: Tensor) -> Tensor:
        """float32 [N, ruled]: expected activations; arguments as in :meth:`Reads.add`."""
        where = numbers.device
        slopes, steps, x, held, y, unknown = (t.to(where) for t in vars(self).values())
        reads = y[ply] + (numbers - x[ply]) @ slopes + steps * (holds.float() - held[ply])
        return expected_gelu(reads, unknown)
