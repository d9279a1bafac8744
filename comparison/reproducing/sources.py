"""The project's sources: which imports which, and a fingerprint of all that a room runs."""

import ast
from collections.abc import Collection, Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Each package may import those before it, and itself.
PACKAGES = ("extracted_rules", "handbuilt", "comparison")


def modules() -> dict[str, Path]:
    """Every module's file by its full name; a package's own module is its ``__init__``."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = path
    return found


def imported(importer: str, source: str, modules: Collection[str]) -> set[str]:
    """Which of the modules a source imports, wherever in it: in functions and for types, too.

    Whoever imports a.b.c also runs a and a.b before it, but for a module that lies inside them.
    """
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer} imports by a relative name"
            module = str(node.module)
            inside = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else module for name in inside}
    ours = {name for name in found if name.split(".")[0] in PACKAGES}
    assert ours <= set(modules), f"{importer} imports {ours - set(modules)}, which is not there"
    for name in list(ours):
        parents = (name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1))
        ours |= {p for p in parents if not f"{importer}.".startswith(f"{p}.")}
    return ours


@cache
def edges() -> dict[str, set[str]]:
    """Every module, and the modules that it imports."""
    known = modules()
    return {
        name: imported(name, path.read_text(encoding="utf-8"), known)
        for name, path in known.items()
    }


def fingerprint(rooms: Iterable[str]) -> str:
    """Of the sources of modules and rooms (``"comparison.scoring"``) and of all that they import,
    tops of the packages aside, which only collect names."""
    known, importing = modules(), edges()
    tops = set(PACKAGES)
    waiting = [
        name for room in rooms for name in known if name == room or name.startswith(f"{room}.")
    ]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += importing[name] - tops
    digest = sha256()
    for name in sorted(reached):
        digest.update(name.encode() + b"\0" + known[name].read_bytes())
    return digest.hexdigest()[:16]
