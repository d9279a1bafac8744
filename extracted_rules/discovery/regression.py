"""Linear regression from sums over games, around the mean of every group of rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Added to the sum of squares of every feature, as if each had been seen so often without effect:
#: what happens hardly ever has no large slope.
ONCE = 10.0


@dataclass
class Regression:
    """Sums of products of features x [rows, F] and outputs y [rows, O], all float64.

    Rows come in groups, such as plies; everything is taken around the mean of its group.
    """

    n: Tensor  # [groups]
    x: Tensor  # [groups, F]
    y: Tensor  # [groups, O]
    xx: Tensor  # [F, F]
    xy: Tensor  # [F, O]
    yy: Tensor  # [O]

    @classmethod
    def zeros(cls, groups: int, features: int, outputs: int) -> "Regression":
        """Nothing added yet."""
        by_group = ((groups,), (groups, features), (groups, outputs))
        sizes = (*by_group, (features, features), (features, outputs), (outputs,))
        return cls(*(torch.zeros(*size, dtype=torch.float64) for size in sizes))

    def add(self, x: Tensor, y: Tensor, group: Tensor) -> None:
        """x: float [rows, F]; y: float [rows, O]; group: int64 [rows]."""
        self.n += group.bincount(minlength=len(self.n)).cpu()
        for sums, rows in ((self.x, x), (self.y, y)):
            # Summed on the spot: groups are many, and so are columns, but not both.
            of_batch = torch.zeros(sums.shape, dtype=rows.dtype, device=rows.device)
            sums += of_batch.index_add_(0, group, rows).cpu()
        self.xx += (x.T @ x).cpu()
        self.xy += (x.T @ y).cpu()
        self.yy += y.double().square().sum(0).cpu()

    def centred(self) -> tuple[Tensor, Tensor, Tensor]:
        """(xx, xy, yy) around the groups' means."""
        n = self.n.clamp(min=1)[:, None]
        return (
            self.xx - self.x.T @ (self.x / n),
            self.xy - self.x.T @ (self.y / n),
            (self.yy - (self.y.square() / n).sum(0)).clamp(min=0),
        )

    def slopes(self, features: Tensor | None = None) -> Tensor:
        """[F, O]: the best slopes; with ``features``, bool [F], the others are 0."""
        xx, xy, _ = self.centred()
        chosen = torch.ones(len(xx), dtype=torch.bool) if features is None else features
        slopes = torch.zeros_like(xy)
        penalty = ONCE * torch.eye(int(chosen.sum()), dtype=xx.dtype)
        slopes[chosen] = torch.linalg.solve(xx[chosen][:, chosen] + penalty, xy[chosen])
        return slopes

    def explained(self, slopes: Tensor) -> tuple[Tensor, Tensor]:
        """([O] sums of squares that slopes, of these rows or of others, explain here; [O] all)."""
        xx, xy, yy = self.centred()
        return 2 * (slopes * xy).sum(0) - (slopes * (xx @ slopes)).sum(0), yy


def share(explained: Tensor, of_all: Tensor) -> float:
    """The share of several outputs' sums of squares that is explained; 0 where nothing varies."""
    total = float(of_all.sum())
    return float(explained.sum()) / total if total > 0 else 0.0
