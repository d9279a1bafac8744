"""``handbuilt explain``: why a model answers as it does after some moves."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from comparison.commands.shared import (
    Device,
    app,
    check_picture,
    check_writable,
    console,
    counter,
    progress_bars,
    wrote,
)
from comparison.explaining.explainer import ExplanationError
from comparison.explaining.patching import patch
from comparison.scoring.bench import resolve_device
from comparison.shortcuts import explainer
from extracted_rules.othello.game import replay
from extracted_rules.othello.notation import parse_transcript, square_of, tokens_from_squares


def _game(transcript: str) -> Tensor:
    """uint8 [60] of a transcript. Raises NotationError or IllegalGameError."""
    tokens = tokens_from_squares([parse_transcript(transcript)])
    replay(tokens)
    return tokens[0]


@app.command("explain")
def explain_command(
    model: Annotated[str, typer.Argument(help="A recipe, a checkpoint's path or reference.")],
    game: Annotated[str, typer.Argument(help="The moves, such as f5d6c3.")],
    ply: Annotated[
        int | None,
        typer.Option(
            help="Explain the answer before this move (from 2); by default the next.", min=2
        ),
    ] = None,
    square: Annotated[
        str | None,
        typer.Option(help="The square to ask about; by default the one that is most wrong."),
    ] = None,
    named: Annotated[int, typer.Option(help="Parts to name for a square.", min=1)] = 6,
    other: Annotated[
        str | None,
        typer.Option(
            "--patch",
            metavar="OTHER_GAME",
            help="Patch activations of this game into another that differs in its last move.",
        ),
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option(help="Names for a trained model's parts, as `extract` writes them."),
    ] = None,
    probes: Annotated[
        Path | None,
        typer.Option(help="Probes of a trained model, as `probe` writes; else fitted first."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the games for tau and probes.")] = 1,
    device: Device = "auto",
    json: Annotated[Path | None, typer.Option(help="Write all that was found as JSON.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A PNG of it; with --patch, of what was patched.")
    ] = None,
) -> None:
    """The board that a model holds, its logits, the rules behind them, and why it is wrong."""
    from comparison.reporting.explanations import draw_explanation, draw_patched
    from comparison.reporting.report import write_json

    if json:
        check_writable(json)
    if out:
        check_picture(out)
    tokens = _game(game)
    moves = int((tokens != 0).sum())
    seen = moves if ply is None else ply - 1
    if seen > moves:
        raise ExplanationError(f"move {ply} lies beyond this game, which has {moves} moves")
    asked = None if square is None else square_of(square)
    second = None if other is None else _game(other)
    where = resolve_device(device)
    with progress_bars() as progress:
        asks = explainer(
            model,
            device=where,
            seed=seed,
            rules=catalogue,
            probes=probes,
            bars=partial(counter, progress),
        )
        found = asks.explain(tokens.to(where), seen, asked, named)
        patched = None
        if second is not None:
            tokens[seen:] = 0
            patched = patch(asks.attribution.model, asks.names, tokens.to(where), second.to(where))
    lines = found.lines()
    if patched is not None:
        lines += ["", *patched.lines()]
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if json:
        write_json({**found.as_dict(), "patched": patched}, json)
    if out:
        if patched is not None:
            draw_patched(patched, model, out)
        else:
            draw_explanation(found, out)
        wrote(out)
