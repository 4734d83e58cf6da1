"""Posteriors and predictions in closed form: exact moments, draws, quantiles, probabilities."""

import numpy as np
import pytest
import tensorflow_probability as tfp
from scipy import integrate, stats

import tfbdl
from tfbdl import errors, evaluation, likelihoods
from tfbdl.closed_form import ClosedFormPosterior, ClosedFormPredictive, read_with_moments

tfd = tfp.distributions

COVARIANCE = np.array([[2.0, 0.5], [0.5, 1.0]])


class Model:
    """What predicts, as far as a predictive distribution asks."""

    def __init__(self, likelihood):
        self.likelihood = likelihood


NUMBERS = Model(likelihoods.Gaussian(scale=1.0))
CLASSES = Model(likelihoods.Bernoulli())


def posterior():
    normal = tfd.MultivariateNormalTriL(np.array([1.0, -1.0]), np.linalg.cholesky(COVARIANCE))
    return ClosedFormPosterior.of({"w": normal, "tau": tfd.Gamma(np.float64(3.0), 2.0)})


def test_moments_are_exact():
    made = posterior()
    np.testing.assert_allclose(made.mean()["w"], [1.0, -1.0])
    np.testing.assert_allclose(made.covariance()["w"], COVARIANCE, rtol=1e-12)
    np.testing.assert_allclose(made.stddev()["w"], np.sqrt([2.0, 1.0]), rtol=1e-12)
    assert made.mean()["tau"] == pytest.approx(1.5)
    assert made.stddev()["tau"] == pytest.approx(np.sqrt(3.0) / 2.0)


def test_draws_have_the_moments_and_follow_the_seed():
    made = posterior()
    drawn = made.sample(20_000, seed=3)
    np.testing.assert_allclose(np.cov(drawn["w"].T), COVARIANCE, atol=0.06)
    assert stats.kstest(drawn["tau"], stats.gamma(3.0, scale=0.5).cdf).pvalue > 1e-3
    assert made.draws["w"].shape == (1, 1000, 2)
    np.testing.assert_array_equal(made.sample(10, seed=3)["w"], posterior().sample(10, seed=3)["w"])
    assert not np.array_equal(made.sample(10, seed=4)["w"], drawn["w"][:10])


def test_states_are_the_same_in_any_partition():
    whole = posterior().states(0, 30, 5, 30)["w"]
    parts = [posterior().states(a, b, 5, 30)["w"] for a, b in ((0, 7), (7, 30))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_nothing_is_wrong_with_independent_draws():
    made = posterior()
    assert made.diagnostics() == []
    assert not made.is_finite
    assert set(made.summary().columns) >= {"mean", "sd"}


def student():
    mean, scale = np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]])
    return ClosedFormPredictive(NUMBERS, tfd.StudentT(5.0, mean, scale), aleatoric=0.5)


def test_parts_of_the_variance_add_up():
    made = student()
    total = np.array([[1.0], [9.0]]) * 5.0 / 3.0
    np.testing.assert_allclose(made.variance, total)
    np.testing.assert_allclose(made.aleatoric, 0.5)
    np.testing.assert_allclose(made.epistemic, total - 0.5)
    np.testing.assert_allclose(made.stddev, np.sqrt(total))


@pytest.mark.parametrize("q", [0.05, 0.5, 0.99])
def test_quantiles_are_those_of_the_distribution(q):
    expected = [[stats.t(5).ppf(q)], [2.0 + 3.0 * stats.t(5).ppf(q)]]
    np.testing.assert_allclose(student().quantile(q), expected, rtol=1e-12, atol=1e-12)
    normal = ClosedFormPredictive(NUMBERS, tfd.Normal(np.zeros((2, 1)), 2.0), aleatoric=1.0)
    np.testing.assert_allclose(normal.quantile(q), 2.0 * stats.norm.ppf(q), atol=1e-9)


def test_densities_intervals_and_scores():
    made, y = student(), np.array([0.5, -1.0])
    expected = stats.t(5).logpdf([0.5, -1.0]) - np.log([1.0, 1.0])
    expected[1] = stats.t(5).logpdf(-1.0) - np.log(3.0)
    np.testing.assert_allclose(made.log_prob(y), expected, rtol=1e-9)
    low, high = made.interval(0.9)
    np.testing.assert_allclose(made.cdf(high) - made.cdf(low), 0.9, atol=1e-6)
    scores = evaluation.evaluate(made, y)
    assert scores["nll"] == pytest.approx(-expected.mean())
    assert scores["rmse"] == pytest.approx(np.sqrt((0.25 + 9.0) / 2))


def test_crps_is_the_integral_that_defines_it():
    normal = ClosedFormPredictive(NUMBERS, tfd.Normal(np.zeros((2, 1)), 2.0), aleatoric=1.0)
    laws = [stats.t(5), stats.t(5, 2.0, 3.0), stats.norm(0.0, 2.0), stats.norm(0.0, 2.0)]
    y = np.array([0.7, -4.0])
    found = np.concatenate([made.crps(y)[:, 0] for made in (student(), normal)])
    for score, law, at in zip(found, laws, np.tile(y, 2), strict=True):
        below = integrate.quad(lambda v, law=law: law.cdf(v) ** 2, -np.inf, at)[0]
        above = integrate.quad(lambda v, law=law: law.sf(v) ** 2, at, np.inf)[0]
        assert score == pytest.approx(below + above, rel=1e-7)
    skewed = ClosedFormPredictive(NUMBERS, tfd.Gumbel(np.zeros((2, 1)), 2.0), aleatoric=1.0)
    assert skewed.crps(y).shape == (2, 1)  # from draws


def test_what_a_student_t_has_not_is_left_out_of_the_scores():
    y = np.array([0.5, -1.0])
    for df, absent in (
        (0.9, {"crps", "epistemic_share"}),
        (1.5, {"epistemic_share"}),
        (1e-6, {"crps", "epistemic_share"}),
    ):
        made = ClosedFormPredictive(
            NUMBERS, tfd.StudentT(np.float64(df), np.zeros((2, 1)), 1.0), aleatoric=np.inf
        )
        np.testing.assert_array_equal(made.mean, 0.0)
        assert np.isinf(made.variance).all()
        assert np.isinf(made.epistemic).all()
        scores = evaluation.evaluate(made, y)
        assert absent == {"crps", "epistemic_share", "rmse", "coverage_90"} - set(scores)
        assert scores["rmse"] == pytest.approx(np.sqrt(1.25 / 2))


def test_samples_are_of_the_distribution():
    drawn = student().sample(20_000, seed=1)
    assert drawn.shape == (20_000, 2, 1)
    assert stats.kstest(drawn[:, 1, 0], stats.t(5, 2.0, 3.0).cdf).pvalue > 1e-3


def test_class_probabilities_have_entropies():
    probs = np.array([[0.9], [0.5]])
    noise = np.array([[0.1], [0.6]])
    made = ClosedFormPredictive(CLASSES, probs, noise)
    entropy = -(probs * np.log(probs) + (1 - probs) * np.log(1 - probs))
    np.testing.assert_allclose(made.probs, probs)
    np.testing.assert_allclose(made.entropy, entropy)
    np.testing.assert_allclose(made.mutual_information, entropy - noise)
    np.testing.assert_allclose(made.log_prob(np.array([1, 0])), np.log([0.9, 0.5]))
    assert evaluation.evaluate(made, np.array([1, 0]))["error"] in (0.0, 0.5)
    assert made.sample(2000, seed=0).mean(axis=0)[0] == pytest.approx(0.9, abs=0.03)
    with pytest.raises(errors.ModelError, match="over classes"):
        made.quantile(0.5)


def test_what_has_no_draws_says_so():
    with pytest.raises(errors.ModelError, match="no draws to average over"):
        student().expected_log_prob(np.zeros(2))
    with pytest.raises(errors.ModelError, match="no outputs of draws"):
        student().outputs()
    with pytest.raises(errors.DataError, match="one target for each of 2 rows"):
        student().log_prob(np.zeros(3))
    with pytest.raises(errors.OptionsError, match="strictly between 0 and 1"):
        student().quantile(1.0)


# -- files ---------------------------------------------------------------------------------------


def test_kept_draws_and_their_exact_moments_go_through_a_file(tmp_path):
    kept = posterior().kept()
    np.testing.assert_array_equal(kept.draws["w"][0], posterior().sample(4_000)["w"])
    kept.to_netcdf(tmp_path / "posterior.nc")
    read = read_with_moments(tmp_path / "posterior.nc")
    for name in ("w", "tau"):
        np.testing.assert_array_equal(read.draws[name], kept.draws[name])
        np.testing.assert_array_equal(read.mean()[name], posterior().mean()[name])
        np.testing.assert_array_equal(read.stddev()[name], posterior().stddev()[name])
        np.testing.assert_array_equal(read.covariance()[name], posterior().covariance()[name])
    assert read.independent
    assert read.is_finite


def test_a_model_given_as_a_fitted_object_is_stored_and_read(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2))
    y = x @ [1.0, -2.0] + 0.1 * rng.normal(size=40)
    first = tfbdl.fit("linear", (x[:20], y[:20]))
    options = {"initial": "current"}
    then = tfbdl.fit(first.model, (x[20:], y[20:]), engine_options=options, out=tmp_path / "run")
    loaded = tfbdl.load(tmp_path / "run")
    whole = tfbdl.fit("linear", (x, y))
    for one in (then, loaded):
        np.testing.assert_allclose(one.predict(x).mean, whole.predict(x).mean, rtol=1e-9)
    np.testing.assert_array_equal(loaded.predict(x).stddev, then.predict(x).stddev)
    np.testing.assert_array_equal(
        loaded.posterior.covariance()["weights"], then.posterior.covariance()["weights"]
    )
