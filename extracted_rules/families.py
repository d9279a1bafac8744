"""Rule families as data: what a rule says, how it is instantiated, and where it comes from.

A *family* is a template over squares, directions and lengths. These are the families that the
hand-built recipes use; ``source`` says which of them the literature found in trained Othello-GPTs.
"""

from collections.abc import Callable
from dataclasses import dataclass

from extracted_rules.othello.geometry import Geometry

LI = "Li et al. 2022, Emergent World Representations, arXiv 2210.13382"
NANDA = "Nanda, Lee, Wattenberg 2023, Emergent Linear Representations, arXiv 2309.00941"
HE = "He et al. 2024, Dictionary Learning Improves Patch-Free Circuit Discovery, arXiv 2402.12201"
JYLIN = "jylin et al. 2024, OthelloGPT Learned a Bag of Heuristics, LessWrong"
OURS = "derived here from the rules of the game and the shape of the model"


@dataclass(frozen=True)
class Variables:
    """What a template is about: in words, and how many there are on a board."""

    words: str
    count: Callable[[Geometry], int]


POSITION = Variables("position", lambda g: 1)
SQUARE = Variables("s: square", lambda g: g.n_squares)
PLAYABLE = Variables("s: playable square", lambda g: len(g.playable))
FIRST_MOVE = Variables("s: one of the four first moves", lambda g: len(g.first_moves))
#: The disc of a move itself is none that it may turn.
NEIGHBOUR = Variables(
    "s: playable square, r: square it may turn",
    lambda g: int((g.pair_class > 0).sum()) - len(g.playable),
)
BRACKET = Variables("ends and run: bracket", lambda g: len(g.brackets))
PATTERN = Variables("start and end: pattern", lambda g: len(g.patterns))


@dataclass(frozen=True)
class RuleFamily:
    """One kind of rule. ``template`` is condition -> effect over the variables in ``over``."""

    id: str
    sentence: str
    template: str
    over: Variables
    source: str

    def instances(self, geometry: Geometry) -> int:
        """How many rules of the kind there are on a board, per layer."""
        return self.over.count(geometry)


FAMILIES: tuple[RuleFamily, ...] = (
    RuleFamily(
        "occupied",
        "A square that has been played holds a disc.",
        "s was played -> s is occupied",
        PLAYABLE,
        NANDA,
    ),
    RuleFamily(
        "owner",
        "A disc belongs to whoever put it there, the less surely the longer ago.",
        "s was played n plies ago -> s is mine if n is even, theirs if odd, faded by age",
        PLAYABLE,
        NANDA,
    ),
    RuleFamily(
        "near",
        "A move has likely turned the discs around it, the less surely the farther away; it may "
        "count where both lie.",
        "s was played n plies ago, r on a line with s -> r is mine if n is even, theirs if odd, by "
        "where both lie, faded by age",
        NEIGHBOUR,
        OURS,
    ),
    RuleFamily(
        "opening",
        "The board after the first move is known by heart, and so are the replies to it.",
        "the game began with s -> that board; at position 0 its legal replies",
        FIRST_MOVE,
        OURS,
    ),
    RuleFamily(
        "read",
        "The board is what earlier positions reported, mine at even lags and theirs at odd ones, "
        "the more faintly the longer ago.",
        "position t - n reported s -> belief about s, by the parity of n, faded by age",
        SQUARE,
        HE,
    ),
    RuleFamily(
        "clip",
        "A belief is sharpened and clipped, so that it never overshoots.",
        "belief about s -> clipped belief about s, between theirs and mine",
        SQUARE,
        OURS,
    ),
    RuleFamily(
        "bracket",
        "A move that closes a run of theirs between itself and a disc of mine flips the run.",
        "move at one end, mine at the other, all between theirs -> all between flips",
        BRACKET,
        JYLIN,
    ),
    RuleFamily(
        "beyond-doubt",
        "Discs beyond doubt do not make up for doubtful ones.",
        "run more than surely theirs, or end more than surely mine -> the claim is lowered by that",
        BRACKET,
        OURS,
    ),
    RuleFamily(
        "ends",
        "A bracket that flips its run also says that its ends are mine.",
        "claim of a bracket -> both ends are mine",
        BRACKET,
        OURS,
    ),
    RuleFamily(
        "need",
        "A legal move flips something: while no line explains the move, doubts are forgiven.",
        "claims add up to less than one line -> every bracket's bar is lowered",
        POSITION,
        OURS,
    ),
    RuleFamily(
        "line",
        "A blank square is legal if a run of the other side's discs leads from it to a disc of the "
        "mover.",
        "s blank, run theirs, end mine (for the next mover) -> s is legal",
        BRACKET,
        JYLIN,
    ),
    RuleFamily(
        "overclaim",
        "Who claims more than one line is heard less, as a move seldom flips two.",
        "claims add up to more than one line -> its flips and its board are read more faintly",
        POSITION,
        OURS,
    ),
    RuleFamily(
        "needy",
        "How loudly a position is heard also depends on whether its move is explained.",
        "need of this position -> its flips and its board are read more faintly or loudly",
        POSITION,
        OURS,
    ),
    RuleFamily(
        "other",
        "A side without a line, by this move or any other, did not make this move: it passed.",
        "no claim, and no start blank, run theirs, end mine -> from this move on, sides are turned",
        PATTERN,
        OURS,
    ),
    RuleFamily(
        "line-again",
        "The mover's own lines count too, but they win only where the next side has none.",
        "s blank, run mine, end theirs (for the next mover) -> s is legal, faintly",
        BRACKET,
        OURS,
    ),
    RuleFamily(
        "second-line",
        "A square with several lines is no more legal than one with a single line.",
        "the first count of s exceeds one line -> the surplus is taken back",
        PLAYABLE,
        OURS,
    ),
)


def family(id: str) -> RuleFamily:
    """The family of an id; KeyError otherwise."""
    return {f.id: f for f in FAMILIES}[id]
