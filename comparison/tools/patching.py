"""Attribution patching, integrated gradients and activation patching, through TransformerLens.

How much each head, neuron and edge counts for a number that is read off the logits, where other
games take the place of the clean ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from comparison.testbed.libraries import library
from comparison.testbed.result import Found, Said, about, all_edges
from extracted_rules.othello.game import random_games, replay, stream_seed
from extracted_rules.othello.notation import format_transcript, squares_from_tokens
from handbuilt.network.checkpoints import export
from handbuilt.network.transformer import OthelloGPT
from handbuilt.testbed.making import lens_config

PURPOSE = "tools-patching"
#: Shares of the way from another game's embeddings to the clean ones.
AT_ONCE, ON_THE_WAY = (1.0,), [(n + 0.5) / 8 for n in range(8)]
#: What heads and neurons show, by their activations' names.
HEADS, NEURONS = "attn.hook_z", "mlp.hook_post"
#: What heads read.
ASKED = "q_input", "k_input", "v_input"


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
    return _linear(lens, asked, AT_ONCE)


def integrated_gradients(lens: Any, asked: Question) -> Found:
    """The same with the gradient's mean on the way between embeddings (Hanna et al. 2024, arXiv
    2403.17806)."""
    return _linear(lens, asked, ON_THE_WAY)


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


def edge_patching(lens: Any, asked: Question) -> Found:
    """Edges by attribution: the difference of what the writer adds to the stream, times the
    gradient by what the reader reads (Syed et al. 2023, arXiv 2310.10348)."""
    return _edges(lens, asked, AT_ONCE)


def edge_gradients(lens: Any, asked: Question) -> Found:
    """The same with the gradient's mean on the way (Hanna et al. 2024, arXiv 2403.17806)."""
    return _edges(lens, asked, ON_THE_WAY)


def _linear(lens: Any, asked: Question, on_the_way: Sequence[float]) -> Found:
    names = [f"blocks.{n}.{part}" for n in range(lens.cfg.n_layers) for part in (HEADS, NEURONS)]
    changes, slopes = _changes(lens, asked, names), _slopes(lens, asked, names, on_the_way)
    by_unit = {name: changes[name] * slopes[name] for name in names}
    heads = [by_unit[name].sum((0, 1, 3)).abs() for name in names if name.endswith(HEADS)]
    neurons = [by_unit[name].sum((0, 1)).abs() for name in names if name.endswith(NEURONS)]
    return Found(asked.said, {"heads": torch.stack(heads), "neurons": torch.stack(neurons)})


def _edges(lens: Any, asked: Question, on_the_way: Sequence[float]) -> Found:
    blocks = {f"blocks.{layer}": block for layer, block in enumerate(lens.blocks)}
    wrote = [f"{at}.{part}" for at in blocks for part in (HEADS, "hook_mlp_out")]
    last = f"blocks.{len(blocks) - 1}.hook_resid_post"
    read = [f"{at}.hook_{part}" for at in blocks for part in (*ASKED, "mlp_in")]
    # Without these, the parts of a layer share what they read.
    lens.set_use_split_qkv_input(True)
    lens.set_use_hook_mlp_in(True)
    changes = _changes(lens, asked, ["hook_embed", "hook_pos_embed", *wrote])
    slopes = _slopes(lens, asked, [*read, last], on_the_way)
    lens.set_use_split_qkv_input(False)
    lens.set_use_hook_mlp_in(False)
    writers = {name: changes[f"hook_{name}"] for name in ("embed", "pos_embed")}
    readers = {"logits": slopes[last]}
    for at, block in blocks.items():
        writers[f"{at}.mlp"] = changes[f"{at}.hook_mlp_out"]
        readers[f"{at}.mlp"] = slopes[f"{at}.hook_mlp_in"]
        heads = torch.stack([slopes[f"{at}.hook_{part}"] for part in ASKED]).sum(0)
        for head, out in enumerate(block.attn.W_O):
            writers[f"{at}.attn.{head}"] = changes[f"{at}.{HEADS}"][:, :, head] @ out
            readers[f"{at}.attn.{head}"] = heads[:, :, head]
    scored = tuple(
        (writer, reader, abs(float((writers[writer] * readers[reader]).sum())))
        for writer, reader in all_edges(lens.cfg)
    )
    return Found(replace(asked.said, edges=scored), {})


@torch.no_grad()
def _changes(lens: Any, asked: Question, names: Sequence[str]) -> dict[str, Tensor]:
    """By activation, the other games' less the clean ones'."""
    other, clean = (
        lens.run_with_cache(moves, names_filter=list(names))[1]
        for moves in (asked.others, asked.moves)
    )
    return {name: other[name] - clean[name] for name in names}


def _slopes(
    lens: Any, asked: Question, names: Sequence[str], on_the_way: Sequence[float]
) -> dict[str, Tensor]:
    """By activation, the gradient of what is asked; its mean over shares of the way from the other
    games' embeddings to the clean ones, of which 1 are the clean ones."""
    way = _changes(lens, asked, ["hook_embed"])["hook_embed"]
    total: dict[str, Tensor] = {}
    for share in on_the_way:
        seen: dict[str, Tensor] = {}

        def embed(clean: Tensor, hook: Any, share: float = share) -> Tensor:
            return (clean + (1 - share) * way).requires_grad_()

        def keep(value: Tensor, hook: Any, seen: dict[str, Tensor] = seen) -> None:
            seen[hook.name] = value

        hooks = [("hook_embed", embed), (names.__contains__, keep)]
        number = asked.number(lens.run_with_hooks(asked.moves, fwd_hooks=hooks))
        found = torch.autograd.grad(number, [seen[name] for name in names])
        for name, slope in zip(names, found, strict=True):
            total[name] = total.get(name, 0) + slope / len(on_the_way)
    return total
