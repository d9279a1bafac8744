"""What ``--help`` shows: commands by what people want to do, and options without Python's types."""

from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

#: What people want to do, and the commands for it, in the order in which they are shown.
PANELS = {
    "Compare models": ("compare", "evaluate", "check", "errors", "report"),
    "Ask why a model answers as it does": ("explain", "findings"),
    "Look inside a model": (
        *("describe", "probe", "extract", "rules", "circuits", "replace", "transcribe", "ablate"),
    ),
    "Make models": ("build", "export", "calibrate", "train", "adopt"),
    "Test interpretability tools": ("testbed",),
    "Get the project's figures again": ("reproduce", "study"),
}
#: Of commands that are named nowhere above, as those of a group are.
REST = "Commands"

WELCOME = """\
An Othello-GPT whose every weight is computed from rules, beside trained ones.

Compare the hand-built models with the trained one:

    handbuilt compare reference calibrated logic

Ask why a model answers as it does after some moves:

    handbuilt explain calibrated f5d6c3d3c4

Put a model of your own, a checkpoint's path, to the rules of the game:

    handbuilt check model.safetensors --examples 50

What else there is: handbuilt --help; all about a command: handbuilt compare --help"""


class HelpfulCommand(TyperCommand):
    """A command, with our help."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Behind its name, where it is called."""
        return _usage(self.get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print how it is called, what it does, its arguments and options."""
        _show(self, ctx, {})


class HelpfulGroup(TyperGroup):
    """A group of commands, with our help."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Behind its name, where it is called."""
        return ["COMMAND ..."]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print what it does, and its commands."""
        width = max(map(len, self.commands))
        rows = {
            name: (name.ljust(width), _paragraphs(command.help)[0])
            for name, command in self.commands.items()
        }
        panels = panels_of(rows).items()
        _show(self, ctx, {panel: [rows[name] for name in names] for panel, names in panels})


def panels_of(commands: Iterable[str]) -> dict[str, list[str]]:
    """Those commands by panel; panels and commands in the order of PANELS."""
    left = list(commands)
    found = {panel: [name for name in names if name in left] for panel, names in PANELS.items()}
    shown = {name for names in found.values() for name in names}
    found[REST] = [name for name in left if name not in shown]
    return {panel: names for panel, names in found.items() if names}


def _show(
    command: TyperCommand | TyperGroup, ctx: Any, panels: dict[str, list[tuple[str, str]]]
) -> None:
    console = Console(highlight=False, markup=False)
    console.print(command.get_usage(ctx), end="\n\n")
    for paragraph in _paragraphs(command.help):
        console.print(paragraph, end="\n\n")
    sections = dict(panels)
    for param in sorted(command.get_params(ctx), key=lambda param: param.param_type_name):
        rows = sections.setdefault(f"{param.param_type_name.title()}s", [])
        rows.append((_spelled(param), _says(param)))
    for title, rows in sections.items():
        grid = Table.grid(padding=(0, 2))
        grid.add_column(no_wrap=True)
        grid.add_column(overflow="fold")
        for name, says in rows:
            grid.add_row(Text(name, "bold"), Text(says))
        console.print(title, style="bold underline")
        console.print(Padding(grid, (0, 0, 1, 2), expand=False))


def _paragraphs(text: str | None) -> list[str]:
    """Each in one line."""
    return [" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n")]


def _usage(params: list[Any]) -> list[str]:
    options = [_spelled(p) for p in params if p.param_type_name == "option" and p.required]
    arguments = [p for p in params if p.param_type_name == "argument"]
    named = [_spelled(p) if p.required else f"[{_spelled(p)}]" for p in arguments]
    return [*named, *options, "[OPTIONS]"]


def _spelled(param: Any) -> str:
    """``MODELS...`` or ``--games N``; a flag's negative is told where either may be the default."""
    if param.param_type_name == "argument":
        return f"{param.metavar}..." if param.nargs != 1 else str(param.metavar)
    if not param.is_flag:
        return f"{param.opts[0]} {param.metavar}"
    both = [*param.opts, *param.secondary_opts]
    return "/".join(both if param.default is None else param.opts)


def _says(param: Any) -> str:
    """What a parameter is for, and what it is unless something else is asked for."""
    says, default = param.help or "", param.default
    told = isinstance(default, int | float | str | PurePath) and default not in (False, "")
    return f"{says} [default: {default}]".lstrip() if told else says
