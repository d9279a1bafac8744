"""What no model should be thrown by: sequences that are no games, and games of any length."""

import torch
from torch import Tensor

from comparison.properties.definition import Property, Verdicts, nowhere
from comparison.properties.subjects import Subject
from extracted_rules.benches.changed_games import spoilt
from extracted_rules.othello.geometry import STANDARD
from extracted_rules.othello.svg import Picture


class Hostile(Property):
    """Legal games as they are, then cut anywhere, then with moves replaced by any token, then any
    tokens at all: in turns."""

    name = "hostile"
    sentence = (
        "Any sequence of tokens gets finite logits: games cut anywhere, whole games, early ends, "
        "illegal moves."
    )
    source = "what a program is expected to do with any input"
    legal = False

    def cases(self, games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
        return spoilt(games, seed, board)[:, None]

    def judge(self, subject: Subject, cases: Tensor) -> Verdicts:
        tokens = cases[:, 0, : subject.geometry.context]
        try:
            finite = subject.logits(tokens).isfinite().all(-1)
        except Exception:  # whatever it raises: that is the finding
            finite = self._one_by_one(subject, tokens)
        # Padding is no move, so nothing is answered to it.
        applies = (tokens != 0).to(finite.device)
        finite = finite | ~applies
        return Verdicts(applies, ~finite, nowhere(finite))

    @staticmethod
    def _one_by_one(subject: Subject, tokens: Tensor) -> Tensor:
        """bool [cases, T]: finite answers, where some game makes the model raise; of such a game
        the last position counts as the culprit."""
        finite = torch.ones(tokens.shape, dtype=torch.bool, device=subject.device)
        for row, game in enumerate(tokens):
            try:
                finite[row] = subject.logits(game[None]).isfinite().all(-1)[0]
            except Exception:  # as above
                there = game.nonzero()
                finite[row, int(there.max()) if len(there) else 0] = False
        return finite

    def words(self, case: Tensor, board: int = STANDARD) -> str:
        return "tokens " + " ".join(map(str, case[0].tolist()))

    def answers(self, subject: Subject, case: Tensor, square: int) -> list[Picture]:
        return []  # no board belongs to it


HOSTILE_PROPERTIES: tuple[Property, ...] = (Hostile(),)
