"""The games that models are put to: always legal, whatever was drawn."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extracted_rules.benches.made_games import (
    DRAWN,
    HUNTED,
    NEAR_MISSES,
    PASSES,
    WIPE_OUTS,
    Plan,
    draw_plans,
    expand,
    legal_part,
    openings,
    plans,
    play,
)
from extracted_rules.othello.game import IllegalGameError, random_games, replay
from extracted_rules.othello.geometry import Geometry

BOARD = Geometry()

POOL = next(random_games(4, 1, purpose="tests"))
TOKENS = st.lists(
    st.integers(0, BOARD.n_tokens - 1), min_size=BOARD.max_plies, max_size=BOARD.max_plies
)


@settings(max_examples=25, deadline=None)
@given(st.lists(plans(), min_size=8, max_size=8))
def test_every_plan_is_a_legal_game_whatever_stands_beside_it(planned: list[Plan]) -> None:
    games = expand(planned, POOL)
    replay(games)  # raises for an illegal move
    assert torch.equal(expand(planned[3:4], POOL)[0], games[3])


@settings(max_examples=25, deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=8))
def test_wishes_are_followed_where_they_are_legal(wished: list[list[int]]) -> None:
    wishes = torch.tensor(wished, dtype=torch.uint8)
    games = play(wishes, torch.arange(len(wishes)))
    played = replay(games)
    bad: dict[int, IllegalGameError] = {}
    as_wished = replay(wishes, bad).tokens
    # Up to a wish's first illegal move or gap the game is the wish.
    there = as_wished != 0
    assert torch.equal(games[there], wishes[there])
    assert bool((played.movers[torch.arange(len(games)), played.lengths] == 0).all())


@settings(max_examples=25, deadline=None)
@given(st.lists(TOKENS, min_size=1, max_size=8))
def test_what_is_left_without_illegal_moves_is_legal_and_in_order(wished: list[list[int]]) -> None:
    wishes = torch.tensor(wished, dtype=torch.uint8)
    kept = legal_part(wishes)
    replay(kept)
    for wish, game in zip(wished, kept.tolist(), strict=True):
        rest = iter(wish)
        assert all(token in rest for token in game if token)
    assert torch.equal(legal_part(kept), kept)


def test_openings_are_all_of_them() -> None:
    games = openings()
    assert len(games) == 244  # perft 4
    assert len({tuple(game) for game in games.tolist()}) == 244
    replay(games)


def test_hunted_games_pass_and_end_early() -> None:
    seeds = range(200)
    found = {}
    for source in (NEAR_MISSES, PASSES, WIPE_OUTS):
        played = replay(expand([Plan(source, seed) for seed in seeds], POOL))
        found[source] = (
            int(played.passes[:, :40].any(-1).sum()),
            int((played.lengths < 40).sum()),
        )
    early, short = ({s: counts[i] for s, counts in found.items()} for i in (0, 1))
    assert early[PASSES] > 50
    assert early[NEAR_MISSES] == 0
    assert short[WIPE_OUTS] > 5
    assert short[NEAR_MISSES] == 0


def test_plans_are_drawn_from_all_sources_and_the_same_for_a_seed() -> None:
    drawn = draw_plans(10 * DRAWN, 3)
    assert {plan.source for plan in drawn} == set(HUNTED)
    assert any(plan.edits for plan in drawn)
    assert drawn == draw_plans(10 * DRAWN, 3)
    assert drawn != draw_plans(10 * DRAWN, 4)
