"""Rule families as data: what a rule says, how it is instantiated, and where it comes from.

A *family* is a template over squares, directions and lengths. These are the families that the
hand-built recipes use; ``source`` says which of them the literature found in trained Othello-GPTs.
"""

from dataclasses import dataclass

LI = "Li et al. 2022, Emergent World Representations, arXiv 2210.13382"
NANDA = "Nanda, Lee, Wattenberg 2023, Emergent Linear Representations, arXiv 2309.00941"
HE = "He et al. 2024, Dictionary Learning Improves Patch-Free Circuit Discovery, arXiv 2402.12201"
JYLIN = "jylin et al. 2024, OthelloGPT Learned a Bag of Heuristics, LessWrong"
OURS = "derived here from the rules of the game and the shape of the model"


@dataclass(frozen=True)
class RuleFamily:
    """One kind of rule.

    ``template`` is condition -> effect over the variables in ``over``; ``instances`` counts them
    on the board, per layer.
    """

    id: str
    sentence: str
    template: str
    over: str
    instances: int
    source: str


FAMILIES: tuple[RuleFamily, ...] = (
    RuleFamily(
        "occupied",
        "A square that has been played holds a disc.",
        "s was played -> s is occupied",
        "s: playable square",
        60,
        NANDA,
    ),
    RuleFamily(
        "owner",
        "A disc belongs to whoever put it there, the less surely the longer ago.",
        "s was played n plies ago -> s is mine if n is even, theirs if odd, faded by age",
        "s: playable square",
        60,
        NANDA,
    ),
    RuleFamily(
        "near",
        "A move has likely turned the discs around it, the less surely the farther away; it may "
        "count where both lie.",
        "s was played n plies ago, r on a line with s -> r is mine if n is even, theirs if odd, by "
        "where both lie, faded by age",
        "s: playable square, r: square it may turn",
        1312,
        OURS,
    ),
    RuleFamily(
        "opening",
        "The board after the first move is known by heart, and so are the replies to it.",
        "the game began with s -> that board; at position 0 its legal replies",
        "s: one of the four first moves",
        4,
        OURS,
    ),
    RuleFamily(
        "read",
        "The board is what earlier positions reported, mine at even lags and theirs at odd ones, "
        "the more faintly the longer ago.",
        "position t - n reported s -> belief about s, by the parity of n, faded by age",
        "s: square",
        64,
        HE,
    ),
    RuleFamily(
        "settle",
        "What a position believes clearly, it settles: sharpened and clipped, never overshooting.",
        "belief about s -> settled about s, between theirs and mine",
        "s: square",
        64,
        OURS,
    ),
    RuleFamily(
        "bracket",
        "A move that closes a run of theirs between itself and a disc of mine flips the run.",
        "move at one end, mine at the other, all between theirs -> all between flips",
        "ends and run: bracket",
        518,
        JYLIN,
    ),
    RuleFamily(
        "beyond-doubt",
        "Discs beyond doubt do not make up for doubtful ones.",
        "run more than surely theirs, or end more than surely mine -> the claim is lowered by that",
        "ends and run: bracket",
        518,
        OURS,
    ),
    RuleFamily(
        "ends",
        "A bracket that flips its run also says that its ends are mine.",
        "claim of a bracket -> both ends are mine",
        "ends and run: bracket",
        518,
        OURS,
    ),
    RuleFamily(
        "need",
        "A legal move flips something: while no line explains the move, doubts are forgiven.",
        "claims add up to less than one line -> every bracket's bar is lowered",
        "position",
        1,
        OURS,
    ),
    RuleFamily(
        "line",
        "A blank square is legal if a run of the other side's discs leads from it to a disc of the "
        "mover.",
        "s blank, run theirs, end mine (for the next mover) -> s is legal",
        "ends and run: bracket",
        518,
        JYLIN,
    ),
    RuleFamily(
        "overclaim",
        "Who claims more than one line is heard less, as a move seldom flips two.",
        "claims add up to more than one line -> its flips and its board are read more faintly",
        "position",
        1,
        OURS,
    ),
    RuleFamily(
        "needy",
        "How loudly a position is heard also depends on whether its move is explained.",
        "need of this position -> its flips and its board are read more faintly or loudly",
        "position",
        1,
        OURS,
    ),
    RuleFamily(
        "other",
        "A side without a line, by this move or any other, did not make this move: it passed.",
        "no claim, and no start blank, run theirs, end mine -> from this move on, sides are turned",
        "start and end: pattern",
        960,
        OURS,
    ),
    RuleFamily(
        "line-again",
        "The mover's own lines count too, but they win only where the next side has none.",
        "s blank, run mine, end theirs (for the next mover) -> s is legal, faintly",
        "ends and run: bracket",
        518,
        OURS,
    ),
    RuleFamily(
        "second-line",
        "A square with several lines is no more legal than one with a single line.",
        "layer 6 counted more than one line for s -> the surplus is taken back",
        "s: playable square",
        60,
        OURS,
    ),
)


def family(id: str) -> RuleFamily:
    """The family of an id; KeyError otherwise."""
    return {f.id: f for f in FAMILIES}[id]
