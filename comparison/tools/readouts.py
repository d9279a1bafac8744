"""Linear probes of a place, and the directions of a transcript: what this project reads with."""

from collections.abc import Sequence

import torch
from torch import Tensor

from comparison.testbed.result import Found, about
from extracted_rules.discovery.names import Spread
from handbuilt.analysis.streams import moves_of, random_replays
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcripts.transcribing import Sums, collect, transcribe
from handbuilt.transcripts.transcript import places

#: Games on which features are shown.
SHOWN = "tools-shown"


def shown_games(model: OthelloGPT, games: int, seed: int) -> Tensor:
    """int64 [games, context]: of a purpose of their own."""
    return torch.cat([moves_of(played) for played in random_replays(model, games, seed, SHOWN)])


@torch.inference_mode()
def stream_at(model: OthelloGPT, place: str, moves: Tensor) -> Tensor:
    """float32 [games, plies, d_model]: any activation, by its name."""
    return model.run_with_cache(moves, place)[1][place]


def sums_of(model: OthelloGPT, games: int, seed: int) -> Sums:
    """What both tools are fitted on."""
    return collect(model, games, seed, "tools-readouts")


def probes(model: OthelloGPT, sums: Sums, place: str, shown: Tensor) -> list[Found]:
    """Ridge regressions of facts about the position on a place that a LayerNorm reads, one each:
    their weights, as directions that are read; what goes together with each fact (its pattern,
    Haufe et al. 2014), as directions that are written; and what they tell, above its mean."""
    number = _number(model, place)
    spread = Spread.of(sums.at[number])
    spread = spread.only(spread.varies)
    read, pattern = spread.fitted().T.float(), spread.shared.T.float()
    told = torch.nn.functional.layer_norm(stream_at(model, place, shown), (read.shape[1],))
    mean = sums.at[number].means[0][0].float()
    return [
        Found(about(model, place, "read"), {"directions": read}),
        Found(
            about(model, place),
            {
                "directions": pattern,
                "activations": ((told - mean) @ read.T).relu(),
                "games": shown,
            },
        ),
    ]


def transcript(model: OthelloGPT, sums: Sums, place: str, kind: str = "names") -> Found:
    """The readouts of a transcript, the same at all places; or, as a control, directions of another
    kind in their place."""
    found = transcribe(model, "model", sums, 1, kind=kind)
    return Found(about(model, place, "read"), {"directions": found.readouts.T.float()})


def _number(model: OthelloGPT, place: str) -> int:
    norms: Sequence[str] = places(model.shape.n_layers)
    layer, where = int(place.split(".")[1]), place.rpartition("_")[2]
    return norms.index(f"blocks.{layer}.ln{2 if where == 'mid' else 1}")
