"""What lower precision costs: matrix products with operands rounded as tensor cores round them.

Only operands are rounded; sums and results stay float32. That is TF32's mode, on any device and up
to the order of the sums. PyTorch's bfloat16 autocast rounds results as well, so it costs more than
is shown here.
"""

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


class _RoundedProducts(TorchFunctionMode):
    def __init__(self, lost_bits: int) -> None:
        super().__init__()
        self.lost_bits = lost_bits

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in OTHERS:
            raise NotImplementedError(f"{func.__name__} is not rounded; use matmul")
        if func in PRODUCTS:
            args = tuple(rounded(x, self.lost_bits) for x in args)
        return func(*args, **(kwargs or {}))


@contextmanager
def products_of(operands: Operands) -> Iterator[None]:
    """Inside, operands of matrix products of float32 tensors are rounded so."""
    if operands is Operands.FLOAT32:
        yield
    else:
        with _RoundedProducts(LOST_BITS[operands]):
            yield
