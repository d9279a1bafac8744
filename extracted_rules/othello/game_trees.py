"""Games as nodes of properties: GGF, as game servers write it, and SGF, as editors do.

``(;GM[2]SZ[8];B[f5];W[d6](;B[c3])(;B[c4]))``: of variations, the first is the game. Both name the
side of every move, so a pass may be left out; GGF writes evaluations behind a move's slash. What
else a game says of itself is not looked at, but for its kind, its board and where it starts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator

from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.transcripts import ELSEWHERE, BadGame, RecordedGame, game_of_words

#: How either format begins, behind whatever a server writes before it.
START = re.compile(r"\(\s*;\s*[A-Za-z]+\s*\[")

_BRACKET = re.compile(r"\\.|[\[\]()]", re.DOTALL)
_PROPERTY = re.compile(r"(?<![A-Za-z])([A-Za-z]+)\s*((?:\[(?:\\.|[^\]\\])*\]\s*)+)", re.DOTALL)
_VALUE = re.compile(r"\[((?:\\.|[^\]\\])*)\]", re.DOTALL)
Properties = list[tuple[str, list[str]]]


def _main_lines(lines: Iterable[str], left_out: Counter[str]) -> Iterator[tuple[int, str | None]]:
    """(line, text up to the end of the first branch) of every game, None for one without an end."""
    text: list[str] = []
    depth, start, within, branched = 0, 1, False, False
    for number, line in enumerate(lines, start=1):
        begin = 0
        for match in _BRACKET.finditer(line):
            bracket = match[0]
            if within:
                within = bracket != "]"
            elif bracket == "(":
                if depth == 0:
                    text, begin, start, branched = [], match.start(), number, False
                left_out["variation"] += branched
                depth += 1
            elif depth and bracket == "[":
                within = True
            elif depth and bracket == ")":
                if not branched:
                    text.append(line[begin : match.start()])
                    branched = True
                depth -= 1
                if depth == 0:
                    yield start, "".join(text)
        if depth and not branched:
            text.append(line[begin:])
    if depth:
        yield start, None


def _elsewhere(properties: Properties, board: int) -> str:
    """Why a game is none from the usual start of this board, or ""."""
    geometry = Geometry(board)
    discs: dict[str, set[str]] = {"AB": set(), "AW": set(), "AE": set()}
    size = str(board)
    usual = True
    for name, values in properties:
        first, *rest = values[0].split() or [""]
        if name == "GM" and first.lower() not in ("2", "othello", "reversi"):
            return f"it is a game of another kind, GM[{first}]"
        if name == "SZ":
            size = first
        elif name == "BO":
            size = first
            usual = "".join(rest).upper() == _drawn(geometry)
        elif name == "PL":
            usual = usual and first.upper().startswith("B")
        elif name in discs:
            discs[name] |= {value.strip().upper() for value in values}
    if size != str(board):
        return f"it is of {size} x {size} squares; asked for was {geometry}"
    black, white = (
        {geometry.labels[s] for s in squares}
        for squares in (geometry.start_black, geometry.start_white)
    )
    if any(discs.values()):
        usual = usual and discs == {"AB": black, "AW": white, "AE": set()}
    return "" if usual else ELSEWHERE


def _drawn(geometry: Geometry) -> str:
    """The start as GGF draws it, and the side that begins."""
    signs = dict.fromkeys(geometry.start_black, "*") | dict.fromkeys(geometry.start_white, "O")
    return "".join(signs.get(square, "-") for square in range(geometry.n_squares)) + "*"


def _moves(properties: Properties) -> Iterator[str]:
    """Every move, "" for a pass; also for one that is left out, so that a side moves twice."""
    turn = "B"
    for name, values in properties:
        if name in ("B", "W"):
            if name != turn:
                yield ""
            yield values[0].split("/")[0].strip()
            turn = "W" if name == "B" else "B"


def read_trees(
    lines: Iterable[str], board: int, left_out: Counter[str]
) -> Iterator[RecordedGame | BadGame]:
    """The games of a file's lines; ``left_out`` counts comments and variations."""
    for line, text in _main_lines(lines, left_out):
        place = f"line {line}"
        if text is None:
            yield BadGame(place, "its brackets do not close")
            continue
        properties = [(name, _VALUE.findall(values)) for name, values in _PROPERTY.findall(text)]
        left_out["comment"] += sum(name == "C" for name, _ in properties)
        if fault := _elsewhere(properties, board):
            yield BadGame(place, fault)
        else:
            yield game_of_words(place, _moves(properties), board)
