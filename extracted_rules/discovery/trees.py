"""Regression trees for all neurons of a layer at once.

The usual greedy trees: every node is split by the yes-or-no question that leaves the least squared
error. As all questions are yes or no, one product of matrices finds the best splits of a level of
many trees; for sixteen thousand neurons that is minutes instead of hours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from extracted_rules.catalogue import rounded
from extracted_rules.conditions import tree_questions
from extracted_rules.othello.geometry import Geometry

DEPTH = 5
#: No leaf holds fewer positions.
SMALLEST_LEAF = 20
#: Trees grown together: as many as keep a level's sums below a few hundred MiB.
TOGETHER = 16
#: Leaves of a tree as catalogues keep it, and the share of the variance that a split explains.
LEAVES, SPLIT_WORTH = 8, 0.01


@dataclass(frozen=True)
class Trees:
    """Trees of one depth, one a neuron, as heaps: node i has the children 2 i + 1, where the answer
    is no, and 2 i + 2. split: int64 [neurons, 2^depth - 1], a column of the features, or -1 at a
    leaf. value, gain: float32 [neurons, 2^(depth + 1) - 1] and like split: mean activation, and
    squared error that the split removes as a share of the neuron's whole."""

    split: Tensor
    value: Tensor
    gain: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """float32 [N, neurons]. features: bool [N, F]."""
        columns = features.T.contiguous()
        predicted = torch.empty(len(self.split), len(features))
        for neuron, (split, value) in enumerate(
            zip(self.split.tolist(), self.value.tolist(), strict=True)
        ):
            predicted[neuron] = _descend(0, split, value, columns)
        return predicted.T

    def pruned(self) -> "Trees":
        """With the splits that explain least taken back, from the leaves on, until few are left."""
        split = self.split.clone()
        for row, gains in zip(split, self.gain.tolist(), strict=True):
            nodes = row.tolist()
            _prune(nodes, gains)
            row.copy_(torch.tensor(nodes))
        return Trees(split, self.value, self.gain)

    def nested(self, neuron: int, geometry: Geometry) -> Any:
        """``[question, where it is not, where it is]``, as a catalogue writes it; or a number."""
        questions = tuple(tree_questions(geometry))
        split, value = self.split[neuron].tolist(), self.value[neuron].tolist()

        def below(node: int) -> Any:
            if node >= len(split) or split[node] < 0:
                return rounded(value[node])
            return questions[split[node]], below(2 * node + 1), below(2 * node + 2)

        return below(0)


def _descend(node: int, split: list[int], value: list[float], columns: Tensor) -> Tensor | float:
    """What a tree says from a node on. columns: bool [F, N]."""
    if node >= len(split) or split[node] < 0:
        return value[node]
    without, having = (_descend(2 * node + 1 + answer, split, value, columns) for answer in (0, 1))
    return torch.where(columns[split[node]], having, without)


def _prune(nodes: list[int], gains: list[float]) -> None:
    """Take splits back in place."""

    def is_split(node: int) -> bool:
        return node < len(nodes) and nodes[node] >= 0

    while True:
        splits = [i for i, feature in enumerate(nodes) if feature >= 0]
        last = [i for i in splits if not is_split(2 * i + 1) and not is_split(2 * i + 2)]
        if not last:
            return
        weakest = min(last, key=lambda i: gains[i])
        if len(splits) + 1 <= LEAVES and gains[weakest] >= SPLIT_WORTH:
            return
        nodes[weakest] = -1


def fit_trees(
    features: Tensor,
    activations: Tensor,
    depth: int = DEPTH,
    progress: Callable[[int], None] = lambda _: None,
) -> Trees:
    """Trees that predict activations float32 [N, neurons] from features bool [N, F]."""
    table = features.float().T.contiguous()
    parts = []
    for some in torch.split(activations, TOGETHER, 1):
        parts.append(_grow(features, table, some.contiguous(), depth))
        progress(some.shape[1])
    return Trees(
        *(torch.cat([getattr(p, name) for p in parts]) for name in ("split", "value", "gain"))
    )


def _grow(features: Tensor, table: Tensor, activations: Tensor, depth: int) -> Trees:
    """table: float32 [F, N], the features as numbers."""
    n, neurons = activations.shape
    mean = activations.mean(0)
    scale = activations.std(0).clamp(min=1e-12)
    y = ((activations - mean) / scale).unsqueeze(-1)
    node = torch.zeros(n, neurons, 1, dtype=torch.int64)  # within its level
    splits, gains, values = [], [], []
    tree = torch.arange(neurons)
    for level in range(depth + 1):
        width = 2**level
        sums = torch.zeros(n, neurons, 2 * width)
        sums.scatter_(2, node, y)
        sums.scatter_(2, node + width, 1.0)
        total, count = sums.sum(0).view(neurons, 2, width).unbind(1)
        values.append(total / count.clamp(min=1))
        if level == depth:
            break
        having = (table @ sums.view(n, -1)).view(-1, neurons, 2, width)
        split, gain = _best_split(having[:, :, 0], having[:, :, 1], total, count)
        splits.append(split)
        gains.append(gain / n)
        chosen = split[tree, node.squeeze(-1)]
        answer = features.gather(1, chosen.clamp(min=0)) & (chosen >= 0)
        node = 2 * node + answer.unsqueeze(-1)
    value = torch.cat(values, 1) * scale.unsqueeze(-1) + mean.unsqueeze(-1)
    return Trees(torch.cat(splits, 1), value, torch.cat(gains, 1))


def _best_split(
    sums: Tensor, counts: Tensor, total: Tensor, count: Tensor
) -> tuple[Tensor, Tensor]:
    """(int64 [neurons, nodes]: the question, or -1 where none helps; the squared error it removes).

    sums, counts: float32 [F, neurons, nodes], of targets and positions where the answer is yes.
    total, count: float32 [neurons, nodes], of all of a node's.
    """
    rest = count - counts
    removed = sums.square() / counts.clamp(min=1) + (total - sums).square() / rest.clamp(min=1)
    removed -= total.square() / count.clamp(min=1)
    removed.masked_fill_((counts < SMALLEST_LEAF) | (rest < SMALLEST_LEAF), -1.0)
    gain, split = removed.max(0)
    return torch.where(gain > 1e-6, split, -1), gain.clamp(min=0)
