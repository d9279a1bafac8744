"""The command line: ``handbuilt build | evaluate | compare | describe | train | study | ...``."""

import sys

# The groups register their commands with the app.
from comparison.commands import (  # noqa: F401
    adopting,
    building,
    checking,
    discovering,
    erring,
    explaining,
    finding,
    fitting,
    measuring,
    replacing,
    reporting,
    reproducing,
    studying,
    testbed,
    training,
    transcribing,
)
from comparison.commands.shared import app
from extracted_rules.errors import UserError


def main() -> None:
    """Entry point: user errors are one sentence on stderr and exit code 2."""
    try:
        app()
    except (UserError, OSError) as error:
        print(f"handbuilt: {error}", file=sys.stderr)
        sys.exit(2)
