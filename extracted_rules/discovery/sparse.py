"""A few names that tell a sum best: orthogonal matching pursuit from covariances.

The rows themselves are not needed. Each target takes the name that tells most of what is left of
it, then all that it has are weighed anew by least squares, and so on.
"""

import torch
from torch import Tensor

from extracted_rules.discovery.names import NEARLY, Spread
from extracted_rules.discovery.regression import ridge
from extracted_rules.errors import UserError

#: Targets that are worked on at a time.
TARGETS = 512


class ReadsError(UserError):
    """A number of reads that there cannot be; the message is one sentence."""


def check_reads(reads: int, names: int) -> None:
    """Raises ReadsError."""
    if reads < 1:
        raise ReadsError(f"a neuron reads at least 1 name, not {reads}")
    if reads > names:
        raise ReadsError(f"a neuron cannot read {reads} names: there are {names}")


def pursue(among: Tensor, shared: Tensor, reads: int) -> tuple[Tensor, Tensor]:
    """(int64 [targets, reads], which names; float64 [targets, reads], how strongly).

    among: float64 [names, names], their covariance; shared: [names, targets], that of names with
    targets. Names that do not vary are taken last. Raises ReadsError.
    """
    names, targets = shared.shape
    check_reads(reads, names)
    if reads == names:
        every = torch.arange(names).expand(targets, -1)
        return every, ridge(among, shared, NEARLY).T.contiguous()
    parts = [_pursue(among, part, reads) for part in torch.split(shared.T, TARGETS)]
    chosen, strengths = zip(*parts, strict=True)
    return torch.cat(chosen), torch.cat(strengths)


def _pursue(among: Tensor, shared: Tensor, reads: int) -> tuple[Tensor, Tensor]:
    """shared: [targets, names]."""
    variance = among.diagonal().clamp(min=NEARLY)
    chosen = torch.zeros(len(shared), 0, dtype=torch.int64)
    left = shared
    for _ in range(reads):
        gain = (left.square() / variance).scatter(1, chosen, -1.0)
        chosen = torch.cat([chosen, gain.argmax(1, keepdim=True)], 1)
        inner = among[chosen[:, :, None], chosen[:, None, :]]
        weights = ridge(inner, shared.gather(1, chosen)[..., None], NEARLY)[..., 0]
        left = shared - dense(chosen, weights, len(among)).T @ among
    return chosen, weights


def learn(directions: Tensor, wanted: Tensor, spread: Spread, reads: int, rounds: int) -> Tensor:
    """A learned dictionary [d, names] to read ``wanted`` [d, targets] by: the directions by which a
    few reads tell most, whatever they mean; a control of names.

    The method of optimal directions (Engan, Aase and Husoy 1999), begun with ``directions``: reads
    are pursued, then the directions are those that explain the targets best by these reads. All
    targets count alike.
    """
    variance = (wanted * (spread.activations @ wanted)).sum(0)
    wanted = wanted * torch.where(variance > 0, variance, torch.inf).rsqrt()
    found = spread.scaled(directions)
    for _ in range(rounds):
        shared = found.T @ spread.activations @ wanted
        weights = dense(*pursue(spread.among(found), shared, reads), found.shape[1])
        used = weights.abs().sum(1) > 0
        better = found.clone()
        better[:, used] = ridge(weights[used] @ weights[used].T, weights[used] @ wanted.T, NEARLY).T
        found = spread.scaled(better)
    return found


def dense(chosen: Tensor, strengths: Tensor, names: int) -> Tensor:
    """[names, targets]: the strengths [targets, reads] of the chosen names, 0 for all others."""
    weights = torch.zeros(len(chosen), names, dtype=strengths.dtype)
    return weights.scatter(1, chosen, strengths).T


def kept(spread: Tensor, wanted: Tensor, read: Tensor) -> float:
    """The share of several sums' variance that is left when ``read`` stands in for ``wanted``, both
    [d, sums], over rows of covariance [d, d]; 1 where there is none."""
    lost = wanted - read
    of_all, of_lost = (float((x * (spread @ x)).sum()) for x in (wanted, lost))
    return 1 - of_lost / of_all if of_all > 0 else 1.0
