"""What rules, kernels and linear maps predict, against plain ways to say the same."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extracted_rules.catalogue import Kernel, Neuron, Score, squares_of
from extracted_rules.conditions import Boards, tree_questions
from extracted_rules.discovery.grading import Reads
from extracted_rules.discovery.heads import board_events
from extracted_rules.discovery.predicting import (
    DEPTH,
    EXACT,
    CaseMeans,
    Held,
    KernelReading,
    Linear,
    Predicted,
    Rules,
    about_boards,
    board_numbers,
    frame_events,
    numbered,
)
from extracted_rules.discovery.regression import Regression
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from tests.discovery.planted import tree_values

G = Geometry()
GOOD = Score(1.0, 1.0, 1.0, 1.0)
PLAYED = replay(next(random_games(24, 6, purpose="discovery-test")))
BOARDS = Boards.of(PLAYED, G.context)

patterns = st.sampled_from([p.name for p in G.patterns])
brackets = st.sampled_from([name for name, senses in G.senses.items() if senses])
squares = st.sampled_from([G.labels[s] for s in G.playable])
discs = st.builds(
    "{} {}".format, squares, st.sampled_from(["mine", "theirs", "mine before", "theirs before"])
)

parts = st.one_of(
    st.tuples(st.just("pattern"), st.lists(patterns, min_size=1, max_size=4)),
    st.tuples(st.just("line"), st.lists(brackets, min_size=1, max_size=1)),
    st.tuples(
        st.sampled_from(["flip", "closed"]), st.lists(patterns | brackets, min_size=1, max_size=3)
    ),
    st.tuples(st.just("disc"), st.lists(discs, min_size=1, max_size=1)),
    st.tuples(
        st.sampled_from(["blank", "occupied", "played"]), st.lists(squares, min_size=1, max_size=2)
    ),
)


def trees(depth: int) -> st.SearchStrategy[Any]:
    """Trees whose leaves are all different, once numbered."""
    if not depth:
        return st.just(0.0)
    below = trees(depth - 1)
    return st.one_of(
        st.just(0.0), st.tuples(st.sampled_from(list(tree_questions(G))), below, below)
    )


def with_numbers(tree: Any, first: int = 0) -> tuple[Any, int]:
    if isinstance(tree, float):
        return float(first), first + 1
    without, after = with_numbers(tree[1], first)
    having, last = with_numbers(tree[2], after)
    return (tree[0], without, having), last


@settings(max_examples=60, deadline=None)
@given(st.lists(parts, min_size=1, max_size=4), st.lists(trees(DEPTH), max_size=3))
def test_rules_say_what_conditions_and_trees_say(
    yes_or_no: list[tuple[str, list[str]]], grown: list[Any]
) -> None:
    neurons = [
        Neuron(0, 2 * n, rule, tuple(names), threshold=0.0, other=GOOD)
        for n, (rule, names) in enumerate(yes_or_no)
    ]
    plain = [with_numbers(tree)[0] for tree in grown]
    neurons += [Neuron(0, 100 + n, "tree", tree=tree) for n, tree in enumerate(plain)]
    assert all(map(about_boards, neurons))
    rules = Rules(neurons, G)
    by_neuron = {n.neuron: n for n in neurons}
    assert sorted(rules.neurons.tolist()) == sorted(by_neuron)
    met = [by_neuron[n] for n in rules.exact.tolist()]
    assert {n.rule for n in met} <= {*EXACT}
    holds, says = rules.answers(BOARDS)
    for column, neuron in enumerate(met):
        assert holds[:, column].equal(BOARDS.holds(neuron.rule, neuron.parts))
    for column, number in enumerate(rules.graded.tolist()):
        neuron = by_neuron[number]
        if neuron.tree is not None:
            assert says[:, column].equal(tree_values(BOARDS, neuron.tree))
        else:
            assert says[:, column].bool().equal(BOARDS.holds(neuron.rule, neuron.parts))
        about = rules.about(torch.tensor([-1, *range(64)]))[:, column].nonzero().flatten()
        assert about.tolist() == [0, *sorted(1 + square for square in squares_of(neuron, G))]


def test_a_neuron_that_follows_its_rule_is_predicted() -> None:
    neurons = [
        Neuron(0, 3, "played", ("C4",), threshold=0.0, other=GOOD),
        Neuron(0, 1, "tree", tree=("D3 mine", 0.0, ("E3 mine", 1.0, 2.0))),
    ]
    rules, numbers = Rules(neurons, G), board_numbers(BOARDS)
    holds, says = rules.answers(BOARDS)
    activations = torch.cat([5.0 * holds + 0.5, 3.0 * says + 20], 1)
    means, reads = CaseMeans(1, G.context), Reads(rules.about(numbered(G)), G.context)
    means.add(holds, activations[:, :1], BOARDS.ply)
    reads.add(numbers, says, activations[:, 1:], BOARDS.ply)
    clock = torch.arange(G.context)[:, None].expand(-1, 4).float()
    held = Held(BOARDS, numbers)
    predicted = Predicted(rules, clock, means.values(), reads.solve())(held)
    assert (predicted[:, [3, 1]] - activations).abs().mean() < 0.1
    assert predicted[:, 0].equal(BOARDS.ply.float())
    none = Rules([], G)
    reads = Reads(none.about(numbered(G)), G.context)
    nothing = CaseMeans(0, G.context).values(), reads.solve()
    assert Predicted(none, clock, *nothing)(held).equal(clock[BOARDS.ply])


def test_kernels_read_what_was_told_by_lag() -> None:
    by_lag = torch.rand(G.context, generator=torch.Generator().manual_seed(0))
    kernel = Kernel(2, "flipped", "both", "rim", tuple(range(G.context)), tuple(by_lag.tolist()))
    events = board_events(PLAYED)
    reader = PLAYED.movers[:, 1 : G.context + 1]
    read = KernelReading([kernel], G)(events, reader)
    assert float(read[..., ~G.rim].abs().max()) == 0
    game, position = 3, 40
    expected = sum(
        kernel.by_lag[position - source] * events[game, source, 1].float()
        for source in range(1, position + 1)
    )
    assert isinstance(expected, torch.Tensor)
    expected = expected * G.rim * float(reader[game, position])
    assert read[game, position] == pytest.approx(expected, abs=1e-5)


def test_events_of_boards_are_those_of_games_where_nobody_passed() -> None:
    held = frame_events(Held(BOARDS, board_numbers(BOARDS)))
    there = PLAYED.movers[:, 1 : G.context + 1] != 0
    frame = PLAYED.movers[:, 1 : G.context + 1][there][:, None, None]
    moved_on = (PLAYED.movers[:, : G.context] == -PLAYED.movers[:, 1 : G.context + 1])[there]
    assert (held * frame)[moved_on].equal(board_events(PLAYED)[there][moved_on])


def test_events_are_as_sure_as_what_is_held() -> None:
    colours, turned = BOARDS.now * 0.5, BOARDS.turned * 0.25
    events = frame_events(Held(BOARDS, board_numbers(BOARDS, colours, turned)))
    sure = frame_events(Held(BOARDS, board_numbers(BOARDS)))
    # A move is known; a disc that was perhaps turned stands for somebody else as far as it was not.
    assert events[:, 0].equal(sure[:, 0])
    assert events[:, 1].equal(0.25 * sure[:, 1])
    still = (sure[:, 1] == 0) & (sure[:, 0] == 0)
    for event in (2, 3):
        assert events[:, event][still].equal(0.5 * sure[:, event][still])
        assert float(events[:, event].abs().max()) <= 0.5


def test_a_linear_map_keeps_its_rank() -> None:
    x = board_numbers(BOARDS)
    assert x.shape == (len(BOARDS), 256)
    generator = torch.Generator().manual_seed(1)
    y = x @ torch.randn(256, 12, generator=generator) + BOARDS.ply[:, None]
    sums = Regression.zeros(G.context, 256, 12)
    sums.add(x, y, BOARDS.ply)
    whole, low, none = (Linear.of(sums, rank) for rank in (None, 2, 0))
    assert int(torch.linalg.matrix_rank(low.slopes)) == 2
    errors = [float((linear(x, BOARDS.ply) - y).square().mean()) for linear in (whole, low, none)]
    assert errors[0] < errors[1] < errors[2]
    assert float(none.slopes.abs().max()) == 0
