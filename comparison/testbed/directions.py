"""Directions that a tool found (a probe's, an SAE's decoder) against the named ones."""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from comparison.testbed.result import Found
from comparison.testbed.scores import Figures, Score, beside
from handbuilt.testbed.key import Key

#: From this cosine on, its sign left aside, a direction is taken to be a name's.
MATCH = 0.9
#: From this cosine on a direction says something of a name: two names in equal parts have 0.71.
SHARE = 0.6


def score_directions(found: Found, key: Key, seed: int) -> list[Score]:
    """MCC, cosines, precision and recall; split names and merged ones.

    The names are those that vary at the result's place; chance is as many random directions.
    """
    true = true_directions(key, found.said.place, found.said.role)
    given = found.arrays["directions"]
    generator = torch.Generator().manual_seed(seed)
    chance = torch.randn(given.shape, generator=generator)
    return beside("directions", lambda of: match(of, true), given, true, chance)


def true_directions(key: Key, place: str, role: str = "write") -> Tensor:
    """float32 [names, d_model]: the vectors of the names that vary there, as they are written or
    read."""
    names = key.names_at(place)
    if role == "write":
        return key.tensors["write"][names]
    return key.tensors["read"][key.place(place)][names]


def match(given: Tensor, true: Tensor) -> Figures:
    """Figures of directions [n, d_model] against true ones [names, d_model].

    MCC: the mean cosine, its sign left aside, over the best one-to-one matching (Hungarian), names
    without a partner counting 0. precision: the share of directions that are some name's; recall:
    the share of names that some direction is of. split: names of which several directions say
    something while none is theirs; merged: directions that say something of several names.
    """
    cosines = (normalize(given) @ normalize(true).T).abs()
    rows, columns = linear_sum_assignment(cosines.numpy(), maximize=True)
    best, best_name = cosines.max(1).values, cosines.max(0).values
    precision, recall = (float((x >= MATCH).float().mean()) for x in (best, best_name))
    says = cosines >= SHARE
    several = (says & (cosines == best[:, None])).sum(0) > 1
    return {
        "MCC": float(cosines[rows, columns].sum()) / len(true),
        "mean best cosine of names": float(best_name.mean()),
        f"precision at {MATCH}": precision,
        f"recall at {MATCH}": recall,
        "split names": float(several.float().mean()),
        "merged directions": float((says.sum(1) > 1).float().mean()),
    }
