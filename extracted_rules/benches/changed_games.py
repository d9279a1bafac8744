"""Cases made of legal games: cut anywhere, ended otherwise, spoilt; and shorter ones.

Tokens are uint8 [B, T] of games, and [rows, T] of a case of one game or of several.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from extracted_rules.benches.made_games import legal_part, play, seed_of
from extracted_rules.othello.game import stream_seed
from extracted_rules.othello.geometry import STANDARD, Geometry

#: Shorter cases of one, at most; of them, games that begin like it and go on by chance.
CANDIDATES = 256
BY_CHANCE = CANDIDATES // 4


def cut_anywhere(games: Tensor, seed: int) -> Tensor:
    """uint8 [B, T]: each game up to a move by chance, the second or a later one."""
    lengths = (games != 0).sum(-1)
    generator = torch.Generator().manual_seed(stream_seed("properties: edits", seed))
    chance = torch.rand(len(games), generator=generator).to(games.device)
    kept = 2 + (chance * (lengths - 2).clamp(min=0)).long()
    column = torch.arange(games.shape[1], device=games.device)
    return games.masked_fill(column >= kept[:, None], 0)


def with_other_ends(games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
    """uint8 [cases, 2, T]: each game with a shorter one, its beginning, every other time with
    another end."""
    lengths = (games != 0).sum(-1).cpu()
    generator = torch.Generator().manual_seed(stream_seed("properties: cuts", seed))
    chance = torch.rand(len(games), generator=generator)
    kept = 1 + (chance * (lengths - 1)).long()
    beginnings = games.cpu() * (torch.arange(games.shape[1]) < kept[:, None])
    seeds = torch.arange(len(games)) + seed_of("other ends", seed)
    others = beginnings.clone()
    others[1::2] = play(beginnings[1::2], seeds[1::2], board=board)
    pairs = torch.stack([games, others.to(games.device)], 1)
    return pairs[(lengths > 1).to(games.device)]


def spoilt(games: Tensor, seed: int, board: int = STANDARD) -> Tensor:
    """uint8 [B, T]: games as they are, then cut anywhere, then with moves replaced by any token,
    then any tokens at all: in turns."""
    generator = torch.Generator().manual_seed(stream_seed("properties: hostile", seed))
    shape = games.shape
    tokens = Geometry(board).n_tokens
    anything = torch.randint(0, tokens, shape, generator=generator, dtype=torch.uint8)
    chance = torch.rand(shape, generator=generator)
    kind = torch.arange(shape[0])[:, None] % 4
    cut = (torch.arange(shape[1]) >= 1 + chance[:, :1] * shape[1]) & (kind == 1)
    other = ((chance < 0.1) & (kind == 2)) | (kind == 3)
    return torch.where(other, anything, games.cpu()).masked_fill(cut, 0).to(games.device)


# --------------------------------------------------------------------------- shorter ones


def _without(case: Tensor, *plies: int) -> Tensor:
    """The case without some of row 0's moves; rows of a pair lose the same squares."""
    gone = torch.zeros(256, dtype=torch.bool)
    gone[case[0, list(plies)].long()] = True
    gone[0] = False
    rows = torch.zeros_like(case)
    for row, tokens in zip(rows, case, strict=True):
        kept = tokens[~gone[tokens.long()]]
        row[: len(kept)] = kept
    return rows


def _shorter(case: Tensor, attempt: int, board: int) -> Iterator[Tensor]:
    """Cases with fewer moves than this one, all [rows, T], most drastic first."""
    plies = case.shape[-1]
    if len(case) == 1:
        kept = torch.arange(BY_CHANCE) * plies // BY_CHANCE
        wishes = case * (torch.arange(plies) < kept[:, None])
        seeds = torch.arange(BY_CHANCE) + seed_of("reduction", attempt)
        yield from play(wishes, seeds, board=board)[:, None]
    for step in (16, 8, 4, 1, 2, 3):
        if step < plies:
            for start in range(0, plies - step + 1, max(1, step // 2)):
                yield _without(case, *range(start, start + step))
    for start in range(plies - 2):
        yield _without(case, start, start + 2)


def smaller_cases(case: Tensor, attempt: int, board: int, *, legal: bool) -> Tensor:
    """uint8 [cases, rows, T]: the case's mirror images, and cases with fewer moves; ``legal``: of
    what is illegal then, the legal part. Another attempt goes on by another chance."""
    geometry = Geometry(board)
    images = [geometry.transform_tokens(case, k) for k in geometry.start_symmetries[1:]]
    found = torch.stack([*images, *islice(_shorter(case, attempt, board), CANDIDATES)])
    if not legal:
        return found
    return legal_part(found.flatten(0, 1), board).view(found.shape)
