"""Recipes by name: which rules, with which strengths."""

from importlib.metadata import PackageNotFoundError, version

from extracted_rules.errors import UserError
from handbuilt.compiler import compile_rules
from handbuilt.network.transformer import OthelloGPT
from handbuilt.strengths import load_strengths

#: name: one sentence
RECIPES: dict[str, str] = {
    "logic": "Rules with argued strengths, nothing fitted to data; unseen passes go unnoticed.",
    "extracted": "The same rules, as loud as a catalogue found them in the trained model; nothing "
    "is fitted.",
    "calibrated": "The same rules, their strengths fitted on random games by layer and length.",
}


class UnknownRecipeError(UserError):
    """A recipe that does not exist; the message is one sentence."""


def build(recipe: str = "logic") -> OthelloGPT:
    """Compile a recipe's rules into the weights of an Othello-GPT. Raises UnknownRecipeError."""
    if recipe not in RECIPES:
        raise UnknownRecipeError(f"no recipe is called {recipe!r}; there is {', '.join(RECIPES)}")
    model, layout = compile_rules(load_strengths(recipe))
    try:
        made_by = version("handbuilt-othello-gpt")
    except PackageNotFoundError:  # run from a source tree that is not installed
        made_by = "source"
    model.metadata.update(
        recipe=recipe, version=made_by, description=RECIPES[recipe], layout=layout.to_json()
    )
    return model.eval()
