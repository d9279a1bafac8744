"""Games as text in whatever dress: transcripts, and PGN; both are read by the one tokenizer.

A transcript is a game a line: ``f5d6c3``, ``1. F5 d6 2. C3``, ``f5, d6, c3 12-52 # lost``. From the
first tag on (``[Event "..."]``) a file is PGN: a game reaches to its result or to the next tags.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from extracted_rules.othello.geometry import Geometry, NotationError


@dataclass(frozen=True)
class BadGame:
    """A game that was read but cannot be used. ``place`` is such as ``"line 12, game 3"``."""

    place: str
    reason: str


@dataclass(frozen=True)
class RecordedGame:
    """The squares of one game in the order played, and where it stands in its file.

    passes: for each pass that is written out, the ply (from 1) of the move that follows it.
    """

    place: str
    squares: list[int] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)


def _tokenizer(semicolon: str) -> re.Pattern[str]:
    """Of alternatives that match at one place the first counts: two dashes are no separators, and a
    score is not two numbers."""
    return re.compile(
        rf"""
          (?P<moves> (?:[a-h][1-8])+ )
        | (?P<pass> --|@@|pass|pa|ps )
        | (?P<result> 1/2-1/2|½-½|(?<!\w)\d{{1,4}}-\d{{1,4}}(?!\w)|\* )
        | (?P<comment> \{{[^}}]*\}}|\#[^\n]*|{semicolon} )
        | (?P<dress> [\s,:|/=+.–—]+|[-;] | ^%[^\n]* | [!?]+|\$\d{{1,3}}
                     | \d{{1,4}}[.)]|(?<!\w)\d{{1,9}}(?!\w) )
        | (?P<opens> \( )
        | (?P<closes> \) )
        | (?P<other> [^\W\d_]\d{{1,9}}|\w{{1,20}}|. )
        """,
        re.VERBOSE | re.IGNORECASE | re.MULTILINE | re.DOTALL,
    )


#: In PGN a semicolon opens a comment; elsewhere it stands between moves.
_TRANSCRIPT, _PGN = _tokenizer(r"\#[^\n]*"), _tokenizer(r";[^\n]*")

Token = tuple[str, str, int]


def _main_line(tokenizer: re.Pattern[str], text: str, left_out: Counter[str]) -> Iterator[Token]:
    """(kind, text, place) of moves, passes, results and what is none of these, and of the bracket
    of a variation that never ends; ``left_out`` counts comments, and variations with moves."""
    opened: list[int] = []
    empty = True
    for match in tokenizer.finditer(text):
        kind, said = str(match.lastgroup), match[0]
        if kind == "comment":
            left_out["comment"] += 1
        elif kind == "opens":
            opened.append(match.start())
            empty = True
        elif kind == "closes" and opened:
            opened.pop()
        elif not opened and kind != "dress":
            yield kind, said, match.start()
        elif kind == "moves" and empty:
            left_out["variation"] += 1
            empty = False
    if opened:
        yield "other", "(", opened[0]


def _game(place: str, tokens: Iterable[Token], geometry: Geometry) -> RecordedGame | BadGame:
    game = RecordedGame(place)
    try:
        for kind, text, _ in tokens:
            if kind == "moves":
                for start in range(0, len(text), 2):
                    game.squares.append(geometry.square_of(text[start : start + 2]))
            elif kind == "pass":
                game.passes.append(len(game.squares) + 1)
            elif text in "{()":
                raise NotationError(f"{text!r} lacks its other half")
            else:
                geometry.square_of(text)
    except NotationError as error:
        return BadGame(place, f"ply {len(game.squares) + 1}: {error}")
    return game


def game_of_words(place: str, words: Iterable[str], board: int) -> RecordedGame | BadGame:
    """The game of moves that stand apart, one a word; a word of nothing is a pass."""
    tokens = [token for word in words for token in _main_line(_TRANSCRIPT, word or "--", Counter())]
    return _game(place, tokens, Geometry(board))


def games_of_text(
    text: str, board: int, left_out: Counter[str], line: int = 1, *, pgn: bool = False
) -> Iterator[RecordedGame | BadGame]:
    """The games of a text that begins in line ``line`` of its file, each up to its result.

    A text without moves is a game without any if it has a result, else none.
    """
    tokens: list[Token] = []
    games = results = 0

    def game() -> RecordedGame | BadGame:
        at = text.count("\n", 0, tokens[0][2]) if tokens else 0
        return _game(f"line {line + at}", tokens, Geometry(board))

    for token in _main_line(_PGN if pgn else _TRANSCRIPT, text, left_out):
        if token[0] != "result":
            tokens.append(token)
            continue
        results += 1
        if tokens:
            yield game()
            games, tokens = games + 1, []
    if tokens or (results and not games):
        yield game()


_TAGS = re.compile(r'\s*\[\s*\w+\s+".*"\s*\]')
_POSITION_TAG = re.compile(r"\[\s*FEN\b", re.IGNORECASE)
ELSEWHERE = "it starts from another position; games from the usual start alone are read"


def read_lines(
    lines: Iterable[str], board: int, left_out: Counter[str]
) -> Iterator[RecordedGame | BadGame]:
    """The games of a file's lines: of each line by itself, and from the first tag on of all that
    stands between tags. ``left_out`` counts comments and variations."""
    section: list[str] = []  # behind the tags
    start, tagged, elsewhere = 1, False, False

    def games() -> Iterator[RecordedGame | BadGame]:
        if elsewhere:
            yield BadGame(f"line {start}", ELSEWHERE)
        else:
            yield from games_of_text("".join(section), board, left_out, start, pgn=True)

    for number, line in enumerate(lines, start=1):
        if tags := _TAGS.match(line):
            if section:
                yield from games()
                section, elsewhere = [], False
            tagged = True
            elsewhere = elsewhere or _POSITION_TAG.search(tags[0]) is not None
            line = line[tags.end() :]
        if not tagged:
            yield from games_of_text(line, board, left_out, number)
        elif section or line.strip():
            start = start if section else number
            section.append(line)
    if section or elsewhere:
        yield from games()
