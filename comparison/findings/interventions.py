"""Findings about interventions: a disc is turned in the decoded board; does its answer follow?"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from comparison.findings.boards import UNREAD
from comparison.findings.definition import LI, NANDA, Finding, Found, Line, Lines, Measure, Value
from comparison.findings.studied import Studied
from comparison.properties.beliefs import Responds
from comparison.properties.subjects import Subject
from comparison.scoring.bench import FORWARD_GAMES
from extracted_rules.benches.intervals import Estimate, Ratio
from extracted_rules.othello.game import (
    Replay,
    flipped_by,
    legal_moves,
    replay,
    stream_seed,
    unpack,
)
from extracted_rules.othello.notation import CONTEXT, MAX_PLIES, N_SQUARES, PLAYABLE

#: Cases of the intervention benchmark for each game of a sample, and rollouts for each.
CASES, ROLLOUTS = 5, 0.3
#: Moves of a rollout, and the moves played before it: enough for a board, and room for the rollout.
MOVES, FIRST_CUT, LAST_CUT = 10, 10, 44
_BIT = torch.ones((), dtype=torch.int64) << torch.arange(N_SQUARES)


#: Measures of :class:`Responds`, and their nulls: the answers without the edit, against the same.
RESPONDS = {
    "wrong squares": "wrong moves a case",
    "wrong, likeliest n": "wrong among the likeliest n, n as many as legal",
}
NULLS = {
    "wrong moves a case": "wrong moves a case without the edit (null)",
    "wrong among the likeliest n, n as many as legal": "the same without the edit (null)",
}


def benchmark(studied: Studied) -> Found:
    """One disc is turned in the decoded board; is the predicted set the edited board's?

    Cases, five times as many as games, are the property ``belief-responds``'s: a random game up to
    a random move, and a disc chosen by chance among those that change the legal moves. The null is
    the answer without the edit against the legal set of the edited board. "Wrong squares" are those
    of 60 that the predicted set (likelier than tau) has wrong; "likeliest n" is Li et al.'s count:
    the set is the n likeliest, n being the number of legal moves. "Against the true board" is the
    edited answer against the board as it is, and its null what the model has wrong of that anyway.
    "Stay legal" is the share of the true board's legal moves that the edit leaves legal.
    """
    if studied.reader is None:
        return Found(note=UNREAD)
    subject = Subject(studied.model, studied.tau, studied.device, studied.reader)
    asked = Responds()
    games = studied.games_for("interventions", CASES * studied.games)
    cases = asked.cases(games, studied.seed)[:, 0]
    # Neighbours of like length, so that no batch runs far beyond its games.
    cases = cases[(cases != 0).sum(-1).argsort(stable=True)]
    ratios: dict[str, Ratio] = {}

    def add(name: str, x: Tensor, y: Tensor) -> None:
        ratios.setdefault(name, Ratio()).add(x, y)

    for part in torch.split(cases, FORWARD_GAMES):
        moves = part[:, : min(int((part != 0).sum(-1).max()), CONTEXT)]
        view = subject.view(moves)
        turned, edited = asked.answered(subject, view, moves)
        verdicts = asked.verdicts(subject, view, turned, edited)
        add("set is right", (verdicts.applies & ~verdicts.broken).sum(-1), verdicts.applies.sum(-1))
        for name, (x, y) in verdicts.also.items():
            add(name, x.double().sum(-1), y.double().sum(-1))
        at, there = (turned.row, turned.last), turned.there
        truth = view.legal[at]
        wrong = ((subject.log_odds(edited) > 0) != truth).sum(-1)
        add("against the true board", wrong * there, there.long())
        add("own errors", view.wrong_set[at].sum(-1) * there, there.long())
        add("stay legal", (truth & turned.legal).sum(-1) * there, truth.sum(-1) * there)
    null = ratios["set is wrong without the edit (null)"].rate()
    without = Estimate(1 - null.value, 1 - null.high, 1 - null.low)
    values = {
        **{
            name: Value(ratios[of].mean(), ratios[NULLS[of]].mean())
            for name, of in RESPONDS.items()
        },
        "set is right": Value(ratios["set is right"].rate(), without),
        "against the true board": Value(
            ratios["against the true board"].mean(), ratios["own errors"].mean()
        ),
        "stay legal": Value(ratios["stay legal"].share()),
    }
    return Found(values, f"{int(ratios['set is right'].y):,} cases")


# --------------------------------------------------------------------------- rollouts


@dataclass
class World:
    """Boards on which some games are played on. board: int8 [B, 64], +1 black; mover: int8 [B], the
    side that really moves, 0 where none can."""

    board: Tensor
    mover: Tensor

    def _bits(self, board: Tensor, side: Tensor) -> Tensor:
        return ((board == side[:, None]) * _BIT.to(board.device)).sum(-1)

    def legal(self, board: Tensor | None = None) -> Tensor:
        """bool [B, 64]: the mover's legal squares, here or on another board."""
        board = self.board if board is None else board
        mine, theirs = (self._bits(board, side) for side in (self.mover, -self.mover))
        return unpack(legal_moves(mine, theirs)) & (self.mover != 0)[:, None]

    def play(self, square: Tensor) -> "World":
        """After the mover's legal moves, int64 [B] squares; passes are made at once."""
        mine, theirs = (self._bits(self.board, side) for side in (self.mover, -self.mover))
        move = _BIT.to(square.device)[square]
        turned = unpack(flipped_by(move, mine, theirs) | move)
        after = World(torch.where(turned, self.mover[:, None], self.board), -self.mover)
        stuck = ~after.legal().any(-1)
        after.mover = torch.where(stuck, -after.mover, after.mover)
        over = ~after.legal().any(-1)
        after.mover = after.mover.masked_fill(over, 0)
        return after


@dataclass
class Rollout:
    """What came of some rollouts, by case and step [B, MOVES]. answered: the answers that count, up
    to the first illegal one. legal: the likeliest move is legal on the edited board. differing,
    right: squares that are legal on one of the two boards, edited or not, and those of them that
    the predicted set has as on the edited board."""

    answered: Tensor
    legal: Tensor
    differing: Tensor
    right: Tensor


#: Where the disc is turned: at every position for as long as it lies there unturned, at the
#: positions up to the edit alone, nowhere.
EDITS = ("kept", "let go", "none")


@torch.inference_mode()
def roll_out(studied: Studied, games: Tensor, square: Tensor, played: Replay, edit: str) -> Rollout:
    """Let a model play on with a disc turned in its decoded board, as EDITS has it.

    games: uint8 [B, T] up to the move behind which the disc on ``square``, int64 [B], is turned.
    The model's likeliest move is played on the edited board until one is illegal there.
    """
    reader = studied.reader
    assert reader is not None
    device, count = games.device, len(games)
    row, length = torch.arange(count, device=device), (games != 0).sum(-1)
    tokens = torch.nn.functional.pad(games, (0, MAX_PLIES - games.shape[1])).clone()
    boards, movers = played.boards.clone(), played.movers.clone()
    own = boards[row, length, square]  # the colour that the disc truly has
    start = boards[row, length].clone()
    start[row, square] = -own
    world = World(start, movers[row, length])
    subject = Subject(studied.model, studied.tau, device, None)
    column = torch.arange(CONTEXT, device=device)
    turn = column < length[:, None]
    playable = torch.tensor(PLAYABLE, device=device)
    alive = torch.ones(count, dtype=torch.bool, device=device)
    found: dict[str, list[Tensor]] = {name: [] for name in Rollout.__dataclass_fields__}
    for step in range(MOVES):
        at = length + step - 1
        moves = tokens[:, : int(at.max()) + 1]
        where = turn if edit != "none" else torch.zeros_like(turn)
        known = replace(played, tokens=tokens, boards=boards, movers=movers)
        logits = reader.edited(moves, square, known, where[:, : moves.shape[1]])[row, at]
        log_p, _ = subject.answers(logits)
        legal = world.legal()[:, playable]
        # The same board but for the disc; where it has been turned since, they are the same.
        back = world.board.clone()
        back[row, square] = torch.where(world.board[row, square] != 0, own, 0).to(back)
        differing = (legal != world.legal(back)[:, playable]) & alive[:, None]
        top = log_p.argmax(-1)
        asked = alive & legal.any(-1)
        plays = asked & legal[row, top]
        found["answered"].append(asked)
        found["legal"].append(plays)
        found["differing"].append((differing & asked[:, None]).sum(-1))
        held = (subject.log_odds(log_p) > 0) == legal
        found["right"].append((differing & held & asked[:, None]).sum(-1))
        alive = plays
        if not bool(alive.any()):
            break
        # Those that are out play on with any legal move, or stand still; nothing of it counts.
        chosen = torch.where(plays, top, legal.float().argmax(-1))
        after = world.play(playable[chosen])
        moved = legal.any(-1)
        board = torch.where(moved[:, None], after.board, world.board)
        world = World(board, torch.where(moved, after.mover, world.mover))
        place = (at + 1).clamp(max=MAX_PLIES - 1)
        tokens[row[moved], place[moved]] = (chosen[moved] + 1).to(tokens)
        # What is decoded later is turned away from the disc's true colour, while it lies there so.
        boards[row, at + 2] = world.board
        boards[row, at + 2, square] = own
        movers[row, at + 2] = world.mover
        if edit == "kept":
            turn[row, place.clamp(max=CONTEXT - 1)] = world.board[row, square] == -own
    steps = {
        name: torch.stack(parts + [torch.zeros_like(parts[0])] * (MOVES - len(parts)), 1)
        for name, parts in found.items()
    }
    return Rollout(**steps)


def _starts(studied: Studied) -> Iterator[tuple[Tensor, Tensor, Replay]]:
    """(games uint8 [B, T] cut at random, square int64 [B] of the disc to be turned, the games
    played), a batch of like lengths at a time."""
    games = studied.games_for("rollouts", int(ROLLOUTS * studied.games))
    generator = torch.Generator().manual_seed(stream_seed("findings: cuts", studied.seed))
    kept = torch.randint(FIRST_CUT, LAST_CUT + 1, (len(games),), generator=generator)
    kept = kept.to(games.device)
    subject = Subject(studied.model, studied.tau, studied.device, None)
    order = kept.argsort(stable=True)
    for part in torch.split(order, FORWARD_GAMES):
        column = torch.arange(int(kept[part].max()), device=games.device)
        cut = games[part][:, : len(column)].masked_fill(column >= kept[part][:, None], 0)
        turned = Responds.choose(subject.view(cut), cut)
        kept_games = cut[turned.there]
        yield kept_games, turned.square[turned.there], replay(kept_games)


def goes_on(studied: Studied) -> Found:
    """Ten moves of rollout after an intervention.

    A random game is cut behind 10 to 44 moves and a disc is chosen as in the benchmark. The model
    plays its likeliest move, which is made on the *edited* board, and so on for ten moves, or until
    a move is illegal there. *Kept*: the disc is turned at every position, at later ones for as long
    as it lies on the edited board as it was turned. *Let go*: it is turned at the positions up to
    the edit only, and later positions hold what they hold. The null plays on without any edit.

    "Moves legal": of the answers up to the first illegal one, those legal on the edited board. As
    nine of ten legal moves are the same on both boards, "squares that differ" is sharper: of the
    squares that are legal on the edited board and not on the same board with the disc turned back,
    or the other way around, the share that the predicted set has as on the edited board.
    """
    if studied.reader is None:
        return Found(note=UNREAD)
    runs: dict[str, list[Rollout]] = {edit: [] for edit in EDITS}
    for games, square, played in _starts(studied):
        for edit in EDITS:
            runs[edit].append(roll_out(studied, games, square, played, edit))
    values, lines, cases = {}, [], 0
    measured: dict[str, dict[str, Estimate]] = {}
    for edit, parts in runs.items():
        whole = Rollout(
            *(torch.cat([getattr(p, name) for p in parts]).cpu() for name in vars(parts[0]))
        )
        cases = len(whole.legal)
        measured[edit] = {
            "moves legal": Ratio.of(whole.legal.sum(1), whole.answered.sum(1)).rate(),
            "all ten legal": Ratio.of(*_through(whole)).rate(),
            "squares that differ": Ratio.of(whole.right.sum(1), whole.differing.sum(1)).share(),
        }
        steps = [Ratio.of(whole.right[:, n], whole.differing[:, n]).share() for n in range(MOVES)]
        y, low, high = (tuple(getattr(e, k) for e in steps) for k in ("value", "low", "high"))
        name = edit if edit != "none" else "no edit"
        x = tuple(float(n + 1) for n in range(MOVES))
        lines.append(Line(name, x, y, low, high, control=edit == "none"))
    for edit in EDITS[:-1]:
        for name, estimate in measured[edit].items():
            values[f"{edit}: {name}"] = Value(estimate, measured["none"][name])
    note = f"{cases} rollouts"
    if studied.layout:
        note += "; the disc is turned behind all readings but the last, so let go it is forgotten"
    picture = Lines("move of the rollout", "differing squares as on the edited board", tuple(lines))
    return Found(values, note, picture)


def _through(whole: Rollout) -> tuple[Tensor, Tensor]:
    """(rollouts that were legal to the end, all but those that the rules ended before)."""
    legal, answered = whole.legal.sum(1), whole.answered.sum(1)
    failed = answered > legal
    return (legal == MOVES).long(), ((legal == MOVES) | failed).long()


NULL = "no edit"
FINDINGS = (
    Finding(
        "interventions",
        "With one disc turned in the decoded board, the legal moves of the edited board are "
        "predicted.",
        f"{LI}; {NANDA}",
        (
            Measure("wrong squares", "", NULL),
            Measure("wrong, likeliest n", "0.12 (2.68)", NULL),
            Measure("set is right", "", NULL, True, 1),
            Measure("against the true board", "", "own errors"),
            Measure("stay legal", "", "", True, 1),
        ),
        benchmark,
    ),
    Finding(
        "rollouts",
        "Ten moves of rollout after an intervention.",
        f"{LI}; {NANDA}",
        tuple(
            Measure(f"{edit}: {name}", "", NULL, True, 1)
            for edit in EDITS[:-1]
            for name in ("moves legal", "all ten legal", "squares that differ")
        ),
        goes_on,
    ),
)
