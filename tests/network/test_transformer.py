"""The model class: an independent forward pass, causality, saving and loading."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from handbuilt import OthelloGPT, Shape
from handbuilt.network.shape import CheckpointError

TINY = Shape(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=32)


def random_model(shape: Shape = TINY, seed: int = 0) -> OthelloGPT:
    model = OthelloGPT(shape, {"recipe": "random"})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def some_tokens() -> Tensor:
    return torch.randint(1, 61, (3, 20), generator=torch.Generator().manual_seed(1))


def by_hand(model: OthelloGPT, tokens: Tensor) -> Tensor:
    """The same function from the state dict, written with torch's own modules and einsum."""
    p, shape = model.state_dict(), model.shape

    def norm(x: Tensor, name: str) -> Tensor:
        return torch.nn.functional.layer_norm(x, x.shape[-1:], p[f"{name}.w"], p[f"{name}.b"])

    x = p["embed.W_E"][tokens] + p["pos_embed.W_pos"][: tokens.shape[1]]
    for layer in range(shape.n_layers):
        a = {k: p[f"blocks.{layer}.attn.{k}"] for k in ("W_Q", "W_K", "W_V", "W_O")}
        b = {k: p[f"blocks.{layer}.attn.{k}"] for k in ("b_Q", "b_K", "b_V", "b_O")}
        y = norm(x, f"blocks.{layer}.ln1")
        q, k, v = (
            torch.einsum("btm,hmd->bhtd", y, a[f"W_{i}"]) + b[f"b_{i}"][:, None] for i in "QKV"
        )
        z = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + torch.einsum("bhtd,hdm->btm", z, a["W_O"]) + b["b_O"]
        m = {k: p[f"blocks.{layer}.mlp.{k}"] for k in ("W_in", "b_in", "W_out", "b_out")}
        hidden = torch.nn.functional.gelu(norm(x, f"blocks.{layer}.ln2") @ m["W_in"] + m["b_in"])
        x = x + hidden @ m["W_out"] + m["b_out"]
    return norm(x, "ln_final") @ p["unembed.W_U"] + p["unembed.b_U"]


def test_forward_agrees_with_an_independent_one() -> None:
    model, tokens = random_model(), some_tokens()
    torch.testing.assert_close(model(tokens), by_hand(model, tokens), atol=1e-4, rtol=1e-4)


def test_no_position_sees_a_later_one() -> None:
    model, tokens = random_model(), some_tokens()
    changed = tokens.clone()
    changed[:, 10:] = 61 - changed[:, 10:]
    assert model(tokens)[:, :10].equal(model(changed)[:, :10])
    torch.testing.assert_close(model(tokens)[:, :10], model(tokens[:, :10]))


def test_the_cache_carries_transformer_lens_names() -> None:
    model, tokens = random_model(), some_tokens()
    logits, cache = model.run_with_cache(tokens)
    assert logits.equal(model(tokens))
    assert cache["blocks.1.mlp.hook_post"].shape == (3, 20, 32)
    assert cache["blocks.0.attn.hook_pattern"].shape == (3, 2, 20, 20)
    assert cache["blocks.0.attn.hook_z"].shape == (3, 20, 2, 8)
    middle = cache["blocks.1.hook_resid_pre"] + cache["blocks.1.hook_attn_out"]
    assert middle.equal(cache["blocks.1.hook_resid_mid"])
    for name in ("hook_embed", "hook_pos_embed", "blocks.0.ln1.hook_scale", "ln_final.hook_scale"):
        assert name in cache


def test_the_default_shape_is_othello_gpts() -> None:
    state = OthelloGPT().state_dict()
    assert state["blocks.7.attn.W_Q"].shape == (8, 512, 64)
    assert state["blocks.7.mlp.W_in"].shape == (512, 2048)
    assert state["embed.W_E"].shape == (61, 512)
    assert state["pos_embed.W_pos"].shape == (59, 512)
    assert sum(tensor.numel() for tensor in state.values()) == 25_312_829


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.ones(1, 5), "int64"),
        (torch.ones(5, dtype=torch.int64), r"\[games, 1\.\.59\]"),
        (torch.ones(1, 60, dtype=torch.int64), r"\[games, 1\.\.59\], got \[1, 60\]"),
        (torch.full((1, 5), 61), r"0\.\.60"),
        (torch.full((1, 5), -1), r"0\.\.60"),
    ],
)
def test_wrong_tokens_are_refused(tokens: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        random_model()(tokens)


def test_saving_and_loading_is_exact(tmp_path: Path) -> None:
    model, path = random_model(), tmp_path / "model.safetensors"
    model.save(path)
    loaded = OthelloGPT.load(path)
    assert loaded.metadata == model.metadata
    assert loaded.shape == TINY
    assert loaded(some_tokens()).equal(model(some_tokens()))
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    model, path = random_model(), str(tmp_path / "model.safetensors")
    model.save(path)
    assert OthelloGPT.load(path)(some_tokens()).equal(model(some_tokens()))
    with pytest.raises(CheckpointError, match="nowhere is not a readable safetensors file"):
        OthelloGPT.load("nowhere")


def test_unwritable_places_leave_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cannot write"):
        random_model().save(tmp_path / "nowhere" / "model.safetensors")
    folder = tmp_path / "model.safetensors"
    folder.mkdir()
    with pytest.raises(OSError, match="cannot write"):
        random_model().save(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    metadata = {"shape": json.dumps(vars(TINY))}
    for broken in (torch.full((61, 16), torch.nan), torch.ones(61, 16, dtype=torch.int64)):
        save_file({**random_model().state_dict(), "embed.W_E": broken}, path, metadata=metadata)
        with pytest.raises(CheckpointError, match=r"no finite numbers: embed\.W_E"):
            OthelloGPT.load(path)


def test_foreign_and_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    random_model().save(path)
    whole = path.read_bytes()
    metadata = {"shape": json.dumps(vars(TINY))}
    weights = random_model().state_dict()
    del weights["unembed.W_U"]
    damaged = {
        "truncated": whole[: len(whole) // 2],
        "empty": b"",
        "text": b"not a model",
        "huge header": b"\xff" * 64,
    }
    for name, data in damaged.items():
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match="not a readable safetensors file"):
            OthelloGPT.load(path)
        assert name
    save_file(weights, path, metadata=metadata)
    with pytest.raises(CheckpointError, match=r"unembed\.W_U should be .*found nothing"):
        OthelloGPT.load(path)
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="no Othello-GPT shape"):
        OthelloGPT.load(path)
    for bad in (
        '{"n_layers": 2.0}',
        '{"d_model": 1000000000}',
        '{"n_layers": -1}',
        '{"d_model": "many"}',
        "[1]",
        '{"n_ctx": 1e30}',
    ):
        save_file(weights, path, metadata={"shape": bad})
        with pytest.raises(CheckpointError):
            OthelloGPT.load(path)
