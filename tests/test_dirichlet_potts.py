"""Fields with a Dirichlet process on their labels, against sums over all partitions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from field_cases import z_score

import tfbdl
from tfbdl import errors
from tfbdl.inference import DirichletPotts
from tfbdl.inference.fields.dirichlet_potts import in_order_of_appearance

EDGES = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0), (0, 2)]
BETA = [0.5, 0.2, 0.9, 0.3, 0.1, 0.6]
FEATURES = np.array([[0.0, 1.0], [0.3, -0.5], [1.2, 0.4], [1.9, 0.3], [0.1, 0.8]])
PRIOR = {"m0": [0.5, 0.2], "kappa0": 0.3, "a0": 1.5, "b0": [0.4, 0.7]}
ALPHA = 2.0
LENGTH = {"chains": 40, "warmup": 40, "draws": 150}
BOUND = 4.5  # standard errors, over some dozens of statistics


def partitions(n: int, used: int = 0) -> Iterator[tuple[int, ...]]:
    """All ways to divide n sites, labels in the order of their first appearance."""
    if n == 0:
        yield ()
        return
    for label in range(used + 1):
        for rest in partitions(n - 1, max(used, label + 1)):
            yield (label, *rest)


def log_restaurant(z: tuple[int, ...]) -> float:
    """Guests come one by one; each joins a table by its size, or opens one."""
    total = 0.0
    for i, label in enumerate(z):
        there = z[:i].count(label)
        total += np.log((there if there else ALPHA) / (ALPHA + i))
    return total


def log_evidence(y: np.ndarray) -> float:
    """The rows of one segment one by one, each by its Student t predictive."""
    total = 0.0
    for column, m0, b0 in zip(y.T, PRIOR["m0"], PRIOR["b0"], strict=y.size > 0):
        m, kappa, a, b = m0, PRIOR["kappa0"], PRIOR["a0"], b0
        for value in column:
            scale = np.sqrt(b * (kappa + 1) / (a * kappa))
            total += scipy.stats.t.logpdf(value, 2 * a, m, scale)
            b += 0.5 * kappa * (value - m) ** 2 / (kappa + 1)
            m, kappa, a = (kappa * m + value) / (kappa + 1), kappa + 1, a + 0.5
    return total


def enumerated(features: np.ndarray, beta: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """All partitions ``[p, site]`` and their log weights ``[p]``."""
    every = list(partitions(5))
    weights = []
    for z in every:
        agreeing = sum(b for (i, j), b in zip(EDGES, beta, strict=True) if z[i] == z[j])
        data = sum(log_evidence(features[np.array(z) == k]) for k in set(z))
        weights.append(agreeing + log_restaurant(z) + data)
    return np.array(every), np.array(weights)


def field(features: np.ndarray = FEATURES, beta: object = BETA) -> DirichletPotts:
    return DirichletPotts(EDGES, features, beta, ALPHA, **PRIOR)


def test_log_prob_is_that_of_the_definition_at_all_partitions() -> None:
    every, expected = enumerated(FEATURES, BETA)
    assert len(every) == 52  # Bell's number
    found = field().log_prob(every)
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-12, atol=1e-12)
    swapped = every.max() - every  # names of labels do not matter
    np.testing.assert_allclose(field().log_prob(swapped), found, rtol=1e-12)


def check(model: DirichletPotts, engine: str, expected: tuple, **options: object) -> None:
    every, log_weight = expected
    p = np.exp(log_weight - log_weight.max())
    p /= p.sum()
    options = {**LENGTH, **options}
    fit = tfbdl.fit(model, None, engine=engine, engine_options=options, seed=2)
    z, stats = fit.posterior.draws["z"], fit.posterior.sample_stats
    np.testing.assert_array_equal(stats["num_segments"], z.max(axis=-1) + 1)
    np.testing.assert_allclose(stats["lp"], model.log_prob(z))
    is_each = (z[:, :, np.newaxis] == every).all(axis=-1)
    assert is_each.any(axis=-1).all()  # labels are in the order of appearance
    scores = [z_score(is_each[:, :, i], p[i]) for i in np.flatnonzero(p > 0.01)]
    scores.append(z_score(stats["num_segments"], p @ (every.max(axis=1) + 1)))
    assert len(scores) > 10
    assert np.abs(scores).max() < BOUND
    assert np.std(scores) > 0.2


@pytest.mark.parametrize(
    ("engine", "options"),
    [("swendsen_wang", {}), ("swendsen_wang", {"bond_share": 0.4}), ("gibbs", {})],
)
def test_partitions_are_as_frequent_as_the_sum_over_all_says(engine: str, options: dict) -> None:
    beta = [0.3, 0.2, 0.6, 0.3, 0.1, 0.4]
    check(field(beta=beta), engine, enumerated(FEATURES, beta), **options)


def test_without_features_the_draws_are_those_of_the_prior() -> None:
    model = DirichletPotts(EDGES, np.empty((5, 0)), BETA, ALPHA)
    check(model, "swendsen_wang", enumerated(np.empty((5, 0)), BETA), bond_share=1.0)


def test_single_sites_take_couplings_of_any_sign() -> None:
    beta = [0.5, -0.8, 0.9, -0.3, 0.1, -0.6]
    model = DirichletPotts(EDGES, np.empty((5, 0)), beta, ALPHA)
    check(model, "gibbs", enumerated(np.empty((5, 0)), beta))
    with pytest.raises(errors.ModelError, match=r"beta -0.8 at the edge \[1, 2\]"):
        tfbdl.fit(model, None, engine="swendsen_wang")


def test_as_many_segments_as_sites_find_room() -> None:
    n, alpha = 60, 40.0
    model = DirichletPotts(DirichletPotts.grid((n,)), np.empty((n, 0)), 0.0, alpha)
    options = {"chains": 8, "warmup": 10, "draws": 150}
    fit = tfbdl.fit(model, None, engine="swendsen_wang", engine_options=options, seed=1)
    expected = sum(alpha / (alpha + i) for i in range(n))  # Antoniak 1974: 36.9
    assert abs(z_score(fit.posterior.sample_stats["num_segments"], expected)) < 4


def test_segments_of_a_picture_are_found() -> None:
    truth = np.zeros((12, 12), int)
    truth[2:8, 2:8], truth[6:, 9:] = 1, 2
    rng = np.random.default_rng(0)
    features = np.array([[0.0], [2.5], [-2.5]])[truth.ravel()] + rng.normal(size=(144, 3))
    model = DirichletPotts(DirichletPotts.grid((12, 12)), features, 0.9)
    options = {"chains": 4, "warmup": 150, "draws": 100}
    fit = tfbdl.fit(model, None, engine_options=options, seed=1)
    z = fit.posterior.draws["z"]
    together = (z[..., np.newaxis] == z[..., np.newaxis, :]).mean(axis=(0, 1)) > 0.5
    right = truth.ravel()[:, np.newaxis] == truth.ravel()
    assert (together == right).mean() > 0.9
    assert 3 <= np.median(fit.posterior.sample_stats["num_segments"]) <= 5


def test_a_run_gone_on_with_is_one_that_never_stopped(tmp_path: Path) -> None:
    options = {"chains": LENGTH["chains"], "warmup": 4, "draws": 10}
    whole = tfbdl.fit(field(), None, engine_options=options, seed=5)
    part = tfbdl.fit(
        field(), None, engine_options={**options, "draws": 3}, seed=5, out=tmp_path / "run"
    )
    z = part.extend(7).posterior.draws["z"]
    np.testing.assert_array_equal(z, whole.posterior.draws["z"])
    again = tfbdl.load(tmp_path / "run")
    assert isinstance(again.model, DirichletPotts)
    np.testing.assert_array_equal(again.model.log_prob(z), field().log_prob(z))


def test_labels_are_numbered_as_they_appear() -> None:
    z = np.array([[4, 4, 2, 9, 2], [0, 1, 0, 2, 3]])
    assert in_order_of_appearance(z).tolist() == [[0, 0, 1, 2, 1], [0, 1, 0, 2, 3]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"features": [[0.0], [np.nan]]}, "Features are finite. Received: nan at site 1"),
        ({"features": np.zeros((2, 2, 2))}, r"features \[site, d\]. Received: \[2, 2, 2\]"),
        ({"features": "colours"}, "Received: str"),
        ({"concentration": 0.0}, "concentration is a finite number above 0. Received: 0.0"),
        ({"kappa0": -1.0}, "kappa0 is a finite number above 0"),
        ({"a0": np.inf}, "a0 is a finite number above 0"),
        ({"b0": 0.0}, "b0 is above 0"),
        ({"m0": [0.0, 1.0]}, "m0 is a finite number, or one for each of 1 columns"),
        ({"edges": [[0, 2]]}, "sites are 0 to 1"),
    ],
)
def test_what_is_no_field_is_refused(change: dict, message: str) -> None:
    given = {"edges": [[0, 1]], "features": [[0.0], [1.0]], "beta": 0.5}
    with pytest.raises(errors.ModelError, match=message):
        DirichletPotts(**{**given, **change})


def test_sites_come_in_order() -> None:
    with pytest.raises(errors.OptionsError, match="Expected order='systematic'"):
        tfbdl.fit(field(), None, engine="gibbs", engine_options={"order": "random"})
