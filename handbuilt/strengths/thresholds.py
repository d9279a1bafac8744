"""Thresholds of the recipes' models, kept with them: each belongs to the very weights that it was
chosen for, so that other strengths cannot go on with it."""

import tomllib
from pathlib import Path

from extracted_rules.files import write_text

THRESHOLDS = Path(__file__).parent / "thresholds.toml"
_COMMENT = """\
# The probability above which a recipe's model predicts a move, chosen on 1,000 random games of
# seed 1, and the fingerprint of the weights that it was chosen for.
"""


def read_thresholds() -> dict[str, dict[str, str | float]]:
    """By recipe: ``weights``, the model's fingerprint, and ``tau``."""
    return tomllib.loads(THRESHOLDS.read_text(encoding="utf-8"))


def kept_threshold(fingerprint: str) -> float | None:
    """The threshold of a model with these weights, if one is kept."""
    found = (t["tau"] for t in read_thresholds().values() if t["weights"] == fingerprint)
    tau = next(found, None)
    return None if tau is None else float(tau)


def keep_threshold(recipe: str, fingerprint: str, tau: float) -> None:
    """Keep a recipe's threshold in place of the one before. Raises OSError."""
    kept = read_thresholds() | {recipe: {"weights": fingerprint, "tau": tau}}
    tables = (
        f'[{name}]\nweights = "{t["weights"]}"\ntau = {t["tau"]!r}\n' for name, t in kept.items()
    )
    write_text("\n".join((_COMMENT, *tables)), THRESHOLDS)
