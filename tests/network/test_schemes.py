"""The same model in any dress: other programs' names and layouts, prefixes, wrappings, files."""

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from comparison import load_model
from handbuilt import OthelloGPT, Shape
from handbuilt.network.shape import CheckpointError
from tests.network.test_transformer import random_model

HEADS = 3
SMALL = Shape(n_layers=2, d_model=12, n_heads=HEADS, d_head=4, d_mlp=20)

#: What each family of programs calls what torch's layers would be called under our names.
RENAMED = {
    "bridge": [],
    "mingpt": [
        ("pos_embed.weight", "pos_emb"),
        ("unembed", "head"),
        ("embed", "tok_emb"),
        ("ln_final", "ln_f"),
        (".attn.q", ".attn.query"),
        (".attn.k", ".attn.key"),
        (".attn.v", ".attn.value"),
        (".attn.o", ".attn.proj"),
        (".mlp.in", ".mlp.0"),
        (".mlp.out", ".mlp.2"),
    ],
    "nanogpt": [
        ("pos_embed", "transformer.wpe"),
        ("unembed", "lm_head"),
        ("embed", "transformer.wte"),
        ("ln_final", "transformer.ln_f"),
        ("blocks.", "transformer.h."),
        (".ln1", ".ln_1"),
        (".ln2", ".ln_2"),
        (".attn.o", ".attn.c_proj"),
        (".mlp.in", ".mlp.c_fc"),
        (".mlp.out", ".mlp.c_proj"),
    ],
}
RENAMED["gpt2"] = RENAMED["nanogpt"]
#: Parts that some programs' models lack: how their names in ours end, or what they contain.
LACKING = {
    "norms": (".ln", "ln_final"),
    "norm biases": ("ln1.b", "ln2.b", "ln_final.b"),
    "biases": (".b_Q", ".b_K", ".b_V", ".b_O", ".b_in", ".b_out"),
    "unembedding bias": (".b_U",),
}


@dataclass(frozen=True)
class Dress:
    """How a model is dressed."""

    names: str
    lacks: frozenset[str]
    prefixes: tuple[str, ...]
    wrapped: tuple[str, ...]
    file: str
    board: int
    tied: bool

    @property
    def absent(self) -> tuple[str, ...]:
        return tuple(ending for part in self.lacks for ending in LACKING[part])

    def model(self) -> OthelloGPT:
        """A random one that the dress can hold."""
        model = random_model(SMALL.on(self.board))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if any(part in name for part in self.absent):
                    parameter.fill_(1.0 if name.endswith(".w") else 0.0)
            if self.tied and self.names in ("nanogpt", "gpt2"):
                model.unembed.W_U.copy_(model.embed.W_E.T)
        return model

    def state(self, model: OthelloGPT) -> dict[str, Tensor]:
        """Its weights as the dress has them."""
        kept = {
            name: tensor
            for name, tensor in model.state_dict().items()
            if not any(part in name for part in self.absent)
        }
        state = kept if self.names == "lens" else self.renamed(kept)
        if self.tied:
            state.pop("lm_head.weight", None)
        prefix = "".join(self.prefixes)
        return {prefix + name: tensor.contiguous().clone() for name, tensor in state.items()}

    def renamed(self, ours: dict[str, Tensor]) -> dict[str, Tensor]:
        state = {}
        for name, tensor in ours.items():
            name, tensor = linear(name, tensor)
            for old, new in RENAMED[self.names]:
                if old in name:
                    name = name.replace(old, new)
                    if old.endswith("embed") or old == "pos_embed.weight":
                        break
            state[name] = tensor
        if self.names == "mingpt":
            state["pos_emb"] = state["pos_emb"][None]
            state["blocks.0.attn.mask"] = torch.ones(1, 1, 9, 9)
        if self.names in ("nanogpt", "gpt2"):
            for layer in range(SMALL.n_layers):
                attention = f"transformer.h.{layer}.attn"
                for kind in ("weight", "bias"):
                    parts = [state.pop(f"{attention}.{part}.{kind}", None) for part in "qkv"]
                    if parts[0] is not None:
                        state[f"{attention}.c_attn.{kind}"] = torch.cat(parts)
                state[f"{attention}.bias"] = torch.ones(1, 1, 9, 9)
        if self.names == "gpt2":
            layers = {n for n in state if ".c_" in n and n.endswith("weight")}
            state = {n: tensor.T if n in layers else tensor for n, tensor in state.items()}
        return state

    def write(self, state: dict[str, Tensor], folder: Path) -> Path:
        """The file, or the folder, that is read."""
        content: object = state
        for name in self.wrapped:
            content = {"iter_num": 5, name: content, "optimizer": {"state": {}, "param_groups": []}}
        match self.file:
            case "torch" | "bare pickle":
                path = folder / "model.any"
                torch.save(content, path, _use_new_zipfile_serialization=self.file == "torch")
                return path
            case "safetensors":
                save_file(state, folder / "model.any")
                return folder / "model.any"
            case "folder of torch":
                torch.save(content, folder / "pytorch_model.bin")
            case "folder":
                save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
                (folder / "config.json").write_text(json.dumps({"n_head": HEADS}))
            case "shards" | "index":
                return self.shards(state, folder)
        return folder

    def shards(self, state: dict[str, Tensor], folder: Path) -> Path:
        where = {name: f"model-{i % 3 + 1}-of-3.safetensors" for i, name in enumerate(state)}
        for file in set(where.values()):
            save_file({n: state[n] for n in state if where[n] == file}, folder / file)
        index = folder / "model.safetensors.index.json"
        index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": where}))
        return index if self.file == "index" else folder


def linear(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """A tensor as torch's layers hold it, and its name there."""
    stem, _, last = name.rpartition(".")
    kind, _, part = last.partition("_")
    if kind == "W" and part in ("Q", "K", "V"):
        tensor = torch.cat([head.T for head in tensor])
    elif kind == "W" and part == "O":
        tensor = torch.cat(list(tensor)).T
    elif kind == "W" and part in ("in", "out", "U"):
        tensor = tensor.T
    elif part in ("Q", "K", "V"):
        tensor = tensor.reshape(-1)
    inner = f".{part.lower()}" if stem.endswith(("attn", "mlp")) else ""
    return f"{stem}{inner}.{'weight' if kind in 'Ww' else 'bias'}", tensor


DRESSES = st.builds(
    Dress,
    names=st.sampled_from(["lens", *RENAMED]),
    lacks=st.frozensets(st.sampled_from(list(LACKING))),
    prefixes=st.lists(st.sampled_from(["module.", "_orig_mod.", "model.", "net."]), max_size=3).map(
        tuple
    ),
    wrapped=st.lists(st.sampled_from(["model", "state_dict", "model_state_dict"]), max_size=2).map(
        tuple
    ),
    file=st.sampled_from(
        ["torch", "bare pickle", "safetensors", "folder of torch", "folder", "shards", "index"]
    ),
    board=st.sampled_from([4, 6, 8]),
    tied=st.booleans(),
)


@given(DRESSES)
@settings(max_examples=60, deadline=None)
@torch.inference_mode()
def test_any_dress_holds_the_same_model(
    tmp_path_factory: pytest.TempPathFactory, dress: Dress
) -> None:
    model = dress.model()
    path = dress.write(dress.state(model), tmp_path_factory.mktemp("dress"))
    loaded = load_model(str(path), heads=HEADS)
    assert isinstance(loaded, OthelloGPT)
    assert loaded.shape == model.shape
    games = torch.randint(1, model.shape.d_vocab, (2, model.shape.n_ctx))
    assert loaded(games).equal(model(games))


BARE = Dress("lens", frozenset(), (), (), "torch", 8, False)


def read(dress: Dress, folder: Path, heads: int | None = HEADS) -> OthelloGPT:
    folder.mkdir(exist_ok=True)
    loaded = load_model(str(dress.write(dress.state(dress.model()), folder)), heads=heads)
    assert isinstance(loaded, OthelloGPT)
    return loaded


@pytest.mark.parametrize(
    ("dress", "heads", "words"),
    [
        (BARE, None, "exact GELU and a LayerNorm eps of 1e-05 assumed"),
        (
            replace(BARE, prefixes=("module.", "_orig_mod."), wrapped=("model",)),
            None,
            "weights under 'model'; prefix 'module._orig_mod.' stripped; exact GELU",
        ),
        (
            replace(BARE, names="nanogpt", tied=True, lacks=frozenset({"biases", "norm biases"})),
            HEADS,
            "no lm_head.weight, transformer.wte.weight taken for it; no LayerNorm biases, zeros "
            "taken; no biases of attention and MLP, zeros taken; exact GELU",
        ),
        (
            replace(BARE, names="mingpt", lacks=frozenset({"norms", "unembedding bias"})),
            HEADS,
            "no LayerNorm gains and biases, ones and zeros taken; no unembedding bias, zeros taken",
        ),
    ],
)
def test_what_was_stripped_or_assumed_is_said_in_one_line(
    dress: Dress,
    heads: int | None,
    words: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    read(dress, tmp_path, heads)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path / 'model.any'}: {words}")
    assert "\n" not in record.getMessage()


def test_nothing_is_said_of_what_says_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    random_model(SMALL).save(tmp_path / "model.safetensors")
    load_model(str(tmp_path / "model.safetensors"))
    folder = tmp_path / "gpt2"
    folder.mkdir()
    dress = replace(BARE, names="gpt2", file="folder")
    dress.write(dress.state(dress.model()), folder)
    said = {"n_head": HEADS, "activation_function": "gelu", "layer_norm_epsilon": 1e-3}
    (folder / "config.json").write_text(json.dumps(said))
    loaded = load_model(str(folder))
    assert isinstance(loaded, OthelloGPT)
    assert loaded.shape == replace(SMALL, ln_eps=1e-3)
    assert not caplog.records
    (folder / "config.json").write_text(json.dumps({**said, "activation_function": "gelu_new"}))
    with pytest.raises(CheckpointError, match="a model of the activation 'gelu_new'; exact GELU"):
        load_model(str(folder))


def test_heads_are_told_by_settings_beside_the_weights_or_are_of_the_usual_size(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = replace(BARE, names="nanogpt").state(random_model(SMALL))
    torch.save({"model": state, "model_args": {"n_head": 6}}, tmp_path / "six.pt")
    loaded = load_model(str(tmp_path / "six.pt"))
    assert isinstance(loaded, OthelloGPT)
    assert (loaded.shape.n_heads, loaded.shape.d_head) == (6, 2)
    with pytest.raises(CheckpointError, match="attention 12 wide, not of 5 heads"):
        read(replace(BARE, names="nanogpt"), tmp_path, heads=5)
    with pytest.raises(CheckpointError, match=r"12 wide, does not divide .* 64; .*\(--heads\)"):
        read(replace(BARE, names="nanogpt"), tmp_path, heads=None)
    caplog.handler.setLevel(logging.WARNING)
    caplog.clear()
    wide = random_model(Shape(1, 16, 2, 64, 20))
    torch.save(replace(BARE, names="bridge").state(wide), tmp_path / "usual.pt")
    loaded = load_model(str(tmp_path / "usual.pt"))
    assert isinstance(loaded, OthelloGPT)
    assert loaded.shape == wide.shape
    assert "2 heads of 64 and exact GELU" in caplog.text


def test_no_two_models_and_nothing_beside_one(tmp_path: Path) -> None:
    state, path = BARE.state(random_model(SMALL)), tmp_path / "model.pth"
    both = {f"{name}.{key}": tensor for name in ("one", "two") for key, tensor in state.items()}
    torch.save(both, path)
    with pytest.raises(CheckpointError, match=r"holds several models, under 'one\.', 'two\.'"):
        load_model(str(path))
    both = {**{f"one.{key}": tensor for key, tensor in state.items()}, "loss": torch.zeros(3)}
    torch.save(both, path)
    with pytest.raises(CheckpointError, match=r"something beside the model under 'one\.': 'loss'"):
        load_model(str(path))
