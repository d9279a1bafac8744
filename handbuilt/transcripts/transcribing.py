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

from extracted_rules.conditions import there
from extracted_rules.discovery.names import (
    Spread,
    all_names,
    truth,
)
from extracted_rules.discovery.regression import Regression
from extracted_rules.discovery.sparse import check_reads, kept, learn, pursue
from extracted_rules.files import KeptTensors
from extracted_rules.othello.game import random_games, replay
from handbuilt.analysis.streams import READ_GAMES
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcripts.transcript import (
    WITHIN,
    About,
    Neurons,
    Transcript,
    TranscriptError,
    before_mlp,
    decoded_as,
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
#: So many units of names in an octave are tried.
UNITS = 4
#: What a model can be transcribed in: names, and controls of as many directions.
KINDS = ("names", "random", "principal", "learned")
#: How directions are learned: by so many reads a neuron, in so many rounds.
LEARNED = 4, 10
#: No name counts as told worse than this correlation.
LEAST_TOLD = 0.05
#: Less of the truth's variance than this, told by names at their best place, is nothing.
TOO_LITTLE = 0.05


@dataclass(frozen=True)
class Sums:
    """Activations and truth at every place of a model, over some games of one purpose."""

    at: tuple[Regression, ...]
    model: str
    board: int
    games: int
    seed: int


def check(model: OthelloGPT, reads: int, dense: Collection[int], kind: str = KINDS[0]) -> None:
    """Raises ReadsError and TranscriptError for what no model of this shape can be asked for."""
    check_reads(reads, len(all_names(model.geometry)))
    if kind not in KINDS:
        raise TranscriptError(f"a transcript is in {', '.join(KINDS)}, not in {kind!r}")
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
    return Sums(tuple(sums), print_of, board, games, seed)


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
    model: OthelloGPT,
    name: str,
    sums: Sums,
    reads: int,
    dense: Collection[int] = (0,),
    kind: str = "names",
) -> Transcript:
    """In names or, as a control, in as many other directions; neurons of layers in ``dense`` read
    all of them, others so many.

    Raises ReadsError for a number of reads that there cannot be, and TranscriptError for sums of
    another model, for more names than directions, or where names tell nothing.
    """
    if sums.model != model.fingerprint():
        raise TranscriptError(f"{name} is another model than that of these sums")
    at, layers = [Spread.of(part) for part in sums.at], model.shape.n_layers
    within = [part for n, part in enumerate(sums.at) if decoded_as(n, layers) == WITHIN]
    pooled = Spread.pooled(within or sums.at)
    varies = pooled.varies
    names, readouts = _read(model, name, pooled, sums, kind)
    every_name = len(names) == reads
    read_densely = tuple(n for n in range(layers) if every_name or n in dense)
    others = _others(sums, readouts)
    unit, norms = _felt(model, readouts, others, sums.seed)
    return Transcript(
        about=About(name, sums.model, names, read_densely, sums.games, sums.seed),
        basis=torch.cat([unit * readouts, others], 1),
        unit=unit,
        decoders=torch.stack([of.decoder(readouts) for of in (at[0], at[1], pooled, at[-1])]),
        means=torch.stack([part.means[0][0] for part in sums.at]),
        norms=norms,
        told=(
            _told(sums, readouts, varies)
            if kind == KINDS[0]
            else torch.zeros(3, len(at), len(names), dtype=torch.float64)
        ),
        neurons=_neurons(model, sums, readouts, reads, read_densely),
    )


def _read(
    model: OthelloGPT, name: str, pooled: Spread, sums: Sums, kind: str
) -> tuple[tuple[str, ...], Tensor]:
    """What the directions of a kind are called, and the directions. Raises TranscriptError."""
    every = all_names(model.geometry)
    names = tuple(every[column] for column in pooled.varies.tolist())
    number = len(names)
    if number >= model.shape.d_model:
        raise TranscriptError(
            f"{number} names need more than {number} directions; {name} has {model.shape.d_model}"
        )
    if kind == KINDS[0]:
        at = (Spread.of(part) for part in sums.at)
        if not any(float(of.correlation(of.fitted()).square().mean()) > TOO_LITTLE for of in at):
            raise TranscriptError(
                f"{name} cannot be transcribed: of what happens in a game, its activations tell "
                "nothing"
            )
        return names, pooled.fitted()[:, pooled.varies]
    readouts = pooled.principal(number) if kind == "principal" else pooled.random(number, sums.seed)
    if kind == "learned":
        layers = range(1, model.shape.n_layers) if model.shape.n_layers > 1 else range(1)
        wanted = torch.cat([_wanted(model, layer)[0] for layer in layers], 1)
        readouts = learn(readouts, wanted, pooled, *LEARNED)
    return tuple(f"{kind} {n + 1}" for n in range(number)), readouts


def _wanted(model: OthelloGPT, layer: int) -> tuple[Tensor, Tensor]:
    """([d_model, neurons], [neurons]): what goes into neurons, of the normalised stream."""
    weights, part = weights_of(model), f"blocks.{layer}.mlp"
    place = places(model.shape.n_layers)[before_mlp(layer)]
    return folded(weights, place, weights[f"{part}.W_in"], weights[f"{part}.b_in"])


def _neurons(
    model: OthelloGPT, sums: Sums, readouts: Tensor, reads: int, read_densely: Collection[int]
) -> tuple[Neurons, ...]:
    """By layer: of what goes into each neuron, the reads that tell most."""
    found = []
    for layer in range(model.shape.n_layers):
        number = before_mlp(layer)
        wanted, bias = _wanted(model, layer)
        if layer in read_densely:
            nothing = torch.zeros(len(bias), 0)
            chosen, strengths = nothing.long(), nothing.double()
        else:
            spread = Spread.of(sums.at[number])
            shared = readouts.T @ spread.activations @ wanted
            chosen, strengths = pursue(spread.among(readouts), shared, reads)
        thresholds = bias + sums.at[number].means[0][0] @ wanted
        found.append(Neurons(chosen, strengths, thresholds, torch.ones_like(bias)))
    return tuple(found)


def _others(sums: Sums, readouts: Tensor) -> Tensor:
    """[d_model, others]: orthonormal directions beside the readouts and the mean of all, those in
    which streams are largest, as many as there are left; one is kept for the mean."""
    d_model, names = readouts.shape
    taken = torch.cat([torch.ones(d_model, 1, dtype=readouts.dtype), readouts], 1)
    left, sizes, _ = torch.linalg.svd(taken / taken.norm(dim=0).clamp(min=1e-30))
    free = left[:, int((sizes > sizes[0] * 1e-9).sum()) :]
    moments = [_second_moment(part) for part in sums.at]
    largest = torch.linalg.eigh(free.T @ torch.stack(moments).mean(0) @ free).eigenvectors
    found: Tensor = free @ largest.flip(1)[:, : d_model - 1 - names]
    return found


def _second_moment(sums: Regression) -> Tensor:
    """float64 [d, d]: of the features, around 0."""
    mean = sums.means[0][0]
    return Spread.of(sums).activations + mean[:, None] * mean


@torch.inference_mode()
def _felt(model: OthelloGPT, readouts: Tensor, others: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """(the unit in which names are written so that LayerNorm feels the network's stream as it feels
    the model's, as nearly as one number allows; by place, what its output is multiplied by).

    Both see streams of the same positions. In the model's a LayerNorm divides by 1 here, in the
    network's by a spread that should be the same everywhere.
    """
    at = places(model.shape.n_layers)
    names = [f"{place}.hook_normalized" for place in at]
    drawn = random_games(
        READ_GAMES, seed, board=model.geometry.size, purpose=FINDING, device=model.device
    )
    tokens = torch.cat(list(drawn))
    _, cache = model.run_with_cache(tokens[:, : model.geometry.context].long(), names)
    where = there(replay(tokens, board=model.geometry.size), model.geometry.context)
    streams = torch.stack([cache[name][where].double().cpu() for name in names])
    of_names, of_others = (
        (streams @ directions).square().mean(-1) * directions.shape[1] / model.shape.d_model
        for directions in (readouts, others)
    )

    def spreads(unit: float) -> Tensor:
        return (unit**2 * of_names + of_others).sqrt()

    def uneven(unit: float) -> float:
        spread = spreads(unit)
        return float((spread.var(1) / spread.mean(1).square()).mean())

    unit = min((2.0 ** (n / UNITS) for n in range(-24 * UNITS, 2 * UNITS)), key=uneven)
    return torch.tensor(unit, dtype=torch.float64), spreads(unit).mean(1)


def _told(sums: Sums, readouts: Tensor, varies: Tensor) -> Tensor:
    """As in :class:`Transcript`."""
    found = []
    for part in sums.at:
        of, (mean, truth) = Spread.of(part).only(varies), part.means
        more = (readouts * of.shared).sum(0) / of.truth
        told = of.correlation(of.fitted()).clamp(min=LEAST_TOLD).square()
        misses = more.square() * of.truth * (1 - told) / told
        found.append(torch.stack([mean[0] @ readouts - more * truth[0][varies], more, misses]))
    return torch.stack(found, 1)


def shares_kept(transcript: Transcript, model: OthelloGPT, sums: Sums) -> list[float]:
    """By layer, of the variance of what goes into its neurons, what their reads keep; over games
    that they were not found on."""
    shares = []
    for layer, neurons in enumerate(transcript.neurons):
        number = before_mlp(layer)
        wanted, _ = _wanted(model, layer)
        if layer in transcript.about.dense:
            read_by = transcript.readouts @ transcript.decoder(number) @ wanted
        else:
            read_by = transcript.readouts @ neurons.weights(len(transcript.about.names))
        shares.append(kept(Spread.of(sums.at[number]).activations, wanted, read_by))
    return shares
