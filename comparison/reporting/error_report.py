"""What error sets say, for people and machines: sections with a table each, and JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from shlex import quote

from comparison.errors.analysis import Analysis
from comparison.errors.causes import CAUSES, CauseShares
from comparison.errors.layers import GROUPS, WrongDiscs
from comparison.errors.rules import RuleErrors
from comparison.errors.telling import Telling
from comparison.explaining.causes import COUNTING
from comparison.reporting.report import markdown
from comparison.scoring.agreement import Agreement
from comparison.scoring.intervals import Estimate
from comparison.scoring.matched import Pair
from comparison.scoring.near import QUANTILES, Alike, NearMisses
from comparison.scoring.records import NEAR_SHARE
from extracted_rules.files import whole_file
from extracted_rules.othello.notation import SQUARE_OF_TOKEN, format_transcript

#: Names of pictures; those of rules have a number.
TOGETHER, MARGINS, BOARDS = "together.png", "margins.png", "boards.png"
RULES = "rules-{}.png"


@dataclass(frozen=True)
class Section:
    """A table for people. ``first``: headings of the columns of words, ``headings``: those of
    numbers. says: how to read it. figure: the name of its picture, or
    nothing. also: what only a report has room for."""

    title: str
    says: str
    first: tuple[str, ...]
    headings: tuple[str, ...]
    rows: list[list[str]]
    figure: str = ""
    also: str = ""


def sections(analysis: Analysis) -> Iterator[Section]:
    """Those about which there is something to say."""
    if analysis.pairs:
        yield _together(analysis.pairs, strata=False)
    yield _near(analysis.near)
    if analysis.agreements:
        yield _alike(analysis.agreements, analysis.alike)
    if analysis.causes:
        yield _causes(analysis.causes)
    if analysis.wrong_discs:
        yield _wrong_discs(analysis.wrong_discs)
    for number, rules in enumerate(analysis.rules, start=1):
        yield from _rules(rules, number)
    if analysis.telling:
        yield _telling(analysis.telling)
    if analysis.pairs:
        yield _together(analysis.pairs, strata=True)


def answers_in_words(pairs: Sequence[Pair]) -> list[str]:
    """The question that error sets are for, answered: a sentence for every two models whose
    likeliest moves are illegal together often enough to say so."""
    return [
        f"Where {pair.a} makes an illegal move likeliest, {pair.b} does so "
        f"{_interval(pair.strata['all'].times)} times as often as at matched positions."
        for pair in pairs
        if pair.kind == "top-1" and not isnan(pair.strata["all"].times.low)
    ]


def _interval(estimate: Estimate, scale: float = 1.0, digits: int | None = None) -> str:
    """A value with its interval, if it has them; ``digits`` behind the point, or such that three
    or so tell."""

    def write(x: float) -> str:
        x *= scale
        places = digits if digits is not None else 2 if abs(x) < 10 else 1 if abs(x) < 100 else 0
        return f"{x:,.{places}f}"

    if isnan(estimate.value):
        return ""
    if isnan(estimate.low):
        return write(estimate.value)
    return f"{write(estimate.value)} [{write(estimate.low)}, {write(estimate.high)}]"


def _together(pairs: Sequence[Pair], *, strata: bool) -> Section:
    """Over all positions, or by stratum where both err somewhere."""

    def of_few(estimate: Estimate) -> str:
        """Of few positions where both err, counts are all there is."""
        return "too few" if isnan(estimate.low) else _interval(estimate)

    rows = [
        [
            *(pair.a, pair.b, pair.kind, *([name] if strata else [])),
            *(f"{n:,}" for n in (table.a, table.b, table.both, table.comparable)),
            f"{table.expected:,.1f}",
            *([] if strata else ["" if isnan(table.jaccard) else f"{table.jaccard:.3f}"]),
            *(of_few(e) for e in (table.times, table.matched, table.control, table.raw)),
        ]
        for pair in pairs
        for name, table in pair.strata.items()
        if (strata and table.both and name != "all") or (not strata and name == "all")
    ]
    return Section(
        "Do they err together? By pass state and stage of the game"
        if strata
        else "Do they err together?",
        "Kinds: *top-1*, the likeliest move is illegal; *set*, the predicted legal set is wrong; "
        f"*near*, the model's margin is among its largest, one position in {NEAR_SHARE}, so that "
        "these sets are of one size. Positions where A errs are compared with *matched* ones, "
        "where it does not (same ply, number of legal moves and pass state). Of the positions "
        "where both err so many have matched ones; so many are expected if B errs as it does at "
        "those; *times* is how many times as many they are. The *odds ratio* is that of Mantel "
        "and Haenszel over matched positions; *permutation null* is the control, with B's errors "
        "permuted among those; *unmatched* is the odds ratio of all positions as if they were "
        "alike. Brackets are 95 % intervals from a bootstrap over games.",
        ("A", "B", "kind", *(["positions"] if strata else [])),
        (
            "A errs", "B errs", "both", "matched", "expected", *([] if strata else ["Jaccard"]),
            "times", "odds ratio", "permutation null", "unmatched",
        ),
        rows,
        "" if strata else TOGETHER,
    )  # fmt: skip


def _near(found: Sequence[NearMisses]) -> Section:
    rows = [
        [
            *(near.model, near.stratum, f"{near.positions:,}"),
            *(_interval(e, 100, 2) for e in (near.first, near.second)),
            *(_interval(e, 100, 1) for e in (near.over_some, near.mass)),
            *(f"{margin:.2f}" for margin in near.margins.values()),
        ]
        for near in found
    ]
    return Section(
        "Near misses",
        "Where the likeliest illegal move is the *first* of all, or the *second*; where it ranks "
        "*above a legal one*; the probability *mass* on illegal moves; and quantiles of the "
        "margin, the log-probability of the likeliest illegal move less that of the likeliest "
        "legal one (nats; above 0 the model errs).",
        ("model", "positions"),
        (
            "count", "first %", "second %", "above a legal one %", "mass %",
            *(f"at {100 * q:g} %" for q in QUANTILES),
        ),
        rows,
        MARGINS,
    )  # fmt: skip


def _alike(agreements: Sequence[Agreement], alike: Sequence[Alike]) -> Section:
    rows = [
        [
            *(said.a, said.b),
            *(_interval(e, 100, 1) for e in (said.top, said.by_chance, said.sets)),
            _interval(said.jaccard, 1, 2),
            _interval(said.wrong, 100, 1),
            *(_interval(e, 1, 2) for e in (near.correlation, near.control)),
        ]
        for said, near in zip(agreements, alike, strict=True)
    ]
    return Section(
        "Do they answer alike?",
        "Positions with the same likeliest move, and what that share would be if both drew theirs "
        "from the moves they hold for legal; positions where these are the same, and their mean "
        "Jaccard index; of the squares that either has wrong, those that both have; and the rank "
        "correlation of the two margins among matched positions, beside it the permutation "
        "null.",
        ("model", "and"),
        (
            "same top %", "by chance %", "same set %", "sets' Jaccard", "wrong in common %",
            "margins correlate", "permutation null",
        ),
        rows,
    )  # fmt: skip


def _causes(found: Sequence[CauseShares]) -> Section:
    rows = [
        [
            *(of.model, where, f"{number:,}"),
            *(
                "–"
                if where == "matched" and cause == COUNTING
                else _interval(shares[cause], 100, 1)
                for cause in CAUSES
            ),
            f"{of.discs:.1f}" if where == "errors" and not isnan(of.discs) else "",
        ]
        for of in found
        for where, number, shares in (
            ("errors", of.errors, of.shares),
            ("matched", of.matched, of.elsewhere),
        )
        if number
    ]
    return Section(
        "Why are illegal moves likeliest?",
        "Because of the *side*: an unseen pass is unnoticed or imagined. Because of the *board*: "
        "a line is there on the board that the model holds, and not on the true one. Because of "
        "the *counting*: the model's own board has it right. *matched* positions, where it does "
        "not err, are asked about the likeliest illegal square; there the rest is no mistake. A "
        "trained model's side is the one by which most discs are right.",
        ("model", "positions"),
        ("asked", *(f"{cause} %" for cause in CAUSES), "discs wrong"),
        rows,
    )


def _wrong_discs(found: Sequence[WrongDiscs]) -> Section:
    shown = [wrong for wrong in found if wrong.kind == "top-1"]
    rows = [
        [
            *(wrong.reader, wrong.errs, f"{wrong.errors:,}", f"{layer}"),
            *(_interval(wrong.shares[group][layer], 100, 1) for group in GROUPS),
        ]
        for wrong in shown
        for layer in range(len(wrong.shares["all"]))
    ]
    return Section(
        "Where boards part, layer by layer",
        "The share of discs held wrongly, in per cent, behind each layer: where a model makes an "
        "illegal move likeliest, at matched positions where it does not, and everywhere. Trained "
        "models' boards are read by probes and in the frame that suits them better, hand-built "
        "ones' in their own: compare rows, not models. (For wrong legal sets, see errors.json.)",
        ("board of", "errors of", "errors", "layer"),
        ("where it errs", "matched, not erring", "all positions"),
        rows,
        BOARDS,
    )


def _rules(rules: RuleErrors, number: int) -> Iterator[Section]:
    yield Section(
        f"{rules.model}: do weak rules account for its errors?",
        "Each row: patterns by the F1 of the best neuron whose rule names them; the squares that "
        "are legal by one such pattern alone; how many of them the model leaves out of its legal "
        "set; and how many times as many these are as if every pattern had the rate of all those "
        "of its length and border class.",
        ("best F1",),
        (
            "patterns", "squares that need one", "share %", "left out %", "share of all left out %",
            "times as expected",
        ),
        _level_rows(rules),
        RULES.format(number),
    )  # fmt: skip
    yield Section(
        f"{rules.model}: the strength of a pattern's rules against its error rate",
        "Rank correlation over patterns. *left out*: legal squares that need the pattern and are "
        "not in the predicted set; below 0 if weak rules account for errors. *taken*: illegal "
        "squares where it alone is nearly there (one disc of the wrong colour) and that are in the "
        "set; above 0 if strong rules are over-eager. Patterns are compared with all others, with "
        "those of one length and border class, and with their mirror images. The *permutation "
        "null* has strengths permuted among patterns of one length and border class, with 95 % of "
        "what comes out. *halves of games* is the correlation of the error rates of two halves of "
        "the games, which chance keeps below 1.",
        ("error", "strength", "compared with"),
        ("patterns", "rank correlation", "permutation null", "halves of games"),
        [
            [
                *(found.error, found.strength, found.among),
                f"{found.patterns}",
                *(_interval(e, 1, 3) for e in (found.value, found.control)),
                f"{found.reliability:.3f}",
            ]
            for found in rules.correlations
        ],
    )
    if not any(found.slips for found in rules.eager):
        return
    yield Section(
        f"{rules.model}: are its illegal moves those of over-eager rules?",
        "Some pattern is nearly there at "
        f"{_interval(rules.near, 100, 1)} % of the illegal squares chosen, and at "
        f"{_interval(rules.near_elsewhere, 100, 1)} % of the other empty, illegal squares of these "
        "positions. Among those squares: the chance that the strongest of the patterns nearly "
        "there is stronger at the square chosen than at another. The *permutation null* has "
        "strengths permuted among patterns of one length and border class: above it strong rules "
        "are over-eager, below it weak ones fail to hold back.",
        ("strength",),
        ("illegal moves", "chance", "permutation null"),
        [
            [found.strength, f"{found.slips:,}", *(_interval(e, 1, 3) for e in both)]
            for found in rules.eager
            for both in [(found.chance, found.control)]
        ],
    )


def _level_rows(rules: RuleErrors) -> list[list[str]]:
    needed = sum(level.needed for level in rules.levels)
    left_out = sum(level.left_out for level in rules.levels)
    return [
        [
            f"{level.least:g} to {level.below:g}" if level.below else "no neuron names it",
            f"{level.patterns}",
            f"{level.needed:,}",
            f"{100 * level.needed / needed:.1f}",
            _interval(level.rate, 100, 2),
            f"{100 * level.left_out / max(left_out, 1):.1f}",
            _interval(level.times),
        ]
        for level in rules.levels
    ]


def _telling(telling: Sequence[Telling]) -> Section:
    rows, moves = [], []
    for error in telling:
        squares = [int(SQUARE_OF_TOKEN[token]) for token in error.tokens[: error.ply - 1]]
        rows.append([f"{error.game}", f"{error.ply}", error.why, ", ".join(error.errs)])
        asked = f"handbuilt explain {quote(error.errs[0])} {format_transcript(squares)}"
        moves.append(f"- Game {error.game}: `{asked}`")
    return Section(
        "Errors that tell most",
        "Games are counted from 0, plies to predict from 1. The commands say why, in words and as "
        "boards.",
        ("game", "ply", "chosen as", "err there"),
        (),
        rows,
        also="\n".join(moves),
    )


def write_report(analysis: Analysis, captions: dict[str, str], command: str, path: Path) -> None:
    """A Markdown report. captions: of the pictures there are, by name. Raises OSError."""
    at, bench = analysis.records.positions, analysis.records.bench
    taus = ", ".join(f"{a.model} {a.tau:.2g}" for a in analysis.records.answers)
    parts = [
        "# Error sets",
        f"`{command}`: {len(at):,} positions of {at.games:,} games ({bench.source}). Thresholds "
        f"tau: {taus}.",
        *answers_in_words(analysis.pairs),
    ]
    for section in sections(analysis):
        parts += [
            f"## {section.title}",
            section.says,
            markdown((*section.first, *section.headings), section.rows),
        ]
        if section.also:
            parts.append(section.also)
        if section.figure in captions:
            parts.append(f"![{captions[section.figure]}]({section.figure})")
    with whole_file(path) as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
