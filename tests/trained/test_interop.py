"""Against the real TransformerLens: weights both ways, logits and activations. `make test-interop`.

Version 4 has no HookedTransformer any more, so the extra stays below it.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from comparison import load_model
from comparison.trained.checkpoints import export
from extracted_rules.othello.game import random_games
from handbuilt import OthelloGPT, Shape, build
from tests.handbuilt.test_transformer import TINY, random_model

pytestmark = pytest.mark.filterwarnings("ignore:HookedTransformer is deprecated")
lens = pytest.importorskip("transformer_lens", reason="needs the extra: make test-interop")


def hooked(shape: Shape, normalization: str = "LN", dtype: torch.dtype = torch.float32) -> Any:
    """An untrained HookedTransformer of a shape."""
    sizes = {name: size for name, size in vars(shape).items() if name != "ln_eps"}
    config = lens.HookedTransformerConfig(
        **sizes, act_fn="gelu", normalization_type=normalization, dtype=dtype, device="cpu"
    )
    return lens.HookedTransformer(config).eval()


def exported(model: OthelloGPT, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """A HookedTransformer with a model's weights, through a file and strictly loaded."""
    export(model, "transformer-lens", folder / "model.pth")
    theirs = hooked(model.shape, dtype=dtype)
    theirs.load_state_dict(torch.load(folder / "model.pth", weights_only=True), strict=True)
    return theirs


def some_games(number: int = 4) -> Tensor:
    """int64 [number, 59]"""
    return next(random_games(number, seed=5, purpose="test"))[:, :59].long()


def random_full() -> OthelloGPT:
    """Othello-GPT's full shape with random weights of a trained model's size."""
    model = OthelloGPT()
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.eval()


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


SHAPES = [TINY, Shape(3, 12, 5, 7, 20, n_ctx=60), Shape(1, 64, 1, 64, 256)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.inference_mode()
def test_an_export_computes_the_same_there(shape: Shape, tmp_path: Path) -> None:
    ours = random_model(shape)
    theirs = exported(ours, tmp_path)
    logits, cache = ours.run_with_cache(some_games())
    their_logits, their_cache = theirs.run_with_cache(some_games())
    assert_close(logits, their_logits)
    assert {"blocks.0.mlp.hook_post", "blocks.0.attn.hook_pattern"} < cache.keys()
    for name, value in cache.items():
        assert_close(value, their_cache[name])


@torch.inference_mode()
def test_full_shape(tmp_path: Path) -> None:
    ours = random_full()
    assert_close(ours(some_games()), exported(ours, tmp_path)(some_games()))


@torch.inference_mode()
def test_the_hand_built_model(tmp_path: Path) -> None:
    """The same function, in float64. In float32 the order of a sum shows.

    Its LayerNorms subtract a ballast of 2^20 and its logits reach -1000: each of the two is up to
    0.01 away from its own float64 logits.
    """
    ours = build("logic")
    single, theirs = ours(some_games()), exported(ours, tmp_path)(some_games())
    torch.testing.assert_close(single, theirs, atol=0.05, rtol=0)
    theirs = exported(ours, tmp_path, torch.float64)(some_games())
    assert_close(ours.double()(some_games()), theirs.float())


@pytest.mark.parametrize("normalization", ["LN", "LNPre"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.inference_mode()
def test_what_it_saves_computes_the_same_here(
    normalization: str, shape: Shape, tmp_path: Path
) -> None:
    theirs = hooked(shape, normalization)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save(theirs.state_dict(), tmp_path / "model.pth")
    assert_close(load_model(str(tmp_path / "model.pth"))(some_games()), theirs(some_games()))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.inference_mode()
def test_processed_weights_compute_the_same_here(shape: Shape, tmp_path: Path) -> None:
    """LayerNorm folded, writing weights and unembedding centred, value biases folded: as published.

    Centring the unembedding shifts all logits of a position alike, so probabilities are compared.
    """
    original, theirs = random_model(shape), hooked(shape)
    theirs.load_and_process_state_dict(original.state_dict())
    assert theirs.cfg.normalization_type == "LNPre"
    torch.save(theirs.state_dict(), tmp_path / "synthetic_model.pth")
    ours = load_model(str(tmp_path / "synthetic_model.pth"))
    assert_close(ours(some_games()), theirs(some_games()))
    probabilities = original(some_games()).softmax(-1)
    assert_close(ours(some_games()).softmax(-1), probabilities)
