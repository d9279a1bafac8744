"""The command line, run in this process."""

import sys

import pytest

from comparison.commands import cli


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """``handbuilt`` with these arguments; gives back its exit code."""
    monkeypatch.setattr(sys, "argv", ["handbuilt", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)
