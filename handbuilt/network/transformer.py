"""Othello-GPT, the whole model: a plain GPT with TransformerLens names.

Pre-LayerNorm blocks, exact (erf) GELU, learned positions, untied unembedding (Li et al. 2022,
arXiv 2210.13382). Hand-built and trained weights load into this same class; parameters carry the
names and layouts of TransformerLens (``blocks.0.attn.W_Q`` is [heads, d_model, d_head]) and
activations the names of its hooks (``blocks.3.mlp.hook_post``).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from html import escape
from pathlib import Path

import torch
from torch import Tensor, nn

from extracted_rules.files import read_tensors, write_tensors
from extracted_rules.othello.geometry import Geometry
from handbuilt.network.layout import Layout
from handbuilt.network.shape import CheckpointError, Shape

#: No size of a model read from a file may exceed this.
MAX_SIZE = 2**16
#: Nor may its causal masks, the one part that grows with the square of a size, have more entries.
MAX_MASKS = 2**24
#: What weights may be stored as; they are used as float32.
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

#: Sees an activation's name and value, and gives back what the model goes on with.
Keep = Callable[[str, Tensor], Tensor]
#: Which activations: a name, several, or what is true of their names; all without one.
NamesFilter = str | Sequence[str] | Callable[[str], bool] | None


@dataclass(frozen=True)
class HookPoint:
    """Where a hook is called: the activation's TransformerLens name."""

    name: str


#: Called as ``hook(value, hook=HookPoint(name))``; the model goes on with what it gives back, or
#: with the value as it was if that is None.
Hook = Callable[..., Tensor | None]


def _wanted(names: NamesFilter) -> Callable[[str], bool]:
    if names is None:
        return lambda _: True
    if callable(names):
        return names
    chosen = {names} if isinstance(names, str) else set(names)
    return chosen.__contains__


def _weights(*sizes: int) -> nn.Parameter:
    return nn.Parameter(torch.zeros(*sizes))


class LayerNorm(nn.Module):
    """LayerNorm over the last axis with gain ``w`` and bias ``b``."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.eps = shape.ln_eps
        self.w = nn.Parameter(torch.ones(shape.d_model))
        self.b = _weights(shape.d_model)

    def forward(self, x: Tensor, keep: Keep) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        scale = keep("hook_scale", (centred.square().mean(-1, keepdim=True) + self.eps).sqrt())
        return keep("hook_normalized", centred / scale) * self.w + self.b


class Attention(nn.Module):
    """Causal multi-head attention.

    With ``fused`` set, scores and pattern are never written down (nor shown to hooks): the faster
    form for training.
    """

    causal: Tensor
    fused: bool = False

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        heads, d_model, d_head = shape.n_heads, shape.d_model, shape.d_head
        self.W_Q = _weights(heads, d_model, d_head)
        self.W_K = _weights(heads, d_model, d_head)
        self.W_V = _weights(heads, d_model, d_head)
        self.W_O = _weights(heads, d_head, d_model)
        self.b_Q = _weights(heads, d_head)
        self.b_K = _weights(heads, d_head)
        self.b_V = _weights(heads, d_head)
        self.b_O = _weights(d_model)
        # On the CPU even in a skeleton: tril on the meta device makes PyTorch import for a second.
        causal = torch.ones(shape.n_ctx, shape.n_ctx, dtype=torch.bool, device="cpu").tril()
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, x: Tensor, keep: Keep) -> Tensor:
        def project(W: Tensor, b: Tensor) -> Tensor:  # [B, T, heads, d_head]
            heads, d_model, d_head = W.shape
            flat = x @ W.transpose(0, 1).reshape(d_model, heads * d_head) + b.flatten()
            return flat.view(*x.shape[:-1], heads, d_head)

        q = keep("hook_q", project(self.W_Q, self.b_Q))
        k = keep("hook_k", project(self.W_K, self.b_K))
        v = keep("hook_v", project(self.W_V, self.b_V))
        z = keep("hook_z", self._mix(q, k, v, keep))
        return z.flatten(-2) @ self.W_O.flatten(0, 1) + self.b_O

    def _mix(self, q: Tensor, k: Tensor, v: Tensor, keep: Keep) -> Tensor:
        """Values [B, T, heads, d_head] averaged as queries and keys say."""
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        if self.fused:
            fused = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return fused.transpose(1, 2)
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        seen = self.causal[: q.shape[2], : q.shape[2]]
        scores = keep("hook_attn_scores", scores.masked_fill(~seen, float("-inf")))
        pattern = keep("hook_pattern", scores.softmax(-1))  # [B, heads, query, key]
        return (pattern @ v).transpose(1, 2)


class MLP(nn.Module):
    """One hidden layer of exact GELU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.W_in = _weights(shape.d_model, shape.d_mlp)
        self.b_in = _weights(shape.d_mlp)
        self.W_out = _weights(shape.d_mlp, shape.d_model)
        self.b_out = _weights(shape.d_model)

    def forward(self, x: Tensor, keep: Keep) -> Tensor:
        pre = keep("hook_pre", x @ self.W_in + self.b_in)
        return keep("hook_post", nn.functional.gelu(pre)) @ self.W_out + self.b_out


def _within(keep: Keep, prefix: str) -> Keep:
    return lambda name, value: keep(f"{prefix}.{name}", value)


class Block(nn.Module):
    """LayerNorm, attention, LayerNorm, MLP around the residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.ln1, self.attn = LayerNorm(shape), Attention(shape)
        self.ln2, self.mlp = LayerNorm(shape), MLP(shape)

    def forward(self, x: Tensor, keep: Keep) -> Tensor:
        x = keep("hook_resid_pre", x)
        normalized = self.ln1(x, _within(keep, "ln1"))
        x = x + keep("hook_attn_out", self.attn(normalized, _within(keep, "attn")))
        x = keep("hook_resid_mid", x)
        normalized = self.ln2(x, _within(keep, "ln2"))
        x = x + keep("hook_mlp_out", self.mlp(normalized, _within(keep, "mlp")))
        return keep("hook_resid_post", x)


class Embed(nn.Module):
    """A vector for each token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.W_E = _weights(shape.d_vocab, shape.d_model)

    def forward(self, tokens: Tensor) -> Tensor:
        # Not W_E[tokens], whose gradient adds up in no fixed order.
        return nn.functional.embedding(tokens, self.W_E)


class PosEmbed(nn.Module):
    """A vector for each position."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.W_pos = _weights(shape.n_ctx, shape.d_model)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.W_pos[: tokens.shape[1]].expand(len(tokens), -1, -1)


class Unembed(nn.Module):
    """Logits from the residual stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.W_U = _weights(shape.d_model, shape.d_vocab)
        self.b_U = _weights(shape.d_vocab)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.W_U + self.b_U


class OthelloGPT(nn.Module):
    """The model, all zeros but for LayerNorm's gains: train it, load it, compile it.

    ``metadata``: a flat dict of strings (recipe, version, description ...), saved with it."""

    def __init__(self, shape: Shape | None = None, metadata: dict[str, str] | None = None) -> None:
        super().__init__()
        self.shape = shape or Shape()
        self.metadata = dict(metadata or {})
        self.embed = Embed(self.shape)
        self.pos_embed = PosEmbed(self.shape)
        self.blocks = nn.ModuleList(Block(self.shape) for _ in range(self.shape.n_layers))
        self.ln_final = LayerNorm(self.shape)
        self.unembed = Unembed(self.shape)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits float32 [B, T, 61] of tokens int64 [B, T <= 59].

        Position t has seen moves 0..t and predicts move t + 1. Raises ValueError for another
        dtype, shape or a token outside 0..60.
        """
        return self._run(tokens, lambda _, value: value)

    @property
    def geometry(self) -> Geometry:
        """The board of its games. Raises BoardError for a vocabulary that no board has."""
        return self.shape.geometry

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.unembed.W_U.device

    @property
    def has_names(self) -> bool:  # of heads, neurons and directions
        return "layout" in self.metadata

    @property
    def is_handbuilt(self) -> bool:
        """Whether rules were compiled into it; the names of a transcript are of a trained one."""
        return self.has_names and "transcript" not in self.metadata

    @property
    def layout(self) -> Layout:
        """Its names. Raises CheckpointError for a model without any."""
        if not self.has_names:
            raise CheckpointError("this model is not hand-built: it carries no names")
        return Layout.from_json(self.metadata["layout"], self.shape)

    def fingerprint(self) -> str:
        """SHA-256 over the names and float32 values of its weights."""
        digest = sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy())
        return digest.hexdigest()

    def run_with_cache(
        self, tokens: Tensor, names_filter: NamesFilter = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits as in :meth:`forward`, and activations under their TransformerLens names: all of
        them, or those that ``names_filter`` names or says yes to."""
        cache: dict[str, Tensor] = {}
        wanted = _wanted(names_filter)

        def keep(name: str, value: Tensor) -> Tensor:
            if wanted(name):
                cache[name] = value
            return value

        return self._run(tokens, keep), cache

    def run_with_hooks(
        self, tokens: Tensor, fwd_hooks: Sequence[tuple[NamesFilter, Hook]] = ()
    ) -> Tensor:
        """Logits as in :meth:`forward`, with hooks called in their order at the activations that
        each names, as in TransformerLens: ``hook(value, hook=...)`` gives back what the model goes
        on with, or None."""
        hooks = [(_wanted(names), hook) for names, hook in fwd_hooks]

        def run(name: str, value: Tensor) -> Tensor:
            for wanted, hook in hooks:
                if wanted(name):
                    changed = hook(value, hook=HookPoint(name))
                    value = value if changed is None else changed
            return value

        return self._run(tokens, run)

    def _run(self, tokens: Tensor, hook: Keep) -> Tensor:
        """Logits as in :meth:`forward`, with every activation replaced by ``hook(name, value)``."""
        if not torch.compiler.is_compiling():  # the check looks at values, a compiled graph cannot
            self._check(tokens)
        x = hook("hook_embed", self.embed(tokens))
        x = x + hook("hook_pos_embed", self.pos_embed(tokens))
        for layer, block in enumerate(self.blocks):
            x = block(x, _within(hook, f"blocks.{layer}"))
        logits: Tensor = self.unembed(self.ln_final(x, _within(hook, "ln_final")))
        return logits.float()

    def _repr_html_(self) -> str:
        """For notebooks: what the model is, and its sizes."""
        numbers = sum(parameter.numel() for parameter in self.parameters())
        rows = {
            "recipe": self.metadata.get("recipe", "unknown"),
            "description": self.metadata.get("description", ""),
            "shape": ", ".join(f"{name} {size}" for name, size in asdict(self.shape).items()),
            "parameters": f"{numbers:,}",
        }
        cells = "".join(
            f"<tr><th>{name}</th><td style='text-align:left'>{escape(text)}</td></tr>"
            for name, text in rows.items()
            if text
        )
        return f"<b>OthelloGPT</b><table>{cells}</table>"

    def _check(self, tokens: Tensor) -> None:
        if tokens.dtype != torch.int64:
            raise ValueError(f"tokens must be int64, got {tokens.dtype}")
        if tokens.dim() != 2 or not 1 <= tokens.shape[1] <= self.shape.n_ctx:
            raise ValueError(
                f"tokens must be [games, 1..{self.shape.n_ctx}], got {list(tokens.shape)}"
            )
        if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < self.shape.d_vocab:
            raise ValueError(f"tokens must lie in 0..{self.shape.d_vocab - 1}")

    def save(self, path: str | Path) -> None:
        """Weights, shape and metadata as safetensors, whole or not at all. Raises OSError."""
        metadata = {**self.metadata, "shape": json.dumps(asdict(self.shape))}
        write_tensors(Path(path), self.state_dict(), metadata)

    @classmethod
    def load(cls, path: str | Path) -> "OthelloGPT":
        """Read what :meth:`save` wrote. Raises CheckpointError for anything else."""
        path = Path(path)
        try:
            weights, metadata = read_tensors(path)
        except OSError as error:
            raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from None
        return cls.of_file(weights, metadata, path)

    @classmethod
    def of_file(
        cls, weights: Mapping[str, Tensor], metadata: dict[str, str], path: Path
    ) -> "OthelloGPT":
        """As :meth:`load`, of what was read from ``path``."""
        try:
            shape = Shape(**json.loads(metadata["shape"]))
        except (KeyError, TypeError, ValueError, RecursionError):
            raise CheckpointError(f"{path} holds no Othello-GPT shape in its metadata") from None
        model = cls.skeleton(shape, path)
        weights = fitting(weights, model.state_dict(), path)
        return cls.of_weights(weights, shape, {k: v for k, v in metadata.items() if k != "shape"})

    @classmethod
    def skeleton(cls, shape: Shape, path: Path) -> "OthelloGPT":
        """Names and sizes of a model read from a file, without the memory that it claims.

        Raises CheckpointError for a shape that no model of Othello has.
        """
        sizes = [size for name, size in vars(shape).items() if name != "ln_eps"]
        if (
            not all(type(size) is int and 0 < size <= MAX_SIZE for size in sizes)
            or shape.n_layers * shape.n_ctx**2 > MAX_MASKS
            or type(shape.ln_eps) is not float
            or not 0 <= shape.ln_eps < 1
        ):
            raise CheckpointError(f"{path} holds no Othello-GPT shape: {shape}")
        with torch.device("meta"):
            return cls(shape)

    @classmethod
    def of_weights(
        cls, weights: Mapping[str, Tensor], shape: Shape, metadata: dict[str, str] | None = None
    ) -> "OthelloGPT":
        """A model, ready for use, with a copy of the weights of this class's names and sizes."""
        model = cls(shape, metadata)
        model.load_state_dict(weights)
        return model.eval()


def fitting(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path
) -> dict[str, Tensor]:
    """What a file holds as float32, if names and sizes are as expected and all numbers finite.

    Raises CheckpointError, naming ``path`` and the first tensor that is wrong.
    """
    for name in sorted(expected.keys() | found.keys()):
        sizes = [tuple(side[name].shape) if name in side else None for side in (expected, found)]
        if sizes[0] != sizes[1]:
            shown = ascii(name)[1:-1][:80]  # a name from a file can be anything, line breaks too
            raise CheckpointError(
                f"{path} is not this model: {shown} should be {sizes[0] or 'absent'}, "
                f"found {sizes[1] or 'nothing'}"
            )
    for name, tensor in found.items():
        if tensor.dtype not in FLOATS or not bool(tensor.float().isfinite().all()):
            raise CheckpointError(
                f"{path} holds weights that are no finite numbers: {name} ({tensor.dtype})"
            )
    return {name: tensor.float() for name, tensor in found.items()}
