"""What a layer's parts read and write is read from its program, and drawn."""

from pathlib import Path

import pytest
import torch

from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import Geometry
from handbuilt import OthelloGPT, Shape, build
from handbuilt.network.layout import LayoutError
from handbuilt.programs.anatomy import (
    Anatomy,
    Part,
    alike,
    draw_layer,
    layer_anatomy,
    values_of,
    worked_moves,
)
from tests.command_line import run


@pytest.fixture(scope="module")
def calibrated() -> OthelloGPT:
    return build("calibrated")


def part(parts: tuple[Part, ...], name: str) -> Part:
    return next(p for p in parts if p.name == name)


def test_a_layer_reads_and_writes_what_its_rules_say(calibrated: OthelloGPT) -> None:
    found = layer_anatomy(calibrated, 3)
    for who in ("mine", "theirs"):
        flips = part(found.heads, f"flips-{who}")
        assert (flips.count, flips.reads, flips.writes) == (1, ("message",), ("belief",))
        assert {"need", "claims", "side"} <= set(flips.asks)
        assert part(found.heads, f"board-{who}").reads == ("placed", "clipped")
    bracket = part(found.neurons, "bracket")
    assert bracket.count == 518
    assert {"played", "blank", "belief", "message", "clipped", "need"} <= set(bracket.reads)
    assert bracket.writes == ("message", "claims")
    assert not bracket.asks
    assert part(found.neurons, "other").writes == ("others",)


@pytest.mark.parametrize("layer", range(8))
def test_nothing_of_a_layer_is_left_out(calibrated: OthelloGPT, layer: int) -> None:
    found, layout = layer_anatomy(calibrated, layer), calibrated.layout
    for parts, slots in ((found.heads, layout.heads), (found.neurons, layout.neurons)):
        assert [(p.name, p.count) for p in parts] == [
            (f.name, len(f.members)) for f in slots[layer].families.values()
        ]
    # Every direction that the layer's weights move belongs to a lane.
    weights = calibrated.state_dict()
    moved = weights[f"blocks.{layer}.mlp.W_out"].any(0)
    moved |= weights[f"blocks.{layer}.attn.W_O"].flatten(0, 1).any(0)
    for lane in found.lanes:
        moved[layout.directions[lane.name]] = False
    assert not moved.any()


def test_what_is_silenced_disappears() -> None:
    model = build("logic")
    layout = model.layout
    before = layer_anatomy(model, 3)
    clip = layout.neurons[3]["clip"]
    with torch.no_grad():
        attention, mlp = model.blocks[3].attn, model.blocks[3].mlp
        attention.W_O[layout.heads[3].place("flips-mine")] = 0
        attention.W_V[layout.heads[3].place("need")] = 0
        mlp.W_out[layout.neurons[3]["forget-claims"]] = 0
        mlp.W_in[:, clip.start : clip.start + 10] = 0
        mlp.W_out[clip.start + 10 : clip.start + 14] = 0
        mlp.W_in[layout.directions["belief"], layout.neurons[3]["bracket"]] = 0
    after = layer_anatomy(model, 3)
    gone = {p.name for p in before.heads} - {p.name for p in after.heads}
    assert gone == {"flips-mine", "need"}
    assert part(after.heads, "flips-theirs") == part(before.heads, "flips-theirs")
    gone = {p.name for p in before.neurons} - {p.name for p in after.neurons}
    assert gone == {"forget-claims"}
    assert part(after.neurons, "clip").count == part(before.neurons, "clip").count - 14
    heard = set(part(before.neurons, "bracket").reads) - set(part(after.neurons, "bracket").reads)
    assert heard == {"belief"}


def test_parts_are_together_that_touch_the_same() -> None:
    a = Part("a", 1, ("x",), ("side",), ("y",))
    b = Part("b", 1, ("x",), ("side",), ("y",))
    c = Part("c", 1, ("x",), (), ("y",))
    renew_x, renew_y = Part("d", 2, ("x",), (), ("x",)), Part("e", 3, ("y",), (), ("y",))
    assert alike([a, renew_x, b, c, renew_y]) == [[a, b], [renew_x, renew_y], [c]]
    lines = Anatomy(Geometry(), 0, (), (a, b), (c, renew_x, renew_y)).lines()
    assert "heads a, b: x -> y, looking by side" in lines[1]
    assert "neurons d x2, e x3: each rewrites its own lane" in lines[3]


def test_the_picture_is_drawn_whole(calibrated: OthelloGPT, tmp_path: Path) -> None:
    found = layer_anatomy(calibrated, 7)
    belief = (values := values_of(calibrated, 7, worked_moves(calibrated.geometry)))["belief"]
    assert belief.shape == (3, 64)
    assert not torch.equal(belief[0], belief[1])
    assert torch.equal(belief[1], belief[2])  # layer 7's neurons only count lines
    for shown in (None, values):
        path = tmp_path / "layer.png"
        draw_layer(found, path, shown)
        assert path.read_bytes().startswith(b"\x89PNG")
        assert [p.name for p in tmp_path.iterdir()] == ["layer.png"]


def test_mistakes_are_one_sentence(calibrated: OthelloGPT) -> None:
    for layer in (-1, 8):
        with pytest.raises(LayoutError, match=rf"layer {layer} does not exist; there are 8") as bad:
            layer_anatomy(calibrated, layer)
        assert isinstance(bad.value, UserError)
    trained = OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8))
    with pytest.raises(UserError, match="not hand-built"):
        layer_anatomy(trained, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logic", "--layer", "8"], "layer 8 does not exist; there are 8"),
        (["bigram", "--layer", "3"], "bigram is a baseline"),
        (["logic", "belief.D3", "--layer", "3"], "name a place or a layer, not both"),
        (["logic", "--out", "layer.png"], "what is drawn is one layer"),
        (["logic", "--layer", "3", "--out", "layer.svg"], "the picture is a .png"),
        (["logic", "--layer", "3", "--out", "/nowhere/layer.png"], "/nowhere is no folder"),
    ],
)
def test_mistakes_on_the_command_line_are_one_sentence_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("describe", *arguments, monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_command_line_draws_a_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "layer.png"
    arguments = ("describe", "logic", "--layer", "3", "--out", str(out))
    assert run(*arguments, monkeypatch=monkeypatch) == 0
    assert "heads flips-mine, flips-theirs: message -> belief" in capsys.readouterr().out
    assert out.read_bytes().startswith(b"\x89PNG")
