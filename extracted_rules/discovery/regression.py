"""Ridge regression from sums over batches: the one place where slopes are worked out.

Rows stream in and are added up, so memory does not grow with them::

    sums = Regression.zeros(groups=plies, features=64, outputs=512)
    for x, y, ply in batches:
        sums.add(x, y, ply)
    slopes = sums.slopes(penalty=sums.mean_square(1e-4))

``groups=1`` and no groups in :meth:`Regression.add` give the usual regression with one intercept;
``shift`` keeps large constants, such as the mean of a residual stream, from drowning the rest.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

#: Added to the sum of squares of every feature, as if each had been seen so often without effect:
#: what happens hardly ever has no large slope.
ONCE = 10.0


def ridge(xx: Tensor, xy: Tensor, penalty: Tensor | float) -> Tensor:
    """[..., F, O]: the slopes that sums of products [..., F, F] and [..., F, O] give, with a
    penalty, for all features or for each [..., F], added to the sums of squares."""
    penalties = torch.as_tensor(penalty, dtype=xx.dtype, device=xx.device).expand(xx.shape[:-1])
    slopes: Tensor = torch.linalg.solve(xx + torch.diag_embed(penalties), xy)
    return slopes


def means_by(values: Tensor, group: Tensor, groups: int) -> Tensor:
    """float [groups, n]: of values [rows, n], the mean over the rows of each group, int64 [rows];
    0 where there are none."""
    sums = values.new_zeros(groups, values.shape[1]).index_add_(0, group, values)
    return sums / torch.bincount(group, minlength=groups).clamp(min=1)[:, None]


@dataclass
class Regression:
    """Sums of products of features x [rows, F], less a shift, and outputs y [rows, O], float64.

    Rows come in groups, such as plies; everything is taken around the mean of its group. Products
    of a batch have its own dtype: give float64 where float32 would round too much.
    """

    n: Tensor  # [groups]
    x: Tensor  # [groups, F]
    y: Tensor  # [groups, O]
    xx: Tensor  # [F, F]
    xy: Tensor  # [F, O]
    yy: Tensor  # [O]
    shift: Tensor  # [F]

    @classmethod
    def zeros(
        cls, groups: int, features: int, outputs: int, shift: Tensor | None = None
    ) -> "Regression":
        """Nothing added yet. shift: float [F], about the mean of the features, taken off them."""
        by_group = ((groups,), (groups, features), (groups, outputs))
        sizes = (*by_group, (features, features), (features, outputs), (outputs,), (features,))
        sums = cls(*(torch.zeros(*size, dtype=torch.float64) for size in sizes))
        if shift is not None:
            sums.shift = shift.double().cpu()
        return sums

    def add(self, x: Tensor, y: Tensor, group: Tensor | None = None) -> None:
        """x: float [rows, F]; y: float [rows, O]; group: int64 [rows], all in one if not given."""
        if group is None:
            group = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        if bool(self.shift.any()):
            x = x - self.shift.to(x)
        self.n += group.bincount(minlength=len(self.n)).cpu()
        for sums, rows in ((self.x, x), (self.y, y)):
            # Summed on the spot: groups are many, and so are columns, but not both.
            of_batch = torch.zeros(sums.shape, dtype=rows.dtype, device=rows.device)
            sums += of_batch.index_add_(0, group, rows).cpu()
        self.xx += (x.T @ x).cpu()
        self.xy += (x.T @ y).cpu()
        self.yy += y.double().square().sum(0).cpu()

    @property
    def means(self) -> tuple[Tensor, Tensor]:
        """(x [groups, F], y [groups, O]) of every group; where it has no rows, the shift and 0."""
        n = self.n.clamp(min=1)[:, None]
        return self.x / n + self.shift, self.y / n

    def centred(self) -> tuple[Tensor, Tensor, Tensor]:
        """(xx, xy, yy) around the groups' means."""
        n = self.n.clamp(min=1)[:, None]
        return (
            self.xx - self.x.T @ (self.x / n),
            self.xy - self.x.T @ (self.y / n),
            (self.yy - (self.y.square() / n).sum(0)).clamp(min=0),
        )

    def mean_square(self, share: float) -> float:
        """A penalty: a share of the features' mean sum of squares around the groups' means."""
        return share * float(self.centred()[0].diagonal().mean())

    def slopes(self, features: Tensor | None = None, penalty: Tensor | float = ONCE) -> Tensor:
        """[F, O]: the best slopes; with ``features``, bool [F], the others are 0."""
        xx, xy, _ = self.centred()
        if features is None:
            return ridge(xx, xy, penalty)
        slopes = torch.zeros_like(xy)
        slopes[features] = ridge(xx[features][:, features], xy[features], penalty)
        return slopes

    def intercepts(self, slopes: Tensor) -> Tensor:
        """[groups, O]: what is predicted in each group where all features are 0."""
        x, y = self.means
        return y - x @ slopes

    def explained(self, slopes: Tensor) -> tuple[Tensor, Tensor]:
        """([O] sums of squares that slopes, of these rows or of others, explain here; [O] all)."""
        xx, xy, yy = self.centred()
        return 2 * (slopes * xy).sum(0) - (slopes * (xx @ slopes)).sum(0), yy


def share(explained: Tensor, of_all: Tensor) -> float:
    """The share of several outputs' sums of squares that is explained; 0 where nothing varies."""
    total = float(of_all.sum())
    return float(explained.sum()) / total if total > 0 else 0.0
