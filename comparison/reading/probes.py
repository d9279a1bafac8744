"""Linear probes: what a trained model's residual stream says about the board.

After every layer, at position t, a probe tells for each square whether it is mine, theirs or empty
*after* the moves 0..t that the model has seen, in the frame of the side that moves next; another
tells whether move t flipped it. That is the state of Nanda et al. 2023, except that they take the
side to move from the ply's parity, and here it is the side that really moves, passes included.
Positions after which the game is over have no such side and are left out.

Probes are fitted by ridge regression on one-hot targets instead of logistic loss: the solution is
exact, the same on every run, and needs no learning rate, no stopping rule and one pass over the
games. A state is read as the largest of a square's three numbers, a flip as a number above 0.5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from comparison.reading.boards import BoardAccuracy, mover_frame, residuals
from extracted_rules.files import read_tensors, write_tensors
from extracted_rules.othello.game import Replay, random_games
from extracted_rules.othello.notation import CONTEXT, N_SQUARES
from handbuilt.network.shape import CheckpointError
from handbuilt.network.transformer import OthelloGPT

PROBE_GAMES = 2000
#: Fewer do for the directions in which discs are written: they need not decide which disc it is.
DISC_GAMES = 300
#: The penalty, as a share of the mean square of an activation: enough to make directions that
#: never vary harmless, and too little to show where there is something to read.
RIDGE = 1e-5
#: A trained model's board is read behind this layer, where probes read most discs right.
PROBED_LAYER = 4
#: What the three numbers of a square stand for in :func:`mover_frame`'s terms.
STATES = (1, -1, 0)


def fingerprint(model: OthelloGPT) -> str:
    """SHA-256 over the names and float32 values of a model's weights."""
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy())
    return digest.hexdigest()


@dataclass(frozen=True)
class Probes:
    """The probes of one model; the last row of each matrix is the bias.

    states: float32 [layers, d_model + 1, 64, 3] for mine, theirs, empty; flips: float32
    [layers, d_model + 1, 64]. Both hold float16 values, so that a file loses nothing.
    """

    model: str  # fingerprint
    games: int
    seed: int
    states: Tensor
    flips: Tensor

    def read(self, layer: int, stream: Tensor) -> tuple[Tensor, Tensor]:
        """(boards int8 [..., 64]: +1 mine, -1 theirs, 0 empty; flips bool [..., 64]) that a
        layer's residual stream [..., d_model] holds."""
        states, flips = (w[layer].to(stream.device) for w in (self.states, self.flips))
        scores = stream @ states[:-1].flatten(1) + states[-1].flatten()
        best = scores.view(*scores.shape[:-1], N_SQUARES, len(STATES)).argmax(-1)
        held = torch.tensor(STATES, dtype=torch.int8, device=stream.device)[best]
        return held, stream @ flips[:-1] + flips[-1] > 0.5

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
        rows = (model.shape.n_layers, model.shape.d_model + 1, N_SQUARES)
        expected = {"states": (*rows, len(STATES)), "flips": rows}
        if {name: tuple(weight.shape) for name, weight in weights.items()} != expected:
            raise CheckpointError(f"{path} holds no probes of a model of this shape")
        if metadata.get("model") != fingerprint(model):
            raise CheckpointError(f"{path} holds probes of another model")
        try:
            games, seed = int(metadata["games"]), int(metadata["seed"])
        except (KeyError, ValueError):
            raise CheckpointError(f"{path} does not say which games its probes saw") from None
        states, flips = weights["states"].float(), weights["flips"].float()
        return cls(metadata["model"], games, seed, states, flips)


def _targets(played: Replay) -> tuple[Tensor, Tensor]:
    """(float64 [n, 256] of 0 and 1: mine, theirs and empty of every square, then flips; the
    positions bool [B, 59] that have a side to move, n in all)."""
    board = mover_frame(played)[:, 1 : CONTEXT + 1]
    there = played.movers[:, 1 : CONTEXT + 1] != 0
    states = torch.stack([board == state for state in STATES], -1).flatten(-2)
    return torch.cat([states, played.flips[:, :CONTEXT]], -1)[there].double(), there


class _Regression:
    """Ridge regression of one layer, as sums over batches."""

    def __init__(self, activations: Tensor) -> None:
        """activations: [n, d_model], the first batch. Its mean is taken off everything, so that
        directions far from zero, such as a constant, do not drown the rest in rounding."""
        self.shift = activations.mean(0)
        self.xx: Tensor | float = 0.0
        self.xy: Tensor | float = 0.0

    def add(self, activations: Tensor, targets: Tensor) -> None:
        x = torch.nn.functional.pad(activations - self.shift, (0, 1), value=1.0)
        self.xx += x.T @ x
        self.xy += x.T @ targets

    def solve(self) -> Tensor:
        """float32 [d_model + 1, outputs], in numbers that float16 can hold."""
        xx, xy, shift = (torch.as_tensor(t).cpu() for t in (self.xx, self.xy, self.shift))
        penalty = torch.full((len(shift),), RIDGE * float(xx.diagonal()[:-1].mean()) + 1e-9)
        xx = xx + torch.diag(torch.nn.functional.pad(penalty, (0, 1)))
        weights = torch.linalg.solve(xx, xy)
        slopes = weights[:-1].half()
        # The bias is worked out for the slopes as they are kept.
        bias = weights[-1] - shift @ slopes.double()
        return torch.cat([slopes, bias.half().unsqueeze(0)]).float()


@torch.inference_mode()
def fit_probes(
    model: OthelloGPT,
    games: int = PROBE_GAMES,
    seed: int = 1,
    progress: Callable[[int], None] = lambda _: None,
    place: str | tuple[str, ...] = "hook_resid_post",
) -> Probes:
    """Fit the probes of every layer on random games of the purpose "probes", disjoint from every
    bench and from the threshold games.

    place: where in a layer the residual stream is read; several places make as many probes of every
    layer, in the order in which the model comes to them.
    """
    device = next(model.parameters()).device
    regressions: list[_Regression] = []
    for batch in random_games(games, seed, purpose="probes", device=device):
        for streams, played in residuals(model, batch, place):
            targets, there = _targets(played)
            activations = [stream[there].double() for stream in streams]
            regressions = regressions or [_Regression(x) for x in activations]
            for regression, x in zip(regressions, activations, strict=True):
                regression.add(x, targets)
            progress(len(there))
    weights = torch.stack([regression.solve() for regression in regressions])
    states = weights[..., :-N_SQUARES].reshape(*weights.shape[:2], N_SQUARES, len(STATES))
    flips = weights[..., -N_SQUARES:].contiguous()
    return Probes(fingerprint(model), games, seed, states, flips)


@torch.inference_mode()
def disc_directions(model: OthelloGPT, games: int = DISC_GAMES, seed: int = 1) -> Tensor:
    """float32 [layers, 64, d_model]: by what the residual stream behind each layer changes when a
    disc becomes mine instead of theirs, all other squares and the ply as they are.

    The other way around than a probe: the stream is regressed on the board, not the board on the
    stream. A probe's weights are where to read a disc, not what it is written as. On random games
    of the purpose "probes".
    """
    device = next(model.parameters()).device
    xx, xy = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    plies = torch.eye(CONTEXT, dtype=torch.float64, device=device)
    for batch in random_games(games, seed, purpose="probes", device=device):
        for streams, played in residuals(model, batch):
            board = mover_frame(played)[:, 1 : CONTEXT + 1]
            there = played.movers[:, 1 : CONTEXT + 1] != 0
            ply = plies.expand(len(board), -1, -1)
            known = torch.cat([board == 1, board == -1, ply], -1)[there].double()
            xx = xx.to(device) + known.T @ known
            xy = xy.to(device) + known.T @ streams[:, there].double()
    # Squares of the centre are never empty, so there is one way too many to say so.
    solved = torch.linalg.solve(xx + torch.eye(len(xx), device=device), xy)
    mine, theirs = solved[:, :N_SQUARES], solved[:, N_SQUARES : 2 * N_SQUARES]
    return torch.sub(mine, theirs).float()


@torch.inference_mode()
def probe_accuracy(model: OthelloGPT, probes: Probes, games: Tensor) -> BoardAccuracy:
    """Compare what the probes read with the truth. games: uint8 [B, 60] on the model's device."""
    accuracy = BoardAccuracy.zeros("linear probes", model.shape.n_layers, CONTEXT, flips=True)
    assert accuracy.flips_right is not None
    for streams, played in residuals(model, games):
        truth = mover_frame(played)[:, 1 : CONTEXT + 1]
        flipped, there = played.flips[:, :CONTEXT], truth.any(-1)
        for layer, stream in enumerate(streams):
            held, flips = probes.read(layer, stream)
            accuracy.add(layer, held, truth)
            accuracy.flips_right[layer] += ((flips == flipped).all(-1) & there).sum(0).cpu()
        accuracy.games += len(played.tokens)
    return accuracy
