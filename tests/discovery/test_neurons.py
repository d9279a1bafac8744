"""Rules for single neurons whose rule is known, beside chance; trees against an independent one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeRegressor
from torch import Tensor

from extracted_rules.catalogue import Neuron, says, words
from extracted_rules.conditions import Boards
from extracted_rules.discovery.collecting import Surroundings
from extracted_rules.discovery.neuron_rules import Labels, describe_neurons
from extracted_rules.discovery.trees import LEAVES, fit_trees
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from tests.discovery.planted import tree_values

G = Geometry()
#: What made-up neurons do: (rule, parts).
RULES = (
    ("pattern", ("C4.E1",)),
    ("pattern", ("C4.E1", "C4.SE1", "C4.E2")),
    ("line", ("C3-E3",)),
    ("flip", ("D3.S1",)),
    ("flip", ("B2-D2",)),
    ("closed", ("D3.S2",)),
    ("closed", ("C3-F6",)),
    ("disc", ("D3 mine",)),
    ("disc", ("D3 theirs before",)),
    ("blank", ("A1",)),
    ("occupied", ("A1",)),
    ("played", ("F5",)),
)


def boards_of(purpose: str, games: int) -> Boards:
    return Boards.of(replay(next(random_games(games, 1, purpose=purpose))), G.context)


@pytest.fixture(scope="module")
def labels() -> Labels:
    return Labels.of(boards_of("test-found", 240), boards_of("test-other", 120), seed=1)


def activations(boards: Boards, noise: float, seed: int) -> Tensor:
    """float32 [N, neurons]: a neuron for each of RULES, then what is no rule of a board: the ply,
    a tree, chance, nothing."""
    generator = torch.Generator().manual_seed(seed)
    met = [boards.holds(rule, parts).float() for rule, parts in RULES]
    xor = (boards.now[:, G.square_of("C3")] == 1) != (boards.now[:, G.square_of("F6")] == 1)
    inside = (boards.now[:, G.square_of("C3")] != 0) & (boards.now[:, G.square_of("F6")] != 0)
    columns = [*met, (boards.ply % 10).float(), (xor & inside).float() * 1.0]
    noisy = torch.stack(columns, 1)
    noisy = torch.cat([noisy, torch.zeros(len(boards), 1)], 1)
    noisy += noise * torch.randn(noisy.shape, generator=generator)
    return torch.cat([noisy, torch.zeros(len(boards), 1)], 1)


@pytest.fixture(scope="module")
def described(labels: Labels) -> list[Neuron]:
    found = activations(labels.found.boards, 0.05, 1)
    other = activations(labels.other.boards, 0.05, 2)
    d_model = 4
    where = Surroundings(
        layer=3,
        weights={"mlp.W_out": torch.ones(found.shape[1], d_model)},
        squares=torch.eye(d_model, 64),
        logits=torch.eye(d_model, 60),
    )
    return describe_neurons(where, labels, found, other)


@pytest.mark.parametrize("number", range(len(RULES)), ids=[f"{r} {p[0]}" for r, p in RULES])
def test_a_planted_rule_is_found(number: int, described: list[Neuron]) -> None:
    rule, parts = RULES[number]
    neuron = described[number]
    assert neuron.rule == rule
    assert set(neuron.parts) == set(parts)
    assert neuron.place == f"3.n{number}"
    assert neuron.f1 > 0.95
    assert neuron.strength == pytest.approx(1, abs=0.1)
    assert neuron.r2 is not None
    assert neuron.r2 > 0.3
    assert neuron.control is not None
    assert neuron.control.phi < 0.6


def test_what_a_neuron_asks_for_is_the_core_of_what_it_forgives(labels: Labels) -> None:
    """Neurons that are active on a whole line: alike, most for one part, or for two of them."""
    parts = ("C4.E1", "C4.E2", "C4.E3")
    strengths = torch.tensor([[1.0, 1.0, 1.0], [0.7, 1.0, 0.7], [1.0, 0.7, 1.0]])

    def activations(boards: Boards, seed: int) -> Tensor:
        met = torch.stack([boards.holds("flip", (part,)) for part in parts], 1).float()
        generator = torch.Generator().manual_seed(seed)
        return met @ strengths.T + 0.1 * torch.randn(len(boards), 3, generator=generator)

    where = Surroundings(
        0, {"mlp.W_out": torch.zeros(3, 4)}, torch.zeros(4, 64), torch.zeros(4, 60)
    )
    found = [
        activations(boards.boards, seed) for seed, boards in enumerate((labels.found, labels.other))
    ]
    alike, one, two = describe_neurons(where, labels, *found)
    for neuron in (alike, one, two):
        assert neuron.rule == "flip"
        assert set(neuron.parts) == set(parts)
    assert alike.core is None
    assert alike.core_parts == alike.parts
    assert one.core_parts == ("C4.E2",)
    assert set(two.core_parts) == {"C4.E1", "C4.E3"}
    core = "C4 was just played and turned D4 and E4, up to F4"
    assert f"most of all where {core}" in "".join(words(one, G))
    assert says(one, G) == f"{core}; less where one of 2 others holds"
    assert says(two, G).endswith("; less where another holds")
    assert says(alike, G).count(" or ") == 2


def test_rules_are_found_on_a_small_board() -> None:
    planted = (("pattern", ("B1.S1",)), ("flip", ("A2.E1",)), ("blank", ("D4",)))

    def seen(purpose: str, games: int) -> Boards:
        tokens = next(random_games(games, 1, board=4, purpose=purpose))
        return Boards.of(replay(tokens, board=4), 11)

    small = Labels.of(seen("test-found", 400), seen("test-other", 200), seed=1)
    found, other = (
        torch.stack([some.boards.holds(*rule).float() for rule in planted], 1)
        for some in (small.found, small.other)
    )
    where = Surroundings(0, {"mlp.W_out": torch.ones(3, 4)}, torch.eye(4, 16), torch.eye(4, 12))
    assert where.geometry.size == 4
    for neuron, (rule, parts) in zip(
        describe_neurons(where, small, found, other), planted, strict=True
    ):
        assert isinstance(neuron, Neuron)
        assert (neuron.rule, neuron.parts, neuron.f1) == (rule, parts, 1.0)


def test_what_no_rule_explains_has_none(described: list[Neuron]) -> None:
    clock, tree, chance, nothing = described[len(RULES) :]
    assert clock.rule == "clock"
    assert clock.r2 == pytest.approx(1, abs=0.05)
    assert tree.rule == "tree"
    assert {feature.split()[0] for feature in str(tree.tree).split("'")[1::2]} >= {"C3", "F6"}
    assert chance.rule == "none"
    assert nothing.rule == "silent"


def test_effects_are_those_of_the_weights(described: list[Neuron]) -> None:
    neuron = described[0]
    assert neuron.strength is not None
    # The first four playable squares and squares, by the identity above; and the rule's own start.
    assert neuron.logits["C4"] == 0
    others = [value for square, value in neuron.logits.items() if square != "C4"]
    assert others == pytest.approx([neuron.strength] * len(others), rel=1e-3)


def test_nothing_is_found_in_boards_of_other_games(labels: Labels) -> None:
    """The same neurons, but what they say is of other games: no threshold is passed."""
    found = activations(labels.found.boards, 0.05, 1)[:, : len(RULES)]
    other = activations(labels.other.boards, 0.05, 2)[:, : len(RULES)]
    third = Labels.of(labels.found.boards, labels.other.boards, seed=99)
    blind = replace(third, found=labels.found_control, other=labels.other_control)
    where = Surroundings(
        0, {"mlp.W_out": torch.zeros(len(RULES), 4)}, torch.zeros(4, 64), torch.zeros(4, 60)
    )
    assert {n.rule for n in describe_neurons(where, blind, found, other)} <= {"none", "clock"}


def test_trees_are_those_of_scikit_learn(labels: Labels) -> None:
    boards = labels.found.boards
    features = boards.features()[:3000]
    targets = activations(boards, 0.3, 3)[:3000, :4]
    trees = fit_trees(features, targets)
    new = labels.other.boards.features()
    predicted = trees.predict(new)
    for neuron in range(4):
        theirs = DecisionTreeRegressor(max_depth=5, min_samples_leaf=20, random_state=0)
        theirs.fit(features.numpy(), targets[:, neuron].numpy())
        # Splits that are equally good may fall differently; what they explain is the same.
        truth = activations(labels.other.boards, 0.3, 4)[:, neuron].numpy()
        ours = np.square(truth - predicted[:, neuron].numpy()).mean()
        assert ours == pytest.approx(
            np.square(truth - theirs.predict(new.numpy())).mean(), rel=0.02
        )


def test_pruned_trees_are_what_they_are_written_as(labels: Labels) -> None:
    boards = labels.found.boards
    trees = fit_trees(boards.features()[:3000], activations(boards, 0.3, 3)[:3000, :6]).pruned()
    predicted = trees.predict(labels.other.boards.features())
    for neuron in range(6):
        tree = trees.nested(neuron, G)
        assert str(tree).count("(") < LEAVES
        written = tree_values(labels.other.boards, tree)
        torch.testing.assert_close(written, predicted[:, neuron], rtol=6e-3, atol=1e-3)
