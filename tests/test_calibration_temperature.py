"""Temperature scaling: known temperatures found again, and scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from tfbdl import calibration
from tfbdl.errors import DataError, OptionsError


def drawn(n, classes, seed=0):
    """Logits, and labels that were drawn of their softmax."""
    rng = np.random.default_rng(seed)
    logits = 2.0 * rng.normal(size=(n, classes))
    noise = rng.gumbel(size=logits.shape)
    return logits, (logits + noise).argmax(axis=1)


@pytest.mark.parametrize("truth", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("classes", [2, 5])
def test_temperature_of_logits_that_were_stretched_is_found(truth, classes):
    logits, labels = drawn(12_000, classes)
    p = scipy.special.softmax(logits, axis=1)
    spread = (p * logits**2).sum(1) - (p * logits).sum(1) ** 2  # Fisher's information of T / T0
    error = truth / spread.sum() ** 0.5
    too_sure = scipy.special.softmax(truth * logits, axis=1)
    scaling = calibration.fit_temperature(too_sure, labels)
    assert scaling.value == pytest.approx(truth, abs=4 * error)
    assert 4 * error < 0.1 * truth
    np.testing.assert_allclose(
        scaling.apply(too_sure), scipy.special.softmax(truth / scaling.value * logits, axis=1)
    )


def test_temperature_is_where_the_likelihood_is_greatest():
    logits, labels = drawn(200, 3, seed=1)
    probs = scipy.special.softmax(3.0 * logits, axis=1)
    scaling = calibration.fit_temperature(probs, labels)

    def nll(log_t):
        return calibration.nll(scipy.special.softmax(3.0 * logits / np.exp(log_t), axis=1), labels)

    best = scipy.optimize.minimize_scalar(nll, bounds=(-4, 4), method="bounded").fun
    assert scaling.nll_after == pytest.approx(best, abs=1e-9)
    assert scaling.nll_after <= nll(np.log(scaling.value) + 0.01)
    assert scaling.nll_after <= nll(np.log(scaling.value) - 0.01)
    assert scaling.nll_before == pytest.approx(calibration.nll(probs, labels))
    assert calibration.nll(scaling.apply(probs), labels) == pytest.approx(scaling.nll_after)
    assert scaling.num_rows == 200


def test_probabilities_are_those_of_scikit_learn():
    x, y = make_classification(900, 12, n_informative=4, n_classes=3, flip_y=0.2, random_state=0)
    net = LogisticRegression(C=1e6, max_iter=2000).fit(x[:60], y[:60])  # far too sure
    peer = CalibratedClassifierCV(FrozenEstimator(net), method="temperature").fit(x[60:], y[60:])
    scaling = calibration.fit_temperature(net.predict_proba(x[60:]), y[60:])
    assert scaling.value > 1.5
    # a minimum that is looked for by its value is known to the root of the rounding, 1.5e-8
    np.testing.assert_allclose(
        scaling.apply(net.predict_proba(x)), peer.predict_proba(x), atol=1e-7
    )


def test_what_was_tempered_wants_no_more_and_keeps_its_order():
    logits, labels = drawn(400, 4, seed=2)
    probs = scipy.special.softmax(4.0 * logits, axis=1)
    scaling = calibration.fit_temperature(probs, labels)
    calibrated = scaling.apply(probs)
    assert calibration.fit_temperature(calibrated, labels).value == pytest.approx(1.0, abs=1e-6)
    np.testing.assert_array_equal(np.argsort(calibrated), np.argsort(probs))
    np.testing.assert_allclose(calibrated.sum(axis=1), 1.0)
    np.testing.assert_allclose(calibration.temper(probs, 1.0), probs, atol=1e-12)
    before = calibration.expected_calibration_error(probs, labels)
    assert calibration.expected_calibration_error(calibrated, labels) < 0.5 * before


def test_one_column_is_the_probability_of_class_1():
    logits, labels = drawn(300, 2, seed=3)
    both = scipy.special.softmax(2.0 * logits, axis=1)
    one = calibration.fit_temperature(both[:, 1], labels)
    assert one.value == pytest.approx(calibration.fit_temperature(both, labels).value)
    assert one.apply(both[:, 1]).shape == (300, 2)


def test_certainty_stays_finite():
    probs = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    scaling = calibration.fit_temperature(probs, [0, 0, 1, 0])
    assert np.isfinite(scaling.nll_before)  # one row has a probability of nothing
    # three of four are right: softmax(log p / T) is 3 / 4 at the best temperature
    np.testing.assert_allclose(scaling.apply(probs).max(axis=1), 0.75, rtol=1e-6)


def test_rows_without_a_best_temperature_are_refused():
    probs = np.array([[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
    with pytest.raises(DataError, match="all 3 rows are predicted right"):
        calibration.fit_temperature(probs, [0, 1, 0])
    with pytest.raises(DataError, match="less of the labels than equal ones"):
        calibration.fit_temperature(probs, [1, 0, 1])
    with pytest.raises(DataError, match=r"labels of shape \(3,\)"):
        calibration.fit_temperature(probs, [1, 0])
    with pytest.raises(DataError, match="finite, without NaN"):
        calibration.fit_temperature([[np.nan, 1.0]], [0])
    for temperature in (0.0, -1.0, np.inf, np.nan, "hot"):
        with pytest.raises(OptionsError, match="'temperature' must be a finite number above 0"):
            calibration.temper(probs, temperature)
