from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extracted_rules.othello.game_files import GameFileError, load_games
from extracted_rules.othello.notation import parse_transcript
from tests.othello.dresses import files, games, transcript


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("games") / "games"


@pytest.mark.parametrize("board", [4, 6, 8])
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_game_in_any_dress_gives_the_same_tokens(
    path: Path, board: int, data: st.DataObject
) -> None:
    games, written = data.draw(files(board))
    path.write_bytes(written)
    read = torch.cat(list(load_games(path, board)))
    assert read.equal(torch.stack([game.tokens for game in games]))


@settings(deadline=None, max_examples=60)
@given(data=st.data(), board=st.sampled_from([4, 6, 8]))
def test_a_transcript_is_read_alike_wherever_it_is_given(data: st.DataObject, board: int) -> None:
    game = data.draw(games(board))[0]
    assert parse_transcript(data.draw(transcript(game)), board) == game.squares


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_pass_where_none_is_due_is_an_error_at_its_ply(path: Path, data: st.DataObject) -> None:
    game = data.draw(games(6))[0]
    due = [n for n, label in enumerate(game.labels) if label == ""]
    at = data.draw(st.integers(0, len(game.labels) - 1).filter(lambda n: n not in due))
    labels = (*game.labels[:at], "", *game.labels[at:])
    ply = 1 + sum(label != "" for label in labels[:at])
    words = [label or "ps" for label in labels]
    path.write_text(" ".join(words))
    with pytest.raises(GameFileError, match=rf"line 1, game 1: ply {ply}: a pass is written"):
        list(load_games(path, 6))


@settings(deadline=None)
@given(data=st.data())
def test_damaged_files_give_games_or_one_sentence(path: Path, data: st.DataObject) -> None:
    written = data.draw(files(4))[1]
    start = data.draw(st.integers(0, len(written)))
    end = data.draw(st.integers(start, len(written)))
    path.write_bytes(written[:start] + data.draw(st.binary(max_size=3)) + written[end:])
    with suppress(GameFileError):
        assert all(len(batch) for batch in load_games(path, 4, on_bad=lambda _: None))
