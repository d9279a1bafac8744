"""The sizes of an Othello-GPT; the paper's shape is the default."""

from dataclasses import dataclass, replace

from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import STANDARD, Geometry

_PAPER = Geometry(STANDARD)


class CheckpointError(UserError):
    """A file or model that is not usable so; the message is one sentence."""


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; the defaults are Othello-GPT's (Li et al. 2022)."""

    n_layers: int = 8
    d_model: int = 512
    n_heads: int = 8
    d_head: int = 64
    d_mlp: int = 2048
    n_ctx: int = _PAPER.context
    d_vocab: int = _PAPER.n_tokens
    ln_eps: float = 1e-5

    @property
    def geometry(self) -> Geometry:
        """The board whose moves are the vocabulary. Raises BoardError where there is none."""
        return Geometry.of_tokens(self.d_vocab)

    def on(self, board: int) -> "Shape":
        """The same for games on another board. Raises BoardError."""
        geometry = Geometry(board)
        return replace(self, n_ctx=geometry.context, d_vocab=geometry.n_tokens)
