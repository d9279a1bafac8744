"""The board decoded from a model, by layer, and a disc turned in it."""

import ast
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

import comparison
import extracted_rules
from comparison.errors.layers import discs_decoded
from comparison.explaining.explainer import Explainer
from comparison.findings.boards import decoded
from comparison.findings.studied import FEWEST_GAMES, Studied
from comparison.properties import check
from comparison.properties.beliefs import LastFlips, Occupied, Responds
from comparison.properties.subjects import Subject
from comparison.reading.board_reader import (
    BoardReader,
    DecodedBoards,
    NamedReader,
    ProbedReader,
    board_reader,
    decoded_before,
)
from comparison.reading.boards import board_accuracy
from comparison.reading.probes import Probes, disc_directions, fit_probes
from extracted_rules.benches.positions import Bench
from extracted_rules.conditions import Boards, there
from extracted_rules.othello.game import Replay, random_games, replay
from extracted_rules.othello.geometry import Geometry
from handbuilt import OthelloGPT, Shape, build
from handbuilt.compiler import needed
from handbuilt.network.shape import CheckpointError
from handbuilt.recipes import program

BOARD = Geometry(6)
MOVES = BOARD.context
GAMES = next(random_games(6, 6, board=BOARD.size, purpose="tests"))
#: In which discs are turned.
SHORT = next(random_games(12, 6, board=BOARD.size, purpose="tests"))[:, :12]
CPU = torch.device("cpu")
TAU = 0.002


def replayed(games: Tensor) -> Replay:
    return replay(games, board=BOARD.size)


@pytest.fixture(scope="module")
def named() -> NamedReader:
    rules = program("logic", board=BOARD.size)
    return NamedReader(build(rules, shape=needed(rules)))


@pytest.fixture(scope="module")
def probed() -> ProbedReader:
    shape = Shape(n_layers=2, d_model=32, n_heads=2, d_head=16, d_mlp=32).on(BOARD.size)
    model = OthelloGPT(shape).eval()
    generator = torch.Generator().manual_seed(1)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.3
    return ProbedReader(model, fit_probes(model, games=40, seed=3))


def test_boards_by_name_get_better_layer_by_layer(named: NamedReader) -> None:
    played, boards = replayed(GAMES), named.read(GAMES)
    truth, wrong = boards.truth(played), boards.wrong(played)
    assert not bool((boards.values != 0)[:, played.boards[:, 1 : MOVES + 1] == 0].any())
    assert not bool(truth[:, 0].any())
    rates = [float(layer[truth != 0].float().mean()) for layer in wrong]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.25
    assert rates[7] < 0.05
    # After a few moves nothing is left to guess.
    assert not bool(wrong[7, :, :5].any())
    there = played.movers[:, 2:MOVES] != 0
    mover = boards.mover[:, :, 1 : MOVES - 1][:, there]
    assert float((mover == played.movers[:, 2:MOVES][there]).float().mean()) > 0.95
    assert boards.blank[:, :, 1:].equal(
        (played.boards[:, 2 : MOVES + 1] == 0).expand(8, -1, -1, -1)
    )


def test_who_moves_next_where_a_pass_is_due_is_who_made_the_last_move(named: NamedReader) -> None:
    games = next(random_games(100, 5, board=BOARD.size, purpose="test"))
    behind = slice(1, MOVES + 1)
    games = games[replayed(games).passes[:, behind].any(-1)][:24]
    played = replayed(games)
    (mover,) = named.read(games, (named.decisive,)).mover
    due = (played.passes & (played.passes.cumsum(1) == 1))[:, behind]
    assert int(due.sum()) > 10
    assert float((mover == played.movers[:, behind])[due].float().mean()) > 0.8


@pytest.mark.parametrize("which", ["named", "probed"])
def test_one_layer_is_read_as_among_all(which: str, request: pytest.FixtureRequest) -> None:
    reader: BoardReader = request.getfixturevalue(which)
    every, one = reader.read(GAMES[:4]), reader.read(GAMES[:4, :20], (1,))
    assert one.values.equal(every.values[1:2, :, :20])
    assert one.mover.equal(every.mover[1:2, :, :20])
    assert one.blank.equal(every.blank[1:2, :, :20])


def test_probes_that_say_nothing_are_wrong_about_every_disc(probed: ProbedReader) -> None:
    probes = probed.probes
    blind = Probes(probes.model, 0, 0, probes.states * 0, probes.flips * 0)
    played, boards = replayed(GAMES), ProbedReader(probed.model, blind).read(GAMES)
    assert boards.wrong(played).equal((played.boards[:, 1 : MOVES + 1] != 0).expand(2, -1, -1, -1))
    assert boards.flips is not None
    assert not bool(boards.flips.any())


def test_probes_of_another_model_are_refused(probed: ProbedReader) -> None:
    with pytest.raises(CheckpointError, match="of another shape"):
        board_reader(OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8)), probed.probes)


def test_models_without_names_and_probes_are_not_read(probed: ProbedReader) -> None:
    assert board_reader(probed.model) is None
    assert board_reader(torch.nn.Identity()) is None


# --------------------------------------------------------------------------- who reads


def in_findings(reader: BoardReader) -> Tensor:
    studied = Studied(reader.model, TAU, getattr(reader, "probes", None), FEWEST_GAMES)
    studied.seen.tokens, studied.seen.played = GAMES, replayed(GAMES)
    return next(decoded(studied, reader))[0].signs[reader.decisive]


def in_explanations(reader: BoardReader) -> Tensor:
    asks = Explainer("it", reader.model, reader, TAU)
    boards = [[asks.explain(game, seen).decoded for seen in (10, 20)] for game in GAMES[:1]]
    values = torch.stack([torch.stack(of_game) for of_game in boards])  # type: ignore[arg-type]
    return values[:, :, reader.decisive].sign().to(torch.int8)


@pytest.mark.parametrize("which", ["named", "probed"])
def test_everybody_reads_the_same_board(which: str, request: pytest.FixtureRequest) -> None:
    reader: BoardReader = request.getfixturevalue(which)
    last, played = reader.decisive, replayed(GAMES)
    read = reader.read(GAMES)
    board, wrong = read.signs[last], read.wrong(played)
    assert Subject(reader.model, TAU, CPU, reader).board(GAMES).signs[0].equal(board)
    assert in_findings(reader).equal(board)
    assert in_explanations(reader).equal(board[:1, [9, 19]])
    # Positions after which nobody moves are asked about by nobody.
    goes_on = played.movers[:, 1 : MOVES + 1] != 0
    accuracy = board_accuracy(reader, GAMES)
    right = (accuracy.discs - accuracy.discs_right).sum(1)
    assert right.equal((wrong & goes_on[..., None]).sum((1, 2, 3)))
    at = Bench.of(GAMES, "test", board=BOARD.size).positions
    of_errors, _ = discs_decoded(reader, GAMES, at, lambda _: None)
    assert int(of_errors[last].sum()) == int(wrong[last][goes_on].sum())


def test_a_board_before_a_part_is_the_same_board(probed: ProbedReader) -> None:
    """Where the side that moves next is decoded as it is, and a disc is not quite undecided."""
    played, read = replayed(GAMES), probed.read(GAMES)
    truth, where = Boards.of(played, MOVES), there(played, MOVES)
    side = played.movers[:, 1 : MOVES + 1]
    with torch.inference_mode():
        _, kept = probed.model.run_with_cache(GAMES[:, :MOVES].long(), ["blocks.1.hook_resid_post"])
    stream = kept["blocks.1.hook_resid_post"][where]
    board, _, _ = decoded_before(probed.probes, 1, stream, truth)
    signs = read.signs[1][where]
    colours = board.now * side[where][:, None]
    same_side = (read.mover[1] == side)[where]
    compared = (signs != 0) & same_side[:, None] & (colours != 0)
    assert compared.sum() > 1000
    assert torch.equal(colours[compared], signs[compared])


def reads_directly(path: Path) -> list[str]:
    """Where a module looks up what boards are decoded from: directions by name, probes' weights."""
    names, found = ("['belief']", "['message']", "['clipped']"), []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        probed = tuple(f"probes.{name}" for name in ("states", "flips", "discs", "turned", "blank"))
        ends = {ast.Subscript: names, ast.Attribute: probed}
        if ast.unparse(node).endswith(ends.get(type(node), ())):
            found.append(f"{path.stem}: {ast.unparse(node)}")
    return found


def test_nobody_else_decodes_boards() -> None:
    packages = (comparison, extracted_rules)  # programs name directions, too: to say what is read
    folders = [Path(str(package.__file__)).parent for package in packages]
    every = (path for folder in folders for path in folder.rglob("*.py"))
    elsewhere = [path for path in every if path.parent.name != "reading"]
    found = {name for path in elsewhere for name in reads_directly(path)}
    # Probes have a digest, which decodes nothing.
    assert found == {"exhibits: self.probes.states", "exhibits: self.probes.flips"}


# --------------------------------------------------------------------------- turning a disc


def test_turning_a_disc_turns_the_answer(named: NamedReader) -> None:
    games = SHORT
    subject = Subject(named.model, TAU, CPU, named)
    cases = Responds().cases(games, 1, BOARD.size)
    verdicts = Responds().judge(subject, cases)
    asked = int(verdicts.applies.sum())
    assert asked >= 10
    assert int(verdicts.broken.sum()) <= asked // 2
    null, _ = verdicts.also["set is wrong without the edit (null)"]
    assert int(null.sum()) >= 0.9 * asked
    edited, unedited = (
        float(verdicts.also[name][0].sum())
        for name in ("wrong moves a case", "wrong moves a case without the edit (null)")
    )
    assert edited < unedited / 2
    # Each case for itself: the square and the verdict do not hang on what stands beside it.
    alone = Responds().judge(subject, cases[3:4])
    assert torch.equal(alone.square[0], verdicts.square[3])
    assert torch.equal(alone.broken[0], verdicts.broken[3])


@pytest.mark.parametrize("which", ["named", "probed"])
def test_a_disc_is_turned_only_where_it_should_be(
    which: str, request: pytest.FixtureRequest
) -> None:
    reader: BoardReader = request.getfixturevalue(which)
    games, square = GAMES[:3, :12], torch.tensor(BOARD.centre[:3])
    where = torch.zeros(3, 12, dtype=torch.bool)
    played, answers = replayed(games), reader.model(games.long())
    assert reader.edited(games, square, played, where).equal(answers)
    where[:, 8:] = True
    late, everywhere = (reader.edited(games, square, played, w) for w in (where, None))
    assert late[:, :8].equal(answers[:, :8])
    assert not late[:, 8:].allclose(answers[:, 8:])
    assert not everywhere[:, :8].allclose(answers[:, :8])


class Upside(BoardReader):
    """Reads the true board, but all discs the other way, and A1 as taken; turns no disc."""

    decisive = 0

    def read(self, games: Tensor, layers: Sequence[int] | None = None) -> DecodedBoards:
        boards = -replayed(games).boards[None, :, 1 : games.shape[1] + 1]
        blank = boards == 0
        blank[..., 0] = False
        return DecodedBoards(boards.float(), boards.sum(-1), blank)

    def edited(
        self, games: Tensor, square: Tensor, played: Replay, where: Tensor | None = None
    ) -> Tensor:
        answers: Tensor = self.model(games.long())
        return answers


def test_rules_about_the_board_see_a_board_that_is_wrong(
    named: NamedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upside, "__abstractmethods__", frozenset())
    games = SHORT
    subject = Subject(named.model, TAU, CPU, Upside(named.model))  # type: ignore[abstract]
    for prop in (Occupied(), LastFlips()):
        verdicts = prop.judge(subject, games[:, None])
        assert bool(verdicts.applies[:, 1:].all())
        assert float(verdicts.broken.sum() / verdicts.applies.sum()) > 0.9
    verdicts = Responds().judge(subject, Responds().cases(games, 1, BOARD.size))
    assert int(verdicts.broken.sum()) >= 0.9 * int(verdicts.applies.sum())


def test_discs_are_found_where_a_hand_built_model_writes_them(named: NamedReader) -> None:
    """Layer 6 clips the board after the move: its directions come out, square by square."""
    written = disc_directions(named.model, games=40)[6]
    loudest = written[:, named.clipped].abs().argmax(-1)
    assert int((loudest == torch.arange(BOARD.n_squares)).sum()) >= BOARD.max_plies


def test_the_board_of_a_trained_model_is_put_to_the_rules(probed: ProbedReader) -> None:
    asked = ["belief-occupied", "belief-responds"]
    report = check(probed.model, properties=asked, examples=8, tau=0.01, reader=probed)
    assert report["belief-occupied"].overall().y > 0
    assert report["belief-occupied"].smallest is not None
    assert report["belief-responds"].missing is None
