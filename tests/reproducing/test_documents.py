"""Documents say what results say, and notice when they do not; broken ones are named."""

from pathlib import Path

import pytest

from comparison.reproducing import documents, results
from comparison.reproducing.documents import DocumentError, Figures, filled, rewrite
from comparison.reproducing.jobs import JOBS
from comparison.reproducing.results import MadeOf, Result
from extracted_rules.drawing.tables import Table

MODELS = Table(
    "10 games",
    ("model", "positions"),
    ("count", "illegal %"),
    [
        ["logic", "all", "1,000", "0.442 [0.405, 0.482]"],
        ["", "at a pass", "20", "1.300 [1.000, 1.500]"],
        ["bigram", "all", "1,000", "33.8 [33.6, 34.0]"],
    ],
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with one result and an empty README."""
    made_of = MadeOf(("handbuilt compare logic",), "", {}, {})
    result = Result("compare", made_of, {}, "cpu", 0.1, {"models": MODELS})
    results.write(result, tmp_path / "results")
    (tmp_path / "README.md").touch()
    return tmp_path


def written(root: Path, asked: str) -> list[str]:
    """The lines that a README gets for a marker."""
    (root / "README.md").write_text(
        f"a <!-- [[[cog {asked} ]]] -->\nold\nb <!-- [[[end]]] -->, c\n"
    )
    first, *lines, last = filled(root / "README.md", Figures(root / "results")).splitlines()
    assert (first, last) == (f"a <!-- [[[cog {asked} ]]] -->", "b <!-- [[[end]]] -->, c")
    return lines


@pytest.mark.parametrize("document", documents.documents(), ids=lambda path: path.name)
def test_documents_say_what_results_say(document: Path) -> None:
    assert filled(document, Figures()) == document.read_text(encoding="utf-8"), (
        "`handbuilt reproduce` writes documents from results"
    )


def test_results_are_small_belong_to_jobs_and_agree() -> None:
    results.check_agree(documents.kept())
    files = list(results.FOLDER.glob("*")) if results.FOLDER.is_dir() else []
    assert {path.name for path in files} <= {f"{name}.json" for name in JOBS}
    # The largest is of five models by nine tools.
    assert all(path.stat().st_size < 120_000 for path in files)


def test_tables_are_written_whole_and_in_part(root: Path) -> None:
    heading = "| model | positions | count | illegal % |"
    assert written(root, 'table("compare", "models")') == [
        heading,
        "| --- | --- | ---: | ---: |",
        "| `logic` | all | 1,000 | 0.442 [0.405, 0.482] |",
        "|  | at a pass | 20 | 1.300 [1.000, 1.500] |",
        "| `bigram` | all | 1,000 | 33.8 [33.6, 34.0] |",
    ]
    asked = 'table("compare", "models", {"positions": "at a pass"}, {"model": "m", "count": "n"})'
    assert written(root, asked) == ["| m | n |", "| --- | ---: |", "| `logic` | 20 |"]
    assert written(root, 'pivot("compare", "models", "positions", "model", "count")') == [
        "| positions | `logic` | `bigram` |",
        "| --- | ---: | ---: |",
        "| all | 1,000 | 1,000 |",
        "| at a pass | 20 |  |",
    ]
    asked = 'stacked("games", [(name, "compare", "models") for name in ("few", "many")], '
    assert written(root, asked + '{"positions": "all"}, ("games", "model", "count"))') == [
        "| games | model | count |",
        "| --- | --- | ---: |",
        "| few | `logic` | 1,000 |",
        "|  | `bigram` | 1,000 |",
        "| many | `logic` | 1,000 |",
        "|  | `bigram` | 1,000 |",
    ]
    assert written(root, 'command("compare")') == ["```", "handbuilt compare logic", "```"]


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ('("logic", "all"), "illegal %"', "0.442"),
        ('("logic", "all"), "illegal %", digits=1', "0.4"),
        ('("logic", "at a pass"), "illegal %", interval=True', "1.300 [1.000, 1.500]"),
        ('"bigram", "count"', "1,000"),
        ('"bigram", "count", digits=2', "1,000.00"),
    ],
)
def test_numbers_are_written_into_sentences(root: Path, asked: str, line: str) -> None:
    assert written(root, f'number("compare", "models", {asked})') == [line]


def test_what_is_not_measured_yet_is_said_to_be_missing(root: Path) -> None:
    missing = ["(not measured yet: `handbuilt reproduce check`)"]
    for asked in ('table("check", "properties")', 'number("check", "p", "a", "b")'):
        assert written(root, asked) == missing


def test_a_document_edited_by_hand_is_noticed(root: Path) -> None:
    readme, figures = root / "README.md", Figures(root / "results")
    readme.write_text('<!-- [[[cog table("compare", "models") ]]] -->\n<!-- [[[end]]] -->\n')
    assert rewrite(figures, root) == [readme]
    assert rewrite(figures, root) == []
    readme.write_text(readme.read_text().replace("0.442", "0.012"))
    assert filled(readme, figures) != readme.read_text()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('<!-- [[[cog table("compare", "models") -->\n', "begun but never ended"),
        ('<!-- [[[cog table("compare", "models") ]]] -->\n', "Missing '[[[end]]]'"),
        ("<!-- [[[end]]] -->\n", "Unexpected '[[[end]]]'"),
        ("[[[cog table( ]]]\n[[[end]]]\n", "never closed"),
        ('[[[cog table("none", "models") ]]]\n[[[end]]]\n', "no job is called 'none'"),
        ('[[[cog table("compare", "no") ]]]\n[[[end]]]\n', "has no table 'no'; there is models"),
        (
            '[[[cog table("compare", "models", {"a": "b"}) ]]]\n[[[end]]]\n',
            "no column is called 'a'",
        ),
        ('[[[cog table("compare", "models", {"model": "b"}) ]]]\n[[[end]]]\n', "no row of"),
        ('[[[cog number("compare", "models", "logic", "count") ]]]\n[[[end]]]\n', "2 rows of"),
        ('[[[cog number("compare", "models", "bigram", "model") ]]]\n[[[end]]]\n', "is no number"),
        ("[[[cog 1/0 ]]]\n[[[end]]]\n", "division by zero"),
    ],
)
def test_a_broken_document_is_one_sentence_and_none_changes(
    root: Path, text: str, says: str
) -> None:
    (root / "README.md").write_text(text)
    (root / "docs").mkdir()
    (root / "docs" / "a.md").write_text('<!-- [[[cog command("compare") ]]] -->\n[[[end]]]\n')
    with pytest.raises(DocumentError) as raised:
        rewrite(Figures(root / "results"), root)
    assert says in str(raised.value)
    assert str(raised.value).startswith("README.md: ")
    assert "\n" not in str(raised.value)
    assert "handbuilt" not in (root / "docs" / "a.md").read_text()
