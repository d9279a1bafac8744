"""The replacement test: take parts of a model out, put rules in, and see what comes back.

A part is an MLP or an attention layer; it is replaced alone, or with all such parts of the layers
before it. In its place stands (a) its mean at that ply; (b) what the catalogue's rules predict from
the board decoded from the model there, or (c) from the true board; (d) a linear map of the decoded
board, of the rank that the rules can have at most. What (a) loses is what the part does; the share
of it that (b), (c) or (d) bring back is what they know of that. As a control, (b) once more with
the rules dealt to other neurons, and attention's with another game. Where the model has been
transcribed, its transcript stands in, too, and as its control the same with names of other squares.

Where several parts are replaced, boards are decoded from what the replaced parts before have left.
A hand-built model is read by the names of its directions, too, which hold more than a board.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from comparison.replacing.fitted import OUTPUTS, PARTS, PLACES, Fitted, Truth
from comparison.scoring.measures import score
from extracted_rules.benches.intervals import Estimate, Ratio
from extracted_rules.catalogue import Catalogue, CatalogueError
from extracted_rules.files import KeptTensors, Tensors
from extracted_rules.othello.game import Replay
from handbuilt.analysis.streams import Change, finish, random_replays, streams_of, through

PURPOSE = "replacement"
#: Counts how rules were put in, so that what was measured in another way is not taken for this.
METHOD = 3
#: What may stand in for a part.
HOW = {
    "mean": "its mean at that ply",
    "own": "what the rules predict from the board decoded from the model",
    "true": "what the rules predict from the true board",
    "control": "the same, with rules of other neurons, or events of another game",
    "linear": "a linear map of the decoded board, no higher in rank than the rules'",
    "transcript": "what neurons and heads of a transcript make of the names that they read",
    "dealt": "the same, with names of other squares",
}
#: Those of a transcript, where there is one.
TRANSCRIBED = ("transcript", "dealt")
#: Sets of parts: which are replaced in a layer, and whether in all layers before it, too.
FAMILIES: dict[str, tuple[tuple[str, ...], bool]] = {
    "MLP": (("mlp",), False),
    "attention": (("attention",), False),
    "MLPs up to": (("mlp",), True),
    "attention up to": (("attention",), True),
    "both up to": (PARTS, True),
}
#: What a share of less than this loss, in nats or as a share of positions, would say nothing of.
TOO_LITTLE = 0.001


class Replaced(msgspec.Struct, frozen=True, rename={"family": "parts"}):
    """What one set of parts is worth, and what comes back, over the same games.

    layer: the last one whose parts are replaced. excess: cross-entropy above its floor, nats;
    illegal: share of positions whose likeliest move is illegal; by what stands in, as HOW says, and
    "nothing" for the whole model. ce_back, top1_back: shares of what the mean loses that come back,
    by what stands in; None where the mean loses next to nothing.
    """

    family: str
    layer: int
    excess: dict[str, Estimate]
    illegal: dict[str, Estimate]
    ce_back: dict[str, Estimate | None]
    top1_back: dict[str, Estimate | None]

    @property
    def name(self) -> str:
        return f"{self.family} {self.layer}"


def replacement_test(
    fitted: Fitted,
    games: int,
    seed: int,
    work: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Replaced]:
    """Replace every part alone and every growing set, on random games of a purpose of their own.

    work: a folder that keeps what was measured of each batch of games, so that a test that was
    killed goes on; it must belong to this model, catalogue and seed. ``progress`` hears of games.
    Raises KeptError.
    """
    found = []
    for number, played in enumerate(random_replays(fitted.model, games, seed, PURPOSE)):
        size = len(played.tokens)
        make = partial(_measured, fitted, played)
        if work is None:
            sums, _ = make()
        else:
            path = work / f"batch-{number}-{size}.safetensors"
            sums, _ = KeptTensors(path, {"method": str(METHOD), "seed": str(seed)}).once(make)
        found.append(sums["sums"])
        progress(size)
    return summary(torch.cat(found, -1), fitted.model.shape.n_layers, hows(fitted))


def hows(fitted: Fitted) -> list[str]:
    """What can stand in for its parts, in the order in which it is measured."""
    return [how for how in HOW if how not in TRANSCRIBED or how in fitted.transcribed]


def _measured(fitted: Fitted, played: Replay) -> Tensors:
    return {"sums": measure(fitted, played)}, {}


def sets(layers: int) -> list[tuple[str, int]]:
    """The sets of parts, as (family, last layer), in the order in which they are measured."""
    return [(family, layer) for family in FAMILIES for layer in range(layers)]


@torch.inference_mode()
def measure(fitted: Fitted, played: Replay) -> Tensor:
    """float64 [1 + sets * hows, 3, games]: excess cross-entropy and illegal choices, summed over a
    game's positions, and their number; first of the whole model."""
    model, truth = fitted.model, Truth.of(played)
    streams = streams_of(model, played)
    whole = _sums(finish(model, streams[-1], model.shape.n_layers), played)
    replaced = [
        _sums(finish(model, stream, layer + 1), played)
        for parts, growing in FAMILIES.values()
        for how in hows(fitted)
        for layer, stream in enumerate(_replaced(fitted, parts, growing, how, streams, truth))
    ]
    by_family = torch.stack(replaced).view(len(FAMILIES), len(hows(fitted)), -1, *whole.shape)
    return torch.cat([whole[None], by_family.transpose(1, 2).flatten(0, 2)])


def _replaced(
    fitted: Fitted,
    parts: tuple[str, ...],
    growing: bool,
    how: str,
    streams: list[Tensor],
    truth: Truth,
) -> Iterator[Tensor]:
    """The stream behind every layer, with its parts replaced, and if the set is growing those of
    all layers before it, too."""
    x = streams[0]
    for layer, whole in enumerate(streams[:-1]):
        before: dict[str, Tensor] = {}
        changes: dict[str, Change] = {}
        for part in parts:
            stands = partial(fitted.output, part, layer, how)
            changes[PLACES[part]] = partial(before.__setitem__, part)
            changes[OUTPUTS[part]] = partial(_put, part, stands, before, truth)
        x, _ = through(fitted.model, layer, x if growing else whole, changes=changes)
        yield x


def _put(
    part: str,
    stands: Callable[[Tensor, Truth], Tensor],
    before: dict[str, Tensor],
    truth: Truth,
    output: Tensor,
) -> Tensor:
    output = output.clone()
    output[truth.rows] = stands(before[part], truth)
    return output


def _sums(logits: Tensor, played: Replay) -> Tensor:
    """float64 [3, games]."""
    scores = score(logits, played, 0.5)
    excess = (scores.excess * scores.valid).sum(-1)
    return torch.stack([excess, scores.wrong.sum(-1).double(), scores.valid.sum(-1).double()]).cpu()


def summary(sums: Tensor, layers: int, stand_ins: Sequence[str] = tuple(HOW)) -> list[Replaced]:
    """From what :func:`measure` gives, over all games: intervals have the game as the unit."""
    whole, replaced = sums[0], sums[1:].view(-1, len(stand_ins), *sums.shape[1:])
    found = []
    for (family, layer), by_how in zip(sets(layers), replaced, strict=True):
        rows = dict(zip(stand_ins, by_how, strict=True))
        every = {"nothing": whole, **rows}
        found.append(
            Replaced(
                family=family,
                layer=layer,
                excess={how: Ratio.of(row[0], row[2]).mean() for how, row in every.items()},
                illegal={how: Ratio.of(row[1], row[2]).rate() for how, row in every.items()},
                ce_back={how: _back(whole, rows["mean"], row, 0) for how, row in rows.items()},
                top1_back={how: _back(whole, rows["mean"], row, 1) for how, row in rows.items()},
            )
        )
    return found


def _back(whole: Tensor, mean: Tensor, row: Tensor, measure: int) -> Estimate | None:
    """The share of what the mean loses that comes back."""
    lost = mean[measure] - whole[measure]
    if float(lost.sum()) < TOO_LITTLE * float(whole[2].sum()):
        return None
    return Ratio.of(mean[measure] - row[measure], lost).mean()


def check_fits(catalogue: Catalogue, model: str) -> None:
    """Raises CatalogueError for a catalogue of another model than that of this fingerprint."""
    if catalogue.header.fingerprint != model:
        raise CatalogueError(
            f"the catalogue is about another model, which it calls {catalogue.header.model!r}"
        )


def digest(catalogue: bytes, *rest: object) -> str:
    """A short name for all that measurements depend on."""
    return sha256(catalogue + json.dumps([METHOD, *rest]).encode()).hexdigest()[:16]
