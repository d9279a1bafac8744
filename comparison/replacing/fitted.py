"""What is needed to put rules in the place of a model's parts: worked out on games of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from msgspec import structs
from torch import Tensor

from comparison.reading.probes import FLIPPED, Probes, fit_probes
from comparison.reading.streams import READ_GAMES
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
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.notation import CONTEXT, LABELS, N_SQUARES, square_of
from handbuilt.network.transformer import MLP, OthelloGPT

PURPOSE = "replacement-fit"
#: Games for the probes of both places in a layer, and for means and linear maps.
PROBE_GAMES, FIT_GAMES = 400, 400
#: Where boards are decoded: before attention and before the MLP.
PLACES = ("hook_resid_pre", "hook_resid_mid")
PARTS = ("attention", "mlp")
OUTPUTS = {"attention": "hook_attn_out", "mlp": "hook_mlp_out"}
#: How rules are used: by the board that the model's own stream holds; by the true one; or, as a
#: control, each dealt to another neuron, and attention's with what happened in another game.
USES = ("own", "true", "control")


@dataclass(frozen=True)
class Truth:
    """Some games as they are: what is exact from the moves, and what is not.

    rows: bool [B, 59], positions after which a side can move, N in all; boards: of those. sides:
    int8 [B, 59], +1 or -1, the side that moves next if nobody passes. events: int8 [B, 59, events,
    64] with colours; movers: int8 [B, 59], the side that really moves next.
    """

    rows: Tensor
    boards: Boards
    sides: Tensor
    events: Tensor
    movers: Tensor

    @classmethod
    def of(cls, played: Replay) -> "Truth":
        rows = there(played, CONTEXT)
        sides = 2 * (torch.arange(CONTEXT, device=rows.device) % 2) - 1
        return cls(
            rows=rows,
            boards=Boards.of(played, CONTEXT),
            sides=sides.to(torch.int8).expand(len(rows), -1),
            events=board_events(played),
            movers=played.movers[:, 1 : CONTEXT + 1],
        )


@dataclass(frozen=True)
class Readings:
    """How a stream's boards are read: through probes, before every part; and where directions have
    names, as in a hand-built model, by those that are about a square or about the whole position.

    named: int64 [K], directions; squares: int64 [256 + K], what each number of a board is about, -1
    for the whole position.
    """

    probes: Probes
    named: Tensor
    squares: Tensor

    @classmethod
    def of(cls, model: OthelloGPT, probes: Probes) -> "Readings":
        named: list[int] = []
        squares = numbered(model.geometry).tolist()
        if model.is_handbuilt:
            for family in model.layout.directions.families.values():
                for place, member in enumerate(family.members, start=family.start):
                    # The ballast is constant, and so large that all else drowns in it.
                    if member in ("", *LABELS) and not family.name.startswith("ballast"):
                        named.append(place)
                        squares.append(square_of(member) if member else -1)
        return cls(probes, torch.tensor(named).long(), torch.tensor(squares))

    def held(self, part: str, layer: int, stream: Tensor, truth: Boards) -> Held:
        """What the stream [N, d_model] before a part holds. Which squares are taken, and the move,
        is exact."""
        row = 2 * layer + PARTS.index(part)
        colours, flipped = self.probes.discs(row, stream), self.probes.turned(row, stream)
        taken = truth.now != 0
        now = torch.where(colours > 0, 1, -1).to(torch.int8) * taken
        squares = torch.arange(N_SQUARES, device=stream.device)
        placed = truth.played.unsqueeze(-1) == squares
        turned = (flipped > FLIPPED) & taken & ~placed
        before = torch.where(turned, -now, now) * ~placed
        boards = replace(truth, now=now, before=before, turned=turned)
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

    means: by part, float32 [layers, 59, d_model]; activations: the same of neurons. mlps,
    attentions: what the rules predict; mlps by their USES. maps: by part, linear maps of the own
    decoded board. ruled: how many neurons of each layer have a rule.
    """

    readings: Readings
    means: dict[str, Tensor]
    activations: Tensor
    mlps: list[dict[str, Predicted]]
    attentions: list[AttentionRules]
    maps: dict[str, list[Linear]]

    @property
    def ruled(self) -> list[int]:
        return [len(mlp["true"].rules.neurons) for mlp in self.mlps]

    def output(
        self, model: OthelloGPT, part: str, layer: int, how: str, stream: Tensor, truth: Truth
    ) -> Tensor:
        """float32 [N, d_model]: what stands in for a part's output.

        how: "mean", "linear" or one of USES; stream: [B, 59, d_model] before the part.
        """
        ply = truth.boards.ply
        if how == "mean":
            return self.means[part][layer].to(stream.device)[ply]
        if how == "true":
            held = self.readings.true(truth.boards)
        else:
            held = self.readings.held(part, layer, stream[truth.rows], truth.boards)
        if how == "linear":
            return self.maps[part][layer](held.numbers, ply)
        if part == "mlp":
            mlp = model.get_submodule(f"blocks.{layer}.mlp")
            assert isinstance(mlp, MLP)
            return self.mlps[layer][how](held) @ mlp.W_out + mlp.b_out
        rules = self.attentions[layer]
        return rules.written[how](_kernel_numbers(rules.kernels, how, held, truth), ply)


def _kernel_numbers(kernels: KernelReading, how: str, held: Held, truth: Truth) -> Tensor:
    """float32 [N, 192]: what the kernels read of every square, which are blank, the move."""
    events, reader = truth.events, truth.movers
    if how != "true":
        events = torch.zeros(truth.events.shape, device=held.numbers.device)
        events[truth.rows] = frame_events(held)
        events, reader = events * truth.sides[..., None, None], truth.sides
    if how == "control":
        events = events.roll(1, 0)
    read = kernels(events, reader)[truth.rows]
    squares = torch.arange(N_SQUARES, device=read.device)
    placed = truth.boards.played.unsqueeze(-1) == squares
    return torch.cat([read, (truth.boards.now == 0).float(), placed.float()], -1)


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
        d_model, neurons, numbers = model.shape.d_model, model.shape.d_mlp, len(readings.squares)
        self.layer, self.readings = layer, readings
        known = [n for n in catalogue.neurons if n.layer == layer and about_boards(n)]
        geometry, plies = model.geometry, model.geometry.context
        rules, others = Rules(known, geometry), Rules(dealt(known, seed), geometry)
        self.rules = {how: others if how == "control" else rules for how in USES}
        kernels = [k for k in catalogue.kernels if k.layer == layer]
        self.kernels = KernelReading(kernels, geometry)
        self.reads = {how: Reads(r.about(readings.squares), plies) for how, r in self.rules.items()}
        self.cases = {how: CaseMeans(len(r.exact), plies) for how, r in self.rules.items()}
        self.written = {how: Regression.zeros(CONTEXT, 3 * N_SQUARES, d_model) for how in USES}
        self.maps = {part: Regression.zeros(CONTEXT, numbers, d_model) for part in PARTS}
        self.total = torch.zeros(CONTEXT, neurons, dtype=torch.float64)

    def add(self, kept: dict[str, Tensor], truth: Truth) -> None:
        prefix, rows, ply = f"blocks.{self.layer}.", truth.rows, truth.boards.ply
        read, active = (kept[f"{prefix}mlp.hook_{name}"][rows] for name in ("pre", "post"))
        self.total.index_add_(0, ply.cpu(), active.double().cpu())
        true = self.readings.true(truth.boards)
        for part, place in zip(PARTS, PLACES, strict=True):
            own = self.readings.held(part, self.layer, kept[prefix + place][rows], truth.boards)
            out = kept[prefix + OUTPUTS[part]][rows]
            self.maps[part].add(own.numbers, out, ply)
            for how in USES:
                held, rules = true if how == "true" else own, self.rules[how]
                if part == "attention":
                    x = _kernel_numbers(self.kernels, how, held, truth)
                    self.written[how].add(x, out, ply)
                    continue
                exact, graded = rules.exact.to(read.device), rules.graded.to(read.device)
                holds, says = rules.answers(held.boards)
                self.cases[how].add(holds, active[:, exact], ply)
                self.reads[how].add(held.numbers, says, read[:, graded], ply)


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
    device = next(model.parameters()).device
    readings = Readings.of(model, fit_probes(model, games[0], seed, progress, PLACES))
    layers = range(model.shape.n_layers)
    sums = [_Sums(model, catalogue, readings, layer, seed) for layer in layers]
    wanted = (*PLACES, *OUTPUTS.values(), "mlp.hook_pre", "mlp.hook_post")
    for chunk in random_games(games[1], seed, purpose=PURPOSE, device=device):
        for tokens in torch.split(chunk, READ_GAMES):
            kept: dict[str, Tensor] = {}

            def keep(name: str, value: Tensor, kept: dict[str, Tensor] = kept) -> Tensor:
                if name.endswith(wanted):
                    kept[name] = value
                return value

            model.run_with_hook(tokens[:, :CONTEXT].long(), keep)
            truth = Truth.of(replay(tokens))
            for of_layer in sums:
                of_layer.add(kept, truth)
            progress(len(tokens))
    return _solve(readings, sums)


def _solve(readings: Readings, sums: list[_Sums]) -> Fitted:
    mlps, attentions, activations = [], [], []
    maps: dict[str, list[Linear]] = {part: [] for part in PARTS}
    for s in sums:
        n = s.maps["mlp"].n.clamp(min=1)[:, None]
        mean = (s.total / n).float()
        activations.append(mean)
        mlps.append(
            {
                how: Predicted(s.rules[how], mean, s.cases[how].values(), s.reads[how].solve())
                for how in USES
            }
        )
        written = {how: Linear.of(told) for how, told in s.written.items()}
        attentions.append(AttentionRules(s.kernels, written))
        # A linear map may be of the rank that the rules' map can have, and no more.
        ranks = {"attention": 3 * N_SQUARES, "mlp": len(s.rules["own"].neurons)}
        for part in PARTS:
            maps[part].append(Linear.of(s.maps[part], ranks[part]))
    return Fitted(
        readings=readings,
        means={part: torch.stack([linear.y for linear in maps[part]]) for part in PARTS},
        activations=torch.stack(activations),
        mlps=mlps,
        attentions=attentions,
        maps=maps,
    )
