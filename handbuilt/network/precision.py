"""What lower precision costs: matrix products with operands rounded as tensor cores round them.

Only operands are rounded; sums and results stay float32. That is TF32's mode, on any device and up
to the order of the sums. PyTorch's bfloat16 autocast rounds results as well, so it costs more than
is shown here. And what it gains: what a device multiplies faster in.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class Operands(StrEnum):
    """How operands of matrix products are rounded."""

    FLOAT32 = "float32"
    TF32 = "tf32"
    BFLOAT16 = "bfloat16"


#: Bits of a float32's mantissa that are lost.
LOST_BITS = {Operands.FLOAT32: 0, Operands.TF32: 13, Operands.BFLOAT16: 16}
PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__)
#: Other products, which no model here uses. They are refused, lest they pass unrounded.
OTHERS = (torch.mm, Tensor.mm, torch.bmm, Tensor.bmm, torch.addmm, torch.einsum, functional.linear,
          functional.scaled_dot_product_attention)  # fmt: skip


def rounded(x: Tensor, lost_bits: int) -> Tensor:
    """float32 x to the nearest with so many fewer bits (Veltkamp's splitting); others as is."""
    if x.dtype != torch.float32:
        return x
    big = x * (2.0**lost_bits + 1)
    return big - (big - x)


class _Calls(TorchFunctionMode, ABC):
    """Inside, torch's functions do what ``call`` makes of them."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return self.call(func, *args, **(kwargs or {}))

    @abstractmethod
    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What a function is to give."""


class _RoundedProducts(_Calls):
    def __init__(self, lost_bits: int) -> None:
        super().__init__()
        self.lost_bits = lost_bits

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if func in OTHERS:
            raise NotImplementedError(f"{func.__name__} is not rounded; use matmul")
        if func in PRODUCTS:
            args = tuple(rounded(x, self.lost_bits) for x in args)
        return func(*args, **kwargs)


class InFloat32(_Calls):
    """Inside, what asks for bfloat16 gets a copy in its own precision.

    torch's Muon orthogonalises in bfloat16, whatever the weights are; a processor without
    bfloat16 takes a hundred times as long for it.
    """

    def call(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """See :class:`_Calls`."""
        return args[0].clone() if func is Tensor.bfloat16 else func(*args, **kwargs)


@contextmanager
def products_of(operands: Operands) -> Iterator[None]:
    """Inside, operands of matrix products of float32 tensors are rounded so."""
    if operands is Operands.FLOAT32:
        yield
    else:
        with _RoundedProducts(LOST_BITS[operands]):
            yield


#: To choose a precision, chains of so many products of matrices of this size are timed for so long.
PROBE_CHAIN, PROBE_SIZES, PROBE_SECONDS = 16, {"cpu": 512, "cuda": 4096}, 0.5
#: bfloat16 is worth its rounding where it is so many times as fast.
WORTH = 1.25


def choose_precision(device: torch.device) -> tuple[str, str]:
    """What this device should compute in, "bfloat16" or "float32", and a sentence that says why."""
    single, half = (_products_a_second(device, d) for d in (torch.float32, torch.bfloat16))
    best = "bfloat16" if half > WORTH * single else "float32"
    ratio = half / single
    return best, f"{best}: bfloat16 multiplies {ratio:.2g} times as fast as float32 on {device}"


def _products_a_second(device: torch.device, dtype: torch.dtype) -> float:
    size = PROBE_SIZES[device.type]
    # A projection: its powers are itself, so that no chain overflows.
    matrix = torch.full((size, size), 1 / size, dtype=dtype, device=device)
    product = matrix @ matrix
    float(product[0, 0])  # waits for a GPU, here and below
    chains, began = 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < PROBE_SECONDS or not chains:
        for _ in range(PROBE_CHAIN):
            product = matrix @ product
        float(product[0, 0])
        chains += 1
    return chains * PROBE_CHAIN / seconds
