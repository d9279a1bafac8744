"""Games in every dress that files of games come in, drawn at random."""

import gzip
import struct
from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st
from torch import Tensor

from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.notation import squares_from_tokens

PASSES = ("--", "@@", "ps", "PA", "pass")
#: Of a comment: neither a brace, which would end it, nor what no file holds.
PROSE = st.text(st.sampled_from("aef15 .,;!?()[]\"'#%$é-*\n"), max_size=15)


@dataclass(frozen=True)
class Game:
    """tokens: uint8 [max_plies]. labels: of its moves, "" for each pass that was due."""

    board: int
    tokens: Tensor
    labels: tuple[str, ...]

    @property
    def squares(self) -> list[int]:
        return squares_from_tokens(self.tokens, self.board)


@cache
def _played(board: int) -> list[Game]:
    """Random games of a board, those with passes first."""
    tokens = next(random_games(300, 5, board=board, purpose="test"))
    passes = replay(tokens, board=board).passes
    games = []
    for row, passed in zip(tokens, passes, strict=True):
        labels: list[str] = []
        for ply, square in enumerate(squares_from_tokens(row, board)):
            labels += [""] * int(passed[ply])
            labels.append(Geometry(board).labels[square])
        games.append(Game(board, row, tuple(labels)))
    return sorted(games, key=lambda game: "" not in game.labels)


@st.composite
def games(draw: st.DrawFn, board: int) -> list[Game]:
    """One to three games, whole or broken off."""
    found = []
    for number in draw(st.lists(st.integers(0, 299), min_size=1, max_size=3)):
        game = _played(board)[number]
        labels = game.labels[: draw(st.integers(1, len(game.labels)))]
        tokens = game.tokens.clone()
        tokens[sum(label != "" for label in labels) :] = 0
        found.append(Game(board, tokens, labels))
    return found


def _cased(draw: st.DrawFn, labels: tuple[str, ...], passed: str) -> list[str]:
    """Labels in upper or lower case or by turns, ``passed`` for each pass; without those, if ""."""
    case = draw(st.sampled_from(["upper", "lower", "turns"]))
    said = [label or passed for label in labels]
    return [
        word.upper() if case == "upper" or (case == "turns" and n % 2) else word.lower()
        for n, word in enumerate(said)
        if word
    ]


@st.composite
def transcript(draw: st.DrawFn, game: Game) -> str:
    apart = draw(st.sampled_from(["", " ", ", ", ",", "-", " - ", "; ", "\t"]))
    passed = draw(st.sampled_from([p for p in ("", *PASSES) if "-" not in p or "-" not in apart]))
    number = draw(st.sampled_from(["", "{}. ", "{}.", "{}) ", "{} " if apart else ""]))
    words = _cased(draw, game.labels, passed)
    numbered = [
        number.format(n // 2 + 1) + word if n % 2 == 0 else word for n, word in enumerate(words)
    ]
    front = draw(st.sampled_from(["", "  ", "12-52 ", "7: "]))
    behind = [
        "",
        " ",
        " 12-52",
        " # e4, a comment (12)",
        " +12",
        ": 12",
        " (12-52)",
        " *",
        " 1/2-1/2",
    ]
    return front + apart.join(numbered) + draw(st.sampled_from(behind))


@st.composite
def pgn(draw: st.DrawFn, game: Game) -> str:
    """With tags, and with comments, variations and signs between the moves."""
    words = _cased(draw, game.labels, draw(st.sampled_from(("", *PASSES))))
    comment = PROSE.map("{{{}}}".format)
    variation = st.recursive(
        st.sampled_from(["f5 d6", "2. c3", "--", "zz", "{ends here)}"]),
        lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"({' '.join(parts)})"),
        max_leaves=4,
    ).map("({})".format)
    clock = st.sampled_from(["{[%clk 0:04:58]\n[%eval +2]}", "; to the end of (the line\n"])
    sign = st.sampled_from(["!", "?!", "$1", "$139", "\n", "\n% escaped { f5\n"])
    between = st.lists(comment | variation | clock | sign, max_size=2).map(" ".join)
    text = ""
    for n, word in enumerate(words):
        number = (
            f"{n // 2 + 1}." if n % 2 == 0 else draw(st.sampled_from(["", f"{n // 2 + 1}... "]))
        )
        text += f"{number}{word}{draw(between) if draw(st.integers(0, 9)) == 0 else ''}"
        text += draw(st.sampled_from([" ", "\n"]))
    tags = '[Event "Club [1]"]\n[White "a "b" {"] [Black "Bob"]\n\n'
    result = draw(st.sampled_from(["12-52", "1/2-1/2", "1-0", "*", ""]))
    return f"{tags}{text}{result}"


def _sides(game: Game) -> list[tuple[str, str]]:
    return [("BW"[n % 2], label) for n, label in enumerate(game.labels)]


@st.composite
def sgf(draw: st.DrawFn, game: Game) -> str:
    """With variations of any move, and passes written or left to the colours."""
    passed = draw(st.sampled_from(["", "--", "pass"]))
    written = draw(st.booleans())
    text, ends = f"(;FF[4]GM[2]SZ[{game.board}]PB[a\\]n(n]", ")"
    if draw(st.booleans()):
        text += "AB[e4][d5]AW[d4][e5]PL[B]" if game.board == 8 else ""
    for side, label in _sides(game):
        if not label and not written:
            continue
        if draw(st.integers(0, 9)) == 0:
            text, ends = text + "(", f")\n(;{side}[a1];W[zz](;B[]))" + ends
        text += f";{side}[{label.lower() or passed}]" + draw(
            st.sampled_from(["", "\n", "C[(; \\]]"])
        )
    return text + ends


@st.composite
def ggf(draw: st.DrawFn, game: Game) -> str:
    """On a line each, with the start drawn, and evaluations and times behind the moves."""
    written, n = draw(st.booleans()), game.board
    start = Geometry(n)
    squares = "".join(
        "*" if s in start.start_black else "O" if s in start.start_white else "-"
        for s in range(n * n)
    )
    behind = draw(st.sampled_from(["", "//1.25", "/-3.50/12", "/+1"]))
    moves = "".join(
        f"{side}[{label or 'PA'}{behind}]" for side, label in _sides(game) if label or written
    )
    front = draw(st.sampled_from(["", "1 "]))
    return f"{front}(;GM[Othello]PC[x]PB[a(b]RE[-40]TY[{n}]BO[{n} {squares} *]{moves};)"


def wthor_bytes(games: list[list[int]], board: int = 8) -> bytes:
    """A WTHOR file of some games of squares."""
    header = struct.pack("<4BIHH4B", 20, 9, 1, 1, len(games), 0, 2009, board, 0, 0, 0)
    moves = [[10 * (s // board + 1) + s % board + 1 for s in game] for game in games]
    return header + b"".join(bytes(8) + bytes(m) + bytes(60 - len(m)) for m in moves)


DRESSES = {"transcript": transcript, "pgn": pgn, "sgf": sgf, "ggf": ggf}


@st.composite
def files(draw: st.DrawFn, board: int) -> tuple[list[Game], bytes]:
    """Games, and a file that holds them in one of the formats, encoded and perhaps compressed."""
    drawn = draw(games(board))
    form = draw(st.sampled_from([*DRESSES, "wthor"]))
    if form == "wthor":
        data = wthor_bytes([game.squares for game in drawn], board)
    else:
        text = "\n".join(draw(DRESSES[form](game)) for game in drawn) + "\n"
        text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
        encodings = ["utf-8", "utf-8-sig", "utf-16"]
        unmarked = ["utf-16-le", "utf-16-be"] * text.isascii()
        data = text.encode(draw(st.sampled_from(encodings + unmarked)))
    return drawn, gzip.compress(data, 1) if draw(st.booleans()) else data
