"""Conditions and candidates say of boards what the engine says."""

import numpy as np
import pytest
import torch

from extracted_rules.conditions import (
    SENSES,
    TREE_FEATURES,
    Boards,
    ConditionError,
    in_words,
    parse_part,
    tree_features,
)
from extracted_rules.discovery.candidates import Candidates, shuffled
from extracted_rules.discovery.layers import closed_patterns, flipped_patterns
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.notation import CONTEXT, LABELS, PLAYABLE
from extracted_rules.othello.patterns import PATTERNS


@pytest.fixture(scope="module")
def played() -> Replay:
    """Random games, many with passes, and one that ends early."""
    games = next(random_games(40, 3, purpose="test"))
    short = games[:1].clone()
    short[:, 20:] = 0
    return replay(torch.cat([games, short]))


@pytest.fixture(scope="module")
def boards(played: Replay) -> Boards:
    return Boards.of(played, CONTEXT)


def test_patterns_make_exactly_the_legal_squares_legal(played: Replay, boards: Boards) -> None:
    legal = played.legal[:, 1 : CONTEXT + 1][played.movers[:, 1 : CONTEXT + 1] != 0]
    for square in PLAYABLE:
        names = tuple(p.name for p in PATTERNS if p.start == square)
        assert boards.holds("pattern", names).equal(legal[:, square])


def test_flips_turn_exactly_what_was_turned(boards: Boards) -> None:
    turned = torch.zeros_like(boards.turned)
    for pattern in PATTERNS:
        turned[:, pattern.run] |= boards.flipped(pattern).unsqueeze(-1)
    assert turned.equal(boards.turned)


def test_boards_are_those_of_the_side_that_moves_next(boards: Boards) -> None:
    # Whoever just moved owns the disc: almost always the other side.
    own = boards.now.gather(1, boards.played.unsqueeze(-1)).squeeze(-1)
    assert float((own == -1).double().mean()) > 0.9
    changed = boards.turned | (torch.arange(64) == boards.played.unsqueeze(-1))
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
    for bracket, senses in list(SENSES.items())[::5]:
        if not senses:
            continue
        names = tuple(p.name for p in senses)
        assert boards.holds("flip", (bracket,)).equal(boards.holds("flip", names))
        assert boards.holds("closed", (bracket,)).equal(boards.holds("closed", names))
        assert boards.holds("line", (bracket,)).equal(boards.holds("pattern", names))


def test_what_was_turned_was_closed(boards: Boards) -> None:
    closed, flipped = closed_patterns(boards), flipped_patterns(boards)
    assert not bool((flipped & ~closed).any())
    for number, pattern in list(enumerate(PATTERNS))[::7]:
        assert closed[:, number].equal(boards.closed(pattern))
        assert flipped[:, number].equal(boards.flipped(pattern))
    assert in_words("closed", ("C4.E1",)) == "C4 was just played, and D4 and E4 hold discs"
    assert in_words("closed", ("C4-E4",)) == (
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
    values = boards.tree_values(tree)
    square = LABELS.index("D3")
    expected = torch.where(boards.now[:, square] == 0, 2.0, 1.0)
    assert values.equal(torch.where(boards.played == square, 3.0, expected))
    assert boards.features().shape == (len(boards), len(TREE_FEATURES))
    assert tree_features(tree) == ["D3 played", "D3 empty"]


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
        parse_part(rule, part)


@pytest.mark.parametrize("tree", [("D3 mine", 1.0), ("D3 mine", 1.0, "x"), (1, 2, 3), None, True])
def test_what_is_no_tree_is_refused(tree: object) -> None:
    with pytest.raises(ConditionError):
        tree_features(tree)
