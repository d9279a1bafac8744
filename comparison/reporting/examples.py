"""Pictures of single positions, and what models make of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from comparison.reading.board_reader import board_reader
from comparison.scoring.bench import Result
from extracted_rules.drawing import positions
from extracted_rules.drawing.answers import answer
from extracted_rules.othello.game import replay
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.notation import squares_from_tokens
from handbuilt.network.transformer import OthelloGPT
from handbuilt.strengths import MEMORIES


@torch.inference_mode()
def draw_example(
    games: Sequence[Tensor], models: dict[str, nn.Module], results: Sequence[Result], path: Path
) -> str:
    """Draw one position of the bench as the first two models see it, and all further ones that are
    no baselines; gives back how it was chosen."""
    (number, seen), rule = _where_they_differ(results)
    game = torch.cat(list(games))[number][None]
    geometry = Geometry.of_tokens(game.shape[1] + 1)
    seen = min(seen, int((game != 0).sum()))
    played = replay(game, board=geometry.size)
    pictures = []
    board, legal = played.boards[0, seen].cpu(), played.legal[0, seen].cpu()
    others = [r for r in results[2:] if isinstance(models[r.model], OthelloGPT)]
    for result in (*results[:2], *others):
        logits = models[result.model](game[:, : geometry.context].long())[0, seen - 1, 1:].double()
        odds = logits.log_softmax(-1) - torch.tensor(result.tau, dtype=torch.float64).log()
        pictures.append(answer(result.model, board, legal, odds))
    mover = "Black" if int(played.movers[0, seen]) > 0 else "White"
    last = squares_from_tokens(game[0, max(0, seen - 4) : seen], geometry.size)
    moves = f"after {seen} moves (… {' '.join(geometry.labels[square] for square in last)})"
    positions.boards(pictures, f"{mover} to move {moves}, game {number + 1} of the bench", path)
    return rule


def _where_they_differ(results: Sequence[Result]) -> tuple[tuple[int, int], str]:
    """((game, moves seen), the rule): the bench's first position where exactly one of the first two
    models has an illegal move on top; failing that, where one's legal set is wrong; else move 30 of
    the first game."""
    sets = [result.errors for result in results[:2]]
    names = " and ".join(result.model for result in results[:2])
    for kind, says in (("top-1", "likeliest move is illegal"), ("set", "legal set is wrong")):
        found = Counter(
            where
            for at in (errors.of_kind(kind) for errors in sets)
            for where in zip(at.game.tolist(), at.ply.tolist(), strict=True)
        )
        once = [where for where, times in found.items() if times == 1]
        if once:
            game, ply = min(once)
            whose = f"exactly one of {names} errs" if len(sets) > 1 else f"{names} errs"
            return (game, ply - 1), f"The first position of the bench where {whose}: the {says}"
    there = sum(len(errors.of_kind("set")) for errors in sets)
    says = "err at the same positions" if there else "do not err"
    return (0, 30), f"A position of the bench's first game, as {names} {says}"


@torch.inference_mode()
def draw_worked(games: Tensor, model: OthelloGPT, path: Path) -> bool:
    """The first long game of the bench, as a hand-built model decodes it when two thirds of the
    board are taken; False if no game has two moves."""
    geometry = model.geometry
    late = 2 * geometry.max_plies // 3
    lengths = (games != 0).sum(-1)
    game = games[int(lengths.clamp(max=late + 1).argmax())][None]
    seen = min(late, int((game != 0).sum())) - 1
    if seen < 1:
        return False
    played = replay(game, board=geometry.size)
    reader = board_reader(model)
    assert reader is not None
    mover = played.movers[0, seen + 1]
    positions.worked_position(
        geometry,
        (played.boards[0, seen + 1] * mover).cpu(),
        (reader.read(game).values[:, 0, seen] * mover).cpu(),
        played.legal[0, seen + 1].cpu(),
        f"The board after move {seen + 1}, decoded at that move's position; gold: the replies",
        path,
    )
    return True


@torch.inference_mode()
def draw_first_guess(model: OthelloGPT, path: Path) -> bool:
    """What layer 0's heads write about the discs around a few moves of the mover's side; False if
    no head does."""
    layout, geometry = model.layout, model.geometry
    near_centre = geometry.centre[0] - geometry.size
    tried = (0, 2, geometry.size + 1, near_centre)  # A1, C1, B2, and D3 of the usual board
    moves = [square for square in tried if square in geometry.playable]
    # At position 0 every head looks at the move itself.
    w_o = model.state_dict()["blocks.0.attn.W_O"]
    tokens = torch.tensor([[geometry.token_of(square)] for square in moves], device=w_o.device)
    _, cache = model.run_with_cache(tokens, names_filter="blocks.0.attn.hook_z")
    rows = []
    for name in (f"{memory}-mine" for memory in MEMORIES):
        if name not in layout.heads[0]:
            continue
        head = layout.heads[0].place(name)
        written = cache["blocks.0.attn.hook_z"][:, 0, head] @ w_o[head]
        boards = written[:, layout.directions["nearby"]]
        titles = [f"{name}: {geometry.labels[square]}" for square in moves]
        rows.append(list(zip(titles, boards, strict=True)))
    if not rows:
        return False
    title = "What moves of the mover's side say of the discs around them (layer 0's heads)"
    positions.what_moves_say(geometry, rows, title, path)
    return True
