"""Findings about neurons that tell that a move is legal."""

from weakref import WeakKeyDictionary

from comparison.findings.definition import JYLIN, Found, Line, Lines, Measure, Value, finding
from comparison.findings.studied import SHUFFLED, Studied
from extracted_rules.discovery.detectors import LEGALITY, Agreement, Detector, Questions, detectors
from extracted_rules.discovery.neurons import FEWEST
from extracted_rules.discovery.patterns import legal_patterns

#: Marks of F1 that count as good.
GOOD, FAIR = 0.99, 0.9
#: Marks of F1 that are drawn.
MARKS = (*(number / 50 for number in range(10, 50)), GOOD, 0.995)


def middle_layers(layers: int) -> range:
    """Layers 4 to 6 of 8: the second half but for the last one."""
    return range(layers // 2, layers - 1)


#: What was found of a model, as more than one finding asks for it.
_FOUND: WeakKeyDictionary[Studied, dict[bool, list[Detector]]] = WeakKeyDictionary()


def detectors_of(studied: Studied, *, shuffled: bool = False) -> list[Detector]:
    """Those of the middle layers and of the last one; shuffled: for the boards of other games."""
    kept = _FOUND.setdefault(studied, {})
    if shuffled not in kept:
        fit, seen = studied.fit, studied.seen
        asked = [Questions.of(s.others if shuffled else s.boards, s.group) for s in (fit, seen)]
        kept[shuffled] = [
            detector
            for layer in (*middle_layers(studied.layers), studied.layers - 1)
            for detector in detectors(layer, fit.neurons(layer), seen.neurons(layer), *asked)
        ]
    return kept[shuffled]


@finding(
    "pattern-neurons",
    "Neurons of the middle layers (4 to 6 of 8) tell that a single move is legal, with F1 > .99.",
    JYLIN,
    Measure(f"neurons with F1 > {GOOD}", "610", SHUFFLED, digits=0),
    Measure(f"patterns at F1 > {GOOD}", "75.2", SHUFFLED, True, 1),
    Measure(f"patterns at F1 > {FAIR}", "90.6", SHUFFLED, True, 1),
    Measure(f"either sense: neurons with F1 > {GOOD}", "", SHUFFLED, digits=0),
    Measure(f"either sense: patterns at F1 > {GOOD}", "", SHUFFLED, True, 1),
    Measure(f"either sense: patterns at F1 > {FAIR}", "", SHUFFLED, True, 1),
)
def pattern_neurons(studied: Studied) -> Found:
    """How many neurons of the middle layers tell that a single move is legal, and by how many of
    the patterns.

    A neuron's rule is a pattern, or several patterns of one start, that it is active for, found as
    `extract` finds them, on some games; F1 of "active above a threshold" is counted on others. A
    pattern counts if the rule of some neuron of that F1 names it. Beside it, *either sense*: a
    bracket's two patterns, in positions in which one of its squares is empty; hand-built lines are
    such. The control is the same search for boards of other games.
    """
    layers = middle_layers(studied.layers)
    if not layers:
        return Found(note=f"a model of {studied.layers} layers has none between middle and last")
    found, control = (
        [d for d in detectors_of(studied, shuffled=shuffled) if d.layer in layers]
        for shuffled in (False, True)
    )
    geometry = studied.seen.boards.geometry
    values: dict[str, Value] = {}
    lines = []
    for name, families in (("", LEGALITY[:1]), ("either sense: ", LEGALITY)):
        true, null = (
            Agreement([d for d in some if d.family in families], geometry)
            for some in (found, control)
        )
        values |= {
            f"{name}neurons with F1 > {GOOD}": Value(true.neurons(GOOD), null.neurons(GOOD)),
            **{
                f"{name}patterns at F1 > {mark}": Value(true.patterns(mark), null.patterns(mark))
                for mark in (GOOD, FAIR)
            },
        }
        called, chance = ("either sense", "either") if name else ("single move", "single")
        lines.append(Line(called, MARKS, true.above(MARKS)))
        lines.append(Line(f"{SHUFFLED}, {chance}", MARKS, null.above(MARKS), control=True))
    often = int((legal_patterns(studied.seen.boards).sum(0) >= FEWEST).sum())
    known = f"{often} of {len(geometry.patterns)} patterns hold in {FEWEST} positions"
    note = f"layers {layers[0]}-{layers[-1]}; {known}"
    if studied.layout:
        note += "; its lines are brackets in either sense, in the last two layers"
    return Found(values, note, Lines("F1 on other games", "neurons above", tuple(lines)))
