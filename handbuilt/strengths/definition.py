"""What the strengths of a recipe are: every number by name, with the axes it varies over.

All squares and directions share their strengths, so that the same rules are stated for every board
and any number of layers: axes of layers, lags and lengths are as long as those ask for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import Geometry
from handbuilt.plan import Plan

#: The readings of a disc that a neuron combines: "belief", the fresh read; "clipped", what was
#: clipped one layer ago; "message", what the position itself told one layer ago.
SOURCES = ("belief", "clipped", "message")
#: Neurons that hear one bracket. "claim" adds its discs up; the others take back what exceeds
#: certainty, so that discs beyond doubt do not make up for doubtful ones: "cap" where all discs do,
#: "run-cap" where the run does, "end-cap" where the end does. They stand for the clip of every
#: single disc that one hidden layer has no room for.
VOICES = ("claim", "cap", "run-cap", "end-cap")
#: The longest run that each voice of `calibrated` is fitted for, by a layer's role: as many neurons
#: as fit beside its other ones.
REACH: dict[str, tuple[int, ...]] = {
    "first": (6, 3, 3, 1),
    "look": (6, 2, 0, 0),
    "first count": (6, 3, 1, 1),
    "other": (6, 3, 4, 3),
}
#: Neurons of layer 7 that hear one line: what it adds to the count, and the cap on that.
LINE_VOICES = ("line", "line-cap")
#: How layer 0 remembers what moves have likely turned: two tables, each faded in its own way.
MEMORIES = ("near", "past")
#: What reading heads hear of a position.
TOLD = ("flips", "board")
#: The parts of a bracket that hold discs.
PARTS = ("run", "end")

#: Log-odds against what no evidence is to make likely.
NEVER = 30.0

#: Names of the axes that have the same entries whatever the board and the layers.
FIXED: dict[str, tuple[str, ...]] = {
    "voice": VOICES,
    "line voice": LINE_VOICES,
    "source": SOURCES,
    "memory": MEMORIES,
    "told": TOLD,
    "part": PARTS,
}
AXES = ("layer", "reading layer", "lag", "length", "depth", "pair", *FIXED)


class StrengthsError(UserError):
    """Strengths that are incomplete, misshapen or of another size; the message is one sentence."""


@dataclass(frozen=True)
class Axes:
    """How many entries each axis has, for a board and a plan of layers."""

    geometry: Geometry
    plan: Plan

    def __getitem__(self, axis: str) -> int:
        if axis in FIXED:
            return len(FIXED[axis])
        board = self.geometry
        return {
            "layer": self.plan.last,
            "reading layer": self.plan.last,
            "lag": board.context - 1,
            "length": board.max_length,
            # Classes of a run's discs, by the distance to the nearer end.
            "depth": (board.max_length + 1) // 2,
            "pair": len(board.pairs),
        }[axis]

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a strength."""
        return tuple(self[axis] for axis in axes_of(name))

    def fitted(self, name: str) -> Tensor:
        """bool, of a strength's shape: True where a fit may move the number; the others stay 0."""
        axes, shape = axes_of(name), self.shape_of(name)
        at = {
            axis: torch.arange(self[axis]).view([-1 if a == axis else 1 for a in axes])
            for axis in axes
        }
        read = torch.ones(shape, dtype=torch.bool)
        if "depth" in at:  # a short run has no inner discs
            read &= at["depth"] <= at["length"] // 2
        if "voice" in at:  # a voice that a layer has no room for hears nothing
            reach = self._reach()[at["layer"], at["voice"]]
            read &= at.get("length", torch.zeros(())) < reach
        if "source" in at and "layer" in at:  # layer 0 has told nothing before
            read &= (at["layer"] > 0) | (at["source"] < SOURCES.index("message"))
        if name in ("other_run", "other_end"):  # the board before the move knows nothing of flips
            read &= at["source"] < SOURCES.index("message")
        if name in ("flips_kernel", "board_kernel"):  # position 0 tells nothing
            read &= at["lag"] < self["lag"] - 1
        if name == "clip":  # the layer of the first count clips by ``after``
            read &= at["layer"] < self.plan.first_count
        if name in ("need_kept", "need_claims", "need_bias"):  # nobody asks for the last need
            read &= at["reading layer"] < self["reading layer"] - 1
        return read

    def _reach(self) -> Tensor:
        """int64 [layers that claim, voices]: the longest run of each."""
        special = {self.plan.first_count: "first count", self.plan.look: "look", 0: "first"}
        return torch.tensor([REACH[special.get(n, "other")] for n in range(self.plan.last)])


def _over(*axes: str, says: str) -> Tensor:
    """A field that varies over these axes."""
    return field(metadata={"axes": axes, "says": says})  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Strengths:
    """How strongly each rule speaks. Tensors float64 (float32 and requiring gradients in a fit).

    Index 0 of "reading layer" is layer 1, as layer 0 reads moves alone (``owner``, ``near``). The
    board and the number of layers follow from the tensors' sizes.
    """

    owner: Tensor = _over(
        "lag", says="layer 0: log of the weight of a disc put down this many plies ago"
    )
    near_kernel: Tensor = _over(
        "memory", "lag", says="layer 0: the same for what a move says of the discs around it"
    )
    near_now: Tensor = _over(
        "memory",
        says="layer 0: what is added to this very move's weight, which is what attention is left",
    )
    near: Tensor = _over(
        "memory", "pair", says="what a move on one square says of a disc on it or another"
    )
    start: Tensor = _over(says="the start board fades by this much a ply (a logarithm)")
    opening_fade: Tensor = _over(says="the board after the first move fades so, a logarithm")
    opening: Tensor = _over("reading layer", says="how much of that board a layer reads")
    flips_kernel: Tensor = _over(
        "reading layer", "lag", says="log of the weight of flips reported this many plies ago"
    )
    board_kernel: Tensor = _over(
        "reading layer", "lag", says="the same for discs put down and clipped beliefs"
    )
    board_share: Tensor = _over(
        "reading layer", says="weight of a clipped belief beside a new disc"
    )
    overclaim: Tensor = _over(
        "reading layer", "told", says="how much fainter is heard who claims too much"
    )
    needy: Tensor = _over(
        "reading layer", "told", says="how much louder, or below 0 fainter, who is in need"
    )
    bias: Tensor = _over("layer", "voice", "length", says="where a bracket's neuron starts to fire")
    forgive: Tensor = _over("layer", "voice", "length", says="how much the need lowers that bar")
    late: Tensor = _over("layer", "voice", says="how much more of that at the last move")
    run: Tensor = _over(
        "layer", "voice", "length", "source", "depth", says="weight of a disc between the ends"
    )
    end: Tensor = _over("layer", "voice", "length", "source", says="weight of the far end's disc")
    claim: Tensor = _over("layer", "voice", "length", says="what a neuron adds to the claims")
    holds: Tensor = _over("layer", "voice", "length", says="what it tells about the bracket's ends")
    flip: Tensor = _over("layer", says="the message about a flipped disc, for one claim")
    clip: Tensor = _over("layer", "source", says="weights of what a belief is clipped from")
    need_start: Tensor = _over(says="the need before anything is claimed")
    need_kept: Tensor = _over("reading layer", says="slope of the new need in the old one")
    need_claims: Tensor = _over("reading layer", says="slope of the need in the claims, downwards")
    need_bias: Tensor = _over("reading layer", says="bias of the need")
    other_bias: Tensor = _over(
        "length", says="the look: where a line that parity's side had elsewhere starts to count"
    )
    other_run: Tensor = _over("length", "source", "depth", says="the look: a disc between its ends")
    other_end: Tensor = _over("length", "source", says="the look: the disc at its end")
    other_line: Tensor = _over("length", says="the look: what such a line adds to their number")
    pass_base: Tensor = _over(
        says="log-odds that parity's side had no move, if no line is found, at the last move"
    )
    pass_early: Tensor = _over(says="how much less they are at the first move than at the last")
    pass_others: Tensor = _over(says="how much each line elsewhere lowers them")
    pass_claims: Tensor = _over(says="how much the claims of the move itself lower them")
    pass_need: Tensor = _over(says="how much the need, which makes claims louder, raises them")
    after: Tensor = _over(
        "source", says="first count: weights of the board after the move, to clip"
    )
    after_placed: Tensor = _over(says="first count: weight of the new disc in that")
    line_bias: Tensor = _over("length", says="first count: where a legal line starts to count")
    line_late: Tensor = _over(says="first count: how much more evidence at the last move")
    line_run: Tensor = _over(
        "length", "source", "depth", says="first count: a disc between the ends"
    )
    line_end: Tensor = _over("length", "source", says="first count: the disc at the end")
    line_placed: Tensor = _over("part", says="first count: weight of the new disc in a line")
    line: Tensor = _over("length", says="first count: what a line adds to the count")
    last_bias: Tensor = _over("line voice", "length", says="last count: as line_bias")
    last_late: Tensor = _over("line voice", says="as line_late")
    last_run: Tensor = _over("line voice", "length", "source", "depth", says="as line_run")
    last_end: Tensor = _over("line voice", "length", "source", says="as line_end")
    last_placed: Tensor = _over("line voice", "part", says="as line_placed")
    last_line: Tensor = _over("line voice", "length", says="as line")
    again_bias: Tensor = _over(
        "length", says="last count: lines for the mover, should the other pass"
    )
    again_scale: Tensor = _over("length", says="how steep these are, against last_run and last_end")
    again_line: Tensor = _over("length", says="what they add to the count")
    first_count: Tensor = _over(says="how much of the first count stays")
    surplus: Tensor = _over(says="how much of its surplus is taken back")
    surplus_from: Tensor = _over(says="from where on it is surplus")
    logit: Tensor = _over(says="logit of one line")

    @property
    def geometry(self) -> Geometry:
        """The board, from the number of lags."""
        return Geometry.of_tokens(len(self.owner) + 3)

    @property
    def plan(self) -> Plan:
        """The layers' roles, from the number of those that claim."""
        return Plan(len(self.flip) + 1)

    @property
    def axes(self) -> Axes:
        return Axes(self.geometry, self.plan)

    def only_fitted(self) -> "Strengths":
        """The same strengths with zeros where a fit may not move them."""
        read = self.axes.fitted
        return Strengths(**{f.name: getattr(self, f.name) * read(f.name) for f in fields(self)})

    def apply(self, change: Callable[[Tensor], Tensor]) -> "Strengths":
        """The same strengths with every tensor changed."""
        return Strengths(**{f.name: change(getattr(self, f.name)) for f in fields(self)})


NAMES = tuple(f.name for f in fields(Strengths))
_AXES_OF: dict[str, tuple[str, ...]] = {f.name: f.metadata["axes"] for f in fields(Strengths)}


def axes_of(name: str) -> tuple[str, ...]:
    """The axes that a strength varies over."""
    return _AXES_OF[name]
