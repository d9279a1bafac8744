"""What is no weights is refused with one sentence that says what it is; nothing crashes."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from comparison import load_model
from handbuilt.network.shape import CheckpointError
from tests.network.test_transformer import random_model

STATE = random_model().state_dict()


#: As optimizers of torch say of themselves.
ADAM = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


def cut(path: Path) -> None:
    torch.save(STATE, path)
    path.write_bytes(path.read_bytes()[:-500])


def cut_safetensors(path: Path) -> None:
    save_file(STATE, path)
    path.write_bytes(path.read_bytes()[:-500])


def script(path: Path) -> None:
    """As torch.jit.save writes it, in so far as it is looked at."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"")
        archive.writestr("model/constants.pkl", b"")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: torch.save(random_model(), path), r"pickled Python object.*save model\.stat"),
        (lambda path: path.write_bytes(b""), "it is empty"),
        (
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid 3"),
            "no file of weights: it is a Git LFS pointer.*`git lfs pull`",
        ),
        (lambda path: path.write_text("\n <!DOCTYPE html><html>"), "it is a web page"),
        (lambda path: path.write_text("<HTML lang=en>"), "it is a web page"),
        (lambda path: path.write_bytes(b"\x1f\x8b\x08\0"), "it is compressed"),
        (
            lambda path: path.write_text("some text that is no model"),
            "no file of weights: it is text",
        ),
        (cut, "not a readable PyTorch file, so cut short or damaged"),
        (cut_safetensors, "not a readable safetensors file, so cut short or damaged"),
        (lambda path: torch.save(ADAM, path), "optimizer's state, no weights"),
        (
            lambda path: torch.save({"optimizer": ADAM, "epoch": 3}, path),
            "optimizer's state, no weights",
        ),
        (script, "a program of TorchScript, not weights"),
        (lambda path: torch.save(nn.Linear(2, 2).state_dict(), path), "another kind of model"),
        (lambda path: save_file({"x": torch.zeros(2)}, path), "another kind of model.*but 'x'"),
    ],
)
def test_what_is_no_weights_is_said_in_one_sentence(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.pth"
    make(path)
    with pytest.raises(CheckpointError, match=message) as refused:
        load_model(str(path))
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith(str(path))


def test_what_holds_itself_has_an_end(tmp_path: Path) -> None:
    endless: dict[str, object] = {}
    endless["model"] = endless
    torch.save(endless, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="found dict under 'model'"):
        load_model(str(tmp_path / "model.pth"))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "should say under 'weight_map' which file holds which tensor"),
        ({"weight_map": {"embed.W_E": 3}}, "should say under 'weight_map'"),
        ({"weight_map": {"embed.W_E": "../model.pth"}}, "'../model.pth', which is no file beside"),
        ({"weight_map": {"embed.W_E": "x\0"}}, "which is no file beside it"),
        ({"weight_map": {"embed.W_E": "a.index.json"}}, "which is no file beside it"),
        ({"weight_map": {"embed.W_E": "folder"}}, "which is no file beside it"),
        ({"weight_map": {"embed.W_E": "b.safetensors"}}, "b.safetensors cannot be read: No such"),
        ({"weight_map": {"embed.W_E": "a.safetensors"}}, "found nothing"),
        ([], "should hold a JSON object, found list"),
    ],
)
def test_shards_that_are_not_there_are_one_sentence(
    index: object, message: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    partial = {name: t for name, t in STATE.items() if name != "ln_final.w"}
    save_file(partial, tmp_path / "a.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for path in (tmp_path, tmp_path / "model.safetensors.index.json"):
        with pytest.raises(CheckpointError, match=message) as refused:
            load_model(str(path))
        assert "\n" not in str(refused.value)


STARTS = [b"", b"PK\x03\x04", b"\x80\x02", b"\x80\x04\x95", b"\x08" + bytes(7) + b"{"]


@given(
    start=st.sampled_from(STARTS),
    rest=st.binary(max_size=200),
    name=st.sampled_from(["model.pth", "model.safetensors", "model.safetensors.index.json"]),
)
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes_are_refused(
    tmp_path_factory: pytest.TempPathFactory, start: bytes, rest: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(start + rest)
    with pytest.raises(CheckpointError):
        load_model(str(path))
