"""From sections and the explorer's data to one HTML file that needs nothing else."""

import gzip
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape
from PIL import Image

from comparison.reporting.sections import Section
from extracted_rules.errors import UserError
from extracted_rules.files import whole_file

#: No page is larger.
MOST_BYTES = 10_000_000
#: Of a picture.
COLOURS = 256
#: A picture so many times as wide as high has panels side by side.
WIDE = 1.9


def resource(name: str) -> str:
    """A template, style sheet or script of the page."""
    return (files("comparison.reporting.page") / "web" / name).read_text(encoding="utf-8")


def packed(data: Any) -> str:
    """Plain data as base64 of gzipped JSON, the same for the same data."""
    return b64encode(gzip.compress(msgspec.json.encode(data), mtime=0)).decode("ascii")


def for_the_explorer(explored: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`~comparison.reporting.page.explorer.explore` gives, each game packed, so that a
    browser unpacks the one that is looked at."""
    heads = [{key: game[key] for key in ("kind", "title")} for game in explored["games"]]
    games = [
        {**head, "packed": packed(game)}
        for head, game in zip(heads, explored["games"], strict=True)
    ]
    models = packed(explored["models"])
    return {"step": explored["step"], "size": explored["size"], "models": models, "games": games}


def inline(text: str) -> Markup:
    """Text with code between backticks, and words between stars stressed."""
    html = re.sub(r"`([^`]*)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*([^*<>]+)\*", r"<em>\1</em>", html))


@dataclass(frozen=True)
class Picture:
    """A picture as part of a page; width and height in pixels."""

    uri: str
    width: int
    height: int

    @property
    def wide(self) -> bool:
        """Whether it needs the page's whole width to be read."""
        return self.width > WIDE * self.height


def picture(path: Path) -> Picture:
    """A picture as a PNG of at most COLOURS colours, a third of the size of one that has them all.
    Raises OSError."""
    few = BytesIO()
    with Image.open(path) as drawn:
        opaque = Image.new("RGB", drawn.size, "white")
        opaque.paste(drawn, mask=drawn if drawn.mode == "RGBA" else None)
    opaque.quantize(COLOURS, dither=Image.Dither.NONE).save(few, "PNG", optimize=True)
    uri = "data:image/png;base64," + b64encode(few.getvalue()).decode("ascii")
    return Picture(uri, *opaque.size)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(resource), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(inline=inline, picture=picture)
    return environment


def render(
    sections: Sequence[tuple[Section, Path]],
    explored: Mapping[str, Any] | None,
    models: Sequence[tuple[str, str]],
    command: str,
) -> str:
    """The page. sections: each with the folder of its pictures; models: name and description;
    command: what made it."""
    return _environment().get_template("page.html").render(
        sections=sections,
        explorer=for_the_explorer(explored) if explored else None,
        models=models,
        command=command,
        # The project's own files, not a user's text: they are to stand as they are.
        style=Markup(resource("page.css")),
        script=Markup(resource("explorer.js")),
        theme=Markup(resource("theme.js")),
    )  # fmt: skip


def write_page(text: str, path: Path) -> None:
    """Write the page, whole or not at all. Raises UserError for one that is too large, or
    OSError."""
    data = text.encode()
    if len(data) >= MOST_BYTES:
        raise UserError(
            f"the page would have {len(data):,} bytes, and {MOST_BYTES:,} are too many: give fewer "
            "games or models"
        )
    with whole_file(path) as partial:
        partial.write_bytes(data)
