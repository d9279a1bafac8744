"""The replacement test: take parts of a model out, put rules in, and see what comes back.

A part is an MLP or an attention layer; it is replaced alone, or with all such parts of the layers
before it. In its place stands (a) its mean at that ply; (b) what the catalogue's rules predict from
the board that the model itself holds there, or (c) from the true board; (d) a linear map of the
held board, of the rank that the rules can have at most. What (a) loses is what the part does; the
share of it that (b), (c) or (d) bring back is what they know of that. As a control, (b) once more
with the rules dealt to other neurons, and attention's with another game.

Where several parts are replaced, boards are decoded from what the replaced parts before have left.
A hand-built model is read by the names of its directions, too, which hold more than a board.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from comparison.reading.streams import READ_GAMES
from comparison.replacing.fitted import OUTPUTS, PARTS, PLACES, Fitted, Truth
from comparison.scoring.intervals import Estimate, Ratio
from comparison.scoring.measures import score
from extracted_rules.catalogue import Catalogue, CatalogueError
from extracted_rules.files import read_tensors, write_tensors
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.notation import CONTEXT
from handbuilt.network.transformer import OthelloGPT

PURPOSE = "replacement"
#: Counts how rules were put in, so that what was measured in another way is not taken for this.
METHOD = 2
#: What may stand in for a part.
HOW = {
    "mean": "its mean at that ply",
    "own": "what the rules predict from the board that the model holds",
    "true": "what the rules predict from the true board",
    "control": "the same, with rules of other neurons, or events of another game",
    "linear": "a linear map of the board that the model holds, no higher in rank than the rules'",
}
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


@dataclass(frozen=True)
class Replaced:
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

    def as_dict(self) -> dict[str, object]:
        """Plain numbers for JSON."""
        tables = {
            name: {how: vars(e) if e else None for how, e in getattr(self, name).items()}
            for name in ("excess", "illegal", "ce_back", "top1_back")
        }
        return {"parts": self.family, "layer": self.layer, **tables}


def replacement_test(
    model: OthelloGPT,
    fitted: Fitted,
    games: int,
    seed: int,
    work: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Replaced]:
    """Replace every part alone and every growing set, on random games of a purpose of their own.

    work: a folder that keeps what was measured of each batch of games, so that a test that was
    killed goes on; it must belong to this model, catalogue and seed. ``progress`` hears of games.
    """
    device = next(model.parameters()).device
    found: list[Tensor] = []
    tokens = torch.cat(list(random_games(games, seed, purpose=PURPOSE, device=device)))
    for number, batch in enumerate(torch.split(tokens, READ_GAMES)):
        path = work / f"batch-{number}-{len(batch)}.safetensors" if work else None
        if path and path.exists():
            sums = read_tensors(path)[0]["sums"]
        else:
            sums = measure(model, fitted, batch)
            if path:
                write_tensors(path, {"sums": sums}, {})
        found.append(sums)
        progress(len(batch))
    return summary(torch.cat(found, -1), model.shape.n_layers)


def sets(layers: int) -> list[tuple[str, int]]:
    """The sets of parts, as (family, last layer), in the order in which they are measured."""
    return [(family, layer) for family in FAMILIES for layer in range(layers)]


@torch.inference_mode()
def measure(model: OthelloGPT, fitted: Fitted, tokens: Tensor) -> Tensor:
    """float64 [1 + sets * hows, 3, games]: excess cross-entropy and illegal choices, summed over a
    game's positions, and their number; first of the whole model."""
    played = replay(tokens)
    truth = Truth.of(played)
    layers = model.shape.n_layers
    streams = streams_of(model, tokens)
    rows = [_sums(finish(model, streams[layers]), played)]
    for parts, growing in FAMILIES.values():
        for how in HOW:
            states = _grown if growing else _single
            for state in states(model, fitted, parts, how, streams, truth):
                rows.append(_sums(finish(model, *state), played))
    order = [
        1 + (f * len(HOW) + h) * layers + layer
        for f in range(len(FAMILIES))
        for layer in range(layers)
        for h in range(len(HOW))
    ]
    return torch.stack([rows[0], *(rows[place] for place in order)])


def streams_of(model: OthelloGPT, tokens: Tensor) -> list[Tensor]:
    """The residual stream before every layer and behind the last."""
    kept: list[Tensor] = []

    def keep(name: str, value: Tensor) -> Tensor:
        last = f"blocks.{model.shape.n_layers - 1}.hook_resid_post"
        if name.endswith("hook_resid_pre") or name == last:
            kept.append(value)
        return value

    model.run_with_hook(tokens[:, :CONTEXT].long(), keep)
    return kept


def finish(model: OthelloGPT, x: Tensor, first: int | None = None) -> Tensor:
    """Logits from the stream before a layer, or behind the last one."""
    for block in model.blocks[model.shape.n_layers if first is None else first :]:
        x = block(x, lambda _, value: value)
    logits: Tensor = model.unembed(model.ln_final(x, lambda _, value: value))
    return logits


def _layer(
    model: OthelloGPT,
    fitted: Fitted,
    parts: tuple[str, ...],
    how: str,
    layer: int,
    x: Tensor,
    truth: Truth,
) -> Tensor:
    """The stream behind a layer some of whose parts are replaced, from that before it."""
    before: dict[str, Tensor] = {}

    def hook(name: str, value: Tensor) -> Tensor:
        if name in PLACES:
            before[name] = value
        for part, place in zip(PARTS, PLACES, strict=True):
            if part in parts and name == OUTPUTS[part]:
                value = value.clone()
                value[truth.rows] = fitted.output(model, part, layer, how, before[place], truth)
        return value

    after: Tensor = model.blocks[layer](x, hook)
    return after


def _single(
    model: OthelloGPT,
    fitted: Fitted,
    parts: tuple[str, ...],
    how: str,
    streams: list[Tensor],
    truth: Truth,
) -> Iterator[tuple[Tensor, int]]:
    """(the stream, the layer before which it is), every layer's part replaced alone."""
    for layer in range(model.shape.n_layers):
        yield _layer(model, fitted, parts, how, layer, streams[layer], truth), layer + 1


def _grown(
    model: OthelloGPT,
    fitted: Fitted,
    parts: tuple[str, ...],
    how: str,
    streams: list[Tensor],
    truth: Truth,
) -> Iterator[tuple[Tensor, int]]:
    """The same, with the parts of all layers before it replaced, too."""
    x = streams[0]
    for layer in range(model.shape.n_layers):
        x = _layer(model, fitted, parts, how, layer, x, truth)
        yield x, layer + 1


def _sums(logits: Tensor, played: Replay) -> Tensor:
    """float64 [3, games]."""
    scores = score(logits, played, 0.5)
    excess = (scores.excess * scores.valid).sum(-1)
    return torch.stack([excess, scores.wrong.sum(-1).double(), scores.valid.sum(-1).double()]).cpu()


def summary(sums: Tensor, layers: int) -> list[Replaced]:
    """From what :func:`measure` gives, over all games: intervals have the game as the unit."""
    whole, replaced = sums[0], sums[1:].view(-1, len(HOW), *sums.shape[1:])
    found = []
    for (family, layer), by_how in zip(sets(layers), replaced, strict=True):
        rows = dict(zip(HOW, by_how, strict=True))
        found.append(
            Replaced(
                family,
                layer,
                excess={
                    h: Ratio.of(r[0], r[2]).mean() for h, r in {"nothing": whole, **rows}.items()
                },
                illegal={
                    h: Ratio.of(r[1], r[2]).rate() for h, r in {"nothing": whole, **rows}.items()
                },
                ce_back={h: _back(whole, rows["mean"], r, 0) for h, r in rows.items()},
                top1_back={h: _back(whole, rows["mean"], r, 1) for h, r in rows.items()},
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
