"""Measures against brute force, error sets, baselines, and the figures' files."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from comparison import load_model
from comparison.reading.board_reader import board_reader
from comparison.reading.boards import board_accuracy
from comparison.scoring.baselines import BASELINES
from comparison.scoring.bench import (
    MissingDeviceError,
    choose_threshold,
    evaluate,
    resolve_device,
)
from comparison.scoring.error_sets import (
    COLUMNS,
    BenchMismatchError,
    ErrorSet,
    factors,
    overlap,
    write_who_errs,
)
from comparison.scoring.measures import ThresholdChooser, score
from comparison.scoring.records import Choices
from comparison.training import reference
from comparison.training.models import UnknownModelError
from extracted_rules.benches.positions import ErrorsError, Positions, strata
from extracted_rules.errors import UserError
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.geometry import Geometry
from handbuilt import build
from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.transformer import OthelloGPT

CPU = torch.device("cpu")
BOARD = Geometry()
STAGE_NAMES = ("plies 2-20", "plies 21-40", "plies 41-60")


class Oracle(nn.Module):
    """Knows the legal moves; prefers an illegal one in a share ``blunder`` of the games."""

    def __init__(self, blunder: float = 0.0) -> None:
        super().__init__()
        self.blunder = blunder

    def forward(self, tokens: Tensor) -> Tensor:
        legal = replay(tokens).legal[:, 1 : tokens.shape[1] + 1, list(BOARD.playable)]
        logits = torch.where(legal, 5.0, -20.0)
        errs = torch.arange(len(tokens)) < self.blunder * len(tokens)
        first_illegal = (~legal).float().argmax(-1, keepdim=True)
        worse = logits.scatter(-1, first_illegal, 9.0)
        logits = torch.where(errs[:, None, None], worse, logits)
        return torch.nn.functional.pad(logits, (1, 0), value=-20.0)


@pytest.fixture(scope="module")
def games() -> Tensor:
    return next(random_games(64, 21, purpose="test"))


@pytest.fixture(scope="module")
def played(games: Tensor) -> Replay:
    return replay(games)


def test_scores_agree_with_a_slow_count(games: Tensor, played: Replay) -> None:
    """Every number of ``score`` for a random model, recomputed with Python sets and floats."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(4, 59, 61, generator=generator)
    tau = 0.02
    scores = score(logits, replay(games[:4]), tau)
    for game in range(4):
        for position in range(0, 59, 7):
            legal = set(played.legal[game, position + 1].nonzero().squeeze(-1).tolist())
            if not legal:
                assert not scores.valid[game, position]
                continue
            p = logits[game, position, 1:].double().softmax(-1).tolist()
            by_square = {int(BOARD.square_of_token[i + 1]): value for i, value in enumerate(p)}
            top = max(by_square, key=lambda s: by_square[s])
            predicted = {s for s, value in by_square.items() if value > tau}
            assert int(scores.top[game, position]) == top
            assert bool(scores.wrong[game, position]) == (top not in legal)
            assert bool(scores.set_wrong[game, position]) == (predicted != legal)
            assert int(scores.true_positives[game, position]) == len(predicted & legal)
            assert int(scores.false_positives[game, position]) == len(predicted - legal)
            assert int(scores.false_negatives[game, position]) == len(legal - predicted)
            mass = sum(value for s, value in by_square.items() if s not in legal)
            assert float(scores.illegal_mass[game, position]) == pytest.approx(mass)
            target = torch.tensor([by_square[s] for s in legal]).log().mean()
            floor = torch.tensor(float(len(legal))).log()
            assert float(scores.excess[game, position]) == pytest.approx(
                float(-target - floor), abs=1e-5
            )


def test_a_perfect_model_has_perfect_figures(games: Tensor) -> None:
    oracle = Oracle()
    tau = choose_threshold(oracle, 1, CPU, games=32)
    result = evaluate("oracle", oracle, [games], tau)
    assert result.games == 64
    assert result.overall.illegal.rate().value == 0
    assert 0 < result.overall.illegal.rate().high < 0.01
    assert result.overall.f1.mean().value == 1
    assert result.overall.excess.mean().value == pytest.approx(0, abs=1e-6)
    assert len(result.errors.at) == 0


def test_strata_cover_every_position_once(played: Replay) -> None:
    by_group: dict[str, Tensor] = {}
    for group, _, mask in strata(played, 59):
        by_group[group] = by_group.get(group, torch.zeros_like(mask, dtype=torch.int64)) + mask
    everything = by_group.pop("all")
    for group, count in by_group.items():
        assert count.equal(everything), group


def test_sums_do_not_depend_on_batches(games: Tensor) -> None:
    model = BASELINES["bigram"]()
    whole = evaluate("bigram", model, [games], 0.01)
    parts = evaluate("bigram", model, list(games.split(10)), 0.01)
    for group, members in whole.strata.items():
        for name, measures in members.items():
            other = parts.strata[group][name]
            assert measures.illegal == other.illegal
            assert measures.f1 == other.f1
            assert measures.excess.x == pytest.approx(other.excess.x)
    assert np.array_equal(whole.errors.of_kind("top-1").key, parts.errors.of_kind("top-1").key)


def test_the_threshold_maximises_f1(games: Tensor, played: Replay) -> None:
    generator = torch.Generator().manual_seed(0)
    noisy = Oracle()(games[:, :59].long()) / 8 + torch.randn(64, 59, 61, generator=generator)
    chooser = ThresholdChooser()
    for start in range(0, 64, 16):
        chooser.add(noisy[start : start + 16], replay(games[start : start + 16]))

    def f1(tau: float) -> float:
        scores = score(noisy, played, tau)
        hits = scores.true_positives[scores.valid].sum()
        wrong = (scores.false_positives + scores.false_negatives)[scores.valid].sum()
        return float(2 * hits / (2 * hits + wrong))

    best = f1(chooser.best())
    assert all(f1(float(tau)) <= best + 1e-4 for tau in torch.logspace(-4, -0.5, 60))


def test_error_sets_go_to_disk_and_compare(games: Tensor, tmp_path: Path) -> None:
    bad, worse = (evaluate("x", Oracle(b), [games], 0.01).errors for b in (0.25, 0.5))
    path = tmp_path / "errors.csv"
    bad.write(path)
    again = ErrorSet.read(path)
    for before, after in ((bad.at, again.at), (bad.said, again.said)):
        for name, column in vars(before).items():
            assert np.array_equal(column, vars(after)[name]), name
    with path.open() as file:
        row = next(csv.DictReader(file))
    assert row["predicted"] in BOARD.labels
    assert row["predicted"] not in row["legal"].split()
    assert row["predicted"] in row["extra"].split()
    assert row["stratum"] == "pass-free"
    found = overlap(bad, worse, "top-1")
    assert found.only_a == 0
    assert found.both == len(bad.of_kind("top-1"))
    assert found.only_b == len(worse.of_kind("top-1")) - found.both
    assert found.both + found.only_b + found.neither == int(bad.at.offered.sum())
    assert found.jaccard == pytest.approx(0.5, abs=0.02)
    assert found.odds_ratio.low > 1
    assert overlap(again, worse, "top-1") == found
    write_who_errs({"bad": bad, "worse": worse}, tmp_path / "who.csv")
    with (tmp_path / "who.csv").open() as file:
        kinds = [(r["bad"], r["worse"]) for r in csv.DictReader(file) if r["kind"] == "top-1"]
    assert kinds.count(("1", "1")) == found.both
    assert kinds.count(("0", "1")) == found.only_b
    worse = replace(worse, bench="another")
    with pytest.raises(BenchMismatchError, match="different benches"):
        overlap(bad, worse, "top-1")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ErrorsError, match=", ".join(COLUMNS)):
        ErrorSet.read(path)


@pytest.mark.parametrize("board", [4, 6])
def test_errors_on_other_boards(board: int, tmp_path: Path) -> None:
    games = next(random_games(24, 5, board=board, purpose="test"))
    geometry = Geometry(board)
    found = {}
    for name, baseline in BASELINES.items():
        result = evaluate(name, baseline(board), [games], 0.05)
        found[name] = result.errors
        assert result.overall.positions == int(result.errors.at.offered.sum())
        thirds = [m.positions for m in result.strata["stage"].values()]
        assert sum(thirds) == result.overall.positions
        assert min(thirds) > 0
    by_counts, by_empty = found["bigram"], found["uniform-empty"]
    assert len(by_counts.of_kind("top-1")) < len(by_empty.of_kind("top-1"))
    assert factors(by_empty, by_counts, "top-1")[0].times.high < 1
    assert factors(by_empty, by_counts, "top-1")[-1].stratum.endswith(f"-{geometry.max_plies}")
    by_empty.write(tmp_path / "errors.csv")
    again = ErrorSet.read(tmp_path / "errors.csv")
    assert again.at.geometry is geometry
    assert np.array_equal(again.at.key, by_empty.at.key)
    assert np.array_equal(again.said.predicted, by_empty.said.predicted)
    usual = evaluate("usual", BASELINES["uniform-empty"](), [next(random_games(4, 5))], 0.05)
    with pytest.raises(BenchMismatchError, match="different benches"):
        overlap(by_empty, usual.errors, "top-1")


def test_error_sets_that_cannot_be_read_are_one_sentence(games: Tensor, tmp_path: Path) -> None:
    path = tmp_path / "errors.csv"
    evaluate("x", Oracle(0.25), [games[:8]], 0.01).errors.write(path)
    table, about = path.read_text(), (tmp_path / "bench.json").read_text()
    for csv_text, bench in (
        (table, "{"),
        (table, about.replace('"board":8', '"board":6')),
        (table, about.replace('"board":8', '"board":7')),
        (table.replace("pass-free", "sometimes"), about),
        (table.replace("0,2,top-1", "0,two,top-1"), about),
    ):
        path.write_text(csv_text)
        (tmp_path / "bench.json").write_text(bench)
        with pytest.raises(UserError) as caught:
            ErrorSet.read(path)
        assert "\n" not in str(caught.value)


def test_factors_count(games: Tensor) -> None:
    """Counts by hand; a model against itself errs as often; of none there is no telling."""
    bad, worse, none = (evaluate("x", Oracle(b), [games], 0.01).errors for b in (0.25, 0.5, 0.0))
    found = {factor.stratum: factor for factor in factors(bad, worse, "top-1")}
    assert list(found) == [
        "all", "pass-free", "at a pass", "after a pass", "plies 2-20", "plies 21-40", "plies 41-60",
    ]  # fmt: skip
    assert found["all"].a == len(bad.of_kind("top-1"))
    assert found["all"].b == len(worse.of_kind("top-1"))
    for group in (("pass-free", "at a pass", "after a pass"), STAGE_NAMES):
        assert sum(found[name].a for name in group) == found["all"].a
    assert found["all"].times.value == pytest.approx(found["all"].b / found["all"].a)
    assert found["all"].times.low < 2 < found["all"].times.high
    same = factors(bad, bad, "top-1")[0].times
    assert same.low < same.value == 1 < same.high
    never = factors(bad, none, "top-1")[0].times
    assert never.value == never.low == 0 < never.high < 1
    always = factors(none, bad, "top-1")[0].times
    assert always.value == always.high == float("inf")
    worse = replace(worse, bench="another")
    with pytest.raises(BenchMismatchError, match="different benches"):
        factors(bad, worse, "top-1")


def errors_of(by_game: Tensor, plies: int) -> ErrorSet:
    """An error set with so many illegal moves in each game: the likeliest move is A1, and B1 is
    legal."""
    game = torch.arange(len(by_game)).repeat_interleave(by_game).numpy()
    n, first = len(game), np.searchsorted(game, game)
    ones = np.ones(n, dtype=np.uint8)
    at = Positions(
        Geometry(),
        np.full(len(by_game), plies),
        game.astype(np.int32),
        (2 + np.arange(n) - first).astype(np.uint8),
        np.full(n, 0b10),
        ones,
        0 * ones,
    )
    return ErrorSet("made up", at, Choices(0 * ones, at.legal))


@pytest.mark.parametrize("case", ["hard games", "whole games", "together"])
def test_a_planted_factor_is_covered_95_times_in_100(case: str) -> None:
    """Where some games are hard for both; where errors come as few whole games, so that often one
    model has none; where the models err together but for a few."""
    generator = torch.Generator().manual_seed(0)

    def draw(rate: float | Tensor, plies: int = 40) -> Tensor:
        return (torch.rand(150, plies, generator=generator) < rate).long()

    covered, narrow, tries = 0, 0, 1000
    for _ in range(tries):
        truth = 1.0
        if case == "hard games":
            hard, truth = torch.rand(150, 1, generator=generator) ** 3, 1 / 3
            counts = [draw(rate * hard).sum(-1) for rate in (0.3, 0.1)]
        elif case == "whole games":
            counts = [30 * draw(1.5 / 150, 1).sum(-1) for _ in range(2)]
            if not sum(counts).any():
                tries -= 1
                continue
        else:
            shared = draw(0.15)
            own = [draw(rate) * (1 - shared) for rate in (0.003, 0.01)]
            counts = [(shared + alone).sum(-1) for alone in own]
            truth = (0.15 + 0.85 * 0.01) / (0.15 + 0.85 * 0.003)
        times = factors(*(errors_of(count, 40) for count in counts), "top-1")[0].times
        covered += times.low <= truth <= times.high
        narrow += times.low > 1
    assert covered / tries >= 0.92
    assert covered / tries <= (1.0 if case == "whole games" else 0.99)
    if case == "together":  # what sets them apart is not drowned by what they share
        assert narrow / tries > 0.9


def test_baselines_rank_as_they_should(games: Tensor) -> None:
    f1 = {}
    for name in BASELINES:
        model = load_model(name)
        tau = choose_threshold(model, 1, CPU, games=64)
        f1[name] = evaluate(name, model, [games], tau).overall.f1.mean().value
    assert f1["uniform-empty"] < f1["bigram"] < f1["uniform-beside"]


def test_uniform_beside_allows_exactly_the_empty_neighbours(games: Tensor, played: Replay) -> None:
    held = BASELINES["uniform-beside"]()(games[:, :59].long())[..., 1:] > -1
    legal = played.legal[:, 1:60, list(BOARD.playable)]
    assert not (legal & ~held).any()
    board = (played.boards[:, 1:60] != 0)[..., list(BOARD.playable)]
    assert not (held & board).any()


def test_board_accuracy_counts_what_is_there(games: Tensor) -> None:
    reader = board_reader(build("logic"))
    assert reader is not None
    accuracy = board_accuracy(reader, games[:16])
    shares = accuracy.by_layer()
    assert len(shares) == 8
    assert [discs for discs, _ in shares] == sorted(discs for discs, _ in shares)
    assert accuracy.discs[0, :2].tolist() == [0, 16 * 6]  # position 0 holds no board
    assert accuracy.whole_boards().shape == (8, 59)
    assert (accuracy.whole_boards()[7, 1:7] == 1).all()


def test_models_by_name_and_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "nowhere")
    path = tmp_path / "tiny.safetensors"
    for change, fits in (({}, True), ({"n_ctx": 40}, False), ({"d_vocab": 65}, False)):
        tiny = Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8)
        OthelloGPT(replace(tiny, **change)).save(path)
        if fits:
            assert isinstance(load_model(str(path)), OthelloGPT)
        else:
            with pytest.raises(CheckpointError, match="model of Othello games"):
                load_model(str(path))
    for name, reason in (
        ("reference", "not part of the project yet"),
        ("nobody", "neither a file"),
    ):
        with pytest.raises(UnknownModelError, match=reason):
            load_model(name)


def test_devices() -> None:
    assert resolve_device("cpu") == CPU
    assert resolve_device("auto").type in ("cpu", "cuda")
    with pytest.raises(MissingDeviceError):
        resolve_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(MissingDeviceError, match="no such device"):
            resolve_device("cuda")
    for name in ("meta", "cuda:99"):
        with pytest.raises(MissingDeviceError):
            resolve_device(name)
