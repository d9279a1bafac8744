"""Which layer has which role, for any number of layers from four on."""

from dataclasses import dataclass

from extracted_rules.errors import UserError

#: Fewer leave no layer to look for passes before the one that turns sides.
FEWEST_LAYERS = 4


class PlanError(UserError):
    """A shape that the rules do not fit; the message is one sentence."""


@dataclass(frozen=True)
class Plan:
    """The roles of ``layers`` layers. Raises PlanError for too few.

    Layers 0 to ``last`` - 1 claim flips; layer 0 guesses, those behind it read what earlier
    positions told. ``look`` looks for passes, and ``turn`` turns sides by what it found.
    ``first_count`` counts legal lines on the board after the move; ``last`` reads once more and
    counts again.
    """

    layers: int = 8

    def __post_init__(self) -> None:
        if type(self.layers) is not int or self.layers < FEWEST_LAYERS:
            raise PlanError(f"the rules need {FEWEST_LAYERS} layers at least, not {self.layers}")

    @property
    def last(self) -> int:
        """The layer that only reads and counts; as many claim flips before it."""
        return self.layers - 1

    @property
    def first_count(self) -> int:
        return self.layers - 2

    @property
    def look(self) -> int:
        """In the middle: later ones know boards better, earlier ones leave more layers to the
        sides as they are."""
        return (self.layers - 2) // 2

    @property
    def turn(self) -> int:
        return self.look + 1
