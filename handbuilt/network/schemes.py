"""How other programs name and lay out an Othello-GPT's tensors, and what model such tensors are.

A scheme is a table of names; what a file calls its tensors tells which one it follows. The sizes of
the model follow from those of its tensors. What no tensor says, the number of heads where they lie
side by side, the activation and LayerNorm's eps, a file says beside its weights or not at all: it
is then taken as published models have it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.transformer import OthelloGPT, fitting
from handbuilt.network.weight_files import Found, Weights

#: Heads are this wide where a file does not say how many there are.
D_HEAD = Shape().d_head
#: Endings of the names of causal masks, which are the same in every model.
MASKS = (".attn.mask", ".attn.IGNORE", ".attn.bias", ".attn.masked_bias")
#: What a file may lack, all of it alike, as it is 1 (LayerNorm's gains) or 0 in the model.
OPTIONAL = {
    r"\bln(1|2|_final)\.": "no LayerNorm gains and biases, ones and zeros taken",
    r"\bln(1|2|_final)\.b": "no LayerNorm biases, zeros taken",
    r"\b(attn|mlp)\.b_": "no biases of attention and MLP, zeros taken",
    r"\bunembed\.b_U": "no unembedding bias, zeros taken",
}


@dataclass(frozen=True)
class Scheme:
    """One family of programs.

    names: ours to theirs, with ``*`` for the number of a layer. linear:
    in the layout of torch's linear layers. tied: embedding and unembedding may be one tensor.
    """

    names: Mapping[str, str]
    linear: bool = True
    tied: bool = False

    def of_layers(self, n_layers: int) -> dict[str, str]:
        """The names of a whole model."""
        return {
            ours.replace("*", str(layer)): theirs.replace("*", str(layer))
            for ours, theirs in self.names.items()
            for layer in range(n_layers if "*" in ours else 1)
        }

    def write(self, ours: Mapping[str, Tensor], n_layers: int) -> Weights:
        """A model's weights under their names and in their layout."""
        change = _to_linear if self.linear else _unchanged
        return {
            theirs: change(name, ours[name]) for name, theirs in self.of_layers(n_layers).items()
        }


def _names(
    block: str,
    ends: tuple[str, str, str, str],
    norms: tuple[str, str],
    attention: tuple[str, str, str, str],
    mlp: tuple[str, str],
) -> dict[str, str]:
    """Where each of our layers is one of theirs, with a weight and a bias. ``ends``: the embedding,
    the tensor of positions, the last LayerNorm, the unembedding."""
    embed, position, final, unembed = ends
    layers = {"unembed.{}_U": unembed, "ln_final.{}": final}
    for ours, theirs in (
        ("ln1.{}", norms[0]),
        ("ln2.{}", norms[1]),
        *((f"attn.{{}}_{part}", name) for part, name in zip("QKVO", attention, strict=True)),
        ("mlp.{}_in", mlp[0]),
        ("mlp.{}_out", mlp[1]),
    ):
        layers[f"blocks.*.{ours}"] = f"{block}.{theirs}"
    names = {"embed.W_E": f"{embed}.weight", "pos_embed.W_pos": position}
    for ours, theirs in layers.items():
        weight, bias = ("w", "b") if "ln" in ours else ("W", "b")
        names |= {ours.format(weight): f"{theirs}.weight", ours.format(bias): f"{theirs}.bias"}
    return names


#: Of Li et al. 2022.
MINGPT = Scheme(
    _names(
        "blocks.*",
        ("tok_emb", "pos_emb", "ln_f", "head"),
        ("ln1", "ln2"),
        ("attn.query", "attn.key", "attn.value", "attn.proj"),
        ("mlp.0", "mlp.2"),
    ),
)
#: Of Hugging Face's GPT-2 as well.
NANOGPT = Scheme(
    _names(
        "transformer.h.*",
        ("transformer.wte", "transformer.wpe.weight", "transformer.ln_f", "lm_head"),
        ("ln_1", "ln_2"),
        ("attn.c_attn.query", "attn.c_attn.key", "attn.c_attn.value", "attn.c_proj"),
        ("mlp.c_fc", "mlp.c_proj"),
    ),
    tied=True,
)
#: What TransformerLens 4 saves; its layers are torch's.
BRIDGE = Scheme(
    _names(
        "blocks.*",
        ("embed", "pos_embed.weight", "ln_final", "unembed"),
        ("ln1", "ln2"),
        ("attn.q", "attn.k", "attn.v", "attn.o"),
        ("mlp.in", "mlp.out"),
    ),
)
#: Of TransformerLens before, and ours.
LENS = Scheme({name: name for name in BRIDGE.names}, linear=False)
SCHEMES = (LENS, BRIDGE, MINGPT, NANOGPT)


# ------------------------------------------------------------------ layouts


def _unchanged(_: str, tensor: Tensor) -> Tensor:
    return tensor


def _to_linear(name: str, ours: Tensor) -> Tensor:
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


def _from_linear(name: str, theirs: Tensor, heads: int) -> Tensor:
    """The inverse of :func:`_to_linear`."""
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


def _apart(found: Weights) -> Weights:
    """One tensor for each row of the tables, no masks, linear layers as torch has them.

    Queries, keys and values may be one layer ``c_attn``; in Hugging Face's GPT-2, layers ``c_...``
    are [in, out]; positions may have a leading axis of size 1.
    """
    apart: Weights = {}
    for name, tensor in found.items():
        layer, _, kind = name.rpartition(".")
        stem, _, last = layer.rpartition(".")
        if name.endswith(MASKS):
            continue
        if last.startswith("c_") and kind == "weight" and tensor.dim() == 2:
            fused = found.get(stem.rpartition(".")[0] + ".attn.c_attn.weight", tensor)
            if fused.dim() == 2 and fused.shape[1] == 3 * fused.shape[0]:
                tensor = tensor.T
        if last == "c_attn" and tensor.dim():
            for part, one in zip(("query", "key", "value"), tensor.chunk(3), strict=False):
                apart[f"{layer}.{part}.{kind}"] = one
        elif name == "pos_emb" and tensor.dim() == 3 and len(tensor) == 1:
            apart[name] = tensor[0]
        else:
            apart[name] = tensor
    return apart


# ------------------------------------------------------------------ reading


def recognise(found: Found, heads: int | None, path: Path) -> tuple[OthelloGPT, str]:
    """The model whose weights were found under other programs' names, and what was stripped or
    assumed, in words. ``heads``: how many, if the file does not say. Raises CheckpointError."""
    done = list(found.done)
    scheme, prefix = _scheme(found.weights, path)
    if prefix:
        done.append(f"prefix {ascii(prefix)[:80]} stripped")
    theirs = _apart(_stripped(found.weights, prefix, path))
    if scheme.tied:
        done += _untie(theirs, scheme)
    shape, assumed = _shape(theirs, scheme, found.says, heads, path)
    ours = OthelloGPT.skeleton(shape, path).state_dict()
    expected = scheme.write(ours, shape.n_layers)
    names = scheme.of_layers(shape.n_layers)
    for pattern, words in OPTIONAL.items():
        lacking = [name for name in ours if re.search(pattern, name)]
        if not any(names[name] in theirs for name in lacking):
            done.append(words)
            for name in lacking:
                make = torch.ones if name.endswith(".w") else torch.zeros
                theirs[names[name]] = make(expected[names[name]].shape)
    theirs = fitting(theirs, expected, path)
    weights = {name: theirs[their_name] for name, their_name in names.items()}
    if scheme.linear:
        weights = {name: _from_linear(name, t, shape.n_heads) for name, t in weights.items()}
    done += [f"{' and '.join(assumed)} assumed"] if assumed else []
    return OthelloGPT.of_weights(weights, shape), "; ".join(done)


def _scheme(found: Mapping[str, Tensor], path: Path) -> tuple[Scheme, str]:
    """The scheme that names follow, and what stands before them."""
    known = {scheme.names["pos_embed.W_pos"]: scheme for scheme in SCHEMES}
    fits = [
        (scheme, name.removesuffix(position))
        for position, scheme in known.items()
        for name in found
        if f".{name}".endswith(f".{position}")
    ]
    if not fits:
        raise CheckpointError(
            f"{path} holds another kind of model: it has none of {', '.join(known)}, by which "
            "those of TransformerLens, minGPT and nanoGPT are known, but "
            f"{ascii(list(found)[:3])[1:-1][:80] or 'nothing'}"
        )
    if len(fits) > 1:
        raise CheckpointError(
            f"{path} holds several models, under {ascii([p for _, p in fits])[1:-1][:80]}; save one"
        )
    return fits[0]


def _stripped(found: Weights, prefix: str, path: Path) -> Weights:
    other = [name for name in found if not name.startswith(prefix)]
    if other:
        raise CheckpointError(
            f"{path} holds something beside the model under {ascii(prefix)[:80]}: "
            f"{ascii(other[0])[:80]}"
        )
    return {name.removeprefix(prefix): tensor for name, tensor in found.items()}


def _untie(theirs: Weights, scheme: Scheme) -> list[str]:
    """Both names for what may be saved under one."""
    embed, unembed = scheme.names["embed.W_E"], scheme.names["unembed.W_U"]
    for name, other in ((embed, unembed), (unembed, embed)):
        if name not in theirs and other in theirs:
            theirs[name] = theirs[other]
            return [f"no {name}, {other} taken for it"]
    return []


def _shape(
    theirs: Weights, scheme: Scheme, says: Mapping[str, Any], heads: int | None, path: Path
) -> tuple[Shape, list[str]]:
    """The sizes that a model's tensors have, and what neither they nor the file say, in words."""

    def sizes(ours: str, axes: int = 2) -> tuple[int, ...]:
        name = scheme.names[ours].replace("*", "0")
        size = tuple(theirs[name].shape) if name in theirs else ()
        if len(size) != axes:
            raise CheckpointError(
                f"{path} is not this model: {name} should have {axes} axes, found "
                f"{size or 'nothing'}"
            )
        return size

    d_vocab, d_model = sizes("embed.W_E")
    n_ctx, _ = sizes("pos_embed.W_pos")
    assumed = []
    if scheme.linear:
        width, _ = sizes("blocks.*.attn.W_Q")
        d_mlp, _ = sizes("blocks.*.mlp.W_in")
        said = [heads, *(says[name] for name in ("n_head", "n_heads") if name in says)]
        n_heads = next((n for n in said if type(n) is int and n > 0), None)
        if n_heads is None:
            n_heads = _usual_heads(width, path)
            assumed.append(f"{n_heads} heads of {D_HEAD}")
        if width % n_heads:
            raise CheckpointError(f"{path} has attention {width} wide, not of {n_heads} heads")
        d_head = width // n_heads
    else:
        n_heads, _, d_head = sizes("blocks.*.attn.W_Q", 3)
        _, d_mlp = sizes("blocks.*.mlp.W_in")
    eps, more = _unweighed(says, path)
    block = re.escape(scheme.names["blocks.*.ln1.w"].partition("*")[0])
    n_layers = len({m[1] for name in theirs if (m := re.match(rf"{block}(\d+)\.", name))})
    shape = Shape(n_layers, d_model, n_heads, d_head, d_mlp, n_ctx, d_vocab, eps)
    return shape, assumed + more


def _usual_heads(width: int, path: Path) -> int:
    if not width or width % D_HEAD:
        raise CheckpointError(
            f"{path} does not say how many heads it has, and its attention, {width} wide, does not "
            f"divide into heads of {D_HEAD}; say their number (--heads)"
        )
    return width // D_HEAD


def _unweighed(says: Mapping[str, Any], path: Path) -> tuple[float, list[str]]:
    """LayerNorm's eps, and in words what of it and the activation the file does not say."""
    activation, eps = says.get("activation_function"), says.get("layer_norm_epsilon")
    told = isinstance(activation, str)
    if told and activation != "gelu":
        raise CheckpointError(
            f"{path} is a model of the activation {ascii(activation)[:80]}; exact GELU is the only "
            "one here"
        )
    assumed = [] if told else ["exact GELU"]
    if type(eps) is float:
        return eps, assumed
    return Shape.ln_eps, [*assumed, f"a LayerNorm eps of {Shape.ln_eps:g}"]
