"""``handbuilt check`` and ``properties.check``: figures, files, exit codes, sentences."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from comparison.properties import PROPERTIES, Finding, PropertyError, check
from comparison.properties.subjects import Subject
from comparison.scoring.bench import Model, evaluate
from comparison.training import companions, reference
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.notation import parse_transcript, tokens_from_squares
from handbuilt import OthelloGPT, Shape
from tests.command_line import run
from tests.properties.planted import oracle, takes_parity_for_the_mover

BOARD = Geometry()

ROOT = Path(__file__).parents[2]
FAST = ("legal", "set", "at-a-pass", "after-a-pass", "occupied")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "THRESHOLD_GAMES", 40)
    monkeypatch.setattr(reference, "FOLDER", Path("nowhere"))


def test_rates_are_those_of_compare_on_the_same_seed() -> None:
    model = takes_parity_for_the_mover
    report = check(model, properties=FAST, examples=150, seed=7, tau=0.01)
    result = evaluate("parity", model, random_games(150, 7), 0.01)
    assert report["legal"].broken == result.overall.illegal.rate()
    for name, stratum in (("at-a-pass", "at a pass"), ("after-a-pass", "after a pass")):
        assert report[name].broken == result.strata["pass"][stratum].illegal.rate()
    wrong_sets = sum(len(result.errors.of_kind(kind)) for kind in ("set",))
    assert report["set"].overall().x == wrong_sets


def test_a_counterexample_is_a_legal_game_that_breaks_the_rule() -> None:
    report = check(takes_parity_for_the_mover, properties=FAST, examples=32, tau=0.01)
    finding = report["at-a-pass"]
    (transcript,) = finding.transcripts
    game = tokens_from_squares([parse_transcript(transcript)])
    played = replay(game)
    length = int(played.lengths[0])
    assert bool(played.passes[0, length])
    top = int(takes_parity_for_the_mover(game[:, :length].long())[0, -1].argmax())
    assert not played.legal[0, length, top]
    assert report["occupied"].holds


def test_what_cannot_be_asked_is_said_in_one_sentence() -> None:
    def too_few_words(tokens: torch.Tensor) -> torch.Tensor:
        return torch.zeros(*tokens.shape, 60)

    short = OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8, n_ctx=20))
    with pytest.raises(PropertyError, match="nearest is 'transposition'"):
        check(too_few_words, properties=["transpositions"])
    with pytest.raises(PropertyError, match="at least one"):
        check(too_few_words, examples=0)
    with pytest.raises(PropertyError, match=r"gives \[1, 59, 60\] for 59 moves"):
        check(too_few_words)
    with pytest.raises(PropertyError, match="does not read 59 moves"):
        check(short)


def test_the_command_prints_writes_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out = tmp_path / "found.json", tmp_path / "out"
    asked = [f"--property={name}" for name in ("legal", "transposition", "hostile")]
    command = ["check", "uniform-beside", *asked, "--examples", "12", "--json", str(found)]
    assert run(*command, "--out", str(out), monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "smallest counterexample" in shown
    (model,) = json.loads(found.read_text())
    legal, transposition, hostile = model["properties"]
    assert legal["strata"]["random"]["all"]["all"]["cases"] > 500
    assert legal["smallest_counterexample"]["moves"] == 1
    assert transposition["smallest_counterexample"] is None  # it knows the occupied squares alone
    assert hostile["smallest_counterexample"] is None
    assert (out / "1-legal.png").read_bytes().startswith(b"\x89PNG")
    assert "![the smallest counterexample to legal](1-legal.png)" in (out / "report.md").read_text()
    assert run(*command, "--fail-under", "0.2", monkeypatch=monkeypatch) == 0
    assert run(*command, "--fail-under", "0.9", monkeypatch=monkeypatch) == 1
    assert "legal holds in" in capsys.readouterr().out


def test_a_rate_that_has_risen_is_told_from_one_that_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tmp_path / "known.json"
    command = ["check", "uniform-beside", "--property", "legal", "--examples", "20"]
    assert run(*command, "--json", str(known), monkeypatch=monkeypatch) == 0
    later = [*command, "--seed", "2", "--against", str(known)]
    assert run(*later, monkeypatch=monkeypatch) == 0
    packed = tmp_path / "known.json.gz"
    packed.write_bytes(gzip.compress(known.read_bytes()))
    assert run(*later[:-1], str(packed), monkeypatch=monkeypatch) == 0
    packed.write_bytes(packed.read_bytes()[:99])
    assert run(*later[:-1], str(packed), monkeypatch=monkeypatch) == 2
    assert "damaged or cut short" in capsys.readouterr().err
    small = [*later[:1], "logic", *later[2:], "--board", "4"]
    assert run(*small, monkeypatch=monkeypatch) == 2
    assert "is of models of 8 x 8, and these are of 4 x 4" in capsys.readouterr().err
    lower = json.loads(known.read_text())
    lower[0]["properties"][0]["strata"]["random"]["all"]["all"]["high"] = 0.1
    known.write_text(json.dumps(lower))
    assert run(*later, monkeypatch=monkeypatch) == 1
    assert "known is at most 10.00 %" in capsys.readouterr().out
    known.write_text("[1]")
    assert run(*later, monkeypatch=monkeypatch) == 2
    assert "not what a check wrote" in capsys.readouterr().err
    known.write_text("[]")
    assert run(*later, monkeypatch=monkeypatch) == 2
    assert "nothing is known of uniform-beside" in capsys.readouterr().err
    known.unlink()
    assert run(*later, monkeypatch=monkeypatch) == 2
    assert f"cannot read {known}: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["logic", "--property", "symetry"], "nearest is 'symmetry'"),
        (["logic", "--examples", "0"], "at least one example"),
        (["no-such-model"], "neither a file nor one of"),
        (["logic", "logic"], "named twice"),
        (["logic", "--out", "/proc/no/place"], "/proc/no"),
        (["logic", "--json", "/nowhere/found.json"], "/nowhere is no folder"),
    ],
)
def test_bad_input_gets_one_sentence(
    arguments: list[str],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("check", *arguments, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_recorded_games_are_asked_about_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    games, found = tmp_path / "games.txt", tmp_path / "found.json"
    games.write_text("c4e3f6e6f5\nc4e3f5e6f6\n")
    command = ["check", "uniform-beside", "--property", "transposition", "--examples", "4"]
    command += ["--file", str(games), "--json", str(found)]
    assert run(*command, monkeypatch=monkeypatch) == 0
    (model,) = json.loads(found.read_text())
    strata = model["properties"][0]["strata"]
    assert strata["games.txt, as they are"]["all"]["all"]["cases"] == 1


def test_every_property_is_asked_about_recorded_games() -> None:
    """Games too short for most properties, and one that has no move at all."""
    games = torch.zeros(3, 60, dtype=torch.uint8)
    games[0, :1] = games[1, :1] = tokens_from_squares([parse_transcript("d3")])[0, 0]
    report = check(takes_parity_for_the_mover, examples=4, tau=0.01, played={"short": games})
    assert report["legal"].overall("short").y == 2
    assert report["transposition"].overall("short").y == 0


def test_the_documented_test_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "properties.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "test_mine.py").write_text(block)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    assert "4 passed" in ran.stdout


def test_who_answers_nothing_keeps_nothing() -> None:
    """NaN is no answer; minus infinity is one: never."""

    def nan(tokens: torch.Tensor) -> torch.Tensor:
        return torch.full((*tokens.shape, 61), torch.nan)

    def sure(tokens: torch.Tensor) -> torch.Tensor:
        logits = oracle(tokens)
        some = (logits > -1).any(-1, keepdim=True)
        return logits.masked_fill((logits < -1) & some, -torch.inf)

    asked = ("legal", "set", "hostile")
    silent = check(nan, properties=asked, examples=8, tau=0.01)
    assert not any(silent[name].holds for name in asked)
    assert silent["hostile"].smallest is not None
    masked = check(sure, properties=asked, examples=8, tau=0.01)
    assert [masked[name].holds for name in asked] == [True, True, False]


def test_a_counterexample_that_stands_alone_is_found_behind_one_that_does_not() -> None:
    def sometimes(tokens: torch.Tensor) -> torch.Tensor:
        logits = oracle(tokens)
        e3 = BOARD.token_of(BOARD.square_of("E3"))
        logits[:, 20:, e3] = -25.0
        if len(tokens) > 1:  # so early only among others
            logits[:, :1, e3] = -25.0
        return logits

    finding = check(sometimes, properties=["set"], examples=40, tau=0.01)["set"]
    assert finding.smallest is not None
    assert finding.smallest.plies == 21


def test_a_crash_on_a_short_game_is_seen() -> None:
    def long_games_only(tokens: torch.Tensor) -> torch.Tensor:
        if bool(((tokens != 0).sum(-1) < 30).any()):
            raise RuntimeError("too short")
        return oracle(tokens)

    finding = check_hostile(long_games_only)
    assert finding.overall().x > 0


def check_hostile(model: Model) -> Finding:
    """A model that takes whole games only cannot be checked whole: ask about cut ones directly."""
    games = next(random_games(16, 1))
    prop = PROPERTIES["hostile"]
    cases = prop.cases(games, 1)
    finding = Finding(prop)
    finding.add("random", cases, prop.judge(Subject(model, 0.01, torch.device("cpu")), cases))
    return finding


def test_plans_do_not_depend_on_what_is_imported() -> None:
    say = "from extracted_rules.benches.made_games import draw_plans; print(draw_plans(40, 3))"
    said = {
        subprocess.run(
            [sys.executable, "-c", before + say], capture_output=True, text=True, check=True
        ).stdout
        for before in ("", "import comparison.commands.cli\n")
    }
    assert len(said) == 1


def test_every_property_says_what_it_is() -> None:
    assert len(PROPERTIES) == 17
    for name, prop in PROPERTIES.items():
        assert prop.name == name
        assert prop.sentence.endswith(".")
        assert prop.source
