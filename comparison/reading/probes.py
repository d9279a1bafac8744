"""Linear probes: what a trained model's residual stream says about the board.

After every layer, at position t, a probe tells for each square whether it is mine, theirs or empty
*after* the moves 0..t that the model has seen, in the frame of the side that moves next; another
tells whether move t flipped it. That is the state of Nanda et al. 2023, except that they take the
side to move from the ply's parity, and here it is the side that really moves, passes included.
Positions after which the game is over have no such side and are left out.

Probes are fitted by ridge regression on one-hot targets instead of logistic loss: the solution is
exact, the same on every run, and needs no learning rate, no stopping rule and one pass over the
games. Whose a disc is, is read from "mine" less "theirs"; a square is blank if that is the largest
of its three numbers; a flip is a number above FLIPPED.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from extracted_rules.discovery.regression import Regression, ridge
from extracted_rules.files import read_tensors, write_tensors
from extracted_rules.othello.game import Replay
from handbuilt.analysis.streams import BEHIND, games_for, mover_frame, residuals
from handbuilt.compiler import ZERO
from handbuilt.network.shape import CheckpointError
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcripts.program import Told, names_of

PROBE_GAMES = 2000
#: Fewer do for the directions in which discs are written: they need not decide which disc it is.
DISC_GAMES = 300
#: The penalty, as a share of the mean square of an activation: enough to make directions that
#: never vary harmless, and too little to show where there is something to read.
RIDGE = 1e-5
#: What the three numbers of a square stand for in :func:`mover_frame`'s terms.
STATES = (1, -1, 0)
#: Above it, a square's flip is read as one.
FLIPPED = 0.5


@dataclass(frozen=True)
class Probes:
    """The probes of one model; the last row of each matrix is the bias.

    states: float32 [layers, d_model + 1, squares, 3] for mine, theirs, empty; flips: float32
    [layers, d_model + 1, squares]. Those that were fitted hold float16 values, so that a file loses
    nothing. A *row* below is a layer's, or a place's where probes were fitted on several in each
    layer. normalised: whether they read a stream as LayerNorm leaves it.
    """

    model: str  # fingerprint
    games: int
    seed: int
    states: Tensor
    flips: Tensor
    normalised: bool = False

    @cached_property
    def towards(self) -> Tensor:
        """float32 [rows, d_model + 1, squares]: mine less theirs."""
        mine, theirs = (self.states[..., STATES.index(state)] for state in (1, -1))
        return mine - theirs

    def discs(self, row: int, stream: Tensor) -> Tensor:
        """float [..., squares]: how much more a disc is mine than theirs, 1 and -1 where that is
        sure, by a residual stream [..., d_model]."""
        return self._linear(self.towards[row], stream)

    def turned(self, row: int, stream: Tensor) -> Tensor:
        """float [..., squares]: whether the last move flipped a disc, 1 where that is sure."""
        return self._linear(self.flips[row], stream)

    def blank(self, row: int, stream: Tensor) -> Tensor:
        """bool [..., squares]: no disc is read there."""
        scores = torch.stack([self._linear(of, stream) for of in self.states[row].unbind(-1)])
        return scores.argmax(0) == STATES.index(0)

    def _linear(self, weights: Tensor, x: Tensor) -> Tensor:
        weights = weights.to(x)
        if self.normalised:
            x = torch.nn.functional.layer_norm(x, x.shape[-1:])
        return x @ weights[:-1] + weights[-1]

    def save(self, path: Path) -> None:
        """Write a safetensors file of float16, whole or not at all. Raises OSError."""
        metadata = {"model": self.model, "games": str(self.games), "seed": str(self.seed)}
        weights = {"states": self.states.half(), "flips": self.flips.half()}
        write_tensors(path, weights, metadata)

    @classmethod
    def load(cls, path: Path, model: OthelloGPT) -> "Probes":
        """Read the probes of a model. Raises CheckpointError for another model's, or no probes."""
        try:
            weights, metadata = read_tensors(path)
        except OSError as error:
            raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from None
        rows = (model.shape.n_layers, model.shape.d_model + 1, model.geometry.n_squares)
        expected = {"states": (*rows, len(STATES)), "flips": rows}
        if {name: tuple(weight.shape) for name, weight in weights.items()} != expected:
            raise CheckpointError(f"{path} holds no probes of a model of this shape")
        if metadata.get("model") != model.fingerprint():
            raise CheckpointError(f"{path} holds probes of another model")
        try:
            games, seed = int(metadata["games"]), int(metadata["seed"])
        except (KeyError, ValueError):
            raise CheckpointError(f"{path} does not say which games its probes saw") from None
        states, flips = weights["states"].float(), weights["flips"].float()
        return cls(metadata["model"], games, seed, states, flips)


#: Probes, or of some models none.
Made = TypeVar("Made", Probes, Probes | None)


def _targets(played: Replay, moves: int) -> tuple[Tensor, Tensor]:
    """(float64 [n, 4 * squares] of 0 and 1: mine, theirs and empty of every square, then flips; the
    positions bool [B, moves] that have a side to move, n in all)."""
    board = mover_frame(played)[:, 1 : moves + 1]
    there = played.movers[:, 1 : moves + 1] != 0
    states = torch.stack([board == state for state in STATES], -1).flatten(-2)
    return torch.cat([states, played.flips[:, :moves]], -1)[there].double(), there


def _weights(sums: Regression) -> Tensor:
    """float32 [d_model + 1, outputs], in numbers that float16 can hold."""
    slopes = sums.slopes(penalty=sums.mean_square(RIDGE) + 1e-9).half()
    # The bias is worked out for the slopes as they are kept.
    return torch.cat([slopes, sums.intercepts(slopes.double()).half()]).float()


@torch.inference_mode()
def fit_probes(
    model: OthelloGPT,
    games: int = PROBE_GAMES,
    seed: int = 1,
    progress: Callable[[int], None] = lambda _: None,
    places: Sequence[str] = (BEHIND,),
) -> Probes:
    """Fit the probes of every layer on random games of the purpose "probes", disjoint from every
    bench and from the threshold games.

    places: where in a layer the residual stream is read; several make as many probes of each layer.
    """
    board = model.geometry
    regressions: list[Regression] = []
    for batch in games_for(model, games, seed, "probes"):
        for streams, played in residuals(model, batch, places):
            targets, there = _targets(played, board.context)
            activations = [stream[there].double() for stream in streams]
            if not regressions:  # around the first batch's mean, as a constant can be large
                sizes = 1, model.shape.d_model, targets.shape[1]
                regressions = [Regression.zeros(*sizes, shift=x.mean(0)) for x in activations]
            for regression, x in zip(regressions, activations, strict=True):
                regression.add(x, targets)
            progress(len(there))
    weights = torch.stack([_weights(regression) for regression in regressions])
    states, flips = weights.tensor_split([-board.n_squares], -1)
    states = states.reshape(*weights.shape[:2], board.n_squares, len(STATES))
    return Probes(model.fingerprint(), games, seed, states, flips.contiguous())


def kept_probes(work: Path, model: OthelloGPT, make: Callable[[], Made]) -> Made:
    """The probes of a model that a folder keeps; what ``make`` gives is kept there from now on."""
    # Named by the model, so that another one's are never mistaken for them.
    kept = work / f"probes-{model.fingerprint()[:16]}.safetensors"
    if kept.exists():
        return Probes.load(kept, model)
    if made := make():
        made.save(kept)
    return made


def named_probes(model: OthelloGPT) -> Probes:
    """What the names of a transcript's network say, behind every layer; nothing is fitted. Raises
    CheckpointError."""
    told, layout, geometry = Told.of(model), model.layout, model.geometry
    column = {name: n for n, name in enumerate(names_of(model))}
    layers, d_model, squares = model.shape.n_layers, model.shape.d_model, geometry.n_squares
    read = torch.zeros(layers, d_model + 1, squares, 3)
    for layer in range(layers):
        place = 2 * (layer + 1)
        norm = "ln_final" if layer + 1 == layers else f"blocks.{layer + 1}.ln1"
        size = float(model.get_parameter(f"{norm}.w")[0].detach()) / told.unit
        for kind, of in zip(("mine", "theirs", "flipped"), read[layer].unbind(-1), strict=True):
            for square, label in enumerate(geometry.labels):
                if (name := column.get(f"{kind} {label}")) is not None:
                    more = told.more[place][name]
                    of[layout.directions.place(f"{kind}.{label}"), square] = size / more
                    of[layout.directions[ZERO.name], square] = -size / more
                    of[-1, square] = -told.false[place][name] / more
    mine, theirs, flips = read.unbind(-1)
    blank = -mine - theirs
    blank[:, -1] += 1
    states = torch.stack([mine, theirs, blank], -1)
    return Probes(model.fingerprint(), 0, 0, states, flips.contiguous(), normalised=True)


@torch.inference_mode()
def disc_directions(model: OthelloGPT, games: int = DISC_GAMES, seed: int = 1) -> Tensor:
    """float32 [layers, squares, d_model]: by what the stream behind each layer changes when a disc
    becomes mine instead of theirs, all other squares and the ply as they are.

    The other way around than a probe: the stream is regressed on the board, not the board on the
    stream. A probe's weights are where to read a disc, not what it is written as. On random games
    of the purpose "probes".
    """
    board, shape = model.geometry, model.shape
    features = 2 * board.n_squares + board.context
    sums = Regression.zeros(1, features, shape.n_layers * shape.d_model)
    plies = torch.eye(board.context, dtype=torch.float64, device=model.device)
    for batch in games_for(model, games, seed, "probes"):
        for streams, played in residuals(model, batch):
            discs = mover_frame(played)[:, 1 : board.context + 1]
            there = played.movers[:, 1 : board.context + 1] != 0
            ply = plies.expand(len(discs), -1, -1)
            known = torch.cat([discs == 1, discs == -1, ply], -1)[there].double()
            sums.add(known, streams[:, there].transpose(0, 1).flatten(1).double())
    # Squares of the centre are never empty, so there is one way too many to say so.
    mine, theirs = ridge(sums.xx, sums.xy, 1.0)[: 2 * board.n_squares].tensor_split(2)
    towards = torch.sub(mine, theirs).float()
    return towards.view(board.n_squares, shape.n_layers, shape.d_model).transpose(0, 1)
