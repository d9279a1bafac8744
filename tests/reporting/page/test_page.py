"""The page by itself: nothing from outside, something for everyone, small enough."""

import re
from base64 import b64decode
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from comparison.reporting.page import rendering, sections
from comparison.reporting.page.rendering import picture, resource, write_page
from comparison.reporting.page.sections import Maker
from comparison.reporting.sections import Figure, Section
from extracted_rules.drawing.tables import Table
from extracted_rules.errors import UserError
from tests.reporting.page.conftest import SmallPage
from tests.reporting.page.elements import Elements, colours, contrast

#: Attributes that make a browser fetch something.
FETCHED = ("src", "href", "srcset", "poster", "data", "action", "xlink:href", "background")
#: Text colours on what lies behind them: 4.5 to 1.
TEXT = [
    (ink, on) for ink in ("ink", "quiet", "accent") for on in ("paper", "card")
] + [("coordinate", "halo")]  # fmt: skip
#: Signs, and edges of what can be operated: 3 to 1.
SIGNS = [
    ("edge", "paper"), ("edge", "card"), ("for", "paper"), ("against", "paper"),
    ("accent", "halo"), ("accent", "taken"), ("accent", "zero"), ("wrong", "taken"),
    ("wrong", "paper"), ("disc-edge", "taken"), ("mark", "halo"), ("black", "white"),
    ("halo", "for"), ("halo", "against"),
]  # fmt: skip


def _outside(text: str) -> list[str]:
    """What a page would fetch, or lead to, outside of itself."""
    page = Elements(text)
    found = [
        value
        for _, attributes, _, _ in page.found
        for name, value in attributes.items()
        if name in FETCHED and not value.startswith(("#", "data:image/png;base64,"))
    ]
    css = "".join(t for _, t in page.of("style")) + "".join(
        attributes.get("style", "") for _, attributes, _, _ in page.found
    )
    found += re.findall(r"url\([^)]*\)|@import[^;]*", css)
    scripts = "".join(text for a, text in page.of("script") if a.get("type") is None)
    found += re.findall(r"\bfetch\(|XMLHttpRequest|import\(|import .* from|WebSocket", scripts)
    return found + [tag for tag, *_ in page.found if tag in ("link", "iframe", "object", "base")]


def test_nothing_comes_from_outside(page: SmallPage) -> None:
    text = page.path.read_text(encoding="utf-8")
    assert not _outside(text)
    (policy,) = [a for a, _ in Elements(text).of("meta") if "http-equiv" in a]
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    assert len(text.encode()) < 10_000_000


@pytest.mark.parametrize(
    "added",
    [
        '<img src="https://example.org/a.png">',
        "<style>@import 'a.css';</style>",
        '<p style="background: url(a.png)">',
        '<link rel="icon">',
        "<script>fetch('a')</script>",
    ],
)
def test_what_comes_from_outside_is_found(added: str) -> None:
    assert _outside(f"<!DOCTYPE html><html><body>{added}</body></html>")


def test_everything_has_words(page: SmallPage) -> None:
    found = Elements(page.path.read_text(encoding="utf-8"))
    images = found.of("img")
    assert images
    assert all(a["alt"].strip() for a, _ in images)
    labelled = {a["for"] for a, _ in found.of("label")}
    operated = [a for a, _ in found.of("input", "select", "textarea")]
    assert {"game", "ply", "layer"} == {a["id"] for a in operated} <= labelled
    assert all(a.get("aria-label") or text.strip() for a, text in found.of("button"))
    assert found.of("html")[0][0]["lang"] == "en"
    assert found.of("title")[0][1].strip()
    assert all(a.get("scope") in ("col", "row") for a, _ in found.of("th"))
    assert len(found.of("caption")) == len(found.of("table"))
    captions = {a["id"]: text for a, text in found.of("caption")}
    regions = [a["aria-labelledby"] for a, _ in found.of("div") if a.get("role") == "region"]
    assert [captions[name] for name in regions] == ["A table", "A folded one"]


def test_headings_and_links_are_in_order(page: SmallPage) -> None:
    found = Elements(page.path.read_text(encoding="utf-8"))
    levels = [int(tag[1]) for tag, *_ in found.found if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [a["id"] for _, a, _, _ in found.found if "id" in a]
    assert len(set(ids)) == len(ids)
    targets = {a["href"][1:] for a, _ in found.of("a") if not a["href"].startswith("#game=")}
    named = {
        a[name] for _, a, _, _ in found.found for name in ("aria-labelledby", "for") if name in a
    }
    assert targets | named <= set(ids)


def test_text_is_escaped_and_code_is_code(page: SmallPage) -> None:
    text = page.path.read_text(encoding="utf-8")
    assert "<p>Text with <code>code &lt;b&gt;</code> in it.</p>" in text
    assert "a <game>" not in text
    assert "</script" not in resource("explorer.js")


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_in_both_themes(theme: int) -> None:
    by_name = colours(resource("page.css"))
    for least, pairs in ((4.5, TEXT), (3.0, SIGNS)):
        for a, b in pairs:
            found = contrast(by_name[a][theme], by_name[b][theme])
            assert found >= least, f"{a} on {b}: {found:.2f}"


@pytest.mark.parametrize("sign", ["top", "chosen", "focus"])
def test_signs_on_tinted_squares_lie_on_a_halo(sign: str) -> None:
    css = resource("page.css")
    wide, narrow = (
        float(re.findall(rf"\.{name} {{[^}}]*stroke-width: ([\d.]+)", css)[0])
        for name in (f"{sign}-halo", sign)
    )
    assert wide >= narrow + 0.04


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#777777", "#ffffff") < 4.5


def test_a_section_is_made_once_and_read_as_it_was(
    page: SmallPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table("t", ["a"], ["b"], [["1", "2"]], folded=True)
    made = Section("s", "S", ["p"], [table], [Figure("f.png", "c", "a", ["s"])], [("1", "x")])
    calls = iter([made, None])
    maker = Maker(lambda games: games, lambda *_: next(calls))
    monkeypatch.setattr(sections, "SECTIONS", {"s": maker, "none": maker})
    first, again = (sections.section(page.order, "s") for _ in range(2))
    assert first == again
    assert first is not None
    assert first[0] == made
    for _ in range(2):
        assert sections.section(page.order, "none") is None


def test_a_page_that_is_too_large_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "MOST_BYTES", 10)
    with pytest.raises(UserError, match="would have 11 bytes"):
        write_page("x" * 11, tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_pictures_are_part_of_the_page_and_look_as_they_did(page: SmallPage) -> None:
    found = Elements(page.path.read_text(encoding="utf-8"))
    source = found.of("img")[0][0]["src"]
    assert source == picture(page.folder / "line.png").uri
    shown = Image.open(BytesIO(b64decode(source.partition(",")[2]))).convert("RGB")
    with Image.open(page.folder / "line.png") as drawn:
        difference = ImageChops.difference(shown, drawn.convert("RGB"))
    assert max(high for _, high in difference.getextrema()) < 32
