"""What is needed to put rules in the place of a model's parts: worked out on games of its own."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from comparison.measuring.boards import READ_GAMES
from comparison.measuring.probes import STATES, Probes, fit_probes
from extracted_rules.catalogue import Catalogue, Neuron
from extracted_rules.conditions import Boards, there
from extracted_rules.discovery.heads import board_events
from extracted_rules.discovery.predicting import (
    CaseMeans,
    KernelReading,
    Linear,
    Predicted,
    Rules,
    board_numbers,
    frame_events,
    has_cases,
)
from extracted_rules.discovery.regression import Regression
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.notation import CONTEXT, N_SQUARES
from handbuilt.transformer import MLP, OthelloGPT

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


def decoded(probes: Probes, row: int, stream: Tensor, truth: Boards) -> Boards:
    """The boards that a stream [N, d_model] holds; what squares are taken, and the move, is exact.

    row: of the probes, which one reads it.
    """
    states, flips = (w[row].to(stream.device) for w in (probes.states, probes.flips))
    mine, theirs = (states[..., STATES.index(state)] for state in (1, -1))
    towards = mine - theirs
    taken = truth.now != 0
    now = torch.where(stream @ towards[:-1] + towards[-1] > 0, 1, -1).to(torch.int8) * taken
    squares = torch.arange(N_SQUARES, device=stream.device)
    placed = truth.played.unsqueeze(-1) == squares
    turned = (stream @ flips[:-1] + flips[-1] > 0.5) & taken & ~placed
    before = torch.where(turned, -now, now) * ~placed
    return replace(truth, now=now, before=before, turned=turned)


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

    probes: Probes
    means: dict[str, Tensor]
    activations: Tensor
    mlps: list[dict[str, Predicted]]
    attentions: list[AttentionRules]
    maps: dict[str, list[Linear]]

    @property
    def ruled(self) -> list[int]:
        return [len(mlp["true"].rules.neurons) for mlp in self.mlps]

    def board(self, part: str, layer: int, stream: Tensor, truth: Boards) -> Boards:
        """The board that the stream [N, d_model] before a part holds."""
        return decoded(self.probes, 2 * layer + PARTS.index(part), stream, truth)

    def output(
        self, model: OthelloGPT, part: str, layer: int, how: str, stream: Tensor, truth: Truth
    ) -> Tensor:
        """float32 [N, d_model]: what stands in for a part's output.

        how: "mean", "linear" or one of USES; stream: [B, 59, d_model] before the part.
        """
        ply = truth.boards.ply
        if how == "mean":
            return self.means[part][layer].to(stream.device)[ply]
        held = truth.boards
        if how != "true":
            held = self.board(part, layer, stream[truth.rows], truth.boards)
        if how == "linear":
            return self.maps[part][layer](board_numbers(held), ply)
        if part == "mlp":
            mlp = model.get_submodule(f"blocks.{layer}.mlp")
            assert isinstance(mlp, MLP)
            return self.mlps[layer][how](held) @ mlp.W_out + mlp.b_out
        rules = self.attentions[layer]
        return rules.written[how](_kernel_numbers(rules.kernels, how, held, truth), ply)


def _kernel_numbers(kernels: KernelReading, how: str, held: Boards, truth: Truth) -> Tensor:
    """float32 [N, 192]: what the kernels read of every square, which are blank, the move."""
    events, reader = truth.events, truth.movers
    if how != "true":
        events = torch.zeros_like(truth.events)
        events[truth.rows] = frame_events(held)
        events, reader = events * truth.sides[..., None, None], truth.sides
    if how == "control":
        events = events.roll(1, 0)
    read = kernels(events, reader)[truth.rows]
    squares = torch.arange(N_SQUARES, device=read.device)
    placed = held.played.unsqueeze(-1) == squares
    return torch.cat([read, (held.now == 0).float(), placed.float()], -1)


def dealt(neurons: list[Neuron], seed: int) -> list[Neuron]:
    """The same rules, each by chance given to another neuron that has one."""
    order = torch.randperm(len(neurons), generator=torch.Generator().manual_seed(seed)).tolist()
    return [replace(neurons[o], neuron=n.neuron) for n, o in zip(neurons, order, strict=True)]


class _Sums:
    """Everything that is summed over the fitting games, of one layer."""

    def __init__(self, model: OthelloGPT, catalogue: Catalogue, layer: int, seed: int) -> None:
        d_model, neurons = model.shape.d_model, model.shape.d_mlp
        self.layer = layer
        known = [n for n in catalogue.neurons if n.layer == layer and has_cases(n)]
        rules, others = Rules(known), Rules(dealt(known, seed))
        self.rules = {how: others if how == "control" else rules for how in USES}
        self.kernels = KernelReading([k for k in catalogue.kernels if k.layer == layer])
        self.cases = {how: CaseMeans(len(known)) for how in USES}
        self.read = {how: Regression.zeros(CONTEXT, 3 * N_SQUARES, d_model) for how in USES}
        self.maps = {part: Regression.zeros(CONTEXT, 4 * N_SQUARES, d_model) for part in PARTS}
        self.total = torch.zeros(CONTEXT, neurons, dtype=torch.float64)

    def add(self, kept: dict[str, Tensor], probes: Probes, truth: Truth) -> None:
        prefix, rows, ply = f"blocks.{self.layer}.", truth.rows, truth.boards.ply
        activations = kept[prefix + "mlp.hook_post"][rows]
        self.total.index_add_(0, ply.cpu(), activations.double().cpu())
        for number, (part, place) in enumerate(zip(PARTS, PLACES, strict=True)):
            stream = kept[prefix + place][rows]
            own = decoded(probes, 2 * self.layer + number, stream, truth.boards)
            out = kept[prefix + OUTPUTS[part]][rows]
            self.maps[part].add(board_numbers(own), out, ply)
            for how in USES:
                held, rules = truth.boards if how == "true" else own, self.rules[how]
                if part == "attention":
                    x = _kernel_numbers(self.kernels, how, held, truth)
                    self.read[how].add(x, out, ply)
                elif len(rules.neurons):
                    ruled = activations[:, rules.neurons.to(activations.device)]
                    self.cases[how].add(rules.cases(held), ruled, ply)


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
    probes = fit_probes(model, games[0], seed, progress, PLACES)
    sums = [_Sums(model, catalogue, layer, seed) for layer in range(model.shape.n_layers)]
    wanted = (*PLACES, *OUTPUTS.values(), "mlp.hook_post")
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
                of_layer.add(kept, probes, truth)
            progress(len(tokens))
    return _solve(probes, sums)


def _solve(probes: Probes, sums: list[_Sums]) -> Fitted:
    mlps, attentions, activations = [], [], []
    maps: dict[str, list[Linear]] = {part: [] for part in PARTS}
    for s in sums:
        n = s.maps["mlp"].n.clamp(min=1)[:, None]
        mean = (s.total / n).float()
        activations.append(mean)
        mlps.append(
            {how: Predicted(s.rules[how], mean, cases.values()) for how, cases in s.cases.items()}
        )
        written = {how: Linear.of(read) for how, read in s.read.items()}
        attentions.append(AttentionRules(s.kernels, written))
        # A linear map may be of the rank that the rules' map can have, and no more.
        ranks = {"attention": 3 * N_SQUARES, "mlp": len(s.rules["own"].neurons)}
        for part in PARTS:
            maps[part].append(Linear.of(s.maps[part], ranks[part]))
    return Fitted(
        probes=probes,
        means={part: torch.stack([linear.y for linear in maps[part]]) for part in PARTS},
        activations=torch.stack(activations),
        mlps=mlps,
        attentions=attentions,
        maps=maps,
    )
