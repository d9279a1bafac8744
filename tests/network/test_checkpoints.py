"""Checkpoints: exact round trips, others' forward passes, folders, and files that are broken."""

import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from comparison import load_model
from comparison.training.models import UnknownModelError
from extracted_rules.othello.geometry import Geometry
from handbuilt import OthelloGPT, Shape
from handbuilt.network import huggingface, weight_files
from handbuilt.network.checkpoints import FORMATS, ExportError, export
from handbuilt.network.layout import Layout
from handbuilt.network.shape import CheckpointError
from tests.network.test_transformer import TINY, random_model, some_tokens

#: minGPT's proportions, as narrow as they come.
NARROW = Shape(n_layers=2, d_model=128, n_heads=2, d_head=64, d_mlp=512)
#: Formats that are a file; the other is a folder.
FILES = [form for form in FORMATS if form != "huggingface"]


def unbiased(shape: Shape = NARROW) -> OthelloGPT:
    """A random model that minGPT can express."""
    model = random_model(shape)
    with torch.no_grad():
        model.unembed.b_U.zero_()
    return model


def assert_same(one: OthelloGPT, other: nn.Module) -> None:
    assert isinstance(other, OthelloGPT)
    assert other.shape == one.shape
    for name, tensor in one.state_dict().items():
        assert other.state_dict()[name].equal(tensor), name


@pytest.mark.parametrize("form", FORMATS)
def test_round_trips_are_exact(form: str, tmp_path: Path) -> None:
    model, path = unbiased(), tmp_path / "model.anything"
    export(model, form, path)
    loaded = load_model(str(path))
    assert_same(model, loaded)
    assert loaded(some_tokens()).equal(model(some_tokens()))
    assert not loaded.training
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    export(loaded, form, tmp_path / "again")
    assert_same(model, load_model(str(tmp_path / "again")))


@pytest.mark.parametrize("form", FORMATS[:3])
def test_shapes_of_all_proportions_survive_where_the_format_says_them(
    form: str, tmp_path: Path
) -> None:
    odd = Shape(n_layers=3, d_model=12, n_heads=5, d_head=7, d_mlp=20, n_ctx=60)
    export(random_model(odd), form, tmp_path / "model")
    assert_same(random_model(odd), load_model(str(tmp_path / "model")))


def test_a_file_holds_no_more_than_the_weights(tmp_path: Path) -> None:
    model = unbiased()
    weights = sum(4 * p.numel() for p in model.parameters())
    for form in FORMATS:
        path = tmp_path / form
        export(model, form, path)
        size = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
        assert size < weights + 2 * 4 * 59**2 + 40_000


# ------------------------------------------------------------------ minGPT, as published


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.proj = nn.Linear(width, width), nn.Linear(width, width)
        self.register_buffer("mask", torch.ones(59, 59).tril().view(1, 1, 59, 59))

    def forward(self, x: Tensor) -> Tensor:
        games, moves, width = x.shape
        q, k, v = (
            layer(x).reshape(games, moves, self.heads, -1).permute(0, 2, 1, 3)
            for layer in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(mixed.permute(0, 2, 1, 3).reshape(games, moves, width))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln1(x))
        return x + self.mlp(self.ln2(x))


class MinGPT(nn.Module):
    """The architecture of Li et al. 2022 in torch's own layers, with the names of its file."""

    def __init__(self, layers: int, width: int, heads: int) -> None:
        super().__init__()
        self.tok_emb = nn.Embedding(61, width)
        self.pos_emb = nn.Parameter(torch.randn(1, 59, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.ln_f = nn.LayerNorm(width)
        self.head = nn.Linear(width, 61, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tok_emb(tokens) + self.pos_emb[:, : tokens.shape[1]]
        return self.head(self.ln_f(self.blocks(x)))


def min_gpt() -> MinGPT:
    torch.manual_seed(4)
    model = MinGPT(layers=2, width=128, heads=2).eval()
    for name, parameter in model.named_parameters():
        if "ln" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return model


@pytest.mark.parametrize("zipped", [True, False])
def test_a_published_mingpt_computes_the_same_here(zipped: bool, tmp_path: Path) -> None:
    theirs, path = min_gpt(), tmp_path / "gpt_synthetic.ckpt"
    torch.save(theirs.state_dict(), path, _use_new_zipfile_serialization=zipped)
    ours = load_model(str(path))
    with torch.inference_mode():
        expected = theirs(some_tokens())
        torch.testing.assert_close(ours(some_tokens()), expected, atol=1e-5, rtol=1e-5)


def test_an_export_loads_into_mingpt(tmp_path: Path) -> None:
    export(unbiased(), "mingpt", tmp_path / "model.ckpt")
    theirs = min_gpt()
    theirs.load_state_dict(torch.load(tmp_path / "model.ckpt", weights_only=True))
    torch.testing.assert_close(
        theirs(some_tokens()), unbiased()(some_tokens()), atol=1e-4, rtol=1e-4
    )


def test_tokens_are_numbered_as_published() -> None:
    """Li et al. sort what occurs in games: -100 for no move, then squares but the centre ones."""
    published = sorted({-100, *range(64)} - {27, 28, 35, 36})
    assert Geometry().square_of_token[1:].tolist() == published[1:]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_heads": 4, "d_head": 32}, "cannot say that n_heads is 4; it would be 2"),
        ({"d_mlp": 100}, "cannot say that d_mlp is 100; it would be 512"),
        ({"d_model": 100, "n_heads": 2, "d_mlp": 400}, "cannot say that n_heads is 2"),
        ({"ln_eps": 1e-3}, "cannot say that ln_eps is 0.001; it would be 1e-05"),
        ({}, "no unembedding bias"),
    ],
)
def test_what_mingpt_cannot_say_is_refused(
    change: dict[str, float], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=message):
        export(random_model(Shape(**{**vars(NARROW), **change})), "mingpt", tmp_path / "x")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ TransformerLens


def lens_state() -> dict[str, Tensor]:
    path = io.BytesIO()
    torch.save(random_model().state_dict(), path)
    path.seek(0)
    return torch.load(path, weights_only=True)


def test_folded_layer_norms_are_plain_ones(tmp_path: Path) -> None:
    """LNPre, as published: no gains, no biases, and the buffers of an old version."""
    state = {name: t for name, t in lens_state().items() if ".ln" not in f".{name}"}
    for layer in (0, 1):
        state[f"blocks.{layer}.attn.mask"] = torch.ones(59, 59).tril().bool()
        state[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-1e5)
    torch.save(state, tmp_path / "synthetic_model.pth")
    plain = random_model()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if ".ln" in f".{name}":
                parameter.fill_(1.0 if name.endswith("w") else 0.0)
    assert_same(plain, load_model(str(tmp_path / "synthetic_model.pth")))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {name: tensor.to(dtype) for name, tensor in lens_state().items()}
    torch.save(state, tmp_path / "half.pth")
    loaded = load_model(str(tmp_path / "half.pth")).state_dict()
    assert all(loaded[name].equal(tensor.float()) for name, tensor in state.items())
    assert loaded["embed.W_E"].dtype == torch.float32


def test_another_eps_cannot_be_said(tmp_path: Path) -> None:
    model = OthelloGPT(Shape(**{**vars(TINY), "ln_eps": 1e-3}))
    with pytest.raises(ExportError, match="transformer-lens files cannot say that ln_eps is"):
        export(model, "transformer-lens", tmp_path / "x")


def bridge_state(theirs: MinGPT) -> dict[str, Tensor]:
    """The same weights under the names that TransformerLens 4 saves, and an unembedding bias."""
    renamed = {
        "tok_emb": "embed",
        "ln_f": "ln_final",
        "head": "unembed",
        "query": "q",
        "key": "k",
        "value": "v",
        "proj": "o",
        "0": "in",
        "2": "out",
    }
    state = {"unembed.bias": torch.linspace(-1, 1, 61)}
    for name, tensor in theirs.state_dict().items():
        head, *parts = name.split(".")
        last = [renamed.get(part, part) if head == "blocks" else part for part in parts[1:]]
        state[".".join([renamed.get(head, head), *parts[:1], *last])] = tensor
    state["pos_embed.weight"] = state.pop("pos_emb")[0]
    return {name: tensor for name, tensor in state.items() if "mask" not in name}


@pytest.mark.parametrize("folded", [False, True])
@torch.inference_mode()
def test_what_transformerlens_4_saves_computes_the_same_here(folded: bool, tmp_path: Path) -> None:
    theirs, path = min_gpt(), tmp_path / "bridge.pth"
    state = bridge_state(theirs)
    if folded:
        for norm in (module for module in theirs.modules() if isinstance(module, nn.LayerNorm)):
            norm.reset_parameters()
        state = {name: t for name, t in state.items() if ".ln" not in f".{name}"}
    torch.save(state, path)
    expected = theirs(some_tokens()) + state["unembed.bias"]
    torch.testing.assert_close(load_model(str(path))(some_tokens()), expected, atol=1e-5, rtol=1e-5)


# ------------------------------------------------------------------ folders of the Hugging Face Hub


def hand_built() -> OthelloGPT:
    """A random model that carries what a compiled one does."""
    model = random_model()
    layout = Layout(model.shape)
    layout.directions.add("belief", ("D3",), "{} before the move")
    model.metadata.update(description="Rules – and\nno data.", layout=layout.to_json())
    return model


def test_a_folder_says_what_the_model_says_of_itself(tmp_path: Path) -> None:
    model, folder = hand_built(), tmp_path / "model"
    export(model, "huggingface", folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    loaded = load_model(str(folder))
    assert_same(model, loaded)
    assert loaded.metadata == model.metadata
    assert loaded.layout.describe("belief.D3")[1].strip() == "D3 before the move"
    config = json.loads((folder / "config.json").read_text())
    assert config["shape"] == vars(TINY)
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlibrary_name: handbuilt-othello-gpt\n")
    assert "Every weight is computed from rules" in card
    assert "Recipe random: Rules – and no data.\n" in card
    assert "| heads | 2 of 8 |" in card
    assert "Every weight" not in huggingface.card(random_model())
    assert "Recipe" not in huggingface.card(OthelloGPT(TINY))


def test_an_export_takes_the_place_of_an_earlier_one_alone(tmp_path: Path) -> None:
    folder, link = tmp_path / "model", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    for seed, path in enumerate((folder, folder, link)):
        export(random_model(seed=seed), "huggingface", path)
        assert_same(random_model(seed=seed), load_model(str(folder)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "model"]
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(OSError, match=r"it holds something else, 'notes\.txt'"):
        export(random_model(), "huggingface", folder)
    (folder / "notes.txt").unlink()
    (folder / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    with pytest.raises(OSError, match=r"it is no earlier export; .* of another architecture"):
        export(random_model(), "huggingface", folder)
    (folder / "config.json").unlink()
    with pytest.raises(OSError, match=r"it is no earlier export; .* holds no Othello-GPT shape"):
        export(random_model(), "huggingface", folder)
    with pytest.raises(OSError, match="it is no folder"):
        export(random_model(), "huggingface", folder / "README.md")
    with pytest.raises(OSError, match=r"cannot write .*nowhere"):
        export(random_model(), "huggingface", tmp_path / "nowhere" / "model")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "model.safetensors"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "model"]


def configured(**change: object) -> str:
    config = {"architectures": ["OthelloGPT"], "shape": vars(TINY), "metadata": {}}
    return json.dumps({**config, **change})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("", "config.json is no readable JSON"),
        ("\0", "config.json is no readable JSON"),
        ("[" * 100_000, "config.json is no readable JSON"),
        ("[1]", "should hold a JSON object, found list"),
        (
            configured(architectures=["GPT2LMHeadModel"]),
            r"another architecture, \['GPT2LMHeadModel",
        ),
        (configured(architectures=None), "another architecture, None"),
        (configured(shape=[]), "holds no Othello-GPT shape"),
        (configured(shape={"d_model": "16"}), "holds no Othello-GPT shape"),
        (configured(shape={"d_model": 2**30}), "holds no Othello-GPT shape"),
        (configured(shape={**vars(TINY), "ln_eps": 1}), "holds no Othello-GPT shape"),
        (configured(shape={**vars(TINY), "line\nbreak": 1}), "holds no Othello-GPT shape"),
        (
            configured(shape={**vars(TINY), "d_mlp": 31}),
            r"safetensors is not this model: blocks\.0\.mlp\.W_in should be \(16, 31\), found",
        ),
        (configured(shape={**vars(TINY), "n_ctx": 20}), r"W_pos should be \(20, 16\), found"),
        (configured(metadata=["recipe"]), "metadata that is texts by name"),
        (configured(metadata={"recipe": 3}), "metadata that is texts by name"),
        (configured(metadata={"recipe": "\ud800"}), "metadata that is texts by name"),
    ],
)
def test_a_configuration_of_something_else_is_one_sentence(
    config: str, message: str, tmp_path: Path
) -> None:
    export(random_model(), "huggingface", tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_model(str(tmp_path / "model"))
    assert "\n" not in str(refused.value)
    assert str(tmp_path / "model") in str(refused.value)


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def huge(path: Path) -> None:
    os.truncate(path, weight_files.MAX_BYTES + 1)


def short(path: Path) -> None:
    """The weights and the configuration of a model that reads too few moves."""
    shutil.rmtree(path.parent)
    export(random_model(Shape(**{**vars(TINY), "n_ctx": 20})), "huggingface", path.parent)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, "model.safetensors cannot be read: No such file or directory"),
        (torn, "model.safetensors is not a readable safetensors file"),
        (huge, "model.safetensors has 1,073,741,825 bytes"),
        (lambda path: path.write_text("no weights"), "no file of weights: it is text"),
        (lambda path: save_file({"x": torch.zeros(3)}, path), "should be"),
        (short, "a model of Othello games reads 59 of 61"),
    ],
)
def test_weights_that_are_not_there_are_one_sentence(
    harm: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    export(random_model(), "huggingface", folder)
    harm(folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=message) as refused:
        load_model(str(folder))
    assert "\n" not in str(refused.value)
    assert str(folder) in str(refused.value)


def test_a_damaged_folder_is_refused_or_harmless(tmp_path: Path) -> None:
    """Bits flipped anywhere in the configuration: the same weights or CheckpointError."""
    model, folder, draw = hand_built(), tmp_path / "model", random.Random(6)
    export(model, "huggingface", folder)
    whole, refused = (folder / "config.json").read_bytes(), 0
    for _ in range(80):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        (folder / "config.json").write_bytes(damaged)
        try:
            loaded = load_model(str(folder)).state_dict()
        except CheckpointError:
            refused += 1
        else:
            assert all(loaded[name].equal(t) for name, t in model.state_dict().items())
    assert refused > 20


# ------------------------------------------------------------------ broken files


class Bomb:
    """Its pickle runs a command, for a reader that lets it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_never_run(zipped: bool, tmp_path: Path) -> None:
    path, trace = tmp_path / "bomb.pth", tmp_path / "trace"
    bomb = {**lens_state(), "embed.W_E": Bomb(f"touch {trace}")}
    torch.save(bomb, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"bomb\.pth holds a pickled Python object"):
        load_model(str(path))
    assert not trace.exists()
    torch.load(path, weights_only=False)  # what this test is about
    assert trace.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([torch.zeros(3)], "tensors by name; found list"),
        (torch.zeros(3), "found Tensor"),
        ({}, "another kind of model: .*but nothing"),
        (nn.Linear(2, 2).state_dict(), "another kind of model: .* but 'weight', 'bias'"),
        ({"model": 3, "lens": lens_state()}, "found int under 'model'"),
        ({"epoch": 3}, "found int under 'epoch'"),
        ({0: torch.zeros(3)}, "found Tensor under 0"),
        ({"pos_embed.W_pos": torch.zeros(59, 16)}, r"embed\.W_E should have 2 axes, found nothing"),
        ({**lens_state(), "embed.W_E": torch.zeros(61)}, r"embed\.W_E should have 2 axes"),
        ({**lens_state(), "embed.W_E": torch.zeros(61, 0)}, "no Othello-GPT shape"),
        ({**lens_state(), "line\nbreak": torch.zeros(3)}, r"line\\nbreak should be absent"),
        ({**lens_state(), "extra": torch.zeros(3)}, r"extra should be absent, found \(3,\)"),
        (
            {**lens_state(), "blocks.1.ln1.w": torch.zeros(3)},
            r"blocks\.1\.ln1\.w should be \(16,\), found \(3,\)",
        ),
        (
            {**lens_state(), "blocks.2.ln1.w": torch.zeros(16)},
            r"blocks\.2\.attn\.W_K should be \(2, 16, 8\), found nothing",
        ),
        (
            {k: v for k, v in lens_state().items() if k != "ln_final.b"},
            r"ln_final\.b should be \(16,\), found nothing",
        ),
        ({**lens_state(), "unembed.b_U": torch.full((61,), torch.nan)}, "no finite numbers"),
        (
            {**lens_state(), "unembed.b_U": torch.full((61,), 1e300, dtype=torch.float64)},
            "no finite numbers",
        ),
        ({**lens_state(), "unembed.b_U": torch.zeros(61).int()}, r"no finite .*\(torch\.int32\)"),
        ({**lens_state(), "unembed.b_U": torch.zeros(61).cfloat()}, "no finite numbers"),
        ({**lens_state(), "unembed.b_U": torch.zeros(61).to_sparse()}, "b_U' is none"),
        ({**lens_state(), "unembed.b_U": torch.zeros(61, device="meta")}, "b_U' is none"),
        ({**lens_state(), "embed.W_E": torch.zeros(1, 1).expand(2**40, 16)}, "claims 17,592,"),
        ({**lens_state(), "pos_embed.W_pos": torch.zeros(2**17, 16)}, "no Othello-GPT shape"),
        ({**lens_state(), "pos_embed.W_pos": torch.zeros(20, 16)}, "reads 20 moves of 61 tokens"),
        (
            {**min_gpt().state_dict(), "head.bias": torch.zeros(60)},
            r"head\.bias should be \(61,\), found \(60,\)",
        ),
        (
            {**min_gpt().state_dict(), "blocks.1.attn.key.weight": torch.zeros(128, 64)},
            r"blocks\.1\.attn\.key\.weight should be \(128, 128\), found \(128, 64\)",
        ),
        (
            {**min_gpt().state_dict(), "blocks.0.attn.query.weight": torch.zeros(100, 128)},
            "100 wide, does not divide into heads of 64",
        ),
        (
            {**bridge_state(min_gpt()), "blocks.0.attn.q.weight": torch.zeros(100, 128)},
            "100 wide, does not divide into heads of 64",
        ),
        (
            {**bridge_state(min_gpt()), "blocks.1.attn.o.weight": torch.zeros(128, 64)},
            r"blocks\.1\.attn\.o\.weight should be \(128, 128\), found \(128, 64\)",
        ),
        (
            {**bridge_state(min_gpt()), "blocks.0.attn.q.weight": torch.zeros(0, 128)},
            "0 wide, does not divide into heads of 64",
        ),
        (
            {"config": {"activation_function": torch.ones(3)}, "model": {"x": torch.ones(3)}},
            "another kind of model",
        ),
        ({"pos_embed.weight": torch.zeros(59, 16)}, r"embed\.weight should have 2 axes"),
        (
            {**min_gpt().state_dict(), "pos_emb": torch.zeros(2, 59, 128)},
            "pos_emb should have 2 axes",
        ),
    ],
)
def test_foreign_content_is_one_sentence(content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_model(str(path))
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_what_is_no_model_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.pth"
    for data in (
        b"PK",
        b"PK\x03\x04",
        b"\x80\x02\x8a\x0a",
        b"\x80\x02}q\x00.",
        os.urandom(99),
    ):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"not a readable|no file of weights|pickled"):
            load_model(str(path))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no model")
    with pytest.raises(CheckpointError, match="a zip archive without weights"):
        load_model(str(path))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**20))
    monkeypatch.setattr(weight_files, "MAX_BYTES", 2**19)
    with pytest.raises(CheckpointError, match="unpacks to 1,048,576 bytes"):
        load_model(str(path))
    with pytest.raises(
        CheckpointError, match=r"is no folder of a model: it has none of model\.safe"
    ):
        load_model(str(tmp_path))
    with pytest.raises(UnknownModelError, match="neither a file nor"):
        load_model(str(tmp_path / "nothing"))


def test_huge_files_are_not_read(tmp_path: Path) -> None:
    for start in (b"PK\x03\x04", b"{"):
        with (tmp_path / "huge").open("wb") as file:
            file.write(start)
            file.truncate(weight_files.MAX_BYTES + 1)
        with pytest.raises(CheckpointError, match="has 1,073,741,825 bytes"):
            load_model(str(tmp_path / "huge"))


def test_a_storage_that_claims_more_than_there_is(tmp_path: Path) -> None:
    """The pickle inside is edited to speak of 2^31 - 1 numbers for the 59 * 16 that are there."""
    good, bad = tmp_path / "good.pth", tmp_path / "bad.pth"
    torch.save(lens_state(), good)
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                claimed = data.replace(b"M\xb0\x03", b"J\xff\xff\xff\x7f")
                assert claimed != data
                data = claimed
            target.writestr(name, data)
    with pytest.raises(CheckpointError, match="not a readable PyTorch file"):
        load_model(str(bad))


def written(form: str, path: Path) -> bytes:
    if form == "bare pickle":
        torch.save(lens_state(), path, _use_new_zipfile_serialization=False)
    else:
        export(
            unbiased(Shape(1, 64, 1, 64, 256)) if form == "mingpt" else random_model(), form, path
        )
    return path.read_bytes()


@pytest.mark.parametrize("form", [*FILES, "bare pickle"])
def test_damage_is_refused_or_harmless(form: str, tmp_path: Path) -> None:
    """Cut short anywhere, or with bits flipped anywhere: finite weights or CheckpointError."""
    path, draw = tmp_path / "model", random.Random(6)
    whole = written(form, path)
    for _ in range(15):
        path.write_bytes(whole[: draw.randrange(len(whole))])
        with pytest.raises(CheckpointError):
            load_model(str(path))
    # Weights fill most of a file; half of the flips go where names and sizes stand.
    words = [i for i in range(len(whole)) if whole[i : i + 7] in (b"blocks.", b"Storage")]
    refused = 0
    for trial in range(80):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 8))):
            near = draw.choice(words) + draw.randrange(-40, 80)
            place = near if trial % 2 else draw.randrange(len(whole))
            damaged[place % len(whole)] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            loaded = load_model(str(path))
        except CheckpointError:
            refused += 1
        else:
            assert all(bool(p.isfinite().all()) for p in loaded.parameters())
    assert refused > 20


def test_unwritable_places_leave_what_is_there(tmp_path: Path) -> None:
    for form in FILES:
        with pytest.raises(OSError, match="cannot write"):
            export(unbiased(), form, tmp_path / "nowhere" / "model.pth")
        with pytest.raises(OSError, match="no ordinary file"):
            export(unbiased(), form, tmp_path)
    with pytest.raises(ExportError, match="no format is called 'onnx'; there are safetensors, "):
        export(unbiased(), "onnx", tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
