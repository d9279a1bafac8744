"""What a catalogue is asked: counts, neurons by what their rules say, rules as sentences."""

from collections.abc import Iterable
from typing import Any

from extracted_rules.catalogue.records import RULES, Catalogue, CatalogueError, Neuron
from extracted_rules.conditions import in_words, parse_part, tree_features
from extracted_rules.othello.geometry import Geometry

#: The share of a catalogue's neurons is told by how well their rule agrees with them.
F1_STEPS = (0.5, 0.9, 0.99)


def census(neurons: Iterable[Neuron]) -> tuple[list[int], dict[str, list[int]]]:
    """(the layers there are; how many neurons of each follow which of RULES, and how many agree
    with theirs on other games by more than each of F1_STEPS, as "F1 > 0.5")."""
    known = list(neurons)
    layers = sorted({neuron.layer for neuron in known})
    groups = {rule: [n.layer for n in known if n.rule == rule] for rule in RULES}
    groups |= {f"F1 > {least}": [n.layer for n in known if n.f1 > least] for least in F1_STEPS}
    return layers, {name: [found.count(at) for at in layers] for name, found in groups.items()}


def select(
    known: Catalogue,
    layer: int | None = None,
    square: int | None = None,
    rule: str | None = None,
    min_f1: float = 0.0,
) -> list[Neuron]:
    """The neurons that meet all that is asked, best first. ``square``: one of the rule's squares.
    Raises CatalogueError for a rule that there is not."""
    if rule is not None and rule not in RULES:
        raise CatalogueError(f"there is no rule {rule!r}; there are {', '.join(RULES)}")
    chosen = [
        n
        for n in known.neurons
        if (layer is None or n.layer == layer)
        and (rule is None or n.rule == rule)
        and n.f1 >= min_f1
        and (square is None or square in squares_of(n, known.geometry))
    ]
    return sorted(chosen, key=lambda n: (-n.f1, -(n.r2 or 0.0), n.layer, n.neuron))


def squares_of(neuron: Neuron, geometry: Geometry) -> set[int]:
    """The squares that a neuron's rule names: those of its parts, else those of its tree."""
    if neuron.parts:
        parts = (parse_part(neuron.rule, part, geometry) for part in neuron.parts)
        return set().union(*(part.squares for part in parts))
    asked = [] if neuron.tree is None else tree_features(neuron.tree, geometry)
    return {geometry.square_of(question.split()[0]) for question in asked}


def says(neuron: Neuron, geometry: Geometry) -> str:
    """A neuron's rule in a line: where it holds, of a union its core and how many parts more."""
    if not neuron.parts:
        return RULES[neuron.rule]
    core = in_words(neuron.rule, neuron.core_parts, geometry)
    if neuron.core is None:
        return core
    others = len(neuron.parts) - neuron.core
    return f"{core}; less where {'another' if others == 1 else f'one of {others} others'} holds"


def words(neuron: Neuron, geometry: Geometry) -> list[str]:
    """A neuron's finding as sentences to read, one a line."""
    n = neuron
    lines = [f"{n.place}: {RULES[n.rule]}"]
    if n.parts:
        lines.append(f"  active where {in_words(n.rule, n.parts, geometry)}")
    if n.core:
        lines.append(f"  most of all where {in_words(n.rule, n.core_parts, geometry)}")
    if n.tree is not None:
        lines += [f"  {line}" for line in _tree_in_words(n.tree)]
    for name, score in (
        ("games it was found on", n.found),
        ("other games", n.other),
        ("boards of other games", n.control),
    ):
        if score:
            lines.append(
                f"  {name}: precision {score.precision:.3f}, recall {score.recall:.3f}, "
                f"F1 {score.f1:.3f}, phi {score.phi:.3f}"
            )
    if n.support is not None:
        lines.append(f"  it holds at {n.support:,} positions of the other games")
    if n.strength is not None and n.off is not None:
        lines.append(f"  activation {n.off + n.strength:.3g} where it holds, else {n.off:.3g}")
    if n.r2 is not None:
        control = f", {n.r2_control:.3f} on boards of other games" if n.r2_control else ""
        lines.append(f"  it explains {n.r2:.3f} of the variance{control}")
    for what, numbers, shown in (
        ("adds to logits", n.logits, "+.3g"),
        ("adds to mine less theirs", n.squares, "+.3g"),
        ("best of each kind tried", n.figures, ".3g"),
    ):
        if numbers:
            listed = ", ".join(f"{name} {value:{shown}}" for name, value in numbers.items())
            lines.append(f"  {what}: {listed}")
    return lines


def _tree_in_words(tree: Any, indent: str = "") -> list[str]:
    if not isinstance(tree, list | tuple):
        return [f"{indent}{tree:.3g}"]
    feature, without, having = tree
    label, _, state = feature.partition(" ")
    asks = f"{label} was just {state}" if state in ("played", "turned") else f"{label} is {state}"
    return [
        f"{indent}if {asks}:",
        *_tree_in_words(having, indent + "  "),
        f"{indent}else:",
        *_tree_in_words(without, indent + "  "),
    ]
