from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.notation import CENTRE
from extracted_rules.othello.patterns import (
    ALL_PATTERNS,
    BRACKETS,
    PAIR_CLASS,
    PAIRS,
    PATTERNS,
    RAYS,
    START_SYMMETRIES,
    SYMMETRIES,
    ray,
)


def test_there_are_as_many_patterns_as_the_literature_counts() -> None:
    assert len(ALL_PATTERNS) == 1036
    assert len(PATTERNS) == 960
    assert len(BRACKETS) == 518


def test_every_bracket_is_two_patterns() -> None:
    sides = [(p.start, tuple(p.run), p.end) for p in ALL_PATTERNS]
    both = [
        side
        for b in BRACKETS
        for side in ((b.ends[0], b.run, b.ends[1]), (b.ends[1], b.run[::-1], b.ends[0]))
    ]
    assert sorted(sides) == sorted(both)


def test_names_are_unique() -> None:
    assert len({p.name for p in ALL_PATTERNS}) == len(ALL_PATTERNS)
    assert len({b.name for b in BRACKETS}) == len(BRACKETS)
    assert {p.start for p in PATTERNS}.isdisjoint(CENTRE)


def test_symmetries_form_the_dihedral_group() -> None:
    maps = {tuple(row.tolist()) for row in SYMMETRIES}
    assert len(maps) == 8
    for a in SYMMETRIES:
        for b in SYMMETRIES:
            assert tuple(a[b].tolist()) in maps
    assert SYMMETRIES[0].tolist() == list(range(64))
    assert len(START_SYMMETRIES) == 4


def test_symmetries_map_lines_to_lines() -> None:
    lines = {tuple(ray(s, d)) for s in range(64) for d in range(8)}
    for symmetry in SYMMETRIES.tolist():
        assert {tuple(symmetry[s] for s in line) for line in lines} == lines


def test_pairs_are_the_classes_of_a_move_and_a_disc() -> None:
    for symmetry in SYMMETRIES:
        assert PAIR_CLASS[symmetry][:, symmetry].equal(PAIR_CLASS)
    for number, (move, disc) in enumerate(PAIRS, start=1):
        assert int(PAIR_CLASS[move, disc]) == number
    for move in range(64):
        reach = {move}.union(*(ray(move, direction)[:6] for direction in range(8)))
        paired = set(PAIR_CLASS[move].nonzero()[:, 0].tolist())
        assert paired == (set() if move in CENTRE else reach)
        # Two pairs of a class are alike: a symmetry maps one to the other.
        for disc in paired:
            like = PAIRS[int(PAIR_CLASS[move, disc]) - 1]
            assert any((int(s[move]), int(s[disc])) == like for s in SYMMETRIES)


def test_patterns_decide_flips_and_legal_moves() -> None:
    """The engine's flips and legal sets, recomputed from the patterns alone."""
    played = replay(next(random_games(40, 1, purpose="test")))
    for game, ply in ((g, p) for g in range(40) for p in (3, 17, 31, 44, 55)):
        mover = int(played.movers[game, ply])
        if mover == 0:
            continue
        board = (played.boards[game, ply] * mover).tolist()
        holds = [
            p
            for p in PATTERNS
            if board[p.start] == 0 and board[p.end] == 1 and all(board[s] == -1 for s in p.run)
        ]
        legal = played.legal[game, ply].nonzero().squeeze(-1).tolist()
        assert sorted({p.start for p in holds}) == legal
        if ply < 60 and int(played.tokens[game, ply]):
            changed = (played.boards[game, ply + 1] == mover) & (played.boards[game, ply] == 0)
            move = int(changed.nonzero())
            flips = {s for p in holds if p.start == move for s in p.run}
            assert played.flips[game, ply].nonzero().squeeze(-1).tolist() == sorted(flips)


def test_rays_are_padded_off_the_board() -> None:
    assert RAYS.shape == (64, 8, 7)
    assert RAYS[0, 0].tolist() == [64] * 7
    assert RAYS[0, 3].tolist() == [9, 18, 27, 36, 45, 54, 63]
