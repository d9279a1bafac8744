"""What a run sees: batches of random games cut to its phases, and what is to be predicted."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from comparison.training.settings import Settings
from extracted_rules.othello.game import random_games, replay

#: Games that are made and, for legal targets, replayed at a time.
BLOCK = 8192


def batches(
    settings: Settings, first_step: int, device: torch.device, share: slice
) -> Iterator[tuple[Tensor, Tensor]]:
    """(tokens int64 [b, T], targets) of every step: tokens [b, T] of moves, or legal moves
    [b, T, n_tokens].

    T is the plies of the step's phase, b this process's share of its batch.
    """
    geometry = settings.shape.geometry
    games = random_games(
        settings.games,
        settings.seed,
        board=geometry.size,
        purpose="training",
        device=device,
        skip=settings.seen(first_step),
    )
    blocks = (chunk[i : i + BLOCK] for chunk in games for i in range(0, len(chunk), BLOCK))
    waiting = torch.empty(0, geometry.max_plies, dtype=torch.uint8, device=device)
    legal = torch.empty(0, geometry.max_plies, geometry.n_tokens, dtype=torch.bool, device=device)
    square_of_token = geometry.square_of_token.to(device)
    done = 0
    for phase in settings.phases:
        for _ in range(phase.steps):
            done += 1
            if done <= first_step:
                continue
            while len(waiting) < phase.batch:
                block = next(blocks)
                waiting = torch.cat([waiting, block])
                if settings.targets == "legal":
                    found = nn.functional.pad(
                        replay(block, board=geometry.size).legal[:, 1:], (0, 1)
                    )
                    legal = torch.cat([legal, found[..., square_of_token]])
            moves = waiting[: phase.batch][share].long()
            tokens, targets = moves[:, : phase.plies], moves[:, 1 : phase.plies + 1]
            if settings.targets == "legal":
                targets = legal[: phase.batch][share][:, : phase.plies]
                legal = legal[phase.batch :]
            waiting = waiting[phase.batch :]
            yield tokens, targets


def loss_sum(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(sum of cross-entropies, number of positions) over positions with something to predict.

    targets: int64 [b, T] moves, 0 for none, or bool [b, T, n_tokens] legal moves.
    """
    log_p = logits.float().log_softmax(-1)
    if targets.dim() == 2:
        there = targets != 0
        picked = log_p.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
        return -(picked * there).sum(), there.sum()
    number = targets.sum(-1)
    mean = (log_p * targets).sum(-1) / number.clamp(min=1)
    return -mean.sum(), (number > 0).sum()
