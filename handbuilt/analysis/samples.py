"""What a model does in some random games, position by position.

The residual stream of a sample is kept, so memory grows by about 1 MiB a game.
"""

from functools import cached_property, lru_cache

import torch
from torch import Tensor

from extracted_rules.benches.intervals import GROUPS, group_of_games
from extracted_rules.conditions import Boards, there
from extracted_rules.discovery.candidates import shuffled
from extracted_rules.discovery.heads import HeadRoles
from extracted_rules.othello.game import replay, stream_seed
from handbuilt.analysis.streams import games_for
from handbuilt.network.transformer import Keep, OthelloGPT


def mlp_of(
    model: OthelloGPT, layer: int, stream: Tensor, keep: Keep = lambda _, value: value
) -> Tensor:
    """float32 [..., d_model]: what a layer's MLP writes, of the stream before it."""
    ln, mlp = (model.get_submodule(f"blocks.{layer}.{part}") for part in ("ln2", "mlp"))
    written: Tensor = mlp(ln(stream, lambda _, value: value), keep)
    return written


class Sample:
    """Some random games, and what a model does in them.

    tokens: uint8 [B, max_plies] and ``played`` on the model's device; all else on the CPU. *Rows*
    are the positions after which a side can move, in the order of games, then plies. boards: of
    every row; others: those of other games at the same plies, the control. game, group: int64
    [rows]. mover: int8 [rows], +1 where the side that made a row's move moves again, else -1.
    """

    def __init__(self, model: OthelloGPT, purpose: str, games: int, seed: int) -> None:
        self.model, self.games = model, games
        moves = model.geometry.context
        self.tokens = torch.cat(list(games_for(model, games, seed, purpose)))
        self.played = replay(self.tokens, board=model.geometry.size)
        self.there = there(self.played, moves).cpu()
        self.boards = Boards.of(self.played, moves).cpu()
        self.others = shuffled(self.boards, stream_seed(f"{purpose}: control", seed) % 2**31)
        self.game = self.boards.game
        self.group = group_of_games(games)[self.game]
        movers = self.played.movers.cpu()
        self.mover = (movers[:, :moves] * movers[:, 1 : moves + 1])[self.there]
        self._neurons = lru_cache(maxsize=2)(self._activations)

    @cached_property
    def _run(self) -> tuple[list[Tensor], list[HeadRoles], Tensor]:
        """(the stream in the midst of every layer at the rows, [rows, d_model]; attention patterns
        of every group and layer; logits [rows, tokens])."""
        shape, context = self.model.shape, self.model.geometry.context
        parts: list[list[Tensor]] = [[] for _ in range(shape.n_layers)]
        roles, logits = [], []
        for tokens, rows in zip(
            self.tokens.tensor_split(GROUPS), self.there.tensor_split(GROUPS), strict=True
        ):
            here = rows.to(tokens.device)
            answers, kept = self.model.run_with_cache(
                tokens[:, :context].long(),
                lambda name: name.endswith(("hook_resid_mid", "hook_pattern")),
            )
            logits.append(answers[here].cpu())
            for layer, part in enumerate(parts):
                part.append(kept[f"blocks.{layer}.hook_resid_mid"][here])
                roles.append(HeadRoles(shape.n_heads, context))
                roles[-1].add(kept[f"blocks.{layer}.attn.hook_pattern"], here)
        return [torch.cat(part) for part in parts], roles, torch.cat(logits)

    @property
    def logits(self) -> Tensor:
        """float32 [rows, tokens]."""
        return self._run[2]

    @property
    def attention(self) -> tuple[Tensor, Tensor, Tensor]:
        """Sums over each group's games, as :class:`HeadRoles` keeps them: float64 counts [GROUPS,
        layers, T], patterns and their squares [GROUPS, layers, heads, T, T]."""
        roles = self._run[1]
        count, total, squares = (
            torch.stack([getattr(r, name) for r in roles]) for name in ("count", "total", "squares")
        )
        layers = self.model.shape.n_layers
        count, total, squares = (
            t.view(GROUPS, layers, *t.shape[1:]) for t in (count, total, squares)
        )
        return count, total, squares

    def before(self, layer: int) -> Tensor:
        """float32 [rows, d_model]: the residual stream before a layer above the first."""
        return self.behind(layer - 1)

    def behind(self, layer: int) -> Tensor:
        """float32 [rows, d_model]: the residual stream behind a layer."""
        mid = self._run[0][layer]
        return (mid + mlp_of(self.model, layer, mid)).cpu()

    def neurons(self, layer: int) -> Tensor:
        """float32 [rows, d_mlp]: what a layer's neurons do. The latest two layers are kept."""
        return self._neurons(layer)

    def _activations(self, layer: int) -> Tensor:
        kept: list[Tensor] = []

        def keep(name: str, value: Tensor) -> Tensor:
            if name == "hook_post":
                kept.append(value)
                return value[:0]  # what they write is not asked for
            return value

        mlp_of(self.model, layer, self._run[0][layer], keep)
        return kept[0].cpu()
