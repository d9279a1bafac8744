"""Fitting strengths: it learns, resumes exactly, ties what it should; files and knock-outs."""

import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from handbuilt import calibration
from handbuilt.ablation import KNOCK_OUTS, UnknownRuleError, knock_out
from handbuilt.calibration import CalibrationError, Plan, calibrate, starting_point
from handbuilt.strengths import Strengths, StrengthsError, dump, load_strengths, parse

#: Fields over lengths that say what a neuron hears, not what it says; "holds" is 0 to begin with.
INPUTS = {"bias", "forgive", "line_bias", "last_bias", "reply_bias", "again_bias", "again_scale",
          "holds"}  # fmt: skip
PLAN = Plan(steps=6, batch=4, positions=4)


def numbers(strengths: Strengths) -> torch.Tensor:
    return torch.cat([getattr(strengths, f.name).flatten() for f in fields(Strengths)])


def dropped_at(strengths: Strengths, name: str) -> torch.Tensor:
    """What a field says for runs of two, where the first voice speaks."""
    field: torch.Tensor = getattr(strengths, name)[..., 1]
    return field[..., 0] if name in ("claim", "last_line") else field


def test_a_fit_learns(tmp_path: Path) -> None:
    """Twenty small steps already lower the loss on the games they see last."""
    losses: list[float] = []
    plan = Plan(steps=20, batch=8, positions=8, rate=0.01)
    calibrate(plan, starting_point(), tmp_path, report=lambda line: losses.append(line.loss))
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_resuming_is_exact(tmp_path: Path) -> None:
    class StopError(Exception):
        pass

    def stop(line: calibration.Progress) -> None:
        if line.step == 4:
            raise StopError

    whole = calibrate(PLAN, starting_point(), tmp_path / "one")
    with pytest.raises(StopError):
        calibrate(PLAN, starting_point(), tmp_path / "two", save_every=3, report=stop)
    resumed = calibrate(PLAN, starting_point(), tmp_path / "two", resume=True)
    assert numbers(resumed).equal(numbers(whole))


def test_a_fit_does_not_overwrite_or_mix(tmp_path: Path) -> None:
    calibrate(replace(PLAN, steps=1), starting_point(), tmp_path)
    with pytest.raises(CalibrationError, match="holds a fit already"):
        calibrate(PLAN, starting_point(), tmp_path)
    with pytest.raises(CalibrationError, match="another plan"):
        calibrate(PLAN, starting_point(), tmp_path, resume=True)
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(CalibrationError, match="no state of a fit"):
        calibrate(PLAN, starting_point(), tmp_path, resume=True)


def test_a_diverging_fit_stops(tmp_path: Path) -> None:
    plan = Plan(steps=30, batch=2, rate=1e30)
    with pytest.raises(CalibrationError, match="diverged at step"):
        calibrate(plan, starting_point(), tmp_path)
    with pytest.raises(CalibrationError, match="no finite number"):
        calibrate(replace(plan, rate=float("nan")), starting_point(), tmp_path)


def test_tied_strengths_move_together(tmp_path: Path) -> None:
    start = starting_point()
    plan = replace(PLAN, steps=2, tied=("layer", "length", "depth", "lag", "reading layer"))
    fitted = calibrate(plan, start, tmp_path)
    moved = fitted.run - start.run
    assert float(moved.abs().max()) > 1e-4
    torch.testing.assert_close(moved[3, 0, 2], moved[5, 0, 0], atol=1e-6, rtol=0)
    distinct = sum(len({round(float(x), 5) for x in (getattr(fitted, f.name) -
                   getattr(start, f.name)).flatten()}) for f in fields(Strengths))  # fmt: skip
    assert distinct <= plan.free_scalars() < 100


def test_strengths_survive_their_file() -> None:
    strengths = starting_point()
    text = dump(strengths, "a comment\nof two lines")
    again = parse(tomllib.loads(text))
    torch.testing.assert_close(numbers(again), numbers(strengths), atol=1e-4, rtol=1e-4)
    tables = tomllib.loads(text)
    with pytest.raises(StrengthsError, match="no numbers called run"):
        parse({name: value for name, value in tables.items() if name != "run"})
    with pytest.raises(StrengthsError, match=r"settle has shape \[2\], not \[7, 3\]"):
        parse({**tables, "settle": [1.0, 2.0]})
    with pytest.raises(StrengthsError, match="no strength is called 'magic'"):
        parse({**tables, "magic": 1.0})
    with pytest.raises(StrengthsError, match="no finite number"):
        parse({**tables, "logit": float("nan")})


def test_calibrated_is_short_enough() -> None:
    assert load_strengths("calibrated").size() <= 10_000


@pytest.mark.parametrize("rule", KNOCK_OUTS)
def test_every_knock_out_silences_something(rule: str) -> None:
    strengths = load_strengths("calibrated")
    assert not numbers(knock_out(strengths, rule)).equal(numbers(strengths))


def test_dropping_a_length_silences_everything_of_that_length() -> None:
    start, dropped = starting_point(), knock_out(starting_point(), "length-2")
    for f in fields(Strengths):
        if f.metadata["axes"][-1:] == ("length",) and f.name not in INPUTS:
            assert dropped_at(start, f.name).any(), f.name
            assert not dropped_at(dropped, f.name).any(), f.name


def test_an_unknown_rule_is_one_sentence() -> None:
    with pytest.raises(UnknownRuleError, match="no rule is called 'magic'"):
        knock_out(load_strengths("calibrated"), "magic")
