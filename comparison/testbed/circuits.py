"""Rankings of edges, heads and neurons against what is really connected and what really counts."""

from collections.abc import Mapping

import torch
from torch import Tensor

from comparison.testbed.libraries import library
from comparison.testbed.result import Found, ResultError, all_edges
from comparison.testbed.scores import Figures, Score, beside
from extracted_rules.errors import UserError
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.notation import parse_transcript, tokens_from_squares
from handbuilt.analysis.contributions import Attribution
from handbuilt.network.transformer import HookPoint, OthelloGPT
from handbuilt.testbed.key import Key

#: The circuit of a prediction: the fewest parts that hold this share of all contributions.
HOLDS = 0.95
#: Games on which the rest of the model is replaced, and the share of the parts in use that is kept.
GAMES, KEPT = 20, (0.5, 1.0)
PARTS = "heads", "neurons"
Parts = Mapping[str, Tensor]


def _ranked(labels: Tensor, scores: Tensor) -> Figures:
    """AUROC and average precision of scores [n] for labels bool [n]."""
    metrics = library("sklearn.metrics", "circuits are scored by scikit-learn")
    if len(set(labels.tolist())) < 2:
        raise ResultError("all parts count alike here, so no ranking can be scored")
    given = labels.numpy(), scores.double().numpy()
    return {
        "AUROC": metrics.roc_auc_score(*given),
        "average precision": metrics.average_precision_score(*given),
    }


def score_edges(found: Found, key: Key, model: OthelloGPT, seed: int) -> list[Score]:
    """Edges between nodes; those that are not named rank last. An edge is true if a node writes a
    name that the other reads."""
    every, true = all_edges(model.shape), set(key.truth.edges)
    labels = torch.tensor([edge in true for edge in every])
    said = {(writer, reader): score for writer, reader, score in found.said.edges}
    last = min(said.values()) - 1
    given = torch.tensor([said.get(edge, last) for edge in every])
    chance = torch.rand(len(every), generator=torch.Generator().manual_seed(seed))
    return beside("edges", lambda of: _ranked(labels, of), given, labels.float(), chance)


def score_parts(found: Found, key: Key | None, model: OthelloGPT, seed: int) -> list[Score]:
    """A ranking of heads and neurons: for one prediction against its exact contributions, else by
    how faithful the model is when the best ones alone are kept."""
    given: Parts = {n: found.arrays[n] for n in PARTS if n in found.arrays}
    generator = torch.Generator().manual_seed(seed)
    chance = {n: torch.rand(scores.shape, generator=generator) for n, scores in given.items()}
    if key is not None and found.said.moves:
        exact = contributions(key, model, found.said.moves, found.said.square)
        true: Parts = {name: exact[name].abs() for name in given}
        labels = _circuit(_flat(true))
        return beside("parts", lambda of: _ranked(labels, _flat(of)), given, true, chance)
    kept = Kept(model, seed)
    true = {name: kept.loudness[name] for name in given}
    return beside("parts", kept.figures, given, true, chance)


def _flat(parts: Parts) -> Tensor:
    return torch.cat([parts[name].flatten() for name in sorted(parts)])


def _circuit(sizes: Tensor) -> Tensor:
    """bool [n]: the fewest that hold a share of HOLDS of sizes [n]."""
    order = sizes.argsort(descending=True)
    before = sizes[order].cumsum(0) - sizes[order]
    labels = torch.zeros(len(sizes), dtype=torch.bool)
    labels[order] = before < HOLDS * sizes.sum()
    return labels & (sizes > 0)


def contributions(key: Key, model: OthelloGPT, moves: str, square: str) -> dict[str, Tensor]:
    """What heads [layers, heads] and neurons [layers, d_mlp] add to a square's logit after some
    moves, exactly. Raises ResultError."""
    board = key.geometry
    try:
        tokens = tokens_from_squares([parse_transcript(moves, board.size)], board.size)[0]
        replay(tokens[None], board=board.size)
        column = board.token_of(board.square_of(square)) - 1
    except UserError as error:
        raise ResultError(f"no prediction of {square!r} after {moves!r}: {error}") from None
    count = int((tokens != 0).sum())
    if not 1 <= count <= model.shape.n_ctx:
        raise ResultError(f"a prediction follows 1 to {model.shape.n_ctx} moves, not {count}")
    attribution = Attribution(model, relative=False)
    weights = model.state_dict()
    biases = [weights[f"blocks.{n}.mlp.b_in"].double() for n in range(model.shape.n_layers)]
    attribution.idle = torch.stack(biases) * key.tensors["linear"]
    cache = attribution.run(tokens)
    parts = attribution.parts(cache, count - 1)
    return {"heads": parts.heads[..., column], "neurons": parts.neurons[..., column]}


class Kept:
    """A model of which some heads and neurons are kept, and all others replaced by their mean over
    games at the same ply, or by what they are in another game.

    What is measured is the probability of legal moves: 1 is what the whole model gives them, 0 what
    is left without any part. loudness: how much what a part writes varies.
    """

    def __init__(self, model: OthelloGPT, seed: int) -> None:
        self.model, board = model, model.geometry
        drawn = random_games(GAMES, seed, board=board.size, purpose="testbed-circuits")
        games = torch.cat(list(drawn))
        played, self.moves = replay(games, board=board.size), games[:, : board.context].long()
        self.legal = played.legal[:, 1 : board.context + 1][..., list(board.playable)]
        layers = range(model.shape.n_layers)
        self.names = {"heads": [f"blocks.{n}.attn.hook_z" for n in layers],
                      "neurons": [f"blocks.{n}.mlp.hook_post" for n in layers]}  # fmt: skip
        with torch.inference_mode():
            wanted = {name for names in self.names.values() for name in names}
            logits, self.cache = model.run_with_cache(self.moves, wanted.__contains__)
        self.whole = self._measure(logits)
        self.loudness = self._loudness()
        self.in_use = {name: int((x > 1e-6).sum()) for name, x in self.loudness.items()}

    def _measure(self, logits: Tensor) -> float:
        mass = (logits[..., 1:].softmax(-1) * self.legal).sum(-1)
        return float(mass[self.legal.any(-1)].mean())

    def _loudness(self) -> dict[str, Tensor]:
        heads, neurons, weights = [], [], self.model.state_dict()
        for layer in range(self.model.shape.n_layers):
            z, post = (self.cache[self.names[kind][layer]] for kind in PARTS)
            wrote = torch.einsum("gthd,hdm->gthm", z, weights[f"blocks.{layer}.attn.W_O"])
            heads.append(wrote.flatten(0, 1).std(0).norm(dim=-1))
            size = weights[f"blocks.{layer}.mlp.W_out"].norm(dim=-1)
            neurons.append(post.flatten(0, 1).std(0) * size)
        return {"heads": torch.stack(heads), "neurons": torch.stack(neurons)}

    def figures(self, ranking: Parts) -> Figures:
        """What of the measure is left, by the share of the parts in use that is kept."""
        found = {}
        for how in ("mean", "resample"):
            none = self._with({n: torch.zeros_like(x, dtype=torch.bool)
                               for n, x in ranking.items()}, how)  # fmt: skip
            for share in KEPT:
                masks = {}
                for name, scores in ranking.items():
                    count = max(int(share * self.in_use[name]), 1)
                    least = scores.flatten().topk(count).values[-1]
                    masks[name] = scores >= least
                kept = (self._with(masks, how) - none) / max(self.whole - none, 1e-9)
                found[f"faithfulness, {share:.0%} kept, {how}"] = kept
        return found

    @torch.inference_mode()
    def _with(self, masks: Parts, how: str) -> float:
        """The measure where the parts of masks alone are kept."""
        places = {n: (kind, layer) for kind in masks for layer, n in enumerate(self.names[kind])}

        def change(value: Tensor, hook: HookPoint) -> Tensor:
            kind, layer = places[hook.name]
            other = self.cache[hook.name]
            other = other.mean(0, keepdim=True) if how == "mean" else other.roll(1, 0)
            kept = masks[kind][layer]
            return torch.where(kept[:, None] if kind == "heads" else kept, value, other)

        return self._measure(self.model.run_with_hooks(self.moves, [(list(places), change)]))
