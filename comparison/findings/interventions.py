"""Findings about interventions: a disc is turned in the decoded board; does its answer follow?"""

import torch
from torch import Tensor

from comparison.findings.boards import UNREAD
from comparison.findings.definition import (
    LI,
    NANDA,
    Finding,
    Found,
    Line,
    Lines,
    Measure,
    Value,
    finding,
)
from comparison.findings.rollouts import EDITS, Rollout, roll_out, rollout_starts
from comparison.findings.studied import Studied
from comparison.properties.beliefs import Responds
from comparison.properties.subjects import Subject
from comparison.scoring.bench import FORWARD_GAMES
from extracted_rules.benches.intervals import Estimate, Ratio
from extracted_rules.benches.interventions import Interventions

#: Cases of the intervention benchmark for each game of a sample.
CASES = 5
#: What a rollout is compared with.
NULL = EDITS[-1]

TURNED = (
    "With one disc turned in the decoded board, the legal moves of the edited board are predicted"
)
MEASURES = (
    Measure("wrong squares", "", NULL),
    Measure("wrong, likeliest n", "0.12 (2.68)", NULL),
    Measure("set is right", "", NULL, True, 1),
    Measure("against the true board", "", "own errors"),
    Measure("stay legal", "", "", True, 1),
)

#: Measures of :class:`Responds`, and their nulls: the answers without the edit, against the same.
RESPONDS = {
    "wrong squares": "wrong moves a case",
    "wrong, likeliest n": "wrong among the likeliest n, n as many as legal",
}
NULLS = {
    "wrong moves a case": "wrong moves a case without the edit (null)",
    "wrong among the likeliest n, n as many as legal": "the same without the edit (null)",
}


@finding(
    "interventions",
    f"{TURNED}.",
    f"{LI}; {NANDA}",
    *MEASURES,
)
def benchmark(studied: Studied) -> Found:
    """One disc is turned in the decoded board; is the predicted set the edited board's?

    Cases, five times as many as games, are the property ``belief-responds``'s: a random game up to
    a random move, and a disc chosen by chance among those that change the legal moves. The null is
    the answer without the edit against the legal set of the edited board. "Wrong squares" are those
    that the predicted set (likelier than tau) has wrong; "likeliest n" is Li et al.'s count:
    the set is the n likeliest, n being the number of legal moves. "Against the true board" is the
    edited answer against the board as it is, and its null what the model has wrong of that anyway.
    "Stay legal" is the share of the true board's legal moves that the edit leaves legal.
    """
    games = studied.games_for("interventions", CASES * studied.games)
    return _asked(studied, Responds().cases(games, studied.seed)[:, 0])


def of_cases(given: Interventions) -> Finding:
    """The same of cases that are given, such as those of the literature."""

    def find(studied: Studied) -> Found:
        return _asked(studied, given.tokens.to(studied.device), given.squares.to(studied.device))

    return Finding(
        f"interventions, {given.name}", f"{TURNED}, in the cases of {given.name}.",
        f"{LI}; {NANDA}", MEASURES, find,
    )  # fmt: skip


def _asked(studied: Studied, cases: Tensor, squares: Tensor | None = None) -> Found:
    """What comes of cases uint8 [B, T] in which a disc is chosen, or that of ``squares``, int64
    [B]."""
    if studied.reader is None:
        return Found(note=UNREAD)
    subject = Subject(studied.model, studied.tau, studied.device, studied.reader)
    asked = Responds()
    ratios: dict[str, Ratio] = {}

    def add(name: str, x: Tensor, y: Tensor) -> None:
        ratios.setdefault(name, Ratio()).add(x, y)

    # Neighbours of like length, so that no batch runs far beyond its games.
    for part in torch.split((cases != 0).sum(-1).argsort(stable=True), FORWARD_GAMES):
        games = cases[part]
        moves = games[:, : min(int((games != 0).sum(-1).max()), subject.geometry.context)]
        view = subject.view(moves)
        given = None if squares is None else squares[part]
        turned, edited = asked.answered(subject, view, moves, given)
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


@finding(
    "rollouts",
    "Ten moves of rollout after an intervention.",
    f"{LI}; {NANDA}",
    *(
        Measure(f"{edit}: {name}", "", NULL, True, 1)
        for edit in EDITS[:-1]
        for name in ("moves legal", "all legal", "squares that differ")
    ),
)
def goes_on(studied: Studied) -> Found:
    """Ten moves of rollout after an intervention.

    A random game is cut after 10 to 44 moves and a disc is chosen as in the benchmark. The model
    plays its likeliest move, which is made on the *edited* board, and so on for ten moves, or until
    a move is illegal there; on small boards all of these are fewer. *Kept*: the disc is turned at
    every position, at later ones for as long as it lies on the edited board as it was turned. *Let
    go*: it is turned at the positions up to the edit only, and later positions hold what they hold.
    The null plays on without any edit.

    "Moves legal": of the answers up to the first illegal one, those legal on the edited board. As
    nine of ten legal moves are the same on both boards, "squares that differ" is sharper: of the
    squares that are legal on the edited board and not on the same board with the disc turned back,
    or the other way around, the share that the predicted set has as on the edited board.
    """
    if studied.reader is None:
        return Found(note=UNREAD)
    runs: dict[str, list[Rollout]] = {edit: [] for edit in EDITS}
    for games, square, played in rollout_starts(studied):
        for edit in EDITS:
            runs[edit].append(roll_out(studied, games, square, played, edit))
    lines, cases = [], 0
    measured: dict[str, dict[str, Estimate]] = {}
    for edit, parts in runs.items():
        whole = Rollout(
            *(torch.cat([getattr(p, name) for p in parts]).cpu() for name in vars(parts[0]))
        )
        cases = len(whole.legal)
        measured[edit] = {
            "moves legal": Ratio.of(whole.legal.sum(1), whole.answered.sum(1)).rate(),
            "all legal": Ratio.of(*_through(whole)).rate(),
            "squares that differ": Ratio.of(whole.right.sum(1), whole.differing.sum(1)).share(),
        }
        by_step = zip(whole.right.T, whole.differing.T, strict=True)
        steps = [Ratio.of(right, differing).share() for right, differing in by_step]
        x = range(1, len(steps) + 1)
        lines.append(Line.of(edit, x, steps, control=edit == NULL))
    values = {
        f"{edit}: {name}": Value(estimate, measured[NULL][name])
        for edit in EDITS[:-1]
        for name, estimate in measured[edit].items()
    }
    note = f"{cases} rollouts"
    if studied.layout:
        note += "; the disc is turned after all readings but the last, so let go it is forgotten"
    picture = Lines("move of the rollout", "differing squares as on the edited board", tuple(lines))
    return Found(values, note, picture)


def _through(whole: Rollout) -> tuple[Tensor, Tensor]:
    """(rollouts that were legal to the end, all but those that the rules ended before)."""
    legal, answered = whole.legal.sum(1), whole.answered.sum(1)
    through, failed = legal == whole.legal.shape[1], answered > legal
    return through.long(), (through | failed).long()
