"""Models in files: our safetensors, Hugging Face folders, and state dicts as they are published.

``transformer-lens`` is the state dict of a HookedTransformer (Nanda's ``synthetic_model.pth``),
``mingpt`` that of the GPT class of Li et al. 2022 (``gpt_synthetic.ckpt``). TransformerLens 4 takes
the first, but saves names and layouts of its own, which are read too. All are files of
``torch.save`` and hold weights alone: no recipe or layout, no activation, no LayerNorm eps. They
are taken for what was published: exact GELU and an eps of 1e-5. Tokens need no translation, all
number them as :mod:`extracted_rules.othello.notation` does.
"""

import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from extracted_rules.errors import UserError
from extracted_rules.files import whole_file
from handbuilt.network import huggingface
from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.transformer import OthelloGPT, fitting

FORMATS = ("safetensors", "huggingface", "transformer-lens", "mingpt")
#: No larger file is read, nor one that unpacks to more; Othello-GPT has a tenth of that.
MAX_BYTES = 2**30
#: How files of torch.save begin: zip archives, and before PyTorch 1.6 bare pickles.
TORCH_STARTS = (b"PK\x03\x04", b"\x80\x02\x8a\x0a")
#: Files of torch's own linear layers do not say how many heads they have; published ones are of
#: this size.
LINEAR_HEAD = Shape().d_head

Weights = dict[str, Tensor]


class ExportError(UserError):
    """A model that a format cannot hold, or an unknown format; the message is one sentence."""


def load(path: Path) -> OthelloGPT:
    """Read a model in any of FORMATS; what the file holds decides which. Raises CheckpointError."""
    if path.is_dir():
        described, weights = huggingface.read_config(path), path / huggingface.WEIGHTS
        _start(weights)  # raises if it is missing or too large
        return huggingface.read_weights(weights, described)
    if _start(path) not in TORCH_STARTS:
        return OthelloGPT.load(path)
    found = _state_dict(path)
    for name, read in (
        ("embed.W_E", _from_lens),
        ("embed.weight", _from_bridge),
        ("tok_emb.weight", _from_mingpt),
    ):
        if name in found:
            return read(found, path)
    raise CheckpointError(
        f"{path} is neither a TransformerLens nor a minGPT state dict: it has no embed.W_E, "
        "embed.weight or tok_emb.weight, but "
        f"{ascii(list(found)[:3])[1:-1][:80] or 'nothing'}"
    )


def _start(path: Path) -> bytes:
    """The first four bytes of a file that is not too large. Raises CheckpointError."""
    try:
        with path.open("rb") as file:
            start = file.read(4)
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if size > MAX_BYTES:
        raise CheckpointError(f"{path} has {size:,} bytes; no model of over {MAX_BYTES:,} is read")
    return start


def export(model: OthelloGPT, form: str, path: Path) -> None:
    """Write a model in one of FORMATS, whole or not at all; huggingface is a folder, others a file.

    :func:`load` reads the same weights back, bit for bit. Raises ExportError for what the format
    cannot say, and OSError.
    """
    if form not in FORMATS:
        raise ExportError(f"no format is called {form!r}; there are {', '.join(FORMATS)}")
    if form == "safetensors":
        return model.save(path)
    if form == "huggingface":
        return huggingface.write(model, path)
    state = _to_lens(model) if form == "transformer-lens" else _to_mingpt(model)
    # Copies, so that no view takes along the tensor that it is a view of.
    state = {name: tensor.cpu().contiguous().clone() for name, tensor in state.items()}
    # Through an open file: given a path, torch would write its name into the archive.
    with whole_file(path) as partial, partial.open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            raise OSError(str(error)) from None


# ------------------------------------------------------------------ files of torch.save


def _state_dict(path: Path) -> Weights:
    """Tensors by name, without those that are the same in every model. Raises CheckpointError."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > MAX_BYTES:
                raise CheckpointError(
                    f"{path} unpacks to {unpacked:,} bytes; no model of over {MAX_BYTES:,} is read"
                )
        with warnings.catch_warnings(action="ignore"):  # about pickles that it then refuses
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        return _plain_tensors(loaded, path)
    except CheckpointError:
        raise
    except Exception:  # there is no end to what a damaged archive makes torch stumble over
        raise CheckpointError(
            f"{path} is not a readable PyTorch state dict, which holds tensors by name and "
            "nothing else"
        ) from None


def _plain_tensors(loaded: object, path: Path) -> Weights:
    if not isinstance(loaded, dict):
        raise CheckpointError(
            f"{path} should hold a state dict, tensors by name; found {type(loaded).__name__}"
        )
    found: Weights = {}
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{path} should hold a state dict, tensors by name; found "
                f"{type(tensor).__name__} under {ascii(name)[:80]}"
            )
        if tensor.layout != torch.strided or tensor.is_nested or tensor.device.type != "cpu":
            raise CheckpointError(
                f"{path} should hold ordinary tensors; {ascii(name)[:80]} is none"
            )
        # Masks and the like, buffers of the formats' attention.
        if not name.endswith((".attn.mask", ".attn.IGNORE")):
            found[name] = tensor.detach()
    # A tensor can claim more numbers than the file holds, by repeating one.
    numbers = sum(tensor.numel() for tensor in found.values())
    if 4 * numbers > MAX_BYTES:
        raise CheckpointError(
            f"{path} claims {numbers:,} numbers; no model of over {MAX_BYTES // 4:,} is read"
        )
    return found


def _layers(found: Weights) -> int:
    return len({match[1] for name in found if (match := re.match(r"blocks\.(\d+)\.", name))})


def _sizes(found: Weights, name: str, axes: int, path: Path) -> tuple[int, ...]:
    """The size of a tensor that a model's shape is read from. Raises CheckpointError."""
    size = tuple(found[name].shape) if name in found else ()
    if len(size) != axes:
        raise CheckpointError(
            f"{path} is not this model: {name} should have {axes} axes, found {size or 'nothing'}"
        )
    return size


def _check_implied(model: OthelloGPT, implied: Shape, form: str) -> None:
    """Raise ExportError for a model that a reader of the format would take for another one."""
    for name, value in vars(model.shape).items():
        taken = getattr(implied, name)
        if value != taken:
            raise ExportError(
                f"{form} files cannot say that {name} is {value}; it would be {taken}"
            )


# ------------------------------------------------------------------ TransformerLens


def _to_lens(model: OthelloGPT) -> Weights:
    """Our own state dict, and the two buffers of each layer that a strict loading asks for."""
    shape = model.shape
    _check_implied(model, replace(shape, ln_eps=Shape.ln_eps), "transformer-lens")
    mask = torch.ones(shape.n_ctx, shape.n_ctx, dtype=torch.bool).tril()
    state = dict(model.state_dict())
    for layer in range(shape.n_layers):
        state[f"blocks.{layer}.attn.mask"] = mask
        state[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-torch.inf)
    return state


def _from_lens(found: Weights, path: Path) -> OthelloGPT:
    d_vocab, d_model = _sizes(found, "embed.W_E", 2, path)
    n_ctx, _ = _sizes(found, "pos_embed.W_pos", 2, path)
    n_heads, _, d_head = _sizes(found, "blocks.0.attn.W_Q", 3, path)
    _, d_mlp = _sizes(found, "blocks.0.mlp.W_in", 2, path)
    shape = Shape(_layers(found), d_model, n_heads, d_head, d_mlp, n_ctx, d_vocab)
    expected = OthelloGPT.skeleton(shape, path).state_dict()
    found = _with_norms(found, expected)
    return OthelloGPT.of_weights(fitting(found, expected, path), shape)


def _with_norms(found: Weights, expected: Weights) -> Weights:
    """Plain LayerNorms for a file of "LNPre": it has none, as gains and biases are folded into the
    weights behind them."""
    norms = {name for name in expected if re.search(r"\bln(1|2|_final)\.", name)}
    if norms & found.keys():
        return found
    plain = {"w": torch.ones, "b": torch.zeros}  # "ln1.w" or "ln1.weight", and its bias
    return found | {name: plain[name.rpartition(".")[2][0]](expected[name].shape) for name in norms}


# ------------------------------------------------------------------ torch's own linear layers


def _linear_names(
    n_layers: int,
    embed: str,
    position: str,
    final: str,
    unembed: str,
    attention: tuple[str, str, str, str],
    mlp: tuple[str, str],
) -> dict[str, str]:
    """Our names to those of a format; ``unembed.b_U`` has no counterpart in all of them."""
    names = {
        "embed.W_E": f"{embed}.weight",
        "pos_embed.W_pos": position,
        "ln_final.w": f"{final}.weight",
        "ln_final.b": f"{final}.bias",
        "unembed.W_U": f"{unembed}.weight",
    }
    for layer in range(n_layers):
        block = f"blocks.{layer}"
        for ln in ("ln1", "ln2"):
            names[f"{block}.{ln}.w"] = f"{block}.{ln}.weight"
            names[f"{block}.{ln}.b"] = f"{block}.{ln}.bias"
        for ours, theirs in zip("QKVO", attention, strict=True):
            names[f"{block}.attn.W_{ours}"] = f"{block}.attn.{theirs}.weight"
            names[f"{block}.attn.b_{ours}"] = f"{block}.attn.{theirs}.bias"
        for ours, theirs in zip(("in", "out"), mlp, strict=True):
            names[f"{block}.mlp.W_{ours}"] = f"{block}.mlp.{theirs}.weight"
            names[f"{block}.mlp.b_{ours}"] = f"{block}.mlp.{theirs}.bias"
    return names


def _to_linear_layout(name: str, ours: Tensor) -> Tensor:
    """torch's linear layers hold [out, in], with the heads side by side in one axis."""
    match name.rpartition(".")[2]:
        case "W_Q" | "W_K" | "W_V":  # [heads, d_model, d_head]
            return ours.transpose(1, 2).flatten(0, 1)
        case "b_Q" | "b_K" | "b_V":
            return ours.flatten()
        case "W_O":  # [heads, d_head, d_model]
            return ours.flatten(0, 1).T
        case "W_in" | "W_out" | "W_U":
            return ours.T
    return ours


def _from_linear_layout(name: str, theirs: Tensor, heads: int) -> Tensor:
    """The inverse of :func:`_to_linear_layout`."""
    match name.rpartition(".")[2]:
        case "W_Q" | "W_K" | "W_V":
            return theirs.reshape(heads, -1, theirs.shape[1]).transpose(1, 2)
        case "b_Q" | "b_K" | "b_V":
            return theirs.reshape(heads, -1)
        case "W_O":
            return theirs.T.reshape(heads, -1, theirs.shape[0])
        case "W_in" | "W_out" | "W_U":
            return theirs.T
    return theirs


def _to_linear(weights: Mapping[str, Tensor], names: dict[str, str]) -> Weights:
    return {theirs: _to_linear_layout(ours, weights[ours]) for ours, theirs in names.items()}


def _from_linear(theirs: Weights, names: dict[str, str], heads: int) -> Weights:
    return {ours: _from_linear_layout(ours, theirs[name], heads) for ours, name in names.items()}


def _heads(width: int, path: Path) -> int:
    """How many heads stand side by side. Raises CheckpointError."""
    if width % LINEAR_HEAD:
        raise CheckpointError(
            f"{path} should have attention that divides into heads of {LINEAR_HEAD}, the only ones "
            f"read from files that do not say their size; it is {width} wide"
        )
    return width // LINEAR_HEAD


# ------------------------------------------------------------------ TransformerLens 4


def _bridge_names(n_layers: int) -> dict[str, str]:
    names = _linear_names(
        n_layers,
        embed="embed",
        position="pos_embed.weight",
        final="ln_final",
        unembed="unembed",
        attention=("q", "k", "v", "o"),
        mlp=("in", "out"),
    )
    return names | {"unembed.b_U": "unembed.bias"}


def _from_bridge(found: Weights, path: Path) -> OthelloGPT:
    """What a TransformerBridge saves."""
    d_vocab, d_model = _sizes(found, "embed.weight", 2, path)
    n_ctx, _ = _sizes(found, "pos_embed.weight", 2, path)
    width, _ = _sizes(found, "blocks.0.attn.q.weight", 2, path)
    d_mlp, _ = _sizes(found, "blocks.0.mlp.in.weight", 2, path)
    heads, names = _heads(width, path), _bridge_names(_layers(found))
    shape = Shape(_layers(found), d_model, heads, LINEAR_HEAD, d_mlp, n_ctx, d_vocab)
    expected = _to_linear(OthelloGPT.skeleton(shape, path).state_dict(), names)
    theirs = fitting(_with_norms(found, expected), expected, path)
    return OthelloGPT.of_weights(_from_linear(theirs, names, heads), shape)


# ------------------------------------------------------------------ minGPT


def _mingpt_names(n_layers: int) -> dict[str, str]:
    return _linear_names(
        n_layers,
        embed="tok_emb",
        position="pos_emb",
        final="ln_f",
        unembed="head",
        attention=("query", "key", "value", "proj"),
        mlp=("0", "2"),
    )


def _mingpt_state(weights: Mapping[str, Tensor], n_layers: int) -> Weights:
    state = _to_linear(weights, _mingpt_names(n_layers))
    return state | {"pos_emb": state["pos_emb"].unsqueeze(0)}


def _mingpt_shape(n_layers: int, d_model: int, n_ctx: int, d_vocab: int) -> Shape:
    """The published proportions: what a file does not say."""
    n_heads, d_mlp = d_model // LINEAR_HEAD, 4 * d_model
    return Shape(n_layers, d_model, n_heads, LINEAR_HEAD, d_mlp, n_ctx, d_vocab)


def _to_mingpt(model: OthelloGPT) -> Weights:
    shape = model.shape
    implied = _mingpt_shape(shape.n_layers, shape.d_model, shape.n_ctx, shape.d_vocab)
    _check_implied(model, implied, "mingpt")
    if bool(model.unembed.b_U.any()):
        raise ExportError("a mingpt file has no unembedding bias, this model has one: unembed.b_U")
    state = _mingpt_state(model.state_dict(), shape.n_layers)
    mask = torch.ones(shape.n_ctx, shape.n_ctx).tril()[None, None]
    return state | {f"blocks.{layer}.attn.mask": mask for layer in range(shape.n_layers)}


def _from_mingpt(found: Weights, path: Path) -> OthelloGPT:
    d_vocab, d_model = _sizes(found, "tok_emb.weight", 2, path)
    _, n_ctx, _ = _sizes(found, "pos_emb", 3, path)
    heads = _heads(d_model, path)
    shape = _mingpt_shape(_layers(found), d_model, n_ctx, d_vocab)
    expected = _mingpt_state(OthelloGPT.skeleton(shape, path).state_dict(), shape.n_layers)
    theirs = fitting(found, expected, path)
    theirs["pos_emb"] = theirs["pos_emb"].squeeze(0)
    weights = _from_linear(theirs, _mingpt_names(shape.n_layers), heads)
    weights["unembed.b_U"] = torch.zeros(d_vocab)
    return OthelloGPT.of_weights(weights, shape)
