"""Transcoders in the place of MLPs: what they write is what the model goes on with."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from comparison.scoring.bench import no_bars
from comparison.studies.transcoders import Transcoded
from comparison.studies.transcripts import alone
from comparison.tools.dictionaries import Scaled, Transcoder
from handbuilt import OthelloGPT
from tests.command_line import run

AS_IS = Scaled(torch.zeros(()), torch.ones(()))


@dataclass
class Exact:
    """A model's own MLP as a dictionary; ``scale`` times what it writes."""

    model: OthelloGPT
    layer: int
    scale: float

    def _weight(self, name: str) -> Tensor:
        return self.model.state_dict()[f"blocks.{self.layer}.{name}"]

    def encode(self, rows: Tensor) -> Tensor:
        read = rows * self._weight("ln2.w") + self._weight("ln2.b")
        return torch.nn.functional.gelu(read @ self._weight("mlp.W_in") + self._weight("mlp.b_in"))

    def decode(self, features: Tensor) -> Tensor:
        return self.scale * (features @ self._weight("mlp.W_out") + self._weight("mlp.b_out"))


def exact(model: OthelloGPT, scale: float = 1.0) -> Transcoded:
    layers = range(model.shape.n_layers)
    return Transcoded.of(
        model, {n: Transcoder(Exact(model, n, scale), AS_IS, AS_IS) for n in layers}
    )


def test_exact_ones_change_nothing_and_wrong_ones_do(soft: OthelloGPT) -> None:
    moves = torch.randint(1, 13, (3, 8), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        assert torch.allclose(exact(soft).network(moves), soft(moves), atol=1e-4)
        assert not torch.allclose(exact(soft, 0.5).network(moves), soft(moves), atol=1e-2)


def test_all_comes_back_through_exact_ones(soft: OthelloGPT) -> None:
    stand_ins = {"exact": exact(soft), "reversed": exact(soft, -1.0)}
    for _, whole, wrong in alone(soft, stand_ins, 16, 1, no_bars).rows:
        assert whole == "100 [100, 100]"
        assert wrong != whole


@pytest.mark.parametrize("active", ["0", "1000000"])
def test_there_are_only_so_many_features(
    active: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("study", "transcoders", "reference", "--active", active)
    assert run(*asked, monkeypatch=monkeypatch) == 2
    assert f"1 to 2048 features can be active, not {active}" in capsys.readouterr().err
