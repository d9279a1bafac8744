"""Libraries that only a test bed needs, imported when they are."""

from importlib import import_module
from typing import Any

from extracted_rules.errors import UserError


class MissingLibraryError(UserError):
    """Something that a score or a tool needs is not installed; the message is one sentence."""


def library(name: str, use: str, *wanted: str) -> Any:
    """A module, by its name; ``use`` says what is done by it. Raises MissingLibraryError, also for
    a version that has not what is wanted of it."""
    try:
        found = import_module(name)
    except ImportError:
        found = None
    if found is None or not all(hasattr(found, part) for part in wanted):
        raise MissingLibraryError(f"{use}: pip install handbuilt-othello-gpt[testbed]")
    return found
