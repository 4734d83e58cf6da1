"""Evaluation of Predictives, by draws and in closed form, of every kind of target."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow_probability as tfp

from tfbdl import BayesianNetwork, calibration, evaluation, likelihoods
from tfbdl.closed_form import ClosedFormPredictive
from tfbdl.errors import DataError, ModelError, OptionsError
from tfbdl.posterior import Posterior
from tfbdl.predictive import Predictive

tfd = tfp.distributions

N, DRAWS = 60, 9
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 2)).astype("float32")
FAR = 6.0 * X  # where draws of the weights disagree


def weights(units):
    return np.random.default_rng(1).normal(size=(DRAWS, 2, units)).astype("float32")


def network(likelihood, units=1, **options):
    net = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units, use_bias=False)])
    return BayesianNetwork(net, likelihood, likelihood_options=options)


def predictive(model, x, units=1):
    return Predictive(model, Posterior({"dense.kernel": weights(units)[np.newaxis]}), x, DRAWS)


@pytest.fixture(scope="module")
def classes():
    model = network("categorical", 3)
    model.class_names = ("ape", "bee", "cat")
    return predictive(model, X, 3), predictive(model, FAR, 3)


@pytest.fixture(scope="module")
def numbers():
    model = network("gaussian", scale=0.4)
    return predictive(model, X), predictive(model, FAR)


def test_entropy_is_expected_entropy_and_the_mean_divergence_of_draws(classes):
    for p in classes:
        logits = p.outputs().astype(float)
        each = scipy.special.softmax(logits, axis=-1)
        # of the label and the draw: the mean over draws of KL(p_w || mean p)
        divergence = scipy.special.rel_entr(each, each.mean(axis=0)).sum(axis=-1).mean(axis=0)
        entropy, expected, mutual = (
            calibration.uncertainty(p, name)
            for name in ("entropy", "expected_entropy", "mutual_information")
        )
        np.testing.assert_allclose(mutual, divergence, atol=1e-6)
        np.testing.assert_allclose(entropy, expected + divergence, atol=1e-6)
        np.testing.assert_allclose(entropy, p.entropy, atol=1e-12)
        assert entropy.shape == (N,)


def test_parts_of_the_variance_and_their_sum_are_scores_of_numbers(numbers):
    p = numbers[0]
    locs = (X @ weights(1))[..., 0]
    whole, aleatoric, epistemic = (
        calibration.uncertainty(p, name) for name in (None, "aleatoric", "epistemic")
    )
    np.testing.assert_allclose(epistemic, locs.var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(aleatoric, 0.16, rtol=1e-5)
    np.testing.assert_allclose(whole, aleatoric + epistemic)
    assert whole.shape == (N,)
    with pytest.raises(OptionsError, match=r"likelihood 'gaussian' is named 'entropy'.*variance"):
        calibration.uncertainty(p, "entropy")


def test_rows_from_afar_are_detected_by_what_the_draws_disagree_on(classes, numbers):
    for (near, far), score in ((classes, "mutual_information"), (numbers, "epistemic")):
        found = calibration.detection(near, far, score)
        inside, outside = (calibration.uncertainty(p, score) for p in (near, far))
        assert found == calibration.detection(inside, outside)
        assert (found.num_inside, found.num_outside) == (N, N)
        for name, value in (
            ("auroc", calibration.auroc(near, far, score)),
            ("fpr95", calibration.false_positive_rate(near, far, score=score)),
            ("aupr_outside", calibration.average_precision(near, far, score=score)),
        ):
            assert value == getattr(found, name)
    assert calibration.auroc(*numbers) > 0.85  # the variance is 36 times that of the same row
    with pytest.raises(OptionsError, match="Did you mean 'mutual_information'"):
        calibration.detection(*classes, "mutual_info")


def test_everything_takes_a_predictive_for_its_probabilities(classes):
    p, far = classes
    probs = p.probs
    y = (np.log(probs) + np.random.default_rng(2).gumbel(size=(N, 3))).argmax(axis=1)
    one_hot, names = np.eye(3)[y], np.array(["ape", "bee", "cat"])[y]
    for labels in (y, one_hot, names, y[:, np.newaxis]):
        assert calibration.brier(p, labels) == calibration.brier(probs, y)
    assert calibration.nll(p, y) == pytest.approx(-p.log_prob(y).mean(), rel=1e-5)
    assert calibration.expected_calibration_error(p, y) == pytest.approx(
        evaluation.evaluate(p, y)["ece"]
    )
    curve = calibration.reliability_curve(p, y, 4)
    np.testing.assert_array_equal(curve.count, calibration.reliability_curve(probs, y, 4).count)
    assert calibration.risk_coverage(p, y).area == calibration.risk_coverage(probs, y).area
    by_mi = calibration.risk_coverage(p, names, "mutual_information")
    wrong = probs.argmax(axis=1) != y
    same = calibration.risk_coverage_curve(wrong, calibration.uncertainty(p, "mutual_information"))
    np.testing.assert_array_equal(by_mi.risk, same.risk)
    assert calibration.accuracy_at_coverage(p, y, 1.0) == pytest.approx(1 - wrong.mean())
    scaling = calibration.fit_temperature(p, names)
    assert scaling == calibration.fit_temperature(probs, y)
    np.testing.assert_array_equal(scaling.apply(far), calibration.temper(far.probs, scaling.value))
    for score in ("threshold", "cumulative"):
        rule = calibration.conformal_sets(p, names, score=score)
        assert rule == calibration.conformal_sets(probs, y, score=score)
        np.testing.assert_array_equal(rule.apply(far), rule.apply(far.probs))
    with pytest.raises(DataError, match=r"labels of shape \(60,\).*Received: \(59,\)"):
        calibration.fit_temperature(p, y[:-1])
    with pytest.raises(DataError, match="dog"):
        calibration.brier(p, np.array(["dog"] * N))


def test_one_draw_is_tempered_as_its_logits():
    model = network("categorical", 3)
    one = Predictive(model, Posterior({"dense.kernel": weights(3)[np.newaxis, :1]}), X, 1)
    logits = X.astype(float) @ weights(3)[0]
    np.testing.assert_allclose(
        calibration.temper(one, 2.5), scipy.special.softmax(logits / 2.5, axis=1), atol=1e-6
    )


def test_a_coin_has_two_classes_and_several_coins_are_cases_of_their_own():
    p = predictive(network("bernoulli"), X)
    y = (X[:, 0] > 0).astype(float)
    assert p.probs.shape == (N, 1)
    both = np.concatenate([1 - p.probs, p.probs], axis=1)
    np.testing.assert_allclose(calibration.uncertainty(p), p.entropy[:, 0])
    for labels in (y, y[:, np.newaxis]):
        assert calibration.brier(p, labels) == pytest.approx(calibration.brier(both, y))
    assert calibration.temper(p, 2.0).shape == (N, 2)
    rule = calibration.conformal_sets(p, y)
    assert rule.apply(p).shape == (N, 2)
    two = predictive(network("bernoulli", 2), X, 2)
    y = np.stack([y, 1 - y], axis=1)
    assert calibration.uncertainty(two, "max_probability").shape == (N, 2)
    assert calibration.brier(two, y) == pytest.approx(2 * np.mean((two.probs - y) ** 2))
    tempered = calibration.temper(two, 2.0)  # of several labels too it takes a Predictive's place
    assert tempered.shape == (N, 2, 2)
    assert calibration.brier(tempered, y) < calibration.brier(calibration.temper(two, 1e-3), y)
    assert len(calibration.risk_coverage(two, y).risk) == 2 * N
    assert calibration.conformal_sets(two, y).apply(two).shape == (N, 2, 2)
    assert calibration.detection(two, two).num_inside == 2 * N


def test_risk_of_numbers_is_the_squared_error_of_the_surest(numbers):
    p = numbers[0]
    y = np.random.default_rng(3).normal(size=N)
    curve = calibration.risk_coverage(p, y)
    order = np.argsort(p.variance[:, 0], kind="stable")
    errors = (y - p.mean[:, 0])[order] ** 2
    np.testing.assert_allclose(curve.risk, np.cumsum(errors) / np.arange(1, N + 1))
    assert curve.risk[-1] == pytest.approx(evaluation.evaluate(p, y)["rmse"] ** 2)
    with pytest.raises(ModelError, match=r"accuracy_at_coverage is for classes; .*'gaussian'"):
        calibration.accuracy_at_coverage(p, y, 0.5)
    with pytest.raises(DataError, match=r"targets of shape \(60, 1\). Received: \(59,\)"):
        calibration.risk_coverage(p, y[1:])


def test_several_outputs_are_not_put_into_one_order():
    wide = predictive(network("gaussian", 2, scale=0.4), X, 2)
    assert calibration.uncertainty(wide).shape == (N, 2)
    for refused in (
        lambda: calibration.detection(wide, wide),
        lambda: calibration.risk_coverage(wide, np.zeros((N, 2))),
    ):
        with pytest.raises(DataError, match=r"such as uncertainty\(p\).sum\(axis=1\)"):
            refused()
    summed = calibration.uncertainty(wide).sum(axis=1)
    assert calibration.auroc(summed, 4.0 + summed) > 0.5
    rule = calibration.conformal_intervals(wide, np.zeros((N, 2)))
    assert rule.threshold.shape == (2,)
    assert rule.apply(wide)[0].shape == (N, 2)


@pytest.mark.parametrize("score", ["scaled", "absolute", "quantile"])
def test_conformal_intervals_hold_their_share_of_the_rows_they_were_made_of(numbers, score):
    p = numbers[0]
    y = np.random.default_rng(4).normal(scale=3.0, size=N)
    low, high = calibration.conformal_intervals(p, y, 0.2, score).apply(p)
    assert low.shape == (N, 1)
    inside = (low[:, 0] - 1e-9 <= y) & (y <= high[:, 0] + 1e-9)
    assert inside.sum() == 49  # ceil(61 * 0.8): the row of that rank is an end


def test_coverage_of_a_predictive_is_that_of_its_intervals(numbers):
    p, y = numbers[0], np.random.default_rng(5).normal(size=N)
    curve = calibration.interval_calibration(p, y, 4)
    for level, observed in zip(curve.expected, curve.observed, strict=True):
        low, high = p.interval(level)
        assert observed == calibration.coverage(y, low[:, 0], high[:, 0])
    np.testing.assert_array_equal(evaluation.pit(p, y), p.cdf(y))


def test_coverage_of_counts_is_that_of_their_intervals():
    p = predictive(network("poisson"), X)
    y = np.random.default_rng(6).poisson(2.0, size=N)
    curve = calibration.interval_calibration(p, y, 4)
    for level, observed in zip(curve.expected, curve.observed, strict=True):
        low, high = p.interval(level)
        assert observed == calibration.coverage(y, low[:, 0], high[:, 0])


class Model:
    """What predicts, as far as a predictive distribution asks."""

    def __init__(self, likelihood):
        self.likelihood = likelihood


def test_closed_forms_are_evaluated_alike():
    mean = np.linspace(-2, 2, N)[:, np.newaxis]
    scale = 1.0 + np.linspace(0, 1, N)[:, np.newaxis]
    p = ClosedFormPredictive(Model(likelihoods.Gaussian(scale=1.0)), tfd.Normal(mean, scale), 1.0)
    y = np.random.default_rng(7).normal(mean, scale)[:, 0]
    np.testing.assert_allclose(calibration.uncertainty(p, "epistemic"), (scale**2 - 1.0)[:, 0])
    found = calibration.pit(p, y)[:, 0]
    np.testing.assert_allclose(found, scipy.stats.norm.cdf((y - mean[:, 0]) / scale[:, 0]))
    rule = calibration.conformal_intervals(p, y, 0.1)
    score = np.abs(y - mean[:, 0]) / scale[:, 0]
    assert rule.threshold == pytest.approx(np.sort(score)[54])  # ceil(61 * 0.9) = 55
    heavy = ClosedFormPredictive(
        Model(likelihoods.StudentT()), tfd.StudentT(np.float64(1.5), mean, 1.0), np.inf
    )
    with pytest.raises(ModelError, match="Use 'quantile'"):
        calibration.conformal_intervals(heavy, y)
    low, high = calibration.conformal_intervals(heavy, y, 0.1, "quantile").apply(heavy)
    assert np.isfinite(high - low).all()
    assert calibration.auroc(p, heavy) == 1.0  # a variance without end is the largest
    probs = np.random.default_rng(8).dirichlet(np.ones(3), N)
    known = scipy.stats.entropy(probs, axis=1)
    classes = ClosedFormPredictive(Model(likelihoods.Categorical()), probs, 0.25 * known)
    np.testing.assert_allclose(calibration.uncertainty(classes, "mutual_information"), 0.75 * known)
    with pytest.raises(ModelError, match="is for numbers; the likelihood is 'categorical'"):
        calibration.conformal_intervals(classes, y)
    with pytest.raises(ModelError, match="probs is for classes"):
        calibration.conformal_sets(p, y)
