"""The command line: ``handbuilt build | evaluate | compare | describe | train | study | ...``."""

import sys

from comparison.commands import building, fitting, measuring, studying, training
from comparison.commands.shared import app
from comparison.measuring.bench import MissingDeviceError
from comparison.trained.checkpoints import ExportError
from comparison.trained.models import UnknownModelError
from comparison.trained.settings import TrainingError
from extracted_rules.othello.game import IllegalGameError
from extracted_rules.othello.game_files import GameFileError
from extracted_rules.othello.notation import NotationError
from handbuilt.ablation import UnknownRuleError
from handbuilt.calibration import CalibrationError
from handbuilt.recipes import UnknownRecipeError
from handbuilt.space import LayoutError
from handbuilt.strengths import StrengthsError
from handbuilt.transformer import CheckpointError

#: The groups register their commands with the app.
GROUPS = (building, measuring, training, fitting, studying)

#: What a user can do wrong, as opposed to a defect: reported as one sentence.
USER_ERRORS = (
    CalibrationError,
    CheckpointError,
    ExportError,
    GameFileError,
    IllegalGameError,
    LayoutError,
    MissingDeviceError,
    NotationError,
    OSError,
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
