"""Benchmarks, run by ``make bench``: games, forward pass against evaluation, building, checking.

Ratios come from one run on one machine; absolute figures are this machine's. creversi is needed
(extra ``test``).
"""

import random
import resource
import time
from collections.abc import Callable

import torch
from rich.console import Console

from comparison.properties import board_reader, check
from comparison.scoring.bench import FORWARD_GAMES, evaluate
from extracted_rules.othello.game import FIRST_CHUNK, LARGEST_CHUNK, random_games
from extracted_rules.othello.notation import CONTEXT
from extracted_rules.othello.patterns import RAYS
from handbuilt import build

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


_LINES = [[[s for s in line if s < 64] for line in rays] for rays in RAYS.tolist()]


def _flips(board: list[int], square: int, mover: int) -> list[int]:
    flips: list[int] = []
    for line in _LINES[square]:
        run: list[int] = []
        for target in line:
            if board[target] != -mover:
                if board[target] == mover:
                    flips += run
                break
            run.append(target)
    return flips


def _python_games(n: int, generator: random.Random) -> None:
    """Games by the plain rules: lists and loops, one square at a time."""
    for _ in range(n):
        _python_game(generator)


def _python_game(generator: random.Random) -> None:
    board = [0] * 64
    board[28] = board[35] = 1
    board[27] = board[36] = -1
    mover, stuck = 1, 0
    while stuck < 2:
        legal = [s for s in range(64) if not board[s] and _flips(board, s, mover)]
        stuck = 0 if legal else stuck + 1
        if legal:
            move = generator.choice(legal)
            for square in [*_flips(board, move, mover), move]:
                board[square] = mover
        mover = -mover


def _generation(console: Console) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    generator = random.Random(SEED)
    many = 2 * LARGEST_CHUNK - FIRST_CHUNK  # whole chunks, from the first to the largest
    ours = many / _best(lambda: list(random_games(many, SEED)))
    theirs = 200 / _best(lambda: _creversi_games(200, generator))
    plain = 20 / _best(lambda: _python_games(20, generator))
    torch.set_num_threads(threads)
    console.print("random games, one thread, games/s (ratio to ours)")
    for name, rate in (("bitboards on tensors", ours), ("creversi", theirs), ("plain", plain)):
        console.print(f"  {name:<22}{rate:>10,.0f}   1/{ours / rate:,.0f}")


def _evaluation(console: Console) -> None:
    model = build("logic")
    games = [next(random_games(256, SEED))]
    tokens = games[0][:, :CONTEXT].long()

    @torch.inference_mode()
    def forward() -> None:
        for start in range(0, len(tokens), FORWARD_GAMES):
            model(tokens[start : start + FORWARD_GAMES])

    bare = _best(forward, 2)
    full = _best(lambda: evaluate("logic", model, games, 0.001), 2)
    console.print(f"bare forward pass {len(tokens) / bare:,.0f} games/s", highlight=False)
    console.print(f"full evaluation   {len(tokens) / full:,.0f} games/s", highlight=False)
    console.print(f"evaluation / forward: {full / bare:.2f}", highlight=False)


def _building(console: Console) -> None:
    seconds = _best(lambda: build("logic"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    console.print(f"build('logic'): {seconds:.2f} s, process peak {peak:,.0f} MiB", highlight=False)


def _checking(console: Console) -> None:
    model = build("logic")
    start = time.perf_counter()
    found = check(model, tau=0.001, reader=board_reader(model))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cases = sum(int(f.overall().y) + f.elsewhere()[1] for f in found.findings.values())
    console.print(
        f"check of `logic`: {seconds:.0f} s, {cases:,} cases, process peak {peak:,.0f} MiB",
        highlight=False,
    )


def report() -> None:
    """Measure and print everything."""
    console = Console()
    _building(console)
    _generation(console)
    _evaluation(console)
    _checking(console)
