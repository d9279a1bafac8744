"""The page in headless Chromium: what its explorer shows is what the model computes."""

import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from comparison.reading.board_reader import board_reader
from extracted_rules.othello.game import replay
from extracted_rules.othello.geometry import Geometry
from handbuilt.analysis.contributions import Attribution
from tests.reporting.page.conftest import TAU, SmallPage
from tests.reporting.page.elements import Elements

BOARD = Geometry()

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; make report-test gets one")
PLY, LAYER = 41, 3


def dom(path: Path, address: str = "") -> Elements:
    """The page after its scripts."""
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
        "--window-size=800,600", "--force-prefers-reduced-motion",
        "--virtual-time-budget=6000", f"--user-data-dir={path.parent / 'profile'}",
        f"{path.as_uri()}{address}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = Elements(done.stdout)
    assert found.of("html")[0][0].get("data-ready") == "yes", found.of("p")
    return found


def cells(found: Elements) -> dict[int, dict[str, str]]:
    """The attributes of every square that is shown, by number."""
    return {
        int(a["data-square"]): a for tag, a, _, inside in found.found
        if tag == "g" and "data-square" in a and "article" in inside
    }  # fmt: skip


@pytest.fixture(scope="module")
def shown(page: SmallPage) -> Elements:
    return dom(page.path, f"#game=1&ply={PLY}&layer={LAYER}&square={blank(page, PLY)}")


def blank(page: SmallPage, ply: int) -> str:
    """The last square that is empty before a ply."""
    board = replay(page.tokens[None]).boards[0, ply - 1]
    return BOARD.labels[max(s for s in BOARD.playable if board[s] == 0)]


def mismatches(page: SmallPage, squares: dict[int, dict[str, str]], ply: int, layer: int) -> int:
    """Squares whose words are not what the model computes at a ply and layer."""
    position, played = ply - 2, replay(page.tokens[None])
    attribution = Attribution(page.exhibit.model)
    cache = attribution.run(page.tokens)
    log_p = attribution.parts(cache, position).logits.log_softmax(-1)
    odds = log_p - torch.tensor(TAU).log()
    decoded = board_reader(page.exhibit.model).read(page.tokens[None]).values[layer, 0, position]
    board, legal = played.boards[0, ply - 1], played.legal[0, ply - 1]
    top = BOARD.playable[int(log_p.argmax())]
    wrong = 0
    for square in range(64):
        words = squares[square]["aria-label"].split(", ")
        good = words[0] == BOARD.labels[square] and ("likeliest move" in words) == (square == top)
        if board[square]:
            colour, belief = ("black" if board[square] > 0 else "white"), float(decoded[square])
            good &= f"{colour} disc" in words
            good &= ("wrong" in words) == (belief * int(board[square]) < 0)
            for whose, sure in re.findall(r"decoded (black|white) (\d\.\d\d)", ", ".join(words)):
                good &= (whose == "black") == (belief > 0)
                good &= abs(float(sure) - abs(belief)) <= 0.011
            good &= f"decoded {'black' if belief > 0 else 'white'}" in ", ".join(words)
        else:
            good &= ("legal" in words) == bool(legal[square])
            good &= ("not legal" in words) != bool(legal[square])
            exact = float(odds[int(BOARD.token_of_square[square]) - 1])
            said = re.findall(r"(not predicted|predicted) ([+−])(\d+\.\d\d)", ", ".join(words))
            good &= len(said) == 1
            for predicted, sign, nats in said:
                good &= abs(float(nats) * (-1 if sign == "−" else 1) - exact) < 0.02
                good &= (predicted == "predicted") == (exact > 0) or abs(exact) < 0.02
        wrong += not good
    return wrong


def test_every_square_shows_what_the_model_computes(page: SmallPage, shown: Elements) -> None:
    squares = cells(shown)
    assert len(squares) == 64
    assert mismatches(page, squares, PLY, LAYER) == 0
    # Of another ply or layer it would be found out.
    assert mismatches(page, squares, PLY - 1, LAYER) > 5
    assert mismatches(page, squares, PLY, LAYER - 2) > 5


def test_a_square_lists_what_made_its_logit(page: SmallPage, shown: Elements) -> None:
    square = BOARD.square_of(blank(page, PLY))
    (chosen,) = [s for s, a in cells(shown).items() if a["aria-selected"] == "true"]
    assert chosen == square
    adds = [int(a["data-adds"]) for a, _ in shown.of("td") if "data-adds" in a]
    (logit,) = [int(a["data-logit"]) for a, _ in shown.of("td") if "data-logit" in a]
    assert sum(adds) == logit
    attribution = Attribution(page.exhibit.model)
    exact = attribution.parts(attribution.run(page.tokens), PLY - 2).logits
    assert abs(logit / 100 - float(exact[int(BOARD.token_of_square[square]) - 1])) < 0.006
    headings = [text for _, text in shown.of("h3", "h4")]
    assert f"Why {BOARD.labels[square]}?" in headings


def test_the_shown_page_is_in_order(shown: Elements) -> None:
    levels = [int(tag[1]) for tag, *_ in shown.found if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [a["id"] for _, a, _, _ in shown.found if "id" in a]
    assert len(set(ids)) == len(ids)
    assert [a["tabindex"] for a in cells(shown).values()].count("0") == 1


def drive(page: SmallPage, tmp_path: Path, steps: str) -> Path:
    """The page with statements of JavaScript that are run in it; what they push on ``said`` is
    posted to the window that the page lies in, or its own."""
    script = f"""<script>
      const wait = () => new Promise((done) => setTimeout(done, 300));
      const at = (square) => document.querySelector(`#boards [data-square="${{square}}"]`);
      const named = (label) => document.querySelector(`[aria-label="${{label}}"]`);
      const text = (id) => document.getElementById(id).textContent;
      const key = (name, held = {{}}) => document.activeElement.dispatchEvent(
        new KeyboardEvent("keydown", {{ key: name, bubbles: true, cancelable: true, ...held }}));
      addEventListener("message", (event) => {{ document.title = event.data; }});
      addEventListener("load", async () => {{
        const said = [];
        await wait();
        {steps}
        parent.postMessage(said.join(" "), "*");
      }});
    </script></body>"""
    path = tmp_path / "driven.html"
    path.write_text(page.path.read_text(encoding="utf-8").replace("</body>", script), "utf-8")
    return path


def driven(page: SmallPage, tmp_path: Path, steps: str, address: str = "") -> str:
    """What ``steps`` push on ``said``, in words."""
    return dom(drive(page, tmp_path, steps), address).of("title")[0][1]


def test_clicks_and_keys_move_about(page: SmallPage, tmp_path: Path) -> None:
    """Choose a square with the pointer, walk left with the arrow key and choose with Enter; one ply
    on with the button; an address that makes no sense does no harm. Keys that are the browser's
    are left to it."""
    square = BOARD.square_of(blank(page, PLY))
    steps = f"""
        at({square}).dispatchEvent(new MouseEvent("click", {{ bubbles: true }}));
        await wait();
        said.push(text("why-title"));
        for (const held of ["altKey", "ctrlKey", "metaKey"])
          said.push(key("ArrowLeft", {{ [held]: true }}));
        key("ArrowLeft");
        key("Enter");
        await wait();
        said.push(text("why-title"), document.activeElement.dataset.square);
        named("One ply on").click();
        await wait();
        said.push(document.getElementById("ply").value, location.hash);
    """
    said = driven(page, tmp_path, steps, f"#game=99&ply={PLY}&layer=x&square=Z9")
    left = square - 1 if square % 8 else square
    expected = (
        f"Why {BOARD.labels[square]}? true true true Why {BOARD.labels[left]}? {left} {PLY + 1}"
    )
    assert said == f"{expected} #game=1&ply={PLY + 1}&layer=last&square={BOARD.labels[left]}"


def test_a_link_from_afar_leads_to_the_explorer(page: SmallPage, tmp_path: Path) -> None:
    steps = """
        document.querySelector("#about").scrollIntoView({ behavior: "instant" });
        const boards = () => document.getElementById("boards").getBoundingClientRect();
        said.push(boards().bottom < 0);
        document.querySelector("figcaption a").click();
        await wait();
        const { top } = document.getElementById("explorer").getBoundingClientRect();
        said.push(Math.abs(top) < 20, document.activeElement.id, text("ply-is"));
    """
    assert driven(page, tmp_path, steps, f"#game=1&ply={PLY}").startswith(
        "true true explorer-title 30 of "
    )


def test_the_focus_stays_where_it_was(page: SmallPage, tmp_path: Path) -> None:
    """On a link to an illegal choice, and on the button that steps to the last ply."""
    steps = """
        const link = document.querySelectorAll(".errs a")[1];
        link.focus();
        link.click();
        await wait();
        const now = document.activeElement;
        said.push(now !== link, now.dataset.ply === link.dataset.ply, text("ply-is").split(" ")[0]);
        said.push(link.textContent);
        const slider = document.getElementById("ply");
        slider.value = slider.max - 1;
        slider.dispatchEvent(new Event("input"));
        await wait();
        const on = named("One ply on");
        on.focus();
        for (const step of [1, 2]) {
          said.push(on.ariaDisabled);
          on.click();
          await wait();
        }
        said.push(document.activeElement === on, slider.value === slider.max);
        said.push(named("One ply back").ariaDisabled);
    """
    words = driven(page, tmp_path, steps).split()
    assert words[2] == words[3]
    assert words[:2] + words[4:] == ["true", "true", "false", "true", "true", "true", "false"]


def test_one_line_is_read_out_of_what_made_a_logit(page: SmallPage, shown: Elements) -> None:
    live = [(a["id"], text) for _, a, text, _ in shown.found if "aria-live" in a]
    assert [name for name, _ in live] == ["situation", "why-says"]
    assert "".join(live[1][1]).startswith(f"{blank(page, PLY)} is ")
    assert len("".join(live[1][1])) < 40


def test_every_board_says_how_it_was_read(shown: Elements) -> None:
    read = [text for a, text in shown.of("p") if a.get("class") == "read"]
    assert read == ["Board read through named directions."]


@pytest.mark.parametrize("width", [320, 360, 630])
def test_a_narrow_screen_is_not_scrolled_sideways(
    page: SmallPage, tmp_path: Path, width: int
) -> None:
    """Also with a model whose name is long: boards reach from edge to edge, and coordinates can be
    read. No window is as narrow as a telephone, so that the page lies in a frame."""
    steps = """
        const name = `models/${"a_long_name".repeat(12)}.safetensors`;
        const named = ".highlights dt, .boards h3, .says, .reasons h4";
        for (const node of document.querySelectorAll(named)) node.textContent = name;
        const root = document.documentElement;
        const board = document.querySelector("svg.board").getBoundingClientRect();
        const letter = parseFloat(getComputedStyle(document.querySelector(".coordinate")).fontSize);
        said.push(root.clientWidth, root.scrollWidth, board.left, board.width);
        said.push(letter * board.width / 8, document.querySelectorAll(named).length);
    """
    address = f"#game=1&ply={PLY}&square={blank(page, PLY)}"
    driver = drive(page, tmp_path, steps)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"""<!DOCTYPE html><html data-ready="yes"><title></title>
        <iframe style="width: {width}px; height: 700px; border: 0"
          src="{driver.as_uri()}{address}"></iframe>
        <script>addEventListener("message", (e) => {{ document.title = e.data; }});</script>
        </html>"""
    )
    inner, *wide, letter, named = map(float, dom(frame).of("title")[0][1].split())
    assert width - 20 <= inner <= width  # less the scroll bar
    assert wide == pytest.approx([inner, 0, inner], abs=0.1)
    assert letter > 10
    assert named == 4
