"""The recipe `logic`: a few argued numbers, spread out over layers, lengths and distances."""

from math import log

import torch

from extracted_rules.othello.geometry import Geometry
from handbuilt.strengths.definition import NAMES, NEVER, VOICES, Axes, Strengths

Full = dict[str, torch.Tensor]


def spread_out(n: dict[str, float], axes: Axes) -> Strengths:
    """The full strengths that the numbers of ``logic.toml`` stand for."""
    full = {name: torch.zeros(axes.shape_of(name), dtype=torch.float64) for name in NAMES}
    lengths = torch.arange(1, axes["length"] + 1, dtype=torch.float64)
    certain = 1 - (lengths + 1) / 2  # all discs unknown: each takes half
    _reads(full, n, axes)
    _claims(full, n, axes, certain)
    _counts(full, n, axes, certain)
    return Strengths(**{name: value.double() for name, value in full.items()})


def _reads(full: Full, n: dict[str, float], axes: Axes) -> None:
    """What is heard of earlier positions, and how it fades."""
    fade = log(n["leak"]) * torch.arange(axes["lag"], dtype=torch.float64)
    share, layers = 1 - n["leak"], axes["reading layer"]
    full["owner"] = fade
    # A move turns what lies near it, with a weight that falls with the distance.
    board = axes.geometry
    distance = torch.tensor([_distance(board, *pair) for pair in board.pairs], dtype=torch.float64)
    full["near_kernel"] = fade.repeat(axes["memory"], 1)
    full["near"][0] = n["near"] * (distance > 0) / (distance + 1)
    full["start"] = full["opening_fade"] = torch.tensor(log(n["leak"]))
    full["opening"] = torch.ones(layers)
    # The last layer hears boards clipped after the move: its flips are in there already.
    late = torch.zeros(layers, 1)
    late[-1] = log(n["leak"])
    full["flips_kernel"] = full["board_kernel"] = fade + late
    full["board_share"] = torch.full((layers,), share)
    full["board_share"][-1] = share / n["leak"]


def _claims(full: Full, n: dict[str, float], axes: Axes, certain: torch.Tensor) -> None:
    """What brackets claim, what is clipped, and the need."""
    claiming, lengths = axes["layer"], axes["length"]
    blend = torch.tensor([1 - n["mix"], n["mix"], 0.0]).repeat(claiming, 1)
    blend[0] = torch.tensor([1.0, 1.0, 0.0])  # who put discs down, and what moves near them did
    # Theirs is expected between the ends, mine at the far end; a certain disc is one half away from
    # an unknown one. What the run alone has beyond certainty, and the end alone: `logic` says
    # nothing about either.
    half_each = -torch.arange(1, lengths + 1, dtype=torch.float64) / 2
    over = [half_each, torch.full((lengths,), -0.5, dtype=torch.float64)]
    full["bias"] = torch.stack([certain, certain - 1, *over]).repeat(claiming, 1, 1)
    full["forgive"][:, :2] += 1
    half = 0.5 * blend[:, None, None]
    hears_run = torch.tensor([1.0, 1.0, 1.0, 0.0])[:, None, None]
    hears_end = torch.tensor([1.0, 1.0, 0.0, 1.0])[:, None, None]
    voices = len(VOICES)
    run = -half.expand(-1, voices, lengths, -1) * hears_run
    full["run"] = run[..., None].expand(-1, -1, -1, -1, axes["depth"])
    full["end"] = half.expand(-1, voices, lengths, -1) * hears_end
    full["claim"] = torch.tensor([1.0, -1.0, 0.0, 0.0])[:, None].repeat(claiming, 1, lengths)
    full["flip"] += 2
    full["clip"] = n["gain"] * blend
    full["need_start"] += n["need_start"]
    full["need_kept"] += n["need_slope"]
    full["need_claims"] += n["need_slope"] * n["need_rate"]
    full["need_bias"] += n["need_slope"] * (n["need_rate"] - n["need_threshold"])
    full["pass_base"] -= NEVER  # `logic` does not look for passes


def _counts(full: Full, n: dict[str, float], axes: Axes, certain: torch.Tensor) -> None:
    """The board after the move, and the lines on it."""
    lengths, depths = axes["length"], axes["depth"]
    mix, share = n["mix"], 1 - n["leak"]
    # After the move: the leaky board before it, and its own flips.
    full["after"] = torch.tensor([n["leak"] * (1 - mix), n["leak"] * mix + share, 1.0])
    full["after_placed"] += 1
    full["line_bias"] = full["again_bias"] = certain
    full["line_run"] = 0.5 * full["after"][:, None].expand(lengths, -1, depths)
    full["line_end"] = -0.5 * full["after"].expand(lengths, -1)
    full["line_placed"] += 1
    full["line"] += 1
    new = 1 - n["last_mix"]
    last = torch.tensor([new, n["last_mix"], new])
    full["last_bias"] = torch.stack([certain, certain - 1])
    full["last_run"] = 0.5 * last[:, None].expand(2, lengths, -1, depths)
    full["last_end"] = -0.5 * last.expand(2, lengths, -1)
    full["last_placed"] += new
    full["last_line"][0] = 1
    full["again_scale"] += 1
    full["again_line"] += n["again"]
    full["surplus"] += n["second_line"]
    full["surplus_from"] += 1
    full["logit"] += n["logit"]


def _distance(board: Geometry, a: int, b: int) -> int:
    """How many steps lead from one square to another on a line."""
    (row_a, column_a), (row_b, column_b) = divmod(a, board.size), divmod(b, board.size)
    return max(abs(row_a - row_b), abs(column_a - column_b))
