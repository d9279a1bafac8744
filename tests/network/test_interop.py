"""Against the real packages: TransformerLens, nnsight, huggingface_hub. `make test-interop`.

TransformerLens: weights both ways, logits and activations. Version 4 is what the extra installs;
the same tests hold for version 3, whose model is the HookedTransformer.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from comparison import load_model
from extracted_rules.othello.game import random_games
from handbuilt import OthelloGPT, Shape, build
from handbuilt.network.checkpoints import export
from tests.network.test_transformer import TINY, random_model

pytestmark = pytest.mark.filterwarnings("ignore:HookedTransformer is deprecated")
lens = pytest.importorskip("transformer_lens", reason="needs the extra: make test-interop")
HOOKED = version("transformer_lens").startswith("3.")


def untrained(shape: Shape, normalization: str = "LN", dtype: torch.dtype = torch.float32) -> Any:
    """TransformerLens' own GPT in a shape."""
    config = {name: size for name, size in vars(shape).items() if name != "ln_eps"}
    config |= {"act_fn": "gelu", "normalization_type": normalization}
    if HOOKED:
        hooked = lens.HookedTransformerConfig(**config, dtype=dtype, device="cpu")
        return lens.HookedTransformer(hooked).eval()
    bridged = lens.TransformerBridgeConfig(**config)
    return lens.TransformerBridge.boot_native(bridged, dtype=dtype).eval()


def fill(theirs: Any, state: dict[str, Tensor]) -> None:
    """Strictly load a HookedTransformer's state dict."""
    if not HOOKED:
        state = lens.conversion_utils.convert_tl_checkpoint(state, theirs.cfg)
    theirs.load_state_dict(state, strict=True)


def exported(model: OthelloGPT, folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    """TransformerLens' GPT with a model's weights, through a file."""
    export(model, "transformer-lens", folder / "model.pth")
    theirs = untrained(model.shape, dtype=dtype)
    fill(theirs, torch.load(folder / "model.pth", weights_only=True))
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


def assert_all_close(ours: OthelloGPT, theirs: Any) -> None:
    """Logits, and every activation of ours, all of which have the same name there."""
    logits, cache = ours.run_with_cache(some_games())
    their_logits, their_cache = theirs.run_with_cache(some_games())
    assert_close(logits, their_logits.float())
    assert {"blocks.0.mlp.hook_post", "blocks.0.attn.hook_pattern"} < cache.keys()
    for name, value in cache.items():
        # Version 4 shows the pattern under this name, too, and the scores nowhere.
        if HOOKED or not name.endswith("hook_attn_scores"):
            assert_close(value, their_cache[name])


SHAPES = [TINY, Shape(3, 12, 5, 7, 20, n_ctx=60), Shape(1, 64, 1, 64, 256)]
#: What version 4 saves does not say how large heads are.
HEADS_OF_64 = [Shape(2, 128, 2, 64, 256), Shape(3, 96, 2, 64, 100, n_ctx=60)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@torch.inference_mode()
def test_an_export_computes_the_same_there(shape: Shape, tmp_path: Path) -> None:
    ours = random_model(shape)
    assert_all_close(ours, exported(ours, tmp_path))


@torch.inference_mode()
def test_full_shape(tmp_path: Path) -> None:
    ours = random_full()
    assert_all_close(ours, exported(ours, tmp_path))


@torch.inference_mode()
def test_the_hand_built_model(tmp_path: Path) -> None:
    """The same function, in float64. In float32 the order of a sum shows.

    Its LayerNorms subtract a ballast of 2^20 and its logits reach -1000: each of the two is up to
    0.01 away from its own float64 logits.
    """
    ours = build("logic")
    single, theirs = ours(some_games()), exported(ours, tmp_path)(some_games())
    torch.testing.assert_close(single, theirs, atol=0.05, rtol=0)
    assert_all_close(ours.double(), exported(ours, tmp_path, torch.float64))


@pytest.mark.parametrize("normalization", ["LN", "LNPre"])
@pytest.mark.parametrize("shape", HEADS_OF_64, ids=str)
@torch.inference_mode()
def test_what_it_saves_computes_the_same_here(
    normalization: str, shape: Shape, tmp_path: Path
) -> None:
    theirs = untrained(shape, normalization)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    torch.save(theirs.state_dict(), tmp_path / "model.pth")
    ours = load_model(str(tmp_path / "model.pth"))
    assert isinstance(ours, OthelloGPT)
    assert_all_close(ours, theirs)


@pytest.mark.parametrize("shape", HEADS_OF_64, ids=str)
@torch.inference_mode()
def test_processed_weights_compute_the_same_here(shape: Shape, tmp_path: Path) -> None:
    """LayerNorm folded, writing weights and unembedding centred, value biases folded: as published.

    Centring the unembedding shifts all logits of a position alike, so probabilities are compared.
    """
    original, theirs = random_model(shape), untrained(shape)
    if HOOKED:
        theirs.load_and_process_state_dict(original.state_dict())
    else:
        fill(theirs, original.state_dict())
        theirs.enable_compatibility_mode()
    torch.save(theirs.state_dict(), tmp_path / "synthetic_model.pth")
    ours = load_model(str(tmp_path / "synthetic_model.pth"))
    assert not ours.get_parameter("blocks.0.ln1.b").any()
    assert_close(ours(some_games()), theirs(some_games()))
    probabilities = original(some_games()).softmax(-1)
    assert_close(ours(some_games()).softmax(-1), probabilities)


# ------------------------------------------------------------------ nnsight


@torch.inference_mode()
def test_nnsight_reads_and_replaces_what_hooks_do() -> None:
    nnsight = pytest.importorskip("nnsight", reason="needs the extra: make test-interop")
    model, games, place = build("logic"), some_games(), "blocks.3.hook_mlp_out"
    logits, cache = model.run_with_cache(games)
    other = cache[place].flip(0)
    traced = nnsight.NNsight(model)
    with traced.trace(games):
        read = traced.blocks[3].mlp.output.save()
        traced.blocks[3].mlp.output = other
        changed = traced.output.save()
    assert read.equal(cache[place])
    assert not changed.equal(logits)
    replaced = model.run_with_hooks(games, [(place, lambda value, hook: other)])
    assert changed.equal(replaced)


# ------------------------------------------------------------------ huggingface_hub


@torch.inference_mode()
def test_huggingface_hub_reads_and_writes_the_same_folder(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra: make test-interop")

    class OnTheHub(OthelloGPT, hub.PyTorchModelHubMixin):
        pass

    model, folder = build("logic"), tmp_path / "model"
    export(model, "huggingface", folder)
    card = hub.ModelCard.load(folder / "README.md")
    assert card.data.library_name == "handbuilt-othello-gpt"
    assert "othello-gpt" in card.data.tags
    assert card.text.strip().startswith("# Othello-GPT")
    theirs = OnTheHub.from_pretrained(folder)
    theirs.save_pretrained(tmp_path / "again")
    for one in (theirs, load_model(str(tmp_path / "again"))):
        assert isinstance(one, OthelloGPT)
        assert (one.shape, one.metadata) == (model.shape, model.metadata)
        assert one(some_games()).equal(model(some_games()))
        assert one.layout.describe("belief.D3") == model.layout.describe("belief.D3")
