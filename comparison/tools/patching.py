"""Attribution patching, integrated gradients and activation patching, through TransformerLens.

How much each head and neuron counts for a number that is read off the logits, where other games
take the place of the clean ones.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from comparison.testbed.libraries import library
from comparison.testbed.result import Found, Said, about
from extracted_rules.othello.game import random_games, replay, stream_seed
from extracted_rules.othello.notation import format_transcript, squares_from_tokens
from handbuilt.network.checkpoints import export
from handbuilt.network.transformer import OthelloGPT
from handbuilt.testbed.making import lens_config

PURPOSE = "tools-patching"
#: Steps on the way from another game's embeddings to the clean ones.
STEPS = 8
#: What heads and neurons show, by their activations' names.
HEADS, NEURONS = "attn.hook_z", "mlp.hook_post"


@dataclass(frozen=True)
class Question:
    """moves, others: int64 [B, T], clean games and what takes their place; number: of logits [B, T,
    tokens], what is asked of them, a sum over games; said: the result about it."""

    moves: Tensor
    others: Tensor
    number: Callable[[Tensor], Tensor]
    said: Said


def hooked(model: OthelloGPT) -> Any:
    """A HookedTransformer with a model's weights, as a test bed's folder has them. Raises
    MissingLibraryError."""
    lens = library(
        "transformer_lens", "patching goes through TransformerLens 3", "HookedTransformer"
    )
    config = lens.HookedTransformerConfig(**lens_config(model), device=str(model.device))
    found = lens.HookedTransformer(config).eval()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ll_model.pth"
        export(model, "transformer-lens", path)
        found.load_state_dict(torch.load(path, weights_only=True))
    found.requires_grad_(False)
    return found


def predictions(model: OthelloGPT, number: int, seed: int, others: int = 8) -> list[Question]:
    """The logit of a legal square, chosen by chance, in a position of a random game each."""
    board, made = model.geometry, about(model)
    drawn = random_games(number * (others + 1), seed, board=board.size, purpose=PURPOSE)
    games = torch.cat(list(drawn))
    chance = torch.Generator().manual_seed(stream_seed(PURPOSE, seed))
    found = []
    for game, *rest in games.view(number, others + 1, -1):
        played = replay(game[None], board=board.size)
        last = int((game != 0).sum()) - 1
        count = int(
            torch.randint(board.context // 3, min(last, board.context), (), generator=chance)
        )
        legal = played.legal[0, count].nonzero().flatten()
        if not len(legal):
            continue
        square = int(legal[torch.randint(len(legal), (), generator=chance)])
        token = board.token_of(square)
        moves = format_transcript(squares_from_tokens(game[:count], board.size), board.size)
        says = replace(made, moves=moves, square=board.labels[square])

        def logit(logits: Tensor, token: int = token) -> Tensor:
            return logits[:, -1, token].sum()

        wrong = torch.stack(rest)[:, :count].long()
        found.append(Question(game[None, :count].long().expand_as(wrong), wrong, logit, says))
    return found


def everything(model: OthelloGPT, games: int, seed: int) -> Question:
    """The probability of all legal moves, in whole games."""
    board = model.geometry
    drawn = random_games(games, seed, board=board.size, purpose=PURPOSE)
    tokens = torch.cat(list(drawn))
    legal = replay(tokens, board=board.size).legal[:, 1 : board.context + 1][
        ..., list(board.playable)
    ]
    moves = tokens[:, : board.context].long()

    def mass(logits: Tensor) -> Tensor:
        found: Tensor = (logits[..., 1:].softmax(-1) * legal).sum()
        return found

    return Question(moves, moves.roll(1, 0), mass, about(model))


def attribution_patching(lens: Any, asked: Question) -> Found:
    """The difference of activations times the gradient at the clean ones (Nanda 2023)."""
    return _linear(lens, asked, (1.0,))


def integrated_gradients(lens: Any, asked: Question) -> Found:
    """The same with the gradient's mean on the way between embeddings (Hanna et al. 2024, arXiv
    2403.17806)."""
    return _linear(lens, asked, tuple((n + 0.5) / STEPS for n in range(STEPS)))


def activation_patching(lens: Any, asked: Question) -> Found:
    """Each head with what it is in the other games; neurons are too many for that."""
    layers, heads = range(lens.cfg.n_layers), range(lens.cfg.n_heads)
    names = [f"blocks.{layer}.{HEADS}" for layer in layers]
    with torch.inference_mode():
        _, other = lens.run_with_cache(asked.others, names_filter=names.__contains__)
        clean = asked.number(lens(asked.moves))
        changes = torch.zeros(len(names), lens.cfg.n_heads)
        for layer, name in enumerate(names):
            for head in heads:

                def patch(z: Tensor, hook: Any, head: int = head) -> Tensor:
                    z = z.clone()
                    z[:, :, head] = other[hook.name][:, :, head]
                    return z

                patched = lens.run_with_hooks(asked.moves, fwd_hooks=[(name, patch)])
                changes[layer, head] = (asked.number(patched) - clean).abs()
    return Found(asked.said, {"heads": changes})


def _linear(lens: Any, asked: Question, on_the_way: tuple[float, ...]) -> Found:
    names = [f"blocks.{n}.{part}" for n in range(lens.cfg.n_layers) for part in (HEADS, NEURONS)]
    _, other = lens.run_with_cache(asked.others, names_filter=[*names, "hook_embed"])
    _, clean = lens.run_with_cache(asked.moves, names_filter=[*names, "hook_embed"])
    slopes = {name: torch.zeros_like(clean[name]) for name in names}
    start, way = other["hook_embed"], clean["hook_embed"] - other["hook_embed"]
    for share in on_the_way:
        seen: dict[str, Tensor] = {}

        def embed(_: Tensor, hook: Any, share: float = share) -> Tensor:
            between: Tensor = start + share * way
            return between.requires_grad_()

        def keep(value: Tensor, hook: Any, seen: dict[str, Tensor] = seen) -> None:
            seen[hook.name] = value

        hooks = [("hook_embed", embed), (names.__contains__, keep)]
        number = asked.number(lens.run_with_hooks(asked.moves, fwd_hooks=hooks))
        found = torch.autograd.grad(number, [seen[name] for name in names])
        for name, slope in zip(names, found, strict=True):
            slopes[name] += slope / len(on_the_way)
    by_unit = {name: (other[name] - clean[name]) * slopes[name] for name in names}
    heads = [by_unit[name].sum((0, 1, 3)).abs() for name in names if name.endswith(HEADS)]
    neurons = [by_unit[name].sum((0, 1)).abs() for name in names if name.endswith(NEURONS)]
    return Found(asked.said, {"heads": torch.stack(heads), "neurons": torch.stack(neurons)})
