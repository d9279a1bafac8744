"""Every result behind README and docs, as a job: ``jobs.toml`` says which commands give it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from extracted_rules.errors import UserError

#: A quick run's share of every size.
QUICK = 50
#: The file that is no part of the project, by the name that jobs know it by.
TOURNAMENT = "tournament"


class JobError(UserError):
    """A job that is not there, or that did not work; the message is one sentence."""


class Job(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What jobs.toml says of a result."""

    says: str
    commands: tuple[str, ...]
    code: tuple[str, ...]
    models: tuple[str, ...] = ()
    sizes: dict[str, tuple[int, int]] = {}
    files: dict[str, str] = {}
    needs: tuple[str, ...] = ()
    keeps: dict[str, str] = {}
    quick: str = ""
    name: str = ""

    def numbers(self, quick: bool = False) -> dict[str, int]:
        """Its sizes by name."""
        if not quick:
            return {name: full for name, (full, _) in self.sizes.items()}
        return {name: max(least, full // QUICK) for name, (full, least) in self.sizes.items()}

    def lines(self, files: Mapping[str, str], quick: bool = False) -> tuple[str, ...]:
        """The commands with everything in its place; ``files``: paths by name."""
        given = {**self.numbers(quick), **files, "models": " ".join(self.models)}
        ending = f" {self.quick}" if quick and self.quick else ""
        return tuple(line.format_map(given) + ending for line in self.commands)


_TABLE = Path(__file__).with_name("jobs.toml")
JOBS = {
    name: msgspec.structs.replace(job, name=name)
    for name, job in msgspec.toml.decode(_TABLE.read_bytes(), type=dict[str, Job]).items()
}


def named(names: Iterable[str]) -> list[Job]:
    """Jobs by name, in the order of JOBS; all where none is named. Raises JobError."""
    asked = set(names)
    for name in sorted(asked - set(JOBS)):
        raise JobError(f"no job is called {name!r}; there is {', '.join(JOBS)}")
    return [job for job in JOBS.values() if job.name in asked or not asked]
