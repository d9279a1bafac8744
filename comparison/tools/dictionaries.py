"""A sparse autoencoder and a transcoder, by SAELens.

SAELens trains autoencoders; transcoders it only has (6.54), so theirs is trained here, by the same
loss: the squared error, with the k largest features of each position (Gao et al. 2024, arXiv
2406.04093; Dunefsky et al. 2024, arXiv 2406.11944).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from comparison.testbed.libraries import library
from comparison.testbed.result import Found, about
from comparison.tools.readouts import stream_at
from extracted_rules.conditions import there
from handbuilt.analysis.streams import moves_of, random_replays
from handbuilt.network.transformer import OthelloGPT

#: Games that dictionaries are trained on.
PURPOSE = "tools-dictionaries"


@dataclass(frozen=True)
class Settings:
    """features: of a dictionary, of which k are active at a position; batch: positions a step."""

    features: int = 1024
    k: int = 32
    steps: int = 600
    batch: int = 1024
    rate: float = 4e-3
    games: int = 2000
    seed: int = 1


@dataclass(frozen=True)
class Scaled:
    """Activations [N, d] less their mean, and of mean square 1; vectors of the model's scale."""

    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, rows: Tensor) -> "Scaled":
        mean = rows.mean(0)
        return cls(mean, (rows - mean).square().mean().sqrt())

    def __call__(self, rows: Tensor) -> Tensor:
        return (rows - self.mean) / self.scale

    def back(self, rows: Tensor) -> Tensor:
        """As they were before."""
        return rows * self.scale + self.mean


@dataclass(frozen=True)
class Dictionary(Found):
    """explained: the share of the variance of what it is to give back, on the games shown."""

    explained: float


def _explained(wanted: Tensor, given: Tensor) -> float:
    rest = (wanted - given).square().sum()
    return float(1 - rest / (wanted - wanted.mean((0, 1))).square().sum())


def _saelens(part: str = "") -> Any:
    return library(f"sae_lens{part}", "autoencoders are trained by SAELens")


@torch.inference_mode()
def activations(
    model: OthelloGPT,
    places: Sequence[str],
    settings: Settings,
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Tensor]:
    """float32 [N, d], by place: of all positions of the games after which a side can move."""
    found: dict[str, list[Tensor]] = {place: [] for place in places}
    for played in random_replays(model, settings.games, settings.seed, PURPOSE):
        _, cache = model.run_with_cache(moves_of(played), list(places))
        where = there(played, played.geometry.context)
        for place, rows in found.items():
            rows.append(cache[place][where].float())
        progress(len(played.tokens))
    return {place: torch.cat(rows) for place, rows in found.items()}


def places(layer: int) -> tuple[str, str, str]:
    """Where an MLP reads, where it writes, and the stream behind it."""
    part = f"blocks.{layer}"
    return f"{part}.ln2.hook_normalized", f"{part}.hook_mlp_out", f"{part}.hook_resid_post"


def autoencoder(
    model: OthelloGPT, place: str, rows: Tensor, settings: Settings, shown: Tensor
) -> Dictionary:
    """A TopK autoencoder of the stream at a place, from rows [N, d_model] of it: its decoder, and
    its features on some games int64 [games, plies]. Raises MissingLibraryError."""
    lens = _saelens()
    torch.manual_seed(settings.seed)
    scaled = Scaled.of(rows)
    asked = lens.TopKTrainingSAEConfig(
        d_in=rows.shape[1], d_sae=settings.features, k=settings.k, device=str(model.device)
    )
    sae = lens.TopKTrainingSAE(asked)
    batches = _batches(scaled(rows), settings)
    trainer = _saelens(".training.sae_trainer").SAETrainer(
        _saelens(".config").SAETrainerConfig(
            total_training_samples=settings.steps * settings.batch,
            train_batch_size_samples=settings.batch,
            lr=settings.rate,
            lr_end=settings.rate,
            device=str(model.device),
        ),
        sae,
        batches,
    )
    for batch in batches:  # as its own loop does, which draws a bar
        trainer.step(batch)
        trainer.n_training_steps += 1
    with torch.inference_mode():
        stream = scaled(stream_at(model, place, shown))
        features = sae.encode(stream)
        explained = _explained(stream, sae.decode(features))
    arrays = {"directions": sae.W_dec.detach(), "activations": features, "games": shown}
    return Dictionary(about(model, place), arrays, explained)


@dataclass(frozen=True)
class Transcoder:
    """What an MLP writes, from what it reads, through sparse features. found: by SAELens; read,
    written: how it is told both."""

    found: Any
    read: Scaled
    written: Scaled

    def features(self, rows: Tensor) -> Tensor:
        """float32 [..., features], of what the MLP reads [..., d_model]."""
        given: Tensor = self.found.encode(self.read(rows))
        return given

    def __call__(self, rows: Tensor) -> Tensor:
        return self.written.back(self.found.decode(self.features(rows)))


def train_transcoder(read: Tensor, written: Tensor, settings: Settings) -> Transcoder:
    """From what an MLP reads and writes, [N, d_model] each. Raises MissingLibraryError."""
    lens = _saelens()
    torch.manual_seed(settings.seed)
    scale_in, scale_out = Scaled.of(read), Scaled.of(written)
    width, topk = read.shape[1], _saelens(".saes.topk_sae").TopK(settings.k)

    class Sparse(lens.Transcoder):  # type: ignore[misc, name-defined]
        def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
            return topk  # type: ignore[no-any-return]

    asked = lens.TranscoderConfig(
        d_in=width, d_out=width, d_sae=settings.features, apply_b_dec_to_input=False
    )
    found = Sparse(asked).to(read.device)
    optimizer = torch.optim.Adam(found.parameters(), lr=settings.rate)
    for batch in _batches(torch.cat([scale_in(read), scale_out(written)], 1), settings):
        answers = found(batch[:, :width])
        loss = (answers - batch[:, width:]).square().sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return Transcoder(found.requires_grad_(False), scale_in, scale_out)


def transcoder(
    model: OthelloGPT, layer: int, seen: Mapping[str, Tensor], settings: Settings, shown: Tensor
) -> Dictionary:
    """One of a layer's MLP, from rows of its places; in the result its features are directions of
    the stream behind the layer. Raises MissingLibraryError."""
    source, target, behind = places(layer)
    found = train_transcoder(seen[source], seen[target], settings)
    read, written = (stream_at(model, place, shown) for place in (source, target))
    arrays = {"directions": found.found.W_dec, "activations": found.features(read), "games": shown}
    return Dictionary(about(model, behind), arrays, _explained(written, found(read)))


def _batches(rows: Tensor, settings: Settings) -> Iterator[Tensor]:
    generator = torch.Generator().manual_seed(settings.seed)
    for _ in range(settings.steps):
        yield rows[torch.randint(len(rows), (settings.batch,), generator=generator)]
