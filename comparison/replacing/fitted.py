"""What is needed to put rules in the place of a model's parts: worked out on games of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from msgspec import structs
from torch import Tensor

from comparison.reading.board_reader import decoded_before
from comparison.reading.probes import Probes, fit_probes
from extracted_rules.catalogue import Catalogue, Neuron
from extracted_rules.conditions import Boards, there
from extracted_rules.discovery.grading import Reads
from extracted_rules.discovery.heads import board_events
from extracted_rules.discovery.predicting import (
    CaseMeans,
    Held,
    KernelReading,
    Linear,
    Predicted,
    Rules,
    about_boards,
    board_numbers,
    frame_events,
    numbered,
)
from extracted_rules.discovery.regression import Regression
from extracted_rules.othello.game import Replay
from handbuilt.analysis.streams import moves_of, random_replays
from handbuilt.network.transformer import MLP, OthelloGPT
from handbuilt.transcripts.standing_in import Transcribed
from handbuilt.transcripts.transcript import Transcript, with_others_names

PURPOSE = "replacement-fit"
#: Games for the probes of both places in a layer, and for means and linear maps.
PROBE_GAMES, FIT_GAMES = 400, 400
PARTS = ("attention", "mlp")
#: Where boards are decoded: before attention and before the MLP.
PLACES = {"attention": "hook_resid_pre", "mlp": "hook_resid_mid"}
OUTPUTS = {"attention": "hook_attn_out", "mlp": "hook_mlp_out"}
#: How rules are used: by the board decoded from the model's own stream; by the true one; or, as a
#: control, each dealt to another neuron, and attention's with what happened in another game.
USES = ("own", "true", "control")


@dataclass(frozen=True)
class Truth:
    """Some games as they are: what is exact from the moves, and what is not.

    rows: bool [B, T], positions after which a side can move, N in all; boards: of those. sides:
    int8 [B, T], +1 or -1, the side that moves next if nobody passes. events: int8 [B, T, events,
    squares] with colours; movers: int8 [B, T], the side that really moves next.
    """

    rows: Tensor
    boards: Boards
    sides: Tensor
    events: Tensor
    movers: Tensor

    @classmethod
    def of(cls, played: Replay) -> "Truth":
        context = played.geometry.context
        rows = there(played, context)
        sides = 2 * (torch.arange(context, device=rows.device) % 2) - 1
        return cls(
            rows=rows,
            boards=Boards.of(played, context),
            sides=sides.to(torch.int8).expand(len(rows), -1),
            events=board_events(played),
            movers=played.movers[:, 1 : context + 1],
        )


@dataclass(frozen=True)
class Readings:
    """How a stream's boards are read: through probes, before every part; and where directions have
    names, as in a hand-built model, by those that are about a square or about the whole position.

    named: int64 [K], directions; squares: int64 [4 * squares + K], what each number of a board is
    about, -1 for the whole position.
    """

    probes: Probes
    named: Tensor
    squares: Tensor

    @classmethod
    def of(cls, model: OthelloGPT, probes: Probes) -> "Readings":
        named: list[int] = []
        squares = numbered(model.geometry).tolist()
        labels = {label: square for square, label in enumerate(model.geometry.labels)} | {"": -1}
        for family in model.layout.directions.families.values() if model.is_handbuilt else ():
            for place, member in enumerate(family.members, start=family.start):
                # The ballast is constant, and so large that all else drowns in it.
                if member in labels and not family.name.startswith("ballast"):
                    named.append(place)
                    squares.append(labels[member])
        return cls(probes, torch.tensor(named).long(), torch.tensor(squares))

    def decoded(self, part: str, layer: int, stream: Tensor, truth: Boards) -> Held:
        """What is decoded from the stream [N, d_model] before a part. Which squares are taken, and
        the move, is exact."""
        row = len(PARTS) * layer + PARTS.index(part)
        boards, colours, flipped = decoded_before(self.probes, row, stream, truth)
        numbers = [board_numbers(boards, colours, flipped), stream[:, self.named.to(stream.device)]]
        return Held(boards, torch.cat(numbers, -1))

    def true(self, truth: Boards) -> Held:
        """The same numbers of a true board; named directions say nothing."""
        numbers = board_numbers(truth)
        return Held(truth, torch.nn.functional.pad(numbers, (0, len(self.named))))


@dataclass(frozen=True)
class AttentionRules:
    """What a layer's lag kernels say, and how that is written: a linear map of what they read, of
    the squares that are blank, and of the move."""

    kernels: KernelReading
    written: dict[str, Linear]


@dataclass(frozen=True)
class Fitted:
    """All replacements of one model's parts, by layer.

    means: by part, float32 [layers, T, d_model]; activations: the same of neurons. mlps,
    attentions: what the rules predict; mlps by their USES. maps: by part, linear maps of the own
    decoded board. ruled: how many neurons of each layer have a rule. transcribed: networks of
    transcripts, by what they stand in as.
    """

    model: OthelloGPT
    readings: Readings
    means: dict[str, Tensor]
    activations: Tensor
    mlps: list[dict[str, Predicted]]
    attentions: list[AttentionRules]
    maps: dict[str, list[Linear]]
    transcribed: dict[str, Transcribed] = field(default_factory=dict)

    @property
    def ruled(self) -> list[int]:
        return [len(mlp["true"].rules.neurons) for mlp in self.mlps]

    def with_transcript(self, transcript: Transcript, seed: int) -> "Fitted":
        """With a transcript of the model, and its control. Raises TranscriptError for another
        model's."""
        both = {"transcript": transcript, "dealt": with_others_names(transcript, seed)}
        found = {how: Transcribed.of(of, self.model) for how, of in both.items()}
        return replace(self, transcribed=found)

    def output(self, part: str, layer: int, how: str, stream: Tensor, truth: Truth) -> Tensor:
        """float32 [N, d_model]: what stands in for a part's output.

        how: "mean", "linear", one of USES or of ``transcribed``; stream: [B, T, d_model] before the
        part.
        """
        if how in self.transcribed:
            return self.transcribed[how].output(part, layer, stream)[truth.rows]
        ply = truth.boards.ply
        if how == "mean":
            return self.means[part][layer].to(stream.device)[ply]
        if how == "true":
            held = self.readings.true(truth.boards)
        else:
            held = self.readings.decoded(part, layer, stream[truth.rows], truth.boards)
        if how == "linear":
            return self.maps[part][layer](held.numbers, ply)
        if part == "mlp":
            mlp = self.model.get_submodule(f"blocks.{layer}.mlp")
            assert isinstance(mlp, MLP)
            return self.mlps[layer][how](held) @ mlp.W_out + mlp.b_out
        rules = self.attentions[layer]
        return rules.written[how](_kernel_numbers(rules.kernels, how, held, truth), ply)


def _kernel_numbers(kernels: KernelReading, how: str, held: Held, truth: Truth) -> Tensor:
    """float32 [N, 3 * squares]: what the kernels read of every square, which are blank, the
    move."""
    events, reader = truth.events, truth.movers
    if how != "true":
        events = torch.zeros(truth.events.shape, device=held.numbers.device)
        events[truth.rows] = frame_events(held)
        events, reader = events * truth.sides[..., None, None], truth.sides
    if how == "control":
        events = events.roll(1, 0)
    exact = ((truth.boards.now == 0).float(), truth.boards.here.float())
    return torch.cat([kernels(events, reader)[truth.rows], *exact], -1)


def dealt(neurons: list[Neuron], seed: int) -> list[Neuron]:
    """The same rules, each by chance given to another neuron that has one."""
    order = torch.randperm(len(neurons), generator=torch.Generator().manual_seed(seed)).tolist()
    return [
        structs.replace(neurons[o], neuron=n.neuron) for n, o in zip(neurons, order, strict=True)
    ]


class _Sums:
    """Everything that is summed over the fitting games, of one layer."""

    def __init__(
        self, model: OthelloGPT, catalogue: Catalogue, readings: Readings, layer: int, seed: int
    ) -> None:
        geometry, plies, shape = model.geometry, model.geometry.context, model.shape
        self.layer, self.readings = layer, readings
        known = [n for n in catalogue.neurons if n.layer == layer and about_boards(n)]
        rules, others = Rules(known, geometry), Rules(dealt(known, seed), geometry)
        self.rules = {how: others if how == "control" else rules for how in USES}
        kernels = [k for k in catalogue.kernels if k.layer == layer]
        self.kernels = KernelReading(kernels, geometry)
        self.reads = {how: Reads(r.about(readings.squares), plies) for how, r in self.rules.items()}
        self.cases = {how: CaseMeans(len(r.exact), plies) for how, r in self.rules.items()}
        read = 3 * geometry.n_squares
        self.written = {how: Regression.zeros(plies, read, shape.d_model) for how in USES}
        numbers = len(readings.squares)
        self.maps = {part: Regression.zeros(plies, numbers, shape.d_model) for part in PARTS}
        #: Of neurons' activations only the means are wanted.
        self.active = Regression.zeros(plies, 0, shape.d_mlp)
        # A linear map may be of the rank that the rules' map can have, and no more.
        self.ranks = {"attention": read, "mlp": len(rules.neurons)}

    def add(self, kept: dict[str, Tensor], truth: Truth) -> None:
        rows, ply = truth.rows, truth.boards.ply

        def here(name: str) -> Tensor:
            return kept[f"blocks.{self.layer}.{name}"][rows]

        read, active = here("mlp.hook_pre"), here("mlp.hook_post").double()
        self.active.add(active[:, :0], active, ply)
        true = self.readings.true(truth.boards)
        for part in PARTS:
            own = self.readings.decoded(part, self.layer, here(PLACES[part]), truth.boards)
            out = here(OUTPUTS[part])
            self.maps[part].add(own.numbers, out, ply)
            for how, rules in self.rules.items():
                held = true if how == "true" else own
                if part == "attention":
                    x = _kernel_numbers(self.kernels, how, held, truth)
                    self.written[how].add(x, out, ply)
                    continue
                exact, graded = rules.exact.to(read.device), rules.graded.to(read.device)
                holds, says = rules.answers(held.boards)
                self.cases[how].add(holds, active[:, exact], ply)
                self.reads[how].add(held.numbers, says, read[:, graded], ply)

    @property
    def activations(self) -> Tensor:
        """float32 [T, neurons]: their means by ply."""
        return self.active.means[1].float()

    def mlps(self) -> dict[str, Predicted]:
        return {
            how: Predicted(
                rules, self.activations, self.cases[how].values(), self.reads[how].solve()
            )
            for how, rules in self.rules.items()
        }

    def attention(self) -> AttentionRules:
        return AttentionRules(self.kernels, {h: Linear.of(x) for h, x in self.written.items()})

    def linear(self) -> dict[str, Linear]:
        return {part: Linear.of(self.maps[part], self.ranks[part]) for part in PARTS}


@torch.inference_mode()
def fit_replacements(
    model: OthelloGPT,
    catalogue: Catalogue,
    seed: int,
    games: tuple[int, int] = (PROBE_GAMES, FIT_GAMES),
    progress: Callable[[int], None] = lambda _: None,
) -> Fitted:
    """Probes, means, what rules predict and linear maps, on random games of purposes of their own.

    games: for the probes, and for the rest; ``progress`` hears of each.
    """
    places = tuple(PLACES.values())
    readings = Readings.of(model, fit_probes(model, games[0], seed, progress, places))
    layers = range(model.shape.n_layers)
    sums = [_Sums(model, catalogue, readings, layer, seed) for layer in layers]
    wanted = (*places, *OUTPUTS.values(), "mlp.hook_pre", "mlp.hook_post")
    for played in random_replays(model, games[1], seed, PURPOSE):
        _, kept = model.run_with_cache(moves_of(played), lambda name: name.endswith(wanted))
        truth = Truth.of(played)
        for of_layer in sums:
            of_layer.add(kept, truth)
        progress(len(played.tokens))
    linear = [of_layer.linear() for of_layer in sums]
    maps = {part: [maps[part] for maps in linear] for part in PARTS}
    return Fitted(
        model=model,
        readings=readings,
        means={part: torch.stack([linear.y for linear in maps[part]]) for part in PARTS},
        activations=torch.stack([of_layer.activations for of_layer in sums]),
        mlps=[of_layer.mlps() for of_layer in sums],
        attentions=[of_layer.attention() for of_layer in sums],
        maps=maps,
    )
