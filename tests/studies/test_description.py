"""Networks in names, in few bits and with few neurons."""

from pathlib import Path

import pytest
import torch

from comparison.scoring.bench import no_bars
from comparison.studies.description import _means, by_neurons, only, rounded
from handbuilt import OthelloGPT, build
from handbuilt.network.shape import CheckpointError
from handbuilt.transcripts.program import names_of
from tests.command_line import run


def test_reads_are_rounded_and_nothing_else(named: OthelloGPT) -> None:
    names = len(names_of(named))
    made, total = rounded(named, 4, reads_alone=True)
    for (name, own), new in zip(named.named_parameters(), made.parameters(), strict=True):
        if name == "blocks.1.mlp.W_in":
            assert not torch.equal(own, new)
            torch.testing.assert_close(new[0], -new[1:].sum(0))
            of_neuron = new[1 : 1 + names, 3]
            assert len(set(of_neuron[of_neuron != 0].abs().tolist())) <= 7
        else:
            assert torch.equal(own, new), name
    read = int((made.blocks[1].mlp.W_in[1 : 1 + names] != 0).sum())
    assert 4 * read < total < 20 * read
    exact, _ = rounded(named, 22, reads_alone=True)
    torch.testing.assert_close(
        exact.blocks[1].mlp.W_in, named.blocks[1].mlp.W_in, atol=1e-4, rtol=0
    )


def test_more_bits_are_nearer(named: OthelloGPT) -> None:
    tokens = torch.randint(1, 13, (8, 11))
    with torch.inference_mode():
        wanted = named(tokens)
        apart = [
            (rounded(named, bits, reads_alone=False)[0](tokens) - wanted).norm()
            for bits in (4, 8, 12)
        ]
    assert apart[0] > 4 * apart[1] > 16 * apart[2]
    with pytest.raises(CheckpointError, match="what its names mean"):
        rounded(build("logic", board=4), 4, reads_alone=True)


def test_neurons_at_their_means(named: OthelloGPT) -> None:
    means, size = _means(named, 32, 1)
    every = torch.ones_like(size, dtype=torch.bool)
    tokens = torch.randint(1, 13, (8, 11))
    with torch.inference_mode():
        assert torch.equal(only(named, every, means)(tokens), named(tokens))
        silent = only(named, ~every, means)
        place = "blocks.0.hook_mlp_out"
        _, kept = silent.run_with_cache(tokens, [place])
        wanted = means[0] @ named.blocks[0].mlp.W_out + named.blocks[0].mlp.b_out
        torch.testing.assert_close(kept[place], wanted.expand_as(kept[place]))
    found = by_neurons(named, named, [8, 96], 32, 1, no_bars)
    assert found["random ones", 96].estimates["kl"].value < 1e-9
    assert found["random ones", 8].estimates["kl"].value > 0.001


def test_the_study_as_a_person_types_it(
    named: OthelloGPT,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model, network, out = tmp_path / "a.safetensors", tmp_path / "b.safetensors", tmp_path / "out"
    named.save(model)
    named.save(network)
    asked = ("study", "description", str(model), str(network), "--games", "8", "--out", str(out))
    few = ("--bits", "4,8", "--kept", "8,96")
    assert run(*asked, *few, monkeypatch=monkeypatch) == 0
    assert "Mbit" in capsys.readouterr().out
    assert (out / "description.png").stat().st_size > 1000
    for wrong, says in ((("--bits", "1"), "at least 2 bits"), (("--kept", "x"), "no numbers")):
        assert run(*asked, *wrong, monkeypatch=monkeypatch) == 2
        assert says in capsys.readouterr().err
