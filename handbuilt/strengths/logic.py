"""The recipe `logic`: a few argued numbers, spread out over layers, lengths and distances."""

from math import log

import torch

from extracted_rules.othello.patterns import PAIRS
from handbuilt.strengths.definition import (
    AXES,
    CLAIMING,
    LAGS,
    LENGTHS,
    MEMORIES,
    NEVER,
    VOICES,
    Strengths,
    shape_of,
)


def spread_out(n: dict[str, float]) -> Strengths:
    """The full strengths that the numbers of ``logic.toml`` stand for."""
    full = {name: torch.zeros(shape_of(name), dtype=torch.float64) for name in _names()}
    fade = log(n["leak"]) * torch.arange(LAGS, dtype=torch.float64)
    mix, share = n["mix"], 1 - n["leak"]
    # Theirs is expected between the ends, mine at the far end; a certain disc is one half away from
    # an unknown one.
    lengths = torch.arange(1, LENGTHS + 1, dtype=torch.float64)
    certain = 1 - (lengths + 1) / 2  # all discs unknown: each takes half
    blend = torch.tensor([1 - mix, mix, 0.0]).repeat(CLAIMING, 1)
    blend[0] = torch.tensor([1.0, 1.0, 0.0])  # who put discs down, and what moves near them did

    full["owner"] = fade
    # A move turns what lies near it, with a weight that falls with the distance.
    distance = torch.tensor([_distance(*pair) for pair in PAIRS], dtype=torch.float64)
    full["near_kernel"] = fade.repeat(len(MEMORIES), 1)
    full["near"][0] = n["near"] * (distance > 0) / (distance + 1)
    full["start"] = full["opening_fade"] = torch.tensor(log(n["leak"]))
    full["opening"] = torch.ones(CLAIMING)
    # Layer 7 hears boards settled after the move: its flips are in there already.
    late = torch.zeros(CLAIMING, 1)
    late[-1] = log(n["leak"])
    full["flips_kernel"] = full["board_kernel"] = fade + late
    full["board_share"] = torch.full((CLAIMING,), share)
    full["board_share"][-1] = share / n["leak"]
    # What the run alone has beyond certainty, and the end alone; `logic` says nothing about either.
    over = [-lengths / 2, torch.full((LENGTHS,), -0.5, dtype=torch.float64)]
    full["bias"] = torch.stack([certain, certain - 1, *over]).repeat(CLAIMING, 1, 1)
    full["forgive"][:, :2] += 1
    half = 0.5 * blend[:, None, None]
    hears_run = torch.tensor([1.0, 1.0, 1.0, 0.0])[:, None, None]
    hears_end = torch.tensor([1.0, 1.0, 0.0, 1.0])[:, None, None]
    voices = len(VOICES)
    run = -half.expand(-1, voices, LENGTHS, -1) * hears_run
    full["run"] = run[..., None].expand(-1, -1, -1, -1, AXES["depth"])
    full["end"] = half.expand(-1, voices, LENGTHS, -1) * hears_end
    full["claim"] = torch.tensor([1.0, -1.0, 0.0, 0.0])[:, None].repeat(CLAIMING, 1, LENGTHS)
    full["flip"] += 2
    full["settle"] = n["gain"] * blend
    full["need_start"] += n["need_start"]
    full["need_kept"] += n["need_slope"]
    full["need_claims"] += n["need_slope"] * n["need_rate"]
    full["need_bias"] += n["need_slope"] * (n["need_rate"] - n["need_threshold"])
    full["stuck"] -= NEVER  # `logic` does not look for passes
    # After the move: the leaky board before it, and its own flips.
    full["after"] = torch.tensor([n["leak"] * (1 - mix), n["leak"] * mix + share, 1.0])
    full["after_placed"] += 1
    full["line_bias"] = full["again_bias"] = certain
    full["line_run"] = 0.5 * full["after"][:, None].expand(LENGTHS, -1, AXES["depth"])
    full["line_end"] = -0.5 * full["after"].expand(LENGTHS, -1)
    full["line_placed"] += 1
    full["line"] += 1
    new = 1 - n["last_mix"]
    last = torch.tensor([new, n["last_mix"], new])
    full["last_bias"] = torch.stack([certain, certain - 1])
    full["last_run"] = 0.5 * last[:, None].expand(2, LENGTHS, -1, AXES["depth"])
    full["last_end"] = -0.5 * last.expand(2, LENGTHS, -1)
    full["last_placed"] += new
    full["last_line"][0] = 1
    full["again_scale"] += 1
    full["again_line"] += n["again"]
    full["surplus"] += n["second_line"]
    full["surplus_from"] += 1
    full["logit"] += n["logit"]
    return Strengths(**{name: value.double() for name, value in full.items()})


def _distance(a: int, b: int) -> int:
    """How many steps lead from one square to another on a line."""
    return max(abs(a // 8 - b // 8), abs(a % 8 - b % 8))


def _names() -> list[str]:
    return list(Strengths.__dataclass_fields__)
