"""Jobs as small as can be: run, killed, gone on with, skipped; and every real job's commands."""

import shlex
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from msgspec.structs import replace

from comparison.commands import cli
from comparison.reproducing import jobs, results, sources
from comparison.reproducing.jobs import JOBS, Job
from comparison.reproducing.results import MadeOf, Result, ResultError
from comparison.reproducing.running import Runner
from extracted_rules.drawing.tables import Table
from extracted_rules.files import write_json
from handbuilt import build
from handbuilt.strengths import kept_threshold
from tests.command_line import run

TINY = Job(
    "Tiny.",
    ("compare bigram uniform-beside --board 4 --games {games} --seed 1",),
    ("comparison.scoring.baselines",),
    sizes={"games": (8, 2)},
    keeps={"out/error_by_ply.png": "docs/figures/tiny.png"},
    name="tiny",
)


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Of a project of one job."""
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    (tmp_path / "recorded.txt").write_text("f5d6c3\n")
    monkeypatch.setattr(jobs, "JOBS", {"tiny": TINY})
    return Runner({}, tmp_path / "results", tmp_path / "work", tmp_path)


def pretend(monkeypatch: pytest.MonkeyPatch, *fail: str, code: int = 0) -> list[str]:
    """Commands that show their own line as a table, without being run; those that hold a word of
    ``fail`` are killed, or end with a code. Gives back what is run."""
    ran: list[str] = []

    def run(command: list[str], **_: object) -> SimpleNamespace:
        line = shlex.join(command[5:])
        ran.append(line)
        if any(word in line for word in fail):
            if code:
                return SimpleNamespace(returncode=code)
            raise KeyboardInterrupt
        write_json({"shown": Table("", ["a"], ["b"], [[line, "1"]])}, Path(command[4]))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    return ran


def test_a_job_is_run_kept_and_found_again(runner: Runner, tmp_path: Path) -> None:
    assert runner.due(TINY) == "missing"
    found = runner.run(TINY)
    assert [row[0] for row in found.tables["models"].rows if row[0]] == ["bigram", "uniform-beside"]
    assert found.made_of.commands == (
        "handbuilt compare bigram uniform-beside --board 4 --games 8 --seed 1",
    )
    assert (tmp_path / "docs/figures/tiny.png").read_bytes().startswith(b"\x89PNG")
    assert not runner.due(TINY)
    assert results.read("tiny", runner.results) == found
    before = (tmp_path / "results/tiny.json").read_bytes()
    results.write(replace(found, minutes=7.0), runner.results)
    assert (tmp_path / "results/tiny.json").read_bytes() == before
    assert not list((tmp_path / "work").iterdir())


def test_what_changed_is_named(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)
    job = replace(
        TINY, keeps={}, files={"games": "recorded.txt"}, commands=("evaluate {games}",), sizes={}
    )
    runner.run(job)
    assert not runner.due(job)
    assert runner.due(replace(job, commands=("x",))) == "stale: another command"
    assert runner.due(replace(job, code=("comparison.scoring",))) == "stale: another code"
    (runner.root / "recorded.txt").write_text("f5f6\n")
    assert runner.due(job) == "stale: another recorded.txt"


def test_a_killed_job_goes_on_with_what_it_had(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = replace(TINY, keeps={}, commands=("first", "second {games}", "third"))
    ran = pretend(monkeypatch, "second")
    with pytest.raises(KeyboardInterrupt):
        runner.run(job)
    assert ran == ["first", "second 8"]
    assert runner.due(job) == "missing"
    ran = pretend(monkeypatch)
    found = runner.run(job)
    assert ran == ["second 8", "third"]
    assert [table.rows[0][0] for table in found.tables.values()] == ["first", "second 8", "third"]


def test_jobs_that_fail_keep_no_other_from_running(
    runner: Runner, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = replace(TINY, name="bad", keeps={}, commands=("fails",))
    lacking = replace(TINY, name="lacking", files={"games": "nowhere.txt"})
    monkeypatch.setattr(jobs, "JOBS", {"bad": bad, "lacking": lacking, "tiny": TINY})
    ran = pretend(monkeypatch, "fails", code=3)
    assert run("reproduce", "--quick", monkeypatch=monkeypatch) == 2
    # They run at once, so either may come first.
    assert sorted(ran) == ["compare bigram uniform-beside --board 4 --games 2 --seed 1", "fails"]
    shown = capsys.readouterr()
    assert "bad failed (exit code 3)" in shown.out
    assert f"left out, without {sources.ROOT / 'nowhere.txt'} (--tournament" in shown.out
    assert shown.err == "handbuilt: bad failed\n"


def test_no_job_is_called_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("reproduce", "nothing", monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err.startswith("handbuilt: no job is called 'nothing'; there is ")


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("job", JOBS.values(), ids=lambda job: job.name)
def test_commands_of_jobs_can_be_read(
    job: Job, quick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in job.lines(job.files, quick):
        command, given = typer.main.get_command(cli.app), shlex.split(line)
        context = command.make_context("handbuilt", ["--tables", "tables.json", given[0]])
        while hasattr(command, "commands"):
            name, command, given = command.resolve_command(context, given)
            context = command.make_context(name, given, parent=context)
    known = sources.modules()
    assert all(any(name.startswith(room) for name in known) for room in job.code)
    assert all((sources.ROOT / place).parent.is_dir() for place in job.keeps.values())


def test_code_that_is_imported_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = sources.fingerprint(["comparison.scoring.measures"])
    assert before != sources.fingerprint(["comparison.scoring.baselines"])
    known = sources.modules()
    game = known["extracted_rules.othello.game"].read_text()
    changed, commented = tmp_path / "changed.py", tmp_path / "commented.py"
    changed.write_text(f"{game}\nX = 1\n")
    commented.write_text(game.replace('"""The game', '"""Other words', 1) + "# Why.\n")
    for name, path, counts in (
        ("extracted_rules.othello.game", changed, True),
        ("extracted_rules.othello.game", commented, False),
        ("comparison.commands.cli", changed, False),
    ):
        monkeypatch.setattr(sources, "modules", lambda n=name, p=path: known | {n: p})
        assert (sources.fingerprint(["comparison.scoring.measures"]) != before) == counts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b'{"format": 7}', "is of format 7, not 1"),
        (b"{}", "is no result"),
        (b"[[", "is no result"),
        (b'{"format": 1, "job": "tiny"}', "is no result"),
    ],
)
def test_what_is_no_result_is_said_to_be_none(text: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "tiny.json").write_bytes(text)
    with pytest.raises(ResultError, match=f"{says}.*without it, `handbuilt reproduce tiny`"):
        results.read("tiny", tmp_path)


def test_results_that_contradict_one_another_are_named() -> None:
    one, other = (
        Result(job, MadeOf((), "", {"logic": print_}, {}), {}, "cpu", 0, {})
        for job, print_ in (("a", "1"), ("b", "2"))
    )
    results.check_agree([one, replace(one, job="c")])
    with pytest.raises(ResultError, match=r"a and b contradict one another.*another logic"):
        results.check_agree([one, other])


def test_a_models_threshold_counts() -> None:
    made_of = Runner().made_of(replace(TINY, models=("logic",)))
    tau = kept_threshold(build("logic").fingerprint())
    assert made_of.models["logic"].endswith(f", tau {tau:.4g}")
