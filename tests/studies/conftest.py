"""Small models for studies."""

import pytest
import torch

from handbuilt import OthelloGPT, Shape
from handbuilt.transcripts.program import network
from handbuilt.transcripts.transcribing import collect, transcribe


@pytest.fixture(scope="session")
def soft() -> OthelloGPT:
    """Random weights on the 4 x 4 board."""
    torch.manual_seed(1)
    made = OthelloGPT(Shape(n_layers=2, d_model=128, n_heads=4, d_head=16, d_mlp=96).on(4))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not name.endswith((".w", ".b")):
                parameter.normal_(std=0.2)
    return made.eval()


@pytest.fixture(scope="session")
def named(soft: OthelloGPT) -> OthelloGPT:
    """The same in names; it errs nearly everywhere."""
    return network(transcribe(soft, "soft", collect(soft, 64, 1), 6), soft)
