"""The numbers of a recipe, read from a file in which each has a name and a reason."""

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Strengths:
    """How strongly each rule of a hand-built model speaks; see the .toml beside this file."""

    leak: float
    mix: float
    gain: float
    need_start: float
    need_rate: float
    need_threshold: float
    need_slope: float
    logit: float
    second_line: float


def load_strengths(recipe: str) -> Strengths:
    """The strengths of a recipe that has a file here."""
    text = (Path(__file__).parent / f"{recipe}.toml").read_text(encoding="utf-8")
    return Strengths(**{name: float(entry["value"]) for name, entry in tomllib.loads(text).items()})
