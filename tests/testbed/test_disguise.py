"""A disguise changes no logit, and the key undoes it."""

from functools import cache

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from extracted_rules import random_games
from handbuilt import OthelloGPT, build
from handbuilt.testbed import disguise
from handbuilt.testbed.making import (
    Asked,
    Made,
    make,
)

BOARD = 4


@cache
def made(difficulty: str, seed: int = 3) -> Made:
    return make(Asked("logic", BOARD, None, difficulty, seed))


def games(n: int = 30, seed: int = 11) -> Tensor:
    context = made("plain").model.shape.n_ctx
    return next(random_games(n, seed, board=BOARD))[:, :context].long()


@torch.inference_mode()
def logits(model: OthelloGPT, double: bool = False) -> Tensor:
    if not double:
        return model(games())
    exact = OthelloGPT(model.shape).double()
    exact.load_state_dict(model.state_dict())
    return exact(games())


@cache
def compiled() -> OthelloGPT:
    return build("logic", board=BOARD, shape=made("plain").model.shape)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31), rescaled=st.sampled_from([1.0, 2.0, 4.0]))
def test_a_disguise_changes_no_logit_and_is_undone(seed: int, rescaled: float) -> None:
    """Logits of this model reach 1,000. What is left is float32's rounding of weights and, with
    neurons rescaled, that GELU is no ReLU."""
    plain = made("plain")
    hidden = disguise.drawn(plain.key.disguise, seed, rescaled)
    model = disguise.disguised(compiled(), hidden)
    apart = (logits(model, double=True) - logits(plain.model, double=True)).abs()
    assert float(apart.mean()) < (0.05 if rescaled == 1 else 1)
    back = disguise.undone(model, hidden, compiled().layout)
    for name, weights in compiled().state_dict().items():
        off = (back.state_dict()[name] - weights).abs().max()
        assert float(off) <= 1e-6 * float(weights.abs().max()), name
    assert back.layout.describe("belief.A1") == compiled().layout.describe("belief.A1")
