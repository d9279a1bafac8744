"""Recipes by name: which rules, with which strengths, on which board and in how many layers."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import STANDARD
from handbuilt.compiler import compile
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.plan import PlanError
from handbuilt.programs import Program, write
from handbuilt.strengths import Strengths, load_strengths

#: name: one sentence
RECIPES: dict[str, str] = {
    "logic": "Rules with argued strengths, nothing fitted to data; unseen passes go unnoticed.",
    "pooled": "The same rules, as loud as a catalogue found them in the trained model; nothing "
    "is fitted.",
    "calibrated": "The same rules, their strengths fitted on random games by layer and length.",
}


class UnknownRecipeError(UserError):
    """A recipe that does not exist; the message is one sentence."""


def program(
    recipe: str | Strengths = "logic", *, board: int = STANDARD, layers: int | None = None
) -> Program:
    """A recipe as data, before it is compiled. Raises as :func:`build` does."""
    if isinstance(recipe, Strengths):
        return write(recipe)
    if recipe not in RECIPES:
        raise UnknownRecipeError(f"no recipe is called {recipe!r}; there is {', '.join(RECIPES)}")
    return write(load_strengths(recipe, board, layers))


def build(
    recipe: str | Strengths | Program = "logic",
    *,
    board: int | None = None,
    layers: int | None = None,
    shape: Shape | None = None,
) -> OthelloGPT:
    """Compile a recipe, strengths or a program into the weights of an Othello-GPT.

    board: squares a side; strengths and programs know their own. layers, shape: the paper's, unless
    others are asked for; a shape for another board takes that board's context and vocabulary.
    Numbers that were fitted for one size are carried over to others. Raises UnknownRecipeError,
    BoardError, PlanError for too few layers, and TooSmallError for a shape that the rules do not
    fit.
    """
    if shape is not None:
        if layers not in (None, shape.n_layers):
            raise PlanError(f"{layers} layers are asked for, and a shape of {shape.n_layers}")
        layers = shape.n_layers
    side = board or STANDARD
    rules = recipe if isinstance(recipe, Program) else program(recipe, board=side, layers=layers)
    if board not in (None, rules.geometry.size):
        raise PlanError(f"a board of {board} is asked for, and rules for {rules.geometry}")
    if shape is not None:
        shape = replace(shape, n_layers=rules.layers).on(rules.geometry.size)
    model = compile(rules, shape)
    try:
        made_by = version("handbuilt-othello-gpt")
    except PackageNotFoundError:  # run from a source tree that is not installed
        made_by = "source"
    name = recipe if isinstance(recipe, str) else "own"
    says = RECIPES.get(name, "Rules with strengths of one's own.")
    model.metadata.update(recipe=name, version=made_by, description=says)
    return model
