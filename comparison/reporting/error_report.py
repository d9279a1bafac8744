"""What error sets say, for people: sections with a table each."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isnan
from shlex import quote

from comparison.errors.analysis import Analysis
from comparison.errors.causes import CAUSES, CauseShares
from comparison.errors.layers import WrongDiscs
from comparison.errors.telling import Telling
from comparison.reporting.sections import Figure, Section
from comparison.scoring.agreement import QUANTILES, Agreement, Alike, NearMisses
from comparison.scoring.matched import Pair
from comparison.scoring.records import NEAR_SHARE
from extracted_rules.benches.causes import COUNTING
from extracted_rules.benches.intervals import Estimate, interval
from extracted_rules.benches.matched import GROUPS
from extracted_rules.catalogue.failures import RuleErrors
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.geometry import STANDARD
from extracted_rules.othello.notation import format_transcript

#: Names of pictures; those of rules have a number.
TOGETHER, MARGINS, BOARDS = "together.png", "margins.png", "boards.png"
RULES = "rules-{}.png"


def sections(analysis: Analysis) -> Iterator[Section]:
    """Those about which there is something to say."""
    if analysis.pairs:
        caption = "Matched odds ratios of erring at the same positions"
        yield _section(_together(analysis.pairs, strata=False), TOGETHER, caption)
    caption = "The share of positions whose margin lies above a value"
    yield _section(_near(analysis.near), MARGINS, caption)
    if analysis.agreements:
        yield _section(_alike(analysis.agreements, analysis.alike))
    if analysis.causes:
        yield _section(_causes(analysis.causes))
    if analysis.wrong_discs:
        caption = "The share of discs decoded wrongly, by layer"
        yield _section(_wrong_discs(analysis.wrong_discs), BOARDS, caption)
    for number, rules in enumerate(analysis.rules, start=1):
        caption = f"{rules.model}: how strong patterns' rules are, how often they fail"
        yield _section(_levels(rules), RULES.format(number), caption)
        yield _section(_correlations(rules))
        if any(found.slips for found in rules.eager):
            yield _section(_eager(rules))
    if analysis.telling:
        yield replace(_section(_telling(analysis.telling)), paragraphs=_commands(analysis))
    if analysis.pairs:
        yield _section(_together(analysis.pairs, strata=True))


def _section(table: Table, picture: str = "", caption: str = "") -> Section:
    alt = f"{caption}: the tables hold the numbers."
    figures = [Figure(picture, caption, alt)] if picture else []
    return Section("errors", table.title, tables=[table], figures=figures)


def answers_in_words(pairs: Sequence[Pair]) -> list[str]:
    """The question that error sets are for, answered: a sentence for every two models whose
    likeliest moves are illegal together often enough to say so."""
    return [
        f"Where {pair.a} makes an illegal move likeliest, {pair.b} does so "
        f"{interval(pair.strata['all'].times)} times as often as at matched positions."
        for pair in pairs
        if pair.kind == "top-1" and not isnan(pair.strata["all"].times.low)
    ]


def _together(pairs: Sequence[Pair], *, strata: bool) -> Table:
    """Over all positions, or by stratum where both err somewhere."""

    def of_few(estimate: Estimate) -> str:
        """Of few positions where both err, counts are all there is."""
        return "too few" if isnan(estimate.low) else interval(estimate)

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
    return Table(
        "Do they err together? By pass state and stage of the game"
        if strata
        else "Do they err together?",
        ("A", "B", "kind", *(["positions"] if strata else [])),
        (
            "A errs", "B errs", "both", "matched", "expected", *([] if strata else ["Jaccard"]),
            "times", "odds ratio", "permutation null", "unmatched",
        ),
        rows,
        says=(
            "Kinds: *top-1*, the likeliest move is illegal; *set*, the predicted legal set is "
            "wrong; *near*, the model's margin is among its largest, one position in "
            f"{NEAR_SHARE}, so that these sets are of one size. Positions where A errs are "
            "compared with *matched* ones, where it does not (same ply, number of legal moves and "
            "pass state). Of the positions where both err so many have matched ones; so many are "
            "expected if B errs as it does at those; *times* is how many times as many they are. "
            "The *odds ratio* is that of Mantel and Haenszel over matched positions; *permutation "
            "null* is the control, with B's errors permuted among those; *unmatched* is the odds "
            "ratio of all positions as if they were alike. Brackets are 95 % intervals from a "
            "bootstrap over games."
        ),
    )  # fmt: skip


def _near(found: Sequence[NearMisses]) -> Table:
    rows = [
        [
            *(near.model, near.stratum, f"{near.positions:,}"),
            *(interval(e, 100, 2) for e in (near.first, near.second)),
            *(interval(e, 100, 1) for e in (near.over_some, near.mass)),
            *(f"{margin:.2f}" for margin in near.margins.values()),
        ]
        for near in found
    ]
    return Table(
        "Near misses",
        ("model", "positions"),
        (
            "count", "first %", "second %", "above a legal one %", "mass %",
            *(f"at {100 * q:g} %" for q in QUANTILES),
        ),
        rows,
        says=(
            "Where the likeliest illegal move is the *first* of all, or the *second*; where it "
            "ranks *above a legal one*; the probability *mass* on illegal moves; and quantiles of "
            "the margin, the log-probability of the likeliest illegal move less that of the "
            "likeliest legal one (nats; above 0 the model errs)."
        ),
    )  # fmt: skip


def _alike(agreements: Sequence[Agreement], alike: Sequence[Alike]) -> Table:
    rows = [
        [
            *(said.a, said.b),
            *(interval(e, 100, 1) for e in (said.top, said.by_chance, said.sets)),
            interval(said.jaccard, 1, 2),
            interval(said.wrong, 100, 1),
            *(interval(e, 1, 2) for e in (near.correlation, near.control)),
        ]
        for said, near in zip(agreements, alike, strict=True)
    ]
    return Table(
        "Do they answer alike?",
        ("model", "and"),
        (
            "same top %", "by chance %", "same set %", "sets' Jaccard", "wrong in common %",
            "margins correlate", "permutation null",
        ),
        rows,
        says=(
            "Positions with the same likeliest move, and what that share would be if both drew "
            "theirs from the moves they predict; positions where these are the same, and "
            "their mean Jaccard index; of the squares that either has wrong, those that both "
            "have; and the rank correlation of the two margins among matched positions, beside it "
            "with one model's permuted."
        ),
    )  # fmt: skip


def _causes(found: Sequence[CauseShares]) -> Table:
    rows = [
        [
            *(of.model, where, f"{number:,}"),
            *(
                "–" if where == "matched" and cause == COUNTING else interval(shares[cause], 100, 1)
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
    return Table(
        "Why are illegal moves likeliest?",
        ("model", "positions"),
        ("asked", *(f"{cause} %" for cause in CAUSES), "discs wrong"),
        rows,
        says=(
            "Because of the *side*: an unseen pass is unnoticed or imagined. Because of the "
            "*board*: a line is there on the board decoded from the model, and not on the true "
            "one. Because of the *counting*: the model's own board has it right. *matched* "
            "positions, where it does not err, are asked about the likeliest illegal square; "
            "there the rest is no mistake. A trained model's side is the one by which most discs "
            "are right."
        ),
    )


def _wrong_discs(found: Sequence[WrongDiscs]) -> Table:
    shown = [wrong for wrong in found if wrong.kind == "top-1"]
    rows = [
        [
            *(wrong.reader, wrong.errs, f"{wrong.errors:,}", f"{layer}"),
            *(interval(wrong.shares[group][layer], 100, 1) for group in GROUPS),
        ]
        for wrong in shown
        for layer in range(len(wrong.shares["all"]))
    ]
    return Table(
        "Where boards part, layer by layer",
        ("board of", "errors of", "errors", "layer"),
        ("where it errs", "matched, not erring", "all positions"),
        rows,
        says=(
            "The share of discs decoded wrongly, in per cent, after each layer: where a model "
            "makes an illegal move likeliest, at matched positions where it does not, and "
            "everywhere. Trained models' boards are read by probes and in the frame that suits "
            "them better, hand-built ones' in their own: compare rows, not models. (For wrong "
            "legal sets, see errors.json.)"
        ),
    )


def _levels(rules: RuleErrors) -> Table:
    needed = sum(level.needed for level in rules.levels)
    left_out = sum(level.left_out for level in rules.levels)
    rows = [
        [
            f"{level.least:g} to {level.below:g}" if level.below else "no neuron names it",
            f"{level.patterns}",
            f"{level.needed:,}",
            f"{100 * level.needed / needed:.1f}",
            interval(level.rate, 100, 2),
            f"{100 * level.left_out / max(left_out, 1):.1f}",
            interval(level.times),
        ]
        for level in rules.levels
    ]
    return Table(
        f"{rules.model}: do weak rules account for its errors?",
        ("best F1",),
        (
            "patterns", "squares that need one", "share %", "left out %", "share of all left out %",
            "times as expected",
        ),
        rows,
        says=(
            "Each row: patterns by the F1 of the best neuron whose rule names them; the squares "
            "that are legal by one such pattern alone; how many of them the model leaves out of "
            "its legal set; and how many times as many these are as if every pattern had the rate "
            "of all those of its length and border class."
        ),
    )  # fmt: skip


def _correlations(rules: RuleErrors) -> Table:
    return Table(
        f"{rules.model}: the strength of a pattern's rules against its error rate",
        ("error", "strength", "compared with"),
        ("patterns", "rank correlation", "permutation null", "halves of games"),
        [
            [
                *(found.error, found.strength, found.among),
                f"{found.patterns}",
                *(interval(e, 1, 3) for e in (found.value, found.control)),
                f"{found.reliability:.3f}",
            ]
            for found in rules.correlations
        ],
        says=(
            "Rank correlation over patterns. *left out*: legal squares that need the pattern and "
            "are not in the predicted set; below 0 if weak rules account for errors. *taken*: "
            "illegal squares where it alone is nearly there (one disc of the wrong colour) and "
            "that are in the set; above 0 if strong rules are over-eager. Patterns are compared "
            "with all others, with those of one length and border class, and with their mirror "
            "images. *permutation null* is the control: strengths permuted among patterns of one "
            "length and border class, with 95 % of what comes out. *halves of games* is the "
            "correlation of the error rates of two halves of the games, which chance keeps below "
            "1."
        ),
    )


def _eager(rules: RuleErrors) -> Table:
    return Table(
        f"{rules.model}: are its illegal moves those of over-eager rules?",
        ("strength",),
        ("illegal moves", "chance", "permutation null"),
        [
            [found.strength, f"{found.slips:,}", *(interval(e, 1, 3) for e in both)]
            for found in rules.eager
            for both in [(found.chance, found.control)]
        ],
        says=(
            f"Some pattern is nearly there at {interval(rules.near, 100, 1)} % of the illegal "
            f"squares chosen, and at {interval(rules.near_elsewhere, 100, 1)} % of the other "
            "empty, illegal squares of these positions. Among those squares: the chance that the "
            "strongest of the patterns nearly there is stronger at the square chosen than at "
            "another. *permutation null* is the control, with strengths permuted among patterns "
            "of one length and border class: above it strong rules are over-eager, below it weak "
            "ones fail to hold back."
        ),
    )


def _telling(telling: Sequence[Telling]) -> Table:
    rows = [[f"{e.game}", f"{e.ply}", e.why, ", ".join(e.errs)] for e in telling]
    return Table(
        "Errors that tell most",
        ("game", "ply", "chosen as", "err there"),
        (),
        rows,
        says=(
            "Games are counted from 0, plies to predict from 1. The commands say why, in words "
            "and as boards."
        ),
    )


def _commands(analysis: Analysis) -> list[str]:
    """A list of the commands that explain errors, as one paragraph."""
    geometry, lines = analysis.records.positions.geometry, []
    # Recipes are made for the usual board unless another is named; checkpoints have their own.
    board = "" if geometry.size == STANDARD else f" --board {geometry.size}"
    for error in analysis.telling:
        squares = [int(geometry.square_of_token[token]) for token in error.tokens[: error.ply - 1]]
        moves = format_transcript(squares, geometry.size)
        asked = f"handbuilt explain {quote(error.errs[0])} {moves}{board}"
        lines.append(f"- Game {error.game}: `{asked}`")
    return ["\n".join(lines)]
