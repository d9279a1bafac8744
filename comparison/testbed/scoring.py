"""A result against a key: every score that its contents allow."""

from pathlib import Path

from comparison.testbed.circuits import score_edges, score_parts
from comparison.testbed.directions import score_directions
from comparison.testbed.features import score_features
from comparison.testbed.interventions import score_interventions
from comparison.testbed.neurons import score_neurons
from comparison.testbed.result import Found, read_result
from comparison.testbed.scores import Score
from handbuilt.network.shape import CheckpointError
from handbuilt.network.transformer import OthelloGPT
from handbuilt.testbed.key import Key, load_key
from handbuilt.testbed.making import KEY, MODEL


def model_of(folder: Path) -> Path:
    """The model's file, of a key's folder within its test bed or sealed beside it."""
    bed = folder.parent if folder.name == KEY else folder.with_name(folder.stem)
    return bed / MODEL


def load(folder: Path, model: Path | None = None) -> tuple[Key, OthelloGPT]:
    """A key and the model that it belongs to. ``folder``: the key's, or a test bed's that holds
    one. Raises KeyFileError and CheckpointError."""
    if (folder / KEY).is_dir():
        folder = folder / KEY
    folder = folder.resolve()
    key, path = load_key(folder), model or model_of(folder)
    found = OthelloGPT.load(path)
    if found.fingerprint() != key.truth.model:
        raise CheckpointError(f"{path} is not the model of this key: their hashes differ")
    return key, found


def score(path: Path, key: Key, model: OthelloGPT, seed: int = 1) -> list[Score]:
    """All scores of a result's file. Raises ResultError and KeyFileError."""
    return score_found(read_result(path, key, model.shape), key, model, seed)


def score_found(found: Found, key: Key | None, model: OthelloGPT, seed: int = 1) -> list[Score]:
    """All scores of a result; without a key those that need none, and no ceiling. Raises
    ResultError and KeyFileError."""
    scores: list[Score] = []
    if "activations" in found.arrays:
        scores += score_features(found, key, model, seed)
    if {"heads", "neurons"} & found.arrays.keys() and not (key is None and found.said.moves):
        scores += score_parts(found, key, model, seed)
    if key is None:
        return scores
    if "directions" in found.arrays:
        scores += score_directions(found, key, seed)
        scores += score_interventions(found, key, model, seed)
    if found.said.claims:
        scores += score_neurons(found, key, model, seed)
    if found.said.edges:
        scores += score_edges(found, key, model, seed)
    return scores
