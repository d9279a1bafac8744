"""Matching pursuit against brute force, another implementation, and least squares."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import orthogonal_mp_gram
from torch import Tensor

from extracted_rules.discovery.names import Spread
from extracted_rules.discovery.sparse import ReadsError, check_reads, dense, kept, learn, pursue

NAMES, TARGETS = 7, 5


def problem(seed: int, mixed: bool) -> tuple[Tensor, Tensor]:
    """(covariance of names, each of variance 1, that of names with targets)."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(60, NAMES, generator=generator, dtype=torch.float64)
    if mixed:
        x = x @ torch.randn(NAMES, NAMES, generator=generator, dtype=torch.float64)
    else:
        x = torch.linalg.qr(x)[0]
    x = x / x.square().mean(0).sqrt()
    y = torch.randn(60, TARGETS, generator=generator, dtype=torch.float64)
    return x.T @ x / len(x), x.T @ y / len(x)


def explained(among: Tensor, shared: Tensor, names: tuple[int, ...]) -> float:
    """Of one target's variance, by the best weights of some names."""
    at = list(names)
    return float(shared[at] @ torch.linalg.solve(among[at][:, at], shared[at]))


@given(st.integers(0, 1000), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_of_names_apart_the_best_are_chosen(seed: int, reads: int) -> None:
    among, shared = problem(seed, mixed=False)
    chosen, _ = pursue(among, shared, reads)
    for target, names in enumerate(chosen.tolist()):
        of = shared[:, target]
        best = max(explained(among, of, some) for some in combinations(range(NAMES), reads))
        assert explained(among, of, tuple(names)) == pytest.approx(best, rel=1e-4)


@given(st.integers(0, 1000), st.integers(1, NAMES - 1))
@settings(max_examples=15, deadline=None)
def test_it_is_the_pursuit_that_others_know(seed: int, reads: int) -> None:
    among, shared = problem(seed, mixed=True)
    chosen, strengths = pursue(among, shared, reads)
    theirs = orthogonal_mp_gram(among.numpy(), shared.numpy(), n_nonzero_coefs=reads)
    ours = dense(chosen, strengths, NAMES).numpy()
    mine, other = (
        np.einsum("nt,nm,mt->t", 2 * shared.numpy() - among.numpy() @ w, np.eye(NAMES), w)
        for w in (ours, theirs.reshape(NAMES, TARGETS))
    )
    np.testing.assert_allclose(mine, other, rtol=1e-3, atol=1e-5)


def test_all_names_are_least_squares() -> None:
    among, shared = problem(3, mixed=True)
    chosen, strengths = pursue(among, shared, NAMES)
    assert chosen.shape == strengths.shape == (TARGETS, NAMES)
    expected = torch.linalg.solve(among, shared)
    torch.testing.assert_close(dense(chosen, strengths, NAMES), expected, rtol=1e-2, atol=1e-3)


def test_a_name_that_never_varies_is_no_help() -> None:
    among, shared = problem(4, mixed=True)
    among[2], among[:, 2], shared[2] = 0, 0, 0
    chosen, strengths = pursue(among, shared, 4)
    assert 2 not in chosen
    assert bool(strengths.isfinite().all())


def test_what_is_kept() -> None:
    spread = torch.diag(torch.tensor([1.0, 4.0]))
    wanted = torch.tensor([[1.0], [1.0]])
    assert kept(spread, wanted, wanted) == 1
    assert kept(spread, wanted, torch.tensor([[0.0], [1.0]])) == pytest.approx(0.8)
    assert kept(spread, torch.zeros(2, 1), wanted) == 1


@pytest.mark.parametrize(("reads", "says"), [(0, "at least 1 name"), (8, "there are 7")])
def test_reads_that_there_cannot_be(reads: int, says: str) -> None:
    with pytest.raises(ReadsError, match=says):
        check_reads(reads, NAMES)
    with pytest.raises(ReadsError, match=says):
        pursue(*problem(1, mixed=True), reads)


def test_a_dictionary_is_learned() -> None:
    """What was put in is found again, up to its sign; of what has no structure, little is."""
    drawn = torch.Generator().manual_seed(1)

    def noise(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=drawn, dtype=torch.float64)

    size, atoms, targets = 24, 12, 400
    mixing = noise(size, size)
    spread = Spread(
        mixing @ mixing.T / size, noise(size, 0), noise(0), torch.ones(size, dtype=torch.bool)
    )
    planted = spread.scaled(noise(size, atoms))
    which = torch.rand(targets, atoms, generator=drawn).argsort(1)[:, :2]
    wanted = planted @ dense(which, noise(targets, 2), atoms)
    start = spread.scaled(noise(size, atoms))

    def share(directions: Tensor, of: Tensor) -> float:
        chosen, strengths = pursue(
            spread.among(directions), directions.T @ spread.activations @ of, 2
        )
        return kept(spread.activations, of, directions @ dense(chosen, strengths, atoms))

    found = learn(start, wanted, spread, 2, 40)
    cosines = (planted.T @ spread.activations @ found).abs().amax(1)
    assert (cosines > 0.99).double().mean() > 0.7
    assert share(found, wanted) > share(start, wanted) + 0.3
    formless = noise(size, targets)
    assert share(learn(start, formless, spread, 2, 40), formless) < share(found, wanted) - 0.2
