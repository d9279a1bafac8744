"""Interventions that are given: games, and a disc to be turned behind each one's last move.

A file holds a case a line: moves, a square, and the colour of its disc before it is turned, as in
``f5d6c3 d5 white``; blank lines and those that begin with ``#`` are skipped.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from extracted_rules.errors import UserError
from extracted_rules.kinds import HEAD, kind_of
from extracted_rules.othello.game import BLACK, WHITE, IllegalGameError, replay
from extracted_rules.othello.geometry import STANDARD, Geometry
from extracted_rules.othello.notation import parse_transcript, tokens_from_squares

COLOURS = {"black": BLACK, "white": WHITE}
_COLOUR_NAMES = {sign: name for name, sign in COLOURS.items()} | {0: "empty"}


class InterventionsError(UserError):
    """A file of cases that cannot be used; the message is one sentence with file and line."""


@dataclass(frozen=True)
class Interventions:
    """tokens: uint8 [cases, max_plies], legal games that go on; squares: int64 [cases], where the
    discs lie that are turned. name: how to call them."""

    name: str
    tokens: Tensor
    squares: Tensor

    @property
    def fingerprint(self) -> str:
        return sha256(self.tokens.numpy().tobytes() + self.squares.numpy().tobytes()).hexdigest()


def read_interventions(path: Path, board: int = STANDARD) -> Interventions:
    """The cases of a file. Raises InterventionsError for the first that is none, or illegal, or
    whose disc has another colour."""
    cases = {number: _case(path, number, words, board) for number, words in _lines(path)}
    if not cases:
        raise InterventionsError(f"{path}: no case in this file")
    tokens = torch.cat([tokens for tokens, _, _ in cases.values()])
    faults: dict[int, IllegalGameError] = {}
    played = replay(tokens, faults, board=board)
    lengths = (tokens != 0).sum(-1).tolist()
    for row, (number, (_, square, colour)) in enumerate(cases.items()):
        disc = int(played.boards[row, lengths[row], square])
        reason = ""
        if row in faults:
            reason = f"ply {faults[row].ply}: {faults[row].reason}"
        elif disc != colour:
            label = played.geometry.labels[square]
            reason = f"{label} is {_COLOUR_NAMES[disc]} behind these moves, not "
            reason += _COLOUR_NAMES[colour]
        elif played.movers[row, lengths[row]] == 0:
            reason = "the game is over behind these moves"
        if reason:
            raise InterventionsError(f"{path}, line {number}: {reason}")
    squares = torch.tensor([square for _, square, _ in cases.values()])
    return Interventions(path.name, tokens, squares)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The numbers and words of the lines that hold a case."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InterventionsError(f"{path}: {error.strerror}") from None
    if kind := kind_of(data[:HEAD]):
        raise InterventionsError(f"{path}: this is no file of cases; it is {kind}")
    lines = data.decode("utf-8-sig", errors="replace").splitlines()
    words = [(number, line.split()) for number, line in enumerate(lines, start=1)]
    return [(number, case) for number, case in words if case and not case[0].startswith("#")]


def _case(path: Path, number: int, words: list[str], board: int) -> tuple[Tensor, int, int]:
    """(tokens uint8 [1, max_plies], square, colour) of a line."""
    where = f"{path}, line {number}"
    if len(words) != 3 or words[2].lower() not in COLOURS:
        raise InterventionsError(
            f"{where}: a case is moves, a square and its colour, as in 'f5d6c3 d5 white'"
        )
    try:
        moves = parse_transcript(words[0], board)
        square = Geometry(board).square_of(words[1])
        tokens = tokens_from_squares([moves], board)
    except UserError as error:
        raise InterventionsError(f"{where}: {error}") from None
    if len(moves) < 2:
        raise InterventionsError(f"{where}: a disc is turned behind two moves or more")
    return tokens, square, COLOURS[words[2].lower()]
