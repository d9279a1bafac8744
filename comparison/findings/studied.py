"""A model under study: its games, what it does in them, and what reads its board.

All findings share two samples of random games. What must be fitted or chosen comes from the games
``fit``, of the purpose "findings: fit"; what is reported comes from the games ``seen``, of the
purpose "findings". The residual stream of a sample is kept, so memory grows by about 1 MiB a game.
"""

from functools import cached_property, lru_cache

import torch
from torch import Tensor

from comparison.reading.board_reader import BoardReader, board_reader
from comparison.reading.probes import Probes
from extracted_rules.benches.intervals import GROUPS, group_of_games
from extracted_rules.conditions import Boards, there
from extracted_rules.discovery.candidates import shuffled
from extracted_rules.discovery.heads import HeadRoles
from extracted_rules.errors import UserError
from extracted_rules.othello.game import random_games, replay, stream_seed
from handbuilt.network.layout import Layout
from handbuilt.network.transformer import Keep, OthelloGPT

#: Random games of each sample, unless others are asked for; and the fewest that a pattern or an
#: interval by groups of games makes sense in.
GAMES, FEWEST_GAMES = 200, 2 * GROUPS

#: What the control is called that has ``Sample.others`` for boards.
SHUFFLED = "boards of other games"


class FindingsError(UserError):
    """What no findings can be asked with; the message is one sentence."""


class Sample:
    """Some random games, and what a model does in them.

    tokens: uint8 [B, max_plies] and ``played`` on the model's device; all else on the CPU. *Rows*
    are the positions after which a side can move, in the order of games, then plies. boards: of
    every row; others: those of other games at the same plies, the control. game, group: int64
    [rows]. mover: int8 [rows], +1 where the side that made a row's move moves again, else -1.
    """

    def __init__(self, model: OthelloGPT, purpose: str, games: int, seed: int) -> None:
        self.model, self.games = model, games
        board, moves = model.geometry.size, model.geometry.context
        chunks = random_games(games, seed, board=board, purpose=purpose, device=model.device)
        self.tokens = torch.cat(list(chunks))
        self.played = replay(self.tokens, board=board)
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
        return (mid + self._mlp(layer, as_it_is)).cpu()

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

        self._mlp(layer, keep)
        return kept[0].cpu()

    def _mlp(self, layer: int, hook: Keep) -> Tensor:
        """What a layer's MLP writes at the rows."""
        ln, mlp = (self.model.get_submodule(f"blocks.{layer}.{part}") for part in ("ln2", "mlp"))
        written: Tensor = mlp(ln(self._run[0][layer], as_it_is), hook)
        return written


def as_it_is(name: str, value: Tensor) -> Tensor:
    """A hook that changes nothing."""
    return value


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
        board, purpose = self.model.geometry.size, f"findings: {use}"
        chunks = random_games(games, self.seed, board=board, purpose=purpose, device=self.device)
        return torch.cat(list(chunks))
