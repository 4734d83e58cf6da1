"""The panel of Boltzmann machines, against sums over all states of a small one."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from tfbdl_rbm import energy
from tfbdl_rbm.filters_shown import filters
from tfbdl_rbm.model import RBM
from tfbdl_rbm.panel import FilterControls

from tfbdl.data import as_dataset

RNG = np.random.default_rng(0)
W, B, C = RNG.normal(size=(4, 3)), RNG.normal(size=4), RNG.normal(size=3)


def fit_of(known: bool = True, size: int = 4) -> Any:
    model = RBM(size, 3)
    rows = as_dataset(RNG.integers(0, 2, (50, size)).astype("float32"))
    if size == 4:
        for variable, value in (
            (model.kernel, W),
            (model.visible_bias, B),
            (model.hidden_bias, C),
        ):
            variable.assign(value)
    data = rows if known else None
    return SimpleNamespace(model=model, info=rows.info, dataset=lambda: data)


def free_energy(v: np.ndarray) -> np.ndarray:
    return -v @ B - np.logaddexp(0.0, v @ W + C).sum(axis=-1)


def test_fantasies_reach_the_mean_free_energy_of_the_machine() -> None:
    v = np.array(list(itertools.product([0.0, 1.0], repeat=4)))
    weight = np.exp(-free_energy(v))
    expected = (weight * free_energy(v)).sum() / weight.sum()
    spread = np.sqrt((weight * (free_energy(v) - expected) ** 2).sum() / weight.sum())
    said = filters(fit_of(), FilterControls())
    late = said["free_energy"][20:]  # of 20 chains; at least a tenth of the draws count
    assert late.mean() == pytest.approx(expected, abs=4 * spread / np.sqrt(0.1 * late.size * 20))
    assert said["free_energy"].shape == (201,)


def test_fantasies_are_means_of_visible_units_and_change_with_the_steps() -> None:
    fit = fit_of()
    start, later = (filters(fit, FilterControls(steps=steps))["fantasy"] for steps in (0, 40))
    assert start.shape == (20, 4)
    assert not np.allclose(start, later)
    assert ((later > 0) & (later < 1)).all()


def test_chains_of_another_seed_are_others_and_are_not_traced_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit = fit_of()
    first = filters(fit, FilterControls(seed=0))
    monkeypatch.setattr(energy, "gibbs_step", None)  # tracing would call it
    second = filters(fit, FilterControls(seed=1))
    assert not np.allclose(first["free_energy"], second["free_energy"])


def test_activations_are_those_of_the_rows() -> None:
    fit = fit_of()
    said = filters(fit, FilterControls())
    active = expit(np.asarray(fit.dataset().x) @ W + C)
    assert float(said["mean_active"]) == pytest.approx(active.mean(), rel=1e-5)
    np.testing.assert_allclose(said["activation"].sum() * 0.05, 1.0)
    assert float(said["of_rows"]) == pytest.approx(
        free_energy(np.asarray(fit.dataset().x)).mean(), rel=1e-5
    )


def test_units_come_by_their_weights_and_square_rows_are_images() -> None:
    said = filters(fit_of(), FilterControls())
    order = np.argsort(-np.linalg.norm(W, axis=0))
    np.testing.assert_array_equal(said["unit"], order)
    np.testing.assert_allclose(said["filter"], W.T[order], rtol=1e-6)
    assert not bool(said["is_image"])
    assert filters(fit_of(size=16), FilterControls())["filter"].shape == (3, 4, 4)


def test_without_data_the_machine_still_dreams() -> None:
    said = filters(fit_of(known=False), FilterControls())
    assert np.isnan(said["of_rows"])
    assert "activation" not in said
