"""Processes that train together, under ``torchrun``."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import nn

from handbuilt.network.precision import choose_precision


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Under ``torchrun``, join the other processes; gives the device that is this one's."""
    if "LOCAL_RANK" not in os.environ:
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
        # Who leaves while another still talks to it may be aborted.
        dist.barrier()
    finally:
        dist.destroy_process_group()


def share() -> tuple[int, int]:
    """(rank, world size) of this process; (0, 1) outside torchrun."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


def agreed_precision(asked: str, device: torch.device, say: Callable[[str], None]) -> str:
    """What is computed in: for "auto" what the first process finds faster."""
    rank, world = share()
    if asked != "auto":
        return asked
    chosen = [""]
    if rank == 0:
        chosen[0], words = choose_precision(device)
        say(words)
    if world > 1:
        dist.broadcast_object_list(chosen)
    return chosen[0]


def sum_gradients(parameters: list[nn.Parameter]) -> None:
    """Add every gradient up over processes; the loss is divided by the total count already."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([g.flatten() for g in gradients])
    dist.all_reduce(flat)
    parts = torch.split(flat, [g.numel() for g in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))
