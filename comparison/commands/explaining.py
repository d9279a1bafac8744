"""``handbuilt explain``: why a model answers as it does after some moves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor

from comparison.commands.options import Gpt, Json, Setup, picture
from comparison.commands.shared import bars, command, say, wrote
from comparison.explaining.explainer import ExplanationError
from comparison.shortcuts import explainer_of
from extracted_rules.files import write_json
from extracted_rules.othello.game import replay
from extracted_rules.othello.geometry import NO_MOVE
from extracted_rules.othello.notation import parse_transcript, tokens_from_squares
from handbuilt.analysis.patching import patch


def _game(transcript: str, board: int) -> Tensor:
    """uint8 [max_plies] of a transcript. Raises NotationError or IllegalGameError."""
    tokens = tokens_from_squares([parse_transcript(transcript, board)], board)
    replay(tokens, board=board)
    return tokens[0]


@dataclass(frozen=True)
class Question:
    """What is asked of a model."""

    ply: Annotated[
        int | None,
        typer.Option(
            help="Explain the answer before this move (from 2); by default the next.", min=2
        ),
    ] = None
    square: Annotated[
        str | None,
        typer.Option(help="The square to ask about; by default the one that is most wrong."),
    ] = None
    named: Annotated[int, typer.Option(help="Parts to name for a square.", min=1)] = 6
    other: Annotated[
        str | None,
        typer.Option(
            "--patch",
            metavar="OTHER_GAME",
            help="Patch activations of this game into another that differs in its last move.",
        ),
    ] = None


@command("explain")
def explain_command(
    model: Gpt,
    game: Annotated[str, typer.Argument(help="The moves, such as f5d6c3.")],
    question: Question,
    setup: Setup,
    catalogue: Annotated[
        Path | None,
        typer.Option(help="Names for a trained model's parts, as `extract` writes them."),
    ] = None,
    probes: Annotated[
        Path | None,
        typer.Option(help="Probes of a trained model, as `probe` writes; else fitted first."),
    ] = None,
    json: Json = None,
    out: Annotated[
        Path | None, picture(help="A PNG of it; with --patch, of what was patched.")
    ] = None,
) -> None:
    """The board decoded from a model, its logits, the rules behind them, and why it is wrong."""
    from comparison.reporting.explanations import draw_explanation, draw_patched

    loaded, where = setup.gpt(model, "it has no parts to explain it by"), setup.where
    board = loaded.geometry.size
    tokens = _game(game, board)
    moves = int((tokens != NO_MOVE).sum())
    seen = moves if question.ply is None else question.ply - 1
    if seen > moves:
        raise ExplanationError(
            f"move {question.ply} lies beyond this game, which has {moves} moves"
        )
    square = None if question.square is None else loaded.geometry.square_of(question.square)
    second = None if question.other is None else _game(question.other, board)
    with bars() as bar:
        asks = explainer_of(model, loaded, setup.seed, rules=catalogue, probes=probes, bars=bar)
        found = asks.explain(tokens.to(where), seen, square, question.named)
        patched = None
        if second is not None:
            tokens[seen:] = NO_MOVE
            patched = patch(asks.attribution.model, asks.names, tokens.to(where), second.to(where))
    say(*found.lines(), *(["", *patched.lines()] if patched else []))
    if json:
        write_json({**found.as_dict(), "patched": patched}, json)
    if out:
        if patched is not None:
            draw_patched(patched, model, out)
        else:
            draw_explanation(found, out)
        wrote(out)
