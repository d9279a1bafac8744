"""Fitting strengths: it learns, resumes exactly, ties what it should; files."""

import tomllib
from dataclasses import fields, replace
from math import log
from pathlib import Path

import pytest
import torch

from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from handbuilt import calibration
from handbuilt.calibration import CalibrationError, FitSettings, calibrate, starting_point
from handbuilt.interpreter import Interpreter
from handbuilt.strengths import Strengths, StrengthsError, dump, load_strengths, parse

AXES = load_strengths("logic").axes
PLAN = FitSettings(steps=6, batch=4, positions=4)


def numbers(strengths: Strengths) -> torch.Tensor:
    return torch.cat([getattr(strengths, f.name).flatten() for f in fields(Strengths)])


def test_a_fit_learns(tmp_path: Path) -> None:
    """Twenty small steps already lower the loss on the games they see last."""
    losses: list[float] = []
    plan = FitSettings(steps=20, batch=8, positions=8, rate=0.01)
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
    with pytest.raises(CalibrationError, match=r"it is of one with another steps$"):
        calibrate(PLAN, starting_point(), tmp_path, resume=True)
    (tmp_path / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(CalibrationError, match="no state of this fit"):
        calibrate(PLAN, starting_point(), tmp_path, resume=True)


def test_a_fit_is_of_one_board(tmp_path: Path) -> None:
    calibrate(replace(PLAN, steps=1), starting_point(4), tmp_path)
    with pytest.raises(CalibrationError, match=r"another board, start$"):
        calibrate(replace(PLAN, steps=1), starting_point(6), tmp_path, resume=True)


def test_a_diverging_fit_stops(tmp_path: Path) -> None:
    plan = FitSettings(steps=30, batch=2, rate=1e30)
    with pytest.raises(CalibrationError, match="diverged at step"):
        calibrate(plan, starting_point(), tmp_path)
    with pytest.raises(CalibrationError, match="no finite number"):
        calibrate(replace(plan, rate=float("nan")), starting_point(), tmp_path)


def test_tied_strengths_move_together(tmp_path: Path) -> None:
    start = starting_point()
    plan = replace(PLAN, steps=2, tied=("layer", "length", "depth", "lag", "pair", "reading layer"))
    after = calibrate(plan, start, tmp_path)
    moved = after.run - start.run
    assert float(moved.abs().max()) > 1e-4
    torch.testing.assert_close(moved[3, 0, 4, :, 2], moved[5, 0, 0, :, 0], atol=1e-6, rtol=0)
    distinct = 0
    for f in fields(Strengths):
        moved = getattr(after, f.name) - getattr(start, f.name)
        assert not moved[~AXES.fitted(f.name)].any(), f.name
        distinct += len({round(float(x), 5) for x in moved[AXES.fitted(f.name)]})
    assert distinct <= plan.free_scalars(AXES) < 200


def test_strengths_survive_their_file() -> None:
    strengths = starting_point()
    text = dump(strengths, "a comment\nof two lines")
    again = parse(tomllib.loads(text))
    torch.testing.assert_close(numbers(again), numbers(strengths), atol=1e-4, rtol=1e-4)
    tables = tomllib.loads(text)
    with pytest.raises(StrengthsError, match="no numbers called run"):
        parse({name: value for name, value in tables.items() if name != "run"})
    with pytest.raises(StrengthsError, match=r"clip has shape \[2\], not \[7, 3\]"):
        parse({**tables, "clip": [1.0, 2.0]})
    with pytest.raises(StrengthsError, match="no strength is called 'magic'"):
        parse({**tables, "magic": 1.0})
    with pytest.raises(StrengthsError, match="no finite number"):
        parse({**tables, "logit": float("nan")})


def test_calibrated_is_short_enough() -> None:
    strengths = load_strengths("calibrated")
    assert int(numbers(strengths).ne(0).sum()) <= FitSettings().free_scalars(AXES) <= 10_000
    for f in fields(Strengths):
        assert not getattr(strengths, f.name)[~AXES.fitted(f.name)].any(), f.name


def test_passes_are_taught_where_they_can_be_seen() -> None:
    """From the first position that parity gets wrong on, and neither after the game's end nor once
    a second pass has made parity right again."""
    games = torch.cat(list(random_games(4000, 5, purpose="test")))
    ended, passes = games[:, 58] == 0, replay(games).passes[:, :58].sum(-1)
    assert int(ended.sum()) > 2
    games = torch.cat([games[ended][:10], games[passes > 1][:10]])
    played, trace = replay(games), Interpreter(starting_point())(games[:, :59].long())
    wrong = played.passes[:, :59].cumsum(-1) % 2 == 1
    right_again = played.passes[:, :59].cumsum(-1) >= 2
    assert (right_again & (played.movers[:, :59] != 0)).any()
    trace.pass_log_odds = torch.full_like(trace.pass_log_odds, -30.0)
    trace.pass_log_odds[wrong & ~right_again] = 30.0
    assert float(calibration._pass_loss(trace, played)) < 1e-9
    trace.pass_log_odds[right_again | (games[:, :59] == 0)] = 60.0
    assert float(calibration._pass_loss(trace, played)) < 1e-9
    trace.pass_log_odds[:, 5] = 30.0
    assert float(calibration._pass_loss(trace, played)) > 1


def test_positions_at_or_after_a_pass_weigh_more() -> None:
    games = torch.cat(list(random_games(200, 6, purpose="test")))
    played, at = replay(games), torch.arange(59).expand(len(games), -1)
    trace = Interpreter(starting_point())(games[:, :59].long())
    legal = played.legal[:, 1:60, Geometry(8).square_of_token[1:]]
    passed = played.passes[:, 1:60].cumsum(-1) > 0
    costs = []
    for spoilt in (passed, ~passed):
        game, position = (legal.any(-1) & spoilt).nonzero()[0].tolist()
        trace.logits[..., 1:] = torch.where(legal, 0.0, -25.0)
        before = calibration._legal_loss(trace, played, at)[0]
        trace.logits[game, position, 1:] = torch.where(legal[game, position], -25.0, 0.0)
        number = int(legal[game, position].sum())
        excess = 25 + log(60 - number) - log(number)
        costs.append(float(calibration._legal_loss(trace, played, at)[0] - before) / excess)
    assert costs[0] / costs[1] == pytest.approx(3, rel=0.05)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_fit_on_cuda_goes_on_and_agrees_with_the_cpu(tmp_path: Path) -> None:
    plan = replace(PLAN, steps=2)
    expected = numbers(calibrate(plan, starting_point(), tmp_path / "cpu"))
    calibrate(plan, starting_point(), tmp_path / "cuda", device="cuda")
    again = calibrate(plan, starting_point(), tmp_path / "cuda", device="cuda", resume=True)
    torch.testing.assert_close(numbers(again), expected, atol=1e-3, rtol=1e-3)


def test_every_number_that_counts_changes_something() -> None:
    """Whatever ``fitted`` keeps has a gradient; what looks for passes, from their odds at least."""
    noise = torch.Generator().manual_seed(1)
    noisy = starting_point().apply(lambda x: x + 0.05 * torch.randn(x.shape, generator=noise))
    strengths = noisy.only_fitted().apply(lambda x: x.requires_grad_())
    games = torch.cat(list(random_games(30, 21, purpose="test")))
    trace = Interpreter(strengths)(games[:, :59].long())
    on_blank = trace.logits[trace.logits > -100].square().sum() + trace.pass_log_odds.sum()
    (on_blank + sum(layer.message.square().sum() for layer in trace.layers)).backward()
    for f in fields(Strengths):
        gradient = getattr(strengths, f.name).grad
        # A bracket's neuron may be silent in so few games.
        enough = 0.9 if "length" in f.metadata["axes"] else 1.0
        assert gradient[AXES.fitted(f.name)].ne(0).double().mean() >= enough, f.name


def test_the_interpreter_stays_on_one_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the device without data, whatever is made elsewhere raises an error."""
    monkeypatch.setattr("handbuilt.interpreter.reading.amplitude", lambda kernel: 20.0)
    strengths = starting_point().apply(lambda x: x.float().to("meta"))
    games = torch.zeros(2, 59, dtype=torch.int64, device="meta")
    for at in (None, torch.zeros(2, 3, dtype=torch.int64, device="meta")):
        trace = Interpreter(strengths)(games, at)
        assert trace.logits.device.type == "meta"
        assert trace.logits.shape == (2, 59 if at is None else 3, 61)
