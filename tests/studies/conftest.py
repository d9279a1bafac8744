"""Small models for studies."""

import pytest

from handbuilt import OthelloGPT
from handbuilt.transcripts.program import network
from handbuilt.transcripts.transcribing import collect, transcribe


@pytest.fixture(scope="session")
def named(soft: OthelloGPT) -> OthelloGPT:
    """The same in names; it errs nearly everywhere."""
    return network(transcribe(soft, "soft", collect(soft, 64, 1), 6), soft)
