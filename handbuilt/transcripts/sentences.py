"""A transcript in words: a sentence for every neuron and head."""

from collections.abc import Sequence

import torch
from torch import Tensor

from extracted_rules.discovery.names import kind_of, square_of

#: So many reads of a neuron and pairs of a head are said, those that are strongest.
READS_SAID, PAIRS_SAID = 6, 2
#: So many writes at most, each at least this share of the strongest.
WRITES_SAID, OF_STRONGEST = 3, 0.5


def describe_neurons(
    names: Sequence[str], reads: Tensor, writes: Tensor
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """By neuron, (the kind of name that it reads most of, a sentence). reads: [names, neurons];
    writes: [neurons, names]."""
    kinds = list(dict.fromkeys(kind_of(name) for name in names))
    row = torch.tensor([kinds.index(kind_of(name)) for name in names])
    by_kind = torch.zeros(len(kinds), reads.shape[1], dtype=reads.dtype)
    most = by_kind.index_add_(0, row, reads.square()).argmax(0).tolist()
    silent = ~reads.any(0)
    rules, sentences = [], []
    for quiet, kind, read, write in zip(silent.tolist(), most, reads.T, writes, strict=True):
        rules.append("nothing" if quiet else kinds[kind])
        sentences.append(
            "reads nothing" if quiet else f"{_reads(names, read)}; {_writes(names, write)}"
        )
    return tuple(rules), tuple(sentences)


def _signed(names: Sequence[str], which: Tensor, strengths: Tensor) -> str:
    return ", ".join(
        names[name] if strength > 0 else f"not {names[name]}"
        for name, strength in zip(which.tolist(), strengths.tolist(), strict=True)
    )


def _reads(names: Sequence[str], strengths: Tensor) -> str:
    number = int((strengths != 0).sum())
    said = strengths.abs().topk(min(number, READS_SAID)).indices
    more = f" and {number - len(said)} more" if number > len(said) else ""
    return f"reads {_signed(names, said, strengths[said])}{more}"


def _writes(names: Sequence[str], moved: Tensor) -> str:
    strongest = moved.abs().topk(min(WRITES_SAID, len(moved)))
    said = strongest.indices[strongest.values >= OF_STRONGEST * strongest.values[0]]
    if not strongest.values[0] > 0:
        return "writes nothing"
    return f"writes {_signed(names, said, moved[said])}"


# ------------------------------------------------------------------ heads


def stays(names: Sequence[str], moved: Tensor) -> float:
    """Of what is carried between squares, [names, names], the share (of sums of squares) that stays
    on its own."""
    labels = [square_of(name) for name in names]
    number = {label: n for n, label in enumerate(sorted(set(labels)))}
    squares = torch.tensor([number[label] for label in labels])
    about = torch.tensor([bool(label) for label in labels])
    between = (about[:, None] & about) * moved.square()
    same = (squares[:, None] == squares) & about
    total = float(between.sum())
    return float(between[same].sum()) / total if total > 0 else 0.0


def describe_head(names: Sequence[str], carried: Tensor) -> str:
    """carried: [names, coordinates], how a head that looks at a position where a name is up moves
    the names' coordinates, and others behind them."""
    moved = carried[:, : len(names)]
    total = float(moved.square().sum())
    if not total > 0:
        return "carries nothing"
    kinds = list(dict.fromkeys(kind_of(name) for name in names))
    row = torch.tensor([kinds.index(kind_of(name)) for name in names])
    pairs = torch.zeros(len(kinds), len(kinds), dtype=torch.float64)
    pairs = pairs.index_put((row[:, None], row[None]), moved.square() / total, accumulate=True)
    strongest = pairs.flatten().topk(min(PAIRS_SAID, pairs.numel()))
    said = []
    for share, pair in zip(strongest.values.tolist(), strongest.indices.tolist(), strict=True):
        source, goal = (kinds[n] for n in divmod(pair, len(kinds)))
        said.append(f"{source} to {goal} ({100 * share:.0f} %)")
    own = 100 * stays(names, moved)
    return f"carries {', '.join(said)}; of squares, {own:.0f} % to the same one"
