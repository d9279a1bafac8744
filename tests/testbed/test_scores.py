"""The key scores best on every score, chance its floor, and what is wrong is one sentence."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from comparison.testbed import scoring
from comparison.testbed.circuits import contributions
from comparison.testbed.directions import match, true_directions
from comparison.testbed.features import Truths
from comparison.testbed.neurons import true_claims
from comparison.testbed.result import FORMAT, VERSION, Found, ResultError, about
from comparison.testbed.scores import Score
from extracted_rules import random_games
from handbuilt.testbed.key import KeyFileError
from handbuilt.testbed.making import Made, write
from tests.command_line import run
from tests.testbed.made import BOARD, made

PLACE = "blocks.3.hook_resid_post"
PREDICTION = {"moves": "c4b4a4", "square": "a3"}
FLAT = {"split names", "merged directions", "invented"}


@cache
@torch.inference_mode()
def answers(difficulty: str = "disguised", seed: int = 3) -> dict[str, Any]:
    """What a tool would say that knows the key."""
    bed = made(difficulty, seed)
    key, model = bed.key, bed.model
    games = next(random_games(60, 5, board=BOARD))[:, : model.shape.n_ctx]
    place = key.truth.places[key.place(PLACE)]
    _, cache = model.run_with_cache(games.long(), place)
    values = key.values(cache[place], place)[..., key.names_at(place)]
    exact = contributions(key, model, **PREDICTION)
    return {
        "place": PLACE,
        "directions": true_directions(key, PLACE).clone(),
        "activations": torch.cat([values, -values], -1).clamp(min=0).clone(),
        "games": games,
        "claims": [asdict(claim) for claim in true_claims(key)],
        "edges": [(*edge, 1.0) for edge in key.truth.edges],
        **{name: scores.abs().float().clone() for name, scores in exact.items()},
        **PREDICTION,
    }


def save(path: Path, bed: Made, **fields: Any) -> Path:
    """As safetensors, or JSON where the name says so."""
    said = {"format": FORMAT, "version": VERSION, "model": bed.key.truth.model, **fields}
    if path.suffix == ".json":
        plain = {n: x.tolist() if isinstance(x, Tensor) else x for n, x in said.items()}
        path.write_text(json.dumps(plain))
        return path
    tensors = {n: x.contiguous() for n, x in said.items() if isinstance(x, Tensor)}
    words = {n: x if isinstance(x, str) else json.dumps(x) for n, x in said.items()
             if n not in tensors}  # fmt: skip
    save_file(tensors, path, metadata=words)
    return path


def scored(path: Path, bed: Made) -> Mapping[tuple[str, str], Score]:
    found = scoring.score(path, bed.key, bed.model)
    return {(score.group, score.name): score for score in found}


@pytest.mark.parametrize("difficulty", ["disguised", "superposed"])
def test_the_key_scores_best(tmp_path: Path, difficulty: str) -> None:
    """1 wherever a figure is about the key alone; chance is far below."""
    bed = made(difficulty)
    scores = scored(save(tmp_path / "key.safetensors", bed, **answers(difficulty)), bed)
    groups = {group for group, _ in scores}
    assert groups == {"directions", "interventions", "features", "neurons", "edges", "parts"}
    of_the_model = {"F1 with the activity", "coverage of discs", "board reconstruction"}
    of_the_model.add("features that follow a rule")  # some names are rarely there
    for (_, name), score in scores.items():
        assert score.value == pytest.approx(score.ceiling, abs=2e-2), name
        if name in FLAT:
            continue
        assert score.floor < score.ceiling - 0.05, name
        if name not in of_the_model:
            assert score.value > 0.99, name


def test_a_feature_follows_what_it_was_made_of() -> None:
    """A condition on the board is found again, in whole and in half of its games, and no feature
    that is dealt to other positions follows anything."""
    bed, known = made(), dict(answers())
    known["games"] = known["games"].long()
    found = Found(replace(about(bed.model), place=PLACE), known)
    truths = Truths(found, bed.key, bed.model)
    rule = next(words for words in truths.conditions if words.startswith("flip"))
    one = truths.conditions[rule].float()
    which, f1 = truths.followed(torch.stack([one * 0.7, one.roll(1000)], 1))
    assert (truths.rules[int(which[0])], float(f1[0])) == (rule, 1.0)
    assert float(f1[1]) < 0.5


def test_the_same_in_json(tmp_path: Path) -> None:
    bed, fields = made(), {n: answers()[n] for n in ("directions", "place", "claims", "edges")}
    one, other = (scored(save(tmp_path / n, bed, **fields), bed) for n in ("a.json", "a.st"))
    assert {n: s.value for n, s in one.items()} == pytest.approx(
        {n: s.value for n, s in other.items()}
    )


def test_a_key_of_one_seed_scores_the_floor_on_another(tmp_path: Path) -> None:
    bed, other = made(), dict(answers(seed=4))
    for name in ("activations", "games"):
        other.pop(name)  # the same games give the same features, whatever the disguise
    scores = scored(save(tmp_path / "other.safetensors", bed, **other), bed)
    for name in ("MCC", "recall at 0.9"):
        score = scores["directions", name]
        assert score.value < score.floor + 0.05
    rule = scores["neurons", "F1 with the rule"]
    assert rule.value < rule.floor + 0.05
    assert scores["parts", "AUROC"].value < 0.75


def test_faithfulness_of_what_is_kept(tmp_path: Path) -> None:
    """All parts in use are the whole model; as many by chance are not."""
    bed, loud = made(), answers()
    fields = {name: loud[name] for name in ("heads", "neurons")}
    scores = scored(save(tmp_path / "parts.safetensors", bed, **fields), bed)
    for how in ("mean", "resample"):
        whole = scores["parts", f"faithfulness, 100% kept, {how}"]
        assert whole.ceiling == pytest.approx(1, abs=1e-3)
        assert whole.floor < 0.9


def test_split_and_merged() -> None:
    true = torch.eye(8)[:4]
    assert match(true, true)["MCC"] == 1
    merged = match(torch.stack([true[0] + true[1]]), true)
    assert merged["merged directions"] == 1
    assert merged["MCC"] == pytest.approx(0.5**0.5 / 4)
    part = torch.eye(8)[6] * 0.5
    split = match(torch.stack([true[0] + part, true[0] - part]), true)
    assert split["split names"] == 0.25


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "0" * 64}, "another model"),
        ({"directions": torch.full((3, 128), torch.nan)}, "NaN"),
        ({"directions": torch.zeros(3, 7)}, r"should be \[any, 128\]"),
        ({"directions": torch.ones(3, 128), "place": "blocks.9.hook_resid_post"}, "no place"),
        ({"directions": torch.ones(3, 128), "place": "nowhere"}, "no place"),
        ({"activations": torch.ones(2, 3, 4), "place": PLACE}, "need the games"),
        ({"heads": torch.ones(8, 8), "moves": "c4c4", "square": "a3"}, "no prediction"),
        ({"heads": torch.ones(8, 8), "moves": "c4", "square": "z9"}, "no prediction"),
        ({"claims": [{"layer": 99, "neuron": 0, "kind": "line", "parts": []}]}, "no neuron"),
        ({"claims": [{"layer": 1, "neuron": 0, "kind": "line", "parts": ["A1-Z9"]}]}, "no part"),
        ({"edges": [("embed", "nothing", 1.0)]}, "no edge"),
        ({"version": 2, "directions": torch.ones(3, 128)}, "version"),
        ({"places": 1}, "has a field 'places'"),
        ({}, "nothing"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    bed = made()
    with pytest.raises((ResultError, KeyFileError), match=words):
        scored(save(tmp_path / "bad.safetensors", bed, **change), bed)


def test_no_result_at_all(tmp_path: Path) -> None:
    for text in ("", "{", "[1]", "game"):
        (tmp_path / "bad").write_text(text)
        with pytest.raises(ResultError, match="result"):
            scored(tmp_path / "bad", made())
    with pytest.raises(ResultError, match="no readable"):
        scored(tmp_path / "none", made())


def test_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "bed", tmp_path / "scores.json"
    make = ("testbed", "make", "--out", str(out), "--recipe", "logic", "--board", str(BOARD))
    assert run(*make, "--seed", "3", "--sealed", monkeypatch=monkeypatch) == 0
    found = save(tmp_path / "found.safetensors", made(), directions=answers()["directions"],
                 place=PLACE)  # fmt: skip
    key = str(tmp_path / "bed.key")
    score = ("testbed", "score", key, str(found), "--json", str(report))
    assert run(*score, monkeypatch=monkeypatch) == 0
    assert "MCC" in capsys.readouterr().out
    assert json.loads(report.read_text())[0]["value"] == pytest.approx(1)
    rules = ("--rules", str(tmp_path / "rules.json"))
    assert run(*score, *rules, monkeypatch=monkeypatch) == 2
    assert "no activations" in capsys.readouterr().err
    fields = {name: answers()[name] for name in ("activations", "games", "place")}
    features = str(save(tmp_path / "features.safetensors", made(), **fields))
    assert run("testbed", "score", key, features, *rules, monkeypatch=monkeypatch) == 0
    assert "rules that features follow" in capsys.readouterr().out
    followed = json.loads((tmp_path / "rules.json").read_text())
    assert max(f["f1"] for f in followed) == 1
    write(made(seed=4), out)
    assert run("testbed", "score", key, str(found), monkeypatch=monkeypatch) == 2
    assert "hashes differ" in capsys.readouterr().err
    assert run("testbed", "score", str(tmp_path), str(found), monkeypatch=monkeypatch) == 2
