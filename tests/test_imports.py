"""Who may import whom: one direction, no circles; and the tree in the README is the one on disk."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

import extracted_rules.game
import extracted_rules.othello.game
from comparison.reproducing.sources import PACKAGES, ROOT, edges, imported, modules

#: The rooms of ``comparison``; each may import those before it.
ROOMS = (
    "reading",
    "scoring",
    "explaining",
    "replacing",
    "errors",
    "properties",
    "findings",
    "testbed",
    "tools",
    "reporting",
    "training",
    "shortcuts",
    "studies",
    "reproducing",
    "commands",
)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Names that lead back to the first one, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_imports_are_found_wherever_they_stand() -> None:
    source = """
import torch, handbuilt.space
from handbuilt import rules
if TYPE_CHECKING:
    from comparison.room.one import Thing
def late():
    from comparison.room import two
    from comparison.room import value
"""
    room = {"comparison.room", "comparison.room.one", "comparison.room.two"}
    named = {"handbuilt.space", "handbuilt.rules"} | room
    modules = {"handbuilt", "comparison", "comparison.room.three"} | named
    assert imported("handbuilt.other", source, modules | {"handbuilt.other"}) == named | {
        "comparison"
    }
    assert imported("comparison.room.three", source, modules) == named | {"handbuilt"}
    with pytest.raises(AssertionError, match="not there"):
        imported("handbuilt.space", "import handbuilt.nothing", modules)
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}


def test_packages_import_in_one_direction() -> None:
    """The rules of the game know no model, and what is built by hand knows nothing trained."""
    for importer, names in edges().items():
        allowed = PACKAGES[: PACKAGES.index(importer.split(".")[0]) + 1]
        assert {name.split(".")[0] for name in names} <= set(allowed), importer


def test_no_modules_import_in_a_circle() -> None:
    assert not circle(edges())


def test_rooms_of_the_comparison_import_those_before_them() -> None:
    folders = {path.parent.name for path in (ROOT / "comparison").glob("*/__init__.py")}
    assert folders <= set(ROOMS)
    for importer, names in edges().items():
        _, *room = importer.split(".")[:2]
        if room and room[0] in ROOMS:
            allowed = ROOMS[: ROOMS.index(room[0]) + 1]
            others = {name.split(".")[1] for name in names if name.startswith("comparison.")}
            assert others <= set(allowed), importer


def drawn(text: str) -> dict[str, str]:
    """What the first fenced block under the heading says of each folder: ``folder/  sentence``."""
    block = text.split("\n## Where things are\n")[1].split("```")[1]
    lines = [line.split("/  ", 1) for line in block.splitlines() if line.strip()]
    return {folder.strip(): sentence.strip() for folder, sentence in lines}


def test_the_readme_draws_the_rooms_modules() -> None:
    """Every room with the sentence that its own module begins with."""
    there = {}
    for path in modules().values():
        if path.stem == "__init__":
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            there[path.parent.relative_to(ROOT).as_posix()] = text.split("\n")[0]
    assert drawn((ROOT / "README.md").read_text(encoding="utf-8")) == there


def test_the_game_keeps_its_old_address() -> None:
    for name in extracted_rules.game.__all__:
        moved = getattr(extracted_rules.othello.game, name)
        assert getattr(extracted_rules.game, name) is moved
    assert {"random_games", "replay"} <= set(extracted_rules.game.__all__)
