"""Rules against errors: what needs a pattern, slowly; planted truth; what only length explains."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from extracted_rules.benches.cases import Cases, Slips, cases, of_start
from extracted_rules.benches.intervals import resampled_games
from extracted_rules.benches.positions import Bench
from extracted_rules.benches.ranks import permuted
from extracted_rules.catalogue import Catalogue, Games, Header, Neuron, Score
from extracted_rules.catalogue.failures import (
    PERMUTATIONS,
    Correlation,
    _correlations,
    _eager,
    _levels,
    _near_rates,
)
from extracted_rules.catalogue.patterns import BORDER, groups, strengths
from extracted_rules.conditions import Boards
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from tests.errors.made import answers

GAMES = 60
BOARD = Geometry()
PATTERNS, LABELS, ALIKE, STARTS = BOARD.patterns, BOARD.labels, groups(BOARD), of_start(BOARD)
LENGTH = np.array([len(pattern.run) for pattern in PATTERNS])


def test_what_needs_a_pattern_and_what_it_tempts() -> None:
    """Against the conditions' own reading of single boards."""
    bench = Bench.of(torch.cat(list(random_games(4, 6, purpose="test"))), "random")
    at = bench.positions
    wrong = np.arange(len(at)) % 3 == 0
    said = answers("one", at, wrong)  # holds A1, B1, C1 for legal, where it is wrong also D1
    found, slips = cases(bench, said.columns.top, said.columns.predicted)
    boards = Boards.of(replay(bench.tokens), BOARD.context)
    holds = torch.stack([boards.legal_by(p) for p in PATTERNS]).numpy()
    now = boards.now.numpy()
    near = np.zeros_like(holds)
    for number, p in enumerate(PATTERNS):
        run, end = now[:, p.run], now[:, p.end]
        wrong_discs = (run == 1).sum(1) + (end == -1)
        full = (run != 0).all(1) & (end != 0) & (now[:, p.start] == 0)
        near[number] = full & (wrong_discs == 1)
    legal = np.zeros((BOARD.n_squares, len(at)), dtype=np.bool_)
    for square, numbers in STARTS.items():
        legal[square] = holds[numbers].any(0)
    for number, p in enumerate(PATTERNS):
        held = np.isin(LABELS[p.start], ("A1", "B1", "C1")) | (wrong & (LABELS[p.start] == "D1"))
        siblings = STARTS[p.start]
        needs = holds[number] & (holds[siblings].sum(0) == 1)
        tempts = near[number] & (near[siblings].sum(0) == 1) & ~legal[p.start]
        for counts, mask in (
            (found.needed, needs),
            (found.left_out, needs & ~held),
            (found.tempting, tempts),
            (found.taken, tempts & held),
        ):
            expected = np.bincount(boards.game.numpy()[mask], minlength=4)
            assert np.array_equal(counts[number], expected), p.name
    top = np.where(wrong, 3, 0)
    slipped = np.flatnonzero(~legal[top, np.arange(len(at))])
    assert np.array_equal(slips.game, at.game[slipped])
    assert np.array_equal(slips.top, top[slipped])
    assert np.array_equal(slips.open, ((now[slipped] == 0) & ~legal[:, slipped].T))
    starts = [p.start for p in PATTERNS]
    assert np.array_equal(slips.near, (near & ~legal[starts])[:, slipped].T)


def test_strengths() -> None:
    score = Score(1.0, 1.0, 0.9, 0.5)
    games = Games("test", 1, 1, 1)
    found = strengths(
        Catalogue(
            Header("made up", "", (1, 1, 1), games, games, {}),
            (
                Neuron(0, 0, "pattern", ("C4.E2",), other=score, logits={"C4": 2.0}),
                Neuron(0, 1, "pattern", ("C4.E2", "C4.E3"), other=Score(1, 1, 0.7, 0.4)),
                Neuron(0, 2, "line", ("C4-F4",), other=score, logits={"F4": -1.0}),
                Neuron(0, 3, "flip", ("C4.E2",), other=score),
            ),
        )
    )
    by_name = {p.name: i for i, p in enumerate(PATTERNS)}
    c4, longer, back = (by_name[name] for name in ("C4.E2", "C4.E3", "F4.W2"))
    assert [found["best F1"][i] for i in (c4, longer, back)] == [0.9, 0.7, 0.9]
    assert [found["neurons"][i] for i in (c4, longer, back)] == pytest.approx([1.4, 0.4, 0.5])
    assert [found["writes"][i] for i in (c4, longer, back)] == pytest.approx([1.0, 0.0, -0.5])
    assert (found["best F1"] > 0).sum() == 3


def test_groups_become_finer() -> None:
    kinds, mirrored = ALIKE[BORDER], ALIKE["symmetry"]
    for number in range(mirrored.max() + 1):
        members = np.flatnonzero(mirrored == number)
        assert len(members) in (4, 8)
        assert len(set(kinds[members])) == 1
        assert len(set(LENGTH[members])) == 1
    # A symmetry maps a pattern into its own group.
    ends = {(p.start, p.end): i for i, p in enumerate(PATTERNS)}
    for row in BOARD.symmetries.tolist():
        for i in range(0, len(PATTERNS), 17):
            image = ends[row.index(PATTERNS[i].start), row.index(PATTERNS[i].end)]
            assert mirrored[image] == mirrored[i]


def made_cases(rate: npt.NDArray[np.float64], generator: np.random.Generator) -> Cases:
    needed = generator.poisson(3.0, size=(len(PATTERNS), GAMES)).astype(np.uint8)
    left_out = generator.binomial(needed, rate[:, None]).astype(np.uint8)
    return Cases(needed, left_out, needed, left_out)


def correlated(
    strength: npt.NDArray[np.float64], rate: npt.NDArray[np.float64], seed: int
) -> dict[str, Correlation]:
    generator = np.random.default_rng(seed)
    kinds = ALIKE[BORDER]
    null = np.stack([permuted(strength, kinds, generator) for _ in range(PERMUTATIONS // 5)])
    weights = resampled_games(GAMES, seed, 100)
    made = made_cases(rate, generator)
    found = _correlations({"made up": strength}, {"made up": null}, made, weights, ALIKE)
    return {c.among: c for c in found if c.error == "left out"}


def test_weak_rules_that_were_made_to_fail_are_found() -> None:
    generator = np.random.default_rng(8)
    strength = generator.random(len(PATTERNS))
    found = correlated(strength, 0.3 - 0.25 * strength, 8)
    for among in ("all", "length and border", "symmetry"):
        assert found[among].value.high < -0.4
        assert found[among].value.value < found[among].control.low
        assert found[among].reliability > 0.3
        assert found[among].control.low < 0 < found[among].control.high


def test_intervals_of_correlations_cover_what_such_games_show() -> None:
    """The truth is the mean of many such benches: with rates that chance blurs as much."""
    generator = np.random.default_rng(12)
    strength = generator.random(len(PATTERNS))
    found = []
    for _ in range(40):
        made = made_cases(0.1 - 0.05 * strength, generator)
        weights = resampled_games(GAMES, 12, 60)
        correlations = _correlations({"": strength}, {"": strength[None]}, made, weights, ALIKE)
        found.append(next(correlations).value)
    truth = np.mean([estimate.value for estimate in found])
    assert sum(estimate.low <= truth <= estimate.high for estimate in found) >= 34


def test_what_length_explains_is_no_failure_of_rules() -> None:
    """Long patterns have weak rules and many errors, and neither has to do with the other."""
    generator = np.random.default_rng(9)
    strength = 1 - 0.1 * LENGTH + 0.1 * generator.random(len(PATTERNS))
    found = correlated(strength, 0.05 * LENGTH.astype(float), 9)
    assert found["all"].value.high < -0.5
    # Permuted within lengths, it is still there: the control says that length explains it.
    assert found["all"].control.low < found["all"].value.value < found["all"].control.high
    for among in ("length and border", "symmetry"):
        value = found[among].value.value
        assert found[among].control.low < value < found[among].control.high
        assert abs(value) < 0.1


def test_levels_count_every_square_once() -> None:
    generator = np.random.default_rng(10)
    best = np.where(generator.random(len(PATTERNS)) < 0.2, 0.0, generator.random(len(PATTERNS)))
    rate = np.where(best == 0, 0.2, 0.1)
    made = made_cases(rate, generator)
    found = list(_levels(best, made, resampled_games(GAMES, 10, 100), ALIKE[BORDER]))
    assert sum(level.patterns for level in found) == len(PATTERNS)
    assert sum(level.needed for level in found) == int(made.needed.sum(dtype=np.int64))
    assert sum(level.left_out for level in found) == int(made.left_out.sum(dtype=np.int64))
    none = found[0]
    assert none.below == 0
    assert none.rate.low < 0.2 < none.rate.high
    # A fifth of each class has the double rate: 0.2 / (0.2 * 0.2 + 0.8 * 0.1), more or less.
    assert none.times.value == pytest.approx(0.2 / 0.12, rel=0.05)
    assert none.times.low < none.times.value < none.times.high


def made_slips(strength: npt.NDArray[np.float64], eager: bool, seed: int) -> Slips:
    """Two squares are tempted by one pattern each. One is chosen: by chance, or mostly that of the
    stronger."""
    generator = np.random.default_rng(seed)
    n = 400
    near = np.zeros((n, len(PATTERNS)), dtype=np.bool_)
    is_open = np.zeros((n, BOARD.n_squares), dtype=np.bool_)
    is_open[:, [0, 63]] = True
    first, last = (
        generator.choice([i for i in STARTS[s] if LENGTH[i] == 2], size=n) for s in (0, 63)
    )
    near[np.arange(n), first] = near[np.arange(n), last] = True
    stronger = np.where(strength[first] > strength[last], 0, 63)
    by_chance = generator.choice([0, 63], size=n)
    top = np.where(eager & (generator.random(n) < 0.8), stronger, by_chance)
    return Slips(np.arange(n) // 4, near, is_open, top)


@pytest.mark.parametrize("eager", [True, False])
def test_over_eager_rules(eager: bool) -> None:
    generator = np.random.default_rng(11)
    strength = generator.random(len(PATTERNS))
    kinds = ALIKE[BORDER]
    null = np.stack([permuted(strength, kinds, generator) for _ in range(50)])
    found = _eager("made up", strength, null, made_slips(strength, eager, 11), STARTS)
    assert found.slips == 400
    if eager:
        assert found.chance.low > 0.8
    else:
        assert found.chance.low < 0.5 < found.chance.high
    near, elsewhere = _near_rates(made_slips(strength, eager, 11), STARTS)
    assert (near.value, elsewhere.value) == (1, 1)
