"""Models with one planted defect each: the property meant for it finds it, and what has nothing to
do with it holds; the engine as a model keeps every rule."""

import json

import pytest

from comparison.properties import PROPERTIES, Report, check
from tests.properties.planted import PLANTED, oracle

#: Random games, and as many hunted ones: few, as planted defects are not rare.
EXAMPLES = 32
#: For each defect the properties meant for it, with the moves of the shortest game that can show
#: it; and those that have nothing to do with it. Others may break: whoever forbids a square cannot
#: tell apart boards that differ in it.
EXPECTED: dict[str, tuple[dict[str, int], set[str]]] = {
    # E3 is legal after D3.
    "forbids E3": (
        {"set": 1},
        {"occupied", "untouching", "flips-nothing", "legal", "ranking", "at-a-pass", "after-a-pass"}
        | {"transposition", "compression", "causality", "hostile"},
    ),
    # No side can be without a move before eight moves were made, and then some positions are so.
    "ignores passes": (
        {"at-a-pass": 8, "after-a-pass": 9},
        {"occupied", "symmetry", "transposition", "causality", "hostile"},
    ),
    # E6 flips E5.
    "never flips north": (
        {"set": 1, "legal": 1},
        {"occupied", "untouching", "causality", "hostile"},
    ),
    # Two moves of one side and one between them.
    "heeds the order": (
        {"transposition": 3},
        {"occupied", "untouching", "flips-nothing", "legal", "at-a-pass", "after-a-pass"}
        | {"causality", "hostile"},
    ),
    "no number after 50 moves": ({"hostile": 50}, set(PROPERTIES) - {"hostile"}),
    # One move to answer, one to be leaked.
    "leaks the future": ({"causality": 2}, set(PROPERTIES) - {"causality"}),
}


def broken(report: Report) -> dict[str, int]:
    """The moves of the smallest counterexample to every property that was found broken; 0 where
    there is none that stands alone."""
    return {
        name: finding.smallest.plies if finding.smallest else 0
        for name, finding in report.findings.items()
        if finding.missing is None and not finding.holds
    }


@pytest.mark.parametrize("defect", PLANTED)
def test_a_planted_defect_is_found_where_it_belongs(defect: str) -> None:
    meant, unrelated = EXPECTED[defect]
    found = broken(check(PLANTED[defect], tau=0.01, examples=EXAMPLES))
    assert {name: found.get(name) for name in meant} == meant
    assert not unrelated & found.keys()


def test_the_engine_as_a_model_keeps_every_rule() -> None:
    report = check(oracle, tau=0.01, examples=EXAMPLES)
    assert not broken(report)
    for finding in report.findings.values():
        reads = finding.prop.name.startswith("belief")
        assert (finding.missing is not None) == reads
        if not reads:
            assert finding.overall().y + finding.elsewhere()[1] > 0


def test_the_same_seed_finds_the_same_and_another_one_other_games() -> None:
    def found(seed: int) -> str:
        asked = ("legal", "transposition", "causality", "hostile")
        model = PLANTED["ignores passes"]
        report = check(model, properties=asked, tau=0.01, examples=8, seed=seed).as_dict()
        return json.dumps(report["properties"])

    first = found(1)
    assert first == found(1)
    assert first != found(2)
