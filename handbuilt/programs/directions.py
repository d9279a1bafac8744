"""The named directions of the residual stream: a family for every quantity that is held."""

from handbuilt.programs.records import Directions
from handbuilt.programs.tables import Tables


def directions(t: Tables) -> tuple[Directions, ...]:
    """In the order in which they get their places."""
    moves, squares, firsts = t.playable_labels, t.board.labels, t.first_labels
    steps = tuple(str(step) for step in range(t.board.context))
    one = ("",)
    return (
        Directions("played", moves, "the move of this position is {}"),
        Directions("position", steps, "this is position {}"),
        Directions("blank", moves, "{} holds no disc once the move is made"),
        Directions("placed", moves, "as played.{}, but empty at position 0: an event to be read"),
        Directions("belief", squares, "{} before the move: 1 mine, -1 theirs"),
        Directions(
            "message", squares, "what others are told about {}: its flip, and ends of brackets"
        ),
        Directions(
            "clipped",
            squares,
            "the belief about {}, sharpened and clipped to -1..1; in the end, after the move",
        ),
        Directions("first", firsts, "the game began with {}"),
        Directions(
            "opening",
            firsts,
            "the board after {} was played first, in this position's frame, faded by age",
        ),
        Directions("count", moves, "how many lines make {} legal for the next mover"),
        Directions("need", one, "how much doubt is forgiven because too little is claimed"),
        Directions("claims", one, "the sum of all bracket claims"),
        Directions("others", one, "how many lines the side named by parity had for other moves"),
        Directions("passed", one, "how surely somebody passed, up to this move"),
        Directions("side", one, "1 if black moves here, -1 if white does; 0 at position 0"),
        Directions(
            "seen", squares, "in the midst of layer 0: above 0 where {} is taken", over="message"
        ),
        Directions(
            "nearby",
            squares,
            "in the midst of layer 0: whose {} likely is by the moves near it",
            over="clipped",
        ),
    )
