"""A disguise changes no answer, and its key undoes it."""

from pathlib import Path

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from extracted_rules import random_games, replay
from handbuilt import OthelloGPT
from handbuilt.network import checkpoints
from handbuilt.testbed import disguise
from handbuilt.testbed.key import KeyFileError, load_key
from handbuilt.testbed.making import (
    DIFFICULTIES,
    HUB,
    INTERPBENCH,
    KEY,
    META,
    MODEL,
    Asked,
    BedError,
    make,
    read_about,
    write,
)
from handbuilt.testbed.packing import PackingError
from tests.testbed.made import BOARD, compiled, made

GAMES = next(random_games(100, 11, board=BOARD))


@torch.inference_mode()
def logits(
    model: OthelloGPT,
    dtype: torch.dtype = torch.float32,
    weights: dict[str, Tensor] | None = None,
) -> Tensor:
    """weights: to be used instead, in a model without gains."""
    exact = OthelloGPT(model.shape).to(dtype)
    exact.load_state_dict(model.state_dict() if weights is None else exact.state_dict() | weights)
    return exact(GAMES[:, : model.shape.n_ctx].long()).double()


def illegal(model: OthelloGPT) -> float:
    """The share of positions whose likeliest square is illegal."""
    played, said = replay(GAMES, board=BOARD), logits(model)[..., 1:]
    legal = played.legal[:, 1 : said.shape[1] + 1][..., list(played.geometry.playable)]
    wrong = ~legal.gather(-1, said.argmax(-1, keepdim=True))[..., 0]
    there = legal.any(-1)
    return float((wrong & there).sum() / there.sum())


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(seed=st.integers(0, 2**31))
def test_a_disguise_changes_no_logit_and_is_undone(seed: int) -> None:
    """Logits reach 1,000: by less than a millionth of that in float64, and float32's rounding
    besides; every weight comes back within a millionth of the largest of its tensor."""
    plain = made("plain")
    hidden = disguise.drawn(plain.key.disguise, seed, rescaled=1.0)
    exact = [
        logits(compiled(), torch.float64, disguise.disguised_weights(compiled(), d))
        for d in (plain.key.disguise, hidden)
    ]
    assert float((exact[0] - exact[1]).abs().max()) < 1e-3
    model = disguise.disguised(compiled(), hidden)
    assert float((logits(model) - logits(plain.model)).abs().max()) < 5
    assert not model.has_names
    back = disguise.undone(model, hidden, compiled().layout)
    for name, weights in compiled().state_dict().items():
        off = (back.state_dict()[name] - weights).abs().max()
        assert float(off) <= 1e-6 * float(weights.abs().max()), name
    assert back.layout.describe("belief.A1") == compiled().layout.describe("belief.A1")


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_the_answers_stay(difficulty: str) -> None:
    assert illegal(made(difficulty).model) < illegal(compiled()) + 0.015


def test_the_turn_is_one_that_layernorm_cannot_see() -> None:
    turned = made().key.disguise.encode
    assert torch.allclose(turned @ turned.T, torch.eye(len(turned)).double())
    assert torch.allclose(turned.sum(1), torch.ones(len(turned)).double())
    assert float(turned.abs().max()) < 0.6  # nothing stays where it was


@torch.inference_mode()
def test_superposed_names_are_read_where_they_are_written() -> None:
    """They are not orthogonal, there are more than dimensions, and their values are read."""
    key, plain = made("superposed").key, made("plain")
    written = key.tensors["write"]
    assert len(written) > written.shape[1]
    units = written / written.norm(dim=1, keepdim=True)
    assert float((units @ units.T).fill_diagonal_(0).abs().max()) > 0.3
    place = "blocks.3.hook_resid_mid"
    held = []
    for bed in (plain, made("superposed")):
        _, cache = bed.model.run_with_cache(GAMES[:, : bed.model.shape.n_ctx].long(), place)
        held.append(bed.key.values(cache[place], place)[..., key.names_at(place)])
    true, read = held
    assert float((true - read).square().mean() / true.var()) < 0.02


# --------------------------------------------------------------------------- files


@pytest.mark.parametrize("sealed", [False, True])
def test_a_folder_holds_the_model_in_all_formats(tmp_path: Path, sealed: bool) -> None:
    out = tmp_path / "bed"
    write(made(), out, sealed=sealed)
    write(made(), out, sealed=sealed)  # in the place of the first
    mark = made().model.fingerprint()
    for path in (MODEL, HUB, f"{INTERPBENCH}/ll_model.pth"):
        assert checkpoints.load(out / path).fingerprint() == mark
    folder = tmp_path / f"bed.{KEY}" if sealed else out / KEY
    key = load_key(folder)
    assert key.truth == load_key(folder).truth
    assert key.truth.model == mark == read_about(out)["model"]
    for name, tensor in made().key.tensors.items():
        assert key.tensors[name].equal(tensor)
    assert (out / KEY).exists() != sealed
    assert ("seed" in read_about(out)) != sealed
    assert (out / INTERPBENCH / "edges.json").exists() != sealed


def test_nothing_else_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bed").mkdir()
    (tmp_path / "bed" / "thesis.txt").write_text("mine")
    with pytest.raises(OSError, match="holds something else"):
        write(made(), tmp_path / "bed")
    assert [path.name for path in tmp_path.rglob("*")] == ["bed", "thesis.txt"]
    (tmp_path / f"sealed.{KEY}").mkdir()
    (tmp_path / f"sealed.{KEY}" / META).write_text("mine")
    with pytest.raises(OSError, match="holds something else"):
        write(made(), tmp_path / "sealed", sealed=True)
    assert not (tmp_path / "sealed").exists()


def test_a_damaged_key_is_one_sentence(tmp_path: Path) -> None:
    made().key.save(tmp_path)
    for name in ("key.json", "key.safetensors"):
        whole = (tmp_path / name).read_bytes()
        for damaged in (whole[: len(whole) // 2], b"", whole[:-9] + b"\x01" * 9):
            (tmp_path / name).write_bytes(damaged)
            with pytest.raises(KeyFileError, match=name):
                load_key(tmp_path)
        (tmp_path / name).write_bytes(whole)
    with pytest.raises(KeyFileError, match="no key"):
        load_key(tmp_path / "nowhere")


def test_what_cannot_be_made_is_one_sentence() -> None:
    with pytest.raises(BedError, match="no difficulty"):
        make(Asked("logic", BOARD, difficulty="hard"))
    with pytest.raises(BedError, match="only superposed"):
        make(Asked("logic", BOARD, width=90))
    with pytest.raises(PackingError, match="not into 900"):
        make(Asked("logic", BOARD, difficulty="superposed", width=900))


def test_the_same_seed_makes_the_same() -> None:
    again = make(Asked("logic", BOARD, None, "superposed", 3))
    assert again.model.fingerprint() == made("superposed").model.fingerprint()
    assert again.key.truth == made("superposed").key.truth
