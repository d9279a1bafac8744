"""A model as a folder of the Hugging Face Hub: configuration, weights and a model card.

``config.json`` says what the model is: its shape and its metadata, the names of a hand-built one
included. ``model.safetensors`` holds the weights alone, ``README.md`` is the card. It is what
huggingface_hub's PyTorchModelHubMixin reads and writes for a class that is also an OthelloGPT.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from extracted_rules.files import whole_folder, write_tensors
from handbuilt.network import weight_files
from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.transformer import OthelloGPT, fitting
from handbuilt.network.weight_files import CONFIG, WEIGHTS, read_config

CARD = "README.md"
ARCHITECTURES = [OthelloGPT.__name__]


def write(model: OthelloGPT, folder: Path) -> None:
    """Write a folder, whole or not at all, in the place of an earlier export if there is one.

    Raises OSError, also where :func:`check_replaceable` does.
    """
    check_replaceable(folder)
    config = {
        "architectures": ARCHITECTURES,
        "shape": asdict(model.shape),
        "metadata": model.metadata,
    }
    # Resolved: of a link, the folder that it leads to is replaced; and "." has no name.
    with whole_folder(folder.resolve()) as partial:
        (partial / CONFIG).write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
        write_tensors(partial / WEIGHTS, model.state_dict(), {"format": "pt"})
        (partial / CARD).write_text(card(model), encoding="utf-8")


def check_replaceable(folder: Path) -> None:
    """Raise OSError if anything is there but an empty folder or an earlier export alone."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OSError(f"cannot write {folder}: it is no folder")
    names = {path.name for path in folder.iterdir()}
    others = sorted(names - {CONFIG, WEIGHTS, CARD})
    if others:
        raise OSError(f"cannot write {folder}: it holds something else, {ascii(others[0])[:80]}")
    if names:
        try:
            describe(folder, read_config(folder))
        except CheckpointError as error:
            raise OSError(f"cannot write {folder}: it is no earlier export; {error}") from None


def read(folder: Path, config: dict[str, Any]) -> OthelloGPT:
    """The model of a folder that :func:`write` wrote, ready for use; ``config``: what it says.

    Raises CheckpointError if that is of another architecture, or the weights are others.
    """
    described, path = describe(folder, config), folder / WEIGHTS
    weights = fitting(weight_files.read(path).weights, described.state_dict(), path)
    return OthelloGPT.of_weights(weights, described.shape, described.metadata)


def describe(folder: Path, config: dict[str, Any]) -> OthelloGPT:
    """The model that a folder's configuration describes, without weights.

    Raises CheckpointError if there is none, or one of another architecture.
    """
    path = folder / CONFIG
    named = config.get("architectures", ARCHITECTURES)  # which the mixin leaves out
    if named != ARCHITECTURES:
        raise CheckpointError(
            f"{path} is of another architecture, {ascii(named)[:80]} instead of {ARCHITECTURES}"
        )
    try:
        shape, metadata = Shape(**config["shape"]), config.get("metadata") or {}
    except (KeyError, TypeError):
        raise CheckpointError(f"{path} holds no Othello-GPT shape") from None
    try:
        "".join(name + text for name, text in metadata.items()).encode()
    except (AttributeError, TypeError, UnicodeEncodeError):
        raise CheckpointError(f"{path} should hold metadata that is texts by name") from None
    described = OthelloGPT.skeleton(shape, path)
    described.metadata = metadata
    return described


def _introduction(said: dict[str, str]) -> str:
    """What the model is, and what its file says of how it was made."""
    paragraphs = [
        "A transformer that reads the moves of an Othello game and predicts the next one, in the "
        "architecture of [Li et al. 2022](https://arxiv.org/abs/2210.13382): pre-LayerNorm "
        "blocks, exact GELU, learned positions, untied unembedding."
    ]
    if "layout" in said:
        paragraphs.append(
            "Every weight is computed from rules, none was trained. Each direction, head and "
            "neuron in use has a name and a sentence, which `handbuilt describe` prints."
        )
    words = ": ".join(said[key] for key in ("recipe", "description") if key in said)
    if words:
        paragraphs.append("Recipe " + " ".join(words.split()))
    return "\n\n".join(paragraphs)


def card(model: OthelloGPT) -> str:
    """The model card: front matter for the Hub, and Markdown for its readers."""
    shape, geometry = model.shape, model.geometry
    numbers = sum(parameter.numel() for parameter in model.parameters())
    return f"""\
---
library_name: handbuilt-othello-gpt
tags:
- othello
- othello-gpt
- interpretability
---

# Othello-GPT

{_introduction(model.metadata)}

| | |
| --- | ---: |
| layers | {shape.n_layers} |
| d_model | {shape.d_model} |
| heads | {shape.n_heads} of {shape.d_head} |
| d_mlp | {shape.d_mlp} |
| positions | {shape.n_ctx} |
| tokens | {shape.d_vocab} |
| LayerNorm's eps | {shape.ln_eps} |
| weights | {numbers:,} |

## Use

With `handbuilt-othello-gpt` installed and this folder downloaded:

```python
import comparison

model = comparison.load_model("path/of/this/folder")
# int64 [games, moves] -> float32 [games, moves, {shape.d_vocab}]
logits, cache = model.run_with_cache(tokens)
```

Tokens 1 to {shape.d_vocab - 1} are the squares from A1, B1 to {geometry.labels[-1]} without the \
four of the centre; 0 is no move. The
activations in `cache` are named as TransformerLens names its hooks. On the command line:

```
handbuilt evaluate path/of/this/folder
```
"""
