"""The panel of hidden Markov models, against sums over all paths."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tfbdl_hmm.model import HiddenMarkovModel
from tfbdl_hmm.panel import StatesControls
from tfbdl_hmm.states_shown import states

from tfbdl.data import as_dataset
from tfbdl.errors import ModelError

INITIAL, TRANSITION = np.array([0.6, 0.4]), np.array([[0.8, 0.2], [0.3, 0.7]])
MEANS = np.array([[-1.0], [1.0]])
Y = np.array([[-6, 2, 1, 11, -2, 2, 7, 9, -16, 3]]).T / 8.0  # whole numbers of eighths: exact


def fit_of(y: np.ndarray = Y, known: bool = True) -> Any:
    model = HiddenMarkovModel.of(INITIAL, TRANSITION, means=MEANS, covariances=np.ones((2, 1, 1)))
    return SimpleNamespace(model=model, dataset=lambda: as_dataset(y) if known else None)


def by_enumeration(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``p(z_t | y)`` and the most probable path, from all paths."""
    likelihood = stats.norm.pdf(y, MEANS.T)
    paths = np.array(list(itertools.product([0, 1], repeat=len(y))))
    joint = INITIAL[paths[:, 0]] * np.prod(likelihood[np.arange(len(y)), paths], axis=1)
    joint *= np.prod(TRANSITION[paths[:, :-1], paths[:, 1:]], axis=1)
    second = (joint[:, np.newaxis] * paths).sum(axis=0) / joint.sum()
    return np.stack([1.0 - second, second], axis=-1), paths[joint.argmax()]


def test_smoothed_and_filtered_states_and_the_path_are_those_of_all_paths() -> None:
    said = states(fit_of(), StatesControls())
    smoothed, path = by_enumeration(Y)
    np.testing.assert_allclose(said["smoothed"], smoothed, atol=1e-9)
    np.testing.assert_array_equal(said["path"], path)
    filtered = [by_enumeration(Y[: t + 1])[0][-1] for t in range(1, len(Y))]
    np.testing.assert_allclose(said["filtered"][1:], filtered, atol=1e-9)
    others = said["smoothed"].argmax(axis=1) != said["filtered"].argmax(axis=1)
    assert float(said["changed"]) == pytest.approx(others.mean())
    np.testing.assert_array_equal(said["observed"], Y)
    np.testing.assert_array_equal(said["level"], MEANS[:, 0])


def test_a_window_lies_where_it_is_asked_for() -> None:
    long = np.tile(Y, (5, 1))
    first, last = (states(fit_of(long), StatesControls(window=10, position=p)) for p in (0.0, 1.0))
    assert first["step"].tolist() == list(range(10))
    assert last["step"].tolist() == list(range(40, 50))
    np.testing.assert_array_equal(last["observed"], long[40:])


def test_one_of_several_sequences_is_shown() -> None:
    several = np.stack([Y, -Y, Y[::-1]])
    said = states(fit_of(several), StatesControls(sequence=4))
    assert (int(said["sequence"]), int(said["sequences"])) == (1, 3)
    np.testing.assert_array_equal(said["observed"], -Y.astype(said["observed"].dtype))


def test_without_data_there_is_no_sequence() -> None:
    with pytest.raises(ModelError, match="States are of the steps of a sequence"):
        states(fit_of(known=False), StatesControls())
