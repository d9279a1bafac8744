"""Runs a model over games, layer by layer, for whoever looks for rules in it.

The residual stream of all games is kept in memory between layers, so that every layer runs once;
the activations of a layer are dropped with it. What a layer gave is written down at once: killed,
an extraction goes on behind the last whole layer.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from comparison.reading.probes import Probes
from comparison.scoring.bench import Bars, no_bars
from extracted_rules.catalogue import Catalogue, Games, Header, of_line, to_line
from extracted_rules.conditions import Boards
from extracted_rules.discovery.collecting import Batch, Collector, CollectorOf, Surroundings
from extracted_rules.discovery.heads import HeadCollector
from extracted_rules.discovery.layers import LayerCollector
from extracted_rules.discovery.neuron_rules import FEWEST_GAMES, THRESHOLDS, Labels, NeuronRules
from extracted_rules.errors import UserError
from extracted_rules.files import KeptData
from extracted_rules.othello.game import Replay, stream_seed
from handbuilt.analysis.contributions import logit_directions
from handbuilt.analysis.streams import READ_GAMES, games_for, random_replays, start, through
from handbuilt.network.transformer import OthelloGPT

#: Games in which rules are found, and others on which they are checked.
FINDING, CHECKING = "discovery", "discovery-check"
FINDING_GAMES, CHECKING_GAMES = 1500, 1000
#: Who looks at a layer's heads, and at the layer as a whole; neurons come after them.
LAYER_COLLECTORS: tuple[CollectorOf, ...] = (HeadCollector, LayerCollector)
#: Games by which the usual size of the last residual stream is measured.
SIZE_GAMES = 2 * READ_GAMES
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
        played = list(random_replays(model, games, seed, purpose))
        return cls(played, [start(model, batch) for batch in played], purpose == CHECKING)

    def boards(self) -> Boards:
        return Boards.join([Boards.of(p, p.geometry.context) for p in self.played]).cpu()

    def go_on(
        self,
        model: OthelloGPT,
        layer: int,
        collectors: list[Collector],
        step: Callable[[int], None],
    ) -> None:
        """Take all streams through a layer, in place, and show collectors what they need."""
        needed = frozenset().union(*(collector.needs for collector in collectors))
        for number, (played, stream) in enumerate(zip(self.played, self.streams, strict=True)):
            self.streams[number], activations = through(model, layer, stream, needed)
            for collector in collectors:
                collector.add(Batch(activations, played, self.checking))
            step(len(stream))


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

    work: a folder for what each layer gave, made if need be. layers: those to look at, by default
    all. Raises ExtractionError for too few games, KeptError for results in ``work`` that are
    damaged or of another model or other settings, and OSError.
    """
    settings.check()
    work.mkdir(parents=True, exist_ok=True)
    layers, shape = layers or range(model.shape.n_layers), model.shape
    known = {"method": METHOD, "model": probes.model, **asdict(settings), **THRESHOLDS}
    about = {key: str(value) for key, value in known.items()}
    kept = {n: KeptData(work / f"layer-{n}.msgpack", about, list[str]) for n in layers}
    lines = {layer: file.read() for layer, file in kept.items() if file.path.exists()}
    runs = [
        _Run.start(model, FINDING, settings.games, settings.seed),
        _Run.start(model, CHECKING, settings.checking, settings.seed),
    ]
    boards = [run.boards() for run in runs]
    missing = [layer for layer in layers if layer not in lines]
    if missing:
        labels = Labels.of(boards[0], boards[1], stream_seed("control", settings.seed) % 2**31)
        kinds: tuple[CollectorOf, ...] = (*LAYER_COLLECTORS, lambda at: NeuronRules(at, labels))
        some = next(games_for(model, SIZE_GAMES, settings.seed, FINDING))
        to_logits = logit_directions(model, some)
        for layer in range(missing[-1] + 1):
            looks, where = layer in missing, surroundings(model, probes, layer, to_logits)
            total = settings.games + settings.checking + (WHOLE * len(kinds) if looks else 0)
            step = bars(f"layer {layer}" if looks else f"layer {layer}, known", total)
            collectors = [kind(where) for kind in kinds] if looks else []
            for run in runs:
                run.go_on(model, layer, collectors, step)
            if looks:
                lines[layer] = [to_line(f) for c in collectors for f in c.findings(step)]
                kept[layer].write(lines[layer])
    header = Header(
        model=name,
        fingerprint=probes.model,
        sizes=(shape.n_layers, shape.n_heads, shape.d_mlp),
        found_on=Games(FINDING, settings.seed, settings.games, len(boards[0])),
        checked_on=Games(CHECKING, settings.seed, settings.checking, len(boards[1])),
        thresholds=THRESHOLDS,
        board=model.geometry.size,
    )
    found = (of_line(line, model.geometry) for layer in layers for line in lines[layer])
    return Catalogue(header, tuple(found))


def surroundings(model: OthelloGPT, probes: Probes, layer: int, to_logits: Tensor) -> Surroundings:
    """What a write in a layer means; ``to_logits`` as :func:`logit_directions` gives it."""
    weights = model.get_submodule(f"blocks.{layer}").state_dict()
    return Surroundings(layer, weights, probes.towards[layer, :-1], to_logits)
