"""Conditions and candidates say of boards what the engine says."""

import numpy as np
import pytest
import torch

from extracted_rules.conditions import (
    Boards,
    ConditionError,
    in_words,
    parse_part,
    tree_features,
    tree_questions,
)
from extracted_rules.discovery.candidates import Candidates, shuffled
from extracted_rules.discovery.patterns import closed_patterns, flipped_patterns, legal_patterns
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.geometry import Geometry
from tests.discovery.planted import tree_values

USUAL = Geometry()


@pytest.fixture(scope="module", params=[4, 6, 8])
def played(request: pytest.FixtureRequest) -> Replay:
    """Random games, many with passes, and one that ends early."""
    games = next(random_games(40, 3, board=request.param, purpose="test"))
    short = games[:1].clone()
    short[:, games.shape[1] // 3 :] = 0
    return replay(torch.cat([games, short]), board=request.param)


@pytest.fixture(scope="module")
def boards(played: Replay) -> Boards:
    return Boards.of(played, played.geometry.context)


def test_patterns_make_exactly_the_legal_squares_legal(played: Replay, boards: Boards) -> None:
    g = played.geometry
    legal = played.legal[:, 1 : g.context + 1][played.movers[:, 1 : g.context + 1] != 0]
    for square in g.playable:
        names = tuple(p.name for p in g.patterns if p.start == square)
        assert boards.holds("pattern", names).equal(legal[:, square])


def test_flips_turn_exactly_what_was_turned(boards: Boards) -> None:
    turned = torch.zeros_like(boards.turned)
    for pattern in boards.geometry.patterns:
        turned[:, pattern.run] |= boards.flipped(pattern).unsqueeze(-1)
    assert turned.equal(boards.turned)


def test_boards_are_those_of_the_side_that_moves_next(boards: Boards) -> None:
    # Whoever just moved owns the disc: almost always the other side.
    own = boards.now.gather(1, boards.played.unsqueeze(-1)).squeeze(-1)
    assert float((own == -1).double().mean()) > 0.9
    changed = boards.turned | boards.here
    assert ((boards.now != boards.before) == changed).all()


def test_candidates_hold_where_conditions_do(boards: Boards) -> None:
    found = Candidates.over(boards)
    for family in found.families.values():
        for part, rows in list(zip(family.parts, family.rows, strict=True))[::7]:
            held = boards.holds(family.rule, (part,)).nonzero().squeeze(-1).numpy()
            assert np.array_equal(held, rows), part
    sums = found.sums(torch.ones(len(boards), 2))
    for name, family in found.families.items():
        assert sums[name].shape == (len(family.parts), 2)
        assert torch.equal(sums[name][:, 0].long(), torch.from_numpy(family.support))


def test_a_bracket_is_its_two_senses(boards: Boards) -> None:
    for bracket, senses in list(boards.geometry.senses.items())[::5]:
        if not senses:
            continue
        names = tuple(p.name for p in senses)
        assert boards.holds("flip", (bracket,)).equal(boards.holds("flip", names))
        assert boards.holds("closed", (bracket,)).equal(boards.holds("closed", names))
        assert boards.holds("line", (bracket,)).equal(boards.holds("pattern", names))


def test_what_was_turned_was_closed(boards: Boards) -> None:
    closed, flipped = closed_patterns(boards), flipped_patterns(boards)
    assert not bool((flipped & ~closed).any())
    legal = legal_patterns(boards)
    for number, pattern in list(enumerate(boards.geometry.patterns))[::7]:
        assert legal[:, number].equal(boards.legal_by(pattern))
        assert closed[:, number].equal(boards.closed(pattern))
        assert flipped[:, number].equal(boards.flipped(pattern))


def test_rules_in_words() -> None:
    assert in_words("closed", ("C4.E1",), USUAL) == "C4 was just played, and D4 and E4 hold discs"
    assert in_words("closed", ("C4-E4",), USUAL) == (
        "one of C4 and E4 was just played, and the other and D4 hold discs"
    )


def test_the_control_pairs_positions_with_those_of_other_games(boards: Boards) -> None:
    control = shuffled(boards, 5)
    assert control.ply.equal(boards.ply)
    lonely = torch.bincount(boards.ply)[boards.ply] == 1
    assert (control.game[~lonely] != boards.game[~lonely]).all()
    assert control.game.sort().values.equal(boards.game.sort().values)
    assert not shuffled(boards, 6).game.equal(control.game)
    assert shuffled(boards, 5).game.equal(control.game)


def test_a_tree_asks_what_its_features_are(boards: Boards) -> None:
    tree = ("D3 played", ("D3 empty", 1.0, 2.0), 3.0)
    values = tree_values(boards, tree)
    square = boards.geometry.square_of("D3")
    expected = torch.where(boards.now[:, square] == 0, 2.0, 1.0)
    assert values.equal(torch.where(boards.played == square, 3.0, expected))
    assert boards.features().shape == (len(boards), len(tree_questions(boards.geometry)))
    assert tree_features(tree, boards.geometry) == ["D3 played", "D3 empty"]


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("pattern", "C4-F4"),
        ("pattern", "D4.E2"),  # D4 is never empty
        ("line", "C4.E2"),
        ("disc", "D3"),
        ("disc", "D3 empty"),
        ("blank", "D9"),
        ("played", "D3 played"),
        ("clock", "D3"),
        ("flip", "D4-E5"),
    ],
)
def test_what_is_no_part_of_a_rule_is_refused(rule: str, part: str) -> None:
    with pytest.raises(ConditionError, match="is no part of a rule"):
        parse_part(rule, part, USUAL)


def test_parts_of_a_larger_board_are_refused() -> None:
    with pytest.raises(ConditionError, match="'H8' is no part of a rule 'blank' on the 6 x 6"):
        parse_part("blank", "H8", Geometry(6))
    with pytest.raises(ConditionError, match="'H8 mine' is no question of a tree on the 6 x 6"):
        tree_features(("H8 mine", 0.0, 1.0), Geometry(6))


@pytest.mark.parametrize("tree", [("D3 mine", 1.0), ("D3 mine", 1.0, "x"), (1, 2, 3), None, True])
def test_what_is_no_tree_is_refused(tree: object) -> None:
    with pytest.raises(ConditionError):
        tree_features(tree, USUAL)
