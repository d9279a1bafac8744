"""The same rules on every board, at every depth: weights against rules, rules against the game."""

import pytest
import torch

from extracted_rules.othello.game import random_games, replay
from handbuilt import Shape, build, load_strengths
from handbuilt.calibration import starting_point
from handbuilt.compiler import needed
from handbuilt.interpreter import Interpreter
from handbuilt.plan import Plan
from handbuilt.programs import write
from handbuilt.strengths import Strengths, dump, parse

SIZES = [(4, 4), (4, 7), (6, 4), (6, 8), (6, 12), (8, 5)]


@pytest.mark.parametrize("rules", ["logic", "starting point", "calibrated"])
@pytest.mark.parametrize(("board", "layers"), SIZES)
def test_weights_agree_with_the_rules(board: int, layers: int, rules: str) -> None:
    """Layer by layer, for `logic` and for rules that also look for passes."""
    if rules == "starting point":
        s = starting_point(board, layers)
    else:
        s = load_strengths(rules, board, layers)
    games = next(random_games(24, 5, board=board, purpose="test"))
    tokens = games[:, : s.geometry.context].long()
    model, trace = build(s, shape=_roomy(s)), Interpreter(s)(tokens)
    certain = ~((trace.passed - 0.5).abs() < 0.07).any(-1)
    assert certain.any()
    with torch.inference_mode():
        logits, cache = model.run_with_cache(tokens)
    here = model.layout.directions
    for layer, now in enumerate(trace.layers):
        behind = cache[f"blocks.{layer}.hook_resid_post"][certain].double()
        for name in ("message", "clipped"):
            wanted = getattr(now, name)[certain]
            torch.testing.assert_close(behind[..., here[name]], wanted, atol=1e-2, rtol=1e-3)
        torch.testing.assert_close(
            behind[..., here["side"]][..., 0], now.side[certain], atol=1e-2, rtol=1e-3
        )
    torch.testing.assert_close(
        logits[certain].double() / 30, trace.logits[certain] / 30, atol=1e-2, rtol=1e-3
    )


def _roomy(s: Strengths) -> Shape:
    """Wide enough for any strengths of this board and these layers."""
    least = needed(write(s))
    return Shape(
        n_layers=least.n_layers,
        d_model=least.d_model,
        n_heads=least.n_heads,
        d_head=least.d_head,
        d_mlp=least.d_mlp,
    )


@pytest.mark.parametrize("board", [4, 6])
def test_more_layers_err_less(board: int) -> None:
    """A law that holds for rules that clip one ply further with each layer."""
    games = next(random_games(300, 6, board=board, purpose="test"))
    played = replay(games, board=board)
    free = (played.movers[:, 1:-1] != 0) & ~(played.passes[:, 1:-1].cumsum(-1) > 0)
    rates = []
    for layers in (4, 8):
        s = load_strengths("logic", board, layers)
        found = Interpreter(s)(games[:, : s.geometry.context].long()).logits
        top = s.geometry.square_of_token[found[..., 1:].argmax(-1) + 1]
        right = played.legal[:, 1:-1].gather(-1, top[..., None])[..., 0]
        rates.append(float((~right[free]).double().mean()))
    assert rates[1] <= rates[0]
    assert rates[1] < 0.01


def test_roles_of_layers() -> None:
    paper = Plan()
    assert (paper.look, paper.turn, paper.first_count, paper.last) == (3, 4, 6, 7)
    for layers in range(4, 20):
        plan = Plan(layers)
        assert 0 < plan.look < plan.turn <= plan.first_count < plan.last == layers - 1


@pytest.mark.parametrize(("board", "layers"), SIZES)
def test_strengths_of_any_size_survive_their_file(board: int, layers: int) -> None:
    import tomllib

    s = load_strengths("logic", board, layers)
    again = parse(tomllib.loads(dump(s, "a comment")))
    assert (again.geometry, again.plan) == (s.geometry, s.plan)
    for name, value in vars(s).items():
        torch.testing.assert_close(getattr(again, name), value, atol=1e-4, rtol=1e-4)
