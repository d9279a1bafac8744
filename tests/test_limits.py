"""The house stays readable: how long modules, functions and parameter lists may be; and sizes of
the board stand in one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NUMBERS = (int, float)
PACKAGES = ("extracted_rules", "handbuilt", "comparison")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
#: Lines of a module, lines of a function, parameters of a function, lines of the largest package.
MODULE, FUNCTION, PARAMETERS, COMPARISON = 400, 60, 8, 18_150
#: Squares, plies, tokens and positions of the usual board, which only these may name: the board
#: itself, and the shape that the paper gives its model.
SIZES = {59, 60, 61, 64}
MAY_NAME_SIZES = {"extracted_rules/othello/geometry.py", "handbuilt/network/shape.py"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.fixture(scope="module")
def trees() -> dict[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in MODULES}


def test_modules_are_short() -> None:
    lines = {name_of(p): len(p.read_text(encoding="utf-8").splitlines()) for p in MODULES}
    assert not {name: n for name, n in lines.items() if n > MODULE}
    assert sum(n for name, n in lines.items() if name.startswith("comparison/")) <= COMPARISON


def test_functions_are_short_and_take_few_parameters(trees: dict[str, ast.Module]) -> None:
    long, wide = {}, {}
    for module, tree in trees.items():
        for function in functions(tree):
            where = f"{module}:{function.name}"
            lines = (function.end_lineno or 0) - function.lineno + 1
            given = function.args
            parameters = len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs)
            if lines > FUNCTION:
                long[where] = lines
            if parameters > PARAMETERS:
                wide[where] = parameters
    assert not long
    assert not wide


def test_sizes_of_the_board_stand_in_one_place(trees: dict[str, ast.Module]) -> None:
    found = {
        f"{module}:{node.lineno}": node.value
        for module, tree in trees.items()
        if module not in MAY_NAME_SIZES
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and type(node.value) in NUMBERS and node.value in SIZES
    }
    assert not found
