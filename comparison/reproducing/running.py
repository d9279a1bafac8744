"""Jobs run: each in a folder of its own, where a killed one goes on with what it had."""

import gzip
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import msgspec
import torch

from comparison.reproducing import results
from comparison.reproducing.jobs import Job, JobError
from comparison.reproducing.results import MadeOf, Result
from comparison.reproducing.sources import ROOT, fingerprint
from comparison.scoring.bench import resolve_device
from comparison.training.companions import threshold
from comparison.training.models import as_gpt, load_model
from extracted_rules.drawing.tables import Table
from extracted_rules.files import PACKED, uncompressed, whole_file

#: Where jobs are made, one folder for each set of all that they depend on.
WORK = ROOT / "out" / "reproduce"


@cache
def _weights(model: str) -> str:
    """Of what it is measured with: its weights, and the threshold that came with them."""
    found = as_gpt(model, load_model(model), "it has no weights")
    return f"{found.fingerprint()[:16]}, tau {threshold(model, found, 1, torch.device('cpu')):.4g}"


def _digest(path: Path) -> str:
    """Of what it holds, whether compressed or not."""
    return sha256(uncompressed(path)).hexdigest()[:16]


def _name(path: Path) -> str:
    return path.name.removesuffix(PACKED)


@dataclass(frozen=True)
class Runner:
    """Runs jobs and keeps their results. elsewhere: files that jobs read and that do not lie where
    those say, by name. A quick one makes everything small and keeps nothing. threads: of each job,
    if not as many as it takes."""

    elsewhere: Mapping[str, Path] = field(default_factory=dict)
    results: Path = results.FOLDER
    work: Path = WORK
    root: Path = ROOT
    quick: bool = False
    threads: int | None = None

    def files(self, job: Job) -> dict[str, Path]:
        """The files that it reads, by name."""
        return {
            name: self.elsewhere.get(name, self.root / place).resolve()
            for name, place in job.files.items()
        }

    def lacks(self, job: Job) -> list[str]:
        """What it needs and what is not here, and how to come by it."""
        files = [path for path in self.files(job).values() if not path.is_file()]
        libraries = [name for name in job.needs if find_spec(name) is None]
        return [f"{path} (--tournament says where it is)" for path in files] + [
            f"{name} (pip install '.[testbed]')" for name in libraries
        ]

    def made_of(self, job: Job) -> MadeOf:
        """What a result of it would depend on. Raises UnknownModelError, CheckpointError."""
        files = {_name(path): _digest(path) for path in self.files(job).values()}
        names = {name: _name(path) for name, path in self.files(job).items()}
        typed = tuple(f"handbuilt {line}" for line in job.lines(names, self.quick))
        return MadeOf(
            typed, fingerprint(job.code), {name: _weights(name) for name in job.models}, files
        )

    def due(self, job: Job) -> str:
        """Why it has to run; nothing where its result is up to date. Raises ResultError."""
        before = results.read(job.name, self.results)
        if before is None:
            return "missing"
        changed = before.made_of.changed(self.made_of(job))
        return f"stale: another {', '.join(changed)}" if changed else ""

    def run(self, job: Job) -> Result:
        """Run its commands, or those that a killed run had not finished; the result, written.
        Raises JobError, ResultError and OSError."""
        made_of = self.made_of(job)
        key = sha256(msgspec.json.encode(made_of)).hexdigest()[:12]
        work = self.work / f"{job.name}-{key}"
        for old in self.work.glob(f"{job.name}-{'?' * 12}"):
            if old != work:
                shutil.rmtree(old)
        work.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        paths = {name: str(path) for name, path in self.files(job).items()}
        tables = {}
        for number, line in enumerate(job.lines(paths, self.quick), start=1):
            for name, table in self._shown(job, line, work, number).items():
                tables[name if name not in tables else f"{name} {number}"] = table
        result = Result(
            job.name,
            made_of,
            {name: version(name) for name in ("handbuilt-othello-gpt", "torch")}
            | {"python": platform.python_version()},
            _device(),
            round(timedelta(seconds=time.monotonic() - started) / timedelta(minutes=1), 1),
            tables,
        )
        if not self.quick:
            self._keep(job, work)
            results.write(result, self.results)
        shutil.rmtree(work)
        return result

    def _shown(self, job: Job, line: str, work: Path, number: int) -> dict[str, Table]:
        """The tables that a command shows, run if it was not finished before."""
        kept, shown = work / f"tables-{number}.json", work / f"shown-{number}.txt"
        if not kept.exists():
            command = [
                sys.executable,
                "-m",
                "comparison",
                "--tables",
                str(kept),
                *shlex.split(line),
            ]
            # The sources are these, wherever another copy may be installed.
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            if self.threads:
                environment["OMP_NUM_THREADS"] = str(self.threads)
            with shown.open("w", encoding="utf-8") as file:
                code = subprocess.run(command, cwd=work, stdout=file, env=environment).returncode
            if code:
                raise JobError(
                    f"{job.name} failed (exit code {code}); what it showed is in {shown}"
                )
        return results.read_tables(kept)

    def _keep(self, job: Job, work: Path) -> None:
        """Copy what the commands wrote to where the project has it."""
        for made, place in job.keeps.items():
            path = self.root / place
            if not (work / made).is_file():
                raise JobError(f"{job.name} wrote no {made}, of which {place} is to be a copy")
            data = (work / made).read_bytes()
            if path.suffix == PACKED:
                data = gzip.compress(data, mtime=0)
            if not path.exists() or path.read_bytes() != data:
                with whole_file(path) as partial:
                    partial.write_bytes(data)


def _device() -> str:
    """As in ``"cpu, x86_64"``: figures of one kind of machine are the same."""
    found = resolve_device("auto")
    return f"{found.type}, " + (
        platform.machine() if found.type == "cpu" else torch.cuda.get_device_name(found)
    )
