"""The command line: ``handbuilt build | evaluate | compare | describe | train | study | ...``."""

import sys

from comparison.commands import (
    building,
    checking,
    circuits,
    discovering,
    erring,
    explaining,
    finding,
    fitting,
    measuring,
    replacing,
    reporting,
    studying,
    training,
)
from comparison.commands.shared import app
from comparison.explaining.explainer import ExplanationError
from comparison.explaining.patching import PatchingError
from comparison.findings import FindingsError
from comparison.properties import PropertyError
from comparison.replacing.extraction import ExtractionError
from comparison.reporting.page.section import PageError
from comparison.scoring.bench import MissingDeviceError
from comparison.scoring.records import ErrorsError
from comparison.training.models import UnknownModelError
from comparison.training.settings import TrainingError
from extracted_rules.catalogue import CatalogueError
from extracted_rules.othello.game import IllegalGameError
from extracted_rules.othello.game_files import GameFileError
from extracted_rules.othello.notation import NotationError
from handbuilt.ablation import UnknownRuleError
from handbuilt.calibration import CalibrationError
from handbuilt.network.checkpoints import ExportError
from handbuilt.network.layout import LayoutError
from handbuilt.network.shape import CheckpointError
from handbuilt.recipes import UnknownRecipeError
from handbuilt.strengths import StrengthsError

#: The groups register their commands with the app.
GROUPS = (
    building,
    measuring,
    checking,
    discovering,
    circuits,
    replacing,
    erring,
    explaining,
    finding,
    reporting,
    training,
    fitting,
    studying,
)

#: What a user can do wrong, as opposed to a defect: reported as one sentence.
USER_ERRORS = (
    CalibrationError,
    CatalogueError,
    CheckpointError,
    ErrorsError,
    ExplanationError,
    ExportError,
    ExtractionError,
    FindingsError,
    GameFileError,
    IllegalGameError,
    LayoutError,
    MissingDeviceError,
    NotationError,
    OSError,
    PageError,
    PatchingError,
    PropertyError,
    StrengthsError,
    TrainingError,
    UnknownModelError,
    UnknownRecipeError,
    UnknownRuleError,
)


def main() -> None:
    """Entry point: user errors are one sentence on stderr and exit code 2."""
    try:
        app()
    except USER_ERRORS as error:
        print(f"handbuilt: {error}", file=sys.stderr)
        sys.exit(2)
