"""Runs a model over games, layer by layer, for whoever looks for rules in it.

The residual stream of all games is kept in memory between layers, so that every layer runs once;
the activations of a layer are dropped with it. What a layer gave is written down at once: killed,
an extraction goes on behind the last whole layer.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from comparison.reading.probes import Probes
from comparison.reading.streams import READ_GAMES
from comparison.scoring.bench import Bars, no_bars
from extracted_rules.catalogue import (
    Catalogue,
    CatalogueError,
    Finding,
    Games,
    Header,
    of_line,
    to_line,
)
from extracted_rules.conditions import Boards
from extracted_rules.discovery.collecting import Batch, Collector, CollectorOf, Surroundings
from extracted_rules.discovery.heads import HeadCollector
from extracted_rules.discovery.layers import LayerCollector
from extracted_rules.discovery.neuron_rules import FEWEST_GAMES, THRESHOLDS, Labels, NeuronRules
from extracted_rules.errors import UserError
from extracted_rules.files import whole_file
from extracted_rules.othello.game import Replay, random_games, replay, stream_seed
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.notation import CONTEXT
from handbuilt.network.transformer import OthelloGPT

#: Games in which rules are found, and others on which they are checked.
FINDING, CHECKING = "discovery", "discovery-check"
FINDING_GAMES, CHECKING_GAMES = 1500, 1000
#: Who looks at a layer's heads, and at the layer as a whole; neurons come after them.
LAYER_COLLECTORS: tuple[CollectorOf, ...] = (HeadCollector, LayerCollector)
#: Games by which the usual size of the last residual stream is measured.
SIZE_GAMES = 64
#: The steps of a collector's work, as bars show it.
WHOLE = 100
#: Counts how rules were looked for, so that what was found in another way is not taken for this.
METHOD = 2


class ExtractionError(UserError):
    """What no rules can be extracted with; the message is one sentence."""


@dataclass(frozen=True)
class Settings:
    """Random games to find rules in and others to check them on; all with one seed."""

    games: int = FINDING_GAMES
    checking: int = CHECKING_GAMES
    seed: int = 1

    def check(self) -> None:
        """Raises ExtractionError."""
        for name, games in (("to find rules in", self.games), ("to check them on", self.checking)):
            if games < FEWEST_GAMES:
                raise ExtractionError(
                    f"{games} games {name} are too few: {FEWEST_GAMES} are needed for patterns to "
                    "occur at all"
                )


@dataclass
class _Run:
    """Some games, their replays and the residual streams that enter the next layer."""

    played: list[Replay]
    streams: list[Tensor]
    checking: bool

    @classmethod
    def start(cls, model: OthelloGPT, purpose: str, games: int, seed: int) -> "_Run":
        device = next(model.parameters()).device
        played, streams = [], []
        for chunk in random_games(games, seed, purpose=purpose, device=device):
            for batch in torch.split(chunk, READ_GAMES):
                tokens = batch[:, :CONTEXT].long()
                played.append(replay(batch))
                streams.append(model.embed(tokens) + model.pos_embed(tokens))
        return cls(played, streams, purpose == CHECKING)

    def boards(self) -> Boards:
        return Boards.join([Boards.of(played, CONTEXT) for played in self.played]).cpu()


def random_control(model: OthelloGPT, seed: int = 1) -> OthelloGPT:
    """A model with the same numbers in every matrix, in random order: whatever is found in it was
    not learned."""
    generator = torch.Generator().manual_seed(stream_seed("control", seed))
    weights = {}
    for name, tensor in sorted(model.state_dict().items()):
        order = torch.randperm(tensor.numel(), generator=generator)
        weights[name] = tensor.cpu().flatten()[order].view(tensor.shape)
    where = next(model.parameters()).device
    return OthelloGPT.of_weights(weights, model.shape, {}).to(where)


@torch.inference_mode()
def extract(
    model: OthelloGPT,
    name: str,
    probes: Probes,
    settings: Settings,
    work: Path,
    bars: Bars = no_bars,
    layers: range | None = None,
) -> Catalogue:
    """The catalogue of a model, read through its probes.

    work: a folder for what each layer gave, made if need be; another model's or other settings'
    results there are not used. layers: those to look at, by default all. Raises ExtractionError
    for too few games, CatalogueError for results in ``work`` that are damaged, and OSError.
    """
    settings.check()
    layers = layers or range(model.shape.n_layers)
    kept = _Kept(work, probes.model, settings, model.geometry)
    runs = [
        _Run.start(model, FINDING, settings.games, settings.seed),
        _Run.start(model, CHECKING, settings.checking, settings.seed),
    ]
    boards = [run.boards() for run in runs]
    missing = [layer for layer in layers if kept.read(layer) is None]
    if missing:
        labels = Labels.of(boards[0], boards[1], stream_seed("control", settings.seed) % 2**31)

        def neurons(where: Surroundings) -> Collector:
            return NeuronRules(where, labels)

        kinds = (*LAYER_COLLECTORS, neurons)
        to_logits = logit_directions(model, settings.seed)
        for layer in range(missing[-1] + 1):
            where = surroundings(model, probes, layer, to_logits)
            looks = layer in missing
            total = settings.games + settings.checking + (WHOLE * len(kinds) if looks else 0)
            step = bars(f"layer {layer}" if looks else f"layer {layer}, known", total)
            collectors = [kind(where) for kind in kinds] if looks else []
            _run_layer(model, layer, runs, collectors, step)
            if looks:
                kept.write(layer, [f for c in collectors for f in c.findings(step)])
    findings = [finding for layer in layers for finding in kept.read(layer) or []]
    shape = model.shape
    header = Header(
        model=name,
        fingerprint=probes.model,
        sizes=(shape.n_layers, shape.n_heads, shape.d_mlp),
        found_on=Games(FINDING, settings.seed, settings.games, len(boards[0])),
        checked_on=Games(CHECKING, settings.seed, settings.checking, len(boards[1])),
        thresholds=THRESHOLDS,
        board=model.geometry.size,
    )
    return Catalogue(header, tuple(findings))


def _run_layer(
    model: OthelloGPT,
    layer: int,
    runs: list[_Run],
    collectors: list[Collector],
    step: Callable[[int], None],
) -> None:
    """Take all streams through a layer, in place, and show collectors what they need."""
    needed = frozenset().union(*(collector.needs for collector in collectors))
    for run in runs:
        for number, (played, stream) in enumerate(zip(run.played, run.streams, strict=True)):
            activations: dict[str, Tensor] = {}

            def keep(name: str, value: Tensor, kept: dict[str, Tensor] = activations) -> Tensor:
                if name in needed:
                    kept[name] = value
                return value

            run.streams[number] = model.blocks[layer](stream, keep)
            for collector in collectors:
                collector.add(Batch(activations, played, run.checking))
            step(len(stream))


def surroundings(model: OthelloGPT, probes: Probes, layer: int, to_logits: Tensor) -> Surroundings:
    """What a write in a layer means; ``to_logits`` as :func:`logit_directions` gives it."""
    prefix = f"blocks.{layer}."
    weights = {
        name.removeprefix(prefix): tensor
        for name, tensor in model.state_dict().items()
        if name.startswith(prefix)
    }
    return Surroundings(layer, weights, probes.towards[layer, :-1], to_logits)


def logit_directions(model: OthelloGPT, seed: int) -> Tensor:
    """float32 [d_model, 60]: how a write into the stream moves logits, if the last LayerNorm's
    scale stays what it usually is."""
    games = next(random_games(SIZE_GAMES, seed, purpose=FINDING, device=model.unembed.b_U.device))
    scales: list[Tensor] = []

    def keep(name: str, value: Tensor) -> Tensor:
        if name == "ln_final.hook_scale":
            scales.append(value)
        return value

    model.run_with_hook(games[:, :CONTEXT].long(), keep)
    gained = model.ln_final.w[:, None] * model.unembed.W_U[:, 1:]
    return ((gained - gained.mean(0)) / scales[0].mean()).detach().cpu()


class _Kept:
    """What layers gave, a file each; the first line says of what model and with which settings."""

    def __init__(self, folder: Path, model: str, settings: Settings, geometry: Geometry) -> None:
        self.folder, self.geometry = folder, geometry
        known = {"method": METHOD, "model": model, **asdict(settings), **THRESHOLDS}
        self.first = json.dumps(known)
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, layer: int) -> Path:
        return self.folder / f"layer-{layer}.jsonl"

    def read(self, layer: int) -> list[Finding] | None:
        """None where nothing is kept, or something else. Raises CatalogueError."""
        path = self._path(layer)
        if not path.exists():
            return None
        first, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
        try:
            return [of_line(line, self.geometry) for line in lines] if first == self.first else None
        except CatalogueError as error:
            raise CatalogueError(f"{path} is damaged, delete it: {error}") from None

    def write(self, layer: int, findings: list[Finding]) -> None:
        with whole_file(self._path(layer)) as partial:
            partial.write_text("\n".join([self.first, *map(to_line, findings), ""]), "utf-8")
