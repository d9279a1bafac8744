"""The project's sources: which imports which, and a fingerprint of all that a room runs."""

import ast
from collections.abc import Collection, Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Each package may import those before it, and itself.
PACKAGES = ("extracted_rules", "handbuilt", "comparison")
#: What makes models and reads their files: of a model its weights count, not how it came about.
MAKERS = ("comparison.training.models", "handbuilt.network.checkpoints", "handbuilt.recipes")


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
    """Of what modules and rooms (``"comparison.scoring"``) run, and all that they import: their
    sources without comments and docstrings. Aside are tops of the packages, which only collect
    names, and MAKERS."""
    known, importing = modules(), edges()
    aside = {*PACKAGES, *MAKERS}
    waiting = [
        name for room in rooms for name in known if name == room or name.startswith(f"{room}.")
    ]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += importing[name] - aside
    digest = sha256()
    for name in sorted(reached):
        digest.update(f"{name}\0{_bare(known[name])}\0".encode())
    return digest.hexdigest()[:16]


@cache
def _bare(path: Path) -> str:
    """A source as Python reads it, without comments and docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body[0] = ast.Pass()
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)
