"""The control of what is found in a model: one in which nothing was learned."""

import torch

from extracted_rules.othello.game import stream_seed
from handbuilt.network.transformer import OthelloGPT


def in_random_order(model: OthelloGPT, seed: int = 1) -> OthelloGPT:
    """A model with the same numbers in every matrix, in random order: whatever is found in it was
    not learned."""
    generator = torch.Generator().manual_seed(stream_seed("control", seed))
    weights = {}
    for name, tensor in sorted(model.state_dict().items()):
        order = torch.randperm(tensor.numel(), generator=generator)
        weights[name] = tensor.cpu().flatten()[order].view(tensor.shape)
    return OthelloGPT.of_weights(weights, model.shape, {}).to(model.device)
