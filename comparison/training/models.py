"""Any model by name or path."""

from pathlib import Path

from torch import nn

from comparison.scoring.baselines import BASELINES
from comparison.training import reference
from extracted_rules.errors import UserError
from extracted_rules.othello.notation import CONTEXT, N_TOKENS
from handbuilt.network import checkpoints
from handbuilt.network.shape import CheckpointError
from handbuilt.recipes import RECIPES, build

REFERENCE = "reference"


class UnknownModelError(UserError):
    """A name that is no recipe, no baseline and no file; the message is one sentence."""


def load_model(name_or_path: str) -> nn.Module:
    """A model that maps tokens int64 [B, T <= 59] to logits float32 [B, T, 61].

    Takes a recipe's name (compiled on the spot), a baseline's name, "reference" for the trained
    model that the project holds, or the path of a checkpoint, file or folder, in any format of
    :mod:`handbuilt.network.checkpoints`. Raises UnknownModelError or CheckpointError.
    """
    if name_or_path in RECIPES:
        return build(name_or_path)
    if name_or_path in BASELINES:
        return BASELINES[name_or_path]().eval()
    if name_or_path == REFERENCE:
        if not reference.is_there():
            raise UnknownModelError("the trained model 'reference' is not part of the project yet")
        return reference.load_reference()
    path = Path(name_or_path)
    if not path.is_file() and not path.is_dir():
        known = [*RECIPES, *BASELINES, *([REFERENCE] if reference.is_there() else [])]
        raise UnknownModelError(f"{name_or_path!r} is neither a file nor one of {', '.join(known)}")
    model = checkpoints.load(path)
    if model.shape.n_ctx < CONTEXT or model.shape.d_vocab != N_TOKENS:
        raise CheckpointError(
            f"{path} reads {model.shape.n_ctx} moves of {model.shape.d_vocab} tokens; a model of "
            f"Othello games reads {CONTEXT} of {N_TOKENS}"
        )
    return model
