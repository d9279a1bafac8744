"""What notebooks and other people's code import: names of the package tops, which stay."""

import json
import re
from pathlib import Path

import pytest

import comparison
import extracted_rules
import handbuilt

ROOT = Path(__file__).parents[1]
PUBLIC = {
    extracted_rules: """
        STANDARD BoardError GameFileError Geometry IllegalGameError NotationError Position Replay
        UserError count_sequences format_transcript load_games parse_transcript random_games replay
        squares_from_tokens tokens_from_squares write_transcripts
    """,
    handbuilt: "RECIPES OthelloGPT Program Shape Strengths build compile load_strengths program",
    comparison: "check choose_threshold error_sets evaluate explainer load_model overlap",
}


@pytest.mark.parametrize("package", PUBLIC, ids=lambda package: package.__name__)
def test_public_names_stay(package: object) -> None:
    names = vars(package)
    assert sorted(names["__all__"]) == sorted(PUBLIC[package].split())
    assert all(name in names for name in names["__all__"])


def test_the_tour_imports_from_package_tops_alone() -> None:
    cells = json.loads((ROOT / "docs" / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
    source = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    imported = re.findall(r"^(?:from|import) ([\w.]+)", source, re.MULTILINE)
    ours = {package.__name__ for package in PUBLIC}
    assert {name for name in imported if name.split(".")[0] in ours} <= ours
