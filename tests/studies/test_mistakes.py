"""Mistakes of a network in names: facts put right, and what neurons add."""

from pathlib import Path

import pytest
import torch

from comparison.scoring.bench import no_bars
from comparison.studies.mistakes import DOUBTED, Facts, Last, neurons
from extracted_rules.discovery.names import kind_of, truth
from handbuilt import OthelloGPT, build
from handbuilt.analysis.streams import moves_of, random_replays
from handbuilt.transcripts.program import names_of
from tests.command_line import run


@pytest.fixture(scope="module")
def last(named: OthelloGPT) -> Last:
    return Last.of(named, 32, 1, no_bars)


def test_facts_are_put_right(named: OthelloGPT) -> None:
    facts = Facts(named, DOUBTED, 1)
    (played,) = random_replays(named, 8, 1, "test")
    true, where = truth(played)
    place = "blocks.1.ln2.hook_normalized"
    with torch.inference_mode():
        felt = named.run_with_cache(moves_of(played), [place])[1][place][where]
    assert facts.wrong(felt, true).any()
    right = facts.put_right(felt, true)
    assert not facts.wrong(right, true).any()
    others = [n for n, name in enumerate(names_of(named)) if kind_of(name) not in DOUBTED]
    assert torch.equal(facts.told(right)[:, others], facts.told(felt)[:, others])


def test_neurons_add_up_to_a_difference_of_logits(last: Last) -> None:
    some = torch.arange(0, len(last.game), 7)
    one, other = torch.randint(last.legal.shape[1], (2, len(some)))
    logits = last.logits(last.stream(some))
    final = last.model.ln_final
    scale = (last.stream(some).var(-1, unbiased=False) + final.eps).sqrt()
    middle = last.middle[some] - last.middle[some].mean(-1, keepdim=True)
    unembed, bias = last.model.unembed.W_U[:, 1:].T, last.model.unembed.b_U[1:]
    standing = (middle / scale[:, None] * final.w + final.b) @ unembed.T + bias
    at = torch.arange(len(some))
    wanted = logits[at, one] - logits[at, other] - standing[at, one] + standing[at, other]
    found = last.says(some, one, other).sum(1)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_a_neuron_that_alone_says_which_move_is_found(last: Last) -> None:
    writes, unembed = torch.zeros_like(last.writes), last.model.unembed.W_U[:, 1:]
    often = last.legal.sum(0)
    towards = unembed[:, often.argmax()] - unembed[:, often.argmin()]
    writes[last.off.std(0).argmax()] = 1000 * towards / towards.norm()
    own = Last(**{**last.__dict__, "writes": writes})
    table = neurons(own, 1)
    read = {row[0]: row[1:] for row in table.rows}
    mended, chance = read["of mended: the 1 that say most against it alone outweigh it"]
    assert mended.startswith("100.0")
    assert chance.startswith("100.0")


def test_the_study_as_a_person_types_it(
    named: OthelloGPT,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    named.save(tmp_path / "named.safetensors")
    asked = ("study", "mistakes", str(tmp_path / "named.safetensors"), "--games", "16")
    assert run(*asked, monkeypatch=monkeypatch) == 0
    assert "mistakes gone" in capsys.readouterr().out
    build("logic", board=4).save(tmp_path / "logic.safetensors")
    asked = ("study", "mistakes", str(tmp_path / "logic.safetensors"), "--games", "16")
    assert run(*asked, monkeypatch=monkeypatch) == 2
    assert "does not say what its names mean" in capsys.readouterr().err
