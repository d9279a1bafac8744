"""A model of any making, transcribed: what each neuron reads, in names.

Sums of activations and truth over random games come first, the only part that takes long: they
stream, and a killed run goes on from what it has written down. All else is algebra of covariances.
Names are fitted on the truth alone, reads on the model's own activations; nothing is fitted to its
answers.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from extracted_rules.discovery.names import (
    Readouts,
    all_names,
    covariance,
    fitted,
    random,
    that_vary,
    truth,
)
from extracted_rules.discovery.regression import Regression, share
from extracted_rules.discovery.sparse import check_reads, kept, pursue
from extracted_rules.files import KeptTensors
from extracted_rules.othello.game import random_games, replay
from handbuilt.analysis.streams import READ_GAMES
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcript import (
    About,
    Reads,
    Transcript,
    TranscriptError,
    before_mlp,
    folded,
    places,
    weights_of,
)

#: Games on which names and reads are found, and others on which they are checked.
FINDING, CHECKING = "transcript", "transcript-check"
FINDING_GAMES, CHECKING_GAMES = 600, 2 * READ_GAMES
#: Games after which what was summed is written down.
STEP = 4 * READ_GAMES
#: Counts how sums are made, so that those made in another way are not taken for these.
METHOD = 1
#: Less of the truth's variance than this, told by names at their best place, is nothing.
TOO_LITTLE = 0.05


@dataclass(frozen=True)
class Sums:
    """Activations and truth at every place of a model, over some games of one purpose."""

    at: tuple[Regression, ...]
    model: str
    games: int
    seed: int


def check(model: OthelloGPT, reads: int, dense: Collection[int]) -> None:
    """Raises ReadsError and TranscriptError for what no model of this shape can be asked for."""
    check_reads(reads, len(all_names(model.geometry)))
    for layer in dense:
        if not 0 <= layer < model.shape.n_layers:
            raise TranscriptError(f"layer {layer} does not exist; there are {model.shape.n_layers}")


@torch.inference_mode()
def collect(
    model: OthelloGPT,
    games: int,
    seed: int,
    purpose: str = FINDING,
    work: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Sums:
    """work: a folder for what is summed so far. Raises KeptError for sums of something else in it,
    and OSError."""
    print_of, board = model.fingerprint(), model.geometry.size
    about = {"method": METHOD, "model": print_of, "purpose": purpose, "games": games, "seed": seed}
    kept_sums = KeptTensors(
        (work or Path()) / f"{purpose}.safetensors", {k: str(v) for k, v in about.items()}
    )
    sums: list[Regression] = []
    done = 0
    if work is not None and kept_sums.path.exists():
        tensors, says = kept_sums.read()
        sums, done = _of_tensors(tensors), int(says["done"])
        progress(done)
    drawn = random_games(games, seed, board=board, purpose=purpose, device=model.device, skip=done)
    for chunk in drawn:
        for part in torch.split(chunk, STEP):
            for tokens in torch.split(part, READ_GAMES):
                _add(sums, model, tokens)
                progress(len(tokens))
            done += len(part)
            if work is not None:
                kept_sums.write((_to_tensors(sums), {"done": str(done)}))
    return Sums(tuple(sums), print_of, games, seed)


def _add(sums: list[Regression], model: OthelloGPT, tokens: Tensor) -> None:
    geometry = model.geometry
    names = [f"{place}.hook_normalized" for place in places(model.shape.n_layers)]
    _, cache = model.run_with_cache(tokens[:, : geometry.context].long(), names)
    facts, where = truth(replay(tokens, board=geometry.size))
    activations = [cache[name][where].double() for name in names]
    if not sums:  # around the first games' mean, as a constant can be large
        sizes = 1, model.shape.d_model, facts.shape[1]
        sums += [Regression.zeros(*sizes, shift=x.mean(0)) for x in activations]
    for regression, x in zip(sums, activations, strict=True):
        regression.add(x, facts)


def _to_tensors(sums: list[Regression]) -> dict[str, Tensor]:
    return {
        f"{place}.{field.name}": getattr(regression, field.name)
        for place, regression in enumerate(sums)
        for field in fields(regression)
    }


def _of_tensors(tensors: dict[str, Tensor]) -> list[Regression]:
    names = [field.name for field in fields(Regression)]
    number = len(tensors) // len(names)
    return [Regression(*(tensors[f"{place}.{name}"] for name in names)) for place in range(number)]


def transcribe(
    model: OthelloGPT, name: str, sums: Sums, reads: int, dense: Collection[int] = (0,)
) -> Transcript:
    """In names; neurons of layers in ``dense`` read all of them, others so many.

    Raises ReadsError for a number of reads that there cannot be, and TranscriptError for sums of
    another model or where names tell nothing.
    """
    varies, slopes = that_vary(sums.at[0]), [fitted(regression) for regression in sums.at]
    told = [share(*at.explained(of)) for at, of in zip(sums.at, slopes, strict=True)]
    if max(told) < TOO_LITTLE:
        raise TranscriptError(
            f"{name} cannot be transcribed: of what happens in a game, its activations tell nothing"
        )
    every = all_names(model.geometry)
    names = tuple(every[column] for column in varies.tolist())
    return in_directions(model, name, sums, names, [of[:, varies] for of in slopes], reads, dense)


def control(
    model: OthelloGPT, name: str, sums: Sums, reads: int, dense: Collection[int] = (0,)
) -> Transcript:
    """As :func:`transcribe`, in as many random directions."""
    number = len(that_vary(sums.at[0]))
    directions = [random(at, number, sums.seed) for at in sums.at]
    names = tuple(f"random {n + 1}" for n in range(number))
    return in_directions(model, name, sums, names, directions, reads, dense)


def in_directions(
    model: OthelloGPT,
    name: str,
    sums: Sums,
    names: tuple[str, ...],
    directions: list[Tensor],
    reads: int,
    dense: Collection[int],
) -> Transcript:
    """In any directions, [d_model, names] at every place, and what they are called."""
    if sums.model != model.fingerprint():
        raise TranscriptError(f"{name} is another model than that of these sums")
    weights, at = weights_of(model), places(model.shape.n_layers)
    readouts = [Readouts.of(*pair) for pair in zip(sums.at, directions, strict=True)]
    layers = []
    for layer in range(model.shape.n_layers):
        number, part = before_mlp(layer), f"blocks.{layer}.mlp"
        of = readouts[number]
        own = weights[f"{part}.W_in"], weights[f"{part}.b_in"]
        wanted, bias = folded(weights, at[number], *own)
        shared = of.weights.T @ (covariance(sums.at[number]) @ wanted)
        some = len(names) if layer in dense else reads
        layers.append(Reads(*pursue(of.covariance, shared, some), bias + of.mean @ wanted))
    return Transcript(
        about=About(name, sums.model, names, sums.games, sums.seed),
        means=torch.stack([of.mean for of in readouts]),
        readouts=torch.stack([of.weights for of in readouts]),
        decoders=torch.stack([of.decoder for of in readouts]),
        reads=tuple(layers),
    )


def shares_kept(transcript: Transcript, model: OthelloGPT, sums: Sums) -> list[float]:
    """By layer, of the variance of what goes into its neurons, what their reads keep; over games
    that they were not found on."""
    weights, names, shares = weights_of(model), len(transcript.about.names), []
    at = places(model.shape.n_layers)
    for layer, reads in enumerate(transcript.reads):
        number, part = before_mlp(layer), f"blocks.{layer}.mlp"
        wanted, _ = folded(weights, at[number], weights[f"{part}.W_in"], weights[f"{part}.b_in"])
        read_by = transcript.readouts[number] @ reads.weights(names)
        shares.append(kept(covariance(sums.at[number]), wanted, read_by))
    return shares
