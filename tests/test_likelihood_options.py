"""Names, options and targets of likelihoods: what they take and refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tfbdl import likelihoods
from tfbdl.errors import DataError, OptionsError, UnknownNameError


@pytest.mark.parametrize("name", likelihoods.names())
def test_config_is_plain_and_builds_an_equal_likelihood(name):
    options = {k: v for k, v in CONFIGS.items() if k in _options(name)}
    likelihood = likelihoods.get(name, options)
    stored = json.loads(json.dumps(likelihood.get_config()))
    again = likelihoods.get(name, stored)
    assert type(again) is type(likelihood)
    assert again.get_config() == likelihood.get_config() == {**stored, **options}
    assert likelihood.size_for(likelihood.outputs_for(7)) == 7


CONFIGS = {
    "scale": 0.5,
    "df": 7.0,
    "target_mean": [1.0, 2.0],
    "target_scale": [3.0, 4.0],
    "scale_floor": 0.01,
    "num_samples": 5,
}


def _options(name):
    return likelihoods.get(name).get_config()


def test_get_names_the_nearest_and_the_wrong_option():
    with pytest.raises(UnknownNameError, match=r"Did you mean 'gaussian'"):
        likelihoods.get("gausian")
    with pytest.raises(OptionsError, match=r"no option 'sd'. Known: scale, target_mean"):
        likelihoods.get("gaussian", {"sd": 1.0})
    with pytest.raises(OptionsError, match=r"'scale' must be a finite number above 0"):
        likelihoods.get("gaussian", {"scale": -1.0})
    with pytest.raises(OptionsError, match=r"'df' must be above 1"):
        likelihoods.get("student_t", {"df": 1.0})
    with pytest.raises(OptionsError, match=r"'target_scale' must be above 0"):
        likelihoods.get("gaussian", {"target_scale": [1.0, 0.0]})
    with pytest.raises(OptionsError, match=r"same length"):
        likelihoods.Gaussian(target_mean=(1.0, 2.0), target_scale=(1.0, 2.0, 3.0))
    with pytest.raises(OptionsError, match=r"'target_mean' must be a finite number, or one per"):
        likelihoods.Gaussian(target_mean="a")
    with pytest.raises(OptionsError, match=r"'num_samples' must be an integer of at least 1"):
        likelihoods.get("heteroscedastic_categorical", {"num_samples": 0})
    with pytest.raises(OptionsError, match=r"an object has its own"):
        likelihoods.get(likelihoods.Poisson(), {"rate": 1.0})
    with pytest.raises(OptionsError, match=r"must be a name or a tfbdl.likelihoods.Likelihood"):
        likelihoods.get(3)
    likelihood = likelihoods.Poisson()
    assert likelihoods.get(likelihood) is likelihood


@pytest.mark.parametrize(
    ("name", "y", "num_outputs", "message"),
    [
        ("gaussian", [0.0, np.nan], 1, r"finite.*Received: nan at index \[1\] \(1 such values\)"),
        ("gaussian", [[0.0, np.inf]], 2, r"finite.*inf at index \[0, 1\]"),
        ("gaussian", ["a"], 1, "array of numbers"),
        ("gaussian", np.zeros((4, 2)), 3, r"targets of shape \[n, \.\.\., 3\]"),
        ("heteroscedastic_gaussian", np.zeros(4), 3, "two outputs for each"),
        ("bernoulli", [0, 1, -1], 1, r"must be 0 or 1. Received: -1 at index \[2\]"),
        ("bernoulli", [0.3], 1, "must be 0 or 1"),
        ("categorical", [0, 1, 3], 3, r"labels from 0 to 2.*Received: 3 at index \[2\]"),
        ("categorical", [0, -1], None, "labels from 0, or one-hot.*Received: -1"),
        ("categorical", [[0.5, 0.5]], 2, "one-hot rows. Received: 0.5"),
        ("heteroscedastic_categorical", [2], 4, "labels from 0 to 1"),
        ("poisson", [1, -1], 1, "integers of at least 0. Received: -1"),
        ("poisson", [1.5], 1, "integers of at least 0. Received: 1.5"),
    ],
)
def test_check_targets_refuses(name, y, num_outputs, message):
    with pytest.raises(DataError, match=message):
        likelihoods.get(name).check_targets(y, num_outputs)


def test_check_targets_admits_what_the_likelihood_can_produce():
    likelihoods.Gaussian().check_targets(np.zeros((4, 2)), 2)
    likelihoods.Gaussian().check_targets(np.zeros(4), 1)
    likelihoods.HeteroscedasticGaussian().check_targets(np.zeros((4, 2)), 4)
    likelihoods.Bernoulli().check_targets(np.array([True, False]), 1)
    likelihoods.Categorical().check_targets(np.array([0.0, 2.0]), 3)
    likelihoods.Categorical().check_targets(np.eye(3), 3)
    likelihoods.Categorical().check_targets(np.array([[0], [2]], dtype="uint8"), 3)
    likelihoods.Poisson().check_targets(np.array([0, 12]))
