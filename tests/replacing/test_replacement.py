"""Rules in the place of a model's parts: a layer by its own rules loses nothing, by others all."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor

from comparison.reading.probes import Probes
from comparison.replacing.fitted import Fitted, Readings, fit_replacements
from comparison.replacing.necessity import necessity_test, neurons_of_patterns
from comparison.replacing.replacement import (
    FAMILIES,
    HOW,
    check_fits,
    digest,
    measure,
    replacement_test,
    sets,
    summary,
)
from comparison.reporting.replacing import (
    MEASURES,
    draw_replacement,
    necessity_table,
    replacement_table,
)
from comparison.training import reference
from extracted_rules import catalogue as catalogues
from extracted_rules.catalogue import Catalogue, CatalogueError
from extracted_rules.conditions import Boards
from extracted_rules.discovery.predicting import Held, Predicted
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from handbuilt import compile
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs import Link, Program, facts
from handbuilt.programs.directions import directions
from handbuilt.programs.tables import tables
from handbuilt.recipes import build
from tests.command_line import run
from tests.discovery.planted import about, as_compiled, rule

#: What can be shown on any board is shown on a small one.
BOARD = Geometry(6)
SMALL = Shape(d_model=288, d_head=36, d_mlp=704)


def small_logic() -> OthelloGPT:
    return build("logic", board=BOARD.size, shape=SMALL)


class Dealt(Predicted):
    """Every prediction goes to another neuron of the layer, around that one's mean."""

    def __call__(self, held: Held) -> Tensor:
        predicted = super().__call__(held)
        ruled = self.rules.neurons
        generator = torch.Generator().manual_seed(0)
        other = ruled[torch.randperm(len(ruled), generator=generator)]
        mean = self.means.mean(0)
        predicted[:, other] = predicted[:, ruled] - mean[ruled] + mean[other]
        return predicted


def shuffled(fit: Fitted) -> Fitted:
    """Every rule goes to another neuron of its layer, with the strength that it was found with."""
    dealt = [{use: Dealt(**vars(mlp)) for use, mlp in by_use.items()} for by_use in fit.mlps]
    return replace(fit, mlps=dealt)


@pytest.fixture(scope="module")
def blanks() -> OthelloGPT:
    """The compiler's exact facts and nothing else: it holds all blank squares for legal."""
    t = tables(BOARD)
    of_token = np.zeros((BOARD.max_plies, BOARD.n_tokens))
    of_token[:, 1:] = 8 * np.eye(BOARD.max_plies)
    program = Program(
        geometry=BOARD,
        layers=1,
        directions=directions(t),
        tokens=(facts.tokens(t),),
        positions=(facts.position(t),),
        heads=(facts.see_moves(t)[0],),
        neurons=facts.know_the_board(t),
        logits=(Link("blank", of_token),),
    )
    return compile(program, replace(SMALL, n_layers=1, d_mlp=96).on(BOARD.size))


@pytest.fixture(scope="module")
def own_rules(blanks: OthelloGPT) -> Catalogue:
    layout = blanks.layout.neurons[0]
    kinds = {"occupied": "occupied", "occupied-cap": "occupied", "placed": "played"}
    return about(
        blanks,
        *(
            rule(0, family.start + place, kinds[family.name], label)
            for family in layout.families.values()
            for place, label in enumerate(family.members)
        ),
    )


@pytest.fixture(scope="module")
def fit(blanks: OthelloGPT, own_rules: Catalogue) -> Fitted:
    return fit_replacements(blanks, own_rules, 3, (64, 64))


def test_a_layer_by_its_own_rules_loses_nothing(blanks: OthelloGPT, fit: Fitted) -> None:
    found = replacement_test(fit, 24, 3)[0]
    assert found.name == "MLP 0"
    whole, mean = found.excess["nothing"].value, found.excess["mean"].value
    assert mean > whole + 0.3
    for how in ("own", "true"):
        assert found.excess[how].value == pytest.approx(whole, abs=0.02)
        back = found.ce_back[how]
        assert back is not None
        assert back.value > 0.98
    control = found.ce_back["control"]
    assert control is not None
    assert control.value < 0.5


def test_by_shuffled_rules_it_loses_all(blanks: OthelloGPT, fit: Fitted) -> None:
    found = replacement_test(shuffled(fit), 24, 3)[0]
    for how in ("own", "true"):
        back = found.ce_back[how]
        assert back is not None
        assert back.value <= 0


@pytest.mark.parametrize(
    ("model", "layers"),
    [
        (small_logic, (2, 7)),
        pytest.param(build, range(8), marks=pytest.mark.slow),
        pytest.param(partial(build, "calibrated"), range(8), marks=pytest.mark.slow),
    ],
)
def test_layers_of_a_recipe_by_their_own_rules_lose_nothing(
    model: Callable[[], OthelloGPT], layers: Sequence[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neurons add up named directions and bend the sum, so what rules must name are the squares."""
    monkeypatch.setattr("comparison.replacing.replacement.FAMILIES", {"MLP": (("mlp",), False)})
    own = as_compiled(whole := model())
    own = replace(own, findings=tuple(f for f in own.findings if f.layer in layers))
    fit = fit_replacements(whole, own, 3, (16, 32))
    found = replacement_test(fit, 8, 3)
    for of_layer in (found[layer] for layer in layers):
        whole, mean, rules = (of_layer.excess[how].value for how in ("nothing", "mean", "own"))
        assert mean > whole + 0.01
        assert rules == pytest.approx(whole, abs=0.01 * (mean - whole)), of_layer.name
        others = of_layer.ce_back["control"]
        assert others is not None
        assert others.value < 0.1


@pytest.mark.slow
def test_shuffled_rules_bring_back_nothing_of_a_trained_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not reference.is_there():
        pytest.skip("no trained model is part of the project")
    monkeypatch.setattr("comparison.replacing.replacement.FAMILIES", {"MLP": (("mlp",), False)})
    model = reference.load_reference()
    fit = fit_replacements(model, simple_rules(model), 3, (32, 64))
    for rules, least, most in ((fit, 0.2, 1.0), (shuffled(fit), -torch.inf, 0.0)):
        sums = measure_alone(rules)
        lost = sums["mean"] - sums["nothing"]
        for how in ("own", "true"):
            assert least < (sums["mean"] - sums[how]) / lost <= most


def simple_rules(model: OthelloGPT) -> Catalogue:
    """For each neuron of layer 0 the square whose being played or taken it goes with best."""
    played = replay(next(random_games(64, 3, purpose="replacement-test")))
    board = played.geometry
    boards = Boards.of(played, board.context)
    name = "blocks.0.mlp.hook_post"
    with torch.inference_mode():
        _, cache = model.run_with_cache(played.tokens[:, : board.context].long(), name)
    kept = cache[name][played.movers[:, 1 : board.context + 1] != 0]
    held = {"played": boards.played[:, None] == torch.tensor(board.playable)}
    held["occupied"] = boards.now[:, list(board.playable)] != 0
    both = torch.cat(list(held.values()), 1).float()
    both, activations = (x - x.mean(0) for x in (both, kept))
    likeness = both.T @ activations / (both.norm(dim=0)[:, None] * activations.norm(dim=0))
    best = likeness.abs().argmax(0).tolist()
    names = [(kind, board.labels[square]) for kind in held for square in board.playable]
    return about(model, *(rule(0, n, *names[column]) for n, column in enumerate(best)))


def measure_alone(fit: Fitted) -> dict[str, float]:
    """Excess cross-entropy, summed, with MLP 0 replaced in every way."""
    sums = measure(fit, replay(next(random_games(8, 3, purpose="replacement-test"))))
    assert sets(8)[0] == ("MLP", 0)
    return dict(zip(("nothing", *HOW), sums[: 1 + len(HOW), 0].sum(-1).tolist(), strict=True))


def boards_of(games: int) -> Boards:
    tokens = next(random_games(games, 4, board=BOARD.size, purpose="replacement-test"))
    return Boards.of(replay(tokens, board=BOARD.size), BOARD.context)


def test_boards_are_decoded_exactly_where_moves_tell() -> None:
    truth, n = boards_of(8), BOARD.n_squares
    # A stream that holds the board's states and flips outright, and probes that read them.
    stream = torch.cat([(truth.now == s).float() for s in (1, -1)] + [truth.turned.float()], -1)
    states, flips = torch.zeros(2, 3 * n + 1, n, 3), torch.zeros(2, 3 * n + 1, n)
    states[:, :n, :, 0], states[:, n : 2 * n, :, 1] = torch.eye(n), torch.eye(n)
    flips[:, 2 * n : 3 * n] = torch.eye(n)
    model = OthelloGPT(Shape(n_layers=1).on(BOARD.size))
    readings = Readings.of(model, Probes("", 0, 0, states, flips))
    found = readings.decoded("mlp", 0, stream, truth)
    for name in ("now", "before", "turned", "played", "ply"):
        assert getattr(found.boards, name).equal(getattr(truth, name)), name
    assert found.numbers.equal(readings.true(truth).numbers)
    blind = readings.decoded("mlp", 0, stream * 0, truth).boards
    assert (blind.now != 0).equal(truth.now != 0)
    assert not bool(blind.turned.any())


def test_directions_with_names_are_read_as_such() -> None:
    model, n = small_logic(), BOARD.n_squares
    width = model.shape.d_model
    states, flips = torch.zeros(16, width + 1, n, 3), torch.zeros(16, width + 1, n)
    readings = Readings.of(model, Probes("", 0, 0, states, flips))
    names = model.layout.directions
    told = [names.name(int(place)) for place in readings.named]
    assert {"belief.C4", "blank.A1", "need"} <= {*told}
    assert not {"ballast.plus", "position.3"} & {*told}
    squares = dict(zip(told, readings.squares[4 * n :].tolist(), strict=True))
    assert (squares["belief.C4"], squares["need"]) == (BOARD.square_of("C4"), -1)
    truth = boards_of(2)
    stream = torch.randn(len(truth), width, generator=torch.Generator().manual_seed(0))
    numbers = readings.decoded("attention", 3, stream, truth).numbers
    assert numbers[:, 4 * n :].equal(stream[:, readings.named])
    assert numbers.shape == readings.true(truth).numbers.shape


def test_without_its_neurons_a_line_fails_where_it_applies() -> None:
    model = build("logic")
    board, layout = model.geometry, model.layout
    lines = [
        rule(layer, place, "line", member)
        for layer in (6, 7)
        for family in [layout.neurons[layer].families["line"]]
        for place, member in enumerate(family.members, start=family.start)
        if board.senses[member]
    ]
    catalogue = about(model, *lines)
    assert sum(map(len, neurons_of_patterns(catalogue).values())) == 2 * len(board.patterns)
    names = [f"blocks.{layer}.mlp.hook_post" for layer in range(model.shape.n_layers)]
    others = next(random_games(32, 3, purpose="replacement-test"))[:, : board.context].long()
    with torch.inference_mode():
        _, cache = model.run_with_cache(others, names)
    means = torch.stack([cache[name].mean(0) for name in names])
    found = necessity_test(model, means, catalogue, 16, 3, most=3)
    assert [group.layers for group in found] == ["all layers", "before the last", "the last"]
    everything = found[0]
    assert (everything.patterns, everything.neurons) == (3, 2)
    assert everything.times > 3
    assert everything.square.value > 0.2
    table = necessity_table(found)
    assert all(len(row) == len(table.headings) for row in table.rows)
    assert necessity_test(model, means, about(model), 16, 3) == []


def test_a_test_that_was_killed_goes_on(
    blanks: OthelloGPT, fit: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = replacement_test(fit, 40, 3, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr("comparison.replacing.replacement.measure", pytest.fail)
    assert replacement_test(fit, 40, 3, tmp_path) == found
    for measured in MEASURES:
        table = replacement_table("a title", found, measured)
        assert len(table.rows) == 1 + len(FAMILIES)
        assert all(len(row) == len(table.headings) for row in table.rows)
    draw_replacement(found, "a title", tmp_path / "drawn.png")
    assert (tmp_path / "drawn.png").stat().st_size > 1000


def test_what_costs_nothing_has_no_share() -> None:
    sums = torch.ones(1 + len(FAMILIES) * len(HOW), 3, 5, dtype=torch.float64)
    found = summary(sums, 1)
    assert all(back is None for row in found for back in (*row.ce_back.values(),))
    assert "nothing lost" in replacement_table("a title", found, "excess").rows[1]
    assert msgspec.to_builtins(found[0])["ce_back"]["own"] is None


def test_a_catalogue_belongs_to_its_model(blanks: OthelloGPT, own_rules: Catalogue) -> None:
    check_fits(own_rules, own_rules.header.fingerprint)
    with pytest.raises(CatalogueError, match="another model, which it calls 'planted'"):
        check_fits(own_rules, "something else")
    assert digest(b"a", 1) != digest(b"a", 2) != digest(b"b", 2)


def test_the_command_writes_table_picture_and_figures(
    blanks: OthelloGPT,
    own_rules: Catalogue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("handbuilt.analysis.streams.READ_GAMES", 16)
    model, rules, out = (str(tmp_path / name) for name in ("model.safetensors", "c.jsonl", "out"))
    blanks.save(Path(model))
    catalogues.write(own_rules, Path(rules))
    asked = ("replace", model, rules, "--games", "8", "--fitting", "32", "--out", out)
    assert run(*asked, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "MLP 0" in shown
    figures = json.loads((Path(out) / "replacement.json").read_text())
    assert figures["neurons with a rule"] == [3 * BOARD.max_plies]
    assert len(figures["parts"]) == len(FAMILIES)
    assert (Path(out) / "replacement.png").is_file()
    assert "| MLP 0 |" in (Path(out) / "replacement.md").read_text()
    other = build("logic")
    other.save(Path(model))
    assert run(*asked, monkeypatch=monkeypatch) == 2
    assert "the catalogue is about another model" in capsys.readouterr().err
