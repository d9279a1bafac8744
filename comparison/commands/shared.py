"""What the groups of commands share: the app, how commands join it, consoles, progress.

A command's options are grouped in frozen dataclasses, each field an option; :func:`command` makes
the flat signature of them that typer reads.
"""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.models import ArgumentInfo, OptionInfo

from comparison.commands.help import WELCOME, HelpfulCommand, HelpfulGroup
from comparison.scoring.bench import Bars
from extracted_rules.drawing.tables import Table
from extracted_rules.files import write_json

app = typer.Typer(
    cls=HelpfulGroup,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Piped output is no terminal and has no width of its own: a table should still be whole there.
console = Console(width=None if sys.stdout.isatty() else 170)
notes = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

#: What an option's value is called in the help, by its type.
VALUES = {int: "N", float: "X", str: "TEXT", Path: "PATH"}

Command = TypeVar("Command", bound=Callable[..., None])


def command(name: str, group: typer.Typer = app, **defaults: Any) -> Callable[[Command], Command]:
    """Registers a function as a command of a group.

    A parameter whose type is a dataclass stands for the options that its fields are. ``defaults``:
    those of fields, where this command has others.
    """

    def register(work: Command) -> Command:
        options: list[Parameter] = []
        grouped: dict[str, type] = {}
        types = get_type_hints(work, include_extras=True)
        for parameter in signature(work).parameters.values():
            kind = types[parameter.name]
            if is_dataclass(kind) and isinstance(kind, type):
                grouped[parameter.name] = kind
                options += _options(kind, defaults)
            else:
                options.append(parameter.replace(annotation=kind, kind=Parameter.KEYWORD_ONLY))
        for parameter in options:
            _name_value(parameter)

        @wraps(work)
        def run(**given: Any) -> None:
            for parameter, kind in grouped.items():
                given[parameter] = kind(**{f.name: given.pop(f.name) for f in fields(kind)})
            work(**given)
            kept.write()

        run.__signature__ = Signature(options)  # type: ignore[attr-defined]
        group.command(name, cls=HelpfulCommand)(run)
        return work

    return register


def _options(kind: type, defaults: dict[str, Any]) -> Iterator[Parameter]:
    """The fields of a dataclass as parameters of a function."""
    types = get_type_hints(kind, include_extras=True)
    for option in fields(kind):
        default = defaults.get(option.name, option.default)
        yield Parameter(
            option.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if default is MISSING else default,
            annotation=types[option.name],
        )


def _name_value(parameter: Parameter) -> None:
    """Says what stands for a value in the help, where the option or argument does not say it."""
    kind, *about = get_args(parameter.annotation) or (parameter.annotation,)
    for info in about:
        if isinstance(info, ArgumentInfo) and info.metavar is None:
            info.metavar = parameter.name.upper()
        elif isinstance(info, OptionInfo) and info.metavar is None:
            info.metavar = next((VALUES[part] for part in _parts(kind) if part in VALUES), None)


def _parts(kind: Any) -> Iterator[Any]:
    """A type and those that it is made of."""
    yield kind
    for part in get_args(kind):
        yield from _parts(part)


# ------------------------------------------------------------------ what is shown


@dataclass
class Tables:
    """What a command found as tables, by name, and the file that wants them."""

    file: Path | None = None
    tables: dict[str, Table] = field(default_factory=dict)

    def write(self) -> None:
        """Raises OSError."""
        if self.file is not None:
            write_json(self.tables, self.file)


kept = Tables()


@app.callback()
def welcome(
    context: typer.Context,
    tables: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Write a command's tables as JSON, too."),
    ] = None,
) -> None:
    """Build an Othello-GPT from rules, measure it, and compare it with other models."""
    kept.file, kept.tables = tables, {}
    if context.invoked_subcommand is None:
        say(WELCOME)


def keep(table: Table, name: str = "") -> None:
    """Make a table one of the command's; it is known by ``name``, or else by its title."""
    kept.tables[name or table.title] = table


def show(table: Table, name: str = "") -> None:
    """As :func:`keep`, and print it."""
    keep(table, name)
    console.print(table)


def typed() -> str:
    """The command as it was typed."""
    return shlex.join(["handbuilt", *sys.argv[1:]])


def say(*lines: object) -> None:
    """Print lines as they are: a name may look like markup, or be long."""
    for line in lines:
        console.print(str(line), highlight=False, markup=False, soft_wrap=True)


def wrote(what: Path | str) -> None:
    """Say what was written."""
    say(f"wrote {what}")


@contextmanager
def progress_bars() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    # Where nobody watches, a bar would leave an empty line.
    unseen = not notes.is_terminal
    with Progress(*columns, console=notes, transient=True, disable=unseen) as progress:
        yield progress


def starter(progress: Progress) -> Bars:
    """Starts bars of a name and a length, which the calls of what it gives advance."""

    def start(name: str, total: int) -> Callable[[int], None]:
        task = progress.add_task(escape(name), total=total)
        return lambda n: progress.advance(task, n)

    return start


@contextmanager
def bars() -> Iterator[Bars]:
    """As :func:`starter`, while the block lasts."""
    with progress_bars() as progress:
        yield starter(progress)
