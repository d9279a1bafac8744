"""A device that does not exist: its tensors lie on the CPU and refuse to be mixed with the CPU's.

It finds what a GPU would: a table, a mask or a draw that was left on the CPU. As on CUDA, single
numbers and indices may come from the CPU, and copies may go to and fro. Tensors are wrappers, whose
operations are those of what they wrap; what makes tensors from nothing comes here as the kernels
of torch's backend for private use.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_flatten, tree_map_only

NAME = "pretend"
#: What may read from one device and write to another.
COPIES = {torch.ops.aten.copy_.default, torch.ops.aten._to_copy.default}
#: What takes indices from anywhere, as CUDA does.
INDEXING = {
    torch.ops.aten.index.Tensor,
    torch.ops.aten.index_put_.default,
    torch.ops.aten.index_put.default,
    torch.ops.aten._index_put_impl_.default,
}


class MixedDevicesError(RuntimeError):
    """Tensors of both devices in one operation."""


class Pretend(Tensor):
    """A tensor on the device; ``raw`` is what it wraps."""

    raw: Tensor

    @staticmethod
    def __new__(cls, raw: Tensor) -> "Pretend":
        # A tensor of inference mode could not be a view of one from outside.
        with torch.inference_mode(False):
            made = Tensor._make_wrapper_subclass(
                cls, raw.size(), strides=raw.stride(), storage_offset=raw.storage_offset(),
                dtype=raw.dtype, device=torch.device(NAME, 0),
            )  # fmt: skip
        made.raw = raw
        return made

    def __getitem__(self, index: Any) -> Tensor:
        return super().__getitem__(_indices(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(_indices(index), value)

    def tolist(self) -> Any:
        return self.raw.tolist()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Pretend({self.raw})"

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        # In inference mode composite operations come here whole.
        done = operation.decompose(*args, **kwargs or {})
        return run(operation, *args, **kwargs or {}) if done is NotImplemented else done


def _indices(index: Any) -> Any:
    """Lists as tensors: torch would make them where it cannot."""
    if isinstance(index, tuple):
        return tuple(map(_indices, index))
    return torch.tensor(index) if isinstance(index, list) else index


def run(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """An operation of torch on what the tensors wrap. Raises MixedDevicesError."""
    flat, _ = tree_flatten((args, kwargs))
    wrapped = {id(value.raw): value for value in flat if isinstance(value, Pretend)}
    ours = [value for value in flat if isinstance(value, Tensor) and not isinstance(value, Pretend)]
    if wrapped and operation not in COPIES:
        others = [] if operation in INDEXING else [t for t in ours if t.dim()]
        if others:
            raise MixedDevicesError(f"{operation} of {NAME} and of {[t.shape for t in others]}")
    device = kwargs.get("device")
    here = bool(wrapped) if device is None else torch.device(device).type == NAME
    generator = kwargs.get("generator")
    if here and generator is not None and generator._cdata not in Generator.known:
        raise MixedDevicesError(f"{operation} draws for {NAME} with the CPU's generator")
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    args, kwargs = tree_map_only(Pretend, lambda tensor: tensor.raw, (args, kwargs))
    given = {id(tensor) for tensor in ours}

    def wrap(found: Tensor) -> Tensor:
        if id(found) in wrapped:
            return wrapped[id(found)]
        return Pretend(found) if here and id(found) not in given else found

    return tree_map_only(Tensor, wrap, operation(*args, **kwargs))


class Generator(torch.Generator):
    """Takes the place of ``torch.Generator``, which cannot be made for the device: there it is one
    of the CPU that is known to be the device's."""

    known: ClassVar[dict[int, torch.Generator]] = {}

    def __new__(cls, device: torch.device | str = "cpu") -> torch.Generator:  # type: ignore[misc]
        if torch.device(device).type != NAME:
            return _generator(device)
        made = super().__new__(cls, "cpu")
        return cls.known.setdefault(made._cdata, made)

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device(NAME, 0)


def tensor(data: Any, *, device: torch.device | str = "cpu", **kwargs: Any) -> Tensor:
    """Takes the place of ``torch.tensor``, which fails for the device."""
    return _tensor(data, **kwargs).to(device)


_generator, _tensor = torch.Generator, torch.tensor


class _Module:
    """What torch asks of a device: ``torch.pretend``."""

    @staticmethod
    def device_count() -> int:
        return 1

    is_available = is_initialized = staticmethod(lambda: True)
    current_device = staticmethod(lambda: 0)
    _is_in_bad_fork = staticmethod(lambda: False)
    manual_seed_all = staticmethod(lambda seed: None)
    get_amp_supported_dtype = staticmethod(lambda: [torch.bfloat16, torch.float16])


def device() -> torch.device:
    """The device, which exists from the first call on."""
    if torch._C._get_privateuse1_backend_name() != NAME:
        backend_registration._setup_privateuseone_for_python_backend(NAME, _Module())
        library = torch.library.Library("_", "IMPL")
        library.fallback(run, "PrivateUse1")
        _KEPT.append(library)
    return torch.device(NAME, 0)


_KEPT: list[torch.library.Library] = []
