"""Optimizers of a run and what stands beside the weights: averages of them."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from comparison.training.settings import Settings, TrainingError
from handbuilt.network.precision import InFloat32
from handbuilt.network.transformer import OthelloGPT


def _as_matrix(name: str, tensor: Tensor) -> Tensor:
    """A view of a block's weights as the matrix that maps row vectors; attention's take all heads
    at once: [d_model, heads * d_head], and back for W_O."""
    if tensor.dim() == 2:
        return tensor
    if name.endswith("W_O"):
        return tensor.flatten(0, 1)
    return tensor.transpose(0, 1).flatten(1)


def _shared_matrix(name: str, weight: nn.Parameter) -> nn.Parameter:
    """A weight's matrix, contiguous; the weight becomes a view of its memory."""
    matrix = _as_matrix(name, weight.detach()).contiguous()
    if name.endswith(("W_Q", "W_K", "W_V")):
        heads, d_model, d_head = weight.shape
        weight.data = matrix.view(d_model, heads, d_head).transpose(0, 1)
    else:
        weight.data = matrix.view(weight.shape)
    return nn.Parameter(matrix)


class Optimizers:
    """AdamW for all weights, or Muon for the blocks' matrices and AdamW for the rest.

    The blocks' matrices decay; biases, gains, embeddings and the unembedding do not.
    """

    def __init__(self, model: OthelloGPT, settings: Settings, precision: str) -> None:
        """``precision`` is what is computed in. Raises TrainingError for a torch without Muon."""
        self._settings = settings
        self.parameters = list(model.parameters())
        named = dict(model.named_parameters())
        matrices = {n: p for n, p in named.items() if n.startswith("blocks.") and ".W_" in n}
        rest = [parameter for name, parameter in named.items() if name not in matrices]
        #: Muon's own matrices by name; they share their memory with the model's weights.
        self._views: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
        self._all: list[torch.optim.Optimizer] = []
        self._muon_in: AbstractContextManager[Any] = nullcontext()
        groups: list[dict[str, Any]] = [{"params": rest, "weight_decay": 0.0}]
        if settings.optimizer == "muon":
            if not hasattr(torch.optim, "Muon"):
                raise TrainingError(f"torch {torch.__version__} has no Muon; 2.9 is the first")
            self._views = {n: (p, _shared_matrix(n, p)) for n, p in matrices.items()}
            muon = torch.optim.Muon(
                [view for _, view in self._views.values()],
                lr=settings.muon_rate,
                momentum=0.95,
                weight_decay=settings.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
            self._all.append(muon)
            if precision == "float32":
                self._muon_in = InFloat32()
        else:
            groups.append(
                {"params": list(matrices.values()), "weight_decay": settings.weight_decay}
            )
        rate = settings.learning_rate
        self._all.append(torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), fused=True))
        self._names = {id(parameter): name for name, parameter in named.items()}
        self._names |= {id(view): name for name, (_, view) in self._views.items()}

    def step(self, step: int) -> None:
        """Apply the gradients with the rates of a step (from 0), then forget them."""
        if self._settings.clip:
            nn.utils.clip_grad_norm_(self.parameters, self._settings.clip)
        for name, (weight, view) in self._views.items():
            assert weight.grad is not None
            view.grad = _as_matrix(name, weight.grad)
        rate = self._settings.rate(step)
        for optimizer in self._all:
            for group in optimizer.param_groups:
                group["lr"] = rate * optimizer.defaults["lr"]
        with self._muon_in:
            for optimizer in self._all:
                optimizer.step()
        for parameter in (*self.parameters, *(view for _, view in self._views.values())):
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Moments and counts, as ``exp_avg.blocks.0.mlp.W_in``."""
        return {
            f"{key}.{self._names[id(parameter)]}": torch.as_tensor(value)
            for optimizer, parameter in self._stepped()
            for key, value in optimizer.state[parameter].items()
        }

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """What :meth:`state` gave. Raises KeyError or ValueError."""
        for optimizer, parameter in self._stepped():
            name = self._names[id(parameter)]
            adamw = isinstance(optimizer, torch.optim.AdamW)
            keys = ("step", "exp_avg", "exp_avg_sq") if adamw else ("momentum_buffer",)
            moments = {key: tensors[f"{key}.{name}"].to(parameter.device) for key in keys}
            if any(m.dim() and m.shape != parameter.shape for m in moments.values()):
                raise ValueError(f"{name} has moments of another shape")
            optimizer.state[parameter] = moments

    def _stepped(self) -> Iterable[tuple[torch.optim.Optimizer, Tensor]]:
        for optimizer in self._all:
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    yield optimizer, parameter
