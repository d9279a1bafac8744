"""Each trick for exact weights, alone, with its bound."""

import numpy as np
import torch

from handbuilt.interpreter.plies import lag_kernel, parity
from handbuilt.network.layout import Layout
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import LayerNorm, OthelloGPT
from handbuilt.weights import (
    BALLAST,
    SHARPNESS,
    UNSEEN,
    Weights,
    kernel_scores,
    self_scores,
)


def no_cache(_: str, value: torch.Tensor) -> torch.Tensor:
    return value


def test_ballast_makes_layernorm_the_identity_up_to_the_mean() -> None:
    """Relative error below |signal|^2 / 4C^2 plus float32's, against the empty direction."""
    norm = LayerNorm(Shape())
    with torch.no_grad():
        norm.w.fill_(BALLAST * (2 / 512) ** 0.5)
    generator = torch.Generator().manual_seed(0)
    for size in (0.1, 1.0, 10.0):
        x = size * torch.randn(1000, 512, generator=generator)
        x[:, 0], x[:, 1], x[:, 2] = BALLAST, -BALLAST, 0
        signal = x[:, 3:]
        read = norm(x, no_cache)
        recovered = read[:, 3:] - read[:, 2:3]
        bound = signal.square().sum(-1, keepdim=True) / (4 * BALLAST**2) + 1e-6
        assert ((recovered - signal).abs() <= bound * signal.abs() + 1e-6 * size).all()


def test_gelu_is_relu_to_a_sixth_of_the_sharpness() -> None:
    x = torch.linspace(-3, 3, 600_001, dtype=torch.float64) / SHARPNESS
    wide = torch.linspace(-100, 100, 200_001, dtype=torch.float64)
    for z in (x, wide):
        gelu = torch.nn.functional.gelu(SHARPNESS * z) / SHARPNESS
        assert float((gelu - z.relu()).abs().max()) <= 0.17 / SHARPNESS


def test_scores_realise_any_kernel_with_the_rest_on_the_sink() -> None:
    faded = lag_kernel(0.9 ** torch.arange(58, dtype=torch.float64))
    kernel = (faded * (parity(59)[:, None] * parity(59) > 0)).numpy()
    kernel[:, 0] = 0
    sink = np.zeros(59, dtype=int)
    scores, amplitude = kernel_scores(kernel, sink)
    causal = torch.ones(59, 59, dtype=torch.bool).tril()
    pattern = torch.from_numpy(scores).masked_fill(~causal, -torch.inf).softmax(-1)
    assert torch.allclose(pattern[:, 1:] * amplitude, torch.from_numpy(kernel)[:, 1:], atol=1e-10)
    assert torch.allclose(pattern.sum(-1), torch.ones(59, dtype=torch.float64))
    assert (pattern[:, 0] > 0).all()


def test_a_position_that_sees_itself_alone_sees_nothing_else() -> None:
    pattern = torch.from_numpy(self_scores(59)).softmax(-1)
    assert float((pattern - torch.eye(59)).abs().max()) < 59 * np.exp(UNSEEN)


def test_neurons_and_heads_write_what_they_say() -> None:
    """A capped neuron and a kernel head in a real model, read from the residual stream."""
    layout, model = Layout(), OthelloGPT()
    weights = Weights(model, layout)
    layout.directions.add("position", [str(t) for t in range(59)])
    layout.directions.add("played", [str(t) for t in range(61)])
    layout.directions.add("sum")
    layout.directions.add("half")
    weights["embed.W_E"][:, layout.directions["played"]] = np.eye(61)
    weights["pos_embed.W_pos"][:, layout.directions["position"]] = np.eye(59)
    kernel = np.tril(np.full((59, 59), 0.5), -1)
    kernel[:, 0] = 0
    scores, amplitude = kernel_scores(kernel, np.zeros(59, dtype=int))
    value = np.zeros((61, 1))
    value[7] = 1  # token 7 counts, except where position 0 is the sink
    weights.head(
        0, "sum", "half of all sevens", scores, {"played": value}, {"sum": np.array([[amplitude]])}
    )
    weights.capped(
        0, "cap", [""], "caps the sum at 1", {"sum": np.ones((1, 1))}, 0.0, {"half": np.eye(1)}
    )
    weights.store()
    tokens = torch.tensor([[1, 7, 7, 3, 7, 5, 7, 7]])
    with torch.inference_mode():
        _, cache = model.run_with_cache(tokens)
    seven = (tokens == 7).double()
    expected = 0.5 * (seven.cumsum(-1) - seven)
    total = cache["blocks.0.hook_resid_post"][..., layout.directions["sum"]][..., 0]
    capped = cache["blocks.0.hook_resid_post"][..., layout.directions["half"]][..., 0]
    assert torch.allclose(total.double(), expected, atol=1e-4)
    assert torch.allclose(capped.double(), expected.clamp(0, 1), atol=1e-4)
