"""Laplace of networks: the linearised predictive, trained nets, files, what auto means."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from laplace_cases import (
    EXACT,
    NETS,
    NOISE,
    X,
    Y,
    classes,
    classifier,
    gauss_newton,
    jacobian,
    laplace,
    network,
    predicted,
)
from scipy import integrate, special, stats
from small_models import assert_same

import tfbdl
from tfbdl.closed_form import ClosedFormPredictive
from tfbdl.inference.normals import (
    DenseNormal,
    KroneckerNormal,
    NormalPosterior,
)
from tfbdl.testing.steps import without_xla

layers = keras.layers


def trained_classes():
    model, shape = classifier("dense", prior=2.0)
    return model, classes(20, 3, shape)


@pytest.mark.slow
def test_class_probabilities_are_those_of_the_probit_approximation():
    model, (x, y) = trained_classes()
    fit = laplace(model, (x, y), curvature="full", predictive="linearized")
    names = [site.name for site in fit.posterior.flat_sites]
    J, f = jacobian(model, x, names)
    Sigma = np.linalg.inv(gauss_newton(J, f) + np.eye(J.shape[2]) / 4.0)
    S = np.einsum("ncd,de,nfe->ncf", J, Sigma, J)
    spread = np.sqrt(1 + np.pi / 8 * np.diagonal(S, axis1=1, axis2=2))
    p = predicted(model, fit, x)
    np.testing.assert_allclose(p.probs, special.softmax(f / spread, axis=1), atol=1e-5)
    rng = np.random.default_rng(0)
    logits = f + np.einsum("ncd,snd->snc", np.linalg.cholesky(S), rng.normal(size=(20_000, 20, 3)))
    q = special.softmax(logits, axis=2)
    entropy = -(q * np.log(q)).sum(axis=2)
    bound = 4 * entropy.std(axis=0) / np.sqrt(256)
    assert (np.abs(p.expected_entropy - entropy.mean(axis=0)) < bound).all()
    drawn = laplace(model, (x, y), curvature="full", predictive="linearized_draws")
    bound = 4 * q.std(axis=0) / np.sqrt(2_000) + 1e-3
    assert (np.abs(predicted(model, drawn, x, 2_000).probs - q.mean(axis=0)) < bound).all()


@pytest.mark.slow
def test_a_bernoulli_probability_is_the_exact_average_over_its_logit():
    x, y = classes(20, 2, (3,))
    model = network([keras.Input((3,)), layers.Dense(3, "tanh"), layers.Dense(1)], "bernoulli", 3.0)
    fit = laplace(model, (x, y), curvature="full", predictive="linearized")
    J, f = jacobian(model, x, [site.name for site in fit.posterior.flat_sites])
    p = special.expit(f)[:, 0]
    Sigma = np.linalg.inv(np.einsum("n,nd,ne->de", p * (1 - p), J[:, 0], J[:, 0]) + np.eye(16) / 9)
    spread = np.sqrt(np.einsum("nd,de,ne->n", J[:, 0], Sigma, J[:, 0]))

    def average(mu, s):
        return integrate.quad(
            lambda a: special.expit(a) * stats.norm(mu, s).pdf(a), mu - 9 * s, mu + 9 * s
        )[0]

    expected = [average(mu, s) for mu, s in zip(f[:, 0], spread, strict=True)]
    np.testing.assert_allclose(predicted(model, fit, x).probs[:, 0], expected, atol=1e-5)


def test_a_trained_keras_net_keeps_its_function_and_weights():
    trained = keras.Sequential([keras.Input((3,)), *NETS["dense"][1]()])
    x, y = X, np.column_stack([Y, Y[:, :1]])
    bayesian = tfbdl.bayesianize(trained, "gaussian")
    fit = tfbdl.fit(
        bayesian,
        (x, y),
        engine="laplace",
        engine_options={"curvature": "kronecker", "initial": "current", "predictive": "linearized"},
    )
    for found, given in zip(fit.model.net.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(found, given)
    np.testing.assert_allclose(fit.predict(x).mean, trained(x).numpy(), atol=1e-5)
    np.testing.assert_allclose(fit.model.predict(x), trained(x).numpy(), atol=1e-5)
    assert isinstance(fit.posterior, NormalPosterior)


@pytest.mark.slow
@pytest.mark.parametrize("curvature", ["full", "kronecker", "diagonal"])
def test_posterior_and_predictions_are_the_same_after_save_and_load(tmp_path, curvature):
    model, data = trained_classes()
    options = {**EXACT, "curvature": curvature, "predictive": "linearized"}
    out = tmp_path / "run"
    fit = tfbdl.fit(model, data, engine="laplace", engine_options=options, out=out)
    loaded = tfbdl.load(out)
    np.testing.assert_array_equal(loaded.predict(data[0]).probs, fit.predict(data[0]).probs)
    np.testing.assert_array_equal(
        loaded.posterior.sample(3, seed=8)["dense.kernel"],
        fit.posterior.sample(3, seed=8)["dense.kernel"],
    )
    assert_same(fit, loaded)


def test_auto_takes_what_the_net_has_a_form_for():
    rectified = [keras.Input((3,)), layers.Dense(6, "relu"), layers.Dense(2)]
    model = network(rectified, scale=NOISE)
    small = laplace(model, (X, Y))
    assert isinstance(small.posterior.normal, DenseNormal)  # Newton's steps end at such kinks
    assert isinstance(predicted(model, small, X), ClosedFormPredictive)
    wide = laplace(network([keras.Input((3,)), layers.Dense(600), layers.Dense(2)]), (X, Y))
    assert isinstance(wide.posterior.normal, KroneckerNormal)
    recurrent, shape = classifier("recurrent")
    assert isinstance(laplace(recurrent, classes(9, 3, shape)).posterior.normal, DenseNormal)
    heavy = tfbdl.BayesianNetwork(
        keras.Sequential([keras.Input((3,)), layers.Dense(1, name="only")]),
        "gaussian",
        "student_t",
        likelihood_options={"scale": NOISE},
    )
    assert "newton_steps" in laplace(without_xla(heavy), (X, Y[:, :1])).metrics


@pytest.mark.slow
def test_a_student_t_is_predicted_by_draws_of_the_linearised_net():
    student = network([keras.Input((3,)), layers.Dense(2)], "student_t", scale=0.3)
    options = {"curvature": "diagonal", "predictive": "linearized_draws"}
    fit = laplace(student, (X, Y), **options)
    p = predicted(student, fit, X, 400)
    assert np.isfinite(p.log_prob(Y)).all()
    spread = np.sqrt(np.column_stack([X**2, np.ones(40)]) @ _rows(fit) ** 2)
    np.testing.assert_allclose(np.sqrt(p.epistemic), spread, rtol=4 / np.sqrt(800))
    assert tf.reduce_all(tf.math.is_finite(p.mean))


def _rows(fit):
    stddev = fit.posterior.stddev()
    return np.vstack([stddev["dense.kernel"], stddev["dense.bias"]])


@pytest.mark.slow
def test_logistic_regression_is_near_that_of_nuts():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 3)).astype("float32")
    y = (rng.random(200) < special.expit(x @ [1.0, -1.5, 0.5] + 0.3)).astype("float32")
    model = network([keras.Input((3,)), layers.Dense(1, name="d")], "bernoulli", 2.0)
    options = {"curvature": "full", "predictive": "linearized", "steps": 1_500, "batch_size": 200}
    made = tfbdl.fit(model, (x, y), engine="laplace", engine_options=options, seed=1)
    reference = tfbdl.fit(model, (x, y), engine="nuts", engine_options={"draws": 2_000}, seed=1)
    for name in ("d.kernel", "d.bias"):
        exact, spread = reference.posterior.mean()[name], reference.posterior.stddev()[name]
        assert (np.abs(made.posterior.mean()[name] - exact) < 0.25 * spread).all()
        np.testing.assert_allclose(made.posterior.stddev()[name], spread, rtol=0.1)
    apart = np.abs(made.predict(x).probs - reference.predict(x, draws=1_000).probs)
    assert apart.max() < 0.02
