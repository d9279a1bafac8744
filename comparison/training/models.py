"""Any model by name or path."""

from collections.abc import Iterable
from pathlib import Path

from torch import nn

from comparison.scoring.baselines import BASELINES
from comparison.scoring.bench import board_of
from comparison.training import reference
from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import STANDARD, BoardError, Geometry
from handbuilt.network import checkpoints
from handbuilt.network.shape import CheckpointError
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs import Program
from handbuilt.recipes import RECIPES, build, program
from handbuilt.transcripts import program as transcripts
from handbuilt.transcripts.transcript import Transcript, read

REFERENCE, EXTRACTED = "reference", "extracted"


class UnknownModelError(UserError):
    """A name that is no recipe, no baseline and no file; the message is one sentence."""


def load_model(name_or_path: str, board: int | None = None, heads: int | None = None) -> nn.Module:
    """A model that maps tokens int64 [B, T] to logits float32 [B, T, n_tokens].

    Takes a recipe's name (compiled on the spot), a baseline's name, "reference" for the trained
    model that the project holds, "extracted" for what its transcript compiles to, or the path of a
    checkpoint, file or folder, in any format of :mod:`handbuilt.network.checkpoints`. ``board``:
    squares a side; what is made by its name is made for it, others must be of it. By default it is
    their own, or 8. ``heads``: how many a checkpoint has that does not say. Raises
    UnknownModelError, CheckpointError or BoardError.
    """
    side = STANDARD if board is None else Geometry(board).size
    if name_or_path in RECIPES:
        return build(name_or_path, board=side)
    if name_or_path in BASELINES:
        return BASELINES[name_or_path](side).eval()
    trained = {REFERENCE: _reference, EXTRACTED: _extracted}.get(name_or_path)
    model = trained() if trained else _read(Path(name_or_path), heads)
    if board not in (None, model.geometry.size):
        raise BoardError(
            f"{name_or_path} plays on a board of {model.geometry}, not of {Geometry(board)}"
        )
    return model


def _reference() -> OthelloGPT:
    if not reference.is_there():
        raise UnknownModelError("the trained model 'reference' is not part of the project yet")
    return reference.load_reference()


def _extracted() -> OthelloGPT:
    return transcripts.network(*_transcribed())


def _transcribed() -> tuple[Transcript, OthelloGPT]:
    path = reference.FOLDER / reference.TRANSCRIPT
    if not (reference.is_there() and path.exists()):
        raise UnknownModelError("the trained model's transcript is not part of the project yet")
    return read(path), reference.load_reference()


def program_of(name: str, board: int = STANDARD) -> Program:
    """The program of a recipe or of "extracted". Raises UnknownModelError, or as
    :func:`~handbuilt.recipes.program` does."""
    if name == EXTRACTED:
        return transcripts.program(*_transcribed())
    return program(name, board=board)


def _read(path: Path, heads: int | None) -> OthelloGPT:
    if not path.is_file() and not path.is_dir():
        trained = [REFERENCE, EXTRACTED] if reference.is_there() else []
        known = [*RECIPES, *BASELINES, *trained]
        raise UnknownModelError(f"{str(path)!r} is neither a file nor one of {', '.join(known)}")
    model = checkpoints.load(path, heads)
    try:
        geometry = model.geometry
    except BoardError as error:
        raise CheckpointError(f"{path} is no model of Othello games: {error}") from None
    if model.shape.n_ctx < geometry.context:
        raise CheckpointError(
            f"{path} reads {model.shape.n_ctx} moves of {model.shape.d_vocab} tokens; a model of "
            f"Othello games reads {geometry.context} of {geometry.n_tokens}"
        )
    return model


def load_models(
    names: Iterable[str], board: int | None = None, heads: int | None = None
) -> dict[str, nn.Module]:
    """Different models by name, all of one board: ``board``, or else that of the files among them.
    ``heads`` as in :func:`load_model`.

    Raises UnknownModelError, also for a name that comes twice, CheckpointError or BoardError.
    """
    found: dict[str, nn.Module] = {}
    # Files first: what is made by its name is made for their board.
    for name in sorted(names, key=lambda name: name in RECIPES or name in BASELINES):
        if name in found:
            raise UnknownModelError("a model is named twice; every model is asked once")
        found[name] = load_model(name, board, heads)
        board = board_of(found[name])
    return {name: found[name] for name in names}


def as_gpt(name: str, model: nn.Module, purpose: str) -> OthelloGPT:
    """The model, if it is no baseline; ``purpose`` says why none will do. Raises
    UnknownModelError."""
    if not isinstance(model, OthelloGPT):
        raise UnknownModelError(f"{name} is a baseline: {purpose}")
    return model
