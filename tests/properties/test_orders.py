"""Pairs of games: what the engine says of them, and what the measures beside the verdicts say of
answers whose truth is known."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from comparison.properties.orders import Causality, Telling, Transposition
from comparison.properties.orders import tie_breaking_null as null
from comparison.properties.subjects import Subject
from extracted_rules.benches.made_games import legal_part
from extracted_rules.benches.orders import same_boards
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.game_files import load_games
from extracted_rules.othello.notation import parse_transcript, tokens_from_squares
from tests.properties.planted import answer, known_legal, oracle

GAMES = next(random_games(24, 5, purpose="tests"))
CPU = torch.device("cpu")


def games_of(*transcripts: str) -> Tensor:
    return tokens_from_squares([parse_transcript(text) for text in transcripts])


def test_swapped_moves_lead_to_the_same_board_or_to_other_colours() -> None:
    cases = Transposition().cases(GAMES, 1)
    assert len(cases) > 10
    for one, other in (replay(pair).boards for pair in cases):
        differ = (one != other).any(-1)
        # They part once, for the three moves up to the second of the two, and meet again.
        assert 0 < int(differ.sum()) <= 3
        assert torch.equal(one[-1], other[-1])
    telling = Telling("t", "", legal_sets_equal=False).cases(GAMES, 1)
    assert len(telling) > 10
    for pair in telling:
        first = int((pair[0] != pair[1]).float().argmax())
        one, other = replay(pair).boards[:, first + 3]
        assert torch.equal(one != 0, other != 0)
        assert not torch.equal(one, other)
    verdicts = Transposition().judge(Subject(oracle, 0.01, CPU), cases)
    # Where it is the game's last move that is exchanged, nothing is left to be answered.
    assert int(verdicts.applies.any(-1).sum()) >= len(cases) - 3
    assert not bool(verdicts.broken.any())


def check_same_boards(games: Tensor, at_least: int) -> None:
    cases = same_boards(games, 1)
    assert len(cases) >= at_least
    for pair in cases:
        played = replay(pair)
        length = int(played.lengths[0])
        assert int(played.lengths[1]) == length
        assert torch.equal(*played.boards[:, length])
        assert len(set(played.movers[:, length].tolist())) == 1
        assert not torch.equal(*pair)


def test_recorded_games_with_the_same_board_are_found(tournament_games: Path) -> None:
    check_same_boards(torch.cat(list(load_games(tournament_games))), 1)


@pytest.mark.slow
def test_many_recorded_games_with_the_same_board_are_found(all_tournament_games: Path) -> None:
    check_same_boards(torch.cat(list(load_games(all_tournament_games)))[:600], 21)


def test_two_orders_of_one_board_are_found_once() -> None:
    games = games_of("c4e3f6e6f5", "c4e3f5e6f6", "d3c3c4e3f4")
    truth = replay(games).boards[:2, 5]
    assert torch.equal(*truth)
    (pair,) = same_boards(games, 1)
    assert sorted(pair.tolist()) == sorted(games[:2, :60].tolist())
    assert not len(same_boards(games[1:], 1))


def test_the_null_explains_noise_among_legal_moves_and_not_a_change_of_mind() -> None:
    """An oracle that breaks ties by the board, with noise, differs as often as the null says; one
    whose preference turns with the order of moves differs much more often."""
    generator = torch.Generator().manual_seed(1)
    legal = known_legal(GAMES[:, :59].long())
    preferred = torch.randn(legal.shape, generator=generator)

    def view_of(preference: Tensor, noise: float) -> object:
        shaken = preference + noise * torch.randn(legal.shape, generator=generator)
        logits = answer(legal)
        logits[..., 1:] += torch.where(legal, 0.2 * shaken, 0.0)
        return Subject(lambda _: logits, 0.01, CPU).view(GAMES)

    def rates(a: object, b: object) -> tuple[float, float]:
        asked = a.asked
        differs = float((a.top != b.top)[asked].double().mean())
        return differs, float(null(a, b)[asked].mean())

    noisy, expected = rates(view_of(preferred, 0.3), view_of(preferred, 0.3))
    assert 0.1 < noisy < 0.5
    assert abs(noisy - expected) < 0.05
    turned, explained = rates(view_of(preferred, 0.0), view_of(-preferred, 0.0))
    assert turned > 0.8
    assert explained < turned - 0.05


def test_causality_wants_a_game_alone_and_among_others() -> None:
    def looks_around(tokens: Tensor) -> Tensor:
        logits = oracle(tokens)
        return logits + 0.1 * torch.arange(logits.shape[-1]) * len(tokens)

    prop, cases = Causality(), Causality().cases(GAMES, 1)
    for model, breaks in ((oracle, False), (looks_around, True)):
        verdicts = prop.judge(Subject(model, 0.01, CPU), cases)
        assert int(verdicts.applies.sum()) == len(cases)
        assert bool(verdicts.broken.any()) == breaks


def test_recall_and_precision_of_the_squares_that_tell_boards_apart() -> None:
    prop = Telling("t", "", legal_sets_equal=False)
    cases = prop.cases(GAMES, 1)
    subject = Subject(oracle, 0.01, CPU)
    verdicts = prop.judge(subject, cases)
    assert [float(x.sum() / y.sum()) for x, y in verdicts.also.values()] == [1.0, 1.0]
    # Who holds the first game's moves for legal in both tells nothing apart.
    blind = Subject(lambda tokens: oracle(tokens[:1].expand_as(tokens)), 0.01, CPU)
    view = subject.view(cases[:, 0])
    blind.view = lambda games: replace(view, played=subject.view(games).played,  # type: ignore[method-assign]
                                       legal=subject.view(games).legal)  # fmt: skip
    verdicts = prop.judge(blind, cases)
    assert bool((verdicts.broken == verdicts.applies).all())
    right, there = verdicts.also["recall of the squares that tell them apart"]
    assert float(right.sum()) == 0 < float(there.sum())


def test_moves_left_out_of_a_pair_leave_a_pair() -> None:
    cases = Transposition().cases(GAMES, 1)
    assert torch.equal(legal_part(cases.flatten(0, 1)).view(cases.shape), cases)
