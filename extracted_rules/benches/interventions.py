"""Interventions: one disc is turned behind a game's last move, chosen by chance or given in a file.

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
from extracted_rules.othello.game import (
    BLACK,
    WHITE,
    IllegalGameError,
    Replay,
    legal_moves,
    pack,
    replay,
    unpack,
)
from extracted_rules.othello.geometry import STANDARD, Geometry
from extracted_rules.othello.notation import parse_transcript, tokens_from_squares

COLOURS = {"black": BLACK, "white": WHITE}
_COLOUR_NAMES = {sign: name for name, sign in COLOURS.items()} | {0: "empty"}


@dataclass(frozen=True)
class Turned:
    """A disc that is turned at the last move of some games.

    row, last: int64 [B], 0, 1, ... and the position of the last move; square: int64 [B]; legal:
    bool [B, moves] by token - 1, on the board with the disc turned; there: bool [B], games that go
    on, in which there is a disc to turn.
    """

    row: Tensor
    last: Tensor
    square: Tensor
    legal: Tensor
    there: Tensor


def turn(played: Replay, games: Tensor, square: Tensor | None = None) -> Turned:
    """What a disc changes that is turned in games uint8 [B, T], on the squares int64 [B]; without
    those, one of the discs that change the legal moves and leave some, but the last that was
    placed, is chosen by chance.
    """
    device, board = games.device, played.geometry
    positions = min(games.shape[1], board.context)
    last = ((games != 0).sum(-1) - 1).clamp(min=0, max=positions - 1)
    row = torch.arange(len(games), device=device)
    discs, mover = played.boards[row, last + 1], played.movers[row, last + 1]
    bits = pack(torch.eye(board.n_squares, dtype=torch.bool, device=device))
    mine, theirs = (pack(discs == side[:, None])[:, None] for side in (mover, -mover))
    # [B, squares turned, squares]
    legal = unpack(legal_moves(mine ^ bits, theirs ^ bits, board.size), board.size)
    squares = board.square_of_token.to(device)
    fits = (discs != 0) & legal.any(-1)
    if square is None:
        fits &= (legal != played.legal[row, last + 1][:, None]).any(-1)
        fits[row, squares[games[row, last].long()].clamp(max=board.n_squares - 1)] = False
        # The same game always gets the same square, whatever games stand beside it.
        mixed = (games.long() * torch.arange(1, games.shape[1] + 1, device=device)).sum(-1)
        spread = torch.arange(board.n_squares, device=device) * 104729
        chance = (mixed[:, None] * 7919 + spread) % 10007
        square = (chance * fits - (~fits).long()).argmax(-1)
    there = fits[row, square] & (mover != 0) & (last > 0)
    return Turned(row, last, square, legal[row, square][:, squares[1:]], there)


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
