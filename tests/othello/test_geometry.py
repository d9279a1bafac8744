"""Lines, patterns and symmetries of boards of every size."""

import pytest
import torch

from extracted_rules import BoardError, Geometry, random_games, replay

BOARDS = pytest.mark.parametrize("board", [4, 6, 8])


@pytest.mark.parametrize(
    ("board", "counts"), [(4, (68, 56, 34)), (6, (360, 316, 180)), (8, (1036, 960, 518))]
)
def test_there_are_as_many_patterns_as_the_literature_counts(
    board: int, counts: tuple[int, int, int]
) -> None:
    g = Geometry(board)
    assert (len(g.all_patterns), len(g.patterns), len(g.brackets)) == counts


@BOARDS
def test_every_bracket_is_two_patterns(board: int) -> None:
    sides = [(p.start, p.run, p.end) for p in Geometry(board).all_patterns]
    both = [
        side
        for b in Geometry(board).brackets
        for side in ((b.ends[0], b.run, b.ends[1]), (b.ends[1], b.run[::-1], b.ends[0]))
    ]
    assert sorted(sides) == sorted(both)


@BOARDS
def test_names_are_unique(board: int) -> None:
    g = Geometry(board)
    assert len({p.name for p in g.all_patterns}) == len(g.all_patterns)
    assert len({b.name for b in g.brackets}) == len(g.brackets)
    assert {p.start for p in g.patterns}.isdisjoint(g.centre)


@BOARDS
def test_symmetries_form_the_dihedral_group(board: int) -> None:
    g = Geometry(board)
    maps = {tuple(row.tolist()) for row in g.symmetries}
    assert len(maps) == 8
    for a in g.symmetries:
        for b in g.symmetries:
            assert tuple(a[b].tolist()) in maps
    assert g.symmetries[0].tolist() == list(range(g.n_squares))
    assert len(g.start_symmetries) == 4


@BOARDS
def test_symmetries_map_lines_to_lines(board: int) -> None:
    g = Geometry(board)
    lines = {tuple(g.ray(s, d)) for s in range(g.n_squares) for d in range(8)}
    for symmetry in g.symmetries.tolist():
        assert {tuple(symmetry[s] for s in line) for line in lines} == lines


@BOARDS
def test_pairs_are_the_classes_of_a_move_and_a_disc(board: int) -> None:
    g = Geometry(board)
    for symmetry in g.symmetries:
        assert g.pair_class[symmetry][:, symmetry].equal(g.pair_class)
    for number, (move, disc) in enumerate(g.pairs, start=1):
        assert int(g.pair_class[move, disc]) == number
    for move in range(g.n_squares):
        reach = {move}.union(*(g.ray(move, direction)[: g.max_length] for direction in range(8)))
        paired = set(g.pair_class[move].nonzero()[:, 0].tolist())
        assert paired == (set() if move in g.centre else reach)
        # Two pairs of a class are alike: a symmetry maps one to the other.
        for disc in paired:
            like = g.pairs[int(g.pair_class[move, disc]) - 1]
            assert any((int(s[move]), int(s[disc])) == like for s in g.symmetries)


@BOARDS
def test_patterns_decide_flips_and_legal_moves(board: int) -> None:
    """The engine's flips and legal sets, recomputed from the patterns alone."""
    g = Geometry(board)
    played = replay(next(random_games(40, 1, board=board, purpose="test")), board=board)
    plies = (3, g.max_plies // 2, g.max_plies - 5)
    for game, ply in ((game, ply) for game in range(40) for ply in plies):
        mover = int(played.movers[game, ply])
        if mover == 0:
            continue
        discs = (played.boards[game, ply] * mover).tolist()
        holds = [
            p
            for p in g.patterns
            if discs[p.start] == 0 and discs[p.end] == 1 and all(discs[s] == -1 for s in p.run)
        ]
        legal = played.legal[game, ply].nonzero().squeeze(-1).tolist()
        assert sorted({p.start for p in holds}) == legal
        if int(played.tokens[game, ply]):
            changed = (played.boards[game, ply + 1] == mover) & (played.boards[game, ply] == 0)
            move = int(changed.nonzero())
            flips = {s for p in holds if p.start == move for s in p.run}
            assert played.flips[game, ply].nonzero().squeeze(-1).tolist() == sorted(flips)


def test_rays_are_padded_off_the_board() -> None:
    rays = Geometry(8).rays
    assert rays.shape == (64, 8, 7)
    assert rays[0, 0].tolist() == [64] * 7
    assert rays[0, 3].tolist() == [9, 18, 27, 36, 45, 54, 63]


@BOARDS
def test_the_first_moves_are_those_that_are_legal_at_the_start(board: int) -> None:
    games = next(random_games(1, 1, board=board, purpose="test"))
    legal = replay(games, board=board).legal[0, 0].nonzero().squeeze(-1).tolist()
    assert list(Geometry(board).first_moves) == legal


@pytest.mark.parametrize("board", [3, 5, 7, 10, 0, -4, True, "8", None])
def test_a_board_that_there_is_not_is_one_sentence(board: object) -> None:
    with pytest.raises(BoardError, match="a board has 4, 6 or 8 squares a side"):
        Geometry(board)  # type: ignore[arg-type]


def test_a_vocabulary_says_which_board_it_is() -> None:
    assert [Geometry.of_tokens(n).size for n in (13, 33, 61)] == [4, 6, 8]
    with pytest.raises(BoardError, match="no board has a vocabulary of 50 tokens"):
        Geometry.of_tokens(50)


def test_tables_that_inference_asked_for_first_serve_training() -> None:
    with torch.inference_mode():
        square = Geometry.square_of_token.func(Geometry(4))
    weights = torch.ones(4, Geometry(4).n_tokens, requires_grad=True)
    (weights[:, square.clamp(max=12)]).sum().backward()
    assert weights.grad is not None
