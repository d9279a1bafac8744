"""What is made once is read ever after; what is something else, or damaged, is one sentence."""

from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path

import pytest
import torch

from extracted_rules.files import Kept, KeptData, KeptError, KeptTensors

ABOUT = {"model": "abc", "seed": "1"}


@dataclass(frozen=True)
class Result:
    name: str
    shares: tuple[float, ...]
    by_layer: dict[int, float | None]


RESULT = Result("first", (0.1, 1 / 3), {0: None, 7: 0.5})


def test_made_once_and_read_ever_after(tmp_path: Path) -> None:
    data = KeptData(tmp_path / "data.msgpack", ABOUT, Result)
    assert data.once(lambda: RESULT) == RESULT
    assert data.once(pytest.fail) == RESULT
    tensors = KeptTensors(tmp_path / "tensors.safetensors", ABOUT)
    tensors.once(lambda: ({"x": torch.arange(3)}, {"tau": "0.1"}))
    read, says = tensors.once(pytest.fail)
    assert read["x"].equal(torch.arange(3))
    assert says == {"tau": "0.1"}


def test_what_has_no_value_is_kept_so(tmp_path: Path) -> None:
    kept = KeptData(tmp_path / "data.msgpack", ABOUT, tuple[float, float])
    assert isnan(kept.once(lambda: (nan, 1.0))[0])
    assert isnan(kept.read()[0])


def test_a_killed_run_leaves_nothing(tmp_path: Path) -> None:
    kept = KeptData(tmp_path / "data.msgpack", ABOUT, Result)

    def killed() -> Result:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept.once(killed)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["data", "tensors"])
def test_something_else_and_damage_are_one_sentence(tmp_path: Path, kind: str) -> None:
    def kept(about: dict[str, str]) -> Kept[object]:
        path = tmp_path / kind
        return KeptData(path, about, Result) if kind == "data" else KeptTensors(path, about)

    kept(ABOUT).write(RESULT if kind == "data" else ({"x": torch.zeros(9)}, {}))
    for about, differs in (
        ({**ABOUT, "seed": "2"}, "seed"),
        ({"model": "x", "seed": "2"}, "model, seed"),
        ({**ABOUT, "games": "5"}, "games"),
    ):
        with pytest.raises(KeptError, match=f"differs in its {differs};"):
            kept(about).read()
    whole = (tmp_path / kind).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"game\n" * 99):
        (tmp_path / kind).write_bytes(damaged)
        with pytest.raises(KeptError, match="made anew") as caught:
            kept(ABOUT).once(pytest.fail)
        assert str(tmp_path / kind) in str(caught.value)


def test_data_of_another_kind_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "data.msgpack"
    KeptData(path, ABOUT, dict[str, str]).write({"name": "first"})
    with pytest.raises(KeptError, match="shares"):
        KeptData(path, ABOUT, Result).read()
