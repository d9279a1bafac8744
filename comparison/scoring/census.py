"""A model at every position of every game, counted: no sample, so no intervals.

A position is what a model sees: the moves so far. Games that begin alike share positions, and each
is counted once.
"""

from dataclasses import dataclass, field
from math import inf

import torch
from torch import Tensor

from comparison.scoring.bench import Model, Progress, board_of, predict
from comparison.scoring.measures import Scores, score
from extracted_rules.benches.positions import batches, legal_tokens, passes_so_far
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.all_games import all_games, seen_first
from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.notation import format_transcript

#: Of the wrong positions, the shortest ones are named, so many of each kind.
SHOWN = 3


def kinds(played: Replay, positions: int) -> dict[str, Tensor]:
    """bool [B, positions] by kind: where there is a move to predict."""
    here = played.legal[:, 1 : positions + 1].any(-1)
    due, behind = played.passes[:, 1 : positions + 1], passes_so_far(played, positions)
    return {
        "all": here,
        "pass-free": here & ~due & (behind == 0),
        "at a first pass": here & due & (behind == 0),
        "behind one pass": here & (behind == 1),
        "behind several": here & (behind > 1),
    }


@dataclass
class Count:
    """What a model does at some positions: how many there are, with an illegal likeliest move, with
    a wrong set. unlikeliest: the least probability of any legal move; likeliest: the greatest of
    any illegal one. Between them lies every threshold with which no set is wrong."""

    positions: int = 0
    illegal: int = 0
    wrong_sets: int = 0
    unlikeliest: float = inf
    likeliest: float = 0.0

    def add(self, other: "Count") -> None:
        self.positions += other.positions
        self.illegal += other.illegal
        self.wrong_sets += other.wrong_sets
        self.unlikeliest = min(self.unlikeliest, other.unlikeliest)
        self.likeliest = max(self.likeliest, other.likeliest)

    def cells(self) -> list[str]:
        numbers = (self.positions, self.illegal, self.wrong_sets)
        window = (self.unlikeliest, self.likeliest) if self.positions else ()
        return [*(f"{n:,}" for n in numbers), *(f"{100 * p:.3g}" for p in window)]


HEADINGS = (
    "positions",
    "illegal choices",
    "wrong sets",
    "unlikeliest legal move, %",
    "likeliest illegal move, %",
)


@dataclass(frozen=True)
class Wrong:
    """A position with a wrong set or an illegal choice: its moves, and squares by label: the
    likeliest one, legal ones that are not predicted, predicted ones that are not legal."""

    moves: str
    likeliest: str
    missed: str
    added: str


@dataclass
class Census:
    """Counts of a model by kind of position and by moves seen; the shortest wrong positions of each
    kind. ``part``: one game in so many was run through."""

    model: str
    tau: float
    part: int = 1
    games: int = 0
    kinds: dict[str, Count] = field(default_factory=dict)
    seen: dict[int, Count] = field(default_factory=dict)
    wrong: dict[str, list[Wrong]] = field(default_factory=dict)

    def tables(self) -> dict[str, Table]:
        which = "all games" if self.part == 1 else f"one game in {self.part}"
        title = f"{self.model} on {which} of 4 x 4: {self.games:,}, tau {self.tau:.2g}"
        kinds = [[name, *count.cells()] for name, count in self.kinds.items()]
        seen = [[str(ply), *count.cells()] for ply, count in sorted(self.seen.items())]
        wrong = [[kind, *vars(one).values()] for kind, ones in self.wrong.items() for one in ones]
        says = "Where the unlikeliest legal move is likelier than the likeliest illegal one, a "
        says += "threshold between them makes no set wrong."
        named = ("position", "moves", "likeliest", "legal, not predicted", "predicted, not legal")
        tables = {
            "census": Table(title, ("positions that are",), HEADINGS, kinds, says=says),
            "seen": Table("By moves seen", ("moves",), HEADINGS, seen),
        }
        if wrong:
            tables["wrong"] = Table("The shortest wrong ones", named, (), wrong)
        return tables


@torch.inference_mode()
def take_census(
    name: str,
    model: Model,
    tau: float,
    progress: Progress = lambda _: None,
    *,
    part: int = 1,
    device: torch.device | str = "cpu",
) -> Census:
    """Run a model on a device through every game of its board, or one in ``part``.

    Raises BoardError for a board with too many.
    """
    board = board_of(model)
    games = all_games(board)[::part]
    counted = seen_first(games)
    found = Census(name, tau, part, len(games))
    for tokens, new in zip(batches([games]), batches([counted]), strict=True):
        played = replay(tokens.to(device), board=board)
        _add(found, predict(model, played.tokens), played, new[:, :-1].to(device))
        progress(len(tokens))
    return found


def _add(found: Census, logits: Tensor, played: Replay, new: Tensor) -> None:
    """Count the new positions ([B, T] bool) of some games."""
    scores = score(logits, played, found.tau)
    legal = legal_tokens(played, logits.shape[1])
    p = logits[..., 1:].double().softmax(-1)
    least = p.masked_fill(~legal, inf).amin(-1)
    most = p.masked_fill(legal, 0.0).amax(-1)

    def count(here: Tensor) -> Count:
        if not bool(here.any()):
            return Count()
        wrong, sets = (int((here & x).sum()) for x in (scores.wrong, scores.set_wrong))
        window = float(least[here].min()), float(most[here].max())
        return Count(int(here.sum()), wrong, sets, *window)

    moves = torch.arange(1, logits.shape[1] + 1, device=new.device)
    for kind, mask in kinds(played, logits.shape[1]).items():
        here = mask & new
        found.kinds.setdefault(kind, Count()).add(count(here))
        if kind == "all":
            for seen in moves.tolist():
                found.seen.setdefault(seen, Count()).add(count(here & (moves == seen)))
            continue
        errs = here & (scores.wrong | scores.set_wrong)
        shortest = sorted(errs.nonzero().tolist(), key=lambda at: at[1])[:SHOWN]
        named = [_name(scores, legal, played, *at) for at in shortest]
        known = found.wrong.setdefault(kind, [])
        found.wrong[kind] = sorted([*known, *named], key=lambda one: len(one.moves))[:SHOWN]


def _name(scores: Scores, legal: Tensor, played: Replay, game: int, column: int) -> Wrong:
    """A wrong position in words."""
    board = played.geometry
    moves = board.square_of_token[played.tokens[game, : column + 1].cpu().long()]
    missed, added = (
        ", ".join(board.labels[board.playable[k]] for k in which[game, column].nonzero().flatten())
        for which in (legal & ~scores.predicted, scores.predicted & ~legal)
    )
    top = board.labels[int(scores.top[game, column])]
    return Wrong(format_transcript(moves.tolist(), board.size), top, missed, added)
