"""How many neurons of a layer follow flips, and what explains their variance, by groups of games.

Activations are float32 [rows, neurons] throughout; group: int64 [rows], of each row's game.
"""

from math import inf

import torch
from scipy.sparse import csr_array
from torch import Tensor

from extracted_rules.benches.intervals import GROUPS, Estimate, by_group, jackknife
from extracted_rules.conditions import Boards
from extracted_rules.discovery.neuron_rules import DIFFERENCE_SUPPORT
from extracted_rules.discovery.patterns import flipped_patterns
from extracted_rules.discovery.regression import means_by

#: A neuron follows a flip if its mean activation differs by more than this: GELU's minimum.
DIFFERENCE = 0.17


def following(activations: Tensor, boards: Boards, group: Tensor) -> Estimate:
    """How many neurons have a mean activation that is more than DIFFERENCE higher where some flip
    holds than elsewhere."""
    flips = flipped_patterns(boards)
    flips = flips[:, flips.sum(0) >= DIFFERENCE_SUPPORT]
    held = csr_array(flips.float().numpy())
    rows = [(group == number).nonzero().squeeze(-1) for number in range(GROUPS)]
    sums = [torch.from_numpy(held[r.numpy()].T @ activations[r].numpy()) for r in rows]
    n = by_group(torch.ones(len(group)), group)

    def count(n: Tensor, total: Tensor, inside: Tensor, held: Tensor) -> float:
        often = held >= DIFFERENCE_SUPPORT
        inside, times = inside[often], held[often, None].float()
        difference = inside / times - (total.float() - inside) / (n.float() - times)
        return float((difference > DIFFERENCE).any(0).sum())

    return jackknife(
        count,
        n,
        by_group(activations, group),
        torch.stack(sums),
        by_group(flips, group),
        within=(0.0, inf),
    )


def scaled(fit: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Activations [rows, neurons] of both samples in units of each neuron's own deviation, so that
    large numbers do not drown small ones."""
    centre, scale = fit.mean(0), fit.std(0).clamp(min=1e-12)
    return (fit - centre) / scale, (seen - centre) / scale


def errors_by_group(activations: Tensor, predicted: Tensor, group: Tensor) -> list[Tensor]:
    """Sums by group, float64 [GROUPS, neurons] each: squared errors of what is predicted,
    activations, and their squares; and [GROUPS, 1], positions."""
    error = (activations - predicted).square()
    ones = torch.ones(len(activations), 1)
    return [by_group(x, group) for x in (error, activations, activations.square(), ones)]


def by_ply(fit: Tensor, ply: Tensor, seen: Tensor, at: Boards, group: Tensor) -> list[Tensor]:
    """:func:`errors_by_group` where the mean activation that other games have at a ply is
    predicted. fit: those games' activations, ply: of their positions."""
    before, after = scaled(fit, seen)
    mean = means_by(before, ply, at.geometry.context)
    return errors_by_group(after, mean[at.ply], group)


def r2_of(error: Tensor, total: Tensor, squares: Tensor, n: Tensor) -> Tensor:
    """[neurons]: the share of the variance that is explained; 0 where nothing varies."""
    spread = squares - total.square() / n
    return torch.where(spread > 1e-6 * n, 1 - error / spread, 0.0)
