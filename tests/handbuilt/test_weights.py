"""Each trick for exact weights, alone, with its bound."""

from hashlib import sha256
from typing import Any

import numpy as np
import pytest
import torch

from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import Geometry
from handbuilt import build, compile, program
from handbuilt.compiler import BALLAST, SHARPNESS
from handbuilt.interpreter.plies import lag_kernel, parity
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import LayerNorm
from handbuilt.programs.read_back import read_back
from handbuilt.programs.records import (
    Directions,
    Head,
    Link,
    Neurons,
    Program,
    UnknownRuleError,
    capped,
)
from handbuilt.programs.scores import UNSEEN, kernel_scores, self_scores

#: SHA-256 of the names and float32 bytes of all weights.
HASHES = {
    "logic": "27220d652789e407b069c07cacc385ecf9fe3fd18abfecb3282e33498a650c1c",
    "calibrated": "4d794a1a712b0d1759bc216f2ed37820bacabf135e846519d6ad649060da3b62",
    "pooled": "5b475ba0588e7d1c56f6e03839ed9fef073e16f24bfe44914d764a5a17dc4b46",
}


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
    kernel = np.tril(np.full((59, 59), 0.5), -1)
    kernel[:, 0] = 0
    scores, amplitude = kernel_scores(kernel, np.zeros(59, dtype=int))
    value = np.zeros((61, 1))
    value[7] = 1  # token 7 counts, except where position 0 is the sink
    steps, moves = (tuple(str(n) for n in range(size)) for size in (59, 61))
    program = Program(
        geometry=Geometry(8),
        layers=1,
        directions=(
            Directions("position", steps, "this is position {}"),
            Directions("played", moves, "the move is {}"),
            Directions("sum", ("",), "half of all sevens"),
            Directions("half", ("",), "the same, at most 1"),
        ),
        tokens=(Link("played", np.eye(61)),),
        positions=(Link("position", np.eye(59)),),
        heads=(
            Head(
                0, "sum", "half of all sevens", scores,
                (Link("played", value),), (Link("sum", np.array([[amplitude]])),),
            ),
        ),
        neurons=capped(
            Neurons(
                0, "cap", ("",), "caps the sum at 1",
                (Link("sum", np.ones((1, 1))),), np.zeros(1), (Link("half", np.eye(1)),),
            )
        ),
        logits=(),
    )  # fmt: skip
    model = compile(program)
    tokens = torch.tensor([[1, 7, 7, 3, 7, 5, 7, 7]])
    with torch.inference_mode():
        _, cache = model.run_with_cache(tokens, "blocks.0.hook_resid_post")
    seven, where = (tokens == 7).double(), model.layout.directions
    expected = 0.5 * (seven.cumsum(-1) - seven)
    total = cache["blocks.0.hook_resid_post"][..., where["sum"]][..., 0]
    half = cache["blocks.0.hook_resid_post"][..., where["half"]][..., 0]
    assert torch.allclose(total.double(), expected, atol=1e-4)
    assert torch.allclose(half.double(), expected.clamp(max=1), atol=1e-4)


def test_eight_by_eight_weights_are_what_they_always_were() -> None:
    """Bit for bit, so that a change of the code cannot change a figure unseen."""
    for recipe, wanted in HASHES.items():
        digest = sha256()
        for name, tensor in sorted(build(recipe).state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.numpy())
        assert digest.hexdigest() == wanted, recipe


def test_no_direction_means_two_things_at_once() -> None:
    """Places are shared only with what lives between the halves of layer 0, under another name:
    heads of that layer write it, its neurons read it and take it away, and nobody else knows it."""
    rules = program("calibrated")
    short = {d.name: d.over for d in rules.directions if d.over}
    assert short == {"seen": "message", "nearby": "clipped"}
    for head in rules.heads:
        written, read = ({link.name for link in some} for some in (head.writes, head.reads))
        assert not read & short.keys()
        assert not written & (short.keys() if head.layer else set(short.values()))
    for neurons in rules.neurons:
        read = {link.name for link in neurons.reads}
        assert not read & (short.keys() if neurons.layer else set(short.values()))
    gone = {link.name for n in rules.neurons if n.layer == 0 for link in n.writes}
    assert short.keys() <= gone


def test_what_is_compiled_can_be_read_back() -> None:
    """Every record with its reads and writes, and the same weights from what was read."""
    for recipe in ("logic", "calibrated"):
        model = build(recipe)
        written, read = program(recipe), read_back(model)
        assert written.directions == read.directions
        for one, other in zip(written.parts, read.parts, strict=True):
            assert (one.layer, one.name, one.rule) == (other.layer, other.name, other.rule)
        again = compile(read).state_dict()
        for name, weights in model.state_dict().items():
            torch.testing.assert_close(again[name], weights, rtol=1e-6, atol=1e-6)


def test_a_rule_can_be_left_out() -> None:
    """By rule, by part, by length, by layer; what is left is the rest."""
    whole = program("calibrated")
    for name in whole.ablations():
        rest = whole.without(name)
        fewer = [sum(len(n.members) for n in p.neurons) for p in (whole, rest)]
        links = [sum(len(x.reads) + len(x.writes) for x in p.parts) for p in (whole, rest)]
        heads = [len(p.heads) for p in (whole, rest)]
        terms = [sum(len(t.tells) for h in p.heads for t in h.terms) for p in (whole, rest)]
        assert any(b < a for a, b in (fewer, links, heads, terms)), name
    assert whole.without("length-2").without("length-2") is not None
    names = {n.name for n in whole.without("bracket-cap").neurons}
    assert "bracket-cap" not in names
    assert "bracket" in names
    one_layer = whole.without("6.line").neurons
    assert [n.layer for n in one_layer if n.name == "line"] == [7]
    with pytest.raises(UnknownRuleError, match="no rule or part is called 'magic'"):
        whole.without("magic")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"board": 5}, "4, 6 or 8 squares a side, not 5"),
        ({"layers": 3}, "need 4 layers at least, not 3"),
        ({"shape": Shape(d_model=300)}, "need d_model 507 .not 300."),
        ({"shape": Shape(d_mlp=1000, n_heads=7)}, "n_heads 8 .not 7., d_mlp 1811 .not 1000."),
        ({"recipe": "calibrated", "layers": 3}, "need 4 layers at least, not 3"),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        build(**asked)
