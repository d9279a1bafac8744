"""Findings show what a model's construction implies, and planted neurons; controls show nothing."""

from functools import cache

import msgspec
import pytest
import torch

from comparison.findings import (
    FINDINGS,
    FindingsError,
    Found,
    Studied,
    ask,
    interventions,
    named,
)
from comparison.findings.studied import FEWEST_GAMES
from comparison.properties.beliefs import Responds
from comparison.reporting.findings import table
from extracted_rules.benches.interventions import Interventions, turn
from extracted_rules.discovery.layers import flipped_patterns, legal_patterns
from extracted_rules.othello.game import replay
from extracted_rules.othello.geometry import Geometry
from handbuilt import OthelloGPT, Shape, build
from handbuilt.analysis.samples import Sample
from handbuilt.compiler import needed
from handbuilt.recipes import program

BOARD = Geometry(6)
LAYERS, NEURONS = 8, 16
#: Planted neurons, by number; in layer 5 of 8, all others are noise.
PATTERN, CLOCK, DISCS, FLIP = range(4)


@pytest.fixture(scope="module")
def logic() -> Studied:
    rules = program("logic", board=BOARD.size)
    model = build(rules, shape=needed(rules)).requires_grad_(False)
    return Studied(model, 0.002, games=FEWEST_GAMES, seed=3)


@pytest.fixture(scope="module")
def planted() -> Studied:
    torch.manual_seed(0)
    shape = Shape(n_layers=LAYERS, d_model=8, n_heads=1, d_head=8, d_mlp=NEURONS).on(BOARD.size)
    studied = Studied(OthelloGPT(shape).requires_grad_(False), 0.01, games=100, seed=3)
    for number, sample in enumerate((studied.fit, studied.seen)):
        _plant(sample, number)
    return studied


def _plant(sample: Sample, seed: int) -> None:
    boards = sample.boards
    noise = torch.Generator().manual_seed(seed)
    layers = [torch.randn(len(boards), NEURONS, generator=noise) for _ in range(LAYERS)]
    patterns, flips = legal_patterns(boards), flipped_patterns(boards)
    says = {
        # The same ones in both samples: they are frequent.
        PATTERN: patterns[:, BOARD.row_of_pattern[FREQUENT_PATTERN]].float(),
        CLOCK: (boards.ply / 6).sin(),
        DISCS: ((boards.now[:, 8] > 0) & (boards.now[:, 9] < 0)).float(),
        FLIP: flips[:, flips.sum(0).argmax()].float(),
    }
    for neuron, activation in says.items():
        layers[5][:, neuron] = activation + 0.01 * layers[5][:, neuron]
    sample.neurons = layers.__getitem__  # type: ignore[method-assign]


#: A short run beside the middle of the board, which is often legal.
FREQUENT_PATTERN = "E2.SW1"


@cache
def found_of(name: str, studied: Studied) -> Found:
    """What a finding comes to, asked once."""
    return ask(FINDINGS[name], studied)


def figures(name: str, studied: Studied) -> dict[str, tuple[float, float]]:
    """By measure, the value and the control's, NaN where there is none."""
    found = found_of(name, studied).values
    assert set(found) <= {measure.name for measure in FINDINGS[name].measures}
    return {
        measure: (v.estimate.value, v.control.value if v.control else float("nan"))
        for measure, v in found.items()
    }


def test_attention_is_what_the_heads_names_say(logic: Studied) -> None:
    found = found_of("heads", logic)
    assert logic.layout is not None
    heads = [layout.name(n) for layout in logic.layout.heads for n in range(8)]
    used = [name for name in heads if not name.startswith("unused")]
    sided = [name for name in used if name.endswith(("mine", "theirs"))]
    share = found.values["one or the other, of heads"].estimate.value
    assert share == pytest.approx(len(sided) / len(used))
    # Heads read by position alone, but for those that look for one square.
    of_most, _ = figures("attention", logic)["of the most there could be"]
    assert 0 < of_most < 0.1


def test_boards_are_held_better_from_layer_to_layer_and_blank_squares_exactly(
    logic: Studied,
) -> None:
    boards = figures("boards", logic)
    first, middle, last = (boards[name][0] for name in ("first layer", "middle", "last"))
    assert boards["middle"][1] < 0.6 < first < middle < last
    early, late = (boards[f"middle, {span} third of the moves"][0] for span in ("first", "last"))
    assert late < middle < early
    for value, control in figures("blank", logic).values():
        assert value == 1
        assert control < 0.8


def test_heads_carry_colours(logic: Studied) -> None:
    found = figures("previous-colour", logic)
    assert all(control == pytest.approx(0.5, abs=0.03) for _, control in found.values())
    assert found["agrees, all heads"][0] > 0.6
    assert found["agrees, best head"][0] > 0.9


def test_answers_rank_squares_and_need_more_than_the_last_layer(logic: Studied) -> None:
    squares = figures("accessible", logic)
    # Occupied squares have a logit of their own.
    assert squares["accessible above occupied"][0] == 1
    assert squares["legal above accessible"][0] > 0.99
    parts = figures("mlp7", logic)
    # The last layer's attention says nothing of the board, so another game's does as well.
    assert parts["MLP alone: illegal"][0] == parts["MLP alone: illegal"][1] > 0.5
    assert parts["whole model: F1"][0] > 0.95


def test_an_edited_disc_is_answered_and_played_on_with(
    logic: Studied, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interventions, "CASES", 1)
    cases = figures("interventions", logic)
    right, null = cases["set is right"]
    assert null < 0.1 < 0.5 < right
    wrong, without = cases["wrong squares"]
    assert wrong < without / 2
    assert cases["against the true board"][0] > cases["against the true board"][1]
    # The same cases, given.
    games = Responds().cases(logic.games_for("interventions", logic.games), logic.seed)[:, 0]
    chosen = turn(replay(games, board=BOARD.size), games)
    given = Interventions("mine", games[chosen.there], chosen.square[chosen.there])
    of_given = ask(interventions.of_cases(given), logic)
    assert of_given.values == found_of("interventions", logic).values
    assert of_given.note == f"{len(given.tokens)} cases"
    on = figures("rollouts", logic)
    kept, let_go = (on[f"{edit}: squares that differ"][0] for edit in ("kept", "let go"))
    assert on["kept: squares that differ"][1] < let_go < kept
    assert on["kept: moves legal"][0] > 0.9


def test_planted_neurons_are_found_and_controls_find_none(planted: Studied) -> None:
    patterns = figures("pattern-neurons", planted)
    assert patterns["neurons with F1 > 0.99"] == (1, 0)
    assert patterns["patterns at F1 > 0.9"] == (pytest.approx(1 / len(BOARD.patterns)), 0)
    clocks = figures("clock", planted)
    assert clocks["neurons with R² > 0.9"] == (1, 0)
    trees = figures("trees", planted)["neurons with R² > 0.7"]
    # A short pattern and a flip are questions of a tree, too; the clock and noise are none.
    assert trees[0] >= 2 / NEURONS
    assert trees[1] == 0
    flips, _ = figures("flip-rules", planted)["neurons"]
    assert flips >= 1


def test_a_pattern_without_neurons_and_a_board_without_reader_are_said_to_be_absent(
    planted: Studied,
) -> None:
    for name in ("boards", "blank", "previous-colour", "interventions", "rollouts"):
        found = found_of(name, planted)
        assert not found.values
        assert "nothing reads this model's board" in found.note


def test_what_is_found_is_kept_whole(logic: Studied) -> None:
    for name in ("heads", "accessible", "attention"):
        found = found_of(name, logic)
        kept = msgspec.msgpack.encode(found)
        again = msgspec.msgpack.decode(kept, type=Found)
        assert msgspec.msgpack.encode(again) == kept


def test_the_table_has_a_row_for_every_measure(logic: Studied) -> None:
    asked = named(["accessible", "heads", "accessible"])
    found = {"logic": {finding.name: found_of(finding.name, logic) for finding in asked}}
    drawn = table("a title", asked, found)
    assert [len(row) for row in drawn.rows] == [len(drawn.headings)] * sum(
        len(finding.measures) for finding in asked
    )
    assert [row[0] for row in drawn.rows if row[0]] == ["accessible", "heads"]


def test_what_cannot_be_asked() -> None:
    model = OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8))
    with pytest.raises(FindingsError, match="39 games are too few"):
        Studied(model, 0.01, games=FEWEST_GAMES - 1)
    with pytest.raises(FindingsError, match="no finding is called 'magic'"):
        named(["magic"])
