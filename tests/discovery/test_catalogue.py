"""The catalogue: nothing is lost in a file, and what is broken is named."""

import gzip
from pathlib import Path
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from extracted_rules import catalogue
from extracted_rules.catalogue import (
    RULES,
    YES_OR_NO,
    Catalogue,
    CatalogueError,
    Finding,
    Games,
    Head,
    Header,
    Kernel,
    Layer,
    Neuron,
    Score,
)
from extracted_rules.conditions import DISC_STATES, in_words, tree_questions
from extracted_rules.files import uncompressed
from extracted_rules.othello.geometry import Geometry

G = Geometry()
HEADER = Header(
    model="planted",
    fingerprint="0" * 64,
    sizes=(8, 8, 2048),
    found_on=Games("discovery", 1, 100, 5900),
    checked_on=Games("discovery-check", 1, 100, 5900),
    thresholds={"phi above control": 0.15},
)

# Larger ones may round to what is no number.
numbers = st.floats(-1e300, 1e300)
scores = st.builds(Score, numbers, numbers, numbers, numbers)
named = st.dictionaries(st.text(max_size=8), numbers, max_size=4)
tables = st.dictionaries(st.text(max_size=8), st.lists(numbers, max_size=4).map(tuple), max_size=2)
layers, places = st.integers(0, 99), st.integers(0, 9999)
labels = st.sampled_from(G.labels)
parts_of = {
    "pattern": st.sampled_from([p.name for p in G.patterns]),
    "line": st.sampled_from([name for name, senses in G.senses.items() if senses]),
    "line-or-full": st.sampled_from([name for name, senses in G.senses.items() if senses]),
    "flip": st.sampled_from(
        [p.name for p in G.patterns] + [name for name, senses in G.senses.items() if senses]
    ),
    "closed": st.sampled_from(
        [p.name for p in G.patterns] + [name for name, senses in G.senses.items() if senses]
    ),
    "disc": st.sampled_from([f"{label} {state}" for label in G.labels for state in DISC_STATES]),
    "blank": labels,
    "occupied": labels,
    "played": labels,
}
trees = st.recursive(
    numbers,
    lambda inner: st.tuples(st.sampled_from(list(tree_questions(G))), inner, inner),
    max_leaves=12,
)


@st.composite
def neurons(draw: st.DrawFn) -> Neuron:
    rule = draw(st.sampled_from(list(RULES)))
    met = rule in YES_OR_NO
    parts = tuple(draw(st.lists(parts_of[rule], min_size=1, max_size=3))) if met else ()
    return Neuron(
        draw(layers),
        draw(places),
        rule,
        parts,
        draw(st.none() | st.integers(1, len(parts) - 1)) if len(parts) > 1 else None,
        draw(numbers) if met else draw(st.none() | numbers),
        draw(scores) if met else None,
        draw(scores) if met else None,
        draw(st.none() | scores),
        draw(st.none() | places),
        *(draw(st.none() | numbers) for _ in range(4)),
        figures=draw(named),
        logits=draw(named),
        squares=draw(named),
        tree=draw(trees) if rule == "tree" else None,
    )


@st.composite
def kernels(draw: st.DrawFn) -> Kernel:
    row = draw(st.lists(numbers, max_size=5))
    lags = tuple(range(len(row)))
    control = tuple(row) if draw(st.booleans()) else ()
    return Kernel(
        draw(layers),
        draw(st.text(max_size=5)),
        "both",
        "rim",
        lags,
        tuple(row),
        control,
        draw(named),
    )


findings = st.one_of(
    neurons(),
    st.builds(Head, layers, places, st.sampled_from(["mine", "other"]), named, named, tables),
    kernels(),
    st.builds(Layer, layers, st.text(max_size=8), named, named, tables),
)


@given(findings)
def test_a_finding_comes_back_as_it_was(finding: Finding) -> None:
    line = catalogue.to_line(finding)
    assert "\n" not in line
    assert catalogue.of_line(line, G) == finding


@settings(max_examples=20)
@given(found=st.lists(findings, max_size=5), name=st.text(max_size=10))
def test_a_file_comes_back_as_it_was(
    found: list[Finding], name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("catalogue") / "rules.jsonl"
    written = Catalogue(replace(HEADER, model=name), tuple(found))
    catalogue.write(written, path)
    back = catalogue.read(path)
    assert back.findings == written.findings
    assert back.header == replace(written.header, counts=catalogue.counts(found))


def neuron(number: int, **changes: object) -> Neuron:
    score = Score(0.9, 0.8, 0.85, 0.84)
    plain = Neuron(3, number, "flip", ("C4-F4",), None, 0.1, score, score, support=9, strength=1.0)
    return replace(plain, **changes)


def test_a_full_catalogue_loads_about_as_fast_as_it_is_written(tmp_path: Path) -> None:
    found = tuple(
        replace(neuron(number), layer=layer, control=Score(0, 0, 0, 0), r2=0.5, figures={"tree": 1})
        for layer in range(8)
        for number in range(2048)
    )
    times = [process_time()]
    catalogue.write(Catalogue(HEADER, found), tmp_path / "rules.jsonl")
    times.append(process_time())
    assert len(catalogue.read(tmp_path / "rules.jsonl").findings) == len(found)
    times.append(process_time())
    assert times[2] - times[1] < 10 * (times[1] - times[0])


def test_rules_are_selected_by_what_they_say() -> None:
    weak = Score(0.2, 0.2, 0.2, 0.2)
    other = replace(neuron(2), layer=4, rule="disc", parts=("A1 mine",), other=weak)
    tree = Neuron(4, 3, "tree", r2=0.5, tree=("H8 empty", 0.0, 1.0))
    all_of_them = Catalogue(HEADER, (other, neuron(1), tree))
    assert catalogue.select(all_of_them)[0].neuron == 1
    assert catalogue.select(all_of_them, square=G.square_of("D4")) == [neuron(1)]
    assert catalogue.select(all_of_them, square=G.square_of("H8")) == [tree]
    assert catalogue.select(all_of_them, layer=4, rule="disc") == [other]
    assert catalogue.select(all_of_them, min_f1=0.5) == [neuron(1)]
    with pytest.raises(CatalogueError, match="there is no rule 'wish'"):
        catalogue.select(all_of_them, rule="wish")


def test_rules_are_said_in_words() -> None:
    text = "\n".join(catalogue.words(neuron(1), G))
    assert text.startswith("3.n1: the move just played turned these discs")
    assert "one of C4 and F4 was just played and turned D4 and E4 between them" in text
    assert "precision 0.900" in text
    tree = Neuron(4, 3, "tree", r2=0.5, tree=("H8 played", 0.0, 1.0))
    assert "  if H8 was just played:" in catalogue.words(tree, G)
    assert in_words("pattern", ("C4.E2",), G) == "C4 is empty, D4 and E4 theirs and F4 mine"
    assert in_words("disc", ("D3 mine before",), G) == "D3 is mine before the last move"
    assert in_words("blank", ("A1", "A2"), G) == "A1 is empty or A2 is empty"


GOOD = '{"neuron":"3.n1","rule":"flip","parts":["C4-F4"],"threshold":0.1,"other":[1,1,1,1]}'


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (GOOD.replace("C4-F4", "C4-F5"), "neuron 3.n1 is broken: 'C4-F5' is no part of a rule"),
        (GOOD.replace("flip", "wish"), "neuron 3.n1 is broken: there is no rule 'wish'"),
        (GOOD.replace('"parts":["C4-F4"],', ""), "neuron 3.n1 is broken: a rule 'flip' without"),
        (
            GOOD.replace("[1,1,1,1]", "[1,1]"),
            "3.n1 is broken: Expected `array`",
        ),
        (GOOD.replace("0.1", "NaN"), "a line is no finding"),
        (GOOD.replace("0.1", '"x"'), "3.n1 is broken: Expected `float | null`"),
        (GOOD.replace("rule", "role"), "neuron 3.n1 is broken: Object"),
        (GOOD.replace('"3.n1"', '"x"'), "neuron x is broken"),
        (GOOD.replace("neuron", "wish"), "a line is no finding"),
        ('{"neuron":"3.n1","rule":"tree","tree":["D9 mine",0,1]}', "'D9 mine' is no question"),
        ('{"neuron":"3.n1","rule":"tree"}', "a rule 'tree' without one"),
        ('{"head":"3.1","role":"wish"}', "head 3.1 is broken: there is no role 'wish'"),
        ("[1, 2]", "a line is no finding"),
        ("", "a line is no finding"),
    ],
)
def test_a_broken_rule_is_named(line: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.jsonl"
    catalogue.write(Catalogue(HEADER, (neuron(7),)), path)
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(CatalogueError) as caught:
        catalogue.read(path)
    assert says in str(caught.value)
    assert "line 3" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"version":1', '"version":2', "is a catalogue of version 2; this reads 1"),
        ("othello rules", "recipes", "is no catalogue of rules"),
        ('"sizes":[8,8,2048]', '"sizes":[8]', "header is broken"),
        (
            '"model":',
            '"board":5,"model":',
            "a board has 4, 6 or 8 squares a side",
        ),
        (
            '"model":',
            '"board":4,"model":',
            "'C4-F4' is no part of a rule .flip. on the 4 x 4",
        ),
        ('"neuron flip":1', '"neuron flip":2', "is not whole"),
        ("{", "", "is no catalogue of rules"),
    ],
)
def test_another_kind_of_file_is_refused(old: str, new: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "rules.jsonl"
    catalogue.write(Catalogue(HEADER, (neuron(7),)), path)
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(CatalogueError, match=says):
        catalogue.read(path)


def test_the_projects_own_catalogue_is_written_as_it_was_read(tmp_path: Path) -> None:
    known = catalogue.read(catalogue.REFERENCE)
    assert known.geometry is G
    catalogue.write(known, tmp_path / "rules.jsonl.gz")
    assert (tmp_path / "rules.jsonl.gz").read_bytes() == catalogue.REFERENCE.read_bytes()
    catalogue.write(known, tmp_path / "rules.jsonl")
    assert (tmp_path / "rules.jsonl").read_bytes() == uncompressed(catalogue.REFERENCE)


@pytest.mark.parametrize("data", [b"not compressed", gzip.compress(b"{", mtime=0)[:-4]])
def test_a_damaged_compressed_file_is_said_to_be_one(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "rules.jsonl.gz"
    path.write_bytes(data)
    with pytest.raises(CatalogueError, match="damaged or cut short"):
        catalogue.read(path)


def test_a_catalogue_says_its_board(tmp_path: Path) -> None:
    path = tmp_path / "rules.jsonl"
    small = neuron(1, parts=("B2-B4",))
    catalogue.write(Catalogue(replace(HEADER, board=4), (small,)), path)
    known = catalogue.read(path)
    assert known.geometry.size == 4
    assert catalogue.squares_of(known.neurons[0], known.geometry) == {5, 9, 13}


def test_no_catalogue_holds_what_is_no_number(tmp_path: Path) -> None:
    broken = Catalogue(HEADER, (neuron(7, strength=float("nan")),))
    with pytest.raises(CatalogueError, match=r"neuron 3\.n7 holds a number that is none"):
        catalogue.write(broken, tmp_path / "rules.jsonl")
    assert not list(tmp_path.iterdir())
