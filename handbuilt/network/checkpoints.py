"""Models in files: our safetensors, Hugging Face folders, and weights as other programs save them.

``transformer-lens`` is the state dict of a HookedTransformer (Nanda's ``synthetic_model.pth``),
``mingpt`` that of the GPT class of Li et al. 2022 (``gpt_synthetic.ckpt``); both are written by
:func:`export`. More than these is read: :mod:`handbuilt.network.weight_files` gets at the weights,
:mod:`handbuilt.network.schemes` at the model that they are. Tokens need no translation, all number
them as :mod:`extracted_rules.othello.notation` does.
"""

import logging
from dataclasses import replace
from pathlib import Path

import torch

from extracted_rules.errors import UserError
from extracted_rules.files import whole_file
from handbuilt.network import huggingface, weight_files
from handbuilt.network.schemes import D_HEAD, LENS, MINGPT, recognise
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.network.weight_files import Weights

FORMATS = ("safetensors", "huggingface", "transformer-lens", "mingpt")

#: Says on stderr what of a model was assumed, unless a program that uses this listens itself.
log = logging.getLogger(__name__)


class ExportError(UserError):
    """A model that a format cannot hold, or an unknown format; the message is one sentence."""


def load(path: Path, heads: int | None = None) -> OthelloGPT:
    """Read a model from any file or folder that holds one's weights; see the module.

    ``heads``: how many, where the file does not say: else they are taken to be of the usual size.
    What was stripped or assumed is logged as a warning, in one line. Raises CheckpointError.
    """
    if path.is_dir() and "shape" in (config := weight_files.read_config(path)):
        return huggingface.read(path, config)
    found = weight_files.read(path)
    if isinstance(found.says.get("shape"), str):
        return OthelloGPT.of_file(found.weights, dict(found.says), path)
    model, done = recognise(found, heads, path)
    if done:
        log.warning("%s: %s", path, done)
    return model


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


def _check_implied(model: OthelloGPT, implied: Shape, form: str) -> None:
    """Raise ExportError for a model that a reader of the format would take for another one."""
    for name, value in vars(model.shape).items():
        taken = getattr(implied, name)
        if value != taken:
            raise ExportError(
                f"{form} files cannot say that {name} is {value}; it would be {taken}"
            )


def _to_lens(model: OthelloGPT) -> Weights:
    """Our own state dict, and the two buffers of each layer that a strict loading asks for."""
    shape = model.shape
    _check_implied(model, replace(shape, ln_eps=Shape.ln_eps), "transformer-lens")
    mask = torch.ones(shape.n_ctx, shape.n_ctx, dtype=torch.bool).tril()
    state = LENS.write(model.state_dict(), shape.n_layers)
    for layer in range(shape.n_layers):
        state[f"blocks.{layer}.attn.mask"] = mask
        state[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-torch.inf)
    return state


def _to_mingpt(model: OthelloGPT) -> Weights:
    """As their class asks for it: the published proportions, a mask, no unembedding bias."""
    shape = model.shape
    implied = replace(
        shape,
        n_heads=shape.d_model // D_HEAD,
        d_head=D_HEAD,
        d_mlp=4 * shape.d_model,
        ln_eps=Shape.ln_eps,
    )
    _check_implied(model, implied, "mingpt")
    if bool(model.unembed.b_U.any()):
        raise ExportError("a mingpt file has no unembedding bias, this model has one: unembed.b_U")
    state = MINGPT.write(model.state_dict(), shape.n_layers)
    state["pos_emb"] = state["pos_emb"].unsqueeze(0)
    del state[MINGPT.names["unembed.b_U"]]
    mask = torch.ones(shape.n_ctx, shape.n_ctx).tril()[None, None]
    return state | {f"blocks.{layer}.attn.mask": mask for layer in range(shape.n_layers)}
