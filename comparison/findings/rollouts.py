"""Rollouts: a model plays on, on boards on which a disc has been turned."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from comparison.findings.studied import Studied
from comparison.properties.subjects import Subject
from comparison.reading.board_reader import BoardReader
from comparison.scoring.bench import FORWARD_GAMES
from extracted_rules.benches.interventions import turn
from extracted_rules.benches.worlds import World
from extracted_rules.othello.game import Replay, replay, stream_seed
from extracted_rules.othello.geometry import Geometry

#: Rollouts for each game of a sample.
ROLLOUTS = 0.3
#: Where the disc is turned: at every position for as long as it lies there unturned, at the
#: positions up to the edit alone, nowhere.
EDITS = ("kept", "let go", "no edit")


def rollout_moves(geometry: Geometry) -> int:
    """The moves of a rollout: ten, but on small boards no more than a third of a game."""
    return min(10, geometry.max_plies // 3)


def cuts(geometry: Geometry) -> tuple[int, int]:
    """The fewest and the most moves played before a rollout: enough for a board, and so few that
    most games last to its end."""
    plies = geometry.max_plies
    return plies // 6, plies - rollout_moves(geometry) - plies // 10


class _Rolling:
    """Games that are played on from where a disc is turned, and what a model that is edited is to
    hold of them.

    own: int8 [B], the colour that the disc on ``square`` truly has. length: int64 [B], the moves
    made. turned: bool [B, context], at which positions the disc is turned.
    """

    def __init__(self, games: Tensor, square: Tensor, played: Replay) -> None:
        geometry = played.geometry
        self.row, self.square = torch.arange(len(games), device=games.device), square
        self.length = (games != 0).sum(-1)
        self.tokens = torch.nn.functional.pad(games, (0, geometry.max_plies - games.shape[1]))
        boards, movers = played.boards.clone(), played.movers.clone()
        self.played = replace(played, tokens=self.tokens, boards=boards, movers=movers)
        start = boards[self.row, self.length].clone()
        self.own = start[self.row, square]
        start[self.row, square] = -self.own
        self.world = World(geometry, start, movers[self.row, self.length])
        column = torch.arange(geometry.context, device=games.device)
        self.turned = column < self.length[:, None]

    def turned_back(self) -> Tensor:
        """int8 [B, squares]: the same boards but for the disc, which has its own colour; where it
        has got that since, they are the same."""
        board = self.world.board.clone()
        board[self.row, self.square] = self.own
        return board

    def logits(self, reader: BoardReader, edit: str) -> Tensor:
        """float32 [B, tokens]: a model's answers behind the latest moves."""
        tokens = self.tokens[:, : int(self.length.max())]
        where = self.turned[:, : tokens.shape[1]] & (edit != "no edit")
        return reader.edited(tokens, self.square, self.played, where)[self.row, self.length - 1]

    def play(self, move: Tensor, edit: str) -> None:
        """Make moves, int64 [B] by token - 1, where a side can move; others stand still."""
        moves = self.world.mover != 0
        self.tokens[self.row[moves], self.length[moves]] = (move[moves] + 1).to(self.tokens)
        self.world.play(move, moves)
        if edit == "kept":
            lies_turned = self.world.board[self.row, self.square] == -self.own
            self.turned[self.row, self.length] = lies_turned
        self.length = self.length + 1
        # What is decoded later is turned away from the disc's true colour, while it lies there so.
        self.played.boards[self.row, self.length] = self.turned_back()
        self.played.movers[self.row, self.length] = self.world.mover


@dataclass
class Rollout:
    """What came of some rollouts, by case and step [B, moves]. answered: the answers that count, up
    to the first illegal one. legal: the likeliest move is legal on the edited board. differing,
    right: squares that are legal on one of the two boards, edited or not, and those of them that
    the predicted set has as on the edited board."""

    answered: Tensor
    legal: Tensor
    differing: Tensor
    right: Tensor


@torch.inference_mode()
def roll_out(studied: Studied, games: Tensor, square: Tensor, played: Replay, edit: str) -> Rollout:
    """Let a model play on with a disc turned in its decoded board, as EDITS has it.

    games: uint8 [B, T] up to the move behind which the disc on ``square``, int64 [B], is turned.
    The model's likeliest move is played on the edited board until one is illegal there.
    """
    reader = studied.reader
    assert reader is not None
    subject = Subject(studied.model, studied.tau, games.device, None)
    rolling, moves = _Rolling(games, square, played), rollout_moves(played.geometry)
    alive = torch.ones(len(games), dtype=torch.bool, device=games.device)
    steps: list[tuple[Tensor, ...]] = []
    while len(steps) < moves and bool(alive.any()):
        log_p, _ = subject.answers(rolling.logits(reader, edit))
        legal, top = rolling.world.legal(), log_p.argmax(-1)
        asked = alive & legal.any(-1)
        alive = asked & legal[rolling.row, top]
        differing = (legal != rolling.world.legal(rolling.turned_back())) & asked[:, None]
        right = differing & ((subject.log_odds(log_p) > 0) == legal)
        steps.append((asked, alive, differing.sum(-1), right.sum(-1)))
        # Those that are out play on with any legal move; nothing of it counts.
        rolling.play(torch.where(alive, top, legal.float().argmax(-1)), edit)
    missing = moves - len(steps)
    stacked = (torch.stack(step, 1) for step in zip(*steps, strict=True))
    return Rollout(*(torch.nn.functional.pad(x, (0, missing)) for x in stacked))


def rollout_starts(studied: Studied) -> Iterator[tuple[Tensor, Tensor, Replay]]:
    """(games uint8 [B, T] cut at random, square int64 [B] of the disc to be turned, the games
    played), a batch of like lengths at a time."""
    board = studied.model.geometry
    games = studied.games_for("rollouts", int(ROLLOUTS * studied.games))
    generator = torch.Generator().manual_seed(stream_seed("findings: cuts", studied.seed))
    first, last = cuts(board)
    kept = torch.randint(first, last + 1, (len(games),), generator=generator).to(games.device)
    for part in torch.split(kept.argsort(stable=True), FORWARD_GAMES):
        column = torch.arange(int(kept[part].max()), device=games.device)
        cut = games[part][:, : len(column)].masked_fill(column >= kept[part][:, None], 0)
        turned = turn(replay(cut, board=board.size), cut)
        kept_games = cut[turned.there]
        yield kept_games, turned.square[turned.there], replay(kept_games, board=board.size)
