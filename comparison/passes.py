"""What unseen passes cost, and what true sides would be worth: ``python -m comparison.passes``.

Two questions to the rules of a recipe, through their interpreter in float32. How often is a game's
first pass noticed? And how many choices would be illegal if every position were *told* its true
side, from some layer's reading on? The latter bounds what better judges of passes could gain. A
study of ten minutes on 5,000 games; killed, it goes on.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from comparison.bench import FORWARD_GAMES, evaluate
from comparison.report import cells, markdown, write_json
from extracted_rules.files import whole_file
from extracted_rules.game import IllegalGameError, random_games, replay
from extracted_rules.game_files import GameFileError, load_games
from extracted_rules.notation import CONTEXT
from handbuilt.interpreter import LOOK_LAYER, Facts, Interpreter, Layer, Trace
from handbuilt.strengths import Strengths, StrengthsError, dump, load_strengths

#: From this layer on the rules hear by the sides that they found themselves.
FOUND = LOOK_LAYER + 2
#: True sides are told from these layers on; None: never.
TOLD_FROM: tuple[int | None, ...] = (None, *range(FOUND, FOUND - 4, -1))
#: Columns of the table: heading, group and name in ``Result.strata``. Behind one pass or several,
#: another may be due.
COLUMNS = (
    ("all", "all", "all"),
    ("pass-free", "pass", "pass-free"),
    ("at a pass", "pass", "at a pass"),
    ("behind one pass", "passes so far", "1"),
    ("behind several", "passes so far", "2+"),
)
#: First passes are counted by the number of moves before them, from .. to.
SPANS = ((1, 14), (15, 24), (25, 52), (53, 59))
FALSE_ALARMS = ("false alarms", "positions before any pass")


class _TrueSides(Interpreter):
    """The same rules, but from a layer on every position is told its true side."""

    def __init__(self, strengths: Strengths, layer: int) -> None:
        super().__init__(strengths)
        self.layer = layer
        self.movers = torch.empty(0)

    def __call__(self, tokens: Tensor, at: Tensor | None = None) -> Trace:
        self.movers = replay(tokens).movers[:, : tokens.shape[1]].to(self.dtype)
        return super().__call__(tokens, at)

    def _attend(
        self, layer: int, last: Layer, facts: Facts, opening: Tensor, later: Tensor
    ) -> Layer:
        if layer >= self.layer:
            last = replace(last, side=self.movers * later)
        return super()._attend(layer, last, facts, opening, later)


class Rules(nn.Module):
    """An interpreter with a model's face: tokens int64 [B, T] to logits [B, T, 61].

    ``told_from``: the layer from which on positions are told their true sides.
    """

    def __init__(self, strengths: Strengths, told_from: int | None = None) -> None:
        super().__init__()
        self.rules = (
            Interpreter(strengths) if told_from is None else _TrueSides(strengths, told_from)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        return self.rules(tokens).logits


def _batches(games: Tensor, name: str) -> Iterable[Tensor]:
    """The games in batches, behind a progress bar."""
    starts = range(0, len(games), FORWARD_GAMES)
    batches = [games[start : start + FORWARD_GAMES] for start in starts]
    return track(batches, name, console=Console(stderr=True), transient=True)


def illegal_rates(strengths: Strengths, told_from: int | None, games: Tensor) -> list[str]:
    """Top-1 illegal rates in percent, with 95 % intervals, under COLUMNS."""
    name = "sides as found" if told_from is None else f"true sides from layer {told_from}"
    shown = _batches(games, name)
    # The threshold decides on the legal set alone, which is not reported here.
    result = evaluate(name, Rules(strengths, told_from), shown, 0.01, keep_errors=False)
    found = [result.strata[group].get(stratum) for _, group, stratum in COLUMNS]
    return [cells(measures)[1] if measures else "" for measures in found]


@dataclass
class Noticed:
    """First passes after so many moves: how many; noticed by the very next move; by a later one.

    ``wrongly``: in how many games somebody was held to have passed when nobody had yet.
    ``positions``: before any pass.
    """

    first: int
    last: int
    passes: int = 0
    at_once: int = 0
    later: int = 0
    wrongly: int = 0
    positions: int = 0


@torch.inference_mode()
def notice(strengths: Strengths, games: Tensor) -> list[Noticed]:
    """How well the rules notice the first pass of each game, by SPANS of moves before it."""
    spans = [Noticed(*span) for span in SPANS]
    rules, place = Interpreter(strengths), torch.arange(CONTEXT)
    never = CONTEXT
    for tokens in _batches(games, "first passes"):
        there = tokens[:, :CONTEXT] != 0
        behind = (replay(tokens).passes[:, :CONTEXT].cumsum(-1) > 0) & there
        held = (rules(tokens[:, :CONTEXT].long()).passed > 0.5) & there
        true, found = (torch.where(x, place, never).amin(-1) for x in (behind, held))
        for span in spans:
            here = (true >= span.first) & (true <= span.last) & (true < never)
            span.passes += int(here.sum())
            span.at_once += int((here & (found == true)).sum())
            span.later += int((here & (found > true) & (found < never)).sum())
            at = (place >= span.first) & (place <= span.last)
            span.positions += int((there & ~behind & at).sum())
            span.wrongly += int(
                ((found < true) & (found >= span.first) & (found <= span.last)).sum()
            )
    return spans


def study(recipe: str, games: Tensor, out: Path) -> str:
    """Both tables as Markdown; rows that were measured before are taken from the folder."""
    strengths = load_strengths(recipe).apply(lambda x: x.float())
    asked = hashlib.sha256(dump(strengths, "").encode() + games.numpy().tobytes()).hexdigest()[:12]
    rows = []
    for told_from in TOLD_FROM:
        kept = out / f"{asked}-{told_from or 'found'}.json"
        if not kept.exists():
            write_json(illegal_rates(strengths, told_from, games), kept)
        name = f"as found, from layer {FOUND} on" if told_from is None else f"true from {told_from}"
        rows.append([name, *json.loads(kept.read_text(encoding="utf-8"))])
    kept = out / f"{asked}-noticed.json"
    if not kept.exists():
        write_json([vars(span) for span in notice(strengths, games)], kept)
    spans = [Noticed(**span) for span in json.loads(kept.read_text(encoding="utf-8"))]
    counts = [
        [f"{n.first}-{n.last}"]
        + [f"{count:,}" for count in (n.passes, n.at_once, n.later, n.wrongly, n.positions)]
        for n in spans
    ]
    headings = ("sides", *(heading for heading, *_ in COLUMNS))
    looked = ("moves before it", "first passes", "noticed at once", "later", *FALSE_ALARMS)
    return f"{markdown(headings, rows)}\n\n{markdown(looked, counts)}\n"


def main(
    recipe: Annotated[str, typer.Option(help="Whose rules.")] = "calibrated",
    games: Annotated[int, typer.Option(help="Number of random games.", min=1)] = 5000,
    seed: Annotated[int, typer.Option(help="Seed of those games.")] = 1,
    file: Annotated[Path | None, typer.Option(help="Games to use instead, as in evaluate.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")] = Path("out/passes"),
) -> None:
    """Measure what unseen passes cost, and what true sides would be worth; write both tables."""
    out.mkdir(parents=True, exist_ok=True)
    played = torch.cat(list(load_games(file) if file else random_games(games, seed)))
    source = file.name if file else f"random, seed {seed}"
    title = f"`{recipe}` on {len(played):,} games ({source}): top-1 illegal %, first passes noticed"
    text = f"{title}\n\n{study(recipe, played, out)}"
    with whole_file(out / f"{file.stem if file else 'random'}.md") as partial:
        partial.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    try:
        typer.run(main)
    except (GameFileError, IllegalGameError, OSError, StrengthsError) as error:
        sys.exit(f"passes: {error}")
