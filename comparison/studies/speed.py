"""Benchmarks, run by ``make bench``: games, forward pass against evaluation, building, checking.

Ratios come from one run on one machine; absolute figures are this machine's. creversi is needed
(extra ``test``); it plays on 8 x 8 alone.
"""

import random
import resource
import time
from collections.abc import Callable, Iterator

import torch

from comparison.properties import board_reader, check
from comparison.properties.checking import EXAMPLES
from comparison.scoring.bench import FORWARD_GAMES, evaluate
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.game import FIRST_CHUNK, LARGEST_CHUNK, random_games
from extracted_rules.othello.geometry import DIRECTIONS, STANDARD, Geometry
from handbuilt import build

#: What was measured, and the figure.
Row = tuple[str, str]
SEED = 1


def _best(run: Callable[[], object], repeats: int = 3) -> float:
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _creversi_games(n: int, generator: random.Random) -> None:
    import creversi

    for _ in range(n):
        board = creversi.Board()
        while not board.is_game_over():
            board.move(generator.choice(list(board.legal_moves)))


def _flips(lines: list[list[int]], board: list[int], mover: int) -> list[int]:
    flips: list[int] = []
    for line in lines:
        run: list[int] = []
        for target in line:
            if board[target] != -mover:
                if board[target] == mover:
                    flips += run
                break
            run.append(target)
    return flips


def _python_games(n: int, generator: random.Random, geometry: Geometry) -> None:
    """Games by the plain rules: lists and loops, one square at a time."""
    lines = [
        [geometry.ray(square, direction) for direction in range(len(DIRECTIONS))]
        for square in range(geometry.n_squares)
    ]
    for _ in range(n):
        _python_game(generator, geometry, lines)


def _python_game(
    generator: random.Random, geometry: Geometry, lines: list[list[list[int]]]
) -> None:
    """lines: the squares in every direction of each."""
    board = [0] * geometry.n_squares
    for mover, squares in ((1, geometry.start_black), (-1, geometry.start_white)):
        for square in squares:
            board[square] = mover
    mover, stuck = 1, 0
    while stuck < 2:
        turned = {s: _flips(lines[s], board, mover) for s, disc in enumerate(board) if not disc}
        legal = [square for square, flips in turned.items() if flips]
        stuck = 0 if legal else stuck + 1
        if legal:
            move = generator.choice(legal)
            for square in (*turned[move], move):
                board[square] = mover
        mover = -mover


def _generation(geometry: Geometry) -> Iterator[Row]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = random.Random(SEED)
    many = 2 * LARGEST_CHUNK - FIRST_CHUNK  # whole chunks, from the first to the largest
    ours = many / _best(lambda: list(random_games(many, SEED, board=geometry.size)))
    usual = geometry.size == STANDARD
    theirs = 200 / _best(lambda: _creversi_games(200, generator)) if usual else None
    plain = 20 / _best(lambda: _python_games(20, generator, geometry))
    torch.set_num_threads(threads)
    yield "random games on one thread", f"{ours:,.0f} a second"
    if theirs is not None:
        yield "`creversi-python`, the same", f"1/{ours / theirs:,.0f} of that"
    yield "a plain Python loop", f"1/{ours / plain:,.0f}"


def _evaluation(geometry: Geometry) -> Iterator[Row]:
    model = build("logic", board=geometry.size)
    games = [next(random_games(256, SEED, board=geometry.size))]
    tokens = games[0][:, : geometry.context].long()

    @torch.inference_mode()
    def forward() -> None:
        for start in range(0, len(tokens), FORWARD_GAMES):
            model(tokens[start : start + FORWARD_GAMES])

    bare = _best(forward, 2)
    full = _best(lambda: evaluate("logic", model, games, 0.001), 2)
    yield "bare forward pass", f"{len(tokens) / bare:,.0f} games a second"
    yield "full evaluation / bare forward pass", f"{full / bare:.2f}"


def _building(board: int) -> Iterator[Row]:
    seconds = _best(lambda: build("logic", board=board))
    yield '`build("logic")`', f"{seconds:.2f} s, {_peak()}"


def _checking(examples: int, board: int) -> Iterator[Row]:
    model = build("logic", board=board)
    start = time.perf_counter()
    found = check(model, examples=examples, tau=0.001, reader=board_reader(model))
    seconds = time.perf_counter() - start
    cases = sum(int(f.overall().y) + f.elsewhere()[1] for f in found.findings.values())
    yield f"`check` of `logic`, {cases:,} cases", f"{seconds:.0f} s, {_peak()}"


def _peak() -> str:
    """What this process has taken at most."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB peak"


def report(examples: int = EXAMPLES, board: int = STANDARD) -> Table:
    """Everything measured: building first, as memory is counted from the process's start.

    examples: random games of the check. board: squares a side. Raises BoardError.
    """
    geometry = Geometry(board)
    measured = (
        _building(board),
        _generation(geometry),
        _evaluation(geometry),
        _checking(examples, board),
    )
    title = "Speed" if board == STANDARD else f"Speed on {geometry}"
    return Table(title, ("what",), ("measured",), [row for rows in measured for row in rows])
