"""Numbers that were fitted for one size, carried over to another board and number of layers.

One rule for each axis:

- *lag*, *length*, *depth*: the same lag, length or depth. A smaller board has fewer of them.
- *pair*: the smaller board is laid on the larger one in every place; where both squares then lie
  nearest to as far from the borders as on their own board, they take the number of the pair below,
  or the mean where several places are as good.
- *layer*, *reading layer*: a layer with a role takes the numbers of that role. Those before the
  look go by their number from the front, those behind the turn by their number from the first
  count backwards; a new layer repeats its neighbour in the midst: the last one before the look, the
  first one behind the turn.
"""

import torch
from torch import Tensor

from extracted_rules.othello.geometry import Geometry
from handbuilt.plan import Plan
from handbuilt.strengths.definition import NAMES, Axes, Strengths, StrengthsError, axes_of


def carry_over(strengths: Strengths, to: Axes) -> Strengths:
    """The same numbers for another board and other layers; those for the same are unchanged.

    Raises StrengthsError for a larger board, whose long lines they say nothing about.
    """
    own = strengths.axes
    if own == to:
        return strengths
    if to.geometry.size > own.geometry.size:
        raise StrengthsError(
            f"numbers for a board of {own.geometry} say nothing about the longer lines of "
            f"{to.geometry}"
        )
    layers = torch.tensor(layers_carried(own.plan, to.plan))
    taken = {axis: torch.arange(to[axis]) for axis in ("lag", "length", "depth")}
    taken |= {"layer": layers[:-1], "reading layer": layers[1:] - 1}
    mixed = _pairs_carried(own.geometry, to.geometry)
    values = {}
    for name in NAMES:
        value: Tensor = getattr(strengths, name)
        for place, axis in enumerate(axes_of(name)):
            if axis == "pair":
                value = torch.tensordot(value, mixed.to(value), ([place], [1]))
            elif axis in taken:
                value = value.index_select(place, taken[axis])
        values[name] = value
    return Strengths(**values)


def layers_carried(own: Plan, to: Plan) -> list[int]:
    """Which layer of one's own plan each layer of another takes its numbers from."""
    roles = {plan_role: role for role, plan_role in _roles(to).items()}
    mine = _roles(own)
    found = []
    for layer in range(to.layers):
        if layer in roles:
            found.append(mine[roles[layer]])
        elif layer < to.look:
            found.append(min(layer, own.look - 1))
        else:
            innermost = min(own.turn + 1, own.first_count - 1)
            found.append(max(own.first_count - (to.first_count - layer), innermost))
    return found


def _roles(plan: Plan) -> dict[str, int]:
    """Layers by role. In a plan of four layers one turns and counts, too: counting decides."""
    return {
        "first": 0,
        "look": plan.look,
        "turn": plan.turn,
        "first count": plan.first_count,
        "last": plan.last,
    }


def _pairs_carried(own: Geometry, to: Geometry) -> Tensor:
    """float64 [pairs of ``to``, pairs of ``own``]: the share of each in each; rows sum to 1."""
    shares = torch.zeros(len(to.pairs), len(own.pairs), dtype=torch.float64)
    room = range(own.size - to.size + 1)
    for row, pair in enumerate(to.pairs):
        places = []
        for down in room:
            for right in room:
                at = [_moved(own, to, square, down, right) for square in pair]
                number = int(own.pair_class[at[0], at[1]])
                if number:  # nobody moves in the centre
                    off = sum(_off(own, to, a, b) for a, b in zip(at, pair, strict=True))
                    places.append((off, number - 1))
        best = min(off for off, _ in places)
        for off, number in places:
            shares[row, number] += off == best
    return shares / shares.sum(-1, keepdim=True)


def _moved(own: Geometry, to: Geometry, square: int, down: int, right: int) -> int:
    row, column = divmod(square, to.size)
    return own.size * (row + down) + column + right


def _off(own: Geometry, to: Geometry, at: int, square: int) -> int:
    """How much farther a square lies from the borders of one board than another from its own's."""
    return sum(
        abs(min(x, own.size - 1 - x) - min(y, to.size - 1 - y))
        for x, y in zip(divmod(at, own.size), divmod(square, to.size), strict=True)
    )
