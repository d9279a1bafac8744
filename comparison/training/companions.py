"""What a model is measured and read with: its threshold, its probes, its catalogue of rules.

The project's trained model came with all three, its recipes and transcripts with thresholds. For
any other a threshold is chosen now, and probes are fitted for a trained one; where directions have
names, none are needed.
"""

import torch
from torch import nn

from comparison.reading.probes import Probes, fit_probes, named_probes
from comparison.scoring.bench import THRESHOLD_GAMES, Bars, choose_threshold, no_bars
from comparison.training import reference
from comparison.training.models import REFERENCE
from extracted_rules import catalogue
from extracted_rules.catalogue import Catalogue
from handbuilt.network.transformer import OthelloGPT
from handbuilt.strengths import kept_threshold
from handbuilt.transcripts import transcript as transcripts
from handbuilt.transcripts.program import TAU
from handbuilt.transcripts.transcript import Transcript

#: Games that probes are fitted on where none came with a model; fewer than for figures about them.
FITTED_ON = 500


def threshold(
    name: str,
    model: nn.Module,
    seed: int,
    device: torch.device,
    bars: Bars = no_bars,
    games: int | None = None,
) -> float:
    """The probability above which a model predicts a move: it came with the trained model and
    with recipes, any other's is chosen on ``games`` random games, THRESHOLD_GAMES unless said."""
    if name == REFERENCE:
        return reference.Manifest.read(reference.FOLDER).tau
    if isinstance(model, OthelloGPT):
        if tau := model.metadata.get(TAU):
            return float(tau)
        if kept := kept_threshold(model.fingerprint()):
            return kept
    games = games or THRESHOLD_GAMES
    return choose_threshold(model, seed, device, games, progress=bars(f"{name}: tau", games))


def probes(
    name: str, model: nn.Module, bars: Bars = no_bars, games: int = FITTED_ON
) -> Probes | None:
    """What reads a trained model's board, by its names where it has them; None for hand-built ones
    and baselines."""
    if not isinstance(model, OthelloGPT) or model.is_handbuilt:
        return None
    if model.has_names:
        return named_probes(model)
    if name == REFERENCE:
        return Probes.load(reference.FOLDER / reference.PROBES, model)
    step = bars(f"{name}: probes", games * model.shape.n_ctx)
    return fit_probes(model, games, progress=step)


def transcript(model: OthelloGPT) -> Transcript | None:
    """The project's transcript if it is of this model. Raises TranscriptError."""
    path = reference.FOLDER / reference.TRANSCRIPT
    known = transcripts.read(path) if path.exists() else None
    return known if known and known.about.fingerprint == model.fingerprint() else None


def rules(model: nn.Module) -> Catalogue | None:
    """The project's catalogue if it is about this model."""
    if not isinstance(model, OthelloGPT) or not catalogue.REFERENCE.exists():
        return None
    known = catalogue.read(catalogue.REFERENCE)
    return known if known.header.fingerprint == model.fingerprint() else None
