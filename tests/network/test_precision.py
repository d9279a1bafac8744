"""Rounded matrix products."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from handbuilt.network import precision
from handbuilt.network.precision import LOST_BITS, Operands, products_of, rounded

NUMBERS = st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)


@given(NUMBERS)
def test_bfloat16_is_torch_s_own(x: float) -> None:
    value = torch.tensor([x])
    near = rounded(value, LOST_BITS[Operands.BFLOAT16])
    assert (near - value).abs() <= (value.bfloat16().float() - value).abs()
    assert near.bfloat16().float().equal(near)


@given(NUMBERS)
def test_tf32_keeps_ten_bits(x: float) -> None:
    near = rounded(torch.tensor([x]), LOST_BITS[Operands.TF32])
    assert abs(float(near) - x) <= abs(x) * 2.0**-11
    assert int(near.view(torch.int32)) & 0x1FFF == 0


def test_products_are_rounded_inside_only() -> None:
    a, b = torch.full((1, 1), 1.0 + 2.0**-20), torch.ones(1, 1)
    assert float(a @ b) == 1.0 + 2.0**-20
    for operands in (Operands.TF32, Operands.BFLOAT16):
        with products_of(operands):
            assert float(a @ b) == float(torch.matmul(a, b)) == 1.0
    with products_of(Operands.FLOAT32):
        assert float(a @ b) == 1.0 + 2.0**-20


def test_what_is_not_rounded_is_refused_or_left_alone() -> None:
    with products_of(Operands.TF32):
        assert (torch.eye(2, dtype=torch.int64) @ torch.eye(2, dtype=torch.int64)).trace() == 2
        with pytest.raises(NotImplementedError, match="linear is not rounded"):
            torch.nn.functional.linear(torch.ones(1, 1), torch.ones(1, 1))


def test_precision_is_what_multiplies_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(precision, "PROBE_SECONDS", 0.01)
    best, words = precision.choose_precision(cpu)
    ratio = float(words.removeprefix(f"{best}: bfloat16 multiplies ").split(" times")[0])
    assert best == ("bfloat16" if ratio > 1.25 else "float32")
    for half, chosen in ((2.0, "bfloat16"), (1.1, "float32"), (0.01, "float32")):
        rates = {torch.float32: 1.0, torch.bfloat16: half}
        monkeypatch.setattr(precision, "_products_a_second", lambda _, dtype, r=rates: r[dtype])
        assert precision.choose_precision(cpu)[0] == chosen
