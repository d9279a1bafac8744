"""Small test beds, made once."""

from functools import cache

from handbuilt import OthelloGPT, build
from handbuilt.testbed.making import Asked, Made, make

BOARD = 4


@cache
def made(difficulty: str = "disguised", seed: int = 3) -> Made:
    return make(Asked("logic", BOARD, None, difficulty, seed))


@cache
def compiled() -> OthelloGPT:
    """What all of them but the superposed are made of."""
    return build("logic", board=BOARD, shape=made("plain").model.shape)
