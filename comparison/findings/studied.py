"""A model under study: its games, what it does in them, and what reads its board.

All findings share two samples of random games. What must be fitted or chosen comes from the games
``fit``, of the purpose "findings: fit"; what is reported comes from the games ``seen``, of the
purpose "findings".
"""

from functools import cached_property

import torch
from torch import Tensor

from comparison.reading.board_reader import BoardReader, board_reader
from comparison.reading.probes import Probes
from extracted_rules.benches.intervals import GROUPS
from extracted_rules.errors import UserError
from handbuilt.analysis.samples import Sample
from handbuilt.analysis.streams import games_for
from handbuilt.network.layout import Layout
from handbuilt.network.transformer import OthelloGPT

#: Random games of each sample, unless others are asked for; and the fewest that a pattern or an
#: interval by groups of games makes sense in.
GAMES, FEWEST_GAMES = 200, 2 * GROUPS

#: What the control is called that has ``Sample.others`` for boards.
SHUFFLED = "boards of other games"


class FindingsError(UserError):
    """What no findings can be asked with; the message is one sentence."""


def check_games(games: int) -> None:
    """Raises FindingsError for too few."""
    if games < FEWEST_GAMES:
        raise FindingsError(
            f"{games} games are too few for findings: {FEWEST_GAMES} are needed for patterns to "
            "occur at all, and for intervals"
        )


class Studied:
    """A model, and what findings ask of it.

    tau: the probability above which it predicts a move. probes: what reads the board of a
    model without names; without them, findings about its board are absent. Raises FindingsError for
    too few games.
    """

    def __init__(
        self,
        model: OthelloGPT,
        tau: float,
        probes: Probes | None = None,
        games: int = GAMES,
        seed: int = 1,
    ) -> None:
        check_games(games)
        self.model, self.tau, self.probes = model, tau, probes
        self.games, self.seed = games, seed
        self.layers = model.shape.n_layers
        self.device = model.device

    @cached_property
    def layout(self) -> Layout | None:
        """The names of a hand-built model; None of any other."""
        return self.model.layout if self.model.is_handbuilt else None

    @cached_property
    def fit(self) -> Sample:
        """The games that everything is fitted and chosen on."""
        return Sample(self.model, "findings: fit", self.games, self.seed)

    @cached_property
    def seen(self) -> Sample:
        """The games that everything is reported on."""
        return Sample(self.model, "findings", self.games, self.seed)

    @cached_property
    def reader(self) -> BoardReader | None:
        """What reads the model's board and turns discs in it; None for a model without names and
        probes."""
        return board_reader(self.model, self.probes)

    def games_for(self, use: str, games: int) -> Tensor:
        """uint8 [games, max_plies]: more random games, of a purpose of their own."""
        return torch.cat(list(games_for(self.model, games, self.seed, f"findings: {use}")))
