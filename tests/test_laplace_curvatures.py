"""Laplace of networks: curvatures by differences and closed forms, layers, evidence."""

import keras
import numpy as np
import pytest
from laplace_cases import (
    COVARIANCE,
    DESIGN,
    MODE,
    NOISE,
    PRIOR,
    X,
    Y,
    classes,
    classifier,
    gauss_newton,
    jacobian,
    laplace,
    linear,
    network,
    precision_of,
    predicted,
    regression,
    slow,
    state_of,
)
from scipy import optimize, special, stats

import tfbdl
from tfbdl import errors
from tfbdl.inference.normals import (
    Factors,
    KroneckerCurvature,
)

layers = keras.layers


# -- exact on linear-Gaussian models ---------------------------------------------------------


@pytest.mark.parametrize("curvature", ["full", "kronecker"])
def test_a_linear_net_has_its_exact_posterior_evidence_and_predictive(curvature):
    model = linear()
    fit = laplace(model, (X, Y), curvature=curvature, predictive="linearized")
    covariance = fit.posterior.covariance()
    kernel = np.kron(COVARIANCE[:3, :3], np.eye(2))  # row-major: inputs, then outputs
    np.testing.assert_allclose(covariance["d.kernel"], kernel, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(covariance["d.bias"], COVARIANCE[3, 3] * np.eye(2), rtol=1e-5)
    np.testing.assert_allclose(
        fit.posterior.stddev()["d.bias"], np.full(2, COVARIANCE[3, 3] ** 0.5), rtol=1e-5
    )
    np.testing.assert_allclose(fit.posterior.mean()["d.kernel"], MODE[:3], rtol=1e-6)
    marginal = NOISE**2 * np.eye(40) + PRIOR**2 * DESIGN @ DESIGN.T
    log_evidence = stats.multivariate_normal(np.zeros(40), marginal).logpdf(Y.T).sum()
    assert fit.metrics["log_evidence"] == pytest.approx(log_evidence, abs=1e-4)
    new = regression(seed=5)[0]
    design = np.column_stack([new, np.ones(len(new))]).astype("float64")
    p = predicted(model, fit, new)
    epistemic = np.einsum("ni,ij,nj->n", design, COVARIANCE, design)[:, np.newaxis]
    np.testing.assert_allclose(p.mean, design @ MODE, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(p.epistemic, np.tile(epistemic, (1, 2)), rtol=1e-5)
    np.testing.assert_allclose(p.aleatoric, np.full((40, 2), NOISE**2), rtol=1e-5)


def test_the_diagonal_keeps_the_diagonal_of_the_precision():
    fit = laplace(linear(), (X, Y), curvature="diagonal")
    precision = (DESIGN**2).sum(axis=0) / NOISE**2 + PRIOR**-2
    expected = np.tile(precision[:3, np.newaxis] ** -0.5, (1, 2))
    np.testing.assert_allclose(fit.posterior.stddev()["d.kernel"], expected, rtol=1e-5)
    log_prior = stats.norm(0, PRIOR).logpdf(MODE).sum()
    log_lik = stats.norm(DESIGN @ MODE, NOISE).logpdf(Y).sum()
    log_det = 2 * np.log(precision).sum()
    expected = log_lik + log_prior + 4 * np.log(2 * np.pi) - 0.5 * log_det
    assert fit.metrics["log_evidence"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("curvature", [slow("full"), "kronecker", slow("diagonal")])
def test_draws_have_the_moments_of_the_normal(curvature):
    fit = laplace(linear(), (X, Y), curvature=curvature)
    drawn = fit.posterior.sample(20_000, seed=4)
    flat = np.concatenate([drawn["d.kernel"].reshape(-1, 6), drawn["d.bias"]], axis=1)
    whole = fit.posterior.normal.covariance(0, 8)
    spread = np.sqrt(np.diagonal(whole))
    z = (flat.mean(axis=0) - fit.posterior.normal.mean) / (spread / np.sqrt(20_000))
    assert np.abs(z).max() < 4.0
    error = np.cov(flat.T) / np.outer(spread, spread) - whole / np.outer(spread, spread)
    assert np.abs(error).max() < 4.0 * np.sqrt(2 / 20_000)
    np.testing.assert_array_equal(fit.posterior.sample(7, seed=4)["d.bias"], drawn["d.bias"][:7])


def test_the_net_is_trained_to_its_mode():
    options = {"initial": "fresh", "steps": 700, "batch_size": 40, "learning_rate": 0.05}
    fit = laplace(linear(at_mode=False), (X, Y), curvature="full", **options)
    np.testing.assert_allclose(fit.posterior.mean()["d.kernel"], MODE[:3], atol=1e-3)
    assert fit.history["loss"][-1] < fit.history["loss"][0]
    assert len(fit.history["loss"]) == 700


# -- the generalised Gauss-Newton matrix -----------------------------------------------------


@pytest.mark.parametrize("name", ["dense", slow("convolution"), slow("in_time"), slow("recurrent")])
def test_the_full_and_the_diagonal_curvature_are_those_of_differences(name):
    model, shape = classifier(name)
    x, y = classes(9, 3, shape)
    fit = laplace(model, (x, y), curvature="full")
    names = [site.name for site in fit.posterior.flat_sites]
    expected = gauss_newton(*jacobian(model, x, names)) + np.eye(len(fit.posterior.normal.mean)) / (
        PRIOR**2
    )
    np.testing.assert_allclose(precision_of(fit), expected, rtol=1e-6, atol=1e-6)
    diagonal = laplace(model, (x, y), curvature="diagonal").posterior.normal
    np.testing.assert_allclose(diagonal.scale**-2, np.diagonal(expected), rtol=1e-6)


def test_the_factors_of_a_layer_are_those_of_its_inputs_and_gradients():
    model, shape = classifier("dense")
    x, y = classes(9, 3, shape)
    fit = laplace(model, (x, y), curvature="kronecker")
    weights = list(state_of(model).values())
    hidden = np.tanh(x @ weights[0] + weights[1])
    p = special.softmax(hidden @ weights[2] + weights[3], axis=1)
    H = np.einsum("nc,cd->ncd", p, np.eye(3)) - p[:, :, None] * p[:, None]
    back = weights[2].T[None] * (1 - hidden**2)[:, None]  # [n, C, hidden]
    factors = [
        (np.column_stack([x, np.ones(9)]), np.einsum("nch,ncd,ndk->hk", back, H, back)),
        (np.column_stack([hidden, np.ones(9)]), H.sum(axis=0)),
    ]
    blocks = [np.kron(a.T @ a / 9, B) for a, B in factors]
    start = 0
    for block in blocks:
        found = fit.posterior.normal.covariance(start, start + len(block))
        expected = np.linalg.inv(block + np.eye(len(block)) / PRIOR**2)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-8)
        start += len(block)


def test_a_convolution_of_one_row_and_place_is_a_dense_layer():
    x, y = classes(12, 2, (2, 2, 3))
    model = network(
        [keras.Input((2, 2, 3)), layers.Conv2D(2, 2, name="c"), layers.Flatten()], "categorical"
    )
    kernel, bias = model.net.get_weights()
    flat = network([keras.Input((12,)), layers.Dense(2, name="c")], "categorical")
    flat.net.set_weights([kernel.reshape(12, 2), bias])
    one = laplace(model, (x, y), curvature="kronecker").posterior.stddev()["c.kernel"]
    other = laplace(flat, (x.reshape(12, 12), y), curvature="kronecker").posterior.stddev()
    np.testing.assert_allclose(one.reshape(12, 2), other["c.kernel"], rtol=1e-6)


def test_a_prior_of_two_scales_is_kept_whole_beside_the_factors():
    rng = np.random.default_rng(4)
    roots = rng.normal(size=(4, 6)), rng.normal(size=(3, 5))
    A, B = (root @ root.T for root in roots)
    precision = np.repeat([2.0, 2.0, 2.0, 0.1], 3)
    P = 0.7 * np.kron(A, B) + np.diag(precision)
    curvature = KroneckerCurvature([Factors(A, B)])
    normal = curvature.normal(np.zeros(12), precision, 0.7)
    np.testing.assert_allclose(normal.covariance(0, 12), np.linalg.inv(P), rtol=1e-9)
    np.testing.assert_allclose(normal.stddev() ** 2, np.diagonal(np.linalg.inv(P)), rtol=1e-9)
    J = rng.normal(size=(5, 2, 12))
    np.testing.assert_allclose(normal.quadratic(J), J @ np.linalg.inv(P) @ J.transpose(0, 2, 1))
    groups = [np.arange(9), np.arange(9, 12)]
    for p in (precision, precision * np.repeat([1.0, 3.0], [9, 3])):  # other proportions too
        found = curvature.log_det(p, 0.7, groups)
        whole = 0.7 * np.kron(A, B) + np.diag(p)
        assert found.value == pytest.approx(np.linalg.slogdet(whole)[1], rel=1e-10)
        own = p * np.diagonal(np.linalg.inv(whole))
        np.testing.assert_allclose(found.shares, [own[:9].sum(), own[9:].sum()], rtol=1e-9)


# -- layers, evidence ------------------------------------------------------------------------


def test_the_last_layer_alone_is_a_regression_on_what_it_sees():
    parts = [keras.Input((3,)), layers.Dense(5, "tanh"), layers.Dense(2, name="last")]
    model = network(parts, scale=NOISE)
    weights = list(state_of(model).values())
    features = np.column_stack([np.tanh(X @ weights[0] + weights[1]), np.ones(40)])
    options = {"layers": "last", "predictive": "linearized"}
    fit = laplace(model, (X, Y), **options)  # auto: full
    P = features.T @ features / NOISE**2 + np.eye(6) / PRIOR**2
    np.testing.assert_allclose(precision_of(fit), np.kron(P, np.eye(2)), rtol=1e-5, atol=1e-4)
    epistemic = np.einsum("ni,ij,nj->n", features, np.linalg.inv(P), features)
    np.testing.assert_allclose(predicted(model, fit, X).epistemic[:, 0], epistemic, rtol=1e-4)
    assert (fit.posterior.stddev()["dense.kernel"] == 0).all()
    np.testing.assert_array_equal(fit.posterior.draws["dense.bias"][0, 7], weights[1])


def log_evidence_at(W, precision, noise):
    """Of the linear net: one prior precision for each row of W, the weights held."""
    prior = stats.norm(0, precision[:, None] ** -0.5).logpdf(W).sum()
    log_lik = stats.norm(DESIGN @ W, noise).logpdf(Y).sum()
    P = DESIGN.T @ DESIGN / noise**2 + np.diag(precision)
    return log_lik + prior + 4 * np.log(2 * np.pi) - np.linalg.slogdet(P)[1]


@pytest.mark.parametrize("curvature", ["full", slow("kronecker")])
def test_evidence_chooses_prior_and_noise_where_the_closed_form_does(curvature):
    model = linear(scale=None)
    fit = laplace(model, (X, Y), curvature=curvature, evidence=True)
    W = MODE.astype("float32").astype("float64")
    best = optimize.minimize(
        lambda v: -log_evidence_at(W, np.full(4, np.exp(v[0])), np.exp(v[1])),
        [0.0, -1.0],
        method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5_000},
    )
    assert fit.metrics["log_evidence"] == pytest.approx(-best.fun, abs=1e-4)
    assert fit.metrics["prior_scale"] == pytest.approx(np.exp(-0.5 * best.x[0]), rel=1e-4)
    scale = fit.posterior.point()["likelihood.scale"]
    assert scale == pytest.approx(np.exp(best.x[1]), rel=1e-4)
    alpha = np.exp(best.x[0])
    P = DESIGN.T @ DESIGN / np.exp(2 * best.x[1]) + alpha * np.eye(4)
    gamma = 8 - 2 * alpha * np.trace(np.linalg.inv(P))  # MacKay's number of determined parameters
    assert fit.metrics["effective_parameters"] == pytest.approx(gamma, rel=1e-4)


@pytest.mark.parametrize("curvature", [slow("full"), "kronecker", slow("diagonal")])
def test_a_scale_for_each_layer_is_where_mackays_equation_holds(curvature):
    wide = keras.initializers.RandomNormal(stddev=2.0, seed=0)
    parts = [layers.Dense(4, "tanh", kernel_initializer=wide), layers.Dense(2)]
    model = network([keras.Input((3,)), *parts], scale=NOISE)
    fit = laplace(model, (X, Y), curvature=curvature, evidence=True, prior_scales="layers")
    shared = laplace(model, (X, Y), curvature=curvature, evidence=True).metrics["log_evidence"]
    assert fit.metrics["log_evidence"] > shared + 0.5
    mean, stddev = fit.posterior.mean(), fit.posterior.stddev()
    for layer in ("dense", "dense_1"):
        names = [f"{layer}.{part}" for part in ("kernel", "bias")]
        squares, variance, size = (
            sum(float((value[name].astype("float64") ** power).sum()) for name in names)
            for value, power in ((mean, 2), (stddev, 2), (mean, 0))
        )
        alpha = fit.metrics[f"prior_scale.{layer}"] ** -2
        # MacKay 1992: alpha sum w^2 = gamma = size - alpha trace of the covariance
        assert alpha * squares == pytest.approx(size - alpha * variance, rel=1e-3)


# -- refusals --------------------------------------------------------------------------------


def test_what_has_no_form_is_refused():
    recurrent, shape = classifier("recurrent")
    x, y = classes(9, 3, shape)
    with pytest.raises(errors.ModelError, match=r"Dense, Conv1D and Conv2D.*simple_rnn"):
        laplace(recurrent, (x, y), curvature="kronecker")
    heavy = tfbdl.BayesianNetwork(
        keras.Sequential([keras.Input((3,)), layers.Dense(2)]),
        "gaussian",
        "scale_mixture",
        likelihood_options={"scale": NOISE},
    )
    with pytest.raises(errors.ModelError, match="needs a normal prior"):
        laplace(heavy, (X, Y), curvature="full")
    density = tfbdl.LogDensity(lambda a: -(a**2), {"a": ()}, dtype="float64")
    with pytest.raises(errors.ModelError, match=r"curvature='kronecker' is for networks"):
        tfbdl.fit(density, None, engine="laplace", engine_options={"curvature": "kronecker"})
    options = {"curvature": "hessian", "evidence": True}
    with pytest.raises(errors.OptionsError, match="does not go with evidence=True"):
        tfbdl.fit(linear(), (X, Y), engine="laplace", engine_options=options)
    student = network([keras.Input((3,)), layers.Dense(2)], "student_t", scale=0.3)
    with pytest.raises(errors.ModelError, match="linearized_draws"):
        laplace(student, (X, Y), curvature="full", predictive="linearized")
    wide = network([keras.Input((3,)), layers.Dense(3_000), layers.Dense(2)], scale=NOISE)
    with pytest.raises(errors.ModelError, match=r"18,002 weights would take about 7\.2 GiB"):
        laplace(wide, (X, Y), curvature="full")
