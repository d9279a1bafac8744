"""What a person meets first: ``handbuilt`` by itself, and the help of every command."""

import shlex
from typing import Any

import pytest
import typer

from comparison.commands import cli
from comparison.commands.help import PANELS, WELCOME, panels_of
from tests.command_line import run

APP: Any = typer.main.get_command(cli.app)
GROUPS = ("study", "testbed")
COMMANDS = {
    **{(name,): command for name, command in APP.commands.items()},
    **{(g, name): command for g in GROUPS for name, command in APP.commands[g].commands.items()},
}


def test_alone_it_shows_what_to_type(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three lines that are commands with options and arguments that there are."""
    assert run(monkeypatch=monkeypatch) == 0
    assert WELCOME in capsys.readouterr().out
    typed = [shlex.split(line) for line in WELCOME.splitlines() if line.startswith("    ")]
    assert len(typed) == 3
    for handbuilt, name, *arguments in typed:
        assert handbuilt == "handbuilt"
        APP.commands[name].make_context(name, arguments)


def test_every_command_is_in_one_panel(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = panels_of(APP.commands)
    assert shown.keys() == PANELS.keys()
    assert sorted(name for names in shown.values() for name in names) == sorted(APP.commands)
    assert run("--help", monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    places = [lines.index(panel) for panel in PANELS]
    assert places == sorted(places)
    for name in APP.commands:
        assert any(line.split()[:1] == [name] for line in lines), name


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", COMMANDS, ids=" ".join)
def test_help_is_whole_and_without_noise(
    name: tuple[str, ...],
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No types of Python, no negatives that are the default, no word cut or broken."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(*name, "--help", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= width
    for noise in ("<", "range", "None", "--no-" if name != ("train",) else "default: no-", "…"):
        assert noise not in shown
    for param in COMMANDS[name].params:
        assert param.help, f"nothing says what {param.name} is"
        assert set(param.help.split()) <= set(shown.split())
        assert param.metavar or param.is_flag, f"nothing says what {param.name} takes"
