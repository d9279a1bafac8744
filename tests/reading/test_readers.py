"""The board read out of a model, and a disc turned in it."""

import torch

from comparison.properties import board_reader, check
from comparison.properties.beliefs import LastFlips, Occupied, Responds
from comparison.properties.subjects import Subject
from comparison.reading.probes import disc_directions, fit_probes
from extracted_rules.othello.game import random_games, replay
from handbuilt import OthelloGPT, Shape, build

GAMES = next(random_games(12, 6, purpose="tests"))[:, :30]
CPU = torch.device("cpu")
MODEL = build("logic")
TAU = 0.0011


def test_the_board_of_a_hand_built_model_is_its_own() -> None:
    reader = board_reader(MODEL)
    assert reader is not None
    played = replay(GAMES)
    held = reader.read(GAMES, played)
    truth = played.boards[:, 1:31]
    assert torch.equal(held[:, 1:] != 0, truth[:, 1:] != 0)
    discs = truth[:, 1:] != 0
    assert float((held == truth)[:, 1:][discs].double().mean()) > 0.95


def test_turning_a_disc_turns_the_answer() -> None:
    subject = Subject(MODEL, TAU, CPU, board_reader(MODEL))
    cases = Responds().cases(GAMES, 1)
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


def test_rules_about_the_board_see_a_board_that_is_wrong() -> None:
    class Upside:
        """Reads the true board, but all discs the other way, and A1 as taken."""

        def read(self, tokens, played):  # type: ignore[no-untyped-def]
            held = -played.boards[:, 1 : tokens.shape[1] + 1]
            held[..., 0] = 1
            return held

        def edited(self, tokens, square, played):  # type: ignore[no-untyped-def]
            return MODEL(tokens.long())

    subject = Subject(MODEL, TAU, CPU, Upside())
    for prop in (Occupied(), LastFlips()):
        verdicts = prop.judge(subject, GAMES[:, None])
        assert bool(verdicts.applies[:, 1:].all())
        assert float(verdicts.broken.sum() / verdicts.applies.sum()) > 0.9
    verdicts = Responds().judge(subject, Responds().cases(GAMES, 1))
    assert int(verdicts.broken.sum()) >= 0.9 * int(verdicts.applies.sum())


def test_discs_are_found_where_a_hand_built_model_writes_them() -> None:
    """Layer 6 settles the board after the move: its directions come out, square by square."""
    settled = MODEL.layout.directions["settled"]
    written = disc_directions(MODEL, games=40)[6]
    loudest = written[:, settled].abs().argmax(-1)
    assert int((loudest == torch.arange(64)).sum()) >= 60


def test_a_trained_model_is_read_through_probes_and_others_not_at_all() -> None:
    tiny = OthelloGPT(Shape(n_layers=2, d_model=8, n_heads=1, d_head=8, d_mlp=8)).eval()
    generator = torch.Generator().manual_seed(1)
    for weight in tiny.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) / 4
    assert board_reader(tiny) is None
    assert board_reader(torch.nn.Identity()) is None
    reader = board_reader(tiny, fit_probes(tiny, games=8))
    report = check(
        tiny, properties=["belief-occupied", "belief-responds"], examples=8, tau=0.01, reader=reader
    )
    assert report["belief-occupied"].overall().y > 0
    assert report["belief-occupied"].smallest is not None
    assert report["belief-responds"].missing is None
