"""What the groups of commands share: the app, how commands join it, consoles, progress.

A command's options are grouped in frozen dataclasses, each field an option; :func:`command` makes
the flat signature of them that typer reads.
"""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from comparison.scoring.bench import Bars

app = typer.Typer(
    help="Build an Othello-GPT from rules, measure it, and compare it with other models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Piped output is no terminal and has no width of its own: a table should still be whole there.
console = Console(width=None if sys.stdout.isatty() else 170)
notes = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

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

        @wraps(work)
        def run(**given: Any) -> None:
            for parameter, kind in grouped.items():
                given[parameter] = kind(**{f.name: given.pop(f.name) for f in fields(kind)})
            work(**given)

        run.__signature__ = Signature(options)  # type: ignore[attr-defined]
        group.command(name)(run)
        return work

    return register


def _options(kind: type, defaults: dict[str, Any]) -> Iterator[Parameter]:
    """The fields of a dataclass as parameters of a function."""
    types = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        default = defaults.get(field.name, field.default)
        yield Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if default is MISSING else default,
            annotation=types[field.name],
        )


# ------------------------------------------------------------------ what is shown


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
